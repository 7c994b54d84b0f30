"""Random kernels and losses: rates, inner products and the library's bounds around Prop. 4."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp

from ntteach import bounds, losses, rkhs
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.losses import Loss
from ntteach.rkhs import Function

ETA = 0.3


@dataclass(frozen=True, eq=False)
class Sample:
    """Sequences `(n, L, d)`, a kernel, a loss with labels, and outputs to start from, `(n,)`."""

    S: Tensor
    kernel: Any
    loss: Loss
    y: Tensor
    f: Tensor
    name: str

    def __str__(self) -> str:
        return self.name

    @cached_property
    def K(self) -> Tensor:
        """The Gram matrix, `(n, n)`."""
        return self.kernel.gram(self.S)

    @cached_property
    def g(self) -> Tensor:
        """The loss gradients at the start, `(n,)`."""
        return self.loss.gradient(self.f, self.y)


def samples(setting: Setting) -> list[Sample]:
    """Two sets of sequences, three kernels, four losses; and two with labels along a mode.

    In the last two the residual is the eigenvector of the largest, and of the smallest eigenvalue
    of K; there the bounds by eigenvalues are met with equality.
    """
    return list(_samples(setting.seed, setting.scaled(2, 8)))


@cache
def _samples(seed: int, sets: int) -> tuple[Sample, ...]:
    g = torch.Generator().manual_seed(seed)
    kernels = {
        "Gaussian": rkhs.gaussian(1.5),
        "linear on means": rkhs.linear(on="mean"),
        "polynomial": rkhs.polynomial(2, constant=1.0, on="flat"),
    }
    found = []
    for number in range(sets):
        S = torch.randn(4 + number % 3, 3, 2, generator=g, dtype=torch.float64)
        f = torch.randn(len(S), generator=g, dtype=torch.float64)
        y = torch.randn(len(S), generator=g, dtype=torch.float64)
        for where, kernel in kernels.items():
            for loss in (
                losses.squared(),
                losses.logistic(),
                losses.huber(0.5),
                losses.log_cosh(),
            ):
                labels = torch.where(y > 0, 1.0, -1.0).to(y) if loss.name == "logistic" else y
                found.append(Sample(S, kernel, loss, labels, f, f"{where}, {loss.name}, {number}"))
    first = found[0]
    vectors = torch.linalg.eigh(first.K).eigenvectors
    for name, mode in (("largest", vectors[:, -1]), ("smallest", vectors[:, 0])):
        found.append(replace(first, y=first.f - mode, name=f"squared, the mode of the {name}"))
    return tuple(found)


SCOPE = (
    "float64, 4 to 6 sequences, Gaussian, linear and polynomial kernels, squared, logistic, "
    "Huber's and log-cosh losses; squared loss along the first and the last mode"
)


@cache
def top(case: Sample) -> float:
    """Lambda, the largest eigenvalue of K / n."""
    return float(torch.linalg.eigvalsh(case.K)[-1]) / len(case.S)


# --- rates ---------------------------------------------------------------------------------------


def rate_by_autograd(claim: Claim, setting: Setting) -> Evidence:
    """-(eta / n^2) g^T K g against the derivative of the averaged loss along the flow.

    A pass guarantees the rate, to rounding, for the cases of the scope; the loss is differentiated
    by autograd, g is the library's closed form and K the library's kernel.
    """

    def reference(case: Sample) -> tuple[Tensor, Tensor]:
        velocity = -ETA / len(case.S) * case.K @ case.g
        speed = jvp(lambda f: case.loss.value(f, case.y).mean(), (case.f,), (velocity,))[1]
        size = velocity.abs() @ case.g.abs() / len(case.S)
        return speed, 1e-13 * size

    def form(case: Sample, K: Tensor, power: int = 2) -> Tensor:
        return -ETA / len(case.S) ** power * (case.g @ K @ case.g)

    return agree(
        lambda case: form(case, case.K),
        reference,
        samples(setting),
        mutants={
            "divided by n once": lambda case: form(case, case.K, 1),
            "diagonal of K alone": lambda case: form(case, case.K.diag().diag()),
            "sign": lambda case: -form(case, case.K),
        },
        scope=SCOPE,
    )


RATES = ("identity", "rate", "mean")  # forms whose left side is dL/dt


def both_sides(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """Both sides that `ntteach.bounds` gives for a form, against their formulas written out here.

    A pass guarantees agreement to rounding. The mutants are the library asked for another average,
    and its answer made larger by one per cent.
    """

    def asked(case: Sample, more: int = 0) -> Tensor:
        eta = 0.5 / (case.loss.smoothness * top(case))
        found = bounds.sufficient_reduction(
            case.K,
            case.g,
            eta=eta,
            tau=case.loss.smoothness,
            normaliser=len(case.S) + more,
            form=form,
        )
        # one step changes the loss by what the loss is: its left side is that of a run
        sides = (found.left, found.right) if form in RATES else (found.right,)
        return torch.tensor(sides, dtype=torch.float64)

    def written(case: Sample) -> tuple[Tensor, Tensor]:
        right = _right(case, form)
        value = torch.stack([_right(case, "identity"), right] if form in RATES else [right])
        size = ETA + 1 / (case.loss.smoothness * top(case))
        scale = size * (case.g @ case.g) * (1 + torch.linalg.matrix_norm(case.K, 2))
        # an inverse of K loses as many digits as its condition has, 6 at most
        return value, 1e-13 * scale + 1e-9 * value.abs()

    regular = [case for case in samples(setting) if form != "mean" or is_regular(case)]
    return agree(
        asked,
        written,
        regular,
        mutants={
            "one per cent more": lambda case: 1.01 * asked(case),
            "another average": lambda case: asked(case, 1),
        },
        scope=SCOPE,
    )


def is_regular(case: Sample) -> bool:
    """Whether K has an inverse, far from rounding."""
    values = torch.linalg.eigvalsh(case.K)
    return bool(values[0] > 1e-6 * values[-1])


def _right(case: Sample, form: str) -> Tensor:
    K, g, n = case.K, case.g, len(case.S)
    tau = case.loss.smoothness
    eta = 0.5 / (tau * top(case))
    fall = eta / n**2 * (g @ K @ g)
    match form:
        case "identity":
            return -fall
        case "rate":
            return -eta * torch.linalg.eigvalsh(K)[0].clamp_min(0) / n**2 * (g @ g)
        case "mean":
            ones = torch.ones_like(g)
            return -eta * g.mean() ** 2 / (ones @ torch.linalg.solve(K, ones))
        case "discrete":
            return -fall + tau * eta**2 / (2 * n**3) * (K @ g).square().sum()
    return -0.75 * fall  # "repaired", for eta = 1 / (2 tau Lambda)


# --- inner products ------------------------------------------------------------------------------


def inner_products(claim: Claim, setting: Setting) -> Evidence:
    """Inner products of the library's functions against g^T Kbar g' (Eq. 65).

    The functions are gradients (1/n) sum_i g_i K(S_i, .) before and after a step. A pass guarantees
    agreement to rounding.
    """

    def gradient(case: Sample, g: Tensor) -> Function:
        return Function(case.kernel, case.S, g / len(case.S))

    def after(case: Sample) -> Tensor:
        step = -ETA / len(case.S) * case.K @ case.g
        return case.loss.gradient(case.f + step, case.y)

    def in_the_space(case: Sample) -> Tensor:
        return rkhs.inner(gradient(case, after(case)), -ETA * gradient(case, case.g))

    def written(case: Sample) -> tuple[Tensor, Tensor]:
        n = len(case.S)
        value = -ETA / n * (case.g @ (case.K / n) @ after(case))
        return value, 1e-13 * (case.g.abs() @ case.K.abs() @ case.g.abs() + 1)

    return agree(
        in_the_space,
        written,
        samples(setting),
        mutants={
            "the gradient before": lambda case: rkhs.inner(
                gradient(case, case.g), -ETA * gradient(case, case.g)
            ),
            "not divided": lambda case: len(case.S) * in_the_space(case),
        },
        scope=SCOPE,
    )
