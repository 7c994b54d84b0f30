"""Kernels as matrices: their cosine in the Frobenius inner product, the kernel of the targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kernel_matrix(K: Tensor) -> Tensor:
    """A kernel of 2m axes as a matrix: `(N, L, v, N', L', v')` as `(N L v, N' L' v')`.

    Args:
        K: its first m axes are those of the rows.

    Returns:
        `(rows, columns)`, a view where K allows one.

    Raises:
        ValueError: an odd number of axes, or none.
        TypeError: no tensor.

    >>> kernel_matrix(torch.zeros(2, 3, 4, 5)).shape
    torch.Size([6, 20])
    """
    if not isinstance(K, Tensor):
        raise TypeError(f"a kernel is a tensor, got {type(K).__name__}")
    if K.ndim == 0 or K.ndim % 2:
        raise ValueError(
            f"a kernel has as many axes for its columns as for its rows, got {tuple(K.shape)}"
        )
    rows = math.prod(K.shape[: K.ndim // 2])
    return K.reshape(rows, math.prod(K.shape[K.ndim // 2 :]))


def kernel_alignment(K: Tensor, other: Tensor, *, centred: bool = False) -> float:
    """The cosine of two kernels, `<K, K'>_F / (||K||_F ||K'||_F)`.

    Between -1 and 1, and not below 0 for two positive semidefinite kernels. Blind to their scale.

    Args:
        K: a kernel of 2m axes.
        other: another, whose matrix has the same shape.
        centred: of the kernels of centred features: without the means of rows and columns.

    Returns:
        The cosine, in float64.

    Raises:
        ValueError: matrices of different shape, a zero kernel, or one that is not finite.
        TypeError: no tensors, or `centred` that is no bool.

    >>> round(kernel_alignment(torch.eye(2), torch.ones(2, 2)), 6)  # 2 / (sqrt(2) * 2)
    0.707107
    """
    require_bool("centred", centred)
    a, b = (
        kernel_matrix(checked(x, "a kernel")).detach().to("cpu", torch.float64) for x in (K, other)
    )
    if a.shape != b.shape:
        raise ValueError(f"kernels have one shape, got {tuple(K.shape)} and {tuple(other.shape)}")
    # squares of entries may overflow, or vanish
    a, b = (x / power_of_two(x) for x in (a, b))
    what = "a kernel whose alignment is asked for"
    sizes = [norm(x, what) for x in (a, b)]
    if centred:
        centres = [_centred(x) for x in (a, b)]
        for x, size in zip(centres, sizes, strict=True):
            # rounding alone would have some direction
            if x.norm() <= 1e-12 * size:
                raise ValueError("a kernel whose alignment is asked for is zero once centred")
        a, b = centres
        sizes = [x.norm().item() for x in centres]
    return ((a / sizes[0]) * (b / sizes[1])).sum().clamp(-1, 1).item()


def target_kernel(y: Tensor, *, trace_outputs: bool = False) -> Tensor:
    """The kernel `y y^T` of the targets, in the shape of a tangent kernel.

    Args:
        y: targets in the shape of the outputs, `(N, L, v)` or `(N,)`.
        trace_outputs: sum over the last axis, as in `antk` and `empirical_ntk`.

    Returns:
        `(*y.shape, *y.shape)`, without the last axis of both if `trace_outputs`.

    Raises:
        ValueError: a number, or only one axis where the last is summed over.
        TypeError: no tensor, or `trace_outputs` that is no bool.

    >>> target_kernel(torch.tensor([1.0, -2.0])).tolist()
    [[1.0, -2.0], [-2.0, 4.0]]
    """
    require_bool("trace_outputs", trace_outputs)
    if not isinstance(y, Tensor):
        raise TypeError(f"targets are a tensor, got {type(y).__name__}")
    if y.ndim < 1 + trace_outputs:
        raise ValueError(
            f"targets have an axis of samples{' and one of outputs' if trace_outputs else ''}, "
            f"got {tuple(y.shape)}"
        )
    if trace_outputs:
        return torch.tensordot(y, y.movedim(-1, 0), 1)
    return y[(...,) + (None,) * y.ndim] * y


def checked(K: object, what: str) -> Tensor:
    """A kernel that is a finite tensor of an even number of axes; else an error that names it."""
    if not isinstance(K, Tensor):
        raise TypeError(f"{what} is a tensor, got {type(K).__name__}")
    kernel_matrix(K)
    if not torch.isfinite(K).all():
        raise ValueError(f"{what} is not finite")
    return K


def norm(K: Tensor, what: str) -> float:
    """The Frobenius norm; an error that names the kernel if it is zero."""
    size = K.norm().item()
    if size == 0:
        raise ValueError(f"{what} is zero")
    return size


def power_of_two(K: Tensor) -> float:
    """The power of two below the largest entry, by which division is exact; 1 for no entry."""
    largest = K.abs().max().item() if K.numel() else 0.0
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0


def require_bool(name: str, value: object) -> None:
    """Raise a `TypeError` for what is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, got {value!r}")


def _centred(K: Tensor) -> Tensor:
    return K - K.mean(0) - K.mean(1, keepdim=True) + K.mean()
