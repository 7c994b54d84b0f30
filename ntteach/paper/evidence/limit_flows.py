"""Gradient flow that is known exactly: W_V moves along a line, W_Q and W_K stay where they are.

The loss is half the squared error, averaged over the n outputs of the training set. Outputs are
linear in W_V, `f = A W_V`, so that the flow of W_V alone is `dW_V/dt = (eta / n) D(t)` with
`D = A^T (y - f)`. If `A^T A D = lambda D`, it runs along a line:
`W_V(t) = W_V(0) + s(t) D`, `s(t) = (1 - exp(-eta lambda t / n)) / lambda`. That W_Q and W_K stay is
looked at on the line: their derivatives are quadratic in s, so that three zeros make them zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Problem,
    exponentials,
    read,
    show,
)

Given = Mapping[str, Any]
WEIGHTS = ("W_Q", "W_K", "W_V")


def sequences(given: Given, arithmetic: Arithmetic, names: str = "training") -> list[Problem]:
    """The sequences `given[names]`, all seen by the learner of `given`."""
    weights = {W: given[W] for W in WEIGHTS}
    return [read({"S": S, **weights}, arithmetic) for S in given[names]]


def tidy(x: Any) -> Any:
    """Numbers multiplied out, so that roots and logarithms cancel; floats as they are."""
    if not isinstance(x, np.ndarray):
        return x if isinstance(x, float) else sympy.expand(x)
    if x.dtype == float:
        return x
    return np.array([sympy.expand(y) for y in x.flat], dtype=object).reshape(x.shape)


def features(problems: Sequence[Problem], names: Sequence[str] = BLOCKS) -> Array:
    """The gradients of all outputs, one below the other, `(n, parameters)`."""
    return np.concatenate([_features(p, names) for p in problems])


def _features(p: Problem, names: Sequence[str]) -> Array:
    """How the outputs of Eq. 2 move as each entry of the weights moves, `(L v, parameters)`.

    The product and the quotient rule, put through Eq. 2 number by number; axes are the entry's row
    and column, then those of the weights A.
    """
    Q, K, V, E = exponentials(p)
    S, (L, v) = p.S, V.shape
    A = E / E.sum(1, keepdims=True)
    found = []
    for name in names:
        if name == "W_V":
            block = np.zeros((S.shape[1], v, L, v), dtype=int).astype(S.dtype)
            for c in range(v):
                block[:, c, :, c] = (A @ S).T
        else:
            left, right = (S, K) if name == "W_Q" else (Q, S)
            logits = left.T[:, None, :, None] * right.T[None, :, None, :]  # (d, d, L, L)
            if name == "W_K":
                logits = logits.swapaxes(0, 1)
            moved = A * tidy(logits / p.arithmetic.sqrt(Q.shape[1]))
            block = moved @ V - A @ V * moved.sum(-1, keepdims=True)
        found.append(block.reshape(-1, L * v).T)
    return tidy(np.concatenate(found, 1))


def outputs(problems: Sequence[Problem]) -> Array:
    """f of every sequence, one below the other, `(n,)`."""
    values = []
    for p in problems:
        _, _, V, E = exponentials(p)
        values.append((E @ V / E.sum(1, keepdims=True)).flatten())
    return tidy(np.concatenate(values))


def vector(numbers: Sequence[Any], arithmetic: Arithmetic, like: Array) -> Array:
    """Nested data as one row of numbers."""
    flat = [x for row in numbers for x in (row if isinstance(row, list | tuple) else [row])]
    return np.array([arithmetic.number(str(x)) for x in flat], dtype=like.dtype)


@dataclass(frozen=True)
class Flow:
    """A run on the line `W_V + s D` for v = 1; `residuals` are y - f at the start, `(n,)`.

    `rate` is lambda, None where nothing moves or the line is left.
    """

    start: tuple[Problem, ...]
    residuals: Array
    direction: Array
    rate: Any

    def at(self, s: Any) -> list[Problem]:
        """The learner at W_V + s D, on the training set."""
        return [replace(p, W_V=p.W_V + s * self.direction) for p in self.start]

    def gap(self, s: Any) -> Array:
        """y - f at W_V + s D, `(n,)`."""
        start, _ = self._blocks
        return tidy(self.residuals - s * (start["W_V"] @ self.direction.flatten()))

    def jacobian(self, s: Any, names: Sequence[str] = BLOCKS) -> Array:
        """The features at W_V + s D, which are linear in W_V, `(n, parameters)`."""
        start, line = self._blocks
        columns = [start[W] + s * line[W] if W in line else start[W] for W in names]
        return tidy(np.concatenate(columns, 1))

    @cached_property
    def _blocks(self) -> tuple[dict[str, Array], dict[str, Array]]:
        line = [replace(p, W_V=self.direction) for p in self.start]
        return (
            {W: features(self.start, (W,)) for W in BLOCKS},
            {W: features(line, (W,)) for W in ("W_Q", "W_K")},
        )

    @property
    def end(self) -> Any:
        """s as t grows."""
        return 0 if self.rate is None else 1 / self.rate


def flow(problems: Sequence[Problem], residuals: Array) -> Flow:
    """The run from these weights on targets that leave these residuals."""
    A = features(problems, ("W_V",))  # linear in the outputs: f = A W_V
    D = A.T @ residuals
    size = D @ D
    rate = None
    if not _nothing(size):
        square = (A @ D) @ (A @ D)
        candidate = square / size
        if problems[0].arithmetic.same(tidy(A.T @ (A @ D)), tidy(candidate * D)):
            rate = candidate
    return Flow(tuple(problems), residuals, D.reshape(problems[0].W_V.shape), rate)


def speed(run: Flow) -> str:
    """lambda / n, at which the run nears its end, in units of eta; empty for 1."""
    if run.rate is None:
        return "0 "
    number = tidy(run.rate / len(run.residuals))
    return "" if number == 1 else f"{show(number)} "


def runs_on_a_line(run: Flow, name: str = "") -> tuple[Hypothesis, ...]:
    """That the flow is the one written above, and that something moves."""
    pulls = [_pull(run, s) for s in (0, 1, 2)]
    still = all(_nothing(x) for pull in pulls for x in pull)
    W_V, f = show(run.start[0].W_V.flatten()), outputs(run.start)
    if run.rate is None:
        line = f"{W_V}, and no line is known along which it moves"
    else:
        change = show(tidy(run.direction.flatten() / run.rate))
        line = f"{W_V} + (1 - exp(-{speed(run)}eta t)) {change}"
    at = f" {name}" if name else ""
    return (
        Hypothesis(
            f"convex loss, half the squared error, not zero at the start{at}",
            f"at the start f = {show(f)}, y = {show(tidy(f + run.residuals))}",
            not is_nothing(run.residuals),
        ),
        Hypothesis(f"gradient flow moves W_V{at}", f"W_V(t) = {line}", run.rate is not None),
        Hypothesis(
            f"and W_V alone{at}",
            "dL/dW_Q and dL/dW_K at s = 0, 1, 2: " + ("all zero" if still else "not all zero"),
            still,
        ),
    )


def fits(run: Flow, name: str = "") -> Hypothesis:
    """That the loss, and with it its derivative, tends to zero."""
    left = tidy(0 - run.gap(run.end))
    at = f" {name}" if name else ""
    return Hypothesis(
        f"the loss derivative vanishes{at}",
        f"dL/df = f - y tends to {show(left)}",
        all(_nothing(x) for x in left),
    )


def _pull(run: Flow, s: Any) -> Array:
    """-n dL/dW_Q and -n dL/dW_K at W_V + s D."""
    return tidy(run.jacobian(s, ("W_Q", "W_K")).T @ run.gap(s))


def _nothing(x: Any) -> bool:
    # floats: entries are small whole numbers, so that sums are of order one
    return abs(x) < 1e-9 if isinstance(x, float) else sympy.simplify(x) == 0


def is_nothing(x: Array) -> bool:
    """Whether all of these numbers are zero, exactly or up to rounding."""
    return all(_nothing(y) for y in x.flat)
