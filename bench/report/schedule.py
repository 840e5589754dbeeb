"""The same environment schedule under several strategies, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from bench.check.cell import Checked
from bench.check.schedule import SameSchedule
from bench.explain import wording
from bench.explain.explanation import Row
from bench.report.tables import Cell, fill, table


def as_text(failed: Checked, found: Sequence[SameSchedule], style: str) -> str:
    """One table: the counterexample's rows, and beside each what the others did and what their caches then hold."""
    assert failed.explanation is not None
    rows = failed.explanation.rows
    headers = ["", failed.strategy, *(one.strategy for one in found)]
    body: list[Sequence[Cell]] = []
    held: list[Row | None] = [None] * len(found)
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


def _done(done: Sequence[Row], held: Row | None) -> str:
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
