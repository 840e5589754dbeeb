"""The page of a sweep: who wins where, drawn and as tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from bench.compare.sweep import SweptCell
from bench.hosts import Host
from bench.replay.parameters import Parameters
from bench.report.charts.sweeps import TITLES, colours_of, is_drawable, of_host
from bench.report.page.elements import NUMBER, amount, answers, cell, figure, folded, head, line, page, reproduce, table
from bench.report.sweeps import DECIDED, SweepReport, winner
from bench.traces.trace import Trace

_MOST = 2000
"""Cells of a host that are shown one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPage(SweepReport):
    """A sweep as a page for a browser, with all that makes it again."""

    trace: Trace
    parameters: Parameters
    hosts: Sequence[Host]

    def text(self, style: str) -> str:
        """The whole file."""
        names = ", ".join(dict.fromkeys(name for name, _ in self.by_host()))
        heads, rows = self.winners()
        filters = {"host": list(dict.fromkeys(host for host, *_ in rows))}
        lines = (
            f'<tr data-host="{escape(host)}"><th scope="row" data-label="host">{escape(host)}</th>'
            f"{''.join(map(_labelled, heads[1:], others))}</tr>"
            for host, *others in rows
        )
        title = "Who is cheapest of those that are right"
        results = answers(title, map(head, heads), lines, caption=DECIDED, name="Who is cheapest")
        again = reproduce(self.hosts, self.trace, self.parameters.seed)
        return page(
            f"Staleline: a sweep on {names}",
            f"<p>{escape(self.summary())} Over {escape(self.trace.name)}.</p>",
            "\n".join(results),
            "\n".join(itertools.chain(self._drawn(), again)),
            {"filters": filters, "cells": []},
        )

    def _drawn(self) -> Iterator[str]:
        colours = colours_of(self.cells)
        drawable = is_drawable(self.axes)
        for name, cells in self.by_host():
            yield f"<h2>{escape(name)}</h2>"
            if drawable:
                drawn = partial(of_host, cells, self.axes, colours)
                yield figure(drawn, _CURVES if len(self.axes) == 1 else _MAP)
            if self.axes and len(cells) <= _MOST:
                yield folded("The same as a table", self._every(name, cells))

    def _every(self, name: str, cells: Sequence[SweptCell]) -> str:
        """Each cell: who is cheapest, whether that is decided, and what it costs."""
        heads = (
            *(head(TITLES.get(axis.name, axis.name), NUMBER) for axis in self.axes),
            *map(head, ("cheapest that is right", "decided")),
            head("overhead, % of the baseline", NUMBER),
        )
        first = self.axes[0].name
        lines = (
            line(
                one.at[first],
                *(cell(one.at[axis.name]) for axis in self.axes[1:]),
                *(cell(winner(one)), cell("yes" if one.decided else "no")),
                amount(share := 100 * next((row.share for row in one.rows if row.right), 0.0), f"{share:.3g}")
                if one.winner
                else cell(""),
            )
            for one in cells
        )
        return table(heads, lines, name=f"Every cell on {name}")


_CURVES = (
    "A curve is what one costs with every quantity that is no axis at its value; its colour behind: who is cheapest."
)
_MAP = "A colour is who is cheapest with every quantity that is no axis at its value; pale: that is not decided."


def _labelled(name: str, text: str) -> str:
    return f'<td data-label="{escape(name)}">{escape(text)}</td>'
