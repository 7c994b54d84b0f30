"""Runs and claims as JSON objects; the schema of `verify --json` is fixed, key by key."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ntteach import __version__
from ntteach.claims import Check, CheckResult, Claim, ClaimResult, Expected, Registry, Replay, Run

ENVIRONMENT = ("python", "torch", "device", "dtype", "seed", "commit")


def dumps(value: Any) -> str:
    """JSON text; plain ASCII, so that it survives every encoding, and never NaN or Infinity."""
    return json.dumps(value, indent=2, allow_nan=False)


def verification(run: Run, paper: Mapping[str, str]) -> dict[str, Any]:
    """A run, as `ntteach verify --json` writes it."""
    return {
        "version": __version__,
        "paper": {"id": paper["id"], "title": paper["title"]},
        "profile": run.setting.profile,
        "environment": {name: run.environment[name] for name in ENVIRONMENT},
        "claims": [_result(result) for result in run.claims],
        "summary": {
            "claims": len(run.claims),
            "by_verdict": dict(run.by_verdict),
            "equations_covered": list(run.equations_covered),
            "moved": list(run.moved),
            "seconds": _finite(run.seconds),
        },
    }


def _result(result: ClaimResult) -> dict[str, Any]:
    claim = result.claim
    return {
        "key": claim.key,
        "number": claim.number,
        "kind": claim.kind,
        "statement": str(result.statement),
        "proof": None if result.proof is None else str(result.proof),
        "expected": _expected(result.expected),
        "requires": list(claim.requires),
        "paper_uses": list(claim.paper_uses),
        "repairs": claim.repairs,
        "seconds": _finite(result.seconds),
        "checks": [_check_result(check) for check in result.checks],
    }


def _check_result(result: CheckResult) -> dict[str, Any]:
    return {
        "name": result.check.name,
        "equations": list(result.check.equations),
        "witness": result.check.witness,
        "outcome": str(result.outcome),
        "scope": result.scope,
        "cases": result.cases,
        "margin": _finite(result.margin),
        "detail": result.detail,
        "mutants": {
            "planted": len(result.mutants),
            "refuted": sum(mutant.refuted for mutant in result.mutants),
        },
        "seconds": _finite(result.seconds),
    }


def _finite(number: float | None) -> float | None:
    """The number as a plain float; null where JSON has no word for it."""
    # Checks may hand over NumPy's numbers, which json does not write.
    return float(number) if number is not None and math.isfinite(number) else None


def _expected(expected: Expected) -> dict[str, str | None]:
    proof = None if expected.proof is None else str(expected.proof)
    return {"statement": str(expected.statement), "proof": proof}


def entry(claim: Claim) -> dict[str, Any]:
    """A claim in brief: what it says and its recorded verdicts."""
    return {
        "key": claim.key,
        "number": claim.number,
        "kind": claim.kind,
        "text": claim.statement,
        "expected": {profile: _expected(claim.expected[profile]) for profile in claim.expected},
    }


def page(claim: Claim, registry: Registry) -> dict[str, Any]:
    """Everything that is recorded about one claim."""
    case = claim.counterexample
    return {
        **entry(claim),
        "locus": claim.locus,
        "encoded": claim.encoded,
        "found": claim.found,
        "requires": list(claim.requires),
        "paper_uses": list(claim.paper_uses),
        "repairs": claim.repairs,
        "repaired_by": list(registry.repaired_by(claim.key)),
        "derivation": claim.derivation,
        "checks": [_check(check) for check in claim.checks],
        "counterexample": None if case is None else dict(case.given),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "witness": check.witness,
        "equations": list(check.equations),
        "of": check.of,
        "profiles": list(check.profiles),
    }


def replay(claim: Claim, given: Mapping[str, Any], replay: Replay) -> dict[str, Any]:
    """A counterexample, computed again."""
    return {
        "key": claim.key,
        "number": claim.number,
        "given": dict(given),
        "arithmetic": replay.arithmetic,
        "hypotheses": [{"name": h.name, "value": h.value, "met": h.met} for h in replay.hypotheses],
        "claimed": replay.claimed,
        "found": replay.found,
        "refutes": replay.refutes,
        "valid": replay.valid,
    }
