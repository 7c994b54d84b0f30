"""Sequences of different length: padding changes nothing, and the two means of Eq. 6."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from conftest import DTYPES, relative_error
from torch import Tensor
from torch.func import grad, vmap

from ntteach import (
    attention,
    attention_jacobian,
    average_loss,
    gradient_norms,
    importance,
    mean_readout,
    padding_mask,
)
from ntteach.sequences import valid_tokens

Params = dict[str, Tensor]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.uint8]


@pytest.fixture
def params(generator: torch.Generator) -> Params:
    """Two heads and W_O."""
    shapes = {"W_Q": (3, 4), "W_K": (3, 4), "W_V": (3, 2), "W_O": (2, 5)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


# padding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", range(6))
def test_padding_under_its_mask_changes_nothing(length, dtype, params, generator, device):
    L = 5
    params = {name: w.to(device, dtype) for name, w in params.items()}
    S = torch.randn(3, L, 3, generator=generator, dtype=dtype).to(device)
    S[1, length:] = 1e3  # whatever stands in the padding
    lengths = torch.tensor([L, length, 1], device=device)
    mask = padding_mask(lengths, L)
    padded = attention(params, S, mask=mask, heads=2)
    jacobian = attention_jacobian(params, S, mask=mask, heads=2)
    omega = importance(params, S, mask=mask, heads=2)
    assert padded.isfinite().all()
    assert all(block.isfinite().all() for block in jacobian.values())
    if length == 0:
        assert (padded[1] == 0).all()
        assert (omega[1] == 0).all()
        assert all((block[1] == 0).all() for block in jacobian.values())
        return
    alone = S[1, :length]
    epsilon = 64 * torch.finfo(dtype).eps
    assert relative_error(padded[1, :length], attention(params, alone, heads=2)) <= epsilon
    if length > 1:  # a single element has an importance of zero, up to rounding
        error = relative_error(omega[1, :length], importance(params, alone, heads=2))
        assert error <= 16 * epsilon
    for name, block in attention_jacobian(params, alone, heads=2).items():
        scale = 1 + block.abs().max()
        assert (jacobian[name][1, :length] - block).abs().max() <= 16 * epsilon * scale


def test_padding_composes_with_a_causal_mask(params, generator):
    S = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    mask = padding_mask(torch.tensor([2, 4]), 4) & torch.ones(4, 4, dtype=torch.bool).tril()
    padded = attention(params, S, mask=mask, heads=2)
    assert (
        relative_error(padded[0, :2], attention(params, S[0, :2], mask="causal", heads=2)) < 1e-14
    )
    assert relative_error(padded[1], attention(params, S[1], mask="causal", heads=2)) < 1e-14


def test_padded_context_changes_nothing(params, generator):
    S = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    context = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    mask = padding_mask(torch.tensor([5, 2]), 6)
    padded = attention(params, S, context=context, mask=mask, heads=2)
    for n, length in enumerate((5, 2)):
        alone = attention(params, S[n], context=context[n, :length], heads=2)
        assert relative_error(padded[n], alone) <= 1e-14


def test_gradient_norms_of_padded_sequences_are_those_of_the_sequences(params, generator):
    S = torch.randn(3, 5, 3, generator=generator, dtype=torch.float64)
    R = torch.randn(3, 5, 5, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([5, 0, 2])
    valid = valid_tokens(lengths, 5)
    R = R * valid[..., None]  # padding has no loss
    found = gradient_norms(params, S, R, mask=padding_mask(lengths, 5), heads=2)
    assert found[1] == 0
    for n in (0, 2):
        length = int(lengths[n])
        alone = gradient_norms(params, S[n, :length], R[n, :length], heads=2)
        assert relative_error(found[n], alone) <= 1e-13


@pytest.mark.parametrize("dtype", INTEGERS)
def test_padding_mask_marks_the_first_elements(dtype):
    mask = padding_mask(torch.tensor([0, 2, 3], dtype=dtype), 3)
    assert mask.shape == (3, 1, 1, 3)
    assert mask.dtype == torch.bool
    assert mask[:, 0, 0].tolist() == [[False] * 3, [True, True, False], [True] * 3]
    assert torch.equal(valid_tokens(torch.tensor([0, 2, 3], dtype=dtype), 3), mask[:, 0, 0])
    assert padding_mask(torch.tensor([], dtype=dtype), 3).shape == (0, 1, 1, 3)


# readout


@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_readout_by_hand(dtype, device):
    outputs = torch.tensor(
        [[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 6.0], [7.0, 7.0], [8.0, 8.0]]], dtype=dtype
    ).to(device)
    lengths = torch.tensor([2, 1], device=device)
    found = mean_readout(outputs, lengths)
    assert found.dtype == dtype
    assert found.tolist() == [[2.0, 3.0], [5.0, 6.0]]
    assert mean_readout(outputs, lengths.int()).tolist() == found.tolist()
    assert mean_readout(outputs).tolist() == [
        [pytest.approx(13 / 3), 5.0],
        [pytest.approx(20 / 3), 7.0],
    ]
    assert mean_readout(outputs[0]).tolist() == [pytest.approx(13 / 3), 5.0]


def test_mean_readout_of_full_lengths_is_the_plain_mean(generator):
    outputs = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    full = mean_readout(outputs, torch.full((3,), 5))
    assert relative_error(full, mean_readout(outputs)) <= 1e-15
    assert relative_error(mean_readout(outputs), outputs.mean(1)) <= 1e-15


def test_mean_readout_of_nothing_is_zero():
    assert mean_readout(torch.ones(2, 3, 1), torch.tensor([0, 3])).tolist() == [[0.0], [1.0]]
    assert mean_readout(torch.ones(2, 0, 3)).tolist() == [[0.0] * 3] * 2
    assert mean_readout(torch.ones(2, 0, 3), torch.zeros(2, dtype=torch.long)).tolist() == (
        [[0.0] * 3] * 2
    )
    assert mean_readout(torch.ones(0, 3)).tolist() == [0.0] * 3


@pytest.mark.parametrize("filler", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_what_stands_in_the_padding_does_not_leak(filler):
    outputs = torch.tensor([[[1.0], [3.0], [filler]], [[filler], [filler], [filler]]])
    lengths = torch.tensor([2, 0])
    assert mean_readout(outputs, lengths).tolist() == [[2.0], [0.0]]
    gradient = grad(lambda x: mean_readout(x, lengths).sum())(outputs)
    assert gradient.flatten().tolist() == [0.5, 0.5, 0, 0, 0, 0]
    losses = outputs.squeeze(-1)
    for per in ("sequence", "token"):
        assert average_loss(losses, lengths, per=per).item() == 2.0
        gradient = grad(partial(average_loss, lengths=lengths, per=per))(losses)
        assert gradient.tolist() == [[0.5, 0.5, 0], [0, 0, 0]]


def test_mean_readout_is_blind_to_the_order_of_elements(generator):
    outputs = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    assert relative_error(mean_readout(outputs[:, order]), mean_readout(outputs)) <= 1e-15


def test_mean_readout_works_under_vmap(generator):
    outputs = torch.randn(4, 2, 3, 1, generator=generator)
    lengths = torch.tensor([1, 3])
    found = vmap(lambda x: mean_readout(x, lengths))(outputs)
    assert torch.equal(found, torch.stack([mean_readout(x, lengths) for x in outputs]))


# the average loss


def test_average_losses_by_hand():
    losses = torch.tensor([[4.0, 100.0, 100.0], [1.0, 2.0, 100.0], [3.0, 0.0, 6.0]])
    lengths = torch.tensor([1, 2, 3])
    # means 4, 3/2, 3; totals 4, 3, 9 over 6 elements
    assert average_loss(losses, lengths).item() == pytest.approx(8.5 / 3)
    assert average_loss(losses, lengths, per="sequence").item() == pytest.approx(8.5 / 3)
    assert average_loss(losses, lengths, per="token").item() == pytest.approx(16 / 6)
    assert average_loss(losses).item() == pytest.approx(losses.mean().item())
    assert average_loss(losses, per="token").item() == pytest.approx(losses.mean().item())


def test_the_two_averages_agree_for_equal_lengths(generator):
    losses = torch.rand(4, 5, generator=generator, dtype=torch.float64)
    for length in (1, 3, 5):
        lengths = torch.full((4,), length)
        expected = losses[:, :length].mean()
        for per in ("sequence", "token"):
            assert relative_error(average_loss(losses, lengths, per=per), expected) <= 1e-15


def test_sequences_without_elements_do_not_count():
    losses = torch.tensor([[4.0, 2.0], [7.0, 7.0]])
    for per in ("sequence", "token"):
        assert average_loss(losses, torch.tensor([2, 0]), per=per).item() == 3.0
        assert average_loss(losses, torch.tensor([0, 0]), per=per).item() == 0.0
        assert average_loss(torch.ones(0, 2), per=per).item() == 0.0
        assert average_loss(torch.ones(2, 0), per=per).item() == 0.0
        empty = torch.empty(0, dtype=torch.long)
        assert average_loss(torch.ones(0, 2), empty, per=per).item() == 0.0


# what they refuse


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        (torch.tensor([[1, 2]]), [r"(N,) integers", "(1, 2)"]),
        (torch.tensor(1), [r"(N,) integers", "()"]),
        (torch.tensor([1.0, 2.0]), [r"(N,) integers", "torch.float32"]),
        (torch.tensor([True, False]), [r"(N,) integers", "torch.bool"]),
        (torch.tensor([1j, 0j]), [r"(N,) integers", "torch.complex64"]),
        (torch.tensor([-1, 2]), ["between 0 and L=3", "[-1, 2]"]),
        (torch.tensor([1, 4]), ["between 0 and L=3", "[1, 4]"]),
    ],
)
def test_lengths_are_integers_from_zero_to_the_padded_length(lengths, words):
    for function in (
        lambda: padding_mask(lengths, 3),
        lambda: mean_readout(torch.zeros(2, 3, 1), lengths),
        lambda: average_loss(torch.zeros(2, 3), lengths),
    ):
        with pytest.raises(ValueError, match=r"lengths|outputs are") as caught:
            function()
        message = str(caught.value)
        assert all(word in message for word in words), message


def test_lengths_are_a_tensor():
    for function in (
        lambda: padding_mask([1, 2], 3),  # pyright: ignore[reportArgumentType]
        lambda: mean_readout(torch.zeros(2, 3, 1), [1, 2]),  # pyright: ignore[reportArgumentType]
        lambda: average_loss(torch.zeros(2, 3), [1, 2]),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(TypeError, match="lengths is a tensor, got list"):
            function()


def test_one_length_for_each_sequence_of_a_batch():
    for outputs, lengths in (
        (torch.zeros(2, 3, 1), torch.tensor([1])),
        (torch.zeros(2, 3, 1), torch.tensor([1, 2, 3])),
        (torch.zeros(3, 1), torch.tensor([1, 2, 3])),
    ):
        with pytest.raises(ValueError, match="one length each") as caught:
            mean_readout(outputs, lengths)
        assert str(tuple(outputs.shape)) in str(caught.value)
        assert str(tuple(lengths.shape)) in str(caught.value)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4), ()])
def test_outputs_have_a_batch_or_none(shape):
    with pytest.raises(ValueError, match=r"\(N, L, v\) or \(L, v\), got") as caught:
        mean_readout(torch.zeros(shape))
    assert str(shape) in str(caught.value)


def test_losses_are_a_matrix_of_floating_point_numbers():
    with pytest.raises(ValueError, match=r"losses are \(N, L\), got \(3,\)"):
        average_loss(torch.zeros(3))
    with pytest.raises(TypeError, match=r"losses are floating point, got torch.int64"):
        average_loss(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(TypeError, match=r"losses is a tensor, got list"):
        average_loss([[1.0]])  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"outputs are floating point, got torch.int64"):
        mean_readout(torch.zeros(2, 3, dtype=torch.long))


def test_average_is_per_sequence_or_per_token():
    with pytest.raises(ValueError, match="per is 'sequence' or 'token', got 'batch'"):
        average_loss(torch.zeros(2, 3), per="batch")  # pyright: ignore[reportArgumentType]
