"""Eqs. 15 and 56-58: how outputs move under gradient descent, along the tangent kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp

from ntteach import gradients, oracles
from ntteach.checks.agree import agree
from ntteach.checks.trend import slope_is
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.domains import AttentionCase, random_cases
from ntteach.paper.evidence.evolution import BLOCKS, near, straight
from ntteach.paper.evidence.training import ETA, LOSSES, Case, Params
from ntteach.tangent import antk, antk_operator


class Descent(Case):
    """A training problem with a loss, and other sequences whose outputs are watched."""

    def __init__(self, problem: AttentionCase, loss: str, seed: int) -> None:
        super().__init__(problem, loss, seed)
        g = torch.Generator().manual_seed(seed + 1)
        N, L, d = problem.S.shape
        # of another length, and as many as the training set has and one more
        S = torch.randn(N + 1, L + 2, d, generator=g, dtype=problem.S.dtype)
        self.watched = S.to(problem.S.device)

    def velocity(self) -> Params:
        """Eq. 7: d theta / d t = -eta times the gradient of the averaged loss, by autograd."""
        return {name: -ETA * slope for name, slope in self.autograd().items()}

    def watch(self, params: Params) -> Tensor:
        """The outputs for the sequences that are watched, by the oracle."""
        return oracles.attention(params, self.watched)

    def by_kernel(self, operator: bool = False) -> Tensor:
        """Eqs. 15 and 58: -eta / (N L) Sum G K(S_i, .), with the library's kernel."""
        params, S = self.problem.params, self.problem.S
        G = self.loss_gradient()
        if operator:
            moved = antk_operator(params, self.watched, S) @ G.flatten()
            moved = moved.reshape(*self.watched.shape[:2], -1)
        else:
            moved = torch.tensordot(antk(params, self.watched, S), G, 3)
        return -ETA / self.outputs * moved


def descents(setting: Setting, count: int) -> list[Descent]:
    """Random problems, each with each loss."""
    problems = random_cases("self", count=count, seed=setting.seed, device=setting.device)
    return [Descent(problem, loss, setting.seed + 1) for problem in problems for loss in LOSSES]


def flow(claim: Claim, setting: Setting, *, differences: bool = False) -> Evidence:
    """The speed of outputs under gradient descent against the kernel times the loss gradients.

    The speed is the derivative of Eq. 2 along Eq. 7, by autograd, or with `differences` by central
    differences in time; the sequences watched are not those trained on. A pass guarantees
    equality, with no remainder, for three losses, with the kernel and with its operator.
    """
    cases = descents(setting, setting.scaled(3, 12))

    def by_kernel(case: Descent) -> Tensor:
        return torch.stack([case.by_kernel(), case.by_kernel(operator=True)])

    def reference(case: Descent) -> tuple[Tensor, Tensor]:
        start, move = case.problem.params, case.velocity()
        if differences:
            zero = torch.zeros(1, dtype=case.watched.dtype, device=case.watched.device)

            def output(t: Tensor) -> Tensor:
                return case.watch({name: W + t[0] * move[name] for name, W in start.items()})

            value, bound = (x.squeeze(-1) for x in oracles.central_difference(output, zero))
        else:
            value, bound = near(jvp(case.watch, (start,), (move,))[1], 1e-12)
        return torch.stack([value, value]), torch.stack([bound, bound])

    def without(name: str) -> Callable[[Descent], Tensor]:
        def part(case: Descent) -> Tensor:
            slope = case.velocity()
            move = {x: W if x == name else torch.zeros_like(W) for x, W in slope.items()}
            return by_kernel(case) - jvp(case.watch, (case.problem.params,), (move,))[1]

        return part

    def spoiled(which: int) -> Callable[[Descent], Tensor]:
        factor = torch.ones(2, dtype=torch.float64)
        factor[which] += 1e-4
        return lambda case: by_kernel(case) * factor.view(2, 1, 1, 1).to(case.watched.device)

    return agree(
        by_kernel,
        reference,
        cases,
        mutants={
            "ascent": lambda case: -by_kernel(case),
            "summed, not averaged": lambda case: by_kernel(case) * case.outputs,
            "averaged over sequences only": lambda case: by_kernel(case) * case.problem.S.shape[1],
            **{f"kernel without the {name} block": without(name) for name in BLOCKS},
            "kernel off by a relative 1e-4": spoiled(0),
            "operator off by a relative 1e-4": spoiled(1),
        },
        scope="float64, self-attention, any v; squared, logistic, Huber loss; other sequences "
        "than those trained on",
    )


