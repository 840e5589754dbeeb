"""The machine of ``check`` with one thread as a Markov chain, and how often it runs a wrong unit.

The cut
-------
The thread takes one step, an operation; then, before the next, each of the *causes* happens or does not.  If it
does, everything that the environment may do then is tried once: in the order of ``Kind``, each data line that the core
holds, each instruction line present (and then each absent), each block that may be fetched ahead, the stores of a
buffer from the oldest to the first that stays, each piece of pending maintenance, each switch and each move.  A thread
that has to wait goes without its step: the environment's turn comes again.  Where it may go several ways, each is as
likely.

Two figures
-----------
``first``: the probability that one retranslation from a clean start (nothing cached, all values final) ends in the
execution of a wrong unit.  ``cycles``: the expected number of retranslations from there until a wrong unit is executed,
since what is wrong in memory stays wrong until something writes it: one over it is the long-run figure.  After it the
guest is taken to be started anew.

How it is computed
------------------
The states between two operations are nodes; the structure is made once for all probabilities, each edge with how
often each of them, or one less it, is a factor.  A retranslation begins and ends in a few nodes, the
*boundary*.  What a node leads to (boundary nodes, or a wrong unit) follows from what the nodes after it lead to; nodes
that lead to each other are eliminated one by one, and so is the boundary in the end.  Nothing is subtracted: the
probability of leaving a node is the sum of the ways that leave it (Grassmann, Taksar and Heyman, Operations Research
33(5), 1985, "Regenerative Analysis and Steady State Distributions for Markov Chains"), so that 1e-30 has as many digits
as 1e-3.
"""

from __future__ import annotations

import graphlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.errors import InputError
from bench.machine import Kind, State, environment_steps, finished, initial, program_steps, step
from bench.program import Model
from bench.risk.causes import CHANCY, Cause
from bench.search.question import Question

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Factors: TypeAlias = tuple[int, ...]
"""How often each probability of the causes, in their order, is a factor (its own, and of each kind in ``CHANCY``), and
then how often one less that probability."""

_EACH = 1 + len(CHANCY)
"""Probabilities of a cause."""
_FAILED = -1
MOST_NODES = 100_000
"""Nodes; far more than a shipped cell with one thread has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``first`` and ``cycles`` as at the top; ``residual``: how far, relatively, ``cycles`` is from solving its system.

    ``cycles`` is infinite where nothing wrong is ever executed.
    """

    first: float
    cycles: float
    residual: float

    @property
    def long_run(self) -> float:
        """Wrong executions per retranslation, in the long run."""
        return 1 / self.cycles


