"""Runs of gradient descent that a bound is put beside: in the parameters, or in the outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ntteach import losses
from ntteach.bounds.gram import Gram, numbers
from ntteach.bounds.sources import (
    batch,
    doubled,
    in_double,
    kernel_of,
    of_attention,
    of_module,
    tensor_of,
)
from ntteach.learner import AttentionLearner, Mask, attention
from ntteach.losses import Loss
from ntteach.rkhs import FunctionalLearner


class Run(Protocol):
    """A model that is trained by full gradient descent.

    Laws: `df/dt = -(eta / P) gram() g` at the outputs that `outputs` gives, and `descend` moves
    against the gradient of the average loss.
    """

    moves: str

    def outputs(self) -> Tensor:
        """f, connected to what is moved."""
        ...

    def gram(self) -> Gram:
        """The kernel at the present."""
        ...

    def rate(self, loss: Tensor, eta: float, P: float) -> float:
        """dL/dt of a loss computed from `outputs`, by autograd."""
        ...

    def descend(self, loss: Tensor, eta: float, P: float) -> None:
        """One step of size eta on a loss computed from `outputs`."""
        ...


class ParameterRun:
    """Gradient descent in the parameters: `theta <- theta - eta dL/dtheta` (Eqs. 6-7)."""

    moves = "parameters"

    def __init__(
        self, call: Callable[[], Tensor], gram: Callable[[], Gram], weights: Sequence[Tensor]
    ) -> None:
        self._call, self._gram, self._weights = call, gram, list(weights)

    def outputs(self) -> Tensor:
        """f of the parameters as they are."""
        return self._call()

    def gram(self) -> Gram:
        """The tangent kernel of the parameters as they are."""
        return self._gram()

    def rate(self, loss: Tensor, eta: float, P: float) -> float:
        """`-eta |dL/dtheta|^2`."""
        return -eta * sum(d.square().sum().item() for d in self._gradients(loss))

    def descend(self, loss: Tensor, eta: float, P: float) -> None:
        """One step of the parameters."""
        with torch.no_grad():
            for weight, d in zip(self._weights, self._gradients(loss), strict=True):
                weight -= eta * d

    def _gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        if not loss.requires_grad:
            raise ValueError("the loss does not depend on any parameter that can be trained")
        return torch.autograd.grad(loss, self._weights, retain_graph=True, materialize_grads=True)


class FunctionalRun:
    """Functional gradient descent, seen on the given sequences: `f <- f - (eta / P) K g`."""

    moves = "outputs"

    def __init__(self, K: Gram, start: Tensor) -> None:
        self._K, self._f = K, start.clone().requires_grad_()

    def outputs(self) -> Tensor:
        """f on the sequences."""
        return self._f

    def gram(self) -> Gram:
        """The kernel, which stays."""
        return self._K

    def rate(self, loss: Tensor, eta: float, P: float) -> float:
        """`<dL/df, df/dt>`, both by autograd from the loss."""
        slope = self._slope(loss)
        return (slope @ self._velocity(slope, eta)).item()

    def descend(self, loss: Tensor, eta: float, P: float) -> None:
        """One step of the outputs."""
        with torch.no_grad():
            self._f += self._velocity(self._slope(loss), eta).reshape(self._f.shape)

    def _slope(self, loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, self._f, retain_graph=True)[0].flatten()

    def _velocity(self, slope: Tensor, eta: float) -> Tensor:
        return -eta * (self._K.matrix @ slope)  # slope = g / P


def run_of(
    model: Any, sequences: Any, *, start: Any = None, mask: Mask = None, heads: int = 1
) -> Run:
    """A run from a model as it is now; the model itself is not changed.

    Args:
        model: a module or parameters of `attention`, trained by their parameters; an `rkhs` kernel
            or learner, or a Gram matrix, trained by functional gradient descent.
        sequences: as for `sufficient_reduction`; None with a Gram matrix.
        start: the outputs that functional gradient descent starts from; if None those of the
            learner, zeros for a kernel or a matrix.
        mask: for parameters of `attention`.
        heads: for parameters of `attention`.

    Raises:
        ValueError: as `kernel_of`, or a start for parameters or of another shape.
    """
    if not isinstance(model, torch.nn.Module | Mapping):
        K = kernel_of(model, sequences, mask=mask, heads=heads)
        if isinstance(model, FunctionalLearner) and start is None:
            start = model.predict(sequences)
        f = torch.zeros(K.shape, dtype=torch.float64) if start is None else numbers(start, "start")
        if tuple(f.shape) != K.shape:
            raise ValueError(f"start has the shape of the outputs, {K.shape}, got {tuple(f.shape)}")
        return FunctionalRun(K, f.double())
    if start is not None:
        raise ValueError("start is for a kernel: a model starts from the parameters that it has")
    if sequences is None:
        raise ValueError(f"a {type(model).__name__} is called with sequences, got None")
    S = in_double(sequences)
    if isinstance(model, Mapping):
        S = batch(S)
        params = {n: w.detach().double().clone().requires_grad_() for n, w in model.items()}
        return ParameterRun(
            lambda: attention(params, S, mask=mask, heads=heads),
            lambda: of_attention({n: w.detach() for n, w in params.items()}, S, mask, heads),
            list(params.values()),
        )
    if mask is not None or heads != 1:
        raise ValueError("mask and heads are for parameters of attention, a module has its own")
    module = doubled(model)
    S = batch(S) if isinstance(module, AttentionLearner) else S
    weights = [p for p in module.parameters() if p.requires_grad]
    if not weights:
        raise ValueError(f"{type(model).__name__} has no parameter that can be trained")
    _require_one_by_one(module, S)
    return ParameterRun(lambda: _called(module, S), lambda: of_module(module, S), weights)


def loss_of(loss: Any, model: Any = None) -> Loss:
    """A loss, or the one of this name, such as "squared" or "cross_entropy".

    None stands for the loss of the model if it is an `rkhs` learner, else for the squared loss.

    Raises:
        ValueError: an unknown name, or a loss that needs arguments. TypeError: no loss.

    >>> loss_of("logistic").smoothness
    0.25
    """
    if loss is None:
        return model.loss if isinstance(model, FunctionalLearner) else losses.squared()
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss is a name or a Loss, got {type(loss).__name__}")
    make = getattr(losses, loss.replace("-", "_"), None)
    if not inspect.isfunction(make) or inspect.signature(make).return_annotation != "Loss":
        known = [n for n, f in vars(losses).items() if inspect.isfunction(f) and _plain(f)]
        raise ValueError(f"loss is one of {', '.join(sorted(known))}, or a Loss; got {loss!r}")
    if not _plain(make):
        raise ValueError(f"the loss {loss!r} needs arguments: give losses.{loss}(...)")
    return make()


def _plain(make: Callable[..., Any]) -> bool:
    """Whether this makes a loss without arguments."""
    signature = inspect.signature(make)
    needed = [p for p in signature.parameters.values() if p.default is p.empty]
    return (
        signature.return_annotation == "Loss" and not needed and not make.__name__.startswith("_")
    )


def _called(module: torch.nn.Module, S: Any) -> Tensor:
    if isinstance(S, Mapping):
        returned = module(**S)
    else:
        returned = module(*S) if isinstance(S, tuple) else module(S)
    return tensor_of(returned).double()


def _require_one_by_one(module: torch.nn.Module, S: Any) -> None:
    """Raise if an output depends on the other sequences of a batch, which no kernel knows of."""
    if not isinstance(S, Tensor) or len(S) < 2:
        return
    with torch.no_grad():
        together, alone = _called(module, S)[0], _called(module, S[:1])[0]
    if not torch.allclose(together, alone, rtol=1e-5, atol=1e-6):
        raise ValueError(
            f"{type(module).__name__} gives a sequence another output in a batch than alone"
        )
