"""Log import against decompressing the file and nothing else, with Python's own bindings of the same libraries."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import IO, cast

import pytest
import zstandard
from pytest_benchmark.fixture import BenchmarkFixture

from bench.traces.log_input import read_log
from bench.traces.qemu_log import import_log

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"
# A complete log of user emulation in four threads, nearly all Trace lines, and the beginning of one of system
# emulation, half of it host code; the first also packed otherwise.
CASES = [
    ("user_mt1.complete", "zstd"),
    ("sys_arm_virt_user.head", "zstd"),
    ("user_mt1.complete", "xz"),
    ("user_mt1.complete", "gzip"),
    ("user_mt1.complete", "plain"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A recorded log, and how it is packed."""
    name, packing = request.param
    recorded = TRACES / f"{name}.log.zst"
    if not recorded.is_file():
        pytest.skip("the recorded logs (../shared/data/traces) are not here")
    if packing == "zstd":
        return recorded, packing
    log = tmp_path_factory.mktemp("log") / f"{name}.log"
    with opened(log, packing, "wb") as file:
        for block in read_log(str(recorded), lambda _: None):
            file.write(block)
    return log, packing


def opened(log: Path, packing: str, mode: str) -> IO[bytes]:
    """The file ``log``, packed so, for reading (``rb``) or writing (``wb``) its text."""
    if packing == "zstd":
        return cast("IO[bytes]", zstandard.open(log, mode))
    if packing == "xz":
        return cast("IO[bytes]", lzma.open(log, mode))
    if packing == "gzip":
        return cast("IO[bytes]", gzip.open(log, mode))
    return cast("IO[bytes]", log.open(mode))


@pytest.mark.parametrize("what", ["import", "decompression alone"])
def test_import(benchmark: BenchmarkFixture, case: tuple[Path, str], what: str, tmp_path: Path) -> None:
    """Our importer, and the limit."""
    log, packing = case
    benchmark.group = f"import: {log.name}, {packing}"

    def unpack() -> int:
        with opened(log, packing, "rb") as file:
            return sum(len(block) for block in iter(lambda: file.read(1 << 20), b""))

    if what == "import":
        trace = benchmark.pedantic(import_log, (str(log), tmp_path / "x.trace"), rounds=9, warmup_rounds=1)
        benchmark.extra_info["executions"] = trace.length
        benchmark.extra_info["tbs"] = len(trace.blocks)
    else:
        benchmark.extra_info["bytes"] = benchmark.pedantic(unpack, rounds=9, warmup_rounds=1)
