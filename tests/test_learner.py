"""Attention as a function: what it computes, where it is defined, and what it refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import DTYPES, every_case, relative_error, sdpa
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, stack_module_state, vmap
from torch.utils._pytree import tree_leaves

import ntteach
from ntteach import AttentionLearner, attention, attention_weights, oracles
from ntteach.learner import Forward
from ntteach.paper.domains import FORMS, AttentionCase, output_magnitude

Params = dict[str, Tensor]


def draw(
    g: torch.Generator,
    *,
    d: int = 3,
    d_c: int | None = None,
    d_k: int = 4,
    v: int = 2,
    o: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Params:
    """Normally distributed parameters."""
    d_c = d if d_c is None else d_c
    shapes = {"W_Q": (d, d_k), "W_K": (d_c, d_k), "W_V": (d_c, v)}
    if o:
        shapes["W_O"] = (v, o)
    return {name: torch.randn(shape, generator=g, dtype=dtype) for name, shape in shapes.items()}


def assert_output(found: Tensor, expected: Tensor, case: AttentionCase) -> None:
    """Equal up to the rounding of both sides, for the sizes of the terms they add up."""
    assert found.shape == expected.shape
    assert found.dtype == case.S.dtype
    bound = 4 * torch.finfo(case.S.dtype).eps * output_magnitude(case.to(torch.float64))
    assert (found.double() - expected.double()).abs().max().item() <= bound, str(case)


# what it computes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_attention_equals_scaled_dot_product_attention(form, dtype, device):
    for case in every_case(form, dtype, device):
        assert_output(
            attention(case.params, case.S, **case.arguments),
            sdpa(case.params, case.S, **case.arguments),
            case,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_attention_equals_loops_over_single_numbers(form, dtype):
    for case in every_case(form, dtype):
        output = attention(case.params, case.S, **case.arguments)
        for n, S in enumerate(case.S):
            mask = case.mask
            arguments = {
                "context": None if case.context is None else case.context[n],
                "mask": mask[n] if mask is not None and mask.ndim == 4 else mask,
                "heads": case.heads,
            }
            assert_output(output[n], oracles.attention_loops(case.params, S, **arguments), case)
            single = attention(case.params, S, **arguments)
            assert relative_error(single, output[n]) <= 8 * torch.finfo(dtype).eps * (
                1 + output_magnitude(case.to(torch.float64))
            )


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_distributions_over_what_the_mask_allows(form):
    for case in every_case(form):
        A = attention_weights(case.params, case.S, **case.arguments)
        assert (A >= 0).all()
        assert A.shape[-3] == case.heads
        total = A.sum(-1)
        if case.mask is None:
            allowed = torch.ones_like(A, dtype=torch.bool)
        else:
            allowed = case.mask if case.mask.dtype == torch.bool else ~case.mask.isneginf()
            allowed = allowed.expand_as(A)
        assert (A[~allowed] == 0).all()
        nothing = ~allowed.any(-1)
        assert (total[nothing] == 0).all()
        assert torch.allclose(total[~nothing], torch.ones(()).double(), rtol=0, atol=1e-14)


def test_output_is_the_weights_applied_to_the_values(generator):
    params = draw(generator, v=4)
    S = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    A = attention_weights(params, S, heads=2, mask="causal")
    values = (S @ params["W_V"]).unflatten(-1, (2, 2)).movedim(-2, -3)
    expected = (A @ values).movedim(-3, -2).flatten(-2)
    assert relative_error(attention(params, S, heads=2, mask="causal"), expected) <= 1e-15


def test_heads_scale_by_their_own_width():
    params = {"W_Q": torch.eye(2), "W_K": torch.eye(2), "W_V": torch.eye(2)}
    S = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    # one head: logits of row 0 are 2 / sqrt(2) and 0; two heads: 1 / sqrt(1) and 0, twice
    expected = {1: math.sqrt(2), 2: 1.0}
    for heads, logit in expected.items():
        first = attention_weights(params, S, heads=heads)[:, 0, 0]
        assert first.tolist() == pytest.approx([1 / (1 + math.exp(-logit))] * heads)


@pytest.mark.parametrize(("L", "M"), [(4, 4), (3, 5), (5, 3), (1, 4), (4, 1)])
def test_causal_is_upper_left_as_in_sdpa(L, M, generator, device):
    params = {k: w.to(device) for k, w in draw(generator, d_c=2, v=4, o=3).items()}
    S = torch.randn(2, L, 3, generator=generator, dtype=torch.float64).to(device)
    context = torch.randn(2, M, 2, generator=generator, dtype=torch.float64).to(device)
    arguments = {"context": context, "mask": "causal", "heads": 2}
    output = attention(params, S, **arguments)
    assert relative_error(output, sdpa(params, S, **arguments)) <= 1e-14
    tril = torch.ones(L, M, dtype=torch.bool, device=device).tril()
    assert torch.equal(output, attention(params, S, context=context, mask=tril, heads=2))


BROADCASTABLE = [
    (2, 4, 3, 5),
    (1, 4, 3, 5),
    (2, 1, 3, 5),
    (2, 4, 1, 5),
    (2, 4, 3, 1),
    (2, 1, 1, 5),
    (1, 1, 1, 1),
    (4, 3, 5),
    (1, 3, 5),
    (4, 1, 5),
    (3, 5),
    (1, 5),
    (3, 1),
    (5,),
    (1,),
    (),
]


@pytest.mark.parametrize("kind", ["boolean", "float"])
@pytest.mark.parametrize("shape", BROADCASTABLE, ids=str)
def test_masks_of_every_broadcastable_shape(shape, kind, generator):
    params = draw(generator, d_c=2, v=4)
    S = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    context = torch.randn(2, 5, 2, generator=generator, dtype=torch.float64)
    allowed = torch.rand(shape, generator=generator) > 0.3
    if kind == "boolean":
        mask = allowed
    else:
        mask = torch.randn(shape, generator=generator, dtype=torch.float64)
        mask = mask.masked_fill(~allowed, -torch.inf)
    full = mask.expand(2, 4, 3, 5)
    output = attention(params, S, context=context, mask=mask, heads=4)
    expected = sdpa(params, S, context=context, mask=full, heads=4)
    assert relative_error(output, expected) <= 1e-14
    if len(shape) < 4:
        one = attention(params, S[1], context=context[1], mask=mask, heads=4)
        assert relative_error(one, expected[1]) <= 1e-14


def test_mask_that_allows_everything_changes_nothing(generator):
    params, S = draw(generator), torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    plain = attention(params, S)
    assert torch.equal(plain, attention(params, S, mask=torch.ones(4, 4, dtype=torch.bool)))
    assert torch.equal(plain, attention(params, S, mask=torch.zeros(4, 4, dtype=torch.float64)))
    lowest = torch.full((4, 4), torch.finfo(torch.float64).min, dtype=torch.float64)
    # a finite mask is a number like any other: equal everywhere, it cancels but for rounding
    assert torch.equal(attention(params, S, mask=lowest), sdpa(params, S, mask=lowest))


# where it is defined


def masked_row_masks(dtype: torch.dtype) -> list[Tensor]:
    """Row 1 of every head is masked everywhere, row 2 in part: as booleans and as floats."""
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[1] = False
    allowed[2, :3] = False
    return [allowed, torch.zeros(4, 4, dtype=dtype).masked_fill(~allowed, -torch.inf)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [0, 1], ids=["boolean", "float"])
def test_row_masked_everywhere_is_zero_with_zero_gradient(kind, dtype, generator, device):
    params = {k: w.to(device) for k, w in draw(generator, v=4, o=3, dtype=dtype).items()}
    S = torch.randn(2, 4, 3, generator=generator, dtype=dtype).to(device)
    mask = masked_row_masks(dtype)[kind].to(device)

    def row(j: int) -> Callable[[tuple[Params, Tensor]], Tensor]:
        return lambda x: attention(x[0], x[1], mask=mask, heads=2)[:, j]

    assert (row(1)((params, S)) == 0).all()
    assert (attention_weights(params, S, mask=mask, heads=2)[..., 1, :] == 0).all()
    for transform in (jacrev, jacfwd):
        gradient, by_S = transform(row(1))((params, S))
        assert all((block == 0).all() for block in gradient.values())
        assert (by_S == 0).all()
    # and the other rows do not notice it
    loss = lambda x, rows: attention(x[0], x[1], mask=mask, heads=2)[:, rows].square().sum()  # noqa: E731
    everything, visible = (grad(loss)((params, S), rows) for rows in ([0, 1, 2, 3], [0, 2, 3]))
    for name in params:
        assert everything[0][name].isfinite().all()
        assert relative_error(everything[0][name], visible[0][name]) <= 8 * torch.finfo(dtype).eps


def test_gradient_of_a_float_mask_is_finite_where_it_is_minus_infinity(generator):
    params, S = draw(generator), torch.randn(4, 3, generator=generator, dtype=torch.float64)
    mask = masked_row_masks(torch.float64)[1]
    gradient = grad(lambda m: attention(params, S, mask=m).square().sum())(mask)
    assert gradient.isfinite().all()
    assert (gradient[mask.isneginf()] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_attends_to_itself(dtype, generator):
    params = draw(generator, v=4, dtype=dtype)
    S = torch.randn(2, 1, 3, generator=generator, dtype=dtype)
    assert torch.equal(attention_weights(params, S, heads=2), torch.ones(2, 2, 1, 1, dtype=dtype))
    output = attention(params, S, heads=2)
    assert relative_error(output, S @ params["W_V"]) <= torch.finfo(dtype).eps * 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_feature_one_key_one_value(dtype):
    params = {name: torch.full((1, 1), w, dtype=dtype) for name, w in
              (("W_Q", 1.0), ("W_K", 2.0), ("W_V", 3.0))}  # fmt: skip
    S = torch.tensor([[0.0], [1.0]], dtype=dtype)
    weight = 1 / (1 + math.exp(-2))
    assert attention(params, S).flatten().tolist() == pytest.approx([1.5, 3 * weight])


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_keys_share_the_attention_equally(dtype, generator):
    params = draw(generator, dtype=dtype)
    S = torch.randn(1, 3, generator=generator, dtype=dtype).expand(4, 3)
    assert torch.equal(attention_weights(params, S), torch.full((1, 4, 4), 0.25, dtype=dtype))
    params["W_K"] = torch.zeros_like(params["W_K"])
    S = torch.randn(4, 3, generator=generator, dtype=dtype)
    assert relative_error(attention(params, S), (S @ params["W_V"]).mean(0).expand(4, 2)) <= 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e4, 1e5])
def test_large_logits_give_finite_values_and_derivatives(size, dtype, device):
    root = math.sqrt(size)
    params = {"W_Q": torch.full((1, 1), root), "W_K": torch.full((1, 1), root),
              "W_V": torch.ones(1, 1)}  # fmt: skip
    params = {name: w.to(device, dtype) for name, w in params.items()}
    # logits are +-size and ties
    S = torch.tensor([[1.0], [-1.0], [1.0], [0.0]], dtype=dtype, device=device)
    output = lambda params: attention(params, S)  # noqa: E731
    assert output(params).flatten().tolist() == pytest.approx([1.0, -1.0, 1.0, 0.25])
    for derivative in (jacrev(output), jacfwd(output), hessian(output)):
        assert all(leaf.isfinite().all() for leaf in tree_leaves(derivative(params)))
    # alone among smaller logits, attention is on one element and does not move
    assert jacrev(output)(params)["W_Q"][1].abs().item() == 0


@pytest.mark.parametrize("form", FORMS)
def test_first_and_second_derivatives_are_right_and_finite(form):
    case = every_case(form)[1]

    def output(S: Tensor, *weights: Tensor) -> Tensor:
        return attention(dict(zip(case.params, weights, strict=True)), S, **case.arguments)

    inputs = [x.clone().requires_grad_() for x in (case.S, *case.params.values())]
    assert torch.autograd.gradcheck(output, inputs, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(output, inputs, fast_mode=True)


# under torch's transforms


@pytest.mark.parametrize("form", FORMS)
def test_vmap_over_the_batch_is_the_batch(form):
    for case in every_case(form)[:4]:
        mask = case.mask
        per_sequence = mask is not None and mask.ndim == 4

        def one(S: Tensor, C: Tensor | None, m: Tensor | None, case=case) -> Tensor:
            return attention(case.params, S, context=C, mask=m, heads=case.heads)

        axes = (0, None if case.context is None else 0, 0 if per_sequence else None)
        batched = vmap(one, in_dims=axes)(case.S, case.context, mask)
        expected = attention(case.params, case.S, **case.arguments)
        assert relative_error(batched, expected) <= 1e-14


@pytest.mark.parametrize("form", FORMS)
def test_vmap_over_parameters_is_one_learner_at_a_time(form):
    case = every_case(form)[2]
    stacked = {name: torch.stack([w, 2 * w, -w]) for name, w in case.params.items()}

    def output(params: Params) -> Tensor:
        return attention(params, case.S, **case.arguments)

    found = vmap(output)(stacked)
    for index in range(3):
        expected = output({name: w[index] for name, w in stacked.items()})
        assert relative_error(found[index], expected) <= 1e-14
    # jacobians of every learner at once, in both modes
    reverse, ahead = vmap(jacrev(output))(stacked), vmap(jacfwd(output))(stacked)
    for name in stacked:
        assert (reverse[name] - ahead[name]).abs().max() <= 1e-12 * (1 + reverse[name].abs().max())


def test_gradients_per_sequence_by_vmap_of_grad(generator):
    params = draw(generator, v=4, o=3)
    S = torch.randn(3, 5, 3, generator=generator, dtype=torch.float64)

    def loss(params: Params, S: Tensor) -> Tensor:
        return attention(params, S, mask="causal", heads=2).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(params, S)
    for n in range(3):
        expected = torch.autograd.grad(
            loss(leaves := {k: w.clone().requires_grad_() for k, w in params.items()}, S[n]),
            list(leaves.values()),
        )
        for name, block in zip(params, expected, strict=True):
            assert relative_error(found[name][n], block) <= 1e-13


def test_learner_under_functional_call_and_vmap_over_models(generator):
    S = torch.randn(2, 4, 3, generator=generator)
    models = [AttentionLearner(3, v=2, o=2, causal=True, generator=generator) for _ in range(3)]
    params, buffers = stack_module_state(models)
    assert not buffers
    found = vmap(lambda params: functional_call(models[0], params, (S,)))(params)
    expected = torch.stack([model(S) for model in models])
    assert relative_error(found, expected) <= 1e-6
    jacobian = jacrev(lambda params: functional_call(models[1], params, (S,)))(
        {k: w.detach() for k, w in models[1].named_parameters()}
    )
    assert {name: block.shape[3:] for name, block in jacobian.items()} == {
        name: w.shape for name, w in models[1].named_parameters()
    }


# the module


def test_learner_names_and_shapes_its_parameters_as_attention_does():
    learner = AttentionLearner(3, d_k=4, v=6, o=5, d_context=7, heads=2)
    shapes = {name: tuple(w.shape) for name, w in learner.named_parameters()}
    assert shapes == {"W_Q": (3, 4), "W_K": (7, 4), "W_V": (7, 6), "W_O": (6, 5)}
    plain = AttentionLearner(3)
    shapes = {name: tuple(w.shape) for name, w in plain.named_parameters()}
    assert shapes == {"W_Q": (3, 3), "W_K": (3, 3), "W_V": (3, 1)}
    assert all(w.requires_grad and w.dtype == torch.float32 for w in plain.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
def test_learner_is_attention_of_its_parameters(dtype, generator, device):
    options: dict[str, Any] = {"generator": generator, "dtype": dtype, "device": device}
    learner = AttentionLearner(3, d_k=4, v=2, o=5, d_context=6, heads=2, **options)
    assert all(w.dtype == dtype and w.device.type == device for w in learner.parameters())
    S = torch.randn(2, 4, 3, generator=generator, dtype=dtype).to(device)
    context = torch.randn(2, 5, 6, generator=generator, dtype=dtype).to(device)
    mask = (torch.rand(4, 5, generator=generator) > 0.5).to(device)
    params = dict(learner.named_parameters())
    assert torch.equal(
        learner(S, context, mask), attention(params, S, context=context, mask=mask, heads=2)
    )
    assert torch.equal(learner(S, context), attention(params, S, context=context, heads=2))


def test_causal_learner_sees_nothing_ahead_unless_given_another_mask(generator):
    learner = AttentionLearner(3, v=2, causal=True, generator=generator)
    S = torch.randn(4, 3, generator=generator)
    params = dict(learner.named_parameters())
    assert torch.equal(learner(S), attention(params, S, mask="causal"))
    ahead = S.clone()
    ahead[2:] += 1
    assert torch.equal(learner(S)[:2], learner(ahead)[:2])
    everything = torch.ones(4, 4, dtype=torch.bool)
    assert torch.equal(learner(S, mask=everything), attention(params, S))


def test_same_seed_same_weights_on_every_device(device):
    def weights(seed: int, **options: Any) -> list[Tensor]:
        g = torch.Generator().manual_seed(seed)
        return [w.cpu() for w in AttentionLearner(5, v=2, o=3, generator=g, **options).parameters()]

    again = zip(weights(1), weights(1, device=device), strict=True)
    assert all(torch.equal(a, b) for a, b in again)
    assert all(not torch.equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


def test_weights_have_variance_one_over_fan_in(generator):
    learner = AttentionLearner(100, d_k=200, v=300, o=150, d_context=50, generator=generator)
    for name, fan_in in {"W_Q": 100, "W_K": 50, "W_V": 50, "W_O": 300}.items():
        weight = learner.get_parameter(name)
        # the relative deviation of a sample variance is sqrt(2 / n), n at least 1e4: 5 of those
        assert weight.var().item() * fan_in == pytest.approx(1, abs=0.07)
        assert abs(weight.mean().item()) < 5 * (fan_in * weight.numel()) ** -0.5


@pytest.mark.parametrize("o", [None, 3])
def test_learner_under_parametrization_is_attention_of_what_it_gives(o, generator):
    learner = AttentionLearner(3, v=2, o=o, generator=generator)
    S = torch.randn(2, 4, 3, generator=generator)
    expected = learner(S)
    parametrize = torch.nn.utils.parametrizations.weight_norm
    for name in dict(learner.named_parameters()):
        parametrize(learner, name)
    assert relative_error(learner(S), expected) <= 1e-6
    learner(S).sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in learner.parameters())


def test_everything_on_the_meta_device_has_its_shape(generator):
    params = {name: w.to("meta") for name, w in draw(generator, v=4, o=3).items()}
    S, R = (torch.empty(2, 5, 3, dtype=torch.float64, device="meta") for _ in "SR")
    masks = [None, "causal", torch.ones(5, 5, dtype=torch.bool, device="meta")]
    for mask in masks:
        arguments: dict[str, Any] = {"mask": mask, "heads": 2}
        output = attention(params, S, **arguments)
        assert (output.shape, output.device.type) == ((2, 5, 3), "meta")
        norms = ntteach.gradient_norms(params, S, R, **arguments)
        assert (norms.shape, norms.device.type) == ((2,), "meta")
        loss = lambda params, S, a=arguments: attention(params, S, **a).sum()  # noqa: E731
        found = vmap(grad(loss), in_dims=(None, 0))(params, S)
        assert {k: x.shape for k, x in found.items()} == {
            k: (2, *w.shape) for k, w in params.items()
        }
    assert AttentionLearner(3, device="meta")(S.float()).shape == (2, 5, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_inf_go_through_also_from_padded_places(bad, generator):
    params, S = draw(generator), torch.randn(4, 3, generator=generator, dtype=torch.float64)
    padded = torch.tensor([True, True, True, False])
    dirty = S.clone()
    dirty[3] = bad
    as_float = torch.zeros(4, dtype=S.dtype).masked_fill(~padded, -torch.inf)
    for mask in (padded, as_float):
        assert attention(params, S, mask=mask).isfinite().all()
        assert not attention(params, dirty, mask=mask)[:3].isfinite().any()
    assert not attention(params, S, mask=as_float.clone().fill_(bad)).isfinite().any()
    assert not attention({**params, "W_V": params["W_V"] * bad}, S).isfinite().any()


def test_state_dict_round_trip_gives_the_same_learner(generator, tmp_path):
    learner, other = (AttentionLearner(3, v=2, o=2, heads=1, generator=generator) for _ in "ab")
    S = torch.randn(2, 4, 3, generator=generator)
    assert not torch.equal(learner(S), other(S))
    torch.save(learner.state_dict(), tmp_path / "learner.pt")
    other.load_state_dict(torch.load(tmp_path / "learner.pt"))
    assert torch.equal(learner(S), other(S))


def test_parameter_dict_is_a_mapping_of_tensors(generator):
    params = draw(generator, dtype=torch.float32)
    S = torch.randn(2, 4, 3, generator=generator)
    found = attention(torch.nn.ParameterDict(params), S)  # pyright: ignore[reportArgumentType]
    assert torch.equal(found, attention(params, S))


def test_empty_batch_has_an_empty_answer(generator):
    params = draw(generator, v=4, o=3)
    S = torch.empty(0, 5, 3, dtype=torch.float64)
    assert attention(params, S, heads=2, mask="causal").shape == (0, 5, 3)
    R = torch.empty(0, 5, 3, dtype=torch.float64)
    assert ntteach.gradient_norms(params, S, R, heads=2).shape == (0,)
    assert ntteach.attention_jacobian(params, S)["W_Q"].shape == (0, 5, 3, 3, 4)
    gradient = ntteach.parameter_gradient(params, S, R)
    assert all((gradient[name] == 0).all() for name in params)


# what it refuses


def with_output_grad(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(params: Any, S: Any, **arguments: Any) -> Any:
        return function(params, S, torch.zeros(2, 3, 6), **arguments)

    return call


TAKE_A_PROBLEM: dict[str, Callable[..., Any]] = {
    "attention": attention,
    "attention_weights": attention_weights,
    "value_gradient": ntteach.value_gradient,
    "query_gradient": ntteach.query_gradient,
    "key_gradient": ntteach.key_gradient,
    "importance": ntteach.importance,
    "attention_jacobian": ntteach.attention_jacobian,
    "parameter_gradient": with_output_grad(ntteach.parameter_gradient),
    "gradient_norms": with_output_grad(ntteach.gradient_norms),
}
GOOD: dict[str, Any] = {
    "W_Q": torch.zeros(4, 8),
    "W_K": torch.zeros(5, 8),
    "W_V": torch.zeros(5, 6),
    "S": torch.zeros(2, 3, 4),
    "context": torch.zeros(2, 7, 5),
    "mask": None,
    "heads": 2,
}
# what is changed, the error, and what its message says was given and expected
BAD: dict[str, tuple[dict[str, Any], type[Exception], list[str]]] = {
    "one dimension": ({"S": torch.zeros(4)}, ValueError, ["(L, d) or (N, L, d)", "(4,)"]),
    "four dimensions": ({"S": torch.zeros(1, 1, 3, 4)}, ValueError, ["(N, L, d)", "(1, 1, 3, 4)"]),
    "width of S": ({"S": torch.zeros(2, 3, 9)}, ValueError, ["W_Q", "(9, d_k)", "(4, 8)"]),
    "width of context": (
        {"context": torch.zeros(2, 7, 9)},
        ValueError,
        ["W_K", "(9, 8)", "(5, 8)"],
    ),
    "W_K and W_Q": ({"W_K": torch.zeros(5, 4)}, ValueError, ["W_K", "(5, 8)", "(5, 4)"]),
    "W_V and context": ({"W_V": torch.zeros(4, 6)}, ValueError, ["W_V", "(5, v)", "(4, 6)"]),
    "W_O and W_V": ({"W_O": torch.zeros(5, 6)}, ValueError, ["W_O", "(6, o)", "(5, 6)"]),
    "a weight of three dimensions": (
        {"W_Q": torch.zeros(1, 4, 8)},
        ValueError,
        ["W_Q", "matrix", "(1, 4, 8)"],
    ),
    "a weight of one dimension": ({"W_V": torch.zeros(6)}, ValueError, ["W_V", "matrix", "(6,)"]),
    "batch of the context": (
        {"context": torch.zeros(3, 7, 5)},
        ValueError,
        ["the N of S", "(3, 7, 5)", "(2, 3, 4)"],
    ),
    "context without a batch": ({"context": torch.zeros(7, 5)}, ValueError, ["(7, 5)"]),
    "empty sequence": ({"S": torch.zeros(2, 0, 4)}, ValueError, ["at least one", "(2, 0, 4)"]),
    "empty context": ({"context": torch.zeros(2, 0, 5)}, ValueError, ["at least one", "(2, 0, 5)"]),
    "mixed dtypes": (
        {"W_K": torch.zeros(5, 8, dtype=torch.float64)},
        TypeError,
        ["one dtype", "S torch.float32", "W_K torch.float64"],
    ),
    "context of another dtype": (
        {"context": torch.zeros(2, 7, 5, dtype=torch.float64)},
        TypeError,
        ["one dtype", "context torch.float64"],
    ),
    "S on another device": (
        {"S": torch.zeros(2, 3, 4, device="meta")},
        ValueError,
        ["all tensors are on one device", "S meta", "W_Q cpu"],
    ),
    "context on another device": (
        {"context": torch.zeros(2, 7, 5, device="meta")},
        ValueError,
        ["all tensors are on one device", "S cpu", "context meta"],
    ),
    "mask on another device": (
        {"mask": torch.ones(3, 7, dtype=torch.bool, device="meta")},
        ValueError,
        ["mask is on the device of S, cpu", "got meta"],
    ),
    "d_k of 0": (
        {"W_Q": torch.zeros(4, 0), "W_K": torch.zeros(5, 0)},
        ValueError,
        ["every width is at least 1", "'W_Q': (4, 0)"],
    ),
    "d of 0": (
        {"S": torch.zeros(2, 3, 0), "W_Q": torch.zeros(0, 8)},
        ValueError,
        ["every width is at least 1", "'W_Q': (0, 8)"],
    ),
    "d_c of 0": (
        {"context": torch.zeros(2, 7, 0), "W_K": torch.zeros(0, 8), "W_V": torch.zeros(0, 6)},
        ValueError,
        ["every width is at least 1", "'W_K': (0, 8)"],
    ),
    "v of 0": ({"W_V": torch.zeros(5, 0)}, ValueError, ["at least 1", "'W_V': (5, 0)"]),
    "o of 0": ({"W_O": torch.zeros(6, 0)}, ValueError, ["at least 1", "'W_O': (6, 0)"]),
    "integers": (
        {k: x.long() for k, x in GOOD.items() if isinstance(x, Tensor)},
        TypeError,
        ["floating point", "torch.int64"],
    ),
    "a list for S": ({"S": [[0.0]]}, TypeError, ["S is a tensor", "list"]),
    "a number for W_V": ({"W_V": 1.0}, TypeError, ["W_V is a tensor", "float"]),
    "unknown parameter": (
        {"W_X": torch.zeros(1, 1)},
        ValueError,
        ["W_Q, W_K, W_V and optionally W_O", "W_X"],
    ),
    "parameter missing": ({"W_K": None}, ValueError, ["W_Q, W_K, W_V", "got W_Q, W_V"]),
    "unknown mask": ({"mask": "casual"}, ValueError, ['"causal"', "'casual'"]),
    "mask of another kind": ({"mask": 1.0}, TypeError, ['"causal"', "float"]),
    "mask that does not broadcast": (
        {"mask": torch.ones(3, 6, dtype=torch.bool)},
        ValueError,
        ["(2, 2, 3, 7)", "(3, 6)"],
    ),
    "mask with too many dimensions": (
        {"mask": torch.ones(1, 2, 2, 3, 7, dtype=torch.bool)},
        ValueError,
        ["(2, 2, 3, 7)", "(1, 2, 2, 3, 7)"],
    ),
    "mask per sequence without heads": (
        {"mask": torch.ones(2, 3, 7, dtype=torch.bool)[:, None][:, [0, 0, 0]]},
        ValueError,
        ["(2, 2, 3, 7)", "(2, 3, 3, 7)"],
    ),
    "integer mask": (
        {"mask": torch.ones(3, 7, dtype=torch.int64)},
        TypeError,
        ["boolean or", "torch.float32", "torch.int64"],
    ),
    "mask of another dtype": (
        {"mask": torch.zeros(3, 7, dtype=torch.float64)},
        TypeError,
        ["boolean or", "torch.float32", "torch.float64"],
    ),
    "heads that do not divide d_k": (
        {"heads": 3},
        ValueError,
        ["heads divides", "heads=3", "d_k=8", "v=6"],
    ),
    "heads that do not divide v": ({"heads": 4}, ValueError, ["heads divides", "heads=4", "v=6"]),
    "no heads": ({"heads": 0}, ValueError, ["heads divides", "heads=0"]),
    "negative heads": ({"heads": -2}, ValueError, ["heads divides", "heads=-2"]),
    "half a head": ({"heads": 0.5}, TypeError, ["heads is an int", "float"]),
    "true heads": ({"heads": True}, TypeError, ["heads is an int", "bool"]),
}


def call(function: Callable[..., Any], changes: dict[str, Any]) -> Any:
    arguments = {**GOOD, **changes}
    names = [name for name in arguments if name.startswith("W_")]
    params = {name: arguments.pop(name) for name in names}
    params = {name: w for name, w in params.items() if w is not None}
    return function(params, arguments.pop("S"), **arguments)


@pytest.mark.parametrize("function", TAKE_A_PROBLEM.values(), ids=TAKE_A_PROBLEM)
def test_good_arguments_pass(function):
    call(function, {})


@pytest.mark.parametrize("function", TAKE_A_PROBLEM.values(), ids=TAKE_A_PROBLEM)
@pytest.mark.parametrize(("changes", "error", "words"), BAD.values(), ids=BAD)
def test_every_function_says_what_was_given_and_expected(function, changes, error, words):
    with pytest.raises(error) as caught:
        call(function, changes)
    # not a subclass: beartype's errors are TypeErrors too, and not ours
    assert type(caught.value) is error
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("function", TAKE_A_PROBLEM.values(), ids=TAKE_A_PROBLEM)
@pytest.mark.parametrize("params", [None, [1], torch.zeros(3)], ids=["none", "list", "tensor"])
def test_params_are_a_mapping(function, params):
    with pytest.raises(
        TypeError, match=r"params is a mapping of tensors, got (NoneType|list|Tens)"
    ):
        function(params, torch.zeros(2, 3, 4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"d": 0}, ["at least 1", "(0, 0)"]),
        ({"d": 3, "v": 0}, ["at least 1", "(3, 0)"]),
        ({"d": 3, "o": -1}, ["at least 1", "(1, -1)"]),
        ({"d": 4, "heads": 3, "v": 3}, ["heads divides", "heads=3", "d_k=4"]),
        ({"d": 4, "heads": 2}, ["heads divides", "v=1"]),
    ],
)
def test_learner_refuses_widths_and_heads_that_do_not_fit(options, words):
    with pytest.raises(ValueError, match=r"at least 1|heads divides") as caught:
        AttentionLearner(**options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"d": "4"}, "widths are whole numbers, got d='4'"),
        ({"d": 1.5}, "widths are whole numbers, got d=1.5"),
        ({"d": None}, "widths are whole numbers, got d=None"),
        ({"d": True}, "widths are whole numbers, got d=True"),
        ({"d": 4, "d_k": 2.0}, "widths are whole numbers, got d_k=2.0"),
        ({"d": 4, "v": None}, "widths are whole numbers, got v=None"),
        ({"d": 4, "o": "2"}, "widths are whole numbers, got o='2'"),
        ({"d": 4, "dtype": torch.int64}, "dtype is a floating point torch.dtype, got torch.int64"),
        ({"d": 4, "dtype": "float32"}, "dtype is a floating point torch.dtype, got 'float32'"),
    ],
)
def test_learner_refuses_widths_and_dtypes_of_another_kind(options, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        AttentionLearner(**options)


def test_shapes_in_annotations_are_checked_under_test():
    pytest.importorskip("beartype")
    good = {"Q": (2, 3, 4), "K": (2, 5, 4), "V": (2, 5, 1), "weights": (2, 3, 5),
            "head_outputs": (2, 3, 1), "output": (3, 2)}  # fmt: skip
    Forward(**{name: torch.zeros(shape) for name, shape in good.items()})
    for name, shape in {"K": (2, 5, 3), "weights": (2, 5, 3), "output": (2, 3, 2, 1)}.items():
        bad = {**good, name: shape}
        with pytest.raises(TypeError, match=name):
            Forward(**{name: torch.zeros(shape) for name, shape in bad.items()})
