"""The steps of a thread, as the machine understands them: portable operations lowered to cells, lines and one host."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from strategies.operations import Barrier, Scope, Sync, SyncCores


@dataclass(frozen=True, slots=True)
class Put:
    """Store ``value`` into the bits ``mask`` of a cell."""

    cell: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Puts:
    """Several stores that become visible at once, one single-copy atomic store."""

    puts: tuple[Put, ...]


@dataclass(frozen=True, slots=True)
class Touch:
    """Store what is there already: to the data ``lines``; ``ilines`` are the instruction lines hit, for each core."""

    lines: tuple[int, ...]
    ilines: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Get:
    """Load the ``cells`` of a unit, none if it is not live; ``lines`` are the data lines that it lies in."""

    cells: tuple[int, ...]
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CleanLine:
    """Clean a data line."""

    line: int


@dataclass(frozen=True, slots=True)
class DropLines:
    """Invalidate instruction lines: ``ilines`` for each core; if ``deferred``, idle cores do so when they next run."""

    ilines: tuple[tuple[int, ...], ...]
    scope: Scope
    deferred: bool


@dataclass(frozen=True, slots=True)
class Take:
    """Take lock number ``lock``."""

    lock: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Give:
    """Give lock number ``lock`` back."""

    lock: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch live unit number ``position`` of block ``tb``, of which unit ``expected`` would come next in order.

    ``expected`` is 0 when the block is entered.  ``position`` is None if the path meets
    no live unit at all.
    """

    tb: int
    position: int | None
    expected: int


@dataclass(frozen=True, slots=True)
class Pass:
    """A step that touches nothing the machine keeps."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw the whole code buffer away, while nobody is in it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin to translate a discarded block anew."""

    tb: int


@dataclass(frozen=True, slots=True)
class Install:
    """The block has been translated anew and may be run."""

    tb: int


class Rule(abc.ABC):
    """An action that brings its own rule: what a protocol does that no strategy does (``bench/protocols/rules.py``)."""

    @abc.abstractmethod
    def taken(
        self, model: Any, state: Any, core: int, thread: int
    ) -> Iterator[tuple[Any, int, tuple[int, int] | None]]:
        """Each state after it, its result and the unit fetched wrong; none while it must wait."""


Action = (
    Put
    | Puts
    | Touch
    | Get
    | CleanLine
    | DropLines
    | Barrier
    | Sync
    | SyncCores
    | Take
    | Give
    | Fetch
    | Pass
    | Discard
    | Claim
    | Install
    | Rule
)


@dataclass(frozen=True, slots=True)
class Label:
    """What a step belongs to, for people: adjacent steps of a thread with one label are one row.

    ``what`` names the row; ``detail`` is the operation, or the path of an execution; ``tb`` the block.
    """

    what: str
    tb: int = 0
    detail: str = ""


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

    ``inside``: (tb, position) of the next unit in order, between two fetches of an
    execution.  ``occupies``: it is somewhere between entering a block and leaving it, or
    the end of its retranslation.  ``rewriting``: between the fault and the end of the retranslation.
    ``finished``: all that it had to do is done.
    """

    steps: tuple[Step, ...]
    inside: tuple[int, int] | None
    occupies: bool
    rewriting: bool
    finished: bool
