"""What a recorded execution does to single lines: each access to one, and what pushed at it since the last.

The instruction and the data cache of one core are those of ``bench/replay/kernel.py``, without the L2, on which what
they hold does not depend.
A *spot* is an instruction line and a data line in which a unit lies that retranslations change.  Between two accesses
to its instruction line, what the trace does to the spot comes to two probabilities, that either line stays:

* ``lru``, ``plru``, ``round-robin``: 1 or 0, as it is in the simulation.
* ``random``: what is brought into a full set takes the frame of one of its ways, each as likely.  How many lines are
  brought in comes from the simulation; that none took this one's frame is (1 - 1/ways) to the power of them, in
  expectation and not drawn.

Time is counted in cycles of host instructions, and of the translator where it runs; refills are added later, evenly
over the lines accessed.

Sets do not notice each other: either half of the instruction lines is followed by itself, at the same time.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.replay.events import EventKind
from bench.support.kernels import lean_kernel, part
from bench.traces.successor import STOPPED, UNKNOWN_TB

F64: TypeAlias = npt.NDArray[np.float64]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64

POLICIES = ("lru", "plru", "round-robin", "random")
_LRU, _PLRU, _ROUND_ROBIN, _RANDOM = range(4)
_STORE, _LOAD, _CLEAN, _INVALIDATE, _INVALIDATE_ALL, _TRANSLATE = map(int, EventKind)
_STOPPED, _TB = np.uint32(STOPPED), np.uint32(UNKNOWN_TB)
_PER_THOUSAND = 1000


class Sets(NamedTuple):
    """A cache: ``tags`` (set, way), -1 for none; the ``latest`` line of each set; lines ``brought`` into it when full.

    ``order``: ``lru``, when each way was last accessed; ``plru``, the node bits of a set, in column 0; ``round-robin``,
    its counter.  ``numbers``: policy, whether stores allocate, the clock of ``order``, and the state of the generator.
    """

    tags: I32
    latest: I32
    brought: I64
    order: I64
    numbers: U64


_POLICY, _ALLOCATES, _CLOCK, _LUCK = range(4)


class Spots(NamedTuple):
    """The spots, and what is known of each since its last row.

    ``of_code``, ``of_data``: the first spot of a line, or -1, and ``next_of_code``, ``next_of_data`` the one after a
    spot.  ``tb_first``: where in ``of_tb`` the spots of each TB begin.  ``code``, ``data``: the lines of each.
    ``code_brought``, ``data_brought``: of their sets, then.  ``code_lost``, ``data_lost``: whether something is known
    to have taken the line, or cleaned it, since.
    """

    of_code: I64
    next_of_code: I64
    of_data: I64
    next_of_data: I64
    tb_first: I64
    of_tb: I64
    code: I64
    data: I64
    code_brought: I64
    data_brought: I64
    code_lost: U8
    data_lost: U8


class Log(NamedTuple):
    """A row for each access to a spot's instruction line and for each retranslation of its TB, in time order.

    ``spot``; ``who``: the TB that made the access, or -1 less the number of the retranslation.  ``time`` in cycles
    without refills, and how many ``lines`` had been accessed.
    ``code``, ``data``: the probabilities that either line stayed since the row of that spot before.
    """

    spot: I64
    who: I64
    time: F64
    lines: F64
    code: F64
    data: F64


class Course(NamedTuple):
    """What happens, as in ``bench/replay/events.py``; and ``marks``, the position of each retranslation, and its TB."""

    position: I64
    kind: U8
    address: I64
    lines: I64
    marks: I64
    marked: I64


class Sizes(NamedTuple):
    """Bits of an instruction and a data line; the translator's first lines, and how many; rates.

    ``guest``: guest data lines per 1000 executions.  Cycles ``per_byte`` of host code, and of the ``translator`` for a
    TB.  ``half``: the last bit of the instruction lines that are followed.
    """

    code_bits: int
    data_bits: int
    translator_code: int
    translator_code_lines: int
    translator_data: int
    translator_data_lines: int
    guest: int
    per_byte: float
    translator: float
    half: int


class Carried(NamedTuple):
    """What goes on from one chunk to the next: position, event, mark, credit of guest data, its next line, misses; and

    the time and the lines accessed.
    """

    numbers: I64
    time: F64


_POSITION, _EVENT, _MARK, _CREDIT, _FRESH, _MISSES = range(6)


@part
def _find(c: Sets, line: Int) -> Int:
    """The way that holds a line, or -1."""
    index = line & (c.tags.shape[0] - 1)
    found: Int = -1
    for way in range(c.tags.shape[1]):
        if c.tags[index, way] == line:
            found = way
    return found


@part
def _use(c: Sets, index: Int, way: Int) -> None:
    """Way ``way`` of a set is accessed."""
    policy = np.int64(c.numbers[_POLICY])
    if policy == _LRU:
        c.numbers[_CLOCK] += np.uint64(1)
        c.order[index, way] = np.int64(c.numbers[_CLOCK])
    elif policy == _PLRU:
        node: Int = 1
        step: Int = c.tags.shape[1] >> 1
        while step:
            upper = (way & step) != 0
            bit = np.int64(1) << node
            if upper:
                c.order[index, 0] &= ~bit
            else:
                c.order[index, 0] |= bit
            node = 2 * node + np.int64(upper)
            step >>= 1


@part
def _victim(c: Sets, index: Int) -> Int:
    """The way that a full set gives up."""
    policy, ways = np.int64(c.numbers[_POLICY]), c.tags.shape[1]
    chosen: Int = 0
    if policy == _LRU:
        for way in range(1, ways):
            if c.order[index, way] < c.order[index, chosen]:
                chosen = way
    elif policy == _PLRU:
        node: Int = 1
        while node < ways:
            node = 2 * node + ((c.order[index, 0] >> node) & 1)
        chosen = node - ways
    elif policy == _ROUND_ROBIN:
        chosen = c.order[index, 0]
        c.order[index, 0] = (chosen + 1) % ways
    else:
        state = c.numbers[_LUCK]
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        c.numbers[_LUCK] = state
        chosen = np.int64((state >> np.uint64(33)) % np.uint64(ways))
    return chosen


@part
def _access(c: Sets, line: Int) -> bool:
    """Access a line; whether it was absent."""
    index = line & (c.tags.shape[0] - 1)
    if c.latest[index] == line:
        return False  # that changes nothing, whatever the replacement
    c.latest[index] = line
    way = _find(c, line)
    missed = way < 0
    if missed:
        for other in range(c.tags.shape[1] - 1, -1, -1):
            if c.tags[index, other] < 0:
                way = other
        if way < 0:
            way = _victim(c, index)
            c.brought[index] += 1
        c.tags[index, way] = line
    _use(c, index, way)
    return bool(missed)


@part
def _stays(c: Sets, line: Int, before: Int, lost: Int) -> float:
    """The probability that a line stayed since ``before`` lines had been brought into its set."""
    chance: float = 0.0
    if not lost:
        if np.int64(c.numbers[_POLICY]) == _RANDOM:
            came = c.brought[line & (c.tags.shape[0] - 1)] - before
            chance = (1.0 - 1.0 / c.tags.shape[1]) ** came
        elif _find(c, line) >= 0:
            chance = 1.0
    return chance


@part
def _note(log: Log, row: Int, code: Sets, data: Sets, spots: Spots, spot: Int, who: Int, time: F64) -> None:
    """Write a row, and begin to count anew for the data line."""
    log.spot[row] = spot
    log.who[row] = who
    log.time[row] = time[0]
    log.lines[row] = time[1]
    log.code[row] = _stays(code, spots.code[spot], spots.code_brought[spot], spots.code_lost[spot])
    log.data[row] = _stays(data, spots.data[spot], spots.data_brought[spot], spots.data_lost[spot])
    _again(code, data, spots, spot)


@part
def _again(code: Sets, data: Sets, spots: Spots, spot: Int) -> None:
    """Count anew from here."""
    spots.code_brought[spot] = code.brought[spots.code[spot] & (code.tags.shape[0] - 1)]
    spots.data_brought[spot] = data.brought[spots.data[spot] & (data.tags.shape[0] - 1)]
    spots.code_lost[spot] = 0
    spots.data_lost[spot] = 0


@part
def _drop(c: Sets, line: Int) -> None:
    """Invalidate a line."""
    way = _find(c, line)
    if way >= 0:
        index = line & (c.tags.shape[0] - 1)
        c.tags[index, way] = -1
        c.latest[index] = -1


@part
def _load(data: Sets, spots: Spots, line: Int, store: bool) -> None:
    """Load a data line, or store to it."""
    if not store or data.numbers[_ALLOCATES] or _find(data, line) >= 0:
        missed = _access(data, line)
        if missed and line < spots.of_data.shape[0] and np.int64(data.numbers[_POLICY]) != _RANDOM:
            spot = spots.of_data[line]
            while spot >= 0:
                spots.data_lost[spot] = 1  # it had left, and is back
                spot = spots.next_of_data[spot]


@part
def _happens(code: Sets, data: Sets, spots: Spots, sizes: Sizes, kind: Int, address: Int, count: Int) -> None:
    """One event, but for what the translator's time is."""
    if kind == _TRANSLATE:
        for _ in range(count):
            for line in range(sizes.translator_code, sizes.translator_code + sizes.translator_code_lines):
                if line & 1 == sizes.half:
                    _access(code, line)
            for line in range(sizes.translator_data, sizes.translator_data + sizes.translator_data_lines):
                _load(data, spots, line, False)
    elif kind == _INVALIDATE_ALL:
        for index in range(code.tags.shape[0]):
            for way in range(code.tags.shape[1]):
                code.tags[index, way] = -1
            code.latest[index] = -1
        for spot in range(spots.code.shape[0]):
            spots.code_lost[spot] = 1
    elif kind == _INVALIDATE:
        first = address >> sizes.code_bits
        for line in range(first, first + count):
            _drop(code, line)
            spot = spots.of_code[line] if line < spots.of_code.shape[0] else -1
            while spot >= 0:
                spots.code_lost[spot] = 1
                spot = spots.next_of_code[spot]
    else:
        first = address >> sizes.data_bits
        for line in range(first, first + count):
            if kind == _CLEAN:
                spot = spots.of_data[line] if line < spots.of_data.shape[0] else -1
                while spot >= 0:
                    spots.data_lost[spot] = 1
                    spot = spots.next_of_data[spot]
            else:
                _load(data, spots, line, kind == _STORE)


