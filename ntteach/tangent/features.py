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

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ntteach.learner import Forward, Problem, forward, merge_heads, take

# Numbers that the deviation of one chunk of sequences may hold: 2 MB in float32, in cache.
_CHUNK_NUMBERS = 2**19


@dataclass(frozen=True)
class Sums:
    """A feature of each token and output that is not formed: `Y_jc = sum_k B_jck x_k`.

    Inner products are `B (x x'^T) B'^T`, with the Gram matrix of what is summed.

    Args:
        B: `(n, L u, M)`.
        x: `(n, M, b)`.
        outputs: u.
    """

    B: Float[Tensor, "n Lu M"]
    x: Float[Tensor, "n M b"]
    outputs: int

    @property
    def length(self) -> int:
        """L, the tokens of one sequence."""
        return self.B.shape[1] // self.outputs


@dataclass(frozen=True)
class Term:
    """`<X_j, X'_j'> <Y_jc, Y'_j'c'>`, or `<X_j, X'_j'> delta_cc'` where Y is None.

    Args:
        X: a feature of each token, `(tokens, a)`.
        Y: a feature of each token and output, `(tokens, u, b)`, as it is or as sums; or None.
    """

    X: Float[Tensor, "tokens a"]
    Y: Float[Tensor, "tokens u b"] | Sums | None = None


@dataclass(frozen=True)
class Group:
    """A sum of terms, `k`; as it is, or combined to other outputs, `mixing^T k mixing`.

    Args:
        outputs: u, those of the terms.
        terms: the first has a Y in the first of the groups that add up, and in one with `mixing`.
        mixing: `(u, o)`, or None.
    """

    outputs: int
    terms: tuple[Term, ...]
    mixing: Float[Tensor, "u o"] | None = None


def features(
    p: Problem, trace_outputs: bool, *, as_sums: bool = False, smooth: bool = False
) -> list[list[Group]]:
    """The kernel as blocks of outputs, zero between two of them, each a sum of groups.

    Without W_O each head's outputs are a block of their own: no parameter is shared. With W_O, or
    summed over outputs, there is one block.

    Args:
        p: a batch, `S` is `(N, L, d)`.
        trace_outputs: whether the kernel is summed over equal outputs, c = c'.
        as_sums: whether the kernels of heads have their Y as sums.
        smooth: whether they need derivatives by W_O, also where it is singular.
    """
    parts = [_features(take(p, *span), trace_outputs, as_sums, smooth) for span in _chunks(p)]
    return [
        [_joined(pieces) for pieces in zip(*block, strict=True)]
        for block in zip(*parts, strict=True)
    ]


def numbers_per_sequence(p: Problem, trace_outputs: bool) -> int:
    """How many numbers the features of one sequence hold, as sums at most that."""
    L, heads, v_h = p.S.shape[1], p.W_V.shape[0], p.W_V.shape[-1]
    outputs = v_h
    if p.W_O is not None and trace_outputs:
        outputs = min(v_h, p.W_O.shape[-1])
    elif p.W_O is not None and mixes_features(p):
        outputs = p.W_O.shape[-1]
    # of each head Q and g, AC and h
    lengths = p.W_Q.shape[-1] + p.C.shape[-1]
    return L * (p.S.shape[-1] + heads * (1 + outputs) * lengths + heads * v_h)


def formed(Y: Tensor | Sums) -> Tensor:
    """The feature itself, `(tokens, u, b)`."""
    if isinstance(Y, Tensor):
        return Y
    return (Y.B @ Y.x).unflatten(1, (-1, Y.outputs)).flatten(0, 1)


def sums_pay(p: Problem, q: Problem) -> bool:
    """Whether inner products by way of the context take less time than those of g and h.

    Per two tokens, `u^2 (d_h + d_c)` multiplications against `u M + u^2 M'` for each of g and h
    and a Gram matrix; matrix products with short inner sides reach about half the speed.
    """
    v_h = p.W_V.shape[-1]
    lengths = p.W_Q.shape[-1] + p.C.shape[-1]
    tokens = [r.S.shape[1] for r in (p, q)]
    M, M_other = p.C.shape[1], q.C.shape[1]
    if p.W_O is not None and mixes_features(p):
        return False
    fits = min(tokens) * v_h >= 64 and max(tokens) * v_h <= 512
    by_sums = lengths + 2 * 2 * (v_h * M + v_h * v_h * M_other)
    return fits and by_sums < v_h * v_h * lengths


