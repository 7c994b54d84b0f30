"""A tangent kernel along a training run: how far it moves, and what it comes to resemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ntteach.dynamics.matrices import checked, kernel_alignment, kernel_matrix, norm, power_of_two


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
        K = checked(self._kernel(), f"the kernel at step {step}").detach().to("cpu", copy=True)
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
        unit = power_of_two(start)
        size = norm(start / unit, "the kernel that drift is measured from")
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
            unit = power_of_two(K)
            size = norm(K / unit, f"the kernel at step {step}") * (after - step)
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
            K = K / power_of_two(K)
            norm(K, "a kernel whose rank is asked for")
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


def _spectrum(K: Tensor) -> Tensor:
    """Eigenvalues in ascending order."""
    unit = power_of_two(K)
    X = K / unit
    if X.shape[0] != X.shape[1] or (X - X.mT).norm() > 1e-3 * X.norm():
        raise ValueError(
            f"eigenvalues are those of a kernel of inputs with themselves, got a matrix of shape "
            f"{tuple(K.shape)} that is not symmetric"
        )
    return torch.linalg.eigvalsh((X + X.mT) / 2) * unit
