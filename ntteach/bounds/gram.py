"""A Gram matrix that may enter a bound: symmetric, positive semi-definite, finite, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntteach.rkhs.definiteness import check_gram

# rounding of eigenvalues, in units of n epsilon
_ROUNDING = 16


@dataclass(frozen=True)
class Gram:
    """The Gram matrix of the outputs of N sequences of L elements with v outputs each.

    Args:
        matrix: `(n, n)`, n = N L v, symmetric to the last bit, float64, on the CPU.
        shape: of the outputs, such as `(N, L, v)`; its product is n.
        sequences: N.
        outputs: v, the outputs of one element.
        asymmetry: the largest `|K_ij - K_ji|` of what was given.
        precision: the relative rounding error of the arithmetic that the matrix came from.
    """

    matrix: Tensor
    shape: tuple[int, ...]
    sequences: int
    outputs: int
    asymmetry: float
    precision: float

    @property
    def n(self) -> int:
        """The number of outputs, the side of the matrix."""
        return self.matrix.shape[0]

    @property
    def elements(self) -> int:
        """N L, by which the paper averages: the side of the matrix over v."""
        return self.n // self.outputs

    @cached_property
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues `(n,)`, ascending, zero where they are rounding, and their vectors."""
        values, vectors = self._eigen
        return torch.where(values > self.rounding, values, 0.0), vectors

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue as it was computed, rounding included."""
        return self._eigen[0][0].item()

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.matrix)
        return values, vectors

    @cached_property
    def rounding(self) -> float:
        """Below this an eigenvalue cannot be told from zero."""
        return self.relative_rounding * _size(self.matrix)

    @property
    def relative_rounding(self) -> float:
        """What eigenvalues are off by, relative to the largest entry."""
        return _ROUNDING * self.n * self.precision

    @property
    def largest_entry(self) -> float:
        """`max_ij K_ij`, the smallest gamma that bounds the kernel."""
        return self.matrix.max().item()

    @cached_property
    def block_norm(self) -> float:
        """The largest eigenvalue among the v x v blocks of the diagonal; for v = 1 `max_i K_ii`."""
        blocks = self.matrix.unflatten(0, (-1, self.outputs)).unflatten(2, (-1, self.outputs))
        own = blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0)  # (N L, v, v)
        return torch.linalg.eigvalsh(own).max().item()

    def quadratic(self, g: Tensor) -> float:
        """`g^T K g`; zero where it cannot be told from zero."""
        found = (g @ (self.matrix @ g)).item()
        return found if found > self.rounding * (g @ g).item() else 0.0


def gram(kernel: Any, *, outputs: int = 1, name: str = "kernel") -> Gram:
    """Read and check a Gram matrix.

    Args:
        kernel: a tensor, an array or nested lists: `(n, n)`, `(N, L, N, L)` or
            `(N, L, v, N, L, v)`.
        outputs: v for a matrix `(n, n)`; its rows are read in C order, v of each element together.
        name: for messages.

    Raises:
        TypeError: not numbers.
        ValueError: another shape, NaN or inf, not symmetric, or an eigenvalue below zero by more
            than rounding.

    >>> K = gram([[2.0, 1.0], [1.0, 2.0]])
    >>> K.elements, K.largest_entry, K.quadratic(torch.tensor([1.0, -1.0], dtype=torch.float64))
    (2, 2.0, 2.0)
    """
    given = numbers(kernel, name)
    half = given.ndim // 2
    if given.ndim not in (2, 4, 6) or given.shape[:half] != given.shape[half:] or not given.numel():
        raise ValueError(
            f"{name} is (n, n), (N, L, N, L) or (N, L, v, N, L, v), got {tuple(given.shape)}"
        )
    shape = tuple(given.shape[:half])
    outputs = shape[-1] if half == 3 else outputs
    n = math.prod(shape)
    if type(outputs) is not int or outputs < 1 or n % outputs:
        raise ValueError(f"outputs divides the {n} rows of the {name}, got {outputs!r}")
    precision = torch.finfo(given.dtype).eps
    K = given.reshape(n, n)
    symmetric = check_gram(K, tolerance=_ROUNDING * n * precision, name=name).to(torch.float64)
    sequences = shape[0] if half > 1 else n // outputs
    return Gram(symmetric, shape, sequences, outputs, _size(K - K.mT), precision)


def numbers(given: Any, name: str) -> Tensor:
    """Finite floating-point numbers as a detached tensor on the CPU, in their own precision.

    Raises:
        TypeError: not numbers. ValueError: ragged lists, NaN or inf.
    """
    if not isinstance(given, Tensor):
        try:
            array = np.asarray(given)
        except ValueError as error:
            raise ValueError(f"{name} is an array of numbers, got ragged lists") from error
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} is an array of real numbers, got {type(given).__name__}")
        given = torch.as_tensor(np.array(array, dtype=_known(array.dtype)))
    if given.is_complex():
        raise TypeError(f"{name} is an array of real numbers, got {given.dtype}")
    found = given.detach().to("cpu")
    found = found if found.is_floating_point() else found.to(torch.float64)
    if not torch.isfinite(found).all():
        what = "NaN" if torch.isnan(found).any() else "inf"
        raise ValueError(f"{name} is finite, got {what}")
    return found


def vector(given: Any, K: Gram, name: str = "residual_gradient") -> Tensor:
    """One number for each output, flattened in C order, float64, `(n,)`.

    Raises:
        ValueError: another number of entries, in another shape than the outputs or a flat one, NaN
            or inf. TypeError: not numbers.
    """
    found = numbers(given, name)
    if tuple(found.shape) not in {K.shape, (K.n,)}:
        flat = "" if K.shape == (K.n,) else f" or ({K.n},)"
        raise ValueError(f"{name} has shape {K.shape}{flat}, got {tuple(found.shape)}")
    return found.reshape(K.n).to(torch.float64)


def positive(value: Any, name: str, *, infinite: bool = False) -> float:
    """A number above zero.

    Raises:
        TypeError: no number. ValueError: zero, below, NaN, or infinite where that is not allowed.
    """
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} is a number above 0, got {value!r}")
    found = float(value)
    if not found > 0 or (math.isinf(found) and not infinite):
        finite = "" if infinite else " and finite"
        raise ValueError(f"{name} is above 0{finite}, got {value!r}")
    return found


def _known(dtype: np.dtype) -> type:
    return np.float32 if dtype == np.float32 else np.float64


def _size(K: Tensor) -> float:
    return K.abs().max().item()
