"""The breadth-first search over packed states, compiled.

It knows no rule of the machine: what a step does it looks up in the ``Arrays`` of ``bench/check/packing.py``.  A state
for which they do not say enough is handed back, to be expanded again when they do.

States are rows of words.  The set of those seen is a hash table of the states themselves, open addressing with linear
probing, where a row of zeros is free.  The successors of some thousand states are made before any of them is looked up:
so the processor can wait for many of the table's lines at once.  Many of them are known from a moment ago, since steps
that have nothing to do with each other lead to the same state in either order: a small table of the latest
(``recent``), which fits a cache, keeps those from the large one.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.check.packing import AWAITED, BY_THREAD, HASH_KEY, HASH_STEP, NONE, REFUSED, UNKNOWN, Arrays
from bench.check.relation import BUSY, DATA_WRONG, UNFINISHED
from bench.jit import inlined, lean_kernel

I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]
Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64
Width: TypeAlias = tuple[int, ...]

# Of numpy's types, since numba takes a Python constant for a signed number, and a sum of both kinds for a real one.
_HASH_KEY, _HASH_STEP = np.uint64(HASH_KEY), np.uint64(HASH_STEP)
_MIX, _MIX_AGAIN = np.uint64(0xFF51_AFD7_ED55_8CCD), np.uint64(0xC4CE_B9FE_1A85_EC53)
"""The multipliers of MurmurHash3's 64-bit finalizer."""
_HIGH, _ZERO, _ONE, _NONE = np.uint64(32), np.uint64(0), np.uint64(1), np.uint64(NONE)
_BY_THREAD, _AWAITED = np.uint64(BY_THREAD), np.uint64(AWAITED)
_UNKNOWN, _REFUSED = np.int64(UNKNOWN), np.int64(REFUSED)
_DATA_WRONG, _BUSY, _UNFINISHED = np.uint8(DATA_WRONG), np.uint8(BUSY), np.uint8(UNFINISHED)

# What a step of a state comes to.
_NO, _YES, _WRONG, _ASK = np.int64(0), np.int64(1), np.int64(2), np.int64(3)

ROWS, UNASKED, STUCK, FAILING, FINISHED, COUNT, OVER = range(7)
"""What a kernel reports: successors made; states that need to be asked for; states in which no thread can step; states
with a failing step; whether all had finished in some state; states seen in all; whether some was not kept."""
REPORTS = 7


@inlined
def _hash(width: Width, states: U64, row: Word) -> Word:
    mixed = _ZERO
    for word in range(len(width)):
        mixed = (mixed ^ states[row, word]) * _MIX
        mixed ^= mixed >> _HIGH
    mixed *= _MIX_AGAIN
    return mixed ^ (mixed >> _HIGH)


@inlined
def _equal(width: Width, one: U64, row: Word, other: U64, at: Word) -> bool:
    """Whether two rows are the same."""
    same = bool(one[row, 0] == other[at, 0])
    for word in range(1, len(width)):
        same = same and one[row, word] == other[at, word]
    return same


@inlined
def _copy(width: Width, one: U64, row: Word, other: U64, at: Word) -> None:
    """Write a row of ``one`` to one of ``other``."""
    for word in range(len(width)):
        other[at, word] = one[row, word]


@inlined
def _field(states: U64, row: Word, fields: U64, at: Word, column: Int) -> Word:
    """The value of a field, (word, shift, mask) from ``column`` of ``fields`` on."""
    value: Word = (states[row, fields[at, column]] >> fields[at, column + 1]) & fields[at, column + 2]
    return value


@inlined
def _driven(a: Arrays, states: U64, row: Word, driver: Int) -> Word:
    """Where the steps that a driver's value leads to are."""
    at = np.uint64(driver)
    second = _field(states, row, a.drivers, at, 3)
    place: Word = a.drivers[at, 7] + (_field(states, row, a.drivers, at, 0) | second << a.drivers[at, 6])
    return place


@inlined
def _take(a: Arrays, states: U64, row: Word, step: Word, out: U64, to: Word) -> Int:
    """Whether a step can be taken, and if so the state after it, to row ``to`` of ``out``."""
    key = _ZERO
    for read in range(a.steps[step, 1], a.steps[step, 2]):
        at = np.uint64(read)
        value = _field(states, row, a.reads, at, 0)
        if a.reads[at, 3] != _NONE:
            value = np.uint64(a.shown[a.reads[at, 3] + value])
        key |= value << a.reads[at, 4]
    found: Int = _UNKNOWN
    if a.steps[step, 3] != _NONE:
        found = np.int64(a.entries[a.steps[step, 3] + key])
    else:
        last = np.uint64(a.hashed_steps.size - 1)
        place = ((key * _HASH_KEY + step * _HASH_STEP) >> _HIGH) & last
        while a.hashed_steps[place] != _NONE:
            if a.hashed_steps[place] == step and a.hashed_keys[place] == key:
                found = np.int64(a.hashed_entries[place])
                break
            place = (place + _ONE) & last
    answer: Int = _ASK
    if found >= 0:
        result = np.uint64(found)
        for word in range(len(a.width)):
            out[to, word] = (states[row, word] & ~a.clear[step, word]) | a.results[result, word]
        answer = _WRONG if a.wrong[result] else _YES
    elif found == _REFUSED:
        answer = _NO
    return answer


