"""`sufficient_reduction`: both sides of every form of the sufficient reduction of the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ntteach.bounds import rates, steps
from ntteach.bounds.gram import Gram
from ntteach.bounds.problem import Problem, problem
from ntteach.bounds.reduction import Reduction
from ntteach.bounds.sources import kernel_of
from ntteach.bounds.subset import subset
from ntteach.learner import Mask

_FORMS: Mapping[str, Callable[[Problem], Reduction]] = {
    "paper": rates.paper,
    "identity": rates.identity,
    "rate": rates.rate,
    "mean": rates.mean,
    "discrete": steps.discrete,
    "repaired": steps.repaired,
}
FORMS = (*_FORMS, "subset")


def sufficient_reduction(
    kernel: Any,
    residual_gradient: Any,
    *,
    eta: float,
    tau: float,
    gamma: float | None = None,
    normaliser: Any = None,
    form: str = "paper",
    sequences: Any = None,
    mask: Mask = None,
    heads: int = 1,
    outputs: int = 1,
    chosen: Any = None,
    loss: Any = None,
    next_loss: Any = None,
    derivative: Any = None,
) -> Reduction:
    """How fast a loss falls, and what a form of Proposition 4 (Eq. 19) says about it.

    The loss is `L = sum_i l_i / P`, its gradient `g_i = dl_i / df_i`, K the Gram matrix of the n
    outputs, and the flow that of Eq. 15,

        df/dt = -(eta / P) K g,    so that    dL/dt = -(eta / P^2) g^T K g.

    The average of the paper divides by P = N L, the number of elements; the kernel's side is
    n = N L v. For the sum, P = 1: `df/dt = -eta K g`, `dL/dt = -eta g^T K g`. Forms, with
    `Kbar = K / P` and mean g taken over the N L elements (for v > 1 a vector, whose squared norm
    stands for its square):

        "paper"     dL/dt <= -(eta gamma / 2) |mean g|^2, supposing that the entries of K are at
                    most gamma, that l is tau-smooth, eta <= 1/(2 tau gamma)
        "identity"  dL/dt = -(eta / P^2) g^T K g, also called "exact"
        "rate"      dL/dt <= -(eta lambda_min(K) / P^2) |g|^2
        "mean"      dL/dt <= -eta c |mean g|^2, c = (N L / P)^2 / (1^T K^+ 1)
        "discrete"  L+ - L <= -(eta / P) g^T Kbar g + (tau eta^2 / 2 P) |Kbar g|^2 for the step
                    f+ = f - eta Kbar g
        "repaired"  L+ - L <= -(eta / 2 P) g^T Kbar g for eta <= 1/(tau lambda_max(Kbar)), with
                    3/4 for 1/2 where eta <= 1/(2 tau lambda_max(Kbar))
        "subset"    the flow on chosen sequences, the loss on all

    That of the paper is refuted; the others are theorems under their hypotheses, "rate" and "mean"
    with the best constants. The paper supposes a definite kernel. Here a semi-definite one will do,
    as tangent kernels seldom are definite: a strict violation is also one for K + epsilon.

    Args:
        kernel: a Gram matrix `(n, n)`, `(N, L, N, L)` or `(N, L, v, N, L, v)`; or, with
            `sequences`, an `rkhs` kernel or learner, parameters of `attention`, an
            `AttentionLearner` (both by their ANTK) or any module (by its tangent kernel). Models
            are taken to float64 and eval mode. A matrix is given in the precision in which it was
            computed: rounding of that precision is allowed for.
        residual_gradient: g, in the shape of the outputs or flat, without the average.
        eta: the learning rate.
        tau: the smoothness of the loss; infinite for one that has none.
        gamma: bounds the kernel; if None the smallest that does, its largest entry. One that is
            below the largest entry is an unmet hypothesis.
        normaliser: P; N L for None or "mean", 1 for "sum". For an `rkhs` kernel and for modules
            without an axis of elements N L is the number of sequences.
        form: one of `FORMS`.
        sequences: what a kernel or a model is taken of.
        mask: for parameters of `attention`.
        heads: for parameters of `attention`.
        outputs: v, for a matrix `(n, n)`.
        chosen: indices of sequences, for "subset".
        loss: L before a step, for "discrete" and "repaired"; with `next_loss`.
        next_loss: L after it; the left side is then the change, else the largest that tau allows.
        derivative: dL/dt as it was measured, for the left side of "identity".

    Returns:
        Both sides, the hypotheses with their values, and a verdict.

    Raises:
        ValueError: a kernel that is not symmetric, positive semi-definite and finite; another
            number of gradients than outputs; eta, tau, gamma or normaliser not above 0; an unknown
            form; sides that overflow.
        TypeError: arguments of the wrong kind.

    >>> K = [[1.0, 0.0], [0.0, 1 / 9]]
    >>> print(sufficient_reduction(K, [0.1, 1.0], eta=0.5, tau=1.0))  # (1/8) (1/100 + 1/9)
    paper: violated, left is above right
      left   -0.01513889    dL/dt
      right  -0.075625      -(eta gamma / 2) |mean g|^2
      slack  -0.06048611
      met    K is symmetric, largest |K_ij - K_ji|: 0
      met    K is positive semi-definite, smallest eigenvalue: 0.1111111
      met    gamma > 0: 1
      met    largest entry of K <= gamma = 1: 1
      met    tau > 0: 1
      met    eta <= 1/(2 tau gamma) = 0.5: 0.5
      with   gamma = 1
      with   |mean g|^2 = 0.3025
      with   normaliser = 2
    >>> sufficient_reduction(K, [0.1, 1.0], eta=0.5, tau=1.0, form="repaired").verdict
    'holds'
    """
    form = check_form(form)
    if chosen is not None and form != "subset":
        raise ValueError(f"chosen is for the form 'subset', got form {form!r}")
    if isinstance(kernel, Gram):
        K = kernel
    else:
        K = kernel_of(kernel, sequences, mask=mask, heads=heads, outputs=outputs)
    p = problem(
        K,
        residual_gradient,
        eta=eta,
        tau=tau,
        gamma=gamma,
        normaliser=normaliser,
        loss=loss,
        next_loss=next_loss,
        derivative=derivative,
    )
    return reduction(p, form, chosen)


def reduction(p: Problem, form: str, chosen: Any = None) -> Reduction:
    """One form on checked arguments."""
    found = subset(p, chosen) if form == "subset" else _FORMS[form](p)
    # an infinite tau makes a side infinite, and is an unmet hypothesis
    smooth = p.tau < float("inf")
    if smooth and not abs(found.left) + abs(found.right) < float("inf"):
        raise ValueError(
            f"the sides overflow float64 ({found.left:.3g} and {found.right:.3g}): "
            "scale the kernel or the gradient down"
        )
    return found


def check_form(form: object) -> str:
    """The name of a form; "exact" is another for "identity".

    Raises:
        ValueError: there is no such form.
    """
    name = "identity" if form == "exact" else form
    if name not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r}")
    return str(name)
