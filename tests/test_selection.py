"""Choosing sequences: refutations by the library and by hand; checks that see planted errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from torch import Tensor

import ntteach
from ntteach import bounds, losses, oracles, rkhs
from ntteach.claims import Evidence, Outcome, Setting
from ntteach.claims.verdict import judge
from ntteach.paper import registry
from ntteach.paper.evidence import (
    selection_choices,
    selection_descent,
    selection_measured,
    selection_orders,
    selection_steps,
    selection_teachers,
)
from ntteach.paper.evidence.arithmetic import BLOCKS, EXACT, FLOATS, read
from ntteach.paper.evidence.selection_controls import LEARNER

QUICK = Setting()
CLAIM = registry["greedy-step-distance"]
CHECK = CLAIM.checks[-1]
F64 = torch.float64
half = sympy.Rational(1, 2)


def outcome(evidence: Evidence) -> Outcome:
    return judge(CHECK, evidence).outcome


def stored(key: str) -> dict[str, Any]:
    case = registry[key].counterexample
    assert case is not None
    return dict(case.given)


def single_tokens(tokens: list[list[int]]) -> tuple[dict[str, Tensor], Tensor]:
    """A learner of sequences of one token: `f = s W_V`, its kernel the tokens' inner product."""
    d = len(tokens[0])
    params = {"W_Q": torch.eye(d, dtype=F64), "W_K": torch.eye(d, dtype=F64)}
    params["W_V"] = torch.zeros(d, 1, dtype=F64)
    return params, torch.tensor(tokens, dtype=F64)[:, None]


# --- the refutations, on the library's learner ---------------------------------------------------


@pytest.mark.parametrize(
    "key", ["gradient-norm-by-projection", "subset-step-decreases", "greedy-steepest"]
)
def test_the_features_of_a_stored_case_are_the_tokens_of_an_attention_learner(key: str):
    J = stored(key)["J"]
    params, S = single_tokens(J)
    K = ntteach.antk(params, S).reshape(len(J), len(J))
    assert torch.equal(K, torch.tensor(np.array(J) @ np.array(J).T, dtype=F64))


def test_the_stored_step_raises_the_loss_of_the_library_too():
    case = stored("subset-step-decreases")
    params, S = single_tokens(case["J"])
    K = ntteach.antk(params, S).reshape(2, 2)
    g = torch.tensor(case["g"], dtype=F64)
    chosen = rkhs.greedy_teacher()(g, K, case["size"])
    assert chosen.tolist() == [0]
    found = bounds.sufficient_reduction(K, g, eta=0.1, tau=1.0, form="subset", chosen=chosen)
    # eta / (m n) = 1/20, times 12 - 9
    assert found.left == pytest.approx(0.1 / 2 * 3, rel=1e-14)
    assert not all(h.met for h in found.hypotheses)
    # the same learner, taught by gradient descent on its parameters
    learner = selection_measured.Lesson(params, S, -g.view(2, 1, 1), (0,))
    assert learner.rate().item() > 0


def test_the_learner_with_two_tokens_is_the_librarys_and_its_loss_rises_in_a_step():
    first, second = LEARNER["sequences"]
    p = read({**LEARNER, "S": first}, FLOATS)
    params = {name: torch.from_numpy(getattr(p, name)) for name in BLOCKS}
    S = torch.tensor([first, second], dtype=F64)
    targets = torch.tensor(LEARNER["targets"], dtype=F64)[..., None]
    exact = selection_steps.read_choosing(LEARNER, EXACT)
    K = ntteach.antk(params, S).reshape(4, 4)
    assert np.allclose(exact.case.K.astype(float), K.numpy(), rtol=1e-13)
    lesson = selection_measured.Lesson(params, S, targets, (0,))
    assert np.allclose(exact.case.g.astype(float), lesson.residuals.flatten().numpy())
    assert exact.greedy == [(0,)]
    assert exact.rate((0,)) == -sympy.Rational(757, 3456)
    # dL/dt = -(eta / (m n)) g^T K g_A with m = 2 and n = 4 elements
    assert lesson.rate().item() == pytest.approx(selection_measured.ETA / 8 * 757 / 3456, rel=1e-12)
    moving = {name: W.clone().requires_grad_() for name, W in params.items()}
    lesson.average(moving, [0]).backward()
    moved = {name: (W - 1e-3 * W.grad).detach() for name, W in moving.items() if W.grad is not None}
    assert lesson.average(moved, [0, 1]) > lesson.average(params, [0, 1])
    assert lesson.average(moved, [0]) < lesson.average(params, [0])


