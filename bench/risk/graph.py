"""The reachable nodes of a chain: what an operation leads to, and whether it fetches a wrong unit.

A *node* is how far the threads have come (a *position*) and the state of the caches (``environment_step.py``).  An
operation of a thread leads to a position and, after the environment step, to one of several cache states.  Which of
several threads runs next is a *choice*, not chance.  On a core that threads share, a choice may first switch threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from bench.machine import Event, Kind, State, Transition, program_steps, step
from bench.machine.model import Model
from bench.risk.environment_step import EnvironmentStep
from bench.risk.harm import Harms
from bench.scenarios import Role
from bench.search.question import Question
from bench.support.errors import InputError

Position: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The threads' places, and how often each may still begin to run a block (-1: as its program says)."""
Node: TypeAlias = tuple[Position, int]
"""A position, and the number of the cache state."""

MAX_NODES = 200_000
"""Far more than a shipped cell has."""


class Edge(NamedTuple):
    """One outcome of an operation of ``thread``, with probability ``share``, from the cache state ``before``.

    ``switches``: the core switches to the thread first.  ``target``, ``between``: the position and the cache state
    after the operation, before the environment step.  ``harm`` of a wrong fetch; -1 without one.
    """

    thread: int
    switches: bool
    before: int
    share: float
    target: Position
    between: int
    harm: int


@dataclass
class ReachableGraph:
    """All nodes that can be reached from those given to ``begin``.

    ``is_over``: whether a path ends in a state.  ``runs``: how often each executor may begin to run a block.
    ``edges`` of each position; ``over``: the positions in which paths ended, and ``ends``: the cache states there.
    """

    model: Model
    question: Question
    environment: EnvironmentStep
    harms: Harms
    is_over: Callable[[State], bool]
    runs: int = 0
    edges: dict[Position, list[Edge]] = field(default_factory=dict)
    over: set[Position] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    _seen: set[Node] = field(default_factory=set)
    _new: list[Node] = field(default_factory=list)

    def begin(self, state: State) -> Node:
        """The node of a state; explore what it reaches.  Its first step is an operation."""
        executors = (program.role is Role.EXECUTOR for program in self.model.programs)
        position = state.places, tuple(self.runs if executor else -1 for executor in executors)
        node = position, self.environment.number(state)
        self._add(node)
        while self._new:
            self._explore(*self._new.pop())
        return node

    @property
    def size(self) -> int:
        """The number of nodes."""
        return len(self._seen)

    def _add(self, node: Node) -> None:
        if node not in self._seen:
            if len(self._seen) == MAX_NODES:
                raise InputError(f"more than {MAX_NODES} states", place="chain", expected="a smaller scenario")
            self._seen.add(node)
            self._new.append(node)

    def _explore(self, position: Position, number: int) -> None:
        places, left = position
        state = self.environment.states[number]._replace(places=places)
        found = [edge for thread in range(len(places)) for edge in self._steps(thread, state, number, left)]
        if not found and not self._done(state, left):
            found = [Edge(-1, False, number, 1.0, position, number, -1)]  # all threads wait for the environment
        self.edges.setdefault(position, []).extend(found)
        for edge in found:
            after = self.environment.after(edge.between)
            if self.is_over(self.environment.states[edge.between]._replace(places=edge.target[0])):
                self.over.add(edge.target)
                self.ends.update(after)
            else:
                for following in after:
                    self._add((edge.target, following))

    def _done(self, state: State, left: tuple[int, ...]) -> bool:
        """Whether no thread has anything left to do."""
        threads = zip(self.model.programs, state.places, self.model.starts, left, strict=True)
        return all(
            program.place(place).finished or (runs == 0 and place == start) for program, place, start, runs in threads
        )

    def _steps(self, thread: int, state: State, number: int, left: tuple[int, ...]) -> Iterator[Edge]:
        """The operations that a thread can do next."""
        model = self.model
        if left[thread] >= 0 and state.places[thread] == model.starts[thread]:
            if not left[thread]:
                return
            left = (*left[:thread], left[thread] - 1, *left[thread + 1 :])
        switches = model.switches and thread not in state.running
        if switches:
            switched = step(model, state, Event(Kind.SWITCH, model.home[thread], 0, thread))
            if switched is None:
                return
            state = switched.state
        outcomes = [one for one in program_steps(model, state) if one.event.thread == thread]
        for one in outcomes:
            between = self.environment.number(one.state)
            harm = harm_of(one, model, self.question, self.harms)
            yield Edge(thread, switches, number, 1 / len(outcomes), (one.state.places, left), between, harm)


def harm_of(transition: Transition, model: Model, question: Question, harms: Harms) -> int:
    """The harm of what a transition fetches wrong; -1 if it fetches nothing wrong."""
    if not question.fails(model, transition):
        return -1
    assert transition.wrong is not None
    return harms(transition.state, transition.wrong)
