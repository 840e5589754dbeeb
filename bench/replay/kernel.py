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
  ``random``: drawn by a hash of the seed, the line, and how many accesses the TBs
  had made before.  So a draw depends on what happens, not on how many were
  drawn before it: the difference of two replays is that of their events, and
  they agree again some misses after one.
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

Several simulations of one execution, the *lanes*, differ for a while after their
events, and in few sets.  A set is simulated once for all lanes in which it is as
in lane 0, and has a bit for each of the others; when a set of theirs has become
what it is in lane 0, they are simulated together again.  The counts are those of
each lane by itself.

Which way holds a line is looked up in a directory, a byte per line of the code
buffer and of the translator, not searched (in lane 0; elsewhere it is).  The
order of up to 16 ways is one 64-bit word (a list of 4-bit way numbers, the last
accessed one lowest), so that neither a hit nor a miss loops over the ways.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.replay.accesses import GUEST_DATA
from bench.replay.counts import Counts
from bench.replay.events import Kind
from bench.support.kernels import inlined, lean_kernel, part

I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64

REPLACEMENTS = ("lru", "plru", "round-robin", "random")
_LRU, _PLRU, _ROUND_ROBIN, _RANDOM = range(4)

# The words of a set.  ``_DIFFERS``, in lane 0: a bit for each lane in which the set is another.
SET_WORDS = 4
_ORDER, _INVALID_WAYS, _DIRTY_WAYS, _DIFFERS = (np.uint64(word) for word in range(SET_WORDS))

COUNTERS = tuple(counter.name for counter in dataclasses.fields(Counts))
# Of numpy's type, since numba would compile a function anew for each Python constant that it is given.
_CODE, _TRANSLATOR_CODE, _TRANSLATOR_DATA, _LOAD, _STORE, _GUEST = (
    np.int64(COUNTERS.index(f"{who}_lines"))
    for who in ("code", "translator_code", "translator_data", "load", "store", "guest_data")
)
# Of a source: its lines, and after them
_MISSES, _MEMORY = np.int64(1), np.int64(2)
_PASSED_ON, _WRITTEN_BACK, _CLEANED, _INVALIDATED, _SNOOPED, _MEMORY_WRITES = (
    np.int64(COUNTERS.index(name))
    for name in ("passed_on", "written_back", "cleaned", "invalidated", "snooped", "memory_writes")
)

NOWHERE = 0xFF
"""In the directory: no way holds the line."""
NO_LINE = 0xFFFF_FFFF
"""Among the tags: the way holds no line."""
_ABSENT, _NOWHERE = np.uint8(NOWHERE), np.int64(NOWHERE)
_NO_TAG = np.uint32(NO_LINE)
_NO_VICTIM = np.int64(-1)
_READ, _WRITE = np.int64(0), np.int64(1)
_LANES = np.uint64(0x1111_1111_1111_1111)
_TOPS = np.uint64(0x8888_8888_8888_8888)
_ZERO, _ONE, _TWO, _THREE, _FOUR, _NIBBLE = (np.uint64(value) for value in (0, 1, 2, 3, 4, 15))
_HALF = np.uint64(32)
# The multipliers of a 64-bit mixing function: the golden ratio's, and that of splitmix64's second round.
_SPREAD, _MIX = np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(0x94D0_49BB_1331_11EB)

# --------------------------------------------------------------------------- the state and its layout


class Geometry(NamedTuple):
    """A cache's shape, and where it begins: in the directory, among the sets, and among the frames of a lane.

    ``dense``: lines in the directory; ``mask``: sets - 1; ``policy``: index in ``REPLACEMENTS``; ``levels``,
    ``line_bits``: binary logarithms of the ways and of the bytes of a line; ``luck``: what random replacement is drawn
    from.
    """

    directory: int
    dense: int
    first_set: int
    first_frame: int
    mask: int
    ways: int
    policy: int
    levels: int
    line_bits: int
    luck: int


