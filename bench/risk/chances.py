"""With which probability the environment takes its steps, between two operations of a thread."""

from __future__ import annotations

from dataclasses import dataclass, fields

from bench.errors import InputError
from bench.machine import Kind


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities, each for one thing between two operations.

    ``write_back``  a data line that the core holds leaves its cache
    ``drop``        an instruction line leaves its cache
    ``fill``        an absent instruction line is fetched though nothing runs it
    ``ahead``       a core fetches the next unit of a block ahead
    ``drain``       the oldest store of a store buffer reaches the data side, and then the next
    ``complete``    one piece of pending maintenance completes
    ``switch``      a core goes on with another of its threads
    ``move``        a thread goes on on another core

    Raises ``InputError`` for what is no probability, and for stores and maintenance that never end.
    """

    write_back: float = 0.0
    drop: float = 0.0
    fill: float = 0.0
    ahead: float = 0.0
    drain: float = 1.0
    complete: float = 1.0
    switch: float = 0.0
    move: float = 0.0

    def __post_init__(self) -> None:
        for chance in fields(self):
            value = getattr(self, chance.name)
            least = "more than 0" if chance.name in ("drain", "complete") else "0"
            if not 0 <= value <= 1 or (least != "0" and value == 0):
                raise InputError(f"{value}", place=chance.name, expected=f"a probability, {least} .. 1")

    def of(self, kind: Kind) -> float:
        """The probability of a step of that kind."""
        value: float = getattr(self, kind.name.lower())
        return value

    @property
    def certain(self) -> frozenset[Kind]:
        """The kinds of steps that are always taken."""
        return frozenset(kind for kind in CHANCY if self.of(kind) == 1)

    @property
    def possible(self) -> frozenset[Kind]:
        """The kinds of steps that are taken at all."""
        return frozenset(kind for kind in CHANCY if self.of(kind) > 0)


CHANCY = tuple(kind for kind in Kind if kind is not Kind.PROGRAM)
"""What is left to chance, in the order in which it is tried."""
