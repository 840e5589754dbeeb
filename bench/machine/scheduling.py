"""Which thread runs on which core: switches and moves (rule 2)."""

from __future__ import annotations

from bench.machine.model import Model
from bench.machine.state import State, replaced


def switched(model: Model, state: State, core: int, thread: int) -> State | None:
    """The core goes on with another of its threads; None if it cannot now."""
    if not model.memory.is_settled(state.memory, core) or state.running[core] == thread:
        return None
    if model.programs[thread].place(state.places[thread]).finished:
        return None
    memory = model.memory.switch_context(state.memory, core)
    return state._replace(memory=memory, running=replaced(state.running, core, thread))


def moved(model: Model, state: State, core: int, thread: int, other: int) -> State | None:
    """The thread of a core goes on on another, which runs none; None if it cannot now."""
    if thread < 0 or state.running[core] != thread or state.running[other] >= 0:
        return None
    return arrived(model, state, core, thread, other)


def arrived(model: Model, state: State, core: int, thread: int, other: int) -> State | None:
    """A thread of ``core`` runs on the ``other``; None while the old core has something pending."""
    system, memory = model.memory, state.memory
    if not system.is_settled(memory, core):
        return None
    memory = system.switch_context(system.switch_context(memory, core), other)
    if state.deferred >> other & 1:
        memory = system.refetch(memory, other)
    return state._replace(
        memory=memory,
        deferred=state.deferred & ~(1 << other),
        running=replaced(replaced(state.running, core, -1), other, thread),
    )
