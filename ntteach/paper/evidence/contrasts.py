"""What attention gradients are set against: recurrent networks, linear layers, longer sequences."""

from __future__ import annotations

from unittest.mock import patch

import torch
from torch import Tensor
from torch.func import grad, jacrev

from ntteach import gradients, oracles
from ntteach.checks.agree import agree
from ntteach.checks.trend import slope_is
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.domains import AttentionCase, random_cases
from ntteach.sequences import mean_readout


def recurrent_powers(claim: Claim, setting: Setting) -> Evidence:
    """`d x_L / d u = sum_j s_j w^(L - j)` for `x_j = u s_j + w x_(j-1)`, against autograd.

    A pass guarantees agreement to rounding for random inputs with |w| < 1. It cannot see
    nonlinear recurrences, where derivatives of the activation multiply the powers.
    """
    g = torch.Generator().manual_seed(setting.seed)
    cases = [
        (torch.randn(L, generator=g, dtype=torch.float64), torch.rand((), generator=g).item())
        for L in range(1, setting.scaled(8, 40))
    ]

    def reference(case: tuple[Tensor, float]) -> tuple[Tensor, Tensor]:
        s, w = case

        def last_state(u: Tensor) -> Tensor:
            x = torch.zeros((), dtype=torch.float64)
            for entry in s:
                x = u * entry + w * x
            return x

        value = grad(last_state)(torch.ones((), dtype=torch.float64))
        return value, torch.full_like(value, 8 * len(s) * torch.finfo(s.dtype).eps * len(s))

    def powers(case: tuple[Tensor, float], later: int = 0, turn: bool = False) -> Tensor:
        s, w = case
        exponents = torch.arange(len(s) - 1, -1, -1, dtype=torch.float64) + later
        return ((s.flip(0) if turn else s) * w**exponents).sum()

    return agree(
        powers,
        reference,
        cases,
        mutants={
            "one power more": lambda case: powers(case, later=1),
            "order reversed": lambda case: powers(case, turn=True),
            "no powers": lambda case: case[0].sum(),
        },
        scope="float64, scalar linear recurrence, L from 1",
        describe=lambda case: f"L = {len(case[0])}, w = {case[1]:.3g}",
    )


def linear_layer(claim: Claim, setting: Setting) -> Evidence:
    """The query block with omega set to 1 against `d_k^-1/2` times the gradient of `S W`.

    A pass guarantees that the two are equal to rounding. It says nothing of the other blocks.
    """

    def unit(case: AttentionCase) -> Tensor:
        ones = torch.ones(*case.S.shape[:-1], 1, case.params["W_Q"].shape[1], dtype=case.S.dtype)
        with patch.object(gradients, "_importance", lambda p, w: ones.to(case.S.device)):
            return gradients.query_gradient(case.params, case.S)

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        W = case.params["W_Q"]
        # column i of the layer's output by column i of its weight, the same for every column
        layer = jacrev(lambda W: case.S @ W)(W)  # (N, L, d_k, d, d_k)
        own = layer.diagonal(dim1=2, dim2=4).unsqueeze(2)  # (N, L, 1, d, d_k)
        value = own * W.shape[1] ** -0.5
        return value, torch.full_like(value, 4 * torch.finfo(W.dtype).eps).mul(1 + value.abs())

    return agree(
        unit,
        reference,
        random_cases(
            "scalar", count=setting.scaled(8, 40), seed=setting.seed, device=setting.device
        ),
        mutants={
            "without the factor": lambda c: unit(c) * c.params["W_Q"].shape[1] ** 0.5,
            "elements reversed": lambda c: unit(c).flip(1),
            "omega as it is": lambda c: gradients.query_gradient(c.params, c.S),
        },
        scope="float64, self-attention with v = 1, L to 6, d to 5",
    )


def readout_gradient(claim: Claim, setting: Setting) -> Evidence:
    """The gradient of the mean readout against the mean of the closed-form rows, by autograd.

    A pass guarantees agreement to rounding in every block.
    """

    def mean_rows(case: AttentionCase) -> Tensor:
        blocks = gradients.attention_jacobian(case.params, case.S)
        return torch.cat([blocks[name].mean(1).flatten() for name in sorted(blocks)])

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        def pooled(params: dict[str, Tensor]) -> Tensor:
            return mean_readout(oracles.attention(params, case.S))

        blocks = jacrev(pooled)(case.params)
        value = torch.cat([blocks[name].flatten() for name in sorted(blocks)])
        return value, torch.full_like(value, 1e-12 * max(1.0, value.abs().max().item()))

    return agree(
        mean_rows,
        reference,
        random_cases("self", count=setting.scaled(8, 40), seed=setting.seed, device=setting.device),
        mutants={
            "sign flipped": lambda case: -mean_rows(case),
            "sum of the rows": lambda case: mean_rows(case) * case.S.shape[1],
        },
        scope="float64, self-attention, any v, L to 6, d to 5",
    )


