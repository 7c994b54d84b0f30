"""Laws on times in tables: which figure the time saved can be, and between what it lies.

A case holds a figure in per cent, then times two by two: of the full run and of the shorter one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Finding, Law
from ntteach.paper.evidence.reported_numbers import (
    Given,
    at_most,
    meets,
    per_cent,
    positive,
    read,
    replayed,
    said,
)

Times = Sequence[tuple[Any, Any]]


def mean(times: Times) -> Any:
    """The mean over runs of the share of the time that each saves."""
    return sum(1 - short / full for full, short in times) / len(times)


def total(times: Times) -> Any:
    """The share of the time of all runs together that is saved."""
    return 1 - sum(short for _, short in times) / sum(full for full, _ in times)


def speed_up(times: Times) -> Any:
    """The mean over runs of how much more the full run takes, as a share of the shorter one."""
    return sum(full / short - 1 for full, short in times) / len(times)


AVERAGES = {"mean": mean, "total": total}
_POINTWISE = AVERAGES | {"speed-up": speed_up}


def figure_is_a_saving(
    given: Given, arithmetic: Arithmetic, *, average: str = "any", spreads: bool = False
) -> Finding:
    """Some times that were rounded to those printed save the figure, up to its own rounding.

    A saving grows with the time of the full run and falls with the other, so it lies between its
    values at two corners. `average` is "mean" or "total" over all runs, or "any": one of these, or
    the saving of a "single" run. With `spreads` a time may be off by its plus-minus as well.
    """
    numbers = read(given, arithmetic, spreads=spreads)
    figure = tuple(end / 100 for end in numbers.between(0))
    low, high = (
        [(numbers.between(i)[1 - side], numbers.between(j)[side]) for i, j in numbers.pairs(1)]
        for side in (1, 0)
    )
    runs = range(len(low))
    readings = [(kind, tuple(runs)) for kind in AVERAGES if average in (kind, "any")]
    if average in ("any", "single"):
        readings += [("mean", (run,)) for run in runs]
    found = {
        (kind, chosen): tuple(AVERAGES[kind]([ends[i] for i in chosen]) for ends in (low, high))
        for kind, chosen in readings
    }
    (kind, chosen), nearest = min(
        found.items(), key=lambda one: max(one[1][0] - figure[1], figure[0] - one[1][1])
    )
    which = f"run {chosen[0] + 1}" if len(chosen) < len(low) else f"{kind} of all"
    return Finding(
        (numbers.as_printed, positive([pair[0] for pair in low], "times of full runs")),
        f"a saving of {per_cent(*figure)}",
        f"nearest, {which} of {len(low)}: {per_cent(*nearest)}",
        meets(figure, nearest),
    )


def saving_gives_the_figure(
    given: Given, arithmetic: Arithmetic, *, average: str = "any", spreads: bool = False
) -> Finding:
    """The saving of these times themselves, rounded as the figure is, is the figure."""
    numbers = read(given, arithmetic, spreads=spreads)
    low, high = numbers.between(0)
    times = [(numbers.x[i], numbers.x[j]) for i, j in numbers.pairs(1)]
    kinds = tuple(AVERAGES) if average == "any" else (average,)
    savings = [100 * _POINTWISE[kind](times) for kind in kinds]
    return Finding(
        (numbers.as_printed, positive(numbers.x, "times")),
        f"a saving of {said(low)} to {said(high)} per cent",
        " or ".join(map(said, savings)),
        any(at_most(low, saving) and at_most(saving, high) for saving in savings),
    )


def savings_lie_between(
    given: Given,
    arithmetic: Arithmetic,
    *,
    average: str = "each",
    narrower: str = "0",
    first: int = 0,
) -> Finding:
    """What is saved lies between `given["ends"]`, in per cent; each, the mean, or of the total.

    With `narrower` the ends are closer together by that at either side; times begin at `first`.
    """
    numbers = read(given, arithmetic)
    low, high = (arithmetic.number(str(end)) for end in given["ends"])
    low, high = low + arithmetic.number(narrower), high - arithmetic.number(narrower)
    times = [(numbers.x[i], numbers.x[j]) for i, j in numbers.pairs(first)]
    parts = [[one] for one in times] if average == "each" else [times]
    savings = [100 * AVERAGES["mean" if average == "each" else average](part) for part in parts]
    return Finding(
        (numbers.as_printed, positive(numbers.x, "times")),
        f"savings between {said(low)} and {said(high)} per cent",
        ", ".join(map(said, savings)),
        all(at_most(low, saving) and at_most(saving, high) for saving in savings),
    )


def figures_agree(given: Given, arithmetic: Arithmetic, *, apart: int = 0) -> Finding:
    """Two printed numbers may be one number, rounded twice; or are no more than `apart` apart."""
    numbers = read(given, arithmetic)
    one, other, *more = numbers.x
    off = abs(one - other)
    return Finding(
        (
            numbers.as_printed,
            Hypothesis("two figures", f"{said(one)}, {said(other)}", not more),
        ),
        f"they differ by {sum(numbers.reach) + apart} at most",
        f"they differ by {said(off)}",
        at_most(off, sum(numbers.reach) + apart),
    )


LAWS: dict[str, Law] = {
    "figures agree": figures_agree,
    "figures agree up to one": partial(figures_agree, apart=1),
    "figure is a saving": figure_is_a_saving,
    "figure is a single saving": partial(figure_is_a_saving, average="single"),
    "some saving gives the figure": saving_gives_the_figure,
    "speed-up gives the figure": partial(saving_gives_the_figure, average="speed-up"),
    "mean saving gives the figure, within spreads": partial(
        saving_gives_the_figure, average="mean", spreads=True
    ),
    "figure is the mean saving, within spreads": partial(
        figure_is_a_saving, average="mean", spreads=True
    ),
    "savings of runs between the ends": partial(savings_lie_between, first=1),
    "saving beside the figure between the ends": partial(
        savings_lie_between, average="mean", first=1
    ),
    "savings between the ends, two wider": partial(savings_lie_between, narrower="-2"),
}
for _kind in AVERAGES:
    LAWS |= {
        f"figure is the {_kind} saving": partial(figure_is_a_saving, average=_kind),
        f"{_kind} saving gives the figure": partial(saving_gives_the_figure, average=_kind),
    }
for _kind, _words in {"each": "savings", "mean": "mean saving", "total": "total saving"}.items():
    LAWS |= {
        f"{_words} between the ends{_narrower}": partial(
            savings_lie_between, average=_kind, narrower=_by
        )
        for _narrower, _by in {"": "0", ", narrower": "1/100", ", much narrower": "2/5"}.items()
    }

replay_figure_is_a_saving = partial(replayed, partial(figure_is_a_saving, average="any"))
replay_figure_is_the_mean_saving = partial(replayed, partial(figure_is_a_saving, average="mean"))
replay_savings_lie_between = partial(replayed, savings_lie_between)
replay_figures_agree = partial(replayed, figures_agree)
