"""Where the statements are tested: attention problems of every form, random, edge and searched.

A form names the variant of attention: which masks, contexts, heads and outputs its cases have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import torch
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy
from torch import Tensor

FORMS = {
    "scalar": "self-attention, one head, v = 1, d_k = d (Eq. 2 as Eqs. 9-12 take it)",
    "self": "self-attention, one head, any v and d_k",
    "causal": "causally masked self-attention",
    "masked": "general boolean and float masks, with rows masked everywhere",
    "cross": "cross-attention with a context of another length and width",
    "multi-head": "2 to 4 heads, with and without masks",
    "projected": "1 to 4 heads and an output matrix W_O",
}


@dataclass(frozen=True)
class AttentionCase:
    """One problem: parameters, a batch of sequences, and the variant's arguments."""

    params: dict[str, Tensor]
    S: Tensor
    context: Tensor | None = None
    mask: Tensor | None = None
    heads: int = 1
    name: str = "random"
    causal: bool = False
    arguments: dict[str, Any] = field(init=False)
    call: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        # the oracle gets the causal mask as a tensor, the library by the name that users type
        arguments = {"context": self.context, "mask": self.mask, "heads": self.heads}
        object.__setattr__(self, "arguments", arguments)
        call = arguments | ({"mask": "causal"} if self.causal else {})
        object.__setattr__(self, "call", call)

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(w.shape)}" for name, w in self.params.items())
        extras = [f"heads {self.heads}"]
        if self.context is not None:
            extras.append(f"context {tuple(self.context.shape)}")
        if self.mask is not None:
            extras.append("mask")
        return f"{self.name}: S {tuple(self.S.shape)}, {shapes}, {', '.join(extras)}"

    def to(self, dtype: torch.dtype) -> AttentionCase:
        """The same problem in another precision."""

        def convert(x: Tensor | None) -> Tensor | None:
            return x if x is None or x.dtype == torch.bool else x.to(dtype)

        return AttentionCase(
            {name: w.to(dtype) for name, w in self.params.items()},
            self.S.to(dtype),
            convert(self.context),
            convert(self.mask),
            self.heads,
            self.name,
            self.causal,
        )


@dataclass(frozen=True)
class Shape:
    """The sizes of a problem; the names are those of `ntteach.learner`."""

    N: int = 2
    L: int = 4
    M: int = 4
    d: int = 4
    d_c: int = 4
    d_k: int = 4
    v: int = 1
    o: int = 0
    heads: int = 1


