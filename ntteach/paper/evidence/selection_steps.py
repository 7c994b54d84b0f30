"""What a step on chosen sequences does, to first order: to the loss of all, and how it compares.

A case is one of `reduction_cases`, each output a sequence of its own, with `size`, the number m of
sequences that Eq. 21 chooses; or an attention learner, with `sequences`, weights and `targets`,
whose outputs are its sequences' elements. The loss is squared, so that Eqs. 20 and 21 choose alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ntteach.checks.replay import must_refute
from ntteach.claims import Claim, Counterexample, Evidence, Hypothesis, Setting
from ntteach.paper.evidence import reduction_cases
from ntteach.paper.evidence.arithmetic import (
    Arithmetic,
    Array,
    Finding,
    Law,
    output,
    regular,
    replayed,
    show,
)
from ntteach.paper.evidence.gram import features, is_singular, seen
from ntteach.paper.evidence.kernel_laws import sequences
from ntteach.paper.evidence.reduction_cases import Case
from ntteach.paper.evidence.reduction_numbers import at_most, form, matrix, tidy
from ntteach.paper.evidence.selection_choices import Choice, best, choices, fits, largest, named
from ntteach.paper.evidence.selection_controls import LEARNERS

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Choosing:
    """A case with its outputs sorted by sequence, `per` for each, and the number m to choose."""

    case: Case
    size: int
    per: int
    about: tuple[Hypothesis, ...]

    @property
    def count(self) -> int:
        """N, the number of sequences."""
        return self.case.n // self.per

    @property
    def scores(self) -> list[Any]:
        """The squared norm of each sequence's loss gradients."""
        return [tidy(g @ g) for g in self.case.g.reshape(self.count, self.per)]

    def taken(self, chosen: Choice) -> Array:
        """The loss gradients, zero for sequences that are not chosen."""
        g = self.case.g.reshape(self.count, self.per).copy()
        for i in set(range(self.count)) - set(chosen):
            g[i] = 0 * g[i]
        return g.flatten()

    def rate(self, chosen: Choice) -> Any:
        """`g^T K g_A`: how fast the summed loss falls where the chosen are followed."""
        return form(self.case.g, self.case.K, self.taken(chosen))

    def norm(self, chosen: Choice) -> Any:
        """`g_A^T K g_A`, the squared norm of the functional gradient of the chosen."""
        return form(self.taken(chosen), self.case.K, self.taken(chosen))

    @property
    def greedy(self) -> list[Choice]:
        """What Eq. 21 chooses."""
        return largest(self.scores, self.size)


def read_choosing(given: Given, arithmetic: Arithmetic) -> Choosing:
    """A case from its data."""
    if "sequences" not in given:
        return Choosing(reduction_cases.read_case(given, arithmetic), given["size"], 1, ())
    first, *others = given["sequences"]
    problems = sequences({**given, "S": first, "others": others}, arithmetic)
    J = features(problems)
    targets = matrix(given["targets"], arithmetic)
    residuals = np.concatenate([output(p)[:, 0] for p in problems]) - targets.flatten()
    rows = {"g": [show_exact(x) for x in residuals], "eta": given["eta"]}
    case = reduction_cases.read_case(rows, arithmetic, J @ J.T)
    lengths = {p.length for p in problems}
    about = (
        *regular(problems[0]),
        Hypothesis("sequences of one length", str(sorted(lengths)), len(lengths) == 1),
    )
    return Choosing(case, given["size"], problems[0].length, about)


def show_exact(x: Any) -> str:
    """A number such that nothing is lost when it is read again."""
    return repr(x) if isinstance(x, float) else str(x)


def decided(choosing: Choosing) -> tuple[Hypothesis, ...]:
    """The paper's hypotheses, and that Eq. 21 leaves no tie to break."""
    greedy, case = choosing.greedy, choosing.case
    return (
        *choosing.about,
        reduction_cases.smooth(case),
        reduction_cases.symmetric(case.K),
        _definite(choosing),
        reduction_cases.bounded(case),
        reduction_cases.slow(case),
        fits(choosing.count, choosing.size),
        Hypothesis(
            "Eq. 21 chooses one subset",
            f"squared residuals {show(np.array(choosing.scores, dtype=object))}: {named(greedy)}",
            len(greedy) == 1,
        ),
    )


def _definite(choosing: Choosing) -> Hypothesis:
    if not choosing.about:
        return reduction_cases.definite(choosing.case.K)
    # pivots of numbers with log 2 in them are quotients; a Gram matrix is definite if regular
    K = choosing.case.K
    return Hypothesis("K is positive definite", f"a Gram matrix, {seen(K)}", not is_singular(K))


