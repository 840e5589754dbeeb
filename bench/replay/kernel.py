"""The cache simulator: the caches of one core under a recorded execution and the events of a strategy.

The model
---------
L1 instruction cache, L1 data cache and, where the host has one, a unified L2;
all physically indexed and set-associative:

* The execution of a TB accesses each of its lines once, in address order.
* A miss reads the line from the L2, then takes a frame of its own cache: an
  invalid one (the lowest way) if the set has any, else the victim's.  A miss in
  the L2 reads memory in the same way.  An L2 line longer or shorter than that
  of the L1 serves several L1 lines, or is one of several that an L1 line needs.
* The L2 is neither inclusive nor exclusive.
* A victim that is dirty is written to the next level after the fill.  A line
  written to the L2 that misses there takes a frame without reading memory.
* ``lru``: the victim is the least recently used line.  ``plru``: a binary tree per
  set, whose nodes point away from the half accessed last.  ``round-robin``: a
  counter per set, which advances with each victim.  ``random``: a hash of the seed,
  the line, and the number of TB line accesses so far.  A draw depends on the access
  and not on the draws before it, so two replays differ only by their events and
  agree again some misses after one.
* A store hits, or allocates if the cache is write-allocate, or is passed on to the
  next level; under write-through every store is passed on.  Where the host's
  ``snoop`` is ``all``, a store drops the lines of the instruction cache that it touches.
* One core runs all recorded threads.

Addresses are bytes.  The code buffer begins at 0; the translator's own code and
data follow it, then the guest's data, which no trace records: a sweep over lines
that were never accessed before models their pressure.

Performance
-----------
Accesses that change no state are filtered out once for all simulations (``bench/replay/accesses.py``).

Several simulations of one execution, the *variants*, differ in few sets and for a
limited time after their events.  A set is simulated once for variant 0 and all
variants in which it is the same; a bit for each other variant marks the set as
different there.  When a set becomes equal to that of variant 0 again, the variants
share it again.  The counts are those of each variant simulated by itself.

A directory gives the way of a line in variant 0: a byte for each line of the code
buffer and of the translator.  (The other variants search.)  The LRU order of up to
16 ways is one 64-bit word (4-bit way numbers, the most recent one lowest), so that
neither a hit nor a miss loops over the ways.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.replay.accesses import GUEST_DATA
from bench.replay.counts import Counts
from bench.replay.events import EventKind
from bench.support.kernels import inlined, lean_kernel, part
from bench.traces.trace import I64, U32, U64

U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64

REPLACEMENTS = ("lru", "plru", "round-robin", "random")
_LRU, _PLRU, _ROUND_ROBIN, _RANDOM = range(4)

# The words of a set.  ``_DIFFERS``, in variant 0: a bit for each variant whose set differs.
SET_WORDS = 4
_ORDER, _INVALID_WAYS, _DIRTY_WAYS, _DIFFERS = (np.uint64(word) for word in range(SET_WORDS))

COUNTERS = tuple(counter.name for counter in dataclasses.fields(Counts))
# numpy integers: numba would compile a function anew for each Python constant argument.
_CODE, _TRANSLATOR_CODE, _TRANSLATOR_DATA, _LOAD, _STORE, _GUEST = (
    np.int64(COUNTERS.index(f"{members}_lines"))
    for members in ("code", "translator_code", "translator_data", "load", "store", "guest_data")
)
# The offsets of a source's misses and memory fills from its lines.
_MISSES, _MEMORY = np.int64(1), np.int64(2)
_PASSED_ON, _WRITTEN_BACK, _CLEANED, _INVALIDATED, _SNOOPED, _MEMORY_WRITES = (
    np.int64(COUNTERS.index(name))
    for name in ("passed_on", "written_back", "cleaned", "invalidated", "snooped", "memory_writes")
)

NOWHERE = 0xFF
"""Directory entry: no way holds the line."""
NO_LINE = 0xFFFF_FFFF
"""Tag: the way holds no line."""
_ABSENT, _NOWHERE = np.uint8(NOWHERE), np.int64(NOWHERE)
_NO_TAG = np.uint32(NO_LINE)
_NO_VICTIM = np.int64(-1)
_READ, _WRITE = np.int64(0), np.int64(1)
_LOW_BITS = np.uint64(0x1111_1111_1111_1111)
_HIGH_BITS = np.uint64(0x8888_8888_8888_8888)
_ZERO, _ONE, _TWO, _THREE, _FOUR, _NIBBLE = (np.uint64(value) for value in (0, 1, 2, 3, 4, 15))
_HALF = np.uint64(32)
# The multipliers of a 64-bit mixing function: the golden ratio's, and that of splitmix64's second round.
_SPREAD, _MIX = np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(0x94D0_49BB_1331_11EB)

# --- state --------------------------------------------------------------------------------------------------------


class Geometry(NamedTuple):
    """A cache's shape, and its first index in the directory, among the sets, and among the frames of a variant.

    ``dense``: lines in the directory; ``mask``: sets - 1; ``policy``: index in ``REPLACEMENTS``; ``levels``,
    ``line_bits``: binary logarithms of the ways and of the bytes of a line; ``seed`` of random replacement.
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
    seed: int


