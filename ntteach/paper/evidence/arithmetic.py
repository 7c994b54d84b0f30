"""One law, two arithmetics: floats to search for a case, exact numbers to replay it.

A case is plain data: integers or fractions as strings. Entries of W_Q are in units of
`sqrt(d_k) log 2`, so that every logit is a rational multiple of log 2 and, for whole multiples,
every attention weight is rational.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
import torch

from ntteach import oracles, symbols
from ntteach.claims import Hypothesis, Replay

Array = np.ndarray[Any, Any]
BLOCKS = ("W_Q", "W_K", "W_V")


@dataclass(frozen=True)
class Arithmetic:
    """Numbers of one kind and the operations that the laws need.

    Args:
        name: said in a replay.
        number: makes a number from a string such as "-1/2".
        exp: exponential of one number.
        sqrt: square root of a whole number.
        log2: the logarithm of 2.
        same: whether two arrays are equal, exactly or up to rounding.
        jacobian: d f_jc / d W[a, i] for each weight, `(L, v, rows, columns)`.
    """

    name: str
    number: Callable[[str], Any]
    exp: Callable[[Any], Any]
    sqrt: Callable[[int], Any]
    log2: Any
    same: Callable[[Array, Array], bool]
    jacobian: Callable[[Problem], dict[str, Array]]


@dataclass(frozen=True)
class Problem:
    """One sequence and one head, `(L, d)`, `(d, d)`, `(d, d)`, `(d, v)`; mask True takes part."""

    arithmetic: Arithmetic
    S: Array
    W_Q: Array
    W_K: Array
    W_V: Array
    mask: Array | None = None

    @property
    def length(self) -> int:
        """L, the number of elements."""
        return len(self.S)

    def reordered(self, order: list[int], *, move_mask: bool = False) -> Problem:
        """The sequence whose element j is the old element order[j]."""
        mask = self.mask
        if mask is not None and move_mask:
            mask = mask[np.ix_(order, order)]
        return replace(self, S=self.S[order], mask=mask)


def read(given: Mapping[str, Any], arithmetic: Arithmetic) -> Problem:
    """A problem from data: S, W_Q, W_K, W_V as nested lists, mask "causal" or rows of 0 and 1."""

    def matrix(name: str) -> Array:
        rows = [[arithmetic.number(str(x)) for x in row] for row in given[name]]
        return np.array(rows, dtype=None if arithmetic is FLOATS else object)

    unit = arithmetic.sqrt(len(given["W_Q"][0])) * arithmetic.log2
    L = len(given["S"])
    mask = given.get("mask")
    if isinstance(mask, str):
        mask = causal(L)
    return Problem(
        arithmetic,
        matrix("S"),
        matrix("W_Q") * unit,
        matrix("W_K"),
        matrix("W_V"),
        None if mask is None else np.array(mask, dtype=bool),
    )


def causal(L: int) -> Array:
    """True on and below the diagonal."""
    return np.tril(np.ones((L, L), dtype=bool))


def exponentials(p: Problem) -> tuple[Array, Array, Array, Array]:
    """Q, K, V and E = exp(Q K^T / sqrt(d)) of Eq. 2, with E = 0 where the mask forbids."""
    Q, K, V = p.S @ p.W_Q, p.S @ p.W_K, p.S @ p.W_V
    logits = Q @ K.T / p.arithmetic.sqrt(Q.shape[1])
    E = np.array([[p.arithmetic.exp(z) for z in row] for row in logits], dtype=logits.dtype)
    if p.mask is not None:
        E = np.where(p.mask, E, 0 * E)
    return Q, K, V, E


def weights(p: Problem) -> Array:
    """The attention weights, `(L, L)`."""
    *_, E = exponentials(p)
    return E / E.sum(1, keepdims=True)


def output(p: Problem) -> Array:
    """Eq. 2, `(L, v)`."""
    _, _, V, _ = exponentials(p)
    return weights(p) @ V


def omega(p: Problem) -> Array:
    """Eq. 11's omega for v = 1 in its quotient form, `(L, d_k)`."""
    _, K, V, E = exponentials(p)
    total = E.sum(1, keepdims=True)  # (L, 1)
    return ((E @ (K * V)) * total - (E @ V) * (E @ K)) / total**2


def jacobian(p: Problem) -> Mapping[str, Array]:
    """The gradient of every output by every weight, `(L, v, rows, columns)` for each block.

    The arrays cannot be written to: a problem met again is given the same ones.
    """
    S, W_Q, W_K, W_V = (_rows(x) for x in (p.S, p.W_Q, p.W_K, p.W_V))
    mask = None if p.mask is None else _rows(p.mask)
    return _known_jacobian(p.arithmetic, p.S.dtype, S, W_Q, W_K, W_V, mask)


Rows = tuple[tuple[Any, ...], ...]


def _rows(x: Array) -> Rows:
    return tuple(map(tuple, x.tolist()))


# a law and its mutants are searched for, and replayed, on the same small cases
@lru_cache(maxsize=2**14)
def _known_jacobian(
    arithmetic: Arithmetic, dtype: Any, S: Rows, W_Q: Rows, W_K: Rows, W_V: Rows, mask: Rows | None
) -> Mapping[str, Array]:
    def array(x: Rows) -> Array:
        return np.array(x, dtype=dtype)

    mask_array = None if mask is None else np.array(mask)
    blocks = arithmetic.jacobian(
        Problem(arithmetic, array(S), array(W_Q), array(W_K), array(W_V), mask_array)
    )
    for block in blocks.values():
        block.flags.writeable = False
    return blocks


