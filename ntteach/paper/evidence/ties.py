"""Identities tied to autograd: both sides in numbers, against what the oracle finds."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from sympy import Expr
from torch import Tensor
from torch.func import grad, jvp

from ntteach import oracles, symbols

Identity = tuple[str, Expr, Expr]

# Tied to the oracle at these sizes: all different where that is possible, so that a swapped index
# shows; d_h and v_h are the widths of one head.
SIZES = {"L": 3, "M": 2, "d": 2, "d_k": 3, "v": 2, "o": 3, "H": 2, "d_h": 1, "v_h": 2, "r": 2}
SIZES |= {"L2": 2, "M2": 3, "N": 2}
PLACES = 8  # entries, drawn at random, that are compared with the oracle
TIME, ETA = 0.5, 0.7  # where on a line, and how fast, an identity about a path is looked at
Truth = tuple[Tensor, tuple[str, ...]]  # and the names of its axes


def oracle_margin(identity: Identity, block: str, form: str, seed: int) -> float:
    """The largest distance of either side from autograd over 1e-12, relative to the largest entry.

    At the small sizes of `SIZES`, rounding is below 1e-14.

    Args:
        identity: its name and its two sides.
        block: what the sides are: one of `TRUTHS`, and the parameter it is about; a parameter
            alone stands for the derivative by it.
        form: the variant of attention.
        seed: of the numbers and of the places that are looked at.
    """
    _, lhs, rhs = identity
    free = {x.name for x in lhs.free_symbols | rhs.free_symbols if isinstance(x, sympy.Symbol)}
    kind, _, name = block.partition(" ") if block.split()[0] in TRUTHS else ("by", "", block)
    numbers = _draw(form, seed, batch=kind in ("loss", "flow"))
    truth, axes = TRUTHS[kind](numbers, [name] if name else list(numbers.params))
    places = list(itertools.product(*(range(size) for size in truth.shape)))
    random.Random(seed).shuffle(places)
    # a scalar identity is about the first output column, and the first column of W_V
    places = [
        place
        for place in places
        if not any(x for axis, x in zip(axes, place, strict=True) if axis not in free)
    ][:PLACES]
    if not places:
        raise ValueError("no entry was compared with the oracle")
    indices = [
        {axis: x + 1 for axis, x in zip(axes, place, strict=True) if axis in free}
        for place in places
    ]
    found = symbols.evaluate_all([lhs, rhs], SIZES, numbers.values, indices)
    sides = torch.tensor([[float(x) for x in side] for side in found], dtype=torch.float64)
    error = (sides - torch.stack([truth[place] for place in places])).abs().max()
    return (error / (1e-12 * truth.abs().max())).item()


@dataclass(frozen=True)
class _Numbers:
    """Random parameters and sequences, as tensors for the oracle and by name for the symbols."""

    params: dict[str, Tensor]
    heads: int
    first: dict[str, Any]  # arguments of the oracle
    second: dict[str, Any]
    direction: dict[str, Tensor]
    targets: Tensor
    values: dict[str, Any]


def _draw(form: str, seed: int, *, batch: bool) -> _Numbers:
    """Numbers for a form; with `batch`, the second sequence is a training set of N of them."""
    g = torch.Generator().manual_seed(seed)
    n = SIZES
    headed = form in ("multi-head", "projected")
    heads = n["H"] if headed else 1
    d_k, v = (heads * n["d_h"], heads * n["v_h"]) if headed else (n["d_k"], n["v"])

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, dtype=torch.float64)

    S = normal(n["L"], n["d"])
    params = {"W_Q": normal(n["d"], d_k), "W_K": normal(n["d"], d_k), "W_V": normal(n["d"], v)}
    if form == "projected":
        params["W_O"] = normal(v, n["o"])
    values: dict[str, Any] = {"t": TIME, "eta": ETA}

    def sequence(S: Tensor, mark: str) -> dict[str, Any]:
        """The oracle's arguments for a sequence, whose numbers are noted under its names."""
        values["S" + mark] = S.tolist()
        L = S.shape[-2]
        context = mask = weights = None
        if form == "cross":
            context = normal(n["M" + mark], n["d"])
            values["C" + mark] = context.tolist()
        if form == "causal":
            mask = torch.ones(L, L, dtype=torch.bool).tril()
        if form in ("masked", "causal, weighted"):
            weights = torch.rand(L, L, generator=g, dtype=torch.float64)
            weights[0, 1] = 0.0  # one pair takes no part
            weights = weights.tril() if form == "causal, weighted" else weights
            # a mask that is added to the logits is the logarithm of a weight
            mask = weights.log()
            values["m" + mark] = weights.tolist()
        return {"S": S, "context": context, "mask": mask, "heads": heads}

    first = sequence(S, "")
    second = sequence(normal(n["N"], n["L2"], n["d"]) if batch else normal(n["L2"], n["d"]), "2")
    direction = {name: normal(*W.shape) for name, W in params.items()}
    targets = normal(n["N"], n["L2"], v)
    values |= {"D_" + name[-1]: D.tolist() for name, D in direction.items()}
    values["G"] = targets.tolist()
    for name, W in params.items():
        if headed:  # (H, d, columns), and (H, rows, o) of W_O
            dim = 0 if name == "W_O" else 1
            W = W.unflatten(dim, (heads, -1)).movedim(dim, 0)
        values[name] = W.tolist()
    return _Numbers(params, heads, first, second, direction, targets, values)


