"""The environment step between two operations: what it does to the caches, as a matrix of probabilities.

Each cause occurs or does not.  If it does, every event that the environment may then do is tried once: in the order of
``RANDOM_KINDS``, each data line that a core holds, each instruction line present (and then each absent), the stores of
a buffer from the oldest to the first that stays, each piece of pending maintenance, each move.

None of this depends on the threads' places.  So a state without them, a *cache state*, determines what can happen to
it, and there are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np

from bench.machine import Kind, State, environment_steps, step
from bench.machine.model import Model
from bench.risk.causes import PER_CAUSE, RANDOM_KINDS, Cause, probabilities, structure
from bench.risk.harm import F64
from bench.support.errors import InputError
from bench.traces.trace import I64

Factors: TypeAlias = tuple[int, ...]
"""A product of probabilities: number n is the n-th of ``probabilities``; from their count on, 1 less that one."""
Outcomes: TypeAlias = dict[tuple[int, Factors], int]
"""In how many ways a cause leads to a cache state with these factors."""


class EnvironmentStep:
    """What the environment can make of each cache state, without the probabilities.

    Of ``causes`` only the ``structure`` matters here.  ``states``: the cache states, by number.
    """

    def __init__(self, model: Model, causes: Sequence[Cause]) -> None:
        self.model = model
        self._cores, self._structure = [cause.core for cause in causes], structure(causes)
        p = probabilities(causes)
        self._possible, self._certain = p > 0, p == 1
        self.states: list[State] = []
        self._numbers: dict[State, int] = {}
        self._outcomes: list[list[Outcomes]] = []
        self._after: dict[int, tuple[int, ...]] = {}
        self._last: tuple[tuple[Cause, ...], F64] | None = None

    def number(self, state: State) -> int:
        """The number of the cache state in a state."""
        state = state._replace(places=())
        if state not in self._numbers:
            self._numbers[state] = len(self.states)
            self.states.append(state)
        return self._numbers[state]

    def after(self, number: int) -> tuple[int, ...]:
        """The numbers of all cache states that the step can end in."""
        if number not in self._after:
            numbers = {number}
            for stage in range(len(self._cores)):
                numbers = {target for one in numbers for target, _ in self._stages(one)[stage]}
            self._after[number] = tuple(sorted(numbers))
        return self._after[number]

    @property
    def size(self) -> int:
        """The number of cache states, after finding all that the causes can make of each."""
        for _ in self.stages():
            pass
        return len(self.states)

    def stages(self) -> Iterator[tuple[int, int, int, int, Factors]]:
        """All outcomes: cause, cache states before and after, in how many ways, with which factors."""
        for number, _ in enumerate(self.states):  # grows meanwhile
            for stage, outcomes in enumerate(self._stages(number)):
                yield from ((stage, number, target, ways, factors) for (target, factors), ways in outcomes.items())

    def matrix(self, causes: Sequence[Cause]) -> F64:
        """From cache states (rows) to cache states.  Raises ``InputError`` for causes of another structure."""
        if self._last is None or self._last[0] != tuple(causes):
            self._last = tuple(causes), self._matrix(causes)
        return self._last[1]

    def _matrix(self, causes: Sequence[Cause]) -> F64:
        if structure(causes) != self._structure:
            raise InputError("other causes", place="chain", expected="those that it was made for")
        p = probabilities(causes)
        values = np.concatenate((p, 1 - p, [1.0]))
        stage, before, after, ways, flat, starts = self._edges
        weights = ways * np.multiply.reduceat(values[flat], starts)
        size = len(self.states)  # all are found with the edges
        product = np.eye(size)
        for number in range(len(self._cores)):
            one = np.zeros((size, size))
            here = stage == number
            np.add.at(one, (before[here], after[here]), weights[here])
            product = product @ one
        return product

    @cached_property
    def _edges(self) -> tuple[I64, I64, I64, I64, I64, I64]:
        """Stage, before, after and ways of each outcome; then all factors, and where those of each outcome begin."""
        stage, before, after, ways, factors = zip(*self.stages(), strict=True)
        one = 2 * self._possible.size
        lengths = np.array([len(some) + 1 for some in factors])
        flat = np.array([factor for some in factors for factor in (one, *some)])
        return *map(np.array, (stage, before, after, ways)), flat, np.cumsum(lengths) - lengths

    def _stages(self, number: int) -> list[Outcomes]:
        """For each cause, what it can make of a cache state."""
        while len(self._outcomes) <= number:
            state = self.states[len(self._outcomes)]
            self._outcomes.append([self._outcome(state, cause) for cause in range(len(self._cores))])
        return self._outcomes[number]

    def _outcome(self, state: State, cause: int) -> Outcomes:
        first = cause * PER_CAUSE
        found: Outcomes = {}
        if not self._certain[first]:
            found[self.number(state), (first + self._possible.size,)] = 1
        if self._possible[first]:
            ways: list[tuple[State, Factors]] = [(state, () if self._certain[first] else (first,))]
            for number, kind in enumerate(RANDOM_KINDS, first + 1):
                if self._possible[number]:
                    ways = [way for before in ways for way in self._tried(number, kind, self._cores[cause], *before)]
            for after, factors in ways:
                key = self.number(after), tuple(sorted(factors))
                found[key] = found.get(key, 0) + 1
        return found

    def _tried(
        self, number: int, kind: Kind, core: int | None, state: State, factors: Factors
    ) -> list[tuple[State, Factors]]:
        """The states after every event of a kind was tried once, with probability number ``number``."""
        ways = [(state, factors)]
        events = [one.event for one in environment_steps(self.model, state, (kind,)) if core in (None, one.event.core)]
        certain = self._certain[number]
        for event in events:
            done: list[tuple[State, Factors]] = []
            while ways:
                before, so_far = ways.pop()
                after = step(self.model, before, event)
                if after is None:
                    done.append((before, so_far))
                    continue
                # A buffer drains from its oldest store to the first that stays.
                more = so_far if certain else (*so_far, number)
                (ways if kind is Kind.DRAIN else done).append((after.state, more))
                if not certain:
                    done.append((before, (*so_far, number + self._possible.size)))
            ways = done
        return ways
