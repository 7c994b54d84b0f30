"""Checked arguments of a kernel: both sides, the parameters and the chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ntteach.empirical.blocks import Rows, rows
from ntteach.empirical.routes import Side
from ntteach.empirical.samples import Inputs, samples
from ntteach.empirical.selection import Patterns, Selection, select
from ntteach.empirical.target import Output, Target, target


@dataclass(frozen=True)
class Prepared:
    """Checked arguments: both sides, the second None if it is the first, and the parameters."""

    left: Side
    right: Side | None
    selection: Selection
    shape: tuple[int, ...]

    @property
    def other(self) -> Side:
        """The second side, also where it is the first."""
        return self.left if self.right is None else self.right


def prepare(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None,
    parameters: Patterns | None,
    groups: Mapping[str, Patterns] | None,
    output: Output | None,
    trace_outputs: bool,
    block_size: int | None,
) -> Prepared:
    """Check the arguments of `empirical_ntk`, try the module on a sample and plan the chunks."""
    if not isinstance(trace_outputs, bool):
        raise TypeError(f"trace_outputs is True or False, got {trace_outputs!r}")
    selection = select(module, parameters, groups)

    def side(given: Inputs, name: str) -> tuple[Side, tuple[int, ...]]:
        f = target(module, selection.parameters, samples(given, name), output)
        lead = _lead(f.shape, trace_outputs)
        return Side(f, _rows(f, lead, selection, block_size)), (f.samples.count, *lead)

    left, shape = side(inputs, "inputs")
    if inputs_other is None:
        return Prepared(left, None, selection, (*shape, *shape))
    right, shape_other = side(inputs_other, "inputs_other")
    if trace_outputs and left.rows.width != right.rows.width:
        raise ValueError(
            f"trace_outputs sums over the last axis of both outputs, got {left.target.shape} and "
            f"{right.target.shape}"
        )
    return Prepared(left, right, selection, (*shape, *shape_other))


def _lead(shape: tuple[int, ...], trace_outputs: bool) -> tuple[int, ...]:
    if not trace_outputs:
        return shape
    if not shape:
        raise ValueError("trace_outputs sums over the last axis of an output, which is a number")
    return shape[:-1]


def _rows(f: Target, lead: Sequence[int], selection: Selection, block_size: int | None) -> Rows:
    n = math.prod(lead)
    if math.prod(f.shape) == 0:
        raise ValueError(f"a sample has at least one output, got the shape {f.shape}")
    cost = selection.size + f.kept
    return rows(f.samples.count, n, math.prod(f.shape) // n, cost, block_size)
