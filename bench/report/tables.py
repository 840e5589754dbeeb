"""Tables in every format that tabulate knows, and CSV."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate, tabulate_formats

Cell = str | int | float | None

SCHEMA = 1
"""The version of every JSON document (``docs/json.md``)."""

WIDTH = 110
"""Characters in a line of running text, and fewer on a narrower terminal; tables take what they need."""
_NARROWEST = 40

STRUCTURED = ("json", "csv")
_PAGES = ("html", "unsafehtml")
"""Formats of tabulate for a part of a page, which no report is: what stands around its tables is plain text."""

FORMATS: tuple[str, ...] = (*sorted({*tabulate_formats} - {*_PAGES}), *STRUCTURED)
"""The formats of every report: those of tabulate, ``json`` and ``csv``."""


def fill(text: str, first: str = "", rest: str = "") -> str:
    """Running text in lines of ``WIDTH``, or of the terminal if that is narrower; names with hyphens stay whole."""
    width = WIDTH
    if sys.stdout is not None and sys.stdout.isatty():
        width = max(_NARROWEST, min(WIDTH, shutil.get_terminal_size().columns))
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

    ``wrap``: the width of columns whose cells are wrapped, in a format that a person reads as it is.
    """
    align = ["right" if column in right else "left" for column in range(len(headers))]
    clean = [[_one_line(cell) for cell in row] for row in rows]
    if style in _BARRED:
        clean = [[cell.replace("|", "\\|") for cell in row] for row in clean]
    widths = None
    if wrap and clean and style.startswith(PLAIN):
        widths = [wrap.get(column) for column in range(len(headers))]
    return tabulate(
        clean,
        headers=list(headers),
        tablefmt=style,
        colalign=align if clean else None,
        disable_numparse=True,
        maxcolwidths=widths,
        break_long_words=False,
        break_on_hyphens=False,
    )


def comma_separated(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """The same as CSV, with one header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows([str(cell).lower() if isinstance(cell, bool) else _one_line(cell) for cell in row] for row in rows)
    return out.getvalue().rstrip("\n")


def _one_line(cell: Cell) -> str:
    return "" if cell is None else " ".join(str(cell).split())
