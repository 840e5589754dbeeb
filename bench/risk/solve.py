"""What a walk comes to: the probabilities of its ends, and of going wrong, by going back from the ends.

What a node leads to follows from what the nodes after it lead to, position by position; nodes of one position that lead
to each other, where all threads wait, are eliminated one by one.  Nothing is subtracted: the
probability of leaving a node is the sum of the ways that leave it (Grassmann, Taksar and Heyman, Operations Research
33(5), 1985, "Regenerative Analysis and Steady State Distributions for Markov Chains"), so that 1e-30 has as many digits
as 1e-3.
"""

from __future__ import annotations

import graphlib
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.walk import ALWAYS, Edge, Position, Walk

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

Scheduler: TypeAlias = Literal["slices", "least", "greatest"]
"""Who goes on where several threads could.

``slices``: of the threads that run on a core each is as likely; another one of their cores only where a time slice
ends, or where none of those that run can go on.  ``least``, ``greatest``: whoever makes going wrong least or most
likely.
"""


FETCHED: F64 = np.ones(ALWAYS + 1)
"""Every wrong fetch counts, whether it does harm or not."""


def harmful(hit: float) -> F64:
    """Only harm counts: the probability of each harm where an access hits the guest's TLB with probability ``hit``."""
    return np.array([0.0, hit, 1 - hit, 1.0])


@dataclass(frozen=True, slots=True)
class _Edges:
    """The edges of one position.

    ``choices``: the surroundings of each choice, ascending; ``switches``: whether it is to go on with a thread that
    does not run; ``firsts``: where the choices of each of them begin; ``choice``: of each edge.  ``target``: the
    position behind it, None for an end, and itself where all threads wait.
    """

    choices: I64
    switches: npt.NDArray[np.bool_]
    firsts: I64
    choice: I64
    before: I64
    share: F64
    target: tuple[Position | None, ...]
    between: I64
    harm: I64

    @classmethod
    def of(cls, edges: list[Edge], over: set[Position]) -> _Edges:
        """Those edges, in order."""
        edges = sorted(edges, key=lambda edge: (edge.before, edge.thread))
        keys = [(edge.before, edge.thread, edge.switches) for edge in edges]
        choices = sorted(set(keys))
        index = {key: number for number, key in enumerate(choices)}
        of_choices = np.array([before for before, _, _ in choices], np.int64)
        return cls(
            choices=of_choices,
            switches=np.array([switches for _, _, switches in choices], bool),
            firsts=np.flatnonzero(np.diff(of_choices, prepend=-1)),
            choice=np.array([index[key] for key in keys], np.int64),
            before=np.array([edge.before for edge in edges], np.int64),
            share=np.array([edge.share for edge in edges]),
            target=tuple(None if edge.target in over else edge.target for edge in edges),
            between=np.array([edge.between for edge in edges], np.int64),
            harm=np.array([edge.harm for edge in edges], np.int64),
        )


class System:
    """The equations of a walk that has found all its nodes.

    ``ends``: the surroundings that it can end in, by number, ascending.
    """

    def __init__(self, walk: Walk) -> None:
        self.ends: I64 = np.array(sorted(walk.ends), np.int64)
        self._size = walk.turn.size
        self._edges = {position: _Edges.of(edges, walk.over) for position, edges in walk.edges.items()}
        behind = {
            position: {target for target in edges.target if target not in (None, position)}
            for position, edges in self._edges.items()
        }
        self._order = tuple(graphlib.TopologicalSorter(behind).static_order())

    def values(
        self, begin: Position, turn: F64, harms: F64, scheduler: Scheduler = "slices", slice_ends: float = 0.0
    ) -> F64:
        """From each surroundings at ``begin``, the probability of each end and, in the last column, of doing harm.

        ``turn``: from surroundings to surroundings; ``harms``: the probability of each harm; ``slice_ends``: that of
        the end of a time slice before an operation.  Unless the scheduler is ``slices`` only the last column means
        anything.
        """
        harms = np.concatenate((harms, [0.0]))  # and number -1: nothing was fetched wrong
        at_end = np.zeros((self._size, self.ends.size + 1))
        at_end[self.ends, np.arange(self.ends.size)] = 1
        before_turn: dict[Position | None, F64] = {None: turn @ at_end}
        values = at_end
        for position in self._order:
            values = self._position(position, before_turn, turn, harms, scheduler, slice_ends)
            before_turn[position] = turn @ values
            if position == begin:
                break
        return values

    def _position(
        self,
        position: Position,
        before_turn: dict[Position | None, F64],
        turn: F64,
        harms: F64,
        scheduler: Scheduler,
        slice_ends: float,
    ) -> F64:
        edges = self._edges[position]
        waits = np.array([target == position for target in edges.target], bool)
        ways = np.zeros((edges.before.size, self.ends.size + 1))
        for target in set(edges.target) - {position}:
            here = np.array([other == target for other in edges.target], bool)
            ways[here] = before_turn[target][edges.between[here]]
        chance = harms[edges.harm]
        ways *= (edges.share * (1 - chance))[:, None]
        ways[:, -1] += edges.share * chance
        choices = np.zeros((edges.choices.size, ways.shape[1]))
        np.add.at(choices, edges.choice, ways)
        values = np.zeros((self._size, ways.shape[1]))
        if edges.choices.size:
            values[edges.choices[edges.firsts]] = _chosen(choices, edges, scheduler, slice_ends)
        if waits.any():
            among = np.zeros((self._size, self._size))
            among[edges.before[waits]] = turn[edges.before[waits]]
            rows = np.unique(edges.before)
            values[rows] = _left(among[np.ix_(rows, rows)], values[rows])
        return values


def _chosen(choices: F64, edges: _Edges, scheduler: Scheduler, slice_ends: float) -> F64:
    """What the choices of each surroundings come to."""
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
    """The largest of ``failing * rounds + sum(among * (rounds - those of the others)) - 1``: one is due each time."""
    if not np.isfinite(rounds).all():
        return 0.0
    sums = (
        math.fsum((fails * rounds[node], *(among[node] * (rounds[node] - rounds)), -1.0))
        for node, fails in enumerate(failing)
    )
    return max(map(abs, sums), default=0.0)
