"""Two batches seen by one learner: what a kernel is between. Both sides differ in every size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ntteach import oracles
from ntteach.claims import Setting
from ntteach.paper.domains import AttentionCase, Shape, edge_cases, magnitudes, random_cases

# Roundings per elementary step, as in `gradients`: a kernel is made of derivatives.
ROUNDINGS = 2
RELATIVE = 1e-11  # of the norms of both gradients, what routes may differ by on random problems
# The largest problem: no two of its sizes are equal, nor those of the batch beside it, which has
# one sequence and one element more and a context of two more.
LARGEST = Shape(N=2, L=4, M=10, d=7, d_c=9, d_k=24, v=6, o=8, heads=3)
# With W_O, what is quickest depends on which is larger, o or a head's v.
WIDE = replace(LARGEST, v=15, o=4)
SMALL = Shape(N=1, L=2, M=4, d=3, d_c=5, d_k=6, v=6, o=7, heads=3)


@dataclass(frozen=True, eq=False)
class PairCase:
    """A problem (`rows`), and another batch of sequences for the same parameters.

    With `other` None, the second batch is the first.
    """

    rows: AttentionCase
    other: AttentionCase | None
    edge: bool = False
    arguments: dict[str, Any] = field(init=False)
    call: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("arguments", "call"):
            given = dict(getattr(self.rows, name))
            if self.other is not None:
                beside = getattr(self.other, name)
                given |= {"S_other": self.other.S, "context_other": beside["context"]}
                # said of one side, "causal" holds for both
                by_name = name == "call" and self.rows.causal
                given["mask_other"] = None if by_name else beside["mask"]
            object.__setattr__(self, name, given)

    def __str__(self) -> str:
        if self.other is None:
            return f"{self.rows}, with itself"
        return f"{self.rows}, with {tuple(self.other.S.shape)}"

    @property
    def columns(self) -> AttentionCase:
        """The second side."""
        return self.rows if self.other is None else self.other


def pair_cases(
    form: str,
    setting: Setting,
    *,
    random: int,
    edges: bool = True,
    largest: Shape = LARGEST,
) -> list[PairCase]:
    """Problems of a form with a second batch each, and some with themselves."""

    def drawn(count: int, largest: Shape) -> list[AttentionCase]:
        seed, device = setting.seed, setting.device
        return random_cases(form, count=count, seed=seed, largest=largest, device=device)

    cases = drawn(random, largest)
    if form == "projected" and largest is LARGEST:
        cases = [cases[0], *drawn(1, WIDE), *cases[1:]]
    g = torch.Generator().manual_seed(setting.seed + 1)
    pairs = [PairCase(case, _beside(case, g)) for case in cases]
    pairs += [PairCase(case, None) for case in cases[:2]]
    if edges:
        for case in edge_cases(form, seed=setting.seed, device=setting.device)[::3]:
            pairs.append(PairCase(case, _beside(case, g), edge=True))
    return pairs


def _beside(case: AttentionCase, g: torch.Generator) -> AttentionCase:
    """Another batch for the parameters of a case: other lengths, contexts and masks."""
    N, L, d = case.S.shape

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, dtype=case.S.dtype).to(case.S.device)

    N, L = N + 1, L + 1
    S = normal(N, L, d)
    context, M = None, L
    if case.context is not None:
        M = case.context.shape[1] + 2
        context = normal(N, M, case.context.shape[2])
    mask = None
    if case.causal:
        mask = torch.ones(L, M, dtype=torch.bool).tril().to(case.S.device)
    elif case.mask is not None:
        mask = torch.rand(N, case.heads, L, M, generator=g) > 0.4
        mask[0, 0, -1] = False  # a row masked everywhere
        if case.mask.dtype != torch.bool:
            bias = torch.randn(mask.shape, generator=g, dtype=torch.float64)
            mask = bias.masked_fill(~mask, -math.inf)
        mask = mask.to(case.S.device)
    return AttentionCase(case.params, S, context, mask, case.heads, case.name, case.causal)


def oracle_kernel(case: PairCase) -> tuple[Tensor, Tensor]:
    """The kernel by autograd, and what an honest computation may differ from it by.

    With J the gradient of one output, dJ its rounding error, an entry <J, J'> errs by at most
    |dJ| |J'| + |J| |dJ'|, and by the rounding of its own sum.
    """
    K = oracles.tangent_kernel(case.rows.params, case.rows.S, **case.arguments)
    norms, errors, count = [], [], 0
    for side, jacobian in zip((case.rows, case.columns), _jacobians(case), strict=True):
        square = torch.stack([J.square().sum((-2, -1)) for J in jacobian.values()]).sum(0)
        norms.append(square.sqrt())  # (N, L, v)
        sizes = {name: W.numel() for name, W in side.params.items()}
        parts = (sizes[name] * size**2 for name, size in magnitudes(side))
        errors.append(ROUNDINGS * torch.finfo(K.dtype).eps * math.sqrt(sum(parts)))
        count = sum(sizes.values())
    left, right = norms[0][..., None, None, None], norms[1]
    bound = errors[0] * right + left * errors[1] + count * torch.finfo(K.dtype).eps * left * right
    if not case.edge:
        bound = torch.minimum(bound, RELATIVE * left * right)
    return K, bound.expand_as(K)


def oracle_block(case: PairCase, name: str) -> Tensor:
    """What one parameter adds to the kernel, by autograd."""
    one, other = (J[name] for J in _jacobians(case))
    return torch.einsum("njcxy,mkexy->njcmke", one, other)


@lru_cache(maxsize=64)
def _jacobians(case: PairCase) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    # every mutant of a case asks for them again
    one, other = (
        oracles.jacobian(side.params, side.S, **side.arguments)
        for side in (case.rows, case.columns)
    )
    return one, other
