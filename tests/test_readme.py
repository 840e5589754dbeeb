"""What the README and the guide show is what the program prints.

``pytest tests/test_readme.py --record`` writes it anew.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from bench.commands.application import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "guide.md")
BLOCK = re.compile(
    r"^```\n\$ (?P<command>(?:staleline|make compare).*)\n(?P<output>(?:(?!```).*\n)*)```$", re.MULTILINE
)


def blocks() -> list[tuple[str, str]]:
    """The commands that the pages show, with their output."""
    texts = (page.read_text(encoding="utf-8") for page in PAGES)
    return [(found["command"], found["output"]) for text in texts for found in BLOCK.finditer(text)]


def printed(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, with the README's example strategy in the current folder."""
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    example = re.search(r"^```python\n# mine\.py\n(.*?)^```$", texts, re.DOTALL | re.MULTILINE)
    assert example is not None
    (folder / "mine.py").write_text(example[1], encoding="utf-8")
    monkeypatch.chdir(folder)
    words = ["staleline", "compare"] if command == "make compare" else shlex.split(command)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, 1)
    return capsys.readouterr().out


def test_the_readme_is_a_page() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 150


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
        shown = f"```\n$ {command}\n{dict(blocks())[command]}```"
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            page.write_text(text.replace(shown, f"```\n$ {command}\n{out}```"), encoding="utf-8")
    assert out == dict(blocks())[command]
