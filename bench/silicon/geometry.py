"""This machine: its processor and kernel, and what its caches hold, as the kernel and the processor say."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

_SYSFS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class CacheOf:
    """A cache as the kernel describes it: ``size`` and ``line`` in bytes."""

    level: int
    kind: str
    size: int
    ways: int
    line: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine: ``processor``, ``kernel`` and ``microcode`` in their own words, and the caches of one core."""

    processor: str
    kernel: str
    microcode: str
    cores: int
    caches: tuple[CacheOf, ...]

    def cache(self, level: int, *kinds: str) -> CacheOf | None:
        """The cache of that level and one of the kinds, if the kernel knows it."""
        return next((one for one in self.caches if one.level == level and one.kind in kinds), None)

    @property
    def described(self) -> str:
        """Processor, microcode and kernel on one line."""
        microcode = f", microcode {self.microcode}" if self.microcode else ""
        return f"{self.processor}{microcode}, {self.kernel}"


def this_machine(core: int) -> Machine:
    """This machine, with the caches of ``core``."""
    system = os.uname()
    return Machine(
        processor=_from_cpuinfo("model name", "Model", "cpu") or _from_midr(core) or platform.machine(),
        kernel=f"{system.sysname} {system.release}",
        microcode=_from_cpuinfo("microcode"),
        cores=len(os.sched_getaffinity(0)),
        caches=tuple(_caches(_SYSFS / f"cpu{core}" / "cache")),
    )


def _from_cpuinfo(*keys: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""
    for key in keys:
        if found := re.search(rf"(?m)^{key}\s*:\s*(.+)$", text):
            return found[1].strip()
    return ""


def _from_midr(core: int) -> str:
    value = _read(_SYSFS / f"cpu{core}/regs/identification/midr_el1")
    return f"an Arm core with MIDR_EL1 {value}" if value else ""


def _caches(folder: Path) -> list[CacheOf]:
    found = []
    for index in sorted(folder.glob("index*")):
        size = re.fullmatch(r"(\d+)([KMG]?)", _read(index / "size"))
        texts = [_read(index / name) for name in ("level", "ways_of_associativity", "coherency_line_size")]
        if size is None or not all(text.isdigit() for text in texts):
            continue
        level, ways, line = map(int, texts)
        scale = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[size[2]]
        found.append(CacheOf(level, _read(index / "type"), int(size[1]) * scale, ways, line))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
