"""A run as JUnit XML, which build servers show: one case per check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from ntteach.claims import CheckResult, ClaimResult, Outcome, Run
from ntteach.report.moved import blamed, in_words
from ntteach.report.style import printable


def verification(run: Run, paper: Mapping[str, str]) -> bytes:
    """The XML document of a run.

    A check that broke is an error, one that moved its claim a failure, one that a profile leaves
    out is skipped. A claim that moved because of what it rests on gets a case of its own, so that
    a run that exits 1 never looks green.
    """
    cases = [case for result in run.claims for case in _cases(result)]
    started = datetime.now(UTC) - timedelta(seconds=run.seconds)
    counts = {
        plural: str(sum(case.find(tag) is not None for case in cases))
        for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    suite = ET.Element(
        "testsuite",
        {
            "name": "ntteach verify",
            "tests": str(len(cases)),
            **counts,
            "time": f"{run.seconds:.3f}",
            "timestamp": started.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
        },
    )
    properties = ET.SubElement(suite, "properties")
    facts = {"paper": paper["id"], "profile": run.setting.profile, **run.environment}
    for name, value in facts.items():
        text = "" if value is None else printable(str(value))
        ET.SubElement(properties, "property", name=name, value=text)
    suite.extend(cases)
    # The strict form of the schema wants both, even if nothing was written there.
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")
    ET.indent(suite)
    return ET.tostring(suite, encoding="utf-8", xml_declaration=True) + b"\n"


def _cases(result: ClaimResult) -> list[ET.Element]:
    guilty = blamed(result)
    cases = [_case(result, check, check in guilty) for check in result.checks]
    if result.moved and not guilty:
        case = _empty_case(result.claim.key, "verdict", 0.0)
        told = in_words(result)
        ET.SubElement(case, "failure", message=told, type="moved").text = told
        cases.append(case)
    return cases


def _case(result: ClaimResult, check: CheckResult, guilty: bool) -> ET.Element:
    case = _empty_case(result.claim.key, check.check.name, check.seconds)
    detail = printable(check.detail or check.scope)
    if check.outcome is Outcome.ERROR:
        ET.SubElement(case, "error", message=detail, type="error").text = detail
    elif check.outcome is Outcome.NOT_RUN:
        ET.SubElement(case, "skipped", message=detail)
    elif guilty:
        told = f"{in_words(result)}: this check {_says(check)}"
        ET.SubElement(case, "failure", message=told, type=str(check.outcome)).text = detail
    return case


def _empty_case(key: str, name: str, duration: float) -> ET.Element:
    return ET.Element("testcase", classname=key, name=printable(name), time=f"{duration:.3f}")


def _says(check: CheckResult) -> str:
    return "is silent" if check.outcome is Outcome.SILENT else str(check.outcome)
