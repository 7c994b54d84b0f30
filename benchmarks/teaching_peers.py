"""The restated rules against a checkout of their source: the same choices with the same chances.

InfoBatch and SeTa are on no registry and are not kept here. Each is loaded from a path, given some
losses, and asked often; how often it takes each sample is compared with the restatement.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import teaching_rules as rules
import torch
from teaching_arms import InfoBatch, SeTa
from torch import Tensor
from torch.utils.data import dataloader

SAMPLES, ASKED = 300, 400
SURE = 5.0  # standard deviations between two frequencies


def compare(infobatch: Path | None, seta: Path | None) -> int:
    """Prints what was found for each; 1 if a restated rule differs, 0 if not."""
    found = [
        told("InfoBatch", infobatch, "infobatch/infobatch.py", _infobatch),
        told("SeTa", seta, "seta.py", _seta),
    ]
    return int(not all(found))


def told(name: str, path: Path | None, file: str, check: Callable[[ModuleType], str]) -> bool:
    """One line for one peer; a peer that is not there is skipped, with the reason."""
    if path is None:
        print(f"{name}: skipped, no checkout was given")
        return True
    if not (path / file).exists():
        print(f"{name}: skipped, there is no {file} in {path}")
        return True
    with kept():
        wrong = check(load(path / file))
    print(f"{name}: {wrong or 'the same choices with the same chances'}")
    return not wrong


@contextlib.contextmanager
def kept():
    """Puts back what the peers change for the whole process: generators and a method of torch."""
    numpy, step = np.random.get_state(), dataloader._BaseDataLoaderIter.__next__
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numpy)
        dataloader._BaseDataLoaderIter.__next__ = step


def load(file: Path) -> ModuleType:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(f"peer_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def losses() -> Tensor:
    """Losses of some samples: log-normal, as they are late in a training."""
    return torch.randn(SAMPLES, generator=torch.Generator().manual_seed(0)).exp()


def often(choose: Callable[[int], Tensor]) -> Tensor:
    """How often each sample is chosen."""
    count = torch.zeros(SAMPLES)
    for number in range(ASKED):
        count[choose(number)] += 1
    return count


def differs(a: Tensor, b: Tensor) -> str:
    """What is wrong between two counts, or an empty string."""
    p = (a + b) / (2 * ASKED)
    sd = (2 * ASKED * p * (1 - p)).sqrt()
    never = ((p == 0) | (p == 1)) & (a != b)
    far = ((a - b).abs() > SURE * sd) & (sd > 0)
    if int((never | far).sum()):
        return f"{int((never | far).sum())} of {SAMPLES} samples are chosen with another chance"
    return ""


def _infobatch(module: ModuleType) -> str:
    peer = module.InfoBatch(range(SAMPLES), 10, InfoBatch.prune, InfoBatch.delta)
    peer.scores = losses()
    draw = torch.Generator().manual_seed(1)
    ids, weights = rules.infobatch(losses(), InfoBatch.prune, draw)
    theirs = peer.prune()
    if len(theirs) != len(ids):
        return f"{len(ids)} samples are chosen, not {len(theirs)}"
    if sorted(set(peer.weights.tolist())) != sorted(set(weights.tolist())):
        return "the weights differ"
    mine = often(lambda _: rules.infobatch(losses(), InfoBatch.prune, draw)[0])
    return differs(mine, often(lambda _: torch.tensor(np.array(peer.prune()))))


def _seta(module: ModuleType) -> str:
    rule = SeTa
    peer = module.SeTa(range(SAMPLES), 10, rule.prune, rule.groups, rule.window, rule.delta)
    peer.scores = losses()
    draw = torch.Generator().manual_seed(1)
    for number in range(4):

        def theirs(_: int, number: int = number) -> Tensor:
            peer.iterations = number
            with contextlib.redirect_stdout(io.StringIO()):
                return torch.tensor(np.array(peer.prune()).astype("int64"))

        mine = often(
            lambda _, number=number: rules.seta(
                losses(), number, rule.prune, rule.groups, rule.window, draw
            )
        )
        wrong = differs(mine, often(theirs))
        if wrong:
            return f"selection {number}: {wrong}"
    return ""
