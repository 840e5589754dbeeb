"""The results of a sweep as they come: JSON lines, and the same as CSV; a sweep that was stopped goes on with them.

A line is a cell, written at once behind the ones before it.  What a kill or a full disk cut off is the end of the last
line; it is dropped, and its cell is asked for again.  The CSV is written anew from the lines, and then goes along.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from bench.compare.sweep import SweptCell
from bench.support.errors import InputError

SUFFIX = ".jsonl"
_DECODER = msgspec.json.Decoder(SweptCell)


def refuse_unfit(path: Path) -> None:
    """Raise ``InputError`` for a name that is not one of JSON lines."""
    if path.suffix != SUFFIX:
        raise InputError(repr(path.name), place="`results`", expected=f"a name that ends in {SUFFIX}")


class Swept:
    """The file ``path`` and the CSV beside it, for cells of these ids; ``cells`` that it has already.

    ``fresh``: none are.  Raises ``InputError`` for lines that are not of this sweep, and for a file that another sweep
    writes; ``OSError`` if it cannot be written.
    """

    def __init__(self, path: Path, ids: Collection[str], axes: Sequence[str], *, fresh: bool = False) -> None:
        self._path = path
        self._axes = axes
        self._file: BinaryIO = path.open("ab+")
        try:
            self._lock()
            if fresh:
                self._file.truncate(0)
            self.cells = self._read(ids)
            self._table: BinaryIO = path.with_suffix(".csv").open("wb")
        except BaseException:
            self._file.close()
            raise
        self._table.write(self._rows([header(axes)]))
        for cell in self.cells:
            self._table.write(self._rows(rows(cell, axes)))
        self._table.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._table.close()

    def add(self, cells: Sequence[SweptCell]) -> None:
        """Write cells behind the others."""
        if cells:
            self._file.write(b"".join(msgspec.json.encode(cell) + b"\n" for cell in cells))
            self._file.flush()
            self._table.write(self._rows(row for cell in cells for row in rows(cell, self._axes)))
            self._table.flush()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on this system: two sweeps at once are the user's to avoid
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError("another sweep writes it", file=str(self._path), expected="another file") from error

    def _read(self, ids: Collection[str]) -> list[SweptCell]:
        self._file.seek(0)
        text = self._file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            self._file.truncate(whole)
        found: dict[str, SweptCell] = {}
        for number, line in enumerate(text[:whole].splitlines(), 1):
            place = f"line {number}"
            try:
                cell = _DECODER.decode(line)
            except msgspec.MsgspecError as error:
                raise InputError(f"no cell of a sweep ({error})", file=str(self._path), place=place) from error
            if cell.id not in ids:
                expected = "another file, or --fresh to write it anew"
                raise InputError("a cell of another sweep", file=str(self._path), place=place, expected=expected)
            found[cell.id] = cell
        return [*found.values()]

    def _rows(self, values: Iterable[Sequence[object]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(values)
        return text.getvalue().encode()


_COLUMNS = ("host", "settings", "translator", "trace", "what_if")
_ROW_COLUMNS = (
    *("winner", "decided", "name", "same", "right", "verdicts"),
    *("overhead_low", "overhead_nominal", "overhead_high", "tag", "share"),
)


_Value = str | float | bool


def header(axes: Sequence[str]) -> list[str]:
    """The columns of ``rows``."""
    return ["id", "number", *_COLUMNS, *axes, *_ROW_COLUMNS]


def rows(cell: SweptCell, axes: Sequence[str]) -> Iterator[list[_Value]]:
    """A cell as CSV has it: a row for each strategy or site."""
    settings, what_if = "; ".join(cell.settings), cell.what_if
    of: list[_Value] = [cell.id, cell.number, cell.host, settings, cell.translator, cell.trace, what_if]
    for row in cell.rows:
        verdicts = "; ".join(f"{name}: {verdict}" for name, verdict in row.verdicts.items())
        wins = row.name in cell.winner
        low, nominal, high, tag = (row.overhead[name] for name in ("low", "nominal", "high", "tag"))
        yield [
            *(*of, *(cell.at[name] for name in axes), wins, wins and cell.decided),
            *(row.name, "; ".join(row.same), row.right, verdicts, low, nominal, high, tag, row.share),
        ]
