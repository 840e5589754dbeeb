"""The command as a whole process: how long it takes, and how much memory all of its processes have."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.suite.conftest import Measure
from bench.suite.table import OURS, Goal, GoalRow

STALELINE = (sys.executable, "-m", "bench")
HELP = "the command's start"
COMPARE = "staleline compare"
FIRST = f"{OURS}, first: kernels compiled too"
PAGE = "compare --host cortex-a9,cortex-a72,arm926 --format html"
LITTLE = Goal(peak=1 << 30)
_LOOKS = 0.05
"""Seconds between two looks at the memory."""


def run(command: Sequence[str]) -> bytes:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def test_help(measure: Measure) -> None:
    """``staleline --help``."""
    assert b"compare" in measure(lambda: run([*STALELINE, "--help"]), HELP, f"{OURS} --help", rounds=15)


def test_nothing(measure: Measure) -> None:
    """Python alone."""
    measure(lambda: run([sys.executable, "-c", "pass"]), HELP, "python -c pass", goal=Goal(more=0.1), rounds=15)


@dataclass(frozen=True)
class Ran:
    """What a command wrote, and the most memory in bytes that its processes had together (0: not known here)."""

    written: str
    peak: int


@dataclass(frozen=True)
class FreshMachine:
    """Commands with folders of their own, in which nothing is compiled or kept before the first."""

    folder: Path

    def __call__(self, command: str) -> Ran:
        output = self.folder / "output"
        own = {"NUMBA_CACHE_DIR": str(self.folder / "kernels"), "STALELINE_RESULTS": str(self.folder / "results")}
        words = [*STALELINE, *command.split(), "--output", str(output)]
        process = subprocess.Popen(words, env={**os.environ, **own}, stdin=subprocess.DEVNULL)
        peak = 0
        while True:
            try:
                status = process.wait(_LOOKS)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, sum(map(memory, tree(process.pid))))
        assert status in (0, 1)
        return Ran(output.read_text(encoding="utf-8"), peak)


def tree(process: int) -> Iterator[int]:
    """A process and all below it, as far as the system tells (Linux)."""
    yield process
    below: list[str] = []
    with contextlib.suppress(OSError):  # it has ended, or one of its threads
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            below += children.read_text(encoding="ascii").split()
    for child in below:
        yield from tree(int(child))


def memory(process: int) -> int:
    """Bytes, of pages that several processes have the process's share."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> FreshMachine:
    """The same for all tests, in their order: what one compiles or keeps the next ones find."""
    return FreshMachine(tmp_path_factory.mktemp("machine"))


def measured(
    measure: Measure, machine: Callable[[str], Ran], command: str, group: str, tool: str, rounds: int, *rows: GoalRow
) -> None:
    """A command as it is, without a run before."""
    found = measure(
        lambda: machine(command), group, tool, rounds=rounds, warmup=False, rows=rows, peak=lambda ran: ran.peak
    )
    assert len(found.written) > 1000


@pytest.mark.goal
def test_first_compare(measure: Measure, machine: FreshMachine) -> None:
    """On a machine on which nothing was compiled."""
    row = GoalRow("compare: the first on a machine, beyond", Goal(more=15), f"{OURS}, nothing kept")
    measured(measure, machine, "compare", COMPARE, FIRST, 1, row)


@pytest.mark.goal
def test_compare(measure: Measure, machine: FreshMachine) -> None:
    """Kernels compiled, nothing kept; and everything kept."""
    rows = GoalRow("compare, nothing kept", Goal(seconds=10)), GoalRow("memory of compare, nothing kept", LITTLE)
    measured(measure, machine, "compare --fresh", COMPARE, f"{OURS}, nothing kept", 1, *rows)


@pytest.mark.goal
def test_compare_kept(measure: Measure, machine: FreshMachine) -> None:
    """A second one."""
    measured(measure, machine, "compare", COMPARE, f"{OURS}, kept", 3, GoalRow("compare, kept", Goal(seconds=2)))


@pytest.mark.parametrize(
    ("command", "fresh"), [pytest.param("risk", 10, marks=pytest.mark.goal), ("thread", 15), ("bugs", 10), (PAGE, 60)]
)
def test_command(measure: Measure, machine: FreshMachine, command: str, fresh: float) -> None:
    """Nothing kept, on the default trace, kernels compiled before, by the same command (risk: of one strategy)."""
    machine(f"{command} --strategy unfixed" if command == "risk" else command)
    name = "compare, a page of three hosts" if command == PAGE else command
    rows = GoalRow(f"{name}, nothing kept", Goal(seconds=fresh)), GoalRow(f"memory of {name}, nothing kept", LITTLE)
    measured(measure, machine, f"{command} --fresh", f"staleline {command}", f"{OURS}, nothing kept", 1, *rows)


@pytest.mark.parametrize(
    ("command", "kept"), [pytest.param("risk", 2, marks=pytest.mark.goal), ("thread", 5), ("bugs", 5), (PAGE, 5)]
)
def test_command_kept(measure: Measure, machine: FreshMachine, command: str, kept: float) -> None:
    """Once more."""
    name = "compare, a page of three hosts" if command == PAGE else command
    row = GoalRow(f"{name}, kept", Goal(seconds=kept))
    measured(measure, machine, command, f"staleline {command}", f"{OURS}, kept", 2, row)
