"""The cache simulation of the replay against a loop in C, pycachesim and libCacheSim on the same accesses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from bench.caches.counts import Counts
from bench.caches.events import Events
from bench.caches.footprint import Footprint
from bench.caches.simulate import MemoryMap, simulate
from bench.hosts import load_host
from bench.replay.context import ReplayContext
from bench.replay.layout import lay_out
from bench.replay.parameters import Parameters
from bench.replay.replay import replay
from bench.suite import caches
from bench.suite.conftest import Measure
from bench.suite.table import OURS, Goal, GoalRow
from bench.traces.store import default_trace
from bench.traces.trace import Trace
from bench.translators.registry import load_translator
from strategies.registry import find, shipped

HOST = load_host("cortex-a9", ["icache.replacement=lru", "dcache.replacement=lru", "l2.replacement=lru"])
ALONE = replace(HOST, l2=None, costs=replace(HOST.costs, refill_l2=None))
"""With nothing but an instruction cache that matters: what the peers are given."""
CODE_ALONE = Footprint()
FEW = 300_000
"""Executions for the peers with bindings to Python."""

LOOP, LOOPS = "a loop in C (gcc -O3)", "a loop in C (gcc -O3), one strategy"
AS_FAST = Goal(fast=1 / 1.2)

WHOLE = f"replay, instruction cache of {HOST.name} with LRU: linux-boot"
START = f"replay, the same: its first {FEW:,} executions"
ALL = f"replay of linux-boot on {HOST.name} with LRU, all caches"


@pytest.fixture(scope="module")
def trace() -> Trace:
    """The default trace."""
    return default_trace()


@pytest.fixture(scope="module")
def chunk(trace: Trace) -> npt.NDArray[np.uint32]:
    """Its first executions, so many that what compiles and loads the kernel of the whole trace."""
    return next(iter(trace.executions()))


@pytest.fixture(scope="module")
def start(chunk: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Few of these."""
    return chunk[:FEW]


@pytest.fixture(scope="module")
def counted() -> dict[str, Counts]:
    """What ours has found in a group, which a peer of that group has to find too."""
    return {}