def test_equal_tokens_keep_the_residuals_of_the_library_up():
    case = stored("algorithm-reaches-tolerance")
    S = torch.tensor([case["sequence"]], dtype=F64)
    targets = torch.tensor(case["targets"], dtype=F64).view(1, 2, 1)
    lowest = math.inf
    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        params = {name: torch.randn(1, 1, generator=g, dtype=F64) for name in BLOCKS}
        lowest = min(lowest, (ntteach.attention(params, S) - targets).square().sum().item())
    assert 0.5 <= lowest < 0.6


@pytest.mark.parametrize("label", [1, -1])
def test_far_beyond_its_label_an_output_has_a_large_residual_and_a_small_gradient(label: int):
    f = label * torch.tensor([4 * math.log(2), 0.0], dtype=F64)
    y = torch.tensor([label, label])
    gradient = losses.logistic().gradient(f, y).abs()
    residual = (f - y).abs()
    assert residual[0] > residual[1]
    assert gradient.tolist() == pytest.approx([1 / 17, 1 / 2])


def test_the_cross_entropy_of_the_stored_case_is_the_librarys():
    case = stored("gradient-follows-residual")
    f, target = (torch.tensor(case[x], dtype=F64) * math.log(2) for x in ("outputs", "targets"))
    # one output is two logits, one of them 0
    logits = torch.stack([f, torch.zeros(2, dtype=F64)], 1)
    p = torch.sigmoid(target)
    gradient = losses.cross_entropy().gradient(logits, torch.stack([p, 1 - p], 1))[:, 0].abs()
    assert (f - target).abs().tolist() == pytest.approx([2 * math.log(2), math.log(2)])
    assert gradient.tolist() == pytest.approx([12 / 85, 1 / 6])


def test_the_stored_ridges_are_a_loss_whose_gradient_is_what_autograd_says():
    case = stored("gradient-falls-towards-target")
    a = torch.tensor(case["ridges"], dtype=F64)
    c, deltas = case["curvatures"], case["deltas"]

    def loss(r: Tensor) -> Tensor:
        parts = [
            losses.huber(d).value(a[k] @ r, torch.zeros((), dtype=F64))
            for k, d in enumerate(map(float, deltas))
        ]
        return sum((w * x for w, x in zip(c, parts, strict=True)), torch.zeros((), dtype=F64))

    line = torch.tensor(case["direction"], dtype=F64)
    near, far = (torch.func.grad(loss)(t * line) for t in case["times"])
    assert near.tolist() == [4, 6]
    assert far.tolist() == [6, 0]
    assert loss(torch.zeros(2, dtype=F64)) == 0 < loss(line)


# --- by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("gradient-follows-residual", ["12/85", "1/6"]),
        ("label-residual-order", ["1/17", "1/2"]),
        ("strongly-convex-order", ["4 and 16"]),
        ("gradient-falls-towards-target", ["[4, 6]", "[6, 0]"]),
        ("gradient-norm-by-projection", ["{1}: 9", "{2}: 16"]),
        (
            "subset-step-decreases",
            ["K g_A = [3, -6]", "= -3", "= 3/20", "[27/10, 13/5]", "13/2 to 281/40"],
        ),
        ("greedy-steepest", ["{1}: 8", "{2}: 15"]),
        ("algorithm-reaches-tolerance", ["[1, 5/8, 17/32]", "never below 1/2"]),
    ],
)
def test_a_replay_prints_the_numbers_that_one_finds_by_hand(key: str, numbers: list[str]):
    case = registry[key].counterexample
    assert case is not None
    found = case.run().found
    assert all(x in found for x in numbers), found


def test_the_step_of_the_stored_case_by_hand():
    # K = ((1, -2), (-2, 5)), eta = 1/10: f moves by -(1/10) (3, -6)
    after = [Fraction(3) - Fraction(3, 10), Fraction(2) + Fraction(6, 10)]
    assert sum(x * x for x in after) / 2 == Fraction(281, 40) > Fraction(13, 2)


@pytest.mark.parametrize("w", [2, 4, 9])
def test_the_ranking_constant_is_reached(w: int):
    case = {"weights": [1, w], "residuals": [[1, 0], [0, 1]]}
    assert selection_orders.weighted_order(case, EXACT, up_to="1").holds
    assert not selection_orders.weighted_order(case, EXACT, up_to="101/100").holds
    loss = losses.weighted_squared(torch.tensor([1.0, float(w)], dtype=F64))
    g = loss.gradient(torch.eye(2, dtype=F64), torch.zeros(2, 2, dtype=F64)).norm(dim=1)
    assert g[0] / g[1] == loss.strong_convexity / loss.smoothness == 1 / w


