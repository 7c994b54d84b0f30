"""For each refuted claim around Proposition 4, cases that its replay must leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EYE = [[1, 0], [0, 1]]
_TOKENS = {"W_Q": _EYE, "W_K": _EYE, "W_V": [[1], [1]]}
_SHARP = {"W_Q": [[3]], "W_K": [[1]], "W_V": [[1]]}
_PAIR = {"sequences": [[[0], [1]]], **_SHARP, "eta": "1/2"}
_CUT = {"K": [[3, 1], [1, 1]], "residuals": [1, -3], "delta": 2}
_BETTER = {"W_Q": [[2]], "W_V": [[1]]}
_REST = {
    "sequences": [[[0], [1], [2]]],
    "W_Q": [[1]],
    "W_K": [[1]],
    "W_V": [[1]],
    "g": [-4, -44, 39],
    "eta": "1/8",
}
# In each of these one hypothesis of the proposition fails, and the conclusion fails with it.
_OUTSIDE = {
    "a rate above the bound": {"K": [[1, 0], [0, 4]], "g": [2, 1], "eta": "1/4"},
    "gamma above the least bound": {"K": [[1, 0], [0, 1]], "g": [1, 1], "gamma": 9},
    "tau below the curvature": {"K": [[1, 0], [0, 9]], "g": [5, 1], "tau": "1/2"},
    "K is not symmetric": {"K": [[1, 1], [0, 9]], "g": [5, 1]},
    "K is not definite": {"K": [[1, 2], [2, 4]], "g": [5, -2]},
}

CONTROLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "sufficient-loss-reduction": {
        "tokens of one length": {"sequences": [[[1, 0]], [[0, 1]]], **_TOKENS, "g": [1, 1]},
        "residuals along K^-1 1, gamma K^-1 = 2": {"K": _EYE, "g": [3, 3]},
        "no residual": {"sequences": [[[1, 0]], [[0, 2]]], **_TOKENS, "g": [0, 0]},
        **_OUTSIDE,
    },
    "sufficient-loss-reduction-summed": {
        "three outputs with K the identity": {"K": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "g": [1] * 3},
        "tokens of lengths 1 and 2": {"sequences": [[[1, 0]], [[0, 2]]], **_TOKENS, "g": [2, 1]},
        **_OUTSIDE,
    },
    "sufficient-loss-reduction-attention": {
        "residuals of one sign": {**_PAIR, "g": [1, 1]},
        "a softer attention, where the sum falls enough": {
            **_PAIR,
            "W_Q": [[2]],
            "g": [2, -1],
        },
        "a rate above the bound": {**_PAIR, "g": [2, -1], "eta": 1},
        "W_K is zero": {**_PAIR, "W_K": [[0]], "g": [2, -1]},
        "one token twice": {**_PAIR, "sequences": [[[1], [1]]], "g": [2, -1]},
    },
    "reduction-ensures-convergence": {
        "residuals of one sign": {"K": _EYE, "g": [1, 1]},
        "residuals that do not cancel": {"K": _EYE, "g": [2, -1]},
        "the loss is least": {"K": _EYE, "g": [0, 0]},
        "Eq. 19 fails for some g": {"K": [[1, 0], [0, 2]], "g": [1, -1]},
        "a rate above the bound": {"K": _EYE, "g": [1, -1], "eta": 1},
    },
    "reduction-reaches-the-least-loss": {
        "residuals that some parameter moves": {**_REST, "g": [-4, -44, 38], "better": _BETTER},
        "others are no better": {**_REST, "better": {"W_Q": [[1]], "W_V": [[2]]}},
        "a rate above the bound": {**_REST, "eta": 1, "better": _BETTER},
    },
    "smooth-within-the-form": {
        "the squared loss": {"K": [[3, 1], [1, 1]], "residuals": [1, -3]},
        "both on the line": {"K": [[3, 1], [1, 1]], "residuals": [5, -5], "delta": 2},
        "K diagonal": {"K": [[3, 0], [0, 1]], "residuals": [1, -3], "delta": 2},
        "a rate above the bound": {**_CUT, "eta": "1/5"},
        "tau below the curvature": {**_CUT, "tau": "9/10"},
    },
    "square-bounded-by-the-sum": {
        "equal residuals": {"K": _EYE, "g": [1, 1]},
        "one output": {"K": [[2]], "g": [3]},
        "K is not definite": {"K": [[1, 1], [1, 1]], "g": [1, -1]},
        "gamma is no bound": {"K": _EYE, "g": [2, -1], "gamma": "1/2"},
    },
    "square-replaced-by-its-bound": {
        "one output": {"K": [[2]], "g": [3]},
        "residuals that cancel": {"K": _EYE, "g": [1, -1]},
        "a rate above the bound": {"K": _EYE, "g": [1, 1], "eta": 1},
        "gamma above the least bound": {"K": [[2]], "g": [1], "gamma": 3},
    },
    "change-bounded-by-the-sum": {
        "equal residuals": {"K": _EYE, "g": [1, 1]},
        "no curvature": {"K": _EYE, "residuals": [5, -5], "delta": 1},
        "a rate above the bound": {"K": _EYE, "g": [1, -1], "eta": 1},
    },
    "reduction-combined": {
        "one output": {"K": [[2]], "g": [3]},
        "residuals that cancel": {"K": _EYE, "g": [1, -1]},
        "a rate above the bound": {"K": _EYE, "g": [1, 1], "eta": 1},
        "K is not definite": {"K": [[1, 0], [0, 0]], "g": [1, 1]},
    },
}
