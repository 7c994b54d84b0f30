"""The forms of the sufficient reduction: their sides, verdicts, constants, and runs beside them."""

from __future__ import annotations

import math
from fractions import Fraction as F
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ntteach import AttentionLearner, antk, attention, empirical_ntk, losses
from ntteach.bounds import (
    FORMS,
    Reduction,
    eigenmode_decay,
    reductions_along,
    sufficient_reduction,
)
from ntteach.bounds.gram import gram
from ntteach.bounds.rates import CONDITION
from ntteach.losses import Loss
from ntteach.report import plots
from ntteach.report.output import UserError
from ntteach.rkhs import FunctionalLearner, frozen_antk, gaussian, linear, separable

PROVED = tuple(form for form in FORMS if form != "paper")
RATES = ("paper", "identity", "rate", "mean", "subset")


def found(K: Any, g: Any, form: str = "paper", **options: Any) -> Reduction:
    """A reduction with constants that satisfy every hypothesis unless they are given."""
    options = {"eta": 1e-3, "tau": 1.0, **options}
    if form == "subset":
        options.setdefault("chosen", [0])
    return sufficient_reduction(K, g, form=form, **options)


def close(a: float, b: float, scale: float = 1.0) -> bool:
    """Equal to rounding, relative to the numbers or to what cancelled in them."""
    return abs(a - b) <= 1e-10 * max(abs(a), abs(b), scale * 1e-3)


# the sides, against formulas written out in numpy


