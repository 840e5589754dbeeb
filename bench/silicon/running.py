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

import numpy as np
import numpy.typing as npt

from bench.silicon.loops import register_membarrier
from bench.silicon.native import Memory, Native, address_of, chain, compiled, cores, pinned
from bench.silicon.threads import BATCH, PRESSURES, SKIPPED, STUCK, STUCK_TEXT, Instances, Observed
from bench.support.errors import InputError

_PRESSURE_BYTES = 1 << 15
_LONGEST_DELAY = 256
_INTERRUPTS = 500e-6  # seconds from one signal to the next
_SILENCE = 300.0  # seconds without a batch, after which a child is no longer waited for


@dataclass(slots=True)
class Histogram:
    """How often each outcome was seen in how many ``instances``.

    ``signals``: those that ended an execution of a site, with the address; ``crashes``: those that ended a child, with
    the place; ``seconds``: the time in which threads ran.
    """

    outcomes: Counter[Observed] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    seconds: float = 0.0

    def add(self, other: Histogram) -> None:
        """Add what another one saw."""
        self.outcomes.update(other.outcomes)
        self.signals.update(other.signals)
        self.crashes.update(other.crashes)
        self.instances += other.instances
        self.seconds += other.seconds


@dataclass(frozen=True, slots=True)
class RunEffort:
    """How long is run: until ``seconds`` are over or so many ``instances`` were run; ``seed`` of all that varies."""

    seconds: float
    instances: int | None = None
    seed: int = 1


def run(
    instances: Instances, effort: RunEffort, progress: Callable[[float], object] = lambda seconds: None
) -> Histogram:
    """Run instances in child processes; a child that crashes is an outcome, and another takes its place.

    Raises ``InputError`` for what cannot be executed here.
    """
    _refuse_machine(instances)
    total, start, seed = Histogram(), time.monotonic(), effort.seed
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.silicon.running"])
    while (left := effort.seconds - (time.monotonic() - start)) > 0:
        count = None if effort.instances is None else effort.instances - total.instances
        if count is not None and count <= 0:
            break
        here, there = context.Pipe(duplex=False)
        fault, faulting = context.Pipe(duplex=False)
        child = context.Process(
            target=_child, args=(instances, RunEffort(left, count, seed), there, faulting), daemon=True
        )
        child.start()
        there.close()
        faulting.close()
        try:
            code = here.recv()
            while here.poll(_SILENCE):
                total.add(here.recv())
                progress(time.monotonic() - start)
            total.crashes[f"nothing for {_SILENCE:.0f} seconds"] += 1
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


