"""The breadth-first search over packed states, from the start to an ``Outcome``.

The kernels take a layer of states after the other.  What their tables do not know is asked of the machine and
written down (``bench/check/relation.py``); then the states concerned are expanded again.  The order within a layer does
not matter to them: the counterexample is found afterwards.  From the states of the last layer that fail, the layers are
gone through backwards to those that lead there; and among these, forwards from the start, the machine itself takes the
run that ``bench/check/search.py`` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.check.kernel import (
    COUNT,
    FAILING,
    FINISHED,
    OVER,
    REPORTS,
    STUCK,
    UNASKED,
    any_finished,
    expand,
    fill,
    hopeless,
    leading,
    least,
)
from bench.check.outcome import Outcome, is_alive, witness
from bench.check.packing import PRESENT, Packing, TooWideError
from bench.check.question import Question
from bench.check.relation import Numbers, Relation
from bench.check.symmetry import AsymmetryError, Symmetry, symmetry
from bench.machine import State, Transition, environment_steps, initial, program_steps
from bench.program import Model

I64: TypeAlias = npt.NDArray[np.int64]
U64: TypeAlias = npt.NDArray[np.uint64]

_ROOM = 1 << 15
"""Successors made before they are looked up, in rows: enough to hide the memory's latency, few enough for a cache."""

_RECENT = 1 << 14
"""States known from a moment ago: a quarter of a megabyte of them at two words each."""

_HOPS = 64
"""Steps of the environment followed to see whether a thread waits for them; after that the machine is asked."""

_AT_ONCE = 16
"""States that the machine is asked about before the others of their layer are tried again."""

_PART = 1 << 18
"""States expanded between two reports of progress."""


__all__ = ["TooWideError", "explore"]


