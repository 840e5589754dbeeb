"""What several simulations of one execution have in common: their events, merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.replay.events import Events
from bench.support.kernels import kernel

I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]
U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64

MOST_LANES = 32
"""How many simulations can share what they have in common."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Lanes:
    """The events of several simulations, the lanes, in an order in which each of them keeps its own.

    ``position``, ``kind``, ``address``, ``count`` as in ``Events``; ``lanes``: bit n, it happens in lane n.
    ``order``: which of the simulations each lane is.  Lane 0 is the one that has most in common with the others.
    """

    position: I64
    kind: U8
    address: I64
    count: I64
    lanes: U64
    order: tuple[int, ...]

    @classmethod
    def of(cls, simulations: Sequence[Events]) -> Lanes:
        """Merge the events of up to ``MOST_LANES`` simulations.

        At each position, what some of them begin with alike is one row for all of them.
        """
        position, kind, address, count = (
            np.concatenate([getattr(events, name) for events in simulations])
            for name in ("position", "kind", "address", "count")
        )
        ends = np.cumsum([len(events) for events in simulations])
        chosen = np.empty(ends[-1], np.int64)
        who = np.empty(ends[-1], np.uint64)
        common = np.zeros(len(simulations), np.int64)
        rows = _merge(position, kind, address, count, ends, chosen, who, common)
        order = np.argsort(-common, kind="stable")
        chosen = chosen[:rows]
        lanes = np.zeros(rows, np.uint64)
        for lane, simulation in enumerate(order):
            lanes |= (who[:rows] >> np.uint64(simulation) & np.uint64(1)) << np.uint64(lane)
        return cls(position[chosen], kind[chosen], address[chosen], count[chosen], lanes, tuple(order.tolist()))


@kernel
def _merge(position: I64, kind: U8, address: I64, count: I64, ends: I64, chosen: I64, who: U64, common: I64) -> Int:
    """The number of rows; of each the event that stands for it is ``chosen``, and ``who`` takes part in it.

    ``ends``: of each simulation's events.  ``common``: of each simulation, the others in its rows, added up.
    """
    simulations = ends.shape[0]
    following = np.empty(simulations, np.int64)
    for simulation in range(simulations):
        following[simulation] = ends[simulation - 1] if simulation else 0
    # Of each simulation, the row it was in last; of each row of one place, the row before it.
    last = np.zeros(simulations, np.int64)
    before = np.zeros(simulations, np.int64)
    joined = np.zeros(simulations, np.int64)
    rows: Int = 0
    while True:
        here = _NEVER
        for simulation in range(simulations):
            if following[simulation] < ends[simulation]:
                here = min(here, position[following[simulation]])
        if here == _NEVER:
            return rows
        for simulation in range(simulations):
            last[simulation] = -1
        more = True
        while more:
            more = False
            first = rows
            for simulation in range(simulations):
                event = following[simulation]
                if event == ends[simulation] or position[event] != here:
                    continue
                more = True
                row = first
                while row < rows and not (
                    before[row - first] == last[simulation]
                    and kind[chosen[row]] == kind[event]
                    and address[chosen[row]] == address[event]
                    and count[chosen[row]] == count[event]
                ):
                    row += 1
                if row == rows:
                    before[row - first] = last[simulation]
                    joined[row - first] = 0
                    chosen[row] = event
                    who[row] = 0
                    rows += 1
                who[row] |= np.uint64(1) << np.uint64(simulation)
                joined[row - first] += 1
                last[simulation] = row
                following[simulation] += 1
            for simulation in range(simulations):
                if last[simulation] >= first:
                    common[simulation] += joined[last[simulation] - first]
