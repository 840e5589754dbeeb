"""The machine of ``check`` as a Markov chain, and how often it runs a wrong unit.

The cut
-------
A thread takes one step, an operation; then, before the next, the environment has its turn (``turn.py``): each of the
*causes* happens or does not.  A thread that has to wait goes without its step: the environment's turn comes again.
Where it may go several ways, each is as likely.  Which of several threads goes on is a choice (``solve.py``).

Figures
-------
``first``: the probability that one retranslation from a clean start (nothing cached, all values final) ends in the
execution of a wrong unit.  ``rounds``, for one thread alone: the expected number of retranslations from there
until a wrong unit is executed, since what is wrong in memory stays wrong until something writes it: one over it is the
long-run figure.  After it the guest is taken to be started anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import State, finished, initial
from bench.machine.model import Model
from bench.risk.causes import Cause
from bench.risk.environment_step import Turn
from bench.risk.solve import F64, FETCHED, Scheduler, System, residual, until_failure
from bench.risk.walk import Harms, Position, Walk, always
from bench.search.question import Question
from bench.support.errors import InputError

RUNS = 2
"""How often another thread may run the block while one retranslates it, in the figures that are shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``first`` and ``rounds`` as at the top; ``residual``: how far, relatively, ``rounds`` is from solving its system.

    ``rounds`` is infinite where nothing wrong is ever executed.
    """

    first: float
    rounds: float
    residual: float

    @property
    def long_run(self) -> float:
        """Wrong executions per retranslation, in the long run."""
        return 1 / self.rounds


class Chain:
    """The structure of a chain: what leads where, without the probabilities.

    ``causes`` as ``Turn`` takes them; ``runs``: how often another thread may run the block.
    Raises ``InputError`` for a model with several retranslations by each thread, and for one with too many nodes.
    """

    def __init__(
        self, model: Model, question: Question, causes: Sequence[Cause], *, harms: Harms = always, runs: int = 0
    ) -> None:
        cast = model.scenario
        if cast.retranslations > 1 or cast.flushes:
            raise InputError(
                f"{cast.retranslations} retranslations, {cast.flushes} tb flushes",
                place="chain",
                expected="one retranslation by each thread, and no tb flush",
            )
        self.model = model
        self.alone = len(cast.threads) == 1
        self.walk = Walk(model, question, Turn(model, causes), harms, self._is_over, runs)
        self._begin, self._clean = self.walk.begin(initial(model))
        if self.alone:  # and then again, from wherever that ended
            while missing := self.walk.ends - self._begun():
                for number in sorted(missing):
                    self.walk.begin(self.walk.turn.surroundings[number]._replace(places=model.starts))
        self._system = System(self.walk)

    @property
    def start(self) -> tuple[Position, int]:
        """The clean start: its position and surroundings."""
        return self._begin, self._clean

    @property
    def size(self) -> int:
        """The number of nodes."""
        return self.walk.size

    def _is_over(self, state: State) -> bool:
        return self.alone and finished(self.model, state)

    def _begun(self) -> set[int]:
        return {edge.before for edge in self.walk.edges[self._begin]}

    def answer(self, causes: Sequence[Cause], harms: F64 = FETCHED) -> Answer:
        """The figures, for one thread.  Raises ``InputError`` for causes that need another structure."""
        values = self._system.values(self._begin, self.walk.turn.matrix(causes), harms)
        among, failing = values[self._system.ends, :-1], values[self._system.ends, -1]
        rounds = until_failure(among, failing)
        here = values[self._clean]
        # An end that is not reached takes no time, even if it took for ever.
        on = here[:-1] > 0
        return Answer(float(here[-1]), float(1 + here[:-1][on] @ rounds[on]), residual(among, failing, rounds))

    def probability(
        self, causes: Sequence[Cause], harms: F64 = FETCHED, scheduler: Scheduler = "slices", slice_ends: float = 0.0
    ) -> float:
        """``first``, for several threads."""
        turn = self.walk.turn.matrix(causes)
        found = self._system.values(self._begin, turn, harms, scheduler, slice_ends)[self._clean, -1]
        return min(1.0, float(found))  # the sum of many rounded ones
