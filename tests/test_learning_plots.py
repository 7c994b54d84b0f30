"""The plots of a run of teaching draw the numbers that they are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ntteach.report import learning
from ntteach.report.output import UserError


@dataclass(frozen=True)
class Ages:
    median: float = 1.0
    largest: float = 7.0


@dataclass(frozen=True)
class Read:
    mean: float
    learned: float
    lasting: float | None
    strength: float


@dataclass(frozen=True)
class Made:
    epoch: int
    reading: Read | None = None


@dataclass(frozen=True)
class Taught:
    samples: int = 10
    planned: tuple[int, ...] = (10, 4, 4, 6)
    taught: tuple[int, ...] = (10, 4, 1)
    times: tuple[int, ...] = (0, 6, 3, 1)
    score_ages: Ages | None = Ages()
    decisions: tuple[Made, ...] = (Made(1), Made(3))


READ = (Made(1, Read(2.5, 0.25, 0.75, 0.0)), Made(3, Read(0.9, 0.5, None, 0.375)))
ROWS = [
    {"samples": 10, "train_loss": 2.0, "test_loss": 1.5, "test_accuracy": 0.5},
    {"samples": 14, "train_loss": 0.1, "test_loss": 0.3, "test_accuracy": 0.75},
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are written."""
    kept: list[Any] = []
    write = learning.write_figure

    def keep(figure: Any, path: Path) -> None:
        kept.append(figure)
        write(figure, path)

    monkeypatch.setattr(learning, "write_figure", keep)
    return kept


def lines(axes: Any) -> dict[str, list[tuple[float, float]]]:
    return {
        line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in axes.lines
    }


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_curve_has_each_epoch_of_each_metric(tmp_path: Path, figures: list[Any]):
    file = learning.curve(ROWS, tmp_path / "a.png")
    assert file.read_bytes()[:4] == b"\x89PNG"
    left, right = figures[0].axes
    assert lines(left) == {
        "on the samples taught": [(10, 2.0), (14, 0.1)],
        "on the test set": [(10, 1.5), (14, 0.3)],
    }
    assert lines(right) == {"on the test set": [(10, 0.5), (14, 0.75)]}
    assert (left.get_yscale(), right.get_yscale()) == ("log", "linear")
    assert (left.get_ylabel(), right.get_ylabel()) == ("mean loss", "test accuracy")
    assert {axes.get_xlabel() for axes in (left, right)} == {"samples taught"}
    # within one decade a log axis would have no labels
    learning.curve([{**row, "train_loss": 1.0} for row in ROWS], tmp_path / "b.png")
    assert figures[1].axes[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:1],
        [{**ROWS[0], "train_loss": float("nan"), "test_loss": float("inf")}],
        [{**row, "train_loss": 0.0} for row in ROWS],
    ],
)
def test_a_curve_of_one_epoch_or_of_losses_that_are_no_numbers(
    rows: list[dict[str, Any]], tmp_path: Path
):
    assert learning.curve(rows, tmp_path / "a.svg").stat().st_size > 1000


def test_what_was_taught_is_drawn(tmp_path: Path, figures: list[Any]):
    learning.teaching(Taught(), tmp_path / "a.png")
    epochs, times = figures[0].axes  # a rule that reads nothing has no third panel
    assert [bar.get_height() for bar in epochs.patches] == [10, 4, 4, 6, 10, 4, 1]
    assert [x for x, _ in lines(epochs)["selected anew"]] == [1, 3]
    assert epochs.get_title() == "15 samples taught, 24 planned"
    assert set(texts(epochs)) == {"planned", "taught", "selected anew"}
    assert [bar.get_height() for bar in times.patches] == [0, 6, 3, 1]
    assert [bar.get_x() + bar.get_width() / 2 for bar in times.patches] == pytest.approx(range(4))
    assert texts(times) == ["mean 1.5"]
    assert "median 1, largest 7" in times.get_title()


def test_a_single_epoch_has_no_fractions(tmp_path: Path, figures: list[Any]):
    one = Taught(planned=(10,), taught=(10,), times=(0, 10), decisions=())
    learning.teaching(one, tmp_path / "a.png")
    for axes in figures[0].axes:
        assert all(float(x).is_integer() for x in axes.get_xticks())


def test_what_was_read_is_drawn(tmp_path: Path, figures: list[Any]):
    learning.teaching(Taught(decisions=READ), tmp_path / "a.png")
    panel = figures[0].axes[2]
    drawn = lines(panel)
    assert drawn["learned"] == [(1, 0.25), (3, 0.5)]
    assert drawn["strength"] == [(1, 0.0), (3, 0.375)]
    assert drawn["lasting"][0] == (1, 0.75)
    assert math.isnan(drawn["lasting"][1][1])
    assert texts(panel) == ["lasting", "learned", "strength"]
    widths = {line.get_label(): line.get_linewidth() for line in panel.lines}
    assert max(widths, key=lambda name: widths[name]) == "strength"
    learning.teaching(Taught(decisions=READ[1:]), tmp_path / "c.png")
    assert texts(figures.pop().axes[2]) == ["learned", "strength"]  # what was never read
    # a line of one point shows nothing: there it has a mark
    learning.teaching(Taught(decisions=READ[:1]), tmp_path / "b.png")
    marks = [line.get_marker() for line in figures[1].axes[2].lines]
    assert marks.count("o") == 3


def test_a_teacher_that_has_not_begun_is_drawn(tmp_path: Path):
    none = Taught(taught=(), times=(10,), score_ages=None, decisions=())
    assert learning.teaching(none, tmp_path / "a.pdf").read_bytes()[:5] == b"%PDF-"


def test_the_same_report_gives_the_same_file(tmp_path: Path):
    first = learning.teaching(Taught(), tmp_path / "a.png").read_bytes()
    assert learning.teaching(Taught(), tmp_path / "b.png").read_bytes() == first
    assert learning.teaching(Taught(taught=(10,)), tmp_path / "c.png").read_bytes() != first


def test_a_file_that_cannot_be_a_plot_is_refused(tmp_path: Path):
    for draw in (lambda f: learning.curve(ROWS, f), lambda f: learning.teaching(Taught(), f)):
        with pytest.raises(UserError, match=r"\.png, \.pdf, \.svg"):
            draw(tmp_path / "a.gif")
        with pytest.raises(UserError, match="no folder"):
            draw(tmp_path / "none" / "a.png")
