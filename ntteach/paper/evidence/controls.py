"""For each refuted claim, cases that its replay must leave alone.

In each of them the claim holds, or a hypothesis is not met: a replay that refuted these as well
would refute anything. Where `OUTSIDE` names a hypothesis for a control, that one alone is not met,
and without it the case would refute the claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ntteach.paper.evidence import (
    limit_controls,
    reduction_controls,
    reported_controls,
    selection_controls,
    space_controls,
    teacher_controls,
)

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_UNIT = {"S": [[1], [-1]], "W_Q": [["1/2"]], "W_K": [[1]]}  # both rows: omega = 8/9 W_V

_TWO = {"S": [[0], [1]], "second": [[0], [1]], "other_order": [0, 1]}
_WIDTHS = {"tokens": [0, 1], "labels": [1, 0], "value": 1, "widths": [2, 4, 64]}

_ZERO, _WIDE = "W_Q is zero", "two features of queries and keys, one of elements"
_WIDE_ONES = {"W_Q": [[1, 1]], "W_K": [[1, 1]], "W_V": [[1]]}

_ALL_MOVE = {"D_Q": [[1]], "D_K": [[1]], "D_V": [[1]]}
_VALUES_MOVE = {"D_Q": [[0]], "D_K": [[0]], "D_V": [[1]]}

# Equal logits make all outputs equal and, with W_K or W_V zero, every omega zero: no case with a
# zero matrix breaks permutation-invariance or importance-grows.
OUTSIDE = {_ZERO: "no weight matrix is zero", _WIDE: "shapes as in Eq. 2"}

CONTROLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "causal-gradient-equivariance": {
        "nothing is reordered": {"S": [[1], [2]], **_ONES, "mask": "causal", "order": [0, 1]},
        "equal elements": {"S": [[2], [2]], **_ONES, "mask": "causal", "order": [1, 0]},
        "not an order": {"S": [[1], [2]], **_ONES, "mask": "causal", "order": [0, 0]},
        _ZERO: {"S": [[1], [2]], **_ONES, "W_Q": [[0]], "mask": "causal", "order": [1, 0]},
        _WIDE: {"S": [[1], [2]], **_WIDE_ONES, "mask": "causal", "order": [1, 0]},
    },
    "permutation-invariance": {
        "nothing is reordered": {"S": [[0], [1]], **_ONES, "order": [0, 1]},
        "equal elements": {"S": [[1], [1]], **_ONES, "order": [1, 0]},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES, "order": [1, 0]},
    },
    "importance-one-per-element": {
        "one feature": {"S": [[0], [1]], **_ONES},
        "equal key columns": {
            "S": [[1, 0], [0, 1]],
            "W_Q": [[1, 0], [0, 0]],
            "W_K": [[1, 1], [0, 0]],
            "W_V": [[1], [0]],
        },
        _ZERO: {
            "S": [[1, 0], [0, 1]],
            "W_Q": [[0, 0], [0, 0]],
            "W_K": [[1, 0], [0, 2]],
            "W_V": [[1], [0]],
        },
        _WIDE: {"S": [[0], [1]], "W_Q": [[1, 1]], "W_K": [[1, 2]], "W_V": [[1]]},
    },
    "importance-nonnegative": {
        "values equal to keys": {"S": [[0], [1]], **_ONES},
        "two outputs": {"S": [[0], [1]], "W_Q": [[1]], "W_K": [[1]], "W_V": [[-1, 1]]},
        _ZERO: {"S": [[0], [1]], "W_Q": [[0]], "W_K": [[1]], "W_V": [[-1]]},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES, "W_V": [[-1]]},
    },
    "importance-normalised": {
        "sums to one": {**_UNIT, "W_V": [["9/16"]]},
        _ZERO: {"S": [[0], [1]], **_ONES, "W_Q": [[0]]},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES},
    },
    "importance-grows": {
        "it does grow here": {"S": [[0], [0], [0], [0], [1]], **_ONES, "sharpen": 2},
        "not sharpened": {"S": [[0], [1]], **_ONES, "sharpen": 1},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES, "sharpen": 2},
    },
    "unit-importance-linear-layer": {
        "opposite elements": {**_UNIT, "W_V": [["9/8"]]},
        "omega is not one": {
            "S": [[1, 1], [-1, 1]],
            "W_Q": [["1/4", "1/4"], [0, 0]],
            "W_K": [[1, 1], [0, 0]],
            "W_V": [[1], [0]],
        },
        _ZERO: {"S": [[1], [-1]], "W_Q": [[0]], "W_K": [[1]], "W_V": [[1]]},
    },
    "key-value-rows-similar": {
        "one feature": {"S": [[2], [1]], **_ONES},
        "one element": {
            "S": [[1, 2]],
            "W_Q": [[1, 0], [0, 1]],
            "W_K": [[1, 0], [0, 1]],
            "W_V": [[1], [0]],
        },
        _ZERO: {
            "S": [[1, 0], [0, 1]],
            "W_Q": [[0, 0], [0, 0]],
            "W_K": [[1, 0], [0, 1]],
            "W_V": [[1], [0]],
        },
        _WIDE: {
            "S": [[1, 0], [0, 1]],
            "W_Q": [[1], [1]],
            "W_K": [[1], [1]],
            "W_V": [[1], [0]],
        },
    },
    "gradient-rows-independent": {
        "nothing changes": {"S": [[0], [1]], **_ONES, "changed": 1, "other": [1]},
        "no other element": {"S": [[1]], **_ONES, "changed": 0, "other": [2]},
        _ZERO: {"S": [[0], [1]], **_ONES, "W_Q": [[0]], "changed": 1, "other": [2]},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES, "changed": 1, "other": [2]},
    },
    "causal-repetition-invariance": {
        "one element": {
            "S": [[1]],
            **_ONES,
            "mask": "causal",
            "repeats": 2,
            "output_grad": [[1]],
        },
        "without the mask": {"S": [[0], [1]], **_ONES, "repeats": 2, "output_grad": [[1], [1]]},
        _ZERO: {
            "S": [[0], [1]],
            **_ONES,
            "W_Q": [[0]],
            "mask": "causal",
            "repeats": 2,
            "output_grad": [[1], [1]],
        },
        _WIDE: {
            "S": [[0], [1]],
            **_WIDE_ONES,
            "mask": "causal",
            "repeats": 2,
            "output_grad": [[1], [1]],
        },
    },
    "length-invariance": {
        "the same element again": {"S": [[1]], **_ONES, "more": [[1]]},
        "nothing appended": {"S": [[1]], **_ONES, "more": []},
        _ZERO: {"S": [[1]], **_ONES, "W_Q": [[0]], "more": [[2]]},
        _WIDE: {"S": [[1]], **_WIDE_ONES, "more": [[2]]},
    },
    "padding-unmasked": {
        "zero elements only": {"S": [[0]], **_ONES, "padding": 1},
        "no padding": {"S": [[1]], **_ONES, "padding": 0},
        _ZERO: {"S": [[1]], **_ONES, "W_Q": [[0]], "padding": 1},
        _WIDE: {"S": [[1]], **_WIDE_ONES, "padding": 1},
    },
    "unequal-length-mean": {
        "equal lengths": {"losses": [[1, 3], [0, 2]]},
        "equal losses": {"losses": [[1], [1, 1]]},
    },
    "kernel-positive-definite": {
        "no more outputs than the bound": {"S": [[1], [2]], **_ONES},
        "a token twice": {"S": [[1], [1]], **_ONES},
        "one token": {"S": [[0]], **_ONES},
        _ZERO: {"S": [[0], [1], [2]], **_ONES, "W_Q": [[0]]},
        _WIDE: {"S": [[0], [1], [2]], **_WIDE_ONES},
    },
    "kernel-of-the-function": {
        "a reflection": {"S": [[0], [1]], **_ONES, "basis": [[-1]]},
        "one token": {"S": [[1]], **_ONES, "basis": [[2]]},
        "not invertible": {"S": [[0], [1]], **_ONES, "basis": [[0]]},
        _ZERO: {"S": [[0], [1]], **_ONES, "W_Q": [[0]], "basis": [[2]]},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES, "basis": [[2, 0], [0, 2]]},
    },
    "causal-kernel-equivariance": {
        "nothing is reordered": {**_TWO, **_ONES, "mask": "causal", "order": [0, 1]},
        "equal tokens": {**_TWO, "S": [[1], [1]], **_ONES, "mask": "causal", "order": [1, 0]},
        "not an order": {**_TWO, **_ONES, "mask": "causal", "order": [0, 0]},
        "without the mask": {**_TWO, **_ONES, "order": [1, 0]},
        _ZERO: {**_TWO, **_ONES, "W_Q": [[0]], "mask": "causal", "order": [1, 0]},
        _WIDE: {**_TWO, **_WIDE_ONES, "mask": "causal", "order": [1, 0]},
    },
    "wide-keys-constant-kernel": {
        "the labels are met": {**_WIDTHS, "labels": ["1/2", "1/2"]},
        "the width does not grow": {**_WIDTHS, "widths": [4, 4]},
        "equal tokens": {**_WIDTHS, "tokens": [1, 1]},
        "another W_V": {**_WIDTHS, "value": 2},
    },
    "remainder-nonzero": {
        "a finite step": {"S": [[0], [1]], **_ONES, "targets": [[0], [0]], "step": 1},
        "one element": {"S": [[1]], **_ONES, "targets": [[0]], "step": 0},
        "nothing moves": {"S": [[0], [1]], **_ONES, "targets": [["1/2"], ["2/3"]], "step": 0},
        _ZERO: {"S": [[0], [1]], **_ONES, "W_Q": [[0]], "targets": [[0], [0]], "step": 0},
        _WIDE: {"S": [[0], [1]], **_WIDE_ONES, "targets": [[0], [0]], "step": 0},
    },
    "remainder-from-activations": {
        "W_V alone moves": {"S": [[1]], **_ONES, **_VALUES_MOVE, "step": "1/2"},
        "nothing moves": {"S": [[1]], **_ONES, **_VALUES_MOVE, "D_V": [[0]], "step": "1/2"},
        "no step": {"S": [[1]], **_ONES, **_ALL_MOVE, "step": 0},
        _ZERO: {"S": [[1]], **_ONES, "W_Q": [[0]], **_ALL_MOVE, "step": "1/2"},
        _WIDE: {
            "S": [[1]],
            **_WIDE_ONES,
            "D_Q": [[1, 1]],
            "D_K": [[1, 1]],
            "D_V": [[1]],
            "step": "1/2",
        },
    },
    "gradient-input-independent": {
        "the same sequence": {"S": [[0], [1]], "other": [[0], [1]], **_ONES},
        "another length": {"S": [[0], [1]], "other": [[1]], **_ONES},
        _ZERO: {"S": [[0], [1]], "other": [[1], [2]], **_ONES, "W_Q": [[0]]},
        _WIDE: {"S": [[0], [1]], "other": [[1], [2]], **_WIDE_ONES},
    },
    **limit_controls.CONTROLS,
    **reduction_controls.CONTROLS,
    **reported_controls.CONTROLS,
    **selection_controls.CONTROLS,
    **space_controls.CONTROLS,
    **teacher_controls.CONTROLS,
}
