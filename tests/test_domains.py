"""The problems on which statements are tested: of the form they name, and with honest bounds."""

from __future__ import annotations

import math
from functools import cache

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from ntteach import gradients, oracles
from ntteach.checks.search import smallest_violation
from ntteach.learner import attention
from ntteach.paper.domains import (
    FORMS,
    AttentionCase,
    Shape,
    attention_cases,
    edge_cases,
    magnitudes,
    output_magnitude,
    random_cases,
)
from ntteach.paper.evidence.gradients import ROUNDINGS


@cache
def many(form: str) -> list[AttentionCase]:
    return random_cases(form, count=60, seed=11)


@cache
def edges(form: str) -> list[AttentionCase]:
    return edge_cases(form, seed=5)


def excluded(case: AttentionCase) -> Tensor:
    """True where a pair takes no part, `(N, heads, L, M)`."""
    N, L = case.S.shape[:2]
    M = L if case.context is None else case.context.shape[1]
    if case.mask is None:
        return torch.zeros(N, case.heads, L, M, dtype=torch.bool)
    out = ~case.mask if case.mask.dtype == torch.bool else torch.isneginf(case.mask)
    return out.expand(N, case.heads, L, M)


def check_form(form: str, case: AttentionCase) -> None:
    """What the words of FORMS say, and that shapes fit together."""
    p, heads, C = case.params, case.heads, case.S if case.context is None else case.context
    d, d_c, (_, d_k), (_, v) = case.S.shape[-1], C.shape[-1], p["W_Q"].shape, p["W_V"].shape
    assert p["W_Q"].shape == (d, d_k)
    assert p["W_K"].shape == (d_c, d_k)
    assert p["W_V"].shape == (d_c, v)
    assert C.shape[:-2] == case.S.shape[:-2]
    assert d_k % heads == v % heads == 0
    assert (heads == 1) or form in ("multi-head", "projected")
    assert (case.context is not None) or form != "cross"
    assert (case.context is None) or form in ("cross", "multi-head", "projected")
    assert ("W_O" in p) == (form == "projected")
    if form == "scalar":
        assert (v, d_k) == (1, d)
    if form == "multi-head":
        assert 2 <= heads <= 4
    if form == "projected":
        assert p["W_O"].shape[0] == v
    if form in ("scalar", "self"):
        assert case.mask is None
    if form == "causal":
        assert case.mask is not None
        assert torch.equal(case.mask, torch.ones_like(case.mask).tril())
    if form == "masked":
        assert case.mask is not None
    for x in (case.S, C, *p.values()):
        assert x.dtype == torch.float64
        assert x.isfinite().all()
    assert attention(p, case.S, **case.arguments).isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_random_and_edge_cases_are_of_their_form(form: str):
    for case in many(form) + edges(form):
        check_form(form, case)
        assert case.S.ndim == 3


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=25)
def test_drawn_cases_are_of_their_form_and_small(form: str, data: st.DataObject):
    case = data.draw(attention_cases(form, L=3, d=2, v=2, entries=2))
    check_form(form, case)
    assert case.S.ndim == 2
    L, d = case.S.shape
    v = case.params["W_V"].shape[1] // case.heads
    assert (1 <= L <= 3) and (1 <= d <= 2) and (1 <= v <= 2)  # noqa: PT018
    for x in (case.S, *case.params.values()):
        assert torch.equal(x, x.round().clamp(-2, 2))


@pytest.mark.parametrize("form", FORMS)
def test_random_cases_reach_every_size(form: str):
    cases = many(form)
    largest = Shape(N=2, L=6, M=7, d=5, d_c=4, d_k=8, v=4, o=3, heads=4)
    assert {case.S.shape[0] for case in cases} == {1, 2}
    assert {case.S.shape[1] for case in cases} == set(range(1, largest.L + 1))
    assert {case.S.shape[2] for case in cases} == set(range(1, largest.d + 1))
    if form != "scalar":
        assert {case.params["W_V"].shape[1] for case in cases} >= {2, 3, 4}
        assert max(case.params["W_Q"].shape[1] for case in cases) == largest.d_k
        assert any(case.params["W_Q"].shape[1] != case.S.shape[2] for case in cases)
    contexts = [(c, c.context) for c in cases if c.context is not None]
    if form in ("cross", "multi-head", "projected"):
        assert any(x.shape[1] > c.S.shape[1] for c, x in contexts)
        assert any(x.shape[1] < c.S.shape[1] for c, x in contexts)
        assert any(x.shape[2] != c.S.shape[2] for c, x in contexts)
    if form == "multi-head":
        assert {case.heads for case in cases} == {2, 3, 4}
    if form == "projected":
        assert {case.heads for case in cases} == {1, 2, 3, 4}
        assert {case.params["W_O"].shape[1] for case in cases} == {1, 2, 3}


