"""The tangent kernel as an operator that is never formed, against the kernel by autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.paper.domains import FORMS
from ntteach.paper.evidence.pairs import PairCase, oracle_block, oracle_kernel, pair_cases
from ntteach.tangent import antk_operator, operator, products


def products_with_units(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """`K @ x`, `K.T @ x`, blocks of one sequence, SciPy's operator, the diagonal and the trace.

    Products are taken with unit vectors, so that every entry of the kernel is looked at. A pass
    guarantees agreement with autograd within the bound of `pairs.oracle_kernel`. It cannot see
    time or memory.
    """
    cases = pair_cases(form, setting, random=setting.scaled(1, 12), edges=False)
    cases.append(_square(cases[0]))

    def reference(case: PairCase) -> tuple[Tensor, Tensor]:
        K, bound = (_matrix(x) for x in oracle_kernel(case))
        # a vector of ones adds the columns up
        parts = [[x, x, x, x.sum(1), x.sum(1)] for x in (K, bound)]
        if _is_square(case):
            for part, x in zip(parts, (K, bound), strict=True):
                part.append(x.diagonal())
        if case.other is None:
            for part, x in zip(parts, (K, bound), strict=True):
                part.append(x.trace())
        value, error = (torch.cat([x.flatten() for x in part]) for part in parts)
        return value, error

    return agree(
        _every,
        reference,
        cases,
        mutants=_mutants(form),
        scope=f"float64, {FORMS[form]}; two batches of different lengths, two of one length and a "
        "batch with itself",
    )


def _matrix(K: Tensor) -> Tensor:
    return K.flatten(3, 5).flatten(0, 2)


def _is_square(case: PairCase) -> bool:
    return case.rows.S.shape[:2] == case.columns.S.shape[:2]


def _square(case: PairCase) -> PairCase:
    """A second batch of as many sequences and elements as the first: the diagonal is of both."""
    x = case.columns
    N, L = case.rows.S.shape[:2]
    context = None if x.context is None else x.context[:N]
    mask = x.mask
    if mask is not None:
        mask = (mask[:N] if mask.ndim == 4 else mask)[..., :L, :]
        mask = mask[..., :L] if context is None else mask
    other = replace(x, S=x.S[:N, :L], context=context, mask=mask)
    return PairCase(case.rows, other)


def _every(case: PairCase, change: Callable[[PairCase, Tensor], Tensor] | None = None) -> Tensor:
    """Everything that the operator answers, with a change of the diagonal where one is planted."""
    K = antk_operator(case.rows.params, case.rows.S, **case.call)
    one_by_one = antk_operator(case.rows.params, case.rows.S, **case.call, block_size=1)
    rows, columns = (torch.eye(n, dtype=K.dtype, device=K.device) for n in K.shape)
    ones = columns.sum(0)
    by_scipy = K.as_linear_operator() @ np.ones(K.shape[1])
    parts = [K @ columns, (K.T @ rows).mT, one_by_one @ columns, K @ ones]
    parts.append(torch.from_numpy(by_scipy).to(K.device))
    if _is_square(case):
        diagonal = K.diagonal()
        parts.append(diagonal if change is None else change(case, diagonal))
    if case.other is None:
        parts.append(torch.tensor(K.trace(), dtype=K.dtype, device=K.device))
    return torch.cat([x.flatten() for x in parts])


def _mutants(form: str) -> dict[str, Callable[[PairCase], Tensor]]:
    planted: dict[str, Callable[[PairCase], Tensor]] = {
        "off by a relative 1e-9": lambda case: _every(case) * (1 + 1e-9),
        "diagonal of the first batch with itself": lambda case: _every(case, _of_the_rows),
        "trace off by a relative 1e-9": _under(operator.TangentOperator, "trace", _longer_trace),
    }
    for name in ("W_Q", "W_K", "W_V", *(["W_O"] if form == "projected" else [])):
        planted[f"{name} left out of what is pulled back"] = _under(
            operator, "pull_back", _after(products.pull_back, name)
        )
        planted[f"{name} scaled in what is pushed forward"] = _under(
            operator, "push_forward", _before(products.push_forward, name)
        )
        planted[f"diagonal without the {name} block"] = _diagonal_without(name)
    return planted


def _after(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def changed_result(*arguments: Any) -> Any:
        direction = function(*arguments)
        return {**direction, name: torch.zeros_like(direction[name])}

    return changed_result


def _before(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def changed_argument(p: Any, w: Any, direction: Any) -> Any:
        return function(p, w, {**direction, name: direction[name] / p.scale + 1e-6})

    return changed_argument


def _diagonal_without(name: str) -> Callable[[PairCase], Tensor]:
    def without(case: PairCase, diagonal: Tensor) -> Tensor:
        return diagonal - _matrix(oracle_block(case, name)).diagonal()

    return lambda case: _every(case, without)


def _of_the_rows(case: PairCase, diagonal: Tensor) -> Tensor:
    return antk_operator(case.rows.params, case.rows.S, **case.rows.call).diagonal()


def _longer_trace(K: operator.TangentOperator) -> float:
    return K.diagonal().sum().item() * (1 + 1e-9)


def _under(module: Any, name: str, replacement: Any) -> Callable[[PairCase], Tensor]:
    def planted(case: PairCase) -> Tensor:
        with patch.object(module, name, replacement):
            return _every(case)

    return planted
