"""The command line as it should be used: options, formats, outputs and exit status."""

from __future__ import annotations

import csv
import html.parser
import importlib.metadata
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import Staleline
from tabulate import tabulate_formats

from bench.hosts.loader import ARCHITECTURES
from bench.report.tables import fill, table

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((ROOT / "docs" / "staleline.schema.json").read_text(encoding="utf-8"))
COMMANDS = (
    "check",
    "explain",
    "export",
    "compare",
    "replay",
    "trace",
    "trace import",
    "trace info",
    "trace model",
    "translator",
    "list",
)
SYSTEM = ("--scenario", "system")


def results(out: str) -> list[dict[str, Any]]:
    """The ``results`` of a JSON document."""
    found: list[dict[str, Any]] = json.loads(out)["results"]
    return found


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        **{"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True, **options},
        check=False,
    )


# --- exit status ---


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("check idempotent --scenario system", 0),
        ("check unfixed --scenario system", 1),
        ("check idempotent,unfixed --scenario system", 1),
        ("check idempotent --scenario system --max-states 10", 1),
        ("check idempotent --host arm926", 0),
        ("check unfixed --scenario system --hazard lasting", 0),
    ],
)
def test_check_says_with_its_status_whether_all_holds(line: str, status: int, staleline: Staleline) -> None:
    ran = staleline(*line.split())
    assert (ran.status, ran.err) == (status, "")


@pytest.mark.parametrize("line", ["replay {}", "compare {} --scenario system", "trace info {}"])
def test_what_was_asked_for_was_done(line: str, tiny_trace: Path, staleline: Staleline) -> None:
    ran = staleline(*line.format(tiny_trace).split(), "--format", "csv")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out


# --- names ---


@pytest.mark.parametrize(
    "words",
    [
        ["unfixed,idempotent"],
        ["unfixed", "idempotent"],
        ["--strategy", "unfixed,idempotent"],
        ["unfixed", "--strategy", "idempotent"],
        ["--strategy", "unfixed", "--strategy", "idempotent"],
        ["unfixed", "idempotent,unfixed"],
        [" unfixed , idempotent "],
    ],
)
def test_names_come_in_lists_and_in_repeated_options(words: list[str], staleline: Staleline) -> None:
    ran = staleline("check", *words, *SYSTEM, "--format", "json")
    assert [cell["strategy"] for cell in results(ran.out)] == ["unfixed", "idempotent"]


def test_hosts_translators_and_scenarios_come_in_lists_too(staleline: Staleline) -> None:
    ran = staleline(
        "check",
        "idempotent",
        "--host",
        "cortex-a9,arm926",
        "--host",
        "cortex-a8",
        "--translator",
        "arm,arm@2011",
        "--scenario",
        "user",
        "--scenario",
        "system",
        "--format",
        "json",
    )
    assert [(cell["host"], cell["translator"], cell["scenario"]) for cell in results(ran.out)] == [
        (host, translator, scenario)
        for host in ("cortex-a9", "arm926", "cortex-a8")
        for translator in ("arm@2010", "arm@2011")
        for scenario in ("user", "system")
    ]


@pytest.mark.parametrize("words", [[], ["all"], ["--strategy", "all"]])
def test_all_strategies_are_the_default(words: list[str], staleline: Staleline) -> None:
    catalogue = json.loads(staleline("list", "--format", "json").out)
    ran = staleline("check", *words, *SYSTEM, "--max-states", "1", "--format", "json")
    assert [cell["strategy"] for cell in results(ran.out)] == [entry["name"] for entry in catalogue["strategies"]]


def test_all_hosts(staleline: Staleline) -> None:
    ran = staleline(
        "check", "idempotent", "--host", "all", "--what-if", *SYSTEM, "--max-states", "1", "--format", "json"
    )
    catalogue = json.loads(staleline("list", "--format", "json").out)
    hosts = [entry["name"] for entry in catalogue["hosts"] if entry["name"] not in ARCHITECTURES]
    assert [cell["host"] for cell in results(ran.out)] == hosts


