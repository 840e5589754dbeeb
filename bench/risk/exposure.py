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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import structs

from bench.caches.counts import Counts
from bench.caches.events import EventKind, Events
from bench.caches.simulate import Probes, line_spans, probe
from bench.hosts.profile import Cache
from bench.replay.context import ReplayContext
from bench.risk.harm import F64
from bench.support.errors import InputError
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import I32, I64

Bools: TypeAlias = npt.NDArray[np.bool_]


class UnitRows(NamedTuple):
    """The rows of all units, one unit after the other, each in time order.

    ``firsts``: where the rows of each unit begin, and their end.  ``run``: whether the row is an execution of the
    unit's own TB; ``rewritten``: the retranslation that changes the unit, -1 for an access.  ``gap``: cycles since the
    row before, or since the start.  ``code``, ``data``: the probabilities that the instruction line, and the data line,
    stayed since then, but for what the trace does not record.
    """

    firsts: I64
    run: Bools
    rewritten: I64
    gap: F64
    code: F64
    data: F64

    def only(self, some: Bools, firsts: I64) -> UnitRows:
        """These rows, of units that begin at ``firsts`` among them."""
        return UnitRows._make((firsts, *(column[some] for column in self[1:])))


_FORGOTTEN = 46.0
"""Minus the logarithm of a probability that is nothing beside a double: e^-46 = 1e-20."""


@dataclass(frozen=True)
class Exposure:
    """The ``rows`` of all units, and which ``part`` of its guest access each unit is.

    ``retranslations``, ``cycles`` of the whole trace; ``misses`` of TBs in the instruction cache.
    """

    part: I64
    rows: UnitRows
    retranslations: int
    cycles: float
    misses: int

    def only(self, part: int) -> Exposure:
        """The units that are number ``part`` of their access."""
        units = self.part == part
        if units.all():
            return self
        lengths = np.diff(self.rows.firsts)
        rows = self.rows.only(np.repeat(units, lengths), np.concatenate(([0], np.cumsum(lengths[units]))))
        return replace(self, part=self.part[units], rows=rows)

    @cached_property
    def episodes(self) -> UnitRows:
        """The rows around retranslations; what is a unit in ``rows`` is several here.

        Once both its lines have left the caches a unit is as at the start.  So rows count that begin where this has
        happened almost surely before a retranslation, and end where it has happened almost surely after one.
        """
        rows = self.rows
        with np.errstate(divide="ignore"):
            left = np.minimum(-np.log1p(-(1 - rows.code) * (1 - rows.data)), 2 * _FORGOTTEN)
        # Of each unit so far, as if units followed each other with more than enough between them.
        unit = np.repeat(np.arange(rows.firsts.size - 1), np.diff(rows.firsts))
        so_far = np.cumsum(left) + 3 * _FORGOTTEN * unit
        changes = np.flatnonzero(rows.rewritten >= 0)
        first = np.searchsorted(so_far, so_far[changes] - _FORGOTTEN, "left")
        last = np.searchsorted(so_far, so_far[changes] + _FORGOTTEN, "right")
        # The first row of a unit may have less before it.
        first, last = np.maximum(first, rows.firsts[unit[changes]]), np.minimum(last, rows.firsts[unit[changes] + 1])
        depth = np.zeros(unit.size + 1, np.int64)
        np.add.at(depth, first, 1)
        np.add.at(depth, last, -1)
        inside = np.cumsum(depth[:-1]) > 0
        begins = inside & (np.diff(inside, prepend=False) | (np.diff(unit, prepend=-1) > 0))
        return rows.only(inside, np.append(np.flatnonzero(begins[inside]), np.count_nonzero(inside)))


class _Notes(NamedTuple):
    """Probes of a line pair: after the execution at ``position``, before the trace's event number ``event``.

    ``kind``: why (below).  ``who``: the TB that makes the access, or -1 less the number of the retranslation.
    ``executed``, ``lines``: bytes and lines of all executions so far.
    """

    position: I64
    event: I32
    kind: npt.NDArray[np.int8]
    pair: I32
    who: I32
    executed: I64
    lines: I64

    def at(self, which: I64) -> _Notes:
        """Some of them, or in another order."""
        return _Notes._make(column[which] for column in self)


_RETRANSLATION, _TOUCH, _RETRANSLATED, _EXECUTION = range(4)
"""A note is taken when a retranslation begins to store, before an event that may bring the data line back, when a
retranslation has ended, and before an execution: in this order between two events and two executions."""


