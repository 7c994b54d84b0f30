"""Why a claim moved: which verdict differs from the recorded one, and which checks did it."""

from __future__ import annotations

from collections.abc import Iterator

from ntteach.claims import CheckResult, ClaimResult, Outcome, Verdict
from ntteach.claims.verdict import own_verdict

_STRENGTH = tuple(Verdict)  # from strongest to weakest


def changes(result: ClaimResult) -> Iterator[tuple[str, Verdict | None, Verdict | None]]:
    """Column, recorded and computed verdict, for each of the two that differ."""
    for column in ("statement", "proof"):
        recorded, computed = getattr(result.expected, column), getattr(result, column)
        if recorded != computed:
            yield column, recorded, computed


def blamed(result: ClaimResult) -> tuple[CheckResult, ...]:
    """The checks that moved the claim; none where a claim that it rests on did."""
    broken = tuple(check for check in result.checks if check.outcome is Outcome.ERROR)
    if broken or not result.moved:
        return broken
    found: list[CheckResult] = []
    for column, recorded, computed in changes(result):
        checks = [check for check in result.checks if check.check.of == column]
        if own_verdict(checks) != computed:
            continue  # the checks alone come to another verdict: a premise decided
        weaker = recorded is None or _STRENGTH.index(computed) > _STRENGTH.index(recorded)
        against = Outcome.REFUTES if weaker else Outcome.SUPPORTS
        silent = [check for check in checks if check.outcome is Outcome.SILENT]
        found += [check for check in checks if check.outcome is against] or silent
    return tuple(found)


def in_words(result: ClaimResult) -> str:
    """Recorded against computed, in one sentence."""
    told = [
        f"{column} recorded {recorded or 'as none'}, computed {computed or 'none'}"
        for column, recorded, computed in changes(result)
    ]
    return "; ".join(told) if told else "the verdicts are as recorded, but a check broke"
