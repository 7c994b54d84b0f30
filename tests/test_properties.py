"""The theorems as properties: each law is searched for its smallest counterexample.

Cases have entries of -2 to 2, so that a counterexample can be read, and shrink to the smallest
that hypothesis finds. Tolerances are those of rounding: machine epsilon times the size of the
terms that an entry adds up (`magnitudes`), times a small number of operations.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import sdpa
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from ntteach import (
    attention,
    attention_jacobian,
    attention_weights,
    gradient_norms,
    gradients,
    importance,
    key_gradient,
    mean_readout,
    oracles,
    padding_mask,
    parameter_gradient,
    query_gradient,
    value_gradient,
)
from ntteach.checks.search import smallest_violation
from ntteach.learner import Forward, forward, problem
from ntteach.paper.domains import (
    FORMS,
    AttentionCase,
    attention_cases,
    magnitudes,
    output_magnitude,
)

EPSILON = torch.finfo(torch.float64).eps
ALL = tuple(FORMS)
UNMASKED_SELF = ("scalar", "self", "multi-head", "projected")
OWN_CONTEXT = (*UNMASKED_SELF, "causal", "masked")
Params = dict[str, Tensor]


def over(*forms: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A property of every case of these forms; other arguments are drawn from `data`."""

    def decorate(law: Callable[..., None]) -> Callable[..., None]:
        run = given(data=st.data())(settings(max_examples=15)(law))
        return pytest.mark.parametrize("form", forms)(run)

    return decorate


def draw_case(data: st.DataObject, form: str) -> AttentionCase:
    return data.draw(attention_cases(form), label="case")


def draw_like(data: st.DataObject, shape: tuple[int, ...], label: str) -> Tensor:
    values = hnp.arrays(float, shape, elements=st.integers(-2, 2))
    return torch.from_numpy(data.draw(values, label=label))


def output(case: AttentionCase) -> Tensor:
    return attention(case.params, case.S, **case.arguments)


def jacobian(case: AttentionCase) -> Params:
    return attention_jacobian(case.params, case.S, **case.arguments)


def omega(case: AttentionCase) -> Tensor:
    return importance(case.params, case.S, **case.arguments)


def weights(case: AttentionCase) -> Tensor:
    return attention_weights(case.params, case.S, **case.arguments)


def assert_close(found: Tensor, expected: Tensor, size: float) -> None:
    """Equal but for rounding, for terms of this size; NaN is equal to nothing."""
    assert found.shape == expected.shape
    if found.numel():
        assert (found - expected).abs().max().item() <= 16 * EPSILON * size


def assert_same_gradients(found: Params, expected: Params, *cases: AttentionCase) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        size = max(dict(magnitudes(case))[name] for case in cases)
        assert_close(found[name], expected[name], size)


# the closed forms are the derivative


@over(*ALL)
def test_attention_is_pytorchs(form, data):
    case = draw_case(data, form)
    assert_close(output(case), sdpa(case.params, case.S, **case.arguments), output_magnitude(case))


@over(*ALL)
def test_closed_form_is_the_derivative(form, data):
    case = draw_case(data, form)
    reference = oracles.jacobian(case.params, case.S, **case.arguments)
    assert_same_gradients(jacobian(case), reference, case)


@over(*ALL)
def test_closed_form_is_the_limit_of_differences(form, data):
    case = draw_case(data, form)
    values, bounds = oracles.difference_jacobian(case.params, case.S, **case.arguments)
    for name, block in jacobian(case).items():
        assert ((block - values[name]).abs() <= bounds[name]).all(), name


@over(*ALL)
def test_parameter_gradient_is_linear_in_the_loss_gradient(form, data):
    case = draw_case(data, form)
    shape = tuple(output(case).shape)
    R, other = draw_like(data, shape, "R"), draw_like(data, shape, "other")
    blocks = jacobian(case)

    def gradient(R: Tensor) -> Params:
        return parameter_gradient(case.params, case.S, R, **case.arguments)

    first, second, both = gradient(R), gradient(other), gradient(2 * R - other)
    for name, size in magnitudes(case):
        terms = size * (1 + (2 * R.abs() + other.abs()).sum().item())
        assert_close(first[name], torch.einsum("jc,jcab->ab", R, blocks[name]), terms)
        assert_close(both[name], 2 * first[name] - second[name], terms)


# what the softmax gives


