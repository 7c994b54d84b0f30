"""What a claim is: a statement, the checks that judge it, and the evidence they return.

Standard library only, so that listing the claims of the paper loads no numerical library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any

KINDS = (
    "definition",
    "equation",
    "lemma",
    "theorem",
    "proposition",
    "algorithm",
    "sentence",
    "table",
    "figure",
    "assumption",
    "repair",
)

# An exact argument settles the statement as it was encoded: for all shapes ("symbolic"), or
# because one exact case is enough, as for a refutation or an existence ("exact").
EXACT_WITNESSES = frozenset({"symbolic", "exact"})
# Everything else samples cases. "elementwise" is exact arithmetic at a few small shapes only.
SAMPLING_WITNESSES = frozenset(
    {
        "autograd",
        "finite-difference",
        "elementwise",
        "loops",
        "implementation",
        "search",
        "sample",
        "trend",
    }
)
WITNESSES = EXACT_WITNESSES | SAMPLING_WITNESSES

PROFILES = ("quick", "full")


class Outcome(StrEnum):
    """What one check found."""

    SUPPORTS = "supports"
    REFUTES = "refutes"
    SILENT = "silent"
    ERROR = "error"
    NOT_RUN = "not run"

    @property
    def decided(self) -> bool:
        """True for the two outcomes that take a side."""
        return self in (Outcome.SUPPORTS, Outcome.REFUTES)


class Verdict(StrEnum):
    """What all checks of a claim, and the claims it rests on, come to."""

    VERIFIED = "verified"
    CONDITIONAL = "conditional"
    SUPPORTED = "supported"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"
    VACUOUS = "vacuous"
    REFUTED = "refuted"


@dataclass(frozen=True)
class Mutant:
    """A planted error and whether the check told it from the real thing."""

    name: str
    refuted: bool


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of the statement, with the value it takes in the case at hand."""

    name: str
    value: str
    met: bool


@dataclass(frozen=True)
class Replay:
    """What a counterexample shows when it is computed again, in the arithmetic named."""

    arithmetic: str
    hypotheses: tuple[Hypothesis, ...]
    claimed: str
    found: str
    refutes: bool

    @property
    def valid(self) -> bool:
        """A refutation counts only where every hypothesis is met."""
        return self.refutes and bool(self.hypotheses) and all(h.met for h in self.hypotheses)


@dataclass(frozen=True)
class Counterexample:
    """A case as plain data (numbers as strings such as "-1/2") and the function that replays it.

    Args:
        replay: `module:function`; the function takes `given` and returns a `Replay`.
        given: JSON-able data; everything the replay needs.
    """

    replay: str
    given: Mapping[str, Any]

    def run(self) -> Replay:
        """Compute the case again from its data alone."""
        return resolve(self.replay)(self.given)


@dataclass(frozen=True)
class Evidence:
    """What a check returns.

    Args:
        outcome: supports, refutes or silent.
        scope: which cases were looked at: shapes, dtype, how they were drawn.
        cases: how many.
        margin: worst error over tolerance; at most 1 in a pass, None where nothing is measured.
        detail: one sentence for the reader.
        mutants: every planted error and whether this check caught it.
        counterexample: the case that refutes; needed for a refutation to count.
        vacuous: no case meets the hypotheses, or a term of the statement is undefined.
    """

    outcome: Outcome
    scope: str
    cases: int
    margin: float | None = None
    detail: str = ""
    mutants: tuple[Mutant, ...] = ()
    counterexample: Counterexample | None = None
    vacuous: bool = False

    def __post_init__(self) -> None:
        if self.margin is not None and math.isnan(self.margin):
            raise ValueError("margin is NaN: the check compared something that is not a number")
        if self.outcome.decided and self.cases < 1:
            raise ValueError("a check that decides has looked at least at one case, got cases=0")


@dataclass(frozen=True)
class Setting:
    """How a run was asked for; handed to every check."""

    profile: str = "quick"
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"profile is one of {', '.join(PROFILES)}, got {self.profile!r}")

    def scaled(self, quick: int, full: int) -> int:
        """The number of cases for this profile."""
        return full if self.profile == "full" else quick


