"""The kernel that the library computes, `antk`, as a matrix: symmetric, semi-definite, its rank.

Every form of attention is looked at: masks, contexts, several heads, W_O. What the laws of
`kernel_laws.py` say of small exact cases is said here of the closed form that users call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.domains import AttentionCase, random_cases
from ntteach.paper.evidence.arithmetic import EXACT, read
from ntteach.paper.evidence.gram import features, rank
from ntteach.tangent import antk

FORMS = ("self", "causal", "masked", "cross", "multi-head", "projected")
_EPS = torch.finfo(torch.float64).eps


def cases(setting: Setting, forms: tuple[str, ...] = FORMS) -> list[AttentionCase]:
    """Random problems of each form."""
    return [
        case
        for form in forms
        for case in random_cases(
            form, count=setting.scaled(4, 20), seed=setting.seed, device=setting.device
        )
    ]


def tangent(case: AttentionCase, params: dict[str, Tensor] | None = None) -> Tensor:
    """`antk` of a case's sequences with themselves, `(N, L, v, N, L, v)`."""
    return antk(case.params if params is None else params, case.S, **case.call)


def matrix(K: Tensor) -> Tensor:
    """A kernel with one axis for all outputs, `(N L v, N L v)`."""
    side = K.shape[:3].numel()
    return K.reshape(side, side)


def size(K: Tensor) -> float:
    """The largest entry, or one."""
    return max(1.0, K.abs().max().item())


def between(case: AttentionCase, one: slice, other: slice) -> Tensor:
    """`antk` between some sequences of a case and others, each with its context and mask."""

    def of(sequences: slice) -> tuple[Tensor, Tensor | None, Any]:
        mask = case.call["mask"]
        if isinstance(mask, Tensor) and mask.dim() == 4:
            mask = mask[sequences]
        context = None if case.context is None else case.context[sequences]
        return case.S[sequences], context, mask

    (S, context, mask), (S_other, context_other, mask_other) = of(one), of(other)
    return antk(
        case.params,
        S,
        S_other,
        context=context,
        context_other=context_other,
        mask=mask,
        mask_other=mask_other,
        heads=case.heads,
    )


def symmetric(claim: Claim, setting: Setting) -> Evidence:
    """`K(S, S') = K(S', S)^T`: two computations, and the two halves of a kernel with itself.

    The latter is computed sequence by sequence, so that one half is written from the other. A pass
    guarantees agreement to rounding on the cases of the scope.
    """
    first, rest = slice(0, 1), slice(1, None)

    def in_blocks(case: AttentionCase) -> Tensor:
        return matrix(antk(case.params, case.S, block_size=1, **case.call))

    def one_way(case: AttentionCase, *, more: float = 0.0) -> Tensor:
        square = in_blocks(case)
        square = square + more * square.triu(1)
        return torch.cat([between(case, first, rest).flatten(), square.flatten()])

    def other_way(case: AttentionCase) -> tuple[Tensor, Tensor]:
        turned = between(case, rest, first).permute(3, 4, 5, 0, 1, 2)
        value = torch.cat([turned.flatten(), in_blocks(case).T.flatten()])
        # the same sums of at most some hundred terms, perhaps in another order
        return value, torch.full_like(value, 1e-12 * size(value))

    return agree(
        one_way,
        other_way,
        [case for case in cases(setting) if len(case.S) > 1],
        mutants={
            "one half a millionth larger": lambda case: one_way(case, more=1e-6),
            "queries of one side doubled": lambda case: one_way(_doubled(case, "W_Q")),
        },
        scope="float64, all forms, L to 6, d to 5, d_k to 8, v to 4",
    )


def _doubled(case: AttentionCase, name: str) -> AttentionCase:
    params = {**case.params, name: 2 * case.params[name]}
    return AttentionCase(params, case.S, case.context, case.mask, case.heads, "", case.causal)


