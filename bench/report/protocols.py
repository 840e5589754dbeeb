"""Verdicts on protocols, and on the published bugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bench.check.protocols import VerifiedCase, VerifiedDocument
from bench.explain.protocols import ABSENT, ProtocolRow
from bench.protocols.omission import Omission
from bench.report.report import Column, Rows, flat_rows, record, text_only, text_table
from bench.report.seen import seen_columns
from bench.report.tables import SCHEMA, Cell, fill, table
from bench.silicon.seen import Seen

_BUG = "bug"
"""The case of a published bug that is the bug; the case without a name is the fix."""

_Case = tuple[VerifiedDocument, VerifiedCase]

_COLUMNS: tuple[Column[_Case], ...] = (
    Column("name", lambda of: of[0].document.name, json=False),
    Column("case", lambda of: of[1].case.name, json=False),
    Column("name", lambda of: of[1].case.name, csv=False),
    Column("verdict", lambda of: of[1].verdict),
    Column("expected", lambda of: of[1].case.expected),
    Column("failure", lambda of: of[1].failure),
    Column("steps", lambda of: len(of[1].rows), json=False),
    Column("states", lambda of: of[1].states),
    Column("needs", lambda of: _needs(of[1]) if of[1].needs is not None else None, json=False),
    Column("spared", lambda of: _left(of[1], necessary=False), json=False),
    Column("counterexample", lambda of: [row_object(row) for row in of[1].rows], csv=False),
    Column("needs", lambda of: of[1].needs, csv=False),
    Column("necessities", lambda of: [_necessity(one) for one in of[1].necessities], csv=False),
)


@dataclass(frozen=True, slots=True)
class ProtocolReport:
    """The answers about protocols, each with all its cases and their counterexamples."""

    found: Sequence[VerifiedDocument]
    seen: Seen | None = None

    @property
    def as_expected(self) -> bool:
        """Whether every verdict is the one that its document expects."""
        return all(case.as_expected for one in self.found for case in one.cases)

    def document(self) -> dict[str, Any]:
        """One object for each protocol."""
        return {"schema": SCHEMA, "protocols": [_object(one, self.seen) for one in self.found]}

    def rows(self) -> Rows:
        """One row for each case."""
        columns = (*_COLUMNS, *_seen_columns(self.seen))
        return flat_rows(columns, [(one, case) for one in self.found for case in one.cases])

    def text(self, style: str) -> str:
        """Each protocol in full."""
        parts = [_document(one, style, self.seen) for one in self.found]
        cases = [case for one in self.found for case in one.cases]
        if len(cases) > 1:
            parts.append(f"{_as_expected(cases)} of {len(cases)} cases came out as expected.")
        return "\n\n".join(parts)


class BugsReport(ProtocolReport):
    """The same of all published bugs: as text one table, and how many verdicts are as published."""

    def text(self, style: str) -> str:
        """One row for each bug."""
        bugs = [_Bug(one) for one in self.found]
        counts = {
            "bugs fail as published": [bug.bug for bug in bugs],
            "fixes hold": [bug.fix for bug in bugs],
            "other cases as published": [case for bug in bugs for case in bug.others],
        }
        total = ", ".join(f"{_as_expected(cases)} of {len(cases)} {what}" for what, cases in counts.items())
        return "\n\n".join((text_table(_BUGS, bugs, style), fill(f"{total}."), fill(_LEGEND)))


class _Bug:
    """A published bug: the case that is the bug, the fix, and the other cases."""

    def __init__(self, found: VerifiedDocument) -> None:
        self.document = found.document
        self.fix, *others = found.cases
        self.bug = next(case for case in others if case.case.name == _BUG)
        self.others = [case for case in others if case is not self.bug]


def _as_expected(cases: Sequence[VerifiedCase]) -> int:
    return sum(case.as_expected for case in cases)


_BUGS: tuple[Column[_Bug], ...] = (
    text_only("bug", lambda of: of.document.name),
    text_only("year", lambda of: of.document.year),
    text_only("the bug", lambda of: f"{_verdict(of.bug)}, {len(of.bug.rows)} steps"),
    text_only("the fix", lambda of: _verdict(of.fix)),
    text_only("other cases", lambda of: f"{_as_expected(of.others)} of {len(of.others)}" if of.others else ""),
    text_only("the bug needs", lambda of: _needs(of.bug), wrap=34),
    text_only("the fix does without", lambda of: _left(of.fix, necessary=False), wrap=30),
)

_LEGEND = (
    "The bug needs: of the host, found by leaving features out one by one; where no single one decides, the pairs of "
    "which it needs one. The fix does without: operations that only order or maintain, left out one by one, without "
    "which it still holds in this model."
)


def _names(one: VerifiedDocument, case: VerifiedCase) -> tuple[str, str]:
    """What `run` calls a case: its file, without the host that it was moved to, and its own name."""
    return one.document.name.partition(" on ")[0], case.case.name


def _seen_columns(seen: Seen | None) -> tuple[Column[_Case], ...]:
    return seen_columns(seen, lambda found, case: found.of(*_names(*case)))


def _document(one: VerifiedDocument, style: str, seen: Seen | None) -> str:
    document = one.document
    title = f"{document.name}: {document.summary}" if document.summary else document.name
    about = ", ".join(str(part) for part in (document.project, document.year, document.isa) if part)
    parts = [f"{title} ({about})" if about else title]
    parts += [fill(text) for text in (document.mechanism, document.fix and f"Fix: {document.fix}") if text]
    parts += ["\n".join(document.links)] if document.links else []
    for case in one.cases:
        parts.append(_case(case, style))
        if seen is not None and (count := seen.of(*_names(one, case))) is not None:
            parts.append(fill(f"Seen on {seen.machine}: wrong in {count.text} instances."))
    return "\n\n".join(parts)


def _case(case: VerifiedCase, style: str) -> str:
    name = case.case.name or "as written"
    unexpected = "" if case.as_expected else f", but is expected to be {case.case.expected!r}"
    if case.case.expected is None:
        unexpected = ", of which nothing is expected: the case is about another host"
    parts = [f"{name}: {_verdict(case)}{unexpected} ({case.states:,} states)"]
    if case.rows:
        parts.append(steps_table(case.rows, style))
    if case.needs is not None:
        parts.append(fill(f"It needs {_needs(case)}."))
    if case.necessities:
        needed, spared = _left(case, necessary=True), _left(case, necessary=False)
        parts.append(
            fill(
                f"Fails without any one of {needed}."
                if needed
                else "No operation that only orders or maintains is necessary."
            )
        )
        parts += [fill(f"Holds without any one of {spared}.")] if spared else []
    return "\n\n".join(parts)


def steps_table(steps: Sequence[ProtocolRow], style: str) -> str:
    """A counterexample; a core whose instruction cache never has anything in it has no column."""
    cores = [core for core in range(len(steps[0].code)) if any({*row.code[core].values()} != {ABSENT} for row in steps)]
    headers = ("step", "by", "what happens", "data side", "memory", *(f"icache {core}" for core in cores))
    rows: list[Sequence[Cell]] = [
        (
            number,
            row.actor,
            f"{row.what}{' (wrong)' * row.wrong}",
            *map(_held, (row.data, row.memory, *(row.code[core] for core in cores))),
        )
        for number, row in enumerate(steps, 1)
    ]
    return table(headers, rows, style)


def _verdict(case: VerifiedCase) -> str:
    return f"{case.verdict} ({case.failure})" if case.failure not in ("", "wrong fetch") else case.verdict


def _held(values: Mapping[str, str]) -> str:
    if len(values) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _needs(case: VerifiedCase) -> str:
    if not case.needs:
        return "nothing that a host may lack"
    return "; ".join(" or ".join(group) for group in case.needs)


def _left(case: VerifiedCase, *, necessary: bool) -> str:
    """The operations that are, or are not, necessary: of one thread after the other, with lines where two are alike."""
    texts: dict[str, list[str]] = {}
    known = [(one.of, one.operations) for one in case.necessities]
    for one in case.necessities:
        if bool(one.breaks) is necessary:
            alike = known.count((one.of, one.operations)) > 1
            line = f" (line {', '.join(map(str, one.lines))})" if alike and any(one.lines) else ""
            texts.setdefault(one.of, []).append(" with ".join(one.operations) + line)
    return "; ".join(f"{thread}: {', '.join(some)}" for thread, some in texts.items())


def _object(one: VerifiedDocument, seen: Seen | None) -> dict[str, Any]:
    found = {field.name: getattr(one.document, field.name) for field in fields(one.document)}
    columns = (*_COLUMNS, *_seen_columns(seen))
    return {**found, "cases": [record(columns, (one, case)) for case in one.cases]}


def _necessity(one: Omission) -> dict[str, Any]:
    return {"thread": one.of, "operations": one.operations, "lines": one.lines, "necessary": bool(one.breaks)}


def row_object(row: ProtocolRow) -> dict[str, Any]:
    """A step of a counterexample as JSON has it."""
    return {name: getattr(row, name) for name in ("actor", "what", "data", "memory", "code", "wrong")}
