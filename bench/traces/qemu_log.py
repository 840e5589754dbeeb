"""Importing the log of an unpatched QEMU: ``-d exec,nochain,int,in_asm,out_asm`` and two trace events.

The line formats are those of QEMU 7.2.  The log is ambiguous in these cases:

* A ``Stopped execution`` line names no thread.  A thread prints it before its next ``Trace`` line, so it refers to the
  last ``Trace`` line of a thread, at that host address.  Of several such threads it is the one that executes next.
* Signal lines name ``env``, not the thread.  An env's thread is the one whose ``Trace`` line precedes most of the env's
  lines.
* Host addresses show flushes and discarded TBs (``bench.traces.log_kernel``).
* The log does not contain the faulting instruction.  For an ARM data abort from user mode it is at the PC of the next
  return to user mode, if that is a load or store of the TB; for MIPS at the PC of the exception.  Otherwise, and in
  user emulation, the rewritten length is unknown.  (Another process may return to the same TB first: compared with the
  running process, 4,291 of 4,292 known cases were right in two recordings.)
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
from bench.traces.guest_accesses import by_operands, parse_instruction
from bench.traces.log_kernel import Stop
from bench.traces.log_lines import LONGEST_LINE, whole_lines
from bench.traces.log_scan import Scanner
from bench.traces.store import LEVEL, TraceWriter, load_trace, writing
from bench.traces.successor import THREADS, UNKNOWN_TB, Words
from bench.traces.trace import Guest, Mode, Retranslations, Trace

_SEPARATOR: Final = b"----------------"
_OPTIONS: Final = "a line of QEMU's -d exec,nochain,int,in_asm,out_asm"
_HEX: Final = rb"0x([0-9a-f]{1,16})"
_NUMBER: Final = rb"(\d{1,9})"

_STOPPED = re.compile(rb"Stopped execution of TB chain before " + _HEX + rb" \[[0-9a-f]+\] ?[^\n]*")
_OUT = re.compile(rb"OUT: \[size=" + _NUMBER + rb"\]")
_PROLOGUE = re.compile(rb"PROLOGUE: \[size=" + _NUMBER + rb"\]")
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
# The line of another thread can directly follow an unfinished line of strace.
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
    def __init__(self, log: str, writer: TraceWriter) -> None:
        self._log = "standard input" if log == "-" else log
        self._writer = writer
        self._scanner = Scanner()
        self._whole = False  # the log holds the run from its beginning
        self._guest: Guest | None = None
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
        handlers: tuple[tuple[bytes, Callable[[bytes], None]], ...] = (
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
        # Indexed by the first three bytes.
        self._handlers = {
            start[:3]: [handler for handler in handlers if handler[0][:3] == start[:3]] for start, _ in handlers
        }

    # --- the lines ---

    def read(self, blocks: Iterable[tuple[bytearray, int]]) -> None:
        """Import the ``whole_lines`` of a log."""
        for data, end in blocks:
            if not end:
                raise self._error(f"a line of more than {LONGEST_LINE} bytes", _OPTIONS)
            self._lines(data, end)
        # The rest is a truncated last line: QEMU was stopped, or the disk was full.
        self._write()

    def _lines(self, data: bytearray, end: int) -> None:
        scanner = self._scanner
        scanner.feed(data, end)
        while (stop := scanner.scan()) is not Stop.END:
            if stop is Stop.LINE:
                self._other_line(scanner.line)
            elif stop is Stop.FULL:
                self._write()
            elif stop is Stop.FLUSHED:
                self._flushes.append(scanner.executions)
            elif stop is Stop.DISCARDED:
                self._discarded.append(scanner.executions)
            elif stop is Stop.WATCHED:
                self._settle_stops(scanner.latest_thread)
            elif stop is Stop.PROLOGUE:
                scanner.expect_all()
                self._whole = True
            else:
                raise self._bad(stop)

    def _other_line(self, line: bytes) -> None:
        """Process a line that the scanner does not parse, and skip it."""
        glued = None
        if self._scanner.in_guest_code:
            self._guest_line(line)
        else:
            glued = self._line(line)
        if glued is None:
            self._scanner.skip(len(line) + 1)
        else:
            # The rest of a glued line is a line of its own.
            self._scanner.skip(glued, lines=0)

    def _line(self, line: bytes) -> int | None:
        """Process a line.  Returns the start of a line that follows an unfinished line of strace, else None."""
        for start, handler in self._handlers.get(line[:3], ()):
            if line.startswith(start):
                handler(line)
                return None
        if not line or _WITHOUT_MEANING.fullmatch(line):
            return None
        if _STRACE.fullmatch(line):
            glued = _GLUED.search(line)
            return glued.start() if glued else None
        raise self._error(_shown(line), _OPTIONS)

    def _write(self) -> None:
        self._writer.add(self._scanner.take())

    def _matched(self, pattern: re.Pattern[bytes], line: bytes, expected: str) -> re.Match[bytes]:
        match = pattern.fullmatch(line)
        if match is None:
            raise self._error(_shown(line), expected)
        return match

    def _error(self, found: str, expected: str) -> InputError:
        return InputError(found, file=self._log, place=f"line {self._scanner.line_number}", expected=expected)

    def _bad(self, stop: Stop) -> InputError:
        guest, pc = self._scanner.odd
        if stop is Stop.UNTRANSLATED:
            return self._error(f"host code for guest address {guest:#x}", "an IN block of that address before it")
        if stop is Stop.BAD_CHUNK:
            return self._error(f"host code for guest address {guest:#x}", f"an instruction of the TB at {pc:#x}")
        if stop is Stop.TOO_MANY:
            return self._error("more TBs than a trace holds", f"at most {UNKNOWN_TB - 1}")
        expected = {
            Stop.BAD_TRACE: "Trace THREAD: 0xHOST [cs_base/pc/flags/cflags] SYMBOL",
            Stop.BAD_THREAD: "a thread number of at most 127",
            Stop.BAD_PC: "the guest address of the TB that was translated to this host address",
            Stop.UNKNOWN_ADDRESS: "the host address of a TB translated before, as this log begins with the prologue",
            Stop.BAD_HOST_LINE: "the next line of an OUT block, with an ascending address inside the block",
        }[stop]
        return self._error(_shown(self._scanner.line), expected)

    # --- translation ---

    def _separator(self, line: bytes) -> None:
        raise self._error(_shown(line), _SEPARATOR.decode())

    def _begin_in(self, line: bytes) -> None:
        raise self._error(_shown(line), f"{_SEPARATOR.decode()} before it")

    def _guest_line(self, line: bytes) -> None:
        """Parse a line of an ``IN`` block for the scanner, and teach it the instruction."""
        first, so_far = self._scanner.guest_code
        if not line:
            raise self._error("an IN block without instructions", "a guest instruction")
        read = parse_instruction(line)
        if read is None:
            raise self._error(_shown(line), "an instruction of a 32-bit ARM or MIPS guest, as -d in_asm prints it")
        self._guest = self._guest or read.guest
        if read.guest != self._guest:
            raise self._error(_shown(line), f"a guest instruction of {self._guest}, as before")
        if first >= 0 and read.address != first + so_far:
            raise self._error(_shown(line), f"the guest address {first + so_far:#x}")
        self._scanner.add_instruction(read.guest, read.address, read.size, read.accesses)
        mnemonic = read.text[: read.mnemonic]
        if by_operands(read.guest, mnemonic):
            self._scanner.learn(mnemonic, None)
            if read.text != mnemonic:
                self._scanner.learn(read.text, read.accesses)
        else:
            self._scanner.learn(mnemonic, read.accesses)

    def _begin_out(self, line: bytes) -> None:
        self._matched(_OUT, line, "OUT: [size=BYTES]")
        raise self._error("a block of 0 bytes", "its length in bytes")

    def _begin_prologue(self, line: bytes) -> None:
        if self._scanner.executions or self._scanner.tbs:
            raise self._error("a second prologue", "the log of one run of QEMU")
        size = int(self._matched(_PROLOGUE, line, "PROLOGUE: [size=BYTES]")[1])
        if size == 0:
            raise self._error("a block of 0 bytes", "its length in bytes")
        self._scanner.begin_prologue(size)

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
        self._scanner.system = True
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
        """A fault in the last execution of ``thread``; None if the log begins after that execution."""
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
            self._matched(_WITHOUT_MEANING, line, "mips_cpu_do_interrupt enter: PC ADDRESS EPC ADDRESS NAME exception")
            return
        self._scanner.system = True
        self._mips = int(match[1], 16), _slug(match[2]), self._fault(self._scanner.latest_thread)

    def _mips_registers(self, line: bytes) -> None:
        match = self._matched(_MIPS_REGISTERS, line, "S STATUS C CAUSE A BADVADDR D DEPC")
        if self._mips is None:
            raise self._error(_shown(line), "mips_cpu_do_interrupt enter: ... before it")
        pc, name, fault = self._mips
        self._mips = None
        self._exceptions[name] += 1
        # A fault of an instruction fetch has the PC as bad address and restores no state.
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
        if not executions or self._guest is None:
            missing = "Trace lines (-d exec,nochain)" if self._guest else "translations (-d in_asm,out_asm)"
            raise self._error("the end of the log", f"{missing} before it")
        self._settle_signals(self._guest)
        # Stops that are ambiguous at the end of the log refer to the latest execution, like most.
        while self._open_stops:
            candidates = self._open_stops[0]
            self._settle_stops(max(candidates, key=candidates.__getitem__))
        faults = sorted(self._faults, key=lambda fault: fault.position)
        stopped = np.sort(np.array(self._stopped, np.int64))
        blocks = self._scanner.blocks()
        kernel = self._guest == "mips" and bool((blocks.guest_pc & np.uint64(0x8000_0000)).any())
        return Trace(
            name=name,
            description=description,
            guest=self._guest,
            mode=mode or ("system" if self._scanner.system or kernel else "user"),
            access_tag="measured",
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
            stopped=stopped,
            flushes=np.array(self._flushes, np.int64),
            discarded=np.array(self._discarded, np.int64),
            io_recompiles=np.array(self._io_recompiles, np.int64),
            exceptions=MappingProxyType(dict(self._exceptions)),
            source=_WrittenExecutions(),
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
    level: int = LEVEL,
) -> Trace:
    """Read a QEMU log and write it as a ``.trace`` file.

    ``log`` is a file, plain or compressed with gzip, xz or zstd (recognised by its content), or ``-`` for standard
    input.  It is read once, in bounded memory except for the tables of TBs and events.  A truncated last line is
    ignored.  ``name`` defaults to the log's file name, ``mode`` to the mode that the log shows; ``level`` is the zstd
    level.  The file ``output`` is written completely or not at all.  Returns the trace.

    Raises ``InputError`` with file and line for anything that is not such a log.
    """
    title = name or ("stdin" if log == "-" else Path(log).name.partition(".")[0])
    with writing(output, level=level) as writer, _progress(log) as progress:
        importer = _Importer(log, writer)
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
