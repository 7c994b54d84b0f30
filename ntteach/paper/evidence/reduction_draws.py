"""How cases of `reduction_cases.py` are drawn."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import hypothesis.strategies as st
import numpy as np

# One draw for a matrix and one for a vector: a search spends most of its time on draws.


@cache
def _vectors(n: int) -> tuple[tuple[int, ...], ...]:
    """Vectors with entries from -3 to 3, smallest first."""
    return tuple(sorted(product(range(-3, 4), repeat=n), key=_size))


@cache
def _triangles(n: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Lower triangles: -2 to 2 below the diagonal, 0 to 3 on it; regular and small ones first."""
    found = []
    for diagonal in product(range(4), repeat=n):
        for below in product(range(-2, 3), repeat=n * (n - 1) // 2):
            rest = iter(below)
            rows = [[*(next(rest) for _ in range(i)), diagonal[i]] for i in range(n)]
            J = tuple(tuple(row + [0] * (n - len(row))) for row in rows)
            found.append((0 in diagonal, _size((*diagonal, *below)), J))
    return tuple(J for *_, J in sorted(found))


def _size(entries: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    return sum(map(abs, entries)), tuple(-x for x in entries)


def _lists(rows: tuple[tuple[int, ...], ...]) -> list[list[int]]:
    return [list(row) for row in rows]


def grams(n: int) -> st.SearchStrategy[list[list[int]]]:
    """`J`, lower triangular with n rows: entries from -2 to 2, on the diagonal from 0 to 3.

    Every semi-definite matrix is J J^T for such a J with real entries.
    """
    return st.sampled_from(_triangles(n)).map(_lists)


@st.composite
def telling_cases(draw: st.DrawFn, n: int, name: str = "g") -> dict[str, Any]:
    """Cases of n outputs: `J`, and under `name` the residuals, in three kinds.

    Entries from -3 to 3; such that cancel; or a multiple of K^-1 1, where the mean says least about
    the form. Few of the latter two would be met by chance.
    """
    J, residuals = draw(grams(n)), list(draw(st.sampled_from(_vectors(n))))
    match draw(st.sampled_from(["any", "cancelling", "extreme", "extreme"])):
        case "cancelling":
            residuals = [*residuals[:-1], -sum(residuals[:-1])]
        case "extreme":
            K = np.array(J) @ np.array(J).T
            determinant = round(float(np.linalg.det(K)))
            if determinant:
                solved = determinant * np.linalg.solve(K, np.ones(n))
                residuals = [round(x) for x in solved.tolist()]
        case _:
            pass
    return {"J": J, name: residuals}
