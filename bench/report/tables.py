"""Tables in every format that tabulate knows, and CSV."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tabulate import tabulate, tabulate_formats

Cell = str | int | float | None

SCHEMA = 1
"""The version of every JSON document (``docs/json.md``)."""

WIDTH = 110
"""Characters in a line of running text, and fewer on a narrower terminal."""
_NARROWEST = 40
MATRIX = 100
"""Characters of a table with a column for each host; those that do not fit go into another one below it."""

STRUCTURED = ("json", "csv")
_PAGES = ("html", "unsafehtml")
"""Formats of tabulate for a part of a page, which no report is: what stands around its tables is plain text."""

FORMATS: tuple[str, ...] = (*sorted({*tabulate_formats} - {*_PAGES}), *STRUCTURED)
"""The formats of every report: those of tabulate, ``json`` and ``csv``."""


def fill(text: str, first: str = "", rest: str = "") -> str:
    """Running text in lines of ``WIDTH``, or of the terminal if that is narrower; names with hyphens stay whole."""
    width = min(WIDTH, _terminal() or WIDTH)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    )


PLAIN = ("plain", "simple", "grid", "outline", "rst", "pretty", "psql", "presto", "orgtbl")
"""Formats that a person reads as they are, at the beginning of their names; elsewhere a cell stays on one line."""


_BARRED = ("github", "pipe")
"""Formats in which a bar ends a cell, wherever it stands."""


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    style: str,
    *,
    right: Sequence[int] = (),
    wrap: Mapping[int, int] | None = None,
) -> str:
    """A table; cells are put on one line, and the columns ``right`` are aligned to the right.

    ``wrap``: the width of columns whose cells are wrapped, in a format that a person reads as it is.  On a terminal
    that is narrower than such a table the widest columns are wrapped until it fits.
    """
    align = ["right" if column in right else "left" for column in range(len(headers))]
    clean = [[_one_line(cell) for cell in row] for row in rows]
    if style in _BARRED:
        clean = [[cell.replace("|", "\\|") for cell in row] for row in clean]
    widths: list[int | None] = [(wrap or {}).get(column) for column in range(len(headers))]

    def drawn() -> str:
        wrapped = any(widths) and clean and style.startswith(PLAIN)
        return tabulate(
            clean,
            headers=list(headers),
            tablefmt=style,
            colalign=align if clean else None,
            disable_numparse=True,
            maxcolwidths=widths if wrapped else None,
            maxheadercolwidths=[width or WIDTH for width in widths] if wrapped else None,
            break_long_words=False,
            break_on_hyphens=False,
        )

    text = drawn()
    terminal = _terminal()
    if terminal is not None and clean and style.startswith(PLAIN):
        texts = [[header, *column] for header, column in zip(headers, zip(*clean, strict=True), strict=True)]
        words = [max((len(word) for cell in cells for word in cell.split()), default=0) for cells in texts]
        room = [min(max(map(len, cells)), width or WIDTH) for cells, width in zip(texts, widths, strict=True)]
        while max(map(len, text.splitlines())) > terminal and (wide := [*_wider(room, words)]):
            widest = max(wide, key=room.__getitem__)
            room[widest] -= 1
            widths[widest] = room[widest]
            text = drawn()
    return text


def packed(first: int, cells: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """The names of columns, as many at once as fit into ``MATRIX`` beside a ``first`` column of that width."""
    some: list[str] = []
    taken = first
    for name, column in cells.items():
        width = 2 + max(len(name), *map(len, column))
        if some and taken + width > MATRIX:
            yield some
            some, taken = [], first
        some.append(name)
        taken += width
    yield some


def _wider(room: Sequence[int], words: Sequence[int]) -> Iterator[int]:
    """The columns that are wider than their longest word."""
    return (column for column, (width, word) in enumerate(zip(room, words, strict=True)) if width > word)


def _terminal() -> int | None:
    """The width of the terminal that output goes to; None if it does not."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def comma_separated(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The same as CSV, with one header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([str(cell).lower() if isinstance(cell, bool) else _one_line(cell) for cell in row] for row in rows)
    return out.getvalue().rstrip("\n")


def _one_line(cell: Cell) -> str:
    return "" if cell is None else " ".join(str(cell).split())
