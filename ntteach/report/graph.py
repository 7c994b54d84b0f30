"""What rests on what: an indented tree, DOT, JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ntteach.claims import Claim, Registry
from ntteach.report.style import Style, count

_DOT = {"requires": "solid", "paper_uses": "dashed", "repairs": "dotted"}
_WORDS = {"requires": "requires", "paper_uses": "paper uses", "repairs": "repairs"}


def links(claim: Claim) -> dict[str, tuple[str, ...]]:
    """The claims that this one names, each with how: requires, paper_uses, repairs."""
    named: dict[str, tuple[str, ...]] = {}
    repairs = (claim.repairs,) if claim.repairs else ()
    relations = {
        "requires": claim.requires,
        "paper_uses": claim.paper_uses,
        "repairs": repairs,
    }
    for how, others in relations.items():
        for other in others:
            named[other] = (*named.get(other, ()), how)
    return named


def tree(registry: Registry, style: Style) -> str:
    """Each claim that nothing rests on, and below it what it rests on, told once."""
    named = {other for claim in registry.values() for other in links(claim)}
    linked = [claim for claim in registry.values() if links(claim)]
    alone = [key for key in registry if key not in named and not links(registry[key])]
    told: set[str] = set()
    lines: list[str] = []
    for claim in linked:
        if claim.key not in named:
            lines += [_name(claim, style), *_below(claim, registry, style, "", told)]
    # Claims that repair each other's parts may name each other: no top, but still to be told.
    for claim in linked:
        if claim.key not in told:
            lines += [_name(claim, style), *_below(claim, registry, style, "", told)]
    if alone:
        text = f"{count(len(alone), 'claim')} with no link to another: {', '.join(alone)}."
        lines += ["", *style.wrap(text, "  ", "")]
    return "\n".join(lines) + "\n"


def _below(
    claim: Claim, registry: Registry, style: Style, indent: str, told: set[str]
) -> Iterator[str]:
    told.add(claim.key)
    branch, corner, bar = ("├─ ", "└─ ", "│  ") if style.unicode else ("|- ", "`- ", "|  ")
    named = links(claim)
    for position, (key, how) in enumerate(named.items()):
        last = position == len(named) - 1
        words = ", ".join(_WORDS[relation] for relation in how)
        other = registry[key]
        again = key in told and bool(links(other))
        above = " (told above)" if again else ""
        yield f"{indent}{corner if last else branch}{words}: {_name(other, style)}{above}"
        if not again:
            yield from _below(other, registry, style, indent + ("   " if last else bar), told)


def _name(claim: Claim, style: Style) -> str:
    return f"{style.paint(claim.key, 'bold')} ({claim.number})"


def edges(registry: Registry) -> list[tuple[str, str, str]]:
    """From, to, how; one for each relation."""
    return [
        (claim.key, other, relation)
        for claim in registry.values()
        for other, how in links(claim).items()
        for relation in how
    ]


def dot(registry: Registry) -> str:
    """The graph for Graphviz: solid for requires, dashed for paper uses, dotted for repairs."""
    lines = ["digraph claims {", "  rankdir=LR;", "  node [shape=box];"]
    for claim in registry.values():
        number = claim.number.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'  "{claim.key}" [label="{claim.key}\\n{number}"];')
    for start, end, how in edges(registry):
        label = _WORDS[how]
        lines.append(f'  "{start}" -> "{end}" [style={_DOT[how]}, label="{label}"];')
    return "\n".join([*lines, "}"]) + "\n"


def as_json(registry: Registry) -> dict[str, Any]:
    """The graph as claims and edges."""
    return {
        "claims": [
            {"key": claim.key, "number": claim.number, "kind": claim.kind}
            for claim in registry.values()
        ],
        "edges": [{"from": a, "to": b, "how": how} for a, b, how in edges(registry)],
    }
