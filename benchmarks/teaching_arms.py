"""The arms: who chooses what a run is trained on, and for which cost.

An arm makes a `Rule` for a number of samples, epochs of the full run and a seed. Costs are in full
runs: a sample's forward and backward pass is 1 / (epochs * samples), a forward pass a third of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import teaching_rules as rules
import torch
from torch import Tensor

FORWARD = 1 / 3  # cost of a forward pass, of forward and backward
Scorer = Callable[[Tensor], Tensor]  # losses of samples, without gradient; the run charges it


class Rule:
    """All data in every epoch; the base of the others.

    Attributes:
        planned: how many samples each epoch takes, or None if nobody knows beforehand; then the
            learning rate follows the share of the epochs that is done.
    """

    planned: Sequence[int] | None

    def __init__(self, samples: int, epochs: int, seed: int) -> None:
        self.samples, self.epochs = samples, epochs
        self.draw = torch.Generator().manual_seed(seed)
        self.planned = [samples] * epochs
        self.scores = torch.zeros(samples)

    def epoch(self, number: int, score: Scorer) -> Tensor:
        """Ids of the epoch in the order in which they are taught."""
        return rules.random(self.samples, self.samples, self.draw)

    def batch(self, ids: Tensor, number: int, progress: float, score: Scorer) -> Tensor:
        """Ids of one batch of them that are trained on."""
        return ids

    def loss(self, ids: Tensor, losses: Tensor) -> Tensor:
        """Records the losses; returns what to differentiate."""
        self.scores[ids] = losses.detach().cpu()
        return losses.mean()


class Short(Rule):
    """All data for a shorter time: as many samples as the cost pays for."""

    def __init__(self, samples: int, epochs: int, seed: int, cost: float) -> None:
        super().__init__(samples, epochs, seed)
        whole, rest = divmod(round(cost * epochs * samples), samples)
        self.planned = [samples] * whole + [rest] * (rest > 0)
        self.epochs = len(self.planned)

    def epoch(self, number: int, score: Scorer) -> Tensor:
        assert self.planned is not None
        return super().epoch(number, score)[: self.planned[number]]


class Subsets(Rule):
    """Subsets of one size, chosen anew in each epoch; the first epoch is full unless random."""

    def __init__(self, samples: int, epochs: int, seed: int, cost: float, choose: str) -> None:
        super().__init__(samples, epochs, seed)
        self.choose = choose
        self.planned = [round(cost * samples)] * epochs
        if choose != "random":
            k = round((cost * epochs - 1) * samples / (epochs - 1))
            self.planned = [samples] + [k] * (epochs - 1)

    def epoch(self, number: int, score: Scorer) -> Tensor:
        assert self.planned is not None
        k = self.planned[number]
        if self.choose == "random" or number == 0:
            return rules.random(self.samples, k, self.draw)
        return getattr(rules, self.choose)(self.scores, k, self.draw)


class Once(Subsets):
    """AtteNT for language models: one full epoch, then the hardest of it for ever."""

    def __init__(self, samples: int, epochs: int, seed: int, cost: float) -> None:
        super().__init__(samples, epochs, seed, cost, "hard")

    def epoch(self, number: int, score: Scorer) -> Tensor:
        if number <= 1:
            self.chosen = super().epoch(number, score)
        return rules.shuffled(self.chosen, self.draw)


class Incremental(Rule):
    """AtteNT for ViTs: soft choice of 20 to 80 %, at intervals of 1 to 3 epochs, all scored anew.

    The first epoch is full. Schedules are read at the share of epochs done; the published ones are
    5 to 10 of 800 epochs.
    """

    def __init__(self, samples: int, epochs: int, seed: int) -> None:
        super().__init__(samples, epochs, seed)
        self.planned = [samples]
        self.choices: dict[int, int] = {}  # the epoch of a choice, its size
        e = 1
        while e < epochs:
            progress = e / epochs
            self.choices[e] = round(rules.incremental(0.2, 0.8, progress) * samples)
            interval = min(1 + int(2 * progress), epochs - e)
            self.planned += [self.choices[e]] * interval
            e += interval

    def epoch(self, number: int, score: Scorer) -> Tensor:
        if number == 0:
            return super().epoch(number, score)
        if number in self.choices:
            scores = score(torch.arange(self.samples))
            self.chosen = rules.soft(scores, self.choices[number], self.draw)
        return rules.shuffled(self.chosen, self.draw)


class InfoBatch(Rule):
    """Half of the samples below the mean loss are left out, the other half count twice."""

    prune, delta = 0.5, 0.875

    def __init__(self, samples: int, epochs: int, seed: int) -> None:
        super().__init__(samples, epochs, seed)
        self.planned = None
        self.scores.fill_(3.0)
        self.weights = torch.ones(samples)

    def prunes(self, number: int) -> bool:
        """Whether epoch `number`, from 0, prunes; the last ones are full."""
        return number + 1 <= self.epochs * self.delta

    def epoch(self, number: int, score: Scorer) -> Tensor:
        self.weights = torch.ones(self.samples)
        if not self.prunes(number):
            return super().epoch(number, score)
        ids, self.weights = rules.infobatch(self.scores, self.prune, self.draw)
        return ids

    def loss(self, ids: Tensor, losses: Tensor) -> Tensor:
        super().loss(ids, losses)
        return (losses * self.weights[ids].to(losses.device)).mean()


class SeTa(InfoBatch):
    """A random nine tenths, grouped by loss; four of five groups, from easy to hard and back."""

    prune, groups, window = 0.1, 5, 0.9

    def epoch(self, number: int, score: Scorer) -> Tensor:
        if not self.prunes(number):
            k = int((1 - self.prune) * self.samples)
            return rules.random(self.samples, k, self.draw)
        return rules.seta(self.scores, number, self.prune, self.groups, self.window, self.draw)


class Selective(Rule):
    """Composer's selective backprop: from .5 to .9 of the run every second batch is halved."""

    def batch(self, ids: Tensor, number: int, progress: float, score: Scorer) -> Tensor:
        if not rules.prunes(progress, number, start=0.5, end=0.9, interrupt=2):
            return ids
        return ids[rules.selective(score(ids), 0.5, self.draw)]


@dataclass(frozen=True)
class Arm:
    """How a rule is made, of samples, epochs and seed; a new `version` makes stored runs stale."""

    make: Callable[[int, int, int], Rule]
    version: str = "1"
    kind: str = "rule"  # full, control, paper, rule or ours


ARMS: dict[str, Arm] = {
    "full": Arm(Rule, kind="full"),
    **{
        f"short {cost:.2f}": Arm(lambda n, e, s, c=cost: Short(n, e, s, c), kind="control")
        for cost in (0.6, 0.7, 0.8, 0.9)
    },
    "random 0.70": Arm(lambda n, e, s: Subsets(n, e, s, 0.7, "random"), kind="control"),
    "hard 0.70": Arm(lambda n, e, s: Subsets(n, e, s, 0.7, "hard")),
    "soft 0.70": Arm(lambda n, e, s: Subsets(n, e, s, 0.7, "soft")),
    "once 0.70": Arm(lambda n, e, s: Once(n, e, s, 0.7), kind="paper"),
    "incremental": Arm(Incremental, kind="paper"),
    "InfoBatch": Arm(InfoBatch),
    "SeTa": Arm(SeTa),
    "selective backprop": Arm(Selective),
}
