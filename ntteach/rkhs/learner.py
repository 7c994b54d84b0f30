"""The nonparametric learner of Section 3.2: functional gradient descent (Eq. 5).

The loss of m sequences is a functional of f, `(1/m) sum_i l(f(S_i), y_i)`, with l summed over the
outputs of a sequence. By the chain rule (Lemma 5) and the gradient of evaluation (Lemma 6) its
gradient is `(1/m) sum_i K(., S_i) dl/df(S_i)`, a function of the kernel's space.
"""

from __future__ import annotations

from torch import Tensor

from ntteach.losses import Loss
from ntteach.rkhs.functions import Function, zero
from ntteach.rkhs.kernels import Kernel, check_positive, check_sequences


class FunctionalLearner:
    """A learner that is a function: `f <- f - (eta/m) sum_i K(., S_i) dl/df(S_i)` (Eq. 5).

    Args:
        kernel: K.
        loss: l; a loss of vectors needs a vector-valued kernel.
        eta: the learning rate.
        function: where it starts; the zero function if None.

    Raises:
        ValueError: eta that is not positive and finite, a function of another kernel, or a loss
            of vectors with a scalar kernel.
        TypeError: no kernel, no loss, eta that is no number, or no function.

    >>> import torch
    >>> from ntteach.losses import squared
    >>> from ntteach.rkhs import linear
    >>> learner = FunctionalLearner(linear(), squared(), eta=0.25)
    >>> S, y = torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([2.0, 4.0])
    >>> learner.step(S, y).item()  # the mean of 2^2 / 2 and 4^2 / 2, before the step
    5.0
    >>> learner.predict(S).tolist()  # f(x) = 0.25 / 2 (2 * 1 + 4 * 2) x
    [1.25, 2.5]
    """

    def __init__(
        self, kernel: Kernel, loss: Loss, eta: float, function: Function | None = None
    ) -> None:
        if not isinstance(kernel, Kernel):
            raise TypeError(f"kernel is a Kernel, got {type(kernel).__name__}")
        if not isinstance(loss, Loss):
            raise TypeError(f"loss is a Loss, got {type(loss).__name__}")
        check_positive("eta", eta)
        if not loss.elementwise and not kernel.vector_valued:
            raise ValueError(
                f"the {loss.name} loss is one of vectors and needs a vector-valued kernel, "
                "got a scalar one"
            )
        self.kernel, self.loss, self.eta = kernel, loss, float(eta)
        self._function: Function | None = None
        if function is not None:
            self.function = function

    @property
    def function(self) -> Function:
        """f as it is now; it can be set to another function of the kernel.

        Raises:
            ValueError: nothing is known of f but that it is zero: the learner has seen no sequence.
        """
        if self._function is None:
            raise ValueError("the learner has seen no sequence yet: take a step first")
        return self._function

    @function.setter
    def function(self, function: Function) -> None:
        if not isinstance(function, Function):
            raise TypeError(f"function is a Function, got {type(function).__name__}")
        if function.kernel is not self.kernel and function.kernel != self.kernel:
            raise ValueError("the learner's function is one of its kernel, got another kernel")
        self._function = function

    def at(self, S: Tensor) -> Function:
        """f, on sequences of the shape of S: before it has seen any, the zero function there."""
        check_sequences("S", S)
        return zero(self.kernel, S) if self._function is None else self._function

    def predict(self, S: Tensor) -> Tensor:
        """f(S), `(N,)` for a scalar kernel and `(N, o)` for a vector-valued one.

        Args:
            S: `(N, L, d)`.

        Raises:
            ValueError: sequences that do not fit those seen before.
            TypeError: no floating-point tensor.
        """
        return self.at(S)(S)

    def residuals(self, S: Tensor, y: Tensor) -> Tensor:
        """f(S) - y, what Eq. 21 looks at; arguments as `step`, in the shape of `predict`.

        Raises:
            ValueError: targets in another shape, such as class numbers, which are no outputs.
        """
        return residuals_of(self.predict(S), y)

    def step(self, S: Tensor, y: Tensor) -> Tensor:
        """Move f by Eq. 5 on m sequences.

        Args:
            S: `(m, L, d)`, at least one.
            y: targets for the loss: in the shape of `predict(S)`, or class numbers `(m,)`.

        Returns:
            The loss before the step, averaged over the m sequences, `()`.

        Raises:
            ValueError: no sequence, shapes or targets that do not fit.
            TypeError: no floating-point tensors.
        """
        f = self.at(S)
        if len(S) == 0:
            raise ValueError("a step is on one sequence or more, got none")
        values = f(S)
        g = self.loss.gradient(values, y)
        self._function = f + Function(self.kernel, S, -self.eta / len(S) * g)
        return per_sequence(self.loss.value(values, y)).mean()


def residuals_of(values: Tensor, y: Tensor) -> Tensor:
    """Predictions less targets, in one shape; raises where targets are no outputs."""
    if not isinstance(y, Tensor):
        raise TypeError(f"y is a tensor, got {type(y).__name__}")
    if y.shape != values.shape:
        raise ValueError(
            f"residuals are of targets in the shape of the outputs, {tuple(values.shape)}, got "
            f"{tuple(y.shape)}: for class numbers, look at loss gradients instead"
        )
    return values - y.to(values.dtype)


def per_sequence(losses: Tensor) -> Tensor:
    """Losses summed over the outputs of each sequence, `(N,)`."""
    return losses.sum(-1) if losses.ndim > 1 else losses
