"""Sampling weights by class or by group of data: the baselines of the paper's Table 8.

Each returns a weight per sample, for `Teacher(..., weights=...)`: the higher, the likelier to be
drawn, and only ratios matter. Drawn without replacement, the likeliest samples run out: the shares
of a selection are nearer to equal than the weights, and equal when all are selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

# A group without a gradient would be drawn without bound; below this share of the mean norm of
# all groups, norms count as that.
_LEAST_NORM = 0.01


def class_weights(labels: Tensor) -> Tensor:
    """Class-weight sampling: `w_i = 1 / (share of the samples that have the class of i)`.

    Drawn with these weights, all classes that occur are equally likely.

    Args:
        labels: `(N,)` integers or booleans, any numbers; each one that occurs is a class.

    Returns:
        `(N,)` float32.

    Raises:
        ValueError: labels of another shape.
        TypeError: labels that are no integers.

    >>> class_weights(torch.tensor([7, 7, 7, 2])).tolist()
    [1.333..., 1.333..., 1.333..., 4.0]
    """
    _check_whole("labels", labels)
    _, of_sample, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / counts.double()).float()[of_sample]


def group_weights(
    groups: Tensor, weights: Sequence[float] | Tensor, per: Literal["sample", "group"] = "sample"
) -> Tensor:
    """Fixed-weight sampling: a weight for each group of data, as 1 : 2 : 2.

    The paper's groups are of one size, for others the ratio has two readings: between two samples,
    one of each group (its "sampling rate"), or between the groups as wholes.

    Args:
        groups: `(N,)` integers from 0 to G - 1: the group of each sample.
        weights: G numbers, none negative, not all zero.
        per: "sample", each sample has the weight of its group; "group", they share it.

    Returns:
        `(N,)` float32.

    Raises:
        ValueError: shapes that do not fit, groups without a weight, weights that are negative or
            not finite.
        TypeError: groups that are no integers.

    >>> groups = torch.tensor([0, 1, 1, 1, 1])
    >>> group_weights(groups, [1, 2]).tolist()
    [1.0, 2.0, 2.0, 2.0, 2.0]
    >>> group_weights(groups, [1, 2], per="group").tolist()
    [1.0, 0.5, 0.5, 0.5, 0.5]
    """
    given = torch.as_tensor(weights, dtype=torch.float64, device=groups.device)
    if given.ndim != 1 or len(given) == 0:
        raise ValueError(f"weights are one number per group, got shape {tuple(given.shape)}")
    if not bool(given.isfinite().all()) or bool((given < 0).any()) or not bool(given.any()):
        raise ValueError(
            f"weights are finite, none negative and not all zero, got {given.tolist()}"
        )
    if per not in ("sample", "group"):
        raise ValueError(f'per is "sample" or "group", got {per!r}')
    sizes = _sizes(groups, len(given))
    return (given / sizes.clamp(min=1) if per == "group" else given).float()[groups.long()]


def gradnorm_weights(
    groups: Tensor,
    gradient_norms: Tensor,
    *,
    reading: Literal["balanced", "proportional"] = "balanced",
    loss_ratios: Sequence[float] | Tensor | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """GradNorm sampling: a weight for each group by the mean gradient norm g of its samples.

    Chen et al. (2018) train weights w of task losses towards `w_k g_k = mean_j(w_j g_j) r_k^alpha`
    with `sum_k w_k = G`, by a step on the absolute differences after each of the network. Here g is
    measured, and w is where they are going, `w_k = G (r_k^alpha / g_k) / sum_j (r_j^alpha / g_j)`,
    with no rate to choose: `w_k g_k` is proportional to `r_k^alpha`, and equal to the right side
    where the mean of r^alpha is 1, as for alpha 0 and 1. The weight of a loss becomes that of
    drawing a sample; both scale what a group adds to the expected gradient. So groups with *small*
    gradients are drawn more often. The paper says only that weights follow the groups' gradient
    contributions; the opposite reading is "proportional", `w_k = G g_k / sum_j g_j`.

    Norms that are NaN or infinite are left out. A group without others gets the mean of the groups
    that have some, and below a hundredth of that mean a norm counts as that hundredth.

    Args:
        groups: `(N,)` integers from 0: the group of each sample.
        gradient_norms: `(N,)`, none negative.
        reading: "balanced", as Chen et al., or "proportional".
        loss_ratios: of each group, its mean loss over that at the start; divided by their mean
            they are r, the inverse training rates. Only with alpha.
        alpha: how strongly groups that learn slowly are preferred; Chen et al. used 0.12 to 1.5.

    Returns:
        `(N,)` in the dtype of the norms, float32 at least; the weights of the G groups that have
        samples sum to G.

    Raises:
        ValueError: shapes that do not fit, negative norms, alpha without ratios or the reverse,
            ratios that are not positive.
        TypeError: groups that are no integers, norms that are not floating point.

    >>> groups = torch.tensor([0, 0, 1])
    >>> gradnorm_weights(groups, torch.tensor([1.0, 5.0, 1.0])).tolist()  # g = 3 and 1
    [0.5, 0.5, 1.5]
    >>> gradnorm_weights(groups, torch.tensor([1.0, 5.0, 1.0]), reading="proportional").tolist()
    [1.5, 1.5, 0.5]
    """
    if not isinstance(gradient_norms, Tensor) or not gradient_norms.is_floating_point():
        raise TypeError("gradient_norms are a floating-point tensor (N,)")
    if reading not in ("balanced", "proportional"):
        raise ValueError(f'reading is "balanced" or "proportional", got {reading!r}')
    sizes = _sizes(groups)
    if gradient_norms.shape != groups.shape:
        raise ValueError(
            f"gradient_norms are one per sample, {tuple(groups.shape)}, got "
            f"{tuple(gradient_norms.shape)}"
        )
    if bool((gradient_norms < 0).any()):
        raise ValueError("gradient_norms are not negative")
    r = _rates(sizes, loss_ratios, alpha)
    present, of_sample = sizes > 0, groups.long()
    g = _group_means(of_sample, gradient_norms.detach().double(), len(sizes))
    known = present & g.isfinite()
    if bool(known.any()):
        mean = g[known].mean()
        g = torch.where(known, g, mean).clamp(min=_LEAST_NORM * mean)
    if not bool(known.any()) or not bool(g.any()):
        g = torch.ones_like(g)
    w = (r / g if reading == "balanced" else r * g) * present
    w = w * (present.sum() / w.sum())
    return w.to(torch.promote_types(gradient_norms.dtype, torch.float32))[of_sample]


def _group_means(groups: Tensor, norms: Tensor, G: int) -> Tensor:
    """The mean of the finite norms of each group, NaN where there are none."""
    finite = norms.isfinite()
    sums = norms.new_zeros(G).index_add_(0, groups, norms.where(finite, torch.zeros_like(norms)))
    return sums / norms.new_zeros(G).index_add_(0, groups, finite.to(norms.dtype))


def _rates(sizes: Tensor, loss_ratios: Sequence[float] | Tensor | None, alpha: float) -> Tensor:
    """`r^alpha` of each group."""
    if (loss_ratios is None) != (alpha == 0):
        raise ValueError(
            f"alpha and loss_ratios go together: got alpha={alpha} "
            f"{'without' if loss_ratios is None else 'with'} loss_ratios"
        )
    if loss_ratios is None:
        return torch.ones_like(sizes, dtype=torch.float64)
    ratios = torch.as_tensor(loss_ratios, dtype=torch.float64, device=sizes.device)
    if ratios.shape != sizes.shape:
        raise ValueError(
            f"loss_ratios are one per group, {tuple(sizes.shape)}, got {tuple(ratios.shape)}"
        )
    if not bool(((ratios > 0) & ratios.isfinite()).all()):
        raise ValueError(f"loss_ratios are positive and finite, got {ratios.tolist()}")
    return (ratios / ratios.mean()) ** alpha


def _sizes(groups: Tensor, G: int | None = None) -> Tensor:
    """How many samples each group has; G groups, or up to the last that occurs."""
    _check_whole("groups", groups)
    if len(groups) == 0:
        return torch.zeros(G or 0, dtype=torch.int64, device=groups.device)
    least, most = int(groups.min()), int(groups.max())
    if least < 0 or (G is not None and most >= G):
        wrong, until = (least if least < 0 else most), "" if G is None else f" to {G - 1}"
        raise ValueError(f"groups are numbered from 0{until}, got {wrong}")
    return torch.bincount(groups.long(), minlength=G or 0)


def _check_whole(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} are a tensor of integers, got {type(x).__name__}")
    if x.is_floating_point() or x.is_complex():
        raise TypeError(f"{name} are integers, got {x.dtype}")
    if x.ndim != 1:
        raise ValueError(f"{name} are one per sample, (N,), got shape {tuple(x.shape)}")
