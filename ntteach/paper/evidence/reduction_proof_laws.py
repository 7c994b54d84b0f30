"""The steps of the proof of Proposition 4 (Eqs. 64-74) as laws on a given case.

One step of functional gradient descent is `w = -eta Kbar g`; with `u` for the change of the
gradients along it, the proof calls

    Xi = <g_next, w> / n,    square_1 = g^T Kbar g,    square_2 = u^T Kbar u.

Each law supposes what the proposition does. `times` makes a law false by a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis.strategies import SearchStrategy

from ntteach.claims import Hypothesis
from ntteach.paper.evidence.arithmetic import Arithmetic, Array, Finding, Law, replayed, show
from ntteach.paper.evidence.reduction_cases import Case, proposition, read_case
from ntteach.paper.evidence.reduction_draws import telling_cases
from ntteach.paper.evidence.reduction_numbers import at_most, form, spelled, sum_of, tidy

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One step from a case: the step of the outputs, and the gradients after it, `(n,)` each."""

    case: Case
    w: Array
    g_next: Array

    @property
    def u(self) -> Array:
        """How the gradients change."""
        return self.g_next - self.case.g

    @property
    def Xi(self) -> Any:
        """The inner product of Eq. 64."""
        return tidy(self.g_next @ self.w / self.case.n)

    @property
    def square_1(self) -> Any:
        """g^T Kbar g."""
        return form(self.case.g, self.case.Kbar, self.case.g)

    @property
    def square_2(self) -> Any:
        """u^T Kbar u."""
        return form(self.u, self.case.Kbar, self.u)


def take(case: Case) -> Step:
    """The step of a case."""
    w = -case.eta * (case.Kbar @ case.g)
    return Step(case, w, case.slope(case.residuals + w))


def _read(given: Given, arithmetic: Arithmetic) -> tuple[Step, tuple[Hypothesis, ...]]:
    case = read_case(given, arithmetic)
    return take(case), proposition(case)


def _told(step: Step) -> str:
    return (
        f"g = {show(step.case.g)}, w = -eta Kbar g = {show(step.w)}, then "
        f"g_next = {show(step.g_next)}"
    )


def convexity_bounds_the_change(
    given: Given, arithmetic: Arithmetic, *, now: bool = False, times: str = "1"
) -> Finding:
    """(64) Neither the change of the loss nor its derivative along the step is above Xi.

    With `now`, the gradient is taken before the step, which turns the inequality around.
    """
    step, hypotheses = _read(given, arithmetic)
    case = step.case
    moved = case.losses(case.residuals + step.w) - case.losses(case.residuals)
    change, derivative = sum_of(moved) / case.n, case.g @ step.w / case.n
    right = derivative if now else arithmetic.number(times) * step.Xi
    return Finding(
        hypotheses,
        f"change and derivative of the loss are at most Xi = {show(right)}",
        f"{_told(step)}: change {show(change)}, derivative {show(derivative)}",
        at_most(change, right) and at_most(derivative, right),
    )


def inner_product_in_features(given: Given, arithmetic: Arithmetic, *, times: str = "1") -> Finding:
    """(65) Xi = -(eta / n) g^T Kbar g_next."""
    step, hypotheses = _read(given, arithmetic)
    case = step.case
    right = -arithmetic.number(times) * case.eta / case.n * form(case.g, case.Kbar, step.g_next)
    return _equal(hypotheses, step.Xi, right, step)


def rearranged(given: Given, arithmetic: Arithmetic, *, times: str = "1") -> Finding:
    """(66) and (67) put together: Xi by square_1, square_2 and the square of g_next - g / 2."""
    step, hypotheses = _read(given, arithmetic)
    case = step.case
    rest = step.g_next - case.g / 2
    bracket = step.square_2 - form(rest, case.Kbar, rest) + step.square_1 / 4
    right = -case.eta / case.n * (step.square_1 - arithmetic.number(times) * bracket)
    return _equal(hypotheses, step.Xi, tidy(right), step)


def _equal(hypotheses: tuple[Hypothesis, ...], left: Any, right: Any, step: Step) -> Finding:
    same = at_most(left, right) and at_most(right, left)
    return Finding(hypotheses, f"Xi = {show(right)}", f"{_told(step)}: Xi = {show(left)}", same)


