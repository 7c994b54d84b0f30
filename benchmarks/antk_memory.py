"""Peak memory of a kernel beyond the inputs and the kernel itself, and how it grows with N."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import Case, problem
from measure import peak_mb
from torch import Tensor
from torch_peers import PEERS

import ntteach

ANTK = Path(__file__).parent / "antk.py"
# Sequences that make up the short side of a rectangle.
SHORT = 4

JACOBIANS = next(iter(PEERS))
# what grows, in which case, and the sizes it takes
GROWTH = (
    ("antk, into out", Case(0, 16, 64, 16, traced=True), (64, 128, 256, 512, 1024)),
    (JACOBIANS, Case(0, 16, 64, 16, traced=True), (16, 32, 64)),
    ("antk, many rows", Case(0, 64, 128, 1), (512, 2048, 8192)),
    ("antk, many columns", Case(0, 64, 128, 1), (512, 2048, 8192)),
)


def growth(device: str, quick: bool) -> list[dict[str, Any]]:
    """Memory beyond inputs and kernel for growing N, N' or both."""
    found = []
    for name, case, sizes in GROWTH:
        for N in sizes[:2] if quick else sizes:
            grown = Case(**{**vars(case), "N": N})
            extra = extra_mb(name, grown, N, device)
            found.append({"side": name, "case": vars(grown), "extra_mb": extra})
    return found


def extra_mb(side: str, case: Case, rows: int, device: str) -> float:
    """Peak memory of one side in MB, in a process of its own on a CPU."""
    task = {"side": side, "case": vars(case), "rows": rows, "device": device}
    if device != "cpu":
        return here(**task)
    command = [sys.executable, str(ANTK), "--peak", json.dumps(task)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(f"peak memory of {side} at {case} failed:\n{answer.stderr}")
    return float(answer.stdout)


def here(side: str, case: dict[str, Any], rows: int, device: str) -> float:
    """The same, measured in this process."""
    wanted = Case(**case)
    small = Case(**{**case, "N": 2, "L": 2})
    make(side, small, min(rows, 2), device)[0]()  # loads what is loaded once
    work, result_mb = make(side, wanted, rows, device)
    return peak_mb(work, device) - result_mb


def make(side: str, case: Case, rows: int, device: str) -> tuple[Callable[[], Tensor], float]:
    """The work, and how much of what it takes is its result: nothing if written into `out`."""
    params, S = problem(case, device)
    if side in PEERS:
        return PEERS[side](case, device, rows), case.megabytes * rows / case.N
    if side == "antk":
        keywords: dict[str, Any] = {"heads": case.heads, "trace_outputs": case.traced}
        return lambda: ntteach.antk(params, S, **keywords), case.megabytes
    first, second = case.shape[: len(case.shape) // 2], case.shape[len(case.shape) // 2 :]
    other = None
    if side == "antk, many rows":
        other, second = S[:SHORT].clone(), (min(SHORT, case.N), *second[1:])
    elif side == "antk, many columns":
        S, other, first = S[:SHORT].clone(), S, (min(SHORT, case.N), *first[1:])
    # filled, so that its pages are there before the measurement begins
    out = torch.zeros(*first, *second, device=device).fill_(1.0)
    return (
        lambda: ntteach.antk(
            params, S, other, heads=case.heads, trace_outputs=case.traced, out=out
        ),
        0.0,
    )
