"""Which accesses of an execution can make a difference to a cache, found out once for all simulations of it.

An access to the line that was accessed last in its set hits, whatever the replacement, and changes nothing: that line
is the last one in the order of the set already (``lru``), its tree points away from it already (``plru``), and the
others do not look at hits.  Most accesses are of this kind: loops run from few lines.  What is left is the *stream*
that each simulation goes through.  At a *stop*, where an event of some simulation may have dropped a line, nothing is
known any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.errors import InputError
from bench.jit import lean_kernel
from bench.traces.successor import STOPPED, UNKNOWN_TB

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
Int: TypeAlias = int | np.int64

GUEST_DATA = 0xFFFF_FFFF
"""In a stream: the guest loads a data line that it has not touched before."""

_PIECE = 1 << 21
"""Accesses of a piece of the stream: 8 MiB, of which two are there at once."""
_PER_THOUSAND = 1000

_POSITION, _STOP, _CREDIT, _STREAMED, _PASSED, _DATA_LINES, _NEXT = range(7)
_EXECUTIONS, _STOPPED, _UNKNOWN, _LINES = range(4)

_STOPPED_FROM, _TB, _UNKNOWN_TB = np.uint32(STOPPED), np.uint32(UNKNOWN_TB), int(UNKNOWN_TB)
_GUEST_DATA, _NO_LINE = np.uint32(GUEST_DATA), np.uint32(GUEST_DATA)


@lean_kernel
def _stream(
    words: U32, spans: U32, stops: I64, latest: U32, guest_data_lines: Int, longest: Int, accesses: U32, bounds: I64,
    carried: I64, totals: I64,
) -> Int:  # fmt: skip
    """Append to the stream until the words are done or there is no more room; the first word that names no TB, or -1.

    ``latest``: the line accessed last in each set.  ``bounds``: where in the stream each stop is.
    """
    base = carried[_POSITION]
    stop = carried[_STOP]
    credit = carried[_CREDIT]
    here = carried[_NEXT]
    mask = np.uint32(latest.shape[0] - 1)
    streamed: Int = 0
    passed: Int = 0
    executions: Int = 0
    lines: Int = 0
    bad: Int = -1
    room = accesses.shape[0] - longest
    while True:
        while stop < stops.shape[0] and stops[stop] < base + here:
            bounds[passed] = streamed
            passed += 1
            stop += 1
            latest[:] = _NO_LINE
        if here == words.shape[0] or bad >= 0 or streamed > room:
            break
        end: Int = words.shape[0]
        if stop < stops.shape[0] and stops[stop] < base + end:
            end = stops[stop] - base + 1
        while here < end and streamed <= room:
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
            first = spans[tb, 0]
            last = spans[tb, 1]
            executions += 1
            lines += np.int64(last) - np.int64(first) + 1
            for number in range(first, np.int64(last) + 1):
                line = np.uint32(number)
                accesses[streamed] = line
                streamed += np.int64(latest[line & mask] != line)
                latest[line & mask] = line
            credit += guest_data_lines
            while credit >= _PER_THOUSAND:
                credit -= _PER_THOUSAND
                accesses[streamed] = _GUEST_DATA
                streamed += 1
                carried[_DATA_LINES] += 1
            here += 1
    totals[_EXECUTIONS] += executions
    totals[_LINES] += lines
    carried[_STOP] = stop
    carried[_CREDIT] = credit
    carried[_STREAMED] = streamed
    carried[_PASSED] = passed
    carried[_NEXT] = here
    return bad


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the stream.

    ``accesses``: instruction lines, or ``GUEST_DATA``; ``stops``: the positions of the stops in it, and ``bounds``
    where in ``accesses`` each of them is.
    """

    accesses: U32
    stops: I64
    bounds: I64


class Accesses:
    """The stream of an execution, in pieces; the totals are complete when they have all been taken.

    ``spans``: the first and the last instruction line of each TB; ``sets`` of the instruction cache; ``stops``:
    positions, ascending, each after the execution of that number.  ``most_data_lines``: how many may be loaded.

    ``executions``, ``stopped``, ``unknown``: words that ran, did not, or name no known TB; ``lines`` accessed.
    """

    def __init__(self, spans: U32, sets: int, stops: I64, guest_data_lines: int, most_data_lines: int) -> None:
        self._spans = spans
        self._latest = np.full(sets, _NO_LINE, np.uint32)
        self._stops = stops
        self._guest_data_lines = guest_data_lines
        self._most_data_lines = most_data_lines
        self._carried = np.zeros(7, np.int64)
        self._totals = np.zeros(4, np.int64)

    @property
    def executions(self) -> int:
        """Words that ran."""
        return int(self._totals[_EXECUTIONS])

    @property
    def stopped(self) -> int:
        """Words of TBs that were announced and did not run."""
        return int(self._totals[_STOPPED])

    @property
    def unknown(self) -> int:
        """Words that ran and name no known TB."""
        return int(self._totals[_UNKNOWN])

    @property
    def lines(self) -> int:
        """Accesses, those that make no difference too."""
        return int(self._totals[_LINES])

    @property
    def length(self) -> int:
        """Words taken."""
        return int(self._carried[_POSITION])

    def pieces(self, chunks: Iterable[U32]) -> Iterator[Piece]:
        """The stream of the executions in ``chunks``, which are taken one at a time.

        Bits 0-23 of a word: TB id (0xffffff unknown), 24-30 thread, 31 stopped at entry, that is, did not run.
        Raises ``InputError`` for a word that names no TB, and for too many guest data lines.
        """
        spans, carried = self._spans, self._carried
        longest = int((spans[:, 1].astype(np.int64) - spans[:, 0]).max(initial=0)) + 1
        longest += self._guest_data_lines // _PER_THOUSAND + 1
        for words in chunks:
            before = self.length
            # No line is newly touched twice: the sweep must not come round.
            most = carried[_DATA_LINES] + words.size * self._guest_data_lines // _PER_THOUSAND
            if most >= self._most_data_lines:
                raise InputError(
                    f"more than {self._most_data_lines} guest data lines", place=f"execution {before}",
                    expected="a shorter execution or fewer guest_data_lines",
                )  # fmt: skip
            carried[_NEXT] = 0
            while True:
                accesses = np.empty(max(_PIECE, 2 * longest), np.uint32)
                first = int(carried[_STOP])
                bounds = np.empty(self._stops.size - first, np.int64)
                bad = _stream(
                    words, spans, self._stops, self._latest, self._guest_data_lines, longest, accesses, bounds, carried,
                    self._totals,
                )  # fmt: skip
                if bad >= 0:
                    raise InputError(
                        f"TB {int(words[bad]) & UNKNOWN_TB}", place=f"execution {before + bad}",
                        expected=f"a TB below {len(spans)}, or {UNKNOWN_TB} for an unknown one",
                    )  # fmt: skip
                passed = int(carried[_PASSED])
                yield Piece(accesses[: carried[_STREAMED]], self._stops[first : first + passed], bounds[:passed])
                if carried[_NEXT] == words.size:
                    break
            carried[_POSITION] += words.size
