"""The attention neural tangent kernel in closed form beside `torch.func` and `neural_tangents`.

    python benchmarks/antk.py                     measure and print
    python benchmarks/antk.py --out FILE          also write the results
    python benchmarks/antk.py --neural-tangents PYTHON
                                                  an interpreter that has it, for that peer
    python benchmarks/antk.py --device cuda       on a GPU
    python benchmarks/antk.py --quick             small sizes: whether everything works

Time, peak memory, the floor under the time, products with the operator, accuracy in float32. One
thread, float32. All sides of a case run in turn, round by round; ratios are those of one round.
Each peer's kernel is compared with ours before anything is timed. A peer that is slow is asked for
the rows of some sequences only, and its seconds are multiplied up: `rows` says for how many.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import antk_accuracy
import antk_floor
import antk_memory
import antk_operator
import torch
from cases import Case, problem
from measure import Run, in_turn, machine, ratio, spread, timed
from neural_tangents_peer import NeuralTangents, importable
from torch import Tensor
from torch_peers import PEERS

import ntteach

SIZES = (Case(64, 16, 64, 1), Case(32, 64, 128, 1), Case(64, 32, 64, 4))
WIDTHS = tuple(Case(64, 16, d, 1) for d in (16, 32, 128, 256))  # 64 is the first of SIZES
# a layer of a small vision transformer: 16 patches and a class token
LAYERS = (Case(16, 17, 64, 64, 4, 64, traced=True), Case(2, 17, 64, 64, 4, 64))
QUICK = {
    "sizes": (Case(16, 16, 64, 1), Case(8, 16, 32, 4)),
    "widths": (Case(16, 16, 16, 1), Case(16, 16, 128, 1)),
    "layers": (Case(4, 17, 64, 64, 4, 64, traced=True), Case(1, 17, 32, 32, 4, 32)),
}
FULL = {"sizes": SIZES, "widths": WIDTHS, "layers": LAYERS}

JACOBIANS, PRODUCTS = PEERS
# of neural_tangents: contraction of Jacobians, products, structured derivatives
IMPLEMENTATIONS = {"sizes": (1, 2, 3), "widths": (1,), "layers": (1,)}
OF_TORCH = {"sizes": (JACOBIANS, PRODUCTS), "widths": (JACOBIANS,), "layers": (JACOBIANS, PRODUCTS)}
SLOW = (PRODUCTS, "neural_tangents 2")

TOLERANCE = 1e-4  # of float32 sums in another order, relative to the largest entry


def measure(
    group: str, case: Case, device: str, python: str | None, rounds: int, budget: float
) -> dict[str, Any]:
    """Compare, time and weigh all sides of one case."""
    kernel = ours(case, device)
    expected = kernel()
    out = torch.zeros_like(expected)
    into = ours(case, device, out)
    into()
    sides: dict[str, Run] = {
        "antk": timed(kernel, device),
        "antk, into out": timed(into, device),
    }
    rows: dict[str, int] = {}
    peers: dict[str, dict[str, Any]] = {}
    for name in OF_TORCH[group]:
        rows[name] = max(1, case.N // 8) if name in SLOW else case.N
        work = PEERS[name](case, device, rows[name])
        peers[name] = {"difference": difference(name, case, work(), expected)}
        sides[name] = timed(work, device)
    served = []
    for implementation in IMPLEMENTATIONS[group] if python else ():
        name = f"neural_tangents {implementation}"
        rows[name] = max(1, case.N // 8) if name in SLOW else case.N
        try:
            server = NeuralTangents(python or "", implementation, case, rows[name])
        except RuntimeError as error:
            peers[name] = {"failed": str(error)}
            continue
        served.append(server)
        assert server.kernel is not None
        result_mb = server.kernel.numel() * 4 / 1e6
        peers[name] = {
            "difference": difference(name, case, server.kernel.to(device), expected),
            "extra_mb": server.peak_mb - result_mb,
            "versions": server.versions,
        }
        server.kernel = None
        sides[name] = server.run
    del expected
    floor = antk_floor.sides(case, device)
    seconds = in_turn({**sides, **floor}, rounds, budget)
    for server in served:
        server.close()
    for name in rows:
        if name in sides:
            seconds[name] = [t * case.N / rows[name] for t in seconds[name]]
            peers[name] |= {
                "seconds": spread(seconds[name]),
                "ratio": ratio(seconds[name], seconds["antk"]),
                "rows": rows[name],
            }
    median = {name: statistics.median(times) for name, times in seconds.items()}
    own: dict[str, dict[str, Any]] = {
        name: {"seconds": spread(seconds[name])} for name in ("antk", "antk, into out")
    }
    if group != "widths":
        for name in (*own, *OF_TORCH[group]):
            weighed = antk_memory.extra_mb(name, case, rows.get(name, case.N), device)
            (own if name in own else peers)[name]["extra_mb"] = weighed
    best = min((name for name in rows if name in median), key=median.__getitem__)
    return {
        "group": group,
        "case": vars(case),
        "kernel_mb": case.megabytes,
        "ours": own,
        "peers": peers,
        "best_peer": best,
        "floor": antk_floor.summary(case, median),
    }


def ours(case: Case, device: str, out: Tensor | None = None) -> Callable[[], Tensor]:
    """`antk` on a case, into a new kernel or into `out`."""
    params, S = problem(case, device)
    return lambda: ntteach.antk(params, S, heads=case.heads, trace_outputs=case.traced, out=out)


def difference(name: str, case: Case, K: Tensor, expected: Tensor) -> float:
    """The largest difference between some rows of two kernels, relative to the largest entry.

    Raises:
        SystemExit: it is not what rounding makes.
    """
    error = ((K - expected[: len(K)]).abs().max() / expected.abs().max()).item()
    if K.shape[1:] != expected.shape[1:] or not error <= TOLERANCE:
        raise SystemExit(f"{name} at {case}: kernels {tuple(K.shape)} differ by {error:.2g}")
    return error


def told(row: dict[str, Any]) -> str:
    """A few lines about one case."""
    lines = [f"{Case(**row['case'])}, kernel {row['kernel_mb']:.1f} MB"]
    for name, side in {**row["ours"], **row["peers"]}.items():
        if "failed" in side:
            lines.append(f"  {name}: failed, {side['failed']}")
            continue
        s = side["seconds"]
        line = (
            f"  {name}: {s['median']:.4f} s ({s['low']:.4f} to {s['high']:.4f}, {s['runs']} runs)"
        )
        if "ratio" in side:
            r = side["ratio"]
            line += f", {r['median']:.1f} times ({r['low']:.1f} to {r['high']:.1f})"
            line += f", rows of {side['rows']} of {row['case']['N']}"
        if "extra_mb" in side:
            line += f", {side['extra_mb']:.1f} MB beyond the kernel"
        lines.append(line)
    lines += [f"  {name}: {value:.4g}" for name, value in row["floor"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--out", type=Path, help="write the results there")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--neural-tangents", metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--rounds", type=int, help="at most, for each case")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        print(antk_memory.here(**json.loads(arguments.peak)))
        return
    device, quick = arguments.device, arguments.quick
    rounds = arguments.rounds or (2 if quick else 11)
    budget = 1.0 if quick else 6.0
    reason = importable(arguments.neural_tangents)
    if device == "cuda":
        reason = "not run: the comparison is on the CPU"
    python = None if reason else arguments.neural_tangents
    print(f"neural_tangents: {reason or 'importable'}", flush=True)
    cases = []
    for group, members in (QUICK if quick else FULL).items():
        for case in members:
            cases.append(measure(group, case, device, python, rounds, budget))
            print(told(cases[-1]), flush=True)
    results = {
        "machine": {**machine(device), "neural_tangents": reason or _versions(cases)},
        "quick": quick,
        "cases": cases,
        "growth": antk_memory.growth(device, quick),
        "operator": antk_operator.measure(device, quick),
        "accuracy": antk_accuracy.measure(device, quick),
    }
    for name in ("growth", "operator", "accuracy"):
        print(name, json.dumps(results[name], indent=1), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


def _versions(cases: list[dict[str, Any]]) -> dict[str, str] | str:
    """Of the peer, which says them each time it runs."""
    found = [p["versions"] for row in cases for p in row["peers"].values() if "versions" in p]
    return found[0] if found else "failed in every case"


if __name__ == "__main__":
    main()
