"""The rules of the host: a state and a step -> the next states.

Pure functions over frozen values; no input, output, clock or chance.

Rule 1. **Stores** go to the storing core's data line, which that core then owns
    dirty; the data side is coherent between cores.  A write-through cache stores
    to the point of unification (PoU) as well.  Where stores do not allocate, one
    that misses goes to the PoU alone, and a load (or the load of a
    read-modify-write) allocates.  A dirty line that another core takes moves
    from cache to cache, or reaches memory too (``dirty_transfer``).
Rule 2. **The environment** may at any time: write back and drop a data line; drop
    an instruction line; fill one; fetch a unit ahead, on a host that does; drain the
    oldest store of a store buffer; complete pending maintenance; switch threads
    on a core that several share; move a thread, where the scenario says so.  A
    switch or a move waits for the old core's maintenance and stores, and
    synchronises the new context; where ``switch_cleans_all`` it also cleans and
    invalidates the core's caches.
Rule 3. **An instruction fill** reads the PoU, or the newest data (``fill``).  A store
    that reaches the data side drops its line from the instruction caches of
    nobody, of the other cores, or of all (``snoop``).
Rule 4. **The fetched-ahead queue** of a core is a run of one block's units, from the
    next unit that the core would fetch.  Entering another block, a branch that
    leaves the run, ``Sync``, a switch and a move empty it; stores and
    invalidations do not.  Hosts that check stores against the pipeline have none.
Rule 5. **Maintenance** (``Clean``, ``Invalidate``) is pending until a ``Barrier`` of the
    same core, which waits for it, and may complete at any moment before, in any
    order; a broadcast invalidation completes core by core.
Rule 6. **The store buffer** is first in, first out.  Loads of its core see it; a store
    reaches the data side, and snoops, when it drains; a ``Clean`` completes only
    after the older stores to its line.  ``Barrier``, ``SyncCores`` (an interrupt is
    sent behind the stores before it), ``Acquire``, ``Release``, a switch and a move
    wait until it is empty; ``Sync`` does not.  On hosts that check the pipeline a
    fetch waits for the core's own buffered stores.  A store to a line that is no
    state takes no entry.
Rule 7. **An execution** fetches the units of its path in program order; a fetch that
    misses fills the line in the same step.  It is wrong if it fetches a unit with
    a value other than its final one.
Rule 8. **A discarded block** (a tb flush) may not be run before some thread has
    translated it anew, nor is it fetched ahead, since nothing leads to it; the
    buffer is discarded while nobody executes or retranslates in it, and all
    queues are empty then.
Rule 9. **A core whose MMU is off** fetches from the point of coherency (PoC), until a
    protocol turns it on.  What else only protocols do has rules of its own
    (``bench/protocols/rules.py``).

What is left out: clean data lines where stores allocate (a clean line and no line
are the same there), aliases of virtually indexed caches, data memory weaker than
the store buffer, branch prediction beyond the queue.

A *clean* data line may be dropped too, which matters only where stores do not
allocate: the next store there misses.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator
from typing import NamedTuple, TypeVar

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
    Put,
    Puts,
    Rule,
    Take,
    Touch,
)
from strategies.operations import Barrier, Scope, Sync, SyncCores

_T = TypeVar("_T")


class Kind(enum.IntEnum):
    """What a step is; the order breaks ties between counterexamples of one length."""

    WRITE_BACK = 0
    DROP = 1
    FILL = 2
    AHEAD = 3
    DRAIN = 4
    COMPLETE = 5
    SWITCH = 6
    MOVE = 7
    PROGRAM = 8


class Event(NamedTuple):
    """One step of the machine.  Fields that do not apply are 0.

    ``core`` on which it happens; ``line`` (data, or instruction of that core) that it
    concerns; ``thread`` that steps, is switched to or moves; ``detail``: for
    ``PROGRAM`` the number of the step among those possible at the thread's place,
    for ``COMPLETE`` 0 for a clean and 1 + the target core for an invalidation, for
    ``AHEAD`` the block, for ``MOVE`` the new core.
    """

    kind: Kind
    core: int = 0
    line: int = 0
    thread: int = 0
    detail: int = 0


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


class State(NamedTuple):
    """All that changes.

    ``places[thread]``; ``running[core]``: its thread or -1; ``icache[core][line]``;
    ``ahead[core]``; ``buffers[core]``: stores not yet drained, oldest first; ``data[cell]``:
    the newest drained value; ``owner[dline]``: the core that holds it dirty, or -1;
    ``copies[dline]``: cores that hold it at all, as bits (kept only where stores do not
    allocate); ``memory[cell]``: the value at the PoU; ``pending[core]``; ``locks[lock]``:
    (thread that has it alone or -1, sharers as bits); ``deferred``: cores that must
    drop their instruction cache when they next run, as bits; ``blocks[tb]``: 1 valid, 0
    discarded, -1 being translated (empty without tb flushes).  Of a protocol: ``flags`` that it sets, ``masked`` the
    cores that take no interrupts, ``physical`` those whose MMU is off, as bits, and ``stopper`` the thread that has
    stopped all others, or -1.
    """

    places: tuple[int, ...]
    running: tuple[int, ...]
    icache: tuple[tuple[Held, ...], ...]
    ahead: tuple[Queue, ...]
    buffers: tuple[tuple[Put | Puts | Touch, ...], ...]
    data: tuple[int, ...]
    owner: tuple[int, ...]
    copies: tuple[int, ...]
    memory: tuple[int, ...]
    pending: tuple[frozenset[Pending], ...]
    locks: tuple[tuple[int, int], ...]
    deferred: int
    blocks: tuple[int, ...]
    flags: tuple[int, ...] = ()
    masked: int = 0
    physical: int = 0
    stopper: int = -1


class Transition(NamedTuple):
    """A step taken: the event, and the state after it.

    ``wrong``: the unit that was fetched wrong, if any: (tb, position).  ``result``: what was loaded, if anything was.
    """

    event: Event
    state: State
    wrong: tuple[int, int] | None = None
    result: int = 0


def initial(model: Model) -> State:
    """Every block translated and published, all caches empty, every thread at its start."""
    cores = range(model.scenario.cores)
    threads = {core: thread for thread, core in reversed(list(enumerate(model.home)))}
    return State(
        places=model.starts,
        running=tuple(threads.get(core, -1) for core in cores),
        icache=tuple(
            tuple(tuple(model.final[cell] for cell in line) if model.warm else None for line in model.iline_cells[core])
            for core in cores
        ),
        ahead=(None,) * len(cores),
        buffers=((),) * len(cores),
        data=model.final,
        owner=(-1,) * len(model.dline_cells),
        copies=(0,) * len(model.dline_cells),
        memory=model.final,
        pending=(frozenset(),) * len(cores),
        locks=((-1, 0),) * len(model.locks),
        deferred=0,
        blocks=(1,) * model.scenario.tbs if model.scenario.flushes else (),
        flags=model.flags,
        physical=model.physical,
    )


def lasting(model: Model, state: State) -> bool:
    """All is quiet (nobody rewrites, no store is buffered) and the data side holds a wrong value."""
    if state.data == model.final or any(state.buffers):
        return False
    return not any(program.place(place).rewriting for program, place in zip(model.programs, state.places, strict=True))


def newest(state: State) -> tuple[int, ...]:
    """The newest value of each cell on the data side."""
    return state.data


def finished(model: Model, state: State) -> bool:
    """Every retranslator has done all that it had to do."""
    return all(
        program.place(place).finished or program.role is Role.EXECUTOR
        for program, place in zip(model.programs, state.places, strict=True)
    )


# --- Steps of threads -----------------------------------------------------------------------------------------------


def program_steps(model: Model, state: State) -> Iterator[Transition]:
    """Every step that some thread can take now, by core and then in the order of its place."""
    for core, thread in enumerate(state.running):
        if thread >= 0:
            for number in range(len(model.programs[thread].place(state.places[thread]).steps)):
                taken = _program_step(model, state, Event(Kind.PROGRAM, core, 0, thread, number))
                if taken is not None:
                    yield taken


def _program_step(model: Model, state: State, event: Event) -> Transition | None:
    """The step of the running thread that the event names; None while it must wait."""
    program = model.programs[event.thread]
    step = program.place(state.places[event.thread]).steps[event.detail]
    if step.needs_block is not None and state.blocks[step.needs_block] != 1:
        return None
    taken = take(model, state, event.core, event.thread, step.action)
    if taken is None:
        return None
    after, result, wrong = taken
    place = step.after(result)
    after = after._replace(places=_set(after.places, event.thread, place))
    if isinstance(step.action, Fetch) and program.place(place).inside is None:
        after = _left(after, event.core)
    return Transition(event, after, wrong, result)


Taken = tuple[State, int, tuple[int, int] | None]


def take(model: Model, state: State, core: int, thread: int, action: Action) -> Taken | None:
    """The state after a thread's action, its result, and the unit fetched wrong; None while it must wait."""
    empty = not state.buffers[core]
    if isinstance(action, Fetch):
        return _fetch(model, state, core, action)
    if isinstance(action, Put | Puts | Touch):
        issued = _issue(model, state, core, action)
        return None if issued is None else (issued, 0, None)
    if isinstance(action, Get):
        return _load(model, state, core, action)
    if isinstance(action, CleanLine):
        last = max((n for n, s in enumerate(state.buffers[core], 1) if action.line in _dlines(model, s)), default=0)
        return _pend(model, state, core, Pending(-1, action.line, last)), 0, None
    if isinstance(action, DropLines):
        return _invalidate(model, state, core, action), 0, None
    if isinstance(action, Barrier):
        return (state, 0, None) if empty and not state.pending[core] else None
    if isinstance(action, Sync):
        return state._replace(ahead=_set(state.ahead, core, None)), 0, None
    if isinstance(action, SyncCores):
        return (state._replace(ahead=(None,) * len(state.ahead)), 0, None) if empty else None
    if isinstance(action, Take):
        alone, sharers = state.locks[action.lock]
        if not empty or alone >= 0 or (sharers and not action.shared):
            return None
        now = (-1, sharers | 1 << thread) if action.shared else (thread, 0)
        return state._replace(locks=_set(state.locks, action.lock, now)), 0, None
    if isinstance(action, Give):
        alone, sharers = state.locks[action.lock]
        now = (-1, sharers & ~(1 << thread))
        return (state._replace(locks=_set(state.locks, action.lock, now)), 0, None) if empty else None
    if isinstance(action, Discard):
        others = (p.place(n) for t, (p, n) in enumerate(zip(model.programs, state.places, strict=True)) if t != thread)
        if any(place.occupies for place in others) or -1 in state.blocks:
            return None
        return state._replace(blocks=(0,) * len(state.blocks), ahead=(None,) * len(state.ahead)), 0, None
    if isinstance(action, Claim):
        if state.blocks[action.tb] != 0:
            return None
        return state._replace(blocks=_set(state.blocks, action.tb, -1)), 0, None
    if isinstance(action, Install):
        return state._replace(blocks=_set(state.blocks, action.tb, 1)), 0, None
    if isinstance(action, Rule):
        return next(action.taken(model, state, core, thread), None)
    return state, 0, None


