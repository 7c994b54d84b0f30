"""Kernels that compare every token of one sequence with every token of another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

# Pairs of tokens held at a time, few enough for a processor's cache.
ROOM = 1 << 20


def token_pairs(of_tokens: Callable[[Tensor, Tensor], Tensor], S: Tensor, T: Tensor) -> Tensor:
    """A matrix of all tokens `(N L, N' L')` as one of tokens for each pair of sequences.

    Args:
        of_tokens: `(n, d)`, `(m, d)` to `(n, m)`.
        S: `(N, L, d)`.
        T: `(N', L', d)`.

    Returns:
        `(N, N', L, L')`.
    """
    G = of_tokens(S.flatten(0, 1), T.flatten(0, 1))
    return G.view(*S.shape[:2], *T.shape[:2]).transpose(1, 2)


def over_pairs(values: Callable[[Tensor, Tensor], Tensor], S: Tensor, T: Tensor) -> Tensor:
    """`values(S, T)`, `(N, N')`, in blocks of rows; of S with itself, half the work.

    Then the lower half mirrors the upper: symmetric to the last bit.
    """
    rows = max(1, ROOM // max(1, len(T) * S.shape[1] * T.shape[1]))
    parts = []
    for start in range(0, len(S), rows):
        part = S[start : start + rows]
        if T is S:
            parts.append(pad(values(part, S[start:]), (start, 0)))
        else:
            parts.append(values(part, T))
    K = torch.cat(parts) if parts else S.new_empty(0, len(T))
    return K.triu() + K.triu(1).mT if T is S else K
