"""Eqs. 8 and 9: that the blocks are the whole gradient, and their shapes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jacrev

from ntteach import gradients, oracles
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.domains import AttentionCase, random_cases

# The order of Eq. 8: value, query, key.
ORDER = ("W_V", "W_Q", "W_K")


def flat(claim: Claim, setting: Setting, *, form: str) -> Evidence:
    """Blocks side by side, column by column, against autograd by one flattened vector theta.

    A pass guarantees that no parameter is left out or counted twice, to rounding.
    """

    def side_by_side(case: AttentionCase, order: tuple[str, ...] = ORDER) -> Tensor:
        blocks = gradients.attention_jacobian(case.params, case.S)
        # columns of a weight one after the other, as the equations have it
        return torch.cat([blocks[name].mT.flatten(-2) for name in order], -1)  # (N, L, v, m)

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        shapes = [case.params[name].mT.shape for name in ORDER]

        def output(theta: Tensor) -> Tensor:
            parts = theta.split([shape.numel() for shape in shapes])
            params = {
                name: part.reshape(shape).mT
                for name, part, shape in zip(ORDER, parts, shapes, strict=True)
            }
            return oracles.attention(params, case.S)

        theta = torch.cat([case.params[name].mT.flatten() for name in ORDER])
        value = jacrev(output)(theta)
        return value, torch.full_like(value, 1e-12 * max(1.0, value.abs().max().item()))

    return agree(
        side_by_side,
        reference,
        random_cases(form, count=setting.scaled(8, 40), seed=setting.seed, device=setting.device),
        mutants={
            "query and key exchanged": lambda case: side_by_side(case, ("W_V", "W_K", "W_Q")),
            "key block left out": lambda case: side_by_side(case, ORDER[:2]),
            "value block counted twice": lambda case: side_by_side(case, (*ORDER, "W_V")),
        },
        scope="float64, L to 6, d to 5, d_k to 8, v to 4",
    )


def shapes(claim: Claim, setting: Setting) -> Evidence:
    """The averaged gradient has the shapes of the parameters, whatever the length.

    A pass guarantees it for the lengths looked at. The mutant is the gradient of the rows, not
    averaged, whose shape has L in it.
    """
    params = {"W_Q": torch.ones(3, 2), "W_K": torch.ones(3, 2), "W_V": torch.ones(3, 1)}
    lengths = range(1, 17)

    def averaged(L: int) -> list[torch.Size]:
        S = torch.ones(L, 3)
        G = torch.full((L, 1), 1 / L)
        return [g.shape for g in gradients.parameter_gradient(params, S, G).values()]

    def rows(L: int) -> list[torch.Size]:
        return [g.shape for g in gradients.attention_jacobian(params, torch.ones(L, 3)).values()]

    def constant(of: list[list[torch.Size]]) -> bool:
        return all(one == of[0] for one in of)

    holds = constant([averaged(L) for L in lengths])
    return Evidence(
        Outcome.SUPPORTS if holds else Outcome.REFUTES,
        "d = 3, d_k = 2, v = 1, L = 1 to 16",
        len(lengths),
        detail="the same shapes for every length" if holds else "shapes change with the length",
        mutants=(Mutant("not averaged", not constant([rows(L) for L in lengths])),),
    )
