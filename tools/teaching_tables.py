"""The documents' tables on teaching at equal cost, from `benchmarks/teaching.py`.

Differences are paired by seed and positive where the first arm is better, in points of accuracy or
in nats a character; behind each stands the half width of its 95 % t-interval.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results/teaching.json"
FULL, SHORT, RANDOM, OURS = "full", "short 0.70", "random 0.70", "auto 0.70"
NEAR = 0.02  # costs that count as the same, in full runs

Cell = dict[str, Any]


def tables() -> str:
    """One table for each task that all arms were run on."""
    results = read()
    parts = [_table(cell) for cell in results["cells"] if _whole(cell)]
    return "\n\n".join([*parts, conditions(results)])


def short_table() -> str:
    """For the README: what each arm gains on a shorter full run of the same cost."""
    results = read()
    cells = [cell for cell in results["cells"] if _whole(cell)]
    arms = [arm for arm in cells[0]["arms"] if all(arm in cell["arms"] for cell in cells)]
    lines = [
        "| arm | " + " | ".join(f"`{cell['task']}`: cost, gain" for cell in cells) + " |",
        "|---|" + "---|" * len(cells),
    ]
    for arm in arms:
        if arm.startswith("short"):
            continue
        cells_of = []
        for cell in cells:
            gain = difference(cell, arm, short_at(cell, cost(cell, arm)))
            told = "" if arm == FULL else f", {_told(cell, gain)}"
            cells_of.append(f"{cost(cell, arm):.2f}{told}")
        lines.append(f"| {arm} | " + " | ".join(cells_of) + " |")
    units = "points of accuracy (`vit`), thousandths of a nat a character (`lm`)"
    lines += [
        "",
        "Cost in full runs, and what an arm gains on a shorter full run of the same cost: mean and "
        f"95 % interval over paired seeds, {units}. Every rate is tuned.",
    ]
    return "\n".join([*lines, "", verdicts(results)])


def when() -> str:
    """The map: what choosing changes at a cost of .70, task by task."""
    results = read()
    arms = [RANDOM, "hard 0.70", "soft 0.70", OURS]
    lines = [
        f"| task | seeds | {FULL} | {SHORT} | "
        + " | ".join(f"{arm} − short" for arm in arms)
        + f" | {OURS} − full |",
        "|---|---|---|---|" + "---|" * (len(arms) + 1),
    ]
    for cell in results["cells"]:
        if SHORT not in cell["arms"] or FULL not in cell["arms"]:
            continue
        row = [f"`{cell['task']}`", str(_seeds(cell))]
        row += [_level(cell, FULL), _level(cell, SHORT)]
        for arm, to in [(arm, SHORT) for arm in arms] + [(OURS, FULL)]:
            known = arm in cell["arms"]
            row.append(_told(cell, difference(cell, arm, values(cell, to))) if known else "")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def tried() -> str:
    """Choices that were tried and tuned, and given no final seeds."""
    results = read()
    cells = [cell for cell in results["cells"] if cell["tried"] and SHORT in cell["arms"]]
    names = list(dict.fromkeys(arm for cell in cells for arm in cell["tried"]))
    if not names:
        return "Nothing else was tried."
    # all by the seeds that the tried ones have
    seeds = [min(map(_looked, cell["tried"].values())) for cell in cells]
    titles = (f"`{cell['task']}`, {n} seeds" for cell, n in zip(cells, seeds, strict=True))
    lines = ["| choice | " + " | ".join(titles) + " |", "|---|" + "---|" * len(cells)]
    for arm in [SHORT, "hard 0.70", *names]:
        row = []
        for cell, n in zip(cells, seeds, strict=True):
            found = cell["arms"].get(arm) or cell["tried"].get(arm)
            row.append(_best(cell, found["tuning"], n) if found else "")
        lines.append(f"| {arm} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def moved(results: Cell | None = None) -> str:
    """What a first look, with rates tuned on half the seeds, said of arms against short."""
    results = read() if results is None else results
    lines = []
    for cell in results["cells"]:
        if SHORT not in cell["arms"]:
            continue
        short = _first(cell, SHORT)
        for arm, found in cell["arms"].items():
            if arm == SHORT or ("first_look" not in found and short == values(cell, SHORT)):
                continue
            then = _told(cell, _paired(_first(cell, arm), short))
            now = _told(cell, difference(cell, arm, values(cell, SHORT)))
            lines.append(f"| `{cell['task']}` | {arm} | {then} | {now} |")
    head = ["| task | arm | − short .70, first look | now |", "|---|---|---|---|"]
    return "\n".join(head + lines)


def _first(cell: Cell, arm: str) -> list[float]:
    """The final values of an arm at the rate of the first look."""
    found = cell["arms"][arm]
    if "first_look" not in found:
        return values(cell, arm)
    sign = 1 if cell["metric"] == "accuracy" else -1
    return [sign * value for value in found["first_look"]["metric"]]


def _looked(found: Cell) -> int:
    """How many tuning seeds an arm has at its rate."""
    return len(found["tuning"][f"{found['rate']:g}"])


def _best(cell: Cell, tuning: dict[str, list[float]], seeds: int) -> str:
    """The best mean over the first tuning seeds, of any rate."""
    means = [statistics.fmean(runs[:seeds]) for runs in tuning.values() if len(runs) >= seeds]
    return f"{100 * max(means):.2f}" if cell["metric"] == "accuracy" else f"{min(means):.3f}"


def verdicts(results: Cell | None = None) -> str:
    """What the intervals say of the default teacher, counted."""
    results = read() if results is None else results
    controls, full = [], []
    for cell in results["cells"]:
        if OURS not in cell["arms"]:
            continue
        # the less favourable of the two: ahead means of both, behind of either
        against = [difference(cell, OURS, values(cell, arm)) for arm in (SHORT, RANDOM)]
        known = [d for d in against if d is not None]
        behind = [d for d in known if d[0] < -d[1]]
        least = min(behind or known, key=lambda d: d[0] - d[1], default=None)
        controls.append((cell["task"], least))
        full.append((cell["task"], difference(cell, OURS, values(cell, FULL))))
    if not controls:
        return "The default teacher has not been run."
    n = len(controls)
    return (
        f"The default teacher against the two controls at the same cost, {n} tasks: behind one of "
        f"them outside the interval on {_names(controls, -1)}, ahead of both outside it on "
        f"{_names(controls, 1)}. Against the full run, at 30 % less cost: behind on "
        f"{_names(full, -1)}, ahead on {_names(full, 1)}. The intervals are for one comparison "
        f"each; of {3 * n}, {0.05 * 3 * n:.1f} may be expected to exclude a difference of 0 by "
        "chance, and how rates were tuned is not in them. On `lm` they are wide: not to be behind "
        "says little there."
        + "".join(
            _against(cell) for cell in results["cells"] if OURS in cell["arms"] and _whole(cell)
        )
    )


def _against(cell: Cell) -> str:
    """A sentence for one task: which arms the default teacher is ahead of, and behind."""
    found = {arm: difference(cell, OURS, values(cell, arm)) for arm in cell["arms"] if arm != OURS}
    ahead, behind = (
        [arm for arm, d in found.items() if d is not None and sign * d[0] > d[1]]
        for sign in (1, -1)
    )
    if len(ahead) == len(found):
        return f"\n\nOn `{cell['task']}` it is ahead of every other arm, outside the interval."
    lists = [", ".join(arms) or "none" for arms in (ahead, behind)]
    return f"\n\nOn `{cell['task']}` it is ahead of: {lists[0]}; behind: {lists[1]}."


def conditions(results: Cell) -> str:
    """Seeds, the power computation, the number of comparisons, the machine."""
    machine = results["machine"]
    whole = [cell for cell in results["cells"] if _whole(cell)]
    power = "; ".join(
        f"`{cell['task']}` {cell['power']['seeds']} for {_unit(cell, cell['power']['difference'])} "
        f"(standard deviation {_unit(cell, cell['power']['sd'])})"
        for cell in whole
        if "power" in cell
    )
    seeds = ", ".join(
        f"`{cell['task']}` {_seeds(cell)} after {_tuning(cell)} for tuning" for cell in whole
    )
    few = [f"`{c['task']}`" for c in whole if _seeds(c) < c.get("power", {}).get("seeds", 0)]
    missed = f" Fewer were run on {', '.join(few)}: such a difference may be missed." if few else ""
    others = {_tuning(cell) for cell in results["cells"] if not _whole(cell)}
    mapped = ", ".join(str(n) for n in sorted(others))
    count = sum(4 * (len(cell["arms"]) - 1) for cell in whole)
    return (
        f"Seeds: {seeds}. Seeds that a paired t-test at 5 % needs for a power of 80 %, by the "
        f"tuning runs: {power}.{missed} The map's rates are tuned on {mapped or 'no'} seeds: "
        f"few, so that chance chooses some of them. Each seed has its own split, initial weights "
        f"and order.\n\nThe tables hold about {count} comparisons, with intervals for one each. "
        f"Process time on one thread is in the results file and not here: other work on the "
        f"machine changed it by more than the arms differ. {machine['dtype']}, Python "
        f"{machine['python']}, torch {machine['torch']}, {machine['processor']}, "
        f"{results['date']}."
    )


def _table(cell: Cell) -> str:
    lines = [
        f"### `{cell['task']}`",
        "",
        f"| arm | rate | cost | samples | {cell['metric']} | − full "
        "| − short, same cost | − random .70 | auto − this |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, found in cell["arms"].items():
        row = [arm, f"{found['rate']:g}", f"{cost(cell, arm):.3f}"]
        row += [f"{_mean(found['samples']):.0f}"]
        row.append(_level(cell, arm))
        short = None if arm.startswith("short") else short_at(cell, cost(cell, arm))
        others = [values(cell, FULL), short, values(cell, RANDOM)]
        for to, other in zip((FULL, "", RANDOM), others, strict=True):
            row.append("" if arm in (to, FULL) else _told(cell, difference(cell, arm, other)))
        known = arm != OURS and OURS in cell["arms"]
        row.append(_told(cell, difference(cell, OURS, values(cell, arm))) if known else "")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def values(cell: Cell, arm: str) -> list[float]:
    """The metric by seed, more being better."""
    sign = -1 if cell["metric"] == "nats" else 1
    return [sign * value for value in cell["arms"][arm]["metric"]]


def cost(cell: Cell, arm: str) -> float:
    """Mean cost of an arm's runs, in full runs."""
    return _mean(cell["arms"][arm]["cost"])