class _Exploration:
    """The states seen, packed, in the order of their layers, and the set of them."""

    def __init__(self, model: Model, question: Question, swaps: Symmetry | None) -> None:
        self.model = model
        self.question = question
        self.swaps = swaps
        self.relation = Relation(model, question, swaps)
        self.packing = Packing(self.relation)
        self.layout = self.packing.layout
        self.fields = self.packing.fields
        self.states: U64 = np.zeros((2 * _ROOM, self.packing.words), np.uint64)
        self.table: U64 = np.zeros((4 * _ROOM, self.packing.words), np.uint64)
        self.report = np.zeros(REPORTS, np.int64)
        self.layers = [0, 1]
        self.states[0] = self._least(self.relation.start)
        self.report[COUNT] = 1
        fill(self.packing.arrays.width, self.states, 1, self.table)
        self._out()

    def _out(self) -> None:
        self.out: U64 = np.empty((_ROOM, self.packing.words), np.uint64)
        self.hashes: U64 = np.empty(_ROOM, np.uint64)
        self.recent: U64 = np.zeros((_RECENT, self.packing.words), np.uint64)

    def _least(self, numbers: Numbers) -> U64:
        """A state, packed, or the one that stands for it."""
        rows = np.zeros((2, self.packing.words), np.uint64)
        rows[0] = self.packing.pack(numbers)
        least(self.packing.arrays, rows, 1)
        row: U64 = rows[0]
        return row

    @property
    def count(self) -> int:
        """States seen."""
        return int(self.report[COUNT])

    def expand(self, max_states: int, progress: Callable[[int], None]) -> tuple[I64, I64]:
        """Expand the last layer; rows of its states that are stuck, and that have a failing step."""
        at, end = self.layers[-2:]
        picked = np.empty(0, np.int64)
        found: dict[int, list[I64]] = {UNASKED: [], STUCK: [], FAILING: []}
        while at < end:
            found[UNASKED] = []
            while at < end:
                stop = min(at + _PART, end)
                lists = np.empty((3, stop - at), np.int64)
                self.report[[UNASKED, STUCK, FAILING]] = 0
                reached = int(expand(
                    self.packing.arrays, self.states, picked, at, stop, self.question.failure == "lasting", self.recent,
                    self.out, self.hashes, lists, self.table, max_states, self.report,
                ))  # fmt: skip
                for which, rows in found.items():
                    rows.append(lists[which - UNASKED, : self.report[which]])
                if reached < stop:
                    self._grow(max_states)
                at = reached
                progress(self.count)
            unasked = np.concatenate(found[UNASKED])
            if unasked.size:
                self._ask(unasked)
                picked, at, end = unasked, 0, unasked.size
        self.layers.append(self.count)
        return np.concatenate(found[STUCK]), np.concatenate(found[FAILING])

    def _ask(self, rows: I64) -> None:
        """Ask the machine for the steps of some of these states; what it says will do for most of the others."""
        for row in rows[:: max(1, rows.size // _AT_ONCE)]:
            self.relation.learn(self.packing.unpack(self.states[row]))
        self.packing.update()
        if self.packing.layout != self.layout:
            self._pack_again()

    def _pack_again(self) -> None:
        count, old = self.count, self.states
        self.states = np.zeros((old.shape[0], self.packing.words), np.uint64)
        self.states[:count, 0] = PRESENT
        for (word, shift, mask), (to, by, _) in zip(self.fields, self.packing.fields, strict=True):
            value = old[:count, word] >> np.uint64(shift) & np.uint64(mask)
            self.states[:count, to] |= value << np.uint64(by)
        self.layout, self.fields = self.packing.layout, self.packing.fields
        self._out()
        self._new_table(self.table.shape[0])

    def _grow(self, max_states: int) -> None:
        """Make room for what one more call can find."""
        count = self.count
        if self.states.shape[0] < count + _ROOM:
            rows = max(count + _ROOM, min(2 * count, max_states + _ROOM))
            states = np.empty((rows, self.packing.words), np.uint64)
            states[:count] = self.states[:count]
            self.states = states
        size = self.table.shape[0]
        if size - size // 5 < count + _ROOM:
            self._new_table(2 * size)

    def _new_table(self, size: int) -> None:
        del self.table
        self.table = np.zeros((size, self.packing.words), np.uint64)
        fill(self.packing.arrays.width, self.states, self.count, self.table)

    # - what the machine makes of it

    def dead(self, stuck: I64) -> I64:
        """Those of the stuck states that no step of the environment frees."""
        stuck = stuck[: hopeless(self.packing.arrays, self.states, stuck, stuck.size, self.out, _HOPS)]
        alive: set[State] = set()
        return np.array([row for row in stuck if not is_alive(self.model, self.state(row), alive)], np.int64)

    def state(self, row: int) -> State:
        """A state seen."""
        return self.relation.state(self.packing.unpack(self.states[row]))

    def finishes(self) -> bool:
        """Whether all retranslators have finished in some state seen."""
        return bool(self.report[FINISHED]) or any_finished(self.packing.arrays, self.states, self.count)

    def run(self, goals: I64, fails: Callable[[Transition], bool] | None) -> tuple[Transition, ...]:
        """The run of ``bench/check/walk.py`` to one of the states at ``goals``, all of one layer.

        It goes on by a step that ``fails``, or ends there if that is None.
        """
        ways: list[set[bytes]] = []
        for layer in range(len(self.layers) - 2, -1, -1):
            first, last = self.layers[layer : layer + 2]
            if first <= goals[0] < last:
                break
        ways.append(self._set(goals))
        for before in range(layer - 1, -1, -1):
            first, last = self.layers[before : before + 2]
            size = 1 << int(2 * goals.size).bit_length()
            table = np.zeros((size, self.packing.words), np.uint64)
            fill(self.packing.arrays.width, np.ascontiguousarray(self.states[goals]), goals.size, table)
            found = np.empty(last - first, np.int64)
            goals = found[: leading(self.packing.arrays, self.states, first, last, table, self.out, found)]
            ways.append(self._set(goals))
        return self._forward(ways[::-1], fails)

    def _set(self, rows: I64) -> set[bytes]:
        return {row.tobytes() for row in self.states[rows]}

    def _steps(self, state: State) -> Iterator[Iterator[Transition]]:
        """The steps of the environment, and those of threads."""
        without = self.question.without
        yield (step for step in environment_steps(self.model, state) if step.event.kind not in without)
        yield program_steps(self.model, state)

    def _forward(self, ways: list[set[bytes]], fails: Callable[[Transition], bool] | None) -> tuple[Transition, ...]:
        runs: dict[State, tuple[Transition, ...]] = {initial(self.model): ()}
        for way in ways[1:]:
            following: dict[State, tuple[Transition, ...]] = {}
            for by_thread in (0, 1):
                for state, run in runs.items():
                    for step in list(self._steps(state))[by_thread]:
                        if step.state in following:
                            continue
                        if self._least(self.relation.numbers(step.state)).tobytes() in way:
                            following[step.state] = (*run, step)
                if following:
                    break
            runs = following
        if fails is None:
            return next(iter(runs.values()))
        for by_thread in (0, 1):
            for state, run in runs.items():
                for step in list(self._steps(state))[by_thread]:
                    if fails(step):
                        return (*run, step)
        raise AssertionError("a state that fails has a step that does")


def explore(
    model: Model,
    question: Question,
    *,
    max_states: int,
    max_depth: int | None = None,
    symmetric: bool = True,
    progress: Callable[[int], None] = lambda states: None,
) -> Outcome:
    """``search`` (``bench/check/search.py``), compiled.  Raises ``TooWideError`` for a model that cannot be packed.

    ``symmetric``: one state stands for all that swaps of blocks and of cores make of it, where there are such.
    """
    for swaps in (symmetry(model), symmetry(model, blocks=False)) if symmetric else ():
        try:
            return _explored(_Exploration(model, question, swaps), max_states, max_depth, progress)
        except AsymmetryError:
            continue  # a strategy may take the blocks one after the other, when it throws them all away
    return _explored(_Exploration(model, question, None), max_states, max_depth, progress)


def _explored(
    exploration: _Exploration, max_states: int, max_depth: int | None, progress: Callable[[int], None]
) -> Outcome:
    model, question = exploration.model, exploration.question
    order = exploration.swaps.order if exploration.swaps is not None else 1

    def outcome(
        verdict: str, states: int, witness: bool, run: tuple[Transition, ...] = (), failure: str = ""
    ) -> Outcome:
        return Outcome(verdict, states, len(run) or depth, witness, run, failure, order)

    depth = 0
    while True:
        shorter, seen = exploration.layers[-2], exploration.count
        if max_depth is not None and depth >= max_depth:
            return outcome("bounded", seen, exploration.finishes())
        stuck, failing = exploration.expand(max_states, progress)
        if stuck.size and (dead := exploration.dead(stuck)).size:
            return outcome("fails", max(shorter, 1), witness(model), exploration.run(dead, None), "deadlock")
        depth += 1
        if failing.size:
            run = exploration.run(failing, lambda step: question.fails(model, step))
            return outcome("fails", seen, witness(model), run, question.failure)
        if exploration.report[OVER]:
            return outcome("bounded", exploration.count, bool(exploration.report[FINISHED]))
        if exploration.count == seen:
            break
    depth -= 1
    if exploration.finishes():
        return outcome("holds", exploration.count, True)
    return outcome("fails", exploration.count, False, (), "vacuous")
