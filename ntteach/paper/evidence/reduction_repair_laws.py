"""What holds in place of Proposition 4 and of the steps of its proof, as laws on a given case.

`Lambda` and `lambda` are the largest and the smallest eigenvalue of Kbar = K / n. `times` changes a
constant: by one per cent it makes each law false, so that no constant could be better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, show
from ntteach.paper.evidence.reduction_cases import Case, read_case, semidefinite, smooth, symmetric
from ntteach.paper.evidence.reduction_laws import rate
from ntteach.paper.evidence.reduction_numbers import (
    NOTHING,
    at_most,
    form,
    sum_of,
)
from ntteach.paper.evidence.reduction_proof_laws import take

Given = Mapping[str, Any]
Kind = tuple[Hypothesis, ...]


def eigenvalues(K: Array) -> Array:
    """The eigenvalues of a symmetric matrix, ascending, as floats."""
    return np.linalg.eigvalsh(K.astype(float))


def read_supposed(given: Given, arithmetic: Arithmetic) -> tuple[Case, Kind, float, float]:
    """A case, what a semi-definite kernel and a smooth loss suppose, lambda and Lambda."""
    case = read_case(given, arithmetic)
    values = eigenvalues(case.Kbar)
    supposed = (smooth(case), symmetric(case.K), semidefinite(case.K))
    return case, supposed, float(values[0]), float(values[-1])


def below(supposed: Kind, left: Any, right: Any, what: str) -> Finding:
    """What is claimed to be at most a bound."""
    return Finding(
        supposed, f"{what} <= {show(right)}", f"it is {show(left)}", at_most(left, right)
    )


def falls_by_the_form(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """dL/dt = -(eta / n) g^T Kbar g, from the velocity of the outputs."""
    case, supposed, *_ = read_supposed(given, arithmetic)
    left, right = rate(case)[1], -times * case.eta / case.n * form(case.g, case.Kbar, case.g)
    same = at_most(left, right) and at_most(right, left)
    return Finding(supposed, f"dL/dt = {show(right)}", f"it is {show(left)}", same)


def falls_by_the_least_eigenvalue(
    given: Given, arithmetic: Arithmetic, *, times: float = 1
) -> Finding:
    """dL/dt <= -(eta lambda / n) |g|^2."""
    case, supposed, least, _ = read_supposed(given, arithmetic)
    right = -times * case.eta * least / case.n * (case.g @ case.g)
    return below(supposed, rate(case)[1], right, "dL/dt")


def converges(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """d(L - L*)/dt <= -2 mu eta lambda (L - L*), for the squared loss, whose mu is 1."""
    case, supposed, least, _ = read_supposed(given, arithmetic)
    strong = Hypothesis("the loss is strongly convex", "squared", case.delta is None)
    above = sum_of(case.losses(case.residuals)) / case.n  # the least loss is zero
    right = -times * 2 * case.eta * least * above
    return below((*supposed, strong), rate(case)[1], right, "d(L - L*)/dt")


def steps_converge(
    given: Given, arithmetic: Arithmetic, *, length: float = 0.5, times: float = 1
) -> Finding:
    """L+ - L* <= (1 - (2 - x) mu eta lambda) (L - L*) for a step with eta = x / (tau Lambda).

    For the squared loss, whose mu and tau are 1 and whose least value is zero.
    """
    case, supposed, least, top = read_supposed(given, arithmetic)
    strong = Hypothesis("the loss is strongly convex", "squared", case.delta is None)
    case = replace(case, eta=length / top if top > NOTHING else case.eta)
    above = sum_of(case.losses(case.residuals)) / case.n
    after = sum_of(case.losses(case.residuals + take(case).w)) / case.n
    right = (1 - times * (2 - length) * case.eta * least) * above
    return below((*supposed, strong), after, right, "L+ - L*")


def step_decrease(
    given: Given,
    arithmetic: Arithmetic,
    *,
    length: float = 0.5,
    least: float | None = None,
    times: float = 1,
) -> Finding:
    """L+ - L <= -(1 - x / 2) (eta / n) g^T Kbar g for eta = x / (tau Lambda), x = `length`.

    With `least`, that in place of 1 - x / 2.
    """
    case, supposed, _, top = read_supposed(given, arithmetic)
    case = replace(case, eta=length / (case.tau * top) if top > NOTHING else case.eta)
    step = take(case)
    moved = case.losses(case.residuals + step.w) - case.losses(case.residuals)
    part = 1 - length / 2 if least is None else least
    right = -times * part * case.eta / case.n * form(case.g, case.Kbar, case.g)
    return below(supposed, sum_of(moved) / case.n, right, "L+ - L")


def step_falls(given: Given, arithmetic: Arithmetic, *, length: float = 1.99) -> Finding:
    """L+ < L for eta = x / (tau Lambda) with x = `length` below 2, wherever Kbar g is not 0."""
    case, supposed, _, top = read_supposed(given, arithmetic)
    case = replace(case, eta=length / (case.tau * top) if top > NOTHING else case.eta)
    moving = form(case.g, case.Kbar, case.g)
    step = take(case)
    moved = case.losses(case.residuals + step.w) - case.losses(case.residuals)
    change = sum_of(moved) / case.n
    moves = Hypothesis("Kbar g is not zero", show(moving), not at_most(moving, 0))
    return Finding(
        (*supposed, moves), "L+ - L < 0", f"it is {show(change)}", not at_most(0, change)
    )


def squares_bounded(
    given: Given, arithmetic: Arithmetic, *, square: str, times: float = 1
) -> Finding:
    """Bounds by eigenvalues in place of Eqs. 69-73; `square` names which.

    (69) square_2 <= Lambda tau^2 |w|^2, (70) square_1 <= Lambda |g|^2, (70, below) square_1 >=
    lambda |g|^2, (71) square_2 <= (eta tau Lambda)^2 square_1, (72) Xi <= -(eta / n) (3/4 - (eta
    tau Lambda)^2) square_1.
    """
    case, supposed, least, top = read_supposed(given, arithmetic)
    step, g = take(case), case.g
    x = case.eta * case.tau * top
    three_quarters = 0.75 - x**2
    left, right = {
        "69": (step.square_2, times * top * case.tau**2 * (step.w @ step.w)),
        "70": (step.square_1, times * top * (g @ g)),
        "70, below": (times * least * (g @ g), step.square_1),
        "71": (step.square_2, times * x**2 * step.square_1),
        "72": (step.Xi, -times * case.eta / case.n * three_quarters * step.square_1),
    }[square]
    return below(supposed, left, right, f"the left side of ({square})")


_MORE, _LESS = 1.01, 0.99
LAWS: dict[str, Law] = {
    "falls by the form": falls_by_the_form,
    "falls by the form, one per cent more": partial(falls_by_the_form, times=_MORE),
    "falls by the least eigenvalue": falls_by_the_least_eigenvalue,
    "falls by the least eigenvalue, one per cent more": partial(
        falls_by_the_least_eigenvalue, times=_MORE
    ),
    "converges": converges,
    "converges, one per cent faster": partial(converges, times=_MORE),
    "steps converge": steps_converge,
    "steps converge, one per cent faster": partial(steps_converge, times=_MORE),
    "step decrease": step_decrease,
    "step decrease, one per cent more": partial(step_decrease, times=_MORE),
    "step decrease, half": partial(step_decrease, length=1, least=0.5),
    "step decrease, half, one per cent more": partial(
        step_decrease, length=1, least=0.5, times=_MORE
    ),
    "step decrease, half, one per cent longer": partial(step_decrease, length=_MORE, least=0.5),
    "step decrease, three quarters": partial(step_decrease, least=0.75),
    "step decrease, three quarters, one per cent more": partial(
        step_decrease, least=0.75, times=_MORE
    ),
    "step falls": step_falls,
    "step falls, one per cent above 2": partial(step_falls, length=2.02),
    **{
        name: partial(squares_bounded, square=square, times=times)
        for square, times in {"69": _LESS, "70": _LESS, "70, below": _MORE, "71": _LESS}.items()
        for name, times in {
            f"step {square} by eigenvalues": 1,
            f"step {square} by eigenvalues, one per cent off": times,
        }.items()
    },
    "step 72 by eigenvalues": partial(squares_bounded, square="72"),
    "step 72 by eigenvalues, one per cent off": partial(squares_bounded, square="72", times=_MORE),
}
