"""Subset steps of attention learners: the rate on the loss of all, its bound, and how often."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import grad, jvp

from ntteach import bounds, oracles, rkhs
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.tangent import antk

F64 = torch.float64
ETA = 0.5


@dataclass(frozen=True, eq=False)
class Lesson:
    """An attention learner, sequences with targets, and the sequences that are taught."""

    params: dict[str, Tensor]
    S: Tensor
    targets: Tensor
    chosen: tuple[int, ...]

    def __str__(self) -> str:
        return f"S {tuple(self.S.shape)}, chosen {self.chosen}"

    @cached_property
    def residuals(self) -> Tensor:
        """f - f*, `(N, L, v)`; the gradients of the squared loss."""
        return oracles.attention(self.params, self.S) - self.targets

    @cached_property
    def kernel(self) -> Tensor:
        """The tangent kernel, `(n, n)`."""
        n = self.residuals.numel()
        return antk(self.params, self.S).reshape(n, n)

    def average(self, params: dict[str, Tensor], places: list[int]) -> Tensor:
        """The squared loss of some sequences, averaged over their elements."""
        residuals = oracles.attention(params, self.S[places]) - self.targets[places]
        return residuals.square().sum() / (2 * len(places) * self.S.shape[1])

    def rate(self, chosen: tuple[int, ...] | None = None) -> Tensor:
        """dL/dt of all, under gradient descent on the chosen, by autograd."""
        places = list(self.chosen if chosen is None else chosen)
        slope = grad(self.average)(self.params, places)
        velocity = {name: -ETA * g for name, g in slope.items()}
        everything = list(range(len(self.S)))
        return jvp(lambda p: self.average(p, everything), (self.params,), (velocity,))[1]

    def reduction(self) -> bounds.Reduction:
        """The library's two sides."""
        return bounds.sufficient_reduction(
            antk(self.params, self.S),
            self.residuals,
            eta=ETA,
            tau=1.0,
            form="subset",
            chosen=self.chosen,
        )


def lesson(g: torch.Generator, N: int, L: int, d: int, v: int, m: int) -> Lesson:
    """A random learner with random sequences, targets and choice."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64)

    params = {name: normal(d, d) / d**0.5 for name in ("W_Q", "W_K")}
    params["W_V"] = normal(d, v) / d**0.5
    chosen = torch.randperm(N, generator=g)[:m].tolist()
    return Lesson(params, normal(N, L, d), normal(N, L, v), tuple(chosen))


def lessons(setting: Setting) -> list[Lesson]:
    """Shapes with one to four of up to five sequences chosen; two sequences of one token first.

    With two numbers in all, the bound is met with equality where they pull against each other.
    """
    g = torch.Generator().manual_seed(setting.seed)
    shapes = [(2, 1, 2, 1, 1)] * 6 + [(3, 2, 3, 1, 1), (4, 3, 3, 2, 2), (5, 2, 4, 1, 4)]
    return [lesson(g, *shape) for shape in shapes for _ in range(setting.scaled(1, 6))]


def rate_on_all(claim: Claim, setting: Setting) -> Evidence:
    """`-(eta / (m n)) (g_A^T A g_A + g_R^T B g_A)`, from `ntteach.bounds`, against autograd.

    Autograd differentiates the loss of all along gradient descent on the chosen. A pass guarantees
    equality to rounding for live attention learners, up to two outputs for each element.
    """

    def by_autograd(case: Lesson) -> tuple[Tensor, Tensor]:
        n = case.S.shape[0] * case.S.shape[1]
        size = ETA * torch.linalg.eigvalsh(case.kernel)[-1] * case.residuals.square().sum() / n
        return case.rate(), 1e-12 * size

    def left(case: Lesson) -> Tensor:
        return torch.tensor(case.reduction().left, dtype=F64)

    return agree(
        left,
        by_autograd,
        lessons(setting),
        mutants={
            "sign turned": lambda case: -left(case),
            "all are taught": lambda case: case.rate(tuple(range(len(case.S)))),
            "averaged over all": lambda case: left(case) * len(case.chosen) / len(case.S),
        },
        scope="float64, attention learners, 1 to 4 of 2 to 5 sequences, squared loss",
    )


def bound_on_the_rate(claim: Claim, setting: Setting) -> Evidence:
    """dL/dt by autograd is at most `-(eta / (m n)) |g_A| (lambda_min |g_A| - |B| |g_R|)`.

    A pass guarantees it on the cases drawn, some of them at the bound, so that |B| smaller by one
    percent, or lambda_min larger, would be too good.
    """
    cases = lessons(setting)

    def excess(least: float, cross: float) -> float:
        worst = -math.inf
        for case in cases:
            found = case.reduction()
            values = dict(found.constants)
            scale = ETA / (values["normaliser"] * values["normaliser of the chosen"])
            # the library's right side is this with both factors 1
            right = (
                -scale
                * values["|g_A|"]
                * (
                    least * values["lambda_min(A)"] * values["|g_A|"]
                    - cross * values["|B|"] * values["|g_R|"]
                )
            )
            if least == cross == 1:
                right = found.right
            size = scale * (torch.linalg.eigvalsh(case.kernel)[-1] * case.residuals.square().sum())
            worst = max(worst, (case.rate() - right).item() / (1e-10 * size.item()))
        return worst

    found = excess(1, 1)
    return Evidence(
        Outcome.SUPPORTS if found <= 1 else Outcome.REFUTES,
        "float64, attention learners, 1 to 4 of 2 to 5 sequences, squared loss",
        len(cases),
        max(0.0, found),
        "no rate is above the bound" if found <= 1 else "a rate is above the bound",
        (
            Mutant("|B| smaller by one percent", excess(1, 0.99) > 1),
            Mutant("lambda_min larger by one percent", excess(1.01, 1) > 1),
            Mutant("without |B|", excess(1, 0) > 1),
            Mutant("the sign of |B| turned", excess(1, -1) > 1),
        ),
    )


# --- how often -----------------------------------------------------------------------------------


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> [round(x, 3) for x in wilson(5, 10)]
    [0.237, 0.763]
    """
    z = 1.959964
    middle, spread = hits + z * z / 2, z * math.sqrt(hits * (of - hits) / of + z * z / 4)
    return max(0.0, (middle - spread) / (of + z * z)), min(1.0, (middle + spread) / (of + z * z))


