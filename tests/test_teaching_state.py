"""A teacher's state, its epochs and its report: the same again after a restart, or one error."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from ntteach.teaching import Teacher, cosine, incremental
from ntteach.teaching.memory import LARGEST

N, EPOCHS, BATCH = 23, 5, 4
INF, NAN = float("inf"), float("nan")

# every rule, and what changes what a state holds
RULES: dict[str, dict[str, Any]] = {
    "auto": {},
    "random": {"select": "random"},
    "hard": {"select": "hard", "ratio": cosine(0.3, 0.8)},
    "hard with floor and cap": {"select": "hard", "floor": 0.3, "cap": 0.9},
    "soft": {"select": "soft", "temperature": 2.0, "every": 2},
    "soft, scored first": {"select": "soft", "draw_from": "score", "first": "score"},
    "soft, reweighted": {"select": "soft", "reweight": True, "every": 3},
    "aged": {"select": "aged", "strength": 0.5, "ratio": 0.4},
    "aged, final full": {"select": "aged", "strength": 0.0, "final_full": 1},
    "ntk": {"select": "ntk", "every": incremental(1, 2)},
    "weighted": {"select": "weighted", "weights": torch.arange(1.0, N + 1)},
    "weighted, reweighted": {
        "select": "weighted",
        "weights": torch.arange(1.0, N + 1),
        "reweight": True,
    },
    "gradnorm": {"select": "gradnorm", "groups": torch.arange(N) % 3},
}


def teacher_of(rule: str, **more: Any) -> Teacher:
    return Teacher(N, **({"epochs": EPOCHS, "ratio": 0.6, "seed": 5} | RULES[rule] | more))


def losses_of(ids: list[int], epoch: int, salt: int = 0) -> Tensor:
    """As chance would have them, but the same for an id and an epoch; some infinite or NaN."""
    chance = random.Random(f"{epoch}/{salt}")
    table = [chance.expovariate(1.0) for _ in range(N)]
    if epoch == 1:
        table[3], table[4] = INF, NAN
    return torch.tensor([table[i] for i in ids])


def steps(teacher: Teacher) -> Iterator[Any]:
    """A run from where the teacher is; what it hands out, and returns, step by step."""
    for epoch in range(teacher.epoch, teacher.epochs):
        scored = teacher.options.select in ("ntk", "gradnorm") or teacher.plan.cycles[0] == 0
        if scored and teacher.report().epoch < epoch:
            teacher.record(range(N), losses_of(list(range(N)), epoch, salt=1).nan_to_num(1, 9))
        teacher.set_epoch(epoch)
        left = teacher.remaining().tolist()
        for start in range(0, len(left), BATCH):
            ids = left[start : start + BATCH]
            mean = teacher.update(ids, losses_of(ids, epoch))
            yield epoch, ids, repr(float(mean))


def frozen(state: dict[str, Any]) -> str:
    """All of a state but the seconds in it, as text: equal texts are equal bits."""

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return [str(value.dtype), value.view(torch.uint8).tolist()]
        if isinstance(value, dict):
            timed = ("seconds", "update_seconds", "checksum")
            return {k: plain(v) for k, v in value.items() if k not in timed}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(state))


# --- the same again -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_a_run_goes_on_bit_for_bit_from_any_of_its_points(rule):
    """Before the first epoch, after every update, at an epoch's end: what comes is the same."""
    whole, points = [], []
    first = teacher_of(rule)
    points.append((0, first.state_dict()))
    for step in steps(first):
        whole.append(step)
        points.append((len(whole), first.state_dict()))
    assert {epoch for epoch, *_ in whole} == set(range(EPOCHS))
    for done, state in points:
        again = teacher_of(rule)
        again.load_state_dict(state)
        assert frozen(again.state_dict()) == frozen(state)
        assert list(steps(again)) == whole[done:]
        assert frozen(again.state_dict()) == frozen(first.state_dict())
        assert again.epoch == EPOCHS


