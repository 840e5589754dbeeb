"""The answer of ``compare`` about sites: what is right, and what it costs over the links of a recorded execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.compare.sites import PricedSite, SitesComparison, break_even
from bench.replay.cost import Cost
from bench.report.costs import cycles, share
from bench.report.report import Column, Rows, flat_rows, record, text_only, text_table
from bench.report.sites import SYNCHRONISED, legend, verdict_text
from bench.report.tables import SCHEMA, fill


@dataclass(frozen=True, slots=True)
class _Line:
    comparison: SitesComparison
    row: PricedSite


def _verdict(line: _Line) -> str:
    """What does not hold; or that all does, and whether that takes a synchronisation."""
    wrong = [one for one in line.row.verdicts if one.verdict not in ("holds", "n/a")]
    if wrong:
        return ", ".join(f"{one.scenario} {one.failure or one.verdict}" for one in wrong)
    return f"holds {SYNCHRONISED}" if any(one.synchronised for one in line.row.verdicts) else "holds"


def _price(name: str, heading: str | None) -> Column[_Line]:
    def cost(line: _Line) -> Cost | None:
        return None if line.row.price is None else getattr(line.row.price, name)

    return Column(
        name,
        lambda line: found.ends if (found := cost(line)) is not None else None,
        heading,
        lambda line: cycles(found) if (found := cost(line)) is not None else "",
        right=True,
        csv=False,
    )


def _of_run(name: str, heading: str) -> Column[_Line]:
    return Column(
        name,
        lambda line: getattr(line.row, name).ends if line.row.price is not None else None,
        heading,
        lambda line: cycles(getattr(line.row, name)) if line.row.price is not None else "",
        right=True,
        csv=False,
    )


_ASKED: tuple[Column[_Line], ...] = (
    text_only("rank", lambda line: str(line.row.rank) if line.row.rank else "", right=True),
    Column("rank", lambda line: line.row.rank),
    Column("site", lambda line: line.row.site.name, "site"),
    Column("form", lambda line: line.row.site.form),
    Column("isa", lambda line: line.row.site.isa),
    Column("year", lambda line: line.row.site.year),
    Column("host", lambda line: line.comparison.target.name),
    text_only("verdict", _verdict, wrap=30),
    Column("verdicts", lambda line: {one.scenario: verdict_text(one) for one in line.row.verdicts}),
    Column("rests_on", lambda line: sorted({one.rests_on for one in line.row.verdicts if one.verdict == "fails"})),
)
_PRICED: tuple[Column[_Line], ...] = (
    _price("execution", "per execution"),
    _price("link", "per link"),
    _price("unlink", "per unlink"),
    _price("reuse", None),
    Column("interrupts", lambda line: line.row.price.interrupts if line.row.price else None, csv=False),
    text_only(
        "interrupts", lambda line: "/".join(map(str, line.row.price.interrupts)) if line.row.price else "", right=True
    ),
    Column("bytes", lambda line: line.row.site.bytes, "bytes", right=True),
    _of_run("run", "run"),
    text_only("share", lambda line: share(line.row.run, line.comparison.baseline), right=True),
    Column(
        "per_million",
        lambda line: line.row.run.nominal / max(line.comparison.workload.through, 1) * 1e6 if line.row.price else None,
        "per million",
        lambda line: cycles(line.row.run.times(1e6 / max(line.comparison.workload.through, 1))),
        right=True,
        csv=False,
    ),
    _of_run("extra", "extra"),
)


@dataclass(frozen=True, slots=True)
class LinkingReport:
    """Comparisons, one for each host or architecture."""

    comparisons: Sequence[SitesComparison]

    def document(self) -> dict[str, Any]:
        """One object for each site and host."""
        return {
            "schema": SCHEMA,
            "workload": asdict(self.comparisons[0].workload),
            "linking": [record((*_ASKED, *_PRICED), line) for line in self._lines()],
        }

    def rows(self) -> Rows:
        """The same, one row each."""
        return flat_rows((*_ASKED, *_PRICED), self._lines())

    def text(self, style: str) -> str:
        """A table for each."""
        return "\n\n".join([_about(self.comparisons[0]), *(_comparison(one, style) for one in self.comparisons)])

    def _lines(self) -> list[_Line]:
        return [_Line(one, row) for one in self.comparisons for row in one.rows]


def _about(one: SitesComparison) -> str:
    work = one.workload
    return fill(
        f"{work.trace}: {work.executions:,} executions, {work.links:,} links, {work.through:,} executions through them "
        f"({work.through / max(work.links, 1):,.0f} for each link), {work.flushes} flushes of the buffer."
    )


def _comparison(one: SitesComparison, style: str) -> str:
    priced = any(row.price is not None for row in one.rows)
    lines = [_Line(one, row) for row in one.rows]
    title = f"{one.target.name}: {one.target.title}"
    parts = [title, text_table((*_ASKED, *(_PRICED if priced else ())), lines, style)]
    if priced:
        parts.append(fill("Cycles. Interrupts: other cores, for each link and unlink. Per million executions."))
    parts += legend([verdict for row in one.rows for verdict in row.verdicts])
    rests = sorted({verdict.rests_on for row in one.rows for verdict in row.verdicts if verdict.verdict == "fails"})
    parts += [fill(f"What fails rests on {' and '.join(_RESTS_ON[name] for name in rests)}.")] if rests else []
    return "\n\n".join([*parts, *_order(one)])


_RESTS_ON = {
    "caches": "the caches of this host",
    "architecture": "what the architecture allows",
    "list": "its list of what may be changed while it may be executed",
}


def _order(one: SitesComparison) -> list[str]:
    """Which is cheapest, against each other right one; from how many executions for each link."""
    rows = {row.site.name: row for row in one.rows}
    said = []
    for found in one.pairs:
        cheaper, other = rows[found.first], rows[found.second]
        text = f"{found.first} against {found.second}: "
        if found.order == "undecided" and found.deciding is not None:
            text += f"undecided, up to {found.deciding.quantity.name}"
            flips = found.deciding.flips_at
            text += f" (at {flips:.2g} {found.deciding.quantity.unit})" if flips else ""
        else:
            text += {"cheaper": "cheaper, whatever is assumed", "equal": "the same"}.get(found.order, found.order)
        at = break_even(cheaper, other)
        text += f"; the same at {at:,.3g} executions for each link" if at is not None else ""
        said.append(fill(f"{text}.", rest="  "))
    return ["\n".join(said)] if said else []
