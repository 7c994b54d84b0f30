"""Small cases of the laws on choosing sequences, by hand: where each holds and where not."""

from __future__ import annotations

from typing import Any

Cases = tuple[list[dict[str, Any]], list[dict[str, Any]]]

ROWS = {"rows": [[1, -1], [1, 0], [0, 0]], "size": 1}
TARGETS = {"outputs": [[0, 0], [0, 0]], "targets": [[2, 0], [0, 1]], "size": 1}
KINKED = {"outputs": [[2], [3]], "targets": [[0], [0]], "size": 1}
FAR = {"outputs": [2, 1], "targets": [4, 0]}
NEAR = {"outputs": [3, 1], "targets": [0, 0]}
HUBER = {"residuals": [2, 1], "delta": 1}
BEYOND = {"outputs": [4, 0], "labels": [1, 1]}
WRONG = {"outputs": [-1, 1], "labels": [1, 1]}
WEIGHTED = {"weights": [1, 4], "residuals": [[2, 0], [0, 1]]}
EVEN = {"weights": [1, 4], "residuals": [[1, 0], [0, 1]]}
RIDGES = {
    "ridges": [[1, 3], [1, -3]],
    "curvatures": [3, 1],
    "deltas": [1, 3],
    "direction": [1, 0],
    "times": [1, 3],
}
AXES = RIDGES | {"ridges": [[1, 0], [0, 3]], "direction": [1, 1]}
AGAINST = {"J": [[1, 0], [-2, 1]], "g": [3, 2], "size": 1}
APART = {"J": [[1, 0], [0, 1]], "g": [3, 2], "size": 1}
LONG = {"J": [[1, 0], [0, 2]], "g": [3, 2], "size": 1}
EQUAL = {"J": [[1, 1, 0], [-1, 0, 1], [0, -1, 1]], "g": [4, 3, 3], "size": 1}
ISOTROPIC = {"c": 2, "g": [2, 3, -1], "size": 2}
STEP = {"J": [[1, 0], [-2, 1]], "z": [1, 1], "size": 1, "h": "1/5", "delta": 5}
GONE = STEP | {"z": [0, 0]}
CLOSEST = {"J": [[1, 0], [0, 1]], "z": [1, 2]}
REGULAR = {"J": [[0], [0]], "alpha": [1, 1], "c": 1, "pace": 1, "size": 1}
LEANING = {"J": [[0], [0]], "alpha": [0, 1], "c": 1, "pace": 1, "size": 1}
LOOP = {"J": [[1, 0], [0, 1]], "g": [1, 2], "size": 1, "T": 1, "eta": "1/2", "epsilon": "1/4"}
DONE = LOOP | {"g": [0, 0]}
BOUNDED = {"J": [[1], [-1]], "g": [2, 1], "c": 1, "size": 1}
ALONE = {"J": [[0], [0]], "g": [2, 1], "c": 1, "size": 1}

CASES: dict[str, Cases] = {
    "norms choose": ([ROWS, ROWS | {"size": 2}, ROWS | {"rows": [[1], [1]]}], []),
    "sums choose": ([ROWS | {"rows": [[1], [2]]}], [ROWS]),
    "largest entries choose": ([ROWS | {"rows": [[1], [-2]]}], [ROWS]),
    "smallest norms choose": ([ROWS | {"rows": [[1], [-1]]}], [ROWS]),
    "both choices agree": ([TARGETS, KINKED], []),
    "both choices agree, huber": ([KINKED | {"delta": 3}], [KINKED]),
    "both choices agree, weighted": ([KINKED], [TARGETS]),
    "gradient follows residual": ([NEAR], [FAR]),
    "gradient follows residual, one side": ([NEAR], []),
    "gradient grows": ([HUBER | {"delta": 2}], [HUBER]),
    "gradient grows weakly": ([HUBER, HUBER | {"residuals": [-3, 2]}], []),
    "label residual orders": ([WRONG], [BEYOND]),
    "probability residual orders": ([WRONG], []),
    "weighted order": ([WEIGHTED | {"weights": [2, 2]}], [WEIGHTED]),
    "weighted order up to the condition": ([WEIGHTED, EVEN], []),
    "weighted order, one percent better": ([WEIGHTED], [EVEN]),
    "gradient falls towards the target": ([AXES], [RIDGES]),
    "gradient grows towards the target": ([AXES], [AXES | {"deltas": [9, 9]}]),
    "slope falls towards the target": ([AXES, RIDGES], []),
    "a subset step does not raise the loss": ([APART], [AGAINST]),
    "a full step does not raise the loss": ([APART, AGAINST], []),
    "norms steepen the gradient": ([APART], [LONG]),
    "leverage steepens the gradient": ([APART, LONG, AGAINST], []),
    "errors alone steepen the gradient": ([APART], [LONG]),
    "norms steepen the gradient up to the condition": ([LONG, LONG | {"g": [1, 1]}], []),
    "norms steepen the gradient, one percent better": ([LONG], [LONG | {"g": [1, 1]}]),
    "norms steepen the gradient, K isotropic": ([ISOTROPIC], []),
    "norms steepen the gradient, K uneven": (
        [ISOTROPIC | {"g": [3, 2]}],
        [ISOTROPIC | {"g": [2, 3], "size": 1}],
    ),
    "greedy is steepest": ([APART], [EQUAL]),
    "the kernel's choice is steepest": ([APART, EQUAL, EQUAL | {"size": 2}, AGAINST], []),
    "a step shortens the distance": ([STEP, STEP | {"delta": 1}, STEP | {"size": 2}, GONE], []),
    "a step shortens the distance, one percent better": ([GONE], [STEP]),
    "a step away shortens the distance": ([GONE], [STEP]),
    "greedy comes closest": ([CLOSEST, {"J": [[1, 1], [1, -1]], "z": [2, 1]}], []),
    "the smallest comes closest": ([CLOSEST | {"z": [1, 1]}], [CLOSEST]),
    "steps contract": ([REGULAR, LEANING, REGULAR | {"size": 2}], []),
    "steps contract, one percent better": ([LEANING], [REGULAR]),
    "steps on the smallest contract": ([REGULAR], [LEANING]),
    "the loop ends": ([LOOP, DONE, LOOP | {"T": 0}], []),
    "the loop ends a step early": ([DONE | {"T": 0, "g": [0, 0]}], [LOOP]),
    "subset rate is bounded": ([BOUNDED, ALONE, BOUNDED | {"size": 2}], []),
    "subset rate is bounded, one percent better": ([ALONE], [BOUNDED]),
    "subset rate is bounded by its first term": ([ALONE], [BOUNDED]),
    "subset rate is bounded, sign turned": ([ALONE], [BOUNDED]),
    "the condition suffices": ([APART, {"J": [[2, 0], [-1, 1]], "g": [3, 2]}], []),
    "the condition suffices, one percent weaker": (
        [APART],
        [{"J": [[1, 0], [-1, 0]], "g": [1, 1]}],
    ),
    "greedy has the largest share": ([APART, ISOTROPIC], []),
    "the smallest have the largest share": ([APART | {"g": [2, 2]}], [APART]),
}
