"""A patching protocol: a host by its features, what lies where, and threads with what they may come to execute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.machine.opcodes import Instruction
from bench.protocols.host import ProtocolHost
from bench.protocols.operations import Operation
from bench.support.errors import InputError


@dataclass(frozen=True, slots=True)
class Address:
    """Where a unit lies: ``virtual``, and ``physical`` (different for an alias), in bytes."""

    virtual: int
    physical: int


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread on its ``core``; ``allowed``: the sequences of values that it may observe, None for any."""

    name: str
    core: int
    operations: tuple[Operation, ...]
    allowed: tuple[tuple[str, ...], ...] | None = None


@dataclass(frozen=True)
class Protocol:
    """One case.

    ``initial``: the value of each unit at the start, in memory, on the data side and in the instruction caches;
    ``coherency``: what it is at the point of coherency, from which the cores ``mmu_off`` fetch.  ``flags`` with their
    values at the start.  ``instructions``: what values are, where it is said; an architecture asks.
    """

    host: ProtocolHost
    addresses: Mapping[str, Address]
    initial: Mapping[str, str]
    threads: tuple[Thread, ...]
    flags: Mapping[str, int] = field(default_factory=dict)
    coherency: Mapping[str, str] = field(default_factory=dict)
    mmu_off: frozenset[int] = frozenset()
    instructions: Mapping[str, Instruction] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that a unit can have, without repetition: at the start first."""
        stored = (value for thread in self.threads for operation in thread.operations for value in operation.values)
        return tuple(dict.fromkeys((*self.initial.values(), *self.coherency.values(), *stored)))

    def omitting(self, thread: int, operations: frozenset[int]) -> Protocol:
        """The same, but a thread leaves some of its operations out.  Jumps reach as far as they did."""
        left = self.threads[thread]
        kept = []
        for number, operation in enumerate(left.operations):
            if number in operations:
                continue
            skips = tuple(
                (value, sum(at not in operations for at in range(number + 1, number + 1 + skip)))
                for value, skip in operation.skips
            )
            kept.append(replace(operation, skips=skips))
        threads = list(self.threads)
        threads[thread] = replace(left, operations=tuple(kept))
        return replace(self, threads=tuple(threads))


MOST_THREADS = 8
MOST_OPERATIONS = 200


def refuse_impossible(protocol: Protocol, file: str, place: str) -> None:
    """Raise ``InputError`` for what a protocol speaks of and does not have."""

    def refuse(found: str, where: str, expected: str) -> None:
        at = ": ".join(part for part in (place, where) if part)
        raise InputError(found, file=file, place=at, expected=expected)

    cores = protocol.host.cores
    if not protocol.threads or len(protocol.threads) > MOST_THREADS:
        refuse(f"{len(protocol.threads)} threads", "threads", f"1 to {MOST_THREADS}")
    shared = len({thread.core for thread in protocol.threads}) < len(protocol.threads)
    for core in sorted(protocol.mmu_off):
        if not 0 <= core < cores:
            refuse(f"core {core}", "mmu_off", f"0 to {cores - 1}")
    for thread in protocol.threads:
        where = f"threads.{thread.name}"
        if not 0 <= thread.core < cores:
            refuse(f"core {thread.core}", where, f"0 to {cores - 1} ([host] cores)")
        if len(thread.operations) > MOST_OPERATIONS:
            refuse(f"{len(thread.operations)} operations", where, f"at most {MOST_OPERATIONS}")
        for number, operation in enumerate(thread.operations):
            at = f"{where}: {operation.text!r}"
            for name in operation.names if operation.verb not in ("set", "wait", "lock", "unlock") else ():
                if name not in protocol.addresses:
                    refuse(f"no unit {name!r}", at, f"one of {', '.join(protocol.addresses)} ([layout])")
            if operation.verb in ("set", "wait") and operation.names[0] not in protocol.flags:
                refuse(f"no flag {operation.names[0]!r}", at, "a flag in [flags], with its value at the start")
            if operation.verb == "migrate" and (operation.number >= cores or shared):
                refuse(
                    f"core {operation.number} of {cores}{', which threads share' * shared}",
                    at,
                    "a core that there is, where every thread begins on one of its own",
                )
            for value, skipped in operation.skips:
                if number + 1 + skipped > len(thread.operations):
                    refuse(
                        f"{value}:{skipped}", at, f"at most {len(thread.operations) - number - 1} operations after it"
                    )
    for name, address in protocol.addresses.items():
        if name not in protocol.initial:
            refuse("missing", f"init.{name}", "the value at the start")
        for other, there in protocol.addresses.items():
            if other != name and there.virtual == address.virtual:
                refuse(f"{name} and {other} at {address.virtual}", "layout", "addresses that differ")