# Rules 1, 3 and 6: stores and loads


def _issue(model: Model, state: State, core: int, store: Put | Puts | Touch) -> State | None:
    depth = model.host.coherence.store_buffer.value
    if not depth:
        return _reach(model, state, core, store)
    if isinstance(store, Touch) and not store.lines and not any(store.ilines):
        return state
    if len(state.buffers[core]) == depth:
        return None
    return state._replace(buffers=_set(state.buffers, core, (*state.buffers[core], store)))


def _drain(model: Model, state: State, core: int) -> State:
    oldest, *younger = state.buffers[core]
    waiting = frozenset(p._replace(waits=max(0, p.waits - 1)) for p in state.pending[core])
    state = state._replace(
        buffers=_set(state.buffers, core, tuple(younger)), pending=_set(state.pending, core, waiting)
    )
    return _reach(model, state, core, oldest)


def _dlines(model: Model, store: Put | Puts | Touch) -> tuple[int, ...]:
    return store.lines if isinstance(store, Touch) else tuple(model.dline_of[put.cell] for put in _puts(store))


def _puts(store: Put | Puts | Touch) -> tuple[Put, ...]:
    if isinstance(store, Touch):
        return ()
    return store.puts if isinstance(store, Puts) else (store,)


def _reach(model: Model, state: State, core: int, store: Put | Puts | Touch) -> State:
    """A store reaches the data side."""
    if isinstance(store, Puts):
        for put in store.puts:
            state = _reach(model, state, core, put)
        return state
    cache, transfer = model.host.dcache, model.host.coherence.dirty_transfer.value
    data, owner, copies, memory = state.data, state.owner, state.copies, state.memory
    for line in _dlines(model, store):
        cells = model.dline_cells[line]
        hit = owner[line] == core or bool(copies[line] >> core & 1)
        allocates = cache.write_allocate or hit
        taken = owner[line] >= 0 and owner[line] != core
        if taken and (transfer == "memory" or not allocates):
            memory = _copy(memory, data, cells)
            owner = _set(owner, line, -1)
        if isinstance(store, Put):
            data = _set(data, store.cell, (data[store.cell] & ~store.mask) | store.value)
        if cache.write == "through" or not allocates:
            memory = _copy(memory, data, cells)
        else:
            owner = _set(owner, line, core)
        if _counts_copies(model):
            copies = _set(copies, line, 1 << core if hit else 0)
    state = state._replace(data=data, owner=owner, copies=copies, memory=memory)
    return _snoop(model, state, core, store)


