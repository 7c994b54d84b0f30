"""Proposition 4: exact cases against other arithmetic, and checks that see planted errors."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import sympy
import torch

from ntteach import bounds, losses, oracles
from ntteach.claims import Counterexample, Evidence, Outcome, Setting
from ntteach.claims.verdict import judge
from ntteach.paper import (
    registry,
    sufficient_reduction,
    sufficient_reduction_proof,
    sufficient_reduction_repairs,
)
from ntteach.paper.evidence import (
    reduction_cases,
    reduction_condition_laws,
    reduction_controls,
    reduction_laws,
    reduction_learners,
    reduction_numbers,
    reduction_proof_laws,
    reduction_repair_laws,
    reduction_samples,
    sentences,
)
from ntteach.paper.evidence.arithmetic import EXACT, FLOATS, Finding
from ntteach.rkhs import FunctionalLearner

QUICK = Setting()
CLAIM = registry["exact-loss-rate"]
CHECK = CLAIM.checks[-1]
MODULES = (sufficient_reduction, sufficient_reduction_proof, sufficient_reduction_repairs)
KEYS = {claim.key for module in MODULES for claim in module.CLAIMS}
LAWS = reduction_laws.LAWS | reduction_proof_laws.LAWS
LAWS |= reduction_repair_laws.LAWS | reduction_condition_laws.LAWS
EYE = [[1, 0], [0, 1]]
PAIR: dict[str, Any] = {
    "sequences": [[[0], [1]]],
    "W_Q": [[3]],
    "W_K": [[1]],
    "W_V": [[1]],
    "g": [2, -1],
    "eta": "1/2",
}


def outcome(evidence: Evidence) -> Outcome:
    return judge(CHECK, evidence).outcome


def drawn(seed: int, *, huber: bool = False) -> dict[str, Any]:
    draw = random.Random(seed)
    n = draw.randint(1, 3)
    J = [[draw.randint(-2, 2) for _ in range(n)] for _ in range(n)]
    J[0][0] = 1  # K is not zero
    residuals = [draw.randint(-3, 3) for _ in range(n)]
    return {"J": J} | ({"residuals": residuals, "delta": 2} if huber else {"g": residuals})


# --- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_pivots_are_as_many_as_positive_eigenvalues(seed: int):
    case = reduction_cases.read_case(drawn(seed), EXACT)
    pivots = reduction_numbers.pivots(case.K)
    values = np.linalg.eigvalsh(case.K.astype(float))
    assert pivots is not None
    assert len(pivots) == (values > 1e-9).sum()
    assert all(x > 0 for x in pivots)
    shifted = case.K - np.diag([sympy.Integer(1) * int(values[-1] + 1)] * case.n)
    assert reduction_numbers.pivots(shifted) is None


@pytest.mark.parametrize("K", [[[0, 1], [1, 0]], [[1, 2], [2, 1]], [[-1]], [[0, 0], [0, -1]]])
def test_indefinite_matrices_have_no_pivots(K: list[list[int]]):
    assert reduction_numbers.pivots(reduction_numbers.matrix(K, EXACT)) is None


def test_the_least_bound_on_a_kernel_is_its_largest_entry():
    case = reduction_cases.read_case({"K": [[2, -5], [-5, 20]], "g": [1, 1]}, EXACT)
    assert (case.gamma, case.eta) == (20, sympy.Rational(1, 40))


@pytest.mark.parametrize("r", [-3, -2, -1, 0, 1, 2, 5])
def test_hubers_loss_of_a_case_is_the_librarys(r: int):
    case = reduction_cases.read_case({"K": [[1]], "residuals": [r], "delta": 2}, EXACT)
    f, y = torch.tensor([float(r)]), torch.zeros(1)
    assert float(case.g[0]) == losses.huber(2.0).gradient(f, y).item()
    assert float(case.losses(case.residuals)[0]) == losses.huber(2.0).value(f, y).item()


def test_log_2_lies_between_its_bounds():
    low, high = reduction_numbers.LOG2
    assert low < sympy.log(2) < high
    assert 3**3 > 8 > sympy.exp(2)  # e^2 < 8 = 2^3
    assert sympy.exp(7) > 2**10


@pytest.mark.parametrize("text", ["log(2)**2 - 1/3", "(1 + log(2))/(2 + log(2)**2)", "3 - log(2)"])
def test_an_enclosure_holds_the_number(text: str):
    x: Any = sympy.sympify(text)
    low, high = reduction_numbers.enclosure(x)
    assert low <= high
    assert float(low) < float(x) < float(high)


def test_what_the_bounds_on_log_2_leave_open_is_an_error():
    x = sympy.log(2)
    with pytest.raises(ValueError, match="do not say whether"):
        reduction_numbers.at_most(x, sympy.Rational(69, 100))


# --- the proposition -----------------------------------------------------------------------------


def test_the_case_of_the_proposition_by_hand():
    stored = registry["sufficient-loss-reduction"].counterexample
    assert stored is not None
    case, _ = reduction_laws.learner_case(stored.given, EXACT)
    assert case.K.tolist() == [[1, 0], [0, 4]]  # inner products of (1, 0) and (0, 2)
    velocity, slope = reduction_laws.rate(case)
    assert velocity.tolist() == [-sympy.Rational(1, 16), -sympy.Rational(1, 4)]
    assert slope == -sympy.Rational(5, 32)
    assert reduction_laws.bound(case) == -sympy.Rational(1, 4)


@pytest.mark.parametrize("given", [PAIR, {**PAIR, "sequences": [[[0]], [[2]], [[-1]]]}])
def test_the_rate_of_a_learner_is_that_of_its_parameters(given: dict[str, Any]):
    given = {**given, "g": [2, -1, 1][: sum(len(S) for S in given["sequences"])]}
    case, _ = reduction_laws.learner_case(given, FLOATS)
    unit = np.log(2.0)
    params = {
        name: torch.tensor(given[name], dtype=torch.float64) * (unit if name == "W_Q" else 1)
        for name in ("W_Q", "W_K", "W_V")
    }
    speed = {name: torch.zeros_like(W) for name, W in params.items()}
    place = 0
    for S in given["sequences"]:
        J = oracles.jacobian(params, torch.tensor(S, dtype=torch.float64))
        g = torch.tensor(case.g[place : place + len(S)])
        place += len(S)
        for name, block in J.items():
            speed[name] += torch.einsum("j,jab->ab", g, block[:, 0])
    squares = sum(float(x.square().sum()) for x in speed.values())
    expected = -case.eta / case.n**2 * squares
    assert float(reduction_laws.rate(case)[1]) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("name", reduction_controls._OUTSIDE)
def test_a_case_outside_one_hypothesis_would_refute_without_it(name: str):
    stored = registry["sufficient-loss-reduction"].counterexample
    assert stored is not None
    replay = Counterexample(stored.replay, reduction_controls._OUTSIDE[name]).run()
    assert replay.refutes
    assert len([h for h in replay.hypotheses if not h.met]) == 1


def test_a_bound_that_is_not_the_least_is_refuted_by_one_output():
    finding = reduction_laws.falls_by_the_mean({"K": [[1]], "g": [1], "gamma": 3}, EXACT)
    assert not finding.holds
    assert [h.name for h in finding.hypotheses if not h.met] == [
        "gamma is the least bound on K, above 0"
    ]


@pytest.mark.parametrize(("n", "holds"), [(1, True), (2, True), (3, False), (4, False)])
def test_multiples_of_the_identity_pass_for_two_outputs(n: int, holds: bool):
    given = {"K": np.eye(n, dtype=int).tolist(), "g": [1] * n}
    assert bool(reduction_laws.falls_by_the_mean(given, EXACT).holds) is holds
    assert reduction_laws.falls_by_the_mean_summed(given, EXACT).holds


def test_the_smallest_refutation_has_two_outputs():
    draw = random.Random(0)
    for _ in range(50):
        given = {"K": [[draw.randint(1, 9)]], "g": [draw.randint(-9, 9)]}
        assert reduction_laws.falls_by_the_mean(given, EXACT).holds


@pytest.mark.parametrize("tokens", [[0, 1, 2], [0, 2, 1], [1, 2, 0]])
def test_residuals_at_rest_move_nothing_in_the_library(tokens: list[int]):
    stored = registry["reduction-reaches-the-least-loss"].counterexample
    assert stored is not None
    order = [[0, 1, 2].index(x) for x in tokens]
    given = {
        **stored.given,
        "sequences": [[[x] for x in tokens]],
        "g": [stored.given["g"][i] for i in order],
    }
    case, _ = reduction_laws.learner_case(given, FLOATS)
    found = bounds.sufficient_reduction(
        torch.tensor(case.K), torch.tensor(case.g), eta=0.1, tau=1.0, form="identity"
    )
    assert abs(found.left) < 1e-12 * float(case.g @ case.g)
    assert not reduction_laws.learner_goes_on(given, EXACT).holds


# --- laws ----------------------------------------------------------------------------------------

ON_GRAMS = [
    name
    for name in LAWS
    if not any(x in name for x in ("attention", "learner", "any normal", "number off", "norm by"))
]


@pytest.mark.parametrize("seed", range(3))
def test_both_arithmetics_find_the_same(seed: int):
    given = drawn(seed)
    for name in ON_GRAMS:
        exact, floats = LAWS[name](given, EXACT), LAWS[name](given, FLOATS)
        met = [h.met for h in exact.hypotheses]
        assert met == [h.met for h in floats.hypotheses], name
        assert bool(exact.holds) == bool(floats.holds), name


@pytest.mark.parametrize("law", ON_GRAMS)
def test_laws_answer_with_plain_truth_values(law: str):
    # a search looks for what is False itself
    finding: Finding = LAWS[law](drawn(1, huber="step" in law), FLOATS)
    assert type(finding.holds) is bool
    assert all(type(h.met) is bool for h in finding.hypotheses)


@pytest.mark.parametrize("seed", range(6))
def test_the_sharp_residuals_attain_their_bound(seed: int):
    g = np.random.default_rng(seed)
    n = 2 + seed % 3
    J = g.normal(size=(n, n))
    K, ones = J @ J.T, np.ones(n)
    c = np.linalg.solve(K, ones)
    s = reduction_condition_laws.reciprocal(K)
    assert s == pytest.approx(ones @ c)
    assert c @ K @ c == pytest.approx(c.sum() ** 2 / s)
    for other in g.normal(size=(200, n)):
        assert other @ K @ other >= other.sum() ** 2 / s * (1 - 1e-9)


def test_off_the_range_nothing_is_left_of_the_mean():
    K = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert reduction_condition_laws.reciprocal(K) == np.inf
    given = {"K": [[1, 0], [0, 0]], "g": [0, 1]}
    assert reduction_condition_laws.condition_is_sharp(given, FLOATS).holds
    assert not reduction_condition_laws.condition_is_sharp(given, FLOATS, limit=float("inf")).holds


@pytest.mark.parametrize("v", [1, 2, 3])
def test_all_ones_with_several_outputs_have_a_norm_above_their_entries(v: int):
    given = {"v": v, "J": [[1, 0]] * v}
    assert reduction_condition_laws.norm_by_blocks(given, FLOATS).holds
    assert reduction_condition_laws.norm_by_entries(given, EXACT).holds is (v == 1)


def test_steps_of_a_case_are_those_of_a_learner_in_function_space():
    case = reduction_samples.samples(QUICK)[0]
    rows = case.K.tolist()
    K = np.array(rows)
    residuals = (case.f - case.y).numpy()
    exact = reduction_cases.Case(FLOATS, K, residuals, K.max(), 1.0, 0.2, len(K))
    step = reduction_proof_laws.take(exact)
    learner = reduction_learners._learner(case, 0.2)
    learner.step(case.S, case.y)
    torch.testing.assert_close(learner.predict(case.S) - case.f, torch.tensor(step.w))


# --- checks come out either way ------------------------------------------------------------------


def refuted(evidence: Evidence) -> bool:
    return evidence.outcome is Outcome.REFUTES


@pytest.mark.parametrize("form", ["identity", "rate", "mean", "discrete", "repaired"])
def test_a_bound_of_the_library_that_is_off_is_seen(form: str):
    true = bounds.sufficient_reduction

    def more(*arguments: Any, **named: Any) -> Any:
        found = true(*arguments, **named)
        object.__setattr__(found, "right", found.right * (1 + 1e-6))
        return found

    assert outcome(reduction_samples.both_sides(CLAIM, QUICK, form=form)) is Outcome.SUPPORTS
    with patch.object(bounds, "sufficient_reduction", more):
        assert refuted(reduction_samples.both_sides(CLAIM, QUICK, form=form))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("decrease_of_learners", {"length": 1.0}), ("modes_of_learners", {})],
)
def test_a_learner_with_another_step_is_seen(name: str, arguments: Mapping[str, Any]):
    check = getattr(reduction_learners, name)
    true = FunctionalLearner.step

    def longer(self: FunctionalLearner, *given: Any) -> Any:
        eta, self.eta = self.eta, 2.1 * self.eta
        try:
            return true(self, *given)
        finally:
            self.eta = eta

    assert outcome(check(CLAIM, QUICK, **arguments)) is Outcome.SUPPORTS
    with patch.object(FunctionalLearner, "step", longer):
        assert refuted(check(CLAIM, QUICK, **arguments))


def test_no_violation_among_learners_is_support(monkeypatch: pytest.MonkeyPatch):
    few = reduction_learners._attention_learners(0, 10)
    monkeypatch.setattr(reduction_learners, "_attention_learners", lambda *_: few)
    true = bounds.sufficient_reduction

    def kind(*arguments: Any, **named: Any) -> Any:
        return true(*arguments, **{**named, "form": "identity"})

    with patch.object(bounds, "sufficient_reduction", kind):
        found = reduction_learners.violated_by_learners(CLAIM, QUICK)
    assert found.outcome is Outcome.SUPPORTS


@pytest.mark.parametrize(("hits", "count"), [(0, 50), (25, 50), (50, 50)])
def test_wilsons_interval_holds_the_share(hits: int, count: int):
    low, high = reduction_learners._wilson(hits, count)
    assert -1e-12 <= low <= hits / count <= high <= 1 + 1e-12
    assert high - low < 0.3


@pytest.mark.parametrize(
    ("law", "mutants", "expected"),
    [
        ("falls by the sharp mean", ("falls by the sharp mean, one per cent more",), "supports"),
        ("loss falls by the mean", ("falls by the sharp mean, one per cent more",), "refutes"),
        ("falls by the sharp mean", ("falls by the least eigenvalue",), "error"),
    ],
)
def test_the_papers_inequality_is_no_repair(law: str, mutants: tuple[str, ...], expected: str):
    found = sentences.search_holds(CLAIM, QUICK, law=law, domain="grams", mutants=mutants)
    assert outcome(found) == expected


# --- the claims ----------------------------------------------------------------------------------


def test_the_proof_uses_every_equation_of_the_appendix():
    uses = registry["sufficient-loss-reduction"].paper_uses
    covered = {n for key in uses for check in registry[key].checks for n in check.equations}
    assert covered == {str(n) for n in range(64, 75)}


def test_the_first_step_that_fails_is_named():
    failing = [
        key
        for key in registry["sufficient-loss-reduction"].paper_uses
        if registry[key].expected["quick"].statement == "refuted"
    ]
    assert failing[0] == "smooth-within-the-form"
    assert registry[failing[0]].number == "Eq. 69"


def test_every_refuted_step_is_repaired():
    for key in KEYS:
        if registry[key].expected["quick"].statement == "refuted":
            assert registry.repaired_by(key), key