@pytest.mark.parametrize("rule", RULES)
def test_through_a_file_and_into_a_teacher_that_has_run_elsewhere(rule, tmp_path):
    first = teacher_of(rule)
    going = steps(first)
    before = [next(going) for _ in range(9)]
    first.save(tmp_path / "teacher.pt")
    after = list(going)
    again = teacher_of(rule)
    for number, _ in enumerate(steps(again)):
        if number == 15:
            break
    again.load(tmp_path / "teacher.pt")
    assert list(steps(again)) == after
    assert len(before) == 9


def test_a_selection_that_has_begun_is_kept_whatever_was_scored_since():
    """What was chosen is in the state: it cannot be chosen again from scores that have moved on."""
    teacher = teacher_of("hard", every=4)
    going = steps(teacher)
    for _ in range(8):
        next(going)
    order = teacher.selected.tolist()
    teacher.record(range(N), torch.arange(N) * 1.0)
    again = teacher_of("hard", every=4)
    again.load_state_dict(teacher.state_dict())
    assert again.selected.tolist() == order


def test_a_teacher_at_its_start_has_a_state_too():
    fresh, used = teacher_of("soft"), teacher_of("soft")
    empty = fresh.state_dict()
    for _ in steps(used):
        pass
    used.load_state_dict(empty)
    assert used.epoch == 0
    assert frozen(used.state_dict()) == frozen(empty)
    assert list(steps(used)) == list(steps(fresh))
    with pytest.raises(ValueError, match="no epoch has begun"):
        teacher_of("soft").selected  # noqa: B018


@pytest.mark.parametrize("rule", ["auto", "soft, reweighted", "ntk"])
def test_a_state_is_a_snapshot(rule):
    """Neither does the teacher change its states, nor a state that was loaded the teacher."""
    teacher = teacher_of(rule)
    going = steps(teacher)
    for _ in range(10):
        next(going)
    state = teacher.state_dict()
    kept = frozen(state)
    list(going)
    assert frozen(state) == kept
    teacher.load_state_dict(state)
    assert frozen(state) == kept
    list(steps(teacher))
    assert frozen(state) == kept
    teacher.load_state_dict(state)
    for t in state["tensors"].values():
        if t is not None:
            t.zero_()
    state["numbers"]["taught"].clear()
    state["numbers"]["decisions"].clear()
    assert frozen(teacher.state_dict()) == kept


def test_a_state_is_tensors_and_plain_numbers():
    teacher = teacher_of("auto")
    list(steps(teacher))
    state = teacher.state_dict()
    json.dumps({k: v for k, v in state.items() if k != "tensors"}, allow_nan=True)
    assert all(t is None or t.device.type == "cpu" for t in state["tensors"].values())


# --- damaged ------------------------------------------------------------------------------------


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The ways to every number, word and truth in dictionaries and lists."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list | tuple):
        for i in range(len(value)):
            yield from leaves(value[i], (*path, i))
    elif not isinstance(value, Tensor):
        yield path


def at(state: Any, path: tuple) -> Any:
    for key in path:
        state = state[key]
    return state