def test_the_rate_of_convergence_is_reached_by_the_identity():
    # K = 1, eta = 1: a step removes one of N equal residuals
    for n in (1, 2, 4):
        case = {"J": [[0]] * n, "alpha": [1] * n, "c": 1, "pace": 1, "size": 1}
        finding = selection_descent.steps_contract(case, EXACT)
        assert finding.holds
        assert finding.found == f"{n - 1} is left"
        assert not selection_descent.steps_contract(case, EXACT, better="101/100").holds


def test_beyond_two_over_gamma_a_step_leads_away():
    K, residuals = np.array([[sympy.Integer(1)]]), np.array([sympy.Integer(1)])

    def run(eta: Any) -> list[Any]:
        squares = selection_descent.descend(K, residuals, size=1, eta=eta, epsilon=half, last=5)
        return [(r @ r) for r in squares]

    assert run(sympy.Integer(3)) == [4**k for k in range(7)]  # six steps: t = 0, ..., 5
    assert run(sympy.Integer(2)) == [1] * 7
    assert run(half) == [1, half**2, half**4]


def test_the_loop_and_the_librarys_teaching_are_one():
    tokens, targets = [[1, 0], [-2, 1], [1, 1]], [3, 2, -1]
    K = np.array(tokens) @ np.array(tokens).T
    exact = selection_descent.descend(
        np.array(K.tolist(), dtype=object) * sympy.Integer(1),
        np.array([-sympy.Integer(y) for y in targets]),
        size=2,
        eta=sympy.Rational(1, 10),
        epsilon=half,
        last=3,
    )
    learner = rkhs.FunctionalLearner(rkhs.linear(), losses.squared(), eta=0.1)
    S = torch.tensor(tokens, dtype=F64)[:, None]
    y = torch.tensor(targets, dtype=F64)
    history = rkhs.teach(learner, rkhs.greedy_teacher(), S, y, steps=4, size=2, until=0.5)
    assert history.residual_norms is not None
    norms = [math.sqrt(float(r @ r)) for r in exact]
    assert history.residual_norms.tolist() == pytest.approx(norms, rel=1e-13)


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=1, max_size=5),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_choice_by_a_threshold_is_a_best_choice(rows: list[list[int]], data: st.DataObject):
    size = data.draw(st.integers(1, len(rows)))
    scores = [x * x + y * y for x, y in rows]
    top = sum(sorted(scores, reverse=True)[:size])
    found = selection_choices.largest(scores, size)
    assert found
    for chosen in combinations(range(len(rows)), size):
        assert (sum(scores[i] for i in chosen) == top) == (chosen in found)


def test_shares_have_wilsons_intervals():
    # by hand at 0 of 10: the upper end is z^2 / (10 + z^2)
    z = 1.959964
    low, high = selection_measured.wilson(0, 10)
    assert low == 0
    assert high == pytest.approx(z * z / (10 + z * z))
    low, high = selection_measured.wilson(50, 100)
    assert low + high == pytest.approx(1)
    assert (low, high) == pytest.approx((0.40383, 0.59617), abs=1e-5)


# --- planted errors ------------------------------------------------------------------------------


Score = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Score], None]:
    """Puts a teacher with other scores in the place of the library's."""

    def plant(name: str, score: Score) -> None:
        def choose(r: Tensor, gram: Tensor, size: int) -> Tensor:
            return score(r, gram).argsort(descending=True)[:size]

        wrong = rkhs.Teacher("wrong", "residual", True, choose)
        monkeypatch.setattr(rkhs, name, lambda: wrong)

    return plant


def test_the_checks_pass_on_the_library():
    for name in ("greedy", "gradient"):
        found = selection_teachers.teacher_chooses(CLAIM, QUICK, teacher=name)
        assert outcome(found) is Outcome.SUPPORTS
    for check in (
        selection_teachers.constants_bound_gradients,
        selection_teachers.distance_after_a_step,
        selection_teachers.distance_falls_by_the_bound,
        selection_measured.rate_on_all,
        selection_measured.bound_on_the_rate,
    ):
        assert outcome(check(CLAIM, QUICK)) is Outcome.SUPPORTS, check


