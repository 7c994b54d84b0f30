"""Eq. 2 entry by entry, for symbolic sizes, and the operations that act on it.

`keys` names the sequence that is attended to ("S", or the context "C"), `head` the head (None: the
one head of Eq. 2). No closed form of a derivative stands here: those are in `derivations/`.
"""

from collections.abc import Callable

from sympy import (
    Add,
    Basic,
    Dummy,
    Expr,
    Indexed,
    IndexedBase,
    KroneckerDelta,
    Mul,
    Pow,
    Rational,
    Sum,
    Symbol,
    exp,
)

from .names import W_K, W_Q, W_V, C, L, M, S, d, d_h, d_k, m, sigma
from .normal_form import ONE, ZERO, fresh
from .terms import dummy


def total(size: Expr, summand: Callable[[Expr], Expr]) -> Expr:
    """Sum_(x=1..size) summand(x), with a summation index that occurs nowhere else."""
    x = dummy()
    return _Sum(summand(x), (x, 1, size))


class _Sum(Sum):
    """A sum of whose value nothing is assumed.

    A product with exp(x) asks whether x is zero, and a Sum looks for that in all its parts, which
    takes most of the time in which a derivation is written down.
    """

    is_zero = is_finite = is_integer = is_rational = is_algebraic = is_extended_real = None
    is_positive = is_negative = is_extended_positive = is_extended_negative = is_imaginary = None
    is_hermitian = is_antihermitian = None


_Sum.__name__ = "Sum"  # by which sympy orders factors and addends


def query(j: Expr, i: Expr, *, head: Expr | None = None) -> Expr:
    """Q_ji = Sum_a S_ja W_Q[a,i]."""
    return total(d, lambda x: S[j, x] * _entry(W_Q, head, x, i))


def key(k: Expr, i: Expr, *, keys: str = "S", head: Expr | None = None) -> Expr:
    """K_ki = Sum_a S_ka W_K[a,i] (C_ka over a context)."""
    return total(d, lambda x: _tokens(keys)[k, x] * _entry(W_K, head, x, i))


def value(k: Expr, c: Expr, *, keys: str = "S", head: Expr | None = None) -> Expr:
    """V_kc = Sum_a S_ka W_V[a,c] (C_ka over a context)."""
    return total(d, lambda x: _tokens(keys)[k, x] * _entry(W_V, head, x, c))


def scale(*, head: Expr | None = None) -> Expr:
    """d_k^(-1/2), by the key width of one head."""
    return Pow(d_k if head is None else d_h, Rational(-1, 2))


def logit(j: Expr, k: Expr, *, keys: str = "S", head: Expr | None = None) -> Expr:
    """d_k^(-1/2) Sum_i Q_ji K_ki."""
    width = d_k if head is None else d_h
    product = total(width, lambda x: query(j, x, head=head) * key(k, x, keys=keys, head=head))
    return scale(head=head) * product


def weight(
    j: Expr, k: Expr, *, keys: str = "S", mask: bool = False, head: Expr | None = None
) -> Expr:
    """E_jk = exp(logit_jk), times m_jk under a mask."""
    plain = exp(logit(j, k, keys=keys, head=head))
    return m[j, k] * plain if mask else plain


def over_keys(
    j: Expr, summand: Callable[[Expr], Expr], *, keys: str = "S", causal: bool = False
) -> Expr:
    """Sum_k summand(k) over the keys that row j sees: 1..L, 1..M of a context, 1..j if causal."""
    _tokens(keys)
    if causal and keys != "S":
        raise ValueError("a causal mask is over the sequence itself: causal=True needs keys='S'")
    return total(j if causal else L if keys == "S" else M, summand)


def normaliser(
    j: Expr, *, keys: str = "S", causal: bool = False, mask: bool = False, head: Expr | None = None
) -> Expr:
    """Z_j = Sum_k E_jk."""
    return over_keys(
        j, lambda x: weight(j, x, keys=keys, mask=mask, head=head), keys=keys, causal=causal
    )


def softmax(
    j: Expr,
    k: Expr,
    *,
    keys: str = "S",
    causal: bool = False,
    mask: bool = False,
    head: Expr | None = None,
) -> Expr:
    """A_jk = E_jk / Z_j."""
    above = weight(j, k, keys=keys, mask=mask, head=head)
    return above / normaliser(j, keys=keys, causal=causal, mask=mask, head=head)


