"""`antk_operator`: seconds of a product with the kernel, and how they grow with the batch."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from cases import Case, problem
from measure import in_turn, spread, timed

import ntteach
from ntteach.checks.trend import fit_slope

L, d, v = 32, 64, 1
SIZES = (256, 512, 1024, 2048, 4096, 8192)
QUICK = (64, 128, 256, 512)


def measure(device: str, quick: bool) -> dict[str, Any]:
    """`K @ x` for each N, and the log-log slope of its seconds."""
    sides = {}
    for N in QUICK if quick else SIZES:
        params, S = problem(Case(N, L, d, v), device)
        K = ntteach.antk_operator(params, S)
        x = torch.randn(K.shape[1], generator=torch.Generator().manual_seed(1)).to(device)
        sides[str(N)] = timed(lambda K=K, x=x: K @ x, device)
        sides[str(N)]()
    seconds = in_turn(sides, 3 if quick else 7, 60.0)
    slope = fit_slope([float(N) for N in sides], [statistics.median(t) for t in seconds.values()])
    return {
        "L": L,
        "d": d,
        "v": v,
        "rows": [{"N": int(N), **spread(times)} for N, times in seconds.items()],
        "slope": {"value": slope.value, "low": slope.low, "high": slope.high},
        "difference": _difference(device),
    }


def _difference(device: str) -> float:
    """From the product with the kernel itself, relative to the largest entry; raises if large."""
    params, S = problem(Case(16, L, d, v), device)
    K = ntteach.antk_operator(params, S)
    x = torch.randn(K.shape[1], generator=torch.Generator().manual_seed(1)).to(device)
    expected = ntteach.antk(params, S).view(K.shape) @ x
    error = ((K @ x - expected).abs().max() / expected.abs().max()).item()
    if not error <= 1e-4:
        raise SystemExit(f"the operator's product is off by {error:.2g}")
    return error