class Shape(NamedTuple):
    """What does not change, besides the caches' geometries.

    ``sets`` and ``frames`` of all caches; how many caches.  ``data``: the translator's first data line, and how many,
    of both sides.  ``part``, ``side``, ``code_shift``, ``data_shift``: only lines of one side count, those in which the
    bit ``shift``, if ``part`` is 1, is ``side``.
    """

    lanes: int
    sets: int
    frames: int
    caches: int
    write_back: int
    write_allocate: int
    snoop: int
    data: int
    data_lines: int
    part: int
    side: int
    code_shift: int
    data_shift: int


class Caches(NamedTuple):
    """The caches of one core in several lanes: few and flat arrays, since each is seven arguments of every call.

    ``sets`` (lane, set, word) and ``tags`` (lane, frame) of the instruction cache, the data cache and the L2, one after
    the other; what they say of another lane than 0 counts only while the set differs there.  ``ways_of``: the
    directory of lane 0.  ``counts`` (lane, counter), and a last row for what all lanes count; the last two columns are
    the dirty lines that lost their frames last, in L1 and in the L2.  ``numbers``: a ``Shape``, and a ``Geometry`` for
    each cache.
    """

    sets: U64
    tags: U32
    ways_of: U8
    counts: I64
    numbers: I64


COLUMNS = len(COUNTERS) + 2
_VICTIM, _VICTIM_OF_L2 = (np.int64(len(COUNTERS) + level) for level in range(2))
_ICACHE, _DCACHE, _L2 = (np.int64(cache) for cache in range(3))
_SHAPE, _GEOMETRY = len(Shape._fields), len(Geometry._fields)
_LANES_AT, _SETS_AT, _FRAMES_AT = (Shape._fields.index(name) for name in ("lanes", "sets", "frames"))


@part
def _shape(c: Caches) -> Shape:
    n = c.numbers
    return Shape(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12])


@part
def _geometry(c: Caches, cache: Int) -> Geometry:
    n, at = c.numbers, np.uint64(_SHAPE + cache * _GEOMETRY)
    return Geometry(
        n[at],
        n[at + _ONE],
        n[at + _TWO],
        n[at + _THREE],
        n[at + _FOUR],
        n[at + np.uint64(5)],
        n[at + np.uint64(6)],
        n[at + np.uint64(7)],
        n[at + np.uint64(8)],
        n[at + np.uint64(9)],
    )


@part
def _lanes(c: Caches) -> Int:
    """The number of lanes."""
    return np.int64(c.numbers[_LANES_AT])


@part
def _every(c: Caches) -> Word:
    """All lanes."""
    return (_ONE << np.uint64(_lanes(c))) - _ONE


@part
def _has(who: Word, lane: Int) -> bool:
    """Whether a lane is one of those."""
    return bool((who >> np.uint64(lane)) & _ONE != _ZERO)


@part
def _set(c: Caches, lane: Int, g: Geometry, line: Int) -> Word:
    """Where the words of a line's set are, in a lane."""
    return np.uint64(lane * c.numbers[_SETS_AT] + g.first_set + (line & g.mask)) * np.uint64(SET_WORDS)


@part
def _frames(c: Caches, lane: Int, g: Geometry, line: Int) -> Word:
    """Where the tags of a line's set are, in a lane."""
    return np.uint64(lane * c.numbers[_FRAMES_AT] + g.first_frame + (line & g.mask) * g.ways)


@part
def _count(c: Caches, counter: Int, who: Word, times: Int) -> None:
    """Count so many in the lanes ``who``."""
    lanes = _lanes(c)
    if who == _every(c):
        c.counts[np.uint64(lanes * COLUMNS + counter)] += times
    elif who != _ZERO:
        for lane in range(lanes):
            if _has(who, lane):
                c.counts[np.uint64(lane * COLUMNS + counter)] += times


# --------------------------------------------------------------------------- replacement: one set's order


@part
def _to_front(order: Word, way: Word) -> Word:
    """The list of 4-bit way numbers ``order`` with ``way`` moved to the lowest place."""
    lanes = order ^ (way * _LANES)
    zero = (lanes - _LANES) & ~lanes & _TOPS
    # The lowest bit set marks the lowest lane that equals the way; higher ones may be borrows.
    lane = (zero & (~zero + _ONE)) >> _THREE
    below = lane - _ONE
    return (order & ~(below | (lane * _NIBBLE))) | ((order & below) << _FOUR) | way


