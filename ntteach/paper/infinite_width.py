"""Section 4.2, after Eq. 15: whether the kernel stays as it is when attention is wide."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, proved

_LOCUS = "Section 4.2, after Eq. 15, on infinite width"

CLAIMS = (
    Claim(
        key="wide-keys-constant-kernel",
        number="Section 4.2",
        kind="sentence",
        locus=_LOCUS,
        statement="The kernel remains constant during training when the width is infinite.",
        encoded="For the learner of Eq. 2: one head, logits over sqrt(d_k). Its width is d_k; the "
        "input width d and the data stay. NTK parametrisation: weights from N(0, 1), each product "
        "over the root of its fan-in. Gradient flow on half the squared error for a fixed time. "
        "Claimed: the drift ||K_t - K_0|| / ||K_0|| tends to zero. The exact case is about the "
        "start, dK/dt at t = 0; the fixed time is sampled. The paper cites Hron et al. "
        "(2020), where the number of heads is what grows.",
        checks=(
            check("the stored counterexample, replayed", "exact", "sentences:stored"),
            check("slope of the drift by d_k", "trend", "width_trend:drift_vanishes", width="keys"),
        ),
        expected=record("refuted"),
        found="At the widths looked at, d_k = 2, 4 and 64, from weights with the moments of "
        "N(0, 1), dK/dt at the start is the same, and not zero. By derivations/infinite_width.py "
        "no width stands in how W_Q W_K^T / sqrt(d_k) moves, given its loss gradient and the two "
        "Grams. From random starts, d_k to 1024, the drift's slope is not told from zero.",
        counterexample=case(
            "width:replay_kernel_rate_vanishes",
            tokens=[0, 1],
            labels=[1, 0],
            value=1,
            widths=[2, 4, 64],
        ),
    ),
    Claim(
        key="wide-keys-kernel",
        number="Section 4.2",
        kind="repair",
        locus=_LOCUS,
        statement="In one head, what the width of the keys is to the kernel is three d x d "
        "matrices: W_Q W_Q^T / d_k and W_K W_K^T / d_k, which training moves at the rate 1 / d_k, "
        "and W_Q W_K^T / sqrt(d_k), which it moves at the same rate at every width.",
        encoded="For every width, loss and sequence: kernel and motion under gradient flow written "
        "with these matrices and the loss's derivative R by the last one, which moves at -R N_K - "
        "N_Q R, with N_Q and N_K the first two. From N(0, 1) they tend to the identity.",
        checks=(
            proved("infinite_width", ""),
            check("kernel and motion by autograd", "autograd", "width_trend:through_the_product"),
        ),
        expected=record("verified"),
        found="Holds: wide keys freeze the two Grams and leave a learner whose parameter is their "
        "product, with a kernel that is random at the start and moves.",
        requires=("self-attention",),
        repairs="wide-keys-constant-kernel",
        derivation="derivations/infinite_width.py",
    ),
    Claim(
        key="many-heads-constant-kernel",
        number="Section 4.2",
        kind="repair",
        locus=_LOCUS,
        statement="The kernel's drift falls to zero as the number of heads grows.",
        encoded="As above with heads of a fixed width d_h = 2 and one value column each, mixed by "
        "W_O over the root of their number. Decided is whether the 95 % interval of the "
        "slope of log drift by log heads lies below -1/4, half way from 0 to -1/2.",
        checks=(
            check(
                "slope of the drift by the number of heads",
                "trend",
                "width_trend:drift_vanishes",
                width="heads",
            ),
        ),
        expected=record("supported"),
        found="It falls from 4 to 256 heads: the slope's interval lies below -1/4. The check's "
        "detail prints it: from -0.5 to -0.8, as the data are drawn. No rate is claimed.",
        requires=("self-attention",),
        repairs="wide-keys-constant-kernel",
    ),
)
