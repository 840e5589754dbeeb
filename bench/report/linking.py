"""The answer of ``compare`` about sites: what is right, and what it costs over the links of a recorded execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench.check.sites import SiteVerdict
from bench.compare.sites import PricedSite, SitesComparison, break_even
from bench.hosts import Host
from bench.replay.cost import Cost
from bench.replay.quantity import Quantity
from bench.report.costs import cycles, middle, share
from bench.report.report import Column, Rows, flat_rows, record, text_only, text_table
from bench.report.seen import about_seen, seen_columns
from bench.report.sites import SYNCHRONISED, legend, verdict_text
from bench.report.tables import SCHEMA, fill, packed, table
from bench.silicon.seen import Count, Seen


@dataclass(frozen=True, slots=True)
class _SiteLine:
    comparison: SitesComparison
    row: PricedSite


def _told(rows: Sequence[PricedSite]) -> list[SiteVerdict]:
    """The verdicts that cells speak of: all of what is right, and of the others what fails."""
    return [one for row in rows for one in row.verdicts if row.right or one.verdict == "fails"]


def verdict_of(row: PricedSite) -> str:
    """What does not hold; or that all does, and whether that takes a synchronisation."""
    wrong = [one for one in row.verdicts if one.verdict not in ("holds", "n/a")]
    if wrong:
        return ", ".join(f"{one.scenario} {one.failure or one.verdict}" for one in wrong)
    return f"holds{marks(row)}"


def marks(row: PricedSite) -> str:
    """What is behind the verdict on what is right: whether it takes a synchronisation, and what it was not asked."""
    unasked = {(): "", ("reuse",): _NO_REUSE}.get(row.unasked, _NOT_ALL)
    return "".join(
        f" {mark}" for mark in (any(one.synchronised for one in row.verdicts) and SYNCHRONISED, unasked) if mark
    )


_NO_REUSE, _NOT_ALL = "-r", "-"


def unasked(rows: Sequence[PricedSite]) -> list[str]:
    """What the marks of what was not asked mean, of those that are there."""
    rows = [row for row in rows if row.right and row.unasked]
    said = []
    if any(row.unasked == ("reuse",) for row in rows):
        said.append(f"{_NO_REUSE}: not tried in reuse, since it does not say how a target is retired")
    if any(row.unasked != ("reuse",) for row in rows):
        said.append(f"{_NOT_ALL}: not tried in several scenarios (n/a), since it does not say enough for them")
    return [fill(f"{'; '.join(said)}. The rank says nothing of that.")] if said else []


def cost_of(row: PricedSite, name: str) -> Cost | None:
    """A cost of the run, or of a site's price; None on an architecture."""
    if row.price is None:
        return None
    found: Cost = getattr(row if name in ("run", "extra") else row.price, name)
    return found


def _price(name: str) -> Column[_SiteLine]:
    """A cost in JSON, with its range."""
    return Column(name, lambda line: found.ends if (found := cost_of(line.row, name)) is not None else None, csv=False)


def _nominal(name: str) -> Column[_SiteLine]:
    """The same in CSV."""
    return Column(name, lambda line: found.nominal if (found := cost_of(line.row, name)) else None, json=False)


def _shown(name: str, heading: str, *, ranges: bool) -> Column[_SiteLine]:
    written = cycles if ranges else middle
    return text_only(heading, lambda line: written(found) if (found := cost_of(line.row, name)) else "", right=True)


_RANK: Column[_SiteLine] = text_only("rank", lambda line: str(line.row.rank) if line.row.rank else "", right=True)
_SITE: Column[_SiteLine] = text_only("site", lambda line: named(line.row))
_VERDICT: Column[_SiteLine] = text_only("verdict", lambda line: verdict_of(line.row), wrap=18)
_SHARE: Column[_SiteLine] = text_only(
    "of run", lambda line: share(line.row.run, line.comparison.baseline) if line.row.price else "", right=True
)
_INTERRUPTS: Column[_SiteLine] = text_only(
    "interrupts", lambda line: "/".join(map(str, line.row.price.interrupts)) if line.row.price else "", right=True
)
_BYTES: Column[_SiteLine] = text_only("bytes", lambda line: str(line.row.site.bytes), right=True)
_MILLION: Column[_SiteLine] = text_only(
    "per million", lambda line: cycles(_per_million(line)) if line.row.price else "", right=True
)

