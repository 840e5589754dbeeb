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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.errors import InputError
from bench.hosts.profile import Cache, Host
from bench.replay.quantity import Quantity
from bench.risk.causes import AT_ONCE, Cause
from bench.risk.rest import Maps

F64: TypeAlias = npt.NDArray[np.float64]

_DEFAULT = "default of this project; vary it"

INTERRUPTS = Quantity(
    value=300, low=100, high=10_000, unit="interrupts per second", tag="assumed",
    source=(f"{_DEFAULT}: a timer of 100 to 1000 Hz (CONFIG_HZ in Linux, kernel/Kconfig.hz), and devices",),
)  # fmt: skip
HANDLER_CODE_LINES = Quantity(
    value=200, low=50, high=2000, unit="instruction lines per interrupt", tag="assumed",
    source=(f"{_DEFAULT}: entry, the timer's handler and the softirqs behind it, 2 to 60 KiB at 32-byte lines",),
)  # fmt: skip
HANDLER_DATA_LINES = Quantity(
    value=100, low=20, high=1000, unit="data lines per interrupt", tag="assumed",
    source=(f"{_DEFAULT}: the stack, run queue, timer wheel and counters, half as many as of code",),
)  # fmt: skip
SLICES = Quantity(
    value=10, low=0, high=1000, unit="time slices of other work per second", tag="assumed",
    source=(f"{_DEFAULT}: an emulator that is nearly alone on its core, to one that shares it at every tick",),
)  # fmt: skip
SLICE_LINES = Quantity(
    value=2000, low=100, high=100_000, unit="lines of either cache that other work touches in its time slice",
    tag="assumed", source=(f"{_DEFAULT}: a daemon that wakes and sleeps again, to work that fills both caches",),
)  # fmt: skip
MOVES = Quantity(
    value=1, low=0.01, high=100, unit="moves to another core per second", tag="assumed",
    source=(f"{_DEFAULT}: a thread that is hardly ever balanced away, to one that is at every tick of 100 Hz",),
)  # fmt: skip
TLB_HIT = Quantity(
    value=0.98, low=0.9, high=0.999, unit="share of the guest's accesses that hit the emulator's TLB", tag="assumed",
    source=(f"{_DEFAULT}: a direct-mapped TLB of 256 entries per mode in QEMU of 2011 (CPU_TLB_BITS 8, cpu-defs.h)",),
)  # fmt: skip
SLOWDOWN = Quantity(
    value=1, low=1, high=10, unit="times the cycles counted: host instructions, refills and the translator",
    tag="assumed", source=(f"{_DEFAULT}: helpers, devices, data misses and idle time are not in the trace",),
)  # fmt: skip
OPERATION = Quantity(
    value=300, low=50, high=1500, unit="cycles from one operation to the next", tag="assumed",
    source=(f"{_DEFAULT}: 2,000 cycles per guest instruction regenerated (500 .. 8,000); an access has seven of them",),
)  # fmt: skip
WINDOW_CODE_LINES = Quantity(
    value=8, low=0, high=64, unit="instruction lines that the translator touches anew between two operations",
    tag="assumed", source=(f"{_DEFAULT}: it emits the slow path with functions that it has just run for the fast one",),
)  # fmt: skip
WINDOW_DATA_LINES = Quantity(
    value=4, low=0, high=32, unit="data lines that the translator touches anew between two operations",
    tag="assumed", source=(f"{_DEFAULT}: operations and relocations are arrays that it goes through in order",),
)  # fmt: skip


_MOST = {"tlb_hit": 1}
"""The largest value that makes sense, where it is not 1e9."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What pushes lines out; each with a default, a unit, a range and a source."""

    interrupts: Quantity = INTERRUPTS
    handler_code_lines: Quantity = HANDLER_CODE_LINES
    handler_data_lines: Quantity = HANDLER_DATA_LINES
    slices: Quantity = SLICES
    slice_lines: Quantity = SLICE_LINES
    moves: Quantity = MOVES
    operation: Quantity = OPERATION
    window_code_lines: Quantity = WINDOW_CODE_LINES
    window_data_lines: Quantity = WINDOW_DATA_LINES
    tlb_hit: Quantity = TLB_HIT
    slowdown: Quantity = SLOWDOWN

    @property
    def quantities(self) -> dict[str, Quantity]:
        """All of them, by name."""
        return {quantity.name: getattr(self, quantity.name) for quantity in fields(self)}

    @property
    def values(self) -> dict[str, float]:
        """Their values, by name."""
        return {name: quantity.value for name, quantity in self.quantities.items()}

    def varied(self, settings: Sequence[str]) -> Pressure:
        """The same with some set: ``interrupts=1000``; what is set has no range.

        Raises ``InputError`` for what is no quantity, or no value of it.
        """
        changes = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in self.quantities:
                raise InputError(repr(name), place="--parameter", expected=f"one of {', '.join(self.quantities)}")
            changes[name] = self.quantities[name].given(name, text, _MOST.get(name, 10**9))
        return replace(self, **changes)


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
            (values["interrupts"], evictions.interrupt), (values["slices"], evictions.time_slice),
        ):  # fmt: skip
            for share, target in (
                (data * code, drop[evict]), (data * (1 - code), evict), ((1 - data) * code, drop),
            ):  # fmt: skip
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