def semidefinite(claim: Claim, setting: Setting) -> Evidence:
    """No eigenvalue of the kernel of a batch is negative, but for rounding.

    Rounding moves an eigenvalue by at most the norm of the error: side times machine epsilon
    times the largest entry, with a factor of 100 for the sums within entries.
    """

    def margin(change: Callable[[Tensor], Tensor]) -> float:
        worst = 0.0
        for case in chosen:
            K = change(matrix(tangent(case)))
            smallest = torch.linalg.eigvalsh((K + K.T) / 2)[0].item()
            worst = max(worst, -smallest / (100 * len(K) * _EPS * size(K)))
        return worst

    chosen = cases(setting)
    found = margin(lambda K: K)
    mutants: dict[str, Callable[[Tensor], Tensor]] = {
        "a millionth of the mean eigenvalue less": lambda K: (
            K - 1e-6 * K.trace() / len(K) * torch.eye(len(K), dtype=K.dtype, device=K.device)
        ),
        "sign flipped": lambda K: -K,
        "one output counted twice beside others": _one_row_doubled,
    }
    return Evidence(
        Outcome.SUPPORTS if found <= 1 else Outcome.REFUTES,
        "float64, all forms, L to 6, d to 5, d_k to 8, v to 4",
        len(chosen),
        found,
        f"the most negative eigenvalue is {found:.2g} of what rounding explains",
        tuple(Mutant(name, refuted=margin(change) > 1) for name, change in mutants.items()),
    )


def _one_row_doubled(K: Tensor) -> Tensor:
    # outputs against others doubled, against themselves not: no longer inner products
    doubled = K.clone()
    doubled[0, 1:] *= 2
    doubled[1:, 0] *= 2
    return doubled


# --- rank ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Sizes for which the rank is looked at; the names are those of `ntteach.learner`."""

    d: int
    d_c: int
    d_k: int
    v: int
    heads: int = 1
    o: int = 0

    @property
    def bound(self) -> int:
        """`sum_h (d r_K + d_c r_Q - r_Q r_K) + d_c v`, for weights of full rank.

        With W_O, a head's W_V and W_O enter by their product as well: `d_c r_O + o r_V - r_O r_V`
        dimensions in place of `d_c v_h`, with the ranks of the head's parts of W_O and W_V.
        """
        d_h, v_h = self.d_k // self.heads, self.v // self.heads
        r_Q, r_K = min(self.d, d_h), min(self.d_c, d_h)
        queries_and_keys = self.d * r_K + self.d_c * r_Q - r_Q * r_K
        values = self.d_c * v_h
        if self.o:
            r_V, r_O = min(self.d_c, v_h), min(self.o, v_h)
            values = self.d_c * r_O + self.o * r_V - r_O * r_V
        return self.heads * (queries_and_keys + values)

    def __str__(self) -> str:
        return ", ".join(f"{name} = {n}" for name, n in vars(self).items())


SHAPES = (
    Shape(3, 3, 1, 1),
    Shape(3, 3, 2, 2),
    Shape(3, 3, 3, 1),
    Shape(3, 3, 5, 1),  # d_h > d
    Shape(4, 4, 4, 2, heads=2),
    Shape(2, 2, 6, 2, heads=2),  # d_h > d
    Shape(3, 2, 1, 2),  # a context of another width
    Shape(4, 2, 3, 1),
    Shape(2, 4, 3, 1),
    Shape(3, 3, 2, 2, o=2),
    Shape(3, 3, 4, 4, heads=2, o=3),
    Shape(2, 2, 2, 6, heads=2, o=2),  # v_h > d
)


def rank_by_gap(K: Tensor) -> tuple[int, float]:
    """Where the spectrum falls most, and by what factor: the numerical rank and its gap."""
    eigenvalues = torch.linalg.eigvalsh(K).flip(0).abs()
    # what is below rounding is all alike
    eigenvalues = eigenvalues.clamp(min=len(K) * _EPS * eigenvalues[0].item())
    ratios = eigenvalues[:-1] / eigenvalues[1:]
    place = int(ratios.argmax())
    return place + 1, ratios[place].item()