_OF_A_PRICE = ("execution", "far", "stub", "link", "unlink", "relink", "publish", "reuse")

_DOCUMENT: tuple[Column[_SiteLine], ...] = (
    Column("rank", lambda line: line.row.rank),
    Column("site", lambda line: line.row.site.name),
    Column("form", lambda line: line.row.site.form),
    Column("isa", lambda line: line.row.site.isa),
    Column("year", lambda line: line.row.site.year),
    Column("host", lambda line: line.comparison.target.name),
    Column("own", lambda line: line.row.own),
    Column("right", lambda line: line.row.right),
    Column("verdicts", lambda line: {one.scenario: verdict_text(one) for one in line.row.verdicts}, csv=False),
    Column("verdict", lambda line: verdict_of(line.row), json=False),
    Column("rests_on", lambda line: sorted({one.rests_on for one in line.row.verdicts if one.verdict == "fails"})),
    *map(_price, _OF_A_PRICE),
    Column("lingers", lambda line: line.row.price.lingers if line.row.price else None, csv=False),
    Column("unasked", lambda line: line.row.unasked),
    Column("interrupts", lambda line: line.row.price.interrupts if line.row.price else None, csv=False),
    Column("bytes", lambda line: line.row.site.bytes),
    _price("run"),
    Column("per_million", lambda line: _per_million(line).nominal if line.row.price else None, csv=False),
    _price("extra"),
    *map(_nominal, (*_OF_A_PRICE, "run", "extra")),
)


_EACH = ("execution", "link", "unlink", "publish", "reuse")


def _priced(lines: Sequence[_SiteLine]) -> list[Column[_SiteLine]]:
    """The prices that some site has, and what they come to."""
    names = [name for name in _EACH if any((found := cost_of(line.row, name)) and found.terms for line in lines)]
    shown = [_shown(name, name, ranges=False) for name in names]
    return [*shown, _SHARE, _shown("extra", "extra", ranges=True)]


def _prices() -> tuple[list[Column[_SiteLine]], list[Column[_SiteLine]]]:
    """All of them, with ranges, as two tables: for each, and over the run."""
    each = [_RANK, _SITE, *(_shown(name, name, ranges=True) for name in _OF_A_PRICE)]
    run = [_RANK, _SITE, _INTERRUPTS, _BYTES, _shown("run", "run", ranges=True), _SHARE, _MILLION]
    return each, [*run, _shown("extra", "extra", ranges=True)]


def _scenarios(rows: Sequence[PricedSite]) -> list[Column[_SiteLine]]:
    """A column for each scenario."""
    names = dict.fromkeys(one.scenario for row in rows for one in row.verdicts)
    return [text_only(name, partial(_verdict_in, name)) for name in names]


def _verdict_in(scenario: str, line: _SiteLine) -> str:
    found = next((one for one in line.row.verdicts if one.scenario == scenario), None)
    return "" if found is None else found.failure or verdict_text(found)


def counted_here(seen: Seen, row: PricedSite) -> Count | None:
    """The count of the scenarios of a site."""
    return seen.scenarios(row.site.name, [one.scenario for one in row.verdicts])


def _seen_of(seen: Seen, line: _SiteLine) -> Count | None:
    return counted_here(seen, line.row)


def _per_million(line: _SiteLine) -> Cost:
    return line.row.run.times(1e6 / max(line.comparison.workload.through, 1))


def named(row: PricedSite) -> str:
    """The name of a site; one that is not of the library is marked."""
    return f"{row.site.name} *" if row.own else row.site.name


