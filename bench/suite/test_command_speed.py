"""The command as a whole process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from bench.suite.conftest import Measure
from bench.suite.table import OURS, Goal

STALELINE = (sys.executable, "-m", "bench")
HELP = "the command's start"


def run(command: Sequence[str]) -> bytes:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def test_help(measure: Measure) -> None:
    """``staleline --help``."""
    assert b"compare" in measure(lambda: run([*STALELINE, "--help"]), HELP, f"{OURS} --help", rounds=15)


def test_nothing(measure: Measure) -> None:
    """Python alone."""
    measure(lambda: run([sys.executable, "-c", "pass"]), HELP, "python -c pass", goal=Goal(more=0.1), rounds=15)


@pytest.mark.parametrize("kernels", ["kept from before"])
def test_compare(measure: Measure, kernels: str) -> None:
    """``staleline compare``, its kernels compiled before."""
    table = measure(
        lambda: run([*STALELINE, "compare"]), f"the default compare, kernels {kernels}", OURS, goal=Goal(seconds=10)
    )
    assert b"side-table" in table
