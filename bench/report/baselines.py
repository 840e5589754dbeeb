"""What has changed since a run that was kept, as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.compare.baseline import Difference, Kept
from bench.report.tables import Cell, fill, table


def as_text(kept: Kept, name: str, found: Sequence[Difference], style: str) -> str:
    """The rows that changed, the worse ones first."""
    order = ("worse", "gone", "new", "better")
    changed = sorted((one for one in found if one.change != "same"), key=lambda one: order.index(one.change))
    title = f"Against {name} (version {kept.version}, commit {kept.commit}: {kept.command})"
    if not changed:
        return fill(f"{title}: all {len(found)} rows are the same.")
    rows: list[Sequence[Cell]] = [
        (
            one.change,
            one.row.strategy,
            one.row.host,
            one.row.translator,
            ", ".join(f"{where} {before} -> {now}" for where, (before, now) in one.verdicts.items()) or "same",
            one.words,
        )
        for one in changed
    ]
    headers = ("", "strategy", "host", "translator", "verdicts", "cost")
    same = len(found) - len(changed)
    return f"{fill(title)}:\n\n{table(headers, rows, style)}\n\n{fill(f'{same} other rows are the same.')}"


def as_objects(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """``against`` in the document of ``--format json``."""
    return [
        {
            "strategy": one.row.strategy,
            "host": one.row.host,
            "translator": one.row.translator,
            "change": one.change,
            "cost": one.words,
            "verdicts": {name: {"before": before, "now": now} for name, (before, now) in one.verdicts.items()},
        }
        for one in found
    ]
