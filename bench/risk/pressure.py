"""The quantities that decide how likely it is that a line leaves its cache, and others that nobody has recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.replay.quantity import Quantity
from bench.support.errors import InputError

_MOST = {"tlb_hit": 1}
"""The largest value that makes sense, where it is not 1e9."""


def _assumed(numbers: tuple[float, float, float], unit: str, why: str) -> Quantity:
    low, value, high = numbers
    return Quantity(value, low, high, unit, "assumed", (f"default of this project; vary it: {why}",))


_DEFAULTS = {
    "interrupts": _assumed(
        (100, 300, 10_000),
        "interrupts per second",
        "a timer of 100 to 1000 Hz (CONFIG_HZ in Linux, kernel/Kconfig.hz), and devices",
    ),
    "handler_code_lines": _assumed(
        (50, 200, 2000),
        "instruction lines per interrupt",
        "entry, the timer's handler and the softirqs behind it, 2 to 60 KiB at 32-byte lines",
    ),
    "handler_data_lines": _assumed(
        (20, 100, 1000),
        "data lines per interrupt",
        "the stack, run queue, timer wheel and counters, half as many as of code",
    ),
    "slices": _assumed(
        (0, 10, 1000),
        "time slices of other work per second",
        "an emulator that is nearly alone on its core, to one that shares it at every tick",
    ),
    "slice_lines": _assumed(
        (100, 2000, 100_000),
        "lines of either cache that other work touches in its time slice",
        "a daemon that wakes and sleeps again, to work that fills both caches",
    ),
    "moves": _assumed(
        (0.01, 1, 100),
        "moves to another core per second",
        "a thread that is hardly ever balanced away, to one that is at every tick of 100 Hz",
    ),
    "operation": _assumed(
        (50, 300, 1500),
        "cycles from one operation to the next",
        "2,000 cycles per guest instruction regenerated (500 .. 8,000); an access has seven of them",
    ),
    "window_code_lines": _assumed(
        (0, 8, 64),
        "instruction lines that the translator touches anew between two operations",
        "it emits the slow path with functions that it has just run for the fast one",
    ),
    "window_data_lines": _assumed(
        (0, 4, 32),
        "data lines that the translator touches anew between two operations",
        "operations and relocations are arrays that it goes through in order",
    ),
    "tlb_hit": _assumed(
        (0.9, 0.98, 0.999),
        "share of the guest's accesses that hit the emulator's TLB",
        "a direct-mapped TLB of 256 entries per mode in QEMU of 2011 (CPU_TLB_BITS 8, cpu-defs.h)",
    ),
    "slowdown": _assumed(
        (1, 1, 10),
        "times the cycles counted: host instructions, refills and the translator",
        "helpers, devices, data misses and idle time are not in the trace",
    ),
}


@dataclass(frozen=True, slots=True)
class Pressure:
    """What evicts lines: ``quantities`` by name, each with a default, a unit, a range and a source."""

    quantities: Mapping[str, Quantity] = field(default_factory=_DEFAULTS.copy)

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
                raise InputError(repr(name), place="`parameter`", expected=f"one of {', '.join(self.quantities)}")
            changes[name] = self.quantities[name].given(name, text, _MOST.get(name, 10**9))
        return Pressure({**self.quantities, **changes})


def described() -> tuple[tuple[str, str], ...]:
    """What can be varied: each name, and its default with unit, range, tag and source."""
    return tuple((name, quantity.described) for name, quantity in Pressure().quantities.items())
