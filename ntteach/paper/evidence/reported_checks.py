"""Checks of what is printed: exactly, and on numbers that round to what is printed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence import reported_costs, reported_savings, reported_scores
from ntteach.paper.evidence.arithmetic import FLOATS, Law
from ntteach.paper.evidence.reported_numbers import RATIONAL, Given
from ntteach.paper.evidence.reported_rows import Cell, cell

LAWS: dict[str, Law] = {
    **reported_savings.LAWS,
    **reported_scores.LAWS,
    **reported_costs.LAWS,
}


def exactly(
    claim: Claim,
    setting: Setting,
    *,
    law: str,
    cases: Sequence[Given],
    mutants: Sequence[str],
    corners: bool = False,
) -> Evidence:
    """A law on the printed numbers, in exact arithmetic.

    A pass guarantees each case. With `corners` it holds as well where each number is the least or
    the largest that rounds to what is printed: for a law on a quantity that grows or falls with
    each of its numbers, that is all numbers in between. The mutants are false neighbours.
    """
    known = [one for given in cases for one in _exact(given, corners)]
    finding = next((f for f in (LAWS[law](one, RATIONAL) for one in known) if not _holds(f)), None)
    last = LAWS[law](known[0], RATIONAL)
    return Evidence(
        Outcome.SUPPORTS if finding is None else Outcome.REFUTES,
        f"{RATIONAL.name}, {'every corner of the rounding' if corners else 'as printed'}",
        len(known),
        detail=f"as printed: {last.found}" if finding is None else f"not so: {finding.found}",
        mutants=tuple(
            Mutant(name, any(LAWS[name](one, RATIONAL).violated for one in known))
            for name in mutants
        ),
    )


def within_rounding(
    claim: Claim, setting: Setting, *, law: str, cases: Sequence[Given], mutants: Sequence[str]
) -> Evidence:
    """A law on random numbers that round to the printed ones, in floats.

    A pass guarantees the draws. Numbers stay a tenth of their rounding away from its ends, where
    two that are printed apart could meet. The mutants are false neighbours: some draw breaks each.
    """
    drawn = list(_draws(cases, setting))
    broken = next((f for f in (LAWS[law](one, FLOATS) for one in drawn) if not _holds(f)), None)
    return Evidence(
        Outcome.SUPPORTS if broken is None else Outcome.REFUTES,
        f"float64, {len(cases)} cases, numbers that round to those printed",
        len(drawn),
        detail="it holds for all" if broken is None else f"not so: {broken.found}",
        mutants=tuple(
            Mutant(name, any(LAWS[name](one, FLOATS).violated for one in drawn)) for name in mutants
        ),
    )


def never_within_rounding(
    claim: Claim,
    setting: Setting,
    *,
    law: str,
    cases: Sequence[Given],
    controls: Sequence[str],
    spreads: bool = False,
) -> Evidence:
    """No draw that rounds to the printed numbers meets a law; with `spreads`, within plus-minus.

    A refutation guarantees the draws; the stored case is the exact one. The mutants are controls:
    true laws on the same draws.
    """
    drawn = list(_draws(cases, setting, spreads=spreads))
    kept = sum(LAWS[law](one, FLOATS).violated for one in drawn)
    return Evidence(
        Outcome.REFUTES if kept == len(drawn) else Outcome.SUPPORTS,
        f"float64, numbers {'within the spreads of' if spreads else 'that round to'} those printed",
        len(drawn),
        detail=f"broken by {kept} of {len(drawn)} draws",
        mutants=tuple(
            Mutant(f"control: {name}", all(_holds(LAWS[name](one, FLOATS)) for one in drawn))
            for name in controls
        ),
    )


def somewhere(
    claim: Claim,
    setting: Setting,
    *,
    law: str,
    cases: Sequence[Given],
    controls: Sequence[str],
    spreads: bool = False,
) -> Evidence:
    """For each case some numbers meet a law, on a line from those printed to a corner.

    A case holds a figure and numbers two by two, whose first ones move alike, and second ones too.
    The corners are those of the rounding, or with `spreads` of the plus-minus. A pass guarantees
    one such point for each case. The controls are laws that no point on the lines meets.
    """
    lines = [list(_lines(given, spreads)) for given in cases]

    def met(name: str) -> list[int]:
        return [sum(_holds(LAWS[name](one, FLOATS)) for one in points) for points in lines]

    found = met(law)
    return Evidence(
        Outcome.SUPPORTS if all(found) else Outcome.REFUTES,
        f"float64, lines to the corners of the {'plus-minus' if spreads else 'rounding'}",
        sum(map(len, lines)),
        detail=f"met at {', '.join(map(str, found))} points",
        mutants=tuple(Mutant(f"control: {name}", not any(met(name))) for name in controls),
    )


def _holds(finding: Any) -> bool:
    return finding.holds and all(h.met for h in finding.hypotheses)


def _cells(given: Given) -> list[Cell]:
    return [cell((at[0], at[1], at[2])) for at in given["at"]]


def _exact(given: Given, corners: bool) -> Iterator[Given]:
    cells = _cells(given)
    yield {**given, "x": [str(one.value) for one in cells]}
    if corners:
        for sides in product(*((-1, 1) if one.half else (0,) for one in cells)):
            x = [one.value + side * one.half for one, side in zip(cells, sides, strict=True)]
            yield {**given, "x": list(map(str, x))}


def _draws(cases: Sequence[Given], setting: Setting, *, spreads: bool = False) -> Iterator[Given]:
    draw = random.Random(setting.seed)
    for given in cases:
        cells = _cells(given)
        for _ in range(setting.scaled(50, 1000)):
            x = [
                float(one.value)
                + draw.uniform(-0.9, 0.9) * float(one.half + (one.spread if spreads else 0))
                for one in cells
            ]
            yield {**given, "x": x}


def _lines(given: Given, spreads: bool) -> Iterator[Given]:
    figure, *cells = _cells(given)  # the figure that is looked for stays as it is printed
    steps = 250  # a figure with two decimals is not stepped over
    for sides in product((-1, 1), repeat=2):
        pairs = zip(cells, sides * (len(cells) // 2), strict=True)
        moves = [side * float(one.half + (one.spread if spreads else 0)) for one, side in pairs]
        for step in range(1, steps + 1):
            moved = [
                float(one.value) + by * step / steps for one, by in zip(cells, moves, strict=True)
            ]
            yield {**given, "x": [float(figure.value), *moved]}
