"""Kernels of two vectors: of sequences written in one row, or of the means of their tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, get_args

import torch
from torch import Tensor

from ntteach.rkhs.kernels import Kernel, check_positive

On = Literal["flat", "mean"]

# Distances at a time, few enough for a processor's cache.
ROOM = 1 << 16


@dataclass(frozen=True)
class Pointwise(Kernel):
    """A kernel of `x(S)`, which is S in one row ("flat") or the mean of its tokens ("mean")."""

    on: On

    def __post_init__(self) -> None:
        if self.on not in get_args(On):
            raise ValueError(f'on is "flat" or "mean", got {self.on!r}')

    def _vectors(self, S: Tensor, T: Tensor) -> tuple[Tensor, Tensor]:
        """x(S) and x(T), `(N, D)`; the same tensor for the same sequences."""
        if self.on == "flat" and S.shape[1] != T.shape[1]:
            raise ValueError(
                f'on="flat" takes sequences of one length, got {S.shape[1]} and {T.shape[1]}; '
                'on="mean" takes any'
            )
        x = S.flatten(1) if self.on == "flat" else S.mean(1)
        if T is S:
            return x, x
        return x, T.flatten(1) if self.on == "flat" else T.mean(1)


@dataclass(frozen=True)
class Polynomial(Pointwise):
    """`(<x, x'> + constant)^degree`."""

    degree: int
    constant: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.degree, Integral) or isinstance(self.degree, bool):
            raise TypeError(f"degree is a whole number, got {self.degree!r}")
        if self.degree < 1:
            raise ValueError(f"degree is at least 1, got {self.degree}")
        if not isinstance(self.constant, Real) or isinstance(self.constant, bool):
            raise TypeError(f"constant is a number, got {self.constant!r}")
        if not 0 <= float(self.constant) < math.inf:
            # (<x, y> - 1) is indefinite
            raise ValueError(f"constant is finite and not below 0, got {self.constant!r}")

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        return (inner_products(*self._vectors(S, T)) + float(self.constant)) ** self.degree


@dataclass(frozen=True)
class Gaussian(Pointwise):
    """`exp(-|x - x'|^2 / (2 width^2))`."""

    width: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("width", self.width)

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        return gaussian_exponents(squared_distances(*self._vectors(S, T)), self.width).exp()


@dataclass(frozen=True)
class Laplace(Pointwise):
    """`exp(-|x - x'| / width)`."""

    width: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("width", self.width)

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        squares = squared_distances(*self._vectors(S, T))
        equal = squares == 0
        # the root has no derivative at 0: it is taken of 1 there, and passes no gradient
        distances = torch.where(equal, 1.0, squares).sqrt()
        return torch.exp(-torch.where(equal, 0.0, distances) / _within(self.width, S.dtype))


def linear(*, on: On = "flat") -> Kernel:
    """The kernel `k(S, S') = <x(S), x(S')>`.

    Args:
        on: "flat", where x(S) is the sequence in one row, of one length for all; or "mean", where
            it is the mean of the tokens, for any lengths and blind to their order.

    Returns:
        A scalar kernel.

    Raises:
        ValueError: an unknown `on`.

    >>> linear()(torch.tensor([[[1.0], [2.0]], [[0.0], [3.0]]])).tolist()
    [[5.0, 6.0], [6.0, 9.0]]
    """
    return Polynomial(on, 1, 0.0)


def polynomial(degree: int, constant: float = 1.0, *, on: On = "flat") -> Kernel:
    """The kernel `k(S, S') = (<x(S), x(S')> + constant)^degree`.

    Args:
        degree: a whole number, at least 1.
        constant: at least 0.
        on: as for `linear`.

    Returns:
        A scalar kernel.

    Raises:
        ValueError: a degree below 1, a negative constant, an unknown `on`.
        TypeError: a degree that is no whole number.

    >>> polynomial(2)(torch.tensor([[[1.0], [2.0]]])).tolist()
    [[36.0]]
    """
    return Polynomial(on, degree, constant)


def gaussian(width: float, *, on: On = "flat") -> Kernel:
    """The kernel `k(S, S') = exp(-|x(S) - x(S')|^2 / (2 width^2))`.

    Args:
        width: positive, in the units of x.
        on: as for `linear`.

    Returns:
        A scalar kernel.

    Raises:
        ValueError: a width that is not positive, an unknown `on`.

    >>> gaussian(1.0, on="mean")(torch.tensor([[[1.0], [3.0]], [[2.0], [2.0]]])).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return Gaussian(on, width)


def laplace(width: float, *, on: On = "flat") -> Kernel:
    """The kernel `k(S, S') = exp(-|x(S) - x(S')| / width)`, of Euclidean distances.

    It has no derivative where `x(S) = x(S')`; autograd gives 0 there.

    Args:
        width: positive, in the units of x.
        on: as for `linear`.

    Returns:
        A scalar kernel.

    Raises:
        ValueError: a width that is not positive, an unknown `on`.

    >>> S = torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]]])
    >>> laplace(5.0)(S)[0, 1].log().item()
    -1.0
    """
    return Laplace(on, width)


def inner_products(x: Tensor, y: Tensor) -> Tensor:
    """`<x_n, y_m>` for rows of two matrices, `(N, M)`; symmetric to the last bit if y is x."""
    G = x @ y.mT
    return (G + G.mT) / 2 if y is x else G


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """`|x_n - y_m|^2` for rows of two matrices, `(N, M)`: exactly 0 for equal rows.

    From differences, not from inner products: those would leave a distance of the order of
    `sqrt(epsilon) |x|` between a vector and itself.
    """
    columns = y.mT.contiguous()
    rows = max(1, ROOM // max(1, len(y)))
    parts = [_sum_of_squares(part.mT, columns) for part in x.split(rows)]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def gaussian_exponents(squares: Tensor, width: float) -> Tensor:
    """`-squares / (2 width^2)`, also where `width^2` over- or underflows."""
    w = _within(width, squares.dtype)
    return -(squares / w) / (2 * w)


def _within(width: float, dtype: torch.dtype) -> float:
    """A width that the dtype can hold: one beyond would make 0 / 0 or inf / inf of equal tokens."""
    info = torch.finfo(dtype)
    return min(max(float(width), info.tiny), info.max / 2)


def _sum_of_squares(x: Tensor, y: Tensor) -> Tensor:
    """`sum_k (x_kn - y_km)^2`, one coordinate after the other: `(D, n)`, `(D, m)` to `(n, m)`."""
    total = (x[0, :, None] - y[0]).square()
    for a, b in zip(x[1:], y[1:], strict=True):
        total = total + (a[:, None] - b).square()
    return total
