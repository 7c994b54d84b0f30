"""Estimates about a symmetric positive semi-definite operator from products with random vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Operator(Protocol):
    """What can be multiplied by the columns of a matrix."""

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Estimate:
    """A mean over independent samples.

    Args:
        value: the mean.
        standard_error: the samples' standard deviation over the root of their number.
        samples: how many.
    """

    value: float
    standard_error: float
    samples: int

    def __str__(self) -> str:
        return f"{self.value:.6g} +- {self.standard_error:.2g} ({self.samples} samples)"


@torch.no_grad()
def trace(operator: Operator, samples: int, *, seed: int) -> Estimate:
    """Hutchinson's estimate: the mean of `z^T K z` for random signs z is the trace.

    Raises:
        ValueError: fewer than two samples, which give no error; an operator that is not square.
    """
    _check(operator, samples)
    # a few columns at a time, so that memory does not grow with the samples
    values = [
        (z * (operator @ z)).sum(0, dtype=torch.float64) for z in _signs(operator, samples, seed)
    ]
    return _mean(torch.cat(values))


@torch.no_grad()
def rank(operator: Operator, samples: int, *, steps: int, tolerance: float, seed: int) -> Estimate:
    """How many eigenvalues exceed `tolerance` times the largest.

    Stochastic Lanczos quadrature: for a random unit vector, Ritz values and their weights after
    some steps of Lanczos' method stand for the distribution of the eigenvalues; n times the weight
    above the threshold estimates their number. The standard error is that of the random vectors;
    what too few steps leave out, where eigenvalues lie close to the threshold, is not in it.

    Args:
        operator: symmetric and positive semi-definite.
        samples: random vectors.
        steps: of Lanczos' method for each.
        tolerance: relative to the largest Ritz value.
        seed: of the vectors.

    Raises:
        ValueError: fewer than two samples or one step; a tolerance that is not between 0 and 1; an
            operator that is not square.
    """
    _check(operator, samples)
    if steps < 1 or not 0 < tolerance < 1:
        raise ValueError(f"steps are at least 1 and 0 < tolerance < 1, got {steps}, {tolerance}")
    n = operator.shape[0]
    columns = torch.cat(list(_signs(operator, samples, seed)), 1)
    decompositions = [_lanczos(operator, column, min(steps, n)) for column in columns.mT]
    top = max(ritz.max().item() for ritz, _ in decompositions)
    counts = [n * weights[ritz > tolerance * top].sum() for ritz, weights in decompositions]
    return _mean(torch.stack(counts))


def _lanczos(operator: Operator, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Ritz values and the squared first components of their vectors, in float64."""
    q = start.to(torch.float64) / start.norm()
    basis, diagonal, beside = [q], [], []
    for _ in range(steps):
        w = (operator @ basis[-1].to(operator.dtype)).to(torch.float64)
        diagonal.append(w @ basis[-1])
        Q = torch.stack(basis)
        # twice is enough: without it the basis loses its orthogonality and values appear twice
        for _ in range(2):
            w = w - Q.mT @ (Q @ w)
        size = w.norm()
        scale = max(abs(x) for x in diagonal)
        if len(basis) == steps or size <= torch.finfo(operator.dtype).eps * scale:
            break
        beside.append(size)
        basis.append(w / size)
    T = torch.diag(torch.stack(diagonal))
    if beside:
        off = torch.diag(torch.stack(beside), 1)
        T = T + off + off.mT
    ritz, vectors = torch.linalg.eigh(T)
    return ritz, vectors[0].square()


def _signs(operator: Operator, samples: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, samples, 8):
        shape = (operator.shape[0], min(8, samples - start))
        signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
        yield signs.to(operator.dtype).to(operator.device)


def _mean(values: Tensor) -> Estimate:
    error = values.std() / len(values) ** 0.5
    return Estimate(values.mean().item(), error.item(), len(values))


def _check(operator: Operator, samples: int) -> None:
    if operator.shape[0] != operator.shape[1]:
        raise ValueError(f"an operator on one space is square, got shape {operator.shape}")
    if operator.shape[0] == 0:
        raise ValueError("an operator on no vectors has neither trace nor rank to estimate")
    if samples < 2:
        raise ValueError(f"an error takes two samples or more, got {samples}")
