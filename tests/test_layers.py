"""Imports point one way: the layers of the house, read from the source with `ast`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

import ntteach

PACKAGE = Path(ntteach.__file__).parent
DERIVATIONS = next(
    path for path in (PACKAGE / "_derivations", PACKAGE.parent / "derivations") if path.is_dir()
)

# Modules, what they may import of ntteach ("." is ntteach itself: where it lies, its version), and
# what of other packages besides the standard library. The first pattern that fits is the layer.
MATHEMATICS = "learner sequences losses gradients tangent* rkhs* bounds* teaching* oracles symbols"
LAYERS: list[tuple[str, str, str]] = [
    # the names of the package; all but __version__ load when they are used
    (
        "ntteach",
        "gradients learner sequences tangent empirical dynamics bounds losses rkhs teaching paper",
        "",
    ),
    # claims: nothing but themselves
    ("ntteach.claims*", "claims*", ""),
    # whether tensors share memory
    ("ntteach.memory", "", "torch"),
    # hand-derived
    ("ntteach.learner", "", "torch jaxtyping"),
    ("ntteach.sequences", "", "torch jaxtyping"),
    ("ntteach.losses", "", "torch"),
    ("ntteach.gradients", "learner", "torch jaxtyping"),
    ("ntteach.tangent*", "gradients learner memory tangent*", "torch numpy scipy jaxtyping"),
    ("ntteach.rkhs*", "losses rkhs* tangent", "torch"),
    # autograd and differences over a forward pass of their own
    ("ntteach.oracles", "", "torch"),
    # tangent kernels of any module, and of any kernel along a run: torch alone
    ("ntteach.empirical*", "empirical* memory", "torch"),
    ("ntteach.dynamics*", "dynamics*", "torch"),
    # residuals weighed by the tangent kernel of any module
    ("ntteach.teaching.ntk", "empirical*", "torch"),
    # the teacher of a training run: torch alone
    ("ntteach.teaching*", "teaching*", "torch"),
    # both sides of a bound, for a matrix, a kernel, or a model
    ("ntteach.bounds*", "learner losses tangent empirical rkhs* bounds*", "torch numpy"),
    # symbols
    ("ntteach.symbols*", "symbols*", "sympy"),
    ("derivations.*", "symbols", "sympy"),
    # ways of testing
    ("ntteach.checks*", "claims* checks*", "torch hypothesis"),
    # the paper: only its evidence, and where that is tested, knows any mathematics
    (
        "ntteach.paper.evidence*",
        MATHEMATICS + " claims* checks* paper.*",
        "torch numpy sympy hypothesis",
    ),
    ("ntteach.paper.domains", "", "torch hypothesis"),
    ("ntteach.paper.derivations", ".", ""),
    ("ntteach.paper.declare", "claims*", ""),
    ("ntteach.paper", "claims* paper.*", ""),
    ("ntteach.paper.*", "claims* paper.declare", ""),
    # what people see; matplotlib is for plots and has its one place here
    ("ntteach.report*", ". claims* report*", "matplotlib"),
    # `ntteach check`: the bound on somebody's own model, the laws on somebody's own module
    ("ntteach.variants.bound*", "bounds* losses rkhs report* variants*", "torch numpy"),
    ("ntteach.variants*", "gradients learner report* variants*", "torch"),
    # `ntteach teach`: whole training runs
    ("ntteach.recipes.models", "", "torch"),
    ("ntteach.recipes*", ". report* recipes* teaching*", "torch"),
    # the command line
    ("ntteach.__main__", "cli", ""),
    ("ntteach.cli", ". claims* report* paper variants* recipes*", ""),
]


def layer(module: str) -> tuple[str, list[str], list[str]]:
    """The pattern that a module fits, the patterns it may import, and the packages."""
    for pattern, own, other in LAYERS:
        if fnmatchcase(module, pattern):
            patterns = [f"ntteach.{name}".removesuffix("..") for name in own.split()]
            return pattern, patterns, other.split()
    raise LookupError(f"{module} has no layer: give it a line in LAYERS")


def tree() -> dict[str, Path]:
    """Every module of the package and every derivation, by its dotted name."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("ntteach", *path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[1] != "_derivations":
            modules[".".join(parts).removesuffix(".__init__")] = path
    return modules | {f"derivations.{path.stem}": path for path in sorted(DERIVATIONS.glob("*.py"))}


