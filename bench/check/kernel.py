"""The breadth-first search over packed states, compiled.

It knows no rule of the machine: what a step does it looks up in the ``Arrays`` of ``bench/check/packing.py``.  A state for
which they do not say enough is handed back, to be expanded again when they do.

States are rows of words.  The set of those seen is a hash table of the states themselves, open addressing with linear
probing, where a row of zeros is free.  The successors of some thousand states are made before any of them is looked up:
so the processor can wait for many of the table's lines at once.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.check.packing import AWAITED, BY_THREAD, HASH_KEY, HASH_STEP, REFUSED, UNKNOWN, Arrays
from bench.check.relation import BUSY, DATA_WRONG, UNFINISHED
from bench.jit import inlined, lean_kernel

I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]
Int: TypeAlias = int | np.int64
Word: TypeAlias = np.uint64

# Of numpy's types, since numba would take a Python constant for a signed number.
_HASH_KEY, _HASH_STEP = np.uint64(HASH_KEY), np.uint64(HASH_STEP)
_MIX, _MIX_AGAIN = np.uint64(0xFF51_AFD7_ED55_8CCD), np.uint64(0xC4CE_B9FE_1A85_EC53)
"""The multipliers of MurmurHash3's 64-bit finalizer."""
_HIGH, _ZERO, _ONE = np.uint64(32), np.uint64(0), np.uint64(1)
_UNKNOWN, _REFUSED = np.int64(UNKNOWN), np.int64(REFUSED)
_DATA_WRONG, _BUSY, _UNFINISHED = np.uint8(DATA_WRONG), np.uint8(BUSY), np.uint8(UNFINISHED)

# What a step of a state comes to.
_NO, _YES, _WRONG, _ASK = np.int64(0), np.int64(1), np.int64(2), np.int64(3)

ROWS, UNASKED, STUCK, FAILING, FINISHED, COUNT, OVER = range(7)
"""What a kernel reports: successors made; states that need to be asked for; states in which no thread can step; states
with a failing step; whether all had finished in some state; states seen in all; whether some was not kept."""
REPORTS = 7


@inlined
def hashed(states: U64, row: Int) -> Word:
    """The hash of a state."""
    mixed = _ZERO
    for word in range(states.shape[1]):
        mixed = (mixed ^ states[row, word]) * _MIX
        mixed ^= mixed >> _HIGH
    mixed *= _MIX_AGAIN
    return mixed ^ (mixed >> _HIGH)


@inlined
def _driven(a: Arrays, states: U64, row: Int, driver: Int) -> Int:
    """Where the steps that a driver's value leads to are."""
    first = (states[row, a.drivers[driver, 0]] >> np.uint64(a.drivers[driver, 1])) & np.uint64(a.drivers[driver, 2])
    second = (states[row, a.drivers[driver, 3]] >> np.uint64(a.drivers[driver, 4])) & np.uint64(a.drivers[driver, 5])
    return a.drivers[driver, 7] + np.int64(first | second << np.uint64(a.drivers[driver, 6]))


@inlined
def _take(a: Arrays, states: U64, row: Int, step: Int, out: U64, to: Int) -> Int:
    """Whether a step can be taken, and if so the state after it, to row ``to`` of ``out``."""
    key = _ZERO
    for read in range(a.steps[step, 1], a.steps[step, 2]):
        value = (states[row, a.reads[read, 0]] >> np.uint64(a.reads[read, 1])) & np.uint64(a.reads[read, 2])
        base = a.reads[read, 3]
        if base >= 0:
            value = np.uint64(a.shown[base + np.int64(value)])
        key |= value << np.uint64(a.reads[read, 4])
    table = a.steps[step, 3]
    found: Int = _UNKNOWN
    if table >= 0:
        found = np.int64(a.entries[table + np.int64(key)])
    else:
        last = np.uint64(a.hashed_steps.size - 1)
        place = ((key * _HASH_KEY + np.uint64(step) * _HASH_STEP) >> _HIGH) & last
        while a.hashed_steps[place] != UNKNOWN:
            if a.hashed_steps[place] == step and a.hashed_keys[place] == key:
                found = np.int64(a.hashed_entries[place])
                break
            place = (place + _ONE) & last
    if found >= 0:
        for word in range(states.shape[1]):
            out[to, word] = (states[row, word] & ~a.clear[step, word]) | a.results[found, word]
        answer = _WRONG if a.wrong[found] else _YES
    else:
        answer = _NO if found == _REFUSED else _ASK
    return answer