_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def expose(context: ReplayContext) -> Exposure:
    """Go through the execution once.  Raises ``InputError`` for what cannot be laid out or simulated."""
    pairs = _Pairs(context)
    notes = pairs.notes()
    counts, probes = pairs.probed(notes)
    # numpy sorts numbers of 16 bits by their digits.
    by_pair = np.argsort(notes.pair.astype(np.min_scalar_type(pairs.count)), kind="stable")
    notes, probes = notes.at(by_pair), Probes._make(column[by_pair] for column in probes)
    prices = context.prices
    refill = prices.refill_l2 if prices.refill_l2 is not None else prices.refill_memory
    per_line = refill.nominal * counts.code_misses / max(counts.code_lines, 1)
    per_byte = prices.executed(1_000_000).nominal / 1_000_000
    per_run = prices.translation(float(context.layout.sizes.mean() if context.layout.sizes.size else 0))
    time = notes.executed * per_byte + notes.lines * per_line + pairs.runs[notes.event] * per_run
    return Exposure(
        part=pairs.part,
        rows=pairs.rows(notes, time, *pairs.stayed(notes, probes)),
        retranslations=len(context.trace.retranslations),
        cycles=pairs.executed * per_byte + counts.code_lines * per_line + float(pairs.runs[-1]) * per_run,
        misses=counts.code_misses,
    )


