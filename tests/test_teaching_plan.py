"""Schedules and plans: what a run will teach, against formulas, fractions and counting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
import teaching_laws as laws
from hypothesis import assume, given, settings
from teaching_laws import LIBRARY

from ntteach.teaching import Plan, Teacher, constant, cosine, incremental, plan, step

INF, NAN = float("inf"), float("nan")
LAWS = [
    laws.schedules_follow_the_published_formulas,
    laws.step_changes_where_the_fraction_says,
    laws.epochs_have_the_planned_sizes,
    laws.intervals_are_rounded_down,
    laws.total_steps_are_those_taken,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(LIBRARY)


# --- schedules ----------------------------------------------------------------------------------

RISES = {"cosine": cosine, "incremental": incremental, "step": lambda a, b: step(a, b, 7)}
ends = st.floats(0.01, 100)


@pytest.mark.parametrize("name", RISES)
@given(ends, ends)
@settings(max_examples=40)
def test_a_schedule_meets_both_ends_and_goes_one_way(name, start, end):
    schedule = RISES[name](start, end)
    assert (schedule(0.0), schedule(1.0)) == (start, end)
    values = [schedule(i / 97) for i in range(98)]
    low, high = min(start, end), max(start, end)
    assert all(low * (1 - 1e-12) <= value <= high * (1 + 1e-12) for value in values)
    steps = [(b - a) * (1 if end >= start else -1) for a, b in pairwise(values)]
    assert min(steps) >= -1e-12 * high


@given(ends, st.floats(0, 1))
@settings(max_examples=100)
def test_a_schedule_between_equal_ends_is_constant_to_the_last_bit(value, progress):
    for schedule in (constant(value), *(rise(value, value) for rise in RISES.values())):
        assert schedule(progress) == value


def test_a_constant_ratio_teaches_as_many_in_each_epoch():
    """0.5 * 25 is a tie of rounding, which one bit would break."""
    for ratio in (0.3, 0.5, 0.7, 0.9):
        assert len(set(plan(25, 60, constant(ratio), constant(1)).sizes[1:])) == 1


def test_ten_stages_from_a_fifth_are_those_of_int():
    """0.2, 0.28, ..., 0.92: mean 0.56, each for a tenth of the run."""
    schedule = step(0.2, 0.92, 10)
    # off the edges of the stages, so that no rounding decides
    values = [schedule((i + 0.5) / 1000) for i in range(1000)]
    assert sum(values) / 1000 == pytest.approx(0.56)
    for stage in range(10):
        assert values[100 * stage : 100 * stage + 100] == pytest.approx([0.2 + 0.08 * stage] * 100)


def test_a_cosine_is_flat_at_its_ends_and_steepest_in_the_middle():
    schedule = cosine(0.2, 0.8)
    first, middle, last = (schedule(p + 0.01) - schedule(p) for p in (0.0, 0.495, 0.99))
    assert first == pytest.approx(last)
    assert middle == pytest.approx(0.6 * math.pi / 2 * 0.01, rel=1e-3)
    assert first < 0.02 * middle


def test_schedules_are_values():
    assert cosine(0.2, 0.8) == cosine(0.2, 0.8) != incremental(0.2, 0.8)
    with pytest.raises(AttributeError):
        constant(0.7).start = 0.8  # pyright: ignore[reportAttributeAccessIssue]


# --- sizes and cycles ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "ratio", "size"),
    [
        (100, 0.29, 29),
        (10, 0.25, 3),
        (10, 0.24, 2),
        (3, 0.01, 1),
        (1, 0.5, 1),
        (7, 1.0, 7),
        (7, 1, 7),
    ],
)
def test_sizes_are_rounded_to_the_nearest(samples, ratio, size):
    assert Teacher(samples, epochs=2, ratio=ratio).plan.sizes == (samples, size)


@given(st.integers(1, 10**9), st.floats(0.001, 1))
def test_a_size_is_within_half_a_sample_of_the_share(samples, ratio):
    size = plan(samples, 1, constant(ratio), constant(1), first="score").sizes[0]
    assert 1 <= size <= samples
    assert size == 1 or abs(size - Fraction(ratio) * samples) <= Fraction(1, 2) + Fraction(1, 10**6)


PUBLISHED = {
    "cosine": (cosine, lambda p: 0.2 + 0.6 * (1 - math.cos(math.pi * p)) / 2),
    "incremental": (incremental, lambda p: 0.2 + 0.6 * p),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_cycles_have_the_ratios_of_the_published_code(name):
    """Cycle c of C = 10 has the ratio at p = c / (C - 1): from 0.2 to 0.8, both ends reached."""
    schedule, formula = PUBLISHED[name]
    laid = plan(1000, 51, schedule(0.2, 0.8), constant(5))
    assert laid.cycles == (-1, *(c for c in range(10) for _ in range(5)))
    for c in range(10):
        assert laid.sizes[1 + 5 * c : 6 + 5 * c] == (round(1000 * formula(c / 9)),) * 5


def test_the_budget_of_the_language_model_recipe():
    """The first epoch full, then 70 % in four: 3.8 of 5, 24 % fewer samples."""
    teacher = Teacher(1000, epochs=5, ratio=0.7)
    assert teacher.plan.sizes == (1000, 700, 700, 700, 700)
    assert teacher.total_samples == 3800


@pytest.mark.parametrize(
    ("first", "final_full", "cycles"),
    [
        ("full", 0, (-1, 0, 1, 2, 3, 4, 5, 6)),
        ("score", 0, (0, 1, 2, 3, 4, 5, 6, 7)),
        ("full", 2, (-1, 0, 1, 2, 3, 4, -1, -1)),
        ("score", 3, (0, 1, 2, 3, 4, -1, -1, -1)),
        ("full", 0.25, (-1, 0, 1, 2, 3, 4, -1, -1)),
        ("full", 0.3, (-1, 0, 1, 2, 3, 4, -1, -1)),  # 2.4 epochs
        ("full", 0.32, (-1, 0, 1, 2, 3, -1, -1, -1)),  # 2.56 epochs
        ("full", 0.0, (-1, 0, 1, 2, 3, 4, 5, 6)),
        ("full", 7, (-1,) * 8),
        ("score", 8, (-1,) * 8),
    ],
)
def test_full_epochs_are_first_and_last(first, final_full, cycles):
    laid = plan(10, 8, constant(0.5), constant(1), first=first, final_full=final_full)
    assert laid.cycles == cycles
    assert laid.sizes == tuple(10 if cycle < 0 else 5 for cycle in cycles)


def test_a_cycle_begins_where_its_number_is_new():
    laid = plan(10, 9, constant(0.5), constant(3), final_full=1)
    assert laid.cycles == (-1, 0, 0, 0, 1, 1, 1, 2, -1)
    assert [laid.begins_cycle(e) for e in range(9)] == [c == "1" for c in "010010010"]
    at_once = plan(10, 4, constant(0.5), constant(2), first="score")
    assert [at_once.begins_cycle(e) for e in range(4)] == [True, False, True, False]


def test_one_cycle_has_the_ratio_of_the_start():
    assert plan(100, 2, cosine(0.2, 0.8), constant(1)).sizes == (100, 20)
    assert plan(100, 6, cosine(0.2, 0.8), constant(5)).sizes == (100, *[20] * 5)


def test_one_epoch_is_full_or_selected():
    assert plan(10, 1, constant(0.5), constant(1)).sizes == (10,)
    assert plan(10, 1, constant(0.5), constant(1), first="score").sizes == (5,)


def test_a_fraction_of_an_epoch_is_left_out_of_an_interval():
    assert Teacher(9, epochs=8, every=lambda p: 2.99, ratio=0.5).plan.cycles == (-1, 0, 0, 1, 1, 2, 2, 3)  # fmt: skip # noqa: E501


def test_any_function_of_the_progress_is_a_schedule():
    asked = []

    def ratio(progress: float) -> float:
        asked.append(progress)
        return 1 - progress / 2

    assert Teacher(10, epochs=6, ratio=ratio, every=1).plan.sizes == (10, 10, 9, 8, 6, 5)
    assert asked == [0, 0.25, 0.5, 0.75, 1]


@given(
    samples=st.integers(1, 60),
    epochs=st.integers(1, 12),
    ratio=st.one_of(
        st.floats(0.02, 1),
        st.builds(cosine, st.floats(0.02, 1), st.floats(0.02, 1)),
        st.builds(incremental, st.floats(0.02, 1), st.floats(0.02, 1)),
        st.builds(step, st.floats(0.02, 1), st.floats(0.02, 1), st.integers(2, 6)),
    ),
    every=st.one_of(
        st.integers(1, 5), st.builds(incremental, st.integers(1, 5), st.integers(1, 9))
    ),
    first=st.sampled_from(["full", "score"]),
    final_full=st.one_of(st.integers(0, 3), st.floats(0, 0.4)),
    batch_size=st.integers(1, 20),
    grad_accum=st.integers(1, 5),
    world_size=st.integers(1, 4),
    drop_last=st.booleans(),
)
@settings(max_examples=150)
def test_totals_are_those_of_the_run(
    samples, epochs, ratio, every, first, final_full, batch_size, grad_accum, world_size, drop_last
):
    """Samples and steps, counted over a run whose batches are dealt out to processes."""
    told = {"epochs": epochs, "ratio": ratio, "every": every, "final_full": final_full}
    how = (batch_size, grad_accum, world_size, drop_last)
    share = isinstance(final_full, float)
    tail = math.floor(final_full * epochs + 0.5) if share else final_full
    assume(tail + (first == "full") <= epochs)
    teacher = Teacher(samples, select="random", first=first, **told)
    steps = teacher.total_steps(*how)
    assert laws.steps_taken(teacher, *how) == steps

    again = Teacher(samples, select="random", first=first, **told)
    taught = []
    for epoch in range(epochs):
        again.set_epoch(epoch)
        order = again.selected.tolist()
        assert len(set(order)) == len(order)
        taught.append(len(order))
    assert tuple(taught) == again.plan.sizes
    assert sum(taught) == again.total_samples
    assert steps == again.plan.total_steps(*how)
    full = [n for n, cycle in zip(taught, again.plan.cycles, strict=True) if cycle < 0]
    assert set(full) <= {samples}


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 4), st.booleans())
def test_dealing_single_samples_takes_as_many_steps(n, batch_size, world_size, drop_last):
    """As DistributedSampler does: every process has ceil(n / world) samples, or the floor."""
    share = n // world_size if drop_last else -(-n // world_size)
    batches = share // batch_size if drop_last else -(-share // batch_size)
    laid = Plan(n, (n,), (-1,))
    assert laid.total_steps(batch_size, 1, world_size, drop_last) == batches


def test_an_epoch_without_a_whole_batch_takes_no_step():
    laid = Plan(10, (10, 3), (-1, 0))
    assert laid.total_steps(4, drop_last=True) == 2
    assert laid.total_steps(4) == 4
    assert laid.total_steps(4, grad_accum=2) == 3
    assert laid.total_steps(4, grad_accum=100) == 2


def test_a_plan_is_plain_data():
    laid = Plan(10, (10, 5), (-1, 0))
    assert asdict(laid) == {"samples": 10, "sizes": (10, 5), "cycles": (-1, 0)}
    assert replace(laid, sizes=(10, 6)).total_samples == 16
    with pytest.raises(AttributeError):
        laid.samples = 3  # pyright: ignore[reportAttributeAccessIssue]


# --- what is refused ----------------------------------------------------------------------------


def teacher(samples: Any = 10, epochs: Any = 4, **told: Any) -> Callable[[], Teacher]:
    return lambda: Teacher(samples, epochs=epochs, **told)


REFUSED = {
    "progress below": (lambda: cosine(0.2, 0.8)(-0.1), "-0.1"),
    "progress above": (lambda: constant(0.2)(1.1), "1.1"),
    "progress unknown": (lambda: constant(0.2)(NAN), "nan"),
    "a schedule to NaN": (lambda: cosine(0.2, NAN), "nan"),
    "a schedule from infinity": (lambda: incremental(INF, 1), "inf"),
    "a schedule to a word": (lambda: incremental(0.2, "1"), "'1'"),  # pyright: ignore
    "a schedule to a truth": (lambda: constant(True), "True"),
    "one stage": (lambda: step(0.2, 0.8, 1), "stages=1"),
    "stages in part": (lambda: step(0.2, 0.8, 2.5), "stages=2.5"),  # pyright: ignore
    "stages as a truth": (lambda: step(0.2, 0.8, True), "stages=True"),
    "no samples": (teacher(0), "samples .* got 0"),
    "samples below 0": (teacher(-3), "samples .* got -3"),
    "samples in part": (teacher(2.5), "samples .* got 2.5"),
    "samples as a truth": (teacher(True), "samples .* got True"),
    "no epochs": (teacher(epochs=0), "epochs .* got 0"),
    "epochs in part": (teacher(epochs=2.0), r"epochs .* got 2\.0"),
    "too many epochs": (teacher(epochs=32768), "32767 epochs at most, got 32768"),
    "ratio 0": (teacher(ratio=0), r"ratio .* got 0\.0 for selection 0"),
    "ratio above 1": (teacher(ratio=1.5), r"ratio .* got 1\.5"),
    "ratio below 0": (teacher(ratio=-0.5), r"ratio .* got -0\.5"),
    "ratio as a word": (teacher(ratio="0.7"), "ratio .* got '0.7'"),
    "ratio as a truth": (teacher(ratio=True), "ratio .* got True"),
    "ratio NaN": (teacher(ratio=NAN), "finite numbers, got nan"),
    "ratio leaves its range": (teacher(ratio=incremental(0.5, 1.5)), r"got 1\.5 for selection 2"),
    "ratio gets to 0": (teacher(ratio=incremental(0.5, 0)), r"got 0\.0 for selection 2"),
    "ratio of a function NaN": (teacher(ratio=lambda p: NAN), "ratio .* got nan"),
    "ratio unused": (teacher(epochs=1, ratio=7), r"ratio .* got 7\.0"),
    "interval unused": (teacher(epochs=1, every=0), r"interval .* got 0\.0"),
    "interval 0": (teacher(every=0), r"interval .* got 0\.0 at epoch 0"),
    "interval below 1": (teacher(every=0.9), r"interval .* got 0\.9"),
    "interval gets to 0": (teacher(every=incremental(1, 0)), r"interval .* at epoch 1"),
    "interval infinite": (teacher(every=lambda p: INF), "interval .* got inf"),
    "interval NaN": (teacher(every=lambda p: NAN), "interval .* got nan"),
    "interval as a word": (teacher(every="epoch"), "every .* got 'epoch'"),
    "first": (teacher(first="none"), "first .* got 'none'"),
    "final_full below 0": (teacher(final_full=-1), "final_full .* got -1"),
    "final_full one": (teacher(final_full=1.0), r"final_full .* got 1\.0"),
    "final_full as a word": (teacher(final_full="1"), "final_full .* got '1'"),
    "final_full as a truth": (teacher(final_full=True), "final_full .* got True"),
    "final_full NaN": (teacher(final_full=NAN), "final_full .* got nan"),
    "no room": (teacher(final_full=4), "4 epochs leave no room .*final_full=4"),
    "no room for a share": (teacher(epochs=1, final_full=0.6), r"1 epochs .*final_full=0\.6"),
    "select": (teacher(select="best"), "select is one of auto, .*; got 'best'"),
    "floor": (teacher(floor=1.5), r"floor .* got 1\.5"),
    "floor below 0": (teacher(floor=-0.1), r"floor .* got -0\.1"),
    "floor NaN": (teacher(floor=NAN), "floor .* got nan"),
    "floor as a truth": (teacher(floor=True), "floor .* got True"),
    "cap": (teacher(cap=1.5), r"cap .* got 1\.5"),
    "cap 0": (teacher(cap=0), "cap of 0"),
    "cap as a word": (teacher(cap="0.9"), "cap .* got '0.9'"),
    "temperature 0": (teacher(temperature=0), "temperature .* got 0"),
    "temperature below 0": (teacher(temperature=-1), "temperature .* got -1"),
    "temperature infinite": (teacher(temperature=INF), "temperature .* got inf"),
    "draw_from": (teacher(draw_from="loss"), "draw_from .* got 'loss'"),
    "strength below 0": (teacher(strength=-1), "strength .* got -1"),
    "strength infinite": (teacher(strength=INF), "strength is finite"),
    "seed in part": (teacher(seed=0.5), r"seed .* got 0\.5"),
    "seed as a truth": (teacher(seed=True), "seed .* got True"),
    "weights without their rule": (
        teacher(weights=[1.0] * 10),
        "weights go with select='weighted'",
    ),
    "weighted without weights": (teacher(select="weighted"), "without weights"),
    "weights of another length": (
        teacher(select="weighted", weights=[1.0] * 9),
        r"weights are 10 numbers, .* shape \(9,\)",
    ),
    "weights below 0": (teacher(2, select="weighted", weights=[1.0, -2.0]), r"got -2\.0"),
    "weights NaN": (teacher(2, select="weighted", weights=[1.0, NAN]), "weights .* got nan"),
    "weights infinite": (teacher(2, select="weighted", weights=[1.0, INF]), "weights .* got inf"),
    "gradnorm without groups": (teacher(select="gradnorm"), "without groups"),
    "groups without their rule": (teacher(groups=[0] * 10), "groups go with select='gradnorm'"),
    "groups in part": (
        teacher(2, select="gradnorm", groups=[0.0, 1.0]),
        "groups are 2 whole numbers",
    ),
    "groups below 0": (teacher(2, select="gradnorm", groups=[0, -1]), "groups .* got -1"),
    "batch size": (lambda: teacher()().total_steps(0), "batch_size .* got 0"),
    "accumulation": (lambda: teacher()().total_steps(1, 0), "grad_accum .* got 0"),
    "world size": (lambda: teacher()().total_steps(1, 1, -1), "world_size .* got -1"),
    "batch size in part": (
        lambda: teacher()().total_steps(1.5),  # pyright: ignore[reportArgumentType]
        r"batch_size .* got 1\.5",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_sentence(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_plan_of_ten_thousand_epochs_over_ten_to_the_nine_samples_is_exact():
    laid = plan(10**9, 10_000, constant(0.7), constant(1))
    assert laid.total_samples == 10**9 + 9_999 * 700_000_000
    assert laid.total_steps(64, 2, 4) == -(-(10**9) // 512) + 9_999 * -(-700_000_000 // 512)


def test_a_teacher_tells_its_plan():
    made = Teacher(100, epochs=3, ratio=0.7)
    assert (made.samples, made.epochs, made.epoch) == (100, 3, 0)
    assert made.total_samples == sum(made.plan.sizes) == 240
    assert made.total_steps(32) == made.plan.total_steps(32) == 4 + 3 + 3
