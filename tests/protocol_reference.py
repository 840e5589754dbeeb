"""A second reading of the rules for protocols: brute force, to compare the checker with.

It shares with the checker only what both are given, a parsed ``Protocol``.  The memory of a host is bytes: a value of
which no encoding is known has bytes of its own, and what is fetched is a value if its bytes are those of one.  On an
architecture a unit has all the values that were ever visible, by number, and nothing is forgotten; one that lies in two
blocks inside which alone an access is atomic consists of two pieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from brute_force import Move, World
from cache_bytes import CacheBytes, Stored, pend

from bench.protocols.operations import ProtocolOperation
from bench.protocols.protocol import Protocol

LISTED = {
    "aarch64": {"b", "bl", "b.cond", "cbz", "cbnz", "tbz", "tbnz", "nop", "isb", "brk", "svc", "hvc", "smc"},
    "ppc": {"b", "nop"},
}
RELAXED = ("armv8", "armv8-idc", "armv8-dic", "power", "riscv", "riscv-ziccif")
OWN_STORES_SEEN = ("x86-intel", "x86-amd", "s390")
NO_CLEANS = ("armv8-idc", "armv8-dic", "riscv", "riscv-ziccif", *OWN_STORES_SEEN)
NEWEST_FETCHED = ("armv8-dic", "x86-intel", "x86-amd")
SERIALISED = (*NEWEST_FETCHED, "s390")
STORES = ("put", "release")
ALONE = (0xCC, 0xC3, 0x90, 0xF4)
PAGES = {"map": 0, "protect": 1, "unmap": 2}
KEEPS_ABSENT = ("riscv", "riscv-ziccif")
UNALIGNED = ("x86-intel", "x86-amd")
EIGHT_BYTES = ("riscv", "riscv-ziccif", "x86-intel", "x86-amd", "armv8", "armv8-idc", "armv8-dic")


class Place(NamedTuple):
    """Where a thread is: its next operation, which parts of it are done with what result, and what it has observed."""

    at: int = 0
    done: frozenset[tuple[int, Any]] = frozenset()
    observed: tuple[str, ...] = ()


class Piece(NamedTuple):
    """What of a unit is accessed at once on an architecture: ``size`` bytes from byte ``first`` of the unit on."""

    unit: str
    first: int
    size: int


def _entry(page: int) -> Piece:
    """The entry of a page table, as a piece of no unit."""
    return Piece(f"page {page}", 0, 1)


@dataclass
class Reference:
    """The rules for one protocol; ``architecture``: its name, or empty for the caches of the protocol's host."""

    protocol: Protocol
    architecture: str = ""
    code: dict[str, bytes] = field(init=False)

    def __post_init__(self) -> None:
        protocol = self.protocol
        self.code = {}
        for number, value in enumerate(protocol.values):
            known = protocol.instructions.get(value)
            self.code[value] = known.code if known is not None and known.code else bytes([0xA0 + number]) * 4
        self.units = [*protocol.addresses]
        physical = sorted({address.physical for address in protocol.addresses.values()})
        self.size: dict[str, int] = {}
        for unit in self.units:
            here = protocol.addresses[unit].physical
            stored = [
                value
                for thread in protocol.threads
                for one in thread.operations
                if one.verb.startswith("store")
                for name, value in zip(one.names, one.values, strict=True)
                if protocol.addresses[name].physical == here
            ]
            longest = max(len(self.code[value]) for value in (protocol.initial[unit], *stored))
            self.size[unit] = min([longest, *(other - here for other in physical if other > here)])
        self.virtual = protocol.host.icache == "vipt"
        self.page = {unit: address.virtual // 4096 for unit, address in protocol.addresses.items()}
        self.pages = {
            self.page[one.names[0]]: 0
            for thread in protocol.threads
            for one in thread.operations
            if one.verb in (*PAGES, "tlbi")
        }
        self.pages |= {self.page[unit]: state for unit, state in protocol.pages.items()}
        self.cores = range(protocol.host.cores)
        self.paths = [[one.names for one in thread.operations if one.verb == "execute"] for thread in protocol.threads]
        self.memory = Allowed(self) if self.architecture else Caches(self)

    def executed(self, value: str, held: bytes) -> str:
        """What is executed where those bytes are: what lies behind an instruction of one byte is not."""
        known = self.protocol.instructions.values()
        if value != "torn" or held[0] not in ALONE or not any(one.isa == "x86" for one in known):
            return value
        return next((one for one, code in self.code.items() if code[0] == held[0]), value)

    def is_alone(self, value: str) -> bool:
        """Whether a value is an x86 instruction of one byte."""
        known = self.protocol.instructions.get(value)
        return known is not None and known.isa == "x86" and known.code[:1] in [bytes([byte]) for byte in ALONE]

    # --- addresses ---

    def bytes_of(self, unit: str) -> list[int]:
        """The physical addresses of a unit's bytes."""
        here = self.protocol.addresses[unit].physical
        return list(range(here, here + self.size[unit]))

    def fetched_at(self, unit: str) -> list[int]:
        """The addresses by which the instruction cache knows them."""
        where = self.protocol.addresses[unit]
        here = where.virtual if self.virtual else where.physical
        return list(range(here, here + self.size[unit]))

    # --- threads ---

    def start(self) -> World:
        world: World = {("at", number): Place() for number in range(len(self.protocol.threads))}
        for number, thread in reversed(list(enumerate(self.protocol.threads))):
            world["on", thread.core] = number
        for flag, value in self.protocol.flags.items():
            world["flag", flag] = value
        self.memory.begin(world)
        return world

    def is_done(self, world: World, thread: int) -> bool:
        return bool(world["at", thread].at == len(self.protocol.threads[thread].operations))

    def position(self, thread: int, at: int) -> int:
        """How many executions come before an operation."""
        return sum(one.verb == "execute" for one in self.protocol.threads[thread].operations[:at])

    def thread_steps(self, world: World) -> Iterator[Move]:
        for core in self.cores:
            thread = world.get(("on", core))
            if thread is None or self.is_done(world, thread) or world.get(("stopper",), thread) != thread:
                continue
            operation = self.protocol.threads[thread].operations[world["at", thread].at]
            for move in self._step(world, core, thread, operation):
                yield move._replace(what=f"{self.protocol.threads[thread].name}: {move.what}", by_thread=True)

    def _step(self, world: World, core: int, thread: int, operation: ProtocolOperation) -> Iterator[Move]:
        place: Place = world["at", thread]
        if operation.verb == "execute":
            number = self.position(thread, place.at)
            for after, values in self.memory.fetch(world, core, thread, number):
                now = self._observed(after, thread, operation, values)
                if "fault" in values:
                    self.memory.synchronise(after, core)
                if self.position(thread, now.at) != number + 1:
                    after.pop(("ahead", core), None)
                yield Move(after, f"{operation.text}: {values}", wrong=self._is_wrong(thread, now))
            return
        parts = self.memory.parts(operation)
        for number, part in enumerate(parts):
            if number in dict(place.done):
                continue
            after = dict(world)
            held = self.memory.load(after, core, part) if operation.verb == "load" else None
            done = place.done | {(number, held)}
            wrong = False
            if len(done) < len(parts):
                after["at", thread] = place._replace(done=done)
            elif operation.verb == "load":
                value = self.memory.joined(operation.names[0], [dict(done)[at] for at in range(len(parts))])
                wrong = self._is_wrong(thread, self._observed(after, thread, operation, (value,)))
            else:
                after["at", thread] = Place(place.at + 1, frozenset(), place.observed)
            if operation.verb == "load" or self._does(after, core, thread, operation, part):
                yield Move(after, f"{operation.text} {part}", wrong=wrong)

    def _observed(self, world: World, thread: int, operation: ProtocolOperation, values: tuple[str, ...]) -> Place:
        """Where a thread comes to that has observed those values, which ``world`` is told."""
        place: Place = world["at", thread]
        if len(values) > 1 and self.is_alone(values[0]):  # what lies behind it, in whatever parts, is not executed
            units = zip(operation.names, values, strict=True)
            values = tuple(self.protocol.initial[unit] if value == "torn" else value for unit, value in units)
        skip = dict(operation.skips).get("+".join(values), 0)
        now = Place(place.at + 1 + skip, frozenset(), (*place.observed, *values))
        world["at", thread] = now
        return now

    def _is_wrong(self, thread: int, place: Place) -> bool:
        told = self.protocol.threads[thread]
        if {"anything", "torn"} & {*place.observed}:
            return True
        if told.allowed is None:
            return False
        ended = not any(one.verb in ("execute", "load") for one in told.operations[place.at :])
        return not any(
            len(place.observed) <= len(some)
            and (not ended or len(some) == len(place.observed))
            and all(one in (value, "*") for value, one in zip(place.observed, some, strict=False))
            for some in told.allowed
        )

    def _does(self, world: World, core: int, thread: int, operation: ProtocolOperation, part: Any) -> bool:
        """Do what observes nothing; False if it must wait."""
        waiting, pending = self.memory.stores_wait(world, core), self.memory.maintains(world, core)
        others = [other for other in self.cores if other != core]
        name = operation.names[0] if operation.names else ""
        match operation.verb:
            case "store" | "store-release" | "map" | "protect" | "unmap":
                if not self.memory.store(world, core, part):
                    return False
                if operation.verb == "store-release":
                    self.memory.release(world, core)
            case "tlbi" if operation.word:
                self.memory.synchronise(world, core)
                self.memory.translate(world, core, [self.page[name]])
                return not waiting
            case "tlbi":
                self.memory.drop_translations(world, core, self.page[name])
            case "clean":
                self.memory.clean(world, core, part)
            case "invalidate" | "invalidate-all":
                reached = [core] if operation.word == "local" else list(self.cores)
                self.memory.invalidate(world, core, reached, name)
            case "dsb":
                return not waiting and not pending
            case "fence":
                return not waiting
            case "isb":
                if self.memory.serialises and waiting:
                    return False
                self.memory.synchronise(world, core)
            case "fence.i":
                self.memory.refetch(world, core)
                return not waiting
            case "membarrier":
                for other in self.cores:
                    self.memory.synchronise(world, other)
                return not waiting and not any(("masked", other) in world for other in others)
            case "ipi":
                for other in others:
                    (self.memory.refetch if operation.word == "fence.i" else self.memory.synchronise)(world, other)
                    self.memory.translate(world, other, [*self.pages] if operation.word == "tlbi" else [])
                ordered = self.memory.interrupts_wait and waiting
                return not ordered and not any(("masked", other) in world for other in others)
            case "set":
                world["flag", name] = operation.number
                return not waiting
            case "wait":
                return bool(world["flag", name] == operation.number)
            case "lock" | "unlock":
                return not waiting and self._lock(world, thread, operation)
            case "irq-off":
                world["masked", core] = True
            case "irq-on":
                world.pop(("masked", core), None)
            case "poll-stop":
                return world.get(("stopper",), thread) == thread
            case "stop-others" | "stop-anywhere":
                if ("stopper",) in world or waiting:
                    return False
                world["stopper",] = thread
                if operation.verb == "stop-anywhere":
                    return not any(("masked", other) in world for other in others)
                return all(self._polls(world, other) for other in range(len(self.protocol.threads)) if other != thread)
            case "resume-others":
                if world.get(("stopper",)) != thread or waiting:
                    return False
                del world["stopper",]
                for other in others if not operation.word else ():
                    self.memory.synchronise(world, other)
        return True

    def _polls(self, world: World, thread: int) -> bool:
        if self.is_done(world, thread):
            return True
        verb = self.protocol.threads[thread].operations[world["at", thread].at].verb
        return verb in ("poll-stop", "wait", "stop-others")

    def _lock(self, world: World, thread: int, operation: ProtocolOperation) -> bool:
        key = ("lock", operation.names[0])
        holders: frozenset[tuple[int, bool]] = world.pop(key, frozenset())
        if operation.verb == "lock":
            shared = operation.word == "shared"
            if holders and not (shared and all(also for _, also in holders)):
                return False
            holders |= {(thread, shared)}
        else:
            holders = frozenset(held for held in holders if held[0] != thread)
        if holders:
            world[key] = holders
        return True

    # --- the environment ---

    def environment_steps(self, world: World) -> Iterator[Move]:
        yield from self.memory.environment(world)
        for core in self.cores:
            current = world.get(("on", core))
            if current is None or self.memory.stores_wait(world, core) or self.memory.maintains(world, core):
                continue
            for thread, told in enumerate(self.protocol.threads):
                if told.core == core and thread != current and not self.is_done(world, thread):
                    after = dict(world)
                    self.memory.switch(after, core)
                    after["on", core] = thread
                    yield Move(after, f"core {core} switches to {told.name}")

    def following(self, world: World, core: int) -> tuple[int, tuple[str, ...]] | None:
        """The position and the units that a core would fetch ahead next."""
        thread = world.get(("on", core))
        if thread is None or self.is_done(world, thread):
            return None
        at = self.position(thread, world["at", thread].at) + len(world.get(("ahead", core), ()))
        return (at, self.paths[thread][at]) if at < len(self.paths[thread]) else None

    # --- the search ---

    def is_finished(self, world: World) -> bool:
        return all(self.is_done(world, thread) for thread in range(len(self.protocol.threads)))

    def is_lasting(self, world: World) -> bool:
        """Nobody asks this of a protocol."""
        return False


class Caches(CacheBytes):
    """The memory of a host; every line is live."""

    serialises = False

    def __init__(self, of: Reference) -> None:
        self.of = of
        self.host = of.protocol.host
        self.rules = of.protocol.host.rules
        self.cores = of.cores
        self.evicts, self.prefetches = self.host.evicts, self.host.prefetches
        self.entry = {page: (256 + page) * 4096 for page in of.pages}
        addresses = sorted({address for unit in of.units for address in of.bytes_of(unit)})
        self.index = {address: place for place, address in enumerate((*addresses, *self.entry.values()))}
        self.dbytes = {}
        for address, place in self.index.items():
            self.dbytes.setdefault(self._dline(address), []).append(place)
        # By core: the pages of what some thread fetches there.
        self.translated: dict[int, set[int]] = {core: set() for core in of.cores}
        for thread, told in enumerate(of.protocol.threads):
            units = itertools.chain.from_iterable(of.paths[thread])
            self.translated[told.core] |= {of.page[unit] for unit in units} & {*of.pages}
        self.shortest = min(self.host.data_line, *self.host.instruction_lines)
        self.interrupts_wait = self.rules.interrupts == "wait"
        # Of each line the bytes that some thread fetches there.
        self.ibytes = {core: {} for core in of.cores}
        for thread, told in enumerate(of.protocol.threads):
            for unit in itertools.chain.from_iterable(of.paths[thread]):
                for line, place in self._places(told.core, unit):
                    held = self.ibytes[told.core].setdefault(line, [])
                    if place not in held:
                        held.append(place)
        self.live_dlines = self.dbytes
        self.live_ilines = {line for lines in self.ibytes.values() for line in lines}

    def _places(self, core: int, unit: str) -> list[tuple[int, int]]:
        """The instruction line and the number of each byte of a unit, as a core fetches it."""
        size = self.host.instruction_lines[core % len(self.host.instruction_lines)]
        pairs = zip(self.of.fetched_at(unit), self.of.bytes_of(unit), strict=True)
        return [(virtual // size, self.index[physical]) for virtual, physical in pairs]

    def begin(self, world: World) -> None:
        held = bytearray(len(self.index))
        for unit in self.of.units:
            code = self.of.code[self.of.protocol.initial[unit]]
            for address, byte in zip(self.of.bytes_of(unit), code, strict=False):
                held[self.index[address]] = byte
        for page, state in self.of.pages.items():
            held[self.index[self.entry[page]]] = state
        world["newest",] = world["pou",] = bytes(held)
        for core, lines in self.ibytes.items():
            for line in lines if self.of.protocol.warm else ():
                self.fill(world, core, line)
            for page in self.translated[core] if self.of.protocol.warm else ():
                self._translation(world, core, page)

    def _dline(self, address: int) -> int:
        return address // self.host.data_line

    def parts(self, operation: ProtocolOperation) -> list[Any]:
        """The steps that an operation is, in any order."""
        if operation.verb in PAGES:
            entry = self.entry[self.of.page[operation.names[0]]]
            return [self._stored({entry: PAGES[operation.verb]})]
        if operation.verb.startswith("store"):
            groups: dict[int, dict[int, int]] = {}
            for unit, value in zip(operation.names, operation.values, strict=True):
                for address, byte in zip(self.of.bytes_of(unit), self.of.code[value], strict=False):
                    groups.setdefault(address // self.shortest, {})[address] = byte
            return [self._stored(group) for group in groups.values()]
        if operation.verb == "clean":
            return sorted({self._dline(address) for address in self.of.bytes_of(operation.names[0])})
        if operation.verb == "load":
            here = self.of.bytes_of(operation.names[0])
            return [tuple(some) for _, some in itertools.groupby(here, lambda address: address // self.shortest)]
        return [None]

    def _stored(self, group: dict[int, int]) -> Stored:
        places = {self.index[address]: byte for address, byte in group.items()}
        ilines = [
            (core, line) for core, lines in self.ibytes.items() for line, held in lines.items() if {*held} & {*places}
        ]
        dlines = {self._dline(address) for address in group}
        return Stored(tuple((place, 0xFF, byte) for place, byte in places.items()), (*dlines,), (*ilines,))

    # --- stores and loads ---

    def stores_wait(self, world: World, core: int) -> bool:
        return ("buffer", core) in world

    def maintains(self, world: World, core: int) -> bool:
        return ("pending", core) in world

    def release(self, world: World, core: int) -> None:
        """Stores of a host are in order."""

    def load(self, world: World, core: int, addresses: tuple[int, ...]) -> bytes:
        held = self.loaded(world, core, [self.index[address] for address in addresses])
        for line in sorted({self._dline(address) for address in addresses}):
            self.take(world, core, line)
        return held

    def joined(self, unit: str, held: list[bytes]) -> str:
        return self._value(unit, b"".join(held))

    def _value(self, unit: str, held: bytes) -> str:
        return next((value for value, code in self.of.code.items() if code[: self.of.size[unit]] == held), "torn")

    def invalidate(self, world: World, core: int, reached: list[int], unit: str) -> None:
        for other in reached:
            lines = self.ibytes[other]
            for line in {line for line, _ in self._places(other, unit)} & {*lines} if unit else lines:
                self.drop(world, core, other, line)

    # --- translations ---

    def _translation(self, world: World, core: int, page: int) -> int:
        """The state of a page as a core knows it, which it keeps unless the page is not present."""
        known: int | None = world.get(("tlb", core, page))
        if known is None:
            known = int(world["newest",][self.index[self.entry[page]]])
            if known != PAGES["unmap"]:
                world["tlb", core, page] = known
        return known

    def translate(self, world: World, core: int, pages: list[int]) -> None:
        for page in pages:
            world.pop(("tlb", core, page), None)

    def drop_translations(self, world: World, core: int, page: int) -> None:
        for other in self.of.cores:
            if page in self.translated[other]:
                if self.rules.maintenance_at_once:
                    self.translate(world, other, [page])
                else:
                    pend(world, core, ("translation", page, other))

    # --- fetches ---

    def synchronise(self, world: World, core: int) -> None:
        world.pop(("ahead", core), None)

    def refetch(self, world: World, core: int) -> None:
        self.synchronise(world, core)
        self.forget(world, core)

    def complete(self, world: World, kind: str, line: int, other: int) -> None:
        if kind == "translation":
            self.translate(world, other, [line])
        else:
            super().complete(world, kind, line, other)

    def _read(self, world: World, core: int, units: tuple[str, ...]) -> tuple[str, ...]:
        values = []
        for unit in units:
            if self.of.page[unit] in self.of.pages and self._translation(world, core, self.of.page[unit]):
                return ("fault",) * len(units)
            held = bytes(self.fetched(world, core, line, place) for line, place in self._places(core, unit))
            values.append(self.of.executed(self._value(unit, held), held))
        return tuple(values)

    def fetch(self, world: World, core: int, thread: int, at: int) -> Iterator[tuple[World, tuple[str, ...]]]:
        if self.rules.checks_pipeline and ("buffer", core) in world:
            return
        after = dict(world)
        queue = after.pop(("ahead", core), ())
        if queue:
            if queue[1:]:
                after["ahead", core] = queue[1:]
            yield after, queue[0]
        else:
            yield after, self._read(after, core, self.of.paths[thread][at])

    # --- the environment ---

    def environment(self, world: World) -> Iterator[Move]:
        yield from self.cache_steps(world)
        for core in self.cores:
            for page in self.translated[core]:
                after = dict(world)
                if after.pop(("tlb", core, page), None) is None:
                    if not self.prefetches:
                        continue
                    self._translation(after, core, page)
                yield Move(after, f"translation of {page} on {core}")
            coming = self.of.following(world, core) if self.rules.fetches_ahead else None
            if coming is not None:
                after = dict(world)
                after["ahead", core] = (*after.get(("ahead", core), ()), self._read(after, core, coming[1]))
                yield Move(after, f"core {core} fetches {coming[1]} ahead")


class Allowed:
    """What an architecture allows, unit by unit; of each its values from the start on, by number."""

    def __init__(self, of: Reference) -> None:
        self.of = of
        self.name = of.architecture
        self.serialises = self.name in OWN_STORES_SEEN
        self.interrupts_wait = False
        self.line = of.protocol.host.data_line
        # An alias that the instruction cache does not tell apart is the same unit.
        self.unit_of: dict[str, str] = {}
        first: dict[int, str] = {}
        for unit, address in of.protocol.addresses.items():
            self.unit_of[unit] = unit if of.virtual else first.setdefault(address.physical, unit)
        self.pieces = {unit: self._pieces(unit) for unit in dict.fromkeys(self.unit_of.values())}
        self.all = [piece for pieces in self.pieces.values() for piece in pieces]

    def _block(self, first: int, past: int) -> int:
        """So many aligned bytes are accessed at once by an access of those from ``first`` to before ``past``."""
        most = 8 if self.name in EIGHT_BYTES else 16
        sizes = [size for size in (1, 2, 4, 8, 16) if size <= most]
        if self.name in UNALIGNED or any(size >= past - first and first % size == 0 for size in sizes):
            return most
        return max(size for size in sizes if first % size == 0)

    def _pieces(self, unit: str) -> list[Piece]:
        here = self.of.protocol.addresses[unit].physical
        block = self._block(here, here + self.of.size[unit])
        blocks = [(here + byte) // block for byte in range(self.of.size[unit])]
        return [Piece(unit, blocks.index(one), blocks.count(one)) for one in dict.fromkeys(blocks)]

    def joined(self, unit: str, values: list[str]) -> str:
        """The value of a unit whose pieces have those."""
        if len({*values}) == 1:
            return values[0]
        codes = [self.of.code[value] for value in values]
        pieces = self.pieces[self.unit_of[unit]]
        held = b"".join(code[piece.first : piece.first + piece.size] for piece, code in zip(pieces, codes, strict=True))
        return next((value for value, code in self.of.code.items() if code[: self.of.size[unit]] == held), "torn")

    def begin(self, world: World) -> None:
        for piece in self.all:
            world["values", piece] = (self.of.protocol.initial[piece.unit],)
            world["clean", piece] = 0
            for core in self.of.cores:
                world["floor", core, piece] = 0
        for page, state in self.of.pages.items():
            world["values", _entry(page)] = (state,)
            for core in self.of.cores:
                world["floor", core, _entry(page)] = 0

    def parts(self, operation: ProtocolOperation) -> list[Any]:
        if operation.verb == "clean":
            return sorted({self._dline(piece) for piece in self.pieces[self.unit_of[operation.names[0]]]})
        if operation.verb in PAGES:
            return [((_entry(self.of.page[operation.names[0]]), PAGES[operation.verb], False),)]
        if operation.verb == "load":
            return self.pieces[self.unit_of[operation.names[0]]]
        if not operation.verb.startswith("store"):
            return [None]
        stored = [
            (self.of.protocol.addresses[name].physical + piece.first, (piece, value, piece.unit == self.unit_of[name]))
            for name, value in zip(operation.names, operation.values, strict=True)
            for piece in self.all
            if self.of.protocol.addresses[piece.unit].physical == self.of.protocol.addresses[name].physical
        ]
        most = 8 if self.name in EIGHT_BYTES else 16
        groups: dict[tuple[int, int], list[tuple[Piece, str, bool]]] = {}
        for at, one in stored:
            same = [(other, piece) for other, (piece, _, _) in stored if other // most == at // most]
            block = self._block(min(other for other, _ in same), max(other + piece.size for other, piece in same))
            groups.setdefault((at // most, at // block), []).append(one)
        return [tuple(group) for group in groups.values()]

    def _dline(self, piece: Piece) -> int:
        return (self.of.protocol.addresses[piece.unit].physical + piece.first) // self.line

    def stores_wait(self, world: World, core: int) -> bool:
        return any(kind in STORES for kind, _ in world.get(("buffer", core), ()))

    def maintains(self, world: World, core: int) -> bool:
        return any(kind not in STORES for kind, _ in world.get(("buffer", core), ()))

    def _issue(self, world: World, core: int, *entries: Any) -> None:
        if entries:
            world["buffer", core] = (*world.get(("buffer", core), ()), *entries)

    def store(self, world: World, core: int, stored: Any) -> bool:
        self._issue(world, core, ("put", stored))
        return True

    def release(self, world: World, core: int) -> None:
        """The store that was just issued waits for all before it."""
        *before, (_, stored) = world["buffer", core]
        world["buffer", core] = (*before, ("release", stored))

    def load(self, world: World, core: int, piece: Piece) -> str:
        value: str = world["values", piece][-1]
        for kind, what in world.get(("buffer", core), ()):
            for other, stored, _ in what if kind in STORES else ():
                if other == piece:
                    value = stored
        return value

    def clean(self, world: World, core: int, line: int) -> None:
        self._issue(world, core, *(("clean", piece) for piece in self.all if self._dline(piece) == line))

    def invalidate(self, world: World, core: int, reached: list[int], name: str) -> None:
        named = self.all
        if name:
            at = self.of.fetched_at(name)
            lines = {at[piece.first] // self.line for piece in self.pieces[self.unit_of[name]]}
            named = [piece for piece in self.all if self.of.fetched_at(piece.unit)[piece.first] // self.line in lines]
        self._issue(world, core, *(("drop", (piece, frozenset(reached))) for piece in named))

    # --- floors ---

    def _raise(self, world: World, core: int, piece: Piece, to: int) -> None:
        world["floor", core, piece] = max(to, world["floor", core, piece])

    def _newest(self, world: World, piece: Piece) -> int:
        return len(world["values", piece]) - 1

    def _invalidated(self, world: World, core: int, piece: Piece) -> None:
        newest = self.name in NO_CLEANS or piece.unit.startswith("page ")
        self._raise(world, core, piece, self._newest(world, piece) if newest else world["clean", piece])

    # --- translations ---

    def translate(self, world: World, core: int, pages: list[int]) -> None:
        for page in pages:
            self._invalidated(world, core, _entry(page))

    def drop_translations(self, world: World, core: int, page: int) -> None:
        self._issue(world, core, ("drop", (_entry(page), frozenset(self.of.cores))))

    def _translations(self, world: World, core: int, page: int) -> list[int]:
        """What a core may take a page for: what it is, or was and has not been forgotten."""
        states = world["values", _entry(page)][world["floor", core, _entry(page)] :]
        return [*states[-1:], *(one for one in states[:-1] if one != PAGES["unmap"] or self.name in KEEPS_ABSENT)]

    def synchronise(self, world: World, core: int) -> None:
        world.pop(("ahead", core), None)
        for piece in self.all if self.name in SERIALISED else ():
            self._raise(world, core, piece, self._newest(world, piece))

    switch = synchronise

    def refetch(self, world: World, core: int) -> None:
        self.synchronise(world, core)
        for piece in self.all:
            self._invalidated(world, core, piece)

    # --- fetches ---

    def _fetched(self, world: World, core: int, units: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        states = [
            self._translations(world, core, page) for page in map(self.of.page.get, units) if page in self.of.pages
        ]
        if any(any(some) for some in states):
            yield ("fault",) * len(units)
        if not all(0 in some for some in states):
            return
        options: list[list[str]] = []
        undefined = False
        for name in units:
            unit = self.unit_of[name]
            changing: set[str] = set()
            fetched = []
            for piece in self.pieces[unit]:
                unsynchronised = world["values", piece][world["floor", core, piece] :]
                fetched.append(unsynchronised[-1:] if self.name in NEWEST_FETCHED else unsynchronised)
                changing |= {*unsynchronised} if len(unsynchronised) > 1 else set()
            options.append([*dict.fromkeys(self._fetch(unit, [*some]) for some in itertools.product(*fetched))])
            executes = len(options) == 1 or not all(map(self.of.is_alone, options[0]))
            undefined = undefined or (executes and bool(changing) and not self._says(unit, changing))
        yield from itertools.product(*options)
        if undefined:
            yield ("anything",) * len(units)

    def _fetch(self, unit: str, values: list[str]) -> str:
        return self.of.executed(self.joined(unit, values), self.of.code[values[0]])

    def _says(self, unit: str, values: set[str]) -> bool:
        """Whether the architecture says what a unit that changes between these values is."""
        address = self.of.protocol.addresses[unit].physical
        known = [self.of.protocol.instructions.get(value) for value in values]
        if all(one is not None and one.code for one in known):
            codes = {one.code for one in known if one is not None}
            if len(codes) == 1 or (known[0].isa == "x86" and {code[0] for code in codes} in [{byte} for byte in ALONE]):
                return True
        if self.name == "x86-amd":
            size = self.of.size[unit]
            changed = range(size)
            if None not in known and all(one.code for one in known) and len({len(one.code) for one in known}) == 1:
                changed = [n for n in range(size) if len({one.code[n] for one in known}) > 1]
            return len({(address + byte) // 8 for byte in changed}) <= 1
        if None in known or self.name in ("x86-intel", "riscv"):
            known_sizes = {4 if one is None else one.size for one in known}
            return self.name == "riscv-ziccif" and known_sizes == {4} and address % 4 == 0
        some = [one for one in known if one is not None]
        if self.name == "riscv-ziccif":
            (size, *more) = {one.size for one in some}
            return not more and size in (2, 4) and address % size == 0
        if self.name == "s390":
            codes = {one.code for one in some}
            lengths = {len(code) for code in codes}
            return (
                len(lengths) == 1
                and b"" not in codes
                and sum(len({*held}) > 1 for held in zip(*codes, strict=True)) <= 1
            )
        return address % 4 == 0 and all(one.kind in LISTED.get(one.isa, ()) for one in some)

    def fetch(self, world: World, core: int, thread: int, at: int) -> Iterator[tuple[World, tuple[str, ...]]]:
        if self.serialises and self.stores_wait(world, core):
            return
        queue = world.get(("ahead", core), ())
        found = [queue[0]] if queue else list(self._fetched(world, core, self.of.paths[thread][at]))
        for values in found:
            after = dict(world)
            after.pop(("ahead", core), None)
            if queue[1:]:
                after["ahead", core] = queue[1:]
            yield after, values

    # --- the environment ---

    def environment(self, world: World) -> Iterator[Move]:
        for core in self.of.cores:
            coming = self.of.following(world, core)
            for values in self._fetched(world, core, coming[1]) if coming is not None else ():
                after = dict(world)
                after["ahead", core] = (*after.get(("ahead", core), ()), values)
                yield Move(after, f"core {core} fetches {coming} ahead: {values}")
            buffer = world.get(("buffer", core), ())
            for number, entry in enumerate(buffer):
                yield from self._completed(world, core, entry, buffer[:number], buffer[number + 1 :])

    def _completed(self, world: World, core: int, entry: Any, before: Any, behind: Any) -> Iterator[Move]:
        kind, what = entry
        if kind == "drop":
            piece, targets = what
            for target in targets:
                left = targets - {target}
                after = self._with(world, core, (*before, *((("drop", (piece, left)),) if left else ()), *behind))
                self._invalidated(after, target, piece)
                yield Move(after, f"{piece} is invalidated on {target}")
            return
        mine = {piece for piece, _, _ in what} if kind in STORES else {what}
        for other, earlier in before:
            if kind == "release" and other != "drop":
                return
            if other in STORES and (
                mine & {piece for piece, _, _ in earlier} or (kind in STORES and self.name not in RELAXED)
            ):
                return
        after = self._with(world, core, (*before, *behind))
        if kind == "clean":
            after["clean", what] = self._newest(after, what)
        else:
            self._become_visible(after, core, what)
        yield Move(after, f"{entry} of {core} completes")

    def _with(self, world: World, core: int, buffer: Any) -> World:
        after = dict(world)
        after.pop(("buffer", core), None)
        if buffer:
            after["buffer", core] = buffer
        return after

    def _become_visible(self, world: World, core: int, stored: Any) -> None:
        for piece, value, _ in stored:
            if world["values", piece][-1] != value:
                world["values", piece] = (*world["values", piece], value)
        if not self.serialises:
            return
        named = {piece for piece, _, by_name in stored if by_name}
        for piece in named:
            self._raise(world, core, piece, self._newest(world, piece))
        thread = world.get(("on", core))
        queue = world.get(("ahead", core), ())
        if thread is not None and queue:
            first = self.of.position(thread, world["at", thread].at)
            ahead = itertools.chain.from_iterable(self.of.paths[thread][first : first + len(queue)])
            if {piece.unit for piece in named} & {self.unit_of[unit] for unit in ahead}:
                del world["ahead", core]