def average_gradient(p: Problem, output_grad: Array | None = None) -> dict[str, Array]:
    """The mean over elements of `<G_j, d f_j / d W>`, G_j = 1 if no loss gradient is given."""
    blocks = jacobian(p)
    G = np.ones((p.length, p.W_V.shape[1]), dtype=int) if output_grad is None else output_grad
    return {name: np.einsum("jc,jcai->ai", G, block) / p.length for name, block in blocks.items()}


def same_blocks(p: Problem, one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether two gradients agree in every block."""
    return all(p.arithmetic.same(one[name], other[name]) for name in BLOCKS)


def spoiled(p: Problem, blocks: Mapping[str, Array], name: str | None) -> dict[str, Array]:
    """Blocks of which the named one is too large by one part in a million; None spoils none.

    A law about all blocks that is told of a spoiled one has to be false, unless that block is
    zero. One that is not has not looked at the block, or not closely.
    """
    factor = p.arithmetic.number("1000001/1000000")
    return {key: block * factor if key == name else block for key, block in blocks.items()}


@dataclass(frozen=True)
class Finding:
    """What a law comes to on one case: the hypotheses, the claim, and whether it held."""

    hypotheses: tuple[Hypothesis, ...]
    claimed: str
    found: str
    holds: bool

    @property
    def violated(self) -> bool:
        """All hypotheses met and the claim false."""
        return not self.holds and all(h.met for h in self.hypotheses)


Law = Callable[[Mapping[str, Any], Arithmetic], Finding]


def replayed(law: Law, given: Mapping[str, Any]) -> Replay:
    """The law on one case in exact arithmetic."""
    finding = law(given, EXACT)
    units = ", W_Q in units of sqrt(d) log 2" if "W_Q" in given else ""
    return Replay(
        EXACT.name + units, finding.hypotheses, finding.claimed, finding.found, not finding.holds
    )


def regular(p: Problem) -> tuple[Hypothesis, ...]:
    """What every case has to meet: real matrices of fitting shape, none of them zero."""
    shapes = f"S {p.S.shape}, W_Q {p.W_Q.shape}, W_V {p.W_V.shape}"
    zero = [name for name in BLOCKS if not any(x != 0 for x in getattr(p, name).flat)]
    return (
        Hypothesis("shapes as in Eq. 2", shapes, p.W_Q.shape == p.W_K.shape == (p.S.shape[1],) * 2),
        Hypothesis("no weight matrix is zero", ", ".join(zero) or "none is", not zero),
    )


def show(x: Any) -> str:
    """Numbers for a reader: fractions as they are, nested lists for arrays."""
    if isinstance(x, np.ndarray):
        return "[" + ", ".join(show(y) for y in x) + "]"
    return f"{x:.6g}" if isinstance(x, float) else str(x)


def _exact_exp(x: Any) -> Any:
    # a whole multiple of log 2 turns into a power of two once the product is expanded
    return sympy.exp(sympy.expand(x))


def _exact_same(x: Array, y: Array) -> bool:
    return x.shape == y.shape and all(
        _exactly_zero(a - b) for a, b in zip(x.flat, y.flat, strict=True)
    )


def _exactly_zero(x: Any) -> bool:
    # most numbers are rational; simplify is for what is left, powers of sqrt(d) and log 2
    return x == 0 if sympy.sympify(x).is_Rational else sympy.simplify(x) == 0


def _exact_jacobian(p: Problem) -> dict[str, Array]:
    mask = None if p.mask is None else p.mask.tolist()
    S, W_Q, W_K, W_V = (x.tolist() for x in (p.S, p.W_Q, p.W_K, p.W_V))
    blocks = symbols.explicit_jacobian(S, W_Q, W_K, W_V, mask=mask)
    return {
        name: np.array(block.tolist(), dtype=object).reshape(block.shape)
        for name, block in blocks.items()
    }


def _float_jacobian(p: Problem) -> dict[str, Array]:
    params = {name: torch.from_numpy(getattr(p, name)) for name in BLOCKS}
    mask = None if p.mask is None else torch.from_numpy(p.mask)
    blocks = oracles.jacobian(params, torch.from_numpy(p.S), mask=mask)
    return {name: block.numpy() for name, block in blocks.items()}


def _float_same(x: Array, y: Array) -> bool:
    # entries are small integers, so results are of order one and rounding is below 1e-12
    return x.shape == y.shape and bool(np.allclose(x, y, rtol=1e-9, atol=1e-9))


EXACT = Arithmetic(
    "exact arithmetic",
    sympy.Rational,
    _exact_exp,
    sympy.sqrt,
    sympy.log(2),
    _exact_same,
    _exact_jacobian,
)
FLOATS = Arithmetic(
    "float64",
    lambda text: float(sympy.Rational(text)) if "/" in text else float(text),
    math.exp,
    math.sqrt,
    math.log(2),
    _float_same,
    _float_jacobian,
)
