"""The caches of a host: rules 1 to 6 and 9 of the machine, for memory that one can point at."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from msgspec import structs

from bench.hosts.profile import Host
from bench.machine.cells import ABSENT, Cells
from bench.machine.memory import MemorySystem, NextUnit, Put, Stored
from bench.machine.state import Event, Kind, replaced
from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class Features:
    """What the machine asks of a host, in the words of its profile (``bench/hosts/profile.py``).

    ``store_buffer`` in entries.  ``maintenance_at_once``: a clean or an invalidation completes when it is issued.
    ``interrupts``: whether an interrupt to other cores waits for the stores before it, or may overtake them.
    ``atomic``: a store is single-copy atomic inside so many aligned bytes (0: inside a line).
    """

    fill: Literal["pou", "coherent"]
    snoop: Literal["none", "others", "all"]
    dirty_transfer: Literal["cache", "memory"]
    fetches_ahead: bool
    checks_pipeline: bool
    switch_cleans_all: bool
    store_buffer: int
    write_through: bool
    write_allocate: bool
    maintenance_at_once: bool = False
    interrupts: Literal["overtake", "wait"] = "overtake"
    atomic: int = 0

    @property
    def keeps_copies(self) -> bool:
        """Whether it matters that a core holds a clean data line: in a write-back cache that does not allocate."""
        return not self.write_through and not self.write_allocate


def features_of(host: Host) -> Features:
    """Those of a profile."""
    coherence = host.coherence
    return Features(
        fill=coherence.fill.value,
        snoop=coherence.snoop.value,
        dirty_transfer=coherence.dirty_transfer.value,
        fetches_ahead=coherence.fetches_ahead.value,
        checks_pipeline=coherence.checks_pipeline.value,
        switch_cleans_all=coherence.switch_cleans_all.value,
        store_buffer=coherence.store_buffer.value,
        write_through=host.dcache.write == "through",
        write_allocate=host.dcache.write_allocate,
        interrupts=coherence.interrupts.value if coherence.interrupts is not None else "overtake",
        atomic=coherence.atomic.value if coherence.atomic is not None else 0,
    )


def with_features(host: Host, changes: Mapping[str, Any]) -> Host:
    """The same host with other ``Features``, by name.  Raises ``InputError`` for two that no host has at once."""
    of_cache = {name: value for name, value in changes.items() if name == "write_allocate"}
    of_coherence = {
        name: structs.replace(getattr(host.coherence, name), value=value)
        for name, value in changes.items()
        if name not in of_cache
    }
    try:
        coherence = structs.replace(host.coherence, **of_coherence)
    except ValueError as error:
        raise InputError(str(error).removeprefix("found "), place=host.name) from error
    return structs.replace(host, coherence=coherence, dcache=structs.replace(host.dcache, **of_cache))


class Pending(NamedTuple):
    """Maintenance that has not completed: a clean (``target`` -1) or an invalidation on core ``target``.

    ``waits``: the number of buffered stores of the issuing core that a clean must let drain first.
    """

    target: int
    line: int
    waits: int


Held = tuple[int, ...] | None
"""An instruction line: the values of its cells, or None if it is absent."""

Queue = tuple[int, int, tuple[tuple[int, ...], ...]] | None
"""Units fetched ahead: block, position of the first, and the cell values of each."""


class Caches(NamedTuple):
    """What the memory system of a host keeps.

    ``icache[core][line]``; ``ahead[core]``; ``buffers[core]``: stores not yet drained, oldest first; ``data[cell]``:
    the newest drained value; ``owner[dline]``: the core that holds it dirty, or -1; ``copies[dline]``: cores that hold
    it at all, as bits (kept only where stores do not allocate); ``memory[cell]``: the value at the PoU;
    ``pending[core]``; ``mmu_off``: the cores whose MMU is off, as bits.
    """

    icache: tuple[tuple[Held, ...], ...]
    ahead: tuple[Queue, ...]
    buffers: tuple[tuple[Stored, ...], ...]
    data: tuple[int, ...]
    owner: tuple[int, ...]
    copies: tuple[int, ...]
    memory: tuple[int, ...]
    pending: tuple[frozenset[Pending], ...]
    mmu_off: int = 0


class HostCaches(MemorySystem[Caches]):
    """The caches of a host with those ``features``."""

    def __init__(self, cells: Cells, features: Features) -> None:
        self.cells = cells
        self.features = features
        self.fetches_ahead = features.fetches_ahead

    def initial(self) -> Caches:
        """All caches empty; or, if the cells are ``warm``, every instruction line present."""
        cells = self.cells
        cores = len(cells.iline_cells)
        return Caches(
            icache=tuple(
                tuple(
                    tuple(cells.final[cell] for cell in line)
                    if cells.warm and not (cells.pages.issuperset(line) and cells.final[line[0]] == ABSENT)
                    else None
                    for line in lines
                )
                for lines in cells.iline_cells
            ),
            ahead=(None,) * cores,
            buffers=((),) * cores,
            data=cells.final,
            owner=(-1,) * len(cells.dline_cells),
            copies=(0,) * len(cells.dline_cells),
            memory=cells.final,
            pending=(frozenset(),) * cores,
            mmu_off=cells.mmu_off,
        )

    def newest(self, memory: Caches) -> tuple[int, ...]:
        return memory.data

    # - stores and loads (rules 1, 3 and 6)

    def store(self, memory: Caches, core: int, stored: Stored, *, release: bool = False) -> Caches | None:
        """All stores are in order."""
        depth = self.features.store_buffer
        if not depth:
            return self._reach(memory, core, stored)
        if not stored.puts and not stored.dlines and not any(stored.ilines):
            return memory
        if len(memory.buffers[core]) == depth:
            return None
        return memory._replace(buffers=replaced(memory.buffers, core, (*memory.buffers[core], stored)))

    def _drain(self, memory: Caches, core: int) -> Caches:
        oldest, *younger = memory.buffers[core]
        waiting = frozenset(one._replace(waits=max(0, one.waits - 1)) for one in memory.pending[core])
        memory = memory._replace(
            buffers=replaced(memory.buffers, core, tuple(younger)), pending=replaced(memory.pending, core, waiting)
        )
        return self._reach(memory, core, oldest)

    def _reach(self, memory: Caches, core: int, stored: Stored) -> Caches:
        """A store reaches the data side."""
        for put in stored.puts:
            memory = self._own(memory, core, self.cells.dline_of[put.cell], put)
            if put.cell not in self.cells.pages:
                memory = self._snoop(memory, core, self.cells.ilines_of(put.cell))
        for line in stored.dlines:
            memory = self._own(memory, core, line, None)
        return self._snoop(memory, core, stored.ilines)

    def _own(self, memory: Caches, core: int, line: int, put: Put[int] | None) -> Caches:
        """A store to a data line: of ``put``, or of what is there already."""
        features = self.features
        data, owner, copies, pou = memory.data, memory.owner, memory.copies, memory.memory
        cells = self.cells.dline_cells[line]
        hit = owner[line] == core or bool(copies[line] >> core & 1)
        allocates = features.write_allocate or hit
        taken = owner[line] >= 0 and owner[line] != core
        if taken and (features.dirty_transfer == "memory" or not allocates):
            pou = _copy(pou, data, cells)
            owner = replaced(owner, line, -1)
        if put is not None:
            data = replaced(data, put.cell, put.onto(data[put.cell]))
        if features.write_through or not allocates:
            pou = _copy(pou, data, cells)
        else:
            owner = replaced(owner, line, core)
        if features.keeps_copies:
            copies = replaced(copies, line, 1 << core if hit else 0)
        return memory._replace(data=data, owner=owner, copies=copies, memory=pou)

    def _snoop(self, memory: Caches, core: int, ilines: tuple[tuple[int, ...], ...]) -> Caches:
        """A store drops its line from instruction caches (rule 3)."""
        reach = self.features.snoop
        for other, lines in enumerate(ilines):
            if reach == "all" or (reach == "others" and other != core):
                for line in lines:
                    memory = _drop(memory, other, line)
        return memory

    def load(self, memory: Caches, core: int, cells: tuple[int, ...], lines: tuple[int, ...]) -> tuple[Caches, int]:
        value = 0
        for cell in cells:
            held = memory.data[cell]
            for stored in memory.buffers[core]:
                for put in stored.puts:
                    if put.cell == cell:
                        held = put.onto(held)
            value |= held
        for line in lines:
            memory = self._allocate(memory, core, line)
        return memory, value

    def _allocate(self, memory: Caches, core: int, line: int) -> Caches:
        """A load, of the program or of anything else, brings a data line into a core's cache."""
        if memory.owner[line] not in (-1, core) and self.features.dirty_transfer == "memory":
            pou = _copy(memory.memory, memory.data, self.cells.dline_cells[line])
            memory = memory._replace(memory=pou, owner=replaced(memory.owner, line, -1))
        if self.features.keeps_copies:
            memory = memory._replace(copies=replaced(memory.copies, line, memory.copies[line] | 1 << core))
        return memory

    def stores_wait(self, memory: Caches, core: int) -> bool:
        return bool(memory.buffers[core])

    # - maintenance (rule 5)

    def clean(self, memory: Caches, core: int, line: int) -> Caches:
        waits = max(
            (number for number, stored in enumerate(memory.buffers[core], 1) if line in self._dlines(stored)), default=0
        )
        return self._issue(memory, core, Pending(-1, line, waits))

    def _dlines(self, stored: Stored) -> tuple[int, ...]:
        return (*stored.dlines, *(self.cells.dline_of[put.cell] for put in stored.puts))

    def invalidate(self, memory: Caches, core: int, reached: Iterable[tuple[int, tuple[int, ...]]]) -> Caches:
        return self._issue(memory, core, *(Pending(target, line, 0) for target, lines in reached for line in lines))

    def _issue(self, memory: Caches, core: int, *pending: Pending) -> Caches:
        memory = memory._replace(pending=replaced(memory.pending, core, memory.pending[core].union(pending)))
        for one in pending if self.features.maintenance_at_once else ():
            if not one.waits:
                memory = self._complete(memory, core, one)
        return memory

    def _complete(self, memory: Caches, core: int, done: Pending) -> Caches:
        memory = memory._replace(pending=replaced(memory.pending, core, memory.pending[core] - {done}))
        if done.target < 0:
            return self._write_back(memory, done.line, keep=True)
        return _drop(memory, done.target, done.line)

    def _write_back(self, memory: Caches, line: int, *, keep: bool) -> Caches:
        """A dirty line reaches the PoU.  ``keep``: it stays as a clean copy (``Clean``)."""
        holder = memory.owner[line]
        if holder < 0:
            return memory
        copies = memory.copies if keep else replaced(memory.copies, line, memory.copies[line] & ~(1 << holder))
        return memory._replace(
            memory=_copy(memory.memory, memory.data, self.cells.dline_cells[line]),
            owner=replaced(memory.owner, line, -1),
            copies=copies,
        )

    def is_settled(self, memory: Caches, core: int) -> bool:
        return not memory.buffers[core] and not memory.pending[core]

    # - fetches (rules 3 and 4)

    def synchronise(self, memory: Caches, core: int) -> Caches:
        return memory._replace(ahead=replaced(memory.ahead, core, None)) if memory.ahead[core] is not None else memory

    leave = synchronise

    def refetch(self, memory: Caches, core: int) -> Caches:
        memory = self.synchronise(memory, core)
        kept = {line for line, cells in enumerate(self.cells.iline_cells[core]) if self.cells.pages.issuperset(cells)}
        lines = (held if line in kept else None for line, held in enumerate(memory.icache[core]))
        return memory._replace(icache=replaced(memory.icache, core, tuple(lines)))

    def translate_anew(self, memory: Caches, core: int, pages: Iterable[int]) -> Caches:
        memory = self.synchronise(memory, core)
        for page in pages:
            for line in self.cells.ilines_of(page)[core]:
                memory = _drop(memory, core, line)
        return memory

    def switch_context(self, memory: Caches, core: int) -> Caches:
        """The queue is emptied; on some hosts all lines of the core are cleaned and invalidated too (rule 2)."""
        if not self.features.switch_cleans_all:
            return self.synchronise(memory, core)
        for line, holder in enumerate(memory.owner):
            if holder == core:
                memory = self._write_back(memory, line, keep=False)
        memory = memory._replace(copies=tuple(copies & ~(1 << core) for copies in memory.copies))
        return self.refetch(memory, core)

    def enable_mmu(self, memory: Caches, core: int) -> Caches:
        return memory._replace(mmu_off=memory.mmu_off & ~(1 << core))

    def _fill(self, memory: Caches, core: int, line: int) -> Caches:
        """A line is filled, but for the translation of a page that is not present."""
        cells = self.cells.iline_cells[core][line]
        is_page = self.cells.pages.issuperset(cells)
        if is_page and memory.data[cells[0]] == ABSENT:
            return memory
        source = memory.data if self.features.fill == "coherent" or is_page else memory.memory
        if memory.mmu_off >> core & 1:
            source = self.cells.coherency
        return _with_line(memory, core, line, tuple([source[cell] for cell in cells]))

    def _read(self, memory: Caches, core: int, cells: tuple[int, ...]) -> tuple[Caches, tuple[int, ...]]:
        """Fetch the cells of a unit through the instruction cache, filling lines that are absent; none that faults."""
        values: list[int] = []
        for cell in cells:
            if self.cells.faults(cells[: len(values)], tuple(values)):
                values.append(0)
                continue
            line = self.cells.iline_of[core][cell]
            if memory.icache[core][line] is None:
                memory = self._fill(memory, core, line)
            held = memory.icache[core][line]
            values.append(
                held[self.cells.iline_cells[core][line].index(cell)] if held is not None else memory.data[cell]
            )
        return memory, tuple(values)

    def fetch(
        self, memory: Caches, core: int, tb: int, position: int | None
    ) -> Iterator[tuple[Caches, tuple[int, ...]]]:
        if self.features.checks_pipeline and memory.buffers[core]:
            return
        queue = memory.ahead[core]
        values: tuple[int, ...] = ()
        if queue is not None and (queue[0], queue[1]) == (tb, position) and position is not None:
            values, later = queue[2][0], queue[2][1:]
            following: Queue = (tb, position + 1, later) if later else None
            memory = memory._replace(ahead=replaced(memory.ahead, core, following))
        else:  # another block is entered, or a branch leaves the run
            memory = self.leave(memory, core)
            if position is not None:
                memory, values = self._read(memory, core, self.cells.units[tb][position])
        yield memory, values

    def _fetch_ahead(self, memory: Caches, following: NextUnit) -> Caches | None:
        """The core fetches the next unit of a block that its thread is in, or may enter."""
        core, _, tb, position = following
        queue = memory.ahead[core]
        if queue is not None and queue[0] != tb:
            return None
        # A jump within the block leaves the run.
        held = queue[2] if queue is not None and queue[1] == position else ()
        at = position + len(held)
        if at == len(self.cells.units[tb]):
            return None
        after, values = self._read(memory, core, self.cells.units[tb][at])
        return after._replace(ahead=replaced(after.ahead, core, (tb, position, (*held, values))))

    # - steps of the environment (rule 2)

    def environment(
        self, memory: Caches, kinds: Container[Kind], following: Iterable[NextUnit]
    ) -> Iterator[tuple[Event, Caches]]:
        if Kind.WRITE_BACK in kinds:
            dirty = sorted((holder, line) for line, holder in enumerate(memory.owner) if holder >= 0)
            for core, line in dirty:
                yield Event(Kind.WRITE_BACK, core, line), self._write_back(memory, line, keep=False)
            for core, line in self._clean_copies(memory, held=True):
                copies = replaced(memory.copies, line, memory.copies[line] & ~(1 << core))
                yield Event(Kind.WRITE_BACK, core, line), memory._replace(copies=copies)
        if Kind.DROP in kinds:
            for core, lines in enumerate(memory.icache):
                for line, held in enumerate(lines):
                    if held is not None:
                        yield Event(Kind.DROP, core, line), _drop(memory, core, line)
        if Kind.FILL in kinds:
            for core, lines in enumerate(memory.icache):
                for line, held in enumerate(lines):
                    if held is None and (after := self._fill(memory, core, line)) is not memory:
                        yield Event(Kind.FILL, core, line), after
        if Kind.LOAD in kinds:
            for core, line in self._clean_copies(memory, held=False):
                yield Event(Kind.LOAD, core, line), self._allocate(memory, core, line)
        if Kind.AHEAD in kinds and self.fetches_ahead:
            for one in following:
                if (ahead := self._fetch_ahead(memory, one)) is not None:
                    yield Event(Kind.AHEAD, one.core, 0, one.thread, one.tb), ahead
        if Kind.DRAIN in kinds:
            for core, buffer in enumerate(memory.buffers):
                if buffer:
                    yield Event(Kind.DRAIN, core), self._drain(memory, core)
        if Kind.COMPLETE in kinds:
            for core, pending in enumerate(memory.pending):
                for item in sorted(pending, key=lambda item: (item.line, item.target)):
                    if not item.waits:
                        yield (
                            Event(Kind.COMPLETE, core, item.line, 0, item.target + 1),
                            self._complete(memory, core, item),
                        )

    def _clean_copies(self, memory: Caches, *, held: bool) -> Iterator[tuple[int, int]]:
        """Cores and the lines that they hold clean, or do not hold, where that matters."""
        for core in range(len(memory.icache)) if self.features.keeps_copies else ():
            for line, copies in enumerate(memory.copies):
                if memory.owner[line] != core and bool(copies >> core & 1) is held:
                    yield core, line


def _drop(memory: Caches, core: int, line: int) -> Caches:
    return _with_line(memory, core, line, None)


def _with_line(memory: Caches, core: int, line: int, held: Held) -> Caches:
    return Caches(replaced(memory.icache, core, replaced(memory.icache[core], line, held)), *memory[1:])


def _copy(into: tuple[int, ...], source: tuple[int, ...], cells: tuple[int, ...]) -> tuple[int, ...]:
    for cell in cells:
        if into[cell] != source[cell]:
            into = replaced(into, cell, source[cell])
    return into