@dataclass(frozen=True)
class Check:
    """One way of testing a claim, named by where its function is, so that it loads when it runs.

    Args:
        name: what is compared with what.
        witness: where the knowledge comes from, one of `WITNESSES`.
        run: `module:function`; called as `function(claim, setting, **arguments)`.
        equations: the numbers of the equations that this check decides.
        arguments: keyword arguments for the function.
        of: "statement", or "proof" for a step of the paper's own argument.
        profiles: the profiles that run it; elsewhere its outcome is "not run".
        shares: checks with the same word run in one process, as they share work.
    """

    name: str
    witness: str
    run: str
    equations: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    of: str = "statement"
    profiles: tuple[str, ...] = PROFILES
    shares: str | None = None

    def __post_init__(self) -> None:
        if self.witness not in WITNESSES:
            raise ValueError(f"check {self.name!r}: unknown witness {self.witness!r}")
        if self.of not in ("statement", "proof"):
            raise ValueError(f"check {self.name!r}: of is 'statement' or 'proof', got {self.of!r}")
        if not re.fullmatch(r"[\w.]+:\w+", self.run):
            raise ValueError(f"check {self.name!r}: run is 'module:function', got {self.run!r}")
        if not all(re.fullmatch("[0-9]+", number) for number in self.equations):
            raise ValueError(f"check {self.name!r}: equations are numbers, got {self.equations!r}")


@dataclass(frozen=True)
class Expected:
    """The recorded verdicts of one profile; `proof` is None where the paper gives no argument."""

    statement: Verdict
    proof: Verdict | None = None


def record(
    statement: str, proof: str | None = None, *, quick: tuple[str, str | None] | None = None
) -> dict[str, Expected]:
    """The recorded verdicts of both profiles; `quick` only where that profile decides less."""

    def one(statement: str, proof: str | None) -> Expected:
        return Expected(Verdict(statement), None if proof is None else Verdict(proof))

    full = one(statement, proof)
    return {"quick": one(*quick) if quick else full, "full": full}


@dataclass(frozen=True)
class Claim:
    """One statement of the paper (or a repair of one), in our own words, with its checks.

    Args:
        key: a slug that stays when numbers move.
        number: where a reader finds it: "Eq. 11", "Section 4.1".
        kind: one of `KINDS`.
        locus: section and paragraph.
        statement: what is claimed, in our own words.
        encoded: how it was made testable: quantifiers, strictness, smallest case.
        checks: what judges it.
        expected: recorded verdicts per profile.
        found: what the evidence says, in a sentence or two, for the reader.
        requires: claims that our own argument needs.
        paper_uses: claims that the paper's proof uses.
        derivation: the script in `derivations/` that can be read beside it.
        repairs: the claim that this one repairs.
        counterexample: the stored case of a refuted claim.
    """

    key: str
    number: str
    kind: str
    locus: str
    statement: str
    encoded: str
    checks: tuple[Check, ...]
    expected: Mapping[str, Expected]
    found: str = ""
    requires: tuple[str, ...] = ()
    paper_uses: tuple[str, ...] = ()
    derivation: str | None = None
    repairs: str | None = None
    counterexample: Counterexample | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.key):
            raise ValueError(f"a claim's key is a lower-case slug, got {self.key!r}")
        if self.kind not in KINDS:
            raise ValueError(f"claim {self.key!r}: unknown kind {self.kind!r}")
        if (self.kind == "repair") != (self.repairs is not None):
            raise ValueError(f"claim {self.key!r}: kind 'repair' and `repairs` go together")
        if set(self.expected) != set(PROFILES):
            raise ValueError(f"claim {self.key!r}: a recorded verdict for each profile is needed")
        names = [check.name for check in self.checks]
        if len(set(names)) != len(names):
            raise ValueError(f"claim {self.key!r}: two checks share a name")

    @property
    def has_proof(self) -> bool:
        """Whether the paper argues for it, so that there is a proof to judge."""
        return bool(self.paper_uses) or any(check.of == "proof" for check in self.checks)


def resolve(reference: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