def random_cases(
    form: str,
    *,
    count: int,
    seed: int,
    largest: Shape | None = None,
    device: str = "cpu",
) -> list[AttentionCase]:
    """Problems of a form with normally distributed entries, sizes drawn up to `largest`.

    The first has the largest sizes, so that no draw leaves only shapes where an error hides.
    Weights have variance 1 / width, so that logits are of order one as at initialisation.
    """
    largest = largest or Shape(N=2, L=6, M=7, d=5, d_c=4, d_k=8, v=4, o=3, heads=4)
    g = torch.Generator().manual_seed(seed)

    cases = []
    for index in range(count):

        def upto(n: int, least: int = 1, index: int = index) -> int:
            drawn = int(torch.randint(least, max(n, least) + 1, (), generator=g))
            return drawn if index else max(n, least)

        heads = upto(largest.heads, 2) if form == "multi-head" else 1
        heads = upto(largest.heads) if form == "projected" else heads
        d, L = upto(largest.d), upto(largest.L)
        v = 1 if form == "scalar" else heads * upto(largest.v // heads)
        d_k = d if form == "scalar" else heads * upto(largest.d_k // heads)
        cross = form == "cross" or (form in ("multi-head", "projected") and index % 3 == 1)
        shape = Shape(
            upto(largest.N),
            L,
            upto(largest.M) if cross else L,
            d,
            upto(largest.d_c) if cross else d,
            d_k,
            v,
            upto(largest.o) if form == "projected" else 0,
            heads,
        )
        masked = form in ("masked", "causal") or (
            form in ("cross", "multi-head", "projected") and index % 3 == 2
        )
        cases.append(_draw(form, shape, cross, masked, index, g, device))
    return cases


def _draw(
    form: str,
    shape: Shape,
    cross: bool,
    masked: bool,
    index: int,
    g: torch.Generator,
    device: str,
) -> AttentionCase:
    def normal(*size: int, std: float = 1.0) -> Tensor:
        return (std * torch.randn(*size, generator=g, dtype=torch.float64)).to(device)

    n = shape
    params = {
        "W_Q": normal(n.d, n.d_k, std=n.d**-0.5),
        "W_K": normal(n.d_c, n.d_k, std=n.d_c**-0.5),
        "W_V": normal(n.d_c, n.v, std=n.d_c**-0.5),
    }
    if n.o:
        params["W_O"] = normal(n.v, n.o, std=n.v**-0.5)
    mask = None
    if form == "causal":
        mask = torch.ones(n.L, n.M, dtype=torch.bool).tril().to(device)
    elif masked:
        mask = torch.rand(n.N, n.heads, n.L, n.M, generator=g) > 0.4
        if index % 2:
            mask = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -math.inf)
            mask = mask + torch.randn(mask.shape, generator=g, dtype=torch.float64)
        if n.L > 1:  # a row masked everywhere, in the first sequence and head
            mask[0, 0, -1] = False if mask.dtype == torch.bool else -math.inf
        mask = mask.to(device)
    context = normal(n.N, n.M, n.d_c) if cross else None
    return AttentionCase(
        params,
        normal(n.N, n.L, n.d),
        context,
        mask,
        n.heads,
        f"{form} {index}",
        form == "causal",
    )


def edge_cases(form: str, *, seed: int, device: str = "cpu") -> list[AttentionCase]:
    """One element, one feature, equal elements, and logits of about 1e4 in size."""
    small = {"N": 2, "d": 3, "d_c": 2, "d_k": 4, "v": 2, "o": 3, "heads": 2}
    cases = []
    for name, largest in {
        "L = 1": Shape(L=1, M=1, **small),
        "d = 1": Shape(2, 3, 3, 1, 1, 2, 2, 1, 2),
        "equal elements": Shape(L=4, M=4, **small),
        "logits of 1e4": Shape(L=4, M=4, **small),
    }.items():
        for case in random_cases(form, count=3, seed=seed, largest=largest, device=device):
            S, context, params = case.S, case.context, dict(case.params)
            if name == "equal elements":
                S = S[:, :1].expand_as(S)
                context = None if context is None else context[:, :1].expand_as(context)
            if name == "logits of 1e4":
                params["W_Q"] = 1e4 * params["W_Q"]
            cases.append(
                AttentionCase(params, S, context, case.mask, case.heads, name, case.causal)
            )
    return cases


def attention_cases(
    form: str = "self", *, L: int = 4, d: int = 2, v: int = 2, entries: int = 2
) -> SearchStrategy[AttentionCase]:
    """A hypothesis strategy for problems with small integer entries, which shrink to be readable.

    Args:
        form: one of `FORMS`.
        L: largest number of elements (also of the context).
        d: largest width of the sequence, of the context, and of one head's keys.
        v: largest number of value columns of one head.
        entries: entries lie between -entries and entries.
    """
    return _attention_cases(form, L, d, v, entries)


@st.composite
def _attention_cases(
    draw: st.DrawFn, form: str, L: int, d: int, v: int, entries: int
) -> AttentionCase:
    def size(largest: int) -> int:
        return draw(st.integers(1, largest))

    def matrix(rows: int, columns: int) -> Tensor:
        values = draw(hnp.arrays(float, (rows, columns), elements=st.integers(-entries, entries)))
        return torch.from_numpy(values)

    heads = draw(st.integers(2, 3)) if form == "multi-head" else 1
    if form == "projected":
        heads = size(2)
    length, width = size(L), size(d)
    cross = form == "cross"
    columns, context_width = (size(L), size(d)) if cross else (length, width)
    d_k = width if form == "scalar" else heads * size(d)
    outputs = 1 if form == "scalar" else heads * size(v)
    params = {
        "W_Q": matrix(width, d_k),
        "W_K": matrix(context_width, d_k),
        "W_V": matrix(context_width, outputs),
    }
    if form == "projected":
        params["W_O"] = matrix(outputs, size(v))
    mask = None
    if form == "causal":
        mask = torch.ones(length, columns, dtype=torch.bool).tril()
    elif form == "masked":
        mask = torch.from_numpy(draw(hnp.arrays(bool, (length, columns))))
    context = matrix(columns, context_width) if cross else None
    S = matrix(length, width)
    return AttentionCase(params, S, context, mask, heads, form, form == "causal")


def magnitudes(case: AttentionCase) -> Iterator[tuple[str, float]]:
    """For each parameter block, the size of the terms that its Jacobian adds up.

    An honest computation of an entry errs by a small multiple of machine epsilon times this. The
    factor `1 + |logit|` is there because a logit's own rounding moves the weights by as much.
    """
    S, C = case.S, case.S if case.context is None else case.context
    Q, K, V = S @ case.params["W_Q"], C @ case.params["W_K"], C @ case.params["W_V"]
    d_h = Q.shape[-1] // case.heads
    scale = d_h**-0.5

    def top(x: Tensor) -> float:
        return x.abs().max().item()

    logits = scale * d_h * top(Q) * top(K)
    if case.mask is not None and case.mask.dtype != torch.bool:
        logits += top(case.mask[case.mask.isfinite()]) if case.mask.isfinite().any() else 0.0
    rounding = (1 + logits) * (S.shape[-1] + C.shape[-1] + C.shape[-2] + d_h)
    W_O = case.params.get("W_O")
    if W_O is not None:
        yield "W_O", rounding * top(V)
        rounding *= W_O.shape[0] * top(W_O)
    yield "W_Q", rounding * scale * top(S) * top(K) * 2 * top(V)
    yield "W_K", rounding * scale * top(Q) * top(C) * 2 * top(V)
    yield "W_V", rounding * top(C)


def output_magnitude(case: AttentionCase) -> float:
    """The size of the terms that an output adds up, as `magnitudes` has it for gradients."""
    # the value block's terms are those of the context; an output's are those of the values
    rounding = dict(magnitudes(case))["W_V"]
    C = case.S if case.context is None else case.context
    top_C = C.abs().max().item()
    top_V = (C @ case.params["W_V"]).abs().max().item()
    # values are themselves sums over the width of the context
    size = max(top_V, C.shape[-1] * top_C * case.params["W_V"].abs().max().item())
    return rounding / top_C * size if top_C else 0.0
