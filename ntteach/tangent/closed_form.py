"""The closed form, two ways: written block by block, or as one expression that has derivatives."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ntteach.learner import Problem, take
from ntteach.tangent import panels
from ntteach.tangent.features import Group, features, formed, numbers_per_sequence, sums_pay
from ntteach.tangent.panels import spans

# Bytes that the features of one block of sequences may take. The features of a block of columns
# are made anew for each block of rows, which costs little where blocks are large; bounded, so that
# memory does not grow with the batch.
_BLOCK_BYTES = 2**24


def write(out: Tensor, p: Problem, q: Problem, trace_outputs: bool, block_size: int | None) -> None:
    """Write the kernel of p with q, or of p with itself where q is p.

    Nothing of the size of the kernel is held but `out`. What has its first entry is written last.

    Args:
        out: `(N, L, v, N', L', v)`, or `(N, L, N', L')` if `trace_outputs`.
        p: the rows, a batch.
        q: the columns, a batch.
        trace_outputs: whether to sum over outputs c = c'.
        block_size: sequences per block; as many as take a fixed number of bytes if None.
    """
    L, L_other = p.S.shape[1], q.S.shape[1]
    N, N_other = p.S.shape[0], q.S.shape[0]
    outputs = 1 if trace_outputs else out.shape[2]
    tokens = out.view(N * L, outputs, N_other * L_other, outputs)
    if not trace_outputs and p.W_O is None:
        _separate(tokens, outputs // p.W_Q.shape[0])
    size = min(block_size or block_size_for(r, trace_outputs) for r in (p, q))
    as_sums = not trace_outputs and sums_pay(p, q)
    for start, stop in spans(0, N, size):
        rows = features(take(p, start, stop), trace_outputs, as_sums=as_sums)
        here = slice(start * L, stop * L)
        for start_other, stop_other in spans(start if q is p else 0, N_other, size):
            if q is p and start_other == start:
                _write_square(tokens[here, :, here], rows)
                continue
            there = slice(start_other * L_other, stop_other * L_other)
            _write_rectangle(
                tokens[here, :, there],
                rows,
                # not kept under a name here: gone before the next ones are made
                features(take(q, start_other, stop_other), trace_outputs, as_sums=as_sums),
                tokens[there, :, here] if q is p else None,
            )


def _separate(tokens: Tensor, u: int) -> None:
    """Zeros between outputs of different heads, which share no parameter."""
    for first in range(0, tokens.shape[1], u):
        tokens[:, first : first + u, :, :first].zero_()
        tokens[:, first : first + u, :, first + u :].zero_()


def _write_square(tokens: Tensor, rows: list[list[Group]]) -> None:
    for c, groups in _by_outputs(tokens, rows):
        panels.write_symmetric(tokens[:, c, :, c], groups)


def _write_rectangle(
    tokens: Tensor, rows: list[list[Group]], columns: list[list[Group]], mirrored: Tensor | None
) -> None:
    both = zip(_by_outputs(tokens, rows), _by_outputs(tokens, columns), strict=True)
    for (c, left), (_, right) in both:
        other = None if mirrored is None else mirrored[:, c, :, c]
        panels.write(tokens[:, c, :, c], left, right, other)


def _by_outputs(tokens: Tensor, blocks: list[list[Group]]) -> Iterator[tuple[slice, list[Group]]]:
    """Each block of outputs and its groups; the one with the first entry last."""
    u = tokens.shape[1] // len(blocks)
    for n in reversed(range(len(blocks))):
        yield slice(n * u, (n + 1) * u), blocks[n]


def block_size_for(p: Problem, trace_outputs: bool) -> int:
    """How many sequences of p have features that take `_BLOCK_BYTES`."""
    numbers = numbers_per_sequence(p, trace_outputs)
    return max(1, _BLOCK_BYTES // max(1, numbers * p.S.element_size()))


def dense(p: Problem, q: Problem, trace_outputs: bool) -> Tensor:
    """The kernel of p with q out of place, `(tokens, v, tokens', v)`: it has derivatives.

    With `trace_outputs` v is 1.
    """
    rows = features(p, trace_outputs, smooth=True)
    columns = rows if q is p else features(q, trace_outputs, smooth=True)
    blocks = [
        torch.stack([_expression(*groups) for groups in zip(*both, strict=True)]).sum(0)
        for both in zip(rows, columns, strict=True)
    ]
    K = torch.stack(blocks, -1)  # (tokens, u, tokens', u, blocks)
    K = torch.diag_embed(K, dim1=1, dim2=4)  # (tokens, blocks, u, tokens', blocks, u)
    return K.flatten(4, 5).flatten(1, 2)


def _expression(left: Group, right: Group) -> Tensor:
    """The sum over a group's terms, `(tokens, o, tokens', o)`."""
    first = left.terms[0].X
    same = torch.eye(left.outputs, dtype=first.dtype, device=first.device).unsqueeze(1)
    k = first.new_zeros(())
    for t, other in zip(left.terms, right.terms, strict=True):
        gram = (t.X @ other.X.mT).unsqueeze(-1).unsqueeze(1)  # (tokens, 1, tokens', 1)
        if t.Y is None or other.Y is None:
            k = k + gram * same
        else:
            k = k + gram * torch.einsum("ica,jea->icje", formed(t.Y), formed(other.Y))
    if left.mixing is None:
        return k
    return torch.einsum("icje,cx,ey->ixjy", k, left.mixing, left.mixing)
