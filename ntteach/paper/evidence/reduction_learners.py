"""Learners in function space held to the repairs of Proposition 4, attention learners to itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import grad

from ntteach import bounds, oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence.reduction_samples import (
    ETA,
    SCOPE,
    Sample,
    is_regular,
    samples,
    top,
)
from ntteach.rkhs import Function, FunctionalLearner
from ntteach.tangent import antk

# --- learners in function space ------------------------------------------------------------------


def _learner(case: Sample, eta: float) -> FunctionalLearner:
    """A learner whose outputs at the sequences are f, where the kernel lets them be."""
    c = torch.linalg.pinv(case.K, hermitian=True) @ case.f
    return FunctionalLearner(case.kernel, case.loss, eta, Function(case.kernel, case.S, c))


def decrease_of_learners(claim: Claim, setting: Setting, *, length: float) -> Evidence:
    """Each step of `FunctionalLearner` lowers the loss by (1 - x / 2) (eta / n) g^T Kbar g or more.

    eta = x / (tau Lambda) with x = `length`. A pass guarantees that for five steps of each case;
    the mutant asks for one per cent more, which the mode of the largest eigenvalue does not give.
    """

    def excess(case: Sample, times: float) -> float:
        learner = _learner(case, length / (case.loss.smoothness * top(case)))
        n, worst = len(case.S), -math.inf
        start = case.loss.value(case.f, case.y).mean()
        for _ in range(5):
            f = learner.predict(case.S)
            g, before = case.loss.gradient(f, case.y), case.loss.value(f, case.y).mean()
            learner.step(case.S, case.y)
            change = case.loss.value(learner.predict(case.S), case.y).mean() - before
            right = -times * (1 - length / 2) * learner.eta / n**2 * (g @ case.K @ g)
            worst = max(worst, float((change - right) / (1e-12 * start)))
        return worst

    return _never_above(excess, samples(setting), {"one per cent more": 1.01}, SCOPE)


def convergence_of_learners(claim: Claim, setting: Setting) -> Evidence:
    """L_t - L* <= exp(-2 mu eta lambda t / n) (L_0 - L*) for the squared loss in continuous time.

    The course of the loss is exact, by the matrix exponential. A pass guarantees the bound at four
    times for each kernel; the mutant is one per cent faster, and the last mode is not.
    """

    def excess(case: Sample, times: float) -> float:
        n, residual = len(case.S), case.f - case.y
        least = float(torch.linalg.eigvalsh(case.K)[0].clamp_min(0))
        worst = -math.inf
        for t in (0.5, 2.0, 10.0, 40.0):
            moved = torch.matrix_exp(-ETA * t / n * case.K) @ residual
            right = math.exp(-2 * times * ETA * least * t / n) * residual.square().mean()
            # torch's exponential is good to ten digits, of the residual at the start
            rounding = 1e-9 * right + 1e-12 * residual.square().mean()
            worst = max(worst, float((moved.square().mean() - right) / rounding))
        return worst

    squared = [case for case in samples(setting) if case.loss.name == "squared"]
    return _never_above(excess, squared, {"one per cent faster": 1.01}, SCOPE)


def modes_of_learners(claim: Claim, setting: Setting) -> Evidence:
    """Modes of the residual of a `FunctionalLearner` with the squared loss, step by step.

    A pass guarantees that after 1, 3 and 10 steps each is its start times (1 - eta lambda / n)^t,
    to rounding, and that `bounds.eigenmode_decay` gives the norms of the residuals.
    """
    squared = [
        case for case in samples(setting) if case.loss.name == "squared" and is_regular(case)
    ]

    def walked(case: Sample, normaliser: int | None = None) -> Tensor:
        K, n = case.K, normaliser or len(case.S)
        values, U = torch.linalg.eigh(K)
        eta = 1.5 / top(case)
        start = U.mT @ (case.f - case.y)
        modes = [(1 - eta * values / n) ** t * start for t in (1, 3, 10)]
        norms = bounds.eigenmode_decay(K, case.f - case.y, eta=eta, steps=10).residual_norms
        return torch.stack([*modes, norms[[1, 3, 10]].mean().expand(len(K))])

    def run(case: Sample) -> tuple[Tensor, Tensor]:
        learner = _learner(case, 1.5 / top(case))
        U = torch.linalg.eigh(case.K).eigenvectors
        seen = []
        for t in range(1, 11):
            learner.step(case.S, case.y)
            if t in (1, 3, 10):
                seen.append(learner.predict(case.S) - case.y)
        norms = torch.stack([r.norm() for r in seen]).mean()
        value = torch.stack([*(U.mT @ r for r in seen), norms.expand(len(U))])
        return value, torch.full_like(value, 1e-10 * (1 + float((case.f - case.y).norm())))

    return agree(
        walked,
        run,
        squared,
        mutants={"another normaliser": lambda case: walked(case, len(case.S) + 1)},
        scope="squared loss, " + SCOPE,
    )


def _never_above(
    excess: Callable[[Sample, float], float],
    cases: Sequence[Sample],
    mutants: Mapping[str, float],
    scope: str,
) -> Evidence:
    """Whether a left side, less the right one, over what rounding allows, is at most one."""
    found = {str(case): excess(case, 1.0) for case in cases}
    worst = max(found, key=lambda name: found[name])
    margin = max(found[worst], 0.0)
    return Evidence(
        Outcome.SUPPORTS if margin <= 1 else Outcome.REFUTES,
        scope,
        len(cases),
        margin,
        f"nearest to its bound: {worst}",
        tuple(
            Mutant(name, refuted=max(excess(case, times) for case in cases) > 1)
            for name, times in mutants.items()
        ),
    )


# --- attention learners --------------------------------------------------------------------------


def rate_of_learners(claim: Claim, setting: Setting) -> Evidence:
    """-(eta / n^2) g^T K g with K = antk, against -eta |d L / d theta|^2 by autograd.

    A pass guarantees, to rounding, that the averaged loss of an attention learner falls at this
    rate under gradient flow, for N L from 4 to 16 outputs and the squared loss.
    """
    drawn = _attention_learners(setting.seed, setting.scaled(10, 40))

    def descent(learner: Learner) -> tuple[Tensor, Tensor]:
        params, S, residuals = learner
        f = oracles.attention(params, S).detach()[..., 0]
        slope = grad(
            lambda p: (oracles.attention(p, S)[..., 0] - f + residuals).square().mean() / 2
        )(params)
        speed = -ETA * sum((x.square().sum() for x in slope.values()), start=torch.zeros(()))
        return speed, 1e-12 * speed.abs()

    def by_kernel(learner: Learner, power: int = 2) -> Tensor:
        params, S, residuals = learner
        g = residuals.flatten()
        K = antk(params, S).reshape(len(g), len(g))
        return -ETA / len(g) ** power * (g @ K @ g)

    return agree(
        by_kernel,
        descent,
        drawn,
        mutants={"divided by n once": lambda learner: by_kernel(learner, 1)},
        scope="float64, random learners, 4 to 16 outputs, d from 2 to 4, v = 1, squared loss",
        describe=lambda learner: str(tuple(learner[1].shape)),
    )


Learner = tuple[dict[str, Tensor], Tensor, Tensor]


def _attention_learners(seed: int, count: int) -> list[Learner]:
    """Weights of variance 1 / d, sequences `(N, L, d)`, residuals `(N, L)`, all normal."""
    g = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(count):
        N, L, d = (int(torch.randint(2, 5, (), generator=g)) for _ in range(3))
        params = {
            name: torch.randn(d, width, generator=g, dtype=torch.float64) / d**0.5
            for name, width in (("W_Q", d), ("W_K", d), ("W_V", 1))
        }
        S = torch.randn(N, L, d, generator=g, dtype=torch.float64)
        drawn.append((params, S, torch.randn(N, L, generator=g, dtype=torch.float64)))
    return drawn


def violated_by_learners(claim: Claim, setting: Setting) -> Evidence:
    """How often Eq. 19 is violated at initialisation, with gamma the largest entry of K.

    Learners and sequences are drawn at random, d = 2 to 4, N L = 4 to 16, v = 1, weights of
    variance 1 / d, residuals from N(0, 1), which labels can give. Only kernels that are positive
    definite count, as Eq. 19 supposes; where n is large beside d they are not. The detail gives
    the share with its 95 % interval (Wilson). The controls are the rate by the form and that by
    the sharp mean, which no learner violates.
    """
    drawn = setting.scaled(200, 2000)
    count, laws = 0, {"paper": 0, "identity": 0, "mean": 0}
    for params, S, residuals in _attention_learners(setting.seed, drawn):
        K = antk(params, S).reshape(residuals.numel(), -1)
        eta = 1 / (2 * float(K.max()))
        values = torch.linalg.eigvalsh(K)
        if values[0] <= 1e-10 * values[-1]:
            continue
        count += 1
        for form in laws:
            found = bounds.sufficient_reduction(K, residuals.flatten(), eta=eta, tau=1.0, form=form)
            laws[form] += found.verdict == "violated"
    low, high = _wilson(laws["paper"], count)
    return Evidence(
        Outcome.REFUTES if low > 0 else Outcome.SUPPORTS,
        f"{count} of {drawn} random learners at initialisation, those with definite kernels, "
        "4 to 16 outputs, d from 2 to 4",
        count,
        detail=f"violated by {laws['paper']} of {count}: {100 * laws['paper'] / count:.0f} %, "
        f"95 % interval {100 * low:.0f} to {100 * high:.0f} %",
        mutants=tuple(Mutant(f"control: {form}", laws[form] == 0) for form in ("identity", "mean")),
    )


def _wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share."""
    z, p = 1.96, hits / count
    centre = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return centre - half, centre + half
