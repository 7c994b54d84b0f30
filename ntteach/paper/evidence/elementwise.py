"""Eqs. 10-12 as the paper writes them, in exact numbers, against SymPy's derivative by elements."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence.arithmetic import (
    EXACT,
    Array,
    Problem,
    exponentials,
    jacobian,
    omega,
    read,
)

Formula = Callable[[Problem], Array]


def value_block(p: Problem) -> Array:
    """Eq. 10: `diag(1 / (E 1)) E S`, `(L, d)`."""
    *_, E = exponentials(p)
    return E @ p.S / E.sum(1, keepdims=True)


def query_block(p: Problem) -> Array:
    """Eq. 11: rows `d^-1/2 S_j omega_j` for every column i, `(L, d, d)`."""
    return np.einsum("ja,ji->jai", p.S, omega(p)) / EXACT.sqrt(p.S.shape[1])


def key_block(p: Problem) -> Array:
    """Eq. 12 in its quotient form, for every column i, `(L, d, d)`."""
    Q, _, V, E = exponentials(p)
    total = E.sum(1, keepdims=True)  # (L, 1)
    moved = ((E @ (V * p.S)) * total - (E @ V) * (E @ p.S)) / total**2  # (L, d)
    return np.einsum("ja,ji->jai", moved, Q) / EXACT.sqrt(p.S.shape[1])


FORMULAS: dict[str, Formula] = {"W_V": value_block, "W_Q": query_block, "W_K": key_block}


def exact_entries(
    claim: Claim, setting: Setting, *, block: str, mask: str | None = None
) -> Evidence:
    """Every entry of a block on small matrices, in exact arithmetic.

    A pass guarantees equality, without rounding, for each entry of the cases of the scope. It
    cannot see other shapes: the identity for symbolic sizes does that.
    """
    formula = FORMULAS[block]
    shapes = [(1, 1), (2, 1), (2, 2), (3, 2)]
    known = [_case(L, d, setting.seed + n, mask) for n, (L, d) in enumerate(shapes)]
    cases, truths = [p for p, _ in known], [truth[block] for _, truth in known]

    def equal(candidate: Formula) -> bool:
        return all(_same(p, candidate(p), truth) for p, truth in zip(cases, truths, strict=True))

    mutants: dict[str, Formula] = {
        "sign flipped": lambda p: -formula(p),
        "another row's attention": lambda p: formula(p)[::-1],
        "doubled": lambda p: 2 * formula(p),
    }
    if block != "W_V":
        mutants["scale dropped"] = lambda p: formula(p) * EXACT.sqrt(p.S.shape[1])
    if mask is not None:
        mutants["mask ignored"] = lambda p: formula(_unmasked(p))
    holds = equal(formula)
    return Evidence(
        Outcome.SUPPORTS if holds else Outcome.REFUTES,
        f"exact arithmetic, v = 1, (L, d) = {', '.join(map(str, shapes))}"
        + (f", {mask} mask" if mask else ""),
        sum(truth.size for truth in truths),
        detail="equal in every entry" if holds else "an entry differs",
        mutants=tuple(Mutant(name, not equal(mutant)) for name, mutant in mutants.items()),
    )


@cache
def _case(L: int, d: int, seed: int, mask: str | None) -> tuple[Problem, Mapping[str, Array]]:
    """A problem with small whole entries and its gradient by SymPy, the same for all blocks."""
    draw = random.Random(seed)

    def matrix(rows: int, columns: int) -> list[list[str]]:
        return [[str(draw.choice((-2, -1, 1, 2, 3))) for _ in range(columns)] for _ in range(rows)]

    given: dict[str, Any] = {
        "S": matrix(L, d),
        "W_Q": matrix(d, d),
        "W_K": matrix(d, d),
        "W_V": matrix(d, 1),
        "mask": mask,
    }
    p = read(given, EXACT)
    return p, jacobian(p)


def _unmasked(p: Problem) -> Problem:
    return Problem(p.arithmetic, p.S, p.W_Q, p.W_K, p.W_V)


def _same(p: Problem, found: Array, truth: Array) -> bool:
    # v = 1: the block of output 0, and of W_V its only column
    expected = truth[:, 0, :, 0] if found.ndim == 2 else truth[:, 0]
    return p.arithmetic.same(found, expected)
