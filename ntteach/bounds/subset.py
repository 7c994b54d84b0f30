"""What a step on chosen sequences does to the loss on all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntteach.bounds.gram import Gram
from ntteach.bounds.problem import Problem
from ntteach.bounds.rates import kernel_hypotheses
from ntteach.bounds.reduction import Hypothesis, Reduction, fall


def subset(p: Problem, chosen: Sequence[int] | Tensor | Any) -> Reduction:
    """The flow on the chosen, `df/dt = -(eta / P_m) K_(:,A) g_A`, and the loss on all.

        dL/dt = -(eta / (P_m P)) (g_A^T A g_A + g_R^T B g_A)
             <= -(eta / (P_m P)) |g_A| (lambda_min(A) |g_A| - |B| |g_R|)

    A is the kernel among the chosen, B that between the rest and the chosen, P_m = P m / N the
    normaliser of the chosen (1 for the sum). The loss on all falls if the chosen outweigh the rest:
    `lambda_min(A) |g_A| > |B| |g_R|`. Without that a step may raise it.

    Args:
        p: the kernel and the gradient of all.
        chosen: indices of sequences, each once.

    >>> from ntteach.bounds.problem import problem
    >>> p = problem([[2.0, -1.0], [-1.0, 2.0]], [1.0, 1.0], eta=1.0, tau=0.25)
    >>> found = subset(p, [0])  # -(1/2)(2 - 1)
    >>> found.left, found.right, found.verdict
    (-0.5, -0.5, 'holds')
    """
    inside = outputs_of(chosen, p.K)
    m = int(inside.sum()) / p.K.n * p.K.sequences
    part = 1.0 if p.P == 1 else p.P * m / p.K.sequences
    K, g_A, g_R = p.K.matrix, p.g[inside], p.g[~inside]
    A, B = K[inside][:, inside], K[~inside][:, inside]
    least = torch.linalg.eigvalsh(A)[0].item()
    least = least if least > p.K.rounding else 0.0
    cross = torch.linalg.matrix_norm(B, 2).item() if B.numel() else 0.0
    size, rest = g_A.norm().item(), g_R.norm().item()
    scale = p.eta / (part * p.P)
    left = -scale * (g_A @ A @ g_A + g_R @ (B @ g_A)).item()
    weight, against = least * size, cross * rest
    return Reduction(
        "subset",
        left,
        fall(scale * size * (weight - against)),
        (
            *kernel_hypotheses(p),
            Hypothesis(f"lambda_min(A) |g_A| > |B| |g_R| = {against:.7g}", weight, weight > against)
            if against
            else Hypothesis("lambda_min(A) |g_A| >= 0, nothing stands against it", weight, True),
        ),
        (
            ("lambda_min(A)", least),
            ("|g_A|", size),
            ("|B|", cross),
            ("|g_R|", rest),
            ("normaliser", p.P),
            ("normaliser of the chosen", part),
        ),
        "dL/dt on all, under the flow on the chosen",
        "-(eta / (P_m P)) |g_A| (lambda_min(A) |g_A| - |B| |g_R|)",
        True,
        p.tolerance * p.P / part,
    )


def outputs_of(chosen: Any, K: Gram) -> Tensor:
    """Which of the n outputs belong to the chosen sequences, `(n,)` boolean.

    Raises:
        ValueError: none chosen, one twice, or an index without a sequence.
        TypeError: not whole numbers.
    """
    if chosen is None:
        raise ValueError("the form 'subset' needs chosen=, the indices of the chosen sequences")
    given = chosen.tolist() if isinstance(chosen, Tensor | np.ndarray) else chosen
    given = list(given) if isinstance(given, Iterable) else [given]
    if not isinstance(chosen, Iterable) or not all(map(_whole, given)):
        raise TypeError(f"chosen are indices of sequences, got {chosen!r}")
    if not given or min(given) < 0 or max(given) >= K.sequences or len(set(given)) < len(given):
        raise ValueError(
            f"chosen are different indices below {K.sequences}, at least one, got {given}"
        )
    inside = torch.zeros(K.sequences, dtype=torch.bool)
    inside[given] = True
    return inside.repeat_interleave(K.n // K.sequences)


def _whole(index: object) -> bool:
    return isinstance(index, Integral) and not isinstance(index, bool)