@over(*ALL)
def test_rows_of_attention_sum_to_one_or_are_masked_everywhere(form, data):
    case = draw_case(data, form)
    A = weights(case)
    assert (A >= 0).all()
    expected = torch.ones(A.shape[:-1], dtype=torch.float64)
    if case.mask is not None:
        expected = expected * case.mask.any(-1)
        assert (A[:, ~case.mask] == 0).all()
    assert_close(A.sum(-1), expected, 1)


@over(*(form for form in ALL if form != "projected"))
def test_output_lies_between_the_least_and_the_greatest_value(form, data):
    case = draw_case(data, form)
    V = (case.S if case.context is None else case.context) @ case.params["W_V"]
    seen = torch.ones(len(case.S), len(V), dtype=torch.bool) if case.mask is None else case.mask
    slack = 16 * EPSILON * (1 + V.abs().max())
    for f_j, allowed in zip(output(case), seen, strict=True):
        if allowed.any():
            assert (f_j >= V[allowed].amin(0) - slack).all()
            assert (f_j <= V[allowed].amax(0) + slack).all()
        else:
            assert (f_j == 0).all()


@over(*ALL)
def test_deviations_from_the_mean_value_sum_to_zero(form, data):
    case = draw_case(data, form)
    w = forward(problem(case.params, case.S, case.context, case.mask, case.heads))
    B = gradients._deviation(w)  # (heads, L, v_h, M)
    assert_close(B.sum(-1), torch.zeros(B.shape[:-1]).double(), 4 * w.V.abs().max().item())


@over("scalar", "self", "causal", "masked", "cross")
def test_importance_is_the_covariance_of_keys_and_values(form, data):
    case = draw_case(data, form)
    C = case.S if case.context is None else case.context
    K, V, A = C @ case.params["W_K"], C @ case.params["W_V"], weights(case)[0]
    mean_K, mean_V = A @ K, A @ V
    covariance = torch.einsum("jk,kc,ki->jci", A, V, K)
    # masked rows have no distribution, and zero for both sides
    covariance = covariance - mean_V[:, :, None] * mean_K[:, None, :]
    size = 4 * (1 + V.abs().max().item()) * (1 + K.abs().max().item())
    assert_close(omega(case), covariance, size)


@over(*ALL)
def test_query_gradient_is_the_element_times_its_importance(form, data):
    case = draw_case(data, form)
    scale = (case.params["W_Q"].shape[1] / case.heads) ** -0.5
    expected = scale * torch.einsum("ja,jci->jcai", case.S, omega(case))
    found = query_gradient(case.params, case.S, **case.arguments)
    assert_close(found, expected, dict(magnitudes(case))["W_Q"])


# order and length


@over(*OWN_CONTEXT, "cross")
def test_output_and_gradients_follow_the_order_of_the_elements(form, data):
    case = draw_case(data, form)
    order = torch.tensor(data.draw(st.permutations(range(len(case.S))), label="order"))
    # a mask moves with the elements; a context stays where it is
    mask = None if case.mask is None else case.mask[order][:, order]
    moved = replace(case, S=case.S[order], mask=mask)
    assert_close(output(moved), output(case)[order], output_magnitude(case))
    expected = {name: block[order] for name, block in jacobian(case).items()}
    assert_same_gradients(jacobian(moved), expected, case)
    size = dict(magnitudes(case))["W_Q"] / max(case.S.abs().max().item(), EPSILON)
    if case.S.abs().max() > 0:
        assert_close(omega(moved), omega(case)[order], 16 * size)


@over("cross", "masked")
def test_order_of_the_context_does_not_matter(form, data):
    case = draw_case(data, form)
    context = case.S if case.context is None else case.context
    order = torch.tensor(data.draw(st.permutations(range(len(context))), label="order"))
    mask = None if case.mask is None else case.mask[:, order]
    moved = replace(case, context=context[order], mask=mask)
    assert_close(output(moved), output(case), output_magnitude(case))
    assert_same_gradients(jacobian(moved), jacobian(case), case)


@over(*UNMASKED_SELF)
def test_readout_and_its_gradient_are_blind_to_the_order(form, data):
    case = draw_case(data, form)
    order = torch.tensor(data.draw(st.permutations(range(len(case.S))), label="order"))
    moved = replace(case, S=case.S[order])
    size = output_magnitude(case)
    assert_close(mean_readout(output(moved)), mean_readout(output(case)), size)
    R = torch.ones_like(output(case)) / len(case.S)
    found, expected = (
        parameter_gradient(c.params, c.S, R, **c.arguments) for c in (moved, case)
    )  # fmt: skip
    assert_same_gradients(found, expected, case)


