"""What training does to the kernel as attention grows wide: by its keys, and by its heads.

NTK parametrisation throughout: weights are drawn from N(0, 1), and each matrix is divided by the
root of its fan-in where it is used (d for queries, keys and values; for W_O the number of heads,
with one value column each). Logits have the d_h^-1/2 of Eq. 2. The kernel is J J^T for the
weights as drawn, with J from `torch.func`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp, vmap

from ntteach import oracles
from ntteach.checks.agree import agree
from ntteach.checks.trend import Slope, fit_slope
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.learner import attention
from ntteach.paper.domains import AttentionCase, random_cases

Params = Mapping[str, Tensor]
N, L, D = 2, 3, 2  # sequences, tokens, features: the same at every width
TIME, STEPS = 0.5, 5  # gradient descent on half the squared error, TIME / STEPS a step
BETWEEN = -0.25  # half way between drift that stays and drift that falls as width^-1/2


def draw(starts: int, d_k: int, heads: int, seed: int) -> dict[str, Tensor]:
    """Weights from N(0, 1), `starts` times; W_O only with several heads."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(starts, *shape, generator=g, dtype=torch.float64)

    params = {"W_Q": normal(D, d_k), "W_K": normal(D, d_k), "W_V": normal(D, heads)}
    return params | ({"W_O": normal(heads, 1)} if heads > 1 else {})


def outputs(params: Params, S: Tensor, heads: int, *, per_key: bool = False) -> Tensor:
    """f(S) in NTK parametrisation, `(N L,)`; with `per_key`, logits over d_h, not its root."""
    scaled = {name: W / math.sqrt(W.shape[0]) for name, W in params.items()}
    if per_key:
        scaled["W_Q"] = scaled["W_Q"] / math.sqrt(params["W_Q"].shape[1] / heads)
    return attention(scaled, S, heads=heads).flatten()


def drift(d_k: int, heads: int, *, starts: int, seed: int, per_key: bool = False) -> float:
    """The median over starts of `||K_t - K_0|| / ||K_0||`, Frobenius, after training."""
    g = torch.Generator().manual_seed(seed)
    S = torch.randn(N, L, D, generator=g, dtype=torch.float64)
    y = torch.randn(N * L, generator=g, dtype=torch.float64)

    def f(params: Params) -> Tensor:
        return outputs(params, S, heads, per_key=per_key)

    def kernel(params: Params) -> Tensor:
        J = torch.cat([block.flatten(1) for block in jacrev(f)(params).values()], 1)
        return J @ J.T

    def loss(params: Params) -> Tensor:
        return (f(params) - y).square().sum() / 2

    params = draw(starts, d_k, heads, seed + 1)
    before = vmap(kernel)(params)
    for _ in range(STEPS):
        slopes = vmap(grad(loss))(params)
        params = {name: W - TIME / STEPS * slopes[name] for name, W in params.items()}
    moved = (vmap(kernel)(params) - before).norm(dim=(1, 2)) / before.norm(dim=(1, 2))
    return moved.median().item()


def drift_vanishes(claim: Claim, setting: Setting, *, width: str) -> Evidence:
    """Whether the kernel's drift over a fixed time of training falls to zero with the width.

    A decision says on which side of -1/4 the whole 95 % interval of the slope lies: half way
    between 0, a kernel that keeps moving, and -1/2. It cannot see beyond the widths looked at,
    other data or longer training.

    Args:
        claim: the claim.
        setting: profile and seed.
        width: "keys", d_k of one head; or "heads", each of width 2, with W_O over their root.
    """
    starts = setting.scaled(120, 400)

    def widths(of: str) -> list[int]:
        # heads are the dearer ones
        return [4**n for n in range(1, 6 if of == "keys" else 5)]

    @cache
    def drifts(of: str, per_key: bool) -> tuple[float, ...]:
        sizes = [(n, 1) if of == "keys" else (2 * n, n) for n in widths(of)]
        seed = 1000 * setting.seed
        return tuple(drift(*size, starts=starts, seed=seed, per_key=per_key) for size in sizes)

    def slope(of: str, *, power: float = 0.0, per_key: bool = False) -> Slope:
        moved = zip(widths(of), drifts(of, per_key), strict=True)
        return fit_slope(widths(of), [n**power * x for n, x in moved])

    found = slope(width)
    other_way: dict[str, Callable[[], Slope]] = {
        "keys": {
            "logits over d_k": lambda: slope("keys", per_key=True),
            "drift over the root of the width": lambda: slope("keys", power=-0.5),
        },
        "heads": {
            "keys of one head in place of heads": lambda: slope("keys"),
            "drift times the width": lambda: slope("heads", power=1.0),
        },
    }[width]
    outcome = _side(found)
    return Evidence(
        outcome,
        f"float64, NTK parametrisation, d = {D}, {N} sequences of {L} tokens, time {TIME:g}; "
        f"{width} {widths(width)[0]} to {widths(width)[-1]}, medians of {starts} starts",
        len(widths(width)) * starts,
        detail=f"slope of log drift by log width {found}",
        mutants=tuple(
            Mutant(name, refuted=_side(other()) not in (outcome, Outcome.SILENT))
            for name, other in other_way.items()
        ),
    )


