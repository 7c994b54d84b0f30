"""Appendix B.1, the proof of Theorem 3, step by step (Eqs. 59-63)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, equations, proved, refuted

_EQ59, _EQ60, _EQ61 = equations("59"), equations("60"), equations("61")
_EQ62, _EQ63 = equations("62"), equations("63")
_APPENDIX, _DERIVATION = "Appendix B.1", "derivations/kernel_limit.py"
_VANISHING = "Appendix B.1, sentence before Eq. 63"
_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_PROBED = {
    "training": [[[1], [1]]],
    "gaps": [[1, 1]],
    **_ONES,
    "other": {"W_Q": [[2]]},
    "probe": [[0], [1]],
}
_BLOCKS = {"W_V": "value", "W_Q": "query", "W_K": "key"}


CLAIMS = (
    Claim(
        key="evolution-equated",
        number="Eq. 59",
        kind="equation",
        locus=f"{_APPENDIX}, Eq. 59",
        statement="The motion of the learner along the canonical kernel is its motion under "
        "gradient descent of the parameters, up to a remainder of smaller order than the velocity "
        "of the parameters.",
        encoded="For one K, which does not depend on the start: (eta / n) g^T [K - K_theta^t] is "
        "small beside |d theta / dt| as that tends to zero, at every second argument. For two "
        "starts with one g at every time this would make (eta / n) g^T [K_theta^t - K_theta'^t] "
        "small, in which K does not occur. In continuous time the remainder is zero, which asks "
        "for more.",
        checks=refuted(
            "evolutions are equal",
            "one token and a probe",
            "evolutions are equal for one function",
            covers=_EQ59,
        ),
        expected=record("refuted"),
        found="This is what was to be shown, and it is false for a K that is not the run's own: "
        "the difference stays a fixed share of the velocity.",
        counterexample=case("limit_laws:replay_evolutions_are_equal", **_PROBED),
    ),
    Claim(
        key="evolution-by-own-kernel",
        number="Eq. 59",
        kind="repair",
        locus=f"{_APPENDIX}, Eq. 59",
        statement="With the learner's own kernel K_theta^t, which changes along the run, in the "
        "place of K, both motions are the same and nothing remains.",
        encoded="Functional gradient descent with K_theta^t is Eq. 15 without its remainder: for "
        "all sizes and any loss gradient, at every time.",
        checks=(
            *(
                proved("tangent_expansion", f"(57) any loss: {name}", block=f"flow {W}")
                for W, name in _BLOCKS.items()
            ),
            check("speed of the outputs by autograd", "autograd", "descent:flow"),
        ),
        expected=record("verified"),
        found="Holds. The kernel with which gradient descent of the parameters is functional "
        "gradient descent is the dynamic one.",
        requires=("output-chain-rule", "gradient-flow-product"),
        repairs="evolution-equated",
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="evolution-rearranged",
        number="Eq. 60",
        kind="equation",
        locus=f"{_APPENDIX}, Eq. 60",
        statement="Eq. 59 gives Eq. 60: the product of the loss gradients with K - K_theta^t is "
        "the remainder.",
        encoded="As algebra: both sums of Eq. 59 brought to one side, for any two kernels and any "
        "number of outputs; in numbers, with the kernel of another learner for K and the speed of "
        "the outputs for the motion by K_theta^t. Whether Eq. 59 holds is `evolution-equated`.",
        checks=(
            proved("kernel_limit", "(60) from (59)", covers=_EQ60),
            check("both sides for another K", "autograd", "limit_samples:motion_left", _EQ60),
        ),
        expected=record("verified", "refuted"),
        found="The step holds; what it starts from does not.",
        requires=("output-chain-rule",),
        paper_uses=("evolution-equated",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="parameter-velocity",
        number="Eq. 61",
        kind="equation",
        locus=f"{_APPENDIX}, Eq. 61",
        statement="The parameters move by the product of the loss gradients with the gradients of "
        "the outputs.",
        encoded="Eq. 7 and Eq. 56 once more, for N sequences and v outputs, all sizes. Sampled for "
        "three losses.",
        checks=(
            *(
                proved(
                    "tangent_expansion",
                    f"(56) gradient descent: {name}",
                    covers=_EQ61,
                    block=f"loss {W}",
                )
                for W, name in _BLOCKS.items()
            ),
            check("the product against autograd", "autograd", "training:product", _EQ61),
        ),
        expected=record("verified"),
        found="Holds.",
        requires=("self-attention",),
        derivation="derivations/tangent_expansion.py",
    ),
    Claim(
        key="remainder-of-velocity",
        number="Eq. 62",
        kind="equation",
        locus=f"{_APPENDIX}, Eq. 62",
        statement="With Eq. 61 the remainder of Eq. 60 is of smaller order than the product of the "
        "loss gradients with the gradients of the outputs.",
        encoded="As algebra: equals put for equals. What a remainder sees of that product is its "
        "length, and |d theta / dt|^2 = (eta / n)^2 g^T K_theta g, for any number of outputs and "
        "parameters. Whether Eq. 60 holds is judged above.",
        checks=(
            proved("kernel_limit", "(62) size of the velocity", covers=_EQ62),
            check("length of the velocity", "autograd", "limit_samples:velocity_size", _EQ62),
        ),
        expected=record("verified", "refuted"),
        found="The step holds. Where the kernel is regular, the velocity is of the order of g, as "
        "the left side of Eq. 60 is for any K.",
        requires=("parameter-velocity",),
        paper_uses=("evolution-equated", "evolution-rearranged", "parameter-velocity"),
        derivation=_DERIVATION,
    ),
    Claim(
        key="loss-derivative-vanishes",
        number="Appendix B.1",
        kind="sentence",
        locus=_VANISHING,
        statement="Training with a loss that is convex in f makes its derivative by f tend to "
        "zero.",
        encoded="For gradient flow on half the squared error, on any training set: dL/df of every "
        "output tends to zero. The exact cases are runs in which W_V alone moves.",
        checks=refuted(
            "loss derivative vanishes",
            "repeated tokens",
            "loss derivative vanishes through values",
        ),
        expected=record("refuted"),
        found="Two equal tokens have equal outputs; if their targets differ by 1, so do their "
        "derivatives, at every time. Convex in f does not mean that every f can be reached.",
        counterexample=case(
            "limit_loss_laws:replay_loss_derivative_vanishes",
            training=[[[1], [1]]],
            gaps=[[0, 1]],
            **_ONES,
        ),
    ),
    Claim(
        key="loss-derivative-at-least-value",
        number="Appendix B.1",
        kind="repair",
        locus=_VANISHING,
        statement="The derivative by f vanishes where the loss tends to its least value as a "
        "function of f: |dL/df|^2 is at most 2 tau (L - inf L) for a convex loss with a "
        "tau-Lipschitz derivative.",
        encoded="Such a loss lies below a parabola, whose lowest point is |g|^2 / (2 tau) below "
        "L(f), for any number of outputs; inf L is not above it. For the summed loss, g not "
        "averaged. Sampled for the squared, logistic and Huber loss.",
        checks=(
            proved("kernel_limit", "loss derivative"),
            check("three losses", "sample", "limit_samples:smooth_losses"),
        ),
        expected=record("verified"),
        found="Holds, with equality for the squared loss. That the loss tends to its least value "
        "has to be shown of a run, or assumed.",
        repairs="loss-derivative-vanishes",
        derivation=_DERIVATION,
    ),
    Claim(
        key="realisable-loss-derivative-vanishes",
        number="Appendix B.1",
        kind="sentence",
        locus=_VANISHING,
        statement="Training with a loss that is convex in f makes its derivative by f tend to "
        "zero; second reading: if some learner of this form meets every target.",
        encoded="As above, with targets that are the outputs of a learner with given weights, so "
        "that the least value of the loss, zero, is reached by some parameters.",
        checks=refuted(
            "realisable loss derivative vanishes",
            "unattended features",
            "realisable loss derivative vanishes through values",
        ),
        expected=record("refuted"),
        found="Not from every start: where W_Q and W_K do not see the feature in which tokens "
        "differ, their gradients are zero for ever, attention stays uniform, and the run ends at a "
        "mean of the targets.",
        counterexample=case(
            "limit_loss_laws:replay_realisable_loss_derivative_vanishes",
            training=[[[0, 0], [1, 0]]],
            W_Q=[[0, 0], [1, 0]],
            W_K=[[0, 0], [1, 0]],
            W_V=[[2], [0]],
            teacher={"W_Q": [[1, 0], [1, 0]], "W_K": [[1, 0], [1, 0]], "W_V": [[1], [0]]},
        ),
    ),
    Claim(
        key="velocity-vanishes",
        number="Appendix B.1",
        kind="repair",
        locus=_VANISHING,
        statement="What vanishes where the parameters converge is g^T K_theta g, the part of the "
        "loss derivative that the kernel sees; g itself follows if no direction is null in the "
        "limit.",
        encoded="|d theta / dt|^2 = (eta / n)^2 g^T K_theta g for any number of outputs. Where a "
        "run converges, its velocity tends to zero, as it is a continuous function of the "
        "parameters that has a limit.",
        checks=(
            proved("kernel_limit", "(62) size of the velocity"),
            check("length of the velocity", "autograd", "limit_samples:velocity_size"),
        ),
        expected=record("verified"),
        found="Holds. In both cases above what is left of g lies in a null direction of the "
        "kernel.",
        requires=("parameter-velocity",),
        repairs="realisable-loss-derivative-vanishes",
        derivation=_DERIVATION,
    ),
    Claim(
        key="contraction-vanishes",
        number="Appendix B.1",
        kind="sentence",
        locus=_VANISHING,
        statement="As the loss derivative g tends to zero, so does the left side of Eq. 60, "
        "g^T [K - K_theta^t].",
        encoded="For every K such that K - K_theta^t is bounded, whatever it is: |g^T Delta| is at "
        "most |g| |Delta|, by Lagrange's identity, whose other term is a sum of squares, for any "
        "number of outputs. On runs, with the kernel in which another start ends for K.",
        checks=(
            proved("kernel_limit", "contraction"),
            check("an unrelated K along runs", "sample", "limit_runs:contraction", own=False),
        ),
        expected=record("verified"),
        found="Holds for every bounded K, and so tells no K from another: with the derivative of "
        "the loss at zero, Eq. 60 says 0 = 0.",
        requires=("self-attention",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="contraction-along-direction",
        number="Appendix B.1",
        kind="sentence",
        locus=_VANISHING,
        statement="The left side of Eq. 60 tends to zero faster than g: g^T [K - K_theta^t] / |g| "
        "tends to zero.",
        encoded="What is left of the comparison of orders once g vanishes, for one K that does not "
        "depend on the start. As for Eq. 59, two starts with one g at every time.",
        checks=refuted(
            "contraction along g vanishes",
            "one token and a probe",
            "contraction along g vanishes for one function",
        ),
        expected=record("refuted"),
        found="The direction of g need not move; along it, two starts keep kernels that differ.",
        counterexample=case("limit_laws:replay_contraction_along_g_vanishes", **_PROBED),
    ),
    Claim(
        key="contraction-with-own-limit",
        number="Appendix B.1",
        kind="repair",
        locus=_VANISHING,
        statement="It does for the kernel in which the run itself ends, if the parameters "
        "converge.",
        encoded="By Lagrange's identity |g^T Delta| / |g| is at most |Delta|, and Delta = "
        "K_theta^infinity - K_theta^t tends to zero with the parameters.",
        checks=(
            proved("kernel_limit", "contraction"),
            check("the run's own K", "sample", "limit_runs:contraction", own=True),
        ),
        expected=record("verified"),
        found="Holds, because all of K_theta^t tends to that kernel; it is no evidence for it.",
        requires=("antk-settles-with-parameters",),
        repairs="contraction-along-direction",
        derivation=_DERIVATION,
    ),
    Claim(
        key="bracket-vanishes",
        number="Eq. 63",
        kind="equation",
        locus=f"{_APPENDIX}, Eq. 63",
        statement="As the loss derivative vanishes and Eq. 60 holds with a remainder of smaller "
        "order, K - K_theta^t tends to zero.",
        encoded="The inference by itself: if g^T [K - K_theta^t] = 0 at every time and g tends to "
        "zero, then K_theta^t tends to K, on the training set. The exact case takes for K the "
        "kernel of another learner, the same as a function.",
        checks=refuted(
            "bracket vanishes",
            "two features",
            "value part of the bracket vanishes",
            covers=_EQ63,
        ),
        expected=record("refuted", "refuted"),
        found="It does not follow: here Eqs. 59 to 62 hold with no remainder at all, g tends to "
        "zero, and one entry of K - K_theta^t is -3/128 for ever. A product that is zero makes no "
        "factor of it zero.",
        paper_uses=("remainder-of-velocity", "loss-derivative-vanishes"),
        counterexample=case(
            "limit_laws:replay_bracket_vanishes",
            training=[[[0, 1], [0, 1]], [[0, 0], [1, 0]]],
            gaps=[[1, 1], [0, 0]],
            W_Q=[[0, 0], [0, 1]],
            W_K=[[1, 0], [0, 1]],
            W_V=[[1], [1]],
            factor=2,
        ),
    ),
    Claim(
        key="bracket-from-directions",
        number="Eq. 63",
        kind="repair",
        locus=f"{_APPENDIX}, Eq. 63",
        statement="Contractions that vanish for as many independent directions of g as there are "
        "outputs make K - K_theta zero.",
        encoded="For every column Delta of K - K_theta and any number of loss gradients: the sum "
        "of (g^T Delta)^2 is Delta^T P Delta with P the sum of g g^T, at least lambda |Delta|^2 "
        "for the least eigenvalue lambda of P.",
        checks=(
            proved("kernel_limit", "directions"),
            check("columns from contractions", "sample", "limit_samples:enough_directions"),
        ),
        expected=record("verified"),
        found="Holds. One run with one g does not give that many directions at one time; Eq. 60 "
        "would have to hold for n losses at the same parameters.",
        requires=("self-attention",),
        repairs="bracket-vanishes",
        derivation=_DERIVATION,
    ),
)
