"""The plan of a strategy's hooks on one thread: accesses to lines, and counts of all other operations.

The hooks are evaluated as ``check`` evaluates them (``strategies/evaluation.py``).  A ``Do`` is expanded.  A ``Load``
returns what the data side holds: the unit's final value until the same hooks store another one.  The operations of a
hook depend on its argument alone, so that one plan serves all blocks of a group, whatever their address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias, get_args

import numpy as np
from msgspec import Struct

from bench.caches.events import EventKind, lines_spanned
from bench.hosts.profile import FlushRecipe, Host
from bench.program.effects import HookCall, Locks, locks_after, refuse_held, refuse_unknown
from bench.program.layout import line_range
from bench.traces.trace import I64
from strategies.evaluation import ask
from strategies.operations import (
    Acquire,
    Do,
    Flush,
    Invalidate,
    LineAccess,
    Load,
    Operation,
    Price,
    Release,
    Scope,
    Store,
)
from strategies.strategy import Strategy, StrategyError, place_of
from strategies.writes import Buffer, Phase, Region, Unit, Write

_DEEPEST = 64
"""The depth limit of nested hooks, which detects a hook that runs itself."""


class Extent(Struct, frozen=True):
    """Bytes ``start`` to ``end`` (exclusive; None: to its end) of a block, or of scratch memory (``in_scratch``)."""

    start: int
    end: int | None
    in_scratch: bool = False

    @property
    def last(self) -> int:
        """The end, or a number beyond the end of every block."""
        return np.iinfo(np.int64).max if self.end is None else self.end

    def within(self, sizes: I64) -> tuple[I64, I64]:
        """The first byte and the length in blocks of ``sizes`` bytes (see ``clipped``)."""
        return clipped(self.start, self.last, sizes)


def clipped(start: int | I64, end: int | I64, sizes: I64) -> tuple[I64, I64]:
    """The first byte and length of ``start`` to ``end`` in blocks of ``sizes`` bytes; beyond a block: its last byte."""
    first = np.minimum(start, sizes - 1)
    return first, np.maximum(np.minimum(end, sizes), first + 1) - first


def rounded(first: I64, length: I64, granule: int | I64) -> tuple[I64, I64]:
    """Ranges of bytes, rounded outwards to whole multiples of ``granule``."""
    start = first - first % granule
    return start, -(-(first + length) // granule) * granule - start


WHOLE = Extent(0, None)
Locate: TypeAlias = Callable[[Unit | Region | Buffer], Extent | None]
"""Maps the target of maintenance to an extent; None where it is never executed."""


def in_block(where: Unit | Region | Buffer) -> Extent | None:
    """The extent of ``where`` in the block of the hooks; scratch memory is outside, as in ``check``."""
    if isinstance(where, Unit):
        return None if where.in_scratch else Extent(where.offset, where.offset + where.size)
    if isinstance(where, Region):
        return None if where.writes and all(write.unit.in_scratch for write in where.writes) else WHOLE
    return WHOLE


class LineStep(Struct, frozen=True):
    """An access of one ``kind`` to each line of ``extent``; ``halves``: half line prices of maintenance per line.

    ``granule``: wherever the block lies, the access is to whole multiples of so many bytes (see ``rounded``).
    """

    kind: EventKind
    extent: Extent
    halves: int = 0
    granule: int = 1


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of operations of each kind.

    ``stores``       stores, to live code or elsewhere
    ``code_lines``   instruction lines of live code that were stored to, each counted once in a plan
    ``cleaned``, ``invalidated``  lines that maintenance covers
    ``halves``       halves of the price of a maintained line (cleaned and invalidated)
    ``calls``        flushes, and sequences of a strategy's own maintenance
    ``remotes``      those of ``calls`` that reach other cores
    ``locks``        lock acquisitions
    ``linked``       those of them around an execution that was entered through a link, where the lock is held
    ``contended``    exclusive acquisitions that do not stop executors
    ``stops``        acquisitions that wait for executors to leave
    ``regenerated``  host bytes that the translator generates again
    ``decoded_again``  host bytes of the whole TBs that it decodes again for that
    ``restarts``     runs of the translator for that
    ``encoded``      bytes stored in a side table
    ``priced``       operations outside such sequences that have a price of their own, or what each is paid for
    """

    stores: int = 0
    code_lines: int = 0
    cleaned: int = 0
    invalidated: int = 0
    halves: int = 0
    calls: int = 0
    remotes: int = 0
    locks: int = 0
    linked: int = 0
    contended: int = 0
    stops: int = 0
    regenerated: int = 0
    decoded_again: int = 0
    restarts: int = 0
    encoded: int = 0
    priced: tuple[tuple[Price, int], ...] = ()

    def __add__(self, other: Tally) -> Tally:
        *numbers, _ = self.__slots__
        priced = Counter(dict(self.priced))
        priced.update(dict(other.priced))
        sums = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return Tally(**sums, priced=(*priced.items(),))

    def times(self, count: int) -> Tally:
        """Every number times ``count``."""
        *numbers, _ = self.__slots__
        priced = tuple((price, number * count) for price, number in self.priced)
        return Tally(**{name: getattr(self, name) * count for name in numbers}, priced=priced)


