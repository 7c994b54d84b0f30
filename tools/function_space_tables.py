"""The documents' tables on teaching in function space, from `benchmarks/function_space.py`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results/function_space.json"
Steps = list[int | None]


def learnable() -> str:
    """Steps to the goal where the target is a function of the learner's space, and their cost."""
    results = _read()
    parts = [
        "\n".join(
            [
                f"*{row['kernel']}, {row['loss']} loss, to {row['goal']:.0%} of the error at the "
                "start:*",
                "",
                "| teacher | steps | of random's | outputs looked at |",
                "|---|---|---|---|",
                *_rows(results, row),
            ]
        )
        for row in results["learnable"]
    ]
    return "\n\n".join([*parts, _conditions(results)])


def hard() -> str:
    """The error at the end on pools on which greed may fail."""
    results = _read()
    names = [row["name"] for row in results["hard"]]
    lines = [
        "| teacher | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for teacher in results["cost"]:
        cells = [_of(row["teachers"][teacher]["last"], ".3f") for row in results["hard"]]
        lines.append(f"| {teacher} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"The error after {results['cap']} steps, relative to that of the zero function: median "
        f"and interval, {results['seeds']} seeds.",
    ]
    return "\n".join(lines)


def image() -> str:
    """The fit of an image at equal work, and after equally many steps."""
    results = _read()
    found = results["image"]
    lines = [
        "| pixels in a step | steps | PSNR at equal work, dB | PSNR at equal steps, dB |",
        "|---|---|---|---|",
        *(
            f"| {name} | {arm['steps']} | {_of(arm['psnr'], '.1f')} "
            f"| {_of(arm['psnr_equal_steps'], '.1f')} |"
            for name, arm in found["arms"].items()
        ),
        "",
        f"Equal work is that of {found['passes']} forward passes over the image, "
        f"{found['side']} by {found['side']} grey pixels, scoring counted; equal steps are "
        f"{found['equal_steps']}. Median and interval, {found['seeds']} seeds.",
    ]
    return "\n".join(lines)


def median_interval(values: list[float], level: float = 0.95) -> tuple[float, float, float]:
    """The median, and between which order statistics it lies with at least this confidence.

    The interval rests on independence alone: the count of values below the median is binomial.
    With fewer than six values no interval has that confidence, and it is the whole range.

    Args:
        values: infinity for what was not reached.
        level: of the interval.

    >>> median_interval([float(x) for x in range(1, 21)])  # the 6th and the 15th of twenty
    (10.5, 6.0, 15.0)
    """
    ordered, n = sorted(values), len(values)
    below, rank = 0.0, 0  # P(Bin(n, 1/2) < rank)
    while 2 * (below + math.comb(n, rank) / 2**n) <= 1 - level:
        below += math.comb(n, rank) / 2**n
        rank += 1
    rank = max(rank, 1)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    # between a number and infinity there is no middle
    middle = low if low == high else (low + high) / 2
    return middle, ordered[rank - 1], ordered[n - rank]


def _rows(results: dict[str, Any], row: dict[str, Any]) -> list[str]:
    N, m = results["pool"]["N"], results["pool"]["m"]
    reference: Steps = row["teachers"]["random"]["steps"]
    lines = []
    for name, found in row["teachers"].items():
        steps: Steps = found["steps"]
        looked_at = {"m": m, "N": N}[results["cost"][name]["outputs"]]
        middle, low, high = median_interval([_number(x) for x in steps])
        left = sum(x is None for x in steps)
        cell = f"{_steps(middle, results)} ({_steps(low, results)} to {_steps(high, results)})"
        cell += f", {left} of {len(steps)} not" if left else ""
        outputs = f"{looked_at * middle:.0f}" if middle < math.inf else "more"
        lines.append(
            f"| {name} | {cell} | {_ratio(steps, reference, results['cap'])} | {outputs} |"
        )
    return lines


def _ratio(steps: Steps, reference: Steps, cap: int) -> str:
    # seeds are paired; a pair of which neither reached the goal says nothing, and where random
    # alone did not, it is counted as if it had at the end
    pairs = [(x, y) for x, y in zip(steps, reference, strict=True) if (x, y) != (None, None)]
    if len(pairs) < 6:
        return "too few reached it"
    middle, low, high = median_interval(
        [_number(x) / max(1, cap if y is None else y) for x, y in pairs]
    )
    text = [f"{x:.2f}" if x < math.inf else "more" for x in (middle, low, high)]
    left = f", {len(pairs)} pairs" if len(pairs) < len(steps) else ""
    return f"{text[0]} ({text[1]} to {text[2]}){left}"


def _number(x: int | None) -> float:
    return math.inf if x is None else float(x)


def _steps(x: float, results: dict[str, Any]) -> str:
    return f"{x:g}" if x < math.inf else f"over {results['cap']}"


def _of(values: list[float], form: str) -> str:
    middle, low, high = median_interval(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def _conditions(results: dict[str, Any]) -> str:
    pool, machine = results["pool"], results["machine"]
    return (
        f"{pool['N']} sequences of {pool['L']} tokens, {pool['m']} in a step, at most "
        f"{results['cap']} steps; medians with 95 % intervals over {results['seeds']} seeds, which "
        "share pool, target and learning rate among teachers, a rate that is safe for any "
        "choice. Beside it, the median of the ratios to random seed by seed, and how many outputs "
        "had to be known, for choosing too. "
        f"{machine['dtype']}, Python {machine['python']}, torch {machine['torch']}, "
        f"{machine['processor']}, {results['date']}."
    )


def _read() -> dict[str, Any]:
    results = json.loads(RESULTS.read_text())
    if results["quick"]:
        raise ValueError(f"{RESULTS.name} is of a quick run: run it without --quick")
    return results


if __name__ == "__main__":
    print("\n\n".join([learnable(), hard(), image()]))
