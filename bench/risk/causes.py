"""What happens to the caches between two operations of a thread, and with which probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.machine import Kind
from bench.support.errors import InputError

CHANCY = (Kind.WRITE_BACK, Kind.DROP, Kind.FILL, Kind.DRAIN, Kind.COMPLETE, Kind.MOVE)
"""What is left to chance, in the order in which it is tried.

None of it depends on where the threads are.  What a core fetches ahead of its thread does, and how likely it is nobody
knows: it is left out, so that where ``check`` finds a failure by it alone the probability is 0.  Which thread of a core
goes on is not chance (``bench/risk/walk.py``).
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happens between two operations with ``probability``; and, if it does, the probability that

    ``write_back``  a data line that the core holds leaves its cache
    ``drop``        an instruction line leaves its cache
    ``fill``        an absent instruction line is fetched though nothing runs it
    ``drain``       the oldest store of a store buffer reaches the data side, and then the next
    ``complete``    one piece of pending maintenance completes
    ``move``        a thread goes on on another core

    each for one line, store and so on, of every core, or of ``core`` alone.  An interrupt that pushes out data and
    instructions is one cause: two would say that the one has nothing to do with the other.  Raises ``InputError`` for
    what is no probability.
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
        chances = {"probability": self.probability, **{kind.name.lower(): self.of(kind) for kind in CHANCY}}
        for name, value in chances.items():
            if not 0 <= value <= 1:
                raise InputError(f"{value}", place=f"{self.name}.{name}", expected="a probability, 0 .. 1")

    def of(self, kind: Kind) -> float:
        """The probability of a step of that kind, if it happens."""
        value: float = getattr(self, kind.name.lower())
        return value


AT_ONCE = Cause("at once", drain=1.0, complete=1.0)
"""Stores leave their buffer, and maintenance completes, before the next operation."""

EACH = 1 + len(CHANCY)
"""Probabilities of a cause: its own, and of each kind in ``CHANCY``."""


def probabilities(causes: Sequence[Cause]) -> npt.NDArray[np.float64]:
    """All of them in order, ``EACH`` of each cause."""
    return np.array([value for cause in causes for value in (cause.probability, *map(cause.of, CHANCY))])


def structure(causes: Sequence[Cause]) -> bytes:
    """What of the causes makes a difference to the structure: which of their probabilities are 0, and which are 1."""
    p = probabilities(causes)
    return np.stack((p > 0, p == 1)).tobytes()
