"""The closed forms of `ntteach.gradients` against witnesses that do not know them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from ntteach import gradients, oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.learner import Forward, forward, problem
from ntteach.paper.domains import (
    FORMS,
    AttentionCase,
    Shape,
    edge_cases,
    magnitudes,
    random_cases,
)

Quantity = Callable[[AttentionCase], Tensor]

# Roundings per elementary step that an honest computation may need, on top of the counts in
# `magnitudes`: products, the division of the softmax, an exponential good to a unit or two.
ROUNDINGS = 2
LARGE = Shape(N=1, L=48, M=32, d=32, d_c=16, d_k=32, v=4, o=4, heads=4)

_FUNCTIONS = {
    "W_Q": lambda case: gradients.query_gradient(case.params, case.S, **case.call),
    "W_K": lambda case: gradients.key_gradient(case.params, case.S, **case.call),
    "W_V": lambda case: gradients.value_gradient(case.params, case.S, **case.call),
    "W_O": lambda case: _jacobian(case)["W_O"],
}


def _jacobian(case: AttentionCase) -> dict[str, Tensor]:
    return gradients.attention_jacobian(case.params, case.S, **case.call)


def autograd(claim: Claim, setting: Setting, *, block: str, form: str) -> Evidence:
    """One block of the Jacobian against `torch.func.jacrev` and `jacfwd`.

    A pass guarantees agreement to rounding, entry by entry, on the cases of the scope. It cannot
    see a mistake that Eq. 2 itself would carry, since the oracle differentiates Eq. 2.
    """
    known = _both_modes(form, setting)
    cases = [case for case, _, _ in known]
    by_case = {id(case): modes for case, *modes in known}

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        reverse, ahead = (mode[block] for mode in by_case[id(case)])
        bound = _rounding(case, block)
        # the two modes round differently: their distance is part of what cannot be told apart
        return (reverse + ahead) / 2, bound + (reverse - ahead).abs()

    return agree(
        _FUNCTIONS[block],
        reference,
        cases,
        mutants=mutants(block, form)
        | {"off by a relative 1e-9": lambda case: _FUNCTIONS[block](case) * (1 + 1e-9)},
        scope=f"float64, {FORMS[form]}; {_sizes(cases)}; with L = 1, d = 1, equal elements, "
        "logits of 1e4",
    )


@cache
def _both_modes(
    form: str, setting: Setting
) -> list[tuple[AttentionCase, dict[str, Tensor], dict[str, Tensor]]]:
    """Cases with their Jacobians by `jacrev` and by `jacfwd`, computed once for all blocks."""
    cases = _cases(form, setting)
    if setting.profile == "full":
        cases += random_cases(
            form, count=4, seed=setting.seed + 1, largest=LARGE, device=setting.device
        )
    return [
        (
            case,
            oracles.jacobian(case.params, case.S, **case.arguments),
            oracles.jacobian(case.params, case.S, mode="forward", **case.arguments),
        )
        for case in cases
    ]


def finite_difference(claim: Claim, setting: Setting, *, block: str, form: str) -> Evidence:
    """One block of the Jacobian against central differences of Eq. 2 in float64.

    A pass guarantees agreement within the differences' own error bound, which holds the step's
    truncation and rounding. It cannot see errors below about 1e-8.
    """
    cases = random_cases(
        form, count=setting.scaled(4, 12), seed=setting.seed + 2, device=setting.device
    )
    cases = [_one_sequence(case) for case in cases]

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        values, bounds = oracles.difference_jacobian(
            case.params, case.S, names=[block], **case.arguments
        )
        return values[block], bounds[block]

    return agree(
        _FUNCTIONS[block],
        reference,
        cases,
        mutants=mutants(block, form)
        | {"off by a relative 1e-5": lambda case: _FUNCTIONS[block](case) * (1 + 1e-5)},
        scope=f"float64, steps near 6e-6, {FORMS[form]}; {_sizes(cases)}",
    )


def contracted(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """`parameter_gradient` and `gradient_norms` against the oracle's Jacobian, contracted.

    Norms are computed in one block and in blocks of one sequence, with Gram matrices and without.
    A pass guarantees agreement to rounding on the cases of the scope. It cannot see float32.
    """
    cases = _cases(form, setting)

    def loss_gradient(case: AttentionCase, output: Tensor) -> Tensor:
        g = torch.Generator().manual_seed(setting.seed)
        return torch.randn(output.shape, generator=g, dtype=output.dtype).to(output.device)

    def candidate(case: AttentionCase) -> Tensor:
        output = oracles.attention(case.params, case.S, **case.arguments)
        G = loss_gradient(case, output)
        blocks = gradients.parameter_gradient(case.params, case.S, G, **case.call)
        norms = gradients.gradient_norms(case.params, case.S, G, **case.call)
        with patch.object(gradients, "_BLOCK_NUMBERS", 1):
            one_by_one = gradients.gradient_norms(case.params, case.S, G, **case.call)
        parts = [blocks[name].flatten() for name in sorted(case.params)]
        return torch.cat([*parts, norms, one_by_one])

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        output = oracles.attention(case.params, case.S, **case.arguments)
        G = loss_gradient(case, output)
        jacobian = oracles.jacobian(case.params, case.S, **case.arguments)
        each = {name: torch.einsum("njc,njcab->nab", G, jacobian[name]) for name in jacobian}
        norms = torch.stack([x.square().sum((1, 2)) for x in each.values()]).sum(0).sqrt()
        parts = [each[name].sum(0).flatten() for name in sorted(case.params)]
        value = torch.cat([*parts, norms, norms])
        size = sum(_rounding(case, name).item() for name in case.params) * G.abs().sum().item()
        return value, torch.full_like(value, size)

    return agree(
        candidate,
        reference,
        cases,
        mutants={
            "sign of the last factor": _under(candidate, gradient_factors=_last_negated),
            "key factor reversed": _under(candidate, gradient_factors=_key_reversed),
            "norms of a part": _under(candidate, _squared_norm=_first_columns),
            "masks and sequences of another block": _under(candidate, take=_first_block),
            "off by a relative 1e-9": lambda case: candidate(case) * (1 + 1e-9),
        },
        scope=f"float64, {FORMS[form]}; {_sizes(cases)}; squared norms in Gram and direct form",
    )


_FACTORS, _SLICE, _SQUARED_NORM = (
    gradients.gradient_factors,
    gradients.take,
    gradients._squared_norm,
)


def _last_negated(*arguments: Any) -> Any:
    factors = list(_FACTORS(*arguments))
    name, X, Y = factors[-1]
    return [*factors[:-1], (name, X, -Y)]


def _key_reversed(p: Any, w: Forward, R: Tensor) -> Any:
    for name, X, Y in _FACTORS(p, w, R):
        yield name, X, Y.flip(-2) if name == "W_K" else Y


def _first_columns(X: Tensor, Y: Tensor) -> Tensor:
    return _SQUARED_NORM(X, Y[..., :1])


def _first_block(p: Any, start: int, stop: int) -> Any:
    return _SLICE(p, 0, stop - start)


def _one_sequence(case: AttentionCase) -> AttentionCase:
    def first(x: Tensor | None) -> Tensor | None:
        return x if x is None or x.ndim < 3 else x[0]

    return AttentionCase(
        case.params,
        case.S[0],
        first(case.context),
        first(case.mask),
        case.heads,
        case.name,
        case.causal,
    )


def _cases(form: str, setting: Setting) -> list[AttentionCase]:
    count = setting.scaled(8, 40)
    cases = random_cases(form, count=count, seed=setting.seed, device=setting.device)
    return cases + edge_cases(form, seed=setting.seed, device=setting.device)


def _sizes(cases: list[AttentionCase]) -> str:
    longest = max(case.S.shape[-2] for case in cases)
    widest = max(case.S.shape[-1] for case in cases)
    return f"L to {longest}, d to {widest}"


def _rounding(case: AttentionCase, block: str) -> Tensor:
    epsilon = torch.finfo(case.S.dtype).eps
    size = dict(magnitudes(case))[block]
    return torch.tensor(ROUNDINGS * epsilon * size, dtype=case.S.dtype, device=case.S.device)


def mutants(block: str, form: str) -> dict[str, Quantity]:
    """One planted error each, in the closed form itself, at the seams of its derivation."""
    value = _FUNCTIONS[block]
    planted: dict[str, Quantity] = {"sign flipped": lambda case: -value(case)}
    if block in ("W_Q", "W_K"):
        planted["scale d_h^-1/2 dropped"] = lambda case: (
            value(case) * (case.params["W_Q"].shape[1] / case.heads) ** 0.5
        )
        planted["mean not subtracted"] = _under(value, _deviation=_no_mean)
        other = "queries for keys" if block == "W_Q" else "keys for queries"
        planted[other] = _under(value, forward=_changed(_swapped))
    planted["attention transposed"] = _under(value, forward=_changed(_transposed))
    if form in ("causal", "masked"):
        planted["mask ignored"] = _under(value, problem=_without_mask)
    if form == "multi-head" and block != "W_O":
        planted["heads mixed up"] = _under(
            value, forward=_changed(lambda w: _reweighted(w, w.weights.roll(1, -3)))
        )
    if form == "projected" and block != "W_O":  # f_je is linear in W_O: its own block lacks it
        planted["W_O doubled"] = _under(value, problem=_other_projection)
    planted["attention of another row"] = _under(
        value, forward=_changed(lambda w: _reweighted(w, w.weights.flip(-2)))
    )
    return planted


def _under(value: Quantity, **replacements: Callable[..., Any]) -> Quantity:
    """The quantity computed while functions inside `ntteach.gradients` are replaced."""

    def planted(case: AttentionCase) -> Tensor:
        with ExitStack() as stack:
            for name, replacement in replacements.items():
                stack.enter_context(patch.object(gradients, name, replacement))
            return value(case)

    return planted


def _no_mean(w: Forward) -> Tensor:
    return w.weights.unsqueeze(-2) * w.V.mT.unsqueeze(-3).expand(
        *w.head_outputs.shape, w.V.shape[-2]
    )


def _changed(change: Callable[[Forward], dict[str, Tensor]]) -> Callable[..., Forward]:
    return lambda p: replace(w := forward(p), **change(w))


def _reweighted(w: Forward, weights: Tensor) -> dict[str, Tensor]:
    return {"weights": weights, "head_outputs": weights @ w.V}


def _transposed(w: Forward) -> dict[str, Tensor]:
    # a context of another length leaves nothing to transpose; its mutant is the reversed order
    square = w.weights.shape[-1] == w.weights.shape[-2]
    return _reweighted(w, w.weights.mT if square else w.weights.flip(-1))


def _swapped(w: Forward) -> dict[str, Tensor]:
    return (
        {"Q": w.K, "K": w.Q} if w.Q.shape == w.K.shape else {"Q": w.Q.flip(-1), "K": w.K.flip(-1)}
    )


def _without_mask(*arguments: Any) -> Any:
    return replace(problem(*arguments), mask=None)


def _other_projection(*arguments: Any) -> Any:
    p = problem(*arguments)
    return p if p.W_O is None else replace(p, W_O=2 * p.W_O)
