"""The operations of strategies on this machine: real time, in the instructions of this machine.

Groups hold what is compared, so that ``pytest-benchmark compare`` works on two runs.  ``work`` in ``extra_info`` is the
number of instances in one round; nothing here has a goal, since times are those of one machine.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.check import asked
from bench.check.export import as_protocol
from bench.hosts import load_host
from bench.protocols.document import document_from
from bench.silicon.instructions import this_instruction_set
from bench.silicon.native import cores, kept_on
from bench.silicon.running import BATCH, Batches
from bench.silicon.threads import ALIGNED, Instances
from bench.support.errors import InputError
from bench.translators.registry import load_translator

TRANSLATOR = "arm@2010"


def _batches(name: str) -> Batches:
    try:
        instructions = this_instruction_set()
        (strategy,) = asked.strategies(name)
        host = load_host(instructions.profile)
        text = as_protocol(strategy, load_translator(TRANSLATOR), host, "system")
        return Batches(Instances(document_from(text, name).cases[0].protocol, instructions, ALIGNED), seed=1)
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", [strategy.name for strategy in asked.strategies(None)])
def test_a_retranslation_and_an_execution(benchmark: BenchmarkFixture, name: str) -> None:
    """One thread: the retranslation of one branch, and its execution after it."""
    benchmark.group = f"one retranslated branch of {TRANSLATOR}, executed after it"
    batches = _batches(name)
    with kept_on(cores()[0]):
        benchmark.pedantic(batches.alone, setup=batches.reset, rounds=50, warmup_rounds=2)
    benchmark.extra_info.update({"tool": name, "work": BATCH, "unit": "instances"})
    executed = batches.results[0]
    assert {*executed[:, -1]} == {batches.instances.values["final"]}
