"""Merging the events of several simulations of one execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.replay.events import Events
from bench.support.kernels import kernel
from bench.traces.trace import I64, U64

U8: TypeAlias = npt.NDArray[np.uint8]
Int: TypeAlias = int | np.int64

MOST_VARIANTS = 32
"""The maximum number of simulations that share cache sets."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Variants:
    """The merged events of several simulations (variants); the order of events in each variant is kept.

    ``position``, ``kind``, ``address``, ``count`` as in ``Events``; ``variants``: bit n if the event is in variant n.
    ``order``: the simulation of each variant.  Variant 0 is the one that has most events in common with the others.
    """

    position: I64
    kind: U8
    address: I64
    count: I64
    variants: U64
    order: tuple[int, ...]

    @classmethod
    def of(cls, simulations: Sequence[Events]) -> Variants:
        """Merge the events of up to ``MOST_VARIANTS`` simulations.

        At each position, a common prefix of the events of some simulations becomes one row for all of them.
        """
        position, kind, address, count = (
            np.concatenate([getattr(events, name) for events in simulations])
            for name in ("position", "kind", "address", "count")
        )
        ends = np.cumsum([len(events) for events in simulations])
        chosen = np.empty(ends[-1], np.int64)
        members = np.empty(ends[-1], np.uint64)
        common = np.zeros(len(simulations), np.int64)
        rows = _merge(position, kind, address, count, ends, chosen, members, common)
        order = np.argsort(-common, kind="stable")
        chosen = chosen[:rows]
        variants = np.zeros(rows, np.uint64)
        for variant, simulation in enumerate(order):
            variants |= (members[:rows] >> np.uint64(simulation) & np.uint64(1)) << np.uint64(variant)
        return cls(position[chosen], kind[chosen], address[chosen], count[chosen], variants, tuple(order.tolist()))


@kernel
def _merge(position: I64, kind: U8, address: I64, count: I64, ends: I64, chosen: I64, members: U64, common: I64) -> Int:
    """Merge events.  Returns the number of rows; ``chosen``: the event of each row, ``members``: its simulations.

    ``ends``: the end of each simulation's events.  ``common``: for each simulation, the sum of the members of its rows.
    """
    simulations = ends.shape[0]
    following = np.empty(simulations, np.int64)
    for simulation in range(simulations):
        following[simulation] = ends[simulation - 1] if simulation else 0
    # ``last``: the latest row of each simulation; ``before``: the predecessor of each row at one position.
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
                    members[row] = 0
                    rows += 1
                members[row] |= np.uint64(1) << np.uint64(simulation)
                joined[row - first] += 1
                last[simulation] = row
                following[simulation] += 1
            for simulation in range(simulations):
                if last[simulation] >= first:
                    common[simulation] += joined[last[simulation] - first]
