"""`ntteach.sequences` against loops over single sequences and elements."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ntteach import sequences
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.learner import AttentionLearner, attention
from ntteach.oracles import attention_loops

Padded = tuple[Tensor, Tensor]  # (N, L, c), and the length of each sequence


def _padded(setting: Setting, width: int) -> list[Padded]:
    g = torch.Generator().manual_seed(setting.seed)
    cases = []
    for L in range(2, 2 + setting.scaled(4, 12)):
        x = torch.randn(3, L, width, generator=g, dtype=torch.float64)
        lengths = torch.randint(1, L + 1, (3,), generator=g)
        lengths[0] = L - 1  # lengths differ, and one sequence is padded by a single element
        cases.append((x, lengths))
    return cases


def _exact(value: Tensor) -> tuple[Tensor, Tensor]:
    return value, torch.full_like(value, 1e-13 * (1 + value.abs().max().item()))


def padding_mask(claim: Claim, setting: Setting) -> Evidence:
    """Attention under `padding_mask` against each sequence by itself, without its padding.

    A pass guarantees equal outputs of the real elements, to rounding.
    """
    g = torch.Generator().manual_seed(setting.seed)
    learner = AttentionLearner(3, v=2, generator=g, dtype=torch.float64)
    params = {name: W.detach() for name, W in learner.named_parameters()}

    def real(outputs: list[Tensor], lengths: Tensor) -> Tensor:
        return torch.cat([f[: int(n)] for f, n in zip(outputs, lengths, strict=True)]).flatten()

    def masked(case: Padded, longer: int = 0) -> Tensor:
        S, lengths = case
        mask = sequences.padding_mask((lengths + longer).clamp(max=S.shape[1]), S.shape[1])
        return real(list(attention(params, S, mask=mask)), lengths)

    def alone(case: Padded) -> tuple[Tensor, Tensor]:
        S, lengths = case
        rows = [attention_loops(params, s[: int(n)]) for s, n in zip(S, lengths, strict=True)]
        return _exact(real(rows, lengths))

    return agree(
        masked,
        alone,
        _padded(setting, 3),
        mutants={
            "one padded element attended to": lambda case: masked(case, longer=1),
            "no mask": lambda case: masked(case, longer=10**6),
        },
        scope="float64, three sequences of different length, L from 2, d = 3, v = 2",
        describe=lambda case: f"lengths {case[1].tolist()}",
    )


def readout(claim: Claim, setting: Setting) -> Evidence:
    """`mean_readout` with lengths against a loop over the real elements, to rounding."""

    def looped(case: Padded) -> tuple[Tensor, Tensor]:
        return _exact(
            torch.stack([f[: int(n)].sum(0) / int(n) for f, n in zip(*case, strict=True)])
        )

    return agree(
        lambda case: sequences.mean_readout(*case),
        looped,
        _padded(setting, 2),
        mutants={
            "padding counted": lambda case: case[0].mean(1),
            "divided by L": lambda case: (
                sequences.mean_readout(*case) * case[1][:, None] / case[0].shape[1]
            ),
        },
        scope="float64, three sequences of different length, L from 2",
        describe=lambda case: f"lengths {case[1].tolist()}",
    )


def both_averages(claim: Claim, setting: Setting) -> Evidence:
    """`average_loss` per sequence and per token against loops, for unequal lengths."""

    def means(case: Padded, first: str = "sequence", second: str = "token") -> Tensor:
        losses, lengths = case[0].squeeze(-1), case[1]
        average: Callable[[str], Tensor] = lambda per: sequences.average_loss(  # noqa: E731
            losses, lengths, per="token" if per == "token" else "sequence"
        )
        return torch.stack([average(first), average(second)])

    def looped(case: Padded) -> tuple[Tensor, Tensor]:
        rows = [x[: int(n), 0].tolist() for x, n in zip(*case, strict=True)]
        every = [loss for row in rows for loss in row]
        per_sequence = sum(sum(row) / len(row) for row in rows) / len(rows)
        return _exact(torch.tensor([per_sequence, sum(every) / len(every)], dtype=torch.float64))

    return agree(
        means,
        looped,
        _padded(setting, 1),
        mutants={
            "the two exchanged": lambda case: means(case, "token", "sequence"),
            "padding counted": lambda case: case[0].mean().expand(2),
        },
        scope="float64, three sequences of different length, L from 2",
        describe=lambda case: f"lengths {case[1].tolist()}",
    )
