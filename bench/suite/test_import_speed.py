"""Log import against decompressing the file and nothing else, with Python's own bindings of the same libraries."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import IO, Any, cast

import pytest
import zstandard

from bench.suite.conftest import Measure
from bench.suite.table import OURS, Goal
from bench.traces.log_input import read_log
from bench.traces.qemu_log import import_log

ROOT = Path(__file__).resolve().parents[2]
LONG, SHORT = ROOT.parent / "shared" / "data" / "traces", ROOT / "tests" / "data" / "logs"
"""Long recordings, where they lie beside the repository; and what the tests have, which is enough to measure."""
USER = ("user_mt1.complete", "aarch64-qemu7.linked")
"""A complete log of user emulation, nearly all Trace lines (the long one in four threads)."""
SYSTEM = ("sys_arm_virt_user.head", "aarch64-system.excerpt")
"""The beginning of one of system emulation, half of it host code."""
CASES = [(USER, "zstd"), (SYSTEM, "zstd"), (USER, "xz"), (USER, "gzip"), (USER, "plain")]


def log_of(names: tuple[str, str]) -> Path:
    """The long recording of a pair, or else the short one."""
    name, short = (f"{name}.log.zst" for name in names)
    return LONG / name if (LONG / name).is_file() else SHORT / short


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0][0]}-{case[1]}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A recorded log, and how it is packed."""
    names, packing = request.param
    recorded = log_of(names)
    if packing == "zstd":
        return recorded, packing
    log = tmp_path_factory.mktemp("log") / recorded.name.removesuffix(".zst")
    with opened(log, packing, "wb") as file:
        for block in read_log(str(recorded), lambda _: None):
            file.write(block)
    return log, packing


def opened(log: Path, packing: str, mode: str) -> IO[bytes]:
    """The file ``log``, packed so, for reading (``rb``) or writing (``wb``) its text."""
    by_packing: dict[str, Any] = {"zstd": zstandard.open, "xz": lzma.open, "gzip": gzip.open, "plain": open}
    return cast("IO[bytes]", by_packing[packing](log, mode))


def test_import(measure: Measure, case: tuple[Path, str], tmp_path: Path) -> None:
    """Ours."""
    log, packing = case
    measure(
        lambda: import_log(str(log), tmp_path / "x.trace"),
        group(log, packing),
        OURS,
        rounds=9,
        executions=lambda trace: trace.length,
        tbs=lambda trace: len(trace.blocks),
    )


def test_decompression(measure: Measure, case: tuple[Path, str]) -> None:
    """The limit."""
    log, packing = case

    def unpack() -> int:
        with opened(log, packing, "rb") as file:
            return sum(len(block) for block in iter(lambda: file.read(1 << 20), b""))

    alone = "reading the file alone" if packing == "plain" else f"{packing}, decompressing alone"
    goal = None if packing == "plain" else Goal(fast=1 / 3)
    measure(unpack, group(log, packing), alone, goal=goal, rounds=9, bytes=lambda size: size)


def group(log: Path, packing: str) -> str:
    """What is compared."""
    return f"import of {log.name.partition('.log')[0]}.log, {packing}"
