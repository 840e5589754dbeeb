"""Host profiles: what the machine, the risk and the replay need to know of a host.

A profile is a TOML file whose keys are the fields below.  Every feature and
every figure carries a tag that says how well it is known, and a source:

``measured``    somebody measured that very quantity and published it
``documented``  a manual, a data sheet, a kernel's source
``estimate``    derived by a stated rule from figures of those kinds
``assumed``     a default of this project; vary it with ``--set``

The rules that the estimates name.  *Cycles* are those of the core's clock; the
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
``E6``  an uncontended lock, taken and given back: 50 cycles, 20 .. 200 (calibration: 13.54 ns, 12.93 .. 14.91)
``E7``  a lock that another core wants too: 210 cycles, 100 .. 1000 (calibration: 57 ns, 42 .. 66)
``E8``  stop another core and let it go on: two interrupts (E5) and four system calls (E3); low end: the other core
        polls a flag, 920 cycles (calibration: 249 ns polled, 16.35 us, 12.45 .. 22.3, by signal)
``E9``  on one core, waiting for a lock or stopping a thread is a switch to the other thread and one back:
        as long as four system calls (E3)
``C1``  cycles per instruction, caches hitting: in order 1.5, 1.0 .. 2.5; out of order 1.0, 0.5 .. 1.5
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

Tag = Literal["measured", "documented", "estimate", "assumed"]
Bytes = Annotated[int, Meta(ge=1, le=1 << 30)]
"""A cache size: 1 GiB is beyond any first or second level."""
Ways = Annotated[int, Meta(ge=1, le=1024)]
Line = Annotated[int, Meta(ge=8, le=1024)]
Cost = Annotated[float, Meta(ge=0, le=1e9)]
Text = Annotated[str, Meta(min_length=1)]
Sources = Annotated[tuple[Text, ...], Meta(min_length=1)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")


class _Range(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``value`` within ``low`` .. ``high``."""

    value: Cost
    low: Cost
    high: Cost
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
    line: Line
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
    """A data cache: with a write policy."""

    write: Literal["back", "through"]
    write_allocate: bool
    write_tag: Tag
    write_source: Sources


