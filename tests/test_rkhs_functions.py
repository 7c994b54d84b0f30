"""Functions of a kernel's space are linear algebra; functionals have the gradients they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import DTYPES, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from rkhs_cases import ALL, F64, SCALAR, VECTOR, dense, drawn, sequences
from torch import Tensor

from ntteach import oracles, rkhs
from ntteach.checks.trend import Slope, fit_slope
from ntteach.rkhs import (
    Function,
    Functional,
    RealFunctional,
    compose,
    evaluate,
    functional_gradient,
    inner,
    norm,
    section,
    squared_norm,
    zero,
)

# one of every kind
NAMES = ["gaussian", "cubic of means", "alignments", "signature", "separable", "antk, causal"]


def coefficients(name: str, r: int, *, seed: int) -> Tensor:
    kernel = ALL[name].kernel
    o = (kernel.outputs_at(drawn(1, 3, seed=0)),) * kernel.vector_valued
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(r, *o, generator=generator, dtype=F64)


def function(name: str, r: int, *, seed: int) -> Function:
    return Function(ALL[name].kernel, drawn(r, 3, seed=seed), coefficients(name, r, seed=seed))


def matrix(name: str, S: Tensor, T: Tensor) -> Tensor:
    """The Gram matrix from the slow reference, one row for each sequence and output."""
    K = dense(ALL[name], S, T)
    return K if K.ndim == 2 else K.flatten(2).flatten(0, 1)


# --- representer arithmetic is dense linear algebra ----------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_values_are_the_gram_matrix_times_the_coefficients(name: str):
    f, S = function(name, 3, seed=1), drawn(2, 3, seed=2)
    expected = matrix(name, S, f.centres) @ f.coefficients.flatten()
    assert f(S).shape == (2, *f.coefficients.shape[1:])
    assert relative_error(f(S).flatten(), expected) < 1e-13


@pytest.mark.parametrize("L", [1, 4])
def test_values_are_sums_of_terms_also_at_sequences_of_another_length(L: int):
    f, S = function("signature", 3, seed=1), drawn(2, L, seed=2)

    def kernel(S: Any, T: Any) -> float:
        return oracles.signature_kernel(S, T, 3)

    terms = f.centres.tolist(), f.coefficients.tolist(), S.tolist()
    expected = torch.tensor(oracles.function_values(kernel, *terms), dtype=F64)
    assert relative_error(f(S), expected) < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_inner_products_and_norms_are_quadratic_forms_of_the_gram_matrix(name: str):
    f, g = function(name, 3, seed=3), function(name, 2, seed=4)
    a, b = f.coefficients.flatten(), g.coefficients.flatten()
    expected = a @ matrix(name, f.centres, g.centres) @ b
    assert relative_error(inner(f, g), expected) < 1e-12
    assert relative_error(inner(g, f), expected) < 1e-12
    own = a @ matrix(name, f.centres, f.centres) @ a
    assert relative_error(norm(f), own.sqrt()) < 1e-12
    assert relative_error(squared_norm()(f), own) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_sums_and_multiples_are_those_of_coefficients_over_all_centres(name: str):
    f, g, S = function(name, 3, seed=5), function(name, 2, seed=6), drawn(2, 3, seed=7)
    K, K_other = (matrix(name, S, x.centres) for x in (f, g))
    a, b = (x.coefficients.flatten() for x in (f, g))
    for found, expected in {
        f + g: K @ a + K_other @ b,
        f - g: K @ a - K_other @ b,
        2.5 * f: 2.5 * (K @ a),
        f * -0.5: -0.5 * (K @ a),
        f / 4: K @ a / 4,
        -f: -(K @ a),
        torch.tensor(3.0, dtype=F64) * f: 3 * (K @ a),
        f * torch.tensor(3.0, dtype=F64): 3 * (K @ a),
        2 * f - g / 3 + f: 3 * (K @ a) - K_other @ b / 3,
    }.items():
        assert relative_error(found(S).flatten(), expected) < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_equal_centres_become_one_and_the_function_stays(name: str):
    f, S = function(name, 5, seed=8), drawn(2, 3, seed=9)
    centres = f.centres[[3, 1, 3, 0, 1]]
    repeated = Function(f.kernel, centres, f.coefficients)
    once = repeated.merged()
    assert torch.equal(once.centres, f.centres[[3, 1, 0]])
    a = f.coefficients
    assert torch.equal(once.coefficients, torch.stack([a[0] + a[2], a[1] + a[4], a[3]]))
    assert relative_error(once(S), repeated(S)) < 1e-14
    assert relative_error(norm(once), norm(repeated)) < 1e-13
    # whatever is added to itself needs no more centres
    g = repeated + once - 2 * f
    assert len(g.centres) == 5
    assert relative_error(g(S), repeated(S) + once(S) - 2 * f(S)) < 1e-13
    assert f.merged() is f


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_the_inner_product_with_a_section(name: str):
    # Eq. 1, for each output
    f, S = function(name, 3, seed=10), drawn(1, 3, seed=11)[0]
    kernel = f.kernel
    for a in range(kernel.outputs_at(S[None])):
        K_S = section(kernel, S, a)
        output = a if kernel.vector_valued else None
        value = f(S[None]).flatten()[a]
        assert relative_error(inner(f, K_S), value) < 1e-13
        assert relative_error(evaluate(S, output)(f), value) < 1e-13
        K = kernel.diagonal(S[None]).reshape(-1, kernel.outputs_at(S[None]))
        assert relative_error(inner(K_S, K_S), K[a, a]) < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_the_zero_function_is_neutral(name: str):
    f, S = function(name, 2, seed=12), drawn(2, 3, seed=13)
    nothing = zero(f.kernel, S)
    assert len(nothing.centres) == 0
    assert torch.equal(nothing(S), torch.zeros_like(f(S)))
    for same in (nothing + f, f + nothing, f - nothing):
        assert torch.equal(same.centres, f.centres)
        assert torch.equal(same.coefficients, f.coefficients)
    assert norm(nothing).item() == 0
    assert inner(nothing, f).item() == 0
    assert norm(f - f).item() == 0
    assert torch.equal((0 * f)(S), torch.zeros_like(f(S)))


WHOLE = st.integers(-3, 3)


@st.composite
def functions(draw: st.DrawFn) -> tuple[Function, Function, Function]:
    """Three functions with centres from one pool, of a kernel whose values are whole numbers."""
    pool = draw(sequences(L=2, d=1))
    kernel = draw(st.sampled_from([rkhs.linear(), rkhs.polynomial(2), rkhs.signature(2)]))

    def one() -> Function:
        which = draw(st.lists(st.integers(0, len(pool) - 1), max_size=3))
        numbers = draw(st.lists(WHOLE, min_size=len(which), max_size=len(which)))
        return Function(kernel, pool[which], torch.tensor(numbers, dtype=F64))

    return one(), one(), one()


@settings(max_examples=60)
@given(functions(), WHOLE, WHOLE, sequences(L=2, d=1))
def test_functions_form_a_space_with_an_inner_product(
    drawn_functions: tuple[Function, Function, Function], a: int, b: int, S: Tensor
):
    # whole numbers: every equation holds to the last bit
    f, g, h = drawn_functions
    assert torch.equal((f + g)(S), (g + f)(S))
    assert torch.equal(((f + g) + h)(S), (f + (g + h))(S))
    assert torch.equal((a * (f + g))(S), (a * f + a * g)(S))
    assert torch.equal(((a + b) * f)(S), (a * f + b * f)(S))
    assert torch.equal((f - g)(S), f(S) - g(S))
    assert torch.equal(inner(f, g), inner(g, f))
    assert torch.equal(inner(a * f + b * g, h), a * inner(f, h) + b * inner(g, h))
    assert inner(f, f).item() >= 0
    assert inner(f, g).square().item() <= (inner(f, f) * inner(g, g)).item()
    parallelogram = inner(f + g, f + g) + inner(f - g, f - g)
    assert torch.equal(parallelogram, 2 * inner(f, f) + 2 * inner(g, g))
    distinct = {tuple(map(float, x)) for x in torch.cat([f.centres, g.centres]).flatten(1)}
    assert len((f + g).centres) == len(distinct) or f.centres is g.centres


def test_zero_and_minus_zero_are_one_centre():
    f = Function(
        rkhs.linear(), torch.tensor([[[0.0]], [[1.0]], [[-0.0]]]), torch.tensor([1.0, 2.0, 3.0])
    )
    assert f.merged().coefficients.tolist() == [4.0, 2.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_have_the_dtype_and_the_device_of_their_centres(dtype: torch.dtype, device: str):
    S = drawn(3, 3, seed=14).to(device, dtype)
    f = Function(rkhs.signature(2), S, S[:, 0, 0])
    for x in (f(S), (f + f)(S), norm(f), inner(f, f), evaluate(S[0])(f), squared_norm()(f)):
        assert (x.dtype, x.device.type) == (dtype, device)
    gradient = functional_gradient(Functional(S, lambda v: v.square().sum()), f)
    assert (gradient.coefficients.dtype, gradient.coefficients.device.type) == (dtype, device)


def test_derivatives_pass_through_values_sums_and_norms():
    X = drawn(3, 3, seed=15).requires_grad_()
    c = coefficients("gaussian", 3, seed=15).requires_grad_()
    S = drawn(2, 3, seed=16).requires_grad_()

    def everything(X: Tensor, c: Tensor, S: Tensor) -> Tensor:
        f = Function(rkhs.gaussian(1.3), X, c)
        g = f + 2 * Function(f.kernel, X[[0, 0, 1]], c.square())
        return torch.cat([g(S), norm(g)[None], inner(f, g)[None]])

    assert torch.autograd.gradcheck(everything, (X, c, S))


def test_a_norm_that_rounding_makes_imaginary_is_zero_and_one_that_is_is_told():
    S = torch.tensor([[[0.1]], [[0.1 + 1e-9]]], dtype=F64)
    cancelling = Function(rkhs.gaussian(1.0), S, torch.tensor([1e8, -1e8], dtype=F64))
    assert norm(cancelling).item() < 1e2 * 1e8 * 1e-8
    # an eigenvector of the eigenvalue below zero
    S = torch.cartesian_prod(*[torch.arange(3, dtype=F64)] * 4)[..., None]
    kernel = rkhs.global_alignment(3.0, local="gaussian")
    f = Function(kernel, S, torch.linalg.eigh(kernel(S)).eigenvectors[:, 0])
    with pytest.raises(ValueError, match="not below 0 for a positive semi-definite kernel, got -9"):
        norm(f)


# --- gradients of functionals --------------------------------------------------------------------


def bowl(values: Tensor) -> Tensor:
    """Neither linear nor separable in the values, no two of them alike, and strictly convex."""
    v = values.flatten()
    weights = torch.linspace(0.5, 2.0, v.numel(), dtype=v.dtype)
    return (weights * v.exp()).mean() + v.square().mean().square() + (weights * v).mean().exp()


def functionals(name: str) -> dict[str, RealFunctional]:
    S = drawn(3, 3, seed=17)
    F = Functional(S, bowl)
    output = 1 if ALL[name].kernel.vector_valued else None
    E = evaluate(S[0], output)
    return {
        "of values": F,
        "of values at one sequence twice": Functional(S[[0, 1, 0]], bowl),
        "squared norm": squared_norm(),
        "composed": compose(lambda a, b, c: a * b.log1p() + c.exp(), F, squared_norm(), E),
        "composed twice": compose(torch.exp, compose(torch.sin, E)),
    }


STEPS = [2.0**-k for k in range(5, 14)]


def slopes(F: RealFunctional, f: Function, gradient: Function, g: Function) -> list[Slope]:
    """Of the remainder of Definition 2, and of the error of the central difference."""
    at = F(f).item()
    along = inner(gradient, g).item()
    ahead, behind = ([F(f + s * e * g).item() for e in STEPS] for s in (1, -1))
    remainders = [abs(x - at - e * along) for e, x in zip(STEPS, ahead, strict=True)]
    errors = [abs((x - y) / (2 * e) - along) for e, x, y in zip(STEPS, ahead, behind, strict=True)]
    return [fit_slope(STEPS, [max(x, 1e-300) for x in y]) for y in (remainders, errors)]


def of_unit_size(f: Function) -> Function:
    """Divided by its largest value where functionals look."""
    return f / f(drawn(3, 3, seed=17)).abs().max()


KINDS = ["of values", "of values at one sequence twice", "composed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences_in_function_space(name: str, kind: str):
    F = functionals(name)[kind]
    f = of_unit_size(function(name, 3, seed=18)) / 2
    gradient = functional_gradient(F, f)
    for seed in (19, 20):
        g = of_unit_size(function(name, 2, seed=seed))
        for found in slopes(F, f, gradient, g):
            assert abs(found.value - 2) < 0.15, found
        # a gradient that is one per cent too long has an error that stays
        assert abs(slopes(F, f, 1.01 * gradient, g)[1].value) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_the_squared_norm_is_its_own_expansion(name: str):
    f, g = function(name, 3, seed=21), function(name, 2, seed=22)
    F = squared_norm()
    expected = F(f) + inner(functional_gradient(F, f), g) + F(g)
    assert relative_error(F(f + g), expected) < 1e-12
    S = drawn(2, 3, seed=23)
    assert torch.equal(functional_gradient(F, f)(S), 2 * f(S))


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_evaluation_is_the_section_whatever_the_function(name: str):
    # Lemma 6
    S = drawn(1, 3, seed=24)[0]
    kernel = ALL[name].kernel
    for a in range(kernel.outputs_at(S[None])):
        E = evaluate(S, a if kernel.vector_valued else None)
        K_S = section(kernel, S, a)
        for f in (function(name, 3, seed=25), zero(kernel, S[None])):
            gradient = functional_gradient(E, f)
            assert torch.equal(gradient.centres, K_S.centres)
            assert torch.equal(gradient.coefficients, K_S.coefficients)


@pytest.mark.parametrize("name", NAMES)
def test_the_chain_rule_multiplies_gradients_by_slopes(name: str):
    # Lemma 5, Eq. 22: G(F(f)) = sin(F(f))
    F = functionals(name)["of values"]
    f, S = function(name, 3, seed=26), drawn(2, 3, seed=27)
    found = functional_gradient(compose(torch.sin, F), f)
    assert relative_error(found(S), F(f).cos() * functional_gradient(F, f)(S)) < 1e-13
    # the same functional in one piece
    whole = Functional(drawn(3, 3, seed=17), lambda values: bowl(values).sin())
    assert relative_error(found(S), functional_gradient(whole, f)(S)) < 1e-13


@pytest.mark.parametrize("name", NAMES)
def test_gradients_do_not_depend_on_how_a_function_is_written(name: str):
    f, S = function(name, 2, seed=28), drawn(2, 3, seed=29)
    split = Function(f.kernel, f.centres.repeat(2, 1, 1), torch.cat([f.coefficients / 2] * 2))
    for F in functionals(name).values():
        gradients = [functional_gradient(F, x)(S) for x in (f, split)]
        assert relative_error(*gradients) < 1e-12


def test_gradients_need_no_graph_and_leave_one_that_is_there():
    f, F = function("gaussian", 3, seed=30), functionals("gaussian")["of values"]
    expected = functional_gradient(F, f).coefficients
    with torch.no_grad():
        assert torch.equal(functional_gradient(F, f).coefficients, expected)
    assert not expected.requires_grad
    # the gradient itself may be differentiated, as a function of the coefficients
    c = f.coefficients.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda c: functional_gradient(F, Function(f.kernel, f.centres, c)).coefficients, c
    )


def test_a_functional_that_ignores_the_values_has_no_gradient():
    f = function("gaussian", 3, seed=31)
    constant = Functional(drawn(2, 3, seed=32), lambda values: values.new_tensor(3.0))
    assert functional_gradient(constant, f).coefficients.tolist() == [0.0, 0.0]
    assert constant(f).item() == 3.0


# --- bad input -----------------------------------------------------------------------------------

anything: Any = rkhs  # what the types forbid
X: Any = torch.zeros(2, 3, 2, dtype=F64)
GAUSSIAN: Any = SCALAR["gaussian"].kernel
F_G: Any = Function(GAUSSIAN, X, torch.ones(2, dtype=F64))
BLOCKS: Any = VECTOR["separable"].kernel
F_B: Any = Function(BLOCKS, X, torch.ones(2, 3, dtype=F64))
NAN = torch.tensor([1.0, math.nan], dtype=F64)


def of_values(Phi: Any, points: Any = X) -> Any:
    return anything.Functional(points, Phi)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no kernel": (lambda: anything.Function(torch.dot, X, X), TypeError, "kernel is a Kernel"),
    "centres": (lambda: Function(GAUSSIAN, X[0], X), ValueError, r"centres is \(N, L, d\)"),
    "no coefficients": (
        lambda: anything.Function(GAUSSIAN, X, [1.0]),
        TypeError,
        "coefficients are a tensor, got list",
    ),
    "too few coefficients": (
        lambda: Function(GAUSSIAN, X, X[:1, 0, 0]),
        ValueError,
        r"shape \(2,\) for centres \(2, 3, 2\), got \(1,\)",
    ),
    "a matrix of coefficients": (
        lambda: Function(GAUSSIAN, X, X[:, 0]),
        ValueError,
        r"shape \(2,\) .* got \(2, 2\)",
    ),
    "coefficients without outputs": (
        lambda: Function(BLOCKS, X, X[:, 0]),
        ValueError,
        r"shape \(2, 3\) .* got \(2, 2\)",
    ),
    "two dtypes": (lambda: Function(GAUSSIAN, X, X[:, 0, 0].float()), TypeError, "one dtype"),
    "two devices": (
        lambda: Function(GAUSSIAN, X, X[:, 0, 0].to("meta")),
        ValueError,
        "one device",
    ),
    "NaN coefficients": (
        lambda: Function(GAUSSIAN, X, NAN),
        ValueError,
        "coefficients are finite, got nan",
    ),
    "infinite centres": (
        lambda: Function(GAUSSIAN, X + math.inf, X[:, 0, 0]),
        ValueError,
        "centres are finite, got inf",
    ),
    "values at one sequence": (lambda: F_G(X[0]), ValueError, r"S is \(N, L, d\)"),
    "values in another dtype": (lambda: F_G(X.float()), TypeError, "one dtype"),
    "values at wider tokens": (lambda: F_G(X.repeat(1, 1, 2)), ValueError, "tokens have one width"),
    "a function and a number": (lambda: F_G + 1, TypeError, "unsupported operand"),
    "a function less a number": (lambda: F_G - 1, TypeError, "unsupported operand"),
    "two functions multiplied": (lambda: F_G * F_G, TypeError, "unsupported operand"),
    "a function times a vector": (lambda: F_G * X[:, 0, 0], TypeError, "."),
    "a function by a word": (lambda: F_G / "2", TypeError, "unsupported operand"),
    "sum of two kernels": (
        lambda: F_G + Function(rkhs.gaussian(9.0), X, F_G.coefficients),
        ValueError,
        "functions are of one kernel, got .*width=1.3.* and .*width=9.0",
    ),
    "inner product of two kernels": (
        lambda: inner(F_G, Function(rkhs.gaussian(9.0), X, F_G.coefficients)),
        ValueError,
        "functions are of one kernel",
    ),
    "inner product of two separable kernels": (
        lambda: inner(
            F_B, Function(rkhs.separable(GAUSSIAN, torch.eye(3).double()), X, X[:, :, 0])
        ),
        ValueError,
        "functions are of one kernel",
    ),
    "sum of two lengths": (
        lambda: (
            Function(rkhs.signature(2), X, X[:, 0, 0])
            + Function(rkhs.signature(2), X[:, :2], X[:, 0, 0])
        ),
        ValueError,
        r"sequences of one shape, got \(2, 3, 2\) and \(2, 2, 2\)",
    ),
    "sum of two dtypes": (
        lambda: F_G + Function(GAUSSIAN, X.float(), X[:, 0, 0].float()),
        TypeError,
        "one dtype, got the first function torch.float64",
    ),
    "inner product of numbers": (
        lambda: anything.inner(F_G, 1),
        TypeError,
        "of functions, got int",
    ),
    "norm of a number": (lambda: anything.norm(1), TypeError, "of functions, got int"),
    "section at two sequences": (
        lambda: section(GAUSSIAN, X),
        ValueError,
        r"S is one sequence \(L, d\), got \(2, 3, 2\)",
    ),
    "section at no tensor": (lambda: anything.section(GAUSSIAN, 1), TypeError, "S is a tensor"),
    "section of no output": (lambda: section(BLOCKS, X[0], 3), ValueError, "0 to 2, got 3"),
    "section of output -1": (lambda: section(BLOCKS, X[0], -1), ValueError, "0 to 2, got -1"),
    "section of output 0.0": (
        lambda: anything.section(BLOCKS, X[0], 0.0),
        TypeError,
        "output is an int",
    ),
    "zero of one sequence": (lambda: zero(GAUSSIAN, X[0]), ValueError, "S is"),
    "evaluation at two sequences": (lambda: evaluate(X), ValueError, "S is one sequence"),
    "evaluation of output True": (lambda: evaluate(X[0], True), TypeError, "output is an int"),
    "evaluation of no output": (lambda: evaluate(X[0], 3)(F_B), ValueError, "0 to 2, got 3"),
    "evaluation of another output": (lambda: evaluate(X[0], 1)(F_G), ValueError, "0 to 0, got 1"),
    "evaluation of which output": (lambda: evaluate(X[0])(F_B), ValueError, "f has 3 outputs"),
    "points": (lambda: of_values(torch.sum, X[0]), ValueError, r"points is \(N, L, d\)"),
    "of_values": (
        lambda: of_values(1.0),
        TypeError,
        "of_values is a function of values, got float",
    ),
    "a vector of values": (
        lambda: of_values(torch.sin)(F_G),
        ValueError,
        r"a tensor of shape \(\), got \(2,\)",
    ),
    "gradient of a vector": (
        lambda: functional_gradient(of_values(torch.sin), F_G),
        ValueError,
        r"a tensor of shape \(\), got \(2,\)",
    ),
    "a float of values": (lambda: of_values(lambda v: 1.0)(F_G), ValueError, "got float"),
    "an infinite gradient": (
        lambda: functional_gradient(of_values(lambda v: (0 * v).sqrt().sum()), F_G),
        ValueError,
        "coefficients are finite",
    ),
    "outer": (lambda: anything.compose(1.0, squared_norm()), TypeError, "outer is a function"),
    "nothing composed": (lambda: compose(torch.sin), ValueError, "one functional or more"),
    "numbers composed": (
        lambda: anything.compose(torch.sin, torch.cos),
        TypeError,
        "a composition is of functionals",
    ),
    "a vector composed": (
        lambda: compose(lambda a: a.expand(2), squared_norm()).gradient(F_G),
        ValueError,
        r"outer gives a number, .* got \(2,\)",
    ),
    "gradient of no functional": (
        lambda: anything.functional_gradient(torch.sin, F_G),
        TypeError,
        "F is a functional",
    ),
    "gradient at no function": (
        lambda: anything.functional_gradient(squared_norm(), torch.sin),
        TypeError,
        "f is a function",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name: str):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


def test_a_column_of_coefficients_is_taken_for_a_scalar_kernel():
    f = Function(GAUSSIAN, X, torch.ones(2, 1, dtype=F64))
    assert f.coefficients.shape == (2,)
    assert torch.equal(f(X), F_G(X))
