"""Section 3: the attention learner (Eq. 2) and Figure 1."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import check, equations, proved

_EQ2 = equations("2")

CLAIMS = (
    Claim(
        key="self-attention",
        number="Eq. 2",
        kind="definition",
        locus="Section 3, attention learners",
        statement="An attention learner maps a sequence S to softmax(Q K^T / sqrt(d)) V, with "
        "Q = S W_Q, K = S W_K, V = S W_V and the softmax taken in each row.",
        encoded="For every L, d, d_k, v >= 1 and every real S and weights: the output is defined "
        "and a mean of the values with positive weights that sum to one, and it is what PyTorch's "
        "attention and loops over single numbers compute. Smallest case: L = d = v = 1.",
        checks=(
            proved("definition", "(2)", covers=_EQ2),
            check(
                "ntteach.attention against scaled_dot_product_attention",
                "implementation",
                "definitions:implementation",
                _EQ2,
                form="self",
            ),
            check(
                "ntteach.attention against loops over numbers",
                "loops",
                "definitions:loops",
                _EQ2,
                form="self",
            ),
            check("AttentionLearner", "implementation", "definitions:module", form="self"),
        ),
        expected=record("verified"),
        found="Well posed for all real input, also where logits would overflow a plain "
        "exponential: a constant subtracted from a row of logits changes nothing.",
        derivation="derivations/definition.py",
    ),
    Claim(
        key="attention-workflow",
        number="Figure 1",
        kind="figure",
        locus="Section 4.1",
        statement="The learner invokes its input three times, for queries, keys and values, and "
        "combines them to the output of Eq. 2.",
        encoded="Eq. 2 with three separate inputs, all equal to S, is Eq. 2; its derivative by an "
        "entry of S is the sum of the three derivatives, for all sizes. The drawn boxes, taken "
        "one after the other, compute Eq. 2.",
        checks=(
            proved("definition", "Figure 1"),
            check(
                "the boxes one after the other",
                "implementation",
                "definitions:drawing",
                form="self",
            ),
        ),
        expected=record("verified"),
        found="Three invocations, as the caption says; the boxes redrawn here compute Eq. 2.",
        requires=("self-attention",),
        derivation="derivations/definition.py",
    ),
)
