"""Do two computations of one quantity agree, within a bound that is explained, on many cases?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ntteach.claims import Evidence, Mutant, Outcome

Case = TypeVar("Case")


def agree(
    candidate: Callable[[Case], Tensor],
    reference: Callable[[Case], tuple[Tensor, Tensor]],
    cases: Sequence[Case],
    *,
    mutants: Mapping[str, Callable[[Case], Tensor]],
    scope: str,
    describe: Callable[[Case], str] = str,
) -> Evidence:
    """Compare a candidate with a reference case by case, and each mutant of it likewise.

    A pass guarantees that on the cases of `scope` the two differ by no more than the bound, entry
    by entry, and that every mutant differs by more on at least one. It cannot see errors below
    the bound, an error that both computations share, or cases outside the scope.

    Args:
        candidate: the quantity under test.
        reference: gives the value and a bound on an honest candidate's error, entry by entry.
        cases: where to compare; at least one.
        mutants: the candidate with one planted error each.
        scope: the cases in words.
        describe: a case in words, for the worst one.
    """
    known = [(case, *reference(case)) for case in cases]

    def wrong_at_the_end(case: Case) -> Tensor:
        found = candidate(case)
        if case is not cases[-1]:
            return found
        spoiled = found.flatten().clone()
        spoiled[-1:] += 1 + 4 * (spoiled[-1:].abs() + known[-1][2].flatten()[-1:])
        return spoiled.reshape(found.shape)

    # also a check of this comparison: it must look at every case and every entry
    mutants = {**mutants, "last entry of the last case": wrong_at_the_end}
    margin, worst = worst_margin(candidate, known)
    if margin <= 1:
        outcome, detail = Outcome.SUPPORTS, f"largest error is {margin:.2g} of its bound"
    else:
        outcome = Outcome.REFUTES
        detail = f"disagrees: error {margin:.3g} times its bound at {describe(worst)}"
    return Evidence(
        outcome,
        scope,
        len(cases),
        margin if math.isfinite(margin) else None,
        detail,
        tuple(
            Mutant(name, refuted=worst_margin(mutant, known)[0] > 1)
            for name, mutant in mutants.items()
        ),
    )


def worst_margin(
    candidate: Callable[[Case], Tensor], known: Iterable[tuple[Case, Tensor, Tensor]]
) -> tuple[float, Case]:
    """The largest error over bound, and the case where it occurs.

    Infinite where the candidate is not finite, or where its shape is not that of the reference.
    """
    worst: tuple[float, Case] | None = None
    for case, value, bound in known:
        found = candidate(case)
        margin = _margin(found, value, bound) if found.shape == value.shape else math.inf
        if worst is None or margin > worst[0]:
            worst = margin, case
    if worst is None:
        raise ValueError("nothing to compare: at least one case is needed")
    return worst


def _margin(found: Tensor, value: Tensor, bound: Tensor) -> float:
    if not (bound.isfinite() & (bound >= 0)).all():
        raise ValueError("a bound on an error is a finite number of at least 0")
    if not value.numel():
        return 0.0
    ratio = (found - value).abs() / bound
    # 0 / 0: an exact value met exactly
    ratio = torch.where((found == value) & (bound == 0), torch.zeros_like(ratio), ratio)
    worst = ratio.max().item()
    return math.inf if math.isnan(worst) else worst
