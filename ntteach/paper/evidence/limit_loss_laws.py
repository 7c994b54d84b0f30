"""What the proof of Theorem 3 takes from a convex loss, as laws about one run or one segment.

Cases of runs are as in `limit_laws.py`. For a loss that falls for ever the training set is one
sequence, all of whose outputs are equal: W_V then moves along the sum of their gradients.
"""

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
    output,
    read,
    regular,
    replayed,
    show,
)
from ntteach.paper.evidence.limit_flows import (
    WEIGHTS,
    Flow,
    flow,
    is_nothing,
    outputs,
    runs_on_a_line,
    sequences,
    tidy,
    vector,
)

Given = Mapping[str, Any]


# --- the kernel along a run ----------------------------------------------------------------------


def kernel_settles(given: Given, arithmetic: Arithmetic, *, values: bool = False) -> Finding:
    """Along gradient flow on the logistic loss, labels 1, K(S_i, S_i) has a limit.

    The outputs f of the one sequence are equal, so that `d theta/dt = (eta / n) h(f) sum_j
    df_j/d theta` with `h(f) = 1 / (1 + exp(f)) > 0`. If the sum is zero for W_Q and W_K on the line
    `W_V + s D`, D the sum for W_V, this is the run, and s grows for ever: where it stayed bounded,
    ds/dt would not. The kernel is a polynomial of degree two in s. With `values` only what W_V adds
    to it is looked at.
    """
    problems = sequences(given, arithmetic)
    n = sum(p.length for p in problems)
    ones = vector([[1] * n], arithmetic, problems[0].S)
    run = flow(problems, ones)  # D is the sum of the gradients by W_V
    places = [arithmetic.number(str(s)) for s in (0, 1, 2)]
    f = [outputs(run.at(s)) for s in places]
    pulls = [tidy(ones @ run.jacobian(s, ("W_Q", "W_K"))) for s in places]
    names = ("W_V",) if values else BLOCKS
    J = [run.jacobian(s, names) for s in places]
    K = [tidy(x @ x.T) for x in J]
    bend = tidy((K[2] - 2 * K[1] + K[0]) / arithmetic.number("2"))
    slope = tidy(K[1] - K[0] - bend)
    curved = np.argwhere([[not is_nothing(x) for x in row] for row in bend[..., None]])
    j, k = tuple(curved[0]) if len(curved) else (0, 0)
    growth = tidy(f[1] - f[0])
    start = show(problems[0].W_V.flatten())
    moved = tidy(J[1] - J[0])
    gradients = [f"{show(J[0][x])} + s {show(moved[x])}" for x in range(n)]
    return Finding(
        (
            *regular(problems[0]),
            Hypothesis("one sequence", str(len(problems)), len(problems) == 1),
            Hypothesis(
                "a convex loss: log(1 + exp(-f)) of each output",
                "its derivative is -h(f) = -1 / (1 + exp(f))",
                True,
            ),
            Hypothesis(
                "the outputs are equal and grow, so that h(f) vanishes",
                f"f = {show(f[0])} + s {show(growth)}",
                is_nothing(f[0] - f[0][0])
                and is_nothing(growth - growth[0])
                and bool(growth[0] > 0),
            ),
            Hypothesis(
                "gradient flow moves W_V alone",
                f"W_V = {start} + s {show(run.direction.flatten())}, ds/dt = (eta/{n}) h(f); the "
                f"sums of df/dW_Q and df/dW_K at s = 0, 1, 2 are {', '.join(map(show, pulls))}",
                all(map(is_nothing, pulls)),
            ),
        ),
        "K_theta^t(S_1, S_1) tends to a limit",
        f"entry {j + 1}, {k + 1} is {show(K[0][j, k])} + ({show(slope[j, k])}) s + "
        f"({show(bend[j, k])}) s^2, and s grows without bound (gradients by {', '.join(names)}: "
        f"{' and '.join(gradients[x] for x in {j: 0, k: 0})})",
        is_nothing(bend) and is_nothing(slope),
    )


# --- the derivative of the loss ------------------------------------------------------------------


