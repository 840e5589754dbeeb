"""What becomes of a unit between retranslations, and in one: maps and a matrix over the quiescent states.

In a quiescent state nobody rewrites: the thread runs other code.  An execution of the unit's block, another access to
its instruction line, and the eviction of a line each lead to one quiescent state, as the machine says.  A retranslation
leads to several, with the probabilities of a graph (``graph.py``) from its first operation to its last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.machine import Kind, State, environment_steps, initial, program_steps, step
from bench.machine.model import Model
from bench.risk.causes import Cause
from bench.risk.environment_step import EnvironmentStep
from bench.risk.graph import ReachableGraph, harm_of
from bench.risk.harm import F64, FETCHED, Harms
from bench.risk.solve import Solver
from bench.search.question import Question
from bench.traces.trace import I64


@dataclass(frozen=True, slots=True)
class QuiescentMaps:
    """From each quiescent state, by number, to the next.

    ``run``, with the ``harm`` of a wrong fetch or -1; ``fill``: the running core fetches the instruction line;
    ``drop``, ``evict``: the instruction or the data line leaves each core's cache (core, state); ``move``: to each
    core.  ``here``: the core that the thread runs on.  ``wrong``: whether the point of unification is out of date.
    """

    run: I64
    harm: I64
    fill: I64
    drop: I64
    evict: I64
    move: I64
    here: I64
    wrong: npt.NDArray[np.bool_]


class QuiescentStates:
    """All quiescent states that can be reached from a clean start, which is number 0.

    Raises ``InputError`` for too many.
    """

    def __init__(self, model: Model, question: Question, harms: Harms, causes: Sequence[Cause]) -> None:
        self._model, self._question, self._harms = model, question, harms
        self._environment = EnvironmentStep(model, causes)
        self._graph = ReachableGraph(
            model, question, self._environment, harms, is_over=lambda state: not self._rewriting(state)
        )
        self._first: tuple[int, ...] = ()
        """The places at the first operation of a retranslation."""
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._number(initial(model))
        cores = range(model.scenario.cores)
        rows = []
        for state in self._states:  # grows meanwhile
            rows.append(
                (
                    *self._run(state),
                    self._all_pending(state, Kind.FILL, _core(state)),
                    *(self._all_pending(state, Kind.DROP, core) for core in cores),
                    *(self._all_pending(state, Kind.WRITE_BACK, core) for core in cores),
                    *(self._moved(state, core) for core in cores),
                )
            )
            self._retranslate(state)
        columns = np.array(rows).T
        drop, evict, move = columns[3:].reshape(3, len(cores), -1)
        self.maps = QuiescentMaps(
            run=columns[0],
            harm=columns[1],
            fill=columns[2],
            drop=drop,
            evict=evict,
            move=move,
            here=np.array([_core(state) for state in self._states]),
            wrong=np.array([state.memory.memory != state.memory.data for state in self._states]),
        )
        self._solver = Solver(self._graph)

    @property
    def fails(self) -> bool:
        """Whether something wrong can ever be executed."""
        return bool((self.maps.harm >= 0).any())

    @property
    def moves(self) -> bool:
        """Whether the thread may be moved to another core."""
        return self._model.scenario.moves

    @property
    def size(self) -> int:
        """The number of quiescent states."""
        return len(self._states)

    def retranslated(self, causes: Sequence[Cause]) -> F64:
        """The probabilities from each state before a retranslation to each after it."""
        values = self._solver.values((self._first, (-1,)), self._environment.matrix(causes), FETCHED)
        before = [self._environment.number(state) for state in self._states]
        after = [self._number(self._environment.states[end]) for end in self._solver.ends]
        found = np.zeros((self.size, self.size))
        for column, target in enumerate(after):
            found[:, target] += values[before, column]
        return found

    def _number(self, state: State) -> int:
        state = state._replace(places=self._model.starts)
        if state not in self._numbers:
            self._numbers[state] = len(self._states)
            self._states.append(state)
        return self._numbers[state]

    def _rewriting(self, state: State) -> bool:
        return self._model.programs[0].place(state.places[0]).rewriting

    def _run(self, state: State) -> tuple[int, int]:
        """The state after an execution of the block up to its fault, and the harm of what it fetches wrong."""
        harm = -1
        while not self._rewriting(state):
            (transition,) = program_steps(self._model, state)
            harm = max(harm, harm_of(transition, self._model, self._question, self._harms))
            state = settled(self._model, transition.state)
        self._first = state.places
        return self._number(state), harm

    def _all_pending(self, state: State, kind: Kind, core: int) -> int:
        """The state after all pending events of one kind fire on one core."""
        for event in [one.event for one in environment_steps(self._model, state, (kind,)) if one.event.core == core]:
            after = step(self._model, state, event)
            if after is not None:
                state = after.state
        return self._number(state)

    def _moved(self, state: State, core: int) -> int:
        for one in environment_steps(self._model, state, (Kind.MOVE,)):
            if one.event.detail == core:
                return self._number(one.state)
        return self._number(state)

    def _retranslate(self, state: State) -> None:
        """Number all states that a retranslation can lead to."""
        before = set(self._graph.ends)
        self._graph.begin(state._replace(places=self._first))
        for end in sorted(self._graph.ends - before):
            self._number(self._environment.states[end])


def settled(model: Model, state: State) -> State:
    """The state after stores have left the buffer and maintenance has completed."""
    for kind in (Kind.DRAIN, Kind.COMPLETE):
        while found := next(environment_steps(model, state, (kind,)), None):
            state = found.state
    return state


def _core(state: State) -> int:
    return state.running.index(0)