@over(*OWN_CONTEXT, "cross")
def test_repetition_leaves_the_averaged_gradient(form, data):
    case = draw_case(data, form)
    times = data.draw(st.integers(2, 3), label="times")
    mask = None if case.mask is None else case.mask.repeat(times, times)
    context = None if case.context is None else case.context.repeat(times, 1)
    longer = replace(case, S=case.S.repeat(times, 1), mask=mask, context=context)
    found = {name: block.mean(0) for name, block in jacobian(longer).items()}
    expected = {name: block.mean(0) for name, block in jacobian(case).items()}
    assert_same_gradients(found, expected, longer)
    assert_close(output(longer).mean(0), output(case).mean(0), output_magnitude(longer))


@over(*ALL)
def test_padding_under_its_mask_changes_nothing(form, data):
    case = draw_case(data, form)
    L = len(case.S)
    more = data.draw(st.integers(1, 2), label="padding")
    own = case.context is None
    C = case.S if case.context is None else case.context
    M = len(C)
    rows = L + more if own else L
    padded = torch.cat([C, draw_like(data, (more, C.shape[1]), "padding rows")])
    allowed = padding_mask(torch.tensor([M]), M + more)[0, 0].expand(rows, -1).clone()
    if case.mask is not None:
        allowed[:L, :M] &= case.mask
    longer = replace(
        case,
        S=padded if own else case.S,
        context=None if own else padded,
        mask=allowed,
    )
    assert_close(output(longer)[:L], output(case), output_magnitude(longer))
    found = {name: block[:L] for name, block in jacobian(longer).items()}
    assert_same_gradients(found, jacobian(case), longer)


@over("causal")
def test_nothing_comes_from_the_future_under_a_causal_mask(form, data):
    case = draw_case(data, form)
    j = data.draw(st.integers(0, len(case.S) - 1), label="j")
    later = case.S.clone()
    later[j + 1 :] = draw_like(data, tuple(later[j + 1 :].shape), "future")
    other = replace(case, S=later)
    assert_close(output(other)[: j + 1], output(case)[: j + 1], output_magnitude(case))
    found = {name: block[: j + 1] for name, block in jacobian(other).items()}
    expected = {name: block[: j + 1] for name, block in jacobian(case).items()}
    assert_same_gradients(found, expected, case)
    # row j is the last of the sequence that ends there
    ends = replace(case, S=case.S[: j + 1], mask=None)
    assert_close(output(ends)[-1], output(case)[j], output_magnitude(case))
    last = {name: block[-1] for name, block in jacobian(ends).items()}
    assert_same_gradients({name: block[j] for name, block in jacobian(case).items()}, last, case)


# the parameters


@over(*ALL)
def test_output_is_linear_in_the_values_and_its_value_gradient_constant(form, data):
    case = draw_case(data, form)
    W = draw_like(data, tuple(case.params["W_V"].shape), "other W_V")
    other = replace(case, params={**case.params, "W_V": W})
    both = replace(case, params={**case.params, "W_V": case.params["W_V"] + W})
    size = output_magnitude(case) + output_magnitude(other) + output_magnitude(both)
    assert_close(output(both), output(case) + output(other), size)
    blocks = [jacobian(c) for c in (case, other, both)]
    for name in ("W_Q", "W_K"):
        size = sum(dict(magnitudes(c))[name] for c in (case, other, both))
        assert_close(blocks[2][name], blocks[0][name] + blocks[1][name], size)
    assert torch.equal(blocks[0]["W_V"], blocks[1]["W_V"])
    # linear functions are their derivative, applied
    contracted = torch.einsum("jcab,ab->jc", blocks[0]["W_V"], case.params["W_V"])
    terms = dict(magnitudes(case))["W_V"] * (1 + case.params["W_V"].abs().sum().item())
    assert_close(contracted, output(case), terms + output_magnitude(case))