def short_at(cell: Cell, wanted: float) -> list[float] | None:
    """What a short full run of that cost gives by seed: on the line between its neighbours.

    None beyond the shortest, by more than `NEAR`, or where there are no neighbours.
    """
    arms = [arm for arm in cell["arms"] if arm == FULL or arm.startswith("short")]
    known = sorted((cost(cell, arm), arm) for arm in arms)
    for at, arm in known:
        if abs(at - wanted) < 1e-3:
            return values(cell, arm)
    for (low, a), (high, b) in itertools.pairwise(known):
        if low <= wanted <= high and high - low < 0.15:
            share = (wanted - low) / (high - low)
            pairs = zip(values(cell, a), values(cell, b), strict=False)
            return [(1 - share) * x + share * y for x, y in pairs]
    nearest = min(known, key=lambda pair: abs(pair[0] - wanted))
    return values(cell, nearest[1]) if abs(nearest[0] - wanted) <= NEAR else None


def difference(cell: Cell, arm: str, other: list[float] | None) -> tuple[float, float] | None:
    """Mean of an arm's paired gains on the other, and half the width of the 95 % t-interval."""
    return None if other is None else _paired(values(cell, arm), other)


def _paired(mine: list[float], other: list[float]) -> tuple[float, float]:
    """Mean of paired gains, and half the width of the 95 % t-interval."""
    from scipy.stats import t

    gains = [a - b for a, b in zip(mine, other, strict=False)]
    n = len(gains)
    half = float(t.ppf(0.975, n - 1)) * statistics.stdev(gains) / math.sqrt(n)
    return statistics.fmean(gains), half


