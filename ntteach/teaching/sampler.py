"""The sampler that hands a teacher's selection to a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor
from torch.utils.data import Sampler


class Source(Protocol):
    """What the ids come from: a teacher."""

    def remaining(self) -> Tensor:
        """The ids that are still to be taught in this epoch."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        ...


class TeachingSampler(Sampler[int]):
    """The ids of the current epoch that are still to be taught, in their order.

    Each `iter` is a fresh generator over what was left when it was made, so that a loader may ask
    twice, and an epoch that was broken off goes on where its last update was.
    """

    def __init__(self, teacher: Source) -> None:
        self.teacher = teacher

    def __len__(self) -> int:
        """How many samples are left in the epoch."""
        return len(self.teacher.remaining())

    def __iter__(self) -> Iterator[int]:
        """Go through them once."""
        return _walk(self.teacher.remaining())

    def set_epoch(self, epoch: int) -> None:
        """As `Teacher.set_epoch`: loaders that know of epochs call it here."""
        self.teacher.set_epoch(epoch)


def _walk(order: Tensor) -> Iterator[int]:
    # by pieces: a list of all ids would take eight times the tensor's memory
    for piece in order.split(65536):
        yield from piece.tolist()
