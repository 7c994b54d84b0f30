"""What reordering and a change of basis do to learner and kernel, as laws on a given case.

The kernel is the Gram matrix of gradients, see `gram.py`. `basis` is a square matrix X of
whole numbers or fractions: W_Q becomes W_Q X, and W_K becomes W_K X^-T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    spoiled,
)
from ntteach.paper.evidence.gram import features, matrix
from ntteach.paper.evidence.kernel_laws import is_order

Given = Mapping[str, Any]


def changed_basis(p: Problem, X: Array, *, inverse: bool = True) -> Problem:
    """The learner with W_Q X and W_K X^-T; without the inverse, which is another, W_K X."""
    if not inverse:
        return replace(p, W_Q=p.W_Q @ X, W_K=p.W_K @ X)
    if X.dtype == float:
        back = np.linalg.inv(X)
    else:
        back = np.array(sympy.Matrix(X.tolist()).inv().tolist(), dtype=object)
    return replace(p, W_Q=p.W_Q @ X, W_K=p.W_K @ back.T)


def _basis(given: Given, p: Problem) -> tuple[Array, tuple[Hypothesis, ...], bool]:
    X = matrix(given["basis"], p.arithmetic, p.S)
    exact = sympy.Matrix([[sympy.Rational(str(x)) for x in row] for row in given["basis"]])
    orthogonal = exact * exact.T == sympy.eye(exact.rows)
    return X, (Hypothesis("X is invertible", show(X), exact.det() != 0),), orthogonal


def basis_leaves_the_output(
    given: Given, arithmetic: Arithmetic, *, inverse: bool = True, spoil: str | None = None
) -> Finding:
    """A change of basis of queries and keys leaves the output.

    With `inverse` False, keys are claimed to take X as queries do, which is false.
    """
    p = read(given, arithmetic)
    X, hypotheses, _ = _basis(given, p)
    one = output(p)
    # where a hypothesis is not met there is nothing to compare
    usable = all(h.met for h in hypotheses)
    other = output(changed_basis(p, X, inverse=inverse)) if usable else one
    other = spoiled(p, {"output": other}, spoil)["output"]
    return Finding(
        (*regular(p), *hypotheses),
        f"the output stays {show(one)}",
        f"it is {show(other)}",
        arithmetic.same(one, other),
    )


def basis_leaves_the_kernel(
    given: Given, arithmetic: Arithmetic, *, orthogonal: bool = False, spoil: str | None = None
) -> Finding:
    """A change of basis of queries and keys, which no output sees, leaves the kernel.

    With `orthogonal`, X X^T = 1 is a hypothesis.
    """
    p = read(given, arithmetic)
    X, hypotheses, is_orthogonal = _basis(given, p)
    if orthogonal:
        hypotheses += (Hypothesis("X is orthogonal", show(X), is_orthogonal),)
    usable = all(h.met for h in hypotheses)
    q = changed_basis(p, X) if usable else p
    before, after = features([p]), features([q], spoil)
    before, after = before @ before.T, after @ after.T
    return Finding(
        (
            *regular(p),
            *hypotheses,
            Hypothesis("the outputs are the same", show(output(q)), _same_output(p, q)),
        ),
        f"the kernel stays {show(before)}",
        f"it is {show(after)}",
        arithmetic.same(before, after),
    )


def _same_output(p: Problem, q: Problem) -> bool:
    return p.arithmetic.same(output(p), output(q))


def kernel_follows(
    given: Given,
    arithmetic: Arithmetic,
    *,
    move_mask: bool = False,
    stay: bool = False,
    spoil: str | None = None,
) -> Finding:
    """`K(PS, P'S') = P K(S, S') P'^T` for the reorderings `order` of S, `other_order` of S'.

    With `stay` the rows and columns are claimed to stay where they were, which is false.
    """
    p = read(given, arithmetic)
    q = replace(p, S=matrix(given["second"], arithmetic, p.S))
    orders = [list(given["order"]), list(given["other_order"])]
    v = p.W_V.shape[1]

    def between(one: Problem, other: Problem, spoil: str | None = None) -> Array:
        K = features([one], spoil) @ features([other]).T
        return K.reshape(one.length, v, other.length, v)

    moved = [x.reordered(o, move_mask=move_mask) for x, o in zip((p, q), orders, strict=True)]
    found = between(moved[0], moved[1], spoil)
    expected = between(p, q)
    if not stay:
        expected = expected[orders[0]][:, :, orders[1]]
    hypotheses = (is_order(orders[0], p), is_order(orders[1], q))
    return Finding(
        (
            *regular(p),
            *(
                replace(h, name=f"{h.name} of {name}")
                for h, name in zip(hypotheses, ("S", "S'"), strict=True)
            ),
        ),
        f"the kernel becomes {show(expected[:, 0, :, 0])} between the first columns",
        f"it becomes {show(found[:, 0, :, 0])}",
        arithmetic.same(found, expected),
    )


LAWS: dict[str, Law] = {
    "basis leaves the output": basis_leaves_the_output,
    "one basis for queries and keys": partial(basis_leaves_the_output, inverse=False),
    "basis leaves the kernel": basis_leaves_the_kernel,
    "orthogonal basis leaves the kernel": partial(basis_leaves_the_kernel, orthogonal=True),
    "kernel follows": kernel_follows,
    "kernel follows, mask moved along": partial(kernel_follows, move_mask=True),
    "kernel stays": partial(kernel_follows, stay=True),
}

replay_basis_leaves_the_kernel = partial(replayed, basis_leaves_the_kernel)
replay_kernel_follows = partial(replayed, kernel_follows)