def subset_step_spares_the_rest(
    given: Given, arithmetic: Arithmetic, *, all_chosen: bool = False
) -> Finding:
    """A step on the sequences that Eq. 21 chooses does not raise the loss of all, to first order.

    With `all_chosen`, m = N, this is true.
    """
    choosing = read_choosing(given, arithmetic)
    if all_chosen:
        choosing = Choosing(choosing.case, choosing.count, choosing.per, choosing.about)
    case = choosing.case
    hypotheses = decided(choosing)
    moving = any(x != 0 for x in case.g)
    hypotheses += (Hypothesis("some residual is not zero", show(case.g), moving),)
    if not hypotheses[-2].met:
        return Finding(hypotheses, "the loss does not rise", "no single choice", True)
    (chosen,) = choosing.greedy
    rate, taken = choosing.rate(chosen), choosing.taken(chosen)
    taught = choosing.size * choosing.per
    after = tidy_all(case.residuals - case.eta / taught * (case.K @ taken))
    before, then = (tidy(x @ x / 2) for x in (case.residuals, after))
    speed = tidy(-case.eta / (taught * case.n) * rate)
    return Finding(
        hypotheses,
        "g^T K g_A >= 0, so that dL/dt = -(eta / (m n)) g^T K g_A <= 0",
        f"g = {show(case.g)}, g_A = {show(taken)}, K g_A = {show(tidy_all(case.K @ taken))}, "
        f"g^T K g_A = {show(rate)}, dL/dt = -{show(case.eta)} / ({taught} * {case.n}) * "
        f"({show(rate)}) = {show(speed)}; a step of eta takes the residuals to {show(after)} and "
        f"the summed loss from {show(before)} to {show(then)}",
        at_most(0, rate),
    )


def tidy_all(x: Array) -> Array:
    """Every entry multiplied out."""
    return np.array([tidy(y) for y in x], dtype=x.dtype)


def norms_steepen_the_gradient(given: Given, arithmetic: Arithmetic) -> Finding:
    """The sequences of Eq. 20 have the largest norm of their functional gradient."""
    choosing = read_choosing(given, arithmetic)
    hypotheses = decided(choosing)
    by_norm = best(choosing.count, choosing.size, choosing.norm)
    greedy = choosing.greedy
    values = ", ".join(
        f"{named([one])}: {show(choosing.norm(one))}"
        for one in choices(choosing.count, choosing.size)
    )
    return Finding(
        hypotheses,
        f"the largest |sum_x g_x K_x|^2 = g_A^T K g_A is that of {named(greedy)}",
        f"it is that of {named(by_norm)}; with g = {show(choosing.case.g)}, g_A^T K g_A is "
        f"{values}",
        greedy[0] in by_norm or not hypotheses[-1].met,
    )


def leverage_steepens_the_gradient(
    given: Given, arithmetic: Arithmetic, *, errors_alone: bool = False
) -> Finding:
    """Of single outputs, that with the largest K_ii g_i^2 has the largest functional gradient.

    With `errors_alone`, that of the largest g_i^2 is meant, which is false.
    """
    choosing = read_choosing({**given, "size": 1}, arithmetic)
    case = choosing.case
    by_norm = best(choosing.count, 1, choosing.norm)
    lengths = [1] * case.n if errors_alone else case.K.diagonal()
    by_score = largest([tidy(k * g**2) for k, g in zip(lengths, case.g, strict=True)], 1)
    return Finding(
        (Hypothesis("one output for each sequence", str(choosing.per), choosing.per == 1),),
        f"the largest are {named(by_norm)}",
        f"the largest score is that of {named(by_score)}",
        by_norm == by_score,
    )


def isotropic_norms_agree(given: Given, arithmetic: Arithmetic, *, uneven: bool = False) -> Finding:
    """Where K is a multiple c of the identity, Eq. 20 chooses the steepest functional gradient.

    With `uneven`, the first sequence's entry is 4 c, and this is false.
    """
    c = arithmetic.number(str(given["c"]))
    n = len(given["g"])
    K = matrix([[int(i == j) for j in range(n)] for i in range(n)], arithmetic) * c
    if uneven:
        K[0, 0] = 4 * c
    case = reduction_cases.read_case(given, arithmetic, K)
    choosing = Choosing(case, given["size"], 1, ())
    by_norm = best(n, choosing.size, choosing.norm)
    return Finding(
        (
            fits(n, choosing.size),
            Hypothesis("K is a positive multiple of the identity", f"c = {show(c)}", bool(c > 0)),
        ),
        f"the steepest are {named(by_norm)}",
        f"Eq. 20 chooses {named(choosing.greedy)}",
        by_norm == choosing.greedy,
    )


