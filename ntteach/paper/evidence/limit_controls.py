"""For each refuted claim on Theorem 3, cases that its replay must leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
_EYE = [[1, 0], [0, 1]]

_PROBED = {
    "training": [[[1], [1]]],
    "gaps": [[1, 1]],
    **_ONES,
    "other": {"W_Q": [[2]]},
    "probe": [[0], [1]],
}
_TWO_STARTS = {
    "the same product of W_Q and W_K": {**_PROBED, "other": {"W_Q": [[2]], "W_K": [["1/2"]]}},
    "a probe of one token": {**_PROBED, "probe": [[1]]},
    "nothing to learn": {**_PROBED, "gaps": [[0, 0]]},
    "W_Q moves": {**_PROBED, "training": [[[0], [1]]]},
    "targets that cannot be met": {**_PROBED, "gaps": [[0, 1]]},
    "no keys": {**_PROBED, "W_K": [[0]]},
    "the second start has no queries": {**_PROBED, "other": {"W_Q": [[0]]}},
    "sequences of two lengths": {
        **_PROBED,
        "training": [[[1], [1]], [[1]]],
        "gaps": [[1, 1], [1]],
    },
}
_SCALED = {
    "training": [[[0, 1], [0, 1]], [[0, 0], [1, 0]]],
    "gaps": [[1, 1], [0, 0]],
    "W_Q": [[0, 0], [0, 1]],
    "W_K": _EYE,
    "W_V": [[1], [1]],
    "factor": 2,
}
_ONE_FUNCTION = {
    "both signs turned": {**_SCALED, "factor": -1},
    "queries and keys that see nothing": {**_SCALED, "W_V": [[0], [1]]},
    "nothing to learn": {**_SCALED, "gaps": [[0, 0], [0, 0]]},
    "targets that cannot be met": {**_SCALED, "gaps": [[0, 1], [0, 0]]},
    "no queries": {**_SCALED, "W_Q": [[0, 0], [0, 0]]},
    "W_Q moves": {**_SCALED, "gaps": [[1, 1], [1, 0]]},
}
_REPEATED = {"training": [[[1], [1]]], "gaps": [[0, 1]], **_ONES}
_UNATTENDED = {
    "training": [[[0, 0], [1, 0]]],
    "W_Q": [[0, 0], [1, 0]],
    "W_K": [[0, 0], [1, 0]],
    "W_V": [[2], [0]],
    "teacher": {"W_Q": [[1, 0], [1, 0]], "W_K": [[1, 0], [1, 0]], "W_V": [[1], [0]]},
}
_ONE_KEY = {
    "training": [[[2, 1], [0, 1]]],
    "W_Q": [[1, 0], [-1, 0]],
    "W_K": [[0, 0], [1, 0]],
    "W_V": [[1], [0]],
}

CONTROLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "antk-convergence": _TWO_STARTS,
    "evolution-equated": {
        **_TWO_STARTS,
        "outputs that differ at the start": {**_PROBED, "other": {"W_Q": [[2]], "W_V": [[2]]}},
    },
    "contraction-along-direction": _TWO_STARTS,
    "antk-of-the-function": {
        **_ONE_FUNCTION,
        "two functions": {
            **{name: x for name, x in _SCALED.items() if name != "factor"},
            "other": {"W_Q": [[0, 0], [0, 2]], "W_K": [[2, 0], [0, 2]], "W_V": [[2], [1]]},
        },
    },
    "bracket-vanishes": {
        **_ONE_FUNCTION,
        "the contraction is not zero": _PROBED,
    },
    "antk-settles": {
        "equal tokens": {**_ONE_KEY, "training": [[[0, 1], [0, 1]]], "W_Q": [[1, 0], [0, 0]]},
        "values that stay where keys can see": {
            **_ONE_KEY,
            "training": [[[1, 1], [-1, 1]]],
            "W_Q": [[1, 0], [0, 0]],
        },
        "no queries": {**_ONE_KEY, "W_Q": [[0, 0], [0, 0]]},
        "W_Q moves": {**_ONE_KEY, "W_Q": _EYE, "W_K": _EYE},
        "outputs that do not grow": {**_ONE_KEY, "training": [[[1, 0], [-1, 0]]]},
        "two sequences": {**_ONE_KEY, "training": [[[2, 1], [0, 1]], [[2, 1], [0, 1]]]},
    },
    "loss-derivative-vanishes": {
        "equal targets": {**_REPEATED, "gaps": [[1, 1]]},
        "one output": {**_REPEATED, "training": [[[1]]], "gaps": [[1]]},
        "nothing moves": {**_REPEATED, "gaps": [[-1, 1]]},
        "W_Q moves": {**_REPEATED, "training": [[[0], [1]]]},
        "no keys": {**_REPEATED, "W_K": [[0]]},
        "sequences of two lengths": {
            **_REPEATED,
            "training": [[[1], [1]], [[1]]],
            "gaps": [[0, 1], [0]],
        },
    },
    "realisable-loss-derivative-vanishes": {
        "a teacher that attends to no token more": {
            **_UNATTENDED,
            "teacher": {"W_V": [[1], [0]]},
        },
        "the start meets the targets": {**_UNATTENDED, "teacher": {}},
        "no queries": {**_UNATTENDED, "W_Q": [[0, 0], [0, 0]]},
        "W_Q moves": {**_UNATTENDED, "W_Q": _EYE, "W_K": _EYE},
    },
}
