"""The closed form of the ANTK as products of Gram matrices, and the features they are made of.

For one head, with A the attention weights, f the output and C the context, the derivatives of
Eqs. 10-12 multiply out to

    K[(j, c), (j', c')] = delta_cc' <(AC)_j, (A'C')_j'>
                          + <S_j, S'_j'> <g_jc, g'_j'c'> / d_h + <Q_j, Q'_j'> <h_jc, h'_j'c'> / d_h,
    g_jc = sum_k A_jk (V_kc - f_jc) K_k,      h_jc = sum_k A_jk (V_kc - f_jc) C_k.

Each summand is a Gram matrix over tokens times one over tokens and outputs. W_O makes each output
a linear combination of head outputs: either g and h are combined before the products are taken, or
the kernel of each head afterwards, on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ntteach.learner import Forward, Problem, forward, merge_heads, take

# Numbers that the deviation of one chunk of sequences may hold: 2 MB in float32, in cache.
_CHUNK_NUMBERS = 2**19


@dataclass(frozen=True)
class Term:
    """`<X_j, X'_j'> <Y_jc, Y'_j'c'>`, or `<X_j, X'_j'> delta_cc'` where Y is None.

    Args:
        X: a feature of each token, `(tokens, a)`.
        Y: a feature of each token and output, `(tokens, u, b)`, or None.
    """

    X: Float[Tensor, "tokens a"]
    Y: Float[Tensor, "tokens u b"] | None = None


@dataclass(frozen=True)
class Group:
    """A sum of terms, `k`; as it is, or combined to other outputs, `mixing^T k mixing`.

    Args:
        outputs: u, those of the terms.
        terms: the first has a Y, unless it is the only one.
        mixing: `(u, o)`, or None.
    """

    outputs: int
    terms: tuple[Term, ...]
    mixing: Float[Tensor, "u o"] | None = None


def features(p: Problem, trace_outputs: bool) -> list[list[Group]]:
    """The kernel as blocks of outputs, zero between two of them, each a sum of groups.

    Without W_O each head's outputs are a block of their own: no parameter is shared. With W_O, or
    summed over outputs, there is one block.

    Args:
        p: a batch, `S` is `(N, L, d)`.
        trace_outputs: whether the kernel is summed over equal outputs, c = c'.
    """
    parts = [_features(take(p, *span), trace_outputs) for span in _chunks(p)]
    return [
        [_joined(pieces) for pieces in zip(*block, strict=True)]
        for block in zip(*parts, strict=True)
    ]


def numbers_per_token(p: Problem, trace_outputs: bool) -> int:
    """How many numbers the features of one token hold."""
    S = p.S[:1, :1]
    C = S if p.C is p.S else p.C[:1, :1]
    blocks = _features(replace(p, S=S, C=C, mask=None), trace_outputs)
    terms = [t for block in blocks for group in block for t in group.terms]
    return sum(x.numel() for t in terms for x in (t.X, t.Y) if x is not None)


def _chunks(p: Problem) -> list[tuple[int, int]]:
    N, L, M = p.S.shape[0], p.S.shape[1], p.C.shape[1]
    heads, _, v_h = p.W_V.shape
    size = max(1, _CHUNK_NUMBERS // (heads * L * v_h * (M + p.C.shape[2])))
    return [(start, min(start + size, N)) for start in range(0, max(N, 1), size)]


def _joined(pieces: tuple[Group, ...]) -> Group:
    if len(pieces) == 1:
        return pieces[0]
    return replace(
        pieces[0],
        terms=tuple(
            Term(
                torch.cat([t.X for t in parts]),
                None if parts[0].Y is None else torch.cat([t.Y for t in parts if t.Y is not None]),
            )
            for parts in zip(*(group.terms for group in pieces), strict=True)
        ),
    )


def _features(p: Problem, trace_outputs: bool) -> list[list[Group]]:
    w = forward(p)
    AC = w.weights @ p.C.unsqueeze(-3)  # (n, heads, L, d_c)
    # the difference first, since it is small where attention is sharp
    B = w.weights.unsqueeze(-2) * (w.V.mT.unsqueeze(-3) - w.head_outputs.unsqueeze(-1))
    B = p.scale * B  # (n, heads, L, v_h, M); each side brings one d_h^-1/2 of the 1 / d_h
    g = _weighted(B, w.K)  # (n, heads, L, v_h, d_h)
    h = _weighted(B, p.C.unsqueeze(-3))  # (n, heads, L, v_h, d_c)
    if trace_outputs:
        return [[_traced(p, w, AC, g, h)]]
    if p.W_O is None:
        return [[group] for group in _by_head(p, w, AC, g, h)]
    shared = Group(p.W_O.shape[-1], (Term(_tokens(merge_heads(w.head_outputs))),))
    if _mixes_features(p):
        return [[_mixed(p, w, AC, g, h), shared]]
    heads = _by_head(p, w, AC, g, h)
    mixed = [replace(k, mixing=W) for k, W in zip(heads, p.W_O.unbind(), strict=True)]
    return [[*mixed, shared]]


def _weighted(B: Tensor, x: Tensor) -> Tensor:
    """`sum_k B_jck x_k`: rows of all outputs in one product for each head."""
    return (B.flatten(-3, -2) @ x).unflatten(-2, B.shape[-3:-1])


def _by_head(p: Problem, w: Forward, AC: Tensor, g: Tensor, h: Tensor) -> list[Group]:
    """The kernel of each head's own outputs."""
    heads, _, v_h = p.W_V.shape
    S = _tokens(p.S)
    return [
        Group(
            v_h,
            (
                Term(S, _tokens(g[:, head])),
                Term(_tokens(w.Q[:, head]), _tokens(h[:, head])),
                Term(_tokens(AC[:, head])),
            ),
        )
        for head in range(heads)
    ]


