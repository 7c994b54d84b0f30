"""One selection of a teacher: from what it remembers and was told to the chosen samples."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from ntteach.teaching import selection
from ntteach.teaching.memory import LARGEST, places
from ntteach.teaching.options import Options
from ntteach.teaching.reading import Reading
from ntteach.teaching.weights import gradnorm_weights


@dataclass(frozen=True)
class Choice:
    """The chosen samples (k,), and their weights (k,) if sums are to be unbiased."""

    chosen: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Decision:
    """What one selection saw and did; part of a teacher's report.

    Attributes:
        epoch: before which it was made.
        taught: how many samples were chosen.
        rule: the rule.
        strength: of an aged choice, read or given.
        unseen, infinite, nan: how many samples had no score, an infinite one, or NaN.
        reading: what the default teacher read.
        seconds: how long it took.
    """

    epoch: int
    taught: int
    rule: str
    strength: float | None
    unseen: int
    infinite: int
    nan: int
    reading: Reading | None
    seconds: float


def decision(**plain: Any) -> Decision:
    """A decision from its `dataclasses.asdict`."""
    told = plain.pop("reading")
    return Decision(**plain, reading=None if told is None else Reading(**told))


def generator(seed: int, purpose: str, number: int) -> Generator:
    """A generator of its own for each purpose and epoch: nothing of it needs to be saved.

    Example:
        >>> generator(0, "order", 1).initial_seed() == generator(0, "order", 2).initial_seed()
        False
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(digest) >> 1)


def census(scores: Tensor) -> tuple[int, int, int]:
    """How many scores are unseen (infinite), were recorded as infinite, and are NaN."""
    return (
        int((scores == float("inf")).sum()),
        int(((scores == LARGEST) | (scores == -LARGEST)).sum()),
        int(scores.isnan().sum()),
    )


def choose(
    options: Options,
    k: int,
    scores: Tensor,
    ages: Tensor,
    times: Tensor,
    chance: Generator,
    *,
    by: Tensor | None = None,
    weights: Tensor | None = None,
    groups: Tensor | None = None,
) -> Choice:
    """The k samples that the rule takes.

    Args:
        options: what the teacher was told.
        k: how many, from 1 to N.
        scores: (N,), float32, on the CPU; infinite where nothing is known.
        ages: (N,), how many epochs ago each was taught.
        times: (N,), how often.
        chance: where all chance is drawn from.
        by: (N,), what "auto" chooses by in place of the scores, if anything.
        weights: (N,), for "weighted".
        groups: (N,), for "gradnorm".

    Raises:
        ValueError: if the scores do not suit the rule.
    """
    samples = len(scores)
    by_chance = math.floor(options.floor * k + 0.5)
    by_rule = k - by_chance
    if options.select == "random" or not by_rule:
        return Choice(selection.random(samples, k, chance))
    phi: Tensor | None = None
    if options.select in ("hard", "ntk"):
        keys = scores
    elif options.select == "auto":
        keys = selection.aged_keys(scores if by is None else by, ages, 1.0, times)
        keys = infinite_next(keys, scores)
    elif options.select == "aged":
        keys = infinite_next(selection.aged_keys(scores, ages, options.strength, times), scores)
    else:
        if options.select == "soft":
            phi = selection.logits(scores, options.temperature, options.draw_from)
            phi = infinite_next(phi, scores)
        elif options.select == "weighted":
            assert weights is not None
            phi = weights.double().log()
        else:
            assert groups is not None
            norms = scores.where(scores < LARGEST, float("inf"))  # left out of a group's mean
            phi = gradnorm_weights(groups, norms).double().log()
        keys = selection.gumbel(samples, chance).add_(phi)
    if options.cap is not None:
        keys = selection.cap_scores(keys, scores, options.cap)
    chosen = selection.largest(keys, by_rule, chance)
    if options.reweight:
        assert phi is not None
        return Choice(chosen, selection.unbiased_weights(phi, keys, chosen).float())
    return Choice(selection.with_others(chosen, samples, by_chance, chance))


def infinite_next(keys: Tensor, scores: Tensor) -> Tensor:
    """Keys in which recorded infinities come after what is unseen and before all others.

    A strength near 0 or a high temperature would leave them no higher than the rest.

    Example:
        >>> infinite_next(torch.tensor([9.0, 1.0]), torch.tensor([2.0, LARGEST])).argmax()
        tensor(1)
    """
    infinite = scores == LARGEST
    return keys.masked_fill(infinite, torch.finfo(keys.dtype).max) if infinite.any() else keys


def shuffled(chosen: Tensor | None, samples: int, chance: Generator) -> Tensor:
    """The chosen (all, if None) in a fresh order; int32 where that holds all places."""
    if chosen is None:
        return torch.randperm(samples, generator=chance, dtype=places(samples))
    return chosen[torch.randperm(len(chosen), generator=chance, dtype=places(samples))]
