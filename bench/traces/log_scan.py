"""Scanning a QEMU log: the lines that make up nearly all of it, at the speed of memory.

``Trace`` lines and the host instructions of ``OUT`` blocks are handled here;
the scanner stops at every other line and leaves it to its caller.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.jit import inlined, kernel, lean_kernel
from bench.traces.successor import THREADS, UNKNOWN_TB, Words

Bytes = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


class Stop(enum.IntEnum):
    """Why the scanner stopped."""

    END = 0  # no whole line is left
    LINE = 1  # a line for the caller, from ``Scanner.line`` to ``Scanner.line_end``
    FULL = 2  # no room for more executions
    GROW = 3  # no room for more addresses
    BLOCK = 4  # the blank line after an OUT or PROLOGUE block
    BAD_TRACE = 5  # a ``Trace`` line that is none
    BAD_THREAD = 6  # a thread number above 127
    BAD_PC = 7  # the guest address is not that of the TB at this host address
    UNKNOWN_ADDRESS = 8  # no TB was translated to this host address
    BAD_HOST_LINE = 9  # a line that no OUT block has, or an address out of range or order
    WATCHED = 10  # a watched thread has executed


MOST_CHUNKS: Final = 1 << 12
"""Guest instructions with host code per TB; QEMU's own limit is 512 (``TCG_MAX_INSNS``)."""

# Numbers of the scanner's state.
_AT, _LINE_NUMBER, _WORDS, _ENTRIES, _EXECUTIONS, _STRICT = range(6)
_BLOCK, _SIZE, _START, _LATEST, _MARK, _CHUNKS, _SLOW, _DATA = range(6, 14)
_STATE: Final = 14
_NO_BLOCK, _IN_OUT, _IN_PROLOGUE = range(3)
_NO_MARK, _MARK_INSTRUCTION, _MARK_SLOW, _MARK_DATA = range(4)

_TRACE: Final = np.frombuffer(b"Trace ", np.uint8)
_GUEST_MARK: Final = np.frombuffer(b"  -- guest addr 0x", np.uint8)
_PROLOGUE_MARK: Final = np.frombuffer(b" + tb prologue", np.uint8)
_SLOW_MARK: Final = np.frombuffer(b"  -- tb slow paths + alignment", np.uint8)
_DATA_MARK: Final = np.frombuffer(b"  data: [size=", np.uint8)
_COLON, _BLANK, _NEWLINE, _OPEN, _CLOSE, _SLASH, _ZERO, _X = b": \n[]/0x"


@inlined
def _starts(data: Bytes, at: int, end: int, text: Bytes) -> bool:
    if at + text.size > end:
        return False
    for i in range(text.size):  # noqa: SIM110 - numba does not compile all()
        if data[at + i] != text[i]:
            return False
    return True


@inlined
def _hex(data: Bytes, at: int) -> tuple[np.uint64, int]:
    """The number in lower-case hexadecimal at ``at`` and the index after it; that is ``at`` itself if there is none."""
    value = np.uint64(0)
    begin = at
    while at - begin < 17:
        digit = data[at]
        if 48 <= digit <= 57:
            value = (value << np.uint64(4)) | np.uint64(digit - 48)
        elif 97 <= digit <= 102:
            value = (value << np.uint64(4)) | np.uint64(digit - 87)
        else:
            return value, at
        at += 1
    return value, begin


@inlined
def _decimal(data: Bytes, at: int) -> tuple[np.int64, int]:
    """The same for a decimal number of at most nine digits."""
    value = np.int64(0)
    begin = at
    while at - begin < 10:
        digit = data[at]
        if not 48 <= digit <= 57:
            return value, at
        value = 10 * value + np.int64(digit - 48)
        at += 1
    return value, begin


@inlined
def _slot(keys: U64, address: np.uint64) -> np.int64:
    """The place of ``address`` in the open-addressed table, or the free place where it belongs."""
    mask = np.uint64(keys.size - 1)
    # Host addresses of TBs are multiples of 16 or 64: mix the bits above those.
    place = ((address >> np.uint64(4)) * np.uint64(0x9E37_79B9_7F4A_7C15) >> np.uint64(20)) & mask
    while keys[place] != address and keys[place] != 0:
        place = (place + np.uint64(1)) & mask
    return np.int64(place)


