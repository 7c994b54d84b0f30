"""Closed-form Jacobians and gradient norms beside `torch.func`: time and peak memory.

    python benchmarks/gradients.py            measure and print
    python benchmarks/gradients.py --write    also write benchmarks/results/gradients.json

One thread, float32, process time. The two sides of a row run in turn, and the median of the
ratios is the ratio. Peak memory is that of a fresh process for each side, beyond what it held
after a small warm-up; it holds the result. Both sides are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from cases import plain_attention
from measure import peak_mb
from torch import Tensor
from torch.func import grad, jacrev, vmap

import ntteach

RESULTS = Path(__file__).parent / "results" / "gradients.json"

# N, L, d, v, heads
JACOBIANS = ((64, 16, 64, 1, 1), (32, 64, 128, 1, 1), (64, 32, 64, 4, 1), (32, 32, 64, 8, 4))
NORMS = ((256, 16, 128, 128, 4), (256, 64, 128, 128, 4), (1024, 16, 256, 256, 4))
Case = tuple[int, int, int, int, int]


def problem(case: Case) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Parameters as at initialisation, normal sequences and loss gradients."""
    N, L, d, v, _ = case
    g = torch.Generator().manual_seed(0)
    params = {
        name: torch.randn(d, columns, generator=g) * d**-0.5
        for name, columns in (("W_Q", d), ("W_K", d), ("W_V", v))
    }
    return params, torch.randn(N, L, d, generator=g), torch.randn(N, L, v, generator=g)


def closed_jacobian(case: Case) -> Callable[[], list[Tensor]]:
    params, S, _ = problem(case)
    return lambda: _ordered(ntteach.attention_jacobian(params, S, heads=case[4]))


def func_jacobian(case: Case) -> Callable[[], list[Tensor]]:
    params, S, _ = problem(case)
    transform = vmap(jacrev(lambda p, s: plain_attention(p, s, case[4])), in_dims=(None, 0))
    return lambda: _ordered(transform(params, S))


def closed_norms(case: Case) -> Callable[[], list[Tensor]]:
    params, S, G = problem(case)
    return lambda: [ntteach.gradient_norms(params, S, G, heads=case[4])]


def func_norms(case: Case) -> Callable[[], list[Tensor]]:
    params, S, G = problem(case)
    gradient = vmap(
        grad(lambda p, s, g: (plain_attention(p, s, case[4]) * g).sum()), in_dims=(None, 0, 0)
    )

    def norms() -> list[Tensor]:
        squares = [x.square().flatten(1).sum(1) for x in gradient(params, S, G).values()]
        return [torch.stack(squares).sum(0).sqrt()]

    return norms


CONTESTS = {
    "Jacobian": (closed_jacobian, func_jacobian, "vmap(jacrev)", JACOBIANS),
    "gradient norms": (closed_norms, func_norms, "vmap(grad)", NORMS),
}


def _ordered(blocks: dict[str, Tensor]) -> list[Tensor]:
    return [blocks[name] for name in sorted(blocks)]


def measure(name: str, case: Case, repeats: int) -> dict[str, Any]:
    """Times in turn, then peak memory, each side in a process of its own."""
    ours, peer, peer_name, _ = CONTESTS[name]
    sides = [ours(case), peer(case)]
    # values from sums in another order: float32 rounding, relative to the largest entry
    error = max(
        ((x - y).abs().max() / y.abs().max()).item()
        for x, y in zip(sides[0](), sides[1](), strict=True)
    )
    if error > 1e-3:
        raise SystemExit(f"{name} at {case}: the two sides differ by {error:.2g}")
    times: list[list[float]] = [[], []]
    for _ in range(repeats):
        for side, seconds in zip(sides, times, strict=True):
            start = time.process_time()
            side()
            seconds.append(time.process_time() - start)
    ratios = [b / a for a, b in zip(*times, strict=True)]
    N, L, d, v, heads = case
    return {
        "quantity": name,
        "N": N,
        "L": L,
        "d": d,
        "v": v,
        "heads": heads,
        "peer": peer_name,
        "seconds": statistics.median(times[0]),
        "peer_seconds": statistics.median(times[1]),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "peak_mb": peak(name, case, 0),
        "peer_peak_mb": peak(name, case, 1),
        "result_mb": sum(x.numel() * x.element_size() for x in sides[0]()) / 1e6,
        "difference": error,
    }


def peak(name: str, case: Case, side: int) -> float:
    """Peak memory of one side in a fresh process, in MB beyond a small warm-up."""
    command = [sys.executable, __file__, "--peak", name, json.dumps(case), str(side)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _peak_here(name: str, case: Case, side: int) -> float:
    make = CONTESTS[name][side]
    make((2, 2, 4, 4, case[4]))()
    work = make(case)
    return peak_mb(work, "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the results file")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        name, case, side = arguments.peak
        print(_peak_here(name, tuple(json.loads(case)), int(side)))
        return
    rows = []
    for name, (_, _, _, cases) in CONTESTS.items():
        for case in cases:
            row = measure(name, case, arguments.repeats)
            rows.append(row)
            print(
                f"{name:15s} N={row['N']:<5d} L={row['L']:<3d} d={row['d']:<4d} v={row['v']:<4d} "
                f"heads={row['heads']}  {row['seconds']:.4f} s, {row['peer']} "
                f"{row['peer_seconds']:.4f} s: {row['ratio']:.1f} times "
                f"({row['ratio_low']:.1f} to {row['ratio_high']:.1f}); "
                f"{row['peak_mb']:.0f} MB, {row['peer']} {row['peer_peak_mb']:.0f} MB, "
                f"result {row['result_mb']:.1f} MB",
                flush=True,
            )
    if arguments.write:
        machine = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "processor": platform.machine(),
            "threads": 1,
            "dtype": "float32",
            "repeats": arguments.repeats,
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
