"""Theorem 3 on whole runs: what the kernel of a small learner does as its loss goes to zero.

Gradient descent on half the squared error, averaged, in steps so small that they follow the flow;
several starts for each problem. Training uses the oracle's forward pass and autograd, kernels are
the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ntteach import oracles
from ntteach.checks.trend import fit_slope
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.tangent import antk

N, L, D = 2, 2, 6
STARTS = 3
STEP = 0.3
# Runs are looked at where |dL/df| has fallen to these shares of its start, and at their ends.
SHARES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
END, MOST = 1e-9, 4000
SCOPE = f"float64, d = {D}, {N} sequences of {L} tokens, {STARTS} starts for each of"
WEIGHTS = ("W_Q", "W_K", "W_V")


@dataclass(frozen=True)
class Record:
    """One start: parameters, dL/df and kernels where SHARES says, and at the end, `(T, ...)`."""

    theta: Tensor
    g: Tensor
    K: Tensor

    @property
    def to_go(self) -> Tensor:
        """How far the parameters are from where the run ends, `(T - 1,)`."""
        return (self.theta[:-1] - self.theta[-1]).norm(dim=1)

    def distances(self, K: Tensor) -> Tensor:
        """How far the kernel is from another, in shares of that one, `(T - 1,)`."""
        return (self.K[:-1] - K).flatten(1).norm(dim=1) / K.norm()

    def contractions(self, K: Tensor) -> Tensor:
        """|g^T (K - K_t)|, `(T - 1,)`."""
        left = torch.einsum("ti,tij->tj", self.g[:-1], K - self.K[:-1])
        return left.norm(dim=1)


@cache
def records(problems: int, seed: int) -> tuple[tuple[Record, ...], ...]:
    """The runs of each problem; tokens are orthogonal, so that every target can be met."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    tokens = torch.linalg.qr(normal(problems, D, N * L)).Q.mT * D**0.5
    S = tokens.reshape(problems, 1, N, L, D)
    y = normal(problems, 1, N, L)
    params = {
        name: normal(problems, STARTS, 1, D, width) / D**0.5
        for name, width in zip(WEIGHTS, (D, D, 1), strict=True)
    }
    kept, first = [], None
    for _ in range(MOST):
        params = {name: W.detach().requires_grad_() for name, W in params.items()}
        gap = oracles.attention(params, S).squeeze(-1) - y
        size = gap.detach().flatten(2).norm(dim=2)
        first = size if first is None else first
        kept.append(({name: W.detach() for name, W in params.items()}, gap.detach(), size / first))
        if (size <= END * first).all():
            break
        loss = gap.square().sum() / (2 * N * L)
        slopes = torch.autograd.grad(loss, list(params.values()))
        params = {name: W - STEP * x for (name, W), x in zip(params.items(), slopes, strict=True)}

    def record(b: int, start: int) -> Record:
        shares = torch.stack([share[b, start] for _, _, share in kept])
        # where a share is never reached, the last step is taken
        steps = [int((shares <= share).int().argmax()) or -1 for share in SHARES[1:]]
        theta, g, K = [], [], []
        for weights, gap, _ in (kept[step] for step in (0, *steps, -1)):
            own = {name: W[b, start, 0] for name, W in weights.items()}
            theta.append(torch.cat([W.flatten() for W in own.values()]))
            g.append(gap[b, start].flatten())
            K.append(antk(own, S[b, 0]).reshape(N * L, N * L))
        return Record(torch.stack(theta), torch.stack(g), torch.stack(K))

    return tuple(tuple(record(b, start) for start in range(STARTS)) for b in range(problems))


def _runs(setting: Setting) -> tuple[tuple[Record, ...], ...]:
    return records(setting.scaled(3, 12), setting.seed)


def _each(setting: Setting) -> list[tuple[Record, Record]]:
    """Every run, each with one from another start of the same problem."""
    return [
        (run, problem[place - 1]) for problem in _runs(setting) for place, run in enumerate(problem)
    ]


def limit_is_one(claim: Claim, setting: Setting) -> Evidence:
    """Whether all starts of a problem, trained until the loss is zero, end in one kernel.

    A refutation says that in every problem two starts end in kernels that lie apart by more than
    a tenth of their size, while each run had settled to a hundredth before. The mutants are runs
    that have to end in one kernel: the same start again, and one whose W_Q and W_K are turned by
    one rotation.
    """
    problems = _runs(setting)

    def apart(ends: list[Tensor]) -> float:
        return max(
            ((one - other).norm() / one.norm()).item()
            for i, one in enumerate(ends)
            for other in ends[:i]
        )

    between = [apart([run.K[-1] for run in problem]) for problem in problems]
    within = max((run.distances(run.K[-1])[-1]).item() for problem in problems for run in problem)
    worst = max(run.g[-1].abs().max().item() for problem in problems for run in problem)
    differ = min(between) > 0.1 and within < 0.01 and worst < 1e-6
    same = all(x < 1e-6 for x in between)
    return Evidence(
        Outcome.REFUTES if differ else Outcome.SUPPORTS if same else Outcome.SILENT,
        f"{SCOPE} {len(problems)} problems, to |dL/df| below {worst:.0e}",
        len(problems) * STARTS,
        detail=f"two ends of one problem lie {min(between):.2f} to {max(between):.2f} of their "
        f"size apart; after |dL/df| was {SHARES[-1]:g} of its start, no kernel moved by more than "
        f"{within:.0e}",
        mutants=(
            Mutant("the same start again", apart([problems[0][0].K[-1]] * 2) <= 0.1),
            Mutant("a start turned by a rotation", apart(_turned(problems[0][0], setting)) <= 0.1),
        ),
    )


