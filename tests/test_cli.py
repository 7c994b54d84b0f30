"""The command line: what it writes where, its exit status, and one line for every bad input."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ntteach import __version__, claims, cli
from ntteach.claims import (
    Check,
    Claim,
    Counterexample,
    Evidence,
    Hypothesis,
    Mutant,
    Outcome,
    Registry,
    Replay,
    Setting,
    record,
)
from ntteach.report.output import say

# Check functions stand at the top of the module: worker processes import them by name.


def supports(claim: Claim, setting: Setting) -> Evidence:
    print("noise from a check")
    mutants = (Mutant("a sign", True),)
    return Evidence(Outcome.SUPPORTS, f"seed {setting.seed}", 2, 0.5, mutants=mutants)


def interrupted(claim: Claim, setting: Setting) -> Evidence:
    raise KeyboardInterrupt


def replayed(given: dict[str, Any]) -> Replay:
    number = int(given["n"])
    met = (Hypothesis("n > 0", given["n"], number > 0),)
    return Replay("integers", met, "n is even", "n is odd", number % 2 == 1)


def claim(key: str, says: str, function: Any = supports, **fields: Any) -> Claim:
    check = Check("one case", "sample", f"{__name__}:{function.__name__}", ("2", "3"))
    return Claim(
        key=key,
        number="Eq. 2",
        kind="equation",
        locus="Section 4",
        statement=f"What {key} says.",
        encoded="for one case",
        checks=(check,),
        expected=record(says),
        **fields,
    )


def case(n: str) -> Counterexample:
    return Counterexample(f"{__name__}:replayed", {"n": n})


REGISTRY = Registry(
    [
        claim("base", "supported"),
        claim("steady", "supported", requires=("base",), counterexample=case("3")),
        claim("shaky", "verified", counterexample=case("2")),
        claim("far-off", "supported", counterexample=case("-3")),
        claim("stopped", "supported", interrupted),
    ]
)
PAPER = {"id": "arXiv:0000.00000", "title": "A Paper"}


def verify(
    keys: Any = None, *, profile: str, seed: int, device: str, jobs: int, progress: Any
) -> claims.Run:
    wanted = [key for key in REGISTRY if key != "stopped"] if keys is None else keys
    return claims.run(
        REGISTRY, wanted, Setting(profile, seed, device), jobs=jobs, progress=progress
    )


Answer = tuple[int, str, str]
Ask = Callable[..., Answer]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    """Run the command line here, on a small paper of our own: status, stdout, stderr."""
    paper = ModuleType("ntteach.paper")
    paper.__dict__.update(registry=REGISTRY, PAPER=PAPER, verify=verify)
    monkeypatch.setitem(sys.modules, "ntteach.paper", paper)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*argv: str) -> Answer:
        capfd.readouterr()
        status = cli.main(argv)
        out, err = capfd.readouterr()
        return status, out, err

    return run


def refused(answer: Answer, *parts: str) -> None:
    """Exit 2, nothing on standard output, one line on standard error that says these parts."""
    status, out, err = answer
    assert status == 2
    assert out == ""
    assert err.startswith("ntteach: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err


# --- exit status ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["verify", "base"], 0),
        (["verify", "steady", "base"], 0),
        (["verify", "shaky"], 1),
        (["verify"], 1),
        (["verify", "--json", "base"], 0),
        (["verify", "--json"], 1),
        (["verify", "--profile", "full", "--seed", "3", "--jobs", "1", "base"], 0),
        (["list"], 0),
        (["list", "--json"], 0),
        (["show", "shaky"], 0),
        (["show", "shaky", "--json"], 0),
        (["graph"], 0),
        (["graph", "--dot"], 0),
        (["graph", "--json"], 0),
        (["replay", "steady"], 0),
        (["replay", "steady", "--json"], 0),
        (["replay", "shaky"], 1),
        (["replay", "far-off"], 1),
        (["replay", "far-off", "--json"], 1),
        ([], 0),
        (["--help"], 0),
        (["verify", "--help"], 0),
        (["check", "--help"], 0),
        (["--version"], 0),
    ],
)
def test_exit_status(ask: Ask, argv: list[str], status: int):
    answer = ask(*argv)
    assert answer[0] == status
    assert answer[1]
    # what checks print comes there, of two processes in any order; this is no terminal, so there
    # is no progress
    assert answer[2].replace("noise from a check", "").strip() == ""
    if "--json" in argv:
        json.loads(answer[1])


def test_version_is_that_of_the_package(ask: Ask):
    assert ask("--version")[1] == f"ntteach {__version__}\n"


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["verify", "stedy"], ["'stedy'", "did you mean steady"]),
        (["verify", "base", "zzz"], ["'zzz'", "ntteach list"]),
        (["verify", "base", "--profile", "slow"], ["'slow'", "quick", "full"]),
        (["verify", "--seed", "x"], ["--seed", "'x'", "whole number"]),
        (["verify", "--seed", "-1"], ["--seed", "'-1'", "at least 0"]),
        (["verify", "--seed", "1.5"], ["--seed", "'1.5'"]),
        (["verify", "--seed", "9" * 5000], ["--seed", "whole number"]),
        (["verify", "--jobs", "0"], ["--jobs", "'0'", "at least 1"]),
        (["verify", "--jobs"], ["--jobs", "expected one argument"]),
        (["verify", "--html", "x"], ["--html"]),
        (["verify", "--device", "abacus"], ["'abacus'", "it has cpu"]),
        (["verify", "--device", "cuda:99"], ["'cuda:99'", "it has cpu"]),
        (["verify", "--device", "meta"], ["'meta'", "it has cpu"]),
        (["verify", "--device", ""], ["''", "it has cpu"]),
        (["show"], ["KEY"]),
        (["show", "basee"], ["'basee'", "did you mean base"]),
        (["show", "base", "shaky"], ["shaky"]),
        (["graph", "--dot", "--json"], ["not allowed with"]),
        (["replay", "base"], ["'base' has no counterexample", "steady, shaky, far-off"]),
        (["replay", "zzz"], ["'zzz'"]),
        (["verfy"], ["'verfy'", "'verify'"]),
        (["check"], ["MODULE:NAME"]),
        (["check", "m:f", "--seed", "x"], ["--seed", "'x'"]),
        (["check", "no_such_module:f"], ["no_such_module"]),
        (["check", "torch:relu", "--shape", "4,6"], ["'4,6'", "N,L,d"]),
        (["check", "torch:relu", "--laws", "xyz"], ["'xyz'", "equivariance"]),
    ],
)
def test_bad_input_gets_one_line(ask: Ask, argv: list[str], parts: list[str]):
    refused(ask(*argv), *parts)


def test_an_error_of_ours_gets_one_line_and_a_way_to_see_more(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("line one\nline two")

    monkeypatch.setattr(sys.modules["ntteach.paper"], "verify", broken)
    refused(ask("verify"), "ZeroDivisionError: line one line two", "NTTEACH_DEBUG=1")
    monkeypatch.setenv("NTTEACH_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ask("verify")


def test_an_interrupt_gets_one_line(ask: Ask):
    refused(ask("verify", "stopped", "--jobs", "1"), "interrupted")


# --- verify --------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_json_stands_alone_on_standard_output(ask: Ask, jobs: str):
    status, out, err = ask("verify", "--json", "--jobs", jobs, "--seed", "7")
    said = json.loads(out)
    assert status == 1
    assert said["paper"] == PAPER
    assert said["environment"]["seed"] == 7
    assert said["summary"]["moved"] == ["shaky"]
    assert said["claims"][0]["checks"][0]["scope"] == "seed 7"
    assert "noise" not in out
    assert err.count("noise from a check") == 4


def test_named_claims_run_with_all_they_rest_on(ask: Ask):
    _, out, _ = ask("verify", "steady")
    assert "Ran 1 claim by name and 1 more that it rests on." in out
    _, out, _ = ask("verify", "steady", "--json")
    assert [one["key"] for one in json.loads(out)["claims"]] == ["base", "steady"]


def test_threads_are_few_unless_the_user_says_otherwise(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    ask("list")
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    ask("list")
    assert os.environ["OMP_NUM_THREADS"] == "5"


# --- files ---------------------------------------------------------------------------------------


def test_junit_is_written_besides(ask: Ask, tmp_path: Path):
    file = tmp_path / "report.xml"
    file.write_text("old")
    status, out, _ = ask("verify", "--junit", str(file), "--json")
    assert status == 1
    json.loads(out)
    suite = ET.parse(file).getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"]) == (
        "5",
        "1",
    )  # "shaky" lacks a witness: no check of its own is to blame
    assert list(tmp_path.iterdir()) == [file]


def unwritable(tmp_path: Path) -> list[Path]:
    (tmp_path / "file").write_text("old")
    return [
        tmp_path,
        tmp_path / "missing" / "report.xml",
        tmp_path / "file" / "report.xml",
        tmp_path / ("x" * 300),
        Path(os.devnull),
    ]


@pytest.mark.parametrize("which", range(5))
def test_an_unwritable_file_is_told_before_anything_runs(
    ask: Ask, tmp_path: Path, which: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.modules["ntteach.paper"], "verify", lambda *_, **__: pytest.fail("ran"))
    refused(ask("verify", "--junit", str(unwritable(tmp_path)[which])), "cannot write")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert not Path(os.devnull).is_file()


def test_a_file_name_that_is_empty_is_told(ask: Ask):
    refused(ask("verify", "--junit", ""), "cannot write ''")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(ask: Ask, tmp_path: Path):
    tmp_path.chmod(0o500)
    refused(ask("verify", "base", "--junit", str(tmp_path / "x.xml")), "cannot write")


def test_a_failed_run_leaves_no_file(ask: Ask, tmp_path: Path):
    refused(ask("verify", "stopped", "--jobs", "1", "--junit", str(tmp_path / "x.xml")))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "report.xml"
    file.write_text("old")
    monkeypatch.setattr("ntteach.report.output.os.replace", full)
    status, _, err = ask("verify", "base", "--junit", str(file))
    assert status == 2
    assert "No space left" in err
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


# --- the other commands --------------------------------------------------------------------------


def test_list_names_every_claim(ask: Ask):
    _, out, _ = ask("list")
    assert all(key in out for key in REGISTRY)
    entries = json.loads(ask("list", "--json")[1])["claims"]
    assert [entry["key"] for entry in entries] == list(REGISTRY)
    assert entries[0]["expected"]["quick"] == {"statement": "supported", "proof": None}


def test_graph_in_its_three_forms(ask: Ask):
    assert "└─ requires: base" in ask("graph")[1]
    assert ask("graph", "--dot")[1].startswith("digraph")
    edges = json.loads(ask("graph", "--json")[1])["edges"]
    assert edges == [{"from": "steady", "to": "base", "how": "requires"}]


def test_replay_gives_case_hypotheses_and_finding(ask: Ask):
    said = json.loads(ask("replay", "far-off", "--json")[1])
    assert said["given"] == {"n": "-3"}
    assert said["hypotheses"] == [{"name": "n > 0", "value": "-3", "met": False}]
    assert (said["refutes"], said["valid"]) == (True, False)


def test_check_hands_its_arguments_on(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    seen: list[argparse.Namespace] = []

    def command(args: argparse.Namespace) -> int:
        seen.append(args)
        return 1

    monkeypatch.setitem(sys.modules, "ntteach.variants", SimpleNamespace(command=command))
    assert ask("check", "m:f")[0] == 1
    argv = ["--shape", "4,6,8", "--causal", "--laws", "repetition,causality"]
    assert ask("check", "m:f", *argv, "--json", "--seed", "3")[0] == 1
    plain, full = ((a.target, a.shape, a.causal, a.laws, a.json, a.seed) for a in seen)
    assert plain == ("m:f", None, False, None, False, 0)
    assert full == ("m:f", "4,6,8", True, "repetition,causality", True, 3)


# --- the real command, in a process of its own ---------------------------------------------------

COMMAND = [sys.executable, "-m", "ntteach"]


def ntteach(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *argv], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "argv", [["--help"], ["list"], ["list", "--json"], ["graph"], ["check", "--help"]]
)
def test_quick_commands_load_no_numerical_library(argv: list[str]):
    heavy = {"torch", "numpy", "sympy", "hypothesis", "jaxtyping", "ntteach.variants"}
    code = (
        "import sys; from ntteach.cli import main;"
        f"status = main({argv!r});"
        f"print(status, sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stderr == "0 []\n"


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["list"]])
def test_a_reader_who_leaves_early_sees_no_traceback(argv: list[str]):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        answer = subprocess.run([*COMMAND, *argv], stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert answer.stderr == b""
    assert answer.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("argv", [["--help"], ["list"]])
def test_a_full_disk_is_told_in_one_line(argv: list[str]):
    with open("/dev/full", "w") as full:
        answer = subprocess.run([*COMMAND, *argv], stdout=full, stderr=subprocess.PIPE, text=True)
    refused((answer.returncode, "", answer.stderr), "cannot write to standard output", "No space")


def test_what_the_encoding_lacks_is_written_in_ascii(monkeypatch: pytest.MonkeyPatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    say("ω")
    assert written.getvalue() == b"\\u03c9\n"


def test_no_traceback_where_the_encoding_is_poor():
    answer = ntteach("list", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert answer.returncode == 0
    assert answer.stderr == ""


SLOW = """
import sys, time
from types import ModuleType
from ntteach import claims
from ntteach.cli import main

