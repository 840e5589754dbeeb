"""Host profiles: the properties of a host that the machine, the risk and the replay use.

A profile is a TOML file whose keys are the fields below.  Every feature and
every figure has a source and a tag for its quality:

``measured``    a published measurement of this quantity
``documented``  a manual, a data sheet, a kernel's source
``estimate``    derived by a stated rule from figures of those kinds
``assumed``     a default of this project; vary it with ``--set``

The rules of the estimates follow.  *Cycles* are those of the core's clock; the
calibration is a KVM guest on an AMD Zen 5 core at 3.7 GHz, medians of nine runs.

``E1``  an instruction refill costs the load-to-use latency of the next level on the data side
``E2``  clean and invalidate of one line: 10 cycles pipelined .. latency of the next level + 10 cycles
        (a Loongson: 16 to 20, https://github.com/v8mips/v8mips/issues/17; a Pixel 6: 5 to 8, Linux c353fde17d8f)
``E3``  a system call with its barriers: 800 cycles, 300 .. 2400
        (a ``getpid`` of the calibration: 500; the same Loongson's ``cacheflush`` of 8 bytes: 2700)
``E4``  a hardware broadcast and the barrier that waits for it: 2 x L2 latency .. 1 x memory latency
``E5``  an interrupt to another core and back on bare metal: 3 us, 1 .. 10, from 1.2 GHz on; 5 us, 2 .. 15, below
        (x86 1 to 5 us in secondary sources; a VisionFive 2 at most 25 to 70 us, see ``sifive-u74.toml``; the
        calibration, through VM exits, 13.4 us)
``E6``  acquire and release of an uncontended lock: 50 cycles, 20 .. 200 (calibration: 13.54 ns, 12.93 .. 14.91)
``E7``  a contended lock: 210 cycles, 100 .. 1000 (calibration: 57 ns, 42 .. 66)
``E8``  stop and resume another core: two interrupts (E5) and four system calls (E3); low end: the other core
        polls a flag, 920 cycles (calibration: 249 ns polled, 16.35 us, 12.45 .. 22.3, by signal)
``E9``  on one core, waiting for a lock or stopping a thread is a switch to the other thread and back:
        the cost of four system calls (E3)
``C1``  cycles per instruction, caches hitting: in order 1.5, 1.0 .. 2.5; out of order 1.0, 0.5 .. 1.5
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

Tag = Literal["measured", "documented", "estimate", "assumed"]
Bytes = Annotated[int, Meta(ge=1, le=1 << 30)]
"""A cache size; 1 GiB is beyond every first or second level."""
Ways = Annotated[int, Meta(ge=1, le=1024)]
LineSize = Annotated[int, Meta(ge=8, le=1024)]
Amount = Annotated[float, Meta(ge=0, le=1e9)]
NonEmpty = Annotated[str, Meta(min_length=1)]
Sources = Annotated[tuple[NonEmpty, ...], Meta(min_length=1)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


class _Range(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``value`` within ``low`` .. ``high``."""

    value: Amount
    low: Amount
    high: Amount
    tag: Tag
    source: Sources
    note: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"found low {self.low}, value {self.value}, high {self.high}; expected low <= value <= high"
            )


