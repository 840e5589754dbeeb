"""What the hooks of a strategy can do, found out without running them on a host: operations, live units, locks."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from bench.translators.translator import Code, Translator
from strategies.evaluation import Stretch, ask, side_bytes
from strategies.operations import Acquire, Do, Load, Operation, Release, Store
from strategies.strategy import Strategy, StrategyError, place_of
from strategies.writes import Block, Buffer, Region, Unit

HookCall = tuple[str, Any]
"""A hook's name and its argument."""

Locks = tuple[tuple[str, str], ...]
"""The locks held, in the order in which they were taken: name, and the hook and line that took it."""

Tree = tuple[Any, ...]
"""Operations, and trees of operations where a hook runs another or goes on by a result."""


def tree(strategy: Strategy, hook: str, argument: Any, history: tuple[int, ...] = (), depth: int = 0) -> Tree:
    """Everything that a hook can ask for, if loads find nothing, all ones or the final value.

    Raises ``StrategyError`` for a hook that runs itself without end.
    """
    if depth > 32:
        raise StrategyError(f"{place_of(strategy, hook)}: runs itself again, without end")
    stretch = ask(strategy, hook, argument, history)
    found: list[Any] = [
        tree(strategy, op.hook, op.argument, (), depth + 1) if isinstance(op, Do) else op for op in stretch.operations
    ]
    if not stretch.ended:
        found.append(tuple(tree(strategy, hook, argument, (*history, g), depth) for g in _guesses(stretch)))
    return tuple(found)


def lock_names(strategy: Strategy, asked: Iterable[HookCall]) -> tuple[str, ...]:
    """The locks that the hooks ``asked`` take, in order."""
    leaves = flat(tuple(tree(strategy, hook, argument) for hook, argument in asked))
    return tuple(sorted({operation.name for operation in leaves if isinstance(operation, Acquire)}))


@lru_cache(maxsize=256)
def meaning(strategy: Strategy, translator: Translator) -> Tree:
    """What tells strategies apart: two with equal meaning do the same on every host with this translator."""
    code = translator.block(0)
    hooks = (
        ("retranslate", code.retranslated),
        ("enter", code.whole),
        ("leave", code.whole),
        ("translate", code.whole),
        ("flush_buffer", Buffer(code.size, (code.whole,))),
    )
    memory = tuple(side_bytes(strategy, Block(10, length, 2)) for length in (100, 400, 1000))
    return (*(tree(strategy, hook, argument) for hook, argument in hooks), memory)


def _guesses(stretch: Stretch) -> tuple[int, ...]:
    """Results worth trying for the load at the end of a stretch."""
    loaded = stretch.operations[-1]
    assert isinstance(loaded, Load)
    return tuple(sorted({0, loaded.unit.final, loaded.unit.mask}))


def flat(found: Tree) -> Iterator[Operation]:
    for item in found:
        if isinstance(item, tuple):
            yield from flat(item)
        else:
            yield item


@dataclass(frozen=True, slots=True)
class LiveUnits:
    """``at``: the units, as (block, offset), that some store of the hooks can change.

    ``independent``: what a unit is loaded as decides nothing but what is stored to that unit; so each unit
    goes its own way, whatever the others hold.
    """

    at: frozenset[tuple[int, int]]
    independent: bool


