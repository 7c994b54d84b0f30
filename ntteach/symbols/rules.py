"""Rewriting rules for one term, and the collection of terms.

Every rule is an identity wherever both sides are defined; each states it. A rule returns what the
term is replaced by, or None if it does not apply. `expand` turns an expression into terms.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import floor
from typing import TypeAlias

from sympy import Expr, Integer, KroneckerDelta, Pow, Rational, Symbol
from sympy import expand as multiply_out

from .names import INDEX_RANGES
from .terms import Factor, Inverse, Limit, Polynomial, Term, arrange, free, text, to_expr

ONE = Integer(1)
Expand: TypeAlias = Callable[[Expr], Polynomial]


def multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    """(Sum_x f)(Sum_y g) = Sum_x Sum_y f g; x and y differ: expansions make new dummies."""
    return [
        (p * q, Term(x.limits + y.limits, x.factors + y.factors)) for p, x in left for q, y in right
    ]


def scale(number: Fraction | int, terms: Iterable[tuple[Fraction, Term]]) -> Polynomial:
    """Multiply every coefficient by a number."""
    return [(number * q, term) for q, term in terms]


def collect(terms: Polynomial, expand: Expand) -> Polynomial:
    """Rewrite every term until no rule applies, then add up the terms that are written alike."""
    found: dict[str, tuple[Fraction, Term]] = {}
    todo = list(terms)
    while todo:
        number, term = todo.pop()
        factor, term = _merge(term)
        number *= factor
        for rule in (_contract, _cancel, _unfold, _drop):
            if (rewritten := rule(term, expand)) is not None:
                todo.extend(scale(number, rewritten))
                break
        else:
            key = arrange(term, {}, 0)[0]
            found[key] = (number + found.get(key, (0, term))[0], term)
    return [(q, term) for _, (q, term) in sorted(found.items()) if q]


def _merge(term: Term) -> tuple[Fraction, Term]:
    """x^p x^q = x^(p+q); delta^n = delta; whole powers of numbers join the coefficient."""
    number = Fraction(1)
    powers: dict[str, tuple[Factor, Expr]] = {}
    for factor, power in term.factors:
        key = text(factor, {}, 0)
        if key in powers:
            power = multiply_out(power + powers[key][1])
        powers[key] = (factor, power)
    factors = []
    for factor, power in powers.values():
        if isinstance(factor, KroneckerDelta):  # it is 0 or 1
            if not (isinstance(power, Integer) and power > 0):
                raise ValueError(f"no canonical form for {factor} to the power {power}")
            power = ONE
        if isinstance(factor, Integer) and isinstance(power, Rational):
            whole = floor(power)
            number *= Fraction(int(factor)) ** whole
            power -= whole
        if power != 0:
            factors.append((factor, power))
    return number, Term(term.limits, tuple(factors))


def _contract(term: Term, expand: Expand) -> Polynomial | None:
    """Sum_x delta(x,y) f(x) = f(y) for y in the range of x; delta(x,y) f(x) = delta(x,y) f(y)."""
    limits = {limit.index: limit for limit in term.limits}
    for place, (factor, _) in enumerate(term.factors):
        if not isinstance(factor, KroneckerDelta):
            continue
        rest = term.factors[:place] + term.factors[place + 1 :]
        for x, y in (factor.args, factor.args[::-1]):
            if x in limits and x != y and _covers(limits[x], y, limits):
                others = tuple(limit for limit in term.limits if limit.index != x)
                return _substitute(Term(others, rest), x, y, expand)
        low, high = sorted(factor.args, key=lambda x: text(x, {}, 0))
        if not isinstance(high, Symbol) or free(low) & {high, *limits} or high in limits:
            continue
        if high in free(Term((), rest)) or any(high in free(x.high) for x in term.limits):
            kept = [(Fraction(1), Term((), ((factor, ONE),)))]
            return multiply(kept, _substitute(Term(term.limits, rest), high, low, expand))
    return None


def _covers(limit: Limit, value: Expr, limits: dict[Symbol, Limit]) -> bool:
    """Say whether a value is certain to lie in the range of a sum."""
    if value in limits:
        return limits[value][1:] == limit[1:]  # two sums over one and the same range
    if value in (limit.low, limit.high):  # an end of a range that is not empty
        return bool((limit.high - limit.low).is_nonnegative)
    return limit.low == 1 and limit.high in INDEX_RANGES.get(value, ())


def _substitute(term: Term, x: Symbol, y: Expr, expand: Expand) -> Polynomial:
    limits = tuple(
        Limit(z.index, z.low.xreplace({x: y}), z.high.xreplace({x: y})) for z in term.limits
    )
    kept = [pair for pair in term.factors if x not in free(pair[0]) | free(pair[1])]
    result: Polynomial = [(Fraction(1), Term(limits, tuple(kept)))]
    for factor, power in term.factors:
        if x in free(factor) | free(power):
            changed = Pow(to_expr(factor), power).xreplace({x: y})
            result = multiply(result, expand(changed))
    return result


def _cancel(term: Term, expand: Expand) -> Polynomial | None:
    """Z / Z = 1, where Z is one connected sum that stands in the term beside 1 / Z."""
    for place, (factor, power) in enumerate(term.factors):
        if not isinstance(factor, Inverse) or len(factor.polynomial) > 1 or power < 0:
            continue
        ((_, wanted),) = factor.polynomial
        rest = Term(term.limits, term.factors[:place] + term.factors[place + 1 :])
        # The indices that Z itself depends on stay fixed; all others may be summed inside Z.
        _, groups = components(rest, {x.index for x in term.limits} - free(factor))
        for group in groups:
            if len(group.limits) == len(wanted.limits) and (
                arrange(group, {}, 0)[0] == arrange(wanted, {}, 0)[0]
            ):
                kept = [x for x in term.limits if x not in group.limits]
                summed = {x.index for x in group.limits}
                if any((free(x.low) | free(x.high)) & summed for x in kept):
                    continue  # the range of another sum depends on what would go
                factors = [x for x in rest.factors if x not in group.factors]
                if power != 1:
                    factors.append((factor, power - 1))
                return [(Fraction(1), Term(tuple(kept), tuple(factors)))]
    return None


def _unfold(term: Term, expand: Expand) -> Polynomial | None:
    """1 / (1 / Z) = Z."""
    for place, (factor, power) in enumerate(term.factors):
        if isinstance(factor, Inverse) and power < 0:
            rest = term.factors[:place] + term.factors[place + 1 :]
            whole = expand(Pow(to_expr(factor), power))
            return multiply([(Fraction(1), Term(term.limits, rest))], whole)
    return None


def _drop(term: Term, expand: Expand) -> Polynomial | None:
    """Sum_(x=1..n) f = n f if f does not contain x."""
    for limit in term.limits:
        others = tuple(x for x in term.limits if x is not limit)
        length = limit.high - limit.low + 1
        if limit.index in free(Term((), term.factors)) or not length.is_nonnegative:
            continue
        if not any(limit.index in free(x.high) | free(x.low) for x in others):
            return multiply([(Fraction(1), Term(others, term.factors))], expand(length))
    return None


def components(term: Term, linking: set[Symbol]) -> tuple[list[tuple[Factor, Expr]], list[Term]]:
    """Split a term into factors without a linking index and the sums that hang together by one."""
    loose: list[tuple[Factor, Expr]] = []
    groups: list[tuple[set[Symbol], Term]] = [
        ({x.index, *(free(x.low) | free(x.high)) & linking}, Term((x,), ()))
        for x in term.limits
        if x.index in linking
    ]
    for pair in term.factors:
        links = set((free(pair[0]) | free(pair[1])) & linking)
        (groups.append((links, Term((), (pair,)))) if links else loose.append(pair))
    merged: list[tuple[set[Symbol], Term]] = []
    for links, part in groups:
        touching = [x for x in merged if x[0] & links]
        merged = [x for x in merged if not x[0] & links]
        for other, piece in touching:
            links = links | other
            part = Term(piece.limits + part.limits, piece.factors + part.factors)
        merged.append((links, part))
    return loose, [part for _, part in merged]
