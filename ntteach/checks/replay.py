"""A stored counterexample, computed again exactly; and the controls that it must leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ntteach.claims import Counterexample, Evidence, Mutant, Outcome


def replays(counterexample: Counterexample, controls: Mapping[str, Mapping[str, Any]]) -> Evidence:
    """Replay a stored case.

    A refutation says: in this case, every hypothesis is met and the claim fails, in exact
    arithmetic. The mutants of such a check are controls: cases on which the same replay must
    not refute, because the claim holds there or a hypothesis is not met.

    Args:
        counterexample: the stored case.
        controls: data for the same replay function, by name.
    """
    replay = counterexample.run()
    planted = tuple(
        Mutant(f"control: {name}", not Counterexample(counterexample.replay, given).run().valid)
        for name, given in controls.items()
    )
    detail = f"claimed {replay.claimed}; found {replay.found}"
    scope = f"one case, {replay.arithmetic}"
    if not replay.valid:
        return Evidence(Outcome.SUPPORTS, scope, 1, detail=detail, mutants=planted)
    return Evidence(
        Outcome.REFUTES,
        scope,
        1,
        detail=detail,
        mutants=planted,
        counterexample=counterexample,
    )


def must_refute(
    counterexample: Counterexample, controls: Mapping[str, Mapping[str, Any]]
) -> Evidence:
    """Replay a case that a claim stores against itself; arguments as `replays`.

    A case that refutes nothing becomes an error, whatever other checks find: a reader replays it.
    """
    found = replays(counterexample, controls)
    return replace(found, outcome=Outcome.REFUTES, counterexample=counterexample)
