"""The exhaustive search: states explored for the dearest shipped cell, beside the cheapest one."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.check.cell import Options, check
from bench.hosts import load_host
from bench.translators.registry import load_translator
from strategies.registry import find


@pytest.mark.benchmark(group="check: cortex-a9, user-both")
@pytest.mark.parametrize("strategy", ["idempotent", "stop-the-world-flush"])
def test_check(benchmark: BenchmarkFixture, strategy: str) -> None:
    """One cell, program and all."""
    host, translator = load_host("cortex-a9"), load_translator("arm")

    def run() -> int:
        outcome = check(find(strategy), translator, host, "user-both", Options()).outcome
        assert outcome is not None
        return outcome.states

    benchmark.extra_info["states"] = benchmark.pedantic(run, rounds=2)
