"""Where the laws on choosing sequences are searched, smallest cases first, and the laws by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis.strategies import SearchStrategy

from ntteach.paper.evidence import (
    selection_bounds,
    selection_choices,
    selection_descent,
    selection_orders,
    selection_steps,
)
from ntteach.paper.evidence.arithmetic import Law

Cases = SearchStrategy[dict[str, Any]]
Domain = tuple[list[Cases], str]

LAWS: dict[str, Law] = {
    **selection_choices.LAWS,
    **selection_orders.LAWS,
    **selection_steps.LAWS,
    **selection_descent.LAWS,
    **selection_bounds.LAWS,
}


def _whole(low: int, high: int, size: int) -> SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=size, max_size=size)


def _rows(rows: int, columns: int, entries: int = 2) -> SearchStrategy[list[list[int]]]:
    return st.lists(_whole(-entries, entries, columns), min_size=rows, max_size=rows)


def _case(**parts: SearchStrategy[Any]) -> Cases:
    return st.fixed_dictionaries(parts)


_SHAPES = ((2, 1), (3, 1), (3, 2), (4, 2))
# every vector of three whole numbers with the squared length 2
_EQUAL = st.sampled_from(
    [
        [x, y, z]
        for x in (-1, 0, 1)
        for y in (-1, 0, 1)
        for z in (-1, 0, 1)
        if x * x + y * y + z * z == 2
    ]
)
_GENTLE = st.sampled_from(["1/20", "1/10", "1/5"])
_PACE = st.sampled_from([1, "1/2", "3/2"])


def _along_axes(y: int) -> list[list[int]]:
    return [[1, 0], [0, y]]


def _mirrored(y: int) -> list[list[int]]:
    return [[1, y], [1, -y]]


def _ridges(ridges: Callable[[int], list[list[int]]], direction: list[int]) -> Cases:
    return _case(
        ridges=st.integers(2, 4).map(ridges),
        curvatures=st.sampled_from([[1, 1], [1, 2], [1, 3], [2, 1]]),
        deltas=st.sampled_from([[1, 1], [2, 1], [3, 1]]),
        direction=st.just(direction),
        times=st.sampled_from([[1, 2], [1, 3]]),
    )


DOMAINS: dict[str, Domain] = {
    "rows of sequences": (
        [_case(rows=_rows(N, k), size=st.integers(1, N)) for N, k in _SHAPES],
        "2 to 4 sequences of 1 or 2 entries from -2 to 2, every m",
    ),
    "sequences with targets": (
        [
            _case(outputs=_rows(N, k), targets=_rows(N, k), size=st.integers(1, N))
            for N, k in _SHAPES
        ],
        "2 to 4 sequences of 1 or 2 outputs, outputs and targets from -2 to 2, every m",
    ),
    "two logits": (
        [
            _case(
                outputs=st.tuples(st.integers(0, 4), st.integers(-2, 2)).map(list),
                targets=st.tuples(st.integers(0, 4), st.just(0)).map(list),
            )
        ],
        "two outputs and their targets, whole multiples of log 2: 0 to 4 for the first, -2 to 2 "
        "with the target 0 for the second",
    ),
    "two huber residuals": (
        [_case(residuals=_whole(-4, 4, 2), delta=st.integers(1, 2))],
        "two residuals from -4 to 4, a line beyond 1 or 2",
    ),
    "two labels": (
        [
            _case(
                outputs=_whole(-4, 4, 2),
                labels=st.lists(st.sampled_from([1, -1]), min_size=2, max_size=2),
            )
        ],
        "two outputs, whole multiples of log 2 from -4 to 4, labels -1 and 1",
    ),
    "weighted residuals": (
        [
            _case(
                weights=st.tuples(st.integers(1, 2), st.integers(1, 4)).map(list),
                residuals=st.tuples(
                    st.tuples(st.integers(-4, 4), st.integers(-1, 1)).map(list),
                    st.tuples(st.integers(-1, 1), st.integers(-4, 4)).map(list),
                ).map(list),
            )
        ],
        "two sequences of 2 outputs, residuals to 4 in one output of each and to 1 in the other, "
        "weights 1 and 2 for the first output, 1 to 4 for the second",
    ),
    "ridges": (
        [_ridges(_along_axes, [1, 1]), _ridges(_mirrored, [1, 0])],
        "two outputs and two ridges, along the axes, or (1, y) and (1, -y) with y = 2 to 4 and the "
        "direction halfway; curvatures and kinks 1 to 3",
    ),
    "ridges along the axes": (
        [_ridges(_along_axes, [1, 1]), _ridges(_along_axes, [1, -2])],
        "two outputs and two ridges along the axes, (1, 0) and (0, y) with y = 2 to 4; curvatures "
        "and kinks 1 to 3",
    ),
    "one of two": (
        [
            _case(
                J=st.tuples(st.integers(-4, 4), st.integers(1, 2)).map(
                    lambda below: [[1, 0], [*below]]
                ),
                g=st.tuples(st.integers(1, 4), st.integers(-4, 4)).map(list),
                size=st.just(1),
            )
        ],
        "one of two outputs, features (1, 0) and (b, c) with b from -4 to 4 and c = 1, 2, "
        "residuals from -4 to 4",
    ),
    "choosing": (
        [_case(J=_rows(n, n), g=_whole(-3, 3, n), size=st.integers(1, n - 1)) for n in (2, 3)],
        "2 or 3 outputs, as many features with entries from -2 to 2, residuals from -3 to 3, m < N",
    ),
    "choosing, equal K_ii": (
        [
            _case(
                J=st.tuples(st.sampled_from([1, -1]), st.sampled_from([1, -1])).map(
                    lambda ends: [[1, 1, 0], [-1, 0, ends[0]], [0, -1, ends[1]]]
                ),
                g=st.tuples(st.integers(2, 5), st.integers(1, 4)).map(
                    lambda pair: [pair[0], pair[1], pair[1]]
                ),
                size=st.just(1),
            )
        ],
        "one of 3 outputs with K_ii = 2, features (1, 1, 0), (-1, 0, 1 or -1), (0, -1, 1 or -1), "
        "residuals 2 to 5 for the first and 1 to 4 for the others",
    ),
    "isotropic kernels": (
        [_case(c=st.integers(1, 3), g=_whole(-3, 3, n), size=st.integers(1, n)) for n in (2, 3)],
        "2 or 3 outputs, K = 1, 2 or 3 times the identity, gradients from -3 to 3",
    ),
    "definite kernels": (
        [
            _case(
                J=st.tuples(st.integers(1, 3), st.integers(-1, 1), st.integers(1, 3)).map(
                    lambda x: [[x[0], 0], [x[1], x[2]]]
                ),
                g=_whole(-2, 2, 2),
                size=st.just(1),
            )
        ],
        "one of two outputs, features (a, 0) and (b, c) with a, c from 1 to 3 and b from -1 to 1, "
        "gradients from -2 to 2",
    ),
    "functions": (
        [
            _case(
                J=_rows(n, 2),
                z=_whole(-2, 2, 2),
                size=st.integers(1, n),
                h=_GENTLE,
                delta=st.integers(1, 9),
            )
            for n in (1, 2, 3)
        ],
        "1 to 3 outputs, two features with entries from -2 to 2, Huber's loss with kinks 1 to 9",
    ),
    "functions, equal K_ii": (
        [_case(J=st.lists(_EQUAL, min_size=n, max_size=n), z=_whole(-2, 2, 3)) for n in (2, 3)],
        "2 or 3 outputs with K_ii = 2, a function of three coordinates from -2 to 2",
    ),
    "regular kernels": (
        [
            _case(
                J=_rows(n, 1, 1),
                c=st.integers(1, 2),
                alpha=_whole(-2, 2, n),
                pace=_PACE,
                size=st.integers(1, n),
            )
            for n in (1, 2, 3)
        ],
        "1 to 3 outputs, K = j j^T + c with entries of j from -1 to 1 and c = 1, 2; every m; "
        "eta gamma = 1/2, 1, 3/2",
    ),
    "regular kernels and gradients": (
        [
            _case(
                J=_rows(n, 1), c=st.integers(1, 2), g=_whole(-3, 3, n), size=st.integers(1, n - 1)
            )
            for n in (2, 3)
        ],
        "2 or 3 outputs, K = j j^T + c with entries of j from -2 to 2 and c = 1, 2; m < N",
    ),
    "loops": (
        [
            _case(
                J=_rows(n, n),
                g=_whole(-3, 3, n),
                size=st.integers(1, n),
                T=st.integers(0, 3),
                eta=_GENTLE,
                epsilon=st.sampled_from([1, "1/2", 3]),
            )
            for n in (1, 2)
        ],
        "1 or 2 outputs, features from -2 to 2, residuals from -3 to 3, T = 0 to 3",
    ),
}
