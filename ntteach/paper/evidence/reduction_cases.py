"""Gram matrices with loss gradients as exact cases: reading and hypotheses.

A case is plain data, and `n` outputs stand in one column throughout:

- `K`, rows of a symmetric matrix, or `J`, rows of features with `K = J J^T`;
- `g`, the loss gradients of the squared loss, which are its residuals; or `residuals` with
  `delta`, where the loss is Huber's: `r^2 / 2` up to `|r| = delta`, a line beyond;
- `gamma` (the largest entry of K unless given), `tau` (1), `eta` (`1 / (2 tau gamma)`), and
  `normaliser`, by which losses are averaged (n).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, show
from ntteach.paper.evidence.reduction_numbers import at_most, largest, matrix, pivots, tidy, vector

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A Gram matrix `(n, n)`, the residuals of n outputs, and the constants of Proposition 4.

    `delta` is where Huber's loss turns into a line; None is the squared loss.
    """

    arithmetic: Arithmetic
    K: Array
    residuals: Array
    gamma: Any
    tau: Any
    eta: Any
    normaliser: int
    delta: Any = None

    @property
    def n(self) -> int:
        """How many outputs there are."""
        return len(self.K)

    @property
    def Kbar(self) -> Array:
        """K over the normaliser, `(n, n)`."""
        return self.K / self.normaliser

    def slope(self, residuals: Array) -> Array:
        """The derivative of the loss of each output, without the average, `(n,)`."""
        if self.delta is None:
            return residuals
        return np.array([max(-self.delta, min(self.delta, r)) for r in residuals], residuals.dtype)

    def losses(self, residuals: Array) -> Array:
        """The loss of each output, `(n,)`."""
        g = self.slope(residuals)
        return g * residuals - g * g / 2  # r^2 / 2 where g = r, delta |r| - delta^2 / 2 beyond

    @property
    def g(self) -> Array:
        """The loss gradients, `(n,)`."""
        return self.slope(self.residuals)


def gram_of(given: Given, arithmetic: Arithmetic) -> Array:
    """The matrix that a case gives as `K`, or as `J` with K = J J^T."""
    if "K" in given:
        return matrix(given["K"], arithmetic)
    J = matrix(given["J"], arithmetic)
    return J @ J.T


def read_case(given: Given, arithmetic: Arithmetic, K: Array | None = None) -> Case:
    """A case from its data; `K` where it is not read but computed."""

    def number(name: str, otherwise: Any) -> Any:
        return arithmetic.number(str(given[name])) if name in given else otherwise

    K = gram_of(given, arithmetic) if K is None else K
    residuals = vector(given["residuals" if "residuals" in given else "g"], arithmetic)
    gamma = number("gamma", largest(K))
    tau = number("tau", arithmetic.number("1"))
    # nothing bounds the rate where gamma is zero; a hypothesis then says what is wrong
    eta = number("eta", 1 / (2 * tau * gamma) if gamma > 0 else arithmetic.number("1"))
    delta = number("delta", None)
    return Case(arithmetic, K, residuals, gamma, tau, eta, given.get("normaliser", len(K)), delta)


def symmetric(K: Array) -> Hypothesis:
    """K = K^T."""
    same = all(at_most(x, y) for x, y in zip(K.flat, K.T.flat, strict=True))
    return Hypothesis("K is symmetric", f"K = {show(K)}", same)


def definite(K: Array) -> Hypothesis:
    """K is positive definite, by its pivots."""
    found = pivots(K)
    value = "some direction is negative" if found is None else f"pivots {show(np.array(found))}"
    met = found is not None and len(found) == len(K)
    return Hypothesis("K is positive definite", f"{value}, n = {len(K)}", met)


def semidefinite(K: Array) -> Hypothesis:
    """K is positive semi-definite and not zero, by its pivots."""
    found = pivots(K)
    value = "some direction is negative" if found is None else f"pivots {show(np.array(found))}"
    return Hypothesis("K is positive semi-definite, not zero", value, bool(found))


def smooth(case: Case) -> Hypothesis:
    """The loss is convex and its derivative Lipschitz with the constant tau."""
    where = "" if case.delta is None else f" up to |r| = {case.delta}, linear beyond"
    curvature = "1" if case.delta is None else "1 or 0"
    value = f"r^2 / 2{where}: second derivative {curvature}, tau = {case.tau}"
    met = at_most(1, case.tau) and (case.delta is None or not at_most(case.delta, 0))
    return Hypothesis("the loss is convex and smooth with tau", value, met)


def bounded(case: Case) -> Hypothesis:
    """No entry of K is above gamma, and gamma is the least such number, above zero.

    The proposition asks for a bound only. Its right side grows with gamma, so that the least one
    is the weakest claim.
    """
    top = largest(case.K)
    same = at_most(top, case.gamma) and at_most(case.gamma, top)
    value = f"largest entry {show(top)}, gamma = {show(case.gamma)}"
    return Hypothesis(
        "gamma is the least bound on K, above 0", value, same and not at_most(case.gamma, 0)
    )


def slow(case: Case) -> Hypothesis:
    """0 < eta <= 1 / (2 tau gamma)."""
    product = tidy(2 * case.tau * case.gamma * case.eta)
    met = not at_most(case.eta, 0) and at_most(product, 1)
    value = f"eta = {show(case.eta)}, 2 tau gamma eta = {show(product)}"
    return Hypothesis("0 < eta <= 1 / (2 tau gamma)", value, met)


def proposition(case: Case) -> tuple[Hypothesis, ...]:
    """All that Proposition 4 supposes, with gamma as small as it can be."""
    return (smooth(case), symmetric(case.K), definite(case.K), bounded(case), slow(case))
