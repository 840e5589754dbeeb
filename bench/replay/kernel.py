"""The caches of one core, driven by a recorded execution and by what a strategy does at its retranslations.

The model
---------
L1 instruction cache, L1 data cache and, where the host has one, a unified L2;
all physically indexed, each a set-associative cache of lines:

* An access of a TB is one access to each of its lines, in address order.
* A miss reads the line from the L2, then takes a frame of its own cache: an
  invalid one (the lowest way) if the set has any, else the victim's.  A miss in
  the L2 reads memory in the same way.  An L2 line longer or shorter than that
  of the L1 serves several L1 lines, or is one of several that an L1 line needs.
* The L2 neither includes nor excludes what the L1 caches hold.
* A victim that is dirty is written to the next level after the fill.  A line
  written to the L2 that misses there takes a frame without reading memory.
* ``lru``: the victim is the line least recently accessed.  ``plru``: a binary
  tree per set, whose nodes point away from the half accessed last.
  ``round-robin``: a counter per set, which moves when it has named a victim.
  ``random``: a xorshift generator per set, which steps when it names a victim;
  one per set, so that what happens in one set does not change another's luck,
  and the difference of two replays is that of their events.
* A store hits, or allocates if the cache does on writes, or is passed on to the
  next level; under write-through every store is passed on.  Where the host's
  ``snoop`` is ``all`` it drops the lines of the instruction cache that it touches.
* The recorded thread is not told apart: one core runs them all.

Addresses are bytes.  The code buffer begins at 0; the translator's own code and
data follow it, and then the guest's data, which no trace records: a sweep over
lines never touched before stands for their pressure.

How it is fast
--------------
What makes no difference is left out, once for all simulations (``bench/replay/accesses.py``).
Which way holds a line is looked up in a directory, a byte per line of the code
buffer and of the translator, not searched.  The order of up to 16 ways is one
64-bit word (a list of 4-bit way numbers, the last accessed one lowest), so that
neither a hit nor a miss loops over the ways.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.errors import InputError
from bench.hosts.profile import Cache, Host
from bench.jit import inlined, lean_kernel
from bench.processors import processors
from bench.replay.accesses import GUEST_DATA, Accesses, Piece
from bench.replay.parameters import CacheParameters

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64
Geometry: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]

# --------------------------------------------------------------------------- what is asked


class Kind(enum.IntEnum):
    """What happens at an event; lines are those of the cache in question, and successive.

    ``STORE``           one store into each of ``count`` data lines
    ``LOAD``            one load from each of ``count`` data lines
    ``CLEAN``           write each of ``count`` data lines that is dirty to the next level; it stays, clean
    ``INVALIDATE``      drop each of ``count`` instruction lines
    ``INVALIDATE_ALL``  drop every instruction line (address and count do not matter)
    ``TRANSLATE``       the translator runs ``count`` times over its own code and data (the address does not matter)

    A flush of the whole code buffer is a ``CLEAN`` and an ``INVALIDATE`` of all its lines.
    """

    STORE = 0
    LOAD = 1
    CLEAN = 2
    INVALIDATE = 3
    INVALIDATE_ALL = 4
    TRANSLATE = 5


@dataclass(frozen=True, slots=True)
class Events:
    """What a strategy makes the caches do, in time order: arrays of equal length.

    ``position``  index of the execution after which it happens, ascending; -1: before the first
    ``kind``      a ``Kind``
    ``address``   a byte of the first line
    ``count``     lines (``TRANSLATE``: runs)
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


