"""Appendix A.4 in words: entries and blocks of the kernel, Figure 3, what depends on what."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from sympy import Expr, Indexed
from torch import Tensor

from ntteach import oracles, symbols
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.domains import AttentionCase, Shape, random_cases
from ntteach.paper.evidence.identities import select
from ntteach.paper.evidence.pairs import PairCase, oracle_kernel, pair_cases
from ntteach.paper.evidence.tangent import closed
from ntteach.tangent import antk

SMALL = Shape(N=1, L=3, M=3, d=2, d_c=2, d_k=2, v=1)


def figure(claim: Claim, setting: Setting) -> Evidence:
    """Figure 3 step by step: one derivative at a time, one product at a time, one sum.

    Each output of Eq. 2, computed number by number, is differentiated by each parameter in turn by
    central differences; the derivatives of two outputs by one parameter are multiplied, and the
    products added up. A pass guarantees that the library's kernel is that number, within the
    differences' own bound of about 1e-8, for v = 1. It cannot see the drawing itself.
    """
    drawn = random_cases("scalar", count=setting.scaled(3, 8), seed=setting.seed, largest=SMALL)
    pairs = [(replace(case, S=case.S[0]), _other_length(case)) for case in drawn]

    def reference(pair: tuple[AttentionCase, Tensor]) -> tuple[Tensor, Tensor]:
        case, S_other = pair
        left, right = _one_at_a_time(case, case.S), _one_at_a_time(case, S_other)
        K = torch.zeros(case.S.shape[0], S_other.shape[0], dtype=torch.float64)
        bound = torch.zeros_like(K)
        for j, k in product(range(K.shape[0]), range(K.shape[1])):
            terms = [(left[p][j], right[p][k]) for p in left]
            K[j, k] = math.fsum(x * y for (x, _), (y, _) in terms)
            bound[j, k] = math.fsum(abs(x) * e + abs(y) * c + c * e for (x, c), (y, e) in terms)
        return K, bound

    def kernel(pair: tuple[AttentionCase, Tensor]) -> Tensor:
        case, S_other = pair
        return antk(case.params, case.S, S_other)[:, 0, :, 0]

    def without(name: str) -> Callable[[tuple[AttentionCase, Tensor]], Tensor]:
        def part(pair: tuple[AttentionCase, Tensor]) -> Tensor:
            case, S_other = pair
            one, other = (oracles.jacobian(case.params, S)[name] for S in (case.S, S_other))
            return kernel(pair) - torch.einsum("jcxy,kcxy->jk", one, other)

        return part

    return agree(
        kernel,
        reference,
        pairs,
        mutants={
            **{f"{name} left out of the sum": without(name) for name in ("W_Q", "W_K", "W_V")},
            "rows of the matrix reversed": lambda pair: kernel(pair).flip(0),
            "off by a relative 1e-4": lambda pair: kernel(pair) * (1 + 1e-4),
        },
        scope="float64, self-attention with v = 1, L to 3 and one more, d to 2; loops over numbers",
        describe=lambda pair: str(pair[0]),
    )


def _other_length(case: AttentionCase) -> Tensor:
    g = torch.Generator().manual_seed(case.S.shape[1])
    return torch.randn(case.S.shape[1] + 1, case.S.shape[2], generator=g, dtype=torch.float64)


Derivatives = dict[tuple[str, int], list[tuple[float, float]]]


def _one_at_a_time(case: AttentionCase, S: Tensor) -> Derivatives:
    """For each parameter: the derivative of every output f_j by it, and a bound on its error."""
    result: Derivatives = {}
    for name, W in case.params.items():
        for place in range(W.numel()):

            def f(x: Tensor, name: str = name, place: int = place, W: Tensor = W) -> Tensor:
                moved = W.flatten().clone()
                moved[place] = x[0]
                params = {**case.params, name: moved.reshape(W.shape)}
                return oracles.attention_loops(params, S)[:, 0]

            slope, error = oracles.central_difference(f, W.flatten()[place : place + 1])
            result[name, place] = list(
                zip(slope.flatten().tolist(), error.flatten().tolist(), strict=True)
            )
    return result


def summed_over_parameters(
    claim: Claim, setting: Setting, *, derivation: str, names: tuple[str, ...]
) -> Evidence:
    """An entry of the kernel bears the indices of its two outputs and of no parameter.

    A pass guarantees, for symbolic sizes, that K(S, S') has a row for each output of S and a column
    for each of S', whatever the number of parameters. The mutant is the product of derivatives by
    one entry, not summed, in which the indices of that entry are free.
    """
    chosen = select(derivation, names)
    outputs = {
        x for x in symbols.INDEX_RANGES if x.name in ("j", "c", "h", "e", "j2", "c2", "h2", "e2")
    }
    parameters = set(symbols.INDEX_RANGES) - outputs
    left = [name for name, lhs, rhs in chosen if (lhs.free_symbols | rhs.free_symbols) & parameters]
    f, entry = symbols.output(symbols.j, symbols.c), symbols.W_Q[symbols.a, symbols.i]
    one = symbols.derivative(f, entry) * symbols.derivative(symbols.second(f), entry)
    return Evidence(
        Outcome.REFUTES if left else Outcome.SUPPORTS,
        f"symbolic sizes, derivations/{derivation}.py",
        len(chosen),
        detail=f"an index of a parameter is free in {'; '.join(left)}"
        if left
        else "the free indices are those of two outputs",
        mutants=(Mutant("not summed", bool(one.free_symbols & parameters)),),
    )


def own_sequence_only(
    claim: Claim, setting: Setting, *, derivation: str, names: tuple[str, ...]
) -> Evidence:
    """In the gradient of an output stand its own sequence and the weights, and nothing else.

    A pass guarantees, for symbolic sizes, that neither other sequences nor targets enter. The
    mutants are gradients of the loss, in which targets stand.
    """
    chosen = select(derivation, names)
    strangers = [name for name, lhs, rhs in chosen if _foreign(lhs) | _foreign(rhs)]
    loss = select("training", ("(6)-(7)",))
    return Evidence(
        Outcome.REFUTES if strangers else Outcome.SUPPORTS,
        f"symbolic sizes, derivations/{derivation}.py",
        len(chosen),
        detail="; ".join(strangers) or "tokens of the sequence and weights only",
        mutants=tuple(Mutant(name, bool(_foreign(rhs))) for name, _, rhs in loss),
    )


def _foreign(expr: Expr) -> set[str]:
    entries: set[Any] = expr.atoms(Indexed)
    return {str(x.base.label) for x in entries} - {"S", "W_Q", "W_K", "W_V"}


def blocks_of_a_batch(claim: Claim, setting: Setting) -> Evidence:
    """The kernel of two batches is made of the kernels of their pairs of sequences.

    The library's kernel of N with N' sequences, cut into blocks `(L, L')`, against each block by
    autograd from its two sequences alone. A pass guarantees that a block does not depend on what
    else is in the batch, on the cases of the scope. It cannot see outputs that share a block.
    """
    cases = pair_cases("scalar", setting, random=setting.scaled(4, 12), edges=False)

    def reference(case: PairCase) -> tuple[Tensor, Tensor]:
        one, other = case.rows, case.columns
        K = torch.stack(
            [
                torch.stack([oracles.tangent_kernel(one.params, x, y)[:, 0, :, 0] for y in other.S])
                for x in one.S
            ]
        )  # (N, N', L, L')
        bound = oracle_kernel(case)[1][:, :, 0, :, :, 0].movedim(2, 1)
        return K, bound

    def kernel(case: PairCase) -> Tensor:
        return closed(case)[:, :, 0, :, :, 0].movedim(2, 1)

    def unsorted(case: PairCase) -> Tensor:
        K = closed(case)[:, :, 0, :, :, 0]
        return K.flatten(0, 1).unflatten(0, (K.shape[1], K.shape[0])).movedim(0, 1).movedim(2, 1)

    return agree(
        kernel,
        reference,
        cases,
        mutants={
            "blocks of another sequence": lambda case: kernel(case).roll(1, 1),
            "rows of another element": lambda case: kernel(case).roll(1, 2),
            "elements and sequences taken for each other": unsorted,
        },
        scope="float64, self-attention with v = 1, 1 to 3 sequences of 1 to 5 elements a side",
    )


def transposed(claim: Claim, setting: Setting) -> Evidence:
    """K(S', S) is the transpose of K(S, S'), as of a kernel whose values are matrices.

    Both are computed by the library, each from its own arguments. A pass guarantees this to
    rounding for v > 1, several lengths and heads. It cannot see positivity.
    """
    cases = [
        case
        for form in ("self", "cross", "multi-head", "projected")
        for case in pair_cases(form, setting, random=setting.scaled(2, 8), edges=False)
        if case.other is not None
    ]

    def reference(case: PairCase) -> tuple[Tensor, Tensor]:
        K, bound = closed(case), oracle_kernel(case)[1]
        return K, 2 * bound

    def exchanged(case: PairCase) -> Tensor:
        back = PairCase(case.columns, case.rows)
        return closed(back).permute(3, 4, 5, 0, 1, 2)

    return agree(
        exchanged,
        reference,
        cases,
        mutants={
            "outputs not transposed": lambda case: exchanged(case).transpose(2, 5),
            "off by a relative 1e-9": lambda case: exchanged(case) * (1 + 1e-9),
        },
        scope="float64, v > 1, self- and cross-attention, heads with and without W_O",
    )
