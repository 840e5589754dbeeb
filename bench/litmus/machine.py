"""The threads of a litmus test on the rules of the architecture.

What concerns nobody else, a thread does at once: it is always before a load, a fetch that can return several values, a
barrier that has to wait, or at its end.  That loses nothing, since it commutes with all that others do.

An instruction that no store reaches is what the test says.  The others are *units*: cells that are fetched.  A core
fetches ahead along any path that the code between units allows, past branches whatever they depend on, and not past a
context synchronisation; what a return or a branch to a register leads to it may guess among the returns and the
addresses of code that the test has.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from bench.litmus.condition import Fault, Reg, Where, spoken_of
from bench.litmus.instructions import UNDEFINED, Address, Instruction, Register, Target, UnknownError, decode, encode
from bench.litmus.reader import Test
from bench.litmus.values import Code, Data, Value, plus
from bench.machine.architecture import (
    Ahead,
    CleanCell,
    Entry,
    Histories,
    InvalidateCell,
    Order,
    Rules,
    at_start,
    completions,
    fetch,
    fetch_ahead,
    fetchable,
    issue,
    load,
    newest,
    puts_of,
    synchronise,
    waits,
)
from bench.machine.memory import Put
from bench.support.errors import InputError

MOST_AHEAD = 4
"""Units in a queue."""
_AT_ONCE = 10_000
"""Instructions that a thread does at once before it is taken to do so for ever."""

Registers: TypeAlias = tuple[tuple[int, Value], ...]
"""The registers that are not 0, by number: 0 to 30; ``_FLAGS``, what the last comparison compared; ``_ELR``."""
_FLAGS, _ELR = 32, 33


Here: TypeAlias = Histories[Code, Value]
"""Units by where they are; cells hold what registers do."""


class Running(NamedTuple):
    """A thread: where it is, or None when it has ended; its registers; and the faults that it has taken."""

    at: Code | None
    registers: Registers
    faults: tuple[Code, ...] = ()


class State(NamedTuple):
    """All threads, and memory."""

    threads: tuple[Running, ...]
    memory: Here


class StoredError(Exception):
    """A store reaches an instruction that was not taken for a unit; the argument is where it is."""


@dataclass
class Machine:
    """A test under some rules; ``units``: instructions that may be stored to."""

    test: Test
    rules: Rules
    units: frozenset[Code] = frozenset()
    cells: dict[Data | Code, int] = field(default_factory=dict)
    _ahead: dict[Code, tuple[Code, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = (*self.test.registers.values(), *self.test.memory.values())
        condition = self.test.condition
        everything = (*self.test.memory, *named, *spoken_of(condition.proposition), *condition.shown)
        places: list[Data | Code] = [*sorted({place for place in everything if isinstance(place, Data)})]
        places += sorted(self.units)
        self.cells = {place: cell for cell, place in enumerate(places)}
        targets = [value for value in named if isinstance(value, Code)]
        self._returns: list[Code] = []
        for thread, program in enumerate(self.test.programs):
            for at, instruction in enumerate(program):
                if instruction.name in ("bl", "blr"):
                    self._returns.append(Code(thread, at + 1))
                if instruction.name == "adr":
                    targets.append(self._target(Code(thread, at), instruction))
        links = (value for where, value in self.test.registers.items() if where.number == 30)
        self._returns += [value for value in links if isinstance(value, Code)]
        self._targets = list(dict.fromkeys(targets))

    # - states

    def start(self) -> State:
        """The initial state, all threads as far as they come by themselves."""
        values = [
            self._word(place) if isinstance(place, Code) else self.test.memory.get(place, 0) for place in self.cells
        ]
        code = {cell for place, cell in self.cells.items() if isinstance(place, Code)}
        count = len(self.test.programs)
        threads = []
        for thread in range(count):
            registers = {where.number: value for where, value in self.test.registers.items() if where.thread == thread}
            threads.append(Running(self._inside(Code(thread, 0)), _kept(registers)))
        state = State(tuple(threads), at_start(tuple(values), count, code))
        for thread in range(count):
            state = self._along(state, thread)
        return state

    def after(self, state: State) -> Iterator[State]:
        """Every state after one more step."""
        for thread, running in enumerate(state.threads):
            if running.at is not None:
                yield from self._step(state, thread, running.at)
        for core, entry, memory in completions(state.memory, self.rules):
            for ahead in self._before(state, entry, memory):
                following = state._replace(memory=memory._replace(ahead=ahead))
                yield self._along(following, core)

    def _before(
        self, state: State, entry: Entry[Value], memory: Here
    ) -> Iterator[tuple[tuple[Ahead[Code, Value], ...], ...]]:
        """All that cores may have fetched ahead before ``entry`` makes ``memory`` of it.

        What is fetched ahead otherwise may as well be fetched later: only here some value can be fetched no longer.
        """
        cells = {put.cell for put in puts_of(entry)}
        if isinstance(entry, InvalidateCell) and self.rules.keeps:
            cells = {entry.cell}
        queues = [[queue] for queue in memory.ahead]
        for cell in cells:
            for core, running in enumerate(state.threads):
                now, then = (fetchable(each, self.rules, core, cell) for each in (state.memory, memory))
                if not set(now) <= set(then):
                    queues[core] = self._queues(state.memory, core, running.at, cell)
        yield from itertools.product(*queues)

    def _queues(self, memory: Here, core: int, at: Code | None, cell: int) -> list[tuple[Ahead[Code, Value], ...]]:
        """The queues of a core as it is, and with that cell fetched ahead last."""
        found = [memory.ahead[core]]
        pending = [memory]
        while pending:
            for following in self._fetch_ahead(pending.pop(), core, at):
                pending.append(following)
                if self.cells[following.ahead[core][-1][0]] == cell:
                    found.append(following.ahead[core])
        return found

    def ended(self, state: State) -> bool:
        """Whether all threads have ended and all stores are visible."""
        return all(running.at is None for running in state.threads) and not any(
            isinstance(entry, Put) for buffer in state.memory.buffers for entry in buffer
        )

    def seen(self, state: State, where: Where) -> Value:
        """What a final state says of a register, a location or a fault."""
        if isinstance(where, Reg):
            return dict(state.threads[where.thread].registers).get(where.number, 0)
        if isinstance(where, Fault):
            faults = state.threads[where.thread].faults
            labels = self.test.labels[where.thread]
            return int(any(not where.label or at == Code(where.thread, labels[where.label]) for at in faults))
        return newest(state.memory, self.cells[where])

    # - fetching

    def _word(self, at: Code) -> Value:
        """What an instruction is as a word; one with a label, by where that is."""
        instruction = self._original(at)
        operands = tuple(
            Target("", self.test.target(at, operand).at - at.at) if isinstance(operand, Target) else operand
            for operand in instruction.operands
        )
        word = encode(Instruction(instruction.name, operands))
        # One that has no word here stands for itself: loaded, it compares equal to nothing else.
        return at if word is None else word

    def _original(self, at: Code) -> Instruction:
        return self.test.programs[at.thread][at.at]

    def _instruction(self, at: Code, word: Value) -> Instruction:
        """The instruction that was fetched."""
        if isinstance(word, Code):  # one that has no word here, as it is wherever it is copied to
            return self._original(word)
        if word == self._word(at):
            return self._original(at)
        if not isinstance(word, int):
            return UNDEFINED
        try:
            return decode(word & 0xFFFF_FFFF)
        except UnknownError as error:
            raise InputError(
                f"the word {word:#x} is {error}",
                file=self.test.file,
                place=self.test.places[at],
                expected="an instruction that is known (docs/litmus.md)",
            ) from None

    def _inside(self, at: Code) -> Code | None:
        """Where a thread goes on, or None where a program ends there."""
        if at.at == self.test.ends[at.thread] or not 0 <= at.at < len(self.test.programs[at.thread]):
            return None
        return at

    def _fetch_ahead(self, memory: Here, core: int, at: Code | None) -> Iterator[Here]:
        """One more unit in the queue of a core."""
        queue = memory.ahead[core]
        if at is None or len(queue) == MOST_AHEAD:
            return
        starts: tuple[Code, ...] = (at,)
        if queue:
            unit, (word,) = queue[-1]
            starts = self._successors(unit, self._instruction(unit, word))
        for unit in dict.fromkeys(itertools.chain.from_iterable(map(self._next_units, starts))):
            yield from fetch_ahead(memory, self.rules, core, unit, (self.cells[unit],))

    def _next_units(self, at: Code) -> tuple[Code, ...]:
        """The units that a core may come to from there without another in between."""
        if at not in self._ahead:
            found: list[Code] = []
            seen = {at}
            pending = [at]
            while pending:
                here = pending.pop()
                if self._inside(here) is None:
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

    def _successors(self, at: Code, instruction: Instruction) -> tuple[Code, ...]:
        """Where a core may look for what comes next; nowhere past a context synchronisation."""
        following = Code(at.thread, at.at + 1)
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

    def _target(self, at: Code, instruction: Instruction) -> Code:
        target = instruction.operands[-1]
        assert isinstance(target, Target)
        return self.test.target(at, target)

    # - steps

    def _step(self, state: State, thread: int, at: Code) -> Iterator[State]:
        """The step of a thread that cannot go on by itself: a fetch, a load, or nothing while it waits."""
        if at in self.units:
            for memory, (word,) in fetch(state.memory, self.rules, thread, at, (self.cells[at],)):
                done = self._done(state._replace(memory=memory), thread, at, self._instruction(at, word))
                if done is not None:
                    yield self._along(done, thread)
            return
        done = self._done(state, thread, at, self._original(at))
        if done is not None:
            yield self._along(done, thread)

    def _along(self, state: State, thread: int) -> State:
        """The state when a thread has done all that concerns nobody else."""
        for _ in range(_AT_ONCE):
            at = state.threads[thread].at
            if at is None or at in self.units:
                return state
            instruction = self._original(at)
            if instruction.name in ("ldr", "ldar", "ldapr"):
                return state
            done = self._done(state, thread, at, instruction)
            if done is None:
                return state
            state = done
        return _with(state, thread, state.threads[thread]._replace(at=None, faults=(_LOST,)))

    def _done(self, state: State, thread: int, at: Code, instruction: Instruction) -> State | None:
        """The state after an instruction; None while it has to wait."""
        running = state.threads[thread]
        registers = dict(running.registers)
        memory = state.memory
        following = Code(at.thread, at.at + 1)
        match instruction:
            case Instruction("nop"):
                pass
            case Instruction("mov" | "movz", (Register() as to, source)):
                _write(registers, to, _read(registers, source))
            case Instruction("add" | "sub" | "eor" | "and" | "orr" as name, (Register() as to, one, other)):
                _write(registers, to, self._computed(name, at, _read(registers, one), _read(registers, other)))
            case Instruction("cmp", (one, other)):
                wide = isinstance(one, Register) and one.wide
                registers[_FLAGS] = _compared(_read(registers, one), _read(registers, other), wide)
            case Instruction("cset", (Register() as to, str() as condition)):
                _write(registers, to, int(_is(registers, condition)))
            case Instruction("csel", (Register() as to, one, other, str() as condition)):
                _write(registers, to, _read(registers, one if _is(registers, condition) else other))
            case Instruction("adr", (Register() as to, Target() as target)):
                _write(registers, to, self.test.target(at, target))
            case Instruction("mrs", (Register() as to, _)):
                _write(registers, to, registers.get(_ELR, 0))
            case Instruction("msr", (_, source)):
                registers[_ELR] = _read(registers, source)
            case Instruction("ldr" | "ldar" | "ldapr" as name, (Register() as to, Address() as address)):
                cell = self._cell(registers, address, at)
                loaded = load(memory, thread, cell, acquire=name == "ldar")
                if loaded is None:
                    return None
                _write(registers, to, loaded)
            case Instruction("str" | "stlr" as name, (Register() as source, Address() as address)):
                cell = self._cell(registers, address, at, stores=True)
                value = _read(registers, source)
                put = Put(cell, value & 0xFFFF_FFFF if isinstance(value, int) and self._is_code(cell) else value)
                memory = issue(memory, thread, *([Order.RELEASE] if name == "stlr" else []), put)
            case Instruction("dc", (str(), source)):
                if (found := self._unit_cell(_read(registers, source))) is not None:
                    memory = issue(memory, thread, CleanCell(found))
            case Instruction("ic", operands):
                cores = frozenset({thread} if operands[0] == "iallu" else range(len(state.threads)))
                cells = [self.cells[unit] for unit in self.units]
                if operands[0] == "ivau":
                    found = self._unit_cell(_read(registers, operands[1]))
                    cells = [] if found is None else [found]
                memory = issue(memory, thread, *(InvalidateCell(cell, cores) for cell in cells))
            case Instruction("dmb", (str() as kind,)):
                memory = issue(memory, thread, *_ordered(kind))
            case Instruction("dsb", (str() as kind,)):
                if not kind.endswith("ld") and waits(
                    memory, thread, stores_only=kind.endswith("st"), own_core_only=kind.startswith("nsh")
                ):
                    return None
            case Instruction("isb"):
                memory = synchronise(memory, self.rules, thread)
            case Instruction("b", (Target() as target,)):
                following = self.test.target(at, target)
            case Instruction("b.cond", (str() as condition, Target() as target)):
                if _is(registers, condition):
                    following = self.test.target(at, target)
            case Instruction("cbz" | "cbnz" as name, (Register() as source, Target() as target)):
                if (_read(registers, source) == 0) is (name == "cbz"):
                    following = self.test.target(at, target)
            case Instruction("bl", (Target() as target,)):
                registers[30] = following
                following = self.test.target(at, target)
            case Instruction("br" | "blr" | "ret" | "eret" as name, operands):
                there = (
                    registers.get(_ELR, 0) if name == "eret" else _read(registers, *(operands or (Register(30, True),)))
                )
                if not isinstance(there, Code):
                    return self._faulted(state, thread, at)
                if name == "blr":
                    registers[30] = following
                if name == "eret":
                    memory = synchronise(memory, self.rules, thread)
                following = there
            case Instruction("udf"):
                return self._faulted(state, thread, at)
            case _:
                raise AssertionError(f"{instruction} is read and has no meaning")
        after = Running(self._inside(following), _kept(registers), running.faults)
        return _with(state._replace(memory=memory), thread, after)

    def _faulted(self, state: State, thread: int, at: Code) -> State:
        """An exception: the thread goes on in its handler, or ends."""
        running = state.threads[thread]
        end = self.test.ends[thread]
        handled = end < len(self.test.programs[thread])
        registers = {**dict(running.registers), _ELR: at}
        after = Running(Code(thread, end) if handled else None, _kept(registers), (*running.faults, at))
        memory = synchronise(state.memory, self.rules, thread)
        return _with(state._replace(memory=memory), thread, after)

    def _cell(self, registers: dict[int, Value], address: Address, at: Code, *, stores: bool = False) -> int:
        there = plus(_read(registers, address.base), _read(registers, address.offset))
        if isinstance(there, Code) and there not in self.units and self._inside(there) is not None:
            raise StoredError(there)
        if not isinstance(there, int) and there in self.cells:
            return self.cells[there]
        raise InputError(
            f"an access to {there}",
            file=self.test.file,
            place=self.test.places[at],
            expected="a location or an instruction of the test",
        )

    def _unit_cell(self, value: Value) -> int | None:
        """The cell of an instruction that is stored to; maintenance of anything else does nothing here."""
        return self.cells[value] if isinstance(value, Code) and value in self.units else None

    def _is_code(self, cell: int) -> bool:
        return cell >= len(self.cells) - len(self.units)

    def _computed(self, name: str, at: Code, one: Value, other: Value) -> Value:
        if name == "eor" and one == other:
            return 0  # a dependency, whatever the value
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

_LOST = Code(-1, 0)
"""The fault of a thread that goes on by itself for ever."""


def _with(state: State, thread: int, running: Running) -> State:
    return state._replace(threads=(*state.threads[:thread], running, *state.threads[thread + 1 :]))


def _kept(registers: dict[int, Value]) -> Registers:
    return tuple(sorted((number, value) for number, value in registers.items() if value != 0))


def _read(registers: dict[int, Value], operand: object) -> Value:
    if isinstance(operand, int):
        return operand & 0xFFFF_FFFF_FFFF_FFFF
    assert isinstance(operand, Register)
    value = registers.get(operand.number, 0)
    return value & 0xFFFF_FFFF if isinstance(value, int) and not operand.wide else value


def _write(registers: dict[int, Value], to: Register, value: Value) -> None:
    if to.number != 31:
        registers[to.number] = value & 0xFFFF_FFFF if isinstance(value, int) and not to.wide else value


def _compared(one: Value, other: Value, wide: bool) -> Value:
    """The flags NZCV as the bits of a number, and bit 4, so that they are never all 0."""
    if not (isinstance(one, int) and isinstance(other, int)):
        return 16 | (4 if one == other else 0)
    bits = 64 if wide else 32
    one, other = one & (1 << bits) - 1, other & (1 << bits) - 1
    result = one - other & (1 << bits) - 1
    sign = 1 << bits - 1
    negative, zero, carry = bool(result & sign), result == 0, one >= other
    overflow = bool((one ^ other) & (one ^ result) & sign)
    return 16 | negative << 3 | zero << 2 | carry << 1 | overflow


def _is(registers: dict[int, Value], condition: str) -> bool:
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


def _ordered(kind: str) -> tuple[Entry[Value], ...]:
    """What a DMB puts in the buffer: one for loads orders what is never reordered here."""
    if kind.endswith("ld"):
        return ()
    return (Order.STORES,) if kind.endswith("st") else (Order.FULL,)