class Figure(_Range, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cost: ``value`` within ``low`` .. ``high``, in cycles or nanoseconds."""

    unit: Literal["cycles", "ns"]

    def in_cycles(self, clock_ghz: float) -> tuple[float, float, float]:
        """``low``, ``value`` and ``high`` in cycles of a clock of ``clock_ghz`` GHz."""
        scale = clock_ghz if self.unit == "ns" else 1.0
        return self.low * scale, self.value * scale, self.high * scale


class Length(_Range, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mean length in bytes, ``value`` within ``low`` .. ``high``."""

    def __post_init__(self) -> None:
        _Range.__post_init__(self)
        if not self.low >= 1:
            raise ValueError(f"found a length from {self.low} bytes; expected at least 1")


class Cache(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set-associative cache: ``size`` and ``line`` in bytes."""

    size: Bytes
    ways: Ways
    line: LineSize
    replacement: Literal["lru", "plru", "round-robin", "random"]
    tag: Tag
    source: Sources
    replacement_tag: Tag
    replacement_source: Sources
    indexing: Literal["VIVT", "VIPT", "PIPT"] = "PIPT"
    note: str = ""

    def __post_init__(self) -> None:
        if self.line & (self.line - 1):
            raise ValueError(f"found a line of {self.line} bytes; expected 8, 16, 32, ... 1024")
        way = self.ways * self.line
        if self.size % way:
            raise ValueError(f"found a size of {self.size} bytes; expected a multiple of ways x line = {way}")
        if self.sets & (self.sets - 1):
            raise ValueError(f"found {self.sets} sets (size / ways / line); expected a power of two")
        if self.replacement == "plru" and self.ways & (self.ways - 1):
            raise ValueError(f"found {self.ways} ways; expected a power of two of them for replacement plru")

    @property
    def sets(self) -> int:
        """The number of sets."""
        return self.size // (self.ways * self.line)


class DataCache(Cache, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data cache, with a write policy."""

    write: Literal["back", "through"]
    write_allocate: bool
    write_tag: Tag
    write_source: Sources


class Fill(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The source of an instruction fill: the point of unification, or the newest data in any cache."""

    value: Literal["pou", "coherent"]
    tag: Tag
    source: Sources
    note: str = ""


class Snoop(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The instruction caches from which a store drops its line: none, those of the other cores, or all."""

    value: Literal["none", "others", "all"]
    tag: Tag
    source: Sources
    note: str = ""


class DirtyTransfer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The transfer of a dirty line to another core: from cache to cache, or to memory too."""

    value: Literal["cache", "memory"]
    tag: Tag
    source: Sources
    note: str = ""


class Switch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the host has a feature."""

    value: bool
    tag: Tag
    source: Sources
    note: str = ""


class Entries(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The depth of a queue; 0 without one."""

    value: Annotated[int, Meta(ge=0, le=1024)]
    tag: Tag
    source: Sources
    note: str = ""


class Interrupts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An interrupt to other cores and the stores before it: it waits for them, or may overtake them."""

    value: Literal["overtake", "wait"]
    tag: Tag
    source: Sources
    note: str = ""


class Cores(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of cores of a typical machine of this kind."""

    value: Annotated[int, Meta(ge=1, le=64)]
    tag: Tag
    source: Sources
    note: str = ""


class Coherence(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The coherence of instruction fetches with stores (rules 1 to 6 of ``bench/machine.py``).

    ``fetches_ahead``: a core has a queue of prefetched units that stores and invalidations do not reach.
    ``checks_pipeline``: stores are checked against the pipeline (x86, z), so that there is no such queue.
    ``switch_cleans_all``: a context switch or a migration cleans and invalidates all caches (VIVT hosts).
    ``store_buffer``: the entries of the FIFO store buffer that ``check`` explores.
    ``interrupts``: absent where nothing is documented; then they may overtake stores, as on RISC-V.
    """

    fill: Fill
    snoop: Snoop
    dirty_transfer: DirtyTransfer
    fetches_ahead: Switch
    checks_pipeline: Switch
    switch_cleans_all: Switch
    store_buffer: Entries
    interrupts: Interrupts | None = None

    def __post_init__(self) -> None:
        if self.fetches_ahead.value and self.checks_pipeline.value:
            raise ValueError("found fetches_ahead and checks_pipeline; expected at most one of them")


class Granule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes, to whole multiples of which a range is rounded outwards; 0: it is not."""

    value: Annotated[int, Meta(ge=0, le=1 << 20)]
    tag: Tag
    source: Sources
    note: str = ""

    def __post_init__(self) -> None:
        if self.value & (self.value - 1):
            raise ValueError(f"found {self.value} bytes; expected a power of two, or 0")


class FlushRecipe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The operations of a ``Flush`` under one instruction set, and their cost.

    In order: clean each data line (if ``clean``), ``Barrier`` (for the stores too, and so even without a clean),
    invalidate the instruction lines (``invalidate``: in no cache, in that of the own core, in those of all cores; if
    ``whole_icache``, all lines), ``Barrier``, ``Sync``; if ``remote_sync`` an IPI synchronises the other cores.
    ``deferred_to_move``: cores that do not run the process are skipped, and drop their instruction cache when they
    next run it.  A flush of n bytes costs ``call`` + lines x ``line`` + ``remote``.  With ``by = "nobody"`` a flush
    does nothing and costs nothing.

    ``rounds_to``: the kernel does this to whole pages.  It is in the price, and in what a flush does to the caches of
    replay and risk; verdicts rest on the range that was asked for alone.
    """

    by: Literal["user", "syscall", "nobody"]
    clean: bool
    invalidate: Literal["none", "local", "broadcast"]
    sync: bool
    whole_icache: bool = False
    remote_sync: bool = False
    deferred_to_move: bool = False
    rounds_to: Granule | None = None
    how: NonEmpty
    tag: Tag
    source: Sources
    call: Figure
    line: Figure
    remote: Figure

    def __post_init__(self) -> None:
        invalidates = self.invalidate != "none"
        if self.by == "nobody" and (self.clean or invalidates or self.sync or self.remote_sync):
            raise ValueError("found a flush that does something; expected by = user or syscall")
        if (self.whole_icache or self.deferred_to_move) and not invalidates:
            raise ValueError("found whole_icache or deferred_to_move; expected invalidate = local or broadcast with it")

    @property
    def granule(self) -> int:
        """Bytes that a range is rounded to; 1: it is not."""
        return (self.rounds_to.value if self.rounds_to else 0) or 1


class Isa(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An instruction set of the host; ``instruction_bytes``: the mean length of an instruction."""

    instruction_bytes: Length
    flush: FlushRecipe


class HostCosts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The costs that do not depend on the instruction set.

    ``cpi``: cycles per host instruction without cache misses.  ``refill_l2``: refill of an instruction line from the L2
    (absent without an L2); ``refill_memory``: from memory.  ``store_into_code``: the additional cost of a store to a
    line that was or may be fetched (x86: a pipeline clear).  ``lock``: acquire and release of an uncontended lock.
    ``contended``: one contended acquisition.  ``stop``: stop and resume another running core.  ``sync_cores``: one IPI
    to every other core and back.  Three may be given in place of the replay's parameters of those names, where they
    were measured: ``barrier``, ``encoding`` (for each byte of a side table) and ``lookup`` (for each guest instruction
    decoded from one).
    """

    cpi: Figure
    refill_l2: Figure | None = None
    refill_memory: Figure
    store_into_code: Figure
    lock: Figure
    contended: Figure
    stop: Figure
    sync_cores: Figure
    barrier: Figure | None = None
    encoding: Figure | None = None
    lookup: Figure | None = None

    def __post_init__(self) -> None:
        if self.cpi.unit != "cycles":
            raise ValueError(f"found cpi in {self.cpi.unit}; expected cycles")


class Target(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The target of a program: a host, or an architecture in place of all hosts that implement it.

    The first instruction set of ``isa`` is the main one.  Two fields are not keys of a file: ``derived`` lists the
    settings as ``path=value``; ``file``: the path of the profile, empty for a shipped one.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    title: NonEmpty
    cores: Cores
    isa: Annotated[dict[str, Isa], Meta(min_length=1)]
    note: str = ""
    derived: tuple[str, ...] = ()
    file: str = ""

    def runs_as(self, isa: str) -> Isa:
        """The properties of the target under the instruction set ``isa``; an unknown one counts as its main one."""
        return self.isa.get(isa) or self.isa[self.main_isa]

    @property
    def main_isa(self) -> str:
        """The main instruction set of the target."""
        return next(iter(self.isa))

    def icache_line(self, core: int) -> int:
        """The line size of a core's instruction cache in bytes."""
        raise NotImplementedError

    @property
    def dcache_line(self) -> int:
        """The line size of the data caches in bytes."""
        raise NotImplementedError


class Architecture(Target, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An architecture: the behaviours of all its implementations.  It has no caches, and so no costs.

    Maintenance covers lines of ``line`` bytes; their size has no effect, since lines are not part of its state.
    """

    line: LineSize = 64

    def icache_line(self, core: int) -> int:
        return self.line

    @property
    def dcache_line(self) -> int:
        return self.line


class Host(Target, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host profile.

    ``base``: the shipped profile that the keys which are not in the file come from, if any.  ``clock_ghz``: the core's
    clock.  ``icache_lines``: the line sizes of the instruction caches of each core, where
    cores differ (only ``check`` uses them).
    """

    base: str = ""
    clock_ghz: Annotated[float, Meta(gt=0, le=100)]
    clock_tag: Tag
    clock_source: Sources
    icache: Cache
    icache_lines: tuple[LineSize, ...] = ()
    dcache: DataCache
    l2: Cache | None = None
    coherence: Coherence
    costs: HostCosts

    def __post_init__(self) -> None:
        for name in (self.name, *self.isa):
            if not _NAME.fullmatch(name):
                raise ValueError(f"found the name {name!r}; expected letters, digits, '-', '_' and '+'")
        if (self.l2 is None) != (self.costs.refill_l2 is None):
            found, missing = ("costs.refill_l2", "l2") if self.l2 is None else ("l2", "costs.refill_l2")
            raise ValueError(f"found {found} without {missing}; expected both or neither")

    def icache_line(self, core: int) -> int:
        """The line size of a core's instruction cache in bytes."""
        return self.icache_lines[core % len(self.icache_lines)] if self.icache_lines else self.icache.line

    @property
    def dcache_line(self) -> int:
        return self.dcache.line
