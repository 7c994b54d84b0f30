"""The three lines of the teacher in a plain loop: loaders, budgets, what a run leaves alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from ntteach.teaching import Teacher, constant, cosine, incremental, indexed, step

N = 46
RULES: dict[str, dict[str, Any]] = {
    "auto": {},
    "random": {"select": "random"},
    "hard": {"select": "hard"},
    "soft": {"select": "soft", "reweight": True},
    "aged": {"select": "aged", "strength": 0.5, "floor": 0.2, "cap": 0.9},
    "weighted": {"select": "weighted", "weights": [1.0 + i % 3 for i in range(N)]},
}


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def data() -> TensorDataset:
    x = randn(N, 4)
    return TensorDataset(x, (x @ randn(4, 3, seed=1)).argmax(1))


def learner() -> nn.Linear:
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.copy_(randn(3, 4, seed=2))
        model.bias.zero_()
    return model


def run(teacher: Teacher, loader: DataLoader) -> tuple[list[list[int]], nn.Linear]:
    """The loop of the documentation; returns the ids of each step, and the model."""
    model = learner()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps: list[list[int]] = []
    for epoch in range(teacher.epoch, teacher.epochs):
        teacher.set_epoch(epoch)
        begun = len(steps)
        for ids, x, y in loader:
            losses = F.cross_entropy(model(x), y, reduction="none")
            teacher.update(ids, losses).backward()
            optimizer.step()
            optimizer.zero_grad()
            steps.append(ids.tolist())
        drawn = [i for batch in steps[begun:] for i in batch]
        assert drawn == teacher.selected.tolist()[: len(drawn)]
    return steps, model


# Workers pull ahead of the training, and a process that is spawned starts from pickles.
LOADERS: dict[str, dict[str, Any]] = {
    "no workers": {"num_workers": 0},
    "two workers": {"num_workers": 2, "prefetch_factor": 4},
    "persistent": {"num_workers": 2, "persistent_workers": True},
    "spawned": {
        "num_workers": 1,
        "persistent_workers": True,
        "multiprocessing_context": "spawn",
    },
}


@pytest.mark.parametrize(
    ("loading", "drop_last"),
    # starting fresh interpreters is slow: once is enough
    [(loading, False) for loading in LOADERS] + [(loading, True) for loading in list(LOADERS)[:3]],
)
def test_the_loop_teaches_its_plan_whatever_loads_the_data(loading: str, drop_last: bool):
    teacher = Teacher(N, epochs=4, select="soft", ratio=0.7, seed=0)
    loader = DataLoader(
        indexed(data()),
        batch_size=8,
        sampler=teacher.sampler,
        drop_last=drop_last,
        **LOADERS[loading],
    )
    steps, model = run(teacher, loader)
    assert len(steps) == teacher.total_steps(8, drop_last=drop_last)
    plain = Teacher(N, epochs=4, select="soft", ratio=0.7, seed=0)
    here = DataLoader(indexed(data()), batch_size=8, sampler=plain.sampler, drop_last=drop_last)
    expected, same = run(plain, here)
    assert steps == expected
    assert torch.equal(model.weight, same.weight)
    if not drop_last:
        assert sum(map(len, steps)) == teacher.total_samples == N + 3 * 32
        assert teacher.epoch == teacher.epochs


@pytest.mark.parametrize("first", ["full", "score"])
@pytest.mark.parametrize("name", RULES)
def test_every_rule_keeps_the_budget_exactly(name: str, first: str):
    teacher = Teacher(N, epochs=7, first=first, ratio=cosine(0.2, 0.8), final_full=2, **RULES[name])
    if first == "score":
        teacher.record(torch.arange(N), torch.rand(N, generator=torch.Generator().manual_seed(1)))
    loader = DataLoader(indexed(data()), batch_size=8, sampler=teacher.sampler)
    steps, _ = run(teacher, loader)
    assert sum(map(len, steps)) == teacher.total_samples
    assert len(steps) == teacher.total_steps(8)
    assert teacher.report().taught == teacher.plan.sizes
    times = torch.bincount(torch.tensor([i for ids in steps for i in ids]), minlength=N)
    assert teacher.report().times == tuple(torch.bincount(times).tolist())


@pytest.mark.parametrize(
    ("ratio", "every"),
    [(constant(0.31), 1), (incremental(0.2, 0.8), 3), (step(0.2, 0.9, 3), incremental(1, 4))],
)
def test_between_selections_the_same_samples_come_in_a_fresh_order(ratio: Any, every: Any):
    teacher = Teacher(N, epochs=9, select="hard", ratio=ratio, every=every)
    loader = DataLoader(indexed(data()), batch_size=8, sampler=teacher.sampler)
    steps = iter(run(teacher, loader)[0])
    epochs = [[i for _ in range(-(-n // 8)) for i in next(steps)] for n in teacher.plan.sizes]
    for e in range(1, 9):
        assert len(set(epochs[e])) == len(epochs[e]) == teacher.plan.sizes[e]
        assert epochs[e] != epochs[e - 1]
        if not teacher.plan.begins_cycle(e):
            assert set(epochs[e]) == set(epochs[e - 1])


def test_items_that_are_mappings_carry_their_ids_too():
    rows = [{"x": float(i)} for i in range(10)]
    teacher = Teacher(10, epochs=2, select="hard", ratio=0.3)
    loader = DataLoader(indexed(rows), batch_size=4, sampler=teacher.sampler)
    for epoch in range(teacher.epoch, teacher.epochs):
        teacher.set_epoch(epoch)
        for batch in loader:
            teacher.update(batch["sample_id"], batch["x"])
    assert sorted(teacher.selected.tolist()) == [7, 8, 9]


def test_micro_batches_are_remembered_as_whole_ones():
    whole, parts = (Teacher(N, epochs=3, select="hard", ratio=0.5, seed=3) for _ in range(2))
    losses = randn(N).abs()
    for epoch in range(3):
        for teacher in (whole, parts):
            teacher.set_epoch(epoch)
        assert torch.equal(whole.selected, parts.selected)
        for ids in whole.selected.split(10):
            whole.update(ids, losses[ids] + epoch)
            for part in ids.split(3):
                parts.update(part, losses[part] + epoch)
    assert whole.report().taught == parts.report().taught == (N, 23, 23)
    assert whole.epoch == parts.epoch == 3
    scores = [t.state_dict()["tensors"]["scores"] for t in (whole, parts)]
    assert torch.equal(*scores)


def test_accumulated_micro_batches_step_as_often_as_planned():
    teacher = Teacher(N, epochs=4, select="hard", ratio=0.6)
    loader = DataLoader(indexed(data()), batch_size=5, sampler=teacher.sampler)
    steps = 0
    for epoch in range(teacher.epoch, teacher.epochs):
        teacher.set_epoch(epoch)
        for number, (ids, _, _) in enumerate(loader, start=1):
            teacher.update(ids, randn(len(ids)).abs())
            steps += number % 3 == 0 or number == -(-teacher.plan.sizes[epoch] // 5)
    assert steps == teacher.total_steps(5, grad_accum=3)


def test_the_mean_is_differentiated_and_scores_keep_no_graph():
    teacher = Teacher(N, epochs=2)
    teacher.set_epoch(0)
    losses = randn(4).abs().requires_grad_()
    mean = teacher.update(torch.tensor([3, 1, 4, 5]), losses)
    mean.backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [0.25] * 4
    assert not teacher.state_dict()["tensors"]["scores"].requires_grad


def test_an_epoch_that_was_broken_off_goes_on_where_its_last_update_was():
    teacher = Teacher(N, epochs=2, seed=5)
    teacher.set_epoch(0)
    order = teacher.selected.tolist()
    loader = DataLoader(indexed(data()), batch_size=8, sampler=teacher.sampler)
    for number, (ids, _, _) in enumerate(loader):
        if number == 3:
            break  # drawn, never updated
        teacher.update(ids, randn(len(ids)).abs())
    assert teacher.epoch == 0
    assert len(loader) == -(-(N - 24) // 8)
    teacher.set_epoch(teacher.epoch)
    left = [i for ids, _, _ in loader for i in ids.tolist()]
    assert left == order[24:]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_length_of_a_loader_stays_while_it_is_gone_through(workers: int):
    # as loops have it that step after the last batch too, and divide by the length at the end
    teacher = Teacher(N, epochs=2, seed=5)
    loader = DataLoader(indexed(data()), batch_size=8, sampler=teacher.sampler, num_workers=workers)
    batches = -(-N // 8)
    teacher.set_epoch(0)
    stepped = []
    for number, (ids, _, _) in enumerate(loader):
        teacher.update(ids, torch.ones(len(ids)))
        if (number + 1) % 2 == 0 or number + 1 == len(loader):
            stepped.append(number + 1)
    assert stepped == [n for n in range(1, batches + 1) if n % 2 == 0 or n == batches]
    assert len(stepped) == -(-batches // 2)
    assert len(loader) == batches
    saved = teacher.state_dict()
    teacher.set_epoch(0)
    assert len(loader) == 0
    teacher.set_epoch(1)
    assert len(loader) == -(-len(teacher.selected) // 8)
    first = iter(teacher.sampler)
    assert len({next(first), next(first)}) == 2
    second = iter(teacher.sampler)
    next(second)
    teacher.update(teacher.selected[:8], torch.ones(8))
    first.close()  # not the pass under way
    assert len(teacher.sampler) == len(teacher.selected)
    second.close()
    assert len(teacher.sampler) == len(teacher.selected) - 8
    list(teacher.sampler)
    teacher.load_state_dict(saved)
    assert len(teacher.sampler) == 0


def test_samples_that_are_updated_twice_do_not_end_an_epoch():
    # as two passes a step do, and an optimizer that calls its closure again
    teacher = Teacher(N, epochs=2)
    teacher.set_epoch(0)
    for ids in teacher.selected[: N // 2].split(5):
        for _ in range(2):
            teacher.update(ids, torch.ones(len(ids)))
    assert teacher.epoch == 0
    assert len(teacher.remaining()) == N - N // 2
    teacher.update(teacher.remaining(), torch.ones(N - N // 2))
    assert teacher.epoch == 1


# --- what it leaves alone ------------------------------------------------------------------------


def chances() -> tuple[Any, ...]:
    """The states of everybody's random numbers, as something that compares."""
    numpy: Any = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        [x.tolist() if isinstance(x, np.ndarray) else x for x in numpy],
    )


