"""Finding what `MODULE:NAME` names, and turning it into a module or a function of a sequence."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


class CannotCheck(ValueError):
    """The check could not run; the message is one line that says why."""


def said(error: BaseException) -> str:
    """The type and the message of an exception on one line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 160 else text[:157] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let imports see this folder first, as `python -m` does with the current one."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Let a module draw the same weights each time, and leave torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def load(reference: str) -> Any:
    """The object that `module:name`, `file.py:name` or `module:name.attribute` stands for.

    Raises:
        CannotCheck: no such module or name, or the import itself raises.
    """
    source, _, name = reference.rpartition(":")
    if not source or not name:
        raise CannotCheck(f"expected MODULE:NAME or FILE.py:NAME, got {reference!r}")
    module = _module(source)
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = get_close_matches(part, [n for n in dir(found) if not n.startswith("__")])
            hint = f"; near it are {', '.join(near)}" if near else ""
            raise CannotCheck(f"{source} has no {name!r}{hint}") from None
    return found


def _module(source: str) -> ModuleType:
    try:
        return _from_file(Path(source)) if source.endswith(".py") else _by_name(source)
    except CannotCheck:
        raise
    except ModuleNotFoundError as error:
        if error.name and (source == error.name or source.startswith(error.name + ".")):
            message = f"there is no module {error.name!r} here or among what is installed"
        else:
            message = f"importing {source} needs {error.name!r}, which is not installed"
        raise CannotCheck(message) from error
    except (Exception, SystemExit) as error:  # a script may leave while it is imported
        raise CannotCheck(f"importing {source} raised {said(error)}") from error


def _by_name(source: str) -> ModuleType:
    if not all(part.isidentifier() for part in source.split(".")):
        raise CannotCheck(f"{source!r} is no module name; a file is named by its path with .py")
    return importlib.import_module(source)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise CannotCheck(f"there is no file {str(path)!r}")
    # a name of its own, so that a file called `types.py` replaces nothing
    name = f"_checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotCheck(f"{str(path)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up there
    with importing_from(path.resolve().parent):
        spec.loader.exec_module(module)
    return module


def prepare(target: object, name: str) -> Callable[..., Any]:
    """A module or a function of a sequence: classes and factories called, modules copied.

    A callable that is no module and requires no argument is a factory; otherwise it is f(S). A
    module class without an `__init__` of its own shows nn.Module's `*args` and requires none.

    Raises:
        CannotCheck: not callable, arguments missing, or the factory raises.
    """
    if isinstance(target, torch.nn.Module):
        return _copied(target, name)
    if not callable(target):
        raise CannotCheck(f"{name} is a {type(target).__name__}, expected a function or a module")
    needed = required(target)
    if isinstance(target, type) and needed:
        raise CannotCheck(
            f"{name} needs arguments ({', '.join(needed)}): name a factory without arguments"
        )
    module_class = isinstance(target, type) and issubclass(target, torch.nn.Module)
    if needed or (needed is None and not module_class):
        return target
    try:
        made = target()
    except (Exception, SystemExit) as error:
        raise CannotCheck(f"calling {name}() raised {said(error)}") from error
    if isinstance(made, torch.nn.Module):
        return made
    function: Any = made
    if not callable(function) or isinstance(made, type) or required(function) == ():
        raise CannotCheck(
            f"{name}() returned a {type(made).__name__}, expected a module or a function f(S)"
        )
    return function


def _copied(module: torch.nn.Module, name: str) -> torch.nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise CannotCheck(
            f"{name} cannot be copied ({said(error)}): name a factory that makes it"
        ) from error


def required(function: Callable[..., Any]) -> tuple[str, ...] | None:
    """The names of the arguments that must be given; None where the signature does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built in
        return None
    needed = tuple(
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )
    # *args alone is a wrapper that hides what it wraps
    if not needed and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return needed