@pytest.mark.parametrize("words", [[], ["--scenario", "all"]])
def test_all_scenarios_and_the_first_host_are_the_default(words: list[str], staleline: Staleline) -> None:
    cells = results(staleline("check", "idempotent", *words, "--max-states", "1", "--format", "json").out)
    assert [cell["scenario"] for cell in cells] == ["system", "user", "user-both", "migrate"]
    assert {(cell["host"], cell["translator"]) for cell in cells} == {("cortex-a9", "arm@2010")}


def test_a_cell_of_all_that_cannot_be_is_not_an_error(staleline: Staleline) -> None:
    ran = staleline("check", "idempotent", "--host", "arm926", "--format", "json")
    assert ran.status == 0
    assert {cell["scenario"]: (cell["verdict"], cell["reason"]) for cell in results(ran.out)}["migrate"] == (
        "n/a",
        "arm926 has one core",
    )


@pytest.mark.parametrize(
    ("host", "translator"), [("cortex-a9", "arm@2010"), ("z10", "s390x@2010"), ("x86-skylake", "x86-64@2010")]
)
def test_a_host_brings_its_translator(host: str, translator: str, staleline: Staleline) -> None:
    ran = staleline("check", "side-table", "--host", host, *SYSTEM, "--format", "json")
    assert [cell["translator"] for cell in results(ran.out)] == [translator]


def test_a_setting_is_shown_wherever_it_applies(staleline: Staleline) -> None:
    words = ("check", "unfixed", *SYSTEM, "--set", "write_allocate=false", "--set", "cores=1")
    settings = ["dcache.write_allocate=false", "cores=1"]
    assert results(staleline(*words, "--format", "json").out)[0]["settings"] == settings
    assert f"({', '.join(settings)})" in staleline(*words).out


# --- the shipped traces ---


def test_the_shipped_traces_are_listed_and_named_in_the_help(staleline: Staleline) -> None:
    entries = json.loads(staleline("list", "--format", "json").out)["traces"]
    names = [entry["name"] for entry in entries]
    assert names == ["linux-boot", "user-gzip", "user-sort", "user-threads", "user-wc"]
    for entry in entries:
        assert "QEMU 7.2" in entry["summary"]
        assert "\n" not in entry["summary"]
    for command in ("compare", "replay", "trace info"):
        text = " ".join(staleline(*command.split(), "--help").out.split())
        assert f"one that is shipped: {', '.join(names)}." in text


def test_what_is_listed_of_a_shipped_trace_is_what_its_file_says(staleline: Staleline) -> None:
    entries = {entry["name"]: entry for entry in json.loads(staleline("list", "--format", "json").out)["traces"]}
    for name in ("user-threads", "user-wc"):
        ran = staleline("trace", "info", name)
        assert ran.out.startswith(f"{name}: arm guest, user emulation. {entries[name]['summary']}\n")


def test_system_and_user_emulation_can_be_compared(staleline: Staleline) -> None:
    ran = staleline("compare", "user-threads", "--strategy", "unfixed,side-table", *SYSTEM, "--format", "json")
    assert (ran.status, ran.err) == (0, "")
    assert {cell["strategy"]: cell["retranslations"] for cell in results(ran.out)} == {
        "side-table": 256,
        "unfixed": 256,
    }


# --- what if ---


def test_a_hypothetical_result_says_so_in_every_output(tiny_trace: Path, staleline: Staleline) -> None:
    host = ("--host", "sifive-u74", "--what-if")
    for command in (
        ["check", "unfixed", *SYSTEM],
        ["compare", str(tiny_trace), "--strategy", "unfixed", *SYSTEM],
        ["replay", str(tiny_trace), "--strategy", "unfixed"],
    ):
        assert re.search(r"[Hh]ypothetical|\(what if\)", staleline(*command, *host).out), command
        assert [cell["what_if"] for cell in results(staleline(*command, *host, "--format", "json").out)] == [True]
        rows = list(csv.DictReader(io.StringIO(staleline(*command, *host, "--format", "csv").out)))
        assert [row["what_if"] for row in rows] == ["true"], command


def test_a_real_result_is_not_marked(tiny_trace: Path, staleline: Staleline) -> None:
    for command in (["check", "unfixed", *SYSTEM], ["replay", str(tiny_trace), "--strategy", "unfixed"]):
        assert not re.search(r"[Hh]ypothetical|what if\)", staleline(*command, "--what-if").out)
        assert [cell["what_if"] for cell in results(staleline(*command, "--what-if", "--format", "json").out)] == [
            False
        ]


