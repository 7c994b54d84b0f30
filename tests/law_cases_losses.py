"""Small cases of the laws on losses, worked out by hand: where each holds and where it breaks."""

from __future__ import annotations

from typing import Any

from ntteach.paper.evidence import loss_laws

Cases = tuple[list[dict[str, Any]], list[dict[str, Any]]]

# two outputs at the target's sides, close by and far out
NEAR = {"f": [1], "other": [-1], "unit": "1/16", "target": [0], "label": 1}
FAR = {"f": [3], "other": [2], "unit": "4", "target": [0], "label": 1}
LONG = {"f": [2, 1], "other": [1, 1], "unit": "1", "target": [0, 0], "weights": [1, 3]}
STEEP = LONG | {"f": [1, 2], "other": [1, 1]}  # along the heavier output
OFF = {"f": [1], "target": [0], "unit": "1", "weights": [1], "other": [0]}
MET = {"f": [0], "other": [0], "unit": "1", "target": [0], "weights": [1]}
ALONG = {"f": [1, -1], "other": [-1, 1], "unit": "1/16", "class": 0}
ACROSS = {"f": [3, 3], "other": [0, 0], "unit": "1", "class": 0}

# NEAR and ALONG lie where the curvature is largest, FAR and ACROSS where it all but vanishes
STEEPEST = dict.fromkeys(loss_laws.SMOOTH, NEAR)
STEEPEST |= {"weighted squared": STEEP, "cross-entropy": ALONG}
FLATTEST = dict.fromkeys(loss_laws.SMOOTH, FAR)
FLATTEST |= {"weighted squared": LONG, "cross-entropy": ACROSS}

CASES: dict[str, Cases] = {
    "gradient is Lipschitz, ten: absolute": ([FAR, NEAR | {"unit": "4"}], [NEAR]),
}
for name in loss_laws.SMOOTH:
    both = [STEEPEST[name], FLATTEST[name]]
    flat = [MET] if name == "squared" else [FLATTEST[name]]
    CASES[f"gradient is Lipschitz: {name}"] = (both, [])
    CASES[f"gradient is monotone: {name}"] = (both, [])
    CASES[f"gradient is Lipschitz, 1 % better: {name}"] = (flat, [STEEPEST[name]])
    if name not in loss_laws.STRONG:
        strong = f"gradient is strongly monotone: {name}"
        CASES[strong] = ([STEEPEST[name]], [FLATTEST[name]])
CASES |= {
    "gradient is monotone, 1 % more: squared": ([MET], [NEAR, FAR]),
    "gradient is monotone, 1 % more: weighted squared": ([STEEP], [LONG]),
    "gradient bounds the residual: squared": ([OFF], []),
    "gradient bounds the residual, 1 % more: squared": ([MET], [OFF]),
    "gradient bounds the residual: weighted squared": ([OFF, LONG], []),
    "gradient bounds the residual, 1 % more: weighted squared": ([LONG], [OFF]),
}
