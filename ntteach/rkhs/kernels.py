"""Kernels on sequences: what every kernel is, and what is made of several.

A kernel is a frozen object; `kernel(S, S_other)` is its Gram matrix. A scalar kernel gives
`K[n, n'] = k(S_n, S'_n')`; a vector-valued one gives blocks `K[n, :, n', :] = k(S_n, S'_n')`, each
`(o, o)`, and its functions have o outputs (Section 3.1, where the kernel is scalar).

All sequences of one tensor have one length. Nothing here looks at values: NaN goes through.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor


class Kernel(ABC):
    """A positive semi-definite kernel on sequences.

    Its laws: `k(S, S') = k(S', S)^T`, and every Gram matrix is positive semi-definite. Kernels are
    closed under `k + k'`, `a * k` for a > 0, and `k * k'` where at most one is vector-valued.
    """

    @property
    def outputs(self) -> int | None:
        """How many outputs a function has; 1 for a scalar kernel, None if the sequences tell."""
        return 1

    @property
    def vector_valued(self) -> bool:
        """Whether the Gram matrix has the axes of outputs, `(N, o, N', o)`; if not, `(N, N')`."""
        return False

    @abstractmethod
    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        """The Gram matrix of checked arguments; `T is S` if it is of S with itself."""

    def outputs_at(self, S: Tensor) -> int:
        """How many outputs a function has at sequences of this shape."""
        assert self.outputs is not None
        return self.outputs

    def __call__(self, S: Tensor, S_other: Tensor | None = None) -> Tensor:
        """The Gram matrix of the sequences S with S_other.

        Args:
            S: `(N, L, d)`.
            S_other: `(N', L', d)`; S itself if None, and then symmetric to the last bit.

        Returns:
            `(N, N')` for a scalar kernel, `(N, o, N', o)` for a vector-valued one.

        Raises:
            ValueError: shapes that do not fit, sequences or tokens without elements, two devices.
            TypeError: no floating-point tensors, or two dtypes.
        """
        check_sequences("S", S)
        if S_other is None:
            return self._values(S, S)
        check_sequences("S_other", S_other)
        check_alike({"S": S, "S_other": S_other})
        if S.shape[2] != S_other.shape[2]:
            raise ValueError(
                f"tokens have one width, got S {tuple(S.shape)} and S_other {tuple(S_other.shape)}"
            )
        return self._values(S, S_other)

    def gram(self, S: Tensor, S_other: Tensor | None = None) -> Tensor:
        """The same as a matrix `(N o, N' o)`, rows and columns in C order; arguments as a call."""
        K = self(S, S_other)
        return K if K.ndim == 2 else K.flatten(2).flatten(0, 1)

    def diagonal(self, S: Tensor) -> Tensor:
        """k(S_n, S_n) for each sequence: `(N,)`, or `(N, o, o)` if vector-valued."""
        check_sequences("S", S)
        return self._diagonal(S)

    def _diagonal(self, S: Tensor) -> Tensor:
        if len(S) == 0:
            o = self.outputs_at(S)
            return S.new_empty((0, o, o) if self.vector_valued else (0,))
        blocks = [self._values(S[n : n + 1], S[n : n + 1]) for n in range(len(S))]
        if self.vector_valued:
            return torch.stack([block[0, :, 0, :] for block in blocks])
        return torch.cat([block.flatten() for block in blocks])

    def __add__(self, other: Kernel) -> Kernel:
        return Sum(self, other) if isinstance(other, Kernel) else NotImplemented

    def __mul__(self, other: Kernel | float) -> Kernel:
        if isinstance(other, Kernel):
            return Product(self, other)
        return Scaled(self, other) if isinstance(other, Real) else NotImplemented

    def __rmul__(self, other: float) -> Kernel:
        return Scaled(self, other) if isinstance(other, Real) else NotImplemented


@dataclass(frozen=True)
class Sum(Kernel):
    """`k + k'`, of kernels with the same outputs."""

    left: Kernel
    right: Kernel

    def __post_init__(self) -> None:
        a, b = self.left, self.right
        known = {k.outputs for k in (a, b)} - {None}
        if a.vector_valued != b.vector_valued or len(known) > 1:
            raise ValueError(
                f"summands have the same outputs, got {_described(a)} and {_described(b)}"
            )

    @property
    def outputs(self) -> int | None:
        """Those of the summands."""
        return self.right.outputs if self.left.outputs is None else self.left.outputs

    @property
    def vector_valued(self) -> bool:
        """As the summands are."""
        return self.left.vector_valued

    def outputs_at(self, S: Tensor) -> int:
        """Those of the summands."""
        o, other = self.left.outputs_at(S), self.right.outputs_at(S)
        if o != other:
            raise ValueError(f"summands have the same outputs, got {o} and {other}")
        return o

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        self.outputs_at(S)
        return self.left._values(S, T) + self.right._values(S, T)

    def _diagonal(self, S: Tensor) -> Tensor:
        self.outputs_at(S)
        return self.left._diagonal(S) + self.right._diagonal(S)


@dataclass(frozen=True)
class Product(Kernel):
    """`k k'`, where at most one is vector-valued: each of its blocks times a number (Schur)."""

    left: Kernel
    right: Kernel

    def __post_init__(self) -> None:
        if self.left.vector_valued and self.right.vector_valued:
            raise ValueError(
                "at most one factor is vector-valued, got "
                f"{_described(self.left)} and {_described(self.right)}"
            )

    @property
    def _leading(self) -> Kernel:
        return self.right if self.right.vector_valued else self.left

    @property
    def outputs(self) -> int | None:
        """Those of the vector-valued factor, if there is one."""
        return self._leading.outputs

    @property
    def vector_valued(self) -> bool:
        """Whether one of the factors is."""
        return self._leading.vector_valued

    def outputs_at(self, S: Tensor) -> int:
        """Those of the vector-valued factor, if there is one."""
        return self._leading.outputs_at(S)

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        a, b = (_with_axes(k._values(S, T), self.vector_valued, 1) for k in self._factors)
        return a * b

    def _diagonal(self, S: Tensor) -> Tensor:
        a, b = (_with_axes(k._diagonal(S), self.vector_valued, 0) for k in self._factors)
        return a * b

    @property
    def _factors(self) -> tuple[Kernel, Kernel]:
        return self.left, self.right


@dataclass(frozen=True)
class Scaled(Kernel):
    """`a k` for a number a > 0."""

    kernel: Kernel
    factor: float

    def __post_init__(self) -> None:
        check_positive("a factor of a kernel", self.factor)

    @property
    def outputs(self) -> int | None:
        """Those of the kernel."""
        return self.kernel.outputs

    @property
    def vector_valued(self) -> bool:
        """As the kernel is."""
        return self.kernel.vector_valued

    def outputs_at(self, S: Tensor) -> int:
        """Those of the kernel."""
        return self.kernel.outputs_at(S)

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        return float(self.factor) * self.kernel._values(S, T)

    def _diagonal(self, S: Tensor) -> Tensor:
        return float(self.factor) * self.kernel._diagonal(S)


def _with_axes(K: Tensor, vector_valued: bool, between: int) -> Tensor:
    """Numbers k(S_n, S'_n') with axes of outputs of length one, where blocks are expected."""
    if not vector_valued or K.ndim > 1 + between:
        return K
    return K[:, None, :, None] if between else K[:, None, None]


def _described(kernel: Kernel) -> str:
    if not kernel.vector_valued:
        return "a scalar kernel"
    return f"a vector-valued one with {kernel.outputs or 'the sequences deciding how many'} outputs"


def check_sequences(name: str, S: object) -> None:
    """Raise unless S is a batch of sequences `(N, L, d)` of floating-point tokens."""
    if not isinstance(S, Tensor):
        raise TypeError(f"{name} is a tensor, got {type(S).__name__}")
    if not S.is_floating_point():
        raise TypeError(f"{name} is floating point, got {S.dtype}")
    if S.ndim != 3 or min(S.shape[1:]) < 1:
        raise ValueError(f"{name} is (N, L, d) with L and d at least 1, got {tuple(S.shape)}")


def check_alike(tensors: dict[str, Tensor]) -> None:
    """Raise unless all tensors have one dtype and lie on one device."""
    if len({x.dtype for x in tensors.values()}) > 1:
        given = ", ".join(f"{name} {x.dtype}" for name, x in tensors.items())
        raise TypeError(f"all tensors have one dtype, got {given}")
    if len({x.device for x in tensors.values()}) > 1:
        given = ", ".join(f"{name} {x.device}" for name, x in tensors.items())
        raise ValueError(f"all tensors are on one device, got {given}")


def check_positive(name: str, value: object) -> None:
    """Raise unless value is a finite number above 0."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} is a number, got {value!r}")
    if not 0 < float(value) < math.inf:
        raise ValueError(f"{name} is positive and finite, got {value!r}")
