"""What the default teacher reads from its scores: what is learned, what is in doubt."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ntteach import Teacher
from ntteach.teaching import reading
from ntteach.teaching.memory import LARGEST
from ntteach.teaching.reading import effective, read

INF, NAN = math.inf, math.nan
numbers = st.floats(0, 100, width=32)


pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30)


@given(pairs, st.floats(0, 1))
@settings(deadline=None)
def test_the_default_chooses_by_the_score_up_to_half_the_mean(scores_and_first, doubt):
    scores, first = zip(*scores_and_first, strict=True)
    limit = 0.5 * sum(scores) / len(scores)
    expected = [
        min(s, limit) * (1 - 0.9 * doubt if s > f else 1)
        for s, f in zip(scores, first, strict=True)
    ]
    found = effective(torch.tensor(scores), torch.tensor(first), doubt)
    # float32 rounding, and the mean of float32 scores in float64
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


@given(pairs, st.floats(0, 1))
@settings(deadline=None)
def test_a_reading_says_the_shares(scores_and_first, doubt):
    s, first = (torch.tensor(column) for column in zip(*scores_and_first, strict=True))
    seen = read(s, first, doubt=doubt)
    mean = float(s.double().mean())
    assert seen.mean == pytest.approx(mean)
    assert seen.learned == pytest.approx(sum(float(x) < 0.5 * mean for x in s) / len(s))
    assert seen.contradicted == pytest.approx(sum(map(float, s > first)) / len(s))
    by = effective(s.double(), first.double(), doubt)
    withheld = 1 - float(by.mean() / by.max()) if float(by.max()) else 0
    assert seen.strength == pytest.approx(withheld, abs=1e-9)
    assert 0 <= seen.strength < 1


def test_scores_that_are_alike_leave_nothing_to_choose():
    seen = read(torch.full((100,), 2.3), torch.full((100,), 2.3))
    assert (seen.learned, seen.contradicted, seen.strength) == (0, 0, 0)


def test_a_factor_on_all_scores_changes_no_reading():
    s = torch.rand(500, generator=torch.Generator().manual_seed(0)) ** 3
    ones = read(s, s.flip(0), before=s, taught=s > 0.1)
    more = read(8 * s, 8 * s.flip(0), before=8 * s, taught=s > 0.1)
    assert (ones.learned, ones.contradicted, ones.lasting, ones.doubt) == (
        more.learned,
        more.contradicted,
        more.lasting,
        more.doubt,
    )
    assert ones.strength == pytest.approx(more.strength)


def test_negative_scores_count_from_the_least():
    s = torch.tensor([-3.0, -1.0, 5.0])
    assert effective(s, s, 0.0).tolist() == effective(s + 3, s + 3, 0.0).tolist()
    teacher = Teacher(3, epochs=3, ratio=0.5)
    for epoch in range(3):
        teacher.set_epoch(epoch)
        teacher.update(teacher.selected, s[teacher.selected])


def test_what_is_unseen_infinite_or_no_number_is_left_out():
    s = torch.tensor([1.0, 3.0, INF, LARGEST, NAN])
    first = torch.tensor([2.0, 2.0, INF, 2.0, 2.0])
    assert read(s, first).mean == 2
    found = effective(s, first, 1.0)
    assert found[:4].tolist() == [1.0, pytest.approx(0.1), INF, LARGEST]
    assert found[4].isnan()
    nothing = torch.tensor([INF, NAN])
    assert math.isnan(read(nothing, nothing).mean)
    assert read(nothing, nothing).strength == 0


def lasting(before: list[float], now: list[float], taught: list[bool], doubt: float = 0.3):
    first = torch.ones(len(now))
    return read(torch.tensor(now), first, torch.tensor(before), torch.tensor(taught), doubt)


def test_doubt_is_how_much_of_what_was_contradicted_outlasts_teaching():
    # of 20 contradicted and taught, so many still are: half is no doubt, three quarters are all
    for still, doubt in ((0, 0), (10, 0), (12, 0.4), (15, 1), (20, 1)):
        found = lasting([2.0] * 20, [2.0] * still + [0.5] * (20 - still), [True] * 20)
        assert found.lasting == still / 20
        assert found.doubt == pytest.approx(doubt)


def test_contradictions_that_were_not_taught_since_say_nothing():
    # those not taught keep their scores, and would always seem to last
    found = lasting([2.0] * 60, [2.0] * 40 + [0.5] * 20, [False] * 40 + [True] * 20)
    assert found.lasting == 0


def test_too_few_contradictions_leave_the_doubt_as_it_was():
    found = lasting([2.0] * 19 + [0.5] * 40, [2.0] * 19 + [0.5] * 40, [True] * 59, doubt=0.3)
    assert found.lasting is None
    assert found.doubt == 0.3
    unseen = lasting([INF] * 30, [2.0] * 30, [True] * 30, doubt=0.3)  # scored for the first time
    assert unseen.lasting is None


def test_many_scores_are_read_from_a_sample_of_them(monkeypatch):
    s = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    whole = read(s, s.flip(0))
    monkeypatch.setattr(reading, "SEEN", 1000)
    part = read(s, s.flip(0))
    assert part != whole
    # a share of 1000: a standard deviation of 0.016 at most
    assert part.learned == pytest.approx(whole.learned, abs=0.05)
    assert part.contradicted == pytest.approx(whole.contradicted, abs=0.05)


def run(teacher: Teacher, learns: Tensor) -> Tensor:
    """A learner whose losses halve when taught, where it can learn; what was taught how often."""
    losses = torch.full((len(learns),), 2.3)
    times = torch.zeros(len(learns))
    draw = torch.Generator().manual_seed(0)
    for epoch in range(teacher.epochs):
        teacher.set_epoch(epoch)
        ids = teacher.selected
        assert len(ids) == teacher.plan.sizes[epoch]
        teacher.update(ids, losses[ids] * (1 + 0.1 * torch.rand(len(ids), generator=draw)))
        times[ids] += 1
        losses[ids] = torch.where(learns[ids], losses[ids] * 0.6, losses[ids] * 1.05)
    return times


def test_what_cannot_be_learned_is_taught_seldom_by_the_default_and_most_by_hard_choice():
    learns = torch.arange(500) >= 100  # a fifth of the labels are wrong
    times = run(Teacher(500, epochs=14, ratio=0.6), learns)
    assert times[~learns].mean() < 0.8 * times[learns].mean()
    times = run(Teacher(500, epochs=14, ratio=0.6, select="hard"), learns)
    assert times[~learns].mean() > 13.5


def test_doubt_is_told_with_its_reason():
    teacher = Teacher(500, epochs=8, ratio=0.6)
    run(teacher, torch.arange(500) >= 100)
    made = teacher.report().decisions
    assert [decision.rule for decision in made] == ["auto"] * 7
    readings = [decision.reading for decision in made if decision.reading]
    assert len(readings) == 7
    assert readings[0].doubt == 0
    assert readings[-1].doubt == 1
    doubted = next(seen for seen in readings if seen.doubt)
    assert doubted.lasting == 1
    assert "(100% of it outlasts teaching), so doubt 1.00" in doubted.told()
    assert readings[-1].told() in str(teacher.report())


def test_hard_samples_that_can_be_learned_raise_no_doubt():
    # all are contradicted at first, and fall when they are taught
    teacher = Teacher(500, epochs=8, ratio=0.6)
    run(teacher, torch.ones(500, dtype=torch.bool))
    assert all(made.reading.doubt == 0 for made in teacher.report().decisions if made.reading)


def test_with_nothing_to_read_all_are_taught_equally_often():
    teacher = Teacher(500, epochs=11, ratio=0.7)
    times = torch.zeros(500)
    for epoch in range(11):
        teacher.set_epoch(epoch)
        teacher.update(teacher.selected, torch.full((len(teacher.selected),), 1.5))
        times[teacher.selected] += 1
    assert times.max() - times.min() <= 1


def test_learned_samples_come_back_in_proportion_to_their_scores():
    # score s below the limit: taught again after limit / s times the epochs of the others
    scores = torch.where(torch.arange(1000) < 500, 0.02, 1.0)  # half the mean: 0.255
    teacher = Teacher(1000, epochs=200, ratio=0.5)
    times = torch.zeros(1000)
    for epoch in range(200):
        teacher.set_epoch(epoch)
        teacher.update(teacher.selected, scores[teacher.selected])
        times[teacher.selected] += 1
    ratio = float(times[:500].mean() / times[500:].mean())
    # ages are whole epochs, so that the proportion holds only roughly
    assert 0.7 * 0.02 / 0.255 < ratio < 1.3 * 0.02 / 0.255
