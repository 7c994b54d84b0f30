"""`antk`: the kernel itself, in closed form or by automatic differentiation."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ntteach.learner import Mask, Params
from ntteach.tangent import closed_form, destination, differentiable, routes
from ntteach.tangent.arguments import Pair, check_block_size, full_precision, pair

Method = Literal["closed_form", "jacobian", "products"]


def antk(
    params: Params,
    S: Tensor,
    S_other: Tensor | None = None,
    *,
    context: Tensor | None = None,
    context_other: Tensor | None = None,
    mask: Mask = None,
    mask_other: Mask = None,
    heads: int = 1,
    method: Method = "closed_form",
    trace_outputs: bool = False,
    block_size: int | None = None,
    out: Tensor | np.ndarray | None = None,
) -> Tensor:
    """The attention neural tangent kernel (Section 4.2, Appendix A.4) of sequences S with S_other.

        K[(n, j, c), (n', j', c')] = sum_p  d f(S_n)_jc / d theta_p  .  d f(S'_n')_j'c' / d theta_p

    over all parameters. In closed form no Jacobian is formed: the derivatives of Eqs. 10-12
    multiply out to products of Gram matrices. Memory beyond the arguments and the kernel does not
    grow with N or N'. The kernel of S with itself (`S_other=None`) takes half the work and is
    symmetric to the last bit.

    The kernel has derivatives, by autograd and under `torch.func`; these need memory of its size.

    Args:
        params: as for `attention`.
        S: `(N, L, d)`, or `(L, d)` for one sequence.
        S_other: `(N', L', d)` or `(L', d)`; S itself, with its context and mask, if None.
        context: as for `attention`, of S.
        context_other: of S_other; given if and only if `context` is.
        mask: as for `attention`, of S. "causal" holds for both sides.
        mask_other: of S_other; none if None, but for "causal".
        heads: divides d_k and v.
        method: "closed_form"; "jacobian" contracts Jacobians by `torch.func.jacrev`, "products"
            takes a vector-Jacobian and a Jacobian-vector product for each output. The last two are
            slow, and there to be compared with.
        trace_outputs: sum over c = c'.
        block_size: sequences whose features are held at a time; chosen for the memory if None.
        out: a contiguous tensor, a NumPy array or a memory map of the result's shape and dtype, to
            write into. If the computation fails it is filled with NaN, and while it runs its first
            entry is NaN. No gradient flows through it.

    Returns:
        `(N, L, v, N', L', v)`, or `(N, L, N', L')` if `trace_outputs`; no N for one sequence, o for
        v with W_O. In the memory of `out` where that is given.

    Raises:
        ValueError: as `attention`; a context or mask without its other half; an unknown method; a
            block size below 1; `out` of another shape or device.
        TypeError: as `attention`, or `out` of another dtype or kind.
        OSError: no room on the disk for a memory map; nothing has been computed then.

    >>> zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    >>> params = {"W_Q": zero, "W_K": one, "W_V": one}
    >>> S = torch.tensor([[0.0], [2.0]])
    >>> # f = (1, 1): by W_V the mean, 1; by W_Q S_j Cov(S, S) = S_j; by W_K Q_j = 0
    >>> antk(params, S).flatten().tolist()  # 1 + S_j S_j'
    [1.0, 1.0, 1.0, 5.0]
    """
    both = pair(params, S, S_other, context, context_other, mask, mask_other, heads=heads)
    _check(method, trace_outputs, block_size)
    end = -1 if trace_outputs else None
    shape = (*both.row_shape[:end], *both.column_shape[:end])

    def write(target: Tensor) -> None:
        if target.numel():
            kernel = target.view(_batched_shape(both, trace_outputs))
            p, q = both.rows, both.columns
            if method == "closed_form":
                closed_form.write(kernel, p, q, trace_outputs, block_size)
            else:
                routes.write(kernel, p, q, params, heads, method, trace_outputs, block_size)

    names = list(params)
    inputs = [*params.values(), S, S_other, context, context_other, mask, mask_other]
    if out is not None:
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if any(map(differentiable.is_transformed, tensors)):
            raise ValueError("out takes plain tensors; leave it out under vmap, grad and jvp")
        with torch.no_grad(), full_precision(S):
            return destination.given(out, shape, S, tensors, write)

    def expression(*inputs: Any) -> Tensor:
        weights = dict(zip(names, inputs, strict=False))
        again = pair(weights, *inputs[len(names) :], heads=heads)
        p, q = again.rows, again.columns
        # of nothing, which the transforms cannot batch over, the closed form is as good as any
        if method == "closed_form" or 0 in shape:
            return closed_form.dense(p, q, trace_outputs).reshape(shape)
        K = routes.dense(p, q, weights, heads, method)
        if trace_outputs:
            K = K.diagonal(dim1=2, dim2=5).sum(-1)
        return K.reshape(shape)

    with full_precision(S):
        return differentiable.result(write, expression, shape, inputs)


def _check(method: str, trace_outputs: object, block_size: int | None) -> None:
    if method not in get_args(Method):
        raise ValueError(f"method is one of {', '.join(get_args(Method))}, got {method!r}")
    if not isinstance(trace_outputs, bool):
        raise TypeError(f"trace_outputs is True or False, got {trace_outputs!r}")
    check_block_size(block_size)


def _batched_shape(both: Pair, trace_outputs: bool) -> tuple[int, ...]:
    """The shape of the kernel with N and N' also where the caller gave one sequence."""
    outputs = () if trace_outputs else (both.row_shape[-1],)
    return tuple(n for p in (both.rows, both.columns) for n in (*p.S.shape[:2], *outputs))
