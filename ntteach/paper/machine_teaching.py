"""Section 3: the problems of teaching and of learning, and functional descent (Eqs. 3-5)."""

from ntteach.claims.model import Claim, record
from ntteach.paper.declare import case, check, equations, proved, refuted, searched

_EQ3, _EQ4, _EQ5 = equations("3"), equations("4"), equations("5")
_DERIVATION = "derivations/functional_descent.py"
_LAWS = "space_learning_laws:"
_TEACHING, _LEARNING = "Section 3, Eq. 3", "Section 3, Eq. 4"

CLAIMS = (
    Claim(
        key="teaching-problem",
        number="Eq. 3",
        kind="equation",
        locus=_TEACHING,
        statement="The teacher looks for a set of examples with the least sum of discrepancy and "
        "price.",
        encoded="Well posed for a finite pool, a price lambda > 0 per example, a discrepancy that "
        "is not negative and any learner: sets with more than M(empty) / lambda examples cost more "
        "than none, so that only smaller ones matter. Searched with the learner that fits the "
        "examples with the least norm, M = |f_hat - f*|^2: what is enumerated up to that size is "
        "what is found among all sets, and no optimum is larger.",
        checks=(
            proved("functional_descent", "(3)", covers=_EQ3),
            searched("small sets are enough", "pools", "smaller sets are enough", covers=_EQ3),
            searched("every optimum is small", "pools", "every optimum is smaller", covers=_EQ3),
        ),
        expected=record("verified"),
        found="Well posed there, and the bound on the size is attained.",
        requires=("span-inner-product",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="teaching-optimum-exists",
        number="Section 3",
        kind="sentence",
        locus=_TEACHING,
        statement="The teaching problem has a solution, for whatever collection of teaching sets.",
        encoded="Also for a pool without end, with lambda > 0, f* in the space, and a learner that "
        "fits the examples with the least norm: some set of examples has the least cost.",
        checks=refuted("optimum is attained", "endless pools", "optimum is attained, finite pool"),
        expected=record("refuted"),
        found="With examples (n, 1), n = 1, 2, ..., one far out tells more than any before it: the "
        "costs of single examples fall to the price and do not reach it.",
        counterexample=case(_LAWS + "replay_optimum_is_attained", target=2, height=1, price=1),
    ),
    Claim(
        key="teaching-optimum-finite",
        number="Section 3",
        kind="repair",
        locus=_TEACHING,
        statement="With finitely many examples to choose from and a price above zero the teaching "
        "problem has a solution, of at most M(empty) / lambda examples.",
        encoded="As `teaching-problem`; and for the first four examples of the pool that has no "
        "solution.",
        checks=(
            proved("functional_descent", "(3)"),
            searched("every optimum is small", "pools", "every optimum is smaller"),
            searched("optimum is attained, finite pool", "endless pools", "optimum is attained"),
        ),
        expected=record("verified"),
        found="It has. Without a price there is a solution too, but the size of a set is free.",
        requires=("teaching-problem",),
        repairs="teaching-optimum-exists",
        derivation=_DERIVATION,
    ),
    Claim(
        key="learning-problem",
        number="Eq. 4",
        kind="equation",
        locus=_LEARNING,
        statement="The learner looks for a function with the least expected loss against the "
        "target function.",
        encoded="Well posed where f* lies in the space and no loss is less than that of an output "
        "that meets its target: then f* is a solution. For the squared loss, any weights on any "
        "number of sequences: the expected loss of f* + u is half the weighed sum of u(S_i)^2, and "
        "beside any solution g of a problem with other targets that of g and as much. Huber's loss "
        "is searched.",
        checks=(
            proved("functional_descent", "(4) loss", covers=_EQ4),
            searched(
                "target is a minimiser",
                "training tokens",
                "target is a minimiser, with noise",
                covers=_EQ4,
            ),
        ),
        expected=record("verified"),
        found="Well posed there; convexity alone does not make it so, see "
        "`learning-minimiser-exists`.",
        requires=("span-inner-product",),
        derivation=_DERIVATION,
    ),
    Claim(
        key="learning-minimiser-exists",
        number="Section 3",
        kind="sentence",
        locus=_LEARNING,
        statement="For any convex loss the learning problem has a solution.",
        encoded="For the logistic loss, convex in f, with labels -1 and 1 at one sequence with "
        "K(S, S) > 0, where f(S) takes every value: some f has the least expected loss.",
        checks=refuted(
            "minimiser exists", "labels of one sequence", "minimiser exists, both labels"
        ),
        expected=record("refuted"),
        found="With one label only, the loss falls for ever as f(S) grows: its infimum, 0, is not "
        "attained. So it is for cross-entropy with class labels.",
        counterexample=case(_LAWS + "replay_minimiser_exists", labels=[1], own=1),
    ),
    Claim(
        key="learning-minimiser-of-targets",
        number="Section 3",
        kind="repair",
        locus=_LEARNING,
        statement="The learning problem has a solution where the targets are values of a function "
        "of the space and the loss is least at the target; with the logistic loss at one sequence, "
        "where both labels occur.",
        encoded="For the squared loss with any weights and number of sequences; Huber's loss and "
        "the logistic loss, by its slope, searched.",
        checks=(
            proved("functional_descent", "(4) loss beside the target"),
            searched(
                "target is a minimiser", "training tokens", "target is a minimiser, with noise"
            ),
            searched("minimiser exists, both labels", "labels of one sequence", "minimiser exists"),
        ),
        expected=record("verified"),
        found="It has, f* among them.",
        requires=("learning-problem",),
        repairs="learning-minimiser-exists",
        derivation=_DERIVATION,
    ),
    Claim(
        key="learning-minimiser-unique",
        number="Section 3",
        kind="sentence",
        locus=_LEARNING,
        statement="The solution of the learning problem is one function.",
        encoded="For a strictly convex loss, f* in the space, and finitely many tokens, none zero, "
        "with the kernel < s, t >: only f* has the least expected loss.",
        checks=refuted("minimiser is unique", "training tokens", "minimiser is unique in the span"),
        expected=record("refuted"),
        found="Functions that agree with f* on the training sequences have its loss. Finitely many "
        "sequences leave most of a larger space unseen.",
        counterexample=case(_LAWS + "replay_minimiser_is_unique", tokens=[[1, 0]], target=[1, 2]),
    ),
    Claim(
        key="learning-minimiser-in-span",
        number="Section 3",
        kind="repair",
        locus=_LEARNING,
        statement="The values at the training sequences are unique for a strictly convex loss, and "
        "so is a solution in the span of their sections, where descent that starts at zero stays.",
        encoded="A function of that span that vanishes on the training sequences has the norm "
        "zero, for any number of them. Solutions differ by functions that vanish there, as the "
        "expected squared loss says.",
        checks=(
            proved("functional_descent", "(4) no second", "(4) loss beside the target"),
            searched("minimiser is unique in the span", "training tokens", "minimiser is unique"),
        ),
        expected=record("verified"),
        found="Holds: it is the solution with the least norm.",
        requires=("learning-problem", "span-inner-product"),
        repairs="learning-minimiser-unique",
        derivation=_DERIVATION,
    ),
    Claim(
        key="functional-gradient-descent",
        number="Eq. 5",
        kind="equation",
        locus="Section 3, Eq. 5",
        statement="A step of functional gradient descent moves f against the loss gradient at the "
        "example, along the kernel's section there.",
        encoded="For the squared loss of one example, by Definition 2: the gradient is dL/df at "
        "f(S) times K_S, and a step changes < f, g > by -eta (f(S) - y) g(S), for every g and any "
        "number of centres. `FunctionalLearner` on two examples, whose gradients it averages, for "
        "every shipped kernel and four losses.",
        checks=(
            proved("functional_descent", "(5)", covers=_EQ5),
            check("steps against dense algebra", "loops", "space_descent:step", _EQ5),
            check(
                "steps against differences in function space",
                "finite-difference",
                "space_descent:step_by_differences",
                _EQ5,
            ),
        ),
        expected=record("verified", "verified"),
        found="Holds, as the chain rule and the gradient of evaluation have it.",
        requires=("frechet-derivative", "reproducing-property"),
        paper_uses=("functional-chain-rule", "gradient-of-evaluation"),
        derivation=_DERIVATION,
    ),
)
