"""An image fitted on chosen pixels: what is chosen, what it costs, that it comes out the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from ntteach.rkhs import fit_image, implicit

F64 = torch.float64
SMALL: dict[str, Any] = {"width": 6, "depth": 1, "frequencies": 4, "scale": 2.0}
CHOICES = ("random", "greedy", "ntk", "full")


@pytest.fixture
def image(generator: torch.Generator) -> Tensor:
    return torch.rand(5, 4, generator=generator, dtype=F64)


def network(image: Tensor) -> tuple[implicit.Layers, Tensor, Tensor]:
    start = torch.Generator().manual_seed(0)
    inputs = implicit._features(image, 4, 2.0, start)
    pixels = implicit._pixels(image)
    return implicit._layers(8, 6, 2, pixels.shape[1], start, pixels), inputs, pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_weighed_by_the_networks_tangent_kernel(
    channels: int, generator: torch.Generator
):
    image = torch.rand(4, 3, channels, generator=generator, dtype=F64)
    layers, inputs, pixels = network(image)
    leaves = tuple(x.detach() for layer in layers for x in layer)

    def f(leaves: tuple[Tensor, ...]) -> Tensor:
        return implicit._network(list(zip(leaves[::2], leaves[1::2], strict=True)), inputs)

    blocks = jacrev(f)(leaves)
    J = torch.cat([block.reshape(pixels.numel(), -1) for block in blocks], 1)
    speed = J @ J.T @ (f(leaves) - pixels).flatten()
    expected = speed.reshape(-1, channels).norm(dim=1)
    found = implicit._influence(layers, inputs, pixels)
    assert torch.allclose(found, expected, rtol=1e-10)
    errors = implicit._errors(layers, inputs, pixels)
    assert torch.allclose(errors, (f(leaves) - pixels).norm(dim=1))


@pytest.mark.parametrize("choose", CHOICES)
def test_a_fit_is_the_same_again_and_leaves_the_global_generator(choose: Any, image: Tensor):
    state = torch.random.get_rng_state()
    one, other = (fit_image(image, choose, steps=12, seed=3, every=4, **SMALL) for _ in range(2))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.psnr, other.psnr)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one.steps.tolist() == [0, 4, 8, 12]
    last = -10 * torch.log10((one.image - image).square().mean())
    assert one.psnr[-1].item() == pytest.approx(last.item(), abs=1e-4)


def test_every_choice_starts_from_the_same_network_and_they_differ(image: Tensor):
    fits = [fit_image(image, choose, steps=6, seed=1, every=6, **SMALL) for choose in CHOICES]
    assert len({fit.psnr[0].item() for fit in fits}) == 1
    assert len({fit.psnr[1].item() for fit in fits}) == len(fits)
    other = fit_image(image, "full", steps=6, seed=2, every=6, **SMALL)
    assert other.psnr[0] != fits[0].psnr[0]


def test_scoring_is_charged():
    image = torch.rand(10, 10)
    scores: dict[implicit.Choice, int] = {"random": 0, "greedy": 1, "ntk": 5, "full": 0}
    for choose, scored in scores.items():
        share = 1.0 if choose == "full" else 0.2
        fit = fit_image(image, choose, steps=8, seed=0, interval=4, every=8, **SMALL)
        # a step is a forward pass and a backward pass, which is two
        assert fit.passes[-1].item() == pytest.approx(8 * 3 * share + 2 * scored)


def test_a_share_that_grows_ends_with_all_pixels():
    image = torch.rand(10, 10)
    fit = fit_image(image, "random", steps=3, seed=0, share=(0.2, 1.0), every=1, **SMALL)
    assert fit.passes.tolist() == pytest.approx([0.0, 0.6, 0.6 + 1.8, 0.6 + 1.8 + 3.0])


def test_greedy_teaches_the_pixels_of_largest_error_until_it_looks_again(
    image: Tensor, monkeypatch: pytest.MonkeyPatch
):
    looked: list[Tensor] = []

    def errors(layers: implicit.Layers, inputs: Tensor, pixels: Tensor) -> Tensor:
        looked.append(score(layers, inputs, pixels))
        return looked[-1]

    score = implicit._errors
    monkeypatch.setattr(implicit, "_errors", errors)
    taught: list[Tensor] = []
    forward = implicit._network

    def network(layers: implicit.Layers, x: Tensor) -> Tensor:
        taught.append(x)
        return forward(layers, x)

    monkeypatch.setattr(implicit, "_network", network)
    fit_image(image, "greedy", steps=4, seed=0, share=0.25, interval=2, every=4, **SMALL)
    inputs = taught[0]  # the first look is at the whole image
    batches = [x for x in taught if len(x) == 5]
    assert len(looked) == 2
    assert len(batches) == 4
    for t, batch in enumerate(batches):
        largest = looked[t // 2].argsort(descending=True)[:5]
        assert torch.equal(batch, inputs[largest])


def test_a_network_learns_an_image():
    rows = torch.linspace(0, 1, 12)
    image = (rows[:, None] + rows) / 2
    fit = fit_image(image, "random", steps=150, seed=0, share=0.5, rate=1e-2, scale=1.0)
    assert fit.psnr[-1] > 25
    reached = fit.passes_to(20.0)
    assert reached is not None
    assert 0 < reached < fit.passes[-1]
    assert fit.passes_to(1000.0) is None


GREY = torch.full((3, 3), 0.5)
BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: fit_image(GREY.int(), "full", steps=1, seed=0), TypeError, "floating-point"),
    (lambda: fit_image(GREY * 510, "full", steps=1, seed=0), ValueError, "between 0 and 1"),
    (lambda: fit_image(GREY / math.nan, "full", steps=1, seed=0), ValueError, "between 0 and 1"),
    (lambda: fit_image(GREY[0], "full", steps=1, seed=0), ValueError, r"\(H, W\)"),
    (lambda: fit_image(GREY, "best", steps=1, seed=0), ValueError, "choose is one of"),  # type: ignore
    (lambda: fit_image(GREY, "full", steps=-1, seed=0), ValueError, "steps is a whole number"),
    (lambda: fit_image(GREY, "full", steps=1, seed=0, share=0.0), ValueError, "share is above 0"),
    (lambda: fit_image(GREY, "full", steps=1, seed=0, share=(0.5, 2.0)), ValueError, "at most 1"),
    (lambda: fit_image(GREY, "full", steps=1, seed=0, interval=0), ValueError, "interval"),
    (lambda: fit_image(GREY, "full", steps=1, seed=0, rate=0.0), ValueError, "rate is a finite"),
    (lambda: fit_image(GREY, "full", steps=1, seed=0, width=0), ValueError, "width is a whole"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[case[-1] for case in BAD])
def test_bad_input_gives_one_clear_error(
    call: Callable[[], Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        call()
