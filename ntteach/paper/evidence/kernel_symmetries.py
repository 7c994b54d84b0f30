"""Learner and kernel of the library under a change of basis, and under reorderings."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Setting
from ntteach.learner import attention
from ntteach.paper.domains import AttentionCase
from ntteach.paper.evidence.kernel_matrix import cases, size, tangent
from ntteach.tangent import antk

_SCOPE = "float64, all forms, L to 6, d to 5, d_k to 8, v to 4"


def _generator(case: AttentionCase) -> torch.Generator:
    # the same draw for every mutant of a case
    return torch.Generator().manual_seed(case.S.numel())


def bases(case: AttentionCase, *, orthogonal: bool) -> list[Tensor]:
    """One well-conditioned change of basis for each head, `(d_h, d_h)`."""
    g = _generator(case)
    d_h = case.params["W_Q"].shape[1] // case.heads
    found = []
    for _ in range(case.heads):
        turns = [torch.randn(d_h, d_h, generator=g, dtype=torch.float64) for _ in range(2)]
        one, other = (torch.linalg.qr(x).Q for x in turns)
        stretch = torch.ones(d_h) if orthogonal else 0.5 + 1.5 * torch.rand(d_h, generator=g)
        stretch = stretch.to(torch.float64)
        if not orthogonal:
            stretch[0] = 2.0  # no draw leaves an orthogonal one
        found.append((one * stretch @ other).to(case.S.device))
    return found


def changed(
    case: AttentionCase, *, orthogonal: bool, keys: str = "inverse", mixed: bool = False
) -> dict[str, Tensor]:
    """The parameters with W_Q X and W_K X^-T in each head.

    `keys` "same" is W_K X, "left" leaves W_K; `mixed` takes one orthogonal X across all heads.
    """
    X = torch.block_diag(*bases(case, orthogonal=orthogonal))
    if mixed:
        X = torch.linalg.qr(torch.randn(X.shape, generator=_generator(case), dtype=X.dtype)).Q
        X = X.to(case.S.device)
    back = {"inverse": torch.linalg.inv(X).mT, "same": X, "left": torch.eye(len(X)).to(X)}[keys]
    return {**case.params, "W_Q": case.params["W_Q"] @ X, "W_K": case.params["W_K"] @ back}


def basis_and_output(claim: Claim, setting: Setting) -> Evidence:
    """The output with W_Q X and W_K X^-T in each head, against the output without.

    A pass guarantees agreement to rounding for random X with singular values from 1/2 to 2.
    """

    def output(case: AttentionCase, keys: str = "inverse", mixed: bool = False) -> Tensor:
        params = changed(case, orthogonal=False, keys=keys, mixed=mixed)
        return attention(params, case.S, **case.call)

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        value = attention(case.params, case.S, **case.call)
        return value, torch.full_like(value, 1e-11 * size(value))

    return agree(
        output,
        reference,
        cases(setting),
        mutants={
            "keys take X as well": lambda case: output(case, "same"),
            "keys left as they are": lambda case: output(case, "left"),
            "one basis across heads": lambda case: output(case, mixed=True),
        },
        scope=_SCOPE,
    )


def orthogonal_basis(claim: Claim, setting: Setting) -> Evidence:
    """`antk` with W_Q X and W_K X for an orthogonal X in each head, against `antk` without.

    A pass guarantees agreement to rounding for random rotations; one mutant is an X that is
    invertible and not orthogonal, which leaves the output and not the kernel.
    """

    def kernel(case: AttentionCase, orthogonal: bool = True, mixed: bool = False) -> Tensor:
        return tangent(case, changed(case, orthogonal=orthogonal, mixed=mixed))

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        value = tangent(case)
        return value, torch.full_like(value, 1e-11 * size(value))

    return agree(
        kernel,
        reference,
        cases(setting),
        mutants={
            "invertible, not orthogonal": lambda case: kernel(case, orthogonal=False),
            "one rotation across heads": lambda case: kernel(case, mixed=True),
        },
        scope=_SCOPE,
    )


# --- order ---------------------------------------------------------------------------------------


def reordered(case: AttentionCase, order: Tensor, *, mask: bool = True) -> AttentionCase:
    """The case with its tokens, and the places of its mask, in another order.

    Of cross-attention the sequence moves and the context stays; of a mask, then, the rows alone.
    """
    moved = case.mask
    if mask and moved is not None:
        moved = moved[..., order, :]
        moved = moved if case.context is not None else moved[..., order]
    return replace(case, S=case.S[:, order], mask=moved, causal=False)


def kernel_follows(
    claim: Claim, setting: Setting, *, forms: tuple[str, ...], moved: bool
) -> Evidence:
    """`K(PS, P'S') = P K(S, S') P'^T` for `antk`, with S' = S and P' another reordering than P.

    A pass guarantees agreement to rounding. With `moved`, masks move along with the tokens, and
    a mutant leaves them where they are.
    """

    def orders(case: AttentionCase) -> tuple[Tensor, Tensor]:
        g, L = _generator(case), case.S.shape[1]
        # a shift moves every token; the other order is any
        return torch.arange(L).roll(1), torch.randperm(L, generator=g)

    def kernel(case: AttentionCase, *, mask: bool = True) -> Tensor:
        one, other = (reordered(case, order, mask=mask) for order in orders(case))
        return antk(
            case.params,
            one.S,
            other.S,
            context=one.context,
            context_other=other.context,
            mask=one.mask,
            mask_other=other.mask,
            heads=case.heads,
        )

    def reference(case: AttentionCase) -> tuple[Tensor, Tensor]:
        one, other = orders(case)
        value = tangent(case)[:, one][:, :, :, :, other]
        return value, torch.full_like(value, 1e-12 * size(value))

    mutants = {
        "rows and columns stay": tangent,
        "one part in a million": lambda case: kernel(case) * (1 + 1e-6),
    }
    if moved:
        mutants["the mask stays"] = lambda case: kernel(case, mask=False)
    return agree(
        kernel,
        reference,
        [case for case in cases(setting, forms) if moved or case.mask is None],
        mutants=mutants,
        scope=f"float64, {', '.join(forms)}, L to 6, d to 5, d_k to 8, v to 4",
    )
