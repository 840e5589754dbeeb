"""Rounds of a measurement, and what they come to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

_SPREAD = 0.1
"""Rounds that are further apart than this share of their median, by quartiles, have not settled."""
_CYCLES = 0.5
"""Unless they are no further apart than so many cycles: what is hidden by the pipeline is a share of nothing."""
_DRIFT = 0.25
"""The later half of settled rounds is off by at most this share of how far apart they may be."""
_BESIDE = 0.9
"""The share of a round in which another thread has to run, if the round is about it."""
_FEWEST = 3
"""Rounds of a sample, at least."""

_Round = TypeVar("_Round")


class NotMeasuredError(Exception):
    """Too few rounds were measurements."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long is measured: ``rounds`` of about ``seconds`` each; as many again of what has not settled, as long as
    all of it ends in ``most`` seconds."""

    rounds: int
    seconds: float
    most: float = 0.0


THOROUGH = Effort(rounds=21, seconds=0.02, most=50)
QUICK = Effort(rounds=9, seconds=0.004, most=9)


@dataclass(frozen=True, slots=True)
class Sample:
    """A quantity in nanoseconds from the rounds ``values``: ``median``, and ``low`` .. ``high`` of the rounds kept.

    A round further than 3 interquartile ranges from the quartiles is an outlier (Tukey's far out), and is counted and
    left out of the range.  ``settled``: the quartiles are within a tenth of the median, or half a ``cycle`` (its
    nanoseconds, if the core's clock is known), and the later half of the rounds has the same median within a quarter of
    that.  ``alone``: rounds that are not among them, since another thread that they are about had no core.
    """

    values: tuple[float, ...]
    alone: int = 0
    cycle: float = 0.0

    @property
    def median(self) -> float:
        """The median of all rounds."""
        return statistics.median(self.values)

    @property
    def _quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def kept(self) -> tuple[float, ...]:
        """The rounds without outliers."""
        low, high = self._quartiles
        far = 3 * (high - low)
        return tuple(value for value in self.values if low - far <= value <= high + far)

    @property
    def low(self) -> float:
        """The least round kept."""
        return min(self.kept)

    @property
    def high(self) -> float:
        """The greatest round kept."""
        return max(self.kept)

    @property
    def outliers(self) -> int:
        """The number of rounds left out."""
        return len(self.values) - len(self.kept)

    @property
    def settled(self) -> bool:
        """Whether the rounds agree with each other."""
        low, high = self._quartiles
        apart = max(_SPREAD * abs(self.median), _CYCLES * self.cycle)
        later = statistics.median(self.values[len(self.values) // 2 :])
        return high - low <= apart and abs(later - self.median) <= _DRIFT * apart

    def and_then(self, later: Sample) -> Sample:
        """With the rounds of another time that the same was measured."""
        return replace(self, values=(*self.values, *later.values), alone=self.alone + later.alone)

    def minus(self, other: Sample) -> Sample:
        """The difference to a control that was measured in the same rounds, at least 0."""
        pairs = zip(self.values, other.values, strict=True)
        return replace(self, values=tuple(max(0.0, mine - its) for mine, its in pairs))

    def per(self, count: float) -> Sample:
        """The same for one of ``count``."""
        return replace(self, values=tuple(value / count for value in self.values))

    def at(self, clock: Sample, cycle: float) -> Sample:
        """What it had been if all its rounds had had a clock of ``cycle`` and not that of the same rounds."""
        pairs = zip(self.values, clock.values, strict=True)
        return replace(self, values=tuple(value * cycle / its for value, its in pairs))


TimedRun = Callable[[int], object]
"""Does something so many times."""
Clock = Callable[[], int]
"""Nanoseconds."""
OWN_TIME: Clock = time.thread_time_ns
"""The time of this thread: what preempts it does not count, nor what it waits for."""
ELAPSED: Clock = time.perf_counter_ns


def timed(run: TimedRun, count: int, clock: Clock) -> float:
    """Nanoseconds for each of ``count`` times."""
    start = clock()
    run(count)
    return (clock() - start) / count


def enough(run: TimedRun, effort: Effort, clock: Clock) -> int:
    """How many times fill a round; this warms up too."""
    count = 1
    while (spent := timed(run, count, clock) * count) < effort.seconds * 2.5e8:
        count *= 4
    return max(1, int(count * effort.seconds * 1e9 / spent))


def samples(runs: Sequence[TimedRun], effort: Effort, clock: Clock, other: Clock | None = None) -> list[Sample]:
    """A sample of each, in nanoseconds for one time; their rounds take turns, so that they see the same noise.

    ``other``: the time of another thread, without which a round is no measurement.  Raises ``NotMeasuredError`` if
    it ran in too few rounds.
    """
    counts = [enough(run, effort, clock) for run in runs]
    rounds = []
    for _ in range(effort.rounds):
        start, ran = ELAPSED(), other() if other is not None else 0
        values = [timed(run, count, clock) for run, count in zip(runs, counts, strict=True)]
        if other is None or other() - ran >= _BESIDE * (ELAPSED() - start):
            rounds.append(values)
    return [
        Sample(values, alone=effort.rounds - len(rounds)) for values in zip(*measurable(rounds, effort), strict=True)
    ]


def measurable(rounds: list[_Round], effort: Effort) -> list[_Round]:
    """The rounds in which the other thread ran.  Raises ``NotMeasuredError`` if they are too few."""
    if len(rounds) < _FEWEST:
        raise NotMeasuredError(f"the other thread had a core in {len(rounds)} of {effort.rounds} rounds")
    return rounds
