"""Tables in every format that tabulate knows, and CSV."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

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
    that is narrower than such a table the widest columns are wrapped until it fits; where that is not enough, the
    columns that are left over follow in a table of their own, behind that which names the rows.
    """
    clean = [[_one_line(cell) for cell in row] for row in rows]
    if style in _BARRED:
        clean = [[cell.replace("|", "\\|") for cell in row] for row in clean]
    columns = [
        _Shown(header, [row[place] for row in clean], (wrap or {}).get(place), place in right)
        for place, header in enumerate(headers)
    ]
    terminal = _terminal()
    if terminal is None or not clean or not style.startswith(PLAIN):
        return _drawn(columns, style)
    return "\n\n".join(_fitting(columns, style, terminal))


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


class _Shown(NamedTuple):
    """A column of text: its cells, each on one line; the ``width`` that they are wrapped to; aligned to the right."""

    header: str
    cells: Sequence[str]
    width: int | None
    right: bool

    @property
    def room(self) -> int:
        """The characters that its widest cell takes."""
        return min(max(map(len, (self.header, *self.cells))), self.width or WIDTH)

    @property
    def word(self) -> int:
        """The characters of its longest word, which is never broken."""
        return max((len(word) for cell in (self.header, *self.cells) for word in cell.split()), default=0)


def _drawn(columns: Sequence[_Shown], style: str) -> str:
    rows = [*zip(*(column.cells for column in columns), strict=True)]
    widths = [column.width for column in columns]
    wrapped = any(widths) and rows and style.startswith(PLAIN)
    return tabulate(
        rows,
        headers=[column.header for column in columns],
        tablefmt=style,
        colalign=["right" if column.right else "left" for column in columns] if rows else None,
        disable_numparse=True,
        maxcolwidths=widths if wrapped else None,
        maxheadercolwidths=[width or WIDTH for width in widths] if wrapped else None,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _fitting(columns: Sequence[_Shown], style: str, terminal: int) -> Iterator[str]:
    """Tables that fit a terminal, as far as words do: each has the columns that name the rows, and some others."""
    text, narrow = _drawn(columns, style), [*columns]
    while _width(text) > terminal and (wide := [at for at, one in enumerate(narrow) if one.room > one.word]):
        widest = max(wide, key=lambda at: narrow[at].room)
        narrow[widest] = narrow[widest]._replace(width=narrow[widest].room - 1)
        text = _drawn(narrow, style)
    # A mark stands before the name.
    names = 1 if columns[0].header else 2
    if _width(text) <= terminal or len(columns) <= names + 1:
        yield text
        return
    most = range(len(columns) - 1, names, -1)
    first = next((count for count in most if _width(_drawn(columns[:count], style)) <= terminal), names + 1)
    yield from _fitting(columns[:first], style, terminal)
    yield from _fitting([*columns[:names], *columns[first:]], style, terminal)


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


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