def _counts_copies(model: Model) -> bool:
    """Whether it matters that a core holds a clean data line: only a write-back cache that does not allocate asks."""
    return model.host.dcache.write == "back" and not model.host.dcache.write_allocate


def _snoop(model: Model, state: State, core: int, store: Put | Touch) -> State:
    """A store drops its line from instruction caches (rule 3)."""
    reach = model.host.coherence.snoop.value
    if reach == "none":
        return state
    icache = state.icache
    for other in range(len(icache)):
        if reach == "all" or other != core:
            hit = store.ilines[other] if isinstance(store, Touch) else (model.iline_of[other][store.cell],)
            for line in hit:
                icache = _set(icache, other, _set(icache[other], line, None))
    return state._replace(icache=icache)


def _load(model: Model, state: State, core: int, load: Get) -> Taken:
    value = 0
    data, owner, copies, memory = state.data, state.owner, state.copies, state.memory
    for cell in load.cells:
        held = data[cell]
        for store in state.buffers[core]:
            for put in _puts(store):
                if put.cell == cell:
                    held = (held & ~put.mask) | put.value
        value |= held
    for line in load.lines:
        if owner[line] not in (-1, core) and model.host.coherence.dirty_transfer.value == "memory":
            memory = _copy(memory, data, model.dline_cells[line])
            owner = _set(owner, line, -1)
        if _counts_copies(model):
            copies = _set(copies, line, copies[line] | 1 << core)
    return state._replace(owner=owner, copies=copies, memory=memory), value, None


