"""Arms that choose what to train on, at equal cost and with every learning rate tuned.

    python benchmarks/teaching.py --campaign main            the two learners, clean and noisy
    python benchmarks/teaching.py --campaign map             when choosing pays
    python benchmarks/teaching.py --task vit,copies=0.6 --arms "full,short 0.70" --seeds 8
    python benchmarks/teaching.py --collect                  what was run, to benchmarks/results/
    python benchmarks/teaching.py --quick                    a look, in less than two minutes
    python benchmarks/teaching.py --device cuda              a larger set, on a GPU
    python benchmarks/teaching.py --infobatch PATH           a restated rule against its source

Runs are appended to a store, one line each, and never made twice: a campaign can be interrupted
and goes on where it was. A task is `vit` or `lm`, and what is changed of it; rates are tuned on
seeds from 100, results are of seeds from 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import teaching_ours  # noqa: F401  # its arms join ARMS
import teaching_peers
import torch
from teaching_arms import ARMS
from teaching_protocol import TIMING, Cell, Clock, Late, final, tune
from teaching_results import collect, plot
from teaching_run import Store
from teaching_tasks import task_of

RESULTS = Path(__file__).parent / "results"
PLAIN = tuple(name for name, arm in ARMS.items() if arm.kind != "ours")
OURS = ("auto 0.70",)
MAP = ("full", "short 0.70", "random 0.70", "hard 0.70", "soft 0.70", *OURS)
QUICK = ("full", "short 0.70", "random 0.70", "hard 0.70", *OURS)

# Cells: task, arms, seeds for tuning, final seeds.
CAMPAIGNS: dict[str, list[Cell]] = {
    "main": [
        Cell(task_of("vit"), PLAIN + OURS, 6, 20),
        Cell(task_of("vit,noise=0.2"), PLAIN + OURS, 6, 20),
        Cell(task_of("lm"), PLAIN + OURS, 2, 8),
        Cell(task_of("lm,noise=0.2"), PLAIN + OURS, 4, 8),
    ],
    "map": [
        Cell(task_of(name), MAP, 2, 10)
        for name in (
            "vit,copies=0.6",
            "vit,tail=10",
            "vit,epochs=40",
            "vit,width=16",
            "vit,width=64",
            "vit,copies=0.6,epochs=40",
            "vit,noise=0.2,copies=0.6",
            "vit,epochs=6",
            # these two were not looked at while the default teacher was made
            "vit,noise=0.4",
            "vit,noise=0.1,tail=5",
            "lm,copies=0.5",
        )
    ],
    "large": [Cell(task_of("vit,epochs=10,width=128,samples=40000,batch=250"), QUICK, 2, 4)],
}


def work(store: Store, cells: list[Cell], minutes: float, rounds: int = 0) -> None:
    """Tune and run every cell, until the time is over; only time it, where rounds are given."""
    clock = Clock(time.monotonic() + 60 * minutes)
    for cell in cells:
        try:
            rates = tune(store, cell, clock, make=not rounds)
            if rounds:
                final(store, replace(cell, final=rounds), rates, clock, TIMING)
                continue
            final(store, cell, rates, clock)
        except Late:
            print(f"time is over in {cell.task.name}; the same call goes on", flush=True)
            return
        told(store, cell, rates)


def told(store: Store, cell: Cell, rates: dict[str, float]) -> None:
    """A line for each arm."""
    print(cell.task.name, flush=True)
    for arm, rate in rates.items():
        runs = [run for run in store.of(cell.task.name, arm, rate) if run["seed"] < cell.final]
        metric, cost = (statistics.fmean(run[key] for run in runs) for key in ("metric", "cost"))
        print(f"  {arm}: rate {rate:g}, cost {cost:.3f}, {cell.task.metric} {metric:.4f}")


def look() -> None:
    """A few arms, two rates, two seeds; nothing is kept."""
    cell = Cell(task_of("vit"), QUICK, 1, 2)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs.jsonl")
        rates = dict.fromkeys(cell.arms, 0.0)
        for arm in cell.arms:
            found = {r: store.run(cell.task, arm, 100, r)["metric"] for r in (0.005, 0.008)}
            rates[arm] = max(found, key=lambda rate, found=found: found[rate])
        final(store, cell, rates, Clock())
        told(store, cell, rates)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--campaign", choices=CAMPAIGNS, help="cells that are declared here")
    parser.add_argument("--task", help="one cell: vit or lm, and what is changed of it")
    parser.add_argument("--arms", help="names of arms, with commas between")
    parser.add_argument("--rates", help="another grid, numbers with commas between")
    parser.add_argument("--tuning", type=int, help="seeds for tuning")
    parser.add_argument("--seeds", type=int, help="final seeds")
    parser.add_argument("--time", type=int, default=0, help="rounds: only seconds, arms in turn")
    parser.add_argument("--minutes", type=float, default=1e6, help="when to stop")
    parser.add_argument("--store", type=Path, help="where runs are kept")
    parser.add_argument("--collect", action="store_true", help="write the results file and plot")
    parser.add_argument("--quick", action="store_true", help="a look, printed only")
    parser.add_argument("--device", default="cpu", help="cuda: the large campaign")
    parser.add_argument("--infobatch", type=Path, help="a checkout of InfoBatch")
    parser.add_argument("--seta", type=Path, help="a checkout of SeTa")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.infobatch or given.seta:
        return teaching_peers.compare(given.infobatch, given.seta)
    if given.quick:
        look()
        return 0
    cuda = given.device != "cpu"
    store = Store(
        given.store or RESULTS / f"teaching_runs{'_' + given.device if cuda else ''}.jsonl",
        given.device,
    )
    name = given.campaign or ("large" if cuda else None)
    cells = CAMPAIGNS[name] if name else []
    try:
        if given.task:
            cells = [Cell(task_of(given.task), MAP, 2, 8)]
        cells = [_changed(cell, given) for cell in cells]
    except ValueError as error:
        parser.error(str(error))
    work(store, cells, given.minutes, given.time)
    if given.collect:
        every = CAMPAIGNS["large"] if cuda else CAMPAIGNS["main"] + CAMPAIGNS["map"]
        results = collect(store, every, given.device)
        out = RESULTS / f"teaching{'_' + given.device if cuda else ''}.json"
        out.write_text(json.dumps(results, separators=(",", ":")) + "\n")
        shown = CAMPAIGNS["large" if cuda else "main"]
        plot(results, out.with_suffix(".svg"), tuple(cell.task.name for cell in shown))
    return 0


def _changed(cell: Cell, given: argparse.Namespace) -> Cell:
    """A cell with what the command line says in place of what is declared."""
    arms = tuple(given.arms.split(",")) if given.arms else cell.arms
    for arm in arms:
        if arm not in ARMS:
            raise ValueError(f"there is no arm {arm!r}; expected one of: {', '.join(ARMS)}")
    rates = tuple(float(rate) for rate in given.rates.split(",")) if given.rates else cell.rates
    return replace(
        cell,
        arms=arms,
        rates=rates,
        tuning=given.tuning or cell.tuning,
        final=given.seeds or cell.final,
    )


if __name__ == "__main__":
    raise SystemExit(main())
