"""The oracle itself: it agrees with PyTorch, its bounds hold, and planted errors show."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import DTYPES, every_case, relative_error, sdpa
from torch import Tensor

from ntteach import oracles
from ntteach.paper.domains import FORMS, AttentionCase, output_magnitude, random_cases

Forward = Callable[..., Tensor]


def sequences(case: AttentionCase) -> list[tuple[Tensor, dict[str, Any]]]:
    """Each sequence of a case with its arguments."""
    masks = [case.mask] * len(case.S)
    if case.mask is not None and case.mask.ndim == 4:
        masks = list(case.mask)
    return [
        (
            case.S[n],
            {
                "context": None if case.context is None else case.context[n],
                "mask": masks[n],
                "heads": case.heads,
            },
        )
        for n in range(len(case.S))
    ]


def agrees(forward: Forward, reference: Forward, case: AttentionCase) -> bool:
    """Do two forward passes agree to the rounding of both, sequence by sequence?"""
    bound = 4 * torch.finfo(case.S.dtype).eps * output_magnitude(case.to(torch.float64))
    for S, arguments in sequences(case):
        found = forward(case.params, S, **arguments)
        expected = reference(case.params, S, **arguments)
        if not (found.double() - expected.double()).abs().max().item() <= bound:
            return False
    return True


# the forward passes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_oracle_agrees_with_scaled_dot_product_attention(form, dtype, device):
    for case in every_case(form, dtype, device):
        assert agrees(oracles.attention, sdpa, case), str(case)
        whole = oracles.attention(case.params, case.S, **case.arguments)
        expected = sdpa(case.params, case.S, **case.arguments)
        bound = 4 * torch.finfo(dtype).eps * output_magnitude(case.to(torch.float64))
        assert (whole - expected).abs().max().item() <= bound


@pytest.mark.parametrize("form", FORMS)
def test_oracle_agrees_with_loops_over_single_numbers(form):
    for case in every_case(form):
        assert agrees(oracles.attention, oracles.attention_loops, case), str(case)


PLANTED = {
    "scale dropped": ("math.sqrt(q.shape[-1])", "1.0"),
    "scale of all heads": ("math.sqrt(q.shape[-1])", "math.sqrt(Q.shape[-1])"),
    "scale not a root": ("math.sqrt(q.shape[-1])", "q.shape[-1]"),
    "keys for queries": ("q @ k.transpose", "k @ q.transpose"),
    "keys for values": ("weights @ v", "weights @ k[..., : v.shape[-1]]"),
    "softmax over rows": ("torch.softmax(logits, -1)", "torch.softmax(logits, -2)"),
    "mask ignored": ("if mask is not None", "if False"),
    "mask turned": ("here.logical_not()", "here"),
    "float mask doubled": (
        "torch.where(nothing, 0.0, here)",
        "torch.where(nothing, 0.0, 2 * here)",
    ),
    "masked rows not zero": ("torch.where(nothing, 0.0, weights)", "weights"),
    "mask of the first head": ("[..., h, :, :]", "[..., 0, :, :]"),
    "context ignored": ("C = S if context is None else context", "C = S"),
    "heads in reverse": ("torch.cat(outputs, -1)", "torch.cat(outputs[::-1], -1)"),
    "W_O ignored": ('output @ params["W_O"] if', "output if"),
}
# in self-attention with d = d_c and L = M, contexts do not fit: an exception is caught as well
FAILS = (RuntimeError, ValueError, KeyError)


@pytest.mark.parametrize(("old", "new"), PLANTED.values(), ids=PLANTED)
def test_errors_planted_in_the_oracle_show_against_pytorch_and_loops(old, new):
    source = inspect.getsource(oracles.attention)
    assert source.count(old) == 1
    namespace = dict(vars(oracles))
    exec(source.replace(old, new), namespace)
    planted = namespace["attention"]

    def caught(reference: Forward, case: AttentionCase) -> bool:
        try:
            return not agrees(planted, reference, case)
        except FAILS:
            return True

    cases = [case for form in FORMS for case in random_cases(form, count=6, seed=1)]
    assert any(caught(sdpa, case) for case in cases)
    assert any(caught(oracles.attention_loops, case) for case in cases)


def test_loops_by_hand():
    params = {"W_Q": torch.zeros(1, 1), "W_K": torch.ones(1, 1), "W_V": torch.full((1, 1), 2.0)}
    S = torch.tensor([[0.0], [1.0], [5.0]])
    assert oracles.attention_loops(params, S).flatten().tolist() == [4.0, 4.0, 4.0]
    mask = torch.tensor([[True, True, False], [False, False, True], [False, False, False]])
    assert oracles.attention_loops(params, S, mask=mask).flatten().tolist() == [1.0, 10.0, 0.0]
    params["W_Q"] = torch.ones(1, 1)  # logits of row 1: 0, 1, and a bias of log 3 on the first
    bias = torch.tensor([[0.0, 0, 0], [math.log(3), 0, -math.inf], [0, 0, 0]])
    found = oracles.attention_loops(params, S, mask=bias)[1].item()
    assert found == pytest.approx(2 * math.e / (3 + math.e))


# jacobians


@pytest.mark.parametrize("form", FORMS)
def test_reverse_and_forward_mode_agree(form):
    for case in random_cases(form, count=5, seed=2):
        reverse = oracles.jacobian(case.params, case.S, **case.arguments)
        forward = oracles.jacobian(case.params, case.S, mode="forward", **case.arguments)
        assert reverse.keys() == forward.keys() == case.params.keys()
        for name, block in reverse.items():
            assert block.shape[3:] == case.params[name].shape
            assert relative_error(forward[name], block) <= 1e-12, f"{name}: {case}"


@pytest.mark.parametrize(("mode", "transform"), [("reverse", "jacrev"), ("forward", "jacfwd")])
def test_the_two_modes_are_two_computations(mode, transform, monkeypatch):
    (case,) = random_cases("self", count=1, seed=2)
    used = []
    original = getattr(oracles, transform)
    monkeypatch.setattr(oracles, transform, lambda f: used.append(transform) or original(f))
    oracles.jacobian(case.params, case.S, mode=mode)
    assert used == [transform]


@pytest.mark.parametrize("form", FORMS)
def test_jacobian_is_that_of_pytorchs_attention(form, generator):
    for case in random_cases(form, count=5, seed=3):
        leaves = {name: w.clone().requires_grad_() for name, w in case.params.items()}
        output = sdpa(leaves, case.S, **case.arguments)
        R = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        expected = torch.autograd.grad((output * R).sum(), list(leaves.values()))
        found = oracles.jacobian(case.params, case.S, **case.arguments)
        for name, block in zip(leaves, expected, strict=True):
            contracted = torch.einsum("njc,njcab->ab", R, found[name])
            assert relative_error(contracted, block) <= 1e-12, f"{name}: {case}"


@pytest.mark.parametrize("form", FORMS)
def test_jacobian_is_within_the_bound_of_differences(form):
    for case in random_cases(form, count=2, seed=4):
        S, arguments = sequences(case)[0]
        values, bounds = oracles.difference_jacobian(case.params, S, **arguments)
        for name, block in oracles.jacobian(case.params, S, **arguments).items():
            assert values[name].shape == bounds[name].shape == block.shape
            assert ((values[name] - block).abs() <= bounds[name]).all(), f"{name}: {case}"
            # a bound worth having: near the best that central differences can do in float64
            assert bounds[name].max() <= 1e-7


def test_row_masked_everywhere_has_no_derivative_in_the_oracle():
    (case,) = random_cases("self", count=1, seed=5)
    L = case.S.shape[1]
    for mask in (
        torch.zeros(L, L, dtype=torch.bool),
        torch.full((L, L), -torch.inf, dtype=torch.float64),
    ):
        for mode in ("reverse", "forward"):
            for block in oracles.jacobian(case.params, case.S, mask=mask, mode=mode).values():
                assert (block == 0).all()


# central differences

# function, derivative
KNOWN: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "constant": (lambda x: torch.ones_like(x), lambda x: 0 * x),
    "linear": (lambda x: 3 * x - 1, lambda x: 0 * x + 3),
    "square": (lambda x: x * x, lambda x: 2 * x),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "quintic": (lambda x: x**5 - 2 * x**3 + x, lambda x: 5 * x**4 - 6 * x**2 + 1),
    "exp": (torch.exp, torch.exp),
    "sine": (torch.sin, torch.cos),
    "fast sine": (lambda x: torch.sin(20 * x), lambda x: 20 * torch.cos(20 * x)),
    "tanh": (torch.tanh, lambda x: 1 - torch.tanh(x) ** 2),
}
POINTS = [-3.0, -1.0, -0.1, 0.0, 1e-3, 0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KNOWN)
def test_bound_of_central_differences_holds_for_known_derivatives(name, dtype):
    function, derivative = KNOWN[name]
    for point in POINTS:
        x = torch.tensor([point], dtype=dtype)
        value, bound = oracles.central_difference(function, x)
        assert value.dtype == bound.dtype == dtype
        error = (value.double() - derivative(x.double())).abs()
        assert (error <= bound.double()).all(), f"at {point}"


@pytest.mark.parametrize("name", ["linear", "square", "cube", "exp", "sine", "tanh"])
def test_bound_of_central_differences_is_not_loose(name):
    function, derivative = KNOWN[name]
    for dtype, most in ((torch.float64, 1e-8), (torch.float32, 1e-2)):
        for point in POINTS:
            x = torch.tensor([point], dtype=dtype)
            _, bound = oracles.central_difference(function, x)
            size = max(1.0, abs(function(x).item()), abs(derivative(x).item()))
            assert bound.item() <= most * size, f"{dtype} at {point}"


@pytest.mark.parametrize("step", [1e-1, 1e-2, 1e-3, 1e-5, 1e-7, 1e-9])
def test_bound_of_central_differences_holds_for_every_step(step):
    for name, (function, derivative) in KNOWN.items():
        for point in POINTS:
            if name == "fast sine" and step > 1e-2:
                continue  # a step of a third of a period or more shows nothing of the derivative
            x = torch.tensor([point], dtype=torch.float64)
            value, bound = oracles.central_difference(function, x, step)
            assert (value - derivative(x)).abs() <= bound, f"{name} at {point}"


def test_central_differences_converge_with_the_square_of_the_step():
    x = torch.tensor([0.7], dtype=torch.float64)
    steps = torch.logspace(-1, -3, 9, dtype=torch.float64)
    errors = torch.stack(
        [
            (oracles.central_difference(torch.exp, x, h.item())[0] - x.exp()).abs()[0, 0]
            for h in steps
        ]
    )
    h, e = steps.log(), errors.log()
    slope = ((h - h.mean()) * (e - e.mean())).sum() / ((h - h.mean()) ** 2).sum()
    assert slope.item() == pytest.approx(2, abs=0.01)


def test_central_differences_shape_their_answer_as_jacobians_do():
    A = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    x = torch.ones(3, 4, dtype=torch.float64)
    value, bound = oracles.central_difference(lambda x: A @ x, x)
    expected = torch.func.jacrev(lambda x: A @ x)(x)
    assert value.shape == bound.shape == (2, 4, 3, 4)
    assert ((value - expected).abs() <= bound).all()
    value, _ = oracles.central_difference(lambda x: x.sum(), x)
    assert value.shape == (3, 4)
    scalar, _ = oracles.central_difference(torch.sin, torch.zeros((), dtype=torch.float64))
    assert scalar.shape == ()
    assert scalar.item() == pytest.approx(1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_bound_of_central_differences_holds_for_attention(form, dtype):
    for case in random_cases(form, count=2, seed=6):
        case = case.to(dtype)
        S, arguments = sequences(case)[0]
        values, bounds = oracles.difference_jacobian(case.params, S, **arguments)
        wide = case.to(torch.float64)
        S, arguments = sequences(wide)[0]
        for name, block in oracles.jacobian(wide.params, S, **arguments).items():
            error = (values[name].double() - block).abs()
            assert (error <= bounds[name].double()).all(), f"{name}: {case}"
            assert bounds[name].max() <= (1e-7 if dtype == torch.float64 else 5e-2)


def test_bound_of_central_differences_holds_where_terms_cancel():
    function, derivative = (lambda x: (x + 100.0) ** 2 - 1e4), (lambda x: 2 * (x + 100.0))
    for point in POINTS:
        x = torch.tensor([point], dtype=torch.float64)
        value, bound = oracles.central_difference(function, x, size=1e4)
        assert (value - derivative(x)).abs() <= bound, f"at {point}"
    # the smallest case in which the output alone, 0, said too little
    zero, one = torch.zeros(2, 1).double(), torch.ones(2, 2).double()
    W_O = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    params = {"W_Q": zero, "W_K": zero, "W_V": one, "W_O": W_O}
    values, bounds = oracles.difference_jacobian(params, one[:1])
    for name, block in oracles.jacobian(params, one[:1]).items():
        assert ((values[name] - block).abs() <= bounds[name]).all(), name


def test_wrong_derivatives_fall_outside_the_bound():
    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    value, bound = oracles.central_difference(torch.sin, x)
    right = torch.diag(x.cos())
    assert ((value - right).abs() <= bound).all()
    for wrong in (-right, right * (1 + 1e-7), right.flip(0), right + 1e-7):
        assert ((value - wrong).abs() > bound).any()
