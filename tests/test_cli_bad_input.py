"""Bad usage and bad input: one line that says what is wrong, exit status 2, and nothing written."""

from __future__ import annotations

import gzip
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from conftest import ROOT, Ran, Staleline, program

PROFILE = (ROOT / "bench" / "hosts" / "cortex-a9.toml").read_text(encoding="utf-8")
LOG = b"".join(b"Trace 0: 0x7f0000000%03x [00000000/0001%04x/00000000/00000000]\n" % (n, n) for n in range(500))
JUNK = bytes(range(256)) * 8
ONE = "--strategy unfixed --scenario system"
"""The quickest table of ``compare``."""
KEPT = "what was there before\n"

HOSTS = {
    "type.toml": PROFILE.replace("clock_ghz = 1.2", 'clock_ghz = "fast"'),
    "syntax.toml": 'name = "a9"\ntitle = = "x"\n',
}

HEADER = "from strategies import *\nfrom strategies.operations import *\n\n\nclass A(Strategy):\n"
STRATEGIES = {
    "raises": "def publish(self, region):\n        raise ValueError('two\\nlines')",
    "junk": "def publish(self, region):\n        yield 7",
    "takes": "def begin(self, region):\n        return (Acquire('big'),)",
    "itself": "def publish(self, region):\n        return (Do('publish', region),)",
    "each_other": "def begin(self, region):\n        return (Do('publish', region),)\n\n"
    "    def publish(self, region):\n        return (Do('begin', region),)",
    "recursive": "def publish(self, region):\n        return self.publish(region)",
    "endless": "def publish(self, region):\n        while True:\n            yield Sync()",
    "exits": "def publish(self, region):\n        raise SystemExit(0)",
    "named_7": "name = 7",
    "named_list": "name = 'a,b'",
}