# --- outputs ---

PRINTERS = (
    "check unfixed,idempotent --scenario system",
    "replay {} --strategy unfixed",
    "compare {} --strategy unfixed,idempotent --scenario system",
    "trace info {}",
    "translator arm",
    "list",
    "risk {} --strategy unfixed,idempotent --scenario system,user --sensitivity",
    "risk {} --scenario system,user,migrate --per-operation write_back=1e-6,drop=1e-3 --simulate 100",
)


@pytest.mark.parametrize("style", ["simple", "json", "csv"])
@pytest.mark.parametrize("line", PRINTERS)
def test_output_is_written_as_it_would_be_printed(
    line: str, style: str, tiny_trace: Path, tmp_path: Path, staleline: Staleline
) -> None:
    words = [*line.format(tiny_trace).split(), "--format", style]
    shown = staleline(*words)
    for option in ("-o", "--output"):
        written = staleline(*words, option, str(tmp_path / "out"))
        assert (written.status, written.out, written.err) == (shown.status, "", "")
        assert (tmp_path / "out").read_text(encoding="utf-8") == shown.out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("line", PRINTERS)
def test_json_is_what_the_schema_says(line: str, tiny_trace: Path, staleline: Staleline) -> None:
    jsonschema.validate(json.loads(staleline(*line.format(tiny_trace).split(), "--format", "json").out), SCHEMA)


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
def test_json_of_other_cells_too(line: str, tiny_trace: Path, staleline: Staleline) -> None:
    ran = staleline(*line.format(tiny_trace).split(), "--format", "json")
    assert ran.err == ""
    jsonschema.validate(json.loads(ran.out), SCHEMA)


def test_the_schema_refuses_what_is_not_promised(staleline: Staleline) -> None:
    found = json.loads(staleline("check", "unfixed", *SYSTEM, "--format", "json").out)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for change in ({"verdict": "maybe"}, {"depth": -1}, {"surprise": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**found, "results": [{**found["results"][0], **change}]}, SCHEMA)


@pytest.mark.parametrize("line", PRINTERS)
def test_csv_has_one_header_and_rows_as_long(line: str, tiny_trace: Path, staleline: Staleline) -> None:
    out = staleline(*line.format(tiny_trace).split(), "--format", "csv").out
    header, *rows = csv.reader(io.StringIO(out))
    assert rows
    assert len(set(header)) == len(header)
    assert {len(row) for row in rows} == {len(header)}


def test_csv_and_json_of_check_agree(staleline: Staleline) -> None:
    words = ("check", "unfixed,idempotent", "--host", "arm926")
    cells = results(staleline(*words, "--format", "json").out)
    rows = list(csv.DictReader(io.StringIO(staleline(*words, "--format", "csv").out)))
    for key in ("strategy", "host", "translator", "scenario", "hazard", "verdict"):
        assert [row[key] for row in rows] == [cell[key] for cell in cells]
    for key in ("states", "depth"):
        assert [int(row[key]) for row in rows] == [cell[key] for cell in cells]
    assert [int(row["rows"]) for row in rows] == [len(cell["counterexample"]) for cell in cells]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_the_standard_output_has_a_name(tmp_path: Path) -> None:
    shown = program("translator", "arm").stdout
    assert program("translator", "arm", "-o", "/dev/stdout").stdout == shown
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        log.write("before\n")
        log.flush()
        program("translator", "arm", "-o", "/dev/stdout", capture_output=False, stdout=log)
        os.lseek(log.fileno(), 0, os.SEEK_END)
        log.write("after\n")
    assert (tmp_path / "log").read_text(encoding="utf-8") == f"before\n{shown}after\n"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="symbolic links")
def test_what_a_link_leads_to_is_replaced(tmp_path: Path, staleline: Staleline) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    for _ in range(2):  # not there yet, then there
        assert staleline("list", "-o", str(tmp_path / "link")).status == 0
        assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text(encoding="utf-8") == staleline("list").out


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, staleline: Staleline) -> None:
    (tmp_path / "out").touch(mode=0o640)
    (tmp_path / "out").chmod(0o640)
    staleline("list", "-o", str(tmp_path / "out"))
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
    **dict.fromkeys(("html", "unsafehtml", "mediawiki", "plain", "rst", "simple"), ""),
}


