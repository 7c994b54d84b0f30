"""The forms that bound what one step `f <- f - (eta / P) K g` does to the loss."""

from __future__ import annotations

import math

from ntteach.bounds.problem import Problem
from ntteach.bounds.rates import kernel_hypotheses
from ntteach.bounds.reduction import Hypothesis, Reduction, at_most, fall


def discrete(p: Problem) -> Reduction:
    """`L+ - L <= -(eta / P) g^T Kbar g + (tau eta^2 / 2 P) |Kbar g|^2`, with `Kbar = K / P`.

    What smoothness gives for one step of any size. The left side is the change of the loss, where
    it is known, else the largest that tau allows, which is the right side.

    >>> from ntteach.bounds.problem import problem
    >>> p = problem([[1.0]], [2.0], eta=0.5, tau=1.0, loss=2.0, next_loss=0.5)
    >>> found = discrete(p)  # half f^2 from f = 2 to f = 1: -2 + 1/2
    >>> found.left, found.right, found.verdict
    (-1.5, -1.5, 'holds')
    """
    allowed = _allowed(p)
    return Reduction(
        "discrete",
        allowed if p.change is None else p.change,
        allowed,
        (*kernel_hypotheses(p), _smooth(p)),
        (("eta tau lambda_max(Kbar)", p.eta * p.tau * p.top), ("normaliser", p.P)),
        _change(p),
        "-(eta / P) g^T Kbar g + (tau eta^2 / 2 P) |Kbar g|^2",
        True,
        _tolerance(p),
    )


def repaired(p: Problem) -> Reduction:
    """`L+ - L <= -(q eta / P) g^T Kbar g`: q = 1/2, or 3/4 for half the step size.

    q = 1/2 for `eta <= 1 / (tau lambda_max(Kbar))`, q = 3/4 for `eta <= 1 / (2 tau
    lambda_max(Kbar))`; the one that is met is listed. The latter is implied by the `eta <= 1 / (2
    tau gamma)` of Eq. 19 where gamma bounds the operator norms of the v x v blocks K(s, s) and the
    loss is averaged over the N L elements; for v = 1 these are the entries of the diagonal.

    >>> from ntteach.bounds.problem import problem
    >>> p = problem([[1.0]], [2.0], eta=0.5, tau=1.0, loss=2.0, next_loss=0.5)
    >>> found = repaired(p)
    >>> found.left, found.right, found.constant("q")
    (-1.5, -1.5, 0.75)
    """
    longest = 1 / (p.tau * p.top) if p.top > 0 else math.inf
    rounding = p.K.relative_rounding
    within = at_most("eta <= 1/(2 tau lambda_max(Kbar))", p.eta, longest / 2, rounding)
    q = 0.75 if within.met else 0.5
    if not within.met:
        within = at_most("eta <= 1/(tau lambda_max(Kbar))", p.eta, longest, rounding)
    gamma = p.K.block_norm if p.gamma is None else p.gamma
    return Reduction(
        "repaired",
        _allowed(p) if p.change is None else p.change,
        fall(q * p.eta * p.quadratic / p.P**2),
        (
            *kernel_hypotheses(p),
            _smooth(p),
            within,
        ),
        (
            ("q", q),
            ("lambda_max(Kbar)", p.top),
            ("gamma", gamma),
            ("largest norm of a block K(s, s)", p.K.block_norm),
            ("eta tau lambda_max(Kbar)", p.eta * p.tau * p.top),
            ("eta tau gamma", p.eta * p.tau * gamma),
            ("normaliser", p.P),
        ),
        _change(p),
        "-(q eta / P) g^T Kbar g",
        True,
        _tolerance(p),
    )


def _allowed(p: Problem) -> float:
    """The largest change of the loss that smoothness allows for this step."""
    step = p.K.matrix @ p.g / p.P  # Kbar g
    square = (step @ step).item()
    quadratic = p.eta / p.P**2 * p.quadratic
    return p.tau * p.eta**2 / (2 * p.P) * square - quadratic if square else -quadratic


def _smooth(p: Problem) -> Hypothesis:
    return Hypothesis("the loss is smooth, tau < inf", p.tau, math.isfinite(p.tau))


def _change(p: Problem) -> str:
    return "L+ - L, the largest that tau allows" if p.change is None else "L+ - L"


def _tolerance(p: Problem) -> float:
    """Rounding of the products, and of the losses that were subtracted."""
    curvature = 1 + (p.tau * p.eta * p.top if math.isfinite(p.tau) else 0.0)
    return p.tolerance * curvature + 64 * p.K.n * 2.3e-16 * p.level
