"""A module as a pure function of its parameters and one sample, tried on one before all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from ntteach.empirical.samples import Samples

Output = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Target:
    """`f(parameters, one sample)`, everything else in the module held fixed.

    Args:
        module: what is called.
        fixed: the other parameters, detached, and copies of the buffers.
        output: from what the module returns to a tensor with a batch axis of 1.
        samples: how a sample becomes arguments; its tensors are those of all samples.
        shape: of one sample's output.
        dtype: of the kernel: that of the output, float32 at least.
        device: of the output.
        kept: numbers that the backward pass of one sample keeps, besides parameters.
    """

    module: torch.nn.Module
    fixed: Mapping[str, Tensor]
    output: Output
    samples: Samples
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    kept: int

    def __call__(self, parameters: Mapping[str, Tensor], *one: Tensor) -> Tensor:
        """The output of one sample, without its batch axis."""
        return _called(self.module, {**self.fixed, **parameters}, self.samples, one, self.output)


def target(
    module: torch.nn.Module,
    parameters: Mapping[str, Tensor],
    samples: Samples,
    output: Output | None = None,
) -> Target:
    """Find out, on the first sample, what the module returns and what its backward pass keeps.

    Raises:
        TypeError: something was returned in which no output is found.
        ValueError: the module raises, depends on the batch, draws random numbers, changes its
            buffers, or returns no floating-point tensor with a batch axis of 1.
    """
    _require_one_at_a_time(module)
    output = output_tensor if output is None else output
    others = {n: p.detach() for n, p in module.named_parameters() if n not in parameters}
    fixed = {**others, **{n: b.detach().clone() for n, b in module.named_buffers()}}
    one = tuple(x[0] for x in samples.tensors)
    kind = type(module).__name__
    try:
        result, kept = _kept(module, parameters, fixed, samples, one, output)
        again = _called(module, {**fixed, **parameters}, samples, one, output)
    except (_Unsuitable, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"{kind} raised {type(error).__name__}: {error}; it was called with one sample and a "
            f"batch axis of 1 before its axes, {samples}"
        ) from error
    for name, buffer in module.named_buffers():
        if not torch.equal(torch.nan_to_num(fixed[name]), torch.nan_to_num(buffer)):
            raise ValueError(f"{kind} changes its buffer {name} when it is called: use eval()")
    epsilon = torch.finfo(result.dtype).eps
    if not torch.allclose(result, again, rtol=64 * epsilon, atol=64 * epsilon, equal_nan=True):
        raise ValueError(
            f"two calls of {kind} with one sample differ (dropout, a state kept between calls?): "
            f"use eval()"
        )
    dtype = torch.promote_types(result.dtype, torch.float32)
    shape = tuple(result.shape)
    return Target(module, fixed, output, samples, shape, dtype, result.device, kept)


class _Unsuitable(TypeError, ValueError):
    """What the module returned is no output; not to be reported as raised by the module."""


@contextmanager
def unfused(module: torch.nn.Module) -> Iterator[None]:
    """Let torch use code that has all derivatives.

    Fused attention has no derivative in forward mode and no rule for vmap; autocast, which is
    meant for losses, would round some operations, and not under every transform.
    """
    devices = {"cpu", *(x.device.type for x in (*module.parameters(), *module.buffers()))}
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with ExitStack() as stack:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            for device in filter(torch.amp.is_autocast_available, devices):
                stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def differentiable(module: torch.nn.Module) -> Iterator[None]:
    """`unfused`, and say what to do where a derivative is missing all the same."""
    kind = type(module).__name__
    try:
        with unfused(module):
            yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        text = str(error).split("\n")[0]
        text = text if len(text) <= 200 else f"{text[:197]}..."
        if "allocate memory" in text:
            raise
        if "randomness" in text:
            raise ValueError(f"{kind} draws random numbers (dropout?): use eval()") from error
        if any(name in text for name in ("forward AD", "forward mode AD")):
            raise ValueError(
                f"{kind} has a part without a derivative in forward mode: only empirical_ntk with "
                f'method="jacobian" does without one ({text})'
            ) from error
        raise ValueError(
            f"torch.func cannot differentiate {kind}; block_size=1 takes the samples one by one, "
            f"without vmap over them ({text})"
        ) from error


def _called(
    module: torch.nn.Module,
    tensors: Mapping[str, Tensor],
    samples: Samples,
    one: tuple[Tensor, ...],
    output: Output,
) -> Tensor:
    args, keywords = samples.call(one)
    returned = functional_call(module, dict(tensors), args, keywords)
    result = output(returned)
    if not isinstance(result, Tensor):
        raise _Unsuitable(f"output returns a tensor, got {type(result).__name__}")
    if not result.is_floating_point():
        raise _Unsuitable(f"outputs are floating point, got {result.dtype}")
    if result.ndim == 0 or result.shape[0] != 1:
        raise _Unsuitable(
            f"for one sample the output has a batch axis of 1 in front, got {tuple(result.shape)}"
        )
    return result[0]


def output_tensor(returned: Any) -> Tensor:
    """The tensor itself, or the logits or last hidden state of a Hugging Face output."""
    if isinstance(returned, Tensor):
        return returned
    for name in ("logits", "last_hidden_state"):
        if isinstance(found := getattr(returned, name, None), Tensor):
            return found
    if isinstance(returned, Mapping):
        what = f"{type(returned).__name__} with {', '.join(map(str, returned))}"
        example = "output=lambda returned: returned[...]"
    elif isinstance(returned, tuple | list):
        parts = (
            f"{type(part).__name__} {tuple(part.shape)}"
            if isinstance(part, Tensor)
            else type(part).__name__
            for part in returned
        )
        what = f"{type(returned).__name__} of {', '.join(parts) or 'nothing'}"
        example = "output=lambda returned: returned[0]"
    else:
        what, example = type(returned).__name__, "output="
    raise _Unsuitable(f"the module returned a {what}: say which tensor is meant, {example}")


def _kept(
    module: torch.nn.Module,
    parameters: Mapping[str, Tensor],
    fixed: Mapping[str, Tensor],
    samples: Samples,
    one: tuple[Tensor, ...],
    output: Output,
) -> tuple[Tensor, int]:
    """One sample's output, and how many numbers its backward pass keeps besides parameters."""
    known = {x.untyped_storage().data_ptr() for x in (*parameters.values(), *fixed.values())}
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        if (where := x.untyped_storage().data_ptr()) not in known:
            sizes[where] = max(sizes.get(where, 0), x.numel())
        return x

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        traced = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        result = _called(module, {**fixed, **traced}, samples, one, output)
        return result.detach(), sum(sizes.values())


def _require_one_at_a_time(module: torch.nn.Module) -> None:
    """Raise where a sample's output depends on the batch it comes with, or on chance."""
    for name, part in module.named_modules():
        where = f"{name or 'the module'} ({type(part).__name__})"
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            if part.training:
                raise ValueError(
                    f"{where} normalises by the batch, so that one sample alone has no output of "
                    f"its own: use eval()"
                )
            if part.running_mean is None:
                raise ValueError(f"{where} keeps no running statistics: it needs a batch")
        if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.training and part.p > 0:
            raise ValueError(f"{where} draws random numbers: use eval(), or p = 0")
