"""The shortest run that contains given events in order, violations not stopping it.

The thread's [T1]/[T2] sequence is not a shortest counterexample: it goes on after
the first wrong fetch.  A file of events has one per line, ``#`` starts a comment:

    T1 faults           T1's access faults, at the end of an execution
    T2 runs ok          T2 fetches a live unit, and it is final
    T2 runs wrong       T2 fetches a live unit, and it is not
    T1 writes TEXT      T1 takes a step, but a load, of the row whose text starts with TEXT
    T2 holds wrong      the instruction cache of T2's core holds a wrong value of a unit
                        while the data side holds the final one
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from bench.explain import wording
from bench.machine import Kind, State, Transition, environment_steps, initial, program_steps
from bench.machine.actions import FetchUnit, LoadUnit
from bench.machine.model import Model, Step
from bench.search.walk import Steps, Walk
from bench.support.errors import InputError
from bench.support.files import decoded, read_bytes

SHIPPED = ("thread", "hidden")
"""The names of shipped events: the [T1]/[T2] sequence of the thread; a wrong word that an instruction line hides."""

_GRAMMAR = re.compile(r"T(?P<thread>[1-9]\d?)\s+(?P<what>faults|runs ok|runs wrong|holds wrong|writes (?P<text>\S.*))")


Occurs = Literal["faults", "runs ok", "runs wrong", "holds wrong", "writes"]
"""What an event to be found is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One event to be found: the thread's number from 0, what it does, and the row's text for ``writes``.

    ``source`` is how it was written, ``file`` and ``line`` where.
    """

    source: str
    thread: int
    what: Occurs
    text: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Followed:
    """The shortest run to as many of the events as can be reached, how many those are, and where in it each happens.

    ``states``: how many pairs of a state and a number of events the search has seen; ``complete``
    is false if it was cut short.
    """

    run: tuple[Transition, ...]
    reached: int
    at: tuple[int, ...]
    states: int
    complete: bool


def load_events(source: str) -> tuple[Wanted, ...]:
    """The events of a file, or shipped ones.  Raises ``InputError`` with the line of a bad one."""
    if source in SHIPPED:
        text = importlib.resources.files(__package__).joinpath(f"{source}.events").read_text(encoding="utf-8")
    else:
        what = f"a file of events, or {' or '.join(SHIPPED)}"
        text = decoded(read_bytes(source, what), source)
    return read_events(text, source)


def read_events(text: str, source: str) -> tuple[Wanted, ...]:
    """The events in a text, which comes from ``source``.  Raises ``InputError`` with the line of a bad one."""
    events = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        found = _GRAMMAR.fullmatch(words)
        if found is None:
            raise InputError(
                repr(words[:60]),
                file=source,
                place=f"line {number}",
                expected="T<n> faults | runs ok | runs wrong | holds wrong | writes TEXT",
            )
        what = "writes" if found["text"] else cast("Occurs", found["what"])
        events.append(Wanted(words, int(found["thread"]) - 1, what, found["text"] or "", source, number))
    if not events:
        raise InputError("no events", file=source, expected="at least one line such as 'T1 faults'")
    return tuple(events)


def follow(model: Model, events: tuple[Wanted, ...], *, max_states: int) -> Followed:
    """Search for the shortest run with the events in order.  Raises ``InputError`` if one names a thread not there."""
    for event in events:
        if event.thread >= len(model.programs):
            raise InputError(
                f"T{event.thread + 1} in {event.source!r}",
                file=event.file,
                place=f"line {event.line}",
                expected=f"T1 to T{len(model.programs)} in this scenario ({model.scenario.name})",
            )

    def after(transition: Transition, before: State, reached: int) -> int:
        """How many events have happened after a step; one at most, and then what merely holds in the new state."""
        if reached < len(events) and _happens(model, events[reached], before, transition):
            reached += 1
        while (
            reached < len(events)
            and events[reached].what == "holds wrong"
            and _holds(model, events[reached], transition.state)
        ):
            reached += 1
        return reached

    def counting(steps: Callable[[Model, State], Iterator[Transition]]) -> Steps[tuple[State, int]]:
        return lambda node: ((step, (step.state, after(step, *node))) for step in steps(model, node[0]))

    walk = Walk((initial(model), 0), counting(environment_steps), counting(program_steps), max_states)
    best = 0
    best_run: tuple[Transition, ...] = ()
    complete = True
    for node, transition, target in walk.visits():
        if transition is not None and target[1] > best:
            best, best_run = target[1], (*walk.run(node), transition)
            if best == len(events):
                break
        if len(walk.parents) >= max_states:
            complete = False
            break
    at: list[int] = []
    state, reached = initial(model), 0
    for index, transition in enumerate(best_run):
        now = after(transition, state, reached)
        at.extend([index] * (now - reached))
        state, reached = transition.state, now
    return Followed(best_run, best, tuple(at), len(walk.parents), complete)


def _happens(model: Model, wanted: Wanted, before: State, transition: Transition) -> bool:
    event = transition.event
    if wanted.what == "holds wrong":
        return _holds(model, wanted, transition.state)
    if event.kind is not Kind.PROGRAM or event.thread != wanted.thread:
        return False
    step: Step = model.programs[event.thread].place(before.places[event.thread]).steps[event.detail]
    if wanted.what == "writes":
        return wording.label(step.label).startswith(wanted.text) and not isinstance(step.action, LoadUnit)
    if not isinstance(step.action, FetchUnit):
        return False
    if wanted.what == "faults":
        return step.label.detail == "fault" and transition.wrong is None
    return (transition.wrong is None) == (wanted.what == "runs ok")


def _holds(model: Model, wanted: Wanted, state: State) -> bool:
    if wanted.thread not in state.running:
        return False
    core = state.running.index(wanted.thread)
    for line, held in enumerate(state.memory.icache[core]):
        for cell, value in zip(model.cells.iline_cells[core][line], held or (), strict=False):
            if value != model.final[cell] and state.memory.data[cell] == model.final[cell]:
                return True
    return False
