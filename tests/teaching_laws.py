"""Laws of the teacher's modules, each of a library that is given: the real one, or an edited one.

`LIBRARY` is the real one, `rebuilt` one in which a module's source was edited.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from itertools import permutations
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

import ntteach.teaching

INF, NAN = float("inf"), float("nan")
ALARM = 1e-6  # how often a right library would fail a law of chance, were its seed drawn anew
FOLDER = Path(ntteach.teaching.__file__).parent
# each after those that it imports
MODULES = (
    "schedules",
    "arguments",
    "plan",
    "selection",
    "memory",
    "options",
    "reading",
    "choice",
    "sampler",
    "summary",
    "state",
    "teacher",
)


@cache
def source(module: str) -> str:
    return (FOLDER / f"{module}.py").read_text()


@cache
def compiled(module: str, text: str):
    return compile(text, f"{module}.py", "exec")


def rebuilt(edited: str = "", old: str = "", new: str = "") -> SimpleNamespace:
    """The library from its sources, `old` being `new` in one; what is imported stays as it was."""
    texts = {module: source(module) for module in MODULES}
    if edited:
        assert texts[edited].count(old) == 1, f"{old!r} stands once in {edited}.py"
        texts[edited] = texts[edited].replace(old, new)
    package: Any = ModuleType("ntteach.teaching")
    package.__path__ = [str(FOLDER)]
    with mock.patch.dict(sys.modules, {"ntteach.teaching": package}):
        for module in MODULES:
            name = f"ntteach.teaching.{module}"
            made = sys.modules[name] = ModuleType(name)
            setattr(package, module, made)
            exec(compiled(module, texts[module]), made.__dict__)
    return SimpleNamespace(**{module: getattr(package, module) for module in MODULES})


LIBRARY = SimpleNamespace(
    **{module: sys.modules[f"ntteach.teaching.{module}"] for module in MODULES}
)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def tensor(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32)


# --- chance -------------------------------------------------------------------------------------


def chance_of(counts: Counter, expected: dict[Any, float]) -> float:
    """The p-value of Pearson's test that outcomes come with these probabilities."""
    total = sum(counts.values())
    if any(not expected.get(outcome, 0) for outcome in counts):
        return 0.0
    kinds = [outcome for outcome, p in expected.items() if p * total >= 5]
    rest = 1 - sum(expected[outcome] for outcome in kinds)
    seen = [counts[outcome] for outcome in kinds]
    means = [expected[outcome] * total for outcome in kinds]
    if rest * total >= 5:  # what is rare is taken together
        seen.append(total - sum(seen))
        means.append(rest * total)
    statistic = sum((s - m) ** 2 / m for s, m in zip(seen, means, strict=True))
    return float(stats.chi2.sf(statistic, max(1, len(seen) - 1)))


def in_order(weights: Sequence[float], k: int) -> dict[tuple[int, ...], float]:
    """Each ordered k-subset's chance, drawn one after the other in proportion to weights."""
    chances = {}
    for order in permutations(range(len(weights)), k):
        left, chance = sum(weights), 1.0
        for i in order:
            chance *= weights[i] / left
            left -= weights[i]
        chances[order] = chance
    return chances


def subsets(weights: Sequence[float], k: int) -> dict[tuple[int, ...], float]:
    """Each k-subset's chance: that of its orders together."""
    chances: dict[tuple[int, ...], float] = {}
    for order, chance in in_order(weights, k).items():
        key = tuple(sorted(order))
        chances[key] = chances.get(key, 0.0) + chance
    return chances


def weights_of(scores: Sequence[float], temperature: float, draw_from: str) -> list[float]:
    """What a soft draw is in proportion to, by the plain formula."""
    if draw_from == "log":
        return [s ** (1 / temperature) for s in scores]
    return [math.exp(s / temperature) for s in scores]


def drawn(draw, count: int, seed: int) -> Counter:
    generator = seeded(seed)
    return Counter(tuple(sorted(draw(generator).tolist())) for _ in range(count))


SOFT_CASES = [
    ((0.2, 0.5, 1.0, 2.0, 4.0), 2, 2.5, "log"),
    ((0.2, 0.5, 1.0, 2.0, 4.0), 3, 0.5, "log"),
    ((1.0, 1.0, 1.0, 1.0, 9.0), 4, 1.0, "log"),
    ((3.0, 1.0, 2.0, 0.5, 2.5), 3, 3.0, "score"),
    ((-1.0, 0.0, 1.0, -2.0, 0.5), 1, 1.0, "score"),
]