def spans(trace: Trace) -> npt.NDArray[np.uint32]:
    """First and last line of each TB."""
    layout = lay_out(trace.blocks, trace.retranslations, "arm")
    line = HOST.icache.line
    return np.stack((layout.addresses // line, (layout.addresses + layout.sizes - 1) // line), axis=1).astype(np.uint32)


def simulated(trace: Trace, chunks: list[npt.NDArray[np.uint32]] | None = None) -> Counts:
    """Ours, with nothing in the caches but the code."""
    layout = lay_out(trace.blocks, trace.retranslations, "arm")
    words = trace.executions() if chunks is None else chunks
    (counts,) = simulate(ALONE, layout.addresses, layout.sizes, words, [(Events.none(),)], CODE_ALONE)
    return counts


def executions(found: Counts | caches.Misses) -> int:
    """TB executions."""
    return found.executions


def lines(found: Counts) -> int:
    """Lines accessed."""
    return found.code_lines


def misses(found: Counts) -> int:
    """Misses of the instruction cache."""
    return found.code_misses


@pytest.mark.goal
def test_kernel(measure: Measure, trace: Trace, chunk: npt.NDArray[np.uint32], counted: dict[str, Counts]) -> None:
    """Ours, decoding included."""
    rows = (GoalRow("one strategy, instruction cache alone", AS_FAST, LOOP),)
    simulated(trace, [chunk])
    counted[WHOLE] = measure(
        partial(simulated, trace),
        WHOLE,
        OURS,
        work=executions,
        unit="TB executions",
        rows=rows,
        warmup=False,
        lines=lines,
        misses=misses,
    )


@pytest.mark.goal
def test_loop(measure: Measure, trace: Trace, tmp_path: Path, counted: dict[str, Counts]) -> None:
    """The limit: a loop in C; it is given the same decoded trace, piece by piece."""
    loop, where = caches.Loop(tmp_path), spans(trace)
    found = measure(
        lambda: loop(HOST.icache, where, trace.executions()),
        WHOLE,
        LOOP,
        work=executions,
        unit="TB executions",
        goal=AS_FAST,
        warmup=False,
        lines=lambda found: found.lines,
        misses=lambda found: found.missed,
    )
    ours = counted.get(WHOLE) or simulated(trace)
    assert found == caches.Misses(ours.executions, ours.code_lines, ours.code_misses)


def test_kernel_start(measure: Measure, trace: Trace, start: npt.NDArray[np.uint32]) -> None:
    """Ours, on what the peers in Python get."""
    measure(lambda: simulated(trace, [start]), START, OURS, work=lines, unit="line accesses", rounds=9, misses=misses)


@pytest.mark.parametrize(("name", "peer"), [("pycachesim", caches.pycachesim), ("libCacheSim", caches.libcachesim)])
def test_peer(
    measure: Measure, trace: Trace, start: npt.NDArray[np.uint32], name: str, peer: Callable[..., caches.Misses]
) -> None:
    """Equal misses, and how long they take."""
    where = spans(trace)
    found = measure(
        lambda: peer(HOST.icache, where, [start]),
        START,
        name,
        work=lambda found: found.lines,
        unit="line accesses",
        goal=Goal(fast=100),
        misses=lambda found: found.missed,
    )
    ours = simulated(trace, [start])
    assert found == caches.Misses(ours.executions, ours.code_lines, ours.code_misses)


@pytest.fixture(scope="module")
def context(trace: Trace) -> ReplayContext:
    """What all strategies share."""
    return ReplayContext(trace, HOST, load_translator("arm@2010"), Parameters())


def baseline(context: ReplayContext) -> Counts:
    """Ours, of the strategy that never rewrites."""
    (counts,) = context.simulated([context.baseline], context.trace.executions())
    return counts


@pytest.mark.goal
def test_all_caches(
    measure: Measure, context: ReplayContext, chunk: npt.NDArray[np.uint32], counted: dict[str, Counts]
) -> None:
    """The baseline, which translates and never rewrites."""
    rows = (GoalRow("one strategy, three caches", AS_FAST, LOOPS),)
    layout = context.layout
    simulate(HOST, layout.addresses, layout.sizes, [chunk], [(Events.none(),)], context.parameters.caches)
    counted[ALL] = measure(partial(baseline, context), ALL, OURS, rows=rows, warmup=False)


@pytest.mark.goal
def test_ten_strategies(measure: Measure, trace: Trace) -> None:
    """All strategies at once, hooks and prices included."""
    strategies, translator = [find(name) for name in shipped()], load_translator("arm@2010")
    measure(
        lambda: replay(trace, HOST, translator, strategies, Parameters()),
        ALL,
        f"{OURS}, {len(strategies)} strategies",
        rows=(GoalRow("ten strategies on one host", Goal(fast=1 / 3), LOOPS),),
        rounds=1,
        warmup=False,
        strategies=len,
    )


@pytest.mark.goal
def test_loop_of_all_caches(
    measure: Measure, context: ReplayContext, tmp_path: Path, counted: dict[str, Counts]
) -> None:
    """The limit: a loop in C over the same three caches; equal counts."""
    loop, where, footprint = caches.Loop(tmp_path), spans(context.trace), context.parameters.caches
    events = Events.merged(context.events(context.baseline), -1, context.trace.length)
    memory = MemoryMap.behind(max(context.layout.used, events.end_on(HOST)), HOST, footprint)
    found = measure(
        lambda: loop.all_caches(HOST, where, context.trace.executions(), events, memory, footprint),
        ALL,
        LOOPS,
        goal=AS_FAST,
        warmup=False,
    )
    ours = counted.get(ALL) or baseline(context)
    others = ("translator_code", "translator_data", "load", "store", "guest_data")
    missed = sum(getattr(ours, f"{source}_misses") for source in others)
    assert found == (ours.code_misses, ours.code_memory, missed, ours.memory_writes)
