"""What strategies need of themselves and of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.check.minimality import WEAKNESSES, Weakest
from bench.protocols.omission import Omission
from bench.report.report import Rows
from bench.report.tables import SCHEMA, Cell, fill, table
from bench.support.text import listed


@dataclass(frozen=True, slots=True)
class MinimalityReport:
    """The answer of ``minimality`` on a host with a translator.

    ``omitted``: for each strategy its operations, left out one by one; ``weakest``: for each of its scenarios the
    weakest hosts.
    """

    host: str
    translator: str
    omitted: Mapping[str, Sequence[Omission]]
    weakest: Sequence[Weakest]

    def document(self) -> dict[str, Any]:
        """Both, by strategy."""
        return {
            "schema": SCHEMA,
            "host": self.host,
            "translator": self.translator,
            "omitted": [
                {"strategy": name, "operation": one.operations[0], "breaks": list(one.breaks)}
                for name, some in self.omitted.items()
                for one in some
            ],
            "weakest": [asdict(one) for one in self.weakest],
        }

    def rows(self) -> Rows:
        """One row for each operation left out, and for each scenario."""
        headers = ("strategy", "without", "breaks", "scenario", "holds_with", "fails_with", "decided")
        rows: list[Sequence[Cell]] = [
            (name, one.operations[0], "; ".join(one.breaks), None, None, None, None)
            for name, some in self.omitted.items()
            for one in some
        ]
        for one in self.weakest:
            holds, fails = ("; ".join(map(", ".join, some)) for some in (one.holds, one.fails))
            rows.append((one.strategy, None, None, one.scenario, holds, fails, one.decided))
        return headers, rows

    def text(self, style: str) -> str:
        """Operations left out, and then the weakest hosts."""
        rows: list[Sequence[Cell]] = [
            (name, one.operations[0], listed(one.breaks) if one.breaks else "nothing: it can be left out")
            for name, some in self.omitted.items()
            for one in some
        ]
        parts = [f"Operations left out one by one, on {self.host} with {self.translator}:"]
        parts.append(
            table(("strategy", "without", "no longer holds in"), rows, style) if rows else "None to leave out."
        )
        without = [name for name, some in self.omitted.items() if not some]
        if without:
            parts.append(fill(f"{listed(without)}: nothing that orders, maintains or locks, or nothing that holds."))
        parts.append("The weakest host:")
        body: list[Sequence[Cell]] = [
            (
                one.strategy,
                one.scenario,
                _sets(one.holds),
                _sets(one.fails) + ("" if one.decided else " (some undecided)"),
            )
            for one in self.weakest
        ]
        parts.append(table(("strategy", "scenario", "holds with", "fails with"), body, style, wrap={2: 48, 3: 48}))
        parts.append(fill(_LEGEND))
        return "\n\n".join(parts)


def _sets(found: Sequence[tuple[str, ...]]) -> str:
    def said(some: tuple[str, ...]) -> str:
        return "all of them" if len(some) == len(WEAKNESSES) else ", ".join(some) or "none of them"

    return "; ".join(map(said, found)) if found else "on none"


_LEGEND = (
    "Holds with: the largest sets of weaknesses under which it holds; fails with: the smallest under which it fails. A "
    "host without any of them fills instruction lines from the newest data, drops them at every store, fetches nothing "
    "ahead, buffers no stores and allocates on them."
)
