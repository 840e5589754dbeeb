"""The command line as it should be used: options, formats, outputs and exit status."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import re
import shlex
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT, SCHEMA, VALID, Staleline, program
from tabulate import tabulate_formats

from bench.hosts.loader import ARCHITECTURES
from bench.report.tables import FORMATS, STRUCTURED, fill, table

COMMANDS = ("check", "explain", "export", "compare", "replay", "translator", "list", "trace")
COMMANDS += ("trace import", "trace info", "trace model")


def rows_of(out: str) -> list[dict[str, str]]:
    """The rows of a table in CSV."""
    return list(csv.DictReader(io.StringIO(out)))


def column(name: str, line: str, staleline: Staleline, *more: str) -> list[Any]:
    """What a command's ``results`` say of ``name`` in JSON."""
    return [cell[name] for cell in staleline(line, *more, "--format", "json").document["results"]]


# --- exit status ---


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("check idempotent --scenario system", 0),
        ("check unfixed --scenario system", 1),
        ("check idempotent,unfixed --scenario system", 1),
        ("check idempotent --scenario system --max-states 10", 1),
        ("check idempotent --host arm926", 0),  # one of its cells cannot be
        ("check unfixed --scenario system --hazard lasting", 0),
        ("replay {} --format csv", 0),
        ("compare {} --scenario system --format csv", 0),
    ],
)
def test_the_status_says_whether_all_holds_and_was_done(
    line: str, status: int, tiny_trace: Path, staleline: Staleline
) -> None:
    ran = staleline(line.format(tiny_trace))
    assert (ran.status, ran.err, ran.out == "") == (status, "", False)


# --- names ---


@pytest.mark.parametrize(
    "words",
    [
        "unfixed,idempotent",
        "unfixed idempotent",
        "--strategy unfixed,idempotent",
        "unfixed --strategy idempotent",
        "--strategy unfixed --strategy idempotent",
        "unfixed idempotent,unfixed",
        "' unfixed , idempotent '",
    ],
)
def test_names_come_in_lists_and_in_repeated_options(words: str, staleline: Staleline) -> None:
    assert column("strategy", f"check {words} --scenario system", staleline) == ["unfixed", "idempotent"]


def test_hosts_translators_and_scenarios_come_in_lists_too(staleline: Staleline) -> None:
    line = (
        "check idempotent --host cortex-a9,arm926 --host cortex-a8 --translator arm,arm@2011 --scenario user "
        "--scenario system --format json"
    )
    found = staleline(line).document["results"]
    assert [(cell["host"], cell["translator"], cell["scenario"]) for cell in found] == [
        (host, translator, scenario)
        for host in ("cortex-a9", "arm926", "cortex-a8")
        for translator in ("arm@2010", "arm@2011")
        for scenario in ("user", "system")
    ]


def test_what_is_taken_where_nothing_or_all_is_said(staleline: Staleline) -> None:
    catalogue = staleline("list --format json").document
    names, hosts = ([entry["name"] for entry in catalogue[kind]] for kind in ("strategies", "hosts"))
    for words in ("", "all", "--strategy all"):
        assert column("strategy", f"check {words} --scenario system --max-states 1", staleline) == names
    line = "check idempotent --host all --what-if --scenario system --max-states 1"
    assert column("host", line, staleline) == [name for name in hosts if name not in ARCHITECTURES]
    for words in ("", "--scenario all"):
        line = f"check idempotent {words} --max-states 1"
        assert column("scenario", line, staleline) == ["system", "user", "user-both", "migrate"]
        assert {*column("host", line, staleline), *column("translator", line, staleline)} == {"cortex-a9", "arm@2010"}


def test_a_cell_of_all_that_cannot_be_says_why(staleline: Staleline) -> None:
    last = staleline("check idempotent --host arm926 --format json").document["results"][-1]
    assert (last["scenario"], last["verdict"], last["reason"]) == ("migrate", "n/a", "arm926 has one core")


@pytest.mark.parametrize(
    ("host", "translator"), [("cortex-a9", "arm@2010"), ("z10", "s390x@2010"), ("x86-skylake", "x86-64@2010")]
)
def test_a_host_brings_its_translator(host: str, translator: str, staleline: Staleline) -> None:
    assert column("translator", f"check side-table --host {host} --scenario system", staleline) == [translator]


def test_a_setting_is_shown_wherever_it_applies(staleline: Staleline) -> None:
    line = "check unfixed --scenario system --set write_allocate=false --set cores=1"
    settings = ["dcache.write_allocate=false", "cores=1"]
    assert column("settings", line, staleline) == [settings]
    assert f"({', '.join(settings)})" in staleline(line).out


# --- the shipped traces ---


