"""Everything of a check that does not change: the memory, and the programs of the threads."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from bench.hosts import Host, Target
from bench.machine.allowed import ArchitectureMemory
from bench.machine.architecture import RULES, Rules
from bench.machine.caches import Features, HostCaches, features_of
from bench.machine.cells import Cells
from bench.machine.memory import MemorySystem
from bench.machine.state import State
from bench.scenarios import Role, Scenario
from strategies.writes import Phase, Unit

Taken: TypeAlias = tuple[State, int, tuple[int, int] | None]
"""A state after an action, the result, and the unit fetched wrong."""


class Action(abc.ABC):
    """What one step of a thread does (``bench/machine/actions.py``)."""

    __slots__ = ()

    name = ""
    """What an explanation calls it; empty for what is called by what it is a part of."""

    reason = ""
    """Why it may be taken, or what comes of it, where that is always the same."""

    @abc.abstractmethod
    def taken(self, model: Model, state: State, core: int, thread: int) -> Iterator[Taken]:
        """Each state after it, its result and the unit fetched wrong; none while it must wait."""

    def called(self, locks: Sequence[str]) -> str:
        """Its name in an explanation, given the names of the locks."""
        assert self.name, type(self).__name__
        return self.name


class Does(enum.StrEnum):
    """What a step does: a write of the translator, another store of a hook, an operation that has a name, ..."""

    WRITE = enum.auto()
    STORE = enum.auto()
    FLUSH = enum.auto()
    OPERATION = enum.auto()
    EXECUTE = enum.auto()
    TRANSLATE = enum.auto()
    DISCARD = enum.auto()


class BranchTarget(enum.StrEnum):
    """What a write makes of the target of a branch."""

    TEMPORARY = enum.auto()
    FINAL = enum.auto()
    KEPT = enum.auto()


@dataclass(frozen=True, slots=True)
class Label:
    """What a step belongs to: adjacent steps of a thread with one label are one row (``bench/explain/wording.py``).

    ``tb``: the block; ``detail``: the path of an execution; ``name``: of the operation, or of the hook that stores.  Of
    a write: the ``phase``, the ``target`` if it is that of a branch, and whether its unit lies ``in_scratch``.
    ``followed``: it goes to no live unit that this search leaves out.
    """

    does: Does
    tb: int = 0
    detail: str = ""
    name: str = ""
    phase: Phase | None = None
    target: BranchTarget | None = None
    in_scratch: bool = False
    followed: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a thread: what it does, and where it leads (by result, if it has one)."""

    action: Action
    label: Label
    then: int | Callable[[int], int]
    needs_block: int | None = None
    """The block that must not have been discarded for this step to be possible."""

    def after(self, result: int) -> int:
        """The place after this step."""
        return self.then if isinstance(self.then, int) else self.then(result)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread is: the ``steps`` it may take, and what others need to know of it.

    ``inside``: (tb, position) of the next unit in order, between two fetches of an execution.  ``occupies``: it is
    somewhere between entering a block and leaving it, or the end of its retranslation.  ``rewriting``: between the
    fault and the end of the retranslation.  ``finished``: all that it had to do is done.
    """

    steps: tuple[Step, ...]
    inside: tuple[int, int] | None
    occupies: bool
    rewriting: bool
    finished: bool


class Automaton(Protocol):
    """What the threads of one ``role`` do."""

    role: Role

    def place(self, number: int) -> Place:
        """Place number ``number``."""


@dataclass(frozen=True)
class Model:
    """A memory of ``cells`` that follows ``rules``, and threads.

    ``unit_at[tb]``: the live units of each block.  ``home``: the core that each thread starts on.  ``flags`` of a
    protocol, at the start.
    """

    cells: Cells
    rules: Features | Rules
    scenario: Scenario
    unit_at: tuple[tuple[Unit, ...], ...]
    home: tuple[int, ...]
    locks: tuple[str, ...]
    programs: tuple[Automaton, ...]
    starts: tuple[int, ...]
    flags: tuple[int, ...] = ()

    @cached_property
    def memory(self) -> MemorySystem[Any]:
        """The memory system: the one place that tells a host from an architecture."""
        if isinstance(self.rules, Features):
            return HostCaches(self.cells, self.rules)
        return ArchitectureMemory(self.cells, self.rules)

    @property
    def features(self) -> Features:
        """Those of the host, where it is one."""
        assert isinstance(self.rules, Features)
        return self.rules

    @property
    def architecture(self) -> Rules:
        """The rules of the architecture, where it is one."""
        assert isinstance(self.rules, Rules)
        return self.rules

    @property
    def interrupts_wait(self) -> bool:
        """Whether an interrupt to other cores waits for the stores before it: on no architecture by itself."""
        return isinstance(self.rules, Features) and self.rules.interrupts == "wait"

    @property
    def serialises(self) -> bool:
        """Whether a context synchronisation waits for the stores before it too, as on x86 and s390."""
        return isinstance(self.rules, Rules) and self.rules.sees_own

    @property
    def final(self) -> tuple[int, ...]:
        """The final value of each cell."""
        return self.cells.final

    @property
    def units(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """The cells of each live unit of each block."""
        return self.cells.units

    @property
    def switches(self) -> bool:
        """Whether threads share cores by time slices."""
        return len({*self.home}) < len(self.home) and not self.scenario.moves


def rules_of(target: Target) -> Features | Rules:
    """The rules that the memory of a host, or of an architecture, follows."""
    return features_of(target) if isinstance(target, Host) else RULES[target.name]