def loss_derivative_vanishes(
    given: Given, arithmetic: Arithmetic, *, realisable: bool = False, through_values: bool = False
) -> Finding:
    """Along gradient flow on a convex loss, dL/df tends to zero on the training set.

    With `realisable` the targets are outputs of such a learner, whose weights are
    `given["teacher"]`. With `through_values` only the gradient by W_V, `A^T dL/df`, is said to
    vanish, which is true.
    """
    problems = sequences(given, arithmetic)
    fitted: tuple[Hypothesis, ...] = ()
    if realisable:
        weights = {W: given["teacher"].get(W, given[W]) for W in WEIGHTS}
        teacher = [read({"S": S, **weights}, arithmetic) for S in given["training"]]
        gaps = tidy(outputs(teacher) - outputs(problems))
        value = "; ".join(f"{W} = {show(getattr(teacher[0], W))}" for W in WEIGHTS)
        fitted = (Hypothesis("some weights meet every target", value, True),)
    else:
        gaps = vector(given["gaps"], arithmetic, problems[0].S)
    run = flow(problems, gaps)
    left = tidy(0 - run.gap(run.end))
    lengths = [p.length for p in problems]
    seen = tidy(run.jacobian(run.end, ("W_V",)).T @ left) if through_values else left
    return Finding(
        (
            *regular(problems[0]),
            Hypothesis("sequences of one length", str(lengths), len({*lengths}) == 1),
            *runs_on_a_line(run),
            *fitted,
        ),
        "dL/df tends to zero",
        f"f tends to {_sum(outputs(problems), run)}, so that n dL/df = f - y tends to {show(left)}",
        is_nothing(seen),
    )


def _sum(f: Array, run: Flow) -> str:
    return show(tidy(f + run.residuals - run.gap(run.end)))


# --- convexity -----------------------------------------------------------------------------------


def loss_is_convex(given: Given, arithmetic: Arithmetic, *, along: str) -> Finding:
    """Half the squared error on one sequence at the middle of a segment is at most the mean.

    The segment runs between two learners, `given` and `given["other"]`: in parameters, in W_V
    alone ("values"), or in outputs.
    """
    other = {W: given["other"].get(W, given[W]) for W in WEIGHTS}
    if along == "values":
        other = {**{W: given[W] for W in WEIGHTS}, "W_V": other["W_V"]}
    p = read({**given, "S": given["sequence"]}, arithmetic)
    q = read({"S": given["sequence"], **other}, arithmetic)
    y = vector(given["targets"], arithmetic, p.S)
    half = arithmetic.number("1/2")

    def loss(f: Array) -> Any:
        return tidy((f.flatten() - y) @ (f.flatten() - y) * half)

    ends = [tidy(output(x)) for x in (p, q)]
    if along == "outputs":
        middle = tidy((ends[0] + ends[1]) * half)
    else:
        between = {W: (getattr(p, W) + getattr(q, W)) * half for W in WEIGHTS}
        middle = tidy(output(replace(p, **between)))
    losses = [loss(f) for f in (*ends, middle)]
    excess = tidy(losses[2] - (losses[0] + losses[1]) * half)
    return Finding(
        (
            *regular(p),
            Hypothesis("a target for each token", show(y), len(y) == p.length),
        ),
        f"L at the middle of the segment in {along} is at most the mean of L at its ends",
        f"at the ends f = {show(ends[0].flatten())} and {show(ends[1].flatten())}, with L = "
        f"{show(losses[0])} and {show(losses[1])}; in the middle f = {show(middle.flatten())}, "
        f"with L = {show(losses[2])}",
        bool(excess <= (1e-12 if isinstance(excess, float) else 0)),
    )


LAWS: dict[str, Law] = {
    "kernel settles": kernel_settles,
    "value part of the kernel settles": partial(kernel_settles, values=True),
    "loss derivative vanishes": loss_derivative_vanishes,
    "loss derivative vanishes through values": partial(
        loss_derivative_vanishes, through_values=True
    ),
    "realisable loss derivative vanishes": partial(loss_derivative_vanishes, realisable=True),
    "realisable loss derivative vanishes through values": partial(
        loss_derivative_vanishes, realisable=True, through_values=True
    ),
    "loss is convex in parameters": partial(loss_is_convex, along="parameters"),
    "loss is convex in values": partial(loss_is_convex, along="values"),
    "loss is convex in outputs": partial(loss_is_convex, along="outputs"),
}

replay_kernel_settles = partial(replayed, kernel_settles)
replay_loss_derivative_vanishes = partial(replayed, loss_derivative_vanishes)
replay_realisable_loss_derivative_vanishes = partial(
    replayed, LAWS["realisable loss derivative vanishes"]
)