def lines_spanned(address: I64, size: I64, line: int) -> I64:
    """How many lines of ``line`` bytes the ``size`` >= 1 bytes from each ``address`` on touch: an event's ``count``."""
    return (address + size - 1) // line - address // line + 1


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay counted.

    ``executions`` are TBs that ran, ``stopped`` those announced that did not,
    ``unknown`` those whose translation is not in the trace (they touch nothing).

    Accesses, in lines, by who makes them: ``code`` (TBs), ``translator_code``,
    ``translator_data``, ``load`` and ``store`` (events), ``guest_data`` (the sweep).
    ``..._misses`` missed in the L1; ``..._memory`` of these were filled from memory,
    the others from the L2.  A store that is passed on fills nothing.

    ``passed_on``     stores passed on to the next level
    ``written_back``  dirty data lines written to the next level because another line took their frame
    ``cleaned``       dirty data lines written to the next level by a ``CLEAN``
    ``invalidated``   instruction lines that an ``INVALIDATE`` or ``INVALIDATE_ALL`` found and dropped
    ``snooped``       instruction lines that a store dropped
    ``memory_writes`` writes that reached memory, from the last level of cache
    """

    executions: int
    stopped: int
    unknown: int
    code_lines: int
    code_misses: int
    code_memory: int
    translator_code_lines: int
    translator_code_misses: int
    translator_code_memory: int
    translator_data_lines: int
    translator_data_misses: int
    translator_data_memory: int
    load_lines: int
    load_misses: int
    load_memory: int
    store_lines: int
    store_misses: int
    store_memory: int
    guest_data_lines: int
    guest_data_misses: int
    guest_data_memory: int
    passed_on: int
    written_back: int
    cleaned: int
    invalidated: int
    snooped: int
    memory_writes: int

    def __sub__(self, baseline: Counts) -> Counts:
        """What came on top of ``baseline``, a replay of the same trace without these events.

        ``code_misses`` is then the refills that the events caused; it can be negative where they spared some.
        """
        return Counts(*(a - b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(baseline), strict=True)))


# --------------------------------------------------------------------------- the state and its layout

REPLACEMENTS = ("lru", "plru", "round-robin", "random")
_LRU, _PLRU, _ROUND_ROBIN, _RANDOM = range(4)
MOST_WAYS = {"lru": 16, "plru": 64, "round-robin": 64, "random": 64}
"""The order of a set's ways is one 64-bit word, and so is the set of its invalid ways."""

# A cache's part of the arrays and its shape.
_DIRECTORY, _DENSE, _SETS, _FRAMES, _MASK, _WAYS, _POLICY, _LEVELS, _LINE_BITS = range(9)
# The words of a set.
_ORDER, _INVALID_WAYS, _DIRTY_WAYS = range(3)

_NAMES = tuple(counter.name for counter in dataclasses.fields(Counts))
# Of numpy's type, since numba would compile a function anew for each Python constant that it is given.
_CODE, _TRANSLATOR_CODE, _TRANSLATOR_DATA, _LOAD, _STORE, _GUEST = (
    np.int64(_NAMES.index(f"{who}_lines"))
    for who in ("code", "translator_code", "translator_data", "load", "store", "guest_data")
)
# Of a source: its lines, and after them
_MISSES, _MEMORY = 1, 2
_PASSED_ON, _WRITTEN_BACK, _CLEANED, _INVALIDATED, _SNOOPED, _MEMORY_WRITES = map(
    _NAMES.index, ("passed_on", "written_back", "cleaned", "invalidated", "snooped", "memory_writes")
)

# What a replay carries from piece to piece.
_EVENT, _FRESH = range(2)

_ABSENT = np.uint8(0xFF)
_NOWHERE = np.int64(_ABSENT)
_NO_TAG = np.uint32(0xFFFF_FFFF)
_NO_LINE = np.int64(-1)
_READ, _WRITE = np.int64(0), np.int64(1)
_LANES = np.uint64(0x1111_1111_1111_1111)
_TOPS = np.uint64(0x8888_8888_8888_8888)
_ZERO, _ONE, _THREE, _FOUR, _NIBBLE = (np.uint64(value) for value in (0, 1, 3, 4, 15))
_SHIFTS = tuple(np.uint64(value) for value in (13, 7, 17))
_HALF = np.uint64(32)

# --------------------------------------------------------------------------- replacement: one set's order


