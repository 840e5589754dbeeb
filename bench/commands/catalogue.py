"""``staleline catalogue``."""

from __future__ import annotations

from bench.commands.options import Format, Output
from bench.commands.output import emitter


def catalogue(format: Format = "simple", output: Output = None) -> None:
    """List strategies, hosts, translators, scenarios, shipped traces, and parameters of replay and risk.

    \b
    Example: staleline list --format json
    """
    from bench.report import catalogue as report

    emit = emitter(format, output)
    emit(report.CatalogueReport(report.catalogue()))
