"""Reading protocols: a TOML file with a protocol, and cases that differ from it in something."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import known_bugs
from bench.hosts import load_target
from bench.machine.opcodes import FAMILIES, KINDS, Instruction, family, read_instruction
from bench.protocols.host import PLAIN, ProtocolHost, protocol_host
from bench.protocols.operations import parsed
from bench.protocols.protocol import Address, Protocol, Thread
from bench.protocols.refusals import refuse_impossible, refuse_missing
from bench.support.errors import InputError
from bench.support.toml import Source, checked, dotted, parse, read

_WHAT = "a protocol"
_SUFFIX = ".toml"

Expected = Literal["holds", "fails"]


class _Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cores: int | None = None
    instruction_line: int | tuple[int, ...] = 64
    data_line: int = 64
    fill: Literal["pou", "coherent"] = "pou"
    snoop: Literal["none", "others", "all"] = "none"
    evicts: bool = True
    prefetches: bool = True
    fetches_ahead: bool = True
    store_buffer: int = 0
    maintenance: Literal["pending", "at once"] = "pending"
    icache: Literal["pipt", "vipt"] = "pipt"
    write_allocate: bool = True
    write: Literal["back", "through"] = "back"
    dirty_transfer: Literal["cache", "memory"] = "cache"
    checks_pipeline: bool = False
    switch_cleans_all: bool = False
    interrupts: Literal["overtake", "wait"] = "overtake"


class _Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: int
    alias: str


class _Thread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    does: str
    core: int | None = None


class _Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can differ from case to case."""

    host: str | _Host = _Host()
    instruction_cache: Literal["warm", "cold"] = "warm"
    layout: dict[str, int | _Alias] = {}
    init: dict[str, str] = {}
    coherency: dict[str, str] = {}
    instructions: dict[str, str] = {}
    mmu_off: tuple[int, ...] = ()
    flags: dict[str, int] = {}
    allowed: dict[str, tuple[str, ...]] = {}
    threads: dict[str, _Thread] = {}


