"""How the learning rate of a recipe changes, up to the last step that its teacher plans."""

from __future__ import annotations

import math
from collections.abc import Callable


def decayed(total_steps: int, warm_up: float = 0.05) -> Callable[[int], float]:
    """The factor of the learning rate at each step: up in a line, then half a cosine down to 0.

    Args:
        total_steps: after which it is 0; `Teacher.total_steps` knows them.
        warm_up: the share of them in which it rises.

    >>> rate = decayed(100, warm_up=0.1)
    >>> rate(0), rate(9), rate(100)
    (0.1, 1.0, 0.0)
    """
    warm = max(1, round(warm_up * total_steps))

    def factor(step: int) -> float:
        if step >= total_steps:
            return 0.0
        if step < warm:
            return (step + 1) / warm
        return (1 + math.cos(math.pi * (step - warm) / (total_steps - warm))) / 2

    return factor
