"""How fast the kernel of one head moves at the start of training, exactly, for several widths.

One feature and one output (d = v = 1): W_Q and W_K are rows q and k of d_k numbers. In NTK
parametrisation weights have variance 1 and each product is divided by the root of its fan-in: by
1 for queries, keys and values (d = 1), and by sqrt(d_k) for logits, as Eq. 2 has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import sympy
from sympy import Expr, Matrix, Rational, Symbol

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Finding, replayed

_T = Symbol("t", real=True)


def start(width: int) -> tuple[list[int], list[int]]:
    """q = (1, ..., 1) and k = (1, -1, 1, -1, ...): <q, k> = 0, |q|^2 = |k|^2 = d_k.

    As for weights drawn from N(0, 1), up to what vanishes with the width: there |q|^2 / d_k and
    |k|^2 / d_k tend to 1, and <q, k> / sqrt(d_k) to a standard normal number.
    """
    return [1] * width, [(-1) ** i for i in range(width)]


def kernel_rate(
    tokens: Sequence[Expr], labels: Sequence[Expr], value: Expr, q: Sequence[Any], k: Sequence[Any]
) -> Matrix:
    """dK/dt at t = 0 under gradient flow on half the squared error, exactly, `(L, L)`.

    All sums over the width are carried out on the weights given, moving along the flow as
    polynomials in t; the gradients are Eqs. 10-12.
    """
    L, width = len(tokens), len(q)
    root = sympy.sqrt(width)

    def read_out(
        q: Sequence[Any], k: Sequence[Any], value: Expr
    ) -> tuple[list[Expr], list[Expr], list[Expr]]:
        # f, its derivative by W_V, and the covariance of Eqs. 11 and 12 without q and k
        product = sympy.expand(sum(x * y for x, y in zip(q, k, strict=True)) / root)
        outputs, by_value, covariances = [], [], []
        for s in tokens:
            E = [sympy.exp(product * s * x) for x in tokens]
            mean = sum(e * x for e, x in zip(E, tokens, strict=True)) / sum(E)
            square = sum(e * x**2 for e, x in zip(E, tokens, strict=True)) / sum(E)
            outputs.append(value * mean)
            by_value.append(mean)
            covariances.append(value * (square - mean**2))
        return outputs, by_value, covariances

    f, by_value, covariances = read_out(q, k, value)
    residuals = [x - y for x, y in zip(f, labels, strict=True)]
    pull = sum(r * s * x for r, s, x in zip(residuals, tokens, covariances, strict=True)) / root
    moving_q = [x - _T * pull * y for x, y in zip(q, k, strict=True)]
    moving_k = [y - _T * pull * x for x, y in zip(q, k, strict=True)]
    moving_value = value - _T * sum(r * x for r, x in zip(residuals, by_value, strict=True))

    _, by_value, covariances = read_out(moving_q, moving_k, moving_value)
    squares = sympy.expand(sum(x**2 for x in (*moving_q, *moving_k)) / width)

    def entry(i: int, j: int) -> Expr:
        slopes = tokens[i] * tokens[j] * covariances[i] * covariances[j]
        return sympy.simplify(
            sympy.diff(by_value[i] * by_value[j] + slopes * squares, _T).subs(_T, 0)
        )

    return Matrix(L, L, entry)


def kernel_rate_vanishes(given: Mapping[str, Any], arithmetic: Arithmetic) -> Finding:
    """The wider the keys of one head, the more slowly its kernel moves at the start of training.

    The widths are even, so that half of the entries of k can be -1.
    """
    tokens, labels = ([arithmetic.number(str(x)) for x in given[n]] for n in ("tokens", "labels"))
    value = arithmetic.number(str(given["value"]))
    widths = list(given["widths"])
    starts = [start(width) for width in widths]
    rates = [kernel_rate(tokens, labels, value, *weights) for weights in starts]
    sizes = [rate.norm() for rate in rates]
    moments = [[_mean_product(*pair) for pair in ((q, q), (k, k), (q, k))] for q, k in starts]
    growing = all(width % 2 == 0 for width in widths) and all(x < y for x, y in pairwise(widths))
    return Finding(
        (
            Hypothesis("the width d_k of the one head grows", str(widths), growing),
            Hypothesis("the input width is fixed, tokens differ", str(tokens), _differ(tokens)),
            Hypothesis("a label for each token", str(labels), len(labels) == len(tokens)),
            Hypothesis(
                "moments of N(0, 1): |q|^2 / d_k, |k|^2 / d_k, <q, k> / d_k",
                str(moments),
                all(x == [1, 1, 0] for x in moments),
            ),
            Hypothesis("W_V of second moment 1", str(value), value**2 == 1),
        ),
        "dK/dt at the start of gradient flow gets smaller as d_k grows, or is zero",
        f"for d_k = {', '.join(map(str, widths))}, dK/dt is {', '.join(map(_show, rates))}",
        all(x > y for x, y in pairwise(sizes)) or not any(sizes),
    )


def _mean_product(x: Sequence[int], y: Sequence[int]) -> Expr:
    return Rational(sum(one * other for one, other in zip(x, y, strict=True)), len(x))


def _differ(tokens: Sequence[Expr]) -> bool:
    return len(set(tokens)) == len(tokens) >= 2


def _show(rate: Matrix) -> str:
    return str(rate.tolist())


replay_kernel_rate_vanishes = partial(replayed, kernel_rate_vanishes)
