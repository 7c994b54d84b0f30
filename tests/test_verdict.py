"""The rules by which evidence becomes a verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntteach.claims import (
    Check,
    CheckResult,
    Claim,
    Counterexample,
    Evidence,
    Hypothesis,
    Mutant,
    Outcome,
    Replay,
    Verdict,
    record,
)
from ntteach.claims.model import EXACT_WITNESSES, SAMPLING_WITNESSES, WITNESSES
from ntteach.claims.verdict import failing_steps, judge, own_verdict, verdicts

STRENGTH = [
    "verified",
    "conditional",
    "supported",
    "undecided",
    "not run",
    "vacuous",
    "refuted",
]
CAUGHT = (Mutant("a sign flipped", True), Mutant("a factor dropped", True))


def found(outcome: str, witness: str = "sample", *, exact_case: bool = False, **fields: Any):
    """A judged check; `exact_case` says that a counterexample replayed."""
    of = fields.pop("of", "statement")
    name = fields.pop("name", f"{outcome} by {witness}")
    replay = Replay("exact", (Hypothesis("n > 0", "1", True),), "0", "1", True)
    return CheckResult(
        Check(name, witness, "m:f", of=of),
        Outcome(outcome),
        replay=replay if exact_case else None,
        **fields,
    )


def claim(**fields: Any) -> Claim:
    defaults: dict[str, Any] = {
        "key": "c",
        "number": "Eq. 1",
        "kind": "equation",
        "locus": "",
        "statement": "",
        "encoded": "",
        "checks": (),
        "expected": record("verified"),
    }
    return Claim(**{**defaults, **fields})


PROVED = (found("supports", "symbolic"), found("supports", "autograd"))
REFUTED = (found("refutes", "exact", exact_case=True),)


# --- what checks come to by themselves -----------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], "not run"),
        ([found("not run", "symbolic")], "not run"),
        ([found("supports", "symbolic"), found("supports", "autograd")], "verified"),
        ([found("supports", "exact"), found("supports", "search")], "verified"),
        ([found("supports", "symbolic")], "supported"),
        ([found("supports", "symbolic"), found("supports", "exact")], "supported"),
        ([found("supports", "symbolic"), found("supports", "trend")], "supported"),
        ([found("supports", "trend")], "supported"),
        ([found("supports", "autograd"), found("supports", "finite-difference")], "supported"),
        ([found("supports", "elementwise"), found("supports", "sample")], "supported"),
        ([found("supports", "symbolic"), found("not run", "autograd")], "supported"),
        ([found("supports", "symbolic"), found("silent", "autograd")], "supported"),
        ([found("silent")], "undecided"),
        ([*PROVED, found("refutes", "search")], "undecided"),
        ([found("refutes", "search")], "undecided"),
        ([*PROVED, found("refutes", "search", exact_case=True)], "refuted"),
        ([found("refutes", "trend"), found("refutes", "exact", exact_case=True)], "refuted"),
        ([*PROVED, found("error")], "undecided"),
        ([*REFUTED, found("error")], "undecided"),
        ([found("silent", vacuous=True)], "vacuous"),
        ([*PROVED, found("silent", vacuous=True)], "vacuous"),
        ([*REFUTED, found("silent", vacuous=True)], "refuted"),
    ],
)
def test_checks_come_to_a_verdict(results: list[CheckResult], verdict: str):
    assert own_verdict(results) == verdict


def test_every_witness_is_either_an_exact_argument_or_a_sample():
    assert EXACT_WITNESSES | SAMPLING_WITNESSES == WITNESSES
    assert not EXACT_WITNESSES & SAMPLING_WITNESSES


judged = st.builds(
    found,
    st.sampled_from(["supports", "refutes", "silent", "error", "not run"]),
    st.sampled_from(sorted(WITNESSES)),
    exact_case=st.booleans(),
    vacuous=st.booleans(),
)


@given(st.lists(judged, max_size=5))
def test_the_order_of_the_checks_does_not_matter(results: list[CheckResult]):
    assert own_verdict(results) == own_verdict(results[::-1])


@given(st.lists(judged, max_size=5))
def test_one_valid_refutation_outvotes_any_support(results: list[CheckResult]):
    verdict = own_verdict([*results, *REFUTED])
    broken = any(result.outcome is Outcome.ERROR for result in results)
    assert verdict == ("undecided" if broken else "refuted")


@given(st.lists(judged, max_size=5))
def test_less_support_never_makes_a_stronger_verdict(results: list[CheckResult]):
    before = STRENGTH.index(own_verdict(results))
    for left_out in results:
        if left_out.outcome is Outcome.SUPPORTS and not left_out.vacuous:
            fewer = [result for result in results if result is not left_out]
            assert STRENGTH.index(own_verdict(fewer)) >= before


# --- the gates between evidence and verdict ------------------------------------------------------


def evidence(**fields: Any) -> Evidence:
    defaults: dict[str, Any] = {
        "outcome": Outcome.SUPPORTS,
        "scope": "one case",
        "cases": 1,
        "mutants": CAUGHT,
        "detail": "worst at L = 1",
    }
    return Evidence(**{**defaults, **fields})


CHECK = Check("x", "sample", "m:f", equations=("11", "12"))


def test_evidence_that_passes_the_gates_is_kept_as_it_is():
    result = judge(CHECK, evidence(margin=0.5))
    assert (result.outcome, result.cases, result.margin) == (Outcome.SUPPORTS, 1, 0.5)
    assert (result.detail, result.mutants) == ("worst at L = 1", CAUGHT)
    assert result.covers == ("11", "12")


@pytest.mark.parametrize("outcome", [Outcome.SUPPORTS, Outcome.REFUTES])
def test_a_check_that_misses_a_mutant_is_broken(outcome: Outcome):
    mutants = (*CAUGHT, Mutant("a transpose", False))
    result = judge(CHECK, evidence(outcome=outcome, mutants=mutants))
    assert result.outcome is Outcome.ERROR
    assert "a transpose" in result.detail
    assert "a sign flipped" not in result.detail
    assert result.covers == ()


@pytest.mark.parametrize("fields", [{}, {"outcome": Outcome.SILENT, "vacuous": True}])
def test_a_check_that_planted_no_mutant_has_not_shown_that_it_can_fail(fields: dict[str, Any]):
    result = judge(CHECK, evidence(mutants=(), **fields))
    assert result.outcome is Outcome.ERROR
    assert "no mutant" in result.detail


def test_a_silent_check_needs_no_mutants_and_covers_nothing():
    result = judge(CHECK, evidence(outcome=Outcome.SILENT, mutants=(), cases=0))
    assert result.outcome is Outcome.SILENT
    assert result.covers == ()


def replayed(given: dict[str, Any]) -> Replay:
    hypotheses = tuple(Hypothesis(name, "1", met) for name, met in given["hypotheses"].items())
    return Replay("exact", hypotheses, "0", "1", given["refutes"])


def against(refutes: bool = True, **hypotheses: bool) -> Evidence:
    case = Counterexample(f"{__name__}:replayed", {"refutes": refutes, "hypotheses": hypotheses})
    return evidence(outcome=Outcome.REFUTES, counterexample=case)


def test_a_refutation_carries_its_replay():
    result = judge(CHECK, against(smooth=True, bounded=True))
    assert result.outcome is Outcome.REFUTES
    assert result.replay is not None
    assert own_verdict([result]) == "refuted"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (against(refutes=False, smooth=True), "does not replay"),
        (against(smooth=True, bounded=False), "not met: bounded"),
        (against(), "does not replay"),  # no hypothesis was looked at
    ],
)
def test_a_counterexample_that_does_not_hold_up_refutes_nothing(bad: Evidence, says: str):
    result = judge(CHECK, bad)
    assert result.outcome is Outcome.ERROR
    assert says in result.detail
    assert own_verdict([result, *PROVED]) == "undecided"


def test_a_refutation_without_a_case_leaves_the_claim_undecided():
    result = judge(CHECK, evidence(outcome=Outcome.REFUTES))
    assert own_verdict([*PROVED, result]) == "undecided"


# --- what a claim rests on -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("premise", "statement"),
    [
        ("verified", "verified"),
        ("conditional", "conditional"),
        ("supported", "supported"),
        ("undecided", "undecided"),
        ("not run", "undecided"),
        ("vacuous", "undecided"),
        ("refuted", "undecided"),
    ],
)
def test_support_is_bounded_by_what_our_argument_requires(premise: str, statement: str):
    known = {"p": Verdict(premise)}
    assert verdicts(claim(requires=("p",)), PROVED, known) == (statement, None)


@pytest.mark.parametrize("premise", list(Verdict))
def test_a_refutation_stands_whatever_our_argument_requires(premise: Verdict):
    assert verdicts(claim(requires=("p",)), REFUTED, {"p": premise})[0] == "refuted"


@given(st.lists(judged, max_size=4), st.lists(st.sampled_from(list(Verdict)), max_size=3))
def test_a_premise_never_strengthens(results: list[CheckResult], premises: list[Verdict]):
    keys = tuple(f"p{index}" for index in range(len(premises)))
    known = dict(zip(keys, premises, strict=True))
    alone, _ = verdicts(claim(), results, {})
    bounded, _ = verdicts(claim(requires=keys), results, known)
    assert STRENGTH.index(bounded) >= STRENGTH.index(alone)


@pytest.mark.parametrize("premise", list(Verdict))
def test_what_the_paper_uses_bounds_the_proof_and_leaves_the_statement(premise: Verdict):
    step = found("supports", "symbolic", of="proof"), found("supports", "loops", of="proof")
    statement, proof = verdicts(claim(paper_uses=("p",)), [*PROVED, *step], {"p": premise})
    assert statement == "verified"
    assert proof == premise


def test_a_true_statement_may_have_a_broken_proof():
    step = found("refutes", "exact", of="proof", exact_case=True, name="step 3")
    one = claim(checks=(step.check,))
    assert verdicts(one, [*PROVED, step], {}) == ("verified", "refuted")
    assert failing_steps(one, [*PROVED, step], {}) == ("step 3",)


def test_checks_of_the_proof_do_not_judge_the_statement():
    steps = [found("supports", "symbolic", of="proof"), found("supports", "loops", of="proof")]
    one = claim(checks=tuple(step.check for step in steps))
    assert verdicts(one, steps, {}) == ("not run", "verified")


def test_without_an_argument_in_the_paper_there_is_no_proof_to_judge():
    assert verdicts(claim(requires=("p",)), PROVED, {"p": Verdict.VERIFIED})[1] is None


def test_failing_steps_come_before_refuted_premises():
    step = found("refutes", "exact", of="proof", exact_case=True, name="step 3")
    fine = found("supports", "exact", of="proof", name="step 1")
    one = claim(checks=(fine.check, step.check), paper_uses=("good", "bad"))
    known = {"good": Verdict.VERIFIED, "bad": Verdict.REFUTED}
    assert failing_steps(one, [fine, step], known) == ("step 3", "bad")


@pytest.mark.parametrize("known", ["not run", "undecided", "supported", "verified"])
def test_what_rests_on_an_assumption_is_conditional(known: str):
    resting = claim(requires=("a",), paper_uses=("a",))
    step = found("supports", "symbolic", of="proof"), found("supports", "loops", of="proof")
    judged = verdicts(resting, [*PROVED, *step], {"a": Verdict(known)}, assumptions=["a"])
    assert judged == ("conditional", "conditional")


@pytest.mark.parametrize("known", ["refuted", "vacuous"])
def test_nothing_stands_on_an_assumption_that_fails(known: str):
    one = claim(requires=("a",))
    assert verdicts(one, PROVED, {"a": Verdict(known)}, assumptions=["a"])[0] == "undecided"
