"""The same environment schedule under several strategies, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.check.cell import Checked
from bench.check.schedule import SameSchedule
from bench.explain import wording
from bench.explain.explanation import RunRow
from bench.report.checks import row_object
from bench.report.report import Column, Rows, flat_rows, record
from bench.report.tables import SCHEMA, Cell, fill, table

_Compared = tuple[Checked, SameSchedule]

_COLUMNS: tuple[Column[_Compared], ...] = (
    Column("failed", lambda pair: pair[0].strategy, json=False),
    Column("host", lambda pair: pair[0].host.name, json=False),
    Column("translator", lambda pair: pair[0].translator, json=False),
    Column("scenario", lambda pair: pair[0].scenario, json=False),
    Column("strategy", lambda pair: pair[1].strategy),
    Column("survives", lambda pair: pair[1].survives),
    Column("beside", lambda pair: [[row_object(row) for row in rows] for rows in pair[1].beside], csv=False),
)


@dataclass(frozen=True, slots=True)
class ScheduleReport:
    """The answer of ``explain --against``: for each counterexample what becomes of the other strategies."""

    found: Sequence[tuple[Checked, Sequence[SameSchedule]]]

    def document(self) -> dict[str, Any]:
        """One object for each counterexample."""
        return {"schema": SCHEMA, "schedules": [_object(failed, others) for failed, others in self.found]}

    def rows(self) -> Rows:
        """One row for each counterexample and other strategy."""
        return flat_rows(_COLUMNS, [(failed, one) for failed, others in self.found for one in others])

    def text(self, style: str) -> str:
        """For each counterexample a table: its rows, and beside each what the others did and what they then hold."""
        return "\n\n".join(_side_by_side(failed, others, style) for failed, others in self.found)


def _object(failed: Checked, others: Sequence[SameSchedule]) -> dict[str, Any]:
    return {
        "strategy": failed.strategy,
        "host": failed.host.name,
        "settings": failed.host.derived,
        "translator": failed.translator,
        "scenario": failed.scenario,
        "counterexample": [row_object(row) for row in failed.rows],
        "against": [record(_COLUMNS, (failed, one)) for one in others],
    }


def _side_by_side(failed: Checked, found: Sequence[SameSchedule], style: str) -> str:
    rows = failed.rows
    headers = ["", failed.strategy, *(one.strategy for one in found)]
    body: list[Sequence[Cell]] = []
    held: list[RunRow | None] = [None] * len(found)
    for number in range(len(rows) + 1):
        cells: list[Cell] = [number + 1, _done((rows[number],), rows[number])] if number < len(rows) else ["", ""]
        for at, one in enumerate(found):
            here = one.beside[number]
            held[at] = here[-1] if here else held[at]
            cells.append(_done(here, held[at]))
        if number < len(rows) or any(cells[2:]):
            body.append(cells)
    widths = dict.fromkeys(range(1, len(headers)), 46)
    text = [f"The same environment schedule, {failed.scenario} on {failed.host.name} with {failed.translator}:", ""]
    text += [table(headers, body, style, wrap=widths), ""]
    text += [fill(_sentence(one)) for one in found]
    text.append(fill("In brackets: instruction cache (of each core), data cache, memory; + ok, x wrong, - absent."))
    return "\n".join(text)


_MARKS = {"ok": "+", "wrong": "x", "absent": "-"}


def _done(done: Sequence[RunRow], held: RunRow | None) -> str:
    if not done or held is None:
        return ""
    icache = "".join(_MARKS[word] for word in held.icache)
    # A write that leaves its target alone has the name of the one that does not.
    what = "; ".join(wording.happened(row.happened, target="wrong" in (row.dcache, *row.buffer)) for row in done)
    return f"{what} [{icache} {_MARKS[held.dcache]} {_MARKS[held.memory]}]"


def _sentence(one: SameSchedule) -> str:
    if not one.survives:
        return f"{one.strategy} fails under this schedule too."
    wrong = any("wrong" in (*row.icache, row.dcache, row.memory) for rows in one.beside for row in rows)
    if not wrong:
        return f"{one.strategy} survives: nothing that could be evicted or fetched was ever wrong."
    return f"{one.strategy} survives: something wrong got as far as the table says, and was replaced before it ran."