# Rule 5: maintenance


def _pend(model: Model, state: State, core: int, *pending: Pending) -> State:
    state = state._replace(pending=_set(state.pending, core, state.pending[core].union(pending)))
    for one in pending if model.prompt else ():
        if not one.waits:
            state = _complete(model, state, core, one)
    return state


def _invalidate(model: Model, state: State, core: int, drop: DropLines) -> State:
    deferred = state.deferred
    pending = []
    for target, lines in enumerate(drop.ilines):
        if target != core and drop.scope is Scope.LOCAL:
            continue
        if target != core and drop.deferred and state.running[target] < 0:
            deferred |= 1 << target
            continue
        pending += [Pending(target, line, 0) for line in lines]
    return _pend(model, state, core, *pending)._replace(deferred=deferred)


def _complete(model: Model, state: State, core: int, done: Pending) -> State:
    state = state._replace(pending=_set(state.pending, core, state.pending[core] - {done}))
    if done.target < 0:
        return _write_back(model, state, done.line, keep=True)
    return _drop(state, done.target, done.line)


def _write_back(model: Model, state: State, line: int, *, keep: bool) -> State:
    """Rule 2: a dirty line reaches the PoU.  ``keep``: it stays as a clean copy (``Clean``)."""
    holder = state.owner[line]
    if holder < 0:
        return state
    copies = state.copies if keep else _set(state.copies, line, state.copies[line] & ~(1 << holder))
    return state._replace(
        memory=_copy(state.memory, state.data, model.dline_cells[line]),
        owner=_set(state.owner, line, -1),
        copies=copies,
    )


