"""Convex losses of an output and its target, with the constants that bounds on them need.

A loss is convex in the output f, not in the parameters behind it. Its smoothness tau is the least
number with `|g(f) - g(f')| <= tau |f - f'|` for its gradient g, and its strong convexity mu the
largest with `<g(f) - g(f'), f - f'> >= mu |f - f'|^2`, for all outputs f, f' and every target, in
the Euclidean norm. `derivations/losses.py` proves them. Gradients are closed forms: nothing here
is differentiated automatically.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

Formula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss `l(f, y)`, its gradient by f, and its constants.

    Args:
        name: said in messages.
        smoothness: tau, the best Lipschitz constant of the gradient; inf where there is none.
        strong_convexity: mu, the best; 0 where the loss is not strongly convex.
        elementwise: of each number by itself, or of a vector, the last axis.
        targets: checks a target for its outputs and brings it to their dtype.
        formula: the loss of checked arguments.
        slope: its gradient.
    """

    name: str
    smoothness: float
    strong_convexity: float
    elementwise: bool
    targets: Formula
    formula: Formula
    slope: Formula

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        """The loss of each output.

        Args:
            f: `(..., o)` outputs.
            y: their targets, `(..., o)`, for class numbers `(...)`.

        Returns:
            `(..., o)` for an elementwise loss, `(...)` for one of vectors. Nothing is averaged.

        Raises:
            ValueError: shapes that do not fit, or a target that the loss does not know.
            TypeError: no tensors, or outputs that are not floating point.

        >>> squared().value(torch.tensor([3.0]), torch.tensor([1.0])).tolist()
        [2.0]
        """
        return self.formula(f, self._checked(f, y))

    def gradient(self, f: Tensor, y: Tensor) -> Tensor:
        """`d l / d f`, in the shape of f; arguments and errors as for `value`.

        >>> logistic().gradient(torch.tensor([0.0]), torch.tensor([-1.0])).tolist()
        [0.5]
        """
        return self.slope(f, self._checked(f, y))

    def _checked(self, f: Tensor, y: Tensor) -> Tensor:
        for name, x in (("f", f), ("y", y)):
            if not isinstance(x, Tensor):
                raise TypeError(f"{name} is a tensor, got {type(x).__name__}")
        if not f.is_floating_point():
            raise TypeError(f"f, the outputs, are floating point, got {f.dtype}")
        if y.is_complex():
            raise TypeError(f"y, the targets, are real, got {y.dtype}")
        if not self.elementwise and (f.ndim == 0 or f.shape[-1] == 0):
            raise ValueError(f"the last axis of f holds the logits, got {tuple(f.shape)}")
        return self.targets(f, y)


def squared() -> Loss:
    """`(f - y)^2 / 2`: tau = mu = 1.

    >>> squared().gradient(torch.tensor([3.0]), torch.tensor([1.0])).tolist()
    [2.0]
    """
    return _of_residual("squared", 1.0, 1.0, lambda x: x.square() / 2, lambda x: x)


def weighted_squared(weights: Tensor) -> Loss:
    """`w_c (f_c - y_c)^2 / 2`, a weight for each output: tau = max w, mu = min w.

    Args:
        weights: `(o,)`, none negative and not all zero; the last axis of f has length o.

    Raises:
        ValueError: weights of another shape, negative, infinite, or all zero.
        TypeError: weights that are no floating-point tensor.

    >>> loss = weighted_squared(torch.tensor([1.0, 4.0]))
    >>> loss.smoothness, loss.strong_convexity
    (4.0, 1.0)
    >>> loss.gradient(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0])).tolist()
    [1.0, 4.0]
    """
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        got = weights.dtype if isinstance(weights, Tensor) else type(weights).__name__
        raise TypeError(f"weights are a floating-point tensor, got {got}")
    if weights.ndim != 1 or not weights.numel():
        raise ValueError(f"weights are (o,), one for each output, got {tuple(weights.shape)}")
    w = weights.detach().clone()  # the constants below stay those of the loss
    if not bool((w.isfinite() & (w >= 0)).all()) or not bool((w > 0).any()):
        raise ValueError(f"weights are finite, none negative, not all zero, got {w.tolist()}")

    def targets(f: Tensor, y: Tensor) -> Tensor:
        if f.ndim == 0 or f.shape[-1] != len(w):
            raise ValueError(
                f"the last axis of f has one entry for each of {len(w)} weights, "
                f"got {tuple(f.shape)}"
            )
        return _numbers(f, y)

    return Loss(
        "weighted squared",
        w.max().item(),
        w.min().item(),
        True,
        targets,
        lambda f, y: w.to(f) * (f - y).square() / 2,
        lambda f, y: w.to(f) * (f - y),
    )


