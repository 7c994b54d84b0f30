"""What is given to a teacher, checked: schedules, numbers per sample, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ntteach.teaching.schedules import constant


def schedule(name: str, value: Any) -> Callable[[float], float]:
    """A schedule, or a number as a constant one.

    Raises:
        ValueError: for anything else.
    """
    if callable(value):
        return cast("Callable[[float], float]", value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(
            f"{name} is a number or a schedule such as cosine(0.2, 0.8), got {value!r}"
        )
    return constant(value)


def only_for(select: str, rule: str, name: str, values: Any, samples: int) -> Tensor | None:
    """What only one rule takes, one number per sample, on the CPU; None with other rules.

    Raises:
        ValueError: if it is missing, not wanted, of another shape, or negative.
    """
    if (values is None) == (select == rule):
        raise ValueError(
            f"{name} go with select={rule!r}, and only with it; got select={select!r} "
            f"{'without' if values is None else 'with'} {name}"
        )
    if values is None:
        return None
    tensor = _per_sample(name, values, samples, integers=rule == "gradnorm")
    good = tensor >= 0 if rule == "gradnorm" else (tensor >= 0) & tensor.isfinite()
    if not bool(good.all()):
        raise ValueError(f"{name} are finite and 0 or more, got {tensor[~good][0].item()}")
    return tensor


def batch(ids: Tensor | Sequence[int], values: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The ids (n,) of a batch as int64, and their losses or scores (n,).

    Raises:
        ValueError: for other shapes or kinds.
    """
    ids = torch.as_tensor(ids)
    if ids.dim() != 1 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"ids are whole numbers (n,), got {ids.dtype} of shape {tuple(ids.shape)}; "
            "indexed(dataset) puts them into each batch"
        )
    if (
        not isinstance(values, Tensor)
        or not values.is_floating_point()
        or values.shape != ids.shape
    ):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"{name} are one number per id, {tuple(ids.shape)}, got {shape}: compute the loss with "
            'reduction="none" and take its mean over what belongs to one sample'
        )
    return ids.long(), values


def _per_sample(name: str, values: object, samples: int, *, integers: bool) -> Tensor:
    tensor = torch.as_tensor(values).detach().cpu()
    kind = "whole numbers" if integers else "numbers"
    if tensor.shape != (samples,) or (integers and tensor.is_floating_point()):
        raise ValueError(
            f"{name} are {samples} {kind}, one per sample; "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    return tensor.long() if integers else tensor.float()
