"""What the default teacher reads from its scores, and how strongly it chooses then."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SEEN = 65536  # scores that are read at most


@dataclass(frozen=True)
class Reading:
    """What was read at one selection.

    Attributes:
        spread: 1 - (mean score)^2 / mean(score^2), from 0 (all alike) towards 1.
        agreement: the rank correlation of the scores with those at the selection before, at least
            0; 0 before there are two.
        contradicted: the share of the sum of scores that is held by samples above the mean of the
            first scores, those which the learner gets wrong more than one that knows nothing.
        strength: how strongly the teacher chooses: 0 is uniform.
    """

    spread: float
    agreement: float
    contradicted: float
    strength: float

    def told(self) -> str:
        """In words, on one line."""
        return (
            f"spread {self.spread:.2f}, agreement {self.agreement:.2f}, "
            f"contradicted {self.contradicted:.2f}, so strength {self.strength:.2f}"
        )


def read(scores: Tensor, before: Tensor | None, first_mean: float | None) -> Reading:
    """Read whether choosing can pay.

    Args:
        scores: (N,), now; infinite and NaN ones are left out.
        before: (N,), at the selection before.
        first_mean: the mean of the first scores.
    """
    if len(scores) > SEEN:
        # a sample of the samples tells as much, and ranks take time
        places = torch.arange(SEEN) * len(scores) // SEEN
        scores, before = scores[places], None if before is None else before[places]
    known = scores.isfinite()
    values = scores[known].double()
    if len(values) < 2 or not float(values.square().mean()):
        return Reading(0.0, 0.0, 0.0, 0.0)
    spread = 1 - float(values.mean() ** 2 / values.square().mean())
    agreement = 0.0
    if before is not None:
        both = known & before.isfinite()
        agreement = max(0.0, rank_correlation(scores[both], before[both]))
    contradicted = 0.0
    if first_mean is not None and float(values.sum()) > 0:
        contradicted = float(values[values > first_mean].sum() / values.sum())
    strength = max(0.0, agreement * spread * (1 - contradicted))
    return Reading(spread, agreement, contradicted, strength)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's correlation of two vectors; ties have the order of their places.

    Example:
        >>> round(rank_correlation(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 1.0, 9.0])), 6)
        1.0
    """
    if len(a) < 2:
        return 0.0
    ranks = [x.argsort().argsort().double() for x in (a, b)]
    centred = [x - x.mean() for x in ranks]
    return float(centred[0] @ centred[1] / (centred[0].norm() * centred[1].norm()))
