"""What is said of the tangent kernel as a matrix, as laws that are true or false on a given case.

The kernel here is the Gram matrix of gradients, see `gram.py`; `ntteach.tangent` has no part in
it. Cases are read as in `arithmetic.py`; `others` holds further sequences beside S.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    Arithmetic,
    Array,
    Finding,
    Law,
    Problem,
    causal,
    read,
    regular,
    replayed,
    show,
)
from ntteach.paper.evidence.gram import (
    NOTHING,
    features,
    is_singular,
    kernel,
    matrix,
    rank,
    seen,
)

Given = Mapping[str, Any]


def sequences(given: Given, arithmetic: Arithmetic) -> list[Problem]:
    """S and the others, seen by one learner, each under its own mask."""
    p = read(given, arithmetic)
    others = []
    for rows in given.get("others", ()):
        mask = None if p.mask is None else causal(len(rows))
        others.append(replace(p, S=matrix(rows, arithmetic, p.S), mask=mask))
    return [p, *others]


# --- definite ------------------------------------------------------------------------------------


def kernel_is_definite(given: Given, arithmetic: Arithmetic) -> Finding:
    """The kernel matrix of different tokens in different sequences is positive definite.

    A Gram matrix is definite where it is regular. The hypotheses keep off the cases in which it
    fails by itself: a repeated token, a sequence of one token, an output that no parameter moves.
    """
    problems = sequences(given, arithmetic)
    K = kernel(problems)
    tokens = [tuple(token) for p in problems for token in p.S.tolist()]
    lengths = [p.length for p in problems]
    return Finding(
        (
            *regular(problems[0]),
            Hypothesis("two tokens or more in each sequence", str(lengths), min(lengths) >= 2),
            Hypothesis("all tokens differ", show(_stack(problems)), len({*tokens}) == len(tokens)),
            Hypothesis("every output has a gradient", show(K.diagonal()), all(K.diagonal() > 0)),
        ),
        f"the {len(K)} x {len(K)} kernel matrix has no null direction",
        f"{seen(K)}, its trace {show(K.trace())}",
        not is_singular(K),
    )


def _stack(problems: Sequence[Problem]) -> Array:
    return np.concatenate([p.S for p in problems])


def kernel_is_semidefinite(given: Given, arithmetic: Arithmetic, *, less: bool = False) -> Finding:
    """`x^T K x >= 0` for the weights x of `given["direction"]`, one for each output.

    With `less`, a tenth of the trace is taken off the diagonal, which is false where x all but
    lies in a null direction.
    """
    problems = sequences(given, arithmetic)
    K = kernel(problems)
    x = np.array([arithmetic.number(str(y)) for y in given["direction"]], dtype=K.dtype)
    form = x @ K @ x
    if less:
        form = form - x @ x * K.trace() * arithmetic.number("1/10")
    return Finding(
        regular(problems[0]),
        "x^T K x is not negative",
        f"it is {show(form)}",
        bool(form >= (-NOTHING if K.dtype == float else 0)),
    )


def rank_is_bounded(given: Given, arithmetic: Arithmetic, *, less: int = 0) -> Finding:
    """The kernel's rank is at most `d r_K + d r_Q - r_Q r_K + d v`, r the ranks of W_Q and W_K.

    With `less` 1, a bound smaller by that is claimed, which is false.
    """
    problems = sequences(given, arithmetic)
    p = problems[0]
    r_Q, r_K = rank(p.W_Q), rank(p.W_K)
    d, v = p.W_V.shape
    bound = d * r_K + d * r_Q - r_Q * r_K + d * v - less
    found = rank(features(problems))
    return Finding(
        regular(p), f"the rank is at most {bound}", f"the rank is {found}", found <= bound
    )


# --- singular ------------------------------------------------------------------------------------


def repeated_token_is_singular(
    given: Given, arithmetic: Arithmetic, *, with_causal_mask: bool = False
) -> Finding:
    """Appending the token `given["again"]` of a sequence once more makes its kernel singular.

    With a causal mask this is false.
    """
    p = read(given, arithmetic)
    S = np.concatenate([p.S, p.S[[given["again"]]]])
    K = kernel([replace(p, S=S, mask=causal(len(S)) if with_causal_mask else None)])
    return Finding(
        regular(p),
        f"the kernel of {show(S)} is singular",
        f"for the kernel of {show(S)}, {seen(K)}",
        is_singular(K),
    )


def reordered_copy_is_singular(
    given: Given, arithmetic: Arithmetic, *, with_causal_mask: bool = False
) -> Finding:
    """A sequence and the same sequence in another order have a singular kernel.

    With a causal mask this is false.
    """
    p = read(given, arithmetic)
    order = list(given["order"])
    p = replace(p, mask=causal(p.length) if with_causal_mask else None)
    K = kernel([p, p.reordered(order)])
    return Finding(
        (*regular(p), is_order(order, p)),
        f"the kernel of the sequence and of its tokens in the order {order} is singular",
        f"for the kernel of the two, {seen(K)}",
        is_singular(K),
    )


def padding_is_singular(
    given: Given, arithmetic: Arithmetic, *, real_only: bool = False
) -> Finding:
    """With two or more padded places, to which nobody attends, the kernel is singular.

    The padding token is (1, ..., 1). With `real_only`, this is claimed of the outputs at the
    real places alone, which is false.
    """
    p = read(given, arithmetic)
    L, extra = p.length, given["padding"]
    padding = np.ones((extra, p.S.shape[1]), dtype=int) * arithmetic.number("1")
    mask = np.tile(np.arange(L + extra) < L, (L + extra, 1))
    K = kernel([replace(p, S=np.concatenate([p.S, padding]), mask=mask)])
    if real_only:
        outputs = L * p.W_V.shape[1]
        K = K[:outputs, :outputs]
    return Finding(
        (*regular(p), Hypothesis("two padded places or more", str(extra), extra >= 2)),
        f"the kernel of {L} tokens and {extra} of padding is singular",
        seen(K),
        is_singular(K),
    )


def is_order(order: Sequence[int], p: Problem) -> Hypothesis:
    """That a list is a reordering of the tokens."""
    met = sorted(order) == list(range(p.length))
    return Hypothesis("a reordering of the tokens", str(list(order)), met)


LAWS: dict[str, Law] = {
    "kernel is definite": kernel_is_definite,
    "kernel is semi-definite": kernel_is_semidefinite,
    "kernel less a tenth is semi-definite": partial(kernel_is_semidefinite, less=True),
    "rank is bounded": rank_is_bounded,
    "rank is below its bound": partial(rank_is_bounded, less=1),
    "repeated token is singular": repeated_token_is_singular,
    "repeated token is singular, causal": partial(
        repeated_token_is_singular, with_causal_mask=True
    ),
    "reordered copy is singular": reordered_copy_is_singular,
    "reordered copy is singular, causal": partial(
        reordered_copy_is_singular, with_causal_mask=True
    ),
    "padding is singular": padding_is_singular,
    "real places are singular": partial(padding_is_singular, real_only=True),
}

replay_kernel_is_definite = partial(replayed, kernel_is_definite)
