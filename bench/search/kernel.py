"""The breadth-first search over packed states, compiled.

It knows no rule of the machine: what a step does it looks up in the ``Arrays`` of ``bench/search/packing.py``.  A state
for which they do not say enough is handed back, to be expanded again when they do.

States are rows of words.  The set of those seen is a hash table of their numbers, open addressing with linear probing,
with half of a hash beside each number, and 0 where it is free.  The successors of some thousand states are made before
any of them is looked up: so the processor can wait for many of the table's lines at once.

Two steps that are apart (neither writes what the other touches) lead to one state in either order, and one order will
do (*sleep sets*: Godefroid, Partial-Order Methods for the Verification of Concurrent Systems, 1996, chapter 5).  The
last word of a row says which steps of the state are left out: after a step, those that are apart from it and were
taken before it, or left out, where it was taken; and of that what all the ways from the layer before agree on.  All
states are seen all the same, each in its layer: of the shortest ways to a state, the one that is first in the order of
steps has none that is left out, else that step could be taken earlier, and the way would not be first.  Nor is a step
that fails: it would have failed in an earlier layer.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from bench.search.packing import AWAITED, BY_THREAD, HASH_KEY, HASH_STEP, I64, NONE, REFUSED, U8, U64, UNKNOWN, Arrays
from bench.search.relation import BUSY, DATA_WRONG, UNFINISHED
from bench.support.kernels import expanded, lean_kernel

Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64
Width: TypeAlias = tuple[int, ...]

# Of numpy's types, since numba takes a Python constant for a signed number, and a sum of both kinds for a real one.
_HASH_KEY, _HASH_STEP = np.uint64(HASH_KEY), np.uint64(HASH_STEP)
_MIX, _MIX_AGAIN = np.uint64(0xFF51_AFD7_ED55_8CCD), np.uint64(0xC4CE_B9FE_1A85_EC53)
"""The multipliers of MurmurHash3's 64-bit finalizer."""
_HIGH, _LOW = np.uint64(32), np.uint64((1 << 32) - 1)
_ZERO, _ONE, _NONE = np.uint64(0), np.uint64(1), np.uint64(NONE)
_BY_THREAD, _AWAITED = np.uint64(BY_THREAD), np.uint64(AWAITED)
_UNKNOWN, _REFUSED = np.int64(UNKNOWN), np.int64(REFUSED)
_DATA_WRONG, _BUSY, _UNFINISHED = np.uint8(DATA_WRONG), np.uint8(BUSY), np.uint8(UNFINISHED)

# What a step of a state comes to.
_NO, _YES, _WRONG, _ASK = np.int64(0), np.int64(1), np.int64(2), np.int64(3)

UNASKED, STUCK, FAILING, FINISHED, COUNT, OVER = range(6)
"""What a kernel reports: states that need to be asked for; states in which no thread can step; states
with a failing step; whether all had finished in some state; states seen in all; whether some was not kept."""
REPORTS = 6


@expanded
def _hash(width: Width, states: U64, row: Word) -> Word:
    mixed = _ZERO
    for word in range(len(width)):
        mixed = (mixed ^ states[row, word]) * _MIX
        mixed ^= mixed >> _HIGH
    mixed *= _MIX_AGAIN
    return mixed ^ (mixed >> _HIGH)


@expanded
def _equal(width: Width, one: U64, row: Word, other: U64, at: Word) -> bool:
    """Whether two rows are the same."""
    same = bool(one[row, 0] == other[at, 0])
    for word in range(1, len(width)):
        same = same and one[row, word] == other[at, word]
    return same


@expanded
def _copy(width: Width, one: U64, row: Word, other: U64, at: Word) -> None:
    """Write a row of ``one``, with its last word, to one of ``other``."""
    for word in range(len(width) + 1):
        other[at, word] = one[row, word]


@expanded
def _field(states: U64, row: Word, fields: U64, at: Word, column: Int) -> Word:
    """The value of a field, (word, shift, mask) from ``column`` of ``fields`` on."""
    value: Word = (states[row, fields[at, column]] >> fields[at, column + 1]) & fields[at, column + 2]
    return value


@expanded
def _driven(a: Arrays, states: U64, row: Word, driver: Int) -> Word:
    """Where the steps that a driver's value leads to are."""
    at = np.uint64(driver)
    second = _field(states, row, a.drivers, at, 3)
    place: Word = a.drivers[at, 7] + (_field(states, row, a.drivers, at, 0) | second << a.drivers[at, 6])
    return place


@expanded
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


@expanded
def _says(a: Arrays, states: U64, row: Word) -> np.uint8:
    """All that the values of a state's slots say of it."""
    said = np.uint8(0)
    for slot in range(a.flagged.shape[0]):
        at = np.uint64(slot)
        said |= a.flags[a.flagged[at, 3] + _field(states, row, a.flagged, at, 0)]
    return said