@inlined
def _to_front(order: Word, way: Word) -> Word:
    """The list of 4-bit way numbers ``order`` with ``way`` moved to the lowest place."""
    lanes = order ^ (way * _LANES)
    zero = (lanes - _LANES) & ~lanes & _TOPS
    # The lowest bit set marks the lowest lane that equals the way; higher ones may be borrows.
    lane = (zero & (~zero + _ONE)) >> _THREE
    below = lane - _ONE
    return (order & ~(below | (lane * _NIBBLE))) | ((order & below) << _FOUR) | way


@inlined
def _away(order: Word, way: Int, levels: Int) -> Word:
    """The tree ``order`` (bit n: node n, 1 = the upper half) with the nodes above ``way`` pointing away from it."""
    node: Int = 1
    for level in range(levels - 1, -1, -1):
        half = (way >> level) & 1
        bit = _ONE << np.uint64(node)
        order = (order & ~bit) if half else (order | bit)
        node = 2 * node + half
    return order


@inlined
def _touched(policy: Int, levels: Int, order: Word, way: Int) -> Word:
    """The order of a set after an access to ``way``."""
    if policy == _LRU:
        order = _to_front(order, np.uint64(way))
    elif policy == _PLRU:
        order = _away(order, way, levels)
    return order


@inlined
def _victim(policy: Int, ways: Int, levels: Int, order: Word) -> tuple[Int, Word]:
    """The way that a full set gives up, and its order afterwards."""
    way: Int = 0
    if policy == _LRU:
        last = np.uint64(4 * (ways - 1))
        number = (order >> last) & _NIBBLE
        order = ((order & ((_ONE << last) - _ONE)) << _FOUR) | number
        way = np.int64(number)
    elif policy == _PLRU:
        node: Int = 1
        for _ in range(levels):
            node = 2 * node + np.int64((order >> np.uint64(node)) & _ONE)
        way = node - ways
        order = _away(order, way, levels)
    elif policy == _ROUND_ROBIN:
        way = np.int64(order)
        order = order + _ONE if way + 1 < ways else _ZERO
    else:
        order ^= order << _SHIFTS[0]
        order ^= order >> _SHIFTS[1]
        order ^= order << _SHIFTS[2]
        way = np.int64(((order >> _HALF) * np.uint64(ways)) >> _HALF)
    return way, order


# --------------------------------------------------------------------------- one cache


@inlined
def _at(index: Int) -> Word:
    """``index``, which is not negative, so that no code is spent on counting from the end."""
    return np.uint64(index)


@inlined
def _fill(sets: U64, tags: U32, ways_of: U8, cache: Geometry, line: Int, dirty: Int) -> Int:
    """Put ``line``, which is absent, into ``cache``; the dirty line that lost its frame, or -1."""
    index = line & cache[_MASK]
    row = _at(cache[_SETS] + index)
    order = sets[row, _ORDER]
    invalid = sets[row, _INVALID_WAYS]
    way: Int = 0
    if invalid == _ZERO:
        way, order = _victim(cache[_POLICY], cache[_WAYS], cache[_LEVELS], order)
    else:
        while (invalid >> np.uint64(way)) & _ONE == _ZERO:
            way += 1
        order = _touched(cache[_POLICY], cache[_LEVELS], order, way)
    bit = _ONE << np.uint64(way)
    was_dirty = sets[row, _DIRTY_WAYS] & bit
    sets[row, _ORDER] = order
    sets[row, _INVALID_WAYS] = invalid & ~bit
    sets[row, _DIRTY_WAYS] = (sets[row, _DIRTY_WAYS] & ~bit) | (np.uint64(dirty) << np.uint64(way))
    frame = _at(cache[_FRAMES] + index * cache[_WAYS] + way)
    old = np.int64(tags[frame])
    tags[frame] = np.uint32(line)
    # Lines beyond the directory, and no line, share its last entry, which nobody reads.
    ways_of[_at(cache[_DIRECTORY] + min(int(old), cache[_DENSE]))] = _ABSENT
    ways_of[_at(cache[_DIRECTORY] + min(int(line), cache[_DENSE]))] = np.uint8(way)
    return old if was_dirty else _NO_LINE


