"""How often one thread runs a wrong unit after a retranslation, by drawing: a check of ``chain.py``.

It takes from the machine what may happen, one step at a time, and from the chain nothing but the cut.  What is rare is
drawn more often than it happens, and each course counts by how much less likely it is than it was drawn (importance
sampling by failure biasing; Shahabuddin, Management Science 40(3), 1994, "Importance Sampling for the Simulation of
Highly Reliable Markovian Systems").  So what has a probability of 1e-30 is seen as often as what has one of 1e-3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.machine import Event, Kind, State, environment_steps, finished, initial, program_steps, step
from bench.machine.model import Model
from bench.risk.causes import CHANCY, Cause
from bench.search.question import Question
from bench.support.errors import InputError

Weights: TypeAlias = npt.NDArray[np.float64]
Courses: TypeAlias = dict[State, Weights]
"""The courses that are in a state, each with its weight."""

OFTEN = 0.08
"""A chance is drawn at least as often, and at most as often as 1 less it: one or two of those of a retranslation."""
CONFIDENCE = 0.99
_DEVIATIONS = 2.5758293035489
"""The normal distribution is that many standard deviations around its mean with ``CONFIDENCE``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean over ``samples`` courses drawn with ``seed``, and the interval around it at ``CONFIDENCE``.

    The interval is that of the central limit theorem, and does not go below 0.
    """

    mean: float
    low: float
    high: float
    samples: int
    seed: int


def simulate(model: Model, question: Question, causes: Sequence[Cause], *, samples: int, seed: int) -> Interval:
    """Draw retranslations from a clean start.  Raises ``InputError`` for several threads, or fewer than two samples."""
    if len(model.scenario.threads) > 1 or samples < 2:
        raise InputError(
            f"{len(model.scenario.threads)} threads and {samples} samples",
            place="simulation",
            expected="one thread, and at least 2 samples",
        )
    return _Drawing(model, question, causes, np.random.default_rng(seed)).interval(samples, seed)


class _Drawing:
    """All courses go on together, one operation at a time: those in one state differ in nothing but their weights."""

    def __init__(
        self, model: Model, question: Question, causes: Sequence[Cause], generator: np.random.Generator
    ) -> None:
        self._model, self._question, self._causes, self._generator = model, question, causes, generator

    def interval(self, samples: int, seed: int) -> Interval:
        """Draw so many."""
        failed: list[Weights] = []
        courses = {initial(self._model): np.ones(samples)}
        while courses:
            courses = self._turn(self._operation(courses, failed))
        weights = np.concatenate([*failed, np.zeros(samples - sum(map(len, failed)))])
        mean = float(weights.mean())
        margin = _DEVIATIONS * float(weights.std(ddof=1)) / math.sqrt(samples)
        return Interval(mean, max(0.0, mean - margin), mean + margin, samples, seed)

    def _operation(self, courses: Courses, failed: list[Weights]) -> Courses:
        """One operation of the thread; where it may go several ways each is as likely, and where it waits, none."""
        found: dict[State, list[Weights]] = {}
        for state, weights in courses.items():
            if finished(self._model, state):
                continue
            ways = list(program_steps(self._model, state))
            if not ways:
                found.setdefault(state, []).append(weights)
                continue
            which = self._generator.integers(len(ways), size=weights.size) if len(ways) > 1 else np.zeros(weights.size)
            for number, way in enumerate(ways):
                goes = weights[which == number]
                if self._question.fails(self._model, way):
                    failed.append(goes)
                elif not finished(self._model, way.state):
                    found.setdefault(way.state, []).append(goes)
        return _together(found)

    def _turn(self, courses: Courses) -> Courses:
        """The environment's turn: each cause happens or not, and then tries everything once, kind by kind."""
        for cause in self._causes:
            idle: dict[State, list[Weights]] = {}
            active: dict[State, list[Weights]] = {}
            for state, weights in courses.items():
                yes, no = self._drawn(weights, cause.probability)
                active.setdefault(state, []).append(yes)
                idle.setdefault(state, []).append(no)
            happening = _together(active)
            for kind in CHANCY:
                if cause.of(kind):
                    happening = self._tried(happening, kind, cause)
            for state, weights in happening.items():
                idle.setdefault(state, []).append(weights)
            courses = _together(idle)
        return courses

    def _tried(self, courses: Courses, kind: Kind, cause: Cause) -> Courses:
        """Everything of a kind that the environment may do is tried once."""
        done: dict[State, list[Weights]] = {}
        for start, weights in courses.items():
            now: Courses = {start: weights}
            for one in environment_steps(self._model, start, (kind,)):
                if cause.core in (None, one.event.core):
                    now = self._once(now, one.event, cause.of(kind))
            for state, some in now.items():
                done.setdefault(state, []).append(some)
        return _together(done)

    def _once(self, courses: Courses, event: Event, chance: float) -> Courses:
        """An event, where it still can be; of the stores in a buffer the next ones too, up to the first that stays."""
        found: dict[State, list[Weights]] = {}
        pending = list(courses.items())
        while pending:
            state, weights = pending.pop()
            after = step(self._model, state, event)
            if after is None:
                found.setdefault(state, []).append(weights)
                continue
            yes, no = self._drawn(weights, chance)
            found.setdefault(state, []).append(no)
            if event.kind is Kind.DRAIN:
                pending.append((after.state, yes))
            else:
                found.setdefault(after.state, []).append(yes)
        return _together(found)

    def _drawn(self, weights: Weights, chance: float) -> tuple[Weights, Weights]:
        """The courses in which something of that probability happens, and the others."""
        if chance in (0.0, 1.0):
            return (weights, weights[:0]) if chance else (weights[:0], weights)
        often = min(max(chance, OFTEN), 1 - OFTEN)
        happens = self._generator.random(weights.size) < often
        return weights[happens] * (chance / often), weights[~happens] * ((1 - chance) / (1 - often))


def _together(courses: dict[State, list[Weights]]) -> Courses:
    """The courses of each state that has any."""
    return {state: np.concatenate(some) for state, some in courses.items() if any(map(len, some))}
