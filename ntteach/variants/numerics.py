"""How far apart two honest computations may be: measured rounding, and bounded differences.

Nothing is known about the inside of a user's module, so its rounding is measured: a smooth
function's sixth difference at a tiny step vanishes, and what is left is rounding (the idea of
Moré and Wild's ECnoise). A module that computes in single precision inside gets the wider bound
that it needs, and one that does not is held to double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# The sixth difference of independent errors of variance s^2 has variance binomial(12, 6) s^2.
_ORDER = 6
_POINTS = range(-_ORDER // 2, _ORDER // 2 + 1)
_SIGNS = [(-1) ** k * math.comb(_ORDER, k) for k in range(_ORDER + 1)]
_GROWTH = math.sqrt(math.comb(2 * _ORDER, _ORDER))
# The length of a step: short enough to meet few kinks and to take a smooth function's sixth
# difference to 1e-30, and still many units in the last place of single precision.
_STEP = 1e-5
# Bounds are this many times the measured rounding: the largest of many errors, not a typical one.
SAFETY = 32


def noise(quantity: Callable[[Tensor], Tensor], S: Tensor, generator: torch.Generator) -> float:
    """The size of the rounding in `quantity(S)`, measured around S; at least one epsilon.

    The median over three directions, since one may cross a kink.
    """
    sizes, top = [], 0.0
    for _ in range(3):
        u = torch.randn(S.shape, generator=generator, dtype=torch.float64)
        u = (u / u.norm()).to(S)
        values = [quantity(S + k * _STEP * u) for k in _POINTS]
        top = max(top, *map(largest, values))
        sizes.append(_sixth(values))
    return max(sorted(sizes)[1], torch.finfo(S.dtype).eps * top)


def _sixth(values: Sequence[Tensor]) -> float:
    """The rounding in equally spaced values of a smooth function."""
    signs = torch.tensor(_SIGNS).to(values[0])
    return largest(torch.tensordot(signs, torch.stack(list(values)), 1)) / _GROWTH


def slope(
    function: Callable[[float], Tensor], step: float, rounding: float
) -> tuple[Tensor, Tensor]:
    """`d function / dt` at t = 0 by central differences, and a bound on its error per entry.

    Truncation is estimated as twice the difference of the quotients of step h and 2h (six times
    `h^2 f'''/6`); rounding is at most `SAFETY * rounding / h`. At a kink the bound is infinite:
    one-sided quotients differ by O(h) where f is smooth, and by a constant where it is not.
    """
    values = [function(k * step) for k in _POINTS]
    _, far_below, below, centre, above, far_above, _ = values
    near = (above - below) / (2 * step)
    far = (far_above - far_below) / (4 * step)
    # what moves along this line only may round more than what was measured along others
    bound = 2 * (near - far).abs() + SAFETY * max(rounding, _sixth(values)) / step
    gap = (above - 2 * centre + below).abs() / step
    far_gap = (far_above - 2 * centre + far_below).abs() / (2 * step)
    # halving the step halves the gap where f is smooth; 0.6 leaves room for higher orders
    kink = gap > 0.6 * far_gap + SAFETY * rounding / step
    return near, torch.where(kink, torch.inf, bound)


def balanced_step(rounding: float, size: float, top: float) -> float:
    """The step that balances truncation h^2 and rounding / h, a power of two near `size * r^(1/3)`.

    Args:
        rounding: in the values, absolute.
        size: of what is moved.
        top: of the values.
    """
    relative = rounding / top if top > 0 else 2.0**-52
    relative = min(max(relative, 2.0**-52), 2.0**-12)
    return 2.0 ** round(math.log2(max(1.0, size) * relative ** (1 / 3)))


def relative(rounding: float, f: Tensor) -> float:
    """Rounding in `f` relative to its size; capped, since f may cancel and its slopes not."""
    top = largest(f)
    return min(rounding / top, 2.0**-12) if top > 0 else torch.finfo(f.dtype).eps


def margin(found: Tensor, expected: Tensor, bound: Tensor | float) -> float:
    """The largest error over bound; 0 where both are exact, infinite for NaN."""
    error = (found - expected).abs()
    ratio = torch.where(error == 0, torch.zeros_like(error), error / bound)
    worst = largest(ratio)
    return math.inf if math.isnan(worst) else worst


def largest(x: Tensor) -> float:
    """The largest absolute entry; NaN where there is one, 0 where there is no entry."""
    return x.abs().max().item() if x.numel() else 0.0
