"""The state of a log scan: the arrays of ``bench.traces.log_kernel``, and access to them."""

from __future__ import annotations

import numpy as np

from bench.traces import log_kernel as k
from bench.traces.log_kernel import I64, Stop
from bench.traces.successor import THREADS, Words
from bench.traces.trace import Blocks, Guest

_GUESTS: dict[Guest, int] = {"arm": k.ARM, "mips": k.MIPS}
_STOPS = tuple(Stop)
# Executions per buffer: few enough to stay in the cache.
_ROOM = 1 << 16


class Scanner:
    """A scan: the TBs so far, the buffered executions, the current block."""

    def __init__(self) -> None:
        self._text = bytearray(k.SLACK)
        self._data = np.frombuffer(self._text, np.uint8)
        self._end = 0
        self._state = np.zeros(k.STATE, np.int64)
        self._state[k.LATEST_START] = -1
        # A memoryview is faster than an array for single numbers.
        self._numbers = self._state.data
        self._table = np.zeros((1 << 12, 2), np.int64)
        self._memo = np.zeros((k.MEMO_ROWS, k.MEMO_COLUMNS), np.int64)
        self._memo[:, k.TAG] = -1
        self._texts = np.zeros((k.MEMO_ROWS, k.TEXT_COLUMNS), np.uint8)
        self._tb = np.zeros((1 << 10, k.TB_COLUMNS), np.int64)
        self._chunk = np.zeros((4 * k.MOST_CHUNKS, 3), np.int64)
        self._live = np.zeros((1 << 10, 2), np.int64)
        self._pool = np.zeros((1 << 10, 2), np.int64)
        self._pending = np.zeros((k.MOST_PENDING, 3), np.int64)
        self._known = np.zeros((k.KNOWN_ROWS, k.KNOWN_COLUMNS), np.int64)
        self._learnt = 0
        self._words = np.zeros(_ROOM, np.uint32)
        self._last = np.full((THREADS, 3), -1, np.int64)
        self._lasts = self._last.data
        self._watched = np.zeros(THREADS, np.bool_)
        self._watching: set[int] = set()

    def feed(self, data: bytearray, end: int) -> None:
        """Set the next input, the complete lines ``data[:end]``; ``SLACK`` bytes must follow."""
        self._text = data
        self._data = np.frombuffer(data, np.uint8)
        self._end = end
        self._numbers[k.AT] = 0

    def scan(self) -> Stop:
        """Scan until the caller has to act."""
        while True:
            stop = k.scan(
                self._data,
                self._end,
                self._state,
                self._table,
                self._memo,
                self._texts,
                self._tb,
                self._chunk,
                self._live,
                self._pool,
                self._pending,
                self._known,
                self._words,
                self._last,
                self._watched,
            )
            if stop != Stop.GROW:
                return _STOPS[stop]
            self._grow()

    def _grow(self) -> None:
        """Double the tables that are full."""
        state = self._state
        if 2 * (state[k.ENTRIES] + 1) > len(self._table):
            bigger = np.zeros((2 * len(self._table), 2), np.int64)
            k.rehash(self._table, bigger)
            self._table = bigger
        if state[k.TBS] == len(self._tb):
            self._tb = _doubled(self._tb)
        if state[k.CHUNKS] + k.MOST_CHUNKS > len(self._chunk):
            self._chunk = _doubled(self._chunk)
        if state[k.LIVE] == len(self._live):
            self._live = _doubled(self._live)
        if state[k.POOL] == len(self._pool):
            self._pack_pool()

    def _pack_pool(self) -> None:
        """Remove IN blocks whose host code was read; double the pool if it stays more than half full."""
        state, pending = self._state, self._pending[: self._state[k.PENDING]]
        parts = [self._pool[first : first + count] for first, count, _ in pending]
        parts.append(self._pool[state[k.FIRST] : state[k.POOL]])
        ends = np.cumsum([len(part) for part in parts])
        pending[:, k.PENDING_FIRST] = ends[:-1] - pending[:, k.PENDING_COUNT]
        state[k.FIRST], state[k.POOL] = ends[-1] - len(parts[-1]), ends[-1]
        packed = np.zeros((len(self._pool) * (2 if 2 * ends[-1] > len(self._pool) else 1), 2), np.int64)
        np.concatenate(parts, out=packed[: ends[-1]])
        self._pool = packed

    # --- position ---

    @property
    def line(self) -> bytes:
        """The next line, without its newline."""
        start = self._numbers[k.AT]
        return bytes(self._text[start : self._text.index(b"\n", start)])

    @property
    def line_number(self) -> int:
        """The number of the next line, from 1."""
        return self._numbers[k.LINE_NUMBER] + 1

    @property
    def executions(self) -> int:
        """The number of ``Trace`` lines so far."""
        return self._numbers[k.EXECUTIONS]

    def skip(self, size: int, lines: int = 1) -> None:
        """Skip ``size`` bytes, ``lines`` lines that the caller parsed."""
        self._numbers[k.AT] += size
        self._numbers[k.LINE_NUMBER] += lines

    def take(self) -> Words:
        """The executions scanned since the last call; valid until the next ``scan``."""
        words = self._words[: self._numbers[k.WORDS]]
        self._numbers[k.WORDS] = 0
        return words

    def last(self, thread: int) -> tuple[int, int]:
        """The index and the TB of the latest execution of ``thread``; -1 if there is none."""
        return self._lasts[thread, k.INDEX], self._lasts[thread, k.LAST_TB]

    @property
    def threads(self) -> list[int]:
        """The threads that have executed, ascending."""
        return [thread for thread in range(self._numbers[k.THREADS]) if self._lasts[thread, k.INDEX] >= 0]

    @property
    def latest_thread(self) -> int:
        """The thread of the latest ``Trace`` line."""
        return self._numbers[k.THREAD]

    def expect_all(self) -> None:
        """Treat an execution of an unknown TB as an error from now on: the log holds every translation."""
        self._numbers[k.STRICT] = 1

    # --- stops ---

    def last_at(self, address: int) -> dict[int, int]:
        """The position of the last execution of each thread, where that is at ``address`` and not stopped."""
        last = self._lasts
        return {thread: last[thread, k.INDEX] for thread in self.threads if last[thread, k.WHERE] == address}

    def stopped(self, thread: int, position: int) -> None:
        """Mark the execution at ``position`` as stopped if it is still the last of ``thread``."""
        if self._lasts[thread, k.INDEX] == position:
            self._lasts[thread, k.WHERE] = -1

    def watch(self, threads: set[int]) -> None:
        """Set the threads whose executions stop the scan."""
        if threads != self._watching:
            self._watching = threads
            self._watched[:] = False
            self._watched[list(threads)] = True

    # --- translations ---

    @property
    def system(self) -> bool:
        """Whether the log is one of system emulation, in which each CPU has its own part of the code buffer."""
        return bool(self._numbers[k.SYSTEM])

    @system.setter
    def system(self, system: bool) -> None:
        self._numbers[k.SYSTEM] = system

    @property
    def in_guest_code(self) -> bool:
        """Whether the scan is inside an IN block."""
        return self._numbers[k.BLOCK] == k.IN_GUEST

    @property
    def guest_code(self) -> tuple[int, int]:
        """The guest address of the current IN block (-1 if it has no instruction yet), and its bytes so far."""
        first, end, size = (self._numbers[i] for i in (k.FIRST, k.POOL, k.GUEST_BYTES_SO_FAR))
        return (int(self._pool[first, k.GUEST_ADDRESS]) if end > first else -1), size

    def add_instruction(self, guest: Guest, address: int, size: int, accesses: int) -> None:
        """Add an instruction of ``size`` bytes to the current IN block."""
        self._numbers[k.GUEST] = _GUESTS[guest]
        if self._numbers[k.POOL] == len(self._pool):
            self._grow()
        k.add_instruction(self._state, self._pool, address, size, accesses)

    def learn(self, text: bytes, accesses: int | None) -> None:
        """Let the scan parse instructions with this text or mnemonic by itself.

        ``accesses`` is ``None`` for a mnemonic whose accesses depend on the operands.
        """
        if 0 < len(text) <= k.LONGEST_KEY and 2 * self._learnt < k.KNOWN_ROWS:
            data = np.frombuffer(bytearray(text + bytes(8)), np.uint8)
            self._learnt += k.learn(data, len(text), self._known, k.BY_OPERANDS if accesses is None else accesses)

    def begin_prologue(self, size: int) -> None:
        """Begin the prologue, ``size`` bytes of code, with the next line."""
        k.begin_block(self._state, size, k.IN_PROLOGUE)

    @property
    def odd(self) -> tuple[int, int]:
        """The guest address of the host code at which ``UNTRANSLATED`` or ``BAD_CHUNK`` stopped, and that of its TB."""
        return self._numbers[k.ODD_GUEST] & (1 << 64) - 1, self._numbers[k.ODD_PC] & (1 << 64) - 1

    @property
    def tbs(self) -> int:
        """The number of TBs so far."""
        return self._numbers[k.TBS]

    def rewritten(self, tb: int, pc: int) -> tuple[int, int]:
        """The host bytes to the end of the load or store at ``pc``, and the accesses in them; -1, -1 without one."""
        first = self._tb[tb, k.CHUNK]
        end = self._tb[tb + 1, k.CHUNK] if tb + 1 < self.tbs else self._state[k.CHUNKS]
        chunks = self._chunk[first:end]
        offset = pc - int(self._tb[tb, k.PC])
        row = int(np.searchsorted(chunks[:, k.OFFSET], offset))
        if row == len(chunks) or chunks[row, k.OFFSET] != offset:
            return -1, -1
        before = chunks[row - 1, k.SO_FAR] if row else 0
        if chunks[row, k.SO_FAR] == before:
            return -1, -1
        return int(chunks[row, k.CHUNK_END]), int(chunks[row, k.SO_FAR])

    def blocks(self) -> Blocks:
        """The table of TBs."""
        tb = self._tb[: self.tbs]
        return Blocks(
            host_bytes=tb[:, k.HOST_BYTES].astype(np.uint32),
            fast_bytes=tb[:, k.FAST_BYTES].astype(np.uint32),
            guest_pc=tb[:, k.PC].astype(np.uint64),
            guest_bytes=tb[:, k.GUEST_BYTES].astype(np.uint32),
            instructions=tb[:, k.INSTRUCTIONS].astype(np.uint32),
            accesses=tb[:, k.ACCESSES].astype(np.uint32),
            epoch=tb[:, k.BORN_EPOCH].astype(np.uint32),
            born=tb[:, k.BORN].copy(),
        )


def _doubled(array: I64) -> I64:
    bigger = np.zeros((2 * len(array), *array.shape[1:]), np.int64)
    bigger[: len(array)] = array
    return bigger