class Chain:
    """The structure of a chain: what leads where, without the probabilities.

    ``causes``: only which of their probabilities are 0, and which are 1, makes a difference here.
    Raises ``InputError`` for a model with several threads or retranslations, and for one with too many nodes.
    """

    def __init__(self, model: Model, question: Question, causes: Sequence[Cause]) -> None:
        cast = model.scenario
        if len(cast.threads) > 1 or cast.retranslations > 1:
            raise InputError(
                f"{len(cast.threads)} threads, {cast.retranslations} retranslations", place="chain",
                expected="one of each: who runs next is not a matter of chance",
            )  # fmt: skip
        self.model, self.question = model, question
        probabilities = _probabilities(causes)
        self._possible, self._certain = probabilities > 0, probabilities == 1
        self._none: Factors = (0,) * (2 * probabilities.size)
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._number(initial(model))
        edges: list[tuple[int, int, float, Factors]] = []
        for node, state in enumerate(self._states):
            edges += ((node, *edge) for edge in self._edges(state))
            if len(self._states) > MOST_NODES:
                raise InputError(f"more than {MOST_NODES} states", place="chain", expected="a smaller scenario")
        sources, targets, ways, factors = zip(*edges, strict=True)
        self._source, self._target = np.array(sources), np.array(targets)
        self._ways = np.array(ways)
        self._factors = np.array(factors)
        places = [state.places for state in self._states]
        self._boundary = np.array([node for node, place in enumerate(places) if place == model.starts])
        self._layers = self._in_order(places)

    @property
    def size(self) -> int:
        """The number of nodes."""
        return len(self._states)

    # - the structure

    def _number(self, state: State) -> int:
        if state not in self._numbers:
            self._numbers[state] = len(self._states)
            self._states.append(state)
        return self._numbers[state]

    def _edges(self, state: State) -> Iterator[tuple[int, float, Factors]]:
        """What follows a node: where, with which share of the thread's ways, and what the environment did."""
        ways = list(program_steps(self.model, state))
        for way in ways:
            if self.question.fails(self.model, way):
                yield _FAILED, 1 / len(ways), self._none
                continue
            for after, factors in self._gap(way.state):
                if finished(self.model, after):
                    after = after._replace(places=self.model.starts)
                yield self._number(after), 1 / len(ways), factors
        if not ways:  # the thread waits
            for after, factors in self._gap(state):
                yield self._number(after), 1.0, factors

    def _gap(self, state: State) -> list[tuple[State, Factors]]:
        """What the environment can make of a state until the next operation, each way by itself."""
        ways = [(state, self._none)]
        for cause in range(0, self._possible.size, _EACH):
            ways = [way for before in ways for way in self._happening(cause, *before)]
        return ways

    def _happening(self, cause: int, state: State, factors: Factors) -> Iterator[tuple[State, Factors]]:
        """After a cause, whose first probability is number ``cause``, has happened or has not."""
        if not self._certain[cause]:
            yield state, self._less(factors, cause)
        if self._possible[cause]:
            ways = [(state, self._more(factors, cause))]
            for number, kind in enumerate(CHANCY, cause + 1):
                if self._possible[number]:
                    ways = [way for before in ways for way in self._tried(number, kind, *before)]
            yield from ways

    def _tried(self, number: int, kind: Kind, state: State, factors: Factors) -> list[tuple[State, Factors]]:
        """After everything of a kind has been tried once, with probability number ``number``."""
        ways = [(state, factors)]
        for event in [one.event for one in environment_steps(self.model, state, (kind,))]:
            done: list[tuple[State, Factors]] = []
            while ways:
                before, so_far = ways.pop()
                after = step(self.model, before, event)
                if after is None:
                    done.append((before, so_far))
                    continue
                # A buffer drains from its oldest store to the first that stays.
                (ways if kind is Kind.DRAIN else done).append((after.state, self._more(so_far, number)))
                if not self._certain[number]:
                    done.append((before, self._less(so_far, number)))
            ways = done
        return ways

    def _more(self, factors: Factors, at: int) -> Factors:
        """With one more factor of a probability."""
        return (*factors[:at], factors[at] + 1, *factors[at + 1 :])

    def _less(self, factors: Factors, at: int) -> Factors:
        """With one more factor of one less it."""
        return self._more(factors, at + self._possible.size)

    def _in_order(self, places: list[tuple[int, ...]]) -> list[I64]:
        """The nodes of each place, the last places of a retranslation first; only waiting nodes lead to their own."""
        of_place: dict[tuple[int, ...], list[int]] = {}
        for node, place in enumerate(places):
            of_place.setdefault(place, []).append(node)
        leads: dict[tuple[int, ...], set[tuple[int, ...]]] = {place: set() for place in of_place}
        for source, target in zip(self._source.tolist(), self._target.tolist(), strict=True):
            if target != _FAILED and places[target] not in (places[source], self.model.starts):
                leads[places[source]].add(places[target])
        return [np.array(of_place[place]) for place in graphlib.TopologicalSorter(leads).static_order()]

    # - the numbers

    def answer(self, causes: Sequence[Cause]) -> Answer:
        """The figures.  Raises ``InputError`` for causes that need another structure."""
        p = _probabilities(causes)
        if not (np.array_equal(p > 0, self._possible) and np.array_equal(p == 1, self._certain)):
            raise InputError("other causes", place="chain", expected="those that it was made for")
        edges = self._ways * np.prod(np.concatenate((p, 1 - p)) ** self._factors, axis=1)
        ends = self._ends(edges)
        among, failing = ends[self._boundary, :-1], ends[self._boundary, -1]
        cycles = _until_failure(among, failing)
        return Answer(float(failing[0]), float(cycles[0]), _residual(among, failing, cycles))

    def _ends(self, edges: F64) -> F64:
        """Of each node the probabilities of the boundary nodes that its retranslation ends in, and of its failing."""
        columns = np.full(self.size, -1)
        columns[self._boundary] = np.arange(self._boundary.size)
        ends = np.zeros((self.size, self._boundary.size + 1))
        last = (self._target == _FAILED) | (columns[self._target] >= 0)
        column = np.where(self._target == _FAILED, self._boundary.size, columns[self._target])
        np.add.at(ends, (self._source[last], column[last]), edges[last])
        layer_of = np.empty(self.size, np.int64)
        for number, nodes in enumerate(self._layers):
            layer_of[nodes] = number
        inner = np.flatnonzero(~last)
        inner = inner[np.argsort(layer_of[self._source[inner]], kind="stable")]
        bounds = np.searchsorted(layer_of[self._source[inner]], np.arange(len(self._layers) + 1))
        for number, nodes in enumerate(self._layers):
            here = inner[bounds[number] : bounds[number + 1]]
            source, target = self._source[here], self._target[here]
            waits = layer_of[target] == number
            np.add.at(ends, source[~waits], edges[here[~waits], None] * ends[target[~waits]])
            if waits.any():
                position = np.empty(self.size, np.int64)
                position[nodes] = np.arange(nodes.size)
                among = np.zeros((nodes.size, nodes.size))
                np.add.at(among, (position[source[waits]], position[target[waits]]), edges[here[waits]])
                ends[nodes] = _left(among, ends[nodes])
        return ends


