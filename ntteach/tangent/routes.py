"""The ANTK by automatic differentiation of `attention`: two routes that know no closed form.

They are the ways that `torch.func` offers for any network, here for comparison: both form a
rectangle of the kernel, sequences of one problem against sequences of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jacrev, jvp, vjp, vmap

from ntteach.learner import Params, Problem, attention, output_shape, take
from ntteach.tangent.panels import spans

Weights = dict[str, Tensor]
Rectangle = Callable[[Problem, Problem], Tensor]

# Numbers that the Jacobian of one block of sequences may hold.
_BLOCK_NUMBERS = 2**24


def dense(p: Problem, q: Problem, params: Params, heads: int, method: str) -> Tensor:
    """The kernel of p with q, `(N, L, v, N', L', v)`, by "jacobian" or "products"."""
    return {"jacobian": by_jacobians, "products": by_products}[method](params, heads)(p, q)


def write(
    out: Tensor,
    p: Problem,
    q: Problem,
    params: Params,
    heads: int,
    method: str,
    trace_outputs: bool,
    block_size: int | None,
) -> None:
    """Write the kernel of p with q in blocks of sequences; arguments as `closed_form.write`."""
    size = block_size or _block_size(p, q, params, heads, method)
    for start, stop in spans(0, p.S.shape[0], size):
        rows = take(p, start, stop)
        for start_other, stop_other in spans(0, q.S.shape[0], size):
            # the same object, so that a block on the diagonal takes one Jacobian
            alike = q is p and start_other == start
            columns = rows if alike else take(q, start_other, stop_other)
            block = dense(rows, columns, params, heads, method)
            if trace_outputs:
                block = block.diagonal(dim1=2, dim2=5).sum(-1)
            view = out[start:stop, :, start_other:stop_other]
            if not trace_outputs:
                view = out[start:stop, :, :, start_other:stop_other]
            view.copy_(block)


def _block_size(p: Problem, q: Problem, params: Params, heads: int, method: str) -> int:
    numbers = sum(W.numel() for W in params.values())
    outputs = [math.prod(output_shape(r)[1:]) for r in (p, q)]
    size = max(1, _BLOCK_NUMBERS // (max(outputs) * numbers))
    if method == "jacobian":
        return size
    # each output of a block's first sequences moves queries, keys, values and logits of each of its
    # second ones, so that memory grows with the square of the block
    L, M = q.S.shape[1], q.C.shape[1]
    moved = L * (params["W_Q"].shape[1] + heads * M)
    moved += M * (params["W_K"].shape[1] + params["W_V"].shape[1])
    return min(size, max(1, math.isqrt(_BLOCK_NUMBERS // (outputs[0] * moved))))


def by_jacobians(params: Params, heads: int) -> Rectangle:
    """Both Jacobians by `jacrev`, contracted over all parameters."""
    weights = dict(params)

    def jacobian(p: Problem) -> Weights:
        def single(S: Tensor, C: Tensor, mask: Tensor | None) -> Weights:
            return jacrev(_output(S, C, mask, heads))(weights)

        return vmap(single, (0, 0, _mask_axis(p)))(p.S, p.C, p.mask)

    def rectangle(p: Problem, q: Problem) -> Tensor:
        left = jacobian(p)
        right = left if q is p else jacobian(q)
        blocks = (torch.einsum("njcab,mkeab->njcmke", left[name], right[name]) for name in weights)
        return sum(blocks, start=p.S.new_zeros(()))

    return rectangle


def by_products(params: Params, heads: int) -> Rectangle:
    """For each output of one sequence a vector-Jacobian product, then a Jacobian-vector one."""
    weights = dict(params)

    def rectangle(p: Problem, q: Problem) -> Tensor:
        def pair(
            S: Tensor,
            C: Tensor,
            mask: Tensor | None,
            S_other: Tensor,
            C_other: Tensor,
            mask_other: Tensor | None,
        ) -> Tensor:
            f, pull_back = vjp(_output(S, C, mask, heads), weights)  # pyright: ignore[reportAssignmentType]
            other = _output(S_other, C_other, mask_other, heads)

            def row(unit: Tensor) -> Tensor:
                return jvp(other, (weights,), pull_back(unit))[1]

            units = torch.eye(f.numel(), dtype=f.dtype, device=f.device)
            rows = vmap(row)(units.view(-1, *f.shape))  # (L v, L', v)
            return rows.view(*f.shape, *rows.shape[1:])

        columns = vmap(pair, (None, None, None, 0, 0, _mask_axis(q)), out_dims=2)
        every = vmap(columns, (0, 0, _mask_axis(p), None, None, None))
        return every(p.S, p.C, p.mask, q.S, q.C, q.mask)

    return rectangle


def _output(S: Tensor, C: Tensor, mask: Tensor | None, heads: int) -> Callable[[Weights], Tensor]:
    return lambda weights: attention(weights, S, context=C, mask=mask, heads=heads)


def _mask_axis(p: Problem) -> int | None:
    return 0 if p.mask is not None and p.mask.ndim == 4 else None
