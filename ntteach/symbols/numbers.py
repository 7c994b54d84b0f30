"""Three kinds of numbers for `evaluate`: exact and fast, floating, exact and slow."""

from math import exp as float_exp
from typing import Any

from sympy import (
    QQ,
    Add,
    Expr,
    Float,
    Integer,
    Pow,
    Rational,
    Symbol,
    exp,
    expand,
    log,
    ring,
    sympify,
)

LOG2, RING_LOG2 = log(2), ring("log2", QQ)


class LeavesRing(Exception):
    """A number that is no polynomial in log 2 with rational coefficients."""


class LogTwo:
    """Exact and fast: polynomials in log 2 over the rationals, with exp(n log 2) = 2^n.

    log 2 is transcendental, so unequal polynomials are unequal numbers.
    """

    def __init__(self) -> None:
        self.ring, self.log2 = RING_LOG2

    def leaf(self, number: Expr) -> Any:
        factor, rest = number.as_coeff_Mul()
        if isinstance(number, Add):
            return sum((self.leaf(part) for part in number.args), self.ring.zero)
        if not isinstance(factor, Rational) or rest not in (1, LOG2):
            raise LeavesRing
        return self.ring(QQ(factor.p, factor.q)) * (1 if rest == 1 else self.log2)

    def constant(self, number: Any) -> Rational:
        if not number.is_ground:
            raise LeavesRing
        value = number.coeff(1)
        return Rational(int(value.numerator), int(value.denominator))

    def exp(self, number: Any) -> Any:
        times = self.constant(self.ring(number.coeff(self.log2)))
        if number != self.log2 * QQ(times.p, times.q) or not times.is_Integer:
            raise LeavesRing
        return self.leaf(Integer(2) ** times)

    def power(self, base: Any, power: Any) -> Any:
        power = self.constant(power)
        if power.is_Integer and power >= 0:
            return base ** int(power)
        return self.leaf(self.constant(base) ** power)

    def result(self, number: Any) -> Expr:
        return number.as_expr().xreplace({Symbol("log2"): LOG2})


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
