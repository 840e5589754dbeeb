"""What a strategy needs: of itself, which operations cannot be left out; of the host, the weakest on which it holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.check.cell import Check, Options
from bench.check.cells import Progress, check_all
from bench.hosts import Host
from bench.machine.caches import with_features
from bench.protocols.host import HOST_FEATURES, STORES_DROP_NO_LINE, MemoryFeature
from bench.protocols.omission import Omission, omitted_in_turn
from bench.translators.translator import Translator
from strategies.operations import Acquire, Flush, Hook, Operation, Release
from strategies.strategy import Strategy
from strategies.writes import Region

_PAIRS = (("begin", "publish"), ("enter", "leave"))
"""The hooks around a retranslation, and around an execution."""


def omissions(
    strategy: Strategy, translator: Translator, host: Host, scenarios: Sequence[str], options: Options
) -> tuple[Omission, ...]:
    """Leave each operation that orders, maintains or locks out in turn.  None for a strategy that holds nowhere.

    Only of hooks that return a tuple, which those of a strategy with such operations do unless it branches on a load.
    """

    def holds(strategy: Strategy, scenario: str) -> bool:
        return Check(strategy, translator, host, scenario, options).run().verdict == "holds"

    holding = [name for name in scenarios if holds(strategy, name)]
    without = ((Omission(strategy.name, (text,)), left) for text, left in _without(strategy, translator))
    return omitted_in_turn(without, holding, holds) if holding else ()


def _without(strategy: Strategy, translator: Translator) -> Iterator[tuple[str, Strategy]]:
    """The strategy without one of its operations, and which one."""
    region = translator.block(0).retranslated
    for hooks in _PAIRS:
        locks: dict[str, None] = {}
        for hook in hooks:
            count: dict[type, int] = {}
            answer: Hook = getattr(strategy, hook)(region)
            for operation in answer if isinstance(answer, tuple) else ():
                kind = type(operation)
                if isinstance(operation, Acquire):
                    locks[operation.name] = None
                elif _maintains(operation):
                    number = count[kind] = count.get(kind, 0) + 1
                    again = f" ({number})" if number > 1 else ""
                    yield f"{kind.__name__} in {hook}{again}", _omitting(strategy, {hook: _nth(kind, number)})
        for lock in locks:
            drops = dict.fromkeys(hooks, _of_lock(lock))
            yield f"lock {lock!r} in {hooks[0]} and {hooks[1]}", _omitting(strategy, drops)


def _maintains(operation: Operation) -> bool:
    """Whether it is there for other threads, or for later fetches."""
    paid_as = operation.price and operation.price.part
    return isinstance(operation, Flush) or operation.access in ("clean", "invalidate") or paid_as in ("flush", "stop")


def _nth(kind: type, number: int) -> Callable[[Sequence[Operation]], list[Operation]]:
    """Without operation ``number`` of a kind, counted from 1."""

    def left(operations: Sequence[Operation]) -> list[Operation]:
        at = [place for place, operation in enumerate(operations) if isinstance(operation, kind)][number - 1]
        return [*operations[:at], *operations[at + 1 :]]

    return left


def _of_lock(name: str) -> Callable[[Sequence[Operation]], list[Operation]]:
    """Without a lock."""
    return lambda operations: [
        one for one in operations if not (isinstance(one, Acquire | Release) and one.name == name)
    ]


def _omitting(strategy: Strategy, left: dict[str, Callable[[Sequence[Operation]], list[Operation]]]) -> Strategy:
    cls: Any = type(strategy)

    def made(hook: str) -> Callable[[Strategy, Region], Hook]:
        def method(self: Strategy, region: Region) -> Hook:
            answer: Hook = getattr(cls, hook)(self, region)
            return tuple(left[hook](answer)) if isinstance(answer, tuple) else answer

        method.__name__ = hook
        return method

    found: Strategy = type(cls.__name__, (cls,), {"name": cls.name, **{hook: made(hook) for hook in left}})()
    return found


# --- the weakest host -------------------------------------------------------------------------------------------------

WEAKNESSES = (
    "dirty data lines",
    STORES_DROP_NO_LINE,
    "fetched-ahead queue",
    "store buffer",
    "stores that do not allocate",
)
"""What a host can be weak in, of ``HOST_FEATURES``."""


@dataclass(frozen=True, slots=True)
class Weakest:
    """A strategy in a scenario.

    The largest sets of weaknesses under which it ``holds``, and the smallest under which it ``fails``.  ``decided``: no
    search was cut short.
    """

    strategy: str
    scenario: str
    holds: tuple[tuple[str, ...], ...]
    fails: tuple[tuple[str, ...], ...]
    decided: bool


def weakest(
    strategies: Sequence[Strategy],
    translator: Translator,
    host: Host,
    scenarios: Sequence[str],
    options: Options,
    progress: Progress,
) -> tuple[Weakest, ...]:
    """Try every set of weaknesses, on a host that otherwise is as given."""
    sets = [some for count in range(len(WEAKNESSES) + 1) for some in itertools.combinations(WEAKNESSES, count)]
    hosts = {some: weakened(host, some) for some in sets}
    asked = [(strategy, name) for strategy in strategies for name in scenarios]
    cells = [Check(strategy, translator, hosts[some], name, options) for strategy, name in asked for some in sets]
    results = iter(check_all(cells, progress))
    return tuple(
        _weakest(strategy.name, name, dict(zip(sets, (next(results).verdict for _ in sets), strict=True)))
        for strategy, name in asked
    )


def weakened(host: Host, names: Container[str]) -> Host:
    """The host with those of ``WEAKNESSES``, and without the others."""
    changes: dict[str, Any] = {}
    for name in WEAKNESSES:
        feature = HOST_FEATURES[name]
        assert isinstance(feature, MemoryFeature)
        changes |= feature.present if name in names else feature.absent
    return with_features(host, changes)


def _weakest(strategy: str, scenario: str, verdicts: dict[tuple[str, ...], str]) -> Weakest:
    holding = [set(some) for some, verdict in verdicts.items() if verdict == "holds"]
    failing = [set(some) for some, verdict in verdicts.items() if verdict == "fails"]

    def ordered(some: set[str]) -> tuple[str, ...]:
        return tuple(name for name in WEAKNESSES if name in some)

    return Weakest(
        strategy,
        scenario,
        tuple(ordered(some) for some in holding if not any(some < other for other in holding)),
        tuple(ordered(some) for some in failing if not any(other < some for other in failing)),
        "bounded" not in verdicts.values(),
    )
