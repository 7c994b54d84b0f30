"""The truncated signature kernel: sums over all ways to pick tokens in order from two sequences.

F. J. Király and H. Oberhauser, Kernels for sequentially ordered data, JMLR 20 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from ntteach.rkhs.kernels import Kernel
from ntteach.rkhs.normalisation import normalised
from ntteach.rkhs.pairs import over_pairs, token_pairs
from ntteach.rkhs.pointwise import inner_products


@dataclass(frozen=True)
class Signature(Kernel):
    """Sums over increasing tuples of products of increments' inner products."""

    depth: int
    static: Kernel | None

    def __post_init__(self) -> None:
        if not isinstance(self.depth, Integral) or isinstance(self.depth, bool):
            raise TypeError(f"depth is a whole number, got {self.depth!r}")
        if self.depth < 1:
            raise ValueError(f"depth is at least 1, got {self.depth}")
        if self.static is not None and not isinstance(self.static, Kernel):
            raise TypeError(f"static is a kernel of tokens, got {type(self.static).__name__}")
        if self.static is not None and self.static.vector_valued:
            raise ValueError("static is a scalar kernel of tokens, got a vector-valued one")

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        return over_pairs(lambda S, T: self._sums(self._increments(S, T)), S, T)

    def _diagonal(self, S: Tensor) -> Tensor:
        if len(S) == 0:
            return S.new_empty(0)
        own = [self._increments(s, s)[0, 0] for s in S.split(1)]
        return self._sums(torch.stack(own))

    def _sums(self, increments: Tensor) -> Tensor:
        return sum_over_increasing_tuples(increments, self.depth)

    def _increments(self, S: Tensor, T: Tensor) -> Tensor:
        """`<dx_i, dy_j>` in the static kernel's space for each pair, `(N, N', L - 1, L' - 1)`."""
        if self.static is None:
            return token_pairs(inner_products, S.diff(dim=1), T.diff(dim=1))
        static = self.static

        def of_tokens(x: Tensor, y: Tensor) -> Tensor:
            return static(x[:, None], y[:, None])

        return token_pairs(of_tokens, S, T).diff(dim=-1).diff(dim=-2)


def signature(depth: int, *, static: Kernel | None = None, normalise: bool = False) -> Kernel:
    """The truncated signature kernel (Király and Oberhauser): for sequences of any length.

        k(S, S') = 1 + sum over m = 1 ... depth, i_1 < ... < i_m, j_1 < ... < j_m  of
                   prod_r <S_{i_r + 1} - S_{i_r}, S'_{j_r + 1} - S'_{j_r}>

    It is the inner product of two discrete signatures up to level `depth`. With a static kernel h
    the increments are those of its features, and the inner product is the second difference
    `h(s_{i+1}, s'_{j+1}) - h(s_i, s'_{j+1}) - h(s_{i+1}, s'_j) + h(s_i, s'_j)`.

    It sees increments alone: a sequence moved elsewhere (with a static kernel of differences or
    none) or with a token repeated in place is the same to it, so that repeating the last token
    pads a sequence. A sequence of one token has no increments, and k = 1. All sequences of one
    tensor have one length; S and S_other may differ in length.

    Args:
        depth: the most factors of a product, at least 1.
        static: a scalar kernel h, used on sequences of one token; inner products of tokens if None.
        normalise: divide by `sqrt(k(S, S) k(S', S'))`.

    Returns:
        A scalar kernel.

    Raises:
        ValueError: a depth below 1, a vector-valued static kernel.
        TypeError: a depth that is no whole number, `static` that is no kernel, `normalise` that is
            no bool.

    >>> S = torch.tensor([[[0.0], [1.0], [3.0]]])  # increments 1 and 2
    >>> signature(2)(S).tolist()  # 1 + (1 + 2)^2 + (1 * 2)^2
    [[14.0]]
    """
    if not isinstance(normalise, bool):
        raise TypeError(f"normalise is True or False, got {normalise!r}")
    kernel = Signature(depth, static)
    return normalised(kernel) if normalise else kernel


def sum_over_increasing_tuples(increments: Tensor, depth: int) -> Tensor:
    """`1 + sum over m, i_1 < ... < i_m, j_1 < ... < j_m of prod_r increments[i_r, j_r]`.

    Level m is `A_m[i, j] = increments[i, j] * sum_{i' < i, j' < j} A_{m-1}[i', j']`.

    Args:
        increments: `(..., n, n')`.
        depth: the largest m.

    Returns:
        `(...)`.
    """
    level = increments
    total = 1 + level.sum((-1, -2))
    for _ in range(depth - 1):
        # the last pair of a tuple of m is nowhere in the first m - 1 rows and columns
        increments = increments[..., 1:, 1:]
        if 0 in increments.shape[-2:]:
            break
        level = increments * level.cumsum(-1).cumsum(-2)[..., :-1, :-1]
        total = total + level.sum((-1, -2))
    return total
