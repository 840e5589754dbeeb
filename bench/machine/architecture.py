"""The rules of an architecture for stores, cache maintenance and instruction fetches.

A host is modelled in ``bench/machine/caches.py`` by caches that one can point at; here is what the published tests of
instruction fetching on AArch64 force any implementation to, and nothing else (Simner et al., ESOP 2020, "ARMv8-A
System Semantics: Instruction Fetch in Relaxed Architectures").  Pure functions over frozen values.

Rule 1. **Stores** wait in the buffer of their core and become visible to all others at once.  Those to one cell do so
    in order, those to different ones in any order but for barriers.  A load of the same core sees them before.  Loads
    are not reordered.
Rule 2. **A fetch** returns any store to its cell at or above the instruction floor of its core: no limit to how old,
    in any order.  Where instruction caches are coherent (DIC) it returns the newest.
Rule 3. **A clean** (DC) raises the memory floor of its cell to the newest store; it does so after the older stores of
    its core to that cell.  Where it is not needed (IDC) the memory floor is always the newest store.
Rule 4. **An invalidation** (IC) raises the instruction floor of each core that it reaches to the memory floor, one
    core after the other.
Rule 5. Both are **pending** and may happen at any moment.  A full ``DSB`` of the same core waits for them and for its
    stores; one that reaches no further than this core does not wait for what an invalidation does to others.
Rule 6. **A DMB** lets stores and cleans that come before it become visible before stores, cleans and loads that come
    after it.  It orders neither invalidations nor fetches.
Rule 7. **The fetched-ahead queue** of a core is in order, and survives invalidations and stores; a context
    synchronisation (``ISB``, an exception, its return) empties it.
Rule 8. **An instruction that changes while it may be executed**, since its core has not been synchronised with the
    store, is one of the stores that rule 2 lets a fetch return where the architecture defines that
    (``bench/machine/opcodes.py``), and *anything* where it does not.  Only protocols ask: a strategy is right where
    no value but the final one can be fetched.
Rule 9. **A translation** of a page may be any state of its entry at or above the instruction floor of the core, but for
    one that is not present, which none keeps (Arm ARM D8.16; Intel SDM volume 3, 4.10.2.3) but RISC-V (privileged
    specification, SFENCE.VMA; Svvptc forbids it).  Coherent instruction caches do not matter, nor does a context
    synchronisation; a TLB invalidation raises the floor to the newest.  What was fetched ahead was translated then.

Arm's instruction caches may be virtually indexed (VIPT): an invalidation reaches the address that it names, and no
other of the same memory.  x86 compares stores with what was fetched ahead by their linear address (Intel SDM volume 3,
11.6).  POWER has the rules of Arm (``dcbst``, ``icbi``, ``sync``, ``isync``) for blocks of storage, whatever their
addresses.  Elsewhere nothing needs to be cleaned:

RISC-V      what a hart has stored or seen is what its ``fence.i`` makes its fetches see.
s390        stores become visible in order, and a core fetches what it has stored itself; another's store may be
            missed until the core serialises, in any order (PoP: copies fetched before).
x86         stores become visible in order, a fetch of what the core stored itself returns the newest (a
            serialising instruction waits for the stores before it, as on s390), and what was
            fetched ahead keeps values that another core has stored to since, up to a serialising instruction.  AMD
            says that fetches are in order; Intel says nothing of them, which rule 8 makes of it.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from bench.machine.cells import ABSENT
from bench.machine.memory import Put, V
from bench.machine.opcodes import Concurrent
from bench.machine.state import replaced
from bench.support.errors import InputError

U = TypeVar("U", bound=Hashable)
"""The name of a unit."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an implementation may assume, and mutants of the rules, which a test suite has to tell from them.

    ``idc``, ``dic``: data cleaning, instruction invalidation is not needed (CTR_EL0).  ``in_order``: stores of a core
    become visible in program order.  ``sees_own``: a core's fetches see its own stores, but for those
    to another address of the same memory.  ``refreshes``: a context synchronisation raises the core's floors to the
    newest stores.  ``aliases``: another address of the same memory may be stale by itself.
    ``atomic``: an ordinary load or store of data is single-copy atomic inside so many aligned bytes (Arm: 8, Arm ARM
    B2.2.1, which has 16 with FEAT_LSE2 alone; POWER, s390: a quadword; x86: 8, all that every processor has, AMD APM
    volume 2, 7.3.2, and Intel SDM volume 3, 9.1.1; RISC-V: XLEN).  ``unaligned``: so is one that is not aligned to its
    size (x86).
    ``concurrent``: rule 8, None without it.  ``keeps_absent``: a translation may be of a page that is not present.

    Mutants: ``cleans``: a clean does anything; ``invalidates``: an invalidation does; ``drops``: a context
    synchronisation empties the queue; ``keeps``: an invalidation leaves it alone; ``stale``: a fetch may return an old
    store; ``ahead``: there is a queue.
    """

    idc: bool = False
    dic: bool = False
    in_order: bool = False
    sees_own: bool = False
    aliases: bool = True
    atomic: int = 16
    unaligned: bool = False
    refreshes: bool = False
    concurrent: Concurrent | None = Concurrent.LISTED
    keeps_absent: bool = False
    cleans: bool = True
    invalidates: bool = True
    drops: bool = True
    keeps: bool = True
    stale: bool = True
    ahead: bool = True


class Order(enum.Enum):
    """What a barrier in a buffer orders: before it everything, and what comes after it."""

    FULL = "stores, cleans and loads"
    STORES = "stores alone"
    RELEASE = "the store right behind it, and loads with acquire semantics"


class AtomicPuts(NamedTuple, Generic[V]):
    """Stores that become visible at once."""

    puts: tuple[Put[V], ...]


class CleanCell(NamedTuple):
    """A clean of a cell."""

    cell: int


class InvalidateCell(NamedTuple):
    """An invalidation of a cell that has not reached the ``cores`` yet."""

    cell: int
    cores: frozenset[int]


Entry = Put[V] | AtomicPuts[V] | CleanCell | InvalidateCell | Order

DATA = -1
"""The memory floor of a cell that nobody fetches: of its stores only the newest matters."""

PAGE = -2
"""That of an entry of the page table: there is no other than the newest store, and only rule 9 is about it."""

Ahead = tuple[U, tuple[V, ...]]
"""A unit that was fetched ahead: what it is, and the values of its cells that were fetched."""


class Histories(NamedTuple, Generic[U, V]):
    """All that the rules are about.

    ``history[cell]``: the stores that can still be fetched, the newest last; ``clean[cell]``: which of them is the
    memory floor, or ``DATA`` for a cell that nobody fetches; ``floors[core][cell]``: which is the instruction floor;
    ``ahead[core]``: the queue, the next first; ``buffers[core]``: what is pending, the oldest first.
    """

    history: tuple[tuple[V, ...], ...]
    clean: tuple[int, ...]
    floors: tuple[tuple[int, ...], ...]
    ahead: tuple[tuple[Ahead[U, V], ...], ...]
    buffers: tuple[tuple[Entry[V], ...], ...]


_ARMV8 = Rules(atomic=8)

ARMV8 = {"armv8": _ARMV8, "armv8-idc": replace(_ARMV8, idc=True), "armv8-dic": replace(_ARMV8, idc=True, dic=True)}
"""AArch64, with what CTR_EL0 may say: nothing; IDC; IDC and DIC."""

_X86 = Rules(idc=True, dic=True, in_order=True, sees_own=True, atomic=8, unaligned=True)
_RISCV = Rules(idc=True, aliases=False, atomic=8, concurrent=Concurrent.NEVER, keeps_absent=True)

RULES = {
    **ARMV8,
    "power": Rules(aliases=False),
    "riscv": _RISCV,
    "riscv-ziccif": replace(_RISCV, concurrent=Concurrent.ALIGNED),
    "s390": Rules(idc=True, in_order=True, sees_own=True, refreshes=True, concurrent=Concurrent.BYTE),
    "x86-amd": replace(_X86, concurrent=Concurrent.QUADWORD),
    "x86-intel": replace(_X86, concurrent=Concurrent.NEVER),
}
"""The architectures that can be asked instead of a host, by name."""


def is_aligned(address: int, size: int) -> bool:
    """Whether an access of so many bytes is aligned to its size, or to the power of two above it."""
    return address % (1 << (size - 1).bit_length()) == 0


def armv8(name: str) -> Rules:
    """The rules of that name.  Raises ``InputError`` for another."""
    if name not in ARMV8:
        raise InputError(f"{name!r}", place="`host`", expected=f"one of {', '.join(ARMV8)}")
    return ARMV8[name]


def at_start(values: tuple[V, ...], cores: int, code: Container[int], pages: Container[int] = ()) -> Histories[U, V]:
    """Every cell has its value everywhere; those in ``code`` may be fetched, those in ``pages`` are translations."""
    zeros = (0,) * len(values)
    clean = tuple(PAGE if cell in pages else 0 if cell in code else DATA for cell in range(len(values)))
    return Histories(tuple((value,) for value in values), clean, (zeros,) * cores, ((),) * cores, ((),) * cores)


def with_older(memory: Histories[U, V], cores: Container[int], values: tuple[V, ...]) -> Histories[U, V]:
    """The memory at the start where some cores, and no others, can also fetch an older value of each cell."""
    floors = tuple((int(core not in cores),) * len(values) for core in range(len(memory.floors)))
    history = tuple((value, *now) for value, now in zip(values, memory.history, strict=True))
    return memory._replace(history=history, clean=(1,) * len(values), floors=floors)


# --- What a core does ----------------------------------------------------------------------------------------------


def issue(memory: Histories[U, V], core: int, *entries: Entry[V]) -> Histories[U, V]:
    """Stores, maintenance and barriers begin to wait."""
    return _with_buffer(memory, core, (*memory.buffers[core], *entries))


def load(memory: Histories[U, V], core: int, cell: int, *, acquire: bool = False) -> V | None:
    """The value that a load returns; None while a barrier keeps it waiting."""
    buffer = memory.buffers[core]
    if Order.FULL in buffer or (acquire and Order.RELEASE in buffer):
        return None
    value = memory.history[cell][-1]
    for entry in buffer:
        for put in puts_of(entry):
            if put.cell == cell:
                value = put.onto(value)
    return value


def puts_of(entry: Entry[V]) -> tuple[Put[V], ...]:
    """The stores in an entry of a buffer."""
    return (entry,) if isinstance(entry, Put) else entry.puts if isinstance(entry, AtomicPuts) else ()


def newest(memory: Histories[U, V], cell: int) -> V:
    """The newest store that all can see."""
    return memory.history[cell][-1]


def waits(memory: Histories[U, V], core: int, *, stores_only: bool = False, own_core_only: bool = False) -> bool:
    """Whether a DSB has something to wait for."""
    for entry in memory.buffers[core]:
        if isinstance(entry, InvalidateCell):
            if not stores_only and (not own_core_only or core in entry.cores):
                return True
        elif not stores_only or not isinstance(entry, CleanCell):
            return True
    return False


def synchronise(memory: Histories[U, V], rules: Rules, core: int) -> Histories[U, V]:
    """A context synchronisation of a core."""
    if rules.refreshes:
        memory = refreshed(memory, core)
    return with_queue(memory, core, ()) if rules.drops and memory.ahead[core] else memory


def refreshed(memory: Histories[U, V], core: int) -> Histories[U, V]:
    """All floors of a core at the newest stores: it is synchronised with all that are visible."""
    for cell in range(len(memory.history)):
        if memory.clean[cell] != PAGE:
            memory = seen_by_itself(memory, core, cell)
    return memory


def racing(memory: Histories[U, V], core: int, cell: int) -> tuple[V, ...]:
    """The values of a cell that the core is not synchronised with, after the one that it is; none if there are none."""
    if memory.clean[cell] == PAGE:
        return ()
    history = memory.history[cell][memory.floors[core][cell] :]
    return history if len(history) > 1 else ()


def fetchable(memory: Histories[U, V], rules: Rules, core: int, cell: int) -> tuple[V, ...]:
    """The values that a fetch may return, without repetition, the newest first."""
    history = memory.history[cell]
    if memory.clean[cell] == PAGE:
        older = history[memory.floors[core][cell] : -1] if rules.stale else ()
        kept = (state for state in reversed(older) if state != ABSENT or rules.keeps_absent)
        return tuple(dict.fromkeys((history[-1], *kept)))
    if rules.dic or not rules.stale:
        return history[-1:]
    return tuple(dict.fromkeys(reversed(history[memory.floors[core][cell] :])))


def together(memory: Histories[U, V], rules: Rules, core: int, cells: tuple[int, ...]) -> Iterator[tuple[V, ...]]:
    """The values that a fetch of several cells may return."""
    return itertools.product(*(fetchable(memory, rules, core, cell) for cell in cells))


def fetch(
    memory: Histories[U, V], rules: Rules, core: int, unit: U, cells: tuple[int, ...]
) -> Iterator[tuple[Histories[U, V], tuple[V, ...]]]:
    """Each memory after the fetch of a unit, and the values of its cells: from the queue if it is next there."""
    queue = memory.ahead[core]
    if queue and queue[0][0] == unit:
        yield with_queue(memory, core, queue[1:]), queue[0][1]
        return
    after = with_queue(memory, core, ()) if queue else memory
    for values in together(memory, rules, core, cells):
        yield after, values


def fetch_ahead(
    memory: Histories[U, V], rules: Rules, core: int, unit: U, cells: tuple[int, ...]
) -> Iterator[Histories[U, V]]:
    """Each memory after one more unit was fetched ahead."""
    if rules.ahead:
        for values in together(memory, rules, core, cells):
            yield with_queue(memory, core, (*memory.ahead[core], (unit, values)))


# --- What completes by itself ----------------------------------------------------------------------------------------


def completions(memory: Histories[U, V], rules: Rules) -> Iterator[tuple[int, Entry[V], Histories[U, V]]]:
    """Everything pending that may complete now: the core whose it is, what it is, and the memory after it.

    Of an invalidation, what it does to one of the cores.
    """
    for core, buffer in enumerate(memory.buffers):
        for at, entry in enumerate(buffer):
            before = buffer[:at]
            if isinstance(entry, InvalidateCell):
                for target in sorted(entry.cores):
                    left = entry.cores - {target}
                    after = (*before, *((entry._replace(cores=left),) if left else ()), *buffer[at + 1 :])
                    yield (
                        core,
                        InvalidateCell(entry.cell, frozenset({target})),
                        invalidated(_with_buffer(memory, core, after), rules, entry.cell, target),
                    )
            elif not isinstance(entry, Order) and _may_pass(entry, before, rules):
                there = _with_buffer(memory, core, (*before, *buffer[at + 1 :]))
                if isinstance(entry, CleanCell):
                    there = _cleaned(there, rules, entry.cell)
                for put in puts_of(entry):
                    there = _stored(there, put)
                yield core, entry, there


def _may_pass(entry: Put[V] | AtomicPuts[V] | CleanCell, before: tuple[Entry[V], ...], rules: Rules) -> bool:
    cells = {entry.cell} if isinstance(entry, CleanCell) else {put.cell for put in puts_of(entry)}
    for at, other in enumerate(before, 1):
        if other is Order.RELEASE and at < len(before):
            continue
        if isinstance(other, Order):
            if other is not Order.STORES or not isinstance(entry, CleanCell):
                return False
        elif any((rules.in_order and puts_of(entry)) or put.cell in cells for put in puts_of(other)):
            return False
    return True


def _settled(buffer: tuple[Entry[V], ...]) -> tuple[Entry[V], ...]:
    """Without the barriers that have nothing before them to order any more."""
    kept: list[Entry[V]] = []
    for entry in buffer:
        if isinstance(entry, Order):
            earlier = (Put, AtomicPuts, Order) if entry is Order.STORES else (Put, AtomicPuts, CleanCell, Order)
            if not any(isinstance(other, earlier) for other in kept):
                continue
        kept.append(entry)
    return tuple(kept)


def _stored(memory: Histories[U, V], put: Put[V]) -> Histories[U, V]:
    history = memory.history[put.cell]
    value = put.onto(history[-1])
    if memory.clean[put.cell] == DATA:
        return memory._replace(history=replaced(memory.history, put.cell, (value,)))
    if history[-1] == value:
        return memory  # two equal ones in a row are one: what is at or above a floor is the same
    return memory._replace(history=replaced(memory.history, put.cell, (*history, value)))


def _cleaned(memory: Histories[U, V], rules: Rules, cell: int) -> Histories[U, V]:
    if not rules.cleans or memory.clean[cell] < 0:
        return memory
    return memory._replace(clean=replaced(memory.clean, cell, len(memory.history[cell]) - 1))


def invalidated(memory: Histories[U, V], rules: Rules, cell: int, core: int) -> Histories[U, V]:
    """What an invalidation of a cell does to a core."""
    if not rules.keeps:
        memory = with_queue(memory, core, ())
    if not rules.invalidates or memory.clean[cell] == DATA:
        return memory
    if rules.idc or memory.clean[cell] == PAGE:
        return seen_by_itself(memory, core, cell)
    return _raised(memory, core, cell, memory.clean[cell])


def seen_by_itself(memory: Histories[U, V], core: int, cell: int) -> Histories[U, V]:
    """A core's fetches see the newest store to a cell."""
    return _raised(memory, core, cell, len(memory.history[cell]) - 1)


