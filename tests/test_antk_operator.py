"""The kernel as a linear operator: products, diagonal, eigenvalues and estimates of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from antk_cases import Kernel, every_kernel, some_kernels
from conftest import relative_error
from scipy.sparse.linalg import eigsh, svds
from torch import Tensor

from ntteach import antk, antk_operator, attention, parameter_gradient
from ntteach.learner import forward, problem
from ntteach.paper.domains import FORMS, AttentionCase, Shape, random_cases
from ntteach.tangent import Estimate, TangentOperator, operator, products, spectrum

# Norm by norm; rounding leaves 1e-15 on most problems and 1e-12 where logits are 1e4.
AGREEMENT = 1e-10
BLOCKS = pytest.mark.parametrize("block_size", [None, 1, 2, 3, 100])


def operator_of(kernel: Kernel, **options: Any) -> TangentOperator:
    return antk_operator(*kernel.batches, **kernel.call, **options)


def matrix_of(kernel: Kernel) -> Tensor:
    """The oracle's kernel as a matrix."""
    K = kernel.exact()
    return K.reshape(K.shape[0] * K.shape[1] * K.shape[2], -1)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def wide(form: str, *, N: int = 4, **sizes: int) -> Kernel:
    """A batch with itself."""
    shape = Shape(N=N, **{"L": 3, "M": 4, "d": 3, "d_c": 2, "d_k": 4, "v": 4, "o": 3} | sizes)
    return Kernel(random_cases(form, count=1, seed=1, largest=replace(shape, heads=2))[0])


# products


@pytest.mark.parametrize("form", FORMS)
def test_products_are_those_of_the_matrix(form):
    for n, kernel in enumerate(every_kernel(form)):
        K, found = matrix_of(kernel), operator_of(kernel)
        assert found.shape == K.shape
        x = normal(K.shape[1], 3, seed=n)
        y = found @ x
        assert y.dtype == torch.float64
        assert relative_error(y, K @ x) <= AGREEMENT, str(kernel)
        assert relative_error(found @ x[:, 0], K @ x[:, 0]) <= AGREEMENT, str(kernel)
        back = normal(K.shape[0], 2, seed=n)
        assert found.T.shape == K.mT.shape
        assert relative_error(found.T @ back, K.mT @ back) <= AGREEMENT, str(kernel)
        assert relative_error(found.T.T @ x, y) == 0


@BLOCKS
@pytest.mark.parametrize("form", FORMS)
def test_blocks_of_any_size_give_the_same_products_and_diagonal(form, block_size, monkeypatch):
    monkeypatch.setattr(operator, "_BLOCK_NUMBERS", 1)
    rows, columns = wide(form, N=5).rows, wide(form, N=7).rows
    columns = replace(columns, params=rows.params)
    for kernel in (Kernel(rows), Kernel(rows, columns)):
        K, found = matrix_of(kernel), operator_of(kernel, block_size=block_size)
        x = normal(K.shape[1], 2)
        assert relative_error(found @ x, K @ x) <= AGREEMENT
        if kernel.columns is None:
            assert relative_error(found.diagonal(), K.diagonal()) <= AGREEMENT
        back = normal(K.shape[0])
        assert relative_error(found.T @ back, K.mT @ back) <= AGREEMENT


@pytest.mark.parametrize("block_size", [1, 2, 3, 100])
def test_no_more_than_a_block_is_worked_on(block_size, monkeypatch):
    seen: list[int] = []

    def spy(p: Any) -> Any:
        seen.append(p.S.shape[0])
        return forward(p)

    monkeypatch.setattr(operator, "forward", spy)
    kernel = wide("self", N=7)
    found = operator_of(kernel, block_size=block_size)
    _ = found @ normal(found.shape[1])
    # there and back again over all sequences
    assert sum(seen) == 2 * 7
    assert max(seen) == min(block_size, 7)