@over(*ALL)
def test_only_the_product_of_query_and_key_matters(form, data):
    case = draw_case(data, form)
    params = {**case.params, "W_Q": 4 * case.params["W_Q"], "W_K": case.params["W_K"] / 4}
    other = replace(case, params=params)
    # exactly: powers of two do not round
    assert torch.equal(output(other), output(case))
    before, after = jacobian(case), jacobian(other)
    assert torch.equal(4 * after["W_Q"], before["W_Q"])
    assert torch.equal(after["W_K"], 4 * before["W_K"])
    assert torch.equal(after["W_V"], before["W_V"])
    # the same for every change of basis within a head: W_Q G and W_K G^-T, differentiated by G
    size = dict(magnitudes(case))
    d_h = params["W_Q"].shape[1] // case.heads
    by_Q = torch.einsum("ai,jcab->jcib", case.params["W_Q"], before["W_Q"])
    by_K = torch.einsum("ab,jcai->jcib", case.params["W_K"], before["W_K"])
    own = torch.block_diag(*[torch.ones(d_h, d_h)] * case.heads).bool()
    terms = 8 * (size["W_Q"] + size["W_K"])
    assert_close(by_Q[..., own], by_K[..., own], terms)


@over("multi-head")
def test_heads_are_attention_in_parallel(form, data):
    case = draw_case(data, form)
    split = {name: w.chunk(case.heads, 1) for name, w in case.params.items()}
    heads = [
        replace(case, params={name: w[h] for name, w in split.items()}, heads=1)
        for h in range(case.heads)
    ]
    together = torch.cat([output(head) for head in heads], -1)
    assert_close(output(case), together, output_magnitude(case))
    whole = jacobian(case)
    expected = {name: torch.zeros_like(block) for name, block in whole.items()}
    v_h = split["W_V"][0].shape[1]
    for h, head in enumerate(heads):
        for name, block in jacobian(head).items():
            width = block.shape[-1]
            own = slice(h * v_h, (h + 1) * v_h)
            expected[name][:, own, :, h * width : (h + 1) * width] = block
    assert_same_gradients(whole, expected, case)


@over("projected")
def test_projection_acts_on_gradients_as_on_outputs(form, data):
    case = draw_case(data, form)
    params = {name: w for name, w in case.params.items() if name != "W_O"}
    heads, W_O = replace(case, params=params), case.params["W_O"]
    assert_close(output(case), output(heads) @ W_O, output_magnitude(case))
    expected = {n: torch.einsum("jcab,ce->jeab", g, W_O) for n, g in jacobian(heads).items()}
    found = jacobian(case)
    expected["W_O"] = torch.einsum("jr,es->jers", output(heads), torch.eye(W_O.shape[1]).double())
    assert_same_gradients(found, expected, case)


# norms


@over(*ALL)
def test_gradient_norm_is_homogeneous_and_that_of_the_gradient(form, data):
    case = draw_case(data, form)
    R = draw_like(data, tuple(output(case).shape), "R")
    factor = data.draw(st.sampled_from([-4.0, -1.0, 0.0, 0.5, 2.0, 8.0]), label="factor")

    def norm(R: Tensor) -> Tensor:
        return gradient_norms(case.params, case.S, R, **case.arguments)

    # exactly: powers of two do not round
    assert torch.equal(norm(factor * R), abs(factor) * norm(R))
    gradient = parameter_gradient(case.params, case.S, R, **case.arguments)
    square = sum(block.square().sum().item() for block in gradient.values())
    size = dict(magnitudes(case))
    terms = R.abs().sum().item() ** 2 * sum(
        size[name] ** 2 * block.numel() for name, block in gradient.items()
    )
    assert abs(norm(R).item() ** 2 - square) <= 16 * EPSILON * terms


@over(*ALL)
def test_gradient_norm_obeys_the_triangle_inequality(form, data):
    case = draw_case(data, form)
    shape = tuple(output(case).shape)
    R, other = draw_like(data, shape, "R"), draw_like(data, shape, "other")
    size = sum(s for _, s in magnitudes(case)) * (R.abs() + other.abs()).sum().item()
    first, second, both = (
        gradient_norms(case.params, case.S, x, **case.arguments).item()
        for x in (R, other, R + other)
    )
    # a norm near zero comes from a square, whose rounding weighs as its root
    assert both <= first + second + 16 * EPSILON**0.5 * size


@over(*ALL)
def test_single_precision_is_the_same_function(form, data):
    case = draw_case(data, form)
    single = case.to(torch.float32)
    epsilon = torch.finfo(torch.float32).eps
    size = output_magnitude(case)
    assert (output(single).double() - output(case)).abs().max().item() <= 4 * epsilon * size
    blocks = jacobian(case)
    for name, block in jacobian(single).items():
        size = dict(magnitudes(case))[name]
        assert (block.double() - blocks[name]).abs().max().item() <= 4 * epsilon * size


