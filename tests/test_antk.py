"""The attention neural tangent kernel: three routes and an oracle, laws, derivatives, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from antk_cases import Kernel, against_others, every_kernel, some_kernels, traced
from conftest import relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

from ntteach import (
    AttentionLearner,
    antk,
    antk_operator,
    attention,
    attention_weights,
    oracles,
)
from ntteach.learner import Problem, problem
from ntteach.paper.domains import FORMS, AttentionCase, Shape, attention_cases, random_cases
from ntteach.tangent import closed_form, features, panels, routes

Params = dict[str, Tensor]

# Norm by norm, over everything that is tested here; rounding leaves about 1e-15 on most problems
# and 1e-12 where logits are 1e4.
AGREEMENT = 1e-10
# Sums in another order differ by a few roundings of their terms.
REORDERED = 1e-13
EPSILON = torch.finfo(torch.float64).eps
SLOW = ("jacobian", "products")
TRACED = pytest.mark.parametrize("trace_outputs", [False, True], ids=["every", "traced"])


def kernel_of(kernel: Kernel, **options: Any) -> Tensor:
    return antk(*kernel.batches, **kernel.call, **options)


def draw(
    *,
    N: int = 2,
    L: int = 4,
    d: int = 3,
    d_c: int | None = None,
    d_k: int = 4,
    v: int = 4,
    o: int = 0,
    M: int = 5,
    heads: int = 1,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> AttentionCase:
    """A problem of these very sizes; cross-attention where the context has a width."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"W_Q": (d, d_k), "W_K": (d_c or d, d_k), "W_V": (d_c or d, v)}
    if o:
        shapes["W_O"] = (v, o)
    params = {name: torch.randn(*s, generator=g, dtype=dtype) for name, s in shapes.items()}
    context = None if d_c is None else torch.randn(N, M, d_c, generator=g, dtype=dtype)
    S = torch.randn(N, L, d, generator=g, dtype=dtype)
    return AttentionCase(params, S, context, None, heads, "drawn")


# the routes and the oracle


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_equals_the_oracle(form):
    for kernel in every_kernel(form):
        exact = kernel.exact()
        for trace_outputs, expected in ((False, exact), (True, traced(exact))):
            found = kernel_of(kernel, trace_outputs=trace_outputs)
            assert found.dtype == torch.float64
            assert found.is_contiguous()
            assert relative_error(found, expected) <= AGREEMENT, str(kernel)