@inlined
def _way(tags: U32, ways_of: U8, cache: Geometry, line: Int) -> Int:
    """The way of ``cache`` that holds ``line``, or 255."""
    way: Int = _NOWHERE
    if line < cache[_DENSE]:
        way = np.int64(ways_of[cache[_DIRECTORY] + line])
    else:
        first = cache[_FRAMES] + (line & cache[_MASK]) * cache[_WAYS]
        for other in range(cache[_WAYS]):
            if tags[first + other] == np.uint32(line):
                way = other
    return way


@inlined
def _touch(sets: U64, cache: Geometry, line: Int, way: Int, dirty: Int) -> None:
    """An access to ``line`` where ``way`` holds it."""
    row = _at(cache[_SETS] + (line & cache[_MASK]))
    if cache[_POLICY] <= _PLRU:
        sets[row, _ORDER] = _touched(cache[_POLICY], cache[_LEVELS], sets[row, _ORDER], way)
    if dirty:
        sets[row, _DIRTY_WAYS] |= _ONE << np.uint64(way)


@inlined
def _drop(sets: U64, tags: U32, ways_of: U8, cache: Geometry, line: Int) -> Int:
    """Invalidate ``line``, one in the directory; 1 if it was there."""
    way = np.int64(ways_of[cache[_DIRECTORY] + line])
    found = way != _NOWHERE
    if found:
        index = line & cache[_MASK]
        sets[cache[_SETS] + index, _INVALID_WAYS] |= _ONE << np.uint64(way)
        tags[cache[_FRAMES] + index * cache[_WAYS] + way] = _NO_TAG
        ways_of[cache[_DIRECTORY] + line] = _ABSENT
    return np.int64(found)


@inlined
def _missed(sets: U64, tags: U32, ways_of: U8, cache: Geometry, line: Int, counts: I64) -> Int:
    """Read ``line``, one in the directory, filling it if it is absent; 1 if it was."""
    way = np.int64(ways_of[_at(cache[_DIRECTORY] + line)])
    missed = way == _NOWHERE
    if missed:
        if _fill(sets, tags, ways_of, cache, line, 0) != _NO_LINE:
            counts[_MEMORY_WRITES] += 1
    else:
        _touch(sets, cache, line, way, 0)
    return np.int64(missed)


# --------------------------------------------------------------------------- two levels


@lean_kernel
def _next_level(
    sets: U64, tags: U32, ways_of: U8, l2: Geometry, line: Int, line_bits: Int, dirty: Int, counts: I64
) -> Int:
    """Read or (``dirty``) write an L1 line at the next level; 1 if that took memory, 0 if the L2 held it."""
    memory = 0
    if l2[_WAYS] == 0:
        memory = 1
        counts[_MEMORY_WRITES] += dirty
    else:
        shorter = max(line_bits - l2[_LINE_BITS], 0)
        longer = max(l2[_LINE_BITS] - line_bits, 0)
        first = (line << shorter) >> longer
        for below in range(first, first + (1 << shorter)):
            way = _way(tags, ways_of, l2, below)
            if way != _NOWHERE:
                _touch(sets, l2, below, way, dirty)
            else:
                memory = 1
                if _fill(sets, tags, ways_of, l2, below, dirty) != _NO_LINE:
                    counts[_MEMORY_WRITES] += 1
    return memory


@inlined
def _fetch(
    sets: U64, tags: U32, ways_of: U8, icache: Geometry, l2: Geometry, line: Int, source: Int, counts: I64
) -> None:
    """Fetch an instruction line."""
    counts[source] += 1
    way = _way(tags, ways_of, icache, line)
    if way != _NOWHERE:
        _touch(sets, icache, line, way, 0)
    else:
        counts[source + _MISSES] += 1
        counts[source + _MEMORY] += _next_level(sets, tags, ways_of, l2, line, icache[_LINE_BITS], _READ, counts)
        _fill(sets, tags, ways_of, icache, line, 0)