def generic_rank(claim: Claim, setting: Setting) -> Evidence:
    """The numerical rank of `antk` for random weights and more outputs than the bound.

    A pass guarantees, for the shapes looked at, that the spectrum falls by a factor of a thousand
    or more at the rank claimed, and less anywhere else. It cannot see other shapes.
    """
    found: list[tuple[Shape, int, float]] = []
    for number in range(setting.scaled(1, 5)):
        for shape in SHAPES:
            g = torch.Generator().manual_seed(setting.seed + number)
            found.append((shape, *rank_by_gap(_generic_kernel(shape, g, setting.device))))
    wrong = [f"{shape}: {n}, not {shape.bound}" for shape, n, _ in found if n != shape.bound]
    gap = min(ratio for *_, ratio in found)
    wrong += [f"a gap of only {gap:.3g}"] if gap < 1e3 else []
    others: dict[str, Callable[[Shape], int]] = {
        "all parameters": _parameters,
        "one head for all": lambda s: Shape(s.d, s.d_c, s.d_k, s.v, 1, s.o).bound,
        "no width of keys above d": lambda s: s.bound - s.heads * _surplus(s),
        "W_O left out": lambda s: Shape(s.d, s.d_c, s.d_k, s.v, s.heads).bound,
    }
    return Evidence(
        Outcome.REFUTES if wrong else Outcome.SUPPORTS,
        f"float64, {len(SHAPES)} shapes: 1 and 2 heads, d_h below and above d, contexts, W_O",
        len(found),
        1e3 / gap,
        "; ".join(wrong) or f"the rank is the bound in every case, the least gap {gap:.2g}",
        tuple(
            Mutant(name, any(n != formula(shape) for shape, n, _ in found))
            for name, formula in others.items()
        ),
    )


def _parameters(shape: Shape) -> int:
    s = shape
    return (s.d + s.d_c) * s.d_k + s.d_c * s.v + s.v * s.o


def _surplus(shape: Shape) -> int:
    """What `2 d d_h - d_h^2` would be wrong by if it were used for d_h > d too."""
    return max(0, shape.d_k // shape.heads - shape.d) ** 2 if shape.d == shape.d_c else 0


def _generic_kernel(shape: Shape, g: torch.Generator, device: str) -> Tensor:
    """`antk` of enough sequences, each gradient scaled to length one, which changes no rank."""

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, dtype=torch.float64).to(device)

    s, L = shape, 4
    params = {
        "W_Q": normal(s.d, s.d_k) * s.d**-0.5,
        "W_K": normal(s.d_c, s.d_k) * s.d_c**-0.5,
        "W_V": normal(s.d_c, s.v) * s.d_c**-0.5,
    }
    if s.o:
        params["W_O"] = normal(s.v, s.o) * s.v**-0.5
    N = 1 + 3 * s.bound // (L * (s.o or s.v))
    context = normal(N, L, s.d_c) if s.d_c != s.d else None
    K = matrix(antk(params, normal(N, L, s.d), context=context, heads=s.heads))
    scale = K.diagonal().rsqrt()
    return scale[:, None] * K * scale


def exact_rank(claim: Claim, setting: Setting) -> Evidence:
    """The rank in exact arithmetic, for small sequences and weights: equal to the bound.

    A pass guarantees it for those shapes, and by analyticity for almost all weights and tokens of
    these shapes: where a minor is not zero once, it is zero only on a null set.
    """
    found = []
    for d, v, S in (
        (1, 1, [[[0], [1], [2]]]),
        (1, 2, [[[0], [1], [2]]]),
        (2, 1, [[[0, 1], [1, 0], [2, 1]], [[1, 1], [1, -1], [0, 2]]]),
    ):
        eye = [[int(a == i) for i in range(d)] for a in range(d)]
        columns = [[1 + (a + c) % 2 for c in range(v)] for a in range(d)]
        problems = [read({"S": one, "W_Q": eye, "W_K": eye, "W_V": columns}, EXACT) for one in S]
        found.append((Shape(d, d, d, v), rank(features(problems))))
    wrong = [f"{shape}: {n}, not {shape.bound}" for shape, n in found if n != shape.bound]
    return Evidence(
        Outcome.REFUTES if wrong else Outcome.SUPPORTS,
        "exact arithmetic, d = d_k of 1 and 2, v of 1 and 2, L = 3",
        len(found),
        detail="; ".join(wrong) or f"the ranks are {', '.join(str(n) for _, n in found)}",
        mutants=(
            Mutant("all parameters", any(n != _parameters(shape) for shape, n in found)),
            Mutant("gauge of one dimension less", any(n != s.bound + 1 for s, n in found)),
        ),
    )
