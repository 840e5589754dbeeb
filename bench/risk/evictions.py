"""How likely it is that a line leaves its cache between two operations: from what else runs there, and the geometry.

Three causes on each core.  An *interrupt*, whose handler brings lines of its own.  A *time slice* of other work, with
the lines that it touches; where a context switch cleans and invalidates everything (``switch_cleans_all``, virtually
indexed and tagged caches) it leaves nothing of either cache, which pushes out what is temporary and, later, heals.
The *translator's own work*, always, with the lines that it touches for the first time.  And where the kernel may
move the thread to another core, a *move*.

In a retranslation each of them happens or does not between two operations (``causes_on``); between retranslations they
come as Poisson processes (``rates_on``).

Other lines are taken to be spread evenly over the sets: how many of them come into one is Poisson distributed.  The
line in question was the last to be accessed in its set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.hosts.profile import Cache, Host
from bench.risk.causes import AT_ONCE, Cause
from bench.risk.quiescent import Maps

F64: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Evictions:
    """The probabilities that a data line, and an instruction line, leave in an interrupt and in a time slice."""

    interrupt: tuple[float, float]
    time_slice: tuple[float, float]

    @classmethod
    def on(cls, host: Host, values: Mapping[str, float]) -> _Evictions:
        """Those on a host."""
        data, code, other = (values[name] for name in ("handler_data_lines", "handler_code_lines", "slice_lines"))
        everything = host.coherence.switch_cleans_all.value
        time_slice = (1.0, 1.0) if everything else (gone(host.dcache, other), gone(host.icache, other))
        return cls((gone(host.dcache, data), gone(host.icache, code)), time_slice)


def causes_on(host: Host, values: Mapping[str, float], cores: int = 1, moves: bool = False) -> tuple[Cause, ...]:
    """What happens on a host between two operations; ``values`` by name, as in ``Pressure``.

    ``cores`` of the scenario, and whether its thread ``moves``.  Stores leave their buffer and maintenance completes at
    once: an operation takes longer than either.
    """
    seconds = values["operation"] / (host.clock_ghz * 1e9)
    evictions = _Evictions.on(host, values)
    causes = []
    for core in range(cores):
        for name, rate, (data, code) in (
            ("interrupt", values["interrupts"], evictions.interrupt),
            ("time slice", values["slices"], evictions.time_slice),
        ):
            causes.append(Cause(name, happens(rate * seconds), write_back=data, drop=code, core=core))
    window = gone(host.dcache, values["window_data_lines"]), gone(host.icache, values["window_code_lines"])
    causes.append(Cause("translator", 1.0, write_back=window[0], drop=window[1]))
    if moves:
        causes.append(Cause("move", happens(values["moves"] * seconds), move=1.0))
    return (*causes, AT_ONCE)


def rates_on(host: Host, values: Mapping[str, float], maps: Maps, *, moves: bool) -> F64:
    """How often, per cycle counted, what happens at rest makes one surroundings of another (rows)."""
    states = np.arange(maps.run.size)
    rates = np.zeros((states.size, states.size))
    evictions = _Evictions.on(host, values)
    per_cycle = values["slowdown"] / (host.clock_ghz * 1e9)
    for drop, evict in zip(maps.drop, maps.evict, strict=True):
        for rate, (data, code) in (
            (values["interrupts"], evictions.interrupt),
            (values["slices"], evictions.time_slice),
        ):
            for share, target in ((data * code, drop[evict]), (data * (1 - code), evict), ((1 - data) * code, drop)):
                np.add.at(rates, (states, target), rate * per_cycle * share)
    if moves:
        for core, target in enumerate(maps.move):
            elsewhere = maps.here != core
            others = max(1, len(maps.move) - 1)
            np.add.at(rates, (states[elsewhere], target[elsewhere]), values["moves"] * per_cycle / others)
    return rates


def happens(mean: float) -> float:
    """The probability that something that happens ``mean`` times on average happens at all."""
    return -math.expm1(-mean)


def gone(cache: Cache, lines: float) -> float:
    """The probability that the line accessed last in its set is no longer there after so many others.

    ``lru`` and ``plru``: when as many have come into the set as it has ways (a tree that is only missed in names each
    way once before it names one again).  ``round-robin``: the counter is equally likely to be anywhere.  ``random``:
    each that comes takes the line's frame with probability one over the ways.
    """
    mean, ways = lines / cache.sets, cache.ways
    if cache.replacement == "random":
        return happens(mean / ways)
    if cache.replacement == "round-robin":
        return math.fsum(_at_least(count, mean) for count in range(1, ways + 1)) / ways
    return _at_least(ways, mean)


def _at_least(count: int, mean: float) -> float:
    """The probability of ``count`` or more where the number is Poisson distributed; all terms are positive."""
    if mean <= 0:
        return 0.0
    total = 0.0
    for number in itertools.count(count):
        term = math.exp(number * math.log(mean) - mean - math.lgamma(number + 1))
        total += term
        if number > mean and term <= 1e-17 * total:
            return min(total, 1.0)
    raise AssertionError("terms fall in the end")
