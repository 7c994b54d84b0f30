"""Plots; the only place that imports matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ntteach.report.output import UserError, writable, write_whole

# distinct also to those who tell no red from green, and by shape
BLUE, ORANGE, RED, GREY, GREEN = "#0072b2", "#e69f00", "#c1121f", "#777777", "#009e73"
_THERE, _PROMISED, _WRONG, _MEASURED = BLUE, ORANGE, RED, GREY
_SIZES = {"o": 5, ".": 4, "_": 9, "D": 6, "X": 8}
_FORMATS = ("png", "pdf", "svg")


class Sides(Protocol):
    """One inequality at one step."""

    @property
    def left(self) -> float: ...
    @property
    def right(self) -> float: ...
    @property
    def verdict(self) -> str: ...


class Trace(Protocol):
    """Inequalities along a run, as `ntteach.bounds.ReductionTrace` has them."""

    @property
    def forms(self) -> Sequence[str]: ...
    @property
    def steps(self) -> Sequence[int]: ...
    @property
    def changes(self) -> Sequence[float]: ...
    def of(self, form: str, /) -> Sequence[Sides]: ...


def reductions(trace: Trace, file: str | Path) -> Path:
    """Draw both sides of each form along a run, on a log scale, violated steps marked.

    Drawn are decreases: what the loss does fall by, `-left`, and what the form promises, `-right`.
    The form is violated where the promise is above, which a cross marks besides the colour. Steps
    whose hypotheses are unmet are hollow; a side that is no decrease cannot be drawn, and the title
    counts such steps.

    Args:
        trace: what `ntteach.bounds.reductions_along` returns.
        file: its ending, .png, .pdf or .svg, is the format; written whole or not at all.

    Returns:
        The file.

    Raises:
        UserError: another ending, or a file that cannot be written.
    """
    path = plot_file(str(file))
    write_figure(_figure(trace), path)
    return path


def plot_file(file: str) -> Path:
    """The file as a path that can be written, of a format that there is; raises as `reductions`."""
    if Path(file).suffix[1:].lower() not in _FORMATS:
        raise UserError(f"a plot is written as .{', .'.join(_FORMATS)}, got {file!r}")
    return writable(file)


def empty_figure(width: float, height: float) -> Any:
    """A figure of that many inches to draw on."""
    # the object, not pyplot: no window system is looked for and no state is left behind
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_figure(figure: Any, path: Path) -> None:
    """Write a figure whole or not at all; the same figure gives the same file."""
    buffer = io.BytesIO()
    undated = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    kind = path.suffix[1:].lower()
    figure.savefig(buffer, format=kind, dpi=150, metadata=undated[kind])
    write_whole(path, buffer.getvalue())


def _figure(trace: Trace) -> Any:
    columns = min(len(trace.forms), 2)
    rows = math.ceil(len(trace.forms) / columns)
    figure = empty_figure(5.2 * columns, 3.1 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten().tolist()
    for form, axes in zip(trace.forms, panels, strict=False):
        _panel(axes, form, trace)
    for axes in panels[len(trace.forms) :]:
        axes.remove()
    handles: dict[str, Any] = {}
    for axes in panels[: len(trace.forms)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    return figure


def _panel(axes: Any, form: str, trace: Trace) -> None:
    found = list(zip(trace.steps, trace.of(form), strict=True))

    def right(*verdicts: str) -> list[tuple[int, float]]:
        return [(step, r.right) for step, r in found if r.verdict in verdicts]

    wrong, unmet = right("violated"), right("not applicable")
    promised = [(step, r.right) for step, r in found]
    _line(
        axes, [(s, r.left) for s, r in found], "left side: the decrease there is", _THERE, "-", "o"
    )
    _line(axes, promised, "right side: the decrease promised", _PROMISED, "--", ".")
    _line(axes, unmet, "... a hypothesis is unmet", _PROMISED, "", "D")
    _line(axes, wrong, "... violated", _WRONG, "", "X")
    if form != "subset":  # the run's own steps are on all
        measured = list(zip(trace.steps, trace.changes, strict=True))
        _line(axes, measured, "measured change of the loss", _MEASURED, ":", "_")
    axes.set_yscale("log")
    _widen(axes)
    axes.set_xlabel("step of gradient descent")
    axes.set_ylabel("decrease of the loss")
    axes.tick_params(labelbottom=True)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25)
    told = [f"violated at {len(wrong)} of {len(found)} steps"]
    told += [f"a hypothesis unmet at {len(unmet)}"] if unmet else []
    silent = sum(not side < 0 for _, side in right("holds", "void"))
    told += [f"promises nothing at {silent}"] if silent else []
    axes.set_title(f"{form}: {', '.join(told)}", fontsize=9)


def _line(
    axes: Any,
    points: Sequence[tuple[int, float]],
    label: str,
    colour: str,
    style: str,
    marker: str,
) -> None:
    """Decreases; a step without one leaves a gap."""
    drawn = sum(side < 0 for _, side in points)
    if not drawn:
        return
    # on a long line they would hide each other; a point that no line goes through is all there is
    alone = not style or drawn < len(points)
    axes.plot(
        [step for step, _ in points],
        [-side if side < 0 else math.nan for _, side in points],
        color=colour,
        linestyle=style or "none",
        linewidth=2.5 if marker == "o" else 1.2,
        marker=marker,
        markersize=_SIZES[marker],
        markerfacecolor="none" if marker == "D" else colour,
        markevery=1 if alone else max(1, len(points) // 20),
        label=label,
    )


def _widen(axes: Any) -> None:
    """Room around what is one step, or one height: limits next to each other cannot be labelled."""
    x = [n for line in axes.lines for n in line.get_xdata()]
    y = [n for line in axes.lines for n in line.get_ydata()]
    heights = [n for n in y if n > 0]
    if x and min(x) == max(x):
        axes.set_xlim(x[0] - 1, x[0] + 1)
    if heights and max(heights) < 1.02 * min(heights):
        axes.set_ylim(min(heights) / 1.1, max(heights) * 1.1)
