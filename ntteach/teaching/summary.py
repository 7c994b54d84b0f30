"""What a teacher did, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ntteach.teaching.choice import Decision


@dataclass(frozen=True)
class Summary:
    """The smallest, median, mean and largest of a set of numbers."""

    smallest: float
    median: float
    mean: float
    largest: float


@dataclass(frozen=True)
class Report:
    """What was taught, how often, by which decisions, and what teaching cost.

    Attributes:
        samples: the size of the data.
        epochs: planned.
        epoch: the current one, -1 before the first.
        planned: samples in each epoch of the plan.
        taught: samples updated in each epoch so far.
        times: how many samples were taught in 0, 1, 2, ... epochs, the current one counted.
        score_ages: epochs since the samples' scores were recorded, of those that have one.
        unseen: samples without a score.
        infinite, nan: samples whose last score was infinite or NaN.
        decisions: every selection.
        updates: calls of `update`.
        update_seconds, selection_seconds: spent in `update` and in selections, on the host.
        bytes_per_sample: what the teacher holds, over the samples.
    """

    samples: int
    epochs: int
    epoch: int
    planned: tuple[int, ...]
    taught: tuple[int, ...]
    times: tuple[int, ...]
    score_ages: Summary | None
    unseen: int
    infinite: int
    nan: int
    decisions: tuple[Decision, ...]
    updates: int
    update_seconds: float
    selection_seconds: float
    bytes_per_sample: float

    @property
    def total_samples(self) -> int:
        """How many samples the plan teaches, repetitions counted."""
        return sum(self.planned)

    def __str__(self) -> str:
        """A few lines for people."""
        never = self.times[0] if self.times else 0
        lines = [
            f"{sum(self.taught)} of {self.total_samples} planned samples taught, "
            f"{len(self.taught)} of {self.epochs} epochs begun, {self.samples} samples",
            f"taught 0 times: {never}; most often: {len(self.times) - 1} times",
        ]
        if self.score_ages is not None:
            lines.append(
                f"age of scores in epochs: median {self.score_ages.median:g}, "
                f"largest {self.score_ages.largest:g}; unseen {self.unseen}, "
                f"infinite {self.infinite}, NaN {self.nan}"
            )
        for made in self.decisions[-1:]:
            strength = "" if made.strength is None else f", strength {made.strength:.2f}"
            lines.append(f"last selection: {made.taught} by {made.rule}{strength}")
            if made.reading is not None:
                lines.append(f"read from the scores: {made.reading.told()}")
        lines.append(
            f"overhead: {self.selection_seconds:.3f} s in {len(self.decisions)} selections, "
            f"{self.update_seconds:.3f} s in {self.updates} updates, "
            f"{self.bytes_per_sample:.1f} bytes a sample"
        )
        return "\n".join(lines)


def summary_of(values: Tensor) -> Summary | None:
    """The four numbers, or None of nothing.

    Example:
        >>> from torch import tensor
        >>> summary_of(tensor([1, 2, 6]))
        Summary(smallest=1.0, median=2.0, mean=3.0, largest=6.0)
    """
    if not len(values):
        return None
    numbers = values.double()
    return Summary(
        float(numbers.min()), float(numbers.median()), float(numbers.mean()), float(numbers.max())
    )
