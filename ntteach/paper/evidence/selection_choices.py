"""Choices of m sequences (Eqs. 20 and 21), by trying every subset and by scores of single ones.

Scores are squared norms, so that exact cases stay rational.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law
from ntteach.paper.evidence.reduction_numbers import at_most, matrix, tidy, vector

Given = Mapping[str, Any]
Choice = tuple[int, ...]


def sizes(rows: Array) -> list[Any]:
    """The squared norm of each row."""
    return [tidy(row @ row) for row in rows]


def choices(count: int, size: int) -> list[Choice]:
    """Every subset of a size."""
    return list(combinations(range(count), size))


def largest(scores: Sequence[Any], size: int) -> list[Choice]:
    """The subsets in which no score is below one that is left out."""
    return [
        chosen
        for chosen in choices(len(scores), size)
        if all(
            at_most(scores[out], scores[inside])
            for inside in chosen
            for out in range(len(scores))
            if out not in chosen
        )
    ]


def best(count: int, size: int, value: Callable[[Choice], Any]) -> list[Choice]:
    """The subsets of the largest value, by trying all."""
    values = {chosen: value(chosen) for chosen in choices(count, size)}
    return [
        chosen
        for chosen, one in values.items()
        if all(at_most(other, one) for other in values.values())
    ]


def fits(count: int, size: int) -> Hypothesis:
    """1 <= m <= N."""
    return Hypothesis("1 <= m <= N", f"m = {size} of N = {count}", 1 <= size <= count)


def named(chosen: Sequence[Choice]) -> str:
    """Subsets in words; sequences are counted from 1."""
    return " or ".join("{" + ", ".join(str(i + 1) for i in one) + "}" for one in chosen)


def norms_choose(given: Given, arithmetic: Arithmetic, *, score: str = "norm") -> Finding:
    """The subsets of m rows with the largest stack are those of the m largest rows.

    `given["rows"]` holds the loss gradients or residuals of each sequence. With another `score`
    (the sum, the largest entry, or the norm turned around) this is false.
    """
    rows = matrix(given["rows"], arithmetic)
    size = given["size"]
    scores = {
        "norm": lambda: sizes(rows),
        "sum": lambda: [abs(sum(row)) for row in rows],
        "largest entry": lambda: [max(abs(x) for x in row) for row in rows],
        "smallest": lambda: [-x for x in sizes(rows)],
    }[score]()
    by_stack = best(len(rows), size, lambda chosen: sum(x * x for i in chosen for x in rows[i]))
    by_rows = largest(scores, size)
    return Finding(
        (fits(len(rows), size),),
        f"the largest stacks of {size} are {named(by_stack)}",
        f"those of the largest rows are {named(by_rows)}",
        by_stack == by_rows,
    )


def choices_agree(given: Given, arithmetic: Arithmetic, *, loss: str = "squared") -> Finding:
    """Eqs. 20 and 21 choose the same subsets, for the squared loss.

    For Huber's loss (`given["delta"]` or 1) and for squares weighed by 1, 4, 9, ... this is false.
    """
    outputs, targets = (matrix(given[name], arithmetic) for name in ("outputs", "targets"))
    residuals, size = outputs - targets, given["size"]
    if loss == "huber":
        gradients = clipped(residuals, arithmetic.number(str(given.get("delta", 1))))
    elif loss == "weighted":
        gradients = residuals * vector([(i + 1) ** 2 for i in range(outputs.shape[1])], arithmetic)
    else:
        gradients = residuals
    by_gradient, by_residual = (largest(sizes(x), size) for x in (gradients, residuals))
    return Finding(
        (fits(len(residuals), size),),
        f"Eq. 20 chooses {named(by_gradient)}",
        f"Eq. 21 chooses {named(by_residual)}",
        by_gradient == by_residual,
    )


def clipped(residuals: Array, delta: Any) -> Array:
    """The derivative of Huber's loss."""
    flat = [max(-delta, min(delta, x)) for x in residuals.flat]
    return type_of(residuals, flat).reshape(residuals.shape)


def type_of(like: Array, entries: Sequence[Any]) -> Array:
    """A list in the number type of an array."""
    return np.array(entries, dtype=like.dtype)


LAWS: dict[str, Law] = {
    "norms choose": norms_choose,
    "sums choose": partial(norms_choose, score="sum"),
    "largest entries choose": partial(norms_choose, score="largest entry"),
    "smallest norms choose": partial(norms_choose, score="smallest"),
    "both choices agree": choices_agree,
    "both choices agree, huber": partial(choices_agree, loss="huber"),
    "both choices agree, weighted": partial(choices_agree, loss="weighted"),
}
