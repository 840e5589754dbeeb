"""How long single lines stay in the caches of a recorded execution.

The instruction and the data cache of one core are those of ``bench/caches/kernel.py``, without the L2, which does not
affect what they hold.
A *line pair* is the instruction line and the data line of a unit that retranslations change.  Between two accesses to
the instruction line the trace leaves each line of the pair in its cache with some probability:

* ``lru``, ``plru``, ``round-robin``: 1 or 0, as it is in the simulation.
* ``random``: a line brought into a full set replaces each of its ways with the same probability.  How many lines are
  brought in comes from the simulation; that none replaced this one is (1 - 1/ways) to the power of their number, an
  expectation and not a draw.

Time is counted in cycles of host instructions, and of the translator where it runs; refills are added later, evenly
over the lines accessed.

Sets are independent: the odd and the even instruction lines are simulated separately, at the same time.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.caches.events import EventKind
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


class CacheSets(NamedTuple):
    """A cache: ``tags`` (set, way), -1 for none; the ``latest`` line of each set; lines ``brought`` into it when full.

    ``order``: ``lru``, when each way was last accessed; ``plru``, the node bits of a set, in column 0; ``round-robin``,
    its counter.  ``numbers``: policy, whether stores allocate, the clock of ``order``, and the state of the generator.
    """

    tags: I32
    latest: I32
    brought: I64
    order: I64
    numbers: U64


_POLICY, _ALLOCATES, _CLOCK, _RANDOM_STATE = range(4)


class LinePairs(NamedTuple):
    """The line pairs, and what is known of each since its last row.

    ``of_code``, ``of_data``: the first pair of a line, or -1, and ``next_of_code``, ``next_of_data`` the one after a
    pair.  ``tb_first``: where in ``of_tb`` the pairs of each TB begin.  ``code``, ``data``: the lines of each.
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


class AccessLog(NamedTuple):
    """A row for each access to a pair's instruction line and for each retranslation of its TB, in time order.

    ``pair``; ``who``: the TB that made the access, or -1 less the number of the retranslation.  ``time`` in cycles
    without refills, and how many ``lines`` had been accessed.
    ``code``, ``data``: the probabilities that either line stayed since the row of that pair before.
    """

    pair: I64
    who: I64
    time: F64
    lines: F64
    code: F64
    data: F64


class Timeline(NamedTuple):
    """What happens, as in ``bench/caches/events.py``; and ``marks``, the position of each retranslation, and its TB."""

    position: I64
    kind: U8
    address: I64
    lines: I64
    marks: I64
    marked: I64


class SimulationParameters(NamedTuple):
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


class Progress(NamedTuple):
    """The state between two chunks.

    ``numbers``: position, event, mark, credit of guest data, its next line, misses.  ``time``, and lines accessed.
    """

    numbers: I64
    time: F64


_POSITION, _EVENT, _MARK, _CREDIT, _FRESH, _MISSES = range(6)


class Simulation(NamedTuple):
    """Both caches, what is followed, what happens, how far it went, and where rows are written."""

    code: CacheSets
    data: CacheSets
    pairs: LinePairs
    timeline: Timeline
    parameters: SimulationParameters
    progress: Progress
    log: AccessLog


@part
def _find(c: CacheSets, line: Int) -> Int:
    """The way that holds a line, or -1."""
    index = line & (c.tags.shape[0] - 1)
    found: Int = -1
    for way in range(c.tags.shape[1]):
        if c.tags[index, way] == line:
            found = way
    return found


@part
def _use(c: CacheSets, index: Int, way: Int) -> None:
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
def _victim(c: CacheSets, index: Int) -> Int:
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
        state = c.numbers[_RANDOM_STATE]
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        c.numbers[_RANDOM_STATE] = state
        chosen = np.int64((state >> np.uint64(33)) % np.uint64(ways))
    return chosen


@part
def _access(c: CacheSets, line: Int) -> bool:
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
def _stays(c: CacheSets, line: Int, before: Int, lost: Int) -> float:
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
def _note(s: Simulation, row: Int, pair: Int, who: Int) -> Int:
    """Write a row, and count from here; the number of the next row."""
    pairs, log = s.pairs, s.log
    log.pair[row] = pair
    log.who[row] = who
    log.time[row] = s.progress.time[0]
    log.lines[row] = s.progress.time[1]
    log.code[row] = _stays(s.code, pairs.code[pair], pairs.code_brought[pair], pairs.code_lost[pair])
    log.data[row] = _stays(s.data, pairs.data[pair], pairs.data_brought[pair], pairs.data_lost[pair])
    _restart(s, pair)
    return row + 1


@part
def _restart(s: Simulation, pair: Int) -> None:
    """Count from here."""
    pairs = s.pairs
    pairs.code_brought[pair] = s.code.brought[pairs.code[pair] & (s.code.tags.shape[0] - 1)]
    pairs.data_brought[pair] = s.data.brought[pairs.data[pair] & (s.data.tags.shape[0] - 1)]
    pairs.code_lost[pair] = 0
    pairs.data_lost[pair] = 0


@part
def _lose(first: I64, following: I64, lost: U8, line: Int) -> None:
    """Note for the pairs of a line that it left or was cleaned."""
    pair = first[line] if line < first.shape[0] else -1
    while pair >= 0:
        lost[pair] = 1
        pair = following[pair]


