"""The README's sections on the kernel, from the committed results of `benchmarks/antk.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results"


def speed() -> str:
    """Tables and sentences on time and memory; on a GPU too, where there are results of one."""
    found = [_of(_read(RESULTS / "antk.json"))]
    on_gpu = RESULTS / "antk-cuda.json"
    if on_gpu.exists():
        found.append(_of(_read(on_gpu)))
    return "\n\n".join(found)


def accuracy() -> str:
    """The table of errors in float32."""
    rows = _read(RESULTS / "antk.json")["accuracy"]
    kinds = list(dict.fromkeys(row["attention"] for row in rows))
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        shape = ", ".join(str(row[name]) for name in ("L", "d", "v", "heads"))
        shape += ", traced" if row["traced"] else ""
        errors = f"{row['largest']:.0e}, {row['normwise']:.0e}".replace("e-0", "e-")
        cells.setdefault(shape, {})[row["attention"]] = errors
    lines = [
        "| L, d, v, heads | " + " | ".join(f"{kind} attention" for kind in kinds) + " |",
        "|---|" + "---|" * len(kinds),
        *(f"| {shape} | " + " | ".join(of[k] for k in kinds) + " |" for shape, of in cells.items()),
    ]
    tops = {
        kind: [row["mean_top_weight"] for row in rows if row["attention"] == kind] for kind in kinds
    }
    ranges = ", ".join(f"{kind} {min(t):.2f} to {max(t):.2f}" for kind, t in tops.items())
    lines += [
        "",
        "The largest error relative to the largest entry, and the error's norm relative to the "
        "kernel's; the worst of five draws. The largest weight of a row is on average: "
        f"{ranges}.",
    ]
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    results = json.loads(path.read_text())
    if results["quick"]:
        raise ValueError(f"{path.name} is of a quick run: run benchmarks/antk.py without --quick")
    return results


def _of(results: dict[str, Any]) -> str:
    parts = [
        _main_table(results),
        _peers_table(results),
        " ".join([_widths(results), _floor(), _growth(results), _operator(results)]),
        _conditions(results),
    ]
    return "\n\n".join(parts)


def _in_group(results: dict[str, Any], *groups: str) -> list[dict[str, Any]]:
    return [row for row in results["cases"] if row["group"] in groups]


def _shape(case: dict[str, Any]) -> str:
    text = ", ".join(str(case[name]) for name in ("N", "L", "d", "v"))
    if case["heads"] > 1:
        text += f"; {case['heads']} heads"
    if case["o"]:
        text += f", W_O to {case['o']}"
    return text + (", traced" if case["traced"] else "")


def _main_table(results: dict[str, Any]) -> str:
    lines = [
        "| N, L, d, v | `antk` | into `out` | best peer | ratio (range, runs) "
        "| memory beyond the kernel | kernel | over the floor | of matrix rate, of bandwidth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in _in_group(results, "sizes", "layers"):
        ours, into = row["ours"]["antk"], row["ours"]["antk, into out"]
        peer = row["peers"][row["best_peer"]]
        ratio, floor = peer["ratio"], row["floor"]
        lines.append(
            f"| {_shape(row['case'])} | {_time(ours)} | {_time(into)} "
            f"| {row['best_peer']} {_time(peer)} "
            f"| {ratio['median']:.1f} ({ratio['low']:.1f} to {ratio['high']:.1f}, {ratio['runs']}) "
            f"| {ours['extra_mb']:.0f} against {peer['extra_mb']:.0f} MB "
            f"| {row['kernel_mb']:.1f} MB "
            f"| {floor['antk: over the larger']:.1f}; "
            f"into `out` {floor['antk, into out: over the larger']:.1f} "
            f"| {floor['antk: fraction of matrix rate']:.0%}, "
            f"{floor['antk: fraction of bandwidth']:.0%} |"
        )
    return "\n".join(lines)


def _time(side: dict[str, Any]) -> str:
    return f"{1e3 * side['seconds']['median']:.1f} ms"


def _peers_table(results: dict[str, Any]) -> str:
    rows = _in_group(results, "sizes")
    names = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    lines = [
        "| peer | " + " | ".join(_shape(row["case"]) for row in rows) + " |",
        "|---|" + "---|" * len(rows),
    ]
    partial = False
    for name in names:
        cells = []
        for row in rows:
            peer = row["peers"].get(name, {"failed": ""})
            if "failed" in peer:
                cells.append("failed" if peer["failed"] else "")
                continue
            part = peer["rows"] < row["case"]["N"]
            partial |= part
            cells.append(f"{_time(peer)}, {peer['ratio']['median']:.0f} times" + part * " *")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if partial:
        lines += ["", "\\* From the rows of some of the sequences, multiplied up."]
    return "\n".join(lines)


def _widths(results: dict[str, Any]) -> str:
    rows = _in_group(results, "sizes", "widths")
    N, L, v = (_in_group(results, "widths")[0]["case"][name] for name in ("N", "L", "v"))
    ratios = {
        row["case"]["d"]: row["peers"][row["best_peer"]]["ratio"]["median"]
        for row in rows
        if (row["case"]["N"], row["case"]["L"], row["case"]["v"]) == (N, L, v)
    }
    d = sorted(ratios)
    return (
        f"For N = {N}, L = {L} the best peer takes "
        f"{_listed(f'{ratios[x]:.1f}' for x in d)} times as long at d = {_listed(d)}."
    )


def _floor() -> str:
    return (
        "The floor is the larger of two times: of half the Gram products by `torch.mm` at those "
        "shapes, and of filling the kernel; the last column is what the kernel's own time leaves "
        "of those two rates."
    )


def _growth(results: dict[str, Any]) -> str:
    told = []
    for name in dict.fromkeys(row["side"] for row in results["growth"]):
        rows = [row for row in results["growth"] if row["side"] == name]
        sizes = _listed(row["case"]["N"] for row in rows)
        extra = _listed(f"{row['extra_mb']:.0f}" for row in rows)
        told.append(f"{name}, N = {sizes}: {extra} MB")
    return "Memory beyond inputs and kernel, as N grows: " + "; ".join(told) + "."


def _operator(results: dict[str, Any]) -> str:
    operator = results["operator"]
    rows, slope = operator["rows"], operator["slope"]
    at = next((row for row in rows if row["N"] == 4096), rows[-1])
    return (
        f"A product with `antk_operator` at N = {at['N']}, L = {operator['L']}, "
        f"d = {operator['d']} takes {at['median']:.2f} s ({at['low']:.2f} to {at['high']:.2f}); "
        f"over N = {rows[0]['N']} to {rows[-1]['N']} the log-log slope of its time is "
        f"{slope['value']:.3f} (95 % interval {slope['low']:.3f} to {slope['high']:.3f})."
    )


def _conditions(results: dict[str, Any]) -> str:
    machine = results["machine"]
    peer = machine["neural_tangents"]
    if isinstance(peer, dict):
        peer = f"{peer['neural_tangents']} on jax {peer['jax']}"
    place = machine["gpu"] if "gpu" in machine else machine["processor"]
    return (
        f"{machine['dtype']}, {machine['clock']}, one thread, medians of runs in turn, few of "
        "a slow peer; "
        f"{place}, {machine['architecture']}, Python {machine['python']}, "
        f"torch {machine['torch']}; `neural_tangents`: {peer}. Peers are compared with `antk` "
        "before they are timed; compilation is not timed."
    )


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)
