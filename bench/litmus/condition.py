"""The condition of a litmus test: a proposition on its final states under a quantifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from bench.litmus.values import DataAddress, LitmusValue

Quantifier = Literal["exists", "~exists", "forall"]


class ThreadRegister(NamedTuple):
    """A register of a thread, by the number of its 64-bit name."""

    thread: int
    number: int


class Fault(NamedTuple):
    """A fault of any kind that a thread took, at a label if one is named."""

    thread: int
    label: str = ""


Observable: TypeAlias = ThreadRegister | DataAddress | Fault
"""A part of the final state; the value of a fault is 1 if it was taken, else 0."""


@dataclass(frozen=True, slots=True)
class Equals:
    """``where`` has ``value`` (1 for a fault)."""

    where: Observable
    value: LitmusValue


@dataclass(frozen=True, slots=True)
class Not:
    """Negation."""

    inner: Proposition


@dataclass(frozen=True, slots=True)
class And:
    """Conjunction."""

    one: Proposition
    other: Proposition


@dataclass(frozen=True, slots=True)
class Or:
    """Disjunction."""

    one: Proposition
    other: Proposition


@dataclass(frozen=True, slots=True)
class Constant:
    """``true`` or ``false``."""

    value: bool


Proposition: TypeAlias = Equals | Not | And | Or | Constant


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a test; ``shown``: the observables of its ``locations`` clause, in order."""

    quantifier: Quantifier
    proposition: Proposition
    shown: tuple[Observable, ...] = ()


def holds(proposition: Proposition, state: Mapping[Observable, LitmusValue]) -> bool:
    """Whether a final state satisfies a proposition."""
    match proposition:
        case Equals(where, value):
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


def observables(proposition: Proposition) -> Iterator[Observable]:
    """The observables in a proposition, in order."""
    match proposition:
        case Equals(where):
            yield where
        case Not(inner):
            yield from observables(inner)
        case And(one, other) | Or(one, other):
            yield from observables(one)
            yield from observables(other)


def proposition_text(proposition: Proposition, shows: Callable[[Observable, LitmusValue], str], above: int = 0) -> str:
    """A proposition as herd prints it, with as few brackets as precedence allows."""
    match proposition:
        case Equals(where, value):
            return shows(where, value)
        case Not(inner):
            return f"not ({proposition_text(inner, shows)})"
        case And(one, other):
            text, level = f"{proposition_text(one, shows, 2)} /\\ {proposition_text(other, shows, 2)}", 2
        case Or(one, other):
            text, level = f"{proposition_text(one, shows, 1)} \\/ {proposition_text(other, shows, 1)}", 1
        case Constant(value):
            return str(value).lower()
    return f"({text})" if above > level else text


def observable_text(where: Observable) -> str:
    """An observable as herd prints it: ``1:X0``, ``[x]``."""
    match where:
        case ThreadRegister(thread, number):
            return f"{thread}:X{number}"
        case Fault(thread, label):
            return f"P{thread}:{label}" if label else f"P{thread}"
    return f"[{where.name}]" if not where.offset else f"[{where.name}+{where.offset}]"


def sort_key(where: Observable) -> tuple[int, ...] | tuple[int, str, int]:
    """The sort key of an observable: registers by thread and number, then locations by name, then faults."""
    match where:
        case ThreadRegister(thread, number):
            return 0, thread, number
        case Fault(thread):
            return 2, thread
    return 1, where.name, where.offset
