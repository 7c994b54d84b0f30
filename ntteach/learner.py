"""The attention learner: softmax attention as a pure function of its parameters and a sequence.

With one head, `d_k = d` and no `W_O` this is Eq. 2 of the paper,
`f(S) = softmax(S W_Q (S W_K)^T / sqrt(d)) S W_V`; masks and a context give Eq. 23. Parameters are
a mapping of tensors `W_Q (d, d_k)`, `W_K (d_c, d_k)`, `W_V (d_c, v)` and optionally `W_O (v, o)`,
where `d_c` is the width of the context (`d` for self-attention).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Params = Mapping[str, Tensor]
Mask = Tensor | Literal["causal"] | None


def attention(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """Softmax attention, Eq. 2 (self), Eq. 23 (masked, cross), and its multi-head form.

    Head h uses its own columns of W_Q, W_K, W_V and scales by `(d_k / heads) ** -0.5`; the heads'
    outputs are concatenated and multiplied by W_O where there is one. NaN or inf in S, the weights
    or a float mask (but for the -inf that masks) goes through to the output, also from padded
    places.

    Args:
        params: `W_Q (d, d_k)`, `W_K (d_c, d_k)`, `W_V (d_c, v)`, optionally `W_O (v, o)`.
        S: one sequence `(L, d)` or a batch `(N, L, d)`.
        context: what keys and values are read from, `(M, d_c)` or `(N, M, d_c)`; S itself if None.
        mask: "causal", or a tensor that broadcasts to `(N, heads, L, M)`: boolean True takes part,
            a float is added to the scaled logits. A row that is masked everywhere gives 0, with
            zero gradient.
        heads: divides d_k and v.

    Returns:
        `(..., L, v)`, or `(..., L, o)` with W_O.

    Raises:
        ValueError: shapes that do not fit, widths below 1, an unknown mask or parameter name,
            tensors on more than one device.
        TypeError: mixed dtypes, or a dtype that is not floating point.

    >>> S = torch.tensor([[0.0], [1.0]])
    >>> zero = torch.zeros(1, 1)
    >>> attention({"W_Q": zero, "W_K": zero, "W_V": torch.ones(1, 1)}, S).flatten().tolist()
    [0.5, 0.5]
    """
    return forward(problem(params, S, context, mask, heads)).output


def attention_weights(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Tensor:
    """The softmax matrix of Eq. 2 for each head, `(..., heads, L, M)`; arguments as `attention`.

    Rows sum to one, except that a row masked everywhere is zero.

    >>> S = torch.tensor([[1.0], [1.0]])
    >>> W = torch.ones(1, 1)
    >>> attention_weights({"W_Q": W, "W_K": W, "W_V": W}, S, mask="causal").tolist()
    [[[1.0, 0.0], [0.5, 0.5]]]
    """
    return forward(problem(params, S, context, mask, heads)).weights


class AttentionLearner(torch.nn.Module):
    """One attention layer whose parameter names are those of `attention`.

    Weights are drawn as N(0, 1/fan_in).

    Args:
        d: width of the sequence.
        d_k: columns of W_Q and W_K; d if None.
        v: columns of W_V.
        o: columns of W_O; no W_O if None.
        d_context: width of the context, for cross-attention; d if None.
        heads: divides d_k and v.
        causal: whether an element sees only itself and what comes before it.
        generator: source of the initial weights; torch's default generator if None.
        device: where the parameters live.
        dtype: of the parameters, floating point; torch's default if None.

    Raises:
        ValueError: a width below 1, or heads that do not divide d_k and v.
        TypeError: a width that is no whole number, or a dtype that is not floating point.

    >>> AttentionLearner(3, v=2, heads=1)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        d: int,
        *,
        d_k: int | None = None,
        v: int = 1,
        o: int | None = None,
        d_context: int | None = None,
        heads: int = 1,
        causal: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check_kinds({"d": d, "d_k": d_k, "v": v, "o": o, "d_context": d_context}, dtype)
        d_k = d if d_k is None else d_k
        d_context = d if d_context is None else d_context
        shapes = {"W_Q": (d, d_k), "W_K": (d_context, d_k), "W_V": (d_context, v)}
        if o is not None:
            shapes["W_O"] = (v, o)
        _check_widths(shapes)
        _check_heads(heads, d_k, v)
        self.heads = heads
        self.causal = causal
        for name, (rows, columns) in shapes.items():
            # drawn on the generator's device, so that a seed gives the same weights everywhere
            origin = generator.device if generator is not None else device
            weight = torch.randn(rows, columns, generator=generator, device=origin, dtype=dtype)
            weight = (weight * rows**-0.5).to(device)
            self.register_parameter(name, torch.nn.Parameter(weight))
        if o is None:
            self.register_parameter("W_O", None)

    def forward(self, S: Tensor, context: Tensor | None = None, mask: Mask = None) -> Tensor:
        """`attention` of these parameters; `mask` replaces the causal one where it is given."""
        if mask is None and self.causal:
            mask = "causal"
        # by attribute: a parametrized weight is no parameter of the module any more
        named = {name: getattr(self, name) for name in ("W_Q", "W_K", "W_V", "W_O")}
        params = {name: weight for name, weight in named.items() if weight is not None}
        return attention(params, S, context=context, mask=mask, heads=self.heads)


