"""Section 4.2: how f moves under functional gradient descent (Eqs. 16 and 17)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, equations, proved, refuted

_EQ16, _EQ17 = equations("16"), equations("17")
_DERIVATION = "derivations/functional_descent.py"
_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_LOCUS = "Section 4.2, after Eq. 15"

CLAIMS = (
    Claim(
        key="functional-evolution",
        number="Eq. 16",
        kind="equation",
        locus=_LOCUS,
        statement="Under functional gradient descent in continuous time f moves with the velocity "
        "-eta times the functional gradient.",
        encoded="For one fixed kernel: the flow is that of Eq. 5 as eta vanishes. Then every "
        "output moves by -eta / (N S) times the sum over the kernel, for any loss gradients, and "
        "the averaged loss falls at the rate eta |G|^2; for any number of sequences and outputs.",
        checks=(
            proved("functional_descent", "(16)", covers=_EQ16),
            check(
                "speeds by differences in time",
                "finite-difference",
                "space_flow:flow_speeds",
                _EQ16,
            ),
            check("steps of the learner tend to the flow", "trend", "space_flow:flow_limit"),
        ),
        expected=record("verified"),
        found="Holds for functions of a kernel's space and that kernel.",
        requires=("functional-gradient-averaged", "reproducing-property"),
        derivation=_DERIVATION,
    ),
    Claim(
        key="functional-gradient-averaged",
        number="Eq. 17",
        kind="equation",
        locus=_LOCUS,
        statement="The functional gradient of the averaged loss is the mean of the loss gradients, "
        "each times the kernel's section at its sequence.",
        encoded="For one fixed kernel and the squared loss, averaged over all outputs of all "
        "sequences (N S of them for v = 1, N S v otherwise): by Definition 2, for any number of "
        "sequences, outputs and features. Three losses and every shipped kernel in the library, "
        "frozen tangent kernels among them.",
        checks=(
            proved("functional_descent", "(17)", covers=_EQ17),
            check(
                "gradients of the library against dense algebra",
                "loops",
                "space_flow:averaged_gradient",
                _EQ17,
            ),
        ),
        expected=record("verified", "verified"),
        found="Holds. The kernel in it is fixed: it is not that of a network that moves.",
        requires=("frechet-derivative", "reproducing-property"),
        paper_uses=("functional-chain-rule", "gradient-of-evaluation"),
        derivation=_DERIVATION,
    ),
    Claim(
        key="evolution-fixed-kernel",
        number="Section 4.2",
        kind="sentence",
        locus=_LOCUS,
        statement="A network that is trained by gradient descent moves as Eq. 16 says, with one "
        "kernel that does not depend on its parameters.",
        encoded="Then the velocity is a function of f: two settings of the parameters that are one "
        "function, under one loss, move with one velocity. The settings are W_Q, W_K and W_Q X, "
        "W_K X^-T, which are one function on every sequence; no weight is zero.",
        checks=refuted(
            "velocity is of the function", "basis", "velocity is of the function, orthogonal"
        ),
        expected=record("refuted"),
        found="With W_Q doubled and W_K halved nothing is seen of it in f, and f moves with "
        "another velocity. Eq. 15 has the kernel of the parameters, and Eq. 16 a fixed one.",
        counterexample=case(
            "space_evolution_laws:replay_velocity_is_of_the_function",
            S=[[0], [1]],
            **_ONES,
            basis=[[2]],
        ),
    ),
    Claim(
        key="evolution-tangent-kernel",
        number="Section 4.2",
        kind="repair",
        locus=_LOCUS,
        statement="At every time the network moves as Eq. 16 with the tangent kernel of that time; "
        "with the kernel of the start held fixed, it departs from Eq. 16 in second order of the "
        "time.",
        encoded="Eq. 15 at any parameters, for all sizes and any loss gradients; the distance from "
        "Eq. 16 with the frozen kernel as a fitted slope of two.",
        checks=(
            proved("tangent_expansion", "(57) any loss: value", block="flow W_V"),
            proved("tangent_expansion", "(57) any loss: query", block="flow W_Q"),
            proved("tangent_expansion", "(57) any loss: key", block="flow W_K"),
            check("speed of the outputs by autograd", "autograd", "descent:flow"),
            check("network and frozen kernel", "trend", "space_flow:network_and_kernel"),
        ),
        expected=record("verified"),
        found="Holds: the frozen kernel gives the speed at the start and nothing beyond.",
        requires=("kernel-evolution", "functional-gradient-averaged"),
        repairs="evolution-fixed-kernel",
        derivation="derivations/tangent_expansion.py",
    ),
)
