"""Cases on which the laws around Proposition 4 hold, and cases that break them."""

from __future__ import annotations

from typing import Any

from ntteach.paper import registry


def stored(key: str) -> dict[str, Any]:
    """The stored case of a refuted claim."""
    case = registry[key].counterexample
    assert case is not None
    return dict(case.given)


EYE, THREE = [[1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
EQUAL, CANCELLING = {"K": EYE, "g": [1, 1]}, {"K": EYE, "g": [1, -1]}
ONE = {"K": [[2]], "g": [3]}
SLOPED = {"K": [[2, 1], [1, 3]], "g": [2, -1]}
OFF_RANGE = {"K": [[1, 0], [0, 0]], "g": [1, 1]}  # 1 is not in the range, whatever the limit
SINGULAR = {"K": [[1, 1], [1, 1]], "g": [1, 2]}
CUT = stored("smooth-within-the-form")
AVERAGED, SUMMED = stored("sufficient-loss-reduction"), stored("sufficient-loss-reduction-summed")
ATTENDING = stored("sufficient-loss-reduction-attention")
AT_REST = stored("reduction-reaches-the-least-loss")
ALL = [EQUAL, CANCELLING, ONE, SLOPED]

Cases = tuple[list[Any], list[Any]]


def sharp(law: str, suffix: str, holding: list[Any], breaking: list[Any]) -> dict[str, Cases]:
    """A law with a best constant, and the same with a better one, broken where it is attained."""
    nothing = {"K": EYE, "g": [0, 0]}
    return {law: ([*holding, *breaking], []), f"{law}{suffix}": ([nothing], breaking)}


MORE = ", one per cent more"
CASES: dict[str, Cases] = {
    # the proposition and the sentence after it
    "loss falls by the mean": (
        [EQUAL, CANCELLING, ONE],
        [AVERAGED, SUMMED, {**EQUAL, "K": THREE, "g": [1] * 3}],
    ),
    "loss falls by the mean, summed": ([EQUAL, AVERAGED, {"K": THREE, "g": [1] * 3}], [SUMMED]),
    "loss falls by the mean, any normalisation": (
        [EQUAL, AVERAGED, {**ATTENDING, "g": [1, 1]}, {**ATTENDING, "W_Q": [[1]]}],
        [ATTENDING],
    ),
    "bound is negative": ([EQUAL, {"K": EYE, "g": [2, -1]}], [CANCELLING]),
    "learner goes on": ([{**AT_REST, "g": [-4, -44, 38]}], [AT_REST]),
    # the steps of the proof
    **{
        law: ([*ALL, CUT], [])
        for law in ("step 64", "step 65", "steps 66-67", "step 68", "step 74")
    },
    "step 64, the gradient before": ([{"K": EYE, "g": [0, 0]}], [EQUAL, ONE]),
    "step 64, one per cent more": (
        [{"K": EYE, "g": [0, 0]}],
        [{"K": [[1]], "residuals": [2], "delta": 1}],
    ),
    "step 65, one per cent more": ([{"K": EYE, "g": [0, 0]}], [EQUAL, ONE]),
    "steps 66-67, one per cent more": ([{"K": EYE, "g": [0, 0]}], [ONE]),
    "step 68, one per cent more": ([{"K": EYE, "g": [0, 0]}], [ONE]),
    "step 74, one per cent more": ([CANCELLING], [EQUAL, ONE]),
    "step 69": ([*ALL], [CUT]),
    "step 70": ([EQUAL, ONE], [CANCELLING]),
    "step 70 as used": ([CANCELLING, ONE], [EQUAL]),
    "step 71": ([EQUAL, ONE], [CANCELLING]),
    "steps 72-73": ([CANCELLING, ONE], [EQUAL]),
    # what holds instead; one output attains every constant
    **sharp("falls by the form", MORE, [*ALL, CUT, SINGULAR], [ONE]),
    **sharp("falls by the least eigenvalue", MORE, [SLOPED, CUT, SINGULAR], [ONE, EQUAL]),
    **sharp("converges", ", one per cent faster", [SLOPED, SINGULAR], [ONE, CANCELLING]),
    **sharp("steps converge", ", one per cent faster", [SLOPED, SINGULAR], [ONE, CANCELLING]),
    **sharp("step decrease", MORE, [SLOPED, CUT, SINGULAR], [ONE, EQUAL]),
    **sharp("step decrease, half", MORE, [SLOPED, CUT, SINGULAR], [ONE, EQUAL]),
    "step decrease, half, one per cent longer": ([{"K": EYE, "g": [0, 0]}], [ONE, EQUAL]),
    **sharp("step decrease, three quarters", MORE, [SLOPED, CUT, SINGULAR], [ONE, EQUAL]),
    "step falls": ([*ALL, CUT, SINGULAR], []),
    "step falls, one per cent above 2": ([SLOPED], [ONE, EQUAL]),
    **sharp("step 69 by eigenvalues", ", one per cent off", [SLOPED, CUT], [ONE, EQUAL]),
    **sharp("step 70 by eigenvalues", ", one per cent off", [SLOPED, CUT, SINGULAR], [ONE, EQUAL]),
    **sharp("step 70, below by eigenvalues", ", one per cent off", [SLOPED, CUT, SINGULAR], [ONE]),
    **sharp("step 71 by eigenvalues", ", one per cent off", [SLOPED, CUT, SINGULAR], [ONE]),
    **sharp("step 72 by eigenvalues", ", one per cent off", [SLOPED, CUT, SINGULAR], [ONE]),
    **sharp(
        "falls by the sharp mean",
        MORE,
        [SLOPED, SINGULAR, AVERAGED_K := {"K": [[1, 0], [0, 4]], "g": [1, 1]}],
        [ONE, EQUAL],
    ),
    "falls by the sharp mean of a learner": ([ATTENDING, AVERAGED, AT_REST], []),
    # the condition, for K and g: gamma s is 1 for one output, 2 for the identity, 5 for diag(1, 4)
    "condition is sharp": ([*ALL, AVERAGED_K, SINGULAR], []),
    "condition is sharp, one per cent more": ([OFF_RANGE], ALL_SHARP := [ONE, EQUAL, AVERAGED_K]),
    "condition is sharp, one per cent less": ([OFF_RANGE], ALL_SHARP),
    "condition is sharp, summed": ([*ALL, AVERAGED_K, SINGULAR], []),
    "condition is sharp, summed, one per cent more": ([OFF_RANGE], ALL_SHARP),
    "condition is sharp, both summed": ([*ALL, AVERAGED_K, SINGULAR], []),
    "condition is sharp, both summed, one per cent more": ([OFF_RANGE], ALL_SHARP),
    "one number off the diagonal": (
        [
            *({"n": n, "rho": rho} for n in (2, 3, 5) for rho in ("0/1", "1/4", "1/2", "9/10")),
            {"n": 3, "rho": "249/1000"},
        ],
        [],
    ),
    "one number off the diagonal, one per cent less": (
        [{"n": 3, "rho": "1/4"}, {"n": 3, "rho": "1/10"}],
        [{"n": 3, "rho": "249/1000"}],
    ),
    "one number off the diagonal, one per cent more": (
        [{"n": 3, "rho": "1/10"}, {"n": 3, "rho": "1/2"}],
        [{"n": 3, "rho": "1/4"}],
    ),
    "norm by blocks": ([{"v": 2, "J": [[1, 0], [1, 0]]}, {"v": 2, "J": [[1, 0], [0, 1]] * 2}], []),
    "norm by blocks, one per cent less": (
        [{"v": 2, "J": [[1, 0], [1, 0], [0, 1], [0, 1]]}],
        [{"v": 2, "J": [[1, 0], [1, 0]]}],
    ),
    "norm by entries": (
        [{"v": 2, "J": [[1, 0], [0, 0]]}],
        [{"v": v, "J": [[1, 0]] * v} for v in (2, 3)],
    ),
    "modes decay": ([*ALL, SINGULAR], []),
    "modes decay, not divided": ([ONE], [EQUAL, SLOPED]),
}
