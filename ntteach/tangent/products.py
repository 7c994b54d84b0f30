"""Products with the Jacobian of all outputs by all parameters, which is never formed.

`pull_back` is Eq. 7's product of loss gradients with gradients of outputs; `push_forward` is the
change of the outputs when the parameters move. One after the other they are a product with the
ANTK, in the time of two passes over the sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ntteach.gradients import gradient_factors
from ntteach.learner import Forward, Problem, merge_heads

Direction = dict[str, Tensor]


def pull_back(p: Problem, w: Forward, R: Tensor) -> Direction:
    """`J^T R`, summed over the batch: `sum_njc R_njc  d f(S_n)_jc / d theta`.

    Args:
        p: a batch.
        w: its forward pass.
        R: `(m, N, L, v)`, m of them at once.

    Returns:
        One `(m, ...)` for each parameter.
    """
    return {
        name: torch.einsum("...nja,...njb->...ab", X, Y) for name, X, Y in gradient_factors(p, w, R)
    }


def push_forward(p: Problem, w: Forward, direction: Direction) -> Tensor:
    """`J direction`, the derivative of the outputs along a direction of the parameters.

    With `D_jk = d^-1/2 (dQ_j K_k + Q_j dK_k)` the change of the logits, a softmax changes by
    `A_jk (D_jk - sum_l A_jl D_jl)`.

    Args:
        p: a batch.
        w: its forward pass.
        direction: `(m, ...)` for each parameter.

    Returns:
        `(m, N, L, v)`.
    """
    heads = p.W_Q.shape[0]
    dQ = _project(p.S, direction["W_Q"], heads)  # (m, N, heads, L, d_h)
    dK = _project(p.C, direction["W_K"], heads)  # (m, N, heads, M, d_h)
    dV = _project(p.C, direction["W_V"], heads)  # (m, N, heads, M, v_h)
    D = p.scale * (dQ @ w.K.mT + w.Q @ dK.mT)  # (m, N, heads, L, M)
    A = w.weights
    D = A * (D - (A * D).sum(-1, keepdim=True))
    df = D @ w.V + A @ dV  # (m, N, heads, L, v_h)
    if p.W_O is None:
        return merge_heads(df)
    mixed = merge_heads(df) @ p.W_O.flatten(0, 1)
    return mixed + torch.einsum("njc,mce->mnje", merge_heads(w.head_outputs), direction["W_O"])


def _project(x: Tensor, weight: Tensor, heads: int) -> Tensor:
    """`(N, n, a)` by `(m, a, heads c)` to `(m, N, heads, n, c)`."""
    y = torch.einsum("nja,mac->mnjc", x, weight)
    return y.unflatten(-1, (heads, -1)).movedim(-2, -3)
