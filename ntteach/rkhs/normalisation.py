"""Kernels of unit diagonal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ntteach.rkhs.kernels import Kernel


@dataclass(frozen=True)
class Normalised(Kernel):
    """`k(x, y) / sqrt(k(x, x) k(y, y))`, and 0 where k(x, x) or k(y, y) is."""

    kernel: Kernel

    def __post_init__(self) -> None:
        if self.kernel.vector_valued:
            raise ValueError("a scalar kernel can be normalised, got a vector-valued one")

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        K = self.kernel._values(S, T)
        if T is S:
            left = right = _inverse_roots(K.diagonal())
        else:
            left, right = (_inverse_roots(self.kernel._diagonal(x)) for x in (S, T))
        return K * (left[:, None] * right)

    def _diagonal(self, S: Tensor) -> Tensor:
        k = self.kernel._diagonal(S)
        return k * _inverse_roots(k).square()


def normalised(kernel: Kernel) -> Kernel:
    """The kernel `k(S, S') / sqrt(k(S, S) k(S', S'))`: the cosine of the angle in feature space.

    It is 0 where k(S, S) = 0, for such an S has no direction.

    Args:
        kernel: a scalar kernel k.

    Returns:
        A scalar kernel with diagonal 1 (or 0).

    Raises:
        ValueError: a vector-valued kernel.

    >>> from ntteach.rkhs import linear
    >>> normalised(linear())(torch.tensor([[[3.0]], [[-2.0]], [[0.0]]])).round(decimals=6).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return Normalised(kernel)


def _inverse_roots(k: Tensor) -> Tensor:
    """`k^(-1/2)`, and 0 without gradient where k is not positive."""
    positive = k > 0
    return torch.where(positive, k, 1.0).rsqrt() * positive
