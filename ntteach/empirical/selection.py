"""Which parameters a kernel is about, and in which groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

import torch
from torch import Tensor

Patterns = str | Sequence[str]


@dataclass(frozen=True)
class Selection:
    """The parameters that are differentiated by, and how they are grouped.

    Args:
        parameters: by name, tied ones once and by their first name; detached.
        groups: names of parameters, by group; one group "" where none were asked for.
    """

    parameters: Mapping[str, Tensor]
    groups: Mapping[str, tuple[str, ...]]

    @property
    def size(self) -> int:
        """P, the number of numbers in these parameters."""
        return sum(p.numel() for p in self.parameters.values())


def select(
    module: torch.nn.Module,
    parameters: Patterns | None = None,
    groups: Mapping[str, Patterns] | None = None,
) -> Selection:
    """The parameters that require a gradient and fit the patterns.

    A pattern is a name ("head.weight"), the beginning of names up to a dot ("encoder.layer.0"), or
    has wildcards ("*.attention.*", as in `fnmatch`). A tied parameter has several names, goes by
    each of them and counts once.

    Args:
        module: whose parameters.
        parameters: patterns; all that require a gradient if None.
        groups: patterns by group, among `parameters`; what is in no group is left out.

    Raises:
        ValueError: nothing to differentiate by, a pattern that fits nothing or only frozen
            parameters, groups that overlap, complex or uninitialised parameters.
        TypeError: patterns that are no strings.

    >>> layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    >>> select(layers, "*.weight", {"first": "0", "last": ["1"]}).groups
    {'first': ('0.weight',), 'last': ('1.weight',)}
    """
    names = _names(module)
    chosen = set(names) if parameters is None else _matching("parameters", parameters, names)
    within = {first: aliases for first, aliases in names.items() if first in chosen}
    if groups is None:
        grouped = {"": tuple(within)}
    else:
        grouped = _grouped(groups, within)
    kept = {name for members in grouped.values() for name in members}
    found = dict(module.named_parameters())
    return Selection({name: found[name].detach() for name in within if name in kept}, grouped)


def _names(module: torch.nn.Module) -> dict[str, tuple[str, ...]]:
    """All names of each parameter that requires a gradient, by its first."""
    every: dict[torch.nn.Parameter, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        every.setdefault(parameter, []).append(name)
    kind = type(module).__name__
    if not every:
        raise ValueError(f"{kind} has no parameters: its tangent kernel is zero")
    trained = {p: tuple(names) for p, names in every.items() if p.requires_grad}
    if not trained:
        raise ValueError(f"no parameter of {kind} requires a gradient: all are frozen")
    for parameter, aliases in trained.items():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise ValueError(f"{aliases[0]} has no shape yet: call the module once first")
        if not parameter.is_floating_point():
            raise ValueError(f"parameters are real, got {aliases[0]} of {parameter.dtype}")
    return {aliases[0]: aliases for aliases in trained.values()}


def _grouped(
    groups: Mapping[str, Patterns], names: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(f"groups maps names to patterns, at least one; got {groups!r}")
    owner: dict[str, str] = {}
    grouped = {}
    for group, patterns in groups.items():
        members = _matching(f"groups[{group!r}]", patterns, names)
        for name in members:
            if name in owner:
                raise ValueError(f"{name} is in two groups, {owner[name]!r} and {group!r}")
            owner[name] = group
        grouped[group] = tuple(name for name in names if name in members)
    return grouped


def _matching(argument: str, patterns: Patterns, names: Mapping[str, tuple[str, ...]]) -> set[str]:
    wanted = [patterns] if isinstance(patterns, str) else patterns
    if (
        not isinstance(wanted, Sequence | Set)
        or not wanted
        or not all(isinstance(pattern, str) for pattern in wanted)
    ):
        raise TypeError(f"{argument} is a pattern or several, got {patterns!r}")
    found: set[str] = set()
    for pattern in wanted:
        fits = {first for first, aliases in names.items() if _fits(pattern, aliases)}
        if not fits:
            every = [alias for aliases in names.values() for alias in aliases]
            near = get_close_matches(pattern, every, 3, 0.3) or every[:3]
            raise ValueError(
                f"{argument}: {pattern!r} fits no parameter that requires a gradient and is "
                f"selected; there are {', '.join(near)}{', ...' if len(every) > len(near) else ''}"
            )
        found |= fits
    return found


def _fits(pattern: str, aliases: Sequence[str]) -> bool:
    return any(
        alias == pattern or alias.startswith(f"{pattern}.") or fnmatchcase(alias, pattern)
        for alias in aliases
    )