@dataclass(frozen=True, slots=True)
class LinkingReport:
    """Comparisons, one for each host or architecture; as text one table, or the matrix of all, and if ``wide`` both
    with all there is."""

    comparisons: Sequence[SitesComparison]
    wide: bool = False
    seen: Seen | None = None

    @property
    def _columns(self) -> tuple[Column[_SiteLine], ...]:
        return (*_DOCUMENT, *seen_columns(self.seen, _seen_of))

    def document(self) -> dict[str, Any]:
        """One object for each site and host."""
        return {
            "schema": SCHEMA,
            "workload": asdict(self.comparisons[0].workload),
            "linking": [record(self._columns, line) for line in self._lines()],
        }

    def rows(self) -> Rows:
        """The same, one row each."""
        return flat_rows(self._columns, self._lines())

    def text(self, style: str) -> str:
        """The table of one host, or sites by hosts."""
        parts = [about(self.comparisons[0])]
        if len(self.comparisons) > 1:
            parts += _matrices(self.comparisons, style, self.seen)
        if len(self.comparisons) == 1 or self.wide:
            parts += [_comparison(one, style, self.seen, wide=self.wide) for one in self.comparisons]
        parts += map(fill, about_seen(self.seen))
        return "\n\n".join(parts)

    def _lines(self) -> list[_SiteLine]:
        return [_SiteLine(one, row) for one in self.comparisons for row in one.rows]


def about(one: SitesComparison) -> str:
    """What is compared over."""
    work, rates = one.workload, one.workload.rates

    def said(rate: Quantity, what: str) -> str:
        known = f" ({rate.low:.2g}..{rate.high:.2g})" if rate.low < rate.high else ""
        return f"{rate.value:.2g}{known} {what}"

    return fill(
        f"{work.trace}: {work.executions:,} executions, {work.links:,} links, {work.through:,} executions through them "
        f"({work.through / max(work.links, 1):,.0f} for each link); for each link "
        f"{said(rates.unlinks, 'unlinks')}, {said(rates.targets, 'new targets')}, "
        f"{said(rates.reuses, 'reuses of their memory')}."
    )


# --- sites by hosts ---------------------------------------------------------------------------------------------------


def _matrices(comparisons: Sequence[SitesComparison], style: str, seen: Seen | None) -> Iterator[str]:
    """For each instruction set its sites by the hosts that run it."""
    rows = [row for one in comparisons for row in one.rows]
    for isa in dict.fromkeys(row.site.isa for row in rows):
        known = {
            (row.site.name, one.target.name): row for one in comparisons for row in one.rows if row.site.isa == isa
        }
        targets = [one.target for one in comparisons if any(host == one.target.name for _, host in known)]
        names = sorted(dict.fromkeys(site for site, _ in known), key=lambda name: _place([*_of(known, name, targets)]))
        marked = [named(next(_of(known, name, targets))) for name in names]
        cells = {
            target.name: [cell(known.get((name, target.name)), isinstance(target, Host)) for name in names]
            for target in targets
        }
        if seen is not None:
            counts = (counted_here(seen, next(_of(known, name, targets))) for name in names)
            cells["seen here"] = [count.text if count is not None else "" for count in counts]
        for some in packed(max(map(len, marked)), cells):
            body = zip(marked, *(cells[host] for host in some), strict=True)
            yield table([isa, *some], body, style)
    yield fill(
        "A cell: the rank by cycles over this run, 1 for the cheapest that is right, and what it costs more; or the "
        "first scenario that fails, and how. Architectures have no price."
        + (" *: not of the library." if any(row.own for row in rows) else "")
    )
    yield from legend(_told(rows))
    yield from unasked(rows)
    yield fill(f"{_counted(comparisons)}.")


def _of(known: dict[tuple[str, str], PricedSite], name: str, targets: Sequence[Any]) -> Iterator[PricedSite]:
    return (known[name, target.name] for target in targets if (name, target.name) in known)


def _place(rows: Sequence[PricedSite]) -> tuple[Any, ...]:
    """Right on most first, then those that are cheap."""
    return -sum(row.right for row in rows) / len(rows), sum(row.rank for row in rows), rows[0].site.name


