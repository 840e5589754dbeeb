"""What strategies need of themselves and of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.check.minimality import WEAKNESSES, Weakest
from bench.protocols.omission import Omission
from bench.report.report import Column, Rows, text_only, text_table
from bench.report.tables import SCHEMA, Cell, fill
from bench.support.text import listed

_LeftOut = tuple[str, Omission]
"""A strategy, and what was left out of it."""


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

    @property
    def _left_out(self) -> list[_LeftOut]:
        return [(name, one) for name, some in self.omitted.items() for one in some]

    def document(self) -> dict[str, Any]:
        """Both, by strategy."""
        return {
            "schema": SCHEMA,
            "host": self.host,
            "translator": self.translator,
            "omitted": [
                {"strategy": name, "operation": one.operations[0], "breaks": one.breaks} for name, one in self._left_out
            ],
            "weakest": [asdict(one) for one in self.weakest],
        }

    def rows(self) -> Rows:
        """One row for each operation left out, and for each scenario."""
        headers = ("strategy", "without", "breaks", "scenario", "holds_with", "fails_with", "decided")
        rows: list[Sequence[Cell]] = [
            (name, one.operations[0], "; ".join(one.breaks), None, None, None, None) for name, one in self._left_out
        ]
        for each in self.weakest:
            holds, fails = ("; ".join(map(", ".join, some)) for some in (each.holds, each.fails))
            rows.append((each.strategy, None, None, each.scenario, holds, fails, each.decided))
        return headers, rows

    def text(self, style: str) -> str:
        """Operations left out, and then the weakest hosts."""
        parts = [f"Operations left out one by one, on {self.host} with {self.translator}:"]
        parts.append(text_table(_OMITTED, self._left_out, style) if self._left_out else "None to leave out.")
        without = [name for name, some in self.omitted.items() if not some]
        if without:
            parts.append(fill(f"{listed(without)}: nothing that orders, maintains or locks, or nothing that holds."))
        return "\n\n".join((*parts, "The weakest host:", text_table(_WEAKEST, self.weakest, style), fill(_LEGEND)))


def _sets(found: Sequence[tuple[str, ...]]) -> str:
    def said(some: tuple[str, ...]) -> str:
        return "all of them" if len(some) == len(WEAKNESSES) else ", ".join(some) or "none of them"

    return "; ".join(map(said, found)) if found else "on none"


_OMITTED: tuple[Column[_LeftOut], ...] = (
    text_only("strategy", lambda of: of[0]),
    text_only("without", lambda of: of[1].operations[0]),
    text_only("no longer holds in", lambda of: listed(of[1].breaks) or "nothing: it can be left out"),
)
_WEAKEST: tuple[Column[Weakest], ...] = (
    text_only("strategy", lambda one: one.strategy),
    text_only("scenario", lambda one: one.scenario),
    text_only("holds with", lambda one: _sets(one.holds), wrap=48),
    text_only("fails with", lambda one: _sets(one.fails) + " (some undecided)" * (not one.decided), wrap=48),
)
_LEGEND = (
    "Holds with: the largest sets of weaknesses under which it holds; fails with: the smallest under which it fails. A "
    "host without any of them fills instruction lines from the newest data, drops them at every store, fetches nothing "
    "ahead, buffers no stores and allocates on them."
)
