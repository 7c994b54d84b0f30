"""Algorithm 1 (Appendix A.5): that it stops, what a step does, and when it reaches the target."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, proved, refuted, searched

_A5, _43 = "Appendix A.5, Algorithm 1", "Section 4, first paragraph, and Section 4.3"
_SUBSET = "Section 4.2, Proposition 4, as Algorithm 1 uses it"
_STEPS, _DESCENT = "selection_steps:replay_", "selection_descent:replay_"

CLAIMS = (
    Claim(
        key="algorithm-stops",
        number="Algorithm 1",
        kind="algorithm",
        locus=_A5,
        statement="The algorithm stops after at most T + 1 steps, whatever the learner does.",
        encoded="A loop whose counter runs from 0 while it is at most T: T + 1 less the steps "
        "made is a sum of terms that are 0 or 1. Simulated exactly and in floats, with functional "
        "gradient descent; fewer steps only once the residuals are below epsilon.",
        checks=(
            proved("selection", "loop"),
            searched("the loop ends", "loops", "the loop ends a step early"),
        ),
        expected=record("verified"),
        found="It stops. T is called the largest number of iterations; as the test is t <= T from "
        "t = 0, there can be one more.",
        requires=("residual-selection",),
        derivation="derivations/selection.py",
    ),
    Claim(
        key="algorithm-reaches-tolerance",
        number="Algorithm 1",
        kind="algorithm",
        locus=_A5,
        statement="With T large enough, it stops because the residuals are below epsilon.",
        encoded="An attention learner as in Eq. 2, no weight zero, the squared loss and one "
        "sequence, which is always chosen. Equal tokens have equal outputs for all parameters, so "
        "if their targets differ, the squared norm stays above half the square of the difference.",
        checks=(check("the stored counterexample, replayed", "exact", "sentences:stored"),),
        expected=record("refuted"),
        found="Two equal tokens with the targets 0 and 1: never below 1/2. The kernel is singular "
        "there, and the target is no function that the learner has.",
        counterexample=case(
            _DESCENT + "loop_reaches_the_tolerance",
            sequence=[[1], [1]],
            W_Q=[[1]],
            W_K=[[1]],
            W_V=[[1]],
            targets=[0, 1],
            eta="1/2",
            epsilon="1/2",
            steps=2,
        ),
    ),
    Claim(
        key="greedy-converges",
        number="Algorithm 1",
        kind="repair",
        locus=_A5,
        statement="Functional gradient descent with one fixed, positive definite kernel, the "
        "squared loss, Eq. 21 for any m and eta < 2 / gamma reaches every epsilon: each step "
        "leaves at most 1 - eta (2 - eta gamma) lambda_min / N of the squared distance |f - f*|^2 "
        "in the kernel's space, gamma the largest K_ii.",
        encoded="For scalar outputs and f - f* in the span of the sections (what is orthogonal to "
        "them has no residual). All sizes: the step on one output is an identity in three terms of "
        "known sign, |K a|^2 - lambda a^T K a is a sum of squares, and the chosen have their share "
        "of the squares. Searched, with one percent more and the smallest residuals as mutants, "
        "and run with the library's learner and teacher.",
        checks=(
            proved(
                "selection",
                "one output: the distance",
                "one output: the rate",
                "residuals see the distance",
                "chosen outputs have their share",
            ),
            searched(
                "steps contract",
                "regular kernels",
                "steps contract, one percent better",
                "steps on the smallest contract",
            ),
            check("runs of the library's learner", "sample", "selection_teachers:runs_contract"),
        ),
        expected=record("verified"),
        found="The true core of greedy teaching: geometric convergence, at best 1 - lambda_min / "
        "(N gamma) a step, for eta = 1 / gamma. For K = lambda and equal residuals it is sharp.",
        requires=("greedy-step-distance", "residual-selection"),
        repairs="algorithm-reaches-tolerance",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="subset-step-decreases",
        number="Algorithm 1",
        kind="algorithm",
        locus=_SUBSET,
        statement="Each step of the algorithm lowers the loss over all sequences.",
        encoded="Proposition 4, taken to the steps that the algorithm makes: with all that it "
        "supposes, eta included, and one choice by Eq. 21, -dL/dt = eta / (m n) g^T K g_A is not "
        "negative. The case is a learner of sequences with one token, (1, 0) and (-2, 1), squared "
        "loss; a second check has two tokens in each sequence. L is convex in f, so what the "
        "derivative raises a step raises too.",
        checks=(
            *refuted(
                "a subset step does not raise the loss",
                "one of two",
                "a full step does not raise the loss",
            ),
            check(
                "an attention learner with two tokens in each sequence",
                "exact",
                "selection_steps:learner_does_it_too",
                learner="loss",
            ),
        ),
        expected=record("refuted", "refuted"),
        found="g^T K g_A = 9 - 12 < 0: what the chosen gain, the other loses more. Proposition 4 "
        "is about steps on all sequences and says nothing about a choice.",
        paper_uses=("sufficient-loss-reduction",),
        counterexample=case(
            _STEPS + "subset_step_spares_the_rest", J=[[1, 0], [-2, 1]], g=[3, 2], size=1
        ),
    ),
    Claim(
        key="greedy-step-distance",
        number="Algorithm 1",
        kind="repair",
        locus=_SUBSET,
        statement="What each step on chosen sequences does lower is the distance from f* in the "
        "kernel's space: by h (2 / tau - h Lambda) |g_A|^2 or more, h = eta / m, for a loss that "
        "is a sum over outputs of convex tau-smooth losses least at f*. With one Lambda for all "
        "choices Eq. 20 makes this largest, and Eq. 21 for the squared loss, where it is the best "
        "single choice if all K_ii are equal.",
        encoded="Lambda bounds the kernel of the chosen: its largest eigenvalue, which depends on "
        "the choice, or m gamma, which does not. By the reproducing property |f+ - f*|^2 = "
        "|f - f*|^2 - 2 h <g, r> + h^2 g^T K g, and <g, r> >= |g|^2 / tau; for all sizes and "
        "f - f* in the kernel's space. Searched with every subset, and compared with the library's "
        "learner for five kernels and three losses. A bound better by one percent is broken.",
        checks=(
            proved("selection", "step: the distance", "step: the guaranteed decrease"),
            searched(
                "a step shortens the distance",
                "functions",
                "a step shortens the distance, one percent better",
                "a step away shortens the distance",
            ),
            searched("greedy comes closest", "functions, equal K_ii", "the smallest comes closest"),
            check(
                "the library's learner against the closed form",
                "implementation",
                "selection_teachers:distance_after_a_step",
            ),
            check(
                "the library's learner against the bound",
                "sample",
                "selection_teachers:distance_falls_by_the_bound",
            ),
        ),
        expected=record("verified"),
        found="This justifies Eq. 20, and Eq. 21 for the squared loss, in function space: an "
        "equality for one output, and never a step away from f* while h < 2 / (tau Lambda).",
        requires=("gradient-selection", "residual-selection", "loss-smoothness"),
        repairs="subset-step-decreases",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="subset-step-bound",
        number="Algorithm 1",
        kind="repair",
        locus=_SUBSET,
        statement="On the loss of all, dL/dt <= -(eta / (m n)) |g_A| (lambda_min(A) |g_A| - |B| "
        "|g_R|), with A the kernel of the chosen and B its block with the rest; so the loss falls "
        "where lambda_min(A) |g_A| > |B| |g_R|. Of all choices of m, Eq. 20 makes |g_A| / |g_R| "
        "largest.",
        encoded="For all sizes: the rate in two parts, K = lambda + U U^T for the first and "
        "Lagrange's identity for the second; the share by an identity; a whole step on the squared "
        "loss adds |change of f|^2 / (2 n). Averaged losses; m and n count elements. Searched "
        "exactly with |B| as Frobenius norm, and for live learners against autograd.",
        checks=(
            proved("selection", "subset: the rate in two parts", "subset: Lagrange's identity"),
            proved("selection", "subset: the largest share", "subset: a step on the squared"),
            searched(
                "subset rate is bounded",
                "regular kernels and gradients",
                "subset rate is bounded, one percent better",
                "subset rate is bounded by its first term",
                "subset rate is bounded, sign turned",
            ),
            searched(
                "the condition suffices", "choosing", "the condition suffices, one percent weaker"
            ),
            searched(
                "greedy has the largest share", "choosing", "the smallest have the largest share"
            ),
            check(
                "the rate of live learners by autograd",
                "autograd",
                "selection_measured:rate_on_all",
            ),
            check(
                "the bound for live learners", "autograd", "selection_measured:bound_on_the_rate"
            ),
        ),
        expected=record("verified"),
        found="Greedy choice helps the condition by its one factor |g_A| / |g_R|; lambda_min(A) "
        "and |B| depend on the choice as well. It has to be checked; the choice does not imply it.",
        requires=("gradient-selection", "projection-when-isotropic"),
        repairs="subset-step-decreases",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="greedy-steepest",
        number="Section 4.3",
        kind="sentence",
        locus=_43,
        statement="The algorithm selects the sequences along which training descends fastest.",
        encoded="With all that Proposition 4 supposes and one choice by Eq. 21, no other choice of "
        "m lowers the loss of all faster, to first order. The kindest case: all K_ii are equal, so "
        "that no section is longer than another.",
        checks=refuted(
            "greedy is steepest", "choosing, equal K_ii", "the kernel's choice is steepest"
        ),
        expected=record("refuted", "refuted"),
        found="Two sequences that pull together move the loss more than one with a larger error "
        "that they hinder: 15 against 8.",
        paper_uses=(
            "gradient-norm-by-projection",
            "gradient-follows-residual",
            "gradient-falls-towards-target",
        ),
        counterexample=case(
            _STEPS + "greedy_is_steepest",
            J=[[1, 1, 0], [-1, 0, 1], [0, -1, 1]],
            g=[4, 3, 3],
            size=1,
        ),
    ),
    Claim(
        key="kernel-choice-steepest",
        number="Section 4.3",
        kind="repair",
        locus=_43,
        statement="The choice of m that lowers the loss of all fastest, to first order, is that of "
        "the m sequences with the largest <g_i, (K g)_i>, each the inner product of the loss "
        "gradient with the speed that a step on all would give.",
        encoded="The rate g^T K g_A is a sum over the chosen of g_y (K g)_y, so a choice by a "
        "threshold, for all sizes. Searched with every subset; the residuals' choice is a mutant.",
        checks=(
            proved("selection", "subset: the rate is a sum"),
            searched(
                "the kernel's choice is steepest", "choosing, equal K_ii", "greedy is steepest"
            ),
        ),
        expected=record("verified"),
        found="Separable as well: one product of the kernel with the loss gradients, then a sort.",
        requires=("gradient-selection",),
        repairs="greedy-steepest",
        derivation="derivations/selection.py",
    ),
    Claim(
        key="greedy-often-best",
        number="Section 4.3",
        kind="repair",
        locus=_43,
        statement="On random attention learners the sequence with the largest residual is the best "
        "single choice far more often than chance, but not always.",
        encoded="12 random sequences of 3 tokens, squared loss, one taught at a time; the share in "
        "which it lowers the loss of all fastest, to first order, with a 95 % interval above 1/12 "
        "and below 1. The check prints how often it raises the loss of all, too.",
        checks=(
            check("shares, with intervals", "sample", "selection_measured:greedy_is_often_best"),
        ),
        expected=record("supported"),
        found="About half of the time, where chance is 8 %; in a few percent it raises the loss of "
        "all. By g_i^T K_ii g_i it is best three times in four. A heuristic that the theory does "
        "not give.",
        requires=("residual-selection",),
        repairs="greedy-steepest",
    ),
)
