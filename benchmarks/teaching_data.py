"""What every task of `teaching.py` shares: data as tensors, and which samples repeat others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RATES = (0.0032, 0.005, 0.008, 0.0125, 0.02)  # the grid for every arm; widened at its edges
VERSION = "1"  # of the tasks: another one makes stored runs stale


@dataclass(frozen=True)
class Data:
    """Tensors in memory: `x (N, ...)`, `y (N,)` or `(N, L)`, and the same of the test set."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    def to(self, device: str) -> Data:
        """The same on another device."""
        there = (t.to(device) for t in (self.x, self.y, self.test_x, self.test_y))
        return Data(*there)


def name_of(learner: str, task: object, base: object, names: tuple[str, ...]) -> str:
    """How the store and the tables call a task: its learner, and what is not as in the base."""
    changed = [
        f"{name}={getattr(task, name):g}"
        for name in names
        if getattr(task, name) != getattr(base, name)
    ]
    return ",".join([learner, *changed])


def copies(samples: int, share: float, draw: torch.Generator) -> Tensor:
    """For each of N samples the one it shows: the first (1 - share) N themselves, others a copy.

    Copies are of the sample of rank k with probability proportional to 1 / k, as words are repeated
    in a text (Zipf).

    >>> copies(4, 0.0, torch.Generator()).tolist()
    [0, 1, 2, 3]
    """
    unique = round(samples * (1 - share))
    if unique == samples:
        return torch.arange(samples)
    weight = 1 / torch.arange(1, unique + 1)
    drawn = torch.multinomial(weight, samples - unique, replacement=True, generator=draw)
    return torch.cat([torch.arange(unique), drawn])
