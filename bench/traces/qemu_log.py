"""Importing the log of an unpatched QEMU: ``-d exec,in_asm,out_asm``, better with ``nochain``, ``int`` and two events.

The line formats are those of QEMU 7.0 to 10.0; lines of other options are counted by name.  With linking on (without
``nochain``) only the executions that are not entered through a link are in the log, and its links.

The log is ambiguous in these cases:

* A ``Stopped execution`` line names no thread.  A thread prints it before its next ``Trace`` line, so it refers to the
  last ``Trace`` line of a thread, at that host address.  Of several such threads it is the one that executes next.
* A ``Linking`` line names no thread either.  Its thread is that of the next ``Trace`` line of the target.
* Signal lines name ``env``, not the thread.  An env's thread is the one whose ``Trace`` line precedes most of the env's
  lines.
* Host addresses show flushes and discarded TBs (``bench.traces.log_scan``).
* The guest shows in the syntax of its instructions only (``bench.traces.guests``).
* For an ARM data abort the log does not contain the faulting instruction.  From user mode it is at the PC of the next
  return to user mode, if that is a load or store of the TB.  (Another process may return to the same TB first: compared
  with the running process, 4,291 of 4,292 known cases were right in two recordings.)  The other guests' lines name it.
  Where it is unknown, and in user emulation, the rewritten length is.
* s390x does not tell a fault of an instruction fetch from that of a load or store: it is one of these if the address is
  that of a load or store of the TB.  Of x86 exceptions only page faults are known to come from an access.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from bench.support.errors import InputError
from bench.traces.guests import GUESTS
from bench.traces.links import ISAS, Exits
from bench.traces.log_blocks import (
    ANY_ADDRESS,
    BlockError,
    GuestCode,
    GuestReader,
    HostCode,
    HostReader,
    block_size,
    check_open,
)
from bench.traces.log_kernel import Stop
from bench.traces.log_lines import LONGEST_LINE, whole_lines
from bench.traces.log_scan import PlacedTb, Scanner
from bench.traces.store import LEVEL, TraceWriter, load_trace, writing
from bench.traces.successor import THREADS, UNKNOWN_TB, Words
from bench.traces.trace import I64, U64, Guest, Links, Mode, Retranslations, Trace

_SEPARATOR: Final = b"----------------"
_OPTIONS: Final = "a line of QEMU's -d exec,nochain,int,in_asm,out_asm"
_TRACE: Final = "Trace THREAD: 0xHOST [cs_base/pc/flags/cflags] SYMBOL"
_HEX: Final = rb"0x([0-9a-f]{1,16})"
_NUMBER: Final = rb"(\d{1,9})"
_ADDRESS: Final = rb"([0-9a-f]{8,16})"

_STOPPED = re.compile(rb"Stopped execution of TB chain before " + _HEX + rb" \[[0-9a-f]+\] ?[^\n]*")
_LINKING = re.compile(
    rb"Linking TBs " + _HEX + rb"(?: \[[0-9a-f]+\])? index ([01]) -> " + _HEX + rb"(?: \[[0-9a-f]+\])?"
)
_EXCEPTION = re.compile(rb"Taking exception " + _NUMBER + rb" \[([^\]\n]+)\] on CPU " + _NUMBER)
_LEVELS = re.compile(rb"\.\.\.from EL([0-3]) to EL[0-3]")
_LINK_REGISTER = re.compile(rb"\.\.\.with ELR " + _HEX)
_RETURN = re.compile(rb"Exception return from AArch32 \w+ to (\w+) PC " + _HEX)
_QUEUED = re.compile(rb"user_queue_signal env=" + _HEX + rb" signal " + _NUMBER)
_HANDLED = re.compile(rb"user_handle_signal env=" + _HEX + rb" signal " + _NUMBER)
_MIPS_ENTER = re.compile(
    rb"(?:mips: )?mips_cpu_do_interrupt enter: PC " + _ADDRESS + rb" EPC [0-9a-f]{8,16} ([^\n]+) exception"
)
_MIPS_REGISTERS = re.compile(rb" {4}S [0-9a-f]{8} C [0-9a-f]{8} A ([0-9a-f]{8,16}) D [0-9a-f]{8,16}")
_RISCV = re.compile(
    rb"riscv_cpu_do_interrupt: hart:"
    + _NUMBER
    + rb", async:([01]), cause:[0-9a-f]+, epc:"
    + _HEX
    + rb", tval:"
    + _HEX
    + rb", desc=(\w+)"
)
_PPC = re.compile(rb"Raise exception at " + _ADDRESS + rb" => (?:([\w-]+) \(\d+\) error=|([0-9a-f]{8}) \()[0-9a-f]+\)?")
_S390 = re.compile(rb"do_program_interrupt: code=0x([0-9a-f]{1,4}) ilen=(\d) psw: [0-9a-f]{1,16} ([0-9a-f]{1,16})")
_X86 = re.compile(
    rb" *\d+: v=([0-9a-f]{2}) e=[0-9a-f]{4} i=[01] cpl=[0-3] IP=[0-9a-f]{4}:" + _ADDRESS + rb" pc=[0-9a-f]{8,16}"
    rb" SP=[0-9a-f]{4}:[0-9a-f]{8,16} (?:CR2=" + _ADDRESS + rb"|.*)"
)
_DETAILS = re.compile(
    rb"\.\.\.(?:with|as|to|handling) [^\n]*"
    rb"|Exception return from AArch(?:32|64) [^\n]*"
    rb"|(?:mips: )?(?:do_raise_exception_err: |mips_cpu_do_interrupt: PC )[^\n]*"
)
# A line that is needed can directly follow an unfinished one of strace or of the guest.
_GLUED = re.compile(
    rb"(?<=.)(?:Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/[0-9a-f]+/[0-9a-f]+/[0-9a-f]+\][^\"]*|OUT: \[size=\d+\]|IN: ?[^ \"]*"
    rb"|-{16}|Stopped execution of TB chain before 0x[0-9a-f]+ \[[^\"]*|Linking TBs 0x[0-9a-f]+ [^\"]*"
    rb"|user_\w+_signal env=0x[0-9a-f]+ signal \d+)$"
)
# What is left of a damaged line that is needed.
_REMAINS = re.compile(
    rb"(?:^|[^(,\"])0x[0-9a-f]+ \[[0-9a-f]+/[0-9a-f]+|-> 0x[0-9a-f]+$|-- guest addr 0x|: \[size=\d|^0x[0-9a-f]{8,16}:  "
    rb"|TB chain before|^-{5,}$"
)
_STRACE = re.compile(rb"\d+ [a-z_]\w*\([^\n]*|(?:\d+ )? ?= -?[\w][^\n]*")
_WORDS = re.compile(rb"(?<![\w-])(?![0-9a-f]+(?!\w))[A-Za-z_]\w{2,23}(?: [A-Za-z_]\w{2,23}){0,2}(?!\w)")
_MOST_NAMES: Final = 64
_OTHERS: Final = "others"

_ARM_NAMES: Final = {"undefined-instruction": "undef", "hypervisor-call": "hvc"}
_MIPS_FAULTS: Final = frozenset(
    ("tlb-load", "tlb-store", "tlb-modify", "address-error-load", "address-error-store", "data-bus-error")
)
_PPC_FAULTS: Final = {b"DSI": "dsi", b"DSEG": "dseg", b"ALIGN": "align"}
_PPC_NUMBERS: Final = {2: b"DSI", 5: b"ALIGN", 65: b"DSEG"}
# Program interruptions of translations keep the address of the instruction, the others that of the next one.
_S390_TRANSLATION: Final = frozenset((0x10, 0x11, 0x38, 0x39, 0x3A, 0x3B))
_S390_ACCESS: Final = frozenset((0x04, 0x05))
_X86_PAGE_FAULT: Final = b"0e"
_SPACES = re.compile(rb"[\W_]+")

# cflags of QEMU 7.2, include/exec/exec-all.h: at most so many instructions (CF_COUNT_MASK), unless they are those of
# cpu_io_recompile (CF_LAST_IO); no exit is patched (CF_NO_GOTO_TB).
_COUNTED: Final = 0x1FF
_IO_RECOMPILED: Final = 0x8000
_NO_LINKS: Final = 0x200
_MOST_PENDING: Final = 128
"""IN blocks whose host code is not printed yet: one per thread, and more where one overflowed the buffer."""
_KERNEL: Final = {"mips": 0x8000_0000, "x86-64": None}
"""Where a guest's kernel begins; the top half of the addresses by default, not known where user programs run there."""


