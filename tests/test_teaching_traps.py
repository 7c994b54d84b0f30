"""Traps that systems which choose samples have fallen into: the naive way falls, the teacher not.

Each test writes the naive version down, sees it go wrong in the stated manner, and then puts the
teacher into the same place. Drawing by chance has its own tests; this is about loops.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, TensorDataset

from ntteach.teaching import Teacher, incremental, indexed, ntk_scores, token_mean

N = 40
NAN, INF = float("nan"), float("inf")


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def taught(teacher: Teacher, losses: Tensor, epoch: int = 0, batch: int = 8) -> list[int]:
    """One epoch with the given loss for each sample; returns the ids in their order."""
    teacher.set_epoch(epoch)
    order = teacher.selected
    for ids in order.split(batch):
        teacher.update(ids, losses[ids])
    return order.tolist()


def scores(teacher: Teacher) -> Tensor:
    return teacher.state_dict()["tensors"]["scores"]


def chosen(teacher: Teacher, losses: Tensor) -> set[int]:
    """What is selected after a full epoch with these losses."""
    taught(teacher, losses)
    teacher.set_epoch(1)
    return set(teacher.selected.tolist())


# --- samplers ------------------------------------------------------------------------------------


class ReturnsItself(Sampler):
    """Starts anew whenever it is asked for an iterator, and hands out itself."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        self.left = iter(range(self.n))
        return self

    def __next__(self) -> int:
        return next(self.left)

    def __len__(self) -> int:
        return self.n


def test_an_epoch_ends():
    # torch's BatchSampler takes the batches by islice, which asks for an iterator each time
    endless = BatchSampler(ReturnsItself(10), batch_size=4, drop_last=False)
    assert list(islice(endless, 20)) == [[0, 1, 2, 3]] * 20
    teacher = Teacher(10, epochs=1)
    teacher.set_epoch(0)
    ours = BatchSampler(teacher.sampler, batch_size=4, drop_last=False)
    batches = list(islice(ours, 20))
    assert [len(ids) for ids in batches] == [4, 4, 2]
    assert sorted(i for ids in batches for i in ids) == list(range(10))


def test_two_iterators_of_one_sampler_do_not_share_a_place():
    naive = ReturnsItself(10)
    first, second = iter(naive), iter(naive)
    assert [next(first), next(second), next(first)] == [0, 1, 2]
    teacher = Teacher(10, epochs=1)
    teacher.set_epoch(0)
    first, second = iter(teacher.sampler), iter(teacher.sampler)
    order = teacher.selected.tolist()
    assert [next(first), next(second), next(first)] == [order[0], order[0], order[1]]


