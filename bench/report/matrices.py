"""The matrix of translators, hosts and strategies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bench.check.matrix import AS_EMITTED, CLASSES, Affected, HostClass, Matrix, MatrixCell, affected, host_class
from bench.hosts import Host
from bench.report.report import Column, Rows, attributes, flat_rows, record, text_only, text_table
from bench.report.tables import SCHEMA, fill, table
from bench.scenarios import LASTING_IN, SUMMARIES
from bench.support.text import listed

_ANSWER_WIDTH = 34
"""Characters of a column that lists hosts."""


_COLUMNS: tuple[Column[MatrixCell], ...] = (
    Column("class", lambda c: host_class(c.host).name),
    Column("host", lambda c: c.host.name),
    Column("settings", lambda c: c.host.derived, csv=False),
    *attributes("translator", "strategy", "hazard", "scenario", "verdict", "rows", "speculative_only"),
)


PARTIAL_SEEN = (
    "The partial hazard of mips@2010 was also seen: QEMU's MIPS backend at commit 497aebb, executed in an emulator, "
    "left a guest branch wrong in 12 of 300 retranslations of real code, with one thread and without a cache."
)


@dataclasses.dataclass(frozen=True, slots=True)
class MatrixReport:
    """The answer of ``matrix``."""

    matrix: Matrix

    def document(self) -> dict[str, Any]:
        """The classes of hosts, what each translator's code does as emitted, and all cells."""
        matrix = self.matrix
        return {
            "schema": SCHEMA,
            "what_if": matrix.what_if,
            "classes": [
                {"name": each.name, "meaning": each.meaning, "hosts": [host.name for host in _hosts(matrix, each)]}
                for each in CLASSES
            ],
            "affected": [dataclasses.asdict(each) for each in affected(matrix)],
            "cells": [record(_COLUMNS, cell) for cell in matrix.cells],
            "without_translator": [host.name for host in matrix.without],
        }

    def rows(self) -> Rows:
        """One row for each cell."""
        return flat_rows(_COLUMNS, self.matrix.cells)

    def text(self, style: str) -> str:
        """What is affected as emitted, by backend; then a table for each class of hosts, with what cures them."""
        matrix = self.matrix
        lines = []
        if any(cell.strategy == AS_EMITTED for cell in matrix.cells):
            lines += ["Where each backend's code fails as it was emitted (unfixed)", ""]
            lines += [text_table(_AFFECTED, affected(matrix), style), ""]
        lines += list(_legend(matrix))
        for each in CLASSES:
            pairs = [pair for pair in matrix.pairs if host_class(pair[0]) is each]
            if pairs:
                lines += ["", f"{each.name}: {each.meaning}", "", _section(matrix, pairs, style)]
        if matrix.without:
            names = listed(f"{host.name} ({' or '.join(host.isa)})" for host in matrix.without)
            lines += ["", fill(f"n/a: {names}: no translator that ran there is among those asked for.")]
        return "\n".join(lines)


def _of_hosts(heading: str, names: Callable[[Affected], Iterable[str]]) -> Column[Affected]:
    return text_only(heading, lambda row: ", ".join(names(row)), wrap=_ANSWER_WIDTH)


def _of_all(names: Sequence[str], row: Affected) -> str:
    every = {*row.alone, *row.speculative, *row.together, *row.never, *row.undecided}
    return "every host" if names and {*names} == every else ", ".join(names)


_AFFECTED: tuple[Column[Affected], ...] = (
    text_only("translator", lambda row: row.translator),
    text_only("temporary", lambda row: "yes" if row.temporary else "no"),
    _of_hosts("fails with one thread", lambda row: row.alone),
    _of_hosts("allowed to", lambda row: row.speculative),
    _of_hosts("fails only with two", lambda row: row.together),
    _of_hosts("fails with none", lambda row: (*row.never, *(f"{name}?" for name in row.undecided))),
    _of_hosts("lasting", lambda row: row.lasting),
    text_only("partial", lambda row: _of_all(row.partial, row)),
)


def _hosts(matrix: Matrix, wanted: HostClass) -> list[Host]:
    found = {host.name: host for host, _ in matrix.pairs if host_class(host) is wanted}
    return list(found.values())


def _legend(matrix: Matrix) -> Iterator[str]:
    scenarios = dict.fromkeys(cell.scenario for cell in matrix.cells if cell.hazard == "transient")
    text = (
        f"Temporary: the backend stores temporary values. Columns {listed(scenarios)}: the transient hazard. Lasting: "
        f"a wrong value stays on the data side, in {LASTING_IN}. Partial: a retranslation ends before a label that is "
        f"bound later, and leaves its branch with a temporary target (in any scenario)."
    )
    if any(cell.speculative_only for cell in matrix.cells):
        text += (
            " FAILS: this core, as documented. Allowed (to fail): not as documented, but the architecture lets a core "
            "fetch what it does not execute while the block is rewritten; whether this one does is not known "
            "(--no-speculation)."
        )
    if any(
        cell.translator == "mips@2010" and cell.hazard == "partial" and cell.verdict == "fails" for cell in matrix.cells
    ):
        text += f" {PARTIAL_SEEN}"
    yield fill(text)


def _section(matrix: Matrix, pairs: Sequence[tuple[Host, str]], style: str) -> str:
    """Hosts and strategies with the same verdicts share a row."""
    groups: dict[tuple[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]], list[str]] = {}
    for host, translator in pairs:
        rows = _rows(matrix.of(host, translator))
        groups.setdefault((translator, rows), []).append(host.name)
    columns = _columns(matrix)
    body: list[tuple[str, ...]] = []
    for (translator, rows), hosts in groups.items():
        first = (translator, ", ".join(hosts))
        for strategies, verdicts in rows:
            body.append((*first, ", ".join(strategies), *verdicts))
            first = ("", "")
    return table(("translator", "hosts", "strategy", *columns), body, style, wrap={1: 26, 2: 46})


def _columns(matrix: Matrix) -> list[str]:
    transient = {cell.scenario for cell in matrix.cells if cell.hazard == "transient"}
    others = [name for name in ("lasting", "partial") if any(cell.hazard == name for cell in matrix.cells)]
    return [*(name for name in SUMMARIES if name in transient), *others]


def _rows(cells: Sequence[MatrixCell]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Strategies with their verdicts, those with the same ones together."""
    verdicts: dict[str, dict[str, list[MatrixCell]]] = {}
    for cell in cells:
        column = cell.scenario if cell.hazard == "transient" else cell.hazard
        verdicts.setdefault(cell.strategy, {}).setdefault(column, []).append(cell)
    groups: dict[tuple[str, ...], list[str]] = {}
    for strategy, columns in verdicts.items():
        groups.setdefault(tuple(_verdict(each) for each in columns.values()), []).append(strategy)
    fails = ("FAILS", "allowed")
    order = sorted(groups.items(), key=lambda item: (sum(verdict in fails for verdict in item[0]), item[1]))
    return tuple((tuple(names), row) for row, names in order)


def _verdict(cells: Sequence[MatrixCell]) -> str:
    """The worst of the cells of one column."""
    found = {cell.verdict for cell in cells}
    if "fails" in found:
        return "allowed" if all(cell.speculative_only for cell in cells if cell.verdict == "fails") else "FAILS"
    return next((verdict for verdict in ("bounded", "holds") if verdict in found), "n/a")
