"""When Eq. 19 holds after all, norms of kernels, and modes: laws on a given case.

`s` is 1^T K^+ 1; `times` changes a constant, as in `reduction_repair_laws.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.strategies import SearchStrategy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, show
from ntteach.paper.evidence.reduction_cases import semidefinite
from ntteach.paper.evidence.reduction_laws import learner_case, rate
from ntteach.paper.evidence.reduction_numbers import (
    NOTHING,
    at_most,
    largest,
    matrix,
    pivots,
    sum_of,
)
from ntteach.paper.evidence.reduction_repair_laws import Kind, below, eigenvalues, read_supposed

Given = Mapping[str, Any]


def reciprocal(K: Array) -> float:
    """s = 1^T K^+ 1, infinite where 1 is not in the range of K."""
    K = K.astype(float)
    ones = np.ones(len(K))
    c = np.linalg.pinv(K, rcond=NOTHING, hermitian=True) @ ones
    return float(ones @ c) if np.allclose(K @ c, ones, atol=1e-7) else np.inf


def falls_by_the_sharp_mean(given: Given, arithmetic: Arithmetic, *, times: float = 1) -> Finding:
    """dL/dt <= -(eta / s) (mean g)^2 with s = 1^T K^+ 1; zero on the right if s is infinite."""
    case, supposed, *_ = read_supposed(given, arithmetic)
    right = -times * case.eta / reciprocal(case.K) * (sum_of(case.g) / case.n) ** 2
    return below(supposed, rate(case)[1], right, "dL/dt")


def falls_by_the_sharp_mean_of_a_learner(given: Given, arithmetic: Arithmetic) -> Finding:
    """The same for the tangent kernel of a learner at its sequences."""
    case, learner = learner_case(given, arithmetic)
    right = -case.eta / reciprocal(case.K) * (sum_of(case.g) / case.n) ** 2
    return below((*learner, semidefinite(case.K)), rate(case)[1], right, "dL/dt")


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
    against both: the g that is drawn, and the worst; for gamma, and for bounds half a per cent
    below and above the largest with which Eq. 19 is true of the worst.
    """
    case, supposed, *_ = read_supposed(given, arithmetic)
    K, drawn, worst = case.K.astype(float), case.g.astype(float), _worst(case.K)
    scale = 2 * case.n**power

    def holds(gamma: float, g: Array) -> bool:
        return at_most(gamma / scale * float(g.sum()) ** 2, float(g @ K @ g))

    s = reciprocal(case.K) if K.any() else np.inf
    last = scale * float(worst @ K @ worst) / float(worst.sum()) ** 2
    bounds = [float(case.gamma), *(share * last for share in (0.995, 1.005) if last > NOTHING)]
    said = [gamma * s <= limit * case.n**power + NOTHING for gamma in bounds]
    found = [(holds(gamma, drawn), holds(gamma, worst)) for gamma in bounds]
    return Finding(
        supposed,
        f"with gamma = {bounds} and s = {show(s)} Eq. 19 holds for every g: {said}",
        f"for the g drawn and for the worst: {found}",
        all(x == last and (first or not x) for x, (first, last) in zip(said, found, strict=True)),
    )


def one_number_off_the_diagonal(
    given: Given, arithmetic: Arithmetic, *, times: float = 1
) -> Finding:
    """With ones on the diagonal and rho beside it, Eq. 19 holds if rho >= (n - 2) / (2 (n - 1))."""
    n, rho = given["n"], float(arithmetic.number(str(given["rho"])))
    K = np.where(np.eye(n, dtype=bool), 1.0, rho)
    found = eigenvalues(K)[0] > NOTHING
    said = rho >= times * (n - 2) / (2 * (n - 1)) - NOTHING
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
    return below(supposed, float(eigenvalues(K)[-1] / n), times * gamma, "Lambda")


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
    case, supposed, *_ = read_supposed(given, arithmetic)
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
    "falls by the sharp mean": falls_by_the_sharp_mean,
    "falls by the sharp mean, one per cent more": partial(falls_by_the_sharp_mean, times=_MORE),
    "falls by the sharp mean of a learner": falls_by_the_sharp_mean_of_a_learner,
    "condition is sharp": condition_is_sharp,
    "condition is sharp, one per cent more": partial(condition_is_sharp, limit=2 * _MORE),
    "condition is sharp, one per cent less": partial(condition_is_sharp, limit=2 * _LESS),
    "condition is sharp, summed": partial(condition_is_sharp, power=1),
    "condition is sharp, both summed": partial(condition_is_sharp, power=2),
    "condition is sharp, both summed, one per cent more": partial(
        condition_is_sharp, power=2, limit=2 * _MORE
    ),
    "condition is sharp, summed, one per cent more": partial(
        condition_is_sharp, power=1, limit=2 * _MORE
    ),
    "one number off the diagonal": one_number_off_the_diagonal,
    "one number off the diagonal, one per cent less": partial(
        one_number_off_the_diagonal, times=_LESS
    ),
    "one number off the diagonal, one per cent more": partial(
        one_number_off_the_diagonal, times=_MORE
    ),
    "norm by blocks": norm_by_blocks,
    "norm by blocks, one per cent less": partial(norm_by_blocks, times=_LESS),
    "norm by entries": norm_by_entries,
    "modes decay": modes_decay,
    "modes decay, not divided": partial(modes_decay, divided=False),
}


@st.composite
def _equal(draw: st.DrawFn) -> dict[str, Any]:
    """Any number off the diagonal, or one beside the least with which Eq. 19 is true."""
    n = draw(st.integers(2, 5))
    least = Fraction(n - 2, 2 * (n - 1))
    near = [str(least + Fraction(k, 500)) for k in (-1, 0, 1)]
    return {"n": n, "rho": draw(st.sampled_from([f"{k}/20" for k in range(-4, 20)] + 8 * near))}


@st.composite
def _blocks(draw: st.DrawFn) -> dict[str, Any]:
    n, v = draw(st.integers(1, 2)), draw(st.integers(2, 3))
    entries = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    return {"v": v, "J": draw(st.lists(entries, min_size=n * v, max_size=n * v))}


DOMAINS: dict[str, tuple[list[SearchStrategy[dict[str, Any]]], str]] = {
    "equal correlations": (
        [_equal()],
        "2 to 5 outputs, rho from -1/5 to 19/20, many within 1/500 of the least",
    ),
    "several outputs": (
        [_blocks()],
        "1 or 2 elements of 2 or 3 outputs, J with two columns and entries from -1 to 1",
    ),
}
