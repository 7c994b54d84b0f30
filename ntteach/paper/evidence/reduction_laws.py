"""Proposition 4 and the sentence after it as laws on a given case; `replay_*` decide them exactly.

Cases are those of `reduction_cases.py`; or `sequences`, seen by a learner with the weights `W_Q`,
`W_K` and `W_V` (v = 1), whose tangent kernel K then is, with labels such that `g` are residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.strategies import SearchStrategy

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
from ntteach.paper.evidence.gram import kernel
from ntteach.paper.evidence.reduction_cases import (
    Case,
    bounded,
    proposition,
    read_case,
    semidefinite,
    slow,
    smooth,
    symmetric,
)
from ntteach.paper.evidence.reduction_draws import telling_cases
from ntteach.paper.evidence.reduction_numbers import (
    at_most,
    compared,
    log2_known,
    spelled,
    sum_of,
    tidy,
    vector,
)

Given = Mapping[str, Any]
# By how much losses are divided, and by how much the flow is: df/dt = -(eta / flow) K g.
AVERAGED, LOSS_SUMMED, BOTH_SUMMED = "averaged", "loss summed", "loss and flow summed"


def learner_case(given: Given, arithmetic: Arithmetic) -> tuple[Case, tuple[Hypothesis, ...]]:
    """The case, with K computed where sequences are given; and what is supposed of the learner."""
    if "sequences" not in given:
        return read_case(given, arithmetic), ()
    problems = [read({**given, "S": S}, arithmetic) for S in given["sequences"]]
    K = kernel(problems)
    K = np.array([[tidy(x) for x in row] for row in K], dtype=K.dtype)
    learner = _learner(given, problems, arithmetic)
    return read_case(given, arithmetic, K), learner


def _learner(
    given: Given, problems: list[Problem], arithmetic: Arithmetic
) -> tuple[Hypothesis, ...]:
    f = _outputs(given, arithmetic)
    g = vector(given["g"], arithmetic)
    if len(f) != len(g):
        raise ValueError(f"one residual for each of {len(f)} outputs is needed, got {len(g)}")
    labels = f"outputs {show(f)}, labels {show(f - g)}, residuals {show(g)}"
    alone = {show(p.S[j]) for p in problems for j in range(p.length)}
    tokens = sum(p.length for p in problems)
    return (
        *regular(problems[0]),
        Hypothesis("all tokens are different", ", ".join(sorted(alone)), len(alone) == tokens),
        Hypothesis("g are residuals", labels, True),
    )


def rate(case: Case, normalisation: str = AVERAGED) -> tuple[Array, Any]:
    """The velocity of the outputs, `(n,)`, and of the loss by the chain rule."""
    flow = 1 if normalisation == BOTH_SUMMED else case.normaliser
    loss = case.normaliser if normalisation == AVERAGED else 1
    velocity = np.array([tidy(-x * case.eta / flow) for x in case.K @ case.g])
    return velocity, tidy(case.g @ velocity / loss)


def bound(case: Case) -> Any:
    """The right side of Eq. 19, -(eta gamma / 2) (mean g)^2."""
    mean = sum_of(case.g) / case.normaliser
    return tidy(-case.eta * case.gamma * mean**2 / 2)


def falls_by_the_mean(
    given: Given, arithmetic: Arithmetic, *, normalisations: tuple[str, ...] = (AVERAGED,)
) -> Finding:
    """Eq. 19: dL/dt <= -(eta gamma / 2) (mean g)^2, in one of the normalisations at least."""
    case, learner = learner_case(given, arithmetic)
    right = bound(case)
    lines, holds = [], False
    for name in normalisations:
        velocity, left = rate(case, name)
        holds = holds or at_most(left, right)
        flow = "" if name == BOTH_SUMMED else f" / {case.normaliser}"
        over = f" / {case.normaliser}" if name == AVERAGED else ""
        lines.append(
            f"{name}, df/dt = -(eta{flow}) K g = {show(velocity)}, dL/dt = <g, df/dt>{over}: "
            f"{compared(left, right)}"
        )
    mean = f"({show(sum_of(case.g))}/{case.normaliser})"
    constants = f"-({show(case.eta)}) * ({show(case.gamma)}) / 2"
    return Finding(
        (*learner, *proposition(case)),
        f"dL/dt <= -(eta gamma / 2) (mean g)^2 = {constants} * {mean}^2 = {show(right)}",
        f"g = {show(case.g)}, g^T K g = {spelled(case.g, case.K)}; {'; '.join(lines)}"
        f"{log2_known(right)}",
        holds,
    )


def bound_is_negative(given: Given, arithmetic: Arithmetic) -> Finding:
    """Where Eq. 19 is true, its right side is below zero as long as the loss is not least."""
    case, learner = learner_case(given, arithmetic)
    right = bound(case)
    return Finding(
        (*learner, *proposition(case), _true_of_every_g(case), _not_least(case)),
        "-(eta gamma / 2) (mean g)^2 < 0",
        f"the residuals {show(case.g)} add up to {show(sum_of(case.g))}, and the right side is "
        f"-({show(case.eta)}) * ({show(case.gamma)}) / 2 * 0^2 = 0"
        if at_most(0, right)
        else f"it is {show(right)}",
        not at_most(0, right),
    )


def learner_goes_on(given: Given, arithmetic: Arithmetic) -> Finding:
    """A learner's loss falls as long as other parameters, `given["better"]`, have a smaller one.

    The kernel is supposed semi-definite only, as tangent kernels are; what is said here is true of
    the learner with its moving kernel, since parameters at rest stay there.
    """
    case, learner = learner_case(given, arithmetic)
    velocity, left = rate(case)
    here = sum_of(case.losses(case.residuals)) / case.n
    f = _outputs(given, arithmetic)
    moved = _outputs({**given, **given["better"]}, arithmetic) - (f - case.residuals)
    there = sum_of(case.losses(moved)) / case.n
    better = ", ".join(f"{name} = {x}" for name, x in given["better"].items())
    return Finding(
        (
            *learner,
            smooth(case),
            symmetric(case.K),
            semidefinite(case.K),
            bounded(case),
            slow(case),
            Hypothesis(
                "other parameters have a smaller loss",
                f"{show(there)} with {better}, {show(here)} here",
                not at_most(here, there),
            ),
        ),
        "dL/dt < 0",
        f"for g = {show(case.g)}, K g = {show(np.array([tidy(x) for x in case.K @ case.g]))}: "
        f"df/dt = {show(velocity)}, dL/dt = {show(left)}"
        + (", and neither outputs nor parameters ever move" if at_most(0, left) else ""),
        not at_most(0, left),
    )


def _outputs(given: Given, arithmetic: Arithmetic) -> Array:
    problems = [read({**given, "S": S}, arithmetic) for S in given["sequences"]]
    return np.concatenate([output(p)[:, 0] for p in problems])


def _not_least(case: Case) -> Hypothesis:
    some = any(x != 0 for x in case.g)
    return Hypothesis("the loss is not least", f"its gradient is {show(case.g)}", some)


def _true_of_every_g(case: Case) -> Hypothesis:
    """g^T K g >= (gamma / 2) (sum g)^2 for every g: K - (gamma / 2) 1 1^T is semi-definite."""
    rest = case.K - case.gamma / 2
    found = semidefinite(rest)
    met = found.met or not any(rest.flat)
    value = f"K less gamma / 2 everywhere is {show(rest)}, {found.value}"
    return Hypothesis("Eq. 19 holds for every g", value, met)


_SUMS = (LOSS_SUMMED, BOTH_SUMMED)
falls_by_the_mean_summed = partial(falls_by_the_mean, normalisations=_SUMS)
falls_by_the_mean_attention = partial(falls_by_the_mean, normalisations=(AVERAGED, *_SUMS))

LAWS: dict[str, Law] = {
    "loss falls by the mean": falls_by_the_mean,
    "loss falls by the mean, summed": falls_by_the_mean_summed,
    "loss falls by the mean, any normalisation": falls_by_the_mean_attention,
    "bound is negative": bound_is_negative,
    "learner goes on": learner_goes_on,
}


@st.composite
def _attention(draw: st.DrawFn, L: int) -> dict[str, Any]:
    """One sequence of scalar tokens; W_Q up to 3, for attention that is sharp."""
    tokens = draw(st.sampled_from([*combinations((0, 1, 2, -1), L)]))  # no order: it says nothing
    signs = draw(st.lists(st.sampled_from([1, -1]), min_size=L, max_size=L))
    return {
        "sequences": [[[x] for x in tokens]],
        "W_Q": [[draw(st.integers(1, 3))]],
        "W_K": [[1]],
        "W_V": [[1]],
        "g": [sign * draw(st.sampled_from([1, 2, 3])) for sign in signs],
    }


@st.composite
def _at_rest(draw: st.DrawFn) -> dict[str, Any]:
    """Three tokens in one sequence, residuals that no parameter moves, and other parameters.

    With s the tokens and a_j the attention of row j, the gradients of the outputs span the vectors
    of means a_j s and of s_j times the variances of s under a_j.
    """
    s = draw(st.sampled_from([*combinations((0, 1, 2, -1), 3)]))
    rows = [[Fraction(2) ** (x * y) for y in s] for x in s]
    mean = [sum(e * y for e, y in zip(row, s, strict=True)) / sum(row) for row in rows]
    square = [sum(e * y * y for e, y in zip(row, s, strict=True)) / sum(row) for row in rows]
    spread = [x * (q - m * m) for x, q, m in zip(s, square, mean, strict=True)]
    g = [
        mean[1] * spread[2] - mean[2] * spread[1],
        mean[2] * spread[0] - mean[0] * spread[2],
        mean[0] * spread[1] - mean[1] * spread[0],
    ]
    return {
        "sequences": [[[x] for x in s]],
        "W_Q": [[1]],
        "W_K": [[1]],
        "W_V": [[1]],
        "g": [str(x) for x in g],
        "better": {
            "W_Q": [[draw(st.integers(1, 3))]],
            "W_V": [[draw(st.sampled_from(["11/10", "9/10", 2]))]],
        },
    }


@st.composite
def _tied(draw: st.DrawFn) -> dict[str, Any]:
    """Two outputs with equal diagonal entries, where Eq. 19 is true of every g."""
    diagonal = draw(st.sampled_from([1, 2, 3]))
    off = draw(st.integers(0, diagonal))
    residuals = st.sampled_from([1, -1, 2, -2, 0])
    return {"K": [[diagonal, off], [off, diagonal]], "g": [draw(residuals), draw(residuals)]}


DOMAINS: dict[str, tuple[list[SearchStrategy[dict[str, Any]]], str]] = {
    "grams": (
        [telling_cases(2), telling_cases(3)],
        "2 or 3 outputs, K = J J^T with a triangle J, entries to 3, g from -3 to 3, "
        "or such that cancel, or along K^-1 1",
    ),
    "grams, some tied": (
        [telling_cases(2), _tied()],
        "2 outputs, K = J J^T with a triangle J, entries to 3, or K with 1 to 3 on the diagonal "
        "and no more off it, g from -3 to 3, or such that cancel, or along K^-1 1",
    ),
    "tied outputs": (
        [_tied()],
        "2 outputs, K with 1 to 3 on the diagonal and no more off it, g from -2 to 2",
    ),
    "attention residuals": (
        [_attention(2)],
        "one sequence of two different tokens from -1 to 2, d = d_k = v = 1, W_Q from 1 to 3, "
        "W_K = W_V = 1, residuals 1 to 3 of either sign",
    ),
    "residuals at rest": (
        [_at_rest()],
        "one sequence of three different tokens from -1 to 2, d = d_k = v = 1, weights 1, "
        "residuals that no parameter moves",
    ),
}

replay_falls_by_the_mean = partial(replayed, falls_by_the_mean)
replay_falls_by_the_mean_summed = partial(replayed, falls_by_the_mean_summed)
replay_falls_by_the_mean_attention = partial(replayed, falls_by_the_mean_attention)
replay_bound_is_negative = partial(replayed, bound_is_negative)
replay_learner_goes_on = partial(replayed, learner_goes_on)
