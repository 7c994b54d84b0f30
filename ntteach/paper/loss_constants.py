"""What Proposition 4 and Section 4.3 ask of the loss, and which losses have it."""

from ntteach.claims.model import Check, Claim, record
from ntteach.paper.declare import check, proved, searched

_DOMAINS = {
    "squared": "outputs and targets",
    "weighted squared": "weighted outputs",
    "huber": "outputs and targets",
    "pseudo-huber": "outputs and targets",
    "log-cosh": "outputs and targets",
    "logistic": "labels",
    "cross-entropy": "classes",
}
_STRONG = ("squared", "weighted squared")


def _lipschitz() -> tuple[Check, ...]:
    return tuple(
        searched(
            f"gradient is Lipschitz: {loss}",
            domain,
            f"gradient is Lipschitz, 1 % better: {loss}",
        )
        for loss, domain in _DOMAINS.items()
    )


def _monotone() -> tuple[Check, ...]:
    return tuple(
        searched(
            f"gradient is monotone: {loss}",
            domain,
            f"gradient is monotone, 1 % more: {loss}"
            if loss in _STRONG
            else f"gradient is strongly monotone: {loss}",
        )
        for loss, domain in _DOMAINS.items()
    )


def _residual() -> tuple[Check, ...]:
    return tuple(
        searched(
            f"gradient bounds the residual: {loss}",
            _DOMAINS[loss],
            f"gradient bounds the residual, 1 % more: {loss}",
        )
        for loss in _STRONG
    )


CLAIMS = (
    Claim(
        key="loss-smoothness",
        number="Proposition 4",
        kind="sentence",
        locus="Proposition 4, hypothesis on the loss",
        statement="The losses in use are convex and have a gradient by the output that is "
        "Lipschitz with a constant tau above zero.",
        encoded="tau = 1 for the squared, Huber, pseudo-Huber and log-cosh losses, 1/4 for the "
        "logistic one, 1/2 for cross-entropy with two classes or more, and the largest weight for "
        "a weighted squared loss. For those with two derivatives, 0 <= D^T H D <= tau |D|^2, as "
        "sums of squares, for all outputs, directions D and sizes; the Huber loss, whose "
        "gradient is a projection, is searched. No constant is smaller: each curvature is reached.",
        checks=(
            proved("losses", "logistic"),
            proved("losses", "log-cosh"),
            proved("losses", "pseudo-Huber"),
            proved("losses", "squared"),
            proved("losses", "cross-entropy"),
            check("curvatures that reach tau", "exact", "loss_checks:best", constant="smoothness"),
            *_lipschitz(),
            check("gradients against PyTorch's losses", "autograd", "loss_checks:gradients"),
            check(
                "gradients against central differences",
                "finite-difference",
                "loss_checks:differences",
            ),
        ),
        expected=record("verified"),
        found="The hypothesis can be met, by every loss here with the best constant.",
        derivation="derivations/losses.py",
    ),
    Claim(
        key="loss-smoothness-is-needed",
        number="Proposition 4",
        kind="sentence",
        locus="Proposition 4, hypothesis on the loss",
        statement="Lipschitz smoothness is a hypothesis beside convexity: there is a convex loss "
        "that has it with no constant.",
        encoded="The absolute loss: for every tau > 0 there are two outputs whose gradients are "
        "further apart than tau times the outputs. For residuals of 1 / (4 tau) and its negative "
        "they are 2 apart, and tau times the distance is 1/2.",
        checks=(
            check("two residuals for every tau", "exact", "loss_checks:no_constant"),
            check(
                "the search meets none for a tau of ten",
                "search",
                "sentences:search_finds",
                law="gradient is Lipschitz, ten: absolute",
                domain="outputs and targets",
                controls=("gradient is Lipschitz: huber",),
            ),
        ),
        expected=record("verified"),
        found="With the absolute loss the proposition says nothing.",
        requires=("loss-smoothness",),
        derivation="derivations/losses.py",
    ),
    Claim(
        key="loss-strong-convexity",
        number="Section 4.3",
        kind="sentence",
        locus="Section 4.3, sentence before Eq. 21",
        statement="A loss may be strongly convex, with a larger or a smaller constant mu, and then "
        "its gradient is at least mu times the distance of the output from its target.",
        encoded="<g - g', f - f'> >= mu |f - f'|^2 for all outputs f, f': mu = 1 for the squared "
        "loss, the smallest weight for a weighted one, so that |g| >= mu |f - f*|; and mu = 0 for "
        "the logistic, cross-entropy, Huber, pseudo-Huber and log-cosh losses, which are convex "
        "and no more: their curvature is zero somewhere, or has the limit zero.",
        checks=(
            proved("losses", "squared"),
            proved("losses", "cross-entropy: the curvature"),
            proved("losses", "logistic: curvature", "log-cosh: curvature", "pseudo-Huber: curv"),
            check(
                "curvatures that reach mu, or tend to it",
                "exact",
                "loss_checks:best",
                constant="strong_convexity",
            ),
            *_monotone(),
            *_residual(),
        ),
        expected=record("verified"),
        found="Of the usual losses only squared ones are strongly convex; for the others no "
        "multiple of the distance bounds the gradient from below.",
        derivation="derivations/losses.py",
    ),
)
