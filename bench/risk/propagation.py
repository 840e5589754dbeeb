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

from bench.risk.exposure import Exposure
from bench.risk.harm import F64
from bench.risk.quiescent import QuiescentMaps
from bench.support.kernels import expanded, lean_kernel, part
from bench.traces.trace import I64

Index: TypeAlias = np.uint64 | int
"""Of an array; unsigned for numba, which lets signed ones count from the end."""

_STEP = 0.5
"""Expected transitions above which the series is not summed but looked up."""
_JUMPS = 62
_NOTHING = 1e-200
"""A probability that is left out: doubles become slow before they become 0."""
_LANES = 8
"""Variants that a processor takes at once."""


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

    ``maps``: five of ``QuiescentMaps``, of the core that runs.  ``begin``: where the transitions of the Poisson process
    to each state begin, ``source`` where they come from, with which share ``rate`` of the ``total`` per cycle.
    ``jumps``, to each state from each of ``states``: what happens while ``_STEP``, twice, four times, ... as many
    transitions are expected.
    """

    maps: I64
    begin: I64
    source: I64
    rate: F64
    total: float
    jumps: F64
    states: I64


_RUN, _FILL, _DROP, _EVICT, _WRONG = range(5)


@expanded
def _add(to: F64, t: Index, what: F64, s: Index, share: float) -> None:
    """Add to row ``t`` this share of row ``s``."""
    for v in range(_LANES):
        to[t, v] += what[s, v] * share


@part
def _copy(vectors: F64, source: F64) -> None:
    for s in range(np.uint64(vectors.shape[0])):
        for v in range(_LANES):
            vectors[s, v] = source[s, v]


@part
def _empty(vectors: F64) -> None:
    for s in range(np.uint64(vectors.shape[0])):
        for v in range(_LANES):
            vectors[s, v] = 0.0


@part
def _move(vectors: F64, scratch: F64, targets: I64, stays: float) -> None:
    """Move the states to ``targets``, but with probability ``stays``."""
    if stays < 1.0:
        _empty(scratch)
        for s in range(np.uint64(vectors.shape[0])):
            _add(scratch, np.uint64(targets[s]), vectors, s, 1.0 - stays)
            if stays > 0.0:
                _add(scratch, s, vectors, s, stays)
        _copy(vectors, scratch)


@expanded
def _from(to: F64, t: Index, vectors: F64, sources: I64, shares: F64, first: Index, last: Index) -> None:
    """Row ``t`` as the sum of shares of others."""
    one = two = three = four = five = six = seven = eight = 0.0
    for at in range(first, last):
        s, share = np.uint64(sources[at]), shares[at]
        one += vectors[s, 0] * share
        two += vectors[s, 1] * share
        three += vectors[s, 2] * share
        four += vectors[s, 3] * share
        five += vectors[s, 4] * share
        six += vectors[s, 5] * share
        seven += vectors[s, 6] * share
        eight += vectors[s, 7] * share
    to[t, 0] = one
    to[t, 1] = two
    to[t, 2] = three
    to[t, 3] = four
    to[t, 4] = five
    to[t, 5] = six
    to[t, 6] = seven
    to[t, 7] = eight


@expanded
def _cut(to: F64, vectors: F64, s: Index) -> None:
    """Row ``s`` without what is next to nothing."""
    for v in range(_LANES):
        to[s, v] = vectors[s, v] if vectors[s, v] > _NOTHING else 0.0


@part
def _wait(vectors: F64, scratch: F64, power: F64, through: _Transitions, x: float) -> None:
    """Let the Poisson process take its course while ``x`` transitions are expected."""
    size = np.uint64(vectors.shape[0])
    steps = np.int64(x / _STEP)
    left = x - steps * _STEP
    number = 0
    while steps:
        if steps & 1:
            for s in range(size):
                _cut(power, vectors, s)
            for t in range(size):
                _from(vectors, t, power, through.states, through.jumps[number, t], np.uint64(0), size)
        steps >>= 1
        number += 1
    if left > 0.0:
        weight = np.exp(-left)
        for s in range(size):
            _cut(power, vectors, s)
            for v in range(_LANES):
                vectors[s, v] *= weight
        number = 1
        weight *= left
        # What takes up to three steps keeps all its digits.
        while weight >= 1e-17 * left * left * left:
            for t in range(size):
                first, last = np.uint64(through.begin[t]), np.uint64(through.begin[t + np.uint64(1)])
                _from(scratch, t, power, through.source, through.rate, first, last)
                for v in range(_LANES):
                    vectors[t, v] += scratch[t, v] * weight
                _cut(scratch, scratch, t)
            power, scratch = scratch, power
            number += 1
            weight *= left / number


@lean_kernel
def _units(
    first: int, last: int, rows: _RowKinds, through: _Transitions, chance: F64, retranslated: F64, work: F64, sums: F64
) -> None:
    """Units ``first`` to ``last`` (exclusive), for a block of variants.

    ``chance`` that an execution fails; ``retranslated``: the matrix of a retranslation.  ``work``: room for four
    distributions.  Adds to ``sums`` (whole, single, window; lane).
    """
    size = np.uint64(chance.shape[0])
    maps = through.maps
    scratch, power = work[2], work[3]
    for unit in range(first, last):
        _empty(work[0])
        for v in range(_LANES):
            work[0, 0, v] = 1.0
        distributions = 1  # two from a retranslation to the next execution
        for row in range(np.uint64(rows.firsts[unit]), np.uint64(rows.firsts[unit + 1])):
            kind = rows.kind[row]
            for which in range(distributions):
                vectors = work[which]
                _move(vectors, scratch, maps[_DROP], rows.code[row])
                _move(vectors, scratch, maps[_EVICT], rows.data[row])
                _wait(vectors, scratch, power, through, through.total * rows.gap[row])
                if kind == _FILLS:
                    _move(vectors, scratch, maps[_FILL], 0.0)
                elif kind == _RUNS:
                    _empty(scratch)
                    for v in range(_LANES):
                        power[0, v] = 0.0
                    for s in range(size):
                        to = np.uint64(maps[_RUN, s])
                        for v in range(_LANES):
                            power[0, v] += vectors[s, v] * chance[s, v]
                            scratch[to, v] += vectors[s, v] * (1.0 - chance[s, v])
                    for v in range(_LANES):
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
                        for v in range(_LANES):
                            scratch[t, v] += work[0, s, v] * retranslated[s, t, v]
                _copy(work[0], scratch)
                _copy(work[1], retranslated[maps[_RUN, 0]])
                for s in range(size):
                    for v in range(_LANES):
                        sums[2, v] += work[1, s, v] * maps[_WRONG, s]


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
    targets, sources = np.nonzero(moving.T)
    here, evict = (per_core[maps.here, states] for per_core in (maps.drop, maps.evict))
    through = _Transitions(
        maps=np.stack((maps.run, maps.fill, here, evict, maps.wrong)).astype(np.int64),
        begin=np.searchsorted(targets, np.arange(states.size + 1)),
        source=sources,
        rate=moving[sources, targets],
        total=total,
        jumps=np.ascontiguousarray(_jumps(moving).transpose(0, 2, 1)),
        states=states,
    )
    chance = _in_blocks([np.append(harms, 0.0)[maps.harm] for _, harms in variants])
    retranslated = _in_blocks([retranslated for retranslated, _ in variants])
    # Where a unit whose lines have both left the caches is as at the start, what was before is forgotten.
    rows = exposure.rows if here[evict].any() else exposure.episodes
    kind = np.where(rows.rewritten >= 0, _REWRITES, np.where(rows.run, _RUNS, _FILLS)).astype(np.int8)
    columns = _RowKinds(rows.firsts, kind, rows.gap, rows.code, rows.data)
    units = rows.firsts.size - 1
    middle = int(np.searchsorted(rows.firsts, rows.firsts[-1] // 2)) if units else 0
    sums = np.zeros((len(chance), 2, 3, _LANES))
    work = np.empty((len(chance), 2, 4, states.size, _LANES))
    with ThreadPoolExecutor(2) as threads:
        running = [
            threads.submit(_units, *ends, columns, through, chance[block], retranslated[block], *into)
            for block in range(len(chance))
            for ends, *into in zip(((0, middle), (middle, units)), work[block], sums[block], strict=True)
        ]
        for done in running:
            done.result()
    found = sums.sum(axis=1).transpose(0, 2, 1).reshape(-1, 3)
    return [ExpectedFailures(*one) for one in found[: len(variants)].tolist()]


def _in_blocks(variants: list[F64]) -> F64:
    """Variants by blocks of ``_LANES``, side by side in a last axis; the last block has the first one some more."""
    whole = np.stack([*variants, *[variants[0]] * (-len(variants) % _LANES)])
    return np.ascontiguousarray(np.moveaxis(whole.reshape(-1, _LANES, *whole.shape[1:]), 1, -1))


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
