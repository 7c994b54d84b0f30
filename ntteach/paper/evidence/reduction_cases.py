"""Gram matrices with loss gradients as exact cases: reading, definiteness, hypotheses, drawing.

A case is plain data, and `n` outputs stand in one column throughout:

- `K`, rows of a symmetric matrix, or `J`, rows of features with `K = J J^T`;
- `g`, the loss gradients of the squared loss, which are its residuals; or `residuals` with
  `delta`, where the loss is Huber's: `r^2 / 2` up to `|r| = delta`, a line beyond;
- `gamma` (the largest entry of K unless given), `tau` (1), `eta` (`1 / (2 tau gamma)`), and
  `normaliser`, by which losses are averaged (n).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import hypothesis.strategies as st
import numpy as np
import sympy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import FLOATS, Arithmetic, Array, show

Given = Mapping[str, Any]
# Floats: entries are small whole numbers, so what is not zero is far above this.
NOTHING = 1e-9
# 2/3 < log 2 < 7/10, as e^2 < 8 = 2^3 and e^7 > 1024 = 2^10
LOG2 = (sympy.Rational(2, 3), sympy.Rational(7, 10))


@dataclass(frozen=True)
class Case:
    """A Gram matrix `(n, n)`, the residuals of n outputs, and the constants of Proposition 4.

    `delta` is where Huber's loss turns into a line; None is the squared loss.
    """

    arithmetic: Arithmetic
    K: Array
    residuals: Array
    gamma: Any
    tau: Any
    eta: Any
    normaliser: int
    delta: Any = None

    @property
    def n(self) -> int:
        """How many outputs there are."""
        return len(self.K)

    @property
    def Kbar(self) -> Array:
        """K over the normaliser, `(n, n)`."""
        return self.K / self.normaliser

    def slope(self, residuals: Array) -> Array:
        """The derivative of the loss of each output, without the average, `(n,)`."""
        if self.delta is None:
            return residuals
        return np.array([max(-self.delta, min(self.delta, r)) for r in residuals], residuals.dtype)

    def losses(self, residuals: Array) -> Array:
        """The loss of each output, `(n,)`."""
        g = self.slope(residuals)
        return g * residuals - g * g / 2  # r^2 / 2 where g = r, delta |r| - delta^2 / 2 beyond

    @property
    def g(self) -> Array:
        """The loss gradients, `(n,)`."""
        return self.slope(self.residuals)


def vector(entries: Sequence[Any], arithmetic: Arithmetic) -> Array:
    """A list of whole numbers and fractions as numbers of one arithmetic."""
    kind = float if arithmetic is FLOATS else object
    return np.array([arithmetic.number(str(x)) for x in entries], dtype=kind)


def matrix(rows: Sequence[Sequence[Any]], arithmetic: Arithmetic) -> Array:
    """Rows of whole numbers and fractions as numbers of one arithmetic."""
    return np.stack([vector(row, arithmetic) for row in rows])


def gram_of(given: Given, arithmetic: Arithmetic) -> Array:
    """The matrix that a case gives as `K`, or as `J` with K = J J^T."""
    if "K" in given:
        return matrix(given["K"], arithmetic)
    J = matrix(given["J"], arithmetic)
    return J @ J.T


def read_case(given: Given, arithmetic: Arithmetic, K: Array | None = None) -> Case:
    """A case from its data; `K` where it is not read but computed."""

    def number(name: str, otherwise: Any) -> Any:
        return arithmetic.number(str(given[name])) if name in given else otherwise

    K = gram_of(given, arithmetic) if K is None else K
    residuals = vector(given["residuals" if "residuals" in given else "g"], arithmetic)
    gamma = number("gamma", largest(K))
    tau = number("tau", arithmetic.number("1"))
    # nothing bounds the rate where gamma is zero; a hypothesis then says what is wrong
    eta = number("eta", 1 / (2 * tau * gamma) if gamma > 0 else arithmetic.number("1"))
    delta = number("delta", None)
    return Case(arithmetic, K, residuals, gamma, tau, eta, given.get("normaliser", len(K)), delta)


def largest(K: Array) -> Any:
    """The largest entry of a matrix."""
    top = K.flat[0]
    for x in K.flat:
        top = top if at_most(x, top) else x
    return top


def form(x: Array, K: Array, y: Array) -> Any:
    """`x^T K y`; exact products are multiplied out, so that equal numbers look the same."""
    return tidy(x @ K @ y)


def _bracketed(x: Any) -> str:
    text = show(x)
    return f"({text})" if set(text) & set("-+*/") else text


def sum_of(x: Array) -> Any:
    """The sum of the entries of a vector."""
    return tidy(x.sum())


def tidy(x: Any) -> Any:
    """A number as it is, an exact expression multiplied out."""
    return sympy.expand(x) if isinstance(x, sympy.Expr) else x


def at_most(x: Any, y: Any) -> bool:
    """Whether x <= y: exactly, or for floats up to rounding.

    Raises:
        ValueError: exact numbers with log 2 that `LOG2` does not tell apart.
    """
    if _is_rounded(x) or _is_rounded(y):
        x, y = float(x), float(y)
        return bool(x <= y + NOTHING * max(1.0, abs(x), abs(y)))
    low, high = enclosure(tidy(y - x))
    if low < 0 <= high:
        raise ValueError(f"bounds on log 2 do not say whether {x} <= {y}")
    return bool(low >= 0)


def _is_rounded(x: Any) -> bool:
    # an exact number times a float is one of SymPy's
    return isinstance(x, float) or (isinstance(x, sympy.Expr) and x.has(sympy.Float))


def enclosure(x: Any) -> tuple[Any, Any]:
    """Rational bounds of a number, or of a rational function of log 2, by bounds on log 2."""
    x = sympy.sympify(x)
    if x.is_Rational:
        return x, x
    above, below = sympy.fraction(sympy.together(x))
    if not below.is_Rational:
        (a, b), (c, d) = enclosure(sympy.expand(above)), enclosure(sympy.expand(below))
        if c * d <= 0:
            raise ValueError(f"bounds on log 2 do not give the denominator of {x} a sign")
        ends = sorted(p / q for p in (a, b) for q in (c, d))
        return ends[0], ends[-1]
    low = high = sympy.Integer(0)
    for (power,), q in sympy.Poly(x, sympy.log(2)).terms():
        ends = sorted(q * bound**power for bound in LOG2)
        low, high = low + ends[0], high + ends[1]
    return low, high


def compared(x: Any, y: Any) -> str:
    """Two numbers and how they compare, with rational bounds between if log 2 is in them."""
    below = at_most(x, y)
    if not any(isinstance(z, sympy.Expr) and not z.is_Rational for z in (x, y)):
        return f"{show(x)} {'<=' if below else '>'} {show(y)}"
    (x_low, x_high), (y_low, y_high) = enclosure(x), enclosure(y)
    if below:
        return f"{x} <= {x_high} <= {y_low} <= {y}"
    return f"{x} >= {x_low} > {y_high} >= {y}"


def log2_known(*numbers: Any) -> str:
    """What is known of log 2, where it occurs in a number."""
    if not any(isinstance(z, sympy.Expr) and z.has(sympy.log) for z in numbers):
        return ""
    return "; known of log 2: e^2 < 8 and e^7 > 2^10, so that 2/3 < log 2 < 7/10"


def spelled(x: Array, K: Array) -> str:
    """x^T K x term by term, and its value."""
    terms = [
        " * ".join(["2"] * (i != j) + [_bracketed(z) for z in (K[i, j], x[i], x[j])])
        for i in range(len(x))
        for j in range(i, len(x))
        if K[i, j] * x[i] * x[j] != 0
    ]
    return f"{' + '.join(terms) or '0'} = {show(form(x, K, x))}"


def pivots(K: Array) -> list[Any] | None:
    """The pivots of symmetric elimination, None if some direction is negative.

    At every step a positive diagonal entry is the pivot. Their number is the rank; K is
    semi-definite exactly if what is left when none is positive is zero.
    """
    left, found = K.copy(), []
    open_ = list(range(len(K)))
    while open_:
        pivot = next((i for i in open_ if not at_most(left[i, i], 0)), None)
        if pivot is None:
            rest = left[np.ix_(open_, open_)]
            return found if all(at_most(x, 0) and at_most(0, x) for x in rest.flat) else None
        found.append(left[pivot, pivot])
        open_.remove(pivot)
        for i in open_:
            ratio = left[i, pivot] / left[pivot, pivot]
            left[i] = [_reduced(x - ratio * y) for x, y in zip(left[i], left[pivot], strict=True)]
    return found


def _reduced(x: Any) -> Any:
    # elimination divides by polynomials in log 2
    return sympy.cancel(x) if isinstance(x, sympy.Expr) and not x.is_Rational else x


def symmetric(K: Array) -> Hypothesis:
    """K = K^T."""
    same = all(at_most(x, y) for x, y in zip(K.flat, K.T.flat, strict=True))
    return Hypothesis("K is symmetric", f"K = {show(K)}", same)


def definite(K: Array) -> Hypothesis:
    """K is positive definite, by its pivots."""
    found = pivots(K)
    value = "some direction is negative" if found is None else f"pivots {show(np.array(found))}"
    met = found is not None and len(found) == len(K)
    return Hypothesis("K is positive definite", f"{value}, n = {len(K)}", met)


def semidefinite(K: Array) -> Hypothesis:
    """K is positive semi-definite and not zero, by its pivots."""
    found = pivots(K)
    value = "some direction is negative" if found is None else f"pivots {show(np.array(found))}"
    return Hypothesis("K is positive semi-definite, not zero", value, bool(found))


def smooth(case: Case) -> Hypothesis:
    """The loss is convex and its derivative Lipschitz with the constant tau."""
    where = "" if case.delta is None else f" up to |r| = {case.delta}, linear beyond"
    curvature = "1" if case.delta is None else "1 or 0"
    value = f"r^2 / 2{where}: second derivative {curvature}, tau = {case.tau}"
    met = at_most(1, case.tau) and (case.delta is None or not at_most(case.delta, 0))
    return Hypothesis("the loss is convex and smooth with tau", value, met)


def bounded(case: Case) -> Hypothesis:
    """No entry of K is above gamma, and gamma is the least such number, above zero.

    The proposition asks for a bound only. Its right side grows with gamma, so that the least one
    is the weakest claim.
    """
    top = largest(case.K)
    same = at_most(top, case.gamma) and at_most(case.gamma, top)
    value = f"largest entry {show(top)}, gamma = {show(case.gamma)}"
    return Hypothesis(
        "gamma is the least bound on K, above 0", value, same and not at_most(case.gamma, 0)
    )


def slow(case: Case) -> Hypothesis:
    """0 < eta <= 1 / (2 tau gamma)."""
    product = tidy(2 * case.tau * case.gamma * case.eta)
    met = not at_most(case.eta, 0) and at_most(product, 1)
    value = f"eta = {show(case.eta)}, 2 tau gamma eta = {show(product)}"
    return Hypothesis("0 < eta <= 1 / (2 tau gamma)", value, met)


def proposition(case: Case) -> tuple[Hypothesis, ...]:
    """All that Proposition 4 supposes, with gamma as small as it can be."""
    return (smooth(case), symmetric(case.K), definite(case.K), bounded(case), slow(case))


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


def cases(n: int, **extra: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Cases of n outputs: `J`, and `g` with entries from -3 to 3, and what `extra` draws."""
    g = st.sampled_from(_vectors(n)).map(list)
    return st.fixed_dictionaries({"J": grams(n), "g": g, **extra})


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
