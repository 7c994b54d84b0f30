"""How outputs move when parameters do: the kernel as what carries a step, and what is left over."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp

from ntteach import antk, antk_operator, attention, attention_jacobian, oracles
from ntteach.checks.trend import fit_slope
from ntteach.claims import Evidence, Outcome, Setting
from ntteach.paper import registry
from ntteach.paper.domains import AttentionCase, random_cases
from ntteach.paper.evidence import descent, evolution, evolution_laws, tangent_entries
from ntteach.paper.evidence.arithmetic import EXACT
from ntteach.paper.evidence.pairs import PairCase, oracle_block, oracle_kernel, pair_cases

FORMS = ("self", "causal", "masked", "cross", "multi-head", "projected")
ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
Params = dict[str, Tensor]


@pytest.fixture(params=FORMS)
def pair(request: pytest.FixtureRequest) -> PairCase:
    """Two batches of different lengths for one learner."""
    return pair_cases(request.param, Setting(), random=1, edges=False)[0]


def direction(case: AttentionCase, seed: int = 1) -> Params:
    g = torch.Generator().manual_seed(seed)
    return {x: torch.randn(W.shape, generator=g, dtype=W.dtype) for x, W in case.params.items()}


def moved(case: AttentionCase, by: Params, h: float | Tensor) -> Tensor:
    params = {name: W + h * by[name] for name, W in case.params.items()}
    return oracles.attention(params, case.S, **case.arguments)


# --- the kernel carries a step -------------------------------------------------------------------


def test_outputs_move_along_the_kernel_of_what_is_trained_on(pair: PairCase):
    # in every form, for any loss gradient G: d f(S) / dt = -sum K(S, S') G
    watched, trained = pair.rows, pair.columns
    out = oracles.attention(trained.params, trained.S, **trained.arguments)
    G = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)

    def loss(params: Params) -> Tensor:
        return (G * oracles.attention(params, trained.S, **trained.arguments)).sum()

    def output(params: Params) -> Tensor:
        return oracles.attention(params, watched.S, **watched.arguments)

    descent = {name: -slope for name, slope in grad(loss)(trained.params).items()}
    speed = jvp(output, (watched.params,), (descent,))[1]
    K = antk(watched.params, watched.S, **pair.call)
    torch.testing.assert_close(-torch.tensordot(K, G, 3), speed, rtol=1e-10, atol=1e-10)
    operator = antk_operator(watched.params, watched.S, **pair.call)
    by_operator = -(operator @ G.flatten()).reshape(speed.shape)
    torch.testing.assert_close(by_operator, speed, rtol=1e-10, atol=1e-10)


def test_a_batch_that_is_trained_on_itself_loses_the_quadratic_form_of_the_kernel():
    # d loss / dt = -G^T K G <= 0
    (case,) = random_cases("self", count=1, seed=0)
    out = oracles.attention(case.params, case.S)
    G = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)

    def loss(params: Params) -> Tensor:
        return (G * oracles.attention(params, case.S)).sum()

    slope = grad(loss)(case.params)
    rate = -sum(x.square().sum() for x in slope.values())
    K = antk(case.params, case.S)
    form = -torch.tensordot(G, torch.tensordot(K, G, 3), 3)
    torch.testing.assert_close(form, rate)
    assert form < 0


def test_kernel_blocks_add_up_to_the_kernel(pair: PairCase):
    K, bound = oracle_kernel(pair)
    blocks = sum((oracle_block(pair, name) for name in pair.rows.params), torch.zeros_like(K))
    assert ((blocks - K).abs() <= bound).all()


# --- what is left of a step ----------------------------------------------------------------------

STEPS = [2.0**-n for n in range(4, 11)]


@pytest.mark.parametrize("form", FORMS)
def test_the_remainder_of_a_step_is_of_second_order(form: str):
    (case,) = random_cases(form, count=1, seed=0)
    by = direction(case)
    J = attention_jacobian(case.params, case.S, **case.call)
    first = torch.stack([torch.einsum("njcxy,xy->njc", J[x], by[x]) for x in J]).sum(0)
    still = attention(case.params, case.S, **case.call)

    def left(h: float, first: Tensor) -> float:
        return (moved(case, by, h) - still - h * first).norm().item()

    slope = fit_slope(STEPS, [left(h, first) for h in STEPS])
    assert 1.85 < slope.low < slope.high < 2.15
    wrong = fit_slope(STEPS, [left(h, 1.1 * first) for h in STEPS])
    assert wrong.high < 1.5


def test_the_remainder_is_of_third_order_where_the_curvature_is_taken_along():
    (case,) = random_cases("self", count=1, seed=0)
    by = direction(case)

    def output(h: Tensor) -> Tensor:
        return moved(case, by, h)

    def speed(h: Tensor) -> Tensor:
        return jvp(output, (h,), (torch.ones_like(h),))[1]

    zero = torch.zeros((), dtype=torch.float64)
    first = speed(zero)
    second = jvp(speed, (zero,), (torch.ones_like(zero),))[1]
    left = [
        (moved(case, by, h) - moved(case, by, 0.0) - h * first - h**2 / 2 * second).norm().item()
        for h in STEPS
    ]
    slope = fit_slope(STEPS, left)
    assert 2.8 < slope.low < slope.high < 3.2


@pytest.mark.parametrize("name", ["W_V", "W_O"])
def test_a_parameter_that_outputs_are_linear_in_leaves_no_remainder(name: str):
    (case,) = random_cases("projected", count=1, seed=0)
    by = {x: D if x == name else torch.zeros_like(D) for x, D in direction(case).items()}
    speed = (moved(case, by, 1.0) - moved(case, by, -1.0)) / 2
    left = moved(case, by, 5.0) - moved(case, by, 0.0) - 5.0 * speed
    assert left.abs().max() < 1e-12


# --- the checks themselves -----------------------------------------------------------------------

CHECKS = {
    "chain rule": evolution.chain_rule,
    "order": evolution.remainder_order,
    "integral": evolution.remainder_integral,
    "values": evolution.only_values_move,
    "flow": descent.flow,
    "product": descent.product_of_gradients,
    "step": descent.step_remainder,
    "one output": descent.along_one_output,
    "figure": tangent_entries.figure,
    "batch": tangent_entries.blocks_of_a_batch,
    "transposed": tangent_entries.transposed,
}
CLAIM = registry["kernel-evolution"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", CHECKS)
def test_checks_hold_for_other_seeds_and_catch_their_mutants(name: str, seed: int):
    found: Evidence = CHECKS[name](CLAIM, Setting(seed=seed))
    assert found.outcome is Outcome.SUPPORTS, found.detail
    assert [mutant.name for mutant in found.mutants if not mutant.refuted] == []


# an error in the library, and the checks that have to see it
BROKEN = {
    "the kernel doubled": (
        "antk",
        lambda f: lambda *x, **y: 2 * f(*x, **y),
        {"flow", "one output"},
    ),
    "the kernel's sign": (
        "antk",
        lambda f: lambda *x, **y: -f(*x, **y),
        {"flow", "product", "step"},
    ),
    "the forward pass": (
        "attention",
        lambda f: lambda params, S: f({**params, "W_V": params["W_V"] ** 2}, S),
        {"order", "integral", "values"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_checks_see_an_error_in_the_library(name: str, monkeypatch: pytest.MonkeyPatch):
    target, change, seen = BROKEN[name]
    for module in (evolution, descent):
        if hasattr(module, target):
            monkeypatch.setattr(module, target, change(getattr(module, target)))
    for check in seen:
        assert CHECKS[check](CLAIM, Setting()).outcome is Outcome.REFUTES, check


def test_checks_see_an_error_in_a_gradient(monkeypatch: pytest.MonkeyPatch):
    true = evolution.gradients.attention_jacobian

    def wrong(params: Params, S: Tensor) -> Params:
        J = true(params, S)
        return {**J, "W_K": 1.01 * J["W_K"]}

    monkeypatch.setattr(evolution.gradients, "attention_jacobian", wrong)
    for check in ("chain rule", "order", "integral", "product"):
        assert CHECKS[check](CLAIM, Setting()).outcome is Outcome.REFUTES, check


# --- exact cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["1/4", "1", "-1/2"])
def test_a_finite_step_of_gradient_descent_has_a_remainder(step: str):
    case = {"S": [[0], [1]], **ONES, "targets": [[0], [0]]}
    assert evolution_laws.remainder_is_nonzero({**case, "step": step}, EXACT).holds
    assert evolution_laws.remainder_is_nonzero({**case, "step": 0}, EXACT).violated


def test_without_softmax_the_remainder_is_that_of_a_product():
    # (1 + h)^3 - 1 - 3 h = 3 h^2 + h^3, times log 2
    case = {"S": [[1]], **ONES, "D_Q": [[1]], "D_K": [[1]], "D_V": [[1]], "step": "1/2"}
    finding = evolution_laws.no_remainder_without_activation(case, EXACT)
    assert finding.violated
    assert "7*log(2)/8" in finding.found


def test_a_gradient_depends_on_its_sequence_and_not_on_its_neighbours():
    case = {"S": [[0], [1]], "other": [[1], [2]], **ONES}
    assert evolution_laws.gradient_is_input_free(case, EXACT).violated
    (drawn,) = random_cases("self", count=1, seed=0)
    K = antk(drawn.params, drawn.S)
    alone = antk(drawn.params, drawn.S[0])
    torch.testing.assert_close(K[0, :, :, 0], alone, rtol=1e-12, atol=1e-12)
    other = replace(drawn, S=drawn.S.flip(-1))
    assert not torch.allclose(antk(other.params, other.S[0]), alone)
