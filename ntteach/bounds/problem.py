"""The arguments that every form of the bound shares, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ntteach.bounds.gram import Gram, gram, numbers, positive, vector


@dataclass(frozen=True)
class Problem:
    """A kernel, a gradient, and the constants of a step.

    The loss is `L = sum_i l_i / P` with `g_i = dl_i / df_i`, so that the flow of Eq. 15 is
    `df/dt = -(eta / P) K g` and `dL/dt = -(eta / P^2) g^T K g`.

    Args:
        K: the Gram matrix of the outputs.
        g: `(n,)`, the gradient of the loss by the outputs, without the average.
        eta: the learning rate.
        tau: the smoothness of the loss; infinite if it has none.
        gamma: bounds the entries of K; None for the smallest that does.
        P: the normaliser, N L for the average of the paper, 1 for the sum.
        change: how far the loss fell in the step, where that is known.
        derivative: dL/dt as it was measured, if it was; the identity is put to this test.
        level: the size of the losses whose difference `change` is.
    """

    K: Gram
    g: Tensor
    eta: float
    tau: float
    gamma: float | None
    P: float
    change: float | None = None
    derivative: float | None = None
    level: float = 0.0

    @property
    def bound(self) -> float:
        """gamma: the one given, or the largest entry of the kernel."""
        return self.K.largest_entry if self.gamma is None else self.gamma

    @property
    def top(self) -> float:
        """`lambda_max(K / P)`."""
        return self.K.spectrum[0][-1].item() / self.P

    @property
    def quadratic(self) -> float:
        """`g^T K g`."""
        return self.K.quadratic(self.g)

    @property
    def rate(self) -> float:
        """dL/dt, the product of the gradient with `df/dt`."""
        velocity = -self.eta / self.P * (self.K.matrix @ self.g)
        return (self.g @ velocity).item() / self.P

    @property
    def scale(self) -> float:
        """`(eta / P^2) lambda_max(K) |g|^2`, the most that dL/dt can be."""
        return self.eta * self.top * (self.g @ self.g).item() / self.P

    @property
    def tolerance(self) -> float:
        """Rounding of a rate: relative to its scale, since terms may cancel."""
        return self.K.relative_rounding * self.scale

    @property
    def mean(self) -> Tensor:
        """The mean of the gradient over the N L elements, `(v,)`; zero where terms cancel."""
        by_element = self.g.unflatten(0, (-1, self.K.outputs))  # (N L, v)
        mean = by_element.mean(0)
        noise = 8 * by_element.shape[0] * self.K.precision * by_element.abs().mean(0)
        return mean.where(mean.abs() > noise, 0.0)

    @property
    def mean_square(self) -> float:
        """The squared norm of the mean of the gradient over the elements."""
        return self.mean.square().sum().item()


def problem(
    kernel: Any,
    residual_gradient: Any,
    *,
    eta: Any,
    tau: Any,
    gamma: Any = None,
    normaliser: Any = None,
    outputs: int = 1,
    loss: Any = None,
    next_loss: Any = None,
    derivative: Any = None,
) -> Problem:
    """Check arguments that are described at `sufficient_reduction`; raises as that.

    >>> problem([[1.0]], [2.0], eta=0.5, tau=1.0).rate
    -2.0
    """
    eta, tau = positive(eta, "eta"), positive(tau, "tau", infinite=True)
    gamma = None if gamma is None else positive(gamma, "gamma")
    K = kernel if isinstance(kernel, Gram) else gram(kernel, outputs=outputs)
    g = vector(residual_gradient, K)
    P = divisor(normaliser, K)
    if (loss is None) != (next_loss is None):
        raise ValueError("loss and next_loss are given together: their difference is the change")
    change, level = None, 0.0
    if loss is not None:
        before, after = _number(loss, "loss"), _number(next_loss, "next_loss")
        change, level = after - before, abs(before) + abs(after)
    measured = None if derivative is None else _number(derivative, "derivative")
    return Problem(K, g, eta, tau, gamma, P, change, measured, level)


def divisor(normaliser: Any, K: Gram) -> float:
    """What the loss is divided by: N L for None or "mean", 1 for "sum", or a number.

    Raises:
        ValueError: an unknown word, or a number that is not above 0 and finite.
    """
    if normaliser is None or normaliser == "mean":
        return float(K.elements)
    if normaliser == "sum":
        return 1.0
    if isinstance(normaliser, str):
        raise ValueError(f'normaliser is a number, "mean" or "sum", got {normaliser!r}')
    return positive(normaliser, "normaliser")


def _number(value: Any, name: str) -> float:
    found = numbers(value, name)
    if found.numel() != 1:
        raise ValueError(f"{name} is one number, got shape {tuple(found.shape)}")
    return float(found.item())
