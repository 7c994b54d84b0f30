"""Section 4.2 and Appendix A.4: what changes of basis and of order do to the kernel."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, proved, refuted, searched

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_MODEL = "Appendix A.4, paragraph after Eq. 58, on models and their parameters"
_ORDER = "Section 4.2, the kernel of the gradients of Section 4.1"
_PAIR = {"S": [[0], [1]], "second": [[0], [1]], "order": [1, 0], "other_order": [0, 1]}

CLAIMS = (
    Claim(
        key="kernel-of-the-function",
        number="Appendix A.4",
        kind="sentence",
        locus=_MODEL,
        statement="The kernel is about the model itself and not about its parameters.",
        encoded="Two settings of the weights with the same outputs on all sequences have the same "
        "kernel: for every invertible X, W_Q X and W_K X^-T have the kernel of W_Q and W_K.",
        checks=refuted("basis leaves the kernel", "basis", "basis leaves the output"),
        expected=record("refuted"),
        found="With W_Q doubled and W_K halved no output changes. Two tokens, one feature, all "
        "weights one (in units of log 2): the kernel does.",
        counterexample=case(
            "kernel_symmetry_laws:replay_basis_leaves_the_kernel",
            S=[[0], [1]],
            **_ONES,
            basis=[[2]],
        ),
    ),
    Claim(
        key="gauge-invariance",
        number="Appendix A.4",
        kind="repair",
        locus=_MODEL,
        statement="The learner is the same for W_Q X and W_K X^-T as for W_Q and W_K, for every "
        "invertible X in each head.",
        encoded="For every sequence, context, mask and number of heads. Proved without inverses: "
        "W_Q X with W_K, and W_Q with W_K X^T, have the same outputs for every square X.",
        checks=(
            proved("gauge", "change of basis: output"),
            searched(
                "basis leaves the output",
                "basis",
                "one basis for queries and keys",
                "basis leaves the output, output spoiled",
            ),
            check(
                "ntteach.attention in another basis",
                "implementation",
                "kernel_symmetries:basis_and_output",
            ),
        ),
        expected=record("verified"),
        found="Holds: of the 2 d d_h dimensions of a head's W_Q and W_K, with full ranks, no "
        "output sees d_h^2 if d_h <= d, and 2 d d_h - d^2 if not.",
        requires=("self-attention",),
        repairs="kernel-of-the-function",
        derivation="derivations/gauge.py",
    ),
    Claim(
        key="orthogonal-gauge-kernel",
        number="Appendix A.4",
        kind="repair",
        locus=_MODEL,
        statement="The kernel is the same for W_Q X and W_K X as for W_Q and W_K, for every "
        "orthogonal X in each head.",
        encoded="For every pair of sequences. Proved for any X that its query part is contracted "
        "with X^T X and its key part with X X^T, which are the identity.",
        checks=(
            proved(
                "gauge",
                "change of basis: value gradient",
                "change of basis: query gradient",
                "change of basis: key gradient",
                "kernel:",
            ),
            searched(
                "orthogonal basis leaves the kernel",
                "orthogonal basis",
                "orthogonal basis leaves the kernel, W_Q spoiled",
                "orthogonal basis leaves the kernel, W_K spoiled",
                "orthogonal basis leaves the kernel, W_V spoiled",
            ),
            check("antk in another basis", "implementation", "kernel_symmetries:orthogonal_basis"),
        ),
        expected=record("verified"),
        found="Holds. What gradient descent does with a model depends on its basis, up to "
        "rotations.",
        requires=("self-attention",),
        repairs="kernel-of-the-function",
        derivation="derivations/gauge.py",
    ),
    Claim(
        key="kernel-equivariance",
        number="Section 4.2",
        kind="sentence",
        locus=_ORDER,
        statement="Without a mask, the kernel follows the order of the tokens as gradients do.",
        encoded="For every pair of sequences and of permutations: K(P S, P' S') = P K(S, S') P'^T. "
        "The paper says it of gradients.",
        checks=(
            proved("kernel_equivariance", "permuted", "symmetric"),
            searched(
                "kernel follows",
                "two orders",
                "kernel stays",
                "kernel follows, W_Q spoiled",
                "kernel follows, W_K spoiled",
                "kernel follows, W_V spoiled",
            ),
            check(
                "antk of reordered sequences",
                "implementation",
                "kernel_symmetries:kernel_follows",
                forms=("self", "cross", "multi-head", "projected"),
                moved=False,
            ),
        ),
        expected=record("verified"),
        found="Holds, with contexts, heads and W_O too.",
        requires=("self-attention",),
        derivation="derivations/kernel_equivariance.py",
    ),
    Claim(
        key="causal-kernel-equivariance",
        number="Section 4.2",
        kind="sentence",
        locus=_ORDER,
        statement="Under a causal mask too, the kernel follows the order of the tokens.",
        encoded="As above, with the causal mask of Eq. 23 on both sequences, in either order.",
        checks=refuted("kernel follows", "two causal orders", "kernel follows, mask moved along"),
        expected=record("refuted"),
        found="A causal mask ties an output to its place. Two tokens are enough.",
        counterexample=case(
            "kernel_symmetry_laws:replay_kernel_follows", **_PAIR, **_ONES, mask="causal"
        ),
    ),
    Claim(
        key="moved-mask-kernel-equivariance",
        number="Section 4.2",
        kind="repair",
        locus=_ORDER,
        statement="The kernel follows the order of the tokens if the masks move with them.",
        encoded="For every mask weight m_jk >= 0 that does not mask a whole row, moved to P m P^T; "
        "the search takes the causal mask, the library's kernel any.",
        checks=(
            proved("kernel_equivariance", "permuted"),
            searched(
                "kernel follows, mask moved along",
                "two causal orders",
                "kernel follows",
                "kernel follows, mask moved along, W_Q spoiled",
                "kernel follows, mask moved along, W_K spoiled",
                "kernel follows, mask moved along, W_V spoiled",
            ),
            check(
                "antk of reordered sequences and masks",
                "implementation",
                "kernel_symmetries:kernel_follows",
                forms=("causal", "masked", "multi-head", "projected"),
                moved=True,
            ),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("masked-self-attention",),
        repairs="causal-kernel-equivariance",
        derivation="derivations/kernel_equivariance.py",
    ),
)
