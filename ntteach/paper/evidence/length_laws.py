"""Sentences on the length of sequences, as laws; `replay_*` decide them exactly."""

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
    average_gradient,
    causal,
    jacobian,
    read,
    regular,
    replayed,
    same_blocks,
    show,
    spoiled,
)

Given = Mapping[str, Any]


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


def _tiny(x: Any) -> float:
    return 1e-9 if isinstance(x, float) else 0


LAWS: dict[str, Law] = {
    "first mean is all": partial(both_means_agree, equal_lengths=True, first=True),
    "sum stays": partial(repetition_leaves_the_average, summed=True),
    "repetition": repetition_leaves_the_average,
    "repetition, mask repeated": partial(repetition_leaves_the_average, repeat_mask=True),
    "longer sequence": longer_sequence_same_average,
    "padding, masked": partial(padding_changes_nothing, masked=True),
    "padding, unmasked": partial(padding_changes_nothing, masked=False),
    "both means agree": both_means_agree,
    "both means agree, equal lengths": partial(both_means_agree, equal_lengths=True),
    "means lie between the extremes": means_lie_between_the_extremes,
}

replay_repetition = partial(replayed, repetition_leaves_the_average)
replay_longer_sequence = partial(replayed, longer_sequence_same_average)
replay_unmasked_padding = partial(replayed, partial(padding_changes_nothing, masked=False))
replay_both_means_agree = partial(replayed, both_means_agree)
