"""For the refuted claims about scores in practice, cases that their replays must leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_APART = {"J": [[1, 0], [0, 1]], "g": [3, 2], "size": 1}
_EVEN = [0, 0, 0, 0]
_COLD = {"scores": [1, 0], "noise": [0, 2], "temperature": "1/100", "size": 1}

CONTROLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "choice-made-once": {
        "far ahead": {**_APART, "g": [5, 2]},
        "all are chosen": {**_APART, "size": 2},
        "a tie": {**_APART, "g": [3, 3]},
        "a singular kernel": {**_APART, "J": [[1], [0]]},
        "a rate above the proposition's": {**_APART, "eta": 1},
    },
    "losses-as-scores": {
        "two classes": {"logits": [[0, 1], [0, 0]], "labels": [0, 0]},
        "the second loss is larger": {"logits": [[3, 4, 0, 0], _EVEN], "labels": [0, 0]},
        "no such class": {"logits": [_EVEN, [3, 4, 0, 0]], "labels": [0, -1]},
    },
    "padded-means-as-scores": {
        "padded alike": {"tokens": [[2, 2], [1, 1]], "padded": [4, 4]},
        "not padded": {"tokens": [[2, 2], [1]], "padded": [2, 1]},
        "the second mean is larger": {"tokens": [[1, 1], [2]], "padded": [4, 1]},
        "cut short": {"tokens": [[2, 2], [1, 1]], "padded": [6, 1]},
    },
    "temperature-on-noise": {
        "the same noise": {**_COLD, "noise": [2, 2]},
        "noise that agrees": {**_COLD, "noise": [2, 0]},
        "too warm": {**_COLD, "temperature": 1},
        "below zero": {**_COLD, "temperature": "-1/100"},
        "equal scores": {**_COLD, "scores": [1, 1]},
    },
}
