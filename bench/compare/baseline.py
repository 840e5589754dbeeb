"""Comparisons that were kept, and what has changed since: verdicts first, then costs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.replay.cost import Ends
from bench.replay.price import CHANCE
from bench.support.errors import InputError
from bench.support.files import read_bytes, refuse_unwritable, replacing
from bench.support.text import encoded

FOLDER = Path(".staleline")
"""Where runs are kept by name, in the current folder."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{0,63}")
_MOST_BYTES = 64 << 20
_ORDER = {"fails": 0, "bounded": 1, "holds": 2}

ABSENT = "absent"
"""In place of a verdict that was not asked for."""

Verdict = Literal["holds", "fails", "bounded", "n/a"]
Change = Literal["worse", "better", "same", "gone", "new"]


class Row(msgspec.Struct, frozen=True):
    """What is asked of a row of a comparison; the rest of it is kept too."""

    strategy: str
    host: str
    translator: str
    trace: str
    settings: tuple[str, ...]
    verdicts: dict[str, Verdict]
    lasting: Verdict | None
    partial: Verdict
    overhead: Ends

    @property
    def key(self) -> tuple[str, ...]:
        """What it is a row of; a host that is derived from another goes by the same name."""
        return self.strategy, self.host, self.translator, self.trace

    @property
    def all_verdicts(self) -> dict[str, str]:
        """Those of all scenarios and hazards."""
        lasting = {"lasting": self.lasting} if self.lasting is not None else {}
        return {**self.verdicts, **lasting, "partial": self.partial}


class Assumption(msgspec.Struct, frozen=True):
    """A quantity that costs are sums of, as it was then."""

    name: str
    value: float
    low: float
    high: float
    unit: str


class Assumptions(msgspec.Struct, frozen=True):
    """What was assumed on a host with a translator; ``search``: the size of the scenarios that were searched."""

    host: str
    translator: str
    settings: tuple[str, ...]
    vcpus: int
    as_recorded: bool
    seed: int
    quantities: tuple[Assumption, ...]
    search: dict[str, int] = {}


