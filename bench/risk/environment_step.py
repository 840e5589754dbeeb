"""The environment's turn between two operations: what it makes of the caches, as a matrix of probabilities.

Each of the causes happens or does not.  If it does, everything that the environment may do then is tried once: in the
order of ``Kind``, each data line that a core holds, each instruction line present (and then each absent), the stores
of a buffer from the oldest to the first that stays, each piece of pending maintenance, each move.

None of this depends on how far the threads have come.  So a state without its places, the *surroundings*, is enough to
know what becomes of it, and there are few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.machine import Kind, State, environment_steps, step
from bench.machine.model import Model
from bench.risk.causes import CHANCY, EACH, Cause, probabilities
from bench.support.errors import InputError

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Factors: TypeAlias = tuple[int, ...]
"""Which probabilities are multiplied: number n is the n-th of ``probabilities``; from their count on, one less it."""


class Turn:
    """What the environment can make of the surroundings: the structure, without the probabilities.

    ``causes``: only which of their probabilities are 0, and which are 1, makes a difference here.
    """

    def __init__(self, model: Model, causes: Sequence[Cause]) -> None:
        self.model = model
        self._cores = [cause.core for cause in causes]
        p = probabilities(causes)
        self._possible, self._certain = p > 0, p == 1
        self.surroundings: list[State] = []
        self._numbers: dict[State, int] = {}
        self._outcomes: list[list[dict[tuple[int, Factors], int]]] = []
        self._after: dict[int, tuple[int, ...]] = {}

    def number(self, state: State) -> int:
        """The number of the surroundings in a state."""
        state = state._replace(places=())
        if state not in self._numbers:
            self._numbers[state] = len(self.surroundings)
            self.surroundings.append(state)
        return self._numbers[state]

    def after(self, number: int) -> tuple[int, ...]:
        """The numbers of all surroundings that can be there after the turn."""
        if number not in self._after:
            numbers = {number}
            for stage in range(len(self._cores)):
                numbers = {target for one in numbers for target, _ in self._stages(one)[stage]}
            self._after[number] = tuple(sorted(numbers))
        return self._after[number]

    @property
    def size(self) -> int:
        """How many surroundings there are, when all that causes can make of each have been found."""
        for _ in self.stages():
            pass
        return len(self.surroundings)

    def stages(self) -> Iterator[tuple[int, int, int, int, Factors]]:
        """Everything that can happen: cause, surroundings before and after, in how many ways, with which factors."""
        number = 0
        while number < len(self.surroundings):  # they become more meanwhile
            for stage, outcomes in enumerate(self._stages(number)):
                yield from ((stage, number, target, ways, factors) for (target, factors), ways in outcomes.items())
            number += 1

    def matrix(self, causes: Sequence[Cause]) -> F64:
        """From surroundings (rows) to surroundings.  Raises ``InputError`` for causes that need another structure."""
        values = self.values(causes)
        stage, before, after, ways, flat, starts = self._edges
        weights = ways * np.multiply.reduceat(values[flat], starts)
        size = self.size
        whole = np.eye(size)
        for number in range(len(self._cores)):
            one = np.zeros((size, size))
            here = stage == number
            np.add.at(one, (before[here], after[here]), weights[here])
            whole = whole @ one
        return whole

    def values(self, causes: Sequence[Cause]) -> F64:
        """What ``Factors`` are numbers in, and a last 1."""
        p = probabilities(causes)
        if [cause.core for cause in causes] != self._cores or not (
            np.array_equal(p > 0, self._possible) and np.array_equal(p == 1, self._certain)
        ):
            raise InputError("other causes", place="chain", expected="those that it was made for")
        return np.concatenate((p, 1 - p, [1.0]))

    @cached_property
    def _edges(self) -> tuple[I64, I64, I64, I64, I64, I64]:
        """Of each edge stage, before, after and ways; then all factors, and where those of each edge begin."""
        stage, before, after, ways, factors = zip(*self.stages(), strict=True)
        one = 2 * self._possible.size
        lengths = np.array([len(some) + 1 for some in factors])
        flat = np.array([factor for some in factors for factor in (one, *some)])
        return *map(np.array, (stage, before, after, ways)), flat, np.cumsum(lengths) - lengths

    def _stages(self, number: int) -> list[dict[tuple[int, Factors], int]]:
        """For each cause what it can make of the surroundings: in how many ways."""
        while len(self._outcomes) <= number:
            state = self.surroundings[len(self._outcomes)]
            self._outcomes.append([self._outcome(state, cause) for cause in range(len(self._cores))])
        return self._outcomes[number]

    def _outcome(self, state: State, cause: int) -> dict[tuple[int, Factors], int]:
        first = cause * EACH
        found: dict[tuple[int, Factors], int] = {}
        if not self._certain[first]:
            found[self.number(state), (first + self._possible.size,)] = 1
        if self._possible[first]:
            ways: list[tuple[State, Factors]] = [(state, () if self._certain[first] else (first,))]
            for number, kind in enumerate(CHANCY, first + 1):
                if self._possible[number]:
                    ways = [way for before in ways for way in self._tried(number, kind, self._cores[cause], *before)]
            for after, factors in ways:
                key = self.number(after), tuple(sorted(factors))
                found[key] = found.get(key, 0) + 1
        return found

    def _tried(
        self, number: int, kind: Kind, core: int | None, state: State, factors: Factors
    ) -> list[tuple[State, Factors]]:
        """After everything of a kind has been tried once, with probability number ``number``."""
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
