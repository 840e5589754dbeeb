"""The exhaustive search: breadth first, with the shortest counterexample.

Among runs of one length the search returns the one whose environment steps come
earliest, then the least by ``Event``.  To that end each layer is kept in that
order: a list of groups, one for every pattern of environment and program steps
that leads to it, patterns in order; within a group nodes are in the order of the
events that lead to them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bench.machine import Kind, State, Transition, environment_steps, finished, initial, lasting, program_steps
from bench.program import Model

Node = TypeVar("Node", bound=Hashable)
Steps = Callable[[Node], Iterable[tuple[Transition, Node]]]


@dataclass
class Walk(Generic[Node]):
    """A breadth-first walk from ``start``; ``environment`` and ``program`` give the steps of a node in order.

    ``parents`` holds every node seen, with the step that led to it; ``depth`` is the layer being left.
    """

    start: Node
    environment: Steps[Node]
    program: Steps[Node]
    depth: int = 0
    parents: dict[Node, tuple[Node, Transition] | None] = field(default_factory=dict)

    def visits(self) -> Iterator[tuple[Node, Transition | None, Node]]:
        """Every step of every node, in order: (node, transition, where it leads).

        A node without program steps is visited once more, without a transition.
        """
        self.parents[self.start] = None
        groups = [[self.start]]
        while groups:
            following: list[list[Node]] = []
            for group in groups:
                for steps in (self.environment, self.program):
                    found: list[Node] = []
                    for node in group:
                        transition = None
                        for transition, target in steps(node):
                            yield node, transition, target
                            if target not in self.parents:
                                self.parents[target] = (node, transition)
                                found.append(target)
                        if transition is None and steps is self.program:
                            yield node, None, node
                    if found:
                        following.append(found)
            groups = following
            self.depth += bool(groups)

    def run(self, node: Node) -> tuple[Transition, ...]:
        """The steps from the start to ``node``."""
        run: list[Transition] = []
        while (step := self.parents[node]) is not None:
            node, transition = step
            run.append(transition)
        return tuple(reversed(run))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found.

    ``verdict``: ``holds``, ``fails`` or ``bounded``.  ``states``: distinct states seen.
    ``depth``: steps of the counterexample, else layers explored.  ``witness``: on some
    path every retranslator finished, that is, retranslated and then ran the
    block.  ``run``: the counterexample from the initial state.  ``failure``: ``wrong
    fetch``, ``lasting``, ``deadlock`` or ``vacuous``; empty unless it fails.
    """

    verdict: str
    states: int
    depth: int
    witness: bool
    run: tuple[Transition, ...] = ()
    failure: str = ""


Failure = Callable[[Transition], str]


def wrong_fetch(transition: Transition) -> str:
    """The transient and the partial hazard: a unit is fetched that is not what it should be."""
    return "wrong fetch" if transition.wrong is not None else ""


def lasting_value(model: Model) -> Failure:
    """The lasting hazard: all is quiet and the data side holds a wrong value."""
    return lambda transition: "lasting" if lasting(model, transition.state) else ""


def among(model: Model, offsets: Collection[int], failure: Failure) -> Failure:
    """The same failure, if a unit at one of the ``offsets`` (in bytes from the start of its block) is wrong."""
    units = [
        (at.offset in offsets, cells)
        for units, held in zip(model.unit_at, model.units, strict=True)
        for at, cells in zip(units, held, strict=True)
    ]
    if all(concerned for concerned, _ in units):
        return failure
    cells = [cell for concerned, held in units if concerned for cell in held]

    def concerned(transition: Transition) -> str:
        if transition.wrong is not None:
            tb, position = transition.wrong
            if model.unit_at[tb][position].offset in offsets:
                return failure(transition)
        elif any(transition.state.data[cell] != model.final[cell] for cell in cells):
            return failure(transition)
        return ""

    return concerned


Environment = Callable[[Model, State], Iterator[Transition]]


def data_steps(model: Model, state: State) -> Iterator[Transition]:
    """The steps of the environment that the data side, or a waiting thread, can notice.

    The others move values from there to the point of unification and to instruction caches and queues.  Loads read the
    data side alone, and what is fetched never decides which step of a program comes next; so nothing that comes of
    them is ever stored, and these are enough to know what the data side can come to hold.
    """
    unseen = {Kind.WRITE_BACK, Kind.DROP, Kind.FILL, Kind.AHEAD}
    return (step for step in environment_steps(model, state) if step.event.kind not in unseen)


def demanded_steps(model: Model, state: State) -> Iterator[Transition]:
    """The steps of an environment in which nothing is fetched but what is executed."""
    return (step for step in environment_steps(model, state) if step.event.kind not in {Kind.FILL, Kind.AHEAD})


def search(
    model: Model,
    failure: Failure,
    *,
    max_states: int,
    max_depth: int | None = None,
    environment: Environment = environment_steps,
    progress: Callable[[int], None] = lambda states: None,
) -> Outcome:
    """Explore every interleaving until a failure is found, all states are seen, or more than ``max_states`` would be.

    With ``max_depth`` it is cut short as well, when no failure has so few steps.  ``environment``: what the
    environment may do.  ``progress`` is told the number of states now and then.
    """
    walk = Walk(
        initial(model),
        lambda state: ((step, step.state) for step in environment(model, state)),
        lambda state: ((step, step.state) for step in program_steps(model, state)),
    )
    alive: set[State] = set()
    last_told = 0
    found: Outcome | None = None
    for state, transition, target in walk.visits():
        if found is not None and walk.depth == found.depth:
            break
        states = len(walk.parents)
        if max_depth is not None and walk.depth >= max_depth:
            return Outcome("bounded", states, walk.depth, False)
        if transition is None:
            if not finished(model, state) and not _alive(model, state, alive):
                run = walk.run(state)
                return Outcome("fails", states, len(run), _witness(model), run, "deadlock")
        elif found is not None:
            continue
        elif bad := failure(transition):
            run = (*walk.run(state), transition)
            found = Outcome("fails", states, len(run), _witness(model), run, bad)
            if not model.locks:  # with locks a node of this very layer may be stuck, one step nearer
                break
        elif states >= max_states and target not in walk.parents:
            return Outcome("bounded", states, walk.depth, any(finished(model, seen) for seen in walk.parents))
        if states - last_told >= 10_000:
            last_told = states
            progress(states)
    if found is not None:
        return found
    if any(finished(model, seen) for seen in walk.parents):
        return Outcome("holds", len(walk.parents), walk.depth, True)
    return Outcome("fails", len(walk.parents), walk.depth, False, (), "vacuous")


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
