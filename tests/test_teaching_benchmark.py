"""The benchmark of teachers: rules by hand, what is charged, rates that end at 0, a store."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks/teaching.py").exists(), reason="no checkout, no benchmarks"
)


PARTS = ("arms", "ours", "peers", "protocol", "results", "rules", "run", "tasks")


@pytest.fixture(scope="module")
def bench() -> SimpleNamespace:
    """The modules of the benchmark, which lie beside it and not in the package."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        parts = {name: importlib.import_module(f"teaching_{name}") for name in PARTS}
    finally:
        sys.path.remove(folder)
    return SimpleNamespace(**parts)


def draw(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


# --- rules ---------------------------------------------------------------------------------------


def test_hard_takes_the_largest_and_breaks_ties_by_chance(bench: SimpleNamespace):
    scores = torch.tensor([1.0, 5.0, 3.0, 3.0, 0.0])
    chosen = [frozenset(bench.rules.hard(scores, 2, draw(s)).tolist()) for s in range(30)]
    assert set(chosen) == {frozenset({1, 2}), frozenset({1, 3})}


def test_soft_draws_one_sample_in_proportion_to_its_score(bench: SimpleNamespace):
    scores, g = torch.tensor([1.0, 2.0, 5.0, 0.0]), draw()
    count = torch.zeros(4)
    for _ in range(4000):
        count[bench.rules.soft(scores, 1, g)] += 1
    assert count[3] == 0
    # three standard deviations of a frequency
    expected = torch.tensor([0.125, 0.25, 0.625])
    assert ((count[:3] / 4000 - expected).abs() < 3 * (expected / 4000).sqrt()).all()


def test_infobatch_keeps_all_above_the_mean_and_half_of_those_below_with_weight_two(
    bench: SimpleNamespace,
):
    scores = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 20.0])  # the mean is 5
    ids, weights = bench.rules.infobatch(scores, 0.5, draw())
    drawn = sorted(set(ids.tolist()) - {5})
    assert 5 in ids
    assert len(drawn) == 2  # int(0.5 * 5)
    assert [i for i in range(6) if weights[i] == 2] == drawn
    assert sorted(set(weights.tolist())) == [1.0, 2.0]
    # at the mean is not below it: equal losses keep everybody
    assert len(bench.rules.infobatch(torch.full((4,), 3.0), 0.5, draw())[0]) == 4


def test_seta_slides_its_window_from_easy_to_hard_and_starts_again(bench: SimpleNamespace):
    scores = torch.tensor([0.0, 0.1, 1.0, 1.1, 2.0, 2.1, 3.0, 3.1, 4.0, 4.1])
    taken = [set(bench.rules.seta(scores, n, 0.0, 5, 0.9, draw()).tolist()) for n in range(4)]
    everything = set(range(10))
    # round(4.5) = 4 of 5 groups; two places for the window
    assert taken == [everything, everything - {0, 1}, everything - {8, 9}, everything - {0, 1}]
    assert len(bench.rules.seta(scores, 0, 0.1, 5, 0.9, draw())) == 9


def test_selective_backprop_keeps_half_with_chances_that_grow_with_the_percentile(
    bench: SimpleNamespace,
):
    losses, g = torch.tensor([9.0, 1.0, 5.0, 3.0]), draw()
    count = torch.zeros(4)
    for _ in range(4000):
        kept = bench.rules.selective(losses, 0.25, g)
        assert len(kept) == 1
        count[kept] += 1
    # percentiles 1, 3, 5, 7 of 8, to the third power
    weight = torch.tensor([7.0, 1.0, 5.0, 3.0]) ** 3
    expected = weight / weight.sum()
    assert ((count / 4000 - expected).abs() < 4 * (expected / 4000).sqrt()).all()
    assert not bench.rules.prunes(0.49, 0, 0.5, 0.9, 2)
    assert bench.rules.prunes(0.5, 0, 0.5, 0.9, 2)
    assert not bench.rules.prunes(0.9, 0, 0.5, 0.9, 2)


# --- arms: what they plan and what they cost -----------------------------------------------------


def rule_of(bench: SimpleNamespace, arm: str, samples: int = 100, epochs: int = 10) -> Any:
    return bench.arms.ARMS[arm].make(samples, epochs, 0)


def none(ids: Tensor) -> Tensor:
    raise AssertionError("nothing is scored here")