def _raised(memory: Histories[U, V], core: int, cell: int, floor: int) -> Histories[U, V]:
    """The instruction floor of a cell for a core is no lower than ``floor``."""
    if floor <= memory.floors[core][cell]:
        return memory
    memory = memory._replace(floors=replaced(memory.floors, core, replaced(memory.floors[core], cell, floor)))
    return _forgotten(memory, cell)


def _forgotten(memory: Histories[U, V], cell: int) -> Histories[U, V]:
    """Without the stores of a cell that nobody can fetch any more."""
    least = min(floors[cell] for floors in memory.floors)
    if not least:
        return memory
    return memory._replace(
        history=replaced(memory.history, cell, memory.history[cell][least:]),
        clean=replaced(memory.clean, cell, min(memory.clean[cell], max(0, memory.clean[cell] - least))),
        floors=tuple(replaced(floors, cell, floors[cell] - least) for floors in memory.floors),
    )


def _with_buffer(memory: Histories[U, V], core: int, buffer: tuple[Entry[V], ...]) -> Histories[U, V]:
    return memory._replace(buffers=replaced(memory.buffers, core, _settled(buffer)))


def with_queue(memory: Histories[U, V], core: int, queue: tuple[Ahead[U, V], ...]) -> Histories[U, V]:
    """The memory with that queue."""
    return memory._replace(ahead=replaced(memory.ahead, core, queue))
