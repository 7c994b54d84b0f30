"""The law of causality: nothing comes from the future, neither a value nor a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ntteach.variants.numerics import SAFETY, largest, margin, noise, relative
from ntteach.variants.report import Law
from ntteach.variants.smallest import as_lists, described, place_of_worst, smallest, uncut
from ntteach.variants.subject import Subject

# Rows that are looked at; a sample of longer sequences.
_ROWS = 12


def causality(subject: Subject, sequences: Tensor, seed: int, claimed: bool) -> Law:
    """`d f_j / d s_k = 0` for k > j: by autograd, and by putting other elements in their place."""
    generator = torch.Generator().manual_seed(seed)
    worst, cases = 0.0, 0
    for S in sequences:
        f = subject.output(S)
        rounding = noise(subject.output, S, generator)
        rows = torch.randperm(S.shape[0] - 1, generator=generator)[:_ROWS].sort().values.tolist()
        for j in rows:
            other = S.clone()
            other[j + 1 :] = torch.randn(other[j + 1 :].shape, generator=generator).to(S)
            change = margin(subject.output(other)[: j + 1], f[: j + 1], SAFETY * rounding)
            worst, cases = max(worst, change, _future(subject, S, j, f, rounding)), cases + 2
    holds = worst <= 1
    return Law(
        "causality",
        claimed,
        holds,
        cases,
        worst,
        f"{'no output depends' if holds else 'an output depends'} on a later element",
        "a leak that rounding hides, or that only longer sequences show",
        None if holds else _smallest_leak(subject, sequences, seed),
    )


def _future(subject: Subject, S: Tensor, j: int, f: Tensor, rounding: float) -> float:
    """The gradient that output row j gets from later elements, over its bound."""
    u = torch.zeros_like(f)
    u[j] = torch.linspace(1, 2, f.shape[1], dtype=torch.float64).to(f)  # no cancelling weights
    g = subject.products(S, [u])[0]["S"]
    bound = SAFETY * relative(rounding, f) * largest(g)
    return margin(g[j + 1 :], torch.zeros_like(g[j + 1 :]), bound)


def _smallest_leak(subject: Subject, sequences: Tensor, seed: int) -> dict[str, object]:
    def leak(S: Tensor) -> dict[str, object] | None:
        f = subject.output(S)
        rounding = noise(subject.output, S, torch.Generator().manual_seed(seed))
        for j in range(S.shape[0] - 1):
            case = _derivative(subject, S, j, f, rounding) or _change(subject, S, j, f, rounding)
            if case:
                return case
        return None

    S = smallest(lambda S: leak(S) is not None, sequences[0], seed, shortest=2)
    case = leak(sequences[0] if S is None else S)
    return case if case is not None else uncut(sequences[0])


def _derivative(
    subject: Subject, S: Tensor, j: int, f: Tensor, rounding: float
) -> dict[str, object] | None:
    for c in range(min(f.shape[1], 4)):
        u = torch.zeros_like(f)
        u[j, c] = 1
        g = subject.products(S, [u])[0]["S"]
        bound = SAFETY * relative(rounding, f) * largest(g)
        k, i = place_of_worst(g[j + 1 :])
        value = g[j + 1 + k, i].item()
        if abs(value) > 4 * max(bound, 1e-300):
            text = f"d f[{j}, {c}] / d S[{j + 1 + k}, {i}] = {value:.6g}, expected 0"
            return {
                "S": as_lists(S),
                "row": j,
                "column": c,
                "element": j + 1 + k,
                "entry": i,
                "found": value,
                "expected": 0.0,
                "bound": bound,
                "text": f"S = {described(S)}\nby autograd: {text} +- {bound:.1e}",
            }
    return None


def _change(
    subject: Subject, S: Tensor, j: int, f: Tensor, rounding: float
) -> dict[str, object] | None:
    bound = SAFETY * rounding
    for k in range(j + 1, S.shape[0]):
        for i in range(min(S.shape[1], 4)):
            other = S.clone()
            other[k, i] += 1
            changed = subject.output(other)[j]
            if margin(changed, f[j], bound) > 4:
                c = int((changed - f[j]).abs().argmax())
                text = f"f[{j}, {c}] goes from {f[j, c].item():.6g} to {changed[c].item():.6g}"
                return {
                    "S": as_lists(S),
                    "row": j,
                    "column": c,
                    "element": k,
                    "entry": i,
                    "found": changed[c].item(),
                    "expected": f[j, c].item(),
                    "bound": bound,
                    "text": f"S = {described(S)}\nwith S[{k}, {i}] + 1: {text} +- {bound:.1e}",
                }
    return None