@dataclass(slots=True)
class _Fault:
    """A state restore; the rewritten length may become known later."""

    position: int
    tb: int
    thread: int
    rewritten: int = -1
    accesses: int = -1


@dataclass(slots=True)
class _Signal:
    """A signal line; its thread is determined at the end of the log."""

    env: int
    raised: int  # number of the raised signal, 0 for a signal that is handled
    guess: int
    last: dict[int, tuple[int, int]]


class _Importer:
    def __init__(self, log: str, writer: TraceWriter, guest: Guest | None, strict: bool) -> None:
        self._log = "standard input" if log == "-" else log
        self._writer = writer
        self._strict = strict
        self._scanner = Scanner()
        self._guests = GuestReader(guest)
        self._hosts = HostReader()
        self._text = bytearray()
        self._end = 0
        self._cut = False  # a block has no end so far
        self._separated = False  # the line before an IN block was read
        self._whole = False  # the log holds the run from its beginning
        self._pending: list[GuestCode] = []
        self._flushes = array("q")
        self._discarded = array("q")
        self._stopped = array("q")
        self._open_stops: list[dict[int, int]] = []
        self._io_recompiles = array("q")
        self._between = array("q")  # positions of other events between executions
        self._exceptions: Counter[str] = Counter()
        self._faults: list[_Fault] = []
        self._level_of: _Fault | None = None
        self._waiting: _Fault | None = None
        self._mips: tuple[int, str, _Fault | None] | None = None
        self._signals: list[_Signal] = []
        self._links: list[tuple[int, int, int, int, int]] = []  # position, source, slot, target, thread
        self._open_links: list[tuple[int, int, int, int, int]] = []
        self._unread: Counter[str] = Counter()
        handlers: tuple[tuple[bytes, Callable[[bytes], None]], ...] = (
            (b"Stopped execution", self._stop),
            (b"Linking TBs", self._link),
            (b"Taking exception", self._exception),
            (b"...from", self._level),
            (b"...with ELR", self._link_register),
            (b"Exception return", self._return),
            (b"cpu_io_recompile: ", self._io_recompile),
            (b"user_queue_signal", self._queue_signal),
            (b"user_handle_signal", self._handle_signal),
            (b"mips", self._mips_enter),
            (b"    S ", self._mips_registers),
            (b"riscv_cpu_do_interrupt", self._riscv),
            (b"Raise exception at", self._ppc),
            (b"do_program_interrupt", self._s390),
        )
        # Indexed by the first three bytes.
        self._handlers = {
            start[:3]: [handler for handler in handlers if handler[0][:3] == start[:3]] for start, _ in handlers
        }

    # --- the lines ---

    def read(self, blocks: Iterable[tuple[bytearray, int]]) -> None:
        """Import the ``whole_lines`` of a log."""
        for data, end in blocks:
            if self._cut or not end:
                raise self._error(f"a line or a translation of more than {LONGEST_LINE} bytes", _OPTIONS)
            self._lines(data, end)
        # The rest is a truncated last line: QEMU was stopped, or the disk was full.
        self._write()

    def _lines(self, data: bytearray, end: int) -> None:
        scanner = self._scanner
        scanner.feed(data, end)
        self._text, self._end = data, end
        while (stop := scanner.scan()) is not Stop.END:
            if stop is Stop.LINE:
                self._other_lines()
                if self._cut:
                    return
            elif stop is Stop.FULL:
                self._write()
            elif stop is Stop.WATCHED:
                self._settle_stops(scanner.latest_thread)
            else:
                raise self._bad(stop)

    def _other_lines(self) -> None:
        """Process the lines to the next ``Trace`` line."""
        scanner, text, end = self._scanner, self._text, self._end
        while (at := scanner.at) < end and not self._cut:
            if text.startswith(b"IN:", at) or text.startswith(b"OUT:", at) or text.startswith(b"PROLOGUE:", at):
                self._block(at)
            elif text.startswith(b"Trace ", at):
                return
            else:
                line = bytes(text[at : text.index(b"\n", at)])
                if line == _SEPARATOR:
                    self._separated = True
                glued = None if line == _SEPARATOR else self._line(line)
                # The rest of a glued line is a line of its own.
                scanner.skip(len(line) + 1 if glued is None else glued, lines=glued is None)

    def _line(self, line: bytes) -> int | None:
        """Process a line.  Returns the start of a line that follows an unfinished one that is not needed, else None."""
        for start, handler in self._handlers.get(line[:3], ()):
            if line.startswith(start):
                handler(line)
                return None
        if not line or _DETAILS.fullmatch(line):
            return None
        if b": v=" in line[:24] and (match := _X86.fullmatch(line)):
            self._x86(match)
            return None
        if glued := _GLUED.search(line):
            line = line[: glued.start()]
        elif _REMAINS.search(line):
            raise self._error(_shown(line), _OPTIONS)
        if self._strict:
            raise self._error(_shown(line), _OPTIONS)
        self._unread[self._name(line)] += 1
        return glued.start() if glued else None

    def _name(self, line: bytes) -> str:
        """What a line that is not needed is called: its first words, without numbers."""
        if _STRACE.fullmatch(line):
            return "strace"
        words = _WORDS.search(line)
        name = words[0].decode("ascii") if words else "numbers"
        return name if name in self._unread or len(self._unread) < _MOST_NAMES else _OTHERS

    def _write(self) -> None:
        words = self._scanner.take()
        self._settle_links(words)
        self._writer.add(words)

    def _matched(self, pattern: re.Pattern[bytes], line: bytes, expected: str) -> re.Match[bytes]:
        match = pattern.fullmatch(line)
        if match is None:
            raise self._error(_shown(line), expected)
        return match

    def _error(self, found: str, expected: str, after: int = 0) -> InputError:
        place = f"line {self._scanner.line_number + after}"
        return InputError(found, file=self._log, place=place, expected=expected)

    def _bad(self, stop: Stop) -> InputError:
        expected = {
            Stop.BAD_TRACE: _TRACE,
            Stop.BAD_THREAD: "a thread number of at most 127",
            Stop.BAD_PC: "the guest address of the TB that was translated to this host address",
            Stop.UNKNOWN_ADDRESS: "the host address of a TB translated before, as this log begins with the prologue",
        }[stop]
        at = self._scanner.at
        return self._error(_shown(bytes(self._text[at : self._text.index(b"\n", at)])), expected)

    # --- translation ---

    def _block(self, at: int) -> None:
        """Process a block: lines up to an empty one."""
        text = self._text
        end = text.find(b"\n\n", at, self._end)
        self._cut = end < 0
        if self._cut:
            end = self._end - 1
        lines = text.count(b"\n", at, end) + 2
        try:
            if text.startswith(b"OUT:", at):
                host = self._hosts.read(text, at, end + 1 if self._cut else self._end)
                if not self._cut:
                    self._translated(host, lines)
            elif text.startswith(b"IN:", at):
                if not self._separated:
                    raise BlockError(0, f"{_SEPARATOR.decode()} before it")
                if self._cut:
                    check_open(bytes(text[at:end]))
                else:
                    self._separated = False
                    del self._pending[: -_MOST_PENDING + 1]
                    self._pending.append(self._guests.read(bytes(text[at:end])))
            elif not self._cut:
                block_size(bytes(text[at:end]))
                if self._scanner.executions or self._scanner.tbs:
                    raise BlockError(0, "the log of one run of QEMU", "a second prologue")
                self._scanner.expect_all()
                self._whole = True
        except BlockError as error:
            line = [*bytes(text[at:end]).split(b"\n"), b"", b""][error.line]
            raise self._error(error.found or _shown(line), error.expected, error.line) from None
        if not self._cut:
            self._scanner.skip(end + 2 - at, lines)

    def _translated(self, host: HostCode, lines: int) -> None:
        """Make a TB of an ``OUT`` block of so many lines and its ``IN`` block."""
        marked = host.marked[0]
        for which in range(len(self._pending) - 1, -1, -1):
            guest = self._pending[which]
            pc = guest.addresses[0]
            if pc in (marked, ANY_ADDRESS) or pc & 0xFFF == marked:
                break
        else:
            raise BlockError(lines, "an IN block of that address before it", f"host code for guest address {marked:#x}")
        if pc == ANY_ADDRESS:
            guest = GuestCode([pc := marked], guest.so_far, guest.size, guest.last)
        if self._scanner.tbs >= UNKNOWN_TB:
            raise BlockError(lines, f"at most {UNKNOWN_TB - 1}", "more TBs than a trace holds")
        # Only system emulation with position-independent TBs prints offsets.
        offsets = pc != marked
        self._scanner.system |= offsets
        try:
            placed = self._scanner.add_tb(host, guest, offsets)
        except LookupError as error:
            found = f"host code for guest address {error.args[0]:#x}"
            raise BlockError(lines, f"an instruction of the TB at {pc:#x}", found) from None
        if placed is PlacedTb.FLUSHED:
            self._flushes.append(self._scanner.executions)
        elif placed is PlacedTb.DISCARDED:
            self._discarded.append(self._scanner.executions)
        # IN blocks before the latest were printed again or discarded.
        if which == len(self._pending) - 1:
            self._pending.clear()
        else:
            del self._pending[which]

    # --- links ---

    def _link(self, line: bytes) -> None:
        match = self._matched(_LINKING, line, "Linking TBs 0xHOST index SLOT -> 0xHOST")
        source, target = (self._scanner.tb_at(int(address, 16)) for address in (match[1], match[3]))
        if self._whole and UNKNOWN_TB in (source, target):
            raise self._error(_shown(line), "the host addresses of TBs translated before")
        thread = self._scanner.latest_thread
        self._open_links.append((self._scanner.executions, source, int(match[2]), target, thread))

    def _settle_links(self, words: Words) -> None:
        """Set the threads of links whose target is executed next."""
        base = self._scanner.executions - words.size
        for position, source, slot, target, thread in self._open_links:
            near = words[max(position - base, 0) :][:64]
            same = np.flatnonzero((near & np.uint32(UNKNOWN_TB)) == target)
            if same.size:
                thread = int(near[same[0]] >> np.uint32(24)) & 0x7F
            self._links.append((position, source, slot, target, thread))
        self._open_links.clear()

    # --- events ---

    def _stop(self, line: bytes) -> None:
        match = self._matched(_STOPPED, line, "Stopped execution of TB chain before 0xHOST [pc] SYMBOL")
        candidates = self._scanner.last_at(int(match[1], 16))
        if not candidates:
            raise self._error(_shown(line), "a Trace line of that address, the last of its thread, before it")
        self._open_stops.append(candidates)
        self._settle_stops()

    def _settle_stops(self, thread: int | None = None) -> None:
        """Assign the stops with one candidate, and those with the candidate ``thread``, which has just executed."""
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
        name = _slug(match[2])
        self._interrupted(name := _ARM_NAMES.get(name, name))
        self._level_of = None
        if name == "data-abort":
            # QEMU numbers CPUs as Trace lines do.
            self._level_of = self._fault(int(match[3]))
            if self._level_of is not None:
                self._faults.append(self._level_of)

    def _fault(self, thread: int) -> _Fault | None:
        """A fault in the last execution of ``thread``; None if the log begins after that execution."""
        position, tb = self._scanner.last(thread) if 0 <= thread < THREADS else (-1, -1)
        if position >= 0:
            return _Fault(position, tb, thread)
        if self._whole:
            raise self._error(f"a fault on CPU {thread}", "a Trace line of that CPU before it")
        return None

    def _interrupted(self, name: str) -> None:
        """Count an exception, which only system emulation logs."""
        self._scanner.system = True
        self._exceptions[name] += 1
        self._between.append(self._scanner.executions)

    def _level(self, line: bytes) -> None:
        level = self._matched(_LEVELS, line, "...from ELx to ELy")[1]
        if self._level_of is not None and level == b"0":
            self._waiting = self._level_of

    def _link_register(self, line: bytes) -> None:
        """The return address of an exception that AArch64 takes: that of the faulting instruction."""
        match = self._matched(_LINK_REGISTER, line, "...with ELR 0xADDRESS")
        fault, self._level_of = self._level_of, None
        if fault is not None:
            self._waiting = None
            self._know(fault, int(match[1], 16))

    def _return(self, line: bytes) -> None:
        self._between.append(self._scanner.executions)
        match = _RETURN.fullmatch(line)
        if match is None:
            self._matched(_DETAILS, line, "Exception return from AArch32 MODE to MODE PC 0xADDRESS")
            return
        if match[1] == b"usr":
            fault, self._waiting = self._waiting, None
            # The return line does not name its CPU.
            if fault is not None and len(self._scanner.threads) == 1:
                self._know(fault, int(match[2], 16))

    def _know(self, fault: _Fault, pc: int) -> None:
        if fault.tb != UNKNOWN_TB:
            fault.rewritten, fault.accesses = self._scanner.rewritten(fault.tb, pc)

    def _io_recompile(self, line: bytes) -> None:
        self._scanner.system = True
        fault = self._fault(self._scanner.latest_thread)
        if fault is not None:
            self._io_recompiles.append(fault.position)

    def _mips_enter(self, line: bytes) -> None:
        match = _MIPS_ENTER.fullmatch(line)
        if match is None:
            self._matched(_DETAILS, line, "mips_cpu_do_interrupt enter: PC ADDRESS EPC ADDRESS NAME exception")
            return
        self._mips = int(match[1], 16), _slug(match[2]), self._fault(self._scanner.latest_thread)

    def _mips_registers(self, line: bytes) -> None:
        match = self._matched(_MIPS_REGISTERS, line, "S STATUS C CAUSE A BADVADDR D DEPC")
        if self._mips is None:
            raise self._error(_shown(line), "mips_cpu_do_interrupt enter: ... before it")
        pc, name, fault = self._mips
        self._mips = None
        self._interrupted(name)
        # A fault of an instruction fetch has the PC as bad address and restores no state.
        if fault is not None and name in _MIPS_FAULTS and int(match[1], 16) != pc:
            self._know(fault, pc)
            self._faults.append(fault)

    def _riscv(self, line: bytes) -> None:
        expected = "riscv_cpu_do_interrupt: hart:CPU, async:0, cause:C, epc:0xPC, tval:0xADDRESS, desc=NAME"
        match = self._matched(_RISCV, line, expected)
        name = match[5].decode()
        self._interrupted(name.replace("_", "-"))
        if match[2] == b"0" and ("load" in name or "store" in name):
            self._fault_at(int(match[3], 16), int(match[1]))

    def _ppc(self, line: bytes) -> None:
        match = self._matched(_PPC, line, "Raise exception at PC => NAME (NUMBER) error=CODE")
        name = match[2] or _PPC_NUMBERS.get(int(match[3], 16), b"vector-" + match[3].lstrip(b"0"))
        self._interrupted(_slug(name))
        if name in _PPC_FAULTS:
            self._fault_at(int(match[1], 16))

    def _s390(self, line: bytes) -> None:
        match = self._matched(_S390, line, "do_program_interrupt: code=0xCODE ilen=BYTES psw: MASK ADDRESS")
        code, pc = int(match[1], 16) & 0x7F, int(match[3], 16)
        self._interrupted(f"program-{code:02x}")
        if code in _S390_TRANSLATION or code in _S390_ACCESS:
            self._fault_at(pc if code in _S390_TRANSLATION else pc - int(match[2]), only_accesses=True)

    def _x86(self, match: re.Match[bytes]) -> None:
        self._interrupted("page-fault" if match[1] == _X86_PAGE_FAULT else f"vector-{match[1].decode()}")
        # The fault of an instruction fetch has the PC as bad address.
        if match[1] == _X86_PAGE_FAULT and match[3] is not None and int(match[3], 16) != int(match[2], 16):
            self._fault_at(int(match[2], 16))

    def _fault_at(self, pc: int, thread: int | None = None, *, only_accesses: bool = False) -> None:
        """A fault of the instruction at ``pc``; with ``only_accesses`` only if that is a load or store of the TB."""
        fault = self._fault(self._scanner.latest_thread if thread is None else thread)
        if fault is None:
            return
        self._know(fault, pc)
        if fault.rewritten >= 0 or not only_accesses or fault.tb == UNKNOWN_TB:
            self._faults.append(fault)

    def _queue_signal(self, line: bytes) -> None:
        match = self._matched(_QUEUED, line, "user_queue_signal env=0xENV signal NUMBER")
        number = int(match[2])
        self._exceptions[f"signal-{number}"] += 1
        self._signal(int(match[1], 16), number)

    def _handle_signal(self, line: bytes) -> None:
        self._signal(int(self._matched(_HANDLED, line, "user_handle_signal env=0xENV signal NUMBER")[1], 16))

    def _signal(self, env: int, raised: int = 0) -> None:
        if not self._scanner.executions:
            if self._whole:
                raise self._error("a signal", "a Trace line before it")
            return
        # A handled signal only shows its thread.
        last = {thread: self._scanner.last(thread) for thread in self._scanner.threads} if raised else {}
        self._signals.append(_Signal(env, raised, self._scanner.latest_thread, last))

    # --- the end ---

    def trace(self, name: str, description: str, mode: Mode | None) -> Trace:
        executions = self._scanner.executions
        guest = self._guests.guest
        if not executions or not self._scanner.tbs or guest is None:
            missing = "Trace lines (-d exec,nochain)" if self._scanner.tbs else "translations (-d in_asm,out_asm)"
            if self._pending and not self._scanner.tbs:
                missing = "host code (-d out_asm)"
            raise self._error("the end of the log", f"{missing} before it")
        self._settle_signals(guest)
        # Stops that are ambiguous at the end of the log refer to the latest execution, like most.
        while self._open_stops:
            candidates = self._open_stops[0]
            self._settle_stops(max(candidates, key=candidates.__getitem__))
        faults = sorted(self._faults, key=lambda fault: fault.position)
        blocks = self._scanner.blocks()
        begin = _KERNEL.get(guest, 1 << 63)
        kernel = begin is not None and bool((blocks.guest_pc >= np.uint64(begin)).any())
        mode = mode or ("system" if self._scanner.system or kernel else "user")
        cflags = self._scanner.cflags
        return Trace(
            name=name,
            description=description,
            guest=guest,
            mode=mode,
            access_tag=GUESTS[guest].tag,
            length=executions,
            threads=len(self._scanner.threads),
            blocks=blocks,
            retranslations=Retranslations(
                position=np.array([fault.position for fault in faults], np.int64),
                tb=np.array([fault.tb for fault in faults], np.uint32),
                thread=np.array([fault.thread for fault in faults], np.uint32),
                rewritten_bytes=np.array([fault.rewritten for fault in faults], np.int32),
                accesses=np.array([fault.accesses for fault in faults], np.int32),
            ),
            stopped=np.sort(np.array(self._stopped, np.int64)),
            flushes=np.array(self._flushes, np.int64),
            discarded=np.array(self._discarded, np.int64),
            io_recompiles=np.array(self._io_recompiles, np.int64),
            exceptions=MappingProxyType(dict(self._exceptions)),
            interruptions=np.unique(np.array(self._between, np.int64)),
            exits=self._exits(guest, mode, cflags),
            links=self._recorded_links(bool(((cflags >= 0) & (cflags & _NO_LINKS == 0)).any())),
            unread=MappingProxyType(dict(self._unread)),
            source=_WrittenExecutions(),
        )

    def _exits(self, guest: Guest, mode: Mode, cflags: I64) -> U64 | None:
        """The exits of the blocks by their last instructions, if these are known for the guest."""
        if guest not in ISAS:
            return None
        blocks = self._scanner.blocks()
        cut_short = (mode == "system") & (cflags >= 0) & (cflags & _COUNTED > 0) & (cflags & _IO_RECOMPILED == 0)
        last = (text.decode("ascii", "replace") for text in self._scanner.lasts)
        return Exits.of_text(ISAS[guest], blocks.guest_pc, blocks.guest_bytes, last, cut_short=cut_short).address

    def _recorded_links(self, linking: bool) -> Links | None:
        """The links that the log names, if linking was on."""
        if not linking and not self._links:
            return None
        return Links.of_rows(np.array(self._links, np.int64), np.full(len(self._links), -1, np.int64))

    def _settle_signals(self, guest: Guest) -> None:
        votes = Counter((signal.env, signal.guess) for signal in self._signals)
        owners: dict[int, int] = {}
        for (env, thread), _ in sorted(votes.items(), key=lambda vote: vote[1]):
            owners[env] = thread
        for signal in self._signals:
            if signal.raised in GUESTS[guest].signals:
                owner = owners[signal.env]
                thread = owner if owner in signal.last else signal.guess
                self._faults.append(_Fault(*signal.last[thread], thread))


