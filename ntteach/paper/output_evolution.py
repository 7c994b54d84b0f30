"""Section 4.2 and Appendix A.4: how outputs move under gradient descent (Eqs. 13-15, 56-58)."""

from ntteach.claims.model import Check, Claim, record
from ntteach.paper.declare import case, check, equations, proved

_EQ13, _EQ14, _EQ15 = equations("13"), equations("14"), equations("15")
_EQ56, _EQ57, _EQ58 = equations("56"), equations("57"), equations("58")
_42, _REMAINDER = "Section 4.2, first paragraph", "Section 4.2, sentence on the remainder"
_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_BLOCKS = {"W_V": "value", "W_Q": "query", "W_K": "key"}


def _by_block(beginning: str, truth: str, covers: tuple[str, ...] = ()) -> tuple[Check, ...]:
    """An identity for each weight matrix, tied to what autograd says of it."""
    return tuple(
        proved("tangent_expansion", f"{beginning}: {name}", covers=covers, block=f"{truth} {W}")
        for W, name in _BLOCKS.items()
    )


def _flow(covers: tuple[str, ...]) -> tuple[Check, ...]:
    """The speed of outputs under gradient descent, against autograd and against differences."""
    return (
        check("speed of the outputs by autograd", "autograd", "descent:flow", covers),
        check(
            "speed of the outputs by central differences",
            "finite-difference",
            "descent:flow",
            covers,
            differences=True,
        ),
    )


