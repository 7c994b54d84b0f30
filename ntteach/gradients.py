"""Closed-form gradients of attention: Eqs. 8-12 and their masked, cross and multi-head forms.

Notation, for one head: A the attention weights, f the head's output, C the context (S itself for
self-attention), s = d_h^-1/2. Differentiating the softmax brings in one quantity, the deviation

    B_jck = A_jk (V_kc - f_jc),        sum_k B_jck = 0,

because rows of A sum to one. Every gradient below is a product of B or A with a factor that the
chain rule leaves: nothing here is differentiated automatically. With W_O, an output is a fixed
linear combination of head outputs, and so is its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ntteach.learner import (
    Forward,
    Mask,
    Params,
    Problem,
    forward,
    merge_heads,
    output_shape,
    problem,
    take,
)

# Numbers that one block of `gradient_norms` may hold: 2 MB in float32, so that it stays in cache.
_BLOCK_NUMBERS = 2**19


def value_gradient(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """Eq. 10 (25-28): `d f_jc / d W_V[a, b] = delta_cb (A C)_ja`.

    For v = 1 the slice `[..., :, 0, :, 0]` is Eq. 10's matrix `softmax(Q K^T / sqrt(d)) S`.
    With W_O the Kronecker delta becomes `W_O[b, c]`.

    Args:
        params: as for `attention`.
        S: `(L, d)` or `(N, L, d)`.
        context: as for `attention`.
        mask: as for `attention`.
        heads: as for `attention`.

    Returns:
        `(..., L, v, d_c, v)`, or `(..., L, o, d_c, v)` with W_O.

    Raises:
        ValueError: as `attention`.
        TypeError: as `attention`.

    >>> S = torch.tensor([[0.0], [1.0]])
    >>> zero = torch.zeros(1, 1)
    >>> value_gradient({"W_Q": zero, "W_K": zero, "W_V": zero}, S).flatten().tolist()
    [0.5, 0.5]
    """
    p = problem(params, S, context, mask, heads)
    return _value(p, forward(p))


def query_gradient(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """Eq. 11 (29-43): `d f_jc / d W_Q[a, i] = d_h^-1/2 S_ja omega_jci`, omega as in `importance`.

    Arguments and errors as `value_gradient`; returns `(..., L, v, d, d_k)`, o for v with W_O.

    >>> S = torch.tensor([[0.0], [2.0]])
    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> query_gradient({"W_Q": zero, "W_K": one, "W_V": one}, S).flatten().tolist()
    [0.0, 2.0]
    """
    p = problem(params, S, context, mask, heads)
    return _query(p, forward(p))


def key_gradient(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """Eq. 12 (44-55): `d f_jc / d W_K[a, i] = d_h^-1/2 Q_ji sum_k A_jk (V_kc - f_jc) C_ka`.

    Arguments and errors as `value_gradient`; returns `(..., L, v, d_c, d_k)`, o for v with W_O.

    >>> S = torch.tensor([[0.0], [2.0]])
    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> key_gradient({"W_Q": one, "W_K": zero, "W_V": one}, S).flatten().tolist()
    [0.0, 2.0]
    """
    p = problem(params, S, context, mask, heads)
    return _key(p, forward(p))


def importance(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """Eq. 11's omega: `omega_jci = sum_k A_jk (V_kc - f_jc) K_ki = Cov_{k ~ A_j}(K_ki, V_kc)`.

    The covariance, under the attention of row j, of a key column with a value column. Despite its
    name it can be negative, is not normalised, and vanishes when attention is on one element.

    Arguments and errors as `value_gradient`; returns `(..., L, v, d_k)`, zero outside the
    output's own head; with W_O `(..., L, o, d_k)`, combined over the value columns of each head.

    >>> S = torch.tensor([[0.0], [2.0]])
    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> importance({"W_Q": zero, "W_K": one, "W_V": one}, S).flatten().tolist()  # Cov of 0 and 2
    [1.0, 1.0]
    """
    p = problem(params, S, context, mask, heads)
    return _importance(p, forward(p))


def attention_jacobian(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> dict[str, Tensor]:
    """All blocks of Eqs. 8, 9 and 24: the derivative of every output by every parameter.

    Arguments and errors as `value_gradient`.

    Returns:
        `{"W_Q": (..., L, v, d, d_k), "W_K": (..., L, v, d_c, d_k), "W_V": (..., L, v, d_c, v)}`,
        and with W_O, whose outputs are o in number, `"W_O": (..., L, o, v, o)`.

    >>> W = torch.ones(1, 1)
    >>> blocks = attention_jacobian({"W_Q": W, "W_K": W, "W_V": W}, torch.tensor([[3.0]]))
    >>> {name: block.item() for name, block in blocks.items()}  # L = 1: f = S W_V
    {'W_Q': 0.0, 'W_K': 0.0, 'W_V': 3.0}
    """
    p = problem(params, S, context, mask, heads)
    w = forward(p)
    blocks = {"W_Q": _query(p, w), "W_K": _key(p, w), "W_V": _value(p, w)}
    if p.W_O is not None:
        o = p.W_O.shape[-1]
        f = merge_heads(w.head_outputs)  # (..., L, v)
        # f_je = sum_r f_jr W_O[r, e]: only the output's own column of W_O matters
        wide = f.unsqueeze(-1).expand(*f.shape, o)  # (..., L, v, o)
        blocks["W_O"] = torch.diag_embed(wide).movedim(-2, -3)  # (..., L, o, v, o)
    return blocks


def parameter_gradient(
    params: Params,
    S: Tensor,
    output_grad: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> dict[str, Tensor]:
    """Eq. 7's product `[dL/df] . [df/dtheta]`, summed over the batch, without the Jacobian.

    Args:
        params: as for `attention`.
        S: `(L, d)` or `(N, L, d)`.
        output_grad: dL/df, of the shape of `attention(...)`.
        context: as for `attention`.
        mask: as for `attention`.
        heads: as for `attention`.

    Returns:
        One gradient per parameter, of its shape.

    Raises:
        ValueError: as `attention`, or `output_grad` of another shape or on another device than
            the output.
        TypeError: as `attention`, or `output_grad` of another dtype.

    >>> W, S = torch.ones(1, 1), torch.tensor([[3.0]])
    >>> g = parameter_gradient({"W_Q": W, "W_K": W, "W_V": W}, S, torch.tensor([[2.0]]))
    >>> g["W_V"].item()
    6.0
    """
    p = problem(params, S, context, mask, heads)
    w = forward(p)
    _check_output_grad(output_grad, w.output)
    return {
        name: (X.mT @ Y).reshape(-1, X.shape[-1], Y.shape[-1]).sum(0)
        for name, X, Y in gradient_factors(p, w, output_grad)
    }


def gradient_norms(
    params: Params,
    S: Tensor,
    output_grad: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """The norm of dL/dtheta for each sequence, without per-sequence gradients in memory.

    Each block of a gradient is a product `X^T Y` of two matrices with a row per element, and
    `||X^T Y||_F^2 = <X X^T, Y Y^T>` needs the L x L Gram matrices only. Where a gradient is
    smaller than those, it is formed for a bounded number of sequences at a time. Work memory is
    bounded in N either way.

    Where a norm is 0, its derivative is taken to be 0, one of its subgradients. The norm is that
    of `output_grad` over its largest entry, times that entry, so that squares do not overflow.

    The Gram route squares: where elements cancel so that `||X^T Y|| << ||X|| ||Y||`, the relative
    error grows as machine epsilon times `(||X|| ||Y|| / ||X^T Y||)^2`.

    Args:
        params: as for `attention`.
        S: `(N, L, d)`, or `(L, d)` for one sequence.
        output_grad: dL/df, `(N, L, v)` (o for v with W_O), without any average over N.
        context: as for `attention`.
        mask: as for `attention`.
        heads: as for `attention`.

    Returns:
        `(N,)`, or a scalar for one sequence.

    Raises:
        ValueError: as `parameter_gradient`.
        TypeError: as `parameter_gradient`.

    >>> W, S = torch.ones(1, 1), torch.tensor([[[3.0]], [[4.0]]])
    >>> gradient_norms({"W_Q": W, "W_K": W, "W_V": W}, S, torch.ones(2, 1, 1)).tolist()
    [3.0, 4.0]
    """
    p = problem(params, S, context, mask, heads)
    # a wrong shape must not wait for the first block to be found
    _check_output_grad(output_grad, p.S.new_empty(()).expand(output_shape(p)))
    if S.ndim == 2:
        return _norms(p, output_grad)
    L, M = S.shape[1], p.C.shape[1]
    d_h, v_h = p.W_Q.shape[-1], p.W_V.shape[-1]
    per_sequence = heads * (3 * L * M + (L + M) * (d_h + v_h)) + L * L + M * M
    size = max(1, _BLOCK_NUMBERS // per_sequence)
    return torch.cat(
        [
            _norms(take(p, start, start + size), output_grad[start : start + size])
            # an empty batch is one empty block
            for start in range(0, max(S.shape[0], 1), size)
        ]
    )


def _deviation(w: Forward) -> Float[Tensor, "*batch heads L v_h M"]:
    """`B_jck = A_jk (V_kc - f_jc)`; the difference first, since it is small where A is sharp."""
    return w.weights.unsqueeze(-2) * (w.V.mT.unsqueeze(-3) - w.head_outputs.unsqueeze(-1))


def _to_outputs(
    p: Problem, x: Float[Tensor, "*batch heads L v_h n"]
) -> Float[Tensor, "*batch L out heads n"]:
    """From derivatives of head outputs to those of the outputs, zero outside the own head."""
    if p.W_O is not None:
        return torch.einsum("...hjcn,hco->...john", x, p.W_O)
    apart = torch.diag_embed(x.movedim(-4, -1))  # (..., L, v_h, n, heads, heads)
    apart = apart.movedim(-2, -4)  # (..., L, heads, v_h, n, heads): the first is the output's head
    return apart.flatten(-4, -3).mT  # (..., L, v, heads, n)


def _importance(p: Problem, w: Forward) -> Tensor:
    omega = _deviation(w) @ w.K.unsqueeze(-3)  # (..., heads, L, v_h, d_h)
    return _to_outputs(p, omega).flatten(-2)  # (..., L, out, d_k)


def _value(p: Problem, w: Forward) -> Tensor:
    AC = w.weights @ p.C.unsqueeze(-3)  # (..., heads, L, d_c)
    v_h = p.W_V.shape[-1]
    if p.W_O is not None:
        return torch.einsum("...hja,hbo->...joahb", AC, p.W_O).flatten(-2)
    wide = AC.movedim(-3, -1).unsqueeze(-1)  # (..., L, d_c, heads, 1)
    wide = wide.expand(*wide.shape[:-1], v_h).flatten(-2)  # (..., L, d_c, v)
    return torch.diag_embed(wide).movedim(-2, -3)  # (..., L, v, d_c, v)


def _query(p: Problem, w: Forward) -> Tensor:
    omega = _importance(p, w)  # (..., L, out, d_k)
    rows = p.S.unsqueeze(-2).unsqueeze(-1)  # (..., L, 1, d, 1)
    return p.scale * rows * omega.unsqueeze(-2)  # (..., L, out, d, d_k)


def _key(p: Problem, w: Forward) -> Tensor:
    mixed = _deviation(w) @ p.C.unsqueeze(-3).unsqueeze(-3)  # (..., heads, L, v_h, d_c)
    mixed = _to_outputs(p, mixed).mT.unsqueeze(-1)  # (..., L, out, d_c, heads, 1)
    queries = w.Q.movedim(-3, -2).unsqueeze(-3).unsqueeze(-3)  # (..., L, 1, 1, heads, d_h)
    return (p.scale * mixed * queries).flatten(-2)  # (..., L, out, d_c, d_k)


def gradient_factors(p: Problem, w: Forward, R: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, X, Y for each parameter: the gradient of one sequence is `X^T Y`."""
    heads, _, v_h = p.W_V.shape
    if p.W_O is None:
        R_head = R.unflatten(-1, (heads, v_h)).movedim(-2, -3)  # (..., heads, L, v_h)
    else:
        R_head = torch.einsum("...lo,hco->...hlc", R, p.W_O)  # (..., heads, L, v_h)
    # dL/dlogit_jk = A_jk sum_c R_jc (V_kc - f_jc)
    centred = R_head @ w.V.mT - (R_head * w.head_outputs).sum(-1, keepdim=True)
    D = p.scale * w.weights * centred  # (..., heads, L, M)
    yield "W_Q", p.S, merge_heads(D @ w.K)
    yield "W_K", p.C, merge_heads(D.mT @ w.Q)
    yield "W_V", p.C, merge_heads(w.weights.mT @ R_head)
    if p.W_O is not None:
        yield "W_O", merge_heads(w.head_outputs), R


