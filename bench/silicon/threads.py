"""A protocol as machine code of this machine: a function for each thread.

Instances of a protocol lie side by side, so that threads run one after the other without a reset between them.  What is
stored and executed is either ``functions`` or the words of ``sites``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from bench.protocols.operations import ProtocolOperation
from bench.protocols.protocol import Protocol, Thread
from bench.silicon.instructions import InstructionSet
from bench.silicon.loops import SYNC_CORE
from bench.silicon.native import Memory, cores
from bench.support.errors import InputError

Observed: TypeAlias = tuple[tuple[str, ...], ...]
"""What each thread observed, in order."""

BATCH = 2048
"""Instances that threads run one after the other before they are made anew."""
LINE = 64
"""Bytes of a line of an instance; lines of a protocol become lines of this size."""

SKIPPED, STUCK = -1, -2
"""What is recorded for an observation that was jumped over, and for a wait that did not end."""
STUCK_TEXT = "stuck"
"""What a thread has observed that waits for ever."""

_EXECUTABLE = {
    *("store", "load", "execute", "clean", "invalidate", "invalidate-all", "dsb", "fence", "isb", "ipi", "membarrier"),
    *("set", "wait", "lock", "unlock", "stop-others", "poll-stop", "resume-others"),
}
"""The operations that a program can do; the others need the kernel's rights, or a core of another kind"""
_PATIENCE = 4
"""Seconds after which a wait does not end: far more than another thread may be without a core on a busy machine."""
_SPINS, _FEW_SPINS = 4095, 15
"""Steps of a wait after which the core is given to another thread, and where threads have to share cores; as a mask."""

ARRIVED, STOPPING, STOPPED, FINISHED = 0, 8, 16, 24
"""The words of the first line of an instance's data: threads that are here, that stop others, are stopped, are done."""

TOUCH, DATA_PRESSURE, CODE_PRESSURE = 1, 2, 4
"""What a thread does before an instance, in the lowest bits of its word; above them, how long it waits."""
PRESSURES = 3

_DECLARED = """
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
declare i32 @clock_gettime(i32, ptr)
declare i32 @pthread_rwlock_rdlock(ptr)
declare i32 @pthread_rwlock_wrlock(ptr)
declare i32 @pthread_rwlock_unlock(ptr)
; Whether the word comes to have the value, before too long.
define i1 @await(ptr %word, i64 %value) {{
entry:
  %clock = alloca [2 x i64]
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %on ]
  %since = phi i64 [ 0, %entry ], [ %began, %on ]
  %now = load atomic i64, ptr %word acquire, align 8
  %same = icmp eq i64 %now, %value
  br i1 %same, label %done, label %wait
wait:
  call void asm sideeffect "{pause}", ""()
  %next = add i64 %i, 1
  %low = and i64 %next, {spins}
  %long = icmp eq i64 %low, 0
  br i1 %long, label %yield, label %on
yield:
  %y = call i32 @sched_yield()
  %c = call i32 @clock_gettime(i32 {monotonic}, ptr %clock)
  %seconds = load i64, ptr %clock
  %first = icmp eq i64 %since, 0
  %start = select i1 %first, i64 %seconds, i64 %since
  %waited = sub i64 %seconds, %start
  %toolong = icmp ugt i64 %waited, {patience}
  br i1 %toolong, label %done, label %on
on:
  %began = phi i64 [ %since, %wait ], [ %start, %yield ]
  br label %loop
done:
  %ended = phi i1 [ true, %loop ], [ false, %yield ]
  ret i1 %ended
}}
; Stops at a poll while somebody asks for it.
define void @poll(ptr %data, i64 %threads) {{
entry:
  %stopping = getelementptr i8, ptr %data, i64 8
  %stopped = getelementptr i8, ptr %data, i64 16
  %asked = load atomic i64, ptr %stopping seq_cst, align 8
  %go = icmp eq i64 %asked, 0
  br i1 %go, label %done, label %stop
stop:
  %a = atomicrmw add ptr %stopped, i64 1 seq_cst
  %e = call i1 @await(ptr %stopping, i64 0)
  %b = atomicrmw sub ptr %stopped, i64 1 seq_cst
  call void asm sideeffect "{sync}", "{changes},~{{memory}}"()
  br label %done
done:
  ret void
}}
; Waits until all other threads are at a poll or done.
define void @stop(ptr %data, i64 %threads) {{
entry:
  %stopping = getelementptr i8, ptr %data, i64 8
  %stopped = getelementptr i8, ptr %data, i64 16
  %finished = getelementptr i8, ptr %data, i64 24
  %others = sub i64 %threads, 1
  store atomic i64 1, ptr %stopping seq_cst, align 8
  br label %loop
loop:
  %s = load atomic i64, ptr %stopped seq_cst, align 8
  %f = load atomic i64, ptr %finished seq_cst, align 8
  %sum = add i64 %s, %f
  %all = icmp uge i64 %sum, %others
  br i1 %all, label %done, label %wait
wait:
  %y = call i32 @sched_yield()
  br label %loop
done:
  ret void
}}
define void @resume(ptr %data, i64 %threads) {{
  %stopping = getelementptr i8, ptr %data, i64 8
  store atomic i64 0, ptr %stopping seq_cst, align 8
  ret void
}}
"""

