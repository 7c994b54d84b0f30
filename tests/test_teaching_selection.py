"""The rules of selection: who comes first, by which chances, and with which weights."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import teaching_laws as laws
import torch
from hypothesis import given, settings
from teaching_laws import ALARM, INF, LIBRARY, NAN, chosen, plain, seeded, subsets, tensor
from torch import Generator, Tensor

from ntteach import teaching
from ntteach.teaching import Teacher, selection
from ntteach.teaching.choice import generator as generator_of
from ntteach.teaching.memory import LARGEST
from ntteach.teaching.options import RULES

LAWS = [
    laws.soft_draws_have_the_chances_of_drawing_one_after_the_other,
    laws.a_teacher_draws_softly_with_these_chances,
    laws.sums_with_unbiased_weights_are_right_on_average,
    laws.reweighted_losses_have_the_mean_of_all_data,
    laws.ties_are_drawn_at_random,
    laws.hard_takes_the_largest,
    laws.unseen_infinite_finite_nan_in_this_order,
    laws.a_cap_puts_the_highest_last,
    laws.a_floor_is_drawn_from_the_rest,
    laws.at_strength_0_counts_stay_even,
    laws.strength_is_the_power_of_the_score,
    laws.every_epoch_has_chance_of_its_own,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(LIBRARY)


# --- chances ------------------------------------------------------------------------------------

SCORES = {
    "spread": (0.2, 0.5, 1.0, 2.0, 4.0),
    "one stands out": (1.0, 1.0, 1.0, 1.0, 9.0),
    "nearly alike": (1.0, 1.1, 1.2, 1.3, 1.4),
}
DRAWS = 20_000


def orders(keys: Tensor, k: int) -> Counter:
    """How often each ordered k-subset is on top, in rows of keys."""
    return Counter(map(tuple, keys.topk(k).indices.tolist()))


@pytest.mark.parametrize(("draw_from", "temperature"), [("log", 0.5), ("log", 3.0), ("score", 2.0)])
@pytest.mark.parametrize("name", SCORES)
def test_perturbed_logits_are_ordered_as_draws_one_after_the_other(name, temperature, draw_from):
    """All k at once: exact chances of ordered subsets, of the first, and who is in at all."""
    weights = laws.weights_of(SCORES[name], temperature, draw_from)
    phi = selection.logits(tensor(*SCORES[name]), temperature, draw_from)
    keys = phi + selection.gumbel(5 * DRAWS, seeded(31)).view(DRAWS, 5)
    for k in range(1, 5):
        counts, expected = orders(keys, k), laws.in_order(weights, k)
        assert laws.chance_of(counts, expected) > ALARM
        for i in range(5):
            within = sum(counts[order] for order in counts if i in order)
            inclusion = sum(p for order, p in expected.items() if i in order)
            sigma = math.sqrt(inclusion * (1 - inclusion) / DRAWS)
            assert abs(within / DRAWS - inclusion) < 5 * sigma + 1e-12


def test_the_temperature_on_the_noise_too_is_told_apart():
    """The published code's way: (phi + noise) / temperature has no temperature at all."""
    scores, temperature = SCORES["spread"], 2.5
    expected = subsets(laws.weights_of(scores, temperature, "log"), 2)

    def published(generator: Generator) -> Tensor:
        keys = selection.logits(tensor(*scores)) + selection.gumbel(5, generator)
        return (keys / temperature).topk(2).indices

    assert laws.chance_of(laws.drawn(published, 1000, seed=2), expected) < ALARM


def test_a_draw_with_replacement_is_told_apart():
    """Repetitions drawn anew, until k differ, are another law than one after the other."""
    weights = [1.0, 1.0, 1.0, 1.0, 9.0]
    expected = subsets(weights, 3)

    def repeated(generator: Generator) -> Tensor:
        while True:
            took = torch.tensor(weights).multinomial(3, replacement=True, generator=generator)
            if len(took.unique()) == 3:
                return took

    def with_repetitions(generator: Generator) -> Tensor:
        return torch.tensor(weights).multinomial(3, replacement=True, generator=generator)

    assert laws.chance_of(laws.drawn(repeated, 1000, seed=2), expected) < ALARM
    assert laws.chance_of(laws.drawn(with_repetitions, 1000, seed=2), expected) < ALARM