def _norms(p: Problem, R: Tensor) -> Tensor:
    # gradients are linear in R, so that a scale that counts as a constant changes no derivative
    size = R.detach().abs().amax((-2, -1), keepdim=True)  # (..., 1, 1)
    size = torch.where(size == 0, torch.ones_like(size), size)
    # gradients that share X stand side by side, X^T [Y_1, Y_2, ...]: one Gram matrix of X
    shared: dict[int, tuple[Tensor, list[Tensor]]] = {}
    for _, X, Y in gradient_factors(p, forward(p), R / size):
        shared.setdefault(id(X), (X, []))[1].append(Y)
    squares = [_squared_norm(X, torch.cat(Ys, -1)) for X, Ys in shared.values()]
    square = torch.stack(squares).sum(0).clamp(min=0)
    zero = square == 0
    # the root has no finite derivative at 0
    root = torch.where(zero, torch.ones_like(square), square).sqrt()
    return torch.where(zero, torch.zeros_like(root), root) * size[..., 0, 0]


def _squared_norm(
    X: Float[Tensor, "*batch n a"], Y: Float[Tensor, "*batch n b"]
) -> Float[Tensor, "*batch"]:
    """`||X^T Y||_F^2` by whichever of the two ways holds fewer numbers."""
    n, a, b = X.shape[-2], X.shape[-1], Y.shape[-1]
    if n * n <= a * b:
        return ((X @ X.mT) * (Y @ Y.mT)).sum((-2, -1))
    return (X.mT @ Y).square().sum((-2, -1))


def _check_output_grad(output_grad: Tensor, output: Tensor) -> None:
    if not isinstance(output_grad, Tensor):
        raise TypeError(f"output_grad is a tensor, got {type(output_grad).__name__}")
    if output_grad.shape != output.shape:
        raise ValueError(
            f"output_grad has the shape of the output, {tuple(output.shape)}, "
            f"got {tuple(output_grad.shape)}"
        )
    if output_grad.dtype != output.dtype:
        raise TypeError(
            f"output_grad has the output's dtype, {output.dtype}, got {output_grad.dtype}"
        )
    if output_grad.device != output.device:
        raise ValueError(
            f"output_grad is on the output's device, {output.device}, got {output_grad.device}"
        )
