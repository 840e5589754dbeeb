"""The states that a search has seen, packed: in the order of their layers, and as a set.

Several workers may share a search: each keeps the states that hash to it, expands those, and hands what they lead to to
the worker who keeps that.  So no two write to one table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.search import kernel
from bench.search.packing import I64, U8, U64, Packing

_ROOM = 1 << 13
"""Successors made for a worker before they are looked up: enough to hide the memory's latency, and few enough for a
cache."""

_PART = 1 << 18
"""States expanded between two reports of progress."""


class VisitedSet:
    """The states of one of ``workers``.

    ``states``: rows, ``count`` of them in use, with a last word for the steps that may be left out; ``layers``: the
    first row of each layer that is complete, and the one after the last.  ``table``: their numbers by their hash.
    ``unasked``, ``stuck``, ``failing``: rows of states of the layer under way for which the tables do not say enough,
    in which no thread can step, that have a failing step.
    """

    def __init__(self, packing: Packing, workers: int, states: U64, layers: Sequence[int]) -> None:
        self.packing = packing
        self.workers = workers
        self.layers = list(layers)
        self.report = np.zeros(kernel.REPORTS, np.int64)
        count = self.report[kernel.COUNT] = layers[-1]
        room = max(_ROOM, 2 * packing.most)
        self.out: U64 = np.empty((workers * room, packing.words + 1), np.uint64)
        self.hashes: U64 = np.empty(workers * room, np.uint64)
        self.rows: I64 = np.zeros(workers, np.int64)
        self._spare: U64 = np.empty((3, packing.words + 1), np.uint64)
        self._differs: U64 = np.empty(len(packing.arrays.swaps), np.uint64)
        self.states: U64 = np.empty((count + 2 * room, packing.words + 1), np.uint64)
        self.states[:count] = states[:count]
        self._index(1 << int(2 * (count + room)).bit_length())
        self.begin()

    def _index(self, size: int) -> None:
        self.table: U64 = np.zeros(size, np.uint64)
        kernel.fill(self.packing.arrays.width, self.states, self.count, self.table)

    @property
    def count(self) -> int:
        """States kept."""
        return int(self.report[kernel.COUNT])

    # - a layer

    def begin(self) -> None:
        """Begin with the last layer."""
        self._at, self._end = self.layers[-2:]
        self._picked: I64 = np.empty(0, np.int64)
        self.unasked: list[I64] = []
        self.stuck: list[I64] = []
        self.failing: list[I64] = []

    def again(self, rows: I64) -> None:
        """Go on with some of its states."""
        self._picked, self._at, self._end, self.unasked = rows, 0, rows.size, []

    @property
    def done(self) -> bool:
        """Whether there is nothing more to expand."""
        return self._at == self._end

    def expand(self, lasting: bool, limit: int) -> None:
        """Expand some states.

        The only worker also keeps what is new, ``limit`` states at most; else ``insert`` does.
        """
        stop = min(self._at + _PART, self._end)
        lists = np.empty((3, stop - self._at), np.int64)
        self.report[[kernel.UNASKED, kernel.STUCK, kernel.FAILING]] = 0
        layer = (self.packing.arrays, self.states, self._picked, self._at, stop, lasting, self._spare, self._differs)
        room = self.out, self.hashes, self.rows, self.packing.most, lists
        if self.workers == 1:
            self.grow(self.out.shape[0], limit)
            self._at = int(kernel.expand(*layer, *room, self.table, limit, self.report))
        else:
            self._at = int(kernel.successors(*layer, *room, self.report))
        for which, rows in ((kernel.UNASKED, self.unasked), (kernel.STUCK, self.stuck), (kernel.FAILING, self.failing)):
            rows.append(lists[which - kernel.UNASKED, : self.report[which]].copy())

    def insert(self, worker: int, others: Sequence[VisitedSet], limit: int) -> None:
        """Keep what is new of the states that all have made for this worker, ``limit`` states at most in all."""
        self.grow(sum(int(other.rows[worker]) for other in others), limit)
        for other in others:
            first = worker * (other.out.shape[0] // self.workers)
            kernel.insert(
                self.packing.arrays.width,
                other.out,
                other.hashes,
                first,
                other.rows[worker],
                self.table,
                self.states,
                limit,
                self.report,
            )

    def grow(self, rows: int, limit: int) -> None:
        """Make room for so many more."""
        count = self.count
        if self.states.shape[0] < count + rows:
            states = np.empty((max(count + rows, min(2 * count, limit) + rows), self.packing.words + 1), np.uint64)
            states[:count] = self.states[:count]
            self.states = states
        size = self.table.size
        while size - size // 5 < count + rows:
            size *= 2
        if size > self.table.size:
            del self.table  # both at once may be too much
            self._index(size)

    # - all of them

    def finished(self) -> bool:
        """Whether all retranslators have finished in some state kept."""
        return bool(kernel.any_finished(self.packing.arrays, self.states, self.count))

    def leading(self, layer: int, goals: U64, table: U64) -> I64:
        """The rows of the states of a layer that have a successor among ``goals``, with their table."""
        first, last = self.layers[layer : layer + 2]
        found = np.empty(last - first, np.int64)
        count = kernel.leading(self.packing.arrays, self.states, first, last, goals, table, self._spare, found)
        return found[:count]


def table_of(packing: Packing, states: U64) -> U64:
    """Different states as a table."""
    table = np.zeros(1 << int(2 * len(states)).bit_length(), np.uint64)
    kernel.fill(packing.arrays.width, states, len(states), table)
    return table


def split(packing: Packing, states: U64, layers: Sequence[int], workers: int) -> list[VisitedSet]:
    """States in the order of their layers, shared out."""
    if workers == 1:
        return [VisitedSet(packing, 1, states, layers)]
    owner: U8 = np.empty(layers[-1], np.uint8)
    kernel.owners(packing.arrays.width, states, layers[-1], owner, workers)
    stores = []
    for worker in range(workers):
        rows = np.flatnonzero(owner == worker)
        stores.append(VisitedSet(packing, workers, states[rows], np.searchsorted(rows, layers).tolist()))
    return stores


def merged(stores: Sequence[VisitedSet]) -> tuple[U64, list[int]]:
    """The states of all complete layers, and where these begin."""
    parts, layers = [], [0]
    for layer in range(len(stores[0].layers) - 1):
        for store in stores:
            first, last = store.layers[layer : layer + 2]
            parts.append(store.states[first:last])
        layers.append(sum(store.layers[layer + 1] for store in stores))
    return np.concatenate(parts), layers