@pytest.mark.parametrize(
    "score",
    [
        lambda r, gram: -r.norm(dim=1),
        lambda r, gram: r.abs().amax(1),
        lambda r, gram: r.abs().sum(1),
        lambda r, gram: torch.arange(len(r)),
    ],
    ids=["smallest", "largest entry", "sum", "place"],
)
def test_a_teacher_with_other_scores_is_seen(teacher: Any, score: Any):
    teacher("greedy_teacher", score)
    found = selection_teachers.teacher_chooses(CLAIM, QUICK, teacher="greedy")
    assert found.outcome is Outcome.REFUTES


def test_a_teacher_of_the_smallest_residuals_is_not_often_best(teacher: Any):
    teacher("greedy_teacher", lambda r, gram: -r.norm(dim=1))
    found = selection_measured.greedy_is_often_best(CLAIM, QUICK)
    assert found.outcome is Outcome.REFUTES


def test_runs_with_another_teacher_do_not_contract(teacher: Any):
    teacher("greedy_teacher", lambda r, gram: -r.norm(dim=1))
    assert selection_teachers.runs_contract(CLAIM, QUICK).outcome is Outcome.REFUTES


@pytest.mark.parametrize("constant", ["smoothness", "strong_convexity"])
def test_a_constant_too_good_by_one_percent_is_seen(constant: str, monkeypatch: pytest.MonkeyPatch):
    right = losses.squared()
    factor = 0.99 if constant == "smoothness" else 1.01
    wrong = replace(right, **{constant: factor * getattr(right, constant)})
    monkeypatch.setitem(selection_teachers.CONVEX, "squared", lambda: wrong)
    found = selection_teachers.constants_bound_gradients(CLAIM, QUICK)
    assert found.outcome is Outcome.REFUTES


def test_a_learner_that_steps_too_far_is_seen(monkeypatch: pytest.MonkeyPatch):
    step = rkhs.FunctionalLearner.step

    def longer(self: rkhs.FunctionalLearner, S: Tensor, y: Tensor) -> Tensor:
        self.eta *= 1 + 1e-6
        return step(self, S, y)

    monkeypatch.setattr(rkhs.FunctionalLearner, "step", longer)
    found = selection_teachers.distance_after_a_step(CLAIM, QUICK)
    assert found.outcome is Outcome.REFUTES


@pytest.mark.parametrize("factor", [-1.0, 0.99])
def test_a_wrong_rate_or_bound_of_a_subset_is_seen(factor: float, monkeypatch: pytest.MonkeyPatch):
    right = bounds.sufficient_reduction

    def wrong(*given: Any, **named: Any) -> bounds.Reduction:
        found = right(*given, **named)
        values = dict(found.constants)
        scale = selection_measured.ETA / (values["normaliser"] * values["normaliser of the chosen"])
        size, least = values["|g_A|"], values["lambda_min(A)"]
        against = factor * values["|B|"] * values["|g_R|"]
        moved = -scale * size * (least * size - against)
        return replace(found, left=found.left * (1 + 1e-9), right=moved)

    monkeypatch.setattr(bounds, "sufficient_reduction", wrong)
    assert selection_measured.rate_on_all(CLAIM, QUICK).outcome is Outcome.REFUTES
    assert selection_measured.bound_on_the_rate(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_a_rate_of_the_learner_comes_from_the_oracle():
    lesson = selection_measured.lessons(QUICK)[-1]
    flat = lesson.residuals.flatten()
    n, L = lesson.S.shape[0] * lesson.S.shape[1], lesson.S.shape[1]
    taken = torch.zeros_like(lesson.residuals)
    taken[list(lesson.chosen)] = lesson.residuals[list(lesson.chosen)]
    scale = selection_measured.ETA / (n * len(lesson.chosen) * L)
    K = oracles.tangent_kernel(lesson.params, lesson.S).reshape(len(flat), len(flat))
    assert lesson.rate().item() == pytest.approx((-scale * flat @ K @ taken.flatten()).item())


def test_a_statement_turned_around_is_not_refuted_by_its_case():
    # the case against a subset step is none against a step on all
    case = stored("subset-step-decreases")
    finding = selection_steps.subset_step_spares_the_rest(case, EXACT, all_chosen=True)
    assert finding.holds
    assert all(h.met for h in finding.hypotheses)
    assert selection_steps.greedy_is_steepest(stored("greedy-steepest"), EXACT, weighed=True).holds
