"""The claims of the thread, with what comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.report import Column, Rows, attributes, flat_rows, record
from bench.report.tables import SCHEMA, fill, table
from bench.thread.findings import Decided

PAGE = "page"
"""The format that is a page of Markdown (``docs/thread.md``)."""

_CLAIM, _VERDICT = 58, 30
"""Characters of a line in the columns of the claims and of the verdicts."""


_COLUMNS: tuple[Column[Decided], ...] = (
    *attributes("claim.name", "claim.who", "claim.claim"),
    *attributes("finding.verdict", "finding.condition", "finding.why", "finding.commands"),
)


@dataclass(frozen=True, slots=True)
class ThreadReport:
    """The answer of ``thread``."""

    decided: Sequence[Decided]

    def document(self) -> dict[str, Any]:
        """One object for each claim."""
        return {"schema": SCHEMA, "claims": [record(_COLUMNS, each) for each in self.decided]}

    def rows(self) -> Rows:
        """One row for each claim."""
        return flat_rows(_COLUMNS, self.decided)

    def text(self, style: str) -> str:
        """A table of verdicts, then why, and the commands that show it; or a page."""
        if style == PAGE:
            return _page(self.decided)
        parts = [_table(self.decided, style)]
        for number, each in enumerate(self.decided, 1):
            why = f"{each.claim.name}: {each.finding.text}. {each.finding.why}"
            lines = [fill(why, first=f"{number:>2}. ", rest="    ")]
            lines += [f"      {command}" for command in each.finding.commands]
            parts.append("\n".join(lines))
        return "\n\n".join(parts)


def _page(decided: Sequence[Decided]) -> str:
    lines = [
        "# The thread of January 2011, claim by claim",
        "",
        "Made by `make record` from what `staleline thread` finds; a test fails when it is out of date. The claims are",
        "those of the mailing-list thread on the patch that became QEMU's commit c69806ab8276, in our words; who made",
        "them is told by role. Every verdict is computed from the models and from recorded executions; what the models",
        "leave out is [a page of its own](left-out.md).",
        "",
        _table(decided, "github"),
    ]
    for number, each in enumerate(decided, 1):
        lines += ["", f"## {number}. {each.claim.name}", "", f"{_who(each)}: {each.claim.claim}", ""]
        lines.append(f"**{each.finding.text[0].upper()}{each.finding.text[1:]}.** {each.finding.why}")
        if each.finding.commands:
            lines += ["", "```", *each.finding.commands, "```"]
    return "\n".join(lines)


def _table(decided: Sequence[Decided], style: str) -> str:
    rows = [(number, _who(each), each.claim.claim, each.finding.text) for number, each in enumerate(decided, 1)]
    return table(("", "who", "claim", "verdict"), rows, style, right=(0,), wrap={2: _CLAIM, 3: _VERDICT})


def _who(each: Decided) -> str:
    return each.claim.who.removeprefix("the ")