@dataclass(frozen=True)
class Problem:
    """Checked arguments with heads split off: every head a batch dimension of its own.

    Args:
        S: `(..., L, d)`.
        C: the context, `(..., M, d_c)`.
        W_Q: `(heads, d, d_h)`, `d_h = d_k / heads`.
        W_K: `(heads, d_c, d_h)`.
        W_V: `(heads, d_c, v_h)`, `v_h = v / heads`.
        W_O: `(heads, v_h, o)` or None.
        mask: broadcasts to `(..., heads, L, M)`, or None.
        scale: `d_h ** -0.5`.
    """

    S: Tensor
    C: Tensor
    W_Q: Tensor
    W_K: Tensor
    W_V: Tensor
    W_O: Tensor | None
    mask: Tensor | None
    scale: float


@dataclass(frozen=True)
class Forward:
    """The quantities of Eq. 2 for every head.

    Args:
        Q: queries `(..., heads, L, d_h)`.
        K: keys `(..., heads, M, d_h)`.
        V: values `(..., heads, M, v_h)`.
        weights: attention weights A `(..., heads, L, M)`.
        head_outputs: f before W_O, `(..., heads, L, v_h)`.
        output: `(..., L, v)` or `(..., L, o)`.
    """

    Q: Float[Tensor, "*batch heads L d_h"]
    K: Float[Tensor, "*batch heads M d_h"]
    V: Float[Tensor, "*batch heads M v_h"]
    weights: Float[Tensor, "*batch heads L M"]
    head_outputs: Float[Tensor, "*batch heads L v_h"]
    output: Float[Tensor, "*batch L out"]


def forward(p: Problem) -> Forward:
    """Eq. 2 and its masked, cross and multi-head forms, with every intermediate kept."""
    Q = _project(p.S, p.W_Q)  # (..., heads, L, d_h)
    K = _project(p.C, p.W_K)  # (..., heads, M, d_h)
    V = _project(p.C, p.W_V)  # (..., heads, M, v_h)
    A = _masked_softmax(Q @ K.mT * p.scale, p.mask)  # (..., heads, L, M)
    f = A @ V  # (..., heads, L, v_h)
    if p.W_O is None:
        output = merge_heads(f)  # (..., L, v)
    else:
        output = torch.einsum("...hlc,hco->...lo", f, p.W_O)  # (..., L, o)
    return Forward(Q, K, V, A, f, output)