class Shape(NamedTuple):
    """The constants of a simulation besides the caches' geometries.

    ``sets``, ``frames``: of all caches; ``caches``: their number.  ``data``, ``data_lines``: the translator's first
    data line and their number, in both halves.  ``part``, ``half``, ``code_shift``, ``data_shift``: if ``part`` is 1,
    only the lines are simulated whose bit ``shift`` is ``half``.
    """

    variants: int
    sets: int
    frames: int
    caches: int
    write_back: int
    write_allocate: int
    snoop: int
    data: int
    data_lines: int
    part: int
    half: int
    code_shift: int
    data_shift: int


class CacheArrays(NamedTuple):
    """The caches of one core in several variants: few and flat arrays, since each array is seven arguments of a call.

    ``sets`` (variant, set, word) and ``tags`` (variant, frame) of the instruction cache, the data cache and the L2 in
    this order; entries of another variant than 0 are valid only while the set differs there.  ``ways_of``: the
    directory of variant 0.  ``counts`` (variant, counter), with a last row for counts common to all variants; the last
    two columns are the dirty lines evicted last from the L1 and from the L2.  ``numbers``: a ``Shape``, then a
    ``Geometry`` for each cache.
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
_VARIANTS_AT, _SETS_AT, _FRAMES_AT = (Shape._fields.index(name) for name in ("variants", "sets", "frames"))


@part
def _shape(c: CacheArrays) -> Shape:
    n = c.numbers
    return Shape(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12])


@part
def _geometry(c: CacheArrays, cache: Int) -> Geometry:
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
def _variant_count(c: CacheArrays) -> Int:
    """The number of variants."""
    return np.int64(c.numbers[_VARIANTS_AT])


@part
def _all_variants(c: CacheArrays) -> Word:
    """The bit mask of all variants."""
    return (_ONE << np.uint64(_variant_count(c))) - _ONE


@part
def _has(members: Word, variant: Int) -> bool:
    """Whether a variant is in the bit mask ``members``."""
    return bool((members >> np.uint64(variant)) & _ONE != _ZERO)


@part
def _set(c: CacheArrays, variant: Int, g: Geometry, line: Int) -> Word:
    """The index of the first word of a line's set in a variant."""
    return np.uint64(variant * c.numbers[_SETS_AT] + g.first_set + (line & g.mask)) * np.uint64(SET_WORDS)


@part
def _frames(c: CacheArrays, variant: Int, g: Geometry, line: Int) -> Word:
    """The index of the first tag of a line's set in a variant."""
    return np.uint64(variant * c.numbers[_FRAMES_AT] + g.first_frame + (line & g.mask) * g.ways)


@part
def _count(c: CacheArrays, counter: Int, members: Word, times: Int) -> None:
    """Add ``times`` to a counter of the variants ``members``."""
    count = _variant_count(c)
    if members == _all_variants(c):
        c.counts[np.uint64(count * COLUMNS + counter)] += times
    elif members != _ZERO:
        for variant in range(count):
            if _has(members, variant):
                c.counts[np.uint64(variant * COLUMNS + counter)] += times


