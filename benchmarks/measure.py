"""Seconds of several ways of doing one thing, in turn, and the peak memory of one.

On a CPU seconds are those of the process (`time.process_time`), on a GPU those of the clock on the
wall, with the device waited for. Nothing here knows what is measured.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

Run = Callable[[], float]


def timed(work: Callable[[], Any], device: str) -> Run:
    """A run of `work` that returns its seconds; what it made is let go after the clock stopped."""

    def run() -> float:
        start = now(device)
        made = work()
        seconds = now(device) - start
        del made
        return seconds

    return run


def now(device: str) -> float:
    """The time to take differences of."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def in_turn(sides: Mapping[str, Run], rounds: int, budget: float) -> dict[str, list[float]]:
    """The seconds of each side, which run one after the other, round by round.

    Each round begins with another side, so that none always follows the same one, whose traces in
    caches and allocators it would bear.

    A side that has spent its budget sits out the rounds that are left; only if the first took it
    twice the budget, a second one is left out too.

    Args:
        sides: what to run; each has run before.
        rounds: at most.
        budget: seconds for all rounds of one side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for number in range(rounds):
        first = number % len(order)
        for name in order[first:] + order[:first]:
            spent = sum(seconds[name])
            if spent < budget or (len(seconds[name]) == 1 and spent < 2 * budget):
                seconds[name].append(sides[name]())
    return seconds


def spread(values: list[float]) -> dict[str, float | int]:
    """Median, least, largest and number of values, for a results file."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "runs": len(values),
    }


def ratio(peer: list[float], ours: list[float]) -> dict[str, float | int]:
    """The spread of the ratios of the rounds that both took part in."""
    return spread([a / b for a, b in zip(peer, ours, strict=False)])


def peak_mb(work: Callable[[], Any], device: str) -> float:
    """Peak memory of `work` in MB beyond what is held now; what it returns is part of it.

    On a CPU it is the resident memory of the process, on Linux: for a process that has done
    nothing large before, whose allocator holds nothing back.
    """
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        made = work()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
        del made
        return peak / 1e6
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    start = _peak_so_far()
    made = work()
    peak = _peak_so_far() - start
    del made
    return peak / 1e6


def _peak_so_far() -> int:
    """Peak resident memory in bytes since it was last reset."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def machine(device: str) -> dict[str, Any]:
    """What the numbers depend on."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": _processor(),
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "dtype": "float32",
        "device": device,
        "clock": "process time" if device == "cpu" else "wall clock, device waited for",
    }
    if device != "cpu":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
        found["tf32"] = torch.backends.cuda.matmul.allow_tf32
    return found


def _processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