def _mixes_features(p: Problem) -> bool:
    """Whether to combine features, not kernels: what takes fewer multiplications per two tokens."""
    assert p.W_O is not None
    v_h, o = p.W_O.shape[1:]
    lengths = p.W_Q.shape[-1] + p.C.shape[-1]
    return o * o * lengths <= v_h * v_h * lengths + v_h * v_h * o + v_h * o * o


def _mixed(p: Problem, w: Forward, AC: Tensor, g: Tensor, h: Tensor) -> Group:
    """The kernel from features of the outputs: d output_e / d f_hc = W_O[h, c, e]."""
    assert p.W_O is not None
    heads, v_h, o = p.W_O.shape
    g = torch.einsum("nhjci,hce->njehi", g, p.W_O).flatten(-2)  # (n, L, o, d_k)
    h = torch.einsum("nhjca,hce->nhjea", h, p.W_O)  # (n, heads, L, o, d_c)
    n = p.S.shape[0] * p.S.shape[1]
    # by W_V[:, c] of head h: W_O[h, c, e] (AC)_j
    each = p.W_O.mT.unsqueeze(1).expand(heads, n, o, v_h)
    return Group(
        o,
        (
            # the heads share S_j: their inner products are one
            Term(_tokens(p.S), _tokens(g)),
            *(Term(_tokens(w.Q[:, i]), _tokens(h[:, i])) for i in range(heads)),
            *(Term(_tokens(AC[:, i]), each[i]) for i in range(heads)),
        ),
    )


def _traced(p: Problem, w: Forward, AC: Tensor, g: Tensor, h: Tensor) -> Group:
    """Summed over outputs, their inner products are one of longer vectors."""
    heads, _, v_h = p.W_V.shape
    if p.W_O is None:
        alike = [v_h**0.5 * AC[:, i] for i in range(heads)]
    else:
        o = p.W_O.shape[-1]
        # sum_e <W_e, x> <W_e, x'> = <R x, R x'>, with W = Q R and fewer rows in R where o > v_h
        W = p.W_O.mT if o <= v_h else torch.linalg.qr(p.W_O.mT).R  # (heads, r, v_h)
        g = torch.einsum("nhjci,hrc->nhjri", g, W)
        h = torch.einsum("nhjca,hrc->nhjra", h, W)
        sizes = torch.linalg.vector_norm(p.W_O, dim=(1, 2))
        alike = [sizes[i] * AC[:, i] for i in range(heads)]
        alike.append(o**0.5 * merge_heads(w.head_outputs))
    g = g.movedim(1, 2).flatten(2).unsqueeze(2)  # (n, L, 1, heads r d_h)
    h = h.flatten(3).unsqueeze(3)  # (n, heads, L, 1, r d_c)
    return Group(
        1,
        (
            Term(_tokens(p.S), _tokens(g)),
            *(Term(_tokens(w.Q[:, i]), _tokens(h[:, i])) for i in range(heads)),
            Term(_tokens(torch.cat(alike, -1))),
        ),
    )


def _tokens(x: Tensor) -> Tensor:
    """`(n, L, ...)` to `(n L, ...)`."""
    return x.flatten(0, 1)
