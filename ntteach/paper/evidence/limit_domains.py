"""Where the laws on Theorem 3 are searched: runs that are known exactly, smallest first."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis.strategies import SearchStrategy

Strategy = SearchStrategy[dict[str, Any]]
_SMALL = st.integers(-2, 2)


def _rows(draw: st.DrawFn, rows: int, columns: int) -> list[list[int]]:
    return [[draw(_SMALL) for _ in range(columns)] for _ in range(rows)]


def _weights(draw: st.DrawFn, d: int) -> dict[str, Any]:
    shapes = {"W_Q": (d, d), "W_K": (d, d), "W_V": (d, 1)}
    return {name: _rows(draw, *shape) for name, shape in shapes.items()}


@st.composite
def _one_token(draw: st.DrawFn, length: int, probe: int) -> dict[str, Any]:
    """Two starts, trained on one token over and over, and looked at on another sequence."""
    other = {"W_Q": _rows(draw, 1, 1), "W_K": _rows(draw, 1, 1)}
    return {
        "training": [[[draw(_SMALL)]] * length],
        "gaps": [[draw(_SMALL)] * length],
        **_weights(draw, 1),
        "other": other,
        "probe": _rows(draw, probe, 1),
    }


@st.composite
def _two_features(draw: st.DrawFn, length: int) -> dict[str, Any]:
    """A repeated token of the second feature, with a gap; tokens of the first, with none."""
    still = [[draw(_SMALL), 0] for _ in range(length)]
    return {
        "training": [[[0, draw(_SMALL)]] * length, still],
        "gaps": [[draw(_SMALL)] * length, [0] * length],
        **_weights(draw, 2),
        "factor": draw(st.sampled_from([1, -1, 2, 3, "1/2"])),
    }


@st.composite
def _repeated(draw: st.DrawFn, count: int, length: int) -> dict[str, Any]:
    """Sequences of one token over and over, with any gaps."""
    return {
        "training": [[[draw(_SMALL)]] * length for _ in range(count)],
        "gaps": _rows(draw, count, length),
        **_weights(draw, 1),
    }


@st.composite
def _unattended(draw: st.DrawFn, length: int) -> dict[str, Any]:
    """Tokens of the first feature, which W_Q and W_K do not see; a teacher that does."""
    return {
        "training": [[[draw(_SMALL), 0] for _ in range(length)]],
        "W_Q": [[0, 0], *_rows(draw, 1, 2)],
        "W_K": [[0, 0], *_rows(draw, 1, 2)],
        "W_V": _rows(draw, 2, 1),
        "teacher": _weights(draw, 2),
    }


@st.composite
def _balanced(draw: st.DrawFn) -> dict[str, Any]:
    """Two tokens with one key and opposite queries."""
    one, two = _rows(draw, 2, 2)
    total, gap = ([one[a] + sign * two[a] for a in (0, 1)] for sign in (1, -1))

    def across(x: list[int]) -> list[list[int]]:
        # a matrix that this vector does not see
        q = [draw(_SMALL), draw(_SMALL)]
        return [[-x[1] * y for y in q], [x[0] * y for y in q]]

    return {
        "training": [[one, two]],
        "W_Q": across(total),
        "W_K": across(gap),
        "W_V": _rows(draw, 2, 1),
    }


@st.composite
def _segment(draw: st.DrawFn, length: int) -> dict[str, Any]:
    """Two learners with one feature, a sequence and its targets."""
    return {
        "sequence": _rows(draw, length, 1),
        "targets": _rows(draw, length, 1),
        **_weights(draw, 1),
        "other": _weights(draw, 1),
    }


_RUNS = "float64, gradient flow on half the squared error, entries -2 to 2"

DOMAINS: dict[str, tuple[list[Strategy], str]] = {
    "one token and a probe": (
        [_one_token(1, 1), _one_token(1, 2), _one_token(2, 2)],
        f"{_RUNS}, d = 1, a training sequence of one token once or twice, a probe of 1 or 2 "
        "tokens, two starts",
    ),
    "two features": (
        [_two_features(1), _two_features(2)],
        f"{_RUNS}, d = 2, two training sequences of 1 or 2 tokens, W_Q times and W_K over -1, 1/2, "
        "1, 2 or 3",
    ),
    "repeated tokens": (
        [_repeated(1, 1), _repeated(1, 2), _repeated(2, 1)],
        f"{_RUNS}, d = 1, two outputs at most, of sequences that repeat one token",
    ),
    "unattended features": (
        [_unattended(1), _unattended(2)],
        f"{_RUNS}, d = 2, one sequence of 1 or 2 tokens that W_Q and W_K do not see, targets of a "
        "teacher",
    ),
    "one key": (
        [_balanced()],
        "float64, gradient flow on the logistic loss, labels 1, entries of tokens and W_V -2 to 2, "
        "two tokens with d = 2, one key and opposite queries",
    ),
    "segments": (
        [_segment(1), _segment(2)],
        "float64, d = 1, entries and targets -2 to 2, 1 or 2 tokens, pairs of learners",
    ),
}
