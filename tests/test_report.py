"""What reports say, and that they say it whole: JSON schema, JUnit, terminal, graph."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ntteach import __version__
from ntteach.claims import (
    Check,
    CheckResult,
    Claim,
    ClaimResult,
    Counterexample,
    Hypothesis,
    Mutant,
    Outcome,
    Registry,
    Replay,
    Run,
    Setting,
    Verdict,
    record,
)
from ntteach.claims.model import KINDS, WITNESSES
from ntteach.report import as_json, claims, graph, junit, terminal
from ntteach.report.moved import blamed
from ntteach.report.style import Style, ranges
from ntteach.report.table import Row, table

PAPER = {"id": "arXiv:0000.00000", "title": "A Paper"}
LONG = "every length up to 64, every width up to 64, normal entries, large logits " * 3


def claim(key: str, **fields: Any) -> Claim:
    defaults: dict[str, Any] = {
        "number": "Eq. 11",
        "kind": "equation",
        "locus": "Section 4.1",
        "statement": f"What {key} says. {LONG}",
        "encoded": LONG,
        "checks": (),
        "expected": record("verified"),
    }
    return Claim(key=key, **{**defaults, **fields})


def found(outcome: str, witness: str = "sample", **fields: Any) -> CheckResult:
    name = fields.pop("name", f"{outcome} by {witness}")
    check = Check(
        name, witness, "m:f", fields.pop("equations", ()), of=fields.pop("of", "statement")
    )
    defaults: dict[str, Any] = {
        "scope": LONG,
        "cases": 7,
        "margin": 0.25,
        "mutants": (Mutant("a sign", True), Mutant("a transpose", outcome != "error")),
        "seconds": 0.5,
    }
    return CheckResult(check, Outcome(outcome), **{**defaults, **fields})


def judged(
    one: Claim, statement: str, *checks: CheckResult, proof: str | None = None, **fields: Any
):
    one = replace(one, checks=tuple(check.check for check in checks))
    verdicts = Verdict(statement), None if proof is None else Verdict(proof)
    return ClaimResult(one, *verdicts, one.expected["quick"], checks, fields.pop("failing", ()))


def run_of(*results: ClaimResult, **environment: Any) -> Run:
    facts = {"python": "3.11", "torch": None, "device": "cpu", "dtype": "float64", "seed": 0}
    return Run(Setting(), {**facts, "commit": None, **environment}, results, 12.5)


PROVED = (
    found("supports", "symbolic", equations=("11", "9"), margin=None),
    found("supports", "autograd", equations=("10",)),
)
CASE = Counterexample("m:f", {"n": "3", "S": [["1", "-1/2"]]})
FIXED = judged(claim("fix", kind="repair", repairs="wrong"), "verified", *PROVED)
WRONG = judged(
    claim(
        "wrong", expected=record("refuted", "refuted"), counterexample=CASE, paper_uses=("fine",)
    ),
    "refuted",
    found("refutes", "exact"),
    found("refutes", "symbolic", of="proof", name="step 3 divides by zero"),
    proof="refuted",
    failing=("step 3 divides by zero",),
)
FINE = judged(claim("fine"), "verified", *PROVED)
BROKEN = judged(claim("broken"), "undecided", found("error", detail="ValueError: 3 is not 2"))
FLIPPED = judged(claim("flipped"), "undecided", *PROVED, found("refutes", "search"))
STRONGER = judged(claim("stronger", expected=record("supported")), "verified", *PROVED)
DRAGGED = judged(claim("dragged", requires=("flipped",)), "undecided", *PROVED)
HEDGED = judged(claim("hedged", requires=("flipped",)), "undecided", *PROVED, found("silent"))
LEFT_OUT = judged(claim("left-out", expected=record("not run")), "not run", found("not run"))

AS_RECORDED = run_of(FINE, WRONG, FIXED, LEFT_OUT)
MOVED = run_of(FINE, WRONG, FIXED, BROKEN, FLIPPED, STRONGER, DRAGGED, LEFT_OUT)
REGISTRY = Registry(result.claim for result in MOVED.claims)


# --- JSON: the schema of `verify --json`, key by key, in its order -------------------------------


def text(value: Any) -> bool:
    return isinstance(value, str)


def whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def number(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def one_of(words: Any) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and value in [str(word) for word in words]


def maybe(law: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or law(value)


VERDICT = one_of(Verdict)
SCHEMA: Any = {
    "version": text,
    "paper": {"id": text, "title": text},
    "profile": one_of(["quick", "full"]),
    "environment": {
        "python": text,
        "torch": maybe(text),
        "device": text,
        "dtype": text,
        "seed": whole,
        "commit": maybe(text),
    },
    "claims": [
        {
            "key": text,
            "number": text,
            "kind": one_of(KINDS),
            "statement": VERDICT,
            "proof": maybe(VERDICT),
            "expected": {"statement": VERDICT, "proof": maybe(VERDICT)},
            "requires": [text],
            "paper_uses": [text],
            "repairs": maybe(text),
            "seconds": number,
            "checks": [
                {
                    "name": text,
                    "equations": [text],
                    "witness": one_of(WITNESSES),
                    "outcome": one_of(Outcome),
                    "scope": text,
                    "cases": whole,
                    "margin": maybe(number),
                    "detail": text,
                    "mutants": {"planted": whole, "refuted": whole},
                    "seconds": number,
                }
            ],
        }
    ],
    "summary": {
        "claims": whole,
        "by_verdict": lambda counts: all(VERDICT(k) and whole(v) for k, v in counts.items()),
        "equations_covered": [text],
        "moved": [text],
        "seconds": number,
    },
}


def conforms(value: Any, schema: Any, at: str = "$") -> None:
    """Fail, naming the place, unless the value is exactly what the schema says."""
    if isinstance(schema, dict):
        assert list(value) == list(schema), f"keys at {at}"
        for key, inner in schema.items():
            conforms(value[key], inner, f"{at}.{key}")
    elif isinstance(schema, list):
        assert type(value) is list, at
        for index, item in enumerate(value):
            conforms(item, schema[0], f"{at}[{index}]")
    else:
        assert schema(value), f"{value!r} at {at}"


def through_json(run: Run) -> Any:
    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    written = as_json.dumps(as_json.verification(run, PAPER))
    assert written.isascii()
    return json.loads(written, parse_constant=never)


@pytest.mark.parametrize("run", [AS_RECORDED, MOVED, run_of()])
def test_json_is_exactly_the_schema(run: Run):
    conforms(through_json(run), SCHEMA)


def test_json_says_what_was_found():
    said = through_json(MOVED)
    assert said["version"] == __version__
    assert said["paper"] == PAPER
    assert said["summary"] == {
        "claims": 8,
        "by_verdict": {"verified": 3, "undecided": 3, "not run": 1, "refuted": 1},
        "equations_covered": ["9", "10", "11"],
        "moved": ["broken", "flipped", "stronger", "dragged"],
        "seconds": 12.5,
    }
    by_key = {one["key"]: one for one in said["claims"]}
    assert list(by_key) == [result.claim.key for result in MOVED.claims]
    wrong = by_key["wrong"]
    assert (wrong["statement"], wrong["proof"]) == ("refuted", "refuted")
    assert by_key["fix"]["repairs"] == "wrong"
    assert by_key["stronger"]["statement"] == "verified"
    assert by_key["stronger"]["expected"] == {"statement": "supported", "proof": None}
    assert by_key["dragged"]["requires"] == ["flipped"]
    assert by_key["fine"]["seconds"] == 1.0
    broken = by_key["broken"]["checks"][0]
    assert broken["mutants"] == {"planted": 2, "refuted": 1}
    assert (broken["outcome"], broken["detail"]) == ("error", "ValueError: 3 is not 2")
    assert by_key["fine"]["checks"][0]["margin"] is None
    assert by_key["fine"]["checks"][1]["margin"] == 0.25


def test_an_infinite_margin_is_null_in_json():
    check = found("refutes", margin=math.inf, cases=True)
    said = through_json(run_of(judged(claim("a"), "undecided", check)))
    assert said["claims"][0]["checks"][0]["margin"] is None


def test_json_of_a_claim_holds_all_that_is_recorded():
    said = json.loads(as_json.dumps(as_json.page(WRONG.claim, REGISTRY)))
    assert said["repaired_by"] == ["fix"]
    assert said["counterexample"] == {"n": "3", "S": [["1", "-1/2"]]}
    assert said["expected"]["full"] == {"statement": "refuted", "proof": "refuted"}
    assert [check["of"] for check in said["checks"]] == ["statement", "proof"]


# --- why a claim moved ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (FINE, []),
        (WRONG, []),
        (BROKEN, ["error by sample"]),
        (FLIPPED, ["refutes by search"]),
        (STRONGER, ["supports by symbolic", "supports by autograd"]),
        (DRAGGED, []),  # its own checks would have verified it
        (HEDGED, []),
    ],
)
def test_the_checks_that_moved_a_claim_are_named(result: ClaimResult, names: list[str]):
    assert [check.check.name for check in blamed(result)] == names


def test_a_check_that_fell_silent_is_named():
    silent = found("silent", "symbolic")
    result = judged(claim("a"), "supported", silent, found("supports"))
    assert blamed(result) == (silent,)


# --- JUnit ---------------------------------------------------------------------------------------


def suite_of(run: Run) -> ET.Element:
    return ET.fromstring(junit.verification(run, PAPER))


@pytest.mark.parametrize("run", [AS_RECORDED, MOVED, run_of()])
def test_junit_keeps_to_the_common_schema(run: Run):
    suite = suite_of(run)
    assert suite.tag == "testsuite"
    wanted = ["name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"]
    assert list(suite.attrib) == wanted
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    cases = suite.findall("testcase")
    order = ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    assert [child.tag for child in suite] == order
    for case in cases:
        assert list(case.attrib) == ["classname", "name", "time"]
        assert float(case.attrib["time"]) >= 0
        assert [child.tag for child in case] in ([], ["failure"], ["error"], ["skipped"])
    names = [(case.attrib["classname"], case.attrib["name"]) for case in cases]
    assert len(set(names)) == len(names)
    for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[plural]) == len(suite.findall(f"testcase/{tag}"))
    assert int(suite.attrib["tests"]) == len(cases)


def test_junit_has_one_case_per_check_of_each_claim():
    names = [
        (case.attrib["classname"], case.attrib["name"])
        for case in suite_of(AS_RECORDED).findall("testcase")
    ]
    assert names == [(r.claim.key, c.check.name) for r in AS_RECORDED.claims for c in r.checks]


def test_junit_is_green_where_every_verdict_is_as_recorded():
    suite = suite_of(AS_RECORDED)
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    assert suite.attrib["skipped"] == "1"


def test_junit_is_never_green_where_a_claim_moved():
    failing: dict[str, list[str]] = {}
    for case in suite_of(MOVED).findall("testcase"):
        failing.setdefault(case.attrib["classname"], [])
        failing[case.attrib["classname"]] += [c.tag for c in case if c.tag != "skipped"]
    assert failing == {
        "fine": [],
        "wrong": [],
        "fix": [],
        "broken": ["error"],
        "flipped": ["failure"],
        "stronger": ["failure", "failure"],
        "dragged": ["failure"],
        "left-out": [],
    }


def test_junit_survives_what_xml_forbids():
    rough = found("error", detail="\x1b[31m]]> <&> \x00 ω \ud800", name='a "name" <here>')
    suite = suite_of(run_of(judged(claim("a"), "undecided", rough)))
    error = suite.find("testcase/error")
    assert error is not None
    assert "]]> <&>" in error.attrib["message"]
    assert "ω" in (error.text or "")


# --- the terminal --------------------------------------------------------------------------------

PLAIN = Style()


def lines_of(run: Run, named: tuple[str, ...] = (), style: Style = PLAIN) -> list[str]:
    return terminal.verification(run, REGISTRY, named, style).splitlines()


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("run", [AS_RECORDED, MOVED])
@pytest.mark.parametrize("named", [(), ("wrong", "broken")])
def test_no_line_is_wider_than_the_terminal(width: int, run: Run, named: tuple[str, ...]):
    lines = lines_of(run, named, Style(width=width))
    assert max(map(len, lines)) <= width
    for result in run.claims:
        page = claims.page(result.claim, REGISTRY, Style(width=width))
        assert max(map(len, page.splitlines())) <= width
    listing = claims.listing(REGISTRY, Style(width=width)).splitlines()
    assert max(map(len, listing)) <= width


def test_each_claim_has_a_line_with_its_two_verdicts():
    lines = lines_of(MOVED)
    assert [line[2:].split() for line in lines[1:5]] == [
        ["✓", "verified", "Eq.", "11", "fine", "sym", "ad"],
        ["✗", "refuted", "✗", "refuted", "Eq.", "11", "wrong", "sym", "exact"],
        ["✓", "verified", "Eq.", "11", "fix", "sym", "ad"],
        ["?", "undecided", "Eq.", "11", "broken"],
    ]
    marked = [line.split()[5] for line in lines[1:9] if line.startswith("!")]
    assert marked == ["broken", "flipped", "stronger", "dragged"]


def test_colour_only_repeats_what_is_written():
    coloured = "\n".join(lines_of(MOVED, ("fine",), Style(colour=True)))
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    # A space that ends a line may stand before or after the code that ends the colour.
    trimmed = [line.rstrip() for line in stripped.splitlines()]
    assert trimmed == [line.rstrip() for line in lines_of(MOVED, ("fine",))]


def test_marks_have_an_ascii_form():
    style = Style(unicode=False)
    told = "\n".join([*lines_of(MOVED, style=style), graph.tree(REGISTRY, style)])
    told += claims.listing(REGISTRY, style)
    assert told.isascii()
    marks = [style.mark(word) for word in Verdict]
    assert len(set(marks)) == len(marks)


def test_moved_claims_say_recorded_and_computed_and_why():
    told = " ".join("\n".join(lines_of(MOVED)).split())
    assert "flipped: statement recorded verified, computed undecided" in told
    assert "✗ refutes (search): refutes by search" in told
    assert "stronger: statement recorded supported, computed verified" in told
    assert "ValueError: 3 is not 2" in told
    assert "1 of 2 planted errors caught" in told
    assert told.endswith("4 claims moved: broken, flipped, stronger, dragged.")


def test_a_run_that_is_as_recorded_says_so_last():
    lines = lines_of(AS_RECORDED)
    assert lines[-1] == "Every verdict is as recorded."
    assert not any("Moved" in line for line in lines)


def test_refuted_claims_name_their_repair_and_how_to_see_them():
    told = "\n".join(lines_of(AS_RECORDED))
    assert "repaired by fix (verified)" in told
    assert "ntteach replay wrong" in told
    assert "wrong: step 3 divides by zero" in told


def test_the_footer_counts_from_the_evidence():
    told = "\n".join(lines_of(AS_RECORDED))
    assert "4 statements: 2 verified, 1 not run, 1 refuted." in told
    assert "1 proof: 1 refuted." in told
    assert "Equations covered: 9-11." in told
    assert "14 errors planted to test the checks, all caught." in told
    assert "an exact argument and an independent numerical witness" in told
    assert "by name" not in told
    assert "30 errors planted to test the checks, only 29 caught." in "\n".join(lines_of(MOVED))


def test_named_claims_show_scope_cases_margin_and_mutants():
    told = " ".join("\n".join(lines_of(AS_RECORDED, ("fine",))).split())
    assert "✓ supports (autograd): supports by autograd" in told
    assert LONG.strip() in told
    assert "7 cases; worst error 0.25 of the tolerance; 2 of 2 planted errors caught" in told
    assert "Ran 1 claim by name and 3 more that it rests on." in told


def test_many_named_claims_are_told_in_brief():
    named = ("fine", "wrong", "fix", "left-out")
    assert LONG.strip()[:40] not in "\n".join(lines_of(AS_RECORDED, named))


def test_a_long_key_is_never_cut_and_moves_no_other_line():
    long = Row("verified", "refuted", "long-key-" * 6, "Section 4.1", ("sym", "ad"))
    short = Row("verified", "refuted", "short", "Section 4.1", ("sym", "ad"))
    _, first, second = table([long, short], PLAIN)
    assert first.endswith(long.key)
    assert first.index(long.key) == second.index(short.key)
    assert second.endswith("sym ad")
    assert len(second) <= PLAIN.width
    assert list(table([], PLAIN)) == []


@pytest.mark.parametrize(
    ("length", "told"), [(5, " sym ad fd elem loops impl"), (44, " sym ad +4"), (50, "kk")]
)
def test_witnesses_that_do_not_fit_are_counted(length: int, told: str):
    words = ("sym", "ad", "fd", "elem", "loops", "impl")
    _, line = table([Row("verified", None, "k" * length, "Eq. 1", words)], PLAIN)
    assert line.endswith("k" + told)


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        ([], ""),
        (["2"], "2"),
        (["7", "6"], "6-7"),
        (["2", "4", "6", "6"], "2, 4, 6"),
        (["2", *map(str, range(6, 13)), "23", "9"], "2, 6-12, 23"),
    ],
)
def test_equations_are_written_as_ranges(numbers: list[str], written: str):
    assert ranges(numbers) == written


# --- one claim, its counterexample, and the graph ------------------------------------------------


def test_a_page_tells_all_that_is_recorded_and_how_to_go_on():
    told = " ".join(claims.page(WRONG.claim, REGISTRY, PLAIN).split())
    for part in ("Eq. 11", "Section 4.1", WRONG.claim.statement, "Repaired by: fix"):
        assert " ".join(part.split()) in told
    for part in ("Paper uses: fine", "n = 3", "S = [[1, -1/2]]", "step 3 divides by zero"):
        assert part in told
    assert "ntteach verify wrong" in told
    assert "ntteach replay wrong" in told
    assert "replay" not in claims.page(FINE.claim, REGISTRY, PLAIN)


def test_a_page_tells_both_profiles_where_they_differ():
    one = claim("a", expected=record("verified", quick=("supported", None)))
    told = claims.page(one, Registry([one]), PLAIN)
    assert "quick: ~ supported" in told
    assert "full: ✓ verified" in told


@pytest.mark.parametrize(
    ("met", "refutes", "says"),
    [
        ((True, True), True, "The statement is refuted"),
        ((True, False), True, "does not meet every hypothesis"),
        ((True, True), False, "the statement holds"),
        ((), True, "checked no hypothesis"),
    ],
)
def test_a_replay_says_whether_it_refutes(met: tuple[bool, ...], refutes: bool, says: str):
    hypotheses = tuple(Hypothesis(f"h{index}", "1", one) for index, one in enumerate(met))
    replay = Replay("exact rationals", hypotheses, "zero", "one half", refutes)
    told = claims.replayed(WRONG.claim, CASE.given, replay, PLAIN)
    assert says in told
    assert told.count("NOT MET") == met.count(False)
    for part in ("n = 3", "zero", "one half", "exact rationals"):
        assert part in told
    assert as_json.replay(WRONG.claim, CASE.given, replay)["valid"] == replay.valid


LINKED = Registry(
    [
        claim("base"),
        claim("left", requires=("base",)),
        claim("right", requires=("base",), paper_uses=("base", "left")),
        claim("fix", kind="repair", repairs="right"),
        claim("alone"),
    ]
)


def test_the_graph_names_every_link_once():
    assert graph.edges(LINKED) == [
        ("left", "base", "requires"),
        ("right", "base", "requires"),
        ("right", "base", "paper_uses"),
        ("right", "left", "paper_uses"),
        ("fix", "right", "repairs"),
    ]


def test_the_tree_hangs_each_claim_below_what_rests_on_it():
    assert graph.tree(LINKED, PLAIN).splitlines() == [
        "fix (Eq. 11)",
        "└─ repairs: right (Eq. 11)",
        "   ├─ requires, paper uses: base (Eq. 11)",
        "   └─ paper uses: left (Eq. 11)",
        "      └─ requires: base (Eq. 11)",
        "",
        "1 claim with no link to another: alone.",
    ]


def test_the_tree_ends_and_names_every_claim_whatever_repairs_what():
    # The repair is what the broken claim's own argument now requires: links in a circle.
    circle = Registry(
        [claim("broken", requires=("fix",)), claim("fix", kind="repair", repairs="broken")]
    )
    told = graph.tree(circle, PLAIN)
    assert "broken" in told
    assert "fix" in told


def test_dot_has_a_node_for_each_claim_and_an_arrow_for_each_link():
    told = graph.dot(LINKED)
    assert told.count("[label=") == len(LINKED)
    assert told.count(" -> ") == len(graph.edges(LINKED))
    assert (told.count("{"), told.count("}")) == (1, 1)
