"""How likely it is that a line leaves its cache between two operations: from what else runs there, and the geometry.

Three causes on each core.  An *interrupt*, whose handler brings lines of its own.  A *time slice* of other work, with
the lines that it touches; where a context switch cleans and invalidates everything (``switch_cleans_all``, virtually
indexed and tagged caches) it empties both caches, which writes back temporary values and, later, heals.  The
*translator's own work*, always, with the lines that are new to it in the window (``window.py``).  And where the kernel
may move the thread to another core, a *move*.

In a retranslation each of them occurs or not between two operations (``causes_on``); between retranslations they
arrive as Poisson processes (``arrivals_on``).

Other lines are assumed to be spread evenly over the sets, so their number in one set is Poisson distributed.  The line
in question was the last to be accessed in its set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

from bench.hosts.profile import Cache, Host
from bench.risk.causes import AT_ONCE, Cause


class _Interruption(NamedTuple):
    """Its ``rate`` per second, and the probabilities that it evicts a ``data`` and an instruction line (``code``)."""

    name: str
    rate: float
    data: float
    code: float


class Arrivals(NamedTuple):
    """How often per cycle something evicts the ``data`` line alone, the instruction line alone (``code``), or ``both``
    from the caches of a core, on each core by itself; and how often the thread moves to another core (``move``).
    """

    data: float
    code: float
    both: float
    move: float


def _interruptions(host: Host, values: Mapping[str, float]) -> tuple[_Interruption, ...]:
    data = gone(host.dcache, values["handler_data_lines"])
    code = gone(host.icache, values["handler_code_lines"])
    other = values["slice_lines"]
    emptied = host.coherence.switch_cleans_all.value
    time_slice = (1.0, 1.0) if emptied else (gone(host.dcache, other), gone(host.icache, other))
    return (
        _Interruption("interrupt", values["interrupts"], data, code),
        _Interruption("time slice", values["slices"], *time_slice),
    )


def causes_on(
    host: Host, values: Mapping[str, float], cores: int = 1, moves: bool = False, *, gaps: float
) -> tuple[Cause, ...]:
    """The causes on a host between two operations; ``values`` by name, as in ``Pressure``.

    ``cores`` of the scenario, and whether its thread ``moves``.  A window has so many ``gaps`` between operations, and
    its time and new lines are spread evenly over them; operations outside a window are taken to be alike.  Stores leave
    their buffer and maintenance completes at once: an operation takes longer than either.
    """
    seconds = values["window_cycles"] / gaps / (host.clock_ghz * 1e9)
    causes = [
        Cause(one.name, happens(one.rate * seconds), write_back=one.data, drop=one.code, core=core)
        for core, one in itertools.product(range(cores), _interruptions(host, values))
    ]
    data, code = (values[name] / gaps for name in ("window_data_lines", "window_code_lines"))
    causes.append(Cause("translator", 1.0, write_back=gone(host.dcache, data), drop=gone(host.icache, code)))
    if moves:
        causes.append(Cause("move", happens(values["moves"] * seconds), move=1.0))
    return (*causes, AT_ONCE)


def arrivals_on(host: Host, values: Mapping[str, float], *, moves: bool) -> Arrivals:
    """What arrives between retranslations, where the thread ``moves`` or not."""
    per_cycle = values["slowdown"] / (host.clock_ghz * 1e9)
    data = code = both = 0.0
    for _, rate, takes_data, takes_code in _interruptions(host, values):
        data += rate * per_cycle * takes_data * (1 - takes_code)
        code += rate * per_cycle * takes_code * (1 - takes_data)
        both += rate * per_cycle * takes_data * takes_code
    return Arrivals(data, code, both, values["moves"] * per_cycle if moves else 0.0)


def happens(mean: float) -> float:
    """The probability that something that happens ``mean`` times on average happens at all."""
    return -math.expm1(-mean)


def gone(cache: Cache, lines: float) -> float:
    """The probability that the line accessed last in its set is evicted by so many other lines.

    ``lru`` and ``plru``: when as many have come into the set as it has ways (a tree that only sees misses names each
    way once before it names one again).  ``nru``: how many ways have no bit, and which, is equally likely to be
    anything; when they are named all others lose theirs, and the lowest way is the next.  ``round-robin``: the
    counter is equally likely to be anywhere.  ``random``: each that comes takes the line's way with probability 1 over
    the ways.
    """
    mean, ways = lines / cache.sets, cache.ways
    if cache.replacement == "random":
        return happens(mean / ways)
    if cache.replacement == "nru" and ways > 1:
        # The line is in ``way``; of the others ``free`` have no bit, and are all below it with probability ``below``.
        total = 0.0
        for way, free in itertools.product(range(ways), range(1, ways)):
            below = math.comb(way, free) / math.comb(ways - 1, free)
            total += (1 - below) * _at_least(free + way + 1, mean)
            if below:
                total += below * _at_least(free + way, mean)
        return total / (ways * (ways - 1))
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
