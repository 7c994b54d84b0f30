"""Terms with their summations in front, and one way of writing each that its dummies cannot change.

Two terms that differ by the names of summation indices, or by the order of factors and sums, are
written alike; terms that are written alike are equal, because the writing loses nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import NamedTuple, TypeAlias

from sympy import (
    Add,
    Dummy,
    Expr,
    Indexed,
    KroneckerDelta,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    exp,
    srepr,
)
from sympy.core.function import AppliedUndef

Names: TypeAlias = Mapping[Symbol, str]
RESERVED = "_"  # canonical summation indices are called _0.0, _0.1, ...; _1.0 inside an exp


class Limit(NamedTuple):
    """One summation: index = low, ..., high."""

    index: Symbol
    low: Expr
    high: Expr


class Term(NamedTuple):
    """Sum over all limits of the product of factor ** power."""

    limits: tuple[Limit, ...]
    factors: tuple[tuple["Factor", Expr], ...]


Polynomial: TypeAlias = list[tuple[Fraction, Term]]  # coefficients and terms


@dataclass(frozen=True, eq=False)
class Exp:
    """exp of one term."""

    term: Term


@dataclass(frozen=True, eq=False)
class Inverse:
    """1 / polynomial; to the power n it stands for polynomial ** -n."""

    polynomial: tuple[tuple[Fraction, Term], ...]


Factor: TypeAlias = Expr | Exp | Inverse
UNIT = Term((), ())


@lru_cache(maxsize=1 << 16)
def free(item: Factor | Term) -> frozenset[Symbol]:
    """Every symbol in a factor or term that is not one of its own summation indices."""
    match item:
        case Exp(term):
            return free(term)
        case Inverse(polynomial):
            return frozenset().union(*(free(term) for _, term in polynomial))
        case Term(limits, factors):
            inside = (free(part) for pair in factors for part in pair)
            bounds = (free(bound) for limit in limits for bound in limit[1:])
            return frozenset().union(*inside, *bounds) - {limit.index for limit in limits}
    return frozenset(item.atoms(Symbol))


@cache
def _own_name(symbol: Symbol) -> str:
    # srepr carries the assumptions and the number of a Dummy: unequal symbols never share a name.
    return srepr(symbol)


def text(factor: Factor, names: Names, depth: int) -> str:
    """Write a factor down unambiguously; `names` replaces symbols, `depth` keeps scopes apart."""
    if not names and not isinstance(factor, Exp | Inverse):
        return _unnamed_text(factor)
    return _text(factor, names, depth)


@lru_cache(maxsize=1 << 16)
def _unnamed_text(factor: Expr) -> str:
    return _text(factor, {}, 0)


def _text(factor: Factor, names: Names, depth: int) -> str:
    match factor:
        case Exp() | Inverse():
            needed = frozenset((x, names[x]) for x in free(factor) if x in names)
            return _scoped_text(factor, needed, depth)
        case Symbol():
            return names.get(factor) or _own_name(factor)
        case Rational():
            return f"{factor.p}/{factor.q}"  # sympy's printer takes many times longer
        case Indexed():
            head = _own_name(factor.base.label)
            parts = [names.get(x) or _text(x, names, depth) for x in factor.indices]
        case KroneckerDelta():  # symmetric in its two arguments
            head, parts = "delta", sorted(_text(x, names, depth) for x in factor.args)
        case Add() | Mul():  # commutative
            head, parts = type(factor).__name__, sorted(_text(x, names, depth) for x in factor.args)
        case Pow() | AppliedUndef():
            head, parts = factor.func.__name__, [_text(x, names, depth) for x in factor.args]
        case _:
            raise ValueError(f"no canonical form for {type(factor).__name__}: {factor}")
    return f"{head}({','.join(parts)})"


@lru_cache(maxsize=1 << 16)
def _scoped_text(factor: Exp | Inverse, names: frozenset[tuple[Symbol, str]], depth: int) -> str:
    if isinstance(factor, Exp):
        return f"exp{arrange(factor.term, dict(names), depth + 1)[0]}"
    terms = (f"{q}{arrange(x, dict(names), depth + 1)[0]}" for q, x in factor.polynomial)
    return f"inverse({'+'.join(sorted(terms))})"


def arrange(term: Term, names: Names, depth: int) -> tuple[str, tuple[Symbol, ...]]:
    """Return the canonical writing of a term and its summation indices in canonical order.

    Summation indices are told apart by where they occur; where that leaves a tie, each of the tied
    indices is tried first and the least writing wins, so the result does not depend on names.
    """
    needed = frozenset((x, names[x]) for x in free(term) if x in names)
    return _arrange(term, needed, depth)


@lru_cache(maxsize=1 << 16)
def _arrange(
    term: Term, outer: frozenset[tuple[Symbol, str]], depth: int
) -> tuple[str, tuple[Symbol, ...]]:
    names = dict(outer)
    indices = tuple(limit.index for limit in term.limits)
    bounds = [(limit, free(limit.low) | free(limit.high)) for limit in term.limits]
    powers = [((factor, power), free(factor) | free(power)) for factor, power in term.factors]

    def refine(colours: dict[Symbol, int]) -> dict[Symbol, int]:
        while True:
            marks = names | {x: f"~{colour}" for x, colour in colours.items()}
            signatures = {}
            for x in indices:
                seen = marks | {x: "*"}
                parts = [
                    ":".join(text(part, seen, depth) for part in limit)
                    for limit, inside in bounds
                    if limit.index == x or x in inside
                ]
                parts += [
                    f"{text(factor, seen, depth)}^{text(power, seen, depth)}"
                    for (factor, power), inside in powers
                    if x in inside
                ]
                signatures[x] = (colours[x], tuple(sorted(parts)))
            ranks = {value: rank for rank, value in enumerate(sorted(set(signatures.values())))}
            settled = len(ranks) == len(set(colours.values()))
            colours = {x: ranks[signatures[x]] for x in indices}
            if settled:
                return colours

    def search(colours: dict[Symbol, int]) -> tuple[str, tuple[Symbol, ...]]:
        colours = refine(colours)
        for colour in range(len(indices)):
            tied = [x for x in indices if colours[x] == colour]
            if len(tied) > 1:
                doubled = {x: 2 * value for x, value in colours.items()}
                tries = [search(doubled | {x: 2 * colour - 1}) for x in tied]
                return min(tries, key=lambda found: found[0])
        order = tuple(sorted(indices, key=lambda x: colours[x]))
        return write(order), order

    def write(order: tuple[Symbol, ...]) -> str:
        local = names | {x: f"#{depth}.{rank}" for rank, x in enumerate(order)}
        limits = sorted(":".join(text(part, local, depth) for part in x) for x in term.limits)
        factors = sorted("^".join(text(x, local, depth) for x in pair) for pair in term.factors)
        return f"[{';'.join(limits)}|{'*'.join(factors)}]"

    # no index, or one, needs no search
    return search(dict.fromkeys(indices, 0)) if len(indices) > 1 else (write(indices), indices)


def to_expr(
    item: Factor | Term, names: Mapping[Symbol, Symbol] | None = None, depth: int = 0
) -> Expr:
    """Turn a factor or term into a sympy expression.

    With `names` (empty at the outset) summation indices get their canonical names; without, they
    stay the dummies they are.
    """
    match item:
        case Exp(term):
            return exp(to_expr(term, names, depth + 1))
        case Inverse(polynomial):
            parts = (_number(q) * to_expr(term, names, depth + 1) for q, term in polynomial)
            return Pow(Add(*parts), -1)
        case Term(limits, factors):
            if names is not None:
                labels = {x: _label(y) for x, y in names.items()}
                order = arrange(item, labels, depth)[1]
                names = {**names, **{x: _canonical_name(depth, y) for y, x in enumerate(order)}}
            body = Mul(*(_power(to_expr(x, names, depth), _renamed(y, names)) for x, y in factors))
            for limit in _inner_first(limits):
                body = Sum(body, tuple(_renamed(part, names) for part in limit))
            return body
    return _renamed(item, names)


def _label(symbol: Symbol) -> str:
    # as `text` writes it
    return "#" + symbol.name.removeprefix(RESERVED)


def _canonical_name(depth: int, rank: int) -> Symbol:
    return Symbol(f"{RESERVED}{depth}.{rank}", integer=True, positive=True)


def _power(base: Expr, power: Expr) -> Expr:
    return exp(base.args[0] * power) if isinstance(base, exp) else Pow(base, power)


def _number(value: Fraction) -> Expr:
    return Rational(value.numerator, value.denominator)


def _renamed(expr: Expr, names: Mapping[Symbol, Symbol] | None) -> Expr:
    return expr.xreplace(dict(names)) if names else expr


def _inner_first(limits: tuple[Limit, ...]) -> list[Limit]:
    # A sum whose bound is another index stands inside the sum over that index.
    rest, ordered = list(limits), []
    while rest:
        for limit in rest:
            if not any(limit.index in other.high.free_symbols for other in rest if other != limit):
                break
        else:
            raise ValueError("the bounds of the sums depend on each other in a circle")
        rest.remove(limit)
        ordered.append(limit)
    return ordered


def dummy(stem: str = "x") -> Dummy:
    """Return a summation index that equals no other."""
    return Dummy(stem, integer=True, positive=True)