def test_the_shipped_traces_are_listed_as_their_files_say_and_named_in_the_help(staleline: Staleline) -> None:
    summaries = {entry["name"]: entry["summary"] for entry in staleline("list --format json").document["traces"]}
    assert [*summaries] == ["linux-boot", "user-gzip", "user-sort", "user-threads", "user-wc"]
    assert all("QEMU 7.2" in summary and "\n" not in summary for summary in summaries.values())
    for command in ("compare", "replay", "trace info"):
        text = " ".join(staleline(f"{command} --help").out.split())
        assert f"one that is shipped: {', '.join(summaries)}." in text
    for name in ("user-threads", "user-wc"):
        ran = staleline(f"trace info {name}")
        assert ran.out.startswith(f"{name}: arm guest, user emulation. {summaries[name]}\n")


def test_system_and_user_emulation_can_be_compared(staleline: Staleline) -> None:
    line = "compare user-threads --strategy unfixed,side-table --scenario system"
    assert column("retranslations", line, staleline) == [256, 256]


# --- what if ---


@pytest.mark.parametrize(
    "line",
    [
        "check unfixed --scenario system",
        "compare {} --strategy unfixed --scenario system",
        "replay {} --strategy unfixed",
    ],
)
def test_a_hypothetical_result_says_so_in_every_output_and_a_real_one_does_not(
    line: str, tiny_trace: Path, staleline: Staleline
) -> None:
    for host, hypothetical in (("sifive-u74", True), ("cortex-a9", False)):
        words = f"{line.format(tiny_trace)} --host {host} --what-if"
        assert bool(re.search(r"[Hh]ypothetical|\(what if\)", staleline(words).out)) is hypothetical
        assert column("what_if", words, staleline) == [hypothetical]
        rows = rows_of(staleline(words, "--format", "csv").out)
        assert [row["what_if"] for row in rows] == [str(hypothetical).lower()]


# --- outputs ---

PRINTERS = (
    "check unfixed,idempotent --scenario system",
    "replay {} --strategy unfixed",
    "compare {} --strategy unfixed,idempotent --scenario system",
    "trace info {}",
    "translator arm",
    "list",
    "risk {} --strategy unfixed,idempotent --scenario system,user --sensitivity",
    "risk --strategy unfixed --scenario system,user --per-operation write_back=1e-6,drop=1e-3 --simulate 100",
)


@pytest.mark.parametrize("style", ["simple", "json", "csv"])
@pytest.mark.parametrize("line", PRINTERS)
def test_output_is_written_as_it_would_be_printed_and_is_of_its_format(
    line: str, style: str, tiny_trace: Path, tmp_path: Path, staleline: Staleline
) -> None:
    words = f"{line.format(tiny_trace)} --format {style}"
    shown = staleline(words)
    option = "--output" if style == "csv" else "-o"
    written = staleline(words, option, str(tmp_path / "out"))
    assert (written.status, written.out, written.err) == (shown.status, "", "")
    assert (tmp_path / "out").read_text(encoding="utf-8") == shown.out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    if style == "json":
        assert shown.valid
    if style == "csv":
        header, *rows = csv.reader(io.StringIO(shown.out))
        assert len(set(header)) == len(header)
        assert {len(row) for row in rows} == {len(header)}


@pytest.mark.parametrize(
    "line",
    [
        "check unfixed,global-lock --scenario user-both --hazard lasting",
        "explain unfixed --scenario user --follow thread",
        "explain unfixed --host z10 --scenario user --follow thread",
        "check idempotent --host arm926",
        "check idempotent --max-states 3",
        "check unfixed --host neoverse-v1 --what-if --scenario user",
        "compare {} --strategy unfixed,side-table --host arm926",
        "replay {} --strategy stop-the-world-flush,side-table --host z10",
        "translator x86-64 --access store",
    ],
)
def test_json_of_other_cells_is_what_the_schema_says_too(line: str, tiny_trace: Path, staleline: Staleline) -> None:
    ran = staleline(line.format(tiny_trace), "--format", "json")
    assert ran.err == ""
    assert ran.valid


def test_the_schema_refuses_what_is_not_promised(staleline: Staleline) -> None:
    found = staleline("check unfixed --scenario system --format json").document
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for change in ({"verdict": "maybe"}, {"depth": -1}, {"surprise": 1}):
        with pytest.raises(jsonschema.ValidationError):
            VALID.validate({**found, "results": [{**found["results"][0], **change}]})


