"""Sites as they are: their own words in executable memory, with code at each target that returns the target's number.

An execution enters the site; where it arrives is what is counted.  What is no instruction, or leads elsewhere, raises a
signal, whose handler makes the thread go on behind the execution.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bench.protocols.lowering import TORN_TEXT
from bench.protocols.operations import ProtocolOperation
from bench.protocols.protocol import Address, Thread
from bench.silicon.functions import Placement, refuse_placement
from bench.silicon.instructions import InstructionSet
from bench.silicon.native import Memory
from bench.silicon.threads import BATCH, LINE, STUCK_TEXT, Instances, Observed
from bench.sites.paths import SitePath, at_rest, paths, value_name
from bench.sites.scenarios import Run, Trial
from bench.sites.site import CODE, NEW, OLD, STUB, TRAP, Site, SiteWord
from bench.support.errors import InputError

ELSEWHERE = "elsewhere"
"""Where an execution arrives that comes to no target."""

_PLACES = 16
"""The numbers of one instance: those of its targets, and of new code at one."""
_FLAGS, _ALWAYS = 0x246, 0x202
"""The flags of x86-64 behind a difference that is zero; those that are always set."""
_ROOM = 16
"""Bytes of the code at a target, at most; as many more for each register that it relies on."""
_PREAMBLE = 512
"""Bytes of what gives registers their values, at most: 31 of AArch64 in 16 bytes each, and a branch."""
_FAULT, _SIGNAL, _OFFSET = 0x40, 48, 47
"""Of the number of an execution that a signal ended: the highest byte, where the signal is, the bits of the address."""

_SITES = """
declare i64 @write(i32, ptr, i64)
declare i32 @raise(i32)
declare ptr @signal(i32, ptr)
declare i64 @pthread_self()
@records = internal global [{threads} x [5 x i64]] zeroinitializer
{enter}
; What a signal ends is an execution of this thread that is away, or else the process: its address is written then.
define i64 @recover(i64 %signal, i64 %info, i64 %context) {{
entry:
  %self = call i64 @pthread_self()
  %c = inttoptr i64 %context to ptr
  %pc = getelementptr i8, ptr %c, i64 {counter}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %on ]
  %record = getelementptr [5 x i64], ptr @records, i64 %i
  %key = getelementptr i64, ptr %record, i64 3
  %owner = load i64, ptr %key
  %mine = icmp eq i64 %owner, %self
  %awayp = getelementptr i64, ptr %record, i64 2
  %away = load i64, ptr %awayp
  %isaway = icmp ne i64 %away, 0
  %found = and i1 %mine, %isaway
  br i1 %found, label %back, label %on
on:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {threads}
  br i1 %more, label %loop, label %end
back:
  %at = load i64, ptr %pc
  %low = and i64 %at, {offset}
  %moved = shl i64 %signal, {signal}
  %both = or i64 %moved, %low
  %number = or i64 %both, {faulted}
  %result = getelementptr i8, ptr %c, i64 {result}
  store i64 %number, ptr %result
  %sp = load i64, ptr %record
  %spp = getelementptr i8, ptr %c, i64 {stack}
  store i64 %sp, ptr %spp
  %resumep = getelementptr i64, ptr %record, i64 1
  %resume = load i64, ptr %resumep
  store i64 %resume, ptr %pc
  ret i64 0
end:
  %written = call i64 @write(i32 {descriptor}, ptr %pc, i64 8)
  %number32 = trunc i64 %signal to i32
  %default = call ptr @signal(i32 %number32, ptr null)
  %raised = call i32 @raise(i32 %number32)
  ret i64 0
}}
; An execution of instance %i at %code from %entry on: the number of what it arrived at, counted from the instance's.
define i64 @arrive(ptr %record, i64 %i, ptr %code, i64 %offset, i64 %start) {{
  %base = ptrtoint ptr %code to i64
  %entry = add i64 %base, %offset
  %tag = mul i64 %i, {places}
  %unlinked = add i64 %tag, %start
  %number = call i64 @enter(ptr %record, i64 %entry, i64 %unlinked)
  %top = lshr i64 %number, 56
  %faulted = icmp eq i64 %top, {fault}
  %inside = sub i64 %number, %tag
  %away = sub i64 %number, %base
  %low = and i64 %away, {offset}
  %high = and i64 %number, {high}
  %fault = or i64 %high, %low
  %arrived = select i1 %faulted, i64 %fault, i64 %inside
  ret i64 %arrived
}}
"""


class SiteInstances(Instances):
    """A trial of a site.  ``by``: how far the site was moved, so that what is patched lies as it is asked for.

    Raises ``InputError`` also for what is no single store, or lies between two words of an execution.
    """

    catches = True

    def __init__(self, trial: Trial, instructions: InstructionSet, placement: Placement | None = None) -> None:
        refuse_placement(placement, instructions)
        self.trial, self.site = trial, _checked(trial.site, instructions)
        self._flags = _flags(trial.runs, self.site)
        self.by = 0 if placement is None else self._moved(placement)
        arrivals = (*self.site.targets, value_name(trial.writes, NEW))
        self._numbers = {name: number for number, name in enumerate(arrivals)}
        self._addresses = _addresses(self.site)
        self._start = _free_line(self.site) if self.site.registers else None
        self.stride = self._stride(instructions)
        written = self.site.targets.get(trial.writes, 0) + self.by
        self._code_at = written + instructions.lands(0, written, self.site.relies)[1]
        self.addresses = {word.name: word.at + self.by for word in self.site.words} | {CODE: self._code_at}
        used = trial.protocol.addresses
        self.placed = replace(
            trial.protocol, addresses={name: Address(self.addresses[name], self.addresses[name]) for name in used}
        )
        self.asked = replace(trial.protocol, threads=tuple(map(self._asked, trial.protocol.threads)))
        super().__init__(
            replace(trial.protocol, threads=tuple(map(self._entering, trial.protocol.threads))), instructions
        )

    def _moved(self, placement: Placement) -> int:
        """How far to move the site, so that its widest word lies so; where it is split, both parts of it change."""
        word = max((word for word in self.site.words if not word.is_constant), key=lambda word: word.size)
        differ = [number for number, held in enumerate(zip(*word.values.values(), strict=True)) if len({*held}) > 1]
        return (placement.offset(word.size, differ[len(differ) // 2] or None) - word.at) % LINE

    def _stride(self, instructions: InstructionSet) -> int:
        """The least distance at which no line has something of two instances, nor a mixture of one leads to another."""
        places = [(word.at, word.size) for word in self.site.words]
        places += [(at, _room(self.site)) for at in self.site.targets.values()]
        places += [] if self._start is None else [(self._start, _PREAMBLE)]
        places += [(at, 1) for at in _mixtures(self.site)]
        lines = {
            line for at, size in places for line in range((at + self.by) // LINE, (at + self.by + size - 1) // LINE + 1)
        }
        step = max(instructions.reach // LINE, 1)
        return LINE * next(
            many for many in itertools.count(step, step) if len({line % many for line in lines}) == len(lines)
        )

    # --- what is asked ------------------------------------------------------------------------------------------------

    def _entering(self, thread: Thread) -> Thread:
        """The thread with one operation for each execution of the site: that of its first observation."""
        if thread.allowed is None:
            return thread
        first, last, seen = set(), set(), 0
        for run in self.trial.runs:
            first.add(seen)
            seen += len(run.execution.observations)
            last.add(seen - 1)
        operations, inside, seen = [], False, 0
        for operation in thread.operations:
            if operation.observes:
                if seen in first:
                    operations.append(replace(operation, skips=()))
                inside = seen not in last
                seen += 1
            elif inside:
                found = f"{operation.text} between two words of an execution"
                raise InputError(found, place=f"threads.{thread.name}", expected="an execution without a stop inside")
            else:
                operations.append(operation)
        return replace(thread, operations=tuple(operations))

    def _asked(self, thread: Thread) -> Thread:
        if thread.allowed is None:
            return thread
        arrivals = dict.fromkeys(arrived for values in thread.allowed for arrived in self._arrivals(values))
        return replace(thread, allowed=tuple(one for one in arrivals if ELSEWHERE not in one))

    def executed(self, observed: Observed) -> Iterable[Observed]:
        """Where executions may arrive that fetch and load what a model has the threads observe."""
        threads = zip(self.trial.protocol.threads, observed, strict=True)
        return itertools.product(
            *(
                (values,) if thread.allowed is None or values == (STUCK_TEXT,) else self._arrivals(values)
                for thread, values in threads
            )
        )

    def _arrivals(self, values: tuple[str, ...]) -> list[tuple[str, ...]]:
        """What each run may arrive at, of all those that observe the values in order."""
        if TORN_TEXT not in values:
            return self._whole.get(values, [])
        # Parts of several values may be anything, and what is executed after them too.
        torn = values.index(TORN_TEXT)
        ways = itertools.product(*(run.execution.paths for run in self.trial.runs))
        begun = [way for way in ways if _values(way)[:torn] == values[:torn]]
        found: dict[tuple[str, ...], None] = {}
        for way in begun:
            ends = itertools.accumulate(len(path.values) for path in way)
            before = [path for path, end in zip(way, ends, strict=True) if end <= torn]
            rest = [sorted({ELSEWHERE, *map(_arrival, run.execution.paths)}) for run in self.trial.runs[len(before) :]]
            found |= dict.fromkeys(itertools.product(*([_arrival(path)] for path in before), *rest))
        return list(found)

    @cached_property
    def _whole(self) -> Mapping[tuple[str, ...], list[tuple[str, ...]]]:
        """What each run may arrive at, by the values that are observed."""
        found: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for way in itertools.product(*(run.execution.paths for run in self.trial.runs)):
            arrivals = [_possible(run, path) for run, path in zip(self.trial.runs, way, strict=True)]
            found.setdefault(_values(way), []).extend(itertools.product(*arrivals))
        return found

    # --- memory -------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """The bytes from the first instance to the end of the last one."""
        ends = [word.at + word.size for word in self.site.words]
        ends += [at + _room(self.site) for at in self.site.targets.values()]
        ends += [] if self._start is None else [self._start + _PREAMBLE]
        return (BATCH - 1) * self.stride + self.by + max(ends)

    @property
    def flushed(self) -> Sequence[tuple[int, int]]:
        """Each word of code, and the code at each target."""
        words = [(word.at + self.by, word.size) for word in self.site.words if not word.is_data]
        words += [] if self._start is None else [(self._start + self.by, _PREAMBLE)]
        return (*words, *((at + self.by, _room(self.site)) for at in self.site.targets.values()))

    def reset(self, code: Memory) -> None:
        """Write the words as they are at the start, and the code at targets."""
        initial = self.trial.protocol.initial
        for word in self.site.words:
            value = initial.get(word.name, value_name(word.name, STUB)).removeprefix(f"{word.name}.")
            place = self._places(code, word.at, word.size)
            place[:] = np.frombuffer(word.values[value], np.uint8)
            if (target := self._relocated(word, value)) is not None:
                starts = code.address + self.stride * np.arange(BATCH, dtype=np.int64)
                place[:] = (starts + target).view(np.uint8).reshape(BATCH, -1)
        shift = self.instructions.shift
        for name, at in self.site.targets.items():
            number = self._numbers[name]
            relies = self.site.relies if name not in (STUB, TRAP) else ()
            bytes_, operand = self.instructions.lands(number, at + self.by, relies)
            place = self._places(code, at, len(bytes_))
            place[:] = np.frombuffer(bytes_, np.uint8)
            first = self.instructions.operand_of(number)
            operands = first + (_PLACES * np.arange(BATCH, dtype=np.uint32) << shift)
            place[:, operand : operand + 4] = operands.astype("<u4").view(np.uint8).reshape(BATCH, -1)

        if self._start is not None:
            begins = code.address + self.by + self.stride * np.arange(BATCH, dtype=np.int64)
            parts = [
                self.instructions.sets(name, begins * (name in self._addresses) + number)
                for name, number in self.site.registers.items()
            ]
            size = sum(part.shape[1] for part in parts)
            to_entry = np.full(BATCH, self.site.entry - self._start - size)
            preamble = np.concatenate((*parts, self.instructions.jumps(to_entry)), axis=1)
            self._places(code, self._start, preamble.shape[1])[:] = preamble

    def _places(self, code: Memory, at: int, size: int) -> npt.NDArray[np.uint8]:
        """So many bytes at an address of the site in each instance."""
        strides = (self.stride, 1)
        return np.lib.stride_tricks.as_strided(code.bytes[at + self.by :], (BATCH, size), strides)

    def _relocated(self, word: SiteWord, value: str) -> int | None:
        """The offset of the target whose address data hold."""
        number = int.from_bytes(word.values[value], "little")
        return number + self.by if word.is_data and number in self.site.targets.values() else None

    def value_of(self, number: int) -> str:
        """Where an execution arrived."""
        if number >> 56 == _FAULT:
            trapped = TRAP in self.site.targets and self._signal(number) == signal.SIGTRAP
            at = self._address(number)
            return (
                TRAP if trapped and any(word.at <= at < word.at + word.size for word in self.site.words) else ELSEWHERE
            )
        return self._names.get(number, ELSEWHERE)

    def signal_of(self, number: int) -> str:
        """The signal, and the address in the site's own terms."""
        if self.value_of(number) != ELSEWHERE:
            return ""
        if number >> 56 != _FAULT:
            return "another instance of the site"
        return f"{signal.Signals(self._signal(number)).name} at {self._address(number):#x}"

    @cached_property
    def _names(self) -> Mapping[int, str]:
        looked = any(path.code for run in self.trial.runs for path in run.execution.paths)
        names = {number: name for name, number in self._numbers.items()}
        return names | {self._numbers[self.trial.writes]: value_name(self.trial.writes, OLD)} if looked else names

    @staticmethod
    def _signal(number: int) -> int:
        return number >> _SIGNAL & 0xFF

    def _address(self, number: int) -> int:
        low = number & (1 << _OFFSET) - 1
        trapped = self.instructions.trap if self._signal(number) == signal.SIGTRAP else 0
        return (low - (1 << _OFFSET) if low >> (_OFFSET - 1) else low) - self.by - trapped

    def place_of(self, offset: int) -> str:
        """An offset from the first instance."""
        return hex(offset)

    # --- what threads do ----------------------------------------------------------------------------------------------

    def refused(self, operation: ProtocolOperation) -> tuple[str, str] | None:
        """What is no single store, or a load by somebody who does not execute the site."""
        if operation.verb == "store" and set(operation.names) != {CODE}:
            first, size = self._span(operation)
            if size not in (1, 2, 4, 8, 16) or (size == 16 and self.instructions.operand):
                return f"{operation.text}, of {size} bytes", "what this machine can store at once"
            if not self.instructions.operand and (first + self.by) % size:
                return f"{operation.text}, of {size} bytes at {first:#x}", "an aligned store"
        return None

    def _span(self, operation: ProtocolOperation) -> tuple[int, int]:
        words = [self.site.word(name) for name in operation.names]
        first = min(word.at for word in words)
        return first, max(word.at + word.size for word in words) - first

    def stores(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        """One store of all the words, and of the constant ones between them."""
        if operation.names == (CODE,):
            name = self.trial.writes
            number = self._numbers[value_name(name, NEW) if operation.values[0] == value_name(CODE, NEW) else name]
            yield f"  %tag{at} = mul i64 %i, {_PLACES << self.instructions.shift}"
            yield f"  %whole{at} = add i64 %tag{at}, {self.instructions.operand_of(number)}"
            yield f"  %bits{at} = trunc i64 %whole{at} to i32"
            yield f"  store volatile i32 %bits{at}, ptr %operand{at}, align 4"
            return
        first, size = self._span(operation)
        stored = dict(zip(operation.names, operation.values, strict=True))
        number, relocated = 0, []
        for word in self.site.words:
            if first <= word.at < first + size:
                value = stored.get(word.name, value_name(word.name, STUB)).removeprefix(f"{word.name}.")
                target = self._relocated(word, value)
                bits = int.from_bytes(word.values[value], "little") if target is None else target
                number |= bits << 8 * (word.at - first)
                relocated += [8 * (word.at - first)] if target is not None else []
        kind, bits_ = f"i{8 * size}", f"{number}"
        yield f"  %at{at} = getelementptr i8, ptr %code, i64 {first + self.by}"
        for count, shift in enumerate(relocated):
            yield f"  %base{at}.{count} = ptrtoint ptr %code to {kind}"
            yield f"  %moved{at}.{count} = shl {kind} %base{at}.{count}, {shift}"
            yield f"  %value{at}.{count} = add {kind} {bits_}, %moved{at}.{count}"
            bits_ = f"%value{at}.{count}"
        if (first + self.by) % size:
            yield f"  store volatile {kind} {bits_}, ptr %at{at}, align 1"
        else:
            yield f"  store atomic volatile {kind} {bits_}, ptr %at{at} monotonic, align {size}"

    def observes(self, at: int, operation: ProtocolOperation) -> Iterator[str]:
        """Enters the site."""
        yield f"  %seen{at} = call i64 @arrive({self._arguments})"

    def touches(self, thread: Thread) -> str:
        """Enters the site."""
        executes = any(operation.observes for operation in thread.operations)
        return f"  %got = call i64 @arrive({self._arguments})" if executes else ""

    @property
    def _arguments(self) -> str:
        offset = (self.site.entry if self._start is None else self._start) + self.by
        return f"ptr %record, i64 %i, ptr %code, i64 {offset}, i64 {self._numbers[STUB]}"

    def declares(self, descriptor: int) -> str:
        """How the site is entered, and left by a signal."""
        context = self.instructions.context
        return _SITES.format(
            threads=len(self.protocol.threads),
            enter=self.instructions.enter,
            descriptor=descriptor,
            counter=context.counter,
            result=context.result,
            stack=context.stack,
            fault=_FAULT,
            faulted=_FAULT << 56,
            signal=_SIGNAL,
            offset=(1 << _OFFSET) - 1,
            high=(1 << 64) - (1 << _OFFSET),
            places=_PLACES,
        )

    def begins(self, number: int) -> str:
        """A record is the thread's own."""
        return (
            f"  %record = getelementptr [5 x i64], ptr @records, i64 {number}\n"
            "  %self = call i64 @pthread_self()\n"
            "  %key = getelementptr i64, ptr %record, i64 3\n"
            "  store i64 %self, ptr %key\n"
            "  %flags = getelementptr [5 x i64], ptr %record, i64 0, i64 4\n"
            f"  store i64 {self._flags}, ptr %flags"
        )

    def ends(self) -> str:
        """Undoes what a mixture may have done to the thread."""
        return f'  call void asm sideeffect "{self.instructions.resets}", ""()'


def _checked(site: Site, instructions: InstructionSet) -> Site:
    """The site, if this machine can execute its words."""

    def refuse(found: str, place: str, expected: str) -> InputError:
        return InputError(found, file=site.file, place=place, expected=expected)

    if site.isa != instructions.isa:
        raise refuse(site.isa, "isa", f"{instructions.isa}, to execute its words")
    for place, names in (("registers", site.registers), ("relies", site.relies)):
        for name in names:
            try:
                instructions.sets(name, np.zeros(1, np.int64))
            except InputError as error:
                raise refuse(error.message, place, error.expected) from None
    if all(word.is_constant for word in site.words):
        raise refuse("nothing that changes", "words", "something that is patched, to see what is executed")
    room = _room(site)
    ends = {name: at + room for name, at in site.targets.items()}
    for name, at in site.targets.items():
        used = len(instructions.lands(0, at, site.relies if name not in (STUB, TRAP) else ())[0])
        for word in site.words:
            if at < word.at + word.size and word.at < at + used:
                raise refuse(f"{name} at {at:#x}", "targets", f"{used} bytes before {word.name}, to return from there")
        for other, end in ends.items():
            if other != name and at < end and site.targets[other] < at + used:
                raise refuse(f"{name} and {other}", "targets", f"{room} bytes between them")
    return site


def _room(site: Site) -> int:
    """Bytes of the code at a target, at most."""
    return _ROOM * (1 + len(site.relies))


def _free_line(site: Site) -> int:
    """Where there is room for what gives registers their values, in lines that have nothing else."""
    used = [(word.at, word.at + word.size) for word in site.words]
    used += [(at, at + _room(site)) for at in site.targets.values()]
    return next(
        at
        for at in itertools.count(0, LINE)
        if all(end <= at - LINE or at + _PREAMBLE + LINE <= begin for begin, end in used)
    )


def _addresses(site: Site) -> frozenset[str]:
    """The registers that hold an address of the site: with which it leads to its targets wherever it is moved to.

    Raises ``InputError`` if that is so for no choice of them.
    """
    apart = 1 << 20

    def moved(holding: frozenset[str]) -> Site:
        targets = {name: at + apart for name, at in site.targets.items()}
        words = []
        for word in site.words:
            values = dict(word.values)
            for name, held in values.items():
                number = int.from_bytes(held, "little")
                if word.is_data and number in site.targets.values():
                    values[name] = (number + apart).to_bytes(word.size, "little")
            words.append(replace(word, at=word.at + apart, values=values))
        registers = {name: number + apart * (name in holding) for name, number in site.registers.items()}
        return replace(site, targets=targets, words=tuple(words), registers=registers)

    def leads(holding: frozenset[str]) -> bool:
        there = moved(holding)
        ways = ((at_rest(one, state) for one in (site, there)) for state in site.states)
        return all(here.arrives == far.arrives and here.assumed == far.assumed for here, far in ways)

    every = tuple(site.registers)
    for count in range(len(every) + 1):
        for chosen in itertools.combinations(every, count):
            if leads(frozenset(chosen)):
                return frozenset(chosen)
    raise InputError(
        "words that lead elsewhere when the site is moved",
        file=site.file,
        place="words",
        expected="branches that are relative, and registers that hold addresses or numbers, to execute them",
    )


def _flags(runs: Iterable[Run], site: Site) -> int:
    """The flags of x86-64 with which each conditional branch is taken that is not decided by the site itself."""
    conditions = {one for run in runs for path in run.execution.paths for one in path.assumed}
    known = [
        _FLAGS,
        *(sum(bits) | _ALWAYS for bits in itertools.product(*((0, bit) for bit in (1, 4, 0x40, 0x80, 0x800)))),
    ]
    for flags in known:
        if all(one is not None and _holds(one, flags) for one in conditions):
            return flags
    raise InputError(
        "a branch that depends on what a register or memory has",
        file=site.file,
        place="words",
        expected="a comparison of what `[registers]` or a slot has, to execute it",
    )


def _holds(condition: int, flags: int) -> bool:
    """Whether a condition of x86-64 is met (Intel SDM, volume 1, appendix B)."""
    carry, parity, zero, sign, overflow = (bool(flags & bit) for bit in (1, 4, 0x40, 0x80, 0x800))
    less = sign is not overflow
    return (overflow, carry, zero, carry or zero, sign, parity, less, less or zero)[condition >> 1] is not bool(
        condition & 1
    )


def _mixtures(site: Site) -> set[int]:
    """Where executions lead that fetch the first bytes of one value of a word, and the others of another one."""
    found: set[int] = set()
    every = {word.name: tuple(word.values) for word in site.words if not word.is_constant}
    for word in (word for word in site.words if not word.is_constant and not word.is_data):
        for (one, other), size in itertools.product(
            itertools.permutations(word.values.values(), 2), range(1, word.size)
        ):
            mixed = replace(word, values={**word.values, "mixed": one[:size] + other[size:]})
            words = tuple(mixed if each is word else each for each in site.words)
            with contextlib.suppress(InputError):  # it leads back, or ends in no word
                ways = paths(replace(site, words=words), {**every, word.name: ("mixed",)})
                found |= {path.address for path in ways if path.target is None and path.address is not None}
    return found


def _values(way: Iterable[SitePath]) -> tuple[str, ...]:
    return tuple(itertools.chain.from_iterable(path.values for path in way))


def _arrival(path: SitePath) -> str:
    if path.arrives is None:
        return ELSEWHERE
    return value_name(path.arrives, path.code) if path.code else path.arrives


def _possible(run: Run, path: SitePath) -> list[str]:
    """Where a way arrives; a mixture may be an instruction that raises a signal, whatever it is taken for."""
    return [_arrival(path), ELSEWHERE] if run.failure(path) == "X" else [_arrival(path)]
