"""The caches of one core under a recorded execution and the events of several strategies, simulated at once.

The model
---------
L1 instruction cache, L1 data cache and, where the host has one, a unified L2;
all physically indexed and set-associative:

* The execution of a TB accesses each of its lines once, in address order.
* A miss reads the line from the L2, then takes a frame of its own cache (``policies.py``).  A miss in
  the L2 reads memory in the same way.  An L2 line longer or shorter than that
  of the L1 serves several L1 lines, or is one of several that an L1 line needs.
* The L2 is neither inclusive nor exclusive.
* A victim that is dirty is written to the next level after the fill.  A line
  written to the L2 that misses there takes a frame without reading memory.
* A store hits, or allocates if the cache is write-allocate, or is passed on to the
  next level; under write-through every store is passed on.  Where the host's
  ``snoop`` is ``all``, a store drops the lines of the instruction cache that it touches.
* One core runs all recorded threads.

Addresses are bytes.  The code buffer begins at 0; the translator's own code and
data follow it, then the guest's data, which no trace records: a sweep over lines
that were never accessed before models their pressure.

Several simulations
-------------------
Simulations of one execution, the *variants*, differ in few sets and for a limited time after their events.  A set is
simulated once, in variant 0, for all variants that ``differs`` does not name; a variant named there has a copy of its
own, until that is equal again.  The counts are those of each variant simulated by itself.

Where a hit changes nothing, under random and round-robin replacement, a code line that every variant holds is
*settled*, one bit for each line: an execution finds in one word that all lines of a TB are, and skips them.

What happens in every execution is compiled with the policies and the ways as constants, anew for each combination of
them (``advance_with``); everything else takes them from ``numbers``, and so does all of a short simulation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.caches.counts import Counts
from bench.caches.events import EventKind
from bench.caches.policies import DIRTY, HIT, MOST_LINES, NOTHING, RANDOM, UNMOVED, access, drop, find, replace
from bench.support.kernels import expanded, large_kernel, part
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import I64, U32, U64

U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64

COUNTERS = tuple(counter.name for counter in dataclasses.fields(Counts))


def _counter(name: str) -> Any:
    """The number of a counter: a numpy integer, since numba would compile a function anew for each Python constant."""
    return np.int64(COUNTERS.index(name))


_CODE, _TRANSLATOR_CODE, _TRANSLATOR_DATA, _LOAD, _STORE, _GUEST = (
    _counter(f"{source}_lines")
    for source in ("code", "translator_code", "translator_data", "load", "store", "guest_data")
)
# The offsets of a source's misses and memory fills from its lines.
_MISSES, _MEMORY = np.int64(1), np.int64(2)
_EXECUTIONS, _STOPPED, _UNKNOWN, _PASSED_ON, _WRITTEN_BACK, _CLEANED, _INVALIDATED, _SNOOPED, _MEMORY_WRITES = (
    _counter(name)
    for name in (
        *("executions", "stopped", "unknown"),
        *("passed_on", "written_back", "cleaned", "invalidated", "snooped", "memory_writes"),
    )
)
_EVERY_LINE, _EACH, _NONE = np.int64(MOST_LINES + 1), np.int64(-1), np.int64(0)
_ZERO, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFF_FFFF_FFFF_FFFF)
FREE = np.uint64(1 << 63)
"""In ``differs``: a frame of the set may be free in variant 0."""
_WORD_BITS, _IN_WORD = np.int64(6), np.int64(63)
# The number of the lowest bit of a word, by the top bits of that bit's product with a de Bruijn sequence.
_SEQUENCE, _TOP = np.uint64(0x03F7_9D71_B4CB_0A89), np.uint64(58)
_LOWEST = np.zeros(64, np.int64)
_LOWEST[[(int(_SEQUENCE) << bit & int(_ALL)) >> int(_TOP) for bit in range(64)]] = range(64)
_UNMARKED = np.uint32(0)
_RANDOM = np.int64(RANDOM)
_PER_THOUSAND = 1000
_STOPPED_FROM, _TB, _UNKNOWN_TB = np.uint32(STOPPED), np.uint32(UNKNOWN_TB), np.int64(UNKNOWN_TB)
# numba compiles plain numbers, not enumerations.
_KIND_STORE, _KIND_LOAD, _KIND_CLEAN, _KIND_INVALIDATE, _KIND_INVALIDATE_ALL, _KIND_TRANSLATE, _KIND_PROBE = (
    np.int64(kind) for kind in EventKind
)

# --- state --------------------------------------------------------------------------------------------------------


class Level(NamedTuple):
    """A cache: its first index among the frames and the sets of a variant, and its shape.

    ``mask``: sets - 1; ``line_bits``: binary logarithm of the bytes of a line; ``seed`` of random replacement.
    ``tracked``: the lines below it may be settled.
    """

    frames: int
    sets: int
    mask: int
    ways: int
    policy: int
    line_bits: int
    seed: int
    tracked: int


class Shape(NamedTuple):
    """What is constant in a simulation besides the caches.

    ``sets``, ``frames``: of all caches of a variant; ``levels``: 2 without an L2, else 3.  ``code``, ``data``: the
    translator's first lines, and how many.  ``mask``, ``part``, ``code_shift``, ``data_shift``: only the lines are
    simulated whose bits ``mask``, after ``shift``, are ``part``.  ``guest``: data lines per 1000 executions.
    """

    variants: int
    sets: int
    frames: int
    levels: int
    write_back: int
    write_allocate: int
    snoop: int
    code: int
    code_lines: int
    data: int
    data_lines: int
    mask: int
    part: int
    code_shift: int
    data_shift: int
    guest: int


class CacheState(NamedTuple):
    """The caches of one core in several variants: few and flat arrays, since each array is seven arguments of a call.

    ``frames`` (variant, frame) and ``words`` (variant, set) of the instruction cache, the data cache and the L2 in
    this order; entries of another variant than 0 are valid only where ``differs`` (set) has its bit.  Where a hit
    changes nothing, ``differs`` is 0 only if no frame is free (``FREE``): a line that is not settled replaces another
    then.  ``taken`` (variant): the dirty line that the last access replaced; ``evicted``: the same of an L1, while the
    L2 is accessed.
    ``settled`` (word, cache): a bit for each line: every variant holds it; in a set that ``differs`` for none, all of
    those that are held.  ``counts`` (variant, counter), with a last row for what all variants have in common.
    ``numbers``: a ``Shape``, then three ``Level``.
    """

    frames: U32
    words: U64
    differs: U64
    taken: U32
    evicted: U32
    settled: U64
    counts: I64
    numbers: I64


class Streams(NamedTuple):
    """Events of all variants, in streams one behind the other, each in time order; columns as in ``Events``.

    ``lines`` is what is ``count`` there.  ``ends`` of each stream, the ``variants`` that it is part of, bit by bit,
    and its ``layer``, ascending: of the events after one execution those of the lower layer come first.  No variant
    has two streams of a layer.
    """

    position: I64
    kind: U8
    address: I64
    lines: I64
    ends: I64
    variants: U64
    layers: I64


class Carried(NamedTuple):
    """What goes from chunk to chunk: executions and lines so far, thousandths of a guest data line, the next line."""

    position: int
    lines: int
    thousandths: int
    fresh: int


# Where ``numbers`` has what.
_COLUMNS = np.int64(len(COUNTERS))
_CACHES = np.int64(3)
_ICACHE, _DCACHE, _L2 = (np.int64(level) for level in range(_CACHES))


def _at(name: str) -> Any:
    return np.int64(Shape._fields.index(name))


_VARIANTS, _SETS, _FRAMES, _LEVELS, _WRITE_BACK, _WRITE_ALLOCATE, _SNOOP = map(_at, Shape._fields[:7])
_TRANSLATED, _TRANSLATED_LINES, _TRANSLATOR_TABLES, _TRANSLATOR_TABLE_LINES = map(_at, Shape._fields[7:11])
_MASK, _PART, _CODE_SHIFT, _DATA_SHIFT, _GUEST_LINES = map(_at, Shape._fields[11:])
_FIRST_LEVEL, _PER_LEVEL = np.int64(len(Shape._fields)), np.int64(len(Level._fields))
_LEVEL_FRAMES, _LEVEL_SETS, _LEVEL_MASK, _LEVEL_WAYS, _LEVEL_POLICY, _LEVEL_BITS, _LEVEL_SEED, _LEVEL_TRACKED = (
    np.int64(number) for number in range(len(Level._fields))
)


@part
def _everyone(s: CacheState) -> Word:
    """The bit mask of all variants."""
    return (_ONE << np.uint64(s.numbers[_VARIANTS])) - _ONE


@part
def _count(s: CacheState, counter: Int, members: Word, times: Int) -> None:
    """Add ``times`` to a counter of the variants ``members``."""
    variants = s.numbers[_VARIANTS]
    if members == _everyone(s):
        s.counts[variants * _COLUMNS + counter] += times
    elif members != _ZERO:
        for variant in range(variants):
            if (members >> np.uint64(variant)) & _ONE:
                s.counts[variant * _COLUMNS + counter] += times


@expanded
def _word(level: Int, line: Int) -> Word:
    """Where ``settled`` has the bit of a line of a cache."""
    return np.uint64((line >> _WORD_BITS) * _CACHES + level)


@expanded
def _bit(line: Int) -> Word:
    return _ONE << np.uint64(line & _IN_WORD)


@expanded
def _is_settled(s: CacheState, level: Int, line: Int) -> bool:
    return bool(s.settled[_word(level, line)] & _bit(line))


@expanded
def _settle(s: CacheState, level: Int, line: Int, tracked: Int) -> None:
    if line < tracked:
        s.settled[_word(level, line)] |= _bit(line)


@expanded
def _unsettle(s: CacheState, level: Int, line: Int, tracked: Int) -> None:
    if line < tracked:
        s.settled[_word(level, line)] &= ~_bit(line)


# --- where variants differ, or seldom -------------------------------------------------------------------------------


@expanded
def _load(
    policy: Int,
    ways: Int,
    s: CacheState,
    level: Int,
    at: Int,
    first: Int,
    line: Int,
    members: Word,
    dirty: np.uint32,
    now: Int,
) -> tuple[Word, Word]:
    """Bring a line into the set ``at`` of one cache in the variants ``members``, none or all of those that share it.

    ``first``: the set's first frame.  Returns as ``_touch``.
    """
    n = s.numbers
    g = _FIRST_LEVEL + level * _PER_LEVEL
    variants, tracked, seed = n[_VARIANTS], n[g + _LEVEL_TRACKED], n[g + _LEVEL_SEED]
    differs, everyone = s.differs[np.uint64(at)], _everyone(s)
    missed = _ZERO
    evicted = _ZERO
    copies = members & (differs | _ONE)
    variant: Int = 0
    while copies:
        if copies & _ONE:
            frames, word = np.uint64(variant * n[_FRAMES] + first), np.uint64(variant * n[_SETS] + at)
            taken = access(policy, ways, True, s.frames, frames, s.words, word, line, dirty, now, seed)
            if taken != HIT:
                alike = _ONE << np.uint64(variant) if variant else everyone & ~differs
                missed |= alike
                _unsettle(s, level, np.int64(taken >> DIRTY), tracked)
                if taken != NOTHING and taken & DIRTY:
                    evicted |= alike
                    for other in range(variants):
                        if (alike >> np.uint64(other)) & _ONE:
                            s.taken[other] = taken >> DIRTY
        copies >>= _ONE
        variant += 1
    if members == everyone:
        _settle(s, level, line, tracked)
    if differs & FREE:
        differs ^= FREE
        for way in range(ways):
            if s.frames[np.uint64(first + way)] == NOTHING:
                differs |= FREE
        s.differs[np.uint64(at)] = differs
    if differs & ~FREE:
        _rejoin(policy, ways, s, level, at, first)
    return missed, evicted


@expanded
def _rejoin(policy: Int, ways: Int, s: CacheState, level: Int, at: Int, first: Int) -> None:
    """Drop the copies of a set that are equal to that of variant 0 again."""
    n = s.numbers
    differs = s.differs[np.uint64(at)]
    for variant in range(1, n[_VARIANTS]):
        alike = policy == _RANDOM or s.words[np.uint64(variant * n[_SETS] + at)] == s.words[np.uint64(at)]
        if (differs >> np.uint64(variant)) & _ONE and alike:
            frames = np.uint64(variant * n[_FRAMES] + first)
            way: Int = 0
            while way < ways and s.frames[frames + np.uint64(way)] == s.frames[np.uint64(first + way)]:
                way += 1
            if way == ways:
                differs &= ~(_ONE << np.uint64(variant))
    s.differs[np.uint64(at)] = differs
    tracked = n[_FIRST_LEVEL + level * _PER_LEVEL + _LEVEL_TRACKED]
    if differs & ~FREE == _ZERO and tracked:
        for way in range(ways):
            _settle(s, level, np.int64(s.frames[np.uint64(first + way)] >> DIRTY), tracked)


@expanded
def _fetch(
    policy: Int,
    ways: Int,
    s: CacheState,
    level: Int,
    word: Word,
    frames: Word,
    line: Int,
    now: Int,
    seed: Int,
    tracked: Int,
) -> np.uint32:
    """Access an instruction line that is not settled, where ``differs`` is 0; returns as ``access``."""
    if policy in UNMOVED:
        taken = replace(policy, ways, s.frames, frames, s.words, word, line, _UNMARKED, now, seed)
        _unsettle(s, level, np.int64(taken >> DIRTY), tracked)
    else:
        taken = access(policy, ways, level == _L2, s.frames, frames, s.words, word, line, _UNMARKED, now, seed)
    return taken


@part
def _touch(
    s: CacheState, level: Int, kind: Int, line: Int, members: Word, dirty: np.uint32, now: Int
) -> tuple[Word, Word]:
    """Do something to a line of one cache in the variants ``members``.

    ``kind`` ``LOAD``: bring it in, ``dirty`` or as it is.  Returns the variants that missed it, and those of them that
    replaced a dirty line: ``taken`` has it.  ``STORE``: make it ``dirty`` where it is held.  ``CLEAN``, ``INVALIDATE``:
    where it is held dirty, or held.  Returns those variants, and none.
    """
    n = s.numbers
    variants, all_sets, all_frames = n[_VARIANTS], n[_SETS], n[_FRAMES]
    g = _FIRST_LEVEL + level * _PER_LEVEL
    policy, ways, tracked = n[g + _LEVEL_POLICY], n[g + _LEVEL_WAYS], n[g + _LEVEL_TRACKED]
    if line < tracked and kind == _KIND_LOAD and dirty == _UNMARKED and _is_settled(s, level, line):
        return _ZERO, _ZERO
    index = line & n[g + _LEVEL_MASK]
    at, first = n[g + _LEVEL_SETS] + index, n[g + _LEVEL_FRAMES] + index * ways
    differs, everyone = s.differs[at], _everyone(s)
    if kind != _KIND_LOAD:
        held = _ZERO
        for variant in range(variants):
            if variant == 0 or ((differs & members) >> np.uint64(variant)) & _ONE:
                frames = np.uint64(variant * all_frames + first)
                way = find(ways, s.frames, frames, line)
                if way >= 0 and (kind != _KIND_CLEAN or s.frames[frames + np.uint64(way)] & DIRTY):
                    held |= _ONE << np.uint64(variant) if variant else everyone & ~differs
        members &= held
    # Copy the set of variant 0, until all or none of those that share it are members.
    sharing = everyone & ~differs
    within = members & sharing
    if within != _ZERO and within != sharing:
        leaving = sharing & ~members if members & _ONE else within
        for variant in range(1, variants):
            if (leaving >> np.uint64(variant)) & _ONE:
                s.words[np.uint64(variant * all_sets + at)] = s.words[np.uint64(at)]
                for way in range(ways):
                    s.frames[np.uint64(variant * all_frames + first + way)] = s.frames[np.uint64(first + way)]
        differs |= leaving
        s.differs[at] = differs
    if kind in (_KIND_LOAD, _KIND_STORE):
        missed, evicted = _load(policy, ways, s, level, at, first, line, members, dirty, now)
        return (missed if kind == _KIND_LOAD else members), evicted
    for variant in range(variants):
        if ((members & (differs | _ONE)) >> np.uint64(variant)) & _ONE:
            frames = np.uint64(variant * all_frames + first)
            way = find(ways, s.frames, frames, line)
            if kind == _KIND_CLEAN:
                s.frames[frames + np.uint64(way)] &= ~DIRTY
            else:
                drop(policy, ways, s.frames, frames, way)
                s.differs[at] |= FREE if policy in UNMOVED else _ZERO
    if kind == _KIND_INVALIDATE and members:
        _unsettle(s, level, line, tracked)
    _rejoin(policy, ways, s, level, at, first)
    return members, _ZERO


@part
def _do(s: CacheState, level: Int, kind: Int, first: Int, count: Int, members: Word, source: Int, now: Int) -> None:
    """Do something to ``count`` lines of an L1 cache, from ``first`` on, in the variants ``members``.

    Only to lines of this part.  ``kind`` as that of an event; ``source``: whose the accesses are.
    """
    n = s.numbers
    g = _FIRST_LEVEL + level * _PER_LEVEL
    bits, l2_bits = n[g + _LEVEL_BITS], n[_FIRST_LEVEL + _L2 * _PER_LEVEL + _LEVEL_BITS]
    code_bits = n[_FIRST_LEVEL + _LEVEL_BITS]
    shift = n[_DATA_SHIFT if level == _DCACHE else _CODE_SHIFT]
    sets, frames, mask = n[g + _LEVEL_SETS], n[g + _LEVEL_FRAMES], n[g + _LEVEL_MASK]
    ways, tracked = n[g + _LEVEL_WAYS], n[g + _LEVEL_TRACKED]
    maintains = kind in (_KIND_CLEAN, _KIND_INVALIDATE)
    stores = kind == _KIND_STORE
    dirty = np.uint32(stores and n[_WRITE_BACK] != 0)
    for line in range(first, first + count):
        if (line >> shift) & n[_MASK] != n[_PART]:
            continue
        if maintains and s.differs[sets + (line & mask)] & ~FREE == _ZERO:
            # Most lines of a page are not held, or clean.
            if line < tracked and not _is_settled(s, level, line):
                continue
            at = np.uint64(frames + (line & mask) * ways)
            way = find(ways, s.frames, at, line)
            if way < 0 or (kind == _KIND_CLEAN and s.frames[at + np.uint64(way)] & DIRTY == _UNMARKED):
                continue
        done, evicted = _touch(
            s, level, _KIND_LOAD if stores and n[_WRITE_ALLOCATE] else kind, line, members, dirty, now
        )
        reads = _ZERO
        writes = _ZERO
        if kind == _KIND_LOAD or stores:
            if level == _DCACHE:
                _count(s, source, members, 1)
            missed = done
            if not stores or n[_WRITE_ALLOCATE]:
                reads = missed
            else:
                missed = members & ~done
            _count(s, source + _MISSES, missed, 1)
            if stores:
                writes = missed & ~reads if n[_WRITE_BACK] else members
                _count(s, _PASSED_ON, writes, 1)
        elif kind == _KIND_CLEAN:
            writes = done
            _count(s, _CLEANED, done, 1)
        else:
            _count(s, source, done, 1)
        _count(s, _WRITTEN_BACK, evicted, 1)
        # The next level: what was missed, then what it replaced, then what is passed on.
        while reads | evicted | writes:
            lower: Int = line
            who = reads
            marked = _UNMARKED if reads else DIRTY
            if reads == _ZERO:
                who = writes
                if evicted:
                    who = _ZERO
                    for variant in range(n[_VARIANTS]):
                        if (evicted >> np.uint64(variant)) & _ONE:
                            if who == _ZERO:
                                lower = np.int64(s.evicted[variant])
                            if s.evicted[variant] == lower:
                                who |= _ONE << np.uint64(variant)
                    evicted &= ~who
                else:
                    writes = _ZERO
            else:
                # The next level has victims of its own.
                for variant in range(n[_VARIANTS]):
                    s.evicted[variant] = s.taken[variant]
            memory = who
            if n[_LEVELS] == _L2:
                _count(s, _MEMORY_WRITES, who if marked else _ZERO, 1)
            else:
                memory = _ZERO
                shorter = max(bits - l2_bits, 0)
                lower = (lower << shorter) >> max(l2_bits - bits, 0)
                for below in range(lower, lower + (1 << shorter)):
                    missed, replaced = _touch(s, _L2, _KIND_LOAD, below, who, marked, now)
                    memory |= missed
                    _count(s, _MEMORY_WRITES, replaced, 1)
            if reads:
                _count(s, source + _MEMORY, memory, 1)
                reads = _ZERO
        if stores and n[_SNOOP]:
            for dropped in range((line << bits) >> code_bits, ((((line + 1) << bits) - 1) >> code_bits) + 1):
                held, _ = _touch(s, _ICACHE, _KIND_INVALIDATE, dropped, members, _UNMARKED, now)
                _count(s, _SNOOPED, held, 1)


@part
def _drop_all(s: CacheState, members: Word) -> None:
    """Invalidate every instruction line of this part."""
    n = s.numbers
    ways = n[_FIRST_LEVEL + _LEVEL_WAYS]
    for index in range(n[_FIRST_LEVEL + _LEVEL_MASK] + 1):
        for variant in range(n[_VARIANTS]):
            # Where frames are kept in order, the lines behind one that is dropped move up.
            for way in range(ways - 1, -1, -1):
                if variant == 0 or (s.differs[index] >> np.uint64(variant)) & _ONE:
                    frame = s.frames[variant * n[_FRAMES] + index * ways + way]
                    if frame != NOTHING:
                        line = np.int64(frame >> DIRTY)
                        held, _ = _touch(s, _ICACHE, _KIND_INVALIDATE, line, members, _UNMARKED, np.int64(0))
                        _count(s, _INVALIDATED, held, 1)


@expanded
def _probe(s: CacheState, seen: U32, address: Int, row: Int) -> None:
    """Write what the L1 caches of variant 0 hold of the lines at ``address``, if these are of this part.

    ``seen``: (row, cache, what); none where nobody looks at them.
    """
    n = s.numbers
    if seen.shape[0] == 0:
        return
    for level in range(_L2):
        g = _FIRST_LEVEL + level * _PER_LEVEL
        line, ways = address >> n[g + _LEVEL_BITS], n[g + _LEVEL_WAYS]
        if (line >> n[_DATA_SHIFT if level == _DCACHE else _CODE_SHIFT]) & n[_MASK] == n[_PART]:
            index = line & n[g + _LEVEL_MASK]
            first = np.uint64(n[g + _LEVEL_FRAMES] + index * ways)
            full = np.uint32(1)
            for way in range(ways):
                full &= np.uint32(s.frames[first + np.uint64(way)] != NOTHING)
            column = (2 * row + level) * 3
            seen[column] = np.uint32(find(ways, s.frames, first, line) >= 0)
            seen[column + 1] = full
            seen[column + 2] = np.uint32(s.words[n[g + _LEVEL_SETS] + index])


@expanded
def _next_position(t: Streams, next_event: I64) -> Int:
    """The position of the next events, which of each stream are those until ``next_event`` (1, stream)."""
    streams = t.ends.shape[0]
    stop = np.int64(np.iinfo(np.int64).max)
    for stream in range(streams):
        if next_event[stream] < t.ends[stream]:
            stop = min(stop, t.position[next_event[stream]])
    for stream in range(streams):
        event = next_event[stream]
        while event < t.ends[stream] and t.position[event] == stop:
            event += 1
        next_event[streams + stream] = event
    return stop


@expanded
def _take(t: Streams, next_event: I64) -> tuple[Int, Word]:
    """The next event at this position, or -1, and the variants that have it.

    Of the streams of a layer the one that has most left goes first: others wait for what all have.
    """
    streams = t.ends.shape[0]
    first: Int = -1
    most: Int = 0
    for stream in range(streams):
        left = next_event[streams + stream] - next_event[stream]
        if left > most and (first < 0 or t.layers[stream] == t.layers[first]):
            first, most = stream, left
    chosen: Int = -1
    members = _ZERO
    if first >= 0:
        chosen = next_event[first]
        for stream in range(streams):
            event = next_event[stream]
            if (
                t.layers[stream] == t.layers[first]
                and event < next_event[streams + stream]
                and t.kind[event] == t.kind[chosen]
                and t.address[event] == t.address[chosen]
                and t.lines[event] == t.lines[chosen]
            ):
                members |= t.variants[stream]
                next_event[stream] += 1
    return chosen, members


# --- one part of the execution --------------------------------------------------------------------------------------


Advance: TypeAlias = Callable[[CacheState, Streams, U32, U32, I64, I64, U32], Int]


@cache
def advance_with(policy: int, ways: int, data_policy: int, data_ways: int, l2_policy: int, l2_ways: int) -> Advance:
    """``advance``, compiled for the policy and the ways of each cache, the L2's 0 without one; all 0: for any caches.

    ``advance(state, streams, spans, words, carried, next_event, seen)`` simulates one part of a chunk of executions.
    ``spans``: the first and the last instruction line of each TB.  ``words``, bits 0-23: TB id (0xffffff: unknown);
    24-30: thread; 31: stopped at entry, not run.  ``carried`` (as ``Carried``), ``next_event`` (2, stream): the state
    between two chunks.  ``seen``: what probes write.  Returns the index of the first word that names no TB, or -1.
    """

    @large_kernel
    def advance(s: CacheState, t: Streams, spans: U32, words: U32, carried: I64, next_event: I64, seen: U32) -> Int:
        n, everyone = s.numbers, _everyone(s)
        i, d, b = _FIRST_LEVEL, _FIRST_LEVEL + _PER_LEVEL, _FIRST_LEVEL + 2 * _PER_LEVEL
        constant = ways > 0
        code_policy, code_ways = (policy, ways) if constant else (n[i + _LEVEL_POLICY], n[i + _LEVEL_WAYS])
        table_policy, table_ways = (data_policy, data_ways) if constant else (n[d + _LEVEL_POLICY], n[d + _LEVEL_WAYS])
        below_policy, below_ways = (l2_policy, l2_ways) if constant else (n[b + _LEVEL_POLICY], n[b + _LEVEL_WAYS])
        code_mask, code_seed = n[i + _LEVEL_MASK], n[i + _LEVEL_SEED]
        l2_mask, l2_seed = n[b + _LEVEL_MASK], n[b + _LEVEL_SEED]
        l2_sets, l2_frames = n[b + _LEVEL_SETS], n[b + _LEVEL_FRAMES]
        longer = n[b + _LEVEL_BITS] - n[i + _LEVEL_BITS]
        shorter = below_ways != 0 and longer < 0
        code_tracked, l2_tracked = n[i + _LEVEL_TRACKED], n[b + _LEVEL_TRACKED]
        table_tracked = n[d + _LEVEL_TRACKED]
        narrow = code_mask < _IN_WORD
        mask, number, shift = n[_MASK], n[_PART], n[_CODE_SHIFT]
        # The bits that are the same in all of a word, and the lines of a word that are ours by the others.
        inside = mask & ((_IN_WORD + 1 >> min(shift, _WORD_BITS)) - 1)
        outside = mask ^ inside
        ours = _ZERO
        for bit in range(_IN_WORD + 1):
            if (bit >> shift) & inside == number & inside:
                ours |= _ONE << np.uint64(bit)
        common = n[_VARIANTS] * _COLUMNS
        base, lines, credit, fresh = carried[0], carried[1], carried[2], carried[3]
        total = lines
        executions: Int = 0
        stopped: Int = 0
        unknown: Int = 0
        translations: Int = 0
        written: Int = 0
        here: Int = 0
        bad: Int = -1
        stop: Int = -2
        members = everyone
        while True:
            # What is next: the translator's run, an event, or an execution.
            source: Int = _CODE
            misses: Int = 0
            memory: Int = 0
            if translations:
                translations -= 1
                source = _TRANSLATOR_CODE
                first = n[_TRANSLATED]
                last = first + n[_TRANSLATED_LINES] - 1
            else:
                if stop < base + here:
                    event: Int = -1
                    if stop > -2:
                        event, members = _take(t, next_event)
                    if event < 0:
                        stop = _next_position(t, next_event)
                        continue
                    kind, count = np.int64(t.kind[event]), t.lines[event]
                    if kind == _KIND_TRANSLATE:
                        translations = count
                    elif kind == _KIND_INVALIDATE_ALL:
                        _drop_all(s, members)
                    elif kind == _KIND_PROBE:
                        _probe(s, seen, t.address[event], count)
                    else:
                        level = np.int64(_DCACHE)
                        whose = _STORE if kind == _KIND_STORE else _LOAD
                        if kind == _KIND_INVALIDATE:
                            level, whose = _ICACHE, _INVALIDATED
                        line = t.address[event] >> n[_FIRST_LEVEL + level * _PER_LEVEL + _LEVEL_BITS]
                        _do(s, level, kind, line, count, members, whose, lines)
                    continue
                if here == words.shape[0]:
                    break
                word = words[np.uint64(here)]
                here += 1
                if word >= _STOPPED_FROM:
                    stopped += 1
                    continue
                tb = np.int64(word & _TB)
                if tb >= spans.shape[0]:
                    if tb == _UNKNOWN_TB:
                        unknown += 1
                        continue
                    bad = here - 1
                    break
                row = np.uint64(tb)
                first, last = np.int64(spans[row, _ZERO]), np.int64(spans[row, _ONE])
                members = everyone
            apart = _ONE if members != everyone or shorter else _ZERO
            # The draws of a TB's lines differ by how many were accessed before.
            origin, each = (lines - first, _EACH) if source == _CODE else (lines, _NONE)
            for start in range(first & ~_IN_WORD, last + 1, _IN_WORD + 1):
                if (start >> shift) & outside != number & outside:
                    continue
                place = _word(_ICACHE, start)
                wanted = ours
                if start < first:
                    wanted &= _ALL << np.uint64(first - start)
                if start + _IN_WORD > last:
                    wanted &= _ALL >> np.uint64(start + _IN_WORD - last)
                missing = left = wanted & ~s.settled[place]
                while left:
                    lowest = left & (_ZERO - left)
                    left ^= lowest
                    line = start + _LOWEST[(lowest * _SEQUENCE) >> _TOP]
                    now = origin + (line & each)
                    at = np.uint64(line & code_mask)
                    if s.differs[at] | apart:
                        _do(s, _ICACHE, _KIND_LOAD, line, np.int64(1), members, source, now)
                    else:
                        frames = at * np.uint64(code_ways)
                        taken = _fetch(
                            code_policy, code_ways, s, _ICACHE, at, frames, line, now, code_seed, _EVERY_LINE
                        )
                        if narrow:
                            _settle(s, _ICACHE, line, code_tracked)
                        below = line >> longer
                        if code_policy in UNMOVED or taken != HIT:
                            misses += 1
                            if below_ways == 0:
                                memory += 1
                            elif not (below_policy in UNMOVED and _is_settled(s, _L2, below)):
                                index = below & l2_mask
                                at, frames = np.uint64(l2_sets + index), np.uint64(l2_frames + index * below_ways)
                                if s.differs[at]:
                                    missed, evicted = _load(
                                        *(below_policy, below_ways, s, _L2, l2_sets + index),
                                        *(l2_frames + index * below_ways, below, members, _UNMARKED, now),
                                    )
                                    _count(s, source + _MEMORY, missed, 1)
                                    _count(s, _MEMORY_WRITES, evicted, 1)
                                else:
                                    taken = _fetch(
                                        *(below_policy, below_ways, s, _L2, at, frames, below, now, l2_seed), l2_tracked
                                    )
                                    _settle(s, _L2, below, l2_tracked)
                                    if taken != HIT:
                                        memory += 1
                                        written += np.int64(taken != NOTHING) & np.int64(taken & DIRTY)
                    if narrow:
                        # Two lines of one word share a set: this one may have replaced a later one.
                        left = wanted & ~s.settled[place] & ~(lowest | (lowest - _ONE))
                if code_policy in UNMOVED and apart == _ZERO and not narrow:
                    s.settled[place] |= missing
            s.counts[common + source + _MISSES] += misses
            s.counts[common + source + _MEMORY] += memory
            if source == _CODE:
                lines += last - first + 1
                executions += 1
                credit += n[_GUEST_LINES]
                while credit >= _PER_THOUSAND:
                    credit -= _PER_THOUSAND
                    if (fresh >> n[_DATA_SHIFT]) & mask == number:
                        _do(s, _DCACHE, _KIND_LOAD, fresh, np.int64(1), everyone, _GUEST, lines)
                    fresh += 1
            else:
                hits: Int = 0
                for line in range(n[_TRANSLATOR_TABLES], n[_TRANSLATOR_TABLES] + n[_TRANSLATOR_TABLE_LINES]):
                    if (line >> n[_DATA_SHIFT]) & mask == number:
                        if line < table_tracked and _is_settled(s, _DCACHE, line):
                            hits += 1
                            continue
                        place = line & n[d + _LEVEL_MASK]
                        at = np.uint64(n[d + _LEVEL_SETS] + place)
                        frames = np.uint64(n[d + _LEVEL_FRAMES] + place * table_ways)
                        if s.differs[at] or members != everyone or find(table_ways, s.frames, frames, line) < 0:
                            _do(s, _DCACHE, _KIND_LOAD, line, np.int64(1), members, _TRANSLATOR_DATA, lines)
                        else:
                            hits += 1
                            access(
                                table_policy, table_ways, True, s.frames, frames, s.words, at, line, _UNMARKED, lines, 0
                            )
                _count(s, _TRANSLATOR_DATA, members, hits)
                if number == 0:
                    _count(s, _TRANSLATOR_CODE, members, n[_TRANSLATED_LINES])
        s.counts[common + _MEMORY_WRITES] += written
        if number == 0:
            s.counts[common + _CODE] += lines - total
            s.counts[common + _EXECUTIONS] += executions
            s.counts[common + _STOPPED] += stopped
            s.counts[common + _UNKNOWN] += unknown
        carried[0], carried[1], carried[2], carried[3] = base + here, lines, credit, fresh
        return bad

    return advance
