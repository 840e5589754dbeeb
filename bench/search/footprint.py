"""What each step of the machine reads and writes: the state as slots, a step as parts that depend on few of them.

``bench/machine.py`` gives the next state as a function of the whole state.  A step looks at little of it.  Here a
state is cut into *slots* (a thread's place, one instruction line of one core, one data line with what the point of
unification holds of it, ...), and each step into *parts*: what a part writes follows from the slots that it reads, and
from nothing else.  So a part needs to be computed by the machine but once for every combination of values that it reads
(``bench/search/relation.py``).  Nothing here says what the values become.

Which steps are worth asking for follows from a slot or two, the *driver*: the steps of a thread from its place, the
completion of maintenance from what is pending on its core, and so on (``locals_at``).

That a part reads enough is tested against the machine: what it writes changes with no slot that it does not read.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.machine import Event, Kind, State
from bench.program.compiler import Model
from bench.steps import Claim, CleanLine, Discard, DropLines, Fetch, Get, Give, Install, Put, Step, Take, Touch
from strategies.operations import Barrier, Sync, SyncCores


class Slot(NamedTuple):
    """A part of the state: ``what`` and whose, e.g. ``("icache", core, line)``."""

    what: str
    at: int = 0
    line: int = 0


class View(NamedTuple):
    """As much of a slot's value as a part looks at; the whole value if there is no ``aspect``."""

    slot: int
    aspect: str = ""
    cells: tuple[int, ...] = ()


class Part(NamedTuple):
    """What is written to the slots ``writes`` as a function of the ``reads``.  Parts with one ``key`` are the same.

    ``fetches``: what it reads says whether a unit is fetched wrong.
    """

    key: Hashable
    reads: tuple[View, ...]
    writes: tuple[int, ...]
    fetches: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """A step: its event, the part that decides whether it can be taken (if any does), and what it consists of."""

    event: Event
    guard: Part | None
    parts: tuple[Part, ...]


