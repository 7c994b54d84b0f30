"""Scores of samples against loops, autograd and explicit kernels; weights; ids in a dataset."""

from __future__ import annotations

import pickle
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import hypothesis.strategies as st
import pytest
import torch
from conftest import relative_error
from hypothesis import given
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ntteach import AttentionLearner, antk, attention, empirical_ntk, gradient_norms
from ntteach.losses import squared
from ntteach.teaching import scores
from ntteach.teaching.indexed import indexed
from ntteach.teaching.ntk import ntk_scores
from ntteach.teaching.scores import last_layer_gradient_norms, residual_norm, token_mean
from ntteach.teaching.weights import class_weights, gradnorm_weights, group_weights

F64 = torch.float64
NAN, INF = float("nan"), float("inf")


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def valid(lengths: list[int], L: int) -> Tensor:
    return torch.arange(L) < torch.tensor(lengths)[:, None]


# --- residuals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 4, 3), (5, 2, 3, 2)])
def test_the_residual_is_the_norm_over_all_axes_but_the_first(shape: tuple[int, ...]):
    f, y = randn(*shape), randn(*shape, seed=1)
    expected = [
        sum((a - b) ** 2 for a, b in zip(u, v, strict=True)) ** 0.5 for u, v in numbers(f, y)
    ]
    assert relative_error(residual_norm(f, y), torch.tensor(expected, dtype=F64)) < 1e-12


def numbers(f: Tensor, y: Tensor) -> Iterator[tuple[list[float], list[float]]]:
    for u, v in zip(f, y, strict=True):
        yield u.flatten().tolist(), v.flatten().tolist()


def test_for_the_squared_loss_residual_loss_and_its_gradient_give_one_order():
    f, y = randn(40, 3, 2), randn(40, 3, 2, seed=1)
    residual = residual_norm(f, y)
    loss = squared().value(f, y).sum((1, 2))
    slope = squared().gradient(f, y).flatten(1).norm(dim=1)
    assert residual.argsort().tolist() == loss.argsort().tolist() == slope.argsort().tolist()


@pytest.mark.parametrize("per_token", [False, True])
def test_padding_changes_no_residual_however_far_it_goes(per_token: bool):
    f, y = randn(3, 4, 2), randn(3, 4, 2, seed=1)
    lengths = [4, 2, 1]
    alone = [
        residual_norm(f[i : i + 1, :n], y[i : i + 1, :n], per_token=per_token)
        for i, n in enumerate(lengths)
    ]
    for L in (4, 9):
        wide = torch.full((3, L, 2), NAN, dtype=F64)
        for i, n in enumerate(lengths):
            wide[i, :n] = f[i, :n]
        target = F.pad(y, (0, 0, 0, L - 4))
        found = residual_norm(wide, target, valid(lengths, L), per_token=per_token)
        assert relative_error(found, torch.cat(alone)) < 1e-14


def test_a_repeated_sequence_has_its_own_residual_per_token_and_the_root_of_it_in_all():
    f, y = randn(3, 4, 2), randn(3, 4, 2, seed=1)
    twice = residual_norm(f.repeat(1, 2, 1), y.repeat(1, 2, 1))
    assert relative_error(twice, residual_norm(f, y) * 2**0.5) < 1e-14
    each = residual_norm(f.repeat(1, 2, 1), y.repeat(1, 2, 1), per_token=True)
    assert relative_error(each, residual_norm(f, y, per_token=True)) < 1e-14
    assert relative_error(residual_norm(f, y), 2 * each) < 1e-14  # the root of 4 tokens


def test_residuals_of_half_precision_are_ranked_in_float32():
    f = torch.tensor([[1.0, 0.0], [1.0, 0.0625]], dtype=torch.bfloat16)
    found = residual_norm(f, torch.zeros_like(f))
    assert found.dtype == torch.float32
    assert found[0] < found[1]  # 1 and 1.00195, which bfloat16 rounds to 1
    mixed = residual_norm(f, torch.zeros(2, 2, dtype=F64))
    assert mixed.dtype == F64


def test_a_sequence_without_tokens_has_no_residual():
    f = randn(2, 3, 2)
    for per_token in (False, True):
        found = residual_norm(f, 0 * f, valid([0, 3], 3), per_token=per_token)
        assert found[0] == 0
        assert found[1] > 0
    assert residual_norm(randn(0, 3, 2), randn(0, 3, 2)).shape == (0,)


# --- losses of tokens ----------------------------------------------------------------------------

