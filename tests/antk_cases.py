"""Kernels for the tests: a problem of any form, alone or against other sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from conftest import every_case
from torch import Tensor

from ntteach import oracles
from ntteach.paper.domains import AttentionCase, magnitudes


@dataclass(frozen=True)
class Kernel:
    """The sequences of a kernel's rows, and those of its columns where they are others."""

    rows: AttentionCase
    columns: AttentionCase | None = None

    def __str__(self) -> str:
        return f"{self.rows}" + ("" if self.columns is None else f" against {self.columns}")

    @property
    def batches(self) -> list[Any]:
        """What `antk` takes by position."""
        others = [] if self.columns is None else [self.columns.S]
        return [self.rows.params, self.rows.S, *others]

    @property
    def call(self) -> dict[str, Any]:
        """What `antk` takes by name: a causal mask by its name, which holds for both sides."""
        others = {}
        if self.columns is not None:
            others["context_other"] = self.columns.context
            if not self.columns.causal:
                others["mask_other"] = self.columns.mask
        return self.rows.call | others

    @property
    def tensors(self) -> dict[str, Any]:
        """The same with every mask as a tensor."""
        others = {}
        if self.columns is not None:
            others = {"context_other": self.columns.context, "mask_other": self.columns.mask}
        return self.rows.arguments | others

    @property
    def transposed(self) -> Kernel:
        """The kernel of the columns with the rows."""
        return self if self.columns is None else Kernel(self.columns, self.rows)

    def to(self, dtype: torch.dtype) -> Kernel:
        """The same kernel in another precision."""
        return Kernel(self.rows.to(dtype), self.columns and self.columns.to(dtype))

    def exact(self, trace_outputs: bool = False) -> Tensor:
        """What the oracle finds in float64 for the very numbers of the problem."""
        this = self.to(torch.float64)
        K = oracles.tangent_kernel(*this.batches, **this.tensors)
        return traced(K, self.rows.S.ndim) if trace_outputs else K

    def magnitude(self) -> float:
        """The size of the terms that an entry adds up, with the rounding inside them."""
        sizes = [dict(magnitudes(c.to(torch.float64))) for c in (self.rows, self.columns) if c]
        weights = self.rows.params.items()
        return sum(W.numel() * sizes[0][name] * sizes[-1][name] for name, W in weights)


def traced(K: Tensor, ndim: int = 3) -> Tensor:
    """The sum over equal outputs, for rows of sequences with so many axes."""
    return K.diagonal(dim1=ndim - 1, dim2=-1).sum(-1)


def against_others(case: AttentionCase, seed: int) -> Kernel:
    """The case against sequences of another number and length, with contexts and masks too.

    Where its masks are boolean, theirs are added to the logits, and the other way round; they
    broadcast in every other way. The last row of theirs is masked everywhere.
    """
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        x = torch.randn(*shape, generator=g, dtype=torch.float64)
        return x[:, :1].expand(shape) if case.name == "equal elements" else x

    N, L, M = (int(torch.randint(1, most + 1, (), generator=g)) for most in (3, 5, 6))
    context = None if case.context is None else normal(N, M, case.context.shape[-1])
    M = L if context is None else M
    mask = None
    if case.causal:
        mask = torch.ones(L, M, dtype=torch.bool).tril()
    elif case.mask is not None:
        shapes = (N, case.heads, L, M), (1, case.heads, L, M), (N, 1, L, 1), (L, M), (N, 1, 1, M)
        allowed = torch.rand(shapes[seed % len(shapes)], generator=g) > 0.4
        if L > 1 and allowed.shape[-2] == L:
            allowed[..., -1, :] = False
        mask = allowed
        if case.mask.dtype == torch.bool:
            mask = torch.randn(allowed.shape, generator=g, dtype=torch.float64)
            mask = mask.masked_fill(~allowed, -math.inf)
    device = case.S.device
    S = normal(N, L, case.S.shape[-1]).to(device)
    context, mask = (x if x is None else x.to(device) for x in (context, mask))
    columns = AttentionCase(case.params, S, context, mask, case.heads, case.name, case.causal)
    return Kernel(case, columns)


def every_kernel(form: str, device: str = "cpu") -> list[Kernel]:
    """Each problem of a form and of its edges, with itself and with others; float64."""
    cases = every_case(form, device=device)
    return [
        kernel
        for seed, case in enumerate(cases)
        for kernel in (Kernel(case), against_others(case, seed))
    ]


def some_kernels(form: str, device: str = "cpu") -> list[Kernel]:
    """The largest problems of a form, with and without masks, and one of each of its edges."""
    every = every_kernel(form, device)
    return every[:6] + every[12::6]