def test_the_test_of_chance_alarms_at_its_rate():
    """Right counts are accepted; counts off by a tenth are not."""
    rows = torch.tensor([0.1, 0.2, 0.3, 0.4])
    generator = seeded(5)
    p = [
        laws.chance_of(
            Counter(rows.multinomial(500, replacement=True, generator=generator).tolist()),
            dict(enumerate(rows.tolist())),
        )
        for _ in range(300)
    ]
    # 300 uniform numbers: how many are below 0.1 is binomial, mean 30, sigma 5.2
    assert 8 < sum(x < 0.1 for x in p) < 56
    wrong = {0: 0.11, 1: 0.19, 2: 0.33, 3: 0.37}
    counts = Counter(rows.multinomial(20_000, replacement=True, generator=generator).tolist())
    assert laws.chance_of(counts, wrong) < ALARM


def test_weighted_draws_go_by_the_weights_and_take_none_of_weight_zero():
    weights = [0.0, 1.0, 2.0, 4.0, 0.0]
    positive = {
        tuple(i + 1 for i in subset): chance for subset, chance in subsets(weights[1:4], 2).items()
    }
    draws = {
        "the rule": lambda g: selection.weighted(tensor(*weights), 2, g),
        "a teacher": lambda g: chosen(
            LIBRARY, plain(LIBRARY, "weighted"), 2, tensor(NAN, 1, 2, INF, 3), g,
            weights=tensor(*weights),
        ),
    }  # fmt: skip
    for name, draw in draws.items():
        assert laws.chance_of(laws.drawn(draw, 800, seed=3), positive) > ALARM, name
    last = laws.drawn(lambda g: selection.weighted(tensor(*weights), 4, g), 400, seed=3)
    assert laws.chance_of(last, {(0, 1, 2, 3): 0.5, (1, 2, 3, 4): 0.5}) > ALARM


def test_gradnorm_draws_by_the_weights_of_the_groups():
    """Mean norms 3 and 1, the infinite and the NaN left out: weights 0.5 and 1.5 (balanced)."""
    scores, groups = tensor(1.0, 5.0, 1.0, LARGEST, NAN), torch.tensor([0, 0, 1, 1, 0])
    options = plain(LIBRARY, "gradnorm")
    draw = laws.drawn(lambda g: chosen(LIBRARY, options, 2, scores, g, groups=groups), 800, 6)
    assert laws.chance_of(draw, subsets([0.5, 0.5, 1.5, 1.5, 0.5], 2)) > ALARM


@pytest.mark.parametrize("k", [1, 3, 5])
def test_random_takes_each_subset_equally_often(k):
    even = subsets([1.0] * 5, k)
    for draw in (
        lambda g: selection.random(5, k, g),
        lambda g: chosen(LIBRARY, plain(LIBRARY, "random"), k, tensor(*range(5)), g),
    ):
        assert laws.chance_of(laws.drawn(draw, 600, seed=k), even) > ALARM


def test_zero_scores_are_drawn_as_the_smallest_positive_one():
    counts = laws.drawn(lambda g: selection.soft(tensor(0.0, 0.5, 2.0, 0.0), 2, g), 800, seed=8)
    assert laws.chance_of(counts, subsets([0.5, 0.5, 2.0, 0.5], 2)) > ALARM
    counts = laws.drawn(lambda g: selection.soft(torch.zeros(4), 2, g), 800, seed=8)
    assert laws.chance_of(counts, subsets([1.0] * 4, 2)) > ALARM
    assert selection.log_scores(tensor(0.0, 1e-45, 1.0))[0] == math.log(2**-149)


# --- unbiased sums ------------------------------------------------------------------------------

PHI = torch.tensor([0.3, -1.0, 1.2, 0.0, 2.0], dtype=torch.float64)
X = torch.tensor([0.0, 0.0, 1.0, 0.0, 9.0], dtype=torch.float64)


