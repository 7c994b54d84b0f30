"""Checks of the sentences around the equations: laws searched, found broken, or shown to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis.strategies import SearchStrategy

from ntteach.checks.replay import replays
from ntteach.checks.search import breaks, has_violation, holds, smallest_violation
from ntteach.claims import Claim, Counterexample, Evidence, Mutant, Outcome, Setting
from ntteach.paper.evidence import (
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
)
from ntteach.paper.evidence.arithmetic import BLOCKS, EXACT, FLOATS, Finding, Law

Given = Mapping[str, Any]
Domain = tuple[list[SearchStrategy[dict[str, Any]]], str]


# L, d, v from the smallest up: a law that fails is shown on the first rung where it does.
RUNGS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (3, 1, 1), (2, 2, 1), (2, 1, 2), (3, 2, 1), (3, 2, 2))
Extra = Callable[[st.DrawFn, int, int, int], dict[str, Any]]


def ladder(
    *, v: int = 1, mask: str | None = None, extra: Extra | None = None
) -> list[SearchStrategy[dict[str, Any]]]:
    """Cases as plain data, with small whole entries, smallest shapes first."""
    return [_case(*rung, mask, extra) for rung in RUNGS if rung[2] <= v]


@st.composite
def _case(
    draw: st.DrawFn, L: int, d: int, v: int, mask: str | None, extra: Extra | None
) -> dict[str, Any]:
    given: dict[str, Any] = {
        "S": [_vector(draw, d) for _ in range(L)],
        "W_Q": [_vector(draw, d) for _ in range(d)],
        "W_K": [_vector(draw, d) for _ in range(d)],
        "W_V": [_vector(draw, v) for _ in range(d)],
    }
    if mask is not None:
        given["mask"] = mask
    return given | (extra(draw, L, d, v) if extra else {})


def _vector(draw: st.DrawFn, size: int) -> list[int]:
    return draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))


def _order(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"order": draw(st.permutations(range(L)))}


def _repeats(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    grad = [_vector(draw, v) for _ in range(L)]
    return {"repeats": draw(st.integers(2, 3)), "output_grad": grad}


def _other(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"changed": draw(st.integers(0, L - 1)), "other": _vector(draw, d)}


def _more(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"more": [_vector(draw, d) for _ in range(draw(st.integers(1, 2)))]}


def _padding(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"padding": draw(st.integers(1, 2))}


def _sharpen(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"sharpen": draw(st.integers(2, 4))}


def _others(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    count = draw(st.integers(0, 2))
    weights = [draw(st.integers(-1, 1)) for _ in range((1 + count) * L * v)]
    return {"others": [_sequence(draw, L, d) for _ in range(count)], "direction": weights}


def _again(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"again": draw(st.integers(0, L - 1))}


def _basis(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    return {"basis": _sequence(draw, d, d)}


def _orthogonal(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    signs = [[[1]], [[-1]]]
    turns = [[["3/5", "4/5"], ["-4/5", "3/5"]], [[0, 1], [1, 0]], [[1, 0], [0, -1]]]
    return {"basis": draw(st.sampled_from(signs if d == 1 else turns))}


def _two_orders(draw: st.DrawFn, L: int, d: int, v: int) -> dict[str, Any]:
    second = {"second": _sequence(draw, L, d), "other_order": draw(st.permutations(range(L)))}
    return _order(draw, L, d, v) | second


def _sequence(draw: st.DrawFn, L: int, d: int) -> list[list[int]]:
    return [_vector(draw, d) for _ in range(L)]


_LOSSES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=2, max_size=3).map(
    lambda losses: {"losses": losses}
)

_EQUAL_LOSSES = st.integers(1, 3).flatmap(
    lambda L: st.lists(
        st.lists(st.integers(0, 3), min_size=L, max_size=L), min_size=2, max_size=3
    ).map(lambda losses: {"losses": losses})
)

_ATTENTION: dict[str, tuple[list[SearchStrategy[dict[str, Any]]], str]] = {
    "plain": (ladder(), "v = 1"),
    "two columns": (ladder(v=2), "v to 2"),
    "order": (ladder(v=2, extra=_order), "v to 2, any reordering"),
    "causal order": (
        ladder(v=2, mask="causal", extra=_order),
        "v to 2, causal mask, any reordering",
    ),
    "repeats": (ladder(v=2, extra=_repeats), "v to 2, 2 or 3 copies"),
    "causal repeats": (
        ladder(v=2, mask="causal", extra=_repeats),
        "v to 2, causal mask, 2 or 3 copies",
    ),
    "other": (ladder(v=2, extra=_other), "v to 2, one element replaced"),
    "more": (ladder(v=2, extra=_more), "v to 2, 1 or 2 elements appended"),
    "padding": (ladder(v=2, extra=_padding), "v to 2, 1 or 2 zero elements appended"),
    "sharpen": (ladder(extra=_sharpen), "v = 1, W_Q times 2 to 4"),
    "sequences": (
        ladder(v=2, extra=_others),
        "v to 2, 1 to 3 sequences, outputs weighed by -1, 0 and 1",
    ),
    "again": (ladder(v=2, extra=_again), "v to 2, one token again at the end"),
    "basis": (ladder(v=2, extra=_basis), "v to 2, whole-numbered changes of basis"),
    "orthogonal basis": (
        ladder(v=2, extra=_orthogonal),
        "v to 2, reflections, exchanges and one rotation",
    ),
    "two orders": (ladder(v=2, extra=_two_orders), "v to 2, two sequences, any reorderings"),
    "two causal orders": (
        ladder(v=2, mask="causal", extra=_two_orders),
        "v to 2, two sequences under a causal mask, any reorderings",
    ),
}

# Each domain: strategies that draw cases as plain data, smallest first, and what they draw.
DOMAINS: dict[str, Domain] = {
    **{
        name: (strategies, f"float64, one head, L to 3, d to 2, entries -2 to 2, {words}")
        for name, (strategies, words) in _ATTENTION.items()
    },
    "equal losses": ([_EQUAL_LOSSES], "2 or 3 sequences of 1 to 3 losses, all of one length"),
    "losses": ([_LOSSES], "2 or 3 sequences of 1 to 3 losses"),
    **loss_laws.DOMAINS,
    **reduction_laws.DOMAINS,
    **reduction_proof_laws.DOMAINS,
    **reduction_condition_laws.DOMAINS,
    **limit_domains.DOMAINS,
    **space_laws.DOMAINS,
    **space_kernel_laws.DOMAINS,
    **space_learning_laws.DOMAINS,
    **selection_domains.DOMAINS,
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
    """The claim's stored counterexample, replayed; its controls are in `controls.py`.

    A stored case that refutes nothing is an error, whatever a search finds: a reader replays it.
    """
    assert claim.counterexample is not None, "a refuted claim stores its counterexample"
    found = replays(claim.counterexample, controls.CONTROLS[claim.key])
    return replace(found, outcome=Outcome.REFUTES, counterexample=claim.counterexample)


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
