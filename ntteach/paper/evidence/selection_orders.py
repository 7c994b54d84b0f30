"""Does the larger residual have the larger loss gradient (the step from Eq. 20 to Eq. 21)?

Laws that are true or false on a case. Norms are squared, so that exact cases stay rational.
`residuals` are f - f*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, replayed, show
from ntteach.paper.evidence.reduction_numbers import at_most, matrix, vector
from ntteach.paper.evidence.selection_choices import clipped, sizes, type_of

Given = Mapping[str, Any]


def _squares(x: Any, y: Any) -> str:
    return f"{show(x)} and {show(y)}"


def _apart(residuals: Sequence[Any], words: str = "residuals") -> Hypothesis:
    one, other = residuals
    met = not at_most(one, other)
    return Hypothesis(f"the first of two {words} is larger", _squares(one, other), met)


def gradient_follows_residual(
    given: Given, arithmetic: Arithmetic, *, one_side: bool = False
) -> Finding:
    """Of two sequences, that with the larger residual has no smaller loss gradient.

    The loss is the cross-entropy of one output f, `log(1 + e^f) - p f`, with a probability p as
    label: convex in f, and least where f is the logit of p, which is f*. Outputs and targets f*
    are whole multiples of log 2, so that probabilities are rational. With `one_side`, both
    sequences have one target and lie on one side of it, where it is true.
    """
    outputs, targets = (given["outputs"], given["targets"])
    p, label = ([probability(k, arithmetic) for k in numbers] for numbers in (outputs, targets))
    residuals = [abs(f - y) for f, y in zip(outputs, targets, strict=True)]
    gradients = [abs(x - y) for x, y in zip(p, label, strict=True)]
    hypotheses = [
        Hypothesis(
            "the loss is convex in f and smooth",
            f"its second derivative is q (1 - q) <= 1/4, here with q = {show(p[0])}, {show(p[1])}",
            all(0 < x < 1 for x in p),
        ),
        Hypothesis(
            "it is least at f*",
            f"there q = p = {show(label[0])}, {show(label[1])}, so the gradient q - p is 0",
            all(0 < x < 1 for x in label),
        ),
        Hypothesis(
            "the first residual is larger",
            f"|f - f*| = {residuals[0]} log 2 and {residuals[1]} log 2",
            residuals[0] > residuals[1],
        ),
    ]
    if one_side:
        above = [f - y for f, y in zip(outputs, targets, strict=True)]
        met = targets[0] == targets[1] and above[0] * above[1] >= 0
        hypotheses.append(Hypothesis("one target, one side of it", str(above), met))
    terms = " and ".join(
        f"|{show(x)} - {show(y)}| = {show(z)}" for x, y, z in zip(p, label, gradients, strict=True)
    )
    return Finding(
        tuple(hypotheses),
        "the loss gradient of the first is no smaller",
        f"|q - p| is {terms}",
        at_most(gradients[1], gradients[0]),
    )


def probability(k: int, arithmetic: Arithmetic) -> Any:
    """1 / (1 + e^-f) at f = k log 2."""
    one = arithmetic.number("1")
    return one / (one + one * 2 ** (-k)) if k <= 0 else one - one / (one + one * 2**k)


def gradient_grows(given: Given, arithmetic: Arithmetic, *, weakly: bool = False) -> Finding:
    """Of two outputs under Huber's loss, the larger residual has the larger loss gradient.

    With `weakly` it has no smaller one, which is true.
    """
    residuals = vector(given["residuals"], arithmetic)
    delta = arithmetic.number(str(given["delta"]))
    one, other = abs(clipped(residuals, delta))
    return Finding(
        (
            Hypothesis(
                "the loss is convex and smooth",
                f"r^2 / 2 up to |r| = {show(delta)}, a line beyond: tau = 1",
                bool(delta > 0),
            ),
            Hypothesis("it is least at f*", "its derivative at r = 0 is 0", True),
            _apart([abs(x) for x in residuals]),
        ),
        "the loss gradient of the first is larger" if not weakly else "it is no smaller",
        f"min(|r|, {show(delta)}) is {show(one)} and {show(other)}",
        at_most(other, one) if weakly else not at_most(one, other),
    )


def label_follows_residual(given: Given, arithmetic: Arithmetic, *, of: str = "output") -> Finding:
    """Of two outputs under the logistic loss, that farther from its label has no smaller gradient.

    Labels are -1 and 1 and stand for f*. Outputs are whole multiples of log 2. With `of`
    "probability", the residual is that of the probability, and this is true.
    """
    outputs, labels = given["outputs"], given["labels"]
    p = [probability(k, arithmetic) for k in outputs]
    classes = [arithmetic.number(str((y + 1) // 2)) for y in labels]
    gradients = [abs(x - y) for x, y in zip(p, classes, strict=True)]
    residuals = [abs(k * arithmetic.log2 - y) for k, y in zip(outputs, labels, strict=True)]
    apart = (
        f"|f - y| = |{outputs[0]} log 2 - ({labels[0]})| and |{outputs[1]} log 2 - ({labels[1]})|, "
        "where 2/3 < log 2 < 7/10"
    )
    if of == "probability":
        residuals, apart = gradients, f"|q - p| = {_squares(*gradients)}"
    return Finding(
        (
            Hypothesis(
                "the loss log(1 + e^(-y f)) is convex and smooth",
                f"its second derivative is q (1 - q) <= 1/4, with q = {show(p[0])}, {show(p[1])}",
                all(0 < x < 1 for x in p),
            ),
            Hypothesis("labels are -1 or 1", str(labels), {*labels} <= {-1, 1}),
            Hypothesis(
                "the first output is farther from its label",
                apart,
                # for exact numbers the sign of one with log 2 in it
                bool(residuals[0] > residuals[1]),
            ),
        ),
        "the loss gradient of the first is no smaller",
        f"1 / (1 + e^(y f)) is {show(gradients[0])} and {show(gradients[1])}",
        at_most(gradients[1], gradients[0]),
    )


def weighted_order(given: Given, arithmetic: Arithmetic, *, up_to: str | None = None) -> Finding:
    """Of two sequences under squares with weights, the larger residual has no smaller gradient.

    The loss is `sum_c w_c r_c^2 / 2`, strongly convex with mu = min w, smooth with tau = max w.
    With `up_to` "1", the gradient is at least mu / tau of the other, which is true; with a larger
    number that constant is as much larger, which is false.
    """
    weights = vector(given["weights"], arithmetic)
    residuals = matrix(given["residuals"], arithmetic)
    mu, tau = min(weights), max(weights)
    squares, gradients = sizes(residuals), sizes(residuals * weights)
    ratio = arithmetic.number("1")
    if up_to is not None:
        ratio = (arithmetic.number(up_to) * mu / tau) ** 2
    times = "" if ratio == 1 else f"{show(ratio)} times "
    strictly = up_to is None
    met = not at_most(squares[0], squares[1]) if strictly else at_most(squares[1], squares[0])
    return Finding(
        (
            Hypothesis("the loss is strongly convex", f"mu = {show(mu)}", bool(mu > 0)),
            Hypothesis("it is smooth and least at f*", f"tau = {show(tau)}, 0 at r = 0", True),
            Hypothesis(
                "the first residual is larger" if strictly else "the first residual is no smaller",
                f"|r|^2 = {_squares(*squares)}",
                met,
            ),
        ),
        f"|g|^2 of the first is at least {times}that of the second",
        f"|g|^2, with g = w r, is {_squares(*gradients)}",
        at_most(ratio * gradients[1], gradients[0]),
    )


def gradient_falls_towards_target(
    given: Given, arithmetic: Arithmetic, *, of: str = "norm"
) -> Finding:
    """Straight towards f*, the loss gradient becomes no larger.

    The loss is a sum of Huber losses of directions, `sum_k c_k h_k(<a_k, r>)`, for the rows a_k of
    `ridges`; the two places are `times`, nearer and farther, along `direction` from f*. With `of`
    "slope", the derivative along the direction is meant, which is true; with "norm, farther", that
    the gradient becomes no larger away from f*.
    """
    ridges = matrix(given["ridges"], arithmetic)
    curvatures, deltas, direction, times = (
        vector(given[name], arithmetic) for name in ("curvatures", "deltas", "direction", "times")
    )

    def slopes(t: Any) -> Array:
        along = ridges @ (t * direction)
        each = [c * max(-d, min(d, x)) for c, d, x in zip(curvatures, deltas, along, strict=True)]
        return type_of(direction, each)

    near, far = (slopes(t) @ ridges for t in times)
    if of == "slope":
        values = [near @ direction, far @ direction]
    else:
        values = sizes(type_of(direction, [*near, *far]).reshape(2, -1))
    what = "<g, direction>" if of == "slope" else "|g|^2"
    told = [
        f"slopes c h'(<a, r>) = {show(slopes(t))}, g = {show(g)}, {what} = {show(value)}"
        for t, g, value in zip(times, (near, far), values, strict=True)
    ]
    if of == "norm, farther":
        values = values[::-1]
    spanned = _determines(ridges)
    return Finding(
        (
            Hypothesis(
                "the loss is convex and smooth",
                f"Huber losses of <a, r>, curvatures {show(curvatures)}, "
                f"lines beyond {show(deltas)}",
                all(x > 0 for x in [*curvatures, *deltas]),
            ),
            Hypothesis("it is least at f* alone", f"a = {show(ridges)} span the outputs", spanned),
            Hypothesis(
                "the second place is farther, on the same line",
                f"r = {show(times[0])} and {show(times[1])} times {show(direction)}",
                bool(0 < times[0] < times[1]) and any(x != 0 for x in direction),
            ),
        ),
        "nearer to f* the gradient is no larger",
        f"at the nearer place {told[0]}; at the farther one {told[1]}",
        at_most(values[0], values[1]),
    )


def _determines(ridges: Array) -> bool:
    # two outputs: some pair of directions is not parallel
    return ridges.shape[1] == 1 or any(a[0] * b[1] != a[1] * b[0] for a in ridges for b in ridges)


LAWS: dict[str, Law] = {
    "gradient follows residual": gradient_follows_residual,
    "gradient follows residual, one side": partial(gradient_follows_residual, one_side=True),
    "gradient grows": gradient_grows,
    "gradient grows weakly": partial(gradient_grows, weakly=True),
    "label residual orders": label_follows_residual,
    "probability residual orders": partial(label_follows_residual, of="probability"),
    "weighted order": weighted_order,
    "weighted order up to the condition": partial(weighted_order, up_to="1"),
    "weighted order, one percent better": partial(weighted_order, up_to="101/100"),
    "gradient falls towards the target": gradient_falls_towards_target,
    "gradient grows towards the target": partial(gradient_falls_towards_target, of="norm, farther"),
    "slope falls towards the target": partial(gradient_falls_towards_target, of="slope"),
}

replay_gradient_follows_residual = partial(replayed, gradient_follows_residual)
replay_gradient_grows = partial(replayed, gradient_grows)
replay_label_follows_residual = partial(replayed, label_follows_residual)
replay_weighted_order = partial(replayed, weighted_order)
replay_gradient_falls_towards_target = partial(replayed, gradient_falls_towards_target)