@lean_kernel
def _load(
    sets: U64, tags: U32, ways_of: U8, dcache: Geometry, l2: Geometry, line: Int, dirty: Int, source: Int, counts: I64
) -> None:
    """Load a data line, or (``dirty``) allocate and store to it."""
    counts[source] += 1
    way = _way(tags, ways_of, dcache, line)
    if way != _NOWHERE:
        _touch(sets, dcache, line, way, dirty)
    else:
        counts[source + _MISSES] += 1
        counts[source + _MEMORY] += _next_level(sets, tags, ways_of, l2, line, dcache[_LINE_BITS], _READ, counts)
        old = _fill(sets, tags, ways_of, dcache, line, dirty)
        if old != _NO_LINE:
            counts[_WRITTEN_BACK] += 1
            _next_level(sets, tags, ways_of, l2, old, dcache[_LINE_BITS], _WRITE, counts)


@inlined
def _store(
    sets: U64,
    tags: U32,
    ways_of: U8,
    icache: Geometry,
    dcache: Geometry,
    l2: Geometry,
    write_back: bool,
    write_allocate: bool,
    snoop: bool,
    line: Int,
    counts: I64,
) -> None:
    """Store to a data line."""
    held = _way(tags, ways_of, dcache, line) != _NOWHERE
    if held or write_allocate:
        _load(sets, tags, ways_of, dcache, l2, line, np.int64(write_back), _STORE, counts)
    else:
        counts[_STORE] += 1
        counts[_STORE + _MISSES] += 1
    if not (write_back and (held or write_allocate)):
        counts[_PASSED_ON] += 1
        _next_level(sets, tags, ways_of, l2, line, dcache[_LINE_BITS], _WRITE, counts)
    if snoop:
        first = (line << dcache[_LINE_BITS]) >> icache[_LINE_BITS]
        last = (((line + 1) << dcache[_LINE_BITS]) - 1) >> icache[_LINE_BITS]
        for dropped in range(first, last + 1):
            counts[_SNOOPED] += _drop(sets, tags, ways_of, icache, dropped)


@inlined
def _clean(sets: U64, tags: U32, ways_of: U8, dcache: Geometry, l2: Geometry, line: Int, counts: I64) -> None:
    """Write a data line to the next level if it is dirty; it stays."""
    way = _way(tags, ways_of, dcache, line)
    if way != _NOWHERE:
        row = dcache[_SETS] + (line & dcache[_MASK])
        bit = _ONE << np.uint64(way)
        if sets[row, _DIRTY_WAYS] & bit:
            sets[row, _DIRTY_WAYS] &= ~bit
            counts[_CLEANED] += 1
            _next_level(sets, tags, ways_of, l2, line, dcache[_LINE_BITS], _WRITE, counts)


@inlined
def _drop_all(sets: U64, tags: U32, ways_of: U8, icache: Geometry) -> Int:
    """Invalidate every line of a cache whose lines are all in the directory; how many there were."""
    dropped: Int = 0
    for frame in range(icache[_FRAMES], icache[_FRAMES] + (icache[_MASK] + 1) * icache[_WAYS]):
        if tags[frame] != _NO_TAG:
            dropped += _drop(sets, tags, ways_of, icache, np.int64(tags[frame]))
    return dropped


