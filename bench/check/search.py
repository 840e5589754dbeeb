"""The exhaustive search: breadth first, with the shortest counterexample.

Among counterexamples of one length the search returns the one whose environment
steps come earliest, then the least by ``Event``.  To that end each layer is kept
in that order: a list of groups, one for every pattern of environment and program
steps that leads to it, patterns in order; within a group states are in the order
of the events that lead to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.machine import (
    Event,
    State,
    Transition,
    environment_steps,
    finished,
    initial,
    lasting,
    program_steps,
)
from bench.program import Model


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    ``verdict``: ``holds``, ``fails`` or ``bounded``.  ``states``: distinct states found.
    ``depth``: steps of the counterexample, or of the longest shortest path to
    a state.  ``witness``: on some path every retranslator finished: it retranslated
    and then ran the block.  ``run``: the counterexample from the initial state.
    ``failure``: ``wrong fetch``, ``lasting``, ``deadlock``, ``vacuous`` or empty.
    """

    verdict: str
    states: int
    depth: int
    witness: bool
    run: tuple[Transition, ...] = ()
    failure: str = ""


Failure = Callable[[Transition], str]
Parents = dict[State, tuple[State, Event] | None]


def wrong_fetch(transition: Transition) -> str:
    """The transient and the partial hazard: a unit is fetched that is not what it should be."""
    return "wrong fetch" if transition.wrong is not None else ""


def lasting_value(model: Model) -> Failure:
    """The lasting hazard: all is quiet and the data side holds a wrong value."""
    return lambda transition: "lasting" if lasting(model, transition.state) else ""


def search(model: Model, failure: Failure, *, max_states: int, progress: Callable[[int], None] | None = None) -> Outcome:
    """Explore every interleaving until a failure is found, all states are seen, or ``max_states`` are."""
    start = initial(model)
    parents: Parents = {start: None}
    groups: list[list[State]] = [[start]]
    depth = 0
    witness = False
    alive: set[State] = set()
    while groups:
        following: list[list[State]] = []
        for group in groups:
            for steps in (environment_steps, program_steps):
                found: list[State] = []
                for state in group:
                    stepped = False
                    for transition in steps(model, state):
                        stepped = True
                        bad = failure(transition)
                        if bad:
                            run = (*path(model, parents, state), transition)
                            witness = witness or _witness(model)
                            return Outcome("fails", len(parents), len(run), witness, run, bad)
                        if transition.state not in parents:
                            parents[transition.state] = (state, transition.event)
                            found.append(transition.state)
                    if steps is program_steps and not stepped:
                        if finished(model, state):
                            witness = True
                        elif not _alive(model, state, alive):
                            run = path(model, parents, state)
                            return Outcome("fails", len(parents), len(run), witness, run, "deadlock")
                    elif steps is program_steps and not witness:
                        witness = finished(model, state)
                if found:
                    following.append(found)
                if len(parents) >= max_states:
                    return Outcome("bounded", len(parents), depth + 1, witness)
                if progress is not None:
                    progress(len(parents))
        groups = following
        depth += bool(groups)
    if not witness:
        return Outcome("fails", len(parents), depth, False, (), "vacuous")
    return Outcome("holds", len(parents), depth, True)


def path(model: Model, parents: Parents, state: State) -> tuple[Transition, ...]:
    """The steps from the initial state to ``state``."""
    run: list[Transition] = []
    while (step := parents[state]) is not None:
        before, event = step
        run.append(next(t for t in transitions(model, before) if t.event == event))
        state = before
    return tuple(reversed(run))


def transitions(model: Model, state: State) -> Iterable[Transition]:
    """Every step possible in a state, in the order of ``Event``."""
    yield from environment_steps(model, state)
    yield from program_steps(model, state)


def _alive(model: Model, state: State, alive: set[State]) -> bool:
    """Whether environment steps alone can lead to a step of some thread; ``alive`` remembers states that can."""
    seen = {state}
    pending = [state]
    while pending:
        current = pending.pop()
        if current in alive or next(iter(program_steps(model, current)), None) is not None:
            alive.update((state, current))
            return True
        for transition in environment_steps(model, current):
            if transition.state not in seen:
                seen.add(transition.state)
                pending.append(transition.state)
    return False


def _witness(model: Model) -> bool:
    """Depth first, program steps first: does some path let every retranslator finish?"""
    start = initial(model)
    seen = {start}
    pending = [start]
    while pending:
        state = pending.pop()
        if finished(model, state):
            return True
        for transition in (*environment_steps(model, state), *program_steps(model, state)):
            if transition.state not in seen:
                seen.add(transition.state)
                pending.append(transition.state)
    return False
