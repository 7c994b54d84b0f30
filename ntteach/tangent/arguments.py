"""The two sides of a kernel, checked: sequences, their contexts and masks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ntteach.learner import Mask, Params, Problem, output_shape, problem


@dataclass(frozen=True)
class Pair:
    """The sequences of a kernel's rows and of its columns.

    Args:
        rows: a batch.
        columns: a batch; the same object for the kernel of a batch with itself.
        row_shape: of the outputs of the rows, as the caller sees them: `(N, L, v)` or `(L, v)`.
        column_shape: the same for the columns.
    """

    rows: Problem
    columns: Problem
    row_shape: tuple[int, ...]
    column_shape: tuple[int, ...]

    @property
    def symmetric(self) -> bool:
        """Whether rows and columns are the same sequences."""
        return self.columns is self.rows


def pair(
    params: Params,
    S: Tensor,
    S_other: Tensor | None,
    context: Tensor | None,
    context_other: Tensor | None,
    mask: Mask,
    mask_other: Mask,
    *,
    heads: int,
) -> Pair:
    """Check the arguments of `antk` and `antk_operator`; raises as they say."""
    rows = problem(params, S, context, mask, heads)
    shape = output_shape(rows)
    if S_other is None:
        if context_other is not None or mask_other is not None:
            raise ValueError("context_other and mask_other belong to S_other, which is not given")
        batch = _batched(rows)
        return Pair(batch, batch, shape, shape)
    if (context is None) != (context_other is None):
        raise ValueError(
            "context and context_other are given both or neither; "
            "for self-attention on one side, give the sequences as their own context"
        )
    # a mask by name belongs to the learner, one by value to its sequences
    if mask_other is None and isinstance(mask, str):
        mask_other = mask
    columns = problem(params, S_other, context_other, mask_other, heads)
    return Pair(_batched(rows), _batched(columns), shape, output_shape(columns))


def full_precision(S: Tensor) -> AbstractContextManager[object]:
    """A context in which products keep the dtype of their factors, also under autocast."""
    kind = S.device.type
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def check_block_size(block_size: int | None) -> None:
    """Raise unless it is a whole number of sequences, or None."""
    if block_size is None:
        return
    if not isinstance(block_size, int) or isinstance(block_size, bool):
        raise TypeError(f"block_size is an int or None, got {type(block_size).__name__}")
    if block_size < 1:
        raise ValueError(f"block_size is at least 1, got {block_size}")


def _batched(p: Problem) -> Problem:
    """One sequence as a batch of one."""
    if p.S.ndim == 3:
        return p
    S = p.S.unsqueeze(0)
    C = S if p.C is p.S else p.C.unsqueeze(0)
    mask = p.mask.unsqueeze(0) if p.mask is not None and p.mask.ndim == 3 else p.mask
    return replace(p, S=S, C=C, mask=mask)
