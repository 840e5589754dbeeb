"""What changes while a model runs, and the steps by which it does."""

from __future__ import annotations

import enum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

M = TypeVar("M")
"""What a memory system keeps."""

T = TypeVar("T")


class Kind(enum.IntEnum):
    """What a step is; the order breaks ties between counterexamples of one length."""

    WRITE_BACK = 0
    DROP = 1
    FILL = 2
    LOAD = 3
    AHEAD = 4
    DRAIN = 5
    COMPLETE = 6
    SWITCH = 7
    MOVE = 8
    PROGRAM = 9


class Event(NamedTuple):
    """One step of the machine.  Fields that do not apply are 0.

    ``core`` on which it happens; ``line`` that it concerns (data, or instruction of that core; on an architecture a
    cell, and for ``AHEAD`` and ``PROGRAM`` which of the values that a fetch may return); ``thread`` that steps, is
    switched to or moves; ``detail``: for ``PROGRAM`` the number of the step among those possible at the thread's
    place, for ``COMPLETE`` 0 for a clean and 1 + the target core for an invalidation, for ``AHEAD`` the block, for
    ``MOVE`` the new core, for ``DRAIN`` on an architecture which of the pending stores.
    """

    kind: Kind
    core: int = 0
    line: int = 0
    thread: int = 0
    detail: int = 0


class StateOf(NamedTuple, Generic[M]):
    """All that changes.

    ``places[thread]``; ``running[core]``: its thread or -1; ``memory``: what the memory system keeps (``Caches`` of a
    host, ``Histories`` on an architecture); ``locks[lock]``: (thread that holds it exclusively or -1, sharers as bits);
    ``deferred``: cores that must drop their instruction cache when they next run, as bits; ``blocks[tb]``: 1 valid,
    0 discarded, -1 being translated (empty without tb flushes).  Of a protocol: ``flags`` that it sets; ``masked``:
    the cores that take no interrupts, as bits; ``stopper``: the thread that has stopped all others, or -1.
    """

    places: tuple[int, ...]
    running: tuple[int, ...]
    memory: M
    locks: tuple[tuple[int, int], ...]
    deferred: int
    blocks: tuple[int, ...]
    flags: tuple[int, ...] = ()
    masked: int = 0
    stopper: int = -1


class TransitionOf(NamedTuple, Generic[M]):
    """A step taken: the event, and the state after it.

    ``wrong``: the unit that was fetched wrong, if any: (tb, position).  ``result``: what was loaded, if anything was.
    """

    event: Event
    state: StateOf[M]
    wrong: tuple[int, int] | None = None
    result: int = 0


State: TypeAlias = StateOf[Any]
Transition: TypeAlias = TransitionOf[Any]
"""Of either kind of memory."""


def with_memory(state: StateOf[M], memory: M) -> StateOf[M]:
    """The same state with another memory; most steps are that, and ``_replace`` takes twice as long."""
    return StateOf(state.places, state.running, memory, *state[3:])


def replaced(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    """The same values with another one at ``index``."""
    return (*values[:index], value, *values[index + 1 :])
