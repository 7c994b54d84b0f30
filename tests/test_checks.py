"""The tester is tested: each way of checking finds what is wrong, and says what it looked at."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given
from torch import Tensor

from ntteach.checks import agree as agree_module
from ntteach.checks import search as search_module
from ntteach.checks import trend as trend_module
from ntteach.checks.agree import agree, worst_margin
from ntteach.checks.replay import must_refute, replays
from ntteach.checks.search import breaks, has_violation, holds, smallest_violation
from ntteach.checks.trend import fit_slope, slope_is
from ntteach.claims import (
    Check,
    Counterexample,
    Evidence,
    Hypothesis,
    Mutant,
    Outcome,
    Registry,
    Replay,
    Verdict,
    run,
)
from ntteach.claims.verdict import judge
from ntteach.paper import registry

# --- agree ---------------------------------------------------------------------------------------


def tensor(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def within(bound: float) -> Callable[[float], tuple[Tensor, Tensor]]:
    """The reference x, 2 x, known to `bound`."""
    return lambda x: (tensor(x, 2 * x), tensor(bound, bound))


def off_by(error: float) -> Callable[[float], Tensor]:
    return lambda x: tensor(x, 2 * x + error)


def compared(candidate: Callable[[float], Tensor], **fields: Any) -> Evidence:
    arguments: dict[str, Any] = {
        "mutants": {"sign": lambda x: -candidate(x)},
        "scope": "numbers",
        **fields,
    }
    reference = arguments.pop("reference", within(0.5))
    return agree(candidate, reference, arguments.pop("cases", [1.0, 2.0, 3.0]), **arguments)


@given(st.floats(0, 2))
@example(0.5)
@example(math.nextafter(0.5, 1))
def test_agreement_is_an_error_within_its_bound(error: float):
    found = compared(lambda x: tensor(x, error), reference=lambda x: (tensor(x, 0), tensor(0, 0.5)))
    assert found.outcome is (Outcome.SUPPORTS if error <= 0.5 else Outcome.REFUTES)
    assert found.margin == error / 0.5


def test_the_margin_is_that_of_the_worst_case_which_is_named():
    found = compared(lambda x: tensor(x, 2 * x + (x == 2.0)), describe=lambda x: f"x = {x}")
    assert found.margin == 2.0
    assert found.outcome is Outcome.REFUTES
    assert "x = 2.0" in found.detail
    assert (found.cases, found.scope) == (3, "numbers")


@pytest.mark.parametrize(
    "bad",
    [
        lambda x: tensor(x, math.nan),
        lambda x: tensor(math.nan, 2 * x),
        lambda x: tensor(x, math.inf),
        lambda x: tensor(x, -math.inf),
        lambda x: tensor(x),
        lambda x: tensor(x, 2 * x, 0),
        lambda x: tensor(x, 2 * x).unsqueeze(0),
        lambda x: tensor(2 * x).squeeze(),
    ],
    ids=["nan", "nan first", "inf", "-inf", "short", "long", "one axis more", "one number"],
)
def test_what_is_no_number_or_has_another_shape_never_agrees(bad: Callable[[float], Tensor]):
    found = compared(bad, reference=within(1e300))
    assert found.outcome is Outcome.REFUTES
    assert found.margin is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nothing_agrees_with_a_reference_that_is_no_number(value: float):
    found = compared(lambda x: tensor(value), reference=lambda x: (tensor(value), tensor(1.0)))
    assert found.outcome is Outcome.REFUTES


@pytest.mark.parametrize("bound", [math.inf, math.nan, -1.0])
def test_a_bound_that_anything_meets_is_refused(bound: float):
    with pytest.raises(ValueError, match="finite number of at least 0"):
        compared(off_by(1e9), reference=within(bound))


def test_a_bound_of_zero_asks_for_the_exact_value():
    assert compared(off_by(0), reference=within(0)).margin == 0.0
    found = compared(off_by(1e-300), reference=within(0), cases=[0.0])
    assert (found.outcome, found.margin) == (Outcome.REFUTES, None)


def test_one_entry_off_is_not_averaged_away():
    many = torch.zeros(1000, dtype=torch.float64)
    one_off = many.clone()
    one_off[517] = 1
    found = compared(lambda x: one_off, reference=lambda x: (many, many + 0.5))
    assert found.margin == 2.0


def test_a_mutant_survives_only_if_no_case_tells_it_apart():
    found = compared(
        off_by(0),
        mutants={
            "nowhere": off_by(0.4),
            "at one case": lambda x: tensor(x, 2 * x + (x == 3.0)),
            "not a number": lambda x: tensor(x, math.nan),
        },
    )
    assert {m.name: m.refuted for m in found.mutants} == {
        "nowhere": False,
        "at one case": True,
        "not a number": True,
        "last entry of the last case": True,
    }
    judged = judge(Check("x", "sample", "m:f"), found)
    assert judged.outcome is Outcome.ERROR
    assert "nowhere" in judged.detail


def test_empty_tensors_agree_and_no_case_at_all_is_refused():
    empty = torch.zeros(0, 3)
    assert worst_margin(lambda x: empty, [(1, empty, empty)]) == (0.0, 1)
    with pytest.raises(ValueError, match="at least one case"):
        compared(off_by(0), cases=[])


# --- search --------------------------------------------------------------------------------------

WHOLE = st.integers(-1000, 1000)
PAIRS = st.lists(WHOLE, min_size=2, max_size=2)
TRIPLES = st.lists(WHOLE, min_size=3, max_size=3)


def small(numbers: list[int]) -> bool:
    return max(numbers) < 17


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_and_shrinks(seed: int):
    assert smallest_violation(small, [PAIRS], examples=200, seed=seed) in ([0, 17], [17, 0])


def test_the_smallest_rung_comes_first():
    assert smallest_violation(small, [PAIRS, TRIPLES], examples=400) in ([0, 17], [17, 0])
    found = smallest_violation(small, [TRIPLES, PAIRS], examples=400)
    assert found is not None
    assert len(found) == 3
    only_long = smallest_violation(
        lambda numbers: len(numbers) < 3 or small(numbers), [PAIRS, TRIPLES], examples=400
    )
    assert only_long is not None
    assert sorted(only_long) == [0, 0, 17]


def test_the_same_seed_draws_the_same_cases():
    def drawn(seed: int) -> list[int]:
        asked: list[int] = []
        smallest_violation(lambda x: not asked.append(x), [WHOLE], examples=20, seed=seed)
        return asked

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bound", [-1001, 0, 17, 600, 990, 1001])
def test_a_violation_is_told_where_a_smallest_one_is_found(bound: int, seed: int):
    def law(numbers: list[int]) -> bool:
        return max(numbers) < bound

    found = smallest_violation(law, [PAIRS, TRIPLES], examples=20, seed=seed)
    assert has_violation(law, [PAIRS, TRIPLES], examples=20, seed=seed) == (found is not None)


def test_all_laws_are_asked_about_the_same_cases():
    def asked(law: Callable[[list[int]], bool]) -> list[list[int]]:
        cases: list[list[int]] = []

        def noted(case: list[int]) -> bool:
            cases.append(case)
            return law(case)

        has_violation(noted, [PAIRS, TRIPLES], examples=40, seed=1)
        return cases

    everything = asked(lambda case: True)
    assert {len(case) for case in everything} == {2, 3}
    assert len(everything) == 40
    first = next(n for n, case in enumerate(everything) if not small(case))
    assert asked(small) == everything[: first + 1]


def test_what_holds_is_not_broken():
    assert smallest_violation(lambda x: x * x >= 0, [WHOLE], examples=100) is None


def test_a_case_outside_the_hypotheses_breaks_nothing():
    def law(x: int) -> bool | None:
        return None if x < 40 else x < 50

    assert smallest_violation(law, [WHOLE], examples=300) == 50
    assert smallest_violation(lambda x: None, [WHOLE], examples=100) is None


def test_a_law_that_raises_is_not_a_law_that_holds():
    def law(x: int) -> bool:
        raise RuntimeError("a tensor of the wrong shape")

    with pytest.raises(RuntimeError, match="wrong shape"):
        smallest_violation(law, [WHOLE], examples=10)


def looked_for(law: Callable[[int], bool | None], **fields: Any) -> Evidence:
    arguments: dict[str, Any] = {
        "mutants": {"all are below 5": lambda x: x < 5},
        "examples": 100,
        "seed": 0,
        "scope": "whole numbers",
        **fields,
    }
    return holds(law, [WHOLE], **arguments)


def test_a_law_that_holds_is_supported_by_the_cases_that_meet_its_hypotheses():
    asked: list[int] = []

    def law(x: int) -> bool | None:
        asked.append(x)
        return True if x % 2 else None

    found = looked_for(law)
    assert found.outcome is Outcome.SUPPORTS
    assert found.cases == sum(x % 2 for x in asked)
    assert 0 < found.cases < len(asked) <= 100
    assert f"{found.cases} cases ({len(asked)} drawn)" in found.detail
    assert found.mutants == (Mutant("all are below 5", True),)


def test_a_law_whose_hypotheses_no_case_meets_is_not_supported():
    with pytest.raises(ValueError, match="cases=0"):
        looked_for(lambda x: None)


def test_a_law_that_fails_is_shown_on_its_smallest_case():
    found = looked_for(lambda x: x < 50, describe=lambda x: f"x = {x}")
    assert found.outcome is Outcome.REFUTES
    assert found.detail == "smallest case found: x = 50"
    assert found.counterexample is None  # floats alone refute nothing


def test_a_mutant_that_the_search_does_not_break_survives():
    found = looked_for(lambda x: True, mutants={"true as well": lambda x: x <= 1000})
    assert found.mutants == (Mutant("true as well", False),)
    assert judge(Check("x", "search", "m:f"), found).outcome is Outcome.ERROR


def odd_is_positive(data: Mapping[str, Any]) -> Replay:
    x = int(data["x"])
    met = (Hypothesis("x is odd", str(x), x % 2 == 1),)
    return Replay("integers", met, "x > 0", f"x = {x}", x <= 0)


REFERENCE = f"{__name__}:odd_is_positive"


def broken(law: Callable[[int], bool | None], **fields: Any) -> Evidence:
    arguments: dict[str, Any] = {
        "controls": {"odd numbers are not even": lambda x: (x % 2 == 1) != (x % 2 == 0)},
        "counterexample": lambda x: Counterexample(REFERENCE, {"x": str(x)}),
        "examples": 100,
        "seed": 0,
        "scope": "whole numbers",
        **fields,
    }
    return breaks(law, [WHOLE], **arguments)


def test_a_law_that_breaks_gives_the_smallest_case_as_data():
    found = broken(lambda x: x > 0 if x % 2 else None)
    assert found.outcome is Outcome.REFUTES
    assert found.counterexample == Counterexample(REFERENCE, {"x": "-1"})
    judged = judge(Check("x", "search", "m:f"), found)
    assert judged.outcome is Outcome.REFUTES
    assert judged.replay is not None


def test_a_case_that_the_search_takes_wrongly_does_not_survive_its_replay():
    found = broken(lambda x: x > 0)  # 0 breaks it, but is not odd
    judged = judge(Check("x", "search", "m:f"), found)
    assert judged.outcome is Outcome.ERROR
    assert "x is odd" in judged.detail


def test_a_law_that_does_not_break_is_supported():
    found = broken(lambda x: x * x >= 0)
    assert (found.outcome, found.counterexample) == (Outcome.SUPPORTS, None)


def test_a_control_that_breaks_is_told():
    found = broken(lambda x: x > 0 if x % 2 else None, controls={"a false law": lambda x: x < 9})
    assert found.mutants == (Mutant("control: a false law", False),)
    assert judge(Check("x", "search", "m:f"), found).outcome is Outcome.ERROR


# --- trend ---------------------------------------------------------------------------------------

X = (1.0, 2.0, 4.0, 8.0, 16.0)


@given(st.floats(-4, 4), st.floats(0.01, 100))
def test_an_exact_power_has_its_exponent_and_no_width(power: float, factor: float):
    slope = fit_slope(X, [factor * x**power for x in X])
    assert slope.value == pytest.approx(power, abs=1e-9)
    assert slope.high - slope.low <= 1e-7


@given(st.floats(0.01, 5))
def test_the_interval_of_three_points_is_that_computed_by_hand(lift: float):
    # logarithms 0, 1, 2 and 0, 1 + a, 2: slope 1, residuals -a/3, 2a/3, -a/3, one degree of freedom
    slope = fit_slope([1, math.e, math.e**2], [1, math.exp(1 + lift), math.e**2])
    half = 12.706 * lift / math.sqrt(3)
    assert slope.value == pytest.approx(1)
    assert (slope.low, slope.high) == pytest.approx((1 - half, 1 + half))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    g = torch.Generator().manual_seed(7)
    covered = 0
    for _ in range(2000):
        noise = torch.randn(len(X), generator=g, dtype=torch.float64).mul(0.3).exp().tolist()
        slope = fit_slope(X, [e * x**1.5 for x, e in zip(X, noise, strict=True)])
        covered += slope.low <= 1.5 <= slope.high
    # binomial with p = 0.95: four standard deviations of 2000 trials are 0.0195
    assert covered / 2000 == pytest.approx(0.95, abs=0.0195)


def test_the_quantiles_are_those_of_student():
    stats = pytest.importorskip("scipy.stats")
    for freedom, quantile in enumerate(trend_module._T95, start=1):
        assert quantile == pytest.approx(stats.t.ppf(0.975, freedom), abs=5.1e-4)
    # beyond the table the interval is at most a twentieth too narrow
    assert 1.96 / stats.t.ppf(0.975, len(trend_module._T95) + 1) >= 0.95


@pytest.mark.parametrize("points", [3, 32, 33, 60])
def test_any_number_of_points_from_three_has_an_interval(points: int):
    x = [1.0 + n for n in range(points)]
    slope = fit_slope(x, [value**2 * (1.1 if n % 2 else 1) for n, value in enumerate(x)])
    assert slope.low < slope.value < slope.high


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([1, 2], [1, 2], "three points"),
        ([1, 2, 3], [1, 2], "got 3 and 2"),
        ([], [], "got 0 and 0"),
        ([1, 2, 3], [1, 0, 2], "positive"),
        ([-1, 2, 3], [1, 1, 2], "positive"),
    ],
)
def test_what_has_no_slope_is_refused(x: list[float], y: list[float], says: str):
    with pytest.raises(ValueError, match=says):
        fit_slope(x, y)


def fitted(measure: Callable[[float], float], **fields: Any) -> Evidence:
    arguments: dict[str, Any] = {
        "tolerance": 0.1,
        "mutants": {"second order": lambda h: h**2},
        "scope": "powers",
        **fields,
    }
    return slope_is(1.0, measure, X, **arguments)


@pytest.mark.parametrize(
    ("order", "outcome"),
    [(1.0, "supports"), (1.09, "supports"), (0.91, "supports"), (1.11, "refutes"), (0, "refutes")],
)
def test_a_slope_within_the_tolerance_is_supported(order: float, outcome: str):
    found = fitted(lambda h: h**order)
    assert found.outcome == outcome
    assert found.margin == pytest.approx(abs(order - 1) / 0.1, abs=1e-6)
    assert found.cases == len(X)


def test_a_slope_is_judged_by_its_whole_interval():
    # right in the middle, but so noisy that the interval leaves the tolerance
    noisy = fitted(lambda h: h * (1.5 if h in (1, 4, 16) else 1))
    assert abs(float(noisy.detail.split()[1]) - 1) < 0.1
    assert noisy.outcome is Outcome.REFUTES


def test_a_mutant_with_the_same_slope_survives():
    found = fitted(lambda h: h, mutants={"doubled": lambda h: 2 * h})
    assert found.mutants == (Mutant("doubled", False),)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_measure_that_is_no_number_gives_no_evidence(value: float):
    with pytest.raises(ValueError, match=r"NaN|inf"):
        fitted(lambda h: value if h == 4 else h)


# --- replay --------------------------------------------------------------------------------------


def replay_of(x: int, **controls: int) -> Evidence:
    given = {name: {"x": str(value)} for name, value in controls.items()}
    return replays(Counterexample(REFERENCE, {"x": str(x)}), given)


def test_a_stored_case_refutes_and_leaves_its_controls_alone():
    found = replay_of(-3, positive=5, even=-4)
    assert found.outcome is Outcome.REFUTES
    assert found.counterexample == Counterexample(REFERENCE, {"x": "-3"})
    assert found.mutants == (Mutant("control: positive", True), Mutant("control: even", True))
    assert found.detail == "claimed x > 0; found x = -3"


@pytest.mark.parametrize("x", [3, -4])
def test_a_stored_case_that_fits_the_claim_or_leaves_a_hypothesis_refutes_nothing(x: int):
    found = replay_of(x, positive=5)
    assert (found.outcome, found.counterexample) == (Outcome.SUPPORTS, None)


@pytest.mark.parametrize("x", [3, -4])
def test_a_case_that_must_refute_and_does_not_is_an_error(x: int):
    found = must_refute(Counterexample(REFERENCE, {"x": str(x)}), {"positive": {"x": "5"}})
    assert judge(Check("x", "exact", "m:f"), found).outcome is Outcome.ERROR


def test_a_case_that_must_refute_and_does_is_a_refutation():
    given = {"positive": {"x": "5"}}
    assert must_refute(Counterexample(REFERENCE, {"x": "-3"}), given) == replay_of(-3, positive=5)


def test_a_replay_that_refutes_its_controls_is_broken():
    found = replay_of(-3, also_negative=-5)
    assert found.mutants == (Mutant("control: also_negative", False),)
    assert judge(Check("x", "exact", "m:f"), found).outcome is Outcome.ERROR


# --- checkers with a planted error, under the claims of the paper --------------------------------


def alone(key: str) -> Verdict:
    """The Statement verdict of one claim, whatever it rests on."""
    claim = replace(registry[key], kind="sentence", requires=(), paper_uses=(), repairs=None)
    (result,) = run(Registry([claim])).claims
    assert result.moved == (result.statement != claim.expected["quick"].statement)
    return result.statement


def always_agrees(candidate: Any, known: Any) -> tuple[float, Any]:
    return 0.0, next(iter(known))[0]


def never_agrees(candidate: Any, known: Any) -> tuple[float, Any]:
    return 2.0, next(iter(known))[0]


def same_slope(x: Any, y: Any) -> trend_module.Slope:
    return trend_module.Slope(1.0, 1.0, 1.0)


AGREE, SEARCH, TREND = agree_module, search_module, trend_module
NOTHING = {"has_violation": lambda *_, **__: False, "smallest_violation": lambda *_, **__: None}
ANYTHING = {
    "has_violation": lambda *_, **__: True,
    "smallest_violation": lambda *_, **__: {"losses": [[1], [0, 0]]},
}
BROKEN = {
    "agrees with everything": (AGREE, {"worst_margin": always_agrees}, "gradient-flow-product"),
    "agrees with nothing": (AGREE, {"worst_margin": never_agrees}, "gradient-flow-product"),
    "finds nothing, where nothing is": (SEARCH, NOTHING, "equal-length-mean"),
    "finds nothing, where something is": (SEARCH, NOTHING, "unequal-length-mean"),
    "finds something everywhere": (SEARCH, ANYTHING, "unequal-length-mean"),
    "always the same slope": (TREND, {"fit_slope": same_slope}, "gradient-flow-limit"),
}


@pytest.mark.parametrize("error", BROKEN)
def test_a_checker_that_is_broken_moves_the_verdict(error: str, monkeypatch: pytest.MonkeyPatch):
    module, planted, key = BROKEN[error]
    for name, function in planted.items():
        monkeypatch.setattr(module, name, function)
    assert alone(key) is Verdict.UNDECIDED


@pytest.mark.parametrize("key", sorted({key for *_, key in BROKEN.values()}))
def test_the_same_claims_are_as_recorded_with_whole_checkers(key: str):
    assert alone(key) is registry[key].expected["quick"].statement


def test_a_comparison_that_skips_the_last_case_lets_its_own_mutant_pass(monkeypatch):
    module = sys.modules["ntteach.checks.agree"]
    whole = module.worst_margin
    monkeypatch.setattr(module, "worst_margin", lambda f, known: whole(f, list(known)[:1]))
    found = compared(off_by(0), mutants={"everywhere": off_by(9)})
    assert {m.name for m in found.mutants if not m.refuted} == {"last entry of the last case"}
