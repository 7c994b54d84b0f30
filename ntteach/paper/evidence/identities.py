"""Identities of the derivations brought to zero for symbolic sizes, and tied to the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy
from sympy import Expr

from ntteach import symbols
from ntteach.claims import Claim, Evidence, Mutant, Outcome, Setting
from ntteach.paper import derivations
from ntteach.paper.evidence.ties import Identity, oracle_margin

CASES = 6  # exact cases at which mutants are looked at


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
        block: the parameter that the left sides are derivatives by; see `ties.TRUTHS` for what
            else autograd can give.
        form: the variant of attention: scalar, self, causal, masked, cross, multi-head, projected,
            or "causal, weighted".
    """
    chosen = select(derivation, names)
    failing = [name for name, _, _ in chosen if not _is_zero(derivation, name)]
    unequal = [name for name, _, _ in chosen if not _in_numbers(derivation, name).equal]
    wrong = [f"not brought to zero: {'; '.join(failing)}"] if failing else []
    wrong += [f"unequal at an exact case: {'; '.join(unequal)}"] if unequal else []
    margin = None
    if block is not None:
        margin = max(_margin(derivation, name, block, form, setting.seed) for name, _, _ in chosen)
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
def _margin(derivation: str, name: str, block: str, form: str, seed: int) -> float:
    return oracle_margin(_identity(derivation, name), block, form, seed)


@cache
def _is_zero(derivation: str, name: str) -> bool:
    return symbols.is_zero(*_identity(derivation, name)[1:])


@cache
def _mutants(derivation: str, name: str) -> tuple[Mutant, ...]:
    """One occurrence of one symbol doubled, told from the truth at an exact case."""
    known = _in_numbers(derivation, name)
    # what is zero under every attention stays so under another
    labels = [x for x in known.mutants if not (known.zero and "in an exponent" in x)]
    in_numbers = (Mutant(f"{name}: {x}", x not in known.surviving) for x in labels)
    # a proof that went through for a false identity would go through for any
    in_symbols = (
        Mutant(f"{name}: {x}, put to the proof", not symbols.is_zero(known.other, known.mutants[x]))
        for x in labels[-1:]
    )
    return (*in_numbers, *in_symbols)


@dataclass(frozen=True)
class _InNumbers:
    """An identity at exact small cases: whether it holds there, and which mutants of it do."""

    equal: bool
    other: Expr  # the side that has no mutants
    zero: bool  # whether it is zero at every case looked at
    mutants: dict[str, Expr]
    surviving: frozenset[str]


@cache
def _in_numbers(derivation: str, name: str) -> _InNumbers:
    _, lhs, rhs = _identity(derivation, name)
    # a side that is a plain number has no symbol to double
    side, other = (lhs, rhs) if rhs.is_number else (rhs, lhs)
    mutants = dict(symbols.mutations(side))
    surviving, zero, equal = set(mutants), True, True
    # entries are small whole numbers, so that one case may hide a factor behind a zero
    for seed in range(CASES):
        sizes, values, indices = symbols.small_case(lhs, rhs, seed=seed)
        labels = sorted(surviving)
        # what the two sides and the mutants have in common is computed once
        exprs = [other, side, *(mutants[label] for label in labels)]
        (truth,), (same,), *found = symbols.evaluate_all(exprs, sizes, values, [indices])
        zero = zero and truth == 0
        equal = equal and not _differ(same, truth)
        surviving = {
            label
            for label, (number,) in zip(labels, found, strict=True)
            if not _differ(number, truth)
        }
        if not surviving:
            break
    return _InNumbers(equal, other, zero, mutants, frozenset(surviving))


def _differ(one: Expr, other: Expr) -> bool:
    gap = sympy.expand(one - other)
    poly = gap.as_poly(sympy.log(2))
    if poly is not None and (poly.domain.is_ZZ or poly.domain.is_QQ):
        return gap != 0  # log 2 is transcendental: a polynomial in it is zero as written, or not
    size = max(abs(sympy.N(one, 30)), abs(sympy.N(other, 30)))
    return bool(abs(sympy.N(gap, 30)) > 1e-20 * size)


def _identity(derivation: str, name: str) -> Identity:
    return next(one for one in derivations.load(derivation).IDENTITIES if one[0] == name)


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
