"""Bad usage and bad input: one line that says what is wrong, exit status 2, and nothing written."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from conftest import ROOT, Pinned, Ran, Staleline, program

SHELF = ROOT / "tests" / "refused"
PROFILE = (ROOT / "bench" / "hosts" / "cortex-a9.toml").read_text(encoding="utf-8")
LOG = b"".join(b"Trace 0: 0x7f0000000%03x [00000000/0001%04x/00000000/00000000]\n" % (n, n) for n in range(500))
JUNK = bytes(range(256)) * 8
ONE = "--strategy unfixed --scenario system"
"""The quickest table of ``compare``."""
KEPT = "what was there before\n"

HOSTS = {
    "a9.toml": PROFILE,
    "type.toml": PROFILE.replace("clock_ghz = 1.2", 'clock_ghz = "fast"'),
    "syntax.toml": 'name = "a9"\ntitle = = "x"\n',
}

HEADER = "from staleline import *\nfrom strategies.operations import *\n\n\nclass A(Strategy):\n"
STRATEGIES = {
    "raises": "def publish(self, region):\n        raise ValueError('two\\nlines')",
    "each_other": "def begin(self, region):\n        return (Do('publish', region),)\n\n"
    "    def publish(self, region):\n        return (Do('begin', region),)",
    "recursive": "def publish(self, region):\n        return self.publish(region)",
    "exits": "def publish(self, region):\n        raise SystemExit(0)",
    "named_7": "name = 7",
    "named_list": "name = 'a,b'",
}

FILES = {
    **HOSTS,
    **{f"{name}.py": f"{HEADER}    {body}\n" for name, body in STRATEGIES.items()},
    "events.bad": "T1 faults\nT1 flies\n",
    "events.far": "# ours\nT9 faults\n",
    "events.none": "# nothing\n",
    "text.log": "hello\nworld\n",
    "empty": "",
    "broken.json": "{",
    "other.json": "{}",
    "kept": KEPT,
    "mine.toml": "layout.A = 0\ninit.A = 'a'\nallowed.T0 = ['a']\nthreads.T0 = {core = 0, does = 'execute A'}\n",
    "one.litmus": "AArch64 one\n{}\n P0 ;\n NOP ;\nexists true\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_trace: Path) -> Path:
    """A folder of bad files (and of a good trace), which no command may change."""
    folder = tmp_path_factory.mktemp("bad")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    whole = tiny_trace.read_bytes()
    compressed = zstandard.compress(LOG)
    damaged = bytearray(whole)
    damaged[len(whole) // 4] ^= 1
    contents = {"good.trace": whole, "half.trace": whole[: len(whole) // 2]}
    contents |= {"junk.trace": JUNK, "junk.log": JUNK, "damaged.trace": bytes(damaged), "whole.log": LOG}
    contents |= {"latin.toml": b'name = "caf\xe9"\n', "events.utf16": "T1 faults\n".encode("utf-16")}
    contents |= {"cut.log.zst": compressed[:-5], "cut.log.gz": gzip.compress(LOG)[:-9]}
    contents["wrong.log.gz"] = compressed[:4] + JUNK
    contents |= {path.name: path.read_bytes() for path in SHELF.glob("*.toml")}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    return folder


@pytest.fixture(scope="module")
def at_first(place: Path) -> dict[str, bytes | None]:
    return snapshot(place)


@pytest.fixture(autouse=True)
def unchanged(place: Path, at_first: dict[str, bytes | None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs a test in ``place`` and compares every file in it with what it was at first."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for path in place.glob("edited.*"):
        path.unlink()
    assert snapshot(place) == at_first


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """The contents of all files, and None for the folders."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# --- commands, and what they say ---

COMMANDS = SHELF / "commands.txt"


