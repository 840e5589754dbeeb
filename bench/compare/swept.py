"""The results of a sweep as they come: JSON lines, and the same as CSV; a sweep that was stopped goes on with them.

A line is a cell, or the verdicts on one strategy or site, written at once behind the ones before it.  What a kill or a
full disk cut off is the end of the last line; it is dropped, and asked for again.  The CSV is written anew from the
lines, and then goes along.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from bench.compare.sweep import Judged, SweptLine
from bench.support.errors import InputError

SUFFIX = ".jsonl"
_DECODER = msgspec.json.Decoder(SweptLine)


def refuse_unfit(path: Path) -> None:
    """Raise ``InputError`` for a name that is not one of JSON lines."""
    if path.suffix != SUFFIX:
        raise InputError(repr(path.name), place="`results`", expected=f"a name that ends in {SUFFIX}")


class Swept:
    """The file ``path`` and the CSV beside it, for answers of these ids; ``lines`` that it has already.

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
            self.lines = self._read(ids)
            self._table: BinaryIO = path.with_suffix(".csv").open("wb")
        except BaseException:
            self._file.close()
            raise
        self._table.write(self._rows([header(axes)]))
        for line in self.lines:
            self._table.write(self._rows(rows(line, axes)))
        self._table.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._table.close()

    def add(self, lines: Sequence[SweptLine]) -> None:
        """Write some behind the others."""
        self._file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        self._file.flush()
        self._table.write(self._rows(row for line in lines for row in rows(line, self._axes)))
        self._table.flush()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on this system: two sweeps at once are the user's to avoid
            return
        try:
            # Of this process alone: one that was forked would hold it on when this one is killed.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError("another sweep writes it", file=str(self._path), expected="another file") from error

    def _read(self, ids: Collection[str]) -> list[SweptLine]:
        self._file.seek(0)
        text = self._file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            self._file.truncate(whole)
        found: dict[str, SweptLine] = {}
        for number, line in enumerate(text[:whole].splitlines(), 1):
            place = f"line {number}"
            try:
                one = _DECODER.decode(line)
            except msgspec.MsgspecError as error:
                raise InputError(f"no line of a sweep ({error})", file=str(self._path), place=place) from error
            if one.id not in ids:
                expected = "another file, or --fresh to write it anew"
                raise InputError("of another sweep", file=str(self._path), place=place, expected=expected)
            found[one.id] = one
        return [*found.values()]

    def _rows(self, values: Iterable[Sequence[object]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(values)
        return text.getvalue().encode()


_COLUMNS = ("kind", "id", "host", "settings", "translator", "what_if")
_OF_CELLS = ("number", "trace", "winner", "decided")
_OF_ROWS = ("name", "same", "right", "verdicts", "overhead_low", "overhead_nominal", "overhead_high", "tag", "share")

_Value = str | float | bool


def header(axes: Sequence[str]) -> list[str]:
    """The columns of ``rows``."""
    return [*_COLUMNS, *_OF_CELLS, *axes, *_OF_ROWS]


def rows(line: SweptLine, axes: Sequence[str]) -> Iterator[list[_Value]]:
    """A line as CSV has it: a row of verdicts, or of a cell one for each strategy or site; what it has not is empty."""
    of: list[_Value] = [line.id, line.host, "; ".join(line.settings), line.translator, line.what_if]
    if isinstance(line, Judged):
        verdicts = "; ".join(f"{name}: {verdict}" for name, verdict in line.verdicts.items())
        of_cell = [""] * (len(_OF_CELLS) + len(axes))
        yield ["verdicts", *of, *of_cell, line.name, "; ".join(line.same), line.right, verdicts, *[""] * 5]
        return
    at = [line.at[name] for name in axes]
    for row in line.rows:
        wins = row.name in line.winner
        cost = (row.overhead[name] for name in ("low", "nominal", "high", "tag"))
        yield [
            *("cell", *of, line.number, line.trace, wins, wins and line.decided, *at),
            *(row.name, "; ".join(row.same), row.right, "", *cost, row.share),
        ]
