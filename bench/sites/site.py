"""A site: a place that is patched while it may run, in each of its states, and what patching and running it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bench.sites.instructions import INSTRUCTION_SETS, SiteInstructionSet

ExpectedVerdict = Literal["holds", "fails"]

STUB, NEAR, NEAR2, FAR, FAR2, TRAP = "stub", "near", "near2", "far", "far2", "trap"
STATES = (STUB, NEAR, NEAR2, FAR, FAR2)
"""The states of a site, each by the target that it leads to: what it leads to unlinked; two that are in reach of a
direct branch; two that are not."""
TARGETS = (*STATES, TRAP)
"""``trap``: the handler of a breakpoint, which leads on to where the site is being linked."""

CODE, OLD, NEW = "code", "old", "new"
"""The unit that stands for the code at a target, and its values: before it is written, and after."""


class SiteLine(NamedTuple):
    """An operation as it is written, and its ``number`` among the site's ``lines`` (0: it is in no file)."""

    text: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class SiteWord:
    """Bytes of code, or of data, at an address; they are stored, and fetched or loaded, at once.

    ``values``: its bytes by the name of a value, which is a state or a temporary one.  ``constant``: it is the same in
    all states, and never stored to.  ``number``: among the site's ``lines``.
    """

    name: str
    at: int
    size: int
    values: Mapping[str, bytes]
    is_data: bool = False
    number: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether it never changes."""
        return len({*self.values.values()}) == 1

    def value(self, name: str) -> str:
        """The first name of the same bytes: equal bytes are one value."""
        return next(first for first, held in self.values.items() if held == self.values[name])


@dataclass(frozen=True, slots=True)
class SiteOperations:
    """What is done to a site: operations of protocols, one on a line, and besides them ``store WORD`` (the value of the
    new state), ``store WORD STATE``, and ``flush WORD`` (what the host does).

    ``publish``: after the code at a target was written, before anybody is led there.  ``retire``: after the unlink,
    before the memory of the target is used again.
    """

    link: tuple[SiteLine, ...]
    unlink: tuple[SiteLine, ...]
    publish: tuple[SiteLine, ...]
    retire: tuple[SiteLine, ...]


@dataclass(frozen=True, slots=True)
class Executor:
    """Operations around each execution of the site, and ``between`` two of its words.

    ``pays``: what they cost, if it is not what they are.
    """

    before: tuple[SiteLine, ...] = ()
    between: tuple[SiteLine, ...] = ()
    after: tuple[SiteLine, ...] = ()
    pays: tuple[SiteLine, ...] | None = None

    @property
    def paid(self) -> tuple[SiteLine, ...]:
        """The operations that an execution pays for."""
        return (*self.before, *self.after) if self.pays is None else self.pays


@dataclass(frozen=True)
class Site:
    """A site file.  ``targets``: addresses by name; ``words`` in order of their addresses; ``registers``: what some
    hold where an execution begins; ``relies``: those that must hold the address of the target where it arrives;
    ``in_handler``: a handler of the thread that runs it patches it, and nobody else runs; ``reuses``: it says how a
    target is retired; ``reach``: bytes from which on a target is far (0: not said); ``lines``: of the file, in which
    its words and operations stand, by their numbers from 1 (a line in the key of a kept verdict would be one too
    many)."""

    name: str
    file: str
    summary: str
    isa: str
    form: str
    project: str
    year: int
    links: tuple[str, ...]
    note: str
    targets: Mapping[str, int]
    words: tuple[SiteWord, ...]
    does: SiteOperations
    executor: Executor = Executor()
    registers: Mapping[str, int] = field(default_factory=dict)
    relies: tuple[str, ...] = ()
    expect: Mapping[str, ExpectedVerdict] = field(default_factory=dict)
    reuses: bool = False
    in_handler: bool = False
    reach: int = 0
    lines: tuple[int, ...] = ()

    @property
    def instructions(self) -> SiteInstructionSet:
        """How its encodings are read."""
        return INSTRUCTION_SETS[self.isa]

    @property
    def states(self) -> tuple[str, ...]:
        """The states that it has."""
        return tuple(name for name in STATES if name in self.targets)

    @property
    def entry(self) -> int:
        """The address at which an execution begins."""
        return next(word.at for word in self.words if not word.is_data)

    @property
    def bytes(self) -> int:
        """Bytes of code and data."""
        return sum(word.size for word in self.words)

    def word(self, name: str) -> SiteWord:
        """The word of that name."""
        return next(word for word in self.words if word.name == name)

    def target_at(self, address: int) -> str | None:
        """The name of the target at an address."""
        return next((name for name, at in self.targets.items() if at == address), None)