class Cut:
    """The slots of a model's states, and the steps by slots."""

    def __init__(self, model: Model) -> None:
        self.model = model
        threads, cores = range(len(model.programs)), range(model.scenario.cores)
        lines = range(len(model.dline_cells))
        self.slots: tuple[Slot, ...] = (
            *(Slot("place", thread) for thread in threads),
            *(Slot("running", core) for core in cores),
            *(Slot("line", line) for line in lines),
            *(Slot("icache", core, line) for core in cores for line in range(len(model.iline_cells[core]))),
            *(Slot("ahead", core) for core in cores),
            *(Slot("buffer", core) for core in cores),
            *(Slot("pending", core) for core in cores),
            *(Slot("lock", lock) for lock in range(len(model.locks))),
            Slot("deferred"),
            *(Slot("block", tb) for tb in range(model.scenario.tbs if model.scenario.flushes else 0)),
        )
        self._number = {slot: number for number, slot in enumerate(self.slots)}
        self._buffered = model.host.coherence.store_buffer.value > 0
        cache = model.host.dcache
        # As bench/machine.py keeps them: elsewhere a load changes nothing (rule 1).
        self._loads_change = model.host.coherence.dirty_transfer.value == "memory" or (
            cache.write == "back" and not cache.write_allocate
        )
        self._fill_from = "data" if model.host.coherence.fill.value == "coherent" else "memory"
        self._stays = not model.switches and not model.scenario.moves
        self.drivers: tuple[tuple[int, ...], ...] = tuple(self._drivers())

    def _drivers(self) -> Iterator[tuple[int, ...]]:
        for number, slot in enumerate(self.slots):
            if slot.what in ("place", "running", "line", "icache", "buffer", "pending"):
                yield (number,)
        if self.model.host.coherence.fetches_ahead.value:
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

    def values(self, state: State) -> list[Any]:
        """The value of each slot."""
        values: list[Any] = [*state.places, *state.running]
        for line, cells in enumerate(self.model.dline_cells):
            values.append(
                (
                    state.owner[line],
                    state.copies[line],
                    tuple(state.data[cell] for cell in cells),
                    tuple(state.memory[cell] for cell in cells),
                )
            )
        for lines in state.icache:
            values += lines
        values += (*state.ahead, *state.buffers, *state.pending, *state.locks, state.deferred, *state.blocks)
        return values

    def state(self, values: list[Any]) -> State:
        """The state with these values of its slots."""
        model = self.model
        rest = iter(values)

        def take(count: int) -> tuple[Any, ...]:
            return tuple(next(rest) for _ in range(count))

        cores = model.scenario.cores
        places, running, lines = take(len(model.programs)), take(cores), take(len(model.dline_cells))
        data, memory = [0] * len(model.final), [0] * len(model.final)
        for (_, _, newest, old), cells in zip(lines, model.dline_cells, strict=True):
            for cell, new_value, old_value in zip(cells, newest, old, strict=True):
                data[cell], memory[cell] = new_value, old_value
        return State(
            places=places,
            running=running,
            owner=tuple(line[0] for line in lines),
            copies=tuple(line[1] for line in lines),
            data=tuple(data),
            memory=tuple(memory),
            icache=tuple(take(len(known)) for known in model.iline_cells),
            ahead=take(cores),
            buffers=take(cores),
            pending=take(cores),
            locks=take(len(model.locks)),
            deferred=next(rest),
            blocks=tuple(rest),
        )

    def seen(self, view: View, value: Any) -> Hashable:
        """What a view shows of a slot's value."""
        match view.aspect:
            case "":
                return value  # type: ignore[no-any-return]
            case "empty":
                return not value
            case "full":
                return len(value) == self.model.host.coherence.store_buffer.value
            case "finished" | "occupies":
                program = self.model.programs[self.slots[view.slot].at]
                return bool(getattr(program.place(value), view.aspect))
        cells = self.model.dline_cells[self.slots[view.slot].at]
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
        action = step.action
        guards: list[View] = [] if self._stays else [self._view("running", core)]
        if step.needs_block is not None:
            guards.append(self._view("block", step.needs_block))
        empty = [self._view("buffer", core, aspect="empty")] if self._buffered else []
        result = isinstance(action, Get) and bool(action.cells)
        go = Part(("go", thread, place, number), (), (self._number[Slot("place", thread)],))
        parts: list[Part] = [] if result else [go]
        match action:
            case Fetch():
                leaves = self.model.programs[thread].place(step.after(0)).inside is None
                parts.append(self._fetch(core, action, leaves))
                guards += empty if self.model.host.coherence.checks_pipeline.value else []
            case Put() | Touch() if self._buffered:
                if not isinstance(action, Touch) or action.lines or any(action.ilines):
                    guards.append(self._view("buffer", core, aspect="full"))
                    parts.append(self._own(("issue", core, action), Slot("buffer", core)))
            case Put() | Touch():
                parts += self._reach(core, action)
            case Get():
                if result:
                    key = ("get", core, thread, place, number)
                    values = [self._cells(line, "data", action.cells) for line in action.lines]
                    parts.append(Part(key, (*values, *self._buffer(core)), go.writes))
                if self._loads_change:
                    parts += (self._own(("load", core, line), Slot("line", line)) for line in action.lines)
            case CleanLine(line):
                own = self._own(("clean", core, line), Slot("pending", core))
                parts.append(own._replace(reads=(*own.reads, *self._buffer(core))))
            case DropLines():
                parts.append(self._invalidate(core, action))
            case Barrier():
                guards += [*empty, self._view("pending", core, aspect="empty")]
            case Sync():
                parts.append(self._emptied(core))
            case SyncCores():
                guards += empty
                parts += (self._emptied(other) for other in range(self.model.scenario.cores))
            case Take(lock) | Give(lock):
                guards += [*empty, self._view("lock", lock)]
                parts.append(self._own((action, thread), Slot("lock", lock)))
            case Discard():
                guards += (
                    View(self._number[Slot("place", other)], "occupies")
                    for other in range(len(self.model.programs))
                    if other != thread
                )
                blocks = [self._number[slot] for slot in self.slots if slot.what == "block"]
                guards += map(View, blocks)
                parts.append(Part("discarded", (), tuple(blocks)))
                parts += (self._emptied(other) for other in range(self.model.scenario.cores))
            case Claim(tb):
                guards.append(self._view("block", tb))
                parts.append(Part(action, (), (self._number[Slot("block", tb)],)))
            case Install(tb):
                parts.append(Part(action, (), (self._number[Slot("block", tb)],)))
        reads = tuple(dict.fromkeys(guards))
        # What the guard refuses depends on the step, but not on the place from which it is taken.
        guard = Part(("may", core, thread, step.needs_block, action), reads, ()) if reads else None
        return Local(Event(Kind.PROGRAM, core, 0, thread, number), guard, tuple(parts))

    def _fetch(self, core: int, fetch: Fetch, leaves: bool) -> Part:
        cells = self.model.units[fetch.tb][fetch.position] if fetch.position is not None else ()
        return self._through(("fetch", core, fetch, leaves), core, cells)._replace(fetches=True)

    def _fetches_ahead(self, core: int, thread: int, place: int, queue: Any) -> Iterator[Local]:
        model = self.model
        now = model.programs[thread].place(place)
        starts = [now.inside] if now.inside is not None else [(tb, 0) for tb in range(len(model.units))]
        if now.finished:
            return
        for tb, position in starts:
            following = position + (len(queue[2]) if queue is not None else 0)
            if (queue is None or queue[0] == tb) and following < len(model.units[tb]):
                guards = [] if self._stays else [self._view("running", core)]
                guards += [self._view("block", tb)] if model.scenario.flushes else []
                guard = Part(("may fetch ahead", core, thread, tb), tuple(guards), ()) if guards else None
                cells = model.units[tb][following]
                part = self._through(("fetched ahead", core, tb, position, following), core, cells)
                yield Local(Event(Kind.AHEAD, core, 0, thread, tb), guard, (part,))

    def _through(self, key: Hashable, core: int, cells: tuple[int, ...]) -> Part:
        """A fetch of ``cells`` through the queue and the instruction cache."""
        lines = dict.fromkeys(self.model.iline_of[core][cell] for cell in cells)
        queue = self._number[Slot("ahead", core)]
        held = [self._number[Slot("icache", core, line)] for line in lines]
        fills = [view for line in lines for view in self._fill(core, line).reads]
        return Part(key, (View(queue), *map(View, held), *dict.fromkeys(fills)), (queue, *held))

    def _fill(self, core: int, line: int) -> Part:
        cells = self.model.iline_cells[core][line]
        lines = dict.fromkeys(self.model.dline_of[cell] for cell in cells)
        reads = tuple(self._cells(dline, self._fill_from, cells) for dline in lines)
        return Part(("fill", core, line), reads, (self._number[Slot("icache", core, line)],))

    def _reach(self, core: int, store: Put | Touch) -> Iterator[Part]:
        """A store reaches the data side: its lines, and the instruction lines that it drops."""
        lines = store.lines if isinstance(store, Touch) else (self.model.dline_of[store.cell],)
        for line in lines:
            yield self._own(("store", core, store, line), Slot("line", line))
        snoop = self.model.host.coherence.snoop.value
        for other in range(self.model.scenario.cores):
            if snoop == "all" or (snoop == "others" and other != core):
                hit = store.ilines[other] if isinstance(store, Touch) else (self.model.iline_of[other][store.cell],)
                yield from (self._dropped(other, line) for line in hit)

    def _drain(self, core: int, oldest: Put | Touch) -> Local:
        buffer = self._own(("drained", core), Slot("buffer", core))
        pending = self._own(("one store fewer", core), Slot("pending", core))
        return Local(Event(Kind.DRAIN, core), None, (buffer, pending, *self._reach(core, oldest)))

    def _invalidate(self, core: int, drop: DropLines) -> Part:
        pending, deferred = self._view("pending", core), self._view("deferred")
        others = [self._view("running", other) for other in range(self.model.scenario.cores) if other != core]
        reads = (pending, deferred, *others) if drop.deferred else (pending,)
        writes = (pending.slot, deferred.slot) if drop.deferred else (pending.slot,)
        return Part(("invalidate", core, drop), reads, writes)

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

    def _scheduled(self, core: int, thread: int) -> Iterator[Local]:
        """A switch to another thread, or a move to another core."""
        model = self.model
        waits = [self._view("pending", core, aspect="empty")]
        waits += [self._view("buffer", core, aspect="empty")] if self._buffered else []
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
                    occupied = self._view("running", target)
                    guard = Part(("may move", core, thread, target), (*waits, occupied), ())
                    moved = Part(("moved", core, thread, target), (), (own, occupied.slot))
                    event = Event(Kind.MOVE, core, 0, thread, target)
                    parts = (*self._synchronised(core, target), *self._arrives(target))
                    yield Local(event, guard, (moved, *parts))

    def _synchronised(self, *cores: int) -> Iterator[Part]:
        yield from (self._emptied(core) for core in cores)
        if self.model.host.coherence.switch_cleans_all.value:
            for line in range(len(self.model.dline_cells)):
                yield self._own(("leave", cores, line), Slot("line", line))
            for core in cores:
                yield from (self._dropped(core, line) for line in range(len(self.model.iline_cells[core])))

    def _arrives(self, core: int) -> Iterator[Part]:
        """What a core that runs a thread again makes up for."""
        yield self._own(("arrives", core), Slot("deferred"))
        if not self.model.host.coherence.switch_cleans_all.value:
            for line in range(len(self.model.iline_cells[core])):
                held = self._own(("arrives", core, line), Slot("icache", core, line))
                yield held._replace(reads=(*held.reads, self._view("deferred")))

    # - parts and views

    def _own(self, key: Hashable, slot: Slot) -> Part:
        """A slot's new value by its old one."""
        number = self._number[slot]
        return Part(key, (View(number),), (number,))

    def _dropped(self, core: int, line: int) -> Part:
        return Part(("dropped", core, line), (), (self._number[Slot("icache", core, line)],))

    def _emptied(self, core: int) -> Part:
        return Part(("emptied", core), (), (self._number[Slot("ahead", core)],))

    def _view(self, what: str, at: int = 0, *, aspect: str = "") -> View:
        return View(self._number[Slot(what, at)], aspect)

    def _cells(self, line: int, aspect: str, cells: tuple[int, ...]) -> View:
        """The values of those of ``cells`` that lie in a data line."""
        here = tuple(cell for cell in cells if self.model.dline_of[cell] == line)
        return View(self._number[Slot("line", line)], aspect, here)

    def _buffer(self, core: int) -> tuple[View, ...]:
        """The store buffer of a core, if it has one."""
        return (self._view("buffer", core),) if self._buffered else ()
