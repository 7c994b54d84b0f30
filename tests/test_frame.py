"""The set-up step: what it does on machines that lack something, and that it does nothing twice.

No test installs anything: a stub stands where `python -m venv` and pip would run.
"""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / "tools" / "bootstrap.py"
VARIABLES = ("PYTHON", "NTTEACH_TORCH_INDEX", "NTTEACH_VENV", "NTTEACH_SYSTEM")


@pytest.fixture
def checkout(tmp_path):
    """A checkout that holds only what the set-up reads."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "bootstrap.py").write_bytes(BOOTSTRAP.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return tmp_path


@pytest.fixture
def machine(checkout, monkeypatch):
    """The set-up script of `checkout`, on a machine where every command is recorded, not run."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("bootstrap", checkout / "tools" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    ran = []

    def step(what, argv, env=None):
        ran.append(" ".join(map(str, argv)))
        if "venv" in map(str, argv):
            (checkout / ".venv" / "bin").mkdir()
            (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
            (checkout / ".venv" / "pyvenv.cfg").touch()

    monkeypatch.setattr(bootstrap, "ran", ran, raising=False)
    monkeypatch.setattr(bootstrap, "step", step)
    monkeypatch.setattr(bootstrap, "can_make_venvs", lambda: True)
    monkeypatch.setattr(bootstrap, "version_with_pip", lambda venv: version(venv))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    return bootstrap


def version(venv):
    return list(sys.version_info[:2]) if (venv / "bin" / "python").exists() else None


def run_as(checkout, prelude, path="", **variables):
    """Run the script in a real process of an interpreter that `prelude` has changed."""
    script = str(checkout / "tools" / "bootstrap.py")
    code = f"import sys, runpy; {prelude}; runpy.run_path({script!r}, run_name='__main__')"
    env = {"PATH": str(path), **variables}
    argv = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)


