"""Chunks of a kernel's rows: so many outputs of so many samples that their Jacobian fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

# Numbers that the Jacobian of one chunk may hold, and what its backward pass keeps: 128 MB in
# float32. Larger chunks repeat fewer backward passes: each chunk of rows meets all columns.
NUMBERS = 2**25


@dataclass(frozen=True)
class Block:
    """Some rows of the kernel: `samples` x `lead`.

    Args:
        samples: which samples.
        lead: which outputs of each.
    """

    samples: slice
    lead: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and outputs of each."""
        return (
            self.samples.stop - self.samples.start,
            self.lead.stop - self.lead.start,
        )


@dataclass(frozen=True)
class Rows:
    """How the N samples with `lead` x `width` outputs each are cut.

    An entry of the kernel sums over the last axis: over `width` outputs in a traced kernel, over
    the one otherwise.

    Args:
        count: N.
        lead: rows of the kernel for each sample.
        width: outputs that are summed in each row.
        samples: samples in a chunk.
        leads: rows of each in a chunk; less than `lead` only if `samples` is 1.
        widths: outputs that are summed at once; less than `width` only if `leads` is 1.
    """

    count: int
    lead: int
    width: int
    samples: int
    leads: int
    widths: int

    def blocks(self) -> Iterator[Block]:
        """All chunks, in the order of the rows."""
        for samples in _cut(self.count, self.samples):
            for lead in _cut(self.lead, self.leads):
                yield Block(samples, lead)

    def parts(self) -> Iterator[slice]:
        """Outputs that are summed at once."""
        return _cut(self.width, self.widths)

    def whole_samples(self) -> Rows:
        """The same with all outputs of a sample in one chunk."""
        return Rows(self.count, self.lead, self.width, self.samples, self.lead, self.width)


def rows(
    count: int, lead: int, width: int, cost: int, block_size: int | None, numbers: int = NUMBERS
) -> Rows:
    """Choose the chunks.

    Args:
        count: N.
        lead: rows of the kernel for each sample.
        width: outputs that are summed in each row.
        cost: numbers that one output needs: its gradient and what the backward pass keeps.
        block_size: samples in a chunk, with all their outputs; chosen by `numbers` if None.
        numbers: that a chunk may need.

    Raises:
        TypeError: a block size that is no whole number.
        ValueError: a block size below 1.

    >>> rows(10, 3, 2, cost=12, block_size=None, numbers=144)  # 12 outputs fit: two samples
    Rows(count=10, lead=3, width=2, samples=2, leads=3, widths=2)
    >>> rows(10, 3, 2, cost=12, block_size=None, numbers=12)  # a single output
    Rows(count=10, lead=3, width=2, samples=1, leads=1, widths=1)
    """
    if block_size is not None:
        if not isinstance(block_size, int) or isinstance(block_size, bool):
            raise TypeError(f"block_size is an int or None, got {block_size!r}")
        if block_size < 1:
            raise ValueError(f"block_size is at least 1 sample, got {block_size}")
        return Rows(count, lead, width, min(block_size, count), lead, width)
    # a chunk against a chunk is a block of the kernel, which has to fit as well
    outputs = max(1, min(numbers // max(cost, 1), math.isqrt(numbers)))
    samples = min(count, max(1, outputs // (lead * width)))
    leads = min(lead, max(1, outputs // width))
    return Rows(count, lead, width, samples, leads, min(width, outputs))


def _cut(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