def naive(phi: Tensor, perturbed: Tensor, chosen: Tensor) -> Tensor:
    """1 / (k p_i): right only for draws with replacement."""
    return 1 / (len(chosen) * phi.softmax(0)[chosen])


def kth(phi: Tensor, perturbed: Tensor, chosen: Tensor) -> Tensor:
    """With the k-th largest instead of the (k+1)-th."""
    kappa = perturbed[chosen].min()
    return -1 / torch.expm1(-(phi[chosen] - kappa).exp())


def mean_and_error(weigh, k: int, draws: int = 1500) -> tuple[float, float]:
    generator, sums = seeded(12), []
    for _ in range(draws):
        perturbed = PHI + selection.gumbel(5, generator)
        took = selection.largest(perturbed, k, generator)
        sums.append(float((weigh(PHI, perturbed, took) * X[took]).sum()))
    found = torch.tensor(sums, dtype=torch.float64)
    return float(found.mean()), float(found.std()) / math.sqrt(draws)


@pytest.mark.parametrize("k", [2, 4])
def test_the_mean_of_weighted_sums_is_the_sum(k):
    mean, error = mean_and_error(selection.unbiased_weights, k)
    assert abs(mean - float(X.sum())) < 5 * error < 0.1 * float(X.sum())
    for wrong in (naive, kth):
        mean, error = mean_and_error(wrong, k)
        assert abs(mean - float(X.sum())) > 5 * error, wrong


def test_wrong_weights_are_not_right_on_average_by_quadrature_either():
    for weigh in (naive, kth):
        assert abs(laws.mean_of_sums(weigh, PHI[:3], X[:3], 2) - float(X[:3].sum())) > 0.1
    # one draw is with replacement and without: there the naive weights are right
    assert abs(laws.mean_of_sums(naive, PHI[:3], X[:3], 1) - float(X[:3].sum())) < 1e-6


def test_weights_are_one_where_all_are_chosen_or_a_sample_is_chosen_for_certain():
    g = seeded(0)
    for k, phi in ((5, PHI), (2, torch.tensor([INF, 0.0, INF, 1.0], dtype=torch.float64))):
        perturbed = phi + selection.gumbel(len(phi), g)
        took = selection.largest(perturbed, k, g)
        assert torch.equal(selection.unbiased_weights(phi, perturbed, took), torch.ones(k).double())


def test_weights_of_ties_at_infinity_share_the_sum_among_them():
    """3 unseen for 2 places: each stands for 1.5; the finite ones have no chance and count 0."""
    phi = torch.tensor([INF, 0.0, INF, INF], dtype=torch.float64)
    took = torch.tensor([0, 3])
    assert selection.unbiased_weights(phi, phi, took).tolist() == [1.5, 1.5]
    # of weight 0: as many as are left, each standing for its share of them
    phi = torch.tensor([-INF, 0.0, -INF, -INF], dtype=torch.float64)
    weights = selection.unbiased_weights(phi, phi, torch.tensor([1, 0]))
    assert weights.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 2.0},
        {"draw_from": "score", "temperature": 4.0},
        {"select": "weighted", "weights": [1.0, 2.0, 1.0, 3.0, 1.0, 2.0, 5.0]},
    ],
    ids=lambda more: more.get("select", more.get("draw_from", "log")),
)
def test_reweighted_losses_have_the_mean_of_all_data(more):
    losses = tensor(0.3, 0.4, 0.5, 1.0, 1.5, 3.0, 8.0)
    told = {"select": "soft", "ratio": 0.45} | more
    found = tensor(*(laws.taught_mean(LIBRARY, losses, seed=s, **told) for s in range(200)))
    error = found.std() / math.sqrt(200)
    assert abs(found.mean() - losses.mean()) < 5 * error < 0.8
    unweighted = tensor(
        *(laws.taught_mean(LIBRARY, losses, seed=s, **told, reweight=False) for s in range(200))
    )
    error = unweighted.std() / math.sqrt(200)
    assert abs(unweighted.mean() - losses.mean()) > 5 * error


