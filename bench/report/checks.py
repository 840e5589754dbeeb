"""Verdicts, with the counterexample of each cell that fails."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.check.cell import Checked
from bench.check.command import command
from bench.explain.explanation import ENVIRONMENT, Explanation, Residency, RunRow
from bench.explain.follow import Followed
from bench.report import autopsies
from bench.report.report import Column, Rows, attributes, flat_rows, record, settings_of, text_table
from bench.report.seen import seen_columns
from bench.report.tables import SCHEMA, Cell, fill, table
from bench.search.outcome import Outcome
from bench.silicon.seen import Count, Seen


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The answers of ``check`` and ``explain``: one cell each.

    As text: a table of verdicts if there are several, and then what fails; every cell instead if it is ``in_depth``.
    """

    results: Sequence[Checked]
    in_depth: bool = False
    seen: Seen | None = None

    @property
    def _columns(self) -> tuple[Column[Checked], ...]:
        return (*_COLUMNS, *seen_columns(self.seen, _seen_of))

    def document(self) -> dict[str, Any]:
        """One object for each cell."""
        return {
            "schema": SCHEMA,
            "results": [{**record(self._columns, one), **_looked_into(one)} for one in self.results],
        }

    def rows(self) -> Rows:
        """One row for each cell."""
        return flat_rows(self._columns, self.results)

    def text(self, style: str) -> str:
        """A table of verdicts, then for each failing cell its counterexample, and the command that shows it."""
        if self.in_depth or len(self.results) == 1:
            return "\n\n".join(_cell(result, style) for result in self.results)
        shown = [result for result in self.results if result.verdict in ("fails", "bounded")]
        return "\n\n".join(
            (text_table(self._columns, self.results, style), *(_cell(result, style) for result in shown))
        )


def _seen_of(seen: Seen, result: Checked) -> Count | None:
    return seen.of(result.strategy, result.scenario)


def verdict(result: Checked) -> str:
    """The verdict with what qualifies it."""
    text = result.verdict
    if result.outcome is not None and result.outcome.failure not in ("", "wrong fetch"):
        text += f" ({result.outcome.failure})"
    if result.what_if and result.outcome is not None:
        text += ", what if"
    return text


def cell_title(result: Checked) -> str:
    """What a cell is of, in words."""
    cell = f"{result.strategy} on {result.host.name} with {result.translator}"
    return f"{cell}, {result.scenario}, {result.options.hazard} hazard"


def watched_text(explanation: Explanation | None) -> str:
    """Which unit the rows follow, in words; empty if none."""
    watched = explanation.watched if explanation is not None else None
    return f"The caches as they hold {watched.name}, {watched.instruction}" if watched is not None else ""


def counterexample(result: Checked) -> tuple[RunRow, ...]:
    """The rows of the counterexample; none if there is none."""
    return result.rows if result.verdict == "fails" and result.followed is None else ()


def _watched(result: Checked) -> dict[str, Any] | None:
    watched = result.explanation.watched if result.explanation is not None else None
    if watched is None:
        return None
    return {
        "tb": watched.tb,
        "offset": watched.offset,
        "final": f"{watched.final:#x}",
        "instruction": watched.instruction,
        "fetched": f"{watched.fetched:#x}" if watched.fetched is not None else None,
    }


def _number(name: str, *, otherwise: int, heading: str | None = None, csv: bool = True) -> Column[Checked]:
    """A number of the outcome."""
    return Column(
        name,
        lambda r: getattr(r.outcome, name, otherwise),
        heading,
        lambda r: f"{getattr(r.outcome, name):,}" if r.outcome else None,
        right=True,
        csv=csv,
    )


_OPTIONS = (
    *("start", "layout", "offset", "cores", "tbs", "retranslations", "flushes"),
    *("accesses", "guest_bits", "units", "speculation"),
)

_COLUMNS: tuple[Column[Checked], ...] = (
    Column("strategy", lambda r: r.strategy, "strategy"),
    Column("host", lambda r: r.host.name, "host"),
    Column("settings", lambda r: r.host.derived, csv=False),
    *attributes("translator", "scenario", shown=True),
    *attributes("options.hazard", "what_if"),
    Column("verdict", lambda r: r.verdict, "verdict", verdict),
    Column("reason", lambda r: r.outcome.failure if r.outcome else r.reason),
    Column(
        "rows",
        lambda r: len(counterexample(r)),
        "rows",
        lambda r: len(counterexample(r)) or None,
        right=True,
        json=False,
    ),
    _number("depth", otherwise=0, heading="steps"),
    _number("states", otherwise=0, heading="states"),
    _number("symmetry", otherwise=1, csv=False),
    Column("witness", lambda r: bool(r.outcome and r.outcome.witness)),
    *attributes(*(f"options.{name}" for name in _OPTIONS), csv=False),
    Column("counterexample", lambda r: [row_object(row) for row in counterexample(r)], csv=False),
    Column("watched", _watched, csv=False),
    Column(
        "consequences",
        lambda r: [{name: getattr(one, name) for name in ("when", "harm", "what", "sees")} for one in r.consequences],
        csv=False,
    ),
    Column("command", command, csv=False),
)


def _looked_into(result: Checked) -> dict[str, Any]:
    """What ``explain`` adds, where it was asked for."""
    found: dict[str, Any] = {}
    if result.autopsy is not None:
        found["autopsy"] = autopsies.as_object(result.autopsy)
    if result.followed is not None:
        events = zip(result.options.follow, _event_rows(result), strict=True)
        found["followed"] = {
            "events": [{"event": event.source, "row": row} for event, row in events],
            "found": result.followed.reached == len(result.options.follow),
            "complete": result.followed.complete,
            "run": [row_object(row) for row in result.rows],
        }
    return found


