"""``staleline catalogue``."""

from __future__ import annotations

from bench.commands.options import Format, Output
from bench.commands.output import emitter, json_text


def catalogue(format: Format = "simple", output: Output = None) -> None:
    """Strategies, hosts, translators, scenarios, shipped traces, and the parameters of the replay and of the risk.

    \b
    Example: staleline list --format json
    """
    from bench.report import catalogue

    emit = emitter(format, output)
    found = catalogue.catalogue()
    if format == "json":
        emit(json_text(catalogue.as_objects(found)))
    else:
        emit(catalogue.as_csv(found) if format == "csv" else catalogue.as_text(found, format))
