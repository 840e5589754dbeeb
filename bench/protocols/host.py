"""The host of a protocol, and the features of hosts that make trouble, which can be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from bench.hosts import Host, Target
from bench.machine.architecture import Rules
from bench.machine.caches import Features
from bench.machine.model import rules_of

SHORTEST_LINE = 4
"""Bytes that maintenance reaches anywhere: a line may be as short as a word (Arm ARM, CTR_EL0.IminLine)."""

STORES = ("store", "store-release", "map", "protect", "unmap")
"""The operations that wait in a store buffer."""

PLAIN = Features(
    fill="pou",
    snoop="none",
    dirty_transfer="cache",
    fetches_ahead=True,
    checks_pipeline=False,
    switch_cleans_all=False,
    store_buffer=0,
    write_through=False,
    write_allocate=True,
)
"""A host of which a protocol says nothing."""


@dataclass(frozen=True, slots=True)
class ProtocolHost:
    """What a protocol says of its host.

    ``rules``: those of its memory, or of an architecture.  ``instruction_lines`` (of each core) and ``data_line`` in
    bytes.  ``evicts``: a data line may be written back at any time; ``prefetches``: an instruction line may be filled
    without an execution.  ``icache``: with ``vipt`` a second virtual address has an instruction line of its own.
    """

    rules: Features | Rules = PLAIN
    cores: int = 1
    instruction_lines: tuple[int, ...] = (64,)
    data_line: int = 64
    evicts: bool = True
    prefetches: bool = True
    icache: Literal["pipt", "vipt"] = "pipt"

    def instruction_line(self, core: int) -> int:
        """Bytes in an instruction line of a core."""
        return self.instruction_lines[core % len(self.instruction_lines)]

    def buffering(self, threads: Iterable[Iterable[str]]) -> ProtocolHost:
        """The same host with a store buffer of no more entries than threads, by the verbs that they do, can fill."""
        if not isinstance(self.rules, Features):
            return self
        most = max((sum(verb in STORES for verb in verbs) for verbs in threads), default=0)
        return self.with_rules(store_buffer=min(self.rules.store_buffer, most))

    def with_rules(self, **changes: Any) -> ProtocolHost:
        """The same host with other features of its memory."""
        return replace(self, rules=replace(self.rules, **changes))


def protocol_host(target: Target) -> ProtocolHost:
    """A host, or an architecture, with all its cores and all that its profile says of its memory."""
    rules = rules_of(target)
    if isinstance(target, Host):
        virtual = target.icache.indexing.startswith("VI")
        lines = tuple(target.icache_line(core) for core in range(target.cores.value))
        data_line = target.dcache_line
    else:
        virtual = isinstance(rules, Rules) and rules.aliases
        lines, data_line = (SHORTEST_LINE,), SHORTEST_LINE
    return ProtocolHost(
        rules=rules,
        cores=target.cores.value,
        instruction_lines=lines,
        data_line=data_line,
        icache="vipt" if virtual else "pipt",
    )


class MemoryFeature(NamedTuple):
    """What a feature makes of the ``Features`` of a memory, and how they are without it."""

    present: Mapping[str, Any]
    absent: Mapping[str, Any]


def _with_ordered_interrupts(host: ProtocolHost) -> ProtocolHost:
    """Where no store is buffered they overtake none."""
    buffers = isinstance(host.rules, Features) and host.rules.store_buffer
    return host.with_rules(interrupts="wait") if buffers else host


def _without_evictions(host: ProtocolHost) -> ProtocolHost:
    """Where fills read the newest data they do not matter."""
    coherent = isinstance(host.rules, Features) and host.rules.fill == "coherent"
    return host if coherent else replace(host, evicts=False)


STORES_DROP_NO_LINE = "stores that drop no instruction line"

HOST_FEATURES: dict[str, MemoryFeature | Callable[[ProtocolHost], ProtocolHost]] = {
    "incoherent instruction cache": MemoryFeature(
        {"fill": "pou", "snoop": "none"}, {"fill": "coherent", "snoop": "all"}
    ),
    "dirty data lines": MemoryFeature({"fill": "pou"}, {"fill": "coherent"}),
    STORES_DROP_NO_LINE: MemoryFeature({"snoop": "none"}, {"snoop": "all"}),
    "write-back at any time": _without_evictions,
    "speculative fill": lambda host: replace(host, prefetches=False),
    "fetched-ahead queue": MemoryFeature({"fetches_ahead": True}, {"fetches_ahead": False}),
    "interrupts that overtake stores": _with_ordered_interrupts,
    "store buffer": MemoryFeature({"store_buffer": 1}, {"store_buffer": 0}),
    "pending maintenance": MemoryFeature({"maintenance_at_once": False}, {"maintenance_at_once": True}),
    "line sizes that differ": lambda host: replace(host, instruction_lines=(min(host.instruction_lines),)),
    "stores that do not allocate": MemoryFeature({"write_allocate": False}, {"write_allocate": True}),
    "virtually indexed instruction cache": lambda host: replace(host, icache="pipt"),
}
"""What a host may have that can make trouble; what is no feature of the memory by the host of a protocol without it."""


def troubles(host: ProtocolHost) -> tuple[str, ...]:
    """Those that a host has; an architecture is not taken apart."""
    if not isinstance(host.rules, Features):
        return ()
    # That stores drop no line is left out with the rest of what makes the cache incoherent.
    known = (name for name in HOST_FEATURES if name != STORES_DROP_NO_LINE)
    return tuple(name for name in known if without(host, (name,)) != host)


def without(host: ProtocolHost, names: Iterable[str]) -> ProtocolHost:
    """The same host without those."""
    for name in names:
        feature = HOST_FEATURES[name]
        host = host.with_rules(**feature.absent) if isinstance(feature, MemoryFeature) else feature(host)
    return host
