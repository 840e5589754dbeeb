"""Sites and protocols as tests of pytest: files ``*.staleline.toml``, and all ``.toml`` in folders that are named.

A project names folders in its settings: ``staleline_folders = patching``, and the hosts and architectures that count:
``staleline_hosts = armv8 cortex-a72``.  Without these, a site is checked on every one that runs it, a protocol on its
own.  Each scenario of a site, and each case of a protocol, on each of them is a test; its failure is the
counterexample.  Without such files the plugin does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bench.hosts import Target
    from bench.protocols.document import Document
    from bench.report.protocols import ProtocolReport
    from bench.report.sites import SitesReport
    from bench.sites.site import Site

_SUFFIX = ".staleline.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings ``staleline_folders`` and ``staleline_hosts``."""
    parser.addini("staleline_folders", "folders whose .toml files are sites and protocols to be checked", type="paths")
    parser.addini("staleline_hosts", "hosts and architectures on which they are checked", type="args")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A file that is meant."""
    folders = parent.config.getini("staleline_folders")
    named = file_path.suffix == ".toml" and any(folder in file_path.parents for folder in folders)
    if not named and not file_path.name.endswith(_SUFFIX):
        return None
    return _CheckedFile.from_parent(parent, path=file_path)


class WrongError(Exception):
    """A verdict that is not the expected one; its text is the counterexample."""


class _CheckedFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        from bench.check.protocols import moved
        from bench.check.sites import runs, targets_of
        from bench.hosts import load_target
        from bench.protocols.document import read_protocol
        from bench.sites.reader import is_site, load_site
        from bench.sites.scenarios import SCENARIOS
        from bench.support.toml import read

        hosts = [load_target(name) for name in self.config.getini("staleline_hosts")]
        if not is_site(read(str(self.path), "a site or a protocol")[0]):
            document = read_protocol(str(self.path))
            for on, one in (
                [("", document)] if not hosts else [(f"-{host.name}", moved(document, host)) for host in hosts]
            ):
                for case in one.cases:
                    name = f"{case.name or 'as written'}{on}"
                    alone = partial(_of_document, replace(one, cases=(case,)))
                    yield _CheckedItem.from_parent(self, name=name, verdict=alone)
            return
        site = load_site(str(self.path))
        for target in (host for host in hosts if runs(site, host)) if hosts else targets_of(site):
            for scenario in SCENARIOS:
                name = f"{scenario}-{target.name}"
                verdict = partial(_of_scenario, site, target, scenario)
                yield _CheckedItem.from_parent(self, name=name, verdict=verdict)


class _CheckedItem(pytest.Item):
    def __init__(self, *, verdict: Callable[[], SitesReport | ProtocolReport], **of_item: Any) -> None:
        super().__init__(**of_item)
        self.verdict = verdict

    def runtest(self) -> None:
        report = self.verdict()
        if not report.as_expected:
            raise WrongError(report.text("simple"))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, WrongError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _of_scenario(site: Site, target: Target, scenario: str) -> SitesReport:
    from bench.check.sites import verify_site
    from bench.report.sites import SitesReport

    return SitesReport(verify_site(site, target, [scenario]))


def _of_document(document: Document) -> ProtocolReport:
    from bench.check.protocols import verify_document
    from bench.report.protocols import ProtocolReport

    return ProtocolReport([verify_document(document, explained=False)])
