"""Blocks of the tangent kernel J J'^T: by Jacobians, and by products without one of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.func import jacrev, jvp, vmap

from ntteach.empirical.blocks import NUMBERS, Block, Rows
from ntteach.empirical.selection import Selection
from ntteach.empirical.target import Target

Jacobian = dict[str, Tensor]


@dataclass(frozen=True)
class Side:
    """One of the kernel's two arguments: a module on its samples, cut into chunks."""

    target: Target
    rows: Rows


# Chunks of rows and of columns, and what is added to the kernel there, by group:
# (samples, lead, samples', lead').
Piece = tuple[Block, Block, dict[str, Tensor]]


def by_jacobians(left: Side, right: Side | None, selection: Selection) -> Iterator[Piece]:
    """`K = sum_p J_p J'_p^T`, one chunk's Jacobian against another's.

    Args:
        left: the rows.
        right: the columns; those of `left` if None, of which then only the blocks on and above
            the diagonal come.
        selection: parameters and groups.
    """
    other = left if right is None else right
    columns = list(other.rows.blocks())
    for part in left.rows.parts():
        only = None
        if right is not None and len(columns) == 1:
            only = jacobian(other, selection, columns[0], part)
        for i, a in enumerate(left.rows.blocks()):
            J = jacobian(left, selection, a, part)
            for j, b in enumerate(columns):
                if right is None and j < i:
                    continue
                if right is None and j == i:
                    J_other = J
                elif only is not None:
                    J_other = only
                else:
                    J_other = jacobian(other, selection, b, part)
                yield a, b, _contracted(J, J_other, (*a.shape, *b.shape), left, selection)


def by_products(left: Side, right: Side | None, selection: Selection) -> Iterator[Piece]:
    """Each column of the kernel as `J (J'^T e)`: a gradient, then its derivative along it.

    Args:
        left: the rows, cut between samples only.
        right: the columns; those of `left` if None.
        selection: parameters and groups.
    """
    other = left if right is None else right
    for part in other.rows.parts():
        for b in other.rows.blocks():
            J = jacobian(other, selection, b, part)
            for a in left.rows.whole_samples().blocks():
                pieces = {}
                for group, names in selection.groups.items():
                    directions = {name: J[name] for name in names}
                    moved = derivatives(left, selection, a.samples, directions)
                    # (samples' lead' part, samples, lead, width) to the part that is summed
                    moved = moved[..., part].unflatten(0, (*b.shape, -1))
                    traced = moved.diagonal(dim1=2, dim2=-1).sum(-1)
                    pieces[group] = traced.permute(2, 3, 0, 1).to(left.target.dtype)
                yield a, b, pieces


def jacobian(side: Side, selection: Selection, block: Block, part: slice) -> Jacobian:
    """Gradients of a chunk's outputs: by parameter, `(samples * lead * part, *shape)`."""
    f, rows = side.target, side.rows

    def outputs(parameters: Mapping[str, Tensor], *one: Tensor) -> Tensor:
        out = f(parameters, *one).reshape(rows.lead, rows.width)
        return out[block.lead, part].flatten()

    tensors = f.samples.part(block.samples)
    parameters = dict(selection.parameters)
    if block.shape[0] == 1:  # without vmap, under which not every module can be called
        J = jacrev(outputs)(parameters, *(x[0] for x in tensors))
        return {name: x.detach() for name, x in J.items()}
    over = (None, *[0] * len(tensors))
    J = vmap(jacrev(outputs), in_dims=over, randomness="error")(parameters, *tensors)
    return {name: x.detach().flatten(0, 1) for name, x in J.items()}


def derivatives(
    side: Side, selection: Selection, samples: slice, directions: Mapping[str, Tensor]
) -> Tensor:
    """`J omega` of some samples along directions that lie in some of the parameters.

    Args:
        side: whose outputs.
        selection: all parameters.
        samples: which samples.
        directions: by parameter, `(k, *shape)`.

    Returns:
        `(k, samples, lead, width)`.
    """
    _load_forward_rules()
    f, rows = side.target, side.rows
    tensors = f.samples.part(samples)
    at = {name: selection.parameters[name] for name in directions}
    still = {name: p for name, p in selection.parameters.items() if name not in directions}
    n = samples.stop - samples.start

    def outputs(parameters: Mapping[str, Tensor]) -> Tensor:
        every = {**still, **parameters}
        if n == 1:
            return f(every, *(x[0] for x in tensors)).unsqueeze(0)
        return vmap(f, in_dims=(None, *[0] * len(tensors)), randomness="error")(every, *tensors)

    def along(direction: Mapping[str, Tensor]) -> Tensor:
        return jvp(outputs, (at,), (dict(direction),))[1]

    # directions outside, samples inside: the other way round each sample copies all directions
    at_once = max(1, NUMBERS // max(1, n * f.kept))
    moved = vmap(along, randomness="error", chunk_size=at_once)(dict(directions))
    return moved.detach().reshape(-1, n, rows.lead, rows.width)


@cache
def _load_forward_rules() -> None:
    """Let torch script its rules for forward mode, of which its own deprecation warns, here."""
    with warnings.catch_warnings():
        script = r".torch\.jit\.script. is (deprecated|not supported)"
        warnings.filterwarnings("ignore", script, DeprecationWarning)
        jvp(torch.neg, (torch.zeros(()),), (torch.zeros(()),))


def _contracted(
    J: Jacobian,
    J_other: Jacobian,
    shape: tuple[int, int, int, int],
    left: Side,
    selection: Selection,
) -> dict[str, Tensor]:
    """Sums over the parameters of each group, and over the outputs that a row sums."""
    n, lead, m, lead_other = shape
    dtype = left.target.dtype
    pieces = {}
    for group, names in selection.groups.items():
        block = None
        for name in names:
            # a row's outputs lie side by side: one product sums over them and the parameter
            a = J[name].reshape(n * lead, -1).to(dtype)
            b = J_other[name].reshape(m * lead_other, -1).to(dtype)
            block = a @ b.mT if block is None else block.addmm_(a, b.mT)
        assert block is not None
        pieces[group] = block.unflatten(1, (m, lead_other)).unflatten(0, (n, lead))
    return pieces
