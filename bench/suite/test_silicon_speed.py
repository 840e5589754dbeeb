"""The operations of strategies on this machine: real time, in the instructions of this machine.

Groups hold what is compared, so that ``pytest-benchmark compare`` works on two runs.  ``work`` in ``extra_info`` is the
number of instances in one round; nothing here has a goal, since times are those of one machine.
"""

from __future__ import annotations

import contextlib

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.check import asked
from bench.check.export import as_protocol
from bench.hosts import load_host
from bench.protocols.document import document_from
from bench.silicon.functions import Functions
from bench.silicon.instructions import this_instruction_set
from bench.silicon.loops import register_membarrier
from bench.silicon.native import cores, kept_on
from bench.silicon.running import Batches
from bench.silicon.sites import SiteInstances
from bench.silicon.threads import BATCH
from bench.sites.reader import library, load_site
from bench.sites.scenarios import trials
from bench.support.errors import InputError
from bench.translators.registry import load_translator

TRANSLATOR = "arm@2010"


def _batches(name: str) -> Batches:
    """One thread that retranslates and then executes, or that relinks a site between two executions."""
    try:
        instructions = this_instruction_set()
        if name in library():
            with contextlib.suppress(OSError):  # a site without it does not ask
                register_membarrier(instructions)
            site, host = load_site(name), load_host(instructions.profile)
            for trial in trials(site, host, "interrupted", synchronised=False):
                if trial.of.startswith("relink by a handler, stopped at"):
                    return Batches(SiteInstances(trial, instructions), seed=1)
            pytest.skip("it has no relink that one thread can make")
        (strategy,) = asked.strategies(name)
        host = load_host(instructions.profile)
        text = as_protocol(strategy, load_translator(TRANSLATOR), host, "system")
        return Batches(Functions(document_from(text, name).cases[0].protocol, instructions), seed=1)
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", [strategy.name for strategy in asked.strategies(None)])
def test_a_retranslation_and_an_execution(benchmark: BenchmarkFixture, name: str) -> None:
    """One thread: the retranslation of one branch, and its execution after it."""
    _timed_alone(benchmark, name, f"one retranslated branch of {TRANSLATOR}, executed after it", "final")


@pytest.mark.parametrize("name", [name for name in library() if name.endswith(("-x86", "-aarch64"))])
def test_a_site_is_relinked_and_executed(benchmark: BenchmarkFixture, name: str) -> None:
    """One thread: an unlink and a link in its own words, and an execution after them."""
    _timed_alone(benchmark, name, "a site relinked, and executed twice", "near2")


STORE_BUFFERING = """
[layout]
A = 0
B = 64
[init]
A = "old"
B = "old"
[allowed]
T0 = ["old", "new"]
T1 = ["old", "new"]
[threads.T0]
core = 0
does = '''
store A new
load B
'''
[threads.T1]
core = 1
does = '''
store B new
load A
'''
"""


def test_two_threads_execute_a_litmus_test(benchmark: BenchmarkFixture) -> None:
    """Store buffering as ``run`` executes it, with delays, pressure and counting: executions for each core."""
    benchmark.group = "store buffering, executed by two threads"
    if len(cores()) < 2:
        pytest.skip("two threads need two cores")
    try:
        instances = Functions(document_from(STORE_BUFFERING, "SB").cases[0].protocol, this_instruction_set())
        batches = Batches(instances, seed=1)
    except InputError as error:
        pytest.skip(str(error))
    seen = benchmark.pedantic(lambda: batches.run(BATCH), rounds=50, warmup_rounds=2)
    benchmark.extra_info.update({"tool": "Staleline", "work": BATCH // 2, "unit": "executions for each core"})
    assert seen.instances == seen.outcomes.total() == BATCH


def _timed_alone(benchmark: BenchmarkFixture, name: str, group: str, wanted: str) -> None:
    """One thread by itself; what was executed last is what was stored last."""
    benchmark.group = group
    batches = _batches(name)
    with kept_on(cores()[0]):
        benchmark.pedantic(batches.alone, setup=batches.reset, rounds=50, warmup_rounds=2)
    benchmark.extra_info.update({"tool": name, "work": BATCH, "unit": "instances"})
    assert {batches.instances.value_of(int(number)) for number in {*batches.results[0][:, -1]}} == {wanted}
