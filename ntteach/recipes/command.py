"""`ntteach teach RECIPE`: its options, its folder, and what it says at the end.

Nothing heavy is loaded before a recipe runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntteach import __version__
from ntteach.recipes import device
from ntteach.recipes.settings import (
    SELECT,
    Settings,
    above_zero,
    epochs_or_share,
    number,
    schedule_text,
)
from ntteach.report.output import UserError, say
from ntteach.report.style import count

if TYPE_CHECKING:
    from ntteach.recipes.run import Run

RECIPES = {
    "vit": (
        "a vision transformer that classifies images",
        Settings("vit", data="digits", epochs=20, batch_size=32, lr=2e-3),
    ),
    "lm": (
        "a small Llama-style language model that predicts the characters of a text",
        Settings("lm", data="topics", epochs=4, batch_size=32, lr=5e-3),
    ),
}
_DATA = {
    "vit": "digits (scikit-learn) or faces (scikit-image)",
    "lm": "topics, the help texts that Python carries, or a text file",
}
_FILES = ("metrics.jsonl", "summary.json", "curve.png", "teacher.png", "checkpoint.pt")


def add(parser: argparse.ArgumentParser, whole: Callable[[int], Any]) -> None:
    """Give the parser a command for each recipe.

    Args:
        parser: of `ntteach teach`.
        whole: makes a parser of whole numbers of at least some number.
    """
    recipes = parser.add_subparsers(metavar="RECIPE", title="recipes")
    for name, (text, defaults) in RECIPES.items():
        _options(
            recipes.add_parser(
                name,
                help=text,
                description=f"Teach {text}. Writes {', '.join(_FILES)}.",
                allow_abbrev=False,
                # only what is given: a resumed run has the rest from its checkpoint
                argument_default=argparse.SUPPRESS,
            ),
            defaults,
            whole,
        )


def _options(parser: argparse.ArgumentParser, default: Settings, whole: Any) -> None:
    parser.set_defaults(command=command, recipe=default.recipe)

    def option(flag: str, text: str, **how: Any) -> None:
        mine = getattr(default, flag[2:].replace("-", "_"))
        told = "none" if mine is None else f"{mine:g}" if isinstance(mine, float) else mine
        parser.add_argument(flag, help=f"{text}; default: {told}", **how)

    choices = {"choices": ("digits", "faces")} if default.recipe == "vit" else {"metavar": "TEXT"}
    option("--data", _DATA[default.recipe], **choices)
    option("--epochs", "of the run", type=whole(1), metavar="N")
    option("--batch-size", "samples in a step", type=whole(1), metavar="N")
    option("--lr", "the highest learning rate", type=above_zero, metavar="X")
    option("--select", "the rule by which samples are chosen", choices=SELECT)
    option(
        "--ratio",
        "the share of the samples in a selection: .7, cosine:.2:.8, incremental:.2:.8, "
        "step:.2:.8:4 (from, to, stages)",
        type=schedule_text,
        metavar="R",
    )
    option(
        "--every",
        "epochs from one selection to the next: 1, incremental:5:50",
        type=schedule_text,
        metavar="E",
    )
    option(
        "--first",
        "teach all data in the first epoch (full), or score them and select at once",
        choices=("full", "score"),
    )
    option(
        "--final-full",
        "epochs on all data at the end, or with a point their share",
        type=epochs_or_share,
        metavar="N",
    )
    option("--floor", "the share of a selection drawn at random", type=number, metavar="X")
    option(
        "--cap",
        "samples whose score is above this quantile come last: against wrong labels",
        type=number,
        metavar="Q",
    )
    option("--temperature", "of a soft selection", type=number, metavar="X")
    option("--seed", "of the weights and of all chance", type=whole(0), metavar="N")
    option("--device", "a torch device", metavar="D")
    parser.add_argument(
        "--out", metavar="DIR", help=f"folder of the run; default: ntteach-{default.recipe}"
    )
    parser.add_argument(
        "--save-every",
        type=whole(1),
        metavar="N",
        help="steps from one checkpoint to the next, besides one after each epoch; default: 100",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint in DIR, with what that run was told",
    )


def command(args: argparse.Namespace) -> int:
    """Run a recipe, or go on with it."""
    given = vars(args)
    settings = RECIPES[args.recipe][1].changed(**_settings_in(given))
    name = given.get("out", f"ntteach-{args.recipe}")
    if "resume" not in given:
        device.require(settings.device)
    from ntteach.recipes import folder as files
    from ntteach.recipes.run import SAVE_EVERY, Job

    with files.held(name, resume="resume" in given) as folder:
        saved = None
        if "resume" in given:
            saved = files.load(folder)
            try:
                settings = Settings.of(saved.get("settings"))
            except ValueError as error:
                raise UserError(f"cannot resume the run in {name!r}: {error}") from error
            settings.must_agree(_settings_in(given), name)
            device.require(settings.device)
        job = Job(settings, folder, saved, given.get("save_every", SAVE_EVERY))
        try:
            run: Run = import_module(f"ntteach.recipes.{settings.recipe}").teach(job)
        except KeyboardInterrupt as error:
            there = (folder / files.CHECKPOINT).exists()
            then = "--resume goes on from the last checkpoint" if there else "nothing was written"
            raise UserError(f"interrupted; {then}") from error
        _finish(run)
    return 0


def _settings_in(given: dict[str, Any]) -> dict[str, Any]:
    return {field.name: given[field.name] for field in fields(Settings) if field.name in given}


def _finish(run: Run) -> None:
    """Write the summary and the plots, and say what became of the run."""
    from ntteach.recipes import folder as files
    from ntteach.report import learning

    folder, teacher = run.job.folder, run.teacher
    report, last = teacher.report(), run.rows[-1]
    summary = {
        "version": __version__,
        "torch": import_module("torch").__version__,
        "settings": asdict(run.job.settings),
        "data": {
            "name": run.data.name,
            "sha256": run.data.sha256,
            "train": len(run.data.train),
            "test": len(run.data.test),
        },
        "last": last,
        # what the same number of epochs on all data would have taught
        "full_samples": teacher.epochs * teacher.samples,
        "report": asdict(report),
    }
    files.write_json(folder / "summary.json", summary)
    learning.curve(run.rows, folder / "curve.png")
    learning.teaching(report, folder / "teacher.png")
    say(_told(run, last, str(report), folder))


def _told(run: Run, last: dict[str, Any], report: str, folder: Path) -> str:
    given, teacher = run.job.settings, run.teacher
    share = last["samples"] / (teacher.epochs * teacher.samples)
    scored = f", and {last['scored']} scored besides" if last["scored"] else ""
    lines = [
        f"{given.recipe} on {given.data}: test accuracy {last['test_accuracy']:.4f}, "
        f"loss {last['test_loss']:.4f}",
        f"  {count(last['steps'], 'step')} in {last['seconds']:.1f} s; "
        f"{share:.1%} of the samples of {count(teacher.epochs, 'full epoch')}{scored}",
        *(f"  {line}" for line in report.splitlines()),
        f"  in {folder}: {', '.join(_FILES)}",
    ]
    return "\n".join(lines)
