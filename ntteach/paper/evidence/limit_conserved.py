"""What gradient flow conserves, and the kernel of a balanced learner, in numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp

from ntteach import gradients
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.evidence.limit_samples import ETA, SCOPE, Pair, Params, near, pairs


def conserved(claim: Claim, setting: Setting) -> Evidence:
    """d/dt W_Q^T W_Q along the flow, from Eq. 11, against d/dt W_K^T W_K by autograd.

    For any loss gradient. A pass guarantees agreement to rounding on the cases of the scope.
    """

    def queries(pair: Pair, *, block: str = "W_Q") -> Tensor:
        J = gradients.attention_jacobian(pair.params, pair.S)[block]
        velocity = -ETA / pair.G.numel() * torch.einsum("njc,njcai->ai", pair.G, J)
        turned = pair.params[block].T @ velocity
        return turned + turned.T

    def reference(pair: Pair) -> tuple[Tensor, Tensor]:
        return near(jvp(lambda W: W.T @ W, (pair.params["W_K"],), (pair.velocity()["W_K"],))[1])

    def rows(pair: Pair) -> Tensor:
        # W_Q W_Q^T has the trace of W_Q^T W_Q, and is not conserved
        J = gradients.attention_jacobian(pair.params, pair.S)["W_Q"]
        velocity = -ETA / pair.G.numel() * torch.einsum("njc,njcai->ai", pair.G, J)
        moved = velocity @ pair.params["W_Q"].T
        size = pair.params["W_Q"].shape[1]
        found = torch.zeros(size, size, dtype=moved.dtype)
        shared = min(size, len(moved))
        found[:shared, :shared] = (moved + moved.T)[:shared, :shared]
        return found

    return agree(
        queries,
        reference,
        pairs(setting),
        mutants={
            "the sum in place of the difference": lambda pair: -queries(pair),
            "rows in place of columns": rows,
            "off by a relative 1e-6": lambda pair: queries(pair) * (1 + 1e-6),
        },
        scope=SCOPE,
    )


def balanced_kernel(claim: Claim, setting: Setting) -> Evidence:
    """The kernel of a balanced learner from W_V and M = W_Q W_K^T alone, against autograd.

    Balanced is W_Q = O W_K for an orthogonal O. The two Gram matrices are taken as the roots of
    M M^T and M^T M. A pass guarantees agreement to what a root of a singular matrix allows.
    """

    def learner(pair: Pair, stretch: float = 1.0) -> Params:
        W_K = pair.params["W_K"]
        return {**pair.params, "W_Q": stretch * pair.turn @ W_K, "W_K": W_K / stretch}

    def from_product(pair: Pair, *, change: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        params = learner(pair)
        M, root = params["W_Q"] @ params["W_K"].T, params["W_K"].shape[1] ** 0.5
        f = torch.func.jacrev(
            lambda M, W_V: torch.softmax(pair.S @ M @ pair.S.mT / root, -1) @ pair.S @ W_V, (0, 1)
        )
        by_product, by_value = (x.flatten(0, 2) for x in f(M, params["W_V"]))
        queries, keys = (change(_root(x)) for x in (M @ M.T, M.T @ M))
        K = by_value.flatten(1) @ by_value.flatten(1).T
        K = K + torch.einsum("pxy,yz,qxz->pq", by_product, keys, by_product)
        return K + torch.einsum("pyx,yz,qzx->pq", by_product, queries, by_product)

    def reference(pair: Pair, stretch: float = 1.0) -> tuple[Tensor, Tensor]:
        J = pair.features(learner(pair, stretch))
        K = J @ J.T
        # the root of a singular matrix has half the digits
        return K, torch.full_like(K, 1e-6 * max(1.0, K.abs().max().item()))

    return agree(
        from_product,
        reference,
        pairs(setting),
        mutants={
            "an unbalanced learner": lambda pair: reference(pair, 1.1)[0],
            "squares in place of roots": lambda pair: from_product(pair, change=lambda x: x @ x),
            "no queries and keys": lambda pair: from_product(pair, change=lambda x: 0 * x),
        },
        scope=SCOPE,
    )


def _root(x: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(x)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
