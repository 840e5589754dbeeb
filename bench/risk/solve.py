"""The probabilities of a graph's ends, and of a failure, computed backwards from the ends.

The value of a node follows from those of the nodes after it, position by position; nodes of one position that lead to
each other, where all threads wait, are eliminated one by one.  Nothing is subtracted: the probability of leaving a node
is the sum of the edges that leave it (Grassmann, Taksar and Heyman, Operations Research 33(5), 1985, "Regenerative
Analysis and Steady State Distributions for Markov Chains"), so that 1e-30 has as many digits as 1e-3.
"""

from __future__ import annotations

import graphlib
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.graph import Edge, Position, ReachableGraph
from bench.risk.harm import F64
from bench.traces.trace import I64

Scheduler: TypeAlias = Literal["least", "slices", "greatest"]
"""Who runs next where several threads could.

``slices``: each thread that runs on a core is equally likely; another one of its cores only where a time slice ends, or
where none that runs can go on.  ``least``, ``greatest``: the choice that makes a failure least or most likely.
"""


@dataclass(frozen=True, slots=True)
class _Edges:
    """The edges of one position.

    ``choices``: the cache state of each choice, ascending; ``switches``: whether it switches to another thread;
    ``firsts``: where the choices of each cache state begin; ``choice``: of each edge.  ``leading``: the edges to each
    position, None for an end, and the same position where all threads wait.
    """

    choices: I64
    switches: npt.NDArray[np.bool_]
    firsts: I64
    choice: I64
    before: I64
    share: F64
    leading: dict[Position | None, I64]
    between: I64
    harm: I64

    @classmethod
    def of(cls, edges: list[Edge], over: set[Position]) -> _Edges:
        """These edges, in order."""
        edges = sorted(edges, key=lambda edge: (edge.before, edge.thread))
        keys = [(edge.before, edge.thread, edge.switches) for edge in edges]
        choices = sorted(set(keys))
        index = {key: number for number, key in enumerate(choices)}
        of_choices = np.array([before for before, _, _ in choices], np.int64)
        leading: dict[Position | None, list[int]] = {}
        for number, edge in enumerate(edges):
            leading.setdefault(None if edge.target in over else edge.target, []).append(number)
        return cls(
            choices=of_choices,
            switches=np.array([switches for _, _, switches in choices], bool),
            firsts=np.flatnonzero(np.diff(of_choices, prepend=-1)),
            choice=np.array([index[key] for key in keys], np.int64),
            before=np.array([edge.before for edge in edges], np.int64),
            share=np.array([edge.share for edge in edges]),
            leading={target: np.array(some, np.int64) for target, some in leading.items()},
            between=np.array([edge.between for edge in edges], np.int64),
            harm=np.array([edge.harm for edge in edges], np.int64),
        )


class Solver:
    """Solves the equations of a complete graph.  ``ends``: the cache states that it can end in, ascending."""

    def __init__(self, graph: ReachableGraph) -> None:
        self.ends: I64 = np.array(sorted(graph.ends), np.int64)
        self._size = graph.environment.size
        self._edges = {position: _Edges.of(edges, graph.over) for position, edges in graph.edges.items()}
        behind = {
            position: {target for target in edges.leading if target not in (None, position)}
            for position, edges in self._edges.items()
        }
        self._order = tuple(graphlib.TopologicalSorter(behind).static_order())

    def values(
        self, begin: Position, environment: F64, harms: F64, scheduler: Scheduler = "slices", slice_ends: float = 0.0
    ) -> F64:
        """From each cache state at ``begin``, the probability of each end and, in the last column, of doing harm.

        ``environment``: the matrix of the environment step; ``harms``: the probability of each harm; ``slice_ends``:
        that a time slice ends before an operation.  Unless the scheduler is ``slices`` only the last column has a
        meaning.
        """
        harms = np.concatenate((harms, [0.0]))  # number -1: nothing was fetched wrong
        values = np.zeros((self._size, self.ends.size + 1))
        values[self.ends, np.arange(self.ends.size)] = 1
        after: dict[Position | None, F64] = {None: environment @ values}
        for position in self._order:
            edges = self._edges[position]
            outcomes = np.zeros((edges.before.size, self.ends.size + 1))
            for target, here in edges.leading.items():
                if target != position:
                    outcomes[here] = after[target][edges.between[here]]
            chance = harms[edges.harm]
            outcomes *= (edges.share * (1 - chance))[:, None]
            outcomes[:, -1] += edges.share * chance
            choices = np.zeros((edges.choices.size, outcomes.shape[1]))
            np.add.at(choices, edges.choice, outcomes)
            values = np.zeros((self._size, outcomes.shape[1]))
            if edges.choices.size:
                values[edges.choices[edges.firsts]] = _chosen(choices, edges, scheduler, slice_ends)
            if position in edges.leading:
                waits = edges.before[edges.leading[position]]
                among = np.zeros((self._size, self._size))
                among[waits] = environment[waits]
                rows = np.unique(edges.before)
                values[rows] = _absorbed(among[np.ix_(rows, rows)], values[rows])
            if position == begin:
                break
            after[position] = environment @ values
        return values


def _chosen(choices: F64, edges: _Edges, scheduler: Scheduler, slice_ends: float) -> F64:
    """The value of each cache state, from those of its choices."""
    firsts, switches = edges.firsts, edges.switches
    if scheduler == "least":
        return np.minimum.reduceat(choices, firsts)
    if scheduler == "greatest":
        return np.maximum.reduceat(choices, firsts)
    of = np.repeat(np.arange(firsts.size), np.diff(firsts, append=len(choices)))
    others, running = (np.bincount(of, some, firsts.size)[of] for some in (switches, ~switches))
    ended = np.where(others == 0, 0.0, np.where(running == 0, 1.0, slice_ends))
    weights = np.where(switches, ended / np.maximum(others, 1), (1 - ended) / np.maximum(running, 1))
    return np.add.reduceat(choices * weights[:, None], firsts)


def _absorbed(among: F64, ends: F64) -> F64:
    """The values of nodes that lead to each other with probabilities ``among``, and on with those in ``ends``."""
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


def until_failure(among: F64, failing: F64) -> F64:
    """The expected number of rounds until one fails, from each node: ``among`` leads to the next round's node."""
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


def residual(among: F64, failing: F64, rounds: F64) -> float:
    """The largest ``failing * rounds + sum(among * (rounds - those of the others)) - 1``: one round each time."""
    if not np.isfinite(rounds).all():
        return 0.0
    sums = (
        math.fsum((fails * rounds[node], *(among[node] * (rounds[node] - rounds)), -1.0))
        for node, fails in enumerate(failing)
    )
    return max(map(abs, sums), default=0.0)
