"""A protocol -> the model that the machine runs.

A unit is a cell; under an alias, where the instruction cache is indexed virtually, a second one that is stored together
with it.  What a thread executes in order is a block of its own: what it has fetched ahead is a run of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from bench.hosts import Host, load_host
from bench.program.compiler import Model
from bench.protocols.operations import Operation
from bench.protocols.protocol import Features, Protocol, Thread
from bench.protocols.rules import (
    Defer,
    Execute,
    Fence,
    FenceI,
    Interrupt,
    Look,
    Mask,
    Migrate,
    MmuOn,
    Poll,
    ResumeOthers,
    SetFlag,
    StopOthers,
    WaitFlag,
    digits,
)
from bench.scenarios import Role, Scenario
from bench.steps import Action, CleanLine, DropLines, Fetch, Get, Give, Label, Place, Put, Puts, Step, Take
from strategies.operations import Barrier, Scope, Sync

_WHOLE = (1 << 16) - 1

_BARE: dict[str, Action] = {
    "dsb": Barrier(),
    "isb": Sync(),
    "fence": Fence(),
    "fence.i": FenceI(),
    "membarrier": Interrupt(False, True),
    "defer": Defer(),
    "mmu-on": MmuOn(),
    "irq-off": Mask(True),
    "irq-on": Mask(False),
    "stop-others": StopOthers(),
    "poll-stop": Poll(),
    "resume-others": ResumeOthers(),
}


@cache
def _host(features: Features) -> Host:
    """A profile with the features that the machine asks for; what else it says is of no account here."""
    if features.architecture:
        return load_host(features.architecture)
    return load_host(
        "cortex-a72",
        (
            f"coherence.fill={features.fill}",
            f"coherence.snoop={features.snoop}",
            f"coherence.fetches_ahead={str(features.fetches_ahead).lower()}",
            f"store_buffer={features.store_buffer}",
            f"write_allocate={str(features.write_allocate).lower()}",
        ),
    )


@dataclass
class Program:
    """The automaton of one thread: a place is the next operation, and what was observed so far."""

    lowering: Lowering
    number: int
    thread: Thread
    role: Role = Role.RETRANSLATOR
    _numbers: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)
    _keys: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    _places: dict[int, Place] = field(default_factory=dict)

    def at(self, operation: int, observed: tuple[int, ...]) -> int:
        """The number of a place."""
        key = operation, observed
        if key not in self._numbers:
            self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return self._numbers[key]

    def place(self, number: int) -> Place:
        """Place number ``number``."""
        if number not in self._places:
            self._places[number] = self._build(*self._keys[number])
        return self._places[number]

    def operation(self, number: int) -> Operation:
        """The operation that is next at a place."""
        return self.thread.operations[self._keys[number][0]]

    def observed(self, number: int) -> tuple[str, ...]:
        """What was observed on the way to a place."""
        return tuple(self.lowering.values[value] for value in self._keys[number][1])

    def _build(self, at: int, observed: tuple[int, ...]) -> Place:
        operations = self.thread.operations
        following = sum(operation.verb == "execute" for operation in operations[:at])
        inside = self.number, following
        if at == len(operations):
            return Place((), inside, False, False, True)
        operation = operations[at]
        label = Label(operation.text)
        if not operation.observes:
            action = self.lowering.action(operation)
            return Place((Step(action, label, self.at(at + 1, observed)),), inside, False, False, False)
        count = len(operation.names)

        def then(result: int) -> int:
            values = digits(result, count)
            names = tuple(self.lowering.values[value] for value in values)
            return self.at(at + 1 + operation.skip(names), (*observed, *values))

        def wrong(result: int) -> bool:
            return not self._is_allowed(then(result))

        action = (
            Execute(Fetch(self.number, following, following), wrong)
            if operation.verb == "execute"
            else Look(self.lowering.get(operation.names[0]), (self.number, at), wrong)
        )
        return Place((Step(action, label, then),), inside, False, False, False)

    def _is_allowed(self, number: int) -> bool:
        """Whether what was observed can still become, or where nothing more will be is, an allowed sequence."""
        if self.thread.allowed is None:
            return True
        at, _ = self._keys[number]
        observed = self.observed(number)
        if not any(operation.observes for operation in self.thread.operations[at:]):
            return observed in self.thread.allowed
        return any(sequence[: len(observed)] == observed for sequence in self.thread.allowed)


class Lowering:
    """``model``, the lowered protocol; ``values`` by number, ``cells`` of each unit, ``names`` of each cell."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        features = protocol.features
        stored = (value for thread in protocol.threads for operation in thread.operations for value in operation.values)
        self.values = list(dict.fromkeys((*protocol.initial.values(), *protocol.coherency.values(), *stored)))
        self._value = {value: number for number, value in enumerate(self.values)}
        self._flags = list(protocol.flags)
        self._locks = list(
            dict.fromkeys(
                operation.names[0]
                for thread in protocol.threads
                for operation in thread.operations
                if operation.verb in ("lock", "unlock")
            )
        )
        self.names = self._cell_names()
        self.cells = {name: self._cells(name) for name in protocol.addresses}
        addresses = [protocol.addresses[name] for name in self.names]
        self.data_lines = sorted({address.physical // features.data_line for address in addresses})
        lines = [features.instruction_line(core) for core in range(features.cores)]
        virtual = features.icache == "vipt"
        at = [address.virtual if virtual else address.physical for address in addresses]
        self.code_lines = [sorted({place // line for place in at}) for line in lines]
        dline_of = tuple(self.data_lines.index(address.physical // features.data_line) for address in addresses)
        iline_of = tuple(
            tuple(known.index(place // line) for place in at)
            for known, line in zip(self.code_lines, lines, strict=True)
        )
        self.programs = tuple(Program(self, number, thread) for number, thread in enumerate(protocol.threads))
        initial = tuple(self._value[protocol.initial[name]] for name in self.names)
        coherency = {**protocol.initial, **protocol.coherency}
        self.model = Model(
            host=_host(features),
            scenario=Scenario("protocol", features.cores, (Role.RETRANSLATOR,) * len(protocol.threads), False, 0, 0, 0),
            final=initial,
            dline_of=dline_of,
            dline_cells=_members(dline_of, len(self.data_lines)),
            iline_of=iline_of,
            iline_cells=tuple(_members(of, len(known)) for of, known in zip(iline_of, self.code_lines, strict=True)),
            units=tuple(self._executed(thread) for thread in protocol.threads),
            unit_at=(),
            home=tuple(thread.core for thread in protocol.threads),
            locks=tuple(self._locks),
            programs=self.programs,
            starts=tuple(program.at(0, ()) for program in self.programs),
            warm=True,
            prompt=features.maintenance == "at once",
            flags=tuple(protocol.flags.values()),
            physical=sum(1 << core for core in protocol.mmu_off),
            coherency=tuple(self._value[coherency[name]] for name in self.names),
        )

    def _cell_names(self) -> list[str]:
        """One name for each cell; an alias has one of its own only where it has an instruction line of its own."""
        found: list[str] = []
        taken: set[int] = set()
        for name, address in self.protocol.addresses.items():
            if self.protocol.features.icache == "vipt" or address.physical not in taken:
                found.append(name)
                taken.add(address.physical)
        return found

    def _cells(self, name: str) -> tuple[int, ...]:
        """The cell of a unit first, and then those that are the same memory."""
        address = self.protocol.addresses[name]
        same = [
            number
            for number, other in enumerate(self.names)
            if self.protocol.addresses[other].physical == address.physical
        ]
        return tuple(sorted(same, key=lambda number: self.names[number] != name))

    def _executed(self, thread: Thread) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(self.cells[name][0] for name in operation.names)
            for operation in thread.operations
            if operation.verb == "execute"
        )

    def get(self, name: str) -> Get:
        """The load of a unit."""
        cell = self.cells[name][0]
        return Get((cell,), (self._data_line(name),))

    def _data_line(self, name: str) -> int:
        return self.data_lines.index(self.protocol.addresses[name].physical // self.protocol.features.data_line)

    def action(self, operation: Operation) -> Action:
        """What an operation that observes nothing is to the machine."""
        if operation.verb in _BARE:
            return _BARE[operation.verb]
        match operation.verb:
            case "store":
                puts = tuple(
                    Put(cell, _WHOLE, self._value[value])
                    for name, value in zip(operation.names, operation.values, strict=True)
                    for cell in self.cells[name]
                )
                return puts[0] if len(puts) == 1 else Puts(puts)
            case "clean":
                return CleanLine(self._data_line(operation.names[0]))
            case "invalidate":
                return DropLines(self._code_lines(operation.names[0]), _scope(operation), False)
            case "invalidate-all":
                every = tuple(tuple(range(len(known))) for known in self.code_lines)
                return DropLines(every, _scope(operation), False)
            case "ipi":
                return Interrupt(operation.word == "fence.i", False)
            case "migrate":
                return Migrate(operation.number)
            case "set":
                return SetFlag(self._flags.index(operation.names[0]), operation.number)
            case "wait":
                return WaitFlag(self._flags.index(operation.names[0]), operation.number)
            case "lock":
                return Take(self._locks.index(operation.names[0]), operation.word == "shared")
            case "unlock":
                return Give(self._locks.index(operation.names[0]))
        raise AssertionError(f"{operation.verb} observes something")

    def _code_lines(self, name: str) -> tuple[tuple[int, ...], ...]:
        """The instruction line of a unit on each core."""
        features = self.protocol.features
        address = self.protocol.addresses[name]
        at = address.virtual if features.icache == "vipt" else address.physical
        return tuple(
            (known.index(at // features.instruction_line(core)),) for core, known in enumerate(self.code_lines)
        )


def _scope(operation: Operation) -> Scope:
    return Scope.LOCAL if operation.word == "local" else Scope.BROADCAST


def _members(line_of: Sequence[int], lines: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(cell for cell, line in enumerate(line_of) if line == number) for number in range(lines))