def huber(delta: float = 1.0) -> Loss:
    """`x^2 / 2` for `|x| <= delta`, else `delta (|x| - delta / 2)`; x = f - y. tau = 1, mu = 0.

    Raises:
        ValueError: delta that is not a finite number above 0.

    >>> huber(1.0).value(torch.tensor([3.0, 0.5]), torch.zeros(2)).tolist()
    [2.5, 0.125]
    """
    d = _positive("delta", delta)
    return _of_residual(
        "huber",
        1.0,
        0.0,
        # x c - c^2 / 2 with c the point of [-delta, delta] next to x is both cases in one
        lambda x: (x - x.clamp(-d, d) / 2) * x.clamp(-d, d),
        lambda x: x.clamp(-d, d),
    )


def pseudo_huber(delta: float = 1.0) -> Loss:
    """`delta^2 (sqrt(1 + (x / delta)^2) - 1)`, x = f - y: a smooth Huber loss. tau = 1, mu = 0.

    Raises:
        ValueError: delta that is not a finite number above 0.

    >>> pseudo_huber(1.0).gradient(torch.tensor([0.75]), torch.zeros(1)).tolist()
    [0.6000000238418579]
    """
    d = _positive("delta", delta)

    def root(x: Tensor) -> Tensor:
        return torch.hypot(torch.ones_like(x), x / d)

    # sqrt(1 + u) - 1 = u / (sqrt(1 + u) + 1) keeps the digits of a small residual
    return _of_residual(
        "pseudo-huber", 1.0, 0.0, lambda x: x * (x / (root(x) + 1)), lambda x: x / root(x)
    )


def log_cosh() -> Loss:
    """`log cosh(f - y)`: tau = 1, mu = 0.

    >>> log_cosh().value(torch.tensor([1000.0]), torch.zeros(1)).item()  # 1000 - log 2
    999.306...
    """

    def value(x: Tensor) -> Tensor:
        size = x.abs()
        # cosh x = 1 + 2 sinh^2(x / 2) keeps the digits near 0, the other form does not overflow
        near = torch.log1p(2 * torch.sinh(x.clamp(-1, 1) / 2).square())
        far = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
        return torch.where(size < 1, near, far)

    return _of_residual("log-cosh", 1.0, 0.0, value, torch.tanh)


def absolute() -> Loss:
    """`|f - y|`: not smooth, tau = inf; mu = 0. Where f = y the gradient is taken to be 0.

    >>> absolute().smoothness
    inf
    """
    return _of_residual("absolute", math.inf, 0.0, torch.abs, torch.sign)


def quantile(level: float) -> Loss:
    """`max(level (y - f), (level - 1) (y - f))`, least at a quantile: tau = inf, mu = 0.

    Where f = y the gradient is taken to be 0.

    Raises:
        ValueError: a level that does not lie between 0 and 1.

    >>> quantile(0.75).value(torch.tensor([0.0, 4.0]), torch.tensor([4.0, 0.0])).tolist()
    [3.0, 1.0]
    """
    q = _positive("level", level)
    if q >= 1:
        raise ValueError(f"level lies between 0 and 1, got {level!r}")
    return _of_residual(
        "quantile",
        math.inf,
        0.0,
        # not their maximum, of which autograd takes half of either slope where they meet
        lambda x: (1 - q) * x.relu() + q * (-x).relu(),
        lambda x: (1 - q) * (x > 0).to(x.dtype) - q * (x < 0).to(x.dtype),
    )


