"""Which machine runs a model: the caches of a host, or what an architecture allows."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, Protocol, TypeAlias

import bench.machine as of_host
from bench.architecture import machine as of_architecture
from bench.machine import Kind, Transition
from bench.program.compiler import Model
from bench.steps import Fetch, Get

Taken: TypeAlias = tuple[Any, int, tuple[int, int] | None]
"""A state after an action, the result, and the unit fetched wrong."""


class Machine(Protocol):
    """What a search asks; each machine has states of its own."""

    def initial(self, model: Model) -> Any:
        """The state at the start."""

    def finished(self, model: Model, state: Any) -> bool:
        """Whether every retranslator has done all that it had to do."""

    def lasting(self, model: Model, state: Any) -> bool:
        """Whether the data side holds a wrong value while all is quiet."""

    def program_steps(self, model: Model, state: Any) -> Iterator[Transition]:
        """Every step that some thread can take."""

    def environment_steps(self, model: Model, state: Any, kinds: Container[Kind] = ...) -> Iterator[Transition]:
        """Every step of one of the kinds that the environment can take."""

    def fetches(self, model: Model, state: Any, core: int, fetch: Fetch) -> Iterator[tuple[Any, tuple[int, ...]]]:
        """Each state after a fetch, and the values of the unit's cells."""

    def loads(self, model: Model, state: Any, core: int, get: Get) -> tuple[Any, int]:
        """The state after a load, and the value."""

    def stores_wait(self, state: Any, core: int) -> bool:
        """Whether stores of a core are not visible yet."""

    def fetches_anew(self, model: Model, state: Any, core: int, *, lines: bool) -> Any:
        """A core forgets what it has fetched ahead, and with ``lines`` its instruction cache."""

    def arrived(self, model: Model, state: Any, core: int, thread: int, other: int) -> Any:
        """The state in which a thread of ``core`` runs on the ``other``; None while it has to wait."""

    def newest(self, state: Any) -> tuple[int, ...]:
        """The newest value of each cell on the data side."""


def machine_of(model: Model) -> Machine:
    """The machine that runs a model."""
    machine: Any = of_architecture if model.host.architecture else of_host
    found: Machine = machine
    return found
