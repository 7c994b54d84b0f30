"""Where the kernel of a bound comes from: a matrix, a kernel on sequences, or a live model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntteach.bounds.gram import Gram, gram
from ntteach.empirical import empirical_ntk
from ntteach.learner import AttentionLearner, Mask
from ntteach.rkhs import FunctionalLearner, Kernel
from ntteach.rkhs.kernels import check_sequences
from ntteach.tangent import antk


def kernel_of(
    source: Any,
    sequences: Any = None,
    *,
    mask: Mask = None,
    heads: int = 1,
    outputs: int = 1,
) -> Gram:
    """The Gram matrix of the outputs, from whatever gives one; in float64.

    Args:
        source: a Gram matrix (as `gram` reads it), an `rkhs` kernel or learner, parameters of
            `attention`, an `AttentionLearner` (both by `antk`) or any module (by `empirical_ntk`).
        sequences: `(N, L, d)`, for all but a matrix; for a module whatever it is called with.
        mask: for parameters of `attention`.
        heads: for parameters of `attention`.
        outputs: v for a matrix `(n, n)`.

    Raises:
        ValueError: sequences, a mask or heads missing or not wanted; as `gram`, `antk` or
            `empirical_ntk`.
        TypeError: something else as a kernel; as these.

    >>> line = torch.nn.Linear(1, 1, bias=False)
    >>> kernel_of(line, torch.tensor([[1.0], [2.0]])).matrix.tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    source = source.kernel if isinstance(source, FunctionalLearner) else source
    if isinstance(source, Kernel | torch.nn.Module | Mapping):
        if sequences is None:
            raise ValueError(
                f"{_named(source)} is no Gram matrix: give the sequences= it is taken of"
            )
    elif not isinstance(source, Tensor | np.ndarray | list | tuple):
        raise TypeError(
            "a kernel is a Gram matrix, an rkhs kernel or learner, parameters of attention or a "
            f"module; got {_named(source)}"
        )
    elif sequences is not None:
        raise ValueError("sequences are given with a kernel or a model, not with a Gram matrix")
    if not isinstance(source, Mapping) and (mask is not None or heads != 1):
        raise ValueError(
            f"mask and heads are for parameters of attention, got them with {_named(source)}"
        )
    if outputs != 1 and not isinstance(source, Tensor | np.ndarray | list | tuple):
        raise ValueError(
            f"outputs is for a Gram matrix (n, n), got {outputs!r} with {_named(source)}, which "
            "has its own"
        )
    if isinstance(source, Kernel):
        return _of_kernel(source, sequences)
    if isinstance(source, torch.nn.Module):
        return of_module(doubled(source), in_double(sequences))
    if isinstance(source, Mapping):
        params = {name: weight.detach().double() for name, weight in source.items()}
        return of_attention(params, batch(in_double(sequences)), mask, heads)
    return gram(source, outputs=outputs)


def doubled(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in float64 and eval mode.

    Raises:
        ValueError: it cannot be copied.
    """
    try:
        return copy.deepcopy(module).double().eval()
    except Exception as error:
        raise ValueError(f"{type(module).__name__} cannot be copied: {error}") from error


def attention_weights_of(module: torch.nn.Module) -> Mapping[str, Tensor] | None:
    """The parameters of `attention` if the module is an `AttentionLearner` that trains them all."""
    if type(module) is not AttentionLearner or not all(
        p.requires_grad for p in module.parameters()
    ):
        return None
    named = dict(module.named_parameters())
    # a parametrized weight is trained through other parameters than W_Q, W_K, W_V, W_O
    return named if set(named) <= {"W_Q", "W_K", "W_V", "W_O"} else None


def _of_kernel(kernel: Kernel, S: Any) -> Gram:
    check_sequences("sequences", S)
    S = S.detach().to(_precision_of(kernel))
    o = kernel.outputs_at(S)
    found = gram(kernel.gram(S), outputs=o, name="the Gram matrix")
    return replace(found, shape=(len(S), o)) if kernel.vector_valued else found


def _precision_of(part: Any) -> torch.dtype:
    """The dtype of the tensors that a kernel keeps; float64 where it keeps none."""
    if isinstance(part, Tensor):
        return part.dtype if part.is_floating_point() else torch.float64
    inner = (part if isinstance(part, Mapping) else vars(part)).values()
    kept = [_precision_of(x) for x in inner if isinstance(x, Kernel | Tensor | Mapping)]
    return min(kept, key=lambda dtype: torch.finfo(dtype).bits, default=torch.float64)


def of_attention(params: Mapping[str, Tensor], S: Tensor, mask: Mask, heads: int) -> Gram:
    """The ANTK of parameters of `attention` on a batch `(N, L, d)`."""
    return gram(antk(params, S, mask=mask, heads=heads).detach(), name="the ANTK")


def of_module(module: torch.nn.Module, sequences: Any) -> Gram:
    """The tangent kernel of a module as it is: the ANTK of an `AttentionLearner`."""
    params = attention_weights_of(module)
    if params is not None and isinstance(module, AttentionLearner):
        mask = "causal" if module.causal else None
        return of_attention(params, batch(sequences), mask, module.heads)
    K = empirical_ntk(module, sequences, output=tensor_of)
    half = K.ndim // 2
    shape = tuple(K.shape[:half])
    n = K.shape[:half].numel()
    # (N,) and (N, L) are numbers, one for each sequence or element; else the last axis is v
    length = sequences.shape[1] if isinstance(sequences, Tensor) and sequences.ndim > 2 else None
    scalar = half == 1 or (half == 2 and shape[1] == length)
    found = gram(K.reshape(n, n), outputs=1 if scalar else shape[-1], name="the tangent kernel")
    return replace(found, shape=shape, sequences=shape[0])


def tensor_of(returned: Any) -> Tensor:
    """The tensor that a module returns, its `.logits` or its `.last_hidden_state`.

    Raises:
        TypeError: there is none.
    """
    for name in ("logits", "last_hidden_state"):
        returned = getattr(returned, name, returned)
    if not isinstance(returned, Tensor):
        raise TypeError(
            f"the module returned {_named(returned)}, expected a tensor: "
            "wrap it in a module that returns one"
        )
    return returned


def batch(S: Any) -> Any:
    """One sequence `(L, d)` as a batch of one."""
    return S[None] if isinstance(S, Tensor) and S.ndim == 2 else S


def in_double(inputs: Any) -> Any:
    """Floating-point tensors in float64; class numbers, masks and token ids as they are."""
    if isinstance(inputs, Tensor):
        return inputs.detach().double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Mapping):
        return {name: in_double(x) for name, x in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(in_double(x) for x in inputs)
    return inputs


def _named(thing: Any) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return "None" if thing is None else f"an object of type {type(thing).__name__}"
