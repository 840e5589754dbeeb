"""The breadth-first search over packed states, from the start to an ``Outcome``.

The kernels take one layer of states after the other, on both cores when there are many.  What their tables do not know
is asked of the machine and written down (``bench/search/relation.py``); then the states concerned are expanded again.
The order within a layer does not matter to them: the counterexample is found afterwards.  From the states of the last
layer that fail, the layers are gone through backwards to those that lead there; and among these, forwards from the
start, the machine itself takes the run that ``bench/search/walk.py`` describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bench.machine import Model, State, Transition, environment_steps, initial, program_steps
from bench.machine.footprint import NotCompiledError
from bench.search.kernel import FINISHED, OVER, fill, hopeless, least
from bench.search.outcome import Outcome, is_alive, witness
from bench.search.packing import I64, PRESENT, U64, Packing, TooWideError
from bench.search.question import Question
from bench.search.relation import Numbers, Relation
from bench.search.symmetry import AsymmetryError, Symmetry, symmetry
from bench.search.visited import VisitedSet, merged, split, table_of
from bench.support.processors import processors

__all__ = ["NotCompiledError", "TooWideError", "explore", "load", "warm_up"]

_AT_ONCE = 16
"""States that the machine is asked about before the others of their layer are tried again."""

_SHARED = 1 << 17
"""States from which on it pays to share the work."""

_SMALL = 1 << 11
"""States of a layer that one worker expands, and then the other, sooner than both are told to."""

_WARM_UP = 100
"""States: enough for all kernels to be called."""

_HOPS = 64
"""Steps of the environment followed to see whether a thread waits for them; after that the machine is asked."""


class _Exploration:
    """The states seen, in one store or in one for each of ``workers``."""

    def __init__(self, model: Model, question: Question, swaps: Symmetry | None, workers: ThreadPoolExecutor) -> None:
        self.model = model
        self.question = question
        self.relation = Relation(model, question, swaps)
        self.packing = Packing(self.relation)
        self._layout, self._fields = self.packing.layout, self.packing.fields
        self._workers = workers
        start = self._least(self.relation.start).reshape(1, -1)
        self.stores = split(self.packing, start, [0, 1], 1)

    def _least(self, numbers: Numbers) -> U64:
        """A state, packed, or the one that stands for it."""
        rows = np.zeros((2, self.packing.words + 1), np.uint64)
        rows[0, :-1] = self.packing.pack(numbers)
        least(self.packing.arrays, rows, 1)
        row: U64 = rows[0]
        return row

    @property
    def count(self) -> int:
        """States seen."""
        return sum(store.count for store in self.stores)

    def layer(self, number: int) -> int:
        """States of the layers before layer ``number``."""
        return sum(store.layers[number] for store in self.stores)

    @property
    def over(self) -> bool:
        """Whether some state was not kept."""
        return any(store.report[OVER] for store in self.stores)

    @property
    def some_finished(self) -> bool:
        """Whether all retranslators have finished in some state that was expanded."""
        return any(store.report[FINISHED] for store in self.stores)

    # - a layer

    def expand(self, max_states: int, progress: Callable[[int], None]) -> None:
        """Expand the last layer: what is new is the next one."""
        if len(self.stores) == 1 < _cores() and self.count >= _SHARED:
            self._share_out(*merged(self.stores))
        while not self._expanded(max_states, progress):
            self._begin_again()
        for store in self.stores:
            store.layers.append(store.count)

    def _expanded(self, max_states: int, progress: Callable[[int], None]) -> bool:
        """Whether the layer was expanded before the states had to be packed anew."""
        for store in self.stores:
            store.begin()
        while True:
            while not all(store.done for store in self.stores):
                self._expand_some(max_states)
                progress(self.count)
            unasked = [np.concatenate(store.unasked or [np.empty(0, np.int64)]) for store in self.stores]
            if not any(rows.size for rows in unasked):
                return True
            for store, rows in zip(self.stores, unasked, strict=True):
                # What the machine says of some will do for most of the others.
                for row in rows[:: max(1, rows.size // _AT_ONCE)]:
                    self.relation.learn(self.packing.unpack(store.states[row]))
                store.again(rows)
            self.packing.update()
            if self.packing.layout != self._layout:
                return False

    def _expand_some(self, max_states: int) -> None:
        lasting = self.question.failure == "lasting"
        if len(self.stores) == 1:
            self.stores[0].expand(lasting, max_states)
            return
        small = sum(store.layers[-1] - store.layers[-2] for store in self.stores) < _SMALL
        each = map if small else self._workers.map
        list(each(lambda store: store.expand(lasting, max_states), self.stores))
        numbers = range(len(self.stores))
        left = max_states - self.count
        if sum(int(store.rows.sum()) for store in self.stores) <= left:
            list(each(lambda number: self.stores[number].insert(number, self.stores, max_states), numbers))
        else:  # one after the other, so that no more are kept than may be
            for number in numbers:
                store = self.stores[number]
                before = store.count
                store.insert(number, self.stores, before + left)
                left -= store.count - before

    def _begin_again(self) -> None:
        """Pack the states of the complete layers as the fields are now."""
        old, layers = merged(self.stores)
        states = np.zeros((len(old), self.packing.words + 1), np.uint64)
        states[:, 0], states[:, -1] = PRESENT, old[:, -1]
        for (word, shift, mask), (to, by, _) in zip(self._fields, self.packing.fields, strict=True):
            states[:, to] |= (old[:, word] >> np.uint64(shift) & np.uint64(mask)) << np.uint64(by)
        self._layout, self._fields = self.packing.layout, self.packing.fields
        finished = self.some_finished
        self._share_out(states, layers)
        self.stores[0].report[FINISHED] = finished

    def _share_out(self, states: U64, layers: list[int]) -> None:
        finished = self.some_finished
        self.stores = split(self.packing, states, layers, _cores() if layers[-1] >= _SHARED else 1)
        self.stores[0].report[FINISHED] = finished

    # - what the machine makes of it

    def dead(self) -> list[I64]:
        """Of each store those of the stuck states that no step of the environment frees."""
        return [self._dead(store) for store in self.stores]

    def _dead(self, store: VisitedSet) -> I64:
        stuck = np.concatenate(store.stuck)
        spare = np.empty((3, self.packing.words + 1), np.uint64)
        stuck = stuck[: hopeless(self.packing.arrays, store.states, stuck, stuck.size, spare, _HOPS)]
        alive: set[State] = set()
        states = (self.relation.state(self.packing.unpack(store.states[row])) for row in stuck)
        return stuck[[not is_alive(self.model, state, alive) for state in states]]

    def failing(self) -> list[I64]:
        """Of each store the states of the layer that have a failing step."""
        return [np.concatenate(store.failing) for store in self.stores]

    def run(self, goals: Sequence[I64], fails: Callable[[Transition], bool] | None) -> tuple[Transition, ...]:
        """The run of ``bench/search/walk.py`` to one of the states at ``goals``, rows of the last layer of each store.

        It goes on by a step that ``fails``, or ends there if that is None.
        """
        ways = []
        layer = len(self.stores[0].layers) - 3  # behind it lies the next one, just made
        while True:
            states = np.concatenate([store.states[rows] for store, rows in zip(self.stores, goals, strict=True)])
            ways.append({row.tobytes() for row in states[:, :-1]})
            if layer == 0:
                break
            layer -= 1
            table = table_of(self.packing, states)
            goals = [store.leading(layer, states, table) for store in self.stores]
        return self._forward(ways[::-1], fails)

    def _steps(self, state: State) -> tuple[Iterator[Transition], Iterator[Transition]]:
        """The steps of the environment, and those of threads."""
        without = self.question.without
        allowed = (step for step in environment_steps(self.model, state) if step.event.kind not in without)
        return allowed, program_steps(self.model, state)

    def _forward(self, ways: list[set[bytes]], fails: Callable[[Transition], bool] | None) -> tuple[Transition, ...]:
        runs: dict[State, tuple[Transition, ...]] = {initial(self.model): ()}
        for way in ways[1:]:
            following: dict[State, tuple[Transition, ...]] = {}
            for kind in (0, 1):
                for state, run in runs.items():
                    for step in self._steps(state)[kind]:
                        if step.state in following:
                            continue
                        if self._least(self.relation.numbers(step.state))[:-1].tobytes() in way:
                            following[step.state] = (*run, step)
                if following:
                    break
            runs = following
        if fails is None:
            return next(iter(runs.values()))
        for kind in (0, 1):
            for state, run in runs.items():
                for step in self._steps(state)[kind]:
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
    """``search`` (``bench/search/search.py``), compiled.

    Raises ``NotCompiledError`` for a model with what has no footprint, ``TooWideError`` for one that cannot be packed.

    ``symmetric``: one state stands for all that swaps of blocks and of cores make of it, where there are such.
    """
    with ThreadPoolExecutor(_cores()) as workers:
        for swaps in (symmetry(model), symmetry(model, blocks=False)) if symmetric else ():
            try:
                return _explored(_Exploration(model, question, swaps, workers), max_states, max_depth, progress)
            except AsymmetryError:
                continue  # a strategy may take the blocks one after the other, when it throws them all away
        return _explored(_Exploration(model, question, None, workers), max_states, max_depth, progress)


def load() -> None:
    """Make numba ready, which takes a third of a second at the first search, so that processes forked after it are."""
    fill((0,), np.zeros((1, 2), np.uint64), 0, np.zeros(1, np.uint64))


def warm_up(model: Model) -> None:
    """Have numba and all kernels loaded, or compiled, so that processes forked after it need not."""
    explore(model, Question(), max_states=_WARM_UP)


def _explored(
    exploration: _Exploration, max_states: int, max_depth: int | None, progress: Callable[[int], None]
) -> Outcome:
    model, question = exploration.model, exploration.question
    order = exploration.relation.swaps.order if exploration.relation.swaps is not None else 1

    def outcome(
        verdict: str, states: int, witness: bool, run: tuple[Transition, ...] = (), failure: str = ""
    ) -> Outcome:
        return Outcome(verdict, states, len(run) or depth, witness, run, failure, order)

    depth = 0
    while True:
        shorter, seen = exploration.layer(-2), exploration.count
        if max_depth is not None and depth >= max_depth:
            return outcome("bounded", seen, any(store.finished() for store in exploration.stores))
        exploration.expand(max_states, progress)
        dead = exploration.dead()
        if any(rows.size for rows in dead):
            return outcome("fails", max(shorter, 1), witness(model), exploration.run(dead, None), "deadlock")
        depth += 1
        failing = exploration.failing()
        if any(rows.size for rows in failing):
            run = exploration.run(failing, lambda step: question.fails(model, step))
            return outcome("fails", seen, witness(model), run, question.failure)
        if exploration.over:
            return outcome("bounded", exploration.count, exploration.some_finished)
        if exploration.count == seen:
            break
    depth -= 1
    if exploration.some_finished:
        return outcome("holds", exploration.count, True)
    return outcome("fails", exploration.count, False, (), "vacuous")


def _cores() -> int:
    """Cores to work on; more than two have not been tried."""
    return min(2, processors())
