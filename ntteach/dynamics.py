"""A tangent kernel along a training run: how far it moves, and what it comes to resemble.

`KernelTrace` records any kernel in a training loop of one's own; what it measures are norms and
cosines in the Frobenius inner product `<K, K'> = sum_ij K_ij K'_ij`, in float64. A kernel of 2m
axes, such as `(N, L, v, N', L', v')`, is a matrix whose rows are its first m axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class KernelTrace:
    """Kernels of one run, by the step at which they were recorded.

    Kernels are kept on the CPU, in their own dtype.

    Args:
        kernel: computes the kernel of the parameters as they are now, always in one shape.

    Raises:
        TypeError: not callable.

    >>> w = torch.tensor([1.0])  # f = w^2 x, so that K = (2 w)^2 x x', here for x = x' = 1
    >>> trace = KernelTrace(lambda: (2 * w).square().reshape(1, 1))
    >>> trace.record(0)
    >>> w += 0.5
    >>> trace.record(1)
    >>> trace.steps, trace.drift().tolist()
    ((0, 1), [0.0, 1.25])
    """

    def __init__(self, kernel: Callable[[], Tensor]) -> None:
        if not callable(kernel):
            raise TypeError(f"kernel is called without arguments, got {type(kernel).__name__}")
        self._kernel = kernel
        self._kept: dict[int, Tensor] = {}

    def record(self, step: int) -> None:
        """Compute the kernel and keep it.

        Raises:
            ValueError: a step that is not after the last, a kernel of another shape than before,
                with an odd number of axes, or that is not finite.
            TypeError: a step that is no int, or a kernel that is no tensor.
        """
        if not isinstance(step, int) or isinstance(step, bool):
            raise TypeError(f"step is an int, got {step!r}")
        if self._kept and step <= self.steps[-1]:
            raise ValueError(f"steps are recorded in order, got {step} after {self.steps[-1]}")
        # a copy: the kernel may be written to the same tensor each time
        K = _checked(self._kernel(), f"the kernel at step {step}").detach().to("cpu", copy=True)
        if self._kept and K.shape != (before := self._kept[self.steps[-1]].shape):
            raise ValueError(
                f"the kernel at step {step} has shape {tuple(K.shape)}, before {tuple(before)}"
            )
        self._kept[step] = K

    @property
    def steps(self) -> tuple[int, ...]:
        """The recorded steps, in order."""
        return tuple(self._kept)

    def at(self, step: int) -> Tensor:
        """The kernel at a recorded step, in its own shape.

        Raises:
            ValueError: a step that was not recorded.
        """
        if step not in self._kept:
            known = ", ".join(map(str, self.steps)) or "none"
            raise ValueError(f"no kernel was recorded at step {step}; recorded are {known}")
        return self._kept[step]

    def drift(self, since: int | None = None) -> Tensor:
        """`||K_t - K_s||_F / ||K_s||_F` at each recorded step, `(T,)`.

        Args:
            since: s, a recorded step; the first if None. With `steps[-1]` it says how far the
                kernel still had to go.

        Raises:
            ValueError: nothing recorded, an unknown step, or K_s = 0.
        """
        start = kernel_matrix(self.at(self._first() if since is None else since)).double()
        unit = _unit(start)
        size = _norm(start / unit, "the kernel that drift is measured from")
        return self._each(lambda K: ((K / unit - start / unit).norm() / size).item())

    def speed(self) -> Tensor:
        """`||K_t' - K_t||_F / (||K_t||_F (t' - t))` between recorded steps t and t', `(T - 1,)`.

        Raises:
            ValueError: nothing recorded, or K_t = 0.
        """
        self._first()
        found = []
        for step, after in zip(self.steps[:-1], self.steps[1:], strict=True):
            K, later = (kernel_matrix(self.at(t)).double() for t in (step, after))
            unit = _unit(K)
            size = _norm(K / unit, f"the kernel at step {step}") * (after - step)
            found.append(((later / unit - K / unit).norm() / size).item())
        return torch.tensor(found, dtype=torch.float64)

    def alignment(self, target: Tensor, *, centred: bool = False) -> Tensor:
        """`kernel_alignment` with a fixed kernel at each recorded step, `(T,)`; raises as that."""
        return self._each(lambda K: kernel_alignment(K, target, centred=centred))

    def top_eigenvalue(self) -> Tensor:
        """The largest eigenvalue at each recorded step, `(T,)`.

        Raises:
            ValueError: nothing recorded, or a kernel between two different sets of inputs.
        """
        return self._each(lambda K: _spectrum(K)[-1].item())

    def effective_rank(self) -> Tensor:
        """`exp(-sum_i p_i log p_i)` with `p = lambda / sum lambda` at each recorded step, `(T,)`.

        1 for a kernel of rank one, n if all n eigenvalues are equal.

        Raises:
            ValueError: as `top_eigenvalue`, or a zero kernel.
        """

        def rank(K: Tensor) -> float:
            K = K / _unit(K)
            _norm(K, "a kernel whose rank is asked for")
            p = _spectrum(K).clamp(min=0)  # below zero by rounding only
            return torch.special.entr(p / p.sum()).sum().exp().item()

        return self._each(rank)

    def _first(self) -> int:
        if not self._kept:
            raise ValueError("no kernel was recorded yet: call record(step)")
        return self.steps[0]

    def _each(self, measure: Callable[[Tensor], float]) -> Tensor:
        self._first()
        found = [measure(kernel_matrix(K).double()) for K in self._kept.values()]
        return torch.tensor(found, dtype=torch.float64)


def kernel_matrix(K: Tensor) -> Tensor:
    """A kernel of 2m axes as a matrix: `(N, L, v, N', L', v')` as `(N L v, N' L' v')`.

    Args:
        K: its first m axes are those of the rows.

    Returns:
        `(rows, columns)`, a view where K allows one.

    Raises:
        ValueError: an odd number of axes, or none.
        TypeError: no tensor.

    >>> kernel_matrix(torch.zeros(2, 3, 4, 5)).shape
    torch.Size([6, 20])
    """
    if not isinstance(K, Tensor):
        raise TypeError(f"a kernel is a tensor, got {type(K).__name__}")
    if K.ndim == 0 or K.ndim % 2:
        raise ValueError(
            f"a kernel has as many axes for its columns as for its rows, got {tuple(K.shape)}"
        )
    rows = math.prod(K.shape[: K.ndim // 2])
    return K.reshape(rows, math.prod(K.shape[K.ndim // 2 :]))


def kernel_alignment(K: Tensor, other: Tensor, *, centred: bool = False) -> float:
    """The cosine of two kernels, `<K, K'>_F / (||K||_F ||K'||_F)`.

    Between -1 and 1, and not below 0 for two positive semidefinite kernels. Blind to their scale.

    Args:
        K: a kernel of 2m axes.
        other: another, whose matrix has the same shape.
        centred: of the kernels of centred features: without the means of rows and columns.

    Returns:
        The cosine, in float64.

    Raises:
        ValueError: matrices of different shape, a zero kernel, or one that is not finite.
        TypeError: no tensors, or `centred` that is no bool.

    >>> round(kernel_alignment(torch.eye(2), torch.ones(2, 2)), 6)  # 2 / (sqrt(2) * 2)
    0.707107
    """
    _require_bool("centred", centred)
    a, b = (
        kernel_matrix(_checked(x, "a kernel")).detach().to("cpu", torch.float64) for x in (K, other)
    )
    if a.shape != b.shape:
        raise ValueError(f"kernels have one shape, got {tuple(K.shape)} and {tuple(other.shape)}")
    # squares of entries may overflow, or vanish
    a, b = (x / _unit(x) for x in (a, b))
    what = "a kernel whose alignment is asked for"
    sizes = [_norm(x, what) for x in (a, b)]
    if centred:
        centres = [_centred(x) for x in (a, b)]
        for x, size in zip(centres, sizes, strict=True):
            # rounding alone would have some direction
            if x.norm() <= 1e-12 * size:
                raise ValueError("a kernel whose alignment is asked for is zero once centred")
        a, b = centres
        sizes = [x.norm().item() for x in centres]
    return ((a / sizes[0]) * (b / sizes[1])).sum().clamp(-1, 1).item()


def target_kernel(y: Tensor, *, trace_outputs: bool = False) -> Tensor:
    """The kernel `y y^T` of the targets, in the shape of a tangent kernel.

    Args:
        y: targets in the shape of the outputs, `(N, L, v)` or `(N,)`.
        trace_outputs: sum over the last axis, as in `antk` and `empirical_ntk`.

    Returns:
        `(*y.shape, *y.shape)`, without the last axis of both if `trace_outputs`.

    Raises:
        ValueError: a number, or only one axis where the last is summed over.
        TypeError: no tensor, or `trace_outputs` that is no bool.

    >>> target_kernel(torch.tensor([1.0, -2.0])).tolist()
    [[1.0, -2.0], [-2.0, 4.0]]
    """
    _require_bool("trace_outputs", trace_outputs)
    if not isinstance(y, Tensor):
        raise TypeError(f"targets are a tensor, got {type(y).__name__}")
    if y.ndim < 1 + trace_outputs:
        raise ValueError(
            f"targets have an axis of samples{' and one of outputs' if trace_outputs else ''}, "
            f"got {tuple(y.shape)}"
        )
    if trace_outputs:
        return torch.tensordot(y, y.movedim(-1, 0), 1)
    return y[(...,) + (None,) * y.ndim] * y


def kernel_cosines(traces: Sequence[KernelTrace], *, centred: bool = False) -> Tensor:
    """`kernel_alignment` between runs, such as seeds, at each recorded step: `(T, R, R)`.

    Args:
        traces: R runs of the same kernel, recorded at the same steps.
        centred: as for `kernel_alignment`.

    Returns:
        `(T, R, R)` in float64, for T steps.

    Raises:
        ValueError: no run, other steps in one than in another, or as `kernel_alignment`.

    >>> runs = [KernelTrace(lambda: torch.eye(2)), KernelTrace(lambda: torch.ones(2, 2))]
    >>> for run in runs:
    ...     run.record(0)
    >>> kernel_cosines(runs).mul(2).square().round().tolist()
    [[[4.0, 2.0], [2.0, 4.0]]]
    """
    if not traces:
        raise ValueError("there is no run to compare")
    steps = traces[0].steps
    if not steps:
        raise ValueError("no kernel was recorded yet: call record(step)")
    for number, trace in enumerate(traces):
        if trace.steps != steps:
            raise ValueError(
                f"runs are recorded at the same steps, got {steps} and, in run {number}, "
                f"{trace.steps}"
            )
    n = len(traces)
    found = torch.ones(len(steps), n, n, dtype=torch.float64)
    for t, step in enumerate(steps):
        for i in range(n):
            for j in range(i + 1):
                K, other = traces[i].at(step), traces[j].at(step)
                found[t, i, j] = kernel_alignment(K, other, centred=centred)
                found[t, j, i] = found[t, i, j]
    return found


def _checked(K: object, what: str) -> Tensor:
    if not isinstance(K, Tensor):
        raise TypeError(f"{what} is a tensor, got {type(K).__name__}")
    kernel_matrix(K)
    if not torch.isfinite(K).all():
        raise ValueError(f"{what} is not finite")
    return K


def _norm(K: Tensor, what: str) -> float:
    size = K.norm().item()
    if size == 0:
        raise ValueError(f"{what} is zero")
    return size


def _unit(K: Tensor) -> float:
    """The power of two below the largest entry, by which division is exact; 1 for no entry."""
    largest = K.abs().max().item() if K.numel() else 0.0
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0


def _require_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, got {value!r}")


def _centred(K: Tensor) -> Tensor:
    return K - K.mean(0) - K.mean(1, keepdim=True) + K.mean()


def _spectrum(K: Tensor) -> Tensor:
    """Eigenvalues in ascending order."""
    unit = _unit(K)
    X = K / unit
    if X.shape[0] != X.shape[1] or (X - X.mT).norm() > 1e-3 * X.norm():
        raise ValueError(
            f"eigenvalues are those of a kernel of inputs with themselves, got a matrix of shape "
            f"{tuple(K.shape)} that is not symmetric"
        )
    return torch.linalg.eigvalsh((X + X.mT) / 2) * unit