@lean_kernel
def _event(
    sets: U64,
    tags: U32,
    ways_of: U8,
    icache: Geometry,
    dcache: Geometry,
    l2: Geometry,
    write_back: bool,
    write_allocate: bool,
    snoop: bool,
    translator: tuple[int, int, int, int],
    kind: Int,
    address: Int,
    count: Int,
    counts: I64,
) -> None:
    """One event; ``translator`` is the first instruction line, their number, the first data line, their number."""
    if kind == _KIND_INVALIDATE_ALL:
        counts[_INVALIDATED] += _drop_all(sets, tags, ways_of, icache)
    elif kind == _KIND_INVALIDATE:
        first = address >> icache[_LINE_BITS]
        for line in range(first, first + count):
            counts[_INVALIDATED] += _drop(sets, tags, ways_of, icache, line)
    elif kind == _KIND_TRANSLATE:
        code, code_lines, data, data_lines = translator
        for _ in range(count):
            for line in range(code, code + code_lines):
                _fetch(sets, tags, ways_of, icache, l2, line, _TRANSLATOR_CODE, counts)
            for line in range(data, data + data_lines):
                _load(sets, tags, ways_of, dcache, l2, line, _READ, _TRANSLATOR_DATA, counts)
    else:
        first = address >> dcache[_LINE_BITS]
        for line in range(first, first + count):
            if kind == _KIND_STORE:
                _store(sets, tags, ways_of, icache, dcache, l2, write_back, write_allocate, snoop, line, counts)
            elif kind == _KIND_LOAD:
                _load(sets, tags, ways_of, dcache, l2, line, _READ, _LOAD, counts)
            else:
                _clean(sets, tags, ways_of, dcache, l2, line, counts)


# Enumerations are objects to numba: the kernels see plain numbers.
_KIND_STORE, _KIND_LOAD, _KIND_CLEAN, _KIND_INVALIDATE, _KIND_INVALIDATE_ALL, _KIND_TRANSLATE = map(int, Kind)
_GUEST_DATA = np.int64(GUEST_DATA)


@lean_kernel
def _advance(
    accesses: U32,
    stops: I64,
    bounds: I64,
    position: I64,
    kind: U8,
    address: I64,
    count: I64,
    sets: U64,
    tags: U32,
    ways_of: U8,
    icache: Geometry,
    dcache: Geometry,
    l2: Geometry,
    write_back: bool,
    write_allocate: bool,
    snoop: bool,
    translator: tuple[int, int, int, int],
    carried: I64,
    counts: I64,
) -> None:
    """Go through one piece of the stream (``bench/replay/accesses.py``)."""
    event = carried[_EVENT]
    fresh = carried[_FRESH]
    shorter = max(icache[_LINE_BITS] - l2[_LINE_BITS], 0)
    longer = max(l2[_LINE_BITS] - icache[_LINE_BITS], 0)
    misses: Int = 0
    memory: Int = 0
    start: Int = 0
    for number in range(bounds.shape[0] + 1):
        end: Int = bounds[number] if number < bounds.shape[0] else accesses.shape[0]
        for at in range(start, end):
            line = np.int64(accesses[at])
            if line == _GUEST_DATA:
                _load(sets, tags, ways_of, dcache, l2, fresh, _READ, _GUEST, counts)
                fresh += 1
            elif _missed(sets, tags, ways_of, icache, line, counts):
                misses += 1
                if l2[_WAYS] == 0:
                    memory += 1
                else:
                    below = (line << shorter) >> longer
                    missed = _missed(sets, tags, ways_of, l2, below, counts)
                    for other in range(below + 1, below + (1 << shorter)):
                        missed |= _missed(sets, tags, ways_of, l2, other, counts)
                    memory += missed
        start = end
        if number < bounds.shape[0]:
            while event < position.shape[0] and position[event] == stops[number]:
                _event(
                    sets, tags, ways_of, icache, dcache, l2, write_back, write_allocate, snoop, translator,
                    np.int64(kind[event]), address[event], count[event], counts,
                )  # fmt: skip
                event += 1
    counts[_CODE + _MISSES] += misses
    counts[_CODE + _MEMORY] += memory
    carried[_EVENT] = event
    carried[_FRESH] = fresh


# --------------------------------------------------------------------------- the whole replay

_PAGE = 1 << 20
"""Bytes; the code buffer, the translator and the guest's data begin at multiples of it."""
MOST_CODE = 1 << 30
"""Bytes; the directory holds a byte for every line of the code buffer in each cache."""


@dataclass(frozen=True, slots=True)
class _Core:
    """The caches of one core, empty, and what ``_advance`` must know of them."""

    sets: U64
    tags: U32
    ways_of: U8
    icache: Geometry
    dcache: Geometry
    l2: Geometry
    translator: tuple[int, int, int, int]
    fresh: int
    most_fresh: int


