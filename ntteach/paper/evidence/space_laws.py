"""Functions of a kernel as laws on small exact cases: Eq. 1, Definitions 1 and 2.

A function is `f = sum_i a_i K(s_i, .)` for tokens s_i, sequences of length one, and the kernel
`K(s, t) = <s, t>^degree`. Cases are plain data: `tokens` as lists of whole numbers, `weights` a_i.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, replayed, show
from ntteach.paper.evidence.reduction_numbers import at_most
from ntteach.paper.evidence.space_numbers import Given, gram, lists_of, numbers, vectors

# --- Eq. 1 and Definition 1 ----------------------------------------------------------------------


def inner_product_is_of_functions(
    given: Given, arithmetic: Arithmetic, *, degree: int = 1
) -> Finding:
    """`<f, g>` stays as f is written anew: each `a_i K(s_i, .)` as `a_i/m K(m s_i, .)`.

    g has the `tests` for weights. With a degree of two the new list is not of the same function,
    and the law is false.
    """
    S, a, b = (numbers(given[x], arithmetic) for x in ("tokens", "weights", "tests"))
    m = arithmetic.number(str(given["multiple"]))
    before = a @ gram(S, S, degree) @ b
    after = (a / m) @ gram(m * S, S, degree) @ b
    return Finding(
        (Hypothesis("the multiple is not zero", show(m), m != 0),),
        f"<f, g> stays {show(before)}",
        f"it is {show(after)}",
        at_most(before, after) and at_most(after, before),
    )


def evaluation_is_bounded(
    given: Given, arithmetic: Arithmetic, *, factor: str = "1", degree: int = 1
) -> Finding:
    """`f(s)^2 <= K(s, s) |f|^2` at the token `given["at"]`.

    With a factor below 1 on the right this is false: f = K(s, .) attains the bound.
    """
    S, a = numbers(given["tokens"], arithmetic), numbers(given["weights"], arithmetic)
    s = numbers([given["at"]], arithmetic)
    value = (gram(s, S, degree) @ a)[0]
    norm, own = a @ gram(S, S, degree) @ a, gram(s, s, degree)[0, 0]
    bound = own * norm * arithmetic.number(factor)
    return Finding(
        (Hypothesis("one token or more", str(len(S)), len(S) > 0),),
        f"f(s)^2 <= K(s, s) |f|^2 = {show(own)} * {show(norm)}",
        f"f(s) = {show(value)}",
        at_most(value**2, bound),
    )


# --- Definition 2 --------------------------------------------------------------------------------

_STEPS = ("1/2", "1/8", "1/32")


def display_is_uniform(given: Given, arithmetic: Arithmetic, *, turned: bool = False) -> Finding:
    """What meets the display of Definition 2 at a point is Fréchet differentiable there.

    Functions are `f(s) = a s_1 + b s_2`, of the kernel <s, t> on tokens in the plane, and `|f|^2 =
    a^2 + b^2`. The functional is `F(f) = a^p b^q / (a^m + b^n)`, 0 at f = 0, with the `powers`
    p, q, m, n. The display, with gradient 0, asks that `F(e g) / e` vanish with e for each g; that
    is p + q - min(m, n) > 1. Fréchet asks that `F(g)^2 / |g|^2` vanish with |g| in whatever way g
    gets small; here along `a = t^n', b = t^m'`, where `n' / m' = n / m` in lowest terms.

    With `turned`, the other way round, which is true: the display follows.
    """
    p, q, m, n = given["powers"]
    divisor = int(np.gcd(m, n))
    x, y = n // divisor, m // divisor

    def functional(a: Any, b: Any) -> Any:
        return a**p * b**q / (a**m + b**n)

    def ratio(t: Any) -> Any:
        """F(g)^2 / |g|^2 on the curve."""
        return functional(t**x, t**y) ** 2 / (t ** (2 * x) + t ** (2 * y))

    def slope(t: Any) -> Any:
        """F(t g) / t for g = (1, 1)."""
        return functional(t, t) / t

    steps = [arithmetic.number(t) for t in _STEPS]
    along, straight = [ratio(t) for t in steps], [slope(t) for t in steps]
    # F on a line or on the curve is a power of t, times a function with a limit that is not zero
    uniform, met = along[2] < along[0] / 2, straight[2] < straight[0] / 2
    lines = Hypothesis(
        "the display, gradient 0: F(e g) / e vanishes for every g",
        f"for g = (a, b) it is e^{p + q - min(m, n) - 1} times a bounded factor; "
        f"for g = (1, 1) and e = {', '.join(_STEPS)} it is {show(np.array(straight, object))}",
        met,
    )
    F = [functional(t**x, t**y) for t in steps]
    squares = [t ** (2 * x) + t ** (2 * y) for t in steps]
    curve = f"F(g)^2 / |g|^2 for g = (t^{x}, t^{y}) and t = {', '.join(_STEPS)}"
    named = f"F(a, b) = a^{p} b^{q} / (a^{m} + b^{n})"
    even = Hypothesis(
        "F is defined everywhere: m and n are even", f"{m}, {n}", m % 2 == 0 and n % 2 == 0
    )
    both = Hypothesis("F is zero on both axes", f"p = {p}, q = {q}", min(p, q) >= 1)
    values = show(np.array(along, object))
    if turned:
        small = Hypothesis("the remainder is o(|g|) on the curve", values, uniform)
        return Finding((even, both, small), f"{lines.name}, of {named}", lines.value, met)
    return Finding(
        (even, both, lines),
        f"the remainder of {named} is o(|g|): {curve} vanishes",
        f"it is {values}{'' if uniform else ', which does not fall'}: there F = "
        f"{show(np.array(F, object))} and |g|^2 = "
        f"{show(np.array(squares, object))}",
        uniform,
    )


def remainder_is_uniform(
    given: Given, arithmetic: Arithmetic, *, factor: str = "1", degree: int = 1
) -> Finding:
    """Of the squared loss over r tokens, a step g leaves at most `|g|^2 (1/2r) sum_i K(s_i, s_i)`.

    `L(f) = (1/2r) sum_i (f(s_i) - y_i)^2`, its gradient `(1/r) sum_i (f(s_i) - y_i) K(s_i, .)`, and
    g has the weights `tests`. With a factor below 1 this is false.
    """
    S, a, b, y = (numbers(given[x], arithmetic) for x in ("tokens", "weights", "tests", "targets"))
    K, r = gram(S, S, degree), len(S)
    half = arithmetic.number("1/2")

    def loss(weights: Array) -> Any:
        return half * ((K @ weights - y) ** 2).sum() / r

    gradient = (K @ a - y) / r
    left = loss(a + b) - loss(a) - gradient @ K @ b
    norm = b @ K @ b
    bound = half * K.trace() / r * norm * arithmetic.number(factor)
    return Finding(
        (Hypothesis("one token or more", str(r), r > 0),),
        f"L(f + g) - L(f) - <grad, g> is at most {show(bound)}, and not negative",
        f"it is {show(left)} where |g|^2 = {show(norm)}",
        at_most(left, bound) and at_most(0 * left, left),
    )


replay_display_is_uniform = partial(replayed, display_is_uniform)

LAWS: dict[str, Law] = {
    "inner product is of functions": inner_product_is_of_functions,
    "inner product is of functions, degree two": partial(inner_product_is_of_functions, degree=2),
    "evaluation is bounded": evaluation_is_bounded,
    "evaluation is bounded, 99 in 100": partial(evaluation_is_bounded, factor="99/100"),
    "display is uniform": display_is_uniform,
    "uniform gives the display": partial(display_is_uniform, turned=True),
    "remainder is uniform": remainder_is_uniform,
    "remainder is uniform, 99 in 100": partial(remainder_is_uniform, factor="99/100"),
}


# --- domains -------------------------------------------------------------------------------------


def _functions(r: int, d: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "tokens": lists_of(r, vectors(d)),
            "weights": vectors(r),
            "tests": vectors(r),
            "targets": vectors(r),
            "at": vectors(d),
            "multiple": st.sampled_from([2, -1, 3]),
        }
    )


def _powers() -> st.SearchStrategy[dict[str, Any]]:
    power, even = st.integers(1, 4), st.sampled_from([2, 4, 6])
    return st.tuples(power, power, even, even).map(lambda x: {"powers": list(x)})


DOMAINS: dict[str, tuple[list[st.SearchStrategy[dict[str, Any]]], str]] = {
    "functions of tokens": (
        [_functions(r, d) for r, d in ((1, 1), (2, 1), (2, 2), (3, 2))],
        "float64, 1 to 3 centres in 1 or 2 dimensions, all numbers whole, -2 to 2",
    ),
    "powers": ([_powers()], "p, q from 1 to 4, m, n one of 2, 4, 6"),
}