def test_plans_cost_what_their_names_say(bench: SimpleNamespace):
    for arm, found in bench.arms.ARMS.items():
        last = arm.split()[-1]
        if last.startswith("0."):
            planned = rule_of(bench, arm, samples=1000).planned
            assert sum(planned) / 10000 == pytest.approx(float(last), abs=0.001), arm
        elif found.kind == "full":
            assert rule_of(bench, arm).planned == [100] * 10
    assert rule_of(bench, "short 0.70").planned == [100] * 7
    assert rule_of(bench, "hard 0.70").planned == [100] + [67] * 9
    assert rule_of(bench, "random 0.70").planned == [70] * 10


def test_every_epoch_is_as_long_as_planned_and_repeats_nobody(bench: SimpleNamespace):
    for arm in bench.arms.ARMS:
        rule = rule_of(bench, arm)
        if rule.planned is None or arm == "incremental":
            continue
        for number, size in enumerate(rule.planned):
            ids = rule.epoch(number, none)
            assert len(ids) == len(set(ids.tolist())) == size, arm
            rule.loss(ids, torch.rand(len(ids), generator=draw(number)))


def test_choosing_once_keeps_the_hardest_of_the_first_epoch(bench: SimpleNamespace):
    rule = rule_of(bench, "once 0.70")
    losses = torch.rand(100, generator=draw())
    rule.loss(ids := rule.epoch(0, none), losses[ids])
    hardest = set(losses.topk(67).indices.tolist())
    for number in range(1, 10):
        ids = rule.epoch(number, none)
        assert set(ids.tolist()) == hardest
        rule.loss(ids, torch.zeros(len(ids)))  # later losses change nothing


def test_incremental_grows_from_20_to_80_percent_and_scores_all_at_each_choice(
    bench: SimpleNamespace,
):
    rule, scored = rule_of(bench, "incremental"), []

    def score(ids: Tensor) -> Tensor:
        scored.append(len(ids))
        return torch.rand(len(ids), generator=draw())

    taken = [set(rule.epoch(number, score).tolist()) for number in range(10)]
    # choices before epochs 1 to 5 at intervals of 1, then of 2
    assert [len(t) for t in taken] == [100, 26, 32, 38, 44, 50, 50, 62, 62, 74]
    assert taken[5] == taken[6]
    assert taken[5] != taken[7]
    assert scored == [100] * 7


def test_infobatch_and_seta_end_as_their_source_does(bench: SimpleNamespace):
    for arm, last in (("InfoBatch", 100), ("SeTa", 90)):
        rule = rule_of(bench, arm)
        sizes = []
        for number in range(10):
            ids = rule.epoch(number, none)
            sizes.append(len(ids))
            rule.loss(ids, torch.rand(len(ids), generator=draw(number)))
        assert sizes[0] == last
        assert sizes[8:] == [last, last]  # 8.75 epochs prune
        assert all(size < last for size in sizes[1:8])
        assert rule.planned is None
    rule = rule_of(bench, "InfoBatch")
    rule.weights[:2] = 2.0
    assert rule.loss(torch.arange(4), torch.ones(4)) == 1.5


def test_the_teacher_has_its_own_plan_and_gets_the_losses(bench: SimpleNamespace):
    rule = rule_of(bench, "aged 1 0.70")
    ids = rule.epoch(0, none)
    losses = torch.rand(100, generator=draw())
    assert rule.loss(ids, losses[ids]) == pytest.approx(float(losses.mean()))
    # all are of the same age: the hardest come next
    assert set(rule.epoch(1, none).tolist()) == set(losses.topk(rule.planned[1]).indices.tolist())


# --- one run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(bench: SimpleNamespace) -> Any:
    return replace(bench.tasks.Images(), samples=120, epochs=4, batch=50)


def test_cost_is_samples_and_a_third_for_scores(bench: SimpleNamespace, small: Any):
    full = bench.run.run(small, "full", 0, 1e-3)
    assert (full["cost"], full["samples"], full["steps"]) == (1.0, 480, 12)
    chosen = bench.run.run(small, "selective backprop", 0, 1e-3)
    # progress 6/12 to 11/12; batches 0 and 2 of an epoch: 50 and 20 samples, of epochs 2 and 3
    # (the last one begins at 11/12 and is over .9)
    assert chosen["scored"] == 50 + 20 + 50
    assert chosen["samples"] == 480 - 25 - 10 - 25
    assert chosen["cost"] == pytest.approx((420 + 120 / 3) / 480, abs=1e-5)


def test_a_run_repeats_and_arms_share_data_and_initial_weights(bench: SimpleNamespace, small: Any):
    one, two = (bench.run.run(small, "hard 0.70", 3, 1e-2) for _ in range(2))
    assert {k: v for k, v in one.items() if k != "seconds"} == {
        k: v for k, v in two.items() if k != "seconds"
    }
    # a rate of 0 leaves the initial weights: every arm's accuracy is then the same
    assert len({bench.run.run(small, arm, 3, 0.0)["metric"] for arm in bench.arms.ARMS}) == 1
    state = torch.get_rng_state()
    bench.run.run(small, "soft 0.70", 3, 1e-2)
    assert torch.equal(state, torch.get_rng_state())