TREE = tree()
PACKAGES = {name for name, path in TREE.items() if path.stem == "__init__"}


def imports(module: str, source: str) -> Iterator[str]:
    """Every module that a source names in an import, anywhere in it, as a dotted name."""
    package = module if module in PACKAGES else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                above = package.split(".")[: -node.level + 1 or None] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                for alias in node.names:
                    submodule = f"{base}.{alias.name}"
                    yield submodule if submodule in TREE else base
            case ast.Call(
                func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str() as name), *_],
            ):
                yield name


def violations(module: str, source: str) -> list[str]:
    """The imports of a source that its layer forbids."""
    _, own, other = layer(module)

    def allowed(name: str) -> bool:
        top = name.partition(".")[0]
        if top == "ntteach":
            return any(fnmatchcase(name, pattern) for pattern in own)
        return top in sys.stdlib_module_names or top in other

    return [name for name in imports(module, source) if not allowed(name)]


@cache
def imported(module: str) -> tuple[str, ...]:
    """What a module of the tree imports."""
    return tuple(imports(module, TREE[module].read_text(encoding="utf-8")))


def reached(module: str) -> set[str]:
    """All that a module imports, and what those import; the package's own file aside."""
    found: set[str] = set()
    todo = [module]
    while todo:
        for name in imported(todo.pop()):
            if name not in found:
                found.add(name)
                if name in TREE and name != "ntteach":
                    todo.append(name)
    return found