@expanded
def _differs(a: Arrays, states: U64, row: Word, swap: Word, first: Word) -> Word:
    """The first move of a swap, from ``first`` on, that would change the state; if none, the one after the last."""
    move = first
    while move < a.swaps[swap, 1] and a.images[a.moves[move, 6] + _field(states, row, a.moves, move, 3)] == _field(
        states, row, a.moves, move, 0
    ):
        move += _ONE
    return move


@expanded
def _lessens(a: Arrays, states: U64, row: Word, swap: Word, move: Word) -> bool:
    """Whether a swap, of which ``move`` is the first that would change the state, makes it less."""
    less = False
    if move < a.swaps[swap, 1]:
        image = a.images[a.moves[move, 6] + _field(states, row, a.moves, move, 3)]
        less = image < _field(states, row, a.moves, move, 0)
    return less


@expanded
def _swap(a: Arrays, states: U64, row: Word, swap: Word, spare: Word) -> None:
    """Do a swap in place."""
    _copy(a.width, states, row, states, spare)
    for number in range(a.swaps[swap, 0], a.swaps[swap, 2]):
        move = np.uint64(number)
        image = a.images[a.moves[move, 6] + _field(states, spare, a.moves, move, 3)]
        word, shift = a.moves[move, 0], a.moves[move, 1]
        states[row, word] = (states[row, word] & ~(a.moves[move, 2] << shift)) | image << shift


@expanded
def _least(a: Arrays, states: U64, row: Word, spare: Word) -> None:
    """Replace a state by the least that swaps make of it, one after the other as long as one makes it less.

    That is one of the states that are the same to everybody, though not always the same one of them.
    """
    number = 0
    while number < a.swaps.shape[0]:
        swap = np.uint64(number)
        if _lessens(a, states, row, swap, _differs(a, states, row, swap, a.swaps[swap, 0])):
            _swap(a, states, row, swap, spare)
            number = 0
        else:
            number += 1


@lean_kernel
def least(a: Arrays, states: U64, count: Int) -> None:
    """Replace states by the least that swaps make of them.  The row after the last is for the kernel's use."""
    for row in range(count):
        _least(a, states, np.uint64(row), np.uint64(count))


@expanded
def _entry(mixed: Word, row: Word) -> Word:
    """What a table says of a row: half of its hash, and its number from 1 on."""
    return (mixed & ~_LOW) | (row + _ONE)


@expanded
def _found(width: Width, out: U64, row: Word, mixed: Word, table: U64, states: U64) -> Word:
    """Where a table has a row of ``out`` as one of ``states``, or the free place where it would be."""
    last = np.uint64(table.size - 1)
    place = mixed & last
    while table[place] != _ZERO and (
        (table[place] ^ mixed) & ~_LOW != _ZERO or not _equal(width, out, row, states, (table[place] & _LOW) - _ONE)
    ):
        place = (place + _ONE) & last
    return place


@expanded
def _owner(mixed: Word, workers: Int) -> Int:
    """Which worker keeps the states with a hash, by its upper bits; the table goes by the lower ones."""
    return np.int64(((mixed >> _HIGH) * np.uint64(workers)) >> _HIGH)


@lean_kernel
def successors(
    a: Arrays,
    states: U64,
    picked: I64,
    at: Int,
    last: Int,
    lasting: bool,
    spare: U64,
    differs: U64,
    out: U64,
    hashes: U64,
    rows: I64,
    most: Int,
    lists: I64,
    report: I64,
) -> Int:
    """Make the successors of states until all are done or there is no more room; the first that is not done.

    ``picked``: their rows, or empty for rows ``at`` to ``last``.  ``spare``: two rows,
    ``differs``: as many numbers as there are swaps, for the kernel's use.  ``out``,
    and ``hashes``: as many rows for each of the workers, and ``rows``: how many each has; ``most``: successors of a
    state.  ``lists``: rows of the states that are to be asked for, that are stuck, and that have a failing step;
    ``report`` says how many there are.
    """
    workers = rows.size
    room = out.shape[0] // workers
    asleep_at = np.uint64(len(a.width))
    rows[:] = 0
    while at < last:
        row = np.uint64(picked[at] if picked.size else at)
        asleep = states[row, asleep_at]
        before = _ZERO
        moves = False
        asks = False
        fails = False
        full = False
        for worker in range(workers):
            full = full or rows[worker] + most > room
        if full:
            break
        for other in range(a.swaps.shape[0]):
            swap = np.uint64(other)
            differs[swap] = _differs(a, states, row, swap, a.swaps[swap, 0])
        for driver in range(a.drivers.shape[0]):
            known = _driven(a, states, row, driver)
            asks = asks or a.steps_of[known, 0] < 0
            for number in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                step = np.uint64(number)
                if a.steps[step, 4] & asleep != _ZERO:
                    moves = moves or a.steps[step, 0] & _BY_THREAD != _ZERO
                    continue
                answer = _take(a, states, row, step, spare, _ZERO)
                if answer == _ASK:
                    asks = True
                    break
                if answer != _NO:
                    moves = moves or a.steps[step, 0] & _BY_THREAD != _ZERO
                    if lasting:
                        said = _says(a, spare, _ZERO)
                        fails = fails or (said & _DATA_WRONG != 0 and said & _BUSY == 0)
                    fails = fails or answer == _WRONG
                    spare[_ZERO, asleep_at] = (asleep | before) & a.steps[step, 5]
                    before |= a.steps[step, 4]
                    if a.swaps.shape[0]:
                        # The state is the least; a swap can lessen what a step makes of it only if the step changed
                        # what comes before the first difference, or that itself.
                        less = False
                        for other in range(a.swaps.shape[0]):
                            swap = np.uint64(other)
                            move = a.touched[step, swap]
                            if move <= differs[swap] and not less:
                                less = _lessens(a, spare, _ZERO, swap, _differs(a, spare, _ZERO, swap, move))
                        if less:
                            _least(a, spare, _ZERO, _ONE)
                    mixed = _hash(a.width, spare, _ZERO)
                    owner = _owner(mixed, workers)
                    to = np.uint64(owner * room + rows[owner])
                    _copy(a.width, spare, _ZERO, out, to)
                    hashes[to] = mixed
                    rows[owner] += 1
            if asks:
                break
        # The successors of a state that is to be asked for are made once more: that does no harm.
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
    return at


