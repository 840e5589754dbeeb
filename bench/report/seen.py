"""The column of what was seen on a machine, beside verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bench.report.report import Column
from bench.silicon.seen import Count, Seen

Item = TypeVar("Item")


def seen_columns(seen: Seen | None, names: Callable[[Item], Sequence[str]]) -> tuple[Column[Item], ...]:
    """The column, if something was ``seen``; ``names``: what an item is called there."""
    if seen is None:
        return ()

    def count(item: Item) -> Count | None:
        return seen.of(*names(item))

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
