"""Replacement policies: all that a cache simulation needs to know of each, in one place.

A *frame* of a set holds a line number and a bit that says whether the line is dirty, or ``NOTHING``.  A set has a
*word* for what its policy remembers besides the order of its frames.

``lru``          the frames lie in the order of their last access, the latest first; the last one is the victim
``plru``         a binary tree in the word, whose nodes point away from the half accessed last
``nru``          a bit for each way in the word, set by an access; the victim is the lowest way without one, and an
                 access that sets the last one clears all others (as the L2 of UltraSPARC T1 and T2, but that this looks
                 from a pointer on, which all sets share: K. Kedzierski et al., Adapting Cache Partitioning Algorithms
                 to Pseudo-LRU Replacement Policies, IPDPS 2010)
``round-robin``  a counter in the word, which advances with each victim
``random``       a hash of the seed, the line, and the number of TB line accesses so far.  A draw depends on the access
                 and not on the draws before it, so two simulations differ only by their events and agree again some
                 misses after one.  The word counts the victims, on which no draw depends

A line that comes in takes the lowest invalid frame if there is any.

To add one: its name here, in ``MOST_WAYS`` and in ``Cache.replacement`` of a host profile; what it does with its word
in ``_touched`` and ``_victim``.  Where a policy and a number of ways are constants of the caller, numba and LLVM leave
nothing but that policy's instructions.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from bench.support.kernels import expanded
from bench.traces.trace import U32, U64

Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64

MOST_WAYS = {"lru": 64, "plru": 64, "nru": 64, "round-robin": 64, "random": 64}
"""Each policy's name, and the number of ways that it is written for: ``plru`` and ``nru`` have a bit for each way."""
POLICIES = tuple(MOST_WAYS)
LRU, PLRU, NRU, ROUND_ROBIN, RANDOM = range(5)
UNMOVED = (ROUND_ROBIN, RANDOM)
"""The policies under which a hit changes nothing in its set."""

NOTHING = np.uint32(0xFFFF_FFFF)
"""Frame: no line."""
HIT = np.uint32(0xFFFF_FFFE)
"""Instead of a frame that was replaced: the line was there."""
MOST_LINES = 0x7FFF_FFFF
"""Line numbers are below this."""
DIRTY = np.uint32(1)
_ZERO, _ONE, _HALF, _ALL = (np.uint64(value) for value in (0, 1, 32, 0xFFFF_FFFF_FFFF_FFFF))
# The multipliers of a 64-bit mixing function: the golden ratio's, and that of splitmix64's second round.
_SPREAD, _MIX = np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(0x94D0_49BB_1331_11EB)


@expanded
def _away(word: Word, way: Int, ways: Int) -> Word:
    """The tree ``word`` (bit n: node n, 1: the upper half) with the nodes above ``way`` pointing away from it."""
    node: Int = way + ways
    while node > 1:
        bit = _ONE << np.uint64(node >> 1)
        word = (word & ~bit) if node & 1 else (word | bit)
        node >>= 1
    return word


@expanded
def _drawn(ways: Int, line: Int, now: Int, seed: Int) -> Int:
    """A random way for ``line`` after ``now`` line accesses of TBs."""
    mixed = (np.uint64(now) << _HALF ^ np.uint64(line)) * _SPREAD + np.uint64(seed)
    mixed = (mixed ^ (mixed >> _HALF)) * _MIX
    mixed = (mixed ^ (mixed >> _HALF)) * _SPREAD
    return np.int64(((mixed >> _HALF) * np.uint64(ways)) >> _HALF)


@expanded
def _touched(policy: Int, ways: Int, word: Word, way: Int) -> Word:
    """The word of a set after an access to ``way``; of no use under ``lru``."""
    if policy == PLRU:
        word = _away(word, way, ways)
    if policy == NRU:
        word |= _ONE << np.uint64(way)
        if word == _ALL >> np.uint64(64 - ways):
            word = _ONE << np.uint64(way)
    return word


