"""What the default teacher reads from its scores, and how strongly it chooses then.

Two things can be read without a model of the data. Samples with scores far below the mean are
learned: teaching them changes little, and what a selection can gain is to leave them out for a
while. A sample whose score is above its own first one contradicts what was learned since; if such
samples mostly still do after they were taught, their labels are doubtful, and to choose them for
their scores would teach the noise. So the default teacher leaves out what is learned, does not tell
scores above the limit of learning apart, and teaches doubtful samples seldom. Where no score is far
below the mean it chooses by age alone, which is a shorter run on all data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ntteach.teaching.memory import LARGEST

SEEN = 65536  # scores that are read at most
LIMIT = 0.5  # of the mean score: what is below counts as learned, by how far it is below
RARELY = 0.1  # how often a doubtful sample is taught, against others
LASTING = (0.5, 0.75)  # shares of contradictions that outlast teaching: no doubt, full doubt
FEW = 20  # contradictions that say too little


@dataclass(frozen=True)
class Reading:
    """What was read at one selection.

    Attributes:
        mean: of the scores.
        learned: the share of the samples with scores below half the mean.
        contradicted: the share of the samples with scores above their first ones.
        lasting: of the samples that were contradicted at the selection before and have been taught
            since, the share that still is; None where there are too few to tell.
        doubt: from 0, choose by the scores, to 1, contradicted samples are taught a tenth as often.
        strength: how strongly the teacher chooses: the share of teaching that is withheld from
            samples for their scores; 0 is uniform, and towards 1 only the highest are taught.
    """

    mean: float
    learned: float
    contradicted: float
    lasting: float | None
    doubt: float
    strength: float

    def told(self) -> str:
        """In words, on one line."""
        lasting = "" if self.lasting is None else f" ({self.lasting:.0%} of it outlasts teaching)"
        return (
            f"learned {self.learned:.0%}, contradicted {self.contradicted:.0%}{lasting}, "
            f"so doubt {self.doubt:.2f}, strength {self.strength:.2f}"
        )


def read(
    scores: Tensor,
    first: Tensor,
    before: Tensor | None = None,
    taught: Tensor | None = None,
    doubt: float = 0.0,
) -> Reading:
    """Read what can be skipped, and what is in doubt.

    Args:
        scores: (N,), now; infinite and NaN ones are left out.
        first: (N,), the first score of each sample; infinite where there is none.
        before: (N,), the scores at the selection before.
        taught: (N,), which samples have been taught since then.
        doubt: of the reading before, kept where contradictions are too few.

    Example:
        >>> read(torch.tensor([0.0, 2.0, 2.0, 4.0]), torch.full((4,), 3.0)).told()
        'learned 25%, contradicted 25%, so doubt 0.00, strength 0.25'
    """
    if len(scores) > SEEN:
        # a sample of the samples tells as much
        places = torch.arange(SEEN) * len(scores) // SEEN
        scores, first = scores[places], first[places]
        before, taught = (None if t is None else t[places] for t in (before, taught))
    lasting = None
    if before is not None and taught is not None:
        contradicted = taught & (before > first) & before.isfinite()
        if int(contradicted.sum()) >= FEW:
            lasting = float((scores > first)[contradicted].double().mean())
            low, high = LASTING
            doubt = min(1.0, max(0.0, (lasting - low) / (high - low)))
    numbers = _known(scores)
    known, first = scores[numbers].double(), first[numbers].double()
    if not len(known):
        return Reading(math.nan, 0.0, 0.0, lasting, doubt, 0.0)
    above_least = known - min(0.0, float(known.min()))
    mean = float(above_least.mean())
    by = effective(known, first, doubt)
    most = float(by.max())
    return Reading(
        mean=float(known.mean()),
        learned=float((above_least < LIMIT * mean).double().mean()),
        contradicted=float((known > first).double().mean()),
        lasting=lasting,
        doubt=doubt,
        strength=max(0.0, 1 - float(by.mean()) / most) if most else 0.0,
    )


def effective(scores: Tensor, first: Tensor, doubt: float) -> Tensor:
    """What the default teacher chooses by: min(score, half the mean), less where in doubt.

    Scores that can be negative count from the least one.

    Args:
        scores: (N,), floating; infinite and NaN ones stay as they are.
        first: (N,), the first score of each sample.
        doubt: from 0 to 1; at 1 a contradicted sample has a tenth of the score.

    Example:
        >>> effective(torch.tensor([0.0, 1.0, 3.0, 4.0]), torch.full((4,), 3.5), doubt=0.5).tolist()
        [0.0, 1.0, 1.0, 0.550000011920929]
    """
    known = _known(scores)
    numbers = scores if bool(known.all()) else scores[known]
    if not len(numbers):
        return scores
    least = min(0.0, float(numbers.min()))
    limit = LIMIT * (float(numbers.mean(dtype=torch.float64)) - least)
    by = (scores - least if least else scores).clamp(max=limit)
    if doubt:
        by = torch.where(scores > first, by * (1 - (1 - RARELY) * doubt), by)
    return by if len(numbers) == len(scores) else torch.where(known, by, scores)


def _known(scores: Tensor) -> Tensor:
    """Which scores are numbers, and were recorded as they are."""
    return (scores < LARGEST) & (scores > -LARGEST)
