"""The closed form of the tangent kernel against witnesses that do not know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from ntteach import oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.learner import Forward, Problem, forward, problem
from ntteach.paper.domains import FORMS
from ntteach.paper.evidence.pairs import (
    RELATIVE,
    SMALL,
    PairCase,
    oracle_block,
    oracle_kernel,
    pair_cases,
)
from ntteach.tangent import antk, arguments, closed_form, features, panels

Kernel = Callable[[PairCase], Tensor]
DERIVATIVES = "derivatives by the parameters"


def closed(case: PairCase) -> Tensor:
    """The kernel in closed form."""
    return antk(case.rows.params, case.rows.S, **case.call)


def autograd(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """The closed form against Jacobians by `torch.func.jacrev`, contracted over all parameters.

    A pass guarantees agreement to rounding, entry by entry, and to 1e-11 of the norms of both
    gradients, on the cases of the scope. It cannot see a mistake that Eq. 2 itself would carry.
    """
    cases = pair_cases(form, setting, random=setting.scaled(4, 24))
    return agree(
        closed,
        oracle_kernel,
        cases,
        mutants=mutants(closed, form)
        | {"off by a relative 1e-9": lambda case: closed(case) * (1 + 1e-9)},
        scope=_scope(form, cases),
    )


def finite_difference(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """The closed form against central differences of Eq. 2, contracted over all parameters.

    A pass guarantees agreement within the differences' own error bounds, which contraction adds
    up. It cannot see errors below about 1e-8.
    """
    cases = pair_cases(form, setting, random=setting.scaled(1, 6), edges=False, largest=SMALL)

    def reference(case: PairCase) -> tuple[Tensor, Tensor]:
        sides = [
            oracles.difference_jacobian(x.params, x.S, **x.arguments)
            for x in (case.rows, case.columns)
        ]
        (J, J_bound), (J_other, other_bound) = sides

        def contracted(one: dict[str, Tensor], other: dict[str, Tensor]) -> Tensor:
            parts = [torch.einsum("njcxy,mkexy->njcmke", one[x], other[x]) for x in one]
            return torch.stack(parts).sum(0)

        size, size_other = ({x: y.abs() for x, y in one.items()} for one in (J, J_other))
        wide = {x: size_other[x] + other_bound[x] for x in J}
        bound = contracted(J_bound, wide) + contracted(size, other_bound)
        return contracted(J, J_other), bound

    return agree(
        closed,
        reference,
        cases,
        mutants=mutants(closed, form)
        | {"off by a relative 1e-4": lambda case: closed(case) * (1 + 1e-4)},
        scope=f"steps near 6e-6, {_scope(form, cases)}",
    )


def routes(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """Every way to the kernel: autograd routes, blocks and panels, summed over outputs.

    And the kernel's own derivatives by the parameters. A pass guarantees that each way agrees with
    the oracle as the closed form does, and that the derivatives of one weighted sum of all entries
    agree to 1e-10 of the largest. Each mutant spoils one of them. It cannot see their speed or
    memory.
    """
    cases = pair_cases(form, setting, random=setting.scaled(3, 12), edges=False)
    ways: dict[str, Kernel] = {
        'method="jacobian"': _asked(method="jacobian"),
        'method="products"': _asked(method="products"),
        "one sequence at a time": _asked(block_size=1),
        "in panels of a few rows": _in_small_panels(_asked()),
        "by way of the context": _deciding(closed_form, "sums_pay", True),
        "by way of the context, in panels of a few rows": _in_small_panels(
            _deciding(closed_form, "sums_pay", True)
        ),
        "summed over outputs": _asked(trace_outputs=True),
        "summed over outputs, in panels of a few rows": _in_small_panels(
            _asked(trace_outputs=True)
        ),
        "summed over outputs, by Jacobians": _asked(trace_outputs=True, method="jacobian"),
        "written into a tensor": _written,
        "as an expression with derivatives": _as_expression(),
        "summed over outputs, as an expression": _as_expression(trace_outputs=True),
        "summed over outputs, by Jacobians, as an expression": _as_expression(
            trace_outputs=True, method="jacobian"
        ),
        DERIVATIVES: _derivatives_of(antk, "call"),
    }

    if form == "projected":
        ways["W_O before the products"] = _deciding(features, "mixes_features", True)
        ways["W_O after the products"] = _deciding(features, "mixes_features", False)
    found = {case: {name: way(case) for name, way in ways.items()} for case in cases}

    def every(case: PairCase, spoil: str | None = None) -> Tensor:
        parts = found[case]
        return torch.cat(
            [(x * (1 + 1e-9) if name == spoil else x).flatten() for name, x in parts.items()]
        )

    def reference(case: PairCase) -> tuple[Tensor, Tensor]:
        whole = oracle_kernel(case)
        traced = [x.diagonal(dim1=2, dim2=5).sum(-1).flatten() for x in whole]
        gradient = _derivatives_of(oracles.tangent_kernel, "arguments")(case)
        gradients = gradient, torch.full_like(gradient, 1e-10 * gradient.abs().max().item())

        def known(name: str, side: int) -> Tensor:
            if name == DERIVATIVES:
                return gradients[side]
            return traced[side] if "summed" in name else whole[side].flatten()

        K, bound = (torch.cat([known(name, side) for name in ways]) for side in range(2))
        return K, bound

    return agree(
        every,
        reference,
        cases,
        mutants={
            f"{name}: off by a relative 1e-9": lambda case, name=name: every(case, name)
            for name in ways
        },
        scope=_scope(form, cases),
    )


def _asked(**how: Any) -> Kernel:
    return lambda case: antk(case.rows.params, case.rows.S, **case.call, **how)


def _deciding(module: Any, question: str, answer: bool) -> Kernel:
    """As where one way of multiplying out is quicker than another, or is not."""
    return _under(closed, module, question, lambda *problems: answer)


def _in_small_panels(way: Kernel) -> Kernel:
    """As where the kernel is larger than a processor's cache: in many panels, from many chunks."""

    def small(case: PairCase) -> Tensor:
        with (
            patch.multiple(panels, _CPU_ROWS=4, _CPU_NUMBERS=64, _GPU_ROWS=4, _GPU_NUMBERS=64),
            patch.object(features, "_CHUNK_NUMBERS", 1),
        ):
            return way(case)

    return small


