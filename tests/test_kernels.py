"""Kernels work, and give the same, where numba's cache can and cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from bench.support.kernels import inlined, kernel, lean_kernel


@inlined
def _twice(values: Any, index: int) -> Any:
    return 2 * values[index]


def _sum_of_twice(values: Any) -> Any:
    total = 0
    for index in range(values.size):
        total += _twice(values, index)
    return total


@pytest.mark.parametrize("decorator", [kernel, lean_kernel])
@pytest.mark.parametrize("writable", [True, False])
def test_a_kernel_runs_with_and_without_a_place_for_its_cache(
    decorator: Callable[[Any], Any], writable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_one = numba.njit

    def refusing(*arguments: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")  # what numba raises then
        return compile_one(*arguments, **options)

    if writable:
        compiled = decorator(_sum_of_twice)
    else:
        monkeypatch.setattr(numba, "njit", refusing)
        with pytest.warns(RuntimeWarning, match="no folder for compiled kernels can be written"):
            compiled = decorator(_sum_of_twice)
    assert compiled(np.arange(5)) == 20


def test_on_a_terminal_compiling_is_said_once(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\n"
        "from bench.support.kernels import kernel\n"
        "sys.stderr.isatty = lambda: len(sys.argv) > 1\n"
        "one = kernel(lambda x: x + 1)\n"
        "two = kernel(lambda x: x + 2)\n"
        "assert one(1) + two(1) == 5\n"
    )

    def said(*arguments: str) -> str:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, str(script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr

    assert said("terminal").splitlines() == ["staleline: compiling, once on this machine, for about half a minute"]
    assert said("terminal") == ""  # the cache has it
    shutil.rmtree(tmp_path / "cache")
    assert said() == ""