@expanded
def _victim(policy: Int, ways: Int, word: Word, line: Int, now: Int, seed: Int) -> tuple[Int, Word]:
    """The way of a full set that ``line`` replaces, and the word afterwards; of no use under ``lru``."""
    way: Int = 0
    if policy == PLRU:
        way = 1
        while way < ways:
            way = 2 * way + np.int64((word >> np.uint64(way)) & _ONE)
        way -= ways
        word = _away(word, way, ways)
    if policy == NRU:
        while way + 1 < ways and (word >> np.uint64(way)) & _ONE:
            way += 1
        word = _touched(policy, ways, word, way)
    if policy == ROUND_ROBIN:
        way = np.int64(word)
        word = word + _ONE if way + 1 < ways else _ZERO
    if policy == RANDOM:
        way = _drawn(ways, line, now, seed)
        word += _ONE
    return way, word


@expanded
def replace(
    policy: Int,
    ways: Int,
    frames: U32,
    first: Word,
    words: U64,
    word: Word,
    line: Int,
    dirty: np.uint32,
    now: Int,
    seed: Int,
) -> np.uint32:
    """Bring ``line`` into a full set that does not hold it; not under ``lru``; the rest as ``access``."""
    way, words[word] = _victim(policy, ways, words[word], line, now, seed)
    taken: np.uint32 = frames[first + np.uint64(way)]
    frames[first + np.uint64(way)] = np.uint32(line) << DIRTY | dirty
    return taken


@expanded
def access(
    policy: Int,
    ways: Int,
    dirties: bool,
    frames: U32,
    first: Word,
    words: U64,
    word: Word,
    line: Int,
    dirty: np.uint32,
    now: Int,
    seed: Int,
) -> np.uint32:
    """Access ``line`` in the set with the frames from ``first`` on, and make it ``dirty`` or leave it as it is.

    ``dirties``: whether any line of this cache is ever dirty.  Returns ``HIT``, or what the frame held that was taken.
    """
    key = np.uint32(line) << DIRTY
    taken = HIT
    way: Int = 0
    if policy == LRU:
        newer = key | dirty
        while way < ways:
            older = frames[first + np.uint64(way)]
            frames[first + np.uint64(way)] = newer
            if dirties:
                if older | DIRTY == key | DIRTY:
                    frames[first] |= older
                    break
            elif older == key:
                break
            newer = older
            way += 1
        if way == ways:
            taken = newer
    else:
        while way < ways:
            older = frames[first + np.uint64(way)]
            if dirties:
                if older | DIRTY == key | DIRTY:
                    frames[first + np.uint64(way)] = older | dirty
                    break
            elif older == key:
                break
            way += 1
        if way == ways:
            taken = NOTHING
            way = 0
            while way < ways and frames[first + np.uint64(way)] != NOTHING:
                way += 1
            if way < ways:
                frames[first + np.uint64(way)] = key | dirty
        if way < ways:
            words[word] = _touched(policy, ways, words[word], way)
        else:
            taken = replace(policy, ways, frames, first, words, word, line, dirty, now, seed)
    return taken


@expanded
def find(ways: Int, frames: U32, first: Word, line: Int) -> Int:
    """The way that holds ``line``, or -1."""
    found: Int = -1
    for way in range(ways):
        if frames[first + np.uint64(way)] | DIRTY == (np.uint32(line) << DIRTY) | DIRTY:
            found = way
    return found


@expanded
def drop(policy: Int, ways: Int, frames: U32, first: Word, way: Int) -> None:
    """Invalidate the line in ``way``."""
    if policy == LRU:
        for later in range(way, ways - 1):
            frames[first + np.uint64(later)] = frames[first + np.uint64(later + 1)]
        way = ways - 1
    frames[first + np.uint64(way)] = NOTHING
