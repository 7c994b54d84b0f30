"""Orders of accuracy and rates as fitted slopes, never as a single point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ntteach.claims import Evidence, Mutant, Outcome

# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom (exact enough here;
# beyond 30 the normal quantile).
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Slope:
    """A fitted log-log slope with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} (95 % interval {self.low:.3f} to {self.high:.3f})"


def fit_slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Least squares of log y on log x.

    Raises:
        ValueError: fewer than three points, or one that is not positive.
    """
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"a slope needs three points or more, got {len(x)} and {len(y)}")
    if min(*x, *y) <= 0:
        raise ValueError("a log-log slope needs positive numbers")
    u, w = [math.log(value) for value in x], [math.log(value) for value in y]
    n, u_mean, w_mean = len(u), math.fsum(u) / len(u), math.fsum(w) / len(w)
    spread = math.fsum((a - u_mean) ** 2 for a in u)
    slope = math.fsum((a - u_mean) * (b - w_mean) for a, b in zip(u, w, strict=True)) / spread
    residual = math.fsum(
        (b - w_mean - slope * (a - u_mean)) ** 2 for a, b in zip(u, w, strict=True)
    )
    t = _T95[n - 3] if n - 3 < len(_T95) else 1.96
    half = t * math.sqrt(residual / (n - 2) / spread)
    return Slope(slope, slope - half, slope + half)


def slope_is(
    expected: float,
    measure: Callable[[float], float],
    x: Sequence[float],
    *,
    tolerance: float,
    mutants: Mapping[str, Callable[[float], float]],
    scope: str,
) -> Evidence:
    """Fit the slope of log measure(x) on log x and compare its whole interval with a value.

    A pass guarantees that the 95 % interval lies within `tolerance` of the expected slope over
    the range of x looked at, and that no mutant's does. It cannot see what happens outside it.

    Args:
        expected: the slope claimed.
        measure: positive numbers, one for each x.
        x: at least three.
        tolerance: how far the interval may reach.
        mutants: other quantities, whose slope must be told from the expected one.
        scope: range and protocol in words.
    """

    def distance(quantity: Callable[[float], float]) -> tuple[Slope, float]:
        slope = fit_slope(x, [quantity(value) for value in x])
        return slope, max(abs(slope.low - expected), abs(slope.high - expected)) / tolerance

    slope, margin = distance(measure)
    return Evidence(
        Outcome.SUPPORTS if margin <= 1 else Outcome.REFUTES,
        scope,
        len(x),
        margin,
        f"slope {slope}, expected {expected:g} within {tolerance:g}",
        tuple(Mutant(name, refuted=distance(q)[1] > 1) for name, q in mutants.items()),
    )
