"""Run checks and compute verdicts; the command line, pytest and Python users all come here."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

from ntteach.claims.model import Check, Claim, Expected, Outcome, Setting, Verdict, resolve
from ntteach.claims.registry import Registry
from ntteach.claims.verdict import CheckResult, failing_steps, judge, verdicts

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its two verdicts and the evidence behind them."""

    claim: Claim
    statement: Verdict
    proof: Verdict | None
    expected: Expected
    checks: tuple[CheckResult, ...]
    failing: tuple[str, ...]

    @property
    def moved(self) -> bool:
        """Whether a verdict is not the recorded one, in either direction, or a check broke."""
        broke = any(check.outcome is Outcome.ERROR for check in self.checks)
        return broke or (self.statement, self.proof) != (
            self.expected.statement,
            self.expected.proof,
        )

    @property
    def seconds(self) -> float:
        """Time spent in its checks."""
        return sum(check.seconds for check in self.checks)


@dataclass(frozen=True)
class Run:
    """All claims of one run, in the paper's order."""

    setting: Setting
    environment: Mapping[str, object]
    claims: tuple[ClaimResult, ...]
    seconds: float

    @property
    def moved(self) -> tuple[str, ...]:
        """Keys of the claims whose verdict is not the recorded one."""
        return tuple(result.claim.key for result in self.claims if result.moved)

    @cached_property
    def equations_covered(self) -> tuple[str, ...]:
        """Numbers of the equations that some check decided, counted from the evidence."""
        covered = {n for result in self.claims for check in result.checks for n in check.covers}
        return tuple(sorted(covered, key=int))

    @cached_property
    def by_verdict(self) -> dict[str, int]:
        """How many claims have each Statement verdict."""
        counts = dict.fromkeys((str(verdict) for verdict in Verdict), 0)
        for result in self.claims:
            counts[result.statement] += 1
        return {verdict: count for verdict, count in counts.items() if count}


def run(
    registry: Registry,
    keys: Iterable[str] | None = None,
    setting: Setting | None = None,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Run every check of the named claims, and of all that they rest on, and judge them.

    Args:
        registry: the claims.
        keys: which claims; all of them if None.
        setting: profile, seed and device.
        jobs: worker processes; 1 runs everything here.
        progress: called as `progress(done, total, name)` after each check.

    Raises:
        UnknownClaim: a key that the registry does not have.
        ValueError: `jobs` is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs is at least 1, got {jobs}")
    setting = setting or Setting()
    wanted = registry.closure(registry if keys is None else keys)
    start = perf_counter()
    todo = [(registry[key], check) for key in wanted for check in registry[key].checks]
    judged = _execute_all(todo, setting, jobs, progress)

    assumptions = [key for key in wanted if registry[key].kind == "assumption"]
    known: dict[str, Verdict] = {}
    results: dict[str, ClaimResult] = {}
    for key in registry.order:
        if key not in wanted:
            continue
        claim = registry[key]
        checks = tuple(judged[key, check.name] for check in claim.checks)
        statement, proof = verdicts(claim, checks, known, assumptions)
        known[key] = statement
        results[key] = ClaimResult(
            claim,
            statement,
            proof,
            claim.expected[setting.profile],
            checks,
            failing_steps(claim, checks, known),
        )
    return Run(
        setting,
        environment(setting),
        tuple(results[key] for key in wanted),
        perf_counter() - start,
    )


def execute(claim: Claim, check: Check, setting: Setting) -> CheckResult:
    """Run one check; whatever it raises becomes the outcome "error"."""
    if setting.profile not in check.profiles:
        return CheckResult(check, Outcome.NOT_RUN, detail=f"left out of profile {setting.profile}")
    start = perf_counter()
    try:
        evidence = resolve(check.run)(claim, setting, **check.arguments)
        result = judge(check, evidence)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        detail = f"{type(error).__name__} in {place}: {error}"
        result = CheckResult(check, Outcome.ERROR, detail=" ".join(detail.split()))
    return replace(result, seconds=perf_counter() - start)


def _execute_all(
    todo: list[tuple[Claim, Check]], setting: Setting, jobs: int, progress: Progress | None
) -> dict[tuple[str, str], CheckResult]:
    judged: dict[tuple[str, str], CheckResult] = {}

    def note(claim: Claim, check: Check, result: CheckResult) -> None:
        judged[claim.key, check.name] = result
        if progress is not None:
            progress(len(judged), len(todo), f"{claim.key}: {check.name}")

    if jobs == 1 or len(todo) < 2:
        for claim, check in todo:
            note(claim, check, execute(claim, check, setting))
        return judged
    # "spawn": a fork of a process whose libraries already run threads may hang.
    spawn = get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(todo)), spawn, _die_when_interrupted) as pool:
        futures = {pool.submit(_execute_group, group, setting): group for group in _groups(todo)}
        try:
            for future in as_completed(futures):
                group = futures[future]
                try:
                    results = future.result()
                except Exception as error:  # the worker died, or its evidence cannot travel
                    detail = f"no answer from its process: {type(error).__name__}: {error}"
                    broken = " ".join(detail.split())
                    results = [CheckResult(c, Outcome.ERROR, detail=broken) for _, c in group]
                for (claim, check), result in zip(group, results, strict=True):
                    note(claim, check, result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # else leaving runs all that is left
            raise
    return judged


def _groups(todo: list[tuple[Claim, Check]]) -> list[list[tuple[Claim, Check]]]:
    """Checks that share work stay together, in one process; the large groups come first."""
    groups: dict[object, list[tuple[Claim, Check]]] = {}
    for claim, check in todo:
        groups.setdefault(check.shares or (claim.key, check.name), []).append((claim, check))
    return sorted(groups.values(), key=len, reverse=True)


def _execute_group(group: list[tuple[Claim, Check]], setting: Setting) -> list[CheckResult]:
    return [execute(claim, check, setting) for claim, check in group]


def _die_when_interrupted() -> None:
    # Ctrl-C reaches the workers too; the parent speaks for them, so none prints a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(setting: Setting) -> dict[str, object]:
    """What the numbers of a run may depend on."""
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "device": setting.device,
        "dtype": "float64",
        "seed": setting.seed,
        "commit": _commit(),
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this code runs from; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", os.fspath(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
