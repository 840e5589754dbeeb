"""How long what a retranslation wrote is exposed: the rows of every unit that a retranslation of a trace changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.hosts.profile import Cache
from bench.replay.context import ReplayContext
from bench.replay.layout import MemoryMap, line_spans
from bench.risk.residency import POLICIES, Carried, Course, Log, Sets, Sizes, Spots, follow
from bench.support.errors import InputError
from bench.traces.successor import STOPPED, UNKNOWN_TB

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Exposure:
    """The rows of all units, one unit after the other, each in time order.

    ``part``: which of the units of its guest access each is.  ``firsts``: where the rows of each begin, and their end.
    ``run``: whether the row is an execution of the
    unit's own TB; ``rewritten``: the retranslation that changes the unit, -1 for an access.  ``time`` in cycles.
    ``code``, ``data``: the probabilities that either line stayed since the row before, but for what the trace does not
    know.
    ``retranslations``, ``executions``, ``cycles`` of the whole trace; ``misses`` of TBs in the instruction cache.
    """

    part: I64
    firsts: I64
    run: npt.NDArray[np.bool_]
    rewritten: I64
    time: F64
    code: F64
    data: F64
    retranslations: int
    executions: int
    cycles: float
    misses: int

    def only(self, part: int) -> Exposure:
        """The units that are number ``part`` of their access."""
        units = np.flatnonzero(self.part == part)
        if units.size == self.part.size:
            return self
        lengths = np.diff(self.firsts)[units]
        firsts = np.concatenate(([0], np.cumsum(lengths)))
        rows = np.repeat(self.firsts[units] - firsts[:-1], lengths) + np.arange(firsts[-1])
        return replace(
            self,
            part=self.part[units],
            firsts=firsts,
            run=self.run[rows],
            rewritten=self.rewritten[rows],
            time=self.time[rows],
            code=self.code[rows],
            data=self.data[rows],
        )


def expose(ground: ReplayContext) -> Exposure:
    """Go through the execution once, both halves together.  Raises ``InputError`` for what cannot be laid out."""
    with ThreadPoolExecutor(2) as threads:
        halves = tuple(threads.map(partial(_half, ground), (0, 1)))
    executions, misses = halves[0].executions, halves[0].misses + halves[1].misses
    prices = ground.prices
    refill = prices.refill_l2 if prices.refill_l2 is not None else prices.refill_memory
    per_line = refill.nominal * misses / max(halves[0].lines, 1)
    units = [half.units.exposed(half.log, per_line) for half in halves]
    firsts = units[0].firsts, units[0].firsts[-1] + units[1].firsts[1:]
    return Exposure(
        part=np.concatenate([half.units.part for half in halves]),
        firsts=np.concatenate(firsts),
        run=np.concatenate([one.run for one in units]),
        rewritten=np.concatenate([one.rewritten for one in units]),
        time=np.concatenate([one.time for one in units]),
        code=np.concatenate([one.code for one in units]),
        data=np.concatenate([one.data for one in units]),
        retranslations=len(ground.trace.retranslations),
        executions=executions,
        cycles=halves[0].time + per_line * halves[0].lines,
        misses=misses,
    )


class _Half(NamedTuple):
    """What was seen of one half of the instruction lines; ``time`` and ``lines`` are of all."""

    units: _Units
    log: Log
    executions: int
    misses: int
    time: float
    lines: float


class _Rows(NamedTuple):
    """The columns of an ``Exposure``."""

    firsts: I64
    run: npt.NDArray[np.bool_]
    rewritten: I64
    time: F64
    code: F64
    data: F64


def _half(ground: ReplayContext, half: int) -> _Half:
    units = _Units(ground, half)
    host, layout = ground.host, ground.layout
    # A xorshift generator must not begin with 0.
    seeds = np.random.PCG64(ground.parameters.seed).random_raw(2) | np.uint64(1)
    code, data = _sets(host.icache, True, seeds[0]), _sets(host.dcache, host.dcache.write_allocate, seeds[1])
    spans = line_spans(layout.addresses, layout.sizes, host.icache.line)
    events = ground.events(ground.as_emitted)
    faults = ground.trace.retranslations.position.astype(np.int64)
    course = Course(events.position, events.kind, events.address, events.count, faults, ground.tb)
    sizes, fresh = _sizes(ground, half)
    carried = Carried(np.array([0, 0, 0, 0, fresh, 0]), np.zeros(2))
    rows_of_tb = np.array([units.on_lines[first : last + 1].sum() for first, last in spans.tolist()], np.int64)
    rows_of_mark = np.diff(units.spots.tb_first)[ground.tb]
    logs = []
    executions = done = 0
    for words in ground.trace.executions():
        tbs = words[words < STOPPED] & UNKNOWN_TB
        executions += tbs.size
        marks = (faults >= done - 1) & (faults < done + words.size)
        room = int(rows_of_tb[tbs[tbs < rows_of_tb.size]].sum() + rows_of_mark[marks].sum())
        log = Log(np.empty(room, np.int64), np.empty(room, np.int64), *np.empty((4, room)))
        rows = follow(words, spans, layout.sizes, code, data, units.spots, course, sizes, carried, log)
        logs.append(Log(log.spot[:rows], log.who[:rows], *(figures[:rows] for figures in log[2:])))
        done += words.size
    if (mark := int(carried.numbers[2])) < faults.size:
        raise InputError(f"position {faults[mark]}", place=f"retranslation {mark}", expected=f"one below {done}")
    whole = Log(
        spot=np.concatenate([log.spot for log in logs]),
        who=np.concatenate([log.who for log in logs]),
        time=np.concatenate([log.time for log in logs]),
        lines=np.concatenate([log.lines for log in logs]),
        code=np.concatenate([log.code for log in logs]),
        data=np.concatenate([log.data for log in logs]),
    )
    return _Half(units, whole, executions, int(carried.numbers[5]), *carried.time.tolist())


class _Units:
    """The units that retranslations of a trace change, and the spots in which they lie."""

    def __init__(self, ground: ReplayContext, half: int) -> None:
        host, layout = ground.host, ground.layout
        tbs, offsets, least, parts = [], [], [], []
        each = max(1, len(ground.temporaries(1)))
        most = np.zeros(len(layout.sizes), np.int64)
        np.maximum.at(most, ground.tb, ground.accesses)
        for tb in np.unique(ground.tb).tolist():
            # The first access of a block lies where it does however many there are behind it.
            for number, (access, offset) in enumerate(ground.temporaries(int(most[tb]))):
                line = (int(layout.addresses[tb]) + offset) // host.icache.line
                if offset < layout.sizes[tb] and line & 1 == half:
                    tbs.append(tb)
                    offsets.append(offset)
                    least.append(access)
                    parts.append(number % each)
        self.part = np.array(parts, np.int64)
        self.tb, self.access = np.array(tbs, np.int64), np.array(least, np.int64)
        self.accesses, self.tb_of_faults = ground.accesses, ground.tb
        address = layout.addresses[self.tb] + np.array(offsets, np.int64)
        spots, self.spot = np.unique(
            np.stack((address // host.icache.line, address // host.dcache.line)), axis=1, return_inverse=True
        )
        self.spot = self.spot.ravel()
        code, data = spots.reshape(2, -1)
        end = layout.used
        of_tb = np.unique(np.stack((self.tb, self.spot)), axis=1)
        first_of_code, next_of_code = _listed(code, end // host.icache.line + 1)
        first_of_data, next_of_data = _listed(data, end // host.dcache.line + 1)
        zeros = np.zeros(code.size, np.int64)
        self.spots = Spots(
            first_of_code,
            next_of_code,
            first_of_data,
            next_of_data,
            np.searchsorted(of_tb[0], np.arange(len(layout.sizes) + 1)),
            of_tb[1],
            code,
            data,
            zeros,
            zeros.copy(),
            zeros.astype(np.uint8),
            zeros.astype(np.uint8),
        )
        self.on_lines = np.bincount(code, minlength=first_of_code.size)

    def exposed(self, log: Log, per_line: float) -> _Rows:
        """The rows of each unit, from those of its spot; ``per_line``: cycles for refills, per line accessed."""
        order = np.argsort(log.spot, kind="stable")
        bounds = np.searchsorted(log.spot[order], np.arange(self.spots.code.size + 1))
        rows = [order[bounds[spot] : bounds[spot + 1]] for spot in self.spot]
        which = np.concatenate(rows) if rows else np.empty(0, np.int64)
        unit = np.repeat(np.arange(self.tb.size), [len(some) for some in rows])
        who = log.who[which]
        fault = -1 - who
        rewrites = who < 0
        changes = rewrites.copy()
        fault = np.maximum(fault, 0)
        if self.tb_of_faults.size:
            changes &= (self.tb_of_faults[fault] == self.tb[unit]) & (self.access[unit] < self.accesses[fault])
        return _Rows(
            firsts=np.cumsum([0, *map(len, rows)]),
            run=who == self.tb[unit],
            rewritten=np.where(changes, fault, -1),
            time=log.time[which] + per_line * log.lines[which],
            code=log.code[which],
            data=log.data[which],
        )


def _listed(lines: I64, count: int) -> tuple[I64, I64]:
    """The first spot of each line, and the next one of each spot; -1 for none."""
    first, following = np.full(count, -1, np.int64), np.full(lines.size, -1, np.int64)
    for spot in range(lines.size - 1, -1, -1):
        following[spot] = first[lines[spot]]
        first[lines[spot]] = spot
    return first, following


def _sets(cache: Cache, allocates: bool, luck: int) -> Sets:
    """A cache without a line."""
    shape = cache.sets, cache.ways
    return Sets(
        np.full(shape, -1, np.int32),
        np.full(cache.sets, -1, np.int32),
        np.zeros(cache.sets, np.int64),
        np.zeros(shape, np.int64),
        np.array([POLICIES.index(cache.replacement), allocates, 0, luck], np.uint64),
    )


def _sizes(ground: ReplayContext, half: int) -> tuple[Sizes, int]:
    """Where everything lies and how long it takes, as in a replay; and the guest's first data line."""
    host, prices, parameters = ground.host, ground.prices, ground.parameters
    lines = parameters.caches
    memory = MemoryMap.behind(ground.layout.used, host, lines)
    sizes = Sizes(
        code_bits=host.icache.line.bit_length() - 1,
        data_bits=host.dcache.line.bit_length() - 1,
        translator_code=memory.translator_code // host.icache.line,
        translator_code_lines=lines.translator_code_lines,
        translator_data=memory.translator_data // host.dcache.line,
        translator_data_lines=lines.translator_data_lines,
        guest=lines.guest_data_lines,
        per_byte=prices.executed(1_000_000).nominal / 1_000_000,
        translator=prices.retranslation.nominal * float(ground.layout.sizes.mean() if ground.layout.sizes.size else 0),
        half=half,
    )
    return sizes, memory.guest_data // host.dcache.line
