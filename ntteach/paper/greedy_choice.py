"""Section 4.3: which sequences Eqs. 20 and 21 choose, and the sentences that lead to them."""

from ntteach.claims.model import Check, Claim, record
from ntteach.paper.declare import case, check, equations, proved, refuted, searched

_EQ20, _EQ21 = equations("20"), equations("21")
_43, _CORRELATION = "Section 4.3, first paragraph", "Section 4.3, after Eq. 20"
_ORDERS, _STEPS = "selection_orders:replay_", "selection_steps:replay_"


def _separable(teacher: str, covers: tuple[str, ...]) -> tuple[Check, ...]:
    """A choice by norms: proved, by trying every subset, and by the library's teacher."""
    return (
        proved("selection", "threshold: norms of stacked rows", covers=covers),
        searched(
            "norms choose",
            "rows of sequences",
            "sums choose",
            "largest entries choose",
            "smallest norms choose",
            covers=covers,
        ),
        check(
            "the library's teacher against every subset",
            "implementation",
            "selection_teachers:teacher_chooses",
            covers,
            teacher=teacher,
        ),
    )


CLAIMS = (
    Claim(
        key="gradient-selection",
        number="Eq. 20",
        kind="equation",
        locus=_43,
        statement="Among all choices of m of the N sequences, one has the largest Frobenius norm "
        "of stacked loss gradients, and it is that of the m sequences with the largest norms.",
        encoded="A sum of squares over the chosen, so a choice by a threshold: for any number of "
        "sequences and outputs, sum psi_i a_i = kappa m + sum psi_i (a_i - kappa). The converse is "
        "searched: the best subsets are those in which nothing is smaller than what is left out. "
        "Ties leave more than one.",
        checks=_separable("gradient", _EQ20),
        expected=record("verified"),
        found="Well posed, and a sort by |dL/df(S_i)|; unique unless scores tie at the threshold.",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="residual-selection",
        number="Eq. 21",
        kind="equation",
        locus=_CORRELATION,
        statement="The same holds with residuals f - f* in the place of loss gradients.",
        encoded="As for Eq. 20, on the differences of outputs and targets.",
        checks=_separable("greedy", _EQ21),
        expected=record("verified"),
        found="Well posed, and a sort by |f(S_i) - f*(S_i)|; it needs f* as outputs, which class "
        "labels are not.",
        requires=("gradient-selection",),
        derivation="derivations/selection.py",
    ),
    Claim(
        key="gradient-norm-by-projection",
        number="Section 4.3",
        kind="sentence",
        locus=_43,
        statement="The sequences with the largest loss gradients make the functional gradient "
        "largest, so that the norms of the sections K(S_i, .) need not be known.",
        encoded="With one choice by Eq. 20 and all that Proposition 4 supposes, no other subset of "
        "the size has a larger |sum_x g_x K_x|^2 = g_A^T K g_A. The case is a learner with "
        "sequences of one token, (1, 0) and (0, 2), whose kernel is the tokens' inner product; a "
        "second check has two tokens in each sequence.",
        checks=(
            *refuted("norms steepen the gradient", "one of two", "leverage steepens the gradient"),
            check(
                "an attention learner with two tokens in each sequence",
                "exact",
                "selection_steps:learner_does_it_too",
                learner="norm",
            ),
        ),
        expected=record("refuted"),
        found="For one sequence at a time the norm is sqrt(g_i^T K_ii g_i): a smaller error with a "
        "larger section wins. The choice by errors alone takes K for a multiple of the identity.",
        counterexample=case(
            _STEPS + "norms_steepen_the_gradient", J=[[1, 0], [0, 2]], g=[3, 2], size=1
        ),
    ),
    Claim(
        key="projection-when-isotropic",
        number="Section 4.3",
        kind="repair",
        locus=_43,
        statement="They do where the kernel is a multiple of the identity; in general the squared "
        "norm of what they choose is at least lambda_min / lambda_max of the largest, and the "
        "exact score of a single sequence is g_i^T K_ii g_i.",
        encoded="g^T K g = lambda |g|^2 + |U^T g|^2 = Lambda |g|^2 - |U'^T g|^2 for gradients that "
        "are zero off the chosen, all sizes; U U^T = K - lambda and U' U'^T = Lambda - K exist as "
        "lambda and Lambda are the extreme eigenvalues. Searched with every subset, for multiples "
        "of the identity and for others; one percent more is broken, by ties in K = diag(1, 4).",
        checks=(
            proved("selection", "kernel above", "kernel below"),
            searched(
                "norms steepen the gradient, K isotropic",
                "isotropic kernels",
                "norms steepen the gradient, K uneven",
            ),
            searched(
                "norms steepen the gradient up to the condition",
                "definite kernels",
                "norms steepen the gradient, one percent better",
            ),
            searched(
                "leverage steepens the gradient", "one of two", "errors alone steepen the gradient"
            ),
        ),
        expected=record("verified"),
        found="Errors alone lose at most the condition number of the kernel.",
        requires=("gradient-selection",),
        repairs="gradient-norm-by-projection",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="gradient-follows-residual",
        number="Section 4.3",
        kind="sentence",
        locus=_CORRELATION,
        statement="For a convex loss the norm of the loss gradient goes along with the residual: "
        "of two sequences, the one farther from its target has no smaller loss gradient.",
        encoded="One output, one loss, convex and smooth in f and least exactly at f*. The case is "
        "the cross-entropy log(1 + e^f) - p f with a probability p as label, where f* = logit p.",
        checks=refuted(
            "gradient follows residual", "two logits", "gradient follows residual, one side"
        ),
        expected=record("refuted"),
        found="The gradient is q - p, a difference of probabilities: far out, where the loss is "
        "flat, a large residual has a small gradient.",
        counterexample=case(_ORDERS + "gradient_follows_residual", outputs=[2, 1], targets=[4, 0]),
    ),
    Claim(
        key="squared-loss-same-choice",
        number="Section 4.3",
        kind="repair",
        locus=_CORRELATION,
        statement="For the squared loss Eqs. 20 and 21 choose the same sequences, always.",
        encoded="The derivative of (f - f*)^2 / 2 is the residual. Searched with every best subset "
        "of both; Huber's loss and weighted squares, where it fails, are the mutants.",
        checks=(
            proved("selection", "squared loss"),
            searched(
                "both choices agree",
                "sequences with targets",
                "both choices agree, huber",
                "both choices agree, weighted",
            ),
        ),
        expected=record("verified"),
        found="The step from Eq. 20 to Eq. 21 is an equality for this loss.",
        requires=("gradient-selection", "residual-selection"),
        repairs="gradient-follows-residual",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="label-residual-order",
        number="Section 4.3",
        kind="sentence",
        locus=_CORRELATION,
        statement="With class labels in the place of f*, the output farther from its label has no "
        "smaller loss gradient.",
        encoded="Logistic loss, labels -1 and 1; the residual is |f - y|, as when labels are all "
        "that is known of f*.",
        checks=refuted("label residual orders", "two labels", "probability residual orders"),
        expected=record("refuted"),
        found="An output beyond its label has a large residual and hardly any gradient: f = 4 log "
        "2 for the label 1 is farther than f = 0, as 16 > e^2.",
        counterexample=case(_ORDERS + "label_follows_residual", outputs=[4, 0], labels=[1, 1]),
    ),
    Claim(
        key="probability-residual",
        number="Section 4.3",
        kind="repair",
        locus=_CORRELATION,
        statement="For the logistic loss the gradient is the residual of the probability, so that "
        "a choice by that residual is the choice of Eq. 20.",
        encoded="Searched on pairs of outputs with labels; the choice by any scores that are equal "
        "is one and the same, for all sizes.",
        checks=(
            proved("selection", "threshold: any score"),
            searched("probability residual orders", "two labels", "label residual orders"),
        ),
        expected=record("verified"),
        found="For classifiers choose by |q - p|, or by the gradient itself.",
        requires=("gradient-selection", "loss-smoothness"),
        repairs="label-residual-order",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="gradient-grows-with-residual",
        number="Section 4.3",
        kind="sentence",
        locus=_CORRELATION,
        statement="Of two outputs the one farther from its target has the larger loss gradient; "
        "strictly larger.",
        encoded="One output, a convex and smooth loss of the residual that is least at 0. The case "
        "is Huber's loss beyond its kink; with the absolute loss every output ties.",
        checks=refuted("gradient grows", "two huber residuals", "gradient grows weakly"),
        expected=record("refuted"),
        found="Where the loss is a line all gradients tie, and Eq. 20 no longer tells sequences "
        "apart that Eq. 21 does.",
        counterexample=case(_ORDERS + "gradient_grows", residuals=[3, 2], delta=1),
    ),
    Claim(
        key="one-output-order",
        number="Section 4.3",
        kind="repair",
        locus=_CORRELATION,
        statement="For one output and one convex loss of the residual, least at 0, the larger of "
        "two residuals of a sign has no smaller loss gradient.",
        encoded="r s (s - r)(g_s^2 - g_r^2) is a product of two brackets that convexity makes "
        "non-negative, for s > r > 0. A loss that is not even may have a larger slope on the other "
        "side. Searched for Huber's loss.",
        checks=(
            proved("selection", "one output: larger residual"),
            searched("gradient grows weakly", "two huber residuals", "gradient grows"),
        ),
        expected=record("verified"),
        found="This is what is true of the sentence: weakly, for one output, on one side, and "
        "for one fixed function of the residual.",
        repairs="gradient-grows-with-residual",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="strongly-convex-order",
        number="Section 4.3",
        kind="sentence",
        locus=_CORRELATION,
        statement="For a strongly convex loss, at least, the sequence farther from its target has "
        "no smaller loss gradient.",
        encoded="Several outputs; sum_c w_c r_c^2 / 2 with mu = min w > 0 and tau = max w.",
        checks=refuted(
            "weighted order", "weighted residuals", "weighted order up to the condition"
        ),
        expected=record("refuted"),
        found="The norm of the residual does not see the weights: |g|^2 = 4 for the residual "
        "(2, 0), 16 for (0, 1). A larger mu alone does not help; it is tau / mu that counts.",
        counterexample=case(_ORDERS + "weighted_order", weights=[1, 4], residuals=[[2, 0], [0, 1]]),
    ),
    Claim(
        key="strong-convexity-ranking",
        number="Section 4.3",
        kind="repair",
        locus=_CORRELATION,
        statement="The ranking by residuals is right up to the condition number: if the loss is "
        "least at f*, mu-strongly convex and tau-smooth, the gradients of the choice of Eq. 21 "
        "have a norm of at least mu / tau times the largest, and no better constant does.",
        encoded="mu |r| <= |g| <= tau |r|: by Lagrange's identity for every such loss and any "
        "number of outputs; then a sum of three terms of known sign for two choices. Searched for "
        "weighted squares and sampled for the library's losses, with one percent more as mutant.",
        checks=(
            proved("selection", "strong convexity"),
            searched(
                "weighted order up to the condition",
                "weighted residuals",
                "weighted order, one percent better",
            ),
            check(
                "the constants of the library's losses",
                "implementation",
                "selection_teachers:constants_bound_gradients",
            ),
        ),
        expected=record("verified"),
        found="Equality for the weights 1 and w and residuals (1, 0) and (0, 1). For mu = tau, the "
        "squared loss, the two rankings are one.",
        requires=("residual-selection", "loss-strong-convexity", "loss-smoothness"),
        repairs="strongly-convex-order",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="gradient-falls-towards-target",
        number="Section 4.3",
        kind="sentence",
        locus=_CORRELATION,
        statement="As the output comes closer to the target, the norm of the loss gradient falls.",
        encoded="The kindest reading: straight towards f*, along a line; two outputs, a loss that "
        "is convex, smooth and least at f* alone. The case is a sum of two Huber losses.",
        checks=refuted(
            "gradient falls towards the target", "ridges", "slope falls towards the target"
        ),
        expected=record("refuted"),
        found="Far out two slopes cancel across the line: |(6, 0)|^2 = 36 there, |(4, 6)|^2 = 52 "
        "nearer. Closer in norm by another direction, a weighted square is enough "
        "(`strongly-convex-order`).",
        counterexample=case(
            _ORDERS + "gradient_falls_towards_target",
            ridges=[[1, 3], [1, -3]],
            curvatures=[3, 1],
            deltas=[1, 3],
            direction=[1, 0],
            times=[1, 3],
        ),
    ),
    Claim(
        key="slope-falls-towards-target",
        number="Section 4.3",
        kind="repair",
        locus=_CORRELATION,
        statement="Straight towards the target the slope along the line falls, for every convex "
        "loss; the norm of the gradient falls for sums of losses of single outputs.",
        encoded="<G' - G, (u - t) rho> = (u - t)(<G', rho> - <G, rho>), and convexity makes the "
        "left side non-negative; for sums, `one-output-order` for each output. All sizes; searched "
        "for sums of Huber losses.",
        checks=(
            proved("selection", "along a line"),
            searched(
                "slope falls towards the target", "ridges", "gradient falls towards the target"
            ),
            searched(
                "gradient falls towards the target",
                "ridges along the axes",
                "gradient grows towards the target",
            ),
        ),
        expected=record("verified"),
        found="What falls is the rate of the loss along the way, not the gradient.",
        requires=("one-output-order",),
        repairs="gradient-falls-towards-target",
        derivation="derivations/selection.py",
    ),
)