@part
def _away(order: Word, way: Int, levels: Int) -> Word:
    """The tree ``order`` (bit n: node n, 1 = the upper half) with the nodes above ``way`` pointing away from it."""
    node: Int = 1
    for level in range(levels - 1, -1, -1):
        half = (way >> level) & 1
        bit = _ONE << np.uint64(node)
        order = (order & ~bit) if half else (order | bit)
        node = 2 * node + half
    return order


@part
def _touched(policy: Int, levels: Int, order: Word, way: Int) -> Word:
    """The order of a set after an access to ``way``."""
    if policy == _LRU:
        order = _to_front(order, np.uint64(way))
    elif policy == _PLRU:
        order = _away(order, way, levels)
    return order


@part
def _drawn(ways: Int, luck: Int, line: Int, now: Int) -> Int:
    """A way drawn for ``line`` after ``now`` accesses of TBs."""
    mixed = (np.uint64(now) << _HALF ^ np.uint64(line)) * _SPREAD + np.uint64(luck)
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX
    mixed = (mixed ^ (mixed >> _HALF)) * _SPREAD
    return np.int64(((mixed >> _HALF) * np.uint64(ways)) >> _HALF)


@part
def _victim(policy: Int, ways: Int, levels: Int, order: Word, luck: Int, line: Int, now: Int) -> tuple[Int, Word]:
    """The way that a full set gives up to ``line``, and its order afterwards."""
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
        way = _drawn(ways, luck, line, now)
    return way, order


# --------------------------------------------------------------------------- one cache, in one lane


@inlined
def _way(c: Caches, lane: Int, g: Geometry, line: Int) -> Int:
    """The way that holds ``line``, or 255."""
    way: Int = _NOWHERE
    if lane == 0 and line < g.dense:
        way = np.int64(c.ways_of[np.uint64(g.directory + line)])
    else:
        first = _frames(c, lane, g, line)
        for other in range(g.ways):
            if c.tags[first + np.uint64(other)] == np.uint32(line):
                way = other
    return way


@inlined
def _touch(c: Caches, lane: Int, g: Geometry, line: Int, way: Int, dirty: Int) -> None:
    """An access to ``line`` where ``way`` holds it."""
    words = _set(c, lane, g, line)
    if g.policy <= _PLRU:
        c.sets[words + _ORDER] = _touched(g.policy, g.levels, c.sets[words + _ORDER], way)
    if dirty:
        c.sets[words + _DIRTY_WAYS] |= _ONE << np.uint64(way)


@inlined
def _fill(c: Caches, lane: Int, g: Geometry, line: Int, dirty: Int, now: Int) -> Int:
    """Put ``line``, which is absent, into a cache; the dirty line that lost its frame, or -1."""
    words = _set(c, lane, g, line)
    order = c.sets[words + _ORDER]
    invalid = c.sets[words + _INVALID_WAYS]
    way: Int = 0
    if invalid == _ZERO:
        way, order = _victim(g.policy, g.ways, g.levels, order, g.luck, line, now)
    else:
        while (invalid >> np.uint64(way)) & _ONE == _ZERO:
            way += 1
        order = _touched(g.policy, g.levels, order, way)
    bit = _ONE << np.uint64(way)
    dirty_ways = c.sets[words + _DIRTY_WAYS]
    c.sets[words + _ORDER] = order
    c.sets[words + _INVALID_WAYS] = invalid & ~bit
    c.sets[words + _DIRTY_WAYS] = (dirty_ways & ~bit) | (np.uint64(dirty) << np.uint64(way))
    frame = _frames(c, lane, g, line) + np.uint64(way)
    old = np.int64(c.tags[frame])
    c.tags[frame] = np.uint32(line)
    if lane == 0:
        # Lines beyond the directory, and no line, share its last entry, which nobody reads.
        c.ways_of[np.uint64(g.directory + min(int(old), g.dense))] = _ABSENT
        c.ways_of[np.uint64(g.directory + min(int(line), g.dense))] = np.uint8(way)
    return old if dirty_ways & bit else _NO_VICTIM


@part
def _victim_of(cache: Int) -> Int:
    """The column of its victims."""
    return _VICTIM_OF_L2 if cache == _L2 else _VICTIM


