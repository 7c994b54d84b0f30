"""The library's teachers, losses and functional learner against what the choice is said to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ntteach import losses, rkhs
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.losses import Loss
from ntteach.rkhs import Function, FunctionalLearner, Kernel, Pool, Teacher

F64 = torch.float64
SHAPES = ((3, 1), (4, 2), (6, 3))  # sequences and outputs of each


# --- Eqs. 20 and 21 ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Stack:
    """Rows of N sequences, a Gram matrix beside them, and how many to choose."""

    rows: Tensor
    gram: Tensor
    size: int

    def __str__(self) -> str:
        return f"{len(self.rows)} sequences of {self.rows.shape[1]}, m = {self.size}"

    def norm(self, chosen: Tensor) -> Tensor:
        """The Frobenius norm of the rows chosen, stacked."""
        return torch.linalg.matrix_norm(self.rows[chosen])


def teacher_chooses(claim: Claim, setting: Setting, *, teacher: str) -> Evidence:
    """The norm of what a teacher of the library chooses against the largest of all subsets.

    A pass guarantees that no subset of its size has a larger norm, on random rows and every m. The
    mutants are other choices, and teachers that look at something else.
    """
    cases = list(_stacks(setting))
    ask: dict[str, Teacher] = {
        "greedy": rkhs.greedy_teacher(),
        "gradient": rkhs.gradient_teacher(),
    }

    def by(one: Teacher) -> Callable[[Stack], Tensor]:
        return lambda case: case.norm(one(case.rows, case.gram, case.size))

    def largest(case: Stack) -> tuple[Tensor, Tensor]:
        subsets = combinations(range(len(case.rows)), case.size)
        norm = torch.stack([case.norm(torch.tensor(chosen)) for chosen in subsets]).max()
        return norm, 1e-14 * norm

    return agree(
        by(ask[teacher]),
        largest,
        cases,
        mutants={
            "the first m": lambda case: case.norm(torch.arange(case.size)),
            "the smallest": lambda case: case.norm(
                case.rows.square().sum(1).argsort()[: case.size]
            ),
            "largest sums": lambda case: case.norm(
                case.rows.sum(1).abs().argsort(descending=True)[: case.size]
            ),
            "by functional gradient": by(rkhs.functional_gradient_teacher()),
            "by kernel": by(rkhs.ntk_teacher()),
        },
        scope="float64, 3 to 6 sequences of 1 to 3 outputs, every m",
    )


def _stacks(setting: Setting) -> list[Stack]:
    g = torch.Generator().manual_seed(setting.seed)
    stacks = []
    for _ in range(setting.scaled(4, 20)):
        for N, o in SHAPES:
            rows = torch.randn(N, o, generator=g, dtype=F64)
            J = torch.randn(N * o, N * o, generator=g, dtype=F64)
            stacks += [Stack(rows, J @ J.T, size) for size in range(1, N + 1)]
    return stacks


# --- what constants of a loss say of the choice --------------------------------------------------

# least where f = y; logistic and cross-entropy losses are not
CONVEX: dict[str, Callable[[], Loss]] = {
    "squared": losses.squared,
    "weighted squared": lambda: losses.weighted_squared(torch.tensor([1.0, 4.0, 2.0], dtype=F64)),
    "huber": losses.huber,
    "pseudo-huber": losses.pseudo_huber,
    "log-cosh": losses.log_cosh,
}


def constants_bound_gradients(claim: Claim, setting: Setting) -> Evidence:
    """`mu |f - y| <= |g| <= tau |f - y|` for the library's losses that are least at y.

    And what follows: the gradient of a choice by residuals is at least mu / tau of any other's. A
    pass guarantees both on random residuals, of sizes from 1e-3 to 10, some along one output; the
    mutants are constants that are better by one percent, which these come close enough to break.
    """
    cases = [(name, r, size) for name in CONVEX for r in _residuals(setting) for size in (1, 2)]

    def excess(tau: float, mu: float, choice: float) -> float:
        worst = 0.0
        for name, r, size in cases:
            loss = CONVEX[name]()
            gradient = loss.gradient(r, torch.zeros_like(r)).norm(dim=1)
            norm = r.norm(dim=1)
            upper = (gradient / (tau * loss.smoothness * norm)).max().item()
            lower = (mu * loss.strong_convexity * norm / gradient).max().item()
            chosen = rkhs.greedy_teacher()(r, torch.eye(r.numel(), dtype=F64), size)
            ratio = choice * loss.strong_convexity / loss.smoothness
            best = gradient.sort(descending=True).values[:size].norm()
            worst = max(worst, upper, lower, (ratio * best / gradient[chosen].norm()).item())
        return worst / (1 + 1e-12)

    found = excess(1, 1, 1)
    return Evidence(
        Outcome.SUPPORTS if found <= 1 else Outcome.REFUTES,
        f"float64, {', '.join(CONVEX)}; residuals of 4 sequences of 3 outputs, m = 1, 2",
        len(cases),
        found,
        "the closest case is at the bound" if found > 1 - 1e-6 else f"{found:.6g} of the bound",
        (
            Mutant("tau smaller by one percent", excess(0.99, 1, 1) > 1),
            Mutant("mu larger by one percent", excess(1, 1.01, 1) > 1),
            Mutant("mu / tau larger by one percent", excess(1, 1, 1.01) > 1),
        ),
    )


def _residuals(setting: Setting) -> list[Tensor]:
    g = torch.Generator().manual_seed(setting.seed)
    drawn = [
        10 ** (4 * torch.rand(4, 1, generator=g, dtype=F64) - 3)
        * torch.randn(4, 3, generator=g, dtype=F64)
        for _ in range(setting.scaled(10, 60))
    ]
    # residuals in one output each: of 1 and 4, the weights that lie farthest apart
    axes = torch.zeros(4, 3, dtype=F64)
    axes[:2, 0], axes[2:, 1] = 1e-3, 1e-3
    return [*drawn, axes]


# --- the distance from the target ----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Teaching:
    """A functional learner before a step on sequences that a teacher chose, and its target."""

    name: str
    kernel: Kernel
    loss: Loss
    S: Tensor
    target: Function
    start: Function
    size: int
    pace: float

    def __str__(self) -> str:
        return f"{self.name}, {self.loss.name}, m = {self.size} of {len(self.S)}"

    def choice(self) -> tuple[Tensor, Tensor, Tensor]:
        """The places chosen by Eq. 20, their loss gradients and residuals, flat."""
        f, y = self.start(self.S), self.target(self.S)
        g = self.loss.gradient(f, y)
        chosen = rkhs.gradient_teacher()(g, self.kernel.gram(self.S), self.size)
        return chosen, g[chosen].flatten(), (f - y)[chosen].flatten()

    def eta(self) -> float:
        """A share of m / (tau Lambda), Lambda the largest eigenvalue of the chosen's kernel."""
        chosen, *_ = self.choice()
        top = torch.linalg.eigvalsh(self.kernel.gram(self.S[chosen]))[-1].item()
        return self.pace * self.size / (self.loss.smoothness * top)

    def distance(self, sign: float = 1.0, by: float = 1.0) -> Tensor:
        """`|f - f*|^2` in the kernel's space after a step of the learner."""
        learner = FunctionalLearner(self.kernel, self.loss, by * self.eta(), self.start)
        chosen, *_ = self.choice()
        learner.step(self.S[chosen], self.target(self.S[chosen]))
        moved = self.start + sign * (learner.function - self.start)
        return rkhs.norm(moved - self.target).square()


