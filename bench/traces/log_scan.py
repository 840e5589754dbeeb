"""The state of a log scan: the executions so far (``bench.traces.log_kernel``), the code buffer, the TBs.

The host address of a translation shows two events:

* An address below the latest one: the code buffer was flushed.  In system emulation with several CPUs, each of which
  has its own part of the buffer, this holds only if the address overlaps a live TB.
* The address of the latest TB, which never ran: that TB was translated twice and discarded.
"""

from __future__ import annotations

import enum
from array import array
from bisect import bisect_left

import numpy as np

from bench.traces import log_kernel as k
from bench.traces.log_blocks import GuestCode, HostCode
from bench.traces.log_kernel import I64, Stop
from bench.traces.successor import THREADS, UNKNOWN_TB, Words
from bench.traces.trace import Blocks

_STOPS = tuple(Stop)
# Executions per buffer: few enough to stay in the cache.
_ROOM = 1 << 16
_SIGN = 1 << 63


class PlacedTb(enum.Enum):
    """What the host address of a TB shows."""

    AFTER = enum.auto()  # nothing
    FLUSHED = enum.auto()  # the code buffer was flushed before
    DISCARDED = enum.auto()  # the latest TB was discarded


class Scanner:
    """A scan: the TBs so far, the buffered executions, the code buffer."""

    def __init__(self) -> None:
        self._data = np.zeros(k.SLACK, np.uint8)
        self._end = 0
        self._state = np.zeros(k.STATE, np.int64)
        self._state[k.RAN] = -1
        # A memoryview is faster than an array for single numbers.
        self._numbers = self._state.data
        self._table = np.zeros((1 << 12, 2), np.int64)
        self._memo = np.zeros((k.MEMO_ROWS, k.MEMO_COLUMNS), np.int64)
        self._memo[:, k.TAG] = -1
        self._texts = np.zeros((k.MEMO_ROWS, k.TEXT_COLUMNS), np.uint8)
        self._tb = np.zeros((1 << 10, k.TB_COLUMNS), np.int64)
        self._words = np.zeros(_ROOM, np.uint32)
        self._last = np.full((THREADS, 3), -1, np.int64)
        self._lasts = self._last.data
        self._watched = np.zeros(THREADS, np.bool_)
        self._watching: set[int] = set()
        # The live TBs by address, and the address of the latest one.
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._latest = -1
        self._epoch = 0
        self._rows = array("Q")  # of each TB what ``Blocks`` has, in its order
        # Of each TB the first of its guest instructions, of them the address and the accesses so far; the first of
        # those with host code, of them the address as printed and where the code is.
        self._firsts = array("Q")
        self._addresses = array("Q")
        self._so_far = array("Q")
        self._marked = array("Q")
        self._offsets = array("Q")
        self.lasts: list[bytes] = []
        """The text of each TB's last instruction."""
        self.system = False
        """Whether the log is one of system emulation, in which each CPU has its own part of the code buffer."""

    def feed(self, data: bytearray, end: int) -> None:
        """Set the next input, the complete lines ``data[:end]``; ``SLACK`` bytes must follow."""
        self._data = np.frombuffer(data, np.uint8)
        self._end = end
        self._numbers[k.AT] = 0

    def scan(self) -> Stop:
        """Scan until the caller has to act."""
        arrays = self._state, self._table, self._memo, self._texts, self._tb, self._words, self._last, self._watched
        while (stop := k.scan(self._data, self._end, *arrays)) == Stop.GROW:
            self._grow_table()
            return self.scan()
        return _STOPS[stop]

    def _grow_table(self) -> None:
        bigger = np.zeros((2 * len(self._table), 2), np.int64)
        k.rehash(self._table, bigger)
        self._table = bigger

    # --- position ---

    @property
    def at(self) -> int:
        """The index of the next line in the input."""
        return self._numbers[k.AT]

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
    def tbs(self) -> int:
        """The number of TBs so far."""
        return len(self._firsts) // 2

    def tb_at(self, address: int) -> int:
        """The TB translated latest to the host address; ``UNKNOWN_TB`` without one."""
        return k.row_at(self._table, address)

    def add_tb(self, host: HostCode, guest: GuestCode, offsets: bool) -> PlacedTb:
        """Add a TB.  ``offsets``: the host code names offsets in the page, as it does where mappings share TBs.

        Raises ``LookupError`` with the guest address of host code that is no instruction of ``guest``.
        """
        pc = guest.addresses[0]
        mask = 0xFFF if offsets else -1
        expected = {address & mask for address in guest.addresses} if offsets else set(guest.addresses)
        if not expected.issuperset(host.marked):
            raise LookupError(next(marked for marked in host.marked if marked not in expected))
        placed = self._place(host.start, host.start + host.size)
        row = self.tbs
        if row == len(self._tb):
            self._tb = np.concatenate((self._tb, np.zeros_like(self._tb)))
        if 2 * (self._numbers[k.ENTRIES] + 1) > len(self._table):
            self._grow_table()
        self._tb[row] = host.start, _signed(pc), mask, -1
        self._numbers[k.ENTRIES] += k.place(self._table, host.start, row)
        born = self.executions
        self._rows.extend(
            (host.size, host.fast, pc, guest.size, len(guest.addresses), guest.so_far[-1], self._epoch, born)
        )
        self._firsts.extend((len(self._addresses), len(self._marked)))
        self._addresses.extend(guest.addresses)
        self._so_far.extend(guest.so_far)
        self._marked.extend(host.marked)
        self._offsets.extend(host.offsets)
        self.lasts.append(guest.last)
        return placed

    def _place(self, start: int, end: int) -> PlacedTb:
        """Record the address of a TB (see the module docstring)."""
        starts, ends = self._starts, self._ends
        placed = PlacedTb.AFTER
        at = len(starts)
        if start <= self._latest or (at and start < ends[-1]):
            at = bisect_left(starts, start)
            free = (not at or ends[at - 1] <= start) and (at == len(starts) or starts[at] >= end)
            if start == self._latest and self._numbers[k.RAN] < self.tbs - 1:
                placed = PlacedTb.DISCARDED
                del starts[at], ends[at]
            elif not (self.system and free and len(self.threads) > 1):
                placed = PlacedTb.FLUSHED
                at = 0
                starts.clear()
                ends.clear()
                self._epoch += 1
                self._table[:, k.ROW] = UNKNOWN_TB
                self._memo[:, k.TAG] = -1
        starts.insert(at, start)
        ends.insert(at, end)
        self._latest = start
        return placed

    def rewritten(self, tb: int, pc: int) -> tuple[int, int]:
        """The host bytes to the end of the load or store at ``pc``, and the accesses in them; -1, -1 without one."""
        ends = *self._firsts[2 * tb + 2 : 2 * tb + 4], len(self._addresses), len(self._marked)
        guest, host = (range(self._firsts[2 * tb + i], ends[i]) for i in range(2))
        mask = int(self._tb[tb, k.PC_MASK]) & 0xFFFF_FFFF_FFFF_FFFF
        # The instructions with host code are a part of all, in order.
        at, before = iter(guest), 0
        for row in host:
            for i in at:
                if self._addresses[i] & mask == self._marked[row]:
                    break
            so_far = self._so_far[i]
            if self._addresses[i] == pc:
                end = self._offsets[row + 1] if row + 1 in host else self._rows[8 * tb + 1]
                return (end, so_far) if so_far > before else (-1, -1)
            before = so_far
        return -1, -1

    def blocks(self) -> Blocks:
        """The table of TBs."""
        host, fast, pc, size, instructions, accesses, epoch, born = np.array(self._rows, np.uint64).reshape(-1, 8).T
        return Blocks(
            host_bytes=host.astype(np.uint32),
            fast_bytes=fast.astype(np.uint32),
            guest_pc=pc.copy(),
            guest_bytes=size.astype(np.uint32),
            instructions=instructions.astype(np.uint32),
            accesses=accesses.astype(np.uint32),
            epoch=epoch.astype(np.uint32),
            born=born.astype(np.int64),
        )

    @property
    def cflags(self) -> I64:
        """The compilation flags of each TB, of its latest ``Trace`` line; -1 if it never ran."""
        return self._tb[: self.tbs, k.CFLAGS].copy()


def _signed(address: int) -> int:
    return address - (1 << 64) if address >= _SIGN else address