@pytest.mark.parametrize("name", RULES)
def test_no_global_generator_is_read_or_seeded(name: str, tmp_path: Any):
    def use(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        before = chances()
        teacher = Teacher(N, epochs=5, ratio=0.4, seed=1, **RULES[name])
        orders = []
        for epoch in range(5):
            teacher.set_epoch(epoch)
            orders.append(list(teacher.sampler))
            ids = torch.tensor(orders[-1])
            teacher.update(ids, randn(N, seed=epoch).abs()[ids])
            teacher.record(torch.arange(3), torch.ones(3))
            teacher.save(tmp_path / "teacher.pt")
            teacher = Teacher(N, epochs=5, ratio=0.4, seed=1, **RULES[name])
            teacher.load(tmp_path / "teacher.pt")
        str(teacher.report())
        assert chances() == before
        return orders

    with torch.random.fork_rng(devices=[]):
        python, numpy = random.getstate(), np.random.get_state()
        try:
            assert use(1) == use(2)  # and chooses nothing by them
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def test_another_seed_draws_others():
    orders = []
    for seed in (0, 1, 2**70, -5):
        teacher = Teacher(N, epochs=1, seed=seed)
        teacher.set_epoch(0)
        orders.append(tuple(teacher.selected.tolist()))
    assert len(set(orders)) == 4


class Operations(TorchDispatchMode):
    """The names of all operations that torch carries out, and the devices of what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        devices = [x.device.type for x in args if isinstance(x, Tensor)]
        self.seen.append((func.overloadpacket.__name__, devices[0] if devices else ""))
        return func(*args, **(kwargs or {}))

    def count(self, name: str) -> int:
        return sum(seen == name for seen, _ in self.seen)


@pytest.mark.parametrize("name", ["auto", "soft"])
def test_a_batch_is_recorded_by_one_index_copy_and_waits_for_no_device(name: str):
    # Tensors on "meta" have no values: whoever asks for one gets an error, as a GPU would wait.
    teacher = Teacher(N, epochs=3, ratio=0.5, device="meta", **{**RULES[name], "reweight": False})
    teacher.set_epoch(0)
    ids = torch.tensor([3, 1, 4, 5])
    for dtype in (torch.float32, torch.bfloat16):
        losses = torch.zeros(4, dtype=dtype, device="meta", requires_grad=True)
        with Operations() as operations:
            mean = teacher.update(ids, losses)
        assert mean.device.type == "meta"
        assert operations.count("index_copy_") == 1
        assert not [n for n, d in operations.seen if n == "_local_scalar_dense" and d != "cpu"]
        assert len(operations.seen) < 25


def test_reading_one_loss_at_a_time_waits_for_the_device_each_time():
    """The control of the test before: what it looks for is there to be found."""
    losses = torch.ones(4)
    with Operations() as operations:
        [float(loss) for loss in losses]
    assert operations.count("_local_scalar_dense") == 4
    with pytest.raises(RuntimeError):
        losses.to("meta")[0].item()


def test_a_report_is_plain_numbers():
    teacher = Teacher(N, epochs=3, ratio=0.5)
    loader = DataLoader(indexed(data()), batch_size=8, sampler=teacher.sampler)
    run(teacher, loader)

    def plain(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                yield from plain(part)
        else:
            yield value

    kinds = {type(x) for x in plain(asdict(teacher.report()))}
    assert kinds <= {int, float, str, type(None)}
