"""The tables on teaching at equal cost: paired differences, equal cost, what the results hold."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tool_modules import tool

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/teaching.json"

pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="no checkout, no results")


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return tool("teaching_tables")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def cell(metric: str = "accuracy", **arms: tuple[float | list[float], list[float]]) -> Any:
    """A cell of arms with a cost and values; `short_70` is "short 0.70"."""
    named = {
        f"{name[:-3]} 0.{name[-2:]}" if name[-3] == "_" else name: {"cost": c, "metric": v}
        for name, (c, v) in arms.items()
    }
    return {"task": "vit", "metric": metric, "arms": named}


def test_differences_are_paired_and_better_is_positive(tables: ModuleType):
    found = cell(full=(1.0, [0.8, 0.9]), hard_70=(0.7, [0.81, 0.93]))
    # gains .01 and .03: mean .02, standard error .01, t of one degree of freedom 12.706
    mean, half = tables.difference(found, "hard 0.70", tables.values(found, "full"))
    assert mean == pytest.approx(0.02)
    assert half == pytest.approx(0.127062, abs=1e-6)
    assert tables._told(found, (mean, half)) == "+2.00 ± 12.71"
    assert tables._told(found, (-0.02, 0.0199)) == "**-2.00 ± 1.99**"
    lower = cell("nats", full=(1.0, [2.0, 2.1]), hard_70=(0.7, [2.1, 2.3]))
    mean, half = tables.difference(lower, "hard 0.70", tables.values(lower, "full"))
    assert mean == pytest.approx(-0.15)
    assert tables._told(lower, (-0.15, 0.1)) == "**-150 ± 100**"


def test_short_at_a_cost_lies_on_the_line_between_its_neighbours(tables: ModuleType):
    found = cell(full=(1.0, [0.9, 1.0]), short_90=(0.9, [0.8, 0.9]), short_70=(0.7, [0.5, 0.1]))
    assert tables.short_at(found, 0.9) == [0.8, 0.9]
    assert tables.short_at(found, 0.975) == pytest.approx([0.875, 0.975])
    assert tables.short_at(found, 0.702) == [0.5, 0.1]
    # the neighbours are too far apart, or there are none
    assert tables.short_at(found, 0.8) is None
    assert tables.short_at(found, 0.5) is None
    lower = cell("nats", full=(1.0, [2.0, 2.0]), short_90=(0.9, [2.2, 2.4]))
    assert tables.short_at(lower, 0.95) == pytest.approx([-2.1, -2.2])


def test_the_default_is_compared_with_both_controls(tables: ModuleType):
    worse = cell(
        full=(1.0, [0.9, 0.91, 0.92]),
        short_70=(0.7, [0.5, 0.51, 0.52]),
        random_70=(0.7, [0.8, 0.81, 0.82]),
        auto_70=(0.7, [0.7, 0.71, 0.721]),
    )
    better = json.loads(json.dumps(worse)) | {"task": "lm"}
    better["arms"]["auto 0.70"]["metric"] = [0.9, 0.92, 0.91]
    told = tables.verdicts({"cells": [worse, better]})
    assert "2 tasks: behind one of them outside the interval on 1 (`vit`), ahead of both" in told
    assert "ahead of both outside it on 1 (`lm`)" in told
    assert "less cost: behind on 1 (`vit`), ahead on none" in told
    assert "of 6, 0.3 may" in told
    for found in (worse, better):
        found["arms"]["InfoBatch"] = {"cost": 0.7, "metric": [0.4, 0.41, 0.42]}
    told = tables.verdicts({"cells": [worse, better]})
    assert "On `vit` it is ahead of: short 0.70, InfoBatch; behind: full, random 0.70." in told
    assert "On `lm` it is ahead of: short 0.70, random 0.70, InfoBatch; behind: none." in told
    del better["arms"]["full"]["metric"][:], better["arms"]["auto 0.70"]["metric"][:]
    better["arms"]["full"]["metric"] += [0.3, 0.31, 0.32]
    better["arms"]["auto 0.70"]["metric"] += [0.9, 0.91, 0.921]
    told = tables.verdicts({"cells": [better]})
    assert "On `lm` it is ahead of every other arm" in told


def test_the_results_are_of_a_whole_run(results: dict[str, Any]):
    assert not results["quick"]
    assert RESULTS.stat().st_size < 400_000
    assert len(results["text"]["sha256"]) == 64
    tasks = [found["task"] for found in results["cells"]]
    assert len(tasks) == len(set(tasks))
    assert {"vit", "vit,noise=0.2", "lm"} <= set(tasks)
    for found in results["cells"]:
        low, high = (0, 1) if found["metric"] == "accuracy" else (0.5, 5)
        full = found["arms"]["full"]
        assert full["cost"] == 1
        for name, arm in found["arms"].items():
            # seeds are paired by their place
            assert 2 <= len(arm["metric"]) <= len(full["metric"]) or name == "full"
            assert all(low < value < high for value in arm["metric"])


def test_rates_are_the_best_of_the_tuning_runs_and_at_no_edge(results: dict[str, Any]):
    for found in results["cells"]:
        for name, arm in found["arms"].items():
            sign = -1 if found["metric"] == "nats" else 1
            # rates of the common grid, and wider ones: all with the same number of seeds
            most = max(len(v) for v in arm["tuning"].values())
            means = {
                float(rate): sign * sum(v) / most
                for rate, v in arm["tuning"].items()
                if len(v) == most
            }
            assert len(means) >= 5, name
            assert max(means, key=lambda rate: means[rate]) == arm["rate"], name
            if len(means) < 8:  # 3 wider ones at most
                assert min(means) < arm["rate"] < max(means), name


def test_the_full_run_leaves_room(results: dict[str, Any]):
    clean = next(found for found in results["cells"] if found["task"] == "vit")
    full = clean["arms"]["full"]["metric"]
    assert 0.85 < sum(full) / len(full) < 0.95


def test_tables_have_a_row_for_each_arm_and_task(tables: ModuleType, results: dict[str, Any]):
    whole, mapped = tables.tables(), tables.when()
    for found in results["cells"]:
        assert mapped.count(f"| `{found['task']}` |") == 1
        if "InfoBatch" in found["arms"]:
            assert whole.count(f"### `{found['task']}`\n") == 1
    count = sum("InfoBatch" in found["arms"] for found in results["cells"])
    assert whole.count("| InfoBatch |") == count
    for text in (whole, mapped, tables.short_table()):
        assert "nan" not in text
        widths: set[int] = set()
        for line in text.split("\n"):
            widths = widths | {line.count("|")} if line.startswith("|") else set()
            assert len(widths) < 2  # all rows of a table are alike


def test_the_interval_covers_as_often_as_it_says(tables: ModuleType):
    draw = random.Random(0)
    covered = 0
    for _ in range(1000):
        noise = [draw.gauss(0.01, 0.02) for _ in range(10)]
        found = cell(full=(1.0, [0.0] * 10), hard_70=(0.7, noise))
        mean, half = tables.difference(found, "hard 0.70", tables.values(found, "full"))
        covered += abs(mean - 0.01) < half
    assert 0.93 < covered / 1000 < 0.97


def test_what_a_first_look_said_is_shown_where_another_rate_was_picked(tables: ModuleType):
    found = cell(full=(1.0, [0.9, 0.9]), short_70=(0.7, [0.5, 0.6]), hard_70=(0.7, [0.51, 0.63]))
    assert len(tables.moved({"cells": [found]}).splitlines()) == 2
    found["arms"]["hard 0.70"]["first_look"] = {"seeds": 3, "rate": 1.0, "metric": [0.5, 0.58]}
    lines = tables.moved({"cells": [found]}).splitlines()
    # gains 0 and -.02 then, .01 and .03 now; t of one degree of freedom 12.706
    assert lines[2:] == ["| `vit` | hard 0.70 | -1.00 ± 12.71 | +2.00 ± 12.71 |"]
    found["arms"]["short 0.70"]["first_look"] = {"seeds": 3, "rate": 1.0, "metric": [0.4, 0.4]}
    assert len(tables.moved({"cells": [found]}).splitlines()) == 4


def test_costs_of_a_teacher_have_a_row_a_rule_and_a_column_a_size():
    module = tool("teacher_cost_tables")
    given = {
        "selections": [
            {
                "rule": rule,
                "samples": samples,
                "seconds": {"median": samples / 1e7},
                "bytes_per_sample": held,
                "peak_bytes_per_sample": 3 * held + (samples == 10**6),
            }
            for rule, held in (("hard", 13.6), ("auto", 17.6))
            for samples in (10**6, 10**7)
        ],
        "updates": [{"batch": 32, "teacher_us": {"median": 9.6, "low": 8.2, "high": 11.9}}],
        "machine": {"python": "3.11", "torch": "2.13", "processor": "one"},
        "date": "today",
    }
    lines = module.table(given).splitlines()
    assert lines[0] == "| selection | N = 10^6 | N = 10^7 | bytes a sample held | at the peak |"
    assert lines[2:4] == [
        "| hard | 0.10 s | 1.00 s | 14 | 41 |",
        "| auto | 0.10 s | 1.00 s | 18 | 53 |",
    ]
    assert "`update` takes 10 µs (8 to 12) with 32 samples, beyond" in lines[5]
