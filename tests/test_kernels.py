"""Kernels work where numba's cache can and cannot be written, and are never those of other sources."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, program
from numba.core.caching import IndexDataCacheFile, UserProvidedCacheLocator

from bench.support import compilation, kernels, processors, versions
from bench.support.kernels import expanded, kernel, large_kernel, lean_kernel
from bench.support.processors import beside, forks


@expanded
def _twice(values: Any, index: int) -> Any:
    return 2 * values[index]


def _sum_of_twice(values: Any) -> Any:
    total = 0
    for index in range(values.size):
        total += _twice(values, index)
    return total


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that compiled kernels are kept in, not yet made, in a process that has looked for none so far."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("numba.config.CACHE_DIR", str(folder))
    compilation._cache_folder.cache_clear()
    compilation._say_that_nothing_is_kept.cache_clear()
    yield folder
    compilation._cache_folder.cache_clear()


@pytest.mark.parametrize("decorator", [kernel, lean_kernel, large_kernel])
@pytest.mark.parametrize("writable", [True, False])
def test_a_kernel_runs_with_and_without_a_place_for_its_cache(
    decorator: Callable[[Any], Any], writable: bool, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not writable:
        place.write_text("a file where the folder should be")
    compiled, again = decorator(_sum_of_twice), decorator(_sum_of_twice)
    assert compiled(np.arange(5)) == again(np.arange(5)) == 20
    assert capsys.readouterr().err.count("no folder for compiled kernels can be written") == (not writable)
    assert bool(list(place.rglob("*.nbc"))) == writable


def test_a_kernel_is_not_cached_in_a_place_that_numba_chooses(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder can be made and not written: numba would go on to __pycache__, which knows one file alone."""
    monkeypatch.setattr(UserProvidedCacheLocator, "from_function", lambda function, file: None)
    compiled = kernel(_sum_of_twice)
    assert compiled(np.arange(5)) == 20
    assert not list(place.rglob("*.nbc"))


@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("left", [0, 40])
def test_a_damaged_cache_is_compiled_anew(kind: str, left: int, place: Path) -> None:
    assert kernel(_sum_of_twice)(np.arange(5)) == 20
    (file,) = place.rglob(kind)
    file.write_bytes(file.read_bytes()[:left])
    for hits in (0, 1):
        compiled: Any = kernel(_sum_of_twice)
        assert compiled(np.arange(5)) == 20
        assert sum(compiled.stats.cache_hits.values()) == hits


def _adding(number: int) -> Any:
    def add(to: int) -> int:
        return to + number

    return kernel(add)


def test_a_kernel_under_the_name_of_another_is_compiled_anew(place: Path) -> None:
    """As two processes leave it that save at once: each gives its kernel the next name that it finds free."""
    for hits in ((0, 0), (1, 1)):
        one, two = _adding(1), _adding(2)
        assert (one(5), two(5)) == (6, 7)
        assert tuple(sum(each.stats.cache_hits.values()) for each in (one, two)) == hits
    first, second = sorted(place.rglob("*.nbc"))
    second.write_bytes(first.read_bytes())
    for hits in ((1, 0), (1, 1)):
        one, two = _adding(1), _adding(2)
        assert (one(5), two(5)) == (6, 7)
        assert tuple(sum(each.stats.cache_hits.values()) for each in (one, two)) == hits


def _full(self: Any, path: str) -> Any:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_no_reason_to_fail(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(IndexDataCacheFile, "_open_for_write", _full)
    assert kernel(_sum_of_twice)(np.arange(5)) == 20
    assert "compiling anew in every run" in capsys.readouterr().err


@pytest.mark.skipif(not forks(), reason="nothing is done in another process there")
def test_what_is_done_beside_is_done_and_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for work in (partial(Path.touch, tmp_path / "done"), partial(Path.touch, tmp_path / "no" / "folder")):
        beside(work)
    for process in multiprocessing.active_children():
        process.join()
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [1, 2])
def test_another_process_compiles_a_large_kernel_where_there_is_a_processor_for_it(
    count: int, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processors, "processors", lambda: count)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    compilation._say_that_it_compiles.cache_clear()
    compiled: Any = large_kernel(_sum_of_twice)
    assert compiled(np.arange(5)) == 20
    assert sum(compiled.stats.cache_hits.values()) == forks()
    assert capsys.readouterr().err.count("compiling") == 1


