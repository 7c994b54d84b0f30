"""`ntteach teach`: what it writes, that a killed run goes on as if nothing had been, bad input."""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from ntteach import cli
from ntteach.recipes import data, folder, lm, settings, vit
from ntteach.recipes.rate import decayed
from ntteach.recipes.run import Run
from ntteach.recipes.settings import Settings, schedule, schedule_text
from ntteach.report import learning
from ntteach.report.output import UserError
from ntteach.teaching import cosine, incremental, step

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

Answer = tuple[int, str, str]
Ask = Callable[..., Answer]

FACES = ("vit", "--data", "faces")
LM = ("lm", "--data", "text.txt", "--batch-size", 8)
TEXT = "".join(f"{n} and {n + 1} are {2 * n + 1}; " for n in range(180))


@pytest.fixture
def drawn() -> None:
    """Asked for where a test looks at the pictures, which take longer than a small run."""


@pytest.fixture(autouse=True)
def few_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only there."""
    if "drawn" not in request.fixturenames:
        for name in ("curve", "teaching"):
            monkeypatch.setattr(learning, name, lambda *_: None)


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run `ntteach teach` here, in a folder of its own: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("text.txt").write_text(TEXT)

    def run(*argv: object) -> Answer:
        capfd.readouterr()
        status = cli.main(["teach", *map(str, argv)])
        out, err = capfd.readouterr()
        return status, out, err

    return run


def refused(answer: Answer, *parts: str) -> None:
    """Exit 2, nothing on standard output, one line on standard error that says these parts."""
    status, out, err = answer
    assert (status, out) == (2, ""), answer
    assert err.count("\n") == 1, err
    assert err.startswith("ntteach: "), err
    assert "inside ntteach" not in err
    for part in parts:
        assert part in err


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name, "metrics.jsonl").read_text().splitlines()]


def lasting(value: Any) -> Any:
    """All but times, which no two runs share, the checksum over them, and the memory held."""
    if isinstance(value, dict):
        timed = {"seconds", "update_seconds", "selection_seconds", "checksum", "bytes_per_sample"}
        return {name: lasting(one) for name, one in value.items() if name not in timed}
    if isinstance(value, Tensor):
        return str(value.dtype), value.tolist()
    return [lasting(one) for one in value] if isinstance(value, list | tuple) else value


def ended(name: str) -> dict[str, Any]:
    """How a run ended: its weights, what it remembers of every sample, its metrics."""
    return {
        "checkpoint": lasting(folder.load(Path(name))),
        "metrics": lasting(rows(name)),
        "summary": lasting(json.loads(Path(name, "summary.json").read_text())),
    }


class Killed(BaseException):
    """Nothing of ours catches it."""


def at_step(monkeypatch: pytest.MonkeyPatch, n: int, act: Callable[[], None]) -> None:
    """Act once the optimizer has made step n of this process, before anything is counted."""
    count = iter(range(1, 10**6))
    learned = Run.learned

    def counting(self: Run, losses: Tensor) -> None:
        if next(count) == n:
            act()
        learned(self, losses)

    monkeypatch.setattr(Run, "learned", counting)


def killed(ask: Ask, monkeypatch: pytest.MonkeyPatch, n: int, *argv: object) -> bool:
    """Run, and be killed at step n of it, if it comes so far."""

    def die() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        at_step(patch, n, die)
        try:
            ask(*argv)
        except Killed:
            return True
    return False


# --- what a run writes ---------------------------------------------------------------------------


def test_a_run_writes_what_it_did(ask: Ask, drawn: None):
    status, out, err = ask("vit", "--epochs", 4, "--ratio", "incremental:.3:.8", "--out", "runs/a")
    assert (status, err) == (0, "")
    found, summary = rows("runs/a"), json.loads(Path("runs/a/summary.json").read_text())
    assert [row["epoch"] for row in found] == list(range(4))
    sizes = [1348, *(math.floor(share * 1348 + 0.5) for share in (0.3, 0.55, 0.8))]
    assert [row["taught"] for row in found] == sizes
    assert [row["samples"] for row in found] == [sum(sizes[: n + 1]) for n in range(4)]
    assert [row["steps"] for row in found] == [
        sum(-(-size // 32) for size in sizes[: n + 1]) for n in range(4)
    ]
    assert all(0 < row["lr"] < 2e-3 for row in found[:-1])
    assert found[-1]["lr"] == 0
    assert [row["seconds"] for row in found] == sorted(row["seconds"] for row in found)
    assert found[0]["selection"] is None
    assert [row["selection"]["epoch"] for row in found[1:]] == [1, 2, 3]
    assert summary["last"] == found[-1]
    assert summary["full_samples"] == 4 * 1348
    assert summary["report"]["taught"] == sizes
    assert summary["data"] | {"sha256": ""} == {
        **{"name": "digits", "train": 1348, "test": 449, "sha256": ""}
    }
    assert found[-1]["test_accuracy"] > 0.9
    assert found[-1]["train_loss"] < 0.5 < found[0]["train_loss"]
    for name in ("curve.png", "teacher.png"):
        assert Path("runs/a", name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert f"test accuracy {found[-1]['test_accuracy']:.4f}" in out
    assert "in runs/a: metrics.jsonl" in out
    assert sorted(os.listdir("runs/a")) == sorted(
        ["metrics.jsonl", "summary.json", "curve.png", "teacher.png", "checkpoint.pt"]
    )


def test_a_language_model_learns_a_text_of_ones_own(ask: Ask):
    assert ask(*LM, "--epochs", 8, "--out", "a")[0] == 0
    last = rows("a")[-1]
    shares = torch.tensor([TEXT.count(c) / len(TEXT) for c in sorted(set(TEXT))])
    unigram = -(shares * shares.log()).sum()
    assert last["test_loss"] < 0.8 * unigram
    assert rows("a")[0]["data_sha256"] == data.text("text.txt").sha256
    # epoch 0 teaches all, so that the scores of its checkpoint would be its losses: first a run
    # of one epoch, whose scores stay
    assert ask(*LM, "--epochs", 1, "--out", "b")[0] == 0
    scores = folder.load(Path("b"))["parts"]["teacher"]["tensors"]["scores"]
    assert rows("b")[0]["train_loss"] == pytest.approx(float(scores.mean()), rel=1e-5)
    assert rows("b")[0]["samples"] == len(scores) == len(data.text("text.txt").train)


def test_scoring_first_is_counted_and_selects_at_once(ask: Ask):
    told = (*FACES, "--first", "score", "--epochs", 2, "--ratio", ".5", "--out", "a")
    assert "150 scored besides" in ask(*told)[1]
    assert [row["scored"] for row in rows("a")] == [150, 150]
    assert [row["samples"] for row in rows("a")] == [75, 150]
    assert [row["selection"]["epoch"] for row in rows("a")] == [0, 1]


def test_the_seed_and_every_option_of_the_teacher_arrive(ask: Ask):
    options = {
        **{"--select": "soft", "--every": "2", "--final-full": "0.25", "--floor": "0.2"},
        **{"--cap": "0.9", "--temperature": "2.0", "--seed": "5"},
    }
    words = [word for pair in options.items() for word in pair]
    assert ask(*FACES, "--epochs", 4, "--out", "a", *words)[0] == 0
    told = folder.load(Path("a"))["parts"]["teacher"]["told"]
    for name in ("select", "floor", "cap", "temperature", "seed"):
        assert str(told[name]) == options[f"--{name}"]
    assert told["sizes"] == [150, 105, 105, 150]
    assert told["cycles"] == [-1, 0, 0, -1]
    assert ask(*FACES, "--epochs", 1, "--out", "b")[0] == 0
    assert ask(*FACES, "--epochs", 1, "--seed", 1, "--out", "c")[0] == 0
    assert ended("b")["checkpoint"]["parts"] != ended("c")["checkpoint"]["parts"]


def test_no_global_generator_is_read_or_seeded(ask: Ask):
    before = (torch.get_rng_state(), numpy.random.get_state(), random.getstate())
    ask(*FACES, "--epochs", 2, "--select", "soft", "--out", "a")
    ask(*LM, "--epochs", 1, "--out", "b")
    assert torch.equal(before[0], torch.get_rng_state())
    assert str(before[1]) == str(numpy.random.get_state())
    assert before[2] == random.getstate()
    torch.manual_seed(9)
    ask(*FACES, "--epochs", 2, "--select", "soft", "--out", "c")
    assert ended("a")["checkpoint"] == ended("c")["checkpoint"]


# --- killed, interrupted, resumed ----------------------------------------------------------------

RUN = (*FACES, "--epochs", 4, "--save-every", 2)  # 5 + 4 + 4 + 4 steps
CHANCE = random.Random(20261120)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ((), sorted(CHANCE.sample(range(1, 18), 2))),
        (("--select", "soft", "--first", "score"), [1, CHANCE.randrange(2, 14)]),
        (("--select", "random", "--every", "2", "--final-full", "1"), [1, 5]),
    ],
)
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], steps: list[int]
):
    assert ask(*RUN, *options, "--out", "whole")[0] == 0
    for n in steps:
        name = f"killed-{n}"
        assert killed(ask, monkeypatch, n, *RUN, *options, "--out", name)
        for later in (1, 3):  # and again soon after it was resumed
            killed(ask, monkeypatch, later, "vit", "--out", name, "--resume", "--save-every", 2)
        assert ask("vit", "--out", name, "--resume")[0] == 0
        assert ended(name) == ended("whole")


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_epoch_that_was_taught_but_not_written_down_is_not_lost(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, epoch: int
):
    told = (*FACES, "--epochs", 3, "--save-every", 1)
    assert ask(*told, "--out", "whole")[0] == 0

    def die(self: Run, evaluate: Any) -> None:
        if len(self.rows) == epoch:
            raise Killed
        end(self, evaluate)

    end = Run.end_epoch
    with monkeypatch.context() as patch:
        patch.setattr(Run, "end_epoch", die)
        with pytest.raises(Killed):
            ask(*told, "--out", "a")
    assert ask("vit", "--out", "a", "--resume")[0] == 0
    assert ended("a") == ended("whole")


def test_a_killed_language_model_goes_on(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    told = (*LM, "--epochs", 3, "--save-every", 2)
    assert ask(*told, "--out", "whole")[0] == 0
    assert killed(ask, monkeypatch, 10, *told, "--out", "killed")
    assert folder.load(Path("killed"))["counts"][0] == 8
    assert ask("lm", "--out", "killed", "--resume")[0] == 0
    assert ended("killed") == ended("whole")
    Path("text.txt").write_text(TEXT + "!")
    refused(ask("lm", "--out", "killed", "--resume"), "'text.txt'", "'killed'", "others")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_leaves_a_checkpoint(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    told = (*FACES, "--epochs", 3)  # no checkpoint is due before the end of an epoch
    assert ask(*told, "--out", "whole")[0] == 0
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda: os.kill(os.getpid(), number))
        refused(ask(*told, "--out", "a"), f"{number.name} after 7 of 13 steps", "--resume")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert folder.load(Path("a"))["counts"][0] == 7
    assert ask("vit", "--out", "a", "--resume")[0] == 0
    assert ended("a") == ended("whole")


def test_a_second_signal_does_not_wait(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        raise AssertionError("it went on")

    at_step(monkeypatch, 7, twice)
    refused(ask(*FACES, "--epochs", 4, "--out", "a"), "interrupted", "--resume")
    assert folder.load(Path("a"))["counts"][0] == 5


def test_an_interrupt_before_anything_was_written_promises_nothing(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "faces", interrupted)
    answer = ask(*FACES, "--out", "a")
    refused(answer, "interrupted", "nothing was written")
    assert "--resume" not in answer[2]
    assert not Path("a").exists()


def test_a_signal_after_the_last_step_changes_nothing(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    at_step(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert ask(*FACES, "--epochs", 1, "--out", "a")[0] == 0
    assert len(rows("a")) == 1


def test_a_process_killed_by_the_system_goes_on(ask: Ask, tmp_path: Path):
    told = (*FACES, "--epochs", "20", "--save-every", "1")
    command = [sys.executable, "-m", "ntteach", "teach", *told, "--out", "a"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    checkpoint = tmp_path / "a" / "checkpoint.pt"
    try:
        until = time.monotonic() + 60
        seen: set[int] = set()
        while len(seen) < 9 and time.monotonic() < until:  # nine different files
            if checkpoint.exists():
                seen.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    steps = folder.load(tmp_path / "a")["counts"][0]
    assert steps > 0
    assert ask("vit", "--out", "a", "--resume")[0] == 0
    assert ask(*told, "--out", "whole")[0] == 0
    assert ended("a") == ended("whole")


def test_a_run_that_is_over_stays_as_it_is(ask: Ask):
    first = ask(*FACES, "--epochs", 2, "--out", "a")
    before = ended("a")
    # killed after its last checkpoint, before these were written
    Path("a", "metrics.jsonl").unlink()
    Path("a", "summary.json").unlink()
    again = ask("vit", "--out", "a", "--resume")
    assert again[0] == 0
    assert again[1].partition("overhead")[0] == first[1].partition("overhead")[0]
    assert ended("a") == before


def test_what_a_killed_process_left_half_written_is_cleared_away(ask: Ask):
    ask(*FACES, "--epochs", 1, "--out", "a")
    Path("a", f".ntteach-{os.getpid()}.tmp").write_bytes(b"half")  # as a container's next process
    assert ask("vit", "--out", "a", "--resume")[0] == 0
    assert not list(Path("a").glob(".*"))


# --- folders and checkpoints that will not do ----------------------------------------------------


@pytest.fixture
def done(ask: Ask) -> Path:
    """The folder of a run that is over."""
    assert ask(*FACES, "--epochs", 1, "--out", "a")[0] == 0
    return Path("a")


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir()}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["vit", "--epochs", "2"], ["--epochs was 1", "is 2 now"]),
        (["vit", "--data", "digits"], ["--data was 'faces'", "'digits' now"]),
        (["vit", "--ratio", ".5"], ["--ratio was '0.7'", "'0.5' now"]),
        (["vit", "--cap", ".5"], ["--cap was not given", "0.5 now"]),
        (["vit", "--batch-size", "8"], ["--batch-size was 32"]),
        (["lm"], ["RECIPE was 'vit'", "'lm' now"]),
    ],
)
def test_a_run_is_resumed_with_what_it_was_told(
    ask: Ask, done: Path, words: list[str], parts: list[str]
):
    before = contents(done)
    refused(ask(*words, "--out", "a", "--resume"), *parts)
    assert contents(done) == before
    same = ("--epochs", 1, "--ratio", ".70", "--select", "auto")
    assert ask(*FACES, *same, "--out", "a", "--resume")[0] == 0


def test_nothing_is_overwritten(ask: Ask, done: Path):
    before = contents(done)
    refused(ask(*FACES, "--out", "a"), "'a' is not empty", "--resume")
    assert contents(done) == before
    Path("b").mkdir()
    Path("b", "letter").write_text("dear")
    refused(ask(*FACES, "--out", "b"), "'b' is not empty")
    refused(ask(*FACES, "--out", "b", "--resume"), "no checkpoint.pt in 'b'")
    refused(ask(*FACES, "--out", "c", "--resume"), "no checkpoint.pt in 'c'")
    assert contents(Path("b")) == {"letter": b"dear"}
    assert not Path("c").exists()


def test_a_folder_that_cannot_be_written(ask: Ask):
    refused(ask(*FACES, "--out", "text.txt"), "'text.txt' is no folder")
    refused(ask(*FACES, "--out", "text.txt/a"), "cannot write", "'text.txt/a'")
    refused(ask(*FACES, "--out", "a" * 300), "cannot write", "name too long")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(ask: Ask):
    Path("closed").mkdir(mode=0o500)
    refused(ask(*FACES, "--out", "closed"), "cannot write")
    refused(ask(*FACES, "--out", "closed/a"), "cannot write")


def test_one_process_at_a_time(ask: Ask, done: Path):
    lock = os.open(done, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    refused(ask("vit", "--out", "a", "--resume"), "another `ntteach teach`", "'a'")
    os.close(lock)
    assert ask("vit", "--out", "a", "--resume")[0] == 0


def test_a_damaged_checkpoint_is_told(ask: Ask, done: Path):
    path = done / "checkpoint.pt"
    whole, before = path.read_bytes(), lasting(folder.load(done))
    chance = random.Random(3)
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(ask("vit", "--out", "a", "--resume"), "checkpoint.pt' is damaged")
    told = 0
    for _ in range(60):
        broken = bytearray(whole)
        broken[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        try:
            found = lasting(folder.load(done))
        except UserError:
            told += 1
        else:
            assert found == before  # a byte between the parts may have no meaning
    assert told > 40


def test_a_foreign_checkpoint_is_told(ask: Ask, done: Path):
    path = done / "checkpoint.pt"
    good = folder.load(done)
    for content, part in (
        ({"weights": torch.zeros(3)}, "no checkpoint of"),
        ([1, 2], "no checkpoint of"),
        (torch.zeros(2), "no checkpoint of"),
        ({**good, "format": "ntteach teach, 99"}, "another version"),
        ({**good, "settings": {"recipe": "vit"}}, "this version"),
        ({**good, "parts": {}}, "damaged"),
        ({**good, "counts": [1]}, "damaged"),
        ({**good, "data_sha256": ""}, "others"),
    ):
        torch.save(content, path)
        refused(ask("vit", "--out", "a", "--resume"), part)
    path.write_bytes(b"import os")
    refused(ask("vit", "--out", "a", "--resume"), "damaged")


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["vot"], ["'vot'", "'vit'", "'lm'"]),
        (["vit", "--epochs", "0"], ["--epochs", "'0'", "at least 1"]),
        (["vit", "--epochs", "-3"], ["--epochs", "'-3'"]),
        (["vit", "--batch-size", "x"], ["--batch-size", "'x'"]),
        (["vit", "--lr", "0"], ["--lr", "above 0", "'0'"]),
        (["vit", "--lr", "nan"], ["--lr", "finite", "'nan'"]),
        (["vit", "--select", "best"], ["--select", "'best'", "hard"]),
        (["vit", "--ratio", "0"], ["ratio", "(0, 1]", "0.0"]),
        (["vit", "--ratio", "1.5"], ["ratio", "(0, 1]", "1.5"]),
        (["vit", "--ratio", "-.5"], ["ratio", "(0, 1]", "-0.5"]),
        (["vit", "--ratio", "cosine:.2"], ["--ratio", "2 numbers", "'cosine:.2'"]),
        (["vit", "--ratio", "sine:.2:.3"], ["--ratio", "cosine:START:END", "'sine:.2:.3'"]),
        (["vit", "--ratio", "cosine:.2:x"], ["--ratio", "'x'"]),
        (["vit", "--ratio", "cosine:.2:1.2"], ["(0, 1]", "got 1.0"]),
        (["vit", "--ratio", "step:.2:.8:1"], ["--ratio", "2 stages", "'1'"]),
        (["vit", "--ratio", "step:.2:.8:2.5"], ["--ratio", "stages"]),
        (["vit", "--every", "0"], ["interval", "0.0"]),
        (["vit", "--every", ""], ["--every", "''"]),
        (["vit", "--first", "last"], ["--first", "'last'"]),
        (["vit", "--final-full", "99"], ["final_full=99"]),
        (["vit", "--final-full", "1.5"], ["final_full", "1.5"]),
        (["vit", "--floor", "2"], ["floor", "2"]),
        (["vit", "--cap", "0"], ["cap"]),
        (["vit", "--temperature", "0"], ["temperature"]),
        (["vit", "--seed", "-1"], ["--seed"]),
        (["vit", "--device", "cuda:99"], ["'cuda:99'", "it has cpu"]),
        (["vit", "--device", "abacus"], ["'abacus'", "it has cpu"]),
        (["vit", "--data", "cats"], ["--data", "'cats'", "digits"]),
        (["vit", "--resum"], ["--resum"]),
        (["vit", "--save-every", "0"], ["--save-every"]),
        (["lm", "--data", "missing.txt"], ["'missing.txt'", "No such file"]),
        (["lm", "--data", "."], ["'.'", "directory"]),
        (["lm", "--data", "short.txt"], ["'short.txt'", "5 characters", "1281"]),
        (["lm", "--data", "bytes.bin"], ["'bytes.bin'", "UTF-8"]),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(ask: Ask, words: list[str], parts: list[str]):
    Path("short.txt").write_text("short")
    Path("bytes.bin").write_bytes(b"\xff\xfe" * 2000)
    before = sorted(os.listdir())
    refused(ask(*words, "--out", "new"), *parts)
    assert sorted(os.listdir()) == before


def test_help_is_there_for_all(ask: Ask):
    for words in ([], ["--help"], ["vit", "--help"], ["lm", "--help"]):
        status, out, err = ask(*words)
        assert (status, err) == (0, "")
        assert "usage: ntteach teach" in out
    assert "default: 20" in ask("vit", "--help")[1]


@pytest.mark.parametrize(
    ("module", "words", "package"),
    [
        ("sklearn", ("vit",), "scikit-learn"),
        ("skimage", FACES, "scikit-image"),
    ],
)
def test_a_missing_package_is_named(
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    words: tuple[str, ...],
    package: str,
):
    for name in list(sys.modules):
        if name.partition(".")[0] == module:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    refused(ask(*words, "--out", "new"), f"pip install {package}", "'recipes'")
    assert not Path("new").exists()


# --- the parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant", "spelt"),
    [
        (".7", lambda p: 0.7, "0.7"),
        ("constant:0.5", lambda p: 0.5, "0.5"),
        ("cosine:.2:.8", cosine(0.2, 0.8), "cosine:0.2:0.8"),
        ("incremental:5:50", incremental(5, 50), "incremental:5:50"),
        ("step:.2:.92:10", step(0.2, 0.92, 10), "step:0.2:0.92:10"),
    ],
)
def test_schedules_are_read_as_they_are_written(text: str, meant: Any, spelt: str):
    assert schedule_text(text) == spelt
    for p in (0.0, 0.3, 0.77, 1.0):
        assert schedule(text)(p) == schedule(spelt)(p) == meant(p)


@pytest.mark.parametrize("text", ["", "cosine", "cosine:", "1:2", "x", "inf", "step:1:2", "a:b:c"])
def test_what_is_no_schedule_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match="expected"):
        schedule_text(text)


def test_settings_that_are_not_given_agree():
    here = Settings("vit", "faces", 3, 8, 0.1)
    here.must_agree({"epochs": 3}, "x")
    here.must_agree({}, "x")
    with pytest.raises(UserError, match="--seed was 0 in 'x', and is 1 now"):
        here.must_agree({"epochs": 3, "seed": 1}, "x")
    assert settings.epochs_or_share("3") == 3
    assert isinstance(settings.epochs_or_share("3"), int)
    assert settings.epochs_or_share("0.0") == 0.0
    assert isinstance(settings.epochs_or_share("0.0"), float)


@pytest.mark.parametrize("total", [1, 2, 19, 100])
def test_the_rate_rises_falls_and_ends_at_zero(total: int):
    rate = [decayed(total)(n) for n in range(total + 1)]
    top = rate.index(max(rate))
    assert rate[top] == 1
    assert rate[: top + 1] == sorted(rate[: top + 1])
    assert rate[top:] == sorted(rate[top:], reverse=True)
    assert all(value > 0 for value in rate[:-1])
    assert rate[-1] == 0


@pytest.mark.parametrize(("name", "size", "classes"), [("digits", 1797, 10), ("faces", 200, 2)])
def test_images_are_split_once_and_for_all(name: str, size: int, classes: int):
    first, again = getattr(data, name)(), getattr(data, name)()
    x, y = (torch.cat(pair) for pair in zip(first.train.tensors, first.test.tensors, strict=True))
    assert len(first.test) == size // 4
    assert len(x) == size
    assert len(x.unique(dim=0)) >= size - 1  # of 200 faces, none is twice; nothing leaks
    assert sorted(set(y.tolist())) == list(range(classes)) == list(range(first.classes))
    taught = first.train.tensors[0]
    assert float(taught.mean()) == pytest.approx(0, abs=1e-5)
    assert float(taught.std()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(taught, again.train.tensors[0])
    assert first.sha256 == again.sha256
    assert len(first.sha256) == 64


def test_a_text_is_cut_into_windows_and_its_end_is_the_test(tmp_path: Path):
    file = tmp_path / "text"
    file.write_text(TEXT)
    found = data.text(str(file), length=10)
    alphabet = sorted(set(TEXT))
    n = (len(TEXT) - 1) // 10
    assert found.classes == len(alphabet)
    assert len(found.train) + len(found.test) == n
    assert len(found.test) == math.ceil(n / 10)
    for part, first in ((found.train, 0), (found.test, len(found.train))):
        for i in (0, len(part) - 1):
            x, y = ("".join(alphabet[c] for c in window) for window in part[i])
            at = (first + i) * 10
            assert (x, y) == (TEXT[at : at + 10], TEXT[at + 1 : at + 11])
    topics = data.text()
    assert topics.sha256 == data.text("topics").sha256
    assert len(topics.train) > 1000


@pytest.mark.parametrize("recipe", [vit, lm])
def test_accuracy_is_over_the_whole_test_set(recipe: Any, tmp_path: Path):
    if recipe is vit:
        test, classes = data.digits().test, 10

        def model(x: Tensor) -> Tensor:
            return x.flatten(1)[:, :10]
    else:
        (tmp_path / "text").write_text(TEXT * 2)
        part = data.text(str(tmp_path / "text"), length=10)
        test, classes = part.test, part.classes

        def model(x: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(x, classes).float()

    x, y = test.tensors
    right, loss = 0, 0.0
    for logits, target in zip(model(x).reshape(-1, classes), y.flatten(), strict=True):
        loss -= float(logits.double().log_softmax(0)[target])
        right += int(logits.argmax()) == int(target)
    found = recipe.accuracy(model, test, "cpu")
    assert found["test_loss"] == pytest.approx(loss / y.numel(), rel=1e-5)
    assert found["test_accuracy"] == pytest.approx(right / y.numel())
