"""A protocol as machine code of this machine: where its units lie, and a function for each thread.

A unit is a function that returns the number of its value; a store replaces the operand of its instruction.  Instances
of a protocol lie side by side, so that threads run one after the other without a reset between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from bench.protocols.operations import Operation
from bench.protocols.protocol import Address, Protocol, Thread
from bench.silicon.instructions import InstructionSet
from bench.silicon.loops import SYNC_CORE
from bench.support.errors import InputError

LINE = 64
"""Bytes of a line of an instance; lines of a protocol become lines of this size."""
_SLOT = 16
"""Bytes of a unit: its operand is aligned."""

SKIPPED, STUCK = -1, -2
"""What is recorded for an observation that was jumped over, and for a wait that did not end."""
STUCK_TEXT = "stuck"
"""What a thread has observed that waits for ever."""

_EXECUTABLE = {
    *("store", "load", "execute", "clean", "invalidate", "invalidate-all", "dsb", "fence", "isb", "ipi", "membarrier"),
    *("set", "wait", "lock", "unlock", "stop-others", "poll-stop", "resume-others"),
}
"""The operations that a program can do; the others need the kernel's rights, or a core of another kind"""
_STEPS_OF_A_WAIT = 1 << 22

ARRIVED, STOPPING, STOPPED, FINISHED = 0, 8, 16, 24
"""The words of the first line of an instance's data: threads that are here, that stop others, are stopped, are done."""

TOUCH, DATA_PRESSURE, CODE_PRESSURE = 1, 2, 4
"""What a thread does before an instance, in the lowest bits of its word; above them, how long it waits."""
PRESSURES = 3

