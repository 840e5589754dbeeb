"""The transition system of a litmus test: its threads on the memory model of the architecture.

Partial-order reduction: a thread executes instructions that no other thread observes at once.  It stops before a load,
a fetch that can return several values, a barrier that has to wait, and at its end.  The skipped interleavings reach the
same states, since such instructions commute with those of other threads.

An instruction that no store can modify is fetched as the test has it.  The others are *units*: memory cells that are
fetched.  A core prefetches units along every path of the code between them, past branches of any kind but not past a
context synchronisation.  The predicted target of a return or an indirect branch is any return address or code address
of the test.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from bench.litmus.condition import Fault, Observable, ThreadRegister, observables
from bench.litmus.instructions import (
    UNDEFINED,
    LabelOperand,
    LitmusInstruction,
    MemoryOperand,
    Register,
    UnknownInstructionError,
    decode,
    encode,
)
from bench.litmus.reader import LitmusTest
from bench.litmus.values import CodeAddress, DataAddress, LitmusValue, plus
from bench.machine import architecture
from bench.machine.memory import Put
from bench.support.errors import InputError

MOST_AHEAD = 4
"""The maximum number of units in a prefetch queue."""
_AT_ONCE = 10_000
"""Instructions that a thread executes locally before it counts as an endless loop."""

Registers: TypeAlias = tuple[tuple[int, LitmusValue], ...]
"""The registers that are not 0, by number: 0 to 30; ``_FLAGS``, the flags of the last comparison; ``_ELR``."""
_FLAGS, _ELR = 32, 33


LitmusMemory: TypeAlias = architecture.Histories[CodeAddress, LitmusValue]
"""The memory state; units are named by code address, and cells hold register values."""


class ThreadState(NamedTuple):
    """A thread: the next instruction (None at the end), its registers, and the addresses of the faults it took."""

    at: CodeAddress | None
    registers: Registers
    faults: tuple[CodeAddress, ...] = ()


class LitmusState(NamedTuple):
    """The state of a test: all threads, and memory."""

    threads: tuple[ThreadState, ...]
    memory: LitmusMemory


class ModifiedCodeError(Exception):
    """A store modifies an instruction that is not a unit; the argument is its address."""


@dataclass
class LitmusMachine:
    """The transition system of a test under ``rules``; ``units``: the instructions that stores may modify."""

    test: LitmusTest
    rules: architecture.Rules
    units: frozenset[CodeAddress] = frozenset()
    cells: dict[DataAddress | CodeAddress, int] = field(default_factory=dict)
    _ahead: dict[CodeAddress, tuple[CodeAddress, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = (*self.test.registers.values(), *self.test.memory.values())
        condition = self.test.condition
        everything = (*self.test.memory, *named, *observables(condition.proposition), *condition.shown)
        places: list[DataAddress | CodeAddress] = [
            *sorted({place for place in everything if isinstance(place, DataAddress)})
        ]
        places += sorted(self.units)
        self.cells = {place: cell for cell, place in enumerate(places)}
        targets = [value for value in named if isinstance(value, CodeAddress)]
        self._returns: list[CodeAddress] = []
        for thread, program in enumerate(self.test.programs):
            for at, instruction in enumerate(program):
                if instruction.name in ("bl", "blr"):
                    self._returns.append(CodeAddress(thread, at + 1))
                if instruction.name == "adr":
                    targets.append(self._target(CodeAddress(thread, at), instruction))
        links = (value for where, value in self.test.registers.items() if where.number == 30)
        self._returns += [value for value in links if isinstance(value, CodeAddress)]
        self._targets = list(dict.fromkeys(targets))

    # - states

    def start(self) -> LitmusState:
        """The initial state, after the local instructions of all threads."""
        values = [
            self._word(place) if isinstance(place, CodeAddress) else self.test.memory.get(place, 0)
            for place in self.cells
        ]
        code = {cell for place, cell in self.cells.items() if isinstance(place, CodeAddress)}
        count = len(self.test.programs)
        threads = []
        for thread in range(count):
            registers = {where.number: value for where, value in self.test.registers.items() if where.thread == thread}
            threads.append(ThreadState(self._location(CodeAddress(thread, 0)), _nonzero(registers)))
        state = LitmusState(tuple(threads), architecture.at_start(tuple(values), count, code))
        for thread in range(count):
            state = self._run_locally(state, thread)
        return state

    def successors(self, state: LitmusState) -> Iterator[LitmusState]:
        """The successors of a state."""
        for thread, running in enumerate(state.threads):
            if running.at is not None:
                yield from self._step(state, thread, running.at)
        for core, entry, memory in architecture.completions(state.memory, self.rules):
            for ahead in self._queues_before(state, entry, memory):
                following = state._replace(memory=memory._replace(ahead=ahead))
                yield self._run_locally(following, core)

    def _queues_before(
        self, state: LitmusState, entry: architecture.Entry[LitmusValue], memory: LitmusMemory
    ) -> Iterator[tuple[tuple[architecture.Ahead[CodeAddress, LitmusValue], ...], ...]]:
        """The prefetch queues that cores may have before ``entry`` changes the memory to ``memory``.

        Prefetching at any other time can be delayed: only ``entry`` makes a value unavailable to a fetch.
        """
        cells = {put.cell for put in architecture.puts_of(entry)}
        if isinstance(entry, architecture.InvalidateCell) and self.rules.keeps:
            cells = {entry.cell}
        queues = [[queue] for queue in memory.ahead]
        for cell in cells:
            for core, running in enumerate(state.threads):
                now, then = (architecture.fetchable(each, self.rules, core, cell) for each in (state.memory, memory))
                if not set(now) <= set(then):
                    queues[core] = self._queues(state.memory, core, running.at, cell)
        yield from itertools.product(*queues)

    def _queues(
        self, memory: LitmusMemory, core: int, at: CodeAddress | None, cell: int
    ) -> list[tuple[architecture.Ahead[CodeAddress, LitmusValue], ...]]:
        """The prefetch queues of a core: the present one, and all extensions that end with ``cell``."""
        found = [memory.ahead[core]]
        pending = [memory]
        while pending:
            for following in self._fetch_ahead(pending.pop(), core, at):
                pending.append(following)
                if self.cells[following.ahead[core][-1][0]] == cell:
                    found.append(following.ahead[core])
        return found

    def ended(self, state: LitmusState) -> bool:
        """Whether all threads have ended and all stores are visible."""
        return all(running.at is None for running in state.threads) and not any(
            isinstance(entry, Put) for buffer in state.memory.buffers for entry in buffer
        )

    def observed(self, state: LitmusState, where: Observable) -> LitmusValue:
        """The value of an observable in a final state."""
        if isinstance(where, ThreadRegister):
            return dict(state.threads[where.thread].registers).get(where.number, 0)
        if isinstance(where, Fault):
            faults = state.threads[where.thread].faults
            labels = self.test.labels[where.thread]
            return int(any(not where.label or at == CodeAddress(where.thread, labels[where.label]) for at in faults))
        return architecture.newest(state.memory, self.cells[where])

    # - fetching

    def _word(self, at: CodeAddress) -> LitmusValue:
        """The word of an instruction; a label is encoded as its distance."""
        instruction = self._original(at)
        operands = tuple(
            LabelOperand("", self.test.target(at, operand).at - at.at) if isinstance(operand, LabelOperand) else operand
            for operand in instruction.operands
        )
        word = encode(LitmusInstruction(instruction.name, operands))
        # An instruction without an encoding here is its own value, different from all others.
        return at if word is None else word

    def _original(self, at: CodeAddress) -> LitmusInstruction:
        return self.test.programs[at.thread][at.at]

    def _instruction(self, at: CodeAddress, word: LitmusValue) -> LitmusInstruction:
        """The instruction that ``word``, fetched from ``at``, encodes."""
        if isinstance(word, CodeAddress):  # an instruction without an encoding, copied from there
            return self._original(word)
        if word == self._word(at):
            return self._original(at)
        if not isinstance(word, int):
            return UNDEFINED
        try:
            return decode(word & 0xFFFF_FFFF)
        except UnknownInstructionError as error:
            raise InputError(
                f"the word {word:#x} is {error}",
                file=self.test.file,
                place=self.test.places[at],
                expected="an instruction that is known (docs/litmus.md)",
            ) from None

    def _location(self, at: CodeAddress) -> CodeAddress | None:
        """The address, or None if the program of its thread ends there."""
        if at.at == self.test.ends[at.thread] or not 0 <= at.at < len(self.test.programs[at.thread]):
            return None
        return at

    def _fetch_ahead(self, memory: LitmusMemory, core: int, at: CodeAddress | None) -> Iterator[LitmusMemory]:
        """The memory after each possible prefetch of one more unit by a core."""
        queue = memory.ahead[core]
        if at is None or len(queue) == MOST_AHEAD:
            return
        starts: tuple[CodeAddress, ...] = (at,)
        if queue:
            unit, (word,) = queue[-1]
            starts = self._successors(unit, self._instruction(unit, word))
        for unit in dict.fromkeys(itertools.chain.from_iterable(map(self._next_units, starts))):
            yield from architecture.fetch_ahead(memory, self.rules, core, unit, (self.cells[unit],))

    def _next_units(self, at: CodeAddress) -> tuple[CodeAddress, ...]:
        """The units that are reachable from an address without another unit in between."""
        if at not in self._ahead:
            found: list[CodeAddress] = []
            seen = {at}
            pending = [at]
            while pending:
                here = pending.pop()
                if self._location(here) is None:
                    continue
                if here in self.units:
                    found.append(here)
                    continue
                for following in self._successors(here, self._original(here)):
                    if following not in seen:
                        seen.add(following)
                        pending.append(following)
            self._ahead[at] = tuple(found)
        return self._ahead[at]

    def _successors(self, at: CodeAddress, instruction: LitmusInstruction) -> tuple[CodeAddress, ...]:
        """The predicted successors of an instruction; none after a context synchronisation."""
        following = CodeAddress(at.thread, at.at + 1)
        match instruction.name:
            case "b" | "bl":
                return (self._target(at, instruction),)
            case "b.cond" | "cbz" | "cbnz":
                return self._target(at, instruction), following
            case "ret" if not instruction.operands:
                return tuple(dict.fromkeys(self._returns))
            case "br" | "blr" | "ret":
                return tuple(self._targets)
            case "isb" | "eret" | "udf" if self.rules.drops or instruction.name != "isb":
                return ()
        return (following,)

    def _target(self, at: CodeAddress, instruction: LitmusInstruction) -> CodeAddress:
        target = instruction.operands[-1]
        assert isinstance(target, LabelOperand)
        return self.test.target(at, target)

    # - steps

    def _step(self, state: LitmusState, thread: int, at: CodeAddress) -> Iterator[LitmusState]:
        """The steps of a thread that others observe: a fetch or a load; none while it waits."""
        if at in self.units:
            for memory, (word,) in architecture.fetch(state.memory, self.rules, thread, at, (self.cells[at],)):
                done = self._execute(state._replace(memory=memory), thread, at, self._instruction(at, word))
                if done is not None:
                    yield self._run_locally(done, thread)
            return
        done = self._execute(state, thread, at, self._original(at))
        if done is not None:
            yield self._run_locally(done, thread)

    def _run_locally(self, state: LitmusState, thread: int) -> LitmusState:
        """The state after a thread executed all instructions that no other thread observes.

        Raises ``InputError`` for an endless loop: it has no final state.
        """
        first = state.threads[thread].at
        for _ in range(_AT_ONCE):
            at = state.threads[thread].at
            if at is None or at in self.units:
                return state
            instruction = self._original(at)
            if instruction.name in ("ldr", "ldar", "ldapr"):
                return state
            done = self._execute(state, thread, at, instruction)
            if done is None:
                return state
            state = done
        assert first is not None
        raise InputError(
            "an endless loop",
            file=self.test.file,
            place=self.test.places[first],
            expected=f"a thread that loads or ends within {_AT_ONCE} instructions",
        )

    def _execute(
        self, state: LitmusState, thread: int, at: CodeAddress, instruction: LitmusInstruction
    ) -> LitmusState | None:
        """The state after an instruction; None while the instruction has to wait."""
        running = state.threads[thread]
        registers = dict(running.registers)
        memory = state.memory
        following = CodeAddress(at.thread, at.at + 1)
        match instruction:
            case LitmusInstruction("nop"):
                pass
            case LitmusInstruction("mov" | "movz", (Register() as to, source)):
                _write(registers, to, _read(registers, source))
            case LitmusInstruction("add" | "sub" | "eor" | "and" | "orr" as name, (Register() as to, one, other)):
                _write(registers, to, self._compute(name, at, _read(registers, one), _read(registers, other)))
            case LitmusInstruction("cmp", (one, other)):
                wide = isinstance(one, Register) and one.wide
                registers[_FLAGS] = _flags(_read(registers, one), _read(registers, other), wide)
            case LitmusInstruction("cset", (Register() as to, str() as condition)):
                _write(registers, to, int(_condition_holds(registers, condition)))
            case LitmusInstruction("csel", (Register() as to, one, other, str() as condition)):
                _write(registers, to, _read(registers, one if _condition_holds(registers, condition) else other))
            case LitmusInstruction("adr", (Register() as to, LabelOperand() as target)):
                _write(registers, to, self.test.target(at, target))
            case LitmusInstruction("mrs", (Register() as to, _)):
                _write(registers, to, registers.get(_ELR, 0))
            case LitmusInstruction("msr", (_, source)):
                registers[_ELR] = _read(registers, source)
            case LitmusInstruction("ldr" | "ldar" | "ldapr" as name, (Register() as to, MemoryOperand() as address)):
                cell = self._cell(registers, address, at)
                loaded = architecture.load(memory, thread, cell, acquire=name == "ldar")
                if loaded is None:
                    return None
                _write(registers, to, loaded)
            case LitmusInstruction("str" | "stlr" as name, (Register() as source, MemoryOperand() as address)):
                cell = self._cell(registers, address, at, stores=True)
                value = _read(registers, source)
                put = Put(cell, value & 0xFFFF_FFFF if isinstance(value, int) and self._is_code(cell) else value)
                memory = architecture.issue(
                    memory, thread, *([architecture.Order.RELEASE] if name == "stlr" else []), put
                )
            case LitmusInstruction("dc", (str(), source)):
                if (found := self._unit_cell(_read(registers, source))) is not None:
                    memory = architecture.issue(memory, thread, architecture.CleanCell(found))
            case LitmusInstruction("ic", operands):
                cores = frozenset({thread} if operands[0] == "iallu" else range(len(state.threads)))
                cells = [self.cells[unit] for unit in self.units]
                if operands[0] == "ivau":
                    found = self._unit_cell(_read(registers, operands[1]))
                    cells = [] if found is None else [found]
                memory = architecture.issue(
                    memory, thread, *(architecture.InvalidateCell(cell, cores) for cell in cells)
                )
            case LitmusInstruction("dmb", (str() as kind,)):
                memory = architecture.issue(memory, thread, *_barrier_entries(kind))
            case LitmusInstruction("dsb", (str() as kind,)):
                if not kind.endswith("ld") and architecture.waits(
                    memory, thread, stores_only=kind.endswith("st"), own_core_only=kind.startswith("nsh")
                ):
                    return None
            case LitmusInstruction("isb"):
                memory = architecture.synchronise(memory, self.rules, thread)
            case LitmusInstruction("b", (LabelOperand() as target,)):
                following = self.test.target(at, target)
            case LitmusInstruction("b.cond", (str() as condition, LabelOperand() as target)):
                if _condition_holds(registers, condition):
                    following = self.test.target(at, target)
            case LitmusInstruction("cbz" | "cbnz" as name, (Register() as source, LabelOperand() as target)):
                if (_read(registers, source) == 0) is (name == "cbz"):
                    following = self.test.target(at, target)
            case LitmusInstruction("bl", (LabelOperand() as target,)):
                registers[30] = following
                following = self.test.target(at, target)
            case LitmusInstruction("br" | "blr" | "ret" | "eret" as name, operands):
                there = (
                    registers.get(_ELR, 0) if name == "eret" else _read(registers, *(operands or (Register(30, True),)))
                )
                if not isinstance(there, CodeAddress):
                    return self._take_fault(state, thread, at)
                if name == "blr":
                    registers[30] = following
                if name == "eret":
                    memory = architecture.synchronise(memory, self.rules, thread)
                following = there
            case LitmusInstruction("udf"):
                return self._take_fault(state, thread, at)
            case _:
                raise AssertionError(f"{instruction} has no semantics")
        after = ThreadState(self._location(following), _nonzero(registers), running.faults)
        return _with_thread(state._replace(memory=memory), thread, after)

    def _take_fault(self, state: LitmusState, thread: int, at: CodeAddress) -> LitmusState:
        """The state after an exception: the thread continues in its handler, or ends."""
        running = state.threads[thread]
        end = self.test.ends[thread]
        handled = end < len(self.test.programs[thread])
        registers = {**dict(running.registers), _ELR: at}
        after = ThreadState(CodeAddress(thread, end) if handled else None, _nonzero(registers), (*running.faults, at))
        memory = architecture.synchronise(state.memory, self.rules, thread)
        return _with_thread(state._replace(memory=memory), thread, after)

    def _cell(
        self, registers: dict[int, LitmusValue], address: MemoryOperand, at: CodeAddress, *, stores: bool = False
    ) -> int:
        there = plus(_read(registers, address.base), _read(registers, address.offset))
        if isinstance(there, CodeAddress) and there not in self.units and self._location(there) is not None:
            raise ModifiedCodeError(there)
        if not isinstance(there, int) and there in self.cells:
            return self.cells[there]
        raise InputError(
            f"an access to {there}",
            file=self.test.file,
            place=self.test.places[at],
            expected="a location or an instruction of the test",
        )

    def _unit_cell(self, value: LitmusValue) -> int | None:
        """The cell of a unit; None for any other address, on which maintenance has no effect."""
        return self.cells[value] if isinstance(value, CodeAddress) and value in self.units else None

    def _is_code(self, cell: int) -> bool:
        return cell >= len(self.cells) - len(self.units)

    def _compute(self, name: str, at: CodeAddress, one: LitmusValue, other: LitmusValue) -> LitmusValue:
        if name == "eor" and one == other:
            return 0  # a dependency on any value
        if name == "and" and 0 in (one, other):
            return 0
        if isinstance(one, int) and isinstance(other, int):
            return _ARITHMETIC[name](one, other) & 0xFFFF_FFFF_FFFF_FFFF
        try:
            if name == "add":
                return plus(one, other)
            if name == "sub" and isinstance(other, int):
                return plus(one, -other & 0xFFFF_FFFF_FFFF_FFFF)
        except InputError as error:
            raise InputError(str(error), file=self.test.file, place=self.test.places[at]) from None
        raise InputError(
            f"{name} of {one} and {other}", file=self.test.file, place=self.test.places[at], expected="numbers"
        )


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "eor": operator.xor,
    "and": operator.and_,
    "orr": operator.or_,
}


def _with_thread(state: LitmusState, thread: int, running: ThreadState) -> LitmusState:
    return state._replace(threads=(*state.threads[:thread], running, *state.threads[thread + 1 :]))


def _nonzero(registers: dict[int, LitmusValue]) -> Registers:
    return tuple(sorted((number, value) for number, value in registers.items() if value != 0))


def _read(registers: dict[int, LitmusValue], operand: object) -> LitmusValue:
    if isinstance(operand, int):
        return operand & 0xFFFF_FFFF_FFFF_FFFF
    assert isinstance(operand, Register)
    value = registers.get(operand.number, 0)
    return value & 0xFFFF_FFFF if isinstance(value, int) and not operand.wide else value


def _write(registers: dict[int, LitmusValue], to: Register, value: LitmusValue) -> None:
    if to.number != 31:
        registers[to.number] = value & 0xFFFF_FFFF if isinstance(value, int) and not to.wide else value


def _flags(one: LitmusValue, other: LitmusValue, wide: bool) -> LitmusValue:
    """The flags NZCV in bits 3 to 0; bit 4 is set, so that the number is never 0."""
    if not (isinstance(one, int) and isinstance(other, int)):
        return 16 | (4 if one == other else 0)
    bits = 64 if wide else 32
    one, other = one & (1 << bits) - 1, other & (1 << bits) - 1
    result = one - other & (1 << bits) - 1
    sign = 1 << bits - 1
    negative, zero, carry = bool(result & sign), result == 0, one >= other
    overflow = bool((one ^ other) & (one ^ result) & sign)
    return 16 | negative << 3 | zero << 2 | carry << 1 | overflow


def _condition_holds(registers: dict[int, LitmusValue], condition: str) -> bool:
    flags = registers.get(_FLAGS, 16)
    assert isinstance(flags, int)
    n, z, c, v = (bool(flags >> bit & 1) for bit in (3, 2, 1, 0))
    return {
        "eq": z,
        "ne": not z,
        "cs": c,
        "cc": not c,
        "mi": n,
        "pl": not n,
        "vs": v,
        "vc": not v,
        "hi": c and not z,
        "ls": not (c and not z),
        "ge": n == v,
        "lt": n != v,
        "gt": not z and n == v,
        "le": z or n != v,
        "al": True,
    }[condition]


def _barrier_entries(kind: str) -> tuple[architecture.Entry[LitmusValue], ...]:
    """The store-buffer entries of a DMB; none for a load barrier, since loads are not reordered here."""
    if kind.endswith("ld"):
        return ()
    return (architecture.Order.STORES,) if kind.endswith("st") else (architecture.Order.FULL,)