def said(hits: int, of: int) -> str:
    """A share with its interval."""
    low, high = wilson(hits, of)
    return f"{100 * hits / of:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f})"


def greedy_is_often_best(claim: Claim, setting: Setting) -> Evidence:
    """How often the sequence with the largest residual lowers the loss of all fastest.

    Among 12 random sequences of 3 tokens, one taught at a time, to first order, for random
    attention learners. A pass guarantees that this share is above chance and below all, both by
    95 % intervals. It says nothing of trained learners or of other data. The mutants are a random
    teacher, which is at chance, and the choice by `<g_i, (K g)_i>`, which is always best.
    """
    N, problems = 12, setting.scaled(150, 1500)
    g = torch.Generator().manual_seed(setting.seed)
    drawn = [lesson(g, N, 3, 4, 1, 1) for _ in range(problems)]
    random = rkhs.random_teacher(setting.seed)

    def scores(case: Lesson) -> Tensor:
        """`<g_i, (K g)_i>`: how fast the loss of all falls where sequence i is taught."""
        r = case.residuals.flatten()
        return (r * (case.kernel @ r)).unflatten(0, (N, -1)).sum(1)

    falls = [scores(case) for case in drawn]

    def choices(choose: Callable[[Tensor, Tensor, int], Tensor]) -> list[int]:
        return [int(choose(c.residuals.flatten(1), c.kernel, 1)) for c in drawn]

    def best(chosen: list[int]) -> int:
        return sum(int(fall[i] >= fall.max()) for fall, i in zip(falls, chosen, strict=True))

    def stands(hits: int) -> bool:
        low, high = wilson(hits, problems)
        return low > 1 / N and high < 1 - 1e-9

    greedy = choices(rkhs.greedy_teacher())
    raised = sum(int(fall[i] < 0) for fall, i in zip(falls, greedy, strict=True))
    others = ", ".join(
        f"{name} {said(best(choices(teacher)), problems)}"
        for name, teacher in (
            ("functional gradient", rkhs.functional_gradient_teacher()),
            ("NTK", rkhs.ntk_teacher()),
        )
    )
    hits = best(greedy)
    return Evidence(
        Outcome.SUPPORTS if stands(hits) else Outcome.REFUTES,
        f"float64, {problems} random attention learners, 12 sequences of 3 tokens, d = 4, v = 1",
        problems,
        detail=f"best of 12 in {said(hits, problems)}, chance {100 / N:.0f} %; raises the loss of "
        f"all in {said(raised, problems)}; by other scores best in: {others}",
        mutants=(
            Mutant("a random teacher", not stands(best(choices(random)))),
            Mutant("the fastest", not stands(best([int(fall.argmax()) for fall in falls]))),
        ),
    )
