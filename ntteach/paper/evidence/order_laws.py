"""Sentences on the order of elements (Section 4.1), as laws; `replay_*` decide them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Finding,
    Law,
    Problem,
    jacobian,
    output,
    read,
    regular,
    replayed,
    show,
    spoiled,
)

Given = Mapping[str, Any]


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


LAWS: dict[str, Law] = {
    "gradient rows follow": gradient_rows_follow,
    "gradient rows follow, mask moved along": partial(gradient_rows_follow, move_mask=True),
    "output is invariant": output_is_invariant,
    "output is equivariant": output_is_equivariant,
    "readout is invariant": readout_is_invariant,
    "rows stay": partial(gradient_rows_follow, stay=True),
    "output rows stay": partial(output_is_equivariant, stay=True),
    "first output is invariant": partial(readout_is_invariant, first=True),
}

replay_gradient_rows_follow = partial(replayed, gradient_rows_follow)
replay_output_is_invariant = partial(replayed, output_is_invariant)