def _project(x: Tensor, weight: Tensor) -> Tensor:
    """`(..., n, a)` by `(heads, a, c)` to `(..., heads, n, c)`."""
    # one matrix product: a broadcasting one copies the weight for every sequence
    return torch.einsum("...na,hac->...hnc", x, weight)


def _masked_softmax(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Row-wise softmax; a row without any finite logit is zero and passes no gradient."""
    if mask is not None:
        if mask.dtype == torch.bool:
            logits = logits.masked_fill(~mask, -torch.inf)
        else:
            logits = logits + mask
    # subtracting the row's maximum changes nothing and keeps exp below 1
    top = logits.detach().amax(-1, keepdim=True)
    # masked everywhere: the maximum is -inf, and -inf - -inf would be NaN
    top = torch.where(top == -torch.inf, torch.zeros_like(top), top)
    E = torch.exp(logits - top)
    total = E.sum(-1, keepdim=True)
    return E / torch.where(total == 0, torch.ones_like(total), total)


def merge_heads(x: Tensor) -> Tensor:
    """`(..., heads, L, c)` to `(..., L, heads * c)`: the heads side by side."""
    return x.movedim(-3, -2).flatten(-2)


def problem(
    params: Params,
    S: Tensor,
    context: Tensor | None = None,
    mask: Mask = None,
    heads: int = 1,
) -> Problem:
    """Check shapes, dtypes and devices, and split the heads; raises as `attention` says."""
    C = S if context is None else context
    W_Q, W_K, W_V, W_O = _weights(params)
    tensors = {"S": S, "context": C, "W_Q": W_Q, "W_K": W_K, "W_V": W_V}
    if W_O is not None:
        tensors["W_O"] = W_O
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} is a tensor, got {type(tensor).__name__}")
    _check_dtypes_and_devices(tensors)
    _check_shapes(tensors)
    d_k, v = W_Q.shape[1], W_V.shape[1]
    _check_heads(heads, d_k, v)
    return Problem(
        S,
        C,
        _split(W_Q, heads),
        _split(W_K, heads),
        _split(W_V, heads),
        None if W_O is None else W_O.unflatten(0, (heads, v // heads)),
        _mask(mask, S, C, heads),
        (d_k // heads) ** -0.5,
    )


def take(p: Problem, start: int, stop: int) -> Problem:
    """The problem of sequences start to stop of a batch."""
    S = p.S[start:stop]
    C = S if p.C is p.S else p.C[start:stop]
    mask = p.mask if p.mask is None or p.mask.ndim < 4 else p.mask[start:stop]
    return replace(p, S=S, C=C, mask=mask)


def output_shape(p: Problem) -> tuple[int, ...]:
    """The shape of `attention`'s result, `(..., L, v)` or `(..., L, o)`."""
    heads, _, v_h = p.W_V.shape
    return (*p.S.shape[:-1], heads * v_h if p.W_O is None else p.W_O.shape[-1])


def _split(weight: Tensor, heads: int) -> Tensor:
    return weight.unflatten(1, (heads, weight.shape[1] // heads)).movedim(1, 0)


def _weights(params: Params) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    if not hasattr(params, "keys"):
        raise TypeError(f"params is a mapping of tensors, got {type(params).__name__}")
    missing = {"W_Q", "W_K", "W_V"} - set(params)
    unknown = set(params) - {"W_Q", "W_K", "W_V", "W_O"}
    if missing or unknown:
        raise ValueError(
            f"params are W_Q, W_K, W_V and optionally W_O, got {', '.join(params) or 'none'}"
        )
    return params["W_Q"], params["W_K"], params["W_V"], params.get("W_O")


def _check_dtypes_and_devices(tensors: Mapping[str, Tensor]) -> None:
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    if len(set(dtypes.values())) > 1:
        given = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"all tensors have one dtype, got {given}")
    if not tensors["S"].is_floating_point():
        raise TypeError(f"tensors are floating point, got {tensors['S'].dtype}")
    devices = {name: tensor.device for name, tensor in tensors.items()}
    if len(set(devices.values())) > 1:
        given = ", ".join(f"{name} {device}" for name, device in devices.items())
        raise ValueError(f"all tensors are on one device, got {given}")


def _check_kinds(widths: Mapping[str, object], dtype: object) -> None:
    for name, width in widths.items():
        if width is None and name in ("d_k", "o", "d_context"):
            continue
        if not isinstance(width, Integral) or isinstance(width, bool):
            raise TypeError(f"widths are whole numbers, got {name}={width!r}")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype is a floating point torch.dtype, got {dtype!r}")


def _check_widths(shapes: Mapping[str, tuple[int, ...]]) -> None:
    if min(min(shape) for shape in shapes.values()) < 1:
        raise ValueError(f"every width is at least 1, got shapes {shapes}")


def _check_shapes(tensors: Mapping[str, Tensor]) -> None:
    S, C = tensors["S"], tensors["context"]
    if S.ndim not in (2, 3):
        raise ValueError(f"S is (L, d) or (N, L, d), got {tuple(S.shape)}")
    if C.ndim != S.ndim or C.shape[:-2] != S.shape[:-2]:
        raise ValueError(
            f"context is (M, d_c) or (N, M, d_c) with the N of S, "
            f"got {tuple(C.shape)} for S {tuple(S.shape)}"
        )
    for name in ("S", "context"):
        if tensors[name].shape[-2] < 1:
            given = tuple(tensors[name].shape)
            raise ValueError(f"sequences have at least one element, got {name} {given}")
    for name in tensors.keys() - {"S", "context"}:
        if tensors[name].ndim != 2:
            raise ValueError(f"{name} is a matrix, got shape {tuple(tensors[name].shape)}")
    expected = {
        "W_Q": (S.shape[-1], "d_k"),
        "W_K": (C.shape[-1], tensors["W_Q"].shape[1]),
        "W_V": (C.shape[-1], "v"),
        "W_O": (tensors["W_V"].shape[1], "o"),
    }
    for name, shape in expected.items():
        if name not in tensors:
            continue
        given = tensors[name].shape
        if any(isinstance(n, int) and n != m for n, m in zip(shape, given, strict=True)):
            wanted = ", ".join(str(n) for n in shape)
            raise ValueError(f"{name} has shape ({wanted}), got {tuple(given)}")
    # every width is one of a weight
    _check_widths({name: tuple(tensors[name].shape) for name in expected if name in tensors})


def _check_heads(heads: int, d_k: int, v: int) -> None:
    if not isinstance(heads, int) or isinstance(heads, bool):
        raise TypeError(f"heads is an int, got {type(heads).__name__}")
    if heads < 1 or d_k % heads or v % heads:
        raise ValueError(f"heads divides d_k and v, got heads={heads}, d_k={d_k}, v={v}")


def _mask(mask: Mask, S: Tensor, C: Tensor, heads: int) -> Tensor | None:
    L, M = S.shape[-2], C.shape[-2]
    if mask is None:
        return None
    if isinstance(mask, str):
        if mask != "causal":
            raise ValueError(f'mask is "causal", a tensor or None, got {mask!r}')
        # as in scaled_dot_product_attention: row j sees columns up to j, also when M is not L
        return torch.ones(L, M, dtype=torch.bool, device=S.device).tril()
    if not isinstance(mask, Tensor):
        raise TypeError(f'mask is "causal", a tensor or None, got {type(mask).__name__}')
    if mask.dtype not in (torch.bool, S.dtype):
        raise TypeError(f"mask is boolean or has the dtype of S, {S.dtype}; got {mask.dtype}")
    if mask.device != S.device:
        raise ValueError(f"mask is on the device of S, {S.device}; got {mask.device}")
    full = (*S.shape[:-2], heads, L, M)
    try:
        return mask.expand(full)
    except RuntimeError:
        raise ValueError(f"mask broadcasts to {full}, got shape {tuple(mask.shape)}") from None
