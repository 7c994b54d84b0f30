"""Small cases of the laws on scores in practice, by hand: where each holds and where not."""

from __future__ import annotations

from typing import Any

Cases = tuple[list[dict[str, Any]], list[dict[str, Any]]]

# p of the true class 1/4 and 4/13, |p - y|^2 3/4 and 291/338
SPREAD = {"logits": [[0, 0, 0, 0], [3, 4, 0, 0]], "labels": [0, 0]}
TWO_CLASSES = {"logits": [[0, 1], [0, 0]], "labels": [0, 0]}
# sums of squares 4 and 5, of absolute values 2 and 3; then 9 and 8, 3 and 4
SAME = {"outputs": [[2, 0], [2, 1]], "targets": [[0, 0], [0, 0]], "size": 1}
OTHER = {"outputs": [[3, 0], [2, 2]], "targets": [[0, 0], [0, 0]], "size": 1}
# means 2 and 3/2; in batches padded to 4 and to 1 the scores are 1 and 3/2
SHARED = {"tokens": [[2, 2], ["3/2"]], "padded": [4, 1]}
UNPADDED = SHARED | {"padded": [2, 1]}
APART = {"J": [[1, 0], [0, 1]], "g": [3, 2], "size": 1}
AHEAD = APART | {"g": [5, 2]}
COLD = {"scores": [1, 0], "noise": [0, 2], "temperature": "1/100", "size": 1}
AGREEING = COLD | {"noise": [2, 0]}
WARM = COLD | {"temperature": 2}

CASES: dict[str, Cases] = {
    "losses order as residuals, cross-entropy": ([TWO_CLASSES], [SPREAD]),
    "losses order as the true class, cross-entropy": ([TWO_CLASSES, SPREAD], []),
    "losses choose": ([SAME, OTHER], []),
    "losses choose, absolute": ([SAME], [OTHER]),
    "losses choose, weighted": ([SAME], [OTHER]),
    "padded scores order as means": ([UNPADDED], [SHARED]),
    "scores over tokens order as means": ([SHARED, UNPADDED], []),
    "old choice is greedy": ([AHEAD], [APART]),
    "old choice is greedy, no step": ([AHEAD, APART], []),
    "cold choice is hard": ([COLD, AGREEING], []),
    "cold choice is hard, on noise too": ([AGREEING], [COLD]),
    "temperature changes nothing": ([COLD, WARM, AGREEING], []),
    "temperature changes nothing, on the score": ([WARM, AGREEING], [COLD]),
}
