"""Claims in the terminal without running them: the list, one claim's page, a replayed case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ntteach.claims import Check, Claim, Expected, Registry, Replay
from ntteach.report.style import Style, count, ranges
from ntteach.report.table import Row, table

_LABEL = 15


def listing(registry: Registry, style: Style) -> str:
    """Two lines per claim: its recorded verdicts, key and place; what it says."""
    recorded = {key: claim.expected["quick"] for key, claim in registry.items()}
    rows = (Row(e.statement, e.proof, key, registry[key].number) for key, e in recorded.items())
    titles, *verdicts = table(rows, style)
    lines = [titles]
    for line, claim in zip(verdicts, registry.values(), strict=True):
        says = style.shorten(claim.statement, style.width - 6)
        lines += [line, "      " + style.paint(says, "dim")]
    lines += ["", f"{count(len(registry), 'claim')}, each with its recorded verdicts."]
    lines += ["Compute them:    ntteach verify", "All about one:   ntteach show KEY"]
    return "\n".join(lines) + "\n"


def _recorded(expected: Expected, style: Style) -> str:
    """The recorded verdicts of one profile; the proof is named where there is one to judge."""
    statement = style.verdict(expected.statement)
    if expected.proof is None:
        return statement
    return f"{statement}, proof {style.verdict(expected.proof)}"


def page(claim: Claim, registry: Registry, style: Style) -> str:
    """Everything about one claim, without running it."""
    place = claim.locus if claim.locus.startswith(claim.number) else ""
    place = place or "; ".join(filter(None, (claim.number, claim.locus)))
    lines = [style.paint(claim.key, "bold"), *style.wrap(f"{place} ({claim.kind})")]
    lines += _section("Statement", claim.statement, style)
    lines += _section("Encoded as", claim.encoded, style)
    lines += _section("Found", claim.found, style)

    quick, full = claim.expected["quick"], claim.expected["full"]
    lines += ["", style.paint("Recorded", "bold")]
    if quick == full:
        lines.append("  " + _recorded(full, style))
    else:
        lines += [
            f"  {profile}: {_recorded(claim.expected[profile], style)}"
            for profile in claim.expected
        ]

    relations = {
        "requires": claim.requires,
        "paper uses": claim.paper_uses,
        "repairs": (claim.repairs,) if claim.repairs else (),
        "repaired by": registry.repaired_by(claim.key),
        "derivation": (claim.derivation,) if claim.derivation else (),
    }
    told = {name: ", ".join(others) for name, others in relations.items() if others}
    if told:
        lines.append("")
    for name, others in told.items():
        lines += style.wrap(others, " " * _LABEL, f"{name.capitalize()}: ".ljust(_LABEL))

    lines += ["", style.paint("Checks" if claim.checks else "No checks", "bold")]
    for check in claim.checks:
        lines += style.wrap(_describe(check), "      ", "  - ")
    if claim.counterexample is not None:
        lines += [
            "",
            style.paint("Counterexample", "bold"),
            *_given(claim.counterexample.given, style),
        ]
    lines += ["", f"Run it:     ntteach verify {claim.key}"]
    if claim.counterexample is not None:
        lines.append(f"Replay it:  ntteach replay {claim.key}")
    return "\n".join(lines) + "\n"


def _section(title: str, text: str, style: Style) -> list[str]:
    return ["", style.paint(title, "bold"), *style.wrap(text, "  ")] if text else []


def _describe(check: Check) -> str:
    told = []
    if check.equations:
        told.append(f"{'Eq.' if len(check.equations) == 1 else 'Eqs.'} {ranges(check.equations)}")
    if check.of == "proof":
        told.append("a step of the paper's proof")
    if len(check.profiles) == 1:
        told.append(f"profile {check.profiles[0]} only")
    scope = f" ({'; '.join(told)})" if told else ""
    return f"{check.witness}: {check.name}{scope}"


def _given(given: Mapping[str, Any], style: Style) -> list[str]:
    lines = []
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += style.wrap(f"{name} = {text.replace(chr(34), '')}", "      ", "  ")
    return lines


def replayed(claim: Claim, given: Mapping[str, Any], replay: Replay, style: Style) -> str:
    """A counterexample, computed again, and whether it still refutes."""
    lines = [
        f"{style.paint(claim.key, 'bold')} ({claim.number})",
        *style.wrap(claim.statement, "  "),
    ]
    lines += ["", style.paint("The case", "bold"), *_given(given, style)]
    lines += ["", style.paint("Its hypotheses", "bold")]
    for hypothesis in replay.hypotheses:
        mark = style.mark("supports" if hypothesis.met else "refutes")
        met = "met" if hypothesis.met else "NOT MET"
        lines += style.wrap(f"{met}: {hypothesis.name}: {hypothesis.value}", "      ", f"  {mark} ")
    lines += _section("Claimed", replay.claimed, style)
    lines += _section(f"Found ({replay.arithmetic})", replay.found, style)
    lines += ["", style.paint(_outcome(replay), "bold")]
    return "\n".join(lines) + "\n"


def _outcome(replay: Replay) -> str:
    if replay.valid:
        return "The statement is refuted: the case meets every hypothesis and contradicts it."
    if not replay.refutes:
        return "Nothing is refuted: in this case the statement holds."
    if not replay.hypotheses:
        return "Nothing is refuted: the replay checked no hypothesis."
    return "Nothing is refuted: the case does not meet every hypothesis."
