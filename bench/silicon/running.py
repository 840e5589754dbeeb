"""Running a protocol for real: in a child process, batch after batch, on pinned threads."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.protocols.lowering import TORN_TEXT
from bench.protocols.protocol import Protocol
from bench.silicon.instructions import InstructionSet, this_instruction_set
from bench.silicon.loops import register_membarrier
from bench.silicon.native import Memory, Native, address_of, chain, compiled, cores, pinned
from bench.silicon.threads import ALIGNED, PRESSURES, SKIPPED, STUCK, STUCK_TEXT, Instances, Placement
from bench.support.errors import InputError

Observed: TypeAlias = tuple[tuple[str, ...], ...]
"""What each thread observed, in order."""

BATCH = 2048
"""Instances that threads run one after the other before they are made anew."""
_PRESSURE_BYTES = 1 << 15
_LONGEST_DELAY = 256
_INTERRUPTS = 500e-6  # seconds from one signal to the next


@dataclass(slots=True)
class Histogram:
    """How often each outcome was seen in how many ``instances``.

    ``crashes``: signals that ended a child, with the place; ``seconds``: the time in which threads ran, of
    ``executions`` of units.
    """

    outcomes: Counter[Observed] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    seconds: float = 0.0

    def add(self, other: Histogram) -> None:
        """Add what another one saw."""
        self.outcomes.update(other.outcomes)
        self.crashes.update(other.crashes)
        self.instances += other.instances
        self.seconds += other.seconds


@dataclass(frozen=True, slots=True)
class Effort:
    """How long is run: until ``seconds`` are over or so many ``instances`` were run; ``seed`` of all that varies."""

    seconds: float
    instances: int | None = None
    seed: int = 1


def run(
    protocol: Protocol,
    effort: Effort,
    placement: Placement = ALIGNED,
    progress: Callable[[float], object] = lambda seconds: None,
    instructions: InstructionSet | None = None,
) -> Histogram:
    """Run a protocol in child processes; a child that crashes is an outcome, and another takes its place.

    ``instructions``: those of this machine by default.

    Raises ``InputError`` for what cannot be executed here.
    """
    instructions = instructions or this_instruction_set()
    instances = Instances(protocol, instructions, placement)
    _refuse_machine(protocol, instructions)
    total, start, seed = Histogram(), time.monotonic(), effort.seed
    context = multiprocessing.get_context("spawn")
    while (left := effort.seconds - (time.monotonic() - start)) > 0:
        count = None if effort.instances is None else effort.instances - total.instances
        if count is not None and count <= 0:
            break
        here, there = context.Pipe(duplex=False)
        fault, faulting = context.Pipe(duplex=False)
        child = context.Process(
            target=_child, args=(instances, Effort(left, count, seed), there, faulting), daemon=True
        )
        child.start()
        there.close()
        faulting.close()
        try:
            code = here.recv()
            while True:
                total.add(here.recv())
                progress(time.monotonic() - start)
        except EOFError:
            child.join()
        finally:
            if child.is_alive():
                child.terminate()
                child.join()
        if child.exitcode is not None and child.exitcode < 0:
            address = int.from_bytes(os.read(fault.fileno(), 8), "little")
            place = instances.place_of(address - code)
            total.crashes[f"{signal.Signals(-child.exitcode).name} at {place}"] += 1
        elif child.exitcode:
            raise RuntimeError(f"a child of the run ended with exit status {child.exitcode}")
        seed += 1
    return total


def _refuse_machine(protocol: Protocol, instructions: InstructionSet) -> None:
    """Raise ``InputError`` for what this kernel does not let a program do."""
    Memory(1, execute=True)
    for thread in protocol.threads:
        for operation in thread.operations:
            if operation.verb in ("membarrier", "ipi"):
                try:
                    register_membarrier(instructions)
                except OSError as error:
                    place = f"threads.{thread.name}: {operation.text}"
                    raise InputError(f"{error.strerror}", place=place, expected="Linux 4.16 or later") from None


# What a signal that ends the child leaves behind: the address that it is about.  The kernel has put its own handler
# back when this one runs, so that the same instruction ends the process when it returns.
_HANDLERS = """
declare i64 @write(i32, ptr, i64)
define i64 @fault(i64 %signal, i64 %info, i64 %context) {{
  %i = inttoptr i64 %info to ptr
  %address = getelementptr i8, ptr %i, i64 16
  %written = call i64 @write(i32 {descriptor}, ptr %address, i64 8)
  ret i64 0
}}
define i64 @nothing(i64 %signal, i64 %info, i64 %context) {{
  ret i64 0
}}
"""
_SA_SIGINFO, _SA_RESTART, _SA_RESETHAND = 4, 0x10000000, 0x80000000
_FATAL = (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGTRAP, signal.SIGFPE)


class _Action(ctypes.Structure):
    """``struct sigaction`` of glibc on 64-bit Linux."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint64 * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def _handle(number: int, handler: Native, flags: int) -> None:
    action = _Action(handler=address_of(handler), flags=ctypes.c_int(flags).value)
    if ctypes.CDLL(None, use_errno=True).sigaction(number, ctypes.byref(action), None):
        raise OSError(ctypes.get_errno(), f"sigaction of signal {number}")


