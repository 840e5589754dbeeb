"""Host operations: what the hooks of a strategy return.

Frozen values without behaviour.  The machine of ``check`` gives them their
meaning, ``replay`` their price.
"""

from __future__ import annotations

import enum
from collections.abc import Generator
from dataclasses import dataclass

from strategies.writes import Buffer, Region, Unit, Write


class Scope(enum.StrEnum):
    """Whose instruction caches an invalidation reaches."""

    LOCAL = "local"
    BROADCAST = "broadcast"


@dataclass(frozen=True, slots=True)
class Store:
    """Store ``value`` into the bytes of ``unit`` that ``mask`` covers, at once."""

    unit: Unit
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load ``unit`` as data; the result is its value."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class Clean:
    """Write the data lines of ``where`` back to the point of unification; pending until a ``Barrier``."""

    where: Unit | Region | Buffer


@dataclass(frozen=True, slots=True)
class Invalidate:
    """Drop the instruction lines of ``where``; pending until a ``Barrier``."""

    where: Unit | Region | Buffer
    scope: Scope = Scope.BROADCAST


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait until this core's stores and maintenance have completed (DSB)."""


@dataclass(frozen=True, slots=True)
class Sync:
    """Drop what this core has fetched ahead (ISB, context synchronisation)."""


@dataclass(frozen=True, slots=True)
class SyncCores:
    """Drop what any core has fetched ahead, after the stores before it (an IPI to each; membarrier SYNC_CORE)."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Take the lock ``name``, shared with other sharers or alone; wait until it is free."""

    name: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lock ``name`` back."""

    name: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Make ``where`` fetchable as it was stored, by whatever this host does for that."""

    where: Region | Buffer


@dataclass(frozen=True, slots=True)
class Lookup:
    """Find the guest state of a fault in a table kept beside the block."""

    region: Region


@dataclass(frozen=True, slots=True)
class Do:
    """Run another hook of the same strategy here.

    What the inner hook loaded is forgotten when it ends, which is what keeps
    the program of a retranslation small: nothing that one write read can
    influence the next.
    """

    hook: str
    argument: Region | Write | Buffer


Operation = Store | Load | Clean | Invalidate | Barrier | Sync | SyncCores | Acquire | Release | Flush | Lookup | Do
OPERATIONS: tuple[type, ...] = (
    Store,
    Load,
    Clean,
    Invalidate,
    Barrier,
    Sync,
    SyncCores,
    Acquire,
    Release,
    Flush,
    Lookup,
    Do,
)

Hook = tuple[Operation, ...] | Generator[Operation, int | None, None]
"""What a hook returns: a tuple when nothing depends on a result, a generator when something does."""
