"""The column of what was seen on a machine, beside verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bench.compare.comparison import Verdicts
from bench.report.report import Column
from bench.silicon.seen import Count, Seen

Item = TypeVar("Item")


def seen_columns(seen: Seen | None, of: Callable[[Seen, Item], Count | None]) -> tuple[Column[Item], ...]:
    """The column, if something was ``seen``; ``of``: what of it an item is."""
    if seen is None:
        return ()

    def count(item: Item) -> Count | None:
        return of(seen, item)

    def value(item: Item) -> dict[str, Any] | None:
        found = count(item)
        return None if found is None else {"wrong": found.wrong, "instances": found.instances}

    return (
        Column(
            "seen", value, "seen here", lambda item: found.text if (found := count(item)) else "", right=True, csv=False
        ),
        Column("seen_wrong", lambda item: found.wrong if (found := count(item)) else None, json=False),
        Column("seen_instances", lambda item: found.instances if (found := count(item)) else None, json=False),
    )


def seen_of(seen: Seen, row: Verdicts) -> Count | None:
    """The count of the strategies of a row, in its scenarios."""
    return seen.among((name, result.scenario) for name in row.names for result in row.checks)


def about_seen(seen: Seen | None) -> list[str]:
    """What the column says."""
    return [] if seen is None else [f"Seen here: in how many instances it was wrong on {seen.machine} (staleline run)."]
