"""Kernels for several outputs at once: separable, and full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ntteach.rkhs.definiteness import check_gram
from ntteach.rkhs.kernels import Kernel, check_alike
from ntteach.tangent import antk


@dataclass(frozen=True, eq=False)
class Separable(Kernel):
    """`k(S, S') B`: one scalar kernel, and one matrix that couples the outputs."""

    kernel: Kernel
    B: Tensor

    def __post_init__(self) -> None:
        if self.kernel.vector_valued:
            raise ValueError("a separable kernel is made of a scalar one, got a vector-valued one")
        if isinstance(self.B, Tensor) and self.B.ndim != 2:
            raise ValueError(f"B is a matrix (o, o), got shape {tuple(self.B.shape)}")
        check_gram(self.B, name="B")
        object.__setattr__(self, "B", self.B.detach().clone())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Separable):
            return NotImplemented
        return self.kernel == other.kernel and _same(self.B, other.B)

    def __hash__(self) -> int:
        return hash((Separable, self.kernel, self.B.shape))

    @property
    def outputs(self) -> int:
        """The side of B."""
        return len(self.B)

    @property
    def vector_valued(self) -> bool:
        """Always, also for one output."""
        return True

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        check_alike({"S": S, "B": self.B})
        return self.kernel._values(S, T)[:, None, :, None] * self.B[:, None, :]

    def _diagonal(self, S: Tensor) -> Tensor:
        check_alike({"S": S, "B": self.B})
        return self.kernel._diagonal(S)[:, None, None] * self.B


def separable(kernel: Kernel, B: Tensor) -> Kernel:
    """The vector-valued kernel `K(S, S') = k(S, S') B`: o learners at once, coupled by B.

    With B the unit matrix they learn side by side without touching each other.

    Args:
        kernel: a scalar kernel k.
        B: `(o, o)`, symmetric and positive semi-definite; a copy is kept.

    Returns:
        A vector-valued kernel, on the device and in the dtype of B.

    Raises:
        ValueError: a vector-valued kernel, B of another shape, not finite, not symmetric or
            indefinite.
        TypeError: B that is no floating-point tensor.

    >>> import torch
    >>> from ntteach.rkhs import linear
    >>> K = separable(linear(), torch.diag(torch.tensor([1.0, 2.0])))
    >>> K.gram(torch.tensor([[[3.0]]])).tolist()
    [[9.0, 0.0], [0.0, 18.0]]
    """
    return Separable(kernel, B)


@dataclass(frozen=True, eq=False)
class FrozenANTK(Kernel):
    """The attention neural tangent kernel of fixed parameters."""

    params: Mapping[str, Tensor]
    mask: Tensor | Literal["causal"] | None
    heads: int

    def __post_init__(self) -> None:
        if not hasattr(self.params, "items"):
            raise TypeError(f"params is a mapping of tensors, got {type(self.params).__name__}")
        for name, W in self.params.items():
            if not isinstance(W, Tensor) or W.ndim != 2:
                given = tuple(W.shape) if isinstance(W, Tensor) else type(W).__name__
                raise ValueError(f"parameters are matrices, got {name} {given}")
        if "W_V" not in self.params:
            raise ValueError(f"parameters are W_Q, W_K, W_V, W_O, got {', '.join(self.params)}")
        copies = {name: W.detach().clone() for name, W in self.params.items()}
        object.__setattr__(self, "params", copies)
        if isinstance(self.mask, Tensor):
            if self.mask.ndim > 3 and any(n != 1 for n in self.mask.shape[:-3]):
                raise ValueError(
                    "the mask of a kernel is that of every sequence and broadcasts to "
                    f"(heads, L, L), got {tuple(self.mask.shape)}"
                )
            object.__setattr__(self, "mask", self.mask.detach().clone())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrozenANTK):
            return NotImplemented
        return (
            self.heads == other.heads
            and _same(self.mask, other.mask)
            and self.params.keys() == other.params.keys()
            and all(_same(W, other.params[name]) for name, W in self.params.items())
        )

    def __hash__(self) -> int:
        return hash((FrozenANTK, frozenset((n, W.shape) for n, W in self.params.items())))

    @property
    def outputs(self) -> None:
        """L v: the sequences tell."""
        return None

    @property
    def vector_valued(self) -> bool:
        """Always, also for one output."""
        return True

    def outputs_at(self, S: Tensor) -> int:
        """L v, or L o with W_O."""
        return S.shape[1] * self.params["W_O" if "W_O" in self.params else "W_V"].shape[1]

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        if S.shape[1] != T.shape[1]:
            raise ValueError(
                "functions of this kernel have one output for every token and column: sequences "
                f"have one length, got {S.shape[1]} and {T.shape[1]}"
            )
        if T is S:
            K = antk(self.params, S, mask=self.mask, heads=self.heads)
        else:
            K = antk(self.params, S, T, mask=self.mask, mask_other=self.mask, heads=self.heads)
        return K.flatten(4).flatten(1, 2)  # (N, L v, N', L v)


def frozen_antk(
    params: Mapping[str, Tensor],
    *,
    mask: Tensor | Literal["causal"] | None = None,
    heads: int = 1,
) -> Kernel:
    """The ANTK of fixed parameters as a canonical kernel (Section 4.2): full, not separable.

    A function has `o = L v` outputs, token by token: `f(S)[n, j * v + c]` is output c of token j.
    All sequences have one length.

    Args:
        params: as for `antk`; copies are kept.
        mask: as for `antk`, the same for all sequences.
        heads: as for `antk`.

    Returns:
        A vector-valued kernel, on the device and in the dtype of the parameters.

    Raises:
        ValueError: a mask of its own for each sequence; all else when the kernel is used.
        TypeError: parameters that are no mapping.

    >>> import torch
    >>> zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    >>> K = frozen_antk({"W_Q": zero, "W_K": one, "W_V": one})
    >>> K(torch.tensor([[[0.0], [2.0]]])).shape
    torch.Size([1, 2, 1, 2])
    """
    return FrozenANTK(params, mask, heads)


def _same(a: object, b: object) -> bool:
    """Whether two tensors are one in all but memory, or two other things are equal."""
    if a is b or not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return a is b or (type(a) is type(b) and a == b)
    return (a.dtype, a.device) == (b.dtype, b.device) and torch.equal(a, b)
