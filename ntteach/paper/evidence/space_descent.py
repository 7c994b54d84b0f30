"""Eqs. 5, 16 and 17: functional gradient descent in `ntteach.rkhs` against dense algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import grad

from ntteach import losses, oracles, rkhs
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.evidence.space_families import Case, cases, remembered
from ntteach.paper.evidence.space_kernels import ROUNDING, SCOPE

ETA = 0.3


@dataclass(frozen=True)
class Objective:
    """A loss of the library and the same written again, of all outputs, in torch."""

    loss: losses.Loss
    again: Callable[[Tensor, Tensor], Tensor]
    targets: Callable[[Tensor], Tensor]


def _class_loss(f: Tensor, y: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(f, y, reduction="sum")


OBJECTIVES: dict[str, Objective] = {
    "squared": Objective(losses.squared(), lambda f, y: ((f - y) ** 2).sum() / 2, lambda y: y),
    "logistic": Objective(
        losses.logistic(),
        # not softplus, which is linear beyond 20
        lambda f, y: torch.logaddexp(-y * f, torch.zeros_like(f)).sum(),
        lambda y: torch.where(y > 0, 1.0, -1.0).to(y.dtype),
    ),
    "huber": Objective(
        losses.huber(),
        lambda f, y: torch.nn.functional.huber_loss(f, y, reduction="sum"),
        lambda y: 3 * y,
    ),
    "cross-entropy": Objective(losses.cross_entropy(), _class_loss, lambda y: y.argmax(-1)),
}


@dataclass(frozen=True)
class Lesson:
    """A kernel with a start f, examples and a loss."""

    case: Case
    name: str

    def __str__(self) -> str:
        return f"{self.case}, {self.name} loss"

    @property
    def objective(self) -> Objective:
        """The loss, twice."""
        return OBJECTIVES[self.name]

    @property
    def targets(self) -> Tensor:
        """The targets of the examples T."""
        family = self.case.family
        shape = (len(self.case.T), family.outputs) if family.vector_valued else (len(self.case.T),)
        g = torch.Generator().manual_seed(3)
        return self.objective.targets(torch.randn(shape, generator=g, dtype=torch.float64))

    def learner(self, eta: float = ETA) -> rkhs.FunctionalLearner:
        """The library's learner at f."""
        f = self.case.function(self.case.a)
        return rkhs.FunctionalLearner(self.case.family.kernel, self.objective.loss, eta, f)

    @cached_property
    def slope(self) -> Tensor:
        """dL/df on the examples, by autograd of the loss written again."""
        values = self.case.values(self.case.a, self.case.T)
        return grad(lambda f: self.objective.again(f, self.targets))(values)


def lessons(setting: Setting) -> list[Lesson]:
    """Every shipped kernel with every loss that fits it."""
    return [
        Lesson(case, name)
        for n in range(setting.scaled(1, 5))
        for case in cases(setting.seed + n)
        for name, objective in OBJECTIVES.items()
        if objective.loss.elementwise or case.family.vector_valued
    ]


def step(claim: Claim, setting: Setting) -> Evidence:
    """One step of `FunctionalLearner` against `f(S) - (eta/m) sum_i K(S, S_i) dL/df(S_i)`.

    The Gram matrix is the reference's, the loss gradient autograd's. A pass guarantees the values
    after the step at the centres and at the examples, for every shipped kernel and four losses.
    """

    @remembered
    def before_and_after(lesson: Lesson) -> tuple[Tensor, Tensor]:
        learner, places = lesson.learner(), torch.cat([lesson.case.S, lesson.case.T])
        before = learner.predict(places).flatten()
        learner.step(lesson.case.T, lesson.targets)
        return before, learner.predict(places).flatten()

    def after(lesson: Lesson, factor: float) -> Tensor:
        before, found = before_and_after(lesson)
        return before + factor * (found - before)

    def reference(lesson: Lesson) -> tuple[Tensor, Tensor]:
        case = lesson.case
        places = torch.cat([case.S, case.T])
        moved = case.family.reference(places, case.T) @ lesson.slope.flatten()
        value = case.values(case.a, places).flatten() - ETA / len(case.T) * moved
        return value, torch.full_like(value, ROUNDING * max(1.0, value.abs().max().item()))

    return agree(
        lambda lesson: before_and_after(lesson)[1],
        reference,
        lessons(setting),
        mutants={
            "ascent": lambda lesson: after(lesson, -1.0),
            "summed, not averaged": lambda lesson: after(lesson, len(lesson.case.T)),
            "a step longer by 1e-6": lambda lesson: after(lesson, 1 + 1e-6),
            "no step": lambda lesson: after(lesson, 0.0),
        },
        scope=f"{SCOPE}, every shipped kernel; {', '.join(OBJECTIVES)} loss, two examples",
    )


def step_by_differences(claim: Claim, setting: Setting) -> Evidence:
    """The step's direction against differences of the loss in function space.

    `<(f after - f before) / eta, g>` of the library against minus the central difference of the
    averaged loss along f + t g, whose values are the reference's. A pass guarantees agreement
    within the differences' bound, near 1e-9.
    """

    @remembered
    def direction(lesson: Lesson) -> Tensor:
        learner, case = lesson.learner(), lesson.case
        learner.step(case.T, lesson.targets)
        moved = learner.function - case.function(case.a)
        return (rkhs.inner(moved, case.function(case.b)) / ETA).reshape(1)

    def reference(lesson: Lesson) -> tuple[Tensor, Tensor]:
        case, again = lesson.case, lesson.objective.again

        def along(t: Tensor) -> Tensor:
            values = case.values(case.a + t[0] * case.b, case.T)
            return -again(values, lesson.targets).reshape(1) / len(case.T)

        zero = torch.zeros(1, dtype=torch.float64)
        value, bound = oracles.central_difference(along, zero)
        return value.flatten(), bound.flatten()

    return agree(
        direction,
        reference,
        lessons(setting),
        mutants={
            "ascent": lambda lesson: -direction(lesson),
            "summed, not averaged": lambda lesson: direction(lesson) * len(lesson.case.T),
            "off by a relative 1e-5": lambda lesson: direction(lesson) * (1 + 1e-5),
        },
        scope=f"{SCOPE}, every shipped kernel; {', '.join(OBJECTIVES)} loss, two examples",
    )
