"""Sentences of Section 4.2 and Appendix A.4 as laws on one exact case; `replay_*` decide them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import sympy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Problem,
    average_gradient,
    jacobian,
    output,
    read,
    regular,
    replayed,
    show,
)

Given = Mapping[str, Any]
_T = sympy.Symbol("t")


def remainder_is_nonzero(given: Given, arithmetic: Arithmetic) -> Finding:
    """With a softmax in it, the output moves by more than its first-order term.

    The parameters follow gradient descent (Eq. 7, eta = 1) on half the squared distance from
    `given["targets"]`. `given["step"]` is the length of the step; at 0 it is the derivative in time
    that is compared, as in Eqs. 14 and 15.
    """
    p = read(given, arithmetic)
    targets = np.array([[arithmetic.number(str(y)) for y in row] for row in given["targets"]])
    slope = average_gradient(p, output(p) - targets)
    direction = {name: -slope[name] for name in BLOCKS}
    parts = [np.einsum("jcxy,xy->jc", J, direction[name]) for name, J in jacobian(p).items()]
    first_order = np.stack(parts).sum(0)
    h = arithmetic.number(str(given["step"]))
    left = _beyond(p, output, direction, h, first_order)
    return Finding(
        (
            *regular(p),
            Hypothesis("a softmax over two elements or more", f"L = {p.length}", p.length >= 2),
            _moving(direction),
        ),
        "the remainder is not zero",
        f"the remainder is {show(left)} where the first-order term is {show(first_order)}",
        not arithmetic.same(left, 0 * left),
    )


def no_remainder_without_activation(given: Given, arithmetic: Arithmetic) -> Finding:
    """Without an activation function a step leaves no remainder.

    The softmax of Eq. 2 is left out, f = d^-1/2 Q K^T V. The parameters take the step
    `given["step"]` along `given["D_Q"]`, `given["D_K"]`, `given["D_V"]`, in units as the weights.
    """
    p = read(given, arithmetic)
    ahead = read({**given, **{f"W_{x}": given[f"D_{x}"] for x in "QKV"}}, arithmetic)
    direction = {name: getattr(ahead, name) for name in BLOCKS}
    h = arithmetic.number(str(given["step"]))
    first_order = _speed(p, _without_softmax, direction)
    left = _beyond(p, _without_softmax, direction, h, first_order)
    return Finding(
        (
            *regular(p),
            Hypothesis("no activation function", "the softmax is left out", True),
            Hypothesis("the step is not zero", str(h), h != 0),
            _moving(direction),
        ),
        "the remainder is zero",
        f"the remainder is {show(left)}",
        arithmetic.same(left, 0 * left),
    )


def gradient_is_input_free(given: Given, arithmetic: Arithmetic) -> Finding:
    """The gradient by the parameters is the same for two sequences of one length."""
    p = read(given, arithmetic)
    q = read({**given, "S": given["other"]}, arithmetic)
    one, other = jacobian(p), jacobian(q)
    differing = [x for x in BLOCKS if not arithmetic.same(one[x], other[x])]
    found = "no block differs"
    if differing:
        name = differing[-1]
        found = f"the {name} block is {show(one[name])} for one, {show(other[name])} for the other"
    lengths = f"{p.length} and {q.length}"
    return Finding(
        (*regular(p), Hypothesis("sequences of one length", lengths, p.length == q.length)),
        "the gradient does not depend on the sequence",
        found,
        not differing,
    )


def _shifted(p: Problem, direction: Mapping[str, Array], t: Any) -> Problem:
    return replace(p, **{name: getattr(p, name) + t * direction[name] for name in BLOCKS})


def _speed(p: Problem, f: Any, direction: Mapping[str, Array]) -> Array:
    """d f(theta + t D) / d t at t = 0, differentiated by t."""
    moved = f(_shifted(p, direction, _T))
    return np.array([[sympy.diff(x, _T).subs(_T, 0) for x in row] for row in moved])


def _beyond(
    p: Problem, f: Any, direction: Mapping[str, Array], h: Any, first_order: Array
) -> Array:
    """What is left of a step of length h beyond its first-order term; of the speed for h = 0."""
    if h == 0:
        left = _speed(p, f, direction) - first_order
    else:
        left = f(_shifted(p, direction, h)) - f(p) - h * first_order
    return np.array([[sympy.simplify(sympy.expand(x)) for x in row] for row in left])


def _without_softmax(p: Problem) -> Array:
    Q, K, V = p.S @ p.W_Q, p.S @ p.W_K, p.S @ p.W_V
    return Q @ K.T @ V / p.arithmetic.sqrt(Q.shape[1])


def _moving(direction: Mapping[str, Array]) -> Hypothesis:
    moving = [name for name in BLOCKS if any(x != 0 for x in direction[name].flat)]
    return Hypothesis("parameters move", ", ".join(moving) or "none does", bool(moving))


replay_remainder_is_nonzero = partial(replayed, remainder_is_nonzero)
replay_no_remainder_without_activation = partial(replayed, no_remainder_without_activation)
replay_gradient_is_input_free = partial(replayed, gradient_is_input_free)
