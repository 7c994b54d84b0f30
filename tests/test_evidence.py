"""The evidence itself: each check sees what is planted, and its two sides share no mistake."""

# sympy annotates sums and differences as if they could be relations.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy
from torch import Tensor

from ntteach import oracles, symbols
from ntteach.claims import Check, Counterexample, Evidence, Outcome, Setting
from ntteach.claims.verdict import judge
from ntteach.paper import registry
from ntteach.paper.evidence import (
    arithmetic,
    blocks,
    contrasts,
    controls,
    definitions,
    elementwise,
    gradients,
    identities,
    sentences,
    ties,
    training,
)
from ntteach.paper.evidence.arithmetic import EXACT, FLOATS, Arithmetic

QUICK = Setting()
CLAIM = registry["self-attention"]  # evidence functions read the claim only for its stored case


def outcome(evidence: Evidence) -> Outcome:
    """What is left of evidence after the gates of the runner."""
    return judge(Check("x", "sample", "m:f"), evidence).outcome


# --- identities ----------------------------------------------------------------------------------

TIED = [
    ("value_gradient", "(10) any v", "W_V", "self"),
    ("query_gradient", "(11) covariance form, v = 1", "W_Q", "scalar"),
    ("query_gradient", "(11) covariance form, any v", "W_Q", "self"),
    ("key_gradient", "(12) covariance form, any v", "W_K", "self"),
    ("causal_mask", "(23) causal: query", "W_Q", "causal"),
    ("causal_mask", "(23) any mask: key", "W_K", "masked"),
    ("causal_mask", "(23) causal, weighted: value", "W_V", "causal, weighted"),
    ("causal_mask", "(23) causal, weighted: query", "W_Q", "causal, weighted"),
    ("causal_mask", "(23) causal, weighted: key", "W_K", "causal, weighted"),
    ("cross_attention", "(23) cross-attention: key", "W_K", "cross"),
    ("multi_head", "heads side by side: query", "W_Q", "multi-head"),
    ("multi_head", "heads mixed: key", "W_K", "projected"),
    ("multi_head", "heads mixed: output", "W_O", "projected"),
    ("tangent_kernel", "one head: all parameters", "kernel", "self"),
    ("tangent_kernel", "any mask: query", "kernel W_Q", "masked"),
    ("tangent_kernel", "cross-attention: value", "kernel W_V", "cross"),
    ("tangent_kernel", "heads side by side: key", "kernel W_K", "multi-head"),
    ("tangent_kernel", "heads mixed: output", "kernel W_O", "projected"),
    ("tangent_expansion", "(14)", "line", "self"),
    ("tangent_expansion", "(13) first order: query", "line W_Q", "self"),
    ("tangent_expansion", "(13) no remainder", "step W_V", "self"),
    ("tangent_expansion", "(56) gradient descent: key", "loss W_K", "self"),
    ("tangent_expansion", "(57) any loss: value", "flow W_V", "self"),
]


@pytest.mark.parametrize(("derivation", "name", "block", "form"), TIED)
def test_derivatives_are_those_of_the_oracle_and_their_doubles_are_not(
    derivation: str, name: str, block: str, form: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ties, "PLACES", 4)
    (_, lhs, rhs), *_ = identities.select(derivation, (name,))
    assert identities.oracle_margin((name, lhs, rhs), block, form, 0) <= 1
    assert identities.oracle_margin((name, lhs, 2 * rhs), block, form, 0) > 1e6


def closed_form_of(derivation: str, name: str) -> sympy.Expr:
    return identities.select(derivation, (name,))[0][2]


QUERY = ("query_gradient", "(11) covariance form, any v")
KEY = ("key_gradient", "(12) covariance form, any v")


@pytest.mark.parametrize(
    ("side", "block", "form"),
    [
        (QUERY, "W_K", "self"),  # true by definition, of another block
        (KEY, "W_Q", "self"),
        (QUERY, "W_Q", "causal"),  # of another variant of attention
        (KEY, "W_K", "masked"),
        (("causal_mask", "(23) causal: query"), "W_Q", "self"),
    ],
)
def test_a_tautology_about_something_else_is_seen(side: tuple[str, str], block: str, form: str):
    rhs = closed_form_of(*side)
    if form == "masked":
        rhs = rhs + 0 * symbols.m[symbols.j, symbols.k]
    assert identities.oracle_margin(("x = x", rhs, rhs), block, form, 0) > 1e6


