"""Importing the log of an unpatched QEMU: ``-d exec,nochain,int,in_asm,out_asm`` and two trace events.

The lines are those of QEMU 7.2.  What they mean where the log alone does not
say it plainly:

* A ``Stopped execution`` line names no thread.  A thread prints it before its
  next ``Trace`` line, so it means the last ``Trace`` line of a thread, of that
  host address; if several threads are there, the one that executes next, as it
  is the one that runs.
* Signal lines name ``env``, not the thread: the thread that most of an env's
  lines follow is taken to be its own.
* A host address that goes back means that the code buffer was thrown away; in
  system emulation with several CPUs, each of which has its own part of the
  buffer, only if it lands on a TB that is there.  The same address again for a
  TB that never ran means that it was translated twice and discarded.
* The faulting instruction is not in the log.  For an ARM data abort from user
  mode it is the PC of the next return to user mode, if that is a load or store
  of the TB; for MIPS the PC of the exception.  Otherwise, and in user emulation,
  the bytes rewritten are unknown.  (Another process may return to the same TB
  first: against the running process, 4,291 of 4,292 known cases were right in
  two recordings.)
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from array import array
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from bench.errors import InputError
from bench.traces.guest_accesses import instruction
from bench.traces.log_input import read_log
from bench.traces.log_scan import Scanner, Stop
from bench.traces.store import LEVEL, TraceWriter, load_trace, writing
from bench.traces.successor import THREADS, UNKNOWN_TB, Words
from bench.traces.trace import CHUNK, Blocks, Guest, Mode, Retranslations, Trace

_LONGEST_LINE: Final = 1 << 20
_SEPARATOR: Final = b"----------------"
_OPTIONS: Final = "a line of QEMU's -d exec,nochain,int,in_asm,out_asm"
_HEX: Final = rb"0x([0-9a-f]{1,16})"
_NUMBER: Final = rb"(\d{1,9})"

_STOPPED = re.compile(rb"Stopped execution of TB chain before " + _HEX + rb" \[[0-9a-f]+\] ?[^\n]*")
_OUT = re.compile(rb"OUT: \[size=" + _NUMBER + rb"\]")
_PROLOGUE = re.compile(rb"PROLOGUE: \[size=" + _NUMBER + rb"\]")
_IN = re.compile(rb"IN: ?[^\n]*")
_EXCEPTION = re.compile(rb"Taking exception " + _NUMBER + rb" \[([^\]\n]+)\] on CPU " + _NUMBER)
_LEVELS = re.compile(rb"\.\.\.from EL([0-3]) to EL[0-3]")
_RETURN = re.compile(rb"Exception return from AArch32 \w+ to (\w+) PC " + _HEX)
_QUEUED = re.compile(rb"user_queue_signal env=" + _HEX + rb" signal " + _NUMBER)
_HANDLED = re.compile(rb"user_handle_signal env=" + _HEX + rb" signal " + _NUMBER)
_MIPS_ENTER = re.compile(
    rb"(?:mips: )?mips_cpu_do_interrupt enter: PC ([0-9a-f]{8,16}) EPC [0-9a-f]{8,16} ([^\n]+) exception"
)
_MIPS_REGISTERS = re.compile(rb" {4}S [0-9a-f]{8} C [0-9a-f]{8} A ([0-9a-f]{8,16}) D [0-9a-f]{8,16}")
_WITHOUT_MEANING = re.compile(
    rb"\.\.\.(?:with|as|to|handling) [^\n]*"
    rb"|Exception return from AArch(?:32|64) [^\n]*"
    rb"|(?:mips: )?(?:do_raise_exception_err: |mips_cpu_do_interrupt: PC )[^\n]*"
    rb"|Linking TBs " + _HEX + rb" index [01] -> " + _HEX
)
_STRACE = re.compile(rb"\d+ [a-z_]\w*\([^\n]*|(?:\d+ )? ?= -?[\w][^\n]*")
# What another thread logs can follow an unfinished line of strace at once.
_GLUED = re.compile(
    rb"(?<=\))(?:Trace \d+: 0x|OUT: \[size=|IN: ?|-{16}$|Stopped execution of TB chain before 0x"
    rb"|user_\w+_signal env=0x)"
)

# Signals that a load or store of generated code raises: SIGBUS, SIGSEGV (guest numbers: 7 or 10, 11).
_FAULT_SIGNALS: Final = {"arm": frozenset((7, 11)), "mips": frozenset((10, 11))}
_ARM_NAMES: Final = {"undefined-instruction": "undef", "hypervisor-call": "hvc"}
_MIPS_FAULTS: Final = frozenset(
    ("tlb-load", "tlb-store", "tlb-modify", "address-error-load", "address-error-store", "data-bus-error")
)
_SPACES = re.compile(rb"[\W_]+")


@dataclass(slots=True)
class _GuestCode:
    """An ``IN`` block: its instructions' addresses, the accesses up to and including each, its length in bytes."""

    addresses: list[int] = field(default_factory=list)
    accesses: list[int] = field(default_factory=list)
    size: int = 0

    @property
    def pc(self) -> int:
        return self.addresses[0]


