"""Section 4.1: gradient descent on the averaged loss (Eq. 6) and its flow (Eq. 7)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import check, contracted, equations, proved

_EQ6, _EQ7 = equations("6"), equations("7")

CLAIMS = (
    Claim(
        key="parameter-gradient-descent",
        number="Eq. 6",
        kind="equation",
        locus="Section 4.1, first paragraph",
        statement="Training moves the parameters against the gradient of the loss, averaged over "
        "the N sequences and their L elements, times the learning rate.",
        encoded="The update with hand-derived gradients is one step of plain gradient descent on "
        "the average over all N L outputs. Symbolic for one sequence and the squared loss, for all "
        "L, d; sampled for batches, the logistic and the Huber loss. Smallest case: N = L = d = 1.",
        checks=(
            proved("training", "(6)-(7)", covers=_EQ6),
            check("one step against autograd", "autograd", "training:step", _EQ6),
            check(
                "one step against central differences",
                "finite-difference",
                "training:step_by_differences",
                _EQ6,
            ),
        ),
        expected=record("verified"),
        found="The average is over N times L, and the hand-derived update is that step.",
        requires=("self-attention",),
        derivation="derivations/training.py",
    ),
    Claim(
        key="gradient-flow-product",
        number="Eq. 7",
        kind="equation",
        locus="Section 4.1, first paragraph",
        statement="The direction of the flow is the product of the loss gradients by the outputs "
        "with the gradients of the outputs by the parameters.",
        encoded="The gradient of the averaged loss is (1 / NL) sum G_ij df(S_i)_j / dtheta (the "
        "chain rule). Symbolic for one sequence and the squared loss, for all L, d; sampled for "
        "batches, the logistic and the Huber loss.",
        checks=(
            proved("training", "(6)-(7)", covers=_EQ7),
            check("the product against autograd", "autograd", "training:product", _EQ7),
            check(
                "the product against central differences",
                "finite-difference",
                "training:product",
                _EQ7,
                differences=True,
            ),
            contracted("self"),
        ),
        expected=record("verified"),
        found="The product form is the chain rule.",
        requires=("self-attention",),
        derivation="derivations/training.py",
    ),
    Claim(
        key="gradient-flow-limit",
        number="Eq. 7",
        kind="sentence",
        locus="Section 4.1, first paragraph",
        statement="For small learning rates the updates may be treated as a derivative in time.",
        encoded="With theta^t after t steps of size eta and theta(eta t) on the flow, the distance "
        "at a fixed time is of order eta: a fitted slope of one. A trend: no theorem is proved.",
        checks=(
            check(
                "distance to the flow at a fixed time, as eta shrinks",
                "trend",
                "training:flow_limit",
                _EQ7,
            ),
        ),
        expected=record("supported"),
        found="The distance falls in proportion to eta. The eta in front of Eq. 7 counts time in "
        "steps; in units of eta t the flow does not depend on it.",
        requires=("gradient-flow-product",),
    ),
)
