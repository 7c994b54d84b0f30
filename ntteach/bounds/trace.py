"""The two sides of each form along a run of gradient descent, beside what the loss did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from torch import Tensor

from ntteach.bounds.gram import Gram, positive
from ntteach.bounds.problem import divisor, problem
from ntteach.bounds.reduction import Reduction, Verdict
from ntteach.bounds.runs import Run, loss_of, run_of
from ntteach.bounds.sufficient import FORMS, check_form, reduction
from ntteach.learner import Mask
from ntteach.losses import Loss

_WITHOUT_CHOICE = tuple(form for form in FORMS if form != "subset")


@dataclass(frozen=True)
class Record:
    """One step.

    Args:
        step: its number, from 0.
        loss: L before it.
        change: how much the step changed L, as measured.
        reductions: one for each form.
    """

    step: int
    loss: float
    change: float
    reductions: tuple[Reduction, ...]


@dataclass(frozen=True)
class Summary:
    """What became of one form along a run.

    Args:
        form: its name.
        proved: whether it is a theorem.
        counts: how many steps had each verdict.
        worst_ratio: the most that a decrease was promised beyond the one there was, among steps
            whose hypotheses were met; above 1 where violated. None if they never were.
        worst_step: where.
    """

    form: str
    proved: bool
    counts: Mapping[str, int]
    worst_ratio: float | None
    worst_step: int | None

    @property
    def fails(self) -> bool:
        """Whether a theorem was violated: a fault, a wrong tau, or another gradient than said."""
        return self.proved and self.counts["violated"] > 0


@dataclass(frozen=True)
class ReductionTrace:
    """Both sides of some forms along a run.

    Args:
        forms: their names.
        records: one for each step.
        eta: the learning rate.
        tau: the smoothness of the loss.
        normaliser: what the loss is divided by.
        shape: of the outputs.
        moves: what gradient descent moved, "parameters" or "outputs".
    """

    forms: tuple[str, ...]
    records: tuple[Record, ...]
    eta: float
    tau: float
    normaliser: float
    shape: tuple[int, ...]
    moves: str

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of the steps."""
        return tuple(record.step for record in self.records)

    @property
    def changes(self) -> tuple[float, ...]:
        """How much each step changed the loss, as measured."""
        return tuple(record.change for record in self.records)

    def of(self, form: str) -> tuple[Reduction, ...]:
        """One form at each step.

        Raises:
            ValueError: a form that was not recorded.
        """
        form = check_form(form)
        if form not in self.forms:
            raise ValueError(f"recorded are {', '.join(self.forms)}, not {form!r}")
        index = self.forms.index(form)
        return tuple(record.reductions[index] for record in self.records)

    def summary(self, form: str) -> Summary:
        """How often a form held, and by how much at most it promised too much."""
        found = self.of(form)
        counts = {word: sum(r.verdict == word for r in found) for word in get_args(Verdict)}
        applicable = [
            (r.ratio, step)
            for r, step in zip(found, self.steps, strict=True)
            if r.verdict != "not applicable"
        ]
        ratio, step = max(applicable, key=lambda pair: pair[0], default=(None, None))
        return Summary(check_form(form), found[0].proved, counts, ratio, step)

    def __str__(self) -> str:
        lines = [f"{len(self.records)} steps of gradient descent in the {self.moves}"]
        for form in self.forms:
            s = self.summary(form)
            told = ", ".join(f"{word} {count}" for word, count in s.counts.items() if count)
            worst = "" if s.worst_ratio is None else f"; worst ratio {s.worst_ratio:.6g}"
            lines.append(f"  {form:<9} {told}{worst}")
        return "\n".join(lines)


