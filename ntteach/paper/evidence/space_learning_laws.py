"""The problems of teaching and learning (Eqs. 3 and 4) as laws on small exact cases.

Functions are `f(s) = <w, s>`, of the kernel <s, t> on tokens (sequences of length one), and the
norm of f is that of w. A case is plain data: whole numbers and fractions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import hypothesis.strategies as st
import numpy as np
import sympy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, replayed, show
from ntteach.paper.evidence.gram import rank
from ntteach.paper.evidence.reduction_numbers import NOTHING, at_most
from ntteach.paper.evidence.space_numbers import (
    Given,
    gram,
    lists_of,
    numbers,
    vectors,
)

# --- Eq. 3 ---------------------------------------------------------------------------------------


def discrepancy(target: Array, examples: Array) -> Any:
    """`|f_hat - f*|^2` for the learner that fits the examples with the least norm.

    That is f* projected on the span of the examples; here by Gram and Schmidt.
    """
    rest, basis = target, []
    for s in examples:
        for u in basis:
            s = s - s @ u / (u @ u) * u
        if s @ s > (NOTHING if s.dtype == float else 0):
            basis.append(s)
            rest = rest - rest @ s / (s @ s) * s
    return rest @ rest


def costs(given: Given, arithmetic: Arithmetic) -> Iterator[tuple[int, Any]]:
    """Size and cost `M + lambda card` of every set of examples of a finite pool."""
    pool, target = numbers(given["pool"], arithmetic), numbers(given["target"], arithmetic)
    price = arithmetic.number(str(given["price"]))
    for size in range(len(pool) + 1):
        for chosen in combinations(range(len(pool)), size):
            yield size, discrepancy(target, pool[list(chosen)]) + price * size


def small_sets_are_enough(given: Given, arithmetic: Arithmetic, *, fewer: int = 0) -> Finding:
    """The least cost over all sets is reached by one of at most `M(empty) / lambda` examples.

    With `fewer` 1, of one example less than that many, this is false.
    """
    price = arithmetic.number(str(given["price"]))
    found = list(costs(given, arithmetic))
    largest = int(found[0][1] / price + (NOTHING if isinstance(price, float) else 0)) - fewer
    least = min(cost for _, cost in found)
    pruned = min((cost for size, cost in found if size <= largest), default=found[0][1])
    return Finding(
        (Hypothesis("lambda > 0", show(price), price > 0),),
        f"sets of at most {largest} examples reach the least cost, {show(least)}",
        f"the least cost of these is {show(pruned)}",
        at_most(pruned, least),
    )


def every_optimum_is_small(given: Given, arithmetic: Arithmetic, *, factor: str = "1") -> Finding:
    """No set of least cost has more than `M(empty) / lambda` examples; 99 in 100 of it is false."""
    price = arithmetic.number(str(given["price"]))
    found = list(costs(given, arithmetic))
    least = min(cost for _, cost in found)
    sizes = [size for size, cost in found if at_most(cost, least)]
    bound = found[0][1] / price * arithmetic.number(factor)
    return Finding(
        (Hypothesis("lambda > 0", show(price), price > 0),),
        f"no optimum has more than {show(bound)} examples",
        f"their sizes are {sorted(set(sizes))}",
        at_most(max(sizes) * arithmetic.number("1"), bound),
    )


def optimum_is_attained(given: Given, arithmetic: Arithmetic, *, count: int = 0) -> Finding:
    """Some set of examples of a pool without end has the least cost.

    The pool is `s_n = (n, height)` for n = 1, 2, ..., and f* has `w = (target, 0)`. One example
    s_n leaves `|f_hat - f*|^2 = (target height)^2 / (n^2 + height^2)`, two leave nothing. With a
    `count` the pool ends there, and this is true.
    """
    a, c = (arithmetic.number(str(given[x])) for x in ("target", "height"))
    price = arithmetic.number(str(given["price"]))
    target = np.array([a, 0 * a])
    shown = range(1, (count or 3) + 1)
    singles = [discrepancy(target, np.array([[n + 0 * a, c]])) + price for n in shown]
    # with c = 0 all examples point one way, and two are no better than one
    more = 2 * price + (0 * a if c != 0 else discrepancy(target, np.array([[a**0, c]])))
    reached = min(a**2, more, *singles)
    infimum = min(a**2, more, singles[-1] if count or a * c == 0 else price)
    pool = f"(n, {show(c)}) for n = 1 to {count}" if count else f"(n, {show(c)}) for n = 1, 2, ..."
    first = f"{show(a * a * c * c)}/(n^2 + {show(c * c)}) + {show(price)}"
    attained = at_most(reached, infimum)
    beyond = "" if attained else f" and falls without reaching {show(price)}"
    return Finding(
        (
            Hypothesis("lambda > 0", show(price), price > 0),
            Hypothesis("f* lies in the space and is not zero", f"w = ({show(a)}, 0)", a != 0),
        ),
        f"with the pool {pool} the infimum of the costs, {show(infimum)}, is the cost of some set",
        f"none costs {show(a * a)}, one {first}, which is "
        f"{', '.join(show(x) for x in singles)} for n = 1, 2, ...{beyond}; more cost at least "
        f"{show(more)}",
        attained,
    )


# --- Eq. 4 ---------------------------------------------------------------------------------------


def minimiser_exists(given: Given, arithmetic: Arithmetic, *, both: bool = False) -> Finding:
    """Some f has the least expected logistic loss, `log(1 + exp(-y f(S)))`, over its labels.

    One sequence S with `K(S, S) = own` and equally likely labels y. With `both`, that both labels
    occur is a hypothesis, and then this is true.
    """
    labels, own = given["labels"], arithmetic.number(str(given["own"]))
    share = arithmetic.number(f"{labels.count(1)}/{len(labels)}")
    other = 1 - share

    def slope(u: Any) -> Any:
        """The derivative of the expected loss by f(S) where exp(f(S)) = u."""
        return (other * u - share) / (1 + u)

    at = [arithmetic.number(text) for text in ("1/4", "1", "4")]
    slopes = ", ".join(show(slope(u)) for u in at)
    root = share / other if other != 0 else None
    exists = root is not None and root > 0 and abs(slope(root)) <= NOTHING
    hypotheses = [
        Hypothesis("labels are -1 or 1", str(labels), set(labels) <= {-1, 1}),
        Hypothesis("f(S) takes every value: K(S, S) > 0", show(own), own > 0),
    ]
    if both:
        seen = len(set(labels)) == 2
        hypotheses.append(Hypothesis("both labels occur", str(sorted(set(labels))), seen))
    where = f"it is zero at u = {show(root)}" if exists else "zero at no u > 0: the loss only falls"
    return Finding(
        tuple(hypotheses),
        "some f has the least expected loss, so the slope is zero there",
        f"with u = exp(f(S)) the slope by f(S) is ({show(other)} u - {show(share)}) / (1 + u), "
        f"that is {slopes} at u = 1/4, 1, 4; {where}",
        exists,
    )


def minimiser_is_unique(given: Given, arithmetic: Arithmetic, *, in_span: bool = False) -> Finding:
    """The squared loss on finitely many tokens, with targets from f*, has one minimiser.

    Another one is f* + u with u = 0 on the tokens. With `in_span`, u has to be a combination of
    the tokens' sections, and there is none.
    """
    S, w = numbers(given["tokens"], arithmetic), numbers(given["target"], arithmetic)
    dimensions = rank(gram(S, S)) if in_span else S.shape[1]
    seen = rank(S)
    u = _unseen(S) if dimensions > seen else None
    found = "no function that is not zero vanishes on all of them"
    if u is not None:
        found = (
            f"u(s) = <{show(u)}, s> is {show(S @ u)} on the tokens: f* + u has the values "
            f"{show(S @ (w + u))} and the loss 0 as well"
        )
    zero = any(not any(x != 0 for x in s) for s in S)
    return Finding(
        (
            Hypothesis("f* lies in the space", f"f*(s) = <{show(w)}, s>", len(w) == S.shape[1]),
            Hypothesis("no token is zero", show(S), not zero),
        ),
        "f* is the only function with the expected loss 0, the loss being (f - f*)^2 / 2",
        found,
        u is None,
    )


def _unseen(S: Array) -> Array:
    """A vector that is orthogonal to all tokens."""
    if S.dtype == float:
        return np.linalg.svd(S)[2][-1]
    return np.array(sympy.Matrix(S.tolist()).nullspace()[0], dtype=object).reshape(-1)


def target_is_a_minimiser(given: Given, arithmetic: Arithmetic, *, noise: int = 0) -> Finding:
    """With targets from f*, no f has a smaller expected loss; squared and Huber loss.

    With a `noise` that is added to the first target this is false.
    """
    S = numbers(given["tokens"], arithmetic)
    w, other = numbers(given["target"], arithmetic), numbers(given["other"], arithmetic)
    targets = S @ w
    targets[0] = targets[0] + noise

    def huber(x: Any) -> Any:
        size = abs(x)
        return x * x / 2 if size <= 1 else size - arithmetic.number("1/2")

    losses = {"squared": lambda x: x * x / 2, "Huber": huber}
    own, others = (
        [sum(loss(x) for x in S @ f - targets) / len(S) for loss in losses.values()]
        for f in (w, other)
    )
    return Finding(
        (Hypothesis("one token or more", str(len(S)), len(S) > 0),),
        f"no expected loss is below that of f*, {show(np.array(own))}",
        f"for <{show(other)}, s> they are {show(np.array(others))}",
        all(at_most(x, y) for x, y in zip(own, others, strict=True)),
    )


replay_optimum_is_attained = partial(replayed, optimum_is_attained)
replay_minimiser_exists = partial(replayed, minimiser_exists)
replay_minimiser_is_unique = partial(replayed, minimiser_is_unique)

LAWS: dict[str, Law] = {
    "small sets are enough": small_sets_are_enough,
    "smaller sets are enough": partial(small_sets_are_enough, fewer=1),
    "every optimum is small": every_optimum_is_small,
    "every optimum is smaller": partial(every_optimum_is_small, factor="99/100"),
    "optimum is attained": optimum_is_attained,
    "optimum is attained, finite pool": partial(optimum_is_attained, count=4),
    "minimiser exists": minimiser_exists,
    "minimiser exists, both labels": partial(minimiser_exists, both=True),
    "minimiser is unique": minimiser_is_unique,
    "minimiser is unique in the span": partial(minimiser_is_unique, in_span=True),
    "target is a minimiser": target_is_a_minimiser,
    "target is a minimiser, with noise": partial(target_is_a_minimiser, noise=2),
}


# --- domains -------------------------------------------------------------------------------------

_PRICES = st.sampled_from([1, 2, 3, "1/2", "1/4"])


def _pools(size: int, d: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"pool": lists_of(size, vectors(d)), "target": vectors(d), "price": _PRICES}
    )


def _training(r: int, d: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"tokens": lists_of(r, vectors(d)), "target": vectors(d), "other": vectors(d)}
    )


_ENDLESS = st.fixed_dictionaries(
    {"target": st.integers(0, 2), "height": st.integers(0, 2), "price": _PRICES}
)
_LABELS = st.fixed_dictionaries(
    {
        "labels": st.lists(st.sampled_from([1, -1]), min_size=1, max_size=3),
        "own": st.integers(1, 2),
    }
)

DOMAINS: dict[str, tuple[list[st.SearchStrategy[dict[str, Any]]], str]] = {
    "pools": (
        [_pools(size, d) for size, d in ((1, 1), (2, 1), (2, 2), (3, 2), (4, 3))],
        "float64, 1 to 4 examples in 1 to 3 dimensions, entries -2 to 2, lambda 1/4 to 3",
    ),
    "endless pools": (
        [_ENDLESS],
        "examples (n, 0), (n, 1) or (n, 2), n = 1, 2, ..., lambda 1/4 to 3",
    ),
    "training tokens": (
        [_training(r, d) for r, d in ((1, 1), (2, 1), (1, 2), (2, 2), (2, 3))],
        "float64, 1 or 2 tokens in 1 to 3 dimensions, entries -2 to 2",
    ),
    "labels of one sequence": ([_LABELS], "1 to 3 labels, K(S, S) of 1 or 2"),
}
