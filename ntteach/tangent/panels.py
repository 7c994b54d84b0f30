"""Sums of products of Gram matrices, written panel by panel, each small enough to stay in cache.

A panel is some rows of tokens against more columns of tokens. Its Gram matrices and their sum live
in buffers that are used again and again, so that the kernel itself is written once and never read.
Gram matrices over tokens are made with each column repeated once for each output: then every
elementwise step runs along contiguous numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ntteach.tangent.features import Term

# Numbers of one buffer, and rows of its matrix: on a CPU three of them stay in cache; a GPU wants
# large products.
_CPU_NUMBERS, _CPU_ROWS = 2**17, 256
_GPU_NUMBERS, _GPU_ROWS = 2**24, 4096


@dataclass(frozen=True)
class Side:
    """A term's features, laid out as rows of matrix products.

    Args:
        X: `(tokens, a)`.
        repeated: X with each token once for each output, `(tokens u, a)`.
        Y: `(tokens u, b)`, or `(u, b)` where it is the same for all tokens.
        alike: whether it is.
    """

    X: Tensor
    repeated: Tensor
    Y: Tensor
    alike: bool


def sides(group: Sequence[Term]) -> list[Side]:
    """The terms of one group of outputs, laid out."""
    return [_side(t) for t in group]


def _side(t: Term) -> Side:
    u = t.Y.shape[-2]
    repeated = t.X if u == 1 else t.X.repeat_interleave(u, 0)
    alike = t.Y.ndim == 2
    return Side(t.X, repeated, t.Y if alike else t.Y.flatten(0, 1), alike)


def write(
    out: Tensor, rows: list[Side], columns: list[Side], mirrored: Tensor | None = None
) -> None:
    """Write a rectangle of the kernel.

    The panel with the first entry of `out` comes last.

    Args:
        out: `(tokens, u, tokens', u)`, of any strides.
        rows: one side for each term.
        columns: the same terms for the other tokens.
        mirrored: where the transpose goes, `(tokens', u, tokens, u)`, or None.
    """
    panel = _Panel(out, rows, columns)
    for r0, r1 in spans(0, out.shape[0], panel.rows):
        for c0, c1 in spans(0, out.shape[2], panel.columns):
            tile = panel.compute(r0, r1, c0, c1)
            if mirrored is not None:
                _put(mirrored, panel.transposed(tile), c0, r0)
            _put(out, tile, r0, c0)


def write_symmetric(out: Tensor, rows: list[Side]) -> None:
    """Write a square of the kernel, tokens with themselves, of which one half is computed.

    The panel with the first entry of `out` comes last.
    """
    panel = _Panel(out, rows, rows)
    total, u = out.shape[:2]
    for r0, r1 in spans(0, total, panel.rows):
        for c0, c1 in spans(r0, total, panel.columns):
            tile = panel.compute(r0, r1, c0, c1)
            if c0 == r0:
                square = tile[:, : (r1 - r0) * u]
                # equal to the last bit, in whatever order the products were summed
                square.copy_(torch.maximum(square, square.mT))
            # beyond the square
            done = max(c0, r1) - c0
            if done < c1 - c0:
                _put(out, panel.transposed(tile[:, done * u :]), c0 + done, r0)
            _put(out, tile, r0, c0)


def _put(out: Tensor, tile: Tensor, r0: int, c0: int) -> None:
    u = out.shape[1]
    R, C = tile.shape[0] // u, tile.shape[1] // u
    out[r0 : r0 + R, :, c0 : c0 + C].copy_(tile.view(R, u, C, u))


def spans(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Spans of `size`, the first one last: an unfinished kernel lacks its beginning."""
    first = (start, min(start + size, stop))
    for begin in range(first[1], stop, size):
        yield begin, min(begin + size, stop)
    yield first


class _Panel:
    """Computes panels, `(R u, C u)` for R rows and C columns of tokens, in buffers of its own."""

    def __init__(self, out: Tensor, left: list[Side], right: list[Side]) -> None:
        rows, u, columns, _ = out.shape
        on_cpu = out.device.type == "cpu"
        numbers, most = (_CPU_NUMBERS, _CPU_ROWS) if on_cpu else (_GPU_NUMBERS, _GPU_ROWS)
        # of each square on a symmetric kernel's diagonal one half is computed in vain
        most = most if rows * u >= 16 * most else most // 2
        self.u, self.left, self.right = u, left, right
        self.rows = min(rows, max(1, most // u))
        # a square is part of the first panel
        self.columns = min(columns, max(self.rows, numbers // (self.rows * u * u)))
        size = self.rows * u * self.columns * u
        self._sum, self._product, self._gram = (out.new_empty(size) for _ in range(3))
        # the same for all tokens: <Y_c, Y_c'> for every row of a Gram matrix, repeated
        self._mixing = [
            (side.Y @ other.Y.mT).repeat(1, self.columns) if side.alike else None
            for side, other in zip(left, right, strict=True)
        ]

    def compute(self, r0: int, r1: int, c0: int, c1: int) -> Tensor:
        """The sum over terms of `<X, X'> <Y, Y'>`; the result is overwritten by the next call."""
        u, R, C = self.u, r1 - r0, c1 - c0
        tile = _view(self._sum, R * u, C * u)
        product = _view(self._product, R * u, C * u)
        gram = _view(self._gram, R, C * u)
        for n, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            mixing = self._mixing[n]
            X, X_other = left.X[r0:r1], right.repeated[c0 * u : c1 * u]
            if u == 1 and n == 0 and left.Y.shape[-1] == 1 and mixing is not None:
                torch.mm(X, X_other.mT, out=tile)
                continue
            torch.mm(X, X_other.mT, out=gram)
            if mixing is not None:
                factor = mixing[:, : C * u]
            else:
                torch.mm(left.Y[r0 * u : r1 * u], right.Y[c0 * u : c1 * u].mT, out=product)
                factor = product.view(R, u, C * u)
            total, wide = tile.view(R, u, C * u), gram.unsqueeze(1)
            if n == 0:
                torch.mul(factor, wide, out=total)
            else:
                total.addcmul_(factor, wide)
        return tile

    def transposed(self, tile: Tensor) -> Tensor:
        """A contiguous copy of the transpose: a strided one into the kernel takes far longer."""
        return _view(self._product, *tile.mT.shape).copy_(tile.mT)


def _view(buffer: Tensor, rows: int, columns: int) -> Tensor:
    return buffer[: rows * columns].view(rows, columns)
