"""Cells that grow: ``user`` with more cores, blocks and retranslations, up to tens of millions of states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.check.units import concerned_by
from bench.hosts import load_host
from bench.machine.model import Model
from bench.program.compiler import Compiler
from bench.scenarios import scenario
from bench.search.question import Question
from bench.translators.registry import load_translator
from strategies import registry

HOST, TRANSLATOR = "cortex-a72", "arm@2010"


@dataclass(frozen=True, slots=True)
class ScaledCase:
    """A strategy in a scenario on ``HOST``, which gets as many cores as there are threads."""

    strategy: str
    scenario: Literal["system", "user", "user-both"] = "user"
    cores: int = 2
    tbs: int = 1
    retranslations: int = 2

    @property
    def name(self) -> str:
        """What a table says of it."""
        counted = ((self.cores, "core"), (self.tbs, "TB"), (self.retranslations, "retranslation"))
        many = ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counted)
        return f"{self.strategy}, {self.scenario}, {many}"

    def asked(self) -> tuple[Model, Question]:
        """The model, and the question whether anything wrong is fetched."""
        host = load_host(HOST)
        if host.cores.value < self.cores:
            host = load_host(HOST, [f"cores={self.cores}"])
        instance = scenario(
            self.scenario, host.cores.value, cores=self.cores, tbs=self.tbs, retranslations=self.retranslations
        )
        assert instance is not None, f"{HOST} has one core"
        compiler = Compiler(registry.find(self.strategy), load_translator(TRANSLATOR), host, instance)
        return compiler.model, Question("wrong fetch", concerned_by(compiler, "transient"))


RIGHT = "stop-the-world-flush"
"""A strategy that holds, so that every state has to be seen, and the one with the longest retranslation."""

SMALL = ScaledCase(RIGHT, cores=3)
"""For tools that see some ten thousand states in a second."""

MIDDLE = ScaledCase(RIGHT, cores=3, tbs=2)

LARGEST = ScaledCase(RIGHT, cores=6, retranslations=1)
"""The largest with some hundred swaps that SPIN finishes in memory: five executors can be swapped in 120 ways."""

SCALED = {
    SMALL: (26_486, 14_604),
    ScaledCase(RIGHT, cores=4): (286_570, 61_912),
    MIDDLE: (1_645_024, 429_964),
    ScaledCase(RIGHT, cores=3, tbs=2, retranslations=5): (3_723_760, 970_810),
    ScaledCase(RIGHT, cores=5): (3_358_502, 224_400),
    LARGEST: (22_904_357, 396_744),
    ScaledCase(RIGHT, cores=3, tbs=3): (63_870_848, 6_186_724),
}
"""The states of each: all, and those that are left when like blocks and cores are swapped."""