def test_the_tie_to_the_oracle_looks_at_both_sides():
    ((name, lhs, rhs),) = identities.select(QUERY[0], (QUERY[1],))
    for one in ((name, 2 * lhs, rhs), (name, lhs, -rhs)):
        assert identities.oracle_margin(one, "W_Q", "self", 1) > 1e6


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evidence]:
    """Evidence for identities of a derivation that is made up here."""
    load = identities.derivations.load

    def prove(*planted: identities.Identity, names: tuple[str, ...] = ("",), **fields: Any):
        name = f"planted {random.getrandbits(64)}"  # the proofs of a derivation are remembered
        script = SimpleNamespace(IDENTITIES=list(planted))
        monkeypatch.setattr(
            identities.derivations, "load", lambda asked: script if asked == name else load(asked)
        )
        return identities.proved(CLAIM, QUICK, derivation=name, names=names, **fields)

    return prove


def quotient() -> tuple[sympy.Expr, sympy.Expr]:
    (_, lhs, rhs), *_ = identities.select("row_by_row", ("(26)-(28)",))
    return lhs, rhs


def test_a_true_identity_is_proved(planted: Callable[..., Evidence]):
    found = planted(("true", *quotient()))
    assert outcome(found) is Outcome.SUPPORTS
    assert found.cases == 1
    assert any("put to the proof" in mutant.name for mutant in found.mutants)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda lhs, rhs: (lhs, 2 * rhs),
        lambda lhs, rhs: (-lhs, rhs),
        lambda lhs, rhs: (lhs, rhs + 1),
        lambda lhs, rhs: (lhs, rhs / symbols.normaliser(symbols.j)),
    ],
)
def test_a_false_identity_is_refuted_and_named(wrong: Any, planted: Callable[..., Evidence]):
    lhs, rhs = quotient()
    found = planted(("true", lhs, rhs), ("false", *wrong(lhs, rhs)))
    assert found.outcome is Outcome.REFUTES
    assert "not brought to zero: false" in found.detail
    assert "unequal at an exact case: false" in found.detail
    assert "true" not in found.detail


