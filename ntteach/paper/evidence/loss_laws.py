"""Smoothness and strong convexity of losses as laws on two outputs, in either arithmetic.

The gradients are written again here, in terms of exponentials and roots; of `ntteach.losses` only
the constants are asked for. A case is plain data: outputs `f` and `other`, a `target` (a class
number for cross-entropy), whole numbers times `unit`; losses with exponentials take them in units
of log 2, for which exponentials of whole numbers are rational.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import sympy
import torch

from ntteach import losses
from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import FLOATS, Arithmetic, Array, Finding, Law, show

Given = Mapping[str, Any]
# Floats: relative to the square of a distance, where what is false is so by a thousandth or more.
ROUNDING = 1e-9


def _squared(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    return f - y


def _weighted(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    return (f - y) * np.array([arithmetic.number(str(w)) for w in given["weights"]])


def huber(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    """The gradient of the Huber loss with delta = 1: the point of [-1, 1] next to f - y."""
    one = arithmetic.number("1")
    return np.array([max(-one, min(one, x)) for x in f - y], dtype=f.dtype)


def _pseudo_huber(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    return np.array([x / arithmetic.sqrt(1 + x**2) for x in f - y], dtype=f.dtype)


def absolute(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    """The gradient of |f - y|, 0 where they agree."""
    return np.array([x / abs(x) if x != 0 else x for x in f - y], dtype=f.dtype)


def _log_cosh(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    squares = _exponentials(2 * (f - y), arithmetic)
    return (squares - 1) / (squares + 1)


def _logistic(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    label = given["label"]
    return -label / (1 + _exponentials(label * f, arithmetic))


def _cross_entropy(f: Array, y: Array, given: Given, arithmetic: Arithmetic) -> Array:
    E = _exponentials(f, arithmetic)
    return E / E.sum() - (np.arange(len(f)) == given["class"]).astype(int)


def _exponentials(x: Array, arithmetic: Arithmetic) -> Array:
    return np.array([arithmetic.exp(z) for z in x], dtype=x.dtype)


Gradient = Callable[[Array, Array, Given, Arithmetic], Array]
# What each loss is in the library, its gradient here, and whether it has outputs in logs of 2.
LOSSES: dict[str, tuple[Callable[[Given], losses.Loss], Gradient, bool]] = {
    "squared": (lambda given: losses.squared(), _squared, False),
    "weighted squared": (
        lambda given: losses.weighted_squared(torch.tensor(given["weights"], dtype=torch.float64)),
        _weighted,
        False,
    ),
    "huber": (lambda given: losses.huber(1.0), huber, False),
    "pseudo-huber": (lambda given: losses.pseudo_huber(1.0), _pseudo_huber, False),
    "log-cosh": (lambda given: losses.log_cosh(), _log_cosh, True),
    "logistic": (lambda given: losses.logistic(), _logistic, True),
    "cross-entropy": (lambda given: losses.cross_entropy(), _cross_entropy, True),
}
SMOOTH = tuple(LOSSES)
LOSSES["absolute"] = (lambda given: losses.absolute(), absolute, False)
STRONG = ("squared", "weighted squared")


def gradient_of(loss: str, f: Array, given: Given, arithmetic: Arithmetic) -> Array:
    """The gradient by the outputs f, `(o,)`, at the target of a case."""
    _, gradient, _ = LOSSES[loss]
    target = _outputs(given.get("target", [0] * len(f)), loss, given, arithmetic)
    return gradient(f, target, given, arithmetic)


def _outputs(entries: Any, loss: str, given: Given, arithmetic: Arithmetic) -> Array:
    unit = arithmetic.number(str(given["unit"])) * (arithmetic.log2 if LOSSES[loss][2] else 1)
    kind = float if arithmetic is FLOATS else object
    return np.array([arithmetic.number(str(x)) * unit for x in entries], dtype=kind)


def _pair(given: Given, loss: str, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """f - f' and g(f) - g(f')."""
    f, other = (_outputs(given[name], loss, given, arithmetic) for name in ("f", "other"))
    return f - other, gradient_of(loss, f, given, arithmetic) - gradient_of(
        loss, other, given, arithmetic
    )


def _one_length(given: Given) -> Hypothesis:
    one, other = len(given["f"]), len(given["other"])
    return Hypothesis("outputs of one length", f"{one} and {other}", one == other)


def gradient_is_lipschitz(
    given: Given, arithmetic: Arithmetic, *, loss: str, times: str = "1", tau: str | None = None
) -> Finding:
    """`|g(f) - g(f')|^2 <= tau^2 |f - f'|^2` with the library's tau times a factor, or another."""
    library, _, _ = LOSSES[loss]
    known = str(sympy.Rational(library(given).smoothness)) if tau is None else tau
    constant = arithmetic.number(known) * arithmetic.number(times)
    apart, moved = _pair(given, loss, arithmetic)
    left, right = moved @ moved, constant**2 * (apart @ apart)
    return Finding(
        (_one_length(given),),
        f"|g - g'|^2 is at most tau^2 |f - f'|^2 for tau = {show(constant)}",
        f"|g - g'|^2 = {show(left)}, tau^2 |f - f'|^2 = {show(right)}",
        _at_most(left, right, apart @ apart),
    )


