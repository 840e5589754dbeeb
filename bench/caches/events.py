"""The cache events of a replay besides the execution of TBs: stores, maintenance, runs of the translator."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.hosts.profile import Host
from bench.program.layout import line_range
from bench.support.errors import InputError
from bench.support.kernels import kernel
from bench.traces.trace import I64

U8: TypeAlias = npt.NDArray[np.uint8]

MOST_CODE = 1 << 30
"""The largest code buffer in bytes; the kernel holds a bit for each of its lines in each cache."""


class EventKind(enum.IntEnum):
    """The kind of an event, on ``count`` successive lines of the cache concerned.

    ``STORE``           one store into each of ``count`` data lines
    ``LOAD``            one load from each of ``count`` data lines
    ``CLEAN``           write each dirty one of ``count`` data lines to the next level; it stays, clean
    ``INVALIDATE``      drop each of ``count`` instruction lines
    ``INVALIDATE_ALL``  drop every instruction line (address and count are ignored)
    ``TRANSLATE``       the translator runs ``count`` times over its own code and data (the address is ignored)
    ``PROBE``           nothing happens; row ``count`` of what is found says what the caches hold of the lines there

    A flush of the whole code buffer is a ``CLEAN`` and an ``INVALIDATE`` of all its lines.
    """

    STORE = 0
    LOAD = 1
    CLEAN = 2
    INVALIDATE = 3
    INVALIDATE_ALL = 4
    TRANSLATE = 5
    PROBE = 6


class Timeline(ABC):
    """Cache events in time order, which need not all be there at once."""

    __slots__ = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @abstractmethod
    def between(self, first: int, end: int) -> Events:
        """Those at the positions from ``first`` to ``end`` (exclusive)."""

    @abstractmethod
    def end_on(self, host: Host) -> int:
        """The end of the part of the code buffer that the events access on ``host``, in bytes.

        Raises ``InputError`` for events that are out of order or outside 0 .. 1 GiB.
        """

    def check_before(self, length: int) -> None:
        """Raise ``InputError`` for an event after the last of ``length`` executions."""
        late = self.between(length, np.iinfo(np.int64).max)
        if len(late):
            place = f"event {len(self) - len(late)}"
            raise InputError(f"position {late.position[0]}", place=place, expected=f"one below {length}")


@dataclass(frozen=True, slots=True)
class Events(Timeline):
    """Cache events in time order: arrays of equal length.

    ``position``  index of the execution that the event follows, ascending; -1: before the first
    ``kind``      a ``EventKind``
    ``address``   a byte of the first line
    ``count``     lines (``TRANSLATE``: runs; ``PROBE``: a row)
    """

    position: I64
    kind: U8
    address: I64
    count: I64

    def __len__(self) -> int:
        return self.position.size

    @classmethod
    def none(cls) -> Events:
        """No events: the baseline."""
        return cls(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))

    def __getitem__(self, some: slice | I64 | npt.NDArray[np.bool_]) -> Events:
        """Some of them."""
        return Events(self.position[some], self.kind[some], self.address[some], self.count[some])

    def between(self, first: int, end: int) -> Events:
        return self[slice(*np.searchsorted(self.position, (first, end)))]

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """All of several, one behind the other; of one alone, itself."""
        if len(parts) == 1:
            return parts[0]
        names = "position", "kind", "address", "count"
        return cls(*(np.concatenate([getattr(one, name) for one in (*parts, cls.none())]) for name in names))

    @classmethod
    def merged(cls, layers: Sequence[Timeline], first: int, end: int) -> Events:
        """Several layers between two positions: of those after one execution the first layer's come first."""
        every = cls.joined([one.between(first, end) for one in layers])
        return every[np.argsort(every.position, kind="stable")]

    def end_on(self, host: Host) -> int:
        lines = np.zeros(len(EventKind), np.int64)
        lines[[EventKind.STORE, EventKind.LOAD, EventKind.CLEAN]] = host.dcache.line
        lines[EventKind.INVALIDATE] = host.icache.line
        bad, end = _end(self.position, self.kind, self.address, self.count, lines)
        if bad >= 0:
            self._refuse(int(bad), lines)
        return int(end)

    def _refuse(self, row: int, lines: I64) -> None:
        """Raise ``InputError`` for an event that is wrong."""
        position, kind, count = (int(column[row]) for column in (self.position, self.kind, self.count))
        for wrong, found, expected in (
            (position < (self.position[row - 1] if row else -1), position, "ascending positions from -1 on"),
            (kind >= len(EventKind), kind, f"a kind below {len(EventKind)}"),
            (not 0 <= count <= MOST_CODE, count, f"a count within 0 .. {MOST_CODE}"),
        ):
            if wrong:
                raise InputError(str(found), place=f"event {row}", expected=expected)
        line = lines[kind]
        check_range(f"{EventKind(kind).name} event", self.address[[row]] & -line, self.count[[row]] * line, row)


@kernel
def _end(position: I64, kind: U8, address: I64, count: I64, lines: I64) -> tuple[int, int]:
    """The first event that is wrong, or -1, and the end of what those before it access, in bytes.

    ``lines`` (kind): bytes of a line of the cache concerned, 0 for kinds without an address.
    """
    previous, end = -1, 0
    for row in range(position.size):
        if position[row] < previous or kind[row] >= lines.size or not 0 <= count[row] <= MOST_CODE:
            return row, end
        previous = position[row]
        length = count[row] * lines[kind[row]]
        if length > 0:
            first = address[row] & -lines[kind[row]]
            if first < 0 or first + length > MOST_CODE:
                return row, end
            end = max(end, first + length)
    return -1, end


def check_range(what: str, addresses: I64, sizes: I64, first: int = 0) -> None:
    """Raise ``InputError`` for the first range that is empty or outside the code buffer; ``first``: the first's row."""
    bad = np.flatnonzero((addresses < 0) | (sizes < 1) | (sizes > MOST_CODE) | (addresses > MOST_CODE - sizes))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"{sizes[row]} bytes at {addresses[row]}",
            place=f"{what} {first + row}",
            expected=f"at least one byte, within 0 .. {MOST_CODE}",
        )


def lines_spanned(address: I64, size: I64, line: int | I64) -> I64:
    """The number of lines of ``line`` bytes that ``size`` >= 1 bytes at ``address`` touch: an event's ``count``."""
    first, last = line_range(address, size, line)
    return last - first + 1