def test_csv_and_json_of_check_agree(staleline: Staleline) -> None:
    line = "check unfixed,idempotent --host arm926 --format"
    cells, rows = staleline(line, "json").document["results"], rows_of(staleline(line, "csv").out)
    for key in ("strategy", "host", "translator", "scenario", "hazard", "verdict"):
        assert [row[key] for row in rows] == [cell[key] for cell in cells]
    for key in ("states", "depth"):
        assert [int(row[key]) for row in rows] == [cell[key] for cell in cells]
    assert [int(row["rows"]) for row in rows] == [len(cell["counterexample"]) for cell in cells]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_the_standard_output_has_a_name(tmp_path: Path) -> None:
    shown = program("translator", "arm").out
    assert program("translator", "arm", "-o", "/dev/stdout").out == shown
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        log.write("before\n")
        log.flush()
        program("translator", "arm", "-o", "/dev/stdout", stdout=log)
        os.lseek(log.fileno(), 0, os.SEEK_END)
        log.write("after\n")
    assert (tmp_path / "log").read_text(encoding="utf-8") == f"before\n{shown}after\n"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="symbolic links")
def test_what_a_link_leads_to_is_replaced(tmp_path: Path, staleline: Staleline) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    for _ in range(2):  # not there yet, then there
        assert staleline("list -o", str(tmp_path / "link")).status == 0
        assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text(encoding="utf-8") == staleline("list").out


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, staleline: Staleline) -> None:
    (tmp_path / "out").touch()
    (tmp_path / "out").chmod(0o640)
    staleline("list -o", str(tmp_path / "out"))
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


# --- tables ---

# What parts the cells of a row in the formats that draw lines between them.
BARS = {
    **dict.fromkeys(tabulate_formats, "|"),
    **dict.fromkeys(("latex", "latex_booktabs", "latex_longtable", "latex_raw"), "&"),
    **dict.fromkeys(("double_grid", "double_outline"), "║"),
    **dict.fromkeys(("heavy_grid", "heavy_outline"), "┃"),
    **{f"{kind}_{lines}": "│" for kind in ("fancy", "mixed", "rounded", "simple") for lines in ("grid", "outline")},
    "tsv": "\t",
    **dict.fromkeys(("mediawiki", "plain", "rst", "simple"), ""),
}


@pytest.mark.parametrize("style", [style for style in FORMATS if style not in STRUCTURED])
def test_check_prints_every_format_of_tabulate(style: str, staleline: Staleline) -> None:
    ran = staleline("check unfixed,idempotent --host cortex-a9,arm926 --scenario system --format", style)
    assert (ran.status, ran.err) == (1, "")
    for word in ("unfixed", "idempotent", "cortex-a9", "arm926"):
        assert word in ran.out
    lines = ran.out.splitlines()
    assert len(lines) > 30
    if bar := BARS[style]:
        verdicts = [line for line in lines if bar in line and re.search(r"\b(?:fails|holds)\b", line)]
        assert len(verdicts) == 4
        head = next(line for line in lines if "verdict" in line)
        bars = {len(re.findall(rf"(?:{re.escape(bar)})+", line)) for line in (head, *verdicts)}
        assert len(bars) == 1
        assert min(bars) >= 7  # between eight cells


def test_a_cell_is_on_one_line_and_shown_as_it_was_made(staleline: Staleline) -> None:
    for style in tabulate_formats:
        plain = table(("a", "b"), [("one two", "3")], style)
        assert table(("a", "b"), [(" one\n two ", "3")], style) == plain
    assert table(("a",), [("1e3",), ("0x10",), ("1_0",), ("+7",)], "plain").split() == ["a", "1e3", "0x10", "1_0", "+7"]
    assert table(("a",), [("x|y",)], "simple").splitlines()[-1].strip() == "x|y"
    # A bar does not end it where bars part cells.
    assert table(("a",), [("x|y",)], "github").splitlines()[-1] == r"| x\|y |"
    lines = staleline("bugs fex-2025-delink16 --format github").out.splitlines()
    assert len({line.count("|") for line in lines if line.startswith("|") and "step" in line}) <= 2


# --- help ---


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, staleline: Staleline) -> None:
    ran = staleline(f"{command} -h")
    assert (ran.status, ran.err) == (0, "")
    assert "Usage: " in ran.out
    assert staleline(f"{command} --help") == ran


