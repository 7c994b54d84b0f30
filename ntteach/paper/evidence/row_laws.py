"""Sentences on the rows of gradients (Section 4.1), as laws; `replay_*` decide them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Law,
    exponentials,
    jacobian,
    output,
    read,
    regular,
    replayed,
    show,
    spoiled,
    weights,
)

Given = Mapping[str, Any]


def rows_are_multiples_of_elements(
    given: Given, arithmetic: Arithmetic, *, blocks: tuple[str, ...] = ("W_K", "W_V")
) -> Finding:
    """Row j of a block is a scalar times element j, as Eq. 11 has it for the query block."""
    p = read(given, arithmetic)
    gradient = jacobian(p)
    wrong = []
    for name in blocks:
        for place in np.ndindex(gradient[name].shape[0], gradient[name].shape[1]):
            for i in range(p.W_V.shape[1] if name == "W_V" else p.W_Q.shape[1]):
                row = gradient[name][place][:, i]
                if not _parallel(row, p.S[place[0]], arithmetic):
                    wrong.append((name, place[0], row))
    found = "all rows are"
    if wrong:
        name, j, row = wrong[0]
        found = f"row {j} of the {name} block is {show(row)}, element {j} is {show(p.S[j])}"
    return Finding(
        regular(p),
        f"every row of {' and '.join(blocks)} is a multiple of its own element",
        found,
        not wrong,
    )


def rows_mix_elements(
    given: Given, arithmetic: Arithmetic, *, own_only: bool = False, spoil: str | None = None
) -> Finding:
    """Value row j is `sum_k A_jk S_k`, key row j is `d^-1/2 Q_ji sum_k A_jk (V_kc - f_jc) S_k`.

    The coefficients of the first sum to one, those of the second to zero. With `own_only` the
    sums are claimed to hold element j alone, which is false.
    """
    p = read(given, arithmetic)
    Q, _, V, _ = exponentials(p)
    A, f, gradient = weights(p), output(p), spoiled(p, jacobian(p), spoil)
    if own_only:
        A = A * np.eye(p.length, dtype=int)
    scale = 1 / arithmetic.sqrt(Q.shape[1])
    same = arithmetic.same
    wrong = []
    for j, c in np.ndindex(p.length, V.shape[1]):
        lean = A[j] * (V[:, c] - f[j, c])  # (L,)
        if not same(gradient["W_V"][j, c][:, c], A[j] @ p.S):
            wrong.append(f"value row {j} is {show(gradient['W_V'][j, c][:, c])}")
        if not same(gradient["W_K"][j, c], scale * np.outer(lean @ p.S, Q[j])):
            wrong.append(f"key row {j} is {show(gradient['W_K'][j, c])}")
        if not same(np.array([A[j].sum(), lean.sum()]), np.array([1, 0])):
            wrong.append(f"coefficients of row {j} sum to {A[j].sum()} and {lean.sum()}")
    return Finding(
        regular(p),
        "value rows are means of the elements, key rows combinations with coefficients of sum zero",
        wrong[0] if wrong else "they are",
        not wrong,
    )


def _parallel(x: Array, y: Array, arithmetic: Arithmetic) -> bool:
    """Whether x is a multiple of y: all 2 x 2 minors vanish, and x = 0 where y = 0."""
    minors = np.outer(x, y) - np.outer(y, x)
    if all(entry == 0 for entry in y):
        return arithmetic.same(x, x * 0)
    return arithmetic.same(minors, minors * 0)


def rows_depend_on_own_element_only(given: Given, arithmetic: Arithmetic) -> Finding:
    """Row j of the gradient does not change when another element does, as for a batch of vectors.

    `given["other"]` replaces element `given["changed"]`.
    """
    p = read(given, arithmetic)
    changed = given["changed"]
    S = p.S.copy()
    S[changed] = [arithmetic.number(str(x)) for x in given["other"]]
    before, after = jacobian(p), jacobian(replace(p, S=S))
    rows = [j for j in range(p.length) if j != changed]
    wrong = [
        (name, j)
        for name in BLOCKS
        for j in rows
        if not arithmetic.same(before[name][j], after[name][j])
    ]
    found = "no other row changes"
    if wrong:
        name, j = wrong[0]
        found = (
            f"row {j} of the {name} block goes from {show(before[name][j, 0])} "
            f"to {show(after[name][j, 0])}"
        )
    return Finding(
        (*regular(p), Hypothesis("there is another element", f"L = {p.length}", bool(rows))),
        f"changing element {changed} leaves the other rows of the gradient as they are",
        found,
        not wrong,
    )


LAWS: dict[str, Law] = {
    "key and value rows are multiples": rows_are_multiples_of_elements,
    "query rows are multiples": partial(rows_are_multiples_of_elements, blocks=("W_Q",)),
    "rows mix elements": rows_mix_elements,
    "rows hold their own element": partial(rows_mix_elements, own_only=True),
    "rows depend on own element": rows_depend_on_own_element_only,
}

replay_rows_are_multiples = partial(replayed, rows_are_multiples_of_elements)
replay_rows_depend_on_own_element = partial(replayed, rows_depend_on_own_element_only)
