"""``[tool.staleline]`` of a pyproject.toml: defaults of options, which the command line overrides."""

from __future__ import annotations

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
    # Another project above does not hide it.
    (tmp_path / "src" / "pyproject.toml").write_text("[project]\nname = 'part'\n", encoding="utf-8")
    assert "arm926" in staleline("check").out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.staleline]\nhosts = ['arm926']", "hosts: unknown key; expected host"),
        ("[tool.staleline]\nhost = 'arm926'", "tool.staleline.host: found 'arm926'; expected"),
        ("[tool.staleline", "pyproject.toml: "),
    ],
)
def test_bad_settings_are_one_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    project(tmp_path, text, monkeypatch)
    staleline("list").is_refused(message, "pyproject.toml")
