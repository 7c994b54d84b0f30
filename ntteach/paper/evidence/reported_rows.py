"""The paper's Tables 1, 2, 3, 7, 8 and the figures of its sentences, as printed.

A place is (table, row, column), all counted as here; table 0 holds the figures of the text and
table 9 what the text says of how the runs were set up, which is not rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Table:
    """One table: where it stands, its columns, and its rows with the cells as printed."""

    locus: str  # empty where the rows say it themselves
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    rounded: bool = True


@dataclass(frozen=True)
class Cell:
    """One printed number.

    Args:
        value: what is printed.
        half: half a unit of its last digit; 0 for what is not rounded.
        spread: what is printed after the plus-minus sign, 0 if nothing is.
        words: where it stands and how it is printed.
    """

    value: Fraction
    half: Fraction
    spread: Fraction
    words: str


_TASKS = ("ImageNetS50", "NYUv2(S)", "NYUv2(D)")

TABLES: dict[int, Table] = {
    0: Table(
        "",
        ("first", "second", "third"),
        (
            ("time saved for LLMs, abstract and Sections 1 and 6", "13.01"),
            ("time saved for ViTs, abstract and Sections 1, 5 and 6", "20.58"),
            ("average time saved for LLMs, Section 5", "12.78"),
            ("gains on GSM8K, Section 5", "1.39 2.14 2.42"),
            ("gains on MATH, Section 5", "1.59 2.89 0.76"),
            ("gains on HumanEval, Section 5", "3.66 3.25 0.29"),
            ("gains on MBPP, Section 5", "2.08 3.25 3.31"),
            ("gain in depth estimation, Section 5", "5.1"),
        ),
    ),
    1: Table(
        "Table 1",
        ("minutes", "GSM8K", "MATH", "HumanEval", "MBPP", "MT-Bench"),
        (
            ("LLaMA 2-7B without", "246±1 42.96±0.12 5.06±0.16 18.35±0.31 35.65±0.25 4.58±0.01"),
            ("LLaMA 2-7B with", "213±2 43.45±0.55 6.48±0.24 21.80±0.38 37.61±0.42 4.49±0.02"),
            ("Mistral-7B without", "204±2 69.13±0.22 20.06±0.20 43.42±0.14 58.52±0.13 5.03±0.05"),
            ("Mistral-7B with", "180±2 71.26±0.23 23.12±0.44 46.55±0.25 61.74±0.54 5.32±0.04"),
            ("Gemma-7B without", "228±2 75.23±0.45 30.52±0.48 53.83±0.27 65.69±0.29 5.42±0.04"),
            ("Gemma-7B with", "201±2 77.74±0.32 31.40±0.36 54.26±0.28 66.28±0.46 5.44±0.08"),
        ),
    ),
    2: Table(
        "Table 2",
        ("minutes", *_TASKS),
        (("without", "1234 92.2 51.9 52.1"), ("with", "980 92.3 52.6 57.2")),
    ),
    3: Table(
        "Table 3",
        ("minutes", *_TASKS),
        (
            ("no selection", "1234 92.2 51.9 52.1"),
            ("Cosine, Incremental, Random", "966 88.6 45.3 49.6"),
            ("Cosine, Incremental, Soft", "995 92.1 52.2 58.8"),
            ("Cosine, Fixed, Soft", "1301 93.2 53.6 61.4"),
            ("Incremental, Incremental, Soft", "980 92.3 52.6 57.2"),
            ("Incremental, Fixed, Soft", "1319 92.4 53.7 62.1"),
            ("Cosine, Incremental, Hard", "972 91.8 49.5 57.3"),
            ("Cosine, Fixed, Hard", "1285 92.1 53.0 60.8"),
            ("Incremental, Incremental, Hard", "963 91.4 48.4 57.2"),
            ("Incremental, Fixed, Hard", "1302 92.5 52.7 59.5"),
        ),
    ),
    7: Table(
        "Table 7",
        ("100 %", "90 %", "80 %", "70 %", "60 %", "50 %", "40 %"),
        (
            ("ImageNetS50", "92.2 91.8 91.4 85.6 78.8 64.5 58.2"),
            ("NYUv2(S)", "51.9 51.1 50.2 46.8 38.2 29.1 21.9"),
            ("NYUv2(D)", "52.1 52.2 51.6 48.3 42.4 36.3 30.5"),
        ),
    ),
    8: Table(
        "Table 8",
        ("minutes", *_TASKS),
        (
            ("AtteNT", "980 92.3 52.6 57.2"),
            ("Class Weight Sampling", "1108 90.4 48.2 52.0"),
            ("Fixed Weight Sampling", "1065 89.6 49.7 54.6"),
            ("GradNorm Sampling", "1112 91.9 52.4 55.8"),
        ),
    ),
    9: Table(
        "",
        ("first", "second"),
        (
            ("epochs of fine-tuning, Section 5", "5"),
            ("per cent of the samples after the first epoch, Appendix C.1", "70"),
            ("per cent of the samples, first to last, Appendix C.2", "20 80"),
            ("epochs of pre-training, Section 5 and Appendix C.2", "800"),
        ),
        rounded=False,
    ),
}


@cache
def cell(place: Place) -> Cell:
    """The printed number at a place.

    >>> cell((1, 0, 0)).value, cell((1, 0, 0)).half, cell((1, 0, 0)).spread
    (Fraction(246, 1), Fraction(1, 2), Fraction(1, 1))
    """
    number, row, column = place
    table = TABLES[number]
    name, cells = table.rows[row]
    text = cells.split()[column]
    value, _, spread = text.partition("±")
    decimals = len(value.partition(".")[2])
    where = (table.locus, name, table.columns[column]) if table.locus else (name,)
    return Cell(
        Fraction(value),
        Fraction(1, 2 * 10**decimals) if table.rounded else Fraction(0),
        Fraction(spread or 0),
        f"{', '.join(where)}: {text}",
    )
