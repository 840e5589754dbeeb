"""The page: text and tables that need no script to be read, and the data that the script steps through."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html import escape
from operator import attrgetter
from typing import Any

from bench.check.cell import Checked
from bench.check.command import command
from bench.compare.breakeven import BreakEven, break_evens
from bench.compare.comparison import Compared, Comparison
from bench.compare.rate import rates
from bench.explain.explanation import Residency, RunRow
from bench.replay.parameters import Parameters
from bench.replay.replay import Replayed
from bench.report.charts.comparisons import changing, deciding, parts, prices, tradeoff
from bench.report.checks import cell_title, counterexample, places, verdict, watched_text
from bench.report.comparisons import CompareReport
from bench.report.costs import PARTS, cycles, memory, number, percents, share
from bench.report.page.counterexamples import closed, opens
from bench.report.page.elements import NUMBER, amount, answers, cell, figure, folded, head, line, page, reproduce, table
from bench.report.report import settings_of
from bench.report.seen import about_seen, seen_of
from bench.report.sensitivities import extra_swings, rate_sentences
from bench.report.sentences import mark, sentences
from bench.silicon.seen import Count, Seen
from bench.traces.trace import Trace

_WORDS = {"ok": "ok", "wrong": "\u2717 wrong", "absent": "\u2013"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PageReport(CompareReport):
    """A comparison as a page for a browser, with all that makes it again."""

    trace: Trace
    parameters: Parameters

    def text(self, style: str) -> str:
        """The whole file."""
        compared = [comparison for comparison in self.comparisons if comparison.rows]
        title = "Staleline: " + ", ".join(dict.fromkeys(f"{one.host.name} with {one.translator}" for one in compared))
        sections = (
            *(_words(compared), _tradeoff(compared), _parts(compared), _prices(compared)),
            *([_sensitivity(compared)] if self.sensitivity else []),
            _counterexamples(compared),
            reproduce([one.host for one in compared], self.trace, self.parameters.seed),
        )
        return page(
            title,
            "\n".join(_summary(compared)),
            "\n".join(_results(compared, self.seen)),
            "\n".join(itertools.chain.from_iterable(sections)),
            _data(compared),
        )


# --- words ----------------------------------------------------------------------------------------------------------


def _summary(compared: Sequence[Comparison]) -> Iterable[str]:
    for comparison in compared:
        host = f"{comparison.host.title}{settings_of(comparison.host)}"
        text = f"{host} with {comparison.translator}, replaying {comparison.trace}."
        if comparison.what_if:
            text += f" Hypothetical: {comparison.host.name} does not run what {comparison.translator} emits."
        yield f"<p>{escape(text)}</p>"


def _words(compared: Sequence[Comparison]) -> Iterable[str]:
    yield "<h2>In words</h2>"
    for comparison in compared:
        yield f"{_where(comparison)}<ul>{''.join(f'<li>{escape(text)}</li>' for text in sentences(comparison))}</ul>"


def _id(result: Checked) -> str:
    hazard = "" if result.options.hazard == "transient" else f"/{result.options.hazard}"
    return f"{result.strategy}/{result.host.name}/{result.translator}/{result.scenario}{hazard}"


# --- the table ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Column:
    """A column of the main table: its ``cell`` is attributes and HTML; ``head`` are those of its heading."""

    name: str
    cell: Callable[[Comparison, Compared], tuple[str, str]]
    head: str = ""

    def of(self, comparison: Comparison, row: Compared) -> str:
        """The cell, which says what it is of where a row is shown as a card."""
        attributes, inside = self.cell(comparison, row)
        kind, scope = ("th", ' scope="row"') if self.name == "strategy" else ("td", "")
        return f'<{kind}{scope} data-label="{escape(self.name)}"{attributes}>{inside}</{kind}>'


def _columns(compared: Sequence[Comparison], seen: Seen | None) -> Iterator[_Column]:
    rows = [row for one in compared for row in one.rows]
    yield _Column("rank", _rank)
    yield _Column("strategy", lambda _, row: ("", escape(" = ".join(row.names))))
    if len({one.host.name for one in compared}) > 1:
        yield _Column("host", lambda one, _: ("", escape(one.host.name)))
    if len({one.translator for one in compared}) > 1:
        yield _Column("translator", lambda one, _: ("", escape(one.translator)))
    yield from (_scenario(place, result.scenario) for place, result in enumerate(rows[0].checks))
    if any(row.lasting is not None for row in rows):
        yield _Column("lasting", lambda _, row: _verdict(row.lasting))
    if any(row.partial.verdict not in ("holds", "n/a") for row in rows):
        yield _Column("partial", lambda _, row: _verdict(row.partial))
    if seen is not None:
        yield _Column("seen here", lambda _, row: _seen(seen_of(seen, row)), NUMBER)
    yield _cost("extra, cycles", lambda row: (row.extra.nominal, cycles(row.extra)))
    yield _cost("overhead, cycles", lambda row: (row.cost.overhead.nominal, cycles(row.cost.overhead)))
    yield _cost("share", lambda row: _share(row.cost))
    yield _cost("memory", lambda row: (row.cost.side_bytes, memory(row.cost.side_bytes)))


def _scenario(place: int, name: str) -> _Column:
    head = f' data-scenario="{escape(name)}"'
    return _Column(name, lambda _, row: _verdict(row.checks[place]), head)


def _cost(name: str, of: Callable[[Compared], tuple[float, str]]) -> _Column:
    def cell(_: Comparison, row: Compared) -> tuple[str, str]:
        value, text = of(row)
        return f'{NUMBER} data-sort="{value}"', escape(text)

    return _Column(name, cell, NUMBER)


def _share(cost: Replayed) -> tuple[float, str]:
    return cost.overhead.nominal * percents(cost.baseline), share(cost.overhead, cost.baseline)


def _rank(comparison: Comparison, row: Compared) -> tuple[str, str]:
    kind = "holds" if row.right else "fails" if row.wrong else "absent"
    return f' class="{kind}" data-sort="{row.rank or 99}"', mark(comparison, row)


def _verdict(result: Checked | None) -> tuple[str, str]:
    if result is None:
        return "", ""
    rows = counterexample(result)
    if rows:
        return opens(_id(result), len(rows), f"FAILS {len(rows)}")
    return closed(result.verdict, verdict(result))


def _seen(count: Count | None) -> tuple[str, str]:
    return (NUMBER, "") if count is None else (f'{NUMBER} data-sort="{count.wrong}"', escape(count.text))


def _results(compared: Sequence[Comparison], seen: Seen | None) -> Iterable[str]:
    columns = [*_columns(compared, seen)]
    return answers(
        "Verdicts and costs",
        (head(column.name, column.head) for column in columns),
        (
            f'<tr data-host="{escape(one.host.name)}" data-translator="{escape(one.translator)}">'
            f"{''.join(column.of(one, row) for column in columns)}</tr>"
            for one in compared
            for row in one.rows
        ),
        caption=" ".join(
            (
                "FAILS opens the shortest counterexample, of so many rows. Costs: over the whole trace, nominal "
                "(lowest..highest).",
                *about_seen(seen),
            )
        ),
    )


# --- drawings -------------------------------------------------------------------------------------------------------


def _tradeoff(compared: Sequence[Comparison]) -> Iterable[str]:
    yield "<h2>Right or wrong, and what it costs</h2>"
    for comparison in compared:
        yield _where(comparison)
        yield figure(
            partial(tradeoff, comparison),
            f"Cost: the cycles beyond those of {comparison.over}, as a share of the baseline at its nominal value; a "
            f"mark is nominal, its bar goes from the lowest to the highest. Left of 0 it is cheaper.",
        )


def _where(comparison: Comparison) -> str:
    return f"<h3>{escape(comparison.host.name)} with {escape(comparison.translator)}</h3>"


def _parts(compared: Sequence[Comparison]) -> Iterable[str]:
    yield "<h2>What the overhead is made of</h2>"
    for comparison in compared:
        yield _where(comparison)
        yield figure(partial(parts, comparison))
        rows = (
            line(row.strategy, *(amount(cost.nominal, cycles(cost)) for cost in attrgetter(*PARTS)(row.cost)))
            for row in comparison.rows
        )
        heads = (head("strategy"), *(head(part.replace("_", " "), NUMBER) for part in PARTS))
        where = f"Parts of the overhead on {comparison.host.name} with {comparison.translator}"
        yield folded("The same with ranges", table(heads, rows, name=where))


def _prices(compared: Sequence[Comparison]) -> Iterable[str]:
    yield "<h2>Break-even: for which price does the order of the right strategies change?</h2>"
    for comparison in compared:
        yield _where(comparison)
        yield from (figure(partial(prices, one, comparison)) for one in changing(comparison))
        found = break_evens(comparison)
        for one in found:
            yield f"<p>The price of a {escape(one.what)}: {escape(told(one))}</p>"
        if not found:
            yield "<p>No price of a line flush or of a lock changes the order of right ones.</p>"


def _sensitivity(compared: Sequence[Comparison]) -> Iterable[str]:
    yield "<h2>What decides: the rate of retranslations, and each assumption by itself</h2>"
    for comparison in compared:
        yield _where(comparison)
        if found := rates(comparison):
            yield from (f"<p>{escape(text)}</p>" for text in rate_sentences(comparison.trace, found))
        for names, extra, swings in extra_swings(comparison):
            what = f"What decides what {names} adds to {comparison.over}"
            yield figure(partial(deciding, comparison, names, extra, swings), f"{what}, each quantity by itself.")
            heads = (head("quantity"), *(head(name, NUMBER) for name in _ENDS))
            rows = (
                line(
                    f"{one.quantity}, {one.low:g}..{one.high:g} {one.unit}",
                    *(amount(value, number(value)) for value in (one.at_low, one.at_high, one.width)),
                )
                for one in swings
            )
            yield folded(f"{names}: the same as a table", table(heads, rows, name=f"{what} on {comparison.host.name}"))


_ENDS = ("at its low end", "at its high end", "changes it by")


def told(found: BreakEven) -> str:
    """What a break-even says, in words."""
    low, nominal, high = found.here
    here = f"{number(nominal)} cycles ({number(low)}..{number(high)})" if low < high else f"{number(nominal)} cycles"
    if len(found.segments) == 1:
        text = f"At every price {' = '.join(found.segments[0].cheapest)} is the cheapest that is right."
    else:
        parts = []
        for segment in found.segments:
            end = "on" if segment.high is None else f"to {number(segment.high)}"
            parts.append(f"from {number(segment.low)} {end} {' = '.join(segment.cheapest)}")
        text = f"Cheapest that is right, by the price in cycles: {'; '.join(parts)}."
    text += f" On this host it is {here}."
    inside = [crossing for crossing in found.crossings if low <= crossing.price <= high]
    said = "; ".join(
        f"{crossing.dearer} becomes dearer than {crossing.cheaper} at {number(crossing.price)}"
        for crossing in found.crossings[:5]
    )
    more = f" (and {len(found.crossings) - 5} more)" if len(found.crossings) > 5 else ""
    range_says = "within" if inside else "none within"
    return f"{text} {said}{more}: {range_says} the range of this host's price."


# --- counterexamples, for print and without a script ------------------------------------------------------------------


def _failing(compared: Sequence[Comparison]) -> list[Checked]:
    return [result for one in compared for row in one.rows for result in row.every if counterexample(result)]


def _counterexamples(compared: Sequence[Comparison]) -> Iterable[str]:
    yield "<h2>Counterexamples, as tables</h2>"
    for result in _failing(compared):
        rows = counterexample(result)
        held = [(place, core, words) for place, core, words in places(rows) if place not in ("ahead", "buffer")]
        names = (f"{place} {core}".rstrip() for place, core, _ in held)
        said = f"{watched_text(result.explanation)}. Again: "
        again = f'<p class="soft">{escape(said)}<code>{escape(command(result))}</code></p>'
        lines = (
            line(
                at,
                cell(row.actor),
                f'<td>{escape(row.operation)}<br><span class="soft">{escape(row.because)}</span></td>',
                *(f'<td class="{word}">{_WORDS[word]}</td>' for word in words),
            )
            for at, (row, *words) in enumerate(zip(rows, *(words for _, _, words in held), strict=True), 1)
        )
        heads = map(head, ("row", "actor", "operation", *names))
        yield folded(f"{cell_title(result)}: {len(rows)} rows", again, table(heads, lines, name=cell_title(result)))


def _data(compared: Sequence[Comparison]) -> dict[str, Any]:
    """What the script steps through and filters by."""
    return {
        "filters": {
            "host": list(dict.fromkeys(one.host.name for one in compared)),
            "translator": list(dict.fromkeys(one.translator for one in compared)),
            "scenario": [result.scenario for result in compared[0].rows[0].checks],
        },
        "cells": [
            {
                "id": _id(result),
                "title": cell_title(result),
                "watched": f"{watched_text(result.explanation)}.",
                "lanes": list(_lanes(counterexample(result))),
                "steps": list(_steps(counterexample(result))),
            }
            for result in _failing(compared)
        ],
    }


def _lanes(rows: Sequence[RunRow]) -> Iterator[dict[str, Any]]:
    """What each actor does and what each place holds, row by row: a text, and the word that it stands for."""
    for actor in sorted({row.actor for row in rows}):
        yield {"name": actor, "cells": [[row.operation if row.actor == actor else "", ""] for row in rows]}
    for place, core, words in places(rows):
        yield {"name": _LANES[place].format(core).rstrip(), "cells": [[_WORDS[word], word] for word in words]}


_LANES = {
    "icache": "instruction cache {}",
    "ahead": "fetched ahead {}",
    "buffer": "store buffer {}",
    "dcache": "data cache",
    "memory": "memory / L2",
}


def _steps(rows: Sequence[RunRow]) -> Iterator[dict[str, Any]]:
    """Each row as a sentence, and what would be read of the unit then."""
    for at, row in enumerate(rows, 1):
        yield {
            "text": f"Step {at} of {len(rows)}, {row.actor}: {row.operation}. {row.because}",
            "beside": [*_beside(row)],
        }


def _beside(row: RunRow) -> Iterator[tuple[str, str, Residency, str]]:
    """Who would read the unit, what, whether that is the final value, and a remark."""
    if row.reads is None:
        return
    for core, value in enumerate(row.fetches):
        who = f"Core {core} would fetch" if len(row.fetches) > 1 else "The core would fetch"
        remark = "" if value == row.reads else "not what a debugger reads"
        yield who, value.text, "ok" if value.final else "wrong", remark
    yield "A debugger reads", row.reads.text, "ok" if row.reads.final else "wrong", ""
