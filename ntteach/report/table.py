"""The borderless list of claims: two verdicts, place, key, witnesses; one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ntteach.report.style import Style

_WITNESSES = 14  # columns kept for the witnesses; a key that is too long takes of them


class Row(NamedTuple):
    """One claim's line; `moved` puts a mark before it."""

    statement: str
    proof: str | None
    key: str
    number: str
    witnesses: tuple[str, ...] = ()
    moved: bool = False


def table(rows: Iterable[Row], style: Style) -> Iterator[str]:
    """A line of titles and one line per row, no wider than the output unless a key is."""
    rows = [row._replace(number=_short(row.number, style)) for row in rows]
    if not rows:
        return
    marked = [(f"- {row.statement}", f"- {row.proof or ''}", row.number, row.key) for row in rows]
    titles = ("Statement", "Proof", "Where", "Claim")
    widths = [max(map(len, column)) for column in zip(titles, *marked, strict=True)]
    before = 2 + sum(widths[:3]) + 3
    keys = max(min(widths[3], style.width - before - 1 - _WITNESSES), len(titles[3]))
    last = "Witnesses" if any(row.witnesses for row in rows) else ""
    if before + keys + 1 + len(last) > style.width:
        last = ""

    head = [title.ljust(width) for title, width in zip(titles, [*widths[:3], keys], strict=True)]
    yield style.paint(("  " + " ".join([*head, last])).rstrip(), "bold")
    for row in rows:
        start = style.paint("! ", "red", "bold") if row.moved else "  "
        key = row.key.ljust(keys)
        told = [style.verdict(row.statement, widths[0]), style.verdict(row.proof, widths[1])]
        told += [row.number.ljust(widths[2]), key]
        told.append(_fit(row.witnesses, style.width - before - len(key) - 1))
        yield (start + " ".join(told)).rstrip()


def _short(number: str, style: Style) -> str:
    sign = "§" if style.unicode else "Sec. "
    for word in ("Section ", "Appendix "):
        number = number.replace(word, sign)
    return number.replace("Eqs. ", "Eq. ").replace("Figure ", "Fig. ")


def _fit(words: tuple[str, ...], room: int) -> str:
    """As many of the words as there is room for, and how many more there are."""
    for kept in range(len(words), 0, -1):
        more = [f"+{len(words) - kept}"] if kept < len(words) else []
        text = " ".join([*words[:kept], *more])
        if len(text) <= room:
            return text
    return ""
