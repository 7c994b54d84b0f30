"""The symbolic layer in one import: attention in symbols, its derivatives, proofs of identities.

Sizes stay symbols (L, M, d, d_k, v, H, ...). One side of an identity is the derivative of Eq. 2,
taken by `derivative`; the other is a closed form written out in `derivations/`; `is_zero` brings
their difference to zero. `evaluate` puts numbers in, `mutations` makes identities false.
"""

from collections.abc import Iterable
from typing import TypeAlias

from sympy import Expr

from .attention import (
    derivative,
    key,
    logit,
    normaliser,
    output,
    over_keys,
    query,
    reindex,
    replace_entries,
    scale,
    softmax,
    total,
    value,
    weight,
)
from .evaluation import evaluate, evaluate_all
from .explicit import explicit_attention, explicit_jacobian
from .mutants import mutations, small_case
from .names import (
    C2,
    D_K,
    D_Q,
    D_V,
    G2,
    INDEX_RANGES,
    L2,
    M2,
    S2,
    SHAPES,
    W_K,
    W_O,
    W_Q,
    W_V,
    B,
    C,
    D,
    F,
    G,
    H,
    L,
    Lam,
    M,
    N,
    Phi,
    Psi,
    R,
    S,
    T,
    U,
    X,
    Y,
    Z,
    a,
    alpha,
    b,
    beta,
    c,
    c2,
    chi,
    d,
    d_h,
    d_k,
    e,
    e2,
    eta,
    g,
    gamma,
    h,
    h2,
    i,
    j,
    j2,
    k,
    kappa,
    lam,
    m,
    m2,
    mu,
    n,
    nu,
    o,
    p,
    psi,
    q,
    r,
    rho,
    s,
    sigma,
    t,
    tau,
    u,
    v,
    v_h,
    w,
    xi,
    z,
)
from .normal_form import canonical, is_zero
from .pairs import exchanged, kernel_block, over_entries, second

__all__ = [
    # sizes
    "L", "M", "d", "d_k", "v", "o", "H", "d_h", "v_h", "r", "N",
    # indices
    "j", "k", "c", "a", "i", "b", "h", "g", "e", "p", "n",
    # scalars
    "t", "kappa", "u", "w", "eta",
    # indexed bases, a permutation
    "S", "C", "W_Q", "W_K", "W_V", "W_O", "m", "B", "G", "X", "R", "s",
    "F", "Y", "D", "q",
    "sigma",
    # a choice among outputs
    "tau", "mu", "lam", "Lam", "gamma", "U", "z", "rho", "chi", "psi", "G2",
    # a second sequence, a direction
    "L2", "M2", "j2", "c2", "h2", "e2", "S2", "C2", "m2", "D_Q", "D_K", "D_V",
    # functions of a kernel
    "Phi", "Psi", "alpha", "beta", "T", "Z", "nu", "xi",
    # what is known of them
    "INDEX_RANGES", "SHAPES",
    # Eq. 2
    "total", "query", "key", "value", "scale", "logit", "weight", "over_keys", "normaliser",
    "softmax", "output",
    # two sequences
    "second", "exchanged", "over_entries", "kernel_block",
    # operations and proofs
    "derivative", "replace_entries", "reindex", "canonical", "is_zero", "report",
    # numbers
    "evaluate", "evaluate_all", "mutations", "small_case", "explicit_attention",
    "explicit_jacobian",
]  # fmt: skip

Identity: TypeAlias = tuple[str, Expr, Expr]


def report(identities: Iterable[Identity]) -> None:
    """Print each identity and whether it holds; exit with status 1 if one does not."""
    failed = 0
    for name, lhs, rhs in identities:
        holds = is_zero(lhs, rhs)
        failed += not holds
        print(f"{'holds' if holds else 'FAILS'}  {name}")
    if failed:
        raise SystemExit(1)
