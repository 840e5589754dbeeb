"""A protocol -> the model that the machine runs.

A unit is a cell, or one for each line of the host that it lies in; on an architecture, for each aligned block inside
which an access is single-copy atomic.  No store to two of them is atomic, nor is a load or a fetch.
Under an alias, where the instruction cache is indexed virtually, there is a second cell that is stored together with
the first.  What a thread executes in order is a block of its own: what it has fetched ahead is a run of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.machine import actions
from bench.machine.architecture import is_aligned
from bench.machine.caches import Features
from bench.machine.cells import ABSENT, ANYTHING, EXECUTABLE, FAULT, NEVER_FETCHED, PROTECTED, TORN, Cells, Lines
from bench.machine.memory import Put, Stored
from bench.machine.model import Action, Does, Label, Model, Place, Step
from bench.machine.opcodes import DEFAULT_SIZE, executed, is_alone
from bench.program.layout import CacheLines, Span
from bench.protocols.operations import PAGE_STATES, ProtocolOperation
from bench.protocols.protocol import FAULT_TEXT, PAGE_SIZE, Protocol, Thread
from bench.scenarios import Role, Scenario
from strategies.operations import Scope

_WHOLE = (1 << 16) - 1

UNDEFINED = "anything"
"""What an instruction is of whose change an architecture says nothing."""

TORN_TEXT = "torn"
"""What parts of several values are."""

_UNSAID = {ANYTHING: UNDEFINED, TORN: TORN_TEXT, FAULT: FAULT_TEXT}
"""What values are called that no store has: that one, one of parts of different values, and no value at all."""

_PAGE_NAMES = {EXECUTABLE: "executable", PROTECTED: "protected", ABSENT: "absent"}

_PAGE_TABLE = 1 << 20
"""The address of the first entry: above all units."""

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
    "stop-anywhere": actions.StopAnywhere(),
}


_Done = frozenset[tuple[int, int]]
"""The parts of an operation that are done, each with what came of it (0: nothing)."""

_Key = tuple[int, tuple[int, ...], _Done]


class UnitPart(NamedTuple):
    """What of a unit lies in one line, or in one block of an architecture: from which byte of it on."""

    unit: str
    offset: int


@dataclass
class ThreadProgram:
    """The automaton of one thread: a place is the next operation, and what was observed so far."""

    lowering: Lowering
    number: int
    thread: Thread
    role: Role = Role.RETRANSLATOR
    _numbers: dict[_Key, int] = field(default_factory=dict)
    _keys: list[_Key] = field(default_factory=list)
    _places: dict[int, Place] = field(default_factory=dict)

    def at(self, operation: int, observed: tuple[int, ...], done: _Done = frozenset()) -> int:
        """The number of a place: the next operation, what was observed, and what of the operation is done."""
        key = operation, observed, done
        if key not in self._numbers:
            self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return self._numbers[key]

    def place(self, number: int) -> Place:
        """Place number ``number``."""
        if number not in self._places:
            self._places[number] = self._build(*self._keys[number])
        return self._places[number]

    def operation(self, number: int) -> ProtocolOperation:
        """The operation that is next at a place."""
        return self.thread.operations[self._keys[number][0]]

    def observed(self, number: int) -> tuple[str, ...]:
        """What was observed on the way to a place."""
        return tuple(map(self.lowering.name, self._keys[number][1]))

    def _build(self, at: int, observed: tuple[int, ...], done: _Done) -> Place:
        operations = self.thread.operations
        following = sum(operation.verb == "execute" for operation in operations[:at])
        inside = self.number, following
        if at == len(operations):
            return Place((), inside, False, False, True)
        operation = operations[at]
        label = Label(Does.OPERATION, name=operation.text)
        some = self.lowering.doing(operation) if operation.verb != "execute" else (None,)
        steps = []
        for number, part in enumerate(some):
            if number in dict(done):
                continue

            def then(result: int, number: int = number) -> int:
                return self._after(at, observed, done | {(number, result)}, len(some))

            def wrong(result: int, number: int = number) -> bool:
                return self._is_wrong(at, then(result, number))

            match part:
                case None:
                    steps.append(Step(actions.ExecuteUnits(self.number, following, wrong), label, then))
                case actions.LoadUnit():
                    steps.append(Step(actions.ObserveUnit(part, (self.number, at), wrong), label, then))
                case _:
                    steps.append(Step(part, label, then(0)))
        return Place(tuple(steps), inside, False, False, False)

    def _after(self, at: int, observed: tuple[int, ...], done: _Done, parts: int) -> int:
        """The place after so much of an operation is done."""
        if len(done) < parts:
            return self.at(at, observed, done)
        operation = self.thread.operations[at]
        values = self.lowering.observed(operation, actions.composed(dict(done))) if operation.observes else ()
        return self.at(at + 1 + operation.skip(tuple(map(self.lowering.name, values))), (*observed, *values))

    def _is_wrong(self, at: int, number: int) -> bool:
        """Whether a place after operation ``at``, all parts of which are done, can only be reached wrongly."""
        now, observed, _ = self._keys[number]
        return now != at and (bool({ANYTHING, TORN} & {*observed}) or not self._is_allowed(number))

    def _is_allowed(self, number: int) -> bool:
        """Whether what was observed can still become, or where nothing more will be is, an allowed sequence."""
        at, _, _ = self._keys[number]
        finished = not any(operation.observes for operation in self.thread.operations[at:])
        return self.thread.allows(self.observed(number), finished=finished)


class Lowering:
    """``model``, the lowered protocol; ``values`` by number; ``parts`` and ``names`` of each cell."""

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
        self._sizes = {name: self._size(name) for name in protocol.addresses}
        self.parts = self._cell_parts()
        pages = protocol.translated
        self._pages = {page: cell for cell, page in enumerate(pages, len(self.parts))}
        self.names = [f"{unit}+{offset}" if offset else unit for unit, offset in self.parts]
        self.names += [f"page {page}" for page in pages]
        self._at = [protocol.addresses[unit].physical + offset for unit, offset in self.parts]
        self._at += [_PAGE_TABLE + PAGE_SIZE * page for page in pages]
        self._dlines = CacheLines(self._at, host.data_line)
        self._ilines = [self._instruction_lines(core) for core in range(host.cores)]
        self.programs = tuple(ThreadProgram(self, number, thread) for number, thread in enumerate(protocol.threads))
        initial = (*(self._value[protocol.initial[unit]] for unit, _ in self.parts), *pages.values())
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
                coherency=(*(self._value[coherency[unit]] for unit, _ in self.parts), *pages.values()),
                places=tuple((protocol.addresses[unit].physical, self._sizes[unit]) for unit, _ in self.parts),
                instructions={
                    self._value[value]: read for value, read in protocol.instructions.items() if value in self._value
                },
                pages=frozenset(self._pages.values()),
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
        return _UNSAID.get(value) or self.values[value]

    def content(self, cell: int, value: int) -> str:
        """What is in a cell."""
        return _PAGE_NAMES[value] if cell in self.model.cells.pages else self.values[value]

    def observed(self, operation: ProtocolOperation, result: int) -> tuple[int, ...]:
        """The value of each unit that an operation observes, from what it observes of their parts."""
        cells = [self._fetched(name) if operation.verb == "execute" else self._cells(name) for name in operation.names]
        digits = actions.digits(result, sum(map(len, cells)))
        if self.model.cells.faults(tuple(itertools.chain.from_iterable(cells)), digits):
            return (FAULT,) * len(cells)
        values = iter(digits)
        found = []
        for name, some in zip(operation.names, cells, strict=True):
            held = zip(some, itertools.islice(values, len(some)), strict=True)
            values_of = tuple(value for cell, value in held if cell not in self.model.cells.pages)
            found.append(self._joined(name, values_of, executes=operation.verb == "execute"))
        if len(found) > 1 and is_alone(self.protocol.instructions.get(self.name(found[0]))):
            # What lies behind an instruction of one byte is not executed: whatever it is, it is as at the start.
            initial = (self._value[self.protocol.initial[name]] for name in operation.names)
            found = [of if value == TORN else value for value, of in zip(found, initial, strict=True)]
        return tuple(found)

    def _joined(self, name: str, values: tuple[int, ...], *, executes: bool) -> int:
        """The value of a unit, of whose parts those are the values."""
        if len({*values}) == 1:
            return values[0]
        if ANYTHING in values:
            return ANYTHING
        offsets = [self.parts[cell].offset for cell in self._cells(name)]
        codes = [self._code(value) for value in values]
        spans = list(zip(offsets, (*offsets[1:], None), strict=True))
        mixed = b"".join(code[slice(*span)] for code, span in zip(codes, spans, strict=True))
        if not all(codes):
            return TORN
        same = [value for value in range(len(self.values)) if self._code(value) == mixed]
        if executes and not same:  # but what lies behind a breakpoint is not executed
            here = executed(self._isa(values[0]), mixed)
            same = [value for value in range(len(self.values)) if self._code(value)[: len(here)] == here]
        return same[0] if same else TORN

    def _isa(self, value: int) -> str:
        return self.protocol.instructions[self.values[value]].isa

    def _code(self, value: int) -> bytes:
        read = self.protocol.instructions.get(self.values[value])
        return read.code if read is not None else b""

    def _size(self, name: str) -> int:
        """Bytes of a unit: as many as the longest value that it has, but no more than up to the next unit."""
        addresses, known = self.protocol.addresses, self.protocol.instructions
        here = addresses[name].physical
        values = {
            self.protocol.initial[name],
            *(
                value
                for thread in self.protocol.threads
                for operation in thread.operations
                for unit, value in zip(operation.names, operation.values, strict=False)
                if addresses[unit].physical == here
            ),
        }
        longest = max(known[value].size if value in known else DEFAULT_SIZE for value in values)
        return min((longest, *(one.physical - here for one in addresses.values() if one.physical > here)))

    def _cell_parts(self) -> list[UnitPart]:
        """One for each cell; an alias has its own only where it has an instruction line of its own."""
        found: list[UnitPart] = []
        taken: set[int] = set()
        for name, address in self.protocol.addresses.items():
            if self.protocol.host.icache == "vipt" or address.physical not in taken:
                taken.add(address.physical)
                block, ends = self._block(address.physical, self._sizes[name]), range(self._sizes[name])
                found += [UnitPart(name, at) for at in ends if not (at and (address.physical + at) % block)]
        return found

    @property
    def _atomic(self) -> int:
        """Aligned bytes inside which an access is atomic: the shortest line of a host."""
        host = self.protocol.host
        if isinstance(host.rules, Features):
            return min(host.data_line, *host.instruction_lines)
        return host.rules.atomic

    def _block(self, address: int, size: int) -> int:
        """Aligned bytes inside which an access of so many bytes there is atomic."""
        rules = self.protocol.host.rules
        if isinstance(rules, Features) or rules.unaligned or is_aligned(address, size):
            return self._atomic
        return min(self._atomic, address & -address)

    def _cells(self, name: str) -> tuple[int, ...]:
        """The cells that a fetch or a load of a unit reads, in the order of its parts."""
        own = tuple(cell for cell, part in enumerate(self.parts) if part.unit == name)
        here = self.protocol.addresses[name].physical
        return own or tuple(
            cell for cell, (unit, _) in enumerate(self.parts) if self.protocol.addresses[unit].physical == here
        )

    def _fetched(self, name: str) -> tuple[int, ...]:
        """The cells that a fetch of a unit reads: first the entry of its page, if that may change."""
        page = self._pages.get(self.protocol.addresses[name].page)
        return (*(() if page is None else (page,)), *self._cells(name))

    def _executed(self, thread: Thread) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(cell for name in operation.names for cell in self._fetched(name))
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
        known = CacheLines([self._fetched_at(cell) for cell in cells], self.protocol.host.instruction_line(core))
        lines = dict(zip(cells, known.of, strict=True))
        of = tuple(lines.get(cell, NEVER_FETCHED) for cell in range(len(self.names)))
        return known, of, tuple(tuple(cells[at] for at in line) for line in known.cells)

    def _fetched_at(self, cell: int) -> int:
        """The address that indexes the instruction cache."""
        if cell >= len(self.parts):
            return self._at[cell]
        unit, offset = self.parts[cell]
        address = self.protocol.addresses[unit]
        return offset + (address.virtual if self.protocol.host.icache == "vipt" else address.physical)

    def doing(self, operation: ProtocolOperation) -> tuple[Action, ...]:
        """What an operation is to the machine, unless it fetches: all of these, in any order."""
        match operation.verb:
            case "load":
                cells = self._cells(operation.names[0])
                return tuple(actions.LoadUnit((cell,), (self._dlines.of[cell],)) for cell in cells)
            case "store" | "store-release":
                release = operation.verb == "store-release"
                return tuple(actions.IssueStore(Stored(puts), release) for puts in self._stored(operation))
            case "clean":
                lines = dict.fromkeys(self._dlines.of[cell] for cell in self._cells(operation.names[0]))
                return tuple(map(actions.CleanLine, lines))
        return (self._action(operation),)

    def _stored(self, operation: ProtocolOperation) -> Iterator[tuple[Put[int], ...]]:
        """The single-copy atomic stores that a store is, each as its puts."""
        puts: dict[int, list[Put[int]]] = {}
        rules = self.protocol.host.rules
        width = min(self._atomic, rules.atomic or self._atomic)
        for name, value in zip(operation.names, operation.values, strict=True):
            mine, here = self._cells(name), self.protocol.addresses[name].physical
            aliases = [
                cell
                for cell, (unit, _) in enumerate(self.parts)
                if cell not in mine and self.protocol.addresses[unit].physical == here
            ]
            for cell in (*mine, *aliases):
                put = Put(cell, self._value[value], _WHOLE, alias=cell not in mine)
                puts.setdefault(self._at[cell] // width, []).append(put)
        for together in puts.values():
            first = min(self._at[put.cell] for put in together)
            size = max(self._at[put.cell] + self._length(put.cell) for put in together) - first
            block = self._block(first, size)
            by_block: dict[int, list[Put[int]]] = {}
            for put in together:
                by_block.setdefault(self._at[put.cell] // block, []).append(put)
            yield from map(tuple, by_block.values())

    def _length(self, cell: int) -> int:
        """The bytes of a unit that a cell is."""
        unit, offset = self.parts[cell]
        later = (part.offset for part in self.parts if part.unit == unit and part.offset > offset)
        return min(later, default=self._sizes[unit]) - offset

    def _action(self, operation: ProtocolOperation) -> Action:
        if operation.verb in _BARE:
            return _BARE[operation.verb]
        match operation.verb:
            case "invalidate":
                spans = [Span(self._fetched_at(cell), 1) for cell in self._cells(operation.names[0])]
                lines = tuple(known.touched(spans) for known, _, _ in self._ilines)
                return actions.InvalidateLines(lines, _scope(operation), False)
            case "invalidate-all":
                pages = self.model.cells.pages
                lines = tuple(
                    tuple(line for line in known.all if not pages.issuperset(cells[line]))
                    for known, _, cells in self._ilines
                )
                return actions.InvalidateLines(lines, _scope(operation), False)
            case "map" | "protect" | "unmap":
                put = Put(self._page(operation), PAGE_STATES[operation.verb], _WHOLE)
                return actions.IssueStore(Stored((put,)))
            case "tlbi" if operation.word:
                return actions.TranslateAnew(self._page(operation))
            case "tlbi":
                page = self._page(operation)
                lines = tuple((of[page],) if of[page] != NEVER_FETCHED else () for _, of, _ in self._ilines)
                return actions.InvalidateLines(lines, Scope.BROADCAST, False)
            case "ipi":
                dropped = self.model.cells.pages if operation.word == "tlbi" else frozenset()
                return actions.InterruptCores(operation.word == "fence.i", own=False, pages=dropped)
            case "resume-others":
                return actions.ResumeOthers(synchronised=not operation.word)
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
        raise AssertionError(f"{operation.verb} is no operation")

    def _page(self, operation: ProtocolOperation) -> int:
        return self._pages[self.protocol.addresses[operation.names[0]].page]


def _scope(operation: ProtocolOperation) -> Scope:
    return Scope.LOCAL if operation.word == "local" else Scope.BROADCAST
