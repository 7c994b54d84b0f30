"""Whether a network moves along its functional gradient (Eq. 16), as a law on one exact case."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import sympy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    Arithmetic,
    Array,
    Finding,
    Law,
    Problem,
    output,
    read,
    regular,
    replayed,
    show,
)
from ntteach.paper.evidence.gram import kernel, matrix
from ntteach.paper.evidence.kernel_symmetry_laws import changed_basis
from ntteach.paper.evidence.space_numbers import Given


def velocity(p: Problem, residual: Array) -> Array:
    """Eq. 15 with eta = 1: `-(1/L) K_theta(S, S) dL/df`, `(L v,)`."""
    return -kernel([p]) @ residual.reshape(-1) / p.length


def velocity_is_of_the_function(
    given: Given, arithmetic: Arithmetic, *, orthogonal: bool = False
) -> Finding:
    """Two learners that are one function move with one velocity, as Eq. 16 says of a fixed kernel.

    The second has W_Q X and W_K X^-T for W_Q and W_K, X the `basis`. Gradient descent on the
    squared loss of the sequence, with targets 0. With X X^T = 1 as a hypothesis this is true.
    """
    p = read(given, arithmetic)
    X = matrix(given["basis"], arithmetic, p.S)
    invertible = _determinant(given["basis"]) != 0
    q = changed_basis(p, X) if invertible else p
    one, other = output(p), output(q)
    found, again = velocity(p, one), velocity(q, other)
    hypotheses = [
        *regular(p),
        Hypothesis("X is invertible", show(X), invertible),
        Hypothesis(
            "both are one function",
            f"{show(one)} and {show(other)} on the sequence",
            arithmetic.same(one, other),
        ),
    ]
    if orthogonal:
        unit = arithmetic.same(X @ X.T, np.eye(len(X), dtype=int) + 0 * X)
        hypotheses.append(Hypothesis("X X^T = 1", show(X @ X.T), unit))
    return Finding(
        tuple(hypotheses),
        "for half the squared error with targets 0 and eta = 1, both move with "
        f"df/dt = -(1/{p.length}) K f = {show(found)}, K that of the first",
        f"the second moves with {show(again)}: K is {show(kernel([p]))} for the first, "
        f"{show(kernel([q]))} for the second",
        arithmetic.same(found, again),
    )


def _determinant(rows: list[list[Any]]) -> Any:
    return sympy.Matrix([[sympy.Rational(str(x)) for x in row] for row in rows]).det()


replay_velocity_is_of_the_function = partial(replayed, velocity_is_of_the_function)

LAWS: dict[str, Law] = {
    "velocity is of the function": velocity_is_of_the_function,
    "velocity is of the function, orthogonal": partial(
        velocity_is_of_the_function, orthogonal=True
    ),
}
