"""Verdicts on protocols, and on the published bugs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bench.check.protocols import PricedLine, VerifiedCase, VerifiedDocument, priced_case, priced_lines
from bench.explain.protocols import ABSENT, ProtocolRow
from bench.hosts import Architecture, Host
from bench.machine.caches import Features
from bench.protocols.document import Document
from bench.protocols.omission import Omission
from bench.replay.cost import NOTHING, Cost, total
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
        return flat_rows(self._columns, [(one, case) for one in self.found for case in one.cases])

    def text(self, style: str) -> str:
        """Each protocol: its cases by hosts, and what goes wrong."""
        return "\n\n".join([*(self._text(group, style) for group in self.groups), *self.in_all])

    @property
    def groups(self) -> list[list[VerifiedDocument]]:
        """Each file with all hosts that it was checked on."""
        grouped = itertools.groupby(self.found, key=lambda one: (file_of(one), one.document.summary))
        return [list(some) for _, some in grouped]

    @property
    def in_all(self) -> list[str]:
        """How many verdicts are as expected, where there are several files."""
        cases = [case for one in self.found for case in one.cases]
        return [f"{_as_expected(cases)} of {len(cases)} as expected in all."] if len(self.groups) > 1 else []

    def prices(self, group: Sequence[VerifiedDocument]) -> PriceTable:
        """What the lines and the cases of a file cost, on each of its hosts that has a price."""
        priced = [one for one in group if isinstance(one.target, Host)]
        hosts = [one.target for one in priced if isinstance(one.target, Host)]
        lines = priced_lines(group[0].document, hosts, self.parameters) if hosts else ()
        shown = [line for line in lines if any(cost.nominal for cost in line.costs)]
        of_cases = zip(*([self.cost(one, case) or NOTHING for case in one.cases] for one in priced), strict=True)
        return PriceTable(hosts, shown, [*zip(group[0].cases, of_cases, strict=True)] if shown else [])

    def cost(self, one: VerifiedDocument, case: VerifiedCase) -> Cost | None:
        """What the operations of a case cost in all, each once; None where its host has no price."""
        if not isinstance(one.target, Host):
            return None
        lines = priced_case(one.document, case.case, [one.target], self.parameters)
        return total(cost for line in lines for cost in line.costs)

    @property
    def _columns(self) -> tuple[Column[_Case], ...]:
        return (
            *_COLUMNS,
            Column("cost", lambda of: found.ends if (found := self.cost(*of)) is not None else None, csv=False),
            Column("cost", lambda of: found.nominal if (found := self.cost(*of)) is not None else None, json=False),
            *_seen_columns(self.seen),
        )

    def _object(self, one: VerifiedDocument) -> dict[str, Any]:
        found = {key.name: getattr(one.document, key.name) for key in fields(one.document)}
        lines = priced_lines(one.document, [one.target], self.parameters) if isinstance(one.target, Host) else ()
        return {
            **found,
            "host": one.target.name if one.target else None,
            "cases": [record(self._columns, (one, case)) for case in one.cases],
            "prices": [
                {"line": line.line, "thread": line.thread, "operation": line.operation, "cost": line.costs[0].ends}
                for line in lines
            ],
        }

    def _text(self, group: Sequence[VerifiedDocument], style: str) -> str:
        """One protocol, on one host or on several."""
        document = group[0].document
        parts = [title_of(group), *map(fill, told(document))]
        parts += ["\n".join(document.links)] if document.links else []
        cells = [(one, case) for one in group for case in one.cases]
        if len(cells) > 1:
            parts += [*_matrix(group, style), fill(counted(group))]
        for (one, case), where in _distinct(cells):
            parts.append(_case(case, where if len(group) > 1 else "", style))
            if self.seen is not None and (count := self.seen.of(*_names(one, case))) is not None:
                parts.append(fill(f"Seen on {self.seen.machine}: wrong in {count.text} instances."))
        return "\n\n".join([*parts, *_price_table(self.prices(group), style)])


def title_of(group: Sequence[VerifiedDocument]) -> str:
    """What a file is called and is about; on several hosts without those."""
    document = group[0].document
    name = file_of(group[0]) if len(group) > 1 else document.name
    title = f"{name}: {document.summary}" if document.summary else name
    about = ", ".join(str(part) for part in (document.project, document.year, document.isa) if part)
    return f"{title} ({about})" if about else title


def told(document: Document) -> list[str]:
    """What goes wrong, and what was done about it."""
    return [text for text in (document.mechanism, document.fix and f"Fix: {document.fix}") if text]


def host_of(one: VerifiedDocument) -> str:
    """Where a file was checked."""
    return one.target.name if one.target else "its host"


def _matrix(group: Sequence[VerifiedDocument], style: str) -> Iterator[str]:
    """Cases by hosts."""
    names = [called(case) for case in group[0].cases]
    cells = {host_of(one): [verdict_text(case) for case in one.cases] for one in group}
    for some in packed(max(len("case"), *map(len, names)), cells):
        yield table(["case", *some], zip(names, *(cells[host] for host in some), strict=True), style)


def called(case: VerifiedCase) -> str:
    """The name of a case."""
    return case.case.name or "as written"


def verdict_text(case: VerifiedCase) -> str:
    """A verdict; marked where another was expected, in brackets where none was."""
    text = _verdict(case)
    if case.case.expected is None:
        return f"({text})"
    return text if case.as_expected else f"{text} !"


def counted(group: Sequence[VerifiedDocument]) -> str:
    """How many verdicts are as expected, and which are not."""
    cells = [(one, case) for one in group for case in one.cases]
    asked = [(one, case) for one, case in cells if case.case.expected is not None]
    others = [f"{called(case)} on {host_of(one)}" for one, case in asked if not case.as_expected]
    text = f"{len(asked) - len(others)} of {len(asked)} as expected"
    text += f", but not {', '.join(others)}" if others else ""
    text += ". In brackets: about another host, and nothing is expected" if len(asked) < len(cells) else ""
    return f"{text}."


def _distinct(cells: Sequence[_Case]) -> list[tuple[_Case, str]]:
    """What there is to say of cases, and where: on several hosts a counterexample for each way in which a case fails,
    on hosts and on architectures, and what it can do without where it holds."""
    known: dict[object, tuple[_Case, list[str]]] = {}
    several = len({host_of(one) for one, _ in cells}) > 1
    for one, case in cells:
        if len(cells) > 1 and not (case.rows or case.necessities or case.verdict == "bounded"):
            continue
        if several and case.case.expected is None:
            continue
        alike = (case.failure, case.as_expected, isinstance(one.target, Architecture), case.necessities)
        known.setdefault((case.case.name, *(alike if several else ())), ((one, case), []))[1].append(host_of(one))
    return [(cell, ", ".join(hosts)) for cell, hosts in known.values()]


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What each line that costs anything costs on each of some ``hosts``, and each case in all."""

    hosts: Sequence[Host]
    lines: Sequence[PricedLine]
    cases: Sequence[tuple[VerifiedCase, Sequence[Cost]]]

    def rows(self) -> list[tuple[tuple[str, str, str], Sequence[Cost]]]:
        """The line, who does it and what, or what all of it is of; with the costs."""
        lines = [((str(one.line or ""), one.thread, one.operation), one.costs) for one in self.lines]
        return lines + [(("", "all", f"of {called(case)}"), costs) for case, costs in self.cases]


