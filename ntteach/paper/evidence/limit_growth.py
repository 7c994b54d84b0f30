"""Theorem 3 on the logistic loss: W_V grows for ever, and the kernel with it or not.

Two sequences, (e_1, e_1) with labels 1, and (e_1, -e_1), whose outputs are opposite numbers. If its
labels are 1 and -1 they can be met; if both are 1 they cannot, and the least loss is where both
outputs are zero, at uniform attention.
"""

from __future__ import annotations

from functools import cache

import torch

from ntteach import oracles
from ntteach.checks.trend import Slope, fit_slope
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.tangent import antk

TOKENS = [[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [-1.0, 0.0]]]
STRIDE, STEPS, LOOKS = 0.02, 600, 6
MET, CONFLICTING = (1.0, -1.0), (1.0, 1.0)


@cache
def growth(labels: tuple[float, float], starts: int, seed: int) -> list[list[tuple[float, float]]]:
    """|W_V| and |K| along runs from normal weights, for each start at LOOKS points of its run.

    A step of the flow moves the parameters by STRIDE, so that a run gets on while its loss
    derivative vanishes.
    """
    g = torch.Generator().manual_seed(seed)
    S = torch.tensor(TOKENS, dtype=torch.float64)
    y = torch.tensor([[1.0, 1.0], labels], dtype=torch.float64)[..., None]
    params = {
        name: torch.randn(starts, 1, 2, width, generator=g, dtype=torch.float64)
        for name, width in (("W_Q", 2), ("W_K", 2), ("W_V", 1))
    }
    seen: list[list[tuple[float, float]]] = [[] for _ in range(starts)]
    for step in range(1, STEPS + 1):
        params = {name: W.detach().requires_grad_() for name, W in params.items()}
        f = oracles.attention(params, S)
        loss = torch.nn.functional.softplus(-y * f).mean((1, 2, 3)).sum()
        slopes = torch.autograd.grad(loss, list(params.values()))
        size = sum(x.flatten(1).square().sum(1) for x in slopes)
        time = STRIDE / torch.as_tensor(size).sqrt()[:, None, None, None]
        params = {
            name: (W - time * x).detach()
            for (name, W), x in zip(params.items(), slopes, strict=True)
        }
        if step % (STEPS // LOOKS) == 0:
            for start, points in enumerate(seen):
                own = {name: W[start, 0] for name, W in params.items()}
                points.append((own["W_V"].norm().item(), antk(own, S).norm().item()))
    return seen


def grows_with_values(claim: Claim, setting: Setting) -> Evidence:
    """The order of |K| in |W_V|: two where labels conflict, none where they can be met.

    A pass guarantees, over the last four looks at each run, a slope of log |K| by log |W_V| within
    a half of 2 for the median of the starts with conflicting labels, and within a tenth of 0 with
    labels that can be met. The mutants expect the one of the other, and the first power.
    """
    starts = setting.scaled(3, 12)

    def power(labels: tuple[float, float]) -> Slope:
        runs = growth(labels, starts, setting.seed)
        fits = [fit_slope(*zip(*points[-4:], strict=True)) for points in runs]
        return sorted(fits, key=lambda fit: fit.value)[len(fits) // 2]

    found = {labels: power(labels).value for labels in (CONFLICTING, MET)}

    def margin(conflicting: float, met: float) -> float:
        return max(abs(conflicting - 2) / 0.5, abs(met) / 0.1)

    own = margin(found[CONFLICTING], found[MET])
    return Evidence(
        Outcome.SUPPORTS if own <= 1 else Outcome.REFUTES,
        f"float64, d = 2, two sequences of two tokens, {starts} normal starts, {STEPS} steps of "
        f"length {STRIDE:g}",
        2 * starts,
        own,
        f"|K| grows like |W_V| to the power {found[CONFLICTING]:.2f} with conflicting labels, "
        f"{found[MET]:.3f} with labels that can be met",
        (
            Mutant("labels exchanged", margin(found[MET], found[CONFLICTING]) > 1),
            Mutant("the root of |K|", margin(found[CONFLICTING] / 2, found[MET] / 2) > 1),
        ),
    )