def square_dropped(given: Given, arithmetic: Arithmetic, *, times: str = "1") -> Finding:
    """(68) Xi <= -(3/4) (eta / n) square_1 + (eta / n) square_2."""
    step, hypotheses = _read(given, arithmetic)
    rate = step.case.eta / step.case.n
    three_quarters = arithmetic.number(times) * 3 / 4
    right = tidy(rate * (step.square_2 - three_quarters * step.square_1))
    return Finding(
        hypotheses,
        f"Xi <= {show(right)}",
        f"{_told(step)}: Xi = {show(step.Xi)}",
        at_most(step.Xi, right),
    )


def smooth_within_the_form(given: Given, arithmetic: Arithmetic) -> Finding:
    """(69) square_2 = u^T Kbar u <= tau^2 w^T Kbar w, as |u_i| <= tau |w_i| for each i."""
    step, hypotheses = _read(given, arithmetic)
    case = step.case
    right = tidy(case.tau**2 * form(step.w, case.Kbar, step.w))
    entries = all(at_most(x, y) for x, y in zip(step.u**2, (case.tau * step.w) ** 2, strict=True))
    return Finding(
        (*hypotheses, Hypothesis("|u_i| <= tau |w_i|", f"u = {show(step.u)}", entries)),
        f"u^T Kbar u <= tau^2 w^T Kbar w, where w^T Kbar w = {spelled(step.w, case.Kbar)}",
        f"{_told(step)}: u = {show(step.u)}, u^T Kbar u = {spelled(step.u, case.Kbar)}",
        at_most(step.square_2, right),
    )


def square_bounded_by_the_sum(given: Given, arithmetic: Arithmetic) -> Finding:
    """(70) square_1 <= (gamma / n) (sum g)^2."""
    step, hypotheses = _read(given, arithmetic)
    right = _by_the_sum(step.case)
    return Finding(
        hypotheses,
        f"g^T Kbar g <= (gamma / n) (sum g)^2 = {show(right)}",
        f"for g = {show(step.case.g)}, g^T Kbar g = {spelled(step.case.g, step.case.Kbar)}",
        at_most(step.square_1, right),
    )


def square_replaced_by_its_bound(given: Given, arithmetic: Arithmetic) -> Finding:
    """(70), as it is used: -(3/4) (eta / n) square_1 <= -(3/4) (eta / n) (gamma / n) (sum g)^2."""
    step, hypotheses = _read(given, arithmetic)
    factor = -3 * step.case.eta / (4 * step.case.n)
    left, right = tidy(factor * step.square_1), tidy(factor * _by_the_sum(step.case))
    return Finding(
        hypotheses,
        f"-(3/4) (eta / n) g^T Kbar g <= -(3/4) (eta / n) (gamma / n) (sum g)^2 = {show(right)}",
        f"for g = {show(step.case.g)}, g^T Kbar g = "
        f"{spelled(step.case.g, step.case.Kbar)}, and the left side is "
        f"{show(left)}",
        at_most(left, right),
    )


def _by_the_sum(case: Case) -> Any:
    return tidy(case.gamma * sum_of(case.g) ** 2 / case.n)


def change_bounded_by_the_sum(given: Given, arithmetic: Arithmetic) -> Finding:
    """(71) square_2 <= eta^2 tau^2 gamma^3 (sum g)^2 / n."""
    step, hypotheses = _read(given, arithmetic)
    case = step.case
    right = tidy((case.eta * case.tau * case.gamma) ** 2 * _by_the_sum(case))
    return Finding(
        hypotheses,
        f"u^T Kbar u <= eta^2 tau^2 gamma^3 (sum g)^2 / n = {show(right)}",
        f"{_told(step)}: u = {show(step.u)}, u^T Kbar u = {spelled(step.u, case.Kbar)}",
        at_most(step.square_2, right),
    )


