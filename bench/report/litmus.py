"""Results of litmus tests: as herd prints them, as a table, or compared with a list of kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.litmus.condition import Fault, Observable, observable_text, proposition_text
from bench.litmus.instructions import instruction_text
from bench.litmus.reader import LitmusTest
from bench.litmus.run import LitmusResult
from bench.litmus.values import CodeAddress, DataAddress, LitmusValue
from bench.report.report import Column, Rows, flat_rows, record, text_table
from bench.report.tables import SCHEMA, fill, table

HERD = "herd"
"""The format that is herd's own."""

_KINDS = {"exists": "Allowed", "~exists": "Forbidden", "forall": "Required"}


@dataclass(frozen=True, slots=True)
class TimedResult:
    """A result on an architecture, and how long it took in seconds."""

    result: LitmusResult
    host: str
    seconds: float

    @property
    def kind(self) -> str:
        """What was found, as herd's lists of kinds have it."""
        if self.result.test.condition.quantifier == "forall":
            return "Required" if self.result.validated else "Forbidden"
        return "Allowed" if self.result.positive else "Forbidden"


def observation(result: LitmusResult) -> str:
    """``Never``, ``Sometimes`` or ``Always``."""
    return "Never" if not result.positive else "Always" if not result.negative else "Sometimes"


def as_block(timed: TimedResult) -> str:
    """herd's block of a test; its numbers are of distinct final states, where herd counts executions."""
    result, test = timed.result, timed.result.test
    condition = test.condition
    lines = [f"Test {test.name} {_KINDS[condition.quantifier]}", f"States {len(result.finals)}"]
    lines += sorted(_state(result, final) for final in result.finals)
    lines += [
        "Ok" if result.validated else "No",
        "Witnesses",
        f"Positive: {result.positive} Negative: {result.negative}",
        f"Condition {condition.quantifier} ({_condition(test)})",
        f"Observation {test.name} {observation(result)} {result.positive} {result.negative}",
        f"Time {test.name} {timed.seconds:.2f}",
    ]
    if "Hash" in test.header:
        lines.append(f"Hash={test.header['Hash']}")
    return "\n".join(lines) + "\n"


def _atom(test: LitmusTest, where: Observable, value: LitmusValue) -> str:
    """``1:X0=1``."""
    if isinstance(where, Fault):
        return f"fault({observable_text(where)})"
    return f"{observable_text(where)}={_shown(test, value)}"


def _shown(test: LitmusTest, value: LitmusValue) -> str:
    """A value of a test, as herd prints it."""
    match value:
        case CodeAddress(thread, at):
            name = next((label for label, there in test.labels[thread].items() if there == at), f"+{4 * at}")
            return f'label:"P{thread}:{name}"'
        case DataAddress(name, offset):
            return f"{name}+{offset}" if offset else name
    if value >= 1 << 16 and (named := instruction_text(value)):
        return f"{value:#x}" if test.words else named
    return str(value)


def _condition(test: LitmusTest) -> str:
    return proposition_text(test.condition.proposition, partial(_atom, test))


def _state(result: LitmusResult, final: tuple[LitmusValue, ...]) -> str:
    parts: list[str] = []
    arrays: dict[str, list[str]] = {}
    for where, value in zip(result.shown, final, strict=True):
        if isinstance(where, Fault):
            parts.append(f" {'' if value else '~'}Fault({observable_text(where)});")
        elif isinstance(where, DataAddress) and where.name in result.test.arrays:
            arrays.setdefault(where.name, []).append(_shown(result.test, value))
        else:
            parts.append(f"{observable_text(where)}={_shown(result.test, value)};")
    parts += [f"{name}={{{','.join(values)}}};" for name, values in arrays.items()]
    return " ".join(parts)


_COLUMNS: tuple[Column[TimedResult], ...] = (
    Column("file", lambda one: one.result.test.file),
    Column("test", lambda one: one.result.test.name, "test"),
    Column("host", lambda one: one.host, "host"),
    Column("quantifier", lambda one: one.result.test.condition.quantifier, csv=False),
    Column(
        "condition",
        lambda one: _condition(one.result.test),
        "condition",
        lambda one: _KINDS[one.result.test.condition.quantifier],
        csv=False,
    ),
    Column("condition", lambda one: one.result.test.condition.quantifier, json=False),
    Column("ok", lambda one: one.result.validated, "", lambda one: "Ok" if one.result.validated else "No"),
    Column("observation", lambda one: observation(one.result), "observation"),
    Column("kind", lambda one: one.kind, csv=False),
    Column("positive", lambda one: one.result.positive, "positive", right=True),
    Column("negative", lambda one: one.result.negative, "negative", right=True),
    Column("states", lambda one: [_final(one.result, final) for final in one.result.finals], csv=False),
    Column(
        "explored",
        lambda one: one.result.states,
        "states explored",
        lambda one: f"{one.result.states:,}",
        right=True,
        csv=False,
    ),
    Column("states", lambda one: one.result.states, json=False),
)


@dataclass(frozen=True, slots=True)
class LitmusReport:
    """The answer of ``litmus``; ``kinds`` is the list that it is compared with, if it is."""

    found: Sequence[TimedResult]
    kinds: Mapping[str, str] | None = None

    @property
    def differing(self) -> list[TimedResult]:
        """The tests that are not as the list has them."""
        kinds = self.kinds or {}
        return [one for one in self.found if one.kind != kinds.get(one.result.test.name, one.kind)]

    def document(self) -> dict[str, Any]:
        """One object for each test."""
        return {"schema": SCHEMA, "tests": [record(_COLUMNS, one) for one in self.found]}

    def rows(self) -> Rows:
        """One row for each test."""
        return flat_rows(_COLUMNS, self.found)

    def text(self, style: str) -> str:
        """herd's blocks or a table; with kinds, how many tests are as they have them, and which are not."""
        if self.kinds is not None:
            return self._agreement(self.kinds, "simple" if style == HERD else style)
        return "\n".join(map(as_block, self.found)) if style == HERD else text_table(_COLUMNS, self.found, style)

    def _agreement(self, kinds: Mapping[str, str], style: str) -> str:
        known = [one for one in self.found if one.result.test.name in kinds]
        seconds = sum(one.seconds for one in self.found)
        hosts = sorted({one.host for one in self.found})
        text = fill(
            f"{len(known) - len(self.differing)} of {len(known)} tests agree ({', '.join(hosts)}; {seconds:.1f} s; "
            f"{len(self.found) - len(known)} without a kind)."
        )
        if self.differing:
            rows = [(one.result.test.name, one.host, one.kind, kinds[one.result.test.name]) for one in self.differing]
            text = f"{table(('test', 'host', 'found', 'expected'), rows, style)}\n\n{text}"
        return text


def _final(result: LitmusResult, final: tuple[LitmusValue, ...]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for where, value in zip(result.shown, final, strict=True):
        if isinstance(where, Fault):
            found[f"fault({observable_text(where)})"] = bool(value)
        else:
            found[observable_text(where)] = _shown(result.test, value)
    return found
