"""Plain text for terminals: width, marks, colour, wrapping, ranges of numbers."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from ntteach.claims import Outcome, Verdict

# Prose wider than this is hard to follow from line to line; tables may be wider.
PROSE = 100

# mark, the same mark in ASCII, colour; the word always stands beside the mark
_MARKS = {
    Verdict.VERIFIED: ("✓", "+", "green"),
    Verdict.CONDITIONAL: ("◇", "&", "cyan"),
    Verdict.SUPPORTED: ("~", "~", "cyan"),
    Verdict.UNDECIDED: ("?", "?", "yellow"),
    Verdict.NOT_RUN: ("-", "-", "dim"),
    Verdict.VACUOUS: ("∅", "0", "yellow"),
    Verdict.REFUTED: ("✗", "x", "red"),
    Outcome.SUPPORTS: ("✓", "+", "green"),
    Outcome.REFUTES: ("✗", "x", "red"),
    Outcome.SILENT: ("?", "?", "yellow"),
    Outcome.ERROR: ("!", "!", "red"),
    Outcome.NOT_RUN: ("-", "-", "dim"),
}
_MARKS_BY_WORD = {str(word): mark for word, mark in _MARKS.items()}
_ANSI = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass(frozen=True)
class Style:
    """What the output can show."""

    width: int = 80
    colour: bool = False
    unicode: bool = True

    def paint(self, text: str, *names: str) -> str:
        """The text in these colours, or as it is where there are none."""
        if not self.colour or not names:
            return text
        return f"\x1b[{';'.join(_ANSI[name] for name in names)}m{text}\x1b[0m"

    def mark(self, word: str) -> str:
        """The mark of a verdict or an outcome."""
        fancy, plain, _ = _MARKS_BY_WORD[str(word)]
        return fancy if self.unicode else plain

    def verdict(self, word: str | None, width: int = 0) -> str:
        """A mark and a word, padded before it is coloured; blank where nothing is judged."""
        if word is None:
            return " " * width
        return self.paint(f"{self.mark(word)} {word}".ljust(width), _MARKS_BY_WORD[str(word)][2])

    def wrap(self, text: str, indent: str = "", first: str | None = None) -> list[str]:
        """Lines of prose; `first` stands in for the indent of the first one."""
        return textwrap.wrap(
            " ".join(text.split()),
            max(min(self.width, PROSE), 30),
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )

    def shorten(self, text: str, width: int) -> str:
        """The text on one line, cut at a word if it is too long."""
        return textwrap.shorten(text, max(width, 12), placeholder=" …" if self.unicode else " ...")


def style_of(stream: TextIO) -> Style:
    """What this stream can show: 80 columns and no colour where it is no terminal."""
    terminal = stream.isatty()
    width = shutil.get_terminal_size((80, 24)).columns if terminal else 80
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    try:
        "✓∅└…".encode(getattr(stream, "encoding", None) or "utf-8")
        fancy = True
    except (UnicodeEncodeError, LookupError):
        fancy = False
    return Style(width=width, colour=terminal and not plain, unicode=fancy)


def ranges(numbers: Iterable[str]) -> str:
    """Equation numbers as a reader writes them.

    >>> ranges(["2", "7", "6", "8", "23"])
    '2, 6-8, 23'
    """
    runs: list[list[int]] = []
    for number in sorted({int(number) for number in numbers}):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def count(number: int, noun: str) -> str:
    """A number with its noun, which takes an s where it should."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seconds(duration: float) -> str:
    """A duration, as finely as a reader cares."""
    return f"{duration:.2f} s" if duration < 1 else f"{duration:.1f} s"


def printable(text: str) -> str:
    """The text without control characters, which terminals obey and XML forbids."""
    return re.sub(r"[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
