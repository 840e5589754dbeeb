"""Verdicts, with the counterexample of each cell that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.check.cell import Checked
from bench.check.command import command
from bench.explain.explanation import Explanation, RunRow
from bench.explain.follow import Followed
from bench.report import autopsies
from bench.report.report import Column, Rows, flat_rows, record, settings_of, text_table
from bench.report.tables import SCHEMA, Cell, fill, table
from bench.search.outcome import Outcome


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The answers of ``check`` and ``explain``: one cell each.

    As text: a table of verdicts if there are several, and then what fails; every cell instead if it is ``in_depth``.
    """

    results: Sequence[Checked]
    in_depth: bool = False

    def document(self) -> dict[str, Any]:
        """One object for each cell."""
        return {"schema": SCHEMA, "results": [_object(result) for result in self.results]}

    def rows(self) -> Rows:
        """One row for each cell."""
        return flat_rows(_COLUMNS, self.results)

    def text(self, style: str) -> str:
        """A table of verdicts, then for each failing cell its counterexample, and the command that shows it."""
        if self.in_depth or len(self.results) == 1:
            return "\n\n".join(_cell(result, style) for result in self.results)
        shown = [result for result in self.results if result.verdict in ("fails", "bounded")]
        return "\n\n".join((text_table(_COLUMNS, self.results, style), *(_cell(result, style) for result in shown)))


def verdict(result: Checked) -> str:
    """The verdict with what qualifies it."""
    text = result.verdict
    if result.outcome is not None and result.outcome.failure not in ("", "wrong fetch"):
        text += f" ({result.outcome.failure})"
    if result.what_if and result.outcome is not None:
        text += ", what if"
    return text


def _counterexample(result: Checked) -> tuple[RunRow, ...]:
    if result.explanation is None or result.verdict != "fails" or result.followed is not None:
        return ()
    return result.explanation.rows


_COLUMNS: tuple[Column[Checked], ...] = (
    Column("strategy", lambda r: r.strategy, "strategy"),
    Column("host", lambda r: r.host.name, "host"),
    Column("settings", lambda r: r.host.derived, csv=False),
    Column("translator", lambda r: r.translator, "translator"),
    Column("scenario", lambda r: r.scenario, "scenario"),
    Column("hazard", lambda r: r.options.hazard),
    Column("what_if", lambda r: r.what_if),
    Column("verdict", lambda r: r.verdict, "verdict", verdict),
    Column("reason", lambda r: r.outcome.failure if r.outcome else r.reason),
    Column(
        "rows",
        lambda r: len(_counterexample(r)),
        "rows",
        lambda r: len(_counterexample(r)) or None,
        right=True,
        json=False,
    ),
    Column(
        "depth",
        lambda r: r.outcome.depth if r.outcome else 0,
        "steps",
        lambda r: r.outcome.depth if r.outcome else None,
        right=True,
    ),
    Column(
        "states",
        lambda r: r.outcome.states if r.outcome else 0,
        "states",
        lambda r: f"{r.outcome.states:,}" if r.outcome else None,
        right=True,
    ),
    Column("symmetry", lambda r: r.outcome.symmetry if r.outcome else 1, csv=False),
    Column("witness", lambda r: bool(r.outcome and r.outcome.witness)),
)

_OPTIONS = (
    "start",
    "layout",
    "offset",
    "cores",
    "tbs",
    "retranslations",
    "flushes",
    "accesses",
    "guest_bits",
    "units",
    "speculation",
)


def _object(result: Checked) -> dict[str, Any]:
    found: dict[str, Any] = {
        **record(_COLUMNS, result),
        **{name: getattr(result.options, name) for name in _OPTIONS},
        "counterexample": [row_object(row) for row in _counterexample(result)],
        "watched": None,
        "consequences": [
            {"when": each.when, "harm": each.harm, "what": each.what, "sees": each.sees} for each in result.consequences
        ],
        "command": command(result),
    }
    if result.explanation is not None and result.explanation.watched is not None:
        watched = result.explanation.watched
        found["watched"] = {
            "tb": watched.tb,
            "offset": watched.offset,
            "final": f"{watched.final:#x}",
            "instruction": watched.instruction,
            "fetched": f"{watched.fetched:#x}" if watched.fetched is not None else None,
        }
    if result.autopsy is not None:
        found["autopsy"] = autopsies.as_object(result.autopsy)
    if result.followed is not None:
        found["followed"] = _followed_object(result, result.followed)
    return found


