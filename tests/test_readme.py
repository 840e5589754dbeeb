"""What the README shows is what the program prints.  ``pytest tests/test_readme.py --record`` writes it anew."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from bench.commands.application import main

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(
    r"^```\n\$ (?P<command>(?:staleline|make compare).*)\n(?P<output>(?:(?!```).*\n)*)```$", re.MULTILINE
)


def blocks() -> list[tuple[str, str]]:
    """The commands that the README shows with their output."""
    return [(found["command"], found["output"]) for found in BLOCK.finditer(README.read_text(encoding="utf-8"))]


def printed(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, with the README's example strategy in the current folder."""
    example = re.search(
        r"^```python\n# mine\.py\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert example is not None
    (folder / "mine.py").write_text(example[1], encoding="utf-8")
    monkeypatch.chdir(folder)
    words = ["staleline", "compare"] if command == "make compare" else shlex.split(command)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, 1)
    return capsys.readouterr().out


def test_the_readme_shows_the_golden_tables_and_the_main_table() -> None:
    commands = [command for command, _ in blocks()]
    assert "make compare" in commands
    assert len(commands) >= 4


@pytest.mark.parametrize("command", [command for command, _ in blocks()])
def test_the_readme_shows_real_output(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    out = printed(command, tmp_path, monkeypatch, capsys)
    if request.config.getoption("--record"):
        text = README.read_text(encoding="utf-8")
        shown = f"```\n$ {command}\n{dict(blocks())[command]}```"
        README.write_text(text.replace(shown, f"```\n$ {command}\n{out}```"), encoding="utf-8")
    assert out == dict(blocks())[command]
