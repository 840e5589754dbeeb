"""The claims of the thread with what comes of them, as text, Markdown, JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.report.tables import SCHEMA, comma_separated, fill, table
from bench.thread.findings import Decided

_CLAIM, _VERDICT = 58, 30
"""Characters of a line in the columns of the claims and of the verdicts."""


def as_objects(decided: Sequence[Decided]) -> dict[str, Any]:
    """What ``thread --format json`` prints (``docs/json.md``)."""
    return {
        "schema": SCHEMA,
        "claims": [
            {
                "name": each.claim.name,
                "who": each.claim.who,
                "claim": each.claim.claim,
                "verdict": each.finding.verdict,
                "condition": each.finding.condition,
                "why": each.finding.why,
                "commands": list(each.finding.commands),
            }
            for each in decided
        ],
    }


def as_csv(decided: Sequence[Decided]) -> str:
    """One line per claim."""
    return comma_separated(
        ("name", "who", "claim", "verdict", "condition", "why", "commands"),
        (
            (
                each.claim.name,
                each.claim.who,
                each.claim.claim,
                each.finding.verdict,
                each.finding.condition,
                each.finding.why,
                "; ".join(each.finding.commands),
            )
            for each in decided
        ),
    )


def as_text(decided: Sequence[Decided], style: str) -> str:
    """A table of verdicts, then why, and the commands that show it."""
    parts = [_table(decided, style)]
    for number, each in enumerate(decided, 1):
        lines = [
            fill(f"{each.claim.name}: {each.finding.text}. {each.finding.why}", first=f"{number:>2}. ", rest="    ")
        ]
        lines += [f"      {command}" for command in each.finding.commands]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_markdown(decided: Sequence[Decided]) -> str:
    """The same as a page (``docs/thread.md``)."""
    lines = [
        "# The thread of January 2011, claim by claim",
        "",
        "Made by `make docs` from what `staleline thread` finds; a test fails when it is out of date. The claims are",
        "those of the mailing-list thread on the patch that became QEMU's commit c69806ab8276, in our words; who made",
        "them is told by role. Every verdict is computed from the models and from recorded executions; what the models",
        "leave out is in the README.",
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
