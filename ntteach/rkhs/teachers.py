"""Teachers: which sequences of a pool a learner is taught next (Eqs. 20 and 21, and others).

A teacher is called as `teacher(residuals, gram, size)` and answers with places in the pool. Scores
are of one sequence each, so that the best `size` together are those with the largest scores, and
one by one without replacement comes to the same. Of equal scores the first in the pool goes first.

What a teacher sees in place of residuals is told by `sees`: "residual", f - f* (Eq. 21), or
"gradient", the loss gradients dl/df (Eq. 20). For the squared loss the two are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Seed = int | torch.Generator
Score = Callable[[Tensor, Tensor], Tensor]
Choose = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Teacher:
    """A rule that chooses sequences of a pool.

    A teacher with a state, such as that of its random numbers, is for one run.

    Args:
        name: said in tables.
        sees: "residual" or "gradient".
        scores: whether it has to know the outputs for the whole pool.
        choose: residuals or gradients `(N, o)`, the Gram matrix `(N o, N o)` and a number of
            sequences to their places.
    """

    name: str
    sees: Literal["residual", "gradient"]
    scores: bool
    choose: Choose

    def __call__(self, residuals: Tensor, gram: Tensor, size: int) -> Tensor:
        """The places of the sequences to teach next, all different.

        Args:
            residuals: `(N,)` or `(N, o)`; loss gradients for a teacher that sees these.
            gram: the pool's Gram matrix, `(N o, N o)`, as `Kernel.gram` gives it.
            size: how many, from 1 to N.

        Returns:
            `(size,)` integers; by falling score where there is one.

        Raises:
            ValueError: shapes or a size that do not fit, or scores that are not finite.
            TypeError: no tensors, or a size that is no int.
        """
        for name, x in (("residuals", residuals), ("gram", gram)):
            if not isinstance(x, Tensor):
                raise TypeError(f"{name} is a tensor, got {type(x).__name__}")
        r = residuals.unsqueeze(-1) if residuals.ndim == 1 else residuals  # (N, o)
        if r.ndim != 2 or gram.shape != (r.numel(), r.numel()):
            raise ValueError(
                "residuals are (N,) or (N, o) and the Gram matrix is (N o, N o), got "
                f"{tuple(residuals.shape)} and {tuple(gram.shape)}"
            )
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"size is an int, got {size!r}")
        if not 1 <= size <= len(r):
            raise ValueError(f"size lies between 1 and the pool's {len(r)} sequences, got {size}")
        return self.choose(r, gram, size)


def random_teacher(seed: Seed) -> Teacher:
    """Any `size` sequences, each set equally likely: random functional teaching (RFT).

    Args:
        seed: an int, or a generator on the CPU to draw from.

    Raises:
        TypeError: neither an int nor a generator.

    >>> r, K = torch.zeros(4), torch.eye(4)
    >>> chosen = [random_teacher(0)(r, K, 2).tolist() for _ in range(2)]
    >>> chosen[0] == chosen[1]
    True
    """
    draw = _generator(seed)

    def choose(r: Tensor, gram: Tensor, size: int) -> Tensor:
        return torch.randperm(len(r), generator=draw)[:size].to(r.device)

    return Teacher("random", "residual", False, choose)


def greedy_teacher() -> Teacher:
    """The largest `|f(S_i) - f*(S_i)|` (Eq. 21): greedy functional teaching (GFT).

    >>> greedy_teacher()(torch.tensor([1.0, -3.0, 2.0]), torch.eye(3), 2).tolist()
    [1, 2]
    """
    return _scoring("greedy", "residual", lambda r, gram: _size(r))


def gradient_teacher() -> Teacher:
    """The largest `|dl/df(S_i)|` (Eq. 20).

    >>> gradient_teacher()(torch.tensor([1.0, -3.0, 2.0]), torch.eye(3), 1).tolist()
    [1]
    """
    return _scoring("loss gradient", "gradient", lambda g, gram: _size(g))


def functional_gradient_teacher() -> Teacher:
    """The largest norm of the sequence's functional gradient, `|K(., S_i) dl/df(S_i)|`.

    Its square is `g_i^T K(S_i, S_i) g_i`: a loss gradient counts for as much as it moves f.

    >>> K = torch.diag(torch.tensor([16.0, 1.0, 1.0]))
    >>> functional_gradient_teacher()(torch.tensor([1.0, -3.0, 2.0]), K, 2).tolist()
    [0, 1]
    """

    def score(g: Tensor, gram: Tensor) -> Tensor:
        N, o = g.shape
        blocks = gram.view(N, o, N, o).diagonal(dim1=0, dim2=2)  # (o, o, N)
        return torch.einsum("na,abn,nb->n", g, blocks, g)

    return _scoring("functional gradient", "gradient", score)


def ntk_teacher() -> Teacher:
    """The largest `|K(S_i, .) g|`, g the loss gradients of the whole pool (as NINT).

    It is how fast the output at S_i moves when all of the pool is taught.

    >>> K = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    >>> ntk_teacher()(torch.tensor([1.0, -2.0, 2.0]), K, 2).tolist()  # scores 3, 2, 3
    [0, 2]
    """
    return _scoring("NTK", "gradient", _influence)


def steepest_teacher() -> Teacher:
    """The largest `<g_i, (K g)_i>`: a step on these lowers the loss of the whole pool fastest.

    To first order, and among all choices of that size: `kernel-choice-steepest` proves it. A choice
    by `|g_i|` can raise that loss.

    >>> K = torch.tensor([[1.0, 0.75], [0.75, 1.0]])
    >>> g = torch.tensor([2.0, -3.0])  # K g = (-0.25, -1.5)
    >>> steepest_teacher()(g, K, 1).tolist()
    [1]
    """

    def score(g: Tensor, gram: Tensor) -> Tensor:
        return (g * (gram @ g.flatten()).view(g.shape)).sum(-1)

    return _scoring("steepest", "gradient", score)


def mixture_teacher(
    seed: Seed, *, random: float = 0.7, ntk: float = 0.3, decay: float = 10.0
) -> Teacher:
    """NINT's batch: some at random, a falling share by `ntk_teacher`, the rest by gradient.

    In call t = 0, 1, ... the share by the kernel is `ntk exp(-ceil(t / decay))`. Numbers of
    sequences are rounded; the first are chosen by the kernel, then by gradient, then at random,
    each from what is left.

    Args:
        seed: an int, or a generator on the CPU to draw from.
        random: the share chosen at random, between 0 and 1.
        ntk: the share by the kernel at the start; with `random` at most 1.
        decay: after how many calls the share has fallen by a factor of e.

    Raises:
        ValueError: shares that are negative or more than 1 together, or decay not above 0.
        TypeError: a seed that is neither an int nor a generator.
    """
    if not (random >= 0 and ntk >= 0 and random + ntk <= 1 + 1e-12):
        raise ValueError(
            f"shares are not negative and at most 1 together, got random={random}, ntk={ntk}"
        )
    if not 0 < decay < math.inf:
        raise ValueError(f"decay is a finite number above 0, got {decay!r}")
    draw = _generator(seed)
    calls = iter(range(2**62))

    def choose(g: Tensor, gram: Tensor, size: int) -> Tensor:
        share = ntk * math.exp(-math.ceil(next(calls) / decay))
        at_random = round(random * size)
        by_kernel = min(round(share * size), size - at_random)
        first = _largest(_influence(g, gram), by_kernel)
        rest = _size(g).index_fill(0, first, -math.inf)  # what is chosen is not chosen again
        second = rest.sort(descending=True, stable=True).indices[: size - at_random - by_kernel]
        order = torch.randperm(len(g), generator=draw).to(g.device)
        left = order[~torch.isin(order, torch.cat([first, second]))]
        return torch.cat([first, second, left[:at_random]])

    return Teacher("mixture", "gradient", True, choose)


def recorded_teacher(chosen: Tensor) -> Teacher:
    """Choices made before, such as those of `History.chosen`, once more and in order.

    Args:
        chosen: `(T, m)` places; one row for each step.

    Raises:
        ValueError: another shape; when it is called, more often than there are rows, or for
            another number of sequences.
        TypeError: no integers.
    """
    if not isinstance(chosen, Tensor) or chosen.is_floating_point() or chosen.ndim != 2:
        raise ValueError(f"choices are (T, m) integers, got {chosen!r}")
    rows = iter(chosen.clone())

    def choose(r: Tensor, gram: Tensor, size: int) -> Tensor:
        row = next(rows, None)
        if row is None or len(row) != size:
            kept = "no choice is left" if row is None else f"the recorded choice is of {len(row)}"
            raise ValueError(f"{size} sequences were asked for, {kept}")
        return row.to(r.device)

    return Teacher("recorded", "residual", False, choose)


def _scoring(name: str, sees: Literal["residual", "gradient"], score: Score) -> Teacher:
    def choose(r: Tensor, gram: Tensor, size: int) -> Tensor:
        return _largest(score(r, gram), size)

    return Teacher(name, sees, True, choose)


def _largest(scores: Tensor, size: int) -> Tensor:
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("a teacher's scores are finite; residuals or Gram matrix are not")
    # stable: which of equal scores come first does not depend on the machine
    return scores.sort(descending=True, stable=True).indices[:size]


def _size(r: Tensor) -> Tensor:
    return r.norm(dim=-1)


def _influence(g: Tensor, gram: Tensor) -> Tensor:
    return (gram @ g.flatten()).view(g.shape).norm(dim=-1)


def _generator(seed: Seed) -> torch.Generator:
    if isinstance(seed, torch.Generator):
        return seed
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed is an int or a torch.Generator, got {seed!r}")
    return torch.Generator().manual_seed(seed)
