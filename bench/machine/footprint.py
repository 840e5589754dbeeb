"""What each step of the machine reads and writes: the state as slots, a step as parts that depend on few of them.

The machine gives the next state as a function of the whole state.  A step looks at little of it.  Here a
state is cut into *slots* (a thread's place, one instruction line of one core, one data line with what the point of
unification holds of it, ...), and each step into *parts*: what a part writes follows from the slots that it reads, and
from nothing else.  So a part needs to be computed by the machine but once for every combination of values that it reads
(``bench/search/relation.py``).  Nothing here says what the values become.

Which steps are worth asking for follows from a slot or two, the *driver*: the steps of a thread from its place, the
completion of maintenance from what is pending on its core, and so on (``locals_at``).

What an action reads and writes it says itself (``CompiledAction``), in the words of ``Cut``; any other is
refused.  That a part reads enough is tested against the machine: what it writes changes with no slot that it does not
read.
"""

from __future__ import annotations

import abc
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.machine.caches import Caches, Features
from bench.machine.memory import Stored
from bench.machine.model import Action, Model, Step
from bench.machine.renaming import Swap
from bench.machine.slots import ActionFootprint, Part, Slot, View
from bench.machine.state import Event, Kind, StateOf


class NotCompiledError(Exception):
    """The compiled search cannot represent a model: an action without a footprint, or a state that has more to it."""


class Taking(NamedTuple):
    """A step that is taken: by which thread on which core, from which place, which of its steps."""

    core: int
    thread: int
    place: int
    number: int
    step: Step


class CompiledAction(Action):
    """An action that the compiled search can take, since it says what it reads, writes and becomes under a symmetry."""

    __slots__ = ()

    @abc.abstractmethod
    def footprint(self, cut: Cut, taking: Taking) -> ActionFootprint:
        """What it reads and writes."""

    def renamed(self, swap: Swap) -> CompiledAction:
        """The same action after a swap; swapped threads have one program, and no action names a core."""
        return self


@dataclass(frozen=True, slots=True)
class Local:
    """A step: its event, the part that decides whether it can be taken (if any does), and what it consists of."""

    event: Event
    guard: Part | None
    parts: tuple[Part, ...]


