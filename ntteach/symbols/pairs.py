"""Two sequences at once: the second one's attention, and sums over all entries of a parameter."""

from collections.abc import Callable

from sympy import Expr, Indexed, IndexedBase

from .attention import derivative, replace_entries, total
from .names import C2, L2, M2, S2, SHAPES, C, L, M, S, c, c2, e, e2, h, h2, j, j2, m, m2

_ENTRIES = ((S, S2), (C, C2), (m, m2))
_SYMBOLS = {L: L2, M: M2, j: j2, c: c2, h: h2, e: e2}


def second(expr: Expr) -> Expr:
    """The same expression of the second sequence: S2, C2, m2 with L2, M2 at j2, c2, h2, e2.

    Parameters stay: both sequences are seen by one learner.

    >>> from ntteach.symbols import S, W_V, a, c, j
    >>> second(S[j, a] * W_V[a, c])
    S2[j2, a]*W_V[a, c2]
    """
    for one, other in _ENTRIES:
        expr = replace_entries(expr, one, lambda *indices, other=other: other[indices])
    return expr.xreplace(_SYMBOLS)


def exchanged(expr: Expr) -> Expr:
    """The same expression with the two sequences in each other's place.

    >>> from ntteach.symbols import S, W_V, a, c, j
    >>> exchanged(exchanged(S[j, a] * W_V[a, c])) == S[j, a] * W_V[a, c]
    True
    """
    bases = {**dict(_ENTRIES), **{other: one for one, other in _ENTRIES}}
    entries = {x: bases[x.base][x.indices] for x in expr.atoms(Indexed) if x.base in bases}
    names = {**_SYMBOLS, **{other: one for one, other in _SYMBOLS.items()}}
    return expr.xreplace(entries).xreplace(names)


def over_entries(W: IndexedBase, summand: Callable[[Indexed], Expr], *, indices: int = 2) -> Expr:
    """Sum of summand(W[x, y]) over all entries of a parameter; with 3 indices, over heads too."""

    def over(sizes: tuple[Expr | None, ...], entry: tuple[Expr, ...]) -> Expr:
        if not sizes:
            return summand(W[entry])
        assert sizes[0] is not None, "no parameter has a length that depends on use"
        return total(sizes[0], lambda x: over(sizes[1:], (*entry, x)))

    return over(SHAPES[W.label.name, indices], ())


def kernel_block(f: Expr, W: IndexedBase, *, indices: int = 2) -> Expr:
    """What a parameter adds to the tangent kernel: Sum df/dW[x,y] df'/dW[x,y] over its entries.

    f' is `second(f)`. Nothing but the derivatives of f stands in it.
    """
    other = second(f)
    return over_entries(
        W, lambda entry: derivative(f, entry) * derivative(other, entry), indices=indices
    )