def live_units(strategy: Strategy, codes: Iterable[Code], asked: Iterable[HookCall]) -> LiveUnits:
    """The units that some store of the hooks ``asked`` can change: a fixed point over the values that each can hold.

    A unit with more than ``many`` values (a sum can grow for ever) is live whatever else it holds; so is
    every other unit that a hook stores after it has loaded such a unit, since not all of its results are tried.
    What scratch memory holds is not kept; raises ``StrategyError`` for a hook that goes on by what it loads there.
    """
    asked = tuple(asked)
    many = 16
    values: dict[tuple[int, int], set[int]] = {
        (unit.tb, unit.offset): {unit.final} for code in codes for unit in code.whole
    }
    influenced: set[tuple[int, int]] = set()
    independent = True

    def visit(
        hook: str,
        argument: Any,
        history: tuple[int, ...] = (),
        loaded: frozenset[tuple[int, int]] = frozenset(),
        read: frozenset[Unit] = frozenset(),
    ) -> tuple[Any, ...]:
        """All that may follow; what is done after it, but for values stored to the one unit ``read`` so far."""
        nonlocal independent
        stretch = ask(strategy, hook, argument, history)
        done: list[Any] = []
        for operation in stretch.operations:
            refuse_unknown(operation, values, place_of(strategy, hook))
            if isinstance(operation, Store) and read == {operation.unit}:
                done.append(replace(operation, value=0))
            else:
                done.append(operation)
            if isinstance(operation, Do):
                visit(operation.hook, operation.argument)
            elif isinstance(operation, Store) and not operation.unit.in_scratch:
                key = (operation.unit.tb, operation.unit.offset)
                held = values[key]
                if loaded - {key}:
                    influenced.add(key)
                if len(held) <= many:
                    held |= {(old & ~operation.mask) | (operation.value & operation.mask) for old in held}
        if not stretch.ended:
            last = stretch.operations[-1]
            assert isinstance(last, Load)
            key = (last.unit.tb, last.unit.offset)
            held = {last.unit.final, 0, last.unit.mask} if last.unit.in_scratch else values[key]
            if len(held) > many:
                loaded |= {key}
                independent = False  # not all of its values are tried
            read |= {last.unit}
            after = {visit(hook, argument, (*history, value), loaded, read) for value in sorted(held)}
            if last.unit.in_scratch and len(after) > 1:
                raise StrategyError(
                    f"{place_of(strategy, hook)}: goes on by what it loads from scratch memory, which is not kept here"
                )
            independent = independent and len(after) == 1
            done.append(min(after, key=len))
        return tuple(done)

    while True:
        before = sum(map(len, values.values())) + len(influenced)
        for hook, argument in asked:
            visit(hook, argument)
        if sum(map(len, values.values())) + len(influenced) == before:
            live = influenced | {key for key, held in values.items() if len(held) > 1}
            return LiveUnits(frozenset(live), independent and not influenced)


def refuse_unknown(operation: Operation, known: Container[tuple[int, int]], place: str) -> None:
    """Raise ``StrategyError`` for an operation of a unit that is not ``known``, by block and offset."""
    if isinstance(operation, Do):
        return
    for where in operation.operands:
        for unit in (where,) if isinstance(where, Unit) else where if isinstance(where, Region | Buffer) else ():
            if (unit.tb, unit.offset) not in known:
                kind = type(operation).__name__
                raise StrategyError(f"{place}: {kind} of TB+{unit.offset}, where block {unit.tb} has no unit")


def locks_after(held: Locks, operation: Acquire | Release, place: str) -> Locks:
    """The locks held after an operation; ``StrategyError`` for one taken twice, or given back without being held."""
    name = operation.name
    if isinstance(operation, Acquire):
        if name in dict(held):
            raise StrategyError(f"{place}: takes the lock {name!r} a second time")
        return (*held, (name, place))
    if name not in dict(held):
        raise StrategyError(f"{place}: releases the lock {name!r}, which it does not hold")
    return tuple(lock for lock in held if lock[0] != name)


def refuse_held(held: Locks) -> None:
    """Raise ``StrategyError`` if a lock is still held when hooks have ended."""
    for name, place in held:
        raise StrategyError(f"{place}: takes the lock {name!r}, and nothing releases it")


def refuse_unbalanced_locks(strategy: Strategy, code: Code, buffer: Buffer) -> None:
    """Raise ``StrategyError`` if a lock is still held after a hook (``enter`` and ``leave`` together), or misused."""
    for hooks in (
        (("translate", code.whole),),
        (("retranslate", code.retranslated),),
        (("enter", code.whole), ("leave", code.whole)),
        (("flush_buffer", buffer),),
    ):
        held: set[Locks] = {()}
        for hook, argument in hooks:
            held = {after for before in held for after in _locks_after(strategy, hook, argument, before)}
        for locks in sorted(held):
            refuse_held(locks)


def _locks_after(
    strategy: Strategy, hook: str, argument: Any, held: Locks, history: tuple[int, ...] = ()
) -> set[Locks]:
    """The locks that may be held after a hook, given those before it."""
    stretch = ask(strategy, hook, argument, history)
    sets = {held}
    for operation in stretch.operations:
        if isinstance(operation, Do):
            sets = {new for old in sets for new in _locks_after(strategy, operation.hook, operation.argument, old)}
        elif isinstance(operation, Acquire | Release):
            place = place_of(strategy, hook)
            sets = {locks_after(old, operation, place) for old in sets}
    if stretch.ended:
        return sets
    return {
        new
        for old in sets
        for guess in _guesses(stretch)
        for new in _locks_after(strategy, hook, argument, old, (*history, guess))
    }