@dataclass(slots=True)
class _Fault:
    """A state restore; what is rewritten may become known later."""

    position: int
    tb: int
    thread: int
    rewritten: int = -1
    accesses: int = -1


@dataclass(slots=True)
class _Signal:
    """A signal line: whose it is comes out at the end."""

    env: int
    raised: int  # number of the signal if this raises it, 0 if it is handled
    guess: int
    last: dict[int, tuple[int, int]]


class _Columns:
    """The TB table while it grows, and where each guest instruction's host code ends."""

    def __init__(self) -> None:
        self.host_bytes = array("I")
        self.fast_bytes = array("I")
        self.guest_pc = array("Q")
        self.guest_bytes = array("I")
        self.instructions = array("I")
        self.accesses = array("I")
        self.epoch = array("I")
        self.born = array("q")
        # Per instruction with host code; rows of TB t: first[t] .. first[t + 1].
        self.first = array("I", (0,))
        self.offset = array("I")
        self.end = array("I")
        self.so_far = array("I")

    def blocks(self) -> Blocks:
        return Blocks(
            host_bytes=np.array(self.host_bytes, np.uint32),
            fast_bytes=np.array(self.fast_bytes, np.uint32),
            guest_pc=np.array(self.guest_pc, np.uint64),
            guest_bytes=np.array(self.guest_bytes, np.uint32),
            instructions=np.array(self.instructions, np.uint32),
            accesses=np.array(self.accesses, np.uint32),
            epoch=np.array(self.epoch, np.uint32),
            born=np.array(self.born, np.int64),
        )

    def rewritten(self, tb: int, pc: int) -> tuple[int, int]:
        """Host bytes to the end of the load or store at ``pc``, accesses in them; -1, -1 if there is none."""
        offset = pc - self.guest_pc[tb]
        begin, end = self.first[tb], self.first[tb + 1]
        row = bisect_left(self.offset, offset, begin, end)
        if row == end or self.offset[row] != offset:
            return -1, -1
        before = self.so_far[row - 1] if row > begin else 0
        if self.so_far[row] == before:
            return -1, -1
        return self.end[row], self.so_far[row]