@part
def _access_one(c: Caches, lane: Int, cache: Int, line: Int, dirty: Int, now: Int) -> bool:
    """Access a line in one lane; whether it missed.  In ``counts``: the dirty line that lost its frame, or -1."""
    g = _geometry(c, cache)
    old: Int = _NO_VICTIM
    way = _way(c, lane, g, line)
    missed = way == _NOWHERE
    if missed:
        old = _fill(c, lane, g, line, dirty, now)
    else:
        _touch(c, lane, g, line, way, dirty)
    c.counts[np.uint64(lane * COLUMNS + _victim_of(cache))] = old
    return bool(missed)


@part
def _drop_one(c: Caches, lane: Int, cache: Int, line: Int) -> None:
    """Invalidate ``line``, one in the directory, where it is."""
    g = _geometry(c, cache)
    way = np.uint64(_way(c, lane, g, line))
    c.sets[_set(c, lane, g, line) + _INVALID_WAYS] |= _ONE << way
    c.tags[_frames(c, lane, g, line) + way] = _NO_TAG
    if lane == 0:
        c.ways_of[np.uint64(g.directory + line)] = _ABSENT


# --------------------------------------------------------------------------- one cache, in all lanes


@part
def _parted(c: Caches, cache: Int, line: Int, who: Word) -> Word:
    """Make lane 0's part of a line's set stand for lanes all of which, or none of which, are among ``who``.

    Those of ``who`` that it does not stand for.
    """
    g = _geometry(c, cache)
    words_of_0, frames_of_0 = _set(c, 0, g, line), _frames(c, 0, g, line)
    differs = c.sets[words_of_0 + _DIFFERS]
    like = _every(c) & ~differs
    within = who & like
    if within != _ZERO and within != like:
        leaving = like & ~who if who & _ONE else within
        for lane in range(1, _lanes(c)):
            if _has(leaving, lane):
                words, frames = _set(c, lane, g, line), _frames(c, lane, g, line)
                for word in range(SET_WORDS):
                    c.sets[words + np.uint64(word)] = c.sets[words_of_0 + np.uint64(word)]
                for way in range(g.ways):
                    c.tags[frames + np.uint64(way)] = c.tags[frames_of_0 + np.uint64(way)]
        differs |= leaving
        c.sets[words_of_0 + _DIFFERS] = differs
    return np.uint64(who & differs)


@part
def _same(c: Caches, lane: Int, g: Geometry, line: Int) -> bool:
    """Whether what a lane has in a line's set is what lane 0 has, as far as it can ever be told."""
    words, frames = _set(c, lane, g, line), _frames(c, lane, g, line)
    words_of_0, frames_of_0 = _set(c, 0, g, line), _frames(c, 0, g, line)
    order, order_of_0 = c.sets[words + _ORDER], c.sets[words_of_0 + _ORDER]
    invalid, dirty = c.sets[words + _INVALID_WAYS], c.sets[words + _DIRTY_WAYS]
    dirty_of_0 = c.sets[words_of_0 + _DIRTY_WAYS]
    by_order = g.policy == _LRU and invalid == _ZERO
    same: bool = invalid == c.sets[words_of_0 + _INVALID_WAYS]
    if not by_order:
        same = same and order == order_of_0 and (dirty ^ dirty_of_0) & ~invalid == _ZERO
    place: Int = 0
    while same and place < g.ways:
        way = way_of_0 = np.uint64(place)
        if by_order:
            # Which way holds a line makes no difference: the order of the lines does.
            way, way_of_0 = (order >> (way * _FOUR)) & _NIBBLE, (order_of_0 >> (way * _FOUR)) & _NIBBLE
            same = (dirty >> way) & _ONE == (dirty_of_0 >> way_of_0) & _ONE
        same = same and c.tags[frames + way] == c.tags[frames_of_0 + way_of_0]
        place += 1
    return same


@part
def _joined(c: Caches, cache: Int, line: Int) -> None:
    """Let lane 0 stand for the lanes in which a line's set has become what it is there."""
    g = _geometry(c, cache)
    at = _set(c, 0, g, line) + _DIFFERS
    for lane in range(1, _lanes(c)):
        if _has(c.sets[at], lane) and _same(c, lane, g, line):
            c.sets[at] &= ~(_ONE << np.uint64(lane))