def soft_draws_have_the_chances_of_drawing_one_after_the_other(lib, cases=SOFT_CASES) -> None:
    for scores, k, temperature, draw_from in cases:
        expected = subsets(weights_of(scores, temperature, draw_from), k)
        given, options = tensor(*scores), {"temperature": temperature, "draw_from": draw_from}
        counts = drawn(lambda g: lib.selection.soft(given, k, g, **options), 1000, seed=k)  # noqa: B023
        assert chance_of(counts, expected) > ALARM, (scores, k, temperature, draw_from)


def a_teacher_draws_softly_with_these_chances(lib) -> None:
    scores, temperature = (0.2, 0.5, 1.0, 2.0, 4.0), 2.5
    for draw_from in ("log", "score"):
        options = lib.options.Options("soft", 0.0, None, temperature, draw_from, False, 1.0, 0)
        counts = drawn(lambda g: chosen(lib, options, 2, tensor(*scores), g), 600, seed=4)  # noqa: B023
        assert chance_of(counts, subsets(weights_of(scores, temperature, draw_from), 2)) > ALARM


def chosen(lib, options, k: int, scores: Tensor, generator: Generator, **others) -> Tensor:
    """What a teacher's selection takes."""
    n = len(scores)
    given = {"weights": None, "groups": None} | others
    ages = given.pop("ages", torch.ones(n, dtype=torch.int16))
    times = given.pop("times", torch.zeros(n, dtype=torch.int16))
    return lib.choice.choose(options, k, scores, ages, times, generator, **given).chosen


def sums_with_unbiased_weights_are_right_on_average(lib) -> None:
    """By quadrature over kappa, with the library's weights in the integrand."""
    phi = torch.tensor([0.3, -1.0, 1.2], dtype=torch.float64)
    x = torch.tensor([2.0, -5.0, 3.0], dtype=torch.float64)
    for k in (1, 2):
        assert abs(mean_of_sums(lib.selection.unbiased_weights, phi, x, k) - float(x.sum())) < 1e-6


def mean_of_sums(weigh, phi: Tensor, x: Tensor, k: int) -> float:
    """The mean of sum(w x) over all draws of k, as an integral over the (k+1)-th largest key.

    The density of (S, kappa) is prod_{i in S} (1 - F_i) times the derivative of
    prod_{j not in S} F_j, with F_i = exp(-exp(phi_i - kappa)).
    """
    n, total = len(phi), 0.0
    width = 0.25  # sums converge fast: the integrand is analytic and vanishes at both ends
    for at in torch.arange(-6.0, 24.0, width, dtype=torch.float64):
        below = (-(phi - at).exp()).exp()
        for S in {tuple(sorted(order)) for order in permutations(range(n), k)}:
            out = [j for j in range(n) if j not in S]
            density = below[out].prod() * (phi[out] - at).exp().sum()  # d log F_j = exp(phi_j - k)
            for i in S:
                density = density * (1 - below[i])
            perturbed = torch.full((n,), float(at) - 1, dtype=torch.float64)
            perturbed[list(S)], perturbed[out[0]] = at + 1, at
            w = weigh(phi, perturbed, torch.tensor(S))
            total += float(density * (w * x[list(S)]).sum()) * width
    return total


def reweighted_losses_have_the_mean_of_all_data(lib, seeds: int = 400, **more) -> None:
    """`update` over the epochs of many teachers; five standard errors."""
    losses = tensor(0.3, 0.4, 0.5, 1.0, 1.5, 3.0, 8.0)
    found = torch.tensor(
        [taught_mean(lib, losses, select="soft", ratio=0.45, seed=s, **more) for s in range(seeds)],
        dtype=torch.float64,
    )
    error = found.std() / math.sqrt(seeds)
    assert abs(found.mean() - losses.double().mean()) < 5 * error
    assert error < 0.1  # a bias of a third would be seen


def taught_mean(lib, losses: Tensor, **options) -> float:
    """What `update` returns for the selected epoch, its batches together."""
    teacher = lib.teacher.Teacher(len(losses), epochs=2, **({"reweight": True} | options))
    teacher.set_epoch(0)
    teacher.update(torch.arange(len(losses)), losses)
    teacher.set_epoch(1)
    batches = teacher.selected.split(2)
    told = [float(teacher.update(ids, losses[ids])) * len(ids) for ids in batches]
    return sum(told) / len(teacher.selected)


