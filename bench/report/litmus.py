"""Results of litmus tests as herd prints them, as a table, CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.litmus.condition import Fault, Observable, observable_text, proposition_text
from bench.litmus.instructions import instruction_text
from bench.litmus.reader import LitmusTest
from bench.litmus.run import LitmusResult
from bench.litmus.values import CodeAddress, DataAddress, Value
from bench.report.tables import SCHEMA, Cell, comma_separated, fill, table

HERD = "herd"
"""The format that is herd's own."""

_KINDS = {"exists": "Allowed", "~exists": "Forbidden", "forall": "Required"}


@dataclass(frozen=True, slots=True)
class Judged:
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


def as_block(judged: Judged) -> str:
    """herd's block of a test; its numbers are of distinct final states, where herd counts executions."""
    result, test = judged.result, judged.result.test
    condition = test.condition
    lines = [f"Test {test.name} {_KINDS[condition.quantifier]}", f"States {len(result.finals)}"]
    lines += sorted(_state(result, final) for final in result.finals)
    lines += [
        "Ok" if result.validated else "No",
        "Witnesses",
        f"Positive: {result.positive} Negative: {result.negative}",
        f"Condition {condition.quantifier} ({proposition_text(condition.proposition, _Shown(test).atom)})",
        f"Observation {test.name} {observation(result)} {result.positive} {result.negative}",
        f"Time {test.name} {judged.seconds:.2f}",
    ]
    if "Hash" in test.header:
        lines.append(f"Hash={test.header['Hash']}")
    return "\n".join(lines) + "\n"


class _Shown:
    """Values of a test, as herd prints them."""

    def __init__(self, test: LitmusTest) -> None:
        self._test = test

    def atom(self, where: Observable, value: Value) -> str:
        """``1:X0=1``."""
        if isinstance(where, Fault):
            return f"fault({observable_text(where)})"
        return f"{observable_text(where)}={self.value(value)}"

    def value(self, value: Value) -> str:
        match value:
            case CodeAddress(thread, at):
                labels = self._test.labels[thread]
                name = next((label for label, there in labels.items() if there == at), f"+{4 * at}")
                return f'label:"P{thread}:{name}"'
            case DataAddress(name, offset):
                return f"{name}+{offset}" if offset else name
        if value >= 1 << 16 and (named := instruction_text(value)):
            return f"{value:#x}" if self._test.words else named
        return str(value)


def _state(result: LitmusResult, final: tuple[Value, ...]) -> str:
    shown = _Shown(result.test)
    parts: list[str] = []
    arrays: dict[str, list[str]] = {}
    for where, value in zip(result.shown, final, strict=True):
        if isinstance(where, Fault):
            parts.append(f" {'' if value else '~'}Fault({observable_text(where)});")
        elif isinstance(where, DataAddress) and where.name in result.test.arrays:
            arrays.setdefault(where.name, []).append(shown.value(value))
        else:
            parts.append(f"{observable_text(where)}={shown.value(value)};")
    parts += [f"{name}={{{','.join(values)}}};" for name, values in arrays.items()]
    return " ".join(parts)


def as_table(found: Sequence[Judged], style: str) -> str:
    """One row for each test."""
    rows: list[Sequence[Cell]] = [
        (
            one.result.test.name,
            one.host,
            _KINDS[one.result.test.condition.quantifier],
            "Ok" if one.result.validated else "No",
            observation(one.result),
            one.result.positive,
            one.result.negative,
            f"{one.result.states:,}",
        )
        for one in found
    ]
    headers = ("test", "host", "condition", "", "observation", "positive", "negative", "states explored")
    return table(headers, rows, style, right=(5, 6, 7))


def agreement(found: Sequence[Judged], kinds: Mapping[str, str], style: str) -> tuple[str, bool]:
    """How many are as a list of kinds has them, which are not, and whether all are."""
    known = [one for one in found if one.result.test.name in kinds]
    others = [one for one in known if one.kind != kinds[one.result.test.name]]
    seconds = sum(one.seconds for one in found)
    hosts = sorted({one.host for one in found})
    text = fill(
        f"{len(known) - len(others)} of {len(known)} tests agree ({', '.join(hosts)}; {seconds:.1f} s; "
        f"{len(found) - len(known)} without a kind)."
    )
    if others:
        rows = [(one.result.test.name, one.host, one.kind, kinds[one.result.test.name]) for one in others]
        text = f"{table(('test', 'host', 'found', 'expected'), rows, style)}\n\n{text}"
    return text, not others


def as_csv(found: Sequence[Judged]) -> str:
    """One row for each test."""
    headers = ("file", "test", "host", "condition", "ok", "observation", "positive", "negative", "states")
    return comma_separated(
        headers,
        (
            (
                one.result.test.file,
                one.result.test.name,
                one.host,
                one.result.test.condition.quantifier,
                str(one.result.validated).lower(),
                observation(one.result),
                one.result.positive,
                one.result.negative,
                one.result.states,
            )
            for one in found
        ),
    )


def as_objects(found: Sequence[Judged]) -> dict[str, Any]:
    """The document of ``--format json``."""
    return {"schema": SCHEMA, "tests": [_object(one) for one in found]}


def _object(one: Judged) -> dict[str, Any]:
    result, test = one.result, one.result.test
    shown = _Shown(test)
    return {
        "file": test.file,
        "test": test.name,
        "host": one.host,
        "quantifier": test.condition.quantifier,
        "condition": proposition_text(test.condition.proposition, shown.atom),
        "ok": result.validated,
        "observation": observation(result),
        "kind": one.kind,
        "positive": result.positive,
        "negative": result.negative,
        "states": [
            {name: _plain(where, value, shown) for name, where, value in _named(result, final)}
            for final in result.finals
        ],
        "explored": result.states,
    }


def _named(result: LitmusResult, final: tuple[Value, ...]) -> list[tuple[str, Observable, Value]]:
    return [
        (f"fault({observable_text(where)})" if isinstance(where, Fault) else observable_text(where), where, value)
        for where, value in zip(result.shown, final, strict=True)
    ]


def _plain(where: Observable, value: Value, shown: _Shown) -> str | bool:
    return bool(value) if isinstance(where, Fault) else shown.value(value)