class Fill(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an instruction fill reads: the point of unification, or the newest data wherever it is."""

    value: Literal["pou", "coherent"]
    tag: Tag
    source: Sources
    note: str = ""


class Snoop(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From whose instruction caches a store drops its line: nobody's, the other cores', all."""

    value: Literal["none", "others", "all"]
    tag: Tag
    source: Sources
    note: str = ""


class DirtyTransfer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a dirty line does when another core takes it: moves from cache to cache, or reaches memory too."""

    value: Literal["cache", "memory"]
    tag: Tag
    source: Sources
    note: str = ""


class Switch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether a feature is there."""

    value: bool
    tag: Tag
    source: Sources
    note: str = ""


class Entries(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The depth of a queue; 0 where there is none."""

    value: Annotated[int, Meta(ge=0, le=1024)]
    tag: Tag
    source: Sources
    note: str = ""


class Cores(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many cores a typical machine of this kind has."""

    value: Annotated[int, Meta(ge=1, le=64)]
    tag: Tag
    source: Sources
    note: str = ""


class Coherence(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How stores reach instruction fetches (rules 1 to 6 of ``bench/machine.py``).

    ``fetches_ahead``: a core holds units that it fetched before it needs them,
    and no store or invalidation reaches those.  ``checks_pipeline``: stores are
    checked against the pipeline (x86, z), so that there is no such queue.
    ``switch_cleans_all``: a switch or a move cleans and invalidates all caches
    (VIVT hosts).  ``store_buffer``: the entries of a first-in first-out store
    buffer that ``check`` explores.
    """

    fill: Fill
    snoop: Snoop
    dirty_transfer: DirtyTransfer
    fetches_ahead: Switch
    checks_pipeline: Switch
    switch_cleans_all: Switch
    store_buffer: Entries

    def __post_init__(self) -> None:
        if self.fetches_ahead.value and self.checks_pipeline.value:
            raise ValueError("found fetches_ahead and checks_pipeline; expected at most one of them")


class Flush(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``Flush`` lowers to under one instruction set, and what it costs.

    In order: clean each data line (if ``clean``), ``Barrier`` (for the stores too, and
    so without a clean as well), invalidate the instruction lines (``invalidate``: in
    no cache, the own core's, all cores'; if ``whole_icache`` every line of it),
    ``Barrier``, ``Sync``; if ``remote_sync`` an IPI synchronises the other cores.
    ``deferred_to_move``: cores that do not run the process are left out, and drop
    their instruction cache when they next do.  A flush of n bytes costs ``call`` +
    lines x ``line`` + ``remote``.  Where nobody flushes (``by``) nothing is done and
    nothing costs.
    """

    by: Literal["user", "syscall", "nobody"]
    clean: bool
    invalidate: Literal["none", "local", "broadcast"]
    sync: bool
    whole_icache: bool = False
    remote_sync: bool = False
    deferred_to_move: bool = False
    how: Text
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


class Isa(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An instruction set that the host runs.  ``instruction_bytes``: the mean length of an instruction."""

    instruction_bytes: Length
    flush: Flush


class Costs(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Cost figures that do not depend on the instruction set.

    ``cpi``: cycles per host instruction, caches hitting.  ``refill_l2``: an
    instruction line that the L2 holds; ``refill_memory``: one that it does not
    (``refill_l2`` is absent where there is no L2).  ``store_into_code``: what a
    store to a line that was or may be fetched costs beside the store (x86: a
    pipeline clear).  ``lock``: take and give back an uncontended lock.
    ``contended``: one acquisition with another core wanting it too.  ``stop``:
    stop another running core and let it go on.  ``sync_cores``: one IPI to every
    other core and back.
    """

    cpi: Figure
    refill_l2: Figure | None = None
    refill_memory: Figure
    store_into_code: Figure
    lock: Figure
    contended: Figure
    stop: Figure
    sync_cores: Figure

    def __post_init__(self) -> None:
        if self.cpi.unit != "cycles":
            raise ValueError(f"found cpi in {self.cpi.unit}; expected cycles")


class Target(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What programs run on: a host, or an architecture in place of all hosts that implement it.

    The first instruction set of ``isa`` is the one that it mainly runs.  ``derived`` lists what ``--set`` changed, as
    ``path=value``, and ``file`` is where it was read, empty for a shipped one; neither is a key of a file.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    title: Text
    cores: Cores
    isa: Annotated[dict[str, Isa], Meta(min_length=1)]
    note: str = ""
    derived: tuple[str, ...] = ()
    file: str = ""

    def runs_as(self, isa: str) -> Isa:
        """What it does under the instruction set ``isa``; one that it does not run is taken as its main one."""
        return self.isa.get(isa) or self.isa[self.main_isa]

    @property
    def main_isa(self) -> str:
        """The instruction set that it mainly runs."""
        return next(iter(self.isa))

    def icache_line(self, core: int) -> int:
        """The line of a core's instruction cache in bytes."""
        raise NotImplementedError

    @property
    def dcache_line(self) -> int:
        """The line of a data cache in bytes."""
        raise NotImplementedError


class Architecture(Target, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An architecture: what any of its implementations may do.  It has no caches, and so no costs.

    Maintenance is by lines of ``line`` bytes; their size decides nothing, since lines are no state there.
    """

    line: Line = 64

    def icache_line(self, core: int) -> int:
        return self.line

    @property
    def dcache_line(self) -> int:
        return self.line


class Host(Target, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host profile.

    ``clock_ghz`` is the core's clock.  ``icache_lines``: the line sizes of the instruction caches, core by core, where
    cores differ (``check`` alone takes note).
    """

    clock_ghz: Annotated[float, Meta(gt=0, le=100)]
    clock_tag: Tag
    clock_source: Sources
    icache: Cache
    icache_lines: tuple[Line, ...] = ()
    dcache: DataCache
    l2: Cache | None = None
    coherence: Coherence
    costs: Costs

    def __post_init__(self) -> None:
        for name in (self.name, *self.isa):
            if not _NAME.fullmatch(name):
                raise ValueError(f"found the name {name!r}; expected letters, digits, '-', '_' and '+'")
        if (self.l2 is None) != (self.costs.refill_l2 is None):
            found, missing = ("costs.refill_l2", "l2") if self.l2 is None else ("l2", "costs.refill_l2")
            raise ValueError(f"found {found} without {missing}; expected both or neither")

    def icache_line(self, core: int) -> int:
        """The line of a core's instruction cache in bytes."""
        return self.icache_lines[core % len(self.icache_lines)] if self.icache_lines else self.icache.line

    @property
    def dcache_line(self) -> int:
        return self.dcache.line