def gradient_is_monotone(
    given: Given, arithmetic: Arithmetic, *, loss: str, times: str = "1", more: str = "0"
) -> Finding:
    """`<g(f) - g(f'), f - f'> >= mu |f - f'|^2` with the library's mu, times a factor, plus more.

    With mu = 0 this is convexity.
    """
    library, _, _ = LOSSES[loss]
    known = arithmetic.number(str(sympy.Rational(library(given).strong_convexity)))
    mu = known * arithmetic.number(times) + arithmetic.number(more)
    apart, moved = _pair(given, loss, arithmetic)
    left, right = mu * (apart @ apart), moved @ apart
    return Finding(
        (_one_length(given),),
        f"<g - g', f - f'> is at least mu |f - f'|^2 for mu = {show(mu)}",
        f"<g - g', f - f'> = {show(right)}, mu |f - f'|^2 = {show(left)}",
        _at_most(left, right, apart @ apart),
    )


def residual_is_bounded(
    given: Given, arithmetic: Arithmetic, *, loss: str, times: str = "1"
) -> Finding:
    """`|g(f)| >= mu |f - y|` with the library's mu, times a factor: y is where g is zero."""
    library, _, _ = LOSSES[loss]
    known = arithmetic.number(str(sympy.Rational(library(given).strong_convexity)))
    mu = known * arithmetic.number(times)
    f, y = (_outputs(given[name], loss, given, arithmetic) for name in ("f", "target"))
    g = gradient_of(loss, f, given, arithmetic)
    left, right = mu**2 * ((f - y) @ (f - y)), g @ g
    return Finding(
        (Hypothesis("mu is above zero", show(mu), mu > 0),),
        f"|g|^2 is at least mu^2 |f - y|^2 for mu = {show(mu)}",
        f"|g|^2 = {show(right)}, mu^2 |f - y|^2 = {show(left)}",
        _at_most(left, right, (f - y) @ (f - y)),
    )


def _at_most(x: Any, y: Any, size: Any) -> bool:
    """Whether x <= y: exactly, or for floats up to rounding in terms of this size."""
    if isinstance(x, float) or isinstance(y, float):
        return bool(x <= y + ROUNDING * size)
    return bool(sympy.expand(y - x) >= 0)


LAWS: dict[str, Law] = {
    "gradient is Lipschitz, ten: absolute": partial(
        gradient_is_lipschitz, loss="absolute", tau="10"
    ),
}
for _loss in SMOOTH:
    LAWS |= {
        f"gradient is Lipschitz: {_loss}": partial(gradient_is_lipschitz, loss=_loss),
        f"gradient is Lipschitz, 1 % better: {_loss}": partial(
            gradient_is_lipschitz, loss=_loss, times="99/100"
        ),
        f"gradient is monotone: {_loss}": partial(gradient_is_monotone, loss=_loss),
    }
    if _loss in STRONG:
        LAWS |= {
            f"gradient is monotone, 1 % more: {_loss}": partial(
                gradient_is_monotone, loss=_loss, times="101/100"
            ),
            f"gradient bounds the residual: {_loss}": partial(residual_is_bounded, loss=_loss),
            f"gradient bounds the residual, 1 % more: {_loss}": partial(
                residual_is_bounded, loss=_loss, times="101/100"
            ),
        }
    else:
        LAWS[f"gradient is strongly monotone: {_loss}"] = partial(
            gradient_is_monotone, loss=_loss, more="1/10"
        )


def _numbers(size: int, top: int = 3) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-top, top), min_size=size, max_size=size)


def _cases(size: int, **extra: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    units = st.sampled_from(["1", "1/16", "4"])
    return st.fixed_dictionaries(
        {"f": _numbers(size), "other": _numbers(size), "unit": units, **extra}
    )


def _traded(f: list[int], by: int) -> list[int]:
    return [f[0] + by, f[1] - by]


_UNITS = "outputs of -3 to 3 times 1/16, 1 or 4"
_WEIGHTS = [
    _cases(
        size,
        target=_numbers(size),
        weights=st.lists(st.integers(1, 4), min_size=size, max_size=size),
    )
    for size in (1, 2, 3)
]
DOMAINS: dict[str, tuple[list[st.SearchStrategy[dict[str, Any]]], str]] = {
    "outputs and targets": (
        [_cases(1, target=_numbers(1))],
        f"float64, one output, {_UNITS}, times log 2 for exponentials",
    ),
    "weighted outputs": (_WEIGHTS, f"float64, 1 to 3 outputs, weights 1 to 4, {_UNITS}"),
    "labels": (
        [_cases(1, label=st.sampled_from([1, -1]))],
        f"float64, one output, labels -1 and 1, {_UNITS}, times log 2",
    ),
    "classes": (
        [
            # of two classes, one gains what the other loses: there the curvature is largest
            st.tuples(_cases(2, **{"class": st.integers(0, 1)}), st.integers(-3, 3)).map(
                lambda drawn: drawn[0] | {"other": _traded(drawn[0]["f"], drawn[1])}
            ),
            *(_cases(size, **{"class": st.integers(0, size - 1)}) for size in (2, 3)),
        ],
        f"float64, 2 or 3 classes, {_UNITS}, times log 2",
    ),
}
