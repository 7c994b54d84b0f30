"""An image as a function of its coordinates, learned from pixels that a teacher chooses.

A small multi-layer perceptron fits the value of each pixel ("implicit representation"), with the
squared loss and Adam. Each step is on a share of the pixels: drawn at random; those of largest
error (Eq. 21, as in INT); those whose outputs would move fastest if all pixels were taught,
`|K(x_i, .) g|` with K the perceptron's own tangent kernel (as in NINT); or all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.func import jvp

Choice = Literal["random", "greedy", "ntk", "full"]
Layers = list[tuple[Tensor, Tensor]]

# Work for one pixel, in forward passes: a backward pass is two, a pass with a tangent two.
_STEP, _ERROR, _NTK = 3, 1, 1 + 2 + 2


@dataclass(frozen=True)
class ImageFit:
    """How a fit went.

    Args:
        steps: after how many steps it was looked at, `(T,)`.
        psnr: the peak signal-to-noise ratio over all pixels there, in dB, `(T,)`.
        passes: work spent until there, in forward passes over the whole image, `(T,)`: forward
            and backward passes of steps, and scoring; looking at it is not counted.
        image: the image as learned, in the shape of the one given.
    """

    steps: Tensor
    psnr: Tensor
    passes: Tensor
    image: Tensor

    def passes_to(self, psnr: float) -> float | None:
        """The work until a PSNR was first seen; None if it never was.

        Args:
            psnr: in dB.
        """
        found = (self.psnr >= psnr).nonzero()
        return self.passes[found[0, 0]].item() if len(found) else None


def fit_image(
    image: Tensor,
    choose: Choice,
    *,
    steps: int,
    seed: int,
    share: float | tuple[float, float] = 0.2,
    interval: int = 1,
    rate: float = 2e-3,
    width: int = 64,
    depth: int = 2,
    frequencies: int = 32,
    scale: float = 8.0,
    every: int = 10,
) -> ImageFit:
    """Fit an image by a multi-layer perceptron of its coordinates, step by step on chosen pixels.

    Coordinates x in [-1, 1]^2 enter as `cos(2 pi B x), sin(2 pi B x)` with random frequencies B.

    Args:
        image: `(H, W)` or `(H, W, c)` with values between 0 and 1; two pixels at least.
        choose: "random", "greedy", "ntk" or "full".
        steps: how many steps of Adam.
        seed: of the start, which is the same for every choice, and of random pixels.
        share: the share of pixels in a step, above 0 and at most 1; or those of the first and the
            last step, between which it moves linearly.
        interval: scored pixels are chosen anew after so many steps, and kept in between.
        rate: the learning rate.
        width: of the hidden layers.
        depth: how many hidden layers.
        frequencies: how many.
        scale: their standard deviation, in periods over half the image.
        every: look at the whole image after so many steps.

    Returns:
        The run. Nothing global is touched, torch's random numbers least of all.

    Raises:
        ValueError: an image of another shape or range, or numbers that make no sense.
        TypeError: no floating-point tensor.

    >>> fit = fit_image(torch.full((4, 4), 0.5), "full", steps=20, seed=0, every=20)
    >>> fit.steps.tolist(), fit.passes.tolist()
    ([0, 20], [0.0, 60.0])
    """
    pixels = _pixels(image)
    _check(choose, steps, share, interval, every)
    for name, x in (("rate", rate), ("scale", scale)):
        if not 0 < x < math.inf:
            raise ValueError(f"{name} is a finite number above 0, got {x!r}")
    for name, x in (("width", width), ("depth", depth), ("frequencies", frequencies)):
        if not isinstance(x, int) or x < 1:
            raise ValueError(f"{name} is a whole number from 1, got {x!r}")
    start = torch.Generator().manual_seed(seed)
    draw = torch.Generator().manual_seed(seed + 1)
    inputs = _features(image, frequencies, scale, start)  # (P, 2 F)
    layers = _layers(2 * frequencies, width, depth, pixels.shape[1], start, pixels)
    leaves = [x for layer in layers for x in layer]
    optimiser = torch.optim.Adam(leaves, lr=rate)
    P, spent = len(pixels), 0.0
    chosen = torch.arange(P, device=pixels.device)
    seen: list[tuple[int, float, float]] = []
    for t in range(steps + 1):
        if t % every == 0 or t == steps:
            with torch.no_grad():
                error = (_network(layers, inputs) - pixels).square().mean().item()
            seen.append((t, -10 * math.log10(max(error, 1e-30)), spent / P))
        if t == steps:
            break
        size = max(1, round(_share(share, t / max(1, steps - 1)) * P))
        if choose == "random":
            chosen = torch.randperm(P, generator=draw)[:size].to(pixels.device)
        elif choose != "full" and t % interval == 0:
            score = _errors if choose == "greedy" else _influence
            chosen = score(layers, inputs, pixels).sort(descending=True, stable=True).indices[:size]
            spent += P * (_ERROR if choose == "greedy" else _NTK)
        optimiser.zero_grad()
        residuals = _network(layers, inputs[chosen]) - pixels[chosen]
        (residuals.square().sum() / (2 * len(chosen))).backward()
        optimiser.step()
        spent += _STEP * len(chosen)
    with torch.no_grad():
        fitted = _network(layers, inputs).reshape(image.shape)
    when, psnr, passes = zip(*seen, strict=True)
    return ImageFit(torch.tensor(when), torch.tensor(psnr), torch.tensor(passes), fitted)


def _network(layers: Layers, x: Tensor) -> Tensor:
    for W, b in layers[:-1]:
        x = torch.relu(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def _errors(layers: Layers, inputs: Tensor, pixels: Tensor) -> Tensor:
    """`|f(x_i) - y_i|`, `(P,)`."""
    with torch.no_grad():
        return (_network(layers, inputs) - pixels).norm(dim=1)


def _influence(layers: Layers, inputs: Tensor, pixels: Tensor) -> Tensor:
    """`|K(x_i, .) g|`, `(P,)`: K g = J (J^T g), one backward pass and one with a tangent."""
    leaves = [x for layer in layers for x in layer]
    f = _network(layers, inputs)
    direction = torch.autograd.grad(f, leaves, (f - pixels).detach())

    def along(*leaves: Tensor) -> Tensor:
        return _network(list(zip(leaves[::2], leaves[1::2], strict=True)), inputs)

    with torch.no_grad():
        speed: Tensor = jvp(along, tuple(x.detach() for x in leaves), direction)[1]
    return speed.norm(dim=1)


def _features(image: Tensor, frequencies: int, scale: float, start: torch.Generator) -> Tensor:
    rows, columns = (torch.linspace(-1, 1, n).to(image) for n in image.shape[:2])
    x = torch.cartesian_prod(rows, columns)  # (P, 2)
    B = scale / 2 * torch.randn(2, frequencies, generator=start).to(image)
    phase = 2 * math.pi * (x @ B)
    return torch.cat([phase.cos(), phase.sin()], 1)


def _layers(
    inputs: int, width: int, depth: int, outputs: int, start: torch.Generator, like: Tensor
) -> Layers:
    sizes = [inputs, *[width] * depth, outputs]
    return [
        (
            # He et al.: variances stay the same from one layer of rectifiers to the next
            (math.sqrt(2 / a) * torch.randn(a, b, generator=start)).to(like).requires_grad_(),
            torch.zeros(b).to(like).requires_grad_(),
        )
        for a, b in pairwise(sizes)
    ]


def _pixels(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        got = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"image is a floating-point tensor, got {got}")
    if image.ndim not in (2, 3) or image.numel() == 0 or image.shape[0] * image.shape[1] < 2:
        raise ValueError(f"image is (H, W) or (H, W, c), got {tuple(image.shape)}")
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise ValueError(
            f"an image has values between 0 and 1, got {image.min().item():.4g} "
            f"to {image.max().item():.4g}"
        )
    return image.detach().reshape(image.shape[0] * image.shape[1], -1)


def _share(share: float | tuple[float, float], progress: float) -> float:
    first, last = share if isinstance(share, tuple) else (share, share)
    return first + (last - first) * progress


def _check(
    choose: str, steps: int, share: float | tuple[float, float], interval: int, every: int
) -> None:
    if choose not in get_args(Choice):
        raise ValueError(f"choose is one of {', '.join(get_args(Choice))}, got {choose!r}")
    for name, x, least in (("steps", steps, 0), ("interval", interval, 1), ("every", every, 1)):
        if not isinstance(x, int) or isinstance(x, bool) or x < least:
            raise ValueError(f"{name} is a whole number from {least}, got {x!r}")
    ends = share if isinstance(share, tuple) else (share,)
    if len(ends) > 2 or not all(0 < x <= 1 for x in ends):
        raise ValueError(f"share is above 0 and at most 1, or two such numbers, got {share!r}")
