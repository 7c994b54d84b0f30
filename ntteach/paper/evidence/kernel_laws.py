"""What is said of the tangent kernel as a matrix, as laws that are true or false on a given case.

The kernel here is the Gram matrix of gradients: exact derivatives of Eq. 2 in exact arithmetic,
autograd in floats. `ntteach.tangent` has no part in it. Cases are read as in `arithmetic.py`;
`others` holds further sequences beside S.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy
from sympy.polys.matrices import DomainMatrix

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Problem,
    causal,
    jacobian,
    read,
    regular,
    show,
    spoiled,
)

Given = Mapping[str, Any]
# Floats: entries are small whole numbers, so eigenvalues are of order one; a null direction shows
# as one below 1e-13, and small cases have none between that and 1e-6.
_NOTHING = 1e-9
_LOG2 = sympy.Symbol("log2", positive=True)


def matrix(rows: Sequence[Sequence[Any]], arithmetic: Arithmetic, like: Array) -> Array:
    """Nested lists of data as numbers of one arithmetic."""
    return np.array([[arithmetic.number(str(x)) for x in row] for row in rows], dtype=like.dtype)


def sequences(given: Given, arithmetic: Arithmetic) -> list[Problem]:
    """S and the others, seen by one learner, each under its own mask."""
    p = read(given, arithmetic)
    others = []
    for rows in given.get("others", ()):
        mask = None if p.mask is None else causal(len(rows))
        others.append(replace(p, S=matrix(rows, arithmetic, p.S), mask=mask))
    return [p, *others]


def features(problems: Sequence[Problem], spoil: str | None = None) -> Array:
    """The gradients of all outputs, one below the other, `(outputs, parameters)`."""
    rows = []
    for p in problems:
        blocks = spoiled(p, jacobian(p), spoil)
        outputs = p.length * p.W_V.shape[1]
        rows.append(np.concatenate([blocks[name].reshape(outputs, -1) for name in BLOCKS], 1))
    return np.concatenate(rows)


def kernel(problems: Sequence[Problem]) -> Array:
    """The Gram matrix of the gradients of all outputs, `(outputs, outputs)`."""
    J = features(problems)
    return J @ J.T


def rank(J: Array) -> int:
    """The rank of a matrix of floats, or of polynomials in log 2 and roots of whole numbers.

    log 2 is transcendental: a polynomial in it is zero only if all its coefficients are.
    """
    if J.dtype == float:
        return int(np.linalg.matrix_rank(J, rtol=_NOTHING))
    return _exact(J).rank()


def determinant(K: Array) -> Any:
    """The determinant of a matrix of exact numbers."""
    M = _exact(K)
    found = sympy.factor(M.domain.to_sympy(M.det()))
    return found.xreplace({_LOG2: sympy.log(2)})


def _exact(J: Array) -> DomainMatrix:
    # with a symbol for log 2 there is a field in which zero is told exactly
    entries = [[sympy.expand(x).xreplace({sympy.log(2): _LOG2}) for x in row] for row in J]
    return DomainMatrix.from_Matrix(sympy.Matrix(entries), extension=True).to_field()


def _is_singular(K: Array) -> bool:
    if K.dtype == float:
        eigenvalues = np.linalg.eigvalsh(K)
        return bool(eigenvalues[0] <= _NOTHING * max(eigenvalues[-1], 1.0))
    return determinant(K) == 0


def _seen(K: Array) -> str:
    if K.dtype == float:
        return f"its smallest eigenvalue is {show(np.linalg.eigvalsh(K)[0])}"
    return f"its determinant is {determinant(K)}"


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
        f"{_seen(K)}, its trace {show(K.trace())}",
        not _is_singular(K),
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
        bool(form >= (-_NOTHING if K.dtype == float else 0)),
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
        f"for the kernel of {show(S)}, {_seen(K)}",
        _is_singular(K),
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
        f"for the kernel of the two, {_seen(K)}",
        _is_singular(K),
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
        _seen(K),
        _is_singular(K),
    )


def is_order(order: Sequence[int], p: Problem) -> Hypothesis:
    """That a list is a reordering of the tokens."""
    met = sorted(order) == list(range(p.length))
    return Hypothesis("a reordering of the tokens", str(list(order)), met)