class _Importer:
    def __init__(self, log: str, writer: TraceWriter) -> None:
        self._log = "standard input" if log == "-" else log
        self._writer = writer
        self._scanner = Scanner(CHUNK)
        self._columns = _Columns()
        self._in: _GuestCode | None = None
        # Translated, host code not printed yet: at most one per thread, but one that overflowed
        # the code buffer is printed again.
        self._pending: deque[_GuestCode] = deque(maxlen=128)
        self._after_separator = False
        self._whole = False  # the log holds the run from its beginning
        self._guest: Guest | None = None
        self._system = False
        self._live: list[tuple[int, int]] = []
        self._latest_start = -1
        self._epoch = 0
        self._flushes = array("q")
        self._discarded = array("q")
        self._stopped = array("q")
        self._open_stops: list[dict[int, int]] = []
        self._io_recompiles = array("q")
        self._exceptions: Counter[str] = Counter()
        self._faults: list[_Fault] = []
        self._level_of: _Fault | None = None
        self._waiting: _Fault | None = None
        self._mips: tuple[int, str, _Fault | None] | None = None
        self._signals: list[_Signal] = []
        self._handlers: tuple[tuple[bytes, Callable[[bytes], None]], ...] = (
            (b"Stopped execution", self._stop),
            (_SEPARATOR, self._separator),
            (b"IN:", self._begin_in),
            (b"OUT:", self._begin_out),
            (b"PROLOGUE:", self._begin_prologue),
            (b"Taking exception", self._exception),
            (b"...from", self._level),
            (b"Exception return", self._return),
            (b"cpu_io_recompile: ", self._io_recompile),
            (b"user_queue_signal", self._queue_signal),
            (b"user_handle_signal", self._handle_signal),
            (b"mips", self._mips_enter),
            (b"    S ", self._mips_registers),
        )

    # --- the lines ---

    def read(self, blocks: Iterator[bytes]) -> None:
        rest = b""
        for block in blocks:
            data = rest + block if rest else block
            end = data.rfind(b"\n") + 1
            if len(data) - end > _LONGEST_LINE:
                raise self._error(f"a line of more than {_LONGEST_LINE} bytes", _OPTIONS)
            if end:
                self._lines(data, end)
            rest = data[end:]
        # What is left is a last line that was cut off: QEMU was stopped, or the disk was full.
        self._write(self._scanner.take())

    def _lines(self, data: bytes, end: int) -> None:
        scanner = self._scanner
        scanner.feed(data, end)
        while (stop := scanner.scan()) is not Stop.END:
            if stop is Stop.FULL:
                self._write(scanner.take())
                continue
            if stop is Stop.BLOCK:
                self._end_block()
                continue
            if stop is Stop.WATCHED:
                self._settle_stops(scanner.latest_thread)
                continue
            start = scanner.at
            line = data[start : data.index(b"\n", start)]
            if stop is not Stop.LINE:
                raise self._bad(stop, line)
            if self._in is not None:
                self._guest_lines(data, start, end)
                continue
            if (at := self._line(line)) is not None:
                # The rest of a glued line is a line of its own.
                scanner.skip(at, lines=0)
                continue
            scanner.skip(len(line) + 1)

    def _guest_lines(self, data: bytes, start: int, end: int) -> None:
        """The lines from ``start`` on that belong to an ``IN`` block."""
        while self._in is not None and start < end:
            after = data.index(b"\n", start) + 1
            self._guest_line(data[start : after - 1])
            self._scanner.skip(after - start)
            start = after

    def _line(self, line: bytes) -> int | None:
        """Deal with a line; if it is an unfinished one of strace, where the line glued to it begins."""
        for start, handler in self._handlers:
            if line.startswith(start):
                handler(line)
                return None
        if not line or _WITHOUT_MEANING.fullmatch(line):
            return None
        if _STRACE.fullmatch(line):
            glued = _GLUED.search(line)
            return glued.start() if glued else None
        raise self._error(_shown(line), _OPTIONS)

    def _write(self, words: Words) -> None:
        if words.size:
            self._writer.add(words)

    def _matched(self, pattern: re.Pattern[bytes], line: bytes, expected: str) -> re.Match[bytes]:
        match = pattern.fullmatch(line)
        if match is None:
            raise self._error(_shown(line), expected)
        return match

    def _error(self, found: str, expected: str) -> InputError:
        return InputError(found, file=self._log, place=f"line {self._scanner.line_number}", expected=expected)

    def _bad(self, stop: Stop, line: bytes) -> InputError:
        expected = {
            Stop.BAD_TRACE: "Trace THREAD: 0xHOST [cs_base/pc/flags/cflags] SYMBOL",
            Stop.BAD_THREAD: "a thread number of at most 127",
            Stop.BAD_PC: "the guest address of the TB that was translated to this host address",
            Stop.UNKNOWN_ADDRESS: "the host address of a TB translated before, as this log begins with the prologue",
            Stop.BAD_HOST_LINE: "the next line of an OUT block, with an ascending address inside the block",
        }[stop]
        return self._error(_shown(line), expected)

    # --- translation ---

    def _separator(self, line: bytes) -> None:
        if line != _SEPARATOR:
            raise self._error(_shown(line), _SEPARATOR.decode())
        self._after_separator = True

    def _begin_in(self, line: bytes) -> None:
        if not self._after_separator:
            raise self._error(_shown(line), f"{_SEPARATOR.decode()} before it")
        self._after_separator = False
        self._in = _GuestCode()

    def _guest_line(self, line: bytes) -> None:
        code = self._in
        assert code is not None
        if not line:
            if not code.addresses:
                raise self._error("an IN block without instructions", "a guest instruction")
            self._pending.append(code)
            self._in = None
            return
        read = instruction(line)
        if read is None:
            raise self._error(_shown(line), "an instruction of a 32-bit ARM or MIPS guest, as -d in_asm prints it")
        self._guest = self._guest or read.guest
        if read.guest != self._guest:
            raise self._error(_shown(line), f"a guest instruction of {self._guest}, as before")
        if code.addresses and read.address != code.pc + code.size:
            raise self._error(_shown(line), f"the guest address {code.pc + code.size:#x}")
        code.addresses.append(read.address)
        code.accesses.append(read.accesses + (code.accesses[-1] if code.accesses else 0))
        code.size += read.size

    def _begin_out(self, line: bytes) -> None:
        self._begin_block(int(self._matched(_OUT, line, "OUT: [size=BYTES]")[1]), prologue=False)

    def _begin_prologue(self, line: bytes) -> None:
        if self._scanner.executions or len(self._columns.born):
            raise self._error("a second prologue", "the log of one run of QEMU")
        self._begin_block(int(self._matched(_PROLOGUE, line, "PROLOGUE: [size=BYTES]")[1]), prologue=True)

    def _begin_block(self, size: int, *, prologue: bool) -> None:
        if size == 0:
            raise self._error("a block of 0 bytes", "its length in bytes")
        self._scanner.begin_block(size, prologue=prologue)

    def _end_block(self) -> None:
        if self._scanner.in_prologue:
            self._scanner.end_block()
            self._scanner.expect_all()
            self._whole = True
            return
        start, size, fast, host, guest = self._scanner.end_block()
        code = self._translated(int(guest[0]))
        self._place(start, size)
        columns = self._columns
        row = len(columns.born)
        if row >= UNKNOWN_TB:
            raise self._error("more TBs than a trace holds", f"at most {UNKNOWN_TB - 1}")
        # Guest addresses of the host code are whole or offsets in the page; in a TB they ascend.
        offsets = [address - code.pc for address in code.addresses]
        mask = 0xFFF if guest[0] != code.pc else 0xFFFF_FFFF_FFFF_FFFF
        where = {address & mask: i for i, address in enumerate(code.addresses)}
        ends = (*host.tolist()[1:], fast)
        latest = -1
        for address, end in zip(guest.tolist(), ends, strict=True):
            i = where.get(address & mask, -1)
            if i <= latest:
                raise self._error(
                    f"host code for guest address {address:#x}", f"an instruction of the TB at {code.pc:#x}"
                )
            latest = i
            columns.offset.append(offsets[i])
            columns.end.append(end)
            columns.so_far.append(code.accesses[i])
        columns.first.append(len(columns.offset))
        columns.host_bytes.append(size)
        columns.fast_bytes.append(fast)
        columns.guest_pc.append(code.pc)
        columns.guest_bytes.append(code.size)
        columns.instructions.append(len(code.addresses))
        columns.accesses.append(code.accesses[-1])
        columns.epoch.append(self._epoch)
        columns.born.append(self._scanner.executions)
        self._scanner.define(start, row, code.pc)

    def _translated(self, guest: int) -> _GuestCode:
        """The guest code of the host code that begins with guest address ``guest``, whole or its offset in the page."""
        for code in reversed(self._pending):
            if guest in (code.pc, code.pc & 0xFFF):
                if guest != code.pc:
                    # Only system emulation of position-independent TBs prints offsets.
                    self._system = True
                self._pending.clear() if code is self._pending[-1] else self._pending.remove(code)
                return code
        raise self._error(f"host code for guest address {guest:#x}", "an IN block of that address before it")

    def _place(self, start: int, size: int) -> None:
        """Note where a TB lies, and what that says of flushes and discarded TBs."""
        live, here = self._live, self._scanner.executions
        if start > self._latest_start and (not live or start >= live[-1][1]):
            live.append((start, start + size))
        elif start == self._latest_start and self._scanner.latest(start) < self._columns.born[-1]:
            self._discarded.append(here)
            live[bisect_left(live, (start,))] = (start, start + size)
        elif self._own_regions() and not self._overlaps(start, start + size):
            insort(live, (start, start + size))
        else:
            self._flushes.append(here)
            self._epoch += 1
            self._live = [(start, start + size)]
            self._scanner.forget_all()
        self._latest_start = start

    def _own_regions(self) -> bool:
        return self._system and self._scanner.threads.size > 1

    def _overlaps(self, start: int, end: int) -> bool:
        i = bisect_left(self._live, (end,))
        return i > 0 and self._live[i - 1][1] > start

    # --- events ---

    def _stop(self, line: bytes) -> None:
        match = self._matched(_STOPPED, line, "Stopped execution of TB chain before 0xHOST [pc] SYMBOL")
        candidates = self._scanner.last_at(int(match[1], 16))
        if not candidates:
            raise self._error(_shown(line), "a Trace line of that address, the last of its thread, before it")
        self._open_stops.append(candidates)
        self._settle_stops()

    def _settle_stops(self, thread: int | None = None) -> None:
        """Settle the stops that have one candidate, or ``thread`` among them, which has just executed."""
        while True:
            for candidates in self._open_stops:
                if len(candidates) == 1 or thread in candidates:
                    break
            else:
                break
            owner = thread if thread is not None and thread in candidates else next(iter(candidates))
            position = candidates[owner]
            self._open_stops.remove(candidates)
            self._stopped.append(position)
            self._scanner.stopped(owner, position)
            for others in self._open_stops:
                if others.get(owner) == position:
                    del others[owner]
                    if not others:
                        raise self._error("a stop too many", "one stop for each execution that did not run")
        self._scanner.watch({thread for candidates in self._open_stops for thread in candidates})

    def _exception(self, line: bytes) -> None:
        match = self._matched(_EXCEPTION, line, "Taking exception NUMBER [NAME] on CPU CPU")
        self._system = True
        name = _slug(match[2])
        name = _ARM_NAMES.get(name, name)
        self._exceptions[name] += 1
        self._level_of = None
        if name == "data-abort":
            # QEMU numbers CPUs as Trace lines do.
            self._level_of = self._fault(int(match[3]))
            if self._level_of is not None:
                self._faults.append(self._level_of)

    def _fault(self, thread: int) -> _Fault | None:
        """A fault in the last execution of ``thread``; none if the log begins after that execution."""
        position, tb = self._scanner.last(thread) if 0 <= thread < THREADS else (-1, -1)
        if position >= 0:
            return _Fault(position, tb, thread)
        if self._whole:
            raise self._error(f"a fault on CPU {thread}", "a Trace line of that CPU before it")
        return None

    def _level(self, line: bytes) -> None:
        level = self._matched(_LEVELS, line, "...from ELx to ELy")[1]
        fault, self._level_of = self._level_of, None
        if fault is not None and level == b"0":
            self._waiting = fault

    def _return(self, line: bytes) -> None:
        match = _RETURN.fullmatch(line)
        if match is None:
            self._matched(_WITHOUT_MEANING, line, "Exception return from AArch32 MODE to MODE PC 0xADDRESS")
            return
        if match[1] == b"usr":
            fault, self._waiting = self._waiting, None
            # A return does not say on which CPU.
            if fault is not None and self._scanner.threads.size == 1:
                self._know(fault, int(match[2], 16))

    def _know(self, fault: _Fault, pc: int) -> None:
        if fault.tb != UNKNOWN_TB:
            fault.rewritten, fault.accesses = self._columns.rewritten(fault.tb, pc)

    def _io_recompile(self, line: bytes) -> None:
        self._system = True
        fault = self._fault(self._scanner.latest_thread)
        if fault is not None:
            self._io_recompiles.append(fault.position)

    def _mips_enter(self, line: bytes) -> None:
        match = _MIPS_ENTER.fullmatch(line)
        if match is None:
            self._matched(_WITHOUT_MEANING, line, "mips_cpu_do_interrupt enter: PC ADDRESS EPC ADDRESS NAME exception")
            return
        self._system = True
        self._mips = int(match[1], 16), _slug(match[2]), self._fault(self._scanner.latest_thread)

    def _mips_registers(self, line: bytes) -> None:
        match = self._matched(_MIPS_REGISTERS, line, "S STATUS C CAUSE A BADVADDR D DEPC")
        if self._mips is None:
            raise self._error(_shown(line), "mips_cpu_do_interrupt enter: ... before it")
        pc, name, fault = self._mips
        self._mips = None
        self._exceptions[name] += 1
        # A fault of the instruction fetch itself has its own address as bad address, and restores nothing.
        if fault is not None and name in _MIPS_FAULTS and int(match[1], 16) != pc:
            self._know(fault, pc)
            self._faults.append(fault)

    def _queue_signal(self, line: bytes) -> None:
        match = self._matched(_QUEUED, line, "user_queue_signal env=0xENV signal NUMBER")
        number = int(match[2])
        self._exceptions[f"signal-{number}"] += 1
        self._signal(int(match[1], 16), number)

    def _handle_signal(self, line: bytes) -> None:
        self._signal(int(self._matched(_HANDLED, line, "user_handle_signal env=0xENV signal NUMBER")[1], 16))

    def _signal(self, env: int, raised: int = 0) -> None:
        scanner = self._scanner
        last = {int(thread): scanner.last(int(thread)) for thread in scanner.threads}
        if not last:
            if self._whole:
                raise self._error("a signal", "a Trace line before it")
            return
        self._signals.append(_Signal(env, raised, scanner.latest_thread, last))

    # --- the end ---

    def trace(self, name: str, description: str, mode: Mode | None) -> Trace:
        executions = self._scanner.executions
        if not executions or self._guest is None:
            missing = "Trace lines (-d exec,nochain)" if self._guest else "translations (-d in_asm,out_asm)"
            raise self._error("the end of the log", f"{missing} before it")
        self._settle_signals(self._guest)
        # Stops that the end of the log left open: the latest execution, as for most.
        while self._open_stops:
            candidates = self._open_stops[0]
            self._settle_stops(max(candidates, key=candidates.__getitem__))
        faults = sorted(self._faults, key=lambda fault: fault.position)
        stopped = np.sort(np.array(self._stopped, np.int64))
        blocks = self._columns.blocks()
        kernel = self._guest == "mips" and bool((blocks.guest_pc & np.uint64(0x8000_0000)).any())
        return Trace(
            name=name,
            description=description,
            guest=self._guest,
            mode=mode or ("system" if self._system or kernel else "user"),
            access_tag="measured",
            length=executions,
            threads=int(self._scanner.threads.size),
            blocks=blocks,
            retranslations=Retranslations(
                position=np.array([fault.position for fault in faults], np.int64),
                tb=np.array([fault.tb for fault in faults], np.uint32),
                thread=np.array([fault.thread for fault in faults], np.uint32),
                rewritten_bytes=np.array([fault.rewritten for fault in faults], np.int32),
                accesses=np.array([fault.accesses for fault in faults], np.int32),
            ),
            stopped=stopped,
            flushes=np.array(self._flushes, np.int64),
            discarded=np.array(self._discarded, np.int64),
            io_recompiles=np.array(self._io_recompiles, np.int64),
            exceptions=MappingProxyType(dict(self._exceptions)),
            source=_Written(),
        )

    def _settle_signals(self, guest: Guest) -> None:
        votes = Counter((signal.env, signal.guess) for signal in self._signals)
        owners: dict[int, int] = {}
        for (env, thread), _ in sorted(votes.items(), key=lambda vote: vote[1]):
            owners[env] = thread
        for signal in self._signals:
            if signal.raised in _FAULT_SIGNALS[guest]:
                owner = owners[signal.env]
                thread = owner if owner in signal.last else signal.guess
                self._faults.append(_Fault(*signal.last[thread], thread))


