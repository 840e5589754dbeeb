"""What an architecture allows: the memory of all hosts that implement it, in place of the caches of one.

A store that changes no live unit is none here, since lines are no state; the data side takes no line from anybody.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable, Iterator
from typing import TypeAlias

from bench.machine import architecture
from bench.machine.architecture import AtomicPuts, CleanCell, Histories, InvalidateCell, Order, Rules
from bench.machine.cells import ANYTHING, EXECUTABLE, Cells
from bench.machine.memory import MemorySystem, NextUnit, Put, Stored
from bench.machine.opcodes import is_alone, is_defined
from bench.machine.state import Event, Kind

Allowed: TypeAlias = Histories[tuple[int, int], int]
"""Units by block and position; cells hold numbers."""


class ArchitectureMemory(MemorySystem[Allowed]):
    """Everything that the ``rules`` of an architecture allow."""

    def __init__(self, cells: Cells, rules: Rules) -> None:
        self.cells = cells
        self.rules = rules
        self.fetches_ahead = rules.ahead
        self._decides = bool(cells.places) and rules.concurrent is not None
        self._is_defined = functools.cache(self._defined)

    def initial(self) -> Allowed:
        cells = self.cells
        cores = range(len(cells.iline_cells))
        memory: Allowed = architecture.at_start(cells.final, len(cores), range(len(cells.final)), cells.pages)
        if cells.mmu_off:
            off = {core for core in cores if cells.mmu_off >> core & 1}
            memory = architecture.with_older(memory, off, cells.coherency)
        return memory

    def newest(self, memory: Allowed) -> tuple[int, ...]:
        return tuple(history[-1] for history in memory.history)

    def store(self, memory: Allowed, core: int, stored: Stored, *, release: bool = False) -> Allowed | None:
        if not stored.puts:
            return memory
        entry = stored.puts[0] if len(stored.puts) == 1 else AtomicPuts(stored.puts)
        return architecture.issue(memory, core, *((Order.RELEASE,) if release else ()), entry)

    def load(self, memory: Allowed, core: int, cells: tuple[int, ...], lines: tuple[int, ...]) -> tuple[Allowed, int]:
        value = 0
        for cell in cells:
            held = architecture.load(memory, core, cell)
            assert held is not None  # no strategy has a barrier that a load waits for
            value |= held
        return memory, value

    def clean(self, memory: Allowed, core: int, line: int) -> Allowed:
        return architecture.issue(memory, core, *(CleanCell(cell) for cell in self.cells.dline_cells[line]))

    def invalidate(self, memory: Allowed, core: int, reached: Iterable[tuple[int, tuple[int, ...]]]) -> Allowed:
        cores: dict[int, set[int]] = {}
        for target, lines in reached:
            for line in lines:
                for cell in self.cells.iline_cells[target][line]:
                    cores.setdefault(cell, set()).add(target)
        return architecture.issue(
            memory, core, *(InvalidateCell(cell, frozenset(some)) for cell, some in sorted(cores.items()))
        )

    def stores_wait(self, memory: Allowed, core: int) -> bool:
        return any(architecture.puts_of(entry) for entry in memory.buffers[core])

    def is_settled(self, memory: Allowed, core: int) -> bool:
        return not memory.buffers[core]

    def synchronise(self, memory: Allowed, core: int) -> Allowed:
        if self._decides and self.rules.dic:  # elsewhere floors say what a core is synchronised with
            memory = architecture.refreshed(memory, core)
        return architecture.synchronise(memory, self.rules, core)

    def leave(self, memory: Allowed, core: int) -> Allowed:
        return architecture.with_queue(memory, core, ()) if memory.ahead[core] else memory

    def refetch(self, memory: Allowed, core: int) -> Allowed:
        """All that is older than the memory floor is forgotten too."""
        memory = self.synchronise(memory, core)
        for cell in range(len(self.cells.final)):
            if cell not in self.cells.pages:
                memory = architecture.invalidated(memory, self.rules, cell, core)
        return memory

    def translate_anew(self, memory: Allowed, core: int, pages: Iterable[int]) -> Allowed:
        memory = self.synchronise(memory, core)
        for cell in pages:
            memory = architecture.invalidated(memory, self.rules, cell, core)
        return memory

    switch_context = synchronise

    def enable_mmu(self, memory: Allowed, core: int) -> Allowed:
        """Older values are fetched until an invalidation reaches the core; nothing happens by itself."""
        return memory

    def fetch(
        self, memory: Allowed, core: int, tb: int, position: int | None
    ) -> Iterator[tuple[Allowed, tuple[int, ...]]]:
        if self.rules.sees_own and self.stores_wait(memory, core):
            return
        if position is None:
            yield self.leave(memory, core), ()
            return
        queue = memory.ahead[core]
        if queue and queue[0][0] == (tb, position):
            yield architecture.with_queue(memory, core, queue[1:]), queue[0][1]
            return
        after = self.leave(memory, core)
        for values in self._fetchable(memory, core, self.cells.units[tb][position]):
            yield after, values

    def _fetchable(self, memory: Allowed, core: int, cells: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
        """What a fetch of these cells may find: of a page that faults nothing else."""
        found = dict.fromkeys(
            tuple(
                value if not faults or cell in self.cells.pages else 0
                for cell, value in zip(cells, values, strict=True)
            )
            for values in architecture.together(memory, self.rules, core, cells)
            for faults in (self.cells.faults(cells, values),)
        )
        executed = [values for values in found if not self.cells.faults(cells, values)]
        if executed and self._may_be_anything(memory, core, cells):
            anything = tuple(EXECUTABLE if cell in self.cells.pages else ANYTHING for cell in cells)
            return *found, anything
        return found

    def _may_be_anything(self, memory: Allowed, core: int, cells: tuple[int, ...]) -> bool:
        """Whether these are cells of an instruction whose change the architecture does not define (rule 8)."""
        if not self._decides:
            return False
        changing: dict[tuple[int, int], set[int]] = {}
        code = [cell for cell in cells if cell not in self.cells.pages]
        for cell in code:
            changing.setdefault(self.cells.places[cell], set()).update(architecture.racing(memory, core, cell))
        undefined = [bool(some) and not self._is_defined(place, frozenset(some)) for place, some in changing.items()]
        if not any(undefined) or undefined[0]:
            return any(undefined)
        # What lies behind an instruction of one byte is not executed.
        first = map(self.cells.instructions.get, architecture.fetchable(memory, self.rules, core, code[0]))
        return not all(map(is_alone, first))

    def _defined(self, place: tuple[int, int], values: frozenset[int]) -> bool:
        assert self.rules.concurrent is not None
        return is_defined(self.rules.concurrent, map(self.cells.instructions.get, values), *place)

    def environment(
        self, memory: Allowed, kinds: Container[Kind], following: Iterable[NextUnit]
    ) -> Iterator[tuple[Event, Allowed]]:
        if Kind.AHEAD in kinds:
            yield from self._ahead(memory, following)
        completions = (
            (_event(core, entry, number), self._seen_by_itself(core, entry, after))
            for number, (core, entry, after) in enumerate(architecture.completions(memory, self.rules))
        )
        yield from sorted((step for step in completions if step[0].kind in kinds), key=lambda step: step[0])

    def _seen_by_itself(self, core: int, entry: object, memory: Allowed) -> Allowed:
        """After a store of a core that fetches what it has stored itself: also what it has fetched ahead is anew."""
        if not self.rules.sees_own or not isinstance(entry, (Put, AtomicPuts)):
            return memory
        cells = {put.cell for put in architecture.puts_of(entry) if not put.alias} - self.cells.pages
        for cell in sorted(cells):
            memory = architecture.seen_by_itself(memory, core, cell)
        ahead = {cell for (tb, position), _ in memory.ahead[core] for cell in self.cells.units[tb][position]}
        return self.leave(memory, core) if cells & ahead else memory

    def _ahead(self, memory: Allowed, following: Iterable[NextUnit]) -> Iterator[tuple[Event, Allowed]]:
        for core, thread, tb, position in following:
            queue = memory.ahead[core]
            if queue and queue[0][0][0] != tb:
                continue
            # A jump within the block leaves the run.
            stale = bool(queue) and queue[0][0][1] != position
            at = position if stale else position + len(queue)
            if at == len(self.cells.units[tb]):
                continue
            there = self.leave(memory, core) if stale else memory
            cells = self.cells.units[tb][at]
            for which, values in enumerate(self._fetchable(there, core, cells) if self.rules.ahead else ()):
                after = architecture.with_queue(there, core, (*there.ahead[core], ((tb, at), values)))
                yield Event(Kind.AHEAD, core, which, thread, tb), after


def _event(core: int, entry: object, number: int) -> Event:
    match entry:
        case CleanCell(cell):
            return Event(Kind.COMPLETE, core, cell, 0, 0)
        case InvalidateCell(cell, cores):
            return Event(Kind.COMPLETE, core, cell, 0, 1 + min(cores))
        case Put() | AtomicPuts():
            return Event(Kind.DRAIN, core, architecture.puts_of(entry)[0].cell, 0, number)
    raise AssertionError(f"{entry} does not complete by itself")
