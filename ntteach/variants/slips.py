"""The usual slips in softmax attention, each as the formula that it turns Eq. 2 into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from ntteach.learner import attention

Candidate = Callable[[Tensor], Tensor]


def slip(
    params: Mapping[str, Tensor], heads: int, causal: bool, equals: Callable[[Candidate], bool]
) -> str | None:
    """The first slip whose formula the module computes, in words; None where there is none.

    Args:
        params: W_Q, W_K, W_V and perhaps W_O.
        heads: that the module should have.
        causal: whether it should be masked.
        equals: whether the module computes this map of S.
    """
    for words, candidate in _slips(params, heads, causal):
        try:
            if equals(candidate):
                return f"it equals {words}"
        except ValueError:  # shapes that do not fit this slip
            continue
    return None


def _slips(
    params: Mapping[str, Tensor], heads: int, causal: bool
) -> Iterator[tuple[str, Candidate]]:
    mask = "causal" if causal else None
    W_Q, W_K, W_V = (params[name] for name in ("W_Q", "W_K", "W_V"))
    d, d_k = W_Q.shape
    d_h = d_k // heads

    def form(**changed: Tensor) -> Candidate:
        return lambda S: attention({**params, **changed}, S, mask=mask, heads=heads)

    def with_heads(other: int) -> Candidate:
        return lambda S: attention(params, S, mask=mask, heads=other)

    def scaled(scale: float) -> Candidate:
        # Eq. 2 divides by sqrt(d_h), so the queries carry whatever else is wanted
        return form(W_Q=W_Q * (scale * d_h**0.5))

    yield "Eq. 2 without the scale d_k^-0.5", scaled(1.0)
    yield "Eq. 2 with the scale 1/d_k", scaled(1 / d_h)
    yield "Eq. 2 with the scale d_k^0.5: multiplied, not divided", scaled(d_h**0.5)
    if heads > 1:
        yield "Eq. 2 with the scale of all heads together", scaled(d_k**-0.5)
    if d != d_h:
        yield "Eq. 2 with the scale d^-0.5 of the input's width", scaled(d**-0.5)
    yield "Eq. 2 with W_Q in place of W_K", form(W_K=W_Q)
    yield "Eq. 2 with W_K in place of W_Q", form(W_Q=W_K)
    yield "Eq. 2 with W_Q and W_K exchanged", form(W_Q=W_K, W_K=W_Q)
    if W_V.shape == W_K.shape:
        yield "Eq. 2 with W_K in place of W_V", form(W_V=W_K)
        yield "Eq. 2 with W_Q in place of W_V", form(W_V=W_Q)
        yield "Eq. 2 with W_V in place of W_K", form(W_K=W_V)
    for name, W in params.items():
        if W.shape[0] == W.shape[1]:
            yield f"Eq. 2 with {name} transposed", form(**{name: W.mT})
    if all(W.shape[0] == W.shape[1] for W in params.values()):
        yield "Eq. 2 with every weight transposed", form(**{n: W.mT for n, W in params.items()})
    for other in range(1, d_k + 1):
        if other != heads and d_k % other == 0 and W_V.shape[1] % other == 0:
            count = f"{other} head{'s' if other > 1 else ''}"
            yield f"Eq. 2 with {count} instead of {heads}", with_heads(other)
    if heads == 1 and not causal:
        yield "Eq. 2 with its softmax over queries instead of keys", _columns(params)
    if "W_O" in params and params["W_O"].shape[0] == params["W_O"].shape[1]:
        eye = torch.eye(len(params["W_O"])).to(params["W_O"])
        yield "Eq. 2 without W_O", form(W_O=eye)


def _columns(params: Mapping[str, Tensor]) -> Candidate:
    def output(S: Tensor) -> Tensor:
        Q, K, V = (S @ params[name] for name in ("W_Q", "W_K", "W_V"))
        f = torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -2) @ V
        return f @ params["W_O"] if "W_O" in params else f

    return output
