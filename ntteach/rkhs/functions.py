"""Functions in the space of a kernel: finite sums `f = sum_i K(., S_i) c_i`, with exact arithmetic.

These are the functions of Section 3.1 before closure. Everything about them is linear algebra
with Gram matrices: values `f(S) = K(S, S_i) c`, inner products `<f, g> = c^T K(S_i, S'_j) c'`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real

import torch
from torch import Tensor

from ntteach.rkhs.kernels import Kernel, check_alike, check_sequences


@dataclass(frozen=True, eq=False)
class Function:
    """`f = sum_i K(., S_i) c_i`: f(S) is a number, or a vector of the kernel's o outputs.

    Functions of one kernel form a vector space: `f + g`, `f - g`, `a * f`, `f / a`, `-f`.

    Args:
        kernel: K.
        centres: the sequences S_i, `(r, L, d)`; r may be 0, the zero function. Neither these nor
            the coefficients are copied: what is changed in place later changes f.
        coefficients: the c_i, `(r,)` for a scalar kernel (`(r, 1)` is taken too), `(r, o)` for a
            vector-valued one.

    Raises:
        ValueError: shapes that do not fit, two devices, numbers that are not finite.
        TypeError: no kernel, no floating-point tensors, or two dtypes.

    >>> from ntteach.rkhs import linear
    >>> f = Function(linear(), torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([3.0, -1.0]))
    >>> f(torch.tensor([[[5.0]]])).tolist()  # (3 * 1 - 1 * 2) * 5
    [5.0]
    """

    kernel: Kernel
    centres: Tensor
    coefficients: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, Kernel):
            raise TypeError(f"kernel is a Kernel, got {type(self.kernel).__name__}")
        check_sequences("centres", self.centres)
        c = self.coefficients
        if not isinstance(c, Tensor):
            raise TypeError(f"coefficients are a tensor, got {type(c).__name__}")
        check_alike({"centres": self.centres, "coefficients": c})
        shape = _shape(self.kernel, self.centres)
        if len(shape) == 1 and c.shape == (*shape, 1):
            c = c.squeeze(1)
            object.__setattr__(self, "coefficients", c)
        if c.shape != shape:
            raise ValueError(
                f"coefficients have shape {shape} for centres {tuple(self.centres.shape)}, "
                f"got {tuple(c.shape)}"
            )
        for name, x in (("centres", self.centres), ("coefficients", c)):
            if not bool(torch.isfinite(x).all()):
                raise ValueError(f"{name} are finite, got {x[~torch.isfinite(x)][0].item()}")

    def __call__(self, S: Tensor) -> Tensor:
        """The values at sequences: `f(S) = sum_i K(S, S_i) c_i`.

        Args:
            S: `(N, L, d)`.

        Returns:
            `(N,)` for a scalar kernel, `(N, o)` for a vector-valued one.

        Raises:
            ValueError: shapes that do not fit the centres, another device.
            TypeError: no floating-point tensor, or of another dtype.
        """
        return torch.tensordot(self.kernel(S, self.centres), self.coefficients, self._axes)

    @property
    def _axes(self) -> int:
        return self.coefficients.ndim

    def merged(self) -> Function:
        """The same function with each centre once, in order of first appearance."""
        rows = self.centres.detach().flatten(1)
        if len(rows) < 2:
            return self
        unique, which = torch.unique(rows, dim=0, return_inverse=True)
        if len(unique) == len(rows):
            return self
        places = torch.arange(len(rows), device=rows.device)
        first = places.new_full((len(unique),), len(rows)).scatter_reduce(0, which, places, "amin")
        order = first.argsort()
        position = torch.empty_like(order).index_put((order,), places[: len(order)])
        total = torch.zeros_like(self.coefficients[: len(unique)])
        total = total.index_add(0, position[which], self.coefficients)
        return replace(self, centres=self.centres[first[order]], coefficients=total)

    def __add__(self, other: Function) -> Function:
        if not isinstance(other, Function):
            return NotImplemented
        _check_same_space(self, other)
        if self.centres.shape[1:] != other.centres.shape[1:]:
            raise ValueError(
                "centres of a sum are sequences of one shape, got "
                f"{tuple(self.centres.shape)} and {tuple(other.centres.shape)}"
            )
        if self.centres is other.centres:
            return replace(self, coefficients=self.coefficients + other.coefficients)
        centres = torch.cat([self.centres, other.centres])
        coefficients = torch.cat([self.coefficients, other.coefficients])
        return Function(self.kernel, centres, coefficients).merged()

    def __mul__(self, factor: float | Tensor) -> Function:
        if not _is_number(factor):
            return NotImplemented
        return replace(self, coefficients=self.coefficients * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> Function:
        if not _is_number(divisor):
            return NotImplemented
        return replace(self, coefficients=self.coefficients / divisor)

    def __neg__(self) -> Function:
        return replace(self, coefficients=-self.coefficients)

    def __sub__(self, other: Function) -> Function:
        return self + (-other) if isinstance(other, Function) else NotImplemented


def zero(kernel: Kernel, S: Tensor) -> Function:
    """The zero function of a kernel on sequences of the shape of S.

    Args:
        kernel: K.
        S: `(N, L, d)`; only its shape, dtype and device count.

    Returns:
        A function without centres.

    Raises:
        ValueError: a shape that is not that of sequences.
        TypeError: no floating-point tensor.

    >>> from ntteach.rkhs import linear
    >>> zero(linear(), torch.ones(1, 2, 3))(torch.ones(4, 2, 3)).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    check_sequences("S", S)
    return Function(kernel, S[:0].detach(), S.new_empty(_shape(kernel, S[:0])))


