"""Short forms for declaring checks; standard library only, so that claims load no torch."""

from __future__ import annotations

from typing import Any

from ntteach.claims.model import PROFILES, Check, Counterexample

_EVIDENCE = "ntteach.paper.evidence."


def equations(*spans: str) -> tuple[str, ...]:
    """Equation numbers from spans.

    >>> equations("10", "25-28")
    ('10', '25', '26', '27', '28')
    """
    numbers: list[str] = []
    for span in spans:
        first, _, last = span.partition("-")
        numbers.extend(str(n) for n in range(int(first), int(last or first) + 1))
    return tuple(numbers)


def check(
    name: str,
    witness: str,
    run: str,
    covers: tuple[str, ...] = (),
    *,
    of: str = "statement",
    profiles: tuple[str, ...] = PROFILES,
    shares: str | None = None,
    **arguments: Any,
) -> Check:
    """A check whose function is `run`, "module:function" within `ntteach.paper.evidence`."""
    return Check(name, witness, _EVIDENCE + run, covers, arguments, of, profiles, shares)


def proved(
    derivation: str,
    *names: str,
    covers: tuple[str, ...] = (),
    block: str | None = None,
    form: str = "self",
) -> Check:
    """Identities of a derivation, for symbolic sizes; with `block`, tied to autograd."""
    return check(
        f"identities of derivations/{derivation}.py: {', '.join(names)}",
        "symbolic",
        "identities:proved",
        covers,
        shares=f"derivations/{derivation}.py",
        derivation=derivation,
        names=names,
        block=block,
        form=form,
    )


def exact_entries(block: str, covers: tuple[str, ...] = (), *, mask: str | None = None) -> Check:
    """A block on small matrices in exact arithmetic, against SymPy's derivative by elements."""
    return check(
        f"entries of {block} on small matrices, exactly",
        "elementwise",
        "elementwise:exact_entries",
        covers,
        shares=f"small matrices, mask {mask}",
        block=block,
        mask=mask,
    )


def closed_form(block: str, form: str, covers: tuple[str, ...] = ()) -> tuple[Check, Check]:
    """The closed form of one block against autograd and against central differences."""
    where = f"{block}, {form}"
    return (
        check(
            f"closed form against jacrev and jacfwd: {where}",
            "autograd",
            "gradients:autograd",
            covers,
            shares=f"Jacobians: {form}",
            block=block,
            form=form,
        ),
        check(
            f"closed form against central differences: {where}",
            "finite-difference",
            "gradients:finite_difference",
            covers,
            block=block,
            form=form,
        ),
    )


def by_differences(block: str, form: str, covers: tuple[str, ...] = ()) -> Check:
    """The closed form of one block against central differences alone."""
    return closed_form(block, form, covers)[1]


def contracted(form: str) -> Check:
    """`parameter_gradient` and `gradient_norms` against the oracle's Jacobian, contracted."""
    return check(
        f"gradients and norms for a given loss gradient: {form}",
        "autograd",
        "gradients:contracted",
        form=form,
    )


def searched(law: str, domain: str, *mutants: str, covers: tuple[str, ...] = ()) -> Check:
    """No small case breaks a law; each mutant, a false neighbour of the law, is broken."""
    return check(
        f"no small case breaks: {law}",
        "search",
        "sentences:search_holds",
        covers,
        shares=f"cases: {domain}",
        law=law,
        domain=domain,
        mutants=mutants,
    )


def refuted(
    law: str, domain: str, *controls: str, covers: tuple[str, ...] = ()
) -> tuple[Check, Check]:
    """The stored case replayed exactly, and a search that finds a smallest one by itself."""
    return (
        check("the stored counterexample, replayed", "exact", "sentences:stored", covers),
        check(
            f"search for the smallest case against: {law}",
            "search",
            "sentences:search_breaks",
            covers,
            shares=f"cases: {domain}",
            law=law,
            domain=domain,
            controls=controls,
        ),
    )


Cases = list[dict[str, Any]]
_REPORTED = "tables: numbers as printed"


def printed(law: str, cases: Cases, *mutants: str, corners: bool = False, where: str = "") -> Check:
    """A law on printed numbers, exactly; with `corners` at the ends of their rounding as well."""
    place = f" ({where})" if where else ""
    return check(
        f"as printed{', and at the ends of the rounding' if corners else ''}: {law}{place}",
        "exact",
        "reported_checks:exactly",
        shares=_REPORTED,
        law=law,
        cases=cases,
        mutants=mutants,
        corners=corners,
    )


def rounded(law: str, cases: Cases, *mutants: str) -> Check:
    """A law on random numbers that round to the printed ones."""
    return check(
        f"numbers that round to those printed: {law}",
        "sample",
        "reported_checks:within_rounding",
        shares=_REPORTED,
        law=law,
        cases=cases,
        mutants=mutants,
    )


def never(law: str, cases: Cases, *controls: str, spreads: bool = False) -> tuple[Check, Check]:
    """The stored case replayed, and a law that no numbers meet that round to the printed ones."""
    return (
        check(
            "the stored counterexample, replayed",
            "exact",
            "sentences:stored",
            shares=_REPORTED,
        ),
        check(
            f"not by numbers {'within the spreads' if spreads else 'that round to these'}: {law}",
            "sample",
            "reported_checks:never_within_rounding",
            shares=_REPORTED,
            law=law,
            cases=cases,
            controls=controls,
            spreads=spreads,
        ),
    )


def case(replay: str, **given: Any) -> Counterexample:
    """A stored counterexample; `replay` is "module:function" within `ntteach.paper.evidence`."""
    return Counterexample(_EVIDENCE + replay, given)