@lean_kernel
def insert(
    width: Width, out: U64, hashes: U64, first: Int, rows: Int, table: U64, states: U64, limit: Int, report: I64
) -> Word:
    """Put what is new among the successors into the table and behind the states."""
    last = np.uint64(table.size - 1)
    asleep_at = np.uint64(len(width))
    count = report[COUNT]
    touched = _ZERO
    for block in range(first, first + rows, 256):
        end = min(block + 256, first + rows)
        # Independent loads: the processor has many of them under way at once.
        for number in range(block, end):
            touched ^= table[hashes[np.uint64(number)] & last]
        for number in range(block, end):
            row = np.uint64(number)
            place = _found(width, out, row, hashes[row], table, states)
            if table[place] != _ZERO:
                states[(table[place] & _LOW) - _ONE, asleep_at] &= out[row, asleep_at]
            elif count == limit:
                report[OVER] = 1
            else:
                table[place] = _entry(hashes[row], np.uint64(count))
                _copy(width, out, row, states, np.uint64(count))
                count += 1
    report[COUNT] = count
    return touched


@lean_kernel
def expand(
    a: Arrays,
    states: U64,
    picked: I64,
    at: Int,
    last: Int,
    lasting: bool,
    spare: U64,
    differs: U64,
    out: U64,
    hashes: U64,
    rows: I64,
    most: Int,
    lists: I64,
    table: U64,
    limit: Int,
    report: I64,
) -> Int:
    """Both, for the only worker; the first state that is not done, for want of room in the table or for states."""
    while at < last:
        room = min(states.shape[0], table.size - table.size // 5) - report[COUNT]
        if room < out.shape[0] and report[COUNT] < limit:
            break
        at = successors(a, states, picked, at, last, lasting, spare, differs, out, hashes, rows, most, lists, report)
        insert(a.width, out, hashes, 0, rows[0], table, states, limit, report)
    return at


@lean_kernel
def owners(width: Width, states: U64, count: Int, found: U8, workers: Int) -> None:
    """Which worker keeps each of the states."""
    for row in range(count):
        found[row] = _owner(_hash(width, states, np.uint64(row)), workers)


@lean_kernel
def fill(width: Width, states: U64, count: Int, table: U64) -> None:
    """Put different states into an empty table."""
    last = np.uint64(table.size - 1)
    for number in range(count):
        row = np.uint64(number)
        mixed = _hash(width, states, row)
        place = mixed & last
        while table[place] != _ZERO:
            place = (place + _ONE) & last
        table[place] = _entry(mixed, row)


@lean_kernel
def any_finished(a: Arrays, states: U64, count: Int) -> bool:
    """Whether all had finished in one of the states."""
    found = False
    for row in range(count):
        found = found or _says(a, states, np.uint64(row)) & _UNFINISHED == 0
    return found


@lean_kernel
def leading(a: Arrays, states: U64, first: Int, last: Int, goals: U64, table: U64, out: U64, found: I64) -> Int:
    """Write the rows of the states that have a successor among ``goals``, with their table; how many there are."""
    count: Int = 0
    for row in range(first, last):
        leads = False
        for driver in range(a.drivers.shape[0]):
            known = _driven(a, states, np.uint64(row), driver)
            for step in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                answer = _take(a, states, np.uint64(row), np.uint64(step), out, _ZERO)
                if answer == _NO:
                    continue
                _least(a, out, _ZERO, _ONE)
                if table[_found(a.width, out, _ZERO, _hash(a.width, out, _ZERO), table, goals)] != _ZERO:
                    leads = True
                    break
            if leads:
                break
        if leads:
            found[count] = row
            count += 1
    return count


@expanded
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
