"""What surrounds the loop of a recipe: checkpoints, metrics, interrupts, progress.

A recipe builds its model, teacher, optimizer and learning-rate schedule and hands them to
`running`. After a kill at any step, a run that is resumed selects what the uninterrupted one would
have selected, and on a CPU ends with the same weights.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ntteach.recipes import folder as files
from ntteach.recipes.data import Data
from ntteach.recipes.settings import Settings
from ntteach.recipes.signals import handled
from ntteach.report.output import UserError, progress
from ntteach.teaching import Teacher

SAVE_EVERY = 100  # steps between checkpoints, besides the one after each epoch


@dataclass(frozen=True)
class Job:
    """Where and what a recipe is to run.

    Args:
        settings: what it was told.
        folder: where it writes.
        saved: the checkpoint to go on from, or None.
        save_every: steps between checkpoints.
    """

    settings: Settings
    folder: Path
    saved: dict[str, Any] | None = None
    save_every: int = SAVE_EVERY


@dataclass
class Run:
    """A run of a recipe, as it is under way; made by `running`.

    Args:
        job: where and what.
        data: what is taught.
        teacher: who chooses it.
        parts: all that has a `state_dict`, by name; the teacher among them.
        total_steps: how many steps the run takes.
        show: writes a line of progress, or None.
        rows: the metrics of the epochs that have ended.
        steps, samples, scored: taken, taught, and looked at by scoring passes, up to now.
    """

    job: Job
    data: Data
    teacher: Teacher
    parts: Mapping[str, Any]
    total_steps: int
    show: Callable[[int, int, str], None] | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    samples: int = 0
    scored: int = 0
    _seconds: float = 0.0
    _since: float | None = None  # when the clock was started, if it runs
    _loss: Tensor | None = None  # the sum over the epoch's samples, on their device
    _taught: int = 0  # samples in that sum
    _signal: str = ""
    _unsaved: bool = False
    _shown: float = 0.0

    def batches(self, loader: Iterable[Any]) -> Iterator[Any]:
        """The batches of an epoch; between them checkpoints are written and interrupts obeyed."""
        for batch in loader:
            # not after the last step of an epoch, which is not over before its line is written
            if self._unsaved and (self._signal or self.steps % self.job.save_every == 0):
                self.save()
            self._obey()
            yield batch
            self.steps += 1
            self._unsaved = True
            self._tell()

    def learned(self, losses: Tensor) -> None:
        """Count the losses (n,) of a batch that has been taught; nothing waits for the device."""
        total = losses.detach().sum().float()
        self._loss = total if self._loss is None else self._loss + total
        self._taught += len(losses)
        self.samples += len(losses)

    def score_all(self, losses_of: Callable[..., Tensor], size: int = 256) -> None:
        """Score all that can be taught, before the first epoch; its time is counted.

        Args:
            losses_of: the losses (n,) of n inputs and targets.
            size: of a batch.
        """
        with torch.no_grad():
            for ids in torch.arange(len(self.data.train)).split(size):
                self._obey()
                self.teacher.record(ids, losses_of(*self.data.train[ids]))
                self.scored += len(ids)

    def end_epoch(self, evaluate: Callable[[], dict[str, float]]) -> None:
        """Write the epoch's line of metrics and a checkpoint.

        Args:
            evaluate: the test loss and accuracy; its time is not counted.
        """
        loss = float("nan") if self._loss is None else float(self._loss) / self._taught
        self._pause()
        made = self.teacher.report().decisions
        selected = made[-1] if made and self.teacher.plan.cycles[len(self.rows)] >= 0 else None
        self.rows.append(
            {
                "epoch": len(self.rows),
                "samples": self.samples,
                "scored": self.scored,
                "steps": self.steps,
                "train_loss": loss,
                **evaluate(),
                "lr": self.parts["schedule"].get_last_lr()[0],
                "seconds": round(self._seconds, 3),
                "taught": len(self.teacher.selected),
                # None: all data were taught, and nothing was selected
                "selection": None if selected is None else asdict(selected),
                "data_sha256": self.data.sha256,
            }
        )
        self._loss, self._taught = None, 0
        self.save()
        files.write_lines(self.job.folder / "metrics.jsonl", self.rows)
        if len(self.rows) < self.teacher.epochs:
            self._obey()

    def save(self) -> None:
        """Write a checkpoint: everything that the rest of the run depends on."""
        self._pause()
        content = {
            "settings": asdict(self.job.settings),
            "data_sha256": self.data.sha256,
            "rows": self.rows,
            "counts": [self.steps, self.samples, self.scored, self._taught],
            "seconds": self._seconds,
            "loss": self._loss,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }
        files.save(self.job.folder, content)
        self._unsaved = False
        self.go_on()

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            UserError: it is of other data, or its contents do not fit.
        """
        if saved.get("data_sha256") != self.data.sha256:
            raise UserError(
                f"the data {self.data.name!r} are others than those that the run in "
                f"{str(self.job.folder)!r} was started with"
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(saved["parts"][name])
            self.rows = list(saved["rows"])
            self.steps, self.samples, self.scored, self._taught = saved["counts"]
            self._seconds = float(saved["seconds"])
            loss = saved["loss"]
            self._loss = None if loss is None else loss.to(self.job.settings.device)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise files.damaged(self.job.folder) from error
        files.write_lines(self.job.folder / "metrics.jsonl", self.rows)

    def interrupt(self, number: int, _: Any) -> None:
        """Note a signal, which is obeyed after the step; a second one ends the run at once."""
        if self._signal:
            raise KeyboardInterrupt
        self._signal = signal.Signals(number).name

    def _obey(self) -> None:
        if self._signal:
            raise UserError(
                f"{self._signal} after {self.steps} of {self.total_steps} steps; go on with "
                f"`ntteach teach {self.job.settings.recipe} "
                f"--out {shlex.quote(str(self.job.folder))} --resume`"
            )

    def go_on(self) -> None:
        """Let the clock run, which stands still while tests are taken and files are written."""
        self._since = time.perf_counter()

    def _pause(self) -> None:
        if self._since is not None:
            if self.job.settings.device.startswith("cuda"):
                torch.cuda.synchronize()
            self._seconds += time.perf_counter() - self._since
            self._since = None

    def _tell(self) -> None:
        now = time.perf_counter()
        if self.show is None or now - self._shown < 0.1 or self._loss is None:
            return
        self._shown = now
        share = self.steps / self.total_steps
        bar = "#" * round(12 * share) + "." * (12 - round(12 * share))
        spent = self._seconds + (0 if self._since is None else now - self._since)
        told = [
            f"[{bar}] epoch {len(self.rows) + 1}/{self.teacher.epochs}",
            f"loss {float(self._loss) / self._taught:.3f}",
            *([f"accuracy {self.rows[-1]['test_accuracy']:.3f}"] if self.rows else []),
            f"{spent * (1 - share) / share:.0f} s left",
        ]
        self.show(self.steps, self.total_steps, ", ".join(told))


@contextmanager
def running(job: Job, data: Data, **parts: Any) -> Iterator[Run]:
    """A run in its folder, restored if there is a checkpoint; signals wait for the end of a step.

    Args:
        job: where and what.
        data: what is taught.
        parts: teacher, model, optimizer, schedule and whatever else has a `state_dict`.
    """
    teacher: Teacher = parts["teacher"]
    with progress() as show:
        steps = teacher.total_steps(job.settings.batch_size)
        run = Run(job, data, teacher, parts, steps, show)
        if job.saved is not None:
            run.restore(job.saved)
            run.go_on()
        else:
            run.save()  # so that a kill at any time leaves something to go on from
        with handled(run.interrupt):
            yield run
