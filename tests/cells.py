"""Cells that tests check, and those of which the risk is asked."""

from __future__ import annotations

from typing import Any

from bench.check.cell import Check, Checked, Options
from bench.check.units import concerned_by
from bench.hosts import load_host, load_target
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.search.question import Question
from bench.translators.registry import load_translator
from strategies import registry
from strategies.strategy import Strategy


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


def chain_cell(
    strategy: str, host: str = "cortex-a9", translator: str = "arm@2010", name: str = "system", retranslations: int = 1
) -> tuple[Model, Question]:
    """The model of a shipped cell, with one retranslation, and the question."""
    profile = load_host(host)
    instance = scenario(name, profile.cores.value, retranslations=retranslations)
    assert instance is not None
    compiler = Compiler(named(strategy), load_translator(translator), profile, instance)
    return compiler.model, Question("wrong fetch", concerned_by(compiler, "transient"))