class _Written:
    """Stands for executions that are in the file already."""

    def words(self) -> Iterator[Words]:
        raise NotImplementedError("the executions of an imported log are read from its .trace file")


def _slug(name: bytes) -> str:
    return _SPACES.sub(b"-", name.strip().lower()).decode("ascii", "replace")


def _shown(line: bytes) -> str:
    """A line for a message: printable, not too long."""
    return repr(line[:80].decode("ascii", "backslashreplace")) + ("..." if len(line) > 80 else "")


def import_log(
    log: str,
    output: str | os.PathLike[str],
    *,
    name: str | None = None,
    description: str | None = None,
    mode: Mode | None = None,
    level: int = LEVEL,
) -> Trace:
    """Read a QEMU log and write it as a ``.trace`` file.

    ``log`` is a file, plain or compressed with gzip, xz or zstd (told by its
    content), or ``-`` for standard input; it is read once, in bounded memory
    but for the table of TBs and events.  A last line that is cut off is
    ignored.  ``name`` defaults to the log's file name, ``mode`` to what the log
    shows; ``level`` is zstd's.  The trace appears at ``output`` whole or not at all and is returned.

    Raises ``InputError`` with file, line, what was found and what was expected
    for anything that is not such a log.
    """
    title = name or ("stdin" if log == "-" else Path(log).name.partition(".")[0])
    with writing(output, level=level) as writer, _progress(log) as progress:
        importer = _Importer(log, writer)
        importer.read(read_log(log, progress))
        writer.finish(importer.trace(title, description or f"QEMU log {Path(log).name}", mode))
    return load_trace(output)


@contextlib.contextmanager
def _progress(log: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while reading, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    total = None if log == "-" or not os.path.isfile(log) else os.path.getsize(log)
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda read: bar.update(task, completed=read)