@part
def _drop(c: CacheSets, line: Int) -> None:
    """Invalidate a line."""
    way = _find(c, line)
    if way >= 0:
        index = line & (c.tags.shape[0] - 1)
        c.tags[index, way] = -1
        c.latest[index] = -1


@part
def _access_data(s: Simulation, line: Int, store: bool) -> None:
    """Load a data line, or store to it."""
    if not store or s.data.numbers[_ALLOCATES] or _find(s.data, line) >= 0:
        missed = _access(s.data, line)
        if missed and np.int64(s.data.numbers[_POLICY]) != _RANDOM:  # it had left, and is back
            _lose(s.pairs.of_data, s.pairs.next_of_data, s.pairs.data_lost, line)


@part
def _apply(s: Simulation, kind: Int, address: Int, count: Int) -> None:
    """Apply one event, but for the translator's time."""
    code, pairs, sizes = s.code, s.pairs, s.parameters
    if kind == _TRANSLATE:
        for _ in range(count):
            for line in range(sizes.translator_code, sizes.translator_code + sizes.translator_code_lines):
                if line & 1 == sizes.half:
                    _access(code, line)
            for line in range(sizes.translator_data, sizes.translator_data + sizes.translator_data_lines):
                _access_data(s, line, False)
    elif kind == _INVALIDATE_ALL:
        for index in range(code.tags.shape[0]):
            for way in range(code.tags.shape[1]):
                code.tags[index, way] = -1
            code.latest[index] = -1
        for pair in range(pairs.code.shape[0]):
            pairs.code_lost[pair] = 1
    elif kind == _INVALIDATE:
        first = address >> sizes.code_bits
        for line in range(first, first + count):
            _drop(code, line)
            _lose(pairs.of_code, pairs.next_of_code, pairs.code_lost, line)
    else:
        first = address >> sizes.data_bits
        for line in range(first, first + count):
            if kind == _CLEAN:
                _lose(pairs.of_data, pairs.next_of_data, pairs.data_lost, line)
            else:
                _access_data(s, line, kind == _STORE)


@part
def _due(positions: I64, number: Int, position: Int) -> bool:
    """Whether the next of some ascending positions is this one."""
    return bool(number < positions.shape[0] and positions[number] == position)


@part
def _events(s: Simulation, row: Int, position: Int) -> Int:
    """Apply all events after the execution at ``position``; the next row of the log."""
    numbers, timeline, pairs = s.progress.numbers, s.timeline, s.pairs
    first_mark = numbers[_MARK]
    while _due(timeline.marks, numbers[_MARK], position):
        numbers[_MARK] += 1
    noted = first_mark == numbers[_MARK]
    while _due(timeline.position, numbers[_EVENT], position):
        event = numbers[_EVENT]
        kind = np.int64(timeline.kind[event])
        if kind == _TRANSLATE:
            s.progress.time[0] += s.parameters.translator * timeline.lines[event]
        elif not noted:  # the translator runs before it stores
            noted = True
            row = _marks(s, row, first_mark)
        _apply(s, kind, timeline.address[event], timeline.lines[event])
        numbers[_EVENT] += 1
    if not noted:
        row = _marks(s, row, first_mark)
    for mark in range(first_mark, numbers[_MARK]):
        tb = timeline.marked[mark]
        for at in range(pairs.tb_first[tb], pairs.tb_first[tb + 1]):
            _restart(s, pairs.of_tb[at])
    return row


@part
def _marks(s: Simulation, row: Int, first: Int) -> Int:
    """Write the rows of the retranslations from ``first`` on; the next row of the log."""
    for mark in range(first, s.progress.numbers[_MARK]):
        tb = s.timeline.marked[mark]
        for at in range(s.pairs.tb_first[tb], s.pairs.tb_first[tb + 1]):
            row = _note(s, row, s.pairs.of_tb[at], -1 - mark)
    return row


@lean_kernel
def follow(words: U32, spans: I64, lengths: I64, s: Simulation) -> Int:
    """Go through a chunk of executions; the number of rows written.

    ``spans``: the first and last instruction line of each TB; ``lengths``: their bytes.
    """
    numbers, pairs, parameters = s.progress.numbers, s.pairs, s.parameters
    row: Int = 0
    if numbers[_POSITION] == 0:
        row = _events(s, row, -1)
    for word in words:
        tb = np.int64(word & _TB)
        if word < _STOPPED and tb < spans.shape[0]:
            s.progress.time[0] += lengths[tb] * parameters.per_byte
            s.progress.time[1] += spans[tb, 1] - spans[tb, 0] + 1
            for line in range(spans[tb, 0] + ((spans[tb, 0] ^ parameters.half) & 1), spans[tb, 1] + 1, 2):
                pair = pairs.of_code[line]
                while pair >= 0:
                    row = _note(s, row, pair, tb)
                    pair = pairs.next_of_code[pair]
                if _access(s.code, line):
                    numbers[_MISSES] += 1
                    pair = pairs.of_code[line]
                    while pair >= 0:
                        _restart(s, pair)
                        pair = pairs.next_of_code[pair]
            numbers[_CREDIT] += parameters.guest
            while numbers[_CREDIT] >= _PER_THOUSAND:
                numbers[_CREDIT] -= _PER_THOUSAND
                _access_data(s, numbers[_FRESH], False)
                numbers[_FRESH] += 1
        position = numbers[_POSITION]
        numbers[_POSITION] += 1
        if _due(s.timeline.position, numbers[_EVENT], position) or _due(s.timeline.marks, numbers[_MARK], position):
            row = _events(s, row, position)
    return row
