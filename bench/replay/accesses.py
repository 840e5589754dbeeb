"""The accesses that can change the state of a cache: filtered once for all simulations of an execution.

An access to the line that was accessed last in its set hits under every replacement policy and changes no state: that
line is the most recent of its set already (``lru``), the tree points away from it already (``plru``), and the other
policies ignore hits.  Most accesses are of this kind, since loops run from few lines.  The accesses left are the
*stream* that every simulation processes.  A *stop* is a position at which an event of some simulation may have
invalidated a line; the filter forgets all lines there.

Sets are independent.  Where every cache has a common address bit in its index, the lines with a 0 there and
those with a 1 are two *halves* of the execution.  Each half has its own stream, and both are simulated in parallel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from bench.support.errors import InputError
from bench.support.kernels import lean_kernel
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import I64, U32

Int: TypeAlias = int | np.int64

GUEST_DATA = 0xFFFF_FFFF
"""Stream entry: the guest loads a data line that it has not accessed before."""

_PIECE = 1 << 20
"""The maximum number of accesses in a piece of one half's stream: 8 MiB with the times."""
_PER_THOUSAND = 1000

_POSITION, _STOP, _CREDIT, _PASSED, _DATA_LINES, _NEXT, _STREAMED = range(7)
_EXECUTIONS, _STOPPED, _UNKNOWN, _LINES = range(4)

_STOPPED_FROM, _TB, _UNKNOWN_TB = np.uint32(STOPPED), np.uint32(UNKNOWN_TB), int(UNKNOWN_TB)
_GUEST_DATA, _NO_LINE = np.uint32(GUEST_DATA), np.uint32(GUEST_DATA)


class Halves(NamedTuple):
    """The bit of a line number that selects the half: ``code_shift`` for instructions, ``data_shift`` for data.

    ``mask`` is 1 for two halves and 0 for a single one that holds every line.
    """

    mask: int
    code_shift: int
    data_shift: int


