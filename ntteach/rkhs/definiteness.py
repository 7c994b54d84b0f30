"""Whether a matrix can be the Gram matrix of a kernel."""

from __future__ import annotations

import torch
from torch import Tensor


def check_gram(K: Tensor, *, tolerance: float | None = None, name: str = "K") -> Tensor:
    """Raise unless K is finite, symmetric and positive semi-definite up to rounding.

    Args:
        K: `(n, n)`, or `(N, o, N, o)` of a vector-valued kernel.
        tolerance: relative to the largest entry |K_ij|: by how much K may differ from its
            transpose, and how far below 0 its smallest eigenvalue may lie; `16 n epsilon` if None.
        name: of K in messages.

    Returns:
        The symmetric part of K, `(n, n)`.

    Raises:
        ValueError: another shape, entries that are not finite, a matrix that is not symmetric, or
            one with an eigenvalue that rounding does not explain, which is named.
        TypeError: no floating-point tensor.

    >>> check_gram(torch.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> check_gram(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    Traceback (most recent call last):
    ValueError: K is positive semi-definite, got smallest eigenvalue -1 (tolerance 3.8e-06)
    """
    if not isinstance(K, Tensor):
        raise TypeError(f"{name} is a tensor, got {type(K).__name__}")
    if not K.is_floating_point():
        raise TypeError(f"{name} is floating point, got {K.dtype}")
    if K.ndim not in (2, 4) or K.shape[: K.ndim // 2] != K.shape[K.ndim // 2 :]:
        raise ValueError(f"{name} is (n, n) or (N, o, N, o), got {tuple(K.shape)}")
    matrix = K if K.ndim == 2 else K.flatten(2).flatten(0, 1)
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError(f"{name} is finite, got {_first(~torch.isfinite(matrix), matrix)}")
    n = len(matrix)
    if n == 0:
        return matrix
    if tolerance is None:
        tolerance = 16 * n * torch.finfo(K.dtype).eps
    elif not tolerance >= 0:
        raise ValueError(f"tolerance is not below 0, got {tolerance}")
    allowed = tolerance * matrix.abs().max().item()
    difference = (matrix - matrix.mT).abs()
    if difference.max().item() > allowed:
        i, j = divmod(int(difference.argmax()), n)
        raise ValueError(
            f"{name} is symmetric, got {matrix[i, j].item():.6g} at ({i}, {j}) and "
            f"{matrix[j, i].item():.6g} at ({j}, {i}) (tolerance {allowed:.2g})"
        )
    symmetric = matrix / 2 + matrix.mT / 2  # their sum may overflow
    smallest = torch.linalg.eigvalsh(symmetric.detach().double())[0].item()
    if smallest < -allowed:
        raise ValueError(
            f"{name} is positive semi-definite, got smallest eigenvalue {smallest:.6g} "
            f"(tolerance {allowed:.2g})"
        )
    return symmetric


def _first(where: Tensor, matrix: Tensor) -> str:
    i, j = where.nonzero()[0].tolist()
    return f"{matrix[i, j].item()} at ({i}, {j})"
