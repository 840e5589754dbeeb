"""The page of a sweep: who wins where, drawn and as tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from html import escape

from bench.compare.axes import Axis
from bench.compare.sweep import Judged, SweptCell
from bench.hosts import Host
from bench.replay.parameters import Parameters
from bench.report.charts.sweeps import TITLES, colours_of, is_drawable, of_host
from bench.report.page.elements import NUMBER, amount, cell, figure, folded, head, line, page, reproduce, table
from bench.report.sweeps import DECIDED, SweepReport, winner
from bench.traces.trace import Trace

_MOST = 2000
"""Cells of a host that are shown one by one."""


class SweepPage(SweepReport):
    """A sweep as a page for a browser, with all that makes it again."""

    def __init__(
        self,
        cells: Sequence[SweptCell],
        judged: Sequence[Judged],
        axes: Sequence[Axis],
        *,
        reused: int,
        trace: Trace,
        parameters: Parameters,
        hosts: Sequence[Host],
    ) -> None:
        super().__init__(cells, judged, axes, reused=reused)
        self._trace, self._parameters, self._hosts = trace, parameters, hosts

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
        results = (
            '<h2>Who is cheapest of those that are right</h2><div id="filters" class="filters"></div>',
            table(
                map(head, heads),
                lines,
                name="Who is cheapest",
                attributes=' id="results" tabindex="-1"',
                caption=DECIDED,
            ),
        )
        again = reproduce(self._hosts, self._trace, self._parameters.seed)
        return page(
            f"Staleline: a sweep on {names}",
            f"<p>{escape(self.summary())} Over {escape(self._trace.name)}.</p>",
            "\n".join(results),
            "\n".join(itertools.chain(self._drawn(), again)),
            {"filters": filters, "cells": []},
        )

    def _drawn(self) -> Iterator[str]:
        colours = colours_of(self._cells)
        drawable = is_drawable(self._axes)
        for name, cells in self.by_host():
            yield f"<h2>{escape(name)}</h2>"
            if drawable:
                drawn = partial(of_host, cells, self._axes, colours)
                yield figure(drawn, _CURVES if len(self._axes) == 1 else _MAP)
            if self._axes and len(cells) <= _MOST:
                yield folded("The same as a table", self._every(name, cells))

    def _every(self, name: str, cells: Sequence[SweptCell]) -> str:
        """Each cell: who is cheapest, whether that is decided, and what it costs."""
        heads = (
            *(head(TITLES.get(axis.name, axis.name), NUMBER) for axis in self._axes),
            *map(head, ("cheapest that is right", "decided")),
            head("overhead, % of the baseline", NUMBER),
        )
        first = self._axes[0].name
        lines = (
            line(
                one.at[first],
                *(cell(one.at[axis.name]) for axis in self._axes[1:]),
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
