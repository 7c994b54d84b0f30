"""Laws of claims and of the registry that holds them."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from ntteach.claims import Check, Claim, Evidence, Outcome, Registry, Setting, UnknownClaim, record
from ntteach.claims.model import PROFILES


def claim(key: str, **fields: Any) -> Claim:
    defaults: dict[str, Any] = {
        "number": "Eq. 1",
        "kind": "equation",
        "locus": "Section 1",
        "statement": "Two is even.",
        "encoded": "for the one case",
        "checks": (),
        "expected": record("not run"),
    }
    return Claim(key=key, **{**defaults, **fields})


def test_claims_stay_in_the_order_of_the_paper():
    registry = Registry([claim("c", requires=("a",)), claim("b"), claim("a")])
    assert list(registry) == ["c", "b", "a"]
    assert len(registry) == 3


def test_a_claim_is_judged_after_all_that_it_rests_on():
    registry = Registry([claim("c", requires=("a",), paper_uses=("b",)), claim("b"), claim("a")])
    assert registry.order.index("c") > max(registry.order.index("a"), registry.order.index("b"))


def test_closure_holds_all_that_a_claim_rests_on_and_nothing_else():
    registry = Registry(
        [
            claim("a"),
            claim("b", requires=("a",)),
            claim("other"),
            claim("c", paper_uses=("b",)),
            claim("fix", kind="repair", repairs="c"),
        ]
    )
    assert registry.closure(["c"]) == ("a", "b", "c")
    assert registry.closure(["c", "a"]) == ("a", "b", "c")
    assert registry.closure(["fix"]) == ("fix",)  # a repair does not rest on what it repairs
    assert registry.closure(registry) == tuple(registry)


def test_repaired_by_names_the_repairs():
    registry = Registry([claim("broken"), claim("fix", kind="repair", repairs="broken")])
    assert registry.repaired_by("broken") == ("fix",)
    assert registry.repaired_by("fix") == ()


def test_an_unknown_claim_is_told_with_the_nearest_keys():
    registry = Registry([claim("query-gradient"), claim("key-gradient")])
    with pytest.raises(UnknownClaim, match="did you mean query-gradient") as caught:
        registry["query-gradiant"]
    assert str(caught.value).startswith("no claim 'query-gradiant'")  # no quotes of a KeyError
    with pytest.raises(UnknownClaim, match="ntteach list"):
        registry["zzz"]
    with pytest.raises(UnknownClaim):
        registry.closure(["zzz"])
    assert "zzz" not in registry


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ([claim("a"), claim("a")], "two claims have the key 'a'"),
        ([claim("a", requires=("b",))], "names 'b', which is no claim"),
        ([claim("a", paper_uses=("b",))], "names 'b', which is no claim"),
        ([claim("a", kind="repair", repairs="b")], "names 'b', which is no claim"),
        ([claim("a", requires=("b",)), claim("b", paper_uses=("a",))], "in a circle: a -> b -> a"),
        ([claim("a", requires=("a",))], "in a circle"),
    ],
)
def test_a_registry_that_hangs_together_wrongly_is_no_registry(claims: list[Claim], says: str):
    with pytest.raises(ValueError, match=says):
        Registry(claims)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"key": "Query_Gradient"}, "lower-case slug"),
        ({"kind": "hunch"}, "unknown kind"),
        ({"kind": "repair"}, "go together"),
        ({"repairs": "b"}, "go together"),
        ({"expected": {"quick": record("verified")["quick"]}}, "for each profile"),
        ({"checks": (Check("x", "sample", "m:f"), Check("x", "exact", "m:f"))}, "share a name"),
    ],
)
def test_a_claim_that_cannot_be_meant_is_refused(fields: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        claim(**{"key": "a", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"witness": "hearsay"},
        {"of": "title"},
        {"run": "module.function"},
        {"equations": ("11a",)},
        {"equations": ("Eq. 11",)},
    ],
)
def test_a_check_that_cannot_be_meant_is_refused(fields: dict[str, Any]):
    with pytest.raises(ValueError, match="check 'x'"):
        Check(**{"name": "x", "witness": "sample", "run": "m:f", **fields})


def test_evidence_never_measures_what_is_not_a_number():
    with pytest.raises(ValueError, match="NaN"):
        Evidence(Outcome.SUPPORTS, "one case", 1, margin=math.nan)


@pytest.mark.parametrize("outcome", [Outcome.SUPPORTS, Outcome.REFUTES])
def test_a_check_that_decides_looked_at_a_case(outcome: Outcome):
    with pytest.raises(ValueError, match="cases=0"):
        Evidence(outcome, "none", 0)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="quick, full"):
        Setting(profile="slow")


def test_record_says_the_same_for_both_profiles_unless_told_otherwise():
    same = record("verified", "refuted")
    assert set(same) == set(PROFILES)
    assert same["quick"] == same["full"]
    less = record("verified", quick=("supported", None))
    assert (less["quick"].statement, less["full"].statement) == ("supported", "verified")


def test_a_recorded_verdict_is_one_of_the_verdicts():
    with pytest.raises(ValueError, match="true"):
        record("true")


def test_claims_load_no_numerical_library():
    heavy = {"torch", "numpy", "sympy", "hypothesis", "jaxtyping", "rich"}
    code = f"import sys, ntteach.claims; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
