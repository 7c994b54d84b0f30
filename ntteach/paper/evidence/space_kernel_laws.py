"""Definite and semi-definite kernels on sequences (Section 3) as laws on small exact cases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, replayed, show
from ntteach.paper.evidence.gram import determinant
from ntteach.paper.evidence.reduction_numbers import NOTHING, at_most
from ntteach.paper.evidence.space_numbers import (
    Given,
    lists_of,
    numbers,
    vectors,
)


def signature_gram(sequences: Sequence[Any], depth: int, arithmetic: Arithmetic) -> Array:
    """The truncated signature kernel of Király and Oberhauser, `1 + sum_m <sig_m, sig_m>`.

    Level m of a signature sums the tensor products of m increments in order; levels are added from
    the last increment to the first, `sig_m <- sig_m + dx (x) sig_{m-1}`.
    """
    features = []
    for rows in sequences:
        S = numbers(rows, arithmetic)
        levels = [numbers([1], arithmetic)]
        levels += [0 * numbers([1] * S.shape[1] ** m, arithmetic) for m in range(1, depth + 1)]
        for step in (S[1:] - S[:-1])[::-1]:
            for m in range(depth, 0, -1):
                levels[m] = levels[m] + np.multiply.outer(step, levels[m - 1]).reshape(-1)
        features.append(np.concatenate(levels))
    J = np.stack(features)
    return J @ J.T


def _increments(sequences: Sequence[Any], arithmetic: Arithmetic) -> list[str]:
    return [show(np.diff(numbers(rows, arithmetic), axis=0)) for rows in sequences]


def signature_is_definite(given: Given, arithmetic: Arithmetic) -> Finding:
    """The signature kernel's Gram matrix of different sequences is regular.

    The hypotheses keep off sequences without increments and tokens that stay in place.
    """
    rows = given["sequences"]
    K = signature_gram(rows, given["depth"], arithmetic)
    differ = len({str(x) for x in rows}) == len(rows)
    moving = all(one != other for x in rows for one, other in pairwise(x))
    lengths = [len(x) for x in rows]
    return Finding(
        (
            Hypothesis("the sequences differ", str(rows), differ),
            Hypothesis("two tokens or more in each", str(lengths), min(lengths) >= 2),
            Hypothesis(
                "no token stays in its place", "none does" if moving else "one does", moving
            ),
            Hypothesis("depth of one or more", str(given["depth"]), given["depth"] >= 1),
        ),
        "the Gram matrix is regular",
        f"from increments {', '.join(_increments(rows, arithmetic))} it is {show(K)}, of "
        f"determinant {show(_determinant(K))}",
        not _is_zero(_determinant(K)),
    )


def signature_is_semidefinite(
    given: Given, arithmetic: Arithmetic, *, less: bool = False
) -> Finding:
    """`x^T K x >= 0` for the weights `direction`; with a tenth of the trace taken off, false."""
    K = signature_gram(given["sequences"], given["depth"], arithmetic)
    x = numbers(given["direction"][: len(K)], arithmetic)
    form = x @ K @ x - (x @ x * K.trace() * arithmetic.number("1/10") if less else 0)
    return Finding((), "x^T K x is not negative", f"it is {show(form)}", at_most(0 * form, form))


def gaussian_is_definite(
    given: Given, arithmetic: Arithmetic, *, of_means: bool = False
) -> Finding:
    """The Gaussian kernel's Gram matrix of different sequences is regular.

    `K = 2^(-|s - t|^2)` of the sequences in one row, which is a width of `1/sqrt(2 log 2)`. Of the
    means of tokens instead, this is false.
    """
    flat = [[x for token in rows for x in token] for rows in given["sequences"]]
    if of_means:
        flat = [[sum(x[0] for x in rows)] for rows in given["sequences"]]
    half = arithmetic.number("1/2")
    K = np.array(
        [[half ** sum((x - y) ** 2 for x, y in zip(s, t, strict=True)) for t in flat] for s in flat]
    )
    rows = given["sequences"]
    differ = len({str(x) for x in rows}) == len(rows)
    return Finding(
        (Hypothesis("the sequences differ", str(rows), differ),),
        "the Gram matrix is regular",
        f"its determinant is {show(_determinant(K))}",
        not _is_zero(_determinant(K)),
    )


def _determinant(K: Array) -> Any:
    return float(np.linalg.det(K)) if K.dtype == float else determinant(K)


def _is_zero(x: Any) -> bool:
    return abs(x) < NOTHING if isinstance(x, float) else x == 0


replay_signature_is_definite = partial(replayed, signature_is_definite)

LAWS: dict[str, Law] = {
    "signature kernel is definite": signature_is_definite,
    "signature kernel is semi-definite": signature_is_semidefinite,
    "signature kernel less a tenth is semi-definite": partial(signature_is_semidefinite, less=True),
    "Gaussian kernel is definite": gaussian_is_definite,
    "Gaussian kernel of means is definite": partial(gaussian_is_definite, of_means=True),
}


def _sequences(count: int, L: int, d: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "sequences": lists_of(count, lists_of(L, vectors(d))),
            "depth": st.integers(1, 2),
            "direction": vectors(count),
        }
    )


DOMAINS: dict[str, tuple[list[st.SearchStrategy[dict[str, Any]]], str]] = {
    "short sequences": (
        [_sequences(count, L, d) for count, L, d in ((2, 2, 1), (3, 2, 1), (2, 3, 1), (3, 2, 2))],
        "float64, 2 or 3 sequences of 2 or 3 tokens, 1 or 2 features, entries -2 to 2, depth 1, 2",
    ),
}