@pytest.mark.parametrize("form", FORMS)
def test_routes_by_automatic_differentiation_equal_the_oracle(form):
    for n, kernel in enumerate(some_kernels(form)):
        exact = kernel.exact()
        for method in SLOW:
            trace_outputs = (n // 2 + (method == "jacobian")) % 2 == 0
            found = kernel_of(kernel, method=method, trace_outputs=trace_outputs)
            expected = traced(exact) if trace_outputs else exact
            assert relative_error(found, expected) <= AGREEMENT, str(kernel)


@TRACED
@pytest.mark.parametrize("method", ["closed_form", *SLOW])
@pytest.mark.parametrize("form", FORMS)
def test_routes_equal_the_oracle_on_the_device(form, method, trace_outputs, device):
    for kernel in some_kernels(form, device)[:4]:
        found = kernel_of(kernel, method=method, trace_outputs=trace_outputs)
        assert found.device.type == device
        assert relative_error(found, kernel.exact(trace_outputs)) <= AGREEMENT, str(kernel)


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_in_float32_is_as_accurate_as_its_numbers(form):
    for kernel in (k.to(torch.float32) for k in every_kernel(form)):
        exact = kernel.exact()
        bound = torch.finfo(torch.float32).eps * kernel.magnitude()
        for trace_outputs, expected in ((False, exact), (True, traced(exact))):
            found = kernel_of(kernel, trace_outputs=trace_outputs)
            assert found.dtype == torch.float32
            # by the sizes of the terms, since logits of 1e4 are themselves rounded
            error = (found.double() - expected).abs().max().item()
            assert error <= bound * (exact.shape[2] if trace_outputs else 1), str(kernel)
            if kernel.rows.name != "logits of 1e4":
                assert relative_error(found, expected) <= 5e-6, str(kernel)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_closed_form_in_half_precision(dtype):
    for kernel in (Kernel(draw(heads=2)), Kernel(draw(heads=2, o=3))):
        kernel = kernel.to(dtype)
        found = kernel_of(kernel)
        assert found.dtype == dtype
        # a sum of a few dozen products of rounded numbers
        assert relative_error(found, kernel.exact()) <= 8 * torch.finfo(dtype).eps


@pytest.mark.parametrize("form", FORMS)
def test_closed_form_is_within_the_bound_of_central_differences(form):
    # a witness that is not automatic differentiation
    for case in random_cases(form, count=2, seed=3):
        one = replace(case, S=case.S[0], context=None if case.context is None else case.context[0])
        if case.mask is not None and case.mask.ndim == 4:
            one = replace(one, mask=case.mask[0])
        value, bound = oracles.difference_jacobian(one.params, one.S, **one.arguments)
        K = slack = torch.zeros(()).double()
        for name, block in value.items():
            J, e = block.flatten(2), bound[name].flatten(2)
            K = K + torch.einsum("jcp,kep->jcke", J, J)
            for left, right in ((J.abs(), e), (e, J.abs()), (e, e)):
                slack = slack + torch.einsum("jcp,kep->jcke", left, right)
        assert ((antk(one.params, one.S, **one.arguments) - K).abs() <= slack + 1e-12).all()


# what is known by hand


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("o", [0, 1, 3])
def test_one_element_has_a_linear_kernel(o, heads):
    # attention is on the one element whatever the logits, so that f = S W_V W_O
    case, other = draw(N=3, L=1, o=o, heads=heads), draw(N=2, L=1, seed=1)
    S, S_other = case.S[:, 0], other.S[:, 0]
    gram = S @ S_other.mT
    if o:
        W_V, W_O = case.params["W_V"], case.params["W_O"]
        outputs = (S @ W_V) @ (S_other @ W_V).mT
        identity = torch.eye(o).double()
        expected = torch.einsum("nm,ce->ncme", outputs, identity)
        expected = expected + torch.einsum("nm,ce->ncme", gram, W_O.mT @ W_O)
    else:
        expected = torch.einsum("nm,ce->ncme", gram, torch.eye(4).double())
    found = antk(case.params, case.S, other.S, heads=heads)
    assert found.shape == (3, 1, o or 4, 2, 1, o or 4)
    assert relative_error(found[:, 0, :, :, 0], expected) <= REORDERED


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_equal_attention_leaves_means_and_covariances(heads):
    # W_Q = 0: weights are 1 / L, W_K has no influence, and W_Q acts by Cov(K, V)
    case, other = draw(heads=heads), draw(N=3, L=2, seed=1)
    params = case.params | {"W_Q": torch.zeros(3, 4).double()}
    d_h = 4 // heads

    def parts(S: Tensor) -> tuple[Tensor, Tensor]:
        K, V = S @ params["W_K"], S @ params["W_V"]
        K, V = K - K.mean(1, keepdim=True), V - V.mean(1, keepdim=True)
        return S.mean(1), K.mT @ V / S.shape[1]  # (N, d), (N, d_k, v)

    (mean, C), (mean_other, C_other) = parts(case.S), parts(other.S)
    expected = torch.zeros(2, 4, 4, 3, 2, 4).double()
    tokens = torch.einsum("nja,mka->njmk", case.S, other.S)
    for c in range(4):
        expected[:, :, c, :, :, c] += (mean @ mean_other.mT)[:, None, :, None]
        for e in range(4):
            if c * heads // 4 == e * heads // 4:  # of one head
                own = slice(c * heads // 4 * d_h, (c * heads // 4 + 1) * d_h)
                both = C[:, own, c] @ C_other[:, own, e].mT
                expected[:, :, c, :, :, e] += tokens * both[:, None, :, None] / d_h
    assert relative_error(antk(params, case.S, other.S, heads=heads), expected) <= REORDERED


# which side is which


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("o", [0, 3])
@TRACED
def test_one_sequence_is_a_batch_of_one_without_its_axis(heads, o, trace_outputs):
    case, other = draw(N=1, d_c=2, o=o, heads=heads), draw(N=1, L=3, d_c=2, M=2, seed=1)
    masks = torch.rand(1, heads, 4, 5) > 0.3, torch.randn(heads, 3, 2).double()
    options = {"heads": heads, "trace_outputs": trace_outputs}
    batch = antk(
        case.params, case.S, other.S, context=case.context, context_other=other.context,
        mask=masks[0], mask_other=masks[1], **options,
    )  # fmt: skip
    ends = (1,) if trace_outputs else (1, o or 4)
    assert batch.shape == (1, 4, *ends[1:], 1, 3, *ends[1:])
    assert case.context is not None
    assert other.context is not None
    for left in (False, True):
        for right in (False, True):
            found = antk(
                case.params,
                case.S[0] if left else case.S,
                other.S[0] if right else other.S,
                context=case.context[0] if left else case.context,
                context_other=other.context[0] if right else other.context,
                mask=masks[0][0] if left else masks[0],
                mask_other=masks[1],
                **options,
            )
            expected = batch.squeeze(3 - trace_outputs) if right else batch
            assert torch.equal(found, expected.squeeze(0) if left else expected)
    own = antk(case.params, case.S, context=case.context, mask=masks[0], **options)
    found = antk(case.params, case.S[0], context=case.context[0], mask=masks[0][0], **options)
    assert torch.equal(found, own.squeeze(3 - trace_outputs).squeeze(0))


@pytest.mark.parametrize("heads", [1, 2])
def test_causal_by_name_holds_for_both_sides_and_a_tensor_for_its_own(heads):
    case, other = draw(heads=heads), draw(L=3, seed=1)
    full, full_other = (torch.ones(n, n, dtype=torch.bool) for n in (4, 3))
    tril, tril_other = full.tril(), full_other.tril()
    both = antk(case.params, case.S, other.S, mask=tril, mask_other=tril_other, heads=heads)
    one = antk(case.params, case.S, other.S, mask=tril, heads=heads)
    second = antk(case.params, case.S, other.S, mask_other=tril_other, heads=heads)
    assert relative_error(one, both) > 1e-3
    assert relative_error(second, both) > 1e-3
    given: list[tuple[Any, Any, Tensor]] = [
        ("causal", None, both),
        ("causal", "causal", both),
        ("causal", tril_other, both),
        (tril, "causal", both),
        ("causal", full_other, one),
        (tril, None, one),
        (None, "causal", second),
        (full, "causal", second),
    ]
    for mask, mask_other, expected in given:
        found = antk(case.params, case.S, other.S, mask=mask, mask_other=mask_other, heads=heads)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("shape", [(2, 2, 4, 4), (1, 2, 4, 4), (2, 1, 1, 4), (2, 4, 1), (4, 4), ()])
@pytest.mark.parametrize("kind", ["boolean", "float"])
def test_masks_broadcast_as_for_attention(shape, kind):
    case = draw(heads=2)
    g = torch.Generator().manual_seed(1)
    mask = torch.rand(shape, generator=g) > 0.3
    if kind == "float":
        mask = torch.randn(shape, generator=g, dtype=torch.float64).masked_fill(~mask, -math.inf)
    full = mask.expand(2, 2, 4, 4)
    expected = oracles.tangent_kernel(case.params, case.S, mask=full, heads=2)
    found = antk(case.params, case.S, mask=mask, heads=2)
    assert relative_error(found, expected) <= AGREEMENT
    assert torch.equal(found, antk(case.params, case.S, mask=full.clone(), heads=2))


@pytest.mark.parametrize("o", [0, 3])
def test_rows_masked_everywhere_have_no_kernel(o):
    case = draw(N=3, heads=2, o=o)
    mask = torch.ones(3, 2, 4, 4, dtype=torch.bool)
    mask[1, :, 2] = False  # in every head
    K = antk(case.params, case.S, mask=mask, heads=2)
    assert (K[1, 2] == 0).all()
    assert (K[:, :, :, 1, 2] == 0).all()
    K[1, 2] = K[:, :, :, 1, 2] = 1
    assert (K.diagonal(dim1=2, dim2=5).sum((1, 3)) != 0).all()


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("o", [None, 2])
def test_learners_parameters_are_taken_as_they_are(o, causal, grows):
    g = torch.Generator().manual_seed(0)
    learner = AttentionLearner(
        3, d_k=4, v=4, o=o, heads=2, causal=causal, generator=g, dtype=torch.float64
    ).requires_grad_(grows)
    params = dict(learner.named_parameters())
    S = torch.randn(2, 4, 3, generator=g, dtype=torch.float64)
    mask = "causal" if causal else None
    K = antk(params, S, mask=mask, heads=2)
    assert K.requires_grad == grows
    J = jacrev(lambda p: functional_call(learner, p, (S,)))(
        {name: W.detach() for name, W in params.items()}
    )
    expected = sum(torch.tensordot(j.flatten(-2), j.flatten(-2).movedim(-1, 0), 1)
                   for j in J.values())  # fmt: skip
    assert isinstance(expected, Tensor)
    assert relative_error(K.detach(), expected) <= AGREEMENT


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("method", ["closed_form", *SLOW])
@TRACED
def test_no_sequences_have_an_empty_kernel(trace_outputs, method, grows):
    case = draw(o=3, heads=2)
    params = {name: W.requires_grad_(grows) for name, W in case.params.items()}
    none = case.S[:0]
    end = () if trace_outputs else (3,)
    options = {"heads": 2, "method": method, "trace_outputs": trace_outputs}
    for found, n, m in (
        (antk(params, none, **options), 0, 0),
        (antk(params, none, case.S, **options), 0, 2),
        (antk(params, case.S, none, **options), 2, 0),
    ):
        assert found.shape == (n, 4, *end, m, 4, *end)
        assert found.dtype == torch.float64
        if grows:
            found.sum().backward()
    if grows:
        assert all((W.grad == 0).all() for W in params.values())


def test_arguments_stay_as_they_were():
    for form in FORMS:
        for kernel in some_kernels(form)[:4]:
            given = [*kernel.rows.params.values(), kernel.rows.S]
            if kernel.columns is not None:
                given.append(kernel.columns.S)
            before = [x.clone() for x in given]
            kernel_of(kernel)
            assert all(torch.equal(x, y) for x, y in zip(given, before, strict=True))


@TRACED
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("v_h", [1, 2, 3])
def test_output_matrices_of_every_proportion(v_h, heads, trace_outputs):
    # whether W_O combines features or kernels depends on the sizes, the kernel does not
    for o in (1, 2, 3, 5, 9):
        for d_c in (None, 1):
            case = draw(v=heads * v_h, o=o, heads=heads, d_c=d_c, M=3)
            other = draw(N=1, L=3, d_c=d_c, M=2, seed=1)
            columns = replace(case, S=other.S, context=other.context)
            for kernel in (Kernel(case), Kernel(case, columns)):
                found = kernel_of(kernel, trace_outputs=trace_outputs)
                assert relative_error(found, kernel.exact(trace_outputs)) <= AGREEMENT


# laws, searched for counterexamples


def over(*forms: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A property of every kernel of these forms; other arguments are drawn from `data`."""

    def decorate(law: Callable[..., None]) -> Callable[..., None]:
        run = given(data=st.data())(settings(max_examples=8)(law))
        return pytest.mark.parametrize("form", forms)(run)

    return decorate


def draw_case(data: st.DataObject, form: str) -> AttentionCase:
    return data.draw(attention_cases(form, L=3), label="case")


def draw_kernel(data: st.DataObject, form: str) -> Kernel:
    """Two sequences of small whole numbers, with a mask each where the form has one."""
    case = draw_case(data, form)

    def drawn(label: str, *shape: int, kind: Any = float, elements: Any = None) -> Tensor:
        elements = st.integers(-2, 2) if elements is None else elements
        values = hnp.arrays(kind, shape, elements=elements)
        return torch.from_numpy(data.draw(values, label=label))

    L = M = data.draw(st.integers(1, 3), label="L_other")
    S = drawn("S_other", L, case.S.shape[-1])
    context = mask = None
    if case.context is not None:
        M = data.draw(st.integers(1, 3), label="M_other")
        context = drawn("context_other", M, case.context.shape[-1])
    if case.causal:
        mask = torch.ones(L, M, dtype=torch.bool).tril()
    elif case.mask is not None:
        mask = drawn("mask_other", L, M, kind=bool, elements=st.booleans())
    other = AttentionCase(case.params, S, context, mask, case.heads, form, case.causal)
    return Kernel(case, other)


def assert_close(found: Tensor, expected: Tensor, size: float) -> None:
    """Equal but for rounding, for terms of this size; NaN is equal to nothing."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max().item() <= 16 * EPSILON * size


@over(*FORMS)
def test_kernel_is_the_product_of_the_jacobians(form, data):
    kernel = draw_kernel(data, form)
    assert_close(kernel_of(kernel), kernel.exact(), kernel.magnitude())
    own = Kernel(kernel.rows)
    assert_close(kernel_of(own), own.exact(), own.magnitude())


@over(*FORMS)
def test_exchanging_the_sequences_transposes_the_kernel(form, data):
    kernel = draw_kernel(data, form)
    there, back = kernel_of(kernel), kernel_of(kernel.transposed)
    assert_close(there, back.movedim((0, 1), (2, 3)), kernel.magnitude())


@over(*FORMS)
def test_kernel_of_a_sequence_with_itself_is_symmetric_to_the_last_bit(form, data):
    case = draw_case(data, form)
    for dtype in (torch.float64, torch.float32):
        for trace_outputs in (False, True):
            K = kernel_of(Kernel(case.to(dtype)), trace_outputs=trace_outputs)
            half = K.ndim // 2
            transposed = K.movedim(tuple(range(half)), tuple(range(half, K.ndim)))
            assert torch.equal(K, transposed)


@over(*FORMS)
def test_a_sequence_with_a_copy_of_itself_has_its_own_kernel(form, data):
    case = draw_case(data, form)
    assert_close(kernel_of(Kernel(case)), kernel_of(Kernel(case, case)), Kernel(case).magnitude())


@over(*FORMS)
def test_kernel_is_positive_semi_definite(form, data):
    case = draw_case(data, form)
    K = kernel_of(Kernel(case))
    n = K.shape[0] * K.shape[1]
    least = torch.linalg.eigvalsh(K.reshape(n, n))[0].item()
    assert least >= -16 * EPSILON * n * Kernel(case).magnitude()


@over(*FORMS)
def test_traced_kernel_is_the_sum_over_equal_outputs(form, data):
    kernel = draw_kernel(data, form)
    for k in (kernel, Kernel(kernel.rows)):
        every = kernel_of(k)
        found = kernel_of(k, trace_outputs=True)
        assert_close(found, traced(every, 2), every.shape[1] * k.magnitude())


@over("multi-head", "causal", "masked", "cross")
def test_heads_are_kernels_of_their_own(form, data):
    # no parameter is shared, W_Q and W_K of a head scale by its own width
    kernel = draw_kernel(data, form)
    K = kernel_of(kernel)
    heads, v = kernel.rows.heads, K.shape[1]
    expected = torch.zeros_like(K)
    for h in range(heads):

        def own(case: AttentionCase, h: int = h) -> AttentionCase:
            params = {
                name: W[:, W.shape[1] // heads * h : W.shape[1] // heads * (h + 1)]
                for name, W in case.params.items()
            }
            return replace(case, params=params, heads=1)

        assert kernel.columns is not None
        c = slice(h * v // heads, (h + 1) * v // heads)
        expected[:, c, :, c] = kernel_of(Kernel(own(kernel.rows), own(kernel.columns)))
    assert_close(K, expected, kernel.magnitude())
    across = torch.block_diag(*[torch.ones(v // heads, v // heads)] * heads) == 0
    assert (K.movedim(1, 2)[:, :, across] == 0).all()


@over("projected")
def test_output_matrix_mixes_the_kernel_of_the_heads(form, data):
    # f = F W_O for the heads' outputs F: W_O^T K W_O, and by W_O itself <F, F'> for equal outputs
    kernel = draw_kernel(data, form)

    def without(case: AttentionCase) -> AttentionCase:
        params = {name: W for name, W in case.params.items() if name != "W_O"}
        return replace(case, params=params)

    assert kernel.columns is not None
    sides = [without(kernel.rows), without(kernel.columns)]
    F, F_other = (attention(case.params, case.S, **case.arguments) for case in sides)
    W_O = kernel.rows.params["W_O"]
    inner = kernel_of(Kernel(*sides))
    expected = torch.einsum("jcke,ca,eb->jakb", inner, W_O, W_O)
    identity = torch.eye(W_O.shape[1]).double()
    expected = expected + torch.einsum("jk,ab->jakb", F @ F_other.mT, identity)
    assert_close(kernel_of(kernel), expected, kernel.magnitude())


@over(*FORMS)
def test_values_and_outputs_scale_all_but_their_own_block(form, data):
    # f is linear in W_V, and in W_O: the other blocks of the Jacobian scale, this one stays
    kernel = draw_kernel(data, form)
    factor = data.draw(st.sampled_from([-3.0, 0.5, 2.0]), label="factor")
    for name in ("W_V", "W_O"):
        if name not in kernel.rows.params:
            continue

        def scaled(by: float, name: str = name) -> Tensor:
            params = kernel.rows.params | {name: by * kernel.rows.params[name]}
            sides = [replace(c, params=params) for c in (kernel.rows, kernel.columns) if c]
            return kernel_of(Kernel(*sides))

        own = scaled(0.0)
        found, expected = scaled(factor) - own, factor**2 * (scaled(1.0) - own)
        assert_close(found, expected, (1 + factor**2) * kernel.magnitude())


@over("scalar", "self", "causal", "masked", "cross")
def test_value_block_is_the_inner_product_of_attended_contexts(form, data):
    kernel = draw_kernel(data, form)
    params = kernel.rows.params | {"W_V": torch.zeros_like(kernel.rows.params["W_V"])}
    # values of zero leave the derivative by W_V alone
    sides = [replace(c, params=params) for c in (kernel.rows, kernel.columns) if c]
    AC = [
        attention_weights(c.params, c.S, **c.arguments)[0]
        @ (c.S if c.context is None else c.context)
        for c in sides
    ]
    identity = torch.eye(params["W_V"].shape[1]).double()
    expected = torch.einsum("jk,ce->jcke", AC[0] @ AC[1].mT, identity)
    assert_close(kernel_of(Kernel(*sides)), expected, kernel.magnitude())


@TRACED
@pytest.mark.parametrize("form", FORMS)
def test_kernel_of_batches_is_that_of_each_pair_of_sequences(form, trace_outputs):
    def one(case: AttentionCase, n: int) -> AttentionCase:
        context = None if case.context is None else case.context[n]
        mask = case.mask[min(n, len(case.mask) - 1)] if case.mask is not None and (
            case.mask.ndim == 4
        ) else case.mask  # fmt: skip
        return replace(case, S=case.S[n], context=context, mask=mask)

    for kernel in some_kernels(form)[:6]:
        K = kernel_of(kernel, trace_outputs=trace_outputs)
        columns = kernel.columns or kernel.rows
        for n in range(len(kernel.rows.S)):
            for m in range(len(columns.S)):
                pair = Kernel(one(kernel.rows, n), one(columns, m))
                found = K[n, :, m] if trace_outputs else K[n, :, :, m]
                expected = kernel_of(pair, trace_outputs=trace_outputs)
                assert relative_error(found, expected) <= REORDERED, str(kernel)
                if n == m and kernel.columns is None:
                    own = kernel_of(Kernel(pair.rows), trace_outputs=trace_outputs)
                    assert relative_error(found, own) <= REORDERED, str(kernel)


# the work is done in blocks and panels, the result does not show them


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, chunks and panels so small that every batch takes several, of unequal sizes."""
    monkeypatch.setattr(panels, "_CPU_NUMBERS", 24)
    monkeypatch.setattr(panels, "_CPU_ROWS", 6)
    monkeypatch.setattr(features, "_CHUNK_NUMBERS", 1)
    monkeypatch.setattr(closed_form, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(routes, "_BLOCK_NUMBERS", 1)


# numbers and rows of a panel, and sequences of a block
PANELS = ((24, 6, None), (1, 12, None), (1, 1, 3), (150, 5, 2), (2**17, 7, 100), (2**17, 256, 1))


def kernels_of_five(form: str) -> list[Kernel]:
    """Five sequences with themselves, and with seven others of another length."""
    sizes = {"M": 3, "d": 3, "d_c": 2, "d_k": 4, "v": 4, "o": 3, "heads": 2}
    shapes = Shape(N=5, L=3, **sizes), Shape(N=7, L=2, **sizes)
    rows, columns = (random_cases(form, count=1, seed=1, largest=shape)[0] for shape in shapes)
    return [Kernel(rows), Kernel(rows, replace(columns, params=rows.params))]


@TRACED
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("tiny")
def test_tiny_blocks_and_panels_give_the_same_kernel(form, trace_outputs, monkeypatch):
    for kernel in kernels_of_five(form):
        exact = kernel.exact(trace_outputs)
        for numbers, rows, block_size in PANELS:
            monkeypatch.setattr(panels, "_CPU_NUMBERS", numbers)
            monkeypatch.setattr(panels, "_CPU_ROWS", rows)
            # what is not written stays NaN, and is equal to nothing
            out = torch.full_like(exact, torch.nan)
            kernel_of(kernel, trace_outputs=trace_outputs, block_size=block_size, out=out)
            assert relative_error(out, exact) <= AGREEMENT
            if kernel.columns is None:
                size = math.isqrt(out.numel())
                assert torch.equal(out.view(size, size), out.view(size, size).mT)


@pytest.mark.parametrize(
    ("form", "products", "combined"),
    [
        (form, products, combined)
        for form in FORMS
        for products in ("formed", "sums")
        for combined in ("features", "kernels")
        # without an output matrix nothing is combined, and products formed is the usual way
        if form == "projected" or (combined, products) == ("features", "sums")
    ],
)
@pytest.mark.usefixtures("tiny")
def test_every_way_to_multiply_gives_the_same_kernel(form, products, combined, monkeypatch):
    # which one pays depends on the sizes, which must not show
    monkeypatch.setattr(closed_form, "sums_pay", lambda *_: products == "sums")
    monkeypatch.setattr(features, "mixes_features", lambda _: combined == "features")
    for kernel in kernels_of_five(form):
        exact = kernel.exact()
        for numbers, rows, block_size in PANELS:
            monkeypatch.setattr(panels, "_CPU_NUMBERS", numbers)
            monkeypatch.setattr(panels, "_CPU_ROWS", rows)
            out = torch.full_like(exact, torch.nan)
            kernel_of(kernel, block_size=block_size, out=out)
            assert relative_error(out, exact) <= AGREEMENT
            if kernel.columns is None:
                size = math.isqrt(out.numel())
                assert torch.equal(out.view(size, size), out.view(size, size).mT)
    for kernel in every_kernel(form):
        assert relative_error(kernel_of(kernel), kernel.exact()) <= AGREEMENT, str(kernel)


@pytest.mark.parametrize("o", [0, 64])
@pytest.mark.parametrize("d_c", [None, 14])
def test_sizes_where_inner_products_go_by_way_of_the_context(d_c, o):
    sizes: dict[str, Any] = {"L": 4, "M": 3, "d": 18, "d_k": 24, "v": 32, "heads": 2}
    sizes |= {"d_c": d_c, "o": o}
    others: dict[str, Any] = sizes | {"N": 3, "L": 5, "M": 2, "seed": 1}
    case, other = draw(**sizes), draw(**others)
    columns = replace(other, params=case.params)
    for kernel in (Kernel(case), Kernel(case, columns)):
        p, q = (problem(c.params, c.S, c.context, heads=2) for c in (case, kernel.columns or case))
        assert features.sums_pay(p, q)
        assert relative_error(kernel_of(kernel), kernel.exact()) <= AGREEMENT


@pytest.mark.parametrize("method", ["jacobian", "products"])
def test_a_block_with_itself_takes_one_jacobian(method, monkeypatch):
    alike: list[bool] = []
    dense = routes.dense

    def spy(p: Problem, q: Problem, *rest: Any) -> Tensor:
        alike.append(p is q)
        return dense(p, q, *rest)

    monkeypatch.setattr(routes, "dense", spy)
    (case,) = random_cases("self", count=1, seed=3)
    S = torch.cat([case.S] * 5)[:5]
    antk(case.params, S, method=method, block_size=2)
    assert sorted(alike) == [False] * 6 + [True] * 3
    alike.clear()
    antk(case.params, S, S.clone(), method=method, block_size=2)
    assert not any(alike)


def test_blocks_of_products_grow_with_the_root_of_the_memory(monkeypatch):
    sizes: list[int] = []

    def spy(p: Problem, q: Problem, *_: Any) -> Tensor:
        sizes.append(p.S.shape[0])
        return p.S.new_zeros(()).expand(len(p.S), 6, 8, len(q.S), 6, 8)

    monkeypatch.setattr(routes, "dense", spy)
    params = {name: torch.zeros(8, 8) for name in ("W_Q", "W_K", "W_V")}
    S = torch.zeros(200, 6, 8)

    def largest(method: Any, numbers: int) -> int:
        sizes.clear()
        monkeypatch.setattr(routes, "_BLOCK_NUMBERS", numbers)
        antk(params, S, method=method, trace_outputs=True)
        return max(sizes)

    # of one pair: 6 x 8 outputs of one sequence move 6 x (8 + 8 + 8 + 6) numbers of the other
    pair = 48 * 180
    assert [largest("products", 100 * n * pair) for n in (1, 4, 16)] == [10, 20, 40]
    # of one sequence: 6 x 8 outputs by 3 x 64 parameters
    assert [largest("jacobian", 10 * n * 48 * 192) for n in (1, 4, 16)] == [10, 40, 160]


@TRACED
@pytest.mark.parametrize("method", SLOW)
@pytest.mark.usefixtures("tiny")
def test_routes_by_automatic_differentiation_go_block_by_block(method, trace_outputs):
    options = {"method": method, "trace_outputs": trace_outputs}
    for kernel in (kernels_of_five("masked")[0], kernels_of_five("projected")[1]):
        exact = kernel.exact(trace_outputs)
        for block_size in (None, 3):
            out = torch.full_like(exact, torch.nan)
            kernel_of(kernel, block_size=block_size, out=out, **options)
            assert relative_error(out, exact) <= AGREEMENT


def test_kernel_of_a_batch_with_itself_takes_half_the_work(monkeypatch):
    computed: list[int] = []
    compute = panels._Panel.compute

    def spy(self: Any, r0: int, r1: int, c0: int, c1: int) -> Tensor:
        computed.append((r1 - r0) * (c1 - c0))
        return compute(self, r0, r1, c0, c1)

    monkeypatch.setattr(panels._Panel, "compute", spy)
    case = kernels_of_five("self")[0].rows
    work = {}
    for name, kernel in (("alone", Kernel(case)), ("with a copy", Kernel(case, case))):
        computed.clear()
        kernel_of(kernel, block_size=1)
        work[name] = sum(computed)
    # of 5 times 5 pairs of sequences, those on and above the diagonal
    assert work["with a copy"] == 25 * 9
    assert work["alone"] <= 15 * 9


@TRACED
@pytest.mark.parametrize("form", ["masked", "cross", "projected"])
def test_chunks_that_do_not_divide_the_batch_give_the_same_features(
    form, trace_outputs, monkeypatch
):
    for kernel in kernels_of_five(form):
        p = problem(kernel.rows.params, kernel.rows.S, **kernel.rows.arguments)
        seen = set()
        for numbers in range(1, 1500, 40):
            monkeypatch.setattr(features, "_CHUNK_NUMBERS", numbers)
            chunks = features._chunks(p)
            if (size := chunks[0][1]) in seen:
                continue
            seen.add(size)
            found = kernel_of(kernel, trace_outputs=trace_outputs)
            assert relative_error(found, kernel.exact(trace_outputs)) <= AGREEMENT
        assert {2, 3} <= seen  # of five


@pytest.mark.parametrize("block_size", [1, 2, 3, 100])
def test_features_of_no_more_than_a_block_are_held(block_size, monkeypatch):
    seen: list[int] = []
    compute = closed_form.features

    def spy(p: Problem, *rest: Any, **options: Any) -> Any:
        seen.append(p.S.shape[0])
        return compute(p, *rest, **options)

    monkeypatch.setattr(closed_form, "features", spy)
    kernel_of(kernels_of_five("self")[1], block_size=block_size)
    assert max(seen) == min(block_size, 7)


@TRACED
@pytest.mark.parametrize(("heads", "o"), [(1, 0), (4, 0), (4, 2), (2, 1)])
def test_blocks_take_about_the_memory_that_they_are_allowed(heads, o, trace_outputs, monkeypatch):
    monkeypatch.setattr(closed_form, "_BLOCK_BYTES", 2**17)
    case = draw(N=400, L=8, d=16, d_k=16, v=4, o=o, heads=heads)
    p = problem(case.params, case.S, heads=heads)
    size = closed_form.block_size_for(p, trace_outputs)
    block = problem(case.params, case.S[:size], heads=heads)
    blocks = features.features(block, trace_outputs)
    terms = [t for groups in blocks for group in groups for t in group.terms]
    storages = {
        x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()
        for t in terms
        for x in (t.X, t.Y)
        if isinstance(x, Tensor)
    }
    del storages[case.S.untyped_storage().data_ptr()]  # a view of what was given
    assert 1 < size < 400
    # an estimate: between a quarter of what is allowed and all of it
    assert 2**17 / 4 <= sum(storages.values()) <= 2**17


# derivatives


def differentiable_kernels() -> list[Any]:
    """Small ones of every kind, with a float mask where there is one."""
    g = torch.Generator().manual_seed(5)

    def float_mask(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    small = {"N": 2, "L": 2, "d": 2, "d_k": 2, "v": 2, "M": 2}
    found = {}
    for name, more in {
        "one head": {},
        "heads": {"heads": 2},
        "cross": {"d_c": 1, "M": 3},
        "projected": {"o": 2, "heads": 2},
        "one output": {"o": 1},
    }.items():
        case = draw(**small | more)
        columns = draw(**small | more | {"N": 1, "L": 3, "seed": 1})
        columns = replace(columns, params=case.params)
        if name in ("heads", "cross"):
            M = 2 if case.context is None else case.context.shape[1]
            case = replace(case, mask=float_mask(case.heads, 2, M))
            M = 3 if columns.context is None else columns.context.shape[1]
            columns = replace(columns, mask=float_mask(1, 1, 3, M))
        found[f"{name}, alone"] = Kernel(case)
        found[name] = Kernel(case, columns)
    return [pytest.param(kernel, id=name) for name, kernel in found.items()]


DIFFERENTIABLE = pytest.mark.parametrize("kernel", differentiable_kernels())


def as_function(kernel: Kernel, **options: Any) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The kernel as a function of every tensor that it has derivatives by, and these."""
    names = list(kernel.rows.params)
    _, *batches = kernel.batches
    by_name = {k: x for k, x in kernel.tensors.items() if isinstance(x, Tensor)}
    rest = {k: x for k, x in kernel.tensors.items() if k not in by_name}

    def function(*inputs: Tensor) -> Tensor:
        params = dict(zip(names, inputs, strict=False))
        others = inputs[len(names) :]
        named = dict(zip(by_name, others[len(batches) :], strict=True))
        return antk(params, *others[: len(batches)], **named, **rest, **options)

    return function, [*kernel.rows.params.values(), *batches, *by_name.values()]


@TRACED
@DIFFERENTIABLE
def test_derivatives_are_the_limits_of_differences(kernel, trace_outputs):
    function, inputs = as_function(kernel, trace_outputs=trace_outputs)
    inputs = [x.clone().requires_grad_() for x in inputs]
    # along random directions, which sees each error as surely as all entries would
    assert gradcheck(function, inputs, check_forward_ad=True, fast_mode=True)


@DIFFERENTIABLE
def test_second_derivatives_are_the_limits_of_differences(kernel):
    function, inputs = as_function(kernel)
    inputs = [x.clone().requires_grad_() for x in inputs]
    weights = torch.cos(torch.arange(float(function(*inputs).numel()))).double()
    assert gradgradcheck(
        lambda *x: (function(*x).flatten() * weights).sum(), inputs, fast_mode=True
    )


@DIFFERENTIABLE
def test_every_transform_gives_the_derivative_of_the_oracle(kernel):
    names = list(kernel.rows.params)
    _, *batches = kernel.batches

    def by(compute: Callable[..., Tensor]) -> Callable[[Params], Tensor]:
        return lambda params: compute(params, *batches, **kernel.tensors)

    params = kernel.rows.params
    function, reference = by(antk), by(oracles.tangent_kernel)
    expected = jacfwd(reference)(params)
    for transform in (jacrev, jacfwd):
        found = transform(function)(params)
        for name in names:
            assert relative_error(found[name], expected[name]) <= AGREEMENT
    value, along = jvp(function, (params,), (params,))[:2]
    assert relative_error(value, function(params)) <= REORDERED
    by_hand = sum(torch.tensordot(expected[name], params[name], 2) for name in names)
    assert isinstance(by_hand, Tensor)
    assert relative_error(along, by_hand) <= AGREEMENT
    with forward_ad.dual_level():
        dual = {name: forward_ad.make_dual(W, W) for name, W in params.items()}
        tangent = forward_ad.unpack_dual(function(dual)).tangent
    assert tangent is not None
    assert relative_error(tangent, by_hand) <= AGREEMENT
    square = grad(lambda p: function(p).square().sum())(params)
    leaves = {name: W.clone().requires_grad_() for name, W in params.items()}
    function(leaves).square().sum().backward()
    for name in names:
        gradient = leaves[name].grad
        assert gradient is not None
        assert relative_error(gradient, square[name]) <= REORDERED
        chained = 2 * torch.tensordot(value, expected[name], value.ndim)
        assert relative_error(square[name], chained) <= AGREEMENT


@pytest.mark.parametrize("method", SLOW)
def test_routes_by_automatic_differentiation_have_the_same_derivatives(method):
    for parameter in differentiable_kernels():
        kernel = parameter.values[0]
        assert isinstance(kernel, Kernel)
        for trace_outputs in (False, True):
            gradients = []
            for m in ("closed_form", method):
                function, inputs = as_function(kernel, method=m, trace_outputs=trace_outputs)
                inputs = [x.clone().requires_grad_() for x in inputs]
                gradients.append(torch.autograd.grad(function(*inputs).square().sum(), inputs))
            for found, expected in zip(*gradients, strict=True):
                assert relative_error(found, expected) <= AGREEMENT


def test_hessian_of_the_kernel_is_that_of_the_oracle():
    case = draw(N=1, L=2, d=2, d_k=2, v=2, heads=2)

    def loss(compute: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda W: compute(case.params | {"W_K": W}, case.S, heads=2).square().sum()

    found, expected = (hessian(loss(f))(case.params["W_K"]) for f in (antk, oracles.tangent_kernel))
    assert relative_error(found, expected) <= AGREEMENT


@TRACED
def test_vmap_over_parameters_and_over_sequences(trace_outputs):
    case, other = draw(N=3, heads=2, o=3), draw(N=2, L=3, seed=1)
    stack = {name: torch.stack([W, -2 * W, W.cos()]) for name, W in case.params.items()}
    options = {"heads": 2, "trace_outputs": trace_outputs}
    found = vmap(lambda p: antk(p, case.S, other.S, mask="causal", **options))(stack)
    for n in range(3):
        params = {name: W[n] for name, W in stack.items()}
        expected = antk(params, case.S, other.S, mask="causal", **options)
        assert relative_error(found[n], expected) <= REORDERED
    every = antk(case.params, case.S, other.S, **options)
    found = vmap(lambda S: antk(case.params, S, other.S, **options))(case.S)
    assert relative_error(found, every) <= REORDERED
    alone = vmap(lambda S: antk(case.params, S, **options))(case.S)
    own = antk(case.params, case.S, **options)
    for n in range(3):
        expected = own[n, :, n] if trace_outputs else own[n, :, :, n]
        assert relative_error(alone[n], expected) <= REORDERED
    by_each = vmap(grad(lambda p: antk(p, case.S, **options).square().sum()))(stack)
    for n in range(3):
        params = {name: W[n] for name, W in stack.items()}
        expected = grad(lambda p: antk(p, case.S, **options).square().sum())(params)
        for name, gradient in expected.items():
            assert relative_error(by_each[name][n], gradient) <= REORDERED


def test_the_graph_is_kept_only_where_a_gradient_is_asked_for():
    case = draw(heads=2, o=3)
    plain = antk(case.params, case.S, heads=2)
    assert not plain.requires_grad
    for name in case.params:
        params = case.params | {name: case.params[name].clone().requires_grad_()}
        K = antk(params, case.S, heads=2)
        assert K.requires_grad
        # the value is that of the fast way, to the last bit
        assert torch.equal(K.detach(), plain)
        (gradient,) = torch.autograd.grad(K.square().sum(), params[name])
        expected = grad(
            lambda W, name=name: antk(case.params | {name: W}, case.S, heads=2).square().sum()
        )(case.params[name])
        assert relative_error(gradient, expected) <= REORDERED
        with torch.no_grad():
            assert not antk(params, case.S, heads=2).requires_grad
        with torch.inference_mode():
            assert torch.equal(antk(params, case.S, heads=2), plain)
    # by S, on whichever side and through its own context
    S = case.S.clone().requires_grad_()
    left, right, both = (
        torch.autograd.grad(antk(case.params, *sides, heads=2).square().sum(), S)[0]
        for sides in ((S, case.S), (case.S, S), (S,))
    )
    assert relative_error(left + right, both) <= REORDERED


def test_gradient_is_finite_where_rows_are_masked_everywhere():
    case = draw(heads=2)
    mask = torch.zeros(4, 4).double()
    mask[1] = -math.inf
    params = {name: W.clone().requires_grad_() for name, W in case.params.items()}
    antk(params, case.S, mask=mask, heads=2).square().sum().backward()
    for name, W in params.items():
        assert W.grad is not None
        expected = grad(
            lambda x, name=name: oracles.tangent_kernel(
                case.params | {name: x}, case.S, mask=mask, heads=2
            ).square().sum()
        )(case.params[name])  # fmt: skip
        assert relative_error(W.grad, expected) <= AGREEMENT


@TRACED
@pytest.mark.parametrize("o", [1, 2, 5])
@pytest.mark.parametrize("kind", ["zero", "equal rows", "equal columns"])
def test_derivatives_exist_where_the_output_matrix_is_singular(kind, o, trace_outputs):
    case = draw(heads=2, o=o)
    W_O = case.params["W_O"]
    if kind == "zero":
        W_O = torch.zeros_like(W_O)
    elif kind == "equal rows":
        W_O = W_O[:1].expand_as(W_O).clone()
    else:
        W_O = W_O[:, :1].expand_as(W_O).clone()

    def loss(compute: Callable[..., Tensor]) -> Callable[[Params], Tensor]:
        return lambda params: compute(params).sin().sum()

    def reference(params: Params) -> Tensor:
        K = oracles.tangent_kernel(params, case.S, heads=2)
        return traced(K) if trace_outputs else K

    def found(params: Params) -> Tensor:
        return antk(params, case.S, heads=2, trace_outputs=trace_outputs)

    params = case.params | {"W_O": W_O}
    expected = grad(loss(reference))(params)
    gradient = grad(loss(found))(params)
    leaves = {name: W.clone().requires_grad_() for name, W in params.items()}
    loss(found)(leaves).backward()
    for name, wanted in expected.items():
        by_autograd = leaves[name].grad
        assert by_autograd is not None
        assert relative_error(gradient[name], wanted) <= AGREEMENT
        assert relative_error(by_autograd, wanted) <= AGREEMENT
    along = {name: W.cos() for name, W in params.items()}
    expected = jvp(grad(loss(reference)), (params,), (along,))[1]
    second = jvp(grad(loss(found)), (params,), (along,))[1]
    for name, wanted in expected.items():
        assert relative_error(second[name], wanted) <= AGREEMENT


# what it refuses; wrong problems are refused as by attention, see test_learner.py


CASE = draw(heads=2)
OTHER = draw(L=3, seed=1)
CROSS = draw(d_c=3, M=5, heads=2)


@pytest.mark.parametrize("of", ["antk", "antk_operator"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"mask_other": "causal"}, ValueError, "mask_other belong to S_other, which is not given"),
        ({"context_other": OTHER.S}, ValueError, "context_other and mask_other belong to S_other"),
        (
            {"S_other": OTHER.S, "context": CROSS.context},
            ValueError,
            "context and context_other are given both or neither",
        ),
        (
            {"S_other": OTHER.S, "context_other": OTHER.S},
            ValueError,
            "context and context_other are given both or neither",
        ),
        ({"S_other": OTHER.S[..., :2]}, ValueError, r"W_Q has shape \(2, d_k\), got \(3, 4\)"),
        ({"S_other": OTHER.S[0, 0]}, ValueError, r"S is \(L, d\) or \(N, L, d\), got \(3,\)"),
        ({"S_other": OTHER.S[:, :0]}, ValueError, "at least one element"),
        ({"S_other": OTHER.S.float()}, TypeError, r"one dtype, got S torch.float32.*W_Q torch.fl"),
        ({"S": CASE.S.float()}, TypeError, r"one dtype, got S torch.float32"),
        ({"S_other": OTHER.S.long()}, TypeError, "one dtype, got S torch.int64"),
        ({"S_other": OTHER.S.to("meta")}, ValueError, "one device, got S meta"),
        ({"S_other": OTHER.S.tolist()}, TypeError, "S is a tensor, got list"),
        ({"S": None}, TypeError, "S is a tensor, got NoneType"),
        (
            {"S_other": OTHER.S, "mask_other": torch.ones(4, 4, dtype=torch.bool)},
            ValueError,
            r"mask broadcasts to \(2, 2, 3, 3\), got shape \(4, 4\)",
        ),
        (
            {"mask": torch.ones(3, 3, dtype=torch.bool)},
            ValueError,
            r"mask broadcasts to \(2, 2, 4, 4\), got shape \(3, 3\)",
        ),
        ({"mask": "upper"}, ValueError, "mask is \"causal\", a tensor or None, got 'upper'"),
        ({"S_other": OTHER.S, "mask_other": "upper"}, ValueError, "got 'upper'"),
        ({"mask": torch.ones(4, 4)}, TypeError, "mask is boolean or has the dtype of S"),
        ({"mask": [[True]]}, TypeError, "a tensor or None, got list"),
        ({"heads": 3}, ValueError, "heads divides d_k and v, got heads=3, d_k=4, v=4"),
        ({"heads": 0}, ValueError, "got heads=0"),
        ({"heads": 2.0}, TypeError, "heads is an int, got float"),
        ({"params": {}}, ValueError, "params are W_Q, W_K, W_V and optionally W_O, got none"),
        ({"params": [1]}, TypeError, "params is a mapping of tensors, got list"),
        ({"block_size": 0}, ValueError, "block_size is at least 1, got 0"),
        ({"block_size": -1}, ValueError, "block_size is at least 1, got -1"),
        ({"block_size": 1.5}, TypeError, "block_size is an int or None, got float"),
        ({"block_size": True}, TypeError, "block_size is an int or None, got bool"),
        ({"block_size": "2"}, TypeError, "block_size is an int or None, got str"),
    ],
)
def test_what_is_wrong_is_named(given, error, message, of):
    import ntteach

    arguments = {"params": CASE.params, "S": CASE.S, "heads": 2} | given
    with pytest.raises(error, match=message):
        getattr(ntteach, of)(**arguments)


@pytest.mark.parametrize("method", ["closed-form", "Jacobian", "", None, 1])
def test_unknown_methods_are_refused_with_those_there_are(method):
    with pytest.raises(ValueError, match="one of closed_form, jacobian, products, got") as caught:
        antk(CASE.params, CASE.S, method=method)
    assert repr(method) in str(caught.value)


@pytest.mark.parametrize("columns", ["context_other", "S_other"])
def test_contexts_that_do_not_fit_are_refused(columns):
    assert CROSS.context is not None
    arguments: dict[str, Any] = {
        "context": CROSS.context, "S_other": OTHER.S, "context_other": CROSS.context
    }  # fmt: skip
    arguments[columns] = arguments[columns][:1]
    with pytest.raises(ValueError, match="with the N of S, got"):
        antk(CROSS.params, CROSS.S, heads=2, **arguments)
    with pytest.raises(ValueError, match=r"W_K has shape \(2, 4\), got \(3, 4\)"):
        antk(CROSS.params, CROSS.S, context=CROSS.context[..., :2], heads=2)


def test_cases_of_this_file_are_of_every_kind():
    # what the agreement says depends on what it was tested on
    kernels = [kernel for form in FORMS for kernel in every_kernel(form)]
    sides = [side for k in kernels for side in (k.rows, k.columns) if side is not None]
    assert {side.heads for side in sides} >= {1, 2, 3, 4}
    assert {1, 2, 3} <= {side.params["W_O"].shape[1] for side in sides if "W_O" in side.params}
    masks = [side.mask for side in sides if side.mask is not None]
    assert {m.dtype for m in masks} == {torch.bool, torch.float64}
    assert {2, 4} <= {m.ndim for m in masks}
    assert any(k.columns is not None and k.rows.context is not None for k in kernels)
    assert any((K := k.exact()).numel() and (K.flatten(0, 2) == 0).all(1).any()
               for k in kernels if k.columns is None)  # fmt: skip
    assert any(k.rows.S.shape[1] != k.columns.S.shape[1] for k in kernels if k.columns)
    assert against_others(sides[0], 1).columns is not None


@pytest.mark.parametrize("form", FORMS)
@TRACED
def test_the_room_for_features_is_counted_as_what_they_take(form: str, trace_outputs: bool) -> None:
    """Shared views count once; blocks of sequences are chosen by this number."""
    for case in random_cases(form, count=3, seed=5):
        p = problem(case.params, case.S, **case.call)
        terms = [
            t
            for block in features.features(p, trace_outputs)
            for group in block
            for t in group.terms
        ]
        held = {x.data_ptr(): x.numel() for t in terms for x in (t.X, t.Y) if isinstance(x, Tensor)}
        counted = p.S.shape[0] * features.numbers_per_sequence(p, trace_outputs)
        assert 0.5 * counted <= sum(held.values()) <= counted


def _tied(W: Tensor) -> Params:
    g = torch.Generator().manual_seed(1)
    V = torch.randn(3, 2, generator=g, dtype=W.dtype)
    return {"W_Q": W, "W_K": W, "W_V": V}


def _made_of_each_other(W: Tensor) -> Params:
    return _tied(W) | {"W_K": torch.tanh(W), "W_V": 2 * W[:, :2]}


@pytest.mark.parametrize("params", [_tied, _made_of_each_other])
@pytest.mark.parametrize("sequences", ["itself", "given again", "reversed", "as context"])
def test_gradients_count_each_path_once_where_inputs_depend_on_each_other(
    params: Callable[[Tensor], Params], sequences: str
) -> None:
    g = torch.Generator().manual_seed(0)
    W = torch.randn(3, 3, generator=g, dtype=torch.float64, requires_grad=True)
    S = torch.randn(2, 4, 3, generator=g, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 4, 2, 2, 4, 2, generator=g, dtype=torch.float64)
    other = {"given again": (S,), "reversed": (S.flip(1),)}.get(sequences, ())
    context = {"context": S} if sequences == "as context" else {}

    def gradients(kernel: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        value = (weights * kernel(params(W), S, *other, **context)).sum()
        first = torch.autograd.grad(value, (W, S), create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), (W, S))  # pyright: ignore[reportArgumentType, reportCallIssue]
        return (*first, *second)

    for found, expected in zip(gradients(antk), gradients(oracles.tangent_kernel), strict=True):
        assert relative_error(found, expected) < AGREEMENT


def test_the_kernel_keeps_its_dtype_under_autocast() -> None:
    case = draw(o=5)
    params, S = {name: W.float() for name, W in case.params.items()}, case.S.float()
    plain = antk(params, S)
    operator = antk_operator(params, S)
    x = torch.ones(operator.shape[1])
    with torch.autocast("cpu"):
        assert torch.equal(antk(params, S), plain)
        assert (operator @ x).dtype == operator.diagonal().dtype == torch.float32
        assert antk(params, S, trace_outputs=True).dtype == torch.float32


def test_half_precision_has_a_traced_kernel_with_an_output_matrix() -> None:
    case = draw(o=9)
    exact = antk(case.params, case.S, trace_outputs=True)
    params, S = {name: W.half() for name, W in case.params.items()}, case.S.half()
    assert relative_error(antk(params, S, trace_outputs=True).double(), exact) < 0.02


def test_what_is_no_truth_value_does_not_sum_over_outputs() -> None:
    case = draw()
    with pytest.raises(TypeError, match="trace_outputs is True or False, got 'no'"):
        antk(case.params, case.S, trace_outputs="no")  # pyright: ignore[reportArgumentType]
