"""Attention on small explicit matrices, written out from Eq. 2 element by element."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import (
    Add,
    Expr,
    ImmutableDenseNDimArray,
    Matrix,
    cancel,
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
    heads_ = _heads(S, W_Q, W_K, W_V, mask=mask, context=context, heads=heads)
    f = Matrix.hstack(*(head.f for head in heads_))
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

    The derivative by one entry after the other is carried along Eq. 2, from the weights to f, by
    the rules for sums, products, quotients and exp. With W_O the result has "W_O" too.

    >>> from sympy import log
    >>> explicit_jacobian([[1], [2]], [[log(2)]], [[1]], [[3]])["W_V"].tolist()
    [[[[5/3]]], [[[9/5]]]]
    """
    given = {"W_Q": Matrix(W_Q), "W_K": Matrix(W_K), "W_V": Matrix(W_V)}
    heads_ = _heads(S, **given, mask=mask, context=context, heads=heads)
    f = Matrix.hstack(*(head.f for head in heads_))
    if W_O is not None:
        given["W_O"] = Matrix(W_O)
    still = {name: Matrix.zeros(*W.shape) for name, W in given.items()}
    result = {}
    for name, W in given.items():
        columns = []
        for place in range(len(W)):
            by = {**still, name: W.zeros(*W.shape)}
            by[name][place] = 1
            moved = Matrix.hstack(*(head.derivative(by) for head in heads_))
            if W_O is not None:
                moved = moved * given["W_O"] + f * by["W_O"]
            columns.append([_tidy(x) for x in moved])
        shape = (*moved.shape, *W.shape)
        entries = [column[y] for y in range(len(moved)) for column in columns]
        result[name] = ImmutableDenseNDimArray(entries, shape)
    return result


@dataclass(frozen=True)
class _Head:
    """What Eq. 2 goes through in one head, from its columns of the weights to its columns of f."""

    S: Matrix  # L x d
    C: Matrix  # M x d
    own: slice  # columns of W_Q and W_K
    own_values: slice  # columns of W_V
    Q: Matrix
    K: Matrix
    V: Matrix
    E: Matrix  # L x M, weights before they are normalised
    f: Matrix

    def derivative(self, by: Mapping[str, Matrix]) -> Matrix:
        """d f, where d W_Q, d W_K and d W_V are given."""
        dQ, dK = self.S * by["W_Q"][:, self.own], self.C * by["W_K"][:, self.own]
        dV = self.C * by["W_V"][:, self.own_values]
        df = Matrix.zeros(*self.f.shape)
        for j in range(df.rows):
            E = self.E[j, :]
            if all(x == 0 for x in E):
                continue
            dE = [
                # d exp(z) = exp(z) dz
                E[k]
                * (_dot(dQ[j, :], self.K[k, :]) + _dot(self.Q[j, :], dK[k, :]))
                / sqrt(self.Q.cols)
                for k in range(self.K.rows)
            ]
            for c in range(df.cols):
                above = _dot(dE, self.V[:, c]) + _dot(E, dV[:, c])
                # f = above / total, so that df = (d above - f d total) / total
                df[j, c] = (above - self.f[j, c] * Add(*dE)) / Add(*E)
        return df


def _heads(
    S: Any, W_Q: Any, W_K: Any, W_V: Any, *, mask: Any, context: Any, heads: int
) -> list[_Head]:
    S, W_Q, W_K, W_V = (Matrix(x) for x in (S, W_Q, W_K, W_V))
    C = S if context is None else Matrix(context)
    _check(S, W_Q, W_K, W_V, C, heads)
    weights = _mask(mask, S.rows, C.rows, context is None)
    width, columns = W_Q.cols // heads, W_V.cols // heads
    result = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        own_values = slice(head * columns, (head + 1) * columns)
        Q, K, V = S * W_Q[:, own], C * W_K[:, own], C * W_V[:, own_values]
        E, f = Matrix.zeros(S.rows, C.rows), Matrix.zeros(S.rows, columns)
        for j in range(S.rows):
            for k in range(C.rows):
                if weights[j, k] != 0:
                    # exp(expand(x)): exp of a multiple of log(2) becomes a power of two by itself
                    E[j, k] = weights[j, k] * exp(expand(_dot(Q[j, :], K[k, :]) / sqrt(width)))
            if all(x == 0 for x in E[j, :]):
                continue
            for c in range(columns):
                f[j, c] = _tidy(_dot(E[j, :], V[:, c]) / Add(*E[j, :]))
        result.append(_Head(S, C, own, own_values, Q, K, V, E, f))
    return result


def _dot(x: Iterable[Expr], y: Iterable[Expr]) -> Expr:
    return Add(*(a * b for a, b in zip(x, y, strict=True) if a != 0 and b != 0))


def _tidy(number: Expr) -> Expr:
    if number.is_Rational or number.free_symbols:
        return number
    # Without symbols, exp(n log 2) has become rational once arguments are expanded.
    number = expand(number.replace(exp, lambda x: exp(expand(x))))
    return number if not number.has(Add) else cancel(number)


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
