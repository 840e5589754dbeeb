"""What happens to the caches between two operations of a thread, and with which probability."""

from __future__ import annotations

from dataclasses import dataclass, fields

from bench.errors import InputError
from bench.machine import Kind

CHANCY = tuple(kind for kind in Kind if kind is not Kind.PROGRAM)
"""What is left to chance, in the order in which it is tried."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happens between two operations with ``probability``; and, if it does, the probability that

    ``write_back``  a data line that the core holds leaves its cache
    ``drop``        an instruction line leaves its cache
    ``fill``        an absent instruction line is fetched though nothing runs it
    ``ahead``       a core fetches the next unit of a block ahead
    ``drain``       the oldest store of a store buffer reaches the data side, and then the next
    ``complete``    one piece of pending maintenance completes
    ``switch``      a core goes on with another of its threads
    ``move``        a thread goes on on another core

    each for one line, store and so on.  An interrupt that pushes out data and instructions is one cause: two would say
    that the one has nothing to do with the other.  Raises ``InputError`` for what is no probability.
    """

    name: str
    probability: float = 1.0
    write_back: float = 0.0
    drop: float = 0.0
    fill: float = 0.0
    ahead: float = 0.0
    drain: float = 0.0
    complete: float = 0.0
    switch: float = 0.0
    move: float = 0.0

    def __post_init__(self) -> None:
        for chance in fields(self)[1:]:
            value = getattr(self, chance.name)
            if not 0 <= value <= 1:
                raise InputError(f"{value}", place=f"{self.name}.{chance.name}", expected="a probability, 0 .. 1")

    def of(self, kind: Kind) -> float:
        """The probability of a step of that kind, if it happens."""
        value: float = getattr(self, kind.name.lower())
        return value


AT_ONCE = Cause("at once", drain=1.0, complete=1.0)
"""Stores leave their buffer, and maintenance completes, before the next operation."""