def test_blocks_shrink_with_the_columns_of_what_is_multiplied(monkeypatch):
    sizes: dict[int, int] = {}
    for m in (1, 64):
        seen: list[int] = []

        def spy(p: Any, seen: list[int] = seen) -> Any:
            seen.append(p.S.shape[0])
            return forward(p)

        monkeypatch.setattr(operator, "forward", spy)
        monkeypatch.setattr(operator, "_BLOCK_NUMBERS", 2**14)
        found = operator_of(wide("self", N=400))
        _ = found @ normal(found.shape[1], m)
        sizes[m] = max(seen)
    # so that the memory beyond x and K x does not grow with it
    assert 1 <= sizes[64] <= sizes[1] / 16
    assert sizes[1] < 400


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_sequences_and_no_columns(shape):
    kernel = wide("projected")
    empty = antk_operator(kernel.rows.params, kernel.rows.S[:0], heads=2)
    assert empty.shape == (0, 0)
    assert (empty @ torch.zeros(shape).double()).shape == shape
    assert empty.diagonal().shape == (0,)
    assert empty.trace() == 0
    full = operator_of(kernel)
    nothing = full @ torch.zeros(full.shape[1], 0).double()
    assert nothing.shape == (full.shape[0], 0)
    half = antk_operator(kernel.rows.params, kernel.rows.S, kernel.rows.S[:0], heads=2)
    assert half.shape == (full.shape[0], 0)
    assert torch.equal(half @ torch.zeros(0).double(), torch.zeros(full.shape[0]).double())
    assert (half.T @ normal(full.shape[0])).shape == (0,)


@pytest.mark.parametrize("heads", [1, 2])
def test_one_sequence_is_a_batch_of_one(heads):
    case = wide("cross").rows
    params, S, C = case.params, case.S, case.context
    assert C is not None
    every: dict[str, Any] = {"context": C[:1], "context_other": C[1:], "heads": heads}
    expected = antk_operator(params, S[:1], S[1:], **every)
    one: dict[str, Any] = every | {"context": C[0]}
    found = antk_operator(params, S[0], S[1:], **one)
    assert found.shape == expected.shape
    x = normal(found.shape[1])
    assert torch.equal(found @ x, expected @ x)
    mask = torch.rand(heads, 3, 4, generator=torch.Generator().manual_seed(1)) > 0.3
    single = antk_operator(params, S[0], context=C[0], mask=mask, heads=heads)
    K = antk(params, S[0], context=C[0], mask=mask, heads=heads)
    y = normal(single.shape[1])
    assert relative_error(single @ y, K.reshape(single.shape) @ y) <= AGREEMENT


@pytest.mark.parametrize("form", FORMS)
def test_operator_is_linear_and_its_transpose_is_its_adjoint(form):
    for kernel in some_kernels(form):
        K = operator_of(kernel)
        x, other, y = (normal(n, seed=s) for s, n in enumerate((K.shape[1], *K.shape[::-1])))
        z = normal(K.shape[0], seed=4)
        combined = K @ (2 * x - 3 * x.flip(0))
        assert relative_error(combined, 2 * (K @ x) - 3 * (K @ x.flip(0))) <= AGREEMENT
        # a difference of inner products, by the sizes of both
        size = (K @ x).norm() * z.norm()
        assert abs((z @ (K @ x) - (K.T @ z) @ x).item()) <= 1e-12 * (1 + size.item())
        assert other.shape[0] == y.shape[0] or kernel.columns is not None
        assert torch.equal(K @ torch.zeros_like(x), torch.zeros(K.shape[0]).double())