def test_what_another_process_could_not_keep_is_compiled_here(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processors, "processors", lambda: 2)
    monkeypatch.setattr(IndexDataCacheFile, "_open_for_write", _full)
    compiled: Any = large_kernel(_sum_of_twice)
    assert compiled(np.arange(5)) == 20
    assert not compiled.stats.cache_hits
    assert capfd.readouterr().err.count("compiling anew in every run") == 1


def test_a_source_file_was_compiled_or_not(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(place))
    assert not kernels.were_compiled(__file__)
    assert kernel(_sum_of_twice)(np.arange(5)) == 20
    assert kernels.were_compiled(__file__)


CONSTANTS = "FACTOR = 2\n"
CALLEES = """from bench.probe import constants
from bench.support.kernels import expanded


@expanded
def scaled(x):
    return constants.FACTOR * x
"""
PROBE = """from bench.probe.callees import scaled
from bench.support.kernels import lean_kernel

OFFSET = 1


@lean_kernel
def answer(x):
    return scaled(x) + OFFSET
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[[], tuple[str, int]]:
    """A copied tree with a kernel of three files; each call runs it: its answer for 10, and how many were cached."""
    for package in ("bench", "bench/support"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for module in (compilation, kernels, processors, versions):
        shutil.copy(module.__file__, tmp_path / "bench" / "support")
    probe = tmp_path / "bench" / "probe"
    probe.mkdir()
    for name, text in (("__init__", ""), ("constants", CONSTANTS), ("callees", CALLEES), ("answer", PROBE)):
        (probe / f"{name}.py").write_text(text)
    script = "from bench.probe.answer import answer; print(answer(10), sum(answer.stats.cache_hits.values()))"

    def run() -> tuple[str, int]:
        place = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ""}
        answer, hits = program(script=script, environment=place, cwd=tmp_path).out.split()
        return answer, int(hits)

    return run


def test_no_kernel_is_taken_from_the_cache_after_a_change_in_another_file(
    checkout: Callable[[], tuple[str, int]], tmp_path: Path
) -> None:
    probe = tmp_path / "bench" / "probe"
    times = probe.stat()

    def write(file: str, text: str) -> None:
        """As unpacking an archive may write it: a change shows in the contents alone."""
        (probe / file).write_text(text)
        os.utime(probe / file, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert checkout() == ("21", 0)
    write("constants.py", CONSTANTS.replace("2", "3"))
    assert checkout() == ("31", 0)
    write("callees.py", CALLEES.replace("FACTOR * x", "FACTOR - x"))
    assert checkout() == ("-6", 0)
    write("callees.py", CALLEES)
    write("constants.py", CONSTANTS)
    assert checkout() == ("21", 1)


@pytest.mark.parametrize(
    ("file", "known"),
    [
        ("search/kernel.py", {"bench/search/relation.py", "bench/machine/actions.py", "strategies/operations.py"}),
        ("caches/kernel.py", {"bench/caches/policies.py", "bench/caches/counts.py", "bench/hosts/profile.py"}),
        ("traces/log_kernel.py", {"bench/traces/successor.py"}),
    ],
)
def test_what_a_kernel_is_compiled_from_is_known(file: str, known: set[str]) -> None:
    sources = {Path(path).relative_to(ROOT).as_posix() for path in versions.sources(str(ROOT / "bench" / file))}
    assert known | {f"bench/{file}", "bench/support/kernels.py", "bench/__init__.py"} <= sources


def test_what_earlier_versions_left_is_removed_but_for_the_newest_and_what_was_used_of_late(
    place: Path, tmp_path: Path
) -> None:
    now = time.time()
    for number in range(10):
        for name, age in (("tests.mine", number * 24 * 3600 * 2), ("tests.other", 100 * 24 * 3600)):
            folder = place / f"{name}-{number}"
            folder.mkdir(parents=True)
            (folder / "kernel.nbc").touch()
            os.utime(folder, (now - age, now - age))
    file = tmp_path / "tests" / "mine.py"
    file.parent.mkdir()
    file.touch()
    made = compilation._cache_folder(str(file))
    left = {path.name for path in place.glob("tests.mine-*")}
    assert left == {made.name, "tests.mine-0", "tests.mine-1", "tests.mine-2", "tests.mine-3"}
    assert len(list(place.glob("tests.other-*"))) == 10


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
