"""Section 4.2, after Eq. 15: the kernel is said to be symmetric and positive definite."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, proved, refuted, searched

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_EYE = [[1, 0], [0, 1]]
_AFTER_15 = "Section 4.2, after Eq. 15, and Appendix A.4, after Eq. 58"
_DERIVATION = "derivations/kernel_equivariance.py"

CLAIMS = (
    Claim(
        key="kernel-symmetric",
        number="Section 4.2",
        kind="sentence",
        locus=_AFTER_15,
        statement="The attention neural tangent kernel is symmetric.",
        encoded="For any two sequences, of any lengths and masks: K(S, S') = K(S', S)^T. "
        "Symbolically for one head; the library's kernel for every form of attention.",
        checks=(
            proved("kernel_equivariance", "symmetric"),
            check("antk either way round", "implementation", "kernel_matrix:symmetric"),
        ),
        expected=record("verified"),
        found="Holds: an inner product of gradients does not see which of them comes first.",
        requires=("self-attention",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="kernel-positive-definite",
        number="Section 4.2",
        kind="sentence",
        locus=_AFTER_15,
        statement="The attention neural tangent kernel is positive definite; first reading: "
        "strictly.",
        encoded="For all weights, none zero, and sequences of two tokens or more, all tokens "
        "different and every output with a gradient: the kernel matrix of all outputs has no null "
        "direction. The second reading, that no direction is negative, is `kernel-semidefinite`.",
        checks=refuted(
            "kernel is definite", "sequences", "kernel is semi-definite", "rank is bounded"
        ),
        expected=record("refuted"),
        found="Three different tokens are enough: with d = d_k = v = 1 the gradients span two "
        "dimensions, and the kernel of three outputs is singular.",
        counterexample=case("kernel_laws:replay_kernel_is_definite", S=[[0], [1], [2]], **_ONES),
    ),
    Claim(
        key="kernel-semidefinite",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="The attention neural tangent kernel is positive semi-definite; second reading "
        "of positive definite.",
        encoded='What "positive definite" usually means for kernels: Gram matrices without '
        "negative directions. For any weights of any outputs on any number of sequences: x^T K x "
        "is the square of the norm of the weighed sum of gradients.",
        checks=(
            proved("kernel_equivariance", "semi-definite"),
            searched(
                "kernel is semi-definite",
                "sequences",
                "kernel less a tenth is semi-definite",
            ),
            check("eigenvalues of antk", "sample", "kernel_matrix:semidefinite"),
        ),
        expected=record("verified"),
        found="Holds, as for every Gram matrix.",
        requires=("self-attention",),
        repairs="kernel-positive-definite",
        derivation=_DERIVATION,
    ),
    Claim(
        key="kernel-rank-bound",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="For one head, the kernel's rank is bounded, however many the sequences: by d v "
        "+ 2 d d_k - d_k^2 if d_k <= d, or d v + d^2 if not.",
        encoded="rank K <= d v + d r_K + d r_Q - r_Q r_K, with the ranks of W_Q and W_K, which for "
        "weights of full rank is what is said above. More outputs than that have a singular "
        "kernel. An identity for all sizes and any mask: the output sees a direction D_Q, D_K by "
        "D_Q W_K^T + W_Q D_K^T only. How many dimensions such matrices have is an argument in the "
        "derivation's text, not an identity; the search compares ranks with it on small cases. "
        "Several heads, whose bounds add up, are sampled in `kernel-rank-attained`.",
        checks=(
            proved("gauge", "any direction", "along the gauge"),
            searched("rank is bounded", "sequences", "rank is below its bound"),
        ),
        expected=record("verified"),
        found="Holds: no output sees a change of basis of the queries and keys.",
        requires=("self-attention",),
        repairs="kernel-positive-definite",
        derivation="derivations/gauge.py",
    ),
    Claim(
        key="kernel-rank-attained",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="For almost all weights and enough sequences of two tokens or more, the "
        "kernel's rank is that bound.",
        encoded="For the shapes of the scope; for several heads d v and the rest of the bound, "
        "with d_h for d_k, once for each. A context of width d' takes d's place for keys and "
        "values: d r_K + d' r_Q - r_Q r_K. With W_O, the product of a head's W_V and W_O is seen "
        "and not the two: d' r_O + o r_V - r_O r_V for each head in place of d' v_h. Numerically, "
        "the rank is where the spectrum falls most.",
        checks=(
            check("rank in exact arithmetic", "elementwise", "kernel_matrix:exact_rank"),
            check("gap in the spectrum of antk", "sample", "kernel_matrix:generic_rank"),
        ),
        expected=record("supported"),
        found="It is, in every shape looked at: with one head or two, d_h below, at and above d.",
        requires=("self-attention",),
        repairs="kernel-positive-definite",
    ),
    Claim(
        key="kernel-repeated-token",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="Without a mask, a sequence in which a token occurs twice has a singular kernel.",
        encoded="For every sequence and token. Two places with one token and one row of the mask "
        "have one gradient.",
        checks=(
            proved("kernel_equivariance", "repeated"),
            searched("repeated token is singular", "again", "repeated token is singular, causal"),
        ),
        expected=record("verified"),
        found="Holds. In text, tokens repeat; without codes of their places they are one.",
        requires=("self-attention",),
        repairs="kernel-positive-definite",
        derivation=_DERIVATION,
    ),
    Claim(
        key="kernel-repeated-token-causal",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="Under a causal mask, a sequence in which a token occurs twice can have a "
        "definite kernel.",
        encoded="There are weights and a sequence with a repeated token whose kernel is regular.",
        checks=(
            check(
                "one such sequence",
                "exact",
                "sentences:exists",
                law="repeated token is singular, causal",
                given={
                    "S": _EYE,
                    "W_Q": _EYE,
                    "W_K": _EYE,
                    "W_V": [[1], [-1]],
                    "again": 0,
                },
                controls={
                    "more outputs than the bound": {"S": [[1], [2]], **_ONES, "again": 0},
                    "a sequence of one token twice": {
                        "S": [[1, 0]],
                        "W_Q": _EYE,
                        "W_K": _EYE,
                        "W_V": [[1], [-1]],
                        "again": 0,
                    },
                },
            ),
            check(
                "search for another",
                "search",
                "sentences:search_finds",
                law="repeated token is singular, causal",
                domain="again",
                controls=("repeated token is singular",),
            ),
        ),
        expected=record("verified"),
        found="There are: (1, 0), (0, 1), (1, 0) with the identity for W_Q and W_K.",
        requires=("masked-self-attention",),
        repairs="kernel-positive-definite",
    ),
    Claim(
        key="kernel-reordered-copy",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="Without a mask, a sequence and its tokens in another order have a singular "
        "kernel.",
        encoded="For every sequence and order: the outputs of the second have the gradients of the "
        "first. Under a causal mask they need not, which is the mutant.",
        checks=(
            proved("kernel_equivariance", "permuted"),
            searched("reordered copy is singular", "order", "reordered copy is singular, causal"),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("self-attention",),
        repairs="kernel-positive-definite",
        derivation=_DERIVATION,
    ),
    Claim(
        key="kernel-padding",
        number="Section 4.2",
        kind="repair",
        locus=_AFTER_15,
        statement="With two or more padded places, to which nobody attends, the kernel of all "
        "places is singular.",
        encoded="For every sequence, padded with copies of one token. The paper brings sequences "
        "to one length in Figure 3.",
        checks=(
            proved("kernel_equivariance", "repeated"),
            searched("padding is singular", "padding", "real places are singular"),
        ),
        expected=record("verified"),
        found="Holds; the kernel of the real places alone need not be.",
        requires=("masked-self-attention",),
        repairs="kernel-positive-definite",
        derivation=_DERIVATION,
    ),
)