REDUCE: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(),
    "sum": lambda x: x.sum(),
    "max": lambda x: x.max(),
}


@pytest.mark.parametrize("reduce", REDUCE)
def test_token_losses_are_reduced_over_valid_tokens_alone(reduce: Any):
    losses, lengths = randn(4, 5).abs() - 0.5, [5, 3, 1, 2]
    mask = valid(lengths, 5)
    losses[~mask] = NAN
    found = token_mean(losses, mask, reduce)
    expected = [REDUCE[reduce](losses[i, :n]) for i, n in enumerate(lengths)]
    assert relative_error(found, torch.stack(expected)) < 1e-14
    assert token_mean(losses[:1], None, reduce) == token_mean(losses[:1], mask[:1], reduce)


@pytest.mark.parametrize("reduce", REDUCE)
def test_the_gradient_of_a_sequence_reaches_its_valid_tokens_alone(reduce: Any):
    losses, lengths = randn(4, 5), [5, 3, 1, 0]
    mask = valid(lengths, 5)
    leaf = losses.clone().requires_grad_()
    token_mean(leaf, mask, reduce).sum().backward()
    other = losses.clone().requires_grad_()
    torch.stack([REDUCE[reduce](other[i, :n]) for i, n in enumerate(lengths) if n]).sum().backward()
    assert leaf.grad is not None
    assert other.grad is not None
    assert relative_error(leaf.grad, other.grad) < 1e-14
    assert not leaf.grad[~mask].any()


@pytest.mark.parametrize("reduce", REDUCE)
def test_a_sequence_without_valid_tokens_has_loss_zero(reduce: Any):
    assert token_mean(randn(2, 3) - 9, valid([0, 0], 3), reduce).tolist() == [0, 0]
    assert token_mean(randn(2, 0), None, reduce).tolist() == [0, 0]


def test_further_axes_are_tokens_too():
    losses = randn(3, 4, 2)
    mask = valid([4, 1, 2], 4)
    expected = token_mean(losses.flatten(1), mask.repeat_interleave(2, 1))
    assert torch.equal(token_mean(losses, mask), expected)
    assert torch.equal(token_mean(losses, mask[..., None].expand(3, 4, 2)), expected)


def test_sums_of_half_precision_are_made_in_float32():
    losses = torch.full((1, 4000), 0.25, dtype=torch.bfloat16)
    found = token_mean(losses, None, "sum")
    assert found.dtype == torch.float32
    assert found.item() == 1000  # which bfloat16 cannot tell from 1004


# --- the last layer ------------------------------------------------------------------------------


def by_autograd(
    x: Tensor, head: nn.Linear, y: Tensor, reduce: str = "mean", ignore: int = -100
) -> Tensor:
    """Each sample alone, through PyTorch's own cross-entropy."""
    norms = []
    for i in range(len(x)):
        head.zero_grad()
        logits, labels = head(x[i : i + 1]).flatten(0, -2), y[i : i + 1].flatten()
        loss = F.cross_entropy(logits, labels, reduction="sum", ignore_index=ignore)
        if reduce == "mean":
            loss = loss / (labels != ignore).sum().clamp(min=1)
        loss.backward()
        norms.append(sum(p.grad.square().sum() for p in head.parameters() if p.grad is not None))
    return torch.stack([torch.as_tensor(n, dtype=x.dtype) for n in norms]).sqrt()


def head(h: int, C: int, bias: bool) -> nn.Linear:
    layer = nn.Linear(h, C, bias=bias).to(F64)
    with torch.no_grad():
        for k, p in enumerate(layer.parameters()):
            p.copy_(randn(*p.shape, seed=10 + k))
    return layer


# The last two take the ways through h x C and through L x L.
SHAPES = [((6,), 3, 4), ((6, 1), 3, 4), ((6, 4, 2), 3, 4), ((6, 9), 2, 3), ((6, 2), 5, 4)]


@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("tokens", "h", "C"), SHAPES)
def test_last_layer_norms_are_those_of_autograd(
    tokens: tuple[int, ...], h: int, C: int, bias: bool, reduce: Any
):
    x, layer = randn(*tokens, h), head(h, C, bias)
    y = randn(*tokens, C, seed=3).argmax(-1)
    if len(tokens) > 1:
        y[torch.rand(tokens, generator=torch.Generator().manual_seed(4)) < 0.3] = -100
        y[1] = -100
    with torch.no_grad():
        logits = layer(x)
    found = last_layer_gradient_norms(x, logits, y, bias=bias, reduce=reduce)
    assert relative_error(found, by_autograd(x, layer, y, reduce)) < 1e-12
    if len(tokens) > 1:
        assert found[1] == 0


