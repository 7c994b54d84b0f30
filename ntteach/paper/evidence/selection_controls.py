"""For the refuted claims about choosing sequences, cases that their replays must leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PAIR = {"J": [[1, 0], [0, 2]], "g": [3, 2], "size": 1}
_AGAINST = {"J": [[1, 0], [-2, 1]], "g": [3, 2], "size": 1}
_EQUAL = {"J": [[1, 1, 0], [-1, 0, 1], [0, -1, 1]], "g": [4, 3, 3], "size": 1}
_RIDGES = {
    "ridges": [[1, 3], [1, -3]],
    "curvatures": [3, 1],
    "deltas": [1, 3],
    "direction": [1, 0],
    "times": [1, 3],
}
_TWINS = {
    "sequence": [[1], [1]],
    "W_Q": [[1]],
    "W_K": [[1]],
    "W_V": [[1]],
    "targets": [0, 1],
    "eta": "1/2",
    "epsilon": "1/2",
    "steps": 2,
}
# an attention learner with two tokens in each sequence; a step on the first raises the loss of all
LEARNER = {
    "sequences": [[[0, 0], [0, 1]], [[-1, 1], [0, 0]]],
    "W_Q": [[0, -1], [0, 0]],
    "W_K": [[0, 0], [0, 1]],
    "W_V": [[0], [1]],
    "targets": [[-2, 0], [2, 2]],
    "size": 1,
    "eta": "1/3",
}

# another, whose sequence with the smaller residuals has the larger functional gradient
LEVERAGE = {
    "sequences": [[[0, -1], [-1, 0]], [[1, 0], [0, 0]]],
    "W_Q": [[1, 0], [0, 0]],
    "W_K": [[0, 0], [1, 0]],
    "W_V": [[1], [0]],
    "targets": [[-1, -1], [0, 2]],
    "size": 1,
    "eta": "1/3",
}
# each with cases of the same learner that refute nothing
LEARNERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]] = {
    "loss": (
        LEARNER,
        {
            "all are taught": {**LEARNER, "size": 2},
            "other targets": {**LEARNER, "targets": [[-2, 0], [0, 0]]},
        },
    ),
    "norm": (
        LEVERAGE,
        {
            "all are taught": {**LEVERAGE, "size": 2},
            "other targets": {**LEVERAGE, "targets": [[1, 2], [1, 0]]},
        },
    ),
}

CONTROLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "gradient-norm-by-projection": {
        "equal sections": {**_PAIR, "J": [[1, 0], [0, 1]]},
        "a tie": {**_PAIR, "g": [2, 2]},
        "a singular kernel": {**_PAIR, "J": [[1], [2]]},
        "a rate above the proposition's": {**_PAIR, "eta": 1},
        "a gamma that is no bound": {**_PAIR, "gamma": 1},
    },
    "gradient-follows-residual": {
        "one target, on one side": {"outputs": [3, 1], "targets": [0, 0]},
        "the second is farther": {"outputs": [2, 1], "targets": [3, 3]},
    },
    "gradient-grows-with-residual": {
        "both before the kink": {"residuals": [2, 1], "delta": 3},
        "the second is larger": {"residuals": [1, 2], "delta": 1},
        "no kink": {"residuals": [2, 1], "delta": 0},
    },
    "label-residual-order": {
        "on the wrong side": {"outputs": [-1, 1], "labels": [1, 1]},
        "the second is farther": {"outputs": [0, 4], "labels": [1, 1]},
        "not a label": {"outputs": [5, 0], "labels": [2, 1]},
    },
    "strongly-convex-order": {
        "equal weights": {"weights": [3, 3], "residuals": [[2, 0], [0, 1]]},
        "the second is larger": {"weights": [1, 4], "residuals": [[1, 0], [0, 2]]},
        "not strongly convex": {"weights": [0, 4], "residuals": [[2, 0], [0, 1]]},
    },
    "gradient-falls-towards-target": {
        "ridges along the axes": {**_RIDGES, "ridges": [[1, 0], [0, 3]], "direction": [1, 1]},
        "no ridge is ever straight": {**_RIDGES, "deltas": [9, 9]},
        "ridges that do not span": {**_RIDGES, "ridges": [[1, 0], [2, 0]]},
        "the second place is nearer": {**_RIDGES, "times": [3, 1]},
    },
    "algorithm-reaches-tolerance": {
        "equal targets": {**_TWINS, "targets": [1, 1]},
        "different tokens": {**_TWINS, "sequence": [[0], [1]], "steps": 0},
        "a larger tolerance": {**_TWINS, "epsilon": 1},
        "a zero weight": {**_TWINS, "W_Q": [[0]]},
    },
    "subset-step-decreases": {
        "both are chosen": {**_AGAINST, "size": 2},
        "sections that are orthogonal": {**_AGAINST, "J": [[1, 0], [0, 2]]},
        "a tie": {**_AGAINST, "g": [3, 3]},
        "a singular kernel": {**_AGAINST, "J": [[1], [-2]]},
        "a rate above the proposition's": {**_AGAINST, "eta": 1},
        "a learner, its second sequence chosen": {**LEARNER, "targets": [["1/2", 0], [2, 2]]},
    },
    "greedy-steepest": {
        "sections that are orthogonal": {**_EQUAL, "J": [[1, 1, 0], [1, -1, 0], [0, 0, 1]]},
        "only two": {"J": [[1, 1, 0], [-1, 0, 1]], "g": [4, 3], "size": 1},
        "different K_ii": {**_PAIR},
        "a tie": {**_EQUAL, "g": [3, 3, 3]},
    },
}
