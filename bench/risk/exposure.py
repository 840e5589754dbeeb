"""How long what a retranslation wrote is exposed: the rows of every unit that a retranslation of a trace changes.

A *line pair* is the instruction line and the data line of a unit.  It has a row at each access to the instruction line
and at each retranslation of its TB.  Between two rows the trace leaves each line in its cache with some probability:

* all but ``random``: 1 or 0, as probes of the simulation (``bench/caches``) find it.
* ``random``: a line brought into a full set replaces each of its ways with the same probability.  How many lines are
  brought in comes from the simulation; that none replaced this one is (1 - 1/ways) to the power of their number, an
  expectation and not a draw.

Time is counted in cycles of host instructions, and of the translator where it runs; refills are added evenly over the
lines accessed.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import structs

from bench.caches.events import U8, EventKind, Events
from bench.caches.simulate import Probing, line_spans, load
from bench.replay.context import ReplayContext
from bench.risk.harm import F64
from bench.risk.rows import Bools, PairRows, Stayed, UnitRows, firsts_of
from bench.support.errors import InputError
from bench.support.kernels import lean_kernel, part
from bench.traces.links import linker
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import I32, I64, U32, Links

Int: TypeAlias = int | np.int64

_AT_ONCE = 1 << 18
"""Rows of units from which episodes are taken at once, and executions that are simulated with probes at once."""


@dataclass(frozen=True)
class Exposure:
    """The rows of all units, and which ``part`` of its guest access each unit is, ascending.

    ``retranslations``, ``cycles`` of the whole trace; ``misses`` of TBs in the instruction cache.
    """

    part: I64
    known: UnitRows | PairRows
    retranslations: int
    cycles: float
    misses: int

    def only(self, part: int) -> Exposure:
        """The units that are number ``part`` of their access."""
        first, last = np.searchsorted(self.part, (part, part + 1)).tolist()
        return replace(self, part=self.part[first:last], known=self.known.units(first, last))

    @cached_property
    def rows(self) -> UnitRows:
        """All of them."""
        return self.known.made

    @cached_property
    def episodes(self) -> UnitRows:
        """Those around retranslations, as in ``UnitRows``."""
        firsts, found, first = self.known.firsts, [self.known.units(0, 0).made], 0
        while first < self.part.size:
            # Some units at a time: their other rows are not kept.
            last = max(first + 1, int(np.searchsorted(firsts, firsts[first] + _AT_ONCE, "right")) - 1)
            found.append(self.known.units(first, last).made.episodes)
            first = last
        return UnitRows.joined(found)


class _Columns(NamedTuple):
    """The columns of ``Events``; ``lines`` is what is ``count`` there."""

    position: I64
    kind: U8
    address: I64
    lines: I64

    @classmethod
    def of(cls, events: Events) -> _Columns:
        return cls(events.position, events.kind, events.address, events.count)

    @classmethod
    def room(cls, many: int) -> _Columns:
        position, address, lines = np.empty((3, many), np.int64)
        return cls(position, np.empty(many, np.uint8), address, lines)


class _Tables(NamedTuple):
    """What the kernel looks up.

    ``blocks`` (TB; at the end nothing): bytes, instruction lines, and of the pairs on these the first and the one
    behind the last.  ``faults``: the positions of retranslations; the pairs of their TBs are those of ``own`` within
    ``bounds`` (retranslation, end).  ``places``: an address of each pair.  ``on_code``: the first pair on each line or
    behind it; ``on_data``: the first such of ``by_data``.  ``code_bits``, ``data_bits``: of an address within a line.
    ``touches``: whether a probe can see that a data line had left before an event brings it back.
    """

    blocks: I32
    faults: I64
    bounds: I64
    own: I64
    places: I64
    on_code: I64
    on_data: I64
    by_data: I64
    code_bits: int
    data_bits: int
    touches: bool


class _State(NamedTuple):
    """What goes from piece to piece.

    ``numbers``: of the next execution and retranslation; bytes, lines, runs of the translator and moments so far.
    ``lost`` (pair, cache): whether an event made the line leave since the pair's last note.
    """

    numbers: I64
    lost: Bools


class _Notes(NamedTuple):
    """Probes of a line pair, in time order.

    ``kind``: why (below).  ``who``: the TB that makes the access, or -1 less the number of the retranslation.
    ``moment``: when; ``moments`` have the bytes and lines of all executions, and the runs of the translator, so far.
    ``lost`` (note, cache): as in ``_State``.
    """

    kind: npt.NDArray[np.int8]
    pair: I32
    who: I32
    moment: I32
    lost: Bools
    moments: I64

    @classmethod
    def room(cls, many: int) -> _Notes:
        kind, (pair, who, moment) = np.empty(many, np.int8), np.empty((3, many), np.int32)
        return cls(kind, pair, who, moment, np.empty((many, 2), np.bool_), np.empty((many, 3), np.int64))


_RETRANSLATION, _TOUCH, _RETRANSLATED, _EXECUTION = range(4)
"""A note is taken when a retranslation begins to store, before an event that may bring the data line back, when a
retranslation has ended, and before an execution: in this order between two events and two executions."""

_NEXT, _FAULT, _BYTES, _LINES, _RUNS, _MOMENTS = range(6)
_FILLED_NOTES, _FILLED_EVENTS, _FILLED_MOMENTS, _EVENT = range(4)
_STORE, _LOAD, _CLEAN, _INVALIDATE, _INVALIDATE_ALL, _TRANSLATE, _PROBE = map(int, EventKind)
_NEVER = np.iinfo(np.int64).max


@part
def _noted(
    kind: Int, pair: Int, who: Int, position: Int, t: _Tables, state: _State, notes: _Notes, to: _Columns, filled: I64
) -> None:
    """Take a note, if there is room, after the execution at a position."""
    note, event = filled[_FILLED_NOTES], filled[_FILLED_EVENTS]
    filled[_FILLED_NOTES] += 1
    if note < notes.kind.size:
        notes.kind[note], notes.pair[note], notes.who[note] = kind, pair, who
        notes.moment[note] = state.numbers[_MOMENTS] - 1
        to.position[event], to.kind[event], to.address[event], to.lines[event] = position, _PROBE, t.places[pair], note
        filled[_FILLED_EVENTS] += 1
        for cache in range(2):
            notes.lost[note, cache] = state.lost[pair, cache]
            state.lost[pair, cache] = False


@part
def _moment(state: _State, notes: _Notes, filled: I64) -> None:
    """Notes from now on are of another moment."""
    row = filled[_FILLED_MOMENTS]
    filled[_FILLED_MOMENTS] += 1
    state.numbers[_MOMENTS] += 1
    if row < notes.kind.size:
        for column in range(3):
            notes.moments[row, column] = state.numbers[_BYTES + column]


@part
def _retranslates(
    kind: Int, position: Int, t: _Tables, state: _State, notes: _Notes, to: _Columns, filled: I64
) -> None:
    """Take notes of what is retranslated after the execution at a position."""
    fault = state.numbers[_FAULT]
    while fault < t.faults.size and t.faults[fault] == position:
        for at in range(t.bounds[fault, 0], t.bounds[fault, 1]):
            _noted(kind, t.own[at], -1 - fault, position, t, state, notes, to, filled)
        fault += 1
    if kind == _RETRANSLATED:
        state.numbers[_FAULT] = fault


@part
def _lines(lines: I64, address: Int, count: Int, bits: Int) -> tuple[Int, Int]:
    """What ``lines`` have for some lines: the first, and the one behind the last."""
    first = address >> bits
    most = np.int64(lines.size - 1)
    return lines[min(first, most)], lines[min(first + count, most)]


@part
def _after(position: Int, t: _Tables, known: _Columns, state: _State, notes: _Notes, to: _Columns, filled: I64) -> None:
    """What happens after the execution at a position, with its notes."""
    n = state.numbers
    stores = False
    while filled[_EVENT] < known.position.size and known.position[filled[_EVENT]] == position:
        event = filled[_EVENT]
        kind, address, count = known.kind[event], known.address[event], known.lines[event]
        filled[_EVENT] += 1
        # The translator runs before it stores.
        if kind == _TRANSLATE:
            n[_RUNS] += count
        elif not stores:
            stores = True
            _moment(state, notes, filled)
            _retranslates(_RETRANSLATION, position, t, state, notes, to, filled)
        if t.touches and kind in (_STORE, _LOAD):
            first, last = _lines(t.on_data, address, count, t.data_bits)
            for at in range(first, last):
                _noted(_TOUCH, t.by_data[at], 0, position, t, state, notes, to, filled)
        elif kind == _CLEAN:
            first, last = _lines(t.on_data, address, count, t.data_bits)
            for at in range(first, last):
                state.lost[t.by_data[at], 1] = True
        elif kind == _INVALIDATE:
            first, last = _lines(t.on_code, address, count, t.code_bits)
            for pair in range(first, last):
                state.lost[pair, 0] = True
        elif kind == _INVALIDATE_ALL:
            for pair in range(state.lost.shape[0]):
                state.lost[pair, 0] = True
        event = filled[_FILLED_EVENTS]
        if event < to.kind.size:
            to.position[event], to.kind[event], to.address[event], to.lines[event] = position, kind, address, count
            filled[_FILLED_EVENTS] += 1
    if not stores:
        _moment(state, notes, filled)
        _retranslates(_RETRANSLATION, position, t, state, notes, to, filled)
    _retranslates(_RETRANSLATED, position, t, state, notes, to, filled)


@part
def _following(t: _Tables, known: _Columns, state: _State, filled: I64) -> Int:
    """After which execution something happens next."""
    event, fault = filled[_EVENT], state.numbers[_FAULT]
    found = known.position[event] if event < known.position.size else _NEVER
    return min(found, t.faults[fault]) if fault < t.faults.size else found


@lean_kernel
def _merge(words: U32, t: _Tables, known: _Columns, state: _State, notes: _Notes, to: _Columns, filled: I64) -> None:
    """The notes of a piece, and its events with probes, which go ``to`` there.

    It begins with what comes after the last execution of the piece before, and ends with its own last execution.
    ``known``: the events without probes.  ``filled``: how many of each there are; those for which ``notes`` have no
    room are left out.
    """
    n = state.numbers
    nothing = np.int64(t.blocks.shape[0] - 1)
    following = _following(t, known, state, filled)
    for here in range(max(words.size, 1)):
        while following < n[_NEXT]:
            _after(following, t, known, state, notes, to, filled)
            following = _following(t, known, state, filled)
        if here < words.size:
            word = words[here]
            row = min(np.int64(word & UNKNOWN_TB), nothing) if word < STOPPED else nothing
            n[_BYTES] += t.blocks[row, 0]
            n[_LINES] += t.blocks[row, 1]
            first, last = t.blocks[row, 2], t.blocks[row, 3]
            if first < last:
                _moment(state, notes, filled)
                for pair in range(first, last):
                    _noted(_EXECUTION, pair, row, n[_NEXT] - 1, t, state, notes, to, filled)
            n[_NEXT] += 1


@lean_kernel
def _came(kind: npt.NDArray[np.int8], pair: I32, seen: U32, random: Bools, before: U32, came: U32) -> None:
    """How many lines came into the set of each line (cache, note) since the pair's note before, as far as known.

    Where replacement is not ``random``: whether the line is gone.
    """
    for note in range(kind.size):
        for cache in range(2):
            held, full, victims = seen[note, cache]
            if random[cache]:
                came[cache, note] = victims - before[pair[note], cache]
                # What an execution itself brings in does not count.
                brings = cache == 0 and kind[note] == _EXECUTION and full and not held
                before[pair[note], cache] = victims + np.uint32(brings)
            else:
                came[cache, note] = not held


@lean_kernel
def _fold(kind: npt.NDArray[np.int8], pair: I32, stays: F64, before: F64) -> None:
    """``stays`` (cache, note) since the pair's note before that was no ``_TOUCH``."""
    for note in range(kind.size):
        for cache in range(2):
            stays[cache, note] *= before[pair[note], cache]
            before[pair[note], cache] = stays[cache, note] if kind[note] == _TOUCH else 1.0