# One thread: %n instances, from the code %c, the data %d and the results %r on; %w: a word for each of what to do
# before it; %x and %y: memory of %z bytes that fills the data cache, and code that fills the instruction cache.
_THREAD = """
define i64 @thread{number}(i64 %n, i64 %c, i64 %d, i64 %r, i64 %w, i64 %x, i64 %y, i64 %z) {{
entry:
{begin}
  %c0 = inttoptr i64 %c to ptr
  %d0 = inttoptr i64 %d to ptr
  %r0 = inttoptr i64 %r to ptr
  %w0 = inttoptr i64 %w to ptr
  %x0 = inttoptr i64 %x to ptr
  %y0 = inttoptr i64 %y to ptr
  br label %instance
instance:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %co = mul i64 %i, {stride}
  %do = mul i64 %i, {data}
  %ro = mul i64 %i, {width}
  %wo = mul i64 %i, 8
  %code = getelementptr i8, ptr %c0, i64 %co
  %data = getelementptr i8, ptr %d0, i64 %do
  %result = getelementptr i8, ptr %r0, i64 %ro
  %before = getelementptr i8, ptr %w0, i64 %wo
  %todo = load i64, ptr %before
  %t1 = and i64 %todo, 2
  %b1 = icmp ne i64 %t1, 0
  br i1 %b1, label %fill, label %filled
fill:
  %fo = phi i64 [ 0, %instance ], [ %fn, %fill ]
  %fp = getelementptr i8, ptr %x0, i64 %fo
  %fv = load volatile i64, ptr %fp
  %fn = add i64 %fo, 64
  %fm = icmp ult i64 %fn, %z
  br i1 %fm, label %fill, label %filled
filled:
  %t2 = and i64 %todo, 4
  %b2 = icmp ne i64 %t2, 0
  br i1 %b2, label %chase, label %chased
chase:
  %yr = call i32 %y0()
  br label %chased
chased:
  %t0 = and i64 %todo, 1
  %b0 = icmp ne i64 %t0, 0
  br i1 %b0, label %touch, label %touched
touch:
{touched}
  br label %touched
touched:
  %here = atomicrmw add ptr %data, i64 1 seq_cst
  %met = call i1 @await(ptr %data, i64 {threads})
  %delay = lshr i64 %todo, 3
  br label %delaying
delaying:
  %j = phi i64 [ 0, %touched ], [ %jn, %idle ]
  %jm = icmp ult i64 %j, %delay
  br i1 %jm, label %idle, label %o0
idle:
  call void asm sideeffect "", ""()
  %jn = add i64 %j, 1
  br label %delaying
{steps}
  br label %next
stuck:
  store i64 {stuck}, ptr %result
  br label %next
next:
  %fw = getelementptr i8, ptr %data, i64 24
  %fa = atomicrmw add ptr %fw, i64 1 seq_cst
  %following = add i64 %i, 1
  %more = icmp ult i64 %following, %n
  br i1 %more, label %instance, label %done
done:
{end}
  ret i64 0
}}
"""


