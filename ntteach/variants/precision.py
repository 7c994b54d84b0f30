"""In which precision a module computes inside, seen from the tensors that pass by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ntteach.variants.numerics import noise, relative
from ntteach.variants.subject import Subject
from ntteach.variants.target import CannotCheck

# Relative to the output, far more rounding than float64 has, and far less than float32.
_COARSE = 1e-10


class _Seen(TorchDispatchMode):
    """The dtypes of all results while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.dtypes.update(x.dtype for x in tree_leaves(result) if isinstance(x, Tensor))
        return result


def precision_notes(subject: Subject, S: Tensor, seed: int) -> tuple[str, ...]:
    """What to say of a module that is coarser inside than the arithmetic it is run in.

    Raises:
        CannotCheck: it computes in half precision: steps small enough for a derivative vanish.
    """
    with _Seen() as seen:
        subject.output(S)
    half = seen.dtypes & {torch.float16, torch.bfloat16}
    if half:
        name = str(half.pop()).removeprefix("torch.")
        raise CannotCheck(
            f"{subject.name} computes in {name} inside, too coarse for differences: check it "
            f"without half precision"
        )
    rounding = noise(subject.output, S, torch.Generator().manual_seed(seed))
    rounding = relative(rounding, subject.output(S))
    if subject.dtype != torch.float64 or torch.float32 not in seen.dtypes or rounding < _COARSE:
        return ()
    return (
        f"it computes in float32 inside (its rounding is {rounding:.0e} of the output), so "
        f"bounds are wider",
    )
