"""The tangent kernel of any module, exact, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, overload

import torch
from torch import Tensor

from ntteach.empirical.destination import destinations, nan_on_failure
from ntteach.empirical.plan import Prepared, prepare
from ntteach.empirical.routes import Piece, by_jacobians, by_products
from ntteach.empirical.samples import Inputs
from ntteach.empirical.selection import Patterns
from ntteach.empirical.target import Output, differentiable


@overload
def empirical_ntk(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None = None,
    *,
    parameters: Patterns | None = None,
    groups: None = None,
    output: Output | None = None,
    trace_outputs: bool = False,
    method: Literal["jacobian", "products"] = "jacobian",
    block_size: int | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def empirical_ntk(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None = None,
    *,
    parameters: Patterns | None = None,
    groups: Mapping[str, Patterns],
    output: Output | None = None,
    trace_outputs: bool = False,
    method: Literal["jacobian", "products"] = "jacobian",
    block_size: int | None = None,
    out: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]: ...
def empirical_ntk(
    module: torch.nn.Module,
    inputs: Inputs,
    inputs_other: Inputs | None = None,
    *,
    parameters: Patterns | None = None,
    groups: Mapping[str, Patterns] | None = None,
    output: Output | None = None,
    trace_outputs: bool = False,
    method: Literal["jacobian", "products"] = "jacobian",
    block_size: int | None = None,
    out: Tensor | Mapping[str, Tensor] | None = None,
) -> Tensor | dict[str, Tensor]:
    """The empirical tangent kernel of any module: `K = sum_p (df / d theta_p)(df' / d theta_p)`.

    The kernel of Eq. 15, by automatic differentiation. Samples are evaluated one at a time, each
    with a batch axis of 1, and buffers are held fixed; a module whose output for a sample depends
    on the batch or on chance is refused. Jacobians exist for one chunk of samples (or of the
    outputs of one) against another at a time, so that memory beyond the result does not grow with
    their number. The result carries no gradient. Autocast is switched off.

    Args:
        module: in eval mode, where it has dropout or BatchNorm.
        inputs: a tensor with N samples along axis 0, or several: a tuple of the positional or a
            mapping of the keyword arguments of the module (`input_ids`, `attention_mask`). None,
            numbers, booleans and strings among them are the same for every sample.
        inputs_other: of the second argument, N' samples; `inputs` if None.
        parameters: patterns, such as "head.weight", "encoder.layer.0" or "*.attention.*"; all
            parameters if None. Frozen ones never count, tied ones once.
        groups: patterns by name of a group, which do not overlap; one kernel for each, in one
            pass. Parameters in no group are left out; the kernels sum to that of all groups.
        output: from what the module returns to a tensor, whose axis 0 is the batch of 1. If None,
            the tensor that is returned, its `.logits` or its `.last_hidden_state`.
        trace_outputs: sum over the last axis of the output, on both sides at once: over classes
            for outputs (C,), which leaves (N, N'), over the v columns for outputs (L, v), which
            leaves (N, L, N', L').
        method: "jacobian" multiplies Jacobians; "products" differentiates forward along each
            gradient, which pays where a sample has more outputs than a few times its elements.
        block_size: samples in a chunk, with all their outputs. If None as many as memory allows,
            by the number of parameters and what a backward pass keeps. 1 avoids vmap over
            samples, under which modules with data-dependent branches cannot be called.
        out: written to and returned, contiguous, of the result's shape, dtype and device, in
            memory of its own; a mapping by group where there are groups. Filled with NaN if an
            exception is raised midway; a killed process leaves zeros and partial sums unmarked.

    Returns:
        `(N, *output, N', *output')`, without the last axis of both outputs if `trace_outputs`; by
        group if there are groups. In the dtype of the output, float32 at least.

    Raises:
        ValueError: nothing to differentiate by, patterns that fit nothing or overlap, a module
            that depends on the batch, draws random numbers, raises or returns no tensor, `out` of
            another shape or device, or in the memory of inputs, parameters, buffers or another
            group's.
        TypeError: arguments of the wrong kind, `out` of another dtype.

    >>> line = torch.nn.Linear(2, 1)  # f = w . x + b, so that K = x . x' + 1
    >>> x = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    >>> empirical_ntk(line, x, trace_outputs=True).tolist()
    [[6.0, 7.0], [7.0, 10.0]]
    >>> empirical_ntk(line, x, trace_outputs=True, groups={"slope": "weight"})["slope"].tolist()
    [[5.0, 6.0], [6.0, 9.0]]
    """
    if method not in ("jacobian", "products"):
        raise ValueError(f'method is "jacobian" or "products", got {method!r}')
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is a torch.nn.Module, got {type(module).__name__}")
    with torch.inference_mode(False), torch.no_grad(), differentiable(module):
        p = prepare(
            module, inputs, inputs_other, parameters, groups, output, trace_outputs, block_size
        )
        f, grouped = p.left.target, groups is not None
        tensors = (*f.samples.tensors, *p.other.target.samples.tensors)
        read = (*tensors, *module.parameters(), *module.buffers())
        results = destinations(out, p.selection.groups, grouped, p.shape, f.dtype, f.device, read)
        with nan_on_failure(results):
            if method == "jacobian":
                pieces = by_jacobians(p.left, p.right, p.selection)
            else:
                pieces = by_products(p.left, p.right, p.selection)
            mirrored = p.right is None and method == "jacobian"
            _sum_up(pieces, {group: _by_rows(K, p) for group, K in results.items()}, mirrored)
    return results if grouped else results[""]


def _by_rows(K: Tensor, p: Prepared) -> Tensor:
    """The kernel seen as `(N, lead, N', lead')`."""
    left, right = p.left.rows, p.other.rows
    return K.view(left.count, left.lead, right.count, right.lead)


def _sum_up(pieces: Iterator[Piece], kernels: Mapping[str, Tensor], mirrored: bool) -> None:
    for a, b, found in pieces:
        for group, block in found.items():
            K = kernels[group]
            K[a.samples, a.lead, b.samples, b.lead] += block
            if mirrored and a != b:  # the kernel is symmetric
                K[b.samples, b.lead, a.samples, a.lead] += block.permute(2, 3, 0, 1)