class Instances(ABC):
    """The code and the data of instances: ``stride`` bytes of code from one to the next and ``data`` bytes of data.

    ``protocol``: what threads do.  ``addresses``: the offset of what a store changes, by name.  ``asked``: what the
    protocol says is right, in the words of what was executed; ``placed``: what a model has to be asked about.

    Raises ``InputError`` for what this instruction set, or a program without the kernel's rights, cannot do.
    """

    addresses: Mapping[str, int]
    stride: int
    asked: Protocol
    placed: Protocol
    catches = False
    """Whether there is a function ``@recover`` that handles signals: a thread then goes on behind what caused one."""

    def __init__(self, protocol: Protocol, instructions: InstructionSet) -> None:
        self.protocol, self.instructions = protocol, instructions
        words = (*protocol.flags, *self.locks)
        # Each word has a line of its own; the first one is where threads meet.
        self.words = {name: LINE * number for number, name in enumerate(words, 1)}
        self.data = LINE * (1 + len(words))
        self.observations = [sum(each.observes for each in thread.operations) for thread in protocol.threads]
        for thread in protocol.threads:
            for operation in thread.operations:
                self._refuse(thread, operation)

    @property
    def locks(self) -> tuple[str, ...]:
        """The names of the locks."""
        every = (each for thread in self.protocol.threads for each in thread.operations if each.verb == "lock")
        return tuple(f"lock {name}" for name in dict.fromkeys(each.names[0] for each in every))

    @property
    def size(self) -> int:
        """The bytes of code of all instances."""
        return BATCH * self.stride

    @property
    def flushed(self) -> Sequence[tuple[int, int]]:
        """Offset and size of what has to be made fetchable in each instance."""
        return ((0, self.stride),)

    @abstractmethod
    def reset(self, code: Memory) -> None:
        """Make all instances anew."""

    @abstractmethod
    def value_of(self, number: int) -> str:
        """What a number means that a thread observed."""

    def signal_of(self, number: int) -> str:
        """The signal that a number stands for, and where it was caused, or an empty string."""
        return ""

    def executed(self, observed: Observed) -> Iterable[Observed]:
        """What may be seen where a model has the threads observe this."""
        return (observed,)

    @abstractmethod
    def place_of(self, offset: int) -> str:
        """What lies at an offset from the first instance's code."""

    # --- what threads do with units -----------------------------------------------------------------------------------

    @abstractmethod
    def refused(self, operation: ProtocolOperation) -> tuple[str, str] | None:
        """What cannot be executed of an operation on units, and what was expected."""

    @abstractmethod
    def touches(self, thread: Thread) -> str:
        """Executes once what a thread will execute."""

    @abstractmethod
    def observes(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        """An execution, or a load: the value becomes ``%seen<at>``."""

    @abstractmethod
    def stores(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        """A store."""

    def declares(self, descriptor: int) -> str:
        """What else the threads need; what ends the process writes its address to the ``descriptor`` of a file."""
        return ""

    def begins(self, number: int) -> str:
        """What a thread does before its first instance."""
        return ""

    def ends(self) -> str:
        """What a thread does after its last one."""
        return ""

    def _refuse(self, thread: Thread, operation: ProtocolOperation) -> None:
        verb, local = operation.verb, operation.word == "local"
        found = expected = ""
        if verb not in _EXECUTABLE and verb != "fence.i":
            found, expected = verb, "operations that a program of its own can do, to execute them"
        elif "fence.i" in (verb, operation.word):
            found, expected = operation.text, "operations of this machine, which is no RISC-V"
        elif local and self.instructions.name == "aarch64":
            found, expected = operation.text, f"{verb}, which AArch64 broadcasts from a program"
        elif (refused := self.refused(operation)) is not None:
            found, expected = refused
        if found:
            raise InputError(found, place=f"threads.{thread.name}", expected=expected)

    def text(self, descriptor: int = -1) -> str:
        """The functions ``thread0``, ``thread1``, ... in LLVM's language."""
        declared = _DECLARED.format(
            pause=self.instructions.pause,
            sync=self.instructions.sync,
            changes=self.instructions.sync_changes,
            patience=_PATIENCE,
            monotonic=time.CLOCK_MONOTONIC,
            spins=_SPINS if len(self.protocol.threads) <= len(cores()) else _FEW_SPINS,
        )
        functions = (self._function(number) for number in range(len(self.protocol.threads)))
        return "\n".join((declared, self.declares(descriptor), *functions))

    def skips(self, at: int, operation: ProtocolOperation, following: str) -> Iterator[str]:
        """The branch over what is jumped over for a value, or on to what follows."""
        yield f"  br label %{following}"

    # --- one thread ---------------------------------------------------------------------------------------------------

    def _function(self, number: int) -> str:
        thread = self.protocol.threads[number]
        steps = "\n".join(self._steps(thread))
        return _THREAD.format(
            number=number,
            threads=len(self.protocol.threads),
            stride=self.stride,
            data=self.data,
            width=8 * max(1, self.observations[number]),
            touched=self.touches(thread),
            begin=self.begins(number),
            end=self.ends(),
            pause=self.instructions.pause,
            stuck=STUCK,
            steps=steps,
        )

    def _steps(self, thread: Thread) -> Iterator[str]:
        """The operations, each a block ``o<n>`` that ends in a branch; ``o<count>`` follows the last."""
        observed = 0
        for at, operation in enumerate(thread.operations):
            yield f"o{at}:"
            following = f"o{at + 1}"
            if operation.verb == "wait":
                yield from self._wait(at, operation, following)
                continue
            yield from self._plain(at, operation)
            if operation.observes:
                yield f"  %slot{at} = getelementptr i64, ptr %result, i64 {observed}"
                yield f"  store i64 %seen{at}, ptr %slot{at}"
                observed += 1
            if operation.skips:
                yield from self.skips(at, operation, following)
            else:
                yield f"  br label %{following}"
        yield f"o{len(thread.operations)}:"

    def _wait(self, at: int, operation: ProtocolOperation, following: str) -> Iterator[str]:
        yield f"  %word{at} = getelementptr i8, ptr %data, i64 {self.words[operation.names[0]]}"
        yield f"  %ended{at} = call i1 @await(ptr %word{at}, i64 {operation.number})"
        yield f"  br i1 %ended{at}, label %{following}, label %stuck"

    def _plain(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        instructions = self.instructions
        name = operation.names[0] if operation.names else ""
        if name in self.addresses:
            yield f"  %operand{at} = getelementptr i8, ptr %code, i64 {self.addresses[name]}"
        match operation.verb:
            case "execute" | "load":
                yield from self.observes(at, operation)
            case "store":
                yield from self.stores(at, operation)
            case "clean" | "invalidate":
                text = instructions.clean if operation.verb == "clean" else instructions.invalidate
                if text:
                    yield f'  call void asm sideeffect "{text}", "r,~{{memory}}"(ptr %operand{at})'
            case "invalidate-all":
                pass
            case "dsb" | "fence":
                yield f'  call void asm sideeffect "{instructions.barrier}", "~{{memory}}"()'
            case "isb":
                yield f'  call void asm sideeffect "{instructions.sync}", "{instructions.sync_changes},~{{memory}}"()'
            case "ipi" | "membarrier":
                membarrier = f"i64 {instructions.membarrier}, i64 {SYNC_CORE}, i64 0, i64 0"
                yield f"  %m{at} = call i64 (i64, ...) @syscall({membarrier})"
            case "set":
                yield f"  %word{at} = getelementptr i8, ptr %data, i64 {self.words[name]}"
                yield f"  store atomic i64 {operation.number}, ptr %word{at} release, align 8"
            case "stop-others" | "poll-stop" | "resume-others":
                name = operation.verb.partition("-")[0]
                yield f"  call void @{name}(ptr %data, i64 {len(self.protocol.threads)})"
            case "lock" | "unlock":
                yield f"  %word{at} = getelementptr i8, ptr %data, i64 {self.words[f'lock {name}']}"
                kind = "unlock" if operation.verb == "unlock" else "rdlock" if operation.word else "wrlock"
                yield f"  %l{at} = call i32 @pthread_rwlock_{kind}(ptr %word{at})"
