"""The caches of a core as plainly as can be: a list of lines for each set, one access after the other."""

from __future__ import annotations

import dataclasses

import numpy as np

from bench.caches.counts import Counts
from bench.caches.events import EventKind
from bench.caches.footprint import Footprint
from bench.hosts.profile import Cache, Host

MIB = 1 << 20


class ReferenceSet:
    """One set of a cache: the lines by way, and what its replacement remembers."""

    def __init__(self, ways: int, replacement: str) -> None:
        self.lines: list[int | None] = [None] * ways
        self.dirty: set[int] = set()
        self.replacement = replacement
        self.recent: list[int] = []
        self.tree: dict[tuple[int, int], int] = {}
        self.used: set[int] = set()
        self.next = 0
        self.victims = 0

    def touch(self, way: int) -> None:
        """Remember an access."""
        self.recent = [other for other in self.recent if other != way] + [way]
        self.used.add(way)
        if len(self.used) == len(self.lines):
            self.used = {way}
        low, high = 0, len(self.lines)
        while high - low > 1:
            middle = (low + high) // 2
            self.tree[low, high] = 1 if way < middle else 0
            low, high = (low, middle) if way < middle else (middle, high)

    def room(self, line: int, now: int, seed: int) -> int:
        """The way that ``line`` takes after ``now`` accesses of TBs."""
        if None in self.lines:
            return self.lines.index(None)
        ways = len(self.lines)
        self.victims += 1
        if self.replacement == "lru":
            return self.recent[0]
        if self.replacement == "plru":
            low, high = 0, ways
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self.tree.get((low, high), 0) else (low, middle)
            return low
        if self.replacement == "nru":
            return next((way for way in range(ways) if way not in self.used), 0)
        if self.replacement == "round-robin":
            way, self.next = self.next, (self.next + 1) % ways
            return way
        mixed = ((now << 32 ^ line) * 0x9E3779B97F4A7C15 + seed) & (1 << 64) - 1
        for factor in (0x94D049BB133111EB, 0x9E3779B97F4A7C15):
            mixed = (mixed ^ mixed >> 32) * factor & (1 << 64) - 1
        return (mixed >> 32) * ways >> 32


class ReferenceCache:
    """A cache of ``ReferenceSet``s."""

    def __init__(self, shape: Cache, seed: int) -> None:
        self.line = shape.line
        self.sets = [ReferenceSet(shape.ways, shape.replacement) for _ in range(shape.sets)]
        self.seed = seed

    def where(self, line: int) -> tuple[ReferenceSet, int | None]:
        """The set of a line and its way there, if any."""
        row = self.sets[line % len(self.sets)]
        return row, row.lines.index(line) if line in row.lines else None

    def hit(self, line: int, dirty: bool = False) -> bool:
        """Access a line if it is there."""
        row, way = self.where(line)
        if way is None:
            return False
        row.touch(way)
        if dirty:
            row.dirty.add(line)
        return True

    def fill(self, line: int, now: int, dirty: bool = False) -> int | None:
        """Put an absent line in; the dirty line that went, if any."""
        row, _ = self.where(line)
        way = row.room(line, now, self.seed)
        old = row.lines[way]
        row.lines[way] = line
        row.touch(way)
        if dirty:
            row.dirty.add(line)
        if old in row.dirty:
            row.dirty.remove(old)
            return old
        return None

    def drop(self, line: int) -> int:
        """Invalidate a line; how many that were."""
        row, way = self.where(line)
        if way is None:
            return 0
        row.lines[way] = None
        row.recent.remove(way)
        return 1