# the search finds false laws, and shrinks what it finds


def smallest(false_law: Callable[[AttentionCase], bool], form: str) -> AttentionCase:
    quiet = settings(
        max_examples=500, database=None, deadline=None, phases=(Phase.generate, Phase.shrink)
    )
    case = attention_cases(form)
    return find(case, lambda c: not false_law(c), settings=quiet, random=random.Random(0))


def closed_form_holds(function: Callable[..., Tensor], name: str) -> Callable[..., bool]:
    def law(case: AttentionCase) -> bool:
        found = function(case.params, case.S, **case.arguments)
        expected = oracles.jacobian(case.params, case.S, **case.arguments)[name]
        bound = 16 * EPSILON * dict(magnitudes(case))[name]
        return bool((found - expected).abs().max() <= bound)

    return law


def without_mean(w: Forward) -> Tensor:
    """The deviation with its mean subtraction dropped."""
    return w.weights.unsqueeze(-2) * w.V.mT.unsqueeze(-3)


def test_dropped_mean_is_found_on_one_element(monkeypatch):
    law = closed_form_holds(query_gradient, "W_Q")
    monkeypatch.setattr(gradients, "_deviation", without_mean)
    case = smallest(law, "self")
    # one element attends to itself and f = V: only the mean makes the gradient vanish
    assert case.S.tolist() == [[1.0]]
    values = {name: w.tolist() for name, w in case.params.items()}
    assert values == {"W_Q": [[0.0]], "W_K": [[1.0]], "W_V": [[1.0]]}


@pytest.mark.parametrize(
    ("planted", "function", "name"),
    [
        (lambda g: -g, query_gradient, "W_Q"),
        (lambda g: -g, key_gradient, "W_K"),
        (lambda g: 2**0.5 * g, query_gradient, "W_Q"),
        (lambda g: g.flip(0), key_gradient, "W_K"),
    ],
    ids=["query sign", "key sign", "scale", "another row"],
)
def test_error_planted_in_a_gradient_is_found_on_two_elements(planted, function, name):
    def wrong(*arguments, **options):
        return planted(function(*arguments, **options))

    case = smallest(closed_form_holds(wrong, name), "self")
    # one element has no such gradient, so two are the least
    assert case.S.shape == (2, 1)
    assert {tuple(w.shape) for w in case.params.values()} == {(1, 1)}
    assert case.S.abs().max() == 1
    assert all(w.abs().max() <= 1 for w in case.params.values())


def test_error_planted_in_the_value_gradient_is_found_on_one_element():
    def wrong(*arguments, **options):
        return -value_gradient(*arguments, **options)

    case = smallest(closed_form_holds(wrong, "W_V"), "self")
    assert case.S.tolist() == [[1.0]]


def test_importance_can_be_negative_though_it_is_called_importance():
    case = smallest(lambda case: bool((omega(case) >= 0).all()), "scalar")
    assert case.S.shape == (2, 1)
    assert case.params["W_K"].item() * case.params["W_V"].item() < 0


def test_causal_mask_that_stays_breaks_equivariance_on_two_elements():
    def law(case: AttentionCase) -> bool:
        moved = replace(case, S=case.S.flip(0))  # the mask does not move along
        return torch.allclose(output(moved), output(case).flip(0), rtol=0, atol=1e-12)

    ladder = [attention_cases("causal", L=L, d=1, v=1, entries=1) for L in (1, 2, 3)]
    case = smallest_violation(law, ladder, examples=300)
    assert case is not None
    assert case.S.shape == (2, 1)
    bidirectional = [attention_cases("self", L=L, d=1, v=1, entries=1) for L in (1, 2, 3)]
    assert smallest_violation(law, bidirectional, examples=300) is None


def test_property_with_a_planted_error_fails(monkeypatch):
    monkeypatch.setattr(gradients, "_deviation", without_mean)

    @settings(max_examples=50, print_blob=False, phases=(Phase.generate, Phase.shrink))
    @given(attention_cases("self"))
    def planted(case: AttentionCase) -> None:
        reference = oracles.jacobian(case.params, case.S, **case.arguments)
        assert_same_gradients(jacobian(case), reference, case)

    with pytest.raises(AssertionError) as caught:
        planted()
    assert "S=tensor([[1.]]" in "\n".join(getattr(caught.value, "__notes__", ()))
