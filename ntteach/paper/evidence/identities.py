"""Identities of the derivations brought to zero for symbolic sizes, and tied to the oracle."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import Any

import sympy
import torch
from sympy import Expr
from torch import Tensor

from ntteach import oracles, symbols
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper import derivations

Identity = tuple[str, Expr, Expr]

# Tied to the oracle at these sizes: all different where that is possible, so that a swapped index
# shows; d_h and v_h are the widths of one head.
SIZES = {"L": 3, "M": 2, "d": 2, "d_k": 3, "v": 2, "o": 3, "H": 2, "d_h": 1, "v_h": 2, "r": 2}
CASES = 6  # exact cases at which mutants are looked at
PLACES = 8  # entries, drawn at random, that are compared with the oracle


def proved(
    claim: Claim,
    setting: Setting,
    *,
    derivation: str,
    names: tuple[str, ...],
    block: str | None = None,
    form: str = "self",
) -> Evidence:
    """Bring identities to zero for symbolic L, d, d_k, v (and M, H, r where they occur).

    A pass guarantees the identities for all sizes. Both sides are also put in numbers: at exact
    small cases, where they have to be equal and every mutant (one occurrence of one symbol doubled)
    has to differ; and, with `block`, at random numbers against autograd, so that an identity cannot
    be a tautology. One mutant of each identity is put to the proof as well, which has to fail.
    It cannot see a mistake in Eq. 2 itself, or one shared with SymPy's differentiation.

    Args:
        claim: the claim.
        setting: profile and seed.
        derivation: the script in `derivations/`.
        names: the identities, by the beginnings of their names; each must find at least one.
        block: the parameter that the left sides are derivatives by.
        form: the variant of attention: scalar, self, causal, masked, cross, multi-head, projected,
            or "causal, weighted".
    """
    chosen = select(derivation, names)
    failing = [name for name, _, _ in chosen if not _is_zero(derivation, name)]
    unequal = [name for name, _, _ in chosen if not _is_equal_in_numbers(derivation, name)]
    wrong = [f"not brought to zero: {'; '.join(failing)}"] if failing else []
    wrong += [f"unequal at an exact case: {'; '.join(unequal)}"] if unequal else []
    margin = None
    if block is not None:
        margin = max(oracle_margin(one, block, form, setting.seed) for one in chosen)
        wrong += [f"differs from autograd by {margin:.3g} times the bound"] if margin > 1 else []
    return Evidence(
        Outcome.REFUTES if wrong else Outcome.SUPPORTS,
        "symbolic sizes, derivations/" + derivation + ".py",
        len(chosen),
        margin,
        "; ".join(wrong or [name for name, _, _ in chosen]),
        tuple(mutant for name, _, _ in chosen for mutant in _mutants(derivation, name)),
    )


def select(derivation: str, names: tuple[str, ...]) -> list[Identity]:
    """The identities whose names begin with one of these, in the derivation's order.

    Raises:
        ValueError: a beginning that no identity has.
    """
    identities = derivations.load(derivation).IDENTITIES
    for beginning in names:
        if not any(name.startswith(beginning) for name, _, _ in identities):
            raise ValueError(f"derivations/{derivation}.py has no identity {beginning!r}")
    return [one for one in identities if one[0].startswith(names)]


@cache
def _is_zero(derivation: str, name: str) -> bool:
    return symbols.is_zero(*_identity(derivation, name)[1:])


@cache
def _is_equal_in_numbers(derivation: str, name: str) -> bool:
    _, lhs, rhs = _identity(derivation, name)
    case = symbols.small_case(lhs, rhs)
    return not _differ(symbols.evaluate(lhs, *case), symbols.evaluate(rhs, *case))


@cache
def _mutants(derivation: str, name: str) -> tuple[Mutant, ...]:
    """One occurrence of one symbol doubled, told from the truth at an exact case."""
    _, lhs, rhs = _identity(derivation, name)
    # a side that is a plain number has no symbol to double
    side, other = (lhs, rhs) if rhs.is_number else (rhs, lhs)
    mutants = dict(symbols.mutations(side))
    surviving, zero = set(mutants), True
    # entries are small whole numbers, so that one case may hide a factor behind a zero
    for seed in range(CASES):
        case = symbols.small_case(lhs, rhs, seed=seed)
        truth = symbols.evaluate(other, *case)
        zero = zero and truth == 0
        surviving = {
            label
            for label in surviving
            if not _differ(symbols.evaluate(mutants[label], *case), truth)
        }
        if not surviving:
            break
    # what is zero under every attention stays so under another
    labels = [label for label in mutants if not (zero and "in an exponent" in label)]
    in_numbers = (Mutant(f"{name}: {label}", label not in surviving) for label in labels)
    # a proof that went through for a false identity would go through for any
    in_symbols = (
        Mutant(f"{name}: {label}, put to the proof", not symbols.is_zero(other, mutants[label]))
        for label in labels[-1:]
    )
    return (*in_numbers, *in_symbols)


def _differ(one: Expr, other: Expr) -> bool:
    if one.is_Rational and other.is_Rational:
        return one != other
    return bool(abs(sympy.N(one - other, 30)) > 1e-20)


def _identity(derivation: str, name: str) -> Identity:
    return next(one for one in derivations.load(derivation).IDENTITIES if one[0] == name)


def oracle_margin(identity: Identity, block: str, form: str, seed: int) -> float:
    """The largest distance of either side from autograd over 1e-12, relative to the largest entry.

    At the small sizes of `SIZES`, rounding is below 1e-14.
    """
    _, lhs, rhs = identity
    free = {x.name for x in lhs.free_symbols | rhs.free_symbols if isinstance(x, sympy.Symbol)}
    values, truth, index_names = _numbers(block, form, seed)
    scale = truth.abs().max().item()
    worst = 0.0
    places = list(itertools.product(*(range(size) for size in truth.shape)))
    random.Random(seed).shuffle(places)
    looked_at = 0
    for place in places:
        indices = {name: x + 1 for name, x in zip(index_names, place, strict=True) if name in free}
        # a scalar identity is about the first output column, and the first column of W_V
        fixed = [x for name, x in zip(index_names, place, strict=True) if name not in free]
        if any(fixed) or looked_at == PLACES:
            continue
        looked_at += 1
        for side in (lhs, rhs):
            number = float(symbols.evaluate(side, SIZES, values, indices))
            worst = max(worst, abs(number - truth[place].item()) / (1e-12 * scale))
    if not looked_at:
        raise ValueError("no entry was compared with the oracle")
    return worst


def _numbers(block: str, form: str, seed: int) -> tuple[dict[str, Any], Tensor, tuple[str, ...]]:
    """Random entries by name, the oracle's derivative, and the names of its axes."""
    g = torch.Generator().manual_seed(seed)
    n = SIZES
    headed = form in ("multi-head", "projected")
    heads = n["H"] if headed else 1
    d_k, v = (heads * n["d_h"], heads * n["v_h"]) if headed else (n["d_k"], n["v"])

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, dtype=torch.float64)

    S = normal(n["L"], n["d"])
    params = {"W_Q": normal(n["d"], d_k), "W_K": normal(n["d"], d_k), "W_V": normal(n["d"], v)}
    if form == "projected":
        params["W_O"] = normal(v, n["o"])
    context = normal(n["M"], n["d"]) if form == "cross" else None
    mask = weights = None
    if form == "causal":
        mask = torch.ones(n["L"], n["L"], dtype=torch.bool).tril()
    if form in ("masked", "causal, weighted"):
        weights = torch.rand(n["L"], n["L"], generator=g, dtype=torch.float64)
        weights[0, 1] = 0.0  # one pair takes no part
        weights = weights.tril() if form == "causal, weighted" else weights
        # a mask that is added to the logits is the logarithm of a weight
        mask = weights.log()
    values: dict[str, Any] = {"S": S.tolist()}
    if weights is not None:
        values["m"] = weights.tolist()
    if context is not None:
        values["C"] = context.tolist()
    truth = oracles.jacobian(params, S, context=context, mask=mask, heads=heads)[block]
    last = "b" if block == "W_V" else "i"
    if not headed:
        values |= {name: W.tolist() for name, W in params.items()}
        return values, truth, ("j", "c", "a", last)
    for name in ("W_Q", "W_K", "W_V"):
        split = params[name].unflatten(1, (heads, -1)).movedim(1, 0)  # (H, d, columns)
        values[name] = split.tolist()
    if form == "multi-head":
        truth = truth.unflatten(1, (heads, -1)).unflatten(-1, (heads, -1))
        return values, truth, ("j", "h", "c", "a", "g", last)
    values["W_O"] = params["W_O"].unflatten(0, (heads, -1)).tolist()
    if block == "W_O":
        return values, truth.unflatten(-2, (heads, -1)), ("j", "e", "g", "b", "p")
    return values, truth.unflatten(-1, (heads, -1)), ("j", "e", "a", "g", last)