def _child(instances: Instances, effort: Effort, pipe: Connection, fault: Connection) -> None:
    """Run batches and send a histogram after each, until the time or the instances are over."""
    with contextlib.suppress(OSError):  # the parent has refused what needs it
        register_membarrier(instances.instructions)
    handlers = compiled(_HANDLERS.format(descriptor=fault.fileno()), ("fault", "nothing"), 3)
    for number in _FATAL:
        _handle(number, handlers["fault"], _SA_SIGINFO | _SA_RESETHAND)
    _handle(signal.SIGALRM, handlers["nothing"], _SA_RESTART)
    batches = Batches(instances, effort.seed)
    pipe.send(batches.code.address)
    signal.setitimer(signal.ITIMER_REAL, _INTERRUPTS, _INTERRUPTS)
    start, left = time.monotonic(), effort.instances
    while time.monotonic() - start < effort.seconds and left != 0:
        count = BATCH if left is None else min(BATCH, left)
        pipe.send(batches.run(count))
        left = None if left is None else left - count


class Batches:
    """The memory of a batch, and its threads."""

    def __init__(self, instances: Instances, seed: int) -> None:
        self.instances = instances
        self.threads = len(instances.protocol.threads)
        self.widths = [max(1, count) for count in instances.observations]
        names = [f"thread{number}" for number in range(self.threads)]
        functions = compiled(instances.text(), names, 8)
        self.functions = [functions[name] for name in names]
        self.code = Memory(BATCH * instances.stride, execute=True)
        self.data = Memory(BATCH * instances.data)
        self.start = np.tile(np.frombuffer(instances.initial(), np.uint8), BATCH)
        self.results = [np.zeros((BATCH, width), np.int64) for width in self.widths]
        self.filling = Memory(_PRESSURE_BYTES)
        self.chasing = chain(instances.instructions, _PRESSURE_BYTES // 64, 64, shuffled=True)
        self.flush = compiled(instances.instructions.flush, ("flush_lines",), 2)["flush_lines"]
        self.cores = cores()
        self.pool = ThreadPoolExecutor(self.threads)
        self.random = np.random.default_rng(seed)
        self.idle = np.zeros(BATCH, np.int64)
        self.batches = 0

    def run(self, count: int) -> Histogram:
        """Run so many instances, with threads on other cores than the last time."""
        self.reset()
        words = [self._words(count) for _ in range(self.threads)]
        start = time.perf_counter()
        running = [self.pool.submit(self._thread, number, count, words[number]) for number in range(self.threads)]
        for one in running:
            one.result()
        seconds = time.perf_counter() - start
        self.batches += 1
        return Histogram(self._counted(count), Counter(), count, seconds)

    def reset(self) -> None:
        """Make all instances anew."""
        self.code.bytes[:] = self.start
        self.data.bytes[:] = 0
        for name, value in self.instances.protocol.flags.items():
            self.data.bytes.view(np.int64).reshape(BATCH, -1)[:, self.instances.words[name] // 8] = value
        self.flush(self.code.address, self.code.address + self.code.size)
        for result in self.results:
            result.fill(SKIPPED)

    def alone(self) -> None:
        """Run the one thread of all instances here, without delay or pressure."""
        (function,) = self.functions
        addresses = (self.code.address, self.data.address, self.results[0].ctypes.data, self.idle.ctypes.data)
        function(BATCH, *addresses, self.filling.address, self.chasing.address, self.filling.size)

    def _words(self, count: int) -> npt.NDArray[np.int64]:
        """What a thread does before each instance: each pressure at one in four, and a delay that is mostly short."""
        before = (self.random.random((PRESSURES, count)) < 0.25) << np.arange(PRESSURES)[:, None]
        delays = (self.random.random(count) ** 4 * _LONGEST_DELAY).astype(np.int64)
        found: npt.NDArray[np.int64] = before.sum(axis=0) | delays << PRESSURES
        return found

    def _thread(self, number: int, count: int, words: npt.NDArray[np.int64]) -> None:
        home = self.instances.protocol.threads[number].core
        pinned(self.cores[(home + self.batches) % len(self.cores)])
        self.functions[number](
            count,
            self.code.address,
            self.data.address,
            self.results[number].ctypes.data,
            words.ctypes.data,
            self.filling.address,
            self.chasing.address,
            self.filling.size,
        )

    def _counted(self, count: int) -> Counter[Observed]:
        every = np.concatenate([result[:count] for result in self.results], axis=1)
        rows, counts = np.unique(every, axis=0, return_counts=True)
        ends = np.cumsum(self.widths)[:-1]
        found: Counter[Observed] = Counter()
        for row, seen in zip(rows, counts, strict=True):
            parts = np.split(row, ends)
            found[tuple(self._named(part, n) for part, n in zip(parts, self.instances.observations, strict=True))] += (
                int(seen)
            )
        return found

    def _named(self, part: npt.NDArray[np.int64], observations: int) -> tuple[str, ...]:
        if STUCK in part:
            return (STUCK_TEXT,)
        meanings = self.instances.meanings
        return tuple(meanings.get(int(value), TORN_TEXT) for value in part[:observations] if value != SKIPPED)
