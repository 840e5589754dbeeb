"""The quantities that decide how likely it is that a line leaves its cache, and others that nobody has recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from bench.replay.quantity import Quantity
from bench.support.errors import InputError

_DEFAULT = "default of this project; vary it"

INTERRUPTS = Quantity(
    value=300,
    low=100,
    high=10_000,
    unit="interrupts per second",
    tag="assumed",
    source=(f"{_DEFAULT}: a timer of 100 to 1000 Hz (CONFIG_HZ in Linux, kernel/Kconfig.hz), and devices",),
)
HANDLER_CODE_LINES = Quantity(
    value=200,
    low=50,
    high=2000,
    unit="instruction lines per interrupt",
    tag="assumed",
    source=(f"{_DEFAULT}: entry, the timer's handler and the softirqs behind it, 2 to 60 KiB at 32-byte lines",),
)
HANDLER_DATA_LINES = Quantity(
    value=100,
    low=20,
    high=1000,
    unit="data lines per interrupt",
    tag="assumed",
    source=(f"{_DEFAULT}: the stack, run queue, timer wheel and counters, half as many as of code",),
)
SLICES = Quantity(
    value=10,
    low=0,
    high=1000,
    unit="time slices of other work per second",
    tag="assumed",
    source=(f"{_DEFAULT}: an emulator that is nearly alone on its core, to one that shares it at every tick",),
)
SLICE_LINES = Quantity(
    value=2000,
    low=100,
    high=100_000,
    unit="lines of either cache that other work touches in its time slice",
    tag="assumed",
    source=(f"{_DEFAULT}: a daemon that wakes and sleeps again, to work that fills both caches",),
)
MOVES = Quantity(
    value=1,
    low=0.01,
    high=100,
    unit="moves to another core per second",
    tag="assumed",
    source=(f"{_DEFAULT}: a thread that is hardly ever balanced away, to one that is at every tick of 100 Hz",),
)
TLB_HIT = Quantity(
    value=0.98,
    low=0.9,
    high=0.999,
    unit="share of the guest's accesses that hit the emulator's TLB",
    tag="assumed",
    source=(f"{_DEFAULT}: a direct-mapped TLB of 256 entries per mode in QEMU of 2011 (CPU_TLB_BITS 8, cpu-defs.h)",),
)
SLOWDOWN = Quantity(
    value=1,
    low=1,
    high=10,
    unit="times the cycles counted: host instructions, refills and the translator",
    tag="assumed",
    source=(f"{_DEFAULT}: helpers, devices, data misses and idle time are not in the trace",),
)
OPERATION = Quantity(
    value=300,
    low=50,
    high=1500,
    unit="cycles from one operation to the next",
    tag="assumed",
    source=(f"{_DEFAULT}: 2,000 cycles per guest instruction regenerated (500 .. 8,000); an access has seven of them",),
)
WINDOW_CODE_LINES = Quantity(
    value=8,
    low=0,
    high=64,
    unit="instruction lines that the translator touches anew between two operations",
    tag="assumed",
    source=(f"{_DEFAULT}: it emits the slow path with functions that it has just run for the fast one",),
)
WINDOW_DATA_LINES = Quantity(
    value=4,
    low=0,
    high=32,
    unit="data lines that the translator touches anew between two operations",
    tag="assumed",
    source=(f"{_DEFAULT}: operations and relocations are arrays that it goes through in order",),
)


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


def described() -> tuple[tuple[str, str], ...]:
    """What ``--parameter`` can set: each name, and its default with unit, range, tag and source."""
    return tuple((name, quantity.described) for name, quantity in Pressure().quantities.items())