class Reference:
    """A core, one access after the other, as the kernel's docstring says it."""

    def __init__(self, host: Host, code_bytes: int, parameters: Footprint) -> None:
        shapes = [host.icache, host.dcache] + ([host.l2] if host.l2 else [])
        seed = [int(raw) >> 1 for raw in np.random.PCG64(parameters.seed).random_raw(len(shapes))]
        caches = [ReferenceCache(*both) for both in zip(shapes, seed, strict=True)]
        self.icache, self.dcache = caches[:2]
        self.l2 = caches[2] if host.l2 else None
        self.host, self.parameters = host, parameters
        self.counts = dict.fromkeys((counter.name for counter in dataclasses.fields(Counts)), 0)
        self.code = self.page(code_bytes)
        self.data = self.page(self.code + parameters.translator_code_lines * host.icache.line)
        self.fresh = self.page(self.data + parameters.translator_data_lines * host.dcache.line)
        self.touched = 0
        self.now = 0
        self.probes: dict[int, list[tuple[bool, bool, int]]] = {}

    @staticmethod
    def page(end: int) -> int:
        """The next multiple of 1 MiB."""
        return (end + MIB - 1) // MIB * MIB

    def below(self, line: int, size: int, dirty: bool) -> int:
        """An L1 line of ``size`` bytes at the next level: 1 if memory was needed."""
        if self.l2 is None:
            self.counts["memory_writes"] += dirty
            return 1
        memory = 0
        for lower in sorted({address // self.l2.line for address in range(line * size, (line + 1) * size, 8)}):
            if not self.l2.hit(lower, dirty):
                memory = 1
                self.counts["memory_writes"] += self.l2.fill(lower, self.now, dirty) is not None
        return memory

    def access(self, level: ReferenceCache, line: int, who: str, dirty: bool = False) -> None:
        """Fetch, load or allocate a line."""
        self.counts[f"{who}_lines"] += 1
        if level.hit(line, dirty):
            return
        self.counts[f"{who}_misses"] += 1
        self.counts[f"{who}_memory"] += self.below(line, level.line, False)
        old = level.fill(line, self.now, dirty)
        if old is not None:
            self.counts["written_back"] += 1
            self.below(old, level.line, True)

    def store(self, line: int) -> None:
        """Store to a data line."""
        policy = self.host.dcache
        present = self.dcache.where(line)[1] is not None
        if present or policy.write_allocate:
            self.access(self.dcache, line, "store", policy.write == "back")
        else:
            self.counts["store_lines"] += 1
            self.counts["store_misses"] += 1
        if policy.write == "through" or not (present or policy.write_allocate):
            self.counts["passed_on"] += 1
            self.below(line, policy.line, True)
        if self.host.coherence.snoop.value == "all":
            for address in range(line * policy.line, (line + 1) * policy.line, 8):
                self.counts["snooped"] += self.icache.drop(address // self.icache.line)

    def clean(self, line: int) -> None:
        """Write a data line to the next level if it is dirty."""
        row, way = self.dcache.where(line)
        if way is not None and line in row.dirty:
            row.dirty.remove(line)
            self.counts["cleaned"] += 1
            self.below(line, self.dcache.line, True)

    def event(self, kind: EventKind, address: int, count: int) -> None:
        """An event."""
        if kind is EventKind.INVALIDATE_ALL:
            held = [line for row in self.icache.sets for line in row.lines if line is not None]
            self.counts["invalidated"] += sum(map(self.icache.drop, held))
        elif kind is EventKind.PROBE:
            found = [level.where(address // level.line) for level in (self.icache, self.dcache)]
            self.probes[count] = [(way is not None, None not in row.lines, row.victims) for row, way in found]
        elif kind is EventKind.TRANSLATE:
            for _ in range(count):
                for number in range(self.parameters.translator_code_lines):
                    self.access(self.icache, self.code // self.icache.line + number, "translator_code")
                for number in range(self.parameters.translator_data_lines):
                    self.access(self.dcache, self.data // self.dcache.line + number, "translator_data")
        else:
            level = self.icache if kind is EventKind.INVALIDATE else self.dcache
            for line in range(address // level.line, address // level.line + count):
                if kind is EventKind.STORE:
                    self.store(line)
                elif kind is EventKind.LOAD:
                    self.access(self.dcache, line, "load")
                elif kind is EventKind.CLEAN:
                    self.clean(line)
                else:
                    self.counts["invalidated"] += self.icache.drop(line)

    def execute(self, address: int, size: int) -> None:
        """A TB runs, and so do the guest's data accesses in it."""
        for line in range(address // self.icache.line, (address + size - 1) // self.icache.line + 1):
            self.access(self.icache, line, "code")
            self.now += 1
        self.counts["executions"] += 1
        while self.touched < self.counts["executions"] * self.parameters.guest_data_lines // 1000:
            self.access(self.dcache, self.fresh // self.dcache.line + self.touched, "guest_data")
            self.touched += 1
