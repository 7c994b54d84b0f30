"""What a bound comes to on one kernel and one gradient: two sides, hypotheses, a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

Verdict = Literal["holds", "violated", "not applicable", "void"]


class Hypothesis(NamedTuple):
    """One condition of a bound.

    Args:
        name: the condition as a reader would write it, its limit with its number.
        value: what stands on its left side here.
        met: whether it is met, rounding allowed for.
    """

    name: str
    value: float
    met: bool


@dataclass(frozen=True)
class Reduction:
    """Both sides of `left <= right`, for one form of the sufficient reduction (Eq. 19).

    Args:
        form: the name of the form.
        left: the rate or the change of the loss.
        right: what the form says it is at most.
        hypotheses: what the form supposes, with values.
        constants: what the right side is made of, by name.
        left_is: what the left side is, in words.
        right_is: what the right side is, as a formula.
        proved: whether the form is a theorem under its hypotheses; that of the paper is not.
        tolerance: how far rounding may bring the two sides past each other.
        equality: whether the sides are said to be equal.

    >>> Reduction("rate", -3.0, -2.0, (), (), "dL/dt", "...", True, 0.0).slack
    1.0
    """

    form: str
    left: float
    right: float
    hypotheses: tuple[Hypothesis, ...]
    constants: tuple[tuple[str, float], ...]
    left_is: str
    right_is: str
    proved: bool
    tolerance: float
    equality: bool = False

    @property
    def slack(self) -> float:
        """`right - left`: the room that is left, negative where the bound is violated."""
        return self.right - self.left

    @property
    def ratio(self) -> float:
        """The decrease that is promised over the one there is: above 1 where violated.

        Infinite where a decrease is promised and there is none; 0 where none is promised.
        """
        if self.right >= 0:
            return 0.0
        return self.right / self.left if self.left < 0 else math.inf

    @property
    def verdict(self) -> Verdict:
        """Holds, violated, not applicable (a hypothesis is unmet) or void (promises nothing)."""
        if not all(hypothesis.met for hypothesis in self.hypotheses):
            return "not applicable"
        if not self.slack >= -self.tolerance or (self.equality and self.slack > self.tolerance):
            return "violated"
        return "holds" if self.right < 0 else "void"

    def constant(self, name: str) -> float:
        """The constant of this name.

        Raises:
            KeyError: there is none.
        """
        return dict(self.constants)[name]

    def __str__(self) -> str:
        lines = [f"{self.form}: {self.verdict}{self._because}"]
        lines += [
            f"  left   {self.left:<14.7g} {self.left_is}",
            f"  right  {self.right:<14.7g} {self.right_is}",
            f"  slack  {self.slack:.7g}",
        ]
        lines += [
            f"  {'met  ' if met else 'UNMET'}  {name}: {value:.7g}"
            for name, value, met in self.hypotheses
        ]
        lines += [f"  with   {name} = {value:.7g}" for name, value in self.constants]
        return "\n".join(lines)

    @property
    def _because(self) -> str:
        return {
            "holds": "",
            "violated": ", left is not right" if self.equality else ", left is above right",
            "not applicable": ", a hypothesis is unmet",
            "void": ", right promises no decrease",
        }[self.verdict]


def at_most(name: str, value: float, limit: float, rounding: float = 1e-14) -> Hypothesis:
    """The hypothesis `value <= limit`, met also where rounding alone, relative, parts them."""
    return Hypothesis(f"{name} = {limit:.7g}", value, value <= limit + rounding * abs(limit))


def fall(amount: float) -> float:
    """The rate of a fall by this amount; 0, not -0, for none."""
    return -amount if amount else 0.0
