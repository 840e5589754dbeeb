"""``[tool.staleline]`` of a pyproject.toml: defaults of options, which the command line overrides."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from conftest import Staleline


def project(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")


MINE = """
[project]
name = "jit"
[tool.staleline]
host = ["arm926"]
scenario = ["system"]
strategy = ["unfixed", "idempotent"]
format = "csv"
"""


def test_what_a_project_sets_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    project(tmp_path, MINE, monkeypatch)
    ran = staleline("check")
    rows = [line.split(",")[:4] for line in ran.out.splitlines()[1:]]
    assert rows == [[name, "arm926", "arm@2010", "system"] for name in ("unfixed", "idempotent")]
    found = staleline("check global-lock --host cortex-a9 --format json").document["results"]
    assert {one["host"] for one in found} == {"cortex-a9"}
    assert "global-lock" in {one["strategy"] for one in found}
    # Of a repository, a part that says nothing does not hide it.
    (tmp_path / ".git").mkdir()
    (tmp_path / "src" / "pyproject.toml").write_text("[project]\nname = 'part'\n", encoding="utf-8")
    assert "arm926" in staleline("check").out


@pytest.mark.parametrize(
    "text",
    [
        "[tool]\nstaleline = {host = ['arm926']}",
        "tool.staleline.host = ['arm926']",
        "['tool'.\"staleline\"]\nhost = ['arm926']",
        "tool = {staleline = {host = ['arm926']}}",
        "[tool.other]\nx = 1\n[tool . staleline]\nhost = ['arm926']",
    ],
)
def test_every_way_of_writing_it_is_the_same(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    project(tmp_path, text, monkeypatch)
    assert ",arm926," in staleline("check unfixed --scenario system --format csv").out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.staleline]\nhosts = ['arm926']", "line 2: tool.staleline.hosts: unknown key; expected host"),
        ("[tool.staleline]\nhost = 'arm926'", "line 2: tool.staleline.host: found 'arm926'; expected an array"),
        ("[tool]\nstaleline = 3", "line 2: tool.staleline: found 3; expected a table"),
        ("[tool.staleline]\ntolerance = 0", "tool.staleline.tolerance: found 0; expected a number >= 1"),
        ("[tool.staleline]\nmax_states = 0", "tool.staleline.max_states: found 0; expected an integer >= 1"),
        ("[tool.staleline]\nformat = ''", "tool.staleline.format: found ''; expected text of length >= 1"),
        ("[tool.staleline]\nhost = ['']", "tool.staleline.host[0]: found ''; expected text of length >= 1"),
        ("[tool.staleline]\nstrategy = ['../x.py:X']", "line 2: tool.staleline.strategy: found '../x.py:X'; expected"),
        ("[tool.staleline", "pyproject.toml: "),
    ],
)
def test_bad_settings_are_one_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    project(tmp_path, text, monkeypatch)
    staleline("list").is_refused(message, "pyproject.toml")


@pytest.mark.parametrize(
    ("setting", "command", "words"),
    [
        ("format = 'pdf'", "check unfixed", "--format: no format 'pdf'"),
        ("host = ['nosuch']", "check unfixed", "unknown host 'nosuch'"),
        ("scenario = ['nosuch']", "check unfixed", "--scenario: 'nosuch'"),
    ],
)
def test_a_value_that_cannot_be_says_where_it_is_set(
    setting: str, command: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    project(tmp_path, f"[tool.staleline]\n{setting}\n", monkeypatch)
    staleline(command).is_refused(words, f"(tool.staleline.{setting.partition(' ')[0]} in pyproject.toml)")


def test_the_settings_are_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    text = "[tool.staleline]\nformat = 'csv'\n"
    project(tmp_path, text, monkeypatch)
    staleline("check unfixed -o ../pyproject.toml").is_refused("is read, and would be lost")
    assert (tmp_path / "pyproject.toml").read_text(encoding="utf-8") == text


STRATEGY = """
from pathlib import Path

from staleline import Strategy

Path(__file__).with_name("ran").touch()


class Mine(Strategy):
    pass
"""
PROTOCOL = """
layout = {A = 0}
init = {A = "a"}
allowed = {T0 = ["a"]}
threads.T0 = {does = "execute A"}
"""


def test_paths_are_from_the_folder_of_the_file_and_the_command_line_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    (tmp_path / "mine.py").write_text(STRATEGY, encoding="utf-8")
    (tmp_path / "my.toml").write_bytes((files("bench.hosts") / "arm926.toml").read_bytes())
    text = "[tool.staleline]\nstrategy = ['mine.py:Mine']\nhost = ['my.toml']\nscenario = ['system']\nformat = 'csv'\n"
    project(tmp_path, text, monkeypatch)
    assert staleline("check").out.splitlines()[1].startswith("mine,arm926,")
    rows = staleline("check idempotent").out.splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["idempotent"]
    # A protocol has a host of its own, and no strategy, scenario or translator.
    (tmp_path / "p.toml").write_text(PROTOCOL, encoding="utf-8")
    ran = staleline("check ../p.toml")
    assert (ran.status, ran.out.splitlines()[1].split(",")[:3]) == (0, ["p", "", "holds"])


def test_a_host_that_the_project_sets_and_no_translator_is_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    project(tmp_path, "[tool.staleline]\nhost = ['cortex-a9', 'sifive-u74']\n", monkeypatch)
    ran = staleline("check unfixed --scenario system --format csv")
    assert "staleline: n/a: sifive-u74: no translator for it here" in ran.err
    assert [row.split(",")[1] for row in ran.out.splitlines()[1:]] == ["cortex-a9"]
    staleline("check unfixed --host cortex-a9,sifive-u74").is_refused("no translator here for sifive-u74")


def test_nothing_is_taken_from_above_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    (tmp_path / "mine.py").write_text(STRATEGY, encoding="utf-8")
    project(tmp_path, "[tool.staleline]\nstrategy = ['mine.py:Mine']\n", monkeypatch)
    (tmp_path / "src" / ".git").mkdir()
    assert staleline("check --scenario system --strategy unfixed").status == 1
    assert "idempotent" in staleline("check --scenario system").out
    (tmp_path / "src" / ".git").rmdir()
    (tmp_path / "src" / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert "idempotent" in staleline("check --scenario system").out
    assert not (tmp_path / "ran").exists()