def _refuse_machine(instances: Instances) -> None:
    """Raise ``InputError`` for what this kernel does not let a program do."""
    Memory(1, execute=True)
    for thread in instances.protocol.threads:
        for operation in thread.operations:
            if operation.verb in ("membarrier", "ipi"):
                try:
                    register_membarrier(instances.instructions)
                except OSError as error:
                    place = f"threads.{thread.name}: {operation.text}"
                    raise InputError(
                        f"{error.strerror}", place=place, expected="Linux 4.16 or later, and no filter"
                    ) from None


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
# Makes stored code fetched: so many bytes in each of so many instances.
_FLUSH_EACH = """
define void @flush_each(i64 %first, i64 %size, i64 %stride, i64 %count) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %offset = mul i64 %i, %stride
  %begin = add i64 %first, %offset
  %end = add i64 %begin, %size
  call void @flush_lines(i64 %begin, i64 %end)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}
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


def _child(instances: Instances, effort: RunEffort, pipe: Connection, fault: Connection) -> None:
    """Run batches and send a histogram after each, until the time or the instances are over."""
    with contextlib.suppress(OSError):  # the parent has refused what needs it
        register_membarrier(instances.instructions)
    handlers = compiled(_HANDLERS.format(descriptor=fault.fileno()), ("fault", "nothing"), 3)
    batches = Batches(instances, effort.seed, fault.fileno())
    for number in _FATAL:
        if batches.recover is not None:
            _handle(number, batches.recover, _SA_SIGINFO)
        else:
            _handle(number, handlers["fault"], _SA_SIGINFO | _SA_RESETHAND)
    _handle(signal.SIGALRM, handlers["nothing"], _SA_RESTART)
    pipe.send(batches.code.address)
    signal.setitimer(signal.ITIMER_REAL, _INTERRUPTS, _INTERRUPTS)
    start, left = time.monotonic(), effort.instances
    while time.monotonic() - start < effort.seconds and left != 0:
        count = BATCH if left is None else min(BATCH, left)
        pipe.send(batches.run(count))
        left = None if left is None else left - count


class Batches:
    """The memory of a batch, and its threads.  ``recover``: the handler of signals, if instances have one."""

    def __init__(self, instances: Instances, seed: int, descriptor: int = -1) -> None:
        self.instances = instances
        self.threads = len(instances.protocol.threads)
        self.widths = [max(1, count) for count in instances.observations]
        names = [f"thread{number}" for number in range(self.threads)]
        handlers = ("recover",) if instances.catches else ()
        functions = compiled(instances.text(descriptor), (*names, *handlers), 8)
        self.functions = [functions[name] for name in names]
        self.recover = functions.get("recover")
        self.code = Memory(instances.size, execute=True)
        self.data = Memory(BATCH * instances.data)
        self.results = [np.zeros((BATCH, width), np.int64) for width in self.widths]
        self.filling = Memory(_PRESSURE_BYTES)
        self.chasing = chain(instances.instructions, _PRESSURE_BYTES // 64, 64, shuffled=True)
        self.flush = compiled(instances.instructions.flush + _FLUSH_EACH, ("flush_each",), 4)["flush_each"]
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
        found = Histogram(instances=count, seconds=seconds)
        self._count(found)
        return found

    def reset(self) -> None:
        """Make all instances anew."""
        self.instances.reset(self.code)
        self.data.bytes[:] = 0
        for name, value in self.instances.protocol.flags.items():
            self.data.bytes.view(np.int64).reshape(BATCH, -1)[:, self.instances.words[name] // 8] = value
        for offset, size in self.instances.flushed:
            self.flush(self.code.address + offset, size, self.instances.stride, BATCH)
        for result in self.results:
            result.fill(SKIPPED)

    def alone(self) -> None:
        """Run the one thread of all instances here, without delay or pressure."""
        assert self.threads == 1
        self._call(0, BATCH, self.idle)

    def _words(self, count: int) -> npt.NDArray[np.int64]:
        """What a thread does before each instance: each pressure at one in four, and a delay that is mostly short."""
        before = (self.random.random((PRESSURES, count)) < 0.25) << np.arange(PRESSURES)[:, None]
        delays = (self.random.random(count) ** 4 * _LONGEST_DELAY).astype(np.int64)
        found: npt.NDArray[np.int64] = before.sum(axis=0) | delays << PRESSURES
        return found

    def _thread(self, number: int, count: int, words: npt.NDArray[np.int64]) -> None:
        home = self.instances.protocol.threads[number].core
        pinned(self.cores[(home + self.batches) % len(self.cores)])
        self._call(number, count, words)

    def _call(self, number: int, count: int, words: npt.NDArray[np.int64]) -> None:
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

    def _count(self, found: Histogram) -> None:
        every = np.concatenate([result[: found.instances] for result in self.results], axis=1)
        rows, counts = np.unique(every, axis=0, return_counts=True)
        ends = np.cumsum(self.widths)[:-1]
        for row, seen in zip(rows, counts, strict=True):
            parts = [
                [int(value) for value in part[:many] if value != SKIPPED]
                for part, many in zip(np.split(row, ends), self.instances.observations, strict=True)
            ]
            # A thread without observations has a place that says whether it was stuck.
            stuck = [STUCK in part for part in np.split(row, ends)]
            found.outcomes[
                tuple(
                    (STUCK_TEXT,) if ended else tuple(map(self.instances.value_of, part))
                    for part, ended in zip(parts, stuck, strict=True)
                )
            ] += int(seen)
            for number in (number for part in parts for number in part if number != STUCK):
                if text := self.instances.signal_of(number):
                    found.signals[text] += int(seen)
