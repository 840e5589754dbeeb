"""The page of a comparison of sites: verdicts by scenario, prices, counterexamples to step through."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html import escape
from typing import Any

from bench.check.sites import SiteVerdict
from bench.compare.sites import PricedSite, SitesComparison
from bench.explain.protocols import ABSENT, ProtocolRow
from bench.hosts import Host
from bench.replay.cost import Cost
from bench.replay.parameters import Parameters
from bench.report.charts.linking import by_uses, costs
from bench.report.costs import cycles
from bench.report.linking import LinkingReport, about, counted_here, named, orders
from bench.report.page.elements import NUMBER, amount, cell, figure, folded, head, line, page, quoted, reproduce, table
from bench.report.seen import about_seen
from bench.report.sites import legend, verdict_text
from bench.silicon.seen import Count, Seen
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
            reproduce(self.trace, self.parameters, hosts),
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
            cells += [_labelled("seen here", _seen(counted_here(seen, row)))] if seen is not None else []
            cells += [_labelled(name, _amount(of(row))) for name, of in _COSTS.items()]
            where = f'data-host="{escape(one.target.name)}" data-isa="{escape(row.site.isa)}"'
            lines.append(f"<tr {where}>{''.join(cells)}</tr>")
    yield '<h2>Verdicts and costs</h2><div id="filters" class="filters"></div>'
    yield table(
        (head(name, f' data-scenario="{escape(name)}"' if name in scenarios else "") for name in heads),
        lines,
        name="Verdicts and costs",
        attributes=' id="results" tabindex="-1"',
        caption=" ".join(
            (
                "What fails opens its counterexample. Cycles for each execution, link and unlink, and over the whole "
                "run: nominal (lowest..highest).",
                *about_seen(seen),
            )
        ),
    )
    found = [verdict for one in compared for row in one.rows for verdict in row.verdicts]
    yield from (f"<p>{escape(text)}</p>" for text in legend(found))


_COSTS: dict[str, Callable[[PricedSite], Cost | None]] = {
    "per execution": lambda row: row.price.execution if row.price else None,
    "per link": lambda row: row.price.link if row.price else None,
    "per unlink": lambda row: row.price.unlink if row.price else None,
    "run": lambda row: row.run if row.price else None,
    "extra": lambda row: row.extra if row.price else None,
}


def _labelled(name: str, inside: str) -> str:
    return inside.replace("<td", f'<td data-label="{escape(name)}"', 1)


def _rank(row: PricedSite) -> str:
    kind = "holds" if row.right else "fails"
    text = str(row.rank) if row.rank else "holds" if row.right else "\u2717"
    return f'<td data-label="rank" class="{kind}" data-sort="{row.rank or 99}">{text}</td>'


def _seen(count: Count | None) -> str:
    return amount(count.wrong, count.text) if count is not None else f"<td{NUMBER}></td>"


def _amount(cost: Cost | None) -> str:
    return amount(cost.nominal, cycles(cost)) if cost is not None else f"<td{NUMBER}></td>"


def _id(one: SiteVerdict) -> str:
    return f"{one.site.name}/{one.target.name}/{one.scenario}"


def _verdict(one: SiteVerdict | None) -> str:
    if one is None:
        return cell("")
    if one.verdict == "fails" and one.rows:
        name = "/".join(map(quoted, _id(one).split("/")))
        return f'<td class="fails" data-sort="{len(one.rows)}"><a href="#{name}/1">{escape(verdict_text(one))}</a></td>'
    kind = one.verdict if one.verdict in ("holds", "fails") else "absent"
    return f'<td class="{kind}" data-sort="{0 if kind == "holds" else 99}">{escape(verdict_text(one))}</td>'


def _drawn(compared: Sequence[SitesComparison]) -> Iterator[str]:
    priced = [one for one in compared if isinstance(one.target, Host)]
    if priced:
        yield "<h2>Right or wrong, and what it costs</h2>"
    for one in priced:
        yield f"<h3>{escape(one.target.name)}</h3>"
        yield figure(partial(costs, one), "A mark is nominal, its bar goes from the lowest to the highest.")
        yield figure(partial(by_uses, one), "Both axes are logarithmic; every quantity is at its value.")
        yield f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in orders(one))}</ul>"


def _failing(compared: Sequence[SitesComparison]) -> Iterator[SiteVerdict]:
    verdicts = (found for one in compared for row in one.rows for found in row.verdicts)
    return (found for found in verdicts if found.verdict == "fails" and found.rows)


def _title(one: SiteVerdict) -> str:
    return f"{one.site.name} on {one.target.name}, {one.scenario} ({one.of}): {one.failure}"


def _counterexamples(compared: Sequence[SitesComparison]) -> Iterator[str]:
    yield "<h2>Counterexamples, as tables</h2>"
    for one in _failing(compared):
        again = f"staleline check {one.site.name} --host {one.target.name} --scenario {one.scenario}"
        places = [*_places(one.rows)]
        lines = (
            line(at, cell(row.actor), cell(row.what), *(cell(held[at - 1]) for _, held in places))
            for at, row in enumerate(one.rows, 1)
        )
        heads = map(head, ("step", "by", "what happens", *(name for name, _ in places)))
        said = f'<p class="soft">{escape(one.why)}. Again: <code>{escape(again)}</code></p>'
        yield folded(f"{_title(one)}, {len(one.rows)} steps", said, table(heads, lines, name=_title(one)))


def _places(rows: Sequence[ProtocolRow]) -> Iterator[tuple[str, list[str]]]:
    """What each place holds, step by step; an instruction cache that never has anything is none."""
    yield "data side", [_held(row.data) for row in rows]
    yield "memory", [_held(row.memory) for row in rows]
    for core in range(len(rows[0].code)):
        if any({*row.code[core].values()} != {ABSENT} for row in rows):
            yield f"instruction cache {core}", [_held(row.code[core]) for row in rows]


def _held(values: dict[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _data(compared: Sequence[SitesComparison]) -> dict[str, Any]:
    """What the script steps through and filters by."""
    return {
        "filters": {
            "host": [one.target.name for one in compared],
            "isa": list(dict.fromkeys(row.site.isa for one in compared for row in one.rows)),
            "scenario": _scenarios(compared),
        },
        "cells": [
            {
                "id": _id(one),
                "title": _title(one),
                "watched": f"{one.why}.",
                "lanes": [*_lanes(one.rows)],
                "steps": [
                    {"text": f"Step {at} of {len(one.rows)}, {row.actor}: {row.what}.", "beside": []}
                    for at, row in enumerate(one.rows, 1)
                ],
            }
            for one in _failing(compared)
        ],
    }


def _lanes(rows: Sequence[ProtocolRow]) -> Iterable[dict[str, Any]]:
    """What each actor does and what each place holds: a text, and the word that it is shown as."""
    for actor in sorted({row.actor for row in rows}):
        cells = [[row.what, "wrong" if row.wrong else ""] if row.actor == actor else ["", ""] for row in rows]
        yield {"name": actor, "cells": cells}
    for name, held in _places(rows):
        yield {"name": name, "cells": [[text, "absent" if text == ABSENT else "held"] for text in held]}
