"""Images of digits for a small ViT: scikit-learn's digits, shifted and noisy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from teaching_data import Data, copies, name_of
from torch import Tensor
from torch.nn import functional as F

from ntteach.recipes.models import ViT

SIDE, PATCH = 12, 6  # of an image
KNOWN = 1200  # digits that training images are made of; the others are held out
VIEWS = 7  # test images of one held-out digit


@dataclass(frozen=True)
class Images:
    """Digits, upsampled, shifted and noisy, for a small ViT; the metric is test accuracy.

    Args:
        noise: share of the training labels replaced by another class.
        copies: share of the training images that repeat an earlier one, which one by Zipf's law;
            a copy has fresh noise of its own, a tenth of an image's, and a label drawn anew.
        tail: how many times rarer the rarest class is than the commonest; 1 is balanced.
        epochs: of the full run.
        width: of the ViT.
        samples: training images.
    """

    noise: float = 0.0
    copies: float = 0.0
    tail: float = 1.0
    epochs: int = 15
    width: int = 32
    samples: int = 1800
    batch: int = 60
    grey: float = 0.08  # standard deviation of an image's noise; ink is 1

    metric = "accuracy"

    @property
    def name(self) -> str:
        """How the store and the tables call it."""
        names = ("noise", "copies", "tail", "epochs", "width", "samples", "batch")
        return name_of("vit", self, Images(), names)

    def data(self, split: int) -> Data:
        """The training set and the test set of one split."""
        return _images(self, split)

    def model(self, seed: int) -> ViT:
        """The learner before training."""
        return ViT(SIDE, 1, PATCH, self.width, layers=2, heads=2, classes=10, seed=seed)

    @staticmethod
    def losses(model: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """One loss a sample, `(N,)`."""
        return F.cross_entropy(model(x), y, reduction="none")

    @staticmethod
    def test(model: torch.nn.Module, data: Data) -> float:
        """Share of the test images that are classified right."""
        right = [
            (model(x).argmax(1) == y).sum()
            for x, y in zip(data.test_x.split(500), data.test_y.split(500), strict=True)
        ]
        return float(sum(right)) / len(data.test_y)


@lru_cache(maxsize=8)
def _images(task: Images, split: int) -> Data:
    from sklearn.datasets import load_digits

    draw = torch.Generator().manual_seed(1000 + split)
    pixels, digit = load_digits(return_X_y=True)
    ink = torch.from_numpy(pixels).float().view(-1, 1, 8, 8) / 16
    ink = F.interpolate(ink, size=(SIDE - 2, SIDE - 2), mode="bilinear", align_corners=False)
    label = torch.from_numpy(digit)
    order = torch.randperm(len(label), generator=draw)
    known, held_out = order[:KNOWN], order[KNOWN:]

    frequency = task.tail ** (-torch.arange(10) / 9)
    first = copies(task.samples, task.copies, draw)  # which image each one shows
    chosen = torch.multinomial(
        frequency[label[known]], task.samples, replacement=True, generator=draw
    )
    clean = _shifted(ink[known[chosen]], draw)
    x = _noisy(clean, task.grey, draw)[first]
    copied = first != torch.arange(task.samples)
    x[copied] = _noisy(x[copied], task.grey / 10, draw)
    y = label[known[chosen]][first]
    wrong = torch.rand(task.samples, generator=draw) < task.noise
    y = torch.where(wrong, (y + torch.randint(1, 10, y.shape, generator=draw)) % 10, y)

    shown = held_out.repeat(VIEWS)
    test_x = _noisy(_shifted(ink[shown], draw), task.grey, draw)
    return Data(x, y, test_x, label[shown])


def _shifted(images: Tensor, draw: torch.Generator) -> Tensor:
    """`(N, 1, s, s)` at one of nine places of `(N, 1, s + 2, s + 2)`."""
    wide = F.pad(images, (2, 2, 2, 2))  # windows of side s + 2 into it
    place = torch.randint(0, 9, (len(images),), generator=draw)
    out = torch.empty(len(images), 1, SIDE, SIDE)
    for p in range(9):
        here = place == p
        down, right = divmod(p, 3)
        out[here] = wide[here, :, down : down + SIDE, right : right + SIDE]
    return out


def _noisy(images: Tensor, grey: float, draw: torch.Generator) -> Tensor:
    return images + grey * torch.randn(images.shape, generator=draw)
