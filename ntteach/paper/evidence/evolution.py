"""Eqs. 13-15 and 56-58: how the output moves when the parameters do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from ntteach import gradients, oracles
from ntteach.checks.agree import agree
from ntteach.checks.trend import slope_is
from ntteach.claims import Claim, Evidence, Setting
from ntteach.learner import attention
from ntteach.paper.domains import AttentionCase, Shape, random_cases
from ntteach.paper.evidence.training import ETA, LOSSES, Case, Params
from ntteach.tangent import antk, antk_operator

BLOCKS = ("W_Q", "W_K", "W_V")


# --- along a path --------------------------------------------------------------------------------


class Path:
    """A curve theta(t) = theta + t D + t^2 E through the parameters of a problem.

    Args:
        case: the parameters at t = 0, and the sequences whose outputs are looked at.
        seed: of D and E.
        bend: how large E is; 0 is a straight line.
    """

    def __init__(self, case: AttentionCase, seed: int, bend: float = 1.0) -> None:
        g = torch.Generator().manual_seed(seed)

        def like(W: Tensor, size: float) -> Tensor:
            return size * torch.randn(W.shape, generator=g, dtype=W.dtype).to(W.device)

        self.case = case
        self.D = {name: like(W, W.shape[0] ** -0.5) for name, W in case.params.items()}
        self.E = {name: like(W, bend * W.shape[0] ** -0.5) for name, W in case.params.items()}

    def __str__(self) -> str:
        return str(self.case)

    def at(self, t: Tensor | float) -> Params:
        """theta(t)."""
        return {x: W + t * self.D[x] + t * t * self.E[x] for x, W in self.case.params.items()}

    def tangent(self, t: float) -> Params:
        """d theta / d t."""
        return {x: self.D[x] + 2 * t * self.E[x] for x in self.D}

    def output(self, t: Tensor | float) -> Tensor:
        """The output at theta(t), by the oracle."""
        return oracles.attention(self.at(t), self.case.S)

    def first_order(self, t: float, blocks: tuple[str, ...] = BLOCKS) -> Tensor:
        """< d f / d theta, d theta / d t > at theta(t), from the closed forms of Eqs. 10-12."""
        J = gradients.attention_jacobian(self.at(t), self.case.S)
        move = self.tangent(t)
        parts = [torch.einsum("njcxy,xy->njc", J[name], move[name]) for name in blocks]
        return torch.stack(parts).sum(0)


TIMES = (0.0, 0.3)


def chain_rule(claim: Claim, setting: Setting) -> Evidence:
    """d f / d t along a curved path against < d f / d theta, d theta / d t >, with no remainder.

    The first by central differences in t, the second from the closed forms. A pass guarantees
    equality within the differences' bound, near 1e-9, at two points of each path.
    """
    paths = [
        Path(case, setting.seed + 1)
        for case in random_cases("self", count=setting.scaled(4, 20), seed=setting.seed)
    ]

    def formula(path: Path, blocks: tuple[str, ...] = BLOCKS) -> Tensor:
        return torch.stack([path.first_order(t, blocks) for t in TIMES])

    def reference(path: Path) -> tuple[Tensor, Tensor]:
        found = [
            oracles.central_difference(
                lambda t: path.output(t[0]), torch.tensor([at], dtype=torch.float64)
            )
            for at in TIMES
        ]
        value, bound = (torch.stack(parts).squeeze(-1) for parts in zip(*found, strict=True))
        return value, bound

    return agree(
        formula,
        reference,
        paths,
        mutants={
            **{f"{name} left out": _left_out(formula, name) for name in BLOCKS},
            "taken at t = 0 throughout": lambda path: path.first_order(0.0).expand(2, -1, -1, -1),
            "off by a relative 1e-5": lambda path: formula(path) * (1 + 1e-5),
        },
        scope="float64, self-attention, any v; curved paths, at t = 0 and 0.3",
    )


def _left_out(formula: Callable[..., Tensor], name: str) -> Callable[[Path], Tensor]:
    return lambda path: formula(path, tuple(block for block in BLOCKS if block != name))


def _line(setting: Setting) -> Path:
    shape = Shape(N=2, L=4, M=4, d=3, d_c=3, d_k=4, v=2)
    case = random_cases("self", count=1, seed=setting.seed, largest=shape, device=setting.device)[0]
    return Path(case, setting.seed + 1, bend=0.0)


def remainder_order(claim: Claim, setting: Setting) -> Evidence:
    """What Eq. 13 leaves over a step of length h: a fitted order of two.

    f(theta + h D) - f(theta) - h < d f / d theta, D > from the closed forms; the norm over all
    outputs. A pass guarantees a slope of two over the steps looked at, with its interval. A wrong
    first-order term leaves an order of one.
    """
    line = _line(setting)
    still = line.output(0.0)

    def left(h: float, blocks: tuple[str, ...] = BLOCKS, factor: float = 1.0) -> float:
        moved = attention(line.at(h), line.case.S) - still
        return (moved - factor * h * line.first_order(0.0, blocks)).norm().item()

    steps = [2.0**-n for n in range(3, setting.scaled(10, 13))]

    def without(name: str) -> Callable[[float], float]:
        return lambda h: left(h, tuple(block for block in BLOCKS if block != name))

    return slope_is(
        2.0,
        left,
        steps,
        tolerance=0.15,
        mutants={
            **{f"{name} left out of the first order": without(name) for name in BLOCKS},
            "first order too large by a tenth": lambda h: left(h, factor=1.1),
            "no first order": lambda h: left(h, factor=0.0),
        },
        scope="one self-attention learner, v = 2, a random direction, "
        f"steps 1/8 to {steps[-1]:.2g}",
    )


def remainder_integral(claim: Claim, setting: Setting) -> Evidence:
    """The remainder of a step is h^2 Int_0^1 (1 - s) f''(theta + s h D) ds, Taylor's theorem.

    The left side from the closed forms, the right by autograd, twice, at 16 Gauss points. A pass
    guarantees equality to 1e-10 for steps of size one, so that the remainder is all second order.
    """
    cases = random_cases("self", count=setting.scaled(3, 12), seed=setting.seed)
    lines = [Path(case, setting.seed + 1, bend=0.0) for case in cases]
    h = 0.5

    def left(line: Path, factor: float = 1.0) -> Tensor:
        moved = attention(line.at(h), line.case.S) - attention(line.at(0.0), line.case.S)
        return moved - factor * h * line.first_order(0.0)

    def reference(line: Path) -> tuple[Tensor, Tensor]:
        def speed(t: Tensor) -> Tensor:
            return jvp(line.output, (t,), (torch.ones_like(t),))[1]

        nodes, weights = np.polynomial.legendre.leggauss(16)
        value = torch.zeros_like(line.output(0.0))
        for node, weight in zip(nodes, weights, strict=True):
            s = torch.tensor((node + 1) / 2, dtype=torch.float64)
            second = jvp(speed, (h * s,), (torch.ones_like(s),))[1]
            value = value + weight / 2 * h**2 * (1 - s) * second
        return value, torch.full_like(value, 1e-10 * (1 + value.abs().max().item()))

    return agree(
        left,
        reference,
        lines,
        mutants={
            "first order too large by 1e-6": lambda line: left(line, 1 + 1e-6),
            "no remainder": lambda line: torch.zeros_like(left(line)),
        },
        scope=f"float64, self-attention, any v, steps of {h}",
    )


def only_values_move(claim: Claim, setting: Setting) -> Evidence:
    """If W_V alone moves, f(theta + D) - f(theta) is the first-order term, for steps of any size.

    A pass guarantees this to rounding on the cases of the scope. In the mutants another matrix
    moves, and something is left.
    """
    cases = random_cases("self", count=setting.scaled(4, 20), seed=setting.seed)

    def moving(name: str) -> Callable[[AttentionCase], Tensor]:
        def left(case: AttentionCase) -> Tensor:
            line = Path(case, setting.seed + 1, bend=0.0)
            params = {**case.params, name: line.at(3.0)[name]}
            moved = attention(params, case.S) - attention(case.params, case.S)
            return moved - 3.0 * line.first_order(0.0, (name,))

        return left

    def nothing(case: AttentionCase) -> tuple[Tensor, Tensor]:
        value = torch.zeros_like(oracles.attention(case.params, case.S))
        return value, torch.full_like(value, 1e-12)

    return agree(
        moving("W_V"),
        nothing,
        cases,
        mutants={f"{name} moves": moving(name) for name in ("W_Q", "W_K")},
        scope="float64, self-attention, any v; steps of length 3",
    )


# --- under gradient descent ----------------------------------------------------------------------


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


def _near(value: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    return value, torch.full_like(value, tolerance * max(1.0, value.abs().max().item()))


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
            value, bound = _near(jvp(case.watch, (start,), (move,))[1], 1e-12)
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
        return _near(torch.stack(parts).sum(0), 1e-12)

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
    problem = _line(setting).case
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
        return _near(speed, 1e-12)

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
