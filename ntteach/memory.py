"""Whether two tensors lie in the same memory, so that writing one would overwrite the other."""

from __future__ import annotations

import torch
from torch import Tensor


def overlap(one: Tensor, other: Tensor) -> bool:
    """Whether the spans of two tensors meet; two slices of one tensor may lie side by side.

    A tensor without numbers, without memory (of the device "meta"), or that is not strided has no
    span that could be written over.

    >>> x = torch.zeros(2, 3)
    >>> overlap(x, x[1]), overlap(x[0], x[1]), overlap(x[:, 0], x[:, 1])
    (True, False, True)
    """
    if one.device != other.device:
        return False
    if one.layout is not torch.strided or other.layout is not torch.strided:
        return False
    (start, end), (start_other, end_other) = _span(one), _span(other)
    return start < end_other and start_other < end


def _span(x: Tensor) -> tuple[int, int]:
    """The addresses between which x lies."""
    if x.numel() == 0 or x.is_meta:
        return 0, 0
    last = sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.data_ptr(), x.data_ptr() + (last + 1) * x.element_size()
