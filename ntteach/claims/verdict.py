"""Verdicts, computed from evidence; STATEMENTS.md says the same rules in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ntteach.claims.model import (
    EXACT_WITNESSES,
    SAMPLING_WITNESSES,
    Check,
    Claim,
    Evidence,
    Mutant,
    Outcome,
    Replay,
    Verdict,
)

# From strongest to weakest; a verdict is bounded by what it rests on.
_STRENGTH = tuple(Verdict)


@dataclass(frozen=True)
class CheckResult:
    """One check of one claim after a run: its evidence, behind the gates, and its seconds."""

    check: Check
    outcome: Outcome
    scope: str = ""
    cases: int = 0
    margin: float | None = None
    detail: str = ""
    mutants: tuple[Mutant, ...] = ()
    replay: Replay | None = None
    vacuous: bool = False
    seconds: float = 0.0

    @property
    def covers(self) -> tuple[str, ...]:
        """The equations this check decided; its mutants were refuted, or it would be an error."""
        return self.check.equations if self.outcome.decided else ()


def judge(check: Check, evidence: Evidence) -> CheckResult:
    """Put evidence through the gates, which can only lower what it is worth.

    - A check that decides must have planted mutants and have refuted each, else it is an error.
    - A check that supports has a margin of at most one.
    - A counterexample is computed again from its data; one that does not replay, or that leaves
      a hypothesis unmet, refutes nothing and is an error.
    """
    result = CheckResult(
        check,
        evidence.outcome,
        evidence.scope,
        evidence.cases,
        evidence.margin,
        evidence.detail,
        evidence.mutants,
        vacuous=evidence.vacuous,
    )
    if evidence.outcome.decided or evidence.vacuous:
        survivors = [mutant.name for mutant in evidence.mutants if not mutant.refuted]
        if not evidence.mutants:
            return _broken(result, "it planted no mutant, so it has not shown that it can fail")
        if evidence.outcome is Outcome.SUPPORTS and (evidence.margin or 0) > 1:
            return _broken(result, "it supports with an error above its own tolerance")
        if survivors:
            return _broken(result, f"it did not tell these mutants apart: {', '.join(survivors)}")
    if evidence.counterexample is not None:
        replay = evidence.counterexample.run()
        result = replace(result, replay=replay)
        if not replay.valid:
            unmet = [h.name for h in replay.hypotheses if not h.met]
            why = f"a hypothesis is not met: {', '.join(unmet)}" if unmet else "it does not replay"
            return _broken(result, f"its counterexample refutes nothing: {why}")
    return result


def _broken(result: CheckResult, why: str) -> CheckResult:
    detail = f"{why}. {result.detail}".strip()
    return replace(result, outcome=Outcome.ERROR, detail=detail)


def own_verdict(results: Iterable[CheckResult]) -> Verdict:
    """The verdict that checks come to by themselves, before what the claim rests on."""
    ran = [result for result in results if result.outcome is not Outcome.NOT_RUN]
    if not ran:
        return Verdict.NOT_RUN
    if any(result.outcome is Outcome.ERROR for result in ran):
        return Verdict.UNDECIDED
    refuting = [result for result in ran if result.outcome is Outcome.REFUTES]
    if any(result.replay is not None for result in refuting):
        return Verdict.REFUTED
    if refuting:
        # Two witnesses disagree, but no exact case shows which of them is right.
        return Verdict.UNDECIDED
    if any(result.vacuous for result in ran):
        return Verdict.VACUOUS
    witnesses = {r.check.witness for r in ran if r.outcome is Outcome.SUPPORTS}
    if witnesses & EXACT_WITNESSES and witnesses & (SAMPLING_WITNESSES - {"trend"}):
        return Verdict.VERIFIED
    return Verdict.SUPPORTED if witnesses else Verdict.UNDECIDED


def verdicts(
    claim: Claim,
    results: Iterable[CheckResult],
    known: Mapping[str, Verdict],
    assumptions: Iterable[str] = (),
) -> tuple[Verdict, Verdict | None]:
    """The Statement and the Proof verdict of a claim.

    Args:
        claim: the claim.
        results: its checks, judged.
        known: Statement verdicts of all that it rests on.
        assumptions: the keys of claims that are assumptions.
    """
    results = list(results)
    bound = dict(known)
    for key in assumptions:
        # Nothing needs to be known of an assumption, unless it is known to fail.
        if known.get(key) not in (Verdict.REFUTED, Verdict.VACUOUS):
            bound[key] = Verdict.CONDITIONAL
    statement = own_verdict(r for r in results if r.check.of == "statement")
    if statement in (Verdict.VERIFIED, Verdict.CONDITIONAL, Verdict.SUPPORTED):
        # Support is bounded by what our own argument needs; a refutation stands by itself.
        for key in claim.requires:
            statement = _weaker(statement, max(bound[key], Verdict.UNDECIDED, key=_support))
    if not claim.has_proof:
        return statement, None
    steps = [r for r in results if r.check.of == "proof"]
    proof = own_verdict(steps) if steps else Verdict.VERIFIED
    for key in claim.paper_uses:
        proof = _weaker(proof, bound[key])
    if statement is Verdict.REFUTED:
        # what is false has no proof, also where no step has been found to fail
        proof = _weaker(proof, Verdict.UNDECIDED)
    return statement, proof


def failing_steps(
    claim: Claim, results: Iterable[CheckResult], known: Mapping[str, Verdict]
) -> tuple[str, ...]:
    """The steps and claims, in the paper's order, that keep the paper's proof from standing."""
    steps = [
        r.check.name for r in results if r.check.of == "proof" and r.outcome is Outcome.REFUTES
    ]
    return (*steps, *(key for key in claim.paper_uses if known[key] is Verdict.REFUTED))


def _weaker(one: Verdict, other: Verdict) -> Verdict:
    return max(one, other, key=_STRENGTH.index)


def _support(verdict: Verdict) -> int:
    # A refuted, vacuous or unrun premise leaves an argument without force: undecided, not refuted.
    return -_STRENGTH.index(verdict)