def by_hand(K, g, eta, tau, P, v, chosen=(0,)) -> dict[str, tuple[float, float]]:
    """Left and right of each form, by loops and dense linear algebra, for gamma = max K."""
    n = len(g)
    rate = -eta * sum(g[i] * K[i, j] * g[j] for i in range(n) for j in range(n)) / P**2
    mean = [np.mean([g[i] for i in range(c, n, v)]) for c in range(v)]
    mean_square = sum(m * m for m in mean)
    E = np.array([[float(i % v == c) for c in range(v)] for i in range(n)])
    h = np.linalg.eigvalsh(E.T @ np.linalg.pinv(K, rcond=1e-9) @ E).max()
    off_range = np.abs(K @ np.linalg.pinv(K, rcond=1e-9) @ E - E).max() > 1e-6
    c = 0.0 if off_range else (n / v / P) ** 2 / h
    Kg = K @ g / P
    allowed = -eta / P * (g @ Kg) + tau * eta**2 / (2 * P) * (Kg @ Kg)
    top = np.linalg.eigvalsh(K).max() / P
    q = 3 / 4 if tau * eta * top <= 0.5 else 1 / 2
    least = np.linalg.eigvalsh(K).min()
    least = least if least > 1e-9 * abs(K).max() else 0.0
    A = [i for i in range(n) if i // v in chosen]
    R = [i for i in range(n) if i // v not in chosen]
    P_m = 1.0 if P == 1 else P * len(A) / n
    f_dot = -eta / P_m * K[:, A] @ g[A]
    inner = np.linalg.eigvalsh(K[np.ix_(A, A)]).min()
    inner = inner if inner > 1e-9 * abs(K).max() else 0.0
    cross = np.linalg.svd(K[np.ix_(R, A)], compute_uv=False).max() if R else 0.0
    size, rest = math.sqrt(g[A] @ g[A]), math.sqrt(g[R] @ g[R])
    return {
        "paper": (rate, -eta * K.max() / 2 * mean_square),
        "identity": (rate, rate),
        "rate": (rate, -eta * least * (g @ g) / P**2),
        "mean": (rate, -eta * c * mean_square),
        "discrete": (allowed, allowed),
        "repaired": (allowed, -q * eta / P * (g @ Kg)),
        "subset": (g @ f_dot / P, -eta / (P_m * P) * size * (inner * size - cross * rest)),
    }


@st.composite
def cases(draw, most: int = 2) -> SimpleNamespace:
    """K = J J^T of any rank with small whole numbers, a gradient, a normaliser; v up to `most`."""
    v = draw(st.integers(1, most))
    n = draw(st.integers(1, 3)) * v
    rank = draw(st.integers(1, n))
    entry = st.integers(-2, 2)
    J = np.array(
        draw(
            st.lists(st.lists(entry, min_size=rank, max_size=rank), min_size=n, max_size=n),
        ),
        dtype=float,
    )
    g = np.array(draw(st.lists(entry, min_size=n, max_size=n)), dtype=float)
    assume(J.any() and g.any())
    P = draw(st.sampled_from([n / v, 1.0, 2.5]))
    return SimpleNamespace(K=J @ J.T, g=g, v=v, n=n, P=P)


@settings(max_examples=60)
@given(cases(), st.sampled_from([0.01, 0.1, 1.0]), st.sampled_from([0.25, 1.0]))
def test_both_sides_are_those_of_plain_numpy(case, eta, tau):
    expected = by_hand(case.K, case.g, eta, tau, case.P, case.v)
    scale = eta * abs(case.K).sum() * (case.g @ case.g) / case.P**2
    for form, (left, right) in expected.items():
        r = found(case.K, case.g, form, eta=eta, tau=tau, normaliser=case.P, outputs=case.v)
        assert close(r.left, left, scale), (form, r.left, left)
        assert close(r.right, right, scale), (form, r.right, right)
        assert r.slack == r.right - r.left


# known cases


@pytest.mark.parametrize(("normaliser", "left"), [(None, F(109, 3600)), ("sum", F(109, 900))])
def test_a_diagonal_kernel_breaks_the_papers_form_averaged_and_summed(normaliser, left):
    """K = diag(1, 1/9), g = (1/10, 1): g^T K g = 1/100 + 1/9 = 109/900, mean g = 11/20."""
    K, g = np.diag([1, 1 / 9]), [1 / 10, 1]
    r = found(K, g, eta=1.0, tau=0.5, normaliser=normaliser)
    assert r.left == pytest.approx(-float(left), rel=1e-14)
    assert r.right == pytest.approx(-float(F(1, 2) * F(11, 20) ** 2), rel=1e-14)
    assert r.verdict == "violated"
    assert all(hypothesis.met for hypothesis in r.hypotheses)
    assert r.ratio == pytest.approx(float(F(121, 800) / left), rel=1e-12)


def test_three_independent_outputs_break_the_averaged_form_only():
    """K = gamma I_3, g = 1: -gamma/3 against -gamma/2, for the sum -3 gamma."""
    for gamma in (1.0, 5.0):
        K, g, eta = gamma * np.eye(3), [1.0, 1.0, 1.0], 1 / gamma
        averaged = found(K, g, eta=eta, tau=0.5)
        summed = found(K, g, eta=eta, tau=0.5, normaliser="sum")
        assert (averaged.left, averaged.verdict) == (pytest.approx(-1 / 3), "violated")
        assert (summed.left, summed.verdict) == (pytest.approx(-3), "holds")
        assert averaged.right == summed.right == pytest.approx(-1 / 2)


def test_a_kernel_of_ones_satisfies_the_papers_form_by_a_factor_of_two():
    r = found(np.ones((4, 4)), [1.0, 2.0, 3.0, 4.0])
    assert r.left == pytest.approx(2 * r.right)
    assert r.verdict == "holds"
    best = found(np.ones((4, 4)), [1.0, 2.0, 3.0, 4.0], "mean")
    assert best.left == pytest.approx(best.right)
    assert best.constant("h = 1^T K^+ 1") == pytest.approx(1)


def test_two_independent_outputs_are_the_edge_of_the_papers_form():
    """gamma 1^T K^+ 1 = 2 for I_2: g = 1 gives equality, any other g room."""
    assert found(np.eye(2), [1.0, 1.0]).slack == pytest.approx(0, abs=1e-18)
    assert found(np.eye(2), [1.0, 1.0]).verdict == "holds"
    assert found(np.eye(2), [1.0, 1.0], "mean").constant(CONDITION) == 2


def test_with_several_outputs_entries_do_not_bound_the_step_but_blocks_do():
    """v = 3, K of ones: entries at most 1, yet lambda_max(K / N L) = 3, the norm of a block."""
    K = torch.ones(2, 1, 3, 2, 1, 3)
    r = found(K, torch.ones(2, 1, 3), "repaired", eta=0.5, tau=1.0)
    assert r.constant("lambda_max(Kbar)") == pytest.approx(3)
    assert r.constant("largest norm of a block K(s, s)") == pytest.approx(3)
    assert r.verdict == "not applicable"  # eta = 1 / (2 tau max K) is too long a step
    assert found(K, torch.ones(2, 1, 3), eta=0.5, tau=1.0).hypotheses[-1].met
    shorter = found(K, torch.ones(2, 1, 3), "repaired", eta=1 / 6, tau=1.0)
    assert (shorter.verdict, shorter.constant("q")) == ("holds", 0.75)


@settings(max_examples=40)
@given(cases())
def test_blocks_bound_the_largest_eigenvalue_of_the_averaged_kernel(case):
    K = gram(case.K, outputs=case.v)
    top = np.linalg.eigvalsh(case.K).max() / (case.n / case.v)
    assert top <= K.block_norm * (1 + 1e-12)
    if case.v == 1:
        assert K.block_norm == pytest.approx(K.largest_entry)


# every proved form holds


@settings(max_examples=100)
@given(
    cases(),
    st.sampled_from([0.1, 1.0, 3.0]),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=6, max_size=6),
)
def test_proved_forms_hold_for_any_kernel_and_gradient(case, reach, shares):
    """l = d (f - y)^2 / 2 with d at most tau: the change of the loss is computed, not bounded."""
    tau = 2.0
    top = np.linalg.eigvalsh(case.K).max() / case.P
    eta = reach / (tau * top)
    d = tau * np.array(shares[: case.n])
    f = case.g  # with y = 0 the gradient is d f
    g = d * f
    after = f - eta / case.P * case.K @ g
    before, then = (d * f * f).sum() / (2 * case.P), (d * after * after).sum() / (2 * case.P)
    for form in PROVED:
        r = found(
            case.K,
            g,
            form,
            eta=eta,
            tau=tau,
            normaliser=case.P,
            outputs=case.v,
            loss=before,
            next_loss=then,
        )
        assert r.proved
        assert r.verdict != "violated", str(r)
        assert r.verdict != "not applicable" or (
            form == "subset" or (form == "repaired" and reach > 1)
        ), str(r)


@settings(max_examples=60)
@given(cases(most=1), st.data())
def test_what_the_rest_loses_is_bounded_for_any_choice(case, data):
    N = case.n
    chosen = data.draw(st.sets(st.integers(0, N - 1), min_size=1))
    r = found(case.K, case.g, "subset", chosen=sorted(chosen), normaliser=case.P, outputs=1)
    assert r.slack >= -r.tolerance
    if r.verdict == "holds":
        assert r.left < 0  # the loss on all falls


# the constants are the best


def spd(seed: int, n: int = 4) -> np.ndarray:
    """A well-conditioned positive definite matrix."""
    J = np.random.default_rng(seed).normal(size=(n, 2 * n))
    return J @ J.T


def breaks_if_better(r: Reduction, factor: float = 1.01) -> bool:
    """Equality here, so that one per cent more would be too much."""
    return r.left == pytest.approx(r.right, rel=1e-9) and r.left > factor * r.right


@pytest.mark.parametrize("normaliser", [None, "sum", 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_rate_constant_can_be_one_per_cent_better(seed, normaliser):
    K = spd(seed)
    vectors = np.linalg.eigh(K)[1]
    assert breaks_if_better(found(K, vectors[:, 0], "rate", normaliser=normaliser))
    assert not breaks_if_better(found(K, vectors[:, 1], "rate", normaliser=normaliser))
    extremal = np.linalg.solve(K, np.ones(4))
    assert breaks_if_better(found(K, extremal, "mean", normaliser=normaliser))
    assert breaks_if_better(found(K, extremal, "identity", normaliser=normaliser))


def test_for_several_outputs_the_mean_has_the_best_constant_too():
    K, E = spd(5, 6), np.tile(np.eye(2), (3, 1))
    inverse = np.linalg.inv(K)
    a = np.linalg.eigh(E.T @ inverse @ E)[1][:, -1]
    assert breaks_if_better(found(K, inverse @ E @ a, "mean", outputs=2))


@pytest.mark.parametrize("normaliser", [None, "sum"])
@pytest.mark.parametrize(("reach", "q"), [(1.0, 0.5), (0.5, 0.75)])
def test_no_step_constant_can_be_one_per_cent_better(normaliser, reach, q):
    """The steepest mode of a squared loss with curvature tau, at the longest step."""
    K, tau, P = spd(2), 3.0, 4.0 if normaliser is None else 1.0
    values, vectors = np.linalg.eigh(K)
    eta = reach / (tau * values[-1] / P)
    f = vectors[:, -1]
    g = tau * f
    after = f - eta / P * K @ g
    losses = {"loss": tau * (f @ f) / (2 * P), "next_loss": tau * (after @ after) / (2 * P)}
    options = {"eta": eta, "tau": tau, "normaliser": normaliser, **losses}
    r = found(K, g, "repaired", **options)
    assert r.constant("q") == q
    assert r.hypotheses[-1].name.startswith("eta <= 1/(2 tau" if q == 0.75 else "eta <= 1/(tau")
    assert r.verdict == "holds"
    assert breaks_if_better(r)
    assert breaks_if_better(found(K, g, "discrete", **options))
    # one per cent farther, and the constant is no longer reached: its hypothesis is needed
    farther = found(K, g, "repaired", **{**options, "eta": 1.01 * eta})
    assert farther.constant("q") == 0.5
    assert (farther.verdict == "not applicable") == (q == 0.5)


def test_a_step_on_chosen_sequences_has_the_best_constant():
    """Two outputs, the rest pulling against the chosen: equality, also where the loss rises."""
    K = np.array([[2.0, -1.0], [-1.0, 2.0]])
    falls, rises = found(K, [1.0, 1.0], "subset"), found(K, [1.0, 3.0], "subset")
    assert (falls.left, falls.verdict) == (falls.right, "holds")
    assert rises.left == rises.right == pytest.approx(1e-3 / 2)
    assert rises.verdict == "not applicable"


# verdicts


def test_a_bound_that_promises_nothing_is_void():
    ones, eye = np.ones((2, 2)), np.eye(2)
    assert found(ones, [1.0, 2.0], "rate").verdict == "void"
    assert found(np.diag([1.0, 0.0]), [1.0, 2.0], "mean").verdict == "void"
    assert found(eye, [1.0, -1.0]).verdict == "void"
    assert found(eye, [0.1 + 0.2, -0.3]).verdict == "void"  # cancels but for rounding
    assert found(ones, [1.0, -1.0], "repaired").verdict == "void"
    assert found(ones, [1.0, -1.0], "identity").verdict == "void"
    assert found(np.eye(2), [0.0, 1.0], "subset").verdict == "void"
    far = {"eta": 10.0, "tau": 1.0}
    assert found([[1.0]], [1.0], "discrete", **far).right > 0
    assert found([[1.0]], [1.0], "discrete", **far).verdict == "void"


@pytest.mark.parametrize(
    ("options", "unmet"),
    [
        ({"gamma": 0.5, "eta": 0.1}, "largest entry of K <= gamma = 0.5"),
        ({"eta": 0.6}, "eta <= 1/(2 tau gamma) = 0.5"),
        ({"tau": math.inf}, "eta <= 1/(2 tau gamma) = 0"),
        ({"gamma": 2.0, "eta": 0.3}, "eta <= 1/(2 tau gamma) = 0.25"),
    ],
)
def test_an_unmet_hypothesis_is_named_and_decides_nothing(options, unmet):
    r = found(np.diag([1, 1 / 9]), [0.1, 1.0], **options)
    assert r.slack < 0
    assert r.verdict == "not applicable"
    assert [h.name for h in r.hypotheses if not h.met] == [unmet]
    assert f"UNMET  {unmet}" in str(r)


def test_the_limit_of_a_hypothesis_is_met_where_only_rounding_parts_them():
    gamma, tau = 0.1 + 0.2, 7.0
    assert found([[gamma]], [1.0], eta=1 / (2 * tau * gamma), tau=tau).hypotheses[-1].met
    assert found([[0.3]], [1.0], gamma=0.3 + 1e-17).hypotheses[3].met
    assert not found([[0.3]], [1.0], gamma=0.3 - 1e-12).hypotheses[3].met


def test_a_zero_kernel_is_no_case_of_the_papers_form():
    assert found(np.zeros((2, 2)), [1.0, 1.0]).verdict == "not applicable"
    for form in PROVED:
        assert found(np.zeros((2, 2)), [1.0, 1.0], form).verdict in ("void", "not applicable")


def test_a_change_that_is_not_one_of_this_loss_is_violated():
    """A loss that fell by less than its smoothness allows: tau was too small."""
    r = found([[1.0]], [1.0], "discrete", eta=0.5, tau=1.0, loss=1.0, next_loss=0.9)
    assert (r.right, r.verdict) == (-0.375, "violated")
    for derivative in (-0.49, -0.51):  # an identity leaves room on neither side
        r = found([[1.0]], [1.0], "identity", eta=0.5, derivative=derivative)
        assert (r.right, r.verdict) == (-0.5, "violated")


def test_a_ratio_compares_the_promise_with_what_there_is():
    assert found(np.eye(3), [1.0, 1.0, 1.0]).ratio == pytest.approx(3 / 2)
    assert found(np.ones((2, 2)), [1.0, -1.0], "identity").ratio == 0  # nothing of nothing
    assert found(np.eye(2), [1.0, -1.0]).ratio == 0
    assert found([[0.0]], [1.0], gamma=1.0).ratio == math.inf  # something of nothing
    assert found([[1.0]], [1.0], "discrete", eta=10.0).ratio == 0


@settings(max_examples=40)
@given(cases())
def test_the_condition_decides_whether_eq_19_holds_for_every_gradient(case):
    """Above 2 the extremal gradient `K^+ E a` violates it, at 2 or below none of many does."""
    K, E = case.K, np.tile(np.eye(case.v), (case.n // case.v, 1))
    inverse = np.linalg.pinv(K, rcond=1e-9)
    a = np.linalg.eigh(E.T @ inverse @ E)[1][:, -1]
    options = {"normaliser": case.P, "outputs": case.v}
    condition = found(K, case.g, "mean", **options).constant(CONDITION)
    if math.isinf(condition):  # a gradient that the kernel does not see, with a mean
        unseen = (np.eye(case.n) - K @ inverse) @ E  # (n, v)
        extremal = unseen[:, np.square(unseen).sum(0).argmax()]
        assert found(K, extremal, **options).verdict == "violated"
    elif condition > 2 * (1 + 1e-9):
        assert found(K, inverse @ E @ a, **options).verdict == "violated"
    elif condition < 2 * (1 - 1e-9):
        gradients = [case.g, inverse @ E @ a, *np.eye(case.n), np.ones(case.n)]
        assert all(found(K, g, **options).verdict != "violated" for g in gradients)


def test_the_report_of_a_reduction_says_all_of_it():
    text = str(found(np.diag([1, 1 / 9]), [0.1, 1.0], "paper", eta=0.5))
    assert text.startswith("paper: violated")
    for part in ("left ", "right ", "slack ", "met    eta <= 1/(2 tau gamma) = 0.5: 0.5", "gamma"):
        assert part in text


# laws of scale and order


@settings(max_examples=40)
@given(cases(), st.sampled_from([0.25, 3.0]), st.sampled_from([-2.0, 0.5]))
def test_sides_follow_the_units_of_kernel_and_gradient(case, a, b):
    options = {"normaliser": case.P, "outputs": case.v, "tau": 0.5}
    for form in FORMS:
        one = found(case.K, case.g, form, eta=0.02, **options)
        scale = abs(case.K).sum() * (case.g @ case.g) / case.P**2
        if form in RATES:  # dL/dt goes with K and with the square of g
            other = found(a * case.K, b * case.g, form, eta=0.02, **options)
            factor = a * b * b
        else:  # a step is the same if K eta is
            other = found(a * case.K, b * case.g, form, eta=0.02 / a, **options)
            factor = b * b
        assert close(other.left, factor * one.left, scale)
        assert close(other.right, factor * one.right, scale)
        assert other.verdict == one.verdict or form == "paper"


@settings(max_examples=30)
@given(cases(most=1), st.randoms(use_true_random=False))
def test_the_order_of_outputs_does_not_matter(case, random):
    order = list(range(case.n))
    random.shuffle(order)
    for form in FORMS:
        chosen = {"chosen": [order.index(0)]} if form == "subset" else {}
        one = found(case.K, case.g, form, normaliser=case.P)
        other = found(
            case.K[np.ix_(order, order)], case.g[order], form, normaliser=case.P, **chosen
        )
        scale = abs(case.K).sum() * (case.g @ case.g)
        assert close(one.left, other.left, scale)
        assert close(one.right, other.right, scale)


def test_words_for_the_normaliser_are_its_numbers():
    K, g = torch.eye(12).reshape(2, 3, 2, 2, 3, 2), torch.arange(12.0).reshape(2, 3, 2)
    for form in FORMS:
        assert (
            found(K, g, form)
            == found(K, g, form, normaliser=6)
            == found(K, g, form, normaliser="mean")
        )
        assert found(K, g, form, normaliser="sum") == found(K, g, form, normaliser=1.0)
    assert found(K, g, "exact") == found(K, g, "identity")


# where kernels come from

GENERATOR = torch.Generator().manual_seed(3)
S = torch.randn(3, 4, 5, generator=GENERATOR, dtype=torch.float64)


def learner(**options: Any) -> AttentionLearner:
    """An attention learner in float64."""
    made = torch.Generator().manual_seed(4)
    return AttentionLearner(5, generator=made, dtype=torch.float64, **options)


@pytest.mark.parametrize("options", [{}, {"v": 2}, {"v": 2, "d_k": 4, "heads": 2, "causal": True}])
def test_a_live_model_is_its_antk(options):
    model = learner(**options)
    params = {n: p.detach() for n, p in model.named_parameters()}
    known: dict[str, Any] = {
        "mask": "causal" if model.causal else None,
        "heads": model.heads,
    }
    K = antk(params, S, **known)
    g = torch.randn(K.shape[:3], generator=GENERATOR, dtype=torch.float64)
    for form in FORMS:
        expected = found(K, g, form)
        assert found(model, g, form, sequences=S) == expected
        assert found(params, g, form, sequences=S, **known) == expected


def test_any_module_is_its_empirical_kernel():
    module = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    g = torch.randn(3, 4, 2, generator=GENERATOR)
    K = empirical_ntk(module.double(), S)
    assert found(module.float(), g, "identity", sequences=S.float()).left == pytest.approx(
        found(K, g, "identity").left, rel=1e-5
    )
    # three sequences with one output, and with one for each of four elements
    scalar = torch.nn.Sequential(module, torch.nn.Flatten(), torch.nn.Linear(8, 1).double())
    scalar = scalar.double()
    assert found(scalar, torch.ones(3, 1), sequences=S).constant("normaliser") == 3
    flat = torch.nn.Sequential(module, torch.nn.Linear(2, 1).double(), torch.nn.Flatten())
    assert found(flat, torch.ones(3, 4), sequences=S).constant("normaliser") == 12
    assert next(module.parameters()).dtype == torch.float64  # untouched


def test_a_frozen_weight_does_not_move_the_outputs():
    model = learner()
    model.W_V.requires_grad_(False)
    K = empirical_ntk(model, S)
    r = found(model, torch.ones(3, 4, 1), "identity", sequences=S)
    assert r == found(K, torch.ones(3, 4, 1), "identity")
    model.W_V.requires_grad_(True)
    assert found(model, torch.ones(3, 4, 1), "identity", sequences=S).left < 1.5 * r.left


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        (gaussian(2.0), (3,)),
        (separable(linear(), torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()), (3, 2)),
        (frozen_antk({n: p.detach() for n, p in learner(v=2).named_parameters()}), (3, 8)),
    ],
    ids=["scalar", "separable", "frozen"],
)
def test_a_kernel_on_sequences_is_its_gram_matrix(kernel, shape):
    g = torch.randn(shape, generator=GENERATOR, dtype=torch.float64)
    o = math.prod(shape[1:])
    for form in FORMS:
        r = found(kernel, g, form, sequences=S)
        assert r == found(kernel.gram(S), g.flatten(), form, outputs=o)
    assert r.constant("normaliser") == 3


# bad input

EYE = np.eye(2)
BAD: dict[str, tuple[Any, Any, dict[str, Any], type[Exception], str]] = {
    "not symmetric": ([[1.0, 0.5], [0.0, 1.0]], [1, 1], {}, ValueError, "kernel is symmetric"),
    "indefinite": (
        [[1.0, 2.0], [2.0, 1.0]],
        [1, 1],
        {},
        ValueError,
        "positive semi-definite, got smallest eigenvalue -1 ",
    ),
    "outputs of a kernel": (
        gaussian(1.0),
        [1, 1],
        {"sequences": torch.ones(2, 1, 1), "outputs": 2},
        ValueError,
        "outputs is for a Gram matrix .*got 2 with an object of type Gaussian",
    ),
    "negative": (-EYE, [1, 1], {}, ValueError, "smallest eigenvalue -1 "),
    "NaN in the kernel": (np.nan * EYE, [1, 1], {}, ValueError, "kernel is finite, got NaN"),
    "inf in the kernel": ([[np.inf]], [1], {}, ValueError, "kernel is finite, got inf"),
    "NaN in the gradient": (EYE, [1, np.nan], {}, ValueError, "residual_gradient is finite"),
    "not square": (np.ones((2, 3)), [1, 1], {}, ValueError, r"kernel is \(n, n\).*got \(2, 3\)"),
    "empty": (np.ones((0, 0)), [], {}, ValueError, r"got \(0, 0\)"),
    "three axes": (np.ones((2, 2, 2)), [1, 1], {}, ValueError, r"got \(2, 2, 2\)"),
    "ragged": ([[1.0], [1.0, 2.0]], [1, 1], {}, ValueError, "ragged"),
    "words": ([["kernel"]], [1], {}, TypeError, "kernel is an array of real numbers"),
    "complex": (torch.eye(2) * 1j, [1, 1], {}, TypeError, "real numbers"),
    "another size": (EYE, [1, 1, 1], {}, ValueError, r"residual_gradient has shape \(2,\), got"),
    "another shape": (
        torch.ones(1, 2, 1, 1, 2, 1),
        torch.ones(2, 1),
        {},
        ValueError,
        r"shape \(1, 2, 1\) or \(2,\), got \(2, 1\)",
    ),
    "eta 0": (EYE, [1, 1], {"eta": 0}, ValueError, "eta is above 0 and finite, got 0"),
    "eta inf": (EYE, [1, 1], {"eta": math.inf}, ValueError, "eta is above 0 and finite"),
    "eta NaN": (EYE, [1, 1], {"eta": math.nan}, ValueError, "eta is above 0 and finite"),
    "eta word": (EYE, [1, 1], {"eta": "small"}, TypeError, "eta is a number"),
    "tau negative": (EYE, [1, 1], {"tau": -1}, ValueError, "tau is above 0, got -1"),
    "tau NaN": (EYE, [1, 1], {"tau": math.nan}, ValueError, "tau is above 0"),
    "tau True": (EYE, [1, 1], {"tau": True}, TypeError, "tau is a number"),
    "gamma 0": (EYE, [1, 1], {"gamma": 0.0}, ValueError, "gamma is above 0"),
    "normaliser 0": (EYE, [1, 1], {"normaliser": 0}, ValueError, "normaliser is above 0"),
    "normaliser word": (EYE, [1, 1], {"normaliser": "mode"}, ValueError, '"mean" or "sum"'),
    "form": (EYE, [1, 1], {"form": "papers"}, ValueError, "form is one of paper, identity"),
    "outputs": (np.eye(3), [1, 1, 1], {"outputs": 2}, ValueError, "outputs divides the 3 rows"),
    "one loss": (EYE, [1, 1], {"loss": 1.0}, ValueError, "loss and next_loss are given together"),
    "two losses": (
        EYE,
        [1, 1],
        {"loss": [1.0, 1.0], "next_loss": 1.0},
        ValueError,
        "loss is one number",
    ),
    "chosen twice": (
        EYE,
        [1, 1],
        {"form": "subset", "chosen": [0, 0]},
        ValueError,
        "different indices below 2",
    ),
    "chosen outside": (EYE, [1, 1], {"form": "subset", "chosen": [2]}, ValueError, "below 2"),
    "none chosen": (EYE, [1, 1], {"form": "subset", "chosen": []}, ValueError, "at least one"),
    "no choice": (EYE, [1, 1], {"form": "subset", "chosen": None}, ValueError, "needs chosen="),
    "a word chosen": (EYE, [1, 1], {"form": "subset", "chosen": "ab"}, TypeError, "got 'ab'"),
    "chosen as a number": (EYE, [1, 1], {"form": "subset", "chosen": 1}, TypeError, "got 1"),
    "a class": (AttentionLearner, [1], {"sequences": S}, TypeError, "the class AttentionLearner"),
    "nothing": (None, [1], {}, TypeError, "a kernel is a Gram matrix.*got None"),
    "a mask beside a module": (
        learner(),
        [1],
        {"sequences": S, "mask": "causal"},
        ValueError,
        "mask and heads are for parameters of attention",
    ),
    "a half chosen": (EYE, [1, 1], {"form": "subset", "chosen": [0.5]}, TypeError, "indices"),
    "chosen for nothing": (EYE, [1, 1], {"chosen": [0]}, ValueError, "for the form 'subset'"),
    "sequences of a matrix": (EYE, [1, 1], {"sequences": S}, ValueError, "not with a Gram matrix"),
    "no sequences": (linear(), [1, 1], {}, ValueError, "give the sequences="),
    "no sequences for a module": (learner(), [1, 1], {}, ValueError, "give the sequences="),
    "overflow": (1e200 * EYE, [1e100, 1e100], {}, ValueError, "overflow"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gives_one_clear_error(name):
    K, g, options, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as raised:
        sufficient_reduction(K, g, **{"eta": 1e-3, "tau": 1.0, **options})
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)


def test_rounding_of_a_kernel_is_no_error():
    J = torch.randn(6, 2, generator=GENERATOR)  # float32, rank 2: eigenvalues of -1e-7
    K = J @ J.T
    K[0, 1] *= 1 + 2e-7
    r = found(K, torch.ones(6), "rate")
    assert r.verdict == "void"
    assert r.constant("lambda_min(K)") == 0


# squared loss by eigenmodes


def test_eigenmodes_decay_as_steps_and_flow_do():
    K, r, eta = spd(1) / 4, np.array([1.0, -2.0, 0.5, 3.0]), 0.05
    decay = eigenmode_decay(K, r, eta=eta, steps=30, normaliser=2.0)
    walked, h = r.copy(), 1e-4
    for step in range(31):
        assert decay.residual_norms[step] == pytest.approx(np.linalg.norm(walked), rel=1e-10)
        walked = walked - eta / 2 * K @ walked
    flow = r.copy()
    for _ in range(round(1 / h)):  # the midpoint rule, of second order
        middle = flow - h / 2 * eta / 2 * K @ flow
        flow = flow - h * eta / 2 * K @ middle
    assert decay.flow_norms[1] == pytest.approx(np.linalg.norm(flow), rel=1e-7)
    assert decay.stable
    assert not eigenmode_decay(K, r, eta=100.0, steps=0).stable
    assert eigenmode_decay(K, r, eta=1.0, steps=0).never_learned == 0


def test_under_strong_convexity_the_rate_gives_convergence_and_no_faster_one():
    """Squared loss, mu = 1: L <= exp(-2 eta lambda_min t / P) L_0, equal in the slowest mode."""
    K, eta = spd(4), 0.05
    values, vectors = np.linalg.eigh(K)
    limit = np.exp(-2 * eta * values[0] / 4 * np.arange(11))
    for r in (vectors[:, 0], np.ones(4), vectors[:, 3]):
        loss = eigenmode_decay(K, r, eta=eta, steps=10).flow_norms.square().numpy() / 8
        assert (loss <= limit * loss[0] * (1 + 1e-9)).all()
        equal = np.allclose(loss, limit * loss[0], rtol=1e-9)
        assert equal == (abs(r @ vectors[:, 0]) > 0.999 * np.linalg.norm(r))


def test_a_mode_that_is_not_there_cannot_diverge():
    decay = eigenmode_decay(np.diag([100.0, 1.0]), [0.0, 1.0], eta=1.0, steps=200)
    assert not decay.stable
    expected = 0.5 ** torch.arange(201, dtype=torch.float64)  # 1 - 1/2, of the mode that is there
    assert decay.residual_norms.tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_what_lies_in_the_null_space_is_never_learned():
    decay = eigenmode_decay(np.ones((2, 2)), [3.0, 1.0], eta=1.0, steps=1)
    assert decay.factors.tolist() == pytest.approx([1.0, 0.0])
    assert decay.never_learned == pytest.approx(math.sqrt(2))  # of (1, -1)
    assert decay.residual_norms.tolist() == pytest.approx([math.sqrt(10), math.sqrt(2)])
    with pytest.raises(ValueError, match="steps"):
        eigenmode_decay(np.eye(2), [1.0, 1.0], eta=1.0, steps=-1)
    with pytest.raises(ValueError, match="residual has shape"):
        eigenmode_decay(np.eye(2), [1.0], eta=1.0)


# along runs

LOSSES = {
    "squared": lambda shape: torch.randn(shape, generator=GENERATOR, dtype=torch.float64),
    "huber": lambda shape: 3 * torch.randn(shape, generator=GENERATOR, dtype=torch.float64),
    "logistic": lambda shape: torch.randint(0, 2, shape, generator=GENERATOR) * 2 - 1,
    "cross_entropy": lambda shape: torch.randint(0, shape[-1], shape[:-1], generator=GENERATOR),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("normaliser", [None, "sum"])
def test_a_run_in_the_outputs_falls_as_far_as_the_proved_forms_say(loss, normaliser):
    K = torch.from_numpy(spd(7, 6)).reshape(3, 1, 2, 3, 1, 2) / 6
    trace = reductions_along(
        K,
        None,
        LOSSES[loss]((3, 1, 2)),
        loss,
        eta=0.2,
        steps=20,
        normaliser=normaliser,
        forms=FORMS,
        chosen=[0, 2],
    )
    assert trace.moves == "outputs"
    for form in ("identity", "rate", "mean", "discrete", "repaired"):
        assert trace.summary(form).counts["holds"] == 20, str(trace)
    for record, step in zip(trace.records, trace.of("repaired"), strict=True):
        # the step that is bounded is the one that is made
        assert record.change == pytest.approx(step.left, rel=1e-9)
        assert record.change <= step.right
    assert sum(trace.changes) < 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_in_the_parameters_has_the_rate_of_its_kernel(loss):
    trace = reductions_along(
        learner(v=2), S, LOSSES[loss]((3, 4, 2)), loss, eta=0.01, steps=4, forms=("identity",)
    )
    assert trace.moves == "parameters"
    for r in trace.of("identity"):
        assert r.left == pytest.approx(r.right, rel=1e-9)


def test_a_step_of_the_parameters_is_the_rate_up_to_second_order():
    y = LOSSES["squared"]((3, 4, 1))
    etas = [4e-3, 2e-3, 1e-3, 5e-4]
    errors = []
    for eta in etas:
        trace = reductions_along(learner(), S, y, eta=eta, steps=1, forms=("identity",))
        errors.append(abs(trace.changes[0] - trace.of("identity")[0].left))
    slope = np.polyfit(np.log(etas), np.log(errors), 1)[0]
    assert slope == pytest.approx(2, abs=0.1)


def test_a_run_is_plain_gradient_descent_and_leaves_the_model_alone():
    model, y = learner(v=2), LOSSES["squared"]((3, 4, 2))
    kept = {n: p.detach().clone() for n, p in model.named_parameters()}
    given = {n: p.detach() for n, p in model.named_parameters()}
    by_module = reductions_along(model, S, y, eta=0.1, steps=3)
    by_mapping = reductions_along(given, S, y, eta=0.1, steps=3)
    assert by_module.changes == pytest.approx(by_mapping.changes, rel=1e-12)
    params = {n: p.clone().requires_grad_() for n, p in kept.items()}
    for record in by_module.records:
        loss = (attention(params, S) - y).square().sum() / 2 / 12
        assert record.loss == pytest.approx(loss.item(), rel=1e-12)
        slopes = torch.autograd.grad(loss, list(params.values()))
        params = {
            n: (p - 0.1 * d).detach().requires_grad_()
            for (n, p), d in zip(params.items(), slopes, strict=True)
        }
    for n, p in model.named_parameters():
        assert torch.equal(p, kept[n])


@pytest.mark.parametrize("vector_valued", [False, True])
def test_a_functional_learner_takes_the_steps_that_are_recorded(vector_valued):
    """The learner of `rkhs` averages over sequences, and so does the bound for its kernel."""
    kernel: Any = gaussian(3.0)
    if vector_valued:
        kernel = separable(kernel, torch.tensor([[2.0, 1.0], [1.0, 1.0]]).double())
    y = LOSSES["squared"]((3, 2) if vector_valued else (3,))
    walker = FunctionalLearner(kernel, losses.squared(), eta=0.5)
    walker.step(S, y)
    trace = reductions_along(walker, S, y, eta=0.5, steps=4)
    for record in trace.records:
        assert walker.step(S, y).sum().item() == pytest.approx(record.loss, rel=1e-12)
    assert trace.summary("repaired").counts["holds"] == 4
    fresh = reductions_along(kernel, S, y, eta=0.5, steps=2)
    assert fresh.records[1].loss == pytest.approx(trace.records[0].loss, rel=1e-12)


def test_a_tau_too_small_and_a_wrong_gradient_are_caught_along_a_run():
    K, y = np.eye(2), torch.tensor([1.0, 2.0])
    small = reductions_along(K, None, y, eta=0.5, steps=3, tau=0.5)
    assert small.summary("discrete").fails
    assert (small.summary("discrete").worst_ratio or 0) > 1
    right = losses.squared()
    wrong = Loss("wrong", 1.0, 0.0, True, right.targets, right.formula, lambda f, y: 2 * (f - y))
    assert reductions_along(K, None, y, wrong, eta=0.1, steps=1).summary("identity").fails
    assert not reductions_along(K, None, y, right, eta=0.1, steps=1).summary("identity").fails
    # a violated form of the paper is no failure
    broken = reductions_along(
        np.diag([1, 1 / 9]), None, -torch.tensor([0.1, 1.0]), eta=0.5, steps=2
    )
    assert broken.summary("paper").counts["violated"] == 2
    assert not broken.summary("paper").fails
    assert broken.summary("paper").worst_ratio == pytest.approx(4.99541, rel=1e-5)


def test_a_kernel_with_tensors_of_its_own_is_taken_in_their_precision():
    torch.manual_seed(0)
    params = {name: torch.randn(2, 2) for name in ("W_Q", "W_K", "W_V")}
    coupled = separable(gaussian(1.0), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    S = torch.randn(4, 3, 2)
    for kernel, o in ((frozen_antk(params), 6), (coupled, 2), (2.0 * coupled + coupled, 2)):
        g = torch.randn(4, o)
        K = kernel.gram(S).double()
        expected = -0.1 / 16 * (g.flatten().double() @ K @ g.flatten().double()).item()
        for sequences in (S, S.double()):  # of float64 they are rounded to the kernel's precision
            left = found(kernel, g, "identity", sequences=sequences, eta=0.1).left
            assert left == pytest.approx(expected, rel=1e-5)
    doubled = frozen_antk({name: W.double() for name, W in params.items()})
    g = torch.randn(4, 6)
    left = found(doubled, g, "identity", sequences=S).left
    assert left == found(doubled, g, "identity", sequences=S.double()).left


def test_a_learner_is_judged_by_its_own_loss():
    torch.manual_seed(0)
    S, y = torch.randn(4, 3, 2), torch.tensor([1.0, -1.0, 1.0, -1.0])
    learner = FunctionalLearner(gaussian(1.0), losses.logistic(), eta=0.3)
    run = reductions_along(learner, S, y, eta=learner.eta, steps=3)
    assert run.tau == 0.25
    expected = [learner.step(S, y).item() for _ in range(3)]
    assert [record.loss for record in run.records] == pytest.approx(expected, rel=1e-5)
    assert reductions_along(learner, S, y, "squared", eta=0.3, steps=1).tau == 1.0
    assert reductions_along(learner.kernel, S, y, eta=0.3, steps=1).tau == 1.0


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_as_many_classes_as_elements_are_still_one_vector(classes):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, classes)).double()
    S, y = torch.randn(4, 3, 2, dtype=torch.float64), torch.tensor([0, 1, 1, 0])
    run = reductions_along(model, S, y, "cross_entropy", eta=0.1, steps=1)
    assert run.normaliser == 4
    average = torch.nn.functional.cross_entropy(model(S), y).item()
    assert run.records[0].loss == pytest.approx(average, rel=1e-12)


def test_probabilities_in_single_precision_are_targets():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 5))
    S, y = torch.randn(40, 3, 2), torch.softmax(torch.randn(40, 5), -1)
    run = reductions_along(model, S, y, "cross_entropy", eta=0.1, steps=2)
    assert not any(run.summary(form).fails for form in ("identity", "discrete"))


def test_a_gradient_at_a_kink_is_no_fault():
    y = torch.tensor([0.0, 1.0])  # the first output is at its target from the start
    run = reductions_along(np.diag([1.0, 2.0]), None, y, losses.quantile(0.75), eta=0.1, steps=2)
    assert run.summary("identity").counts["holds"] == 2


def test_squared_loss_along_a_run_follows_its_eigenmodes():
    K, y = spd(9) / 8, torch.tensor([1.0, 0.5, -1.0, 2.0])
    trace = reductions_along(K, None, y, eta=0.1, steps=10, forms=("identity",))
    norms = eigenmode_decay(K, -y, eta=0.1, steps=10).residual_norms
    for record in trace.records:
        assert record.loss == pytest.approx(norms[record.step].item() ** 2 / 8, rel=1e-10)


class Centred(torch.nn.Linear):
    """A module whose outputs depend on the batch."""

    def __init__(self) -> None:
        super().__init__(5, 1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input - input.mean(0))


class Pair(Centred):
    """A module that returns two things."""

    def forward(self, input: torch.Tensor) -> Any:
        return input, input


class Single(Centred):
    """A module that computes in float32 whatever it is given."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.nn.Linear.forward(self, input).float())


def test_a_module_may_compute_in_single_precision():
    trace = reductions_along(Single(), S, torch.ones(3, 4, 1), eta=0.1, steps=2)
    for form in ("identity", "discrete", "repaired"):
        assert trace.summary(form).counts["holds"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is a whole number"),
        ({"forms": ()}, "forms are different names, at least one"),
        ({"forms": ("paper", "paper")}, "forms are different"),
        ({"forms": ("subset",)}, "needs chosen="),
        ({"loss": "square"}, "loss is one of absolute, cross_entropy, .*squared, or a Loss"),
        ({"loss": "quantile"}, "needs arguments"),
        ({"eta": 1e60, "steps": 8}, "diverged"),
        ({"start": torch.zeros(3)}, r"start has the shape of the outputs, \(2,\)"),
        ({"targets": torch.zeros(3)}, "targets have the shape of the outputs"),
        ({"model": learner(), "sequences": S, "start": torch.zeros(2)}, "start is for a kernel"),
        ({"model": learner(), "sequences": S, "heads": 2}, "mask and heads are for parameters"),
        ({"model": Centred(), "sequences": S}, "another output in a batch than alone"),
        ({"model": Pair(), "sequences": S}, "the module returned an object of type tuple"),
        ({"model": learner().requires_grad_(False), "sequences": S}, "no parameter that can be"),
    ],
)
def test_a_run_that_cannot_be_made_says_why(options, message):
    given = {
        "model": np.eye(2),
        "sequences": None,
        "targets": torch.ones(2),
        "eta": 0.1,
        "steps": 2,
        **options,
    }
    with pytest.raises((ValueError, TypeError), match=message):
        reductions_along(**given)


def test_one_form_of_a_trace_is_asked_for_by_name():
    trace = reductions_along(np.eye(2), None, torch.ones(2), eta=0.1, steps=2, forms=("exact",))
    assert trace.forms == ("identity",)
    assert trace.of("exact") == trace.of("identity")
    with pytest.raises(ValueError, match="recorded are identity, not 'paper'"):
        trace.of("paper")


# plots


def tracing(steps: int = 5, forms: tuple[str, ...] = FORMS) -> Any:
    """A run on which the paper's form is violated."""
    K, y = np.diag([1, 1 / 9]), -torch.tensor([0.1, 1.0])
    return reductions_along(K, None, y, eta=0.5, steps=steps, forms=forms, chosen=[1])


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<")]
)
def test_a_plot_is_a_file_of_its_format(tmp_path, ending, magic):
    path = plots.reductions(tracing(2, ("paper",)), tmp_path / f"sides.{ending}")
    assert path.read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [f"sides.{ending}"]


def test_a_plot_shows_both_sides_on_a_log_scale_and_marks_what_is_violated():
    trace = tracing()
    axes = plots._figure(trace).axes
    assert [a.get_title().split(":")[0] for a in axes] == list(FORMS)
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert axes[0].get_yscale() == "log"
    assert axes[0].get_xlabel()
    assert axes[0].get_ylabel()
    for label, sides in {
        "left side: the decrease there is": [r.left for r in trace.of("paper")],
        "right side: the decrease promised": [r.right for r in trace.of("paper")],
        "... violated": [r.right for r in trace.of("paper")],
        "measured change of the loss": trace.changes,
    }.items():
        assert lines[label].get_ydata().tolist() == [-side for side in sides]
    assert lines["... violated"].get_marker() == "X"
    assert "violated at 5 of 5" in axes[0].get_title()
    for a in axes[1:]:
        assert "... violated" not in [line.get_label() for line in a.get_lines()]


@pytest.mark.parametrize("steps", [1, 60])
def test_a_plot_shows_every_violated_step_and_a_run_of_one(steps):
    K, y = np.diag([1.0, 1 / 9]), torch.tensor([-0.1, -1.0])
    trace = reductions_along(K, None, y, eta=0.5, steps=steps)
    figure = plots._figure(trace)
    assert trace.summary("paper").counts["violated"] == steps
    for axes in figure.axes:
        for line in axes.get_lines():
            marks = range(0, steps, cast(int, line.get_markevery()))
            dense = line.get_linestyle() == "None" or steps == 1
            assert len(marks) == (steps if dense else 20)
            assert line.get_marker() not in (None, "None", "")
        low, high = axes.get_ylim()
        assert high / low > 1.02


def test_a_point_between_two_gaps_is_seen():
    sides = [SimpleNamespace(left=-1.0, right=r, verdict="holds") for r in (0.0, -0.5, 0.0) * 20]
    trace: Any = SimpleNamespace(
        forms=("rate",), steps=range(60), changes=[-1.0] * 60, of=lambda form: sides
    )
    lines = {line.get_label(): line for line in plots._figure(trace).axes[0].get_lines()}
    assert lines["right side: the decrease promised"].get_markevery() == 1


def test_a_plot_that_cannot_be_written_is_told_before_anything_is_drawn(tmp_path):
    for name, message in {"a.jpeg": "written as .png", "no/a.png": "there is no folder"}.items():
        with pytest.raises(UserError, match=message):
            plots.reductions(tracing(1), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
