"""The names that `ntteach` exports: they load late, they are documented, none is a module's."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ntteach

HEAVY = ("torch", "sympy", "hypothesis", "matplotlib", "numpy", "transformers", "rich")
SOURCE = Path(ntteach.__file__).parent


def fresh(code: str) -> str:
    """What a new interpreter prints that finds this very ntteach."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("name", ntteach.__all__)
def test_every_exported_name_can_be_imported(name):
    assert getattr(ntteach, name) is not None
    assert name in dir(ntteach)


def is_function(name: str) -> bool:
    value = getattr(ntteach, name)
    return callable(value) and not isinstance(value, ModuleType)


FUNCTIONS = [name for name in ntteach.__all__ if is_function(name)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_exported_function_says_what_it_takes_gives_and_shows(name):
    value = getattr(ntteach, name)
    text = inspect.getdoc(value)
    assert text, f"{name} has no docstring"
    summary = text.splitlines()[0]
    assert summary.endswith((".", "`.")), summary
    # either its own sections, or those of the function that it points to
    assert "Args:" in text or "rguments as `" in text or "rguments and errors as `" in text
    if not inspect.isclass(value) and name != "verify":
        assert "eturns" in text or "`(..." in text
        assert ">>>" in text, f"{name} has no example"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_listed_in_a_docstring_are_those_of_the_function(name):
    value = getattr(ntteach, name)
    text = inspect.getdoc(value) or ""
    if "Args:" not in text:
        return
    section = text.split("Args:\n")[1].split("\n\n")[0]
    listed = [line.split(":")[0].strip() for line in section.splitlines() if line[4:5].strip()]
    assert listed == list(inspect.signature(value).parameters)


def test_nothing_else_is_exported():
    assert sorted(ntteach.__all__) == sorted(set(ntteach.__all__))
    assert {*ntteach._EXPORTS, *ntteach._MODULES} == set(ntteach.__all__)


def test_names_for_type_checkers_are_the_exported_ones():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {**ntteach._EXPORTS, **dict.fromkeys(ntteach._MODULES, "ntteach")}


def test_exports_come_from_where_they_are_said_to():
    for name, module in ntteach._EXPORTS.items():
        assert getattr(ntteach, name) is getattr(importlib.import_module(module), name)


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ntteach' has no attribute 'atention'"):
        ntteach.atention  # noqa: B018
    assert not hasattr(ntteach, "atention")
    with pytest.raises(ImportError, match="cannot import name 'atention'"):
        exec("from ntteach import atention", {})


def test_no_module_bears_the_name_of_an_exported_function():
    # after `import ntteach.antk`, `ntteach.antk` would be the module
    for name in ntteach.__all__:
        if not isinstance(getattr(ntteach, name), ModuleType):
            assert importlib.util.find_spec(f"ntteach.{name}") is None, name


def test_import_and_listing_load_nothing_heavy():
    code = f"import sys, ntteach; dir(ntteach); print([m for m in {HEAVY} if m in sys.modules])"
    assert fresh(code) == "[]"
    code = (
        "import sys, ntteach; len(list(ntteach.registry)); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_an_export_loads_when_it_is_used_and_stays():
    code = (
        "import sys, ntteach\n"
        "assert 'attention' not in vars(ntteach) and 'attention' in dir(ntteach)\n"
        "f = ntteach.attention\n"
        "assert 'torch' in sys.modules and vars(ntteach)['attention'] is f\n"
        "import ntteach.learner\n"
        "from ntteach import attention\n"
        "assert attention is f is ntteach.learner.attention\n"
        "from ntteach import *\n"
        "assert importance.__module__ == 'ntteach.gradients'\n"
        "print('well')"
    )
    assert fresh(code) == "well"


def test_package_is_typed_and_has_a_version():
    assert (SOURCE / "py.typed").exists()
    assert all(part.isdigit() for part in ntteach.__version__.split("."))
