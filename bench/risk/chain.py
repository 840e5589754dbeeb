"""The machine of ``check`` with one thread as a Markov chain, and how often it runs a wrong unit.

The cut
-------
The thread takes one step, an operation; then, before the next, everything that the environment may do is tried once: in
the order of ``Kind``, each data line that the core holds, each instruction line present (and then each absent), each
block that may be fetched ahead, the stores of a buffer from the oldest to the first that stays, each piece of pending
maintenance, each switch and each move.  A thread that has to wait goes without its step: the environment's turn comes
again.  Where a thread may go several ways, each is as likely.

Two figures
-----------
``first``: the probability that one retranslation from a clean start (nothing cached, all values final) ends in the
execution of a wrong unit.  ``cycles``: the expected number of retranslations from there until a wrong unit is executed,
since what is wrong in memory stays wrong until something writes it: one over it is the long-run figure.  After it the
guest is taken to be started anew.

How it is computed
------------------
The states between two operations are nodes; the structure is made once for all probabilities, each edge with the number
of steps of every kind that were taken and that were not.  A retranslation begins and ends in a few nodes, the
*boundary*.  What a node leads to (boundary nodes, or a wrong unit) follows from what the nodes after it lead to; nodes
that lead to each other are eliminated one by one, and so is the boundary in the end.  Nothing is subtracted: the
probability of leaving a node is the sum of the ways that leave it (Grassmann, Taksar and Heyman, Operations Research
33(5), 1985, "Regenerative Analysis and Steady State Distributions for Markov Chains"), so that 1e-30 has as many digits
as 1e-3.
"""

from __future__ import annotations

import graphlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.errors import InputError
from bench.machine import Kind, State, environment_steps, finished, initial, program_steps, step
from bench.program import Model
from bench.risk.chances import CHANCY, Chances
from bench.search.question import Question

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Steps: TypeAlias = tuple[int, ...]
"""Of each kind in ``CHANCY`` how many steps were taken; then, of each, how many that could have been were not."""

_NO_STEPS: Steps = (0,) * (2 * len(CHANCY))
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

    ``possible`` and ``certain``: the kinds of steps that the environment takes at all, and always (``Chances``).
    Raises ``InputError`` for a model with several threads or retranslations, and for one with too many nodes.
    """

    def __init__(self, model: Model, question: Question, possible: frozenset[Kind], certain: frozenset[Kind]) -> None:
        cast = model.scenario
        if len(cast.threads) > 1 or cast.retranslations > 1:
            raise InputError(
                f"{len(cast.threads)} threads, {cast.retranslations} retranslations", place="chain",
                expected="one of each: who runs next is not a matter of chance",
            )  # fmt: skip
        self.model, self.question = model, question
        self.possible, self.certain = possible, certain
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._number(initial(model))
        edges: list[tuple[int, int, float, Steps]] = []
        for node, state in enumerate(self._states):
            edges += ((node, *edge) for edge in self._edges(state))
            if len(self._states) > MOST_NODES:
                raise InputError(f"more than {MOST_NODES} states", place="chain", expected="a smaller scenario")
        sources, targets, ways, steps = zip(*edges, strict=True)
        self._source, self._target = np.array(sources), np.array(targets)
        self._ways = np.array(ways)
        self._steps = np.array(steps)
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

    def _edges(self, state: State) -> Iterator[tuple[int, float, Steps]]:
        """What follows a node: where, with which share of the thread's ways, and what the environment did."""
        ways = list(program_steps(self.model, state))
        for way in ways:
            if self.question.fails(self.model, way):
                yield _FAILED, 1 / len(ways), _NO_STEPS
                continue
            for after, steps in self._gap(way.state):
                if finished(self.model, after):
                    after = after._replace(places=self.model.starts)
                yield self._number(after), 1 / len(ways), steps
        if not ways:  # the thread waits
            for after, steps in self._gap(state):
                yield self._number(after), 1.0, steps

    def _gap(self, state: State) -> list[tuple[State, Steps]]:
        """What the environment can make of a state until the next operation, each way by itself."""
        ways = [(state, _NO_STEPS)]
        for number, kind in enumerate(CHANCY):
            if kind in self.possible:
                ways = [way for before in ways for way in self._tried(number, kind, *before)]
        return ways

    def _tried(self, number: int, kind: Kind, state: State, steps: Steps) -> Iterator[tuple[State, Steps]]:
        """After everything of a kind has been tried once."""
        ways = [(state, steps)]
        done: list[tuple[State, Steps]] = []
        for event in [one.event for one in environment_steps(self.model, state, (kind,))]:
            again = kind is Kind.DRAIN  # a buffer drains from its oldest store to the first that stays
            while ways:
                following: list[tuple[State, Steps]] = []
                for before, so_far in ways:
                    after = step(self.model, before, event)
                    if after is None:
                        done.append((before, so_far))
                        continue
                    (following if again else done).append((after.state, _more(so_far, number)))
                    if kind not in self.certain:
                        done.append((before, _more(so_far, len(CHANCY) + number)))
                ways = following
            ways, done = done, []
        return iter(ways)

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

    def answer(self, chances: Chances) -> Answer:
        """The figures.  Raises ``InputError`` for chances of other kinds of steps than the structure was made for."""
        if (chances.possible, chances.certain) != (self.possible, self.certain):
            raise InputError("other kinds of steps", place="chances", expected="those that the chain was made for")
        p = np.array([chances.of(kind) for kind in CHANCY])
        edges = self._ways * np.prod(np.concatenate((p, 1 - p)) ** self._steps, axis=1)
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


def _more(steps: Steps, at: int) -> Steps:
    return (*steps[:at], steps[at] + 1, *steps[at + 1 :])


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
