"""How likely each unit of a trace is executed wrong: a distribution propagated along the rows of its exposure.

Each unit has a distribution over the quiescent states (``quiescent.py``).  Between two rows the trace evicts lines,
with the probabilities of the exposure.  What it does not record, interrupts, time slices and moves, are Poisson
processes.  It makes no difference in which order lines leave caches and the thread moves, and a line that has left
cannot leave again: so what matters of each process is whether it has happened at all, or, of moves, how often.  Then
the row itself takes effect.

There are two distributions.  ``whole`` is propagated through the execution; after a failure the guest is assumed to
start anew.  ``single`` starts anew at each retranslation, from the state after an execution from a clean start, and
ends with the next execution of the block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.risk.evictions import Arrivals
from bench.risk.exposure import Exposure
from bench.risk.harm import F64
from bench.risk.quiescent import QuiescentMaps
from bench.support.kernels import expanded, lean_kernel, part
from bench.traces.trace import I64

Index: TypeAlias = np.uint64 | int
"""Of an array; unsigned for numba, which lets signed ones count from the end."""

_MOVES = 50.0
"""So many expected moves are as any more: none is as likely as 1e-22, and which core was the first is forgotten."""
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


class _RowKinds(NamedTuple):
    """The columns of ``UnitRows`` with the ``kind`` of each row."""

    firsts: I64
    kind: npt.NDArray[np.int8]
    gap: F64
    code: F64
    data: F64


_FILLS, _RUNS, _REWRITES = range(3)


class _Transitions(NamedTuple):
    """What each row and the time between rows do to a distribution.

    ``run``, ``fill``, ``wrong``: of ``QuiescentMaps``.  ``leave`` (core, what, state): when ``_DATA``, ``_CODE`` or
    both lines leave its caches, as in ``arrivals``; first of the core that runs.  ``moves`` (other core, state).
    """

    run: I64
    fill: I64
    wrong: I64
    leave: I64
    moves: I64
    arrivals: Arrivals


_DATA, _CODE = range(2)


@part
def _copy(vectors: F64, source: F64) -> None:
    """Without what is next to nothing."""
    for s in range(np.uint64(vectors.shape[0])):
        for v in range(np.uint64(vectors.shape[1])):
            vectors[s, v] = source[s, v] if source[s, v] > _NOTHING else 0.0


@part
def _empty(vectors: F64) -> None:
    for s in range(np.uint64(vectors.shape[0])):
        for v in range(np.uint64(vectors.shape[1])):
            vectors[s, v] = 0.0


@expanded
def _either(x: float) -> tuple[float, float]:
    """The probabilities that something happens of which ``x`` are expected, and that it does not; to all digits."""
    if x < 0.5:
        happens = -math.expm1(-x)
        return happens, 1.0 - happens
    never = math.exp(-x)
    return 1.0 - never, never


@part
def _go(vectors: F64, targets: I64, leave: float, stay: float) -> None:
    """Move a share ``leave`` of each state to its target, in place: a target is its own."""
    lanes = np.uint64(vectors.shape[1])
    if leave > 0.0:
        for s in range(np.uint64(vectors.shape[0])):
            t = np.uint64(targets[s])
            if t != s:
                for v in range(lanes):
                    share = vectors[s, v] * leave
                    vectors[t, v] += share
                    # Nothing gets lost in rounding: over many rows alike that would add up.
                    vectors[s, v] = vectors[s, v] - share if leave < 0.5 else vectors[s, v] * stay


@part
def _wander(vectors: F64, scratch: F64, power: F64, moves: I64, x: float) -> None:
    """Let the thread move to one of the other cores, and on, while ``x`` moves are expected."""
    size, lanes = np.uint64(vectors.shape[0]), np.uint64(vectors.shape[1])
    _copy(power, vectors)
    weight = math.exp(-x)
    for s in range(size):
        for v in range(lanes):
            vectors[s, v] *= weight
    x = min(x, _MOVES)
    number, weight = 1, math.exp(-x) * x
    # What takes up to three moves keeps all its digits.
    while number <= max(x, 3.0) or weight > 1e-20:
        _empty(scratch)
        for core in range(np.uint64(moves.shape[0])):
            for s in range(size):
                t = np.uint64(moves[core, s])
                for v in range(lanes):
                    share = power[s, v] / moves.shape[0]
                    scratch[t, v] += share
                    vectors[t, v] += share * weight
        power, scratch = scratch, power
        number += 1
        weight *= x / number


@lean_kernel
def _units(
    first: int, last: int, rows: _RowKinds, through: _Transitions, chance: F64, retranslated: F64, work: F64, sums: F64
) -> None:
    """Units ``first`` to ``last`` (exclusive).

    ``chance`` that an execution fails; ``retranslated``: the matrix of a retranslation.  ``work``: room for four
    distributions.  Adds to ``sums`` (whole, single, window; variant).
    """
    size, lanes = np.uint64(chance.shape[0]), np.uint64(chance.shape[1])
    leave, arrivals = through.leave, through.arrivals
    scratch, power = work[2], work[3]
    for unit in range(first, last):
        _empty(work[0])
        for v in range(lanes):
            work[0, 0, v] = 1.0
        distributions = 1  # two from a retranslation to the next execution
        for row in range(np.uint64(rows.firsts[unit]), np.uint64(rows.firsts[unit + 1])):
            kind, gap = rows.kind[row], rows.gap[row]
            for which in range(distributions):
                vectors = work[which]
                _go(vectors, leave[0, _CODE], 1.0 - rows.code[row], rows.code[row])
                _go(vectors, leave[0, _DATA], 1.0 - rows.data[row], rows.data[row])
                for core in range(np.uint64(leave.shape[0])):
                    for what in range(3):
                        happens, never = _either(arrivals[what] * gap)
                        _go(vectors, leave[core, what], happens, never)
                if arrivals.move > 0.0:
                    _wander(vectors, scratch, power, through.moves, arrivals.move * gap)
                if kind == _FILLS:
                    _go(vectors, through.fill, 1.0, 0.0)
                elif kind == _RUNS:
                    _empty(scratch)
                    for v in range(lanes):
                        power[0, v] = 0.0
                    for s in range(size):
                        to = np.uint64(through.run[s])
                        for v in range(lanes):
                            power[0, v] += vectors[s, v] * chance[s, v]
                            scratch[to, v] += vectors[s, v] * (1.0 - chance[s, v])
                    for v in range(lanes):
                        sums[which, v] += power[0, v]
                        scratch[0, v] += power[0, v]
                    _copy(vectors, scratch)
            if kind == _RUNS:
                distributions = 1
            elif kind == _REWRITES:
                distributions = 2
                _empty(scratch)
                for s in range(size):
                    for t in range(size):
                        for v in range(lanes):
                            scratch[t, v] += work[0, s, v] * retranslated[s, t, v]
                _copy(work[0], scratch)
                _copy(work[1], retranslated[through.run[0]])
                for s in range(size):
                    for v in range(lanes):
                        sums[2, v] += work[1, s, v] * through.wrong[s]


def propagate(
    exposure: Exposure, maps: QuiescentMaps, arrivals: Arrivals, variants: Sequence[tuple[F64, F64]]
) -> list[ExpectedFailures]:
    """The expected numbers of each variant: the matrix of a retranslation, and the probability of each harm."""
    states, cores = np.arange(maps.run.size), len(maps.drop)
    order = (maps.here + np.arange(cores)[:, np.newaxis]) % cores
    evict, drop, moves = (per_core[order, states] for per_core in (maps.evict, maps.drop, maps.move))
    both = np.take_along_axis(drop, evict, axis=1)
    through = _Transitions(
        run=maps.run,
        fill=maps.fill,
        wrong=maps.wrong.astype(np.int64),
        leave=np.stack((evict, drop, both), axis=1),
        moves=moves[1:],
        arrivals=arrivals,
    )
    chance = np.stack([np.append(harms, 0.0)[maps.harm] for _, harms in variants], axis=-1)
    retranslated = np.stack([matrix for matrix, _ in variants], axis=-1)
    # Where a unit whose lines have both left the caches is as at the start, what was before is forgotten.
    rows = exposure.rows if both[0].any() else exposure.episodes
    kind = np.where(rows.rewritten >= 0, _REWRITES, np.where(rows.run, _RUNS, _FILLS)).astype(np.int8)
    columns = _RowKinds(rows.firsts, kind, rows.gap, rows.code, rows.data)
    units = rows.firsts.size - 1
    middle = int(np.searchsorted(rows.firsts, rows.firsts[-1] // 2)) if units else 0
    sums = np.zeros((2, 3, len(variants)))
    work = np.empty((2, 4, states.size, len(variants)))
    with ThreadPoolExecutor(2) as threads:
        running = [
            threads.submit(_units, *ends, columns, through, chance, retranslated, *into)
            for ends, *into in zip(((0, middle), (middle, units)), work, sums, strict=True)
        ]
        for done in running:
            done.result()
    return [ExpectedFailures(*one) for one in sums.sum(axis=0).T.tolist()]
