"""The forms that bound the rate of the loss under the flow `df/dt = -(eta / P) K g`."""

from __future__ import annotations

import math

import torch

from ntteach.bounds.problem import Problem
from ntteach.bounds.reduction import Hypothesis, Reduction, at_most, fall

CONDITION = "gamma h (P / N L)^2 [at most 2: Eq. 19 for every g]"
_RATE = "dL/dt"
# of its scale: a measured rate has the rounding of a whole model, parts of it perhaps in float32
_MEASURED = 1e-6


def kernel_hypotheses(p: Problem) -> tuple[Hypothesis, ...]:
    """The kernel is symmetric and positive semi-definite, with the values that say so."""
    return (
        Hypothesis("K is symmetric, largest |K_ij - K_ji|", p.K.asymmetry, True),
        Hypothesis("K is positive semi-definite, smallest eigenvalue", p.K.smallest, True),
    )


def paper(p: Problem) -> Reduction:
    """Eq. 19: `dL/dt <= -(eta gamma / 2) |mean g|^2` for `eta <= 1 / (2 tau gamma)`.

    Both sides are continuous in K, so that what a singular K violates, a definite one near it does.

    >>> from ntteach.bounds.problem import problem
    >>> p = problem([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], eta=0.5, tau=1.0)
    >>> found = paper(p)  # -(1/2)(1/4)(1 + 1); the mean of (1, -1) is 0
    >>> found.left, found.right, found.verdict
    (-0.25, 0.0, 'void')
    """
    gamma = p.bound
    limit = 1 / (2 * p.tau * gamma) if gamma > 0 else math.inf
    return Reduction(
        "paper",
        p.rate,
        fall(p.eta * gamma / 2 * p.mean_square),
        (
            *kernel_hypotheses(p),
            Hypothesis("gamma > 0", gamma, gamma > 0),
            at_most("largest entry of K <= gamma", p.K.largest_entry, gamma),
            Hypothesis("tau > 0", p.tau, True),
            at_most("eta <= 1/(2 tau gamma)", p.eta, limit),
        ),
        (("gamma", gamma), ("|mean g|^2", p.mean_square), ("normaliser", p.P)),
        _RATE,
        "-(eta gamma / 2) |mean g|^2",
        False,
        p.tolerance,
    )


def identity(p: Problem) -> Reduction:
    """The exact rate `dL/dt = -(eta / P^2) g^T K g`.

    The left side is the product of g with `df/dt`, or the rate as it was measured: then it tests
    that the kernel and the gradient are those of what is computed.

    >>> from ntteach.bounds.problem import problem
    >>> found = identity(problem([[2.0]], [3.0], eta=0.5, tau=1.0))
    >>> found.left, found.right
    (-9.0, -9.0)
    """
    measured = p.derivative is not None
    return Reduction(
        "identity",
        p.rate if p.derivative is None else p.derivative,
        fall(p.eta * p.quadratic / p.P**2),
        kernel_hypotheses(p),
        (("g^T K g", p.quadratic), ("normaliser", p.P)),
        f"{_RATE}, as measured" if measured else _RATE,
        "-(eta / P^2) g^T K g",
        True,
        p.tolerance + _MEASURED * p.scale if measured else p.tolerance,
        equality=True,
    )


def rate(p: Problem) -> Reduction:
    """`dL/dt <= -(eta lambda_min / P^2) |g|^2`; void where the kernel is singular.

    The constant is the best: an eigenvector of lambda_min gives equality. If l is mu-strongly
    convex, `|g|^2 >= 2 mu P (L - inf L)`, and the loss of a kernel that stays converges:
    `L - inf L` falls at least as `exp(-2 eta mu lambda_min t / P)`.

    >>> from ntteach.bounds.problem import problem
    >>> rate(problem([[1.0, 0.0], [0.0, 4.0]], [0.0, 2.0], eta=1.0, tau=0.1)).right
    -1.0
    >>> rate(problem([[1.0, 1.0], [1.0, 1.0]], [0.0, 2.0], eta=1.0, tau=0.1)).verdict
    'void'
    """
    least, size = p.K.spectrum[0][0].item(), (p.g @ p.g).item()
    return Reduction(
        "rate",
        p.rate,
        fall(p.eta * least * size / p.P**2),
        kernel_hypotheses(p),
        (("lambda_min(K)", least), ("|g|^2", size), ("normaliser", p.P)),
        _RATE,
        "-(eta lambda_min(K) / P^2) |g|^2",
        True,
        p.tolerance,
    )


def mean(p: Problem) -> Reduction:
    """Eq. 19 with the best constant: `dL/dt <= -eta c |mean g|^2`, `c = (N L / P)^2 / h`.

    h is `1^T K^+ 1`, for v > 1 the largest eigenvalue of `E^T K^+ E` with E the v columns that add
    up the outputs of one kind; c = 0 (void) where 1 is not in the range of K. The constant is the
    best: `g = K^+ 1` gives equality. Eq. 19 holds for every g if and only if `c >= gamma / 2`,
    which is `gamma 1^T K^+ 1 <= 2` for the averaged loss.

    >>> from ntteach.bounds.problem import problem
    >>> eye = [[1.0, 0.0], [0.0, 1.0]]
    >>> found = mean(problem(eye, [1.0, 1.0], eta=1.0, tau=0.5))  # h = 2, c = 1/2
    >>> round(found.constant("c"), 12), found.constant(CONDITION)
    (0.5, 2.0)
    """
    h = _harmonic(p)
    ratio = p.K.elements / p.P
    c = ratio**2 / h
    return Reduction(
        "mean",
        p.rate,
        fall(p.eta * c * p.mean_square),
        kernel_hypotheses(p),
        (
            ("c", c),
            ("h = 1^T K^+ 1", h),
            ("gamma", p.bound),
            (CONDITION, _rounded(p.bound * h / ratio**2)),
            ("normaliser", p.P),
        ),
        _RATE,
        "-eta c |mean g|^2",
        True,
        p.tolerance,
    )


def _harmonic(p: Problem) -> float:
    """`1^T K^+ 1`, the largest eigenvalue of `E^T K^+ E`; infinite off the range of K."""
    v = p.K.outputs
    E = torch.eye(v, dtype=torch.float64).repeat(p.K.elements, 1)  # (n, v)
    values, vectors = p.K.spectrum
    parts = vectors.mT @ E  # (n, v)
    null = values == 0
    # a part that only rounding has put into the null space is below the root of the precision
    if (parts[null].square().sum() > p.K.precision * p.K.elements).item():
        return math.inf
    kept = parts[~null]
    return torch.linalg.eigvalsh(kept.mT @ (kept / values[~null, None]))[-1].item()


def _rounded(value: float) -> float:
    """Twelve digits: a condition that is met with equality should look so."""
    return float(f"{value:.12g}") if math.isfinite(value) else value
