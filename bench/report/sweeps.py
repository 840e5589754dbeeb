"""A sweep as a table of who wins where, as a document, and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from bench.compare.axes import Axis
from bench.compare.sweep import Judged, SweptCell, SweptLine
from bench.compare.swept import header, rows
from bench.report.report import Rows
from bench.report.tables import fill, table

NOBODY = "none is right"


def winner(cell: SweptCell) -> str:
    """Who wins in a cell."""
    return " = ".join(cell.winner) or NOBODY


def where(cell: SweptCell) -> str:
    """The host of a cell, and its translator."""
    translator = f" with {cell.translator}" if cell.translator else ""
    return f"{cell.host}{translator}{', hypothetical' if cell.what_if else ''}"


@dataclass(frozen=True, slots=True)
class SweepReport:
    """``cells`` in order over these axes, and the verdicts; ``reused``: how many cells were there of an earlier run."""

    cells: Sequence[SweptCell]
    judged: Sequence[Judged]
    axes: Sequence[Axis]
    reused: int

    def document(self) -> dict[str, Any]:
        axes = [{"name": axis.name, "values": list(axis.values)} for axis in self.axes]
        verdicts, cells = map(msgspec.to_builtins, (self.judged, self.cells))
        return {"schema": 1, "axes": axes, "verdicts": verdicts, "cells": cells}

    def rows(self) -> Rows:
        names = [axis.name for axis in self.axes]
        lines: list[SweptLine] = [*self.judged, *self.cells]
        return header(names), [row for line in lines for row in rows(line, names)]

    def text(self, style: str) -> str:
        """For each host who wins: over one axis in which part of it, else in how many cells and within which."""
        legend = f"{DECIDED} --results FILE.jsonl has every one in every cell; --plot draws it."
        return "\n\n".join((fill(self.summary()), table(*self.winners(), style), fill(legend)))

    def winners(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The columns, and the lines, of who wins where."""
        if len(self.axes) == 1:
            head: tuple[str, ...] = ("host", self.axes[0].name, "cheapest that is right", "decided")
            return head, [row for _, cells in self.by_host() for row in self._segments(cells)]
        head = ("host", "cheapest that is right", "cells", "decided in", *(axis.name for axis in self.axes))
        return head, [row for _, cells in self.by_host() for row in self._shares(cells)]

    def summary(self) -> str:
        """What was swept."""
        hosts = len({where(cell) for cell in self.cells})
        axes = " by ".join(f"{len(axis.values)} values of {axis.name}" for axis in self.axes) or "no axis"
        there = f"; {self.reused:,} of them were there" if self.reused else ""
        return f"{len(self.cells):,} cells: {hosts} host{'s' if hosts > 1 else ''}, {axes}{there}."

    def by_host(self) -> Iterator[tuple[str, list[SweptCell]]]:
        """The cells of each host, in order."""
        for name, cells in groupby(self.cells, where):
            yield name, list(cells)

    def _segments(self, cells: Sequence[SweptCell]) -> Iterator[tuple[str, ...]]:
        (axis,) = self.axes
        for name, group in groupby(cells, winner):
            some = list(group)
            first, last = some[0].at[axis.name], some[-1].at[axis.name]
            values = first if first == last else f"{first} to {last}"
            yield where(some[0]), values, name, _share(sum(one.decided for one in some), len(some))

    def _shares(self, cells: Sequence[SweptCell]) -> Iterator[tuple[str, ...]]:
        for name in dict.fromkeys(map(winner, cells)):
            some = [one for one in cells if winner(one) == name]
            within = []
            for axis in self.axes:
                there = {one.at[axis.name] for one in some}
                values = [value for value in axis.values if value in there]
                whole = len(values) == len(axis.values)
                within.append("all" if whole else values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}")
            decided = _share(sum(one.decided for one in some), len(some))
            yield where(some[0]), name, f"{len(some):,}", decided, *within


def _share(part: int, whole: int) -> str:
    return "all" if part == whole else "none" if not part else f"{part} of {whole}"


DECIDED = "Decided: every other right one costs more, whatever the quantities are that are no axis."