def _turned(run: Record, setting: Setting) -> list[Tensor]:
    """The last kernel of a run, and that of the same learner in another basis of queries."""
    g = torch.Generator().manual_seed(setting.seed)
    X = torch.linalg.qr(torch.randn(D, D, generator=g, dtype=torch.float64)).Q
    S = torch.randn(N, L, D, generator=g, dtype=torch.float64)
    W_Q, W_K, W_V = run.theta[-1].split([D * D, D * D, D])
    weights = {"W_Q": W_Q.reshape(D, D), "W_K": W_K.reshape(D, D), "W_V": W_V.reshape(D, 1)}
    turned = {**weights, "W_Q": weights["W_Q"] @ X, "W_K": weights["W_K"] @ X}
    return [antk(params, S).reshape(N * L, N * L) for params in (weights, turned)]


def settles(claim: Claim, setting: Setting) -> Evidence:
    """The kernel's distance from the one at the end of its run, by that of the parameters.

    A pass guarantees that the fitted slope of its logarithm is 1 within a quarter, for the median
    of the runs and after the start: the kernel converges as the parameters do. The mutants
    measure the distance from where another start ends, and that of the run's square.
    """

    def slope(distance: Callable[[Record, Record], Tensor]) -> float:
        fits = [
            fit_slope(run.to_go[1:].tolist(), distance(run, other)[1:].tolist()).value
            for run, other in _each(setting)
        ]
        return torch.tensor(fits).median().item()

    found = slope(lambda run, other: run.distances(run.K[-1]))
    return Evidence(
        Outcome.SUPPORTS if abs(found - 1) < 0.25 else Outcome.REFUTES,
        f"{SCOPE} {len(_runs(setting))} problems",
        len(_each(setting)),
        abs(found - 1) / 0.25,
        f"median slope {found:.3f}, expected 1 within a quarter",
        tuple(
            Mutant(name, abs(slope(distance) - 1) >= 0.25)
            for name, distance in {
                "from where another start ends": lambda run, other: run.distances(other.K[-1]),
                "squared": lambda run, other: run.distances(run.K[-1]) ** 2,
            }.items()
        ),
    )


def contraction(claim: Claim, setting: Setting, *, own: bool) -> Evidence:
    """How |g^T (K - K_t)| falls with |g|, for a K that has nothing to do with the run or its own.

    Without `own`, K is the kernel in which another start ends. A pass guarantees that after the
    start the contraction falls like |g|, to the power 1 within a quarter for the median of the
    runs. With `own`, K is the kernel in which the run ends, and the pass guarantees that the
    contraction over |g| falls to less than a hundredth of the kernel's size. The mutants exchange
    the two.
    """

    def power(other: bool) -> float:
        fits = [
            fit_slope(
                run.g[1:-1].norm(dim=1).tolist(),
                run.contractions((stranger if other else run).K[-1])[1:].tolist(),
            ).value
            for run, stranger in _each(setting)
        ]
        return torch.tensor(fits).median().item()

    def left(other: bool) -> float:
        shares = []
        for run, stranger in _each(setting):
            K = (stranger if other else run).K[-1]
            # not at the end, where g is rounding
            shares.append((run.contractions(K)[-1] / run.g[-2].norm() / K.norm()).item())
        return torch.tensor(shares).max().item()

    scope = f"{SCOPE} {len(_runs(setting))} problems"
    if own:
        share = left(other=False)
        return Evidence(
            Outcome.SUPPORTS if share < 0.01 else Outcome.REFUTES,
            scope,
            len(_each(setting)),
            share / 0.01,
            f"|g^T (K - K_t)| / |g| is below {share:.1e} |K|, |g| at {SHARES[-1]:g} of its start",
            (Mutant("the kernel in which another start ends", left(other=True) >= 0.01),),
        )
    found = power(other=True)
    return Evidence(
        Outcome.SUPPORTS if abs(found - 1) < 0.25 else Outcome.REFUTES,
        scope,
        len(_each(setting)),
        abs(found - 1) / 0.25,
        f"|g^T (K - K_t)| falls like |g| to the power {found:.3f}; expected 1 within a quarter",
        (
            Mutant("divided by |g|", abs(found - 1 - 1) >= 0.25),
            Mutant("the kernel in which the run itself ends", abs(power(other=False) - 1) >= 0.25),
        ),
    )
