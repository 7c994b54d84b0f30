"""What a check of a module found: data, and its two forms, text and JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LAWS = ("gradient", "closed-form", "equivariance", "repetition", "causality")
_WIDTH = 80


@dataclass(frozen=True)
class Law:
    """One law and how the module stands to it.

    Args:
        name: one of `LAWS`.
        decides: whether it counts for the verdict.
        holds: None where it does not apply.
        cases: how many comparisons were made.
        margin: the worst error over its bound; None where nothing was measured.
        detail: why, in a sentence.
        blind: what a pass cannot see.
        smallest: the smallest failing case as plain data; its "text" is for the reader.
    """

    name: str
    decides: bool
    holds: bool | None
    cases: int
    margin: float | None
    detail: str
    blind: str = ""
    smallest: Mapping[str, Any] | None = None

    @property
    def word(self) -> str:
        """The outcome as the report words it."""
        if self.holds is None:
            return "not applicable"
        if self.decides:
            return "holds" if self.holds else "fails"
        return f"{'holds' if self.holds else 'does not hold'} (not claimed)"


@dataclass(frozen=True)
class Report:
    """All laws of one module.

    Args:
        target: what was checked, as it was named.
        shape: how many sequences, their length, their width.
        dtype: the arithmetic, "float64" or "float32".
        seed: of everything that was drawn.
        laws: in the order of `LAWS`.
        called: how the module was called.
        notes: what else the reader should know.
    """

    target: str
    shape: tuple[int, int, int]
    dtype: str
    seed: int
    laws: tuple[Law, ...]
    called: str = "m(S)"
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every law that decides holds."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The laws that decide and fail."""
        return tuple(law.name for law in self.laws if law.decides and law.holds is False)

    def law(self, name: str) -> Law:
        """The law of this name."""
        return next(law for law in self.laws if law.name == name)

    def as_json(self) -> dict[str, Any]:
        """The report as the object that `ntteach check --json` writes."""
        return {
            "target": self.target,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "seed": self.seed,
            "laws": [
                {
                    "name": law.name,
                    "decides": law.decides,
                    "holds": law.holds,
                    "cases": law.cases,
                    "margin": _finite(law.margin),
                    "detail": law.detail,
                    "smallest": None if law.smallest is None else _plain(law.smallest),
                }
                for law in self.laws
            ],
            "verdict": "holds" if self.holds else "fails",
        }

    def text(self) -> str:
        """The report for a terminal of 80 columns."""
        n, length, d = self.shape
        lines = _wrap(self.target)
        lines += _wrap(
            f"{n} sequence{'s' if n > 1 else ''} of length {length} and width {d}, {self.dtype}, "
            f"seed {self.seed}; called as {self.called}",
            "  ",
        )
        for note in self.notes:
            lines += _wrap(f"note: {note}", "  ", "    ")
        lines.append("")
        for law in self.laws:
            lines.append(f"{law.name:<14}{law.word}")
            lines += _wrap(f"{_counted(law)}{law.detail}", "  ")
            if law.blind and law.holds:
                lines += _wrap(f"cannot see: {law.blind}", "  ")
        shown = [law for law in self.laws if law.smallest is not None]
        if shown:
            lines += ["", "smallest failing cases", ""]
        for law in shown:
            assert law.smallest is not None
            first, *rest = law.smallest["text"].split("\n")
            lines += _wrap(f"{law.name:<14}{first}", "", " " * 14)
            for line in rest:
                lines += _wrap(line, " " * 14, " " * 16)
        lines += ["", self._verdict()]
        return "\n".join(lines)

    def _verdict(self) -> str:
        deciding = [law.name for law in self.laws if law.decides and law.holds is not None]
        if self.failed:
            return f"fails: {', '.join(self.failed)}"
        return f"holds: {', '.join(deciding)}"


def _counted(law: Law) -> str:
    if not law.cases:
        return ""
    cases = f"{law.cases} comparison{'s' if law.cases > 1 else ''}"
    if law.margin is None or not math.isfinite(law.margin):
        return f"{cases}: "
    return f"{cases}, worst error {law.margin:.2g} times its bound: "


def _wrap(text: str, first: str = "", rest: str | None = None) -> list[str]:
    # a no-break space keeps a shape on one line
    for shape in ("(1, L, d)", "(L, d)"):
        text = text.replace(shape, shape.replace(" ", "\N{NO-BREAK SPACE}"))
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _finite(number: float | None) -> float | None:
    """JSON has no word for infinity."""
    return number if number is not None and math.isfinite(number) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _finite(value) if isinstance(value, float) else value