def _chunks(p: Problem) -> list[tuple[int, int]]:
    N, L, M = p.S.shape[0], p.S.shape[1], p.C.shape[1]
    heads, _, v_h = p.W_V.shape
    size = max(1, _CHUNK_NUMBERS // (heads * L * v_h * (M + p.C.shape[2])))
    return [(start, min(start + size, N)) for start in range(0, max(N, 1), size)]


def _joined(pieces: tuple[Group, ...]) -> Group:
    if len(pieces) == 1:
        return pieces[0]
    terms = zip(*(group.terms for group in pieces), strict=True)
    return replace(pieces[0], terms=tuple(_joined_term(parts) for parts in terms))


def _joined_term(parts: tuple[Term, ...]) -> Term:
    X = torch.cat([t.X for t in parts])
    Ys = [t.Y for t in parts]
    sums = [Y for Y in Ys if isinstance(Y, Sums)]
    if sums:
        B = torch.cat([Y.B for Y in sums])
        return Term(X, Sums(B, torch.cat([Y.x for Y in sums]), sums[0].outputs))
    whole = [Y for Y in Ys if isinstance(Y, Tensor)]
    return Term(X, torch.cat(whole) if whole else None)


def _features(p: Problem, trace_outputs: bool, as_sums: bool, smooth: bool) -> list[list[Group]]:
    w = forward(p)
    AC = w.weights @ p.C.unsqueeze(-3)  # (n, heads, L, d_c)
    # the difference first, since it is small where attention is sharp
    B = w.weights.unsqueeze(-2) * (w.V.mT.unsqueeze(-3) - w.head_outputs.unsqueeze(-1))
    B = p.scale * B  # (n, heads, L, v_h, M); each side brings one d_h^-1/2 of the 1 / d_h
    if as_sums:
        C = p.C.unsqueeze(-3).expand(*w.K.shape[:-1], -1)  # (n, heads, M, d_c)
        return _blocks(p, w, _by_head(p, w, AC, _sums(p, B, w.K), _sums(p, B, C)))
    g = _weighted(B, w.K)  # (n, heads, L, v_h, d_h)
    h = _weighted(B, p.C.unsqueeze(-3))  # (n, heads, L, v_h, d_c)
    if trace_outputs:
        return [[_traced(p, w, AC, g, h, smooth)]]
    if p.W_O is not None and mixes_features(p):
        return [[_mixed(p, w, AC, g, h), _by_output_matrix(p.W_O, w)]]
    own = [[_tokens(x) for x in y.unbind(1)] for y in (g, h)]
    return _blocks(p, w, _by_head(p, w, AC, *own))


def _blocks(p: Problem, w: Forward, heads: list[Group]) -> list[list[Group]]:
    """The kernels of the heads side by side, or combined by W_O."""
    if p.W_O is None:
        return [[group] for group in heads]
    mixed = [replace(k, mixing=W) for k, W in zip(heads, p.W_O.unbind(), strict=True)]
    return [[*mixed, _by_output_matrix(p.W_O, w)]]


def _by_output_matrix(W_O: Tensor, w: Forward) -> Group:
    """`delta_ee' <f_j, f'_j'>`, from the derivatives by W_O."""
    return Group(W_O.shape[-1], (Term(_tokens(merge_heads(w.head_outputs))),))


def _weighted(B: Tensor, x: Tensor) -> Tensor:
    """`sum_k B_jck x_k`: rows of all outputs in one product for each head."""
    return (B.flatten(-3, -2) @ x).unflatten(-2, B.shape[-3:-1])


def _by_head(
    p: Problem, w: Forward, AC: Tensor, g: Sequence[Tensor | Sums], h: Sequence[Tensor | Sums]
) -> list[Group]:
    """The kernel of each head's own outputs, from its g and its h, formed or as sums."""
    heads, _, v_h = p.W_V.shape
    S = _tokens(p.S)
    return [
        Group(
            v_h,
            (
                Term(S, g[head]),
                Term(_tokens(w.Q[:, head]), h[head]),
                Term(_tokens(AC[:, head])),
            ),
        )
        for head in range(heads)
    ]


def _sums(p: Problem, B: Tensor, x: Tensor) -> list[Tensor | Sums]:
    """Of each head, B with what it sums; `(n, heads, L, v_h, M)` and `(n, heads, M, b)`."""
    rows = B.flatten(-3, -2)  # (n, heads, L v_h, M)
    return [Sums(rows[:, head], x[:, head], p.W_V.shape[-1]) for head in range(p.W_V.shape[0])]


def mixes_features(p: Problem) -> bool:
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


def _traced(p: Problem, w: Forward, AC: Tensor, g: Tensor, h: Tensor, smooth: bool) -> Group:
    """Summed over outputs, their inner products are one of longer vectors."""
    heads, _, v_h = p.W_V.shape
    by_values: list[Term] = []
    if p.W_O is None:
        alike = [v_h**0.5 * AC[:, i] for i in range(heads)]
    else:
        o = p.W_O.shape[-1]
        # sum_e <W_e, x> <W_e, x'> = <R x, R x'>, with W = Q R and fewer rows in R where o > v_h
        exact = p.W_O.dtype in (torch.float32, torch.float64)  # those that have a QR
        pays = exact and o > v_h and not smooth
        W = torch.linalg.qr(p.W_O.mT).R if pays else p.W_O.mT  # (heads, r, v_h)
        g = torch.einsum("nhjci,hrc->nhjri", g, W)
        h = torch.einsum("nhjca,hrc->nhjra", h, W)
        alike = [o**0.5 * merge_heads(w.head_outputs)]
        if smooth:
            # neither R nor a norm has a derivative at zero, their squares do
            each = p.W_O.reshape(heads, 1, 1, -1).expand(-1, p.S.shape[0] * p.S.shape[1], -1, -1)
            by_values = [Term(_tokens(AC[:, i]), each[i]) for i in range(heads)]
        else:
            sizes = torch.linalg.vector_norm(p.W_O, dim=(1, 2))
            alike += [sizes[i] * AC[:, i] for i in range(heads)]
    g = g.movedim(1, 2).flatten(2).unsqueeze(2)  # (n, L, 1, heads r d_h)
    h = h.flatten(3).unsqueeze(3)  # (n, heads, L, 1, r d_c)
    return Group(
        1,
        (
            Term(_tokens(p.S), _tokens(g)),
            *(Term(_tokens(w.Q[:, i]), _tokens(h[:, i])) for i in range(heads)),
            *by_values,
            Term(_tokens(torch.cat(alike, -1))),
        ),
    )


def _tokens(x: Tensor) -> Tensor:
    """`(n, L, ...)` to `(n L, ...)`."""
    return x.flatten(0, 1)
