"""What strategies need of themselves and of the host, as text, CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.check.minimality import WEAKNESSES, Omitted, Weakest
from bench.report.tables import SCHEMA, Cell, comma_separated, fill, table
from bench.support.text import listed


def _sets(found: Sequence[tuple[str, ...]], nothing: str) -> str:
    def said(some: tuple[str, ...]) -> str:
        return "all of them" if len(some) == len(WEAKNESSES) else ", ".join(some) or "none of them"

    return "; ".join(map(said, found)) if found else nothing


def as_text(where: str, omitted: Mapping[str, Sequence[Omitted]], weakest: Sequence[Weakest], style: str) -> str:
    """Operations left out, and then the weakest hosts."""
    rows: list[Sequence[Cell]] = [
        (name, one.operation, listed(one.breaks) if one.breaks else "nothing: it can be left out")
        for name, some in omitted.items()
        for one in some
    ]
    parts = [f"Operations left out one by one, {where}:"]
    parts.append(table(("strategy", "without", "no longer holds in"), rows, style) if rows else "None to leave out.")
    without = [name for name, some in omitted.items() if not some]
    if without:
        parts.append(fill(f"{listed(without)}: nothing that orders, maintains or locks, or nothing that holds."))
    parts.append("The weakest host:")
    body: list[Sequence[Cell]] = [
        (
            one.strategy,
            one.scenario,
            _sets(one.holds, "on none"),
            _sets(one.fails, "on none") + ("" if one.decided else " (some undecided)"),
        )
        for one in weakest
    ]
    parts.append(table(("strategy", "scenario", "holds with", "fails with"), body, style, wrap={2: 48, 3: 48}))
    parts.append(
        fill(
            "Holds with: the largest sets of weaknesses under which it holds; fails with: the smallest under which it "
            "fails. A host without any of them fills instruction lines from the newest data, drops them at every "
            "store, fetches nothing ahead, buffers no stores and allocates on them."
        )
    )
    return "\n\n".join(parts)


def as_csv(omitted: Mapping[str, Sequence[Omitted]], weakest: Sequence[Weakest]) -> str:
    """One row for each operation left out, and for each scenario."""
    headers = ("strategy", "without", "breaks", "scenario", "holds_with", "fails_with", "decided")
    rows: list[Sequence[Cell]] = [
        (name, one.operation, " ".join(one.breaks), None, None, None, None)
        for name, some in omitted.items()
        for one in some
    ]
    rows += [
        (
            one.strategy,
            None,
            None,
            one.scenario,
            "; ".join(map(", ".join, one.holds)),
            "; ".join(map(", ".join, one.fails)),
            str(one.decided).lower(),
        )
        for one in weakest
    ]
    return comma_separated(headers, rows)


def as_objects(
    host: str, translator: str, omitted: Mapping[str, Sequence[Omitted]], weakest: Sequence[Weakest]
) -> dict[str, Any]:
    """The document of ``--format json``."""
    return {
        "schema": SCHEMA,
        "host": host,
        "translator": translator,
        "omitted": [
            {"strategy": name, "operation": one.operation, "breaks": list(one.breaks)}
            for name, some in omitted.items()
            for one in some
        ],
        "weakest": [
            {**asdict(one), "holds": [list(some) for some in one.holds], "fails": [list(some) for some in one.fails]}
            for one in weakest
        ],
    }