def output(
    j: Expr,
    c: Expr,
    *,
    keys: str = "S",
    causal: bool = False,
    mask: bool = False,
    head: Expr | None = None,
) -> Expr:
    """f_jc = Sum_k E_jk V_kc / Sum_k E_jk (Eq. 2; Eq. 23 with causal=True or keys="C")."""
    above = over_keys(
        j,
        lambda x: weight(j, x, keys=keys, mask=mask, head=head) * value(x, c, keys=keys, head=head),
        keys=keys,
        causal=causal,
    )
    return above / normaliser(j, keys=keys, causal=causal, mask=mask, head=head)


def _entry(base: IndexedBase, head: Expr | None, row: Expr, column: Expr) -> Indexed:
    return base[row, column] if head is None else base[head, row, column]


def _tokens(keys: str) -> IndexedBase:
    if keys not in ("S", "C"):
        raise ValueError(f"keys is 'S' (the sequence itself) or 'C' (a context), not {keys!r}")
    return S if keys == "S" else C


def derivative(expr: Expr, entry: Expr) -> Expr:
    """Differentiate exactly by one entry, d W[x,y] / d W[a,i] = delta_xa delta_yi, or by a symbol.

    The chain rule goes through sums, whose indices are first kept apart from those of the entry.
    (sympy's own diff gives the same and is an order of magnitude slower; the tests compare them.)
    """
    if not isinstance(entry, Indexed | Symbol):
        raise ValueError(f"a derivative is by an entry W[a, i] or a symbol, not by {entry}")
    known: dict[Basic, Expr] = {}
    target = entry.base.label if isinstance(entry, Indexed) else entry

    def visit(node: Basic) -> Expr:
        if node not in known:
            known[node] = rule(node)
        return known[node]

    def rule(node: Basic) -> Expr:
        match node:
            case Indexed() if isinstance(entry, Indexed) and node.base == entry.base:
                if len(node.indices) != len(entry.indices):
                    return ZERO  # weights of one head and of several are different arrays
                pairs = zip(node.indices, entry.indices, strict=True)
                return Mul(*(KroneckerDelta(x, y) for x, y in pairs))
            case Symbol() if node == entry:
                return ONE
            case Symbol() | Indexed() | KroneckerDelta() | Rational() if (
                target not in node.free_symbols
            ):
                return ZERO
            case Add():
                return Add(*(visit(part) for part in node.args))
            case Mul():
                moving = ((place, visit(part)) for place, part in enumerate(node.args))
                rest = node.args
                return Add(*(Mul(x, *rest[:y], *rest[y + 1 :]) for y, x in moving if x != 0))
            case exp():
                inside = visit(node.exp)
                return Mul(inside, node) if inside != 0 else ZERO
            case Pow() if target not in node.exp.free_symbols:
                inside = visit(node.base)
                return node.exp * inside * Pow(node.base, node.exp - 1) if inside != 0 else ZERO
            case Sum() if all(target not in limit.free_symbols for limit in node.limits):
                inside = visit(node.function)
                return node.func(inside, *node.limits) if inside != 0 else ZERO
        raise ValueError(f"no rule to differentiate {node} by {entry}")

    return visit(fresh(expr, apart=entry.free_symbols))


def replace_entries(expr: Expr, base: IndexedBase, rule: Callable[..., Expr]) -> Expr:
    """Put rule(*indices) for each entry base[indices]; the entries may stand under sums."""
    # A sum over a plain symbol would capture that symbol if the rule brings it in.
    expr = fresh(expr, apart={x for x in expr.atoms(Symbol) if not isinstance(x, Dummy)})
    return expr.xreplace({x: rule(*x.indices) for x in expr.atoms(Indexed) if x.base == base})


def reindex(expr: Expr) -> Expr:
    """Sum_(k=1..L) q(sigma(k)) = Sum_(k=1..L) q(k), where sigma is a bijection of 1..L.

    Used for every sum over 1..L that sees its index k only as sigma(k); other sums stay.
    """
    known: dict[Basic, Basic] = {}

    def visit(node: Basic) -> Basic:
        if node not in known:
            parts = tuple(visit(part) for part in node.args)
            known[node] = moved(node if parts == node.args else node.func(*parts))
        return known[node]

    def moved(node: Basic) -> Basic:
        if not isinstance(node, Sum):
            return node
        body, mark = node.function, dummy()
        for place, (x, low, high) in enumerate(node.limits):
            without = body.xreplace({sigma(x): mark})
            seen = without.free_symbols.union(*(y.free_symbols for y in node.limits[:place]))
            # sigma is a bijection of 1..L and of no shorter range
            if without != body and (low, high) == (1, L) and x not in seen:
                body = without.xreplace({mark: x})
        return node if body is node.function else node.func(body, *node.limits)

    return visit(fresh(expr))
