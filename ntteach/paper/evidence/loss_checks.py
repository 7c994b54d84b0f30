"""The losses of the library against PyTorch's, against differences, and their constants exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sympy
import torch
from sympy import Expr
from torch import Tensor
from torch.func import grad
from torch.nn import functional

from ntteach import losses, oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence import loss_laws
from ntteach.paper.evidence.arithmetic import EXACT

F64 = torch.float64
WEIGHTS = torch.tensor([2.0, 0.5, 3.0], dtype=F64)
DELTA = 0.7
REFERENCES: dict[str, tuple[losses.Loss, Callable[[Tensor, Tensor], Tensor]]] = {
    "squared": (
        losses.squared(),
        lambda f, y: functional.mse_loss(f, y, reduction="none") / 2,
    ),
    "weighted squared": (
        losses.weighted_squared(WEIGHTS),
        lambda f, y: functional.mse_loss(f, y, reduction="none") * WEIGHTS.to(f.device) / 2,
    ),
    "huber": (
        losses.huber(DELTA),
        lambda f, y: functional.huber_loss(f, y, reduction="none", delta=DELTA),
    ),
    "pseudo-huber": (
        losses.pseudo_huber(DELTA),
        lambda f, y: DELTA**2 * ((1 + ((f - y) / DELTA) ** 2).sqrt() - 1),
    ),
    "log-cosh": (losses.log_cosh(), lambda f, y: torch.log(torch.cosh(f - y))),
    "logistic": (
        losses.logistic(),
        lambda f, y: functional.soft_margin_loss(f, y, reduction="none"),
    ),
    "cross-entropy": (
        losses.cross_entropy(),
        lambda f, y: functional.cross_entropy(f, y, reduction="none"),
    ),
}


@dataclass(frozen=True)
class Case:
    """Outputs and targets of one loss, `(5, 3)`; class numbers or probabilities where it has them.

    `scale` is how large outputs are; targets that are met, and residuals where Huber's loss
    bends, are among them.
    """

    loss: str
    f: Tensor
    y: Tensor
    scale: float

    def __str__(self) -> str:
        return f"{self.loss}, outputs of size {self.scale}, targets {self.y.dtype}"


def gradients(claim: Claim, setting: Setting) -> Evidence:
    """Values and closed-form gradients against PyTorch's losses and autograd of these.

    A pass guarantees agreement to rounding for outputs of size up to 4. It cannot see a mistake
    that PyTorch's losses share.
    """

    def candidate(case: Case) -> Tensor:
        loss, _ = REFERENCES[case.loss]
        return torch.cat(
            [loss.gradient(case.f, case.y).flatten(), loss.value(case.f, case.y).flatten()]
        )

    def reference(case: Case) -> tuple[Tensor, Tensor]:
        _, value = REFERENCES[case.loss]
        slope = grad(lambda f: value(f, case.y).sum())(case.f)
        known = torch.cat([slope.flatten(), value(case.f, case.y).flatten()])
        # |f| to 16 and e^16 inside: rounding stays below 1e-14 of that
        return known, torch.full_like(known, 1e-12)

    cases = [
        case for name in REFERENCES for scale in (0.3, 4.0) for case in _draw(name, scale, setting)
    ]
    return agree(
        candidate,
        reference,
        cases,
        mutants={
            "sign flipped": lambda case: -candidate(case),
            "doubled": lambda case: 2 * candidate(case),
            "of the next output": lambda case: candidate(_turned(case)),
        },
        scope="float64, seven losses; outputs of size 0.3 and 4",
    )


def differences(claim: Claim, setting: Setting) -> Evidence:
    """Closed-form gradients against central differences of the library's own values.

    A pass guarantees that gradients belong to values, to about 1e-9; residuals of the Huber loss
    stay off its bend. It cannot see a mistake in both.
    """

    def candidate(case: Case, factor: float = 1.0) -> Tensor:
        return factor * REFERENCES[case.loss][0].gradient(case.f, case.y)

    def reference(case: Case) -> tuple[Tensor, Tensor]:
        loss, _ = REFERENCES[case.loss]
        value, bound = oracles.central_difference(lambda f: loss.value(f, case.y).sum(), case.f)
        return value, bound + 1e-12

    cases = [case for name in REFERENCES for case in _draw(name, 1.5, setting)]
    return agree(
        candidate,
        reference,
        cases,
        mutants={
            "sign flipped": partial(candidate, factor=-1.0),
            "too large by one part in a million": partial(candidate, factor=1 + 1e-6),
        },
        scope="float64, seven losses; outputs of size 1.5",
    )


def _draw(name: str, scale: float, setting: Setting) -> list[Case]:
    g = torch.Generator().manual_seed(setting.seed + round(10 * scale))
    shape = (5, 3)
    cases = []
    for _ in range(setting.scaled(2, 10)):
        f = scale * torch.randn(shape, generator=g, dtype=F64)
        y = f + scale * torch.randn(shape, generator=g, dtype=F64)
        y[0, 0] = f[0, 0]
        if name == "logistic":
            y = torch.where(y > f, 1.0, -1.0).to(F64)
        if name == "cross-entropy":
            cases.append(Case(name, f, y.argmax(-1), scale))
            y = torch.softmax(y, -1)
        cases.append(Case(name, f, y, scale))
    return [
        Case(case.loss, case.f.to(setting.device), case.y.to(setting.device), case.scale)
        for case in cases
    ]


def _turned(case: Case) -> Case:
    return Case(case.loss, case.f.roll(1, 0), case.y, case.scale)


# --- the constants, exactly ----------------------------------------------------------------------

_H = sympy.Symbol("h", real=True)
_ONE = {"unit": "1"}
_POINT = {
    "squared": (_ONE | {"target": [0]}, [0], [1]),
    "weighted squared": (_ONE | {"target": [0, 0, 0], "weights": [2, 1, 3]}, [0, 0, 0], [0, 0, 1]),
    "huber": (_ONE | {"target": [0]}, [0], [1]),
    "pseudo-huber": (_ONE | {"target": [0]}, [0], [1]),
    "log-cosh": (_ONE | {"target": [0]}, [0], [1]),
    "logistic": (_ONE | {"label": 1}, [0], [1]),
    "cross-entropy": (_ONE | {"class": 0}, [0, 0], [1, -1]),
}
# Where the curvature along a direction is least: at an output, or far out along the direction.
_FLAT = {
    "squared": (*_POINT["squared"], False),
    "weighted squared": (_POINT["weighted squared"][0], [0, 0, 0], [0, 1, 0], False),
    "huber": (_ONE | {"target": [0]}, [2], [1], False),
    "pseudo-huber": (*_POINT["pseudo-huber"], True),
    "log-cosh": (*_POINT["log-cosh"], True),
    "logistic": (*_POINT["logistic"], True),
    "cross-entropy": (_ONE | {"class": 0}, [0, 0], [1, 1], False),
}


def best(claim: Claim, setting: Setting, *, constant: str) -> Evidence:
    """The library's constants are curvatures that occur, or limits of such, so none is better.

    The curvature `D^T H D / |D|^2` of each loss, differentiated exactly, at the outputs where
    `derivations/losses.py` says that it is extreme. A pass guarantees that tau is no larger, and
    mu no smaller, than it has to be; that they are bounds is for the identities. The mutants are
    constants that are off by one per cent.

    Args:
        claim: the claim.
        setting: profile and seed.
        constant: "smoothness" or "strong_convexity".
    """
    extremes: dict[str, tuple[Any, ...]] = (
        {name: (*point, False) for name, point in _POINT.items()}
        if constant == "smoothness"
        else _FLAT
    )
    found = {name: _curvature(name, *point) for name, point in extremes.items()}
    claimed = {
        name: sympy.Rational(getattr(loss_laws.LOSSES[name][0](point[0]), constant))
        for name, point in extremes.items()
    }
    wrong = [name for name in found if found[name] != claimed[name]]
    off = sympy.Rational(1, 100)
    return Evidence(
        Outcome.REFUTES if wrong else Outcome.SUPPORTS,
        f"{len(found)} losses, exact arithmetic",
        len(found),
        detail=f"another constant for {', '.join(wrong)}"
        if wrong
        else ", ".join(f"{name} {value}" for name, value in found.items()),
        mutants=tuple(
            Mutant(f"{name}, {words}", found[name] != changed)
            for name, value in claimed.items()
            for words, changed in (
                ("1 % more", value + off * max(value, 1)),
                ("1 % less", value - off * max(value, 1)),
            )
        ),
    )


def _curvature(
    name: str, given: dict[str, Any], f: list[int], direction: list[int], far_out: bool
) -> Any:
    """`D . d g(f + h D) / d h / |D|^2` at h = 0, or in the limit of large h."""
    D = np.array(direction, dtype=object)
    start = np.array(f, dtype=object)
    if name == "huber":  # no formula to differentiate at its bend: a quotient, on one side of it
        h = sympy.Rational(1, 2)
        g = [loss_laws.gradient_of(name, start + x * D, given, EXACT) for x in (h, -h)]
        return sympy.sympify((g[0] - g[1]) @ D / (D @ D))
    g = loss_laws.gradient_of(name, start + _H * D, given, EXACT)
    slope = sympy.sympify(sum(sympy.diff(x, _H) * y for x, y in zip(g, D, strict=True)) / (D @ D))
    if far_out:
        return sympy.limit(slope, _H, sympy.oo)
    return sympy.simplify(slope.subs(_H, 0))


def no_constant(claim: Claim, setting: Setting) -> Evidence:
    """For every tau > 0, two residuals whose gradients differ by more than tau times as much.

    They are `1 / (4 tau)` and its negative. A pass guarantees that the absolute loss has no
    smoothness constant. The mutants are the Huber loss, which has one, and residuals too far apart.
    """
    tau = sympy.Symbol("tau", positive=True)
    apart = _excess(loss_laws.absolute, tau, 1 / (4 * tau))
    # the Huber loss has tau = 1 itself, and with it every tau + 1
    controls = {
        "huber": _excess(loss_laws.huber, tau + 1, 1 / (4 * (tau + 1))),
        "residuals of 2 / tau": _excess(loss_laws.absolute, tau, 2 / tau),
    }
    broken = bool(apart.is_positive) and math.isinf(losses.absolute().smoothness)
    return Evidence(
        Outcome.SUPPORTS if broken else Outcome.REFUTES,
        "every tau > 0, exact arithmetic",
        1,
        detail=f"|g - g'| - tau |f - f'| = {apart} for every tau > 0",
        mutants=tuple(Mutant(name, not excess.is_positive) for name, excess in controls.items()),
    )


def _excess(gradient: loss_laws.Gradient, tau: Expr, residual: Expr) -> Expr:
    """`|g(x) - g(-x)| - tau |2 x|` for a residual x."""
    zero = np.array([sympy.Integer(0)], dtype=object)
    x = np.array([residual], dtype=object)
    moved = gradient(x, zero, {}, EXACT) - gradient(-x, zero, {}, EXACT)
    return sympy.simplify(abs(moved[0]) - tau * 2 * residual)
