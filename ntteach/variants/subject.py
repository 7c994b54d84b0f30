"""A user's module as a map of one sequence, (L, d) to (L, v), with its derivatives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ntteach.variants.target import CannotCheck, required, said

_QKV = ("query", "key", "value")


@dataclass(frozen=True)
class Subject:
    """What is checked.

    Args:
        name: for messages.
        call: maps `(L, d)` to `(L, v)`; raises `CannotCheck` where the module raises.
        module: None for a function.
        parameters: the floating-point parameters that are trained, by name; shared with `module`.
        dtype: the arithmetic it is run in.
        device: where it lives.
        called: how it is called, in words.
        notes: what the reader should know about how it was run.
    """

    name: str
    call: Callable[[Tensor], Tensor]
    module: torch.nn.Module | None
    parameters: Mapping[str, Tensor]
    dtype: torch.dtype
    device: torch.device
    called: str
    notes: tuple[str, ...]

    def output(self, S: Tensor) -> Tensor:
        """f(S) as a constant; recorded all the same, since some modules have a second path."""
        with torch.enable_grad():
            return self.call(S.detach().clone().requires_grad_()).detach()

    def products(self, S: Tensor, cotangents: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """`u^T df/dx` for each u and each x of "S" and the parameters, by autograd."""
        with torch.enable_grad():
            S = S.detach().clone().requires_grad_()
            inputs = {"S": S, **self.parameters}
            f = self.call(S)
            if not f.requires_grad:  # under no_grad or behind a detach: autograd sees a constant
                return [{n: torch.zeros_like(x) for n, x in inputs.items()} for _ in cotangents]
            found = []
            for u in cotangents:
                try:
                    g = torch.autograd.grad(
                        f, list(inputs.values()), u, retain_graph=True, allow_unused=True
                    )
                except (Exception, SystemExit) as error:
                    raise CannotCheck(
                        f"{self.name} raised {said(error)} in its backward pass on a sequence of "
                        f"shape {tuple(S.shape)}"
                    ) from error
                found.append(
                    {
                        name: torch.zeros_like(x) if gradient is None else gradient.detach()
                        for (name, x), gradient in zip(inputs.items(), g, strict=True)
                    }
                )
            return found

    @contextmanager
    def moved(self, direction: Mapping[str, Tensor], t: float) -> Iterator[None]:
        """The module with `parameter + t * direction`, put back exactly afterwards."""
        kept = {name: self.parameters[name].detach().clone() for name in direction}
        try:
            with torch.no_grad():
                for name, change in direction.items():
                    self.parameters[name].add_(change, alpha=t)
            yield
        finally:
            with torch.no_grad():
                for name, value in kept.items():
                    self.parameters[name].copy_(value)


def adapt(target: Callable[..., Any], name: str, S: Tensor, hint: str) -> Subject:
    """Find the arithmetic and the way of calling in which `target` maps S as it should.

    Single and batched calls are both tried. Where both work and differ, one of them takes the
    elements of the sequence for a batch: a module is then called with a batch of one (some read
    any shape), unless it says `batch_first = False`; a function with the sequence itself.

    Args:
        target: a module (changed in place: eval mode, dtype) or a function.
        name: for messages.
        S: `(L, d)`, what it is tried on.
        hint: added to the message where nothing works, such as a likely width.

    Raises:
        CannotCheck: it raises or gives no (L, v) either way.
    """
    module = target if isinstance(target, torch.nn.Module) else None
    arguments = _arguments(target, name)
    device = torch.device("cpu")
    if module is not None:
        module.eval()
        device = next((p.device for p in module.parameters()), device)
    failures: list[str] = []
    first_failures: list[str] = []
    for dtype in (torch.float64, torch.float32):
        if module is not None:
            module.to(dtype)
        trial, found = S.to(device, dtype), {}
        failures = []
        for batched in (False, True):
            call = _caller(target, name, arguments, batched)
            try:
                found[batched] = (call, call(trial).detach())
            except CannotCheck as error:
                failures.append(str(error))
        if found:
            batched, notes = _choose(found, module)
            if dtype == torch.float32:
                notes += (
                    f"run in float32, with wider bounds, since in float64 {first_failures[0]}",
                )
            return Subject(
                name,
                found[batched][0],
                module,
                _trained(module),
                dtype,
                device,
                f"{_shown(arguments)} with {'(1, L, d)' if batched else '(L, d)'}",
                notes,
            )
        first_failures = first_failures or failures
    raise CannotCheck(_told(failures, hint))


def _told(failures: Sequence[str], hint: str) -> str:
    """Both failures if they are of two kinds; one that only differs in its shape says nothing."""
    kinds = {failure.partition(" sequence of shape")[0]: failure for failure in reversed(failures)}
    text = "; ".join(reversed(kinds.values()))
    return text + hint if " raised " in text else text


def _choose(
    found: Mapping[bool, tuple[Callable[[Tensor], Tensor], Tensor]], module: torch.nn.Module | None
) -> tuple[bool, tuple[str, ...]]:
    if len(found) == 1:
        return next(iter(found)), ()
    single, batch = found[False][1], found[True][1]
    if single.shape == batch.shape and torch.allclose(
        single, batch, rtol=1e-3, atol=1e-5, equal_nan=True
    ):
        return False, ()
    sequence_first = module is not None and any(
        getattr(part, "batch_first", True) is False for part in module.modules()
    )
    batched = module is not None and not sequence_first
    shown = ("(L, d)", "(1, L, d)")
    return batched, (
        f"{shown[batched]} and {shown[not batched]} give different results; "
        f"{shown[batched]} was used",
    )


def _trained(module: torch.nn.Module | None) -> dict[str, Tensor]:
    if module is None:
        return {}
    named = module.named_parameters()
    return {name: p for name, p in named if p.requires_grad and p.is_floating_point()}


def _arguments(target: Callable[..., Any], name: str) -> tuple[str, ...] | int:
    """How many times S is handed over, or by which names."""
    function = target.forward if isinstance(target, torch.nn.Module) else target
    needed = required(function)
    if needed is not None and set(_QKV) <= set(inspect.signature(function).parameters):
        return _QKV
    if needed is None or len(needed) <= 1:
        return 1
    if len(needed) == 3:
        return 3
    raise CannotCheck(
        f"{name} requires the arguments ({', '.join(needed)}), expected S alone or query, key, "
        f"value: wrap it in a factory"
    )


def _shown(arguments: tuple[str, ...] | int) -> str:
    return "m(S)" if arguments == 1 else "m(S, S, S)"


def _caller(
    target: Callable[..., Any], name: str, arguments: tuple[str, ...] | int, batched: bool
) -> Callable[[Tensor], Tensor]:
    def call(S: Tensor) -> Tensor:
        given = S.unsqueeze(0) if batched else S
        try:
            if isinstance(arguments, int):
                output = target(*[given] * arguments)
            else:
                output = target(**dict.fromkeys(arguments, given))
        except (Exception, SystemExit) as error:
            raise CannotCheck(
                f"{name} raised {said(error)} on a sequence of shape {tuple(given.shape)}"
            ) from error
        return _output(output, name, given, batched)

    return call


def _output(output: Any, name: str, given: Tensor, batched: bool) -> Tensor:
    if isinstance(output, Mapping):  # a Hugging Face ModelOutput
        output = next(iter(output.values()), None)
    if isinstance(output, tuple | list):
        output = output[0] if output else None
    lead = tuple(given.shape[:-1])
    expected = f"expected a tensor of shape ({', '.join(map(str, lead))}, v)"
    if not isinstance(output, Tensor):
        raise CannotCheck(
            f"{name} does not return (L, v): for a sequence of shape {tuple(given.shape)} it "
            f"returned a {type(output).__name__}, {expected}"
        )
    if output.ndim != len(lead) + 1 or tuple(output.shape[:-1]) != lead or not output.shape[-1]:
        raise CannotCheck(
            f"{name} does not return (L, v): for a sequence of shape {tuple(given.shape)} it "
            f"returned {tuple(output.shape)}, {expected}"
        )
    if output.dtype != given.dtype:
        raise CannotCheck(f"{name} returned {output.dtype} for a sequence of {given.dtype}")
    return output[0] if batched else output