@part
def _held(c: Caches, cache: Int, line: Int, who: Word, dirty: bool) -> Word:
    """Those of ``who`` that hold a line, or (``dirty``) hold it dirty."""
    g = _geometry(c, cache)
    differs = c.sets[_set(c, 0, g, line) + _DIFFERS]
    held = _ZERO
    for lane in range(_lanes(c)):
        if lane == 0 or _has(differs & who, lane):
            way = _way(c, lane, g, line)
            if way != _NOWHERE and (
                not dirty or (c.sets[_set(c, lane, g, line) + _DIRTY_WAYS] >> np.uint64(way)) & _ONE != _ZERO
            ):
                held |= _ONE << np.uint64(lane) if lane else _every(c) & ~differs
    return np.uint64(who & held)


@part
def _access(c: Caches, cache: Int, line: Int, who: Word, dirty: Int, now: Int) -> tuple[Word, Word]:
    """Access a line in the lanes ``who``: those that missed, and those in which that cost a dirty line its frame."""
    g = _geometry(c, cache)
    at = _set(c, 0, g, line) + _DIFFERS
    others = _ZERO
    if c.sets[at] != _ZERO or who != _every(c):
        others = _parted(c, cache, line, who)
    missed = _ZERO
    evicted = _ZERO
    victim = np.uint64(_victim_of(cache))
    if who & _ONE and _access_one(c, 0, cache, line, dirty, now):
        missed = _every(c) & ~c.sets[at]
        old = c.counts[victim]
        if old != _NO_VICTIM:
            evicted = missed
            for lane in range(1, _lanes(c)):
                c.counts[np.uint64(lane * COLUMNS) + victim] = old
    if others != _ZERO:
        for lane in range(1, _lanes(c)):
            if _has(others, lane) and _access_one(c, lane, cache, line, dirty, now):
                missed |= _ONE << np.uint64(lane)
                if c.counts[np.uint64(lane * COLUMNS) + victim] != _NO_VICTIM:
                    evicted |= _ONE << np.uint64(lane)
    # Where replacement does not look at hits, they change nothing but what is dirty.
    if c.sets[at] != _ZERO and (missed != _ZERO or dirty or g.policy <= _PLRU):
        _joined(c, cache, line)
    return missed, evicted


@part
def _drop(c: Caches, cache: Int, line: Int, who: Word) -> Word:
    """Invalidate a line, one in the directory, in the lanes ``who``; those in which it was there."""
    found = _held(c, cache, line, who, False)
    if found != _ZERO:
        others = _parted(c, cache, line, found)
        for lane in range(_lanes(c)):
            if _has((found & _ONE) | others, lane):
                _drop_one(c, lane, cache, line)
        _joined(c, cache, line)
    return found


# --------------------------------------------------------------------------- two levels


@part
def _next_level(c: Caches, line: Int, line_bits: Int, who: Word, dirty: Int, now: Int) -> Word:
    """Read or (``dirty``) write an L1 line at the next level; those of ``who`` for which the L2 did not hold it."""
    memory = _ZERO
    if _shape(c).caches == _L2:
        memory = who
        if dirty:
            _count(c, _MEMORY_WRITES, who, 1)
    else:
        bits = _geometry(c, _L2).line_bits
        shorter = max(line_bits - bits, 0)
        longer = max(bits - line_bits, 0)
        first = (line << shorter) >> longer
        for below in range(first, first + (1 << shorter)):
            missed, evicted = _access(c, _L2, below, who, dirty, now)
            memory |= missed
            _count(c, _MEMORY_WRITES, evicted, 1)
    return memory


@part
def _load(c: Caches, line: Int, who: Word, dirty: Int, source: Int, now: Int) -> None:
    """Load a data line, or (``dirty``) allocate and store to it."""
    _count(c, source, who, 1)
    missed, evicted = _access(c, _DCACHE, line, who, dirty, now)
    if missed != _ZERO:
        bits = _geometry(c, _DCACHE).line_bits
        _count(c, source + _MISSES, missed, 1)
        _count(c, source + _MEMORY, _next_level(c, line, bits, missed, _READ, now), 1)
        _count(c, _WRITTEN_BACK, evicted, 1)
        for lane in range(_lanes(c)):
            if _has(evicted, lane):
                old = c.counts[lane * COLUMNS + _VICTIM]
                alike = _ZERO
                for other in range(lane, _lanes(c)):
                    if _has(evicted, other) and c.counts[other * COLUMNS + _VICTIM] == old:
                        alike |= _ONE << np.uint64(other)
                _next_level(c, old, bits, alike, _WRITE, now)
                evicted &= ~alike


