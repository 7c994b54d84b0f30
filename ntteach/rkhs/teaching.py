"""Teaching a functional learner from a fixed pool of sequences, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ntteach.rkhs.functions import Function
from ntteach.rkhs.learner import FunctionalLearner, per_sequence, residuals_of
from ntteach.rkhs.teachers import Teacher

Measure = Literal["residual", "loss"]


class Pool:
    """N sequences with targets, and a learner's outputs on them as it is taught.

    The Gram matrix is computed once. A step on m sequences then costs O(m N o^2): with p the
    outputs on the pool and g the loss gradients, `p <- p - (eta/m) K[:, chosen] g[chosen]`, which
    is Eq. 5 seen at the pool. The learner itself is left alone; `function` is where it would be.

    Args:
        learner: where to start, and its kernel, loss and eta.
        S: `(N, L, d)`, at least one.
        y: their targets, as for `FunctionalLearner.step`.

    Raises:
        ValueError: no sequence, shapes or targets that do not fit, a kernel that is not finite.
        TypeError: no learner, no floating-point tensors.
    """

    def __init__(self, learner: FunctionalLearner, S: Tensor, y: Tensor) -> None:
        if not isinstance(learner, FunctionalLearner):
            raise TypeError(f"learner is a FunctionalLearner, got {type(learner).__name__}")
        self._start = learner.at(S)
        if len(S) == 0:
            raise ValueError("a pool has one sequence or more, got none")
        self.learner, self.S, self.y = learner, S, y
        self._p = self._start(S)
        learner.loss.gradient(self._p, y)  # raises now if targets do not fit
        self.gram = learner.kernel.gram(S)
        if not bool(self.gram.isfinite().all()):
            raise ValueError("the kernel is finite on the pool, got NaN or inf: look at S")
        self._coefficients = torch.zeros_like(self._p)

    def __len__(self) -> int:
        return len(self.S)

    @property
    def predictions(self) -> Tensor:
        """f on the pool, `(N,)` or `(N, o)`; a copy."""
        return self._p.clone()

    @property
    def residuals(self) -> Tensor:
        """f - y, in the shape of `predictions`; raises where targets are no outputs."""
        return residuals_of(self._p, self.y)

    @property
    def loss_gradients(self) -> Tensor:
        """dl/df, in the shape of `predictions`."""
        return self.learner.loss.gradient(self._p, self.y)

    @property
    def losses(self) -> Tensor:
        """The loss of each sequence, summed over its outputs, `(N,)`."""
        return per_sequence(self.learner.loss.value(self._p, self.y))

    @property
    def function(self) -> Function:
        """f after the steps taken here."""
        return self._start + Function(self.learner.kernel, self.S, self._coefficients.clone())

    def step(self, chosen: Tensor) -> None:
        """Eq. 5 on some sequences of the pool.

        Args:
            chosen: `(m,)` places, at least one; one that occurs twice counts twice.

        Raises:
            ValueError: another shape, none, or a place that the pool does not have.
            TypeError: no integers.
        """
        check_places(chosen, len(self))
        change = -self.learner.eta / len(chosen) * self.loss_gradients[chosen]
        self._coefficients.index_add_(0, chosen, change)
        outputs = change[0].numel()
        columns = self.gram.view(-1, len(self), outputs)[:, chosen].flatten(1)  # (N o, m o)
        self._p = self._p + (columns @ change.flatten()).view(self._p.shape)


@dataclass(frozen=True)
class History:
    """What a run of T steps on a pool came to.

    Args:
        losses: the mean loss over the pool before each step and at the end, `(T + 1,)`.
        residual_norms: `|[f - f*]_N|_F` likewise; None where targets are no outputs.
        chosen: which sequences were taught, `(T, m)`.
        evaluated: sequences whose output had to be known, in all: those taught, and the whole
            pool for a teacher that scores it.
    """

    losses: Tensor
    residual_norms: Tensor | None
    chosen: Tensor
    evaluated: int

    @property
    def steps(self) -> int:
        """T."""
        return len(self.chosen)

    def steps_to(self, error: float, measure: Measure = "residual") -> int | None:
        """After how many steps the error was first at most this; None if it never was.

        Args:
            error: of the residual norm, or of the mean loss.
            measure: which of the two.

        Raises:
            ValueError: another measure, or residuals where targets are no outputs.
        """
        found = (self._measured(measure) <= error).nonzero()
        return int(found[0]) if len(found) else None

    def _measured(self, measure: Measure) -> Tensor:
        check_measure(measure, self.residual_norms is not None)
        if measure == "loss" or self.residual_norms is None:
            return self.losses
        return self.residual_norms


def teach(
    learner: FunctionalLearner,
    teacher: Teacher,
    S: Tensor,
    y: Tensor,
    *,
    steps: int,
    size: int,
    until: float | None = None,
    measure: Measure = "residual",
) -> History:
    """Teach from a pool: the teacher chooses, the learner takes a step of Eq. 5, and again.

    This is Algorithm 1 with a learner that is a function: it ends after `steps`, or as soon as the
    error is at most `until`. The learner holds the function that it came to.

    Args:
        learner: is moved.
        teacher: one for this run.
        S: the pool, `(N, L, d)`.
        y: targets, as for `FunctionalLearner.step`.
        steps: at most so many.
        size: m, how many sequences each step is taught on.
        until: stop at this error; never if None.
        measure: the error: "residual", `|[f - f*]_N|_F`, or "loss", the mean over the pool.

    Returns:
        What happened.

    Raises:
        ValueError: shapes, targets, steps, size or measure that do not fit; a loss that is
            not finite, for targets are not, or no longer, for eta is too large.
        TypeError: no learner, no teacher, no tensors, or numbers of the wrong kind.

    >>> from ntteach.losses import squared
    >>> from ntteach.rkhs import greedy_teacher, linear
    >>> S, y = torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([1.0, 2.0])
    >>> learner = FunctionalLearner(linear(), squared(), eta=0.125)
    >>> history = teach(learner, greedy_teacher(), S, y, steps=3, size=1)
    >>> history.chosen.flatten().tolist()  # each step halves the error at x = 2
    [1, 1, 1]
    >>> learner.predict(S).tolist()
    [0.875, 1.75]
    """
    if not isinstance(teacher, Teacher):
        raise TypeError(f"teacher is a Teacher, got {type(teacher).__name__}")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise ValueError(f"steps is a whole number from 0, got {steps!r}")
    pool = Pool(learner, S, y)
    outputs = y.shape == pool.predictions.shape
    if until is not None:
        check_measure(measure, outputs)
        if not until >= 0:
            raise ValueError(f"until is an error of at least 0, got {until!r}")
    losses, norms, chosen = [], [], []
    for t in range(steps + 1):
        losses.append(pool.losses.mean())
        if not bool(torch.isfinite(losses[-1])):
            why = f"eta = {learner.eta} is too large" if t else "look at the targets"
            raise ValueError(f"the loss is {losses[-1].item()} after {t} steps: {why}")
        if outputs:
            norms.append(pool.residuals.norm())
        error = norms[-1] if measure == "residual" and outputs else losses[-1]
        if t == steps or (until is not None and bool(error <= until)):
            break
        seen = pool.residuals if teacher.sees == "residual" and teacher.scores else None
        chosen.append(teacher(pool.loss_gradients if seen is None else seen, pool.gram, size))
        pool.step(chosen[-1])
    learner.function = pool.function
    taken = torch.stack(chosen) if chosen else torch.empty(0, size, dtype=torch.long)
    return History(
        torch.stack(losses),
        torch.stack(norms) if outputs else None,
        taken,
        len(taken) * (len(pool) if teacher.scores else size),
    )


def teach_separately(
    learners: Sequence[FunctionalLearner],
    teachers: Callable[[int], Teacher],
    S: Tensor,
    y: Tensor,
    *,
    steps: int,
    size: int,
    until: float | None = None,
    measure: Measure = "residual",
) -> tuple[History, ...]:
    """Teach several scalar learners one after the other, each its own target from one pool.

    One learner with the kernel `separable(k, B)` is taught all targets at once, on sequences that
    are good for them together; for a diagonal B and equal choices it is these learners, with the
    kernels `B[c, c] k`.

    Args:
        learners: one for each column of y.
        teachers: makes the teacher of learner c.
        S: the pool, `(N, L, d)`.
        y: targets, `(N, o)`.
        steps: as for `teach`.
        size: as for `teach`.
        until: as for `teach`, for each.
        measure: as for `teach`.

    Returns:
        One history for each learner.

    Raises:
        ValueError: y with another number of columns; all else as `teach`.
        TypeError: as `teach`.
    """
    if not isinstance(y, Tensor) or y.ndim != 2 or y.shape[1] != len(learners):
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"y has a column for each of {len(learners)} learners, got {got}")
    return tuple(
        teach(one, teachers(c), S, y[:, c], steps=steps, size=size, until=until, measure=measure)
        for c, one in enumerate(learners)
    )


def check_places(chosen: object, N: int) -> None:
    """Raise unless these are places in a pool of N, at least one."""
    if not isinstance(chosen, Tensor) or chosen.dtype != torch.long:
        got = chosen.dtype if isinstance(chosen, Tensor) else type(chosen).__name__
        raise TypeError(f"places in the pool are a tensor of int64, got {got}")
    if chosen.ndim != 1 or not len(chosen):
        raise ValueError(f"places are (m,), one or more, got {tuple(chosen.shape)}")
    if bool(((chosen < 0) | (chosen >= N)).any()):
        raise ValueError(f"places lie between 0 and {N - 1}, got {chosen.tolist()}")


def check_measure(measure: str, outputs: bool) -> None:
    """Raise unless the error can be measured so."""
    if measure not in ("residual", "loss"):
        raise ValueError(f"measure is 'residual' or 'loss', got {measure!r}")
    if measure == "residual" and not outputs:
        raise ValueError("class numbers are no outputs and leave no residual: measure='loss'")
