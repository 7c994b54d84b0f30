"""What a teacher remembers of each sample: its score, and when and how often it was taught."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

NEVER = -1
LARGEST = torch.finfo(torch.float32).max
MOST_EPOCHS = torch.iinfo(torch.int16).max


def places(samples: int) -> torch.dtype:
    """The smallest dtype that holds the place of each of N samples and can index.

    Example:
        >>> places(1000)
        torch.int32
    """
    return torch.int32 if samples <= torch.iinfo(torch.int32).max else torch.int64


class Memory:
    """Scores (float32), epochs of teaching and scoring, and counts (int16) of N samples.

    8 bytes a sample, 10 once samples have been scored without being taught, or the reverse. A
    sample that was never scored has an infinite score; a recorded infinity is kept as the largest
    float32, so that the two differ.

    Args:
        samples: N.
        device: where scores and epochs live; None: on the CPU until the first scores come, then
            where those are.
    """

    def __init__(self, samples: int, device: torch.device | None) -> None:
        self.fixed = device is not None
        self.scores = torch.full((samples,), float("inf"), device=device)
        self.taught_at = torch.full((samples,), NEVER, dtype=torch.int16, device=device)
        self.scored_at: Tensor | None = None
        self.times = torch.zeros(samples, dtype=torch.int16)

    def write(self, ids: Tensor, scores: Tensor | None, epoch: int, *, taught: bool) -> None:
        """Record scores; one `index_copy_`, and an `index_fill_` for each epoch that is kept.

        Nothing waits for the device. A NaN is kept: it is counted and comes last in a selection.

        Args:
            ids: (n,), int64.
            scores: (n,), floating; None leaves the scores as they are.
            epoch: now.
            taught: whether the samples were taught, or only scored.

        Raises:
            ValueError: if an id is out of range, and nothing is written then (ids on a CUDA device
                are not looked at: the device asserts).
        """
        if ids.device.type == "cpu" and len(ids):
            # index_fill_ would take -1 for the last, and write before it finds a wrong one
            low, high = (int(bound) for bound in ids.aminmax())
            if low < 0 or high >= len(self.scores):
                raise ValueError(
                    f"ids lie between 0 and {len(self.scores) - 1}, got some from {low} to {high}"
                )
        if scores is not None and not self.fixed and scores.device != self.scores.device:
            self._move(scores.device)
        if self.scored_at is None and taught != (scores is not None):
            self.scored_at = self.taught_at.clone()  # until now the same
        # a copy towards the CPU that is not waited for may be read before it is there
        where = ids.to(self.scores.device, non_blocking=self.scores.device.type != "cpu")
        if taught:
            self.taught_at.index_fill_(0, where, epoch)
        if scores is not None:
            if self.scored_at is not None:
                self.scored_at.index_fill_(0, where, epoch)
            values = scores.detach().to(self.scores.device, torch.float32)
            self.scores.index_copy_(0, where, values.clamp(-LARGEST, LARGEST))

    def close(self, epoch: int) -> None:
        """Count the samples that were taught in an epoch; once, when it ends."""
        self.times += self.taught_at.cpu() == epoch

    def ages(self, epoch: int) -> Tensor:
        """(N,), int16, on the CPU: how many epochs ago a sample was taught; epoch + 1 if never."""
        return epoch - self.taught_at.cpu()

    def score_ages(self, epoch: int) -> Tensor:
        """(N,), int16, on the CPU: how many epochs ago a sample was scored; epoch + 1 if never."""
        return epoch - (self.taught_at if self.scored_at is None else self.scored_at).cpu()

    def bytes_per_sample(self) -> float:
        """The memory held, over N."""
        held = (self.scores, self.taught_at, self.scored_at, self.times)
        return sum(t.nbytes for t in held if t is not None) / len(self.scores)

    def restore(self, tensors: Mapping[str, Tensor | None]) -> None:
        """Take over the tensors of a state, by their names here."""
        for name in ("scores", "taught_at", "scored_at", "times"):
            t = tensors[name]
            device = self.times.device if name == "times" else self.scores.device
            setattr(self, name, None if t is None else t.to(device, copy=True))

    def _move(self, device: torch.device) -> None:
        self.scores = self.scores.to(device)
        self.taught_at = self.taught_at.to(device)
        if self.scored_at is not None:
            self.scored_at = self.scored_at.to(device)