@pytest.mark.parametrize("form", FORMS)
def test_operator_of_a_batch_with_itself_is_positive_semi_definite(form):
    for kernel in some_kernels(form)[::2]:
        K = operator_of(kernel)
        for seed in range(4):
            x = normal(K.shape[1], seed=seed)
            y = K @ x
            assert (x @ y).item() >= -1e-12 * (x.norm() * y.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_in_the_dtype_of_the_sequences(dtype):
    for form in ("multi-head", "projected"):
        kernel = wide(form).to(dtype)
        K, found = matrix_of(kernel), operator_of(kernel)
        x = normal(K.shape[1], dtype=torch.float64).to(dtype)
        y = found @ x
        assert y.dtype == found.dtype == dtype
        assert relative_error(y, K @ x.double()) <= 16 * torch.finfo(dtype).eps
        assert relative_error(found.diagonal(), K.diagonal()) <= 16 * torch.finfo(dtype).eps


def test_operator_on_the_device(device):
    for form in ("causal", "projected"):
        for kernel in some_kernels(form, device)[:2]:
            K, found = matrix_of(kernel), operator_of(kernel)
            assert found.device.type == device
            x = normal(K.shape[1]).to(device)
            assert relative_error(found @ x, K @ x) <= AGREEMENT
            if kernel.columns is None:
                assert relative_error(found.diagonal(), K.diagonal()) <= AGREEMENT
                assert abs(found.estimate_trace(4, seed=1).value) > 0
                top = eigsh(found.as_linear_operator(), 1, return_eigenvectors=False)[0]
                assert top == pytest.approx(torch.linalg.eigvalsh(K)[-1].item(), rel=1e-8)


# through the parameters


@pytest.mark.parametrize("form", FORMS)
def test_pull_back_is_the_gradient_of_the_loss(form):
    for kernel in some_kernels(form)[::2]:
        case = kernel.rows
        f = attention(case.params, case.S, **case.arguments)
        R = normal(3, *f.shape)
        p = problem(case.params, case.S, case.context, case.mask, case.heads)
        found = products.pull_back(p, forward(p), R)
        assert found.keys() == case.params.keys()
        for i in range(3):
            expected = parameter_gradient(case.params, case.S, R[i], **case.arguments)
            for name, gradient in expected.items():
                assert relative_error(found[name][i], gradient) <= AGREEMENT


@pytest.mark.parametrize("form", FORMS)
def test_push_forward_is_the_derivative_along_a_direction(form):
    for kernel in some_kernels(form)[::2]:
        case = kernel.rows
        p = problem(case.params, case.S, case.context, case.mask, case.heads)
        w = forward(p)
        direction = {name: normal(2, *W.shape, seed=1) for name, W in case.params.items()}
        found = products.push_forward(p, w, direction)

        def output(params: dict[str, Tensor], case: AttentionCase = case) -> Tensor:
            return attention(params, case.S, **case.arguments)

        for i in range(2):
            tangent = {name: D[i] for name, D in direction.items()}
            expected = torch.func.jvp(output, (case.params,), (tangent,))[1]
            assert relative_error(found[i], expected) <= AGREEMENT
        # along one parameter at a time, so that no block hides behind another
        for name in direction:
            one = {k: D if k == name else torch.zeros_like(D) for k, D in direction.items()}
            tangent = {k: D[0] for k, D in one.items()}
            expected = torch.func.jvp(output, (case.params,), (tangent,))[1]
            error = (products.push_forward(p, w, one)[0] - expected).abs().max().item()
            assert error <= 1e-9 * (1 + expected.abs().max().item())


# diagonal and trace


@pytest.mark.parametrize("form", FORMS)
def test_diagonal_and_trace_are_those_of_the_matrix(form):
    for kernel in every_kernel(form)[::2]:
        K, found = matrix_of(kernel), operator_of(kernel)
        diagonal = found.diagonal()
        assert diagonal.shape == (K.shape[0],)
        assert relative_error(diagonal, K.diagonal()) <= AGREEMENT, str(kernel)
        assert found.trace() == pytest.approx(K.diagonal().sum().item(), rel=AGREEMENT)


@pytest.mark.parametrize("o", [1, 2, 5, 9])
@pytest.mark.parametrize("form", ["projected", "multi-head"])
def test_diagonal_of_one_batch_with_another_of_its_shape(form, o):
    kernel = wide(form, o=o)
    g = torch.Generator().manual_seed(9)
    case = kernel.rows
    columns = replace(
        case,
        S=torch.randn(case.S.shape, generator=g, dtype=torch.float64),
        context=None if case.context is None else case.context.flip(0),
        mask=None if case.mask is None else case.mask.flip(0),
    )
    both = Kernel(case, columns)
    K, found = matrix_of(both), operator_of(both, block_size=3)
    assert relative_error(found.diagonal(), K.diagonal()) <= AGREEMENT
    assert found.trace() == pytest.approx(K.diagonal().sum().item(), rel=1e-9)
    assert relative_error(found.T.diagonal(), K.diagonal()) <= AGREEMENT


def test_diagonal_takes_a_square_kernel():
    case = wide("self").rows
    K = antk_operator(case.params, case.S, case.S[:2])
    with pytest.raises(ValueError, match=r"diagonal belongs to a square kernel, got shape \(48, 2"):
        K.diagonal()
    with pytest.raises(ValueError, match=r"square kernel, got shape \(48, 32\)"):
        antk_operator(case.params, case.S, case.S[:, :2]).diagonal()
    # of the same size, but its tokens do not correspond
    S = case.S.reshape(2, 6, 3)
    assert antk_operator(case.params, case.S, S).shape == (48, 48)
    for call in ("diagonal", "trace"):
        with pytest.raises(ValueError, match="diagonal"):
            getattr(antk_operator(case.params, case.S, S), call)()


def test_trace_is_summed_in_float64():
    # 2^24 + 1 is no number of float32
    W = torch.zeros(1, 1)
    S = torch.tensor([[[4096.0]], [[1.0]], [[1.0]], [[1.0]]])
    K = antk_operator({"W_Q": W, "W_K": W, "W_V": W}, S)
    assert K.trace() == 2.0**24 + 3


# SciPy


@pytest.mark.parametrize("form", FORMS)
def test_top_eigenvalues_and_vectors_by_scipy(form):
    kernel = wide(form, d_k=6)
    K = matrix_of(kernel).numpy()
    operator_ = operator_of(kernel).as_linear_operator()
    assert operator_.shape == K.shape
    assert operator_.dtype == np.float64
    values, vectors = eigsh(operator_, 3)
    assert np.allclose(values, np.linalg.eigvalsh(K)[-3:], rtol=1e-8, atol=1e-10)
    assert np.allclose(K @ vectors, vectors * values, atol=1e-7 * values.max())


@pytest.mark.parametrize("form", ["self", "cross", "projected"])
def test_top_singular_values_by_scipy(form):
    rows, columns = wide(form, N=3).rows, wide(form, N=4).rows
    columns = replace(columns, params=rows.params, S=columns.S.flip(0))
    kernel = Kernel(rows, columns)
    K = matrix_of(kernel).numpy()
    found: Any = svds(operator_of(kernel).as_linear_operator(), 2, return_singular_vectors=False)
    assert np.allclose(np.sort(found), np.linalg.svd(K)[1][1::-1], rtol=1e-8)


def test_linear_operator_multiplies_vectors_columns_and_matrices():
    rows, columns = wide("self", N=3).rows, wide("self", N=4).rows
    kernel = Kernel(rows, replace(columns, params=rows.params))
    K = matrix_of(kernel).numpy()
    L: Any = operator_of(kernel).as_linear_operator()
    x = np.random.default_rng(0).normal(size=(K.shape[1], 3))
    y = np.random.default_rng(1).normal(size=(K.shape[0], 3))
    for found, expected in (
        (L @ x[:, 0], K @ x[:, 0]),
        (L.matvec(x[:, :1]), K @ x[:, :1]),
        (L @ x, K @ x),
        (L @ x[:, ::-1], K @ x[:, ::-1]),
        (L.T @ y[:, 0], K.T @ y[:, 0]),
        (L.H @ y, K.T @ y),
        (L @ np.ones(K.shape[1], dtype=int), K.sum(1)),
    ):
        assert found.shape == expected.shape
        assert np.allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_linear_operator_has_the_dtype_of_the_sequences():
    kernel = wide("self").to(torch.float32)
    L = operator_of(kernel).as_linear_operator()
    assert L.dtype == np.float32
    top = eigsh(L, 1, return_eigenvectors=False)[0]
    assert top == pytest.approx(torch.linalg.eigvalsh(matrix_of(kernel))[-1].item(), rel=1e-5)
    with pytest.raises(TypeError, match=r"SciPy works in float32 or float64.*torch.bfloat16"):
        operator_of(kernel.to(torch.bfloat16)).as_linear_operator()


# estimates


class Matrix:
    """A dense matrix as an operator."""

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device

    def __init__(self, K: Tensor) -> None:
        self.K = K
        self.shape, self.dtype, self.device = (len(K), len(K.mT)), K.dtype, K.device
        self.products = 0

    def __matmul__(self, x: Tensor) -> Tensor:
        self.products += x.shape[1] if x.ndim == 2 else 1
        return self.K @ x


def with_eigenvalues(values: Tensor) -> Matrix:
    Q, _ = torch.linalg.qr(normal(len(values), len(values), seed=3))
    return Matrix(Q * values @ Q.mT)


def coverage(estimates: list[Estimate], truth: float) -> list[float]:
    """Errors in standard errors."""
    return [(e.value - truth) / e.standard_error for e in estimates]


def test_trace_estimate_covers_the_trace():
    kernel = wide("projected", N=6)
    K = operator_of(kernel)
    trace = K.trace()
    estimates = [K.estimate_trace(16, seed=seed) for seed in range(200)]
    errors = torch.tensor(coverage(estimates, trace))
    # Student's t with 15 degrees: 4 standard errors one time in 900, one standard error one in 3
    assert (errors.abs() > 4).sum() <= 3
    assert 0.55 <= (errors.abs() < 1).double().mean() <= 0.8
    assert abs(errors.mean()) < 0.3  # unbiased: 200 of them leave 0.07
    # Hutchinson's variance, 2 (||K||_F^2 - sum of squares of the diagonal), over 16 samples
    D = matrix_of(kernel)
    variance = 2 * (D.square().sum() - D.diagonal().square().sum()) / 16
    spread = torch.tensor([e.value for e in estimates], dtype=torch.float64).std()
    assert spread.item() == pytest.approx(variance.sqrt().item(), rel=0.2)
    reported = torch.tensor([e.standard_error for e in estimates], dtype=torch.float64)
    assert reported.square().mean().sqrt().item() == pytest.approx(variance.sqrt().item(), rel=0.1)


def test_trace_estimate_is_exact_on_diagonal_matrices():
    # z^T D z = tr D for signs z
    found = spectrum.trace(Matrix(torch.diag(torch.arange(1.0, 5.0).double())), 20, seed=0)
    assert found.value == pytest.approx(10.0, rel=1e-14)
    assert found.standard_error <= 1e-14
    assert found.samples == 20


@pytest.mark.parametrize("samples", [2, 7, 8, 9, 33])
def test_estimates_take_as_many_samples_as_they_are_told(samples):
    K = with_eigenvalues(torch.arange(1.0, 11.0).double())
    found = spectrum.trace(K, samples, seed=0)
    assert found.samples == samples == K.products
    values = torch.cat([(z * (K.K @ z)).sum(0) for z in spectrum._signs(K, samples, 0)])
    signs = torch.cat(list(spectrum._signs(K, samples, 0)), 1)
    assert signs.shape == (10, samples)
    assert set(signs.flatten().tolist()) == {-1.0, 1.0}
    assert len(signs.unique(dim=1).T) > 0.9 * samples
    assert found.value == pytest.approx(values.mean().item())
    assert found.standard_error == pytest.approx(values.std().item() / math.sqrt(samples))
    again = spectrum.trace(K, samples, seed=0)
    assert again == found
    assert spectrum.trace(K, samples, seed=1) != found
    assert spectrum.rank(K, samples, steps=10, tolerance=1e-6, seed=0).samples == samples


@pytest.mark.parametrize("rank", [5, 20, 40])
def test_rank_estimate_covers_the_rank(rank):
    values = torch.cat([torch.logspace(0, -3, rank), torch.zeros(40 - rank)]).double()
    K = with_eigenvalues(values)
    estimates = [spectrum.rank(K, 8, steps=40, tolerance=1e-6, seed=seed) for seed in range(40)]
    found = torch.tensor([e.value for e in estimates])
    if rank == 40:
        # all of the weight of every vector lies above the threshold
        assert (found - 40).abs().max() <= 1e-8
        return
    errors = torch.tensor(coverage(estimates, rank))
    # Student's t with 7 degrees: 5 standard errors one time in 600
    assert (errors.abs() > 5).sum() <= 2
    assert (errors.abs() < 1).double().mean() >= 0.5
    assert abs(found.mean().item() - rank) <= 0.1 * rank + 0.3
    assert max(e.standard_error for e in estimates) <= 0.5 * rank + 1


def test_rank_estimate_of_a_kernel_of_known_rank():
    # W_Q = 0 and W_V = 0: K is the Gram matrix of attended contexts, means, once per output
    case = random_cases("self", count=1, seed=1, largest=Shape(N=12, L=3, d=4, d_k=4, v=2))[0]
    params = {name: torch.zeros_like(W) if name != "W_K" else W for name, W in case.params.items()}
    K = antk_operator(params, case.S)
    dense = antk(params, case.S).reshape(K.shape)
    assert torch.linalg.matrix_rank(dense, hermitian=True) == 4 * 2
    estimates = [K.estimate_rank(16, seed=seed) for seed in range(8)]
    errors = torch.tensor(coverage(estimates, 8.0))
    assert (errors.abs() > 4).sum() <= 1
    assert sum(e.value for e in estimates) / 8 == pytest.approx(8, abs=1)


def test_rank_counts_what_lies_above_the_tolerance():
    values = torch.tensor([1.0, 0.5, 1e-2, 1e-2, 1e-5, 1e-5, 0.0, 0.0]).double()
    K = with_eigenvalues(values)
    for tolerance, count in ((0.7, 1), (0.1, 2), (1e-3, 4), (1e-7, 6)):
        found = [spectrum.rank(K, 200, steps=8, tolerance=tolerance, seed=s) for s in range(3)]
        for estimate in found:
            assert abs(estimate.value - count) <= 5 * estimate.standard_error
            assert estimate.standard_error <= 0.3
    # relative to the largest, whatever its size
    scaled = spectrum.rank(Matrix(1e6 * K.K), 16, steps=8, tolerance=1e-3, seed=0)
    same = spectrum.rank(K, 16, steps=8, tolerance=1e-3, seed=0)
    assert scaled.value == pytest.approx(same.value, rel=1e-6)
    nothing = spectrum.rank(Matrix(torch.zeros(6, 6).double()), 4, steps=3, tolerance=1e-3, seed=0)
    assert nothing.value == 0


def test_lanczos_finds_the_spectrum_and_the_weights():
    values = torch.tensor([5.0, 3.0, 3.0, 1.0, 0.0]).double()
    K = with_eigenvalues(values)
    start = normal(5, seed=7)
    ritz, weights = spectrum._lanczos(K, start, 5)
    vectors = torch.linalg.eigh(K.K)
    squares = (vectors.eigenvectors.mT @ (start / start.norm())).square()
    # equal eigenvalues are one: their weights add up
    expected = {5.0: squares[4], 3.0: squares[2] + squares[3], 1.0: squares[1], 0.0: squares[0]}
    assert weights.sum().item() == pytest.approx(1)
    for value, weight in expected.items():
        near = (ritz - value).abs() < 1e-8
        assert weights[near].sum().item() == pytest.approx(weight.item(), abs=1e-10)
    few, _ = spectrum._lanczos(K, start, 2)
    assert len(few) == 2
    first, one = spectrum._lanczos(K, start, 1)
    assert first.tolist() == pytest.approx([(start @ K.K @ start / start.square().sum()).item()])
    assert one.tolist() == pytest.approx([1])


def test_estimates_read_as_a_value_and_its_error():
    found = Estimate(12.3456789, 0.123, 32)
    assert str(found) == "12.3457 +- 0.12 (32 samples)"


# what they refuse


def test_a_product_takes_vectors_that_fit():
    K = operator_of(wide("self"))
    n = K.shape[1]
    assert repr(K) == f"TangentOperator(shape=({n}, {n}), dtype=torch.float64, device=cpu)"
    for shape in ((n - 1,), (1, n), (n, 2, 1), ()):
        with pytest.raises(ValueError, match=rf"takes \({n},\) or \({n}, m\), got") as caught:
            _ = K @ torch.zeros(shape).double()
        assert str(shape) in str(caught.value)
    for dtype in (torch.float32, torch.int64):
        with pytest.raises(TypeError, match=r"dtype of S, torch\.float64, got torch"):
            _ = K @ torch.zeros(n, dtype=dtype)
    with pytest.raises(ValueError, match="device of S, cpu, got meta"):
        _ = K @ torch.zeros(n, dtype=torch.float64, device="meta")
    with pytest.raises(TypeError, match="a product takes a tensor, got ndarray"):
        _ = K @ np.zeros(n)  # pyright: ignore[reportOperatorIssue]


@pytest.mark.parametrize("samples", [1, 0, -3])
def test_an_error_takes_two_samples(samples):
    K = operator_of(wide("self"))
    for estimate in (K.estimate_trace, K.estimate_rank):
        with pytest.raises(ValueError, match=f"takes two samples or more, got {samples}"):
            estimate(samples)


def test_estimates_take_square_operators():
    case = wide("self").rows
    K = antk_operator(case.params, case.S, case.S[:1])
    for estimate in (K.estimate_trace, K.estimate_rank):
        with pytest.raises(ValueError, match="the kernel of a batch with itself, S_other=None"):
            estimate()


@pytest.mark.parametrize("given", [{"steps": 0}, {"tolerance": 0.0}, {"tolerance": 1.0}])
def test_rank_takes_steps_and_a_tolerance(given):
    with pytest.raises(ValueError, match="steps are at least 1 and 0 < tolerance < 1"):
        operator_of(wide("self")).estimate_rank(**given)


def test_estimates_are_refused_for_a_kernel_between_two_batches_or_of_none() -> None:
    g = torch.Generator().manual_seed(0)
    W = torch.randn(3, 3, generator=g)
    params = {"W_Q": W, "W_K": W, "W_V": W}
    S = torch.randn(2, 4, 3, generator=g)
    between = antk_operator(params, S, S.clone())
    for estimate in (between.estimate_rank, between.estimate_trace):
        with pytest.raises(ValueError, match="of a batch with itself"):
            estimate()
    with pytest.raises(ValueError, match="no vectors"):
        antk_operator(params, S[:0]).estimate_rank()
