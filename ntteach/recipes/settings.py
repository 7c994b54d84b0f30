"""What `ntteach teach` is told: numbers and schedules as text, before torch is loaded."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ntteach.report.output import UserError

if TYPE_CHECKING:
    from ntteach.teaching import Teacher

SELECT = ("auto", "random", "hard", "soft", "aged")
# how many numbers a schedule has besides its name; `ntteach.teaching.schedules` has the functions
_SCHEDULES = {"constant": 1, "incremental": 2, "cosine": 2, "step": 3}
_FORMS = "incremental:START:END, cosine:START:END or step:START:END:STAGES"


@dataclass(frozen=True)
class Settings:
    """One run of a recipe; what a run that is resumed must be told again, or not at all.

    Args:
        recipe: its name.
        data: what it teaches.
        epochs, batch_size: of the run.
        lr: the highest learning rate.
        select, ratio, every, first, final_full, floor, cap, temperature, seed: as for `Teacher`;
            ratio and every are text, as `schedule` reads it.
        device: where the model is.
    """

    recipe: str
    data: str
    epochs: int
    batch_size: int
    lr: float
    select: str = "auto"
    ratio: str = "0.7"
    every: str = "1"
    first: str = "full"
    final_full: int | float = 0
    floor: float = 0.0
    cap: float | None = None
    temperature: float = 1.0
    seed: int = 0
    device: str = "cpu"

    def teacher(self, samples: int) -> Teacher:
        """A teacher of that many samples, as it is told here.

        Raises:
            UserError: what the `Teacher` refuses, in its words.
        """
        from ntteach.teaching import Teacher

        try:
            return Teacher(
                samples,
                epochs=self.epochs,
                select=self.select,
                ratio=schedule(self.ratio),
                every=schedule(self.every),
                first=self.first,
                final_full=self.final_full,
                floor=self.floor,
                cap=self.cap,
                temperature=self.temperature,
                seed=self.seed,
                device=self.device,
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    def changed(self, **given: Any) -> Settings:
        """These settings with those that were given in the place of defaults."""
        return replace(self, **given)

    def must_agree(self, given: Mapping[str, Any], where: str) -> None:
        """Raise a `UserError` that names the first setting which is given and is another one."""
        for name, mine in asdict(self).items():
            if name in given and given[name] != mine:
                was = "not given" if mine is None else repr(mine)
                raise UserError(
                    f"{flag(name)} was {was} in {where!r}, and is {given[name]!r} now; a run is "
                    f"resumed with what it was started with, which need not be said again"
                )

    @staticmethod
    def of(saved: Any) -> Settings:
        """The settings of a checkpoint.

        Raises:
            ValueError: if they are none.
        """
        names = {field.name for field in fields(Settings)}
        if not isinstance(saved, Mapping) or set(saved) != names:
            raise ValueError("its settings are not those of this version")
        return Settings(**saved)


def flag(name: str) -> str:
    """A setting as the command line has it.

    >>> flag("batch_size"), flag("recipe")
    ('--batch-size', 'RECIPE')
    """
    return "RECIPE" if name == "recipe" else "--" + name.replace("_", "-")


def schedule(text: str) -> Any:
    """A schedule from its text: a number, or a name and its numbers between colons.

    >>> schedule("cosine:.2:.8")(0.5), schedule("0.7")(1.0)
    (0.5, 0.7)
    """
    from ntteach.teaching import schedules

    kind, numbers = _read(text)
    if kind == "step":
        return schedules.step(numbers[0], numbers[1], int(numbers[2]))
    return getattr(schedules, kind)(*numbers)


def schedule_text(text: str) -> str:
    """The text of a schedule in one spelling, for argparse; no torch is loaded.

    >>> schedule_text("cosine:.2:.80"), schedule_text("1")
    ('cosine:0.2:0.8', '1')

    Raises:
        ArgumentTypeError: for what is no schedule.
    """
    kind, numbers = _read(text)
    spelt = [f"{number:.12g}" for number in numbers]
    return ":".join(spelt if kind == "constant" else [kind, *spelt])


def number(text: str) -> float:
    """A finite number, for argparse.

    >>> number(".5")
    0.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"expected a finite number, got {text!r}")
    return value


def above_zero(text: str) -> float:
    """A number above 0, for argparse."""
    value = number(text)
    if value <= 0:
        raise ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def epochs_or_share(text: str) -> int | float:
    """A number of epochs if it has no point, else a share of them; for argparse.

    >>> epochs_or_share("2"), epochs_or_share(".1")
    (2, 0.1)
    """
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else number(text)


def _read(text: str) -> tuple[str, list[float]]:
    *kind, first = text.split(":", 1)
    name = kind[0] if kind else "constant"
    if name not in _SCHEDULES:
        raise ArgumentTypeError(f"expected a number, {_FORMS}, got {text!r}")
    parts = first.split(":")
    if len(parts) != _SCHEDULES[name]:
        raise ArgumentTypeError(
            f"a {name} schedule has {_SCHEDULES[name]} numbers, got {len(parts)} in {text!r}; "
            f"expected a number, {_FORMS}"
        )
    numbers = [number(part) for part in parts]
    if name == "step" and (numbers[2] != int(numbers[2]) or numbers[2] < 2):
        raise ArgumentTypeError(f"a step schedule has 2 stages or more, got {parts[2]!r}")
    return name, numbers