def test_the_rate_reaches_its_peak_and_zero_at_the_planned_end(
    bench: SimpleNamespace, small: Any, monkeypatch: pytest.MonkeyPatch
):
    seen: list[float] = []
    real = bench.run.rate_at
    monkeypatch.setattr(bench.run, "rate_at", lambda p: seen.append(p) or real(p))
    for arm in ("full", "short 0.60", "hard 0.70", "InfoBatch", "SeTa", "auto 0.70"):
        seen.clear()
        steps = bench.run.run(small, arm, 0, 1e-3)["steps"]
        assert seen == sorted(seen)
        assert len(seen) == steps
        # the middle of the last step: half a step before the end
        assert 0 < 1 - seen[-1] < (0.2 if arm in ("InfoBatch", "SeTa") else 0.51 / steps)
    assert real(1.0) == 0
    assert real(0.1) == 1
    assert max(real(p / 1000) for p in range(1001)) == 1


def test_tasks_hold_what_they_promise(bench: SimpleNamespace):
    clean, noisy = (replace(bench.tasks.Images(), noise=n).data(5) for n in (0.0, 0.2))
    assert torch.equal(clean.x, noisy.x)
    assert 0.15 < (clean.y != noisy.y).float().mean() < 0.25
    wrong = replace(bench.tasks.Images(), noise=1.0).data(5)
    assert (wrong.y != clean.y).all()  # the true class is not among the wrong ones
    assert torch.equal(clean.test_y, noisy.test_y)
    assert len(clean.test_y) >= 4000
    copied = replace(bench.tasks.Images(), copies=0.5).data(5)
    x = copied.x.flatten(1)
    nearest = torch.cdist(x[900:], x[:900]).min(1).values
    # noise of a copy: 0.008 on 12 x 12 pixels, of norm 0.096
    assert ((nearest > 0.05) & (nearest < 0.2)).all()
    assert torch.cdist(x[:900], x[:900]).fill_diagonal_(9.0).min() > 0.5
    tail = replace(bench.tasks.Images(), tail=10.0).data(5)
    count = torch.bincount(tail.y, minlength=10)
    assert count[0] > 4 * count[9]
    text = replace(bench.tasks.Text(), noise=0.2, samples=200)
    mixed, plain = text.data(0), replace(text, noise=0.0).data(0)
    changed = (mixed.x != plain.x).any(1)
    assert 0.1 < changed.float().mean() < 0.3
    assert torch.equal(
        torch.cat([mixed.x[:, :1], mixed.y], 1).sort(1).values,
        torch.cat([plain.x[:, :1], plain.y], 1).sort(1).values,
    )
    assert bench.tasks.task_of(text.name) == text
    with pytest.raises(ValueError, match="neither"):
        bench.tasks.task_of("mlp")
    with pytest.raises(ValueError, match="'tail', which lm does not have"):
        bench.tasks.task_of("lm,tail=3")


# --- store and protocol --------------------------------------------------------------------------


