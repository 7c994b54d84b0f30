"""Slow, dense, obviously right: what the closed forms are compared with.

The forward pass here is written again, without `learner.py`, and is itself compared with
PyTorch's `scaled_dot_product_attention`. Derivatives come from `torch.func` and from central
differences. Nothing here knows a closed form.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import jacfwd, jacrev

Params = Mapping[str, Tensor]


def attention(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Tensor | None = None,
    heads: int = 1,
) -> Tensor:
    """Eq. 2 and its variants, head by head with `torch.softmax`; `(..., L, v)`.

    A mask is a boolean or float tensor that broadcasts to `(..., heads, L, M)`.
    """
    C = S if context is None else context
    Q, K, V = S @ params["W_Q"], C @ params["W_K"], C @ params["W_V"]
    outputs = []
    for h in range(heads):
        q, k, v = (_columns(x, h, heads) for x in (Q, K, V))
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if mask is not None:
            here = mask.expand(*logits.shape[:-2], heads, *logits.shape[-2:])[..., h, :, :]
            if here.dtype == torch.bool:
                here = torch.zeros_like(logits).masked_fill(here.logical_not(), -math.inf)
            nothing = torch.isneginf(here).all(-1, keepdim=True)
            weights = torch.softmax(logits + torch.where(nothing, 0.0, here), -1)
            weights = torch.where(nothing, 0.0, weights)
        else:
            weights = torch.softmax(logits, -1)
        outputs.append(weights @ v)
    output = torch.cat(outputs, -1)
    return output @ params["W_O"] if "W_O" in params else output


def _columns(x: Tensor, h: int, heads: int) -> Tensor:
    width = x.shape[-1] // heads
    return x[..., h * width : (h + 1) * width]


def attention_loops(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Tensor | None = None,
    heads: int = 1,
) -> Tensor:
    """Eq. 2 and its variants for one sequence, in Python floats, one number at a time.

    Exponentials are taken relative to the row's largest logit. Returns `(L, v)` in float64.
    """
    W_Q, W_K, W_V = (params[name].tolist() for name in ("W_Q", "W_K", "W_V"))
    rows = S.tolist()
    columns = rows if context is None else context.tolist()
    L, M, d_k, v = len(rows), len(columns), len(W_Q[0]), len(W_V[0])
    d_h, v_h = d_k // heads, v // heads
    allowed = None if mask is None else mask.expand(heads, L, M).tolist()

    def times(x: list[float], W: list[list[float]], i: int) -> float:
        return math.fsum(x[a] * W[a][i] for a in range(len(x)))

    Q = [[times(x, W_Q, i) for i in range(d_k)] for x in rows]
    K = [[times(x, W_K, i) for i in range(d_k)] for x in columns]
    V = [[times(x, W_V, c) for c in range(v)] for x in columns]
    output = [[0.0] * v for _ in range(L)]
    for h in range(heads):
        for j in range(L):
            logits: dict[int, float] = {}
            for k in range(M):
                bias = 0.0 if allowed is None else allowed[h][j][k]
                if isinstance(bias, bool):
                    bias = 0.0 if bias else -math.inf
                if bias == -math.inf:
                    continue
                inner = math.fsum(Q[j][i] * K[k][i] for i in range(h * d_h, (h + 1) * d_h))
                logits[k] = inner / math.sqrt(d_h) + bias
            if not logits:
                continue  # masked everywhere
            top = max(logits.values())
            E = {k: math.exp(z - top) for k, z in logits.items()}
            total = math.fsum(E.values())
            for c in range(h * v_h, (h + 1) * v_h):
                output[j][c] = math.fsum(E[k] * V[k][c] for k in E) / total
    result = torch.tensor(output, dtype=torch.float64)
    return result @ params["W_O"].to(torch.float64) if "W_O" in params else result


def jacobian(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Tensor | None = None,
    heads: int = 1,
    mode: str = "reverse",
) -> dict[str, Tensor]:
    """d output / d params by `torch.func.jacrev` ("reverse") or `jacfwd` ("forward").

    Returns one tensor per parameter, `(..., L, v, *parameter shape)`.
    """
    transform = {"reverse": jacrev, "forward": jacfwd}[mode]

    def output(params: Params) -> Tensor:
        return attention(params, S, context=context, mask=mask, heads=heads)

    return transform(output)(dict(params))


def tangent_kernel(
    params: Params,
    S: Tensor,
    S_other: Tensor | None = None,
    *,
    context: Tensor | None = None,
    context_other: Tensor | None = None,
    mask: Tensor | None = None,
    mask_other: Tensor | None = None,
    heads: int = 1,
) -> Tensor:
    """Appendix A.4: the sum over all parameters of products of derivatives, from `jacrev`.

    `(N, L, v, N', L', v)`; a single sequence `(L, d)` has no N. `S_other=None` is S itself, with
    its context and mask.
    """
    left = jacobian(params, S, context=context, mask=mask, heads=heads)
    if S_other is None:
        right = left
    else:
        right = jacobian(params, S_other, context=context_other, mask=mask_other, heads=heads)
    total = torch.zeros((), dtype=S.dtype, device=S.device)
    for name in params:
        transposed = right[name].flatten(-2).movedim(-1, 0)  # (params, N', L', v)
        total = total + torch.tensordot(left[name].flatten(-2), transposed, 1)
    return total


def central_difference(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    step: float | None = None,
    *,
    size: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The derivative of `function` at x by central differences, and a bound on its error.

    The error has two parts: truncation, `h^2 f'''/6`, estimated as the whole difference between
    the quotients of step h and 2h (which is about three times it), and rounding, at most
    `epsilon * |f| / h` with a factor for the operations inside `function`. Where terms cancel
    inside, |f| says too little, and `size` has to tell how large they are.

    Args:
        function: maps a tensor like x to a tensor.
        x: where; float64 for errors near 1e-9.
        step: h, relative to the size of each entry; the balance epsilon^(1/3) if None.
        size: of the terms that a result of `function` adds up, where they are larger than it.

    Returns:
        derivative and bound, both `(*output shape, *x shape)`.
    """
    epsilon = torch.finfo(x.dtype).eps
    relative: float = epsilon ** (1 / 3) if step is None else step
    derivatives, bounds = [], []
    for index in range(x.numel()):
        unit = max(1.0, abs(x.flatten()[index].item()))
        quotients, top = [], 0.0
        for h in (relative * unit, 2 * relative * unit):
            shift = torch.zeros_like(x).flatten()
            shift[index] = h
            shift = shift.reshape(x.shape)
            above, below = x + shift, x - shift
            # the step that was really taken, after rounding
            width = (above - below).flatten()[index]
            f_above, f_below = function(above), function(below)
            quotients.append((f_above - f_below) / width)
            if not top:
                top = torch.maximum(f_above.abs().max(), f_below.abs().max()).item()
        rounding = 32 * epsilon * max(top, size) / (relative * unit)
        derivatives.append(quotients[0])
        bounds.append((quotients[0] - quotients[1]).abs() + rounding)
    shape = (*derivatives[0].shape, *x.shape)
    return torch.stack(derivatives, -1).reshape(shape), torch.stack(bounds, -1).reshape(shape)