def test_the_last_layer_in_small_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch):
    x, layer = randn(7, 5, 3), head(3, 4, True)
    y = randn(7, 5, 4, seed=3).argmax(-1)
    logits = layer(x)
    whole = last_layer_gradient_norms(x, logits, y)
    monkeypatch.setattr(scores, "_BLOCK_NUMBERS", 200)
    assert relative_error(last_layer_gradient_norms(x, logits, y), whole) < 1e-14
    empty = last_layer_gradient_norms(x[:0], logits[:0], y[:0])
    assert empty.shape == (0,)
    assert not whole.requires_grad


def test_tokens_that_do_not_count_may_hold_anything():
    x, layer = randn(3, 4, 3), head(3, 4, True)
    y = randn(3, 4, 4, seed=3).argmax(-1)
    y[:, 2:] = 77
    logits = layer(x).detach()
    short = last_layer_gradient_norms(x[:, :2], logits[:, :2], y[:, :2])
    x[:, 2:], logits[:, 2:] = NAN, INF
    found = last_layer_gradient_norms(x, logits, y, ignore_index=77)
    assert relative_error(found, short) < 1e-14


def test_a_nearly_certain_sample_keeps_its_norm():
    logits = torch.tensor([[40.0, 0.0, 0.0]])
    found = last_layer_gradient_norms(torch.zeros(1, 2), logits, torch.tensor([0]))
    # r = (-2e, e, e) with e = exp(-40), where softmax - 1 rounds to 0 in float32
    assert found.item() / 4.248354255291589e-18 == pytest.approx(6**0.5, rel=1e-5)


def test_norms_of_half_precision_come_in_float32():
    x, layer = randn(4, 3).to(torch.bfloat16), head(3, 4, True).to(torch.bfloat16)
    y = torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        logits = layer(x)
    found = last_layer_gradient_norms(x, logits, y)
    assert found.dtype == torch.float32
    exact = last_layer_gradient_norms(x.double(), logits.double(), y)
    assert relative_error(found, exact) < 1e-5


# --- when scores part ----------------------------------------------------------------------------


def test_loss_and_slope_of_cross_entropy_order_three_classes_differently():
    p = torch.tensor([[0.5, 0.5, 1e-9], [0.45, 0.275, 0.275]], dtype=F64)
    y = torch.tensor([0, 0])
    loss = F.cross_entropy(p.log(), y, reduction="none")
    slope = last_layer_gradient_norms(torch.zeros(2, 1, dtype=F64), p.log(), y)
    assert loss[0] < loss[1]
    assert slope[0] > slope[1]


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6, unique=True))
def test_loss_and_slope_of_cross_entropy_order_two_classes_alike(margins: list[float]):
    logits = torch.stack([torch.zeros(len(margins)), torch.tensor(margins)], 1).double()
    y = torch.zeros(len(margins), dtype=torch.int64)
    order = F.cross_entropy(logits, y, reduction="none").argsort()
    slope = last_layer_gradient_norms(torch.zeros(len(margins), 1, dtype=F64), logits, y)[order]
    assert bool((slope.diff() >= -1e-15).all())
    assert slope.max() < 2**0.5 + 1e-15


def test_gradient_norms_of_attention_are_a_score_that_autograd_confirms():
    params = {name: randn(3, 3, seed=k) for k, name in enumerate(("W_Q", "W_K", "W_V"))}
    S, y = randn(5, 4, 3, seed=5), randn(5, 4, 3, seed=6)
    found = gradient_norms(params, S, squared().gradient(attention(params, S), y))
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    for i in range(5):
        loss = squared().value(attention(leaves, S[i]), y[i]).sum()
        parts = torch.autograd.grad(loss, list(leaves.values()))
        norm = torch.cat([g.flatten() for g in parts]).norm()
        assert found[i].item() == pytest.approx(norm.item(), rel=1e-12)


# --- residuals weighed by the kernel -------------------------------------------------------------


class Frozen(nn.Module):
    """Layers of which one is frozen, a norm with buffers, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.drop, self.last = nn.Dropout(0.5), nn.Linear(4, 2)
        self.first.requires_grad_(False)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        return self.last(self.drop(self.norm(self.first(x)).tanh())) * scale


class Encoder(nn.Module):
    """Fused attention, which has no derivative in forward mode unless asked for another kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.layer(x, src_key_padding_mask=mask)


