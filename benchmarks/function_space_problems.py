"""Pools of sequences with a function to learn, some of them pools on which greed may fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from ntteach import losses, rkhs
from ntteach.losses import Loss
from ntteach.rkhs import Function, FunctionalLearner, Kernel, Pool

F64 = torch.float64
N, L, D = 128, 6, 2
SIZE = 8  # sequences in a step


@dataclass(frozen=True)
class Problem:
    """What is to be learned, and how far.

    Args:
        kernel: of the learner.
        loss: of the learner.
        S: the pool, `(N, L, d)`.
        y: targets as the learner is told them.
        clean: outputs to be learned, where the error is the distance from them, relative to that
            of the zero function; None: the error is the mean loss on the pool, likewise relative.
        goal: the error to reach.
    """

    kernel: Kernel
    loss: Loss
    S: Tensor
    y: Tensor
    clean: Tensor | None
    goal: float

    def pool(self) -> Pool:
        """A learner that is zero, before the first step.

        eta is the largest with which a step on any sequences is sure not to raise their loss.
        """
        blocks = self.kernel.diagonal(self.S).reshape(len(self.S), -1)
        o = round(blocks.shape[1] ** 0.5)
        largest = torch.linalg.eigvalsh(blocks.view(-1, o, o)).max().item()
        eta = 1 / (self.loss.smoothness * largest)
        return Pool(FunctionalLearner(self.kernel, self.loss, eta), self.S, self.y)

    def error(self, pool: Pool) -> float:
        """The error now, relative to that of the zero function."""
        if self.clean is not None:
            return ((pool.predictions - self.clean).norm() / self.clean.norm()).item()
        start = self.loss.value(torch.zeros_like(self.y), self.y).reshape(len(self.S), -1)
        return (pool.losses.mean() / start.sum(1).mean()).item()


def gaussian_kernel(g: torch.Generator) -> Kernel:
    return rkhs.gaussian(0.7, on="mean")


def signature_kernel(g: torch.Generator) -> Kernel:
    return rkhs.normalised(rkhs.signature(3))


def attention_kernel(g: torch.Generator) -> Kernel:
    shapes = {"W_Q": (D, D), "W_K": (D, D), "W_V": (D, 1)}
    return rkhs.frozen_antk(
        {name: torch.randn(shape, generator=g, dtype=F64) for name, shape in shapes.items()}
    )


KERNELS: dict[str, Callable[[torch.Generator], Kernel]] = {
    "gaussian (mean)": gaussian_kernel,
    "signature": signature_kernel,
    "frozen ANTK": attention_kernel,
}
GOALS = {
    ("gaussian (mean)", "squared"): 0.02,
    ("signature", "squared"): 0.05,
    ("frozen ANTK", "squared"): 0.05,
    ("gaussian (mean)", "logistic"): 0.1,
    ("signature", "logistic"): 0.15,
    ("frozen ANTK", "logistic"): 0.3,
}


def learnable(kernel_name: str, loss_name: str, seed: int) -> Problem:
    """Targets of a function in the learner's space; its sign for the logistic loss."""
    g = torch.Generator().manual_seed(seed)
    kernel = KERNELS[kernel_name](g)
    S = torch.randn(N, L, D, generator=g, dtype=F64)
    f = _function(kernel, S, g)
    goal = GOALS[kernel_name, loss_name]
    if loss_name == "squared":
        return Problem(kernel, losses.squared(), S, f, f, goal)
    y = torch.where(f > 0, 1.0, -1.0).to(F64)
    return Problem(kernel, losses.logistic(), S, y, None, goal)


def outliers(seed: int) -> Problem:
    """One target in sixteen is off by five times the spread of all: the error is without them."""
    clean = learnable("gaussian (mean)", "squared", seed)
    g = torch.Generator().manual_seed(1000 + seed)
    places = torch.randperm(N, generator=g)[: N // 16]
    y = clean.y.clone()
    y[places] += 5 * y.std() * torch.where(torch.rand(len(places), generator=g) > 0.5, 1, -1)
    return Problem(clean.kernel, clean.loss, clean.S, y, clean.y, 0.4)


def low_leverage(seed: int) -> Problem:
    """A linear kernel, and one sequence in sixteen next to zero, with a target off by two."""
    g = torch.Generator().manual_seed(seed)
    kernel = rkhs.linear(on="mean")
    S = torch.randn(N, L, D, generator=g, dtype=F64)
    far = torch.randperm(N, generator=g)[: N // 16]
    S[far] *= 0.05
    clean = _function(kernel, S, g)
    clean = clean / clean.std()
    y = clean.clone()
    y[far] += 2.0
    return Problem(kernel, losses.squared(), S, y, clean, 0.1)


def flat_spectrum(seed: int) -> Problem:
    """A Gaussian kernel so narrow that K is all but the unit matrix: nothing is learned twice."""
    g = torch.Generator().manual_seed(seed)
    kernel = rkhs.gaussian(0.005, on="mean")
    S = torch.randn(N, L, D, generator=g, dtype=F64)
    f = torch.randn(N, generator=g, dtype=F64)
    return Problem(kernel, losses.squared(), S, f, f, 0.1)


HARD: dict[str, Callable[[int], Problem]] = {
    "outliers": outliers,
    "low leverage": low_leverage,
    "flat spectrum": flat_spectrum,
}


def _function(kernel: Kernel, S: Tensor, g: torch.Generator) -> Tensor:
    """The values on S of a random function with 16 centres."""
    centres = torch.randn(16, L, D, generator=g, dtype=F64)
    shape = (16, kernel.outputs_at(centres)) if kernel.vector_valued else (16,)
    return Function(kernel, centres, torch.randn(shape, generator=g, dtype=F64))(S)
