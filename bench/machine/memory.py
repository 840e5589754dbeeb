"""What a memory system answers: the caches of a host, or what an architecture allows, below one set of actions.

Pure functions of what the system keeps (``M``); a *memory* below is such a value.
"""

from __future__ import annotations

import abc
from collections.abc import Container, Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar, cast

from bench.machine.state import Event, Kind, M

V = TypeVar("V", bound=Hashable)
"""What a cell holds."""


class Put(NamedTuple, Generic[V]):
    """A store to a cell: of all of it, or of the bits in ``mask`` of a number.

    ``alias``: the store was to another virtual address of the same memory.
    """

    cell: int
    value: V
    mask: int | None = None
    alias: bool = False

    def onto(self, old: V) -> V:
        """What it makes of the value that was there."""
        if self.mask is None:
            return self.value
        assert isinstance(old, int)
        assert isinstance(self.value, int)
        return cast("V", (old & ~self.mask) | self.value)


class Stored(NamedTuple):
    """A single-copy atomic store: ``puts``; or of what is there already, to ``dlines`` and ``ilines[core]``."""

    puts: tuple[Put[int], ...]
    dlines: tuple[int, ...] = ()
    ilines: tuple[tuple[int, ...], ...] = ()


class NextUnit(NamedTuple):
    """Where a core may go on to fetch ahead: its ``thread`` is in block ``tb``, or may enter it, at ``position``."""

    core: int
    thread: int
    tb: int
    position: int


class MemorySystem(abc.ABC, Generic[M]):
    """Stores, loads, maintenance and fetches of all cores."""

    fetches_ahead: bool
    """Whether a core fetches units before it needs them."""

    @abc.abstractmethod
    def initial(self) -> M:
        """The memory at the start."""

    @abc.abstractmethod
    def newest(self, memory: M) -> tuple[int, ...]:
        """The newest value of each cell that all cores see."""

    @abc.abstractmethod
    def store(self, memory: M, core: int, stored: Stored, *, release: bool = False) -> M | None:
        """The memory after a store; None while it has to wait.  ``release``: it becomes visible after those before."""

    @abc.abstractmethod
    def load(self, memory: M, core: int, cells: tuple[int, ...], lines: tuple[int, ...]) -> tuple[M, int]:
        """The memory after a load of the ``cells`` of a unit in data ``lines``, and its value."""

    @abc.abstractmethod
    def clean(self, memory: M, core: int, line: int) -> M:
        """A clean of a data line begins."""

    @abc.abstractmethod
    def invalidate(self, memory: M, core: int, reached: Iterable[tuple[int, tuple[int, ...]]]) -> M:
        """An invalidation begins: of these instruction lines of each core that it reaches."""

    @abc.abstractmethod
    def stores_wait(self, memory: M, core: int) -> bool:
        """Whether stores of a core are not visible yet."""

    @abc.abstractmethod
    def is_settled(self, memory: M, core: int) -> bool:
        """Whether neither stores nor maintenance of a core are under way."""

    @abc.abstractmethod
    def synchronise(self, memory: M, core: int) -> M:
        """A context synchronisation: the core drops what it has fetched ahead."""

    @abc.abstractmethod
    def leave(self, memory: M, core: int) -> M:
        """Control leaves a block: the core drops what it has fetched ahead of it."""

    @abc.abstractmethod
    def refetch(self, memory: M, core: int) -> M:
        """A synchronisation after which the core also fetches all lines anew."""

    @abc.abstractmethod
    def translate_anew(self, memory: M, core: int, pages: Iterable[int]) -> M:
        """A core drops its translations of those ``pages``, and what it has fetched ahead."""

    @abc.abstractmethod
    def switch_context(self, memory: M, core: int) -> M:
        """What a switch of threads, or a move, does to a core."""

    @abc.abstractmethod
    def enable_mmu(self, memory: M, core: int) -> M:
        """Fetches of the core go through the point of unification from now on."""

    @abc.abstractmethod
    def fetch(self, memory: M, core: int, tb: int, position: int | None) -> Iterator[tuple[M, tuple[int, ...]]]:
        """Each memory after the fetch of a unit, and the values of its cells; none while it has to wait.

        ``position`` None: control enters a block of which no unit can change.
        """

    @abc.abstractmethod
    def environment(
        self, memory: M, kinds: Container[Kind], following: Iterable[NextUnit]
    ) -> Iterator[tuple[Event, M]]:
        """Every step of one of the ``kinds`` that the environment can take, in the order of ``Event``."""

    def happen(self, memory: M, event: Event, following: Iterable[NextUnit]) -> M | None:
        """The memory after one step of the environment; None if it cannot be taken."""
        steps = self.environment(memory, (event.kind,), following)
        return next((after for found, after in steps if found == event), None)
