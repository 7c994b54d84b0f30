"""Scores of samples: what a teacher may rank by, each a number per sample and the higher the more.

The paper ranks by the residual ||f - f*|| (Eq. 21), its code by the loss, and what its argument
needs is the size of dL/df (Eq. 20). For the squared loss of sequences of one length all three
give one order: dL/df = f - f*, and the loss is half the square of its norm. Elsewhere they part:

- Absolute loss: dL/df is a sign, so that by Eq. 20 all samples tie. Huber: all those beyond delta.
- Cross-entropy: dL/df = p - y with p = softmax(f), and f* does not exist as a logit. With two
  classes ||p - y|| and the loss order alike. From three classes on they do not: of p = (.50, .50,
  0) and p = (.45, .275, .275), the first class being true, the second has the larger loss, the
  first the larger ||p - y||. And the loss has no upper bound where ||p - y|| has sqrt(2).
- The norm of the parameters' gradient is that of J^T dL/df, whatever the loss: it also counts how
  far a sample reaches into the parameters. In a last layer this is the length of its features
  (`last_layer_gradient_norms`); in one layer of attention, J is known in closed form, and
  `ntteach.gradient_norms(params, S, dL_df)` is the score, exact and without gradients per sequence.
- `ntk_scores` also counts whether the other samples pull the same way.

Scores are in the dtype of what they are made from, float32 at least, and carry no gradient;
`token_mean` alone does, since its result is a loss as well.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ntteach.teaching.ntk import ntk_scores

__all__ = ["last_layer_gradient_norms", "ntk_scores", "residual_norm", "token_mean"]

# Numbers that one block of sequences may hold: 16 MB in float32.
_BLOCK_NUMBERS = 2**22


def residual_norm(
    outputs: Tensor, targets: Tensor, mask: Tensor | None = None, *, per_token: bool = False
) -> Tensor:
    """Eq. 21's score `||f(S_i) - f*(S_i)||_F`, over all axes but the first.

    The paper fixes one length for all sequences. For others, padding is left out by `mask`, and
    the norm grows with the square root of the length, so that long sequences come first;
    `per_token` divides by that root (the root mean square over the tokens), which changes no order
    where lengths are equal. Neither depends on how far a batch is padded.

    Args:
        outputs: f, `(N, ...)`.
        targets: f*, of the same shape; class numbers are no outputs.
        mask: `(N, L)` boolean, True at tokens that count; all of them if None.
        per_token: divide by the root of the number of tokens; outputs are `(N, L, ...)` then.

    Returns:
        `(N,)`; 0 for a sequence without tokens.

    Raises:
        ValueError: shapes that do not fit.
        TypeError: no floating-point tensors, or a mask that is not boolean.

    >>> residual_norm(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.zeros(2, 2)).tolist()
    [5.0, 1.0]
    """
    _check_floating("outputs", outputs)
    _check_floating("targets", targets)
    if outputs.ndim == 0 or outputs.shape != targets.shape:
        raise ValueError(
            f"outputs and targets have one shape (N, ...), got {tuple(outputs.shape)} and "
            f"{tuple(targets.shape)}"
        )
    if per_token and outputs.ndim < 2:
        raise ValueError(f"per token, outputs are (N, L, ...), got {tuple(outputs.shape)}")
    dtype = _wide(torch.promote_types(outputs.dtype, targets.dtype))
    residual = outputs.detach().to(dtype) - targets.detach().to(dtype)
    if mask is not None:
        _check_mask(mask, outputs.shape[:2])
        # not a product: padding may hold NaN
        residual = residual.masked_fill(~_trailing(mask, residual.ndim), 0)
    if residual.ndim == 1:
        return residual.abs()
    norms = torch.linalg.vector_norm(residual.flatten(1), dim=1)  # (N,)
    if not per_token:
        return norms
    counts = torch.full_like(norms, outputs.shape[1]) if mask is None else mask.sum(1)
    return norms / counts.clamp(min=1).to(dtype).sqrt()


def token_mean(
    losses: Tensor, mask: Tensor | None = None, reduce: Literal["mean", "sum", "max"] = "mean"
) -> Tensor:
    """The loss of each sequence: the mean over its valid tokens, not over the padded length.

    A mean over the padded length depends on which sequences share a batch, and puts long ones
    first. The sum is what a sequence adds to a loss that is averaged over all tokens; the maximum
    finds sequences with one hard place. Unlike other scores the result can be differentiated, and
    is the loss that `update` takes.

    Args:
        losses: `(N, L)`, or `(N, L, ...)`, whose further axes are tokens too.
        mask: boolean of the same shape, or `(N, L)`; True at tokens that count, all if None. From
            labels: `labels != -100`; from lengths: `torch.arange(L) < lengths[:, None]`.
        reduce: over the tokens.

    Returns:
        `(N,)`, float32 at least; 0 for a sequence without valid tokens.

    Raises:
        ValueError: shapes that do not fit, or another `reduce`.
        TypeError: losses that are not floating point, or a mask that is not boolean.

    >>> losses = torch.tensor([[1.0, 3.0, 9.0], [2.0, 9.0, 9.0]])
    >>> token_mean(losses, torch.tensor([[True, True, False], [True, False, False]])).tolist()
    [2.0, 2.0]
    """
    _check_floating("losses", losses)
    if reduce not in ("mean", "sum", "max"):
        raise ValueError(f'reduce is "mean", "sum" or "max", got {reduce!r}')
    if losses.ndim < 2:
        raise ValueError(f"losses of tokens are (N, L), got {tuple(losses.shape)}")
    if mask is None:
        mask = torch.ones_like(losses, dtype=torch.bool)
    elif isinstance(mask, Tensor) and mask.shape == losses.shape:
        _check_mask(mask, losses.shape)
    else:
        _check_mask(mask, losses.shape[:2])
        mask = _trailing(mask, losses.ndim).expand_as(losses)
    values, mask = losses.to(_wide(losses.dtype)).flatten(1), mask.flatten(1)  # (N, tokens)
    if reduce == "max" and mask.shape[1] > 0:
        largest = values.masked_fill(~mask, -torch.inf).amax(1)
        return largest.masked_fill(~mask.any(1), 0)
    total = values.masked_fill(~mask, 0).sum(1)
    return total / mask.sum(1).clamp(min=1) if reduce == "mean" else total


def last_layer_gradient_norms(
    features: Tensor,
    logits: Tensor,
    targets: Tensor,
    *,
    bias: bool = True,
    reduce: Literal["mean", "sum"] = "mean",
    ignore_index: int = -100,
) -> Tensor:
    """The norm, for each sample, of the gradient of cross-entropy by a linear last layer.

    With logits `f = W x + b` and `r = softmax(f) - y`, the gradient by (W, b) is `r (x, 1)^T`, of
    norm `||r|| sqrt(||x||^2 + 1)`. For tokens it is a mean or sum of such products, `R^T X`, and
    `||R^T X||_F^2 = <R R^T, X X^T>` needs the L x L Gram matrices only. That route squares: where
    tokens cancel, the relative error grows as in `ntteach.gradient_norms`.

    The entry of r at the true class is minus the sum of the others, so that a sample that is
    nearly certain keeps a norm. A last layer tied to an embedding counts as a last layer alone.

    Args:
        features: x, `(N, h)`, or of tokens `(N, L, h)`; further axes of tokens are allowed.
        logits: f, `(N, C)`, or `(N, L, C)`.
        targets: class numbers, int64, `(N,)` or `(N, L)`; for next tokens already shifted.
        bias: whether the layer has one.
        reduce: how a sample's loss is made from those of its tokens that count.
        ignore_index: targets that do not count.

    Returns:
        `(N,)`; 0 for a sample without targets that count.

    Raises:
        ValueError: shapes that do not fit, targets that are no class, or another `reduce`.
        TypeError: features or logits that are not floating point, targets that are not int64.

    >>> x = torch.tensor([[1.0, 0.0, 0.0, 0.0], [2.0, 1.0, 1.0, 1.0]])
    >>> y = torch.tensor([0, 1])  # ||r||^2 = 1/2, and ||x||^2 + 1 is 2 and 8
    >>> last_layer_gradient_norms(x, torch.zeros(2, 2), y).tolist()
    [1.0, 2.0]
    """
    _check_floating("features", features)
    _check_floating("logits", logits)
    _check_classes(logits, targets, ignore_index)
    if features.shape[:-1] != logits.shape[:-1]:
        raise ValueError(
            f"features (..., h) and logits (..., C) are of the same tokens, got "
            f"{tuple(features.shape)} and {tuple(logits.shape)}"
        )
    if reduce not in ("mean", "sum"):
        raise ValueError(f'reduce is "mean" or "sum", got {reduce!r}')
    # one axis of tokens, of length 1 where there is none
    X, F, y = features.detach(), logits.detach(), targets
    X, F = (x.unsqueeze(1) if x.ndim == 2 else x.flatten(1, -2) for x in (X, F))
    y = y.unsqueeze(1) if y.ndim == 1 else y.flatten(1)
    dtype = _wide(torch.promote_types(X.dtype, F.dtype))
    (N, L, h), C = X.shape, F.shape[-1]
    size = max(1, _BLOCK_NUMBERS // max(1, L * (3 * C + h) + 2 * min(L * L, h * C)))
    squares = []
    # an empty batch is one empty block
    for start in range(0, max(N, 1), size):
        part = slice(start, start + size)
        valid = y[part] != ignore_index  # (n, L)
        R = _output_gradient(F[part].to(dtype), y[part], valid)
        if reduce == "mean":
            R = R / valid.sum(1).clamp(min=1)[:, None, None]
        # features of tokens that do not count may be NaN
        X_part = X[part].to(dtype).masked_fill(~valid[..., None], 0)
        squares.append(_squared_norm(R, X_part, bias))
    return torch.cat(squares).clamp(min=0).sqrt()


def _output_gradient(logits: Tensor, y: Tensor, valid: Tensor) -> Tensor:
    """`softmax(f) - y`, zero at tokens that do not count: `(n, L, C)`."""
    p = logits.softmax(-1).masked_fill(~valid[..., None], 0)
    true = y.where(valid, torch.zeros_like(y))[..., None]
    p.scatter_(-1, true, 0)
    return p.scatter_(-1, true, -p.sum(-1, keepdim=True))


def _squared_norm(R: Tensor, X: Tensor, bias: bool) -> Tensor:
    """`||R^T (X, 1)||_F^2`, the ones only with a bias, by the way that holds fewer numbers."""
    L, C, h = X.shape[1], R.shape[2], X.shape[2]
    if h * C >= L * L:
        return ((R @ R.mT) * (X @ X.mT + float(bias))).sum((1, 2))
    square = (R.mT @ X).square().sum((1, 2))
    return square + R.sum(1).square().sum(1) if bias else square


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _trailing(mask: Tensor, ndim: int) -> Tensor:
    """The mask `(N, L)` with axes of length 1 behind it, `ndim` in all."""
    return mask.reshape(*mask.shape, *[1] * (ndim - 2))


def _check_floating(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} are a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} are floating point, got {x.dtype}")


def _check_mask(mask: Tensor, shape: torch.Size) -> None:
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask is a tensor, got {type(mask).__name__}")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask is boolean, True at tokens that count, got {mask.dtype}")
    if len(shape) < 2 or mask.shape != shape:
        raise ValueError(f"mask is (N, L), here {tuple(shape)}, got {tuple(mask.shape)}")


def _check_classes(logits: Tensor, targets: Tensor, ignore_index: int) -> None:
    if logits.ndim < 2 or logits.shape[-1] == 0:
        raise ValueError(f"logits are (N, C) or (N, L, C), got {tuple(logits.shape)}")
    if not isinstance(targets, Tensor):
        raise TypeError(f"targets are a tensor, got {type(targets).__name__}")
    if targets.dtype != torch.int64:
        raise TypeError(f"targets are class numbers, int64, got {targets.dtype}")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets have the shape of the logits without the classes, "
            f"{tuple(logits.shape[:-1])}, got {tuple(targets.shape)}"
        )
    if targets.device.type != "cpu":
        return  # looking would wait for the device, whose kernels check too
    C = logits.shape[-1]
    wrong = ((targets < 0) | (targets >= C)) & (targets != ignore_index)
    if bool(wrong.any()):
        first = targets[wrong][0].item()
        raise ValueError(f"targets are classes from 0 to {C - 1} or {ignore_index}, got {first}")
