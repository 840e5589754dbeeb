"""How long what a retranslation wrote is exposed: the rows of every unit that a retranslation of a trace changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.caches.events import Events
from bench.caches.simulate import MemoryMap, line_spans
from bench.hosts.profile import Cache
from bench.replay.context import ReplayContext
from bench.risk.residency import (
    POLICIES,
    AccessLog,
    CacheSets,
    LinePairs,
    Progress,
    Simulation,
    SimulationParameters,
    Timeline,
    follow,
)
from bench.support.errors import InputError
from bench.traces.successor import STOPPED, UNKNOWN_TB

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


class UnitRows(NamedTuple):
    """The rows of all units, one unit after the other, each in time order.

    ``firsts``: where the rows of each unit begin, and their end.  ``run``: whether the row is an execution of the
    unit's own TB; ``rewritten``: the retranslation that changes the unit, -1 for an access.  ``time`` in cycles.
    ``code``, ``data``: the probabilities that the instruction line, and the data line, stayed since the row before,
    but for what the trace does not record.
    """

    firsts: I64
    run: npt.NDArray[np.bool_]
    rewritten: I64
    time: F64
    code: F64
    data: F64


@dataclass(frozen=True, slots=True)
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
        units = np.flatnonzero(self.part == part)
        if units.size == self.part.size:
            return self
        begin = self.rows.firsts
        lengths = np.diff(begin)[units]
        firsts = np.concatenate(([0], np.cumsum(lengths)))
        at = np.repeat(begin[units] - firsts[:-1], lengths) + np.arange(firsts[-1])
        _, run, rewritten, time, code, data = self.rows
        rows = UnitRows(firsts, run[at], rewritten[at], time[at], code[at], data[at])
        return replace(self, part=self.part[units], rows=rows)


def expose(context: ReplayContext) -> Exposure:
    """Go through the execution once, both halves together.  Raises ``InputError`` for what cannot be laid out."""
    with ThreadPoolExecutor(2) as threads:
        one, two = threads.map(partial(_Half, context), (0, 1))
    misses = one.misses + two.misses
    prices = context.prices
    refill = prices.refill_l2 if prices.refill_l2 is not None else prices.refill_memory
    per_line = refill.nominal * misses / max(one.lines, 1)
    firsts, *columns = zip(one.rows(per_line), two.rows(per_line), strict=True)
    return Exposure(
        part=np.concatenate((one.part, two.part)),
        rows=UnitRows(
            np.concatenate((firsts[0], firsts[0][-1] + firsts[1][1:])), *(np.concatenate(column) for column in columns)
        ),
        retranslations=len(context.trace.retranslations),
        cycles=one.time + per_line * one.lines,
        misses=misses,
    )


class _Half:
    """The accesses to every other instruction line: those whose last bit is ``half``.

    ``part``: of each unit on such a line; ``misses`` on them.  ``time`` and ``lines`` accessed are of all lines.
    """

    def __init__(self, context: ReplayContext, half: int) -> None:
        self._context = context
        host, layout = context.host, context.layout
        units = []
        each = max(1, len(context.temporaries(1)))
        most = np.zeros(len(layout.sizes), np.int64)
        np.maximum.at(most, context.tb, context.accesses)
        for tb in np.unique(context.tb).tolist():
            # The first access of a block lies where it does however many there are behind it.
            for number, (access, offset) in enumerate(context.temporaries(int(most[tb]))):
                line = (int(layout.addresses[tb]) + offset) // host.icache.line
                if offset < layout.sizes[tb] and line & 1 == half:
                    units.append((tb, offset, access, number % each))
        self._tb, offsets, self._access, self.part = np.array(units, np.int64).reshape(-1, 4).T
        address = layout.addresses[self._tb] + offsets
        lines = np.stack((address // host.icache.line, address // host.dcache.line))
        pairs, pair = np.unique(lines, axis=1, return_inverse=True)
        self._pair = pair.ravel()
        code, data = pairs.reshape(2, -1)
        self._pairs = _line_pairs(context, code, data, np.unique(np.stack((self._tb, self._pair)), axis=1))
        self._follow(half)

    def _follow(self, half: int) -> None:
        """Go through the execution."""
        context = self._context
        host, layout, pairs = context.host, context.layout, self._pairs
        # A xorshift generator must not begin with 0.
        seeds = np.random.PCG64(context.parameters.seed).random_raw(2) | np.uint64(1)
        code, data = _sets(host.icache, True, seeds[0]), _sets(host.dcache, host.dcache.write_allocate, seeds[1])
        spans = line_spans(layout.addresses, layout.sizes, host.icache.line)
        first, rest = context.events(context.as_emitted)
        at = np.searchsorted(rest.position, first.position)
        columns = ("position", "kind", "address", "count")
        events = Events(*(np.insert(getattr(rest, name), at, getattr(first, name)) for name in columns))
        faults = context.trace.retranslations.position.astype(np.int64)
        timeline = Timeline(events.position, events.kind, events.address, events.count, faults, context.tb)
        parameters, fresh = _parameters(context, half)
        progress = Progress(np.array([0, 0, 0, 0, fresh, 0]), np.zeros(2))
        on_lines = np.bincount(pairs.code, minlength=pairs.of_code.size)
        rows_of_tb = np.array([on_lines[first : last + 1].sum() for first, last in spans.tolist()], np.int64)
        rows_of_mark = np.diff(pairs.tb_first)[context.tb]
        logs = []
        done = 0
        for words in context.trace.executions():
            tbs = words[words < STOPPED] & UNKNOWN_TB
            marks = (faults >= done - 1) & (faults < done + words.size)
            room = int(rows_of_tb[tbs[tbs < rows_of_tb.size]].sum() + rows_of_mark[marks].sum())
            log = AccessLog(np.empty(room, np.int64), np.empty(room, np.int64), *np.empty((4, room)))
            simulation = Simulation(code, data, pairs, timeline, parameters, progress, log)
            rows = follow(words, spans, layout.sizes, simulation)
            logs.append([column[:rows] for column in log])
            done += words.size
        if (mark := int(progress.numbers[2])) < faults.size:
            raise InputError(f"position {faults[mark]}", place=f"retranslation {mark}", expected=f"one below {done}")
        self._log = AccessLog(*(np.concatenate(column) for column in zip(*logs, strict=True)))
        self.misses = int(progress.numbers[5])
        self.time, self.lines = progress.time.tolist()

    def rows(self, per_line: float) -> UnitRows:
        """The rows of each unit, from those of its line pair; ``per_line``: cycles for refills, per line accessed."""
        log, context = self._log, self._context
        order = np.argsort(log.pair, kind="stable")
        bounds = np.searchsorted(log.pair[order], np.arange(self._pairs.code.size + 1))
        rows = [order[bounds[pair] : bounds[pair + 1]] for pair in self._pair]
        which = np.concatenate(rows) if rows else np.empty(0, np.int64)
        unit = np.repeat(np.arange(self._tb.size), [len(some) for some in rows])
        who = log.who[which]
        fault = np.maximum(-1 - who, 0)
        changes = who < 0
        if context.tb.size:
            changes &= (context.tb[fault] == self._tb[unit]) & (self._access[unit] < context.accesses[fault])
        return UnitRows(
            firsts=np.cumsum([0, *map(len, rows)]),
            run=who == self._tb[unit],
            rewritten=np.where(changes, fault, -1),
            time=log.time[which] + per_line * log.lines[which],
            code=log.code[which],
            data=log.data[which],
        )


def _line_pairs(context: ReplayContext, code: I64, data: I64, of_tb: I64) -> LinePairs:
    """The pairs of an instruction line and a data line; ``of_tb``: TB and pair, ascending."""
    layout, host = context.layout, context.host
    of_code, next_of_code = _linked(code, layout.used // host.icache.line + 1)
    of_data, next_of_data = _linked(data, layout.used // host.dcache.line + 1)
    return LinePairs(
        of_code,
        next_of_code,
        of_data,
        next_of_data,
        tb_first=np.searchsorted(of_tb[0], np.arange(len(layout.sizes) + 1)),
        of_tb=of_tb[1],
        code=code,
        data=data,
        code_brought=np.zeros(code.size, np.int64),
        data_brought=np.zeros(code.size, np.int64),
        code_lost=np.zeros(code.size, np.uint8),
        data_lost=np.zeros(code.size, np.uint8),
    )


def _linked(lines: I64, count: int) -> tuple[I64, I64]:
    """The first pair of each line, and the next one of each pair; -1 for none."""
    first, following = np.full(count, -1, np.int64), np.full(lines.size, -1, np.int64)
    for pair in range(lines.size - 1, -1, -1):
        following[pair] = first[lines[pair]]
        first[lines[pair]] = pair
    return first, following


def _sets(cache: Cache, allocates: bool, seed: int) -> CacheSets:
    """An empty cache."""
    shape = cache.sets, cache.ways
    return CacheSets(
        np.full(shape, -1, np.int32),
        np.full(cache.sets, -1, np.int32),
        np.zeros(cache.sets, np.int64),
        np.zeros(shape, np.int64),
        np.array([POLICIES.index(cache.replacement), allocates, 0, seed], np.uint64),
    )


def _parameters(context: ReplayContext, half: int) -> tuple[SimulationParameters, int]:
    """Where everything lies and how long it takes, as in a replay; and the guest's first data line."""
    host, prices, layout = context.host, context.prices, context.layout
    lines = context.parameters.caches
    memory = MemoryMap.behind(layout.used, host, lines)
    parameters = SimulationParameters(
        code_bits=host.icache.line.bit_length() - 1,
        data_bits=host.dcache.line.bit_length() - 1,
        translator_code=memory.translator_code // host.icache.line,
        translator_code_lines=lines.translator_code_lines,
        translator_data=memory.translator_data // host.dcache.line,
        translator_data_lines=lines.translator_data_lines,
        guest=lines.guest_data_lines,
        per_byte=prices.executed(1_000_000).nominal / 1_000_000,
        translator=prices.translation(float(layout.sizes.mean() if layout.sizes.size else 0)),
        half=half,
    )
    return parameters, memory.guest_data // host.dcache.line
