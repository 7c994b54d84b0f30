"""What the laws on functions of a kernel share: numbers from data, Gram matrices, small domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hypothesis.strategies as st
import numpy as np

from ntteach.paper.evidence.arithmetic import Arithmetic, Array

Given = Mapping[str, Any]


def numbers(entries: Sequence[Any], arithmetic: Arithmetic) -> Array:
    """A list, or a list of lists, of data as numbers of one arithmetic."""
    return np.array(
        [
            [arithmetic.number(str(x)) for x in row]
            if isinstance(row, list)
            else arithmetic.number(str(row))
            for row in entries
        ],
        dtype=float if isinstance(arithmetic.number("1"), float) else object,
    )


def gram(one: Array, other: Array, degree: int = 1) -> Array:
    """K(s, t) = <s, t>^degree for all pairs."""
    return (one @ other.T) ** degree


def vectors(size: int) -> st.SearchStrategy[list[int]]:
    """Whole numbers from -2 to 2."""
    return st.lists(st.integers(-2, 2), min_size=size, max_size=size)


def lists_of(count: int, rows: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of a given length."""
    return st.lists(rows, min_size=count, max_size=count)
