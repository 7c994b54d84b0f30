"""The closed form in float32 against itself in float64, for the same numbers.

In float64 it agrees with an oracle by automatic differentiation to 1e-10, which the tests show;
here the oracle is asked once more where it is not too large.
"""

from __future__ import annotations

from typing import Any

from cases import Case, problem

import ntteach
from ntteach import oracles

# L, d, v, heads, traced
SIZES = (
    (16, 16, 1, 1, False),
    (16, 64, 1, 1, False),
    (64, 64, 1, 1, False),
    (64, 256, 1, 1, False),
    (512, 64, 1, 1, False),
    (32, 64, 8, 1, False),
    (32, 64, 8, 4, False),
    (32, 64, 64, 4, True),
)
QUICK = SIZES[:2]
# factors of W_Q, and so of the logits, which are of size one as the parameters are initialised
ATTENTION = {"flat": 0.01, "as initialised": 1.0, "sharp": 16.0}
SEEDS = 5
# outputs of a sequence that the oracle is asked for: it takes them one by one
ORACLE_OUTPUTS = 256


def measure(device: str, quick: bool) -> list[dict[str, Any]]:
    """The largest errors over some seeds, for each size and kind of attention."""
    return [
        {"attention": name, **_row(size, factor, device)}
        for size in (QUICK if quick else SIZES)
        for name, factor in ATTENTION.items()
    ]


def _row(size: tuple[int, int, int, int, bool], factor: float, device: str) -> dict[str, Any]:
    L, d, v, heads, traced = size
    largest = normwise = reference = weight = 0.0
    asked = L * v <= ORACLE_OUTPUTS
    for seed in range(SEEDS):
        params, S = problem(Case(2, L, d, v, heads), device, seed)
        params["W_Q"] *= factor
        exact = {name: W.double() for name, W in params.items()}
        K = ntteach.antk(params, S, heads=heads, trace_outputs=traced).double()
        K64 = ntteach.antk(exact, S.double(), heads=heads, trace_outputs=traced)
        scale = K64.abs().max()
        largest = max(largest, ((K - K64).abs().max() / scale).item())
        normwise = max(normwise, ((K - K64).norm() / K64.norm()).item())
        weights = ntteach.attention_weights(exact, S.double(), heads=heads)
        weight += weights.amax(-1).mean().item() / SEEDS
        if asked and seed == 0:
            other = oracles.tangent_kernel(exact, S.double(), heads=heads)
            if traced:
                other = other.diagonal(dim1=2, dim2=5).sum(-1)
            reference = ((other - K64).abs().max() / scale).item()
    if not max(largest, normwise) <= 1e-3 or not reference <= 1e-10:
        raise SystemExit(f"errors {largest:.2g}, {normwise:.2g}, {reference:.2g} at {size}")
    return {
        "L": L,
        "d": d,
        "v": v,
        "heads": heads,
        "traced": traced,
        "mean_top_weight": weight,
        "largest": largest,
        "normwise": normwise,
        "oracle_difference": reference if asked else None,
    }
