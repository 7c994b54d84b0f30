"""What `ntteach check --bound` is given: a model, its data, and the constants of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntteach.bounds import FORMS
from ntteach.bounds.gram import positive
from ntteach.bounds.runs import loss_of
from ntteach.bounds.sources import kernel_of
from ntteach.losses import Loss
from ntteach.rkhs import FunctionalLearner, Kernel
from ntteach.variants.target import CannotCheck, required, said

STEPS = 10
_NEEDED = ("model", "targets")
_OPTIONAL = (
    "sequences",
    "loss",
    "eta",
    "tau",
    "gamma",
    "normaliser",
    "steps",
    "chosen",
    "start",
    "mask",
    "heads",
)


@dataclass(frozen=True)
class Setting:
    """A run to be judged; what is not described here is as for `reductions_along`.

    Args:
        forms: all of them, "subset" only where sequences are chosen.
        chosen_eta: whether eta was chosen here, as the largest of Eq. 19, `1 / (2 tau gamma)`;
            it is not where it was given, or the model is an `rkhs` learner with its own.
        described: what the model is, in words.
    """

    model: Any
    sequences: Any
    targets: Tensor
    loss: Loss
    eta: float
    tau: float
    gamma: float | None
    normaliser: Any
    steps: int
    chosen: Any
    start: Any
    mask: Any
    heads: int
    forms: tuple[str, ...]
    chosen_eta: bool
    described: str


def setting(target: object, name: str, steps: int | None = None) -> Setting:
    """Read what was named: a mapping, or a function without arguments that returns one.

    Args:
        target: gives "model" and "targets", "sequences" unless the model is a Gram matrix, and
            optionally what `reductions_along` takes besides.
        name: for messages.
        steps: in place of those that are given.

    Raises:
        CannotCheck: a `ValueError`: anything else, or constants out of range.

    >>> given = {"model": [[2.0]], "targets": [1.0]}
    >>> setting(given, "given").eta  # half of 1 / (2 tau gamma)
    0.125
    """
    given = _given(target, name)
    try:
        loss = loss_of(given.get("loss"), given["model"])
        tau = positive(given.get("tau", loss.smoothness), "tau", infinite=True)
        gamma = given.get("gamma")
        sequences, mask = _tensors(given.get("sequences")), given.get("mask")
        model, heads = given["model"], given.get("heads", 1)
        eta = given.get("eta", model.eta if isinstance(model, FunctionalLearner) else None)
        return Setting(
            model,
            sequences,
            _tensors(given["targets"]),
            loss,
            _eta(model, sequences, tau, gamma, mask, heads) if eta is None else eta,
            tau,
            gamma,
            given.get("normaliser"),
            given.get("steps", STEPS) if steps is None else steps,
            given.get("chosen"),
            given.get("start"),
            mask,
            heads,
            tuple(form for form in FORMS if form != "subset" or "chosen" in given),
            eta is None,
            _described(model),
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise CannotCheck(f"{name}: {error}") from error


def _given(target: object, name: str) -> Mapping[str, Any]:
    found: Any = target
    if callable(target) and not isinstance(target, Mapping | torch.nn.Module):
        if required(target):
            raise CannotCheck(f"{name} needs arguments: name a function without any, or a mapping")
        try:
            found = target()
        except (Exception, SystemExit) as error:
            raise CannotCheck(f"calling {name}() raised {said(error)}") from error
    if not isinstance(found, Mapping):
        raise CannotCheck(
            f"{name} gives a {type(found).__name__}, expected a mapping with model, sequences and "
            f"targets, or a function without arguments that returns one"
        )
    missing = [key for key in _NEEDED if key not in found]
    if missing:
        raise CannotCheck(f"{name} gives no {' and no '.join(missing)}")
    for key in found:
        if key not in (*_NEEDED, *_OPTIONAL):
            near = get_close_matches(str(key), (*_NEEDED, *_OPTIONAL), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise CannotCheck(f"{name} gives {key!r}, which nothing asks for{hint}")
    return found


def _eta(model: Any, sequences: Any, tau: float, gamma: Any, mask: Any, heads: int) -> float:
    """Half of the largest learning rate that Eq. 19 allows at the start: a model's kernel grows."""
    if gamma is None:
        gamma = kernel_of(model, sequences, mask=mask, heads=heads).largest_entry
        if gamma <= 0:
            raise ValueError("the kernel is zero, so that no step changes anything")
    if tau == float("inf"):
        raise ValueError("the loss is not smooth, so that no eta follows from it: give eta")
    return 1 / (4 * tau * positive(gamma, "gamma"))


def _tensors(given: Any) -> Any:
    """Arrays and lists of numbers as tensors; whatever else a module is called with as it is."""
    if isinstance(given, np.ndarray):
        return torch.as_tensor(given)
    if isinstance(given, list):
        return torch.as_tensor(np.asarray(given))
    return given


def _described(model: Any) -> str:
    if isinstance(model, torch.nn.Module | Kernel | FunctionalLearner):
        return type(model).__name__
    return "parameters of attention" if isinstance(model, Mapping) else "a Gram matrix"