def difference_jacobian(
    params: Params,
    S: Tensor,
    *,
    context: Tensor | None = None,
    mask: Tensor | None = None,
    heads: int = 1,
    names: Iterable[str] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """d output / d params by central differences, with the error bound of each entry.

    `names` says by which parameters; all of them if None.
    """
    values, bounds = {}, {}
    size = _largest_term(params, S if context is None else context)
    for name in params if names is None else names:

        def output(W: Tensor, name: str = name) -> Tensor:
            return attention({**params, name: W}, S, context=context, mask=mask, heads=heads)

        values[name], bounds[name] = central_difference(output, params[name], size=size)
    return values, bounds


def _largest_term(params: Params, C: Tensor) -> float:
    """What an output of attention adds up to without regard to signs: weights sum to one."""
    terms = C.abs() @ params["W_V"].abs()
    if "W_O" in params:
        terms = terms @ params["W_O"].abs()
    return terms.max().item()


# --- kernels on sequences, in Python floats, one pair of sequences at a time ----------------------

Tokens = Sequence[Sequence[float]]


def pointwise_kernel(
    name: str, x: Sequence[float], y: Sequence[float], **constants: float
) -> float:
    """The kernel of two vectors: "linear", "polynomial", "gaussian" or "laplace".

    `constants` are `degree` and `constant`, or `width`.
    """
    inner = math.fsum(a * b for a, b in zip(x, y, strict=True))
    if name == "linear":
        return inner
    if name == "polynomial":
        return math.prod([inner + constants["constant"]] * int(constants["degree"]))
    distance = math.dist(x, y)
    if name == "laplace":
        return math.exp(-distance / constants["width"])
    return math.exp(-((distance / constants["width"]) ** 2) / 2)


def alignment_kernel(S: Tokens, T: Tokens, width: float, local: str = "safe") -> float:
    """The sum over all alignments of products of local kernels, one alignment after the other.

    An alignment starts at the first tokens, ends at the last, and each step moves on by one in S,
    in T, or in both. Their number is that of Delannoy.
    """

    def compare(i: int, j: int) -> float:
        g = pointwise_kernel("gaussian", S[i], T[j], width=width)
        # the sum of all powers of g / 2, which are kernels
        return math.fsum((g / 2) ** n for n in range(1, 80)) if local == "safe" else g

    def products(i: int, j: int, product: float) -> Iterator[float]:
        product *= compare(i, j)
        if (i, j) == (len(S) - 1, len(T) - 1):
            yield product
        for a, b in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
            if a < len(S) and b < len(T):
                yield from products(a, b, product)

    return math.fsum(products(0, 0, 1.0))


def signature_kernel(
    S: Tokens,
    T: Tokens,
    depth: int,
    static: Callable[[Sequence[float], Sequence[float]], float] | None = None,
) -> float:
    """The sum over all increasing tuples of steps of S and of T, up to `depth` long, one by one.

    A factor is the inner product of two increments, in the space of the static kernel if given.
    """

    def increment(i: int, j: int) -> float:
        if static is not None:
            signs = {(1, 1): 1, (0, 0): 1, (0, 1): -1, (1, 0): -1}
            return math.fsum(s * static(S[i + a], T[j + b]) for (a, b), s in signs.items())
        columns = range(len(S[0]))
        return math.fsum((S[i + 1][c] - S[i][c]) * (T[j + 1][c] - T[j][c]) for c in columns)

    return math.fsum(
        math.prod(increment(i, j) for i, j in zip(rows, columns, strict=True))
        for m in range(depth + 1)
        for rows in itertools.combinations(range(len(S) - 1), m)
        for columns in itertools.combinations(range(len(T) - 1), m)
    )


def function_values(
    kernel: Callable[[Tokens, Tokens], float],
    centres: Sequence[Tokens],
    coefficients: Sequence[float],
    points: Sequence[Tokens],
) -> list[float]:
    """`f(S) = sum_i c_i k(S, S_i)` at each point, term by term."""
    return [
        math.fsum(c * kernel(S, X) for c, X in zip(coefficients, centres, strict=True))
        for S in points
    ]