def norms_steepen_up_to_the_condition(
    given: Given, arithmetic: Arithmetic, *, better: str = "1"
) -> Finding:
    """What Eq. 20 chooses has a squared norm of lambda / Lambda times the largest, or more.

    lambda and Lambda are the extreme eigenvalues of K, in floats; with `better` a larger number
    before their quotient, this is false.
    """
    choosing = read_choosing(given, arithmetic)
    values = np.linalg.eigvalsh(choosing.case.K.astype(float)).tolist()
    least = min(choosing.norm(one) for one in choosing.greedy)
    largest_norm = choosing.norm(best(choosing.count, choosing.size, choosing.norm)[0])
    needed = float(arithmetic.number(better)) * values[0] * float(largest_norm)
    return Finding(
        (
            fits(choosing.count, choosing.size),
            reduction_cases.definite(choosing.case.K),
        ),
        f"{show(values[-1])} times what Eq. 20 chooses is at least {show(needed)}",
        f"it chooses {show(least)}",
        at_most(needed, values[-1] * float(least)),
    )


def greedy_is_steepest(given: Given, arithmetic: Arithmetic, *, weighed: bool = False) -> Finding:
    """No other choice of m lowers the loss of all faster, to first order, than that of Eq. 21.

    With `weighed` the choice is that by the scores `<g_i, (K g)_i>`, and this is true.
    """
    choosing = read_choosing(given, arithmetic)
    case = choosing.case
    best_choices = best(choosing.count, choosing.size, choosing.rate)
    if weighed:
        influence = (case.K @ case.g * case.g).reshape(choosing.count, choosing.per)
        by_score = largest([tidy(sum(row)) for row in influence], choosing.size)
        return Finding(
            (*choosing.about, fits(choosing.count, choosing.size)),
            f"the fastest are {named(best_choices)}",
            f"<g_i, (K g)_i> chooses {named(by_score)}",
            by_score == best_choices,
        )
    hypotheses = decided(choosing)
    diagonal = case.K.diagonal()
    values = ", ".join(
        f"{named([one])}: {show(choosing.rate(one))}"
        for one in choices(choosing.count, choosing.size)
    )
    return Finding(
        (
            *hypotheses,
            Hypothesis(
                "no output has a larger K_ii than another",
                show(diagonal),
                all(at_most(diagonal[0], x) and at_most(x, diagonal[0]) for x in diagonal),
            ),
        ),
        f"-dL/dt, a multiple of g^T K g_A, is largest for {named(choosing.greedy)}",
        f"it is largest for {named(best_choices)}; with g = {show(case.g)}, "
        f"K g = {show(tidy_all(case.K @ case.g))}, g^T K g_A is {values}",
        choosing.greedy[0] in best_choices,
    )


def learner_does_it_too(claim: Claim, setting: Setting, *, learner: str) -> Evidence:
    """An attention learner with two tokens in each sequence, in the same replay, exactly.

    A refutation guarantees one such learner whose kernel is definite. The mutants are the same
    learner with other targets, and with all sequences taught.
    """
    assert claim.counterexample is not None, "a refuted claim stores its counterexample"
    given, others = LEARNERS[learner]
    return must_refute(Counterexample(claim.counterexample.replay, given), others)


LAWS: dict[str, Law] = {
    "a subset step does not raise the loss": subset_step_spares_the_rest,
    "a full step does not raise the loss": partial(subset_step_spares_the_rest, all_chosen=True),
    "norms steepen the gradient": norms_steepen_the_gradient,
    "leverage steepens the gradient": leverage_steepens_the_gradient,
    "errors alone steepen the gradient": partial(leverage_steepens_the_gradient, errors_alone=True),
    "norms steepen the gradient up to the condition": norms_steepen_up_to_the_condition,
    "norms steepen the gradient, one percent better": partial(
        norms_steepen_up_to_the_condition, better="101/100"
    ),
    "norms steepen the gradient, K isotropic": isotropic_norms_agree,
    "norms steepen the gradient, K uneven": partial(isotropic_norms_agree, uneven=True),
    "greedy is steepest": greedy_is_steepest,
    "the kernel's choice is steepest": partial(greedy_is_steepest, weighed=True),
}

replay_subset_step_spares_the_rest = partial(replayed, subset_step_spares_the_rest)
replay_norms_steepen_the_gradient = partial(replayed, norms_steepen_the_gradient)
replay_greedy_is_steepest = partial(replayed, greedy_is_steepest)