@dataclass(frozen=True, slots=True)
class Plan:
    """The effects of hooks: accesses to lines in time order, and the numbers of other operations (``fixed``)."""

    steps: tuple[LineStep, ...] = ()
    fixed: Tally = field(default_factory=Tally)

    @property
    def stores(self) -> bool:
        """Whether the plan stores anything."""
        return self.fixed.stores > 0

    @property
    def maintains(self) -> bool:
        """Whether the plan cleans or invalidates cache lines."""
        return any(
            step.kind in (EventKind.CLEAN, EventKind.INVALIDATE, EventKind.INVALIDATE_ALL) for step in self.steps
        )

    def tally(self, host: Host, addresses: I64, sizes: I64, instructions: I64, weights: I64) -> Tally:
        """The tally of the plan for blocks at ``addresses`` of ``sizes`` bytes, each run ``weights`` times.

        ``instructions``: the guest instructions of each up to the faulting one.
        """
        if self == Plan():
            return Tally()
        runs = int(weights.sum())
        each = {"guest instruction": int(instructions @ weights)}
        priced = tuple((price, number * each.get(price.per, runs)) for price, number in self.fixed.priced)
        total = replace(self.fixed.times(runs), priced=priced)
        for step in self.steps:
            if step.kind is EventKind.INVALIDATE_ALL:
                lines = runs * host.icache.sets * host.icache.ways
                total += Tally(invalidated=lines)
            elif step.kind in (EventKind.CLEAN, EventKind.INVALIDATE):
                cleans = step.kind is EventKind.CLEAN
                start, length = step.extent.within(sizes)
                covered = rounded(addresses + start, length, step.granule)
                spanned = lines_spanned(*covered, (host.dcache if cleans else host.icache).line)
                lines = int(spanned @ weights)
                total += Tally(
                    cleaned=lines if cleans else 0, invalidated=0 if cleans else lines, halves=lines * step.halves
                )
        return total + Tally(code_lines=int(self._code_lines(addresses, sizes, host.icache.line) @ weights))

    def _code_lines(self, addresses: I64, sizes: I64, line: int) -> I64:
        """The number of lines of each block that the plan stores to."""
        extents = (step.extent for step in self.steps if step.kind is EventKind.STORE and not step.extent.in_scratch)
        stored: list[Extent] = []
        for extent in sorted(extents, key=lambda extent: extent.start):
            if stored and extent.start <= stored[-1].last:
                stored[-1] = Extent(stored[-1].start, max(stored[-1], extent, key=lambda one: one.last).end)
            else:
                stored.append(extent)
        count = np.zeros_like(addresses)
        done = np.full_like(addresses, -1)
        for extent in stored:
            start, length = extent.within(sizes)
            first, last = line_range(addresses + start, length, line)
            count += np.maximum(last - np.maximum(first, done + 1) + 1, 0)
            done = np.maximum(done, last)
        return count


# --- hook evaluation ----------------------------------------------------------------------------------------------


