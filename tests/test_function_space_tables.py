"""The tables on teaching in function space: medians, intervals, and what the results hold."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tool_modules import tool

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/function_space.json"

pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="no checkout, no results")


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return tool("function_space_tables")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def test_a_median_lies_between_order_statistics_by_hand(tables: ModuleType):
    # P(Bin(20, 1/2) < 6) = 0.0207: the 6th and the 15th; with 6 values 2 / 2^6 is below 0.05
    assert tables.median_interval([float(x) for x in range(20, 0, -1)]) == (10.5, 6.0, 15.0)
    assert tables.median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (3.5, 1.0, 6.0)
    assert tables.median_interval([2.0, 1.0]) == (1.5, 1.0, 2.0)
    inf = math.inf
    assert tables.median_interval([1.0, inf, inf, inf, inf, inf]) == (inf, 1.0, inf)


def test_the_interval_covers_the_median_as_often_as_it_says(tables: ModuleType):
    draw = random.Random(0)
    covered = 0
    for _ in range(1000):
        _, low, high = tables.median_interval([draw.expovariate(1.0) for _ in range(20)])
        covered += low <= math.log(2) <= high
    assert 0.94 < covered / 1000 < 0.98  # 0.9586 by the binomial law


def test_the_results_are_of_a_whole_run(results: dict[str, Any]):
    assert not results["quick"]
    assert results["seeds"] >= 20
    assert RESULTS.stat().st_size < 60_000
    kernels = {row["kernel"] for row in results["learnable"]}
    assert kernels == {"gaussian (mean)", "signature", "frozen ANTK"}
    assert {row["loss"] for row in results["learnable"]} == {"squared", "logistic"}
    for row in results["learnable"] + results["hard"]:
        assert set(row["teachers"]) == set(results["cost"])
        for found in row["teachers"].values():
            assert len(found["steps"]) == len(found["last"]) == results["seeds"]
            for step in found["steps"]:
                assert step is None or 0 <= step <= results["cap"]
    for arm in results["image"]["arms"].values():
        assert len(arm["psnr"]) == results["image"]["seeds"] >= 5


def test_for_the_squared_loss_residual_and_loss_gradient_choose_alike(results: dict[str, Any]):
    for row in results["learnable"]:
        same = row["teachers"]["greedy"] == row["teachers"]["loss gradient"]
        assert same == (row["loss"] == "squared")


def test_every_table_has_a_row_for_each_teacher(tables: ModuleType, results: dict[str, Any]):
    text = tables.learnable()
    for teacher in results["cost"]:
        assert text.count(f"| {teacher} |") == len(results["learnable"])
        assert tables.hard().count(f"| {teacher} |") == 1
    for arm in results["image"]["arms"]:
        assert tables.image().count(f"| {arm} |") == 1
    for table in (text, tables.hard(), tables.image()):
        assert "nan" not in table
        assert "inf" not in table


def test_ratios_are_paired_and_say_what_was_not_reached(tables: ModuleType):
    assert tables._ratio([10] * 8, [20] * 8, 400) == "0.50 (0.50 to 0.50)"
    assert tables._ratio([None] * 8, [20] * 8, 400) == "more (more to more)"
    assert tables._ratio([100] * 8, [None] * 8, 400) == "0.25 (0.25 to 0.25)"
    half = tables._ratio([10] * 6 + [None] * 2, [20] * 6 + [None] * 2, 400)
    assert half == "0.50 (0.50 to 0.50), 6 pairs"
    assert tables._ratio([None] * 8, [None] * 8, 400) == "too few reached it"
