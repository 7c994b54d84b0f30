"""What the recipes teach: digits, faces, and text; all of it is on the machine, nothing is fetched.

Splits are drawn from a seed of their own, so that every run of a recipe is judged on one test set.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from ntteach.report.output import UserError

_SPLIT = 2025  # the seed of which images are the test set
_INSTALLED_AS = {"sklearn": "scikit-learn", "skimage": "scikit-image"}


@dataclass(frozen=True)
class Data:
    """What is taught and what is tested on.

    Args:
        name: of the data.
        train: pairs of an input and a target.
        test: likewise, never taught.
        classes: how many values a target has.
        sha256: of what was read, in hexadecimal digits.
    """

    name: str
    train: TensorDataset
    test: TensorDataset
    classes: int
    sha256: str


def digits() -> Data:
    """1797 images of handwritten digits, 8 by 8, from scikit-learn; a quarter is the test set."""
    images, labels = _optional("sklearn.datasets").load_digits(return_X_y=True)
    x = torch.from_numpy(images).float().view(-1, 1, 8, 8)
    return _images("digits", x, torch.from_numpy(labels).long(), classes=10)


def faces() -> Data:
    """100 faces and 100 images without one, 25 by 25, from scikit-image; a quarter is tested on."""
    images = torch.from_numpy(_optional("skimage.data").lfw_subset()).float()
    return _images("faces", images[:, None], (torch.arange(200) < 100).long(), classes=2)


def text(source: str = "topics", *, length: int = 64) -> Data:
    """Characters of a text, to be predicted from those before; the last tenth is the test set.

    Inputs and targets are windows `(length,)` of it that do not overlap, the targets one character
    further on. A character is a class; the classes are the characters of the text, sorted.

    Args:
        source: "topics", the help texts that Python carries (other texts in other versions of
            Python), or the name of a file in UTF-8.
        length: of a window.

    Raises:
        UserError: a file that cannot be read, or has less than 20 windows.
    """
    found = _topics() if source == "topics" else _file(source)
    alphabet = sorted(set(found))
    code = {character: n for n, character in enumerate(alphabet)}
    n = (len(found) - 1) // length
    if n < 20:
        raise UserError(
            f"{source!r} has {len(found)} characters; expected at least {20 * length + 1}, which "
            f"are 20 windows of {length}"
        )
    tokens = torch.tensor([code[character] for character in found[: n * length + 1]])
    x, y = tokens[:-1].view(n, length), tokens[1:].view(n, length)
    taught = n - math.ceil(n / 10)
    return Data(
        name=source,
        train=TensorDataset(x[:taught], y[:taught]),
        test=TensorDataset(x[taught:], y[taught:]),
        classes=len(alphabet),
        sha256=hashlib.sha256(found.encode()).hexdigest(),
    )


def _images(name: str, x: Tensor, y: Tensor, classes: int) -> Data:
    """Three quarters to teach and one to test, of mean 0 and variance 1 over what is taught."""
    sha256 = hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(_SPLIT))
    train, test = order[len(x) // 4 :], order[: len(x) // 4]
    x = (x - x[train].mean()) / x[train].std()
    return Data(
        name, TensorDataset(x[train], y[train]), TensorDataset(x[test], y[test]), classes, sha256
    )


def _topics() -> str:
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise UserError(
            "this Python came without its help texts (pydoc_data); name a text with --data FILE"
        ) from error
    return "\n".join(topics[name] for name in sorted(topics))


def _file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UserError(f"cannot read {name!r}: {why}; expected 'topics' or a text file") from error


def _optional(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        package = _INSTALLED_AS[module.partition(".")[0]]
        raise UserError(
            f"these data come with {package}, which is not installed: pip install {package}, "
            f"or ntteach with the extra 'recipes'"
        ) from error
