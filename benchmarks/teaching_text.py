"""Text for a small language model: Python's own help, character by character."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from teaching_data import Data, copies, name_of
from torch import Tensor
from torch.nn import functional as F

from ntteach.recipes.models import LanguageModel


@dataclass(frozen=True)
class Text:
    """Characters of Python's help topics for a small language model; the metric is nats.

    Args:
        noise: share of the training windows whose characters are in random order.
        copies: share of the training windows that repeat an earlier one, which one by Zipf's law.
        epochs: of the full run.
        width: of the model.
        samples: training windows.
    """

    noise: float = 0.0
    copies: float = 0.0
    epochs: int = 5
    width: int = 32
    samples: int = 1024
    batch: int = 16
    length: int = 64

    metric = "nats"

    @property
    def name(self) -> str:
        """How the store and the tables call it."""
        names = ("noise", "copies", "epochs", "width", "samples", "batch")
        return name_of("lm", self, Text(), names)

    def data(self, split: int) -> Data:
        """The training windows and the test windows of one split."""
        return _text(self, split)

    def model(self, seed: int) -> LanguageModel:
        """The learner before training."""
        return LanguageModel(
            len(corpus().characters), self.width, layers=2, heads=2, context=self.length, seed=seed
        )

    @staticmethod
    def losses(model: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Mean over the characters of each window, `(N,)`."""
        logits = model(x).flatten(0, 1)
        return F.cross_entropy(logits, y.flatten(), reduction="none").view(y.shape).mean(1)

    @classmethod
    def test(cls, model: torch.nn.Module, data: Data) -> float:
        """Cross-entropy of the test windows, nats a character."""
        parts = zip(data.test_x.split(64), data.test_y.split(64), strict=True)
        return float(torch.cat([cls.losses(model, x, y) for x, y in parts]).mean())


@dataclass(frozen=True)
class Corpus:
    """Text as numbers."""

    text: str

    @cached_property
    def characters(self) -> list[str]:
        """The alphabet, sorted."""
        return sorted(set(self.text))

    @cached_property
    def tokens(self) -> Tensor:
        """`(length,)` places in the alphabet."""
        place = {c: i for i, c in enumerate(self.characters)}
        return torch.tensor([place[c] for c in self.text])

    @property
    def sha256(self) -> str:
        """Of the text; other versions of Python have another one."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@lru_cache
def corpus() -> Corpus:
    """The help topics that come with Python, one after the other by name."""
    from pydoc_data.topics import topics

    return Corpus("\n".join(topics[name] for name in sorted(topics)))


@lru_cache(maxsize=8)
def _text(task: Text, split: int) -> Data:
    draw = torch.Generator().manual_seed(2000 + split)
    tokens, L = corpus().tokens, task.length
    # the last fifth is for testing: one cut, so that no window lies across it
    cut = len(tokens) * 4 // 5
    starts = torch.randperm(cut // (L + 1), generator=draw)[: task.samples] * (L + 1)
    windows = tokens[starts[:, None] + torch.arange(L + 1)]
    windows = windows[copies(task.samples, task.copies, draw)]
    scrambled = torch.rand(task.samples, generator=draw) < task.noise
    mixed = torch.rand(windows.shape, generator=draw).argsort(1)
    windows = torch.where(scrambled[:, None], windows.gather(1, mixed), windows)
    tests = torch.arange(cut, len(tokens) - L - 1, L + 1)
    tests = tests[torch.randperm(len(tests), generator=draw)[:400]]
    held_out = tokens[tests[:, None] + torch.arange(L + 1)]
    return Data(windows[:, :-1], windows[:, 1:], held_out[:, :-1], held_out[:, 1:])