def one_line(done):
    """The only line that a set-up which gave up has written; a traceback would be more."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ntteach: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_an_old_python_says_so_in_one_line(checkout):
    line = one_line(run_as(checkout, "sys.version_info = (3, 9, 2)"))
    assert "Python 3.9" in line
    assert "3.11 or newer" in line
    assert not (checkout / ".venv").exists()


def test_an_old_python_can_read_the_script():
    ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 6))


def test_an_old_python_that_was_asked_for_is_not_replaced(checkout, tmp_path):
    stub(tmp_path, "python3.12", "echo must not run; exit 0")
    done = run_as(checkout, "sys.version_info = (3, 9, 2)", tmp_path, PYTHON="python3.9")
    assert "python3.9 is Python 3.9" in one_line(done)


def test_an_old_python_gives_way_to_a_newer_one_on_the_path(checkout, tmp_path):
    stub(tmp_path, "python3.13", "exit 127")  # a version manager's shim with nothing behind it
    stub(tmp_path, "python3.12", 'if [ "$1" != -c ]; then echo went on with "$@"; fi')
    done = run_as(checkout, "sys.version_info = (3, 9, 2)", tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"went on with {checkout}/tools/bootstrap.py\n"


def stub(folder, name, body):
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_a_user_without_ensurepip_is_told_the_command(checkout, tmp_path):
    stub(tmp_path, "apt-get", "echo must not run >&2")
    hidden = "import os; os.geteuid = lambda: 1000; sys.modules['ensurepip'] = None"
    line = one_line(run_as(checkout, hidden, tmp_path))
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    assert f"sudo sh -c 'apt-get update && apt-get install --yes {package}'" in line
    assert not (checkout / ".venv").exists()


def test_root_on_debian_installs_the_venv_module(machine, monkeypatch):
    has = iter([False, True])
    monkeypatch.setattr(machine, "can_make_venvs", lambda: next(has))
    monkeypatch.setattr(machine.shutil, "which", {"apt-get": "/usr/bin/apt-get"}.get)
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    assert machine.main([]) == 0
    assert "apt-get install" in machine.ran[0]
    assert "-m venv" in machine.ran[1]
    assert "pip install" in machine.ran[2]


def test_uv_is_used_where_python_cannot_make_environments(machine, monkeypatch):
    monkeypatch.setattr(machine, "can_make_venvs", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", {"uv": "/usr/bin/uv"}.get)
    assert machine.main([]) == 0
    assert machine.ran[0].startswith("uv venv --seed")


def test_the_second_run_has_nothing_to_do(machine):
    assert machine.main([]) == 0
    assert [command.split()[2] for command in machine.ran] == ["venv", "pip"]
    machine.ran.clear()
    assert machine.main([]) == 0
    assert machine.ran == []


def test_a_ready_environment_takes_no_process(checkout, machine):
    """A real second process, with nothing on PATH, finds the stamp and says nothing."""
    machine.main([])
    done = run_as(checkout, "pass")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        (lambda at, bs: (at / "pyproject.toml").write_text("[project]\n"), ["pip"]),
        (lambda at, bs: amend(bs, root="/elsewhere"), ["pip"]),
        (lambda at, bs: amend(bs, state="making"), ["venv", "pip"]),
        (lambda at, bs: amend(bs, interpreter="/usr/bin/python3.0"), ["venv", "pip"]),
        (lambda at, bs: (at / ".venv" / "bin" / "python").unlink(), ["venv", "pip"]),
        (lambda at, bs: (at / ".venv" / "ntteach-stamp.json").write_text("{"), ["pip"]),
    ],
    ids=["pyproject", "moved", "half-made", "python-upgraded", "python-gone", "stamp-broken"],
)
def test_what_changed_is_done_again(checkout, machine, change, redone):
    machine.main([])
    machine.ran.clear()
    change(checkout, machine)
    assert machine.main([]) == 0
    assert [command.split()[2] for command in machine.ran] == redone
    machine.ran.clear()
    machine.main([])
    assert machine.ran == []


def amend(bootstrap, **changes):
    venv = bootstrap.ROOT / ".venv"
    bootstrap.write_stamp(venv, **{**bootstrap.read_stamp(venv), **changes})


def test_extras_add_up(checkout, machine):
    machine.main([])
    machine.main(["test", "lint"])
    assert machine.ran[-1].endswith("[lint,test]")
    machine.ran.clear()
    machine.main([])
    assert machine.ran == []


def test_an_environment_of_somebody_else_is_never_removed(checkout, machine, capsys):
    theirs = checkout / ".venv" / "lib" / "python3.11" / "site-packages" / "theirs"
    theirs.mkdir(parents=True)
    (checkout / ".venv" / "pyvenv.cfg").touch()
    assert machine.main([]) == 2
    assert "was not made by ntteach" in capsys.readouterr().err
    assert theirs.exists()


def test_a_failed_install_is_tried_again(machine, monkeypatch, capsys):
    def fail(what, argv, env=None):
        raise machine.Stop("installing failed")

    machine.main([])
    amend(machine, pyproject="old")
    recording = machine.step
    monkeypatch.setattr(machine, "step", fail)
    assert machine.main([]) == 2
    assert capsys.readouterr().err == "ntteach: installing failed\n"
    monkeypatch.setattr(machine, "step", recording)
    machine.ran.clear()
    assert machine.main([]) == 0
    assert len(machine.ran) == 1  # the environment was kept


def test_torch_comes_from_the_index_of_the_users_choice(machine, monkeypatch):
    monkeypatch.setenv("NTTEACH_TORCH_INDEX", "https://wheels.example/cpu")
    machine.main([])
    first, second = machine.ran[1:]
    assert "--no-deps --index-url https://wheels.example/cpu torch>=" in first
    assert "wheels.example" not in second


def test_without_an_environment_what_is_missing_is_named(checkout):
    line = one_line(run_as(checkout, "pass", NTTEACH_SYSTEM="1"))
    assert "lacks torch, numpy, scipy, sympy" in line


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_help_names_every_variable():
    """`make help` and the script's docstring tell of the same variables."""
    env = {k: v for k, v in os.environ.items() if k not in VARIABLES and not k.startswith("MAKE")}
    text = subprocess.run(["make", "help"], cwd=ROOT, env=env, capture_output=True, text=True)
    docstring = BOOTSTRAP.read_text().split('"""')[1]
    for name in VARIABLES:
        assert name in text.stdout
        assert name in docstring


def test_pyproject_pins_nothing_and_bounds_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(r for extra in extras for r in extra)]:
        assert "==" not in requirement
    assert any(r.startswith("torch>=") and "<" in r for r in project["dependencies"])


def test_the_stamp_is_json_that_says_what_it_is_for(checkout, machine):
    machine.main([])
    stamp = json.loads((checkout / ".venv" / "ntteach-stamp.json").read_text())
    assert stamp["state"] == "ready"
    assert stamp["extras"] == ["test"]
    assert stamp["python"] == list(sys.version_info[:2])
