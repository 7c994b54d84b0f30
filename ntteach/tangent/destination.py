"""Where a kernel is written: a tensor, an array or a memory map that the caller gave, or a new one.

A kernel may be larger than memory, so that it can be written into a file. Half of it must not be
taken for the whole: where the computation fails, everything is NaN, and where the process is
killed, the first entry still is; what has it is written last.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ntteach.memory import overlap

_ARRAYS = {torch.float32: np.float32, torch.float64: np.float64}


def new(shape: tuple[int, ...], like: Tensor, compute: Callable[[Tensor], None]) -> Tensor:
    """Let `compute` write a new tensor with the dtype and device of `like`."""
    if like.device.type == "cpu" and like.dtype in _ARRAYS:
        # NumPy asks the system for huge pages, PyTorch does not: the first write to a large
        # result takes several times as long in pages of 4 kB
        result = torch.from_numpy(np.empty(shape, _ARRAYS[like.dtype]))
    else:
        result = torch.empty(shape, dtype=like.dtype, device=like.device)
    compute(result)
    return result


def given(
    out: Tensor | np.ndarray,
    shape: tuple[int, ...],
    like: Tensor,
    inputs: Sequence[Tensor],
    compute: Callable[[Tensor], None],
) -> Tensor:
    """Let `compute` write into `out`, its first entry last; returns a tensor in its memory.

    Args:
        out: a tensor, or a NumPy array or memory map.
        shape: that it must have.
        like: a tensor of the dtype and device that it must have.
        inputs: what `compute` reads, which must not be overwritten.
        compute: writes everything.

    Raises:
        ValueError: `out` of another shape or device, not contiguous, not writable, or in the
            memory of an input.
        TypeError: `out` of another dtype, or neither a tensor nor an array.
        OSError: no room on the disk for a memory map, found before anything is computed.
    """
    target = _checked(out, shape, like)
    if any(overlap(target, x) for x in inputs):
        raise ValueError("out shares memory with an argument, which would be overwritten")
    if isinstance(out, np.memmap):
        _reserve(out)
    try:
        target.view(-1)[:1].fill_(torch.nan)
        compute(target)
        if isinstance(out, np.memmap):
            out.flush()
    except BaseException:
        target.fill_(torch.nan)
        raise
    return target


def _checked(out: Tensor | np.ndarray, shape: tuple[int, ...], like: Tensor) -> Tensor:
    if isinstance(out, np.ndarray):
        if like.device.type != "cpu":
            raise ValueError(f"an array takes results from the CPU, S is on {like.device}")
        if not out.flags.writeable:
            raise ValueError("out is read-only; open a memory map with mode 'r+' or 'w+'")
        if isinstance(out, np.memmap) and out.mode == "c":
            raise ValueError("a memory map of mode 'c' never reaches its file; open it with 'r+'")
        if not out.flags.c_contiguous or out.dtype.hasobject or out.dtype.byteorder == ">":
            raise ValueError("out is a C-contiguous array of native floating point numbers")
        target = torch.from_numpy(out)
    elif isinstance(out, Tensor):
        target = out
    else:
        raise TypeError(f"out is a tensor or a NumPy array, got {type(out).__name__}")
    if tuple(target.shape) != shape:
        raise ValueError(f"out has the shape of the kernel, {shape}, got {tuple(target.shape)}")
    if target.dtype != like.dtype:
        raise TypeError(f"out has the dtype of S, {like.dtype}, got {target.dtype}")
    if target.device != like.device:
        raise ValueError(f"out is on the device of S, {like.device}, got {target.device}")
    if not target.is_contiguous():
        raise ValueError(f"out is contiguous, got strides {target.stride()} for {shape}")
    if target.requires_grad:
        raise ValueError("out is written in place and cannot require a gradient")
    return target


def _reserve(out: np.memmap) -> None:
    """Take the room on the disk now: a write to a map beyond it would kill the process."""
    if out.filename is None or not hasattr(os, "posix_fallocate"):
        return
    descriptor = os.open(out.filename, os.O_RDWR)
    try:
        # of the whole file, of which `out` may be a part; what is written stays
        status, room = os.fstat(descriptor), os.fstatvfs(descriptor)
        size = status.st_size
        if size - 512 * status.st_blocks > room.f_bavail * room.f_frsize:
            # a reservation that fails half way may keep what it took, and leave the disk full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return  # a file system that cannot reserve
        reason = f"no room for a memory map of {size / 2**30:.3g} GiB"
        raise OSError(error.errno, f"{reason}: {error.strerror}", str(out.filename)) from error
    finally:
        os.close(descriptor)
