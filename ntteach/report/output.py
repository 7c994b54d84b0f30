"""Where reports go: standard output, a file written whole or not at all, a line of progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryFile

from ntteach.claims.runner import Progress
from ntteach.report.style import style_of


class UserError(Exception):
    """What was asked cannot be done; the message is one line that says why and what to do."""


def say(text: str) -> None:
    """Write to standard output; a reader who left early (`| head -1`) is no error."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        sys.stdout.write(text if not text or text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered would fail once more when the interpreter exits.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UserError(f"cannot write to standard output: {error.strerror}") from error


@contextmanager
def only_the_report_on_stdout() -> Iterator[None]:
    """Send whatever checks print, here and in worker processes, to standard error."""
    if sys.stderr is None:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def writable(file: str) -> Path:
    """The file as a path, after a trial that it can be written, so that no run is in vain.

    Raises:
        UserError: its folder is missing or cannot be written, or it is no regular file.
    """
    path = Path(os.path.realpath(file))
    try:
        if not file or (path.exists() and not path.is_file()):
            # Renaming onto /dev/null would replace the device.
            raise UserError(f"cannot write {file!r}: expected the name of a regular file")
        if not path.parent.is_dir():
            raise UserError(f"cannot write {file!r}: there is no folder {str(path.parent)!r}")
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"cannot write {file!r}: {error.strerror}") from error
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write the file beside its place and move it there, so that no reader sees half of it."""
    beside = path.with_name(f".ntteach-{os.getpid()}.tmp")
    try:
        with open(beside, "xb") as stream:
            stream.write(content)
        os.replace(beside, path)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def progress() -> Iterator[Progress | None]:
    """One line on standard error that is written over and over, if that is a terminal."""
    stream = sys.stderr
    if stream is None or not stream.isatty():
        yield None
        return

    width = style_of(stream).width

    def show(done: int, total: int, name: str) -> None:
        line = f"{done}/{total} {name}"[: width - 1]
        stream.write(f"\r\x1b[K{line}")
        stream.flush()

    try:
        yield show
    finally:
        stream.write("\r\x1b[K")
        stream.flush()
