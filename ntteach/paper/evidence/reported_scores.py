"""Laws on scores in tables: gains quoted, gains made, and which of two rows is higher."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Finding, Law
from ntteach.paper.evidence.reported_numbers import (
    Given,
    at_most,
    meets,
    positive,
    read,
    replayed,
    said,
)
from ntteach.paper.evidence.reported_rows import cell


def _printed_spread(given: Given, i: int) -> Any:
    table, row, column = given["at"][i]
    return cell((table, row, column)).spread


def gains_agree(
    given: Given, arithmetic: Arithmetic, *, spreads: bool = False, slack: int = 0
) -> Finding:
    """Each quoted gain is one that scores can have made which were rounded to those printed.

    `x` holds gain, score before and score after, three by three. With `given["count"]`, just so
    many of them are; with `slack` a gain may be off by that.
    """
    numbers = read(given, arithmetic, spreads=spreads)
    off = []
    for i in range(0, len(numbers.x) - 2, 3):
        quoted, before, after = (numbers.between(j) for j in (i, i + 1, i + 2))
        gained = after[0] - before[1] - slack, after[1] - before[0] + slack
        off.append(not meets(quoted, gained))
    agreeing = off.count(False)
    expected = given.get("count", len(off))
    return Finding(
        (
            numbers.as_printed,
            Hypothesis("gains with their scores", str(len(off)), 3 * len(off) == len(numbers.x)),
        ),
        f"{expected} of {len(off)} quoted gains agree with the table",
        f"{agreeing} of {len(off)} do",
        agreeing == expected,
    )


def gains_round_to_quoted(given: Given, arithmetic: Arithmetic, *, most: int = 1) -> Finding:
    """Of these scores themselves, at most so many gains, rounded, are those quoted."""
    numbers = read(given, arithmetic)
    thirds = range(0, len(numbers.x), 3)
    gains = [numbers.x[i + 2] - numbers.x[i + 1] for i in thirds]
    agreeing = sum(
        at_most(numbers.between(i)[0], gain) and at_most(gain, numbers.between(i)[1])
        for i, gain in zip(thirds, gains, strict=True)
    )
    return Finding(
        (numbers.as_printed, Hypothesis("there are gains", str(len(gains)), bool(gains))),
        f"at most {most} of {len(gains)}",
        f"{agreeing} of {len(gains)}: {', '.join(map(said, gains))}",
        agreeing <= most,
    )


def first_is_higher(
    given: Given,
    arithmetic: Arithmetic,
    *,
    or_equal: bool = False,
    turned: bool = False,
    by: str = "0",
) -> Finding:
    """Of numbers two by two, the first is above the second; `turned`, below it.

    Rounding keeps the order of numbers: of two that are printed apart, the one that is printed
    higher is higher. With `or_equal` two that are alike are in order; with `by` the first has to
    be above by that.
    """
    numbers = read(given, arithmetic)
    bar = arithmetic.number(by)
    pairs = [(numbers.x[i], numbers.x[j]) for i, j in numbers.pairs()]
    ordered = [(b, a) if turned else (a, b) for a, b in pairs]
    right = [at_most(b + bar, a) if or_equal else not at_most(a, b + bar) for a, b in ordered]
    alike = all(numbers.reach[i] == numbers.reach[j] for i, j in numbers.pairs())
    return Finding(
        (
            numbers.as_printed,
            Hypothesis("both of a pair are rounded alike", f"{len(pairs)} pairs", alike),
        ),
        f"the first of each pair is {'below' if turned else 'above'} the second"
        f"{', or equal' if or_equal else ''}",
        ", ".join(f"{said(a)} and {said(b)}" for a, b in pairs),
        all(right),
    )


def as_many_rise(given: Given, arithmetic: Arithmetic, *, spreads: bool = False) -> Finding:
    """Of scores before and after, two by two, `given["count"]` rise; the others do not.

    With `spreads`, rise by more than the plus-minus of both together.
    """
    numbers = read(given, arithmetic)
    rises = [
        not at_most(
            numbers.x[j] - numbers.x[i],
            _printed_spread(given, i) + _printed_spread(given, j) if spreads else 0,
        )
        for i, j in numbers.pairs()
    ]
    return Finding(
        (numbers.as_printed, Hypothesis("there are scores", str(len(rises)), bool(rises))),
        f"{given['count']} of {len(rises)} rise",
        f"{sum(rises)} of {len(rises)} do",
        sum(rises) == given["count"],
    )


def figure_is_the_gain(
    given: Given, arithmetic: Arithmetic, *, relative: bool, exact: bool = False
) -> Finding:
    """A figure, a score before and a score after: the gain, or its per cent of the score before.

    Up to the rounding of all three; with `exact` up to that of the figure alone.
    """
    numbers = read(given, arithmetic)
    quoted = numbers.between(0)
    before, after = ((numbers.x[i],) * 2 if exact else numbers.between(i) for i in (1, 2))
    if relative:
        gain = (100 * (after[0] / before[1] - 1), 100 * (after[1] / before[0] - 1))
    else:
        gain = (after[0] - before[1], after[1] - before[0])
    tenths = (int(10 * gain[0] // 1), -int(-10 * gain[1] // 1))
    return Finding(
        (numbers.as_printed, positive(numbers.x[1:], "scores")),
        f"a gain of {said(quoted[0])} to {said(quoted[1])} {'per cent' if relative else 'points'}",
        f"between {tenths[0]} and {tenths[1]} tenths",
        meets(quoted, gain),
    )


def first_gain_is_largest(given: Given, arithmetic: Arithmetic, *, turned: bool = False) -> Finding:
    """Of scores before and after, two by two, the first rises most; `turned`, least."""
    numbers = read(given, arithmetic)
    first, *others = (numbers.x[j] - numbers.x[i] for i, j in numbers.pairs())
    return Finding(
        (numbers.as_printed, Hypothesis("there are others", str(len(others)), bool(others))),
        f"the first gain is the {'smallest' if turned else 'largest'}",
        f"{said(first)} beside {', '.join(map(said, others))}",
        all(not at_most(*((first, one) if not turned else (one, first))) for one in others),
    )


def most_is_lost_first(
    given: Given, arithmetic: Arithmetic, *, turned: bool = False, shares: int = 1
) -> Finding:
    """A score in full, part of the way down and at the end, three by three.

    The first part of the way costs at least what the second does; `turned`, less than one in
    `shares` of it.
    """
    numbers = read(given, arithmetic)
    losses = [
        (numbers.x[i] - numbers.x[i + 1], numbers.x[i + 1] - numbers.x[i + 2])
        for i in range(0, len(numbers.x), 3)
    ]
    right = [
        not at_most(second, shares * first) if turned else at_most(second, first)
        for first, second in losses
    ]
    return Finding(
        (
            numbers.as_printed,
            Hypothesis(
                "the score falls on the whole",
                ", ".join(said(first + second) for first, second in losses),
                all(first + second > 0 for first, second in losses),
            ),
        ),
        f"the first part of the way costs {'less' if turned else 'at least what the other does'}",
        ", ".join(f"{said(first)} and then {said(second)}" for first, second in losses),
        all(right),
    )


LAWS: Mapping[str, Law] = {
    "gains agree": gains_agree,
    "gains agree, within spreads": partial(gains_agree, spreads=True),
    "gains agree up to three": partial(gains_agree, slack=3),
    "at most one gain rounds to that quoted": gains_round_to_quoted,
    "no gain rounds to that quoted": partial(gains_round_to_quoted, most=0),
    "first is higher": first_is_higher,
    "first is no lower": partial(first_is_higher, or_equal=True),
    "first is lower": partial(first_is_higher, turned=True),
    "first is lower by ten": partial(first_is_higher, turned=True, by="10"),
    "first is higher by a point": partial(first_is_higher, by="1"),
    "as many rise": as_many_rise,
    "as many rise beyond spreads": partial(as_many_rise, spreads=True),
    "figure is the gain in points": partial(figure_is_the_gain, relative=False),
    "figure is the gain in per cent": partial(figure_is_the_gain, relative=True),
    "scores give the gain in points": partial(figure_is_the_gain, relative=False, exact=True),
    "scores give the gain in per cent": partial(figure_is_the_gain, relative=True, exact=True),
    "first gain is largest": first_gain_is_largest,
    "first gain is smallest": partial(first_gain_is_largest, turned=True),
    "most is lost first": most_is_lost_first,
    "most is lost last": partial(most_is_lost_first, turned=True),
    "most is lost last, ten times": partial(most_is_lost_first, turned=True, shares=10),
}

replay_gains_agree = partial(replayed, gains_agree)
replay_gains_agree_within_spreads = partial(replayed, partial(gains_agree, spreads=True))
replay_first_is_no_lower = partial(replayed, partial(first_is_higher, or_equal=True))
replay_figure_is_the_gain_in_per_cent = partial(
    replayed, partial(figure_is_the_gain, relative=True)
)
replay_most_is_lost_first = partial(replayed, most_is_lost_first)