_Memory: TypeAlias = dict[tuple[bool, int, int], int]
"""What hooks have stored so far, by whether it is in scratch memory, block and offset."""


def _run(
    strategy: Strategy, hook: str, argument: Any, memory: _Memory, do: Callable[[str, Operation], None], depth: int = 0
) -> None:
    """``do`` the operations of a hook in order, each told with the hook that contains it."""
    if depth > _DEEPEST:
        raise StrategyError(f"{place_of(strategy, hook)}: {_DEEPEST} hooks run one another; a hook must end")
    history: tuple[int, ...] = ()
    while True:
        stretch = ask(strategy, hook, argument, history)
        for operation in stretch.operations:
            if type(operation) is Do:
                _run(strategy, operation.hook, operation.argument, memory, do, depth + 1)
                continue
            if type(operation) is Store:
                unit, mask = operation.unit, operation.mask
                key = (unit.in_scratch, unit.tb, unit.offset)
                kept = memory.get(key, unit.final) & ~mask if mask != unit.mask else 0
                memory[key] = kept | (operation.value & mask)
            do(hook, operation)
        if stretch.ended:
            return
        loaded = stretch.operations[-1]
        assert isinstance(loaded, Load)
        unit = loaded.unit
        history = (*history, memory.get((unit.in_scratch, unit.tb, unit.offset), unit.final))


def executor_locks(strategy: Strategy, region: Region) -> Mapping[str, bool]:
    """The locks that a thread holds while it executes a block: name -> whether it is shared."""
    held: dict[str, bool] = {}

    def do(_: str, operation: Operation) -> None:
        if isinstance(operation, Acquire):
            held[operation.name] = operation.shared
        elif isinstance(operation, Release):
            held.pop(operation.name, None)

    _run(strategy, "enter", region, {}, do)
    return held


_KINDS: Mapping[LineAccess, EventKind] = {access: EventKind[access.upper()] for access in get_args(LineAccess)}
_LOADED, _STORED = EventKind.LOAD, EventKind.STORE


@dataclass
class _Lowering:
    """Builds a plan from operations.

    ``touched``: the kind and the extent of stores or loads that the next one may adjoin.
    ``broadcast``, ``waits``: of a sequence of maintenance, if one has begun (``maintained``).
    """

    recipe: FlushRecipe
    executors: Mapping[str, bool]
    locate: Locate
    steps: list[LineStep] = field(default_factory=list)
    touched: tuple[EventKind, int, int, bool] | None = None
    stores: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    priced: Counter[Price] = field(default_factory=Counter)
    maintained: bool = False
    broadcast: bool = False
    waits: Counter[Price] = field(default_factory=Counter)

    def lower(self, operation: Operation) -> None:
        """Add an operation."""
        if isinstance(operation, (Store, Load)):  # most are
            if self.maintained or self.waits:
                self.end_run()
            self.stores += isinstance(operation, Store)
            self._touch(_STORED if isinstance(operation, Store) else _LOADED, operation.unit)
            return
        access, price = operation.access, operation.price
        maintains, waits = access in ("clean", "invalidate"), price is not None and price.part == "flush"
        if not (maintains or waits):
            self.end_run()
        if access is not None:
            where = getattr(operation, operation.__match_args__[0])
            if maintains:
                self._maintain(_KINDS[access], where, 1)
                self.maintained = True
            else:
                self._touch(_KINDS[access], where)
        if price is not None:
            (self.waits if waits else self.priced)[price] += 1
        match operation:
            case Invalidate(_, Scope.BROADCAST):
                self.broadcast = True
            case Flush(where):
                self._flush(where)
            case Acquire(name, shared):
                stops = name in self.executors and not (shared and self.executors[name])
                self.counts.update(locks=1, stops=stops, contended=not stops and not shared)

    def end_run(self) -> None:
        """End a sequence of a strategy's own maintenance: it costs as much as a flush besides the lines."""
        if self.maintained:
            self.counts.update(calls=1, remotes=self.broadcast)
            self.maintained = self.broadcast = False
            self.waits.clear()
        elif self.waits:
            self.priced += self.waits
            self.waits.clear()

    def plan(self) -> Plan:
        """All that was added."""
        self._end_touched()
        tally = Tally(self.stores, **self.counts, priced=(*self.priced.items(),))
        return Plan(tuple(self.steps), tally)

    def _touch(self, kind: EventKind, unit: Unit) -> None:
        """Add a store or a load, merged with a predecessor of the same kind that it adjoins or overlaps."""
        start, in_scratch = unit.offset, unit.in_scratch
        end = start + unit.size
        if self.touched is not None:
            before, first, last, scratch = self.touched
            if before is kind and scratch is in_scratch and first <= start <= last:
                if end > last:
                    self.touched = kind, first, end, scratch
                return
            self._end_touched()
        self.touched = kind, start, end, in_scratch

    def _end_touched(self) -> None:
        if self.touched is not None:
            kind, start, end, in_scratch = self.touched
            self.steps.append(LineStep(kind, Extent(start, end, in_scratch)))
            self.touched = None

    def _maintain(self, kind: EventKind, where: Unit | Region | Buffer, halves: int, granule: int = 1) -> None:
        extent = self.locate(where)
        if extent is not None:
            self._end_touched()
            self.steps.append(LineStep(kind, extent, halves, granule))

    def _flush(self, where: Region | Buffer) -> None:
        """Add the host's flush (``bench.hosts.profile.FlushRecipe``); all it does to a line costs ``line``."""
        recipe = self.recipe
        by_line = recipe.invalidate != "none" and not recipe.whole_icache
        halves = 1 if recipe.clean and by_line else 2
        if recipe.clean:
            self._maintain(EventKind.CLEAN, where, halves, recipe.granule)
        if recipe.invalidate != "none" and recipe.whole_icache:
            self._end_touched()
            self.steps.append(LineStep(EventKind.INVALIDATE_ALL, WHOLE))
        elif by_line:
            self._maintain(EventKind.INVALIDATE, where, halves, recipe.granule)
        self.counts.update(calls=1, remotes=1)


