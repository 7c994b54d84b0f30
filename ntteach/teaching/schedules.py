"""How the share of taught samples, and the number of epochs between selections, change in a run.

A schedule is a function of the progress of the run, from 0 at its first selection to 1 at its last.
The same four serve ratios and intervals; `plan` rounds intervals down to whole epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A value for each progress in [0, 1]; made by `constant`, `incremental`, `cosine`, `step`."""

    kind: str
    start: float
    end: float
    stages: int = 0

    def __call__(self, progress: float) -> float:
        """The value at this progress.

        Raises:
            ValueError: if the progress is not in [0, 1].
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"the progress of a run lies in [0, 1], got {progress}")
        if self.start == self.end:
            return self.start  # which a sum of shares of it may miss by a rounding
        if self.kind == "cosine":
            share = (1 - math.cos(math.pi * progress)) / 2
        elif self.kind == "step":
            share = min(whole_part(progress * self.stages), self.stages - 1) / (self.stages - 1)
        else:
            share = progress
        # this form meets both ends exactly
        return (1 - share) * self.start + share * self.end


def constant(value: float) -> Schedule:
    """The same value throughout.

    Example:
        >>> constant(0.7)(0.5)
        0.7
    """
    return Schedule("constant", _number(value), _number(value))


def incremental(start: float, end: float) -> Schedule:
    """From start to end in a straight line: start + (end - start) p.

    The paper's "incremental" ratio and interval (Section 5, Table 3), as its published code has it.

    Example:
        >>> incremental(5, 50)(0.0), incremental(5, 50)(1.0)
        (5.0, 50.0)
    """
    return Schedule("incremental", _number(start), _number(end))


def cosine(start: float, end: float) -> Schedule:
    """From start to end along half a cosine: start + (end - start) (1 - cos(pi p)) / 2.

    The paper's "cosine" ratio (Table 3), as its published code has it.

    Example:
        >>> round(cosine(0.2, 0.8)(0.5), 12)
        0.5
    """
    return Schedule("cosine", _number(start), _number(end))


def step(start: float, end: float, stages: int) -> Schedule:
    """From start to end in equal stages, the first at start and the last at end.

    INT's ratio in ten stages, 0.2, 0.28, ..., 0.92, is `step(0.2, 0.92, 10)`.

    Raises:
        ValueError: for fewer than two stages.

    Example:
        >>> [round(step(0.2, 0.8, 4)(p), 12) for p in (0, 0.3, 0.6, 1)]
        [0.2, 0.4, 0.6, 0.8]
    """
    if isinstance(stages, bool) or not isinstance(stages, int) or stages < 2:
        raise ValueError(f"a step schedule has 2 stages or more, got stages={stages!r}")
    return Schedule("step", _number(start), _number(end), stages)


def whole_part(value: float) -> int:
    """The largest whole number up to this one, an error of rounding below the next forgiven.

    Example:
        >>> int(29 / 100 * 100), whole_part(29 / 100 * 100)
        (28, 29)
    """
    return math.floor(value + 1e-9)


def _number(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a schedule goes between finite numbers, got {value!r}")
    return float(value)
