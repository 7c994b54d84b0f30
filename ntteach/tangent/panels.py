"""Sums of products of Gram matrices, written panel by panel, each small enough to stay in cache.

A panel is some rows of tokens against more columns of tokens. Its Gram matrices and their sum live
in buffers that are used again and again, so that the kernel itself is written once and never read.
A Gram matrix over tokens that multiplies one over tokens and outputs has its columns repeated for
each output, so that the product runs along contiguous numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ntteach.tangent.features import Group, Sums, formed

# Numbers of one buffer, and rows of its matrix: on a CPU three of them stay in cache; a GPU wants
# large products.
_CPU_NUMBERS, _CPU_ROWS = 2**17, 256
_GPU_NUMBERS, _GPU_ROWS = 2**24, 4096


def write(
    out: Tensor,
    rows: Sequence[Group],
    columns: Sequence[Group],
    mirrored: Tensor | None = None,
) -> None:
    """Write a rectangle of the kernel.

    The panel with the first entry of `out` comes last.

    Args:
        out: `(tokens, u, tokens', u)`, of any strides.
        rows: groups that add up.
        columns: the same groups for the other tokens.
        mirrored: where the transpose goes, `(tokens', u, tokens, u)`, or None.
    """
    panel = _Panel(out, rows, columns)
    for r0, r1 in spans(0, out.shape[0], panel.rows):
        for c0, c1 in spans(0, out.shape[2], panel.columns):
            tile = panel.compute(r0, r1, c0, c1)
            if mirrored is not None:
                _put(mirrored, panel.transposed(tile), c0, r0)
            _put(out, tile, r0, c0)


def write_symmetric(out: Tensor, rows: Sequence[Group]) -> None:
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

    def __init__(self, out: Tensor, left: Sequence[Group], right: Sequence[Group]) -> None:
        rows, self.outputs, columns, _ = out.shape
        self.left, self.right = left, right
        # of a group, or of what it is combined to
        widest = max(self.outputs, *(group.outputs for group in left))
        on_cpu = out.device.type == "cpu"
        numbers, most = (_CPU_NUMBERS, _CPU_ROWS) if on_cpu else (_GPU_NUMBERS, _GPU_ROWS)
        # of each square on a symmetric kernel's diagonal one half is computed in vain
        most = most if rows * widest >= 16 * most else most // 2
        self.rows = _multiple(_length(left), most // widest, rows)
        # the square is part of one panel
        most_columns = max(self.rows, numbers // (self.rows * widest**2))
        self.columns = _multiple(_length(right), most_columns, columns)
        size = self.rows * self.columns * widest**2
        half, gram = self._sizes_for_sums()
        self._sum, self._product = out.new_empty(size), out.new_empty(size)
        self._gram, self._half = out.new_empty(max(size, gram)), out.new_empty(half)
        mixes = any(group.mixing is not None for group in left)
        self._unmixed = out.new_empty(size if mixes else 0)
        tokens = torch.arange(self.columns, device=out.device)
        self._places = {group.outputs: tokens.repeat_interleave(group.outputs) for group in left}

    def _sizes_for_sums(self) -> tuple[int, int]:
        """Numbers of `B (x x'^T)` and of `x x'^T` for the largest panel."""
        half = gram = 0
        for left, right in zip(self.left, self.right, strict=True):
            for t, other in zip(left.terms, right.terms, strict=True):
                if isinstance(t.Y, Sums) and isinstance(other.Y, Sums):
                    context = self.columns // other.Y.length * other.Y.x.shape[1]
                    half = max(half, self.rows * left.outputs * context)
                    gram = max(gram, self.rows // t.Y.length * t.Y.x.shape[1] * context)
        return half, gram

    def compute(self, r0: int, r1: int, c0: int, c1: int) -> Tensor:
        """The sum over groups; overwritten by the next call."""
        R, C, o = r1 - r0, c1 - c0, self.outputs
        rows, columns = slice(r0, r1), slice(c0, c1)
        total = _view(self._sum, R * o, C * o)
        for n, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            W = left.mixing
            if W is None:
                self._add(total, left, right, rows, columns, onto=n > 0)
                continue
            u = left.outputs
            k = _view(self._unmixed, R * u, C * u)
            self._add(k, left, right, rows, columns, onto=False)
            # W^T k W: first the outputs of the columns, then those of the rows
            half = _view(self._product, R * u * C, o)
            torch.mm(k.view(R * u * C, u), W, out=half)
            wide = total.view(R, o, C * o)
            wide.baddbmm_(W.mT.expand(R, o, u), half.view(R, u, C * o), beta=int(n > 0))
        return total

    def _add(
        self, tile: Tensor, left: Group, right: Group, rows: slice, columns: slice, *, onto: bool
    ) -> None:
        """Write the sum over a group's terms into a tile, or add it."""
        u = left.outputs
        for n, (t, other) in enumerate(zip(left.terms, right.terms, strict=True)):
            onto = onto or n > 0
            X, X_other = t.X[rows], other.X[columns]
            if t.Y is None or other.Y is None:
                self._add_alike(tile, X, X_other, u)
                continue
            product = _view(self._product, *tile.shape)
            if isinstance(t.Y, Sums) and isinstance(other.Y, Sums):
                self._multiply_sums(product, t.Y, other.Y, rows, columns)
            else:
                Y, Y_other = formed(t.Y)[rows], formed(other.Y)[columns]
                torch.mm(Y.flatten(0, 1), Y_other.flatten(0, 1).mT, out=product)
            gram = self._repeated(X, X_other, u).unsqueeze(1)  # (R, 1, C u)
            shape = (X.shape[0], u, tile.shape[1])
            if onto:
                tile.view(shape).addcmul_(product.view(shape), gram)
            else:
                torch.mul(product.view(shape), gram, out=tile.view(shape))

    def _multiply_sums(
        self, product: Tensor, Y: Sums, Y_other: Sums, rows: slice, columns: slice
    ) -> None:
        """`B (x x'^T) B'^T`, sequence by sequence."""
        B, x = _sequences(Y, rows)  # (r, L u, M), (r, M, b)
        B_other, x_other = _sequences(Y_other, columns)
        (r, n, M), (c, n_other, M_other) = B.shape, B_other.shape
        gram = _view(self._gram, r * M, c * M_other)
        torch.mm(x.flatten(0, 1), x_other.flatten(0, 1).mT, out=gram)
        half = self._half[: r * n * c * M_other].view(r, n, c * M_other)
        torch.bmm(B, gram.view(r, M, c * M_other), out=half)
        by_sequence = half.view(r * n, c, M_other).transpose(0, 1)
        out = product.view(r * n, c, n_other).transpose(0, 1)
        torch.bmm(by_sequence, B_other.mT, out=out)

    def _add_alike(self, tile: Tensor, X: Tensor, X_other: Tensor, u: int) -> None:
        """Add `<X_j, X'_j'> delta_cc'` to what is there: no panel begins with such a term."""
        R, C = X.shape[0], X_other.shape[0]
        if u == 1:
            torch.addmm(tile, X, X_other.mT, out=tile)
            return
        gram = _view(self._gram, R, C)
        torch.mm(X, X_other.mT, out=gram)
        tile.view(R, u, C, u).diagonal(dim1=1, dim2=3).add_(gram.unsqueeze(-1))

    def _repeated(self, X: Tensor, X_other: Tensor, u: int) -> Tensor:
        """`<X_j, X'_j'>` once for each output c' of the columns, `(R, C u)`."""
        R, C = X.shape[0], X_other.shape[0]
        gram = _view(self._gram, R, C)
        torch.mm(X, X_other.mT, out=gram)
        if u == 1:
            return gram
        wide = _view(self._gram[R * C :], R, C * u)
        return torch.index_select(gram, 1, self._places[u][: C * u], out=wide)

    def transposed(self, tile: Tensor) -> Tensor:
        """A contiguous copy of the transpose: a strided one into the kernel takes far longer."""
        return _view(self._product, *tile.mT.shape).copy_(tile.mT)


def _length(groups: Sequence[Group]) -> int:
    """How many tokens have to stay together: a sequence where there are sums, or one."""
    Ys = [t.Y for group in groups for t in group.terms]
    return max(Y.length if isinstance(Y, Sums) else 1 for Y in Ys)


def _multiple(unit: int, most: int, everything: int) -> int:
    return min(everything, max(1, most // unit) * unit)


def _sequences(Y: Sums, tokens: slice) -> tuple[Tensor, Tensor]:
    here = slice(tokens.start // Y.length, tokens.stop // Y.length)
    return Y.B[here], Y.x[here]


def _view(buffer: Tensor, rows: int, columns: int) -> Tensor:
    return buffer[: rows * columns].view(rows, columns)