PRICED = "Cycles of each operation, and of all of a case, each once: nominal (lowest..highest)."


def _price_table(prices: PriceTable, style: str) -> Iterator[str]:
    """What each line costs on each host that has a price."""
    rows = prices.rows()
    if not rows:
        return
    first = [*zip(*(names for names, _ in rows), strict=True)]
    cells = {host.name: [cycles(costs[at]) for _, costs in rows] for at, host in enumerate(prices.hosts)}
    room = sum(2 + max(len(name), *map(len, one)) for name, one in zip(("line", "by", "operation"), first, strict=True))
    for some in packed(room, cells):
        body = zip(*first, *(cells[host] for host in some), strict=True)
        yield table(["line", "by", "operation", *some], body, style, right=[0, *range(3, 3 + len(some))])
    yield fill(PRICED)


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


def file_of(one: VerifiedDocument) -> str:
    """The name of a document, without the host that it was moved to."""
    return one.document.name.partition(" on ")[0]


def _names(one: VerifiedDocument, case: VerifiedCase) -> tuple[str, str]:
    """What `run` calls a case: its file and its own name."""
    return file_of(one), case.case.name


def _seen_columns(seen: Seen | None) -> tuple[Column[_Case], ...]:
    return seen_columns(seen, lambda found, case: found.of(*_names(*case)))


def _case(case: VerifiedCase, where: str, style: str) -> str:
    name = f"{called(case)} on {where}" if where else called(case)
    unexpected = "" if case.as_expected else f", but is expected to be {case.case.expected!r}"
    if case.case.expected is None:
        unexpected = ", of which nothing is expected: the case is about another host"
    parts = [fill(f"{name}: {_verdict(case)}{unexpected} ({case.states:,} states)")]
    parts += [steps_table(case.rows, style)] if case.rows else []
    return "\n\n".join([*parts, *map(fill, remarks(case))])


def remarks(case: VerifiedCase) -> list[str]:
    """What a case that fails was not allowed to see and needs of the host, and what one that holds can do without."""
    found = [*_not_allowed(case)]
    if case.needs is not None:
        found.append(f"It needs {_needs(case)}.")
    if case.necessities:
        needed, spared = _left(case, necessary=True), _left(case, necessary=False)
        found.append(
            f"Fails without any one of {needed}."
            if needed
            else "No operation that only orders or maintains is necessary."
        )
        found += [f"Holds without any one of {spared}."] if spared else []
    if case.verdict == "holds" and (names := _reading(case)):
        found.append(
            f"The loads of {' and '.join(names)} were taken in program order; that a core reorders them is left out."
        )
    return found


def _reading(case: VerifiedCase) -> list[str]:
    """Threads with two loads that the rules of the host or the architecture may not keep in order."""
    protocol = case.case.protocol
    rules = protocol.host.rules
    if rules.checks_pipeline if isinstance(rules, Features) else rules.in_order:  # x86, s390
        return []
    texts = ((thread.name, " ".join(one.verb for one in thread.operations)) for thread in protocol.threads)
    return [name for name, text in texts if re.search(r"\bload (?:(?:store|set|wait) )*load\b", text)]


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
