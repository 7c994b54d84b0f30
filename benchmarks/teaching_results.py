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
from teaching_protocol import TIMING, TUNING, Cell, Clock, paired, pairs_needed, tune
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

    Arms that are not tuned are left out; those with fewer than two final runs are told apart, as
    tried, also if they were tuned on fewer seeds.
    """
    arms: dict[str, Any] = {}
    tried: dict[str, Any] = {}
    tuned: dict[str, float] = {}
    for seeds in (min(cell.tuning, LOOK), cell.tuning):
        everyone = Cell(cell.task, tuple(ARMS), seeds, cell.final)
        tuned |= tune(store, everyone, Clock(), make=False)
    for arm, rate in tuned.items():
        by_seed = {run["seed"]: run for run in store.of(cell.task.name, arm, rate)}
        runs = []
        for seed in range(cell.final):
            if seed not in by_seed:
                break
            runs.append(by_seed[seed])
        tuning: dict[str, list[float]] = {}
        for run in sorted(store.of(cell.task.name, arm), key=lambda r: (r["rate"], r["seed"])):
            if TUNING <= run["seed"] < TUNING + cell.tuning:
                tuning.setdefault(f"{run['rate']:g}", []).append(run["metric"])
        if len(runs) < 2:
            tried[arm] = {"rate": rate, "tuning": tuning}
            continue
        arms[arm] = {"kind": ARMS[arm].kind, "rate": rate, "tuning": tuning}
        timed = [run["seconds"] for seed, run in sorted(by_seed.items()) if seed >= TIMING]
        if timed:
            arms[arm]["seconds"] = timed
        for key in ("metric", "cost", "samples", "scored"):
            values = [run[key] for run in runs]
            # what is planned is the same for all seeds
            arms[arm][key] = values[0] if key != "metric" and len(set(values)) == 1 else values
    for arm, rate in _first_look(store, cell).items():
        by_seed = {run["seed"]: run["metric"] for run in store.of(cell.task.name, arm, rate)}
        runs = [by_seed.get(seed) for seed in range(cell.final)]
        if arm in arms and rate != arms[arm]["rate"] and None not in runs:
            seeds = cell.tuning // 2
            arms[arm]["first_look"] = {"seeds": seeds, "rate": rate, "metric": runs}
    found: dict[str, Any] = {"task": cell.task.name, "metric": cell.task.metric}
    found |= {"samples": cell.task.samples, "epochs": cell.task.epochs, "arms": arms}
    found |= {"tried": tried}
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


def _first_look(store: Store, cell: Cell) -> dict[str, float]:
    """The rates by half the tuning seeds, where there were more than 2: those of a first look."""
    if cell.tuning <= 2:
        return {}
    half = Cell(cell.task, tuple(ARMS), cell.tuning // 2, cell.final)
    return tune(store, half, Clock(), make=False)


LOOK = 3  # tuning seeds of what was only tried

MARKERS = "osD^vP*Xph<>"


def plot(results: dict[str, Any], path: Path, tasks: tuple[str, ...]) -> None:
    """Test metric against cost, one panel a task: means with 95 % intervals of the mean."""
    import matplotlib

    from ntteach.report.plots import empty_figure, write_figure

    cells = [cell for cell in results["cells"] if cell["task"] in tasks]
    columns = min(2, len(cells))
    figure = empty_figure(4.6 * columns + 1.6, 3.6 * -(-len(cells) // columns))
    names = list(dict.fromkeys(arm for cell in cells for arm in cell["arms"]))
    names = [name for name in names if not name.startswith("short")]
    handles: dict[str, Any] = {}
    for place, cell in enumerate(cells):
        axes = figure.add_subplot(-(-len(cells) // columns), columns, place + 1)
        points = {arm: _point(found) for arm, found in cell["arms"].items()}
        line = sorted(p for arm, p in points.items() if arm == "full" or arm.startswith("short"))
        axes.plot([p[0] for p in line], [p[1] for p in line], ".-", color="0.6", zorder=0)
        for number, arm in enumerate(names):
            if arm in points:
                cost, mean, half = points[arm]
                style = {"marker": MARKERS[number % len(MARKERS)], "color": f"C{number % 10}"}
                handles[arm] = axes.errorbar(cost, mean, half, ls="", ms=5, lw=1, **style)
        axes.set_title(cell["task"])
        axes.set_xlabel("cost, in full runs")
        axes.set_ylabel("test accuracy" if cell["metric"] == "accuracy" else "nats a character")
        if cell["metric"] == "nats":
            axes.invert_yaxis()  # better is up
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    with matplotlib.rc_context({"svg.hashsalt": "ntteach"}):  # else its ids are random
        write_figure(figure, path)


def _point(found: dict[str, Any]) -> tuple[float, float, float]:
    """Mean cost, mean metric and the half width of its interval."""
    metric = found["metric"]
    mean, half, _ = paired(metric, [0.0] * len(metric))
    return _mean(found["cost"]), mean, half


def _mean(values: float | list[float]) -> float:
    return statistics.fmean(values) if isinstance(values, list) else values