def test_the_gradient_is_weighted_as_the_loss_is():
    teacher = Teacher(6, epochs=2, select="soft", ratio=0.5, reweight=True)
    teacher.set_epoch(0)
    teacher.update(torch.arange(6), torch.arange(1.0, 7.0))
    teacher.set_epoch(1)
    losses = torch.ones(3, requires_grad=True)
    teacher.update(teacher.selected, losses).backward()
    ones = [float(teacher.update(teacher.selected[i : i + 1], torch.ones(1))) / 3 for i in range(3)]
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx(ones)
    assert len(set(ones)) > 1


@pytest.mark.parametrize("told", [{"floor": 0.1}, {"cap": 0.9}, {"cap": 1.0}])
def test_reweight_is_refused_beside_a_floor_or_a_cap(told):
    with pytest.raises(
        ValueError, match=rf"reweight .*{next(iter(told))}={next(iter(told.values()))}"
    ):
        Teacher(10, epochs=2, select="soft", reweight=True, **told)


@pytest.mark.parametrize("select", [rule for rule in RULES if rule not in ("soft", "weighted")])
def test_reweight_is_refused_where_chances_are_not_known(select):
    with pytest.raises(ValueError, match=f"reweight needs .*{select}"):
        Teacher(10, epochs=2, select=select, reweight=True)


def test_reweight_is_refused_beside_a_weight_of_zero():
    with pytest.raises(ValueError, match="no weight may be 0, got 2 of 3"):
        Teacher(3, epochs=2, select="weighted", weights=[0.0, 1.0, 0.0], reweight=True)


# --- order of preference ------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(st.sampled_from([0.0, 1.0, INF, -INF, NAN, LARGEST]), st.floats(width=32)),
        min_size=1,
        max_size=30,
    ),
    st.data(),
)
@settings(max_examples=100)
def test_largest_takes_k_different_places_none_below_one_left_out(keys, data):
    k = data.draw(st.integers(1, len(keys)))
    took = selection.largest(tensor(*keys), k, seeded(0)).tolist()
    assert len(set(took)) == k
    assert all(0 <= i < len(keys) for i in took)
    left = [keys[i] for i in range(len(keys)) if i not in took]
    # what is not NaN comes before what is, and is not below anything left out
    worst = min(keys[i] for i in took) if not any(math.isnan(keys[i]) for i in took) else None
    if worst is None:
        assert all(math.isnan(key) for key in left)
    else:
        assert not any(key > worst for key in left)


def test_largest_at_ties_that_float32_does_not_tell_apart():
    """2^24 and 2^24 + 1 are one float32: drawn among, as equal."""
    keys = torch.tensor([2**24, 2**24 + 1, 0], dtype=torch.float32)
    counts = laws.drawn(lambda g: selection.largest(keys, 1, g), 400, seed=0)
    assert laws.chance_of(counts, {(0,): 0.5, (1,): 0.5}) > ALARM
    assert selection.largest(keys.double() + tensor(0, 1, 0), 1, seeded(0)).tolist() == [1]


def test_nan_is_drawn_among_as_well():
    counts = laws.drawn(lambda g: selection.largest(tensor(NAN, 1, NAN, NAN), 2, g), 600, seed=0)
    assert laws.chance_of(counts, {(0, 1): 1 / 3, (1, 2): 1 / 3, (1, 3): 1 / 3}) > ALARM


def test_lowest_infinity_comes_before_nan():
    for seed in range(5):
        assert selection.largest(tensor(NAN, -INF), 1, seeded(seed)).tolist() == [1]


def test_chance_is_left_alone_where_no_place_is_tied():
    g = seeded(3)
    before = g.get_state()
    selection.hard(tensor(3.0, 1.0, 2.0), 2, g)
    assert torch.equal(g.get_state(), before)


@pytest.mark.parametrize("select", RULES)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (6, 1), (6, 6)])
def test_one_sample_one_choice_and_all_of_them(select, n, k):
    more = {"weights": torch.ones(n), "groups": torch.zeros(n, dtype=torch.int64)}
    took = chosen(LIBRARY, plain(LIBRARY, select), k, torch.arange(1.0, n + 1), seeded(0), **more)
    assert took.dtype == torch.int64
    assert len(set(took.tolist())) == k
    assert set(took.tolist()) <= set(range(n))


