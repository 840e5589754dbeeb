"""What the README and the pages of ``docs/`` show is what the program prints.

``pytest tests/test_readme.py --record`` writes it anew.  A block with a line ``...`` is an excerpt: what stands between
such lines is in the output, in that order; it is mended by hand.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

from bench.commands.application import app, main

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
BLOCK = re.compile(r"^```\n\$ (?P<command>(?:staleline|make compare).*)\n(?P<shown>(?:(?!```).*\n)+)```$", re.MULTILINE)
FENCE = re.compile(r"^ *```\w*(?: title=.*)?\n(?P<text>(?:(?! *```).*\n)*) *```$", re.MULTILINE)
COMMAND = re.compile(r"(\$ )?staleline [^\[|>&]*$")
FILE = re.compile(r'^```\w+ title="(?P<name>.+)"\n(?P<shown>(?:(?!```).*\n)+)```$', re.MULTILINE)
LEFT_OUT = "...\n"


@dataclass(frozen=True)
class Shown:
    """A command's output as a page shows it; ``file`` is where it stands."""

    file: Path
    output: str

    @property
    def excerpt(self) -> bool:
        return LEFT_OUT in self.output

    def is_of(self, printed: str) -> bool:
        if not self.excerpt:
            return self.output == printed
        lines, at = f"\n{printed}", 0
        before, *parts = re.split(r"^\.\.\.\n", self.output, flags=re.MULTILINE)
        if not lines.startswith(f"\n{before}"):
            return False
        for part in (before, *parts):
            at = lines.find(f"\n{part}", at)
            if at < 0:
                return False
            at += len(part)
        return True

    def record(self, printed: str, command: str) -> None:
        if not self.excerpt:
            text = self.file.read_text(encoding="utf-8")
            was, now = (f"```\n$ {command}\n{output}```" for output in (self.output, printed))
            self.file.write_text(text.replace(was, now), encoding="utf-8")


@cache
def shown() -> dict[str, list[Shown]]:
    """The commands that the pages show, with their outputs."""
    found: dict[str, list[Shown]] = {}
    for page in (README, *sorted(DOCS.glob("*.md"))):
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            found.setdefault(block["command"], []).append(Shown(page, block["shown"]))
    return found


def printed(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, with the examples of the documentation in the current folder."""
    shutil.copytree(DOCS / "examples", folder / "docs" / "examples")
    monkeypatch.chdir(folder)
    words = ["staleline", "compare"] if command == "make compare" else shlex.split(command)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, 1)
    return capsys.readouterr().out


def test_the_readme_is_a_page() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_readme_shows_the_golden_tables_and_the_main_table() -> None:
    commands = shown()
    assert "make compare" in commands
    assert len(commands) >= 4


def test_a_file_that_a_page_shows_is_as_the_page_has_it() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    shown_files = {one["name"]: one["shown"] for one in FILE.finditer(pages)}
    assert shown_files
    assert shown_files == {name: (DOCS / name).read_text(encoding="utf-8") for name in shown_files}


def written() -> list[tuple[str, str]]:
    """The commands in all blocks of pages, with the page; not those that stand for several, nor parts of scripts."""
    found = []
    for page in (README, *sorted(DOCS.glob("*.md"))):
        for block in FENCE.finditer(page.read_text(encoding="utf-8")):
            lines = block["text"].replace("\\\n", " ").splitlines()
            found += [(page.name, line.removeprefix("$ ")) for line in lines if COMMAND.match(line)]
    return found


@pytest.mark.parametrize(("page", "line"), written())
def test_a_command_that_a_page_shows_is_one(page: str, line: str) -> None:
    """It is not run here: its verb, its arguments and its options are read."""
    _, *words = shlex.split(line, comments=True)
    command = typer.main.get_command(app)
    context = command.make_context("staleline", [*words])
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
        context = command.make_context(name, [*words], parent=context)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_that_are_there(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    named = set(re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {page.name for page in DOCS.glob("*.md")}


@pytest.mark.parametrize("command", shown())
def test_the_pages_show_real_output(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    out = printed(command, tmp_path, monkeypatch, capsys)
    for one in shown()[command]:
        if request.config.getoption("--record"):
            one.record(out, command)
        if one.excerpt:
            assert one.is_of(out), one.file
        else:
            assert out == one.output, one.file


@pytest.mark.parametrize(
    ("excerpt", "holds"),
    [
        ("a\n...\nc\n", True),
        ("a\n...\nb\nd\n", False),
        ("...\nc\n...\nb\n", False),
        ("b\n...\n", False),
        ("...\na\nb\n...\nd\n", True),
    ],
)
def test_an_excerpt_is_of_whole_lines_in_order(excerpt: str, holds: bool) -> None:
    assert Shown(README, excerpt).is_of("a\nb\nc\nd\n") is holds