class _Replay:
    """One simulation: the caches, what has happened to them, and what is still to happen."""

    def __init__(self, host: Host, code_bytes: int, events: Events, parameters: CacheParameters) -> None:
        self.core = _core(host, code_bytes, parameters)
        self._host = host
        self._events = events
        self._carried = np.array([0, self.core.fresh])
        self._counts = np.zeros(len(_NAMES), np.int64)

    def advance(self, piece: Piece) -> None:
        """Go through a piece of the stream."""
        core, events, host = self.core, self._events, self._host
        _advance(
            piece.accesses, piece.stops, piece.bounds, events.position, events.kind, events.address, events.count,
            core.sets, core.tags, core.ways_of, core.icache, core.dcache, core.l2,
            host.dcache.write == "back", host.dcache.write_allocate, host.coherence.snoop.value == "all",
            core.translator, self._carried, self._counts,
        )  # fmt: skip

    def counted(self, accesses: Accesses) -> Counts:
        """The counts, when all pieces have been gone through; raises ``InputError`` for an event after the end."""
        event = int(self._carried[_EVENT])
        if event < len(self._events):
            late = int(self._events.position[event])
            raise InputError(f"position {late}", place=f"event {event}", expected=f"one below {accesses.length}")
        counts = dict(zip(_NAMES, map(int, self._counts), strict=True))
        counts |= {
            "executions": accesses.executions, "stopped": accesses.stopped, "unknown": accesses.unknown,
            "code_lines": accesses.lines,
        }  # fmt: skip
        return Counts(**counts)