def cell(row: PricedSite | None, priced: bool) -> str:
    """A site on a host."""
    if row is None:
        return ""
    verdict = next((one for one in row.verdicts if one.verdict not in ("holds", "n/a")), None)
    if verdict is not None:
        return f"{verdict.scenario} {verdict.failure or verdict.verdict}"
    if not priced:
        return f"holds{marks(row)}"
    extra = middle(row.extra)
    return f"{row.rank}{f' +{extra}' if row.rank > 1 and extra != '0' else ''}{marks(row)}"


def _counted(comparisons: Sequence[SitesComparison]) -> str:
    rows = [row for one in comparisons for row in one.rows]
    sites, right = len({row.site.name for row in rows}), sum(row.right for row in rows)
    return f"{sites} sites on {len(comparisons)} hosts and architectures: {right} of {len(rows)} right"


# --- one host ---------------------------------------------------------------------------------------------------------


def _comparison(one: SitesComparison, style: str, seen: Seen | None, *, wide: bool) -> str:
    priced = isinstance(one.target, Host)
    lines = [_SiteLine(one, row) for row in one.rows]
    title = f"{one.target.name}: {one.target.title}"
    first = [_RANK] if priced else []
    verdict = _scenarios(one.rows) if wide else [_VERDICT]
    columns = (*first, _SITE, *verdict, *seen_columns(seen, _seen_of), *(_priced(lines) if priced and not wide else ()))
    parts = [title, text_table(columns, lines, style)]
    parts += [text_table(columns, lines, style) for columns in _prices()] if priced and wide else []
    if priced:
        parts.append(fill(_MEANS + (_MEANS_WIDE if wide else "")))
    if any(row.price and row.price.lingers for row in one.rows):
        assert isinstance(one.target, Host)
        stubs = one.workload.stubs(one.target)
        parts.append(
            fill(
                "A link that is not flushed is executed once its line comes into the instruction cache anew; until "
                f"then the stub is, {stubs.value:.2g} ({stubs.low:.2g}..{stubs.high:.2g}) times for each link."
            )
        )
    parts += legend(_told(one.rows))
    parts += unasked(one.rows)
    parts += ["*: not of the library."] if any(row.own for row in one.rows) else []
    rests = sorted({verdict.rests_on for row in one.rows for verdict in row.verdicts if verdict.verdict == "fails"})
    parts += [fill(f"What fails rests on {' and '.join(_RESTS_ON[name] for name in rests)}.")] if rests else []
    found = orders(one)
    shown = found if wide else found[:_MOST_ORDERS]
    parts += ["\n".join(fill(text, rest="  ") for text in shown)] if shown else []
    return "\n\n".join(parts)


_MOST_ORDERS = 6
_MEANS = (
    "Cycles: for each execution, link, unlink, new target (publish), and use of a target's memory again (reuse). Of "
    "run: what all of them come to, for each 100 cycles of translated code. Extra: over the cheapest that is right, in "
    "this run."
)
_MEANS_WIDE = (
    " Far: an execution out of reach of a direct branch; stub: one that leads to the stub; relink: an unlink and a "
    "link. Interrupts: other cores, for each link, unlink, new target and reuse."
)

_RESTS_ON = {
    "caches": "the caches of this host",
    "architecture": "what the architecture allows",
    "list": "its list of what may be changed while it may be executed",
}


def orders(one: SitesComparison) -> list[str]:
    """One's own beside its neighbours, then neighbours in rank; from how many executions for each link."""
    if not isinstance(one.target, Host):
        return []
    rows, rates = {row.site.name: row for row in one.rows}, one.workload.rates_on(one.target)
    said = []
    for found in one.pairs:
        cheaper, other = rows[found.first], rows[found.second]
        text = f"{named(cheaper)} against {named(other)}: "
        if found.order == "undecided" and found.deciding is not None:
            text += f"undecided, up to {found.deciding.quantity.name}"
            flips = found.deciding.flips_at
            text += f" (at {flips:.2g} {found.deciding.quantity.unit})" if flips else ""
        else:
            text += {"cheaper": "cheaper, whatever is assumed", "equal": "the same"}.get(found.order, found.order)
        at = break_even(cheaper, other, rates)
        said.append(f"{text}; the same at {at:,.3g} executions for each link." if at is not None else f"{text}.")
    return said
