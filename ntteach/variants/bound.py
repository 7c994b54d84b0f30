"""`ntteach check --bound MODULE:NAME`: the sufficient reduction on a model and data of one's own.

Both sides of each form of Proposition 4 at the start and along a run of gradient descent. Proved
forms decide; that of the paper (Eq. 19) is refuted in general, so that its failing is information.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ntteach.bounds import Reduction, ReductionTrace, Summary, reductions_along
from ntteach.variants.bound_input import Setting, setting
from ntteach.variants.target import CannotCheck, drawing, importing_from, load, said


@dataclass(frozen=True)
class BoundReport:
    """What became of every form on one model and its data.

    Args:
        target: what was checked, as it was named.
        given: the model, the data and the constants.
        trace: both sides of every form at each step.
    """

    target: str
    given: Setting
    trace: ReductionTrace

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """One for each form."""
        return tuple(self.trace.summary(form) for form in self.trace.forms)

    @property
    def failed(self) -> tuple[str, ...]:
        """The proved forms that were violated."""
        return tuple(summary.form for summary in self.summaries if summary.fails)

    @property
    def holds(self) -> bool:
        """Whether no proved form was violated."""
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        """The report as the object that `ntteach check --bound --json` writes."""
        return {
            "target": self.target,
            "model": self.given.described,
            "outputs": list(self.trace.shape),
            "loss": self.given.loss.name,
            "eta": _finite(self.trace.eta),
            "tau": _finite(self.trace.tau),
            "normaliser": self.trace.normaliser,
            "moves": self.trace.moves,
            "steps": len(self.trace.steps),
            "losses": [record.loss for record in self.trace.records],
            "changes": list(self.trace.changes),
            "forms": [self._form(summary) for summary in self.summaries],
            "verdict": "holds" if self.holds else "fails",
        }

    def _form(self, summary: Summary) -> dict[str, Any]:
        found = self.trace.of(summary.form)
        return {
            "form": summary.form,
            "proved": summary.proved,
            "start": _sides(found[0]),
            "counts": dict(summary.counts),
            "worst_ratio": _finite(summary.worst_ratio),
            "worst_step": summary.worst_step,
            "left": [_finite(r.left) for r in found],
            "right": [_finite(r.right) for r in found],
        }

    def text(self) -> str:
        """The report for a terminal."""
        trace, given = self.trace, self.given
        chosen = ", half of what Eq. 19 allows at the start" if given.chosen_eta else ""
        lines = [
            self.target,
            f"  {given.described}, outputs {tuple(trace.shape)}",
            f"  loss {given.loss.name}, tau {trace.tau:.6g}",
            f"  eta {trace.eta:.6g}{chosen}",
            f"  normaliser {trace.normaliser:.6g}; gradient descent in the {trace.moves}",
            "",
            "at the start",
        ]
        for form in trace.forms:
            lines += ["", *str(trace.of(form)[0]).splitlines()]
        n = len(trace.steps)
        lines += ["", f"along {n} step{'s' if n > 1 else ''}", ""]
        lines.append(
            f"  {'form':<10}{'holds':>7}{'violated':>10}{'n. appl.':>10}{'void':>6}  worst"
        )
        for s in self.summaries:
            worst = "-" if s.worst_ratio is None else f"{s.worst_ratio:.4g} (step {s.worst_step})"
            lines.append(
                f"  {s.form:<10}{s.counts['holds']:>7}{s.counts['violated']:>10}"
                f"{s.counts['not applicable']:>10}{s.counts['void']:>6}  {worst}"
            )
        lines += [
            "",
            "worst: the decrease that is promised over the one there is; above 1 is violated.",
            *self._verdict(),
        ]
        return "\n".join(lines)

    def _verdict(self) -> list[str]:
        paper = self.trace.summary("paper").counts["violated"]
        lines = []
        if paper:
            lines.append(
                f"The paper's form is violated at {paper} of {len(self.trace.steps)} steps. It is "
                f"refuted in general, and does not decide."
            )
        if self.failed:
            lines += [
                "A proved form fails: tau is below the smoothness of the loss, or the gradients",
                "are not those of what is computed, or ntteach is at fault.",
                f"fails: {', '.join(self.failed)}",
            ]
        else:
            proved = [s for s in self.summaries if s.proved]
            held = [s.form for s in proved if s.counts["holds"]]
            void = [s.form for s in proved if s.counts["void"] and not s.counts["holds"]]
            rest = [s.form for s in proved if s.form not in held + void]
            lines += [f"promises nothing: {', '.join(void)}"] if void else []
            lines += [f"not applicable: {', '.join(rest)}"] if rest else []
            lines.append(f"holds: {', '.join(held) or 'nothing that could fail'}")
        return lines


def check_bound(
    target: object, *, steps: int | None = None, seed: int = 0, name: str | None = None
) -> BoundReport:
    """Put every form of the sufficient reduction beside what a model does.

    Args:
        target: a mapping, or a function without arguments that returns one: "model", "sequences",
            "targets", and optionally "loss", "eta", "tau", "gamma", "normaliser", "steps",
            "chosen", "start", "mask", "heads", as for `ntteach.bounds.reductions_along`.
        steps: in place of the number that the target gives; 10 if neither does.
        seed: of torch's generator while the target is called.
        name: what the report calls it.

    Raises:
        CannotCheck: a `ValueError`: what is given cannot be used, or its model raises.

    >>> report = check_bound({"model": [[1.0, 0.0], [0.0, 1 / 9]], "targets": [-0.1, -1.0]})
    >>> report.holds, report.trace.of("paper")[0].verdict
    (True, 'violated')
    """
    name = str(name or getattr(target, "__name__", type(target).__name__))
    # a warning that a model gives at each of many calls helps nobody
    with warnings.catch_warnings(), torch.inference_mode(False), drawing(seed):
        warnings.simplefilter("ignore")
        given = setting(target, name, steps)
        try:
            trace = reductions_along(
                given.model,
                given.sequences,
                given.targets,
                given.loss,
                eta=given.eta,
                steps=given.steps,
                forms=given.forms,
                tau=given.tau,
                gamma=given.gamma,
                normaliser=given.normaliser,
                chosen=given.chosen,
                start=given.start,
                mask=given.mask,
                heads=given.heads,
            )
        except (TypeError, ValueError) as error:
            raise CannotCheck(f"{name}: {error}") from error
        except (Exception, SystemExit) as error:  # the model is somebody's own
            if os.environ.get("NTTEACH_DEBUG"):
                raise
            raise CannotCheck(f"{name} raised {said(error)}") from error
    return BoundReport(name, given, trace)


def command(args: argparse.Namespace) -> int:
    """Run `ntteach check --bound`; 0: proved forms hold, 1: one fails, 2: could not run."""
    from ntteach.report.output import only_the_report_on_stdout, say

    try:
        plot = _plot(args)
        with only_the_report_on_stdout(), importing_from(Path.cwd()):
            with drawing(args.seed):
                target = load(args.target)
            report = check_bound(target, steps=args.steps, seed=args.seed, name=args.target)
    except CannotCheck as error:
        print("ntteach: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    if plot is not None:
        from ntteach.report import plots

        plots.reductions(report.trace, plot)
    if args.json:
        say(json.dumps(report.as_json(), indent=2, allow_nan=False))
    else:
        say(report.text())
    return 0 if report.holds else 1


def _plot(args: argparse.Namespace) -> str | None:
    """The file of the plot, after a trial that it can be written."""
    for option in ("shape", "causal", "laws"):
        if getattr(args, option, None):
            raise CannotCheck(f"--{option} is for a check of laws, not for one of a bound")
    if args.plot is None:
        return None
    from ntteach.report import plots

    return str(plots.plot_file(args.plot))


def _sides(r: Reduction) -> dict[str, Any]:
    return {
        "left": _finite(r.left),
        "right": _finite(r.right),
        "slack": _finite(r.slack),
        "verdict": r.verdict,
        "hypotheses": [
            {"name": name, "value": _finite(value), "met": met} for name, value, met in r.hypotheses
        ],
        "constants": {name: _finite(value) for name, value in r.constants},
    }


def _finite(number: float | None) -> float | None:
    """JSON has no word for infinity."""
    return number if number is not None and math.isfinite(number) else None
