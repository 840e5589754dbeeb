"""A host profile of this machine: what was measured, and the rest from the shipped profile that is nearest."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from bench.hosts import Host, host_from, load_host
from bench.hosts.profile import Figure
from bench.silicon.geometry import CacheOf, Machine, this_machine
from bench.silicon.instructions import InstructionSet, this_instruction_set
from bench.silicon.measurements import METHODS, Levels, Samples, Workbench, measured
from bench.silicon.native import Memory, cores
from bench.silicon.timing import Effort, Sample
from bench.support.files import replacing

BUSY = 0.5
"""Other work for more than this share of the cores makes a machine noisy."""

_COSTS = {
    "refill_l2": ("refill from L2",),
    "refill_memory": ("refill from the last level", "refill from memory"),
    "store_into_code": ("store into own code", "store into others' code"),
    "lock": ("lock",),
    "contended": ("contended lock",),
    "stop": ("stop",),
    "sync_cores": ("membarrier, others run",),
    "barrier": ("barrier",),
    "encoding": ("side table, encoding",),
    "lookup": ("side table, decoding",),
}
"""The measurements of each cost of a profile: the first gives the value, all of them the range; without one of them
the range would be too narrow, and the cost is not in the profile."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured on a machine.

    ``base``: the shipped profile that the rest is taken from.  ``noise``: why the figures may be disturbed, or empty.
    """

    machine: Machine
    instructions: InstructionSet
    base: Host
    effort: Effort
    results: Samples
    date: datetime.date
    noise: str

    @property
    def clock_ghz(self) -> float:
        """The clock while it was measured."""
        return 1 / self.results.samples["cycle"].median

    def figures(self) -> dict[str, dict[str, Any]]:
        """The figures of a profile that were measured, by dotted key, each as a table of TOML."""
        found = {
            f"costs.{key}": self._figure(names)
            for key, names in _COSTS.items()
            if {*names} <= {*self.results.samples} and (key != "refill_l2" or self.base.l2 is not None)
        }
        recipe = f"isa.{self.instructions.name}.flush"
        flushed = {"flush call", "flush line"} <= {*self.results.samples}
        if flushed and self.base.runs_as(self.instructions.name).flush.by != "nobody":
            found[f"{recipe}.call"] = self._figure(("flush call",))
            found[f"{recipe}.line"] = self._figure(("flush line",))
        return found

    def _figure(self, names: Sequence[str]) -> dict[str, Any]:
        samples = [self.results.samples[name] for name in names]
        value = samples[0].median
        low, high = min(one.low for one in samples), max(one.high for one in samples)
        rounds = " and ".join(dict.fromkeys(str(len(one.values)) for one in samples))
        methods = "; ".join(METHODS[name] for name in names)
        table = {
            "value": rounded(value),
            "low": min(rounded(low), rounded(value)),
            "high": max(rounded(high), rounded(value)),
            "unit": "ns",
            "tag": "measured",
            "source": [f"{methods} ({self._circumstances}: median and range of {rounds} rounds)"],
        }
        if note := "; ".join(remark(name, self.results.samples[name]) for name in names).strip("; "):
            table["note"] = note
        return table

    @property
    def _circumstances(self) -> str:
        return f"staleline calibrate, {self.date.isoformat()}, {self.machine.described}"

    def profile(self, name: str) -> dict[str, Any]:
        """The host profile as a tree of TOML; what it does not have is that of ``base``."""
        source = [f"{METHODS['cycle']} ({self._circumstances})"]
        tree: dict[str, Any] = {
            "name": name,
            "base": self.base.name,
            "title": self.machine.processor,
            "clock_ghz": rounded(self.clock_ghz),
            "clock_tag": "measured",
            "clock_source": source,
            "cores": {
                "value": min(self.machine.cores, 64),
                "tag": "measured",
                "source": [f"the cores that this process may run on ({self._circumstances})"],
            },
        }
        for key, cache in self._caches().items():
            tree[key] = {
                "size": cache.size,
                "ways": cache.ways,
                "line": cache.line,
                "tag": "documented",
                "source": [f"/sys/devices/system/cpu of {self.machine.described}"],
            }
        for key, figure in self.figures().items():
            place = tree
            *folders, last = key.split(".")
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = figure
        if self.noise:
            tree["note"] = f"measured on a noisy machine: {self.noise}"
        return tree

    def _caches(self) -> dict[str, CacheOf]:
        """The caches that the kernel describes and that a profile can have."""
        levels = {
            "icache": self.machine.cache(1, "Instruction", "Unified"),
            "dcache": self.machine.cache(1, "Data", "Unified"),
            "l2": self.machine.cache(2, "Unified") if self.base.l2 is not None else None,
        }
        return {key: cache for key, cache in levels.items() if cache is not None and _has_sets(cache)}


def remark(name: str, sample: Sample) -> str:
    """What a reader of a figure has to know of its rounds, or nothing."""
    texts = [] if sample.settled else [f"{name} did not settle"]
    if sample.outliers:
        texts.append(f"{sample.outliers} of {len(sample.values)} rounds are outliers and left out")
    if sample.alone:
        texts.append(f"{sample.alone} rounds in which the other thread had no core are left out")
    return ", ".join(texts)


def rounded(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def _has_sets(cache: CacheOf) -> bool:
    sets, rest = divmod(cache.size, max(cache.ways * cache.line, 1))
    return cache.ways > 0 and rest == 0 and sets > 0 and sets & (sets - 1) == 0


def calibrate(effort: Effort, progress: Callable[[str, int], object]) -> Calibration:
    """Measure this machine; ``progress`` is told which measurement is made, and how many groups of them are done.

    Raises ``InputError`` where no machine code can be made or executed.
    """
    instructions = this_instruction_set()
    Memory(1, execute=True)  # where that is refused, so is what LLVM makes, and ends the process
    machine = this_machine(cores()[0])
    base = load_host(instructions.profile)
    before = os.getloadavg()[0]
    results = measured(Workbench(instructions, _levels(machine, base), effort), progress)
    unsettled = [name for name, sample in results.samples.items() if not sample.settled]
    reasons = []
    if before > BUSY * machine.cores:
        reasons.append(f"{before:.1f} other threads ran on {machine.cores} cores")
    if 3 * len(unsettled) > len(results.samples):
        reasons.append(f"{len(unsettled)} of {len(results.samples)} figures did not settle")
    return Calibration(
        machine, instructions, base, effort, results, datetime.datetime.now().astimezone().date(), "; ".join(reasons)
    )


def _levels(machine: Machine, base: Host) -> Levels:
    """What the caches hold: as the kernel says, else as the nearest profile says."""
    first, second = machine.cache(1, "Instruction", "Unified"), machine.cache(2, "Unified")
    l1i = first.size if first else base.icache.size
    l2 = second.size if second else base.l2.size if base.l2 else 16 * l1i
    return Levels(
        line=first.line if first else base.icache.line,
        l1i=l1i,
        l2=l2,
        last=max((one.size for one in machine.caches), default=l2),
    )


def save(calibration: Calibration, name: str, path: Path) -> None:
    """Write the host profile.  Raises ``InputError`` if it cannot be written, or is none (as by its ``name``)."""
    text = tomli_w.dumps(calibration.profile(name))
    host_from(text, str(path))
    with replacing(path, ordinary=True) as file:
        file.write(text.encode())


@dataclass(frozen=True, slots=True)
class FigureChange:
    """A figure of a profile against what was measured now; ``apart``: their ranges do not meet."""

    key: str
    then: Figure
    now: Figure

    @property
    def apart(self) -> bool:
        """Whether no value is in both ranges."""
        return self.then.high < self.now.low or self.now.high < self.then.low


def changes(calibration: Calibration, host: Host) -> list[FigureChange]:
    """The figures that were measured, against those of ``host``, both in nanoseconds."""
    then = msgspec.to_builtins(host)
    found = []
    for key, table in calibration.figures().items():
        figure: Any = then
        for step in key.split("."):
            figure = figure.get(step) if figure else None
        if figure is not None:
            was = msgspec.convert(figure, Figure)
            scale = 1.0 if was.unit == "ns" else 1 / host.clock_ghz
            low, value, high = (part * scale for part in (was.low, was.value, was.high))
            was = Figure(value=value, low=low, high=high, unit="ns", tag=was.tag, source=was.source, note=was.note)
            found.append(FigureChange(key, was, msgspec.convert(table, Figure)))
    return found
