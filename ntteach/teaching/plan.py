"""What a run will teach, known before it starts: the samples of each epoch, and every step.

A run has a full first epoch or none, then cycles of a selection and some epochs on what it chose,
then full epochs at its end. All counts follow from the schedules, none from the scores, so that a
learning-rate schedule can end exactly where training ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ntteach.teaching.schedules import whole_part

FULL = -1  # the cycle of an epoch that teaches all samples


@dataclass(frozen=True)
class Plan:
    """The samples taught in each epoch, and the selection (cycle) that each epoch belongs to."""

    samples: int
    sizes: tuple[int, ...]
    cycles: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """How many epochs the run has."""
        return len(self.sizes)

    @property
    def total_samples(self) -> int:
        """How many samples the run teaches, repetitions counted."""
        return sum(self.sizes)

    def begins_cycle(self, epoch: int) -> bool:
        """Whether samples are selected before this epoch."""
        cycle = self.cycles[epoch]
        return cycle != FULL and (epoch == 0 or self.cycles[epoch - 1] != cycle)

    def total_steps(
        self, batch_size: int, grad_accum: int = 1, world_size: int = 1, drop_last: bool = False
    ) -> int:
        """How many optimizer steps the run takes.

        In each epoch a process gets ceil(n / (batch_size world_size)) batches, or the floor with
        `drop_last`, and steps once per `grad_accum` of them; a rest of fewer steps too.

        Args:
            batch_size: samples per batch and process.
            grad_accum: batches per step.
            world_size: processes.
            drop_last: whether an epoch's incomplete batch is left out.

        Raises:
            ValueError: if a number is not a whole number above 0.

        Example:
            >>> Plan(100, (100, 70, 70), (-1, 0, 0)).total_steps(32)
            10
        """
        for name, value in (
            ("batch_size", batch_size),
            ("grad_accum", grad_accum),
            ("world_size", world_size),
        ):
            whole(name, value)
        step = batch_size * world_size
        batches = (n // step if drop_last else -(-n // step) for n in self.sizes)
        return sum(-(-count // grad_accum) for count in batches)


def plan(
    samples: int,
    epochs: int,
    ratio: Callable[[float], float],
    every: Callable[[float], float],
    *,
    first: str = "full",
    final_full: int | float = 0,
) -> Plan:
    """Lay out a run.

    The stretch between the first epoch (if it is full) and the final full ones is cut into cycles:
    a cycle that begins at the share p of the stretch's epochs lasts floor(every(p)) epochs, the
    last as many as are left. Cycle c of C teaches round(ratio(c / (C - 1)) samples) of the samples,
    at least one; with one cycle the ratio is that of its start.

    Args:
        samples: the size N of the data.
        epochs: how many epochs, all kinds counted.
        ratio: the share of the samples in a cycle, in (0, 1].
        every: the epochs of a cycle, at least 1.
        first: "full" for a first epoch on all data, "score" to select before the first epoch.
        final_full: how many epochs at the end teach all data; a float below 1 is a share of epochs.

    Raises:
        ValueError: for a size, a count, a ratio or an interval that is out of range.

    Example:
        >>> from ntteach.teaching.schedules import constant
        >>> plan(10, 4, constant(0.7), constant(1), final_full=1).sizes
        (10, 7, 7, 10)
    """
    whole("samples", samples)
    whole("epochs", epochs)
    if first not in ("full", "score"):
        raise ValueError(f'first is "full" or "score", got {first!r}')
    begin = 1 if first == "full" else 0
    end = epochs - _final(final_full, epochs)
    if end < begin:
        raise ValueError(
            f"{epochs} epochs leave no room for a full first epoch and final_full={final_full}"
        )
    lengths = _lengths(end - begin, every)
    if not lengths:  # what goes unused is looked at all the same
        _share(ratio(0.0), 0)
        _lengths(1, every)
    sizes, cycles = [samples] * begin, [FULL] * begin
    for cycle, length in enumerate(lengths):
        share = _share(ratio(cycle / (len(lengths) - 1) if len(lengths) > 1 else 0.0), cycle)
        sizes += [max(1, math.floor(share * samples + 0.5))] * length
        cycles += [cycle] * length
    return Plan(
        samples,
        tuple(sizes + [samples] * (epochs - end)),
        tuple(cycles + [FULL] * (epochs - end)),
    )


def _share(value: float, cycle: int) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"a ratio lies in (0, 1], got {value} for selection {cycle}")
    return value


def _lengths(epochs: int, every: Callable[[float], float]) -> list[int]:
    """The epochs of each cycle."""
    lengths: list[int] = []
    done = 0
    while done < epochs:
        interval = every(done / (epochs - 1) if epochs > 1 else 0.0)
        if not 1 <= interval < math.inf:
            raise ValueError(f"an interval has 1 epoch or more, got {interval} at epoch {done}")
        lengths.append(min(whole_part(interval), epochs - done))
        done += lengths[-1]
    return lengths


def _final(final_full: int | float, epochs: int) -> int:
    if isinstance(final_full, float) and 0 <= final_full < 1:
        return math.floor(final_full * epochs + 0.5)
    if isinstance(final_full, bool) or not isinstance(final_full, int) or final_full < 0:
        raise ValueError(
            "final_full is a number of epochs or a share of them in [0, 1), as a float, "
            f"got {final_full!r}"
        )
    return final_full


def whole(name: str, value: int) -> None:
    """Refuse what is no whole number above 0.

    Raises:
        ValueError: with the name and the value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is a whole number above 0, got {value!r}")
