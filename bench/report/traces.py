"""What a trace holds, as text and CSV."""

from __future__ import annotations

import msgspec

from bench.report.tables import Cell, comma_separated, table
from bench.traces.info import Distribution, TraceInfo
from bench.traces.trace import Trace

_COUNTS = {
    "executions": "TB executions",
    "stopped": "announced, then not run",
    "tbs": "TBs translated",
    "threads": "guest threads",
    "flushes": "tb flushes",
    "discarded": "duplicate TBs discarded",
    "retranslations": "state restores (retranslations in 2011)",
    "io_recompiles": "I/O recompilations",
}
_DISTRIBUTIONS = {
    "tb_bytes": "host bytes per TB",
    "rewritten_bytes": "host bytes rewritten per retranslation",
    "reexecution_tbs": "executions until the TB runs again",
}


def as_text(figures: TraceInfo, trace: Trace, style: str) -> str:
    """Counts, exceptions and distributions."""
    counts: list[tuple[Cell, ...]] = [(text, f"{getattr(figures, name):,}") for name, text in _COUNTS.items()]
    if figures.executions:
        rate = 1e6 * figures.retranslations / figures.executions
        counts.append(("retranslations per million executions", f"{rate:.2f}"))
    counts += [(f"exception: {kind}", f"{count:,}") for kind, count in figures.exceptions.items()]
    headers = ("", "min", "median", "p90", "max", "unknown")
    rows = [(text, *_quantiles(getattr(figures, name))) for name, text in _DISTRIBUTIONS.items()]
    return "\n\n".join(
        (
            f"{figures.trace}: {trace.guest} guest, {trace.mode} emulation. {trace.description}",
            table(("", "count"), counts, style, right=(1,)),
            table(headers, rows, style, right=range(1, len(headers))),
        )
    )


def as_csv(figures: TraceInfo) -> str:
    """One line per figure: its name, with a dot between a distribution and its part, and its value."""
    rows: list[tuple[Cell, ...]] = []
    for name, value in msgspec.to_builtins(figures).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        rows += [(f"{name}.{part}" if part else name, number) for part, number in parts]
    return comma_separated(("figure", "value"), rows)


def _quantiles(values: Distribution) -> list[Cell]:
    known = (values.min, values.median, values.p90, values.max)
    return [*("" if value is None else f"{value:,.0f}" for value in known), f"{values.unknown:,}"]