# --- replacement in one set ---------------------------------------------------------------------------------------


@part
def _to_front(order: Word, way: Word) -> Word:
    """The list of 4-bit way numbers ``order`` with ``way`` moved to the lowest place."""
    nibbles = order ^ (way * _LOW_BITS)
    zero = (nibbles - _LOW_BITS) & ~nibbles & _HIGH_BITS
    # The lowest bit set marks the lowest nibble that equals the way; higher ones may be borrows.
    nibble = (zero & (~zero + _ONE)) >> _THREE
    below = nibble - _ONE
    return (order & ~(below | (nibble * _NIBBLE))) | ((order & below) << _FOUR) | way


@part
def _away(order: Word, way: Int, levels: Int) -> Word:
    """The PLRU tree ``order`` (bit n: node n, 1: the upper half) with the nodes above ``way`` pointing away from it."""
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
def _drawn(ways: Int, seed: Int, line: Int, now: Int) -> Int:
    """A random way for ``line`` after ``now`` line accesses of TBs."""
    mixed = (np.uint64(now) << _HALF ^ np.uint64(line)) * _SPREAD + np.uint64(seed)
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX
    mixed = (mixed ^ (mixed >> _HALF)) * _SPREAD
    return np.int64(((mixed >> _HALF) * np.uint64(ways)) >> _HALF)


@part
def _victim(policy: Int, ways: Int, levels: Int, order: Word, seed: Int, line: Int, now: Int) -> tuple[Int, Word]:
    """The way of a full set that ``line`` replaces, and the order of the set afterwards."""
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
        way = _drawn(ways, seed, line, now)
    return way, order


# --- one cache in one variant -------------------------------------------------------------------------------------


@inlined
def _way(c: CacheArrays, variant: Int, g: Geometry, line: Int) -> Int:
    """The way that holds ``line``, or ``NOWHERE``."""
    way: Int = _NOWHERE
    if variant == 0 and line < g.dense:
        way = np.int64(c.ways_of[np.uint64(g.directory + line)])
    else:
        first = _frames(c, variant, g, line)
        for other in range(g.ways):
            if c.tags[first + np.uint64(other)] == np.uint32(line):
                way = other
    return way


@inlined
def _touch(c: CacheArrays, variant: Int, g: Geometry, line: Int, way: Int, dirty: Int) -> None:
    """Record a hit of ``line`` in ``way``."""
    words = _set(c, variant, g, line)
    if g.policy <= _PLRU:
        c.sets[words + _ORDER] = _touched(g.policy, g.levels, c.sets[words + _ORDER], way)
    if dirty:
        c.sets[words + _DIRTY_WAYS] |= _ONE << np.uint64(way)


@inlined
def _fill(c: CacheArrays, variant: Int, g: Geometry, line: Int, dirty: Int, now: Int) -> Int:
    """Fill ``line``, which is absent, into a cache.  Returns the dirty line that it evicts, or -1."""
    words = _set(c, variant, g, line)
    order = c.sets[words + _ORDER]
    invalid = c.sets[words + _INVALID_WAYS]
    way: Int = 0
    if invalid == _ZERO:
        way, order = _victim(g.policy, g.ways, g.levels, order, g.seed, line, now)
    else:
        while (invalid >> np.uint64(way)) & _ONE == _ZERO:
            way += 1
        order = _touched(g.policy, g.levels, order, way)
    bit = _ONE << np.uint64(way)
    dirty_ways = c.sets[words + _DIRTY_WAYS]
    c.sets[words + _ORDER] = order
    c.sets[words + _INVALID_WAYS] = invalid & ~bit
    c.sets[words + _DIRTY_WAYS] = (dirty_ways & ~bit) | (np.uint64(dirty) << np.uint64(way))
    frame = _frames(c, variant, g, line) + np.uint64(way)
    old = np.int64(c.tags[frame])
    c.tags[frame] = np.uint32(line)
    if variant == 0:
        # Lines beyond the directory, and no line, share its last entry, which is never read.
        c.ways_of[np.uint64(g.directory + min(int(old), g.dense))] = _ABSENT
        c.ways_of[np.uint64(g.directory + min(int(line), g.dense))] = np.uint8(way)
    return old if dirty_ways & bit else _NO_VICTIM