def _drop(state: State, core: int, line: int) -> State:
    return state._replace(icache=_set(state.icache, core, _set(state.icache[core], line, None)))


# Rules 3, 4 and 7: fetching


def _fill(model: Model, state: State, core: int, line: int) -> State:
    source = state.data if model.host.coherence.fill.value == "coherent" else state.memory
    if state.physical >> core & 1:
        source = model.coherency
    held = tuple(source[cell] for cell in model.iline_cells[core][line])
    return state._replace(icache=_set(state.icache, core, _set(state.icache[core], line, held)))


def _read(model: Model, state: State, core: int, cells: tuple[int, ...]) -> tuple[State, tuple[int, ...]]:
    """Fetch the cells of a unit through the instruction cache, filling lines that are absent."""
    values = []
    for cell in cells:
        line = model.iline_of[core][cell]
        if state.icache[core][line] is None:
            state = _fill(model, state, core, line)
        held = state.icache[core][line]
        assert held is not None
        values.append(held[model.iline_cells[core][line].index(cell)])
    return state, tuple(values)


def _fetch(model: Model, state: State, core: int, fetch: Fetch) -> Taken | None:
    found = fetched(model, state, core, fetch)
    if found is None:
        return None
    after, values = found
    if fetch.position is None:
        return after, 0, None
    cells = model.units[fetch.tb][fetch.position]
    wrong = any(value != model.final[cell] for cell, value in zip(cells, values, strict=True))
    return after, 0, (fetch.tb, fetch.position) if wrong else None


def fetched(model: Model, state: State, core: int, fetch: Fetch) -> tuple[State, tuple[int, ...]] | None:
    """The state after a fetch, and the values of the unit's cells; None while it must wait."""
    if model.host.coherence.checks_pipeline.value and state.buffers[core]:
        return None
    queue = state.ahead[core]
    if queue is not None and (queue[0], queue[1]) != (fetch.tb, fetch.position):
        queue = None  # another block is entered, or a branch leaves the run
    values: tuple[int, ...] = ()
    if fetch.position is None:
        return state._replace(ahead=_set(state.ahead, core, queue)), values
    if queue is not None:
        values, later = queue[2][0], queue[2][1:]
        queue = (fetch.tb, fetch.position + 1, later) if later else None
    else:
        state, values = _read(model, state, core, model.units[fetch.tb][fetch.position])
    return state._replace(ahead=_set(state.ahead, core, queue)), values


# What the rules of protocols ask of either machine (``bench/search/machines.py``)


