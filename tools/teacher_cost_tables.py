"""The table of what a teacher costs, from benchmarks/results/teacher_cost.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results/teacher_cost.json"


def table(given: dict[str, Any] | None = None) -> str:
    """Seconds and bytes of a selection, microseconds of an update."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if given is None else given
    rows = {(row["rule"], row["samples"]): row for row in results["selections"]}
    rules = list(dict.fromkeys(rule for rule, _ in rows))
    sizes = sorted({samples for _, samples in rows})
    lines = [
        "| selection | "
        + " | ".join(f"N = {power(samples)}" for samples in sizes)
        + " | bytes a sample held | at the peak |",
        "|---|" + "---|" * (len(sizes) + 2),
    ]
    for rule in rules:
        seconds = " | ".join(f"{rows[rule, n]['seconds']['median']:.2f} s" for n in sizes)
        largest = rows[rule, sizes[-1]]
        lines.append(
            f"| {rule} | {seconds} | {largest['bytes_per_sample']:.0f} "
            f"| {largest['peak_bytes_per_sample']:.0f} |"
        )
    steps = " and ".join(
        f"{row['teacher_us']['median']:.0f} µs ({row['teacher_us']['low']:.0f} to "
        f"{row['teacher_us']['high']:.0f}) with {row['batch']} samples"
        for row in results["updates"]
    )
    machine = results["machine"]
    lines += [
        "",
        f"A selection is all of `set_epoch`: 70 % of the samples chosen and put into an order. "
        f"`update` takes {steps}, beyond the mean of the losses. Process time on one thread, "
        f"medians; peaks in a process of their own. Python {machine['python']}, torch "
        f"{machine['torch']}, {machine['processor']}, {results['date']}.",
    ]
    return "\n".join(lines)


def power(samples: int) -> str:
    """A number of samples as people write it.

    >>> power(10**7), power(2500)
    ('10^7', '2500')
    """
    digits = len(str(samples)) - 1
    return f"10^{digits}" if samples == 10**digits else str(samples)