def verify(*_, **__):
    print("started", file=sys.stderr, flush=True)
    time.sleep(60)

paper = ModuleType("ntteach.paper")
paper.__dict__.update(registry=claims.Registry([]), PAPER={}, verify=verify)
sys.modules["ntteach.paper"] = paper
sys.exit(main(["verify"]))
"""


def test_ctrl_c_is_one_line_and_no_wait():
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "started\n"
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - start < 30
    refused((process.returncode, out, err), "interrupted")


def test_a_claim_of_the_paper_from_the_shell_to_the_files(tmp_path: Path):
    listed = ntteach("list", "--json")
    assert listed.stderr == ""
    key = json.loads(listed.stdout)["claims"][0]["key"]  # the first one rests on nothing
    file = tmp_path / "report.xml"
    answer = ntteach("verify", key, "--json", "--junit", str(file), "--jobs", "2")
    said = json.loads(answer.stdout)
    assert answer.returncode == 0, answer.stderr
    assert said["paper"]["id"] == "arXiv:2602.20461"
    assert [one["key"] for one in said["claims"]] == [key]
    checks = said["claims"][0]["checks"]
    assert len(ET.parse(file).getroot().findall("testcase")) == len(checks)
    for check in checks:
        assert check["mutants"]["planted"] == check["mutants"]["refuted"]


def test_every_stored_counterexample_of_the_paper_still_refutes():
    registry = import_module("ntteach.paper").registry
    having = [key for key in registry if registry[key].counterexample is not None]
    assert having
    for key in having:
        assert cli.main(["replay", key]) == 0, key


def test_every_refuted_claim_of_the_paper_can_be_replayed():
    registry = import_module("ntteach.paper").registry
    for claim in registry.values():
        if claim.expected["full"].statement == "refuted":
            assert claim.counterexample is not None, claim.key


def test_a_search_leaves_nothing_in_the_folder_it_was_started_from(tmp_path: Path):
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    environment.pop("HYPOTHESIS_STORAGE_DIRECTORY", None)
    answer = ntteach("verify", "permutation-invariance", cwd=tmp_path, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert list(tmp_path.iterdir()) == []
