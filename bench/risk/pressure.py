"""How likely it is that a line leaves its cache between two operations: from what else runs there, and the geometry.

Three causes.  An *interrupt*, whose handler brings lines of its own.  A *time slice* of other work, which leaves
nothing of either cache.  The *translator's own work*, always, with the lines that it touches for the first time.

Other lines are taken to be spread evenly over the sets: how many of them come into one is Poisson distributed.  The
line in question was the last to be accessed in its set.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields

from bench.hosts.profile import Cache, Host
from bench.replay.quantity import Quantity
from bench.risk.causes import AT_ONCE, Cause

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


@dataclass(frozen=True, slots=True)
class Pressure:
    """What pushes lines out; each with a default, a unit, a range and a source."""

    interrupts: Quantity = INTERRUPTS
    handler_code_lines: Quantity = HANDLER_CODE_LINES
    handler_data_lines: Quantity = HANDLER_DATA_LINES
    slices: Quantity = SLICES
    operation: Quantity = OPERATION
    window_code_lines: Quantity = WINDOW_CODE_LINES
    window_data_lines: Quantity = WINDOW_DATA_LINES

    @property
    def quantities(self) -> dict[str, Quantity]:
        """All of them, by name."""
        return {quantity.name: getattr(self, quantity.name) for quantity in fields(self)}

    @property
    def values(self) -> dict[str, float]:
        """Their values, by name."""
        return {name: quantity.value for name, quantity in self.quantities.items()}


def causes_on(host: Host, values: dict[str, float]) -> tuple[Cause, ...]:
    """What happens on a host between two operations; ``values`` by name, as in ``Pressure``.

    Stores leave their buffer and maintenance completes at once: an operation takes longer than either.
    """
    seconds = values["operation"] / (host.clock_ghz * 1e9)
    return (
        Cause(
            "interrupt", happens(values["interrupts"] * seconds),
            write_back=gone(host.dcache, values["handler_data_lines"]),
            drop=gone(host.icache, values["handler_code_lines"]),
        ),
        Cause("time slice", happens(values["slices"] * seconds), write_back=1.0, drop=1.0),
        Cause(
            "translator", 1.0, write_back=gone(host.dcache, values["window_data_lines"]),
            drop=gone(host.icache, values["window_code_lines"]),
        ),
        AT_ONCE,
    )  # fmt: skip


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
