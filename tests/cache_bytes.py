"""The caches of a host byte by byte, as plain as they can be: below both reference machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from brute_force import Move, World

# The facts of a world that are the caches'.  ``("newest",)``, ``("pou",)``: the bytes as the data side and the point of
# unification hold them.  ``("fetched", core, line)``: an instruction line.  ``("dirty", line)``: the core that owns a
# data line.  ``("held", line, core)``: a data line is in that core's cache.  ``("buffer", core)``,
# ``("pending", core)``: stores not drained, maintenance not completed.  ``("ahead", core)``: what was fetched ahead.


class Rules(NamedTuple):
    """What a host does; the words are those of its profile."""

    fill: str
    snoop: str
    dirty_transfer: str
    store_buffer: int
    write_through: bool
    write_allocate: bool
    switch_cleans_all: bool
    maintenance_at_once: bool = False


class Stored(NamedTuple):
    """What one step stores: (byte, bits, value) each; the data lines, and the (core, instruction line), it touches."""

    bytes: tuple[tuple[int, int, int], ...]
    dlines: tuple[int, ...]
    ilines: tuple[tuple[int, int], ...]


class CacheBytes:
    """The caches; bytes are numbered, and a live line is one that some store can change."""

    rules: Any
    cores: range
    dbytes: dict[int, list[int]]
    """The bytes of each data line."""
    ibytes: dict[int, dict[int, list[int]]]
    """The bytes of each instruction line of each core."""
    live_dlines: Collection[int]
    live_ilines: Collection[int]
    evicts = True
    prefetches = True

    # --- stores and loads ---

    def store(self, world: World, core: int, stored: Stored) -> bool:
        """False if the store buffer is full.

        How many stores can wait is a bound of the exploration, not of a host: those to other lines do not count.
        """
        older = world.get(("buffer", core), ())
        live = {*self.live_dlines} & {*stored.dlines} or {*self.live_ilines} & {line for _, line in stored.ilines}
        if not self.rules.store_buffer or not live:
            self.reach(world, core, stored)
            return True
        world["buffer", core] = (*older, stored)
        return len(older) < self.rules.store_buffer

    def reach(self, world: World, core: int, stored: Stored) -> None:
        """A store reaches the data side."""
        for line in stored.dlines:
            stays = world.get(("dirty", line)) == core or ("held", line, core) in world or self.rules.write_allocate
            if world.get(("dirty", line), core) != core:
                if self.rules.dirty_transfer == "memory" or not stays:
                    self.publish(world, line)
                del world["dirty", line]
            world["newest",] = _stored(world["newest",], [one for one in stored.bytes if one[0] in self.dbytes[line]])
            for other in self.cores:
                world.pop(("held", line, other), None)
            if stays:
                self._hold(world, line, core)
            if stays and not self.rules.write_through:
                world["dirty", line] = core
            else:
                self.publish(world, line)
        for other, line in stored.ilines:
            if self.rules.snoop == "all" or (self.rules.snoop == "others" and other != core):
                world.pop(("fetched", other, line), None)

    def publish(self, world: World, line: int) -> None:
        """The point of unification gets the newest bytes of a data line."""
        newest = world["newest",]
        world["pou",] = _stored(world["pou",], ((place, 0xFF, newest[place]) for place in self.dbytes[line]))

    @property
    def copies(self) -> bool:
        """Whether it matters that a cache holds a line: where stores do not allocate."""
        return not self.rules.write_through and not self.rules.write_allocate

    def _hold(self, world: World, line: int, core: int) -> None:
        if self.copies:
            world["held", line, core] = True

    def loaded(self, world: World, core: int, places: Iterable[int]) -> bytes:
        """What a core loads: its own stores are seen."""
        newest = world["newest",]
        for stored in world.get(("buffer", core), ()):
            newest = _stored(newest, stored.bytes)
        return bytes(newest[place] for place in places)

    def take(self, world: World, core: int, line: int) -> None:
        """A core's cache takes a data line, to read it."""
        if world.get(("dirty", line), core) != core and self.rules.dirty_transfer == "memory":
            self.publish(world, line)
            del world["dirty", line]
        self._hold(world, line, core)

    # --- maintenance ---

    def clean(self, world: World, core: int, line: int) -> None:
        """It waits for the core's own stores to the line."""
        older = world.get(("buffer", core), ())
        waits = max((number for number, stored in enumerate(older, 1) if line in stored.dlines), default=0)
        if self.rules.maintenance_at_once and not waits:
            self.write_back(world, line)
        else:
            pend(world, core, ("clean", line, waits))

    def write_back(self, world: World, line: int) -> None:
        if ("dirty", line) in world:
            self.publish(world, line)
            del world["dirty", line]

    def drop(self, world: World, core: int, other: int, line: int) -> None:
        """A core invalidates a line of an instruction cache."""
        if self.rules.maintenance_at_once:
            world.pop(("fetched", other, line), None)
        else:
            pend(world, core, ("invalidate", line, other))

    def complete(self, world: World, kind: str, line: int, other: int) -> None:
        """Maintenance that was pending is done."""
        if kind == "clean":
            self.write_back(world, line)
        else:
            world.pop(("fetched", other, line), None)

    # --- fetches ---

    def fill(self, world: World, core: int, line: int) -> None:
        source = world["newest" if self.rules.fill == "coherent" else "pou",]
        world["fetched", core, line] = bytes(source[place] for place in self.ibytes[core][line])

    def fetched(self, world: World, core: int, line: int, place: int) -> int:
        """A byte of a line, which is filled if it is not there."""
        if ("fetched", core, line) not in world:
            self.fill(world, core, line)
        found: int = world["fetched", core, line][self.ibytes[core][line].index(place)]
        return found

    def forget(self, world: World, core: int) -> None:
        """A core's instruction cache is dropped."""
        for line in self.ibytes[core]:
            world.pop(("fetched", core, line), None)

    def switch(self, world: World, core: int) -> None:
        """Another thread runs on a core from now on."""
        world.pop(("ahead", core), None)
        if self.rules.switch_cleans_all:
            for line in self.dbytes:
                if world.get(("dirty", line)) == core:
                    self.write_back(world, line)
                world.pop(("held", line, core), None)
            self.forget(world, core)

    # --- steps of the environment ---

    def cache_steps(self, world: World) -> Iterator[Move]:
        """Lines are filled, dropped, written back and loaded; stores drain; maintenance completes."""
        for core, lines in self.ibytes.items():
            for line in lines:
                after = dict(world)
                if after.pop(("fetched", core, line), None) is None:
                    if not self.prefetches:
                        continue
                    self.fill(after, core, line)
                yield Move(after, f"fill or drop {line} of {core}", cost=int(line in self.live_ilines))
        for line in self.dbytes:
            cost = int(line in self.live_dlines)
            if self.evicts and ("dirty", line) in world:
                after = without(world, ("held", line, world["dirty", line]))
                self.write_back(after, line)
                yield Move(after, f"write back {line}", cost=cost)
            for core in self.cores if self.copies else ():
                if ("held", line, core) not in world:
                    after = dict(world)
                    self.take(after, core, line)
                    yield Move(after, f"load {line} into {core}", cost=cost)
                elif self.evicts and world.get(("dirty", line)) != core:
                    yield Move(without(world, ("held", line, core)), f"evict clean {line} of {core}", cost=cost)
        for core in self.cores:
            if ("buffer", core) in world:
                yield self._drained(world, core)
            yield from self._completions(world, core)

    def _drained(self, world: World, core: int) -> Move:
        after = dict(world)
        oldest, *younger = after.pop(("buffer", core))
        if younger:
            after["buffer", core] = tuple(younger)
        for kind, line, other in after.pop(("pending", core), ()):
            pend(after, core, (kind, line, max(0, other - 1) if kind == "clean" else other))
        self.reach(after, core, oldest)
        return Move(after, f"drain {oldest} of {core}")

    def _completions(self, world: World, core: int) -> Iterator[Move]:
        for done in world.get(("pending", core), ()):
            kind, line, other = done
            if kind == "clean" and other:
                continue
            after = without(world, ("pending", core))
            for kept in world["pending", core] - {done}:
                pend(after, core, kept)
            self.complete(after, kind, line, other)
            live = {"clean": self.live_dlines, "invalidate": self.live_ilines}.get(kind, (line,))
            yield Move(after, f"complete {done} of {core}", cost=int(line in live))


def _stored(held: bytes, stored: Iterable[tuple[int, int, int]]) -> bytes:
    changed = bytearray(held)
    for place, bits, value in stored:
        changed[place] = changed[place] & ~bits | value
    return bytes(changed)


def pend(world: World, core: int, maintenance: tuple[str, int, int]) -> None:
    world["pending", core] = world.get(("pending", core), frozenset()) | {maintenance}


def without(world: World, fact: tuple[Any, ...]) -> World:
    return {other: value for other, value in world.items() if other != fact}
