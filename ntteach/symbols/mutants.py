"""Ways to make an identity false, and one small exact case at which that shows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import isqrt, prod
from random import Random
from typing import Any

from sympy import Basic, Expr, Indexed, KroneckerDelta, Pow, Sum, Symbol, exp, log

from .evaluation import free_in, ranks_of
from .names import INDEX_RANGES, L2, M2, SHAPES, H, L, M, N, d, d_h, d_k, o, r, v, v_h

# sqrt(d_k) is rational, but not 1: a lost or doubled scale shows, and exact entries stay rational.
SIZES: dict[str, int] = {
    x.name: 4 if x in (d_k, d_h) else 3 if x in (M, L2) else 2
    for x in (L, M, d, d_k, v, o, H, d_h, v_h, r, N, L2, M2)
}


def mutations(expr: Expr) -> Iterator[tuple[str, Expr]]:
    """The expression with one occurrence of one symbol doubled: ("W_K doubled", ...), ...

    For each indexed base, each Kronecker delta and each free-standing symbol, the first occurrence
    is doubled, and the first inside an exp. Sizes in bounds, indices and exponents stay. A mutant
    of one side of a true identity is false unless the doubled factor multiplies all of a side that
    is zero (or is itself zero at the case): write such an identity as an equality of two non-zero
    sides, or mutate the side that is not 0.
    """
    seen: set[str] = set()

    def visit(node: Basic, inside: bool, rebuild: Any) -> Iterator[tuple[str, Expr]]:
        match node:
            case Indexed():
                name = node.base.label.name
            case KroneckerDelta():
                name = f"delta_{''.join(str(x) for x in node.args)}"
            case Symbol():
                name = node.name
            case Pow(args=(Symbol() as base, _)):
                name = base.name
            case _:
                # What follows the first argument of a sum is bounds, of a power the exponent.
                whole = not isinstance(node, Sum | Pow) or isinstance(node, exp)
                parts: Sequence[Basic] = node.args
                for place, part in enumerate(parts if whole else parts[:1]):

                    def deeper(new: Basic, place: int = place) -> Expr:
                        return rebuild(node.func(*parts[:place], new, *parts[place + 1 :]))

                    yield from visit(part, inside or isinstance(node, exp), deeper)
                return
        label = f"{name} in an exponent doubled" if inside else f"{name} doubled"
        if label not in seen:
            seen.add(label)
            yield label, rebuild(2 * node)

    yield from visit(expr, False, lambda new: new)


def small_case(
    *exprs: Expr, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> tuple[dict[str, int], dict[str, Any], dict[str, int]]:
    """Sizes, entries and indices for every name in the expressions, ready for `evaluate`.

    W_Q holds multiples of log 2 and W_K of sqrt(d_k) (if that is whole), so every weight is a
    power of two and results are exact. Free indices are as large as their range
    allows, so that deltas between them are 1.
    """
    size = {**SIZES, **(sizes or {})}
    rng = Random(seed)
    ranks, free = _names(exprs)
    indices = {
        x.name: min(size[y.name] for y in INDEX_RANGES[x]) for x in free if x in INDEX_RANGES
    }
    values: dict[str, Any] = {
        x.name: rng.choice((2, 3, 5))
        for x in sorted(free, key=str)
        if x.name not in size and x.name not in indices
    }
    for name, rank in sorted(ranks.items()):
        bounds = SHAPES.get((name, rank))
        if bounds is None:
            raise ValueError(f"{name} with {rank} indices has no known shape: give its entries")
        keys = size[
            ("M2" if "C2" in ranks else "L2") if name == "m2" else "M" if "C" in ranks else "L"
        ]
        shape = [
            keys if x is None else int(x.subs({y: size[y.name] for y in x.free_symbols}))
            for x in bounds
        ]
        if name == "sigma":
            values[name] = [x % shape[0] + 1 for x in range(1, shape[0] + 1)]  # moves every place
        else:
            values[name] = _entries(shape, _deck(name, shape, rng))
    return size, values, indices


@lru_cache(maxsize=256)
def _names(exprs: tuple[Expr, ...]) -> tuple[dict[str, int], frozenset[Symbol]]:
    """The bases and functions by name with the number of their indices, and the free symbols."""
    ranks = ranks_of(exprs)
    known: dict[Basic, frozenset[Symbol]] = {}
    free = frozenset().union(*(free_in(expr, known) for expr in exprs))
    return {name: rank for (name, _), rank in ranks.items()}, free - {label for _, label in ranks}


def _entries(shape: Sequence[int], deck: Iterator[Any]) -> Any:
    return [_entries(shape[1:], deck) for _ in range(shape[0])] if shape else next(deck)


def _deck(name: str, shape: Sequence[int], rng: Random) -> Iterator[Any]:
    # No number comes twice in a table (but for W_Q, W_K and directions), so that tokens and values
    # differ from each other; S and W_Q are positive, so that no query is zero.
    numbers: list[Any] = list(range(1, prod(shape) + 1))
    if name in ("W_Q", "D_Q", "B"):
        numbers = [log(2), 2 * log(2)]
    elif name in ("W_K", "D_K"):
        root = isqrt(shape[-1])
        numbers = [x * (root if root**2 == shape[-1] else 1) for x in (-1, 1, 2)]
    elif name == "X":
        numbers = [-1, 0, 1]  # logits stay small, or all weights but one would all but vanish
    while True:
        yield from rng.sample(numbers, len(numbers))
