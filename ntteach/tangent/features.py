"""The closed form of the ANTK as a few Gram matrices, and the features they are made of.

For one head, with A the attention weights, f the output and C the context, the derivatives of
Eqs. 10-12 multiply out to

    K[(j, c), (j', c')] = delta_cc' <(AC)_j, (A'C')_j'>
                          + <S_j, S'_j'> <g_jc, g'_j'c'> / d_h + <Q_j, Q'_j'> <h_jc, h'_j'c'> / d_h,
    g_jc = sum_k A_jk (V_kc - f_jc) K_k,      h_jc = sum_k A_jk (V_kc - f_jc) C_k.

Every term is a Gram matrix over tokens times one over tokens and outputs. With W_O, an output is a
linear combination of head outputs, and so are its g and h.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ntteach.learner import Forward, Problem, forward, merge_heads, take

# Numbers that the deviation of one chunk of sequences may hold: 2 MB in float32, in cache.
_CHUNK_NUMBERS = 2**19


@dataclass(frozen=True)
class Term:
    """One summand of the kernel: `<X_j, X'_j'>` times a matrix over outputs.

    That matrix is `<Y_jc, Y'_j'c'>`, where Y may be the same for all tokens.

    Args:
        X: a feature of each token, `(tokens, a)`.
        Y: a feature of each output, of each token `(tokens, u, b)` or of all of them `(u, b)`.
    """

    X: Float[Tensor, "tokens a"]
    Y: Float[Tensor, "*token u b"]


def terms(p: Problem, trace_outputs: bool) -> list[list[Term]]:
    """The summands for each group of outputs; the kernel is zero between two groups.

    Without W_O each head's outputs are a group of their own: no parameter is shared. With W_O all
    outputs are one group. Summed over outputs (`trace_outputs`) there is one group of one output.

    Args:
        p: a batch, `S` is `(N, L, d)`.
        trace_outputs: whether the kernel is summed over equal outputs, c = c'.
    """
    parts = [_terms(take(p, *span), trace_outputs) for span in _chunks(p)]
    return [
        [_joined(pieces) for pieces in zip(*group, strict=True)]
        for group in zip(*parts, strict=True)
    ]


def _chunks(p: Problem) -> list[tuple[int, int]]:
    N, L, M = p.S.shape[0], p.S.shape[1], p.C.shape[1]
    heads, _, v_h = p.W_V.shape
    outputs = v_h if p.W_O is None else max(v_h, p.W_O.shape[-1])
    size = max(1, _CHUNK_NUMBERS // (heads * L * (v_h * M + outputs * (p.C.shape[2] + M))))
    return [(start, min(start + size, N)) for start in range(0, max(N, 1), size)]


def _joined(pieces: tuple[Term, ...]) -> Term:
    if len(pieces) == 1:
        return pieces[0]
    Y = pieces[0].Y
    if Y.ndim == 3:
        Y = torch.cat([t.Y for t in pieces])
    return Term(torch.cat([t.X for t in pieces]), Y)


def _terms(p: Problem, trace_outputs: bool) -> list[list[Term]]:
    w = forward(p)
    AC = w.weights @ p.C.unsqueeze(-3)  # (n, heads, L, d_c)
    # the difference first, since it is small where attention is sharp
    B = w.weights.unsqueeze(-2) * (w.V.mT.unsqueeze(-3) - w.head_outputs.unsqueeze(-1))
    B = p.scale * B  # (n, heads, L, v_h, M); each side brings one d_h^-1/2 of the 1 / d_h
    g = _weighted(B, w.K)  # (n, heads, L, v_h, d_h)
    h = _weighted(B, p.C.unsqueeze(-3))  # (n, heads, L, v_h, d_c)
    if p.W_O is None:
        groups = _side_by_side(p, w, AC, g, h)
    else:
        groups = [_mixed(p, w, AC, g, h)]
    if trace_outputs:
        return [_traced(groups)]
    if p.W_O is not None and p.W_O.shape[-1] == 1:
        # with one output there is nothing to tell apart: what can be one Gram matrix is one
        return [_traced(groups)]
    return groups


def _weighted(B: Tensor, x: Tensor) -> Tensor:
    """`sum_k B_jck x_k`: rows of all outputs in one product for each head."""
    return (B.flatten(-3, -2) @ x).unflatten(-2, B.shape[-3:-1])


def _side_by_side(p: Problem, w: Forward, AC: Tensor, g: Tensor, h: Tensor) -> list[list[Term]]:
    heads, _, v_h = p.W_V.shape
    identity = torch.eye(v_h, dtype=p.S.dtype, device=p.S.device)
    S = _tokens(p.S)
    return [
        [
            Term(_tokens(AC[:, head]), identity),
            Term(S, _tokens(g[:, head])),
            Term(_tokens(w.Q[:, head]), _tokens(h[:, head])),
        ]
        for head in range(heads)
    ]


def _mixed(p: Problem, w: Forward, AC: Tensor, g: Tensor, h: Tensor) -> list[Term]:
    assert p.W_O is not None
    o = p.W_O.shape[-1]
    identity = torch.eye(o, dtype=p.S.dtype, device=p.S.device)
    # d output_e / d output_hc = W_O[h, c, e]
    g = torch.einsum("nhjci,hce->njehi", g, p.W_O)  # (n, L, o, heads, d_h)
    h = torch.einsum("nhjca,hce->nhjea", h, p.W_O)  # (n, heads, L, o, d_c)
    heads = range(p.W_O.shape[0])
    return [
        Term(_tokens(merge_heads(w.head_outputs)), identity),
        *(Term(_tokens(AC[:, head]), p.W_O[head].mT) for head in heads),
        # the heads share S_j: their inner products add up in one
        Term(_tokens(p.S), _tokens(g.flatten(-2))),
        *(Term(_tokens(w.Q[:, head]), _tokens(h[:, head])) for head in heads),
    ]


def _traced(groups: list[list[Term]]) -> list[Term]:
    """Summed over c = c', inner products of the outputs' features are one of longer vectors."""
    alike: list[Tensor] = []
    products: dict[int, tuple[Tensor, list[Tensor]]] = {}
    for t in (t for group in groups for t in group):
        if t.Y.ndim == 2:
            # a Gram matrix times a number: all of these are one Gram matrix
            alike.append(t.X * torch.linalg.vector_norm(t.Y))
        else:
            # what shares X, as all heads do for the query block, adds up in Y
            products.setdefault(id(t.X), (t.X, []))[1].append(t.Y.flatten(1))
    return [
        # first, as the one term that is written and not added
        Term(torch.cat(alike, 1), alike[0].new_ones(1, 1)),
        *(Term(X, torch.cat(Ys, 1).unsqueeze(1)) for X, Ys in products.values()),
    ]


def _tokens(x: Tensor) -> Tensor:
    """`(n, L, ...)` to `(n L, ...)`."""
    return x.flatten(0, 1)