def _side(slope: Slope) -> Outcome:
    if slope.high < BETWEEN:
        return Outcome.SUPPORTS
    return Outcome.REFUTES if slope.low > BETWEEN else Outcome.SILENT


def through_the_product(claim: Claim, setting: Setting) -> Evidence:
    """The kernel, and how logits move, computed from M, N^Q and N^K; against autograd.

    M = W_Q W_K^T / sqrt(d_k), N^Q = W_Q W_Q^T / d_k, N^K = W_K W_K^T / d_k. A pass guarantees
    agreement to rounding on the cases of the scope.
    """

    def by_product(case: AttentionCase) -> tuple[Tensor, Tensor, Tensor]:
        M = case.params["W_Q"] @ case.params["W_K"].T / case.params["W_Q"].shape[1] ** 0.5

        def f(M: Tensor, W_V: Tensor) -> Tensor:
            return torch.softmax(case.S @ M @ case.S.mT, -1) @ case.S @ W_V

        W_V = case.params["W_V"]
        F, by_value = jacrev(f, (0, 1))(M, W_V)  # (N, L, v, d, d), (N, L, v, d, v)
        R = grad(lambda M: f(M, W_V).square().sum() / 2)(M)
        return F.flatten(0, 2), by_value.flatten(0, 2).flatten(1), R

    def candidate(case: AttentionCase, *, turn: bool = False, still: bool = False) -> Tensor:
        W_Q, W_K = case.params["W_Q"], case.params["W_K"]
        F, by_value, R = by_product(case)
        N_Q, N_K = (W @ W.T / W.shape[1] for W in (W_Q, W_K))
        if turn:
            N_Q, N_K = N_K, N_Q
        if still:
            N_Q = N_K = torch.eye(len(N_Q), dtype=N_Q.dtype)
        K = by_value @ by_value.T
        K = K + torch.einsum("pxy,yz,qxz->pq", F, N_K, F)
        K = K + torch.einsum("pyx,yz,qzx->pq", F, N_Q, F)
        return torch.cat([K.flatten(), -(R @ N_K + N_Q @ R).flatten()])

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        blocks = oracles.jacobian(case.params, case.S)
        J = torch.cat([block.flatten(3).flatten(0, 2) for block in blocks.values()], 1)

        def loss(params: Params) -> Tensor:
            return oracles.attention(params, case.S).square().sum() / 2

        def product(params: Params) -> Tensor:
            return params["W_Q"] @ params["W_K"].T / params["W_Q"].shape[1] ** 0.5

        params = dict(case.params)
        flow = {name: -slope for name, slope in grad(loss)(params).items()}
        moving = jvp(product, (params,), (flow,))[1]
        value = torch.cat([(J @ J.T).flatten(), moving.flatten()])
        # entries add up a few dozen terms of the size of the largest one
        return value, torch.full_like(value, 1e-12 * max(1.0, value.abs().max().item()))

    return agree(
        candidate,
        reference,
        random_cases("self", count=setting.scaled(8, 40), seed=setting.seed, device=setting.device),
        mutants={
            "queries and keys exchanged": lambda case: candidate(case, turn=True),
            "Grams at their limit": lambda case: candidate(case, still=True),
        },
        scope="float64, self-attention, L to 6, d to 5, d_k to 8, v to 4",
    )
