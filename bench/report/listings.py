"""What a translator emits, as text, JSON and CSV."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bench.report.tables import SCHEMA, comma_separated, table
from bench.translators.listing import ListingRow
from bench.translators.translator import Translator

_HEADERS = ("time", "offset", "bytes", "disassembly", "phase", "form", "stores", "value", "window")


def as_objects(translator: Translator, access: str, rows: Sequence[ListingRow]) -> dict[str, Any]:
    """What ``--format json`` prints (``docs/json.md``)."""
    return {
        "schema": SCHEMA,
        "translator": translator.full_name,
        "isa": translator.isa,
        "access": access,
        "writes": [dataclasses.asdict(row) for row in rows],
    }


def as_csv(rows: Sequence[ListingRow]) -> str:
    """One line per store."""
    return comma_separated(_HEADERS, map(_cells, rows))


def as_text(translator: Translator, access: str, rows: Sequence[ListingRow], style: str) -> str:
    """The stores in time order; a line says where a retranslation stops."""
    code = translator.block(0, ("load",) if access == "load" else ("store",))
    lines = [
        f"{translator.full_name} ({translator.isa}): a guest {access}, in the order in which it is written",
        "",
        table(_HEADERS, map(_cells, rows), style, right=(0, 1, 8)),
        "",
        f"A retranslation makes the first {sum(row.retranslated for row in rows)} stores, bytes 0 to {code.rewritten}; "
        f"the block has {code.size} bytes.",
    ]
    windows = [row.window for row in rows if row.window is not None]
    if windows:
        stores = " and ".join(str(window) for window in windows)
        lines.append(f"window: the stores between a temporary value and the one that completes it: {stores}.")
    else:
        lines.append("No unit ever holds anything but its final value once it has been written.")
    return "\n".join(lines)


def _cells(row: ListingRow) -> tuple[str | int | None, ...]:
    return (
        row.order, row.offset, row.bytes, row.disassembly, row.phase, row.form, row.stored,
        "temporary" if row.temporary else "final", row.window,
    )  # fmt: skip
