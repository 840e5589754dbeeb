"""Cells that tests check, what they are searched on, and a strategy that publishes as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bench.check.cell import Check, Checked, Options
from bench.check.units import concerned_by
from bench.hosts import load_host, load_target
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.search.question import Question
from bench.translators.registry import load_translator
from strategies import operations as op
from strategies import registry
from strategies.strategy import Strategy
from strategies.writes import Region


def named(strategy: Strategy | str) -> Strategy:
    """A shipped strategy by its name, another as it is."""
    return registry.find(strategy) if isinstance(strategy, str) else strategy


def cell(
    strategy: Strategy | str,
    name: str = "system",
    host: str = "cortex-a9",
    translator: str = "arm@2010",
    settings: tuple[str, ...] = (),
    **options: Any,
) -> Checked:
    """One cell, in the scenario ``name``; ``settings`` are those of ``--set``."""
    found, target = load_translator(translator), load_target(host, settings)
    return Check(named(strategy), found, target, name, Options(**options)).run()


def compiled(
    strategy: Strategy | str,
    name: str = "system",
    host: str = "cortex-a9",
    translator: str = "arm@2010",
    scale: Mapping[str, int] = MappingProxyType({}),
    **options: Any,
) -> Compiler:
    """What a cell is searched on; ``scale``: of the scenario, as ``retranslations``; ``options`` of ``Compiler``."""
    profile = load_host(host)
    instance = scenario(name, profile.cores.value, **scale)
    return Compiler(named(strategy), load_translator(translator), profile, instance, **options)


def chain_cell(
    strategy: str, host: str = "cortex-a9", translator: str = "arm@2010", name: str = "system", retranslations: int = 1
) -> tuple[Model, Question]:
    """The model of a shipped cell, with one retranslation, and the question."""
    compiler = compiled(strategy, name, host, translator, {"retranslations": retranslations})
    return compiler.model, Question("wrong fetch", concerned_by(compiler, "transient"))


class Publishes(Strategy):
    """Publishes by operations on the region, in this order."""

    def __init__(self, *operations: str) -> None:
        self.operations = operations

    def publish(self, region: Region) -> op.Hook:
        made: dict[str, op.Operation] = {
            "clean": op.Clean(region),
            "invalidate": op.Invalidate(region),
            "invalidate own": op.Invalidate(region, op.Scope.LOCAL),
            "barrier": op.Barrier(),
            "sync": op.Sync(),
            "sync cores": op.SyncCores(),
        }
        return (*super().publish(region), *(made[name] for name in self.operations))
