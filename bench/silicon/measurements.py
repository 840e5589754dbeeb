"""What is measured on this machine: for each quantity a loop in machine code, pinned to a core."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from bench.silicon.instructions import InstructionSet
from bench.silicon.loops import APART, CHAIN, LOADS, SYNC_CORE, loops, register_membarrier, run
from bench.silicon.native import (
    Memory,
    Native,
    Other,
    address_of,
    chain,
    chains,
    cores,
    fetchable,
    kept_on,
    mapped_twice,
)
from bench.silicon.side_table import MOST_BYTES, blocks, decode, encode
from bench.silicon.timing import (
    ELAPSED,
    OWN_TIME,
    Clock,
    Effort,
    NotMeasuredError,
    Sample,
    TimedRun,
    enough,
    measurable,
    samples,
    timed,
)

METHODS = {
    "cycle": "a chain of dependent exclusive ors, one cycle each",
    "load": "a chain of dependent loads of one word in the first level",
    "store": "stores to one word, less the loop",
    "atomic": "atomic additions to one word, sequentially consistent",
    "barrier": "a full barrier before a load of one word, less the load",
    "sync": "the instruction that synchronises the context of its core (on x86-64 cpuid), less the loop",
    "flush call": "the flush of a program (AArch64: by lines; x86-64: nothing), of 1 to 512 lines: the intercept",
    "flush line": "the same: the slope, for each line",
    "store into own code": "a store to an operand of an instruction and a call of it, less the call and a plain store",
    "store into others' code": f"every {APART} cycles a store to an operand that another core executes, and a full "
    "barrier, less the same to a line that no other core has",
    "lock": "pthread_mutex_lock and _unlock by one thread",
    "contended lock": "the same by two threads on two cores: elapsed time for each acquisition",
    "stop": "a signal to a thread that runs on another core, to its return; both poll for each other",
    "membarrier, others run": "membarrier with SYNC_CORE while a thread of this process runs on another core",
    "membarrier, others sleep": "membarrier with SYNC_CORE while the other thread of this process sleeps",
    "mprotect pair": "mprotect of a page of code to writable and back to executable, with a store between",
    "second mapping": "a store through a second mapping of a page of code and a call of it, less the call",
    "refill from L2": "branches in random order, one a line, over code that the L2 holds and the L1 does not; less as "
    "many of them packed into lines that the L1 holds",
    "refill from memory": "the same over code of twice the size of the last level, 64 MiB at most, a part each round",
    "refill from the last level": "the same over code of four times the size of the L2, where a greater level has it",
    "direct branch": "a chain of 256 direct branches in the first level",
    "predicted indirect call": "a call through memory that has one target, less a direct call",
    "mispredicted indirect call": "a call through memory to one of 64 functions at random, less one with one target",
    "side table, encoding": "SLEB128 deltas of three numbers a guest instruction, 256 made-up blocks: for each byte",
    "side table, decoding": "the same tables from their start to a random instruction: for each instruction",
}
"""The name of every measurement, and how it is made."""

_PAGE = 4096
_LINES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TARGETS = 64
_CALLS = 4096  # the loop goes through a table of so many
_MOST_CODE = 64 << 20
_PART = 1 << 16  # lines of code that is run through once
_PACKED = 16  # bytes from one branch to the next where a line holds several


@dataclass(frozen=True, slots=True)
class Levels:
    """What the caches of this machine hold, in bytes; ``last``: the last level, or the L2 without one."""

    line: int
    l1i: int
    l2: int
    last: int


@dataclass(slots=True)
class Samples:
    """Samples by name, in nanoseconds, and why a measurement could not be made."""

    samples: dict[str, Sample] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Workbench:
    """Where measurements are made, by a thread that stays on ``core``; the others are for second threads.

    ``cycle``: the nanoseconds of one, from when it was measured first; 0 before.
    """

    def __init__(self, instructions: InstructionSet, levels: Levels, effort: Effort) -> None:
        self.instructions, self.levels, self.effort = instructions, levels, effort
        self.loops = loops(instructions, os.getpid())
        self.core, *self.others = cores()
        self.data = Memory(_PAGE)
        self.cycle = 0.0

    def run(self, loop: str, a: int = 0, b: int = 0) -> TimedRun:
        """A loop with its arguments."""
        return run(self.loops[loop], a, b)

    def samples(self, *runs: TimedRun, other: Clock | None = None, scaled: bool = True) -> list[Sample]:
        """A sample of each: the time of this thread, if ``scaled`` as it were at the clock that was measured first; of
        the rounds in which an ``other`` thread ran, by its time."""
        steps, *found = samples((self.run("chain"), *runs), self.effort, OWN_TIME, other)
        clock = steps.per(CHAIN)
        self.cycle = self.cycle or clock.median
        return [sample.at(clock, self.cycle) for sample in found] if scaled else found

    def waits(self, run: TimedRun, other: Clock | None = None) -> Sample:
        """The same of what a clock shows, for one that waits."""
        (found,) = samples((run,), self.effort, ELAPSED, other)
        return found

    def beside(self, loop: str, argument: int) -> Other:
        """Another core that runs a loop until it is left."""
        self.loops["begin"](0, 0, 0)
        return Other(self.others[0], lambda: self.loops[loop](0, argument, 0), lambda: self.loops["end"](0, 0, 0))

    def function(self) -> Memory:
        """A page of code with one function that returns a number."""
        code = Memory(_PAGE, execute=True)
        code.put(0, self.instructions.number(0))
        fetchable(self.instructions, code)
        return code


def _simple(on: Workbench) -> dict[str, Sample]:
    word = on.data.address
    on.data.set_word(0, word)  # a chain of loads goes round here
    (steps,) = samples((on.run("chain"),), on.effort, OWN_TIME)
    on.cycle = on.cycle or steps.median / CHAIN
    names = ("empty", "store", "atomic", "read", "barrier", "sync")
    load, empty, store, atomic, read, barrier, sync = on.samples(
        on.run("load", word), *(on.run(name, word + 64) for name in names)
    )
    return {
        "cycle": steps.per(CHAIN),
        "load": load.per(LOADS),
        "store": store.minus(empty),
        "atomic": atomic,
        "barrier": barrier.minus(read),
        "sync": sync.minus(empty),
    }


def _flushes(on: Workbench) -> dict[str, Sample]:
    code = Memory(_LINES[-1] * on.levels.line, execute=True)
    ends = (code.address + lines * on.levels.line for lines in _LINES)
    empty, *found = on.samples(on.run("empty"), *(on.run("flush", code.address, end) for end in ends))
    rounds = zip(*(sample.minus(empty).values for sample in found), strict=True)
    fits = [statistics.linear_regression(_LINES, costs) for costs in rounds]
    return {
        "flush call": Sample(tuple(max(0.0, fit.intercept) for fit in fits)),
        "flush line": Sample(tuple(max(0.0, fit.slope) for fit in fits)),
    }


def _into_own_code(on: Workbench) -> dict[str, Sample]:
    code = on.function()
    operand = code.address + on.instructions.operand
    call, store, both = on.samples(
        on.run("call", b=code.address),
        on.run("patch", on.data.address),
        on.run("patch_and_call", operand, code.address),
    )
    return {"store into own code": both.minus(call).minus(store)}


def _branches(on: Workbench) -> dict[str, Sample]:
    code, same, mixed = Memory(_TARGETS * 64, execute=True), Memory(8 * _CALLS), Memory(8 * _CALLS)
    for number in range(_TARGETS):
        code.put(64 * number, on.instructions.number(number))
    chosen = random.Random(1)
    for entry in range(_CALLS):
        same.set_word(8 * entry, code.address)
        mixed.set_word(8 * entry, code.address + 64 * chosen.randrange(_TARGETS))
    jumps = chain(on.instructions, 256, _PACKED, shuffled=False)
    call, one, many, direct = on.samples(
        on.run("call", b=code.address),
        on.run("call_through_memory", same.address),
        on.run("call_through_memory", mixed.address),
        on.run("call", b=jumps.address),
    )
    return {
        "direct branch": direct.per(256),
        "predicted indirect call": one.minus(call),
        "mispredicted indirect call": many.minus(one),
    }


def _refills(on: Workbench) -> dict[str, Sample]:
    levels, found = on.levels, {}
    sizes = {"refill from L2": levels.l2 // 2, "refill from memory": min(2 * levels.last, _MOST_CODE)}
    if levels.last >= 8 * levels.l2:
        sizes["refill from the last level"] = 4 * levels.l2
    for name, size in sizes.items():
        count = size // levels.line
        few, parts = min(count, levels.l1i // _PACKED // 2), max(count // _PART, 1)
        far, starts = chains(on.instructions, count, levels.line, parts, shuffled=True)
        near = chain(on.instructions, few, _PACKED, shuffled=True)
        call, following = on.loops["call"], itertools.cycle(starts)

        def run(times: int, call: Native = call, following: Iterator[int] = following, far: Memory = far) -> None:
            for _ in range(times):
                call(1, 0, next(following))

        of_core = name == "refill from L2"  # what is behind has a clock of its own
        spread, packed = on.samples(run, on.run("call", b=near.address), scaled=of_core)
        found[name] = spread.per(count / parts).minus(packed.per(few))
    return found


def _side_tables(on: Workbench) -> dict[str, Sample]:
    rows, first = blocks(256, seed=1)
    table, places = np.zeros(rows.size * MOST_BYTES, np.uint8), np.zeros(256, np.int64)
    size = encode(rows, first, table, places, 1)
    counts = np.random.default_rng(1).integers(1, np.diff(first), endpoint=True)
    found = np.zeros((256, rows.shape[1]), np.int64)
    encoding, decoding = on.samples(
        lambda times: encode(rows, first, table, places, times),
        lambda times: decode(table, places, counts, found, times),
    )
    return {"side table, encoding": encoding.per(size), "side table, decoding": decoding.per(int(counts.sum()))}


def _protection(on: Workbench) -> dict[str, Sample]:
    executed, written = mapped_twice(_PAGE, on.instructions.number(0))
    own = on.function()
    call, second, pair = on.samples(
        on.run("call", b=executed),
        on.run("patch_and_call", written + on.instructions.operand, executed),
        on.run("protect", own.address),
    )
    return {"second mapping": second.minus(call), "mprotect pair": pair}


def _lock(on: Workbench) -> dict[str, Sample]:
    (free,) = on.samples(on.run("lock", on.data.address + 1024))
    return {"lock": free}


def _contended(on: Workbench) -> dict[str, Sample]:
    mutex = on.data.address + 1024
    mine, counted = on.run("lock", mutex), on.loops["counted"]
    values = []
    with on.beside("lock_until", mutex):
        times = enough(mine, on.effort, ELAPSED)
        for _ in range(on.effort.rounds):
            before = counted(0, 0, 0)
            spent = timed(mine, times, ELAPSED) * times
            if others := counted(0, 0, 0) - before:
                values.append(spent / (times + others))
    alone = on.effort.rounds - len(values)
    return {"contended lock": Sample(tuple(measurable(values, on.effort)), alone=alone)}


def _into_others_code(on: Workbench) -> dict[str, Sample]:
    code = on.function()
    operand = code.address + on.instructions.operand
    with on.beside("call_until", code.address) as other:
        apart = (on.run("patch_apart", address) for address in (on.data.address + 2048, operand))
        store, into = on.samples(*apart, other=other.ran)
    return {"store into others' code": into.minus(store)}


def _stop(on: Workbench) -> dict[str, Sample]:
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    code = on.function()
    before = libc.signal(signal.SIGUSR2, address_of(on.loops["stopped"]))
    try:
        with on.beside("call_until", code.address) as other:
            stop = on.waits(on.run("stop_other", other.native_id, signal.SIGUSR2))
    finally:
        libc.signal(signal.SIGUSR2, before)
    return {"stop": stop}


def _membarrier_asleep(on: Workbench) -> dict[str, Sample]:
    register_membarrier(on.instructions)
    asleep = threading.Event()
    with Other(on.others[0], asleep.wait, asleep.set):
        return {"membarrier, others sleep": on.waits(on.run("membarrier", SYNC_CORE))}


def _membarrier(on: Workbench) -> dict[str, Sample]:
    register_membarrier(on.instructions)
    code = on.function()
    with on.beside("call_until", code.address) as other:
        return {"membarrier, others run": on.waits(on.run("membarrier", SYNC_CORE), other.ran)}


_ON_ONE = (_simple, _flushes, _into_own_code, _branches, _refills, _side_tables, _protection, _lock)
_ON_TWO = (_contended, _into_others_code, _stop, _membarrier_asleep, _membarrier)
COUNT = len(_ON_ONE) + len(_ON_TWO)
"""The groups of measurements."""


def measured(on: Workbench, progress: Callable[[str, int], object]) -> Samples:
    """All measurements that this machine allows; ``progress`` is told which is made, and how many groups are done.

    What has not settled is measured again while there is time, and has all its rounds.
    """
    with kept_on(on.core):
        return _Measuring(on, progress).results()


_Group: TypeAlias = Callable[[Workbench], dict[str, Sample]]


class _Measuring:
    def __init__(self, on: Workbench, progress: Callable[[str, int], object]) -> None:
        self.on, self.progress, self.start = on, progress, time.monotonic()
        self.samples: dict[str, Sample] = {}
        self.missing: dict[str, str] = {}
        self.took: dict[_Group, list[float]] = {}
        self.names: dict[_Group, tuple[str, ...]] = {}

    def results(self) -> Samples:
        for number, group in enumerate((*_ON_ONE, *_ON_TWO)):
            if group in _ON_TWO and not self.on.others:
                self.missing[_said(group)] = "only one core"
            elif failure := self.measure(group, number):
                self.missing[_said(group)] = failure
        while (again := self.unsettled()) is not None:
            if self.measure(again, COUNT):
                del self.took[again]
        return Samples(self.samples, self.missing)

    def unsettled(self) -> _Group | None:
        """The group that was measured least often of those for which there is a reason and the time."""
        left = self.on.effort.most - (time.monotonic() - self.start)
        again = (
            group
            for group, took in self.took.items()
            if max(took) < left and not all(self.samples[name].settled for name in self.names[group])
        )
        return min(again, key=lambda group: len(self.took[group]), default=None)

    def measure(self, group: _Group, number: int) -> str:
        """Add the rounds of a group; returns why there are none."""
        self.progress(_said(group), number)
        begin = time.monotonic()
        try:
            found = group(self.on)
        except (OSError, NotMeasuredError) as error:
            return str(error)
        self.took.setdefault(group, []).append(time.monotonic() - begin)
        self.names[group] = tuple(found)
        for name, sample in found.items():
            of_clock = sample if name == "cycle" else replace(sample, cycle=self.on.cycle)
            self.samples[name] = self.samples[name].and_then(of_clock) if name in self.samples else of_clock
        return ""


def _said(group: _Group) -> str:
    return group.__name__.strip("_").replace("_", " ")