class Current(Sampler):
    """Remembers which batch it handed out last, for `update(losses)` without ids."""

    def __init__(self, n: int) -> None:
        self.n, self.batch = n, torch.empty(0)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, self.n, 8):
            self.batch = torch.arange(start, min(start + 8, self.n))
            yield self.batch.tolist()

    def __len__(self) -> int:
        return -(-self.n // 8)


def ahead(loader: Iterable[Any]) -> Iterator[Any]:
    """One batch in advance, as Accelerate takes them in order to know which is the last."""
    batches = iter(loader)
    held = next(batches)
    for batch in batches:
        yield held
        held = batch
    yield held


@pytest.mark.parametrize("way", ["a batch ahead", "two workers"])
def test_losses_reach_their_own_samples_when_batches_are_pulled_ahead(way: str):
    truth = torch.arange(N) / 10
    dataset = TensorDataset(truth)
    workers: Any = {"num_workers": 2 if way == "two workers" else 0}

    def pulled(loader: DataLoader) -> Iterator[Any]:
        return ahead(loader) if way == "a batch ahead" else iter(loader)

    naive, table = Current(N), torch.zeros(N)
    for (losses,) in pulled(DataLoader(dataset, batch_sampler=naive, **workers)):
        table[naive.batch.long()] = losses
    assert (table != truth).sum() > N / 2  # most losses stand at wrong samples, and nobody is told

    teacher = Teacher(N, epochs=1)
    loader = DataLoader(indexed(dataset), batch_size=8, sampler=teacher.sampler, **workers)
    teacher.set_epoch(0)
    for ids, losses in pulled(loader):
        teacher.update(ids, losses)
    assert torch.equal(scores(teacher), truth)


def test_the_position_counts_what_was_updated_not_what_was_drawn():
    class Counting(Sampler):
        drawn = 0

        def __iter__(self) -> Iterator[int]:
            for i in range(N):
                Counting.drawn += 1
                yield i

        def __len__(self) -> int:
            return N

    def broken_off(loader: DataLoader) -> Iterator[Any]:
        return islice(iter(loader), 2)  # killed in the third batch

    dataset = TensorDataset(torch.zeros(N))
    ahead_of_training: Any = {"num_workers": 1, "prefetch_factor": 4, "batch_size": 4}
    list(broken_off(DataLoader(dataset, sampler=Counting(), **ahead_of_training)))
    assert Counting.drawn > 8  # a resumed run would never teach what lay between

    teacher = Teacher(N, epochs=1)
    teacher.set_epoch(0)
    order = teacher.selected.tolist()
    loader = DataLoader(indexed(dataset), sampler=teacher.sampler, **ahead_of_training)
    for ids, x in broken_off(loader):
        teacher.update(ids, x)
    again = Teacher(N, epochs=1)
    again.load_state_dict(teacher.state_dict())
    again.set_epoch(again.epoch)
    assert list(again.sampler) == order[8:]


# --- ids -----------------------------------------------------------------------------------------


def test_ids_beyond_what_half_precision_counts_keep_their_losses():
    ids, losses = torch.tensor([50001]), torch.tensor([2.0], dtype=torch.bfloat16)
    mixed = torch.stack([ids.to(losses.dtype), losses])  # gathered as one tensor
    assert int(mixed[0]) != 50001
    assert int(torch.tensor([2**24 + 1]).float()) == 2**24  # float32 has an end too

    teacher = Teacher(60000, epochs=1, ratio=1.0)
    teacher.set_epoch(0)
    teacher.update(ids, losses)
    assert scores(teacher).isfinite().nonzero().tolist() == [[50001]]


def test_a_sample_is_the_same_whatever_its_batch_is_padded_to():
    def key(row: list[int], length: int) -> int:
        return hash(tuple(row + [0] * (length - len(row))))

    assert key([5, 6], 4) != key([5, 6], 7)  # padded with its batch, it is another sample
    rows = [[5, 6], [1] * 4, [2] * 7]
    items = indexed(rows)
    for batch in ([0, 1], [0, 2]):
        assert items.__getitems__(batch)[0] == (0, [5, 6])


class Delegating(Dataset):
    """A wrapper that looks unknown attributes up in what it wraps."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)


def test_the_dataset_reaches_workers_that_start_from_pickles():
    with pytest.raises(RecursionError):
        pickle.loads(pickle.dumps(Delegating([1, 2])))
    assert pickle.loads(pickle.dumps(indexed([1, 2])))[1] == (1, 2)


# --- update --------------------------------------------------------------------------------------


def test_part_of_a_batch_can_be_updated():
    batch, losses = torch.arange(8), torch.arange(8) / 8
    table = torch.zeros(8)

    def update(part: Tensor) -> None:
        table.index_copy_(0, batch, part)  # the sampler's batch, whole

    with pytest.raises((IndexError, RuntimeError)):
        update(losses[:3])
    teacher = Teacher(8, epochs=1)
    teacher.set_epoch(0)
    for ids in (batch[:3], batch[3:4], batch[4:]):
        teacher.update(ids, losses[ids])
    assert torch.equal(scores(teacher), losses)
    assert teacher.report().taught == (8,)


def test_scores_are_kept_in_float32_whatever_the_losses_come_in():
    low, high = torch.tensor([1.0]), torch.tensor([1.001])
    table = torch.zeros(2, dtype=torch.bfloat16)  # as the first losses came, under autocast
    table[0], table[1] = low[0], high[0]
    assert table[0] == table[1]
    with pytest.raises(RuntimeError):  # or refused
        table.index_copy_(0, torch.tensor([0]), low)

    teacher = Teacher(3, epochs=1)
    teacher.set_epoch(0)
    teacher.update(torch.tensor([2]), torch.tensor([0.5], dtype=torch.bfloat16))
    teacher.update(torch.tensor([0, 1]), torch.cat([low, high]))
    assert scores(teacher).dtype == torch.float32
    assert torch.equal(scores(teacher), torch.tensor([1.0, 1.001, 0.5]))
    half = teacher.update(torch.tensor([0]), torch.tensor([3.0], dtype=torch.float16))
    assert half.dtype == torch.float16  # the caller's loss stays the caller's


def test_scores_do_not_hold_on_to_the_graphs_of_old_losses():
    table: dict[int, Tensor] = {}
    leaf = torch.ones(4, requires_grad=True)
    table.update(enumerate(leaf * 2))
    assert table[0].grad_fn is not None  # with it all activations of that step
    teacher = Teacher(4, epochs=1)
    teacher.set_epoch(0)
    teacher.update(torch.arange(4), leaf * 2)
    assert all(not t.requires_grad for t in tensors_of(teacher))


def tensors_of(thing: Any) -> Iterator[Tensor]:
    for value in vars(thing).values():
        if isinstance(value, Tensor):
            yield value
        elif type(value).__module__.startswith("ntteach.teaching.memory"):
            yield from tensors_of(value)


def test_a_mean_over_the_padded_length_depends_on_the_batch_and_prefers_long_sequences():
    easy, hard = torch.full((12,), 0.5), torch.full((3,), 1.0)

    def padded(rows: list[Tensor], L: int) -> tuple[Tensor, Tensor]:
        full = torch.stack([F.pad(row, (0, L - len(row))) for row in rows])
        return full, torch.arange(L) < torch.tensor([len(row) for row in rows])[:, None]

    together, valid = padded([easy, hard], 12)
    alone, valid_alone = padded([hard], 3)
    assert together.mean(1)[0] > together.mean(1)[1]  # the long and easy one comes first
    assert together.mean(1)[1] != alone.mean(1)[0]
    assert token_mean(together, valid).tolist() == [0.5, 1.0]
    assert token_mean(alone, valid_alone).tolist() == [1.0]


# --- scores that are no numbers, or none yet -----------------------------------------------------


def test_samples_with_nan_are_not_the_hardest():
    losses = torch.linspace(1, 2, N)
    losses[:3] = NAN
    assert {0, 1, 2} <= set(losses.topk(10).indices.tolist())  # torch ranks NaN above infinity
    assert losses.isnan().any()
    teacher = Teacher(N, epochs=3, select="hard", ratio=0.25)
    assert chosen(teacher, losses) == set(range(N - 10, N))
    assert teacher.report().nan == 3
    most = Teacher(N, epochs=2, select="hard", ratio=(N - 2) / N)
    assert len(chosen(most, losses) & {0, 1, 2}) == 1  # last, but the budget is kept


@pytest.mark.parametrize("select", ["auto", "hard", "soft", "aged"])
def test_a_diverged_sample_neither_stops_the_teacher_nor_draws_all(select: str):
    losses = torch.linspace(1, 2, N)
    losses[5], losses[7] = INF, NAN
    assert not math.isfinite(float(losses.softmax(0).sum()))  # the naive probabilities
    teacher = Teacher(N, epochs=3, select=select, ratio=0.25)
    picked = chosen(teacher, losses)
    assert len(picked) == 10
    assert 5 in picked
    assert 7 not in picked
    report = teacher.report()
    assert (report.infinite, report.nan, report.unseen) == (1, 1, 0)
    assert report.decisions[0].infinite == 1


@pytest.mark.parametrize("select", ["auto", "hard", "soft", "aged"])
def test_samples_never_seen_come_first(select: str):
    losses = torch.linspace(1, 2, N)
    table = torch.zeros(N)
    table[:30] = losses[:30]  # the loader dropped the last batch
    assert not set(table.topk(10).indices.tolist()) & set(range(30, N))  # nor will they ever be
    teacher = Teacher(N, epochs=2, select=select, ratio=0.5)
    teacher.set_epoch(0)
    seen = losses.clone()
    seen[0] = INF
    teacher.update(torch.arange(30), seen[:30])
    assert teacher.report().unseen == 10
    teacher.set_epoch(1)
    assert set(range(30, N)) | {0} <= set(teacher.selected.tolist())


def test_equal_losses_are_not_all_below_their_mean():
    losses = torch.full((1000,), 0.1)
    assert bool((losses < losses.mean()).all())  # rounding: everything counts as well learned
    teacher = Teacher(1000, epochs=3, select="hard", ratio=0.5)
    first = chosen(teacher, losses)
    taught(teacher, losses, epoch=1)
    teacher.set_epoch(2)
    second = set(teacher.selected.tolist())
    assert len(first) == len(second) == 500
    assert 150 < len(first & second) < 350  # by chance, not by their places: 250 expected


# --- chance --------------------------------------------------------------------------------------


def test_the_temperature_acts_on_the_score_alone():
    losses = torch.linspace(0.5, 3, N)
    noise = -torch.empty(N).exponential_(generator=torch.Generator().manual_seed(1)).log()
    naive = [set(((losses.log() + noise) / T).topk(10).indices.tolist()) for T in (1e-3, 1.0, 1e3)]
    assert naive[0] == naive[1] == naive[2]
    hardest = set(range(N - 10, N))
    cold = [
        chosen(Teacher(N, epochs=2, select="soft", ratio=0.25, temperature=1e-3, seed=s), losses)
        for s in range(3)
    ]
    assert cold == [hardest] * 3
    hot = [
        chosen(Teacher(N, epochs=2, select="soft", ratio=0.25, temperature=1e3, seed=s), losses)
        for s in range(40)
    ]
    # at a temperature of 1000 the hardest quarter is drawn like any other: 2.5 of 10
    assert 1.7 < sum(len(picked & hardest) for picked in hot) / 40 < 3.3


def test_nobody_else_gets_the_same_random_numbers_in_every_epoch():
    def naive(epoch: int) -> None:
        torch.manual_seed(0)
        torch.randperm(N)

    with torch.random.fork_rng(devices=[]):
        noise = []
        for epoch in range(2):
            naive(epoch)
            noise.append(torch.rand(3).tolist())
        assert noise[0] == noise[1]  # dropout and augmentation repeat themselves
        teacher = Teacher(N, epochs=2)
        noise = []
        for epoch in range(2):
            taught(teacher, torch.ones(N), epoch)
            noise.append(torch.rand(3).tolist())
        assert noise[0] != noise[1]


def test_a_cap_keeps_wrong_labels_out():
    losses = torch.linspace(0.1, 1, N)
    losses[::10] = 5.0 + torch.arange(4)  # a tenth is labelled wrongly
    wrong = set(range(0, N, 10))
    assert wrong < set(losses.topk(10).indices.tolist())
    assert not wrong & chosen(Teacher(N, epochs=2, select="hard", ratio=0.25, cap=0.9), losses)


# --- budget and learning rate --------------------------------------------------------------------


def test_the_budget_does_not_depend_on_the_losses():
    def below_the_mean(losses: Tensor) -> int:
        """How many a rule keeps that drops half of the samples below the mean."""
        below = losses < losses.mean()
        return int((~below).sum() + below.sum() // 2)

    even, skewed = torch.linspace(1, 2, N), torch.linspace(0, 1, N) ** 8
    assert below_the_mean(even) != below_the_mean(skewed)
    for select in ("auto", "hard", "soft", "aged"):
        for losses in (even, skewed, torch.zeros(N)):
            teacher = Teacher(N, epochs=6, select=select, ratio=0.7)
            planned = teacher.total_samples
            assert sum(len(taught(teacher, losses, e)) for e in range(6)) == planned == N + 5 * 28


@pytest.mark.parametrize("drop_last", [False, True])
def test_the_learning_rate_reaches_its_end(drop_last: bool):
    def last_rate(planned: int, taken: int) -> float:
        optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = LambdaLR(optimizer, lambda s: max(0.0, 1 - s / planned))
        for _ in range(taken):
            optimizer.step()
            schedule.step()
        return float(schedule.get_last_lr()[0])

    teacher = Teacher(N, epochs=5, select="hard", ratio=0.5)
    loader = DataLoader(
        indexed(TensorDataset(torch.ones(N))),
        batch_size=6,
        sampler=teacher.sampler,
        drop_last=drop_last,
    )
    taken, at_the_start = 0, 0
    for epoch in range(teacher.epoch, teacher.epochs):
        teacher.set_epoch(epoch)
        at_the_start = at_the_start or len(loader)
        for ids, losses in loader:
            teacher.update(ids, losses)
            taken += 1
    # a horizon of epochs times the loader's first length: a third of the rate is left
    assert last_rate(teacher.epochs * at_the_start, taken) > 0.3
    assert last_rate(teacher.total_steps(6, drop_last=drop_last), taken) == 0


@pytest.mark.parametrize(("epochs", "interval"), [(800, 5), (800, 100), (13, 4)])
def test_cycles_fill_the_run_and_nothing_more(epochs: int, interval: int):
    cycles = 10
    per_cycle = (epochs - 1) // cycles
    naive = 1 + sum(max(interval, per_cycle) for _ in range(cycles))
    assert naive != epochs  # the remainder is lost, or the interval runs over
    for every in (interval, incremental(interval, 2 * interval)):
        assert len(Teacher(N, epochs=epochs, every=every).plan.sizes) == epochs


# --- scores grow old -----------------------------------------------------------------------------


def test_what_is_not_chosen_grows_old_and_that_is_said():
    def loss(epoch: int) -> Tensor:
        """Easy samples at first, which are forgotten from epoch 2 on."""
        return torch.where(torch.arange(N) < 20, 0.3 if epoch < 2 else 9.0, 1.0)

    once: set[int] = set(loss(0).topk(20).indices.tolist())
    table = loss(0)
    for epoch in range(1, 8):
        picked = table.topk(20).indices
        once |= set(picked.tolist())
        table[picked] = loss(epoch)[picked]
    assert not once & set(range(20))  # the old scores of what was forgotten say: easy

    for select, back in (("hard", False), ("aged", True)):
        teacher = Teacher(N, epochs=8, select=select, ratio=0.5)
        late: set[int] = set()
        for epoch in range(8):
            order = taught(teacher, loss(epoch), epoch)
            late |= set(order) if epoch else set()
        assert (late >= set(range(20))) == back
        ages = teacher.report().score_ages
        assert ages is not None
        assert (ages.largest == 7) == (not back)
        if not back:
            assert (ages.smallest, ages.mean) == (0, 3.5)  # half of them 0, half 7


def test_a_scoring_pass_makes_scores_young_and_teaches_nothing():
    teacher = Teacher(N, epochs=4, select="hard", ratio=0.5)
    losses = torch.linspace(1, 2, N)
    for epoch in range(3):
        taught(teacher, losses, epoch)
    ages = teacher.report().score_ages
    assert ages is not None
    assert ages.largest == 2
    before = teacher.report().taught
    teacher.record(torch.arange(N), losses.flip(0))
    ages = teacher.report().score_ages
    assert ages is not None
    assert ages.largest == 0
    assert teacher.report().taught == before
    teacher.set_epoch(3)
    assert set(teacher.selected.tolist()) == set(range(20))


def test_scoring_leaves_modes_and_random_numbers_as_they_were():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    model.train()
    model[1].eval()  # frozen statistics

    def naive() -> None:
        model.eval()
        with torch.no_grad():
            model(torch.randn(5, 3))
        model.train()

    naive()
    assert model[1].training  # thawed
    model[1].eval()
    state = torch.get_rng_state()
    ntk_scores(model, randn(5, 3), randn(5, 1))
    assert not model[1].training
    assert model[2].training
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_would_make_the_score_a_random_variable():
    model = nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.Linear(16, 1)).train()
    x, g = randn(6, 3), randn(6, 1, seed=1)
    with torch.no_grad():
        assert not torch.equal(model(x), model(x))  # the naive score, in training mode
    assert torch.equal(ntk_scores(model, x, g), ntk_scores(model, x, g))


@pytest.mark.parametrize("select", ["auto", "hard", "soft", "aged"])
def test_minus_infinity_comes_last_and_stops_no_run(select):
    teacher = Teacher(10, epochs=3, select=select, ratio=0.9)
    teacher.set_epoch(0)
    losses = torch.ones(10)
    losses[3] = -torch.inf
    teacher.update(torch.arange(10), losses)
    teacher.set_epoch(1)
    assert 3 not in teacher.selected.tolist()
    assert teacher.report().infinite == 1
