"""Search the domain of a law for a case that breaks it, and shrink that case (hypothesis)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Generic, TypeAlias, TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from ntteach.claims import Counterexample, Evidence, Mutant, Outcome

Case = TypeVar("Case")
Law: TypeAlias = Callable[[Case], bool | None]


def smallest_violation(
    law: Law[Case],
    domain: Sequence[SearchStrategy[Case]],
    *,
    examples: int,
    seed: int = 0,
) -> Case | None:
    """The smallest case found that breaks the law, or None; the same for the same seed.

    A law is True where it holds, False where it is broken, None where a hypothesis is not met;
    it leaves a case as it is, since other laws are asked about the same one.
    The domain is a ladder of strategies, smallest shapes first: shrinking makes entries small,
    but does not change the shape of a matrix. Each rung gets its share of the examples.
    """
    rung = _first_rung_with_violation(law, domain, examples, seed)
    return None if rung is None else _smallest(law, rung, _share(examples, domain), seed)


def has_violation(
    law: Law[Case],
    domain: Sequence[SearchStrategy[Case]],
    *,
    examples: int,
    seed: int = 0,
) -> bool:
    """Whether `smallest_violation` finds a case; it is not made smaller, which takes longest."""
    return _first_rung_with_violation(law, domain, examples, seed) is not None


def _first_rung_with_violation(
    law: Law[Case], domain: Sequence[SearchStrategy[Case]], examples: int, seed: int
) -> SearchStrategy[Case] | None:
    for rung in domain:
        cases = _drawn(rung, _share(examples, domain), seed)
        if any(_is_broken(law, case) for case in cases):
            return rung
    return None


def _is_broken(law: Law[Case], case: Case) -> bool:
    return law(case) is False


def _share(examples: int, domain: Sequence[SearchStrategy[Case]]) -> int:
    return max(1, examples // len(domain))


@lru_cache(maxsize=1024)
def _drawn(rung: SearchStrategy[Case], examples: int, seed: int) -> tuple[Case, ...]:
    """The cases that are drawn where no law is broken, the same for each law and its mutants."""
    cases: list[Case] = []
    with suppress(NoSuchExample):
        find(
            rung,
            lambda case: cases.append(case) is not None,
            settings=_quiet(examples),
            random=random.Random(seed),
        )
    return tuple(cases)


def _smallest(law: Law[Case], rung: SearchStrategy[Case], examples: int, seed: int) -> Case:
    # draws what `_drawn` draws up to the first case that breaks the law, and makes that one smaller
    return find(
        rung,
        partial(_is_broken, law),
        settings=_quiet(examples),
        random=random.Random(seed),
    )


def _quiet(examples: int) -> settings:
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType]
        phases=(Phase.generate, Phase.shrink),
    )


class _Counted(Generic[Case]):
    """A law that counts the cases drawn for it, and those that met its hypotheses."""

    def __init__(self, law: Law[Case]) -> None:
        self.law, self.drawn, self.cases = law, 0, 0

    def __call__(self, case: Case) -> bool | None:
        answer = self.law(case)
        self.drawn += 1
        self.cases += answer is not None
        return answer

    def nothing(self) -> str:
        return f"no counterexample among {self.cases} cases ({self.drawn} drawn)"


def holds(
    law: Law[Case],
    domain: Sequence[SearchStrategy[Case]],
    *,
    mutants: Mapping[str, Law[Case]],
    examples: int,
    seed: int,
    scope: str,
    describe: Callable[[Case], str] = str,
) -> Evidence:
    """Look for a case that breaks a law that is claimed to hold.

    A pass guarantees that none of the cases drawn breaks it, and that the same search finds a
    case against every mutant of the law. It cannot see cases that were not drawn. The cases
    counted are those that meet the law's hypotheses.

    Args:
        law: True where the law holds, None where a hypothesis of it is not met.
        domain: strategies that draw cases, smallest shapes first.
        mutants: laws with one planted error, for which a case must be found.
        examples: how many cases to draw.
        seed: of the draws.
        scope: the domain in words.
        describe: a case in words.
    """
    counted = _Counted(law)
    broken = has_violation(counted, domain, examples=examples, seed=seed)
    planted = tuple(
        Mutant(name, refuted=has_violation(mutant, domain, examples=examples, seed=seed))
        for name, mutant in mutants.items()
    )
    if not broken:
        return Evidence(
            Outcome.SUPPORTS, scope, counted.cases, detail=counted.nothing(), mutants=planted
        )
    found = smallest_violation(law, domain, examples=examples, seed=seed)
    assert found is not None, "a law answers the same for the same case"
    detail = f"smallest case found: {describe(found)}"
    return Evidence(Outcome.REFUTES, scope, counted.cases, detail=detail, mutants=planted)


def breaks(
    law: Law[Case],
    domain: Sequence[SearchStrategy[Case]],
    *,
    controls: Mapping[str, Law[Case]],
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
        law: True where the claim holds, None where a hypothesis of it is not met.
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
            refuted=not has_violation(control, domain, examples=examples, seed=seed),
        )
        for name, control in controls.items()
    )
    counted = _Counted(law)
    found = None
    if has_violation(counted, domain, examples=examples, seed=seed):
        found = smallest_violation(law, domain, examples=examples, seed=seed)
    if found is None:
        return Evidence(
            Outcome.SUPPORTS, scope, counted.cases, detail=counted.nothing(), mutants=planted
        )
    return Evidence(
        Outcome.REFUTES,
        scope,
        counted.cases,
        detail=f"smallest case found: {describe(found)}",
        mutants=planted,
        counterexample=counterexample(found),
    )
