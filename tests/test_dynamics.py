"""Kernels along training runs: laws of what is measured, and what real runs show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from conftest import relative_error
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ntteach import AttentionLearner, antk
from ntteach.dynamics import (
    KernelTrace,
    kernel_alignment,
    kernel_cosines,
    kernel_matrix,
    target_kernel,
)
from ntteach.empirical import empirical_ntk

SEEDS = st.integers(0, 2**31)


def gaussian(*shape: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def gram(n: int, rank: int, seed: int) -> Tensor:
    J = gaussian(n, rank, seed=seed)
    return J @ J.mT


def trace_of(*kernels: Tensor, steps: Sequence[int] | None = None) -> KernelTrace:
    left = iter(kernels)
    trace = KernelTrace(lambda: next(left))
    for step in range(len(kernels)) if steps is None else steps:
        trace.record(step)
    return trace


def slope(x: Sequence[float], y: Tensor) -> float:
    """Least squares in log-log."""
    log_x, log_y = torch.tensor(x, dtype=torch.float64).log(), y.log()
    log_x = log_x - log_x.mean()
    return ((log_x @ log_y) / (log_x @ log_x)).item()


# --- runs ----------------------------------------------------------------------------------------

S, Y = gaussian(4, 3, 3, seed=1), gaussian(4, 3, 2, seed=2)


def learner(seed: int) -> AttentionLearner:
    g = torch.Generator().manual_seed(seed)
    return AttentionLearner(3, v=2, generator=g, dtype=torch.float64)


def learners_kernel(module: AttentionLearner) -> Callable[[], Tensor]:
    return lambda: antk({name: p.detach() for name, p in module.named_parameters()}, S)


def gradient_descent(rate: float, steps: int, every: int = 1, seed: int = 0) -> KernelTrace:
    """The attention learner on four sequences, its squared loss, and its kernel by closed form."""
    module = learner(seed)
    trace = KernelTrace(learners_kernel(module))
    trace.record(0)
    optimizer = torch.optim.SGD(module.parameters(), rate)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        (module(S) - Y).square().mean().backward()
        optimizer.step()
        if step % every == 0:
            trace.record(step)
    return trace


def small_module(seed: int, width: int = 6) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2)).double()


def adam(rate: float, steps: int, seed: int = 0, width: int = 6) -> KernelTrace:
    """A small module on twelve points, and its kernel by torch.func."""
    module, x, y = small_module(seed, width), S.flatten(0, 1), Y.flatten(0, 1)
    trace = KernelTrace(lambda: empirical_ntk(module, x, trace_outputs=True))
    trace.record(0)
    optimizer = torch.optim.Adam(module.parameters(), rate)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        (module(x) - y).square().mean().backward()
        optimizer.step()
        trace.record(step)
    return trace


RUNS = {"the learner by gradient descent": gradient_descent, "a module by Adam": adam}


@pytest.mark.parametrize("run", RUNS)
def test_drift_starts_at_zero_and_ends_at_zero_seen_from_the_end(run):
    trace = RUNS[run](0.05, 8)
    drift = trace.drift()
    assert drift.shape == (9,)
    assert drift[0] == 0
    assert (drift[1:] > 0).all()
    assert trace.drift(since=8)[-1] == 0
    # the two have one numerator
    K, end = kernel_matrix(trace.at(0)), kernel_matrix(trace.at(8))
    ratio = trace.drift(since=8)[0] / drift[-1]
    assert ratio.item() == pytest.approx((K.norm() / end.norm()).item(), rel=1e-12)


@pytest.mark.parametrize("run", RUNS)
def test_the_drift_of_one_step_is_of_first_order_in_the_learning_rate(run):
    rates = [1e-4 * 2**i for i in range(6)]
    drift = torch.stack([RUNS[run](rate, 1).drift()[-1] for rate in rates])
    # a second-order term of relative size up to some 10 rates bends the line by less than this
    assert slope(rates, drift) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("run", RUNS)
def test_after_a_fixed_number_of_steps_drift_vanishes_with_the_learning_rate(run):
    rates = [1e-4 / 2**i for i in range(5)]
    drift = torch.stack([RUNS[run](rate, 10).drift()[-1] for rate in rates])
    assert slope(rates, drift) == pytest.approx(1, abs=0.03)


def test_after_a_fixed_time_drift_does_not_vanish_with_the_learning_rate():
    drift = [gradient_descent(0.4 / n, n, every=n).drift()[-1].item() for n in (25, 50, 100, 200)]
    # Euler's method: its error halves with the step, and so does each difference
    differences = [abs(b - a) for a, b in pairwise(drift)]
    assert drift[-1] > 0.05
    assert differences[-1] < 0.02 * drift[-1]
    for a, b in pairwise(differences):
        assert b / a == pytest.approx(0.5, abs=0.1)


def test_the_kernel_of_a_linear_model_does_not_move():
    module, x = nn.Linear(3, 2).double(), S[0]
    trace = KernelTrace(lambda: empirical_ntk(module, x))
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for step in range(3):
        trace.record(step)
        optimizer.zero_grad()
        module(x).square().sum().backward()
        optimizer.step()
    assert trace.drift().tolist() == [0, 0, 0]
    assert trace.speed().tolist() == [0, 0]


@pytest.mark.parametrize("run", RUNS)
def test_alignment_with_the_targets_lies_between_zero_and_one(run):
    trace = RUNS[run](0.05, 20)
    if run.startswith("the learner"):
        target = target_kernel(Y)
    else:
        target = target_kernel(Y.flatten(0, 1), trace_outputs=True)
    for centred in (False, True):
        found = trace.alignment(target, centred=centred)
        # both kernels are positive semidefinite, and stay so once centred
        assert ((found >= 0) & (found <= 1)).all()
        assert found.unique().numel() > 1
        expected = [kernel_alignment(trace.at(t), target, centred=centred) for t in trace.steps]
        assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_descent_turns_the_kernel_towards_its_targets():
    # the parameters move along J^T r, which adds to J what the residual r is made of
    trace = gradient_descent(0.3, 200, every=20)
    alignment = trace.alignment(target_kernel(Y))
    assert alignment[-1] > alignment[0] + 0.1


def test_kernels_of_wider_networks_agree_more_between_seeds():
    cosines = []
    for width in (16, 128, 1024):
        runs = [adam(0.01, 1, seed=seed, width=width) for seed in range(4)]
        found = kernel_cosines(runs, centred=True)
        assert found.shape == (2, 4, 4)
        cosines.append(found[0][~torch.eye(4, dtype=torch.bool)].mean().item())
    assert cosines[0] < cosines[1] < cosines[2]
    # the distance between kernels of two seeds falls as one over the root of the width, and one
    # minus their cosine as its square
    assert 1 - cosines[2] < 0.1 * (1 - cosines[0])


# --- laws ----------------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.booleans(), st.floats(1e-100, 1e100))
def test_alignment_is_a_cosine(seed, n, m, centred, scale):
    n, m = n + 2 * centred, m + 2 * centred  # a single row has nothing left once centred
    K, other = gaussian(n, m, seed=seed), gaussian(n, m, seed=seed + 1)
    found = kernel_alignment(K, other, centred=centred)
    assert -1 <= found <= 1
    assert kernel_alignment(other, K, centred=centred) == pytest.approx(found, abs=1e-14)
    assert kernel_alignment(scale * K, other, centred=centred) == pytest.approx(found, abs=1e-12)
    assert kernel_alignment(-K, other, centred=centred) == pytest.approx(-found, abs=1e-12)
    assert kernel_alignment(K, K, centred=centred) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("size", [1e307, 1e160, 1.0, 1e-170, 5e-324])
def test_neither_large_nor_small_entries_change_what_is_measured(size):
    one, all_ones = (size * x for x in (torch.eye(2).double(), torch.ones(2, 2).double()))
    assert kernel_alignment(one, all_ones) == pytest.approx(0.5**0.5, abs=1e-15)
    assert kernel_alignment(one, one, centred=True) == pytest.approx(1, abs=1e-15)
    trace = trace_of(one, all_ones)
    assert trace.drift().tolist() == pytest.approx([0, 1], abs=1e-15)
    assert trace.speed().tolist() == pytest.approx([1], abs=1e-15)
    assert trace.effective_rank().tolist() == pytest.approx([2, 1], abs=1e-12)
    assert trace.top_eigenvalue().tolist() == pytest.approx([size, 2 * size], abs=0)
    with pytest.raises(ValueError, match="not symmetric"):
        trace_of(all_ones.triu()).top_eigenvalue()


@given(SEEDS, st.integers(2, 6), st.integers(1, 8))
def test_centring_is_that_of_features(seed, n, rank):
    J, J_other = gaussian(n, rank, seed=seed), gaussian(n, rank, seed=seed + 1)
    found = kernel_alignment(J @ J.mT, J_other @ J_other.mT, centred=True)
    J, J_other = J - J.mean(0), J_other - J_other.mean(0)
    assert found == pytest.approx(kernel_alignment(J @ J.mT, J_other @ J_other.mT), abs=1e-9)


@given(SEEDS, st.integers(1, 5))
def test_positive_semidefinite_kernels_never_oppose_each_other(seed, n):
    assert kernel_alignment(gram(n, 2, seed), gram(n, 3, seed + 1)) >= 0


@given(SEEDS, st.floats(1e-3, 1e3))
def test_drift_and_speed_are_blind_to_scale(seed, scale):
    kernels = [gram(3, 2, seed + i) for i in range(3)]
    trace = trace_of(*kernels, steps=[0, 2, 7])
    scaled = trace_of(*(scale * K for K in kernels), steps=[0, 2, 7])
    assert relative_error(scaled.drift(), trace.drift()) < 1e-12
    assert relative_error(scaled.speed(), trace.speed()) < 1e-12


def test_drift_and_speed_by_hand():
    trace = trace_of(torch.eye(2), 2 * torch.eye(2), torch.zeros(2, 2), steps=[3, 5, 9])
    assert trace.steps == (3, 5, 9)
    assert trace.drift().tolist() == pytest.approx([0, 1, 1])
    assert trace.drift(since=5).tolist() == pytest.approx([0.5, 0, 1])
    # per step: twice as large in two steps, gone in four
    assert trace.speed().tolist() == pytest.approx([0.5, 0.25])


def test_a_kernel_is_flattened_to_the_matrix_of_its_outputs():
    module = learner(3)
    K = learners_kernel(module)()
    assert K.shape == (4, 3, 2, 4, 3, 2)
    matrix = kernel_matrix(K)
    assert matrix.shape == (24, 24)
    assert matrix[1 * 6 + 2 * 2 + 1, 3 * 6 + 0 * 2 + 0] == K[1, 2, 1, 3, 0, 0]
    whole, flat = (trace_of(x, 2 * x) for x in (K, matrix))
    target = target_kernel(Y)
    assert target.shape == K.shape
    assert target[1, 2, 1, 3, 0, 0] == Y[1, 2, 1] * Y[3, 0, 0]
    assert torch.equal(whole.drift(), flat.drift())
    assert torch.equal(whole.alignment(target), flat.alignment(kernel_matrix(target)))
    assert torch.equal(whole.top_eigenvalue(), flat.top_eigenvalue())


def test_the_kernel_of_targets_is_traced_as_a_tangent_kernel():
    expected = target_kernel(Y).diagonal(dim1=2, dim2=5).sum(-1)
    assert relative_error(target_kernel(Y, trace_outputs=True), expected) < 1e-15


def test_spectra_by_hand():
    one = torch.ones(3, 3, dtype=torch.float64)
    trace = trace_of(torch.eye(3, dtype=torch.float64), one, 5 * one)
    assert trace.top_eigenvalue().tolist() == pytest.approx([1, 3, 15])
    assert trace.effective_rank().tolist() == pytest.approx([3, 1, 1])
    half = torch.diag(torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64))
    expected = math.exp(0.5 * math.log(2) + 0.5 * math.log(4))
    assert trace_of(half).effective_rank().tolist() == pytest.approx([expected])


def test_runs_agree_with_themselves():
    runs = [gradient_descent(0.1, 2, seed=seed) for seed in (0, 1, 0)]
    found = kernel_cosines(runs)
    assert found.shape == (3, 3, 3)
    assert relative_error(found, found.mT) == 0
    assert found.diagonal(dim1=1, dim2=2) == pytest.approx(1, abs=1e-14)
    assert found[:, 0, 2] == pytest.approx(1, abs=1e-14)
    assert (found[:, 0, 1] < 0.99).all()


def test_a_recorded_kernel_is_a_copy():
    K = torch.eye(2)

    def kernel() -> Tensor:
        return K.mul_(2)  # the same memory each time, as with out=

    trace = KernelTrace(kernel)
    trace.record(0)
    trace.record(1)
    assert trace.drift().tolist() == [0, 1]


def test_low_precision_kernels_are_measured_in_float64():
    K = gram(3, 3, 0)
    exact, rounded = trace_of(K, 2 * K), trace_of(K.bfloat16(), 2 * K.bfloat16())
    assert rounded.drift().dtype == torch.float64
    assert rounded.drift()[1] == exact.drift()[1] == 1


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: KernelTrace(torch.eye(2)), "called without arguments, got Tensor"),  # pyright: ignore
        (lambda: trace_of(torch.eye(2), torch.eye(3)), r"step 1 has shape \(3, 3\), before"),
        (lambda: trace_of(torch.ones(2, 2, 2)), "as many axes for its columns"),
        (lambda: trace_of(torch.tensor(1.0)), "as many axes for its columns"),
        (lambda: trace_of(torch.full((2, 2), torch.nan)), "step 0 is not finite"),
        (lambda: trace_of([1.0]), "step 0 is a tensor, got list"),  # pyright: ignore
        (lambda: trace_of(torch.eye(2), torch.eye(2), steps=[3, 3]), "in order, got 3 after 3"),
        (lambda: trace_of(torch.eye(2), steps=[0.5]), "step is an int"),  # pyright: ignore
        (lambda: trace_of().drift(), "no kernel was recorded"),
        (lambda: trace_of().speed(), "no kernel was recorded"),
        (lambda: trace_of().alignment(torch.eye(2)), "no kernel was recorded"),
        (lambda: trace_of(torch.eye(2)).drift(since=4), "at step 4; recorded are 0"),
        (lambda: trace_of(torch.zeros(2, 2)).drift(), "measured from is zero"),
        (lambda: trace_of(torch.zeros(2, 2), torch.eye(2)).speed(), "step 0 is zero"),
        (lambda: trace_of(torch.eye(2)).alignment(torch.zeros(2, 2)), "is zero"),
        (lambda: trace_of(torch.eye(2)).alignment(torch.eye(3)), "kernels have one shape"),
        (lambda: kernel_alignment(torch.eye(2), torch.ones(2, 2), centred=True), "zero once"),
        (lambda: kernel_alignment(torch.eye(2), torch.full((2, 2), torch.inf)), "not finite"),
        (lambda: trace_of(torch.ones(2, 3)).top_eigenvalue(), "of inputs with themselves"),
        (lambda: trace_of(torch.ones(2, 2).triu()).effective_rank(), "not symmetric"),
        (lambda: trace_of(torch.zeros(2, 2)).effective_rank(), "is zero"),
        (lambda: target_kernel(torch.tensor(1.0)), "an axis of samples"),
        (lambda: target_kernel(torch.ones(2), trace_outputs=True), "and one of outputs"),
        (lambda: target_kernel([1.0]), "targets are a tensor, got list"),  # pyright: ignore
        (lambda: target_kernel(Y, trace_outputs="no"), "is True or False, got 'no'"),  # pyright: ignore
        (lambda: kernel_matrix([[1]]), "a kernel is a tensor, got list"),  # pyright: ignore
        (lambda: kernel_alignment(S, S, centred="no"), "centred is True or"),  # pyright: ignore
        (lambda: kernel_cosines([]), "no run"),
        (lambda: kernel_cosines([trace_of()]), "no kernel was recorded"),
        (
            lambda: kernel_cosines([trace_of(torch.eye(2)), trace_of(torch.eye(2), steps=[1])]),
            r"same steps, got \(0,\) and, in run 1, \(1,\)",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        wrong()


def test_a_kernel_that_is_refused_is_not_recorded():
    trace = trace_of(torch.eye(2))
    with pytest.raises(ValueError, match="in order"):
        trace.record(0)
    assert trace.steps == (0,)
