"""The global-alignment kernel: a sum over all ways to walk through two sequences side by side.

M. Cuturi, Fast global alignment kernels, ICML 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from ntteach.rkhs.kernels import Kernel, check_positive
from ntteach.rkhs.pairs import over_pairs, token_pairs
from ntteach.rkhs.pointwise import gaussian_exponents, squared_distances

Local = Literal["safe", "gaussian"]

# The logarithm of nothing. Not -inf: the derivative of log(0 + 0 + 0) would be NaN.
NOTHING = -1e30


@dataclass(frozen=True)
class GlobalAlignment(Kernel):
    """The sum over all alignments of products of local kernels of aligned tokens."""

    width: float
    local: Local
    normalise: bool

    def __post_init__(self) -> None:
        check_positive("width", self.width)
        if self.local not in get_args(Local):
            raise ValueError(f'local is "safe" or "gaussian", got {self.local!r}')
        if not isinstance(self.normalise, bool):
            raise TypeError(f"normalise is True or False, got {self.normalise!r}")

    def _values(self, S: Tensor, T: Tensor) -> Tensor:
        logs = over_pairs(self._logs, S, T)
        if self.normalise:
            rows, columns = (logs.diagonal(),) * 2 if T is S else map(self._log_diagonal, (S, T))
            # exact on the diagonal: x - (x + x) / 2 = 0
            logs = logs - (rows[:, None] + columns) / 2
        return logs.exp()

    def _diagonal(self, S: Tensor) -> Tensor:
        logs = self._log_diagonal(S)
        return torch.ones_like(logs) if self.normalise else logs.exp()

    def _logs(self, S: Tensor, T: Tensor) -> Tensor:
        return log_sum_over_alignments(self._log_local(token_pairs(squared_distances, S, T)))

    def _log_diagonal(self, S: Tensor) -> Tensor:
        squares = [squared_distances(tokens, tokens) for tokens in S]
        stacked = torch.stack(squares) if squares else S.new_empty(0, *S.shape[1:2] * 2)
        return log_sum_over_alignments(self._log_local(stacked))

    def _log_local(self, squares: Tensor) -> Tensor:
        # a product with less is nothing, as that of tokens beyond the ends of a sequence
        exponents = gaussian_exponents(squares, self.width).clamp(min=NOTHING)
        if self.local == "gaussian":
            return exponents
        return exponents - torch.log(2 - exponents.exp())


def global_alignment(width: float, *, local: Local = "safe", normalise: bool = True) -> Kernel:
    """The global-alignment kernel (Cuturi): for sequences of any length, in their order.

        k(S, S') = sum over alignments p of  prod_t local(S_{p(t)}, S'_{p'(t)})

    An alignment goes from the first pair of tokens to the last; each step moves on by one token in
    either sequence or in both. With the Gaussian `g = exp(-|s - s'|^2 / (2 width^2))`, the local
    kernel is `h = g / (2 - g)`: then `h / (1 + h) = g / 2` is positive semi-definite, from which it
    follows that k is. With `local="gaussian"` it is g itself, and k can be indefinite: of all
    sequences of four tokens 0, 1, 2 and width 3, the smallest eigenvalue is below zero.

    Sums are taken of logarithms, so that they neither overflow nor vanish. All sequences of one
    tensor have one length, and there is no padding: S and S_other may differ in length.

    Args:
        width: of the Gaussian, positive, in the units of a token.
        local: "safe" or "gaussian".
        normalise: divide by `sqrt(k(S, S) k(S', S'))`, without which values grow with the number
            of alignments, that is exponentially with the length.

    Returns:
        A scalar kernel.

    Raises:
        ValueError: a width that is not positive, an unknown local kernel.
        TypeError: `normalise` that is no bool.

    >>> S = torch.zeros(1, 3, 1)  # local is 1, so that alignments are counted: Delannoy's 13
    >>> global_alignment(1.0, normalise=False)(S).round(decimals=4).tolist()
    [[13.0]]
    """
    return GlobalAlignment(width, local, normalise)


def log_sum_over_alignments(log_local: Tensor) -> Tensor:
    """The logarithm of the sum over all alignments, by `M_ij = local_ij (M_i-1,j + M_i,j-1 +
    M_i-1,j-1)`, one anti-diagonal after the other.

    Args:
        log_local: `(..., L, L')`.

    Returns:
        `(...)`.
    """
    *batch, L, M = log_local.shape
    # row i moves i places to the right: columns are then the anti-diagonals s = i + j
    skewed = pad(log_local, (0, L), value=NOTHING).flatten(-2)[..., : L * (L + M - 1)]
    diagonals = skewed.unflatten(-1, (L, L + M - 1)).movedim(-1, 0).contiguous()
    # place 0 stands for i = -1: before the first pair of tokens there is one way to have got there
    before = pad(log_local.new_full((*batch, L), NOTHING), (1, 0), value=0.0)
    last = torch.full_like(before, NOTHING)
    for diagonal in diagonals:
        sums = _log_sum(last[..., :-1], last[..., 1:], before[..., :-1]) + diagonal
        before, last = last, pad(sums, (1, 0), value=NOTHING)
    return last[..., -1]


def _log_sum(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    # x + y first: transposing the sequences exchanges them, and nothing else
    top = torch.maximum(torch.maximum(x, y), z).detach()
    return ((x - top).exp() + (y - top).exp() + (z - top).exp()).log() + top