class _Pairs:
    """The units and the line pairs of a trace, and what the simulation says about them.

    ``count`` of the pairs; ``part`` of its access, for each unit; ``runs`` of the translator before each of the trace's
    events, and at the end; ``executed``: bytes of all executions, once ``notes`` has read them.
    """

    executed = 0

    def __init__(self, context: ReplayContext) -> None:
        self._context = context
        host, layout = context.host, context.layout
        units = []
        each = max(1, len(context.temporaries(1)))
        most = np.zeros(len(layout.sizes), np.int64)
        np.maximum.at(most, context.tb, context.accesses)
        for tb in np.unique(context.tb).tolist():
            # The first access of a block lies where it does however many there are behind it.
            for number, (access, offset) in enumerate(context.temporaries(int(most[tb]))):
                if offset < layout.sizes[tb]:
                    units.append((tb, offset, access, number % each))
        self._tb, offsets, self._access, self.part = np.array(units, np.int64).reshape(-1, 4).T
        address = layout.addresses[self._tb] + offsets
        lines = np.stack((address // host.icache.line, address // host.dcache.line))
        # The instruction lines ascend.
        (self._code, self._data), one, pair = np.unique(lines, axis=1, return_index=True, return_inverse=True)
        self._address, self._pair = address[one], pair.ravel()
        self.count = one.size
        # As in a replay: of the events after one execution those of retranslations come first.
        first, rest = context.events(context.as_emitted)
        at = np.searchsorted(rest.position, first.position)
        self._events = _inserted(rest, at, first)
        translates = np.where(self._events.kind == EventKind.TRANSLATE, self._events.count, 0)
        self.runs: I64 = np.concatenate(([0], np.cumsum(translates)))

    def notes(self) -> _Notes:
        """All notes, in time order."""
        executions, so_far = self._executions()
        parts = [*self._retranslations(*so_far), self._touches()]
        del so_far
        others = _Notes._make(map(np.concatenate, zip(*parts, strict=True)))
        others = others.at(np.lexsort((others.kind, others.position, others.event)))
        # There are millions of executions, in time order, and of them none comes before another note of its place.
        room = self._context.trace.length + 2
        first, second = (each.event * np.int64(room) + each.position + 1 for each in (executions, others))
        at = np.searchsorted(first, second)
        names = _Notes._fields
        columns = [getattr(executions, name) for name in names]
        del executions, first  # what is copied is let go at once
        return _Notes._make(np.insert(columns.pop(0), at, getattr(others, name)) for name in names)

    def _executions(self) -> tuple[_Notes, tuple[I64, I64, I64]]:
        """Of each execution of a TB that lies on an instruction line of a pair.

        And for these and for each retranslation the position, and the bytes and lines of all executions so far.
        """
        context = self._context
        spans = line_spans(context.layout.addresses, context.layout.sizes, context.host.icache.line)
        first, last = (np.searchsorted(self._code, line, side) for line, side in zip(spans.T, _SIDES, strict=True))
        nothing = len(spans)
        watched = np.append(last > first, False)
        sizes, lines = np.append(context.layout.sizes, 0), np.append(spans[:, 1] - spans[:, 0] + 1, 0)
        faults = context.trace.retranslations.position.astype(np.int64)
        found = []
        position = all_lines = 0
        for words in context.trace.executions():
            tb = np.minimum(words & UNKNOWN_TB, nothing).astype(np.intp)
            tb[words >= STOPPED] = nothing
            kept = watched[tb]
            here = slice(*np.searchsorted(faults, (position, position + words.size)))
            kept[faults[here] - position] = True
            at = np.flatnonzero(kept)
            # Only what is kept needs a sum; behind the last one of a chunk there may be more.
            bounds = np.concatenate(([0], at + 1))
            executed, accessed = (
                before + np.cumsum(np.add.reduceat(np.append(each[tb], 0), bounds))
                for before, each in ((self.executed, sizes), (all_lines, lines))
            )
            found.append((position + at, tb[at], executed[:-1], accessed[:-1]))
            self.executed, all_lines = int(executed[-1]), int(accessed[-1])
            position += words.size
        if faults.size and (late := int(np.searchsorted(faults, position))) < faults.size:
            raise InputError(f"position {faults[late]}", place=f"retranslation {late}", expected=f"below {position}")
        where, tb, executed, accessed = map(np.concatenate, zip(*found, strict=True))
        ran = np.flatnonzero(watched[tb])
        which, pair = _ranges(first[tb[ran]], last[tb[ran]])
        at = ran[which]
        event = np.searchsorted(self._events.position, where, "left")
        notes = _noted(_EXECUTION, where[at] - 1, event[at], pair, tb[at], executed[at], accessed[at])
        return notes, (where, executed, accessed)

    def _retranslations(self, where: I64, *so_far: I64) -> tuple[_Notes, _Notes]:
        """Of each retranslation, on the pairs of its TB: when it begins to store, and when it has ended.

        ``so_far``: bytes and lines at the positions ``where``.
        """
        context, events = self._context, self._events
        own = np.unique(np.stack((self._tb, self._pair)), axis=1)
        mark, which = _ranges(*(np.searchsorted(own[0], context.tb, side) for side in _SIDES))
        position = context.trace.retranslations.position.astype(np.int64)[mark]
        begins, ends = (np.searchsorted(events.position, position, side) for side in _SIDES)
        # The translator runs before it stores.
        stores = np.append(np.flatnonzero(events.kind != EventKind.TRANSLATE), len(events))
        begins = np.minimum(stores[np.searchsorted(stores, begins)], ends)
        at = np.searchsorted(where, position)
        executed, lines = (np.where(position < 0, 0, np.append(column, 0)[at]) for column in so_far)
        rest = own[1][which], -1 - mark, executed, lines
        return (_noted(_RETRANSLATION, position, begins, *rest), _noted(_RETRANSLATED, position, ends, *rest))

    def _touches(self) -> _Notes:
        """Of each event that may bring a data line back, where a probe can see that it had left."""
        event, pair = self._covering((EventKind.STORE, EventKind.LOAD), self._data, self._context.host.dcache)
        if _random(self._context.host.dcache):
            event, pair = event[:0], pair[:0]
        nothing = np.zeros_like(event)
        return _noted(_TOUCH, self._events.position[event], event, pair, nothing, nothing, nothing)

    def _covering(self, kinds: Sequence[EventKind], lines: I64, cache: Cache) -> tuple[I64, I64]:
        """Events of some kinds, by number, and the pairs on whose ``lines`` of a cache each is."""
        events = self._events
        number = np.flatnonzero(np.isin(events.kind, kinds))
        first = events.address[number] // cache.line
        order = np.argsort(lines, kind="stable")
        ends = first, first + events.count[number]
        which, at = _ranges(*(np.searchsorted(lines, end, "left", sorter=order) for end in ends))
        return number[which], order[at]

    def probed(self, notes: _Notes) -> tuple[Counts, Probes]:
        """The simulation with the trace's events, and what it has at each note."""
        context = self._context
        count = notes.pair.size
        probes = Events(
            notes.position, np.full(count, EventKind.PROBE, np.uint8), self._address[notes.pair], np.arange(count)
        )
        layout, events = context.layout, _inserted(self._events, notes.event, probes)
        del probes
        # The L2 does not affect what the others hold.
        host = structs.replace(context.host, l2=None, costs=structs.replace(context.host.costs, refill_l2=None))
        chunks = context.trace.executions()
        return probe(host, layout.addresses, layout.sizes, chunks, events, context.parameters.caches)

    def stayed(self, notes: _Notes, probes: Probes) -> tuple[F64, F64]:
        """The probabilities that the instruction and the data line of a pair stayed since its note before.

        Since the one before that, if that one was a ``_TOUCH``.  Notes and probes are in the order of pairs.
        """
        host, kind, pair, event = self._context.host, notes.kind, notes.pair, notes.event
        begins = np.diff(pair, prepend=-1) > 0
        touched = np.concatenate(([False], kind[:-1] == _TOUCH)) & ~begins
        groups = np.flatnonzero(~touched)
        found = []
        for number, (cache, lines, kinds) in enumerate(
            ((host.icache, self._code, (EventKind.INVALIDATE,)), (host.dcache, self._data, (EventKind.CLEAN,)))
        ):
            held, full, victims = (column[:, number] for column in probes)
            if _random(cache):
                # What an execution itself brings in does not count.
                after = victims + (full & ~held & (kind == _EXECUTION) if number == 0 else np.uint32(0))
                came = victims - np.where(begins, np.uint32(0), np.roll(after, 1))
                stays = np.power(1 - 1 / cache.ways, came)
            else:
                stays = held.astype(np.float64)
            stays[self._lost(self._covering(kinds, lines, cache), pair, event, begins)] = 0
            if number == 0:
                everything = np.flatnonzero(self._events.kind == EventKind.INVALIDATE_ALL)
                so_far = np.searchsorted(everything, event)
                stays[so_far > np.where(begins, 0, np.roll(so_far, 1))] = 0
            if groups.size < pair.size:
                stays = np.repeat(np.multiply.reduceat(stays, groups), np.diff(groups, append=pair.size))
            found.append(stays)
        code, data = found
        return code, data

    def _lost(self, losing: tuple[I64, I64], pair: I32, event: I32, begins: Bools) -> Bools:
        """Whether an event of those, by number and pair, is between a note and the one before."""
        room = len(self._events) + 1
        numbers, first = np.sort(losing[1] * room + losing[0]), pair.astype(np.int64) * room
        so_far = np.searchsorted(numbers, first + event)
        before = np.roll(so_far, 1)
        before[begins] = np.searchsorted(numbers, first[begins])
        return so_far > before

    def rows(self, notes: _Notes, time: F64, code: F64, data: F64) -> UnitRows:
        """The rows of each unit, from the notes of its pair, which are in the order of pairs."""
        context = self._context
        order = np.flatnonzero((notes.kind == _RETRANSLATION) | (notes.kind == _EXECUTION))
        bounds = np.searchsorted(notes.pair[order], np.arange(self._code.size + 1))
        unit, at = _ranges(bounds[self._pair], bounds[self._pair + 1])
        at = order[at]
        firsts = np.concatenate(([0], np.cumsum(np.diff(bounds)[self._pair])))
        who = notes.who[at]
        fault = np.maximum(-1 - who, 0)
        changes = who < 0
        if context.tb.size:
            changes &= (context.tb[fault] == self._tb[unit]) & (self._access[unit] < context.accesses[fault])
        before = np.roll(time[at], 1)
        before[firsts[:-1][np.diff(firsts) > 0]] = 0
        return UnitRows(
            firsts=firsts,
            run=who == self._tb[unit],
            rewritten=np.where(changes, fault, -1),
            gap=time[at] - before,
            code=code[at],
            data=data[at],
        )


def _noted(kind: int, position: I64, *columns: I64) -> _Notes:
    """Notes of one kind, in arrays that are as small as they can be: there are millions."""
    event, pair, who, executed, lines = columns
    kinds = np.full(position.size, kind, np.int8)
    small = event.astype(np.int32), kinds, pair.astype(np.int32), who.astype(np.int32)
    return _Notes(position, *small, executed, lines)


def _random(cache: Cache) -> bool:
    return cache.replacement == "random"


def _inserted(events: Events, at: I32 | I64, others: Events) -> Events:
    """Events with others before those at some numbers."""
    columns = ("position", "kind", "address", "count")
    return Events(*(np.insert(getattr(events, name), at, getattr(others, name)) for name in columns))


def _ranges(firsts: I64, lasts: I64) -> tuple[I64, I64]:
    """The numbers of all ranges from ``firsts`` to below ``lasts``: of which range each is, and the number."""
    lengths = lasts - firsts
    which = np.repeat(np.arange(lengths.size), lengths)
    return which, np.arange(which.size) - np.repeat(np.cumsum(lengths) - lengths - firsts, lengths)
