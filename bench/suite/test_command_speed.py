"""The command as a whole process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ("compare --fresh", 10),
        ("compare", 2),
        ("risk", 10),
        pytest.param("bugs", 10, marks=pytest.mark.long),
        pytest.param("thread", 15, marks=pytest.mark.long),
        pytest.param("compare --fresh --host cortex-a9,cortex-a72,arm926 --format html", 60, marks=pytest.mark.long),
    ],
)
def test_command(measure: Measure, command: str, seconds: float, tmp_path: Path) -> None:
    """A command on the default trace, its kernels compiled before."""
    output = tmp_path / "output"
    measure(
        lambda: run([*STALELINE, *command.split(), "--output", str(output)]),
        f"staleline {command}",
        OURS,
        goal=Goal(seconds=seconds),
        rounds=1,
    )
    assert output.stat().st_size > 1000
