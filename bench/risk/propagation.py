"""How likely each unit of a trace is executed wrong: a distribution propagated along the rows of its exposure.

Each unit has a distribution over the quiescent states (``quiescent.py``).  Between two rows the trace evicts lines,
with the probabilities of the exposure.  What it does not record, interrupts, time slices and moves, is a Poisson
process: its matrix exponential is summed as a series whose terms are all positive (uniformization), until the rest is
below the precision of a double.  Then the row itself takes effect.

There are two distributions.  ``whole`` is propagated through the execution; after a failure the guest is assumed to
start anew.  ``single`` starts anew at each retranslation, from the state after an execution from a clean start, and
ends with the next execution of the block.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.exposure import Exposure, UnitRows
from bench.risk.quiescent import QuiescentMaps
from bench.support.kernels import kernel, part

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

_STEP = 0.5
"""Expected transitions above which the series is not summed but looked up."""
_JUMPS = 62
_NOTHING = 1e-200
"""A probability that is left out: doubles become slow before they become 0."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected numbers over a whole trace.

    ``whole``: wrong executions, propagated along; ``single``: those at the first execution after a retranslation, each
    retranslation by itself; ``window``: wrong values that reach the point of unification and are there when a
    retranslation ends, each by itself.
    """

    whole: float
    single: float
    window: float


class _Transitions(NamedTuple):
    """What each row and the time between rows do to a distribution.

    ``run``, ``fill``, ``drop``, ``evict``, ``wrong``: as in ``QuiescentMaps``, of the core that runs.  ``chance`` that
    an execution fails; ``retranslated``: the matrix of a retranslation.  ``begin``: where the transitions of the
    Poisson process from each state begin, ``to`` where they lead, with which share ``rate`` of the ``total`` per cycle.
    ``jumps``: what happens while ``_STEP``, twice, four times, ... as many transitions are expected.
    """

    run: I64
    fill: I64
    drop: I64
    evict: I64
    wrong: npt.NDArray[np.bool_]
    chance: F64
    retranslated: F64
    begin: I64
    to: I64
    rate: F64
    total: float
    jumps: F64


@part
def _copy(vector: F64, source: F64) -> None:
    for s in range(vector.shape[0]):
        vector[s] = source[s]


@part
def _move(vector: F64, scratch: F64, targets: I64, stays: float) -> None:
    """Move the states to ``targets``, but with probability ``stays``."""
    if stays < 1.0:
        scratch[:] = 0.0
        for s in range(vector.shape[0]):
            if vector[s] > 0.0:
                scratch[targets[s]] += vector[s] * (1.0 - stays)
                scratch[s] += vector[s] * stays
        _copy(vector, scratch)


@part
def _multiply(vector: F64, scratch: F64, matrix: F64, least: float) -> None:
    """Multiply by a matrix, without what is not above ``least``."""
    scratch[:] = 0.0
    for s in range(vector.shape[0]):
        if vector[s] > least:
            for t in range(vector.shape[0]):
                scratch[t] += vector[s] * matrix[s, t]
    _copy(vector, scratch)


@kernel
def _units(first: int, last: int, rows: UnitRows, through: _Transitions, sums: F64) -> None:
    """Units ``first`` to ``last`` (exclusive); adds to ``sums``: whole, single, window."""
    size = through.run.shape[0]
    both = np.zeros((2, size))
    power = np.zeros(size)
    scratch = np.zeros(size)
    for unit in range(first, last):
        both[:] = 0.0
        both[0, 0] = 1.0
        distributions = 1  # two from a retranslation to the next execution
        for row in range(rows.firsts[unit], rows.firsts[unit + 1]):
            x = through.total * rows.gap[row]
            for which in range(distributions):
                vector = both[which]
                _move(vector, scratch, through.drop, rows.code[row])
                _move(vector, scratch, through.evict, rows.data[row])
                steps = np.int64(x / _STEP)
                left = x - steps * _STEP
                number = 0
                while steps:
                    if steps & 1:
                        _multiply(vector, scratch, through.jumps[number], _NOTHING)
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
                        scratch[:] = 0.0
                        for s in range(size):
                            if power[s] > _NOTHING:
                                for at in range(through.begin[s], through.begin[s + 1]):
                                    scratch[through.to[at]] += power[s] * through.rate[at]
                        power[:] = scratch
            if rows.rewritten[row] >= 0:
                distributions = 2
                _multiply(both[0], scratch, through.retranslated, 0.0)
                both[1] = through.retranslated[through.run[0]]
                for s in range(size):
                    if through.wrong[s]:
                        sums[2] += both[1, s]
            elif rows.run[row]:
                for which in range(distributions):
                    vector = both[which]
                    scratch[:] = 0.0
                    failed = 0.0
                    for s in range(size):
                        if vector[s] > 0.0:
                            failed += vector[s] * through.chance[s]
                            scratch[through.run[s]] += vector[s] * (1.0 - through.chance[s])
                    sums[which] += failed
                    if which == 0:
                        scratch[0] += failed
                        vector[:] = scratch
                distributions = 1
            else:
                for which in range(distributions):
                    _move(both[which], scratch, through.fill, 0.0)


def propagate(exposure: Exposure, maps: QuiescentMaps, retranslated: F64, rates: F64, harms: F64) -> Expected:
    """The expected numbers; ``rates`` per cycle between states, ``retranslated``: the matrix of a retranslation."""
    states = np.arange(maps.run.size)
    total = float(rates.sum(axis=1).max(initial=0.0))
    moving = rates.copy()
    moving[states, states] += total - rates.sum(axis=1)
    if total:
        moving /= total
    sources, targets = np.nonzero(moving)
    through = _Transitions(
        run=maps.run,
        fill=maps.fill,
        drop=maps.drop[maps.here, states],
        evict=maps.evict[maps.here, states],
        wrong=maps.wrong,
        chance=np.concatenate((harms, [0.0]))[maps.harm],
        retranslated=retranslated,
        begin=np.searchsorted(sources, np.arange(states.size + 1)),
        to=targets,
        rate=moving[sources, targets],
        total=total,
        jumps=_jumps(moving),
    )
    # Where a unit whose lines have both left the caches is as at the start, what was before is forgotten.
    forgets = not through.drop[through.evict].any()
    rows = exposure.episodes if forgets else exposure.rows
    firsts = rows.firsts
    units = firsts.size - 1
    middle = int(np.searchsorted(firsts, firsts[-1] // 2)) if units else 0
    sums = np.zeros((2, 3))
    with ThreadPoolExecutor(2) as threads:
        halves = [(0, middle, sums[0]), (middle, units, sums[1])]
        for done in [threads.submit(_units, first, last, rows, through, into) for first, last, into in halves]:
            done.result()
    return Expected(*sums.sum(axis=0).tolist())


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
