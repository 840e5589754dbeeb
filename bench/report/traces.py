"""What a trace holds."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bench.report.report import Rows
from bench.report.tables import Cell, table
from bench.traces.info import Distribution, LinkInfo, TraceInfo
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


_MISSING = "Linking was on: executions that were entered through a link are not among these."
_KNOWN = {
    "recorded": "as recorded",
    "derived": "by the text of the last instructions",
    "estimated": "by the lengths of the TBs",
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
        """One row for each figure: its name, with a dot between a group of figures and its part, and its value."""
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
        counts += _link_counts(figures.links, figures.executions)
        counts += [(f"exception: {kind}", f"{count:,}") for kind, count in figures.exceptions.items()]
        headers = ("", "min", "median", "p90", "max", "unknown")
        rows = [(text, *_quantiles(getattr(figures, name))) for name, text in _DISTRIBUTIONS.items()]
        notes = [_MISSING] if figures.links.entered is None else []
        if figures.unread:
            kinds = sorted(figures.unread.items(), key=lambda kind: -kind[1])
            named = ", ".join(f"{lines:,} {name}" for name, lines in kinds)
            notes.append(f"Lines of the log that were not needed: {sum(figures.unread.values()):,} ({named}).")
        return "\n\n".join(
            (
                f"{figures.trace}: {trace.guest} guest, {trace.mode} emulation. {trace.description}",
                table(("", "count"), counts, style, right=(1,)),
                table(headers, rows, style, right=range(1, len(headers))),
                *notes,
            )
        )


def _quantiles(values: Distribution) -> list[Cell]:
    known = (values.min, values.median, values.p90, values.max)
    return [*("" if value is None else f"{value:,.0f}" for value in known), f"{values.unknown:,}"]


def _link_counts(links: LinkInfo, executions: int) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = [
        (f"links made ({_KNOWN[links.known]})", f"{links.made:,}"),
        ("links ended (tb flush, linked anew)", f"{links.ended:,}"),
    ]
    if links.entered is not None and executions:
        rows.append(("entered through a link", f"{100 * links.entered / executions:.1f} %"))
    return rows