def _event_rows(result: Checked) -> list[int | None]:
    """For each event asked for, the number (from 1) of the row in which it happens; None if it does not."""
    assert result.followed is not None
    ends = list(itertools.accumulate(row.steps for row in result.rows))
    found: list[int | None] = [next(n for n, end in enumerate(ends, 1) if at < end) for at in result.followed.at]
    return found + [None] * (len(result.options.follow) - len(found))


def row_object(row: RunRow) -> dict[str, Any]:
    """A row of a counterexample in JSON."""
    found: dict[str, Any] = {"actor": row.actor, "core": row.core, "operation": row.operation}
    for name, words in (("icache", row.icache), ("ahead", row.ahead), ("buffer", row.buffer)):
        for core, word in enumerate(words):
            found[name if len(words) == 1 else f"{name}{core}"] = word
    for core, value in enumerate(row.fetches):
        found["fetches" if len(row.fetches) == 1 else f"fetches{core}"] = value.text
    found["reads"] = row.reads.text if row.reads is not None else ""
    return found | {name: getattr(row, name) for name in ("dcache", "memory", "steps", "because")}


def _states(outcome: Outcome) -> str:
    text = f"{outcome.states:,} states"
    if outcome.symmetry > 1:
        text += f" (each for up to {outcome.symmetry:,}, with like blocks and cores swapped)"
    return text


def _cell(result: Checked, style: str) -> str:
    options, outcome = result.options, result.outcome
    title = f"{result.strategy} on {result.host.name}{settings_of(result.host)}"
    title += f" with {result.translator}, scenario {result.scenario}, {options.hazard} hazard: {verdict(result)}"
    if outcome is None:
        return f"{title}: {result.reason}"
    lines = [title]
    if result.what_if:
        lines.append(f"Hypothetical: {result.host.name} does not run what {result.translator} emits.")
    if outcome.verdict == "holds":
        lines.append(
            f"All {_states(outcome)} explored, {outcome.depth} steps deep; on some path every retranslation "
            f"completes and the TB then runs."
        )
    elif outcome.verdict == "bounded":
        lines.append(
            f"Cut short after {_states(outcome)}; every run of {outcome.depth} steps is among them. "
            f"Neither right nor wrong: raise --max-states."
        )
    if result.followed is not None:
        lines += _followed_lines(result, result.followed)
    if result.explanation is not None:
        lines += _explained(result.explanation, style)
    if result.consequences:
        lines += ["", "What that does:"]
        lines += [fill(each.text, first="- ", rest="  ") for each in result.consequences]
    if result.autopsy is not None:
        lines += autopsies.as_lines(result.autopsy, style)
    if outcome.verdict == "fails":
        lines += ["", f"Show it again: {command(result)}"]
    return "\n".join(lines)


def _followed_lines(result: Checked, followed: Followed) -> list[str]:
    wanted = result.options.follow
    lines = [""]
    for number, (event, row) in enumerate(zip(wanted, _event_rows(result), strict=True), 1):
        lines.append(f"  event {number}: {event.source:<28} {'row ' + str(row) if row else 'not reached'}")
    if followed.reached == len(wanted):
        lines.append(f"All {len(wanted)} events, in order; the shortest such run, wrong executions not stopping it:")
    else:
        stopped = wanted[followed.reached]
        how = "cannot happen after the events before it" if followed.complete else "was not found before the limit"
        lines.append(
            f"Event {followed.reached + 1} of {len(wanted)} ({stopped.source}) {how}: "
            f"{followed.states:,} states searched. The shortest run as far as it goes:"
        )
    return lines


def _explained(explanation: Explanation, style: str) -> list[str]:
    rows, lines = explanation.rows, []
    if rows:
        if text := watched_text(explanation):
            lines.append(f"{text}:")
        told = len({row.actor for row in rows} - {ENVIRONMENT}) > 1
        columns: dict[str, Iterable[Cell]] = {
            "": range(1, len(rows) + 1),
            **({"actor": [row.actor for row in rows]} if told else {}),
            "operation": [row.operation for row in rows],
            **dict(zip(place_names(rows), (words for _, _, words in places(rows)), strict=True)),
        }
        lines += ["", table(list(columns), zip(*columns.values(), strict=True), style, right=(0,)), ""]
        lines += [fill(row.because, first=f"{number:>3}. ", rest=" " * 5) for number, row in enumerate(rows, 1)]
    if explanation.closing:
        lines.append(explanation.closing)
    return lines


_PLACES = {
    "icache": "icache{}",
    "ahead": "fetched ahead {}",
    "buffer": "store buffer {}",
    "dcache": "dcache",
    "memory": "mem/L2",
}


def places(rows: Sequence[RunRow]) -> Iterator[tuple[str, str, Sequence[Residency]]]:
    """The places worth showing, with the core where there are several, and what they hold row by row.

    What is fetched ahead, or buffered, is worth it only where it ever matters.
    """
    for place in ("icache", "ahead", "buffer"):
        cores = list(zip(*(getattr(row, place) for row in rows), strict=True))
        if place == "icache" or any(word != "absent" for words in cores for word in words):
            yield from ((place, str(core) if len(cores) > 1 else "", words) for core, words in enumerate(cores))
    yield "dcache", "", [row.dcache for row in rows]
    yield "memory", "", [row.memory for row in rows]


def place_names(rows: Sequence[RunRow]) -> list[str]:
    """What those places are called."""
    return [_PLACES[place].format(core).rstrip() for place, core, _ in places(rows)]
