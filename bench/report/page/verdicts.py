"""The page of verdicts on protocols and on sites: cases by hosts, counterexamples to step through, and prices."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from bench.check.protocols import VerifiedCase, VerifiedDocument
from bench.check.sites import SiteVerdict
from bench.hosts import Host
from bench.report.charts.protocols import by_case, by_line
from bench.report.costs import cycles
from bench.report.page.counterexamples import Counterexample, closed
from bench.report.page.elements import NUMBER, amount, answers, cell, figure, folded, head, line, page, reproduce, table
from bench.report.protocols import (
    PRICED,
    PriceTable,
    ProtocolReport,
    called,
    counted,
    file_of,
    host_of,
    remarks,
    title_of,
    told,
    verdict_text,
)
from bench.report.seen import about_seen
from bench.report.sites import SitesReport, about, as_expected, counted_here, legend, what_fails
from bench.report.sites import verdict_text as site_text
from bench.silicon.seen import Count, Seen


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the matrix: of a ``file``, and by host the attributes and the inside of its cells."""

    file: str
    name: str
    cells: Mapping[str, tuple[str, str]]
    seen: Count | None


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Cases, or scenarios, by hosts; ``what`` the rows are."""

    what: str
    rows: Sequence[_Row]
    counterexamples: Sequence[Counterexample]
    seen: Seen | None

    @property
    def _files(self) -> list[str]:
        return list(dict.fromkeys(row.file for row in self.rows))

    @property
    def _hosts(self) -> list[str]:
        return list(dict.fromkeys(host for row in self.rows for host in row.cells))

    def results(self, caption: str, below: Iterable[str]) -> str:
        """The table, with what filters it above, and what it says in words ``below``."""
        several = len(self._files) > 1
        heads = [*(map(head, ["file"] if several else [])), head(self.what)]
        heads += [head(host, f' data-host="{escape(host)}"') for host in self._hosts]
        heads += [head("seen here", NUMBER)] if self.seen is not None else []
        shown = answers(
            "Verdicts",
            heads,
            (f'<tr data-file="{escape(row.file)}">{"".join(self._cells(row, several))}</tr>' for row in self.rows),
            caption=" ".join(("What fails opens its counterexample.", caption, *about_seen(self.seen))).strip(),
        )
        said = "".join(f"<p>{escape(text)}</p>" for text in below)
        return "".join((*shown, said))

    def _cells(self, row: _Row, several: bool) -> Iterator[str]:
        if several:
            yield f'<td data-label="file">{escape(row.file)}</td>'
        yield f'<th scope="row" data-label="{self.what}">{escape(row.name)}</th>'
        for host in self._hosts:
            attributes, inside = row.cells.get(host, ("", ""))
            yield f'<td data-label="{escape(host)}"{attributes}>{inside}</td>'
        if self.seen is not None:
            yield seen_cell(row.seen)

    def page(self, title: str, summary: Iterable[str], results: str, sections: Iterable[str]) -> str:
        """The whole page."""
        data: dict[str, Any] = {
            "filters": {"file": self._files, "host": self._hosts},
            "cells": [one.as_data() for one in self.counterexamples],
        }
        unfolded = (
            ["<h2>Counterexamples, as tables</h2>", *(one.as_table() for one in self.counterexamples)]
            if self.counterexamples
            else []
        )
        said = "".join(f"<p>{escape(text)}</p>" for text in summary)
        *before, last = sections
        return page(f"Staleline: {title}", said, results, "\n".join([*before, *unfolded, last]), data)


def seen_cell(count: Count | None) -> str:
    """A cell of what was seen here; empty if nothing was."""
    return f"<td{NUMBER}></td>" if count is None else amount(count.wrong, count.text)


# --- protocols --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class ProtocolPage(ProtocolReport):
    """Verdicts on protocols as a page for a browser."""

    def text(self, style: str) -> str:
        """The whole file."""
        groups = self.groups
        matrix = _Matrix(
            "case",
            [row for group in groups for row in self._rows(group)],
            [made for one in self.found for case in one.cases if (made := _of_case(one, case)) is not None],
            self.seen,
        )
        hosts = {one.target.name: one.target for one in self.found if isinstance(one.target, Host)}
        said = [f"{file_of(group[0])}: {counted(group)}" if len(groups) > 1 else counted(group) for group in groups]
        return matrix.page(
            ", ".join(file_of(group[0]) for group in groups[:3]) + (" ..." if len(groups) > 3 else ""),
            [*([text for text in (groups[0][0].document.summary,) if text] if len(groups) == 1 else []), *self.in_all],
            matrix.results("!: another verdict was expected.", said),
            [*itertools.chain.from_iterable(map(self._about, groups)), "\n".join(reproduce(hosts.values()))],
        )

    def _rows(self, group: Sequence[VerifiedDocument]) -> Iterator[_Row]:
        for number, first in enumerate(group[0].cases):
            cells = {host_of(one): _case_cell(one, one.cases[number]) for one in group}
            count = self.seen.of(file_of(group[0]), first.case.name) if self.seen is not None else None
            yield _Row(file_of(group[0]), called(first), cells, count)

    def _about(self, group: Sequence[VerifiedDocument]) -> Iterator[str]:
        """What a file is about, and what its lines and cases cost."""
        document, prices = group[0].document, self.prices(group)
        yield f"<h2>{escape(title_of(group))}</h2>"
        yield from (f"<p>{escape(text)}</p>" for text in (*told(document), *document.links))
        holding = [case for one in group for case in one.cases if case.necessities]
        yield from (f"<p>{escape(f'{called(case)}: {text}')}</p>" for case in holding for text in remarks(case))
        if prices.lines:
            yield "<h3>What it costs</h3>"
            yield f'<p class="soft">{escape(PRICED)}</p>'
            yield _price_table(prices, document.name)
            for at, host in enumerate(prices.hosts):
                yield f"<h3>On {escape(host.name)}</h3>"
                yield from (figure(partial(draw, group, prices, at)) for draw in (by_case, by_line))


def _price_table(prices: PriceTable, name: str) -> str:
    heads = [*map(head, ("line", "by", "operation")), *(head(host.name, NUMBER) for host in prices.hosts)]
    rows = (
        line(number, cell(who), cell(what), *(amount(cost.nominal, cycles(cost)) for cost in costs))
        for (number, who, what), costs in prices.rows()
    )
    return folded("The price of each line", table(heads, rows, name=f"What the lines of {name} cost"))


def _of_case(one: VerifiedDocument, case: VerifiedCase) -> Counterexample | None:
    if not case.rows:
        return None
    file = file_of(one)
    where = f" --host {one.target.name}" if one.target else ""
    return Counterexample(
        f"{file}/{host_of(one)}/{called(case)}",
        f"{file}, {called(case)} on {host_of(one)}: {verdict_text(case)}",
        " ".join(remarks(case)),
        f"staleline check {file}.toml{where}",
        case.rows,
    )


def _case_cell(one: VerifiedDocument, case: VerifiedCase) -> tuple[str, str]:
    made = _of_case(one, case)
    return made.opened_by(verdict_text(case)) if made is not None else closed(case.verdict, verdict_text(case))


# --- sites ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class SitesPage(SitesReport):
    """Verdicts on sites as a page for a browser."""

    def text(self, style: str) -> str:
        """The whole file."""
        sites = {one.site.name: [other for other in self.found if other.site == one.site] for one in self.found}
        matrix = _Matrix(
            "scenario",
            [row for found in sites.values() for row in self._rows(found)],
            [made for one in self.found if (made := site_counterexample(one)) is not None],
            self.seen,
        )
        hosts = {one.target.name: one.target for one in self.found if isinstance(one.target, Host)}
        said = [f"{name}: {as_expected(found)}" for name, found in sites.items()]
        return matrix.page(
            ", ".join(sites),
            [text for found in sites.values() for text in (about(found[0].site), found[0].site.note) if text],
            matrix.results("", [*said, *legend(self.found)]),
            ["\n".join(reproduce(hosts.values()))],
        )

    def _rows(self, found: Sequence[SiteVerdict]) -> Iterator[_Row]:
        for scenario, first in {one.scenario: one for one in found}.items():
            cells = {one.target.name: site_cell(one) for one in found if one.scenario == scenario}
            count = counted_here(self.seen, first) if self.seen is not None else None
            yield _Row(first.site.name, scenario, cells, count)


def site_counterexample(one: SiteVerdict) -> Counterexample | None:
    """The counterexample of a scenario that fails."""
    if one.verdict != "fails" or not one.rows:
        return None
    return Counterexample(
        f"{one.site.name}/{one.target.name}/{one.scenario}",
        f"{one.site.name} on {one.target.name}, {one.scenario} ({one.of}): {one.failure}",
        f"{what_fails(one)}. {one.why}.",
        f"staleline check {one.site.name} --host {one.target.name} --scenario {one.scenario}",
        one.rows,
    )


def site_cell(one: SiteVerdict) -> tuple[str, str]:
    """The attributes and the inside of a cell, which opens the counterexample if there is one."""
    made = site_counterexample(one)
    return made.opened_by(site_text(one)) if made is not None else closed(one.verdict, site_text(one))
