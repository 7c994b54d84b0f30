"""The sampler that hands a teacher's selection to a DataLoader."""

from __future__ import annotations

import warnings
from collections.abc import Generator
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
        self._passes = 0
        self._length: int | None = None  # of the last pass, until there may be another

    def __len__(self) -> int:
        """How many samples the pass under way has in all; between passes, how many are left.

        Loops compare it with the batches they have counted, so that it must not shrink with them.
        It holds until the pass is broken off or the epoch is set.
        """
        return len(self.teacher.remaining()) if self._length is None else self._length

    def __iter__(self) -> Generator[int, None, None]:
        """Go through them once.

        Warns:
            RuntimeWarning: if nothing is left: the next epoch has not been set.
        """
        order = self.teacher.remaining()
        if not len(order):
            warnings.warn(
                "all samples of this epoch have been taught, so this pass is empty: call "
                "teacher.set_epoch(epoch) before each epoch",
                RuntimeWarning,
                stacklevel=2,
            )
        self._passes += 1
        self._length = len(order)
        return self._walk(order, self._passes)

    def set_epoch(self, epoch: int) -> None:
        """As `Teacher.set_epoch`: loaders that know of epochs call it here."""
        self.teacher.set_epoch(epoch)

    def end_pass(self) -> None:
        """Count what is left again; called where the epoch is set."""
        self._length = None

    def _walk(self, order: Tensor, number: int) -> Generator[int, None, None]:
        try:
            # by pieces: a list of all ids would take eight times the tensor's memory
            for piece in order.split(65536):
                yield from piece.tolist()
        except GeneratorExit:  # broken off
            if number == self._passes:
                self.end_pass()
            raise
