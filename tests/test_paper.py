"""Every claim of the paper: run once, and held to what is recorded and to how claims are written.

These are the check functions that `ntteach verify` runs, so a verdict and a test cannot part ways.
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import re
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import ntteach
from ntteach.claims import Check, Claim, ClaimResult, Counterexample, Outcome, Run, Verdict
from ntteach.claims.model import EXACT_WITNESSES, PROFILES, resolve
from ntteach.paper import derivations, evidence, registry
from ntteach.paper.declare import equations
from ntteach.paper.evidence import controls, identities, sentences

CLAIMS = dict(registry)
CHECKS = [(claim, check) for claim in CLAIMS.values() for check in claim.checks]
REFUTED = [key for key, claim in CLAIMS.items() if claim.expected["quick"].statement == "refuted"]
GRADIENTS = [
    "value-gradient",
    "query-gradient",
    "key-gradient",
    "vector-output-gradient",
    "causal-gradients",
    "masked-gradients",
    "cross-gradients",
    "multi-head-gradients",
    "mixed-head-gradients",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run for all tests here, also where several processes share them out."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    stored, begun = folder / "run.pickle", folder / "run.begun"
    try:
        begun.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 600
        while not stored.exists():
            assert time.monotonic() < deadline, "the process that runs the claims gave no answer"
            time.sleep(0.2)
        return pickle.loads(stored.read_bytes())
    # in processes of their own, where no import hook checks shapes at twice the cost
    found = ntteach.verify(profile="quick", seed=0, jobs=2)
    whole = folder / "run.whole"
    whole.write_bytes(pickle.dumps(found))
    whole.rename(stored)
    return found


def result_of(run: Run, key: str) -> ClaimResult:
    return next(result for result in run.claims if result.claim.key == key)


# --- what a run finds ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", CLAIMS)
def test_the_verdict_is_the_recorded_one(run: Run, key: str):
    result = result_of(run, key)
    found = {check.check.name: f"{check.outcome}: {check.detail}" for check in result.checks}
    recorded = CLAIMS[key].expected["quick"]
    assert (result.statement, result.proof) == (recorded.statement, recorded.proof), found
    assert not result.moved, found


@pytest.mark.parametrize("key", CLAIMS)
def test_every_check_decides_and_tells_its_mutants_apart(run: Run, key: str):
    for check in result_of(run, key).checks:
        where = f"{check.check.name}: {check.detail}"
        assert check.outcome.decided or check.vacuous, where
        assert check.mutants, where
        assert [mutant.name for mutant in check.mutants if not mutant.refuted] == [], where
        names = [mutant.name for mutant in check.mutants]
        assert len(set(names)) == len(names), where


@pytest.mark.parametrize("key", CLAIMS)
def test_a_pass_says_what_it_looked_at(run: Run, key: str):
    for check in result_of(run, key).checks:
        assert check.cases >= 1
        assert check.scope
        assert check.detail
        if check.outcome is Outcome.SUPPORTS and check.margin is not None:
            assert 0 <= check.margin <= 1


def test_every_numbered_equation_is_covered(run: Run):
    assert run.equations_covered == equations("1-74")
    assert run.moved == ()


@pytest.mark.parametrize("key", GRADIENTS)
def test_gradients_have_three_witnesses_that_share_no_code(run: Run, key: str):
    supporting = {
        check.check.witness
        for check in result_of(run, key).checks
        if check.outcome is Outcome.SUPPORTS
    }
    assert supporting >= {"symbolic", "autograd", "finite-difference"}


@pytest.mark.parametrize("key", GRADIENTS)
def test_gradients_are_proved_tied_to_autograd(key: str):
    tied = [check for check in CLAIMS[key].checks if check.arguments.get("derivation")]
    assert tied
    assert all(check.arguments["block"] for check in tied)


def test_what_is_verified_has_an_exact_argument_and_a_sample(run: Run):
    for result in run.claims:
        if result.statement is Verdict.VERIFIED:
            witnesses = {check.check.witness for check in result.checks}
            assert witnesses & EXACT_WITNESSES, result.claim.key
            assert witnesses - EXACT_WITNESSES - {"trend"}, result.claim.key


def test_what_has_a_trend_only_is_never_called_verified():
    for key, claim in CLAIMS.items():
        if {check.witness for check in claim.checks} <= {"trend", "search"}:
            verdicts = {claim.expected[profile].statement for profile in PROFILES}
            assert verdicts <= {"supported", "refuted"}, key


# --- refutations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", REFUTED)
def test_a_refutation_replays_from_its_data_in_exact_arithmetic(key: str):
    case = CLAIMS[key].counterexample
    assert case is not None
    replay = case.run()
    assert replay.valid
    assert "exact" in replay.arithmetic
    assert not re.search(r"\d\.\d", replay.found)  # fractions, no rounded number
    again = Counterexample(case.replay, json.loads(json.dumps(dict(case.given)))).run()
    assert again == replay


@pytest.mark.parametrize("key", REFUTED)
def test_a_refutation_prints_each_hypothesis_with_its_value(key: str):
    case = CLAIMS[key].counterexample
    assert case is not None
    replay = case.run()
    assert len(replay.hypotheses) >= 2
    assert len({h.name for h in replay.hypotheses}) == len(replay.hypotheses)
    for text in (replay.claimed, replay.found, *(h.value for h in replay.hypotheses)):
        assert text.strip()
        assert " object at " not in text
    assert replay.claimed != replay.found


def leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        for value in data.values():
            yield from leaves(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from leaves(value)
    else:
        yield data


@pytest.mark.parametrize("key", REFUTED)
def test_a_stored_case_holds_whole_numbers_and_fractions_only(key: str):
    case = CLAIMS[key].counterexample
    assert case is not None
    for x in leaves(dict(case.given)):
        assert isinstance(x, int) or x == "causal" or re.fullmatch(r"-?\d+/\d+", x)


@pytest.mark.parametrize("key", REFUTED)
def test_the_replay_of_a_refutation_leaves_its_controls_alone(key: str):
    case = CLAIMS[key].counterexample
    assert case is not None
    given = controls.CONTROLS[key]
    assert given
    for name, data in given.items():
        assert not Counterexample(case.replay, data).run().valid, name
    # one control at least meets every hypothesis: there the claim holds
    replays = [Counterexample(case.replay, data).run() for data in given.values()]
    assert any(all(h.met for h in replay.hypotheses) for replay in replays)


def test_controls_are_those_of_the_refuted_claims():
    assert set(controls.CONTROLS) == set(REFUTED)


@pytest.mark.parametrize("key", REFUTED)
def test_a_refuted_claim_has_a_repair_that_holds(run: Run, key: str):
    repairs = registry.repaired_by(key)
    assert repairs
    for repair in repairs:
        assert result_of(run, repair).statement in (Verdict.VERIFIED, Verdict.SUPPORTED)


def test_what_is_repaired_does_not_hold_as_it_was():
    for claim in CLAIMS.values():
        if claim.repairs is not None:
            broken = CLAIMS[claim.repairs].expected["quick"].statement
            assert broken in ("refuted", "vacuous"), claim.key


def test_only_refuted_claims_store_a_case():
    assert [key for key, claim in CLAIMS.items() if claim.counterexample is not None] == REFUTED


def test_every_claim_is_connected_with_another():
    for key, claim in CLAIMS.items():
        others = {*claim.requires, *claim.paper_uses, *filter(None, [claim.repairs])}
        used = {
            other
            for other, one in CLAIMS.items()
            if key in (*one.requires, *one.paper_uses, one.repairs)
        }
        assert others | used, key


# --- every part is used --------------------------------------------------------------------------


@pytest.mark.parametrize(("claim", "check"), CHECKS, ids=lambda x: getattr(x, "key", ""))
def test_every_check_names_a_function_that_takes_its_arguments(claim: Claim, check: Check):
    function = resolve(check.run)
    inspect.signature(function).bind(claim, None, **check.arguments)
    assert function.__doc__, "a check says what a pass guarantees"
    assert json.dumps(dict(check.arguments))  # plain data: a claim loads nothing


def test_every_evidence_function_is_used_by_a_claim():
    used = {check.run for _, check in CHECKS}
    for info in iter_modules(evidence.__path__, evidence.__name__ + "."):
        module = import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            here = function.__module__ == module.__name__
            if here and list(inspect.signature(function).parameters)[:2] == ["claim", "setting"]:
                assert f"{module.__name__}:{name}" in used, f"no claim uses {name}"


def arguments(name: str) -> set[str]:
    """Every value that some check gives to an argument; of a tuple, each entry."""
    values = (check.arguments.get(name, ()) for _, check in CHECKS)
    return {x for value in values for x in ((value,) if isinstance(value, str) else value)}


def test_every_law_is_looked_at_by_some_check():
    assert set(sentences.LAWS) <= arguments("law") | arguments("mutants") | arguments("controls")


def test_every_domain_is_searched_by_some_check():
    assert set(sentences.DOMAINS) == arguments("domain")


def test_every_replay_is_that_of_some_claim():
    stored = {c.counterexample.replay for c in CLAIMS.values() if c.counterexample is not None}
    replays = {
        f"{info.name}:{name}"
        for info in iter_modules(evidence.__path__, evidence.__name__ + ".")
        for name in vars(import_module(info.name))
        if name.startswith("replay_")
    }
    assert replays == stored


def test_every_derivation_is_read_beside_some_claim():
    folder = derivations.path("definition").parent
    scripts = {f"derivations/{path.name}" for path in folder.glob("*.py")}
    assert scripts == {claim.derivation for claim in CLAIMS.values()} - {None}


def test_every_identity_is_proved_by_some_check():
    proved = {
        (check.arguments["derivation"], name)
        for _, check in CHECKS
        if "derivation" in check.arguments
        for name, *_ in identities.select(
            check.arguments["derivation"], tuple(check.arguments["names"])
        )
    }
    left = [
        (path.stem, name)
        for path in derivations.path("definition").parent.glob("*.py")
        for name, *_ in derivations.load(path.stem).IDENTITIES
        if (path.stem, name) not in proved
    ]
    assert left == []


# --- how claims are written ----------------------------------------------------------------------


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_is_written_in_whole_sentences(key: str):
    claim = CLAIMS[key]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)
    for text in (claim.statement, claim.encoded, claim.found):
        assert re.search(r"\.\)?$", text), text
        assert "  " not in text
        assert text.count("(") == text.count(")")
    assert claim.locus


NUMBER = (
    r"(Eqs?\. \d+(-\d+)?|(Definition|Lemma|Theorem|Proposition|Algorithm|Figure|Table) \d+"
    r"|Section \d+(\.\d+)?|Appendix [A-Z]\.\d+|Abstract)"
)


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_says_where_it_is_found(key: str):
    assert re.fullmatch(NUMBER, CLAIMS[key].number)


@pytest.mark.parametrize("key", [k for k, c in CLAIMS.items() if c.kind == "equation"])
def test_an_equation_is_covered_by_its_own_claim(key: str):
    claim = CLAIMS[key]
    numbers = equations(claim.number.partition(" ")[2])
    covered = {number for check in claim.checks for number in check.equations}
    assert covered >= set(numbers)
    assert {check.witness for check in claim.checks if check.equations} & EXACT_WITNESSES


def test_what_is_said_of_a_gradient_rests_on_the_definition_of_attention():
    for key, claim in CLAIMS.items():
        if any(check.arguments.get("block") for check in claim.checks):
            assert "self-attention" in registry.closure([key]), key


def test_the_recorded_verdicts_of_both_profiles_are_the_same():
    # the quick profile runs the same checks on fewer cases
    for key, claim in CLAIMS.items():
        assert claim.expected["quick"] == claim.expected["full"], key


def test_no_claim_reads_from_a_machine():
    for claim in CLAIMS.values():
        text = json.dumps([claim.statement, claim.encoded, claim.found, claim.locus])
        assert str(Path.home()) not in text
