"""Cases on which the laws of Theorem 3 hold, and cases that break them."""

from __future__ import annotations

from typing import Any

from ntteach.paper import registry
from ntteach.paper.evidence.limit_controls import CONTROLS


def stored(key: str) -> dict[str, Any]:
    """The stored case of a refuted claim."""
    case = registry[key].counterexample
    assert case is not None
    return dict(case.given)


PROBED, SCALED = stored("antk-convergence"), stored("antk-of-the-function")
KEY, REPEATED = stored("antk-settles"), stored("loss-derivative-vanishes")
UNATTENDED = stored("realisable-loss-derivative-vanishes")
SAME = CONTROLS["antk-convergence"]["the same product of W_Q and W_K"]
TURNED = CONTROLS["antk-of-the-function"]["both signs turned"]
EQUAL = CONTROLS["antk-settles"]["equal tokens"]
ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
SEGMENT = {
    "sequence": [[0], [1]],
    "targets": [["1/2"], ["2/3"]],
    **ONES,
    "other": {"W_Q": [[-1]], "W_K": [[-1]]},
}
IN_VALUES = {**SEGMENT, "other": {"W_V": [[3]]}}

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "limit is one": ([SAME, TURNED], [PROBED, SCALED]),
    "limit is one for one function": ([SAME, TURNED], [SCALED]),
    "value part of the limit is one for one function": ([SAME, SCALED], []),
    "evolutions are equal": ([SAME, SCALED], [PROBED]),
    "evolutions are equal for one function": ([SAME, SCALED], []),
    "contraction along g vanishes": ([SAME, SCALED], [PROBED]),
    "contraction along g vanishes for one function": ([SAME, SCALED], []),
    "bracket vanishes": ([SAME, TURNED], [SCALED]),
    "value part of the bracket vanishes": ([SAME, SCALED], []),
    "kernel settles": ([EQUAL], [KEY]),
    "value part of the kernel settles": ([EQUAL, KEY], []),
    "loss derivative vanishes": ([{**REPEATED, "gaps": [[1, 1]]}], [REPEATED]),
    "loss derivative vanishes through values": ([REPEATED], []),
    "realisable loss derivative vanishes": (
        [{**UNATTENDED, "teacher": {"W_V": [[1], [0]]}}],
        [UNATTENDED],
    ),
    "realisable loss derivative vanishes through values": ([UNATTENDED], []),
    "loss is convex in parameters": ([IN_VALUES], [SEGMENT]),
    "loss is convex in values": ([SEGMENT, IN_VALUES], []),
    "loss is convex in outputs": ([SEGMENT, IN_VALUES], []),
}
