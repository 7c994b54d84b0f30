"""What the laws on printed numbers share: cases at places of tables, roundings, intervals.

A case has the places of its numbers, `given["at"]`, and the numbers, `given["x"]`: as printed, or
others that may have been rounded to what is printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ntteach.claims import Hypothesis, Replay
from ntteach.paper.evidence.arithmetic import EXACT, Arithmetic, Law
from ntteach.paper.evidence.reported_rows import Cell, cell

Given = Mapping[str, Any]
# Fractions are as exact as SymPy's rationals and a hundred times as fast.
RATIONAL = replace(EXACT, number=Fraction)


@dataclass(frozen=True)
class Numbers:
    """The numbers of a case, `x`, and how far each may be off what it stands for, `reach`."""

    x: list[Any]
    reach: list[Fraction]
    as_printed: Hypothesis

    def pairs(self, first: int = 0) -> list[tuple[int, int]]:
        """Places in `x`, two by two, from one on."""
        return list(pairwise(range(first, len(self.x))))[::2]

    def between(self, i: int) -> tuple[Any, Any]:
        """The least and the largest that number i may have been."""
        return self.x[i] - self.reach[i], self.x[i] + self.reach[i]


def read(given: Given, arithmetic: Arithmetic, *, spreads: bool = False) -> Numbers:
    """The numbers of a case; with `spreads` each may be off by its plus-minus as well."""
    cells = [cell((at[0], at[1], at[2])) for at in given["at"]]
    x = [arithmetic.number(str(number)) for number in given["x"]]
    reach = [_reach(one, spreads) for one in cells]
    near = len(x) == len(cells) and all(
        at_most(abs(number - one.value), width)
        for number, one, width in zip(x, cells, reach, strict=True)
    )
    kind = "spread" if spreads else "rounding"
    words = "; ".join(one.words for one in cells)
    return Numbers(x, reach, Hypothesis(f"numbers as printed, up to their {kind}", words, near))


def _reach(one: Cell, spreads: bool) -> Fraction:
    return one.half + one.spread if spreads else one.half


def positive(x: Sequence[Any], what: str) -> Hypothesis:
    """All of these are above zero."""
    return Hypothesis(f"{what} are above zero", f"the least is {said(min(x))}", min(x) > 0)


def at_most(x: Any, y: Any) -> bool:
    """Whether x <= y: exactly, or for floats up to rounding."""
    return bool(x <= y + (1e-9 if isinstance(x, float) or isinstance(y, float) else 0))


def meets(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two closed intervals have a point in common."""
    return at_most(one[0], other[1]) and at_most(other[0], one[1])


def said(x: Any) -> str:
    """A number for a reader; fractions stay fractions."""
    return f"{x:.6g}" if isinstance(x, float) else str(x)


def per_cent(low: Any, high: Any) -> str:
    """An interval of shares, rounded outwards to whole hundredths of one per cent."""
    below, above = int(10**4 * low // 1), -int(-(10**4) * high // 1)
    return f"{below} to {above} hundredths of one per cent"


def replayed(law: Law, given: Given) -> Replay:
    """The law on one case in exact arithmetic."""
    finding = law(given, RATIONAL)
    return Replay(
        RATIONAL.name, finding.hypotheses, finding.claimed, finding.found, not finding.holds
    )
