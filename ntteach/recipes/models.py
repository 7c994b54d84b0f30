"""Two small transformers to teach: a ViT classifier and a Llama-style language model.

Plain torch with few operations a layer, so that a tiny one is quick on one core. Initial weights
come from a seed; no global generator is read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ViT(nn.Module):
    """A vision transformer: patches, learned positions, pre-norm blocks, mean readout.

    Dosovitskiy et al., "An image is worth 16x16 words" (2021), with the mean over patches in place
    of a class token where `readout` is "mean".

    Args:
        image_size: side of the square images, a multiple of `patch`.
        channels: of the images.
        patch: side of a patch.
        width: of the residual stream, a multiple of `heads`.
        layers: number of blocks.
        heads: of each attention.
        classes: number of logits.
        mlp: width of the hidden layer of a block's MLP, in widths.
        readout: "mean" over the patches, or "cls", a learned token beside them.
        seed: of the initial weights.

    Raises:
        ValueError: a size below 1, a patch that does not divide the image, heads that do not divide
            the width, an unknown readout.

    >>> ViT(8, 1, 4, width=6, layers=1, heads=2, classes=3)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        patch: int,
        width: int,
        layers: int,
        heads: int,
        classes: int,
        mlp: int = 2,
        readout: str = "mean",
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"image_size": image_size, "channels": channels, "patch": patch, "mlp": mlp}
        _check(sizes | {"classes": classes}, width, layers, heads)
        if image_size % patch:
            raise ValueError(f"patches of {patch} do not tile an image of {image_size}")
        if readout not in ("mean", "cls"):
            raise ValueError(f"readout is {readout!r}; expected 'mean' or 'cls'")
        draw = torch.Generator().manual_seed(seed)
        self.grid, self.patch = image_size // patch, patch
        tokens = self.grid**2 + (readout == "cls")
        self.embed = _linear(channels * patch**2, width, draw, bias=True)
        self.position = _normal(0.5, draw, tokens, width)
        self.cls = _normal(0.02, draw, 1, 1, width) if readout == "cls" else None
        self.blocks = nn.ModuleList(
            _ViTBlock(width, heads, mlp * width, layers, draw) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = _linear(width, classes, draw, bias=True)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(N, classes)` of images `(N, channels, image_size, image_size)`."""
        N, side = len(images), self.grid * self.patch
        if images.shape[1:] != (self.embed.in_features // self.patch**2, side, side):
            channels = self.embed.in_features // self.patch**2
            raise ValueError(
                f"images are {tuple(images.shape)}; expected (N, {channels}, {side}, {side})"
            )
        x = images.unflatten(3, (self.grid, self.patch)).unflatten(2, (self.grid, self.patch))
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(N, self.grid**2, -1)  # (N, patches, c p p)
        x = self.embed(x)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(N, -1, -1), x], 1)
        x = x + self.position  # (N, tokens, width)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.cls is None else x[:, 0])


class LanguageModel(nn.Module):
    """A causal language model built as Llama: RMSNorm, rotary positions, SwiGLU, no biases.

    Touvron et al., "LLaMA" (2023); input and output embeddings are one matrix.

    Args:
        vocab: number of tokens.
        width: of the residual stream; `width / heads` is even.
        layers: number of blocks.
        heads: of each attention.
        context: the most tokens of a sequence.
        seed: of the initial weights.

    Raises:
        ValueError: a size below 1, heads that do not divide the width into even parts.

    >>> LanguageModel(7, width=8, layers=1, heads=2, context=5)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self, vocab: int, width: int, layers: int, heads: int, context: int, seed: int = 0
    ) -> None:
        super().__init__()
        _check({"vocab": vocab, "context": context}, width, layers, heads)
        if width // heads % 2:
            raise ValueError(f"a head has width {width // heads}; rotary positions need it even")
        draw = torch.Generator().manual_seed(seed)
        self.embed = _normal(0.02, draw, vocab, width)
        self.blocks = nn.ModuleList(_LlamaBlock(width, heads, layers, draw) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        d = width // heads
        angle = torch.outer(torch.arange(context), 10000.0 ** (-torch.arange(0, d, 2) / d))
        # the two halves of a head turn together: (context, d)
        self.register_buffer("cos", torch.cat([angle.cos(), angle.cos()], 1), persistent=False)
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], 1), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `(N, L, vocab)` of the tokens that follow each of `(N, L)`, `L <= context`."""
        if tokens.dim() != 2 or tokens.shape[1] > len(self.cos):
            raise ValueError(
                f"tokens are {tuple(tokens.shape)}; expected (N, L) with L <= {len(self.cos)}"
            )
        L = tokens.shape[1]
        x = F.embedding(tokens, self.embed)  # (N, L, width)
        for block in self.blocks:
            x = block(x, self.cos[:L], self.sin[:L])
        return F.linear(self.norm(x), self.embed)


class _ViTBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), with GELU."""

    def __init__(
        self, width: int, heads: int, hidden: int, layers: int, draw: torch.Generator
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = _linear(width, 3 * width, draw, bias=True)
        self.out = _linear(width, width, draw, bias=True, scale=(2 * layers) ** -0.5)
        self.up = _linear(width, hidden, draw, bias=True)
        self.down = _linear(hidden, width, draw, bias=True, scale=(2 * layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        # in three pieces: their gradients are joined with one copy, those of a view with two
        pieces = self.qkv(self.norm_1(x)).chunk(3, -1)
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in pieces)
        x = x + self.out(_joined(F.scaled_dot_product_attention(q, k, v)))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class _LlamaBlock(nn.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x)), hidden width 8/3 of the model's."""

    def __init__(self, width: int, heads: int, layers: int, draw: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        hidden = -(-8 * width // 24) * 8  # 8/3, rounded up to a multiple of 8
        self.norm_1, self.norm_2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.qkv = _linear(width, 3 * width, draw)
        self.out = _linear(width, width, draw, scale=(2 * layers) ** -0.5)
        self.gate_up = _linear(width, 2 * hidden, draw)
        self.down = _linear(hidden, width, draw, scale=(2 * layers) ** -0.5)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        qkv = _heads(self.qkv(self.norm_1(x)), self.heads)
        half = qkv.shape[-1] // 2
        qk = qkv[:2]
        # [a, b] -> [a cos - b sin, b cos + a sin]: the sign is in `sin`
        q, k = (qk * cos + qk.roll(half, -1) * sin).unbind(0)
        x = x + self.out(_joined(F.scaled_dot_product_attention(q, k, qkv[2], is_causal=True)))
        gate, up = self.gate_up(self.norm_2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def _heads(qkv: Tensor, heads: int) -> Tensor:
    """`(N, L, 3 width)` to `(3, N, heads, L, width / heads)`."""
    return qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)


def _joined(x: Tensor) -> Tensor:
    """`(N, heads, L, d)` to `(N, L, heads d)`."""
    return x.transpose(1, 2).flatten(2)


def _normal(std: float, draw: torch.Generator, *shape: int) -> nn.Parameter:
    return nn.Parameter(std * torch.randn(*shape, generator=draw))


def _linear(
    fan_in: int, fan_out: int, draw: torch.Generator, *, bias: bool = False, scale: float = 1.0
) -> nn.Linear:
    """A layer with weights N(0, scale^2 / fan_in) and zero bias."""
    # built without values: its own initialisation would draw from torch's global generator
    layer = nn.Linear(fan_in, fan_out, bias=bias, device="meta").to_empty(device="cpu")
    layer.weight = _normal(scale * fan_in**-0.5, draw, fan_out, fan_in)
    if bias:
        layer.bias = nn.Parameter(torch.zeros(fan_out))
    return layer


def _check(sizes: dict[str, int], width: int, layers: int, heads: int) -> None:
    for name, size in (sizes | {"width": width, "layers": layers, "heads": heads}).items():
        if size < 1:
            raise ValueError(f"{name} is {size}; expected at least 1")
    if width % heads:
        raise ValueError(f"{heads} heads do not divide a width of {width}")
