"""Sentences on the importance of elements (Section 4.1), as laws; `replay_*` decide them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Law,
    Problem,
    exponentials,
    jacobian,
    omega,
    read,
    regular,
    replayed,
    show,
    weights,
)

Given = Mapping[str, Any]


def importance_is_nonnegative(given: Given, arithmetic: Arithmetic) -> Finding:
    """No importance value is negative."""
    p = read(given, arithmetic)
    values = omega(p)
    tiny = 1e-9 if p.S.dtype == float else 0
    return Finding(
        (*regular(p), _scalar(p)),
        "every omega is at least 0",
        f"omega = {show(values)}",
        all(x >= -tiny for x in values.flat),
    )


def importance_is_normalised(given: Given, arithmetic: Arithmetic) -> Finding:
    """The importance values of the elements of a sequence sum to one, for each feature."""
    p = read(given, arithmetic)
    values = omega(p)
    totals = values.sum(0)
    return Finding(
        (
            *regular(p),
            _scalar(p),
            Hypothesis("two elements or more", str(p.length), p.length >= 2),
        ),
        "sum_j omega_j = 1 for every feature",
        f"omega = {show(values)}, sums {show(totals)}",
        arithmetic.same(totals, totals * 0 + arithmetic.number("1")),
    )


def importance_has_one_value_per_element(given: Given, arithmetic: Arithmetic) -> Finding:
    """The importance of an element is one scalar, the same for every feature i of Eq. 11."""
    p = read(given, arithmetic)
    values = omega(p)
    return Finding(
        (*regular(p), _scalar(p)),
        "omega_j does not depend on the feature i",
        f"rows j, columns i: omega = {show(values)}",
        all(arithmetic.same(values[:, i], values[:, i + 1]) for i in range(values.shape[1] - 1)),
    )


def importance_is_shared(given: Given, arithmetic: Arithmetic) -> Finding:
    """All elements of a sequence have the same importance: what "element-specific" denies."""
    p = read(given, arithmetic)
    values = omega(p)
    return Finding(
        (*regular(p), _scalar(p)),
        "omega_j is the same for all elements j",
        f"omega = {show(values)}",
        all(arithmetic.same(one, other) for one, other in pairwise(values)),
    )


def importance_grows_with_attention(given: Given, arithmetic: Arithmetic) -> Finding:
    """Sharper attention does not make the importance smaller.

    W_Q is multiplied by `given["sharpen"]` >= 1; in a row whose largest weight has grown, |omega|
    is claimed not to have fallen for any feature.
    """
    p = read(given, arithmetic)
    factor = arithmetic.number(str(given["sharpen"]))
    q = replace(p, W_Q=p.W_Q * factor)
    before, after = omega(p), omega(q)
    top_before, top_after = weights(p).max(1), weights(q).max(1)
    sharper = [j for j in range(p.length) if top_after[j] > top_before[j]]
    fell = [
        j
        for j in sharper
        if any(abs(y) < abs(x) - _tiny(x) for x, y in zip(before[j], after[j], strict=True))
    ]
    found = "it does not fall"
    if fell:
        j = fell[0]
        found = (
            f"at element {j} the largest weight goes from {show(top_before[j])} to "
            f"{show(top_after[j])}, omega from {show(before[j])} to {show(after[j])}"
        )
    return Finding(
        (
            *regular(p),
            _scalar(p),
            Hypothesis("W_Q is multiplied by a factor above 1", str(factor), factor > 1),
            Hypothesis("attention got sharper", f"in rows {sharper}", bool(sharper)),
        ),
        "|omega_j| does not fall where attention of row j gets sharper",
        found,
        not fell,
    )


def importance_vanishes_when_sharp(
    given: Given, arithmetic: Arithmetic, *, power: int = 1
) -> Finding:
    """`|omega_ji| <= (1 - max_k A_jk) range(K_i) range(V)`.

    With m the element attended to most and eps = 1 - A_jm, `Var(X) <= E (X - X_m)^2 <= eps
    range(X)^2`, and `|Cov(X, Y)|^2 <= Var(X) Var(Y)`. With `power` 2, eps^2 is claimed, which is
    false.
    """
    p = read(given, arithmetic)
    _, K, V, _ = exponentials(p)
    rest = 1 - weights(p).max(1)  # (L,)
    spread = (K.max(0) - K.min(0)) * (V.max() - V.min())  # (d_k,)
    bound = np.outer(rest**power, spread)
    values = omega(p)
    return Finding(
        (*regular(p), _scalar(p)),
        f"|omega| <= {show(bound)}",
        f"omega = {show(values)}",
        all(abs(x) <= y + _tiny(x) for x, y in zip(values.flat, bound.flat, strict=True)),
    )


def unit_importance_gives_a_linear_layer(
    given: Given, arithmetic: Arithmetic, *, blocks: tuple[str, ...] = BLOCKS
) -> Finding:
    """With omega = 1 everywhere, each row of each block is its own element, up to one factor."""
    p = read(given, arithmetic)
    values = omega(p)
    ones = arithmetic.same(values, values * 0 + arithmetic.number("1"))
    gradient = jacobian(p)
    rows = {name: gradient[name][:, 0] for name in blocks}  # (L, d, columns)
    wrong = [name for name, block in rows.items() if not _common_multiple(p, block)]
    found = "every row is"
    if wrong:
        found = (
            f"rows of the {wrong[-1]} block are {show(rows[wrong[-1]][..., 0])}, "
            f"the elements {show(p.S)}"
        )
    return Finding(
        (*regular(p), _scalar(p), Hypothesis("omega = 1", show(values), ones)),
        f"each row of {', '.join(blocks)} is its own element, up to one factor per column",
        found,
        not wrong,
    )


def _common_multiple(p: Problem, block: Array) -> bool:
    """Whether every column of a block is one positive number times the matrix S."""
    for i in range(block.shape[-1]):
        column = block[..., i]  # (L, d)
        at = next(place for place, x in np.ndenumerate(p.S) if x != 0)
        factor = column[at] / p.S[at]
        if not (factor > 0 and p.arithmetic.same(column, factor * p.S)):
            return False
    return True


def _scalar(p: Problem) -> Hypothesis:
    return Hypothesis("v = 1", str(p.W_V.shape[1]), p.W_V.shape[1] == 1)


def _tiny(x: Any) -> float:
    return 1e-9 if isinstance(x, float) else 0


def weights_are_normalised(
    given: Given, arithmetic: Arithmetic, *, columns: bool = False
) -> Finding:
    """Attention weights are positive and sum to one in each row; with `columns`, which is false,
    in each column.
    """
    p = read(given, arithmetic)
    A = weights(p)
    totals = A.sum(0 if columns else 1)
    return Finding(
        regular(p),
        f"{'columns' if columns else 'rows'} of A sum to one, and no weight is negative",
        f"sums {show(totals)}",
        bool((A >= 0).all()) and arithmetic.same(totals, totals * 0 + arithmetic.number("1")),
    )


LAWS: dict[str, Law] = {
    "weights are normalised": weights_are_normalised,
    "importance is nonnegative": importance_is_nonnegative,
    "importance is normalised": importance_is_normalised,
    "one value per element": importance_has_one_value_per_element,
    "importance is shared": importance_is_shared,
    "importance grows": importance_grows_with_attention,
    "importance vanishes": importance_vanishes_when_sharp,
    "columns are normalised": partial(weights_are_normalised, columns=True),
    "importance vanishes quadratically": partial(importance_vanishes_when_sharp, power=2),
}

replay_importance_is_nonnegative = partial(replayed, importance_is_nonnegative)
replay_importance_is_normalised = partial(replayed, importance_is_normalised)
replay_one_value_per_element = partial(replayed, importance_has_one_value_per_element)
replay_importance_grows = partial(replayed, importance_grows_with_attention)
replay_unit_importance = partial(replayed, unit_importance_gives_a_linear_layer)
