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
``J1``  a load of an exit's slot: 1 cycle; half of one, hidden behind a predicted branch, .. the load-to-use latency of
        the first level
``J2``  a mispredicted indirect branch: the penalty as published .. half as much again (Cortex-A8: LLVM's scheduling
        model has what its manual says)
``C1``  cycles per instruction, caches hitting: in order 1.5, 1.0 .. 2.5; out of order 1.0, 0.5 .. 1.5
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

Tag = Literal["measured", "documented", "estimate", "assumed"]
Bytes = Annotated[int, Meta(ge=1, le=1 << 30)]
"""A cache size; 1 GiB is beyond every first or second level."""
Ways = Annotated[int, Meta(ge=1, le=1024)]
LineSize = Annotated[int, Meta(ge=8, le=1024)]
Amount = Annotated[float, Meta(ge=0, le=1e9)]
NonEmpty = Annotated[str, Meta(min_length=1)]
Sources = Annotated[tuple[NonEmpty, ...], Meta(min_length=1)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


class _Tagged(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that is said of a host."""

    tag: Tag
    """How good it is: measured, documented, an estimate by a stated rule, or assumed."""
    source: Sources
    """Where it is said."""
    note: str = ""
    """What a reader should know."""


class _Range(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``value`` within ``low`` .. ``high``."""

    value: Amount
    """The figure."""
    low: Amount
    """Its least value."""
    high: Amount
    """Its greatest."""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"found low {self.low}, value {self.value}, high {self.high}; expected low <= value <= high"
            )


class Figure(_Range, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cost: ``value`` within ``low`` .. ``high``, in cycles or nanoseconds."""

    unit: Literal["cycles", "ns"]
    """Cycles of the core's clock, or nanoseconds."""

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


class Cache(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set-associative cache."""

    size: Bytes
    """Its size, in bytes."""
    ways: Ways
    """The lines of a set."""
    line: LineSize
    """The size of a line, in bytes."""
    replacement: Literal["lru", "plru", "nru", "round-robin", "random"]
    """How a victim is chosen."""
    replacement_tag: Tag
    """How good the replacement is known."""
    replacement_source: Sources
    """Where it is said."""
    indexing: Literal["VIVT", "VIPT", "PIPT"] = "PIPT"
    """Whether virtual or physical addresses index it and tag its lines."""

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
    """Whether stores go to the next level when their line leaves, or at once."""
    write_allocate: bool
    """Whether a store that misses brings its line in."""
    write_tag: Tag
    """How good both are known."""
    write_source: Sources
    """Where they are said."""


class Fill(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The source of an instruction fill: the point of unification, or the newest data in any cache."""

    value: Literal["pou", "coherent"]
    """The point of unification (L2 or memory), or the newest data in any cache."""


class Snoop(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The instruction caches from which a store drops its line: none, those of the other cores, or all."""

    value: Literal["none", "others", "all"]
    """Of no core, of the other cores, or of all."""


class DirtyTransfer(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The transfer of a dirty line to another core: from cache to cache, or to memory too."""

    value: Literal["cache", "memory"]
    """From cache to cache, or to memory too."""


class Switch(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the host has a feature."""

    value: bool
    """Whether the host has it."""


class Entries(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The depth of a queue; 0 without one."""

    value: Annotated[int, Meta(ge=0, le=1024)]
    """The entries; 0: there is none."""


class StoreBytes(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The aligned bytes inside which an ordinary store is single-copy atomic."""

    value: Literal[4, 8, 16, 32, 64]
    """The bytes."""


class Interrupts(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An interrupt to other cores and the stores before it: it waits for them, or may overtake them."""

    value: Literal["overtake", "wait"]
    """It may overtake the stores, or waits for them."""


class Cores(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The number of cores of a typical machine of this kind."""

    value: Annotated[int, Meta(ge=1, le=64)]
    """The cores."""


class Coherence(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The coherence of instruction fetches with stores (rules 1 to 6 of ``bench/machine``)."""

    fill: Fill
    """What an instruction fill reads."""
    snoop: Snoop
    """The instruction caches from which a store drops its line."""
    dirty_transfer: DirtyTransfer
    """Where a dirty line goes that another core takes."""
    fetches_ahead: Switch
    """Whether a core has a queue of prefetched units that stores and invalidations do not reach."""
    checks_pipeline: Switch
    """Whether stores are checked against the pipeline (x86, z), so that there is no such queue."""
    switch_cleans_all: Switch
    """Whether a context switch or a migration cleans and invalidates all caches (VIVT hosts)."""
    store_buffer: Entries
    """The FIFO store buffer that ``check`` explores."""
    interrupts: Interrupts | None = None
    """An interrupt to other cores and the stores before it; absent where nothing is documented: it may overtake."""
    atomic: StoreBytes | None = None
    """How much one store of several words writes at once; absent where nothing is documented: a data line."""

    def __post_init__(self) -> None:
        if self.fetches_ahead.value and self.checks_pipeline.value:
            raise ValueError("found fetches_ahead and checks_pipeline; expected at most one of them")


class WholePages(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the kernel does a flush to whole pages of 4 KiB, as old ones did."""

    value: Literal["dated", "always", "never"]
    """As it was in the year of the translator's code, or whatever the year."""
    until: Annotated[int, Meta(ge=1991, le=2100)]
    """The last year in which it did."""


_PAGE = 4096


class FlushRecipe(_Tagged, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The operations of a ``Flush`` under one instruction set, and their cost.

    In order: clean, ``Barrier`` (for the stores too, and so even without a clean), invalidate, ``Barrier``, ``Sync``,
    the other cores.  A flush of n bytes costs ``call`` + lines x ``line`` + ``remote``.
    """

    by: Literal["user", "syscall", "nobody"]
    """Who may do it; by nobody: it does nothing and costs nothing."""
    clean: bool
    """Whether data lines are cleaned."""
    invalidate: Literal["none", "local", "broadcast"]
    """Where instruction lines are dropped: in no cache, in that of the own core, in those of all cores."""
    sync: bool
    """Whether what this core has fetched ahead is dropped at the end."""
    whole_icache: bool = False
    """Whether all instruction lines are dropped."""
    remote_sync: bool = False
    """Whether an interrupt synchronises the other cores."""
    deferred_to_move: bool = False
    """Whether cores that do not run the process are skipped, and drop their instruction cache when they next run it."""
    whole_pages: WholePages | None = None
    """Kernels that do this to whole pages, in the price and in the caches of replay and risk; verdicts rest on the
    range that was asked for alone."""
    how: NonEmpty
    """What that is in instructions and calls."""
    call: Figure
    """Its cost whatever its size."""
    line: Figure
    """Its cost for each line."""
    remote: Figure
    """Its cost for the other cores."""

    def __post_init__(self) -> None:
        invalidates = self.invalidate != "none"
        if self.by == "nobody" and (self.clean or invalidates or self.sync or self.remote_sync):
            raise ValueError("found a flush that does something; expected by = user or syscall")
        if (self.whole_icache or self.deferred_to_move) and not invalidates:
            raise ValueError("found whole_icache or deferred_to_move; expected invalidate = local or broadcast with it")

    @property
    def without_prices(self) -> dict[str, Any]:
        """All of it but what it costs."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in found.items() if not isinstance(value, Figure)}

    @property
    def granule(self) -> int:
        """Bytes that a range is rounded to; 1: it is not, or that has no date yet (``as_of``)."""
        return _PAGE if self.whole_pages is not None and self.whole_pages.value == "always" else 1

    def as_of(self, year: int) -> FlushRecipe:
        """The same on a kernel of that year."""
        pages = self.whole_pages
        if pages is None or pages.value != "dated":
            return self
        value: Literal["always", "never"] = "always" if year <= pages.until else "never"
        return structs.replace(self, whole_pages=structs.replace(pages, value=value))


class Isa(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An instruction set of the host."""

    instruction_bytes: Length
    """The mean length of an instruction, in bytes."""
    flush: FlushRecipe
    """What a flush is."""


class HostCosts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The costs that do not depend on the instruction set."""

    cpi: Figure
    """Cycles per host instruction, without cache misses."""
    refill_l2: Figure | None = None
    """A refill of an instruction line from the L2; absent without an L2."""
    refill_memory: Figure
    """A refill from memory."""
    store_into_code: Figure
    """What a store to a line that was or may be fetched costs more (x86: a pipeline clear)."""
    lock: Figure
    """Acquire and release of a lock that nobody else wants."""
    contended: Figure
    """One acquisition of a lock that somebody else wants."""
    stop: Figure
    """Stop and resume another running core."""
    sync_cores: Figure
    """An interrupt to every other core and back."""
    load: Figure
    """What a load of a slot that hits costs an exit."""
    indirect: Figure
    """What an indirect branch that is predicted costs beside the instruction."""
    mispredicted: Figure
    """What one that is not costs more."""
    barrier: Figure | None = None
    """In place of the replay's parameter of that name, where it was measured."""
    encoding: Figure | None = None
    """In place of the replay's parameter of that name, for each byte of a side table."""
    lookup: Figure | None = None
    """The same, for each guest instruction decoded from one."""

    def __post_init__(self) -> None:
        if self.cpi.unit != "cycles":
            raise ValueError(f"found cpi in {self.cpi.unit}; expected cycles")


class Target(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The target of a program: a host, or an architecture in place of all hosts that implement it.

    The first instruction set of ``isa`` is the main one.  Two fields are not keys of a file: ``derived`` lists the
    settings as ``path=value``; ``file``: the path of the profile, empty for a shipped one.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    """The name, as options and tables have it."""
    title: NonEmpty
    """The name in full."""
    cores: Cores
    """The cores of a typical machine of this kind."""
    isa: Annotated[dict[str, Isa], Meta(min_length=1)]
    """The instruction sets, by name, the main one first."""
    note: str = ""
    """What a reader should know."""
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
    """A host profile."""

    base: str = ""
    """The shipped profile that the keys which are not in the file come from."""
    clock_ghz: Annotated[float, Meta(gt=0, le=100)]
    """The clock of a core, in GHz."""
    clock_tag: Tag
    """How good it is known."""
    clock_source: Sources
    """Where it is said."""
    icache: Cache
    """The instruction cache of a core."""
    icache_lines: tuple[LineSize, ...] = ()
    """The line size of each core's instruction cache in bytes, where cores differ (only ``check`` uses them)."""
    dcache: DataCache
    """The data cache of a core."""
    l2: Cache | None = None
    """The level behind both, if there is one before memory."""
    coherence: Coherence
    """How fetches follow stores."""
    costs: HostCosts
    """The costs that do not depend on the instruction set."""

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

    def as_of(self, year: int) -> Host:
        """The same under a kernel of that year."""
        dated = {name: structs.replace(one, flush=one.flush.as_of(year)) for name, one in self.isa.items()}
        return structs.replace(self, isa=dated)
