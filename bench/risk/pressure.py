"""The quantities that decide how likely it is that a line leaves its cache, and others that nobody has recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.hosts.profile import Host
from bench.replay.parameters import Parameters, texts_of
from bench.replay.quantity import Quantity
from bench.risk.window import NAMES as WINDOW
from bench.risk.window import Reading, set_in_window, window_on
from bench.risk.window import described as window_described

_MOST = {"tlb_hit": 1}
"""The largest value that makes sense, where it is not 1e9."""


def _assumed(numbers: tuple[float, float, float], unit: str, why: str, at_end: str = "") -> Quantity:
    low, value, high = numbers
    return Quantity(value, low, high, unit, "assumed", (f"default of this project; vary it: {why}",), at_end=at_end)


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
    "tlb_hit": _assumed(
        (0.9, 0.98, 0.999),
        "share of the guest's accesses that hit the emulator's TLB",
        "a direct-mapped TLB of 256 entries per mode in QEMU of 2011 (CPU_TLB_BITS 8, cpu-defs.h)",
    ),
    "slowdown": _assumed(
        (1, 1, 10),
        "times the cycles counted: host instructions, refills and the translator",
        "helpers, devices, data misses and idle time are not in the trace",
        at_end="what is counted is a lower bound",
    ),
}


REPLAYED = ("guest_data_lines", "translator_code_lines", "translator_data_lines")
"""The parameters of a replay that the risk depends on too: the exposure is that of a replay."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What evicts lines: quantities by name, each with a default, a unit, a range and a source.

    ``given``: those that are set.  ``window``: which reading of what was counted in the window (``window.py``).
    """

    given: Mapping[str, Quantity] = field(default_factory=dict)
    window: Reading = "between"

    def on(self, host: Host, backend: str) -> dict[str, Quantity]:
        """The quantities on a host with a backend (``arm``), by name."""
        return {**_DEFAULTS, **window_on(host, backend, self.window), **self.given}

    def values(self, host: Host, backend: str) -> dict[str, float]:
        """Their values, by name."""
        return {name: quantity.value for name, quantity in self.on(host, backend).items()}

    def varied(self, settings: Sequence[str]) -> Pressure:
        """The same with some set: ``interrupts=1000``; what is set has no range.

        Raises ``InputError`` for what is no quantity, or no value of it, or repeated.
        """
        known = (*_DEFAULTS, *WINDOW)
        changes = {
            name: (_DEFAULTS.get(name) or set_in_window(name)).given(name, text, _MOST.get(name, 10**9))
            for name, text in texts_of(settings, known, (*known, *REPLAYED))
        }
        return Pressure({**self.given, **changes}, self.window)


def separated(settings: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings of the pressure, and those of ``REPLAYED``."""
    replayed = [setting for setting in settings if setting.partition("=")[0] in REPLAYED]
    return [setting for setting in settings if setting not in replayed], replayed


def described() -> tuple[tuple[str, str], ...]:
    """What can be varied: each name, and its default with unit, range, tag and source."""
    assumed = tuple((name, quantity.described) for name, quantity in _DEFAULTS.items())
    replayed = tuple((name, f"{Parameters().quantities[name].described}; of the replay") for name in REPLAYED)
    return (*assumed, *window_described(), *replayed)
