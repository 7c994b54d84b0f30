"""The sentences of Section 4.1 and Appendix A.3 as laws, each true or false on a given case.

Every law takes a case as data and an arithmetic, so that the search (floats) and the replay
(exact numbers) test one and the same sentence. `replay_*` are the names that counterexamples
carry. Flags turn a law into a false neighbour of itself, which goes through the same lines; with
`spoil` it is false by one part in a million of what it compares, in the block that is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence import kernel_laws, kernel_symmetry_laws, width
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Problem,
    average_gradient,
    causal,
    exponentials,
    jacobian,
    omega,
    output,
    read,
    regular,
    replayed,
    same_blocks,
    show,
    spoiled,
    weights,
)

Given = Mapping[str, Any]


# --- order ---------------------------------------------------------------------------------------


def gradient_rows_follow(
    given: Given,
    arithmetic: Arithmetic,
    *,
    move_mask: bool = False,
    stay: bool = False,
    spoil: str | None = None,
) -> Finding:
    """Reordering the elements reorders the rows of every gradient block likewise.

    With `stay` the rows are claimed to stay where they were, which is false.
    """
    p = read(given, arithmetic)
    order = list(given["order"])
    moved = spoiled(p, jacobian(p.reordered(order, move_mask=move_mask)), spoil)
    expected = {name: block if stay else block[order] for name, block in jacobian(p).items()}
    wrong = [name for name in BLOCKS if not arithmetic.same(moved[name], expected[name])]
    found = "all rows follow"
    if wrong:
        name = wrong[0]
        found = (
            f"rows of the {name} block become {show(moved[name][:, 0])}, "
            f"reordered they would be {show(expected[name][:, 0])}"
        )
    return Finding(
        (*regular(p), _is_order(order, p)),
        f"rows of the gradient of the sequence reordered by {order} are those rows reordered",
        found,
        not wrong,
    )


def output_is_invariant(given: Given, arithmetic: Arithmetic) -> Finding:
    """Reordering the elements changes no output."""
    p = read(given, arithmetic)
    order = list(given["order"])
    one, other = output(p), output(p.reordered(order))
    return Finding(
        (*regular(p), _is_order(order, p)),
        f"the output stays {show(one)}",
        f"the output of the reordered sequence is {show(other)}",
        arithmetic.same(one, other),
    )


def output_is_equivariant(
    given: Given, arithmetic: Arithmetic, *, stay: bool = False, spoil: str | None = None
) -> Finding:
    """Reordering the elements reorders the rows of the output likewise.

    With `stay` the rows are claimed to stay where they were, which is false.
    """
    p = read(given, arithmetic)
    order = list(given["order"])
    one, other = output(p)[range(p.length) if stay else order], output(p.reordered(order))
    other = spoiled(p, {"output": other}, spoil)["output"]
    return Finding(
        (*regular(p), _is_order(order, p)),
        f"the output becomes {show(one)}",
        f"the output is {show(other)}",
        arithmetic.same(one, other),
    )


def readout_is_invariant(
    given: Given, arithmetic: Arithmetic, *, first: bool = False, spoil: str | None = None
) -> Finding:
    """Reordering the elements does not change the mean of the outputs.

    With `first` this is claimed of the first output alone, which is false.
    """
    p = read(given, arithmetic)
    order = list(given["order"])
    places = slice(1 if first else None)
    one, other = (output(x)[places].sum(0, keepdims=True) for x in (p, p.reordered(order)))
    other = spoiled(p, {"readout": other}, spoil)["readout"]
    return Finding(
        (*regular(p), _is_order(order, p)),
        f"the sum of the outputs stays {show(one)}",
        f"it is {show(other)}",
        arithmetic.same(one, other),
    )


def _is_order(order: list[int], p: Problem) -> Hypothesis:
    met = sorted(order) == list(range(p.length))
    return Hypothesis("a reordering of the elements", str(order), met)


# --- importance ----------------------------------------------------------------------------------


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


# --- rows ----------------------------------------------------------------------------------------


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


# --- length --------------------------------------------------------------------------------------


def repetition_leaves_the_average(
    given: Given,
    arithmetic: Arithmetic,
    *,
    summed: bool = False,
    repeat_mask: bool = False,
    spoil: str | None = None,
) -> Finding:
    """Repeating the sequence r times leaves the average over its elements of the gradient.

    The loss gradient of each output is given for one copy and repeats with it. A mask "causal"
    is the causal mask of the longer sequence, or with `repeat_mask` that of one copy, for every
    pair of copies. With `summed` the sum over elements is claimed to stay, which is false.
    """
    p = read(given, arithmetic)
    r = given["repeats"]
    G = np.array([[arithmetic.number(str(x)) for x in row] for row in given["output_grad"]])
    mask = p.mask
    if mask is not None:
        mask = np.tile(mask, (r, r)) if repeat_mask else causal(r * p.length)
    longer = replace(p, S=np.concatenate([p.S] * r), mask=mask)
    before, after = average_gradient(p, G), average_gradient(longer, np.concatenate([G] * r))
    if summed:
        after = {name: r * block for name, block in after.items()}
    after = spoiled(p, after, spoil)
    return Finding(
        (*regular(p), Hypothesis("repeated at least twice", str(r), r >= 2)),
        f"the averaged gradient of {r} copies is that of one",
        _difference(before, after, arithmetic),
        same_blocks(p, before, after),
    )


def longer_sequence_same_average(given: Given, arithmetic: Arithmetic) -> Finding:
    """Appending elements to a sequence leaves the average over its elements of the gradient."""
    p = read(given, arithmetic)
    more = [[arithmetic.number(str(x)) for x in row] for row in given["more"]]
    appended = np.array(more, dtype=p.S.dtype).reshape(len(more), p.S.shape[1])
    longer = replace(p, S=np.concatenate([p.S, appended]))
    before, after = average_gradient(p), average_gradient(longer)
    return Finding(
        (*regular(p), Hypothesis("elements are appended", str(len(more)), bool(more))),
        f"the averaged gradient of {longer.length} elements is that of the first {p.length}",
        _difference(before, after, arithmetic),
        same_blocks(p, before, after),
    )


def padding_changes_nothing(
    given: Given, arithmetic: Arithmetic, *, masked: bool, spoil: str | None = None
) -> Finding:
    """Zero elements appended as padding leave the gradient of the real elements' outputs.

    With `masked`, nobody attends to the padding.
    """
    p = read(given, arithmetic)
    extra = given["padding"]
    zeros = np.zeros((extra, p.S.shape[1]), dtype=int) + arithmetic.number("0")
    L = p.length
    mask = np.tile(np.arange(L + extra) < L, (L + extra, 1)) if masked else None
    padded = replace(p, S=np.concatenate([p.S, zeros]), mask=mask)
    before = jacobian(p)
    after = {name: block[:L] for name, block in jacobian(padded).items()}
    after = spoiled(p, after, spoil)
    return Finding(
        (*regular(p), Hypothesis("there is padding", str(extra), extra >= 1)),
        f"the gradients of the {L} real outputs do not change with {extra} padded elements",
        _difference(before, after, arithmetic),
        same_blocks(p, before, after),
    )


def both_means_agree(
    given: Given, arithmetic: Arithmetic, *, equal_lengths: bool = False, first: bool = False
) -> Finding:
    """For sequences of different length, Eq. 6's average has one reading.

    `given["losses"]` holds the losses of the elements, one list per sequence. With
    `equal_lengths` that is a hypothesis; with `first` the mean of the first sequence is claimed
    to be the mean of all, which is false.
    """
    losses = [[arithmetic.number(str(x)) for x in row] for row in given["losses"]]
    sequences = losses[:1] if first else losses
    per_sequence = sum(sum(row) / len(row) for row in sequences) / len(sequences)
    per_token = sum(map(sum, losses)) / sum(map(len, losses))
    lengths = [len(row) for row in losses]
    hypotheses = [
        Hypothesis("every sequence has an element", str(lengths), min(lengths) >= 1),
        Hypothesis("two sequences or more", str(len(losses)), len(losses) >= 2),
    ]
    if equal_lengths:
        hypotheses.append(Hypothesis("equal lengths", str(lengths), len(set(lengths)) == 1))
    return Finding(
        tuple(hypotheses),
        "the mean per sequence is the mean per token",
        f"{show(per_sequence)} per sequence, {show(per_token)} per token",
        arithmetic.same(np.array([per_sequence]), np.array([per_token])),
    )


def means_lie_between_the_extremes(given: Given, arithmetic: Arithmetic) -> Finding:
    """Both means of `both_means_agree` lie between the smallest and the largest loss."""
    losses = [[arithmetic.number(str(x)) for x in row] for row in given["losses"]]
    every = [x for row in losses for x in row]
    means = (sum(sum(row) / len(row) for row in losses) / len(losses), sum(every) / len(every))
    tiny = _tiny(means[0])
    return Finding(
        (Hypothesis("every sequence has an element", str(len(every)), all(losses)),),
        f"both means lie between {show(min(every))} and {show(max(every))}",
        f"{show(means[0])} and {show(means[1])}",
        all(min(every) - tiny <= mean <= max(every) + tiny for mean in means),
    )


def _difference(
    before: Mapping[str, Array], after: Mapping[str, Array], arithmetic: Arithmetic
) -> str:
    for name in BLOCKS:
        if not arithmetic.same(before[name], after[name]):
            return f"the {name} block goes from {show(before[name])} to {show(after[name])}"
    return "no block changes"


replay_gradient_rows_follow = partial(replayed, gradient_rows_follow)
replay_output_is_invariant = partial(replayed, output_is_invariant)
replay_importance_is_nonnegative = partial(replayed, importance_is_nonnegative)
replay_importance_is_normalised = partial(replayed, importance_is_normalised)
replay_one_value_per_element = partial(replayed, importance_has_one_value_per_element)
replay_importance_grows = partial(replayed, importance_grows_with_attention)
replay_unit_importance = partial(replayed, unit_importance_gives_a_linear_layer)
replay_rows_are_multiples = partial(replayed, rows_are_multiples_of_elements)
replay_rows_depend_on_own_element = partial(replayed, rows_depend_on_own_element_only)
replay_repetition = partial(replayed, repetition_leaves_the_average)
replay_longer_sequence = partial(replayed, longer_sequence_same_average)
replay_unmasked_padding = partial(replayed, partial(padding_changes_nothing, masked=False))
replay_both_means_agree = partial(replayed, both_means_agree)
replay_kernel_is_definite = partial(replayed, kernel_laws.kernel_is_definite)
replay_basis_leaves_the_kernel = partial(replayed, kernel_symmetry_laws.basis_leaves_the_kernel)
replay_kernel_follows = partial(replayed, kernel_symmetry_laws.kernel_follows)
replay_kernel_rate_vanishes = partial(replayed, width.kernel_rate_vanishes)