@part
def _events(
    code: Sets,
    data: Sets,
    spots: Spots,
    course: Course,
    sizes: Sizes,
    carried: Carried,
    log: Log,
    row: Int,
    position: Int,
) -> Int:
    """Everything that happens after the execution at ``position``; the next row of the log."""
    numbers = carried.numbers
    first_mark = numbers[_MARK]
    while numbers[_MARK] < course.marks.shape[0] and course.marks[numbers[_MARK]] == position:
        numbers[_MARK] += 1
    noted = first_mark == numbers[_MARK]
    while numbers[_EVENT] < course.position.shape[0] and course.position[numbers[_EVENT]] == position:
        event = numbers[_EVENT]
        kind = np.int64(course.kind[event])
        if kind == _TRANSLATE:
            carried.time[0] += sizes.translator * course.lines[event]
        elif not noted:  # the translator runs before it stores
            noted = True
            row = _marks(code, data, spots, course, carried, log, row, first_mark)
        _happens(code, data, spots, sizes, kind, course.address[event], course.lines[event])
        numbers[_EVENT] += 1
    if not noted:
        row = _marks(code, data, spots, course, carried, log, row, first_mark)
    for mark in range(first_mark, numbers[_MARK]):
        tb = course.marked[mark]
        for at in range(spots.tb_first[tb], spots.tb_first[tb + 1]):
            _again(code, data, spots, spots.of_tb[at])
    return row


