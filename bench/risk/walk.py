"""What threads do between two turns of the environment: places, what leads where, and which way it goes wrong.

A *node* is how far the threads have come (a *position*) and the surroundings (``turn.py``).  One operation of a thread
leads to a position and, through the environment's turn, to one of several surroundings.  Where several threads could
go on, which of them does is a *choice*, and not chance.  On a core that threads share, a choice may switch to
another thread first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from bench.machine import Event, Kind, State, Transition, program_steps, step
from bench.machine.model import Model
from bench.risk.environment_step import Turn
from bench.scenarios import Role
from bench.search.question import Question
from bench.support.errors import InputError

Position: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The threads' places, and how often each of them may still begin to run a block (-1: as its program says)."""

HARMLESS, ON_HIT, ON_MISS, ALWAYS = range(4)
"""When what was fetched wrong does harm: a *harm* is one of these."""
Harms: TypeAlias = Callable[[State, tuple[int, int]], int]
"""The harm of the unit (block, position) that was fetched wrong, in the state after it."""

MOST_NODES = 200_000
"""Far more than a shipped cell has."""


class Edge(NamedTuple):
    """An operation: the thread that takes it, of whose ways this is ``share``, from surroundings to surroundings.

    ``switches``: another thread of its core ran before.  ``target``: the position after it, where the turn begins.
    ``harm`` of what it fetches wrong; -1 if nothing.
    """

    thread: int
    switches: bool
    before: int
    share: float
    target: Position
    between: int
    harm: int


def always(_: State, __: tuple[int, int]) -> int:
    """Whatever was fetched wrong does harm."""
    return ALWAYS


@dataclass
class Walk:
    """All nodes that can be reached from those that it was told to begin with.

    ``is_over``: a state in which a walk ends.  ``runs``: how often each executor may begin to run a block.
    ``edges`` of each position, ``over``: the positions in which walks ended, and ``ends``: the surroundings there.
    """

    model: Model
    question: Question
    turn: Turn
    harms: Harms
    is_over: Callable[[State], bool]
    runs: int = 0
    edges: dict[Position, list[Edge]] = field(default_factory=dict)
    over: set[Position] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    _seen: set[tuple[Position, int]] = field(default_factory=set)
    _new: list[tuple[Position, int]] = field(default_factory=list)

    def begin(self, state: State) -> tuple[Position, int]:
        """The node of a state, from which all others are found; the environment's turn comes after an operation."""
        executors = (program.role is Role.EXECUTOR for program in self.model.programs)
        position = state.places, tuple(self.runs if executor else -1 for executor in executors)
        node = position, self.turn.number(state)
        self._add(*node)
        while self._new:
            self._explore(*self._new.pop())
        return node

    @property
    def size(self) -> int:
        """The number of nodes."""
        return len(self._seen)

    def _add(self, position: Position, number: int) -> None:
        if (position, number) not in self._seen:
            if len(self._seen) == MOST_NODES:
                raise InputError(f"more than {MOST_NODES} states", place="chain", expected="a smaller scenario")
            self._seen.add((position, number))
            self._new.append((position, number))

    def _explore(self, position: Position, number: int) -> None:
        places, left = position
        state = self.turn.surroundings[number]._replace(places=places)
        found = [edge for thread in range(len(places)) for edge in self._steps(thread, state, number, left)]
        if not found and not self._done(state, left):
            found = [Edge(-1, False, number, 1.0, position, number, -1)]  # all wait for the environment
        self.edges.setdefault(position, []).extend(found)
        for edge in found:
            after = self.turn.after(edge.between)
            if self.is_over(self.turn.surroundings[edge.between]._replace(places=edge.target[0])):
                self.over.add(edge.target)
                self.ends.update(after)
            else:
                for following in after:
                    self._add(edge.target, following)

    def _done(self, state: State, left: tuple[int, ...]) -> bool:
        """Whether nobody has anything left to do."""
        return all(
            program.place(place).finished or (runs == 0 and place == start)
            for program, place, start, runs in zip(
                self.model.programs, state.places, self.model.starts, left, strict=True
            )
        )

    def _steps(self, thread: int, state: State, number: int, left: tuple[int, ...]) -> Iterator[Edge]:
        """The operations that a thread can be let do next."""
        model = self.model
        begins = left[thread] >= 0 and state.places[thread] == model.starts[thread]
        if begins:
            if not left[thread]:
                return
            left = (*left[:thread], left[thread] - 1, *left[thread + 1 :])
        switches = model.switches and thread not in state.running
        if switches:
            switched = step(model, state, Event(Kind.SWITCH, model.home[thread], 0, thread))
            if switched is None:
                return
            state = switched.state
        ways = [way for way in program_steps(model, state) if way.event.thread == thread]
        for way in ways:
            target = way.state.places, left
            between = self.turn.number(way.state)
            yield Edge(thread, switches, number, 1 / len(ways), target, between, self._harm(way))

    def _harm(self, way: Transition) -> int:
        if not self.question.fails(self.model, way):
            return -1
        assert way.wrong is not None
        return self.harms(way.state, way.wrong)