class _Named(_Case, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    of: str = ""
    without: tuple[str, ...] = ()
    expect: Expected = "holds"


class _Document(_Case, frozen=True, forbid_unknown_fields=True):
    summary: str = ""
    project: str = ""
    year: int = 0
    isa: str = ""
    links: tuple[str, ...] = ()
    mechanism: str = ""
    fix: str = ""
    expect: Expected = "holds"
    cases: tuple[_Named, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtocolCase:
    """A protocol, the name of the case (empty: what the file itself says), and the verdict ``expected``, if any is.

    ``own_host``: the case says something of its host that the file itself does not.
    """

    name: str
    expected: Expected | None
    protocol: Protocol
    own_host: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A file: its ``name``, what it says of where it comes from, and its ``cases``, the first without a name."""

    name: str
    summary: str
    project: str
    year: int
    isa: str
    links: tuple[str, ...]
    mechanism: str
    fix: str
    cases: tuple[ProtocolCase, ...]


_MERGED = ("host", "threads", "flags", "instructions")
"""Tables of which a case names only what differs; the others it says whole."""


def read_protocol(path: str) -> Document:
    """The document in a file.  Raises ``InputError``."""
    return _document(*read(path, _WHAT), Path(path).name.removesuffix(_SUFFIX))


def document_from(text: str, name: str) -> Document:
    """The document of that name with the text of a file.  Raises ``InputError``."""
    return _document(*parse(text.encode(), name, _WHAT), name)


def is_protocol(name: str) -> bool:
    """Whether an argument names a protocol, and not a strategy."""
    return name.endswith(_SUFFIX)


def bug_names() -> tuple[str, ...]:
    """The published bugs that come with the project, sorted."""
    files = importlib.resources.files(known_bugs).iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX)))


def load_bug(name: str) -> Document:
    """A published bug.  Raises ``InputError`` for an unknown name."""
    if name not in bug_names():
        raise InputError(f"no bug {name!r}", expected=f"one of {', '.join(bug_names())}")
    file = name + _SUFFIX
    return _document(*parse(importlib.resources.files(known_bugs).joinpath(file).read_bytes(), file, _WHAT), name)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A case as a whole: its ``tree``, and ``where`` in the file parts of it stand that are not the file's own."""

    name: str
    source: Source
    tree: Mapping[str, Any]
    where: Mapping[tuple[str, ...], tuple[str, ...]]
    expected: Expected

    def refuse(self, found: str, steps: tuple[str, ...], expected: str, line: int = 0) -> InputError:
        """The error at a key of the case, or in that line of the file."""
        called = f"case {self.name!r}: {dotted(steps)}" if self.name else dotted(steps)
        return self.source.refuse(found, self.at(steps), expected, line=line, called=called)

    def at(self, steps: tuple[str, ...]) -> tuple[str, ...]:
        """The key path in the file."""
        for length in range(len(steps), 0, -1):
            if steps[:length] in self.where:
                return (*self.where[steps[:length]], *steps[length:])
        return steps

    def changed(self, name: str, raw: Mapping[str, Any], here: tuple[str, ...], expected: Expected) -> _Whole:
        """The case that is this one with what ``raw`` changes, which stands at ``here`` in the file."""
        tree, where = dict(self.tree), dict(self.where)
        for key, value in raw.items():
            if key not in _Case.__struct_fields__:
                continue
            before = tree.get(key, {})
            if key in _MERGED and isinstance(value, dict) and isinstance(before, dict):
                tree[key] = {**before, **value}
                where.update({(key, name): (*here, key, name) for name in value})
            else:
                tree[key] = value
                where = {steps: at for steps, at in where.items() if steps[0] != key}
                where[(key,)] = (*here, key)
        for thread in raw.get("without", ()):
            if thread not in tree.get("threads", {}):
                known = ", ".join(tree.get("threads", {}))
                raise self.source.refuse(f"no thread {thread!r}", (*here, "without"), f"one of {known}")
            for key in ("threads", "allowed"):
                tree[key] = {other: one for other, one in tree.get(key, {}).items() if other != thread}
        return _Whole(name, self.source, tree, where, expected)

    def thread(self, table: _Case, name: str) -> Thread:
        """The thread of that name.  Raises ``InputError``."""
        thread, place = table.threads[name], ("threads", name, "does")
        if thread.core is None and len(table.threads) > 1:
            raise self.refuse("missing", ("threads", name, "core"), "the core that the thread is on")
        at = self.at(place)
        return Thread(
            name,
            thread.core or 0,
            parsed(
                thread.does,
                lambda number: self.source.line_of_text(at, number),
                lambda found, line, expected: self.refuse(found, place, expected, line),
            ),
            tuple(tuple(sequence.split()) for sequence in table.allowed[name]) if name in table.allowed else None,
        )


def _document(tree: dict[str, Any], source: Source, name: str) -> Document:
    table: _Document = checked(tree, _Document, source)
    own = {key: tree[key] for key in _Case.__struct_fields__ if key in tree}
    wholes = {"": _Whole("", source, own, {}, table.expect)}
    for number, (case, raw) in enumerate(zip(table.cases, tree.get("cases", ()), strict=True)):
        here = ("cases", str(number))
        if not case.name or case.name in wholes:
            found = f"the name {case.name!r}{' twice' * (case.name in wholes and bool(case.name))}"
            raise source.refuse(found, (*here, "name"), "a name of its own")
        if case.of not in wholes:
            raise source.refuse(f"no case {case.of!r} before it", (*here, "of"), ", ".join(map(repr, wholes)))
        wholes[case.name] = wholes[case.of].changed(case.name, raw, here, case.expect)
    made = [(whole, *_made(whole, table.isa)) for whole in wholes.values()]
    values = tuple(dict.fromkeys(value for _, _, protocol in made for value in protocol.values))
    for whole, one, protocol in made:
        refuse_impossible(protocol, values, whole.refuse)
        sets = load_target(one.host).isa if isinstance(one.host, str) else (table.isa,)
        refuse_missing(protocol, sets, whole.refuse)
    cases = [
        ProtocolCase(whole.name, whole.expected, protocol, case.host != made[0][1].host)
        for whole, case, protocol in made
    ]
    return Document(
        name, table.summary, table.project, table.year, table.isa, table.links, table.mechanism, table.fix, tuple(cases)
    )


def _instructions(table: _Case, isa: str, whole: _Whole) -> dict[str, Instruction]:
    """What the values of a case are as instructions."""
    if table.instructions and not family(isa):
        expected = f"isa = one that begins with {', '.join(FAMILIES)}"
        raise whole.refuse(f"isa = {isa!r}", ("instructions",), expected)
    found = {}
    for value, text in table.instructions.items():
        read = read_instruction(family(isa), text)
        if read is None:
            expected = (
                f"its encoding in hexadecimal, as the manual writes it, or one of {', '.join(KINDS[family(isa)])}"
            )
            raise whole.refuse(f"{text!r}", ("instructions", value), expected)
        found[value] = read
    return found


def _made(whole: _Whole, isa: str) -> tuple[_Case, Protocol]:
    """A case and its protocol, of which only what it consists of has been checked."""
    table: _Case = msgspec.convert(whole.tree, _Case)  # of parts that were checked
    for name in table.allowed:
        if name not in table.threads:
            raise whole.refuse(f"no thread {name!r}", ("allowed", name), f"one of {', '.join(table.threads)}")
    threads = tuple(whole.thread(table, name) for name in table.threads)
    addresses: dict[str, Address] = {}
    initial = dict(table.init)
    for name, at in table.layout.items():
        if isinstance(at, int):
            addresses[name] = Address(at, at)
        elif at.alias in addresses:
            addresses[name] = Address(at.at, addresses[at.alias].physical)
            if at.alias in initial:
                initial.setdefault(name, initial[at.alias])
        else:
            raise whole.refuse(f"an alias of {at.alias!r}", ("layout", name), "a unit above it")
    protocol = Protocol(
        host=_host(table, threads, whole),
        addresses=addresses,
        initial=initial,
        threads=threads,
        flags=table.flags,
        coherency=table.coherency,
        mmu_off=frozenset(table.mmu_off),
        instructions=_instructions(table, isa, whole),
        warm=table.instruction_cache == "warm",
    )
    return table, protocol


def _host(table: _Case, threads: Iterable[Thread], whole: _Whole) -> ProtocolHost:
    host = table.host
    needed = 1 + max((thread.core for thread in threads), default=0)
    if isinstance(host, str):
        try:
            found = protocol_host(load_target(host))
        except InputError as error:
            raise whole.refuse(error.message, ("host",), error.expected or "a host or an architecture") from None
        if found.cores < needed:
            raise whole.refuse(f"{needed} cores", ("host",), f"at most {found.cores}, which {host} has")
        return replace(found, cores=needed, instruction_lines=found.instruction_lines[:needed])
    return ProtocolHost(
        rules=replace(
            PLAIN,
            fill=host.fill,
            snoop=host.snoop,
            fetches_ahead=host.fetches_ahead,
            store_buffer=host.store_buffer,
            write_allocate=host.write_allocate,
            write_through=host.write == "through",
            dirty_transfer=host.dirty_transfer,
            checks_pipeline=host.checks_pipeline,
            switch_cleans_all=host.switch_cleans_all,
            interrupts=host.interrupts,
            maintenance_at_once=host.maintenance == "at once",
        ),
        cores=host.cores if host.cores is not None else needed,
        instruction_lines=(
            host.instruction_line if isinstance(host.instruction_line, tuple) else (host.instruction_line,)
        ),
        data_line=host.data_line,
        evicts=host.evicts,
        prefetches=host.prefetches,
        icache=host.icache,
    )