FILES = {
    **HOSTS,
    **{f"{name}.py": f"{HEADER}    {body}\n" for name, body in STRATEGIES.items()},
    "syntax.py": "class A(:\n",
    "leaves.py": "raise SystemExit(0)\n",
    "events.bad": "T1 faults\nT1 flies\n",
    "events.far": "# ours\nT9 faults\n",
    "events.none": "# nothing\n",
    "text.log": "hello\nworld\n",
    "empty": "",
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
    contents = {"good.trace": whole, "half.trace": whole[: len(whole) // 2], "short.trace": whole[:20]}
    contents |= {"junk.trace": JUNK, "junk.log": JUNK, "damaged.trace": bytes(damaged), "whole.log": LOG}
    contents |= {"latin.toml": b'name = "caf\xe9"\n', "events.utf16": "T1 faults\n".encode("utf-16")}
    contents |= {"cut.log.zst": compressed[:-5], "cut.log.gz": gzip.compress(LOG)[:-9]}
    contents["wrong.log.gz"] = compressed[:4] + JUNK
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    (folder / "folder.py").mkdir()
    return folder


@pytest.fixture(autouse=True)
def unchanged(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs a test in ``place`` and compares every file in it before and after."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = snapshot(place)
    yield
    assert snapshot(place) == before


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """The contents of all files, and None for the folders."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# --- the command line itself ---


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "Missing command (see "),
        ("trace", "trace --help)"),
        ("chekc", "No such command 'chekc'"),
        ("trace exprot", "No such command 'exprot'"),
        ("--nosuch", "No such option: --nosuch"),
        ("check unfixed --nosuch", "No such option: --nosuch"),
        ("list everything", "unexpected extra argument"),
        ("translator", "Missing argument 'name'"),
        ("trace import text.log", "Missing option '--output'"),
        ("trace model", "Missing option '--output'"),
        ("check --strategy", "'--strategy' requires an argument"),
        ("check unfixed --cores 2.5", "'--cores': Input should be a valid integer"),
        ("check unfixed --max-states many", "'--max-states': Input should be a valid integer"),
        ("trace model -o new --seed -1", "'--seed': Input should be greater than or equal to 0"),
        ("check nosuch", "no strategy 'nosuch'; strategies are unfixed,"),
        ("check idempotnet", "did you mean idempotent?"),
        ("compare --strategy nosuch", "no strategy 'nosuch'"),
        ("replay --strategy nosuch", "no strategy 'nosuch'"),
        ("check unfixed --host nosuch", "unknown host 'nosuch'; expected a file ending in .toml or one of arm926,"),
        ("compare --host cortex-a0", "unknown host 'cortex-a0' (closest: cortex-a"),
        ("check unfixed --translator nosuch", "no translator 'nosuch'; expected one of arm@2010,"),
        ("translator arm@1999", "no version '1999' of translator arm; expected arm@2010 or arm@2011"),
        ("check unfixed --scenario nosuch", "--scenario: 'nosuch'; expected system or user or user-both or migrate"),
        ("check unfixed --format pdf", "--format: no format 'pdf'; expected one of asciidoc,"),
        ("list --format pdf", "--format: no format 'pdf'"),
        ("compare --format pdf", "--format: no format 'pdf'"),
        ("trace info --format pdf", "--format: no format 'pdf'"),
        ("check unfixed --hazard nosuch", "--hazard: 'nosuch'; expected transient or lasting"),
        ("check unfixed --layout nosuch", "--layout: 'nosuch'; expected apart or packed"),
        ("check unfixed --start warm", "--start: 'warm'; expected cold or fault"),
        ("translator arm --access both", "--access: 'both'; expected load or store"),
        ("trace import text.log -o new --mode linux", "--mode: 'linux'; expected system or user"),
        ("check unfixed,,idempotent", "an empty name in a list"),
        ("check unfixed --host ''", "an empty name in a list"),
        ("check unfixed --scenario system,", "an empty name in a list"),
        ("check all,unfixed", "no strategy 'all'"),
        # Values that cannot be.
        ("check unfixed --host arm926 --scenario migrate", "scenario migrate on arm926, which has one core"),
        ("compare good.trace --host arm926 --scenario migrate", "scenario migrate on arm926, which has one core"),
        ("check unfixed --set cores=1 --scenario migrate", "scenario migrate on cortex-a9, which has one core"),
        ("check unfixed --host x86-skylake --translator arm", "x86-skylake does not run; expected a translator for x"),
        ("replay good.trace --host z10 --translator arm", "translator arm@2010 emits arm, which z10 does not run"),
        ("check unfixed --host sifive-u74", "there is no translator here for sifive-u74 (riscv64)"),
        ("check unfixed --guest-bits 16", "--guest-bits: 16; expected 32 or 64"),
        ("check unfixed --guest-bits 64", "arm@2010 for a 64-bit guest; expected 32"),
        ("translator ppc64 --guest-bits 64", "ppc64@2010 for a 64-bit guest; expected 32"),
        ("check unfixed --units some", "--units: 'some'; expected each or together"),
        ("check unfixed --hazard loss", "--hazard: 'loss'; expected transient or lasting or partial"),
        ("check unfixed --translator mips@1999", "no version '1999' of translator mips"),
        ("check unfixed --host mips-24kc --translator ppc", "ppc@2010 emits ppc, which mips-24kc does not run"),
        ("check unfixed --set write_allocate", "--set: found 'write_allocate'; expected key=value"),
        ("check unfixed --set =1", "--set: found '=1'; expected key=value"),
        ("check unfixed --set nosuch=1", "--set nosuch=1: unknown key 'nosuch'"),
        ("check unfixed --set size=1", "--set size=1: ambiguous key 'size'; expected icache.size, dcache.size or l2"),
        ("check unfixed --set write_allocate=maybe", "dcache.write_allocate: found 'maybe'; expected true or false"),
        ("compare --set dcache.size=-4096", "dcache.size: found '-4096'; expected an integer >= 1"),
        ("compare --set cpi=nan", "costs.cpi.value: found 'nan'; expected a number"),
        ("compare --set cpi=inf", "costs.cpi.value: found 'inf'; expected a number"),
        ("check unfixed --offset 4", "--offset 4 with --layout apart; expected --layout packed"),
        ("check unfixed --layout packed --offset -4", "--offset: -4; expected 0 to 65535 bytes"),
        ("check unfixed --layout packed --offset 1000000000", "--offset: 1000000000; expected 0 to 65535 bytes"),
        ("check unfixed --max-states 0", "--max-states: 0; expected at least 1"),
        ("check unfixed --max-states -1", "--max-states: -1; expected at least 1"),
        ("compare --max-states 0", "--max-states: 0; expected at least 1"),
        ("replay --vcpus 0", "--vcpus: 0; expected 1 to 1024"),
        ("compare --vcpus 1000000000", "--vcpus: 1000000000; expected 1 to 1024"),
        ("replay --parameter lookup", "--parameter lookup: ''; expected a number"),
        ("replay --parameter nosuch=1", "--parameter: 'nosuch'; expected one of retranslation,"),
        ("replay --parameter lookup=nan", "--parameter lookup: 'nan'; expected a number"),
        ("risk --parameter nosuch=1", "--parameter: 'nosuch'; expected one of interrupts,"),
        ("risk --parameter tlb_hit=2", "--parameter tlb_hit: '2'; expected a number, 0 .. 1"),
        ("risk --per-operation nosuch=1", "--per-operation: 'nosuch'; expected one of write_back, drop,"),
        ("risk --per-operation drop=1,drop=0.5", "--per-operation: 'drop' twice; expected one of write_back"),
        ("risk --per-operation drop=2", "--per-operation drop: '2'; expected a probability, 0 .. 1"),
        ("risk --per-operation drop=nan", "--per-operation drop: 'nan'; expected a probability, 0 .. 1"),
        ("risk --per-operation drop=1 --rate 3", "--per-operation: what is given per operation has no range, rate"),
        ("risk --simulate 100", "--simulate: 100, seed 0; expected 2 .. 100,000,000 courses"),
        ("risk --seed 3", "--seed: does nothing by itself; expected --simulate"),
        ("risk --as-recorded --per-operation drop=1", "--as-recorded: does nothing with --per-operation"),
        ("compare --tolerance 1.5", "--tolerance: does nothing by itself; expected --against"),
        ("check mine.toml --hazard lasting", "--hazard: does nothing for a protocol; expected --host"),
        ("check mine.toml --set cores=4", "--set: does nothing for the host of a protocol's own; expected --host"),
        ("check mine.toml --against first", "No such option: --against"),
        ("risk good.trace --per-operation drop=1", "TRACE: does nothing with --per-operation; expected one of them"),
        ("explain", "Missing argument 'STRATEGY'"),
        ("risk --plot t.svg", "--plot: no sensitivity to draw; expected --sensitivity"),
        ("compare --charts parts", "--charts: does nothing by itself; expected --plot"),
        ("compare --plot t.svg --charts bars", "--charts: 'bars'; expected trade-off or parts or prices"),
        ("risk --sensitivity --plot t.bmp", "--plot: 't.bmp'; expected a name that ends in .svg, .png, .pdf"),
        ("risk --rate 0", "--rate: 0; expected retranslations per second"),
        ("risk --scenario migrate --host arm926", "scenario migrate on arm926, which has one core"),
        ("risk --strategy nosuch", "no strategy 'nosuch'"),
        ("compare --parameter retranslation=-1", "--parameter retranslation: '-1'; expected a number"),
    ],
)
def test_bad_usage_and_values_that_cannot_be(line: str, words: str, staleline: Staleline) -> None:
    staleline(line).is_refused(words)


@pytest.mark.parametrize("command", ["check unfixed", "compare good.trace"])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--cores 1", "--cores: 1; expected at least 2"),
        ("--cores -2", "--cores: -2; expected at least 2"),
        ("--cores 99999999", "--cores: 99999999; expected at most 64"),
        ("--tbs 0", "--tbs: 0; expected at least 1"),
        ("--tbs 99999999", "--tbs: 99999999; expected at most 64"),
        ("--retranslations 0", "--retranslations: 0; expected at least 1"),
        ("--retranslations 1000000000", "--retranslations: 1000000000; expected at most 1000"),
        ("--flushes -1", "--flushes: -1; expected at least 0"),
        ("--flushes 1000000000", "--flushes: 1000000000; expected at most 1000"),
    ],
)
def test_spaces_that_nobody_can_explore(command: str, option: str, words: str, staleline: Staleline) -> None:
    staleline(f"{command} {option}").is_refused(words)


# --- files that are read ---


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nowhere.toml", "nowhere.toml: cannot be read: No such file or directory; expected a host profile"),
        ("./folder", "./folder: cannot be read: Is a directory"),
        ("type.toml", "type.toml: line 4: clock_ghz: found 'fast'; expected a number"),
        ("syntax.toml", "syntax.toml: line 2, column 9: "),
        ("latin.toml", "latin.toml: line 1, column 12: found the byte 0xe9; expected UTF-8 text"),
        ("./good.trace", "./good.trace: line 1, column 1: found the byte 0x93; expected UTF-8 text"),
    ],
)
@pytest.mark.parametrize("command", ["check unfixed", "compare good.trace", "replay good.trace"])
def test_host_profiles(command: str, file: str, words: str, staleline: Staleline) -> None:
    staleline(f"{command} --host {file}").is_refused(words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.py:A", "nowhere.py: no such file; expected path/to/file.py:Class"),
        ("folder.py:A", "folder.py: no such file"),
        ("raises.py", "no strategy 'raises.py'"),
        ("raises.py:B", "raises.py: no class B; expected one of A"),
        ("raises.py:A", "A.publish, line 7: raised ValueError: two lines"),
        ("junk.py:A", "A.publish, line 6: 7 is not an operation"),
        ("takes.py:A", "A.begin, line 6: takes the lock 'big', and nothing releases it"),
        ("itself.py:A", "A.publish, line 6: runs itself again, without end"),
        ("each_other.py:A", "runs itself again, without end"),
        ("recursive.py:A", "A.publish, line 7: raised RecursionError"),
        ("endless.py:A", "A.publish, line 6: more than 100000 operations; a hook must end"),
        ("exits.py:A", "A.publish, line 7: raised SystemExit"),
        ("named_7.py:A", "named_7.py: A: name 7; expected letters"),
        ("named_list.py:A", "named_list.py: A: name 'a,b'; expected letters"),
        ("syntax.py:A", "syntax.py: line 1: invalid syntax; expected a Python file"),
        ("leaves.py:A", "leaves.py: SystemExit"),
    ],
)
def test_strategy_files(name: str, words: str, staleline: Staleline) -> None:
    staleline(f"check {name}").is_refused(words)
    if name in ("raises.py:A", "junk.py:A", "takes.py:A", "itself.py:A", "endless.py:A"):
        for command in ("compare", "replay"):
            staleline(f"{command} good.trace --strategy {name}").is_refused("A.", "line ")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nowhere", "cannot be read: No such file or directory; expected a file of events, or thread or hidden"),
        ("folder", "folder: cannot be read: Is a directory; expected a file of events"),
        ("events.bad", "events.bad: line 2: 'T1 flies'; expected T<n> faults | runs ok"),
        ("events.far", "events.far: line 2: T9 in 'T9 faults'; expected T1 to T2 in this scenario (user)"),
        ("events.none", "events.none: no events; expected at least one line"),
        ("empty", "empty: no events"),
        ("events.utf16", "events.utf16: line 1, column 1: found the byte 0xff; expected UTF-8 text"),
        ("junk.log", "junk.log: line 2, column 118: found the byte 0x80"),
        ("/dev/zero", "/dev/zero: found more than 1048576 bytes"),
    ],
)
def test_event_files(file: str, words: str, staleline: Staleline) -> None:
    staleline(f"explain unfixed --scenario user --follow {file}").is_refused(words)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nowhere", "nowhere: cannot be read: No such file or directory; expected a .trace file or one of linux-boot"),
        ("folder", "folder: cannot be read: Is a directory"),
        ("empty", "empty: byte 0: an empty file; expected a .trace file"),
        ("junk.trace", "junk.trace: byte 0: a file that begins with"),
        ("text.log", "text.log: byte 0: a file that begins with b'hello"),
        ("whole.log", "whole.log: byte 0: a QEMU log (read by `trace import`)"),
        ("cut.log.zst", "cut.log.zst: byte 0: a compressed file (a QEMU log is read by `trace import`)"),
        ("short.trace", "short.trace: byte 20: damaged file: it ends here; expected 40 bytes of prelude"),
        ("half.trace", "half.trace: prelude: damaged file: "),
        ("damaged.trace", "damaged.trace: "),
    ],
)
@pytest.mark.parametrize("command", ["trace info", f"compare {ONE}", "replay", "trace model -o new --like"])
def test_trace_files(command: str, file: str, words: str, staleline: Staleline) -> None:
    staleline(f"{command} {file}").is_refused(words)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nowhere", "nowhere: cannot be read: No such file or directory; expected a QEMU log"),
        ("folder", "folder: cannot be read: Is a directory"),
        ("text.log", "text.log: line 3: the end of the log; expected translations"),
        ("junk.log", "junk.log: line 9: the end of the log; expected translations"),
        ("good.trace", "the end of the log; expected translations"),
        ("empty", "empty: line 1: the end of the log; expected translations"),
        ("whole.log", "whole.log: line "),
        ("cut.log.zst", "cut.log.zst: byte "),
        ("cut.log.gz", "cut.log.gz: byte "),
        ("wrong.log.gz", "wrong.log.gz: byte "),
        ("/dev/zero", "/dev/zero: line 1: a line or a translation of more than 1048576 bytes"),
    ],
)
def test_logs(file: str, words: str, staleline: Staleline) -> None:
    staleline(f"trace import {file} -o new.trace").is_refused(words)
    staleline(f"trace import {file} -o kept").is_refused(words)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--executions 0", "--executions: '0'; expected an integer >= 1"),
        ("--executions -5", "--executions: '-5'; expected an integer >= 1"),
        ("--executions nan", "--executions: 'nan' (cannot convert float NaN to integer); expected a number, or x"),
        ("--executions inf", "--executions: 'inf'"),
        ("--executions xnan", "--executions: 'xnan'"),
        ("--executions 1e30", "--executions: '1e30'; expected an integer <= 10000000000"),
        ("--executions many", "--executions: 'many' (could not convert string to float: 'many'); expected a number"),
        ("--executions ''", "--executions: ''"),
        ("--executions x", "--executions: 'x'"),
        ("--tbs 1e9", "1000000000 tbs; expected at most 16777215"),
        ("--tbs 3", "3 tbs over 2 epochs, 20 of them faulting; expected more tbs"),
        ("--threads 0", "--threads: '0'; expected an integer >= 1"),
        ("--threads 1000", "--threads: '1000'; expected an integer <= 128"),
        ("--flushes -1", "--flushes: '-1'; expected an integer >= 0"),
        ("--flushes 1e9", "over 1000000001 epochs, 20 of them faulting; expected more tbs, or fewer flushes"),
        ("--concentration 2", "--concentration: '2'; expected a number <= 1.0"),
        ("--concentration nan", "--concentration: 'nan'; expected a number > 0.0"),
        ("--faults-per-million -1", "--faults-per-million: '-1'; expected a number >= 0.0"),
        ("--faults-per-million inf", "--faults-per-million: 'inf'; expected a number <= 1000000.0"),
        ("--faults-per-million 1e6", "faults per million; expected at most half as many as executions"),
        ("--executions 1e10 --faults-per-million 1e5", "1000000000 retranslations; expected at most 16777216"),
        ("--working-set 0", "--working-set: '0'; expected an integer >= 1"),
        ("--tb-bytes 1,2,3", "--tb-bytes: '1,2,3' (3 values); expected min,median,p90,max"),
        ("--tb-bytes 4,3,2,1", "--tb-bytes: '4,3,2,1' (min <= median <= p90 <= max"),
        ("--tb-bytes 1,2,nan,4", "--tb-bytes: '1,2,nan,4'; expected a number >= 1.0"),
        ("--tb-bytes 1,2,3,4e9", "--tb-bytes: '1,2,3,4e9' (tb_bytes of 4000000000, more than 1073741824)"),
        ("--rewritten-bytes 1,2,3,inf", "--rewritten-bytes: '1,2,3,inf'"),
        ("--reexecution-tbs a,b,c,d", "--reexecution-tbs: 'a,b,c,d'"),
    ],
)
def test_models_that_cannot_be_drawn(option: str, words: str, staleline: Staleline) -> None:
    staleline(f"trace model --like good.trace -o new.trace {option}").is_refused(words)


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


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("nowhere/new", "nowhere: no such folder; expected a folder to write in"),
        ("folder", "folder: is a folder; expected a file to write"),
        ("kept/new", "kept: no such folder"),
        ("/dev/fd/999", "/dev/fd/999: is "),
    ],
)
def test_outputs_that_cannot_be_written(command: str, output: str, words: str, staleline: Staleline) -> None:
    staleline(f"{command} -o {output}").is_refused(words)


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


@pytest.mark.parametrize(
    "command",
    [
        "check unfixed nosuch",
        "check raises.py:A",
        "compare half.trace",
        "replay good.trace --strategy raises.py:A",
        "trace info damaged.trace",
        "translator nosuch",
        "trace model --like good.trace --threads 0",
        "trace import cut.log.zst",
    ],
)
def test_what_was_there_stays_when_the_work_fails(command: str, staleline: Staleline) -> None:
    staleline(f"{command} -o kept").is_refused()
    assert Path("kept").read_text(encoding="utf-8") == KEPT


def test_a_log_is_not_replaced_by_its_own_trace(staleline: Staleline) -> None:
    for output in ("whole.log", "./whole.log", str(Path.cwd() / "whole.log")):
        refused = "whole.log: is read, and would be lost; expected another file to write"
        staleline("trace import whole.log -o", output).is_refused(refused)


@pytest.mark.parametrize(
    "line",
    [
        "check raises.py:A -o raises.py",
        "check unfixed --host type.toml -o ./type.toml",
        "compare good.trace -o good.trace",
        "compare --host cortex-a9,type.toml --plot type.toml",
        "trace info good.trace -o good.trace",
        "trace model --like good.trace -o good.trace",
        "litmus one.litmus -o one.litmus",
        "litmus . -o one.litmus",
        "explain unfixed --follow events.bad -o events.bad",
    ],
)
def test_what_is_read_is_not_written(line: str, staleline: Staleline) -> None:
    staleline(line).is_refused("is read, and would be lost; expected another file to write")


@pytest.mark.parametrize("line", ["-o x.svg --plot ./x.svg", "-o .staleline/x.json --save x"])
def test_two_answers_are_not_written_to_one_file(line: str, staleline: Staleline) -> None:
    staleline(f"compare good.trace {line}").is_refused("is written twice; expected two files")


def test_a_folder_called_as_a_shipped_trace_is_not_in_its_way(place: Path, staleline: Staleline) -> None:
    (place / "user-wc").mkdir()
    try:
        assert "user-wc" in staleline("trace info user-wc").out
    finally:
        (place / "user-wc").rmdir()


# --- the streams of the process ---

PIPES = pytest.mark.skipif(os.name != "posix", reason="descriptors as POSIX has them")


@PIPES
@pytest.mark.parametrize("command", ["list", "list -o /dev/stdout", "--help", "check unfixed --scenario system"])
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
@pytest.mark.parametrize("command", ["list", "--help", "--version", "check unfixed --scenario system"])
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
