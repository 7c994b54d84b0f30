"""A teacher's state in plain tensors and numbers: its checksum, its checks, its file."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FORMAT = "ntteach teacher, 1"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "told": dict,
    "tensors": dict,
    "numbers": dict,
    "checksum": int,
}


def seal(told: dict[str, Any], tensors: dict[str, Tensor | None], numbers: dict[str, Any]) -> dict:
    """Put a state together, as a copy on the CPU, with its checksum.

    Args:
        told: what the teacher was told; a state fits only a teacher that was told the same.
        tensors: what it remembers of the samples.
        numbers: everything else, as JSON could hold it.
    """
    copies = {
        name: None if t is None else t.detach().to("cpu", copy=True) for name, t in tensors.items()
    }
    sealed = {"format": FORMAT, "told": told, "tensors": copies, "numbers": numbers}
    return {**sealed, "checksum": _checksum(sealed)}


def opened(saved: Any, told: dict[str, Any], tensors: dict[str, tuple[torch.dtype, int | None]]):
    """The tensors and numbers of a state, once it is known to be whole and this teacher's.

    Args:
        saved: what `seal` returned, perhaps after a file.
        told: what this teacher was told.
        tensors: the dtype and length each tensor must have; a length of None is any.

    Raises:
        ValueError: saying what is wrong with it.
    """
    if not isinstance(saved, Mapping) or saved.get("format") != FORMAT:
        what = saved.get("format") if isinstance(saved, Mapping) else type(saved).__name__
        raise ValueError(f"this is no teacher's state: its format is {FORMAT!r}, got {what!r}")
    for name, kind in _KINDS.items():
        if not isinstance(saved.get(name), kind):
            raise ValueError(f"the teacher's state is damaged: {name!r} is missing or no {kind}")
    # before anything in it is compared: what is damaged may not even compare
    if _checksum_or_none(saved) != saved["checksum"]:
        raise ValueError("the teacher's state is damaged: its checksum does not fit its contents")
    for name, mine in told.items():
        theirs = saved["told"].get(name)
        if theirs != mine:
            raise ValueError(
                f"the state is another teacher's: it was told {name}={theirs!r}, "
                f"this one {name}={mine!r}"
            )
    for name, (dtype, length) in tensors.items():
        t = saved["tensors"].get(name)
        if t is None:
            continue
        if not isinstance(t, Tensor) or t.dtype != dtype or t.dim() != 1:
            raise ValueError(f"the teacher's state is damaged: {name!r} is no vector of {dtype}")
        if length is not None and len(t) != length:
            raise ValueError(
                f"the teacher's state is damaged: {name!r} has {len(t)} entries, not {length}"
            )
    return saved["tensors"], saved["numbers"]


def fingerprint(tensor: Tensor | None) -> int | None:
    """A checksum of a tensor's bytes, on the CPU.

    Example:
        >>> fingerprint(torch.tensor([1, 2])) == fingerprint(torch.tensor([1, 3]))
        False
    """
    if tensor is None:
        return None
    data: Any = tensor.contiguous().view(torch.uint8).numpy()
    return zlib.crc32(data)


def write(saved: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a state to a file: beside it first, then in its place, so that it is never half there.

    Raises:
        OSError: if it cannot be written; what was at the path is still there.
    """
    path = os.fspath(path)
    beside = f"{path}.{os.getpid()}.part"  # another process may be writing there too
    file = open(beside, "wb")  # noqa: SIM115 - what comes after it has to be undone
    try:
        with file:
            torch.save(saved, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def read(path: str | os.PathLike[str]) -> Any:
    """What `write` wrote.

    Raises:
        ValueError: if the file is not such a one, or damaged.
        OSError: if it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{os.fspath(path)} is no teacher's state, or damaged") from error


def _checksum_or_none(saved: Mapping[str, Any]) -> int | None:
    try:
        return _checksum(saved)
    except Exception:  # it holds what no state holds
        return None


def _checksum(saved: Mapping[str, Any]) -> int:
    plain = {name: saved[name] for name in ("format", "told", "numbers")}
    total = zlib.crc32(json.dumps(plain, sort_keys=True, default=str).encode())
    for name in sorted(saved["tensors"]):
        t = saved["tensors"][name]
        total = zlib.crc32(f"{name} {fingerprint(t)}".encode(), total)
    return total
