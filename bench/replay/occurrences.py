"""Events in time order: what the steps of plans do to lines, for each block at each time that they are executed.

There are millions of them, and few are looked at at a time: they are made when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bench.caches.events import U8, EventKind, Events, Timeline
from bench.hosts.profile import Host
from bench.replay.plan import LineStep
from bench.support.kernels import kernel
from bench.traces.trace import I64

_EVERYWHERE = int(EventKind.TRANSLATE), int(EventKind.INVALIDATE_ALL)
"""The kinds that are of no line."""


class Occurrences(NamedTuple):
    """What some ``steps`` do to some blocks.

    ``position``, ``phase``, ``row``: when, for each block: what is earlier in this order comes first.  ``address``,
    ``size``: where each block is.
    """

    steps: Sequence[LineStep]
    position: I64
    phase: I64
    row: I64
    address: I64
    size: I64


_AT_ONCE = 1 << 14
"""Blocks whose events are made at once where all are gone through."""


class InOrder(Timeline):
    """The events of all parts; ``used``: the end of the code; ``scratch``: where scratch memory begins."""

    def __init__(self, parts: Iterable[Occurrences], host: Host, used: int, scratch: int) -> None:
        parts = [part for part in parts if part.steps]
        nothing = Occurrences((), *np.empty((5, 0), np.int64))
        columns = [np.concatenate(column) for column in [*zip(*parts, nothing, strict=True)][1:]]
        position, phase, row, address, size = columns
        part = np.repeat(np.arange(len(parts)), [one.row.size for one in parts])
        order = np.lexsort((row, phase, position))
        self._part, self._position = part[order], position[order]
        self._address, self._size = address[order], size[order]
        self._counts = np.array([len(one.steps) for one in parts], np.int64)
        table = [_numbers(step, host) for one in parts for step in one.steps]
        self._table = np.array(table, np.int64).reshape(-1, 6)
        self._ends = used, scratch

    def __len__(self) -> int:
        return int(self._counts[self._part].sum())

    def between(self, first: int, end: int) -> Events:
        return self._events(*np.searchsorted(self._position, (first, end)).tolist())

    def end_on(self, host: Host) -> int:
        firsts = range(0, self._position.size, _AT_ONCE)
        return max((self._events(first, first + _AT_ONCE).end_on(host) for first in firsts), default=0)

    def _events(self, first: int, end: int) -> Events:
        """Those of some blocks, by their numbers in this order."""
        part = self._part[first:end]
        total = int(self._counts[part].sum())
        when, places, numbers = np.empty((3, total), np.int64)
        kinds = np.empty(total, np.uint8)
        blocks = part, self._position[first:end], self._address[first:end], self._size[first:end]
        ends = np.cumsum(self._counts)
        _fill(*blocks, ends - self._counts, ends, self._table, *self._ends, when, kinds, places, numbers)
        return Events(when, kinds, places, numbers)


def _numbers(step: LineStep, host: Host) -> tuple[int, ...]:
    """A step as a row of the kernel's table."""
    line = (host.icache if step.kind is EventKind.INVALIDATE else host.dcache).line
    extent, line_bits = step.extent, line.bit_length() - 1
    return step.kind, extent.start, extent.last, extent.in_scratch, step.granule, line_bits


@kernel
def _fill(
    part: I64,
    position: I64,
    address: I64,
    size: I64,
    first: I64,
    end: I64,
    table: I64,
    used: int,
    scratch: int,
    when: I64,
    kinds: U8,
    places: I64,
    counts: I64,
) -> None:
    """Write the events of blocks: for each the rows ``first`` to ``end`` of its part in the ``table``.

    What ``clipped`` and ``rounded`` of ``plan.py`` do, in one pass.
    """
    at = 0
    for row in range(part.size):
        for step in range(first[part[row]], end[part[row]]):
            when[at], kinds[at], places[at], counts[at] = position[row], table[step, 0], 0, 1
            if table[step, 0] not in _EVERYWHERE:
                in_scratch, granule, line_bits = table[step, 3], table[step, 4], table[step, 5]
                base = scratch if in_scratch else address[row]
                start = min(table[step, 1], size[row] - 1)
                stop = max(min(table[step, 2], size[row]), start + 1) + base
                start += base
                if granule > 1:
                    start -= start % granule
                    stop = -(-stop // granule) * granule
                    # Nothing lies behind the code on its last page.
                    stop = stop if in_scratch else min(stop, used)
                places[at], counts[at] = start, ((stop - 1) >> line_bits) - (start >> line_bits) + 1
            at += 1
