#!/usr/bin/env python3
"""Make the environment that the Makefile runs in, on a machine that has only python3.

    python3 tools/bootstrap.py [EXTRA ...]      (default: test)

Makes .venv, installs this checkout into it in editable mode with the named extras, and leaves
a stamp there, so that the next call has nothing to do. The stamp holds the hash of
pyproject.toml, the interpreter, the extras and the checkout; when one of them changes, the
environment is brought up to date. One that was left half-made is made anew. One that somebody
else made is installed into and never removed.

Where `python3 -m venv` does not work (Debian leaves it out), uv is used if it is there; else,
for root on Debian, python3-venv is installed by apt-get; else one line says what to run.

Variables:
  PYTHON               the interpreter; without it python3, or where that is older than 3.11 the
                       newest of python3.13, python3.12, python3.11 on PATH
  NTTEACH_TORCH_INDEX  a package index to take torch from, say one of small CPU builds
  NTTEACH_VENV         where the environment is; default .venv
  NTTEACH_SYSTEM       if set, make nothing: check that the interpreter has what ntteach needs

Exit status: 0, ready; 2, not possible, with one line that says why and what to do.
Standard library only, and no syntax newer than Python 3.6: an old interpreter must be able to
read this file to say that it is old.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
# Not the python of an activated .venv: that is what may have to be made anew.
BASE_PYTHON = getattr(sys, "_base_executable", None) or sys.executable
CANDIDATES = ("python3.13", "python3.12", "python3.11")


class Stop(Exception):
    """Nothing more can be done; the message is what the user reads."""


def say(text, end="\n"):
    """Write to standard error: standard output belongs to the command that is being set up."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def step(what, argv, env=None):
    """Run a command quietly, in one line with its seconds; if it fails show its last lines."""
    began = time.monotonic()
    say("ntteach: " + what + " ...", end="")
    with tempfile.TemporaryFile() as log:
        status = subprocess.call(
            [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
        )
        if status:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            say(" failed\n" + "\n".join("    " + line for line in lines[-12:]))
            raise Stop("{} failed: {}".format(what, " ".join(str(a) for a in argv)))
    say(" {:.0f} s".format(time.monotonic() - began))


def project():
    """Return the [project] table of pyproject.toml."""
    import tomllib  # new in Python 3.11, and nothing older comes this far

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pyproject_hash():
    """Return the hash that the stamp is keyed on."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


# --- the interpreter ----------------------------------------------------------------------


def use_a_new_enough_python(argv):
    """Go on in a newer interpreter if this one is too old and there is one."""
    if sys.version_info >= OLDEST:
        return
    mine = "{} is Python {}.{}".format(os.environ.get("PYTHON", "python3"), *sys.version_info[:2])
    if "PYTHON" in os.environ or os.environ.get("NTTEACH_SYSTEM"):
        raise Stop(mine + "; ntteach needs 3.11 or newer: make PYTHON=/path/to/python3.11")
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    for path in filter(None, map(shutil.which, CANDIDATES)):
        # A name on PATH may be a version manager's shim with nothing behind it.
        if subprocess.call([path, "-c", probe], stderr=subprocess.DEVNULL) == 0:
            os.execv(path, [path, str(Path(__file__).resolve()), *argv])
    raise Stop(
        "{}, and there is no {} on PATH; ntteach needs 3.11 or newer: "
        "install one, or make PYTHON=/path/to/python3.11".format(mine, ", ".join(CANDIDATES))
    )


def check_system():
    """Check that this interpreter has what ntteach needs, without importing any of it."""
    names = [re.split(r"[^\w-]", d)[0].replace("-", "_") for d in project()["dependencies"]]
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise Stop(
            "NTTEACH_SYSTEM is set, but {} lacks {}".format(sys.executable, ", ".join(missing))
        )


# --- the environment ----------------------------------------------------------------------


def stamp_path(venv):
    """Return where the environment's stamp is."""
    return venv / "ntteach-stamp.json"


def read_stamp(venv):
    """Return the stamp, or {} if there is none that can be read."""
    try:
        return dict(json.loads(stamp_path(venv).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_stamp(venv, **stamp):
    """Write the stamp in one move, so that it is never half there."""
    draft = stamp_path(venv).with_suffix(".draft")
    draft.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(str(draft), str(stamp_path(venv)))


def interpreter(venv):
    """Return what the environment's python links to; it changes when the system's does."""
    return os.path.realpath(str(venv / "bin" / "python"))


def is_ready(venv, extras):
    """Tell from the stamp alone, starting no process, whether there is nothing to do."""
    stamp = read_stamp(venv)
    wanted = list(sys.version_info[:2]) if "PYTHON" in os.environ else stamp.get("python")
    return (
        stamp.get("state") == "ready"
        and stamp.get("pyproject") == pyproject_hash()
        and stamp.get("root") == str(ROOT)
        and stamp.get("python") == wanted
        and stamp.get("interpreter") == interpreter(venv)
        and os.path.exists(interpreter(venv))
        and set(extras) <= set(stamp.get("extras", []))
    )


def version_with_pip(venv):
    """Return [major, minor] of the environment's python, or None unless it runs and has pip."""
    program = "import pip, sys; print(*sys.version_info[:2])"
    try:
        out = subprocess.check_output(
            [str(venv / "bin" / "python"), "-c", program], stderr=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return [int(part) for part in out.split()]


def remove(venv, stamp):
    """Remove an environment of ours, or the empty one that a failed `python3 -m venv` leaves."""
    held = [p for p in venv.glob("lib/python*/site-packages/*") if not p.name.startswith("pip")]
    foreign = not stamp.get("ours") and (held or not (venv / "pyvenv.cfg").exists())
    if foreign and any(venv.iterdir()):
        raise Stop(
            "{} was not made by ntteach and cannot be used (no pip, or another Python); "
            "remove it, or choose another place: make NTTEACH_VENV=DIR".format(venv)
        )
    shutil.rmtree(str(venv))


def can_make_venvs():
    """Tell whether `python -m venv` can work; Debian ships it without ensurepip."""
    return all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))


def create(venv):
    """Make an empty environment with pip, by the first way that this machine has."""
    version = "{}.{}".format(*sys.version_info[:2])
    made = "making {} (Python {})".format(venv.name, version)
    if can_make_venvs():
        step(made, [BASE_PYTHON, "-m", "venv", venv])
    elif shutil.which("uv"):
        uv = ["uv", "venv", "--seed", "--allow-existing", "--python", BASE_PYTHON, venv]
        step(made + " with uv", uv)
    else:
        add_venv_module("python{}-venv".format(version))
        step(made, [BASE_PYTHON, "-m", "venv", venv])


def add_venv_module(package):
    """Install Debian's package for environments as root, or say who has to."""
    lacking = "{} cannot make environments (no ensurepip)".format(BASE_PYTHON)
    if not shutil.which("apt-get"):
        raise Stop(lacking + "; install your system's package for `python3 -m venv`, or uv")
    command = "apt-get update && apt-get install --yes " + package
    if os.geteuid() != 0:
        raise Stop("{}; run this and try again: sudo sh -c '{}'".format(lacking, command))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    step("installing {} with apt-get".format(package), ["sh", "-c", command], env)
    importlib.invalidate_caches()
    if not can_make_venvs():
        raise Stop(lacking + "; use another: make PYTHON=/usr/bin/python3")


def install(venv, extras):
    """Install this checkout, editable, with the extras; torch first if it has its own index."""
    flags = "--quiet --no-input --disable-pip-version-check"
    pip = [venv / "bin" / "python", "-m", "pip", "install", *flags.split()]
    index = os.environ.get("NTTEACH_TORCH_INDEX")
    if index:
        torch = next(d for d in project()["dependencies"] if re.match(r"torch\b(?!-)", d))
        # Only torch itself: what it depends on comes from the usual index, in the next step.
        step(
            "installing torch from NTTEACH_TORCH_INDEX",
            [*pip, "--no-deps", "--index-url", index, torch],
        )
    step(
        "installing ntteach and what it needs for " + ", ".join(extras),
        [*pip, "--editable", "{}[{}]".format(ROOT, ",".join(extras))],
    )


def wait_for_others(project_file):
    """Of two makes at once, let one do the work; the lock ends with the process that holds it."""
    try:
        fcntl.flock(project_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("ntteach: another make is setting up; waiting for it")
        fcntl.flock(project_file, fcntl.LOCK_EX)


def bring_up_to_date(venv, extras):
    """Make or mend the environment, then stamp it."""
    stamp = read_stamp(venv)
    half_made = stamp.get("ours") and stamp.get("state") != "ready"
    version = None if half_made else version_with_pip(venv)
    wanted = list(sys.version_info[:2]) if "PYTHON" in os.environ else version
    moved = bool(stamp) and stamp.get("interpreter") != interpreter(venv)
    ours = bool(stamp.get("ours"))
    if version is None or tuple(version) < OLDEST or version != wanted or (ours and moved):
        if venv.exists():
            remove(venv, stamp)
        venv.mkdir(parents=True)
        # The mark comes first: an environment that is cut short at any point is known as ours.
        write_stamp(venv, state="making", ours=True)
        try:
            create(venv)
        except Stop:
            shutil.rmtree(str(venv))
            raise
        version, ours, stamp = version_with_pip(venv), True, {}
    write_stamp(venv, state="making", ours=ours)
    extras = sorted(set(extras) | set(stamp.get("extras", [])))
    try:
        install(venv, extras)
    except Stop:
        if stamp:  # pip refused and changed nothing: keep what there is, and try again next time
            write_stamp(venv, **dict(stamp, pyproject=""))
        raise
    write_stamp(
        venv,
        state="ready",
        ours=ours,
        pyproject=pyproject_hash(),
        root=str(ROOT),
        python=version,
        interpreter=interpreter(venv),
        extras=extras,
    )


def main(argv):
    """Set up, or say in one line why not."""
    extras = argv or ["test"]
    venv = ROOT / os.environ.get("NTTEACH_VENV", ".venv")
    try:
        if os.environ.get("NTTEACH_SYSTEM"):
            use_a_new_enough_python(argv)
            check_system()
        elif not is_ready(venv, extras):
            use_a_new_enough_python(argv)
            with (ROOT / "pyproject.toml").open() as project_file:
                wait_for_others(project_file)
                if not is_ready(venv, extras):
                    bring_up_to_date(venv, extras)
    except Stop as stop:
        say("ntteach: {}".format(stop))
        return 2
    except OSError as error:  # no space, no permission, a file where a folder should be
        say("ntteach: cannot set up {}: {}".format(venv, error))
        return 2
    except KeyboardInterrupt:
        say("\nntteach: stopped; the next make starts the set-up again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
