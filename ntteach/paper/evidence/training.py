"""Eqs. 6 and 7: one step of gradient descent, its product form, and its limit as a flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import grad

from ntteach import gradients, oracles
from ntteach.checks.agree import agree
from ntteach.checks.trend import slope_is
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.domains import AttentionCase, random_cases

Params = dict[str, Tensor]

# Losses of one output and its target, convex in the output.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": lambda f, y: (f - y).square() / 2,
    "logistic": lambda f, y: torch.nn.functional.softplus(-f * y.sign()),
    "huber": lambda f, y: torch.nn.functional.huber_loss(f, y, reduction="none"),
}
ETA = 0.1


def step(claim: Claim, setting: Setting) -> Evidence:
    """One update of Eq. 6 with hand-derived gradients against autograd of the averaged loss.

    A pass guarantees agreement for three losses to rounding. It cannot see what an optimiser
    other than plain gradient descent does.
    """
    return _agree_on_steps(setting, _autograd_step, tolerance=1e-12)


def step_by_differences(claim: Claim, setting: Setting) -> Evidence:
    """The same update against central differences of the averaged loss, good to about 1e-9."""
    return _agree_on_steps(setting, _difference_step, tolerance=1e-7)


def product(claim: Claim, setting: Setting, *, differences: bool = False) -> Evidence:
    """Eq. 7's product of two Jacobians, averaged, against autograd of the averaged loss.

    A pass guarantees agreement to rounding, for three losses; with `differences` the reference
    are central differences, good to about 1e-9.
    """

    def factored(case: Case) -> Tensor:
        blocks = gradients.attention_jacobian(case.problem.params, case.problem.S)
        G = case.loss_gradient() / case.outputs
        return _flat(
            {name: torch.einsum("njc,njcai->ai", G, block) for name, block in blocks.items()}
        )

    def reference(case: Case) -> tuple[Tensor, Tensor]:
        value = _flat(_differences(case) if differences else case.autograd())
        tolerance = 1e-7 if differences else 1e-12
        return value, torch.full_like(value, tolerance * _size(value))

    return agree(
        factored,
        reference,
        _cases(setting),
        mutants={
            "sign flipped": lambda case: -factored(case),
            "summed, not averaged": lambda case: factored(case) * case.outputs,
            "averaged over sequences only": lambda case: factored(case) * case.problem.S.shape[1],
        },
        scope="float64, self-attention with v = 1; squared, logistic and Huber loss",
    )


class Case:
    """A problem with targets and a loss."""

    def __init__(self, problem: AttentionCase, loss: str, seed: int) -> None:
        self.problem = problem
        self.loss = LOSSES[loss]
        g = torch.Generator().manual_seed(seed)
        shape = (*problem.S.shape[:-1], problem.params["W_V"].shape[1])
        self.targets = torch.randn(shape, generator=g, dtype=problem.S.dtype).to(problem.S.device)
        # N times S of Eq. 6
        self.outputs = problem.S.shape[0] * problem.S.shape[1]

    def __str__(self) -> str:
        return str(self.problem)

    def averaged(self, params: Params) -> Tensor:
        """The loss that Eq. 6 descends."""
        f = oracles.attention(params, self.problem.S)
        return self.loss(f, self.targets).sum() / self.outputs

    def autograd(self) -> Params:
        """Its gradient."""
        return grad(self.averaged)(self.problem.params)

    def loss_gradient(self) -> Tensor:
        """dL/df of each output, without the average."""
        f = oracles.attention(self.problem.params, self.problem.S)
        return grad(lambda f: self.loss(f, self.targets).sum())(f)


def _cases(setting: Setting) -> list[Case]:
    problems = random_cases(
        "scalar", count=setting.scaled(4, 20), seed=setting.seed, device=setting.device
    )
    return [Case(problem, loss, setting.seed + 1) for problem in problems for loss in LOSSES]


def _agree_on_steps(
    setting: Setting, reference: Callable[[Case], Tensor], tolerance: float
) -> Evidence:
    def update(case: Case, sign: float = -1.0, outputs: int | None = None) -> Tensor:
        G = case.loss_gradient()
        direction = gradients.parameter_gradient(case.problem.params, case.problem.S, G)
        factor = sign * ETA / (outputs or case.outputs)
        return _flat(
            {name: W + factor * direction[name] for name, W in case.problem.params.items()}
        )

    def known(case: Case) -> tuple[Tensor, Tensor]:
        value = reference(case)
        return value, torch.full_like(value, tolerance * _size(value))

    return agree(
        update,
        known,
        _cases(setting),
        mutants={
            "ascent": lambda case: update(case, sign=1.0),
            "summed, not averaged": lambda case: update(case, outputs=1),
            "averaged over sequences only": lambda case: update(
                case, outputs=case.problem.S.shape[0]
            ),
        },
        scope=f"float64, self-attention with v = 1, eta = {ETA}; squared, logistic, Huber loss",
    )


def _autograd_step(case: Case) -> Tensor:
    slope = case.autograd()
    return _flat({name: W - ETA * slope[name] for name, W in case.problem.params.items()})


def _difference_step(case: Case) -> Tensor:
    slope = _differences(case)
    return _flat({name: W - ETA * slope[name] for name, W in case.problem.params.items()})


def _differences(case: Case) -> Params:
    slope = {}
    for name, W in case.problem.params.items():

        def averaged(W: Tensor, name: str = name) -> Tensor:
            return case.averaged({**case.problem.params, name: W})

        slope[name] = oracles.central_difference(averaged, W)[0]
    return slope


def _flat(params: Params) -> Tensor:
    return torch.cat([params[name].flatten() for name in sorted(params)])


def _size(value: Tensor) -> float:
    return max(1.0, value.abs().max().item())


def flow_limit(claim: Claim, setting: Setting) -> Evidence:
    """The distance between gradient descent and its flow at a fixed time, as the step shrinks.

    A pass guarantees a fitted order of accuracy of one, with its interval, on one problem per
    seed. It cannot see problems whose flow leaves every bounded set.
    """
    drawn = random_cases("scalar", count=1, seed=setting.seed, device=setting.device)[0]
    # elements of half the size: the coarsest step must already resolve the flow
    problem = replace(drawn, S=drawn.S / 2)
    case = Case(problem, "squared", setting.seed + 1)
    time = 1.0

    def slope(params: Params) -> Params:
        return {name: -g for name, g in grad(case.averaged)(params).items()}

    def shifted(params: Params, by: Params, h: float) -> Params:
        return {name: W + h * by[name] for name, W in params.items()}

    def descend(steps: int) -> Params:
        params = problem.params
        for _ in range(steps):
            params = shifted(params, slope(params), time / steps)
        return params

    def midpoint(steps: int) -> Params:
        params, h = problem.params, time / steps
        for _ in range(steps):
            params = shifted(params, slope(shifted(params, slope(params), h / 2)), h)
        return params

    def runge_kutta(steps: int) -> Params:
        params, h = problem.params, time / steps
        for _ in range(steps):
            k1 = slope(params)
            k2 = slope(shifted(params, k1, h / 2))
            k3 = slope(shifted(params, k2, h / 2))
            k4 = slope(shifted(params, k3, h))
            total = {name: k1[name] + 2 * k2[name] + 2 * k3[name] + k4[name] for name in k1}
            params = shifted(params, total, h / 6)
        return params

    flow = _flat(runge_kutta(64))

    def error(method: Callable[[int], Params]) -> Callable[[float], float]:
        return lambda h: (_flat(method(round(time / h))) - flow).norm().item()

    steps = [16, 32, 64, 128, 256] if setting.profile == "full" else [16, 32, 64, 128]
    return slope_is(
        1.0,
        error(descend),
        [time / n for n in steps],
        tolerance=0.1,
        mutants={
            "a second-order method": error(midpoint),
            "a fixed distance": lambda h: (flow - _flat(problem.params)).norm().item(),
        },
        scope=f"one attention learner, squared loss, time 1, eta = 1/{steps[0]} to 1/{steps[-1]}; "
        "flow by a fourth-order method with 64 steps",
    )