@inlined
def _says(a: Arrays, states: U64, row: Int) -> np.uint8:
    """All that the values of a state's slots say of it."""
    said = np.uint8(0)
    for slot in range(a.flagged.shape[0]):
        value = (states[row, a.flagged[slot, 0]] >> np.uint64(a.flagged[slot, 1])) & np.uint64(a.flagged[slot, 2])
        said |= a.flags[a.flagged[slot, 3] + np.int64(value)]
    return said


@lean_kernel
def _expand(
    a: Arrays, states: U64, picked: I64, at: Int, last: Int, lasting: bool, out: U64, hashes: U64,
    lists: I64, report: I64,
) -> Int:  # fmt: skip
    """Make the successors of states until they are all done or there is no more room; the first that is not done.

    ``picked``: their rows, or empty for rows ``at`` to ``last``.  ``lists``: rows of the states that are to be asked for, that
    are stuck, and that have a failing step, from ``report`` on.
    """
    rows: Int = 0
    while at < last:
        row = picked[at] if picked.size else at
        first = rows
        moves = False
        asks = False
        fails = False
        full = False
        for driver in range(a.drivers.shape[0]):
            known = _driven(a, states, row, driver)
            if a.steps_of[known, 0] < 0:
                asks = True
            for step in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                if rows == out.shape[0]:
                    full = True
                    break
                answer = _take(a, states, row, step, out, rows)
                if answer == _ASK:
                    asks = True
                elif answer != _NO:
                    if a.steps[step, 0] & BY_THREAD:
                        moves = True
                    if answer == _WRONG:
                        fails = True
                    elif lasting:
                        said = _says(a, out, rows)
                        if (said & _DATA_WRONG) and not (said & _BUSY):
                            fails = True
                    hashes[rows] = hashed(out, rows)
                    rows += 1
            if asks or full:
                break
        if full:
            rows = first
            break
        if asks:
            rows = first
            lists[0, report[UNASKED]] = row
            report[UNASKED] += 1
        else:
            finished = not (_says(a, states, row) & _UNFINISHED)
            if finished:
                report[FINISHED] = 1
            elif not moves:
                lists[1, report[STUCK]] = row
                report[STUCK] += 1
            if fails:
                lists[2, report[FAILING]] = row
                report[FAILING] += 1
        at += 1
    report[ROWS] = rows
    return at


@lean_kernel
def _insert(out: U64, hashes: U64, rows: Int, table: U64, states: U64, limit: Int, report: I64) -> Word:
    """Put what is new among the successors into the table and behind the states."""
    last = np.uint64(table.shape[0] - 1)
    count = report[COUNT]
    touched = _ZERO
    for block in range(0, rows, 256):
        end = min(block + 256, rows)
        # Independent loads: the processor has many of them under way at once.
        for row in range(block, end):
            touched ^= table[hashes[row] & last, 0]
        for row in range(block, end):
            place = hashes[row] & last
            while True:
                held = table[place, 0]
                if held == _ZERO:
                    if count == limit:
                        report[OVER] = 1
                        break
                    for word in range(table.shape[1]):
                        table[place, word] = out[row, word]
                        states[count, word] = out[row, word]
                    count += 1
                    break
                same = held == out[row, 0]
                for word in range(1, table.shape[1]):
                    same = same and table[place, word] == out[row, word]
                if same:
                    break
                place = (place + _ONE) & last
    report[COUNT] = count
    return touched


