"""A protocol -> the model that the machine runs.

A unit is a cell; under an alias, where the instruction cache is indexed virtually, a second one that is stored together
with it.  What a thread executes in order is a block of its own: what it has fetched ahead is a run of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.machine import actions
from bench.machine.caches import Features
from bench.machine.cells import ANYTHING, NEVER_FETCHED, Cells, Lines
from bench.machine.memory import Put, Stored
from bench.machine.model import Action, Does, Label, Model, Place, Step
from bench.machine.opcodes import DEFAULT_SIZE
from bench.program.layout import CacheLines, Span
from bench.protocols.operations import Operation
from bench.protocols.protocol import Protocol, Thread
from bench.scenarios import Role, Scenario
from strategies.operations import Scope

_WHOLE = (1 << 16) - 1

UNDEFINED = "anything"
"""What an instruction is of whose change an architecture says nothing."""

_BARE: dict[str, Action] = {
    "dsb": actions.DataBarrier(),
    "isb": actions.SyncContext(),
    "fence": actions.StoreBarrier(),
    "fence.i": actions.FenceI(),
    "membarrier": actions.InterruptCores(lines=False, own=True),
    "defer": actions.DeferToMove(),
    "mmu-on": actions.EnableMmu(),
    "irq-off": actions.MaskInterrupts(True),
    "irq-on": actions.MaskInterrupts(False),
    "stop-others": actions.StopOthers(),
    "poll-stop": actions.PollStop(),
    "resume-others": actions.ResumeOthers(),
}


@dataclass
class ThreadProgram:
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
        return tuple(map(self.lowering.name, self._keys[number][1]))

    def _build(self, at: int, observed: tuple[int, ...]) -> Place:
        operations = self.thread.operations
        following = sum(operation.verb == "execute" for operation in operations[:at])
        inside = self.number, following
        if at == len(operations):
            return Place((), inside, False, False, True)
        operation = operations[at]
        label = Label(Does.OPERATION, name=operation.text)
        if not operation.observes:
            action = self.lowering.action(operation)
            return Place((Step(action, label, self.at(at + 1, observed)),), inside, False, False, False)
        count = len(operation.names)

        def then(result: int) -> int:
            values = actions.digits(result, count)
            names = tuple(map(self.lowering.name, values))
            return self.at(at + 1 + operation.skip(names), (*observed, *values))

        def wrong(result: int) -> bool:
            return ANYTHING in actions.digits(result, count) or not self._is_allowed(then(result))

        action = (
            actions.ExecuteUnits(self.number, following, wrong)
            if operation.verb == "execute"
            else actions.ObserveUnit(self.lowering.load(operation.names[0]), (self.number, at), wrong)
        )
        return Place((Step(action, label, then),), inside, False, False, False)

    def _is_allowed(self, number: int) -> bool:
        """Whether what was observed can still become, or where nothing more will be is, an allowed sequence."""
        at, _ = self._keys[number]
        finished = not any(operation.observes for operation in self.thread.operations[at:])
        return self.thread.allows(self.observed(number), finished=finished)


class Lowering:
    """``model``, the lowered protocol; ``values`` by number, ``cells`` of each unit, ``names`` of each cell."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        host = protocol.host
        self.values = protocol.values
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
        self._dlines = CacheLines([protocol.addresses[name].physical for name in self.names], host.data_line)
        self._ilines = [self._instruction_lines(core) for core in range(host.cores)]
        self.programs = tuple(ThreadProgram(self, number, thread) for number, thread in enumerate(protocol.threads))
        initial = tuple(self._value[protocol.initial[name]] for name in self.names)
        coherency = {**protocol.initial, **protocol.coherency}
        self.model = Model(
            cells=Cells(
                final=initial,
                dline_of=self._dlines.of,
                dline_cells=self._dlines.cells,
                iline_of=tuple(of for _, of, _ in self._ilines),
                iline_cells=tuple(cells for _, _, cells in self._ilines),
                units=tuple(self._executed(thread) for thread in protocol.threads),
                warm=protocol.warm,
                mmu_off=sum(1 << core for core in protocol.mmu_off),
                coherency=tuple(self._value[coherency[name]] for name in self.names),
                places=tuple((protocol.addresses[name].physical, self._size(name)) for name in self.names),
                instructions={
                    self._value[value]: read for value, read in protocol.instructions.items() if value in self._value
                },
            ),
            rules=host.rules,
            scenario=Scenario("protocol", host.cores, (Role.RETRANSLATOR,) * len(protocol.threads), False, 0, 0, 0),
            unit_at=((),) * len(protocol.threads),
            home=tuple(thread.core for thread in protocol.threads),
            locks=tuple(self._locks),
            programs=self.programs,
            starts=tuple(program.at(0, ()) for program in self.programs),
            flags=tuple(protocol.flags.values()),
        )

    def name(self, value: int) -> str:
        """What a value is called."""
        return UNDEFINED if value == ANYTHING else self.values[value]

    def _size(self, name: str) -> int:
        """Bytes of a unit: as many as what is there at the start has."""
        first = self.protocol.instructions.get(self.protocol.initial[name])
        return first.size if first is not None else DEFAULT_SIZE

    def _cell_names(self) -> list[str]:
        """One name for each cell; an alias has one of its own only where it has an instruction line of its own."""
        found: list[str] = []
        taken: set[int] = set()
        for name, address in self.protocol.addresses.items():
            if self.protocol.host.icache == "vipt" or address.physical not in taken:
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

    def _instruction_lines(self, core: int) -> tuple[CacheLines, tuple[int, ...], Lines]:
        """The lines of a core's instruction cache, each cell's line, the cells of each.

        On a host only lines with what a thread fetches there: what else is in the cache changes nothing.
        """
        threads = [
            thread
            for thread in self.protocol.threads
            if core in (thread.core, *(one.number for one in thread.operations if one.verb == "migrate"))
        ]
        fetched = {cell for thread in threads for unit in self._executed(thread) for cell in unit}
        if not isinstance(self.protocol.host.rules, Features):
            fetched = {*range(len(self.names))}
        cells = sorted(fetched)
        known = CacheLines(
            [self._fetched_at(self.names[cell]) for cell in cells], self.protocol.host.instruction_line(core)
        )
        lines = dict(zip(cells, known.of, strict=True))
        of = tuple(lines.get(cell, NEVER_FETCHED) for cell in range(len(self.names)))
        return known, of, tuple(tuple(cells[at] for at in line) for line in known.cells)

    def load(self, name: str) -> actions.LoadUnit:
        """The load of a unit."""
        cell = self.cells[name][0]
        return actions.LoadUnit((cell,), (self._data_line(name),))

    def _data_line(self, name: str) -> int:
        return self._dlines.number(self.protocol.addresses[name].physical)

    def _fetched_at(self, name: str) -> int:
        """The address that indexes the instruction cache."""
        address = self.protocol.addresses[name]
        return address.virtual if self.protocol.host.icache == "vipt" else address.physical

    def action(self, operation: Operation) -> Action:
        """What an operation that observes nothing is to the machine."""
        if operation.verb in _BARE:
            return _BARE[operation.verb]
        match operation.verb:
            case "store":
                puts = tuple(
                    Put(cell, self._value[value], _WHOLE, alias=number > 0)
                    for name, value in zip(operation.names, operation.values, strict=True)
                    for number, cell in enumerate(self.cells[name])
                )
                return actions.IssueStore(Stored(puts))
            case "clean":
                return actions.CleanLine(self._data_line(operation.names[0]))
            case "invalidate":
                at = self._fetched_at(operation.names[0])
                lines = tuple(known.touched([Span(at, 1)]) for known, _, _ in self._ilines)
                return actions.InvalidateLines(lines, _scope(operation), False)
            case "invalidate-all":
                return actions.InvalidateLines(
                    tuple(known.all for known, _, _ in self._ilines), _scope(operation), False
                )
            case "ipi":
                return actions.InterruptCores(lines=operation.word == "fence.i", own=False)
            case "migrate":
                return actions.MoveTo(operation.number)
            case "set":
                return actions.SetFlag(self._flags.index(operation.names[0]), operation.number)
            case "wait":
                return actions.WaitFlag(self._flags.index(operation.names[0]), operation.number)
            case "lock":
                return actions.AcquireLock(self._locks.index(operation.names[0]), operation.word == "shared")
            case "unlock":
                return actions.ReleaseLock(self._locks.index(operation.names[0]))
        raise AssertionError(f"{operation.verb} observes something")


def _scope(operation: Operation) -> Scope:
    return Scope.LOCAL if operation.word == "local" else Scope.BROADCAST
