"""What a translator emits, as text, JSON and CSV."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.report.tables import SCHEMA, comma_separated, fill, table
from bench.translators.listing import Listing, ListingRow

_HEADERS = ("time", "offset", "bytes", "disassembly", "phase", "form", "stores", "value", "window")


def as_objects(listing: Listing, access: str) -> dict[str, Any]:
    """What ``--format json`` prints (``docs/json.md``)."""
    translator, code = listing.translator, listing.code
    return {
        "schema": SCHEMA,
        "translator": translator.full_name,
        "isa": translator.isa,
        "access": access,
        "guest_bits": code.guest_bits,
        "guarded": any(path.name == "skip" for path in code.paths),
        "size": code.size,
        "rewritten": code.rewritten,
        "distances": "exact" if translator.exact else "typical",
        "writes": [dataclasses.asdict(row) for row in listing.rows],
        "wrong": [{**dataclasses.asdict(wrong), "value": f"{wrong.value:#x}"} for wrong in listing.wrong],
    }


def as_csv(listing: Listing) -> str:
    """One line per store."""
    return comma_separated(_HEADERS, map(_cells, listing.rows))


def as_text(listing: Listing, access: str, style: str) -> str:
    """The stores in time order; where a retranslation stops; what running a temporary value does."""
    translator, code, rows = listing.translator, listing.code, listing.rows
    guest = f", {code.guest_bits}-bit guest" if code.guest_bits != 32 else ""
    guarded = " that the guest may skip" if any(path.name == "skip" for path in code.paths) else ""
    lines = [
        f"{translator.full_name} ({translator.isa}): a guest {access}{guarded}{guest}, in the order of its stores",
        "",
        table(_HEADERS, map(_cells, rows), style, right=(0, 1, 8)),
        "",
        fill(
            f"A retranslation makes the first {sum(row.retranslated for row in rows)} stores, bytes 0 to "
            f"{code.rewritten}; the block has {code.size} bytes. "
            + (
                "Distances are those of the source for this case."
                if translator.exact
                else "Distances are typical: they depend on constants and on register allocation."
            )
        ),
    ]
    windows = [row.window for row in rows if row.window is not None]
    if windows:
        stores = " and ".join(str(window) for window in windows)
        lines.append(f"window: the stores between a temporary value and the one that completes it: {stores}.")
    elif listing.wrong:
        lines.append("window: none, since a retranslation ends before the store that would complete a temporary value.")
    else:
        lines.append("No unit ever holds anything but its final value once it has been written.")
    for wrong in listing.wrong:
        kept = ", which a retranslation leaves there" if wrong.unfinished else ""
        lines += ["", fill(f"If a core runs the temporary `{wrong.disassembly}` at TB+{wrong.offset}{kept}:")]
        lines += [fill(each.text, first="- ", rest="  ") for each in wrong.consequences]
    return "\n".join(lines)


def _cells(row: ListingRow) -> tuple[str | int | None, ...]:
    return (
        row.order,
        row.offset,
        row.bytes,
        row.disassembly,
        row.phase,
        row.form,
        row.stored,
        "temporary" if row.temporary else "final",
        row.window,
    )
