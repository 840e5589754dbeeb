"""The evaluation of a hook, one history of results at a time.

A hook is replayed from its beginning for every history of ``Load`` results and
the answer is kept, so that a generator costs nothing under exhaustive
exploration and never has to be copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from strategies.foreign import foreign
from strategies.operations import Load, Operation
from strategies.strategy import HOOKS, Strategy, StrategyError, place_of, refuse_foreign
from strategies.writes import Block

LONGEST = 100_000
"""Operations of one hook, at most: a hook that yields for ever is found out, not waited for."""

MOST_LOADS = 8
"""Loads of one hook, at most.  Every combination of their results is tried, three of each or more; and a hook that
loads until it likes the result is found out."""


MOST_BYTES = 1 << 30
"""Memory beside one block, at most: more than there is beside all of them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a hook asks for next: ``operations`` up to its end, or up to and with the next ``Load``."""

    operations: tuple[Operation, ...]
    ended: bool


_BASE = Strategy()
_FREE = frozenset((*HOOKS, "side_bytes", "name", "summary"))
"""What a strategy may define without changing what the base class's other hooks do."""


def answers_as_base(strategy: Strategy, *hooks: str) -> bool:
    """Whether these hooks are the base class's, and nothing that they run is another's.

    Helpers count as such a thing, whoever calls them, and so does what an object has of its own.
    """
    cls: Any = type(strategy)
    return not vars(strategy) and _defines_none(cls, hooks)


@lru_cache
def _defines_none(cls: Any, hooks: tuple[str, ...]) -> bool:
    """Whether the classes below the base class define neither these hooks nor anything that hooks run."""
    classes = [one for one in cls.__mro__ if one not in (Strategy, object)]
    own = {name for one in classes for name in vars(one) if not name.startswith("__")}
    return own <= _FREE and own.isdisjoint(hooks)


def ask(strategy: Strategy, hook: str, argument: Any, history: tuple[int, ...] = ()) -> Stretch:
    """The operations of ``strategy.hook(argument)`` after the results ``history``.

    Raises ``StrategyError`` if the hook raises, gives another answer when asked
    twice (which tells chance often, not always), yields something that is no operation, or does not end.
    """
    return _asked(_BASE if answers_as_base(strategy, hook) else strategy, hook, argument, history)


@lru_cache(maxsize=65536)
def _asked(strategy: Strategy, hook: str, argument: Any, history: tuple[int, ...]) -> Stretch:
    place = place_of(strategy, hook)
    if len(history) > MOST_LOADS:
        raise StrategyError(f"{place}: more than {MOST_LOADS} loads in one hook; all their combinations are tried")
    if strategy is _BASE:  # which is known to be pure
        return _answered(getattr(strategy, hook)(argument), history, place)
    with foreign(f"{place}: raised"):
        first, again = (_answered(getattr(strategy, hook)(argument), history, place) for _ in range(2))
    if again != first:
        raise StrategyError(
            f"{place}: asked twice with the same results {history}, it gave two answers; a hook "
            f"must be pure (usual causes: state kept on self, a set's order, chance, a clock)"
        )
    return first


def side_bytes(strategy: Strategy, tb: Block) -> int:
    """The bytes that a strategy keeps beside a block.  Raises ``StrategyError`` as ``ask``, and for what is no size."""
    if answers_as_base(strategy, "side_bytes"):
        return _BASE.side_bytes(tb)
    place = place_of(strategy, "side_bytes")
    with foreign(f"{place}: raised"):
        found: object = strategy.side_bytes(tb)
        again: object = strategy.side_bytes(tb)
    if type(found) is not int or not 0 <= found <= MOST_BYTES:
        raise StrategyError(f"{place}: returns {found!r}; return a number of bytes, 0 to {MOST_BYTES}")
    if found != again:
        raise StrategyError(f"{place}: asked twice, it gave {found} and {again!r}; it must be pure")
    return found


def _answered(answer: Any, history: tuple[int, ...], place: str) -> Stretch:
    if isinstance(answer, tuple):
        return Stretch(answer, ended=True)
    pending = list(reversed(history))
    asked: list[Operation] = []
    try:
        operation = next(answer)
        for _ in range(LONGEST):
            refuse_foreign(operation, place)
            if isinstance(operation, Load) and pending:
                asked.clear()
                operation = answer.send(pending.pop())
                continue
            asked.append(operation)
            if isinstance(operation, Load):
                answer.close()
                return Stretch(tuple(asked), ended=False)
            operation = next(answer)
    except StopIteration:
        if pending:
            raise StrategyError(f"{place}: asked again, it loads less often; a hook must be pure") from None
        return Stretch(tuple(asked), ended=True)
    raise StrategyError(f"{place}: more than {LONGEST} operations; a hook must end")
