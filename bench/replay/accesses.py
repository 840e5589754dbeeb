"""Which accesses of an execution can make a difference to a cache, found out once for all simulations of it.

An access to the line that was accessed last in its set hits, whatever the replacement, and changes nothing: that line
is the last one in the order of the set already (``lru``), its tree points away from it already (``plru``), and the
others do not look at hits.  Most accesses are of this kind: loops run from few lines.  What is left is the *stream*
that each simulation goes through.  At a *stop*, where an event of some simulation may have dropped a line, nothing is
known any more.

Sets do not notice each other.  Where every cache has some address bit in its index, the lines with a 0 there and
those with a 1 are two *sides* of the execution, each with a stream of its own, and may be simulated at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.support.errors import InputError
from bench.support.kernels import lean_kernel
from bench.traces.successor import STOPPED, UNKNOWN_TB

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
Int: TypeAlias = int | np.int64

GUEST_DATA = 0xFFFF_FFFF
"""In a stream: the guest loads a data line that it has not touched before."""

_PIECE = 1 << 20
"""Accesses of a piece of one side's stream, at most: 8 MiB with the times."""
_PER_THOUSAND = 1000

_POSITION, _STOP, _CREDIT, _PASSED, _DATA_LINES, _NEXT, _STREAMED = range(7)
_EXECUTIONS, _STOPPED, _UNKNOWN, _LINES = range(4)

_STOPPED_FROM, _TB, _UNKNOWN_TB = np.uint32(STOPPED), np.uint32(UNKNOWN_TB), int(UNKNOWN_TB)
_GUEST_DATA, _NO_LINE = np.uint32(GUEST_DATA), np.uint32(GUEST_DATA)


class Sides(NamedTuple):
    """How lines are told apart: bits ``code_shift`` of an instruction line and ``data_shift`` of a data line.

    ``mask`` is 1 for two sides, and 0 for one, to which every line belongs.
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
    sides: Sides,
    accesses: U32,
    when: U32,
    bounds: I64,
    stopped: I64,
    carried: I64,
    totals: I64,
) -> Int:
    """Append to the streams until the words are done or there is no more room; the first word that names no TB, or -1.

    ``latest``: the line accessed last in each set.  ``bounds``: where in each stream each stop is.
    """
    base = carried[_POSITION]
    stop = carried[_STOP]
    credit = carried[_CREDIT]
    here = carried[_NEXT]
    mask = np.uint32(latest.shape[0] - 1)
    # Lines of side 0, and of side 1.
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
                side = (number >> sides.code_shift) & sides.mask
                at = right if side else left
                accesses[side, at] = line
                when[side, at] = np.uint32(lines)
                lines += 1
                matters = np.int64(latest[line & mask] != line)
                latest[line & mask] = line
                right += matters & side
                left += matters & (1 - side)
            credit += guest_data_lines
            while credit >= _PER_THOUSAND:
                credit -= _PER_THOUSAND
                side = (data_lines >> sides.data_shift) & sides.mask
                at = right if side else left
                accesses[side, at] = _GUEST_DATA
                when[side, at] = np.uint32(lines)
                right += side
                left += 1 - side
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
    """A piece of one side's stream.

    ``accesses``: instruction lines, or ``GUEST_DATA``; ``when``: how many lines, of all sides, were accessed before
    each, modulo 2^32.  ``stops``: the positions of the stops in it, ``bounds`` where in ``accesses`` each of them is,
    and ``stopped`` how many lines were accessed before.
    """

    accesses: U32
    when: U32
    stops: I64
    bounds: I64
    stopped: I64


class Accesses:
    """The streams of an execution, in pieces; the totals are complete when they have all been taken.

    ``spans``: the first and the last instruction line of each TB; ``sets`` of the instruction cache; ``stops``:
    positions, ascending, each after the execution of that number.  ``most_data_lines``: how many may be loaded.

    ``executions``, ``stopped``, ``unknown``: words that ran, did not, or name no known TB; ``lines`` accessed.
    """

    def __init__(
        self, spans: U32, sets: int, stops: I64, sides: Sides, guest_data_lines: int, most_data_lines: int
    ) -> None:
        self._spans = spans
        self._latest = np.full(sets, _NO_LINE, np.uint32)
        self._stops = stops
        self._sides = sides
        self._guest_data_lines = guest_data_lines
        self._most_data_lines = most_data_lines
        self._carried = np.zeros(_STREAMED + 2, np.int64)
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

    def pieces(self, chunks: Iterable[U32]) -> Iterator[tuple[Piece, ...]]:
        """The streams, one for each side, of the executions in ``chunks``, which are taken one at a time.

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
                    self._sides,
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
                        accesses[side, : carried[_STREAMED + side]],
                        when[side, : carried[_STREAMED + side]],
                        self._stops[first : first + passed],
                        bounds[side, :passed],
                        stopped[:passed],
                    )
                    for side in range(self._sides.mask + 1)
                )
                if carried[_NEXT] == words.size:
                    break
            carried[_POSITION] += words.size