def _names(found: list[tuple[str, tuple[float, float] | None]], sign: int) -> str:
    """Tasks whose difference has that sign outside its interval."""
    names = [f"`{task}`" for task, d in found if d is not None and sign * d[0] > d[1]]
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def _told(cell: Cell, found: tuple[float, float] | None) -> str:
    if found is None:
        return "–"
    mean, half = (x * (1000 if cell["metric"] == "nats" else 100) for x in found)
    form = ".0f" if cell["metric"] == "nats" else ".2f"
    text = f"{mean:+{form}} ± {half:{form}}"
    return f"**{text}**" if abs(mean) > half else text


def _unit(cell: Cell, value: float) -> str:
    return f"{value:.3f} nats" if cell["metric"] == "nats" else f"{100 * value:.2f} points"


def _level(cell: Cell, arm: str) -> str:
    mean = statistics.fmean(cell["arms"][arm]["metric"])
    return f"{mean:.3f}" if cell["metric"] == "nats" else f"{100 * mean:.2f}"


def _mean(found: float | list[float]) -> float:
    return statistics.fmean(found) if isinstance(found, list) else found


def _seeds(cell: Cell) -> int:
    """Final seeds of the full run."""
    return len(cell["arms"][FULL]["metric"])


def _tuning(cell: Cell) -> int:
    """Tuning seeds of the full run."""
    return max(len(found) for found in cell["arms"][FULL]["tuning"].values())


def _whole(cell: Cell) -> bool:
    """Whether all arms were run, and not only those of the map."""
    return "InfoBatch" in cell["arms"] and FULL in cell["arms"]


def read() -> Cell:
    """The results file; raises ValueError if it is of a quick run."""
    results = json.loads(RESULTS.read_text())
    if results["quick"]:
        raise ValueError(f"{RESULTS.name} is of a quick run: run it without --quick")
    return results


if __name__ == "__main__":
    print("\n\n".join([tables(), when(), tried(), short_table()]))
