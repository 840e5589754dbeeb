"""The machine of ``check`` as a Markov chain, and how often it runs a wrong unit.

Steps
-----
A thread takes one operation; then the environment takes its step (``environment_step.py``), in which each *cause*
occurs or does not.  A thread that has to wait does nothing until the next environment step.  An operation with several
outcomes has each with the same probability.  Which of several threads runs next is a choice (``solve.py``).

Figures
-------
``first``: the probability that one retranslation from a clean start (nothing cached, all values final) ends in the
execution of a wrong unit.  ``rounds``, for a single thread: the expected number of retranslations from there until a
wrong unit is executed, since a wrong value stays in memory until something writes it; its inverse is the long-run
figure.  After a failure the guest is assumed to start anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from bench.machine import State, finished, initial
from bench.machine.model import Model
from bench.risk.causes import Cause
from bench.risk.environment_step import EnvironmentStep
from bench.risk.graph import Node, ReachableGraph
from bench.risk.harm import F64, FETCHED, Harms, always
from bench.risk.solve import Scheduler, Solver, residual, until_failure
from bench.search.question import Question
from bench.support.errors import InputError

RUNS = 2
"""How often another thread may run the block while one retranslates it, in the figures that are shown."""


@dataclass(frozen=True, slots=True)
class ChainFigures:
    """``first`` and ``rounds`` as above; ``residual``: the relative error of the equations that ``rounds`` solves.

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
    """The states and edges of a chain, without the probabilities.

    ``causes`` as for ``EnvironmentStep``; ``runs``: how often another thread may run the block.
    Raises ``InputError`` for a model with several retranslations by each thread, and for one with too many nodes.
    """

    start: Node
    """The clean start."""

    def __init__(
        self, model: Model, question: Question, causes: Sequence[Cause], *, harms: Harms = always, runs: int = 0
    ) -> None:
        instance = model.scenario
        if instance.retranslations > 1 or instance.flushes:
            raise InputError(
                f"{instance.retranslations} retranslations, {instance.flushes} tb flushes",
                place="chain",
                expected="one retranslation by each thread, and no tb flush",
            )
        self.single_threaded = len(instance.threads) == 1

        def is_over(state: State) -> bool:
            return self.single_threaded and finished(model, state)

        self.graph = ReachableGraph(model, question, EnvironmentStep(model, causes), harms, is_over, runs)
        self.start = position, _ = self.graph.begin(initial(model))
        if self.single_threaded:  # and then again, from wherever that ended
            while missing := self.graph.ends - {edge.before for edge in self.graph.edges[position]}:
                for number in sorted(missing):
                    self.graph.begin(self.graph.environment.states[number]._replace(places=model.starts))
        self._solver = Solver(self.graph)

    @property
    def size(self) -> int:
        """The number of nodes."""
        return self.graph.size

    def figures(self, causes: Sequence[Cause]) -> ChainFigures:
        """The figures for a single thread.  Raises ``InputError`` for causes of another structure."""
        position, clean = self.start
        values = self._solver.values(position, self.graph.environment.matrix(causes), FETCHED)
        among, failing = values[self._solver.ends, :-1], values[self._solver.ends, -1]
        rounds = until_failure(among, failing)
        here = values[clean]
        # An end that is not reached costs nothing, even if its number of rounds is infinite.
        on = here[:-1] > 0
        return ChainFigures(float(here[-1]), float(1 + here[:-1][on] @ rounds[on]), residual(among, failing, rounds))

    def probability(
        self, causes: Sequence[Cause], harms: F64 = FETCHED, scheduler: Scheduler = "slices", slice_ends: float = 0.0
    ) -> float:
        """``first``, for several threads."""
        position, clean = self.start
        environment = self.graph.environment.matrix(causes)
        found = self._solver.values(position, environment, harms, scheduler, slice_ends)[clean, -1]
        return min(1.0, float(found))  # rounding can lift the sum above 1

    def schedulers(self, causes: Sequence[Cause], slice_ends: float) -> dict[str, float]:
        """``first``, for several threads, under each scheduler."""
        schedulers: tuple[Scheduler, ...] = get_args(Scheduler)
        return {scheduler: self.probability(causes, FETCHED, scheduler, slice_ends) for scheduler in schedulers}
