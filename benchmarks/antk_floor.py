"""What a kernel in closed form cannot do without: its Gram products, and writing it.

The Gram products are those of the closed form, each feature once, by `torch.mm` into a buffer that
is used again. The kernel of a batch with itself is symmetric, so half of their time and of their
operations counts. Writing is a fill: of a buffer used again, and of a fresh one, where the system
first has to find the pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import Case
from measure import Run, timed


def gram_shapes(case: Case) -> list[tuple[int, int]]:
    """`(rows, length)` of each feature whose inner products the kernel is made of.

    Of tokens: AC, S and Q, with W_O the outputs f as well. Of outputs: g and h. Each head has its
    own, but for S; with W_O or a trace the heads' g share S and are one feature.
    """
    tokens, d, heads = case.N * case.L, case.d, case.heads
    d_h = d // heads
    if case.traced:
        outputs = case.outputs if case.o else case.v // heads  # that a head has a share in
        alike = heads * d + (case.v if case.o else 0)
        queries = heads * [(tokens, d_h), (tokens, outputs * d)]
        return [(tokens, alike), (tokens, d), (tokens, outputs * heads * d_h), *queries]
    shared = [(tokens, d)]
    each = [(tokens, d), (tokens, d_h)]
    if case.o:
        rows = tokens * case.o
        return [*shared, (tokens, case.v), (rows, d), *heads * each, *heads * [(rows, d)]]
    rows = tokens * case.v // heads
    return [*shared, *heads * each, *heads * [(rows, d_h), (rows, d)]]


def gram_gflop(case: Case) -> float:
    """Operations of the Gram products, 10^9; half of them, since the kernel is symmetric."""
    return sum(rows * rows * length for rows, length in gram_shapes(case)) / 1e9


def sides(case: Case, device: str) -> dict[str, Run]:
    """The Gram products at full size, and the ways of writing; each has run once."""
    size = math.prod(case.shape)
    shapes = gram_shapes(case)
    features = [torch.randn(rows, length, device=device) for rows, length in shapes]
    buffer = torch.zeros(max(size, *(rows * rows for rows, _ in shapes)), device=device)

    def products() -> None:
        for X in features:
            torch.mm(X, X.mT, out=buffer[: len(X) ** 2].view(len(X), len(X)))

    work: dict[str, Callable[[], Any]] = {
        "gram products": products,
        "write": lambda: buffer[:size].fill_(1.0),
        "write, torch.empty": lambda: torch.empty(size, device=device).fill_(1.0),
    }
    if device == "cpu":
        # NumPy asks the system for large pages
        work["write, numpy.empty"] = lambda: np.empty(size, np.float32).fill(1.0)
    for each in work.values():
        each()
    return {name: timed(each, device) for name, each in work.items()}


def summary(case: Case, median: dict[str, float]) -> dict[str, float]:
    """Of the medians of all sides of a case: how near `antk` is to the floor.

    A fraction is the floor's time over ours: of the rate of `torch.mm` that the Gram products
    reach, and of the bandwidth of a fill that writing the kernel reaches, as if each took all the
    time.
    """
    products = median["gram products"] / 2
    fresh = min(seconds for name, seconds in median.items() if name.startswith("write, "))
    found = {
        "gram_gflop": gram_gflop(case),
        "gram_seconds": products,
        "matrix_gflop_per_second": gram_gflop(case) / products,
        "write_seconds": median["write"],
        "write_gb_per_second": case.megabytes / 1e3 / median["write"],
        "fresh_write_seconds": fresh,
    }
    for side, write in (("antk, into out", median["write"]), ("antk", fresh)):
        found |= {
            f"{side}: fraction of matrix rate": products / median[side],
            f"{side}: fraction of bandwidth": write / median[side],
            f"{side}: over the larger": median[side] / max(products, write),
        }
    return found
