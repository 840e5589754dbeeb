"""The chains of ``staleline risk`` against Storm: the same figures, and how long both take."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.check.units import concerned_by
from bench.hosts import load_host
from bench.program.compiler import Compiler
from bench.risk.causes import AT_ONCE, Cause
from bench.risk.chain import Chain
from bench.risk.evictions import causes_on
from bench.risk.pressure import Pressure
from bench.scenarios import scenario
from bench.search.question import Question
from bench.suite import prism, storm
from bench.suite.conftest import Measure
from bench.suite.table import OURS, Goal
from bench.translators.registry import load_translator
from strategies.registry import find

GROUP = "exact answer: unfixed on a Cortex-A9, system"
EVICTIONS = (Cause("evictions", write_back=1e-6, drop=1e-3), AT_ONCE)
RARE = (Cause("evictions", write_back=1e-12, drop=1e-9), AT_ONCE)
INTERRUPTS = (Cause("interrupt", 0.01, write_back=0.5, drop=0.25), AT_ONCE)
BUFFERED = (Cause("all", write_back=1e-3, drop=1e-2, fill=1e-2, drain=0.5, complete=0.5, move=1e-3),)


def chain(strategy: str, host: str, translator: str, name: str, causes: tuple[Cause, ...] | None) -> Chain:
    """The chain of a cell; without ``causes`` under those of the host."""
    profile = load_host(host)
    instance = scenario(name, profile.cores.value, retranslations=1)
    assert instance is not None
    compiler = Compiler(find(strategy), load_translator(translator), profile, instance)
    question = Question("wrong fetch", concerned_by(compiler, "transient"))
    return Chain(compiler.model, question, causes or pressed(host, name), runs=2)


def pressed(host: str, name: str) -> tuple[Cause, ...]:
    """The causes of a host at their values."""
    profile = load_host(host)
    instance = scenario(name, profile.cores.value, retranslations=1)
    assert instance is not None
    return causes_on(profile, Pressure().values(profile, "arm"), instance.cores, instance.moves, gaps=3)


CELLS = [
    ("unfixed", "cortex-a9", "arm@2010", "system", EVICTIONS),
    ("unfixed", "cortex-a9", "arm@2010", "system", RARE),
    ("unfixed", "cortex-a9", "arm@2010", "system", None),
    ("global-lock", "cortex-a8", "arm@2010", "system", INTERRUPTS),
    ("unfixed", "mips-24kc", "mips@2010", "system", EVICTIONS),
    ("flush-on-retranslation", "cortex-a9", "arm@2010", "migrate", BUFFERED),
    ("stop-the-world", "cortex-a9", "arm@2010", "migrate", BUFFERED),
    ("unfixed", "cortex-a9", "arm@2010", "user", INTERRUPTS),
    ("flush-on-retranslation", "cortex-a9", "arm@2010", "user", None),
    ("unfixed", "arm926", "arm@2010", "user", EVICTIONS),
]


@pytest.mark.parametrize(("strategy", "host", "translator", "name", "causes"), CELLS)
def test_storm_agrees(
    strategy: str, host: str, translator: str, name: str, causes: tuple[Cause, ...] | None, tmp_path: Path
) -> None:
    asked, causes = chain(strategy, host, translator, name, causes), causes or pressed(host, name)
    text = prism.model(asked, causes)
    if asked.single_threaded:
        answer = asked.figures(causes)
        pairs = [(prism.FIRST, answer.first)]
        if answer.first:
            pairs.append((prism.ROUNDS, answer.rounds))
    else:
        pairs = [
            (prism.LEAST, asked.probability(causes, scheduler="least")),
            (prism.GREATEST, asked.probability(causes, scheduler="greatest")),
        ]
    for question, ours in pairs:
        assert ours == pytest.approx(storm.asked(text, question, tmp_path), rel=1e-9, abs=0)


def test_ours(measure: Measure) -> None:
    asked = chain("unfixed", "cortex-a9", "arm@2010", "system", EVICTIONS)
    measure(lambda: asked.figures(EVICTIONS), GROUP, OURS, goal=Goal(seconds=0.05), rounds=20)


def test_storm(measure: Measure, tmp_path: Path) -> None:
    pytest.importorskip("stormpy", reason="stormpy, the peer, is not installed (make bench-peers)")
    text = prism.model(chain("unfixed", "cortex-a9", "arm@2010", "system", EVICTIONS), EVICTIONS)
    measure(lambda: storm.asked(text, prism.FIRST, tmp_path), GROUP, "Storm, exact", goal=Goal(fast=10), rounds=10)
