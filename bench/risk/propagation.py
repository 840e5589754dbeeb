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

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.exposure import Exposure, UnitRows
from bench.risk.quiescent import QuiescentMaps
from bench.support.kernels import expanded, kernel, part

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

_STEP = 0.5
"""Expected transitions above which the series is not summed but looked up."""
_JUMPS = 62
_NOTHING = 1e-200
"""A probability that is left out: doubles become slow before they become 0."""


@dataclass(frozen=True, slots=True)
class ExpectedFailures:
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


@expanded
def _add(to: F64, what: F64, share: float, least: float) -> None:
    """Add this share of what is above ``least``."""
    for v in range(np.uint64(to.shape[0])):
        to[v] += (what[v] if what[v] > least else 0.0) * share


@part
def _copy(vectors: F64, source: F64) -> None:
    for s in range(vectors.shape[0]):
        for v in range(vectors.shape[1]):
            vectors[s, v] = source[s, v]


@part
def _empty(vectors: F64) -> None:
    for s in range(vectors.shape[0]):
        for v in range(vectors.shape[1]):
            vectors[s, v] = 0.0


@part
def _move(vectors: F64, scratch: F64, targets: I64, stays: float) -> None:
    """Move the states to ``targets``, but with probability ``stays``."""
    if stays < 1.0:
        _empty(scratch)
        for s in range(vectors.shape[0]):
            _add(scratch[targets[s]], vectors[s], 1.0 - stays, 0.0)
            _add(scratch[s], vectors[s], stays, 0.0)
        _copy(vectors, scratch)


@part
def _multiply(vectors: F64, scratch: F64, matrix: F64, least: float) -> None:
    """Multiply by a matrix, without what is not above ``least``."""
    _empty(scratch)
    for s in range(vectors.shape[0]):
        for t in range(vectors.shape[0]):
            _add(scratch[t], vectors[s], matrix[s, t], least)
    _copy(vectors, scratch)


@kernel
def _units(first: int, last: int, rows: UnitRows, through: _Transitions, sums: F64) -> None:
    """Units ``first`` to ``last`` (exclusive); adds to ``sums`` (whole, single, window; variant)."""
    size, variants = through.chance.shape
    both = np.zeros((2, size, variants))
    power = np.zeros((size, variants))
    scratch = np.zeros((size, variants))
    for unit in range(first, last):
        both[:] = 0.0
        both[0, 0] = 1.0
        distributions = 1  # two from a retranslation to the next execution
        for row in range(rows.firsts[unit], rows.firsts[unit + 1]):
            x = through.total * rows.gap[row]
            for which in range(distributions):
                vectors = both[which]
                _move(vectors, scratch, through.drop, rows.code[row])
                _move(vectors, scratch, through.evict, rows.data[row])
                steps = np.int64(x / _STEP)
                left = x - steps * _STEP
                number = 0
                while steps:
                    if steps & 1:
                        _multiply(vectors, scratch, through.jumps[number], _NOTHING)
                    steps >>= 1
                    number += 1
                if left > 0.0:
                    _copy(power, vectors)
                    weight = np.exp(-left)
                    _empty(vectors)
                    number = 0
                    while True:
                        for s in range(size):
                            _add(vectors[s], power[s], weight, 0.0)
                        number += 1
                        weight *= left / number
                        # What takes up to three steps keeps all its digits.
                        if weight < 1e-17 * left * left * left:
                            break
                        _empty(scratch)
                        for s in range(size):
                            for at in range(through.begin[s], through.begin[s + 1]):
                                _add(scratch[through.to[at]], power[s], through.rate[at], _NOTHING)
                        _copy(power, scratch)
            if rows.rewritten[row] >= 0:
                distributions = 2
                _empty(scratch)
                for s in range(size):
                    for t in range(size):
                        for v in range(variants):
                            scratch[t, v] += both[0, s, v] * through.retranslated[s, t, v]
                _copy(both[0], scratch)
                both[1] = through.retranslated[through.run[0]]
                for s in range(size):
                    if through.wrong[s]:
                        for v in range(variants):
                            sums[2, v] += both[1, s, v]
            elif rows.run[row]:
                for which in range(distributions):
                    vectors = both[which]
                    _empty(scratch)
                    for v in range(variants):
                        power[0, v] = 0.0
                    for s in range(size):
                        to = through.run[s]
                        for v in range(variants):
                            power[0, v] += vectors[s, v] * through.chance[s, v]
                            scratch[to, v] += vectors[s, v] * (1.0 - through.chance[s, v])
                    for v in range(variants):
                        sums[which, v] += power[0, v]
                    if which == 0:
                        for v in range(variants):
                            scratch[0, v] += power[0, v]
                        _copy(vectors, scratch)
                distributions = 1
            else:
                for which in range(distributions):
                    _move(both[which], scratch, through.fill, 0.0)


def propagate(
    exposure: Exposure, maps: QuiescentMaps, rates: F64, variants: Sequence[tuple[F64, F64]]
) -> list[ExpectedFailures]:
    """The expected numbers of each variant: the matrix of a retranslation, and the probability of each harm.

    ``rates`` per cycle between states.
    """
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
        # Some more, so that a processor takes four at once and none by itself.
        chance=_padded([np.append(harms, 0.0)[maps.harm] for _, harms in variants]),
        retranslated=_padded([retranslated for retranslated, _ in variants]),
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
    sums = np.zeros((2, 3, through.chance.shape[1]))
    with ThreadPoolExecutor(2) as threads:
        halves = [(0, middle, sums[0]), (middle, units, sums[1])]
        for done in [threads.submit(_units, first, last, rows, through, into) for first, last, into in halves]:
            done.result()
    return [ExpectedFailures(*one) for one in sums.sum(axis=0).T[: len(variants)].tolist()]


def _padded(variants: list[F64]) -> F64:
    """Variants side by side, in a last axis."""
    return np.stack([*variants, *[variants[0]] * (-len(variants) % 4)], axis=-1)


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
