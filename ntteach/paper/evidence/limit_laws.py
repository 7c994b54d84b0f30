"""What Theorem 3 and its proof say of a canonical kernel, as laws about two runs on one case.

`given["training"]` are sequences, `given["gaps"]` what the targets ask for beyond the start's
outputs, y - f, row by row. The second start is `given["other"]`, with weights of its own, or the
first one's with `W_Q` times `given["factor"]` and `W_K` divided by it. K is the kernel of Eq. 15;
`given["probe"]` is a sequence for its second argument, the training set if there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import (
    BLOCKS,
    Arithmetic,
    Array,
    Finding,
    Law,
    Problem,
    read,
    regular,
    replayed,
    show,
)
from ntteach.paper.evidence.limit_flows import (
    WEIGHTS,
    Flow,
    features,
    fits,
    flow,
    is_nothing,
    outputs,
    runs_on_a_line,
    sequences,
    speed,
    tidy,
    vector,
)

Given = Mapping[str, Any]
FIRST, SECOND = "for the first start", "for the second start"


def starts(given: Given, arithmetic: Arithmetic) -> tuple[Flow, Flow]:
    """The two runs, on the same targets."""
    one = sequences(given, arithmetic)
    gaps = vector(given["gaps"], arithmetic, one[0].S)
    two = [_other(p, given, arithmetic) for p in one]
    targets = outputs(one) + gaps
    return flow(one, gaps), flow(two, tidy(targets - outputs(two)))


def _other(p: Problem, given: Given, arithmetic: Arithmetic) -> Problem:
    if "factor" in given:
        c = arithmetic.number(str(given["factor"]))
        return replace(p, W_Q=p.W_Q * c, W_K=p.W_K / c)
    weights = {W: given["other"].get(W, given[W]) for W in WEIGHTS}
    return replace(read({"S": given["training"][0], **weights}, arithmetic), S=p.S)


def cross_kernel(
    run: Flow, s: Any, given: Given, arithmetic: Arithmetic, names: Sequence[str] = BLOCKS
) -> Array:
    """K(S_i, probe) at W_V + s D, or what some weights add to it, `(n, outputs)`."""
    J = run.jacobian(s, names)
    if "probe" not in given:
        return tidy(J @ J.T)
    S = read({**given, "S": given["probe"]}, arithmetic).S
    return tidy(J @ features([replace(run.at(s)[0], S=S)], names).T)


def _in_parts(run: Flow, given: Given, arithmetic: Arithmetic, j: int, k: int) -> str:
    """One entry of the kernel in which a run ends, as a sum over the weights."""
    by_weight = [cross_kernel(run, run.end, given, arithmetic, (W,))[j, k] for W in BLOCKS]
    terms = " + ".join(f"{show(x)} by {W}" for W, x in zip(BLOCKS, by_weight, strict=True))
    J = run.jacobian(run.end)
    other = J if "probe" not in given else features(_probed(run, given, arithmetic))
    pair = f"[{_row(run, J[j])}]" + (
        "" if other is J and j == k else f" and [{_row(run, other[k])}]"
    )
    return f"{show(tidy(sum(by_weight)))} = {terms} (gradients {pair})"


def _row(run: Flow, gradient: Array) -> str:
    """A gradient, weight by weight."""
    columns = np.cumsum([getattr(run.start[0], W).size for W in BLOCKS])[:-1]
    return " | ".join(show(part)[1:-1] for part in np.split(gradient, columns))


def _probed(run: Flow, given: Given, arithmetic: Arithmetic) -> list[Problem]:
    S = read({**given, "S": given["probe"]}, arithmetic).S
    return [replace(run.at(run.end)[0], S=S)]


def common(given: Given, one: Flow, two: Flow) -> tuple[Hypothesis, ...]:
    """What every case of two runs has to meet."""
    lengths = [len(S) for S in given["training"]]
    return (
        *regular(one.start[0]),
        *(replace(h, name=f"{h.name} {SECOND}") for h in regular(two.start[0])[1:]),
        Hypothesis("sequences of one length", str(lengths), len({*lengths}) == 1),
        *runs_on_a_line(one, FIRST),
        fits(one, FIRST),
        *runs_on_a_line(two, SECOND),
        fits(two, SECOND),
    )


def one_product(one: Flow, two: Flow) -> Hypothesis:
    """One function at every time: the same W_V, moving alike, and the same W_Q W_K^T."""
    p, q = one.start[0], two.start[0]
    products = [tidy(x.W_Q @ x.W_K.T) for x in (p, q)]
    alike = is_nothing(products[0] - products[1]) and is_nothing(p.W_V - q.W_V)
    value = f"W_Q W_K^T is {show(products[0])} and {show(products[1])}"
    return Hypothesis("both runs are one function, at every time", value, alike)


def limit_is_one(
    given: Given, arithmetic: Arithmetic, *, equal_products: bool = False, values: bool = False
) -> Finding:
    """Two runs on one convex loss, whose derivative vanishes, end in the same K(S_i, .).

    With `equal_products` only runs that are one function are meant; with `values`, only what W_V
    adds to the kernel.
    """
    one, two = starts(given, arithmetic)
    names = ("W_V",) if values else BLOCKS
    K, other = (cross_kernel(run, run.end, given, arithmetic, names) for run in (one, two))
    j, k = _apart(K, other)
    return Finding(
        (*common(given, one, two), *((one_product(one, two),) if equal_products else ())),
        "there is one kernel K to which both K_theta^t(S_i, .) tend",
        f"for output {j + 1} of the training set and output {k + 1} of "
        f"{'the probe' if 'probe' in given else 'the training set'}, "
        f"one tends to {_in_parts(one, given, arithmetic, j, k)}, the other to "
        f"{_in_parts(two, given, arithmetic, j, k)}",
        arithmetic.same(K, other),
    )


def _apart(K: Array, other: Array) -> tuple[int, int]:
    """Where two kernels differ first, else the first entry."""
    places = np.argwhere([[not is_nothing(x) for x in row] for row in (K - other)[..., None]])
    return tuple(places[0]) if len(places) else (0, 0)


def contraction_is_one(
    given: Given, arithmetic: Arithmetic, *, by: str, equal_products: bool = False
) -> Finding:
    """For one K and both starts, what g^T [K - K_theta^t] leaves is small beside `by`.

    g = dL/df tends to zero along one direction, and by "velocity" what is left is compared with
    |d theta / dt| (Eqs. 59 and 60), by "direction" with |g|. Were it small for both starts, so
    would be the difference of the two, in which K does not occur. With `equal_products` only
    runs that are one function are meant.
    """
    one, two = starts(given, arithmetic)
    K, other = (cross_kernel(run, run.end, given, arithmetic) for run in (one, two))
    g = 0 - one.residuals
    n = len(g)
    left = tidy(g @ (K - other))
    place = _apart(left[None], 0 * left[None])[1]
    products = " + ".join(
        f"({show(x)}) ({show(a)} - {show(b)})"
        for x, a, b in zip(g, K[:, place], other[:, place], strict=True)
    )
    if by == "velocity":
        size = tidy(one.direction.flatten() @ one.direction.flatten())
        unit, square = f"(eta/{n}) e(t)", f"|d theta / dt|^2 = (eta/{n})^2 e(t)^2 {show(size)}"
        claimed = f"(eta/{n}) g^T [K - K_theta^t] is o(d theta / dt) for both starts"
    else:
        size = tidy(g @ g)
        unit, square = "e(t)", f"|g|^2 = e(t)^2 {show(size)}"
        claimed = "g^T [K - K_theta^t] / |g| tends to zero for both starts"
    same = tidy(outputs(one.start) - outputs(two.start))
    return Finding(
        (
            *common(given, one, two),
            Hypothesis(
                "one g at every time",
                f"outputs differ by {show(same)} at the start, rates are {show(one.rate)} and "
                f"{show(two.rate)}",
                is_nothing(same) and is_nothing(tidy(np.array([one.end - two.end]))),
            ),
            *((one_product(one, two),) if equal_products else ()),
        ),
        f"{claimed}, with one K",
        f"with e(t) = exp(-{speed(one)}eta t), the difference of the two, in which K "
        f"does not occur, tends to {unit} [{products}] = {unit} ({show(left[place])}), where "
        f"{square}",
        is_nothing(left),
    )


def bracket_vanishes(given: Given, arithmetic: Arithmetic, *, values: bool = False) -> Finding:
    """If g^T [K - K_theta^t] = 0 at every time and g tends to zero, K_theta^t tends to K.

    K is the kernel in which the second run ends. On the line the contraction is a polynomial of
    degree three in s at most, so that four zeros make it zero. With `values` only what W_V adds to
    the kernels is looked at.
    """
    one, two = starts(given, arithmetic)
    names = ("W_V",) if values else BLOCKS
    K = cross_kernel(two, two.end, given, arithmetic, names)
    brackets = [
        tidy(K - cross_kernel(one, s, given, arithmetic, names)) for s in (one.end, 0, 1, 2, 3)
    ]
    contracted = [
        tidy(0 - one.gap(s) @ bracket)
        for s, bracket in zip((0, 1, 2, 3), brackets[1:], strict=True)
    ]
    j, k = _apart(brackets[0], 0 * K)
    return Finding(
        (
            *common(given, one, two),
            Hypothesis(
                "Eqs. 59 to 62 hold, with no remainder",
                f"g^T [K - K_theta^t] at s = 0, 1, 2, 3 is {', '.join(map(show, contracted))}",
                all(map(is_nothing, contracted)),
            ),
        ),
        "K - K_theta^t tends to zero",
        f"entry {j + 1}, {k + 1} of K is {_in_parts(two, given, arithmetic, j, k)}, that of "
        f"K_theta^t tends to {_in_parts(one, given, arithmetic, j, k)}: K - K_theta^t tends to "
        f"{show(brackets[0][j, k])}",
        is_nothing(brackets[0]),
    )


LAWS: dict[str, Law] = {
    "limit is one": limit_is_one,
    "limit is one for one function": partial(limit_is_one, equal_products=True),
    "value part of the limit is one for one function": partial(
        limit_is_one, equal_products=True, values=True
    ),
    "evolutions are equal": partial(contraction_is_one, by="velocity"),
    "evolutions are equal for one function": partial(
        contraction_is_one, by="velocity", equal_products=True
    ),
    "contraction along g vanishes": partial(contraction_is_one, by="direction"),
    "contraction along g vanishes for one function": partial(
        contraction_is_one, by="direction", equal_products=True
    ),
    "bracket vanishes": bracket_vanishes,
    "value part of the bracket vanishes": partial(bracket_vanishes, values=True),
}

replay_limit_is_one = partial(replayed, limit_is_one)
replay_limit_is_one_for_one_function = partial(replayed, LAWS["limit is one for one function"])
replay_evolutions_are_equal = partial(replayed, LAWS["evolutions are equal"])
replay_contraction_along_g_vanishes = partial(replayed, LAWS["contraction along g vanishes"])
replay_bracket_vanishes = partial(replayed, bracket_vanishes)
