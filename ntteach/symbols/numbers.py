"""Three kinds of numbers for `evaluate`: exact and fast, floating, exact and slow."""

from math import exp as float_exp
from typing import Any

from sympy import (
    QQ,
    Add,
    Expr,
    Float,
    Pow,
    Rational,
    Symbol,
    exp,
    expand,
    log,
    ring,
    sympify,
)
from sympy.polys.rings import PolyElement

LOG2, RING_LOG2 = log(2), ring("log2", QQ)


class LeavesRing(Exception):
    """A number that is no polynomial in log 2 with rational coefficients."""


class LogTwo:
    """Exact and fast: polynomials in log 2 over the rationals, with exp(n log 2) = 2^n.

    log 2 is transcendental, so unequal polynomials are unequal numbers. A number without log 2 is
    an int or an element of QQ, which are far quicker than polynomials.
    """

    def __init__(self) -> None:
        self.ring, self.log2 = RING_LOG2

    def leaf(self, number: Expr) -> Any:
        factor, rest = number.as_coeff_Mul()
        if isinstance(number, Add):
            return sum(self.leaf(part) for part in number.args)
        if not isinstance(factor, Rational) or rest not in (1, LOG2):
            raise LeavesRing
        plain = int(factor.p) if factor.q == 1 else QQ(factor.p, factor.q)
        return plain if rest == 1 else self.log2 * QQ(plain)

    def constant(self, number: Any) -> Any:
        """The element of QQ that a number without log 2 is."""
        if not isinstance(number, PolyElement):
            return QQ(number)
        if not number.is_ground:
            raise LeavesRing
        return number.coeff(1)

    def exp(self, number: Any) -> Any:
        times = number.coeff(self.log2) if isinstance(number, PolyElement) else QQ(0)
        if number != self.log2 * times or times.denominator != 1:
            raise LeavesRing
        return 2 ** int(times) if times >= 0 else QQ(1, 2 ** -int(times))

    def power(self, base: Any, power: Any) -> Any:
        power = self.constant(power)
        if power.denominator == 1 and power >= 0:
            return base ** int(power)
        base = self.constant(base)
        if power.denominator == 1:
            return base ** int(power)
        return self.leaf(_rational(base) ** _rational(power))

    def result(self, number: Any) -> Expr:
        if isinstance(number, PolyElement):
            return number.as_expr().xreplace({Symbol("log2"): LOG2})
        return _rational(QQ(number))


def _rational(number: Any) -> Rational:
    return Rational(int(number.numerator), int(number.denominator))


class Floats:
    """Floating: once one of the values is a float."""

    def leaf(self, number: Expr) -> float:
        return float(number)

    def exp(self, number: float) -> float:
        return float_exp(number)

    def power(self, base: float, power: float) -> float:
        return base**power

    def result(self, number: float) -> Expr:
        return Float(number)


class Exact:
    """Exact and slow: whatever sympy can write down."""

    def leaf(self, number: Expr) -> Expr:
        return number

    def exp(self, number: Expr) -> Expr:
        return exp(expand(number))

    def power(self, base: Expr, power: Expr) -> Expr:
        return Pow(base, power)

    def result(self, number: Expr) -> Expr:
        return sympify(number)
