"""Laws of a run: what is run, that nothing a check does can break it, what is compared."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ntteach.claims import (
    Check,
    Claim,
    Counterexample,
    Evidence,
    Hypothesis,
    Mutant,
    Outcome,
    Registry,
    Replay,
    Run,
    Setting,
    UnknownClaim,
    Verdict,
    record,
    run,
)

CAUGHT = (Mutant("a sign flipped", True),)


# Check functions stand at the top of the module: worker processes import them by name.


def supports(claim: Claim, setting: Setting, cases: int = 3) -> Evidence:
    scope = f"{setting.profile}, seed {setting.seed}, {setting.device}"
    return Evidence(Outcome.SUPPORTS, scope, cases, 0.5, mutants=CAUGHT)


def refutes(claim: Claim, setting: Setting) -> Evidence:
    return Evidence(Outcome.REFUTES, "one", 1, mutants=CAUGHT, counterexample=claim.counterexample)


def raises(claim: Claim, setting: Setting) -> Evidence:
    raise RuntimeError("a tensor\n  of the wrong shape")


def dies(claim: Claim, setting: Setting) -> Evidence:
    os._exit(1)


def answers_with_what_cannot_travel(claim: Claim, setting: Setting) -> Evidence:
    return replace(supports(claim, setting), scope=lambda: None)  # type: ignore[arg-type]


def leaves_a_trace(claim: Claim, setting: Setting, folder: str, name: str) -> Evidence:
    time.sleep(0.05)
    (Path(folder) / name).touch()
    return supports(claim, setting)


def replayed(given: dict[str, Any]) -> Replay:
    met = (Hypothesis("n > 0", given["n"], int(given["n"]) > 0),)
    return Replay("integers", met, "n is even", "n is odd", int(given["n"]) % 2 == 1)


def check(function: Any, name: str = "", witness: str = "sample", **fields: Any) -> Check:
    return Check(name or function.__name__, witness, f"{__name__}:{function.__name__}", **fields)


def claim(key: str, *checks: Check, says: Any = ("supported",), **fields: Any) -> Claim:
    return Claim(
        key=key,
        number="Eq. 1",
        kind=fields.pop("kind", "equation"),
        locus="",
        statement="",
        encoded="",
        checks=checks,
        expected=says if isinstance(says, dict) else record(*says),
        **fields,
    )


PROOF = (check(supports, "proved", "symbolic", equations=("10", "9")), check(supports))


def small() -> Registry:
    """A registry with one claim of each fate."""
    case = Counterexample(f"{__name__}:replayed", {"n": "3"})
    return Registry(
        [
            claim("proved", *PROOF, says=("verified",)),
            claim("sampled", check(supports, equations=("2",)), requires=("proved",)),
            claim("wrong", check(refutes), says=("refuted",), counterexample=case),
            claim("resting-on-wrong", check(supports), paper_uses=("wrong",), requires=("wrong",)),
            claim("broken", check(raises, equations=("7",)), check(supports)),
            claim("unrun", check(supports, profiles=("full",)), says=("supported",)),
        ]
    )


def told(result: Run) -> list[Any]:
    """All of a run but its seconds."""
    return [
        (r.claim.key, r.statement, r.proof, r.failing, [replace(c, seconds=0) for c in r.checks])
        for r in result.claims
    ]


def test_two_processes_find_what_one_finds():
    registry = small()
    assert told(run(registry, jobs=2)) == told(run(registry, jobs=1))


def test_claims_come_in_the_order_of_the_paper_with_all_they_rest_on():
    assert [r.claim.key for r in run(small()).claims] == list(small())
    assert [r.claim.key for r in run(small(), ["sampled"]).claims] == ["proved", "sampled"]
    assert [r.claim.key for r in run(small(), []).claims] == []


def test_verdicts_are_computed_from_the_evidence():
    verdicts = {r.claim.key: (r.statement, r.proof) for r in run(small()).claims}
    assert verdicts == {
        "proved": ("verified", None),
        "sampled": ("supported", None),
        "wrong": ("refuted", None),
        "resting-on-wrong": ("undecided", "refuted"),
        "broken": ("undecided", None),
        "unrun": ("not run", None),
    }


def test_a_check_that_raises_is_an_error_and_the_others_still_run():
    (result,) = run(small(), ["broken"]).claims
    error, other = result.checks
    assert (error.outcome, other.outcome) == (Outcome.ERROR, Outcome.SUPPORTS)
    assert error.detail.startswith("RuntimeError in test_runner.py:")
    assert error.detail.endswith(": a tensor of the wrong shape")  # one line
    assert result.moved


@pytest.mark.parametrize("function", ["no_such_function", "supports"])
def test_a_check_that_cannot_be_loaded_is_an_error(function: str):
    where = Check("lost", "sample", f"no_such_module:{function}")
    (result,) = run(Registry([claim("lost", where)])).claims
    assert result.checks[0].outcome is Outcome.ERROR


@pytest.mark.parametrize("function", [dies, answers_with_what_cannot_travel])
def test_a_worker_that_gives_no_answer_is_an_error(function: Any):
    registry = Registry([claim("lost", check(function), check(raises))])
    (result,) = run(registry, jobs=2).claims
    assert [c.outcome for c in result.checks] == [Outcome.ERROR, Outcome.ERROR]
    assert result.checks[0].detail.startswith("no answer from its process")


def test_checks_are_told_the_setting_and_their_arguments():
    arguments = check(supports, arguments={"cases": 17})
    registry = Registry([claim("a", arguments)])
    (result,) = run(registry, setting=Setting("full", 5, "meta")).claims
    assert result.checks[0].scope == "full, seed 5, meta"
    assert result.checks[0].cases == 17


def test_a_profile_that_leaves_a_check_out_never_counts_it_as_support():
    (quick,) = run(small(), ["unrun"]).claims
    assert quick.checks[0].outcome is Outcome.NOT_RUN
    assert quick.statement is Verdict.NOT_RUN
    assert quick.moved
    (full,) = run(small(), ["unrun"], Setting("full")).claims
    assert full.statement is Verdict.SUPPORTED
    assert not full.moved


@pytest.mark.parametrize("recorded", list(Verdict))
def test_a_verdict_that_differs_in_either_direction_has_moved(recorded: Verdict):
    found = run(Registry([claim("a", check(supports), says=(recorded,))]))
    assert found.claims[0].statement is Verdict.SUPPORTED
    assert found.moved == (() if recorded is Verdict.SUPPORTED else ("a",))


@pytest.mark.parametrize("recorded", [None, "verified", "supported"])
def test_a_proof_that_differs_has_moved(recorded: str | None):
    step = check(supports, of="proof")
    found = run(Registry([claim("a", check(supports, "b"), step, says=("supported", recorded))]))
    assert found.claims[0].proof is Verdict.SUPPORTED
    assert bool(found.moved) == (recorded != "supported")


def test_each_profile_is_compared_with_its_own_record():
    says = record("verified", quick=("supported", None))
    sure = check(supports, "proved", "symbolic", profiles=("full",))
    registry = Registry([claim("a", sure, check(supports), says=says)])
    assert run(registry).moved == ()
    assert run(registry, setting=Setting("full")).moved == ()


def test_an_error_has_moved_whatever_is_recorded():
    found = run(Registry([claim("a", check(raises), says=("undecided",))]))
    assert found.claims[0].statement is Verdict.UNDECIDED
    assert found.moved == ("a",)


def test_only_checks_that_decided_cover_equations():
    assert run(small()).equations_covered == ("2", "9", "10")  # not 7: its check broke
    assert run(small(), ["unrun"]).equations_covered == ()


def test_claims_are_counted_by_verdict():
    counts = run(small()).by_verdict
    assert sum(counts.values()) == len(small())
    assert counts == {"verified": 1, "supported": 1, "undecided": 2, "not run": 1, "refuted": 1}


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_every_check_once(jobs: int):
    seen: list[tuple[int, int, str]] = []
    run(small(), jobs=jobs, progress=lambda *step: seen.append(step))
    total = sum(len(one.checks) for one in small().values())
    assert [(done, of) for done, of, _ in seen] == [(i + 1, total) for i in range(total)]
    assert {name for *_, name in seen} == {
        f"{key}: {c.name}" for key, one in small().items() for c in one.checks
    }


def test_an_interrupted_run_starts_no_more_checks(tmp_path: Path):
    names = [str(index) for index in range(40)]
    checks = [
        check(leaves_a_trace, name, arguments={"folder": str(tmp_path), "name": name})
        for name in names
    ]

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Registry([claim("a", *checks)]), jobs=2, progress=interrupt)
    assert len(list(tmp_path.iterdir())) < len(names) / 2  # those under way may end


def test_an_assumption_makes_conditional_what_rests_on_it():
    registry = Registry(
        [
            claim("assumed", kind="assumption", says=("not run",)),
            claim("a", *PROOF, requires=("assumed",), paper_uses=("assumed",)),
        ]
    )
    assumed, resting = run(registry).claims
    assert assumed.statement is Verdict.NOT_RUN
    assert (resting.statement, resting.proof) == ("conditional", "conditional")


def test_a_counterexample_that_leaves_a_hypothesis_refutes_nothing():
    bad = Counterexample(f"{__name__}:replayed", {"n": "-3"})
    (result,) = run(Registry([claim("a", check(refutes), counterexample=bad)])).claims
    assert result.statement is Verdict.UNDECIDED
    assert "n > 0" in result.checks[0].detail


def test_an_unknown_claim_is_told_before_anything_runs():
    with pytest.raises(UnknownClaim):
        run(small(), ["proved", "no-such-claim"], progress=lambda *_: pytest.fail("it ran"))


def test_no_run_without_a_process():
    with pytest.raises(ValueError, match="at least 1"):
        run(small(), jobs=0)


def test_the_environment_says_what_the_numbers_may_depend_on():
    environment = run(small(), [], Setting(seed=9, device="cpu")).environment
    assert list(environment) == ["python", "torch", "device", "dtype", "seed", "commit"]
    assert environment["seed"] == 9