@inlined
def _store(c: Caches, line: Int, who: Word, now: Int) -> None:
    """Store to a data line."""
    shape = _shape(c)
    bits = _geometry(c, _DCACHE).line_bits
    allocating = who if shape.write_allocate else _held(c, _DCACHE, line, who, False)
    missing = who & ~allocating
    if allocating != _ZERO:
        _load(c, line, allocating, np.int64(shape.write_back), _STORE, now)
    _count(c, _STORE, missing, 1)
    _count(c, _STORE + _MISSES, missing, 1)
    passed = missing if shape.write_back else who
    _count(c, _PASSED_ON, passed, 1)
    if passed != _ZERO:
        _next_level(c, line, bits, passed, _WRITE, now)
    if shape.snoop:
        code_bits = _geometry(c, _ICACHE).line_bits
        first = (line << bits) >> code_bits
        last = (((line + 1) << bits) - 1) >> code_bits
        for dropped in range(first, last + 1):
            _count(c, _SNOOPED, _drop(c, _ICACHE, dropped, who), 1)


@inlined
def _clean(c: Caches, line: Int, who: Word, now: Int) -> None:
    """Write a data line to the next level if it is dirty; it stays."""
    dirty = _held(c, _DCACHE, line, who, True)
    if dirty != _ZERO:
        g = _geometry(c, _DCACHE)
        others = _parted(c, _DCACHE, line, dirty)
        for lane in range(_lanes(c)):
            if _has((dirty & _ONE) | others, lane):
                way = _way(c, lane, g, line)
                c.sets[_set(c, lane, g, line) + _DIRTY_WAYS] &= ~(_ONE << np.uint64(way))
        _joined(c, _DCACHE, line)
        _count(c, _CLEANED, dirty, 1)
        _next_level(c, line, g.line_bits, dirty, _WRITE, now)


@inlined
def _drop_all(c: Caches, who: Word) -> None:
    """Invalidate every instruction line of this side; all of them are in the directory."""
    shape, g = _shape(c), _geometry(c, _ICACHE)
    for index in range(g.mask + 1):
        if (index >> shape.code_shift) & shape.part == shape.side:
            differs = c.sets[_set(c, 0, g, index) + _DIFFERS]
            for lane in range(shape.lanes):
                for way in range(g.ways):
                    if lane == 0 or _has(differs, lane):
                        line = c.tags[_frames(c, lane, g, index) + np.uint64(way)]
                        if line != _NO_TAG:
                            _count(c, _INVALIDATED, _drop(c, _ICACHE, np.int64(line), who), 1)


@part
def _fetch(
    c: Caches, lines: U32, when: U32, start: Int, end: Int, steady: Int, who: Word, source: Int, fresh: Int
) -> Int:
    """Fetch ``lines[start:end]`` in the lanes ``who``, at the times ``when``, or all at ``steady`` if that is not -1.

    Where a line is ``GUEST_DATA`` the guest loads its next data line, of which ``fresh`` is the first; the next then.
    """
    shape, g = _shape(c), _geometry(c, _ICACHE)
    # Without an L2 its numbers are those of the data cache, and nobody asks for them.
    l2 = _geometry(c, _L2 if shape.caches > _L2 else _DCACHE)
    every = _every(c)
    longer = l2.line_bits - g.line_bits
    plain = shape.caches > _L2 and longer >= 0
    misses: Int = 0
    memory: Int = 0
    written: Int = 0
    for at in range(start, end):
        line = np.int64(lines[np.uint64(at)])
        now = np.int64(when[np.uint64(at)]) if steady < 0 else steady
        if line == _GUEST_DATA:
            _load(c, fresh, who, _READ, _GUEST, now)
            fresh += 1
            if (fresh >> shape.data_shift) & shape.part != shape.side:
                fresh += 1 << shape.data_shift
            continue
        missed = who
        if c.sets[_set(c, 0, g, line) + _DIFFERS] == _ZERO and who == every:
            way = _way(c, 0, g, line)
            if way != _NOWHERE:
                _touch(c, 0, g, line, way, 0)
                continue
            _fill(c, 0, g, line, 0, now)
            misses += 1
            below = line >> longer
            if plain and c.sets[_set(c, 0, l2, below) + _DIFFERS] == _ZERO:
                way = _way(c, 0, l2, below)
                if way != _NOWHERE:
                    _touch(c, 0, l2, below, way, 0)
                else:
                    memory += 1
                    written += np.int64(_fill(c, 0, l2, below, 0, now) != _NO_VICTIM)
                continue
        else:
            missed, _ = _access(c, _ICACHE, line, who, 0, now)
            _count(c, source + _MISSES, missed, 1)
        if missed != _ZERO:
            _count(c, source + _MEMORY, _next_level(c, line, g.line_bits, missed, _READ, now), 1)
    _count(c, source + _MISSES, every, misses)
    _count(c, source + _MEMORY, every, memory)
    _count(c, _MEMORY_WRITES, every, written)
    return fresh


