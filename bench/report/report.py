"""What every answer can be: a document, rows, or text; and columns that are declared once for all three."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from bench.hosts import Target
from bench.report.tables import Cell, comma_separated, table
from bench.support.text import encoded

Rows = tuple[Sequence[str], Iterable[Sequence[Cell]]]
"""The header of a table and its rows."""

Item = TypeVar("Item", contravariant=True)


class Report(Protocol):
    """An answer, which knows how it looks in each kind of format."""

    def document(self) -> Any:
        """What is encoded as JSON (``docs/json.md``)."""
        ...

    def rows(self) -> Rows:
        """What is written as CSV."""
        ...

    def text(self, style: str) -> str:
        """What a person reads; its tables are in a format of tabulate, or in one that the report alone has."""
        ...


def rendered(report: Report, format: str) -> str:
    """A report in a format."""
    if format == "json":
        import msgspec

        return msgspec.json.format(encoded(report.document()), indent=2).decode()
    if format == "csv":
        return comma_separated(*report.rows())
    return report.text(format)


@dataclass(frozen=True, slots=True)
class Column(Generic[Item]):
    """A column: the ``key`` of its ``value`` in JSON and CSV, and the ``heading`` of its ``cell`` in a table of text.

    Without a ``heading`` it is not in the table of text; ``json`` and ``csv`` say whether it is there.  A ``cell`` is
    the value if not given.  In CSV, a mapping becomes a column for each of its keys, and a sequence one cell.
    """

    key: str
    value: Callable[[Item], Any]
    heading: str | None = None
    cell: Callable[[Item], Cell] | None = None
    right: bool = False
    wrap: int | None = None
    json: bool = True
    csv: bool = True


def text_only(
    heading: str, cell: Callable[[Item], Cell], *, right: bool = False, wrap: int | None = None
) -> Column[Item]:
    """A column that is in tables of text alone."""
    return Column(heading, cell, heading, right=right, wrap=wrap, json=False, csv=False)


def attributes(*paths: str, shown: bool = False, csv: bool = True) -> tuple[Column[Any], ...]:
    """Columns of attributes, by dotted path, each called as the last of its names; ``shown`` in tables of text too."""
    keys = [path.rpartition(".")[2] for path in paths]
    return tuple(
        Column(key, attrgetter(path), key if shown else None, csv=csv) for key, path in zip(keys, paths, strict=True)
    )


def record(columns: Iterable[Column[Item]], item: Item) -> dict[str, Any]:
    """The JSON object of an item."""
    return {column.key: column.value(item) for column in columns if column.json}


def flat_rows(columns: Iterable[Column[Item]], items: Iterable[Item]) -> Rows:
    """The items as CSV has them."""
    shown = [column for column in columns if column.csv]
    found = [dict(pair for column in shown for pair in _flattened(column.key, column.value(item))) for item in items]
    headers = [*found[0]] if found else [column.key for column in shown]
    return headers, [list(row.values()) for row in found]


def _flattened(key: str, value: Any) -> list[tuple[str, Cell]]:
    if isinstance(value, dict):
        return [(f"{key}_{name}", part) for name, part in value.items()]
    if isinstance(value, list | tuple):
        return [(key, "; ".join(value))]
    return [(key, value)]


def text_table(columns: Iterable[Column[Item]], items: Iterable[Item], style: str) -> str:
    """The items as a table of text."""
    shown = [column for column in columns if column.heading is not None]
    return table(
        [column.heading or "" for column in shown],
        [[(column.cell or column.value)(item) for column in shown] for item in items],
        style,
        right=[number for number, column in enumerate(shown) if column.right],
        wrap={number: column.wrap for number, column in enumerate(shown) if column.wrap is not None},
    )


def settings_of(host: Target) -> str:
    """What was set on a host, in brackets behind its name."""
    return f" ({', '.join(host.derived)})" if host.derived else ""