class _Rows(html.parser.HTMLParser):
    """The number of cells in each row of an HTML table."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.cells.append(0)
        elif tag in ("td", "th"):
            self.cells[-1] += 1


@pytest.mark.parametrize("style", sorted(tabulate_formats))
def test_check_prints_every_format_of_tabulate(style: str, staleline: Staleline) -> None:
    ran = staleline("check", "unfixed,idempotent", "--host", "cortex-a9,arm926", *SYSTEM, "--format", style)
    assert (ran.status, ran.err) == (1, "")
    for word in ("unfixed", "idempotent", "cortex-a9", "arm926"):
        assert word in ran.out
    lines = ran.out.splitlines()
    assert len(lines) > 30
    if style in ("html", "unsafehtml"):
        rows = _Rows()
        rows.feed(ran.out)
        assert set(rows.cells) <= {8, 5}
        assert rows.cells[:5] == [8] * 5
    elif bar := BARS[style]:
        verdicts = [line for line in lines if bar in line and re.search(r"\b(?:fails|holds)\b", line)]
        assert len(verdicts) == 4
        head = next(line for line in lines if "verdict" in line)
        bars = {len(re.findall(rf"(?:{re.escape(bar)})+", line)) for line in (head, *verdicts)}
        assert len(bars) == 1
        assert min(bars) >= 7  # between eight cells


@pytest.mark.parametrize("style", sorted(tabulate_formats))
def test_a_cell_is_on_one_line(style: str) -> None:
    plain = table(("a", "b"), [("one two", "3")], style)
    assert table(("a", "b"), [(" one\n two ", "3")], style) == plain


def test_a_number_is_shown_as_it_was_made() -> None:
    assert table(("a",), [("1e3",), ("0x10",), ("1_0",), ("+7",)], "plain").split() == ["a", "1e3", "0x10", "1_0", "+7"]


# --- help ---


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_explains_itself(command: str, option: str, staleline: Staleline) -> None:
    ran = staleline(*command.split(), option)
    assert (ran.status, ran.err) == (0, "")
    assert "Usage: " in ran.out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("trace", "list")])
def test_every_command_with_arguments_has_an_example_that_runs(
    command: str, tiny_trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staleline: Staleline
) -> None:
    text = " ".join(staleline(*command.split(), "--help").out.split())
    found = re.search(rf"Example\b[^:]*: staleline ({command} .*?) (?:Also|Arguments|Options):", text)
    assert found is not None
    words = shlex.split(found[1])
    monkeypatch.chdir(tmp_path)
    # What the example reads is not here, and the shipped trace would take long.
    reads = {"linux-boot": str(tiny_trace), "mine.trace": str(tiny_trace)}
    (tmp_path / "SM.litmus").write_text("AArch64 SM\n{ 0:X1=1; }\nP0 ;\nMOV X0,X1 ;\nexists 0:X0=1\n", encoding="utf-8")
    words = [reads.get(word, word) for word in words]
    if command == "compare":
        words += [str(tiny_trace), "--strategy", "idempotent", "--scenario", "system"]
    if command == "trace model":
        words += ["--like", str(tiny_trace), "--faults-per-million", "x2"]
    if command == "trace import":
        assert staleline(*words).err == (
            "staleline: boot.log.zst: cannot be read: No such file or directory; expected a QEMU log\n"
        )
    else:
        assert staleline(*words).status == (0 if command == "export" or "unfixed" not in words else 1)


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
    ended = subprocess.run(
        [sys.executable, "-c", script, *words.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1].strip() == "loaded:"


# --- the command that shows a result again ---


def mine(folder: Path) -> str:
    """A wrong strategy in a file of the user's."""
    (folder / "my own.py").write_text(
        "from strategies import Strategy\n\n\nclass Hopeful(Strategy):\n    '''Does nothing about it.'''\n",
        encoding="utf-8",
    )
    return f"{folder / 'my own.py'}:Hopeful"


