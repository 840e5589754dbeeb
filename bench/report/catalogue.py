"""What there is to compare."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from bench.hosts import host_names, load_host
from bench.hosts.loader import ARCHITECTURES
from bench.replay.parameters import described
from bench.report.report import Column, Rows, attributes, flat_rows
from bench.report.tables import SCHEMA, table
from bench.risk import pressure
from bench.scenarios import SUMMARIES
from bench.traces.shipped import SHIPPED
from bench.translators.registry import load_translator, translator_names
from strategies import registry


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One thing to name on the command line: its ``kind``, its ``name`` and what it is."""

    kind: str
    name: str
    summary: str


def catalogue() -> tuple[ListEntry, ...]:
    """Every strategy, host, translator, scenario and shipped trace; every parameter of a replay, and of the risk."""
    found = [ListEntry("strategy", name, registry.find(name).summary) for name in registry.names()]
    for name in host_names():
        host = load_host(name)
        cores = f"{host.cores.value} core{'s' if host.cores.value > 1 else ''}"
        found.append(ListEntry("host", name, f"{host.title}; {cores}; runs {', '.join(host.isa)}"))
    for name, (_, title) in ARCHITECTURES.items():
        found.append(ListEntry("host", name, f"{title}; for check and litmus alone"))
    for name in translator_names():
        summary = (load_translator(name).__doc__ or "").partition("\n")[0].rstrip(".")
        found.append(ListEntry("translator", name, summary))
    found += [ListEntry("scenario", name, summary) for name, summary in SUMMARIES.items()]
    found += [ListEntry("trace", name, summary) for name, summary in SHIPPED.items()]
    found += [ListEntry("parameter", name, summary) for name, summary in described()]
    found += [ListEntry("risk parameter", name, summary) for name, summary in pressure.described()]
    return tuple(found)


_KINDS = {
    "strategies": "strategy",
    "hosts": "host",
    "translators": "translator",
    "scenarios": "scenario",
    "traces": "trace",
    "parameters": "parameter",
    "risk_parameters": "risk parameter",
}

_COLUMNS: tuple[Column[ListEntry], ...] = attributes("kind", "name", "summary")


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """The answer of ``list``."""

    entries: tuple[ListEntry, ...]

    def document(self) -> dict[str, Any]:
        """A list for each kind."""
        return {
            "schema": SCHEMA,
            **{
                plural: [{"name": entry.name, "summary": entry.summary} for entry in self.entries if entry.kind == kind]
                for plural, kind in _KINDS.items()
            },
        }

    def rows(self) -> Rows:
        """One row for each entry."""
        return flat_rows(_COLUMNS, self.entries)

    def text(self, style: str) -> str:
        """One table, in which a kind is named once."""
        rows = [
            (kind if at == 0 else "", entry.name, entry.summary)
            for kind, some in itertools.groupby(self.entries, key=lambda entry: entry.kind)
            for at, entry in enumerate(some)
        ]
        return table(("", "name", "what it is"), rows, style)
