"""Losses: values and gradients against PyTorch and autograd, constants against searches."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from conftest import DTYPES, relative_error
from hypothesis import given
from torch import Tensor
from torch.func import grad, hessian, vmap
from torch.nn import functional

from ntteach import losses, oracles
from ntteach.claims import Outcome, Setting
from ntteach.claims.verdict import judge
from ntteach.losses import Loss
from ntteach.paper import registry
from ntteach.paper.evidence import loss_checks, loss_laws
from ntteach.paper.evidence.arithmetic import EXACT, FLOATS

F64 = torch.float64
WEIGHTS = torch.tensor([2.0, 0.5, 0.0], dtype=F64)
SMOOTH: dict[str, Loss] = {
    "squared": losses.squared(),
    "weighted squared": losses.weighted_squared(WEIGHTS),
    "huber": losses.huber(0.5),
    "pseudo-huber": losses.pseudo_huber(0.5),
    "log-cosh": losses.log_cosh(),
    "logistic": losses.logistic(),
    "cross-entropy": losses.cross_entropy(),
    "cross-entropy, probabilities": losses.cross_entropy(),
}
KINKED: dict[str, Loss] = {"absolute": losses.absolute(), "quantile": losses.quantile(0.3)}
EVERY = SMOOTH | KINKED


def targets(name: str, f: Tensor, generator: torch.Generator) -> Tensor:
    y = torch.randn(f.shape, generator=generator, dtype=F64).to(f)
    if name == "logistic":
        return torch.where(y > 0, 1.0, -1.0).to(f)
    if name == "cross-entropy":
        return y.argmax(-1)
    return torch.softmax(y, -1) if name.startswith("cross-entropy") else y


# --- values and gradients ------------------------------------------------------------------------

REFERENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": lambda f, y: functional.mse_loss(f, y, reduction="none") / 2,
    "weighted squared": lambda f, y: WEIGHTS.to(f) * (f - y) ** 2 / 2,
    "huber": lambda f, y: functional.huber_loss(f, y, reduction="none", delta=0.5),
    "pseudo-huber": lambda f, y: 0.25 * ((1 + 4 * (f - y) ** 2).sqrt() - 1),
    "log-cosh": lambda f, y: torch.log(torch.cosh(f - y)),
    "logistic": lambda f, y: functional.binary_cross_entropy_with_logits(
        f, (y + 1) / 2, reduction="none"
    ),
    "cross-entropy": lambda f, y: functional.cross_entropy(f, y, reduction="none"),
    "cross-entropy, probabilities": lambda f, y: functional.cross_entropy(f, y, reduction="none"),
    "absolute": lambda f, y: functional.l1_loss(f, y, reduction="none"),
    "quantile": lambda f, y: torch.where(y > f, 0.3 * (y - f), 0.7 * (f - y)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 6.0])
@pytest.mark.parametrize("name", EVERY)
def test_values_and_gradients_are_those_of_pytorch_and_autograd(
    name: str, scale: float, dtype: torch.dtype, generator: torch.Generator, device: str
):
    f = (scale * torch.randn(7, 3, generator=generator, dtype=F64)).to(device, dtype)
    y = targets(name, f, generator)
    loss, reference = EVERY[name], REFERENCES[name]
    tolerance = 1e-12 if dtype == F64 else 3e-5
    assert relative_error(loss.value(f, y), reference(f, y)) < tolerance
    expected = grad(lambda f: reference(f, y).sum())(f)
    assert relative_error(loss.gradient(f, y), expected) < tolerance
    assert loss.gradient(f, y).dtype == loss.value(f, y).dtype == dtype


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_belong_to_values_by_central_differences(name: str, generator: torch.Generator):
    f = torch.randn(4, 3, generator=generator, dtype=F64)
    y = targets(name, f, generator)
    slope, bound = oracles.central_difference(lambda f: SMOOTH[name].value(f, y).sum(), f)
    assert ((SMOOTH[name].gradient(f, y) - slope).abs() <= bound + 1e-12).all()


@pytest.mark.parametrize("name", EVERY)
def test_values_have_no_gradient_of_another_output(name: str, generator: torch.Generator):
    f = torch.randn(4, 3, generator=generator, dtype=F64)
    y = targets(name, f, generator)
    whole = EVERY[name].gradient(f, y)
    for n in range(4):
        assert torch.equal(EVERY[name].gradient(f[n], y[n]), whole[n])
    shape = f.shape if EVERY[name].elementwise else f.shape[:-1]
    assert EVERY[name].value(f, y).shape == shape


@pytest.mark.parametrize("name", EVERY)
def test_losses_go_through_vmap_and_grad(name: str, generator: torch.Generator):
    f = torch.randn(4, 3, generator=generator, dtype=F64)
    y = targets(name, f, generator)
    loss = EVERY[name]
    assert torch.allclose(vmap(loss.gradient)(f, y), loss.gradient(f, y), atol=1e-14)
    by_autograd = grad(lambda f: loss.value(f, y).sum())(f)
    assert torch.allclose(by_autograd, loss.gradient(f, y), atol=1e-12)


@pytest.mark.parametrize("name", [name for name in EVERY if "cross" not in name])
def test_targets_may_be_integers(name: str):
    f, y = torch.tensor([0.5, -1.0, 2.0], dtype=F64), torch.tensor([1, -1, 1])
    assert torch.equal(EVERY[name].gradient(f, y), EVERY[name].gradient(f, y.to(F64)))


# --- far out and close by ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e18])
@pytest.mark.parametrize("name", [name for name in EVERY if "squared" not in name])
def test_nothing_overflows_where_the_loss_is_finite(name: str, size: float, dtype: torch.dtype):
    f = torch.tensor([[size, -size, 0.0]], dtype=dtype)
    for y in (torch.ones(1, 3, dtype=dtype), -torch.ones(1, 3, dtype=dtype)):
        if "cross" in name:
            y = torch.tensor([1 if y[0, 0] > 0 else 0])
        assert EVERY[name].value(f, y).isfinite().all()
        assert EVERY[name].gradient(f, y).isfinite().all()
        assert (EVERY[name].value(f, y) >= 0).all()
        # all of these grow linearly
        assert EVERY[name].value(f, y).max() <= 2 * size + 2
        assert EVERY[name].gradient(f, y).abs().max() <= 1


@pytest.mark.parametrize("name", ["huber", "pseudo-huber", "log-cosh", "squared"])
def test_a_small_residual_keeps_its_digits(name: str):
    # all of them are x^2 / 2 there, up to a relative x^2
    x = torch.tensor([1e-3, 1e-6, 1e-9], dtype=F64)
    value = EVERY[name].value(x, torch.zeros_like(x))
    assert ((value / (x.square() / 2) - 1).abs() < 2 * x.square() + 1e-15).all()


def test_a_confident_logistic_keeps_its_digits():
    f = torch.tensor([30.0, 300.0], dtype=F64)
    value = losses.logistic().value(f, torch.ones(2))
    assert torch.allclose(value, torch.exp(-f), rtol=1e-12)
    # torch.nn.functional.softplus is linear from 20 on, which is off by 2e-9 there
    at_twenty = losses.logistic().value(torch.tensor([-21.0], dtype=F64), torch.ones(1)).item()
    assert at_twenty - 21 == pytest.approx(math.exp(-21), rel=1e-5)


def test_a_class_that_is_ruled_out_adds_nothing():
    f = torch.tensor([[0.0, 0.0, -math.inf]], dtype=F64)
    for y in (torch.tensor([0]), torch.tensor([[1.0, 0.0, 0.0]], dtype=F64)):
        assert losses.cross_entropy().value(f, y).item() == pytest.approx(math.log(2))
        assert losses.cross_entropy().gradient(f, y).tolist() == [[-0.5, 0.5, 0.0]]


def test_cross_entropy_of_two_classes_is_the_logistic_loss(generator: torch.Generator):
    u = torch.randn(9, generator=generator, dtype=F64)
    f = torch.stack([u, torch.zeros_like(u)], 1)
    value = losses.cross_entropy().value(f, torch.zeros(9, dtype=torch.long))
    assert torch.allclose(value, losses.logistic().value(u, torch.ones(9)), atol=1e-14)
    slope = losses.cross_entropy().gradient(f, torch.zeros(9, dtype=torch.long))
    assert torch.allclose(slope[:, 0], losses.logistic().gradient(u, torch.ones(9)), atol=1e-14)
    assert torch.allclose(slope.sum(1), torch.zeros(9, dtype=F64), atol=1e-15)


def test_probabilities_may_be_rounded_more_coarsely_than_outputs(generator: torch.Generator):
    f = torch.randn(50, 7, generator=generator, dtype=F64)
    y = torch.softmax(torch.randn(50, 7, generator=generator), -1)  # float32
    expected = functional.cross_entropy(f, y.double(), reduction="none")
    assert relative_error(losses.cross_entropy().value(f, y), expected) < 1e-14
    with pytest.raises(ValueError, match="sum to 1"):  # these claim digits that they do not have
        losses.cross_entropy().value(f, y.double() * (1 + 1e-6))


@pytest.mark.parametrize("name", KINKED)
def test_at_a_kink_the_gradient_is_zero_by_autograd_too(name: str):
    at = torch.zeros(1, dtype=F64)
    assert KINKED[name].gradient(at, at).item() == 0
    assert grad(lambda f: KINKED[name].value(f, at).sum())(at).item() == 0


@pytest.mark.parametrize("delta", [Fraction(1, 2), np.float32(0.5), np.float64(0.5)])
def test_any_real_number_may_be_a_constant(delta: Any):
    f, y = torch.tensor([3.0, 0.25]), torch.zeros(2)
    for make in (losses.huber, losses.pseudo_huber, losses.quantile):
        assert torch.equal(make(delta).value(f, y), make(0.5).value(f, y))


def test_cross_entropy_of_one_class_is_zero():
    f = torch.tensor([[3.0], [-4.0]])
    assert losses.cross_entropy().value(f, torch.tensor([0, 0])).tolist() == [0.0, 0.0]
    assert losses.cross_entropy().gradient(f, torch.tensor([0, 0])).tolist() == [[0.0], [0.0]]


def test_the_huber_loss_is_continuous_with_its_slope():
    loss, y = losses.huber(0.5), torch.zeros(4, dtype=F64)
    edge = torch.tensor([0.5, 0.5 + 1e-12, -0.5, -0.5 - 1e-12], dtype=F64)
    assert torch.allclose(loss.value(edge, y), torch.full((4,), 0.125, dtype=F64), atol=1e-12)
    assert loss.gradient(edge, y).tolist() == [0.5, 0.5, -0.5, -0.5]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_the_quantile_loss_is_least_at_the_quantile(level: float):
    y = torch.arange(10, dtype=F64)
    loss = losses.quantile(level)
    total = torch.stack([loss.value(f.expand_as(y), y).sum() for f in y])
    assert abs(total.argmin().item() - 10 * level) <= 1


# --- constants -----------------------------------------------------------------------------------

NUMBERS = st.floats(-8, 8, allow_nan=False, width=32)
VECTORS = st.lists(NUMBERS, min_size=3, max_size=3).map(lambda x: torch.tensor(x, dtype=F64))


@pytest.mark.parametrize("name", SMOOTH)
@given(f=VECTORS, other=VECTORS, seed=st.integers(0, 5))
def test_no_two_outputs_break_the_constants(name: str, f: Tensor, other: Tensor, seed: int):
    loss = SMOOTH[name]
    y = targets(name, f, torch.Generator().manual_seed(seed))
    moved = loss.gradient(f, y) - loss.gradient(other, y)
    apart = f - other
    slack = 1e-9 * (1 + apart.norm() ** 2)
    assert moved.norm() ** 2 <= (loss.smoothness * apart.norm()) ** 2 + slack
    assert moved @ apart >= loss.strong_convexity * (apart @ apart) - slack


@pytest.mark.parametrize("name", SMOOTH)
def test_the_constants_are_reached_by_the_hessian(name: str):
    loss, zero = SMOOTH[name], torch.zeros(3, dtype=F64)
    # with one class all but ruled out, two of the others are as likely as each other
    f = torch.tensor([0.0, 0.0, -40.0], dtype=F64) if "cross" in name else zero
    y = {"logistic": torch.ones(3, dtype=F64), "cross-entropy": torch.tensor(0)}.get(name, zero)
    y = torch.tensor([1.0, 0, 0], dtype=F64) if "prob" in name else y
    H = hessian(lambda f: loss.value(f, y).sum())(f)
    eigenvalues = torch.linalg.eigvalsh(H)
    assert eigenvalues[-1].item() == pytest.approx(loss.smoothness, abs=1e-12)
    if loss.strong_convexity or "cross" in name or "weighted" in name:
        assert eigenvalues[0].item() == pytest.approx(loss.strong_convexity, abs=1e-12)


def test_losses_with_a_kink_say_that_they_are_not_smooth():
    for loss in KINKED.values():
        assert loss.smoothness == math.inf
        assert loss.strong_convexity == 0
        at_zero = [loss.gradient(torch.tensor([x]), torch.zeros(1)).item() for x in (-1e-6, 1e-6)]
        assert at_zero[1] - at_zero[0] >= 0.999


def test_weights_bound_the_constants():
    loss = losses.weighted_squared(torch.tensor([3.0, 1.0, 2.0]))
    assert (loss.smoothness, loss.strong_convexity) == (3.0, 1.0)
    weights = torch.tensor([3.0, 1.0, 2.0])
    kept = losses.weighted_squared(weights)
    weights[1] = 100.0  # the loss keeps its own
    assert kept.gradient(torch.ones(3), torch.zeros(3)).tolist() == [3.0, 1.0, 2.0]


# --- bad input -----------------------------------------------------------------------------------

BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: losses.huber(0), ValueError, "delta is a finite number above 0, got 0"),
    (lambda: losses.huber(-1.0), ValueError, "above 0"),
    (lambda: losses.huber(math.nan), ValueError, "above 0"),
    (lambda: losses.pseudo_huber(math.inf), ValueError, "finite"),
    (lambda: losses.quantile(1.0), ValueError, "level lies between 0 and 1"),
    (lambda: losses.quantile(True), ValueError, "level is a finite number"),
    (lambda: losses.weighted_squared(torch.ones(2, 2)), ValueError, r"weights are \(o,\)"),
    (lambda: losses.weighted_squared(torch.tensor([1.0, -1.0])), ValueError, "none negative"),
    (lambda: losses.weighted_squared(torch.zeros(2)), ValueError, "not all zero"),
    (lambda: losses.weighted_squared(torch.tensor([1, 2])), TypeError, "floating-point"),
    (
        lambda: losses.weighted_squared(torch.ones(2)).value(torch.ones(3), torch.ones(3)),
        ValueError,
        "one entry for each of 2 weights",
    ),
    (
        lambda: losses.squared().value(torch.ones(3), torch.ones(3, 1)),
        ValueError,
        r"targets have the shape of the outputs, \(3,\), got \(3, 1\)",
    ),
    (lambda: losses.squared().value(torch.ones(3), cast(Any, [1.0])), TypeError, "y is a tensor"),
    (lambda: losses.squared().gradient(torch.tensor([1]), torch.ones(1)), TypeError, "f, the out"),
    (
        lambda: losses.squared().gradient(torch.ones(1), torch.ones(1, dtype=torch.complex64)),
        TypeError,
        "real",
    ),
    (
        lambda: losses.logistic().value(torch.ones(3), torch.tensor([1, 0, 1])),
        ValueError,
        "labels are -1 or 1, got 0.0",
    ),
    (
        lambda: losses.logistic().value(torch.ones(1), torch.tensor([math.nan])),
        ValueError,
        "labels are -1 or 1, got nan",
    ),
    (
        lambda: losses.cross_entropy().value(torch.ones(2, 3), torch.tensor([0, 3])),
        ValueError,
        "class numbers lie between 0 and 2, got 3",
    ),
    (
        lambda: losses.cross_entropy().value(torch.ones(2, 3), torch.tensor([-1, 0])),
        ValueError,
        "got -1",
    ),
    (
        lambda: losses.cross_entropy().value(torch.ones(2, 3), torch.tensor([0])),
        ValueError,
        r"class numbers are integers \(2,\)",
    ),
    (
        lambda: losses.cross_entropy().value(torch.ones(2, 3), torch.ones(2, 3)),
        ValueError,
        "sum to 1",
    ),
    (
        lambda: losses.cross_entropy().value(torch.ones(1, 2), torch.tensor([[1.5, -0.5]])),
        ValueError,
        "not negative",
    ),
    (
        lambda: losses.cross_entropy().value(torch.ones(()), torch.tensor(0)),
        ValueError,
        "last axis",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[case[-1] for case in BAD])
def test_bad_input_gives_one_clear_error(
    call: Callable[[], Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        call()


# --- the checks of the paper see planted errors --------------------------------------------------

CLAIM = registry["loss-smoothness"]


def outcome(check_name: str, evidence: Any) -> Outcome:
    check = next(check for check in CLAIM.checks if check.name == check_name)
    return judge(check, evidence).outcome


def planted(monkeypatch: pytest.MonkeyPatch, name: str, loss: Loss) -> None:
    _, value = loss_checks.REFERENCES[name]
    monkeypatch.setitem(loss_checks.REFERENCES, name, (loss, value))


@pytest.mark.parametrize("name", loss_checks.REFERENCES)
@pytest.mark.parametrize("check", ["gradients", "differences"])
def test_a_slope_that_is_off_by_a_millionth_is_seen(
    check: str, name: str, monkeypatch: pytest.MonkeyPatch
):
    loss, _ = loss_checks.REFERENCES[name]
    wrong = Loss(
        **{**vars(loss), "slope": lambda f, y: loss.slope(f, y) * (1 + 1e-6)}  # type: ignore
    )
    planted(monkeypatch, name, wrong)
    evidence = getattr(loss_checks, check)(CLAIM, Setting())
    assert evidence.outcome is Outcome.REFUTES
    assert name in evidence.detail


@pytest.mark.parametrize("constant", ["smoothness", "strong_convexity"])
@pytest.mark.parametrize("name", loss_laws.SMOOTH)
def test_a_constant_that_is_off_by_one_per_cent_is_seen(
    name: str, constant: str, monkeypatch: pytest.MonkeyPatch
):
    library, gradient, logs = loss_laws.LOSSES[name]

    def wrong(given: Any) -> Loss:
        loss = library(given)
        off = 0.01 * max(getattr(loss, constant), 1.0)
        return Loss(**{**vars(loss), constant: getattr(loss, constant) - off})

    assert loss_checks.best(CLAIM, Setting(), constant=constant).outcome is Outcome.SUPPORTS
    monkeypatch.setitem(loss_laws.LOSSES, name, (wrong, gradient, logs))
    evidence = loss_checks.best(CLAIM, Setting(), constant=constant)
    assert evidence.outcome is Outcome.REFUTES
    assert name in evidence.detail


@pytest.mark.parametrize("name", loss_laws.SMOOTH)
def test_the_laws_gradients_are_the_librarys(name: str):
    case = {"f": [2, -1, 1], "target": [1, 0, 3], "unit": "1", "label": -1, "class": 2}
    case["weights"] = [1, 3, 2]
    for arithmetic in (EXACT, FLOATS):
        unit = math.log(2) if loss_laws.LOSSES[name][2] else 1.0
        f = [arithmetic.number(str(x)) * (arithmetic.log2 if unit != 1 else 1) for x in case["f"]]
        kind = float if arithmetic is FLOATS else object
        g = loss_laws.gradient_of(name, np.array(f, dtype=kind), case, arithmetic)
        found = torch.tensor([float(x) for x in g], dtype=F64)
        outputs = unit * torch.tensor(case["f"], dtype=F64)
        y = unit * torch.tensor(case["target"], dtype=F64)
        y = {"logistic": -torch.ones(3), "cross-entropy": torch.tensor(2)}.get(name, y)
        loss = loss_laws.LOSSES[name][0](case)
        assert torch.allclose(loss.gradient(outputs, y), found, atol=1e-12)
