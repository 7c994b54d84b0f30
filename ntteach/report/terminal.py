"""A run in the terminal: one line per claim, then what moved, what is refuted, what was covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from ntteach.claims import CheckResult, ClaimResult, Outcome, Registry, Run, Verdict
from ntteach.report.moved import blamed, in_words
from ntteach.report.style import Style, count, ranges, seconds
from ntteach.report.table import Row, table

WITNESSES = {
    "symbolic": "sym",
    "exact": "exact",
    "autograd": "ad",
    "finite-difference": "fd",
    "elementwise": "elem",
    "loops": "loops",
    "implementation": "impl",
    "search": "search",
    "sample": "sample",
    "trend": "trend",
}

MEANING = {
    Verdict.VERIFIED: "an exact argument and an independent numerical witness agree",
    Verdict.CONDITIONAL: "holds if an assumption does, which is a claim of its own",
    Verdict.SUPPORTED: "samples, a search or a trend: no case was found against it",
    Verdict.UNDECIDED: "the evidence takes no side, or what it rests on does not stand",
    Verdict.NOT_RUN: "this profile leaves it out",
    Verdict.VACUOUS: "nothing meets its hypotheses, or one of its terms is undefined",
    Verdict.REFUTED: "a case that meets every hypothesis contradicts it, and replays",
}


def verification(run: Run, registry: Registry, named: Collection[str], style: Style) -> str:
    """The whole report; `named` are the keys that were asked for, none if all were."""
    rows = (
        Row(r.statement, r.proof, r.claim.key, r.claim.number, _witnesses(r), r.moved)
        for r in run.claims
    )
    lines = list(table(rows, style))
    if 0 < len(set(named)) <= 3:
        for result in run.claims:
            if result.claim.key in named:
                lines += ["", _title(result, style), *_checks(result.checks, style)]
    lines += _moved(run, style)
    lines += _against(run, registry, style)
    return "\n".join([*lines, "", *_footer(run, named, style)]) + "\n"


def _witnesses(result: ClaimResult) -> tuple[str, ...]:
    """Short names of the witnesses that took a side, each once, in the order of `WITNESSES`."""
    spoke = {check.check.witness for check in result.checks if check.outcome.decided}
    return tuple(short for witness, short in WITNESSES.items() if witness in spoke)


def _title(result: ClaimResult, style: Style) -> str:
    return style.paint(f"{result.claim.key} ({result.claim.number})", "bold")


def _checks(checks: Collection[CheckResult], style: Style) -> list[str]:
    """Each check with what it says, where it looked and how sure it may be."""
    lines = []
    for result in checks:
        of = ", a step of the paper's proof" if result.check.of == "proof" else ""
        says = f"{result.outcome} ({result.check.witness}{of}): {result.check.name}"
        lines += style.wrap(says, "    ", f"  {style.mark(result.outcome)} ")
        for text in (result.detail, result.scope, _measures(result)):
            lines += [style.paint(line, "dim") for line in style.wrap(text, "      ")]
    return lines


def _measures(result: CheckResult) -> str:
    told = []
    if result.cases:
        told.append(count(result.cases, "case"))
    if result.margin is not None:
        told.append(f"worst error {result.margin:.2g} of the tolerance")
    if result.mutants:
        refuted = sum(mutant.refuted for mutant in result.mutants)
        told.append(f"{refuted} of {count(len(result.mutants), 'planted error')} caught")
    if result.outcome is not Outcome.NOT_RUN:
        told.append(seconds(result.seconds))
    return "; ".join(told)


def _moved(run: Run, style: Style) -> list[str]:
    lines = []
    for result in run.claims:
        if not result.moved:
            continue
        if not lines:
            lines += ["", style.paint("Moved: not as recorded", "red", "bold")]
        lines += style.wrap(f"{result.claim.key}: {in_words(result)}", "    ", "! ")
        guilty = blamed(result)
        lines += _checks(guilty, style)
        if not guilty:
            why = "No check of its own did it: what it rests on moved, or a witness is missing."
            lines += style.wrap(why, "    ")
    return lines


def _against(run: Run, registry: Registry, style: Style) -> list[str]:
    """What to do next with each refuted claim, and where each broken proof breaks first."""
    known = {result.claim.key: result.statement for result in run.claims}
    refuted, broken = [], []
    for result in run.claims:
        key = result.claim.key
        if result.statement is Verdict.REFUTED:
            refuted.append(f"  {key}")
            for repair in registry.repaired_by(key):
                verdict = f" ({known[repair]})" if repair in known else ""
                refuted.append(f"      repaired by {repair}{verdict}")
            if result.claim.counterexample is not None:
                refuted.append(f"      see it: ntteach replay {key}")
        if result.proof is not None and result.failing:
            broken += style.wrap(f"{key}: {result.failing[0]}", "      ", "  ")
    lines = []
    if refuted:
        lines += ["", style.paint("Refuted statements", "bold"), *refuted]
    if broken:
        lines += ["", style.paint("Where the paper's proof breaks first", "bold"), *broken]
    return lines


def _footer(run: Run, named: Collection[str], style: Style) -> Iterator[str]:
    if named:
        asked = len(set(named))
        more = len(run.claims) - asked
        rest = f" and {more} more that {'it rests' if asked == 1 else 'they rest'} on"
        yield from style.wrap(f"Ran {count(asked, 'claim')} by name{rest if more else ''}.")
    proofs = Counter(str(result.proof) for result in run.claims if result.proof is not None)
    yield from _tally(f"{count(len(run.claims), 'statement')}: ", run.by_verdict, style)
    if proofs:
        ordered = {str(v): proofs[v] for v in Verdict if proofs[v]}
        yield from _tally(f"{count(proofs.total(), 'proof')}: ", ordered, style)
    if run.equations_covered:
        yield from style.wrap(f"Equations covered: {ranges(run.equations_covered)}.", "  ", "")
    mutants = [mutant for r in run.claims for check in r.checks for mutant in check.mutants]
    if mutants:
        caught = sum(mutant.refuted for mutant in mutants)
        says = "all caught" if caught == len(mutants) else f"only {caught} caught"
        yield from style.wrap(
            f"{count(len(mutants), 'error')} planted to test the checks, {says}.", "  ", ""
        )
    setting = run.setting
    where = f"profile {setting.profile}, seed {setting.seed}, {setting.device}"
    versions = f"Python {run.environment['python']}, torch {run.environment['torch']}"
    yield from style.wrap(f"{seconds(run.seconds)}; {where}; {versions}.", "  ", "")
    yield ""
    for verdict in Verdict:
        if verdict in run.by_verdict or verdict in proofs:
            first = style.verdict(verdict, 14)
            prose = style.wrap(MEANING[verdict], " " * 14, " " * 14)
            yield first + prose[0][14:]
            yield from prose[1:]
    used = dict.fromkeys(word for r in run.claims for word in _witnesses(r))
    short = [f"{word} {name}" for name, word in WITNESSES.items() if word in used and word != name]
    if short:
        yield from style.wrap(f"Witnesses: {', '.join(short)}.", "  ", "")
    yield ""
    if run.moved:
        text = f"{count(len(run.moved), 'claim')} moved: {', '.join(run.moved)}."
        yield from (style.paint(line, "red", "bold") for line in style.wrap(text, "  ", ""))
    else:
        yield style.paint("Every verdict is as recorded.", "bold")


def _tally(start: str, counts: dict[str, int], style: Style) -> list[str]:
    # In one order always, so that two runs can be compared by eye.
    told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts.get(verdict)]
    return style.wrap(start + ", ".join(told) + ".", "  ", "")
