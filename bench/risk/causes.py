"""What happens to the caches between two operations of a thread, and with which probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bench.machine import Kind
from bench.support.errors import InputError

RANDOM_KINDS = (Kind.WRITE_BACK, Kind.DROP, Kind.FILL, Kind.DRAIN, Kind.COMPLETE, Kind.MOVE)
"""The kinds of environment events that are random, in the order in which they are tried.

None of them depends on where the threads are.  Fetching ahead does, and its probability is unknown: it is left out, so
that a failure that ``check`` finds only with it has probability 0.  Which thread of a core runs next is a choice, not
chance (``graph.py``).
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause occurs between two operations with ``probability``.  If it does, each of these has its own probability:

    ``write_back``  a data line that the core holds leaves its cache
    ``drop``        an instruction line leaves its cache
    ``fill``        an absent instruction line is fetched though nothing runs it
    ``drain``       the oldest store of a store buffer reaches the data side, and then the next
    ``complete``    one piece of pending maintenance completes
    ``move``        a thread moves to another core

    Each holds for one line, store and so on, of every core, or of ``core`` alone.  An interrupt that evicts data and
    instructions is one cause: two causes would be independent.  Raises ``InputError`` for a value outside 0 .. 1.
    """

    name: str
    probability: float = 1.0
    write_back: float = 0.0
    drop: float = 0.0
    fill: float = 0.0
    drain: float = 0.0
    complete: float = 0.0
    move: float = 0.0
    core: int | None = None

    def __post_init__(self) -> None:
        for name in ("probability", *(kind.name.lower() for kind in RANDOM_KINDS)):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{value}", place=f"{self.name}.{name}", expected="a probability, 0 .. 1")

    def of(self, kind: Kind) -> float:
        """The probability of an event of this kind, given that the cause occurs."""
        value: float = getattr(self, kind.name.lower())
        return value


AT_ONCE = Cause("at once", drain=1.0, complete=1.0)
"""Stores leave their buffer, and maintenance completes, before the next operation."""

PER_CAUSE = 1 + len(RANDOM_KINDS)
"""Probabilities of one cause: its own, and one for each of ``RANDOM_KINDS``."""

Structure: TypeAlias = tuple[tuple[int | None, ...], bytes]


def probabilities(causes: Sequence[Cause]) -> npt.NDArray[np.float64]:
    """All probabilities in order, ``PER_CAUSE`` for each cause."""
    return np.array([value for cause in causes for value in (cause.probability, *map(cause.of, RANDOM_KINDS))])


def structure(causes: Sequence[Cause]) -> Structure:
    """What determines the chain's states and edges: the cores, and which probabilities are 0 and which are 1."""
    p = probabilities(causes)
    return tuple(cause.core for cause in causes), np.stack((p > 0, p == 1)).tobytes()
