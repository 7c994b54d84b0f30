"""What a teacher is told: its rule and the numbers that go with it, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

RULES = ("auto", "random", "hard", "soft", "aged", "ntk", "weighted", "gradnorm")
# the scores of these are no losses: they come from `record`, or beside the losses
OWN_SCORES = ("ntk", "gradnorm")
NO_SCORES = ("random", "weighted")


@dataclass(frozen=True)
class Options:
    """How samples are chosen; `Teacher` says what each means."""

    select: str
    floor: float
    cap: float | None
    temperature: float
    draw_from: str
    reweight: bool
    strength: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: with the name, the value and what was expected.
        """
        if self.select not in RULES:
            raise ValueError(f"select is one of {', '.join(RULES)}; got {self.select!r}")
        _between("floor", self.floor, 0, 1)
        if self.cap is not None:
            _between("cap", self.cap, 0, 1)
        if self.cap == 0:
            raise ValueError("a cap of 0 leaves nothing to choose: it lies in (0, 1]")
        _between("temperature", self.temperature, 0, math.inf)
        if self.temperature in (0, math.inf):
            raise ValueError(f"a temperature is finite and above 0, got {self.temperature}")
        _between("strength", self.strength, 0, math.inf)
        if self.strength == math.inf:
            raise ValueError('a strength is finite; select="hard" is its limit')
        if self.draw_from not in ("log", "score"):
            raise ValueError(f'draw_from is "log" or "score", got {self.draw_from!r}')
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ValueError(f"a seed is a whole number, got {self.seed!r}")
        if self.reweight and self.select not in ("soft", "weighted"):
            raise ValueError(
                "reweight needs a draw whose chances are known, "
                f'select="soft" or "weighted"; got {self.select!r}'
            )
        if self.reweight and (self.floor > 0 or self.cap is not None):
            raise ValueError(
                "reweight is wrong beside a floor or a cap, which change the chances: "
                f"got floor={self.floor}, cap={self.cap}"
            )


def _between(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} lies between {low} and {high}, got {value!r}")