@lean_kernel
def _stream(
    words: U32,
    spans: U32,
    stops: I64,
    latest: U32,
    guest_data_lines: Int,
    longest: Int,
    halves: Halves,
    accesses: U32,
    when: U32,
    bounds: I64,
    stopped: I64,
    carried: I64,
    totals: I64,
) -> Int:
    """Append to the streams until the words or the room end.  Returns the first word that names no TB, or -1.

    ``latest``: the line accessed last in each set.  ``bounds``: the index of each stop in each stream.
    """
    base = carried[_POSITION]
    stop = carried[_STOP]
    credit = carried[_CREDIT]
    here = carried[_NEXT]
    mask = np.uint32(latest.shape[0] - 1)
    # The number of lines of half 0 and of half 1.
    left: Int = 0
    right: Int = 0
    passed: Int = 0
    executions: Int = 0
    lines: Int = totals[_LINES]
    data_lines = carried[_DATA_LINES]
    bad: Int = -1
    room = accesses.shape[1] - longest
    while True:
        while stop < stops.shape[0] and stops[stop] < base + here:
            bounds[0, passed] = left
            bounds[1, passed] = right
            stopped[passed] = lines
            passed += 1
            stop += 1
            for index in range(latest.shape[0]):
                latest[index] = _NO_LINE
        if here == words.shape[0] or bad >= 0 or max(left, right) > room:
            break
        end: Int = words.shape[0]
        if stop < stops.shape[0] and stops[stop] < base + end:
            end = stops[stop] - base + 1
        while here < end and max(left, right) <= room:
            word = words[here]
            if word >= _STOPPED_FROM:
                totals[_STOPPED] += 1
                here += 1
                continue
            tb = np.int64(word & _TB)
            if tb >= spans.shape[0]:
                if tb == _UNKNOWN_TB:
                    totals[_UNKNOWN] += 1
                    here += 1
                    continue
                bad = here
                break
            first = np.int64(spans[tb, 0])
            last = np.int64(spans[tb, 1])
            executions += 1
            for number in range(first, last + 1):
                line = np.uint32(number)
                half = (number >> halves.code_shift) & halves.mask
                at = right if half else left
                accesses[half, at] = line
                when[half, at] = np.uint32(lines)
                lines += 1
                matters = np.int64(latest[line & mask] != line)
                latest[line & mask] = line
                right += matters & half
                left += matters & (1 - half)
            credit += guest_data_lines
            while credit >= _PER_THOUSAND:
                credit -= _PER_THOUSAND
                half = (data_lines >> halves.data_shift) & halves.mask
                at = right if half else left
                accesses[half, at] = _GUEST_DATA
                when[half, at] = np.uint32(lines)
                right += half
                left += 1 - half
                data_lines += 1
            here += 1
    totals[_EXECUTIONS] += executions
    totals[_LINES] = lines
    carried[_STOP] = stop
    carried[_CREDIT] = credit
    carried[_STREAMED] = left
    carried[_STREAMED + 1] = right
    carried[_PASSED] = passed
    carried[_DATA_LINES] = data_lines
    carried[_NEXT] = here
    return bad


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of one half's stream.

    ``accesses``: instruction lines, or ``GUEST_DATA``; ``when``: the number of lines of both halves that were accessed
    before each, modulo 2^32.  ``stops``: the positions of the stops; ``bounds``: the index of each in ``accesses``;
    ``stopped``: the number of lines accessed before each.
    """

    accesses: U32
    when: U32
    stops: I64
    bounds: I64
    stopped: I64


class Accesses:
    """The streams of an execution, in pieces; the totals are complete when the pieces are exhausted.

    ``spans``: the first and the last instruction line of each TB; ``sets`` of the instruction cache; ``stops``:
    ascending positions, each after the execution of that number; ``most_data_lines``: the limit of guest data lines.
    """

    def __init__(
        self, spans: U32, sets: int, stops: I64, halves: Halves, guest_data_lines: int, most_data_lines: int
    ) -> None:
        self._spans = spans
        self._latest = np.full(sets, _NO_LINE, np.uint32)
        self._stops = stops
        self._halves = halves
        self._guest_data_lines = guest_data_lines
        self._most_data_lines = most_data_lines
        self._carried = np.zeros(_STREAMED + 2, np.int64)
        self._totals = np.zeros(4, np.int64)

    @property
    def executions(self) -> int:
        """The number of TB executions."""
        return int(self._totals[_EXECUTIONS])

    @property
    def stopped(self) -> int:
        """The number of TB executions that were announced and did not run."""
        return int(self._totals[_STOPPED])

    @property
    def unknown(self) -> int:
        """The number of executions whose TB is not in the trace."""
        return int(self._totals[_UNKNOWN])

    @property
    def lines(self) -> int:
        """The number of line accesses, those that were filtered out included."""
        return int(self._totals[_LINES])

    @property
    def length(self) -> int:
        """The number of execution words read."""
        return int(self._carried[_POSITION])

    def pieces(self, chunks: Iterable[U32]) -> Iterator[tuple[Piece, ...]]:
        """The streams, one for each half, of the executions in ``chunks``, which are read one at a time.

        Bits 0-23 of a word: TB id (0xffffff: unknown); 24-30: thread; 31: stopped at entry, not run.
        Raises ``InputError`` for a word that names no TB, and for too many guest data lines.
        """
        spans, carried = self._spans, self._carried
        longest = int((spans[:, 1].astype(np.int64) - spans[:, 0]).max(initial=0)) + 1
        longest += self._guest_data_lines // _PER_THOUSAND + 1
        for words in chunks:
            before = self.length
            # The sweep must not wrap: no line is accessed for the first time twice.
            most = carried[_DATA_LINES] + words.size * self._guest_data_lines // _PER_THOUSAND
            if most >= self._most_data_lines:
                raise InputError(
                    f"more than {self._most_data_lines} guest data lines",
                    place=f"execution {before}",
                    expected="a shorter execution or fewer guest_data_lines",
                )
            carried[_NEXT] = 0
            while True:
                room = max(min(_PIECE, words.size * longest), 2 * longest)
                accesses, when = np.empty((2, 2, room), np.uint32)
                first = int(carried[_STOP])
                bounds = np.empty((2, self._stops.size - first), np.int64)
                stopped = np.empty(self._stops.size - first, np.int64)
                bad = _stream(
                    words,
                    spans,
                    self._stops,
                    self._latest,
                    self._guest_data_lines,
                    longest,
                    self._halves,
                    accesses,
                    when,
                    bounds,
                    stopped,
                    carried,
                    self._totals,
                )
                if bad >= 0:
                    raise InputError(
                        f"TB {int(words[bad]) & UNKNOWN_TB}",
                        place=f"execution {before + bad}",
                        expected=f"a TB below {len(spans)}, or {UNKNOWN_TB} for an unknown one",
                    )
                passed = int(carried[_PASSED])
                yield tuple(
                    Piece(
                        accesses[half, : carried[_STREAMED + half]],
                        when[half, : carried[_STREAMED + half]],
                        self._stops[first : first + passed],
                        bounds[half, :passed],
                        stopped[:passed],
                    )
                    for half in range(self._halves.mask + 1)
                )
                if carried[_NEXT] == words.size:
                    break
            carried[_POSITION] += words.size
