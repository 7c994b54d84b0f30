"""Kernels on sequences: each equals its slow reference, and is symmetric and semi-definite."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import itertools
import math
import pickle
from fractions import Fraction
from typing import Any

import pytest
import torch
from conftest import DTYPES, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from rkhs_cases import ALL, F64, INDEFINITE, PARAMS, SCALAR, VECTOR, B, dense, drawn, sequences
from torch import Tensor
from torch.func import vmap

from ntteach import rkhs
from ntteach.rkhs import Kernel, check_gram, pairs, pointwise

WITH_INDEFINITE = ALL | {"alignments of gaussians": INDEFINITE}


def is_semidefinite(K: Tensor) -> bool:
    """Is no eigenvalue below zero by more than rounding, relative to the largest entry?"""
    return torch.linalg.eigvalsh(K)[0].item() >= -1e-13 * len(K) * K.abs().max().item()


# --- what every kernel is ------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_INDEFINITE)
def test_a_kernel_equals_its_slow_reference(name: str):
    case = WITH_INDEFINITE[name]
    S, T = drawn(3, 3, seed=1), drawn(2, 3, seed=2)
    assert relative_error(case.kernel(S, T), dense(case, S, T)) < 1e-13
    assert relative_error(case.kernel(S), dense(case, S, S)) < 1e-13


@pytest.mark.parametrize(
    "name", [name for name, case in WITH_INDEFINITE.items() if case.any_length]
)
@pytest.mark.parametrize(("L", "M"), [(1, 1), (1, 4), (4, 2), (2, 5), (5, 4)])
def test_sequences_of_two_lengths_compare_as_the_slow_reference_does(name: str, L: int, M: int):
    case = WITH_INDEFINITE[name]
    S, T = drawn(2, L, seed=3), drawn(3, M, seed=4)
    assert relative_error(case.kernel(S, T), dense(case, S, T)) < 1e-13


@pytest.mark.parametrize("name", SCALAR)
def test_a_scalar_kernels_gram_matrix_is_symmetric_and_positive_semidefinite(name: str):
    @settings(max_examples=30)
    @given(sequences())
    def law(S: Tensor):
        K = SCALAR[name].kernel(S)
        assert K.shape == (len(S), len(S))
        assert torch.equal(K, K.mT)
        assert is_semidefinite(K)

    law()


@pytest.mark.parametrize("name", VECTOR)
def test_a_vector_valued_kernels_gram_matrix_is_symmetric_and_positive_semidefinite(name: str):
    @settings(max_examples=20)
    @given(sequences(L=3, d=2))
    def law(S: Tensor):
        kernel = VECTOR[name].kernel
        o = kernel.outputs_at(S)
        assert kernel(S).shape == (len(S), o, len(S), o)
        K = kernel.gram(S)
        assert K.shape == (len(S) * o, len(S) * o)
        assert torch.equal(K, K.mT)
        assert is_semidefinite(K)

    law()


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize(("N", "d"), [(7, 33), (17, 9), (33, 170)])
def test_rounding_leaves_the_gram_matrix_symmetric_to_the_last_bit(name: str, N: int, d: int):
    # sizes at which a product of matrices is not
    for S in (drawn(N, 3, seed=33, d=d), drawn(N, 3, seed=34, d=d).float()):
        K = SCALAR[name].kernel(S)
        assert torch.equal(K, K.mT)


@pytest.mark.parametrize("name", WITH_INDEFINITE)
def test_exchanging_the_arguments_transposes_the_gram_matrix(name: str):
    kernel = WITH_INDEFINITE[name].kernel
    S, T = drawn(3, 3, seed=5), drawn(2, 3, seed=6)
    assert relative_error(kernel.gram(T, S).mT, kernel.gram(S, T)) < 1e-14
    assert relative_error(kernel.gram(S), kernel.gram(S, S.clone())) < 1e-14


@pytest.mark.parametrize("name", WITH_INDEFINITE)
def test_the_diagonal_is_that_of_the_gram_matrix(name: str):
    kernel = WITH_INDEFINITE[name].kernel
    S = drawn(4, 3, seed=7)
    K = kernel(S)
    blocks = K.diagonal(dim1=0, dim2=K.ndim // 2).movedim(-1, 0)
    assert relative_error(kernel.diagonal(S), blocks) < 1e-14


@pytest.mark.parametrize("name", WITH_INDEFINITE)
def test_no_sequences_give_a_gram_matrix_without_entries(name: str):
    kernel = WITH_INDEFINITE[name].kernel
    S, none = drawn(2, 3, seed=8), drawn(0, 3, seed=8)
    o = (kernel.outputs_at(S),) * kernel.vector_valued
    assert kernel(none).shape == (0, *o, 0, *o)
    assert kernel(S, none).shape == (2, *o, 0, *o)
    assert kernel(none, S).shape == (0, *o, 2, *o)
    assert kernel.diagonal(none).shape == (0, *o, *o)


@pytest.mark.parametrize("name", WITH_INDEFINITE)
def test_gradients_in_the_sequences_are_those_of_differences(name: str):
    kernel = WITH_INDEFINITE[name].kernel
    S, T = (drawn(2, 3, seed=seed).requires_grad_() for seed in (9, 10))
    fast = kernel.vector_valued  # along random directions; else each entry
    assert torch.autograd.gradcheck(kernel, (S, T), fast_mode=fast)
    assert torch.autograd.gradcheck(kernel, S, fast_mode=fast)
    assert torch.autograd.gradcheck(kernel.diagonal, S, fast_mode=fast)


@pytest.mark.parametrize("name", ["quadratic", "gaussian", "alignments", "signature of a gaussian"])
def test_second_derivatives_in_the_sequences_are_those_of_differences(name: str):
    kernel = SCALAR[name].kernel
    S, T = (drawn(1, 3, seed=seed, d=1).requires_grad_() for seed in (9, 10))
    assert torch.autograd.gradgradcheck(kernel, (S, T))


@pytest.mark.parametrize("name", SCALAR)
def test_kernels_run_under_vmap(name: str):
    kernel = SCALAR[name].kernel
    S = torch.stack([drawn(2, 3, seed=seed) for seed in (11, 12)])
    each = torch.stack([kernel(s) for s in S])
    assert relative_error(vmap(kernel)(S), each) < 1e-13


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCALAR)
def test_dtype_and_device_are_those_of_the_sequences(name: str, dtype: torch.dtype, device: str):
    kernel = SCALAR[name].kernel
    S = drawn(3, 3, seed=13).to(device, dtype)
    K = kernel(S)
    assert (K.dtype, K.device.type) == (dtype, device)
    assert relative_error(K, kernel(S.cpu().double())) < 200 * torch.finfo(dtype).eps


def test_a_vector_valued_kernel_has_the_dtype_of_its_matrices(device: str):
    S = drawn(2, 3, seed=14).to(device, torch.float32)
    params = {name: W.to(S) for name, W in PARAMS.items()}
    for kernel, name in (
        (rkhs.separable(rkhs.signature(3), B.to(S)), "separable"),
        (rkhs.frozen_antk(params), "antk"),
    ):
        K = kernel(S)
        assert (K.dtype, K.device.type) == (torch.float32, device)
        expected = VECTOR[name].kernel(S.cpu().double())
        assert relative_error(K, expected) < 1e-5


@pytest.mark.parametrize("name", SCALAR)
def test_one_sequence_that_is_not_a_number_spoils_its_own_entries_alone(name: str):
    S = drawn(3, 3, seed=15)
    S[1] = math.nan
    K, clean = SCALAR[name].kernel(S), SCALAR[name].kernel(S[[0, 2]])
    assert K[1].isnan().all()
    assert K[:, 1].isnan().all()
    assert relative_error(K[[0, 2]][:, [0, 2]], clean) < 1e-14


# --- laws of each --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SCALAR if name.endswith("of means")])
def test_kernels_of_means_are_blind_to_the_order_of_tokens(name: str):
    kernel = SCALAR[name].kernel
    S, T = drawn(3, 4, seed=16), drawn(2, 3, seed=17)
    assert relative_error(kernel(S[:, [2, 0, 3, 1]], T), kernel(S, T)) < 1e-14


@pytest.mark.parametrize("name", ["linear", "gaussian", "alignments", "signature"])
def test_kernels_of_whole_sequences_see_the_order_of_tokens(name: str):
    kernel = SCALAR[name].kernel
    S, T = drawn(3, 4, seed=16), drawn(2, 4, seed=17)
    assert relative_error(kernel(S[:, [2, 0, 3, 1]], T), kernel(S, T)) > 1e-3


def test_equal_tokens_leave_the_alignments_to_be_counted():
    for L, delannoy in enumerate([1, 3, 13, 63, 321], start=1):
        S = torch.full((1, L, 2), 0.3, dtype=F64)
        for local in ("safe", "gaussian"):
            K = rkhs.global_alignment(1.0, local=local, normalise=False)(S)
            assert K.item() == pytest.approx(delannoy, rel=1e-13)


def test_sums_over_alignments_neither_overflow_nor_vanish():
    # some 10^76 alignments, beyond single precision
    S = torch.zeros(2, 100, 1, dtype=torch.float32)
    S[1] = 1e-3
    kernel = rkhs.global_alignment(1.0)
    assert kernel(S).sub(1).abs().max() < 1e-2
    # tokens so far apart that every product vanishes, but not against the largest
    far = torch.stack([torch.zeros(5, 1), torch.full((5, 1), 60.0)]).double().requires_grad_()
    K = rkhs.global_alignment(1.0)(far)
    assert torch.equal(K, torch.eye(2, dtype=F64))
    K.sum().backward()
    assert far.grad is not None
    assert far.grad.isfinite().all()


def test_alignments_of_gaussians_can_be_indefinite_and_the_safe_ones_are_not():
    # all sequences of four tokens 0, 1 or 2
    S = torch.tensor(list(itertools.product((0, 1, 2), repeat=4)), dtype=F64)[..., None]
    smallest = {
        local: torch.linalg.eigvalsh(rkhs.global_alignment(3.0, local=local)(S))[0].item()
        for local in ("safe", "gaussian")
    }
    assert smallest["gaussian"] < -9e-6  # rounding is below 1e-13
    assert smallest["safe"] > 8e-8
    with pytest.raises(ValueError, match="smallest eigenvalue -9"):
        check_gram(rkhs.global_alignment(3.0, local="gaussian")(S))


@pytest.mark.parametrize("static", [None, rkhs.gaussian(0.7), rkhs.laplace(1.0)])
def test_the_signature_kernel_sees_increments_alone(static: Kernel | None):
    kernel = rkhs.signature(3, static=static)
    S, T = drawn(3, 4, seed=18), drawn(2, 3, seed=19)
    K = kernel(S, T)
    assert relative_error(kernel(S[:, [0, 1, 1, 2, 3, 3, 3]], T), K) < 1e-13
    moved = torch.tensor([5.0, -2.0], dtype=F64)
    assert relative_error(kernel(S + moved, T + moved), K) < 1e-12
    assert relative_error(kernel(S.flip(1), T), K) > 1e-3


def test_the_signature_kernel_of_one_token_is_one():
    assert rkhs.signature(2)(drawn(2, 1, seed=20), drawn(3, 4, seed=21)).tolist() == [[1.0] * 3] * 2


def test_levels_beyond_the_length_add_nothing():
    S = drawn(3, 4, seed=22)
    deep, enough = (rkhs.signature(depth)(S) for depth in (9, 3))
    assert torch.equal(deep, enough)
    assert relative_error(rkhs.signature(2)(S), enough) > 1e-4


def test_a_static_kernel_of_inner_products_is_none():
    S, T = drawn(3, 4, seed=23), drawn(2, 3, seed=24)
    static = rkhs.signature(3, static=rkhs.linear())(S, T)
    assert relative_error(static, rkhs.signature(3)(S, T)) < 1e-13


def test_laplace_has_no_gradient_where_sequences_are_equal():
    S = torch.ones(2, 1, 1, dtype=F64, requires_grad=True)
    rkhs.laplace(1.0)(S).sum().backward()
    assert S.grad is not None
    assert S.grad.flatten().tolist() == [0.0, 0.0]


def test_normalised_kernels_have_unit_diagonal_and_are_blind_to_scale():
    S, T = drawn(3, 3, seed=25), drawn(2, 3, seed=26)
    kernel = rkhs.normalised(rkhs.linear())
    assert kernel(S).diagonal().sub(1).abs().max() < 1e-15
    assert relative_error(kernel(3 * S, T), kernel(S, T)) < 1e-15
    assert kernel(S).abs().max() < 1 + 1e-15
    S[1] = 0
    S.requires_grad_()
    K = kernel(S)
    assert K[1].tolist() == [0.0] * 3
    K.sum().backward()
    assert S.grad is not None
    assert S.grad.isfinite().all()
    assert S.grad[1].abs().max().item() == 0


def test_normalising_a_kernel_afterwards_is_normalising_it_in_logarithms():
    S, T = drawn(3, 3, seed=27), drawn(2, 4, seed=28)
    raw = rkhs.global_alignment(0.9, normalise=False)
    for arguments in ((S,), (S, T)):
        expected = rkhs.normalised(raw)(*arguments)
        assert relative_error(rkhs.global_alignment(0.9)(*arguments), expected) < 1e-13


@pytest.mark.parametrize("name", ["alignments", "signature", "signature of a gaussian", "gaussian"])
def test_blocks_of_any_size_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch):
    S, T = drawn(5, 3, seed=29), drawn(4, 2 if name != "gaussian" else 3, seed=30)
    kernel = SCALAR[name].kernel
    whole = kernel(S), kernel(S, T)
    for room in (1, 40, 100):
        monkeypatch.setattr(pairs, "ROOM", room)
        monkeypatch.setattr(pointwise, "ROOM", room)
        parts = kernel(S), kernel(S, T)
        assert torch.equal(parts[0], parts[0].mT)
        assert all(relative_error(x, y) < 1e-15 for x, y in zip(parts, whole, strict=True))


def test_nearly_equal_sequences_far_from_the_origin_keep_their_distance():
    # inner products would lose it: 1e-5 against 1e6
    S = torch.tensor([[[1e6]], [[1e6 + 2**-17]]], dtype=F64)
    assert rkhs.laplace(1.0)(S)[0, 1].log().item() == pytest.approx(-(2**-17), rel=1e-9)


def test_frozen_parameters_are_copies():
    params = {name: W.clone() for name, W in PARAMS.items()}
    B_here = B.clone()
    kernels = [rkhs.frozen_antk(params), rkhs.separable(rkhs.linear(), B_here)]
    S = drawn(2, 3, seed=31)
    before = [kernel(S) for kernel in kernels]
    for W in (*params.values(), B_here):
        W.mul_(2)
    assert all(torch.equal(kernel(S), K) for kernel, K in zip(kernels, before, strict=True))


def test_kernels_with_the_same_constants_are_equal():
    assert rkhs.gaussian(1.0) == rkhs.gaussian(1.0) != rkhs.gaussian(2.0)
    assert rkhs.gaussian(1.0) != rkhs.gaussian(1.0, on="mean")
    assert rkhs.signature(2) + rkhs.linear() == rkhs.signature(2) + rkhs.linear()


def test_kernels_with_equal_tensors_are_equal_and_so_are_copies():
    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    makers = (
        lambda B: rkhs.separable(rkhs.linear(), B),
        lambda B: rkhs.frozen_antk({**PARAMS, "W_V": B}),
        lambda B: rkhs.frozen_antk({**PARAMS, "W_V": B}, mask=causal) + rkhs.frozen_antk(PARAMS),
    )
    for make in makers:
        kernel = make(B)
        for same in (make(B.clone()), copy.deepcopy(kernel), pickle.loads(pickle.dumps(kernel))):
            assert kernel == same
            assert hash(kernel) == hash(same)
        for other in (make(2 * B), make(B.float()), make(B[:2, :2]), rkhs.linear()):
            assert kernel != other
    assert rkhs.frozen_antk(PARAMS) != rkhs.frozen_antk(PARAMS, mask="causal")
    assert rkhs.frozen_antk(PARAMS, mask=causal) != rkhs.frozen_antk(PARAMS, mask=~causal)
    assert rkhs.frozen_antk(PARAMS) != rkhs.frozen_antk(PARAMS, heads=2)
    assert rkhs.frozen_antk(PARAMS) != rkhs.frozen_antk({"W_V": PARAMS["W_V"]})


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_width_of_any_size_has_its_limit(dtype: torch.dtype):
    S = drawn(3, 2, seed=32).to(dtype)
    for kernel in (rkhs.gaussian, rkhs.laplace, rkhs.global_alignment):
        for width, limit in (
            *((w, torch.eye(3)) for w in (1e-20, 1e-30, 1e-170, 1e-300)),
            *((w, torch.ones(3, 3)) for w in (1e25, 1e60, 1e200, 1e308)),
        ):
            assert relative_error(kernel(width)(S), limit.to(dtype)) < 1e-6


def test_constants_may_be_fractions():
    S, half = drawn(2, 3, seed=35), Fraction(1, 2)
    for make in (
        anything.gaussian,
        anything.laplace,
        anything.global_alignment,
        lambda x: anything.polynomial(2, x),
        lambda x: x * rkhs.linear(),
    ):
        assert torch.equal(make(half)(S), make(0.5)(S))


# --- Gram matrices from elsewhere ----------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1000))
def test_products_of_features_pass_as_gram_matrices(n: int, features: int, seed: int):
    X = drawn(n, features, seed=seed, d=1).squeeze(-1)
    for x in (X, X.float()):
        assert torch.equal(check_gram(x @ x.mT), (x @ x.mT + (x @ x.mT).mT) / 2)


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_an_eigenvalue_below_zero_is_told_with_its_value(n: int, seed: int):
    Q = torch.linalg.qr(drawn(n, n, seed=seed, d=1).squeeze(-1)).Q
    eigenvalues = torch.linspace(-0.001, 1, n, dtype=F64)
    with pytest.raises(ValueError, match=r"smallest eigenvalue -0\.001 \(tolerance"):
        check_gram(Q * eigenvalues @ Q.mT)
    check_gram(Q * eigenvalues @ Q.mT, tolerance=1e-2)


def test_blocks_pass_as_the_matrix_that_they_are():
    kernel, S = VECTOR["antk"].kernel, drawn(2, 3, seed=32)
    assert torch.equal(check_gram(kernel(S)), kernel.gram(S))
    assert check_gram(torch.empty(0, 0)).shape == (0, 0)


GRAMS: dict[str, tuple[Any, type[Exception], str]] = {
    "no tensor": ([[1.0]], TypeError, "K is a tensor, got list"),
    "whole numbers": (torch.ones(1, 1).int(), TypeError, "K is floating point, got torch.int32"),
    "not square": (torch.ones(2, 3), ValueError, r"K is \(n, n\) or \(N, o, N, o\), got \(2, 3\)"),
    "three axes": (torch.ones(2, 2, 2), ValueError, r"got \(2, 2, 2\)"),
    "not finite": (
        torch.tensor([[1.0, math.nan], [math.nan, 1.0]]),
        ValueError,
        r"nan at \(0, 1\)",
    ),
    "infinite": (torch.tensor([[math.inf]]), ValueError, r"K is finite, got inf at \(0, 0\)"),
    "not symmetric": (
        torch.tensor([[1.0, 0.5], [0.25, 1.0]]),
        ValueError,
        r"K is symmetric, got 0\.5 at \(0, 1\) and 0\.25 at \(1, 0\)",
    ),
    "indefinite": (
        torch.tensor([[1.0, 2.0], [2.0, 1.0]]),
        ValueError,
        "positive semi-definite, got smallest eigenvalue -1",
    ),
}


@pytest.mark.parametrize("name", GRAMS)
def test_what_is_no_gram_matrix_is_told(name: str):
    K, error, message = GRAMS[name]
    with pytest.raises(error, match=message):
        check_gram(K)
    if isinstance(K, Tensor) and K.ndim == 2:
        with pytest.raises(error, match=message.replace("K ", "B ")):
            rkhs.separable(rkhs.linear(), K)


def test_a_tolerance_below_zero_is_told():
    with pytest.raises(ValueError, match="tolerance is not below 0, got -1"):
        check_gram(torch.eye(2), tolerance=-1)


# --- the names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", rkhs.__all__)
def test_every_exported_name_says_what_it_is(name: str):
    value = getattr(rkhs, name)
    text = inspect.getdoc(value)
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].endswith((".", "`."))
    if "Args:" in text:
        section = text.split("Args:\n")[1].split("\n\n")[0]
        listed = [line.split(":")[0].strip() for line in section.splitlines() if line[4:5].strip()]
        assert listed == list(inspect.signature(value).parameters)
    # after `import ntteach.rkhs.signature`, `rkhs.signature` would be the module
    assert importlib.util.find_spec(f"ntteach.rkhs.{name}") is None


# --- bad input -----------------------------------------------------------------------------------

anything: Any = rkhs  # what the types forbid
X: Any = torch.zeros(2, 3, 2, dtype=F64)
KERNEL: Any = rkhs.gaussian(1.0)
ANTK: Any = VECTOR["antk"].kernel
SEPARABLE: Any = VECTOR["separable"].kernel
BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "width 0": (lambda: anything.gaussian(0.0), ValueError, "width is positive and finite, got 0"),
    "width below 0": (lambda: anything.laplace(-1.0), ValueError, "width is positive"),
    "width NaN": (lambda: anything.global_alignment(math.nan), ValueError, "got nan"),
    "width inf": (lambda: anything.gaussian(math.inf), ValueError, "finite, got inf"),
    "width no number": (lambda: anything.gaussian("1"), TypeError, "width is a number, got '1'"),
    "unknown on": (lambda: anything.linear(on="sum"), ValueError, '"flat" or "mean", got \'sum\''),
    "degree 0": (lambda: anything.polynomial(0), ValueError, "degree is at least 1, got 0"),
    "degree 1.5": (
        lambda: anything.polynomial(1.5),
        TypeError,
        "degree is a whole number, got 1.5",
    ),
    "degree True": (lambda: anything.polynomial(True), TypeError, "degree is a whole number"),
    "constant below 0": (lambda: anything.polynomial(2, -1.0), ValueError, "not below 0, got -1.0"),
    "constant no number": (lambda: anything.polynomial(2, "1"), TypeError, "constant is a number"),
    "unknown local": (
        lambda: anything.global_alignment(1.0, local="laplace"),
        ValueError,
        '"safe" or "gaussian", got \'laplace\'',
    ),
    "normalise 1": (
        lambda: anything.global_alignment(1.0, normalise=1),
        TypeError,
        "True or False",
    ),
    "signature normalise": (lambda: anything.signature(1, normalise=0), TypeError, "True or False"),
    "depth 0": (lambda: anything.signature(0), ValueError, "depth is at least 1, got 0"),
    "depth 2.0": (lambda: anything.signature(2.0), TypeError, "depth is a whole number, got 2.0"),
    "static no kernel": (
        lambda: anything.signature(2, static=torch.dot),
        TypeError,
        "static is a kernel of tokens, got builtin",
    ),
    "static of blocks": (
        lambda: anything.signature(2, static=SEPARABLE),
        ValueError,
        "static is a scalar kernel",
    ),
    "factor 0": (lambda: 0 * KERNEL, ValueError, "a factor of a kernel is positive"),
    "factor below 0": (lambda: KERNEL * -1.0, ValueError, "a factor of a kernel is positive"),
    "product of blocks": (lambda: SEPARABLE * ANTK, ValueError, "at most one factor"),
    "numbers and blocks": (
        lambda: KERNEL + ANTK,
        ValueError,
        "same outputs, got a scalar kernel and a vector-valued one with the sequences deciding",
    ),
    "3 outputs and 2": (
        lambda: SEPARABLE + anything.separable(KERNEL, B[:2, :2]),
        ValueError,
        "with 3 outputs and a vector-valued one with 2 outputs",
    ),
    "3 outputs and L v": (lambda: (SEPARABLE + ANTK)(X), ValueError, "got 3 and 6"),
    "a kernel and a number": (lambda: KERNEL + 1, TypeError, "unsupported operand"),
    "a kernel times a word": (lambda: KERNEL * "2", TypeError, "."),
    "normalised blocks": (lambda: anything.normalised(ANTK), ValueError, "a scalar kernel can be"),
    "separable of blocks": (
        lambda: anything.separable(ANTK, B),
        ValueError,
        "made of a scalar one",
    ),
    "B of four axes": (lambda: anything.separable(KERNEL, ANTK(X)), ValueError, "B is a matrix"),
    "no mapping": (lambda: anything.frozen_antk([B]), TypeError, "params is a mapping"),
    "no matrix": (
        lambda: anything.frozen_antk({"W_V": B[0]}),
        ValueError,
        r"parameters are matrices, got W_V \(3,\)",
    ),
    "no W_V": (
        lambda: anything.frozen_antk({"W_Q": B}),
        ValueError,
        "parameters are W_Q, W_K, W_V",
    ),
    "a mask for each": (
        lambda: anything.frozen_antk(PARAMS, mask=torch.ones(2, 1, 3, 3, dtype=torch.bool)),
        ValueError,
        r"that of every sequence .* got \(2, 1, 3, 3\)",
    ),
    "heads": (lambda: anything.frozen_antk(PARAMS, heads=3)(X), ValueError, "heads divides"),
    "no tensor": (lambda: KERNEL([[1.0]]), TypeError, "S is a tensor, got list"),
    "whole numbers": (lambda: KERNEL(X.long()), TypeError, "S is floating point, got torch.int64"),
    "one sequence": (lambda: KERNEL(X[0]), ValueError, r"S is \(N, L, d\) .* got \(3, 2\)"),
    "no tokens": (lambda: KERNEL(X[:, :0]), ValueError, r"at least 1, got \(2, 0, 2\)"),
    "other no tensor": (lambda: KERNEL(X, 1), TypeError, "S_other is a tensor, got int"),
    "two widths": (lambda: KERNEL(X, X[..., :1]), ValueError, r"one width, .*\(2, 3, 1\)"),
    "two dtypes": (lambda: KERNEL(X, X.float()), TypeError, "one dtype, got S torch.float64"),
    "two devices": (lambda: KERNEL(X, X.to("meta")), ValueError, "one device, got S cpu"),
    "two lengths": (
        lambda: KERNEL(X, X[:, :2]),
        ValueError,
        "sequences of one length, got 3 and 2",
    ),
    "two lengths, antk": (lambda: ANTK(X, X[:, :2]), ValueError, "one length, got 3 and 2"),
    "dtype of B": (lambda: SEPARABLE(X.float()), TypeError, "one dtype, got S torch.float32"),
    "diagonal": (lambda: KERNEL.diagonal(X[0]), ValueError, "S is"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name: str):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()
