"""The kernels that the tests of `ntteach.rkhs` go through, each with a slow reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from ntteach import oracles, rkhs
from ntteach.rkhs import Kernel

F64 = torch.float64
Tokens = list[list[float]]


@dataclass(frozen=True)
class Case:
    """A kernel of sequences with d = 2 tokens, and its blocks for one pair of sequences."""

    kernel: Kernel
    reference: Callable[[Tensor, Tensor], Tensor]
    any_length: bool = True


def of_lists(reference: Callable[[Tokens, Tokens], float]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda S, T: torch.tensor(reference(S.tolist(), T.tolist()), dtype=F64)


def flat(S: Tokens) -> list[float]:
    return [x for token in S for x in token]


def mean(S: Tokens) -> list[float]:
    return [math.fsum(column) / len(S) for column in zip(*S, strict=True)]


def pointwise(kernel: Kernel, name: str, vector: Any, **constants: float) -> Case:
    return Case(
        kernel,
        of_lists(lambda S, T: oracles.pointwise_kernel(name, vector(S), vector(T), **constants)),
        any_length=vector is mean,
    )


def cosine(k: Callable[[Tokens, Tokens], float]) -> Callable[[Tokens, Tokens], float]:
    return lambda S, T: k(S, T) / math.sqrt(k(S, S) * k(T, T))


def scaled(number: float, *cases: Case) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda S, T: number * torch.stack([case.reference(S, T) for case in cases]).prod(0)


_static = partial(oracles.pointwise_kernel, "gaussian", width=0.7)
_raw = partial(oracles.alignment_kernel, width=0.9)
SCALAR: dict[str, Case] = {
    "linear": pointwise(rkhs.linear(), "linear", flat),
    "linear of means": pointwise(rkhs.linear(on="mean"), "linear", mean),
    "quadratic": pointwise(rkhs.polynomial(2), "polynomial", flat, degree=2, constant=1.0),
    "cubic of means": pointwise(
        rkhs.polynomial(3, 0.5, on="mean"), "polynomial", mean, degree=3, constant=0.5
    ),
    "gaussian": pointwise(rkhs.gaussian(1.3), "gaussian", flat, width=1.3),
    "gaussian of means": pointwise(rkhs.gaussian(0.6, on="mean"), "gaussian", mean, width=0.6),
    "laplace": pointwise(rkhs.laplace(1.3), "laplace", flat, width=1.3),
    "laplace of means": pointwise(rkhs.laplace(0.6, on="mean"), "laplace", mean, width=0.6),
    "alignments": Case(rkhs.global_alignment(0.9, normalise=False), of_lists(_raw)),
    "alignments, normalised": Case(rkhs.global_alignment(0.9), of_lists(cosine(_raw))),
    "signature of depth 1": Case(
        rkhs.signature(1), of_lists(partial(oracles.signature_kernel, depth=1))
    ),
    "signature": Case(rkhs.signature(3), of_lists(partial(oracles.signature_kernel, depth=3))),
    "signature of a gaussian": Case(
        rkhs.signature(3, static=rkhs.gaussian(0.7)),
        of_lists(partial(oracles.signature_kernel, depth=3, static=_static)),
    ),
    "signature, normalised": Case(
        rkhs.signature(2, normalise=True),
        of_lists(cosine(partial(oracles.signature_kernel, depth=2))),
    ),
}
SCALAR |= {
    "sum": Case(
        rkhs.signature(3) + rkhs.linear(on="mean"),
        lambda S, T: (
            SCALAR["signature"].reference(S, T) + SCALAR["linear of means"].reference(S, T)
        ),
    ),
    "product": Case(
        rkhs.signature(3) * rkhs.gaussian(0.6, on="mean"),
        scaled(1.0, SCALAR["signature"], SCALAR["gaussian of means"]),
    ),
    "multiple": Case(2.5 * rkhs.signature(3), scaled(2.5, SCALAR["signature"])),
}
# not positive semi-definite, and so not among the others
INDEFINITE = Case(
    rkhs.global_alignment(0.9, local="gaussian", normalise=False),
    of_lists(partial(_raw, local="gaussian")),
)


def matrix(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


B = torch.tensor([[2.0, -1.0, 0.0], [-1.0, 2.0, 1.0], [0.0, 1.0, 1.0]], dtype=F64)
PARAMS = {"W_Q": (2, 2), "W_K": (2, 2), "W_V": (2, 2)}
PARAMS = {name: matrix(*shape, seed=i) for i, (name, shape) in enumerate(PARAMS.items())}
WITH_OUTPUT = PARAMS | {"W_O": matrix(2, 1, seed=5)}
SEEN = torch.tensor([[True, False, True], [True, True, True], [False, False, False]])
CAUSAL = torch.ones(3, 3, dtype=torch.bool).tril()


def blocks_of(params: dict[str, Tensor], mask: Tensor | None = None, heads: int = 1) -> Any:
    def reference(S: Tensor, T: Tensor) -> Tensor:
        given = {"mask": mask, "mask_other": mask, "heads": heads}
        K = oracles.tangent_kernel(params, S, T, **given)
        side = K.shape[0] * K.shape[1]
        return K.reshape(side, side)

    return reference


# of sequences of three tokens; 3 or 6 outputs
VECTOR: dict[str, Case] = {
    "separable": Case(
        rkhs.separable(rkhs.signature(3), B),
        lambda S, T: SCALAR["signature"].reference(S, T) * B,
    ),
    "antk": Case(rkhs.frozen_antk(PARAMS), blocks_of(PARAMS), any_length=False),
    "antk, causal": Case(
        rkhs.frozen_antk(PARAMS, mask="causal"), blocks_of(PARAMS, CAUSAL), any_length=False
    ),
    "antk, masked": Case(
        rkhs.frozen_antk(PARAMS, mask=SEEN), blocks_of(PARAMS, SEEN), any_length=False
    ),
    "antk, two heads and W_O": Case(
        rkhs.frozen_antk(WITH_OUTPUT, heads=2), blocks_of(WITH_OUTPUT, heads=2), any_length=False
    ),
}
VECTOR |= {
    "sum of blocks": Case(
        VECTOR["separable"].kernel + VECTOR["antk, two heads and W_O"].kernel,
        lambda S, T: (
            VECTOR["separable"].reference(S, T) + VECTOR["antk, two heads and W_O"].reference(S, T)
        ),
        any_length=False,
    ),
    "numbers times blocks": Case(
        0.5 * (rkhs.linear() * VECTOR["antk"].kernel),
        lambda S, T: 0.5 * SCALAR["linear"].reference(S, T) * VECTOR["antk"].reference(S, T),
        any_length=False,
    ),
    "blocks times numbers": Case(
        VECTOR["antk"].kernel * rkhs.linear(),
        lambda S, T: SCALAR["linear"].reference(S, T) * VECTOR["antk"].reference(S, T),
        any_length=False,
    ),
}
ALL = SCALAR | VECTOR


def drawn(N: int, L: int, *, seed: int, d: int = 2) -> Tensor:
    return matrix(N, L, d, seed=seed)


def dense(case: Case, S: Tensor, T: Tensor) -> Tensor:
    """The Gram matrix block by block: `(N, N')` or `(N, o, N', o)`."""
    rows = [torch.stack([case.reference(s, t) for t in T]) for s in S]
    K = torch.stack(rows)
    return K if K.ndim == 2 else K.permute(0, 2, 1, 3)


@st.composite
def sequences(draw: st.DrawFn, *, L: int | None = None, d: int | None = None) -> Tensor:
    """Up to six sequences of small whole numbers: repeated ones, equal tokens, L = 1, d = 1."""
    N = draw(st.integers(1, 6))
    L = draw(st.integers(1, 4)) if L is None else L
    d = draw(st.integers(1, 2)) if d is None else d
    size = N * L * d
    numbers = draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
    return torch.tensor(numbers, dtype=F64).reshape(N, L, d)
