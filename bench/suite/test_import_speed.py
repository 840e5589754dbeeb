"""Log import against decompressing the file and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard
from pytest_benchmark.fixture import BenchmarkFixture

from bench.traces.qemu_log import import_log


@pytest.fixture(scope="module")
def log() -> Path:
    """A complete recorded log: 1,706 TBs and 1,359,160 executions in four threads, 105 MB of text."""
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces" / "user_mt1.complete.log.zst"
    if not path.is_file():
        pytest.skip("the recorded log (../shared/data/traces) is not here")
    return path


@pytest.mark.benchmark(group="import: a log of 105 MB")
def test_import(benchmark: BenchmarkFixture, log: Path, tmp_path: Path) -> None:
    """Our importer."""
    trace = benchmark(import_log, str(log), tmp_path / "log.trace")
    benchmark.extra_info["executions"] = trace.length


@pytest.mark.benchmark(group="import: a log of 105 MB")
def test_zstandard(benchmark: BenchmarkFixture, log: Path) -> None:
    """The limit: zstandard alone."""

    def run() -> int:
        with log.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
            return sum(len(block) for block in iter(lambda: reader.read(1 << 20), b""))

    benchmark.extra_info["bytes"] = benchmark(run)