def distance_after_a_step(claim: Claim, setting: Setting) -> Evidence:
    """The distance from f* after `FunctionalLearner.step` against its closed form.

    `|f - f*|^2 - 2 h <g, r> + h^2 g^T K g` over the chosen, h = eta / m. A pass guarantees equality
    to rounding for five kernels, the frozen ANTK among them, and three losses. It cannot see
    targets outside the kernel's space.
    """

    def closed_form(case: Teaching) -> tuple[Tensor, Tensor]:
        chosen, g, r = case.choice()
        before = rkhs.norm(case.start - case.target).square()
        h = case.eta() / case.size
        value = before - 2 * h * g @ r + h**2 * g @ case.kernel.gram(case.S[chosen]) @ g
        return value, 1e-10 * (before + value)

    return agree(
        lambda case: case.distance(),
        closed_form,
        teachings(setting),
        mutants={
            "a step away": lambda case: case.distance(sign=-1.0),
            "not averaged over the chosen": lambda case: (
                case.distance(by=float(case.size)) if case.size > 1 else case.distance(sign=-1.0)
            ),
            "no step": lambda case: rkhs.norm(case.start - case.target).square(),
        },
        scope="float64, 5 sequences, five kernels; squared, Huber and log-cosh loss; m = 1, 2",
    )


