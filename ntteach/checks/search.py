"""Search the domain of a law for a case that breaks it, and shrink that case (hypothesis)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from ntteach.claims import Counterexample, Evidence, Mutant, Outcome

Case = TypeVar("Case")


def smallest_violation(
    law: Callable[[Case], bool],
    domain: Sequence[SearchStrategy[Case]],
    *,
    examples: int,
    seed: int = 0,
) -> Case | None:
    """The smallest case found that breaks the law, or None; the same for the same seed.

    The domain is a ladder of strategies, smallest shapes first: shrinking makes entries small,
    but does not change the shape of a matrix. Each rung gets its share of the examples.
    """
    for strategy in domain:
        found = _smallest(law, strategy, max(1, examples // len(domain)), seed)
        if found is not None:
            return found
    return None


def _smallest(
    law: Callable[[Case], bool], domain: SearchStrategy[Case], examples: int, seed: int
) -> Case | None:
    quiet = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    try:
        return find(domain, lambda case: not law(case), settings=quiet, random=random.Random(seed))
    except NoSuchExample:
        return None


def holds(
    law: Callable[[Case], bool],
    domain: Sequence[SearchStrategy[Case]],
    *,
    mutants: Mapping[str, Callable[[Case], bool]],
    examples: int,
    seed: int,
    scope: str,
    describe: Callable[[Case], str] = str,
) -> Evidence:
    """Look for a case that breaks a law that is claimed to hold.

    A pass guarantees that none of the examples drawn breaks it, and that the same search finds a
    case against every mutant of the law. It cannot see cases that were not drawn.

    Args:
        law: True where the law holds.
        domain: strategies that draw cases, smallest shapes first.
        mutants: laws with one planted error, for which a case must be found.
        examples: how many cases to draw.
        seed: of the draws.
        scope: the domain in words.
        describe: a case in words.
    """
    found = smallest_violation(law, domain, examples=examples, seed=seed)
    planted = tuple(
        Mutant(
            name,
            refuted=smallest_violation(mutant, domain, examples=examples, seed=seed) is not None,
        )
        for name, mutant in mutants.items()
    )
    if found is None:
        detail = f"no counterexample among {examples} drawn cases"
        return Evidence(Outcome.SUPPORTS, scope, examples, detail=detail, mutants=planted)
    detail = f"smallest case found: {describe(found)}"
    return Evidence(Outcome.REFUTES, scope, examples, detail=detail, mutants=planted)


def breaks(
    law: Callable[[Case], bool],
    domain: Sequence[SearchStrategy[Case]],
    *,
    controls: Mapping[str, Callable[[Case], bool]],
    counterexample: Callable[[Case], Counterexample],
    examples: int,
    seed: int,
    scope: str,
    describe: Callable[[Case], str] = str,
) -> Evidence:
    """Look for a case that breaks a law that is claimed to hold and may not.

    The case found is returned as data that replays in exact arithmetic. The mutants of such a
    check are its controls: laws next to this one that do hold, against which the same search
    must find nothing.

    Args:
        law: True where the claim holds.
        domain: strategies that draw cases, smallest shapes first.
        controls: true laws on the same domain.
        counterexample: turns the case found into data that can be replayed.
        examples: how many cases to draw.
        seed: of the draws.
        scope: the domain in words.
        describe: a case in words.
    """
    planted = tuple(
        Mutant(
            f"control: {name}",
            refuted=smallest_violation(control, domain, examples=examples, seed=seed) is None,
        )
        for name, control in controls.items()
    )
    found = smallest_violation(law, domain, examples=examples, seed=seed)
    if found is None:
        detail = f"no counterexample among {examples} drawn cases"
        return Evidence(Outcome.SUPPORTS, scope, examples, detail=detail, mutants=planted)
    return Evidence(
        Outcome.REFUTES,
        scope,
        examples,
        detail=f"smallest case found: {describe(found)}",
        mutants=planted,
        counterexample=counterexample(found),
    )