CLAIMS = (
    Claim(
        key="taylor-expansion",
        number="Eq. 13",
        kind="equation",
        locus=_42,
        statement="Over a step of the parameters the output changes by the inner product of its "
        "gradient with the step, up to a remainder of smaller order than the step.",
        encoded="Along theta + h D, for every direction D: the derivative at h = 0 is that inner "
        "product, for all sizes, which is what a remainder o(h) says. Its order is two, as a "
        "fitted slope.",
        checks=(
            *_by_block("(13) first order", "line", _EQ13),
            check("order of the remainder", "trend", "evolution:remainder_order", _EQ13),
            check(
                "first order against central differences",
                "finite-difference",
                "evolution:chain_rule",
                _EQ13,
            ),
        ),
        expected=record("verified"),
        found="Holds, with a remainder of second order.",
        requires=("self-attention",),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="output-chain-rule",
        number="Eq. 14",
        kind="equation",
        locus=_42,
        statement="In continuous time the output changes at the rate of the inner product of its "
        "gradient with the velocity of the parameters, up to a remainder of smaller order.",
        encoded="The chain rule, for every direction and at every point of a line, for all sizes; "
        "on curved paths sampled. Zero is of smaller order than anything that is not.",
        checks=(
            proved("tangent_expansion", "(14)", covers=_EQ14, block="line"),
            check(
                "curved paths by central differences",
                "finite-difference",
                "evolution:chain_rule",
                _EQ14,
            ),
        ),
        expected=record("verified"),
        found="Holds, and the remainder is zero.",
        requires=("self-attention",),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="kernel-evolution",
        number="Eq. 15",
        kind="equation",
        locus=_42,
        statement="Under gradient descent the output for any sequence moves against the loss "
        "gradients of the training set, each along its kernel with that sequence.",
        encoded="d f(S)_jc / dt = -eta / (N L) sum G_ij'c' K((S, j, c), (S_i, j', c')), for all "
        "sizes and any loss gradients G, also for sequences that are not trained on. Sampled for "
        "three losses, with the kernel and with its operator.",
        checks=(*_by_block("(57) any loss", "flow", _EQ15), *_flow(_EQ15)),
        expected=record("verified"),
        found="Holds with no remainder.",
        requires=("output-chain-rule", "gradient-flow-product"),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="parameter-evolution",
        number="Eq. 56",
        kind="equation",
        locus="Appendix A.4, first lines",
        statement="The parameters move by the product of the loss gradients with the gradients of "
        "the outputs, as in Eq. 7.",
        encoded="For N sequences and v outputs, all sizes, and the squared loss: the gradient of "
        "the averaged loss is that product. Sampled for three losses.",
        checks=(
            *_by_block("(56) gradient descent", "loss", _EQ56),
            check("the product against autograd", "autograd", "training:product", _EQ56),
        ),
        expected=record("verified"),
        found="It is Eq. 7 again, here for a batch and v outputs.",
        requires=("self-attention",),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="kernel-from-gradients",
        number="Eq. 57",
        kind="equation",
        locus="Appendix A.4, first lines",
        statement="With that velocity the first-order term is the product of the loss gradients "
        "with the kernel.",
        encoded="A sum over parameters of sums over outputs is a sum over outputs of kernels, for "
        "any loss gradients G and all sizes.",
        checks=(
            *_by_block("(57) any loss", "flow", _EQ57),
            check("two products of gradients", "sample", "descent:product_of_gradients", _EQ57),
        ),
        expected=record("verified"),
        found="Holds by definition of the kernel.",
        requires=("self-attention",),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="kernel-evolution-derived",
        number="Eq. 58",
        kind="equation",
        locus="Appendix A.4, first lines",
        statement="Eqs. 14 and 57 give Eq. 15.",
        encoded="The chain rule along the velocity of Eq. 56, by Eq. 57, is the sum over the "
        "kernel; its three identities are those of Eqs. 14, 56 and 57, for all sizes.",
        checks=(
            proved("tangent_expansion", "(14)", covers=_EQ58, block="line"),
            *_by_block("(57) any loss", "flow", _EQ58),
            _flow(_EQ58)[0],
        ),
        expected=record("verified"),
        found="Holds with no remainder.",
        requires=("output-chain-rule", "parameter-evolution", "kernel-from-gradients"),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="evolution-along-kernel",
        number="Appendix A.4",
        kind="sentence",
        locus="Appendix A.4, last paragraph",
        statement="A training sequence moves the outputs along its kernel, by a magnitude that its "
        "loss gradient sets.",
        encoded="If the loss gradient is zero but for one output, all outputs move by -eta / (N L) "
        "times it times that output's column of the kernel; in general they move by the sum.",
        checks=(
            *_by_block("(57) any loss", "flow"),
            check("a loss that asks for one output", "autograd", "descent:along_one_output"),
        ),
        expected=record("verified"),
        found="Holds, with a minus sign; how far outputs move depends on the size of the kernel "
        "as well.",
        requires=("output-chain-rule",),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="remainder-nonzero",
        number="Section 4.2",
        kind="sentence",
        locus=_REMAINDER,
        statement="With nonlinear activation functions, the remainder is not zero; first reading: "
        "the remainder of Eqs. 14 and 15, in continuous time.",
        encoded="Under gradient flow on the squared loss, with a softmax over two elements or more "
        "and parameters that move, d f / dt is not < d f / d theta, d theta / dt >.",
        checks=(check("the stored counterexample, replayed", "exact", "sentences:stored"),),
        expected=record("refuted"),
        found="The chain rule leaves nothing. Two elements and one feature show it exactly.",
        counterexample=case(
            "evolution_laws:replay_remainder_is_nonzero",
            S=[[0], [1]],
            **_ONES,
            targets=[[0], [0]],
            step=0,
        ),
    ),
    Claim(
        key="remainder-second-order",
        number="Section 4.2",
        kind="repair",
        locus=_REMAINDER,
        statement="A step of finite size eta leaves a remainder of order eta^2; divided by eta it "
        "vanishes as eta does, and in continuous time there is none.",
        encoded="The speed along any line is the first-order term at every point, for all sizes; "
        "the remainder of a step is the integral of the second derivative (sampled), and its order "
        "a fitted slope of two, along a random direction and for steps of gradient descent.",
        checks=(
            proved("tangent_expansion", "(14)", block="line"),
            check("the remainder as an integral", "autograd", "evolution:remainder_integral"),
            check("order along a direction", "trend", "evolution:remainder_order"),
            check("order for gradient descent", "trend", "descent:step_remainder"),
        ),
        expected=record("verified"),
        found="The o(.) of Eq. 15 is about steps; with time derivatives on both sides it is zero.",
        requires=("self-attention",),
        repairs="remainder-nonzero",
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="remainder-from-activations",
        number="Section 4.2",
        kind="sentence",
        locus=_REMAINDER,
        statement="With nonlinear activation functions, the remainder is not zero; second reading: "
        "it is they that make the remainder of a finite step.",
        encoded='The sentence\'s "because", read as an inverse: if the remainder is due to '
        "activation functions, then without one a finite step leaves none. Attention without its "
        "softmax, Q K^T V, has none. The sentence itself says that with one something is left: for "
        "finite steps that is `remainder-second-order`, which this does not refute.",
        checks=(check("the stored counterexample, replayed", "exact", "sentences:stored"),),
        expected=record("refuted"),
        found="Products of weights are nonlinear in the weights without any activation. With the "
        "softmax a finite step leaves a remainder too, as the sentence says.",
        counterexample=case(
            "evolution_laws:replay_no_remainder_without_activation",
            S=[[1]],
            **_ONES,
            D_Q=[[1]],
            D_K=[[1]],
            D_V=[[1]],
            step="1/2",
        ),
    ),
    Claim(
        key="remainder-from-nonlinearity",
        number="Section 4.2",
        kind="repair",
        locus=_REMAINDER,
        statement="What leaves a remainder is nonlinearity in the parameters that move: where W_V "
        "alone moves there is none, for a step of any size, although the softmax is there.",
        encoded="f(W_V + h D) = f(W_V) + h < d f / d W_V, D >, for every h and D and all sizes; "
        "where W_Q or W_K moves, something can be left (not with one element, whose weight is 1).",
        checks=(
            proved("tangent_expansion", "(13) no remainder", block="step W_V"),
            check("steps of W_V alone", "sample", "evolution:only_values_move"),
        ),
        expected=record("verified"),
        found="Softmax is one source, products of weights are another.",
        requires=("self-attention",),
        repairs="remainder-from-activations",
        derivation="derivations/tangent_expansion.py",
    ),
)