@part
def _victim_of(cache: Int) -> Int:
    """The column of ``counts`` with the dirty line that the cache evicted last."""
    return _VICTIM_OF_L2 if cache == _L2 else _VICTIM


@part
def _access_one(c: CacheArrays, variant: Int, cache: Int, line: Int, dirty: Int, now: Int) -> bool:
    """Access a line in one variant.  Returns whether it missed; ``counts`` get the evicted dirty line, or -1."""
    g = _geometry(c, cache)
    old: Int = _NO_VICTIM
    way = _way(c, variant, g, line)
    missed = way == _NOWHERE
    if missed:
        old = _fill(c, variant, g, line, dirty, now)
    else:
        _touch(c, variant, g, line, way, dirty)
    c.counts[np.uint64(variant * COLUMNS + _victim_of(cache))] = old
    return bool(missed)


@part
def _drop_one(c: CacheArrays, variant: Int, cache: Int, line: Int) -> None:
    """Invalidate ``line``, which is in the directory and in the cache."""
    g = _geometry(c, cache)
    way = np.uint64(_way(c, variant, g, line))
    c.sets[_set(c, variant, g, line) + _INVALID_WAYS] |= _ONE << way
    c.tags[_frames(c, variant, g, line) + way] = _NO_TAG
    if variant == 0:
        c.ways_of[np.uint64(g.directory + line)] = _ABSENT


# --- one cache in all variants ------------------------------------------------------------------------------------


@part
def _parted(c: CacheArrays, cache: Int, line: Int, members: Word) -> Word:
    """Separate variants from variant 0 in a line's set, until all or none of those that share it are in ``members``.

    Returns the variants of ``members`` that do not share the set.
    """
    g = _geometry(c, cache)
    words_of_0, frames_of_0 = _set(c, 0, g, line), _frames(c, 0, g, line)
    differs = c.sets[words_of_0 + _DIFFERS]
    like = _all_variants(c) & ~differs
    within = members & like
    if within != _ZERO and within != like:
        leaving = like & ~members if members & _ONE else within
        for variant in range(1, _variant_count(c)):
            if _has(leaving, variant):
                words, frames = _set(c, variant, g, line), _frames(c, variant, g, line)
                for word in range(SET_WORDS):
                    c.sets[words + np.uint64(word)] = c.sets[words_of_0 + np.uint64(word)]
                for way in range(g.ways):
                    c.tags[frames + np.uint64(way)] = c.tags[frames_of_0 + np.uint64(way)]
        differs |= leaving
        c.sets[words_of_0 + _DIFFERS] = differs
    return np.uint64(members & differs)


@part
def _same(c: CacheArrays, variant: Int, g: Geometry, line: Int) -> bool:
    """Whether a variant's copy of a line's set is equivalent to that of variant 0 for all later accesses."""
    words, frames = _set(c, variant, g, line), _frames(c, variant, g, line)
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
            # Under LRU the order of the lines counts, not the ways that hold them.
            way, way_of_0 = (order >> (way * _FOUR)) & _NIBBLE, (order_of_0 >> (way * _FOUR)) & _NIBBLE
            same = (dirty >> way) & _ONE == (dirty_of_0 >> way_of_0) & _ONE
        same = same and c.tags[frames + way] == c.tags[frames_of_0 + way_of_0]
        place += 1
    return same


@part
def _joined(c: CacheArrays, cache: Int, line: Int) -> None:
    """Let the variants share a line's set with variant 0 again where it has become equivalent."""
    g = _geometry(c, cache)
    at = _set(c, 0, g, line) + _DIFFERS
    for variant in range(1, _variant_count(c)):
        if _has(c.sets[at], variant) and _same(c, variant, g, line):
            c.sets[at] &= ~(_ONE << np.uint64(variant))