# --------------------------------------------------------------------------- one side of the execution

# Enumerations are objects to numba: the kernels see plain numbers.
_KIND_STORE, _KIND_LOAD, _KIND_CLEAN, _KIND_INVALIDATE, _KIND_INVALIDATE_ALL, _KIND_TRANSLATE = map(int, Kind)
_GUEST_DATA = np.int64(GUEST_DATA)
_TIMED = np.int64(-1)


@inlined
def _event(c: Caches, translator: U32, kind: Int, address: Int, count: Int, who: Word, now: Int) -> None:
    """One event, as far as it concerns lines of this side."""
    shape = _shape(c)
    if kind == _KIND_INVALIDATE_ALL:
        _drop_all(c, who)
    elif kind == _KIND_INVALIDATE:
        first = address >> _geometry(c, _ICACHE).line_bits
        for line in range(first, first + count):
            if (line >> shape.code_shift) & shape.part == shape.side:
                _count(c, _INVALIDATED, _drop(c, _ICACHE, line, who), 1)
    elif kind == _KIND_TRANSLATE:
        for _ in range(count):
            _count(c, _TRANSLATOR_CODE, who, translator.shape[0])
            _fetch(c, translator, translator, 0, translator.shape[0], now, who, _TRANSLATOR_CODE, 0)
            for line in range(shape.data, shape.data + shape.data_lines):
                if (line >> shape.data_shift) & shape.part == shape.side:
                    _load(c, line, who, _READ, _TRANSLATOR_DATA, now)
    else:
        first = address >> _geometry(c, _DCACHE).line_bits
        for line in range(first, first + count):
            if (line >> shape.data_shift) & shape.part == shape.side:
                if kind == _KIND_STORE:
                    _store(c, line, who, now)
                elif kind == _KIND_LOAD:
                    _load(c, line, who, _READ, _LOAD, now)
                else:
                    _clean(c, line, who, now)


@lean_kernel
def advance(
    c: Caches,
    translator: U32,
    accesses: U32,
    when: U32,
    stops: I64,
    bounds: I64,
    stopped: I64,
    position: I64,
    kind: U8,
    address: I64,
    count: I64,
    lanes: U64,
    carried: I64,
) -> None:
    """Go through one piece of one side of the stream (``bench/replay/accesses.py``).

    ``translator``: its instruction lines on this side.  ``carried``: the event that is next, and the guest's next data
    line.
    """
    event = carried[0]
    fresh = carried[1]
    every = _every(c)
    start: Int = 0
    for number in range(bounds.shape[0]):
        fresh = _fetch(c, accesses, when, start, bounds[number], _TIMED, every, _CODE, fresh)
        start = bounds[number]
        while event < position.shape[0] and position[event] == stops[number]:
            _event(c, translator, np.int64(kind[event]), address[event], count[event], lanes[event], stopped[number])
            event += 1
    fresh = _fetch(c, accesses, when, start, accesses.shape[0], _TIMED, every, _CODE, fresh)
    carried[0] = event
    carried[1] = fresh
