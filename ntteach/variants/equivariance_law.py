"""The law of permutations: what a module without a mask or positions obeys."""

from __future__ import annotations

import torch
from torch import Tensor

from ntteach.variants.numerics import SAFETY, margin, noise
from ntteach.variants.report import Law
from ntteach.variants.smallest import as_lists, described, place_of_worst, smallest, uncut
from ntteach.variants.subject import Subject


def equivariance(subject: Subject, sequences: Tensor, seed: int, claimed: bool) -> Law:
    """`m(P S) = P m(S)` for permutations P of the elements."""
    generator = torch.Generator().manual_seed(seed)
    worst, cases = 0.0, 0
    for S in sequences:
        f = subject.output(S)
        bound = SAFETY * noise(subject.output, S, generator)
        for P in _permutations(S.shape[0], generator):
            worst = max(worst, margin(subject.output(S[P]), f[P], bound))
            cases += 1
    holds = worst <= 1
    return Law(
        "equivariance",
        claimed,
        holds,
        cases,
        worst,
        f"permuting the elements {'permutes' if holds else 'does more than permute'} the outputs",
        "a dependence on position that only longer sequences show",
        None if holds else _smallest_permutation(subject, sequences, seed),
    )


def _permutations(length: int, generator: torch.Generator) -> list[Tensor]:
    shuffled = [torch.randperm(length, generator=generator) for _ in range(2)]
    return [torch.arange(length).roll(1), torch.arange(length).flip(0), *shuffled]


def _smallest_permutation(subject: Subject, sequences: Tensor, seed: int) -> dict[str, object]:
    def broken(S: Tensor) -> tuple[list[int], Tensor, Tensor, float] | None:
        f = subject.output(S)
        bound = SAFETY * noise(subject.output, S, torch.Generator().manual_seed(seed))
        # swaps of neighbours generate every permutation
        for j in range(S.shape[0] - 1):
            P = list(range(S.shape[0]))
            P[j], P[j + 1] = j + 1, j
            found = subject.output(S[P])
            if margin(found, f[P], bound) > 4:
                return P, found, f[P], bound
        return None

    S = smallest(lambda S: broken(S) is not None, sequences[0], seed, shortest=2)
    S = sequences[0] if S is None else S
    case = broken(S)
    if case is None:
        return uncut(S)
    P, found, expected, bound = case
    j, c = place_of_worst(found - expected)
    return {
        "S": as_lists(S),
        "permutation": P,
        "row": j,
        "column": c,
        "found": found[j, c].item(),
        "expected": expected[j, c].item(),
        "bound": bound,
        "text": (
            f"S = {described(S)}\nelements in the order {P}; output row {j}, column {c}:\n"
            f"m(P S) {found[j, c].item():.6g}, P m(S) {expected[j, c].item():.6g} +- {bound:.1e}"
        ),
    }
