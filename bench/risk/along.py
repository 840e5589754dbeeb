"""How likely each unit of a trace is executed wrong, carried along from row to row of its exposure.

Of each unit there is a distribution over the surroundings at rest (``rest.py``).  Between two rows the trace takes
lines away, with the probabilities of the exposure; and what it does not know, interrupts, time slices and moves, comes
as a Poisson process: the matrix exponential is summed as a series whose terms are all positive (uniformization), until
what is left of it is nothing to a double.  Then comes what the row says.

Two distributions.  ``whole`` is carried through the execution; after a failure the guest is taken to be started anew.
``single`` begins anew at each retranslation, from the state after an execution from a clean start, and ends with the
next execution of the block.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.exposure import Exposure
from bench.risk.quiescent import Maps
from bench.support.kernels import kernel

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


_STEP = 0.5
"""Transitions expected, above which the series is not summed but looked up."""
_JUMPS = 62
_NOTHING = 1e-200
"""A probability that is left out: doubles become slow before they become 0."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected numbers over a whole trace.

    ``whole``: wrong executions, carried along; ``single``: those at the first execution after a retranslation, each
    retranslation by itself; ``window``: wrong values that reach the point of unification and are there when a
    retranslation ends, each by itself.
    """

    whole: float
    single: float
    window: float


@kernel
def _units(
    first: int,
    last: int,
    firsts: I64,
    run: Bools,
    rewritten: I64,
    time: F64,
    code: F64,
    data: F64,
    run_to: I64,
    chance: F64,
    fill: I64,
    drop: I64,
    evict: I64,
    wrong: Bools,
    begin: I64,
    to: I64,
    rate: F64,
    total: float,
    jumps: F64,
    matrix: F64,
    sums: F64,
) -> None:
    """Units ``first`` to ``last`` (exclusive); adds to ``sums``: whole, single, window.

    ``begin``: where the transitions from each surroundings begin, ``to`` where they lead, with which share ``rate`` of
    the ``total`` per cycle.  ``jumps``: what time does in which ``_STEP``, twice, four times, ... as many are expected.
    """
    size = run_to.shape[0]
    both = np.zeros((2, size))
    power = np.zeros(size)
    following = np.zeros(size)
    for unit in range(first, last):
        both[:] = 0.0
        both[0, 0] = 1.0
        rewritten_before = False
        before = 0.0
        for row in range(firsts[unit], firsts[unit + 1]):
            x = total * (time[row] - before)
            before = time[row]
            leaves, stays = 1.0 - code[row], code[row]
            cleaned, dirty = 1.0 - data[row], data[row]
            for which in range(2):
                vector = both[which]
                if which == 1 and not rewritten_before:
                    continue
                if leaves > 0.0:
                    following[:] = 0.0
                    for s in range(size):
                        if vector[s] > 0.0:
                            following[drop[s]] += vector[s] * leaves
                            following[s] += vector[s] * stays
                    vector[:] = following
                if cleaned > 0.0:
                    following[:] = 0.0
                    for s in range(size):
                        if vector[s] > 0.0:
                            following[evict[s]] += vector[s] * cleaned
                            following[s] += vector[s] * dirty
                    vector[:] = following
                steps = np.int64(x / _STEP)
                left = x - steps * _STEP
                number = 0
                while steps:
                    if steps & 1:
                        following[:] = 0.0
                        for s in range(size):
                            if vector[s] > _NOTHING:
                                for t in range(size):
                                    following[t] += vector[s] * jumps[number, s, t]
                        vector[:] = following
                    steps >>= 1
                    number += 1
                if left > 0.0:
                    power[:] = vector
                    weight = np.exp(-left)
                    vector[:] = 0.0
                    number = 0
                    while True:
                        for s in range(size):
                            vector[s] += weight * power[s]
                        number += 1
                        weight *= left / number
                        # What takes up to three steps keeps all its digits.
                        if weight < 1e-17 * left * left * left:
                            break
                        following[:] = 0.0
                        for s in range(size):
                            if power[s] > _NOTHING:
                                for at in range(begin[s], begin[s + 1]):
                                    following[to[at]] += power[s] * rate[at]
                        power[:] = following
            if rewritten[row] >= 0:
                rewritten_before = True
                vector = both[0]
                following[:] = 0.0
                for s in range(size):
                    if vector[s] > 0.0:
                        for t in range(size):
                            following[t] += vector[s] * matrix[s, t]
                vector[:] = following
                both[1] = matrix[run_to[0]]
                for s in range(size):
                    if wrong[s]:
                        sums[2] += both[1, s]
            elif run[row]:
                for which in range(2):
                    vector = both[which]
                    following[:] = 0.0
                    failed = 0.0
                    for s in range(size):
                        if vector[s] > 0.0:
                            failed += vector[s] * chance[s]
                            following[run_to[s]] += vector[s] * (1.0 - chance[s])
                    sums[which] += failed
                    if which == 0:
                        following[0] += failed
                        vector[:] = following
                    else:
                        vector[:] = 0.0
            else:
                for which in range(2):
                    vector = both[which]
                    following[:] = 0.0
                    for s in range(size):
                        following[fill[s]] += vector[s]
                    vector[:] = following


def along(exposure: Exposure, maps: Maps, matrix: F64, rates: F64, harms: F64) -> Expected:
    """The expected numbers; ``rates`` per cycle, from surroundings to surroundings, ``matrix`` of a retranslation."""
    states = np.arange(maps.run.size)
    chance = np.concatenate((harms, [0.0]))[maps.harm]
    total = float(rates.sum(axis=1).max(initial=0.0))
    moving = rates.copy()
    moving[states, states] += total - rates.sum(axis=1)
    sources, targets = np.nonzero(moving)
    begin = np.searchsorted(sources, np.arange(states.size + 1))
    weights = moving[sources, targets] / total if total else moving[sources, targets]
    jumps = _jumps(moving / total if total else moving)
    units = exposure.firsts.size - 1
    middle = int(np.searchsorted(exposure.firsts, exposure.firsts[-1] // 2)) if units else 0
    sums = np.zeros((2, 3))

    def half(number: int, first: int, last: int) -> None:
        _units(
            first,
            last,
            exposure.firsts,
            exposure.run,
            exposure.rewritten,
            exposure.time,
            exposure.code,
            exposure.data,
            maps.run,
            chance,
            maps.fill,
            maps.drop[maps.here, states],
            maps.evict[maps.here, states],
            maps.wrong,
            begin,
            targets,
            weights,
            total,
            jumps,
            matrix,
            sums[number],
        )

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(partial(half, 0, 0, middle)), threads.submit(partial(half, 1, middle, units))]:
            done.result()
    whole, single, window = sums.sum(axis=0).tolist()
    return Expected(whole, single, window)


def _jumps(share: F64) -> F64:
    """What ``_STEP``, twice, four times, ... as many expected transitions do: sums and products of positive terms."""
    term = np.eye(len(share)) * np.exp(-_STEP)
    whole = term.copy()
    for number in range(1, 40):
        term = term @ share * (_STEP / number)
        whole += term
    jumps = [whole]
    while len(jumps) < _JUMPS:
        jumps.append(jumps[-1] @ jumps[-1])
    return np.array(jumps)
