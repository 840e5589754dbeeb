"""Fixtures of several test files, and ``--record``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from bench.commands.application import main
from bench.traces.model import measured, model_trace, varied
from bench.traces.store import load_trace, save_trace

hypothesis.settings.register_profile("staleline", deadline=None)  # no test asserts a time, not that of compiling either
hypothesis.settings.load_profile("staleline")

EXPECTED = Path(__file__).parent / "expected"

SLOW = {
    "test_architecture",
    "test_autopsy",
    "test_cli",
    "test_cli_bad_input",
    "test_compare",
    "test_explore",
    "test_golden_check",
    "test_kernels",
    "test_layouts",
    "test_litmus",
    "test_machine_reference",
    "test_matrix",
    "test_minimality",
    "test_package",
    "test_page",
    "test_partial",
    "test_protocols",
    "test_python",
    "test_qemu_log",
    "test_readme",
    "test_replay",
    "test_replay_kernel",
    "test_risk_along",
    "test_risk_chain",
    "test_risk_given",
    "test_risk_sample",
    "test_schedule",
    "test_suite",
    "test_thread",
    "test_traces",
    "test_units",
    "test_verdicts",
}
"""The files whose tests have the marker ``slow``: they search, replay, start processes or compile for long."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write tests/expected anew; then look at the difference")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the collected facts and recordings, beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared"
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
    err: str


class Staleline(Protocol):
    """The command line, in this process."""

    def __call__(self, *arguments: str) -> Ran: ...


@pytest.fixture
def staleline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Staleline:
    """Runs the command with the given arguments."""

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["staleline", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ran(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def tiny_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A modelled execution of 20,000 short TBs with 40 retranslations, quick to replay."""
    path = tmp_path_factory.mktemp("traces") / "tiny.trace"
    changes = {
        "executions": "20000",
        "tbs": "600",
        "tb_bytes": "64,200,600,1200",
        "rewritten_bytes": "16,100,300,600",
        "faults_per_million": "2000",
        "faulting_tbs": "20",
        "flushes": "1",
    }
    save_trace(model_trace(varied(measured(load_trace("linux-boot")), changes), seed=1), path)
    return path
