"""When a step on chosen sequences lowers the loss of all: bounds, on one exact case.

The kernel is `J J^T + c`, given by `J` and `c`, so that every eigenvalue of a part of it is at
least c. The loss gradients are `g`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Finding, Law, show
from ntteach.paper.evidence.reduction_numbers import at_most, form, matrix, tidy, vector
from ntteach.paper.evidence.selection_choices import best, choices, fits, largest, named
from ntteach.paper.evidence.selection_descent import kept

Given = Mapping[str, Any]


def subset_rate_is_bounded(
    given: Given, arithmetic: Arithmetic, *, better: str = "1", bound: str = "both terms"
) -> Finding:
    """For every choice, `g^T K g_A >= |g_A| (lambda |g_A| - |B| |g_R|)`, and > 0 if that is.

    lambda is K_ii for a single output and c for more; |B| is the Frobenius norm of the block
    between the rest and the chosen, no less than its largest singular value. With `better` a larger
    number, |B| is as much smaller; with `bound` "first term" it is left out, with "plus" added:
    then this is false.
    """
    J, g = matrix(given["J"], arithmetic), vector(given["g"], arithmetic)
    c, n, size = arithmetic.number(str(given["c"])), len(given["g"]), given["size"]
    identity = matrix([[int(i == j) for j in range(n)] for i in range(n)], arithmetic)
    K = J @ J.T + c * identity
    failing = []
    for chosen in choices(n, size):
        rest = [i for i in range(n) if i not in chosen]
        taken = kept(g, chosen)
        own, left = taken @ taken, g @ g - taken @ taken
        least = K[chosen[0], chosen[0]] if size == 1 else c
        block = sum((K[i, j] ** 2 for i in rest for j in chosen), 0 * c)
        rate = form(g, K, taken)
        # rate - lambda |g_A|^2 >= -|B| |g_R| |g_A|, squared where the left side is negative
        missing = tidy(least * own - rate) * arithmetic.number(better)
        allowed = {"both terms": 1, "first term": 0, "plus": -1}[bound] * block * left * own
        if missing > 0 and not at_most(missing**2, tidy(allowed)):
            failing.append(f"{named([chosen])}: rate {show(rate)}")
        if bound == "plus" and not at_most(block * left * own, tidy(missing**2)):
            failing.append(f"{named([chosen])}: rate {show(rate)}")
    return Finding(
        (fits(n, size), Hypothesis("c > 0", show(c), bool(c > 0))),
        "the rate is no less than lambda |g_A|^2 - |B| |g_A| |g_R|",
        "; ".join(failing) or "it is not",
        not failing,
    )


def condition_suffices(given: Given, arithmetic: Arithmetic, *, weaker: str = "1") -> Finding:
    """A step on output 1 lowers the loss of all if `K_11 |g_1| > |B| |g_R|`.

    With `weaker` below 1, the left side need be more than this share of the right side only, which
    is not enough.
    """
    J, g = matrix(given["J"], arithmetic), vector(given["g"], arithmetic)
    K = J @ J.T
    own, left = (K[0, 0] * g[0]) ** 2, (K[0, 1:] @ K[0, 1:]) * (g[1:] @ g[1:])
    rate = form(g, K, kept(g, (0,)))
    needed = arithmetic.number(weaker) ** 2 * left
    return Finding(
        (
            Hypothesis("two outputs or more", str(len(g)), len(g) >= 2),
            Hypothesis(
                "K_11 |g_1| > |B| |g_R|",
                f"squared, {show(tidy(own))} > {show(tidy(needed))}",
                not at_most(own, needed),
            ),
        ),
        "g^T K g_A > 0",
        f"it is {show(rate)}",
        not at_most(rate, 0),
    )


def greedy_has_the_largest_share(
    given: Given, arithmetic: Arithmetic, *, smallest: bool = False
) -> Finding:
    """Of all choices of m < N, that of Eq. 20 makes `|g_A| / |g_R|` largest.

    With `smallest`, the choice of the smallest gradients is meant, which is false.
    """
    g, size = vector(given["g"], arithmetic), given["size"]
    whole, sign = g @ g, -1 if smallest else 1

    def share(chosen: tuple[int, ...]) -> Any:
        # infinite where nothing is left: more than any share of whole numbers
        own = kept(g, chosen) @ kept(g, chosen)
        return own / (whole - own) if whole > own else 2 * whole + 1

    by_share = best(len(g), size, share)
    greedy = largest([sign * x * x for x in g], size)
    return Finding(
        (
            fits(len(g), size),
            Hypothesis("some gradient is not zero", show(g), any(x != 0 for x in g)),
        ),
        f"the largest share is that of {named(by_share)}",
        f"the choice is {named(greedy)}",
        by_share == greedy,
    )


LAWS: dict[str, Law] = {
    "subset rate is bounded": subset_rate_is_bounded,
    "subset rate is bounded, one percent better": partial(subset_rate_is_bounded, better="101/100"),
    "subset rate is bounded by its first term": partial(subset_rate_is_bounded, bound="first term"),
    "subset rate is bounded, sign turned": partial(subset_rate_is_bounded, bound="plus"),
    "the condition suffices": condition_suffices,
    "the condition suffices, one percent weaker": partial(condition_suffices, weaker="99/100"),
    "greedy has the largest share": greedy_has_the_largest_share,
    "the smallest have the largest share": partial(greedy_has_the_largest_share, smallest=True),
}