def combined(given: Given, arithmetic: Arithmetic) -> Finding:
    """(72), (73) dL/dt <= Xi <= -eta gamma (3/4 - eta^2 tau^2 gamma^2) (mean g)^2."""
    step, hypotheses = _read(given, arithmetic)
    right = _last(step.case, arithmetic)
    derivative = tidy(step.case.g @ step.w / step.case.n)
    return Finding(
        hypotheses,
        f"dL/dt <= Xi <= -eta gamma (3/4 - eta^2 tau^2 gamma^2) (mean g)^2 = {show(right)}",
        f"{_told(step)}: dL/dt = <g, w> / {step.case.n} = {show(derivative)}, Xi = <g_next, w> / "
        f"{step.case.n} = {show(step.Xi)}",
        at_most(derivative, step.Xi) and at_most(step.Xi, right),
    )


def _last(case: Case, arithmetic: Arithmetic) -> Any:
    """The right side of Eq. 73."""
    three_quarters = arithmetic.number("3/4")
    factor = three_quarters - (case.eta * case.tau * case.gamma) ** 2
    return tidy(-case.eta * case.gamma * factor * (sum_of(case.g) / case.n) ** 2)


def half_is_left(given: Given, arithmetic: Arithmetic, *, times: str = "1") -> Finding:
    """(74) The right side of Eq. 73 is at most that of Eq. 19."""
    step, hypotheses = _read(given, arithmetic)
    case = step.case
    half = arithmetic.number(times) * case.eta * case.gamma / 2
    left, right = _last(case, arithmetic), tidy(-half * (sum_of(case.g) / case.n) ** 2)
    return Finding(
        hypotheses,
        f"the right side of Eq. 73 is at most {show(right)}",
        f"it is {show(left)}",
        at_most(left, right),
    )


_MORE = "101/100"
LAWS: dict[str, Law] = {
    "step 64": convexity_bounds_the_change,
    "step 64, the gradient before": partial(convexity_bounds_the_change, now=True),
    "step 64, one per cent more": partial(convexity_bounds_the_change, times=_MORE),
    "step 65": inner_product_in_features,
    "step 65, one per cent more": partial(inner_product_in_features, times=_MORE),
    "steps 66-67": rearranged,
    "steps 66-67, one per cent more": partial(rearranged, times=_MORE),
    "step 68": square_dropped,
    "step 68, one per cent more": partial(square_dropped, times=_MORE),
    "step 69": smooth_within_the_form,
    "step 70": square_bounded_by_the_sum,
    "step 70 as used": square_replaced_by_its_bound,
    "step 71": change_bounded_by_the_sum,
    "steps 72-73": combined,
    "step 74": half_is_left,
    "step 74, one per cent more": partial(half_is_left, times=_MORE),
}


@st.composite
def _steps(draw: st.DrawFn, n: int) -> dict[str, Any]:
    """Huber's loss beside the squared one: a delta of 99 is never reached."""
    return {**draw(telling_cases(n, "residuals")), "delta": draw(st.sampled_from([99, 2, 1]))}


@st.composite
def _one_cut(draw: st.DrawFn) -> dict[str, Any]:
    """A loss that is curved at one output and a line at the other."""
    off = draw(st.sampled_from([1, -1, 2, -2]))
    return {
        "K": [[draw(st.sampled_from([3, 4, 5, 2])), off], [off, draw(st.sampled_from([1, 2]))]],
        "residuals": [draw(st.sampled_from([1, -1, 2, -2])), draw(st.sampled_from([3, -3]))],
        "delta": 2,
    }


DOMAINS: dict[str, tuple[list[SearchStrategy[dict[str, Any]]], str]] = {
    "steps": (
        [_steps(1), _steps(2)],
        "n to 2 outputs, K = J J^T with a triangle J, entries to 3, residuals from -3 to "
        "3, or such that cancel, or along K^-1 1, squared loss or Huber's with delta 1 or 2",
    ),
    "steps, one residual cut": (
        [_one_cut()],
        "2 outputs, K with 2 to 5 and 1 or 2 on the diagonal, -2 to 2 off it, Huber's loss with "
        "delta 2, one residual up to 2 and one of 3",
    ),
}

replay_smooth_within_the_form = partial(replayed, smooth_within_the_form)
replay_square_bounded_by_the_sum = partial(replayed, square_bounded_by_the_sum)
replay_square_replaced_by_its_bound = partial(replayed, square_replaced_by_its_bound)
replay_change_bounded_by_the_sum = partial(replayed, change_bounded_by_the_sum)
replay_combined = partial(replayed, combined)