def _followed_object(result: Checked, followed: Followed) -> dict[str, Any]:
    rows = result.explanation.rows if result.explanation is not None else ()
    return {
        "events": [
            {"event": event.source, "row": row}
            for event, row in zip(result.options.follow, _event_rows(result), strict=True)
        ],
        "found": followed.reached == len(result.options.follow),
        "complete": followed.complete,
        "run": [row_object(row) for row in rows],
    }


def _event_rows(result: Checked) -> list[int | None]:
    """For each event asked for, the number (from 1) of the row in which it happens; None if it does not."""
    assert result.followed is not None
    rows = result.explanation.rows if result.explanation is not None else ()
    ends: list[int] = []
    for row in rows:
        ends.append((ends[-1] if ends else 0) + row.steps)
    found: list[int | None] = [next(n for n, end in enumerate(ends, 1) if at < end) for at in result.followed.at]
    return found + [None] * (len(result.options.follow) - len(found))


def row_object(row: RunRow) -> dict[str, Any]:
    """A row of a counterexample in JSON."""
    found: dict[str, Any] = {"actor": row.actor, "core": row.core, "operation": row.operation}
    for name, words in (("icache", row.icache), ("ahead", row.ahead), ("buffer", row.buffer)):
        for core, word in enumerate(words):
            found[name if len(words) == 1 else f"{name}{core}"] = word
    for core, instruction in enumerate(row.fetches):
        found["fetches" if len(row.fetches) == 1 else f"fetches{core}"] = instruction
    return {
        **found,
        "reads": row.reads,
        "dcache": row.dcache,
        "memory": row.memory,
        "steps": row.steps,
        "because": row.because,
    }


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
        lines += _explained(
            result.explanation, style, actors=len(_actors(result)) > 1, many=len(result.explanation.rows) > 0
        )
    if result.consequences:
        lines += ["", "What that does:"]
        lines += [fill(each.text, first="- ", rest="  ") for each in result.consequences]
    if result.autopsy is not None:
        lines += autopsies.as_lines(result.autopsy, style)
    if outcome.verdict == "fails":
        lines += ["", f"Show it again: {command(result)}"]
    return "\n".join(lines)


def _actors(result: Checked) -> set[str]:
    rows = result.explanation.rows if result.explanation is not None else ()
    return {row.actor for row in rows if row.actor != "environment"}


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


def _explained(explanation: Explanation, style: str, *, actors: bool, many: bool) -> list[str]:
    rows = explanation.rows
    lines = []
    if explanation.watched is not None and many:
        watched = explanation.watched
        lines.append(f"The caches as they hold {watched.name}, {watched.instruction}:")
    if many:
        headers = ["", *(["actor"] if actors else []), "operation", *_cache_headers(rows)]
        body: list[tuple[Cell, ...]] = [
            (number, *([row.actor] if actors else []), row.operation, *_cache_words(row, rows))
            for number, row in enumerate(rows, 1)
        ]
        lines += ["", table(headers, body, style, right=(0,)), ""]
        lines += [fill(row.because, first=f"{number:>3}. ", rest=" " * 5) for number, row in enumerate(rows, 1)]
    if explanation.closing:
        lines.append(explanation.closing)
    return lines


def _columns(rows: Sequence[RunRow]) -> list[str]:
    """The per-core columns worth showing: what is fetched ahead, or buffered, only where it ever matters."""
    return ["icache"] + [
        name for name in ("ahead", "buffer") if any(word != "absent" for row in rows for word in getattr(row, name))
    ]


def _cache_headers(rows: Sequence[RunRow]) -> list[str]:
    names = {"icache": "icache", "ahead": "fetched ahead", "buffer": "store buffer"}
    headers = []
    for column in _columns(rows):
        cores = len(getattr(rows[0], column))
        headers += (
            [names[column]]
            if cores == 1
            else [f"{names[column]} {core}".replace("icache ", "icache") for core in range(cores)]
        )
    return [*headers, "dcache", "mem/L2"]


def _cache_words(row: RunRow, rows: Sequence[RunRow]) -> list[str]:
    return [word for column in _columns(rows) for word in getattr(row, column)] + [row.dcache, row.memory]
