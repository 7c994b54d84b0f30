"""A dataset whose items carry their ids, so that a loss finds its sample whoever loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

from torch.utils.data import Dataset, IterableDataset


class Indexed(Dataset):
    """A map-style dataset with the id of each item in front of it; made by `indexed`.

    Attributes are plain: whatever else the dataset offers is at `.dataset`. (A wrapper that looks
    unknown names up in what it wraps recurses without end while it is unpickled in a worker.)
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        i = self._checked(i)
        return _with_id(i, self.dataset[i])

    def __getitems__(self, ids: Sequence[int]) -> list[Any]:
        """The items of a whole batch, in one call where the dataset knows how."""
        ids = [self._checked(i) for i in ids]
        together = getattr(self.dataset, "__getitems__", None)
        items = [self.dataset[i] for i in ids] if together is None else together(ids)
        if len(items) != len(ids):
            raise ValueError(
                f"{type(self.dataset).__name__}.__getitems__ returned {len(items)} items for "
                f"{len(ids)} ids"
            )
        return [_with_id(i, item) for i, item in zip(ids, items, strict=True)]

    def _checked(self, i: int) -> int:
        # an id that counts from the end would be a second name of a sample
        if not 0 <= (i := index(i)) < len(self.dataset):
            raise IndexError(f"ids go from 0 to {len(self.dataset) - 1}, got {i}")
        return i


def indexed(dataset: Any) -> Indexed:
    """Let every item of a dataset carry its id, which a sampler alone cannot hand on.

    Ids travel in the batch, so that prefetching, workers and reordering cannot part a loss from
    its sample. Wrap last: an id is the position in the dataset that the teacher counts, so that
    it is `indexed(Subset(data, ...))`, not the other way round.

    Args:
        dataset: has `__len__` and `__getitem__` for 0, 1, ..., and `__getitems__` if it likes.
            The wrapper can be pickled if the dataset can.

    Returns:
        A dataset of the same length. A tuple becomes `(i, *item)` (a named one loses its names),
        a mapping `{**item, "sample_id": i}`, anything else `(i, item)`.

    Raises:
        TypeError: an iterable or streamed dataset, a mapping of datasets, or an object without
            length or items.
        ValueError: a dataset that is indexed already; on reading, a mapping that has a
            "sample_id" of its own.

    >>> indexed([("a", 0), ("b", 1)])[1]
    (1, 'b', 1)
    >>> indexed([{"text": "a"}])[0]
    {'text': 'a', 'sample_id': 0}
    """
    kind = type(dataset).__name__
    if isinstance(dataset, Indexed):
        raise ValueError("the dataset is indexed already")
    if isinstance(dataset, IterableDataset):
        raise TypeError(
            f"a teacher chooses samples by their position, got the iterable dataset {kind}: "
            f"expected one with __len__ and __getitem__"
        )
    if isinstance(dataset, Mapping):
        names = ", ".join(map(repr, list(dataset)[:4]))
        raise TypeError(f"expected one dataset, got a mapping {kind} with {names}: choose one")
    if missing := [name for name in ("__len__", "__getitem__") if not hasattr(type(dataset), name)]:
        raise TypeError(
            f"a dataset has __len__ and __getitem__, got {kind} without {' and '.join(missing)}"
        )
    return Indexed(dataset)


def _with_id(i: int, item: Any) -> Any:
    if isinstance(item, Mapping):
        if "sample_id" in item:
            raise ValueError(f'item {i} has a "sample_id" already: rename that column')
        return {**item, "sample_id": i}
    return (i, *item) if isinstance(item, tuple) else (i, item)
