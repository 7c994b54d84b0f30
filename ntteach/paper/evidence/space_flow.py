"""Eqs. 16 and 17: the averaged functional gradient, its flow, and how a network departs from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad

from ntteach import oracles, rkhs
from ntteach.checks.agree import agree
from ntteach.checks.trend import slope_is
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.evidence.space_descent import Lesson, lessons
from ntteach.paper.evidence.space_families import cases, remembered
from ntteach.paper.evidence.space_kernels import ROUNDING, SCOPE


def averaged_gradient(claim: Claim, setting: Setting) -> Evidence:
    """Eq. 17 with vector-valued kernels: the gradient of the loss averaged over all outputs.

    `functional_gradient` of that loss against `(1/NS) sum_i K(S_i, .) dL/df(S_i)` from the
    reference Gram matrix, as values at all sequences. For v = 1 its NS is the number of outputs;
    here every output counts. A pass guarantees agreement to rounding.
    """

    @remembered
    def gradient(lesson: Lesson) -> Tensor:
        case = lesson.case

        def averaged(values: Tensor) -> Tensor:
            return lesson.objective.again(values, lesson.targets) / values.numel()

        F = rkhs.Functional(case.T, averaged)
        found = rkhs.functional_gradient(F, case.function(case.a))
        return found(torch.cat([case.S, case.T])).flatten()

    def reference(lesson: Lesson) -> tuple[Tensor, Tensor]:
        case, slope = lesson.case, lesson.slope
        places = torch.cat([case.S, case.T])
        value = case.family.reference(places, case.T) @ slope.flatten() / slope.numel()
        return value, torch.full_like(value, ROUNDING * max(1.0, value.abs().max().item()))

    every = [x for x in lessons(setting) if x.name != "cross-entropy"]
    return agree(
        gradient,
        reference,
        every,
        mutants={
            "summed, not averaged": lambda x: gradient(x) * x.slope.numel(),
            "averaged over sequences and one more": lambda x: gradient(x) * len(x.case.T) / 3,
            "off by a relative 1e-6": lambda x: gradient(x) * (1 + 1e-6),
        },
        scope=f"{SCOPE}, every shipped kernel; squared, logistic, Huber loss",
    )


def flow_limit(claim: Claim, setting: Setting) -> Evidence:
    """Steps of `FunctionalLearner` against the flow of Eq. 16, as the step shrinks.

    For the squared loss the flow is known: residuals on the examples are `exp(-t K / m)` times
    those at the start. A pass guarantees a fitted order of accuracy of one, with its interval.
    """
    case = cases(setting.seed, ("gaussian",), N=3)[0]
    lesson, m, time = Lesson(case, "squared"), 3, 2.0
    K = case.family.reference(case.T, case.T)
    start = case.values(case.a, case.T) - lesson.targets
    flow = torch.matrix_exp(-time / m * K) @ start

    def error(h: float, factor: float = 1.0, order: int = 1) -> float:
        steps = round(time / h)
        learner = lesson.learner(factor * time / steps)
        for _ in range(steps):
            learner.step(case.T, lesson.targets)
        found = learner.predict(case.T) - lesson.targets
        return (found - flow).norm().item() ** order

    steps = [4, 8, 16, 32] if setting.profile == "quick" else [4, 8, 16, 32, 64]
    return slope_is(
        1.0,
        error,
        [time / n for n in steps],
        tolerance=0.15,
        mutants={
            "steps too long by a tenth": lambda h: error(h, 1.1),
            "steps of the sum": lambda h: error(h, float(m)),
            "squared error": lambda h: error(h, order=2),
        },
        scope=f"Gaussian kernel, three examples, time 2, eta = 1/2 to 2/{steps[-1]}",
    )


def flow_speeds(claim: Claim, setting: Setting) -> Evidence:
    """Eq. 16: the speed of every output under the flow, and of the loss, by differences in time.

    f moves for a time t along minus the averaged gradient of the library; its values, and the loss
    written again, are differentiated by t at 0. Against `-(1/n) K dL/df` and `-(1/n^2) g^T K g`
    with the reference Gram matrix. A pass guarantees agreement near 1e-9.
    """

    @remembered
    def speeds(lesson: Lesson) -> Tensor:
        case, again = lesson.case, lesson.objective.again

        def averaged(values: Tensor) -> Tensor:
            return again(values, lesson.targets) / values.numel()

        f = case.function(case.a)
        G = rkhs.functional_gradient(rkhs.Functional(case.T, averaged), f)

        def at(t: Tensor) -> Tensor:
            values = (f - t[0] * G)(case.T)
            return torch.cat([values.flatten(), averaged(values).reshape(1)])

        return oracles.central_difference(at, torch.zeros(1, dtype=torch.float64))[0].flatten()

    def reference(lesson: Lesson) -> tuple[Tensor, Tensor]:
        g = lesson.slope.flatten()
        moved = -lesson.case.family.reference(lesson.case.T, lesson.case.T) @ g / g.numel()
        value = torch.cat([moved, (g @ moved / g.numel()).reshape(1)])
        return value, torch.full_like(value, 1e-7 * max(1.0, value.abs().max().item()))

    every = [x for x in lessons(setting) if x.name in ("squared", "logistic")]
    return agree(
        speeds,
        reference,
        every,
        mutants={
            "ascent": lambda x: -speeds(x),
            "summed, not averaged": lambda x: speeds(x) * x.slope.numel(),
            "off by a relative 1e-5": lambda x: speeds(x) * (1 + 1e-5),
        },
        scope=f"{SCOPE}, every shipped kernel; squared and logistic loss",
    )


def network_and_kernel(claim: Claim, setting: Setting) -> Evidence:
    """A network's outputs under gradient flow against Eq. 16 with the kernel it has at the start.

    Parameters follow the flow of the averaged squared loss by a fourth-order method, with autograd
    of the oracle's forward pass; under Eq. 16 with `frozen_antk` residuals are `exp(-t K / n)`
    times those at the start. A pass guarantees a distance of second order in the time, by a fitted
    slope: the speeds agree at the start and part then. The mutant is the kernel of the same
    function in another basis of queries and keys, which leaves first order.
    """
    g = torch.Generator().manual_seed(setting.seed + 2)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    params = {"W_Q": drawn(2, 2), "W_K": drawn(2, 2), "W_V": drawn(2, 1)}
    S, targets = drawn(2, 3, 2), drawn(2, 3, 1)

    def averaged(theta: dict[str, Tensor]) -> Tensor:
        return ((oracles.attention(theta, S) - targets) ** 2).mean() / 2

    def shifted(theta: dict[str, Tensor], by: dict[str, Tensor], h: float) -> dict[str, Tensor]:
        return {name: W - h * by[name] for name, W in theta.items()}

    def network(t: float) -> Tensor:
        theta, h = params, t / 4
        for _ in range(4):
            k1 = grad(averaged)(theta)
            k2 = grad(averaged)(shifted(theta, k1, h / 2))
            k3 = grad(averaged)(shifted(theta, k2, h / 2))
            k4 = grad(averaged)(shifted(theta, k3, h))
            total = {x: (k1[x] + 2 * k2[x] + 2 * k3[x] + k4[x]) / 6 for x in theta}
            theta = shifted(theta, total, h)
        return (oracles.attention(theta, S) - targets).flatten()

    start = network(0.0)

    def distance(t: float, scale: float = 1.0) -> float:
        basis = {**params, "W_Q": scale * params["W_Q"], "W_K": params["W_K"] / scale}
        K = rkhs.frozen_antk(basis).gram(S)
        return (torch.matrix_exp(-t / len(K) * K) @ start - network(t)).norm().item()

    times = [2.0**-n for n in range(8, setting.scaled(14, 17))]
    return slope_is(
        2.0,
        distance,
        times,
        tolerance=0.3,
        mutants={
            "the kernel in another basis": lambda t: distance(t, 2.0),
            "how far the network has moved": lambda t: (network(t) - start).norm().item(),
        },
        scope="one self-attention learner, 2 sequences of 3 tokens, squared loss, times 1/256 to "
        f"{times[-1]:.2g}",
    )
