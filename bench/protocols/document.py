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
from bench.machine.cells import ABSENT, PROTECTED
from bench.machine.opcodes import FAMILIES, KINDS, EncodedInstruction, family, read_instruction
from bench.protocols.host import PLAIN, ProtocolHost, protocol_host
from bench.protocols.operations import parsed
from bench.protocols.protocol import Address, Protocol, Thread
from bench.protocols.refusals import refuse_impossible, refuse_missing, refuse_overlapping
from bench.support.errors import InputError
from bench.support.toml import Source, checked, dotted, parse, read

_WHAT = "a protocol"
_SUFFIX = ".toml"
_PAGES = {"protected": PROTECTED, "absent": ABSENT}

ExpectedVerdict = Literal["holds", "fails"]


class _Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cores: int | None = None
    """The number of cores; not given: as many as the threads need."""
    instruction_line: int | tuple[int, ...] = 64
    """The line size of the instruction caches, in bytes; an array where cores differ."""
    data_line: int = 64
    """The line size of the data caches, in bytes."""
    fill: Literal["pou", "coherent"] = "pou"
    """What an instruction fill reads: the point of unification, or the newest data (CTR_EL0.IDC)."""
    snoop: Literal["none", "others", "all"] = "none"
    """The instruction caches from which a store drops its line: none, those of the others, or all (CTR_EL0.DIC)."""
    evicts: bool = True
    """Whether a data line may be written back at any time."""
    prefetches: bool = True
    """Whether an instruction line may be filled although nothing executes it."""
    fetches_ahead: bool = True
    """Whether units are fetched before they are executed, past barriers other than ``isb``."""
    store_buffer: int = 0
    """The entries of each core's store buffer."""
    maintenance: Literal["pending", "at once"] = "pending"
    """When maintenance takes effect: at any moment until a ``dsb``, or at once."""
    icache: Literal["pipt", "vipt"] = "pipt"
    """Whether an alias has an instruction line of its own (``vipt``)."""
    write_allocate: bool = True
    """Whether a store that misses brings its line into the data cache."""
    write: Literal["back", "through"] = "back"
    """Whether the data cache writes back or through."""
    dirty_transfer: Literal["cache", "memory"] = "cache"
    """Where a dirty line goes that another core takes: from cache to cache, or to memory too."""
    checks_pipeline: bool = False
    """Whether stores are checked against the pipeline (x86, z), so that nothing is fetched ahead of them."""
    switch_cleans_all: bool = False
    """Whether a switch or a move cleans and invalidates all caches (VIVT)."""
    interrupts: Literal["overtake", "wait"] = "overtake"
    """Whether an interrupt to other cores may overtake the stores before it."""


class _Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: int
    """The second address, in bytes."""
    alias: str
    """The unit that lies there."""


class _Thread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    does: str
    """The operations of the thread, one on each line."""
    core: int | None = None
    """The core that it runs on; not given: the first."""


class _Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can differ from case to case."""

    host: str | _Host = _Host()
    """The host: a table, or the name of a profile."""
    instruction_cache: Literal["warm", "cold"] = "warm"
    """Whether every line is in the instruction caches at the start, or none."""
    layout: dict[str, int | _Alias] = {}
    """The address of each unit, in bytes, or a table for an alias."""
    init: dict[str, str] = {}
    """The value of each unit at the start: in memory, on the data side and in instruction caches."""
    coherency: dict[str, str] = {}
    """Values at the point of coherency, where they differ; the cores in ``mmu_off`` fetch them."""
    instructions: dict[str, str] = {}
    """What each value is as an instruction: its encoding, or the name of its class."""
    mmu_off: tuple[int, ...] = ()
    """The cores that fetch from the point of coherency until a ``mmu-on``."""
    pages: dict[str, Literal["protected", "absent"]] = {}
    """What the page of a unit is at the start, where it is not executable."""
    flags: dict[str, int] = {}
    """The value of each flag at the start."""
    allowed: dict[str, tuple[str, ...]] = {}
    """The sequences of values that a thread may execute and load; a thread that is not named may see any."""
    threads: dict[str, _Thread] = {}
    """The threads, by name."""


class _Named(_Case, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    """The name of the case."""
    of: str = ""
    """The case that it is a variant of; not given: the file itself."""
    without: tuple[str, ...] = ()
    """Operations that are left out."""
    expect: ExpectedVerdict = "holds"
    """The verdict."""


class _Document(_Case, frozen=True, forbid_unknown_fields=True):
    summary: str = ""
    """What is patched, in a sentence."""
    project: str = ""
    """Where it comes from."""
    year: int = 0
    """When it was published."""
    isa: str = ""
    """The instruction set, for a reader."""
    links: tuple[str, ...] = ()
    """Where it was published."""
    mechanism: str = ""
    """What goes wrong."""
    fix: str = ""
    """What was done about it."""
    expect: ExpectedVerdict = "holds"
    """The verdict of the file itself."""
    cases: tuple[_Named, ...] = ()
    """The variants."""


@dataclass(frozen=True, slots=True)
class ProtocolCase:
    """A protocol, the name of the case (empty: what the file itself says), and the verdict ``expected``, if any is.

    ``own_host``: the case says something of its host that the file itself does not.
    """

    name: str
    expected: ExpectedVerdict | None
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
    expected: ExpectedVerdict

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

    def changed(self, name: str, raw: Mapping[str, Any], here: tuple[str, ...], expected: ExpectedVerdict) -> _Whole:
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
        refuse_overlapping(protocol, table.isa, whole.refuse)
        sets = load_target(one.host).isa if isinstance(one.host, str) else (table.isa,)
        refuse_missing(protocol, sets, whole.refuse)
    cases = [
        ProtocolCase(whole.name, whole.expected, protocol, case.host != made[0][1].host)
        for whole, case, protocol in made
    ]
    return Document(
        name, table.summary, table.project, table.year, table.isa, table.links, table.mechanism, table.fix, tuple(cases)
    )


def _instructions(table: _Case, isa: str, whole: _Whole) -> dict[str, EncodedInstruction]:
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
        pages={name: _PAGES[state] for name, state in table.pages.items()},
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
        found = replace(found, cores=needed, instruction_lines=found.instruction_lines[:needed])
        return found.buffering([operation.verb for operation in thread.operations] for thread in threads)
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