@pytest.mark.parametrize("module", TREE)
def test_imports_stay_within_the_layers(module: str):
    assert violations(module, TREE[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("pattern", [pattern for pattern, *_ in LAYERS])
def test_every_line_of_the_table_is_about_some_module(pattern: str):
    assert any(layer(module)[0] == pattern for module in TREE)


PLANTED = {
    "claims load torch": ("ntteach.claims.model", "import torch"),
    "claims load a submodule": ("ntteach.claims.model", "import numpy.linalg as la"),
    "claims know the paper": ("ntteach.claims.runner", "from ntteach.paper import registry"),
    "the learner knows the oracle": ("ntteach.learner", "from ntteach import oracles"),
    "gradients know symbols": ("ntteach.gradients", "from .symbols import softmax"),
    "gradients load sympy": ("ntteach.gradients", "def f():\n    from sympy import exp"),
    "sequences know the oracle": ("ntteach.sequences", "import ntteach.oracles as o"),
    "the oracle knows a closed form": ("ntteach.oracles", "from ntteach.gradients import _key"),
    "a kernel knows the oracle": ("ntteach.rkhs.alignment", "from ntteach import oracles"),
    "a kernel knows the learner of attention": ("ntteach.rkhs.outputs", "import ntteach.learner"),
    "the oracle knows a kernel": ("ntteach.oracles", "from ntteach.rkhs import signature"),
    "the oracle knows the learner": ("ntteach.oracles", "from . import learner"),
    "the oracle, through the package": ("ntteach.oracles", "from ntteach import attention"),
    "symbols load numbers": ("ntteach.symbols.rules", "import numpy"),
    "symbols load torch for types": (
        "ntteach.symbols",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor",
    ),
    "a derivation knows a closed form": ("derivations.key_gradient", "import ntteach.gradients"),
    "a derivation sees behind symbols": (
        "derivations.key_gradient",
        "from ntteach.rules import collect",
    ),
    "a check knows the mathematics": ("ntteach.checks.agree", "from ntteach import gradients"),
    "a check knows the paper": ("ntteach.checks.search", "from ..paper.domains import FORMS"),
    "a statement loads its evidence": (
        "ntteach.paper.order",
        "from ntteach.paper.evidence import order_laws",
    ),
    "a statement loads torch": ("ntteach.paper.order", "import torch"),
    "a statement knows another": ("ntteach.paper.order", "from ntteach.paper import rows"),
    "domains know the learner": ("ntteach.paper.domains", "from ntteach.learner import problem"),
    "evidence prints": ("ntteach.paper.evidence.order_laws", "from ntteach.report import terminal"),
    "evidence calls the command line": ("ntteach.paper.evidence.order_laws", "import ntteach.cli"),
    "a report loads evidence": (
        "ntteach.report.terminal",
        "def late():\n    from ntteach.paper.evidence import order_laws",
    ),
    "a plot outside the report": ("ntteach.variants.report", "import matplotlib.pyplot as plt"),
    "a late import by name": (
        "ntteach.claims.runner",
        "from importlib import import_module\nimport_module('ntteach.gradients')",
    ),
    "variants are asked by others": ("ntteach.paper.rows", "from ntteach.variants import command"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_import_is_found(planted: str):
    module, source = PLANTED[planted]
    assert violations(module, TREE[module].read_text(encoding="utf-8") + "\n" + source + "\n")
    assert violations(module, source)


def test_a_module_without_a_layer_is_told():
    with pytest.raises(LookupError, match="no layer"):
        layer("ntteach.shortcut")


# What the table has to come to, whatever its lines are: the witnesses never meet below the
# evidence. These follow imports of imports.

HAND_DERIVED = (
    *("ntteach.learner", "ntteach.sequences", "ntteach.losses", "ntteach.gradients"),
    *(name for name in TREE if name.startswith(("ntteach.rkhs", "ntteach.bounds"))),
)
SYMBOLIC = tuple(name for name in TREE if name.startswith(("ntteach.symbols", "derivations.")))
ORACLES = ("ntteach.oracles",)


@pytest.mark.parametrize(
    ("group", "others"),
    [
        (HAND_DERIVED, (*ORACLES, *SYMBOLIC, "sympy")),
        (ORACLES, (*HAND_DERIVED, *SYMBOLIC, "sympy", "ntteach")),
        (SYMBOLIC, (*HAND_DERIVED, *ORACLES, "torch", "numpy", "ntteach")),
    ],
    ids=["hand-derived", "oracles", "symbols"],
)
def test_witnesses_never_meet(group: tuple[str, ...], others: tuple[str, ...]):
    for module in group:
        assert not reached(module) & set(others), module


@pytest.mark.parametrize(
    "front", ["ntteach.cli", "ntteach.variants", "ntteach.report", "ntteach.recipes"]
)
def test_nothing_below_imports_what_people_see(front: str):
    faces = ("ntteach.cli", "ntteach.__main__", "ntteach.variants", "ntteach.report")
    faces += ("ntteach.recipes",)
    for module in TREE:
        if not module.startswith(faces):
            assert not any(name.startswith(front) for name in reached(module)), module


def test_no_module_imports_itself_in_a_circle():
    for module in TREE:
        assert module == "ntteach" or module not in reached(module)


# --- what loads when -----------------------------------------------------------------------------

HEAVY = ("torch", "sympy", "numpy", "hypothesis", "jaxtyping", "rich", "matplotlib", "scipy")


@pytest.mark.parametrize(
    "code",
    [
        "import ntteach",
        "from ntteach import __version__",
        "import ntteach.paper",
        "from ntteach import registry; list(registry)",
        "from ntteach.paper import derivations; derivations.path('query_gradient')",
        "from ntteach.cli import main; main(['list'])",
        "from ntteach.cli import main; main(['show', 'query-gradient'])",
        "from ntteach.cli import main; main(['graph'])",
        "from ntteach.cli import main; main(['--help'])",
        "from ntteach.cli import main; main(['teach', '--help'])",
        "from ntteach.cli import main; main(['teach', 'vit', '--help'])",
    ],
)
def test_listing_and_importing_load_no_heavy_library(code: str):
    asked = f"import sys; {code}; print([x for x in {HEAVY!r} if x in sys.modules], end='')"
    answer = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("[]"), answer.stdout[-200:]


def test_a_heavy_library_would_be_noticed():
    asked = f"import sys, ntteach; ntteach.attention; print([x in sys.modules for x in {HEAVY!r}])"
    answer = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert "True" in answer.stdout, answer.stderr