def _by(numbers: _Numbers, names: list[str]) -> Truth:
    """The derivative of the output by a parameter."""
    (block,) = names
    heads, projected = numbers.heads, "W_O" in numbers.params
    truth = oracles.jacobian(numbers.params, **numbers.first)[block]
    last = "b" if block == "W_V" else "i"
    if heads == 1:
        return truth, ("j", "c", "a", last)
    if block == "W_O":
        return truth.unflatten(-2, (heads, -1)), ("j", "e", "g", "b", "p")
    truth = truth.unflatten(-1, (heads, -1))
    if projected:
        return truth, ("j", "e", "a", "g", last)
    return truth.unflatten(1, (heads, -1)), ("j", "h", "c", "a", "g", last)


def _kernel(numbers: _Numbers, names: list[str]) -> Truth:
    """Both sequences' Jacobians, contracted over parameters."""
    one, other = (oracles.jacobian(numbers.params, **x) for x in (numbers.first, numbers.second))
    parts = [torch.einsum("jcxy,klxy->jckl", one[name], other[name]) for name in names]
    truth = torch.stack(parts).sum(0)
    if "W_O" in numbers.params:
        return truth, ("j", "e", "j2", "e2")
    if numbers.heads == 1:
        return truth, ("j", "c", "j2", "c2")
    truth = truth.unflatten(3, (numbers.heads, -1)).unflatten(1, (numbers.heads, -1))
    return truth, ("j", "h", "c", "j2", "h2", "c2")


def _moved(numbers: _Numbers, names: list[str], by: Tensor) -> Tensor:
    """The output with some parameters moved along the direction."""
    moved = {name: numbers.params[name] + by * numbers.direction[name] for name in names}
    return oracles.attention({**numbers.params, **moved}, **numbers.first)


def _line(numbers: _Numbers, names: list[str]) -> Truth:
    """The derivative of the output along a line: of all parameters at `TIME`, of one at 0."""
    at = torch.tensor(TIME if len(names) > 1 else 0.0, dtype=torch.float64)
    truth = jvp(lambda by: _moved(numbers, names, by), (at,), (torch.ones_like(at),))[1]
    return truth, ("j", "c")


def _step(numbers: _Numbers, names: list[str]) -> Truth:
    """The output after a step of length `TIME`."""
    return _moved(numbers, names, torch.tensor(TIME, dtype=torch.float64)), ("j", "c")


def _loss(numbers: _Numbers, names: list[str]) -> Truth:
    """The derivative of the averaged squared loss of the training set by a parameter."""

    def loss(params: dict[str, Tensor]) -> Tensor:
        residual = oracles.attention(params, **numbers.second) - numbers.targets
        return residual.square().sum() / (2 * SIZES["N"] * SIZES["L2"])

    (block,) = names
    return grad(loss)(numbers.params)[block], ("a", "b" if block == "W_V" else "i")


def _flow(numbers: _Numbers, names: list[str]) -> Truth:
    """How fast the output changes when one parameter descends sum(G f) / (N L), times eta."""

    def loss(params: dict[str, Tensor]) -> Tensor:
        f = oracles.attention(params, **numbers.second)
        return (numbers.targets * f).sum() / (SIZES["N"] * SIZES["L2"])

    slope = grad(loss)(numbers.params)
    still = {name: torch.zeros_like(W) for name, W in numbers.params.items()}
    moving = still | {name: -ETA * slope[name] for name in names}

    def output(params: dict[str, Tensor]) -> Tensor:
        return oracles.attention(params, **numbers.first)

    return jvp(output, (numbers.params,), (moving,))[1], ("j", "c")


# What autograd can say of the sides of an identity, by the first word of `block`.
TRUTHS: dict[str, Callable[[_Numbers, list[str]], Truth]] = {
    "by": _by,
    "kernel": _kernel,
    "line": _line,
    "step": _step,
    "loss": _loss,
    "flow": _flow,
}
