"""Functions, functionals and their gradients in `ntteach.rkhs`, against dense references.

References know the Gram matrix of `space_families` and nothing of the library's functions: the
value of f is a row of the Gram matrix times coefficients, a derivative a central difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ntteach import oracles, rkhs
from ntteach.checks.agree import agree
from ntteach.checks.trend import slope_is
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.evidence.space_families import Case, cases, remembered
from ntteach.paper.evidence.space_kernels import ROUNDING, SCOPE


def _drawn(setting: Setting) -> list[Case]:
    return [x for n in range(setting.scaled(1, 5)) for x in cases(setting.seed + n)]


def _rounded(value: Tensor) -> tuple[Tensor, Tensor]:
    return value, torch.full_like(value, ROUNDING * max(1.0, value.abs().max().item()))


def _sections(case: Case) -> list[rkhs.Function]:
    outputs = range(case.family.outputs)
    return [rkhs.section(case.family.kernel, S, c) for S in case.T for c in outputs]


def reproducing(claim: Claim, setting: Setting) -> Evidence:
    """`<f, K_S>` of the library, and f(S), against the reference's values of f.

    A pass guarantees agreement to rounding for every shipped kernel and every output.
    """

    @remembered
    def both(case: Case) -> Tensor:
        f = case.function(case.a)
        products = torch.stack([rkhs.inner(f, section) for section in _sections(case)])
        return torch.cat([products, f(case.T).flatten()])

    def reordered(case: Case) -> Tensor:
        f = case.function(case.a.flip(0))
        return f(case.T).flatten().repeat(2)

    return agree(
        both,
        lambda case: _rounded(case.values(case.a, case.T).flatten().repeat(2)),
        _drawn(setting),
        mutants={
            "coefficients in another order": reordered,
            "off by a relative 1e-6": lambda case: both(case) * (1 + 1e-6),
            "sections at other sequences": lambda case: both(case).roll(case.family.outputs),
        },
        scope=f"{SCOPE}, every shipped kernel",
    )


def inner_products(claim: Claim, setting: Setting) -> Evidence:
    """`<f, g>`, `|f|^2` and the inner products of f written twice over, against the reference.

    A pass guarantees agreement to rounding, also where a centre occurs twice in the list of f.
    """

    def found(case: Case, factor: float = 1.0) -> Tensor:
        f, g = case.function(case.a), case.function(case.b)
        halves = torch.cat([case.S, case.S])
        again = rkhs.Function(case.family.kernel, halves, torch.cat([case.a, factor * case.a]) / 2)
        return torch.stack(
            [
                rkhs.inner(f, g),
                rkhs.norm(f).square(),
                rkhs.inner(again, g),
                rkhs.inner(again + 2 * f - f, g - f),
            ]
        )

    def reference(case: Case) -> tuple[Tensor, Tensor]:
        fg, ff = case.product(case.a, case.b), case.product(case.a, case.a)
        return _rounded(torch.stack([fg, ff, fg, 2 * fg - 2 * ff]))

    return agree(
        found,
        reference,
        _drawn(setting),
        mutants={
            "another function": lambda case: found(case, 1 + 1e-6),
            "exchanged": lambda case: found(case)[[1, 0, 2, 3]],
        },
        scope=f"{SCOPE}, every shipped kernel",
    )


def bounded(claim: Claim, setting: Setting) -> Evidence:
    """`f(S)^2 <= K(S, S) |f|^2` for every shipped kernel and output, and equality for a section.

    A pass guarantees the inequality on the cases drawn, and that no smaller factor will do: with
    99 in 100 of the right side a section breaks it.
    """

    @remembered
    def sides(case: Case) -> tuple[Tensor, Tensor]:
        left, right = [], []
        own = case.family.reference(case.T, case.T).diagonal().reshape(len(case.T), -1)
        for f in (case.function(case.a), *_sections(case)[-3:]):
            values = f(case.T).reshape(len(case.T), -1)
            left.append((values**2).flatten())
            right.append((own * rkhs.inner(f, f)).flatten())
        return torch.cat(left), torch.cat(right)

    def excess(case: Case, factor: float) -> Tensor:
        """How far the left side exceeds the right one; a positive part only."""
        left, right = sides(case)
        return torch.relu(left - factor * right)

    def reference(case: Case) -> tuple[Tensor, Tensor]:
        value = torch.zeros_like(excess(case, 1.0))
        size = case.family.reference(case.T, case.T).abs().max() ** 2
        return value, torch.full_like(value, ROUNDING * max(1.0, size.item()))

    return agree(
        lambda case: excess(case, 1.0),
        reference,
        _drawn(setting),
        mutants={"99 in 100 of the bound": lambda case: excess(case, 0.99)},
        scope=f"{SCOPE}, every shipped kernel",
    )


# --- derivatives ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A functional of the library beside a reference.

    Args:
        name: said in scopes.
        case: the kernel, f and g.
        functional: of the library.
        value: the same at the function with given coefficients, by the reference.
        size: of the numbers that the value at f is computed from, for its rounding.
    """

    name: str
    case: Case
    functional: rkhs.RealFunctional
    value: Callable[[Tensor], Tensor]
    size: float

    def __str__(self) -> str:
        return f"{self.name}, {self.case}"

    @cached_property
    def slope(self) -> Tensor:
        """`<grad F(f), g>` of the library, `(1,)`."""
        gradient = rkhs.functional_gradient(self.functional, self.case.function(self.case.a))
        return rkhs.inner(gradient, self.case.function(self.case.b)).reshape(1)

    def along(self, t: Tensor | float) -> Tensor:
        """F(f + t g), by the reference."""
        return self.value(self.case.a + t * self.case.b)


