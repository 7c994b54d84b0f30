"""Eq. 2 and Eq. 23 against other implementations, and Figures 1 and 2 as what they draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ntteach import learner, oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.domains import (
    FORMS,
    AttentionCase,
    edge_cases,
    output_magnitude,
    random_cases,
)
from ntteach.paper.evidence.gradients import ROUNDINGS
from ntteach.sequences import mean_readout

Quantity = Callable[[AttentionCase], Tensor]


def implementation(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """`ntteach.attention` against PyTorch's `scaled_dot_product_attention`.

    A pass guarantees agreement to rounding on the cases of the scope. It cannot see a mistake in
    the definition that both share.
    """
    return _against(_sdpa, form, setting)


def loops(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """`ntteach.attention` against loops over single numbers.

    A pass guarantees agreement to rounding on the cases of the scope.
    """

    def every_sequence(case: AttentionCase) -> Tensor:
        outputs = []
        for index in range(case.S.shape[0]):
            mask = case.mask
            outputs.append(
                oracles.attention_loops(
                    case.params,
                    case.S[index],
                    context=None if case.context is None else case.context[index],
                    mask=mask[index] if mask is not None and mask.ndim == 4 else mask,
                    heads=case.heads,
                )
            )
        return torch.stack(outputs).to(case.S.device)

    return _against(every_sequence, form, setting)


def drawing(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """`ntteach.attention` against the figure's boxes, one after the other, as they are drawn.

    A pass guarantees that the drawn computation is the equation, to rounding. Logits stay below
    600 here: the figure's exponential is taken as it stands and would overflow beyond.
    """
    return _against(_boxes, form, setting, edges=False)


def module(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """`AttentionLearner` with a case's weights against the oracle's forward pass.

    A pass guarantees that the module computes what the function does, its causal flag included.
    """

    def from_module(case: AttentionCase, *, causal: bool | None = None) -> Tensor:
        params = case.params
        own = learner.AttentionLearner(
            case.S.shape[-1],
            d_k=params["W_Q"].shape[1],
            v=params["W_V"].shape[1],
            o=params["W_O"].shape[1] if "W_O" in params else None,
            d_context=params["W_K"].shape[0],
            heads=case.heads,
            causal=case.causal if causal is None else causal,
            dtype=case.S.dtype,
            device=case.S.device,
        )
        own.load_state_dict(params)
        mask = None if case.causal else case.mask
        return own(case.S, case.context, mask).detach()

    def known(case: AttentionCase) -> tuple[Tensor, Tensor]:
        value = oracles.attention(case.params, case.S, **case.arguments)
        bound = ROUNDINGS * torch.finfo(value.dtype).eps * output_magnitude(case)
        return value, torch.full_like(value, bound)

    cases = random_cases(
        form, count=setting.scaled(8, 40), seed=setting.seed, device=setting.device
    )
    return agree(
        from_module,
        known,
        cases,
        mutants={
            "sign of the output": lambda case: -from_module(case),
            "causal flag turned": lambda case: from_module(case, causal=not case.causal),
        },
        scope=f"float64, {FORMS[form]}, L to 6, d to 5",
    )


def _against(reference: Quantity, form: str, setting: Setting, edges: bool = True) -> Evidence:
    cases = random_cases(
        form, count=setting.scaled(12, 60), seed=setting.seed, device=setting.device
    )
    if not edges:  # the drawings know no mask but the causal one
        cases = [case for case in cases if case.mask is None or form == "causal"]
    else:
        cases += edge_cases(form, seed=setting.seed, device=setting.device)

    def known(case: AttentionCase) -> tuple[Tensor, Tensor]:
        value = reference(case)
        bound = ROUNDINGS * torch.finfo(value.dtype).eps * output_magnitude(case)
        return value, torch.full_like(value, bound)

    edge_words = "; with L = 1, d = 1, equal elements, logits of 1e4" if edges else ""
    return agree(
        _learner,
        known,
        cases,
        mutants=_mutants(form),
        scope=f"float64, {FORMS[form]}, L to 6, d to 5{edge_words}",
    )


def _learner(case: AttentionCase) -> Tensor:
    return learner.attention(case.params, case.S, **case.call)


def _mutants(form: str) -> dict[str, Quantity]:
    def changed(**fields: Callable[[learner.Problem], Any]) -> Quantity:
        def planted(case: AttentionCase) -> Tensor:
            p = learner.problem(case.params, case.S, case.context, case.mask, case.heads)
            return learner.forward(replace(p, **{k: f(p) for k, f in fields.items()})).output

        return planted

    def columns_normalised(case: AttentionCase) -> Tensor:
        def by_columns(logits: Tensor, mask: Tensor | None) -> Tensor:
            return torch.softmax(logits, -2)

        with patch.object(learner, "_masked_softmax", by_columns):
            return _learner(case)

    mutants: dict[str, Quantity] = {
        "scale dropped": changed(scale=lambda p: 1.0),
        "queries for keys": changed(W_Q=lambda p: p.W_Q.flip(-1)),
        "columns normalised": columns_normalised,
        "sign of the values": lambda case: -_learner(case),
    }
    if form in ("causal", "masked"):
        mutants["mask ignored"] = changed(mask=lambda p: None)
    if form == "multi-head":
        mutants["heads mixed up"] = changed(W_V=lambda p: p.W_V.roll(1, 0))
    return mutants


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _sdpa(case: AttentionCase) -> Tensor:
    S, C = case.S, case.S if case.context is None else case.context
    Q, K, V = (
        _split(x @ case.params[name], case.heads)
        for x, name in ((S, "W_Q"), (C, "W_K"), (C, "W_V"))
    )
    f = scaled_dot_product_attention(Q, K, V, attn_mask=case.mask)
    f = f.transpose(-2, -3).flatten(-2)
    return f @ case.params["W_O"] if "W_O" in case.params else f


def _boxes(case: AttentionCase) -> Tensor:
    """Three matrices, a product, a scale, an exponential, a normaliser, a product."""
    S, C = case.S, case.S if case.context is None else case.context
    queries, keys, values = (
        S @ case.params["W_Q"],
        C @ case.params["W_K"],
        C @ case.params["W_V"],
    )
    logits = torch.einsum("njd,nkd->njk", queries, keys) / math.sqrt(queries.shape[-1])
    if case.mask is not None:
        # the drawn mask: zero on and below the diagonal, minus infinity above
        logits = logits + torch.full_like(logits, -math.inf).triu(1).nan_to_num(nan=0.0)
    E = torch.exp(logits)
    normaliser = torch.diag_embed(1 / (E @ E.new_ones(E.shape[-1], 1)).squeeze(-1))
    return normaliser @ E @ values


def property_is_undefined(claim: Claim, setting: Setting) -> Evidence:
    """A scalar property against the output of Eq. 2: a loss of the two is not defined for L > 1.

    A pass guarantees that the shapes differ for each L looked at; with a readout they agree.
    """
    lengths = range(2, 7)
    params = {name: torch.ones(2, 2 if name != "W_V" else 1) for name in ("W_Q", "W_K", "W_V")}

    def fits(readout: Callable[[Tensor], Tensor]) -> list[int]:
        shapes = {L: readout(learner.attention(params, torch.ones(L, 2))).shape for L in lengths}
        return [L for L, shape in shapes.items() if shape.numel() == 1]

    bare = fits(lambda outputs: outputs)
    return Evidence(
        Outcome.SILENT if not bare else Outcome.SUPPORTS,
        "L = 2 to 6, v = 1",
        len(lengths),
        detail="the output has L numbers, the property one: their loss is undefined",
        mutants=(Mutant("control: with a mean readout", fits(mean_readout) == list(lengths)),),
        vacuous=not bare,
    )