@part
def _held(c: CacheArrays, cache: Int, line: Int, members: Word, dirty: bool) -> Word:
    """The variants of ``members`` that hold a line, or (``dirty``) hold it dirty."""
    g = _geometry(c, cache)
    differs = c.sets[_set(c, 0, g, line) + _DIFFERS]
    held = _ZERO
    for variant in range(_variant_count(c)):
        if variant == 0 or _has(differs & members, variant):
            way = _way(c, variant, g, line)
            if way != _NOWHERE and (
                not dirty or (c.sets[_set(c, variant, g, line) + _DIRTY_WAYS] >> np.uint64(way)) & _ONE != _ZERO
            ):
                held |= _ONE << np.uint64(variant) if variant else _all_variants(c) & ~differs
    return np.uint64(members & held)


@part
def _access(c: CacheArrays, cache: Int, line: Int, members: Word, dirty: Int, now: Int) -> tuple[Word, Word]:
    """Access a line in the variants ``members``.  Returns those that missed, and those that evicted a dirty line."""
    g = _geometry(c, cache)
    at = _set(c, 0, g, line) + _DIFFERS
    others = _ZERO
    if c.sets[at] != _ZERO or members != _all_variants(c):
        others = _parted(c, cache, line, members)
    missed = _ZERO
    evicted = _ZERO
    victim = np.uint64(_victim_of(cache))
    if members & _ONE and _access_one(c, 0, cache, line, dirty, now):
        missed = _all_variants(c) & ~c.sets[at]
        old = c.counts[victim]
        if old != _NO_VICTIM:
            evicted = missed
            for variant in range(1, _variant_count(c)):
                c.counts[np.uint64(variant * COLUMNS) + victim] = old
    if others != _ZERO:
        for variant in range(1, _variant_count(c)):
            if _has(others, variant) and _access_one(c, variant, cache, line, dirty, now):
                missed |= _ONE << np.uint64(variant)
                if c.counts[np.uint64(variant * COLUMNS) + victim] != _NO_VICTIM:
                    evicted |= _ONE << np.uint64(variant)
    # Under policies that ignore hits, a hit changes nothing but the dirty bit.
    if c.sets[at] != _ZERO and (missed != _ZERO or dirty or g.policy <= _PLRU):
        _joined(c, cache, line)
    return missed, evicted


@part
def _drop(c: CacheArrays, cache: Int, line: Int, members: Word) -> Word:
    """Invalidate a line of the directory in the variants ``members``.  Returns those that held it."""
    found = _held(c, cache, line, members, False)
    if found != _ZERO:
        others = _parted(c, cache, line, found)
        for variant in range(_variant_count(c)):
            if _has((found & _ONE) | others, variant):
                _drop_one(c, variant, cache, line)
        _joined(c, cache, line)
    return found


# --- two levels ---------------------------------------------------------------------------------------------------


@part
def _next_level(c: CacheArrays, line: Int, line_bits: Int, members: Word, dirty: Int, now: Int) -> Word:
    """Read or (``dirty``) write an L1 line at the next level.  Returns the ``members`` that missed there."""
    memory = _ZERO
    if _shape(c).caches == _L2:
        memory = members
        if dirty:
            _count(c, _MEMORY_WRITES, members, 1)
    else:
        bits = _geometry(c, _L2).line_bits
        shorter = max(line_bits - bits, 0)
        longer = max(bits - line_bits, 0)
        first = (line << shorter) >> longer
        for below in range(first, first + (1 << shorter)):
            missed, evicted = _access(c, _L2, below, members, dirty, now)
            memory |= missed
            _count(c, _MEMORY_WRITES, evicted, 1)
    return memory


