"""Attention on small explicit matrices, written out from Eq. 2 element by element."""

from collections.abc import Sequence
from typing import Any

from sympy import (
    Dummy,
    Expr,
    ImmutableDenseNDimArray,
    Integer,
    Matrix,
    cancel,
    diff,
    exp,
    expand,
    sqrt,
    sympify,
)


def explicit_attention(
    S: Any,
    W_Q: Any,
    W_K: Any,
    W_V: Any,
    *,
    mask: Any = None,
    context: Any = None,
    heads: int = 1,
    W_O: Any = None,
) -> Matrix:
    """softmax(Q K^T / sqrt(d_k)) V (Eq. 2), for symbols or exact numbers.

    S is L x d, W_Q and W_K d x d_k, W_V d x v, `context` M x d, W_O v x o; the result is L x v (or
    L x o). `mask` is "causal" or L x M (True or 1 takes part, False or 0 does not; other numbers
    are weights); a row without keys gives 0. Logits that are multiples of log(2) give rationals.

    >>> from sympy import log
    >>> explicit_attention([[1], [2]], [[log(2)]], [[1]], [[3]])
    Matrix([
    [  5],
    [27/5]])
    """
    S, W_Q, W_K, W_V = (Matrix(x) for x in (S, W_Q, W_K, W_V))
    C = S if context is None else Matrix(context)
    _check(S, W_Q, W_K, W_V, C, heads)
    weights = _mask(mask, S.rows, C.rows, context is None)
    width, columns = W_Q.cols // heads, W_V.cols // heads
    f = Matrix.zeros(S.rows, W_V.cols)
    for head in range(heads):
        at = slice(head * width, (head + 1) * width)
        Q, K = S * W_Q[:, at], C * W_K[:, at]
        V = C * W_V[:, head * columns : (head + 1) * columns]
        for j in range(S.rows):
            # exp(expand(x)): exp of a multiple of log(2) becomes a power of two by itself
            E = [
                weights[j, k] * exp(expand((Q[j, :] * K[k, :].T)[0] / sqrt(width)))
                if weights[j, k] != 0
                else Integer(0)
                for k in range(C.rows)
            ]
            if all(x == 0 for x in E):
                continue
            for c in range(columns):
                above = sum((E[k] * V[k, c] for k in range(C.rows)), Integer(0))
                f[j, head * columns + c] = _tidy(above / sum(E, Integer(0)))
    return f if W_O is None else (f * Matrix(W_O)).applyfunc(_tidy)


def explicit_jacobian(
    S: Any,
    W_Q: Any,
    W_K: Any,
    W_V: Any,
    *,
    mask: Any = None,
    context: Any = None,
    heads: int = 1,
    W_O: Any = None,
) -> dict[str, ImmutableDenseNDimArray]:
    """The derivatives of f by each weight, of shape (L, v, rows, columns), element by element.

    One weight entry at a time becomes a symbol, each element of `explicit_attention` is
    differentiated by it, and the given entry is put back. With W_O the result has "W_O" too.

    >>> from sympy import log
    >>> explicit_jacobian([[1], [2]], [[log(2)]], [[1]], [[3]])["W_V"].tolist()
    [[[[5/3]]], [[[9/5]]]]
    """
    given = {"W_Q": Matrix(W_Q), "W_K": Matrix(W_K), "W_V": Matrix(W_V)}
    if W_O is not None:
        given["W_O"] = Matrix(W_O)
    result = {}
    for name, W in given.items():
        columns = []
        for place in range(len(W)):
            x = Dummy()
            moved = W.copy()
            moved[place] = x
            f = explicit_attention(
                S, mask=mask, context=context, heads=heads, **{**given, name: moved}
            )
            columns.append([_tidy(diff(y, x).subs(x, W[place])) for y in f])
        shape = (*f.shape, *W.shape)
        entries = [column[y] for y in range(len(f)) for column in columns]
        result[name] = ImmutableDenseNDimArray(entries, shape)
    return result


def _tidy(number: Expr) -> Expr:
    # Without symbols, exp(n log 2) has become rational once arguments are expanded.
    if number.free_symbols:
        return number
    return cancel(number.replace(exp, lambda x: exp(expand(x))))


def _check(S: Matrix, W_Q: Matrix, W_K: Matrix, W_V: Matrix, C: Matrix, heads: int) -> None:
    d = S.cols
    for name, x in (("W_Q", W_Q), ("W_K", W_K), ("W_V", W_V)):
        if x.rows != d:
            raise ValueError(f"{name} is {x.rows} x {x.cols}; the tokens have width {d}")
    if C.cols != d:
        raise ValueError(f"the context has width {C.cols}, the sequence has width {d}")
    if W_Q.cols != W_K.cols:
        raise ValueError(f"W_Q has {W_Q.cols} columns and W_K has {W_K.cols}; they should agree")
    if heads < 1 or W_Q.cols % heads or W_V.cols % heads:
        raise ValueError(f"{heads} heads do not divide {W_Q.cols} and {W_V.cols} columns")


def _mask(mask: Any, rows: int, keys: int, own: bool) -> Matrix:
    if mask is None:
        return Matrix.ones(rows, keys)
    if isinstance(mask, str):
        if mask != "causal" or not own:
            raise ValueError(f"mask is {mask!r}: say 'causal' (no context) or give {rows} x {keys}")
        return Matrix(rows, keys, lambda j, k: int(bool(k <= j)))
    table: Sequence[Sequence[Any]] = mask.tolist() if hasattr(mask, "tolist") else mask
    if len(table) != rows or any(len(row) != keys for row in table):
        raise ValueError(f"mask should be {rows} x {keys}")
    return Matrix([[sympify(int(x) if isinstance(x, bool) else x) for x in row] for row in table])
