"""What a trace holds."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bench.report.report import Rows
from bench.report.tables import Cell, table
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


@dataclass(frozen=True, slots=True)
class TraceReport:
    """The answer of ``trace info``: the ``figures`` of a trace."""

    figures: TraceInfo
    trace: Trace

    def document(self) -> TraceInfo:
        """The figures by name."""
        return self.figures

    def rows(self) -> Rows:
        """One row for each figure: its name, with a dot between a distribution and its part, and its value."""
        rows: list[tuple[Cell, ...]] = []
        for name, value in msgspec.to_builtins(self.figures).items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            rows += [(f"{name}.{part}" if part else name, number) for part, number in parts]
        return ("figure", "value"), rows

    def text(self, style: str) -> str:
        """Counts, exceptions and distributions."""
        figures, trace = self.figures, self.trace
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


def _quantiles(values: Distribution) -> list[Cell]:
    known = (values.min, values.median, values.p90, values.max)
    return [*("" if value is None else f"{value:,.0f}" for value in known), f"{values.unknown:,}"]
