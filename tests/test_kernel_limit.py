"""Theorem 3: the exact runs are runs of gradient flow, and the checks see what is planted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
import torch
from law_cases_limit import KEY, PROBED, REPEATED, SCALED, UNATTENDED
from torch import Tensor

import ntteach
from ntteach import oracles
from ntteach.claims import (
    Check,
    Counterexample,
    Evidence,
    Outcome,
    Registry,
    Replay,
    Setting,
    run,
)
from ntteach.claims.verdict import judge
from ntteach.paper import registry
from ntteach.paper.evidence import (
    limit_conserved,
    limit_growth,
    limit_laws,
    limit_loss_laws,
    limit_runs,
    limit_samples,
    sentences,
)
from ntteach.paper.evidence.arithmetic import BLOCKS, EXACT, FLOATS, Problem, jacobian, output, read
from ntteach.paper.evidence.limit_controls import CONTROLS
from ntteach.paper.evidence.limit_flows import features, flow, outputs, sequences, vector

QUICK = Setting()
CLAIM = registry["antk-convergence"]
F64 = torch.float64
MIXED = {
    "W_Q": [[1, -1], [0, 2]],
    "W_K": [[1, 1], [2, 0]],
    "W_V": [[1, 2], ["1/2", -1]],
}


def outcome(evidence: Evidence) -> Outcome:
    """What is left of evidence after the gates of the runner."""
    return judge(Check("x", "sample", "m:f"), evidence).outcome


def exact_start(given: dict[str, Any]) -> tuple[list[Problem], Any]:
    problems = sequences(given, EXACT)
    return problems, vector(given["gaps"], EXACT, problems[0].S)


# --- exact runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("S", [[[1, 0]], [[1, -1], [0, 2]], [[1, 1], [0, 1], [1, 0]]])
def test_derivatives_by_the_quotient_rule_are_those_of_sympy_and_of_autograd(S: Any, mask: Any):
    given = {"S": S, **MIXED} | ({} if mask is None else {"mask": mask})
    for numbers in (EXACT, FLOATS):
        p = read(given, numbers)
        blocks = jacobian(p)
        rows = 2 * len(S)
        expected = np.concatenate([blocks[W].reshape(rows, -1) for W in BLOCKS], 1)
        assert numbers.same(features([p]), expected)
        assert numbers.same(features([p], ("W_K",)), blocks["W_K"].reshape(rows, -1))


@pytest.mark.parametrize("given", [PROBED, SCALED, REPEATED], ids=["probed", "scaled", "repeated"])
def test_the_line_solves_gradient_flow(given: dict[str, Any]):
    problems, gaps = exact_start(given)
    line = flow(problems, gaps)
    targets = outputs(problems) + gaps
    for s in (0, line.end / 3, 2 * line.end, sympy.Integer(-1)):
        here = line.at(s)
        g = outputs(here) - targets
        assert EXACT.same(g, -line.gap(s))
        J = np.concatenate(
            [
                np.concatenate([jacobian(p)[W].reshape(p.length, -1) for W in BLOCKS], 1)
                for p in here
            ]
        )
        assert EXACT.same(line.jacobian(s), J)
        slope = J.T @ g
        # W_V moves by (1 - lambda s) D, and nothing else does
        values = line.direction.size
        assert EXACT.same(slope[-values:], -(1 - line.rate * s) * line.direction.flatten())
        assert EXACT.same(slope[:-values], 0 * slope[:-values])


def test_a_run_by_hand():
    # one token twice, both outputs are W_V = 1, targets are 2: D = 1 + 1, lambda = 1 + 1
    problems, gaps = exact_start(PROBED)
    line = flow(problems, gaps)
    assert (line.direction.tolist(), line.rate, line.end) == ([[2]], 2, sympy.Rational(1, 2))
    assert line.at(line.end)[0].W_V.tolist() == [[2]]


def test_a_flow_that_leaves_its_line_is_no_run():
    # two tokens of one feature and a second that W_V sees too: A^T A D is no multiple of D
    given = {
        "training": [[[1, 0], [1, 0]], [[1, 1], [1, 1]]],
        "gaps": [[1, 1], [2, 2]],
        **{W: SCALED[W] for W in BLOCKS},
    }
    assert flow(*exact_start(given)).rate is None
    assert flow(*exact_start(REPEATED | {"gaps": [[-1, 1]]})).rate is None  # nothing moves


def torch_weights(given: dict[str, Any], **change: Any) -> dict[str, Tensor]:
    """The start as floats: W_Q of a case is in units of sqrt(d) log 2."""
    weights = {W: torch.tensor((given | change)[W], dtype=F64) for W in BLOCKS}
    return weights | {"W_Q": weights["W_Q"] * math.log(2) * len(weights["W_Q"]) ** 0.5}


def descended(params: dict[str, Tensor], loss: Callable[..., Tensor], time: float) -> Any:
    """Where gradient flow with eta = 1 is after some time, by Runge-Kutta steps of 1/4."""

    def slopes(params: dict[str, Tensor]) -> list[Tensor]:
        params = {name: W.detach().requires_grad_() for name, W in params.items()}
        return [-x for x in torch.autograd.grad(loss(params), list(params.values()))]

    def moved(time: float, speed: list[Tensor]) -> dict[str, Tensor]:
        return {name: W + time * x for (name, W), x in zip(params.items(), speed, strict=True)}

    for _ in range(round(4 * time)):
        k1 = slopes(params)
        k2 = slopes(moved(1 / 8, k1))
        k3 = slopes(moved(1 / 8, k2))
        k4 = slopes(moved(1 / 4, k3))
        mean = [(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
        params = moved(1 / 4, mean)
    return params


def squared(given: dict[str, Any]) -> tuple[Tensor, Callable[..., Tensor]]:
    S = torch.tensor(given["training"], dtype=F64)
    gaps = torch.tensor(given["gaps"], dtype=F64)
    y = oracles.attention(torch_weights(given), S)[..., 0] + gaps
    return S, lambda params: (oracles.attention(params, S)[..., 0] - y).square().mean() / 2


def test_two_starts_with_one_function_end_in_two_kernels_in_floats_too():
    S, loss = squared(SCALED)
    one = torch_weights(SCALED)
    two = one | {"W_Q": 2 * one["W_Q"], "W_K": one["W_K"] / 2}
    ends = [descended(params, loss, 30.0) for params in (one, two)]
    assert max(loss(params).item() for params in ends) < 1e-12
    entries = [ntteach.antk(params, S)[1, 1, 0, 1, 1, 0].item() for params in ends]
    assert entries == pytest.approx([9 / 32, 33 / 128], rel=1e-9)


def test_the_speed_along_the_line_is_the_one_said():
    # f - y = -exp(-eta t): lambda / n is 1
    _, loss = squared(PROBED)
    after = descended(torch_weights(PROBED), loss, 2.0)
    assert after["W_V"].item() == pytest.approx(2 - math.exp(-2), rel=1e-4)
    assert after["W_Q"].item() == torch_weights(PROBED)["W_Q"].item()


def test_a_realisable_target_is_missed_in_floats_too():
    S = torch.tensor(UNATTENDED["training"], dtype=F64)
    y = oracles.attention(torch_weights(UNATTENDED["teacher"]), S)
    assert torch.allclose(y.flatten(), torch.tensor([1 / 2, 2 / 3], dtype=F64))
    end = descended(
        torch_weights(UNATTENDED),
        lambda params: (oracles.attention(params, S) - y).square().mean() / 2,
        60.0,
    )
    f = oracles.attention(end, S).flatten()
    assert torch.allclose(f, torch.full((2,), 7 / 12, dtype=F64), atol=1e-5)


def test_a_kernel_that_grows_for_ever_does_so_in_floats_too():
    S = torch.tensor(KEY["training"], dtype=F64)

    def loss(params: dict[str, Tensor]) -> Tensor:
        return torch.nn.functional.softplus(-oracles.attention(params, S)).mean()

    end = descended(torch_weights(KEY), loss, 20.0)
    s = end["W_V"][1, 0].item() / 2  # W_V = (1, 0) + s (2, 2)
    assert end["W_V"][0, 0].item() == pytest.approx(1 + 2 * s, rel=1e-12)
    assert s > 0.5
    entry = ntteach.antk(end, S)[0, 0, 0, 0, 0, 0].item()
    assert entry == pytest.approx(2 + math.log(2) ** 2 * (1 + 2 * s) ** 2, rel=1e-12)


# --- hypotheses ----------------------------------------------------------------------------------

# Cases that would refute, were it not for what is named.
MISSING = [
    ("antk-convergence", "the second start has no queries", ["no weight matrix is zero"]),
    ("antk-convergence", "sequences of two lengths", ["sequences of one length"]),
    ("antk-convergence", "targets that cannot be met", ["the loss derivative vanishes"]),
    ("antk-convergence", "nothing to learn", ["not zero at the start", "flow moves W_V"]),
    ("antk-of-the-function", "no queries", ["no weight matrix is zero"]),
    ("antk-of-the-function", "targets that cannot be met", ["the loss derivative vanishes"]),
    ("bracket-vanishes", "the contraction is not zero", ["Eqs. 59 to 62 hold"]),
    ("antk-settles", "two sequences", ["one sequence"]),
    ("loss-derivative-vanishes", "W_Q moves", ["and W_V alone"]),
    ("loss-derivative-vanishes", "nothing moves", ["flow moves W_V"]),
    ("realisable-loss-derivative-vanishes", "no queries", ["no weight matrix is zero"]),
]


@pytest.mark.parametrize(("key", "name", "unmet"), MISSING)
def test_a_case_that_misses_a_hypothesis_refutes_nothing(key: str, name: str, unmet: list[str]):
    stored = registry[key].counterexample
    assert stored is not None
    case = Counterexample(stored.replay, CONTROLS[key][name])
    replay = case.run()
    assert replay.refutes
    assert not replay.valid
    missed = [h.name for h in replay.hypotheses if not h.met]
    assert all(any(part in h for part in unmet) for h in missed), missed
    # stored in the claim, it is an error, whatever a search finds
    planted = sentences.stored(dataclasses.replace(registry[key], counterexample=case), QUICK)
    assert outcome(planted) is Outcome.ERROR


def test_a_claim_that_stores_a_case_without_a_hypothesis_is_refuted_no_more():
    key = "loss-derivative-vanishes"
    claim = registry[key]
    assert claim.counterexample is not None
    case = Counterexample(claim.counterexample.replay, CONTROLS[key]["no keys"])
    for stored, expected in ((claim.counterexample, "refuted"), (case, "undecided")):
        planted = dataclasses.replace(claim, counterexample=stored)
        (result,) = run(Registry([planted])).claims
        assert result.statement == expected
        assert result.moved == (expected == "undecided")


def test_two_starts_that_are_two_functions_are_told():
    two = {name: x for name, x in SCALED.items() if name != "factor"}
    finding = limit_laws.limit_is_one(
        two | {"other": {"W_V": [[2], [1]]}}, EXACT, equal_products=True
    )
    assert not finding.holds
    assert "both runs are one function, at every time" in [
        h.name for h in finding.hypotheses if not h.met
    ]


# --- planted errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", CONTROLS)
def test_a_replay_that_always_refutes_is_found_out(key: str, monkeypatch: pytest.MonkeyPatch):
    claim = registry[key]
    assert claim.counterexample is not None
    assert outcome(sentences.stored(claim, QUICK)) is Outcome.REFUTES
    module, _, name = claim.counterexample.replay.rpartition(".")[2].partition(":")
    here = {"limit_laws": limit_laws, "limit_loss_laws": limit_loss_laws}[module]
    replay = getattr(here, name)

    def always(given: Any) -> Replay:
        found = replay(given)
        met = tuple(type(h)(h.name, h.value, True) for h in found.hypotheses)
        return Replay(found.arithmetic, met, found.claimed, found.found, True)

    monkeypatch.setattr(here, name, always)
    assert outcome(sentences.stored(claim, QUICK)) is Outcome.ERROR
    monkeypatch.setattr(
        here, name, lambda given: Replay("exact", always(given).hypotheses, "x", "y", False)
    )
    assert outcome(sentences.stored(claim, QUICK)) is not Outcome.REFUTES


def test_the_checks_pass_as_they_are():
    for check in (
        limit_samples.kernel_difference,
        limit_samples.motion_left,
        limit_samples.velocity_size,
        limit_conserved.conserved,
        limit_conserved.balanced_kernel,
        limit_samples.smooth_losses,
        limit_samples.enough_directions,
        limit_runs.settles,
        limit_growth.grows_with_values,
    ):
        assert outcome(check(CLAIM, QUICK)) is Outcome.SUPPORTS
    assert outcome(limit_runs.limit_is_one(CLAIM, QUICK)) is Outcome.REFUTES
    for own in (True, False):
        assert outcome(limit_runs.contraction(CLAIM, QUICK, own=own)) is Outcome.SUPPORTS


def test_a_kernel_that_misses_a_part_is_seen(monkeypatch: pytest.MonkeyPatch):
    def without_values(params: Any, S: Tensor, *rest: Any, **named: Any) -> Tensor:
        none = {**params, "W_V": torch.zeros_like(params["W_V"])}
        return ntteach.antk(params, S, *rest, **named) - ntteach.antk(none, S, *rest, **named)

    monkeypatch.setattr(limit_samples, "antk", without_values)
    for check in (
        limit_samples.kernel_difference,
        limit_samples.motion_left,
        limit_samples.velocity_size,
        limit_samples.enough_directions,
    ):
        assert check(CLAIM, QUICK).outcome is Outcome.REFUTES


@pytest.mark.parametrize("wrong", ["W_Q", "W_K"])
def test_a_gradient_that_does_not_conserve_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch):
    jacobian = ntteach.attention_jacobian

    def stretched(*arguments: Any, **named: Any) -> dict[str, Tensor]:
        return {W: J * (1 + 1e-6 * (wrong == W)) for W, J in jacobian(*arguments, **named).items()}

    monkeypatch.setattr(limit_conserved.gradients, "attention_jacobian", stretched)
    expected = Outcome.REFUTES if wrong == "W_Q" else Outcome.SUPPORTS
    # the keys' side is autograd's
    assert limit_conserved.conserved(CLAIM, QUICK).outcome is expected


def test_a_smoothness_constant_too_small_by_one_per_cent_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(limit_samples.SMOOTHNESS, "squared", 0.99)
    assert limit_samples.smooth_losses(CLAIM, QUICK).outcome is Outcome.REFUTES


def ends(kernel: Callable[[limit_runs.Record], Tensor]) -> Any:
    """The runs as they are, with another kernel at their ends."""
    return tuple(
        tuple(
            limit_runs.Record(run.theta, run.g, torch.cat([run.K[:-1], kernel(run)[None]]))
            for run in problem
        )
        for problem in limit_runs.records(3, 0)
    )


def test_runs_that_end_in_one_kernel_are_not_told_apart(monkeypatch: pytest.MonkeyPatch):
    one = limit_runs.records(3, 0)[0][0].K[-1]
    planted = ends(lambda run: one)
    monkeypatch.setattr(limit_runs, "_runs", lambda setting: planted)
    # they have one end, but have not settled there
    assert limit_runs.limit_is_one(CLAIM, QUICK).outcome is not Outcome.REFUTES
    assert limit_runs.settles(CLAIM, QUICK).outcome is Outcome.REFUTES
    assert limit_runs.contraction(CLAIM, QUICK, own=True).outcome is Outcome.REFUTES


def test_runs_that_have_not_settled_decide_nothing(monkeypatch: pytest.MonkeyPatch):
    planted = ends(lambda run: 1.1 * run.K[-1])
    monkeypatch.setattr(limit_runs, "_runs", lambda setting: planted)
    assert limit_runs.limit_is_one(CLAIM, QUICK).outcome is Outcome.SILENT


def test_a_kernel_that_does_not_grow_is_seen(monkeypatch: pytest.MonkeyPatch):
    known = limit_growth.growth

    def rooted(labels: Any, starts: int, seed: int) -> Any:
        return [[(v, K**0.5) for v, K in run] for run in known(labels, starts, seed)]

    monkeypatch.setattr(limit_growth, "growth", rooted)
    assert limit_growth.grows_with_values(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_outputs_of_a_case_are_eq_2():
    p = read({"S": [[0, 1], [1, 1]], **MIXED}, EXACT)
    assert EXACT.same(outputs([p]), output(p).flatten())
