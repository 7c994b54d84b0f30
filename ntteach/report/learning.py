"""Plots of a run of teaching: how it learned, and what the teacher chose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ntteach.report.plots import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    empty_figure,
    plot_file,
    write_figure,
)


class Ages(Protocol):
    """A few numbers of many ages."""

    @property
    def median(self) -> float: ...
    @property
    def largest(self) -> float: ...


class Read(Protocol):
    """What the default teacher read, as `ntteach.teaching.Reading` has it: a dataclass of shares.

    All its fields are in [0, 1], or None; save `mean`, that of the scores.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def strength(self) -> float: ...


class Selected(Protocol):
    """One selection, as `ntteach.teaching.Decision` has it."""

    @property
    def epoch(self) -> int: ...
    @property
    def reading(self) -> Read | None: ...


class Taught(Protocol):
    """What a teacher did, as `ntteach.teaching.Report` has it."""

    @property
    def samples(self) -> int: ...
    @property
    def planned(self) -> Sequence[int]: ...
    @property
    def taught(self) -> Sequence[int]: ...
    @property
    def times(self) -> Sequence[int]: ...
    @property
    def score_ages(self) -> Ages | None: ...
    @property
    def decisions(self) -> Sequence[Selected]: ...


_LINES = ((RED, ":"), (GREEN, (0, (5, 1, 1, 1, 1, 1))), (GREY, "-."), (ORANGE, "--"))


def curve(rows: Sequence[Mapping[str, Any]], file: str | Path) -> Path:
    """Draw losses and test accuracy against the samples taught, an epoch a point.

    Args:
        rows: "samples", "train_loss", "test_loss", "test_accuracy" of each epoch.
        file: its ending, .png, .pdf or .svg, is the format; written whole or not at all.

    Returns:
        The file.

    Raises:
        UserError: another ending, or a file that cannot be written.
    """
    path = plot_file(str(file))
    figure = empty_figure(9.2, 3.6)
    left, right = figure.subplots(1, 2)
    samples = [row["samples"] for row in rows]
    style: dict[str, Any] = {"markersize": 4, "markevery": max(1, len(rows) // 20)}
    for axes, name, label, colour, line, marker in (
        (left, "train_loss", "on the samples taught", ORANGE, "--", "s"),
        (left, "test_loss", "on the test set", BLUE, "-", "o"),
        (right, "test_accuracy", "on the test set", BLUE, "-", "o"),
    ):
        values = [row[name] for row in rows]
        axes.plot(samples, values, line, marker=marker, color=colour, label=label, **style)
    left.set_ylabel("mean loss")
    losses = [row[name] for row in rows for name in ("train_loss", "test_loss")]
    if min(losses) > 0 and max(losses) > 10 * min(losses):  # within one decade it has no labels
        left.set_yscale("log")
    left.legend()
    right.set_ylabel("test accuracy")
    for axes in (left, right):
        _frame(axes, "samples taught")
        axes.set_xlim(left=0)
        axes.xaxis.get_major_locator().set_params(nbins=6)  # more numbers would touch
    write_figure(figure, path)
    return path


def teaching(report: Taught, file: str | Path) -> Path:
    """Draw what a teacher taught per epoch, how often each sample, and what it read, if it did.

    Args:
        report: what `Teacher.report` returns.
        file: as for `curve`.

    Returns:
        The file.

    Raises:
        UserError: as `curve`.
    """
    path = plot_file(str(file))
    read = [(made.epoch, made.reading) for made in report.decisions if made.reading is not None]
    count = 3 if read else 2
    figure = empty_figure(4.6 * count, 3.6)
    panels = figure.subplots(1, count)
    _epochs(panels[0], report)
    _times(panels[1], report)
    if read:
        _readings(panels[2], read, len(report.planned))
    write_figure(figure, path)
    return path


def _epochs(axes: Any, report: Taught) -> None:
    places = range(len(report.planned))
    axes.bar(places, report.planned, width=0.9, color="none", edgecolor=GREY, label="planned")
    taught = report.taught
    axes.bar(range(len(taught)), taught, width=0.9, color=BLUE, alpha=0.6, label="taught")
    made = [decision.epoch for decision in report.decisions]
    if made:
        below = [-0.03 * report.samples] * len(made)
        axes.plot(made, below, "^", color=RED, markersize=4, label="selected anew")
    axes.axhline(report.samples, color=GREY, linestyle=":", linewidth=1)
    axes.set_ylim(-0.07 * report.samples, 1.3 * report.samples)
    axes.legend(loc="upper center", ncols=3, fontsize=8, columnspacing=1, handletextpad=0.5)
    _frame(axes, "epoch", ticks=True)
    axes.set_ylabel("samples")
    axes.set_title(f"{sum(taught)} samples taught, {sum(report.planned)} planned", fontsize=10)


def _times(axes: Any, report: Taught) -> None:
    axes.bar(range(len(report.times)), report.times, width=0.9, color=BLUE, alpha=0.6)
    mean = sum(n * count for n, count in enumerate(report.times)) / max(1, sum(report.times))
    axes.axvline(mean, color=ORANGE, linestyle="--", label=f"mean {mean:.1f}")
    axes.legend(fontsize=8)
    _frame(axes, "times taught", ticks=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("samples")
    ages = report.score_ages
    told = "none" if ages is None else f"median {ages.median:g}, largest {ages.largest:g}"
    axes.set_title(f"how often each was taught\nepochs since it was scored: {told}", fontsize=9)


def _readings(axes: Any, read: Sequence[tuple[int, Read]], epochs: int) -> None:
    places = [epoch for epoch, _ in read]
    # the strength last, on top of what it was made of
    shares = [*sorted(asdict(read[0][1]).keys() - {"mean", "strength"}), "strength"]
    for n, name in enumerate(shares):
        colour, line = (BLUE, "-") if name == "strength" else _LINES[n % len(_LINES)]
        values = [getattr(reading, name) for _, reading in read]
        drawn = [math.nan if value is None else value for value in values]
        if all(value is None for value in values):
            continue
        width = 2.5 if name == "strength" else 1.2
        axes.plot(places, drawn, linestyle=line, color=colour, linewidth=width, label=name)
        if len(read) == 1:  # a line of one point shows nothing
            axes.plot(places, drawn, "o", color=colour, markersize=3 + 2 * (name == "strength"))
    axes.legend(loc="upper center", ncols=3, fontsize=8, columnspacing=1)
    _frame(axes, "epoch", ticks=True)
    axes.set_xlim(-0.5, epochs - 0.5)
    axes.set_ylim(-0.05, 1.4)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_title("read from the scores: how strongly to choose", fontsize=10)


def _frame(axes: Any, label: str, *, ticks: bool = False) -> None:
    axes.set_xlabel(label)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    if ticks:
        # one tick will do, else a single epoch gets fractions around it
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
