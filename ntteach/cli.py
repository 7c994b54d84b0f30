"""The command line: `ntteach verify`, `list`, `show`, `graph`, `replay`, `check`, `teach`.

Exit status 0: every verdict as recorded; 1: one moved; 2: could not run, with one line that says
why. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from ntteach import __version__
from ntteach.claims import Claim, UnknownClaim
from ntteach.claims.model import PROFILES
from ntteach.recipes import command as recipes
from ntteach.recipes import device
from ntteach.report import as_json, claims, graph, terminal
from ntteach.report.output import (
    UserError,
    only_the_report_on_stdout,
    progress,
    say,
    writable,
    write_whole,
)
from ntteach.report.style import style_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    # More threads than cores make every check slower; must be set before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Hypothesis would leave a folder where the user happens to be.
    notes = os.path.join(tempfile.gettempdir(), f"ntteach-hypothesis-{os.getuid()}")
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", notes)
    try:
        if sys.stdout is None:
            raise UserError("standard output is closed, so there is nowhere to write the answer")
        try:
            args = _parser().parse_args(argv)
        except SystemExit:  # --help and --version have been written, perhaps not yet flushed
            say("")
            return 0
        return args.command(args)
    except (UserError, UnknownClaim) as error:
        return _cannot(str(error))
    except KeyboardInterrupt:
        return _cannot("interrupted; no verdict")
    except Exception as error:
        if os.environ.get("NTTEACH_DEBUG"):
            raise
        told = f"{type(error).__name__}: {error}".rstrip(": ")
        return _cannot(f"{told} (an error inside ntteach; NTTEACH_DEBUG=1 shows where)")


def _cannot(message: str) -> int:
    if sys.stderr is not None:
        print("ntteach: " + " ".join(message.split()), file=sys.stderr)
    return 2


def _verify(args: argparse.Namespace) -> int:
    paper = _paper()
    for key in args.keys:
        _ = paper.registry[key]  # an unknown key is told before anything is computed
    junit_file = None if args.junit is None else writable(args.junit)
    device.require(args.device)
    with only_the_report_on_stdout(), progress() as shown:
        run = paper.verify(
            args.keys or None,
            profile=args.profile,
            seed=args.seed,
            device=args.device,
            jobs=args.jobs,
            progress=shown,
        )
    if args.json:
        say(as_json.dumps(as_json.verification(run, paper.PAPER)))
    else:
        say(terminal.verification(run, paper.registry, args.keys, style_of(sys.stdout)))
    if junit_file is not None:
        from ntteach.report import junit

        write_whole(junit_file, junit.verification(run, paper.PAPER))
    return 1 if run.moved else 0


def _list(args: argparse.Namespace) -> int:
    registry = _paper().registry
    if args.json:
        say(as_json.dumps({"claims": [as_json.entry(claim) for claim in registry.values()]}))
    else:
        say(claims.listing(registry, style_of(sys.stdout)))
    return 0


def _show(args: argparse.Namespace) -> int:
    registry = _paper().registry
    claim = registry[args.key]
    if args.json:
        say(as_json.dumps(as_json.page(claim, registry)))
    else:
        say(claims.page(claim, registry, style_of(sys.stdout)))
    return 0


def _graph(args: argparse.Namespace) -> int:
    registry = _paper().registry
    if args.json:
        say(as_json.dumps(graph.as_json(registry)))
    else:
        say(graph.dot(registry) if args.dot else graph.tree(registry, style_of(sys.stdout)))
    return 0


def _replay(args: argparse.Namespace) -> int:
    registry = _paper().registry
    claim: Claim = registry[args.key]
    case = claim.counterexample
    if case is None:
        having = [key for key in registry if registry[key].counterexample is not None]
        some = f"; these have one: {', '.join(having[:5])}" if having else ""
        more = ", ..." if len(having) > 5 else ""
        raise UserError(f"claim {args.key!r} has no counterexample to replay{some}{more}")
    with only_the_report_on_stdout():
        replay = case.run()
    if args.json:
        say(as_json.dumps(as_json.replay(claim, case.given, replay)))
    else:
        say(claims.replayed(claim, case.given, replay, style_of(sys.stdout)))
    return 0 if replay.valid else 1


def _check(args: argparse.Namespace) -> int:
    if args.bound:
        return import_module("ntteach.variants.bound").command(args)
    for option in ("plot", "steps"):
        if getattr(args, option) is not None:
            raise UserError(f"--{option} is for a check of a bound: --bound")
    return import_module("ntteach.variants").command(args)


def _paper() -> Any:
    return import_module("ntteach.paper")


class _Parser(argparse.ArgumentParser):
    """An argument parser that answers bad input with one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read more."""
        raise UserError(f"{message} (see `{self.prog} --help`)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ntteach",
        description="Run the statements of a paper on teaching attention learners, and judge them.",
        epilog="Exit status: 0 every verdict as recorded, 1 one moved, 2 could not run.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ntteach {__version__}")
    parser.set_defaults(command=lambda _: _help(parser))
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    def add(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(command=function)
        return command

    def add_json(command: Any) -> None:
        command.add_argument("--json", action="store_true", help="one JSON object instead of text")

    verify = add("verify", _verify, "Compute the verdict of each claim, and compare it.")
    verify.add_argument("keys", nargs="*", metavar="KEY", help="only these, and what they rest on")
    add_json(verify)
    verify.add_argument("--junit", metavar="FILE", help="write JUnit XML besides")
    verify.add_argument("--profile", choices=PROFILES, default="quick", help="default: quick")
    verify.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="default: 0")
    verify.add_argument("--device", default="cpu", metavar="D", help="torch device; default: cpu")
    verify.add_argument(
        "--jobs",
        type=_whole(1),
        default=min(2, os.cpu_count() or 1),
        metavar="N",
        help="worker processes; default: %(default)s",
    )

    add_json(add("list", _list, "Every claim with its recorded verdict, without running it."))

    show = add("show", _show, "Everything about one claim, without running it.")
    show.add_argument("key", metavar="KEY")
    add_json(show)

    tree = add("graph", _graph, "What rests on what.")
    form = tree.add_mutually_exclusive_group()
    form.add_argument("--dot", action="store_true", help="for Graphviz")
    add_json(form)

    replay = add("replay", _replay, "Compute the counterexample of a refuted claim again.")
    replay.add_argument("key", metavar="KEY")
    add_json(replay)

    check = add(
        "check", _check, "Test the gradient and the laws of an attention of your own, or a bound."
    )
    check.add_argument(
        "target",
        metavar="MODULE:NAME",
        help="a function f(S), a torch module, or a factory without arguments; with --bound a "
        "mapping with model, sequences, targets, or a function without arguments that returns one",
    )
    check.add_argument(
        "--bound",
        action="store_true",
        help="how fast its loss falls, beside what each form of Proposition 4 promises",
    )
    check.add_argument(
        "--steps", type=_whole(1), metavar="N", help="of gradient descent, with --bound"
    )
    check.add_argument(
        "--plot", metavar="FILE", help="draw both sides, with --bound: .png .pdf .svg"
    )
    # Shape and laws are read where they are used: their words have one home.
    check.add_argument("--shape", metavar="N,L,d", help="sequences, their length, their width")
    check.add_argument("--causal", action="store_true", help="no output may see a later element")
    check.add_argument(
        "--laws",
        metavar="LAW[,LAW...]",
        help="laws that must hold: equivariance, repetition, causality, closed-form",
    )
    add_json(check)
    check.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="default: 0")

    teach = commands.add_parser(
        "teach",
        help="Train a small transformer with a teacher.",
        description="Train a small transformer with a teacher that chooses what it learns from.",
        allow_abbrev=False,
    )
    teach.set_defaults(command=lambda _: _help(teach))
    recipes.add(teach, _whole)
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    say(parser.format_help())
    return 0


def _whole(least: int) -> Any:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return int(text)

    return parse