def test_the_store_never_makes_a_run_twice(
    bench: SimpleNamespace, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[tuple[str, int, float]] = []

    def fake(task: Any, arm: str, seed: int, rate: float, device: str) -> dict[str, Any]:
        made.append((arm, seed, rate))
        return {"metric": 0.5, "cost": 1.0}

    monkeypatch.setattr(bench.run, "run", fake)
    for _ in range(2):  # the second one reads what the first one wrote
        store = bench.run.Store(tmp_path / "runs.jsonl")
        for _ in range(2):
            store.run(small, "full", 0, 0.1)
            store.run(small, "full", 1, 0.1)
    assert made == [("full", 0, 0.1), ("full", 1, 0.1)]
    store.run(replace(small, noise=0.1), "full", 0, 0.1)
    store.run(small, "hard 0.70", 0, 0.1)
    store.run(small, "full", 0, 0.2)
    monkeypatch.setitem(
        bench.arms.ARMS, "full", replace(bench.arms.ARMS["full"], version="another")
    )
    store.run(small, "full", 0, 0.1)
    assert len(made) == 6
    assert len(list(store.of(small.name, "full"))) == 1


def test_tuning_finds_the_peak_of_each_arm_and_widens_its_grid_at_an_edge(
    bench: SimpleNamespace, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    peak = {"full": 0.008, "hard 0.70": 0.04}

    def fake(task: Any, arm: str, seed: int, rate: float, device: str) -> dict[str, Any]:
        metric = -abs(torch.tensor(rate / peak[arm]).log().item()) + seed / 1e6
        return {"metric": metric, "cost": 1.0, "samples": 1, "scored": 0, "seconds": 0.1}

    monkeypatch.setattr(bench.run, "run", fake)
    protocol = bench.protocol
    store = bench.run.Store(tmp_path / "runs.jsonl")
    cell = protocol.Cell(small, tuple(peak), tuning=2, final=3)
    assert protocol.tune(store, cell, protocol.Clock(), make=False) == {}
    best = protocol.tune(store, cell, protocol.Clock())
    assert best == {"full": 0.008, "hard 0.70": 0.032}  # of .02, .032 and .051
    assert {run["seed"] for run in store.runs.values()} == {100, 101}
    protocol.final(store, cell, best, protocol.Clock())
    final = [run for run in store.runs.values() if run["seed"] < 100]
    assert {(r["arm"], r["seed"]) for r in final} == {(a, s) for a in peak for s in range(3)}
    with pytest.raises(protocol.Late):
        protocol.tune(store, cell, protocol.Clock(end=0.0))
    found = bench.results.cell_results(store, cell)
    assert set(found["arms"]) == set(peak)
    assert found["arms"]["hard 0.70"]["rate"] == 0.032
    assert len(found["arms"]["full"]["metric"]) == 3
    assert "seconds" not in found["arms"]["full"]  # those of a campaign are no measurement
    protocol.final(store, replace(cell, final=2), best, protocol.Clock(), protocol.TIMING)
    found = bench.results.cell_results(store, cell)
    assert found["arms"]["full"]["seconds"] == [0.1, 0.1]
    assert len(found["arms"]["full"]["metric"]) == 3


def test_pairs_needed_is_the_power_of_the_paired_t_test(bench: SimpleNamespace):
    n = bench.protocol.pairs_needed(1.0, 0.7)
    values = 0.7 + torch.randn(4000, n, generator=draw(), dtype=torch.float64)
    t = values.mean(1) / values.std(1) * n**0.5
    from scipy.stats import t as student

    power = (t.abs() > student.ppf(0.975, n - 1)).double().mean()
    assert 0.78 < power < 0.86
    with pytest.raises(ValueError, match="at least 2"):
        bench.protocol.paired([1.0], [0.0])


def test_versions_follow_the_code_and_not_its_documentation(
    bench: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bench.ours.teaching, "__file__", str(tmp_path / "__init__.py"))
    (file := tmp_path / "reading.py").write_text('def f():\n    """One."""\n    return 1\n')
    first = bench.ours.code("reading")
    file.write_text('def f():\n    """Two."""\n    return 1  # said\n')
    assert bench.ours.code("reading") == first
    file.write_text('def f():\n    """Two."""\n    return 2\n')
    assert bench.ours.code("reading") != first


def test_a_peer_that_is_not_there_is_skipped_with_the_reason_and_a_wrong_rule_is_seen(
    bench: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert bench.peers.compare(None, tmp_path) == 0
    said = capsys.readouterr().out
    assert "InfoBatch: skipped, no checkout was given" in said
    assert "SeTa: skipped, there is no seta.py in" in said
    # a stand-in for a checkout that keeps a tenth of the easy samples
    (tmp_path / "infobatch").mkdir()
    (tmp_path / "infobatch/infobatch.py").write_text(
        "import torch, numpy\n"
        "class InfoBatch:\n"
        "    def __init__(self, data, epochs, prune, delta):\n"
        "        self.keep = 0.1\n"
        "    def prune(self):\n"
        "        easy = torch.where(self.scores < self.scores.mean())[0]\n"
        "        hard = torch.where(self.scores >= self.scores.mean())[0]\n"
        "        drawn = easy[torch.randperm(len(easy))[: int(self.keep * len(easy))]]\n"
        "        self.weights = torch.ones(len(self.scores))\n"
        "        self.weights[drawn] = 2.0\n"
        "        return torch.cat([hard, drawn]).tolist()\n"
    )
    state = torch.get_rng_state()
    assert bench.peers.compare(tmp_path, None) == 1
    assert "InfoBatch: " in (said := capsys.readouterr().out)
    assert "samples are chosen, not" in said
    file = tmp_path / "infobatch/infobatch.py"
    file.write_text(file.read_text().replace("self.keep = 0.1", "self.keep = 0.5"))
    assert bench.peers.compare(tmp_path, None) == 0
    assert torch.equal(state, torch.get_rng_state())