def fetches(model: Model, state: State, core: int, fetch: Fetch) -> Iterator[tuple[State, tuple[int, ...]]]:
    """``fetched``, if it need not wait."""
    found = fetched(model, state, core, fetch)
    if found is not None:
        yield found


def loads(model: Model, state: State, core: int, get: Get) -> tuple[State, int]:
    """The state after a load, and the value."""
    after, value, _ = _load(model, state, core, get)
    return after, value


def stores_wait(state: State, core: int) -> bool:
    """Whether stores of a core are not visible yet."""
    return bool(state.buffers[core])


def fetches_anew(model: Model, state: State, core: int, *, lines: bool) -> State:
    """A core forgets what it has fetched ahead, and with ``lines`` its instruction cache."""
    state = state._replace(ahead=_set(state.ahead, core, None))
    if lines:
        state = state._replace(icache=_set(state.icache, core, (None,) * len(state.icache[core])))
    return state


def _left(state: State, core: int) -> State:
    """Control leaves a block: what was fetched ahead of it there is dropped (rule 4)."""
    return state._replace(ahead=_set(state.ahead, core, None)) if state.ahead[core] is not None else state


# --- Steps of the environment (rule 2) ------------------------------------------------------------------------------


def environment_steps(model: Model, state: State, kinds: Container[Kind] = tuple(Kind)) -> Iterator[Transition]:
    """Every step of one of the ``kinds`` that the environment can take now, in the order of ``Event``."""
    for event in _environment_events(model, state):
        after = _environment_step(model, state, event) if event.kind in kinds else None
        if after is not None:
            yield Transition(event, after)


def step(model: Model, state: State, event: Event) -> Transition | None:
    """The one step ``event``, by a thread that runs or by the environment; None if it cannot be taken now."""
    if event.kind is Kind.PROGRAM:
        return _program_step(model, state, event) if state.running[event.core] == event.thread else None
    after = _environment_step(model, state, event)
    return None if after is None else Transition(event, after)


def _environment_events(model: Model, state: State) -> Iterator[Event]:
    """What may be possible, in order: no step that is possible is left out."""
    for line, holder in sorted(enumerate(state.owner), key=lambda item: (item[1], item[0])):
        if holder >= 0:
            yield Event(Kind.WRITE_BACK, holder, line)
    cores = range(len(state.running))
    if _counts_copies(model):
        for core in cores:
            for line, holder in enumerate(state.owner):
                if holder != core:
                    yield Event(Kind.WRITE_BACK, core, line)
    for kind, absent in ((Kind.DROP, False), (Kind.FILL, True)):
        for core, lines in enumerate(state.icache):
            for line, held in enumerate(lines):
                if (held is None) is absent:
                    yield Event(kind, core, line)
    if model.host.coherence.fetches_ahead.value:
        for core, thread in enumerate(state.running):
            if thread >= 0:
                for tb in range(len(model.units)):
                    yield Event(Kind.AHEAD, core, 0, thread, tb)
    for core in cores:
        yield Event(Kind.DRAIN, core)
    for core, pending in enumerate(state.pending):
        for item in sorted(pending, key=lambda item: (item.line, item.target)):
            if not item.waits:
                yield Event(Kind.COMPLETE, core, item.line, 0, item.target + 1)
    if model.switches:
        for core in cores:
            for thread, home in enumerate(model.home):
                if home == core:
                    yield Event(Kind.SWITCH, core, 0, thread)
    if model.scenario.moves:
        for core, thread in enumerate(state.running):
            for other in cores:
                yield Event(Kind.MOVE, core, 0, thread, other)