@pytest.mark.parametrize("command", ["", "trace"])
def test_no_command_is_described_by_half_a_sentence(command: str, staleline: Staleline) -> None:
    _, _, described = staleline(f"{command} --help").out.partition("Commands:\n")
    assert described
    assert all(line.endswith(".") and not line.endswith("...") for line in described.splitlines())


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("trace", "list")])
def test_every_command_with_arguments_has_an_example_that_runs(
    command: str, tiny_trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    text = " ".join(staleline(f"{command} --help").out.split())
    found = re.search(rf"Example\b[^:]*: staleline ({command} .*?) (?:Also|Arguments|Options):", text)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    # What the example reads is not here, and the shipped trace would take long.
    line = found[1].replace("linux-boot", str(tiny_trace)).replace("mine.trace", str(tiny_trace))
    (tmp_path / "SM.litmus").write_text("AArch64 SM\n{ 0:X1=1; }\nP0 ;\nMOV X0,X1 ;\nexists 0:X0=1\n", encoding="utf-8")
    if command == "compare":
        line += f" {tiny_trace} --strategy idempotent --scenario system"
    if command == "trace model":
        line += f" --like {tiny_trace} --faults-per-million x2"
    if command == "trace import":
        missing = "cannot be read: No such file or directory; expected a QEMU log\n"
        assert staleline(line).err == f"staleline: boot.log.zst: {missing}"
    else:
        assert staleline(line).status == (0 if command == "export" or "unfixed" not in line else 1)


def test_the_version_is_that_of_the_installed_package(staleline: Staleline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"7.8 of {name}")
    ran = staleline("--version")
    assert (ran.status, ran.out, ran.err) == (0, "staleline 7.8 of staleline\n", "")

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert staleline("--version").out == "staleline (not installed)\n"


HEAVY = ("numpy", "numba", "rich", "tabulate", "msgspec", "capstone", "zstandard")


@pytest.mark.parametrize(
    ("words", "light"), [("--help", HEAVY), ("compare --help", HEAVY), ("list", ("numpy", "numba", "rich"))]
)
def test_what_a_command_does_not_need_is_not_imported(words: str, light: tuple[str, ...]) -> None:
    script = (
        "import sys\nfrom bench.commands.application import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        f"print('loaded:', *[name for name in {light!r} if name in sys.modules])"
    )
    ended = program(*words.split(), script=script)
    assert (ended.status, ended.out.splitlines()[-1].strip()) == (0, "loaded:")


# --- the command that shows a result again ---


@pytest.fixture
def files_of_mine(tmp_path: Path) -> dict[str, str]:
    """A wrong strategy, a host and events in files of the user's, as arguments."""
    host = files("bench.hosts").joinpath("cortex-a9.toml").read_text(encoding="utf-8")
    written = {
        "my own.py": "from staleline import Strategy\nclass Hopeful(Strategy):\n    '''Does nothing about it.'''\n",
        "board.toml": host.replace('name = "cortex-a9"', 'name = "board"'),
        "events.txt": "T1 faults\nT2 runs wrong\n",
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    strategy, board, events = (str(tmp_path / name) for name in written)
    return {"strategy": shlex.quote(f"{strategy}:Hopeful"), "board": board, "events": events}


@pytest.mark.parametrize(
    "line",
    [
        "check unfixed --scenario system",
        "check unfixed --scenario system --start fault",
        "check unfixed --scenario system --layout packed --offset 8 --set write_allocate=false",
        "check flush-on-retranslation --scenario user --cores 3 --retranslations 1",
        "check unfixed --scenario user-both --hazard lasting",
        "check flush-on-tb-flush --flushes 1 --tbs 2 --scenario system",
        "check unfixed --host neoverse-v1 --what-if --scenario user",
        "explain unfixed --scenario user --follow thread --max-states 400000",
        "explain unfixed --scenario user --follow {events}",
        "check {strategy} --scenario system",
        "check unfixed --host {board} --scenario system",
    ],
)
def test_the_printed_command_shows_the_same_again(
    line: str, files_of_mine: dict[str, str], staleline: Staleline
) -> None:
    first = staleline(line.format(**files_of_mine))
    assert first.status == 1
    again = re.search(r"^Show it again: staleline (.*)$", first.out, re.MULTILINE)
    assert again is not None
    assert staleline(again[1]) == first
    assert column("command", again[1], staleline) == [f"staleline {again[1]}"]


def test_every_failing_cell_of_a_table_has_its_command(staleline: Staleline) -> None:
    ran = staleline("check unfixed,global-lock,idempotent --scenario system,user")
    commands = re.findall(r"^Show it again: staleline (.*)$", ran.out, re.MULTILINE)
    assert len(commands) == 4
    assert all(staleline(command).out.rstrip("\n") in ran.out for command in commands)


# --- the entry points ---


def test_python_m_bench_is_the_console_script(staleline: Staleline) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["staleline"].partition(":")
    script = f"import sys; sys.argv[0] = 'staleline'; from {module} import {function}; sys.exit({function}())"
    for words, status in (("check nosuch", 2), ("list --format csv", 0)):
        here = staleline(words)
        assert program(*words.split()) == program(*words.split(), script=script) == here
        assert here.status == status


@pytest.mark.parametrize(("columns", "longest"), [(60, 60), (300, 110), (10, 40)])
def test_running_text_is_no_wider_than_the_terminal(
    columns: int, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    text = fill("word " * 100)
    assert max(map(len, text.splitlines())) <= longest
    assert max(map(len, text.splitlines())) > longest - 6
