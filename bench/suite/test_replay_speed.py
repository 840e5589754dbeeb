"""The replay kernel against pycachesim on the same accesses, with equal miss counts."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.hosts import load_host
from bench.replay.kernel import Events, simulate
from bench.replay.layout import lay_out
from bench.replay.parameters import CacheParameters
from bench.traces.store import default_trace

EXECUTIONS = 50_000
HOST = load_host("cortex-a9", ["icache.replacement=lru", "dcache.replacement=lru", "l2.replacement=lru"])


@pytest.fixture(scope="module")
def accesses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Addresses and sizes of the default trace's TBs, and its first executions."""
    trace = default_trace()
    layout = lay_out(trace.blocks, trace.retranslations, "arm")
    return layout.addresses, layout.sizes, next(iter(trace.executions()))[:EXECUTIONS]


@pytest.mark.benchmark(group="replay: instruction cache of cortex-a9")
def test_kernel(benchmark: BenchmarkFixture, accesses: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Our kernel."""
    addresses, sizes, words = accesses
    parameters = CacheParameters(guest_data_lines=0, translator_code_lines=0, translator_data_lines=0)

    def run() -> int:
        return simulate(HOST, addresses, sizes, [words], Events.none(), parameters).code_misses

    run()
    benchmark.extra_info["misses"] = benchmark(run)


@pytest.mark.benchmark(group="replay: instruction cache of cortex-a9")
def test_pycachesim(benchmark: BenchmarkFixture, accesses: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The peer; a load of each line of each TB."""
    cachesim = pytest.importorskip("cachesim", reason="pycachesim is not installed: no peer to compare with")
    addresses, sizes, words = accesses
    shape = HOST.icache
    runs = [
        (int(addresses[tb]) // shape.line * shape.line, int(addresses[tb] + sizes[tb]))
        for tb in words[words < 1 << 31] & 0xFFFFFF
    ]

    def run() -> int:
        memory = cachesim.MainMemory()
        cache = cachesim.Cache("L1I", shape.sets, shape.ways, shape.line, "LRU")
        memory.load_to(cache)
        memory.store_from(cache)
        simulator = cachesim.CacheSimulator(cache, memory)
        for start, end in runs:
            for address in range(start, end, shape.line):
                simulator.load(address)
        return int(cache.stats()["MISS_count"])

    misses = benchmark.pedantic(run, rounds=2)
    benchmark.extra_info["misses"] = misses
    parameters = CacheParameters(guest_data_lines=0, translator_code_lines=0, translator_data_lines=0)
    assert misses == simulate(HOST, addresses, sizes, [words], Events.none(), parameters).code_misses
