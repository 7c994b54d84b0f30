"""What holds in place of Proposition 4 and of the steps of its proof, as laws on a given case.

`Lambda` and `lambda` are the largest and the smallest eigenvalue of Kbar = K / n. `times` changes a
constant: by one per cent it makes each law false, so that no constant could be better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.strategies import SearchStrategy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, show
from ntteach.paper.evidence.reduction_cases import (
    NOTHING,
    Case,
    at_most,
    form,
    largest,
    matrix,
    pivots,
    read_case,
    semidefinite,
    smooth,
    sum_of,
    symmetric,
)
from ntteach.paper.evidence.reduction_laws import learner_case, rate
from ntteach.paper.evidence.reduction_proof_laws import take

Given = Mapping[str, Any]
Kind = tuple[Hypothesis, ...]


def eigenvalues(K: Array) -> Array:
    """The eigenvalues of a symmetric matrix, ascending, as floats."""
    return np.linalg.eigvalsh(K.astype(float))


def _read(given: Given, arithmetic: Arithmetic) -> tuple[Case, Kind, float, float]:
    """A case, what a semi-definite kernel and a smooth loss suppose, lambda and Lambda."""
    case = read_case(given, arithmetic)
    values = eigenvalues(case.Kbar)
    supposed = (smooth(case), symmetric(case.K), semidefinite(case.K))
    return case, supposed, float(values[0]), float(values[-1])


def _below(supposed: Kind, left: Any, right: Any, what: str) -> Finding:
    return Finding(
        supposed, f"{what} <= {show(right)}", f"it is {show(left)}", at_most(left, right)
    )


def falls_by_the_form(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """dL/dt = -(eta / n) g^T Kbar g, from the velocity of the outputs."""
    case, supposed, *_ = _read(given, arithmetic)
    left, right = rate(case)[1], -times * case.eta / case.n * form(case.g, case.Kbar, case.g)
    same = at_most(left, right) and at_most(right, left)
    return Finding(supposed, f"dL/dt = {show(right)}", f"it is {show(left)}", same)


def falls_by_the_least_eigenvalue(
    given: Given, arithmetic: Arithmetic, *, times: float = 1
) -> Finding:
    """dL/dt <= -(eta lambda / n) |g|^2."""
    case, supposed, least, _ = _read(given, arithmetic)
    right = -times * case.eta * least / case.n * (case.g @ case.g)
    return _below(supposed, rate(case)[1], right, "dL/dt")


def converges(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """d(L - L*)/dt <= -2 mu eta lambda (L - L*), for the squared loss, whose mu is 1."""
    case, supposed, least, _ = _read(given, arithmetic)
    strong = Hypothesis("the loss is strongly convex", "squared", case.delta is None)
    above = sum_of(case.losses(case.residuals)) / case.n  # the least loss is zero
    right = -times * 2 * case.eta * least * above
    return _below((*supposed, strong), rate(case)[1], right, "d(L - L*)/dt")


def steps_converge(
    given: Given, arithmetic: Arithmetic, *, length: float = 0.5, times: float = 1
) -> Finding:
    """L+ - L* <= (1 - (2 - x) mu eta lambda) (L - L*) for a step with eta = x / (tau Lambda).

    For the squared loss, whose mu and tau are 1 and whose least value is zero.
    """
    case, supposed, least, top = _read(given, arithmetic)
    strong = Hypothesis("the loss is strongly convex", "squared", case.delta is None)
    case = replace(case, eta=length / top if top > NOTHING else case.eta)
    above = sum_of(case.losses(case.residuals)) / case.n
    after = sum_of(case.losses(case.residuals + take(case).w)) / case.n
    right = (1 - times * (2 - length) * case.eta * least) * above
    return _below((*supposed, strong), after, right, "L+ - L*")


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
    case, supposed, _, top = _read(given, arithmetic)
    case = replace(case, eta=length / (case.tau * top) if top > NOTHING else case.eta)
    step = take(case)
    moved = case.losses(case.residuals + step.w) - case.losses(case.residuals)
    part = 1 - length / 2 if least is None else least
    right = -times * part * case.eta / case.n * form(case.g, case.Kbar, case.g)
    return _below(supposed, sum_of(moved) / case.n, right, "L+ - L")


def step_falls(given: Given, arithmetic: Arithmetic, *, length: float = 1.99) -> Finding:
    """L+ < L for eta = x / (tau Lambda) with x = `length` below 2, wherever Kbar g is not 0."""
    case, supposed, _, top = _read(given, arithmetic)
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
    case, supposed, least, top = _read(given, arithmetic)
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
    return _below(supposed, left, right, f"the left side of ({square})")


# --- when Eq. 19 holds ---------------------------------------------------------------------------


def reciprocal(K: Array) -> float:
    """s = 1^T K^+ 1, infinite where 1 is not in the range of K."""
    K = K.astype(float)
    ones = np.ones(len(K))
    c = np.linalg.pinv(K, rcond=NOTHING, hermitian=True) @ ones
    return float(ones @ c) if np.allclose(K @ c, ones, atol=1e-7) else np.inf


def falls_by_the_sharp_mean(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """dL/dt <= -(eta / s) (mean g)^2 with s = 1^T K^+ 1; zero on the right if s is infinite."""
    case, supposed, *_ = _read(given, arithmetic)
    right = -times * case.eta / reciprocal(case.K) * (sum_of(case.g) / case.n) ** 2
    return _below(supposed, rate(case)[1], right, "dL/dt")


def falls_by_the_sharp_mean_of_a_learner(given: Given, arithmetic: Arithmetic) -> Finding:
    """The same for the tangent kernel of a learner at its sequences."""
    case, learner = learner_case(given, arithmetic)
    right = -case.eta / reciprocal(case.K) * (sum_of(case.g) / case.n) ** 2
    return _below((*learner, semidefinite(case.K)), rate(case)[1], right, "dL/dt")


def _worst(K: Array) -> Array:
    """A g for which Eq. 19 is most in danger: K^+ 1, or what of 1 is outside the range of K."""
    K = K.astype(float)
    ones = np.ones(len(K))
    c = np.linalg.pinv(K, rcond=NOTHING, hermitian=True) @ ones
    outside = ones - K @ c
    return c if np.allclose(outside, 0, atol=1e-7) else outside


def condition_is_sharp(
    given: Given, arithmetic: Arithmetic, *, limit: float = 2, power: int = 0
) -> Finding:
    """Eq. 19 holds for every g exactly if gamma s <= 2 n^p.

    p = 0 for the averaged loss, 1 where the loss is summed, 2 where the flow is as well. Held
    against both: the g that is drawn, and the worst.
    """
    case, supposed, *_ = _read(given, arithmetic)
    product = float(case.gamma) * reciprocal(case.K) if any(case.K.flat) else np.inf
    said = product <= limit * case.n**power + NOTHING

    def holds(g: Array) -> bool:
        part = case.gamma / (2 * case.n**power)
        return at_most(float(part * g.sum() ** 2), float(g @ case.K.astype(float) @ g))

    drawn, worst = holds(case.g.astype(float)), holds(_worst(case.K))
    return Finding(
        supposed,
        f"gamma s = {show(product)}, so Eq. 19 holds for every g: {said}",
        f"for the g drawn {drawn}, for the worst {worst}",
        bool(said == worst and (drawn or not said)),
    )


def one_number_off_the_diagonal(
    given: Given, arithmetic: Arithmetic, *, shift: float = 0
) -> Finding:
    """With ones on the diagonal and rho beside it, Eq. 19 holds if rho >= (n - 2) / (2 (n - 1))."""
    n, rho = given["n"], float(arithmetic.number(str(given["rho"])))
    K = np.where(np.eye(n, dtype=bool), 1.0, rho)
    found = eigenvalues(K)[0] > NOTHING
    said = rho >= (n - 2) / (2 * (n - 1)) - shift - NOTHING
    holds = reciprocal(K) <= 2 + NOTHING
    return Finding(
        (Hypothesis("K is positive definite", f"n = {n}, rho = {rho}", bool(found)),),
        f"Eq. 19 holds for every g: {said}",
        f"s = {reciprocal(K)}",
        bool(said == holds),
    )


# --- norms of the kernel, and modes --------------------------------------------------------------


def norm_by_blocks(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """Lambda of K / n is at most the largest norm of the v x v blocks K(s, s).

    `v` rows of J belong to each of n elements.
    """
    K, n, v, supposed = _elements(given, arithmetic)
    K = K.astype(float)
    blocks = [K[v * i : v * (i + 1), v * i : v * (i + 1)] for i in range(n)]
    gamma = max(float(eigenvalues(block)[-1]) for block in blocks)
    return _below(supposed, float(eigenvalues(K)[-1] / n), times * gamma, "Lambda")


def norm_by_entries(given: Given, arithmetic: Arithmetic) -> Finding:
    """Lambda of K / n is at most the largest entry gamma of K: gamma 1 - K / n is semi-definite."""
    K, n, _, supposed = _elements(given, arithmetic)
    gamma = largest(K)
    rest = gamma * np.eye(len(K), dtype=int) - K / n
    found = pivots(rest)
    return Finding(
        supposed,
        f"gamma 1 - K / n has no negative direction, with gamma = {show(gamma)}",
        f"K = {show(K)}, n = {n}: gamma 1 - K / n = {show(rest)} has "
        f"{'one' if found is None else 'none'}",
        found is not None,
    )


def _elements(given: Given, arithmetic: Arithmetic) -> tuple[Array, int, int, Kind]:
    J, v = matrix(given["J"], arithmetic), given["v"]
    n = len(J) // v
    supposed = Hypothesis("n elements of v outputs", f"n = {n}, v = {v}", n * v == len(J))
    return J @ J.T, n, v, (supposed,)


def modes_decay(given: Given, arithmetic: Arithmetic, *, divided: bool = True) -> Finding:
    """After t steps on the squared loss each mode is its start times (1 - eta lambda / n)^t."""
    case, supposed, *_ = _read(given, arithmetic)
    squared = Hypothesis("the loss is squared", f"delta = {case.delta}", case.delta is None)
    values, U = np.linalg.eigh(case.K.astype(float))
    start = case.residuals.astype(float)
    residual, steps = start, 3
    for _ in range(steps):
        residual = residual - float(case.eta) * case.Kbar.astype(float) @ residual
    factor = 1 - float(case.eta) * values / (case.n if divided else 1)
    expected = factor**steps * (U.T @ start)
    return Finding(
        (*supposed, squared),
        f"modes {show(expected)}",
        f"modes {show(U.T @ residual)}",
        bool(np.allclose(U.T @ residual, expected, atol=1e-9)),
    )


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
    "falls by the sharp mean": falls_by_the_sharp_mean,
    "falls by the sharp mean, one per cent more": partial(falls_by_the_sharp_mean, times=_MORE),
    "falls by the sharp mean of a learner": falls_by_the_sharp_mean_of_a_learner,
    "condition is sharp": condition_is_sharp,
    "condition is sharp, limit 8": partial(condition_is_sharp, limit=8),
    "condition is sharp, limit 1": partial(condition_is_sharp, limit=1),
    "condition is sharp, summed": partial(condition_is_sharp, power=1),
    "condition is sharp, both summed": partial(condition_is_sharp, power=2),
    "condition is sharp, both summed, limit 8": partial(condition_is_sharp, power=2, limit=8),
    "condition is sharp, summed, limit 8": partial(condition_is_sharp, power=1, limit=8),
    "one number off the diagonal": one_number_off_the_diagonal,
    "one number off the diagonal, a tenth less": partial(one_number_off_the_diagonal, shift=0.1),
    "norm by blocks": norm_by_blocks,
    "norm by blocks, one per cent less": partial(norm_by_blocks, times=_LESS),
    "norm by entries": norm_by_entries,
    "modes decay": modes_decay,
    "modes decay, not divided": partial(modes_decay, divided=False),
}


@st.composite
def _equal(draw: st.DrawFn) -> dict[str, Any]:
    return {"n": draw(st.integers(2, 5)), "rho": f"{draw(st.integers(-4, 19))}/20"}


@st.composite
def _blocks(draw: st.DrawFn) -> dict[str, Any]:
    n, v = draw(st.integers(1, 2)), draw(st.integers(2, 3))
    entries = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    return {"v": v, "J": draw(st.lists(entries, min_size=n * v, max_size=n * v))}


DOMAINS: dict[str, tuple[list[SearchStrategy[dict[str, Any]]], str]] = {
    "equal correlations": ([_equal()], "2 to 5 outputs, rho from -1/5 to 19/20"),
    "several outputs": (
        [_blocks()],
        "1 or 2 elements of 2 or 3 outputs, J with two columns and entries from -1 to 1",
    ),
}
