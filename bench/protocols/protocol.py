"""A patching protocol: a host by its features, what lies where, and threads with what they may come to execute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.machine.cells import EXECUTABLE
from bench.machine.opcodes import EncodedInstruction
from bench.protocols.host import ProtocolHost
from bench.protocols.operations import PAGE_STATES, ProtocolOperation

FAULT_TEXT = "fault"
"""What a thread observes where a page may not be executed."""

PAGE_SIZE = 4096
"""Bytes."""

ANY = "*"
"""In an allowed sequence: any value."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a unit lies: ``virtual``, and ``physical`` (different for an alias), in bytes."""

    virtual: int
    physical: int

    @property
    def page(self) -> int:
        """The number of the virtual page."""
        return self.virtual // PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread on its ``core``; ``allowed``: the sequences of values that it may observe, None for any.

    In a sequence ``ANY`` stands for one value, whatever it is.
    """

    name: str
    core: int
    operations: tuple[ProtocolOperation, ...]
    allowed: tuple[tuple[str, ...], ...] | None = None

    def allows(self, observed: tuple[str, ...], *, finished: bool) -> bool:
        """Whether what was observed is an allowed sequence or, unless ``finished``, can still become one."""
        return self.allowed is None or any(
            all(value in (found, ANY) for value, found in zip(sequence, observed, strict=False))
            and (len(observed) == len(sequence) if finished else len(observed) <= len(sequence))
            for sequence in self.allowed
        )


@dataclass(frozen=True)
class Protocol:
    """One case.

    ``initial``: the value of each unit at the start, in memory, on the data side and in the instruction caches;
    ``coherency``: what it is at the point of coherency, from which the cores ``mmu_off`` fetch.  ``flags`` with their
    values at the start.  ``instructions``: what values are, where it is said; an architecture asks.  ``pages``: what
    the page of a unit is at the start, where it may not be executed: ``PROTECTED`` or ``ABSENT``.  ``warm``: every
    instruction line is in every cache then.
    """

    host: ProtocolHost
    addresses: Mapping[str, Address]
    initial: Mapping[str, str]
    threads: tuple[Thread, ...]
    flags: Mapping[str, int] = field(default_factory=dict)
    coherency: Mapping[str, str] = field(default_factory=dict)
    mmu_off: frozenset[int] = frozenset()
    instructions: Mapping[str, EncodedInstruction] = field(default_factory=dict)
    pages: Mapping[str, int] = field(default_factory=dict)
    warm: bool = True

    @property
    def translated(self) -> dict[int, int]:
        """The virtual pages of which something may change, by number: what each is at the start."""
        named = (
            operation.names[0]
            for thread in self.threads
            for operation in thread.operations
            if operation.verb in (*PAGE_STATES, "tlbi")
        )
        found = {self.addresses[name].page: EXECUTABLE for name in named if name in self.addresses}
        at_start = {self.addresses[name].page: state for name, state in self.pages.items() if name in self.addresses}
        return found | at_start

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
