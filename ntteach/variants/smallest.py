"""The smallest sequence on which something fails: few elements, few entries, small integers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ntteach.variants.target import CannotCheck

Fails = Callable[[Tensor], bool]
_DRAWS = 12
_BUDGET = 600


def smallest(
    fails: Fails, like: Tensor, seed: int, *, shortest: int = 1, longest: int | None = None
) -> Tensor | None:
    """The first failing sequence of integers -2..2, shrunk until no entry can be made smaller.

    Lengths come in order; for each the zero sequence first, then random ones. A length at which
    the module does not run counts as passing. None where no such sequence fails.

    Args:
        fails: whether a sequence `(L, d)` fails.
        like: gives the width, dtype and device, and the longest length if `longest` is None.
        seed: of the random sequences.
        shortest: where to begin.
        longest: where to end.
    """
    attempts = 0

    def fails_here(S: Tensor) -> bool:
        nonlocal attempts
        attempts += 1
        try:
            return fails(S)
        except CannotCheck:
            return False

    generator = torch.Generator().manual_seed(seed)
    for length in range(shortest, (longest or like.shape[0]) + 1):
        shape = (length, like.shape[1])
        candidates = [torch.zeros(shape)]
        candidates += [torch.randint(-2, 3, shape, generator=generator) for _ in range(_DRAWS)]
        for candidate in candidates:
            if fails_here(S := candidate.to(like)):
                return _shrunk(S, fails_here, lambda: attempts < _BUDGET)
    return None


def _shrunk(S: Tensor, fails: Fails, more: Callable[[], bool]) -> Tensor:
    """Zero ever smaller blocks of entries, then lower single ones, as long as it still fails."""
    flat, size = S.flatten(), S.numel()
    while more():
        before = flat.clone()
        for start in range(0, flat.numel(), size):
            block = flat[start : start + size]
            for simpler in _simpler(block):
                trial = flat.clone()
                trial[start : start + size] = simpler
                if more() and fails(trial.reshape(S.shape)):
                    flat = trial
                    break
        if size > 1:
            size = (size + 1) // 2
        elif torch.equal(flat, before):
            break
    return flat.reshape(S.shape)


def _simpler(block: Tensor) -> list[Tensor]:
    """Blocks to try in place of this one, simplest first."""
    candidates = [torch.zeros_like(block), block.sign().abs(), block.sign(), block.abs()]
    cost = block.abs().sum() + 0.5 * (block < 0).sum()
    return [c for c in candidates if c.abs().sum() + 0.5 * (c < 0).sum() < cost]


def narrowed(vector: Tensor, fails: Fails) -> Tensor:
    """A unit vector, or one of few entries, that fails as this one does, by halving its support.

    A linear error that shows along a vector shows along one of its halves.
    """
    support = vector.flatten().nonzero().flatten()
    while len(support) > 1:
        half = len(support) // 2
        for part in (support[:half], support[half:]):
            if fails(_restricted(vector, part)):
                support = part
                break
        else:
            break
    found = _restricted(vector, support)
    unit = found.sign().abs()
    return unit if len(support) == 1 and fails(unit) else found


def _restricted(vector: Tensor, support: Tensor) -> Tensor:
    flat = torch.zeros_like(vector).flatten()
    flat[support] = vector.flatten()[support]
    return flat.reshape(vector.shape)


def as_lists(S: Tensor) -> list[list[int | float]]:
    """Rows as plain numbers, whole ones as integers."""
    return [[int(x) if x == int(x) else x for x in row] for row in S.tolist()]


def described(S: Tensor) -> str:
    """A sequence in words: its rows if they fit on a few lines, else its entries that count."""
    rows = S.tolist()
    if S.numel() <= 48 and S.shape[1] <= 12:
        return "[" + ", ".join("[" + ", ".join(f"{x:.3g}" for x in row) + "]" for row in rows) + "]"
    entries = [f"S[{j}, {i}] = {rows[j][i]:.3g}" for j, i in S.nonzero().tolist()]
    shown = ", ".join(entries[:8]) + (f", and {len(entries) - 8} more" if entries[8:] else "")
    return f"{S.shape[0]} x {S.shape[1]}, zero{' except ' + shown if entries else ''}"


def index(unit: Tensor) -> tuple[int, ...]:
    """Where a unit vector has its one."""
    return tuple(int(i) for i in unit.nonzero()[0])


def place_of_worst(difference: Tensor) -> tuple[int, int]:
    """Row and column of the largest entry."""
    i = int(difference.abs().argmax())
    return i // difference.shape[1], i % difference.shape[1]


def uncut(S: Tensor) -> dict[str, object]:
    """Where no sequence of small integers fails: the one that was drawn."""
    text = f"no sequence of small integers fails; the one drawn does\nS = {described(S)}"
    return {"S": as_lists(S), "text": text}
