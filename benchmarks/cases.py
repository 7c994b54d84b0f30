"""The cases of the kernel's benchmark: sizes, and parameters and sequences for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """The kernel of N sequences with themselves.

    Args:
        N: sequences.
        L: elements of each.
        d: width of an element, and of queries and keys.
        v: outputs, of all heads together.
        heads: of attention.
        o: outputs of W_O, or 0 for none.
        traced: whether the kernel is summed over outputs.
    """

    N: int
    L: int
    d: int
    v: int
    heads: int = 1
    o: int = 0
    traced: bool = False

    @property
    def outputs(self) -> int:
        """Numbers that the learner gives for each element."""
        return self.o or self.v

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the kernel."""
        one = (self.N, self.L) if self.traced else (self.N, self.L, self.outputs)
        return one + one

    @property
    def megabytes(self) -> float:
        """Of the kernel in float32."""
        return 4 * math.prod(self.shape) / 1e6


def problem(case: Case, device: str = "cpu", seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """Parameters as at initialisation and normal sequences."""
    g = torch.Generator().manual_seed(seed)
    d, v = case.d, case.v
    shapes = {"W_Q": (d, d), "W_K": (d, d), "W_V": (d, v)}
    if case.o:
        shapes["W_O"] = (v, case.o)
    params = {
        name: (torch.randn(a, b, generator=g) * a**-0.5).to(device)
        for name, (a, b) in shapes.items()
    }
    return params, torch.randn(case.N, case.L, d, generator=g).to(device)


def plain_attention(params: dict[str, Tensor], S: Tensor, heads: int) -> Tensor:
    """What a user would write: one sequence, `(L, d)` to `(L, v)`."""
    Q, K, V = (
        (S @ params[name]).unflatten(-1, (heads, -1)).transpose(0, 1)
        for name in ("W_Q", "W_K", "W_V")
    )
    A = torch.softmax(Q @ K.mT / math.sqrt(Q.shape[-1]), -1)
    f = (A @ V).transpose(0, 1).flatten(-2)
    return f @ params["W_O"] if "W_O" in params else f