def rows_given_context(claim: Claim, setting: Setting) -> Evidence:
    """Row 0 of the closed forms after all other elements changed, against autograd before.

    The context is fixed. A pass guarantees equality to rounding in every block. The mutant lets
    keys and values change along.
    """

    def first_row(blocks: dict[str, Tensor]) -> Tensor:
        return torch.cat([blocks[name][:, 0].flatten() for name in sorted(blocks)])

    def others_changed(case: AttentionCase) -> Tensor:
        return torch.cat([case.S[:, :1], -2 * case.S[:, 1:]], 1)

    def after(case: AttentionCase, *, own_context: bool = False) -> Tensor:
        S = others_changed(case)
        context = S if own_context else case.S
        return first_row(gradients.attention_jacobian(case.params, S, context=context))

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        value = first_row(oracles.jacobian(case.params, case.S, context=case.S))
        return value, torch.full_like(value, 1e-12 * max(1.0, value.abs().max().item()))

    return agree(
        after,
        reference,
        random_cases("self", count=setting.scaled(8, 40), seed=setting.seed, device=setting.device),
        mutants={"keys and values change along": lambda case: after(case, own_context=True)},
        scope="float64, the sequence as a fixed context, any v, L to 6, d to 5",
    )


def decay_with_length(claim: Claim, setting: Setting) -> Evidence:
    """The norm of the averaged gradient for independent elements, as sequences get longer.

    Elements are independent standard normals, weights as at initialisation; loss gradients have
    mean zero and do not depend on the elements. A pass guarantees a fitted slope near -1/2 over
    the lengths looked at, with its interval. It cannot see loss gradients that depend on the
    elements, under which the average tends to its mean instead of zero.
    """
    d, sequences = 2, setting.scaled(1200, 8000)
    lengths = [16, 32, 64, 128]
    weights = torch.Generator().manual_seed(setting.seed)
    params = {
        name: _normal(weights, d, columns) * d**-0.5
        for name, columns in (("W_Q", d), ("W_K", d), ("W_V", 1))
    }

    def norm(L: float, *, copies: int = 1, averaged: bool = True) -> float:
        length = int(L)
        g = torch.Generator().manual_seed(setting.seed + length // copies)
        S = _normal(g, sequences, length // copies, d).repeat(1, copies, 1)
        G = _normal(g, sequences, length // copies, 1).repeat(1, copies, 1)
        norms = gradients.gradient_norms(params, S, G / (length if averaged else 1))
        return norms.mean().item()

    return slope_is(
        -0.5,
        norm,
        [float(L) for L in lengths],
        tolerance=0.2,
        mutants={
            "summed, not averaged": lambda L: norm(L, averaged=False),
            "the same elements repeated": lambda L: norm(L, copies=int(L) // lengths[0]),
        },
        scope=f"d = {d}, L = {lengths[0]} to {lengths[-1]}, {sequences} sequences each, "
        "independent normal elements and loss gradients",
    )


def _normal(g: torch.Generator, *size: int) -> Tensor:
    return torch.randn(*size, generator=g, dtype=torch.float64)


def recurrent_order_matters(claim: Claim, setting: Setting) -> Evidence:
    """Two inputs exchanged in the linear recurrence: the gradient changes, exactly.

    With w = 2, inputs (1, 0) give `d x_2 / d u = 2`, inputs (0, 1) give 1. A pass guarantees this
    one case; equal inputs are the control.
    """

    def gradient(s: tuple[int, ...], w: int) -> int:
        return sum(entry * w ** (len(s) - 1 - j) for j, entry in enumerate(s))

    def differs(s: tuple[int, ...], w: int) -> bool:
        return gradient(s, w) != gradient(s[::-1], w)

    return Evidence(
        Outcome.SUPPORTS if differs((1, 0), 2) else Outcome.REFUTES,
        "one case, whole numbers",
        1,
        detail=f"gradient {gradient((1, 0), 2)} against {gradient((0, 1), 2)} when exchanged",
        mutants=(
            Mutant("control: equal inputs", not differs((3, 3), 2)),
            Mutant("control: w = 1", not differs((1, 0), 1)),
        ),
    )