@inlined
def _says(a: Arrays, states: U64, row: Word) -> np.uint8:
    """All that the values of a state's slots say of it."""
    said = np.uint8(0)
    for slot in range(a.flagged.shape[0]):
        at = np.uint64(slot)
        said |= a.flags[a.flagged[at, 3] + _field(states, row, a.flagged, at, 0)]
    return said


@inlined
def _least(a: Arrays, states: U64, row: Word, spare: Word) -> None:
    """Replace a state by the least that swaps make of it, one after the other as long as one makes it less.

    That is one of the states that are the same to everybody, though not always the same one of them.
    """
    less = True
    while less:
        less = False
        for number in range(a.swaps.shape[0]):
            swap = np.uint64(number)
            for move in range(a.swaps[swap, 0], a.swaps[swap, 1]):
                at = np.uint64(move)
                held = _field(states, row, a.moves, at, 0)
                moved = a.images[a.moves[at, 6] + _field(states, row, a.moves, at, 3)]
                if moved != held:
                    less = moved < held
                    break
            if less:
                _copy(a.width, states, row, states, spare)
                for move in range(a.swaps[swap, 0], a.swaps[swap, 1]):
                    at = np.uint64(move)
                    moved = a.images[a.moves[at, 6] + _field(states, spare, a.moves, at, 3)]
                    clear = ~(a.moves[at, 2] << a.moves[at, 1])
                    states[row, a.moves[at, 0]] = (states[row, a.moves[at, 0]] & clear) | moved << a.moves[at, 1]
                break


@lean_kernel
def least(a: Arrays, states: U64, count: Int) -> None:
    """Replace states by the least that swaps make of them.  The row after the last is for the kernel's use."""
    for row in range(count):
        _least(a, states, np.uint64(row), np.uint64(count))


@lean_kernel
def _expand(
    a: Arrays, states: U64, picked: I64, at: Int, last: Int, lasting: bool, recent: U64, out: U64, hashes: U64,
    lists: I64, report: I64,
) -> Int:  # fmt: skip
    """Make the successors of states until all are done or there is no more room; the first that is not done.

    The last row of ``out`` is for the kernel's use.  ``picked``: their rows, or empty for rows ``at`` to ``last``.
    ``lists``: rows of the states that are to be asked for, that are stuck, and that have a failing step; ``report``
    says how many there are.
    """
    rows: Int = 0
    newest = np.uint64(recent.shape[0] - 1)
    while at < last:
        row = np.uint64(picked[at] if picked.size else at)
        first = rows
        moves = False
        asks = False
        fails = False
        full = False
        for driver in range(a.drivers.shape[0]):
            known = _driven(a, states, row, driver)
            asks = asks or a.steps_of[known, 0] < 0
            for number in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                if rows == out.shape[0] - 1:
                    full = True
                    break
                step, to = np.uint64(number), np.uint64(rows)
                answer = _take(a, states, row, step, out, to)
                if answer == _ASK:
                    asks = True
                    break
                if answer != _NO:
                    moves = moves or a.steps[step, 0] & _BY_THREAD != _ZERO
                    if lasting:
                        said = _says(a, out, to)
                        fails = fails or (said & _DATA_WRONG != 0 and said & _BUSY == 0)
                    fails = fails or answer == _WRONG
                    mixed = _hash(a.width, out, to)
                    if not _equal(a.width, out, to, recent, mixed & newest):
                        _copy(a.width, out, to, recent, mixed & newest)
                        if a.swaps.shape[0]:
                            _least(a, out, to, to + _ONE)
                            mixed = _hash(a.width, out, to)
                        hashes[to] = mixed
                        rows += 1
            if asks or full:
                break
        if asks or full:
            rows = first
            # They were not kept, and so are not known.
            recent[:] = _ZERO
        if full:
            break
        if asks:
            lists[0, report[UNASKED]] = np.int64(row)
            report[UNASKED] += 1
        else:
            if _says(a, states, row) & _UNFINISHED == 0:
                report[FINISHED] = 1
            elif not moves:
                lists[1, report[STUCK]] = np.int64(row)
                report[STUCK] += 1
            if fails:
                lists[2, report[FAILING]] = np.int64(row)
                report[FAILING] += 1
        at += 1
    report[ROWS] = rows
    return at


