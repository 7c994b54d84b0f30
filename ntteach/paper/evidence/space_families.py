"""The kernels of `ntteach.rkhs` on drawn sequences, each beside a slow reference of its own.

References go through `ntteach.oracles`: one pair of sequences at a time in plain numbers, or
automatic differentiation of its own forward pass for the tangent kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ntteach import oracles, rkhs
from ntteach.rkhs import Kernel

Gram = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Family:
    """A kernel beside a reference.

    Args:
        name: said in scopes.
        kernel: of the library.
        reference: its Gram matrix `(N o, N' o)`, computed slowly.
        outputs: how many a function has.
        length: of the sequences to try it on.
    """

    name: str
    kernel: Kernel
    reference: Gram
    outputs: int = 1
    length: int = 3

    def __str__(self) -> str:
        return self.name

    @property
    def vector_valued(self) -> bool:
        """Whether coefficients have an axis of outputs."""
        return self.kernel.vector_valued


def by_pairs(kernel: Callable[[list[list[float]], list[list[float]]], float]) -> Gram:
    """The Gram matrix of a kernel of two sequences, pair by pair."""

    def gram(S: Tensor, T: Tensor) -> Tensor:
        return torch.tensor([[kernel(s, t) for t in T.tolist()] for s in S.tolist()], dtype=S.dtype)

    return gram


def _pointwise(name: str, on: str, **constants: float) -> Gram:
    def vector(S: list[list[float]]) -> list[float]:
        if on == "flat":
            return [x for token in S for x in token]
        return [sum(column) / len(S) for column in zip(*S, strict=True)]

    return by_pairs(lambda S, T: oracles.pointwise_kernel(name, vector(S), vector(T), **constants))


def _unit_diagonal(gram: Gram) -> Gram:
    def divided(S: Tensor, T: Tensor) -> Tensor:
        rows, columns = (
            torch.stack([gram(x[n : n + 1], x[n : n + 1])[0, 0] for n in range(len(x))])
            for x in (S, T)
        )
        return gram(S, T) / (rows[:, None] * columns).sqrt()

    return divided


def families(seed: int, d: int = 2, L: int = 3) -> dict[str, tuple[Family, ...]]:
    """Every kernel that is shipped, by family, for sequences of L tokens of width d."""
    g = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    linear, gaussian = _pointwise("linear", "flat"), _pointwise("gaussian", "flat", width=1.5)
    root = drawn(2, 2)
    B = root @ root.T
    params = {"W_Q": drawn(d, d), "W_K": drawn(d, d), "W_V": drawn(d, 2)}
    causal = torch.ones(L, L, dtype=torch.bool).tril()

    def tangent(mask: Tensor | None) -> Gram:
        def gram(S: Tensor, T: Tensor) -> Tensor:
            K = oracles.tangent_kernel(params, S, T, mask=mask, mask_other=mask)
            return K.flatten(3).flatten(0, 2)

        return gram

    def alignment(S: list[list[float]], T: list[list[float]]) -> float:
        return oracles.alignment_kernel(S, T, 1.0)

    def signature(S: list[list[float]], T: list[list[float]]) -> float:
        return oracles.signature_kernel(S, T, 2)

    return {
        "linear": (
            Family("linear", rkhs.linear(), linear),
            Family("linear of means", rkhs.linear(on="mean"), _pointwise("linear", "mean")),
        ),
        "polynomial": (
            Family(
                "polynomial",
                rkhs.polynomial(3, 0.5),
                _pointwise("polynomial", "flat", degree=3, constant=0.5),
            ),
            Family(
                "polynomial of means",
                rkhs.polynomial(2, on="mean"),
                _pointwise("polynomial", "mean", degree=2, constant=1.0),
            ),
        ),
        "gaussian": (
            Family("Gaussian", rkhs.gaussian(1.5), gaussian),
            Family(
                "Gaussian of means",
                rkhs.gaussian(0.7, on="mean"),
                _pointwise("gaussian", "mean", width=0.7),
            ),
        ),
        "laplace": (
            Family("Laplace", rkhs.laplace(2.0), _pointwise("laplace", "flat", width=2.0)),
            Family(
                "Laplace of means",
                rkhs.laplace(0.5, on="mean"),
                _pointwise("laplace", "mean", width=0.5),
            ),
        ),
        "alignment": (
            Family(
                "global alignment",
                rkhs.global_alignment(1.0, normalise=False),
                by_pairs(alignment),
            ),
            Family(
                "global alignment, normalised",
                rkhs.global_alignment(1.0),
                _unit_diagonal(by_pairs(alignment)),
            ),
        ),
        "signature": (
            # of three steps or more, else sums over earlier places have one term
            Family("signature", rkhs.signature(2), by_pairs(signature), length=4),
            Family(
                "signature over a Gaussian kernel",
                rkhs.signature(2, static=rkhs.gaussian(1.5)),
                by_pairs(
                    lambda S, T: oracles.signature_kernel(
                        S, T, 2, lambda x, y: oracles.pointwise_kernel("gaussian", x, y, width=1.5)
                    )
                ),
                length=4,
            ),
        ),
        "combinations": (
            Family(
                "sum",
                rkhs.linear() + 0.5 * rkhs.gaussian(1.5),
                lambda S, T: linear(S, T) + gaussian(S, T) / 2,
            ),
            Family(
                "product",
                rkhs.linear() * rkhs.gaussian(1.5),
                lambda S, T: linear(S, T) * gaussian(S, T),
            ),
            Family(
                "normalised",
                rkhs.normalised(rkhs.polynomial(2)),
                _unit_diagonal(_pointwise("polynomial", "flat", degree=2, constant=1.0)),
            ),
        ),
        "separable": (
            Family(
                "separable",
                rkhs.separable(rkhs.gaussian(1.5), B),
                lambda S, T: torch.kron(gaussian(S, T), B),
                2,
            ),
        ),
        "frozen ANTK": (
            Family("frozen ANTK", rkhs.frozen_antk(params), tangent(None), 2 * L),
            Family(
                "frozen ANTK, causal",
                rkhs.frozen_antk(params, mask="causal"),
                tangent(causal),
                2 * L,
            ),
        ),
    }


NAMES = tuple(families(0))


@dataclass(frozen=True)
class Case:
    """A kernel with centres, points and the coefficients of two functions.

    Args:
        family: the kernel.
        S: centres, `(r, L, d)`.
        T: points, `(N, L, d)`.
        a: coefficients of f, `(r,)` or `(r, o)`.
        b: coefficients of g.
    """

    family: Family
    S: Tensor
    T: Tensor
    a: Tensor
    b: Tensor

    def __str__(self) -> str:
        return str(self.family)

    def function(self, coefficients: Tensor) -> rkhs.Function:
        """The function of the library on the centres."""
        return rkhs.Function(self.family.kernel, self.S, coefficients)

    def values(self, coefficients: Tensor, at: Tensor) -> Tensor:
        """Its values by the reference: `(N,)`, or `(N, o)`."""
        found = self.family.reference(at, self.S) @ coefficients.flatten()
        return found.reshape(len(at), -1) if self.family.vector_valued else found

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """The inner product of two functions by the reference, `()`."""
        return a.flatten() @ self.family.reference(self.S, self.S) @ b.flatten()


Item = TypeVar("Item")
Found = TypeVar("Found")


def remembered(function: Callable[[Item], Found]) -> Callable[[Item], Found]:
    """The function, computed once for each object: mutants are made from what it found."""
    known: dict[int, tuple[Item, Found]] = {}  # with the object, so that its id is not used again

    def ask(item: Item) -> Found:
        if id(item) not in known:
            known[id(item)] = item, function(item)
        return known[id(item)][1]

    return ask


def cases(seed: int, names: tuple[str, ...] = NAMES, *, r: int = 3, N: int = 2) -> list[Case]:
    """Every kernel of the named families on sequences of its length, tokens of width two."""
    g = torch.Generator().manual_seed(seed + 1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    every = families(seed)
    found = []
    for family in (family for name in names for family in every[name]):
        shape = (r, family.outputs) if family.vector_valued else (r,)
        S, T = drawn(r, family.length, 2), drawn(N, family.length, 2)
        found.append(Case(family, S, T, drawn(*shape), drawn(*shape)))
    return found
