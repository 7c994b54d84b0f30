"""The learner that is a function, its teachers, and teaching from a pool."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, cast

import hypothesis.strategies as st
import pytest
import torch
from conftest import relative_error
from hypothesis import given
from torch import Tensor

from ntteach import losses, rkhs
from ntteach.losses import Loss
from ntteach.rkhs import FunctionalLearner, Kernel, Pool, Teacher, teach

F64 = torch.float64
N, L, D = 7, 3, 2
COUPLING = torch.tensor([[2.0, 0.7], [0.7, 1.0]], dtype=F64)
LOSSES: dict[str, Loss] = {
    "squared": losses.squared(),
    "logistic": losses.logistic(),
    "huber": losses.huber(0.5),
    "cross-entropy": losses.cross_entropy(),
}


def attention_kernel() -> Kernel:
    g = torch.Generator().manual_seed(3)
    shapes = {"W_Q": (D, D), "W_K": (D, D), "W_V": (D, 1)}
    return rkhs.frozen_antk(
        {name: torch.randn(shape, generator=g, dtype=F64) for name, shape in shapes.items()}
    )


KERNELS: dict[str, Kernel] = {
    "linear": rkhs.linear(on="mean"),
    "gaussian": rkhs.gaussian(1.0),
    "coupled": rkhs.separable(rkhs.gaussian(1.0, on="mean"), COUPLING),
    "attention": attention_kernel(),
}
PAIRS = [
    (kernel, loss)
    for kernel in KERNELS
    for loss in LOSSES
    if KERNELS[kernel].vector_valued or LOSSES[loss].elementwise
]


def pool(kernel: Kernel, loss: Loss, seed: int = 0, size: int = N) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    S = torch.randn(size, L, D, generator=g, dtype=F64)
    shape = (size, kernel.outputs_at(S)) if kernel.vector_valued else (size,)
    y = torch.randn(shape, generator=g, dtype=F64)
    if loss.name == "logistic":
        y = torch.where(y > 0, 1.0, -1.0).to(F64)
    return S, y.argmax(-1) if loss.name == "cross-entropy" else y


def started(kernel: Kernel, loss: Loss, eta: float = 0.3) -> FunctionalLearner:
    """A learner with a function to start from."""
    S, _ = pool(kernel, losses.squared(), seed=11, size=2)
    shape = (2, kernel.outputs_at(S)) if kernel.vector_valued else (2,)
    g = torch.Generator().manual_seed(12)
    start = rkhs.Function(kernel, S, torch.randn(shape, generator=g, dtype=F64))
    return FunctionalLearner(kernel, loss, eta, start)


# --- one step ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "loss"), PAIRS)
def test_a_step_is_dense_linear_algebra(kernel: str, loss: str):
    k, l = KERNELS[kernel], LOSSES[loss]
    S, y = pool(k, l)
    learner = started(k, l)
    chosen = [4, 1, 5]
    before = learner.predict(S)
    g = l.gradient(before, y)
    K = k.gram(S).reshape(N, -1, N, before[0].numel())
    expected = before.clone().reshape(N, -1)
    for n, a in itertools.product(range(N), range(expected.shape[1])):
        for i, b in itertools.product(chosen, range(expected.shape[1])):
            step = 0.3 / len(chosen) * K[n, a, i, b] * g.reshape(N, -1)[i, b]
            expected[n, a] = expected[n, a] - step
    mean = learner.step(S[chosen], y[chosen])
    assert relative_error(learner.predict(S), expected.reshape(before.shape)) < 1e-13
    values = l.value(before, y)[chosen]
    assert mean.item() == pytest.approx(values.sum().item() / 3)


@pytest.mark.parametrize(("kernel", "loss"), PAIRS)
def test_a_step_is_against_the_functional_gradient(kernel: str, loss: str):
    # Definition 2 by differences in function space: (F(f + e h) - F(f - e h)) / 2 e -> <grad, h>
    k, l = KERNELS[kernel], LOSSES[loss]
    S, y = pool(k, l)
    learner = started(k, l)
    f = learner.function

    def F(f: rkhs.Function) -> Tensor:
        values = l.value(f(S), y)
        return values.sum() / N

    learner.step(S, y)
    gradient = (f - learner.function) / 0.3
    for seed in (21, 22):
        T, _ = pool(k, losses.squared(), seed=seed, size=3)
        g = torch.Generator().manual_seed(seed)
        shape = (3, k.outputs_at(T)) if k.vector_valued else (3,)
        h = rkhs.Function(k, T, torch.randn(shape, generator=g, dtype=F64))
        h = h / rkhs.norm(h)
        slope = rkhs.inner(gradient, h).item()
        errors = []
        for e in (0.2, 0.1):
            quotient = (F(f + e * h) - F(f - e * h)).item() / (2 * e)
            errors.append(abs(quotient - slope))
        tiny = (F(f + 1e-5 * h) - F(f - 1e-5 * h)).item() / 2e-5
        assert tiny == pytest.approx(slope, abs=1e-8)
        if loss in ("logistic", "cross-entropy") and errors[1] > 1e-7:
            assert 1.8 < math.log2(errors[0] / errors[1]) < 2.2  # second order, as it should be
        if loss == "squared":
            assert max(errors) < 1e-12


@pytest.mark.parametrize(("kernel", "loss"), PAIRS)
def test_a_step_is_that_of_the_functional_chain_rule(kernel: str, loss: str):
    k, l = KERNELS[kernel], LOSSES[loss]
    S, y = pool(k, l)
    learner = started(k, l)
    f = learner.function
    F = rkhs.Functional(S, lambda values: l.value(values, y).sum() / N)
    expected = f - 0.3 * rkhs.functional_gradient(F, f)
    learner.step(S, y)
    T, _ = pool(k, losses.squared(), seed=5)
    assert relative_error(learner.predict(T), expected(T)) < 1e-12
    # the same function, not only the same values there
    assert rkhs.norm(learner.function - expected) < 1e-7


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_error_along_an_eigenvector_shrinks_by_its_factor(kernel: str):
    # p_t - y = (1 - eta K / n)^t (p_0 - y) for the squared loss, mode by mode
    k, eta, steps = KERNELS[kernel], 0.4, 9
    S, y = pool(k, losses.squared())
    learner = FunctionalLearner(k, losses.squared(), eta)
    eigenvalues, vectors = torch.linalg.eigh(k.gram(S))
    start = vectors.T @ (-y.flatten())
    for _ in range(steps):
        learner.step(S, y)
    found = vectors.T @ learner.residuals(S, y).flatten()
    assert relative_error(found, (1 - eta * eigenvalues / N) ** steps * start) < 1e-11


def test_a_learner_may_start_at_zero_and_says_what_it_does_not_know():
    learner = FunctionalLearner(rkhs.linear(), losses.squared(), 0.5)
    S = torch.ones(2, 1, 1)
    assert learner.predict(S).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="seen no sequence yet"):
        _ = learner.function
    learner.step(S, torch.ones(2))
    assert learner.function.coefficients.numel() > 0


def test_steps_on_the_same_sequences_keep_one_centre_each():
    k = KERNELS["gaussian"]
    S, y = pool(k, losses.squared())
    learner = FunctionalLearner(k, losses.squared(), 0.1)
    for t in range(5):
        learner.step(S[t : t + 2], y[t : t + 2])
    assert len(learner.function.centres) == 6


# --- a pool --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "loss"), PAIRS)
def test_a_pool_takes_the_learners_steps(kernel: str, loss: str):
    k, l = KERNELS[kernel], LOSSES[loss]
    S, y = pool(k, l)
    learner = started(k, l)
    taught = Pool(started(k, l), S, y)
    for chosen in ([0], [3, 6, 2], list(range(N)), [1, 1]):
        assert relative_error(taught.predictions, learner.predict(S)) < 1e-12
        losses_each = l.value(learner.predict(S), y)
        assert relative_error(taught.losses, losses_each.reshape(N, -1).sum(1)) < 1e-12
        learner.step(S[chosen], y[chosen])
        taught.step(torch.tensor(chosen))
    T, _ = pool(k, losses.squared(), seed=5)
    assert relative_error(taught.function(T), learner.predict(T)) < 1e-12
    assert relative_error(taught.predictions, taught.function(S)) < 1e-12


def test_a_pool_leaves_the_learner_alone_and_its_predictions_are_a_copy():
    k = KERNELS["gaussian"]
    S, y = pool(k, losses.squared())
    learner = started(k, losses.squared())
    before = learner.predict(S)
    taught = Pool(learner, S, y)
    taught.predictions.zero_()
    assert torch.equal(taught.predictions, before)
    taught.step(torch.arange(N))
    assert torch.equal(learner.predict(S), before)


# --- teachers ------------------------------------------------------------------------------------

SIZES = st.integers(1, 4)
RESIDUALS = st.lists(
    st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=4, max_size=6
).map(lambda rows: torch.tensor(rows, dtype=F64))


@given(r=RESIDUALS, size=SIZES)
def test_greedy_is_the_best_subset_by_eq_21(r: Tensor, size: int):
    gram = torch.eye(r.numel(), dtype=F64)
    for teacher in (rkhs.greedy_teacher(), rkhs.gradient_teacher()):
        chosen = teacher(r, gram, size)
        best = max(
            r[list(subset)].norm().item() for subset in itertools.combinations(range(len(r)), size)
        )
        assert r[chosen].norm().item() == pytest.approx(best)
        assert len(set(chosen.tolist())) == size


@given(r=RESIDUALS, size=SIZES)
def test_greedy_is_one_by_one_without_replacement_and_the_first_of_equals(r: Tensor, size: int):
    chosen: list[int] = []
    for _ in range(size):
        left = [i for i in range(len(r)) if i not in chosen]
        largest = max(r[i].norm().item() for i in left)
        chosen.append(next(i for i in left if r[i].norm().item() == largest))
    gram = torch.eye(r.numel(), dtype=F64)
    assert rkhs.greedy_teacher()(r, gram, size).tolist() == chosen


@pytest.mark.parametrize("kernel", KERNELS)
def test_scores_are_norms_in_the_kernels_space(kernel: str):
    k = KERNELS[kernel]
    S, y = pool(k, losses.squared())
    gram = k.gram(S)
    norms, speeds = [], []
    for i in range(N):
        only = rkhs.Function(k, S[i : i + 1], y[i : i + 1])
        norms.append(rkhs.norm(only).item())
        speeds.append(rkhs.Function(k, S, y)(S[i : i + 1]).norm().item())
    by_norm = rkhs.functional_gradient_teacher()(y, gram, N)
    by_speed = rkhs.ntk_teacher()(y, gram, N)
    assert by_norm.tolist() == sorted(range(N), key=lambda i: -norms[i])
    assert by_speed.tolist() == sorted(range(N), key=lambda i: -speeds[i])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_choice_lowers_the_loss_of_the_pool_faster_than_the_steepest(kernel: str, size: int):
    k = KERNELS[kernel]
    S, y = pool(k, losses.squared())
    gram = k.gram(S)

    def rate(chosen: tuple[int, ...]) -> float:
        kept = torch.zeros_like(y)
        kept[list(chosen)] = y[list(chosen)]
        return (y.flatten() @ gram @ kept.flatten()).item()  # g^T K g_A

    best = max(rate(chosen) for chosen in itertools.combinations(range(N), size))
    chosen = tuple(rkhs.steepest_teacher()(y, gram, size).tolist())
    assert rate(chosen) == pytest.approx(best, rel=1e-12)


def test_the_largest_residual_can_raise_the_loss_where_the_steepest_choice_lowers_it():
    K, g = torch.tensor([[1.0, -2.0], [-2.0, 5.0]]), torch.tensor([3.0, 2.0])
    greedy, steepest = (
        teacher(g, K, 1) for teacher in (rkhs.greedy_teacher(), rkhs.steepest_teacher())
    )
    rate = [(g @ K[:, chosen] @ g[chosen]).item() for chosen in (greedy, steepest)]
    assert rate == [-3.0, 8.0]


def test_greedy_and_functional_gradient_disagree_where_leverage_differs():
    K = torch.diag(torch.tensor([100.0, 1.0]))
    r = torch.tensor([1.0, 2.0])
    assert rkhs.greedy_teacher()(r, K, 1).tolist() == [1]
    assert rkhs.functional_gradient_teacher()(r, K, 1).tolist() == [0]
    assert rkhs.ntk_teacher()(r, K, 1).tolist() == [0]


def test_teachers_for_the_same_seed_choose_the_same_and_leave_the_global_generator():
    r, K = torch.arange(9.0), torch.eye(9)
    state = torch.random.get_rng_state()
    for make in (rkhs.random_teacher, rkhs.mixture_teacher):
        one, other, third = make(5), make(torch.Generator().manual_seed(5)), make(6)
        chosen = [[t(r, K, 4).tolist() for _ in range(5)] for t in (one, other, third)]
        assert chosen[0] == chosen[1] != chosen[2]
        assert len({tuple(x) for x in chosen[0]}) > 1
    assert torch.equal(torch.random.get_rng_state(), state)


def test_every_subset_is_as_likely_as_any_for_the_random_teacher():
    teacher, counts = rkhs.random_teacher(0), dict.fromkeys(itertools.combinations(range(4), 2), 0)
    for _ in range(1200):
        counts[cast(Any, tuple(sorted(teacher(torch.zeros(4), torch.eye(4), 2).tolist())))] += 1
    # 200 each, with a standard deviation of 13
    assert all(abs(count - 200) < 60 for count in counts.values())


def test_a_mixture_has_the_shares_that_it_says():
    g = torch.Generator().manual_seed(0)
    r = torch.randn(40, generator=g, dtype=F64)
    X = torch.randn(40, 40, generator=g, dtype=F64)
    K = X @ X.T
    influence, size = (K @ r).abs(), 20
    teacher = rkhs.mixture_teacher(0)
    by_kernel = []
    for t in range(45):
        share = round(0.3 * math.exp(-math.ceil(t / 10)) * size)
        chosen = teacher(r, K, size).tolist()
        assert len(set(chosen)) == size
        assert chosen[:share] == influence.argsort(descending=True)[:share].tolist()
        left = [i for i in r.abs().argsort(descending=True).tolist() if i not in chosen[:share]]
        assert chosen[share:6] == left[: 6 - share]
        by_kernel.append(share)
    assert by_kernel[0] == 6
    assert by_kernel[1:11] == [2] * 10
    assert by_kernel[-1] == 0
    # the rest is drawn from what is left
    tails = {tuple(sorted(teacher(r, K, size).tolist()[6:])) for _ in range(5)}
    assert len(tails) == 5


def test_a_mixture_may_be_all_of_one_kind():
    r, K = torch.arange(6.0), torch.eye(6)
    by_kernel = rkhs.mixture_teacher(0, random=0.0, ntk=1.0)(r, K, 3)
    assert by_kernel.tolist() == rkhs.ntk_teacher()(r, K, 3).tolist()
    by_gradient = rkhs.mixture_teacher(0, random=0.0, ntk=0.0)(r, K, 3)
    assert by_gradient.tolist() == rkhs.gradient_teacher()(r, K, 3).tolist()
    everything = rkhs.mixture_teacher(0, random=1.0, ntk=0.0)(r, K, 6)
    assert sorted(everything.tolist()) == list(range(6))


# --- teaching ------------------------------------------------------------------------------------


def test_teaching_is_steps_on_what_the_teacher_chooses():
    k, l = KERNELS["coupled"], losses.squared()
    S, y = pool(k, l)
    learner, by_hand = started(k, l), started(k, l)
    history = teach(learner, rkhs.greedy_teacher(), S, y, steps=6, size=2)
    for t in range(6):
        r = by_hand.residuals(S, y)
        largest = r.norm(dim=1).argsort(descending=True)[:2]
        assert history.chosen[t].tolist() == largest.tolist()
        assert history.losses[t].item() == pytest.approx(r.square().sum().item() / 2 / N)
        assert history.residual_norms is not None
        assert history.residual_norms[t].item() == pytest.approx(r.norm().item())
        by_hand.step(S[largest], y[largest])
    assert rkhs.norm(learner.function - by_hand.function) < 1e-6
    assert history.steps == 6
    assert history.evaluated == 6 * N


def test_a_teacher_by_gradient_sees_loss_gradients_and_by_residual_residuals():
    # the Huber loss caps gradients: all of these tie, and the first in the pool goes first
    k, l = KERNELS["gaussian"], losses.huber(0.1)
    S, y = pool(k, l)
    y = torch.arange(1.0, N + 1, dtype=F64)
    first = {
        teacher.name: teach(
            FunctionalLearner(k, l, 0.1), teacher, S, y, steps=1, size=2
        ).chosen.tolist()
        for teacher in (rkhs.greedy_teacher(), rkhs.gradient_teacher())
    }
    assert first == {"greedy": [[N - 1, N - 2]], "loss gradient": [[0, 1]]}


def test_a_small_rate_lowers_the_loss_at_every_full_step():
    for kernel, loss in PAIRS:
        k, l = KERNELS[kernel], LOSSES[loss]
        S, y = pool(k, l)
        top = torch.linalg.eigvalsh(k.gram(S))[-1].item()
        learner = FunctionalLearner(k, l, N / (l.smoothness * top))
        history = teach(learner, rkhs.random_teacher(0), S, y, steps=20, size=N)
        assert (history.losses.diff() < 1e-15).all(), (kernel, loss)
        assert history.losses[-1] < history.losses[0]


@pytest.mark.parametrize(("kernel", "loss"), PAIRS)
def test_a_rate_that_suits_single_sequences_is_safe_for_every_choice(kernel: str, loss: str):
    # the largest eigenvalue of m blocks is at most the sum of those of the diagonal blocks
    k, l = KERNELS[kernel], LOSSES[loss]
    S, y = pool(k, l)
    blocks = k.diagonal(S).reshape(N, -1)
    o = math.isqrt(blocks.shape[1])
    top = torch.linalg.eigvalsh(blocks.view(N, o, o)).max().item()
    safe = Pool(FunctionalLearner(k, l, 1 / (l.smoothness * top)), S, y)
    rash = Pool(FunctionalLearner(k, l, 40 / (l.smoothness * top)), S, y)
    teacher, rose = rkhs.random_teacher(4), False
    for size in (1, 2, 5, N, 1, 3):
        chosen = teacher(torch.zeros(N), torch.eye(N), size)
        for taught in (safe, rash):
            before = taught.losses[chosen].sum().item()
            taught.step(chosen)
            after = taught.losses[chosen].sum().item()
            rose |= taught is rash and after > before
            assert taught is rash or after <= before + 1e-14
    assert rose or loss != "squared"  # the others flatten out and forgive a large step


def test_teaching_stops_at_the_error_and_counts_what_it_evaluated():
    k, l = KERNELS["gaussian"], losses.squared()
    S, y = pool(k, l)

    def run(teacher: Teacher, **more: Any) -> rkhs.History:
        return teach(FunctionalLearner(k, l, 1.0), teacher, S, y, steps=400, size=2, **more)

    whole = run(rkhs.greedy_teacher())
    assert whole.residual_norms is not None
    error = 0.3 * whole.residual_norms[0].item()
    early = run(rkhs.greedy_teacher(), until=error)
    assert early.steps == whole.steps_to(error) == early.steps_to(error)
    assert early.residual_norms is not None
    assert early.residual_norms[-1] <= error < early.residual_norms[-2]
    assert early.evaluated == early.steps * N
    by_loss = run(rkhs.random_teacher(1), until=0.1, measure="loss")
    assert by_loss.losses[-1] <= 0.1 < by_loss.losses[-2]
    assert by_loss.evaluated == 2 * by_loss.steps
    assert by_loss.steps_to(1e-9, "loss") is None
    assert run(rkhs.greedy_teacher(), until=1e9).chosen.shape == (0, 2)


def test_class_numbers_leave_no_residual_but_a_gradient():
    k, l = KERNELS["coupled"], losses.cross_entropy()
    S, y = pool(k, l)
    learner = FunctionalLearner(k, l, 1.0)
    history = teach(learner, rkhs.gradient_teacher(), S, y, steps=5, size=2)
    assert history.residual_norms is None
    assert history.losses[-1] < history.losses[0]
    with pytest.raises(ValueError, match="class numbers"):
        teach(learner, rkhs.greedy_teacher(), S, y, steps=1, size=2)
    with pytest.raises(ValueError, match="measure='loss'"):
        teach(learner, rkhs.gradient_teacher(), S, y, steps=1, size=2, until=0.1)
    with pytest.raises(ValueError, match="measure='loss'"):
        history.steps_to(0.1)


# --- several learners ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_diagonal_coupling_is_learners_side_by_side(loss: str):
    scales = (2.0, 0.5)
    k, l = rkhs.gaussian(1.0), LOSSES[loss]
    together = rkhs.separable(k, torch.diag(torch.tensor(scales, dtype=F64)))
    S, y = pool(together, l)
    learner = FunctionalLearner(together, l, 0.4)
    history = teach(learner, rkhs.greedy_teacher(), S, y, steps=8, size=2)
    alone = [FunctionalLearner(b * k, l, 0.4) for b in scales]
    histories = rkhs.teach_separately(
        alone, lambda c: rkhs.recorded_teacher(history.chosen), S, y, steps=8, size=2
    )
    T, _ = pool(together, l, seed=8)
    found = torch.stack([one.predict(T) for one in alone], 1)
    assert relative_error(found, learner.predict(T)) < 1e-12
    total = torch.stack([one.losses for one in histories]).sum(0)
    assert relative_error(total, history.losses) < 1e-12
    # on their own, each would have been taught other sequences
    own = rkhs.teach_separately(
        [FunctionalLearner(b * k, l, 0.4) for b in scales],
        lambda c: rkhs.greedy_teacher(),
        S,
        y,
        steps=8,
        size=2,
    )
    assert any(not torch.equal(one.chosen, history.chosen) for one in own)


def test_a_coupling_moves_one_output_by_the_gradient_of_the_other():
    k = KERNELS["coupled"]
    S, _ = pool(k, losses.squared())
    learner = FunctionalLearner(k, losses.squared(), 1.0)
    learner.step(S[:1], torch.tensor([[1.0, 0.0]], dtype=F64))
    assert torch.allclose(learner.predict(S[:1])[0], COUPLING[:, 0])


# --- bad input -----------------------------------------------------------------------------------

SMALL = torch.ones(2, 1, 1)
TWO = torch.ones(2)


def plain(**changed: Any) -> FunctionalLearner:
    given = {"kernel": rkhs.linear(), "loss": losses.squared(), "eta": 0.1} | changed
    return FunctionalLearner(**given)


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: plain(kernel=lambda S: S), TypeError, "kernel is a Kernel"),
    (lambda: plain(loss="squared"), TypeError, "loss is a Loss"),
    (lambda: plain(eta=0), ValueError, "eta is positive"),
    (lambda: plain(eta=math.nan), ValueError, "eta is positive"),
    (lambda: plain(eta="fast"), TypeError, "eta is a number"),
    (lambda: plain(loss=losses.cross_entropy()), ValueError, "vector-valued kernel"),
    (lambda: plain(function=3), TypeError, "function is a Function"),
    (
        lambda: plain(function=rkhs.zero(rkhs.gaussian(1.0), SMALL)),
        ValueError,
        "got another kernel",
    ),
    (lambda: plain().step(SMALL[:0], TWO[:0]), ValueError, "one sequence or more"),
    (lambda: plain().step(SMALL, torch.ones(2, 1)), ValueError, "shape of the outputs"),
    (lambda: plain().predict(torch.ones(2, 1)), ValueError, "S is"),
    (lambda: plain().residuals(SMALL, torch.tensor([[1], [0]])), ValueError, "residuals are of"),
    (lambda: Pool(cast(Any, 3), SMALL, TWO), TypeError, "FunctionalLearner"),
    (lambda: Pool(plain(), SMALL, TWO[:1]), ValueError, "shape of the outputs"),
    (lambda: Pool(plain(), SMALL * math.nan, TWO), ValueError, "kernel is finite on the pool"),
    (
        lambda: teach(plain(), rkhs.greedy_teacher(), SMALL, TWO * math.nan, steps=1, size=1),
        ValueError,
        "the loss is nan after 0 steps: look at the targets",
    ),
    (lambda: Pool(plain(), SMALL[:0], TWO[:0]), ValueError, "one sequence or more"),
    (lambda: Pool(plain(), SMALL, TWO).step(torch.tensor([2])), ValueError, "between 0 and 1"),
    (lambda: Pool(plain(), SMALL, TWO).step(torch.tensor([-1])), ValueError, "between 0 and 1"),
    (lambda: Pool(plain(), SMALL, TWO).step(torch.tensor([0.0])), TypeError, "int64"),
    (lambda: Pool(plain(), SMALL, TWO).step(torch.tensor([[0]])), ValueError, r"\(m,\)"),
    (
        lambda: teach(plain(), cast(Any, len), SMALL, TWO, steps=1, size=1),
        TypeError,
        "teacher is a Teacher",
    ),
    (
        lambda: teach(plain(), rkhs.greedy_teacher(), SMALL, TWO, steps=-1, size=1),
        ValueError,
        "whole number from 0",
    ),
    (
        lambda: teach(plain(), rkhs.greedy_teacher(), SMALL, TWO, steps=1, size=3),
        ValueError,
        "between 1 and the pool's 2",
    ),
    (
        lambda: teach(plain(eta=1e200), rkhs.greedy_teacher(), SMALL, TWO, steps=9, size=2),
        ValueError,
        "too large",
    ),
    (
        lambda: teach(
            plain(),
            rkhs.greedy_teacher(),
            SMALL,
            TWO,
            steps=1,
            size=1,
            until=1.0,
            measure="x",  # type: ignore
        ),
        ValueError,
        "measure is",
    ),
    (
        lambda: teach(plain(), rkhs.greedy_teacher(), SMALL, TWO, steps=1, size=1, until=math.nan),
        ValueError,
        "at least 0",
    ),
    (
        lambda: rkhs.teach_separately(
            [plain()], lambda c: rkhs.greedy_teacher(), SMALL, TWO, steps=1, size=1
        ),
        ValueError,
        "a column for each",
    ),
    (lambda: rkhs.random_teacher(cast(Any, 1.5)), TypeError, "seed is an int"),
    (lambda: rkhs.mixture_teacher(0, random=0.8, ntk=0.3), ValueError, "at most 1 together"),
    (lambda: rkhs.mixture_teacher(0, ntk=-0.1), ValueError, "not negative"),
    (lambda: rkhs.mixture_teacher(0, decay=0), ValueError, "decay"),
    (lambda: rkhs.recorded_teacher(torch.ones(2, 2)), ValueError, r"\(T, m\) integers"),
    (lambda: rkhs.greedy_teacher()(TWO, torch.eye(3), 1), ValueError, r"\(N o, N o\)"),
    (lambda: rkhs.greedy_teacher()(TWO, torch.eye(2), 0), ValueError, "between 1 and"),
    (lambda: rkhs.greedy_teacher()(TWO, torch.eye(2), cast(Any, 1.0)), TypeError, "an int"),
    (lambda: rkhs.greedy_teacher()(cast(Any, [1.0]), torch.eye(1), 1), TypeError, "a tensor"),
    (lambda: rkhs.greedy_teacher()(TWO / 0, torch.eye(2), 1), ValueError, "finite"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[case[-1] for case in BAD])
def test_bad_input_gives_one_clear_error(
    call: Callable[[], Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        call()


def test_recorded_choices_end():
    teacher = rkhs.recorded_teacher(torch.tensor([[1, 0]]))
    with pytest.raises(ValueError, match="recorded choice is of 2"):
        rkhs.recorded_teacher(torch.tensor([[1, 0]]))(TWO, torch.eye(2), 1)
    assert teacher(TWO, torch.eye(2), 2).tolist() == [1, 0]
    with pytest.raises(ValueError, match="no choice is left"):
        teacher(TWO, torch.eye(2), 2)