class Cut:
    """The slots of a model's states, and the steps by slots.  Raises ``NotCompiledError`` for a model without."""

    def __init__(self, model: Model) -> None:
        if not isinstance(model.rules, Features) or model.rules.maintenance_at_once:
            raise NotCompiledError("only the caches of a host with pending maintenance are cut into slots")
        if any(-1 in lines for lines in model.cells.iline_of):
            raise NotCompiledError("a core that fetches nothing has no slots")
        self.model = model
        self.features = model.rules
        self.cores = range(model.scenario.cores)
        cells = self.cells = model.cells
        threads, cores = range(len(model.programs)), self.cores
        lines = range(len(cells.dline_cells))
        self.slots: tuple[Slot, ...] = (
            *(Slot("place", thread) for thread in threads),
            *(Slot("running", core) for core in cores),
            *(Slot("line", line) for line in lines),
            *(Slot("icache", core, line) for core in cores for line in range(len(cells.iline_cells[core]))),
            *(Slot("ahead", core) for core in cores),
            *(Slot("buffer", core) for core in cores),
            *(Slot("pending", core) for core in cores),
            *(Slot("lock", lock) for lock in range(len(model.locks))),
            Slot("deferred"),
            *(Slot("block", tb) for tb in range(model.scenario.tbs if model.scenario.flushes else 0)),
        )
        self._number = {slot: number for number, slot in enumerate(self.slots)}
        self._buffered = self.features.store_buffer > 0
        # As the caches keep them: elsewhere a load changes nothing (rule 1).
        self._loads_change = self.features.dirty_transfer == "memory" or self.features.keeps_copies
        self._fill_from = "data" if self.features.fill == "coherent" else "memory"
        self._stays = not model.switches and not model.scenario.moves
        self.drivers: tuple[tuple[int, ...], ...] = tuple(self._drivers())

    def _drivers(self) -> Iterator[tuple[int, ...]]:
        for number, slot in enumerate(self.slots):
            if slot.what in ("place", "running", "line", "icache", "buffer", "pending"):
                yield (number,)
        if self.features.fetches_ahead:
            for thread in range(len(self.model.programs)):
                for core in self._cores_of(thread):
                    yield self._number[Slot("place", thread)], self._number[Slot("ahead", core)]

    def _cores_of(self, thread: int) -> tuple[int, ...]:
        """Where a thread can run."""
        model = self.model
        return tuple(range(model.scenario.cores)) if model.scenario.moves else (model.home[thread],)

    def number(self, slot: Slot) -> int:
        """The number of a slot."""
        return self._number[slot]

    # - states

    def values(self, state: StateOf[Caches]) -> list[Any]:
        """The value of each slot.  Raises ``NotCompiledError`` for a state with what is no slot.

        What is no slot has a default, which it then has to have.
        """
        memory = state.memory
        for some in (state, memory):
            for name, default in some._field_defaults.items():
                if getattr(some, name) != default:
                    raise NotCompiledError(f"a state with {name} is not cut into slots")
        values: list[Any] = [*state.places, *state.running]
        for line, cells in enumerate(self.cells.dline_cells):
            values.append(
                (
                    memory.owner[line],
                    memory.copies[line],
                    tuple(memory.data[cell] for cell in cells),
                    tuple(memory.memory[cell] for cell in cells),
                )
            )
        for lines in memory.icache:
            values += lines
        values += (*memory.ahead, *memory.buffers, *memory.pending, *state.locks, state.deferred, *state.blocks)
        return values

    def state(self, values: list[Any]) -> StateOf[Caches]:
        """The state with these values of its slots."""
        model, rest = self.model, iter(values)

        def take(count: int) -> tuple[Any, ...]:
            return tuple(next(rest) for _ in range(count))

        cores = len(self.cores)
        places, running, lines = take(len(model.programs)), take(cores), take(len(self.cells.dline_cells))
        data, memory = [0] * len(model.final), [0] * len(model.final)
        for (_, _, newest, old), cells in zip(lines, self.cells.dline_cells, strict=True):
            for cell, new_value, old_value in zip(cells, newest, old, strict=True):
                data[cell], memory[cell] = new_value, old_value
        caches = Caches(
            icache=tuple(take(len(known)) for known in self.cells.iline_cells),
            ahead=take(cores),
            buffers=take(cores),
            data=tuple(data),
            owner=tuple(line[0] for line in lines),
            copies=tuple(line[1] for line in lines),
            memory=tuple(memory),
            pending=take(cores),
        )
        return StateOf(places, running, caches, take(len(model.locks)), next(rest), tuple(rest))

    def seen(self, view: View, value: Any) -> Any:
        """What a view shows of a slot's value; hashable."""
        match view.aspect:
            case "":
                return value
            case "empty":
                return not value
            case "full":
                return len(value) == self.features.store_buffer
            case "finished" | "occupies":
                program = self.model.programs[self.slots[view.slot].at]
                return bool(getattr(program.place(value), view.aspect))
        cells = self.cells.dline_cells[self.slots[view.slot].at]
        held = value[2] if view.aspect == "data" else value[3]
        return tuple(held[cells.index(cell)] for cell in view.cells)

    # - steps

    def locals_at(self, driver: tuple[int, ...], values: tuple[Any, ...]) -> Iterator[Local]:
        """The steps that the slots of a driver lead to while they hold ``values``."""
        slot, value = self.slots[driver[0]], values[0]
        match slot.what:
            case "place" if len(driver) == 2:
                yield from self._fetches_ahead(self.slots[driver[1]].at, slot.at, value, values[1])
            case "place":
                for core in self._cores_of(slot.at):
                    for number, step in enumerate(self.model.programs[slot.at].place(value).steps):
                        yield self._step(core, slot.at, value, number, step)
            case "running":
                yield from self._scheduled(slot.at, value)
            case "line":
                yield from self._evictions(slot.at, value)
                yield from self._loaded(slot.at, value)
            case "icache" if value is None:
                yield Local(Event(Kind.FILL, slot.at, slot.line), None, (self._fill(slot.at, slot.line),))
            case "icache":
                yield Local(Event(Kind.DROP, slot.at, slot.line), None, (self._dropped(slot.at, slot.line),))
            case "buffer" if value:
                yield self._drain(slot.at, value[0])
            case "pending":
                for item in value:
                    if not item.waits:
                        yield self._complete(slot.at, item.target, item.line)

    def _step(self, core: int, thread: int, place: int, number: int, step: Step) -> Local:
        if not isinstance(step.action, CompiledAction):
            raise NotCompiledError(f"{type(step.action).__name__} has no footprint")
        found = step.action.footprint(self, Taking(core, thread, place, number, step))
        guards = [] if self._stays else [self.view("running", core)]
        if step.needs_block is not None:
            guards.append(self.view("block", step.needs_block))
        reads = tuple(dict.fromkeys((*guards, *found.guards)))
        # What the guard refuses depends on the step, but not on the place from which it is taken.
        guard = Part(("may", core, thread, step.needs_block, step.action), reads, ()) if reads else None
        go = Part(("go", thread, place, number), (), (self._number[Slot("place", thread)],))
        parts = found.parts if found.decides else (go, *found.parts)
        return Local(Event(Kind.PROGRAM, core, 0, thread, number), guard, parts)

    def _fetches_ahead(self, core: int, thread: int, place: int, queue: Any) -> Iterator[Local]:
        model = self.model
        now = model.programs[thread].place(place)
        starts = [now.inside] if now.inside is not None else [(tb, 0) for tb in range(len(model.units))]
        if now.finished:
            return
        for tb, position in starts:
            following = position + (len(queue[2]) if queue is not None else 0)
            if (queue is None or queue[0] == tb) and following < len(model.units[tb]):
                guards = [] if self._stays else [self.view("running", core)]
                guards += [self.view("block", tb)] if model.scenario.flushes else []
                guard = Part(("may fetch ahead", core, thread, tb), tuple(guards), ()) if guards else None
                cells = model.units[tb][following]
                part = self._through(("fetched ahead", core, tb, position, following), core, cells)
                yield Local(Event(Kind.AHEAD, core, 0, thread, tb), guard, (part,))

    def _through(self, key: Hashable, core: int, cells: tuple[int, ...]) -> Part:
        """A fetch of ``cells`` through the queue and the instruction cache."""
        lines = dict.fromkeys(self.cells.iline_of[core][cell] for cell in cells)
        queue = self._number[Slot("ahead", core)]
        held = [self._number[Slot("icache", core, line)] for line in lines]
        fills = [view for line in lines for view in self._fill(core, line).reads]
        return Part(key, (View(queue), *map(View, held), *dict.fromkeys(fills)), (queue, *held))

    def _fill(self, core: int, line: int) -> Part:
        cells = self.cells.iline_cells[core][line]
        lines = dict.fromkeys(self.cells.dline_of[cell] for cell in cells)
        reads = tuple(self._values(dline, self._fill_from, cells) for dline in lines)
        return Part(("fill", core, line), reads, (self._number[Slot("icache", core, line)],))

    # - what actions read and write

    def store(self, core: int, stored: Stored) -> ActionFootprint:
        """A store, into the buffer if there is one; what touches no line takes no entry."""
        if len(stored.puts) > 1:
            raise NotCompiledError("a store to several cells at once has no footprint")
        if not self._buffered:
            return ActionFootprint(parts=tuple(self._reach(core, stored)))
        if not stored.puts and not stored.dlines and not any(stored.ilines):
            return ActionFootprint()
        issued = self._own(("issue", core, stored), Slot("buffer", core))
        return ActionFootprint((self.view("buffer", core, aspect="full"),), (issued,))

    def _reach(self, core: int, stored: Stored) -> Iterator[Part]:
        """A store reaches the data side: its lines, and the instruction lines that it drops."""
        for put in stored.puts:
            yield self._own(("store", core, put), Slot("line", self.cells.dline_of[put.cell]))
            yield from self._snooped(core, tuple((line_of[put.cell],) for line_of in self.cells.iline_of))
        for line in stored.dlines:
            yield self._own(("store", core, line), Slot("line", line))
        yield from self._snooped(core, stored.ilines)

    def _snooped(self, core: int, ilines: tuple[tuple[int, ...], ...]) -> Iterator[Part]:
        for other, lines in enumerate(ilines):
            if self.features.snoop == "all" or (self.features.snoop == "others" and other != core):
                yield from (self._dropped(other, line) for line in lines)

    def load(self, taking: Taking, cells: tuple[int, ...], lines: tuple[int, ...]) -> ActionFootprint:
        """A load; where it loads live cells its value decides the next place."""
        core, thread, place, number, _ = taking
        parts = []
        if cells:
            values = [self._values(line, "data", cells) for line in lines]
            key = ("get", core, thread, place, number)
            parts.append(Part(key, (*values, *self._buffer(core)), (self._number[Slot("place", thread)],)))
        if self._loads_change:
            parts += (self._own(("load", core, line), Slot("line", line)) for line in lines)
        return ActionFootprint(parts=tuple(parts), decides=bool(cells))

    def fetch(self, taking: Taking, tb: int, position: int | None) -> ActionFootprint:
        """A fetch of a block's unit."""
        core = taking.core
        leaves = self.model.programs[taking.thread].place(taking.step.after(0)).inside is None
        cells = self.model.units[tb][position] if position is not None else ()
        part = self._through(("fetch", core, taking.step.action, leaves), core, cells)._replace(fetches=True)
        return ActionFootprint(self.empty_buffer(core) if self.features.checks_pipeline else (), (part,))

    def clean(self, core: int, line: int) -> ActionFootprint:
        """A clean: it waits for the stores to its line."""
        own = self._own(("clean", core, line), Slot("pending", core))
        return ActionFootprint(parts=(own._replace(reads=(*own.reads, *self._buffer(core))),))

    def invalidate(self, core: int, action: Action, *, deferred: bool) -> ActionFootprint:
        """An invalidation; where it may be ``deferred``, of the cores that run something."""
        pending, later = self.view("pending", core), self.view("deferred")
        others = [self.view("running", other) for other in self.cores if other != core]
        reads = (pending, later, *others) if deferred else (pending,)
        writes = (pending.slot, later.slot) if deferred else (pending.slot,)
        return ActionFootprint(parts=(Part(("invalidate", core, action), reads, writes),))

    def lock(self, action: Action, lock: int, taking: Taking) -> ActionFootprint:
        """A lock that is acquired or released."""
        guards = (*self.empty_buffer(taking.core), self.view("lock", lock))
        return ActionFootprint(guards, (self._own((action, taking.thread), Slot("lock", lock)),))

    def discard(self, thread: int) -> ActionFootprint:
        """The whole code buffer is discarded."""
        threads = (other for other in range(len(self.model.programs)) if other != thread)
        blocks = [number for number, slot in enumerate(self.slots) if slot.what == "block"]
        guards = (*(View(self._number[Slot("place", other)], "occupies") for other in threads), *map(View, blocks))
        return ActionFootprint(guards, (Part("discarded", (), tuple(blocks)), *map(self.emptied, self.cores)))

    def block(self, action: Action, tb: int) -> Part:
        """What an action makes of a block."""
        return Part(action, (), (self._number[Slot("block", tb)],))

    def emptied(self, core: int) -> Part:
        """A core drops what it has fetched ahead."""
        return Part(("emptied", core), (), (self._number[Slot("ahead", core)],))

    def empty_buffer(self, core: int) -> tuple[View, ...]:
        """Whether the store buffer of a core is empty, if it has one."""
        return (self.view("buffer", core, aspect="empty"),) if self._buffered else ()

    def view(self, what: str, at: int = 0, *, aspect: str = "") -> View:
        """A view of a slot."""
        return View(self._number[Slot(what, at)], aspect)

    # - steps of the environment

    def _drain(self, core: int, oldest: Stored) -> Local:
        buffer = self._own(("drained", core), Slot("buffer", core))
        pending = self._own(("one store fewer", core), Slot("pending", core))
        return Local(Event(Kind.DRAIN, core), None, (buffer, pending, *self._reach(core, oldest)))

    def _complete(self, core: int, target: int, line: int) -> Local:
        done = self._own(("done", core, target, line), Slot("pending", core))
        event = Event(Kind.COMPLETE, core, line, 0, target + 1)
        what = self._own(("cleaned", line), Slot("line", line)) if target < 0 else self._dropped(target, line)
        return Local(event, None, (done, what))

    def _evictions(self, line: int, value: Any) -> Iterator[Local]:
        owner, copies, *_ = value
        for core in range(self.model.scenario.cores):
            if core == owner or copies >> core & 1:
                part = self._own(("evict", core, line), Slot("line", line))
                yield Local(Event(Kind.WRITE_BACK, core, line), None, (part,))

    def _loaded(self, line: int, value: Any) -> Iterator[Local]:
        """Cores that do not hold a line load it, where that matters."""
        owner, copies, *_ = value
        for core in range(self.model.scenario.cores) if self.features.keeps_copies else ():
            if core != owner and not copies >> core & 1:
                yield Local(Event(Kind.LOAD, core, line), None, (self._own(("load", core, line), Slot("line", line)),))

    def _scheduled(self, core: int, thread: int) -> Iterator[Local]:
        """A switch to another thread, or a move to another core."""
        model = self.model
        waits = [self.view("pending", core, aspect="empty")]
        waits += [self.view("buffer", core, aspect="empty")] if self._buffered else []
        own = self._number[Slot("running", core)]
        if model.switches:
            for other, home in enumerate(model.home):
                if home == core and other != thread:
                    finished = View(self._number[Slot("place", other)], "finished")
                    guard = Part(("may switch", core, other), (*waits, finished), ())
                    switched = Part(("switched", core, other), (), (own,))
                    event = Event(Kind.SWITCH, core, 0, other)
                    yield Local(event, guard, (switched, *self._synchronised(core)))
        if model.scenario.moves and thread >= 0:
            for target in range(model.scenario.cores):
                if target != core:
                    occupied = self.view("running", target)
                    guard = Part(("may move", core, thread, target), (*waits, occupied), ())
                    moved = Part(("moved", core, thread, target), (), (own, occupied.slot))
                    event = Event(Kind.MOVE, core, 0, thread, target)
                    parts = (*self._synchronised(core, target), *self._arrives(target))
                    yield Local(event, guard, (moved, *parts))

    def _synchronised(self, *cores: int) -> Iterator[Part]:
        yield from (self.emptied(core) for core in cores)
        if self.features.switch_cleans_all:
            for line in range(len(self.cells.dline_cells)):
                yield self._own(("leave", cores, line), Slot("line", line))
            for core in cores:
                yield from (self._dropped(core, line) for line in range(len(self.cells.iline_cells[core])))

    def _arrives(self, core: int) -> Iterator[Part]:
        """What a core that runs a thread again makes up for."""
        yield self._own(("arrives", core), Slot("deferred"))
        if not self.features.switch_cleans_all:
            for line in range(len(self.cells.iline_cells[core])):
                held = self._own(("arrives", core, line), Slot("icache", core, line))
                yield held._replace(reads=(*held.reads, self.view("deferred")))

    # - parts and views

    def _own(self, key: Hashable, slot: Slot) -> Part:
        """A slot's new value by its old one."""
        number = self._number[slot]
        return Part(key, (View(number),), (number,))

    def _dropped(self, core: int, line: int) -> Part:
        return Part(("dropped", core, line), (), (self._number[Slot("icache", core, line)],))

    def _values(self, line: int, aspect: str, cells: tuple[int, ...]) -> View:
        """The values of those of ``cells`` that lie in a data line."""
        here = tuple(cell for cell in cells if self.cells.dline_of[cell] == line)
        return View(self._number[Slot("line", line)], aspect, here)

    def _buffer(self, core: int) -> tuple[View, ...]:
        """The store buffer of a core, if it has one."""
        return (self.view("buffer", core),) if self._buffered else ()
