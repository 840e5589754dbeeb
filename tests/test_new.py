"""Files to start from pass as they are; sites and protocols are tests of pytest."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Staleline

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("site", "check {} --host armv8-dic --scenario link"),
        ("protocol", "check {}"),
        ("strategy", "check {}:MyStrategy --host arm926 --scenario system"),
        ("host", "check idempotent --host {} --scenario system"),
    ],
)
def test_a_new_file_passes_as_it_is(kind: str, check: str, tmp_path: Path, staleline: Staleline) -> None:
    file = tmp_path / ("new.py" if kind == "strategy" else "new.toml")
    assert staleline(f"new {kind} {file}").out.startswith(f"{file}\nTry: staleline check ")
    assert staleline(check.format(file)).status == 0
    staleline(f"new {kind} {file}").is_refused("new.toml" if kind != "strategy" else "new.py", "is there already")


@pytest.mark.parametrize(
    ("like", "folder"),
    [
        ("site --like slot-arm", "strategies/linking"),
        ("protocol --like yjit-2022-6631", "bench/known_bugs"),
        ("host --like cortex-a72", "bench/hosts"),
    ],
)
def test_a_shipped_file_is_copied(like: str, folder: str, tmp_path: Path, staleline: Staleline) -> None:
    kind, _, name = like.split()
    staleline(f"new {kind} {tmp_path / 'new.toml'} --like {name}")
    shipped = (Path(__file__).parents[1] / folder / f"{name}.toml").read_text(encoding="utf-8")
    copied = (tmp_path / "new.toml").read_text(encoding="utf-8")
    if kind == "host":
        shipped = shipped.replace(f'"{name}"', '"my-host"', 1)
        copied = copied.partition("\n")[2]
    assert copied == shipped


FAILING = """
summary = "A fetch that nothing orders"

[layout]
A = 0

[init]
A = "old"

[allowed]
T1 = ["new"]

[threads.T0]
core = 0
does = "store A new"

[threads.T1]
core = 1
does = "execute A"

[[cases]]
name = "as it is known"
expect = "fails"
"""


def test_pytest_collects_the_files_that_are_meant_and_shows_the_counterexample(
    pytester: pytest.Pytester, pytestconfig: pytest.Config
) -> None:
    (pytester.path / "jump.staleline.toml").write_text(FAILING, encoding="utf-8")
    (pytester.path / "other.toml").write_text("not = 'meant'", encoding="utf-8")
    # Where the project is installed, its entry point has named the plugin already.
    named = () if pytestconfig.pluginmanager.hasplugin("staleline") else ("-p", "staleline.pytest_plugin")
    ran = pytester.runpytest(*named, "-p", "no:cacheprovider")
    ran.assert_outcomes(passed=1, failed=1)
    ran.stdout.fnmatch_lines(["*as written: fails*", "*execute A: old (wrong)*"])
    on = pytester.runpytest(*named, "-p", "no:cacheprovider", "-o", "staleline_hosts=armv8 cortex-a72")
    on.assert_outcomes(passed=2, failed=2)
    on.stdout.fnmatch_lines(["*as written-armv8*", "*on armv8*"])
