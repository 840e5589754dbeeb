"""What is written: nothing that a terminal obeys, an exit status of its own for what should not have happened."""

from __future__ import annotations

import json
import os
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Staleline

from bench.report import catalogue
from bench.support.text import encoded, printable
from bench.traces.store import load_trace, save_trace

HOSTILE = "\x1b]0;title\x07 \x9b31m \u202e \udcff"


def test_what_a_terminal_obeys_is_escaped_and_json_stays_json() -> None:
    assert printable("plain \u2717 \U0001f600\tand\nnew lines") == "plain \u2717 \U0001f600\tand\nnew lines"
    assert printable(HOSTILE) == "\\u001b]0;title\\u0007 \\u009b31m \\u202e \\udcff"
    assert json.loads(printable(encoded({HOSTILE[:-1]: "\x9b"}).decode())) == {HOSTILE[:-1]: "\x9b"}
    assert json.loads(encoded({"file": HOSTILE, "rows": [(HOSTILE, 1)]})) == {
        "file": printable(HOSTILE),
        "rows": [[printable(HOSTILE), 1]],
    }


@pytest.mark.parametrize("format", ["simple", "github", "csv", "json"])
def test_no_answer_and_no_refusal_has_what_a_terminal_obeys(format: str, tmp_path: Path, staleline: Staleline) -> None:
    text = "layout = {A = 0}\ninit = {A = 'old'}\nallowed = {T0 = ['old']}\nthreads.T0 = {core = 0, does = 'execute A'}"
    file = tmp_path / "mine\x1b[2J.toml"
    file.write_text(f"summary = {json.dumps(HOSTILE[:-1])}\n{text}\n", encoding="utf-8")
    ran = staleline("check", str(file), "--format", format)
    assert ran.status == 0
    assert "\\u001b[2J" in ran.out
    assert not {"\x1b", "\x9b", "\u202e"} & {*ran.out}
    refused = staleline("check", str(tmp_path / "\x1b[2J.toml"), "--format", format)
    refused.is_refused("\\u001b[2J.toml: cannot be read")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX alone")
def test_a_file_name_need_not_be_utf_8(tmp_path: Path, tiny_trace: Path, staleline: Staleline) -> None:
    trace = os.fsdecode(bytes(tmp_path) + b"/\xff.trace")
    save_trace(replace(load_trace(tiny_trace), name="\udcff"), trace)
    for format in ("simple", "json", "csv"):
        assert "\\udcff" in staleline(f"trace info --format {format}", trace).out
    out = os.fsdecode(bytes(tmp_path) + b"/\xfe.txt")
    assert staleline("trace info", trace, "-o", out).status == 0
    assert "\\udcff" in Path(out).read_text("utf-8")
    staleline("trace info", out).is_refused("\\udcfe.txt: byte 0: ")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("x"), "unexpected KeyError (test_output.py, line "),
        (MemoryError(), "no memory is left; there is no answer"),
        (BrokenProcessPool(), "a process of the search was ended from outside"),
        (EOFError("cut"), "unexpected EOFError (test_output.py"),
        (RecursionError("deep"), "unexpected RecursionError"),
    ],
)
def test_an_unexpected_error_has_no_exit_status_of_a_verdict(
    error: Exception, words: str, staleline: Staleline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(catalogue, "catalogue", fail)
    ran = staleline("list")
    assert (ran.status, ran.out, len(ran.err.strip().splitlines())) == (70, "", 1)
    assert ran.err.strip().startswith("staleline: ")  # typer begins a new line at the end of a file
    assert words in ran.err
    monkeypatch.setenv("STALELINE_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in staleline("list").err


@pytest.mark.parametrize("command", ["check unfixed", "replay", "trace info", "risk", "bugs", "list", "translator arm"])
def test_html_is_for_what_has_a_page(command: str, staleline: Staleline) -> None:
    staleline(f"{command} --format html").is_refused("--format: no format 'html'; expected one of ")
