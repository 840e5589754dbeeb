"""SPIN's compiled verifier (Debian package ``spin``), run on a model written by ``bench/suite/promela.py``."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.suite.checkers import Found

BREADTH_FIRST = ("-DBFS", "-DNOREDUCE")
"""Every state, and a shortest counterexample."""

BREADTH_FIRST_REDUCED = ("-DBFS",)
"""The same with SPIN's partial-order reduction."""

DEPTH_FIRST = ()
"""The fastest for a model that holds, with partial-order reduction."""

COMPRESSED = ("-DCOLLAPSE",)
"""The same in less memory."""

_ALWAYS = ("-O3", "-march=native", "-w", "-DSAFETY", "-DNOBOUNDCHECK", "-DNOFAIR")


def skip_without_spin() -> None:
    """Skip a test where SPIN or the C compiler that its verifiers need is not installed."""
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: `make bench-peers` installs it")


def compiled(text: str, flags: tuple[str, ...], folder: Path) -> Path:
    """The verifier of a model."""
    (folder / "model.pml").write_text(text, encoding="ascii")
    subprocess.run(["spin", "-a", "model.pml"], cwd=folder, check=True, capture_output=True)
    subprocess.run(["gcc", *_ALWAYS, *flags, "-o", "pan", "pan.c"], cwd=folder, check=True, capture_output=True)
    return folder / "pan"


def verify(pan: Path, *, table: int = 24, depth: int = 10_000_000) -> Found:
    """Run a verifier with a table of 2**``table`` slots; ``depth`` steps at most, of a search that goes depth first.

    Raises ``AssertionError`` where it gave up.
    """
    ended = subprocess.run(
        [str(pan), "-E", "-n", f"-w{table}", f"-m{depth}"], cwd=pan.parent, check=False, capture_output=True, text=True
    )
    states = re.search(r"^\s*([\d.e+]+) states, stored", ended.stdout, re.MULTILINE)
    errors = re.search(r"errors: (\d+)", ended.stdout)
    if states is None or errors is None or ("Search not completed" in ended.stdout and errors[1] == "0"):
        raise AssertionError(f"SPIN gave up: {ended.stdout[-1000:]}{ended.stderr[-1000:]}")
    violated = re.search(r"assertion violated .*\(at depth (\d+)\)", ended.stdout)
    return Found(errors[1] == "0", int(violated[1]) if violated else 0, int(float(states[1])))