@kernel
def _insert(keys: U64, rows: Words, pcs: U64, seen: I64, address: np.uint64, row: int, pc: np.uint64) -> bool:
    """Give ``address`` a TB; true if it is new to the table."""
    place = _slot(keys, address)
    new = keys[place] == 0
    keys[place] = address
    rows[place] = row
    pcs[place] = pc
    if new:
        seen[place] = -1
    return bool(new)


@kernel
def _latest(keys: U64, seen: I64, address: np.uint64) -> np.int64:
    place = _slot(keys, address)
    return seen[place] if keys[place] != 0 else np.int64(-1)


@kernel
def _rehash(
    keys: U64, rows: Words, pcs: U64, seen: I64, new_keys: U64, new_rows: Words, new_pcs: U64, new_seen: I64
) -> None:
    for place in range(keys.size):
        if keys[place] != 0:
            to = _slot(new_keys, keys[place])
            new_keys[to] = keys[place]
            new_rows[to] = rows[place]
            new_pcs[to] = pcs[place]
            new_seen[to] = seen[place]


@lean_kernel
def _scan(
    data: Bytes,
    end: int,
    state: I64,
    keys: U64,
    rows: Words,
    pcs: U64,
    seen: I64,
    words: Words,
    last: I64,
    watched: npt.NDArray[np.bool_],
    chunk_host: I64,
    chunk_guest: U64,
) -> int:
    """Take whole lines from ``data[state[AT]:end]`` (the byte before ``end`` is a newline) until a ``Stop``."""
    at = state[_AT]
    while at < end:
        if state[_BLOCK] == _NO_BLOCK and _starts(data, at, end, _TRACE):
            if state[_WORDS] == words.size:
                state[_AT] = at
                return 2
            if 2 * (state[_ENTRIES] + 1) > keys.size:
                state[_AT] = at
                return 3
            state[_AT] = at
            thread, place = _decimal(data, at + 6)
            if place == at + 6 or data[place] != _COLON or data[place + 1] != _BLANK:
                return 5
            if data[place + 2] != _ZERO or data[place + 3] != _X:
                return 5
            if thread > 127:
                return 6
            address, after = _hex(data, place + 4)
            if after == place + 4 or address == 0 or data[after] != _BLANK or data[after + 1] != _OPEN:
                return 5
            _, place = _hex(data, after + 2)
            if place == after + 2 or data[place] != _SLASH:
                return 5
            pc, after = _hex(data, place + 1)
            if after == place + 1 or data[after] != _SLASH:
                return 5
            _, place = _hex(data, after + 1)
            if place == after + 1 or data[place] != _SLASH:
                return 5
            _, after = _hex(data, place + 1)
            if after == place + 1 or data[after] != _CLOSE or data[after + 1] not in (_BLANK, _NEWLINE):
                return 5
            at = after + 1
            while data[at] != _NEWLINE:
                at += 1
            at += 1
            entry = _slot(keys, address)
            if keys[entry] == 0:
                if state[_STRICT]:
                    return 8
                keys[entry] = address
                rows[entry] = UNKNOWN_TB
                seen[entry] = -1
                state[_ENTRIES] += 1
            row = rows[entry]
            if row == UNKNOWN_TB:
                if state[_STRICT]:
                    return 8
            elif pcs[entry] != pc:
                return 7
            index = state[_EXECUTIONS]
            seen[entry] = index
            words[state[_WORDS]] = np.uint32(thread << 24) | row
            last[thread, 0] = index
            last[thread, 1] = row
            last[thread, 2] = np.int64(address)
            state[_WORDS] += 1
            state[_EXECUTIONS] = index + 1
            state[_LINE_NUMBER] += 1
            if watched[thread]:
                state[_AT] = at
                return 10
        elif state[_BLOCK] != _NO_BLOCK and data[at] == _ZERO:
            state[_AT] = at
            if data[at + 1] != _X:
                return 9
            address, after = _hex(data, at + 2)
            if after == at + 2 or data[after] != _COLON:
                return 9
            offset = np.int64(address) - state[_START]
            if state[_START] < 0:
                state[_START] = np.int64(address)
                offset = 0
            # An x86 instruction of more than eight bytes wraps: addresses rise all the same.
            if offset >= state[_SIZE] or offset <= state[_LATEST]:
                return 9
            mark = state[_MARK]
            if mark == _MARK_INSTRUCTION:
                chunk_host[state[_CHUNKS] - 1] = offset
            elif mark == _MARK_SLOW:
                state[_SLOW] = offset
            elif mark == _NO_MARK and offset == 0 and state[_BLOCK] == _IN_OUT:
                return 9
            state[_MARK] = _NO_MARK
            state[_LATEST] = offset
            at = after
            while data[at] != _NEWLINE:
                at += 1
            at += 1
            state[_LINE_NUMBER] += 1
        elif state[_BLOCK] != _NO_BLOCK and data[at] == _NEWLINE:
            at += 1
            state[_AT] = at
            state[_LINE_NUMBER] += 1
            if state[_MARK] != _NO_MARK or state[_LATEST] < 0:
                return 9
            return 4
        elif state[_BLOCK] != _NO_BLOCK:
            state[_AT] = at
            if _starts(data, at, end, _GUEST_MARK):
                guest, after = _hex(data, at + _GUEST_MARK.size)
                first = state[_CHUNKS] == 0
                if after == at + _GUEST_MARK.size or state[_CHUNKS] == chunk_host.size or state[_SLOW] >= 0:
                    return 9
                if first != _starts(data, after, end, _PROLOGUE_MARK):
                    return 9
                if first:
                    after += _PROLOGUE_MARK.size
                chunk_guest[state[_CHUNKS]] = guest
                # An instruction without code is followed by the next mark at once; it has no code of its own.
                if state[_MARK] != _MARK_INSTRUCTION:
                    state[_CHUNKS] += 1
                else:
                    chunk_guest[state[_CHUNKS] - 1] = guest
                state[_MARK] = _MARK_INSTRUCTION
            elif _starts(data, at, end, _SLOW_MARK):
                after = at + _SLOW_MARK.size
                if state[_MARK] != _NO_MARK or state[_SLOW] >= 0:
                    return 9
                state[_MARK] = _MARK_SLOW
            elif _starts(data, at, end, _DATA_MARK):
                size, after = _decimal(data, at + _DATA_MARK.size)
                if after == at + _DATA_MARK.size or data[after] != _CLOSE or state[_MARK] != _NO_MARK:
                    return 9
                after += 1
                if state[_DATA] >= 0:
                    return 9
                state[_DATA] = size
                state[_MARK] = _MARK_DATA
            else:
                return 9
            if data[after] != _NEWLINE:
                return 9
            at = after + 1
            state[_LINE_NUMBER] += 1
        else:
            state[_AT] = at
            return 1
    state[_AT] = at
    return 0


