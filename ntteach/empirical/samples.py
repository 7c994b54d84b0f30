"""What a module is called with: samples along axis 0 of each tensor, one sample at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Inputs = Tensor | Sequence[Any] | Mapping[str, Any]

# Handed to the module as they are. Anything else that is no tensor, a list or an array, may hold
# one entry per sample, and would be given whole to every sample.
_CONSTANTS = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Samples:
    """Arguments of a module for several samples.

    Args:
        tensors: each with samples along axis 0.
        places: where each tensor goes: a position or a keyword.
        constants: the arguments that are no tensors, by place.
        count: N.
    """

    tensors: tuple[Tensor, ...]
    places: tuple[int | str, ...]
    constants: Mapping[int | str, Any]
    count: int

    def part(self, which: slice) -> tuple[Tensor, ...]:
        """The tensors of some of the samples."""
        return tuple(x[which] for x in self.tensors)

    def call(self, one: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for one sample, with a batch axis of 1 in front."""
        batch = {place: x.unsqueeze(0) for place, x in zip(self.places, one, strict=True)}
        given = {**self.constants, **batch}
        positions = sorted(place for place in given if isinstance(place, int))
        keywords = {place: x for place, x in given.items() if isinstance(place, str)}
        return tuple(given[place] for place in positions), keywords

    def __str__(self) -> str:
        shapes = (
            f"{place}={tuple(x.shape[1:])}" if isinstance(place, str) else str(tuple(x.shape[1:]))
            for place, x in zip(self.places, self.tensors, strict=True)
        )
        return ", ".join(shapes)


def samples(inputs: Inputs, name: str = "inputs") -> Samples:
    """Read a tensor, a tuple of positional or a mapping of keyword arguments.

    Args:
        inputs: tensors with samples along axis 0; None, numbers, booleans and strings among them
            are the same for every sample.
        name: for messages.

    Raises:
        TypeError: something else, or a keyword that is no string.
        ValueError: no tensor, no sample, or tensors with different numbers of samples.

    >>> import torch
    >>> pairs = samples((torch.zeros(4, 2), torch.ones(4, 3)))
    >>> pairs.count, str(pairs)
    (4, '(2,), (3,)')
    """
    given: dict[int | str, Any] = {}
    if isinstance(inputs, Tensor):
        given[0] = inputs
    elif isinstance(inputs, Mapping):
        given.update(inputs)
        if not all(isinstance(key, str) for key in given):
            raise TypeError(f"{name} has keywords of the module as keys, got {list(given)}")
    elif isinstance(inputs, tuple | list):
        given.update(enumerate(inputs))
    else:
        raise TypeError(
            f"{name} is a tensor, a tuple or a mapping of tensors, got {type(inputs).__name__}"
        )
    tensors = {place: x.detach() for place, x in given.items() if isinstance(x, Tensor)}
    constants = {place: x for place, x in given.items() if not isinstance(x, Tensor)}
    for place, x in constants.items():
        if not isinstance(x, _CONSTANTS):
            raise TypeError(
                f"{name}[{place!r}] is a tensor with samples along axis 0, or a constant; "
                f"got {type(x).__name__}"
            )
    counts = {place: x.shape[0] if x.ndim else None for place, x in tensors.items()}
    if not counts:
        raise ValueError(f"{name} holds no tensor")
    if len(set(counts.values())) > 1 or None in counts.values():
        shapes = ", ".join(f"{place!r}: {tuple(x.shape)}" for place, x in tensors.items())
        raise ValueError(f"{name} have the samples along axis 0, as many in each; got {shapes}")
    count = next(iter(counts.values())) or 0
    if count == 0:
        raise ValueError(f"{name} hold at least one sample")
    return Samples(tuple(tensors.values()), tuple(tensors), constants, count)
