"""A run as rows: what happens in each, why it can, and what the caches then hold of the unit that they follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.explain import wording
from bench.explain.events import Happened

Residency = Literal["absent", "ok", "wrong"]
"""What a cache holds of the watched unit."""

ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class WatchedValue:
    """A value of the watched unit, as an instruction, and whether it is the final one."""

    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row: one environment step, the adjacent steps of one thread with one label, or one execution of a block.

    ``actor``: a thread's name, or ``environment``.  ``because``: why it can, as a sentence.  The words are those of the
    watched unit after the row: ``icache`` and ``ahead`` (units fetched ahead) for each core, ``buffer`` (store buffers)
    for each core, ``dcache`` and ``memory`` (the PoU).  ``steps`` is how many steps of the machine the row takes.
    ``fetches``: what each core would fetch as the unit now; ``reads``: what a debugger reads there.  Not known on an
    architecture, or where no unit is live.
    """

    actor: str
    core: int
    happened: Happened
    because: str
    icache: tuple[Residency, ...]
    ahead: tuple[Residency, ...]
    buffer: tuple[Residency, ...]
    dcache: Residency
    memory: Residency
    steps: int
    fetches: tuple[WatchedValue, ...] = ()
    reads: WatchedValue | None = None

    @property
    def of_environment(self) -> bool:
        """Whether no thread does it."""
        return isinstance(self.happened, str)

    @property
    def operation(self) -> str:
        """What happens, in words."""
        return wording.happened(self.happened)


@dataclass(frozen=True, slots=True)
class Watched:
    """The unit that the rows follow: its name, block, offset in bytes, final value and what that means.

    The name is ``TB+32``, or ``TB 1+32`` where there are several blocks.  ``fetched``: the wrong value that a core
    fetched at the end of the run, None if none did; ``read``: the newest value then, on the data side.
    """

    name: str
    tb: int
    offset: int
    final: int
    instruction: str
    fetched: int | None = None
    read: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The rows of a run, the unit they follow (None if no unit is live) and a closing sentence, if one is due."""

    rows: tuple[RunRow, ...]
    watched: Watched | None
    closing: str = ""
