"""What there is to compare: the output of ``list``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.hosts import host_names, load_host
from bench.hosts.loader import ARCHITECTURES
from bench.replay.parameters import described
from bench.report.tables import SCHEMA, comma_separated, table
from bench.risk import pressure
from bench.scenarios import SUMMARIES
from bench.traces.shipped import SHIPPED
from bench.translators.registry import load_translator, translator_names
from strategies import registry


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to name on the command line: its ``kind``, its ``name`` and what it is."""

    kind: str
    name: str
    summary: str


def catalogue() -> tuple[Entry, ...]:
    """Every strategy, host, translator, scenario and shipped trace; every parameter of a replay, and of the risk."""
    found = [Entry("strategy", name, registry.find(name).summary) for name in registry.names()]
    for name in host_names():
        host = load_host(name)
        cores = f"{host.cores.value} core{'s' if host.cores.value > 1 else ''}"
        found.append(Entry("host", name, f"{host.title}; {cores}; runs {', '.join(host.isa)}"))
    for name, (_, title) in ARCHITECTURES.items():
        found.append(Entry("host", name, f"{title}; for check and litmus alone"))
    for name in translator_names():
        summary = (load_translator(name).__doc__ or "").partition("\n")[0].rstrip(".")
        found.append(Entry("translator", name, summary))
    found += [Entry("scenario", name, summary) for name, summary in SUMMARIES.items()]
    found += [Entry("trace", name, summary) for name, summary in SHIPPED.items()]
    found += [Entry("parameter", name, summary) for name, summary in described()]
    found += [Entry("risk parameter", name, summary) for name, summary in pressure.described()]
    return tuple(found)


def as_objects(entries: tuple[Entry, ...]) -> dict[str, Any]:
    """What ``--format json`` prints (``docs/json.md``)."""
    kinds = {
        "strategies": "strategy",
        "hosts": "host",
        "translators": "translator",
        "scenarios": "scenario",
        "traces": "trace",
        "parameters": "parameter",
        "risk_parameters": "risk parameter",
    }
    return {
        "schema": SCHEMA,
        **{
            plural: [{"name": e.name, "summary": e.summary} for e in entries if e.kind == kind]
            for plural, kind in kinds.items()
        },
    }


def as_csv(entries: tuple[Entry, ...]) -> str:
    """One line per entry."""
    return comma_separated(("kind", "name", "summary"), ((e.kind, e.name, e.summary) for e in entries))


def as_text(entries: tuple[Entry, ...], style: str) -> str:
    """One table."""
    rows, last = [], ""
    for entry in entries:
        rows.append((entry.kind if entry.kind != last else "", entry.name, entry.summary))
        last = entry.kind
    return table(("", "name", "what it is"), rows, style)