def cases() -> Iterator[Any]:
    """Each command of the file: the edit of a file before it, the command, and the line that it says."""
    lines = COMMANDS.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("$"):
            edit = lines[number - 1].removeprefix("< ") if lines[number - 1].startswith("< ") else ""
            words = "".join(after for after in lines[number + 1 : number + 2] if after[:1] not in ("$", "<"))
            yield pytest.param(edit, line[1:].strip(), words, id=f"{edit} {line}")


@pytest.mark.parametrize(("edit", "command", "words"), [*cases()])
def test_what_is_refused_is_said_in_one_line(
    edit: str, command: str, words: str, place: Path, staleline: Staleline, pinned: Pinned
) -> None:
    """An edit is FILE | OLD | NEW, and makes ``edited``; ``...`` stands for a list that grows, or another's words."""
    if edit:
        name, old, new = (part.encode().decode("unicode_escape") for part in re.split(r" \|(?: |$)", edit))
        text = (place / name).read_text(encoding="utf-8")
        assert old in text
        (place / f"edited{Path(name).suffix}").write_text(text.replace(old, new), encoding="utf-8")
    ran = staleline(command)
    ran.is_refused()
    found = ran.err.removeprefix("staleline: ").rstrip("\n")
    right = re.fullmatch(".*".join(map(re.escape, words.split("..."))), found)
    if pinned.record and not right:
        text = COMMANDS.read_text(encoding="utf-8")
        before = f"< {edit}\n$ {command}\n" if edit else f"$ {command}".rstrip() + "\n"
        COMMANDS.write_text(text.replace(before + f"{words}\n" * bool(words), f"{before}{found}\n"), encoding="utf-8")
    else:
        assert right, found


# --- files that are written ---

WRITERS = (
    "check unfixed --scenario system",
    f"compare good.trace {ONE}",
    "replay good.trace",
    "trace info good.trace",
    "translator arm",
    "list",
    "trace model --like good.trace",
    "trace import whole.log",
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
@pytest.mark.parametrize("command", WRITERS)
def test_a_full_disk(command: str, staleline: Staleline) -> None:
    words = "is a device" if command.startswith(("trace model", "trace import")) else "No space left on device"
    staleline(f"{command} -o /dev/full").is_refused(f"/dev/full: {words}")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("command", ["list", "trace model --like good.trace"])
def test_a_folder_that_may_not_be_written(command: str, tmp_path: Path, staleline: Staleline) -> None:
    tmp_path.chmod(0o500)
    staleline(command, "-o", str(tmp_path / "new")).is_refused("new: permission denied")
    assert not list(tmp_path.iterdir())


def test_a_folder_called_as_a_shipped_trace_is_not_in_its_way(place: Path, staleline: Staleline) -> None:
    (place / "user-wc").mkdir()
    try:
        assert "user-wc" in staleline("trace info user-wc").out
    finally:
        (place / "user-wc").rmdir()


# --- the streams of the process ---

PIPES = pytest.mark.skipif(os.name != "posix", reason="descriptors as POSIX has them")


@PIPES
@pytest.mark.parametrize("command", ["list", "list -o /dev/stdout", "--help"])
def test_a_closed_pipe_ends_the_program_quietly(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = program(*command.split(), stdout=writer)
    finally:
        os.close(writer)
    assert (ended.status, ended.err) == (128 + 13, "")


@PIPES
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
@pytest.mark.parametrize("command", ["list", "--help", "--version"])
def test_a_standard_output_that_takes_nothing(command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        program(*command.split(), stdout=full).is_refused("No space left on device")


@PIPES
def test_a_standard_output_that_is_closed() -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.quote(sys.executable)} -m bench list >&-"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    Ran(ended.returncode, "", ended.stderr).is_refused("standard output: is not open")


def test_status_2_and_no_traceback_from_the_process_itself_nor_on_a_terminal_without_such_characters() -> None:
    program("check", "raises.py:A").is_refused("A.publish, line 7: raised ValueError")
    ended = program("list", "--format", "fancy_grid", environment={"PYTHONIOENCODING": "ascii"})
    ended.is_refused("cannot be written as ascii; expected UTF-8")
