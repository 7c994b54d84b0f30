"""Sequences of different length, and properties of a whole sequence.

The paper pads or truncates (footnote 5) and averages over the elements (Eq. 6). For unequal
lengths that average has two readings, a mean per sequence and a mean per token, and they differ.
A property of a whole sequence needs a readout, which Eq. 2 does not have.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, L: int) -> Tensor:
    """The mask under which padding changes nothing: nobody attends beyond a sequence's length.

    Args:
        lengths: `(N,)` integers from 0 to L; the elements of sequence i are its first lengths[i].
        L: the padded length.

    Returns:
        `(N, 1, 1, L)` boolean, for the `mask` of `attention`.

    Raises:
        ValueError: lengths that are not one-dimensional integers from 0 to L.
        TypeError: lengths that are no tensor.

    >>> padding_mask(torch.tensor([1, 3]), 3).int().flatten(1).tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return valid_tokens(lengths, L)[:, None, None, :]


def valid_tokens(lengths: Tensor, L: int) -> Tensor:
    """`(N, L)` boolean, True where an element is not padding; arguments as `padding_mask`."""
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths is a tensor, got {type(lengths).__name__}")
    whole = not (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool)
    if lengths.ndim != 1 or not whole:
        raise ValueError(
            f"lengths are (N,) integers, got {lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    if bool(((lengths < 0) | (lengths > L)).any()):
        raise ValueError(f"lengths lie between 0 and L={L}, got {lengths.tolist()}")
    return torch.arange(L, device=lengths.device) < lengths[:, None]


def mean_readout(outputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The mean over the elements of a sequence: its property, blind to their order.

    Args:
        outputs: `(N, L, v)` or `(L, v)`.
        lengths: `(N,)` valid elements of each sequence, for a batch; all L if None.

    Returns:
        `(N, v)` or `(v,)`; zero for a sequence without elements.

    Raises:
        ValueError: outputs of another shape, lengths without a batch, or as in `padding_mask`.
        TypeError: outputs that are no floating-point tensor.

    >>> mean_readout(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    _check_floating("outputs", outputs)
    if outputs.ndim not in (2, 3):
        raise ValueError(f"outputs are (N, L, v) or (L, v), got {tuple(outputs.shape)}")
    if lengths is None:
        # not mean(): that of nothing would be NaN
        return outputs.sum(-2) / max(outputs.shape[-2], 1)
    valid = valid_tokens(lengths, outputs.shape[-2]).unsqueeze(-1)  # (N, L, 1)
    if outputs.ndim != 3 or lengths.shape != outputs.shape[:1]:
        raise ValueError(
            f"outputs are (N, L, v) with one length each, got {tuple(outputs.shape)} "
            f"and lengths {tuple(lengths.shape)}"
        )
    # where, not a product: padding may hold anything, NaN included
    total = torch.where(valid, outputs, torch.zeros_like(outputs)).sum(1)
    return total / lengths.clamp(min=1).to(outputs.dtype)[:, None]


def average_loss(
    losses: Tensor,
    lengths: Tensor | None = None,
    *,
    per: Literal["sequence", "token"] = "sequence",
) -> Tensor:
    """The average loss of Eq. 6 over a batch, for lengths that may differ.

    "sequence" averages within each sequence first, so that every sequence weighs the same;
    "token" averages over all elements, so that every element does. They agree for equal lengths.

    Args:
        losses: `(N, L)`, one loss per element.
        lengths: `(N,)`; all L if None.
        per: which mean.

    Returns:
        A scalar; sequences without elements do not count, and nothing at all averages to zero.

    Raises:
        ValueError: an unknown `per`, or shapes that do not fit.
        TypeError: losses that are no floating-point tensor.

    >>> losses, lengths = torch.tensor([[4.0, 0.0], [1.0, 1.0]]), torch.tensor([1, 2])
    >>> average_loss(losses, lengths).item(), average_loss(losses, lengths, per="token").item()
    (2.5, 2.0)
    """
    if per not in ("sequence", "token"):
        raise ValueError(f"per is 'sequence' or 'token', got {per!r}")
    _check_floating("losses", losses)
    if losses.ndim != 2:
        raise ValueError(f"losses are (N, L), got {tuple(losses.shape)}")
    if lengths is None:
        return losses.sum() / max(losses.numel(), 1)
    means = mean_readout(losses.unsqueeze(-1), lengths).squeeze(-1)  # (N,)
    counts = lengths.to(losses.dtype)
    weights = counts if per == "token" else (counts > 0).to(losses.dtype)
    return (means * weights).sum() / weights.sum().clamp(min=1)


def _check_floating(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} are floating point, got {x.dtype}")
