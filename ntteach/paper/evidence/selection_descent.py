"""What each step of Algorithm 1 does lower: the distance from the target; and when the loop ends.

Cases are features, `J` with K = J J^T, and a function in their coordinates, `z` = f - f*, so that
residuals are J z. The loss is squared unless said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Law,
    Problem,
    average_gradient,
    output,
    read,
    regular,
    replayed,
    show,
)
from ntteach.paper.evidence.reduction_numbers import at_most, matrix, tidy, vector
from ntteach.paper.evidence.selection_choices import (
    Choice,
    best,
    choices,
    clipped,
    fits,
    largest,
    named,
    sizes,
)

Given = Mapping[str, Any]


def kept(x: Array, chosen: Choice) -> Array:
    """A vector with zeros at the places that are not chosen."""
    return np.array([y if i in chosen else 0 * y for i, y in enumerate(x)], dtype=x.dtype)


def step_shortens_the_distance(
    given: Given, arithmetic: Arithmetic, *, better: str = "1", sign: int = -1
) -> Finding:
    """Every step takes at least `h (2 - h Lambda) |g_A|^2` off the squared distance from f*.

    For every choice of m, h = eta / m, and Lambda the trace of the kernel of the chosen, which is
    no less than its largest eigenvalue; the loss is Huber's with `given["delta"]`, tau = 1. With
    `better` a larger number, or another sign of the step, this is false.
    """
    J, z = matrix(given["J"], arithmetic), vector(given["z"], arithmetic)
    size, h = given["size"], arithmetic.number(str(given["h"]))
    delta = arithmetic.number(str(given["delta"]))
    g = clipped(J @ z, delta)
    failing = []
    before = tidy(z @ z)
    for chosen in choices(len(J), size):
        taken = kept(g, chosen)
        trace = sum(J[i] @ J[i] for i in chosen)
        after = sizes((z + sign * h * (taken @ J))[None])[0]
        promised = arithmetic.number(better) * h * (2 - h * trace) * (taken @ taken)
        if not at_most(after, tidy(before - promised)):
            failing.append(f"{named([chosen])}: {show(after)}, not {show(tidy(before - promised))}")
    limit = max(sum(J[i] @ J[i] for i in chosen) for chosen in choices(len(J), size))
    return Finding(
        (
            fits(len(J), size),
            Hypothesis("delta > 0", show(delta), bool(delta > 0)),
            Hypothesis(
                "0 < h < 2 / Lambda",
                f"h = {show(h)}, Lambda = {show(limit)}",
                bool(h > 0) and bool(h * limit < 2),
            ),
        ),
        f"of {show(before)}, at least h (2 - h Lambda) |g_A|^2 goes",
        "; ".join(failing) or "it does",
        not failing,
    )


def gradients_choose_the_decrease(
    given: Given, arithmetic: Arithmetic, *, smallest: bool = False
) -> Finding:
    """With K_ii all equal, the single output of Eq. 21 comes closest to f* in one step.

    The squared loss. With `smallest`, that of the smallest residual is meant, which is false.
    """
    J, z = matrix(given["J"], arithmetic), vector(given["z"], arithmetic)
    residuals = J @ z
    top = max(sizes(J))
    h = 1 / top if top > 0 else top

    def decrease(chosen: Choice) -> Any:
        (i,) = chosen
        moved = z - h * residuals[i] * J[i]
        return tidy(z @ z - moved @ moved)

    closest = best(len(J), 1, decrease)
    sign = -1 if smallest else 1
    greedy = largest([sign * tidy(x * x) for x in residuals], 1)
    diagonal = sizes(J)
    return Finding(
        (
            Hypothesis(
                "K_ii are all equal, not zero",
                show(np.array(diagonal, dtype=object)),
                bool(top > 0) and all(at_most(top, x) for x in diagonal),
            ),
        ),
        f"closest to f* comes {named(closest)}",
        f"Eq. 21 chooses {named(greedy)}",
        closest == greedy,
    )


def steps_contract(
    given: Given,
    arithmetic: Arithmetic,
    *,
    better: str = "1",
    smallest: bool = False,
) -> Finding:
    """A step on the choice of Eq. 21 leaves at most `1 - eta (2 - eta gamma) lambda / N` of it.

    That is, of the squared distance from f*, for a function in the span of the kernel's sections.
    The kernel is `J J^T + c`, so that its eigenvalues are at least lambda = c; gamma is its largest
    diagonal entry, the step is eta / m with eta = `given["pace"]` / gamma, and f - f* =
    sum alpha_i K_i. With `better` a larger number in the place of 1, or the smallest residuals,
    this is false.
    """
    J, alpha = matrix(given["J"], arithmetic), vector(given["alpha"], arithmetic)
    c, pace = (arithmetic.number(str(given[name])) for name in ("c", "pace"))
    n, size = len(J), given["size"]
    identity = matrix([[int(i == j) for j in range(n)] for i in range(n)], arithmetic)
    K = J @ J.T + c * identity
    gamma = max(K.diagonal())
    eta = pace / gamma if gamma > 0 else gamma
    residuals = K @ alpha
    sign = -1 if smallest else 1
    chosen = largest([sign * tidy(r * r) for r in residuals], size)[0]
    moved = alpha - eta / size * kept(residuals, chosen)
    before, after = tidy(alpha @ K @ alpha), tidy(moved @ K @ moved)
    factor = 1 - arithmetic.number(better) * eta * (2 - eta * gamma) * c / n
    return Finding(
        (
            fits(n, size),
            Hypothesis("lambda > 0", f"lambda = {show(c)}", bool(c > 0)),
            Hypothesis("0 < eta < 2 / gamma", f"eta gamma = {show(pace)}", bool(0 < pace < 2)),
        ),
        f"at most {show(tidy(factor * before))} is left of {show(before)}",
        f"{show(after)} is left",
        at_most(after, tidy(factor * before)),
    )


# --- Algorithm 1 ---------------------------------------------------------------------------------


def descend(
    K: Array, residuals: Array, *, size: int, eta: Any, epsilon: Any, last: int
) -> list[Array]:
    """The residuals before, and after each step of, the loop with counter t = 0, ..., `last`.

    Eq. 21 chooses, and functional gradient descent on half the squares follows.
    """
    run = [residuals]
    t = 0
    while t <= last and tidy(run[-1] @ run[-1]) >= epsilon**2:
        chosen = largest([tidy(r * r) for r in run[-1]], size)[0]
        moved = run[-1] - eta / size * (K @ kept(run[-1], chosen))
        run.append(np.array([tidy(r) for r in moved], dtype=residuals.dtype))
        t += 1
    return run


def loop_ends(given: Given, arithmetic: Arithmetic, *, early: int = 0) -> Finding:
    """The loop ends after at most T + 1 steps: `early` fewer is false.

    And it ends before only where the norm of the residuals is below epsilon.
    """
    J = matrix(given["J"], arithmetic)
    residuals = vector(given["g"], arithmetic)
    size, T = given["size"], given["T"]
    eta, epsilon = (arithmetic.number(str(given[name])) for name in ("eta", "epsilon"))
    run = descend(J @ J.T, residuals, size=size, eta=eta, epsilon=epsilon, last=T)
    steps, left = len(run) - 1, tidy(run[-1] @ run[-1])
    below = not at_most(epsilon**2, left)
    return Finding(
        (fits(len(J), size), Hypothesis("epsilon > 0", show(epsilon), bool(epsilon > 0))),
        f"at most {T + 1 - early} steps, fewer only below epsilon",
        f"{steps} steps, squared norm {show(left)}",
        steps <= T + 1 - early and (below or steps == T + 1),
    )


def loop_reaches_the_tolerance(given: Given, arithmetic: Arithmetic) -> Finding:
    """For T large enough, the loop ends with residuals whose norm is below epsilon.

    One sequence, an attention learner (Eq. 2) and steps by Eq. 6 on half the squares. Tokens that
    are equal have equal outputs f, whatever the parameters, and `(f - y)^2 + (f - y')^2` is at
    least `(y - y')^2 / 2`. If that is `epsilon^2` or more, no T is large enough.
    """
    p = read({**given, "S": given["sequence"]}, arithmetic)
    targets = vector(given["targets"], arithmetic)
    eta, epsilon = (arithmetic.number(str(given[name])) for name in ("eta", "epsilon"))
    pairs = [(j, k) for k in range(p.length) for j in range(k) if all(p.S[j] == p.S[k])]
    least = max(((targets[j] - targets[k]) ** 2 / 2 for j, k in pairs), default=0 * epsilon)
    squares = [_squares(p, targets)]
    for _ in range(given["steps"]):
        p = stepped(p, targets, eta)
        squares.append(_squares(p, targets))
    return Finding(
        (
            *regular(p),
            Hypothesis("the loss is convex and smooth", "r^2 / 2, tau = 1", True),
            Hypothesis("a target for each element", f"{len(targets)}", len(targets) == p.length),
            Hypothesis("epsilon > 0, eta > 0", _both(epsilon, eta), bool(min(epsilon, eta) > 0)),
        ),
        f"after enough steps the squared norm of the residuals is below epsilon^2 = "
        f"{show(epsilon**2)}",
        f"it is {show(np.array(squares, dtype=object))} after 0, 1, ... steps, and never below "
        f"{show(least)}: elements {', '.join(f'{j + 1} and {k + 1}' for j, k in pairs)} are equal, "
        "so are their outputs f, and (f - y)^2 + (f - y')^2 >= (y - y')^2 / 2"
        if pairs
        else f"it is {show(np.array(squares, dtype=object))}",
        not at_most(epsilon**2, least),
    )


def _both(epsilon: Any, eta: Any) -> str:
    return f"epsilon = {show(epsilon)}, eta = {show(eta)}"


def _squares(p: Problem, targets: Array) -> Any:
    residuals = output(p)[:, 0] - targets
    return tidy(residuals @ residuals)


def stepped(p: Problem, targets: Array, eta: Any) -> Problem:
    """One step of Eq. 6 on half the squares."""
    slope = average_gradient(p, output(p) - targets[:, None])
    return replace(p, **{name: getattr(p, name) - eta * slope[name] for name in BLOCKS})


LAWS: dict[str, Law] = {
    "a step shortens the distance": step_shortens_the_distance,
    "a step shortens the distance, one percent better": partial(
        step_shortens_the_distance, better="101/100"
    ),
    "a step away shortens the distance": partial(step_shortens_the_distance, sign=1),
    "greedy comes closest": gradients_choose_the_decrease,
    "the smallest comes closest": partial(gradients_choose_the_decrease, smallest=True),
    "steps contract": steps_contract,
    "steps contract, one percent better": partial(steps_contract, better="101/100"),
    "steps on the smallest contract": partial(steps_contract, smallest=True),
    "the loop ends": loop_ends,
    "the loop ends a step early": partial(loop_ends, early=1),
}

replay_loop_reaches_the_tolerance = partial(replayed, loop_reaches_the_tolerance)