def derived(folder: Path) -> str:
    """A host in a file of the user's."""
    text = files("bench.hosts").joinpath("cortex-a9.toml").read_text(encoding="utf-8")
    (folder / "board.toml").write_text(text.replace('name = "cortex-a9"', 'name = "board"'), encoding="utf-8")
    return str(folder / "board.toml")


def events(folder: Path) -> str:
    """Events in a file of the user's."""
    (folder / "events.txt").write_text("T1 faults\nT2 runs wrong\n", encoding="utf-8")
    return str(folder / "events.txt")


@pytest.mark.parametrize(
    "words",
    [
        lambda folder: ["unfixed", *SYSTEM],
        lambda folder: ["unfixed", *SYSTEM, "--start", "fault"],
        lambda folder: ["unfixed", *SYSTEM, "--layout", "packed", "--offset", "8", "--set", "write_allocate=false"],
        lambda folder: ["flush-on-retranslation", "--scenario", "user", "--cores", "3", "--retranslations", "1"],
        lambda folder: ["unfixed", "--scenario", "user-both", "--hazard", "lasting"],
        lambda folder: ["flush-on-tb-flush", "--flushes", "1", "--tbs", "2", *SYSTEM],
        lambda folder: ["unfixed", "--host", "neoverse-v1", "--what-if", "--scenario", "user"],
        lambda folder: ["unfixed", "--scenario", "user", "--follow", "thread", "--max-states", "400000"],
        lambda folder: ["unfixed", "--scenario", "user", "--follow", events(folder)],
        lambda folder: [mine(folder), *SYSTEM],
        lambda folder: ["unfixed", "--host", derived(folder), *SYSTEM],
    ],
    ids=[
        "plain",
        "fault",
        "packed",
        "scaled",
        "lasting",
        "flushes",
        "what-if",
        "thread",
        "events",
        "strategy-file",
        "host-file",
    ],
)
def test_the_printed_command_shows_the_same_again(
    words: Callable[[Path], list[str]], tmp_path: Path, staleline: Staleline
) -> None:
    given = words(tmp_path)
    first = staleline("explain" if "--follow" in given else "check", *given)
    assert first.status == 1
    again = re.search(r"^Show it again: (.*)$", first.out, re.MULTILINE)
    assert again is not None
    name, *rest = shlex.split(again[1])
    assert name == "staleline"
    assert staleline(*rest) == first
    ran = staleline(*rest, "--format", "json")
    assert results(ran.out)[0]["command"] == again[1]


def test_every_failing_cell_of_a_table_has_its_command(staleline: Staleline) -> None:
    ran = staleline("check", "unfixed,global-lock,idempotent", "--scenario", "system,user")
    commands = re.findall(r"^Show it again: staleline (.*)$", ran.out, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        single = staleline(*shlex.split(command))
        assert single.out.rstrip("\n") in ran.out


# --- the entry points ---


def test_python_m_bench_is_the_console_script(staleline: Staleline) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts["staleline"].partition(":")
    for words, status in (("check unfixed --scenario system", 1), ("check nosuch", 2), ("list --format csv", 0)):
        script = f"import sys; sys.argv[0] = 'staleline'; from {module} import {function}; sys.exit({function}())"
        one = program(*words.split())
        two = subprocess.run(
            [sys.executable, "-c", script, *words.split()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        here = staleline(*words.split())
        assert one.returncode == two.returncode == here.status == status
        assert one.stdout == two.stdout == here.out
        assert one.stderr == two.stderr == here.err


def test_a_bar_in_a_cell_does_not_end_it(staleline: Staleline) -> None:
    ran = staleline("bugs", "fex-2025-delink16", "--format", "github")
    assert table(("a",), [("x|y",)], "github").splitlines()[-1] == r"| x\|y |"
    assert table(("a",), [("x|y",)], "simple").splitlines()[-1].strip() == "x|y"
    lines = [line for line in ran.out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines if "step" in line}) <= 2


@pytest.mark.parametrize(("columns", "longest"), [(60, 60), (300, 110), (10, 40)])
def test_running_text_is_no_wider_than_the_terminal(
    columns: int, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    text = fill("word " * 100)
    assert max(map(len, text.splitlines())) <= longest
    assert max(map(len, text.splitlines())) > longest - 6