@lru_cache(maxsize=4096)
def _units(region: Region) -> frozenset[tuple[int, int]]:
    """The block and offset of each unit that is written; every strategy asks."""
    return frozenset((write.unit.tb, write.unit.offset) for write in region.writes)


def patch(size: int, recipe: FlushRecipe) -> Plan:
    """The plan of a store to ``size`` bytes of code, which are then flushed by ``recipe``."""
    unit = Unit(0, 0, size, final=0)
    region = Region(0, size, (Write(unit, Phase.EXIT, known=unit.mask, value=0),))
    lowering = _Lowering(recipe, {}, in_block)
    for operation in (Store(unit, unit.mask, 0), Flush(region)):
        lowering.lower(operation)
    return lowering.plan()


def plan(
    strategy: Strategy,
    calls: Iterable[HookCall],
    recipe: FlushRecipe,
    *,
    executors: Mapping[str, bool] | None = None,
    locate: Locate = in_block,
) -> Plan:
    """The plan of the hooks ``calls`` in this order, on a host that flushes by ``recipe``.

    ``executors``: the locks that executing threads hold (``executor_locks``).
    Raises ``StrategyError`` for a hook that ``ask`` rejects, for endless recursion of hooks, for a unit that
    there is not, and for unbalanced locks.
    """
    lowering = _Lowering(recipe, executors or {}, locate)
    memory: _Memory = {}
    held: Locks = ()
    known: frozenset[tuple[int, int]] | None = None

    def do(asked: str, operation: Operation) -> None:
        nonlocal held
        if known is not None and isinstance(operation, (Store, Load)):
            if (operation.unit.tb, operation.unit.offset) not in known:
                refuse_unknown(operation, known, place_of(strategy, asked))
        elif isinstance(operation, (Acquire, Release)):
            held = locks_after(held, operation, place_of(strategy, asked))
        lowering.lower(operation)

    for hook, argument in calls:
        known = _units(argument) if isinstance(argument, Region) else None
        _run(strategy, hook, argument, memory, do)
        lowering.end_run()
    refuse_held(held)
    return lowering.plan()
