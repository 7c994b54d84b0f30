"""Checks of the sentences around the equations: laws searched, found broken, or shown to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ntteach.checks.replay import must_refute
from ntteach.checks.search import breaks, has_violation, holds, smallest_violation
from ntteach.claims import Claim, Counterexample, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence import (
    attention_domains,
    controls,
    importance_laws,
    kernel_laws,
    kernel_symmetry_laws,
    length_laws,
    limit_domains,
    limit_laws,
    limit_loss_laws,
    loss_laws,
    order_laws,
    reduction_condition_laws,
    reduction_laws,
    reduction_proof_laws,
    reduction_repair_laws,
    row_laws,
    selection_domains,
    space_evolution_laws,
    space_kernel_laws,
    space_laws,
    space_learning_laws,
    teacher_laws,
)
from ntteach.paper.evidence.arithmetic import BLOCKS, EXACT, FLOATS, Finding, Law
from ntteach.paper.evidence.attention_domains import Domain

Given = Mapping[str, Any]


# Each domain: strategies that draw cases as plain data, smallest first, and what they draw.
DOMAINS: dict[str, Domain] = {
    **attention_domains.DOMAINS,
    **loss_laws.DOMAINS,
    **reduction_laws.DOMAINS,
    **reduction_proof_laws.DOMAINS,
    **reduction_condition_laws.DOMAINS,
    **limit_domains.DOMAINS,
    **space_laws.DOMAINS,
    **space_kernel_laws.DOMAINS,
    **space_learning_laws.DOMAINS,
    **selection_domains.DOMAINS,
    **teacher_laws.DOMAINS,
}

# Every law takes a case as data and an arithmetic, so that the search (floats) and the replay
# (exact numbers) test one and the same sentence. Flags turn a law into a false neighbour of itself,
# which goes through the same lines; with `spoil` it is false by one part in a million of what it
# compares, in the block that is named.
LAWS: dict[str, Law] = {
    **order_laws.LAWS,
    **importance_laws.LAWS,
    **row_laws.LAWS,
    **length_laws.LAWS,
    **kernel_laws.LAWS,
    **kernel_symmetry_laws.LAWS,
    **loss_laws.LAWS,
    **reduction_laws.LAWS,
    **reduction_proof_laws.LAWS,
    **reduction_repair_laws.LAWS,
    **reduction_condition_laws.LAWS,
    **limit_laws.LAWS,
    **limit_loss_laws.LAWS,
    **space_laws.LAWS,
    **space_kernel_laws.LAWS,
    **space_learning_laws.LAWS,
    **space_evolution_laws.LAWS,
    **selection_domains.LAWS,
    **teacher_laws.LAWS,
}


def _spoiled(law: Callable[..., Finding], name: str) -> Law:
    return partial(law, spoil=name)


# What each law compares, and may be spoiled in: a mutant that shows that it was looked at.
SPOILED: dict[str, tuple[str, ...]] = {
    "gradient rows follow": BLOCKS,
    "gradient rows follow, mask moved along": BLOCKS,
    "output is equivariant": ("output",),
    "readout is invariant": ("readout",),
    "rows mix elements": ("W_K", "W_V"),
    "repetition": BLOCKS,
    "repetition, mask repeated": BLOCKS,
    "padding, masked": BLOCKS,
    "basis leaves the output": ("output",),
    "orthogonal basis leaves the kernel": BLOCKS,
    "kernel follows": BLOCKS,
    "kernel follows, mask moved along": BLOCKS,
}
LAWS |= {
    f"{law}, {name} spoiled": _spoiled(LAWS[law], name)
    for law, names in SPOILED.items()
    for name in names
}


def search_holds(
    claim: Claim, setting: Setting, *, law: str, domain: str, mutants: tuple[str, ...]
) -> Evidence:
    """Search for a small case that breaks a law claimed to hold.

    A pass guarantees that none of the drawn cases does and that the same search breaks every
    mutant. It cannot see larger shapes or entries between whole numbers.
    """
    strategy, scope = DOMAINS[domain]
    return holds(
        _float(LAWS[law]),
        strategy,
        mutants={name: _float(LAWS[name]) for name in mutants},
        examples=setting.scaled(100, 1000),
        seed=setting.seed,
        scope=scope,
        describe=_describe,
    )


def search_breaks(
    claim: Claim, setting: Setting, *, law: str, domain: str, controls: tuple[str, ...]
) -> Evidence:
    """Search for the smallest case that breaks a law; it must replay in exact arithmetic.

    A refutation guarantees one case in which all hypotheses are met and the law is false. The
    same search finds nothing against the controls, true laws on the same domain.
    """
    assert claim.counterexample is not None, "a refuted claim stores its counterexample"
    reference = claim.counterexample.replay
    strategy, scope = DOMAINS[domain]
    return breaks(
        _float(LAWS[law]),
        strategy,
        controls={name: _float(LAWS[name]) for name in controls},
        counterexample=lambda given: Counterexample(reference, given),
        examples=setting.scaled(200, 1000),
        seed=setting.seed,
        scope=scope,
        describe=_describe,
    )


def stored(claim: Claim, setting: Setting) -> Evidence:
    """The claim's stored counterexample, replayed; its controls are in `controls.py`."""
    assert claim.counterexample is not None, "a refuted claim stores its counterexample"
    return must_refute(claim.counterexample, controls.CONTROLS[claim.key])


def exists(
    claim: Claim, setting: Setting, *, law: str, given: Given, controls: Mapping[str, Given]
) -> Evidence:
    """One case, in exact arithmetic, in which the opposite law fails: an existence.

    A pass guarantees that case and nothing about others. The mutants are cases without the
    property, in which the opposite law holds.
    """
    finding = LAWS[law](given, EXACT)
    return Evidence(
        Outcome.SUPPORTS if finding.violated else Outcome.REFUTES,
        f"one case, {EXACT.name}",
        1,
        detail=finding.found,
        mutants=tuple(
            Mutant(name, refuted=not LAWS[law](case, EXACT).violated)
            for name, case in controls.items()
        ),
    )


def search_finds(
    claim: Claim, setting: Setting, *, law: str, domain: str, controls: tuple[str, ...]
) -> Evidence:
    """The search finds a case in which the opposite law fails, and none against true laws."""
    strategy, scope = DOMAINS[domain]
    examples = setting.scaled(200, 1000)
    found = smallest_violation(_float(LAWS[law]), strategy, examples=examples, seed=setting.seed)
    return Evidence(
        Outcome.REFUTES if found is None else Outcome.SUPPORTS,
        scope,
        examples,
        detail="no case found" if found is None else f"smallest case: {_describe(found)}",
        mutants=tuple(
            Mutant(
                f"control: {name}",
                not has_violation(
                    _float(LAWS[name]), strategy, examples=examples, seed=setting.seed
                ),
            )
            for name in controls
        ),
    )


def _float(law: Law) -> Callable[[Given], bool | None]:
    def judged(given: Given) -> bool | None:
        finding = law(given, FLOATS)
        return bool(finding.holds) if all(h.met for h in finding.hypotheses) else None

    return judged


def _describe(given: Given) -> str:
    return ", ".join(f"{name} = {value}" for name, value in given.items())
