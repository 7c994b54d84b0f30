"""Where kernels are written: new tensors, or what was given; NaN if the work fails midway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations

import torch
from torch import Tensor

from ntteach.memory import overlap


def destinations(
    out: Tensor | Mapping[str, Tensor] | None,
    groups: Iterable[str],
    grouped: bool,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    read: Iterable[Tensor] = (),
) -> dict[str, Tensor]:
    """Zeros for each group's kernel, new or in what was given.

    Args:
        out: one tensor, a mapping by group if `grouped`, or None.
        groups: their names.
        grouped: whether groups were asked for.
        shape: of each kernel.
        dtype: of each kernel.
        device: of each kernel.
        read: what is read while kernels are written, or outlives them: inputs, parameters, buffers.

    Raises:
        ValueError: the wrong groups, shape or device, a tensor that is not contiguous or shares
            memory with another or with what is read.
        TypeError: no tensor, or the wrong dtype.

    >>> destinations(None, ["a"], True, (1, 1), torch.float32, torch.device("cpu"))
    {'a': tensor([[0.]])}
    """
    names = list(groups)
    if out is None:
        return {name: torch.zeros(shape, dtype=dtype, device=device) for name in names}
    if not grouped:
        given: dict[str, object] = {"": out}
    elif isinstance(out, Mapping) and set(out) == set(names):
        given = {name: out[name] for name in names}
    else:
        raise ValueError(f"with groups, out is a mapping with the keys {', '.join(names)}")
    found: dict[str, Tensor] = {}
    for name, K in given.items():
        what = f"out[{name!r}]" if grouped else "out"
        if not isinstance(K, Tensor):
            raise TypeError(f"{what} is a tensor, got {type(K).__name__}")
        if tuple(K.shape) != shape:
            raise ValueError(f"{what} has shape {shape}, got {tuple(K.shape)}")
        if K.dtype != dtype:
            raise TypeError(f"{what} is {dtype}, got {K.dtype}")
        if K.device != device:
            raise ValueError(f"{what} is on {device}, got {K.device}")
        if not K.is_contiguous() or K.requires_grad:
            raise ValueError(f"{what} is contiguous and requires no gradient")
        found[name] = K
    written = list(found.values())
    pairs = [*combinations(written, 2), *((K, x) for x in read for K in written)]
    if any(overlap(K, x) for K, x in pairs):
        raise ValueError(
            "out shares memory with an input, a parameter, a buffer or the out of another group, "
            "which would be overwritten"
        )
    for K in written:
        K.zero_()
    return found


@contextmanager
def nan_on_failure(results: Mapping[str, Tensor]) -> Iterator[None]:
    """Leave nothing half-written that could pass for a kernel, where an exception is raised.

    A process that is killed marks nothing: what it leaves is finite, partly zeros and partial sums.
    """
    try:
        yield
    except BaseException:
        for K in results.values():
            K.fill_(torch.nan)
        raise