def simulate(
    host: Host,
    addresses: I64,
    sizes: I64,
    chunks: Iterable[U32],
    events: Sequence[Events],
    parameters: CacheParameters,
) -> list[Counts]:
    """Replay an execution on ``host``, once with each of ``events``, the caches empty at the start.

    ``addresses`` and ``sizes`` place each TB in the code buffer (bytes, one row
    per TB id, as ``lay_out`` gives them).  ``chunks`` are the execution words in
    order (``Accesses.pieces``).  They are taken once, and one at a time: memory depends on the
    length of the code buffer, not on that of the execution.

    Raises ``InputError`` for a TB outside 0 .. 1 GiB, a word that names no TB,
    events that are out of order, outside 0 .. 1 GiB or after the end, and for
    caches with more ways than ``MOST_WAYS`` says.
    """
    _check_range("TB", addresses, sizes)
    ends = [int((addresses + sizes).max(initial=0))]
    for some in events:
        _check_events(some)
        ends += _event_ends(some, host)
    line = host.icache.line
    spans = np.stack((addresses // line, (addresses + sizes - 1) // line), axis=1).astype(np.uint32)
    replays = [_Replay(host, max(ends), some, parameters) for some in events]
    stops = np.unique(np.concatenate([np.empty(0, np.int64), *(some.position for some in events)]))
    core = replays[0].core
    accesses = Accesses(spans, host.icache.sets, stops, parameters.guest_data_lines, core.most_fresh - core.fresh)
    # The kernels run without the interpreter's lock: the next piece is made while this one is gone through.
    with ThreadPoolExecutor(min(2, processors())) as pool:
        pending: list[Future[None]] = []
        for piece in accesses.pieces(chunks):
            for future in pending:
                future.result()
            pending = [pool.submit(replay.advance, piece) for replay in replays]
        for future in pending:
            future.result()
    return [replay.counted(accesses) for replay in replays]


def _check_range(what: str, addresses: I64, sizes: I64) -> None:
    bad = np.flatnonzero((addresses < 0) | (sizes < 1) | (sizes > MOST_CODE) | (addresses > MOST_CODE - sizes))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"{sizes[row]} bytes at {addresses[row]}", place=f"{what} {row}",
            expected=f"at least one byte, within 0 .. {MOST_CODE}",
        )  # fmt: skip


def _check_events(events: Events) -> None:
    """Order, kinds and counts; the ranges are ``_event_ends``'s to check."""
    previous = np.concatenate((np.full(min(1, len(events)), -1), events.position[:-1]))
    for bad, found, expected in (
        (events.position < previous, events.position, "ascending positions from -1 on"),
        (events.kind >= len(Kind), events.kind, f"a kind below {len(Kind)}"),
        ((events.count < 0) | (events.count > MOST_CODE), events.count, f"a count within 0 .. {MOST_CODE}"),
    ):
        rows = np.flatnonzero(bad)
        if rows.size:
            raise InputError(str(found[rows[0]]), place=f"event {int(rows[0])}", expected=expected)


def _event_ends(events: Events, host: Host) -> list[int]:
    """How far the events reach into the code buffer, in bytes."""
    ends = []
    for kinds, line in (
        ((Kind.STORE, Kind.LOAD, Kind.CLEAN), host.dcache.line),
        ((Kind.INVALIDATE,), host.icache.line),
    ):
        rows = np.flatnonzero(np.isin(events.kind, kinds) & (events.count > 0))
        first = events.address[rows] // line * line
        length = events.count[rows] * line
        _check_range(f"{'/'.join(kind.name for kind in kinds)} event", first, length)
        ends.append(int((first + length).max(initial=0)))
    return ends


def _core(host: Host, code_bytes: int, parameters: CacheParameters) -> _Core:
    """Empty caches of ``host`` and the addresses of everything behind ``code_bytes`` of code buffer."""
    caches = [host.icache, host.dcache] + ([host.l2] if host.l2 else [])
    page = max(_PAGE, *(cache.line for cache in caches))
    code = -(-code_bytes // page) * page
    data = -(-(code + parameters.translator_code_lines * host.icache.line) // page) * page
    fresh = -(-(data + parameters.translator_data_lines * host.dcache.line) // page) * page

    geometries: list[Geometry] = []
    directory = row = frame = 0
    words = []
    for name, cache in zip(("icache", "dcache", "l2"), caches, strict=False):
        if cache.ways > MOST_WAYS[cache.replacement]:
            raise InputError(
                f"{cache.ways} ways, {cache.replacement}", file=host.name, place=f"{name}.ways",
                expected=f"at most {MOST_WAYS[cache.replacement]}",
            )  # fmt: skip
        dense = fresh // cache.line
        policy = REPLACEMENTS.index(cache.replacement)
        levels = cache.ways.bit_length() - 1
        bits = cache.line.bit_length() - 1
        geometries.append((directory, dense, row, frame, cache.sets - 1, cache.ways, policy, levels, bits))
        words.append(_set_words(cache))
        directory += dense + 1
        row += cache.sets
        frame += cache.sets * cache.ways
    sets = np.concatenate(words)
    # A bit generator's raw stream is the same in every version of numpy; a xorshift must not start at 0.
    luck = np.random.PCG64(parameters.seed).random_raw(row) | 1
    for _, _, first, _, mask, _, policy, _, _ in geometries:
        if policy == _RANDOM:
            sets[first : first + mask + 1, _ORDER] = luck[first : first + mask + 1]

    return _Core(
        sets=sets,
        tags=np.full(frame, _NO_TAG),
        ways_of=np.full(directory, _ABSENT),
        icache=geometries[0],
        dcache=geometries[1],
        l2=geometries[2] if host.l2 else (0,) * 9,
        translator=(
            code // host.icache.line, parameters.translator_code_lines,
            data // host.dcache.line, parameters.translator_data_lines,
        ),
        fresh=fresh // host.dcache.line,
        # Line numbers, of the cache with the shortest lines too, must stay below the number that means none.
        most_fresh=int(_NO_TAG) * min(cache.line for cache in caches) // host.dcache.line,
    )  # fmt: skip


def _set_words(cache: Cache) -> U64:
    """The words of a cache's sets: way n is n-th in the order, every way is invalid, none is dirty."""
    order = sum(way << 4 * way for way in range(cache.ways)) if cache.replacement == "lru" else 0
    return np.tile(np.array([order, (1 << cache.ways) - 1, 0], np.uint64), (cache.sets, 1))