def _probabilities(causes: Sequence[Cause]) -> F64:
    """All of them in order: of each cause its own, and of each kind in ``CHANCY``."""
    return np.array([value for cause in causes for value in (cause.probability, *map(cause.of, CHANCY))])


def _left(among: F64, ends: F64) -> F64:
    """Where nodes end that lead to each other with probabilities ``among``, and on with those in ``ends``."""
    among, ends = among.copy(), ends.copy()
    leaving = []
    for node in range(len(among) - 1, -1, -1):
        out = among[node, :node].sum() + ends[node].sum()
        leaving.append(out)
        if out > 0:
            share = among[:node, node] / out
            among[:node, :node] += np.outer(share, among[node, :node])
            ends[:node] += np.outer(share, ends[node])
    for node, out in enumerate(reversed(leaving)):
        if out > 0:
            ends[node] = (ends[node] + among[node, :node] @ ends[:node]) / out
    return ends


def _until_failure(among: F64, failing: F64) -> F64:
    """The expected number of retranslations until one fails, from each boundary node."""
    among, failing, cost = among.copy(), failing.copy(), np.ones(len(among))
    count = len(among)
    leaving = np.zeros(count)
    for node in range(count - 1, -1, -1):
        leaving[node] = among[node, :node].sum() + failing[node]
        if leaving[node] > 0:
            share = among[:node, node] / leaving[node]
            among[:node, :node] += np.outer(share, among[node, :node])
            failing[:node] += share * failing[node]
            cost[:node] += share * cost[node]
        else:
            return np.full(count, math.inf)  # all nodes are reached, and this one is never left
    found = np.zeros(count)
    for node in range(count):
        found[node] = (cost[node] + among[node, :node] @ found[:node]) / leaving[node]
    return found


def _residual(among: F64, failing: F64, cycles: F64) -> float:
    """The largest of ``failing * cycles + sum(among * (cycles - those of the others)) - 1``: one is due each time."""
    if math.isinf(cycles[0]):
        return 0.0
    sums = (
        math.fsum((fails * cycles[node], *(among[node] * (cycles[node] - cycles)), -1.0))
        for node, fails in enumerate(failing)
    )
    return max(map(abs, sums))