def ties_are_drawn_at_random(lib) -> None:
    keys = tensor(2.0, 1.0, 3.0, 1.0, 1.0, 0.0)
    expected = {tuple(sorted((0, 2, i))): 1 / 3 for i in (1, 3, 4)}
    counts = drawn(lambda g: lib.selection.largest(keys, 3, g), 600, seed=1)
    assert chance_of(counts, expected) > ALARM
    counts = drawn(lambda g: lib.selection.largest(torch.zeros(4), 2, g), 1200, seed=2)
    assert chance_of(counts, subsets([1.0] * 4, 2)) > ALARM


# --- order of preference ------------------------------------------------------------------------


def hard_takes_the_largest(lib) -> None:
    generator = seeded(0)
    for n in (1, 2, 7, 100):
        scores = torch.randn(n, generator=generator)
        for k in {1, n // 2 or 1, n}:
            top = scores.topk(k).indices.sort().values
            assert torch.equal(lib.selection.hard(scores, k, generator).sort().values, top)
            for select in ("hard", "ntk"):
                options = plain(lib, select)
                assert torch.equal(chosen(lib, options, k, scores, generator).sort().values, top)


def plain(lib, select: str, **more):
    told: dict[str, Any] = {"floor": 0.0, "cap": None, "temperature": 1.0, "draw_from": "log"}
    told |= {"reweight": False, "strength": 1.0, "seed": 0} | more
    return lib.options.Options(select, **told)


# unseen, recorded as infinite, finite, NaN: each place in this order
PLACED = [
    ("hard", {}),
    ("ntk", {}),
    ("soft", {}),
    ("soft", {"temperature": 1000.0}),
    ("soft", {"draw_from": "score", "temperature": 50.0}),
    ("aged", {"strength": 0.0}),
    ("aged", {"strength": 0.01}),
    ("aged", {"strength": 3.0}),
    ("auto", {"strength": 0.0}),
]


def unseen_infinite_finite_nan_in_this_order(lib) -> None:
    huge = lib.memory.LARGEST
    scores = tensor(NAN, 1.0, huge, 0.0, INF, huge, 7.0, NAN, INF, 2.0)
    groups = [{4, 8}, {2, 5}, {1, 3, 6, 9}, {0, 7}]
    ages = torch.tensor([9, 1, 1, 9, 1, 1, 2, 3, 1, 5], dtype=torch.int16)
    for select, more in PLACED:
        for k in range(1, 11):
            for seed in range(4):
                took = chosen(lib, plain(lib, select, **more), k, scores, seeded(seed), ages=ages)
                left = set(took.tolist())
                assert len(left) == k
                for group in groups:  # a group is begun only when those before are in
                    if not group <= left:
                        assert left <= group, (select, more, k)
                        break
                    left -= group


def a_cap_puts_the_highest_last(lib) -> None:
    scores = tensor(5.0, 1.0, 4.0, 2.0, 3.0)
    for select in ("hard", "soft", "aged"):
        for k in range(1, 4):
            for seed in range(5):
                took = chosen(lib, plain(lib, select, cap=0.6), k, scores, seeded(seed))
                assert set(took.tolist()) <= {1, 3, 4}, (select, k)
        assert set(chosen(lib, plain(lib, select, cap=0.6), 5, scores, seeded(0)).tolist()) == set(
            range(5)
        )
    assert set(chosen(lib, plain(lib, "hard", cap=0.6), 2, scores, seeded(0)).tolist()) == {3, 4}


def a_floor_is_drawn_from_the_rest(lib) -> None:
    scores = torch.arange(12.0)
    for floor, k, by_chance in ((0.25, 8, 2), (0.3, 5, 2), (0.1, 4, 0), (0.5, 5, 3), (1.0, 4, 4)):
        counts: Counter = Counter()
        for seed in range(300):
            took = chosen(lib, plain(lib, "hard", floor=floor), k, scores, seeded(seed)).tolist()
            assert len(set(took)) == k
            top = set(range(12 - (k - by_chance), 12))
            assert top <= set(took)
            counts.update(set(took) - top)
        rest = 12 - (k - by_chance)
        assert sum(counts.values()) == 300 * by_chance
        for i in range(rest if by_chance else 0):
            assert stats.binomtest(counts[i], 300, by_chance / rest).pvalue > ALARM / rest


# --- a run --------------------------------------------------------------------------------------


def run(teacher, losses, batch_size: int = 4) -> Iterable[tuple[int, list[int]]]:
    """Teach from where the teacher is to the end; the epoch and ids of each batch."""
    for epoch in range(teacher.epoch, teacher.epochs):
        teacher.set_epoch(epoch)
        left = list(teacher.sampler)
        for start in range(0, len(left), batch_size):
            ids = left[start : start + batch_size]
            teacher.update(ids, losses(ids, epoch))
            yield epoch, ids


def at_strength_0_counts_stay_even(lib) -> None:
    for samples, ratio, first in ((10, 0.7, "full"), (13, 0.3, "full"), (9, 0.5, "score")):
        teacher = lib.teacher.Teacher(
            samples, epochs=25, select="aged", strength=0.0, ratio=ratio, first=first
        )
        teacher.record(range(samples), torch.ones(samples))
        counts = Counter(dict.fromkeys(range(samples), 0))
        seen = 0
        for epoch, ids in run(teacher, lambda ids, epoch: torch.rand(len(ids), generator=CHANCE)):
            if epoch != seen:
                assert max(counts.values()) - min(counts.values()) <= 1, (samples, ratio, epoch)
                seen = epoch
            counts.update(ids)
        assert max(counts.values()) - min(counts.values()) <= 1


CHANCE = Generator().manual_seed(7)


def strength_is_the_power_of_the_score(lib) -> None:
    """Of scores 1, 2, 4, 8 with strength 1 the higher is taught twice as often; within a tenth."""
    scores = torch.tensor([1.0, 2.0, 4.0, 8.0]).repeat_interleave(30)
    for strength in (0.5, 1.0):
        teacher = lib.teacher.Teacher(
            120, epochs=400, select="aged", strength=strength, ratio=0.1, first="score"
        )
        teacher.record(range(120), scores)
        counts = torch.zeros(120)
        for epoch in range(400):
            teacher.set_epoch(epoch)
            ids = teacher.selected
            counts[ids] += 1
            teacher.update(ids, scores[ids])
        found = counts.view(4, 30).sum(1)
        expected = torch.tensor([1.0, 2.0, 4.0, 8.0]) ** strength
        assert ((found / found.sum()) / (expected / expected.sum()) - 1).abs().max() < 0.1, strength


def every_epoch_has_chance_of_its_own(lib) -> None:
    """Selections and orders of an epoch neither repeat nor depend on each other."""
    teacher = lib.teacher.Teacher(200, epochs=6, select="random", ratio=0.5)
    orders = []
    for epoch in range(6):
        teacher.set_epoch(epoch)
        orders.append(teacher.selected)
    for later in range(2, 6):
        assert set(orders[later].tolist()) != set(orders[later - 1].tolist())
    kept = lib.teacher.Teacher(200, epochs=6, select="random", ratio=0.5, every=5)
    orders = []
    for epoch in range(6):
        kept.set_epoch(epoch)
        orders.append(kept.selected)
    for later in range(2, 6):
        assert not torch.equal(orders[later], orders[later - 1])
        assert torch.equal(orders[later].sort().values, orders[1].sort().values)


def a_broken_epoch_goes_on_with_what_is_left(lib) -> None:
    teacher = lib.teacher.Teacher(10, epochs=3, select="random", ratio=0.6)
    for epoch in range(3):
        teacher.set_epoch(epoch)
        order = teacher.selected.tolist()
        assert list(teacher.sampler) == order
        teacher.update(order[:3], torch.ones(3))
        assert teacher.epoch == epoch
        assert list(teacher.sampler) == order[3:]
        assert len(teacher.sampler) == len(order) - 3
        teacher.update(order[3:], torch.ones(len(order) - 3))
        assert teacher.epoch == epoch + 1
        with pytest.warns(RuntimeWarning, match="call teacher.set_epoch"):
            assert list(teacher.sampler) == []


# --- schedules and plan -------------------------------------------------------------------------


def schedules_follow_the_published_formulas(lib) -> None:
    """The ratios and intervals of the published code, recomputed for cycle c of C."""
    made, cycles = lib.schedules, 10
    for c in range(cycles):
        p = c / (cycles - 1)
        cosine = 0.2 + (0.8 - 0.2) * (1 - math.cos(math.pi * p)) / 2
        assert math.isclose(made.cosine(0.2, 0.8)(p), cosine, rel_tol=1e-12)
        assert math.isclose(made.incremental(0.2, 0.8)(p), 0.2 + 0.6 * p, rel_tol=1e-12)
        assert math.isclose(made.step(0.2, 0.92, 10)(p), 0.2 + 0.08 * c, rel_tol=1e-12)
        assert made.constant(0.7)(p) == 0.7
    intervals = [math.floor(made.incremental(5, 10)(c / 9)) for c in range(10)]
    assert intervals == [5, 5, 6, 6, 7, 7, 8, 8, 9, 10]


def step_changes_where_the_fraction_says(lib) -> None:
    for stages in (2, 7, 10, 100):
        for cycles in range(2, 102):
            found = [
                lib.schedules.step(0, stages - 1, stages)(c / (cycles - 1)) for c in range(cycles)
            ]
            exact = [min(c * stages // (cycles - 1), stages - 1) for c in range(cycles)]
            assert [round(x, 9) for x in found] == exact


def epochs_have_the_planned_sizes(lib) -> None:
    made = lib.schedules
    sizes = lib.plan.plan(100, 4, made.constant(0.29), made.constant(1)).sizes
    assert sizes == (100, 29, 29, 29)
    sizes = lib.plan.plan(1000, 11, made.incremental(0.2, 0.65), made.constant(1)).sizes
    assert sizes == (1000, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650)
    laid = lib.plan.plan(10, 12, made.constant(0.5), made.incremental(1, 4), final_full=1)
    # 10 epochs between; 1 + 3 * done/9 at done = 0, 1, 2, 3, 5, 7
    assert laid.cycles == (-1, 0, 1, 2, 3, 3, 4, 4, 5, 5, 5, -1)
    assert laid.sizes == (10, *[5] * 10, 10)


def intervals_are_rounded_down(lib) -> None:
    """Against fractions: floor(a + (b - a) done / (E - 1)) epochs after `done` of E."""
    for a, b in ((1, 4), (1, 6), (5, 50), (7, 3), (2, 2)):
        for epochs in range(1, 40):
            lengths, done = [], 0
            while done < epochs:
                share = Fraction(done, epochs - 1) if epochs > 1 else Fraction(0)
                length = min(math.floor(a + (b - a) * share), epochs - done)
                lengths.append(length)
                done += length
            laid = lib.plan.plan(
                9,
                epochs,
                lib.schedules.constant(0.5),
                lib.schedules.incremental(a, b),
                first="score",
            )
            assert list(Counter(laid.cycles).values()) == lengths, (a, b, epochs)


def dealt(order: list[int], batch_size: int, world_size: int, drop_last: bool):
    """The batches of each process, in turns; a last round is filled from the head, or left out."""
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if drop_last:
        batches = [batch for batch in batches if len(batch) == batch_size]
        batches = batches[: len(batches) // world_size * world_size]
    else:
        while len(batches) % world_size:
            batches.append(order[:batch_size])
    return [batches[rank::world_size] for rank in range(world_size)]


def steps_taken(teacher, batch_size: int, grad_accum: int, world_size: int, drop_last: bool) -> int:
    """Count the optimizer steps of a run, one by one."""
    steps = 0
    for epoch in range(teacher.epochs):
        teacher.set_epoch(epoch)
        shares = dealt(teacher.selected.tolist(), batch_size, world_size, drop_last)
        assert len({len(share) for share in shares}) == 1
        waiting = 0
        for _ in shares[0]:
            waiting += 1
            if waiting == grad_accum:
                steps, waiting = steps + 1, 0
        steps += waiting > 0
    return steps


def total_steps_are_those_taken(lib) -> None:
    for samples, epochs, ratio in ((37, 3, 0.7), (8, 2, 0.5), (64, 4, 0.29)):
        teacher = lib.teacher.Teacher(samples, epochs=epochs, select="random", ratio=ratio)
        for batch_size in (1, 3, 8):
            for grad_accum in (1, 2, 5):
                for world_size in (1, 2, 3):
                    for drop_last in (False, True):
                        how = (batch_size, grad_accum, world_size, drop_last)
                        fresh = lib.teacher.Teacher(
                            samples, epochs=epochs, select="random", ratio=ratio
                        )
                        assert teacher.total_steps(*how) == steps_taken(fresh, *how), how


# --- state and report ---------------------------------------------------------------------------


def short(lib, **told):
    more = {"epochs": 3, "ratio": 0.5, "select": "soft", "seed": 4} | told
    return lib.teacher.Teacher(9, **more)


def loss(ids: list[int], epoch: int) -> Tensor:
    return torch.tensor([(7 * i + 3 * epoch) % 5 + 0.5 for i in ids])


def a_run_goes_on_from_each_of_its_points(lib) -> None:
    for told in ({}, {"select": "auto", "epochs": 5}, {"every": 2}, {"reweight": True}):
        first = short(lib, **told)
        whole, points = [], [first.state_dict()]
        for batch in run(first, loss):
            whole.append(batch)
            points.append(first.state_dict())
        for done, state in enumerate(points):
            again = short(lib, **told)
            again.load_state_dict(state)
            assert list(run(again, loss)) == whole[done:]


def refused(call) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


def a_state_of_another_or_a_damaged_one_is_refused(lib) -> None:
    teacher = short(lib)
    for number, _ in enumerate(run(teacher, loss)):
        if number == 3:
            break
    for told in ({"seed": 5}, {"ratio": 0.8}, {"every": 2}, {"temperature": 2.0}, {"epochs": 4}):
        assert refused(lambda: short(lib, **told).load_state_dict(teacher.state_dict()))  # noqa: B023
    for name in ("scores", "taught_at", "times", "chosen"):
        damaged = teacher.state_dict()
        damaged["tensors"][name].view(torch.uint8)[0] ^= 1
        assert refused(lambda: short(lib).load_state_dict(damaged)), name  # noqa: B023
    state = teacher.state_dict()
    state["numbers"]["updates"] += 1
    assert refused(lambda: short(lib).load_state_dict(state))


def a_state_stays_as_it_was_taken(lib) -> None:
    teacher = short(lib)
    going = iter(run(teacher, loss))
    next(going)
    state = teacher.state_dict()
    scores, taught = state["tensors"]["scores"].clone(), list(state["numbers"]["taught"])
    list(going)
    assert torch.equal(state["tensors"]["scores"], scores)
    assert state["numbers"]["taught"] == taught


def a_report_counts(lib) -> None:
    teacher = lib.teacher.Teacher(4, epochs=3, ratio=0.5, select="hard")
    teacher.set_epoch(0)
    teacher.update([0, 1, 2], tensor(1.0, INF, NAN))
    told = teacher.report()
    assert (told.unseen, told.infinite, told.nan, told.taught) == (1, 1, 1, (3,))
    assert told.times == (1, 3)
    teacher.set_epoch(1)
    assert teacher.report().times == (1, 3)
    assert set(teacher.selected.tolist()) == {3, 1}
    teacher.update([3, 1], tensor(1.0, 2.0))
    told = teacher.report()
    assert told.times == (0, 3, 1)
    assert (told.taught, told.planned) == ((3, 2), (4, 2, 2))
    assert (told.score_ages.smallest, told.score_ages.largest) == (0, 1)
    teacher.record([0], tensor(5.0))
    teacher.set_epoch(2)
    assert set(teacher.selected.tolist()) == {0, 1}
    ntk = lib.teacher.Teacher(4, epochs=3, select="ntk")
    ntk.record(range(4), torch.ones(4))
    for epoch in range(3):
        ntk.set_epoch(epoch)
        ntk.update(ntk.selected, torch.full((len(ntk.selected),), 9.0))
    told = ntk.report()
    assert (told.score_ages.smallest, told.score_ages.largest) == (2, 2)
    assert ntk.state_dict()["tensors"]["scores"].tolist() == [1.0] * 4


def ids_out_of_range_write_nothing(lib) -> None:
    teacher = lib.teacher.Teacher(4, epochs=1)
    teacher.set_epoch(0)
    for ids in ([0, -1], [0, 4]):
        assert refused(lambda: teacher.update(ids, torch.ones(2)))  # noqa: B023
        assert teacher.report().unseen == 4
        assert list(teacher.sampler) == teacher.selected.tolist()
