"""Fixtures of several test files, and ``--record``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import jsonschema
import pytest

import bench.caches.simulate as simulate_module
from bench.commands.application import main
from bench.traces.model import ModelParameters, Quantiles, model_trace
from bench.traces.store import save_trace

os.environ["STALELINE_RESULTS"] = ""  # no test, and no process that one starts, is answered from an earlier run
hypothesis.settings.register_profile("staleline", deadline=None)  # no test asserts a time, not that of compiling either
hypothesis.settings.load_profile("staleline")

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = ROOT / "tests" / "expected"
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "staleline.schema.json").read_text(encoding="utf-8"))
VALID = jsonschema.Draft202012Validator(SCHEMA)
"""What documents are held against: ``jsonschema.validate`` would check the schema itself each time."""

SLOW = tuple(
    f"test_{name}"
    for name in (
        "readme thread machine_reference python page compare replay risk_recorded verdicts "
        "architecture autopsy baseline cli cli_bad_input explore golden_check kernels layouts litmus "
        "matrix minimality notebook order overview package partial "
        "protocol_architectures protocol_reference protocols qemu_log replay_kernel "
        "risk_chain risk_given risk_simulation schedule seen silicon silicon_run suite sweep terminal "
        "traces units"
    ).split()
)
"""The files whose tests have the marker ``slow``: they search, replay, start processes or compile for long.

They come first, those that take longest before the others: no process is left with one of them at the end.
"""

# The kernel for any caches is compiled once, one for certain caches for each; test_replay_kernel.py compares them.
simulate_module.FEW = 1 << 62


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write tests/expected anew; then look at the difference")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: (not item.get_closest_marker("slow"), (*SLOW, item.path.stem).index(item.path.stem)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the collected facts and recordings, beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is absent: the facts and recordings to compare with are not here")
    return folder


@pytest.fixture(scope="session")
def shared_traces(shared: Path) -> Path:
    """The folder of the recorded QEMU executions, beside the repository."""
    folder = shared / "data" / "traces"
    if not folder.is_dir():
        pytest.skip("the recorded executions (../shared/data/traces) are not here")
    return folder


@dataclass(frozen=True)
class Pinned:
    """Expected output as plain text in ``tests/expected``.

    ``pytest --record`` (or ``pytest tests/test_verdicts.py --record`` for one test file) writes
    what is found now; what changed is then in the difference, to be judged before it is committed.
    """

    record: bool

    def compare(self, name: str, text: str) -> None:
        """``text`` is the whole file ``name``."""
        path = EXPECTED / name
        if self.record:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path.name} is absent from tests/expected; pytest --record writes it"
        assert text == path.read_text(encoding="utf-8")

    def compare_section(self, name: str, heading: str, text: str) -> None:
        """``text`` is the part of the file ``name`` under ``[heading]``."""
        sections = self.sections(name)
        if self.record:
            sections[heading] = text
            parts = (f"[{title}]\n{body}\n" for title, body in sorted(sections.items()))
            self.compare(name, "\n".join(parts))
        assert text == sections.get(heading), f"[{heading}] of tests/expected/{name}; pytest --record writes it anew"

    def sections(self, name: str) -> dict[str, str]:
        """What a file holds under each heading."""
        path = EXPECTED / name
        if not path.is_file():
            return {}
        parts = (
            part.partition("]\n") for part in path.read_text(encoding="utf-8").removeprefix("[").split("\n[") if part
        )
        return {heading: body.strip("\n") for heading, _, body in parts}


@pytest.fixture(scope="session")
def pinned(request: pytest.FixtureRequest) -> Pinned:
    """Expected output, compared or (``--record``) written."""
    return Pinned(request.config.getoption("--record"))


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit status and what it printed."""

    status: int | str | None
    out: str
    err: str = ""

    @property
    def document(self) -> Any:
        """The JSON document that was printed."""
        return json.loads(self.out)

    @property
    def valid(self) -> Any:
        """The same, held against the published schema."""
        VALID.validate(self.document)
        return self.document

    def is_refused(self, *words: str) -> None:
        """Status 2 and one line on standard error, with all ``words`` in it, or the test fails."""
        assert (self.status, self.out) == (2, "")
        assert self.err.startswith("staleline: ")
        assert self.err.endswith("\n")
        assert len(self.err.splitlines()) == 1
        for word in words:
            assert word in self.err


def program(*arguments: str, script: str = "", environment: dict[str, str] | None = None, **options: Any) -> Ran:
    """The command (or a script, with these arguments) in a process of its own."""
    ended = subprocess.run(
        [sys.executable, *(["-c", script] if script else ["-m", "bench"]), *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": False, **options},
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
    )
    return Ran(ended.returncode, ended.stdout or "", ended.stderr)


class Staleline(Protocol):
    """The command line, in this process: a line of words parted by spaces, and more arguments as they are."""

    def __call__(self, line: str, *arguments: str) -> Ran: ...


@pytest.fixture(scope="module")
def kept_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a command of a test file finds is kept for those after it in this file, and for no others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STALELINE_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield


def make(*words: str) -> None:
    """A file by the command, in this process: for fixtures that several tests share."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["staleline", *words])
        main()
    assert ended.value.code == 0


@pytest.fixture
def staleline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept_here: None) -> Staleline:
    """Runs the command with the given arguments."""

    def run(line: str, *arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["staleline", *shlex.split(line), *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ran(ended.value.code, printed.out, printed.err)

    return run


SHAPE = ModelParameters(
    executions=20_000,
    tbs=600,
    tb_bytes=Quantiles(min=64, median=200.0, p90=600.0, max=1200),
    fast_share=0.7501143593353706,
    bytes_per_instruction=72.68823105203435,
    bytes_per_access=137.7815125841944,
    working_set=8130,
    faults_per_million=2000.0,
    faulting_tbs=20,
    concentration=0.32066692516479256,
    rewritten_bytes=Quantiles(min=16, median=100.0, p90=300.0, max=600),
    reexecution_tbs=Quantiles(min=190, median=12970.0, p90=193883.5, max=5667554),
    threads=1,
    thread_executions=441,
    flushes=1,
    linked_share=0.7632656054711865,
)
"""A model as of a boot of Linux, but smaller."""


@pytest.fixture(scope="session")
def tiny_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A modelled execution of 20,000 short TBs with 40 retranslations, quick to replay."""
    path = tmp_path_factory.mktemp("traces") / "tiny.trace"
    save_trace(model_trace(SHAPE, seed=1), path)
    return path
