"""An estimate of the tangent kernel from random directions, with its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from ntteach.empirical.blocks import NUMBERS
from ntteach.empirical.plan import Prepared, prepare
from ntteach.empirical.routes import Side, derivatives
from ntteach.empirical.samples import Inputs
from ntteach.empirical.selection import Patterns, Selection
from ntteach.empirical.target import Output, differentiable


@dataclass(frozen=True)
class SketchedKernel:
    """A random estimate of a kernel.

    Args:
        kernel: the mean over the projections, unbiased; of `empirical_ntk`'s shape.
        standard_error: of each entry, from the sample variance over the projections.
        relative_error: an estimate of `||kernel - K||_F / ||K||_F`; inf where noise hides K.
        projections: k.
    """

    kernel: Tensor
    standard_error: Tensor
    relative_error: float
    projections: int


@overload
def sketched_ntk(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None = None,
    *,
    projections: int,
    seed: int | torch.Generator | None = None,
    parameters: Patterns | None = None,
    groups: None = None,
    output: Output | None = None,
    trace_outputs: bool = False,
    block_size: int | None = None,
) -> SketchedKernel: ...
@overload
def sketched_ntk(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None = None,
    *,
    projections: int,
    seed: int | torch.Generator | None = None,
    parameters: Patterns | None = None,
    groups: Mapping[str, Patterns],
    output: Output | None = None,
    trace_outputs: bool = False,
    block_size: int | None = None,
) -> dict[str, SketchedKernel]: ...
def sketched_ntk(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None = None,
    *,
    projections: int,
    seed: int | torch.Generator | None = None,
    parameters: Patterns | None = None,
    groups: Mapping[str, Patterns] | None = None,
    output: Output | None = None,
    trace_outputs: bool = False,
    block_size: int | None = None,
) -> SketchedKernel | dict[str, SketchedKernel]:
    """Estimate `empirical_ntk` by `(1 / k) sum_i (J omega_i)(J' omega_i)^T`, omega_i ~ N(0, 1).

    Unbiased, since `E[omega omega^T] = 1`, and one forward pass for each direction and sample. An
    entry's variance is `(K_ii K'_jj + K_ij^2) / k` without a trace, so that k = 200 gives the
    diagonal to 10%. The error bars are measured, entry by entry, over the k projections.

    Args:
        module: as for `empirical_ntk`; every part has a derivative in forward mode.
        inputs: as for `empirical_ntk`.
        inputs_other: as for `empirical_ntk`.
        projections: k, at least 2. The directions do not depend on `block_size`.
        seed: of the directions, or their generator; torch's default generator if None.
        parameters: as for `empirical_ntk`.
        groups: as for `empirical_ntk`; one estimate for each.
        output: as for `empirical_ntk`.
        trace_outputs: as for `empirical_ntk`.
        block_size: samples in a chunk.

    Returns:
        The estimate and its error; by group if there are groups.

    Raises:
        ValueError: as `empirical_ntk`, fewer than 2 projections, a part of the module without a
            derivative in forward mode.
        TypeError: as `empirical_ntk`.

    >>> line = torch.nn.Linear(1, 1)  # f = w x + b: K = x x' + 1
    >>> found = sketched_ntk(line, torch.tensor([[2.0]]), projections=1000, seed=0)
    >>> abs(found.kernel.item() - 5) < 3 * found.standard_error.item() < 1
    True
    """
    if not isinstance(projections, int) or isinstance(projections, bool):
        raise TypeError(f"projections is an int, got {projections!r}")
    if projections < 2:
        raise ValueError(f"an error bar needs at least 2 projections, got {projections}")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is a torch.nn.Module, got {type(module).__name__}")
    with torch.inference_mode(False), torch.no_grad(), differentiable(module):
        p = prepare(
            module, inputs, inputs_other, parameters, groups, output, trace_outputs, block_size
        )
        generator = _generator(seed)
        sums = {name: _Sums.start(p) for name in p.selection.groups}
        for directions in _directions(p.selection, projections, generator):
            for group, names in p.selection.groups.items():
                mine = {name: directions[name] for name in names}
                U = _projected(p.left, p.selection, mine)
                U_other = U if p.right is None else _projected(p.right, p.selection, mine)
                sums[group].add(U, U_other)
        found = {name: total.estimate(projections, p.shape) for name, total in sums.items()}
    return found if groups is not None else found[""]


@dataclass(frozen=True)
class _Sums:
    """Over the projections: of `x = sum_c u_c u'_c` and of its square, for every entry."""

    first: Tensor
    second: Tensor

    @classmethod
    def start(cls, p: Prepared) -> _Sums:
        left, right = p.left.rows, p.other.rows
        shape = (left.count * left.lead, right.count * right.lead)
        f = p.left.target
        return cls(*(torch.zeros(shape, dtype=f.dtype, device=f.device) for _ in range(2)))

    def add(self, U: Tensor, U_other: Tensor) -> None:
        """Projections `(k, rows, width)` of both sides."""
        if U.shape[2] == 1:
            u, w = U[..., 0], U_other[..., 0]
            self.first.addmm_(u.mT, w)
            self.second.addmm_(u.square().mT, w.square())
            return
        height = max(1, NUMBERS // U_other.shape[1])
        for u, w in zip(U, U_other, strict=True):
            for start in range(0, u.shape[0], height):
                tile = slice(start, start + height)
                x = u[tile] @ w.mT
                self.first[tile] += x
                self.second[tile].addcmul_(x, x)

    def estimate(self, k: int, shape: tuple[int, ...]) -> SketchedKernel:
        kernel = self.first.div_(k)
        # no cancellation: without a trace the variance is at least the square of the mean
        variance = self.second.div_(k).addcmul_(kernel, kernel, value=-1).clamp_(min=0)
        error = variance.div_(k - 1).sqrt_()
        noise = error.double().square().sum().item()
        # the squares of the estimate hold those of its noise
        size = kernel.double().square().sum().item() - noise
        if noise == 0:
            relative = 0.0
        else:
            relative = (noise / size) ** 0.5 if size > 0 else float("inf")
        return SketchedKernel(kernel.view(shape), error.view(shape), relative, k)


def _generator(seed: int | torch.Generator | None) -> torch.Generator | None:
    if seed is None or isinstance(seed, torch.Generator):
        return seed
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed is an int, a torch.Generator or None, got {seed!r}")
    return torch.Generator().manual_seed(seed)


def _directions(
    selection: Selection, k: int, generator: torch.Generator | None
) -> Iterator[dict[str, Tensor]]:
    """Chunks of k directions through the parameters, the same whatever the chunks are."""
    at_once = max(1, NUMBERS // selection.size)
    for start in range(0, k, at_once):
        drawn = [_direction(selection, generator) for _ in range(start, min(start + at_once, k))]
        yield {name: torch.stack([omega[name] for omega in drawn]) for name in drawn[0]}


def _direction(selection: Selection, generator: torch.Generator | None) -> dict[str, Tensor]:
    return {
        # drawn on the generator's device, so that a seed gives the same directions everywhere
        name: torch.randn(
            p.shape,
            generator=generator,
            dtype=p.dtype,
            device=generator.device if generator is not None else p.device,
        ).to(p.device)
        for name, p in selection.parameters.items()
    }


def _projected(side: Side, selection: Selection, directions: Mapping[str, Tensor]) -> Tensor:
    """`J omega` of all samples: `(k, rows, width)`."""
    starts = range(0, side.rows.count, side.rows.samples)
    slices = (slice(i, min(i + side.rows.samples, side.rows.count)) for i in starts)
    found = [derivatives(side, selection, which, directions).flatten(1, 2) for which in slices]
    return torch.cat(found, 1).to(side.target.dtype)
