"""What becomes of a unit between retranslations, and in one: maps and a matrix over the surroundings at rest.

At rest nobody rewrites: the thread is somewhere in other code.  Then an execution of the unit's block, another access
to its instruction line, and a line that leaves its cache each make one surroundings of another, as the machine says; a
retranslation leads to several, with the probabilities of a walk (``walk.py``) from its first operation to its last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.machine import Kind, State, environment_steps, initial, program_steps, step
from bench.machine.model import Model
from bench.risk.causes import Cause
from bench.risk.environment_step import Turn
from bench.risk.solve import F64, FETCHED, System
from bench.risk.walk import Harms, Walk
from bench.search.question import Question

I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Maps:
    """From each surroundings at rest, by number, to the next.

    ``run``, with the ``harm`` of a wrong fetch or -1; ``fill``: the running core fetches the instruction line;
    ``drop``, ``evict``: the instruction or the data line leaves each core's cache (core, surroundings); ``move``: to
    each core.  ``here``: the core that the thread runs on.  ``wrong``: whether the point of unification is not up to
    date.
    """

    run: I64
    harm: I64
    fill: I64
    drop: I64
    evict: I64
    move: I64
    here: I64
    wrong: npt.NDArray[np.bool_]


class Rest:
    """All surroundings at rest that can be reached from a clean start; number 0 is that.

    Raises ``InputError`` for too many.
    """

    def __init__(self, model: Model, question: Question, causes: Sequence[Cause], harms: Harms) -> None:
        self._model, self._question, self._harms = model, question, harms
        self._turn = Turn(model, causes)
        self._walk = Walk(model, question, self._turn, harms, self._is_over)
        self._first: tuple[int, ...] | None = None
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._number(initial(model))
        cores = range(model.scenario.cores)
        rows = []
        for state in self._states:  # they become more meanwhile
            run, harm = self._run(state)
            rows.append(
                (
                    run,
                    harm,
                    self._each(state, Kind.FILL, self._core(state)),
                    *(self._each(state, Kind.DROP, core) for core in cores),
                    *(self._each(state, Kind.WRITE_BACK, core) for core in cores),
                    *(self._moved(state, core) for core in cores),
                )
            )
            self._rewrite(state)
        columns = np.array(rows).T
        drop, evict, move = columns[3:].reshape(3, len(cores), -1)
        self.maps = Maps(
            run=columns[0],
            harm=columns[1],
            fill=columns[2],
            drop=drop,
            evict=evict,
            move=move,
            here=np.array([self._core(state) for state in self._states]),
            wrong=np.array([state.memory.memory != state.memory.data for state in self._states]),
        )
        self._system = System(self._walk)

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
        """The number of surroundings."""
        return len(self._states)

    def rewritten(self, causes: Sequence[Cause]) -> F64:
        """From surroundings before a retranslation to those after it: probabilities."""
        assert self._first is not None
        position = (self._first, (-1,))
        values = self._system.values(position, self._turn.matrix(causes), FETCHED)
        before = [self._turn.number(state) for state in self._states]
        after = [self._numbers[self._at_rest(self._turn.surroundings[end])] for end in self._system.ends]
        found = np.zeros((self.size, self.size))
        for column, target in enumerate(after):
            found[:, target] += values[before, column]
        return found

    # - surroundings

    def _at_rest(self, state: State) -> State:
        return state._replace(places=self._model.starts)

    def _number(self, state: State) -> int:
        state = self._at_rest(state)
        if state not in self._numbers:
            self._numbers[state] = len(self._states)
            self._states.append(state)
        return self._numbers[state]

    def _core(self, state: State) -> int:
        return state.running.index(0)

    def _rewriting(self, state: State) -> bool:
        return self._model.programs[0].place(state.places[0]).rewriting

    def _is_over(self, state: State) -> bool:
        return not self._rewriting(state)

    # - what happens at rest

    def _run(self, state: State) -> tuple[int, int]:
        """An execution of the block up to its fault, and the harm of what it fetches wrong."""
        harm = -1
        while not self._rewriting(state):
            (way,) = (one for one in program_steps(self._model, state))
            if self._question.fails(self._model, way):
                assert way.wrong is not None
                harm = max(harm, self._harms(way.state, way.wrong))
            state = self._settled(way.state)
        self._first = state.places
        return self._number(state), harm

    def _settled(self, state: State) -> State:
        """After stores have left the buffer, and maintenance has completed."""
        for kind in (Kind.DRAIN, Kind.COMPLETE):
            while found := next(environment_steps(self._model, state, (kind,)), None):
                state = found.state
        return state

    def _each(self, state: State, kind: Kind, core: int) -> int:
        """Everything of a kind happens on a core."""
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

    def _rewrite(self, state: State) -> None:
        """All that a retranslation can lead to."""
        assert self._first is not None
        before = set(self._walk.ends)
        self._walk.begin(state._replace(places=self._first))
        for end in sorted(self._walk.ends - before):
            self._number(self._turn.surroundings[end])