def row_sees_own_element(
    claim: Claim, setting: Setting, *, derivation: str, names: tuple[str, ...]
) -> Evidence:
    """In the closed form of row j, the sequence occurs with the row j only.

    A pass guarantees, for symbolic sizes, that row j of the output and of its gradient is a
    function of its own element and of the context. The mutants read the context from the sequence.
    """
    chosen = select(derivation, names)
    strangers = [name for name, _, rhs in chosen if _other_rows(rhs)]
    own = {symbols.C: symbols.S}
    return Evidence(
        Outcome.REFUTES if strangers else Outcome.SUPPORTS,
        f"symbolic sizes, derivations/{derivation}.py",
        len(chosen),
        detail=f"other rows occur in {'; '.join(strangers)}" if strangers else "only row j occurs",
        mutants=tuple(
            Mutant(f"{name}: context read from the sequence", _other_rows(rhs.subs(own)))
            for name, _, rhs in chosen
        ),
    )


def _other_rows(expr: Expr) -> bool:
    entries: set[Any] = expr.atoms(sympy.Indexed)
    return any(x.base == symbols.S and x.indices[0] != symbols.j for x in entries)


def bound_by_sums(
    claim: Claim, setting: Setting, *, derivation: str, names: tuple[str, ...]
) -> Evidence:
    """The averaged gradient is one expression with the indices of a weight entry, for symbolic L.

    A pass guarantees that no element index is left free, so that the shape does not depend on the
    sequence. The mutant is the gradient of a single row, where the index j is free.
    """
    chosen = select(derivation, names)
    element = {symbols.j, symbols.k, symbols.n}
    left = [name for name, lhs, rhs in chosen if (lhs.free_symbols | rhs.free_symbols) & element]
    rows = select(derivation, ("sequence repeated",))
    return Evidence(
        Outcome.REFUTES if left else Outcome.SUPPORTS,
        f"symbolic sizes, derivations/{derivation}.py",
        len(chosen),
        detail=f"free element index in {'; '.join(left)}" if left else "no element index is free",
        mutants=tuple(
            Mutant(f"not averaged: {name}", bool(rhs.free_symbols & element))
            for name, _, rhs in rows
        ),
    )