def changed(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return 1
    return value + 1 if isinstance(value, int | float) else f"{value}?"


@pytest.fixture(scope="module", params=["auto", "soft, reweighted", "ntk"])
def half(request) -> tuple[str, dict[str, Any]]:
    """The state of a teacher in the middle of an epoch."""
    teacher = teacher_of(request.param)
    going = steps(teacher)
    for _ in range(14):
        next(going)
    return request.param, teacher.state_dict()


def refuses(teacher: Teacher, state: Any, match: str = "state") -> None:
    before = frozen(teacher.state_dict())
    order = teacher.selected.tolist()
    with pytest.raises(ValueError, match=match) as caught:
        teacher.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert frozen(teacher.state_dict()) == before
    assert teacher.selected.tolist() == order


def begun(rule: str) -> Teacher:
    teacher = teacher_of(rule)
    going = steps(teacher)
    for _ in range(3):
        next(going)
    return teacher


def test_each_changed_number_is_noticed(half):
    rule, state = half
    teacher = begun(rule)
    paths = list(leaves(state))
    assert len(paths) > 40
    for path in paths:
        damaged = copy.deepcopy(state)
        old = at(damaged, path)
        if isinstance(old, float) and math.isnan(old):
            continue
        at(damaged, path[:-1])[path[-1]] = changed(old)
        refuses(teacher, damaged)


def test_each_flipped_element_is_noticed(half):
    rule, state = half
    teacher = begun(rule)
    for name, t in state["tensors"].items():
        if t is None:
            continue
        for place in (0, len(t) // 2, -1):
            damaged = copy.deepcopy(state)
            data = damaged["tensors"][name].view(torch.uint8)
            data[place] ^= 1
            refuses(teacher, damaged, "checksum")


def test_what_is_missing_or_of_another_kind_is_noticed(half):
    rule, state = half
    teacher = begun(rule)
    for key in state:
        refuses(teacher, {k: v for k, v in state.items() if k != key})
        for wrong in (None, 3.5, [1], {1: {2: 3}}, "x", (1,), torch.ones(2)):
            refuses(teacher, state | {key: wrong})
    for part in ("tensors", "numbers", "told"):
        for key in state[part]:
            # a tensor that is None says as much as one that is not there, but the checksum
            less = {k: v for k, v in state[part].items() if k != key}
            refuses(teacher, state | {part: less})
    for name, t in state["tensors"].items():
        if t is None:
            continue
        for wrong in (None, t.double(), t[:-1], t[None], t.tolist(), 3, "x", torch.cat([t, t])):
            refuses(teacher, state | {"tensors": state["tensors"] | {name: wrong}})
    for more in ({"extra": 5}, {5: torch.ones(1)}, {"extra": torch.ones(1)}):
        refuses(teacher, state | {"tensors": state["tensors"] | more})
    refuses(teacher, state | {"numbers": state["numbers"] | {(1, 2): 3}})


@pytest.mark.parametrize("what", [None, 5, "a state", [1], {}, {"epoch": 3}, torch.zeros(3)])
def test_what_is_no_state_is_refused(what):
    refuses(begun("soft"), what, "no teacher's state")


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    teacher = begun("soft")
    path = tmp_path / "teacher.pt"
    teacher.save(path)
    whole = path.read_bytes()
    before = frozen(teacher.state_dict())
    for length in {0, 1, 2, len(whole) - 1, *range(0, len(whole) - 1, 149)}:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"teacher\.pt is no teacher's state, or damaged"):
            teacher.load(path)
    assert frozen(teacher.state_dict()) == before


def test_a_file_with_a_wrong_byte_is_refused_or_says_the_same(tmp_path):
    """A byte of the archive's own may not matter; none may change what is loaded."""
    saved, teacher = begun("soft"), teacher_of("soft")
    path = tmp_path / "teacher.pt"
    saved.save(path)
    whole = path.read_bytes()
    fresh, right = frozen(teacher.state_dict()), frozen(saved.state_dict())
    refused = 0
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        teacher = teacher_of("soft")
        try:
            teacher.load(path)
        except ValueError:
            refused += 1
            assert frozen(teacher.state_dict()) == fresh
        else:
            assert frozen(teacher.state_dict()) == right
    assert refused > 10


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 not an archive"])
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt is no teacher's state"):
        teacher_of("soft").load(path)


def test_a_file_with_another_object_is_refused(tmp_path):
    torch.save({"model": torch.ones(3)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="no teacher's state"):
        teacher_of("soft").load(tmp_path / "model.pt")


class Trap:
    """What a pickle can do to those who open it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    torch.save(
        begun("soft").state_dict() | {"x": Trap(str(tmp_path / "sprung"))}, tmp_path / "t.pt"
    )
    with pytest.raises(ValueError, match=r"t\.pt is no teacher's state"):
        teacher_of("soft").load(tmp_path / "t.pt")
    assert os.listdir(tmp_path) == ["t.pt"]


FOREIGN: dict[str, tuple[dict[str, Any], str]] = {
    "samples": ({"samples": N + 1}, "samples=24"),
    "epochs": ({"epochs": EPOCHS + 1}, "epochs=6"),
    "ratio": ({"ratio": 0.5}, "sizes="),
    "interval": ({"every": 2}, "cycles="),
    "first epoch": ({"first": "score"}, "sizes="),
    "final full": ({"final_full": 1}, "sizes="),
    "rule": ({"select": "hard"}, "select='hard'"),
    "floor": ({"floor": 0.2}, "floor=0.2"),
    "cap": ({"cap": 0.9}, "cap=0.9"),
    "temperature": ({"temperature": 2.0}, "temperature=2.0"),
    "draw": ({"draw_from": "score"}, "draw_from='score'"),
    "reweight": ({"reweight": True}, "reweight=True"),
    "strength": ({"strength": 2.0}, "strength=2.0"),
    "seed": ({"seed": 1}, "seed=1"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_state_of_a_teacher_that_was_told_otherwise_is_refused_by_name(name):
    told, word = FOREIGN[name]
    mine = {"samples": N, "epochs": EPOCHS, "select": "soft", "seed": 0}
    teacher = Teacher(**mine)
    teacher.set_epoch(0)
    other = Teacher(**(mine | told))
    refuses(teacher, other.state_dict(), f"another teacher's: it was told {word}")


def test_other_weights_and_groups_are_refused_by_name():
    for rule, name in (("weighted", "weights"), ("gradnorm", "groups")):
        mine, theirs = teacher_of(rule), teacher_of(rule, **{name: torch.arange(N) + 2})
        mine.set_epoch(0)
        refuses(mine, theirs.state_dict(), f"told {name}=")


# --- files --------------------------------------------------------------------------------------


def test_a_save_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "teacher.pt"
    begun("soft").save(path)
    old = path.read_bytes()

    def fails(state, file):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(OSError, match="no space left"):
        begun("hard").save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["teacher.pt"]


def test_a_save_is_seen_whole_or_not_at_all(tmp_path, monkeypatch):
    """At no moment is the file at its place anything but the old one or the new one."""
    path = tmp_path / "teacher.pt"
    begun("soft").save(path)
    old = path.read_bytes()
    write = torch.save

    def watched(state, file):
        write(state, file)
        file.flush()
        assert path.read_bytes() == old

    monkeypatch.setattr(torch, "save", watched)
    begun("hard").save(path)
    assert path.read_bytes() != old
    assert os.listdir(tmp_path) == ["teacher.pt"]


def test_a_saved_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    begun("soft").save(tmp_path / "teacher.pt")
    rights = [os.stat(tmp_path / name).st_mode for name in ("other", "teacher.pt")]
    assert rights[0] == rights[1]


def test_a_save_to_nowhere_is_an_error_of_the_system(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "teacher.pt", tmp_path / "folder"):
        with pytest.raises(OSError, match=r"none|folder"):
            begun("soft").save(path)
    assert sorted(os.listdir(tmp_path)) == ["folder"]


def test_a_load_from_nowhere_is_an_error_of_the_system(tmp_path):
    teacher = begun("soft")
    before = frozen(teacher.state_dict())
    for path in (tmp_path, tmp_path / "none.pt"):
        with pytest.raises(OSError, match=path.name):
            teacher.load(path)
    assert frozen(teacher.state_dict()) == before


def test_a_path_may_be_text_and_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher = begun("soft")
    teacher.save("teacher.pt")
    again = teacher_of("soft")
    again.load("teacher.pt")
    assert frozen(again.state_dict()) == frozen(teacher.state_dict())


# --- epochs -------------------------------------------------------------------------------------


def test_epochs_are_taught_in_order():
    teacher = Teacher(4, epochs=3, select="random")
    for wrong in (-1, 3, 100, 1.0, True, "0", None):
        with pytest.raises(ValueError, match=f"the epochs 0 to 2, got {wrong!r}"):
            teacher.set_epoch(wrong)  # pyright: ignore[reportArgumentType]
    for wrong in (1, 2):
        with pytest.raises(ValueError, match=f"the next is 0, got {wrong}"):
            teacher.set_epoch(wrong)
    teacher.set_epoch(0)
    with pytest.raises(ValueError, match="the next is 1, got 2"):
        teacher.set_epoch(2)
    teacher.set_epoch(1)
    with pytest.raises(ValueError, match="the next is 2, got 0"):
        teacher.set_epoch(0)


@pytest.mark.parametrize("rule", RULES)
def test_the_current_epoch_set_again_goes_on(rule):
    teacher = begun(rule)
    for _ in range(2):
        before, left = frozen(teacher.state_dict()), list(teacher.sampler)
        teacher.set_epoch(teacher.epoch)
        teacher.sampler.set_epoch(teacher.epoch)
        assert frozen(teacher.state_dict()) == before
        assert list(teacher.sampler) == left


def test_a_selection_that_fails_leaves_the_teacher_as_it_was():
    for select in ("soft", "aged"):
        teacher = Teacher(6, epochs=3, select=select, ratio=0.5)
        teacher.set_epoch(0)
        teacher.update(range(6), torch.tensor([-1.0, 1, 2, 3, 4, 5]))
        before, order = frozen(teacher.state_dict()), teacher.selected.tolist()
        with pytest.raises(ValueError, match="1 of 6 scores are negative"):
            teacher.set_epoch(1)
        assert frozen(teacher.state_dict()) == before
        assert teacher.selected.tolist() == order
        teacher.record([0], torch.ones(1))
        teacher.set_epoch(1)
        assert len(teacher.selected) == 3


def test_a_selection_before_any_score_is_refused():
    teacher = Teacher(4, epochs=2, select="hard", first="score")
    with pytest.raises(ValueError, match=r"no scores yet: call teacher\.record"):
        teacher.set_epoch(0)
    teacher.record(range(4), torch.arange(4.0))
    teacher.set_epoch(0)
    assert set(teacher.selected.tolist()) == {1, 2, 3}
    Teacher(4, epochs=2, select="random", first="score").set_epoch(0)


@pytest.mark.parametrize("rule", ["ntk", "gradnorm"])
def test_a_rule_with_scores_of_its_own_does_not_choose_without_them(rule):
    """The losses are none: a run would choose at random, and nobody would notice."""
    teacher = teacher_of(rule)
    teacher.set_epoch(0)
    teacher.update(range(N), torch.rand(N, generator=torch.Generator()))
    with pytest.raises(ValueError, match=rf"select='{rule}' chooses by scores of its own"):
        teacher.set_epoch(1)
    assert teacher.report().unseen == N
    teacher.update([0], torch.ones(1), scores=torch.ones(1))
    assert teacher.report().unseen == N - 1
    teacher.set_epoch(1)


def test_what_a_selection_does_not_reach_comes_in_the_next():
    """Samples that an incomplete epoch left unseen are first."""
    teacher = Teacher(20, epochs=2, select="hard", ratio=0.3)
    teacher.set_epoch(0)
    seen = teacher.selected[:16]
    teacher.update(seen, torch.ones(16))
    teacher.set_epoch(1)
    assert set(range(20)) - set(seen.tolist()) <= set(teacher.selected.tolist())


@pytest.mark.parametrize("wrong", [[0, -1], [7], [6, 0], [-7]])
@pytest.mark.parametrize("select", ["soft", "ntk"])
def test_ids_out_of_range_are_refused_and_nothing_is_written(wrong, select):
    teacher = Teacher(6, epochs=2, select=select)
    teacher.set_epoch(0)
    teacher.update([1], torch.ones(1))
    before = frozen(teacher.state_dict())
    low, high = min(wrong), max(wrong)
    for call in (teacher.update, teacher.record):
        with pytest.raises(ValueError, match=f"between 0 and 5, got some from {low} to {high}"):
            call(wrong, torch.ones(len(wrong)))
        assert frozen(teacher.state_dict()) == before


@pytest.mark.parametrize(
    ("ids", "losses", "message"),
    [
        ([[0, 1]], torch.ones(1, 2), r"ids are whole numbers .* shape \(1, 2\)"),
        ([0.5, 1.0], torch.ones(2), "ids are whole numbers .*float32"),
        ([True, False], torch.ones(2), "ids are whole numbers .*bool"),
        ([0, 1], torch.ones(3), r"losses are one number per id, \(2,\), got \(3,\)"),
        ([0, 1], torch.ones(2, 5), r"losses are one number per id, \(2,\), got \(2, 5\)"),
        ([0, 1], torch.tensor(1.0), r"losses are one number per id, .* got \(\): .*none"),
        ([0, 1], [1.0, 2.0], "losses are one number per id, .* got list"),
        ([0, 1], torch.ones(2, dtype=torch.int64), "losses are one number per id"),
    ],
)
def test_a_batch_of_another_form_is_refused(ids, losses, message):
    teacher = Teacher(6, epochs=2)
    with pytest.raises(ValueError, match="no epoch has begun"):
        teacher.update([0], torch.ones(1))
    teacher.set_epoch(0)
    before = frozen(teacher.state_dict())
    with pytest.raises(ValueError, match=message):
        teacher.update(ids, losses)
    assert frozen(teacher.state_dict()) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_are_kept_in_float32_and_the_loss_in_its_own(dtype):
    teacher = Teacher(3, epochs=2)
    teacher.set_epoch(0)
    losses = torch.tensor([1.5, 2.0, 3.25], dtype=dtype, requires_grad=True)
    mean = teacher.update([2, 0, 1], losses)
    assert mean.dtype == dtype
    mean.backward()
    assert losses.grad is not None
    assert torch.allclose(losses.grad, torch.full((3,), 1 / 3, dtype=dtype))
    scores = teacher.state_dict()["tensors"]["scores"]
    assert scores.dtype == torch.float32
    assert scores.tolist() == [2.0, 3.25, 1.5]


def test_infinities_are_kept_apart_from_what_is_unseen():
    teacher = Teacher(6, epochs=2)
    teacher.record(range(5), torch.tensor([INF, -INF, NAN, 1e300, 1.0], dtype=torch.float64))
    told = teacher.report()
    assert (told.unseen, told.infinite, told.nan) == (1, 3, 1)
    scores = teacher.state_dict()["tensors"]["scores"]
    assert scores.tolist()[:2] == [LARGEST, -LARGEST]


# --- the report ---------------------------------------------------------------------------------

M = 8
ids_of = st.lists(st.integers(0, M - 1), min_size=1, max_size=5)
value = st.one_of(st.floats(0, 10, width=32), st.sampled_from([INF, NAN]))
acts = st.lists(
    st.one_of(
        st.tuples(st.just("update"), ids_of, value),
        st.tuples(st.just("record"), ids_of, value),
        st.tuples(st.just("next"), st.none(), st.none()),
    ),
    max_size=25,
)


@dataclasses.dataclass
class Count:
    """What a report has to say, in dictionaries."""

    epoch: int = -1
    taught: dict[int, int] = dataclasses.field(default_factory=dict)
    epochs_of: dict[int, set[int]] = dataclasses.field(
        default_factory=lambda: {i: set() for i in range(M)}
    )
    scores: dict[int, float] = dataclasses.field(default_factory=dict)
    scored_at: dict[int, int] = dataclasses.field(default_factory=dict)
    updates: int = 0

    def update(self, ids: list[int], value: float, scored: bool) -> None:
        self.updates += 1
        self.taught[self.epoch] += len(ids)
        for i in ids:
            self.epochs_of[i].add(self.epoch)
        if scored:
            self.record(ids, value)

    def record(self, ids: list[int], value: float) -> None:
        for i in ids:
            self.scores[i], self.scored_at[i] = value, max(self.epoch, 0)

    def agrees(self, teacher: Teacher) -> None:
        told = teacher.report()
        assert told.epoch == self.epoch
        assert told.taught == tuple(self.taught.values())
        assert sum(told.times) == M
        often = Counter(len(epochs) for epochs in self.epochs_of.values())
        assert {n: count for n, count in enumerate(told.times) if count} == often
        assert told.unseen == M - len(self.scores)
        assert told.infinite == sum(math.isinf(x) for x in self.scores.values())
        assert told.nan == sum(math.isnan(x) for x in self.scores.values())
        assert told.updates == self.updates
        ages = [max(self.epoch, 0) - then for then in self.scored_at.values()]
        if not ages:
            assert told.score_ages is None
        else:
            assert told.score_ages is not None
            found = dataclasses.astuple(told.score_ages)
            low, middle = min(ages), statistics.median_low(ages)
            assert found == pytest.approx((low, middle, statistics.fmean(ages), max(ages)))
        if self.epoch >= 0:
            order = teacher.selected.tolist()
            left = [i for i in order if self.epoch not in self.epochs_of[i]]
            assert teacher.remaining().tolist() == left
            if left:
                assert list(teacher.sampler) == left
                assert len(teacher.sampler) == len(left)
            assert teacher.epoch == self.epoch + (not left)


@pytest.mark.parametrize("select", ["random", "hard", "ntk"])
@given(acts)
@settings(max_examples=40)
def test_a_report_counts_as_dictionaries_do(select, acts):
    """Any updates in any order, of parts of epochs, of samples twice or not selected at all."""
    teacher = Teacher(M, epochs=4, select=select, ratio=0.5, every=2)
    count = Count()
    for act, ids, x in acts:
        if act == "next":
            known = select == "random" or count.scores
            if count.epoch == 3 or (count.epoch >= 0 and select == "ntk" and not known):
                continue
            count.epoch += 1
            count.taught[count.epoch] = 0
            teacher.set_epoch(count.epoch)
        elif act == "record":
            teacher.record(ids, torch.full((len(ids),), x))
            count.record(ids, x)
        elif count.epoch >= 0:
            # an ntk teacher takes no loss for a score
            teacher.update(ids, torch.full((len(ids),), x))
            count.update(ids, x, scored=select != "ntk")
        count.agrees(teacher)
    again = Teacher(M, epochs=4, select=select, ratio=0.5, every=2)
    again.load_state_dict(teacher.state_dict())
    count.agrees(again)


def test_decisions_say_what_was_seen_and_done():
    teacher = Teacher(10, epochs=5, select="hard", ratio=0.5, every=2)
    teacher.set_epoch(0)
    teacher.update(range(8), torch.tensor([1.0, INF, NAN, 4, 5, 6, 7, 8]))
    teacher.set_epoch(1)
    teacher.update(teacher.selected, torch.ones(5))
    for epoch in (2, 3):
        teacher.set_epoch(epoch)
    told = teacher.report().decisions
    assert [(made.epoch, made.taught, made.rule) for made in told] == [
        (1, 5, "hard"),
        (3, 5, "hard"),
    ]
    assert (told[0].unseen, told[0].infinite, told[0].nan) == (2, 1, 1)
    assert (told[1].unseen, told[1].infinite, told[1].nan) == (0, 0, 1)
    assert all(made.strength is None and made.reading is None for made in told)
    assert teacher.report().selection_seconds == sum(made.seconds for made in told) > 0


def test_a_report_is_plain_and_says_itself_in_lines():
    teacher = teacher_of("auto")
    str(teacher.report())
    list(steps(teacher))
    told = teacher.report()
    plain = json.loads(json.dumps(dataclasses.asdict(told)))
    assert plain["taught"] == list(told.planned) == list(teacher.plan.sizes)
    assert plain["decisions"][0]["rule"] == "auto"
    assert f"{teacher.total_samples} of {teacher.total_samples} planned samples taught" in str(told)
    assert sum(n * count for n, count in enumerate(told.times)) == teacher.total_samples


HELD: dict[str, tuple[dict[str, Any], float]] = {
    # 8, and 4 for the order of a full epoch
    "first epoch": ({"select": "hard", "epochs": 1}, 8 + 4),
    # 8, and 4 + 4 for each of the selected half
    "hard": ({"select": "hard"}, 8 + 4),
    "random": ({"select": "random"}, 8 + 4),
    "aged": ({"select": "aged"}, 8 + 4),
    "soft": ({"select": "soft"}, 8 + 4),
    "soft, reweighted": ({"select": "soft", "reweight": True}, 8 + 4 + 4),
    "auto": ({"select": "auto"}, 8 + 4 + 4),  # and 4 more from its second selection
    "auto, later": ({"select": "auto", "epochs": 3}, 8 + 4 + 8),
    "weighted": ({"select": "weighted", "weights": torch.ones(1000)}, 8 + 4 + 4),
    "weighted, reweighted": (
        {"select": "weighted", "weights": torch.ones(1000), "reweight": True},
        8 + 4 + 4 + 4,
    ),
    # with 2 for when a score was recorded
    "ntk": ({"select": "ntk"}, 10 + 4),
    "gradnorm": (
        {"select": "gradnorm", "groups": torch.zeros(1000, dtype=torch.int64)},
        10 + 4 + 8,
    ),
}


@pytest.mark.parametrize("name", HELD)
def test_a_teacher_holds_the_bytes_that_are_documented(name):
    told, expected = HELD[name]
    teacher = Teacher(1000, **({"epochs": 2, "ratio": 0.5} | told))
    given = 4 * ("weights" in told) + 8 * ("groups" in told)
    assert teacher.report().bytes_per_sample == 8 + given
    teacher.set_epoch(0)
    ids = teacher.selected
    teacher.update(ids, torch.rand(1000, generator=torch.Generator()))
    if told["select"] in ("ntk", "gradnorm"):
        teacher.record(ids, torch.rand(1000, generator=torch.Generator()))
    for epoch in range(1, teacher.epochs):
        teacher.set_epoch(epoch)
    assert teacher.report().bytes_per_sample == expected
    held = [value for value in every_tensor(teacher) if isinstance(value, Tensor)]
    assert sum(t.nbytes for t in held) / 1000 == expected
    restored = Teacher(1000, **({"epochs": 2, "ratio": 0.5} | told))
    restored.load_state_dict(teacher.state_dict())
    assert restored.report().bytes_per_sample == expected


def every_tensor(teacher: Teacher) -> Iterator[Any]:
    """All that hangs on a teacher, one storage once."""
    seen = set()
    for owner in (teacher, teacher._memory):
        for held in vars(owner).values():
            if isinstance(held, Tensor) and held.data_ptr() not in seen:
                seen.add(held.data_ptr())
                yield held


def test_a_scoring_pass_takes_two_bytes_more():
    teacher = Teacher(100, epochs=2, select="hard")
    teacher.record(range(100), torch.ones(100))
    assert teacher.report().bytes_per_sample == 10


def test_selected_is_a_copy():
    """What a loop does to the ids that it was given is its own affair."""
    teacher = Teacher(5, epochs=2, select="random", ratio=0.6)
    teacher.set_epoch(0)
    kept: Callable[[], list[int]] = lambda: teacher.selected.tolist()  # noqa: E731
    before = kept()
    teacher.selected.zero_()
    assert kept() == before
