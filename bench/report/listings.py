"""What a translator emits."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.report.report import Column, Rows, attributes, flat_rows, text_table
from bench.report.tables import SCHEMA, fill
from bench.translators.listing import Listing, ListingRow

_COLUMNS: tuple[Column[ListingRow], ...] = (
    Column("time", lambda row: row.order, "time", right=True),
    Column("offset", lambda row: row.offset, "offset", right=True),
    *attributes("bytes", "disassembly", "phase", "form", shown=True),
    Column("stores", lambda row: row.stored, "stores"),
    Column("value", lambda row: "temporary" if row.temporary else "final", "value"),
    Column("window", lambda row: row.window, "window", right=True),
)


@dataclasses.dataclass(frozen=True, slots=True)
class ListingReport:
    """The answer of ``translator``: what it emits for a guest ``access``."""

    listing: Listing
    access: str

    def document(self) -> dict[str, Any]:
        """The block, its stores in time order, and what running a wrong word does."""
        listing, translator, code = self.listing, self.listing.translator, self.listing.code
        return {
            "schema": SCHEMA,
            "translator": translator.full_name,
            "isa": translator.isa,
            "access": self.access,
            "guest_bits": code.guest_bits,
            "guarded": any(path.name == "skip" for path in code.paths),
            "size": code.size,
            "rewritten": code.rewritten,
            "distances": "exact" if translator.exact else "typical",
            "writes": [dataclasses.asdict(row) for row in listing.rows],
            "wrong": [{**dataclasses.asdict(wrong), "value": f"{wrong.value:#x}"} for wrong in listing.wrong],
        }

    def rows(self) -> Rows:
        """One row for each store."""
        return flat_rows(_COLUMNS, self.listing.rows)

    def text(self, style: str) -> str:
        """The stores in time order; where a retranslation stops; what running a temporary value does."""
        listing = self.listing
        translator, code, rows = listing.translator, listing.code, listing.rows
        guest = f", {code.guest_bits}-bit guest" if code.guest_bits != 32 else ""
        guarded = " that the guest may skip" if any(path.name == "skip" for path in code.paths) else ""
        lines = [
            f"{translator.full_name} ({translator.isa}): a guest {self.access}{guarded}{guest}, "
            "in the order of its stores",
            "",
            text_table(_COLUMNS, rows, style),
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
        windows = [str(row.window) for row in rows if row.window is not None]
        if windows:
            stores = " and ".join(windows)
            lines.append(f"window: the stores between a temporary value and the one that completes it: {stores}.")
        elif listing.wrong:
            lines.append(
                "window: none, since a retranslation ends before the store that would complete a temporary value."
            )
        else:
            lines.append("No unit ever holds anything but its final value once it has been written.")
        for wrong in listing.wrong:
            kept = ", which a retranslation leaves there" if wrong.unfinished else ""
            lines += ["", fill(f"If a core runs the temporary `{wrong.disassembly}` at TB+{wrong.offset}{kept}:")]
            lines += [fill(each.text, first="- ", rest="  ") for each in wrong.consequences]
        return "\n".join(lines)
