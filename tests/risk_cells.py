"""Cells of which the risk is asked."""

from __future__ import annotations

from bench.check.units import concerned_by
from bench.hosts import load_host
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.search.question import Question
from bench.translators.registry import load_translator
from strategies.registry import find


def cell(
    strategy: str, host: str = "cortex-a9", translator: str = "arm@2010", name: str = "system", retranslations: int = 1
) -> tuple[Model, Question]:
    """A shipped cell, with one retranslation."""
    profile = load_host(host)
    instance = scenario(name, profile.cores.value, retranslations=retranslations)
    assert instance is not None
    compiler = Compiler(find(strategy), load_translator(translator), profile, instance)
    return compiler.model, Question("wrong fetch", concerned_by(compiler, "transient"))
