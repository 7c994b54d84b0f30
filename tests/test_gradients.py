"""The closed forms against automatic differentiation, loops and differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from conftest import DTYPES, every_case, relative_error
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ntteach import (
    attention,
    attention_jacobian,
    attention_weights,
    gradient_norms,
    gradients,
    importance,
    key_gradient,
    oracles,
    parameter_gradient,
    query_gradient,
    value_gradient,
)
from ntteach.learner import forward, problem
from ntteach.paper.domains import FORMS, AttentionCase, Shape, magnitudes, random_cases

Params = dict[str, Tensor]

# What the closed forms promise on random problems, norm by norm.
PROMISED = {torch.float64: 1e-12, torch.float32: 5e-5}
SMALL = Shape(N=3, L=7, M=6, d=5, d_c=6, d_k=8, v=4, o=3, heads=4)
LARGE = Shape(N=2, L=64, M=48, d=64, d_c=32, d_k=64, v=8, o=4, heads=4)
BLOCKS = {"W_Q": query_gradient, "W_K": key_gradient, "W_V": value_gradient}


def promised_cases(form: str, largest: Shape, dtype: torch.dtype) -> list[AttentionCase]:
    if largest is SMALL:
        cases = random_cases(form, count=16, seed=11, largest=SMALL)
    else:
        cases = [random_cases(form, count=3, seed=seed, largest=LARGE)[seed] for seed in range(3)]
    return [case.to(dtype) for case in cases]


def exact(case: AttentionCase, **options: Any) -> Params:
    """The Jacobian that the oracle finds in float64 for the very numbers of the case."""
    case = case.to(torch.float64)
    return oracles.jacobian(case.params, case.S, **case.arguments, **options)


def output_grad(case: AttentionCase, seed: int = 0) -> Tensor:
    f = attention(case.params, case.S, **case.arguments)
    return torch.randn(f.shape, generator=torch.Generator().manual_seed(seed), dtype=f.dtype)


def one_sequence(case: AttentionCase, n: int = 0) -> tuple[Tensor, dict[str, Any]]:
    """Sequence n of a batch and its arguments."""
    mask = case.mask[n] if case.mask is not None and case.mask.ndim == 4 else case.mask
    context = None if case.context is None else case.context[n]
    return case.S[n], {"context": context, "mask": mask, "heads": case.heads}


def exact_per_sequence(case: AttentionCase, R: Tensor) -> list[Params]:
    """One gradient per sequence, by reverse mode in float64."""
    case, R = case.to(torch.float64), R.double()
    found = []
    for n in range(len(case.S)):
        S, arguments = one_sequence(case, n)

        def loss(params: Params, S: Tensor = S, arguments=arguments, n: int = n) -> Tensor:
            return (oracles.attention(params, S, **arguments) * R[n]).sum()

        found.append(grad(loss)(case.params))
    return found


def norms(per_sequence: list[Params]) -> Tensor:
    return torch.stack([torch.stack([g.norm() for g in p.values()]).norm() for p in per_sequence])


# the promised accuracy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("largest", [SMALL, LARGE], ids=["small", "large"])
def test_closed_form_equals_autograd_to_the_promised_accuracy(largest, form, dtype):
    for case in promised_cases(form, largest, dtype):
        reference = exact(case)
        found = attention_jacobian(case.params, case.S, **case.arguments)
        assert found.keys() == reference.keys() == case.params.keys()
        for name, block in reference.items():
            assert found[name].dtype == dtype
            assert relative_error(found[name], block) <= PROMISED[dtype], f"{name}: {case}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("largest", [SMALL, LARGE], ids=["small", "large"])
def test_gradient_and_norms_equal_autograd_to_the_promised_accuracy(largest, form, dtype):
    for case in promised_cases(form, largest, dtype):
        R = output_grad(case)
        per_sequence = exact_per_sequence(case, R)
        found = parameter_gradient(case.params, case.S, R, **case.arguments)
        assert found.keys() == case.params.keys()
        for name, gradient in found.items():
            expected = torch.stack([g[name] for g in per_sequence]).sum(0)
            assert relative_error(gradient, expected) <= PROMISED[dtype], f"{name}: {case}"
        found = gradient_norms(case.params, case.S, R, **case.arguments)
        assert found.dtype == dtype
        for n, expected in enumerate(norms(per_sequence)):
            assert relative_error(found[n], expected) <= PROMISED[dtype], str(case)


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_equals_forward_mode(form):
    for case in promised_cases(form, SMALL, torch.float64):
        found = attention_jacobian(case.params, case.S, **case.arguments)
        for name, block in exact(case, mode="forward").items():
            assert relative_error(found[name], block) <= PROMISED[torch.float64], f"{name}: {case}"


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_equals_autograd_on_the_device(form, device):
    for case in random_cases(form, count=3, seed=2, device=device):
        found = attention_jacobian(case.params, case.S, **case.arguments)
        for name, block in exact(case).items():
            assert found[name].device.type == device
            assert relative_error(found[name], block) <= PROMISED[torch.float64]
        assert gradient_norms(
            case.params, case.S, output_grad(case.to(torch.float64)).to(device), **case.arguments
        ).isfinite().all()  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_closed_form_equals_autograd_at_the_edges_entry_by_entry(form, dtype):
    # norms say nothing where a gradient vanishes or logits are 1e4: bounds from the terms' sizes
    epsilon = torch.finfo(dtype).eps
    for case in every_case(form, dtype):
        found = attention_jacobian(case.params, case.S, **case.arguments)
        reference = exact(case)
        for name, size in magnitudes(case.to(torch.float64)):
            error = (found[name].double() - reference[name]).abs().max().item()
            assert error <= 4 * epsilon * size, f"{name}: {case}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["plain", "causal", "masked", "cross", "projected"])
def test_closed_form_keeps_its_promise_at_the_largest_shape(kind, dtype):
    g = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        std = size[0] ** -0.5 if len(size) == 2 else 1.0
        return std * torch.randn(*size, generator=g, dtype=torch.float64)

    M, d_c = (48, 32) if kind == "cross" else (64, 64)
    params = {"W_Q": normal(64, 64), "W_K": normal(d_c, 64), "W_V": normal(d_c, 8)}
    if kind == "projected":
        params["W_O"] = normal(8, 8)
    mask = None
    if kind == "causal":
        mask = torch.ones(64, 64, dtype=torch.bool).tril()
    elif kind == "masked":
        mask = torch.rand(1, 4, 64, 64, generator=g) > 0.5
    context = normal(1, M, d_c) if kind == "cross" else None
    case = AttentionCase(params, normal(1, 64, 64), context, mask, 4, kind).to(dtype)
    found = attention_jacobian(case.params, case.S, **case.arguments)
    for name, block in exact(case).items():
        assert relative_error(found[name], block) <= PROMISED[dtype], name
    R = output_grad(case)
    expected = norms(exact_per_sequence(case, R))
    assert (
        relative_error(gradient_norms(case.params, case.S, R, **case.arguments), expected)
        <= (PROMISED[dtype])
    )


# witnesses that are not automatic differentiation


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_is_within_the_bound_of_central_differences(form):
    for case in random_cases(form, count=3, seed=3):
        S, arguments = one_sequence(case)
        values, bounds = oracles.difference_jacobian(case.params, S, **arguments)
        for name, block in attention_jacobian(case.params, S, **arguments).items():
            assert ((block - values[name]).abs() <= bounds[name]).all(), f"{name}: {case}"


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_is_within_the_bound_of_differences_of_loops(form):
    largest = Shape(N=1, L=3, M=3, d=2, d_c=3, d_k=4, v=2, o=2, heads=2)
    for case in random_cases(form, count=2, seed=4, largest=largest):
        S, arguments = one_sequence(case)
        found = attention_jacobian(case.params, S, **arguments)
        for name, block in found.items():

            def output(W: Tensor, name=name, S=S, arguments=arguments, case=case) -> Tensor:
                return oracles.attention_loops({**case.params, name: W}, S, **arguments)

            value, bound = oracles.central_difference(output, case.params[name])
            assert ((block - value).abs() <= bound).all(), f"{name}: {case}"


def test_equations_10_to_12_by_hand():
    # keys 0, 1 and values 0, 2; the query 0 gives weights 1/2, 1/2
    params = {"W_Q": torch.zeros(1, 1), "W_K": torch.ones(1, 1), "W_V": torch.full((1, 1), 2.0)}
    S = torch.tensor([[0.0], [1.0]])
    assert value_gradient(params, S).flatten().tolist() == [0.5, 0.5]  # mean of 0, 1
    assert importance(params, S).flatten().tolist() == [0.5, 0.5]  # covariance of 0, 1 and 0, 2
    assert query_gradient(params, S).flatten().tolist() == [0.0, 0.5]
    assert key_gradient(params, S).flatten().tolist() == [0.0, 0.0]
    params["W_Q"] = torch.full((1, 1), math.log(3.0))
    # row 1 attends with 1/4, 3/4: covariance 1/4 * 3/4 * 1 * 2 = 3/8
    assert importance(params, S).flatten().tolist() == pytest.approx([0.5, 0.375])
    assert key_gradient(params, S).flatten().tolist() == pytest.approx([0, math.log(3) * 0.375])


# the functions among themselves


@pytest.mark.parametrize("form", FORMS)
def test_each_gradient_is_its_block_of_the_jacobian(form):
    for case in every_case(form):
        blocks = attention_jacobian(case.params, case.S, **case.arguments)
        for name, function in BLOCKS.items():
            assert torch.equal(function(case.params, case.S, **case.arguments), blocks[name])


@pytest.mark.parametrize("form", FORMS)
def test_batch_is_one_sequence_at_a_time(form):
    for case in random_cases(form, count=4, seed=5, largest=SMALL):
        R = output_grad(case)
        blocks = attention_jacobian(case.params, case.S, **case.arguments)
        omega = importance(case.params, case.S, **case.arguments)
        norm = gradient_norms(case.params, case.S, R, **case.arguments)
        total = parameter_gradient(case.params, case.S, R, **case.arguments)
        parts = []
        for n in range(len(case.S)):
            S, arguments = one_sequence(case, n)
            for name, block in attention_jacobian(case.params, S, **arguments).items():
                assert relative_error(blocks[name][n], block) <= 1e-14
            assert relative_error(omega[n], importance(case.params, S, **arguments)) <= 1e-14
            single = gradient_norms(case.params, S, R[n], **arguments)
            assert single.shape == ()
            assert relative_error(norm[n], single) <= 1e-13
            parts.append(parameter_gradient(case.params, S, R[n], **arguments))
        for name, gradient in total.items():
            assert (
                relative_error(gradient, torch.stack([part[name] for part in parts]).sum(0))
                <= 1e-13
            )


@pytest.mark.parametrize("form", FORMS)
def test_parameter_gradient_is_the_jacobian_contracted_with_the_loss_gradient(form):
    for case in every_case(form)[:6]:
        R = output_grad(case)
        found = parameter_gradient(case.params, case.S, R, **case.arguments)
        for name, block in attention_jacobian(case.params, case.S, **case.arguments).items():
            expected = torch.einsum("njc,njcab->ab", R, block)
            assert relative_error(found[name], expected) <= 1e-12, f"{name}: {case}"


@pytest.mark.parametrize("form", FORMS)
def test_importance_is_the_covariance_of_key_and_value_under_attention(form):
    for case in random_cases(form, count=6, seed=6, largest=SMALL):
        C = case.S if case.context is None else case.context
        A = attention_weights(case.params, case.S, **case.arguments)
        K, V = C @ case.params["W_K"], C @ case.params["W_V"]
        omega = torch.zeros(*case.S.shape[:2], V.shape[-1], K.shape[-1], dtype=torch.float64)
        d_h, v_h = K.shape[-1] // case.heads, V.shape[-1] // case.heads
        for c in range(V.shape[-1]):
            h = c // v_h
            for i in range(h * d_h, (h + 1) * d_h):  # an output sees the keys of its own head
                k, v = K[:, None, :, i], V[:, None, :, c]
                mean = (A[:, h] * k * v).sum(-1) - (A[:, h] * k).sum(-1) * (A[:, h] * v).sum(-1)
                omega[..., c, i] = mean
        if "W_O" in case.params:
            omega = torch.einsum("njci,ce->njei", omega, case.params["W_O"])
        found = importance(case.params, case.S, **case.arguments)
        assert relative_error(found, omega) <= 1e-12, str(case)


def test_importance_and_gradients_vanish_outside_the_own_head():
    (case,) = random_cases("multi-head", count=1, seed=7, largest=Shape(2, 5, 5, 4, 4, 9, 6, 0, 3))
    d_h, v_h = (case.params[name].shape[1] // case.heads for name in ("W_Q", "W_V"))
    blocks = attention_jacobian(case.params, case.S, **case.arguments)
    blocks["omega"] = importance(case.params, case.S, **case.arguments).unsqueeze(-2)
    for name, width in {"W_Q": d_h, "W_K": d_h, "W_V": v_h, "omega": d_h}.items():
        own = torch.block_diag(*[torch.ones(v_h, width)] * case.heads).bool()[:, None]
        assert (blocks[name].masked_fill(own, 0.0) == 0).all()
        assert (blocks[name].abs().amax((0, 1)) > 0)[own.expand(blocks[name].shape[2:])].any()


@pytest.mark.parametrize("form", FORMS)
def test_deviations_sum_to_zero_over_the_context(form):
    for case in every_case(form):
        p = problem(case.params, case.S, case.context, case.mask, case.heads)
        w = forward(p)
        total = gradients._deviation(w).sum(-1)
        assert total.abs().max() <= 1e-14 * w.weights.shape[-1] * (1 + w.V.abs().max())


# where gradients are degenerate


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["boolean", "float"])
def test_row_masked_everywhere_has_exactly_zero_gradient(kind, dtype, device, generator):
    allowed = torch.rand(4, 5, generator=generator) > 0.4
    allowed[2] = False
    mask = allowed
    if kind == "float":
        mask = torch.zeros(4, 5, dtype=dtype).masked_fill(~allowed, -torch.inf)
    case = random_cases("projected", count=3, seed=8, largest=Shape(3, 4, 5, 3, 2, 4, 4, 3, 2))[1]
    case = case.to(dtype)
    params = {name: w.to(device) for name, w in case.params.items()}
    S = torch.randn(3, 4, case.S.shape[-1], generator=generator, dtype=dtype).to(device)
    context = torch.randn(3, 5, params["W_K"].shape[0], generator=generator, dtype=dtype)
    arguments: dict[str, Any] = {
        "context": context.to(device), "mask": mask.to(device), "heads": case.heads,
    }  # fmt: skip
    for block in attention_jacobian(params, S, **arguments).values():
        assert (block[:, 2] == 0).all()
        assert block.isfinite().all()
    assert (importance(params, S, **arguments)[:, 2] == 0).all()
    R = torch.zeros_like(attention(params, S, **arguments))
    R[:, 2] = torch.randn(R[:, 2].shape, generator=generator, dtype=dtype).to(device)
    assert (gradient_norms(params, S, R, **arguments) == 0).all()
    gradient = parameter_gradient(params, S, R, **arguments)
    assert all((block == 0).all() for block in gradient.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_has_no_query_and_key_gradient(dtype, generator):
    case = random_cases("multi-head", count=1, seed=9, largest=Shape(2, 1, 1, 3, 3, 4, 4, 0, 2))[0]
    case = case.to(dtype)
    blocks = attention_jacobian(case.params, case.S, **case.arguments)
    assert (blocks["W_Q"] == 0).all()
    assert (blocks["W_K"] == 0).all()
    eye = torch.eye(blocks["W_V"].shape[-1], dtype=dtype)
    expected = case.S[:, :, None, :, None] * eye[:, None, :]
    assert torch.equal(blocks["W_V"], expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e4, 1e5])
def test_large_logits_give_finite_gradients(size, dtype, device):
    root = math.sqrt(size)
    params = {"W_Q": torch.full((1, 1), root), "W_K": torch.full((1, 1), root),
              "W_V": torch.ones(1, 1)}  # fmt: skip
    params = {name: w.to(device, dtype) for name, w in params.items()}
    S = torch.tensor([[1.0], [-1.0], [1.0], [0.0]], dtype=dtype, device=device)
    blocks = attention_jacobian(params, S)
    assert all(block.isfinite().all() for block in blocks.values())
    # rows 0 to 2 attend to equal elements only, so nothing moves; row 3 to all: S_3 = 0
    assert (blocks["W_Q"] == 0).all()
    # key gradient: Q_j times the variance of S under attention, and Q_3 = 0
    assert (blocks["W_K"] == 0).all()
    assert blocks["W_V"].flatten().tolist() == pytest.approx([1.0, -1.0, 1.0, 0.25])
    assert gradient_norms(params, S, torch.ones(4, 1, dtype=dtype, device=device)).isfinite()


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_elements_have_no_query_and_key_gradient(dtype, generator):
    case = random_cases("self", count=1, seed=10, largest=Shape(1, 4, 4, 3, 3, 4, 2, 0, 1))[0]
    case = case.to(dtype)
    S = torch.randn(1, case.S.shape[-1], generator=generator, dtype=dtype).expand(4, -1)
    blocks = attention_jacobian(case.params, S)
    top = case.params["W_V"].abs().sum() * S.abs().max() ** 2
    assert blocks["W_Q"].abs().max() <= 64 * torch.finfo(dtype).eps * top
    assert blocks["W_K"].abs().max() <= 64 * torch.finfo(dtype).eps * top


# under torch's transforms


@pytest.mark.parametrize("form", FORMS)
def test_closed_forms_work_under_vmap_over_parameters(form):
    case = random_cases(form, count=3, seed=12)[2]
    stacked = {name: torch.stack([w, -2 * w]) for name, w in case.params.items()}
    R = output_grad(case)

    def compare(function: Callable[[Params], Any]) -> None:
        together = tree_leaves(vmap(function)(stacked))
        apart = [tree_leaves(function({k: w[n] for k, w in stacked.items()})) for n in range(2)]
        for leaf, first, second in zip(together, *apart, strict=True):
            assert relative_error(leaf, torch.stack([first, second])) <= 1e-13

    compare(lambda params: attention_jacobian(params, case.S, **case.arguments))
    compare(lambda params: importance(params, case.S, **case.arguments))
    compare(lambda params: parameter_gradient(params, case.S, R, **case.arguments))
    compare(lambda params: gradient_norms(params, case.S, R, **case.arguments))


@pytest.mark.parametrize("form", ["self", "masked", "projected"])
def test_closed_forms_can_be_differentiated_again(form):
    case = random_cases(form, count=3, seed=13)[2]

    def closed_form(params: Params) -> Tensor:
        return query_gradient(params, case.S, **case.arguments)

    def by_autograd(params: Params) -> Tensor:
        return oracles.jacobian(params, case.S, **case.arguments)["W_Q"]

    expected = jacfwd(by_autograd)(case.params)
    for transform in (jacrev, jacfwd):
        for name, block in transform(closed_form)(case.params).items():
            assert (block - expected[name]).abs().max() <= 1e-12 * (1 + block.abs().max())


def test_gradient_norm_can_be_differentiated_by_the_sequence(generator):
    case = random_cases("self", count=1, seed=14)[0]
    S = case.S[0]
    R = torch.randn(attention(case.params, S).shape, generator=generator, dtype=torch.float64)
    inputs = S.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda S: gradient_norms(case.params, S, R), inputs)


# gradient norms: both routes, blocks, memory


def norm_problem(
    L: int, d: int, *, N: int = 5, kind: str = "plain", dtype: torch.dtype = torch.float64
) -> tuple[AttentionCase, Tensor]:
    """A problem of given length and width, and a loss gradient."""
    g = torch.Generator().manual_seed(L + d)

    def normal(*size: int, std: float = 1.0) -> Tensor:
        return std * torch.randn(*size, generator=g, dtype=dtype)

    M, d_c = (L + 2, d + 1) if kind == "cross" else (L, d)
    params = {
        "W_Q": normal(d, 2 * d, std=d**-0.5),
        "W_K": normal(d_c, 2 * d, std=d_c**-0.5),
        "W_V": normal(d_c, 2 * d, std=d_c**-0.5),
    }
    if kind == "projected":
        params["W_O"] = normal(2 * d, d, std=d**-0.5)
    mask = None
    if kind == "masked":
        mask = torch.rand(N, 2, L, M, generator=g) > 0.4
    if kind == "padded":
        mask = (torch.arange(M) < torch.randint(0, M + 1, (N, 1), generator=g))[:, None, None, :]
    context = normal(N, M, d_c) if kind == "cross" else None
    case = AttentionCase(params, normal(N, L, d), context, mask, 2, kind)
    return case, output_grad(case, seed=L)


KINDS = ["plain", "masked", "padded", "cross", "projected"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("L", "d"), [(3, 8), (12, 2)], ids=["Gram matrices", "gradients"])
def test_gradient_norms_by_both_routes_are_those_of_each_sequence(L, d, kind):
    case, R = norm_problem(L, d, kind=kind)
    expected = norms(exact_per_sequence(case, R))
    found = gradient_norms(case.params, case.S, R, **case.arguments)
    assert relative_error(found, expected) <= 1e-13


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("numbers", [1, 300, 1500], ids=["one by one", "blocks", "few blocks"])
@pytest.mark.parametrize(("L", "d"), [(3, 8), (12, 2)])
def test_gradient_norms_do_not_depend_on_the_blocks(L, d, numbers, kind, monkeypatch):
    case, R = norm_problem(L, d, N=7, kind=kind)
    whole = gradient_norms(case.params, case.S, R, **case.arguments)
    monkeypatch.setattr(gradients, "_BLOCK_NUMBERS", numbers)
    found = gradient_norms(case.params, case.S, R, **case.arguments)
    assert found.shape == (7,)
    assert relative_error(found, whole) <= 1e-14


def test_gradient_norms_with_masks_of_every_shape_across_blocks(monkeypatch):
    case, R = norm_problem(4, 3, N=6)
    monkeypatch.setattr(gradients, "_BLOCK_NUMBERS", 400)
    g = torch.Generator().manual_seed(0)
    for shape in [(6, 2, 4, 4), (6, 1, 1, 4), (1, 2, 4, 4), (2, 4, 4), (4, 4), (4,), ()]:
        mask = torch.rand(shape, generator=g) > 0.3
        full = mask.expand(6, 2, 4, 4)
        found = gradient_norms(case.params, case.S, R, mask=mask, heads=2)
        expected = [
            gradient_norms(case.params, case.S[n], R[n], mask=full[n], heads=2) for n in range(6)
        ]
        assert relative_error(found, torch.stack(expected)) <= 1e-13
    causal = gradient_norms(case.params, case.S, R, mask="causal", heads=2)
    tril = torch.ones(4, 4, dtype=torch.bool).tril()
    assert torch.equal(causal, gradient_norms(case.params, case.S, R, mask=tril, heads=2))


def test_gradient_norm_of_a_zero_loss_gradient_is_zero():
    for L, d in ((3, 8), (12, 2)):
        case, R = norm_problem(L, d)
        zero = gradient_norms(case.params, case.S, torch.zeros_like(R), **case.arguments)
        assert (zero == 0).all()


@pytest.mark.parametrize(("L", "d"), [(3, 8), (12, 2)], ids=["Gram matrices", "gradients"])
def test_gradient_norm_has_derivative_zero_where_it_is_zero(L, d):
    case, R = norm_problem(L, d)
    R = R.clone()
    R[1] = 0

    def total(params: Params, S: Tensor, R: Tensor) -> Tensor:
        return gradient_norms(params, S, R, **case.arguments).sum()

    by_params, by_S, by_R = grad(total, argnums=(0, 1, 2))(case.params, case.S, R)
    assert all(x.isfinite().all() for x in (by_S, by_R, *by_params.values()))
    assert (by_S[1] == 0).all()
    assert (by_R[1] == 0).all()
    # one at a time, as for the others of the batch
    one = vmap(grad(total, argnums=2), in_dims=(None, 0, 0))(case.params, case.S, R)
    assert relative_error(one, by_R) <= 1e-13
    assert (by_R[[0, 2, 3, 4]] != 0).any((1, 2)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("L", "d"), [(3, 8), (12, 2)], ids=["Gram matrices", "gradients"])
def test_gradient_norms_scale_with_the_loss_gradient(L, d, dtype):
    case, R = norm_problem(L, d, dtype=dtype)
    expected = gradient_norms(case.params, case.S, R, **case.arguments)
    by_S = grad(lambda S, R: gradient_norms(case.params, S, R, heads=2).sum())
    for size in (1e20, 1e-20, -3.0):
        found = gradient_norms(case.params, case.S, size * R, **case.arguments)
        assert relative_error(found, abs(size) * expected) <= 64 * torch.finfo(dtype).eps
        found = by_S(case.S, size * R)
        assert relative_error(found, abs(size) * by_S(case.S, R)) <= 1e4 * torch.finfo(dtype).eps


def test_gradient_norm_can_be_differentiated_by_the_loss_gradient():
    case, R = norm_problem(3, 4, N=2)
    inputs = R.clone().requires_grad_()
    norm = lambda R: gradient_norms(case.params, case.S, R, **case.arguments)  # noqa: E731
    assert torch.autograd.gradcheck(norm, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(norm, inputs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_norms_err_by_no_more_than_said_where_gradients_cancel(dtype, generator):
    # equal elements with loss gradients that sum to zero: every gradient is zero
    L, d = 4, 16
    case, _ = norm_problem(L, d, dtype=dtype)
    S = torch.randn(5, 1, d, generator=generator, dtype=dtype).expand(5, L, d)
    R = torch.randn(5, L, 2 * d, generator=generator, dtype=dtype)
    R = R - R.mean(1, keepdim=True)
    norm = gradient_norms(case.params, S, R, heads=2)
    # the docstring's bound, with ||X|| and ||Y|| by the sizes of S and R, is for the square
    size = S.norm(dim=(1, 2)) * R.norm(dim=(1, 2))
    assert (norm**2 <= 64 * torch.finfo(dtype).eps * size**2).all()
    assert norm.isfinite().all()


class Largest(TorchDispatchMode):
    """How many numbers the largest tensor has that was created meanwhile; views count nothing."""

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self.known = {x.untyped_storage().data_ptr() for x in given}
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.untyped_storage().data_ptr() not in self.known:
                numbers = x.untyped_storage().nbytes() // x.element_size()
                self.numbers = max(self.numbers, numbers)
        return result


def wide_problems() -> Iterator[tuple[str, AttentionCase, Tensor]]:
    """Short sequences and wide layers: per-sequence gradients are far larger than the batch."""
    for kind, heads in (("plain", 1), ("plain", 4), ("projected", 4), ("cross", 4)):
        case, R = norm_problem(3, 64, N=256, kind=kind, dtype=torch.float32)
        yield f"{kind}, {heads} heads", AttentionCase(
            case.params, case.S, case.context, case.mask, heads
        ), R  # fmt: skip


@pytest.mark.parametrize(
    ("case", "R"), [x[1:] for x in wide_problems()], ids=[x[0] for x in wide_problems()]
)
def test_gradient_norms_never_hold_per_sequence_gradients(case, R, monkeypatch):
    parameters = sum(w.numel() for w in case.params.values())
    given = [*case.params.values(), case.S, R]
    given += [] if case.context is None else [case.context]
    with Largest(*given) as seen:
        gradient_norms(case.params, case.S, R, **case.arguments)
    # 256 sequences: what was held is nearer to one gradient than to a few
    assert seen.numbers <= 10 * max(parameters, case.S.numel(), R.numel())
    assert seen.numbers <= len(case.S) * parameters / 20
    # and with blocks smaller than the batch, twice the batch holds no more
    monkeypatch.setattr(gradients, "_BLOCK_NUMBERS", 2**14)
    held = []
    for N in (128, 256):
        context = None if case.context is None else case.context[:N]
        with Largest(*given) as seen:
            gradient_norms(case.params, case.S[:N], R[:N], context=context, heads=case.heads)
        held.append(seen.numbers)
    assert held[0] == held[1]


def test_the_measure_of_memory_sees_per_sequence_gradients():
    case, R = norm_problem(3, 64, N=256, dtype=torch.float32)

    def loss(params: Params, S: Tensor, R: Tensor) -> Tensor:
        return (attention(params, S, heads=2) * R).sum()

    with Largest() as seen:
        vmap(grad(loss), in_dims=(None, 0, 0))(case.params, case.S, R)
    assert seen.numbers >= 256 * case.params["W_Q"].numel()


# what they refuse; wrong problems are refused as by attention, see test_learner.py


@pytest.mark.parametrize("function", [parameter_gradient, gradient_norms])
@pytest.mark.parametrize("kind", ["plain", "projected"])
def test_loss_gradient_has_the_shape_and_dtype_of_the_output(function, kind):
    case, R = norm_problem(3, 4, kind=kind)
    shape = f"({', '.join(str(n) for n in R.shape)})"
    for wrong in (R[:, :2], R[..., :1], R[0], R[..., None], R.sum()):
        with pytest.raises(ValueError, match="output_grad has the shape of the output") as caught:
            function(case.params, case.S, wrong, **case.arguments)
        assert shape in str(caught.value)
        assert str(tuple(wrong.shape)) in str(caught.value)
    for wrong in (R.float(), R.long()):
        with pytest.raises(TypeError, match=r"output's dtype, torch.float64, got torch\.(fl|in)"):
            function(case.params, case.S, wrong, **case.arguments)
    with pytest.raises(ValueError, match="on the output's device, cpu, got meta"):
        function(case.params, case.S, R.to("meta"), **case.arguments)
    with pytest.raises(TypeError, match="output_grad is a tensor, got list"):
        function(case.params, case.S, R.tolist(), **case.arguments)