@part
def _marks(
    code: Sets, data: Sets, spots: Spots, course: Course, carried: Carried, log: Log, row: Int, first: Int
) -> Int:
    """The rows of the retranslations from ``first`` on."""
    for mark in range(first, carried.numbers[_MARK]):
        tb = course.marked[mark]
        for at in range(spots.tb_first[tb], spots.tb_first[tb + 1]):
            _note(log, row, code, data, spots, spots.of_tb[at], -1 - mark, carried.time)
            row += 1
    return row


@lean_kernel
def follow(
    words: U32,
    spans: I64,
    lengths: I64,
    code: Sets,
    data: Sets,
    spots: Spots,
    course: Course,
    sizes: Sizes,
    carried: Carried,
    log: Log,
) -> Int:
    """Go through a chunk of executions; the number of rows written.

    ``spans``: the first and last instruction line of each TB; ``lengths``: their bytes.
    """
    numbers = carried.numbers
    row: Int = 0
    if numbers[_POSITION] == 0:
        row = _events(code, data, spots, course, sizes, carried, log, row, -1)
    for word in words:
        tb = np.int64(word & _TB)
        if word < _STOPPED and tb < spans.shape[0]:
            carried.time[0] += lengths[tb] * sizes.per_byte
            carried.time[1] += spans[tb, 1] - spans[tb, 0] + 1
            for line in range(spans[tb, 0] + ((spans[tb, 0] ^ sizes.half) & 1), spans[tb, 1] + 1, 2):
                spot = spots.of_code[line]
                while spot >= 0:
                    _note(log, row, code, data, spots, spot, tb, carried.time)
                    row += 1
                    spot = spots.next_of_code[spot]
                if _access(code, line):
                    numbers[_MISSES] += 1
                    spot = spots.of_code[line]
                    while spot >= 0:
                        _again(code, data, spots, spot)
                        spot = spots.next_of_code[spot]
            numbers[_CREDIT] += sizes.guest
            while numbers[_CREDIT] >= _PER_THOUSAND:
                numbers[_CREDIT] -= _PER_THOUSAND
                _load(data, spots, numbers[_FRESH], False)
                numbers[_FRESH] += 1
        position = numbers[_POSITION]
        numbers[_POSITION] += 1
        if (numbers[_EVENT] < course.position.shape[0] and course.position[numbers[_EVENT]] == position) or (
            numbers[_MARK] < course.marks.shape[0] and course.marks[numbers[_MARK]] == position
        ):
            row = _events(code, data, spots, course, sizes, carried, log, row, position)
    return row
