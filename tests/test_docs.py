"""The documents say what is true: examples run, generated parts are up to date, links lead."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ntteach
from ntteach.paper import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_generated_parts_of_the_documents_are_up_to_date() -> None:
    answer = subprocess.run(
        [sys.executable, "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr


def test_the_library_example_of_the_readme_runs_and_has_the_shapes_it_says() -> None:
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        exec(code, names)
    blocks = names["blocks"]
    assert isinstance(blocks, dict)
    assert tuple(blocks["W_Q"].shape) == (8, 16, 4, 64, 32)
    for name, shape in (("omega", (8, 16, 4, 32)), ("norms", (8,))):
        assert tuple(getattr(names[name], "shape", ())) == shape


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_command_line_in_the_readme_names_a_claim_that_exists() -> None:
    text = (ROOT / "README.md").read_text()
    keys = re.findall(r"ntteach (?:show|verify|replay) ([a-z][a-z-]+)", text)
    assert keys
    assert all(key in registry for key in keys)


def test_every_exported_name_is_in_the_documents() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in ntteach.__all__ if f"`{name}" not in text and name not in text] == []
