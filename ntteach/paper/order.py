"""Section 4.1, after Eq. 12: what reordering the elements does to gradients and outputs."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, proved, refuted, searched

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_AFTER_12 = "Section 4.1, paragraph on the order of the elements"

CLAIMS = (
    Claim(
        key="gradient-equivariance",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="The rows of the gradient follow the order of the elements: the gradient is "
        "equivariant under reordering.",
        encoded="For every sequence and every permutation P, without a mask: row j of each block "
        "(value, query, key) for P S is the row of the element that P puts in place j. The "
        "sentence is about Eq. 11; all three blocks are claimed.",
        checks=(
            proved("equivariance", "permuted:"),
            searched(
                "gradient rows follow",
                "order",
                "rows stay",
                "output is invariant",
                "gradient rows follow, W_Q spoiled",
                "gradient rows follow, W_K spoiled",
                "gradient rows follow, W_V spoiled",
            ),
        ),
        expected=record("verified"),
        found="Holds for all three blocks, for every length.",
        requires=("self-attention",),
        derivation="derivations/equivariance.py",
    ),
    Claim(
        key="causal-gradient-equivariance",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="Under a causal mask too, the rows of the gradient follow the elements.",
        encoded="As above, with the causal mask of Eq. 23 on both sequences. The paper says it of "
        "attention gradients without naming the mask, and extends its results to masked attention.",
        checks=refuted(
            "gradient rows follow", "causal order", "gradient rows follow, mask moved along"
        ),
        expected=record("refuted"),
        found="A causal mask ties a row to its place. Two elements, one feature, all weights one "
        "(in units of log 2) are enough.",
        counterexample=case(
            "order_laws:replay_gradient_rows_follow",
            S=[[1], [2]],
            **_ONES,
            mask="causal",
            order=[1, 0],
        ),
    ),
    Claim(
        key="moved-mask-equivariance",
        number="Section 4.1",
        kind="repair",
        locus=_AFTER_12,
        statement="The rows of the gradient follow the elements if the mask moves with them, "
        "M -> P M P^T.",
        encoded="For every sequence, permutation and mask weight m_jk >= 0 that does not mask a "
        "whole row; the search takes the causal mask, moved.",
        checks=(
            proved("equivariance", "permuted, mask moved"),
            searched(
                "gradient rows follow, mask moved along",
                "causal order",
                "gradient rows follow",
                "gradient rows follow, mask moved along, W_Q spoiled",
                "gradient rows follow, mask moved along, W_K spoiled",
                "gradient rows follow, mask moved along, W_V spoiled",
            ),
        ),
        expected=record("verified"),
        found="Holds: what breaks equivariance is the place of the mask, not masking.",
        requires=("masked-self-attention",),
        repairs="causal-gradient-equivariance",
        derivation="derivations/equivariance.py",
    ),
    Claim(
        key="recurrent-gradient-order",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="In a recurrent network the order of the elements sets the power of the "
        "recurrent weight in the gradient.",
        encoded="For the linear scalar recurrence x_j = u s_j + w x_(j-1): d x_L / d u = "
        "sum_j s_j w^(L-j) for every L. A nonlinear activation multiplies the powers by its "
        "derivatives.",
        checks=(
            proved("recurrent", ""),
            check("powers against autograd", "autograd", "contrasts:recurrent_powers"),
        ),
        expected=record("verified"),
        found="Holds for the linear recurrence, where powers of one weight can be spoken of.",
        derivation="derivations/recurrent.py",
    ),
    Claim(
        key="order-unlike-recurrence",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="Unlike that of attention, whose rows follow the elements, the gradient of a "
        "recurrent network can change in value where two elements are exchanged.",
        encoded="For the same recurrence, one case in which exchanging two inputs changes "
        "d x_L / d u; with one output there are no rows to follow.",
        checks=(
            check("two inputs exchanged", "exact", "contrasts:recurrent_order_matters"),
            check("powers against autograd", "autograd", "contrasts:recurrent_powers"),
        ),
        expected=record("verified"),
        found="Holds, for attention without a mask.",
        requires=("gradient-equivariance", "recurrent-gradient-order"),
        derivation="derivations/recurrent.py",
    ),
    Claim(
        key="permutation-invariance",
        number="Section 4.1",
        kind="sentence",
        locus=_AFTER_12,
        statement="Self-attention is permutation invariant at inference.",
        encoded="For every sequence and permutation P: f(P S) = f(S), for Eq. 2.",
        checks=refuted("output is invariant", "order", "output is equivariant"),
        expected=record("refuted"),
        found="Eq. 2 has an output for each element, and these move with the elements.",
        counterexample=case(
            "order_laws:replay_output_is_invariant", S=[[0], [1]], **_ONES, order=[1, 0]
        ),
    ),
    Claim(
        key="permutation-equivariance",
        number="Section 4.1",
        kind="repair",
        locus=_AFTER_12,
        statement="Self-attention without a mask is permutation equivariant: f(P S) = P f(S).",
        encoded="For every sequence and permutation.",
        checks=(
            proved("equivariance", "permuted: output"),
            searched(
                "output is equivariant",
                "order",
                "output is invariant",
                "output rows stay",
                "output is equivariant, output spoiled",
            ),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("self-attention",),
        repairs="permutation-invariance",
        derivation="derivations/equivariance.py",
    ),
    Claim(
        key="mean-readout-invariance",
        number="Section 4.1",
        kind="repair",
        locus=_AFTER_12,
        statement="The mean of the outputs over the elements is permutation invariant, and so is "
        "its gradient.",
        encoded="For every sequence and permutation, without a mask.",
        checks=(
            proved("equivariance", "mean over rows"),
            searched(
                "readout is invariant",
                "order",
                "output is invariant",
                "first output is invariant",
                "readout is invariant, readout spoiled",
            ),
        ),
        expected=record("verified"),
        found="Invariance needs a readout that does not see the order.",
        requires=("self-attention",),
        repairs="permutation-invariance",
        derivation="derivations/equivariance.py",
    ),
)