def _written(case: PairCase) -> Tensor:
    out = torch.full_like(closed(case), torch.nan)
    antk(case.rows.params, case.rows.S, **case.call, out=out)
    return out


def _as_expression(**how: Any) -> Kernel:
    """As under a transform, where the kernel is one expression, which is another code path."""

    def transformed(case: PairCase) -> Tensor:
        def kernel(S: Tensor) -> Tensor:
            return antk(case.rows.params, S, **case.call, **how)

        return torch.func.vmap(kernel)(case.rows.S.unsqueeze(0)).squeeze(0)

    return transformed


def _derivatives_of(function: Callable[..., Tensor], given: str) -> Kernel:
    """Derivatives by all parameters of the sum of all entries, each with a weight of its own."""

    def derivatives(case: PairCase) -> Tensor:
        params = {x: y.detach().clone().requires_grad_() for x, y in case.rows.params.items()}
        K = function(params, case.rows.S, **getattr(case, given))
        # the same numbers for the library and for the oracle, and not symmetric
        g = torch.Generator().manual_seed(0)
        weights = torch.randn(K.shape, generator=g, dtype=K.dtype).to(K.device)
        found = torch.autograd.grad(K, list(params.values()), weights)
        return torch.cat([x.flatten() for x in found])

    return derivatives


