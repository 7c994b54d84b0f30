"""`ntteach.teaching` against Eq. 21 and Algorithm 1, restated in a few lines each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Generator, Tensor
from torch.func import grad

from ntteach import gradients, learner, losses, oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.teaching import Teacher, residual_norm, selection, token_mean

F64 = torch.float64
Rows = list[list[int]]

# --- one choice -----------------------------------------------------------------------------------

Choose = Callable[[Tensor, Tensor, int], Sequence[int]]


def by_teacher(score: Callable[[Tensor, Tensor], Tensor], select: str = "hard") -> Choose:
    """What a teacher chooses that has been told all scores."""

    def chosen(outputs: Tensor, targets: Tensor, size: int) -> Sequence[int]:
        samples = len(outputs)
        teacher = Teacher(samples, epochs=1, select=select, ratio=size / samples, first="score")
        teacher.record(torch.arange(samples), score(outputs, targets))
        teacher.set_epoch(0)
        return teacher.selected.tolist()

    return chosen


def _half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    loss = losses.squared()
    return loss.value(outputs.double(), targets.double()).flatten(1).sum(1)


def _first_element(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).flatten(1)[:, 0].abs()


SCORES = {"residual": residual_norm, "loss": _half_squares}


def hard_choice(claim: Claim, setting: Setting, *, score: str) -> Evidence:
    """A teacher's hard selection against every subset, in whole numbers.

    Residuals are small whole numbers, so that sums of squares are exact and ties occur. A pass
    guarantees that on each case and for every m the chosen have the largest sum of squares of all
    subsets of their size; `score` is the residual's norm or half the sum of squares, as a loss.
    """
    cases = list(_whole_rows(setting))

    def wrong(choose: Choose) -> int:
        return sum(not _is_best(rows, choose, size) for rows, size in cases)

    missed = wrong(by_teacher(SCORES[score]))
    mutants: dict[str, Choose] = {
        "the smallest": by_teacher(lambda f, y: -residual_norm(f, y)),
        "at random": by_teacher(residual_norm, "random"),
        "by probability": by_teacher(residual_norm, "soft"),
        "by absolute sums": by_teacher(lambda f, y: (f - y).flatten(1).abs().sum(1)),
        "by the first element": by_teacher(_first_element),
        "targets forgotten": by_teacher(lambda f, y: residual_norm(f, torch.zeros_like(y))),
    }
    return Evidence(
        Outcome.REFUTES if missed else Outcome.SUPPORTS,
        "2 to 5 sequences of 1 to 3 whole numbers from -3 to 3, every m, ties among them",
        len(cases),
        detail=f"{missed} of {len(cases)} choices are not the best",
        mutants=tuple(Mutant(name, wrong(choose) > 0) for name, choose in mutants.items()),
    )


def _whole_rows(setting: Setting) -> Iterator[tuple[tuple[Tensor, Tensor], int]]:
    g = Generator().manual_seed(setting.seed)
    for _ in range(setting.scaled(3, 30)):
        for samples, length in ((2, 1), (3, 2), (4, 3), (5, 2)):
            outputs, targets = (
                torch.randint(-3, 4, (samples, length, 1), generator=g).float() for _ in range(2)
            )
            for size in range(1, samples + 1):
                yield (outputs, targets), size


def _is_best(rows: tuple[Tensor, Tensor], choose: Choose, size: int) -> bool:
    outputs, targets = rows
    squares = [
        sum((int(f) - int(y)) ** 2 for f, y in zip(one.flatten(), other.flatten(), strict=True))
        for one, other in zip(outputs, targets, strict=True)
    ]
    most = max(sum(chosen) for chosen in combinations(squares, size))
    chosen = choose(outputs, targets, size)
    return len(set(chosen)) == size and sum(squares[i] for i in chosen) == most


@dataclass(frozen=True, eq=False)
class Padded:
    """Token losses of a batch, padded with numbers that mean nothing, and which of them count."""

    losses: Tensor
    valid: Tensor

    def __str__(self) -> str:
        return f"lengths {self.valid.sum(1).tolist()} in {self.valid.shape[1]}"


def mean_over_tokens(claim: Claim, setting: Setting) -> Evidence:
    """`token_mean` against the mean over each sample's own tokens, in lists.

    A pass guarantees equality to rounding whatever stands in the padding, NaN among it.
    """
    g = Generator().manual_seed(setting.seed)
    cases = []
    for more in range(setting.scaled(4, 20)):
        lengths = torch.tensor([3, 1, 4, 2])
        valid = torch.arange(4 + more) < lengths[:, None]
        filled = torch.rand(valid.shape, generator=g, dtype=F64)
        filled[~valid] = float("nan") if more % 2 else 7.0
        cases.append(Padded(filled, valid))

    def reference(case: Padded) -> tuple[Tensor, Tensor]:
        rows = [x[v].tolist() for x, v in zip(case.losses, case.valid, strict=True)]
        means = torch.tensor([math.fsum(row) / len(row) for row in rows], dtype=F64)
        return means, 1e-14 * means

    def over_all(case: Padded) -> Tensor:
        return case.losses.masked_fill(~case.valid, 0).mean(1)

    return agree(
        lambda case: token_mean(case.losses, case.valid),
        reference,
        cases,
        mutants={
            "over the padded length": over_all,
            "summed": lambda case: token_mean(case.losses, case.valid, "sum"),
            "padding counted": lambda case: token_mean(case.losses),
        },
        scope="float64, four samples of 1 to 4 tokens, padded by 0 to 3, or to 19",
    )


# --- the loop -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Task:
    """An attention learner, sequences with targets, how many are taught, and for how many steps."""

    params: dict[str, Tensor]
    S: Tensor
    targets: Tensor
    size: int
    steps: int
    eta: float

    def __str__(self) -> str:
        return f"S {tuple(self.S.shape)}, m = {self.size}, {self.steps} steps"


def _tasks(setting: Setting) -> list[Task]:
    g = Generator().manual_seed(setting.seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64)

    tasks = []
    for _ in range(setting.scaled(1, 5)):
        for samples, L, d, v, size in ((4, 2, 3, 1, 1), (6, 3, 2, 2, 3), (5, 1, 4, 1, 2)):
            params = {name: normal(d, d) / d**0.5 for name in ("W_Q", "W_K")}
            params["W_V"] = normal(d, v) / d**0.5
            tasks.append(Task(params, normal(samples, L, d), normal(samples, L, v), size, 8, 0.3))
    return tasks


def restated(task: Task) -> Tensor:
    """The parameters after the steps, by Algorithm 1 alone: autograd, lists, no library."""
    params, samples = task.params, range(len(task.S))

    def averaged(params: dict[str, Tensor], places: list[int]) -> Tensor:
        residuals = oracles.attention(params, task.S[places]) - task.targets[places]
        return residuals.square().sum() / (2 * len(places) * task.S.shape[1])

    for _ in range(task.steps):
        residuals = oracles.attention(params, task.S) - task.targets
        norms = [math.sqrt(float(one.square().sum())) for one in residuals]
        places = sorted(samples, key=lambda i, norms=norms: -norms[i])[: task.size]
        slopes = grad(averaged)(params, places)
        params = {name: W - task.eta * slopes[name] for name, W in params.items()}
    return torch.cat([W.flatten() for W in params.values()])


def taught(
    task: Task,
    *,
    select: str = "hard",
    fresh: bool = True,
    sign: int = 1,
    every: int = 1,
    over_all: bool = False,
) -> Tensor:
    """The same by a teacher and hand-derived gradients; `fresh` records scores before each step."""
    samples = len(task.S)
    teacher = Teacher(
        samples,
        epochs=task.steps,
        select=select,
        ratio=task.size / samples,
        every=every,
        first="score",
    )
    params = dict(task.params)
    told = torch.zeros(samples)
    for epoch in range(task.steps):
        outputs = learner.attention(params, task.S)
        residuals = outputs - task.targets
        if fresh or not epoch:
            told = sign * residual_norm(outputs, task.targets)
        teacher.record(torch.arange(samples), told)
        teacher.set_epoch(epoch)
        ids = teacher.selected
        chosen = residuals[ids]
        teacher.update(ids, chosen.square().flatten(1).sum(1) / 2, scores=told[ids])
        slopes = gradients.parameter_gradient(params, task.S[ids], chosen)
        count = (samples if over_all else len(ids)) * task.S.shape[1]
        params = {name: W - task.eta / count * slopes[name] for name, W in params.items()}
    return torch.cat([params[name].flatten() for name in task.params])


def loop(claim: Claim, setting: Setting) -> Evidence:
    """Parameters after 8 steps of a teacher's loop against Algorithm 1 restated.

    Scores of all are recorded before each step, and the chosen are one batch. A pass guarantees
    equal parameters to rounding for attention learners of one head. It cannot see scores that
    differ by less than float32 tells apart, in which the teacher keeps them.
    """

    def reference(task: Task) -> tuple[Tensor, Tensor]:
        value = restated(task)
        return value, 1e-10 * value.norm() * torch.ones_like(value)

    return agree(
        taught,
        reference,
        _tasks(setting),
        mutants={
            "scores of the start": lambda task: taught(task, fresh=False),
            "a new choice every other step": lambda task: taught(task, every=2),
            "at random": lambda task: taught(task, select="random"),
            "the smallest": lambda task: taught(task, sign=-1),
            "averaged over all sequences": lambda task: taught(task, over_all=True),
        },
        scope="float64, attention learners, 1 to 3 of 4 to 6 sequences, squared loss, 8 steps",
    )


# --- a temperature --------------------------------------------------------------------------------

WEIGHTS = (1.0, 2.0, 4.0)


def soft_draws(claim: Claim, setting: Setting) -> Evidence:
    """How often `selection.soft` draws each of three samples, at two temperatures.

    With a temperature T on the score, log(score) / T, a single draw takes a sample in proportion to
    score^(1/T). A pass guarantees frequencies within five standard errors of that. The mutants
    leave the temperature out, or divide the noise by it as well, which comes to the same.
    """
    draws = setting.scaled(500, 10000)
    temperatures = (0.5, 2.0)

    def deviation(draw: Callable[[Tensor, Generator, float], int]) -> float:
        g = Generator().manual_seed(setting.seed)
        worst = 0.0
        for T in temperatures:
            shares = [w ** (1 / T) for w in WEIGHTS]
            shares = [share / sum(shares) for share in shares]
            counts = [0, 0, 0]
            for _ in range(draws):
                counts[draw(torch.tensor(WEIGHTS), g, T)] += 1
            for count, share in zip(counts, shares, strict=True):
                error = math.sqrt(share * (1 - share) / draws)
                worst = max(worst, abs(count / draws - share) / (5 * error))
        return worst

    def ours(scores: Tensor, g: Generator, T: float) -> int:
        return int(selection.soft(scores, 1, g, temperature=T))

    def on_both(scores: Tensor, g: Generator, T: float) -> int:
        return int(((scores.double().log() + selection.gumbel(len(scores), g)) / T).argmax())

    margin = deviation(ours)
    return Evidence(
        Outcome.SUPPORTS if margin <= 1 else Outcome.REFUTES,
        f"{draws} draws of one of three, temperatures 1/2 and 2",
        draws * len(temperatures),
        margin,
        f"largest error is {margin:.2f} of five standard errors",
        (
            Mutant("on score and noise", deviation(on_both) > 1),
            Mutant("left out", deviation(lambda s, g, T: ours(s, g, 1.0)) > 1),
            Mutant("inverse", deviation(lambda s, g, T: ours(s, g, 1 / T)) > 1),
        ),
    )
