"""Verdicts on sites: a matrix of scenarios and hosts, and the counterexamples."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.check.sites import FAILURES, SiteVerdict
from bench.report.protocols import row_object, steps_table
from bench.report.report import Column, Rows, attributes, flat_rows, record
from bench.report.seen import about_seen, seen_columns
from bench.report.tables import SCHEMA, fill, table
from bench.silicon.seen import Count, Seen
from bench.sites.site import Site

_COLUMNS: tuple[Column[SiteVerdict], ...] = (
    *attributes("site.name"),
    Column("isa", lambda of: of.site.isa),
    Column("host", lambda of: of.target.name),
    *attributes("scenario", "verdict", "failure"),
    Column("case", lambda of: of.of),
    *attributes("why", "synchronised"),
    Column("rests_on", lambda of: of.rests_on if of.verdict == "fails" else ""),
    Column("expected", lambda of: of.site.expect.get(of.scenario, "holds")),
    *attributes("states"),
    Column("counterexample", lambda of: [row_object(row) for row in of.rows], csv=False),
)

SYNCHRONISED = "q"
"""Behind a verdict that holds only with a context synchronisation at quiescence."""


@dataclass(frozen=True, slots=True)
class SitesReport:
    """Verdicts on sites, in order of the sites."""

    found: Sequence[SiteVerdict]
    seen: Seen | None = None

    @property
    def as_expected(self) -> bool:
        """Whether every verdict is the one that its site expects."""
        return all(one.as_expected for one in self.found)

    @property
    def _columns(self) -> tuple[Column[SiteVerdict], ...]:
        return (*_COLUMNS, *seen_columns(self.seen, counted_here))

    def document(self) -> dict[str, Any]:
        """One object for each site, scenario and host."""
        return {"schema": SCHEMA, "sites": [record(self._columns, one) for one in self.found]}

    def rows(self) -> Rows:
        """The same, one row each."""
        return flat_rows(self._columns, self.found)

    def text(self, style: str) -> str:
        """Each site: a matrix, and a counterexample for each thing that goes wrong."""
        return "\n\n".join(
            _site(site, list(found), style, self.seen)
            for site, found in itertools.groupby(self.found, key=lambda one: one.site)
        )


def counted_here(seen: Seen, one: SiteVerdict) -> Count | None:
    """What was seen of a scenario."""
    return seen.scenarios(one.site.name, [one.scenario])


def _site(site: Site, found: Sequence[SiteVerdict], style: str, seen: Seen | None) -> str:
    parts = [about(site)]
    parts += [fill(site.note)] if site.note else []
    parts.append(matrix(found, style, seen))
    parts += [fill(as_expected(found)), *legend(found), *map(fill, about_seen(seen))]
    for one, hosts in _distinct(found):
        parts.append(fill(f"{one.scenario} ({one.of}) on {', '.join(hosts)}: {what_fails(one)}. {one.why}."))
        parts += [steps_table(one.rows, style)] if one.rows else []
    return "\n\n".join(parts)


def about(site: Site) -> str:
    """What a site is."""
    title = f"{site.name}: {site.summary}" if site.summary else site.name
    return f"{title} ({', '.join(str(part) for part in (site.project, site.year, site.isa) if part)})"


def as_expected(found: Sequence[SiteVerdict]) -> str:
    """How many verdicts are as expected, and which are not."""
    asked = [one for one in found if one.verdict != "n/a"]
    expected = sum(one.as_expected for one in asked)
    others = [f"{one.scenario} on {one.target.name}" for one in asked if not one.as_expected]
    return f"{expected} of {len(asked)} as expected{', but not ' if others else ''}{', '.join(others)}."


def matrix(found: Sequence[SiteVerdict], style: str, seen: Seen | None = None) -> str:
    """Scenarios by hosts, and what was seen here."""
    hosts = list(dict.fromkeys(one.target.name for one in found))
    cells = {(one.scenario, one.target.name): verdict_text(one) for one in found}
    rows = [
        [
            scenario,
            *(cells.get((scenario, host), "") for host in hosts),
            *(count.text if (count := counted_here(ran, one)) else "" for ran in ([] if seen is None else [seen])),
        ]
        for scenario, one in {one.scenario: one for one in found}.items()
    ]
    return table(["scenario", *hosts, *(["seen here"] if seen is not None else [])], rows, style)


def verdict_text(one: SiteVerdict) -> str:
    """A verdict in a cell."""
    if one.verdict == "fails":
        return f"fails {one.failure}"
    return f"{one.verdict} {SYNCHRONISED}" if one.synchronised else one.verdict


def legend(found: Iterable[SiteVerdict]) -> list[str]:
    """What the words in the cells mean, of those that are there."""
    found = list(found)
    words = {one.failure for one in found}
    said = [f"{name}: {what}" for name, what in FAILURES.items() if name in words]
    if any(one.synchronised for one in found):
        said.insert(0, f"{SYNCHRONISED}: only if executors synchronise their context at quiescence")
    return [fill(f"{'; '.join(said)}.")] if said else []


def _distinct(found: Sequence[SiteVerdict]) -> list[tuple[SiteVerdict, list[str]]]:
    """What goes wrong, each once, with the hosts where it does; the first has the counterexample."""
    known: dict[tuple[object, ...], tuple[SiteVerdict, list[str]]] = {}
    for one in found:
        if one.verdict == "fails":
            key = one.scenario, one.failure, one.why, one.rests_on
            known.setdefault(key, (one, []))[1].append(one.target.name)
    return list(known.values())


def what_fails(one: SiteVerdict) -> str:
    """How a site fails, and by what it is allowed to."""
    means = FAILURES.get(one.failure, "")
    allowed = {"architecture": ", which the architecture allows", "list": ", by a list"}.get(one.rests_on, "")
    return f"fails {one.failure}{f', {means}' if means and means != one.failure else ''}{allowed}"
