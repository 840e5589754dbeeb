"""What has changed since a run that was kept: a part of the answer of ``compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.compare.baseline import Difference, Kept
from bench.report.report import Column, record, text_table
from bench.report.tables import fill

_COLUMNS: tuple[Column[Difference], ...] = (
    Column("change", lambda one: one.change, ""),
    Column("strategy", lambda one: one.row.strategy, "strategy"),
    Column("host", lambda one: one.row.host, "host"),
    Column("translator", lambda one: one.row.translator, "translator"),
    Column(
        "verdicts",
        lambda one: {name: {"before": before, "now": now} for name, (before, now) in one.verdicts.items()},
        "verdicts",
        lambda one: ", ".join(f"{name} {before} -> {now}" for name, (before, now) in one.verdicts.items()) or "same",
    ),
    Column("cost", lambda one: one.words, "cost"),
)


@dataclass(frozen=True, slots=True)
class Since:
    """The ``differences`` to a run that was ``kept`` by a ``name``, and what that ``assumed`` otherwise, by host."""

    kept: Kept
    name: str
    differences: Sequence[Difference]
    assumed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def worse(self) -> bool:
        """Whether anything got worse."""
        return any(one.change == "worse" for one in self.differences)

    @property
    def missing(self) -> bool:
        """Whether a row is gone."""
        return any(one.change == "gone" for one in self.differences)

    def document(self) -> list[dict[str, Any]]:
        """``against`` in the document of a comparison."""
        return [record(_COLUMNS, one) for one in self.differences]

    def text(self, style: str) -> str:
        """The rows that changed, the worse ones first."""
        order = ("worse", "gone", "new", "better")
        changed = sorted(
            (one for one in self.differences if one.change != "same"), key=lambda one: order.index(one.change)
        )
        kept = self.kept
        title = f"Against {self.name} (version {kept.version}, commit {kept.commit}: {kept.command})"
        assumed = [fill(f"Assumed otherwise on {where}: {'; '.join(what)}.") for where, what in self.assumed.items()]
        if not changed:
            return "\n".join((fill(f"{title}: all {len(self.differences)} rows are the same."), *assumed))
        same = len(self.differences) - len(changed)
        rows = text_table(_COLUMNS, changed, style)
        return "\n".join((f"{fill(title)}:", "", rows, "", *assumed, fill(f"{same} other rows are the same.")))