_DECLARED = """
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
declare i32 @pthread_rwlock_rdlock(ptr)
declare i32 @pthread_rwlock_wrlock(ptr)
declare i32 @pthread_rwlock_unlock(ptr)
define i64 @decoded(i32 %word) {{
  %wide = zext i32 %word to i64
  %low = lshr i64 %wide, {shift}
  %number = and i64 %low, {mask}
  ret i64 %number
}}
; Whether the word comes to have the value, before too long.
define i1 @await(ptr %word, i64 %value) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %on ]
  %now = load atomic i64, ptr %word acquire, align 8
  %same = icmp eq i64 %now, %value
  br i1 %same, label %done, label %wait
wait:
  call void asm sideeffect "{pause}", ""()
  %next = add i64 %i, 1
  %low = and i64 %next, 4095
  %long = icmp eq i64 %low, 0
  br i1 %long, label %yield, label %on
yield:
  %y = call i32 @sched_yield()
  br label %on
on:
  %more = icmp ult i64 %next, {most}
  br i1 %more, label %loop, label %done
done:
  %ended = phi i1 [ true, %loop ], [ false, %on ]
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
  ret i64 0
}}
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """How the operands of instructions lie: ``aligned`` to their size, ``unaligned``, or ``split`` over two lines."""

    name: str

    def operand_at(self, instructions: InstructionSet, slot: int) -> int:
        """Where in a line the operand of a unit lies that has this slot of it."""
        if self.name == "split":
            return LINE - instructions.patched // 2
        return slot * _SLOT + instructions.patched + (self.name == "unaligned")


ALIGNED, UNALIGNED, SPLIT = map(Placement, ("aligned", "unaligned", "split"))
PLACEMENTS = {one.name: one for one in (ALIGNED, UNALIGNED, SPLIT)}
"""Every placement by name; operands of a fixed-width instruction set are always aligned."""


class Instances:
    """The code and the data of instances: ``stride`` bytes of code and ``data`` bytes of data for each.

    ``at``: the offset of the first byte of each unit.  ``values``: the number of each value.
    Raises ``InputError`` for what this instruction set, or a program without the kernel's rights, cannot do.
    """

    def __init__(self, protocol: Protocol, instructions: InstructionSet, placement: Placement) -> None:
        if placement is not ALIGNED and not instructions.operand:
            raise InputError(placement.name, place="`place`", expected=f"aligned: {instructions.name} has no other")
        self.protocol, self.instructions = protocol, instructions
        stored = (value for thread in protocol.threads for each in thread.operations for value in each.values)
        names = dict.fromkeys((*protocol.initial.values(), *stored))
        self.values = {name: instructions.number_of(100 + number) for number, name in enumerate(names)}
        self.at = self._placed(placement)
        self.stride = LINE * (2 + max(self.at.values()) // LINE) if self.at else LINE
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

    def _placed(self, placement: Placement) -> dict[str, int]:
        lines: dict[int, list[str]] = {}
        for name, address in self.protocol.addresses.items():
            if address.virtual != address.physical:
                raise InputError(f"{name} is a second mapping", expected="units of one mapping each, to execute them")
            lines.setdefault(address.physical // self.protocol.host.data_line, []).append(name)
        most = 1 if placement is SPLIT else LINE // _SLOT - (placement is UNALIGNED)
        placed = {}
        for number, (_, names) in enumerate(sorted(lines.items())):
            if len(names) > most:
                found = f"{', '.join(names)} in one line"
                raise InputError(found, expected=f"at most {most} units in a line, to execute them {placement.name}")
            for slot, name in enumerate(sorted(names, key=lambda name: self.protocol.addresses[name].physical)):
                operand = 2 * number * LINE + placement.operand_at(self.instructions, slot)
                placed[name] = operand - self.instructions.operand
        return placed

    def _refuse(self, thread: Thread, operation: Operation) -> None:
        verb, local = operation.verb, operation.word == "local"
        found = expected = ""
        if verb not in _EXECUTABLE and verb != "fence.i":
            found, expected = verb, "operations that a program of its own can do, to execute them"
        elif "fence.i" in (verb, operation.word):
            found, expected = operation.text, "operations of this machine, which is no RISC-V"
        elif verb == "store" and len(operation.names) > 1:
            found, expected = operation.text, "stores to one unit: units are functions apart, which no store covers"
        elif verb == "execute" and len(operation.names) > 1:
            found, expected = operation.text, "one unit: a pair that is decoded together is no function"
        elif local and self.instructions.name == "aarch64":
            found, expected = operation.text, f"{verb}, which AArch64 broadcasts from a program"
        if found:
            raise InputError(found, place=f"threads.{thread.name}", expected=expected)

    @property
    def placed(self) -> Protocol:
        """The protocol as it is executed, which is what a model has to be asked about: units where their operands lie.

        What the file says of values as instructions is about others than those that are executed here.
        """
        operands = {name: at + self.instructions.operand for name, at in self.at.items()}
        addresses = {name: Address(at, at) for name, at in operands.items()}
        return replace(self.protocol, addresses=addresses, instructions={})

    def initial(self) -> bytes:
        """The code of one instance at the start."""
        code = bytearray(self.stride)
        for name, at in self.at.items():
            function = self.instructions.number(self.values[self.protocol.initial[name]])
            code[at : at + len(function)] = function
        return bytes(code)

    @cached_property
    def meanings(self) -> Mapping[int, str]:
        """The name of each number that an observation can be."""
        return {number: name for name, number in self.values.items()}

    def place_of(self, offset: int) -> str:
        """The unit that an offset from the first instance's code is in, or what else there is."""
        inside = offset % self.stride
        before = [name for name, at in self.at.items() if at <= inside < at + _SLOT]
        return before[0] if before and offset >= 0 else "another place"

    def text(self) -> str:
        """The functions ``thread0``, ``thread1``, ... in LLVM's language."""
        declared = _DECLARED.format(
            pause=self.instructions.pause,
            sync=self.instructions.sync,
            changes=self.instructions.sync_changes,
            shift=self.instructions.shift,
            mask=self.instructions.mask,
            most=_STEPS_OF_A_WAIT,
        )
        return "\n".join((declared, *(self._function(number) for number in range(len(self.protocol.threads)))))

    # --- one thread ---------------------------------------------------------------------------------------------------

    def _function(self, number: int) -> str:
        thread = self.protocol.threads[number]
        executed = [each.names[0] for each in thread.operations if each.verb == "execute"]
        touched = "\n".join(
            f"  %touch{n} = getelementptr i8, ptr %code, i64 {self.at[name]}\n  %got{n} = call i32 %touch{n}()"
            for n, name in enumerate(dict.fromkeys(executed))
        )
        steps = "\n".join(self._steps(thread))
        return _THREAD.format(
            number=number,
            threads=len(self.protocol.threads),
            stride=self.stride,
            data=self.data,
            width=8 * max(1, self.observations[number]),
            touched=touched,
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
                cases = " ".join(
                    f"i64 {self.values[value]}, label %o{at + 1 + skip}"
                    for value, skip in operation.skips
                    if value in self.values
                )
                yield f"  switch i64 %seen{at}, label %{following} [ {cases} ]"
            else:
                yield f"  br label %{following}"
        yield f"o{len(thread.operations)}:"

    def _wait(self, at: int, operation: Operation, following: str) -> Iterator[str]:
        yield f"  %word{at} = getelementptr i8, ptr %data, i64 {self.words[operation.names[0]]}"
        yield f"  %ended{at} = call i1 @await(ptr %word{at}, i64 {operation.number})"
        yield f"  br i1 %ended{at}, label %{following}, label %stuck"

    def _plain(self, at: int, operation: Operation) -> Iterator[str]:
        instructions = self.instructions
        name = operation.names[0] if operation.names else ""
        if name in self.at:
            operand = self.at[name] + instructions.operand
            yield f"  %unit{at} = getelementptr i8, ptr %code, i64 {self.at[name]}"
            yield f"  %operand{at} = getelementptr i8, ptr %code, i64 {operand}"
        match operation.verb:
            case "execute":
                yield f"  %raw{at} = call i32 %unit{at}()"
                yield f"  %seen{at} = zext i32 %raw{at} to i64"
            case "load":
                yield f"  %raw{at} = load volatile i32, ptr %operand{at}, align 1"
                yield f"  %seen{at} = call i64 @decoded(i32 %raw{at})"
            case "store":
                value = instructions.operand_of(self.values[operation.values[0]])
                yield f"  store volatile i32 {value}, ptr %operand{at}, align 1"
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