def test_a_proof_that_accepts_anything_is_found_out(
    planted: Callable[..., Evidence], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(symbols, "is_zero", lambda lhs, rhs: True)
    assert outcome(planted(("true", *quotient()))) is Outcome.ERROR
    lhs, rhs = quotient()
    assert planted(("false", lhs, 2 * rhs)).outcome is Outcome.REFUTES


def test_a_proof_that_accepts_nothing_is_found_out(
    planted: Callable[..., Evidence], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(symbols, "is_zero", lambda lhs, rhs: False)
    assert planted(("true", *quotient())).outcome is Outcome.REFUTES


def test_numbers_that_are_all_the_same_are_found_out(
    planted: Callable[..., Evidence], monkeypatch: pytest.MonkeyPatch
):
    def ones(exprs: list[Any], sizes: Any, values: Any, places: list[Any]) -> Any:
        return [[sympy.Integer(1) for _ in places] for _ in exprs]

    monkeypatch.setattr(symbols, "evaluate_all", ones)
    assert outcome(planted(("true", *quotient()))) is Outcome.ERROR


def test_a_tautology_is_refuted_where_it_is_tied_to_the_oracle(planted: Callable[..., Evidence]):
    rhs = 3 * closed_form_of(*QUERY)
    found = planted(("three times Eq. 11", rhs, rhs), block="W_Q")
    assert found.outcome is Outcome.REFUTES
    assert "differs from autograd" in found.detail
    assert "not brought to zero" not in found.detail


def test_identities_are_chosen_by_the_beginnings_of_their_names():
    all_names = [name for name, *_ in identities.select("query_gradient", ("",))]
    assert len(all_names) == 4
    one, two = all_names[1], all_names[3]
    assert [name for name, *_ in identities.select("query_gradient", (two, one))] == [one, two]


@pytest.mark.parametrize("names", [("(11)", "(99)"), ("quotient",)])
def test_a_name_that_no_identity_has_is_told(names: tuple[str, ...]):
    with pytest.raises(ValueError, match="has no identity"):
        identities.select("query_gradient", names)
    with pytest.raises(FileNotFoundError, match="no derivation 'nothing'"):
        identities.select("nothing", ("",))


def test_a_closed_form_that_reads_other_rows_is_seen(planted: Callable[..., Evidence]):
    S, j, k, a = symbols.S, symbols.j, symbols.k, symbols.a
    own = ("own", S[j, a], S[j, a] * symbols.total(symbols.M, lambda x: symbols.C[x, a]))
    other = ("other", S[j, a], S[j, a] + S[k, a])
    chosen = identities.select
    for lines, expected in (([own], Outcome.SUPPORTS), ([own, other], Outcome.REFUTES)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(identities, "select", lambda *_, lines=lines: lines)
            found = identities.row_sees_own_element(CLAIM, QUICK, derivation="x", names=())
        assert found.outcome is expected
        assert all(mutant.refuted for mutant in found.mutants if "own:" in mutant.name)
    assert identities.select is chosen


def test_a_gradient_with_a_free_element_index_is_seen(monkeypatch: pytest.MonkeyPatch):
    rows = identities.select("length_scaling", ("sequence repeated",))
    monkeypatch.setattr(identities, "select", lambda *_: rows)
    found = identities.bound_by_sums(CLAIM, QUICK, derivation="length_scaling", names=("",))
    assert found.outcome is Outcome.REFUTES


# --- two arithmetics -----------------------------------------------------------------------------


def drawn(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    L, d, v = draw.choice([(1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 1, 1), (3, 2, 1)])

    def matrix(rows: int, columns: int) -> list[list[Any]]:
        return [
            [draw.choice([-2, -1, 0, 1, 2, "1/2"]) for _ in range(columns)] for _ in range(rows)
        ]

    given: dict[str, Any] = {"S": matrix(L, d), "W_Q": matrix(d, d), "W_K": matrix(d, d)}
    given["W_V"] = matrix(d, v)
    mask = draw.choice(
        [None, "causal", [[int(j != k or L == 1) for k in range(L)] for j in range(L)]]
    )
    return given if mask is None else given | {"mask": mask}


@pytest.mark.parametrize("seed", range(12))
def test_exact_and_float_arithmetic_agree(seed: int):
    exact, floats = (arithmetic.read(drawn(seed), one) for one in (EXACT, FLOATS))

    def equal(x: Any, y: Any) -> bool:
        return x.shape == y.shape and np.allclose(x.astype(float), y, rtol=1e-9, atol=1e-9)

    assert equal(arithmetic.output(exact), arithmetic.output(floats))
    assert equal(arithmetic.weights(exact), arithmetic.weights(floats))
    if exact.W_V.shape[1] == 1:
        assert equal(arithmetic.omega(exact), arithmetic.omega(floats))
    one, other = (arithmetic.jacobian(p) for p in (exact, floats))
    assert all(equal(one[name], other[name]) for name in arithmetic.BLOCKS)


def test_what_is_exact_stays_exact():
    p = arithmetic.read({"S": [[0], ["1/2"]], "W_Q": [[2]], "W_K": [[1]], "W_V": [["1/3"]]}, EXACT)
    # logits of row 1: 0 and (1/2)(1/2) 2 log 2 = log(2) / 2
    root = sympy.sqrt(2)
    assert EXACT.same(arithmetic.weights(p)[1], np.array([1 / (1 + root), root / (1 + root)]))
    assert not EXACT.same(arithmetic.weights(p)[1], np.array([1, 1]) / sympy.Integer(2))


def test_nearly_equal_is_not_exactly_equal():
    third = np.array([sympy.Rational(1, 3)])
    assert not EXACT.same(third, np.array([sympy.Rational(10**12 + 1, 3 * 10**12)]))
    assert not EXACT.same(third, np.array([sympy.Rational(1, 3)] * 2))
    assert FLOATS.same(np.array([1 / 3]), np.array([1 / 3 + 1e-12]))
    assert not FLOATS.same(np.array([1 / 3]), np.array([1 / 3 + 1e-6]))
    assert not FLOATS.same(np.array([1.0]), np.array([np.nan]))


# --- laws ----------------------------------------------------------------------------------------

ONES = {"W_Q": [[1]], "W_K": [[1]], "W_V": [[1]]}
PAIR = {"S": [[1], [2]], **ONES}
EYE = [[1, 0], [0, 1]]
PLANE = {"S": [[1, 0], [0, 2]], "W_Q": EYE, "W_K": [[1, 1], [0, 1]], "W_V": [[1, 0], [1, -1]]}
OPPOSITE = {"S": [[1], [-1]], "W_Q": [["1/2"]], "W_K": [[1]], "W_V": [["9/8"]]}
CAUSAL = {"mask": "causal"}
TURN, STAY = {"order": [1, 0]}, {"order": [0, 1]}
COPIES = {"repeats": 2, "output_grad": [[1], [2]]}
SQUARE = {"S": EYE, "W_Q": EYE, "W_K": EYE, "W_V": [[1], [-1]]}
SHEAR = [[1, 1], [0, 1]]
ROTATION = [["3/5", "4/5"], ["-4/5", "3/5"]]
BOTH = PAIR | {"second": [[0], [3]], "other_order": [0, 1]}

# Cases on which a law holds, cases that break it. True laws are broken by none.
CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "gradient rows follow": (
        [PAIR | TURN, PLANE | TURN, PAIR | STAY | CAUSAL],
        [PAIR | TURN | CAUSAL],
    ),
    "gradient rows follow, mask moved along": ([PAIR | TURN | CAUSAL, PLANE | TURN | CAUSAL], []),
    "rows stay": ([PAIR | STAY], [PAIR | TURN]),
    "output rows stay": ([PAIR | STAY], [PAIR | TURN]),
    "first output is invariant": ([PAIR | STAY], [PAIR | TURN]),
    "output is invariant": ([PAIR | STAY], [PAIR | TURN]),
    "output is equivariant": ([PAIR | TURN, PLANE | TURN], [PAIR | TURN | CAUSAL]),
    "readout is invariant": ([PAIR | TURN, PLANE | TURN], [PAIR | TURN | CAUSAL]),
    "importance is nonnegative": ([PAIR], [PAIR | {"W_V": [[-1]]}]),
    "importance is normalised": ([OPPOSITE | {"W_V": [["9/16"]]}], [PAIR, OPPOSITE]),
    "one value per element": (
        [PAIR],
        [{"S": EYE, "W_Q": EYE, "W_K": [[1, 0], [0, 2]], "W_V": [[1], [0]]}],
    ),
    "importance is shared": ([OPPOSITE], [PAIR]),
    "importance grows": (
        [{"S": [[0], [0], [0], [0], [1]], **ONES, "sharpen": 2}],
        [{"S": [[0], [1]], **ONES, "sharpen": 2}],
    ),
    "importance vanishes": ([PAIR, OPPOSITE, PAIR | {"W_Q": [[20]]}], []),
    "importance vanishes quadratically": ([{"S": [[1]], **ONES}], [PAIR]),
    "weights are normalised": ([PAIR, PLANE, PAIR | CAUSAL], []),
    "columns are normalised": ([OPPOSITE], [PAIR]),
    "key and value rows are multiples": ([PAIR], [PLANE]),
    "query rows are multiples": ([PAIR, PLANE, PLANE | CAUSAL], []),
    "rows mix elements": ([PAIR, PLANE, PLANE | CAUSAL], []),
    "rows hold their own element": ([{"S": [[1]], **ONES}], [PAIR]),
    "rows depend on own element": (
        [PAIR | {"changed": 1, "other": [2]}],
        [PAIR | {"changed": 1, "other": [3]}],
    ),
    "repetition": ([PAIR | COPIES], [PAIR | COPIES | CAUSAL]),
    "repetition, mask repeated": ([PAIR | COPIES | CAUSAL], []),
    "sum stays": ([PAIR | {"repeats": 2, "output_grad": [[0], [0]]}], [PAIR | COPIES]),
    "longer sequence": ([{"S": [[1]], **ONES, "more": [[1]]}], [PAIR | {"more": [[3]]}]),
    "padding, masked": ([PAIR | {"padding": 2}, PLANE | {"padding": 1}], []),
    "padding, unmasked": ([{"S": [[0]], **ONES, "padding": 1}], [PAIR | {"padding": 1}]),
    "both means agree": ([{"losses": [[1, 3], [0, 2]]}], [{"losses": [[1], [0, 0]]}]),
    "both means agree, equal lengths": ([{"losses": [[1, 3], [0, 2]]}], []),
    "first mean is all": ([{"losses": [[1], [1]]}], [{"losses": [[1], [2]]}]),
    "means lie between the extremes": ([{"losses": [[1], [0, 0]]}], []),
    "kernel is definite": (
        [PAIR, PAIR | {"others": []}],
        [PAIR | {"S": [[0], [1], [2]]}, PAIR | {"others": [[[0], [-1]]]}],
    ),
    "kernel is semi-definite": (
        [PAIR | {"direction": [1, -1]}, SQUARE | {"direction": [1, 0]}],
        [],
    ),
    "kernel less a tenth is semi-definite": (
        [PAIR | {"direction": [1, 1]}],
        [{"S": [[1], [1]], **ONES, "direction": [1, -1]}],
    ),
    "rank is bounded": ([PAIR, PLANE, SQUARE, PAIR | {"others": [[[3], [0]]]}], []),
    "rank is below its bound": ([{"S": [[1]], **ONES}], [PAIR]),
    "repeated token is singular": ([PAIR | {"again": 0}, SQUARE | {"again": 1}], []),
    "repeated token is singular, causal": ([PAIR | {"again": 0}], [SQUARE | {"again": 0}]),
    "reordered copy is singular": ([PAIR | TURN, SQUARE | TURN], []),
    "reordered copy is singular, causal": ([PAIR | TURN, SQUARE | STAY], [SQUARE | TURN]),
    "padding is singular": ([PAIR | {"padding": 2}, SQUARE | {"padding": 2}], []),
    "real places are singular": (
        [{"S": [[2], [2]], **ONES, "padding": 2}],
        [PAIR | {"padding": 2}],
    ),
    "basis leaves the output": ([PAIR | {"basis": [[2]]}, PLANE | {"basis": SHEAR}], []),
    "one basis for queries and keys": ([PAIR | {"basis": [[-1]]}], [PAIR | {"basis": [[2]]}]),
    "basis leaves the kernel": (
        [PAIR | {"basis": [[-1]]}, PLANE | {"basis": ROTATION}],
        [PAIR | {"basis": [[2]]}, PLANE | {"basis": SHEAR}],
    ),
    "orthogonal basis leaves the kernel": (
        [PAIR | {"basis": [[-1]]}, PLANE | {"basis": ROTATION}],
        [],
    ),
    "kernel follows": ([BOTH | TURN, BOTH | STAY | CAUSAL], [BOTH | TURN | CAUSAL]),
    "kernel follows, mask moved along": ([BOTH | TURN | CAUSAL, BOTH | TURN], []),
    "kernel stays": ([BOTH | STAY], [BOTH | TURN]),
}
# A spoiled law breaks wherever the law holds, unless what is spoiled is zero.
CASES |= {
    f"{law}, {name} spoiled": ([CASES[law][0][0] | {"S": [[0], [0]]}], CASES[law][0][:1])
    for law, names in sentences.SPOILED.items()
    for name in names
}

# Laws of function space have their cases in files of their own.
for file in sorted(Path(__file__).parent.glob("law_cases_*.py")):
    CASES |= import_module(file.stem).CASES


def test_every_law_has_cases_here():
    assert set(CASES) == set(sentences.LAWS)
    assert all(holding for holding, _ in CASES.values())


@pytest.mark.parametrize("numbers", [EXACT, FLOATS], ids=["exact", "floats"])
@pytest.mark.parametrize("law", CASES)
def test_laws_hold_and_break_where_they_should(law: str, numbers: Arithmetic):
    holding, breaking = CASES[law]
    for given in holding:
        finding = sentences.LAWS[law](given, numbers)
        assert finding.holds, (given, finding)
        assert all(h.met for h in finding.hypotheses), (given, finding)
    for given in breaking:
        finding = sentences.LAWS[law](given, numbers)
        assert finding.violated, (given, finding)


SEARCHED = [
    (key, check.arguments["law"], check.arguments["mutants"])
    for key, claim in registry.items()
    for check in claim.checks
    if check.run.endswith("sentences:search_holds")
]


@pytest.mark.parametrize(("key", "law", "mutants"), SEARCHED, ids=lambda x: str(x)[:40])
def test_a_law_that_is_searched_has_a_mutant_of_its_own(
    key: str, law: str, mutants: tuple[str, ...]
):
    def function(name: str) -> Any:
        return getattr(sentences.LAWS[name], "func", sentences.LAWS[name])

    assert any(function(mutant) is function(law) for mutant in mutants)
    # what a law compares is spoiled part by part
    spoiled = {f"{law}, {name} spoiled" for name in sentences.SPOILED.get(law, ())}
    assert spoiled <= set(mutants)


CLOSE = Arithmetic(**{**vars(FLOATS), "same": lambda x, y: np.allclose(x, y, 0.05, 0.05)})


@pytest.mark.parametrize("law", sentences.SPOILED)
def test_a_spoiled_law_sees_a_loose_tolerance(law: str):
    (given, *_), _ = CASES[law]
    for name in sentences.SPOILED[law]:
        assert not sentences.LAWS[f"{law}, {name} spoiled"](given, FLOATS).holds
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(arithmetic, "FLOATS", CLOSE)  # read() asks for it by name
            assert sentences.LAWS[f"{law}, {name} spoiled"](given, CLOSE).holds


REFUTED_OUTSIDE = [
    (key, name)
    for key, cases in controls.CONTROLS.items()
    for name in cases
    if name in controls.OUTSIDE
]


@pytest.mark.parametrize(("key", "name"), REFUTED_OUTSIDE)
def test_a_case_outside_one_hypothesis_would_refute_without_it(key: str, name: str):
    stored = registry[key].counterexample
    assert stored is not None
    replay = Counterexample(stored.replay, controls.CONTROLS[key][name]).run()
    assert replay.refutes
    assert [h.name for h in replay.hypotheses if not h.met] == [controls.OUTSIDE[name]]


def test_every_refuted_law_about_weights_has_a_case_outside():
    read = {key for key, cases in controls.CONTROLS.items() if "S" in next(iter(cases.values()))}
    assert {key for key, _ in REFUTED_OUTSIDE} == read
    zero = {key for key, name in REFUTED_OUTSIDE if name == "W_Q is zero"}
    assert read - zero == {"permutation-invariance", "importance-grows"}


OUTSIDE: dict[str, dict[str, Any]] = {
    "a weight is zero": PAIR | TURN | CAUSAL | {"W_V": [[0]]},
    "not an order": PAIR | CAUSAL | {"order": [1, 1]},
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_case_outside_the_hypotheses_violates_nothing(case: str):
    finding = sentences.LAWS["gradient rows follow"](OUTSIDE[case], EXACT)
    assert not finding.violated
    assert any(not h.met for h in finding.hypotheses)


def test_laws_about_one_output_do_not_speak_of_two():
    for law in ("importance is nonnegative", "importance is shared", "importance vanishes"):
        assert not sentences.LAWS[law](PLANE, FLOATS).violated


def test_unit_importance_is_a_hypothesis():
    law = sentences.importance_laws.unit_importance_gives_a_linear_layer
    assert not law(PAIR, EXACT).violated  # omega is not one
    assert law(OPPOSITE, EXACT).holds
    stored = registry["unit-importance-linear-layer"].counterexample
    assert stored is not None
    assert law(stored.given, EXACT).violated
    assert law(stored.given, EXACT, blocks=("W_Q",)).holds


def test_an_existence_is_not_found_where_there_is_none():
    arguments = {"law": "importance is shared", "controls": {"one element": {"S": [[1]], **ONES}}}
    assert outcome(sentences.exists(CLAIM, QUICK, given=PAIR, **arguments)) is Outcome.SUPPORTS
    assert sentences.exists(CLAIM, QUICK, given=OPPOSITE, **arguments).outcome is Outcome.REFUTES
    bad = arguments | {"controls": {"differ as well": PAIR}}
    assert outcome(sentences.exists(CLAIM, QUICK, given=PAIR, **bad)) is Outcome.ERROR


@pytest.mark.parametrize(
    ("law", "domain", "mutants", "expected"),
    [
        ("query rows are multiples", "two columns", ("rows hold their own element",), "supports"),
        ("output is invariant", "order", ("rows stay",), "refutes"),
        ("output is equivariant", "order", ("readout is invariant",), "error"),
    ],
)
def test_searches_come_out_either_way(
    law: str, domain: str, mutants: tuple[str, ...], expected: str
):
    found = sentences.search_holds(CLAIM, QUICK, law=law, domain=domain, mutants=mutants)
    assert outcome(found) == expected


# --- elementwise ---------------------------------------------------------------------------------


TRUE_JACOBIAN = arithmetic.jacobian
REMEMBERED: dict[str, dict[str, Any]] = {}


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each small case is differentiated once for all tests."""

    def jacobian(p: arithmetic.Problem) -> dict[str, Any]:
        matrices = (p.S, p.W_Q, p.W_K, p.W_V, p.mask)
        key = repr([None if x is None else x.tolist() for x in matrices])
        if key not in REMEMBERED:
            REMEMBERED[key] = TRUE_JACOBIAN(p)
        return REMEMBERED[key]

    monkeypatch.setattr(elementwise, "jacobian", jacobian)


Formula = Callable[[Any], Any]


def last_entry_doubled(block: Any) -> Any:
    factors = np.ones(block.size, dtype=int)
    factors[-1] = 2
    return block * factors.reshape(block.shape)


FORMULAS: dict[str, Callable[[Formula], Formula]] = {
    "a sign": lambda f: lambda p: -f(p),
    "a factor": lambda f: lambda p: 2 * f(p),
    "a factor of one entry": lambda f: lambda p: last_entry_doubled(f(p)),
    "features reversed": lambda f: lambda p: f(p)[:, ::-1],
    "of another sequence": lambda f: lambda p: f(p.reordered(list(range(p.length))[::-1])),
}


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("block", elementwise.FORMULAS)
def test_formulas_are_the_derivatives_entry_by_entry(block: str, mask: str | None):
    found = elementwise.exact_entries(CLAIM, QUICK, block=block, mask=mask)
    assert outcome(found) is Outcome.SUPPORTS
    for error, change in FORMULAS.items():
        wrong = {**elementwise.FORMULAS, block: change(elementwise.FORMULAS[block])}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(elementwise, "FORMULAS", wrong)
            found = elementwise.exact_entries(CLAIM, QUICK, block=block, mask=mask)
        assert found.outcome is Outcome.REFUTES, error


# --- numbers against independent witnesses -------------------------------------------------------


def without_scale(params: Any, S: Tensor, **fields: Any) -> Tensor:
    """A forward pass that forgot to divide by sqrt(d)."""
    width = params["W_Q"].shape[-1] // fields.get("heads", 1)
    return TRUE_ATTENTION({**params, "W_Q": params["W_Q"] * width**0.5}, S, **fields)


def of_reversed_values(params: Any, S: Tensor, **fields: Any) -> Tensor:
    """A forward pass whose values come from the columns of W_V in reverse, and doubled."""
    return TRUE_ATTENTION({**params, "W_V": 2 * params["W_V"].flip(-1)}, S, **fields)


TRUE_ATTENTION, TRUE_LOOPS = oracles.attention, oracles.attention_loops
WRONG_PASSES = {"scale forgotten": without_scale, "values doubled": of_reversed_values}

BY_ORACLE: dict[str, tuple[Callable[..., Evidence], dict[str, str]]] = {
    "autograd, values": (gradients.autograd, {"block": "W_V", "form": "self"}),
    "autograd, queries": (gradients.autograd, {"block": "W_Q", "form": "scalar"}),
    "autograd, keys": (gradients.autograd, {"block": "W_K", "form": "masked"}),
    "differences, queries": (gradients.finite_difference, {"block": "W_Q", "form": "cross"}),
    "differences, keys": (gradients.finite_difference, {"block": "W_K", "form": "causal"}),
    "autograd, output matrix": (gradients.autograd, {"block": "W_O", "form": "projected"}),
    "blocks": (blocks.flat, {"form": "scalar"}),
    "one step": (training.step, {}),
    "one step by differences": (training.step_by_differences, {}),
    "product": (training.product, {}),
    "readout": (contrasts.readout_gradient, {}),
    "rows given the context": (contrasts.rows_given_context, {}),
}


@pytest.mark.parametrize("check", BY_ORACLE)
def test_checks_against_the_oracle_support(check: str):
    function, arguments = BY_ORACLE[check]
    assert outcome(function(CLAIM, QUICK, **arguments)) is Outcome.SUPPORTS


@pytest.mark.parametrize("wrong", WRONG_PASSES)
@pytest.mark.parametrize("check", BY_ORACLE)
def test_checks_against_a_wrong_oracle_do_not(
    check: str, wrong: str, monkeypatch: pytest.MonkeyPatch
):
    function, arguments = BY_ORACLE[check]
    monkeypatch.setattr(oracles, "attention", WRONG_PASSES[wrong])
    # what the true oracle said is remembered, in one process, for all blocks of a form
    monkeypatch.setattr(gradients, "_both_modes", gradients._both_modes.__wrapped__)
    assert outcome(function(CLAIM, QUICK, **arguments)) in (Outcome.REFUTES, Outcome.ERROR)


@pytest.mark.parametrize("form", ["self", "causal", "cross"])
def test_definitions_support(form: str):
    for function in (definitions.implementation, definitions.loops, definitions.drawing):
        assert outcome(function(CLAIM, QUICK, form=form)) is Outcome.SUPPORTS


@pytest.mark.parametrize("form", ["self", "masked", "multi-head", "projected"])
def test_definitions_against_wrong_witnesses_do_not(form: str, monkeypatch: pytest.MonkeyPatch):
    def loops(params: Mapping[str, Tensor], S: Tensor, **fields: Any) -> Tensor:
        return TRUE_LOOPS({**params, "W_K": -params["W_K"]}, S, **fields)

    def sdpa(Q: Tensor, K: Tensor, V: Tensor, **fields: Any) -> Tensor:
        return TRUE_SDPA(2 * Q, K, V, **fields)

    monkeypatch.setattr(oracles, "attention_loops", loops)
    monkeypatch.setattr(definitions, "scaled_dot_product_attention", sdpa)
    for function in (definitions.implementation, definitions.loops):
        assert outcome(function(CLAIM, QUICK, form=form)) in (Outcome.REFUTES, Outcome.ERROR)


TRUE_SDPA = definitions.scaled_dot_product_attention


def test_drawings_against_a_wrong_learner_do_not(monkeypatch: pytest.MonkeyPatch):
    attend = definitions.learner.attention
    monkeypatch.setattr(
        definitions.learner,
        "attention",
        lambda params, S, **fields: attend({**params, "W_K": -params["W_K"]}, S, **fields),
    )
    for form in ("self", "causal", "cross"):
        found = definitions.drawing(CLAIM, QUICK, form=form)
        assert outcome(found) in (Outcome.REFUTES, Outcome.ERROR)


def test_the_vacuous_property_is_vacuous_and_with_a_readout_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
):
    found = definitions.property_is_undefined(CLAIM, QUICK)
    assert (found.outcome, found.vacuous) == (Outcome.SILENT, True)
    assert all(mutant.refuted for mutant in found.mutants)
    attend = definitions.learner.attention
    monkeypatch.setattr(
        definitions.learner, "attention", lambda *args: attend(*args).mean(0, keepdim=True)
    )
    assert not definitions.property_is_undefined(CLAIM, QUICK).vacuous


def test_shapes_that_change_with_the_length_are_seen(monkeypatch: pytest.MonkeyPatch):
    assert outcome(blocks.shapes(CLAIM, QUICK)) is Outcome.SUPPORTS
    rows = blocks.gradients.attention_jacobian
    monkeypatch.setattr(
        blocks.gradients, "parameter_gradient", lambda params, S, _: rows(params, S)
    )
    assert blocks.shapes(CLAIM, QUICK).outcome is Outcome.REFUTES


def test_contrasts_with_recurrent_and_linear_layers_support():
    for function in (
        contrasts.recurrent_powers,
        contrasts.recurrent_order_matters,
        contrasts.linear_layer,
    ):
        assert outcome(function(CLAIM, QUICK)) is Outcome.SUPPORTS


def test_the_linear_layer_is_not_that_of_a_wrong_query_gradient(monkeypatch: pytest.MonkeyPatch):
    true = contrasts.gradients.query_gradient
    monkeypatch.setattr(contrasts.gradients, "query_gradient", lambda *args: 2 * true(*args))
    assert outcome(contrasts.linear_layer(CLAIM, QUICK)) is Outcome.REFUTES


def test_the_flow_is_met_with_order_one():
    found = training.flow_limit(CLAIM, QUICK)
    assert outcome(found) is Outcome.SUPPORTS
    assert {mutant.name for mutant in found.mutants} == {
        "a second-order method",
        "a fixed distance",
    }


@pytest.mark.parametrize("block", ["W_Q", "W_K", "W_V"])
@pytest.mark.parametrize("form", ["scalar", "self", "causal", "masked", "cross", "multi-head"])
def test_the_mutants_of_a_closed_form_are_not_the_closed_form(block: str, form: str):
    planted = gradients.mutants(block, form)
    assert {"sign flipped", "attention transposed", "attention of another row"} <= set(planted)
    assert ("mask ignored" in planted) == (form in ("causal", "masked"))
    assert ("heads mixed up" in planted) == (form == "multi-head")
    if block != "W_V":
        assert {"scale d_h^-1/2 dropped", "mean not subtracted"} <= set(planted)


def test_what_a_mutant_replaces_is_put_back():
    before = {name: getattr(gradients.gradients, name) for name in ("forward", "_deviation")}
    for planted in gradients.mutants("W_Q", "multi-head").values():
        (case,) = gradients.random_cases("multi-head", count=1, seed=0)
        planted(case)
    assert before == {name: getattr(gradients.gradients, name) for name in before}
