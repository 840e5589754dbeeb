"""The matrix of translators, hosts and strategies as text, JSON and CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from bench.check.matrix import AS_EMITTED, CLASSES, Affected, Cell, HostClass, Matrix, affected, host_class
from bench.hosts import Host
from bench.report.tables import SCHEMA, comma_separated, fill, table
from bench.scenarios import LASTING_IN, SUMMARIES
from bench.support.text import listed

_ANSWER_WIDTH = 34
"""Characters of a column that lists hosts."""


def as_objects(matrix: Matrix) -> dict[str, Any]:
    """What ``matrix --format json`` prints (``docs/json.md``)."""
    return {
        "schema": SCHEMA,
        "what_if": matrix.what_if,
        "classes": [
            {"name": each.name, "meaning": each.meaning, "hosts": [host.name for host in _hosts(matrix, each)]}
            for each in CLASSES
        ],
        "affected": [dataclasses.asdict(each) for each in affected(matrix)],
        "cells": [
            {
                "class": host_class(cell.host).name,
                "host": cell.host.name,
                "settings": list(cell.host.derived),
                "translator": cell.translator,
                "strategy": cell.strategy,
                "hazard": cell.hazard,
                "scenario": cell.scenario,
                "verdict": cell.verdict,
                "rows": cell.rows,
                "speculative_only": cell.speculative_only,
            }
            for cell in matrix.cells
        ],
        "without_translator": [host.name for host in matrix.without],
    }


def as_csv(matrix: Matrix) -> str:
    """One line per cell."""
    headers = ("class", "host", "translator", "strategy", "hazard", "scenario", "verdict", "rows", "speculative_only")
    return comma_separated(
        headers,
        (
            (
                host_class(c.host).name,
                c.host.name,
                c.translator,
                c.strategy,
                c.hazard,
                c.scenario,
                c.verdict,
                c.rows,
                str(c.speculative_only).lower(),
            )
            for c in matrix.cells
        ),
    )


def as_text(matrix: Matrix, style: str) -> str:
    """The answer, as emitted, by backend; then a table for each class of hosts, with what cures them."""
    lines = []
    if any(cell.strategy == AS_EMITTED for cell in matrix.cells):
        lines += ["Where each backend's code fails as it was emitted (unfixed)", ""]
        lines += [_answer(tuple(affected(matrix)), style), ""]
    lines += list(_legend(matrix))
    for each in CLASSES:
        pairs = [pair for pair in matrix.pairs if host_class(pair[0]) is each]
        if pairs:
            lines += ["", f"{each.name}: {each.meaning}", "", _section(matrix, pairs, style)]
    if matrix.without:
        names = listed(f"{host.name} ({' or '.join(host.isa)})" for host in matrix.without)
        lines += ["", fill(f"n/a: {names}: no translator that ran there is among those asked for.")]
    return "\n".join(lines)


def _hosts(matrix: Matrix, wanted: HostClass) -> list[Host]:
    found = {host.name: host for host, _ in matrix.pairs if host_class(host) is wanted}
    return list(found.values())


def _answer(rows: Sequence[Affected], style: str) -> str:
    headers = (
        "translator",
        "temporary",
        "fails with one thread",
        "fails only with two",
        "fails with none",
        "lasting",
        "partial",
    )
    body = [
        (
            row.translator,
            "yes" if row.temporary else "no",
            ", ".join((*row.alone, *(f"{name}*" for name in row.speculative))),
            ", ".join(row.together),
            ", ".join((*row.never, *(f"{name}?" for name in row.undecided))),
            ", ".join(row.lasting),
            _of_all(row.partial, row),
        )
        for row in rows
    ]
    return table(headers, body, style, wrap=dict.fromkeys(range(2, len(headers)), _ANSWER_WIDTH))


def _of_all(names: Sequence[str], row: Affected) -> str:
    every = {*row.alone, *row.speculative, *row.together, *row.never, *row.undecided}
    return "every host" if names and {*names} == every else ", ".join(names)


def _legend(matrix: Matrix) -> Iterator[str]:
    scenarios = dict.fromkeys(cell.scenario for cell in matrix.cells if cell.hazard == "transient")
    text = (
        f"Temporary: the backend stores temporary values. Columns {listed(scenarios)}: the transient hazard. Lasting: "
        f"a wrong value stays on the data side, in {LASTING_IN}. Partial: a retranslation ends before a label that is "
        f"bound later, and leaves its branch with a temporary target (in any scenario)."
    )
    if any(cell.speculative_only for cell in matrix.cells):
        text += (
            " With a star: only if the core fetches what it does not execute while the block is rewritten, which the "
            "architecture allows; whether a core does so then is not known (--no-speculation)."
        )
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


def _rows(cells: Sequence[Cell]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Strategies with their verdicts, those with the same ones together."""
    verdicts: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells:
        column = cell.scenario if cell.hazard == "transient" else cell.hazard
        verdicts.setdefault(cell.strategy, {}).setdefault(column, []).append(cell)
    groups: dict[tuple[str, ...], list[str]] = {}
    for strategy, columns in verdicts.items():
        groups.setdefault(tuple(_verdict(each) for each in columns.values()), []).append(strategy)
    order = sorted(groups.items(), key=lambda item: (sum(verdict.startswith("FAILS") for verdict in item[0]), item[1]))
    return tuple((tuple(names), row) for row, names in order)


def _verdict(cells: Sequence[Cell]) -> str:
    """The worst of the cells of one column."""
    for verdict in ("fails", "bounded", "holds"):
        if any(cell.verdict == verdict for cell in cells):
            if verdict == "fails":
                worst = [cell for cell in cells if cell.verdict == "fails"]
                return "FAILS*" if all(cell.speculative_only for cell in worst) else "FAILS"
            return verdict
    return "n/a"