@pytest.mark.parametrize("form", ["masked", "cross", "multi-head", "projected"])
def test_masks_are_boolean_and_float_with_rows_that_see_nothing(form: str):
    masks = [case.mask for case in many(form) if case.mask is not None]
    assert {mask.dtype for mask in masks} == {torch.bool, torch.float64}
    for kind in (torch.bool, torch.float64):
        cases = [c for c in many(form) if c.mask is not None and c.mask.dtype == kind]
        assert any(excluded(case).all(-1).any() for case in cases)
        assert any(excluded(case).any() and not excluded(case).all() for case in cases)
    # an added mask also has numbers that are neither zero nor minus infinity
    assert any((mask[mask.isfinite()] != 0).any() for mask in masks if mask.dtype != torch.bool)
    if form in ("multi-head", "projected"):
        assert any(case.mask is None for case in many(form))
        assert any(case.context is None and case.mask is not None for case in many(form))


def test_a_causal_row_always_sees_itself():
    for case in many("causal") + edges("causal"):
        assert not excluded(case).diagonal(dim1=-2, dim2=-1).any()


@pytest.mark.parametrize("form", FORMS)
def test_edge_cases_have_the_edge_that_they_name(form: str):
    by_name: dict[str, list[AttentionCase]] = {}
    for case in edges(form):
        by_name.setdefault(case.name, []).append(case)
    assert set(by_name) == {"L = 1", "d = 1", "equal elements", "logits of 1e4"}
    assert {case.S.shape[1] for case in by_name["L = 1"]} == {1}
    assert {case.S.shape[2] for case in by_name["d = 1"]} == {1}
    for case in by_name["equal elements"]:
        for x in (case.S, case.context):
            assert x is None or torch.equal(x, x[:, :1].expand_as(x))
    assert any(case.S.shape[1] > 1 for case in by_name["equal elements"])
    assert max(top_logit(case) for case in by_name["logits of 1e4"]) > 5e3
    assert max(top_logit(case) for case in many(form)) < 100


def top_logit(case: AttentionCase) -> float:
    C = case.S if case.context is None else case.context
    Q, K = (
        (x @ case.params[name]).unflatten(-1, (case.heads, -1)).movedim(-2, -3)
        for x, name in ((case.S, "W_Q"), (C, "W_K"))
    )
    return (Q @ K.mT).abs().max().item() / math.sqrt(Q.shape[-1])


def same(one: AttentionCase, other: AttentionCase) -> bool:
    def tensors(case: AttentionCase) -> list[Tensor]:
        extras = [x for x in (case.context, case.mask) if x is not None]
        return [case.S, *case.params.values(), *extras]

    pairs = zip(tensors(one), tensors(other), strict=False)
    return (one.heads, len(tensors(one))) == (other.heads, len(tensors(other))) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs
    )


@pytest.mark.parametrize("form", FORMS)
def test_cases_are_those_of_their_seed(form: str):
    again = random_cases(form, count=60, seed=11)
    assert all(map(same, many(form), again))
    assert all(map(same, edges(form), edge_cases(form, seed=5)))
    # a longer list begins with the shorter one
    assert all(map(same, random_cases(form, count=5, seed=11), again))
    assert not any(map(same, random_cases(form, count=60, seed=12), again))


def test_another_precision_is_the_same_problem():
    for form in FORMS:
        for case in random_cases(form, count=4, seed=3):
            single = case.to(torch.float32)
            assert single.S.dtype == torch.float32
            assert (single.mask is None) == (case.mask is None)
            if case.mask is not None and case.mask.dtype == torch.bool:
                assert single.mask is case.mask
            assert same(single.to(torch.float64).to(torch.float32), single)
            assert (single.heads, single.name) == (case.heads, case.name)


