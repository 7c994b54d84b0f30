"""Eqs. 13 and 14: how the output moves along a path of the parameters, and what a step leaves."""

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
from ntteach.paper.evidence.training import Params

BLOCKS = ("W_Q", "W_K", "W_V")


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


def straight(setting: Setting) -> Path:
    """A straight line through the parameters of one problem."""
    shape = Shape(N=2, L=4, M=4, d=3, d_c=3, d_k=4, v=2)
    case = random_cases("self", count=1, seed=setting.seed, largest=shape, device=setting.device)[0]
    return Path(case, setting.seed + 1, bend=0.0)


def near(value: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """A value, and a bound on an honest error: a share of its largest entry."""
    return value, torch.full_like(value, tolerance * max(1.0, value.abs().max().item()))


def remainder_order(claim: Claim, setting: Setting) -> Evidence:
    """What Eq. 13 leaves over a step of length h: a fitted order of two.

    f(theta + h D) - f(theta) - h < d f / d theta, D > from the closed forms; the norm over all
    outputs. A pass guarantees a slope of two over the steps looked at, with its interval. A wrong
    first-order term leaves an order of one.
    """
    line = straight(setting)
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
