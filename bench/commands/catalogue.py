"""``staleline catalogue``."""

from __future__ import annotations

from bench.commands.options import Written


def catalogue(*, written: Written) -> None:
    """List strategies, hosts, translators, scenarios, traces. And the parameters of replay and risk.

    \b
    Example: staleline list --format json
    """
    from bench.report import catalogue as report

    emit = written.emitter()
    emit(report.CatalogueReport(report.catalogue()))
