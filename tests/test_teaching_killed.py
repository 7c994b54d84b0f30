"""Runs that are killed at random steps and resumed: the same selections, the same weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import teaching_killed
import torch
from teaching_killed import go, teacher_of
from torch import Tensor

import ntteach


def steps(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "run.pt", weights_only=True)["model"]


def killed(folder: Path, rule: str, after: int) -> bool:
    """Train in a process that is killed when it has passed so many places; False if it ended."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)

    def child() -> None:
        reader.close()
        go(folder, rule, lambda: writer.send_bytes(b"."))

    process = context.Process(target=child)
    process.start()
    writer.close()
    try:
        for _ in range(after):
            reader.recv_bytes()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    except EOFError:
        pass
    process.join()
    reader.close()
    return process.exitcode == -signal.SIGKILL


def in_a_fresh_interpreter(folder: Path, rule: str) -> None:
    ended = subprocess.run(
        [sys.executable, teaching_killed.__file__, str(folder), rule],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(ntteach.__file__).parent.parent)},
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("rule", teaching_killed.RULES)
def test_killed_at_random_steps_and_resumed_it_selects_and_learns_the_same(
    rule: str, tmp_path: Path
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    go(whole, rule)
    expected = steps(whole)
    assert len(expected) == teacher_of(rule).total_steps(teaching_killed.BATCH)

    chance = random.Random(rule)
    kills = 5
    for _ in range(kills):
        assert killed(broken, rule, chance.randrange(1, 45))
    if rule == "soft":
        in_a_fresh_interpreter(broken, rule)  # where nothing is left in memory
    else:
        go(broken, rule)
    # killed between checkpoint and log, a step is taken but not logged
    order = [expected.index(step) for step in steps(broken)]
    assert order == sorted(set(order))
    assert len(order) >= len(expected) - kills
    for name, w in weights(whole).items():
        assert torch.equal(w, weights(broken)[name]), name


def test_a_run_without_the_teachers_state_would_go_another_way(tmp_path: Path):
    """The control of the test before: it looks at something that can differ."""
    go(tmp_path, "soft")
    whole = weights(tmp_path)
    (tmp_path / "run.pt").unlink()
    assert killed(tmp_path, "soft", 60)
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    saved["teacher"] = teacher_of("soft").state_dict()
    torch.save(saved, tmp_path / "run.pt")
    go(tmp_path, "soft")
    assert any(not torch.equal(w, whole[name]) for name, w in weights(tmp_path).items())


# --- what does not compare -----------------------------------------------------------------------


class Strange:
    """Raises when it is compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = object.__hash__


@pytest.mark.parametrize("value", [torch.tensor([60, 60]), torch.tensor(60), Strange(), [60]])
def test_a_state_with_something_odd_in_it_is_refused_like_any_damaged_one(value: Any):
    teacher = teacher_of("soft")
    teacher.set_epoch(0)
    state, before = teacher.state_dict(), deepcopy(teacher.state_dict())
    state["told"]["samples"] = value
    with pytest.raises(ValueError, match="damaged"):
        teacher.load_state_dict(state)
    after = teacher.state_dict()
    assert after["checksum"] == before["checksum"]
    assert torch.equal(after["tensors"]["taught_at"], before["tensors"]["taught_at"])


def test_a_file_cannot_carry_code(tmp_path: Path):
    path, ran = tmp_path / "teacher.pt", tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch {ran}",))

    torch.save({"format": "ntteach teacher, 1", "told": Evil()}, path)
    with pytest.raises(ValueError, match=r"teacher\.pt is no teacher's state"):
        teacher_of("soft").load(path)
    assert not ran.exists()
