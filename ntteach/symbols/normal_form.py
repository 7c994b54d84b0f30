"""A canonical form for sums over indices, and the test for zero that is built on it.

An expression becomes a list of *terms*: a rational coefficient, every summation in front, and a
product of factors. Factors are symbols, indexed entries, Kronecker deltas, `exp` of one term and
whole denominators. Each rewriting rule is an identity wherever both sides are defined (no
denominator is zero), so what is not zero is never taken for zero. The converse is not promised:
False means "not shown to be zero".

Assumed: sizes are positive integers, and a free index lies in the ranges that `INDEX_RANGES` lists
for it. A delta on any other free index is left standing.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from functools import lru_cache, reduce
from math import gcd, lcm
from typing import TypeAlias

from sympy import (
    Add,
    Basic,
    Expr,
    Indexed,
    Integer,
    KroneckerDelta,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    default_sort_key,
    exp,
    sympify,
)
from sympy import expand as multiply_out
from sympy.core.function import AppliedUndef

from .rules import ONE, collect, components, multiply, scale
from .terms import (
    RESERVED,
    UNIT,
    Exp,
    Factor,
    Inverse,
    Limit,
    Polynomial,
    Term,
    dummy,
    free,
    text,
    to_expr,
)

ZERO = Integer(0)
Env: TypeAlias = frozenset[tuple[Symbol, Expr]]


def canonical(expr: Expr) -> Expr:
    """Bring an expression to a form in which equal sums over indices look the same.

    Denominators of one connected sum (a normaliser) cancel against the same sum in the numerator;
    other denominators stay whole, and `is_zero` clears them.

    >>> from ntteach.symbols import L, S, W_V, a, c, j, total
    >>> left = total(L, lambda x: S[j, a] * W_V[a, x]) * total(L, lambda y: W_V[a, y])
    >>> right = total(L, lambda x: total(L, lambda y: W_V[a, x] * W_V[a, y])) * S[j, a]
    >>> canonical(left) == canonical(right)
    True
    """
    terms = collect(expand(expr), expand)
    return Add(*(Rational(q.numerator, q.denominator) * to_expr(x, {}) for q, x in terms))


def is_zero(lhs: Expr, rhs: Expr = ZERO) -> bool:
    """Say whether lhs - rhs is brought to zero, denominators cleared by cross-multiplication."""
    terms = collect(expand(lhs) + scale(-1, expand(rhs)), expand)
    while terms and (inverse := _outer_denominator(terms)):
        terms = _clear(terms, inverse)
    return not terms


def fresh(expr: Expr, apart: AbstractSet[Basic] = frozenset()) -> Expr:
    """Give sums new indices if one hides another's inside it, or is among those to keep apart."""
    if not _hides(expr, apart):
        return expr
    known: dict[Expr, Expr] = {}

    def rename(body: Expr, limits: Iterable[Sequence[Expr]], kind: Callable[..., Expr]) -> Expr:
        renamed: list[tuple[Expr, ...]] = []
        for index, low, high in limits:  # innermost first: what is left of an index belongs outside
            own = {index: dummy(index.name)}
            body = body.xreplace(own)
            renamed = [(x, *(bound.xreplace(own) for bound in rest)) for x, *rest in renamed]
            renamed.append((own[index], visit(low), visit(high)))
        return kind(body, *renamed)

    def visit(node: Expr) -> Expr:
        if not node.has(Sum):
            return node
        if node not in known:
            if isinstance(node, Sum):
                known[node] = rename(visit(node.function), node.limits, node.func)
            else:
                known[node] = node.func(*(visit(part) for part in node.args))
        return known[node]

    return visit(expr)


def _hides(expr: Expr, apart: AbstractSet[Basic]) -> bool:
    known: dict[Basic, frozenset[Basic] | None] = {}

    def visit(node: Basic) -> frozenset[Basic] | None:
        """Return all summation indices in a part, None once two of nested sums are the same."""
        if node not in known:
            found = [visit(part) for part in node.args]
            indices = [limit[0] for limit in node.limits] if isinstance(node, Sum) else []
            below = None if None in found else frozenset().union(*(x for x in found if x))
            clash = below is None or below & {*indices} or len({*indices}) < len(indices)
            known[node] = None if clash else below.union(indices)
        return known[node]

    indices = visit(expr)
    return indices is None or bool(indices & apart)


# ------------------------------------------------------------------ expansion into terms


def expand(expr: Expr) -> Polynomial:
    """Multiply an expression out into terms; every sum gets a new dummy."""
    return _expand(fresh(sympify(expr)), {})


def _expand(expr: Expr, env: dict[Symbol, Expr]) -> Polynomial:
    # `env` says what the summation indices of the enclosing sums are now called.
    match expr:
        case Rational():
            return [(Fraction(int(expr.p), int(expr.q)), UNIT)] if expr else []
        case Symbol() | Indexed() | KroneckerDelta() | AppliedUndef():
            leaf = _renamed(expr, env)
            if isinstance(leaf, Symbol | Indexed | KroneckerDelta | AppliedUndef):
                if isinstance(leaf, Symbol) and leaf.name.startswith(RESERVED):
                    raise ValueError(f"the name {leaf.name} is reserved for summation indices")
                return [(Fraction(1), Term((), ((leaf, ONE),)))]
            return _expand(leaf, {})
        case Add():
            return [term for part in expr.args for term in _expand(part, env)]
        case Mul():
            return reduce(multiply, (_expand(part, env) for part in expr.args))
        case exp():
            return _exponential(expr.exp, frozenset(env.items()))
        case Pow():
            return _power(expr.base, multiply_out(expr.exp.xreplace(env)), env)
        case Sum():
            return _sum(expr.function, expr.limits, env)
    raise ValueError(f"no canonical form for {type(expr).__name__}: {expr}")


