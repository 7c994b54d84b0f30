"""The teacher: which samples a training run uses in each epoch, by a budget known in advance."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ntteach.teaching import state
from ntteach.teaching.arguments import batch, only_for, schedule
from ntteach.teaching.choice import Decision, census, choose, decision, generator, shuffled
from ntteach.teaching.memory import LARGEST, MOST_EPOCHS, Memory, places
from ntteach.teaching.options import NO_SCORES, OWN_SCORES, Options
from ntteach.teaching.plan import Plan, plan, whole
from ntteach.teaching.reading import Reading, effective, read
from ntteach.teaching.sampler import TeachingSampler
from ntteach.teaching.summary import Report, summary_of


class Teacher:
    """Algorithm 1 in a training loop: scores what is taught, and selects by the scores.

    Args:
        samples: N, the size of the data.
        epochs: of the whole run; a taught epoch goes once through its selection.
        select: "auto" (the default): as "aged", by what can be read from the scores whether
            choosing pays (`reading.read`): learned samples rest, doubtful ones are taught seldom.
            "random": a fresh random subset. "hard": the largest scores, Eq. 21. "soft":
            Gumbel-top-k. "aged": score^strength times the epochs since a sample was taught.
            "ntk": the largest scores among those that `record` gave, as `ntk_scores`. "weighted":
            in proportion to `weights`. "gradnorm": by the gradient norms of a sample's group.
        ratio: the share of the samples in a selection, or a schedule of it.
        every: epochs from one selection to the next, or a schedule of it.
        first: "full": epoch 0 teaches all and scores on the way. "score": `record` scores all
            samples before `set_epoch(0)`, which selects at once.
        final_full: epochs on all data at the end; a float below 1 is a share of the epochs.
        floor: the share of each selection that is drawn at random.
        cap: samples with scores above this quantile are chosen after all others; an infinite score
            is the highest. Without effect on "random".
        temperature: of a soft draw; it divides the score, never the noise.
        draw_from: "log": soft draws in proportion to score^(1/temperature); "score": to
            exp(score/temperature), as the paper's published code meant to.
        reweight: whether `update` weighs the losses so that a batch's mean is an unbiased estimate
            of the mean over all data; "soft" and "weighted" only, without floor and cap. Samples
            whose score is NaN count as 0 while others are left.
        weights: (N,), for "weighted": `class_weights`, `group_weights`, or any.
        groups: (N,) whole numbers, for "gradnorm".
        strength: of "aged".
        seed: of all chance; no other generator is read or seeded.
        device: where scores live; None: where the first losses are.

    What has no score yet comes first in a selection, then infinite scores, then the others by the
    rule; NaN and minus infinity come last. All are counted in the report. "random", "weighted" and
    "gradnorm" do not look at the score of a sample, and place none.

    A teacher holds 8 bytes a sample (10 with scores that do not come from teaching), 4 for each
    place in the order of an epoch and 4 for each selected sample; 4 a sample more for `weights` or
    `reweight`, and 8 for "auto" or `groups`.

    Raises:
        ValueError: for arguments out of range, or that contradict each other.

    Example:
        >>> teacher = Teacher(4, epochs=2, select="hard", ratio=0.5)
        >>> teacher.set_epoch(0)
        >>> float(teacher.update(torch.arange(4), torch.tensor([1.0, 4.0, 2.0, 3.0])))
        2.5
        >>> teacher.set_epoch(1)
        >>> sorted(teacher.selected.tolist())
        [1, 3]
    """

    def __init__(
        self,
        samples: int,
        *,
        epochs: int,
        select: str = "auto",
        ratio: float | Callable[[float], float] = 0.7,
        every: int | Callable[[float], float] = 1,
        first: str = "full",
        final_full: int | float = 0,
        floor: float = 0.0,
        cap: float | None = None,
        temperature: float = 1.0,
        draw_from: str = "log",
        reweight: bool = False,
        weights: Tensor | Sequence[float] | None = None,
        groups: Tensor | Sequence[int] | None = None,
        strength: float = 1.0,
        seed: int = 0,
        device: torch.device | str | None = None,
    ) -> None:
        self.options = Options(select, floor, cap, temperature, draw_from, reweight, strength, seed)
        whole("epochs", epochs)
        if epochs > MOST_EPOCHS:
            raise ValueError(f"a teacher counts {MOST_EPOCHS} epochs at most, got {epochs}")
        self.plan: Plan = plan(
            samples,
            epochs,
            schedule("ratio", ratio),
            schedule("every", every),
            first=first,
            final_full=final_full,
        )
        self._weights = only_for(select, "weighted", "weights", weights, samples)
        self._groups = only_for(select, "gradnorm", "groups", groups, samples)
        if reweight and self._weights is not None and not bool(self._weights.all()):
            raise ValueError(
                "reweight divides by the chance of being drawn: no weight may be 0, got "
                f"{int((self._weights == 0).sum())} of {samples}"
            )
        self._memory = Memory(samples, None if device is None else torch.device(device))
        self._epoch = -1
        self._taught: list[int] = []
        self._chosen: Tensor | None = None  # of the cycle; None: all
        self._order = _no_order()  # of the epoch
        self._loss_weights: Tensor | None = None  # (N,), on the device of the scores
        self._before: Tensor | None = None  # scores at the selection before, for "auto"
        self._first: Tensor | None = None  # first scores, for "auto"
        self._decisions: list[Decision] = []
        self._updates = 0
        self._update_seconds = 0.0
        self.sampler = TeachingSampler(self)

    @property
    def samples(self) -> int:
        """N, the size of the data."""
        return self.plan.samples

    @property
    def epochs(self) -> int:
        """How many epochs the run has."""
        return self.plan.epochs

    @property
    def epoch(self) -> int:
        """The epoch to go on with: the current one, or the next if all of it has been taught."""
        if self._epoch < 0:
            return 0
        # not by the count of updates: a closure may be called twice a step
        return self._epoch + (not len(self.remaining()))

    @property
    def total_samples(self) -> int:
        """How many samples the run teaches, repetitions counted: exact, known from the start."""
        return self.plan.total_samples

    def total_steps(
        self, batch_size: int, grad_accum: int = 1, world_size: int = 1, drop_last: bool = False
    ) -> int:
        """How many optimizer steps the run takes; see `Plan.total_steps`."""
        return self.plan.total_steps(batch_size, grad_accum, world_size, drop_last)

    @property
    def selected(self) -> Tensor:
        """The ids of the current epoch in their order, (k,), int64.

        Raises:
            ValueError: before the first `set_epoch`.
        """
        self._begun()
        return self._order.long()

    def remaining(self) -> Tensor:
        """The ids of the current epoch that have not been updated in it, in their order.

        Raises:
            ValueError: before the first `set_epoch`.
        """
        self._begun()
        if not self._taught[-1]:
            return self._order
        done = self._memory.taught_at.cpu()[self._order] == self._epoch
        return self._order[~done]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, with a selection where the plan has one; the current one goes on.

        Raises:
            ValueError: if the epoch is neither the current one nor the next, or if the scores do
                not suit the selection; the teacher stays as it was.
        """
        if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 <= epoch < self.epochs:
            raise ValueError(f"the run has the epochs 0 to {self.epochs - 1}, got {epoch!r}")
        if epoch == self._epoch:
            self.sampler.end_pass()
            return
        if epoch != self._epoch + 1:
            raise ValueError(
                f"epochs are taught in order: the next is {self._epoch + 1}, got {epoch}; a "
                "restored teacher goes on at teacher.epoch"
            )
        if self.plan.begins_cycle(epoch):
            self._select(epoch)
        elif self.plan.cycles[epoch] < 0:
            self._chosen, self._loss_weights = None, None
        if self._epoch >= 0:
            self._memory.close(self._epoch)
        self._order = self._ordered(epoch)
        self._epoch = epoch
        self._taught.append(0)
        self.sampler.end_pass()

    def update(
        self, ids: Tensor | Sequence[int], losses: Tensor, scores: Tensor | None = None
    ) -> Tensor:
        """Record that samples are being taught, with their losses, and return the loss to descend.

        Args:
            ids: (n,), the ids that came with the batch, or with a part of it.
            losses: (n,), one loss per sample, of any floating dtype; keeps its graph.
            scores: (n,), what to select by instead of the losses.

        Returns:
            The mean of the losses; with `reweight`, an unbiased estimate of the mean over all data.
            A NaN in the losses makes it NaN: training is the caller's, scores are the teacher's.

        Raises:
            ValueError: before the first `set_epoch`, for other shapes, or an id out of range.
        """
        begun = time.perf_counter()
        self._begun()
        ids, losses = batch(ids, losses, "losses")
        values = losses
        if scores is not None:
            ids, values = batch(ids, scores, "scores")
        elif self.options.select in OWN_SCORES:
            values = None  # a loss is no such score
        self._memory.write(ids, values, self._epoch, taught=True)
        self._taught[-1] += len(ids)
        self._updates += 1
        if self._loss_weights is not None:
            losses = losses * self._loss_weights[ids.to(self._loss_weights.device)].to(losses)
        mean = losses.mean()
        self._update_seconds += time.perf_counter() - begun
        return mean

    def record(self, ids: Tensor | Sequence[int], scores: Tensor) -> None:
        """Record scores of samples that are not taught now: a scoring pass.

        Args:
            ids: (n,).
            scores: (n,), of any floating dtype.

        Raises:
            ValueError: for other shapes, or an id out of range.
        """
        ids, scores = batch(ids, scores, "scores")
        self._memory.write(ids, scores, max(self._epoch, 0), taught=False)

    def report(self) -> Report:
        """What was taught so far, how often, and at what cost."""
        memory = self._memory
        scores = memory.scores.cpu()
        unseen, infinite, nan = census(scores)
        times = memory.times + (memory.taught_at.cpu() == max(self._epoch, 0))
        ages = memory.score_ages(max(self._epoch, 0))[scores != float("inf")]
        return Report(
            samples=self.samples,
            epochs=self.epochs,
            epoch=self._epoch,
            planned=self.plan.sizes,
            taught=tuple(self._taught),
            times=tuple(times.int().bincount().tolist()),
            score_ages=summary_of(ages),
            unseen=unseen,
            infinite=infinite,
            nan=nan,
            decisions=tuple(self._decisions),
            updates=self._updates,
            update_seconds=self._update_seconds,
            selection_seconds=sum(made.seconds for made in self._decisions),
            bytes_per_sample=self._bytes() / self.samples,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to choose as this one would: tensors and plain numbers."""
        return state.seal(
            self._told(),
            {
                "scores": self._memory.scores,
                "taught_at": self._memory.taught_at,
                "scored_at": self._memory.scored_at,
                "times": self._memory.times,
                "chosen": self._chosen,
                "loss_weights": self._loss_weights,
                "before": self._before,
                "first": None if self._first is self._before else self._first,
            },
            {
                "epoch": self._epoch,
                "taught": list(self._taught),
                "decisions": [asdict(made) for made in self._decisions],
                "updates": self._updates,
                "update_seconds": self._update_seconds,
            },
        )

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on where a teacher with the same arguments was.

        Raises:
            ValueError: if the state is damaged or another teacher's; this one stays as it was.
        """
        n = self.samples
        tensors, numbers = state.opened(
            saved,
            self._told(),
            {
                "scores": (torch.float32, n),
                "taught_at": (torch.int16, n),
                "scored_at": (torch.int16, n),
                "times": (torch.int16, n),
                "chosen": (places(n), None),
                "loss_weights": (torch.float32, n),
                "before": (torch.float32, n),
                "first": (torch.float32, n),
            },
        )
        decisions = [decision(**made) for made in numbers["decisions"]]
        self._memory.restore(tensors)
        device = self._memory.scores.device
        weights = tensors["loss_weights"]
        self._chosen = _copy(tensors["chosen"])
        self._before = _copy(tensors["before"])
        self._first = self._before if tensors["first"] is None else tensors["first"].clone()
        self._loss_weights = None if weights is None else weights.to(device, copy=True)
        self._epoch = numbers["epoch"]
        self._taught = list(numbers["taught"])
        self._decisions = decisions
        self._updates = numbers["updates"]
        self._update_seconds = numbers["update_seconds"]
        self._order = self._ordered(self._epoch) if self._epoch >= 0 else _no_order()
        self.sampler.end_pass()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file, whole or not at all."""
        state.write(self.state_dict(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: if the file is damaged, or another teacher's; this one stays as it was.
            OSError: if it cannot be read.
        """
        self.load_state_dict(state.read(path))

    def _select(self, epoch: int) -> None:
        begun = time.perf_counter()
        options = self.options
        scores = self._memory.scores.cpu()
        unseen, infinite, nan = census(scores)
        if unseen == self.samples and epoch == 0 and options.select not in NO_SCORES:
            raise ValueError(
                'first="score" selects before the first epoch and has no scores yet: '
                "call teacher.record(ids, scores) for all samples before set_epoch(0)"
            )
        if unseen == self.samples and options.select in OWN_SCORES:
            raise ValueError(
                f"select={options.select!r} chooses by scores of its own and has none yet: call "
                f"teacher.record(ids, scores) before set_epoch({epoch}), or give them to update"
            )
        if infinite:
            scores = scores.masked_fill(scores == -LARGEST, float("nan"))
        ages = self._memory.ages(epoch)
        reading = by = first = None
        if options.select == "auto":
            first = scores
            if self._first is not None:
                first = torch.where(self._first == float("inf"), scores, self._first)
            reading = self._read(scores, first, ages)
            by = effective(scores, first, reading.doubt)
        choice = choose(
            options,
            self.plan.sizes[epoch],
            scores,
            ages,
            self._memory.times,
            generator(options.seed, "selection", epoch),
            by=by,
            weights=self._weights,
            groups=self._groups,
        )
        if options.select == "auto":
            # on the CPU, `scores` is the table itself, which goes on changing
            self._before = scores.clone()
            self._first = self._before if first is scores else first
        self._chosen = choice.chosen.to(places(self.samples))
        self._loss_weights = self._spread(choice.chosen, choice.weights)
        self._decisions.append(
            Decision(
                epoch=epoch,
                taught=len(choice.chosen),
                rule=options.select,
                strength=options.strength if options.select == "aged" else None,
                unseen=unseen,
                infinite=infinite,
                nan=nan,
                reading=reading,
                seconds=time.perf_counter() - begun,
            )
        )

    def _read(self, scores: Tensor, first: Tensor, ages: Tensor) -> Reading:
        """What the default teacher reads, given what it read before."""
        last = self._decisions[-1] if self._decisions else None
        if last is None or last.reading is None:
            return read(scores, first)
        taught = ages <= self._epoch + 1 - last.epoch
        return read(scores, first, self._before, taught, last.reading.doubt)

    def _told(self) -> dict[str, Any]:
        """What a state must agree in to be this teacher's."""
        return {
            "samples": self.samples,
            "epochs": self.epochs,
            "sizes": list(self.plan.sizes),
            "cycles": list(self.plan.cycles),
            **asdict(self.options),
            "weights": state.fingerprint(self._weights),
            "groups": state.fingerprint(self._groups),
        }

    def _ordered(self, epoch: int) -> Tensor:
        """The order of an epoch: its own chance, so that it need not be saved."""
        return shuffled(self._chosen, self.samples, generator(self.options.seed, "order", epoch))

    def _spread(self, chosen: Tensor, weights: Tensor | None) -> Tensor | None:
        """Weights of the chosen as a table, with the share of the data that they are."""
        if weights is None:
            return None
        table = torch.zeros(self.samples)
        table[chosen] = weights * (len(chosen) / self.samples)
        return table.to(self._memory.scores.device)

    def _begun(self) -> None:
        if self._epoch < 0:
            raise ValueError(
                "no epoch has begun: call teacher.set_epoch(epoch) at the start of each epoch"
            )

    def _bytes(self) -> int:
        held = (self._chosen, self._order, self._loss_weights, self._before, self._first)
        held += (self._weights, self._groups)
        # the first scores are those before, until there are others
        once = {id(t): t.nbytes for t in held if t is not None}
        return int(self._memory.bytes_per_sample() * self.samples) + sum(once.values())


def _no_order() -> Tensor:
    return torch.empty(0, dtype=torch.int32)


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()
