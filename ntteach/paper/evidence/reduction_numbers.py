"""Exact and floating-point numbers side by side: comparing, multiplying out, pivots, words.

Exact numbers are rational, or rational functions of log 2, which is known by two bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy

from ntteach.paper.evidence.arithmetic import FLOATS, Arithmetic, Array, show

# Floats: entries are small whole numbers, so what is not zero is far above this.
NOTHING = 1e-9
# 2/3 < log 2 < 7/10, as e^2 < 8 = 2^3 and e^7 > 1024 = 2^10
LOG2 = (sympy.Rational(2, 3), sympy.Rational(7, 10))


def vector(entries: Sequence[Any], arithmetic: Arithmetic) -> Array:
    """A list of whole numbers and fractions as numbers of one arithmetic."""
    kind = float if arithmetic is FLOATS else object
    return np.array([arithmetic.number(str(x)) for x in entries], dtype=kind)


def matrix(rows: Sequence[Sequence[Any]], arithmetic: Arithmetic) -> Array:
    """Rows of whole numbers and fractions as numbers of one arithmetic."""
    return np.stack([vector(row, arithmetic) for row in rows])


def largest(K: Array) -> Any:
    """The largest entry of a matrix."""
    top = K.flat[0]
    for x in K.flat:
        top = top if at_most(x, top) else x
    return top


def form(x: Array, K: Array, y: Array) -> Any:
    """`x^T K y`; exact products are multiplied out, so that equal numbers look the same."""
    return tidy(x @ K @ y)


def _bracketed(x: Any) -> str:
    text = show(x)
    return f"({text})" if set(text) & set("-+*/") else text


def sum_of(x: Array) -> Any:
    """The sum of the entries of a vector."""
    return tidy(x.sum())


def tidy(x: Any) -> Any:
    """A number as it is, an exact expression multiplied out."""
    return sympy.expand(x) if isinstance(x, sympy.Expr) else x


def at_most(x: Any, y: Any) -> bool:
    """Whether x <= y: exactly, or for floats up to rounding.

    Raises:
        ValueError: exact numbers with log 2 that `LOG2` does not tell apart.
    """
    if _is_rounded(x) or _is_rounded(y):
        x, y = float(x), float(y)
        return bool(x <= y + NOTHING * max(1.0, abs(x), abs(y)))
    low, high = enclosure(tidy(y - x))
    if low < 0 <= high:
        raise ValueError(f"bounds on log 2 do not say whether {x} <= {y}")
    return bool(low >= 0)


def _is_rounded(x: Any) -> bool:
    # an exact number times a float is one of SymPy's
    return isinstance(x, float) or (isinstance(x, sympy.Expr) and x.has(sympy.Float))


def enclosure(x: Any) -> tuple[Any, Any]:
    """Rational bounds of a number, or of a rational function of log 2, by bounds on log 2."""
    x = sympy.sympify(x)
    if x.is_Rational:
        return x, x
    above, below = sympy.fraction(sympy.together(x))
    if not below.is_Rational:
        (a, b), (c, d) = enclosure(sympy.expand(above)), enclosure(sympy.expand(below))
        if c * d <= 0:
            raise ValueError(f"bounds on log 2 do not give the denominator of {x} a sign")
        ends = sorted(p / q for p in (a, b) for q in (c, d))
        return ends[0], ends[-1]
    low = high = sympy.Integer(0)
    for (power,), q in sympy.Poly(x, sympy.log(2)).terms():
        ends = sorted(q * bound**power for bound in LOG2)
        low, high = low + ends[0], high + ends[1]
    return low, high


def compared(x: Any, y: Any) -> str:
    """Two numbers and how they compare, with rational bounds between if log 2 is in them."""
    below = at_most(x, y)
    if not any(isinstance(z, sympy.Expr) and not z.is_Rational for z in (x, y)):
        return f"{show(x)} {'<=' if below else '>'} {show(y)}"
    (x_low, x_high), (y_low, y_high) = enclosure(x), enclosure(y)
    if below:
        return f"{x} <= {x_high} <= {y_low} <= {y}"
    return f"{x} >= {x_low} > {y_high} >= {y}"


def log2_known(*numbers: Any) -> str:
    """What is known of log 2, where it occurs in a number."""
    if not any(isinstance(z, sympy.Expr) and z.has(sympy.log) for z in numbers):
        return ""
    return "; known of log 2: e^2 < 8 and e^7 > 2^10, so that 2/3 < log 2 < 7/10"


def spelled(x: Array, K: Array) -> str:
    """x^T K x term by term, and its value."""
    terms = [
        " * ".join(["2"] * (i != j) + [_bracketed(z) for z in (K[i, j], x[i], x[j])])
        for i in range(len(x))
        for j in range(i, len(x))
        if K[i, j] * x[i] * x[j] != 0
    ]
    return f"{' + '.join(terms) or '0'} = {show(form(x, K, x))}"


def pivots(K: Array) -> list[Any] | None:
    """The pivots of symmetric elimination, None if some direction is negative.

    At every step a positive diagonal entry is the pivot. Their number is the rank; K is
    semi-definite exactly if what is left when none is positive is zero.
    """
    left, found = K.copy(), []
    open_ = list(range(len(K)))
    while open_:
        pivot = next((i for i in open_ if not at_most(left[i, i], 0)), None)
        if pivot is None:
            rest = left[np.ix_(open_, open_)]
            return found if all(at_most(x, 0) and at_most(0, x) for x in rest.flat) else None
        found.append(left[pivot, pivot])
        open_.remove(pivot)
        for i in open_:
            ratio = left[i, pivot] / left[pivot, pivot]
            left[i] = [_reduced(x - ratio * y) for x, y in zip(left[i], left[pivot], strict=True)]
    return found


def _reduced(x: Any) -> Any:
    # elimination divides by polynomials in log 2
    return sympy.cancel(x) if isinstance(x, sympy.Expr) and not x.is_Rational else x