@part
def _load(c: CacheArrays, line: Int, members: Word, dirty: Int, source: Int, now: Int) -> None:
    """Load a data line, or (``dirty``) allocate it and store to it."""
    _count(c, source, members, 1)
    missed, evicted = _access(c, _DCACHE, line, members, dirty, now)
    if missed != _ZERO:
        bits = _geometry(c, _DCACHE).line_bits
        _count(c, source + _MISSES, missed, 1)
        _count(c, source + _MEMORY, _next_level(c, line, bits, missed, _READ, now), 1)
        _count(c, _WRITTEN_BACK, evicted, 1)
        for variant in range(_variant_count(c)):
            if _has(evicted, variant):
                old = c.counts[variant * COLUMNS + _VICTIM]
                alike = _ZERO
                for other in range(variant, _variant_count(c)):
                    if _has(evicted, other) and c.counts[other * COLUMNS + _VICTIM] == old:
                        alike |= _ONE << np.uint64(other)
                _next_level(c, old, bits, alike, _WRITE, now)
                evicted &= ~alike


@inlined
def _store(c: CacheArrays, line: Int, members: Word, now: Int) -> None:
    """Store to a data line."""
    shape = _shape(c)
    bits = _geometry(c, _DCACHE).line_bits
    allocating = members if shape.write_allocate else _held(c, _DCACHE, line, members, False)
    missing = members & ~allocating
    if allocating != _ZERO:
        _load(c, line, allocating, np.int64(shape.write_back), _STORE, now)
    _count(c, _STORE, missing, 1)
    _count(c, _STORE + _MISSES, missing, 1)
    passed = missing if shape.write_back else members
    _count(c, _PASSED_ON, passed, 1)
    if passed != _ZERO:
        _next_level(c, line, bits, passed, _WRITE, now)
    if shape.snoop:
        code_bits = _geometry(c, _ICACHE).line_bits
        first = (line << bits) >> code_bits
        last = (((line + 1) << bits) - 1) >> code_bits
        for dropped in range(first, last + 1):
            _count(c, _SNOOPED, _drop(c, _ICACHE, dropped, members), 1)


@inlined
def _clean(c: CacheArrays, line: Int, members: Word, now: Int) -> None:
    """Write a data line to the next level if it is dirty; it stays."""
    dirty = _held(c, _DCACHE, line, members, True)
    if dirty != _ZERO:
        g = _geometry(c, _DCACHE)
        others = _parted(c, _DCACHE, line, dirty)
        for variant in range(_variant_count(c)):
            if _has((dirty & _ONE) | others, variant):
                way = _way(c, variant, g, line)
                c.sets[_set(c, variant, g, line) + _DIRTY_WAYS] &= ~(_ONE << np.uint64(way))
        _joined(c, _DCACHE, line)
        _count(c, _CLEANED, dirty, 1)
        _next_level(c, line, g.line_bits, dirty, _WRITE, now)


@inlined
def _drop_all(c: CacheArrays, members: Word) -> None:
    """Invalidate every instruction line of this half (all are in the directory)."""
    shape, g = _shape(c), _geometry(c, _ICACHE)
    for index in range(g.mask + 1):
        if (index >> shape.code_shift) & shape.part == shape.half:
            differs = c.sets[_set(c, 0, g, index) + _DIFFERS]
            for variant in range(shape.variants):
                for way in range(g.ways):
                    if variant == 0 or _has(differs, variant):
                        line = c.tags[_frames(c, variant, g, index) + np.uint64(way)]
                        if line != _NO_TAG:
                            _count(c, _INVALIDATED, _drop(c, _ICACHE, np.int64(line), members), 1)


