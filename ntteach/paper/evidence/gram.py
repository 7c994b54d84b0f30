"""The Gram matrix of gradients, its rank and determinant: exactly, or in floats.

Gradients are exact derivatives of Eq. 2 in exact arithmetic, and autograd in floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy
from sympy.polys.matrices import DomainMatrix

from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Problem,
    jacobian,
    show,
    spoiled,
)

# Floats: entries are small whole numbers, so eigenvalues are of order one, and a null direction
# shows as one below 1e-13. What is all but singular is told from what is by the exact replay.
NOTHING = 1e-9
_LOG2 = sympy.Symbol("log2", positive=True)


def matrix(rows: Sequence[Sequence[Any]], arithmetic: Arithmetic, like: Array) -> Array:
    """Nested lists of data as numbers of one arithmetic."""
    return np.array([[arithmetic.number(str(x)) for x in row] for row in rows], dtype=like.dtype)


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
        return int(np.linalg.matrix_rank(J, rtol=NOTHING))
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


def is_singular(K: Array) -> bool:
    """Whether a Gram matrix has determinant zero."""
    if K.dtype == float:
        eigenvalues = np.linalg.eigvalsh(K)
        return bool(eigenvalues[0] <= NOTHING * max(eigenvalues[-1], 1.0))
    return determinant(K) == 0


def seen(K: Array) -> str:
    """What tells whether a Gram matrix is singular, in words."""
    if K.dtype == float:
        return f"its smallest eigenvalue is {show(np.linalg.eigvalsh(K)[0])}"
    return f"its determinant is {determinant(K)}"
