"""Cases that the replays of refuted claims on function space must leave alone; data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_WIDE_ONES = {"W_Q": [[1, 1]], "W_K": [[1, 1]], "W_V": [[1]]}

CONTROLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "sequence-kernel-definite": {
        "another increment": {"sequences": [[[0], [1]], [[0], [2]]], "depth": 1},
        "one sequence": {"sequences": [[[0], [1]]], "depth": 1},
        "the same sequence twice": {"sequences": [[[0], [1]], [[0], [1]]], "depth": 1},
        "one token": {"sequences": [[[0]], [[1]]], "depth": 1},
        "a token that stays": {"sequences": [[[0], [0]], [[1], [1]]], "depth": 1},
        "no level": {"sequences": [[[0], [1]], [[0], [2]]], "depth": 0},
    },
    "display-is-frechet": {
        "small in every way": {"powers": [2, 2, 2, 2]},
        "only just small": {"powers": [4, 1, 4, 2]},
        "slopes that are not zero": {"powers": [2, 1, 4, 2]},
        "not zero on an axis": {"powers": [3, 0, 4, 2]},
        "undefined on a line": {"powers": [3, 2, 3, 2]},
    },
    "teaching-optimum-exists": {
        "one example is all": {"target": 2, "height": 0, "price": 1},
        "no example is worth it": {"target": 1, "height": 1, "price": 2},
        "at no price": {"target": 2, "height": 1, "price": 0},
        "nothing to learn": {"target": 0, "height": 1, "price": 1},
    },
    "learning-minimiser-exists": {
        "both labels": {"labels": [1, -1], "own": 1},
        "one label twice as often": {"labels": [1, 1, -1], "own": 1},
        "not a label": {"labels": [0, 1], "own": 1},
        "f(S) is 0 for every f": {"labels": [1], "own": 0},
    },
    "learning-minimiser-unique": {
        "tokens that span the space": {"tokens": [[1, 0], [1, 1]], "target": [1, 2]},
        "one dimension": {"tokens": [[1]], "target": [1]},
        "a token is zero": {"tokens": [[0]], "target": [1]},
        "f* of another space": {"tokens": [[1, 0]], "target": [1]},
    },
    "evolution-fixed-kernel": {
        "a reflection": {"S": [[0], [1]], **_ONES, "basis": [[-1]]},
        "one token": {"S": [[1]], **_ONES, "basis": [[2]]},
        "not invertible": {"S": [[0], [1]], **_ONES, "basis": [[0]]},
        "W_Q is zero": {"S": [[0], [1]], **_ONES, "W_Q": [[0]], "basis": [[2]]},
        "two features of queries and keys, one of elements": {
            "S": [[0], [1]],
            **_WIDE_ONES,
            "basis": [[2, 0], [0, 2]],
        },
    },
}
