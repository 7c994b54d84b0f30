"""How arms are compared: every rate tuned on seeds of its own, then paired differences."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from teaching_run import Store
from teaching_tasks import RATES, Task

TUNING = 100  # the first seed for tuning; the final ones begin at 0
TIMING = 200  # the first seed for seconds: rounds of all arms, one after the other
FACTOR = 1.6  # between neighbouring rates
WIDER = 3  # how often a grid is widened at its edges


@dataclass(frozen=True)
class Cell:
    """A task, who is compared on it, with how many seeds, and the grid of rates."""

    task: Task
    arms: tuple[str, ...]
    tuning: int
    final: int
    rates: tuple[float, ...] = RATES


class Late(Exception):
    """The time that was given is over; the runs made so far are stored."""


@dataclass(frozen=True)
class Clock:
    """Raises `Late` after a moment of `time.monotonic`."""

    end: float = math.inf

    def check(self) -> None:
        """Raises `Late` when it is time."""
        if time.monotonic() > self.end:
            raise Late


def better(task: Task, metric: float) -> float:
    """The metric with the sign that makes more of it better."""
    return -metric if task.metric == "nats" else metric


def tune(store: Store, cell: Cell, clock: Clock, *, make: bool = True) -> dict[str, float]:
    """The best rate of each arm by its mean over the tuning seeds.

    All arms have the same grid; where the best rate is at an edge of it, it is widened for that
    arm, `WIDER` times at most.

    Args:
        store: where runs are kept.
        cell: what is compared.
        clock: when to stop.
        make: whether to make runs that are missing; else arms without a whole grid are left out.
    """
    seeds = range(TUNING, TUNING + cell.tuning)
    for seed in seeds if make else ():
        for rate in cell.rates:
            for arm in _from(cell.arms, seed):
                clock.check()
                store.run(cell.task, arm, seed, rate)
    best: dict[str, float] = {}
    for arm in cell.arms:
        means = _means(store, cell, arm)
        if any(rate not in means for rate in cell.rates):
            continue
        for _ in range(WIDER):
            beyond = _beyond(means)
            if beyond is None:
                break
            if make:
                for seed in seeds:
                    clock.check()
                    store.run(cell.task, arm, seed, beyond)
            if beyond not in (means := _means(store, cell, arm)):
                break
        best[arm] = max(means, key=lambda rate: means[rate])
    return best


def final(store: Store, cell: Cell, rates: dict[str, float], clock: Clock, first: int = 0) -> None:
    """Runs every arm at its best rate on the final seeds from `first`, arms in turn."""
    for seed in range(first, first + cell.final):
        for arm in _from(tuple(rates), seed):
            clock.check()
            store.run(cell.task, arm, seed, rates[arm])


def paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Mean of a - b and the half width of its 95 % t-interval, and the standard deviation.

    >>> mean, half, sd = paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    >>> round(mean, 2), round(half, 2), round(sd, 2)
    (2.0, 2.48, 1.0)
    """
    from scipy.stats import t

    differences = [x - y for x, y in zip(a, b, strict=True)]
    n = len(differences)
    if n < 2:
        raise ValueError(f"{n} pairs; an interval needs at least 2")
    sd = statistics.stdev(differences)
    return statistics.fmean(differences), float(t.ppf(0.975, n - 1)) * sd / math.sqrt(n), sd


def pairs_needed(sd: float, difference: float, power: float = 0.8) -> int:
    """Seeds for which a paired t-test at 5 % finds a difference with the power that is asked for.

    The smallest n whose non-central t-distribution has that power.

    >>> pairs_needed(1.0, 1.0)
    10
    """
    from scipy.stats import nct, t

    n = 2
    while True:
        bound, shift = t.ppf(0.975, n - 1), difference / sd * math.sqrt(n)
        if 1 - nct.cdf(bound, n - 1, shift) + nct.cdf(-bound, n - 1, shift) >= power:
            return n
        n += 1


def _means(store: Store, cell: Cell, arm: str) -> dict[float, float]:
    """Mean over the tuning seeds of every rate that has all of them."""
    found: dict[float, dict[int, float]] = {}
    for run in store.of(cell.task.name, arm):
        if TUNING <= run["seed"] < TUNING + cell.tuning:
            found.setdefault(run["rate"], {})[run["seed"]] = better(cell.task, run["metric"])
    return {
        rate: statistics.fmean(values.values())
        for rate, values in sorted(found.items())
        if len(values) == cell.tuning
    }


def _beyond(means: dict[float, float]) -> float | None:
    """The rate to try next, if the best one is at an edge."""
    best, rates = max(means, key=lambda rate: means[rate]), sorted(means)
    if best == rates[0]:
        return float(f"{best / FACTOR:.2g}")
    if best == rates[-1]:
        return float(f"{best * FACTOR:.2g}")
    return None


def _from(arms: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The arms in turn, beginning with another one each time."""
    first = number % len(arms)
    return arms[first:] + arms[:first]
