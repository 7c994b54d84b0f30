"""Claims on function space: their exact cases against the library, and checks that see errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Rational
from torch import Tensor

import ntteach
from ntteach import losses, oracles, rkhs
from ntteach.claims import Evidence, Outcome, Setting
from ntteach.claims.verdict import judge
from ntteach.paper import registry
from ntteach.paper.evidence import (
    space_descent,
    space_evolution_laws,
    space_families,
    space_flow,
    space_functionals,
    space_kernel_laws,
    space_kernels,
    space_laws,
    space_learning_laws,
    space_numbers,
)
from ntteach.paper.evidence.arithmetic import BLOCKS, EXACT, FLOATS, output, read
from ntteach.rkhs import (
    alignment,
    functionals,
    functions,
    kernels,
    normalisation,
    pointwise,
    signatures,
)
from ntteach.rkhs import outputs as kernel_outputs
from ntteach.rkhs.kernels import Kernel

QUICK = Setting()
CLAIM = registry["reproducing-property"]
F64 = torch.float64


def outcome(evidence: Evidence) -> Outcome:
    return judge(CLAIM.checks[-1], evidence).outcome


# --- exact cases ---------------------------------------------------------------------------------

SEQUENCES = [[[0, 1], [2, 0], [1, 1]], [[1, 0], [0, 0], [-1, 2]], [[2, 1], [2, 1], [0, 3]]]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_exact_signature_kernel_is_the_librarys_and_the_oracles(depth: int):
    exact = space_kernel_laws.signature_gram(SEQUENCES, depth, EXACT).astype(float)
    S = torch.tensor(SEQUENCES, dtype=F64)
    assert np.allclose(rkhs.signature(depth)(S).numpy(), exact, rtol=1e-13)
    oracle = [[oracles.signature_kernel(s, t, depth) for t in SEQUENCES] for s in SEQUENCES]
    assert np.allclose(oracle, exact, rtol=1e-13)
    assert np.allclose(
        space_kernel_laws.signature_gram(SEQUENCES, depth, FLOATS), exact, rtol=1e-13
    )


def test_the_stored_singular_kernel_is_singular_for_the_library_at_any_depth():
    stored = registry["sequence-kernel-definite"].counterexample
    assert stored is not None
    S = torch.tensor(stored.given["sequences"], dtype=F64)
    for depth in (1, 2, 5):
        assert torch.linalg.det(rkhs.signature(depth)(S)).item() == 0


def test_a_functional_with_all_slopes_zero_need_not_be_continuous():
    # a^3 b / (a^6 + b^2) on b = a^3
    finding = space_laws.display_is_uniform({"powers": [3, 1, 6, 2]}, EXACT)
    assert finding.violated
    for a in (Rational(1, 2), Rational(1, 1000)):
        assert a**3 * a**3 / (a**6 + (a**3) ** 2) == Rational(1, 2)


def test_the_stored_ratios_by_hand():
    # a^3 b / (a^4 + b^2) is t / 2 for a = t, b = t^2, where |g|^2 = t^2 + t^4
    stored = registry["display-is-frechet"].counterexample
    assert stored is not None
    ratios = [Rational(1, 4) / (1 + t**2) for t in map(Rational, ("1/2", "1/8", "1/32"))]
    assert stored.run().found.startswith(f"it is {ratios}, which does not fall:")


def test_the_learner_that_fits_examples_is_the_projection_in_the_librarys_space():
    target, pool = [2, -1, 1], [[1, 0, 1], [1, 1, 0], [2, 1, 1], [0, 0, 0]]
    exact = space_learning_laws.discrepancy(
        space_numbers.numbers(target, EXACT), space_numbers.numbers(pool, EXACT)
    )
    floats = space_learning_laws.discrepancy(np.array(target, float), np.array(pool, float))
    S = torch.tensor(pool, dtype=F64)[:, None]
    kernel, w = rkhs.linear(), torch.tensor(target, dtype=F64)
    goal = rkhs.section(kernel, w[None])
    fitted = rkhs.Function(kernel, S, torch.linalg.pinv(kernel(S)) @ goal(S))
    # the third example is the sum of the others, and n = (1, -1, -1) is seen by none: <w, n>^2 / 3
    assert exact == Rational(4, 3)
    assert floats == pytest.approx(4 / 3)
    assert rkhs.norm(fitted - goal).item() ** 2 == pytest.approx(4 / 3)


def test_pruned_and_plain_enumeration_by_hand():
    # (1, 0) and (0, 1) each halve |w|^2 = 8 at the price 3, (1, 1) takes all of it
    found = dict.fromkeys(range(4), 100)
    given = {"pool": [[1, 0], [0, 1], [1, 1]], "target": [2, 2], "price": 3}
    for size, cost in space_learning_laws.costs(given, EXACT):
        found[size] = min(found[size], cost)
    assert found == {0: 8, 1: 3, 2: 6, 3: 9}


def test_the_costs_of_the_endless_pool_fall_to_the_price():
    target = space_numbers.numbers([2, 0], EXACT)
    costs = [
        space_learning_laws.discrepancy(target, space_numbers.numbers([[n, 1]], EXACT)) + 1
        for n in (1, 2, 100)
    ]
    assert costs == [3, Rational(9, 5), 1 + Rational(4, 10001)]


def test_the_logistic_slope_is_the_librarys():
    loss = losses.logistic()
    for u in (0.25, 1.0, 4.0):
        f = torch.tensor([np.log(u)] * 3, dtype=F64)
        slope = loss.gradient(f, torch.tensor([1, 1, -1])).mean().item()
        assert slope == pytest.approx((u / 3 - 2 / 3) / (1 + u))
    root = torch.tensor([np.log(2.0)] * 3, dtype=F64)
    assert loss.gradient(root, torch.tensor([1, 1, -1])).mean().abs() < 1e-15


def test_the_stored_velocities_are_the_librarys():
    stored = registry["evolution-fixed-kernel"].counterexample
    assert stored is not None
    p = read(stored.given, EXACT)
    exact = space_evolution_laws.velocity(p, output(p)).astype(float)
    q = read(stored.given, FLOATS)
    S = torch.from_numpy(q.S)[None]
    for factor in (1.0, 2.0):
        params = {name: torch.from_numpy(getattr(q, name)) for name in BLOCKS}
        params |= {"W_Q": factor * params["W_Q"], "W_K": params["W_K"] / factor}
        f = ntteach.attention(params, S).flatten()
        speed = -rkhs.frozen_antk(params).gram(S) @ f / 2
        assert np.allclose(speed.numpy(), exact, rtol=1e-12) == (factor == 1.0)


# --- what the checks look at ---------------------------------------------------------------------


def test_every_kernel_that_is_shipped_is_among_the_families():
    every = [family for group in space_families.families(0).values() for family in group]
    seen = {type(family.kernel) for family in every}
    shipped = {
        value
        for module in (kernels, pointwise, alignment, signatures, normalisation, kernel_outputs)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Kernel) and value.__subclasses__() == []
    }
    assert shipped - seen == {kernels.Scaled}  # it is a summand
    for family in every:
        assert family.outputs == family.kernel.outputs_at(torch.ones(1, 3, 2, dtype=F64))


CHECKS: dict[str, Callable[[], Evidence]] = {
    **{
        family: partial(space_kernels.against_reference, CLAIM, QUICK, family=family)
        for family in space_families.NAMES
    },
    "semidefinite": partial(space_kernels.semidefinite, CLAIM, QUICK, names=space_families.NAMES),
    "reproducing": partial(space_functionals.reproducing, CLAIM, QUICK),
    "inner": partial(space_functionals.inner_products, CLAIM, QUICK),
    "bounded": partial(space_functionals.bounded, CLAIM, QUICK),
    "slopes": partial(
        space_functionals.slopes, CLAIM, QUICK, functionals=("evaluation", "norm", "loss")
    ),
    "composed": partial(space_functionals.slopes, CLAIM, QUICK, functionals=("composed",)),
    "step": partial(space_descent.step, CLAIM, QUICK),
    "differences": partial(space_descent.step_by_differences, CLAIM, QUICK),
    "averaged": partial(space_flow.averaged_gradient, CLAIM, QUICK),
    "speeds": partial(space_flow.flow_speeds, CLAIM, QUICK),
    "limit": partial(space_flow.flow_limit, CLAIM, QUICK),
    "network": partial(space_flow.network_and_kernel, CLAIM, QUICK),
}


def scaled(function: Callable[..., Tensor], factor: float) -> Callable[..., Tensor]:
    return lambda *arguments: factor * function(*arguments)


def diagonal_lost(self: Kernel, S: Tensor, T: Tensor) -> Tensor:
    K = torch.exp(-pointwise.squared_distances(*self._vectors(S, T)))  # type: ignore[attr-defined]
    return K - torch.eye(*K.shape, dtype=K.dtype)


ORIGINAL = {
    "values": functions.Function.__call__,
    "inner": functions.inner,
    "step": rkhs.FunctionalLearner.step,
    "gradient": functionals.Functional.gradient,
    "composed": functionals.Composition.gradient,
}


def longer_step(self: rkhs.FunctionalLearner, S: Tensor, y: Tensor) -> Tensor:
    before = self.at(S)
    loss = ORIGINAL["step"](self, S, y)
    self.function = before + 1.01 * (self.function - before)
    return loss


PLANTED: dict[str, tuple[Any, str, Any, tuple[str, ...]]] = {
    "a Gaussian twice as wide": (
        pointwise.Gaussian,
        "_values",
        lambda self, S, T: torch.exp(-pointwise.squared_distances(*self._vectors(S, T))),
        ("gaussian", "combinations", "separable"),
    ),
    "a kernel that is not semi-definite": (
        pointwise.Gaussian,
        "_values",
        diagonal_lost,
        ("semidefinite", "gaussian"),
    ),
    "values a tenth too large": (
        functions.Function,
        "__call__",
        scaled(ORIGINAL["values"], 1.1),
        ("reproducing", "step"),
    ),
    "an inner product twice as large": (
        rkhs,
        "inner",
        scaled(ORIGINAL["inner"], 2.0),
        ("inner", "bounded", "composed"),
    ),
    "a gradient of the wrong sign": (
        functionals.Functional,
        "gradient",
        lambda self, f: -ORIGINAL["gradient"](self, f),
        ("slopes", "averaged"),
    ),
    "a chain rule without its outer derivative": (
        functionals.Composition,
        "gradient",
        lambda self, f: self.functionals[0].gradient(f),
        ("composed",),
    ),
    "a step longer by a hundredth": (
        rkhs.FunctionalLearner,
        "step",
        longer_step,
        ("step", "differences"),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_checks_see_a_planted_error(name: str, monkeypatch: pytest.MonkeyPatch):
    where, attribute, wrong, checks = PLANTED[name]
    monkeypatch.setattr(where, attribute, wrong)
    for check in checks:
        assert outcome(CHECKS[check]()) is not Outcome.SUPPORTS, check


def test_an_oracle_that_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch):
    right = oracles.pointwise_kernel
    monkeypatch.setattr(oracles, "pointwise_kernel", lambda *a, **k: right(*a, **k) * (1 + 1e-9))
    for check in ("linear", "laplace", "reproducing", "step"):
        assert CHECKS[check]().outcome is Outcome.REFUTES, check


def test_a_comparison_that_sees_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(space_kernels, "ROUNDING", 10.0)
    assert outcome(CHECKS["gaussian"]()) is Outcome.ERROR


def test_references_are_those_of_single_sequences():
    for case in space_families.cases(3, ("alignment", "frozen ANTK")):
        whole = case.family.reference(case.S, case.T)
        o = case.family.outputs
        one = case.family.reference(case.S[1:2], case.T[:1])
        assert torch.allclose(whole[o : 2 * o, :o], one, rtol=1e-13)


def test_what_is_remembered_is_of_the_object_asked_about():
    asked: list[str] = []

    def length(x: list[int]) -> int:
        asked.append(str(x))
        return len(x)

    remembered = space_families.remembered(length)
    one, other = [1], [1, 2]
    assert [remembered(one), remembered(other), remembered(one)] == [1, 2, 1]
    assert asked == ["[1]", "[1, 2]"]
