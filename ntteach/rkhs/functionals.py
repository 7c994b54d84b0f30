"""Functionals on the space of a kernel, and their gradients, which are functions of that space.

The gradient of F at f is the function with `F(f + e g) = F(f) + e <grad F(f), g> + o(e)` for every
g (Definition 2). A functional that depends on values of f at finitely many sequences only,
`F(f) = Phi(f(S_1), ..., f(S_r))`, has the gradient

    grad F(f) = sum_i K(., S_i) dPhi / df(S_i)

by the chain rule (Lemma 5, Eq. 22), for evaluation at S has the gradient K(., S) (Lemma 6).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ntteach.rkhs.functions import Function, check_output, inner, one_sequence
from ntteach.rkhs.kernels import check_sequences


class RealFunctional(ABC):
    """A real function F of a function f, with its gradient."""

    @abstractmethod
    def __call__(self, f: Function) -> Tensor:
        """F(f), a number `()`."""

    @abstractmethod
    def gradient(self, f: Function) -> Function:
        """The gradient of F at f (Definition 2), a function of the same kernel."""


@dataclass(frozen=True, eq=False)
class Functional(RealFunctional):
    """`F(f) = Phi(f(S_1), ..., f(S_r))`, a function of the values of f at some sequences.

    Args:
        points: the sequences S_i, `(r, L, d)`.
        of_values: Phi, a differentiable function in torch of the values, `(r,)` for a scalar kernel
            and `(r, o)` for a vector-valued one, that gives a number `()`.

    Raises:
        ValueError: points of another shape; Phi that gives no number.
        TypeError: no floating-point points, or Phi that is not callable.

    >>> from ntteach.rkhs import linear, section
    >>> f = section(linear(), torch.tensor([[2.0]]))  # f(x) = 2 x
    >>> F = Functional(torch.tensor([[[3.0]]]), lambda values: values.square().sum())
    >>> F(f).item()  # f(3)^2
    36.0
    >>> F.gradient(f).coefficients.tolist()  # 2 f(3) K(., 3)
    [12.0]
    """

    points: Tensor
    of_values: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        check_sequences("points", self.points)
        if not callable(self.of_values):
            raise TypeError(
                f"of_values is a function of values, got {type(self.of_values).__name__}"
            )

    def __call__(self, f: Function) -> Tensor:
        """F(f), a number `()`."""
        return self._number(f(self.points))

    def gradient(self, f: Function) -> Function:
        """`sum_i K(., S_i) dPhi / df(S_i)` (Lemmas 5 and 6), with the points as centres."""
        coefficients = torch.func.grad(self._number)(f(self.points))
        return Function(f.kernel, self.points, coefficients)

    def _number(self, values: Tensor) -> Tensor:
        found = self.of_values(values)
        if not isinstance(found, Tensor) or found.ndim:
            given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"of_values gives a number, a tensor of shape (), got {given}")
        return found


@dataclass(frozen=True)
class SquaredNorm(RealFunctional):
    """`F(f) = |f|^2`, whose gradient is 2 f.

    >>> from ntteach.rkhs import linear, section
    >>> f = section(linear(), torch.tensor([[3.0]]))
    >>> SquaredNorm()(f).item(), SquaredNorm().gradient(f).coefficients.tolist()
    (9.0, [2.0])
    """

    def __call__(self, f: Function) -> Tensor:
        """`<f, f>`, a number `()`."""
        return inner(f, f)

    def gradient(self, f: Function) -> Function:
        """2 f."""
        return 2 * f


@dataclass(frozen=True, eq=False)
class Composition(RealFunctional):
    """`G(F_1(f), ..., F_k(f))`: the chain rule for functionals (Lemma 5, Eq. 22).

    Args:
        outer: G, a differentiable function in torch of k numbers `()` that gives a number `()`.
        functionals: F_1 to F_k, at least one.

    Raises:
        ValueError: no functional, or G that gives no number.
        TypeError: no functionals, or G that is not callable.
    """

    outer: Callable[..., Tensor]
    functionals: tuple[RealFunctional, ...]

    def __post_init__(self) -> None:
        if not callable(self.outer):
            raise TypeError(f"outer is a function of numbers, got {type(self.outer).__name__}")
        if not self.functionals:
            raise ValueError("a composition is of one functional or more, got none")
        for F in self.functionals:
            if not isinstance(F, RealFunctional):
                raise TypeError(f"a composition is of functionals, got {type(F).__name__}")

    def __call__(self, f: Function) -> Tensor:
        """G of the numbers F_k(f), a number `()`."""
        return self._number(*(F(f) for F in self.functionals))

    def gradient(self, f: Function) -> Function:
        """`sum_k dG / dF_k(f) grad F_k(f)` (Eq. 22)."""
        numbers = [F(f) for F in self.functionals]
        slopes = torch.func.grad(self._number, tuple(range(len(numbers))))(*numbers)
        terms = [a * F.gradient(f) for a, F in zip(slopes, self.functionals, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _number(self, *numbers: Tensor) -> Tensor:
        found = self.outer(*numbers)
        if not isinstance(found, Tensor) or found.ndim:
            given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"outer gives a number, a tensor of shape (), got {given}")
        return found


def evaluate(S: Tensor, output: int | None = None) -> Functional:
    """The evaluation functional `E_S(f) = f(S) = <f, K_S>` (Eq. 1).

    Args:
        S: one sequence, `(L, d)`.
        output: which output of a vector-valued function; None for a scalar one.

    Returns:
        A functional with the gradient K_S (Lemma 6).

    Raises:
        ValueError: another shape; when it is used, an output that f does not have.
        TypeError: no floating-point tensor, or an output that is no int.

    >>> from ntteach.rkhs import linear, section
    >>> evaluate(torch.tensor([[5.0]]))(section(linear(), torch.tensor([[2.0]]))).item()
    10.0
    """
    points = one_sequence(S)
    if output is not None and (not isinstance(output, int) or isinstance(output, bool)):
        raise TypeError(f"output is an int, got {output!r}")

    def value(values: Tensor) -> Tensor:
        if values.ndim == 1:
            check_output(output or 0, 1)
            return values[0]
        if output is None:
            raise ValueError(f"f has {values.shape[1]} outputs: say which one to evaluate")
        check_output(output, values.shape[1])
        return values[0, output]

    return Functional(points, value)


def compose(outer: Callable[..., Tensor], *functionals: RealFunctional) -> Composition:
    """The functional `G(F_1(f), ..., F_k(f))` with its gradient by the chain rule (Eq. 22).

    Args:
        outer: G, a differentiable function in torch of k numbers `()` that gives a number `()`.
        functionals: F_1 to F_k, at least one.

    Returns:
        A functional.

    Raises:
        ValueError: no functional, or G that gives no number.
        TypeError: no functionals, or G that is not callable.

    >>> from ntteach.rkhs import linear, section
    >>> f = section(linear(), torch.tensor([[3.0]]))  # |f|^2 = 9
    >>> compose(torch.square, squared_norm()).gradient(f).coefficients.tolist()  # 2 * 9 * 2
    [36.0]
    """
    return Composition(outer, functionals)


def squared_norm() -> SquaredNorm:
    """The functional `F(f) = |f|^2`, with the gradient 2 f.

    Returns:
        A functional.

    >>> from ntteach.rkhs import linear, section
    >>> squared_norm()(section(linear(), torch.tensor([[3.0]]))).item()
    9.0
    """
    return SquaredNorm()


def functional_gradient(F: RealFunctional, f: Function) -> Function:
    """The gradient of F at f: `F(f + e g) = F(f) + e <grad F(f), g> + o(e)` (Definition 2).

    Args:
        F: a functional.
        f: a function.

    Returns:
        A function of the same kernel.

    Raises:
        ValueError: sequences that do not fit those of f, a derivative that is not finite.
        TypeError: no functional, no function.

    >>> from ntteach.rkhs import linear, section
    >>> f = section(linear(), torch.tensor([[2.0]]))
    >>> K_S = functional_gradient(evaluate(torch.tensor([[7.0]])), f)  # Lemma 6
    >>> K_S.centres.item(), K_S.coefficients.item()
    (7.0, 1.0)
    """
    if not isinstance(F, RealFunctional):
        raise TypeError(f"F is a functional, got {type(F).__name__}")
    if not isinstance(f, Function):
        raise TypeError(f"f is a function, got {type(f).__name__}")
    return F.gradient(f)
