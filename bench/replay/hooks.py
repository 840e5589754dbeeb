"""The hooks of strategies on a trace, evaluated for each group of like blocks and of like retranslations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from bench.caches.events import EventKind
from bench.hosts.profile import FlushRecipe
from bench.replay.groups import Groups
from bench.replay.plan import Extent, LineStep, Plan, executor_locks, plan
from bench.support.processors import each
from strategies.evaluation import answers_as_base, side_bytes
from strategies.strategy import Strategy
from strategies.writes import Region

_Plans: TypeAlias = tuple[Plan, ...]


class Hooks(NamedTuple):
    """The plans of a strategy's hooks, for each group of blocks or retranslations; None where they are the base's.

    ``executors``: the locks around executions.  ``executions``: ``enter`` and ``leave`` together.  ``side_bytes`` of
    each distinct TB.
    """

    executors: Mapping[str, bool]
    retranslations: _Plans | None
    translations: _Plans | None
    executions: _Plans
    flushes: _Plans
    side_bytes: tuple[int, ...]


class Evaluated(NamedTuple):
    """The hooks of several strategies, and those of the base class, which are part of every replay."""

    retranslations: _Plans
    translations: _Plans
    hooks: tuple[Hooks, ...]


def evaluate(groups: Groups, recipe: FlushRecipe, strategies: Sequence[Strategy]) -> Evaluated:
    """The hooks of ``strategies`` on a host that flushes by ``recipe``, on all cores where there is much to evaluate.

    Raises ``StrategyError`` for a hook that cannot be evaluated.
    """
    base = Strategy()
    retranslations, translations = _retranslations(groups, recipe, base, {}), _translations(groups, recipe, base)
    work = partial(_hooks, groups, recipe)
    hooks = tuple(each(work, strategies) if groups.are_large else map(work, strategies))
    return Evaluated(retranslations, translations, hooks)


def _hooks(groups: Groups, recipe: FlushRecipe, strategy: Strategy) -> Hooks:
    some = next((kind.region for kind in groups.blocks), Region(0, 0, ()))
    executors = executor_locks(strategy, some)
    rewrites = not answers_as_base(strategy, "retranslate", "begin", "emit", "publish")
    translates = not answers_as_base(strategy, "translate", "emit")
    return Hooks(
        executors,
        _retranslations(groups, recipe, strategy, executors) if rewrites else None,
        _translations(groups, recipe, strategy) if translates else None,
        _executions(groups, recipe, strategy),
        tuple(
            plan(strategy, (("flush_buffer", buffer),), recipe, executors=executors, locate=groups.where)
            for buffer in groups.buffers
        ),
        tuple(side_bytes(strategy, block) for block in groups.sizes[0]),
    )


def _retranslations(groups: Groups, recipe: FlushRecipe, strategy: Strategy, executors: Mapping[str, bool]) -> _Plans:
    return tuple(
        plan(strategy, (("retranslate", kind.region),), recipe, executors=executors) for kind in groups.retranslated
    )


def _translations(groups: Groups, recipe: FlushRecipe, strategy: Strategy) -> _Plans:
    """Of ``translate``, the rest of the block stored before it."""
    plans = []
    for kind in groups.blocks:
        one = plan(strategy, (("translate", kind.region),), recipe)
        modelled = max((write.unit.offset + write.unit.size for write in kind.region.writes), default=0)
        plans.append(Plan((LineStep(EventKind.STORE, Extent(modelled, None)), *one.steps), one.fixed))
    return tuple(plans)


def _executions(groups: Groups, recipe: FlushRecipe, strategy: Strategy) -> _Plans:
    if answers_as_base(strategy, "enter", "leave"):
        return (Plan(),) * len(groups.blocks)
    around = ((("enter", kind.region), ("leave", kind.region)) for kind in groups.blocks)
    return tuple(plan(strategy, calls, recipe) for calls in around)
