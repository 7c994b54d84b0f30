"""Empirical tangent kernels by `torch.func`, the two ways of PyTorch's tutorial on them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, plain_attention, problem
from torch import Tensor
from torch.func import jacrev, jvp, vjp, vmap

Make = Callable[[Case, str, int], Callable[[], Tensor]]


def jacobian_contraction(case: Case, device: str, rows: int) -> Callable[[], Tensor]:
    """Jacobians of all sequences, contracted parameter by parameter.

    Kinder than the tutorial: a kernel with itself takes one Jacobian, not two, and the parameters'
    shares are added up in place, not stacked.

    Args:
        case: sizes.
        device: where.
        rows: how many of the sequences the rows of the kernel belong to.
    """
    params, S = problem(case, device)
    jacobian = vmap(jacrev(lambda p, s: plain_attention(p, s, case.heads)), in_dims=(None, 0))
    formula = "njcf,mkcf->njmk" if case.traced else "njcf,mkef->njcmke"

    def kernel() -> Tensor:
        first, *rest = (block.flatten(3) for block in jacobian(params, S).values())
        total = torch.einsum(formula, first[:rows], first)
        for block in rest:
            total += torch.einsum(formula, block[:rows], block)
        return total

    return kernel


def vector_products(case: Case, device: str, rows: int) -> Callable[[], Tensor]:
    """For each output of each sequence a vector-Jacobian product, then Jacobian-vector products.

    One row of sequences at a time: all at once would take memory for every pair of sequences.
    """
    params, S = problem(case, device)

    def function(s: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
        return lambda p: plain_attention(p, s, case.heads)

    def pair(s: Tensor, other: Tensor) -> Tensor:
        f, pull_back = vjp(function(s), params)  # pyright: ignore[reportAssignmentType]

        def row(unit: Tensor) -> Tensor:
            return jvp(function(other), (params,), pull_back(unit))[1]

        units = torch.eye(f.numel(), device=f.device).view(-1, *f.shape)
        return vmap(row)(units).unflatten(0, f.shape)  # (L, v, L', v)

    columns = vmap(pair, in_dims=(None, 0), out_dims=2)

    def kernel() -> Tensor:
        made = vmap(columns, in_dims=(0, None), chunk_size=1)(S[:rows], S)
        return made.diagonal(dim1=2, dim2=5).sum(-1) if case.traced else made

    return kernel


PEERS: dict[str, Make] = {
    "torch.func Jacobians": jacobian_contraction,
    "torch.func products": vector_products,
}
