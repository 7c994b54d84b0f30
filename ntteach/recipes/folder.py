"""The folder of a run: made or found, held by one process, its checkpoint written whole."""

from __future__ import annotations

import fcntl
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ntteach.report.output import UserError, writable, write_whole

CHECKPOINT = "checkpoint.pt"
_FORMAT = "ntteach teach, 1"


@contextmanager
def held(name: str, *, resume: bool) -> Iterator[Path]:
    """The folder of a run, which no other process of ours holds meanwhile.

    Args:
        name: of the folder; made if it is missing.
        resume: whether a checkpoint is to be there; without, nothing may be there.

    Raises:
        UserError: a folder that is not as it should be, cannot be written, or is in use.
    """
    folder = Path(name)
    try:
        _look(folder, resume=resume)
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot write to the folder {name!r}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another `ntteach teach` is at work in {name!r}") from error
        except OSError:
            pass  # a file system that knows no locks
        _look(folder, resume=resume)  # what was there may have changed until it was ours
        # half-written files of a process that was killed; ours may get the same number
        for half in folder.glob(".ntteach-*.tmp"):
            half.unlink(missing_ok=True)
        writable(str(folder / CHECKPOINT))
        yield folder
    finally:
        os.close(lock)
        if new and not any(folder.iterdir()):
            folder.rmdir()


def save(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the checkpoint in the place of the one before."""
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, **content}, buffer)
    write_whole(folder / CHECKPOINT, buffer.getvalue())


def load(folder: Path) -> dict[str, Any]:
    """Read the checkpoint, onto the CPU; no code in it is run.

    Raises:
        UserError: it cannot be read, is damaged, or is something else.
    """
    path = folder / CHECKPOINT
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip() is not None:  # torch.load does not look at checksums
                raise ValueError
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except Exception as error:
        raise UserError(_damaged(path)) from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise UserError(f"{str(path)!r} is no checkpoint of `ntteach teach`, or of another version")
    return found


def damaged(folder: Path) -> UserError:
    """The error of a checkpoint whose contents do not fit."""
    return UserError(_damaged(folder / CHECKPOINT))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    write_whole(path, "".join(json.dumps(plain(row)) + "\n" for row in rows).encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """One JSON object."""
    write_whole(path, (json.dumps(plain(value), indent=2) + "\n").encode())


def plain(value: Any) -> Any:
    """The value as JSON can hold it: what is not finite becomes null.

    >>> plain({"loss": float("nan"), "sizes": (1, 2)})
    {'loss': None, 'sizes': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _look(folder: Path, *, resume: bool) -> None:
    name = str(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{name!r} is no folder: name another with --out")
    if resume and not (folder / CHECKPOINT).is_file():
        raise UserError(f"there is no {CHECKPOINT} in {name!r} to resume from")
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"the folder {name!r} is not empty: name another with --out, or go on with --resume"
        )


def _damaged(path: Path) -> str:
    return (
        f"{str(path)!r} is damaged, or no checkpoint of this recipe as it is now: start again in "
        f"another folder"
    )
