"""Arms that use the teacher of ntteach, its default and what was tried beside it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from teaching_arms import ARMS, Arm, Rule, Scorer
from torch import Tensor

from ntteach import teaching
from ntteach.teaching import Teacher, incremental

Schedule = Callable[[float], float]


def rising(r: float) -> Schedule:
    """A ratio that grows in a line to 1, with mean r."""
    return incremental(max(1e-3, 2 * r - 1), 1.0)


class Taught(Rule):
    """`Teacher` in the loop of its documentation, its ratio such that the run has the cost.

    Args:
        samples, epochs, seed: as every rule.
        cost: of the run, in full runs; scoring is free, since losses of training are the scores.
        ratio: of a number r that is solved for; a constant r if None.
        options: of `Teacher`.
    """

    def __init__(
        self,
        samples: int,
        epochs: int,
        seed: int,
        cost: float,
        ratio: Callable[[float], float | Schedule] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(samples, epochs, seed)

        def teacher(r: float) -> Teacher:
            given = r if ratio is None else ratio(r)
            return Teacher(samples, epochs=epochs, ratio=given, seed=seed, **options)

        low, high = 1 / samples, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            short = teacher(middle).total_samples < cost * epochs * samples
            low, high = (middle, high) if short else (low, middle)
        self.teacher = teacher(high)
        self.planned = self.teacher.plan.sizes

    def epoch(self, number: int, score: Scorer) -> Tensor:
        self.teacher.set_epoch(number)
        return self.teacher.selected.long()

    def loss(self, ids: Tensor, losses: Tensor) -> Tensor:
        return self.teacher.update(ids, losses)


def code(*modules: str) -> str:
    """A short hash of what modules of `ntteach.teaching` do: docstrings and comments are left out.

    So that runs of a default which has changed since are not taken for the present one's.
    """
    folder = Path(teaching.__file__).parent
    digest = hashlib.sha256()
    for module in modules:
        tree = ast.parse((folder / f"{module}.py").read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            first = body[0] if isinstance(body, list) and body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = None
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:8]


def taught(
    cost: float, ratio: Callable[[float], float | Schedule] | None = None, **options: Any
) -> Arm:
    """An arm of `Taught`."""
    version = code("reading", "selection", "choice") if not options else "1"
    return Arm(lambda n, e, s: Taught(n, e, s, cost, ratio, **options), version, kind="ours")


ARMS |= {
    "auto 0.70": taught(0.7),
    "aged 0 0.70": taught(0.7, select="aged", strength=0.0),
    "aged 0.25 0.70": taught(0.7, select="aged", strength=0.25),
    "aged 0.5 0.70": taught(0.7, select="aged", strength=0.5),
    "aged 1 0.70": taught(0.7, select="aged", strength=1.0),
    "aged 2 0.70": taught(0.7, select="aged", strength=2.0),
    # hard, but from few samples to all of them
    "rising hard 0.70": taught(0.7, rising, select="hard"),
    "rising aged 1 0.70": taught(0.7, rising, select="aged", strength=1.0),
    "aged 1, full at the end 0.70": taught(0.7, select="aged", strength=1.0, final_full=2),
    "capped hard 0.70": taught(0.7, select="hard", cap=0.9),
}
