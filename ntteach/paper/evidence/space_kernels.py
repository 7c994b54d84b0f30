"""Section 3: each shipped kernel against its slow reference, and what Gram matrices have to be."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from ntteach import rkhs
from ntteach.checks.agree import agree
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence.space_families import Case, cases, families, remembered

# Results are sums of some hundred terms of order one, each rounded a few times.
ROUNDING = 1e-12
# Eigenvalues of Gram matrices in floats: rounding is this small beside the largest entry times n.
NEGATIVE = 1e-13
SCOPE = "float64, sequences of three or four tokens of width two"


def against_reference(claim: Claim, setting: Setting, *, family: str) -> Evidence:
    """The Gram matrix of a family of kernels against loops over pairs of sequences.

    A pass guarantees agreement to rounding, and that a Gram matrix is that of the sequences one by
    one in either order. It cannot see a definition that both sides have wrong.
    """

    @remembered
    def both(case: Case) -> Tensor:
        K = case.family.kernel
        return torch.cat([K.gram(case.S, case.T), K.gram(case.T, case.S).mT, K.gram(case.S)], 1)

    def reference(case: Case) -> tuple[Tensor, Tensor]:
        once = case.family.reference(case.S, case.T)
        value = torch.cat([once, once, case.family.reference(case.S, case.S)], 1)
        return value, torch.full_like(value, ROUNDING * max(1.0, value.abs().max().item()))

    def moved(case: Case) -> Tensor:
        K = case.family.kernel
        S = case.S * (1 + 1e-6)
        return torch.cat([K.gram(S, case.T), K.gram(case.T, S).mT, K.gram(S)], 1)

    def rolled(case: Case) -> Tensor:
        K = case.family.kernel
        return torch.cat([both(case)[:, :-1], K.gram(case.S)[:, :1]], 1)

    return agree(
        both,
        reference,
        [x for n in range(setting.scaled(1, 5)) for x in cases(setting.seed + n, (family,))],
        mutants={
            "off by a relative 1e-6": lambda case: both(case) * (1 + 1e-6),
            "sequences off by a relative 1e-6": moved,
            "another sequence in the last column": rolled,
        },
        scope=f"{SCOPE}, {family}",
    )


def semidefinite(claim: Claim, setting: Setting, *, names: tuple[str, ...]) -> Evidence:
    """Gram matrices of families of kernels on random sets of sequences, some of them repeated.

    A pass guarantees symmetry to the last bit and no eigenvalue below zero by more than rounding.
    It cannot see a kernel that is indefinite on sets that were not drawn: the mutants are such,
    among them global alignment with a Gaussian local kernel, on the 81 sequences of four tokens 0,
    1 or 2.
    """
    looked, worst, broken = 0, 0.0, []
    g = torch.Generator().manual_seed(setting.seed + 7)
    for _ in range(setting.scaled(2, 10)):
        S = torch.randn(8, 3, 2, generator=g, dtype=torch.float64)
        S = torch.cat([S, S[:2], S[2:4].flip(1)])
        every = families(setting.seed)
        for family in itertools.chain(*(every[name] for name in names)):
            K = family.kernel.gram(S)
            margin = negative(K)
            looked, worst = looked + 1, max(worst, margin)
            if margin > 1 or not torch.equal(K, K.mT):
                broken.append(str(family))
    return Evidence(
        Outcome.REFUTES if broken else Outcome.SUPPORTS,
        "float64, three tokens of width two, 12 sequences of which 2 are repeated and 2 reversed; "
        + ", ".join(names),
        looked,
        worst if not broken else None,
        f"not semi-definite or not symmetric: {', '.join(broken)}"
        if broken
        else f"no eigenvalue is below {-NEGATIVE:g} of the largest entry times n",
        tuple(Mutant(name, negative(K(S)) > 1) for name, K in INDEFINITE.items()),
    )


def negative(K: Tensor) -> float:
    """How far the smallest eigenvalue is below zero, in units of what rounding explains."""
    smallest = torch.linalg.eigvalsh((K + K.mT) / 2)[0].item()
    return max(0.0, -smallest / (NEGATIVE * len(K) * K.abs().max().item()))


def _four_tokens() -> Tensor:
    rows = list(itertools.product((0.0, 1.0, 2.0), repeat=4))
    return torch.tensor(rows, dtype=torch.float64)[..., None]


INDEFINITE: dict[str, Callable[[Tensor], Tensor]] = {
    "minus the squared distance": lambda S: -(torch.cdist(S.flatten(1), S.flatten(1)) ** 2),
    "a thousandth of the trace off the diagonal": lambda S: (
        rkhs.gaussian(1.5)(S) - 1e-3 * len(S) * torch.eye(len(S), dtype=S.dtype)
    ),
    "inner product less one": lambda S: rkhs.linear()(S) - 1,
    "alignment with a Gaussian local kernel": lambda S: rkhs.global_alignment(
        3.0, local="gaussian"
    )(_four_tokens()),
}


def definite(claim: Claim, setting: Setting) -> Evidence:
    """The Gaussian kernel on different sequences: no eigenvalue vanishes.

    A pass guarantees a smallest eigenvalue above rounding on the sets drawn. The mutants are
    kernels that are singular there.
    """
    g = torch.Generator().manual_seed(setting.seed + 8)
    sets = [
        torch.randn(6, 3, 2, generator=g, dtype=torch.float64)
        for _ in range(setting.scaled(10, 100))
    ]

    def smallest(kernel: rkhs.Kernel, S: Tensor) -> float:
        K = kernel(S)
        return (torch.linalg.eigvalsh(K)[0] / K.trace()).item() / 1e-10

    least = min(smallest(rkhs.gaussian(1.0), S) for S in sets)
    singular = {
        "linear, of tokens that span less": rkhs.linear(on="mean"),
        "Gaussian of means, of reordered sequences": rkhs.gaussian(1.0, on="mean"),
    }

    def planted(kernel: rkhs.Kernel) -> float:
        return min(smallest(kernel, torch.cat([S, S[:1].flip(1)])) for S in sets)

    return Evidence(
        Outcome.SUPPORTS if least > 1 else Outcome.REFUTES,
        "float64, 6 sequences of three tokens of width two, width of the kernel 1",
        len(sets),
        1 / least if least > 1 else None,
        f"the smallest eigenvalue is {least * 1e-10:.2g} of the trace",
        tuple(Mutant(name, planted(kernel) < 1) for name, kernel in singular.items()),
    )