@pytest.mark.parametrize("k", [0, -1, 4])
def test_too_few_or_too_many_are_refused(k):
    for draw in (
        lambda: selection.largest(torch.zeros(3), k, seeded(0)),
        lambda: selection.random(3, k, seeded(0)),
        lambda: selection.soft(torch.ones(3), k, seeded(0)),
    ):
        with pytest.raises(ValueError, match=rf"1 <= k <= N; got k={k}, N=3"):
            draw()


@pytest.mark.parametrize(
    "keys", [torch.zeros(2, 2), torch.tensor(1.0), torch.zeros(3, dtype=torch.int64)]
)
def test_keys_of_another_kind_are_refused(keys):
    with pytest.raises(ValueError, match="keys are a floating vector"):
        selection.largest(keys, 1, seeded(0))


def test_negative_scores_are_refused_where_a_logarithm_is_taken():
    scores = tensor(1.0, -2.0, -3.0)
    message = "2 of 3 scores are negative"
    with pytest.raises(ValueError, match=message):
        selection.soft(scores, 1, seeded(0))
    for select in ("soft", "aged", "auto"):
        with pytest.raises(ValueError, match=message):
            chosen(LIBRARY, plain(LIBRARY, select), 1, scores, seeded(0))
    took = chosen(LIBRARY, plain(LIBRARY, "hard"), 1, scores, seeded(0))
    assert took.tolist() == [0]
    softly = plain(LIBRARY, "soft", draw_from="score", temperature=0.01)
    assert chosen(LIBRARY, softly, 1, scores, seeded(0)).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: selection.logits(tensor(1.0), temperature=0.0), "temperature .* got 0.0"),
        (lambda: selection.logits(tensor(1.0), temperature=INF), "temperature .* got inf"),
        (lambda: selection.logits(tensor(1.0), draw_from="loss"), "draw_from .* got 'loss'"),
        (lambda: selection.weighted(tensor(-1.0), 1, seeded(0)), "weights are finite"),
        (lambda: selection.weighted(tensor(NAN), 1, seeded(0)), "weights are finite"),
        (lambda: selection.weighted(tensor(INF), 1, seeded(0)), "weights are finite"),
        (lambda: selection.aged_keys(tensor(1.0), tensor(1), -1.0), "strength .* got -1.0"),
        (lambda: selection.aged_keys(tensor(1.0), tensor(1), NAN), "strength .* got nan"),
        (lambda: selection.cap_scores(tensor(1.0), tensor(1.0), 0.0), "cap .* got 0.0"),
        (lambda: selection.cap_scores(tensor(1.0), tensor(1.0), 1.5), "cap .* got 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- cap, floor, age ----------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [0.01, 0.07, 0.29, 0.5, 0.9, 0.99, 1.0])
def test_a_cap_leaves_this_share_of_the_finite_scores(cap):
    scores = torch.cat([torch.randperm(100, generator=seeded(1)).float(), tensor(INF, NAN)])
    keys = selection.cap_scores(scores, scores, cap)
    assert int((keys == -INF).sum()) == 100 - round(cap * 100)
    assert keys[keys.isfinite()].max() < scores[keys == -INF].min() if cap < 1 else True
    assert keys[100] == INF  # what is unseen is left alone
    assert keys[101].isnan()


def test_a_cap_of_one_changes_nothing_and_of_nothing_known_neither():
    scores = tensor(1.0, NAN, INF, LARGEST)
    assert torch.equal(selection.cap_scores(scores, scores, 1.0).nan_to_num(), scores.nan_to_num())
    unknown = tensor(INF, NAN)
    assert torch.equal(selection.cap_scores(unknown, unknown, 0.5)[:1], unknown[:1])


def test_equal_scores_at_the_quantile_all_stay():
    scores = tensor(1.0, 2.0, 2.0, 2.0, 3.0)
    assert (selection.cap_scores(scores, scores, 0.4) == -INF).tolist() == [False] * 4 + [True]


def test_infinite_scores_are_the_highest_for_a_cap_and_nan_comes_after_the_capped():
    scores = tensor(1.0, LARGEST, 2.0, NAN, INF)
    order = [4, 2, 0, 1, 3]  # of 1, 2 and the infinite one the median is 2
    for k in range(1, 6):
        took = chosen(LIBRARY, plain(LIBRARY, "hard", cap=0.5), k, scores, seeded(0))
        assert set(took.tolist()) == set(order[:k])


@given(st.floats(0, 1), st.integers(1, 40), st.integers(0, 10))
@settings(max_examples=100)
def test_a_floor_takes_its_rounded_share_beside_the_largest(floor, k, more):
    n = k + more
    took = set(chosen(LIBRARY, plain(LIBRARY, "hard", floor=floor), k, torch.arange(n) * 1.0, seeded(k)).tolist())  # fmt: skip # noqa: E501
    by_rule = k - math.floor(floor * k + 0.5)
    assert len(took) == k
    assert set(range(n - by_rule, n)) <= took


def test_keys_of_age_are_score_to_the_strength_times_age():
    scores, ages = tensor(1.0, 2.0, 3.0, 0.0), torch.tensor([1, 5, 2, 7], dtype=torch.int16)
    keys = selection.aged_keys(scores, ages, 2.0).exp()
    assert keys.tolist() == pytest.approx([1.0, 20.0, 18.0, 7.0])  # 0 counts as 1, the least


def test_of_equal_keys_the_one_taught_less_often_comes_first():
    """Counts never outweigh a difference in age, at the ends of what int16 holds either."""
    ages = torch.tensor([32767, 32766, 32766], dtype=torch.int16)
    times = torch.tensor([32767, 1, 0], dtype=torch.int16)
    keys = selection.aged_keys(torch.ones(3), ages, 0.0, times)
    assert keys.argsort(descending=True).tolist() == [0, 2, 1]


def test_a_large_strength_is_hard_selection():
    scores = torch.rand(50, generator=seeded(2)) + 0.01
    ages = torch.randint(1, 20, (50,), generator=seeded(3))
    aged = selection.largest(selection.aged_keys(scores, ages, 1e6), 20, seeded(0))
    assert set(aged.tolist()) == set(selection.hard(scores, 20, seeded(0)).tolist())


# --- generators ---------------------------------------------------------------------------------


def test_generators_differ_by_seed_purpose_and_number():
    made = {
        generator_of(seed, purpose, number).initial_seed()
        for seed in (-1, 0, 1, 10)
        for purpose in ("order", "selection")
        for number in range(50)
    }
    assert len(made) == 4 * 2 * 50


def taught(select: str) -> list[list[int]]:
    """A short run, with everything that draws."""
    more: dict[str, Any] = {
        "weighted": {"weights": torch.arange(1.0, 13.0)},
        "gradnorm": {"groups": torch.arange(12) % 3},
    }.get(select, {})
    floor = 0.0 if select in ("random", "soft") else 0.3
    teacher = Teacher(12, epochs=4, select=select, ratio=0.5, floor=floor, seed=3, **more)
    selected = []
    for epoch in range(4):
        teacher.record(range(12), torch.arange(1.0, 13.0).square())
        teacher.set_epoch(epoch)
        selected.append(teacher.selected.tolist())
        for ids in torch.tensor(list(teacher.sampler)).split(4):
            teacher.update(ids, ids * 1.0 + 1)
    teacher.report()
    teacher.load_state_dict(teacher.state_dict())
    return selected


def numpy_state() -> tuple[list[int], int]:
    state: Any = np.random.get_state(legacy=False)
    return state["state"]["key"].tolist(), state["state"]["pos"]


@pytest.mark.parametrize("select", RULES)
def test_nobody_elses_generator_is_read_or_seeded(select):
    states = (torch.get_rng_state(), numpy_state(), random.getstate())
    found = taught(select)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]
    assert random.getstate() == states[2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(987)
        assert taught(select) == found


def test_what_is_exported_is_there():
    assert all(hasattr(teaching, name) for name in teaching.__all__)
