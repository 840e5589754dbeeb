"""A model's threads on the rules of an architecture: what any host of it may do, in the steps of ``bench/machine.py``.

The programs are those of any check; what differs is what their stores, loads, maintenance and fetches mean, which
``bench/architecture/memory.py`` says.  A store that changes no live unit is none here, since lines are no state; the
data side takes no line from anybody.  A switch and a move wait for the core's stores and maintenance, and synchronise.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple, TypeAlias

from bench.architecture import memory as rules_of
from bench.architecture.hosts import rules
from bench.architecture.memory import Clean, Drop, Memory, Rules, at_start, fetch, happenings, issue, load, synchronise
from bench.machine import Event, Kind
from bench.program.compiler import Model
from bench.scenarios import Role
from bench.steps import (
    Action,
    Claim,
    CleanLine,
    Discard,
    DropLines,
    Fetch,
    Get,
    Give,
    Install,
    Pass,
    Put,
    Puts,
    Rule,
    Step,
    Take,
    Touch,
)
from strategies.operations import Barrier, Scope, Sync, SyncCores

Here: TypeAlias = Memory[tuple[int, int], int]
"""Units by block and position; cells hold numbers."""


class State(NamedTuple):
    """All that changes; as in ``bench/machine.py``, with ``memory`` in place of caches, queues and buffers."""

    places: tuple[int, ...]
    running: tuple[int, ...]
    memory: Here
    locks: tuple[tuple[int, int], ...]
    deferred: int
    blocks: tuple[int, ...]
    flags: tuple[int, ...] = ()
    masked: int = 0
    physical: int = 0
    stopper: int = -1


class Transition(NamedTuple):
    """A step taken; as in ``bench/machine.py``."""

    event: Event
    state: State
    wrong: tuple[int, int] | None = None
    result: int = 0


def initial(model: Model) -> State:
    """Every block translated and published, every thread at its start."""
    cores = model.scenario.cores
    threads = {core: thread for thread, core in reversed(list(enumerate(model.home)))}
    memory: Here = at_start(model.final, cores, range(len(model.final)))
    if model.physical:
        off = {core for core in range(cores) if model.physical >> core & 1}
        memory = rules_of.with_older(memory, off, model.coherency)
    return State(
        places=model.starts,
        running=tuple(threads.get(core, -1) for core in range(cores)),
        memory=memory,
        locks=((-1, 0),) * len(model.locks),
        deferred=0,
        blocks=(1,) * model.scenario.tbs if model.scenario.flushes else (),
        flags=model.flags,
        physical=model.physical,
    )


def newest(state: State) -> tuple[int, ...]:
    """The newest visible value of each cell."""
    return tuple(history[-1] for history in state.memory.history)


def lasting(model: Model, state: State) -> bool:
    """All is quiet and the data side holds a wrong value."""
    if newest(state) == model.final or any(stores_wait(state, core) for core in range(len(state.running))):
        return False
    return not any(program.place(place).rewriting for program, place in zip(model.programs, state.places, strict=True))


def finished(model: Model, state: State) -> bool:
    """Every retranslator has done all that it had to do."""
    return all(
        program.place(place).finished or program.role is Role.EXECUTOR
        for program, place in zip(model.programs, state.places, strict=True)
    )


def program_steps(model: Model, state: State) -> Iterator[Transition]:
    """Every step that some thread can take now; a fetch once for each value that it may return."""
    host = rules(model.host.architecture)
    for core, thread in enumerate(state.running):
        if thread >= 0:
            for number, step in enumerate(model.programs[thread].place(state.places[thread]).steps):
                if step.needs_block is not None and state.blocks[step.needs_block] != 1:
                    continue
                for which, (after, result, wrong) in enumerate(_taken(model, host, state, core, thread, step.action)):
                    yield _stepped(model, after, step, Event(Kind.PROGRAM, core, which, thread, number), result, wrong)


def _stepped(
    model: Model, state: State, step: Step, event: Event, result: int, wrong: tuple[int, int] | None
) -> Transition:
    place = step.after(result)
    state = state._replace(places=(*state.places[: event.thread], place, *state.places[event.thread + 1 :]))
    if isinstance(step.action, Fetch) and model.programs[event.thread].place(place).inside is None:
        state = state._replace(memory=rules_of.with_queue(state.memory, event.core, ()))
    return Transition(event, state, wrong, result)


Taken = tuple[State, int, tuple[int, int] | None]


def _taken(model: Model, host: Rules, state: State, core: int, thread: int, action: Action) -> Iterator[Taken]:
    """Every state after an action, with its result and the unit fetched wrong; none while it must wait."""
    memory = state.memory
    match action:
        case Fetch():
            yield from _fetched(model, state, core, action)
        case Put(cell, mask, value):
            yield state._replace(memory=issue(memory, core, rules_of.Put(cell, value, mask))), 0, None
        case Puts(puts):
            several = tuple(rules_of.Put(put.cell, put.value, put.mask) for put in puts)
            yield state._replace(memory=issue(memory, core, rules_of.Together(several))), 0, None
        case Get(cells):
            yield state, _loaded(memory, core, cells), None
        case CleanLine(line):
            entries = (Clean(cell) for cell in model.dline_cells[line])
            yield state._replace(memory=issue(memory, core, *entries)), 0, None
        case DropLines():
            yield _invalidate(model, state, core, action), 0, None
        case Barrier():
            if not rules_of.waits(memory, core):
                yield state, 0, None
        case Sync():
            yield state._replace(memory=synchronise(memory, host, core)), 0, None
        case SyncCores():
            if not stores_wait(state, core):
                for other in range(len(state.running)):
                    memory = synchronise(memory, host, other)
                yield state._replace(memory=memory), 0, None
        case Take(lock, shared):
            alone, sharers = state.locks[lock]
            if not (stores_wait(state, core) or alone >= 0 or (sharers and not shared)):
                yield _with_lock(state, lock, (-1, sharers | 1 << thread) if shared else (thread, 0)), 0, None
        case Give(lock):
            if not stores_wait(state, core):
                yield _with_lock(state, lock, (-1, state.locks[lock][1] & ~(1 << thread))), 0, None
        case Discard():
            others = (
                p.place(n) for t, (p, n) in enumerate(zip(model.programs, state.places, strict=True)) if t != thread
            )
            if not any(place.occupies for place in others) and -1 not in state.blocks:
                for other in range(len(state.running)):
                    memory = rules_of.with_queue(memory, other, ())
                yield state._replace(blocks=(0,) * len(state.blocks), memory=memory), 0, None
        case Claim(tb):
            if state.blocks[tb] == 0:
                yield _with_block(state, tb, -1), 0, None
        case Install(tb):
            yield _with_block(state, tb, 1), 0, None
        case Touch() | Pass():
            yield state, 0, None
        case Rule():
            yield from action.taken(model, state, core, thread)
        case _:
            raise AssertionError(f"no strategy does {action}")


def _fetched(model: Model, state: State, core: int, action: Fetch) -> Iterator[Taken]:
    memory = state.memory
    if action.position is None:
        queue = memory.ahead[core]
        yield (state._replace(memory=rules_of.with_queue(memory, core, ())) if queue else state), 0, None
        return
    final = tuple(model.final[cell] for cell in model.units[action.tb][action.position])
    for after, values in fetches(model, state, core, action):
        yield after, 0, (action.tb, action.position) if values != final else None


def _loaded(memory: Here, core: int, cells: tuple[int, ...]) -> int:
    value = 0
    for cell in cells:
        held = load(memory, core, cell)
        assert held is not None  # no strategy has a barrier that a load waits for
        value |= held
    return value


def _invalidate(model: Model, state: State, core: int, drop: DropLines) -> State:
    deferred = state.deferred
    reached: dict[int, set[int]] = {}
    for target, lines in enumerate(drop.ilines):
        if target != core and drop.scope is Scope.LOCAL:
            continue
        if target != core and drop.deferred and state.running[target] < 0:
            deferred |= 1 << target
            continue
        for line in lines:
            for cell in model.iline_cells[target][line]:
                reached.setdefault(cell, set()).add(target)
    entries = (Drop(cell, frozenset(cores)) for cell, cores in sorted(reached.items()))
    return state._replace(memory=issue(state.memory, core, *entries), deferred=deferred)


def stores_wait(state: State, core: int) -> bool:
    """Whether stores of a core are not visible yet."""
    return any(rules_of.puts_of(entry) for entry in state.memory.buffers[core])


def _with_lock(state: State, lock: int, now: tuple[int, int]) -> State:
    return state._replace(locks=(*state.locks[:lock], now, *state.locks[lock + 1 :]))


def _with_block(state: State, tb: int, now: int) -> State:
    return state._replace(blocks=(*state.blocks[:tb], now, *state.blocks[tb + 1 :]))


# --- Steps of the environment ---------------------------------------------------------------------------------------


def environment_steps(model: Model, state: State, kinds: Container[Kind] = tuple(Kind)) -> Iterator[Transition]:
    """Every step of one of the ``kinds`` that the environment can take now, in the order of ``Event``."""
    host = rules(model.host.architecture)
    if Kind.AHEAD in kinds:
        yield from _ahead(model, host, state)
    happening = [
        Transition(_event(core, entry, number), state._replace(memory=memory))
        for number, (core, entry, memory) in enumerate(happenings(state.memory, host))
    ]
    yield from sorted((step for step in happening if step.event.kind in kinds), key=lambda step: step.event)
    if Kind.SWITCH in kinds and model.switches:
        for core in range(len(state.running)):
            for thread, home in enumerate(model.home):
                if home == core and (switched := _switch(model, host, state, core, thread)) is not None:
                    yield Transition(Event(Kind.SWITCH, core, 0, thread), switched)
    if Kind.MOVE in kinds and model.scenario.moves:
        for core, thread in enumerate(state.running):
            for other in range(len(state.running)):
                if thread >= 0 and (moved := _move(model, state, core, thread, other)) is not None:
                    yield Transition(Event(Kind.MOVE, core, 0, thread, other), moved)


def _event(core: int, entry: object, number: int) -> Event:
    """``detail`` of a store: which of those pending it is; of maintenance as in ``bench.machine.Event``."""
    match entry:
        case Clean(cell):
            return Event(Kind.COMPLETE, core, cell, 0, 0)
        case Drop(cell, cores):
            return Event(Kind.COMPLETE, core, cell, 0, 1 + min(cores))
        case rules_of.Put() | rules_of.Together():
            return Event(Kind.DRAIN, core, rules_of.puts_of(entry)[0].cell, 0, number)
    raise AssertionError(f"{entry} does not happen by itself")


def _ahead(model: Model, host: Rules, state: State) -> Iterator[Transition]:
    for core, thread in enumerate(state.running):
        if thread < 0:
            continue
        place = model.programs[thread].place(state.places[thread])
        queue = state.memory.ahead[core]
        for tb, units in enumerate(model.units):
            inside, position = place.inside if place.inside is not None else (tb, 0)
            if place.finished or inside != tb or (state.blocks and state.blocks[tb] != 1):
                continue
            if queue and queue[0][0][0] != tb:
                continue
            following = position + len(queue)
            if following < len(units):
                unit = tb, following
                for which, memory in enumerate(rules_of.fetch_ahead(state.memory, host, core, unit, units[following])):
                    yield Transition(Event(Kind.AHEAD, core, which, thread, tb), state._replace(memory=memory))


def _switch(model: Model, host: Rules, state: State, core: int, thread: int) -> State | None:
    if state.memory.buffers[core] or state.running[core] == thread:
        return None
    if model.programs[thread].place(state.places[thread]).finished:
        return None
    running = (*state.running[:core], thread, *state.running[core + 1 :])
    return state._replace(memory=synchronise(state.memory, host, core), running=running)


def _move(model: Model, state: State, core: int, thread: int, other: int) -> State | None:
    return arrived(model, state, core, thread, other) if state.running[other] < 0 else None


# What the rules of protocols ask of either machine (``bench/search/machines.py``)


def fetches(model: Model, state: State, core: int, action: Fetch) -> Iterator[tuple[State, tuple[int, ...]]]:
    """Each state after a fetch, and the values of the unit's cells."""
    assert action.position is not None
    cells = model.units[action.tb][action.position]
    host = rules(model.host.architecture)
    for memory, values in fetch(state.memory, host, core, (action.tb, action.position), cells):
        yield state._replace(memory=memory), values


def loads(model: Model, state: State, core: int, get: Get) -> tuple[State, int]:
    """The state after a load, and the value."""
    return state, _loaded(state.memory, core, get.cells)


def fetches_anew(model: Model, state: State, core: int, *, lines: bool) -> State:
    """A core forgets what it has fetched ahead, and with ``lines`` all that is older than the memory floor."""
    host = rules(model.host.architecture)
    memory = synchronise(state.memory, host, core)
    for cell in range(len(model.final)) if lines else ():
        memory = rules_of.invalidated(memory, host, cell, core)
    return state._replace(memory=memory)


def arrived(model: Model, state: State, core: int, thread: int, other: int) -> State | None:
    """The state in which a thread of ``core`` runs on the ``other``; None while the old one has something pending."""
    if state.memory.buffers[core]:
        return None
    state = fetches_anew(model, fetches_anew(model, state, core, lines=False), other, lines=False)
    if state.deferred >> other & 1:
        state = fetches_anew(model, state, other, lines=True)._replace(deferred=state.deferred & ~(1 << other))
    running = list(state.running)
    running[core], running[other] = -1, thread
    return state._replace(running=tuple(running))
