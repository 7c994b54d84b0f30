"""Laws on samples against time: what a schedule leaves out, and what tables say it saved.

Where a law supposes that time goes by samples, a hypothesis says so: nothing else is charged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Finding, Law
from ntteach.paper.evidence.reported_numbers import (
    Given,
    at_most,
    per_cent,
    positive,
    read,
    replayed,
    said,
)


def _recipe(x: Sequence[Any]) -> Any:
    """The share of all passes over samples: one full epoch, then a per cent of the data."""
    epochs, kept = x
    return (1 + (epochs - 1) * kept / 100) / epochs


def time_falls_as_samples_do(
    given: Given, arithmetic: Arithmetic, *, spreads: bool = True, times: str = "1"
) -> Finding:
    """The mean saving can be the share of samples left out, or `times` that.

    `x` holds epochs, per cent kept after the first epoch, then times of full and shorter runs.
    """
    numbers = read(given, arithmetic, spreads=spreads)
    share = _recipe(numbers.x[:2])
    pairs = numbers.pairs(2)
    most = sum(1 - numbers.between(j)[0] / numbers.between(i)[1] for i, j in pairs) / len(pairs)
    least = sum(1 - numbers.between(j)[1] / numbers.between(i)[0] for i, j in pairs) / len(pairs)
    left_out = arithmetic.number(times) * (1 - share)
    return Finding(
        (
            numbers.as_printed,
            positive([numbers.x[i] for i, _ in pairs], "times of full runs"),
            Hypothesis("some samples are left out", said(1 - share), share < 1),
        ),
        f"the mean saving reaches {per_cent(left_out, left_out)}",
        f"it is {per_cent(least, most)}",
        at_most(left_out, most),
    )


def time_per_sample_between(
    given: Given, arithmetic: Arithmetic, *, narrower: str = "0"
) -> Finding:
    """How much longer a sample took, in per cent, as a mean over runs; `x` as above."""
    numbers = read(given, arithmetic)
    low, high = (arithmetic.number(str(end)) for end in given["ends"])
    low, high = low + arithmetic.number(narrower), high - arithmetic.number(narrower)
    pairs = numbers.pairs(2)
    share = _recipe(numbers.x[:2])
    longer = 100 * (sum(numbers.x[j] / numbers.x[i] for i, j in pairs) / len(pairs) / share - 1)
    return Finding(
        (numbers.as_printed, positive(numbers.x, "times")),
        f"between {said(low)} and {said(high)} per cent longer",
        said(longer),
        at_most(low, longer) and at_most(longer, high),
    )


def _mean_ratio(given: Given, arithmetic: Arithmetic, first: Any, last: Any) -> Any:
    """The mean of ratios that rise, each for its interval, as a share.

    They rise along half a cosine, to 15 digits, with `given["cosine"]`, else in equal steps.
    """
    intervals = given["intervals"]
    steps = len(intervals) - 1
    rises = [
        arithmetic.number(f"{(1 - math.cos(math.pi * cycle / steps)) / 2:.15f}")
        if given.get("cosine")
        else cycle / arithmetic.number(str(steps))
        for cycle in range(steps + 1)
    ]
    ratios = (first + (last - first) * rise for rise in rises)
    return sum(w * r for w, r in zip(intervals, ratios, strict=True)) / sum(intervals) / 100


def _intervals(given: Given) -> Hypothesis:
    intervals = given["intervals"]
    fits = len(intervals) > 1 and min(intervals) >= 0 < sum(intervals)
    return Hypothesis("intervals in epochs", ", ".join(map(str, intervals)), fits)


def time_follows_the_ratio(
    given: Given, arithmetic: Arithmetic, *, turned: bool = False
) -> Finding:
    """A run on a share of the samples in every epoch takes that share of the full run's time.

    `x` holds the first and the last ratio in per cent, and the times of the full run and of the
    one with random selection, which scores nothing. `turned`: it takes longer.
    """
    numbers = read(given, arithmetic)
    first, last, *_ = numbers.x
    mean = _mean_ratio(given, arithmetic, first, last)
    least = numbers.between(3)[0] / numbers.between(2)[1]
    most = numbers.between(3)[1] / numbers.between(2)[0]
    return Finding(
        (numbers.as_printed, positive(numbers.x, "ratios and times"), _intervals(given)),
        f"{'more than ' if turned else 'at most '}{per_cent(mean, mean)} of the time",
        per_cent(least, most),
        not at_most(least, mean) if turned else at_most(least, mean),
    )


def full_epochs_between(given: Given, arithmetic: Arithmetic, *, narrower: str = "0") -> Finding:
    """The share of epochs on all data, in per cent, that makes samples and time agree; as above."""
    numbers = read(given, arithmetic)
    low, high = (arithmetic.number(str(end)) for end in given["ends"])
    low, high = low + arithmetic.number(narrower), high - arithmetic.number(narrower)
    first, last, full, taught = numbers.x
    mean = _mean_ratio(given, arithmetic, first, last)
    share = 100 * (taught / full - mean) / (1 - mean)
    return Finding(
        (numbers.as_printed, positive(numbers.x, "ratios and times"), _intervals(given)),
        f"between {said(low)} and {said(high)} per cent of the epochs",
        said(share),
        at_most(low, share) and at_most(share, high),
    )


def schedule(given: Given, epochs: int) -> tuple[int, list[int]]:
    """Epochs in a cycle, and of each cycle those on chosen samples, by the published rules.

    After one epoch on all data come `cycles` cycles of equal length; each begins with an interval
    of epochs on chosen samples, `first` for all or from `first` to `last` in equal steps, rounded
    down, and goes on with all data to its end.

    >>> schedule({"cycles": 10, "interval": [5, 10]}, 800)
    (79, [5, 5, 6, 6, 7, 7, 8, 8, 9, 10])
    """
    cycles, (first, last) = given["cycles"], given["interval"]
    steps = [first + (last - first) * cycle // (cycles - 1) for cycle in range(cycles)]
    return (epochs - 1) // cycles, steps


def schedule_cost(given: Given, arithmetic: Arithmetic, x: Sequence[Any]) -> Any:
    """What a run by the published rules costs, in epochs on all data.

    `x` holds the first and last ratio in per cent and the number of epochs. A pass that scores
    all samples costs `given["pass"]`, from 0 to 1 epochs; there are `given["passes"]` in each
    cycle, or one for each epoch on chosen samples if that is 0. With `given["cosine"]`, which
    takes floats, ratios rise along half a cosine, else in equal steps.
    """
    first, last, epochs = x
    cycle, intervals = schedule(given, int(epochs))
    steps = len(intervals) - 1
    rises = [
        (1 - math.cos(math.pi * c / steps)) / 2
        if given.get("cosine")
        else c / arithmetic.number(str(steps))
        for c in range(steps + 1)
    ]
    chosen = sum(
        w * (first + (last - first) * rise) / 100 for w, rise in zip(intervals, rises, strict=True)
    )
    passes = given["passes"] * len(intervals) or sum(intervals)
    on_all = 1 + sum(cycle - w for w in intervals)
    return on_all + chosen + passes * arithmetic.number(str(given["pass"]))


def _rules(given: Given, arithmetic: Arithmetic, epochs: Any) -> tuple[Hypothesis, ...]:
    cycle, intervals = schedule(given, int(epochs))
    price = arithmetic.number(str(given["pass"]))
    return (
        Hypothesis(
            "each interval fits into its cycle",
            f"{', '.join(map(str, intervals))} of {cycle} epochs",
            min(intervals) > 0 and max(intervals) <= cycle,
        ),
        Hypothesis("a scoring pass costs 0 to 1 epochs", said(price), 0 <= price <= 1),
    )


def schedule_reaches_the_saving(
    given: Given, arithmetic: Arithmetic, *, turned: bool = False
) -> Finding:
    """A run by the published rules saves what the table says, or more; `turned`, less.

    `x` holds first and last ratio, epochs, and the times of the full and the shorter run.
    """
    numbers = read(given, arithmetic)
    epochs = numbers.x[2]
    share = schedule_cost(given, arithmetic, numbers.x[:3]) / epochs
    printed = [numbers.between(4)[1 - side] / numbers.between(3)[side] for side in (0, 1)]
    longest = max(printed)
    return Finding(
        (numbers.as_printed, *_rules(given, arithmetic, epochs)),
        f"{'more than' if turned else 'at most'} {per_cent(*sorted(printed))} of the full run",
        per_cent(share, share),
        not at_most(share, longest) if turned else at_most(share, longest),
    )


def schedule_is_shorter(given: Given, arithmetic: Arithmetic, *, turned: bool = False) -> Finding:
    """A run by the published rules takes less of the full run than the table says; see above."""
    numbers = read(given, arithmetic)
    epochs = numbers.x[2]
    share = schedule_cost(given, arithmetic, numbers.x[:3]) / epochs
    printed = numbers.between(4)[0] / numbers.between(3)[1]
    return Finding(
        (numbers.as_printed, *_rules(given, arithmetic, epochs)),
        f"{'at least' if turned else 'less than'} {per_cent(printed, printed)} of the full run",
        per_cent(share, share),
        at_most(printed, share) if turned else not at_most(printed, share),
    )


def schedule_saves_at_most(given: Given, arithmetic: Arithmetic, *, less: str = "0") -> Finding:
    """A run by the published rules saves `given["most"]` per cent at most, less `less`."""
    numbers = read(given, arithmetic)
    epochs = numbers.x[2]
    most = arithmetic.number(str(given["most"])) - arithmetic.number(less)
    saved = 100 * (1 - schedule_cost(given, arithmetic, numbers.x[:3]) / epochs)
    return Finding(
        (numbers.as_printed, *_rules(given, arithmetic, epochs)),
        f"at most {said(most)} per cent",
        said(saved),
        at_most(saved, most),
    )


LAWS: Mapping[str, Law] = {
    "time falls as samples do": time_falls_as_samples_do,
    "time falls by a third of the samples": partial(time_falls_as_samples_do, times="1/3"),
    "time per sample between the ends": time_per_sample_between,
    "time per sample between the ends, narrower": partial(
        time_per_sample_between, narrower="1/100"
    ),
    "time per sample between the ends, much narrower": partial(
        time_per_sample_between, narrower="1/2"
    ),
    "time follows the ratio": time_follows_the_ratio,
    "time exceeds the ratio": partial(time_follows_the_ratio, turned=True),
    "full epochs between the ends": full_epochs_between,
    "full epochs between the ends, narrower": partial(full_epochs_between, narrower="1/10"),
    "full epochs between the ends, much narrower": partial(full_epochs_between, narrower="5"),
    "schedule reaches the saving": schedule_reaches_the_saving,
    "schedule misses the saving": partial(schedule_reaches_the_saving, turned=True),
    "schedule is shorter": schedule_is_shorter,
    "schedule is as long": partial(schedule_is_shorter, turned=True),
    "schedule saves at most": schedule_saves_at_most,
    "schedule saves at most, a hundredth less": partial(schedule_saves_at_most, less="1/100"),
}

replay_time_falls_as_samples_do = partial(replayed, time_falls_as_samples_do)
replay_time_follows_the_ratio = partial(replayed, time_follows_the_ratio)
replay_schedule_reaches_the_saving = partial(replayed, schedule_reaches_the_saving)