def product_of_gradients(claim: Claim, setting: Setting) -> Evidence:
    """Eq. 57: the inner product of two products of gradients is one product with the kernel.

    The left side is written out with the closed forms of Eqs. 10-12, parameter by parameter, the
    right side is the library's kernel. A pass guarantees equality to rounding, for three losses.
    """
    cases = descents(setting, setting.scaled(3, 12))

    def reference(case: Descent) -> tuple[Tensor, Tensor]:
        params, G = case.problem.params, case.loss_gradient()
        trained = gradients.attention_jacobian(params, case.problem.S)
        watched = gradients.attention_jacobian(params, case.watched)
        parts = []
        for name in params:
            move = -ETA / case.outputs * torch.einsum("njc,njcxy->xy", G, trained[name])
            parts.append(torch.einsum("njcxy,xy->njc", watched[name], move))
        return near(torch.stack(parts).sum(0), 1e-12)

    return agree(
        Descent.by_kernel,
        reference,
        cases,
        mutants={
            "ascent": lambda case: -case.by_kernel(),
            "eta left out": lambda case: case.by_kernel() / ETA,
            "not averaged": lambda case: case.by_kernel() * case.outputs,
            "off by a relative 1e-9": lambda case: case.by_kernel() * (1 + 1e-9),
        },
        scope="float64, self-attention, any v; squared, logistic, Huber loss",
    )


def step_remainder(claim: Claim, setting: Setting) -> Evidence:
    """What one step of gradient descent of size eta leaves beyond the kernel's term: order two.

    f(theta - eta slope) - f(theta) + eta / (N L) Sum G K, its norm over the sequences watched. A
    pass guarantees a slope of two with its interval, so that the remainder over eta vanishes.
    """
    problem = straight(setting).case
    case = Descent(problem, "squared", setting.seed + 1)
    start, move = problem.params, {name: W / ETA for name, W in case.velocity().items()}
    still, first_order = case.watch(start), case.by_kernel() / ETA

    def left(eta: float, factor: float = 1.0) -> float:
        moved = case.watch({name: W + eta * move[name] for name, W in start.items()})
        return (moved - still - factor * eta * first_order).norm().item()

    steps = [2.0**-n for n in range(2, setting.scaled(9, 12))]
    return slope_is(
        2.0,
        left,
        steps,
        tolerance=0.15,
        mutants={
            "no kernel": lambda eta: left(eta, 0.0),
            "kernel too large by a tenth": lambda eta: left(eta, 1.1),
            "kernel too small by a tenth": lambda eta: left(eta, 0.9),
            "remainder over eta": lambda eta: left(eta) / eta,
        },
        scope="one self-attention learner, v = 2, squared loss, sequences not trained on, "
        f"eta 1/4 to {steps[-1]:.2g}",
    )


def along_one_output(claim: Claim, setting: Setting) -> Evidence:
    """A loss that asks for one output moves all others along the kernel of that output.

    The targets differ from the outputs in one place, by an amount. The speed of the outputs, by
    autograd, is compared with the kernel's column of that place times the amount. A pass guarantees
    equality to rounding, for two amounts in each problem.
    """
    cases = [
        (Descent(problem, "squared", setting.seed + 1), amount)
        for problem in random_cases("self", count=setting.scaled(3, 12), seed=setting.seed)
        for amount in (0.5, -2.0)
    ]

    def column(pair: tuple[Descent, float], amount: float | None = None) -> Tensor:
        case, given = pair
        K = antk(case.problem.params, case.watched, case.problem.S)[..., -1, -1, -1]
        return -ETA / case.outputs * (given if amount is None else amount) * K

    def reference(pair: tuple[Descent, float]) -> tuple[Tensor, Tensor]:
        case, amount = pair
        f = oracles.attention(case.problem.params, case.problem.S)
        case.targets = f.clone()
        case.targets[-1, -1, -1] -= amount
        speed = jvp(case.watch, (case.problem.params,), (case.velocity(),))[1]
        return near(speed, 1e-12)

    return agree(
        column,
        reference,
        cases,
        mutants={
            "the magnitude left out": lambda pair: column(pair, 1.0),
            "the sign left out": lambda pair: -column(pair),
            "the kernel of another output": lambda pair: column(pair).roll(1, 1),
        },
        scope="float64, self-attention, any v, squared loss that differs from zero in one output",
        describe=lambda pair: str(pair[0]),
    )
