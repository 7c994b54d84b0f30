"""From stored runs to the results file, and the plot of accuracy against cost."""

from __future__ import annotations

import datetime
import math
import statistics
from pathlib import Path
from typing import Any

import scipy
import sklearn
from measure import machine
from teaching_arms import ARMS
from teaching_protocol import TUNING, Cell, Clock, paired, pairs_needed, tune
from teaching_run import Store
from teaching_tasks import corpus

import ntteach

SOUGHT = {"accuracy": 0.01, "nats": 0.02}  # the difference that a cell's seeds should show


def collect(store: Store, cells: list[Cell], device: str) -> dict[str, Any]:
    """Everything that was run for these cells, for a JSON file; see `cell_results`."""
    found = [cell_results(store, cell) for cell in cells]
    return {
        "machine": machine(device)
        | {"scikit-learn": sklearn.__version__}
        | {"scipy": scipy.__version__},
        "ntteach": ntteach.__version__,
        "date": datetime.date.today().isoformat(),
        "quick": False,
        "text": {"sha256": corpus().sha256, "characters": len(corpus().text)},
        "cells": [cell for cell in found if cell["arms"]],
    }


def cell_results(store: Store, cell: Cell) -> dict[str, Any]:
    """One cell: for each arm its kind, tuned rate, tuning runs and final runs by seed from 0.

    Arms that are not tuned, or have fewer than two final runs, are left out.
    """
    arms: dict[str, Any] = {}
    everyone = Cell(cell.task, tuple(ARMS), cell.tuning, cell.final)
    for arm, rate in tune(store, everyone, Clock(), make=False).items():
        by_seed = {run["seed"]: run for run in store.of(cell.task.name, arm, rate)}
        runs = []
        for seed in range(cell.final):
            if seed not in by_seed:
                break
            runs.append(by_seed[seed])
        if len(runs) < 2:
            continue
        tuning: dict[str, list[float]] = {}
        for run in sorted(store.of(cell.task.name, arm), key=lambda r: (r["rate"], r["seed"])):
            if TUNING <= run["seed"] < TUNING + cell.tuning:
                tuning.setdefault(f"{run['rate']:g}", []).append(run["metric"])
        arms[arm] = {"kind": ARMS[arm].kind, "rate": rate, "tuning": tuning}
        for key in ("metric", "cost", "samples", "scored", "seconds"):
            values = [run[key] for run in runs]
            # what is planned is the same for all seeds
            arms[arm][key] = values[0] if key != "metric" and len(set(values)) == 1 else values
    found: dict[str, Any] = {"task": cell.task.name, "metric": cell.task.metric}
    found |= {"samples": cell.task.samples, "epochs": cell.task.epochs, "arms": arms}
    if "full" in arms:
        found["power"] = power(cell, arms)
    return found


def power(cell: Cell, arms: dict[str, Any]) -> dict[str, float]:
    """Seeds needed for the difference sought, from the tuning runs at the best rates.

    The standard deviation of paired differences to the full run, pooled over the arms.
    """
    best = {a: found["tuning"][f"{found['rate']:g}"] for a, found in arms.items()}
    variances = [
        paired(values, best["full"])[2] ** 2 for arm, values in best.items() if arm != "full"
    ]
    sd = math.sqrt(statistics.fmean(variances)) if variances else math.nan
    sought = SOUGHT[cell.task.metric]
    needed = pairs_needed(sd, sought) if variances and sd > 0 else 2
    return {"sd": round(sd, 5), "difference": sought, "seeds": needed}


def plot(results: dict[str, Any], path: Path, tasks: tuple[str, ...]) -> None:
    """Test metric against cost, one panel a task: means with 95 % intervals of the mean."""
    from scipy.stats import t

    from ntteach.report.plots import empty_figure, write_figure

    cells = [cell for cell in results["cells"] if cell["task"] in tasks]
    figure = empty_figure(4.2 * len(cells), 4.2)
    for place, cell in enumerate(cells):
        axes = figure.add_subplot(1, len(cells), place + 1)
        line: list[tuple[float, float]] = []
        for arm, found in cell["arms"].items():
            cost, n = _mean(found["cost"]), len(found["metric"])
            mean = statistics.fmean(found["metric"])
            half = t.ppf(0.975, n - 1) * statistics.stdev(found["metric"]) / math.sqrt(n)
            ours = found["kind"] == "ours"
            if arm == "full" or arm.startswith("short"):
                line.append((cost, mean))
            marker = "o" if not ours else "s"
            axes.errorbar(cost, mean, half, fmt=marker, ms=4, lw=1, label=arm)
        axes.plot(*zip(*sorted(line), strict=True), lw=1, color="0.6", zorder=0)
        axes.set_title(cell["task"])
        axes.set_xlabel("cost, in full runs")
        axes.set_ylabel("test accuracy" if cell["metric"] == "accuracy" else "nats a character")
        if cell["metric"] == "nats":
            axes.invert_yaxis()
        axes.legend(fontsize=6)
    write_figure(figure, path)


def _mean(values: float | list[float]) -> float:
    return statistics.fmean(values) if isinstance(values, list) else values
