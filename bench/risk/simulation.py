"""How often one thread runs a wrong unit after a retranslation, by sampling: a check of ``chain.py``.

It takes single steps of the machine, and from the chain only the definition of a step.  Rare events are sampled more
often than they happen, and each run is weighted by its likelihood ratio (importance sampling by failure biasing;
Shahabuddin, Management Science 40(3), 1994, "Importance Sampling for the Simulation of Highly Reliable Markovian
Systems").  So a probability of 1e-30 is estimated as well as one of 1e-3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bench.machine import Event, Kind, State, environment_steps, finished, initial, program_steps, step
from bench.machine.model import Model
from bench.risk.causes import RANDOM_KINDS, Cause
from bench.risk.harm import F64
from bench.search.question import Question
from bench.support.errors import InputError

Runs: TypeAlias = dict[State, F64]
"""The runs that are in a state, each with its weight."""

BIAS = 0.08
"""A random event is sampled with at least this probability, and at most 1 less it: one or two per retranslation."""
CONFIDENCE = 0.99
_DEVIATIONS = 2.5758293035489
"""Standard deviations around the mean of a normal distribution that hold ``CONFIDENCE`` of it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean over ``samples`` runs drawn with ``seed``, and the interval around it at ``CONFIDENCE``.

    The interval is that of the central limit theorem, and does not go below 0.
    """

    mean: float
    low: float
    high: float
    samples: int
    seed: int


def simulate(model: Model, question: Question, causes: Sequence[Cause], *, samples: int, seed: int) -> Interval:
    """Sample retranslations from a clean start.  Raises ``InputError`` for several threads, or one sample."""
    if len(model.scenario.threads) > 1 or samples < 2:
        raise InputError(
            f"{len(model.scenario.threads)} threads and {samples} samples",
            place="simulation",
            expected="one thread, and at least 2 samples",
        )
    sampler = _Sampler(model, question, np.random.default_rng(seed))
    runs = {initial(model): np.ones(samples)}
    while runs:
        runs = sampler.environment_step(sampler.operation(runs), causes)
    weights = np.concatenate([*sampler.failed, np.zeros(samples - sum(map(len, sampler.failed)))])
    mean = float(weights.mean())
    margin = _DEVIATIONS * float(weights.std(ddof=1)) / math.sqrt(samples)
    return Interval(mean, max(0.0, mean - margin), mean + margin, samples, seed)


class _Sampler:
    """Takes all runs one step further at once: those in the same state differ only in their weights."""

    def __init__(self, model: Model, question: Question, generator: np.random.Generator) -> None:
        self._model, self._question, self._generator = model, question, generator
        self.failed: list[F64] = []

    def operation(self, runs: Runs) -> Runs:
        """One operation of the thread, each of its outcomes equally likely; none where the thread waits."""
        found = []
        for state, weights in runs.items():
            outcomes = list(program_steps(self._model, state))
            if not outcomes:
                found.append((state, weights))
                continue
            which = (
                self._generator.integers(len(outcomes), size=weights.size)
                if len(outcomes) > 1
                else np.zeros(weights.size)
            )
            for number, outcome in enumerate(outcomes):
                taken = weights[which == number]
                if self._question.fails(self._model, outcome):
                    self.failed.append(taken)
                elif not finished(self._model, outcome.state):
                    found.append((outcome.state, taken))
        return _merged(found)

    def environment_step(self, runs: Runs, causes: Sequence[Cause]) -> Runs:
        """Each cause occurs or not, and then everything is tried once, kind by kind."""
        for cause in causes:
            idle, active = [], []
            for state, weights in runs.items():
                yes, no = self._drawn(weights, cause.probability)
                active.append((state, yes))
                idle.append((state, no))
            occurring = _merged(active)
            for kind in RANDOM_KINDS:
                if cause.of(kind):
                    occurring = self._tried(occurring, kind, cause)
            runs = _merged([*idle, *occurring.items()])
        return runs

    def _tried(self, runs: Runs, kind: Kind, cause: Cause) -> Runs:
        """Try every event of a kind once."""
        done: list[tuple[State, F64]] = []
        for start, weights in runs.items():
            now: Runs = {start: weights}
            for one in environment_steps(self._model, start, (kind,)):
                if cause.core in (None, one.event.core):
                    now = self._once(now, one.event, cause.of(kind))
            done += now.items()
        return _merged(done)

    def _once(self, runs: Runs, event: Event, chance: float) -> Runs:
        """Try an event where possible; of the stores in a buffer the next ones too, up to the first that stays."""
        found = []
        pending = list(runs.items())
        while pending:
            state, weights = pending.pop()
            after = step(self._model, state, event)
            if after is None:
                found.append((state, weights))
                continue
            yes, no = self._drawn(weights, chance)
            found.append((state, no))
            (pending if event.kind is Kind.DRAIN else found).append((after.state, yes))
        return _merged(found)

    def _drawn(self, weights: F64, chance: float) -> tuple[F64, F64]:
        """The runs in which something of that probability happens, and the others."""
        if chance in (0.0, 1.0):
            return (weights, weights[:0]) if chance else (weights[:0], weights)
        biased = min(max(chance, BIAS), 1 - BIAS)
        happens = self._generator.random(weights.size) < biased
        return weights[happens] * (chance / biased), weights[~happens] * ((1 - chance) / (1 - biased))


def _merged(runs: Iterable[tuple[State, F64]]) -> Runs:
    """The runs of each state that has any."""
    found: dict[State, list[F64]] = defaultdict(list)
    for state, weights in runs:
        found[state].append(weights)
    return {state: np.concatenate(some) for state, some in found.items() if any(map(len, some))}
