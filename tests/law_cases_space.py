"""Small cases of the laws on functions of a kernel, by hand: where each holds and where not."""

from __future__ import annotations

from typing import Any

Cases = tuple[list[dict[str, Any]], list[dict[str, Any]]]

ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
# f(s) = 2 s, g(s) = 3 s; then two centres in the plane
LINE = {"tokens": [[1]], "weights": [2], "tests": [3], "targets": [1], "at": [1], "multiple": 2}
PLANE = {
    "tokens": [[1, 0], [1, 1]],
    "weights": [1, -1],
    "tests": [0, 2],
    "targets": [1, -2],
    "at": [2, 1],
    "multiple": -1,
}
STILL = LINE | {"tests": [0], "weights": [0]}
MOVED = {"sequences": [[[0], [1]], [[1], [2]]], "depth": 2, "direction": [1, -1]}
LONGER = {"sequences": [[[0], [1]], [[0], [2]]], "depth": 1, "direction": [1, -1]}
BALANCED = {"sequences": [[[0], [2]], [[1], [1]]], "depth": 1, "direction": [1, 1]}
POOL = {"pool": [[1, 0], [0, 1], [1, 1]], "target": [2, 2], "price": 3}
ONE = {"pool": [[1]], "target": [1], "price": 1}
ENDLESS = {"target": 2, "height": 1, "price": 1}
DEAR = {"target": 1, "height": 1, "price": 2}
AXIS = {"tokens": [[1, 0]], "target": [1, 2], "other": [0, 0]}
SPAN = {"tokens": [[1, 0], [1, 1]], "target": [1, 2], "other": [0, 0]}
TURNED = {"S": [[0], [1]], **ONES, "basis": [[2]]}

CASES: dict[str, Cases] = {
    "inner product is of functions": ([LINE, PLANE], []),
    "inner product is of functions, degree two": ([STILL], [LINE]),
    "evaluation is bounded": ([LINE, PLANE], []),
    "evaluation is bounded, 99 in 100": ([PLANE], [LINE]),
    "display is uniform": (
        [{"powers": [2, 2, 2, 2]}, {"powers": [4, 1, 4, 2]}],
        [{"powers": [3, 1, 4, 2]}, {"powers": [3, 1, 6, 2]}],
    ),
    "uniform gives the display": ([{"powers": [2, 2, 2, 2]}, {"powers": [4, 1, 4, 2]}], []),
    "remainder is uniform": ([LINE, PLANE], []),
    "remainder is uniform, 99 in 100": ([STILL], [LINE]),
    "signature kernel is definite": ([LONGER], [MOVED]),
    "signature kernel is semi-definite": ([LONGER, MOVED], []),
    "signature kernel less a tenth is semi-definite": ([BALANCED], [MOVED]),
    "Gaussian kernel is definite": ([LONGER, MOVED, BALANCED], []),
    "Gaussian kernel of means is definite": ([MOVED], [BALANCED]),
    "small sets are enough": ([POOL, ONE], []),
    "smaller sets are enough": ([ONE], [ONE | {"target": [2], "price": 3}]),
    "every optimum is small": ([POOL, ONE], []),
    "every optimum is smaller": ([POOL], [ONE]),
    "optimum is attained": ([DEAR, ENDLESS | {"height": 0}], [ENDLESS]),
    "optimum is attained, finite pool": ([DEAR, ENDLESS], []),
    "minimiser exists": ([{"labels": [1, -1], "own": 1}], [{"labels": [-1, -1], "own": 1}]),
    "minimiser exists, both labels": ([{"labels": [1, -1, 1], "own": 2}], []),
    "minimiser is unique": ([SPAN], [AXIS]),
    "minimiser is unique in the span": ([AXIS, SPAN], []),
    "target is a minimiser": ([AXIS, SPAN], []),
    "target is a minimiser, with noise": ([AXIS], [AXIS | {"other": [3, 0]}]),
    "velocity is of the function": (
        [TURNED | {"basis": [[-1]]}, TURNED | {"S": [[1]]}],
        [TURNED],
    ),
    "velocity is of the function, orthogonal": ([TURNED | {"basis": [[-1]]}], []),
}
