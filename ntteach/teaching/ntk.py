"""Residuals weighed by the tangent kernel, as in NINT, without the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from ntteach.empirical.samples import Inputs, Samples, samples
from ntteach.empirical.selection import Patterns, select
from ntteach.empirical.target import Output, output_tensor, unfused

# From the outputs of some samples, and which they are, to dL/df of the same shape.
OutputGrads = Callable[[Tensor, slice], Tensor]


def ntk_scores(
    module: torch.nn.Module,
    inputs: Inputs,
    output_grads: Tensor | OutputGrads,
    *,
    parameters: Patterns | None = None,
    output: Output | None = None,
    batch_size: int = 128,
) -> Tensor:
    """NINT's score `||K(x_i, .) g||`: how fast the output of sample i moves in a step on all.

    With g the dL/df of all samples and K = J J^T, gradient flow moves the outputs by `-K g`
    (Eq. 15). Neither K nor J is formed: `v = J^T g` is one backward pass over the batches, and
    `J_i v` a derivative along v, one forward pass. A residual that no other sample shares counts
    less than its own norm, one that many share counts more. With K = c I it would be the residual.

    The module is called in eval mode, with the fused attention and autocast of torch off, and left
    as it was: modes, buffers, gradients and torch's random numbers. If it draws some in eval mode
    too (masks), every batch gets the same ones in both passes.

    Args:
        module: any; parameters that do not require a gradient do not count.
        inputs: a tensor with N samples along axis 0, or several: a tuple of the positional or a
            mapping of the keyword arguments of the module, as for `empirical_ntk`.
        output_grads: g, of the shape of all outputs, `(N, ...)`; or a function of the outputs of
            some samples and the slice that says which, such as
            `lambda f, rows: f - targets[rows]`, so that g need not be stored.
        parameters: patterns, as for `empirical_ntk`: the last layers alone are cheaper.
        output: from what the module returns to a tensor with samples along axis 0. If None, the
            tensor that is returned, its `.logits` or its `.last_hidden_state`.
        batch_size: samples at a time.

    Returns:
        `(N,)`, the Frobenius norm over the outputs of each sample, in their dtype, float32 at
        least. A NaN among the gradients reaches every score.

    Raises:
        ValueError: nothing to differentiate by, shapes that do not fit, or a module with a part
            that has no derivative in forward mode.
        TypeError: arguments of the wrong kind.

    >>> line = torch.nn.Linear(1, 1, bias=False)  # K(x, x') = x x'
    >>> ntk_scores(line, torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [1.0]])).tolist()
    [5.0, 10.0]
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is a torch.nn.Module, got {type(module).__name__}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size is a whole number from 1, got {batch_size!r}")
    if not isinstance(output_grads, Tensor) and not callable(output_grads):
        raise TypeError(
            f"output_grads is a tensor or a function of outputs and a slice, got "
            f"{type(output_grads).__name__}"
        )
    given = samples(inputs)
    theta = dict(select(module, parameters).parameters)
    if isinstance(output_grads, Tensor) and output_grads.shape[:1] != (given.count,):
        raise ValueError(
            f"output_grads is of {given.count} samples, got shape {tuple(output_grads.shape)}"
        )
    batches = [slice(a, a + batch_size) for a in range(0, given.count, batch_size)]
    with _left_as_it_was(module) as rewind, torch.no_grad():
        run = _Run(module, given, output or output_tensor)
        # float32 at least, since many batches are added
        v = {n: torch.zeros_like(p, dtype=_wide(p.dtype)) for n, p in theta.items()}
        for rows in batches:
            rewind()
            f, pull, *_ = vjp(lambda theta, rows=rows: run(theta, rows), theta)
            g = output_grads[rows] if isinstance(output_grads, Tensor) else output_grads(f, rows)
            for name, x in pull(_matching(g, f))[0].items():
                v[name] += x
        along = {name: x.to(theta[name].dtype) for name, x in v.items()}
        scores = []
        for rows in batches:
            rewind()
            moved = jvp(lambda theta, rows=rows: run(theta, rows), (theta,), (along,))[1]
            moved = moved.to(_wide(moved.dtype)).reshape(moved.shape[0], -1)
            scores.append(torch.linalg.vector_norm(moved, dim=1))
    return torch.cat(scores)


class _Run:
    """The outputs of some samples, as a function of the parameters."""

    def __init__(self, module: torch.nn.Module, given: Samples, output: Output) -> None:
        self.module, self.given, self.output = module, given, output

    def __call__(self, theta: dict[str, Tensor], rows: slice) -> Tensor:
        tensors = self.given.part(rows)
        arguments = {**self.given.constants, **dict(zip(self.given.places, tensors, strict=True))}
        positions = sorted(place for place in arguments if isinstance(place, int))
        keywords = {place: x for place, x in arguments.items() if isinstance(place, str)}
        # copies, so that a module that counts its calls does not count these
        buffers = {name: b.detach().clone() for name, b in self.module.named_buffers()}
        returned = functional_call(
            self.module, {**buffers, **theta}, tuple(arguments[p] for p in positions), keywords
        )
        f = self.output(returned)
        if not isinstance(f, Tensor) or not f.is_floating_point():
            what = f.dtype if isinstance(f, Tensor) else type(f).__name__
            raise TypeError(f"outputs are a floating-point tensor, got {what}")
        if f.shape[:1] != (tensors[0].shape[0],):
            raise ValueError(
                f"outputs have {tensors[0].shape[0]} samples along axis 0, got {tuple(f.shape)}"
            )
        return f


@contextmanager
def _left_as_it_was(module: torch.nn.Module) -> Iterator[Callable[[], None]]:
    """Eval mode inside; yields what sets torch's random numbers back to where they stood."""
    # not module.train(): parts that were frozen in eval mode stay so
    modes = {part: part.training for part in module.modules()}
    cards = {x.device for x in (*module.parameters(), *module.buffers()) if x.is_cuda}
    state, states = torch.get_rng_state(), {d: torch.cuda.get_rng_state(d) for d in cards}

    def rewind() -> None:
        torch.set_rng_state(state)
        for device, before in states.items():
            torch.cuda.set_rng_state(before, device)

    try:
        module.eval()
        with torch.inference_mode(False), unfused(module):
            yield rewind
    except NotImplementedError as error:
        if "forward" not in str(error):
            raise
        text = str(error).split("\n")[0]
        raise ValueError(
            f"{type(module).__name__} has a part without a derivative in forward mode, which "
            f"NTK scores need ({text})"
        ) from error
    finally:
        rewind()
        for part, mode in modes.items():
            part.training = mode


def _matching(g: Tensor, f: Tensor) -> Tensor:
    if not isinstance(g, Tensor):
        raise TypeError(f"output_grads is a tensor, got {type(g).__name__}")
    if g.shape != f.shape:
        raise ValueError(
            f"output_grads has the shape of the outputs, {tuple(f.shape)} for these samples, got "
            f"{tuple(g.shape)}"
        )
    return g.detach().to(f)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