def mutants(value: Kernel, form: str) -> dict[str, Kernel]:
    """One planted error each: in a block, or in the quantities that the kernel is made of."""
    planted: dict[str, Kernel] = {"sign flipped": lambda case: -value(case)}
    for name in ("W_V", "W_Q", "W_K", *(["W_O"] if form == "projected" else [])):
        planted[f"{name} block missing"] = with_block(value, name, lambda case: 0.0)
    for name in ("W_Q", "W_K"):
        planted[f"scale of the {name} block dropped"] = with_block(value, name, _width_of_a_head)
    planted["mean not subtracted"] = _under(value, features, "forward", _no_mean)
    planted["attention of another row"] = _under(value, features, "forward", _reweighted(-2))
    planted["attention of other keys"] = _under(value, features, "forward", _reweighted(-1))
    if form != "scalar":
        planted["delta_cc' forgotten"] = lambda case: value(case) + _between_columns(case)
    if form in ("causal", "masked"):
        planted["mask ignored"] = _under(value, arguments, "problem", _unmasked)
    if form == "cross":
        planted["contexts exchanged"] = _contexts_exchanged
    if form in ("multi-head", "projected"):
        planted["d_k for d_h"] = with_block(value, "W_Q", lambda case: 1 / case.rows.heads)
        planted["heads mixed up"] = _under(value, features, "forward", _reweighted(-3))
    if form == "projected":
        planted["columns of W_O reversed"] = _under(value, arguments, "problem", _other_projection)
    return planted


def with_block(value: Kernel, name: str, factor: Callable[[PairCase], float]) -> Kernel:
    """The kernel with the block of one parameter multiplied by a number."""
    return lambda case: value(case) + (factor(case) - 1) * oracle_block(case, name)


def _width_of_a_head(case: PairCase) -> float:
    return case.rows.params["W_Q"].shape[1] / case.rows.heads


def _between_columns(case: PairCase) -> Tensor:
    """The diagonal block of the output's own column, put between different columns as well."""
    block = oracle_block(case, "W_O" if "W_O" in case.rows.params else "W_V")
    v = block.shape[2]
    other = 1 - torch.eye(v, dtype=block.dtype, device=block.device)
    return torch.einsum("njmk,ce->njcmke", block[:, :, 0, :, :, 0], other)


def _under(value: Kernel, module: Any, name: str, replacement: Callable[..., Any]) -> Kernel:
    """The kernel computed while a function that `ntteach.tangent` uses is replaced."""

    def planted(case: PairCase) -> Tensor:
        with patch.object(module, name, replacement):
            return value(case)

    return planted


def _no_mean(p: Problem) -> Forward:
    w = forward(p)
    return replace(w, head_outputs=torch.zeros_like(w.head_outputs))


def _reweighted(axis: int) -> Callable[[Problem], Forward]:
    """The attention in another order: of the heads (-3), the rows (-2) or the keys (-1)."""

    def other(p: Problem) -> Forward:
        w = forward(p)
        weights = w.weights.roll(1, axis)
        return replace(w, weights=weights, head_outputs=weights @ w.V)

    return other


def _unmasked(*given: Any) -> Problem:
    return replace(problem(*given), mask=None)


def _other_projection(*given: Any) -> Problem:
    p = problem(*given)
    return p if p.W_O is None else replace(p, W_O=p.W_O.flip(-1))


def _contexts_exchanged(case: PairCase) -> Tensor:
    if case.other is None or case.rows.mask is not None:
        return closed(case)
    mine, others = case.call["context"], case.call["context_other"]
    n = mine.shape[0]  # the other side has one sequence more
    swapped = {"context": others[:n], "context_other": torch.cat([mine, mine[:1]])}
    return antk(case.rows.params, case.rows.S, **(case.call | swapped))


def _scope(form: str, cases: list[PairCase]) -> str:
    longest = max(case.columns.S.shape[-2] for case in cases)
    widest = max(case.rows.S.shape[-1] for case in cases)
    return (
        f"float64, {FORMS[form]}; two batches of different lengths and a batch with itself, "
        f"L to {longest}, d to {widest}; bound {RELATIVE:g} of the gradients' norms"
    )