@lean_kernel
def _insert(
    width: Width, out: U64, hashes: U64, rows: Int, table: U64, states: U64, limit: Int, report: I64
) -> Word:  # fmt: skip
    """Put what is new among the successors into the table and behind the states."""
    last = np.uint64(table.shape[0] - 1)
    count = report[COUNT]
    touched = _ZERO
    for block in range(0, rows, 256):
        end = min(block + 256, rows)
        # Independent loads: the processor has many of them under way at once.
        for number in range(block, end):
            touched ^= table[hashes[np.uint64(number)] & last, 0]
        for number in range(block, end):
            row = np.uint64(number)
            place = hashes[row] & last
            while table[place, 0] != _ZERO and not _equal(width, out, row, table, place):
                place = (place + _ONE) & last
            if table[place, 0] == _ZERO:
                if count == limit:
                    report[OVER] = 1
                else:
                    _copy(width, out, row, table, place)
                    _copy(width, out, row, states, np.uint64(count))
                    count += 1
    report[COUNT] = count
    return touched


@lean_kernel
def expand(
    a: Arrays, states: U64, picked: I64, at: Int, last: Int, lasting: bool, recent: U64, out: U64, hashes: U64,
    lists: I64, table: U64, limit: Int, report: I64,
) -> Int:  # fmt: skip
    """Expand states and keep what is new; the first that is not done, for want of room in the table or for states."""
    while at < last:
        room = min(states.shape[0], table.shape[0] - table.shape[0] // 5) - report[COUNT]
        if room < out.shape[0] and report[COUNT] < limit:
            break
        before = at
        at = _expand(a, states, picked, at, last, lasting, recent, out, hashes, lists, report)
        if at == before:
            break
        _insert(a.width, out, hashes, report[ROWS], table, states, limit, report)
    return at


@lean_kernel
def fill(width: Width, states: U64, count: Int, table: U64) -> None:
    """Put different states into an empty table."""
    last = np.uint64(table.shape[0] - 1)
    for number in range(count):
        row = np.uint64(number)
        place = _hash(width, states, row) & last
        while table[place, 0] != _ZERO:
            place = (place + _ONE) & last
        _copy(width, states, row, table, place)


@lean_kernel
def any_finished(a: Arrays, states: U64, count: Int) -> bool:
    """Whether all had finished in one of the states."""
    found = False
    for row in range(count):
        found = found or _says(a, states, np.uint64(row)) & _UNFINISHED == 0
    return found


@lean_kernel
def leading(a: Arrays, states: U64, first: Int, last: Int, goals: U64, out: U64, found: I64) -> Int:
    """Write the rows of the states that have a successor among ``goals``, a table; how many there are."""
    count: Int = 0
    mask = np.uint64(goals.shape[0] - 1)
    for row in range(first, last):
        leads = False
        for driver in range(a.drivers.shape[0]):
            known = _driven(a, states, np.uint64(row), driver)
            for step in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                answer = _take(a, states, np.uint64(row), np.uint64(step), out, _ZERO)
                if answer == _NO:
                    continue
                _least(a, out, _ZERO, _ONE)
                place = _hash(a.width, out, _ZERO) & mask
                while goals[place, 0] != _ZERO and not leads:
                    leads = _equal(a.width, out, _ZERO, goals, place)
                    place = (place + _ONE) & mask
                if leads:
                    break
            if leads:
                break
        if leads:
            found[count] = row
            count += 1
    return count


@inlined
def _moves(a: Arrays, states: U64, row: Word, wanted: Word, out: U64, to: Word) -> bool:
    """Whether a step of a kind can be taken, and if so the state after it, to row ``to`` of ``out``."""
    for driver in range(a.drivers.shape[0]):
        known = _driven(a, states, row, driver)
        for number in range(a.steps_of[known, 0], a.steps_of[known, 1]):
            step = np.uint64(number)
            if a.steps[step, 0] & wanted != _ZERO:
                answer = _take(a, states, row, step, out, to)
                if answer in (_YES, _WRONG):
                    return True
    return False


@lean_kernel
def hopeless(a: Arrays, states: U64, rows: I64, count: Int, out: U64, hops: Int) -> Int:
    """Keep of ``rows`` those from which no way to a thread's step is found by the environment alone; how many.

    It goes on by one of the steps that a thread may wait for (a drain, the completion of maintenance, a switch or a
    move), and again, at most ``hops`` times.  ``out``: three rows.
    """
    kept: Int = 0
    for number in range(count):
        here, there = _ZERO, _ONE
        _copy(a.width, states, np.uint64(rows[number]), out, here)
        alive = False
        for _ in range(hops):
            if not _moves(a, out, here, _AWAITED, out, there):
                break
            here, there = there, here
            if _moves(a, out, here, _BY_THREAD, out, np.uint64(2)):
                alive = True
                break
        if not alive:
            rows[kept] = rows[number]
            kept += 1
    return kept
