"""A result that is written in place and has derivatives all the same.

What is written in place keeps no graph. Where derivatives are asked for, they are those of an
expression of the same value, which is evaluated when the gradient is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ntteach.tangent import destination

Write = Callable[[Tensor], None]
Expression = Callable[..., Tensor]


def result(
    write: Write, expression: Expression, shape: tuple[int, ...], inputs: Sequence[Any]
) -> Tensor:
    """What `write` writes, with the derivatives of `expression`.

    Under `vmap`, and in forward mode, the result is `expression(*inputs)`.

    Args:
        write: writes the result into a tensor of this shape.
        expression: the same as a function of `inputs`.
        shape: of the result.
        inputs: tensors and anything else; at least one is a tensor.
    """
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    if any(is_transformed(x) for x in tensors):
        return expression(*inputs)
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        return _Written.apply(write, expression, shape, *inputs)
    return destination.new(shape, tensors[0], write)


def is_transformed(x: Tensor) -> bool:
    """Whether x stands for something else: a batch, or a value with its derivative."""
    try:
        x.untyped_storage()
    except NotImplementedError:
        return True  # a tensor of `torch.func`
    return forward_ad.unpack_dual(x).tangent is not None


class _Written(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, write: Write, expression: Expression, shape: tuple[int, ...], *inputs: Any
    ) -> Tensor:
        ctx.expression = expression
        ctx.inputs = [None if isinstance(x, Tensor) else x for x in inputs]
        ctx.places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]
        ctx.save_for_backward(*(inputs[i] for i in ctx.places))
        return destination.new(shape, inputs[ctx.places[0]], write)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = list(ctx.inputs)
        wanted = [i for i in ctx.places if ctx.needs_input_grad[3 + i]]
        twice = torch.is_grad_enabled()
        with torch.enable_grad():
            for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
                # each a variable of its own: inputs may be one tensor, or be made of each other
                inputs[place] = tensor.view_as(tensor)
            value = ctx.expression(*inputs)
        found = torch.autograd.grad(
            value, [inputs[i] for i in wanted], gradient, create_graph=twice, allow_unused=True
        )
        by_place = dict(zip(wanted, found, strict=True))
        return (None, None, None, *(by_place.get(i) for i in range(len(inputs))))