@lean_kernel
def expand(
    a: Arrays, states: U64, picked: I64, at: Int, last: Int, lasting: bool, out: U64, hashes: U64, lists: I64,
    table: U64, limit: Int, report: I64,
) -> Int:  # fmt: skip
    """Expand states and keep what is new; the first state that is not done, for want of room in the table or for states."""
    while at < last:
        room = min(states.shape[0], table.shape[0] - table.shape[0] // 5) - report[COUNT]
        if room < out.shape[0] and report[COUNT] < limit:
            break
        before = at
        at = _expand(a, states, picked, at, last, lasting, out, hashes, lists, report)
        if at == before:
            break
        _insert(out, hashes, report[ROWS], table, states, limit, report)
    return at


@lean_kernel
def fill(states: U64, count: Int, table: U64) -> None:
    """Put different states into an empty table."""
    last = np.uint64(table.shape[0] - 1)
    for row in range(count):
        place = hashed(states, row) & last
        while table[place, 0] != _ZERO:
            place = (place + _ONE) & last
        for word in range(table.shape[1]):
            table[place, word] = states[row, word]


@lean_kernel
def any_finished(a: Arrays, states: U64, count: int) -> bool:
    """Whether all had finished in one of the states."""
    for row in range(count):
        if not (_says(a, states, row) & _UNFINISHED):
            return True
    return False


@lean_kernel
def leading(a: Arrays, states: U64, first: Int, last: Int, goals: U64, out: U64, found: I64) -> Int:
    """Write the rows of the states that have a successor among ``goals``, a table; how many there are."""
    count: Int = 0
    mask = np.uint64(goals.shape[0] - 1)
    for row in range(first, last):
        leads = False
        for driver in range(a.drivers.shape[0]):
            known = _driven(a, states, row, driver)
            for step in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                answer = _take(a, states, row, step, out, 0)
                if answer == _YES or answer == _WRONG:
                    place = hashed(out, 0) & mask
                    while goals[place, 0] != _ZERO and not leads:
                        leads = goals[place, 0] == out[0, 0]
                        for word in range(1, goals.shape[1]):
                            leads = leads and goals[place, word] == out[0, word]
                        place = (place + _ONE) & mask
                if leads:
                    break
            if leads:
                break
        if leads:
            found[count] = row
            count += 1
    return count


@lean_kernel
def hopeless(a: Arrays, states: U64, rows: I64, count: Int, out: U64, hops: Int) -> Int:
    """Keep of ``rows`` those from which no way to a thread's step is found by the environment alone; how many.

    It looks at the successors by the environment, and goes on to one of them that a driver other than a cache line led to,
    at most ``hops`` times: what a thread waits for is a buffer, pending maintenance or a switch.  ``out``: three rows.
    """
    kept: Int = 0
    for at in range(count):
        here = 0
        for word in range(states.shape[1]):
            out[here, word] = states[rows[at], word]
        alive = False
        for _ in range(hops):
            there = -1
            for driver in range(a.drivers.shape[0]):
                known = _driven(a, out, here, driver)
                for step in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                    if a.steps[step, 0] & AWAITED:
                        if _take(a, out, here, step, out, 1 - here) == _YES:
                            there = 1 - here
                            break
                if there >= 0:
                    break
            if there < 0:
                break
            here = there
            for driver in range(a.drivers.shape[0]):
                known = _driven(a, out, here, driver)
                for step in range(a.steps_of[known, 0], a.steps_of[known, 1]):
                    if a.steps[step, 0] & BY_THREAD:
                        answer = _take(a, out, here, step, out, 2)
                        alive = alive or answer == _YES or answer == _WRONG
            if alive:
                break
        if not alive:
            rows[kept] = rows[at]
            kept += 1
    return kept