def _size(case: Case, *, squared: bool = False) -> float:
    """What the values of f, or `<f, f>`, add up to without regard to signs."""
    at = case.S if squared else case.T
    K, a = case.family.reference(at, case.S).abs(), case.a.flatten().abs()
    return max(1.0, (a @ K @ a if squared else (K @ a).max()).item())


def _evaluation(case: Case) -> Subject:
    output = case.family.outputs - 1
    return Subject(
        "evaluation",
        case,
        rkhs.evaluate(case.T[0], output if case.family.vector_valued else None),
        lambda a: case.values(a, case.T[:1]).flatten()[output],
        _size(case),
    )


def _norm(case: Case) -> Subject:
    size = _size(case, squared=True)
    return Subject("squared norm", case, rkhs.squared_norm(), lambda a: case.product(a, a), size)


def _outer(x: Tensor, y: Tensor) -> Tensor:
    return torch.sin(x) * y + torch.exp(-(x**2))


def _composed(case: Case) -> Subject:
    one, other = _evaluation(case), _norm(case)
    return Subject(
        "a function of two functionals",
        case,
        rkhs.compose(_outer, one.functional, other.functional),
        lambda a: _outer(one.value(a), other.value(a)),
        one.size * other.size,  # a derivative of sin(x) y is up to y
    )


def _loss(case: Case) -> Subject:
    def of_values(values: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-values).sum() + (values**2).mean()

    return Subject(
        "a loss of all values",
        case,
        rkhs.Functional(case.T, of_values),
        lambda a: of_values(case.values(a, case.T)),
        _size(case) ** 2,
    )


SUBJECTS = {"evaluation": _evaluation, "norm": _norm, "composed": _composed, "loss": _loss}


def slopes(claim: Claim, setting: Setting, *, functionals: tuple[str, ...]) -> Evidence:
    """`<grad F(f), g>` of the library against central differences of F along f + t g.

    A pass guarantees agreement within the differences' bound, near 1e-9, for every shipped kernel.
    It cannot see how large the remainder is in other directions.
    """
    subjects = [SUBJECTS[name](case) for name in functionals for case in _drawn(setting)]

    def differences(subject: Subject) -> tuple[Tensor, Tensor]:
        zero = torch.zeros(1, dtype=torch.float64)
        value, bound = oracles.central_difference(
            lambda t: subject.along(t[0]).reshape(1), zero, size=subject.size
        )
        return value.flatten(), bound.flatten()

    return agree(
        lambda subject: subject.slope,
        differences,
        subjects,
        mutants={
            "sign": lambda subject: -subject.slope,
            "off by a relative 1e-5": lambda subject: subject.slope * (1 + 1e-5),
            "another direction": lambda subject: subject.slope + subject.along(0.0),
        },
        scope=f"{SCOPE}, every shipped kernel; {', '.join(functionals)}",
    )


def remainder_order(claim: Claim, setting: Setting, *, functional: str) -> Evidence:
    """What the first order leaves of a step h g: a fitted order of two in h.

    A pass guarantees that slope over the steps looked at, with its interval; a wrong gradient
    leaves an order of one.
    """
    (case,) = cases(setting.seed, ("gaussian",))[:1]
    subject = SUBJECTS[functional](case)

    def left(h: float, factor: float = 1.0) -> float:
        moved = subject.along(h) - subject.along(0.0)
        return abs((moved - h * factor * subject.slope[0]).item())

    steps = [2.0**-n for n in range(7, setting.scaled(14, 17))]
    return slope_is(
        2.0,
        left,
        steps,
        tolerance=0.3,
        mutants={
            "gradient too large by a tenth": lambda h: left(h, 1.1),
            "no first order": lambda h: left(h, 0.0),
        },
        scope=f"{subject}, one direction, steps 1/128 to {steps[-1]:.2g}",
    )