def _environment_step(model: Model, state: State, event: Event) -> State | None:
    core, line = event.core, event.line
    match event.kind:
        case Kind.WRITE_BACK:
            return _evict(model, state, core, line)
        case Kind.DROP:
            return _drop(state, core, line) if state.icache[core][line] is not None else None
        case Kind.FILL:
            return _fill(model, state, core, line) if state.icache[core][line] is None else None
        case Kind.AHEAD:
            return _ahead(model, state, core, event.thread, event.detail)
        case Kind.DRAIN:
            return _drain(model, state, core) if state.buffers[core] else None
        case Kind.COMPLETE:
            done = Pending(event.detail - 1, line, 0)
            return _complete(model, state, core, done) if done in state.pending[core] else None
        case Kind.SWITCH:
            return _switch(model, state, core, event.thread)
        case Kind.MOVE:
            return _move(model, state, core, event.thread, event.detail)
    raise AssertionError(f"{event} is no step of the environment")


def _evict(model: Model, state: State, core: int, line: int) -> State | None:
    """A data line that the core holds, dirty or clean, leaves its cache."""
    if state.owner[line] == core:
        return _write_back(model, state, line, keep=False)
    if not state.copies[line] >> core & 1:
        return None
    return state._replace(copies=_set(state.copies, line, state.copies[line] & ~(1 << core)))


def _ahead(model: Model, state: State, core: int, thread: int, tb: int) -> State | None:
    """The core fetches the next unit of a block that its thread is in, or may enter."""
    place = model.programs[thread].place(state.places[thread])
    if state.running[core] != thread or place.finished or (state.blocks and state.blocks[tb] != 1):
        return None
    inside, position = place.inside if place.inside is not None else (tb, 0)
    queue = state.ahead[core]
    if inside != tb or (queue is not None and queue[0] != tb):
        return None
    held = queue[2] if queue is not None else ()
    following = position + len(held)
    if following == len(model.units[tb]):
        return None
    after, values = _read(model, state, core, model.units[tb][following])
    return after._replace(ahead=_set(after.ahead, core, (tb, position, (*held, values))))


def _switch(model: Model, state: State, core: int, thread: int) -> State | None:
    """The core goes on with another of its threads."""
    if state.buffers[core] or state.pending[core] or state.running[core] == thread:
        return None
    if model.programs[thread].place(state.places[thread]).finished:
        return None
    after = _synchronised(model, state, core)
    return after._replace(running=_set(after.running, core, thread))


def _move(model: Model, state: State, core: int, thread: int, other: int) -> State | None:
    """The thread goes on on another core, which runs none."""
    if thread < 0 or state.running[core] != thread or state.running[other] >= 0:
        return None
    return arrived(model, state, core, thread, other)


def arrived(model: Model, state: State, core: int, thread: int, other: int) -> State | None:
    """The state in which a thread of ``core`` runs on the ``other``; None while the old one has something pending."""
    if state.buffers[core] or state.pending[core]:
        return None
    after = _synchronised(model, _synchronised(model, state, core), other)
    if after.deferred >> other & 1:
        after = after._replace(
            icache=_set(after.icache, other, (None,) * len(after.icache[other])),
            deferred=after.deferred & ~(1 << other),
        )
    return after._replace(running=_set(_set(after.running, core, -1), other, thread))


def _synchronised(model: Model, state: State, core: int) -> State:
    """A switch or a move empties the queue, and on some hosts cleans and invalidates the core's caches."""
    state = state._replace(ahead=_set(state.ahead, core, None))
    if model.host.coherence.switch_cleans_all.value:
        for line, holder in enumerate(state.owner):
            if holder == core:
                state = _write_back(model, state, line, keep=False)
        state = state._replace(
            copies=tuple(copies & ~(1 << core) for copies in state.copies),
            icache=_set(state.icache, core, (None,) * len(state.icache[core])),
        )
    return state


def _set(values: tuple[_T, ...], index: int, value: _T) -> tuple[_T, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _copy(into: tuple[int, ...], source: tuple[int, ...], cells: tuple[int, ...]) -> tuple[int, ...]:
    for cell in cells:
        if into[cell] != source[cell]:
            into = _set(into, cell, source[cell])
    return into
