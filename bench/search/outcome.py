"""What a search comes out with, and what the machine says of a state whose future matters to it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

from bench.machine import (
    Event,
    Kind,
    Model,
    State,
    Transition,
    environment_steps,
    finished,
    initial,
    program_steps,
    step,
)

WAITED_FOR = (Kind.DRAIN, Kind.COMPLETE, Kind.SWITCH, Kind.MOVE)
"""The steps of the environment that a thread may have to wait for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    ``verdict``: ``holds``, ``fails`` or ``bounded``.  ``states``: distinct states seen; of a failure, those that take
    fewer steps to reach than its counterexample has.  ``depth``: steps of the counterexample; of a search that was
    cut short, the steps of the longest runs that it has seen all of; else layers explored.  ``witness``: on some path
    every retranslator finished, that is, retranslated and then ran the block.  ``run``: the counterexample from the
    initial state.  ``failure``: ``wrong fetch``, ``lasting``, ``deadlock`` or ``vacuous``; empty unless it fails.
    ``symmetry``: how many permutations of blocks and cores one of the ``states`` stands for, at most; 1 if each stands
    for itself.
    """

    verdict: str
    states: int
    depth: int
    witness: bool
    run: tuple[Transition, ...] = ()
    failure: str = ""
    symmetry: int = 1


@dataclass(frozen=True, slots=True)
class KeptOutcome:
    """An outcome as it is kept: its run as ``events``, which the machine takes again."""

    verdict: str
    states: int
    depth: int
    witness: bool
    failure: str
    symmetry: int
    events: tuple[Event, ...]

    @classmethod
    def of(cls, found: Outcome) -> KeptOutcome:
        """What is kept of an outcome."""
        events = tuple(transition.event for transition in found.run)
        return cls(found.verdict, found.states, found.depth, found.witness, found.failure, found.symmetry, events)

    def on(self, model: Model) -> Outcome | None:
        """The outcome for the model that it was kept of; None if the run is not one of it, or does not fail."""
        run: list[Transition] = []
        state = initial(model)
        for event in self.events:
            taken = step(model, state, event)
            if taken is None:
                return None
            run.append(taken)
            state = taken.state
        if self.failure == "wrong fetch" and (not run or run[-1].wrong is None):
            return None
        return replace(self.without_run, run=tuple(run))

    @property
    def without_run(self) -> Outcome:
        """The outcome but for its run."""
        return Outcome(self.verdict, self.states, self.depth, self.witness, (), self.failure, self.symmetry)


def is_alive(model: Model, state: State, alive: set[State]) -> bool:
    """Whether environment steps alone can lead to a step of some thread; ``alive`` remembers states that can."""
    return _leads_on(model, state, alive, WAITED_FOR) or _leads_on(model, state, alive, tuple(Kind))


def _leads_on(model: Model, state: State, alive: set[State], kinds: Container[Kind]) -> bool:
    """Whether steps of these kinds can."""
    found = _reached(
        state,
        lambda now: now in alive or next(iter(program_steps(model, now)), None) is not None,
        lambda now: environment_steps(model, now, kinds),
    )
    alive.update(() if found is None else (state, found))
    return found is not None


def witness(model: Model) -> bool:
    """Depth first, program steps first: does some path let every retranslator finish?"""
    found = _reached(
        initial(model),
        lambda now: finished(model, now),
        lambda now: (*environment_steps(model, now), *program_steps(model, now)),
    )
    return found is not None


def _reached(
    start: State, goal: Callable[[State], bool], steps: Callable[[State], Iterable[Transition]]
) -> State | None:
    """Depth first: a state that is a ``goal``, or None."""
    seen = {start}
    pending = [start]
    while pending:
        state = pending.pop()
        if goal(state):
            return state
        for transition in steps(state):
            if transition.state not in seen:
                seen.add(transition.state)
                pending.append(transition.state)
    return None