def reductions_along(
    model: Any,
    sequences: Any,
    targets: Tensor,
    loss: Loss | str | None = None,
    *,
    eta: float,
    steps: int,
    forms: Sequence[str] = _WITHOUT_CHOICE,
    tau: float | None = None,
    gamma: float | None = None,
    normaliser: Any = None,
    chosen: Any = None,
    start: Any = None,
    mask: Mask = None,
    heads: int = 1,
) -> ReductionTrace:
    """Run full gradient descent, and record both sides of each form at each step.

    A model moves by its parameters and its kernel with it; an `rkhs` kernel or learner and a Gram
    matrix by functional gradient descent. The left side of the identity is measured by autograd,
    `-eta |dL/dtheta|^2` for parameters; that of the discrete forms is the change of the loss by the
    step `f - eta Kbar g`, computed. What the run's own step did to the loss stands beside them: the
    same for functional descent, for parameters up to second order in eta.

    Args:
        model: as the kernel of `sufficient_reduction`; it is copied, not changed, and the copy is
            trained in eval mode: no dropout, statistics of batches as they are.
        sequences: as there; None with a Gram matrix.
        targets: as the loss wants them for the outputs.
        loss: of `ntteach.losses`, or its name; if None that of an `rkhs` learner, else the squared
            loss. For a loss of vectors the last axis of the outputs is v.
        eta: the learning rate.
        steps: how many, at least one.
        forms: names; "subset" only with `chosen`.
        tau: the smoothness of the loss if None.
        gamma: bounds the kernel; at each step the smallest that does if None.
        normaliser: as for `sufficient_reduction`.
        chosen: indices of sequences, for "subset".
        start: for a kernel, the outputs to start from; if None those of an `rkhs` learner, else
            zeros.
        mask: for parameters of `attention`.
        heads: for parameters of `attention`.

    Raises:
        ValueError: as `sufficient_reduction` and the loss; steps below 1; a loss that is not
            finite, at the start or since the run diverged.
        TypeError: arguments of the wrong kind.

    >>> K, y = [[1.0, 0.0], [0.0, 1 / 9]], torch.tensor([-0.1, -1.0])
    >>> print(reductions_along(K, None, y, eta=0.5, steps=2, forms=("paper", "repaired")))
    2 steps of gradient descent in the outputs
      paper     violated 2; worst ratio 4.99541
      repaired  holds 2; worst ratio 0.767706
    """
    if type(steps) is not int or steps < 1:
        raise ValueError(f"steps is a whole number of at least 1, got {steps!r}")
    names = tuple(check_form(form) for form in forms)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"forms are different names, at least one, got {tuple(forms)}")
    loss, eta = loss_of(loss, model), positive(eta, "eta")
    tau = positive(loss.smoothness if tau is None else tau, "tau", infinite=True)
    run = run_of(model, sequences, start=start, mask=mask, heads=heads)
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets are a tensor, got {type(targets).__name__}")
    y = targets.detach()  # as given: how far probabilities sum to 1 depends on their precision
    records: list[Record] = []
    with torch.enable_grad():
        first = _of_vectors(run.gram(), loss)
        P = divisor(normaliser, first)
        f, before = _evaluated(run, loss, y, P, 0)
        for step in range(steps):
            K = first if step == 0 else _of_vectors(run.gram(), loss)
            g = loss.gradient(f.detach(), y)
            stepped = f.detach() - eta / P * (K.matrix @ g.flatten()).reshape(f.shape)
            p = problem(
                K,
                g,
                eta=eta,
                tau=tau,
                gamma=gamma,
                normaliser=P,
                loss=before.item(),
                next_loss=_finite(loss.value(stepped, y).sum() / P, step + 1),
                derivative=run.rate(before, eta, P),
            )
            found = tuple(reduction(p, form, chosen) for form in names)
            run.descend(before, eta, P)
            now = before.item()
            f, before = _evaluated(run, loss, y, P, step + 1)
            records.append(Record(step, now, before.item() - now, found))
    return ReductionTrace(names, tuple(records), eta, tau, P, first.shape, run.moves)


def _evaluated(run: Run, loss: Loss, y: Tensor, P: float, step: int) -> tuple[Tensor, Tensor]:
    """The outputs, and their loss over P."""
    f = run.outputs()
    value = loss.value(f, y).sum() / P
    _finite(value, step)
    return f, value


def _of_vectors(K: Gram, loss: Loss) -> Gram:
    """K, where outputs (N, L) might be L numbers or one vector, as the loss sees them."""
    if loss.elementwise or len(K.shape) < 2 or K.outputs == K.shape[-1]:
        return K
    return replace(K, outputs=K.shape[-1])


def _finite(value: Tensor, step: int) -> float:
    if not math.isfinite(value.item()):
        why = "the run has diverged, a smaller eta may help" if step else "at the start"
        raise ValueError(f"the loss is {value.item()} after {step} steps: {why}")
    return value.item()