def test_a_case_says_its_shapes():
    (case,) = random_cases("cross", count=1, seed=0)
    assert f"S {tuple(case.S.shape)}" in str(case)
    assert "context" in str(case)


def test_the_strategy_draws_rows_that_see_nothing():
    def some_key_is_seen(case: AttentionCase) -> bool:
        return not excluded(AttentionCase(case.params, case.S[None], mask=case.mask)).all(-1).any()

    found = smallest_violation(some_key_is_seen, [attention_cases("masked")], examples=100)
    assert found is not None
    assert found.S.shape == (1, 1)


def test_what_the_search_finds_is_shrunk_to_small_whole_numbers():
    def outputs_are_values(case: AttentionCase) -> bool:
        f, V = attention(case.params, case.S, **case.arguments), case.S @ case.params["W_V"]
        return torch.allclose(f, V)

    found = smallest_violation(outputs_are_values, [attention_cases("self")], examples=300)
    assert found is not None
    assert found.S.shape[0] == 2
    assert sum(x.abs().sum().item() for x in (found.S, found.params["W_V"])) <= 3


# --- bounds on rounding --------------------------------------------------------------------------


def rounding_margins(case: AttentionCase, dtype: torch.dtype, route: str) -> dict[str, float]:
    """Error of one precision, measured in double, over the bound that the evidence allows."""
    low = case.to(dtype)
    exact = low.to(torch.float64)
    jacobian = {
        "closed form": gradients.attention_jacobian,
        "autograd": oracles.jacobian,
    }[route]
    found = jacobian(low.params, low.S, **low.arguments)
    truth = jacobian(exact.params, exact.S, **exact.arguments)
    epsilon = torch.finfo(dtype).eps
    margins = {}
    for name, size in magnitudes(exact):
        error = (found[name].double() - truth[name]).abs().max().item()
        margins[name] = error / (ROUNDINGS * epsilon * size) if error else 0.0
    f = [attention(x.params, x.S, **x.arguments).double() for x in (low, exact)]
    error = (f[0] - f[1]).abs().max().item()
    bound = ROUNDINGS * epsilon * output_magnitude(exact)
    return margins | {"output": error / bound if error else 0.0}


@pytest.mark.parametrize("route", ["closed form", "autograd"])
@pytest.mark.parametrize("form", FORMS)
def test_rounding_stays_below_the_magnitudes(form: str, route: str):
    count = 60 if route == "closed form" else 12
    for case in many(form)[:count] + edges(form):
        for name, margin in rounding_margins(case, torch.float32, route).items():
            assert margin <= 1, (name, str(case))


@pytest.mark.parametrize("form", FORMS)
def test_the_magnitudes_name_every_parameter(form: str):
    for case in many(form):
        assert {name for name, _ in magnitudes(case)} == set(case.params)
        assert all(math.isfinite(size) and size >= 0 for _, size in magnitudes(case))


@pytest.mark.parametrize("form", FORMS)
def test_the_magnitudes_are_not_so_large_that_anything_passes(form: str):
    """A relative error of 1e-10 in a typical block is seen: the bound is far below it."""
    epsilon = torch.finfo(torch.float64).eps
    for case in many(form):
        blocks = gradients.attention_jacobian(case.params, case.S, **case.arguments)
        sizes = dict(magnitudes(case))
        for name in sizes:
            bound = ROUNDINGS * epsilon * sizes[name]
            top = blocks[name].abs().max().item()
            assert bound <= 1e-10 * max(top, 1.0), (name, str(case))


def test_a_bound_grows_with_what_it_bounds():
    (case,) = random_cases("self", count=1, seed=4)
    larger = AttentionCase({**case.params, "W_V": 10 * case.params["W_V"]}, case.S)
    before, after = dict(magnitudes(case)), dict(magnitudes(larger))
    assert after["W_Q"] == pytest.approx(10 * before["W_Q"])
    assert after["W_K"] == pytest.approx(10 * before["W_K"])
    assert after["W_V"] == before["W_V"]  # the value block does not depend on W_V
    assert output_magnitude(larger) == pytest.approx(10 * output_magnitude(case))
