"""Words for what a step reads and writes: slots of the state, views of them, parts of a step."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple


class Slot(NamedTuple):
    """A part of the state: ``what`` and whose, e.g. ``("icache", core, line)``."""

    what: str
    at: int = 0
    line: int = 0


class View(NamedTuple):
    """As much of a slot's value as a part looks at; the whole value if there is no ``aspect``."""

    slot: int
    aspect: str = ""
    cells: tuple[int, ...] = ()


class Part(NamedTuple):
    """What is written to the slots ``writes`` as a function of the ``reads``.  Parts with one ``key`` are the same.

    ``fetches``: what it reads says whether a unit is fetched wrong.
    """

    key: Hashable
    reads: tuple[View, ...]
    writes: tuple[int, ...]
    fetches: bool = False


class ActionFootprint(NamedTuple):
    """What an action looks at to see whether it can be taken, and what it consists of.

    ``decides``: its result decides the place after it, which one of the ``parts`` then writes.
    """

    guards: tuple[View, ...] = ()
    parts: tuple[Part, ...] = ()
    decides: bool = False