def _renamed(leaf: Expr, env: dict[Symbol, Expr]) -> Expr:
    if isinstance(leaf, Symbol):
        return env.get(leaf, leaf)
    args = [env.get(x, x) if isinstance(x, Symbol) else x.xreplace(env) for x in leaf.args]
    if all(new is old for new, old in zip(args, leaf.args, strict=True)):
        return leaf
    if isinstance(leaf, KroneckerDelta) and all(isinstance(x, Symbol) for x in args):
        x, y = sorted(args, key=default_sort_key)
        # of different symbols sympy would ask all that is known, at length, to leave them standing
        return ONE if x == y else KroneckerDelta(x, y, evaluate=False)
    return leaf.func(*args)


def _power(base: Expr, power: Expr, env: dict[Symbol, Expr]) -> Polynomial:
    if isinstance(power, Integer) and power > 0:
        return reduce(multiply, (_expand(base, env) for _ in range(int(power))))
    if isinstance(power, Integer):
        q, factors = _inverse(base, frozenset(env.items()))
        return [(q**-power, Term((), tuple((x, -power * y) for x, y in factors)))]
    base = base.xreplace(env)
    if not isinstance(base, Symbol) and not (isinstance(base, Integer) and base > 0):
        raise ValueError(f"no canonical form for {base} to the power {power}")
    return [(Fraction(1), Term((), ((base, power),)))]


def _sum(body: Expr, limits: Sequence[Sequence[Expr]], env: dict[Symbol, Expr]) -> Polynomial:
    if not limits:
        return _expand(body, env)
    *inner, (index, *bounds) = limits  # the last limit is the outermost
    low, high = (multiply_out(bound.xreplace(env)) for bound in bounds)
    if not (low - 1).is_nonnegative:  # dummies are positive integers
        raise ValueError(f"a sum starts at 1 or later, this one at {low}")

    def at(value: Expr) -> Polynomial:
        return _sum(body, inner, {**env, index: value})

    if isinstance(length := high - low, Integer):  # a sum of known length is its addends
        return [term for step in range(int(length) + 1) for term in at(low + step)]
    extra, start = high.as_coeff_Add()
    if isinstance(extra, Integer) and extra > 0 and (start - low + 1).is_nonnegative:
        # Sum_1^(n+1) f = Sum_1^n f + f(n+1) for n >= 0
        head = _sum(body, (*inner, (index, low, start)), env)
        return head + [term for step in range(1, int(extra) + 1) for term in at(start + step)]
    own = dummy()
    limit = Limit(own, low, high)
    return [(q, Term((*x.limits, limit), x.factors)) for q, x in at(own)]


@lru_cache(maxsize=1 << 12)
def _exponential(exponent: Expr, env: Env) -> Polynomial:
    # exp(p x + q y) = exp(x)^p exp(y)^q, read as exp(p x) exp(q y): powers of one exp add up
    terms = collect(_expand(exponent, dict(env)), expand)
    factors = ((Exp(x), Rational(q.numerator, q.denominator)) for q, x in terms)
    return [(Fraction(1), Term((), tuple(factors)))]


@lru_cache(maxsize=1 << 12)
def _inverse(base: Expr, env: Env) -> tuple[Fraction, tuple[tuple[Factor, Expr], ...]]:
    """Return 1 / base as a number and factors."""
    terms = collect(_expand(base, dict(env)), expand)
    if not terms:
        raise ZeroDivisionError(f"the denominator {base} is zero")
    if len(terms) > 1:  # take out the common rational content
        content = Fraction(
            gcd(*(q.numerator for q, _ in terms)), lcm(*(q.denominator for q, _ in terms))
        )
        return 1 / content, ((Inverse(tuple(scale(1 / content, terms))), ONE),)
    ((number, term),) = terms
    loose, groups = components(term, {limit.index for limit in term.limits})
    # 1 / (x Sum_k f Sum_l g) = x^-1 (Sum_k f)^-1 (Sum_l g)^-1
    factors: list[tuple[Factor, Expr]] = [(Inverse(((Fraction(1), x),)), ONE) for x in groups]
    for factor, power in loose:
        if isinstance(factor, KroneckerDelta):
            raise ValueError(f"no canonical form for one over {to_expr(factor)}")
        factors.append((factor, -power))
    return 1 / number, tuple(factors)


# ------------------------------------------------------------------ denominators


def _outer_denominator(terms: Sequence[tuple[Fraction, Term]]) -> Inverse | None:
    """Find a denominator outside all sums, if one is left."""
    for _, term in terms:
        bound = {limit.index for limit in term.limits}
        for factor, _ in term.factors:
            if isinstance(factor, Inverse) and not free(factor) & bound:
                return factor
    return None


def _clear(terms: Polynomial, inverse: Inverse) -> Polynomial:
    """Multiply by the highest power of a denominator: Sum N_i / D^i = 0 iff Sum N_i D^(n-i) = 0."""
    name, denominator = text(inverse, {}, 0), 1 / to_expr(inverse)

    def is_it(factor: Factor) -> bool:
        return isinstance(factor, Inverse) and text(factor, {}, 0) == name

    powers = [sum(int(power) for x, power in term.factors if is_it(x)) for _, term in terms]
    result: Polynomial = []
    for (number, term), power in zip(terms, powers, strict=True):
        rest = tuple(pair for pair in term.factors if not is_it(pair[0]))
        product: Polynomial = [(number, Term(term.limits, rest))]
        for _ in range(max(powers) - power):
            product = multiply(product, expand(denominator))
        result += product
    return collect(result, expand)
