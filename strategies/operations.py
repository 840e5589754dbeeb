"""Host operations: what the hooks of a strategy return.

Frozen values without behaviour.  An operation says here what ``replay`` counts of it: its ``price``, and what it does
to cache lines (``access``).  What it does to the machine of ``check`` is registered with ``lowered`` in
``bench/machine/actions.py``.
"""

from __future__ import annotations

import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from strategies.writes import Buffer, Region, Unit, Write

CostPart = Literal["flush", "lock", "stop", "lookup"]
"""A part of the cost of a strategy: a column of ``replay``."""

LineAccess = Literal["load", "store", "clean", "invalidate"]
"""What is done to a cache line."""


@dataclass(frozen=True, slots=True)
class Price:
    """What an operation costs: the host's figure ``costs.FIGURE``, for each ``per``, as a part of the cost.

    A ``guest instruction`` is one of the block up to the faulting one.
    """

    figure: str
    part: CostPart
    per: Literal["operation", "other vCPU", "guest instruction"] = "operation"


class Operation:
    """The base class of all operations, which are frozen data classes.

    ``price``: what one costs; none for what has the price of a store or of maintenance (``bench/replay/price.py``).
    ``access``: what it does to each line of its first field.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    price: ClassVar[Price | None] = None
    access: ClassVar[LineAccess | None] = None

    @property
    def operands(self) -> tuple[Any, ...]:
        """The values of the fields."""
        return tuple(getattr(self, name) for name in self.__match_args__)


_BARRIER = Price("barrier", "flush")


class Scope(enum.StrEnum):
    """Whose instruction caches an invalidation reaches."""

    LOCAL = "local"
    BROADCAST = "broadcast"


@dataclass(frozen=True, slots=True)
class Store(Operation):
    """Store ``value`` into the bytes of ``unit`` that ``mask`` covers, at once."""

    access = "store"

    unit: Unit
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Load(Operation):
    """Load ``unit`` as data; the result is its value."""

    access = "load"

    unit: Unit


@dataclass(frozen=True, slots=True)
class Clean(Operation):
    """Write the data lines of ``where`` back to the point of unification; pending until a ``Barrier``."""

    access = "clean"

    where: Unit | Region | Buffer


@dataclass(frozen=True, slots=True)
class Invalidate(Operation):
    """Drop the instruction lines of ``where``; pending until a ``Barrier``."""

    access = "invalidate"

    where: Unit | Region | Buffer
    scope: Scope = Scope.BROADCAST


@dataclass(frozen=True, slots=True)
class Barrier(Operation):
    """Wait until this core's stores and maintenance have completed (DSB)."""

    price = _BARRIER


@dataclass(frozen=True, slots=True)
class Sync(Operation):
    """Drop what this core has fetched ahead (ISB, context synchronisation)."""

    price = _BARRIER


@dataclass(frozen=True, slots=True)
class SyncCores(Operation):
    """Drop what any core has fetched ahead, after the stores before it (an IPI to each; membarrier SYNC_CORE)."""

    price = Price("sync_cores", "stop", per="other vCPU")


@dataclass(frozen=True, slots=True)
class Acquire(Operation):
    """Take the lock ``name``, shared with other sharers or alone; wait until it is free."""

    name: str
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Release(Operation):
    """Give the lock ``name`` back."""

    name: str


@dataclass(frozen=True, slots=True)
class Flush(Operation):
    """Make ``where`` fetchable as it was stored, by whatever this host does for that."""

    where: Region | Buffer


@dataclass(frozen=True, slots=True)
class Lookup(Operation):
    """Find the guest state of a fault in a table kept beside the block."""

    price = Price("lookup", "lookup", per="guest instruction")

    region: Region


@dataclass(frozen=True, slots=True)
class Do(Operation):
    """Run another hook of the same strategy here.

    What the inner hook loaded is forgotten when it ends, which is what keeps
    the program of a retranslation small: nothing that one write read can
    influence the next.
    """

    hook: str
    argument: Region | Write | Buffer


Hook = tuple[Operation, ...] | Generator[Operation, int | None, None]
"""What a hook returns: a tuple when nothing depends on a result, a generator when something does."""
