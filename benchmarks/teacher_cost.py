"""What a teacher costs: seconds of a selection, microseconds of an update, bytes of a sample.

    python benchmarks/teacher_cost.py [--quick] [--write]

A selection is timed as a run meets it: `set_epoch` on scores of all samples, which selects, counts
and draws an order. An update is timed beside the mean that a loop would take without a teacher, in
turn; the difference is the teacher's. Peaks are of a process of their own, beyond what it held
before the teacher was made.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from measure import in_turn, machine, peak_mb, spread

from ntteach.teaching import Teacher

RESULTS = Path(__file__).parent / "results" / "teacher_cost.json"
RULES = ("random", "hard", "soft", "aged", "auto")
SIZES = (10**6, 10**7, 10**8)
STEPS = 2000
BATCHES = (32, 512)


def taught(rule: str, samples: int) -> Teacher:
    """A teacher after its first epoch, all samples scored and taught in it."""
    teacher = Teacher(samples, epochs=3, select=rule)
    teacher.set_epoch(0)
    draw = torch.Generator().manual_seed(0)
    for ids in torch.arange(samples).split(2**20):
        teacher.update(ids, torch.rand(len(ids), generator=draw))
    return teacher


def selection(rule: str, samples: int, repeats: int) -> dict[str, Any]:
    """Process seconds of `set_epoch` with a selection, and what is held afterwards."""
    seconds, held = [], 0.0
    for _ in range(repeats):
        teacher = taught(rule, samples)
        start = time.process_time()
        teacher.set_epoch(1)
        seconds.append(time.process_time() - start)
        held = teacher.report().bytes_per_sample
        del teacher
    return {
        "rule": rule,
        "samples": samples,
        "seconds": spread(seconds),
        "bytes_per_sample": held,
        "peak_bytes_per_sample": peak(rule, samples),
    }


def peak(rule: str, samples: int) -> float:
    """Peak bytes a sample of a run's first two epochs, in a fresh process."""
    command = [sys.executable, __file__, "--peak", rule, str(samples)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(answer.stdout) * 1e6 / samples


def peak_here(rule: str, samples: int) -> float:
    """The same in MB, in this process."""
    taught(rule, 1000).set_epoch(1)

    def run() -> Teacher:
        teacher = taught(rule, samples)
        teacher.set_epoch(1)
        return teacher

    return peak_mb(run, "cpu")


def update(batch: int, samples: int, rounds: int) -> dict[str, Any]:
    """Process microseconds of `update` and of the mean alone, a step."""
    teacher = Teacher(samples, epochs=2)
    teacher.set_epoch(0)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randperm(samples, generator=draw)[: batch * STEPS].split(batch)
    losses = torch.rand(batch, generator=draw).requires_grad_()

    def steps(work: Any) -> Any:
        def run() -> float:
            start = time.process_time()
            for places in ids:
                work(places)
            return (time.process_time() - start) / len(ids) * 1e6

        run()
        return run

    sides = {
        "update": steps(lambda places: teacher.update(places, losses)),
        "mean": steps(lambda places: losses.mean()),
    }
    times = in_turn(sides, rounds, budget=float("inf"))
    differences = [a - b for a, b in zip(times["update"], times["mean"], strict=True)]
    return {
        "batch": batch,
        "samples": samples,
        "update_us": spread(times["update"]),
        "mean_us": spread(times["mean"]),
        "teacher_us": spread(differences),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a million samples, few repeats")
    parser.add_argument("--write", action="store_true", help="write the results file")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        print(peak_here(arguments.peak[0], int(arguments.peak[1])))
        return
    selections, updates = [], []
    for samples in SIZES[:1] if arguments.quick else SIZES:
        for rule in RULES:
            row = selection(rule, samples, 1 if samples == SIZES[-1] else 3)
            selections.append(row)
            print(
                f"{rule:8s} N = {samples:<11,d} {row['seconds']['median']:7.3f} s a selection, "
                f"{row['bytes_per_sample']:.1f} bytes a sample held, "
                f"{row['peak_bytes_per_sample']:.1f} at the peak",
                flush=True,
            )
    for batch in BATCHES:
        row = update(batch, 2 * 10**6 if arguments.quick else 10**7, 2 if arguments.quick else 7)
        updates.append(row)
        print(
            f"update, batch {batch}: {row['teacher_us']['median']:.1f} us beyond the mean's "
            f"{row['mean_us']['median']:.1f} us",
            flush=True,
        )
    if arguments.write:
        found = {
            "date": datetime.date.today().isoformat(),
            "machine": machine("cpu"),
            "selections": selections,
            "updates": updates,
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
