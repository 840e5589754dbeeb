"""The pictures of a comparison of sites: right or wrong against cost, and what an execution costs by how
often a link is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bench.compare.sites import PricedSite, SitesComparison
from bench.hosts import Host
from bench.report.charts.comparisons import FAILS, HOLDS, against_cost
from bench.report.charts.drawing import Chart
from bench.report.charts.marks import SAID, WIDE, Frame, layer, of_name, of_number
from bench.report.costs import cycles, percents
from bench.report.linking import named, verdict_of
from bench.sites.price import Rates
from bench.support.errors import InputError

_COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)", "var(--f)", "var(--g)")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [3, 5], [1, 3])
_DECADES = range(7)


def of_sites(comparisons: Sequence[SitesComparison]) -> list[Chart]:
    """Both of each host.  Raises ``InputError`` where there is none."""
    priced = [one for one in comparisons if any(row.price is not None for row in one.rows)]
    if not priced:
        raise InputError("nothing to draw of an architecture, which has no price", place="`plot`", expected="a host")
    return [draw(one, WIDE) for one in priced for draw in (costs, by_uses)]


def costs(one: SitesComparison, frame: Frame) -> Chart:
    """What each site costs more than the cheapest that is right, and whether it is right."""
    percent = percents(one.baseline)
    rows = [
        (
            named(row),
            verdict_of(row),
            HOLDS if row.right else FAILS,
            (row.extra.low * percent, row.extra.nominal * percent, row.extra.high * percent),
            f"{named(row)}: {verdict_of(row)}; {cycles(row.extra)} cycles more",
        )
        for row in one.rows
    ]
    title = f"Right or wrong, and what it costs: {one.target.name}"
    return against_cost(title, "extra over the cheapest that is right, in % of the run", rows, frame)


def by_uses(one: SitesComparison, frame: Frame) -> Chart:
    """Cycles for each execution of the sites that are right, patching included, by the executions for each link."""
    assert isinstance(one.target, Host)
    rates = one.workload.rates_on(one.target)
    rows = _apart([row for row in one.rows if row.rank], rates)
    names = [named(row) for row in rows]
    values = [
        {
            "uses": uses,
            "cycles": (each := _each(row, uses, rates)),
            "site": named(row),
            "said": f"{named(row)}: {each:.3g} cycles at {uses:,} executions for each link",
        }
        for row in rows
        for uses in (10**decade for decade in _DECADES)
    ]
    here = one.workload.through / max(one.workload.links, 1)
    log = {"type": "log", "nice": False}
    low = 10 ** math.floor(math.log10(min(value["cycles"] for value in values)))
    x = of_number(
        "uses",
        title=["executions for each link", "the line: in this run"],
        axis={"values": [10**decade for decade in _DECADES], "labelExpr": "format(datum.value, '~s')"},
        scale={**log, "domain": [1, 10 ** _DECADES[-1]]},
    )
    axis = {"labelExpr": "format(datum.value, '~s')", "tickCount": 6}
    y = of_number(
        "cycles", title="cycles for each execution, patching included", axis=axis, scale={**log, "domainMin": low}
    )
    key = {"columns": 2 if frame.beside else 1, "symbolType": "stroke", "symbolStrokeWidth": 2}
    colour = of_name("site", legend=key, scale={"domain": names, "range": [*_COLOURS[: len(names)]]})
    dash = of_name("site", legend=key, scale={"domain": names, "range": [*_DASHES[: len(names)]]})
    return {
        "title": f"What an execution costs by how often a link is used: {one.target.name}",
        "width": frame.width,
        "height": 260,
        "layer": [
            layer("rule", {"color": "var(--mark)", "strokeWidth": 2}, [{"uses": here}], x=x),
            layer("line", {"strokeWidth": 2}, values, x=x, y=y, color=colour, strokeDash=dash),
            layer("point", {"filled": True, "size": 24}, values, x=x, y=y, color=colour, description=SAID),
        ],
    }


def _each(row: PricedSite, uses: float, rates: Rates) -> float:
    """Cycles for each of so many executions; at least a tenth, which an axis of powers can show."""
    assert row.price is not None
    return max(row.price.patching(rates.at(uses)).nominal / uses + row.price.execution.nominal, 0.1)


def _apart(rows: Iterable[PricedSite], rates: Rates) -> list[PricedSite]:
    """Those whose lines differ, the cheapest in the run first, as many as there are colours."""
    found: dict[tuple[float, ...], PricedSite] = {}
    for row in rows:
        found.setdefault(tuple(round(_each(row, 10**decade, rates), 3) for decade in _DECADES), row)
    return list(found.values())[: len(_COLOURS)]
