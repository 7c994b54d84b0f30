"""Squared loss under a fixed kernel: each eigenmode of the residual decays on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ntteach.bounds.gram import Gram, gram, positive, vector
from ntteach.bounds.problem import divisor


@dataclass(frozen=True)
class EigenmodeDecay:
    """The modes of a residual, slowest first.

    Args:
        eigenvalues: `(n,)`, of `Kbar = K / P`, ascending; 0 where they are rounding.
        amplitudes: `(n,)`, the residual along each eigenvector at the start.
        factors: `(n,)`, `1 - eta lambda_i`, what one step multiplies an amplitude with.
        rates: `(n,)`, `eta lambda_i`, so that the flow gives `exp(-rate t)`.
        residual_norms: `(steps + 1,)`, the norm of the residual after each step.
        flow_norms: `(steps + 1,)`, the same under the flow, at t = 0, 1, ...
    """

    eigenvalues: Tensor
    amplitudes: Tensor
    factors: Tensor
    rates: Tensor
    residual_norms: Tensor
    flow_norms: Tensor

    @property
    def stable(self) -> bool:
        """Whether no mode grows: `eta lambda_max(Kbar) <= 2`."""
        return bool((self.factors.abs() <= 1 + 1e-14).all())

    @property
    def never_learned(self) -> float:
        """The norm of what lies in the null space of the kernel, and stays."""
        return self.amplitudes[self.eigenvalues == 0].norm().item()


def eigenmode_decay(
    kernel: Any, residual: Any, *, eta: float, normaliser: Any = None, steps: int = 100
) -> EigenmodeDecay:
    """The exact course of squared loss: `r_t = (I - eta Kbar)^t r_0`, `exp(-eta Kbar t) r_0`.

    For `l = (f - y)^2 / 2` the gradient is the residual `r = f - y`, and a step of functional
    gradient descent multiplies its part along eigenvector i by `1 - eta lambda_i(Kbar)`.

    Args:
        kernel: a Gram matrix, as for `sufficient_reduction`.
        residual: f - y at the start, one number for each output.
        eta: the learning rate.
        normaliser: as for `sufficient_reduction`.
        steps: how many norms are given besides the first.

    Raises:
        ValueError: as `sufficient_reduction`, or steps below 0.

    >>> decay = eigenmode_decay([[2.0, 0.0], [0.0, 1.0]], [3.0, 4.0], eta=1.0, steps=1)
    >>> decay.factors.tolist()  # Kbar is diag(1, 1/2)
    [0.5, 0.0]
    >>> decay.residual_norms.tolist()
    [5.0, 2.0]
    """
    if type(steps) is not int or steps < 0:
        raise ValueError(f"steps is a whole number of at least 0, got {steps!r}")
    eta = positive(eta, "eta")
    K = kernel if isinstance(kernel, Gram) else gram(kernel)
    r = vector(residual, K, "residual")
    values, vectors = K.spectrum
    values = values / divisor(normaliser, K)
    amplitudes, rates = vectors.mT @ r, eta * values
    times = torch.arange(steps + 1, dtype=torch.float64)[:, None]  # (steps + 1, 1)
    grown = (1 - rates) ** times  # (steps + 1, n), infinite where a mode has long diverged
    walked = torch.where(amplitudes == 0, 0.0, grown * amplitudes)
    flowed = torch.exp(-rates * times) * amplitudes
    return EigenmodeDecay(
        values, amplitudes, 1 - rates, rates, walked.norm(dim=1), flowed.norm(dim=1)
    )