class _WrittenExecutions:
    """A placeholder for executions that the file holds already."""

    def words(self) -> Iterator[Words]:
        raise NotImplementedError("the executions of an imported log are read from its .trace file")


@functools.lru_cache(maxsize=1 << 8)
def _slug(name: bytes) -> str:
    return _SPACES.sub(b"-", name.strip().lower()).decode("ascii", "replace")


def _shown(line: bytes) -> str:
    """A line as printable text of limited length, for messages."""
    return repr(line[:80].decode("ascii", "backslashreplace")) + ("..." if len(line) > 80 else "")


def import_log(
    log: str,
    output: str | os.PathLike[str],
    *,
    name: str | None = None,
    description: str | None = None,
    mode: Mode | None = None,
    guest: Guest | None = None,
    strict: bool = False,
    level: int = LEVEL,
) -> Trace:
    """Read a QEMU log and write it as a ``.trace`` file.

    ``log`` is a file, plain or compressed with gzip, xz or zstd (recognised by its content), or ``-`` for standard
    input.  It is read once, in bounded memory except for the tables of TBs and events.  A truncated last line is
    ignored.  ``name`` defaults to the log's file name, ``mode`` and ``guest`` to what the log shows; ``strict`` refuses
    lines that the import does not need; ``level`` is the zstd level.  The file ``output`` is written completely or not
    at all.  Returns the trace.

    Raises ``InputError`` with file and line for anything that is not such a log.
    """
    title = name or ("stdin" if log == "-" else Path(log).name.partition(".")[0])
    with writing(output, level=level) as writer, _progress(log) as progress:
        importer = _Importer(log, writer, guest, strict)
        importer.read(whole_lines(log, progress))
        writer.finish(importer.trace(title, description or f"QEMU log {Path(log).name}", mode))
    return load_trace(output)


@contextlib.contextmanager
def _progress(log: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal."""
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