def section(kernel: Kernel, S: Tensor, output: int = 0) -> Function:
    """The function `K_S = K(., S)`, by which f is evaluated: `<f, K_S> = f(S)` (Eq. 1).

    Args:
        kernel: K.
        S: one sequence, `(L, d)`.
        output: a for the function `K(., S) e_a` of a vector-valued kernel.

    Returns:
        A function with one centre.

    Raises:
        ValueError: another shape, or an output that the kernel does not have.
        TypeError: no floating-point tensor, or an output that is no int.

    >>> from ntteach.rkhs import linear
    >>> section(linear(), torch.tensor([[2.0]]))(torch.tensor([[[5.0]]])).tolist()
    [10.0]
    """
    centre = one_sequence(S)
    o = kernel.outputs_at(centre)
    check_output(output, o)
    coefficients = torch.zeros(_shape(kernel, centre), dtype=S.dtype, device=S.device)
    coefficients.view(-1)[output] = 1
    return Function(kernel, centre, coefficients)


def inner(f: Function, g: Function) -> Tensor:
    """The inner product `<f, g> = sum_ij c_i^T K(S_i, S'_j) c'_j` of the kernel's space.

    Args:
        f: a function.
        g: another of the same kernel.

    Returns:
        A number, `()`.

    Raises:
        ValueError: functions of different kernels, dtypes or devices.
        TypeError: no functions.

    >>> from ntteach.rkhs import linear
    >>> f, g = (section(linear(), torch.tensor([[x]])) for x in (2.0, 5.0))
    >>> inner(f, g).item()
    10.0
    """
    for x in (f, g):
        if not isinstance(x, Function):
            raise TypeError(f"an inner product is of functions, got {type(x).__name__}")
    _check_same_space(f, g)
    return (f.coefficients * g(f.centres)).sum()


def norm(f: Function) -> Tensor:
    """The norm `|f| = sqrt(<f, f>)`.

    Args:
        f: a function.

    Returns:
        A number, `()`.

    Raises:
        ValueError: `<f, f>` so far below 0 that rounding does not explain it: the kernel is not
            positive semi-definite.
        TypeError: no function.

    >>> from ntteach.rkhs import linear
    >>> norm(section(linear(), torch.tensor([[3.0], [4.0]]))).item()
    5.0
    """
    square = inner(f, f)
    if square < 0:
        terms = f.coefficients.abs()
        # the terms c_i K_ij c_j come to at most (sum |c|)^2 max |K|, to which rounding is relative
        largest = f.kernel(f.centres).abs().max() if len(f.centres) else square.new_zeros(())
        allowed = 16 * terms.numel() * torch.finfo(square.dtype).eps * terms.sum() ** 2 * largest
        if square < -allowed:
            raise ValueError(
                "<f, f> is not below 0 for a positive semi-definite kernel, got "
                f"{square.item():.6g}"
            )
    return square.clamp(min=0).sqrt()


def _shape(kernel: Kernel, centres: Tensor) -> tuple[int, ...]:
    """The shape of coefficients."""
    r = len(centres)
    return (r, kernel.outputs_at(centres)) if kernel.vector_valued else (r,)


def one_sequence(S: Tensor) -> Tensor:
    """One sequence `(L, d)` as a batch of one; raises for any other shape."""
    if isinstance(S, Tensor) and S.ndim != 2:
        raise ValueError(f"S is one sequence (L, d), got {tuple(S.shape)}")
    batch = S[None] if isinstance(S, Tensor) else S
    check_sequences("S", batch)
    return batch


def check_output(output: int, outputs: int) -> None:
    """Raise unless output is one of a kernel's outputs, counted from 0."""
    if not isinstance(output, int) or isinstance(output, bool):
        raise TypeError(f"output is an int, got {output!r}")
    if not 0 <= output < outputs:
        raise ValueError(f"output is one of 0 to {outputs - 1}, got {output}")


def _is_number(x: object) -> bool:
    return isinstance(x, Real) or (isinstance(x, Tensor) and x.ndim == 0)


def _check_same_space(f: Function, g: Function) -> None:
    if f.kernel != g.kernel:
        raise ValueError(f"functions are of one kernel, got {f.kernel} and {g.kernel}")
    check_alike({"the first function": f.centres, "the second function": g.centres})
