"""Claims, checks, evidence and verdicts; standard library only."""

from ntteach.claims.model import (
    Check,
    Claim,
    Counterexample,
    Evidence,
    Expected,
    Hypothesis,
    Mutant,
    Outcome,
    Replay,
    Setting,
    Verdict,
    record,
)
from ntteach.claims.registry import Registry, UnknownClaim
from ntteach.claims.runner import ClaimResult, Run, run
from ntteach.claims.verdict import CheckResult

__all__ = [
    "Check",
    "CheckResult",
    "Claim",
    "ClaimResult",
    "Counterexample",
    "Evidence",
    "Expected",
    "Hypothesis",
    "Mutant",
    "Outcome",
    "Registry",
    "Replay",
    "Run",
    "Setting",
    "UnknownClaim",
    "Verdict",
    "record",
    "run",
]
