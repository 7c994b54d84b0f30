"""Where the laws of attention are searched: cases as plain data, smallest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis.strategies import SearchStrategy

Domain = tuple[list[SearchStrategy[dict[str, Any]]], str]


# L, d, v from the smallest up: a law that fails is shown on the first rung where it does.
RUNGS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (3, 1, 1), (2, 2, 1), (2, 1, 2), (3, 2, 1), (3, 2, 2))
Extra = Callable[[st.DrawFn, int, int, int], dict[str, Any]]


def ladder(
    *, v: int = 1, mask: str | None = None, extra: Extra | None = None
) -> list[SearchStrategy[dict[str, Any]]]:
    """Cases as plain data, with small whole entries, smallest shapes first."""
    return [_case(*rung, mask, extra) for rung in RUNGS if rung[2] <= v]


@st.composite
def _case(
    draw: st.DrawFn, L: int, d: int, v: int, mask: str | None, extra: Extra | None
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "S": [_vector(draw, d) for _ in range(L)],
        "W_Q": [_vector(draw, d) for _ in range(d)],
        "W_K": [_vector(draw, d) for _ in range(d)],
        "W_V": [_vector(draw, v) for _ in range(d)],
    }
    if mask is not None:
        given["mask"] = mask
    return given | (extra(draw, L, d, v) if extra else {})


def _vector(draw: st.DrawFn, size: int) -> list[int]:
    return draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))


def _order(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"order": draw(st.permutations(range(L)))}


def _repeats(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    grad = [_vector(draw, v) for _ in range(L)]
    return {"repeats": draw(st.integers(2, 3)), "output_grad": grad}


def _other(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"changed": draw(st.integers(0, L - 1)), "other": _vector(draw, d)}


def _more(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"more": [_vector(draw, d) for _ in range(draw(st.integers(1, 2)))]}


def _padding(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"padding": draw(st.integers(1, 2))}


def _sharpen(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"sharpen": draw(st.integers(2, 4))}


def _others(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    count = draw(st.integers(0, 2))
    weights = [draw(st.integers(-1, 1)) for _ in range((1 + count) * L * v)]
    return {"others": [_sequence(draw, L, d) for _ in range(count)], "direction": weights}


def _again(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"again": draw(st.integers(0, L - 1))}


def _basis(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"basis": _sequence(draw, d, d)}


def _orthogonal(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    signs = [[[1]], [[-1]]]
    turns = [[["3/5", "4/5"], ["-4/5", "3/5"]], [[0, 1], [1, 0]], [[1, 0], [0, -1]]]
    return {"basis": draw(st.sampled_from(signs if d == 1 else turns))}


def _two_orders(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    second = {"second": _sequence(draw, L, d), "other_order": draw(st.permutations(range(L)))}
    return _order(draw, L, d, v) | second


def _sequence(draw: st.DrawFn, L: int, d: int) -> list[list[int]]:
    return [_vector(draw, d) for _ in range(L)]


_LOSSES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=2, max_size=3).map(
    lambda losses: {"losses": losses}
)

_EQUAL_LOSSES = st.integers(1, 3).flatmap(
    lambda L: st.lists(
        st.lists(st.integers(0, 3), min_size=L, max_size=L), min_size=2, max_size=3
    ).map(lambda losses: {"losses": losses})
)

_ATTENTION: dict[str, tuple[list[SearchStrategy[dict[str, Any]]], str]] = {
    "plain": (ladder(), "v = 1"),
    "two columns": (ladder(v=2), "v to 2"),
    "order": (ladder(v=2, extra=_order), "v to 2, any reordering"),
    "causal order": (
        ladder(v=2, mask="causal", extra=_order),
        "v to 2, causal mask, any reordering",
    ),
    "repeats": (ladder(v=2, extra=_repeats), "v to 2, 2 or 3 copies"),
    "causal repeats": (
        ladder(v=2, mask="causal", extra=_repeats),
        "v to 2, causal mask, 2 or 3 copies",
    ),
    "other": (ladder(v=2, extra=_other), "v to 2, one element replaced"),
    "more": (ladder(v=2, extra=_more), "v to 2, 1 or 2 elements appended"),
    "padding": (ladder(v=2, extra=_padding), "v to 2, 1 or 2 zero elements appended"),
    "sharpen": (ladder(extra=_sharpen), "v = 1, W_Q times 2 to 4"),
    "sequences": (
        ladder(v=2, extra=_others),
        "v to 2, 1 to 3 sequences, outputs weighed by -1, 0 and 1",
    ),
    "again": (ladder(v=2, extra=_again), "v to 2, one token again at the end"),
    "basis": (ladder(v=2, extra=_basis), "v to 2, whole-numbered changes of basis"),
    "orthogonal basis": (
        ladder(v=2, extra=_orthogonal),
        "v to 2, reflections, exchanges and one rotation",
    ),
    "two orders": (ladder(v=2, extra=_two_orders), "v to 2, two sequences, any reorderings"),
    "two causal orders": (
        ladder(v=2, mask="causal", extra=_two_orders),
        "v to 2, two sequences under a causal mask, any reorderings",
    ),
}

DOMAINS: dict[str, Domain] = {
    **{
        name: (strategies, f"float64, one head, L to 3, d to 2, entries -2 to 2, {words}")
        for name, (strategies, words) in _ATTENTION.items()
    },
    "equal losses": ([_EQUAL_LOSSES], "2 or 3 sequences of 1 to 3 losses, all of one length"),
    "losses": ([_LOSSES], "2 or 3 sequences of 1 to 3 losses"),
}