def distance_falls_by_the_bound(claim: Claim, setting: Setting) -> Evidence:
    """Every such step takes `h (2 / tau - h Lambda) |g_A|^2` or more off the squared distance.

    Lambda is the largest eigenvalue of the kernel of the chosen. A pass guarantees it on the same
    cases; with one output for each sequence, m = 1 and the squared loss it is an equality, which
    is what a bound that is better by one percent breaks.
    """
    cases = teachings(setting)

    def excess(better: float, sign: float = 1.0) -> float:
        worst = -math.inf
        for case in cases:
            chosen, g, _ = case.choice()
            top = torch.linalg.eigvalsh(case.kernel.gram(case.S[chosen]))[-1]
            h = case.eta() / case.size
            promised = better * h * (2 / case.loss.smoothness - h * top) * (g @ g)
            before = rkhs.norm(case.start - case.target).square()
            gone = before - case.distance(sign)
            worst = max(worst, ((promised - gone) / (1e-10 * before)).item())
        return worst

    found = excess(1.0)
    return Evidence(
        Outcome.SUPPORTS if found <= 1 else Outcome.REFUTES,
        "float64, 5 sequences, five kernels; squared, Huber and log-cosh loss; m = 1, 2",
        len(cases),
        max(0.0, found),
        "no step falls short" if found <= 1 else "a step falls short of the bound",
        (
            Mutant("the bound one percent better", excess(1.01) > 1),
            Mutant("a step away", excess(1.0, -1.0) > 1),
        ),
    )


def teachings(setting: Setting) -> list[Teaching]:
    """Steps of learners with random targets in the kernel's space."""
    g = torch.Generator().manual_seed(setting.seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64)

    params = {name: normal(2, 2) for name in ("W_Q", "W_K")} | {"W_V": normal(2, 1)}
    kernels = {
        "linear": rkhs.linear(),
        "polynomial": rkhs.polynomial(2),
        "gaussian": rkhs.gaussian(2.0),
        "laplace": rkhs.laplace(2.0, on="mean"),
        "frozen ANTK": rkhs.frozen_antk(params),
    }
    cases = []
    for name, kernel in kernels.items():
        for index, loss in enumerate((losses.squared(), losses.huber(), losses.log_cosh())):
            S = normal(5, 3, 2)
            shape = (5, 3) if kernel.vector_valued else (5,)
            target, start = (Function(kernel, S, normal(*shape)) for _ in range(2))
            size, pace = 1 + index % 2, (0.5, 1.0, 1.5)[index]
            cases.append(Teaching(name, kernel, loss, S, target, start, size, pace))
    return cases


def runs_contract(claim: Claim, setting: Setting) -> Evidence:
    """Runs of `rkhs.teach` with the greedy teacher: each step contracts by the factor or better.

    `|f - f*|^2` falls to at most `1 - eta (2 - eta gamma) lambda_min / N` of itself, for m = 1, 2,
    3. A pass guarantees that for Gaussian and Laplace kernels on random sequences; the mutants are
    a factor that promises three times as much, and the sequences with the smallest residuals.
    """
    g = torch.Generator().manual_seed(setting.seed)
    cases = [
        (
            kernel,
            torch.randn(4, 2, 2, generator=g, dtype=F64),
            torch.randn(4, generator=g, dtype=F64),
            size,
        )
        for size in (1, 2, 3)
        for kernel in (rkhs.gaussian(1.0), rkhs.laplace(1.0))
    ]
    steps = setting.scaled(12, 100)

    def worst(teacher: Teacher, better: float = 1.0) -> float:
        """What a step leaves over what its factor allows, at the worst step."""
        found = 0.0
        for kernel, S, coefficients, size in cases:
            K = kernel.gram(S)
            target, gamma = Function(kernel, S, coefficients), K.diagonal().max().item()
            eta, least = 1 / gamma, torch.linalg.eigvalsh(K)[0].item()
            factor = max(0.0, 1 - better * eta * (2 - eta * gamma) * least / len(S))
            pool = Pool(FunctionalLearner(kernel, losses.squared(), eta), S, target(S))
            before = start = rkhs.norm(target).square()
            for _ in range(steps):
                pool.step(teacher(pool.residuals, pool.gram, size))
                after = rkhs.norm(pool.function - target).square()
                found = max(found, (after / (factor * before + 1e-10 * start)).item())
                before = after
        return found

    smallest = Teacher("smallest", "residual", True, lambda r, _, m: r.norm(dim=1).argsort()[:m])
    greedy = rkhs.greedy_teacher()
    found = worst(greedy)
    return Evidence(
        Outcome.SUPPORTS if found <= 1 else Outcome.REFUTES,
        "float64, pools of 4 sequences, Gaussian and Laplace kernels, m = 1 to 3, eta gamma = 1",
        len(cases) * steps,
        found,
        f"the slowest step leaves {found:.4g} of what the factor allows",
        (
            Mutant("three times the rate", worst(greedy, better=3.0) > 1),
            Mutant("the smallest residuals", worst(smallest) > 1),
        ),
    )
