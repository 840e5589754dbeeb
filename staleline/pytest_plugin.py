"""Sites and protocols as tests of pytest: files ``*.staleline.toml``, and all ``.toml`` in folders that are named.

A project names folders in its settings: ``staleline_folders = patching``.  Each scenario of a site on each host, and
each case of a protocol, is a test; its failure is the counterexample.  Without such files the plugin does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_SUFFIX = ".staleline.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The setting ``staleline_folders``."""
    parser.addini("staleline_folders", "folders whose .toml files are sites and protocols to be checked", type="paths")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A file that is meant."""
    folders = parent.config.getini("staleline_folders")
    named = file_path.suffix == ".toml" and any(folder in file_path.parents for folder in folders)
    if not named and not file_path.name.endswith(_SUFFIX):
        return None
    return _File.from_parent(parent, path=file_path)


class WrongError(Exception):
    """A verdict that is not the expected one; its text is the counterexample."""


class _File(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        from bench.check.sites import targets_of
        from bench.protocols.document import read_protocol
        from bench.sites.reader import is_site, load_site
        from bench.sites.scenarios import SCENARIOS
        from bench.support.toml import read

        if not is_site(read(str(self.path), "a site or a protocol")[0]):
            for case in read_protocol(str(self.path)).cases:
                yield _Case.from_parent(self, name=case.name or "as written")
            return
        for target in targets_of(load_site(str(self.path))):
            for scenario in SCENARIOS:
                yield _Scenario.from_parent(self, name=f"{scenario}-{target.name}")


class _Checked(pytest.Item):
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, WrongError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class _Scenario(_Checked):
    def runtest(self) -> None:
        from bench.check.sites import verify_site
        from bench.hosts import load_target
        from bench.report.sites import SitesReport
        from bench.sites.reader import load_site

        scenario, _, host = self.name.partition("-")
        (found,) = verify_site(load_site(str(self.path)), load_target(host), [scenario])
        if not found.as_expected:
            raise WrongError(SitesReport([found]).text("simple"))


class _Case(_Checked):
    def runtest(self) -> None:
        from dataclasses import replace

        from bench.check.protocols import verify_document
        from bench.protocols.document import read_protocol
        from bench.report.protocols import ProtocolReport

        document = read_protocol(str(self.path))
        cases = tuple(case for case in document.cases if (case.name or "as written") == self.name)
        report = ProtocolReport([verify_document(replace(document, cases=cases), explained=False)])
        if not report.as_expected:
            raise WrongError(report.text("simple"))