@part
def _fetch(
    c: CacheArrays, lines: U32, when: U32, start: Int, end: Int, steady: Int, members: Word, source: Int, fresh: Int
) -> Int:
    """Fetch ``lines[start:end]`` in the variants ``members`` at the times ``when``, or at ``steady`` unless it is -1.

    At ``GUEST_DATA`` the guest loads its next data line, ``fresh``.  Returns the next ``fresh``.
    """
    shape, g = _shape(c), _geometry(c, _ICACHE)
    # Without an L2 this is the data cache's geometry, which is not used.
    l2 = _geometry(c, _L2 if shape.caches > _L2 else _DCACHE)
    everyone = _all_variants(c)
    longer = l2.line_bits - g.line_bits
    plain = shape.caches > _L2 and longer >= 0
    misses: Int = 0
    memory: Int = 0
    written: Int = 0
    for at in range(start, end):
        line = np.int64(lines[np.uint64(at)])
        now = np.int64(when[np.uint64(at)]) if steady < 0 else steady
        if line == _GUEST_DATA:
            _load(c, fresh, members, _READ, _GUEST, now)
            fresh += 1
            if (fresh >> shape.data_shift) & shape.part != shape.half:
                fresh += 1 << shape.data_shift
            continue
        missed = members
        if c.sets[_set(c, 0, g, line) + _DIFFERS] == _ZERO and members == everyone:
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
            missed, _ = _access(c, _ICACHE, line, members, 0, now)
            _count(c, source + _MISSES, missed, 1)
        if missed != _ZERO:
            _count(c, source + _MEMORY, _next_level(c, line, g.line_bits, missed, _READ, now), 1)
    _count(c, source + _MISSES, everyone, misses)
    _count(c, source + _MEMORY, everyone, memory)
    _count(c, _MEMORY_WRITES, everyone, written)
    return fresh


# --- one half of the execution ------------------------------------------------------------------------------------

# numba compiles plain numbers, not enumerations.
_KIND_STORE, _KIND_LOAD, _KIND_CLEAN, _KIND_INVALIDATE, _KIND_INVALIDATE_ALL, _KIND_TRANSLATE = map(int, EventKind)
_GUEST_DATA = np.int64(GUEST_DATA)
_TIMED = np.int64(-1)


@inlined
def _event(c: CacheArrays, translator: U32, kind: Int, address: Int, count: Int, members: Word, now: Int) -> None:
    """Simulate the part of an event that concerns lines of this half."""
    shape = _shape(c)
    if kind == _KIND_INVALIDATE_ALL:
        _drop_all(c, members)
    elif kind == _KIND_INVALIDATE:
        first = address >> _geometry(c, _ICACHE).line_bits
        for line in range(first, first + count):
            if (line >> shape.code_shift) & shape.part == shape.half:
                _count(c, _INVALIDATED, _drop(c, _ICACHE, line, members), 1)
    elif kind == _KIND_TRANSLATE:
        for _ in range(count):
            _count(c, _TRANSLATOR_CODE, members, translator.shape[0])
            _fetch(c, translator, translator, 0, translator.shape[0], now, members, _TRANSLATOR_CODE, 0)
            for line in range(shape.data, shape.data + shape.data_lines):
                if (line >> shape.data_shift) & shape.part == shape.half:
                    _load(c, line, members, _READ, _TRANSLATOR_DATA, now)
    else:
        first = address >> _geometry(c, _DCACHE).line_bits
        for line in range(first, first + count):
            if (line >> shape.data_shift) & shape.part == shape.half:
                if kind == _KIND_STORE:
                    _store(c, line, members, now)
                elif kind == _KIND_LOAD:
                    _load(c, line, members, _READ, _LOAD, now)
                else:
                    _clean(c, line, members, now)


@lean_kernel
def advance(
    c: CacheArrays,
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
    variants: U64,
    carried: I64,
) -> None:
    """Simulate one piece of one half of the stream (``bench/replay/accesses.py``).

    ``translator``: its instruction lines in this half.  ``carried``: the index of the next event, and the guest's next
    data line.
    """
    event = carried[0]
    fresh = carried[1]
    everyone = _all_variants(c)
    start: Int = 0
    for number in range(bounds.shape[0]):
        fresh = _fetch(c, accesses, when, start, bounds[number], _TIMED, everyone, _CODE, fresh)
        start = bounds[number]
        while event < position.shape[0] and position[event] == stops[number]:
            _event(c, translator, np.int64(kind[event]), address[event], count[event], variants[event], stopped[number])
            event += 1
    fresh = _fetch(c, accesses, when, start, accesses.shape[0], _TIMED, everyone, _CODE, fresh)
    carried[0] = event
    carried[1] = fresh