def expose(context: ReplayContext) -> Exposure:
    """Go through the execution once.  Raises ``InputError`` for what cannot be laid out or simulated."""
    return _Pairs(context).exposure()


class _Pairs:
    """The units and the line pairs of a trace, and what the simulation says about them."""

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        host, layout = context.host, context.layout
        self._tb, offsets, self._access, self._part = self._units().T
        address = layout.addresses[self._tb] + offsets
        lines = np.stack((address // host.icache.line, address // host.dcache.line))
        # The instruction lines ascend.
        (code, data), one, pair = np.unique(lines, axis=1, return_index=True, return_inverse=True)
        self._pair = pair.ravel()
        self._linker = linker(context.trace) if context.derives_links else None
        self._known = (context.unlinked if context.derives_links else context.events)(context.as_emitted)
        self._taken = -1
        self._end = max(layout.used, *(some.end_on(host) for some in self._known))
        spans = line_spans(layout.addresses, layout.sizes, host.icache.line)
        behind = np.searchsorted(code, spans[:, 0]), np.searchsorted(code, spans[:, 1], "right")
        blocks = np.zeros((len(spans) + 1, 4), np.int32)
        blocks[:-1] = np.stack((layout.sizes, spans[:, 1] - spans[:, 0] + 1, *behind), axis=1)
        own = np.unique(np.stack((self._tb, self._pair)), axis=1)
        by_data = np.argsort(data, kind="stable")
        caches = host.icache, host.dcache
        self._random = tuple(cache.replacement == "random" for cache in caches)
        self._kept = 1 - 1 / host.icache.ways, 1 - 1 / host.dcache.ways
        self._tables = _Tables(
            blocks=blocks,
            faults=context.trace.retranslations.position.astype(np.int64),
            bounds=np.stack([np.searchsorted(own[0], context.groups.tb, side) for side in _SIDES], axis=1),
            own=own[1],
            places=address[one],
            on_code=np.searchsorted(code, np.arange(code.max(initial=0) + 2)),
            on_data=np.searchsorted(data[by_data], np.arange(data.max(initial=0) + 2)),
            by_data=by_data,
            code_bits=host.icache.line.bit_length() - 1,
            data_bits=host.dcache.line.bit_length() - 1,
            touches=not self._random[1],
        )
        self._state = _State(np.zeros(6, np.int64), np.zeros((one.size, 2), np.bool_))
        self._room = 1 << 16
        self._victims = np.zeros((one.size, 2), np.uint32)
        self._stayed = np.ones((one.size, 2))
        self._moment = np.zeros((1, 3), np.int64)

    def _units(self) -> I64:
        """Of each unit, in the order of parts: its TB, its offset, and the number of its access and its part."""
        context, units = self._context, []
        each = max(1, len(context.groups.temporaries(1)))
        most = np.zeros(len(context.layout.sizes), np.int64)
        np.maximum.at(most, context.groups.tb, context.groups.accesses)
        for tb in np.unique(context.groups.tb).tolist():
            # The first access of a block lies where it does however many there are behind it.
            for number, (access, offset) in enumerate(context.groups.temporaries(int(most[tb]))):
                if offset < context.layout.sizes[tb]:
                    units.append((tb, offset, access, number % each))
        return np.array(sorted(units, key=lambda unit: unit[3]), np.int64).reshape(-1, 4)

    def exposure(self) -> Exposure:
        """The rows of all units, from one pass over the execution."""
        context, layout = self._context, self._context.layout
        # The L2 does not affect what the others hold.
        host = structs.replace(context.host, l2=None, costs=structs.replace(context.host.costs, refill_l2=None))
        caches, length = context.parameters.caches, context.trace.length
        load(host, length)
        probing = Probing(host, layout.addresses, layout.sizes, self._end, caches, length)
        taken: deque[_Notes] = deque()
        found = deque(self._stays(taken.popleft(), seen) for seen in probing.finds(self._pieces(taken)))
        numbers, faults = self._state.numbers, self._tables.faults
        if numbers[_FAULT] < faults.size:
            late = int(numbers[_FAULT])
            raise InputError(
                f"position {faults[late]}", place=f"retranslation {late}", expected=f"below {numbers[_NEXT]}"
            )
        for some in self._known:
            some.check_before(int(numbers[_NEXT]))
        counts = probing.counts
        prices = context.prices
        refill = prices.refill_l2 if prices.refill_l2 is not None else prices.refill_memory
        per_line = refill.nominal * counts.code_misses / max(counts.code_lines, 1)
        per_byte = prices.executed(1_000_000).nominal / 1_000_000
        per_run = prices.translation(float(layout.sizes.mean() if layout.sizes.size else 0))
        time, so_far = [], np.zeros((1, 3), np.int64)
        for piece in found:
            moments = np.cumsum(np.concatenate((so_far, piece.moments)), axis=0, dtype=np.int64)
            so_far = moments[-1:]
            executed, lines, runs = moments[1:].T
            time.append(executed * per_byte + lines * per_line + runs * per_run)
        return Exposure(
            part=self._part,
            known=self._rows(found, np.concatenate(time)),
            retranslations=len(context.trace.retranslations),
            cycles=int(numbers[_BYTES]) * per_byte + counts.code_lines * per_line + float(numbers[_RUNS]) * per_run,
            misses=counts.code_misses,
        )

    def _pieces(self, taken: deque[_Notes]) -> Iterator[tuple[U32, Events]]:
        """Chunks of the execution, each with its events and probes, whose notes are added to those ``taken``."""
        chunks = self._context.trace.executions()
        pieces = (words[first : first + _AT_ONCE] for words in chunks for first in range(0, words.size, _AT_ONCE))
        for words in itertools.chain(pieces, (np.empty(0, np.uint32),)):
            known = self._known
            if self._linker is not None:
                made = self._linker.add(words, each=False)[1]
                known = *known, self._context.patches(Links.of_rows(made, np.full(len(made), -1)))
            until = int(self._state.numbers[_NEXT]) + max(words.size - 1, 0)
            notes, events = self._merged(words, Events.merged(known, self._taken, until))
            self._taken = until
            taken.append(notes)
            yield words, events

    def _merged(self, words: U32, known: Events) -> tuple[_Notes, Events]:
        while True:
            state = _State._make(column.copy() for column in self._state)
            notes, to = _Notes.room(self._room), _Columns.room(self._room + len(known))
            filled = np.zeros(4, np.int64)
            _merge(words, self._tables, _Columns.of(known), state, notes, to, filled)
            if filled[_FILLED_NOTES] <= self._room and filled[_FILLED_MOMENTS] <= self._room:
                break
            self._room = 2 * int(max(filled[_FILLED_NOTES], filled[_FILLED_MOMENTS]))
        self._state = state
        count, events, moments = filled[:_EVENT].tolist()
        notes = _Notes._make((*(column[:count] for column in notes[:-1]), notes.moments[:moments]))
        return notes, Events(*_Columns._make(column[:events] for column in to))

    def _stays(self, notes: _Notes, seen: U32) -> _Stays:
        """The rows of a piece, from its notes and what its probes found."""
        count, random = notes.kind.size, self._random
        came = np.empty((2, count), np.uint32)
        _came(notes.kind, notes.pair, seen, np.array(random), self._victims, came)
        rows = np.flatnonzero((notes.kind == _RETRANSLATION) | (notes.kind == _EXECUTION))
        code: Stayed
        data: Stayed
        if self._tables.touches:
            stays = np.empty((2, count))
            for cache, base in enumerate(self._kept):
                stays[cache] = np.power(base, came[cache]) if random[cache] else 1.0 - came[cache]
            stays[notes.lost.T] = 0
            _fold(notes.kind, notes.pair, stays, self._stayed)
            code, data = (stays[cache, rows] if random[cache] else stays[cache, rows] != 0 for cache in range(2))
        else:
            came[notes.lost.T] = np.iinfo(np.uint32).max
            gone = [_lines_gone(base) for base in self._kept]
            code, data = (
                np.minimum(came[cache, rows], gone[cache]).astype(np.min_scalar_type(gone[cache]))
                if random[cache]
                else came[cache, rows] == 0
                for cache in range(2)
            )
        steps = np.diff(notes.moments, axis=0, prepend=self._moment)
        self._moment = self._moment + steps.sum(axis=0)
        steps = steps.astype(np.min_scalar_type(steps.max(initial=0)))
        pair = notes.pair[rows].astype(np.min_scalar_type(len(self._victims)))
        return _Stays(pair, notes.who[rows], notes.moment[rows], code, data, steps)

    def _rows(self, found: deque[_Stays], time: F64) -> PairRows:
        """The rows of each pair, from those of the pieces."""
        pairs = len(self._victims)
        # numpy sorts numbers of 16 bits by their digits.
        begins = firsts_of(np.bincount(np.concatenate([piece.pair for piece in found]), minlength=pairs))
        who, moment, code, data = columns = [np.empty(begins[-1], column.dtype) for column in found[0][1:-1]]
        following = begins[:-1].copy()
        while found:
            piece = found.popleft()
            own = np.bincount(piece.pair, minlength=pairs)
            at, shift = np.empty(piece.pair.size, np.int64), following - firsts_of(own)[:-1]
            at[np.argsort(piece.pair, kind="stable")] = np.arange(at.size) + np.repeat(shift, own)
            following += own
            for column, some in zip(columns, piece[1:-1], strict=True):
                column[at] = some
        groups = self._context.groups
        faults = groups.tb, groups.accesses
        units = self._tb, self._access, self._pair
        return PairRows(*units, begins, who, moment, code, data, self._kept, time, faults)


def _lines_gone(base: float) -> int:
    """So many lines that the power of ``base`` is 0."""
    return int(746 / -math.log(base)) + 1 if base else 1


_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


class _Stays(NamedTuple):
    """Rows of line pairs in time order: as in ``_Notes``, with the probabilities that the lines stayed.

    ``moments``: the differences of each from the one before.
    """

    pair: npt.NDArray[np.unsignedinteger[Any]]
    who: I32
    moment: I32
    code: Stayed
    data: Stayed
    moments: npt.NDArray[np.unsignedinteger[Any]]