class Scanner:
    """The state of a scan: addresses of TBs, executions not yet taken, the block being read."""

    def __init__(self, room: int) -> None:
        self._data = np.empty(0, np.uint8)
        self._end = 0
        self._state = np.zeros(_STATE, np.int64)
        self._words = np.empty(room, np.uint32)
        self._tables = _tables(1 << 12)
        self._last = np.full((THREADS, 3), -1, np.int64)
        self._watched = np.zeros(THREADS, np.bool_)
        self._chunk_host = np.zeros(MOST_CHUNKS, np.int64)
        self._chunk_guest = np.zeros(MOST_CHUNKS, np.uint64)

    def feed(self, data: bytes, end: int) -> None:
        """Scan ``data[:end]`` next, whole lines."""
        self._data = np.frombuffer(data, np.uint8)
        self._end = end
        self._state[_AT] = 0

    def scan(self) -> Stop:
        """Go on until something is the caller's to do."""
        while True:
            stop = _scan(
                self._data, self._end, self._state, *self._tables, self._words,
                self._last, self._watched, self._chunk_host, self._chunk_guest,
            )  # fmt: skip
            if stop != Stop.GROW:
                return Stop(stop)
            bigger = _tables(2 * self._tables[0].size)
            _rehash(*self._tables, *bigger)
            self._tables = bigger

    # --- where it stands ---

    @property
    def at(self) -> int:
        """Index of the next byte to scan."""
        return int(self._state[_AT])

    @property
    def line_number(self) -> int:
        """Number of the next line, from 1."""
        return int(self._state[_LINE_NUMBER]) + 1

    @property
    def executions(self) -> int:
        """``Trace`` lines so far."""
        return int(self._state[_EXECUTIONS])

    def skip(self, size: int, lines: int = 1) -> None:
        """Go ``size`` bytes on; the caller has dealt with these ``lines``."""
        self._state[_AT] += size
        self._state[_LINE_NUMBER] += lines

    def take(self) -> Words:
        """The executions scanned since the last call."""
        words = self._words[: self._state[_WORDS]].copy()
        self._state[_WORDS] = 0
        return words

    def last(self, thread: int) -> tuple[int, int]:
        """Index and TB of the latest execution of ``thread``; -1 if there is none."""
        index, row, _ = self._last[thread]
        return int(index), int(row)

    @property
    def threads(self) -> npt.NDArray[np.int64]:
        """The threads that have executed, ascending."""
        return np.flatnonzero(self._last[:, 0] >= 0)

    @property
    def latest_thread(self) -> int:
        """The thread of the latest ``Trace`` line."""
        return int(self._last[:, 0].argmax())

    # --- addresses ---

    def expect_all(self) -> None:
        """From now on an execution of an unknown TB is an error: the log holds every translation."""
        self._state[_STRICT] = 1

    def define(self, address: int, row: int, pc: int) -> None:
        """A TB was translated to ``address``."""
        if 2 * (self._state[_ENTRIES] + 1) > self._tables[0].size:
            bigger = _tables(2 * self._tables[0].size)
            _rehash(*self._tables, *bigger)
            self._tables = bigger
        self._state[_ENTRIES] += _insert(*self._tables, np.uint64(address), row, np.uint64(pc))

    def forget_all(self) -> None:
        """The code buffer was thrown away: no address holds a TB any more."""
        self._tables[1][:] = UNKNOWN_TB

    def latest(self, address: int) -> int:
        """The position of the latest execution announced at ``address``; -1 if there is none."""
        keys, _, _, seen = self._tables
        return int(_latest(keys, seen, np.uint64(address)))

    def last_at(self, address: int) -> dict[int, int]:
        """Of each thread whose last execution is at ``address`` and not stopped: that execution's position."""
        index, _, where = self._last.T
        return {int(thread): int(index[thread]) for thread in np.flatnonzero(where == address)}

    def stopped(self, thread: int, position: int) -> None:
        """The execution at ``position``, if it is still the last of ``thread``, is taken by a stop."""
        if self._last[thread, 0] == position:
            self._last[thread, 2] = -1

    def watch(self, threads: Iterable[int]) -> None:
        """Stop whenever one of ``threads``, and no other, executes."""
        self._watched[:] = False
        self._watched[list(threads)] = True

    # --- blocks ---

    def begin_block(self, size: int, *, prologue: bool = False) -> None:
        """The host code of ``size`` bytes begins with the next line."""
        self._state[_SIZE] = size
        self._state[[_START, _LATEST, _SLOW, _DATA]] = -1
        self._state[[_MARK, _CHUNKS]] = 0
        self._state[_BLOCK] = _IN_PROLOGUE if prologue else _IN_OUT

    @property
    def in_prologue(self) -> bool:
        """True if the block is the prologue that every complete log begins with."""
        return bool(self._state[_BLOCK] == _IN_PROLOGUE)

    @property
    def in_block(self) -> bool:
        """True while host code is being read."""
        return bool(self._state[_BLOCK] != _NO_BLOCK)

    def end_block(self) -> tuple[int, int, int, npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Host address, size, fast size of the block just read; host offset and guest address of its instructions."""
        start, size, slow, data, chunks = (int(self._state[i]) for i in (_START, _SIZE, _SLOW, _DATA, _CHUNKS))
        self._state[_BLOCK] = _NO_BLOCK
        fast = slow if slow >= 0 else size - max(data, 0)
        return start, size, fast, self._chunk_host[:chunks].copy(), self._chunk_guest[:chunks].copy()


def _tables(size: int) -> tuple[U64, Words, U64, I64]:
    return (
        np.zeros(size, np.uint64),
        np.zeros(size, np.uint32),
        np.zeros(size, np.uint64),
        np.zeros(size, np.int64),
    )