class Kept(msgspec.Struct, frozen=True):
    """A run: what made it, its rows, and what was assumed."""

    schema: int
    version: str
    commit: str
    command: str
    results: tuple[Row, ...]
    assumptions: tuple[Assumptions, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of a row: of each of its verdicts (before, now) that changed, and of its cost in ``words``.

    A verdict that only one of the two runs asked for is ``ABSENT`` from the other.
    """

    row: Row
    verdicts: Mapping[str, tuple[str, str]]
    cost: Change
    words: str

    @property
    def change(self) -> Change:
        """Worse if anything is; a verdict counts before any price, and one that is gone before one that is new."""
        found = {_verdict_change(*both) for both in self.verdicts.values()}
        if self.cost in ("gone", "new"):
            return self.cost
        changes: tuple[Change, ...] = ("worse", "gone", "better")
        for change in changes:
            if change in found:
                return change
        return "new" if "new" in found and self.cost == "same" else self.cost


def _verdict_change(before: str, now: str) -> Change:
    if ABSENT in (before, now):
        return "new" if before == ABSENT else "gone"
    if before not in _ORDER or now not in _ORDER:
        return "same"
    return "worse" if _ORDER[now] < _ORDER[before] else "better"


def path_of(name: str) -> Path:
    """Where a run of that name is kept.  Raises ``InputError`` for what cannot be a name."""
    if not _NAME.fullmatch(name):
        raise InputError(repr(name), place="`save`", expected="a name of letters, digits and -_.+@")
    return FOLDER / f"{name}.json"


def refuse_unkeepable(name: str) -> None:
    """Raise ``InputError`` if a run cannot be kept by that name; the folder is made."""
    path = path_of(name)
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{error.strerror}", file=str(FOLDER), expected="a folder to keep runs in") from None
    refuse_unwritable(path)


def keep(name: str, document: Mapping[str, Any], *, version: str, commit: str, command: str) -> None:
    """Keep the document of ``compare --format json`` by a name."""
    whole = {"version": version, "commit": commit, "command": command, **document}
    with replacing(path_of(name)) as file:
        file.write(msgspec.json.format(encoded(whole), indent=1) + b"\n")


def kept_in(name: str) -> Path:
    """The file of a run: a file itself, or that of its name."""
    path = Path(name)
    return path_of(name) if _NAME.fullmatch(name) and not path.is_file() else path


def load(name: str) -> Kept:
    """A run that was kept: by its name, or from a file.  Raises ``InputError``."""
    path = kept_in(name)
    if _NAME.fullmatch(name) and not path.is_file():
        known = sorted(file.stem for file in FOLDER.glob("*.json"))
        raise InputError(
            f"no run {name!r}",
            place="`against`",
            expected=f"a file, or one of {', '.join(known)}" if known else "a file, or a run that was kept with `save`",
        )
    data = read_bytes(str(path), "a run kept with `save`", _MOST_BYTES)
    try:
        found = msgspec.json.decode(data, type=Kept)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{error}", file=str(path), expected="a run kept with `save`") from None
    if found.schema != 1:
        raise InputError(f"schema {found.schema}", file=str(path), place="schema", expected="1")
    return found


def rows_of(document: Mapping[str, Any]) -> tuple[Row, ...]:
    """The rows of a document of ``compare --format json``."""
    return msgspec.convert(msgspec.to_builtins(document["results"]), tuple[Row, ...])


def assumptions_of(document: Mapping[str, Any]) -> tuple[Assumptions, ...]:
    """What a document of ``compare --format json`` assumes."""
    return msgspec.convert(msgspec.to_builtins(document["assumptions"]), tuple[Assumptions, ...])


def other_assumptions(before: Sequence[Assumptions], now: Sequence[Assumptions]) -> dict[str, list[str]]:
    """What was assumed otherwise then, by host and translator: ``lookup 20 -> 40``.

    A quantity that only one of two runs depends on is none: the other has strategies that do without it.
    """
    known = {(one.host, one.translator): one for one in before}
    found = {}
    for one in now:
        then = known.get((one.host, one.translator))
        if then is not None and (changes := list(_changes(then, one))):
            found[f"{one.host} with {one.translator}"] = changes
    return found


def _changes(then: Assumptions, now: Assumptions) -> Iterator[str]:
    for setting in then.settings:
        if setting not in now.settings:
            yield f"{setting} is no longer set"
    for setting in now.settings:
        if setting not in then.settings:
            yield f"{setting} is set"
    for name, size in now.search.items():
        if then.search.get(name, size) != size:
            yield f"{name} {then.search[name]} -> {size}"
    for name in ("vcpus", "as_recorded", "seed"):
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            yield f"{name} {before} -> {after}".lower()
    known = {one.name: one for one in then.quantities}
    for one in now.quantities:
        old = known.get(one.name)
        # Sampling noise is found, not assumed.
        if old is not None and old != one and not one.name.startswith(CHANCE):
            yield f"{one.name} {_described(old)} -> {_described(one)}"


def _described(one: Assumption) -> str:
    ends = f" ({one.low:g}..{one.high:g})" if one.low < one.high else ""
    return f"{one.value:g}{ends}"


def differences(before: Sequence[Row], now: Sequence[Row], tolerance: float = 1.02) -> tuple[Difference, ...]:
    """What has changed, row by row: those that are there now, and then those that are gone.

    Costs that differ by no more than the factor ``tolerance`` are the same.
    """
    known = {row.key: row for row in before}
    found = [
        _difference(known[row.key], row, tolerance) if row.key in known else Difference(row, {}, "new", "new")
        for row in now
    ]
    here = {row.key for row in now}
    found += [Difference(row, {}, "gone", "gone") for row in before if row.key not in here]
    return tuple(found)


def _difference(before: Row, now: Row, tolerance: float) -> Difference:
    then, here = before.all_verdicts, now.all_verdicts
    both = {name: (then.get(name, ABSENT), here.get(name, ABSENT)) for name in {**here, **then}}
    changed = {name: (one, other) for name, (one, other) in both.items() if one != other}
    return Difference(now, changed, *_cost(before.overhead, now.overhead, tolerance))


def _cost(before: Ends, now: Ends, tolerance: float) -> tuple[Change, str]:
    one, other = before["nominal"], now["nominal"]
    if one <= 0 or other <= 0:
        if abs(other - one) <= max(abs(one), abs(other)) * (tolerance - 1):
            return "same", "same"
        return ("worse", "dearer, from nothing") if other > one else ("better", "cheaper, down to nothing")
    if 1 / tolerance <= other / one <= tolerance:
        return "same", "same"
    return ("worse", f"{other / one:.2g}x dearer") if other > one else ("better", f"{one / other:.2g}x cheaper")
