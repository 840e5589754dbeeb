"""Verdicts on protocols, and on the published bugs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bench.check.protocols import PricedLine, VerifiedCase, VerifiedDocument, priced_lines
from bench.explain.protocols import ABSENT, ProtocolRow
from bench.hosts import Architecture, Host
from bench.protocols.omission import Omission
from bench.replay.parameters import Parameters
from bench.report.costs import cycles
from bench.report.report import Column, Rows, flat_rows, record, text_only, text_table
from bench.report.seen import seen_columns
from bench.report.tables import SCHEMA, Cell, fill, packed, table
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
    """The answers about protocols, each with all its cases and their counterexamples, and on hosts that it was moved to
    with what its lines cost."""

    found: Sequence[VerifiedDocument]
    seen: Seen | None = None
    parameters: Parameters = field(default_factory=Parameters)

    @property
    def as_expected(self) -> bool:
        """Whether every verdict is the one that its document expects."""
        return all(case.as_expected for one in self.found for case in one.cases)

    def document(self) -> dict[str, Any]:
        """One object for each protocol on each host."""
        return {"schema": SCHEMA, "protocols": [self._object(one) for one in self.found]}

    def rows(self) -> Rows:
        """One row for each case."""
        columns = (*_COLUMNS, *_seen_columns(self.seen))
        return flat_rows(columns, [(one, case) for one in self.found for case in one.cases])

    def text(self, style: str) -> str:
        """Each protocol: its cases by hosts, and what goes wrong."""
        grouped = itertools.groupby(self.found, key=lambda one: (_file(one), one.document.summary))
        parts = [self._text(list(some), style) for _, some in grouped]
        if len(parts) > 1:
            cases = [case for one in self.found for case in one.cases]
            parts.append(f"{_as_expected(cases)} of {len(cases)} as expected in all.")
        return "\n\n".join(parts)

    def _object(self, one: VerifiedDocument) -> dict[str, Any]:
        found = {key.name: getattr(one.document, key.name) for key in fields(one.document)}
        columns = (*_COLUMNS, *_seen_columns(self.seen))
        prices = self._prices([one]) if isinstance(one.target, Host) else ()
        return {
            **found,
            "host": one.target.name if one.target else None,
            "cases": [record(columns, (one, case)) for case in one.cases],
            "prices": [
                {"line": line.line, "thread": line.thread, "operation": line.operation, "cost": line.costs[0].ends}
                for line in prices
            ],
        }

    def _prices(self, group: Sequence[VerifiedDocument]) -> Sequence[PricedLine]:
        hosts = [one.target for one in group if isinstance(one.target, Host)]
        return priced_lines(group[0].document, hosts, self.parameters) if hosts else ()

    def _text(self, group: Sequence[VerifiedDocument], style: str) -> str:
        """One protocol, on one host or on several."""
        document = group[0].document
        name = _file(group[0]) if len(group) > 1 else document.name
        title = f"{name}: {document.summary}" if document.summary else name
        about = ", ".join(str(part) for part in (document.project, document.year, document.isa) if part)
        parts = [f"{title} ({about})" if about else title]
        parts += [fill(text) for text in (document.mechanism, document.fix and f"Fix: {document.fix}") if text]
        parts += ["\n".join(document.links)] if document.links else []
        cells = [(one, case) for one in group for case in one.cases]
        if len(cells) > 1:
            parts += [*_matrix(group, style), _counted(cells)]
        for (one, case), where in _distinct(cells):
            parts.append(_case(case, where if len(group) > 1 else "", style))
            if self.seen is not None and (count := self.seen.of(*_names(one, case))) is not None:
                parts.append(fill(f"Seen on {self.seen.machine}: wrong in {count.text} instances."))
        return "\n\n".join([*parts, *_price_table(group, self._prices(group), style)])


def _host(one: VerifiedDocument) -> str:
    return one.target.name if one.target else "its host"


def _matrix(group: Sequence[VerifiedDocument], style: str) -> Iterator[str]:
    """Cases by hosts."""
    names = [_called(case) for case in group[0].cases]
    cells = {_host(one): [_cell(case) for case in one.cases] for one in group}
    for some in packed(max(len("case"), *map(len, names)), cells):
        yield table(["case", *some], zip(names, *(cells[host] for host in some), strict=True), style)


def _called(case: VerifiedCase) -> str:
    return case.case.name or "as written"


def _cell(case: VerifiedCase) -> str:
    """A verdict; marked where another was expected, in brackets where none was."""
    text = _verdict(case)
    if case.case.expected is None:
        return f"({text})"
    return text if case.as_expected else f"{text} !"


def _counted(cells: Sequence[_Case]) -> str:
    asked = [(one, case) for one, case in cells if case.case.expected is not None]
    others = [f"{_called(case)} on {_host(one)}" for one, case in asked if not case.as_expected]
    text = f"{len(asked) - len(others)} of {len(asked)} as expected"
    text += f", but not {', '.join(others)}" if others else ""
    text += ". In brackets: about another host, and nothing is expected" if len(asked) < len(cells) else ""
    return fill(f"{text}.")


def _distinct(cells: Sequence[_Case]) -> list[tuple[_Case, str]]:
    """What there is to say of cases, and where: on several hosts a counterexample for each way in which a case fails,
    on hosts and on architectures, and what it can do without where it holds."""
    known: dict[object, tuple[_Case, list[str]]] = {}
    several = len({_host(one) for one, _ in cells}) > 1
    for one, case in cells:
        if len(cells) > 1 and not (case.rows or case.necessities or case.verdict == "bounded"):
            continue
        if several and case.case.expected is None:
            continue
        alike = (case.failure, case.as_expected, isinstance(one.target, Architecture), case.necessities)
        known.setdefault((case.case.name, *(alike if several else ())), ((one, case), []))[1].append(_host(one))
    return [(cell, ", ".join(hosts)) for cell, hosts in known.values()]


def _price_table(group: Sequence[VerifiedDocument], prices: Sequence[PricedLine], style: str) -> Iterator[str]:
    """What each line costs on each host that has a price."""
    hosts = [one.target.name for one in group if isinstance(one.target, Host)]
    lines = [line for line in prices if any(cost.nominal for cost in line.costs)]
    if not lines:
        return
    first = (
        [str(line.line or "") for line in lines],
        [line.thread for line in lines],
        [line.operation for line in lines],
    )
    cells = {host: [cycles(line.costs[at]) for line in lines] for at, host in enumerate(hosts)}
    room = sum(2 + max(len(name), *map(len, one)) for name, one in zip(("line", "by", "operation"), first, strict=True))
    for some in packed(room, cells):
        body = zip(*first, *(cells[host] for host in some), strict=True)
        yield table(["line", "by", "operation", *some], body, style, right=[0, *range(3, 3 + len(some))])
    yield fill("Cycles of each operation, nominal (lowest..highest).")


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


def _file(one: VerifiedDocument) -> str:
    """The name of a document, without the host that it was moved to."""
    return one.document.name.partition(" on ")[0]


def _names(one: VerifiedDocument, case: VerifiedCase) -> tuple[str, str]:
    """What `run` calls a case: its file and its own name."""
    return _file(one), case.case.name


def _seen_columns(seen: Seen | None) -> tuple[Column[_Case], ...]:
    return seen_columns(seen, lambda found, case: found.of(*_names(*case)))


def _case(case: VerifiedCase, where: str, style: str) -> str:
    name = f"{_called(case)} on {where}" if where else _called(case)
    unexpected = "" if case.as_expected else f", but is expected to be {case.case.expected!r}"
    if case.case.expected is None:
        unexpected = ", of which nothing is expected: the case is about another host"
    parts = [fill(f"{name}: {_verdict(case)}{unexpected} ({case.states:,} states)")]
    if case.rows:
        parts.append(steps_table(case.rows, style))
        parts += [fill(text) for text in _not_allowed(case)]
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


def _not_allowed(case: VerifiedCase) -> Iterator[str]:
    """What the thread that went wrong executed and loaded, where that is not what the file allows word by word."""
    for row in case.rows:
        thread = next((one for one in case.case.protocol.threads if one.name == row.actor), None)
        if row.wrong and row.observed and thread is not None and thread.allowed:
            found = " ".join(value for each in case.rows if each.actor == row.actor for value in each.observed)
            allowed = " or ".join(f"`{' '.join(one)}`" for one in thread.allowed)
            yield f"{row.actor} executed or loaded, in order: `{found}`. Allowed: {allowed}."


def steps_table(steps: Sequence[ProtocolRow], style: str) -> str:
    """A counterexample: of each place what the step changes.

    A core whose instruction cache never has anything in it has no column, a unit that nothing happens to no place.
    """
    cores = [core for core in range(len(steps[0].code)) if any({*row.code[core].values()} != {ABSENT} for row in steps)]
    units = _units(steps)
    lines = any(row.line for row in steps)
    headers = (
        *("step", *(("line",) if lines else ()), "by", "what happens"),
        *("data side", "memory", *(f"icache {core}" for core in cores)),
    )
    rows: list[Sequence[Cell]] = []
    before: Sequence[Mapping[str, str]] = [{}] * (2 + len(cores))
    for number, row in enumerate(steps, 1):
        held = [row.data, row.memory, *(row.code[core] for core in cores)]
        places = [_changed(one, other, units) for one, other in zip(held, before, strict=True)]
        before = held
        first = [number, *((str(row.line or ""),) if lines else ())]
        rows.append((*first, row.actor, f"{row.what}{' (wrong)' * row.wrong}", *places))
    return table(headers, rows, style)


def _units(steps: Sequence[ProtocolRow]) -> list[str]:
    """The units that something happens to."""
    last = steps[-1]
    return [
        name
        for name in last.data
        if any(
            (row.data[name], row.memory[name], *(code[name] for code in row.code))
            != (last.data[name], last.memory[name], *(code[name] for code in last.code))
            or re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", row.what)
            for row in steps
        )
    ] or [*last.data]


def _changed(values: Mapping[str, str], before: Mapping[str, str], units: Sequence[str]) -> str:
    new = {name: values[name] for name in units if values[name] != before.get(name)}
    if len(units) == 1:
        return next(iter(new.values()), "")
    return ", ".join(f"{name} {value}" for name, value in new.items())


def _verdict(case: VerifiedCase) -> str:
    return f"{case.verdict} ({case.failure})" if case.failure not in ("", "wrong fetch") else case.verdict


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


def _necessity(one: Omission) -> dict[str, Any]:
    return {"thread": one.of, "operations": one.operations, "lines": one.lines, "necessary": bool(one.breaks)}


def row_object(row: ProtocolRow) -> dict[str, Any]:
    """A step of a counterexample as JSON has it."""
    return {name: getattr(row, name) for name in ("actor", "what", "data", "memory", "code", "wrong", "line")}