class Masked(nn.Module):
    """Masks at random in eval mode too, as a masked auto-encoder does, and counts its calls."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x * (torch.rand(x.shape[1:]) < 0.5))


def seeded(module: Any) -> Any:
    module = module.to(F64)
    with torch.no_grad():
        for k, p in enumerate([*module.parameters(), *module.buffers()]):
            if p.is_floating_point() and p.ndim:
                p.copy_(
                    randn(*p.shape, seed=50 + k).abs() if p.ndim < 2 else randn(*p.shape, seed=k)
                )
    return module


def every_module() -> dict[str, tuple[nn.Module, Any, tuple[int, ...]]]:
    padded = valid([3, 2, 3, 1, 3], 3).logical_not()
    mlp = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return {
        "mlp": (seeded(mlp), randn(5, 3), (5, 2)),
        "frozen": (seeded(Frozen()), {"x": randn(5, 3), "scale": 3.0}, (5, 2)),
        "encoder": (seeded(Encoder()), (randn(5, 3, 4), padded), (5, 3, 4)),
    }


def weighed(K: Tensor, g: Tensor) -> Tensor:
    """`||K(x_i, .) g||` with the kernel in memory."""
    moved = torch.tensordot(K, g, dims=g.ndim)  # (N, *output)
    return moved.flatten(1).norm(dim=1)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
@pytest.mark.parametrize("name", ["mlp", "frozen", "encoder"])
def test_ntk_scores_are_those_of_the_explicit_kernel(name: str, batch_size: int):
    module, inputs, shape = every_module()[name]
    g = randn(*shape, seed=9)
    found = ntk_scores(module, inputs, g, batch_size=batch_size)
    expected = weighed(empirical_ntk(module.eval(), inputs), g)
    assert relative_error(found, expected) < 1e-10
    assert not found.requires_grad


def test_ntk_scores_of_attention_are_those_of_its_closed_form():
    made = torch.Generator().manual_seed(3)
    learner = AttentionLearner(3, v=2, generator=made, dtype=F64)
    S, g = randn(4, 5, 3), randn(4, 5, 2, seed=1)
    params = {name: p.detach() for name, p in learner.named_parameters()}
    expected = weighed(antk(params, S), g)
    assert relative_error(ntk_scores(learner, S, g, batch_size=3), expected) < 1e-10


def test_gradients_may_come_from_a_function_of_outputs_and_rows():
    module, inputs, shape = every_module()["mlp"]
    y = randn(*shape, seed=4)
    with torch.no_grad():
        g = module(inputs) - y
    seen: list[slice] = []

    def residual(f: Tensor, rows: slice) -> Tensor:
        seen.append(rows)
        return f - y[rows]

    found = ntk_scores(module, inputs, residual, batch_size=2)
    assert relative_error(found, ntk_scores(module, inputs, g)) < 1e-12
    assert seen == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_only_the_parameters_that_are_asked_for_count():
    module, inputs, shape = every_module()["mlp"]
    g = randn(*shape, seed=4)
    found = ntk_scores(module, inputs, g, parameters="2")
    expected = weighed(empirical_ntk(module, inputs, parameters="2"), g)
    assert relative_error(found, expected) < 1e-12
    assert relative_error(found, ntk_scores(module, inputs, g)) > 0.01


def test_scoring_leaves_the_module_as_it_was():
    module, inputs, shape = every_module()["frozen"]
    module.train()
    module.get_submodule("norm").eval()  # as people freeze statistics
    for p in module.parameters():
        p.grad = torch.full_like(p, 3.0) if p.requires_grad else None
    before = {name: x.clone() for name, x in module.state_dict().items()}
    modes = {name: part.training for name, part in module.named_modules()}
    state = torch.get_rng_state()
    ntk_scores(module, inputs, randn(*shape), batch_size=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: part.training for name, part in module.named_modules()} == modes
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
    for p in module.parameters():
        assert p.grad is None or bool((p.grad == 3).all())
    with pytest.raises(ValueError, match="shape of the outputs"):
        ntk_scores(module, inputs, randn(5, 3))
    assert {name: part.training for name, part in module.named_modules()} == modes


def test_random_masks_are_the_same_in_both_passes_and_no_draw_is_used_up():
    module, x, g = seeded(Masked()), randn(6, 8), randn(6, 2, seed=1)
    with torch.random.fork_rng(devices=[]):
        state = torch.Generator().manual_seed(5).get_state()
        torch.set_rng_state(state)
        found = ntk_scores(module, x, g, batch_size=2)
        assert torch.equal(torch.get_rng_state(), state)
        mask = torch.rand(8) < 0.5  # what every batch saw
    assert 0 < mask.sum() < 8
    assert relative_error(found, weighed(empirical_ntk(module.layer, x * mask), g)) < 1e-12
    assert module.calls == 0


def test_a_residual_that_others_share_counts_more():
    line = nn.Linear(2, 1, bias=False).to(F64)
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=F64)
    g = torch.tensor([[1.0], [1.0], [1.5]], dtype=F64)
    # K = ((1, 1, 0), (1, 1, 0), (0, 0, 1)): the largest residual has the smallest score
    assert ntk_scores(line, x, g).tolist() == [2.0, 2.0, 1.5]


class NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Backward(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return NoForwardMode.apply(super().forward(input))  # pyright: ignore


def test_a_module_without_a_derivative_in_forward_mode_is_told():
    with pytest.raises(ValueError, match="Backward has a part without a derivative in forward"):
        ntk_scores(Backward(2, 1), torch.ones(3, 2), torch.ones(3, 1))


# --- weights -------------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 4), min_size=1, max_size=30))
def test_classes_have_the_same_weight_in_all(labels: list[int]):
    y = torch.tensor(labels)
    w = class_weights(y)
    for c in set(labels):
        assert w[y == c].sum().item() == pytest.approx(len(labels), rel=1e-5)
        assert len(set(w[y == c].tolist())) == 1


def test_class_weights_are_equal_weights_shared_within_groups():
    y = torch.tensor([0, 1, 1, 2, 2, 2])
    shared = group_weights(y, [1, 1, 1], per="group")
    assert relative_error(class_weights(y), 6 * shared) < 1e-6
    assert class_weights(y.bool()).tolist() == pytest.approx([6.0] + 5 * [1.2])


def test_fixed_weights_are_between_samples_or_between_groups():
    groups = torch.tensor([0, 2, 1, 1, 2, 2, 2])
    each = group_weights(groups, [1, 2, 3])
    assert each.tolist() == [1, 3, 2, 2, 3, 3, 3]
    share = group_weights(groups, torch.tensor([1, 2, 4]), per="group")
    assert [share[groups == k].sum().item() for k in range(3)] == [1, 2, 4]
    assert group_weights(groups[:1], [1, 2], per="group").tolist() == [1]  # group 1 is empty


GROUPS = torch.tensor([0, 0, 1, 1, 1, 2])
NORMS = torch.tensor([2.0, 4.0, 1.0, 1.0, 4.0, 10.0], dtype=F64)  # means 3, 2, 10


def by_group(w: Tensor, groups: Tensor = GROUPS) -> list[float]:
    assert all(len(set(w[groups == k].tolist())) <= 1 for k in range(3))
    return [w[groups == k][0].item() for k in range(3)]


@pytest.mark.parametrize(("alpha", "ratios"), [(0.0, None), (1.0, [0.2, 0.9, 0.4])])
def test_gradnorm_is_where_the_steps_of_chen_et_al_lead(alpha: float, ratios: list[float] | None):
    g = torch.tensor([3.0, 2.0, 10.0], dtype=F64)
    r = torch.ones(3, dtype=F64) if ratios is None else torch.tensor(ratios, dtype=F64)
    r = r / r.mean()
    w = torch.ones(3, dtype=F64)
    for step in range(4000):
        w.requires_grad_()
        norms = w * g
        (norms - norms.mean().detach() * r**alpha).abs().sum().backward()
        assert w.grad is not None
        w = (w.detach() - 0.02 * 0.998**step * w.grad).clamp(min=1e-6)
        w = w * 3 / w.sum()
    found = gradnorm_weights(GROUPS, NORMS, alpha=alpha, loss_ratios=ratios)
    assert by_group(found) == pytest.approx(w.tolist(), rel=5e-3)  # the last steps are of 1e-5


def test_balanced_weights_make_contributions_equal_and_proportional_ones_follow_them():
    balanced = by_group(gradnorm_weights(GROUPS, NORMS))
    assert sum(balanced) == pytest.approx(3)
    assert [w * g for w, g in zip(balanced, (3, 2, 10), strict=True)] == pytest.approx(
        3 * [3 / (1 / 3 + 1 / 2 + 1 / 10)]
    )
    assert by_group(gradnorm_weights(GROUPS, NORMS, reading="proportional")) == pytest.approx(
        [0.6, 0.4, 2.0]
    )


def test_alpha_prefers_groups_that_learn_slowly():
    even = by_group(gradnorm_weights(GROUPS, NORMS))
    for alpha in (0.5, 1.5):
        w = by_group(gradnorm_weights(GROUPS, NORMS, alpha=alpha, loss_ratios=[0.4, 0.8, 0.4]))
        assert w[0] / w[2] == pytest.approx(even[0] / even[2])
        assert w[1] / w[0] == pytest.approx(2**alpha * even[1] / even[0])
        assert sum(w) == pytest.approx(3)


def test_norms_that_are_not_finite_are_left_out():
    norms = NORMS.clone()
    norms[0], norms[3] = NAN, INF  # means 4, 2.5, 10
    expected = gradnorm_weights(torch.tensor([0, 1, 2]), torch.tensor([4.0, 2.5, 10.0], dtype=F64))
    assert by_group(gradnorm_weights(GROUPS, norms)) == pytest.approx(expected.tolist())
    norms[:2] = NAN  # group 0 has none: the mean of 2.5 and 10
    expected = gradnorm_weights(torch.tensor([0, 1, 2]), torch.tensor([6.25, 2.5, 10], dtype=F64))
    assert by_group(gradnorm_weights(GROUPS, norms)) == pytest.approx(expected.tolist())


def test_a_group_without_a_gradient_has_a_bounded_weight():
    w = by_group(gradnorm_weights(GROUPS, torch.tensor([0.0, 0, 1, 1, 1, 2])))
    assert w[0] / w[1] == pytest.approx(100.0)  # the mean over groups is 1, the least 0.01
    for norms in (torch.zeros(6), torch.full((6,), NAN)):
        assert gradnorm_weights(GROUPS, norms).tolist() == [1] * 6
    gap = torch.tensor([0, 0, 2])  # group 1 has no samples, and no share
    assert gradnorm_weights(gap, torch.ones(3)).tolist() == [1, 1, 1]


# --- ids that travel -----------------------------------------------------------------------------


class Pair(NamedTuple):
    x: int
    y: int


class Batched(Dataset):
    """Hands out whole batches, and counts how it is asked."""

    def __init__(self, n: int) -> None:
        self.n, self.asked = n, []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[int, int]:
        self.asked.append(i)
        return (i, i * i)

    def __getitems__(self, ids: list[int]) -> list[tuple[int, int]]:
        self.asked.append(ids)
        return [(i, i * i) for i in ids[: self.n - 1]]


def test_ids_stand_in_front_or_under_their_name():
    assert indexed([(5, 6)])[0] == (0, 5, 6)
    assert indexed([Pair(5, 6)])[0] == (0, 5, 6)
    assert indexed(["a", [7, 8]])[1] == (1, [7, 8])
    assert indexed([{"x": 1}])[0] == {"x": 1, "sample_id": 0}
    assert indexed([UserDict(x=1)])[0] == {"x": 1, "sample_id": 0}
    assert len(indexed([3, 4])) == 2
    assert list(iter(cast(Any, indexed([3, 4])))) == [(0, 3), (1, 4)]


def test_a_loader_collates_ids_as_int64_in_the_order_of_the_sampler():
    data = TensorDataset(torch.arange(10) * 2.0, torch.arange(10))
    order = [7, 1, 1, 9, 0]
    batches = list(DataLoader(indexed(data), batch_size=2, sampler=order))
    ids = torch.cat([b[0] for b in batches])
    assert ids.dtype == torch.int64
    assert ids.tolist() == order
    assert torch.cat([b[1] for b in batches]).tolist() == [2.0 * i for i in order]
    names = next(iter(DataLoader(indexed([{"x": i} for i in range(4)]), batch_size=4)))
    assert names["sample_id"].tolist() == names["x"].tolist()


def test_whole_batches_are_asked_for_where_the_dataset_gives_them():
    data = Batched(6)
    loader = DataLoader(indexed(data), batch_size=3, sampler=[5, 2, 4, 1])
    assert [b[0].tolist() for b in loader] == [[5, 2, 4], [1]]
    assert data.asked == [[5, 2, 4], [1]]
    with pytest.raises(ValueError, match="returned 5 items for 6 ids"):
        indexed(data).__getitems__(range(6))
    subset = Subset(data, [4, 3])  # ids count within the subset
    assert indexed(subset).__getitems__([1]) == [(1, 3, 9)]


def test_an_indexed_dataset_can_be_pickled():
    again = pickle.loads(pickle.dumps(indexed(Batched(6))))
    assert again[2] == (2, 2, 4)
    assert len(again) == 6
    with pytest.raises(AttributeError):
        again.n  # noqa: B018  nothing is looked up in what is wrapped


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


class Keyed(Dataset):
    def __getitem__(self, i: int) -> int:
        return i


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (Stream(), TypeError, "got the iterable dataset Stream"),
        ({"train": [1], "test": [2]}, TypeError, "a mapping dict with 'train', 'test'"),
        (Keyed(), TypeError, "got Keyed without __len__$"),
        (7, TypeError, "got int without __len__ and __getitem__"),
        (indexed([1]), ValueError, "indexed already"),
    ],
)
def test_what_is_no_dataset_by_position_is_refused(dataset: Any, error: Any, message: str):
    with pytest.raises(error, match=message):
        indexed(dataset)


def test_a_mapping_with_an_id_of_its_own_is_refused_when_read():
    data = indexed([{"x": 1}, {"sample_id": 3}])
    assert data[0] == {"x": 1, "sample_id": 0}
    with pytest.raises(ValueError, match='item 1 has a "sample_id" already'):
        data[1]


@pytest.mark.parametrize("i", [-1, 2, torch.tensor(2)])
def test_ids_outside_the_dataset_are_refused(i: Any):
    with pytest.raises(IndexError, match="ids go from 0 to 1, got"):
        indexed([1, 2])[i]


# --- bad input -----------------------------------------------------------------------------------

ONES = torch.ones(2, 3)
CLASSES = torch.tensor([0, 2])
LINE = nn.Linear(3, 1)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "residual, shapes": (
        lambda: residual_norm(ONES, ONES[:1]),
        ValueError,
        r"one shape \(N, ...\), got \(2, 3\) and \(1, 3\)",
    ),
    "residual, classes": (lambda: residual_norm(ONES, CLASSES), TypeError, "targets are floating"),
    "residual, list": (lambda: residual_norm([1.0], ONES), TypeError, "outputs are a tensor"),  # pyright: ignore
    "residual, scalar": (
        lambda: residual_norm(torch.tensor(1.0), torch.tensor(1.0)),
        ValueError,
        "one shape",
    ),
    "residual, tokens": (
        lambda: residual_norm(ONES[0], ONES[0], per_token=True),
        ValueError,
        r"\(N, L, ...\)",
    ),
    "residual, mask": (
        lambda: residual_norm(ONES, ONES, torch.ones(2, 4, dtype=torch.bool)),
        ValueError,
        r"mask is \(N, L\), here \(2, 3\), got \(2, 4\)",
    ),
    "residual, mask of numbers": (
        lambda: residual_norm(ONES, ONES, torch.ones(2, 3)),
        TypeError,
        "mask is boolean",
    ),
    "token mean, mask": (
        lambda: token_mean(ONES, torch.ones(2, dtype=torch.bool)),
        ValueError,
        r"mask is \(N, L\)",
    ),
    "token mean, mask of numbers": (lambda: token_mean(ONES, ONES), TypeError, "mask is boolean"),
    "token mean, no tensor": (lambda: token_mean(ONES, [True]), TypeError, "mask is a tensor"),  # pyright: ignore
    "token mean, one axis": (lambda: token_mean(ONES[0]), ValueError, r"\(N, L\), got \(3,\)"),
    "token mean, integers": (lambda: token_mean(CLASSES[None]), TypeError, "floating point"),
    "token mean, reduce": (lambda: token_mean(ONES, None, "median"), ValueError, "'median'"),  # pyright: ignore
    "last layer, class": (
        lambda: last_layer_gradient_norms(ONES, ONES, torch.tensor([0, 3])),
        ValueError,
        "classes from 0 to 2 or -100, got 3",
    ),
    "last layer, probabilities": (
        lambda: last_layer_gradient_norms(ONES, ONES, ONES),
        TypeError,
        "class numbers, int64, got torch.float32",
    ),
    "last layer, targets": (
        lambda: last_layer_gradient_norms(ONES, ONES, CLASSES[:1]),
        ValueError,
        r"without the classes, \(2,\), got \(1,\)",
    ),
    "last layer, features": (
        lambda: last_layer_gradient_norms(ONES[:1], ONES, CLASSES),
        ValueError,
        "same tokens",
    ),
    "last layer, logits": (
        lambda: last_layer_gradient_norms(ONES, ONES[0], CLASSES),
        ValueError,
        "logits are",
    ),
    "last layer, reduce": (
        lambda: last_layer_gradient_norms(ONES, ONES, CLASSES, reduce="max"),  # pyright: ignore
        ValueError,
        "'max'",
    ),
    "ntk, module": (lambda: ntk_scores(len, ONES, ONES), TypeError, "torch.nn.Module"),  # pyright: ignore
    "ntk, batch size": (
        lambda: ntk_scores(LINE, ONES, ONES[:, :1], batch_size=0),
        ValueError,
        "from 1, got 0",
    ),
    "ntk, gradients": (lambda: ntk_scores(LINE, ONES, 3), TypeError, "got int"),  # pyright: ignore
    "ntk, samples": (
        lambda: ntk_scores(LINE, ONES, torch.ones(3, 1)),
        ValueError,
        r"of 2 samples, got shape \(3, 1\)",
    ),
    "ntk, shape": (
        lambda: ntk_scores(LINE, ONES, torch.ones(2, 2)),
        ValueError,
        r"shape of the outputs, \(2, 1\)",
    ),
    "ntk, frozen": (
        lambda: ntk_scores(nn.Linear(3, 1).requires_grad_(False), ONES, ONES[:, :1]),
        ValueError,
        "requires a gradient|frozen",
    ),
    "ntk, sum over samples": (
        lambda: ntk_scores(LINE, ONES, ONES[:, :1], output=lambda f: f.sum()),
        ValueError,
        "2 samples along axis 0",
    ),
    "ntk, integers": (
        lambda: ntk_scores(LINE, ONES, ONES[:, :1], output=lambda f: f.argmax(1)),
        TypeError,
        "floating-point",
    ),
    "ntk, function": (
        lambda: ntk_scores(LINE, ONES, lambda f, rows: None),  # pyright: ignore
        TypeError,
        "got NoneType",
    ),
    "labels": (lambda: class_weights(ONES[0]), TypeError, "labels are integers"),
    "labels, shape": (lambda: class_weights(CLASSES[None]), ValueError, r"\(N,\), got shape"),
    "labels, list": (lambda: class_weights([1, 2]), TypeError, "got list"),  # pyright: ignore
    "groups, too few weights": (
        lambda: group_weights(CLASSES, [1, 2]),
        ValueError,
        "from 0 to 1, got 2",
    ),
    "groups, negative": (lambda: group_weights(-CLASSES, [1, 2]), ValueError, "got -2"),
    "weights, negative": (lambda: group_weights(CLASSES, [1, -1, 1]), ValueError, "none negative"),
    "weights, NaN": (lambda: group_weights(CLASSES, [1, NAN, 1]), ValueError, "finite"),
    "weights, zero": (lambda: group_weights(CLASSES, [0, 0, 0]), ValueError, "not all zero"),
    "weights, none": (lambda: group_weights(CLASSES, []), ValueError, "one number per group"),
    "weights, per": (
        lambda: group_weights(CLASSES, [1, 1, 1], per="class"),  # pyright: ignore
        ValueError,
        "'class'",
    ),
    "norms, shape": (lambda: gradnorm_weights(CLASSES, ONES[0]), ValueError, r"\(2,\), got \(3,\)"),
    "norms, negative": (
        lambda: gradnorm_weights(CLASSES, -torch.ones(2)),
        ValueError,
        "not negative",
    ),
    "norms, integers": (lambda: gradnorm_weights(CLASSES, CLASSES), TypeError, "floating-point"),
    "norms, reading": (
        lambda: gradnorm_weights(CLASSES, torch.ones(2), reading="chen"),  # pyright: ignore
        ValueError,
        "'chen'",
    ),
    "norms, alpha alone": (
        lambda: gradnorm_weights(CLASSES, torch.ones(2), alpha=1.0),
        ValueError,
        "alpha=1.0 without",
    ),
    "norms, ratios alone": (
        lambda: gradnorm_weights(CLASSES, torch.ones(2), loss_ratios=[1, 1, 1]),
        ValueError,
        "alpha=0.0 with loss",
    ),
    "norms, ratios": (
        lambda: gradnorm_weights(CLASSES, torch.ones(2), alpha=1.0, loss_ratios=[1, 1]),
        ValueError,
        "one per group",
    ),
    "norms, ratio zero": (
        lambda: gradnorm_weights(CLASSES, torch.ones(2), alpha=1.0, loss_ratios=[0, 1, 1]),
        ValueError,
        "positive",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gets_one_clear_sentence(case: str):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