def logistic() -> Loss:
    """`log(1 + exp(-y f))` for labels y of -1 and 1: tau = 1/4, mu = 0.

    >>> logistic().value(torch.tensor([0.0]), torch.tensor([1])).item()  # log 2
    0.693147...
    """

    def targets(f: Tensor, y: Tensor) -> Tensor:
        y = _numbers(f, y)
        if not _all((y == 1) | (y == -1)):
            raise ValueError(f"labels are -1 or 1, got {_strangers(y, (y == 1) | (y == -1))}")
        return y

    return Loss(
        "logistic",
        0.25,
        0.0,
        True,
        targets,
        lambda f, y: -torch.nn.functional.logsigmoid(y * f),
        lambda f, y: -y * torch.sigmoid(-y * f),
    )


def cross_entropy() -> Loss:
    """`log sum_c exp f_c - sum_c y_c f_c` over the last axis: tau = 1/2, mu = 0.

    Targets are class numbers, integers `(...)` from 0, or probabilities `(..., o)`. tau is that
    of two classes and more; with one alone the loss is 0.

    >>> loss, f = cross_entropy(), torch.zeros(2, 2)
    >>> loss.value(f, torch.tensor([0, 1])).tolist()  # log 2
    [0.693147..., 0.693147...]
    >>> loss.gradient(f, torch.tensor([0, 1])).tolist()
    [[-0.5, 0.5], [0.5, -0.5]]
    """
    return Loss(
        "cross-entropy",
        0.5,
        0.0,
        False,
        _probabilities,
        # where: 0 times a logit of -inf, a class that is ruled out, is 0
        lambda f, y: -torch.where(y == 0, 0.0, y * torch.log_softmax(f, -1)).sum(-1),
        lambda f, y: torch.softmax(f, -1) - y,
    )


def _of_residual(
    name: str,
    tau: float,
    mu: float,
    value: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
) -> Loss:
    return Loss(name, tau, mu, True, _numbers, lambda f, y: value(f - y), lambda f, y: slope(f - y))


def _numbers(f: Tensor, y: Tensor) -> Tensor:
    # no broadcasting: (N,) against (N, 1) would compare every output with every target
    if y.shape != f.shape:
        raise ValueError(
            f"targets have the shape of the outputs, {tuple(f.shape)}, got {tuple(y.shape)}"
        )
    return y.to(f.dtype)


def _probabilities(f: Tensor, y: Tensor) -> Tensor:
    classes = f.shape[-1]
    if not y.is_floating_point():
        if y.shape != f.shape[:-1] or y.dtype == torch.bool:
            raise ValueError(
                f"class numbers are integers {tuple(f.shape[:-1])} for logits {tuple(f.shape)}, "
                f"got {y.dtype} of shape {tuple(y.shape)}"
            )
        known = (y >= 0) & (y < classes)
        if not _all(known):
            raise ValueError(
                f"class numbers lie between 0 and {classes - 1}, got {_strangers(y, known)}"
            )
        # not one_hot: it has no rule for vmap where the number of classes is given
        return (y.unsqueeze(-1) == torch.arange(classes, device=y.device)).to(f.dtype)
    # a sum of o rounded numbers is off by less than o rounding errors, of the coarser dtype
    slack = max(classes, 8) * max(torch.finfo(x.dtype).eps for x in (f, y))
    y = _numbers(f, y)
    known = (y >= 0).all(-1) & ((y.sum(-1) - 1).abs() <= slack)
    if not _all(known):
        raise ValueError(
            f"probabilities are not negative and sum to 1, got {_strangers(y, known)}; "
            "class numbers are given as integers"
        )
    return y


def _all(condition: Tensor) -> bool:
    try:
        return bool(condition.all())
    except RuntimeError:  # under vmap no number can be read, and targets are not checked
        return True


def _strangers(y: Tensor, known: Tensor) -> object:
    return y[~known][0].tolist()


def _positive(name: str, x: float) -> float:
    if isinstance(x, bool) or not isinstance(x, Real) or not 0 < x < math.inf:
        raise ValueError(f"{name} is a finite number above 0, got {x!r}")
    return float(x)
