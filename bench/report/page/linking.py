"""The page of a comparison of sites: verdicts by scenario, prices, counterexamples to step through."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from typing import Any

from bench.check.sites import SiteVerdict
from bench.compare.sites import PricedSite, SitesComparison
from bench.hosts import Host
from bench.replay.cost import Cost
from bench.replay.parameters import Parameters
from bench.report.charts.linking import by_uses, costs
from bench.report.costs import cycles
from bench.report.linking import LinkingReport, about, cost_of, counted_here, marks, named, orders, unasked
from bench.report.page.counterexamples import Counterexample
from bench.report.page.elements import NUMBER, amount, answers, cell, figure, head, page, reproduce
from bench.report.page.verdicts import seen_cell, site_cell, site_counterexample
from bench.report.seen import about_seen
from bench.report.sites import legend
from bench.silicon.seen import Seen
from bench.traces.trace import Trace


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LinkingPage(LinkingReport):
    """A comparison of sites as a page for a browser, with all that makes it again."""

    trace: Trace
    parameters: Parameters

    def text(self, style: str) -> str:
        """The whole file."""
        hosts = [one.target for one in self.comparisons if isinstance(one.target, Host)]
        title = "Staleline: linking on " + ", ".join(one.target.name for one in self.comparisons)
        sections = (
            _drawn(self.comparisons),
            _counterexamples(self.comparisons),
            reproduce(hosts, self.trace, self.parameters.seed),
        )
        return page(
            title,
            f"<p>{escape(about(self.comparisons[0]))}</p>",
            "\n".join(_results(self.comparisons, self.seen)),
            "\n".join(itertools.chain.from_iterable(sections)),
            _data(self.comparisons),
        )


def _scenarios(compared: Sequence[SitesComparison]) -> list[str]:
    return list(dict.fromkeys(one.scenario for each in compared for row in each.rows for one in row.verdicts))


def _results(compared: Sequence[SitesComparison], seen: Seen | None) -> Iterator[str]:
    scenarios = _scenarios(compared)
    heads = ["rank", "site", *(["host"] if len(compared) > 1 else []), *scenarios]
    heads += [*(["seen here"] if seen is not None else []), *_COSTS]
    lines = []
    for one in compared:
        for row in one.rows:
            cells = [_rank(row), f'<th scope="row" data-label="site">{escape(named(row))}</th>']
            cells += [_labelled("host", cell(one.target.name))] if len(compared) > 1 else []
            verdicts = {found.scenario: found for found in row.verdicts}
            cells += [_labelled(name, _verdict(verdicts.get(name))) for name in scenarios]
            cells += [_labelled("seen here", seen_cell(counted_here(seen, row)))] if seen is not None else []
            cells += [_labelled(name, _amount(cost_of(row, of))) for name, of in _COSTS.items()]
            where = f'data-host="{escape(one.target.name)}" data-isa="{escape(row.site.isa)}"'
            lines.append(f"<tr {where}>{''.join(cells)}</tr>")
    yield from answers(
        "Verdicts and costs",
        (head(name, f' data-scenario="{escape(name)}"' if name in scenarios else "") for name in heads),
        lines,
        caption=" ".join(
            (
                "What fails opens its counterexample. Cycles for each execution, link, unlink, new target and use of "
                "a target's memory again, and over the whole run: nominal (lowest..highest).",
                *about_seen(seen),
            )
        ),
    )
    found = [verdict for one in compared for row in one.rows for verdict in row.verdicts]
    rows = [row for one in compared for row in one.rows]
    yield from (f"<p>{escape(text)}</p>" for text in (*legend(found), *unasked(rows)))


_COSTS = {
    "per execution": "execution",
    "per link": "link",
    "per unlink": "unlink",
    "per new target": "publish",
    "per reuse": "reuse",
    "run": "run",
    "extra": "extra",
}


def _labelled(name: str, inside: str) -> str:
    return inside.replace("<td", f'<td data-label="{escape(name)}"', 1)


def _rank(row: PricedSite) -> str:
    kind = "holds" if row.right else "fails"
    text = f"{row.rank}{marks(row)}" if row.rank else "holds" if row.right else "\u2717"
    return f'<td data-label="rank" class="{kind}" data-sort="{row.rank or 99}">{text}</td>'


def _amount(cost: Cost | None) -> str:
    return amount(cost.nominal, cycles(cost)) if cost is not None else f"<td{NUMBER}></td>"


def _verdict(one: SiteVerdict | None) -> str:
    if one is None:
        return cell("")
    attributes, inside = site_cell(one)
    return f"<td{attributes}>{inside}</td>"


def _drawn(compared: Sequence[SitesComparison]) -> Iterator[str]:
    priced = [one for one in compared if isinstance(one.target, Host)]
    if priced:
        yield "<h2>Right or wrong, and what it costs</h2>"
    for one in priced:
        yield f"<h3>{escape(one.target.name)}</h3>"
        yield figure(partial(costs, one), "A mark is nominal, its bar goes from the lowest to the highest.")
        yield figure(partial(by_uses, one), "Both axes are logarithmic; every quantity is at its value.")
        yield f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in orders(one))}</ul>"


def _failing(compared: Sequence[SitesComparison]) -> list[Counterexample]:
    verdicts = (found for one in compared for row in one.rows for found in row.verdicts)
    return [found for one in verdicts if (found := site_counterexample(one)) is not None]


def _counterexamples(compared: Sequence[SitesComparison]) -> Iterator[str]:
    yield "<h2>Counterexamples, as tables</h2>"
    yield from (one.as_table() for one in _failing(compared))


def _data(compared: Sequence[SitesComparison]) -> dict[str, Any]:
    """What the script steps through and filters by."""
    return {
        "filters": {
            "host": [one.target.name for one in compared],
            "isa": list(dict.fromkeys(row.site.isa for one in compared for row in one.rows)),
            "scenario": _scenarios(compared),
        },
        "cells": [one.as_data() for one in _failing(compared)],
    }
