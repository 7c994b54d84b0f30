"""The derivation scripts: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import ntteach

_PACKAGE = Path(ntteach.__file__).resolve().parent
_PLACES = (_PACKAGE / "_derivations", _PACKAGE.parent / "derivations")


def path(name: str) -> Path:
    """Where `derivations/<name>.py` is.

    Raises:
        FileNotFoundError: neither the package nor the checkout has it.
    """
    for folder in _PLACES:
        if (folder / f"{name}.py").is_file():
            return folder / f"{name}.py"
    raise FileNotFoundError(f"no derivation {name!r} in {' or '.join(map(str, _PLACES))}")


@cache
def load(name: str) -> ModuleType:
    """The derivation, executed once; its `IDENTITIES` are (name, lhs, rhs)."""
    spec = importlib.util.spec_from_file_location(f"ntteach_derivations_{name}", path(name))
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
