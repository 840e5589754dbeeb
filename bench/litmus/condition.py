"""What a test says of its final states: a proposition under a quantifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from bench.litmus.values import Data, Value

Quantifier = Literal["exists", "~exists", "forall"]


class Reg(NamedTuple):
    """A register of a thread, by the number of the 64-bit one."""

    thread: int
    number: int


class Fault(NamedTuple):
    """That a thread has taken a fault, at a label if one is named; what kind is not told apart."""

    thread: int
    label: str = ""


Where: TypeAlias = Reg | Data | Fault
"""What a final state says something of; the value of a fault is 1, or 0 for none."""


@dataclass(frozen=True, slots=True)
class Is:
    """``where`` is ``value``; for a fault the value is 1."""

    where: Where
    value: Value


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Proposition


@dataclass(frozen=True, slots=True)
class And:
    """Both."""

    one: Proposition
    other: Proposition


@dataclass(frozen=True, slots=True)
class Or:
    """At least one."""

    one: Proposition
    other: Proposition


@dataclass(frozen=True, slots=True)
class Constant:
    """``true`` or ``false``."""

    value: bool


Proposition: TypeAlias = Is | Not | And | Or | Constant


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a test; ``shown``: what its states show beside what it speaks of, in order."""

    quantifier: Quantifier
    proposition: Proposition
    shown: tuple[Where, ...] = ()


def holds(proposition: Proposition, state: Mapping[Where, Value]) -> bool:
    """Whether a final state is as it says."""
    match proposition:
        case Is(where, value):
            return state[where] == value
        case Not(inner):
            return not holds(inner, state)
        case And(one, other):
            return holds(one, state) and holds(other, state)
        case Or(one, other):
            return holds(one, state) or holds(other, state)
        case Constant(value):
            return value
    raise AssertionError(proposition)


def spoken_of(proposition: Proposition) -> Iterator[Where]:
    """What it speaks of, in order."""
    match proposition:
        case Is(where):
            yield where
        case Not(inner):
            yield from spoken_of(inner)
        case And(one, other) | Or(one, other):
            yield from spoken_of(one)
            yield from spoken_of(other)


def spelled(proposition: Proposition, shows: Callable[[Where, Value], str], above: int = 0) -> str:
    """As herd prints it, with as few brackets as precedence allows."""
    match proposition:
        case Is(where, value):
            return shows(where, value)
        case Not(inner):
            return f"not ({spelled(inner, shows)})"
        case And(one, other):
            text, level = f"{spelled(one, shows, 2)} /\\ {spelled(other, shows, 2)}", 2
        case Or(one, other):
            text, level = f"{spelled(one, shows, 1)} \\/ {spelled(other, shows, 1)}", 1
        case Constant(value):
            return str(value).lower()
    return f"({text})" if above > level else text


def name_of(where: Where) -> str:
    """As herd prints it: ``1:X0``, ``[x]``."""
    match where:
        case Reg(thread, number):
            return f"{thread}:X{number}"
        case Fault(thread, label):
            return f"P{thread}:{label}" if label else f"P{thread}"
    return f"[{where.name}]" if not where.offset else f"[{where.name}+{where.offset}]"


def order_of(where: Where) -> tuple[int, ...] | tuple[int, str, int]:
    """Registers first, by thread and number; then locations, by name; then faults."""
    match where:
        case Reg(thread, number):
            return 0, thread, number
        case Fault(thread):
            return 2, thread
    return 1, where.name, where.offset
