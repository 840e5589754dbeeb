"""Threads on a memory: which steps they can take, and which the environment can (rules 2, 7 and 8)."""

from __future__ import annotations

from collections.abc import Container, Iterator

from bench.machine.actions import ExecuteUnits, FetchUnit
from bench.machine.memory import NextUnit
from bench.machine.model import Action, Automaton, Model
from bench.machine.scheduling import moved, switched
from bench.machine.state import Event, Kind, State, StateOf, Transition, TransitionOf, replaced, with_memory
from bench.scenarios import Role


def initial(model: Model) -> State:
    """Every block translated and published, the memory as at its start, every thread at its start."""
    cores = range(model.scenario.cores)
    threads = {core: thread for thread, core in reversed(list(enumerate(model.home)))}
    return StateOf(
        places=model.starts,
        running=tuple(threads.get(core, -1) for core in cores),
        memory=model.memory.initial(),
        locks=((-1, 0),) * len(model.locks),
        deferred=0,
        blocks=(1,) * model.scenario.tbs if model.scenario.flushes else (),
        flags=model.flags,
    )


def lasting(model: Model, state: State) -> bool:
    """All is quiet (nobody rewrites, no store waits) and the data side holds a wrong value."""
    memory = model.memory
    if memory.newest(state.memory) == model.final:
        return False
    if any(memory.stores_wait(state.memory, core) for core in range(len(state.running))):
        return False
    return not any(program.place(place).rewriting for program, place in zip(model.programs, state.places, strict=True))


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
        if thread >= 0 and state.stopper in (-1, thread):
            for number in range(len(model.programs[thread].place(state.places[thread]).steps)):
                yield from _taken(model, state, core, thread, number)


def _taken(model: Model, state: State, core: int, thread: int, number: int) -> Iterator[Transition]:
    """One step of the running thread, once for each of its results; none while it must wait."""
    program = model.programs[thread]
    step = program.place(state.places[thread]).steps[number]
    if step.needs_block is not None and state.blocks[step.needs_block] != 1:
        return
    for which, (after, result, wrong) in enumerate(step.action.taken(model, state, core, thread)):
        place = step.after(result)
        after = StateOf(replaced(after.places, thread, place), *after[1:])
        if _jumps(program, step.action, place):
            after = with_memory(after, model.memory.leave(after.memory, core))
        yield TransitionOf(Event(Kind.PROGRAM, core, which, thread, number), after, wrong, result)


def _jumps(program: Automaton, action: Action, place: int) -> bool:
    """Whether a fetch that led to ``place`` makes control leave the block, or jump over units that follow (rule 4)."""
    if isinstance(action, FetchUnit):
        return program.place(place).inside is None
    return isinstance(action, ExecuteUnits) and program.place(place).inside != (action.tb, action.position + 1)


# --- Steps of the environment (rule 2) ------------------------------------------------------------------------------


def environment_steps(model: Model, state: State, kinds: Container[Kind] = tuple(Kind)) -> Iterator[Transition]:
    """Every step of one of the ``kinds`` that the environment can take now, in the order of ``Event``."""
    ahead = model.memory.fetches_ahead and Kind.AHEAD in kinds
    following = _following(model, state) if ahead else ()
    for event, memory in model.memory.environment(state.memory, kinds, following):
        yield TransitionOf(event, with_memory(state, memory))
    if model.switches and Kind.SWITCH in kinds:
        for core in range(len(state.running)):
            for thread, home in enumerate(model.home):
                if home == core and (after := switched(model, state, core, thread)) is not None:
                    yield TransitionOf(Event(Kind.SWITCH, core, 0, thread), after)
    if model.scenario.moves and Kind.MOVE in kinds:
        for core, thread in enumerate(state.running):
            for other in range(len(state.running)):
                if (after := moved(model, state, core, thread, other)) is not None:
                    yield TransitionOf(Event(Kind.MOVE, core, 0, thread, other), after)


def step(model: Model, state: State, event: Event) -> Transition | None:
    """The one step ``event``, by a thread that runs or by the environment; None if it cannot be taken now."""
    after: State | None
    match event.kind:
        case Kind.PROGRAM:
            if state.running[event.core] != event.thread or state.stopper not in (-1, event.thread):
                return None
            taken = _taken(model, state, event.core, event.thread, event.detail)
            return next((one for one in taken if one.event == event), None)
        case Kind.SWITCH:
            after = switched(model, state, event.core, event.thread)
        case Kind.MOVE:
            after = moved(model, state, event.core, event.thread, event.detail)
        case _:
            following = _following(model, state) if event.kind is Kind.AHEAD else ()
            memory = model.memory.happen(state.memory, event, following)
            after = None if memory is None else with_memory(state, memory)
    return None if after is None else TransitionOf(event, after)


def _following(model: Model, state: State) -> Iterator[NextUnit]:
    """Where each core may go on to fetch ahead: in the block that its thread is in, or in one that it may enter."""
    for core, thread in enumerate(state.running):
        place = model.programs[thread].place(state.places[thread]) if thread >= 0 else None
        if place is None or place.finished:
            continue
        for tb in range(len(model.units)) if place.inside is None else (place.inside[0],):
            if not state.blocks or state.blocks[tb] == 1:
                yield NextUnit(core, thread, tb, place.inside[1] if place.inside is not None else 0)
