"""Reading protocols: a TOML file with a protocol, and cases that differ from it in something."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import known_bugs
from bench.machine.opcodes import FAMILIES, KINDS, Instruction, family, read_instruction
from bench.protocols.host import PLAIN, ProtocolHost
from bench.protocols.operations import WORD, parsed
from bench.protocols.protocol import Address, Protocol, Thread, refuse_impossible
from bench.support.errors import InputError
from bench.support.toml import checked, parse, read, refuse_unknown_keys

_WHAT = "a protocol"
_SUFFIX = ".toml"

Expected = Literal["holds", "fails"]


class _Host(msgspec.Struct, frozen=True):
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


class _Alias(msgspec.Struct, frozen=True):
    at: int
    alias: str


class _Thread(msgspec.Struct, frozen=True):
    does: str
    core: int = 0


class _Case(msgspec.Struct, frozen=True):
    """What can differ from case to case."""

    host: _Host = _Host()
    layout: dict[str, int | _Alias] = {}
    init: dict[str, str] = {}
    coherency: dict[str, str] = {}
    instructions: dict[str, str] = {}
    mmu_off: tuple[int, ...] = ()
    flags: dict[str, int] = {}
    allowed: dict[str, tuple[str, ...]] = {}
    threads: dict[str, _Thread] = {}


class _Named(_Case, frozen=True):
    name: str = ""
    of: str = ""
    expect: Expected = "holds"


class _Document(_Case, frozen=True):
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
    """A protocol, the name of the case (empty: what the file itself says), and the verdict that is ``expected``."""

    name: str
    expected: Expected
    protocol: Protocol


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
    return _document(read(path, _WHAT), path, Path(path).name.removesuffix(_SUFFIX))


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
    return _document(parse(importlib.resources.files(known_bugs).joinpath(file).read_bytes(), file, _WHAT), file, name)


def _document(tree: dict[str, Any], file: str, name: str) -> Document:
    refuse_unknown_keys(tree, _Document, file)
    table: _Document = checked(tree, _Document, file)
    trees: dict[str, tuple[Mapping[str, Any], Expected]] = {"": (tree, table.expect)}
    for number, (case, raw) in enumerate(zip(table.cases, tree.get("cases", ()), strict=True)):
        place = f"cases[{number}]"
        if not case.name or case.name in trees:
            found = f"the name {case.name!r}{' twice' * (case.name in trees and bool(case.name))}"
            raise InputError(found, file=file, place=place, expected="a name of its own")
        if case.of not in trees:
            known = ", ".join(map(repr, trees))
            raise InputError(f"no case {case.of!r} before it", file=file, place=f"{place}.of", expected=known)
        trees[case.name] = _changed(trees[case.of][0], raw), case.expect
    cases = [
        ProtocolCase(
            case,
            expected,
            _protocol(
                checked({key: some[key] for key in _Case.__struct_fields__ if key in some}, _Case, file),
                file,
                f"case {case!r}" if case else "",
                table.isa,
            ),
        )
        for case, (some, expected) in trees.items()
    ]
    _refuse_idle_instructions(cases, file)
    return Document(
        name, table.summary, table.project, table.year, table.isa, table.links, table.mechanism, table.fix, tuple(cases)
    )


def _changed(tree: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    """A case as a whole, from the one that it is a case of and what it changes."""
    whole = dict(tree)
    for key in _Case.__struct_fields__:
        if key in by:
            whole[key] = {**whole.get(key, {}), **by[key]} if key in _MERGED else by[key]
    return whole


def _refuse_idle_instructions(cases: Sequence[ProtocolCase], file: str) -> None:
    values = {value for case in cases for value in case.protocol.values}
    for name in {name: None for case in cases for name in case.protocol.instructions}:
        if name not in values:
            near = difflib.get_close_matches(name, values, 1) or sorted(values)
            raise InputError(
                "a value that nothing stores", file=file, place=f"instructions.{name}", expected=", ".join(near)
            )


def _instructions(table: _Case, isa: str, refuse: Callable[[str, str, str], InputError]) -> dict[str, Instruction]:
    """What the values of a case are as instructions."""
    if table.instructions and not family(isa):
        raise refuse(f"isa = {isa!r}", "instructions", f"isa = one that begins with {', '.join(FAMILIES)}")
    found = {}
    for value, text in table.instructions.items():
        read = read_instruction(family(isa), text)
        if read is None:
            expected = (
                f"its encoding in hexadecimal, as the manual writes it, or one of {', '.join(KINDS[family(isa)])}"
            )
            raise refuse(f"{text!r}", f"instructions.{value}", expected)
        found[value] = read
    return found


def _protocol(table: _Case, file: str, place: str, isa: str) -> Protocol:
    def refuse(found: str, where: str, expected: str) -> InputError:
        return InputError(found, file=file, place=": ".join(part for part in (place, where) if part), expected=expected)

    host = table.host
    lines = host.instruction_line if isinstance(host.instruction_line, tuple) else (host.instruction_line,)
    cores = host.cores if host.cores is not None else 1 + max((t.core for t in table.threads.values()), default=0)
    for key, size in (*(("instruction_line", line) for line in lines), ("data_line", host.data_line)):
        if not 4 <= size <= 4096 or size & (size - 1):
            raise refuse(f"{size}", f"host.{key}", "a power of two, 4 to 4096 bytes")
    if not lines:
        raise refuse("an empty array", "host.instruction_line", "bytes, of every core or of each")
    for key, number, most in (("cores", cores, 8), ("store_buffer", host.store_buffer, 8)):
        if not (key == "cores") <= number <= most:
            raise refuse(f"{number}", f"host.{key}", f"at most {most}, and no less than {int(key == 'cores')}")
    for key in ("layout", "init", "coherency", "flags"):
        for name in getattr(table, key):
            if not WORD.fullmatch(name):
                raise refuse(f"the name {name!r}", key, "a word")
    addresses: dict[str, Address] = {}
    for name, at in table.layout.items():
        number = at if isinstance(at, int) else at.at
        if not 0 <= number < 1 << 20:
            raise refuse(f"{number}", f"layout.{name}", "0 .. 1048575, in bytes")
        if isinstance(at, int):
            addresses[name] = Address(at, at)
        elif at.alias in addresses:
            addresses[name] = Address(at.at, addresses[at.alias].physical)
        else:
            raise refuse(f"an alias of {at.alias!r}", f"layout.{name}", "a unit above it")
    initial = dict(table.init)
    for name, at in table.layout.items():
        if not isinstance(at, int):
            initial.setdefault(name, initial.get(at.alias, ""))
    for key in ("init", "coherency"):
        for name in getattr(table, key):
            if name not in addresses:
                raise refuse(f"no unit {name!r}", key, f"one of {', '.join(addresses)}")
    instructions = _instructions(table, isa, refuse)
    for name in table.allowed:
        if name not in table.threads:
            raise refuse(f"no thread {name!r}", "allowed", f"one of {', '.join(table.threads)}")
    threads = tuple(
        Thread(
            name,
            thread.core,
            parsed(thread.does, file, ": ".join(part for part in (place, f"threads.{name}") if part)),
            tuple(tuple(sequence.split()) for sequence in table.allowed[name]) if name in table.allowed else None,
        )
        for name, thread in table.threads.items()
    )
    protocol = Protocol(
        host=ProtocolHost(
            rules=replace(
                PLAIN,
                fill=host.fill,
                snoop=host.snoop,
                fetches_ahead=host.fetches_ahead,
                store_buffer=host.store_buffer,
                write_allocate=host.write_allocate,
                maintenance_at_once=host.maintenance == "at once",
            ),
            cores=cores,
            instruction_lines=lines,
            data_line=host.data_line,
            evicts=host.evicts,
            prefetches=host.prefetches,
            icache=host.icache,
        ),
        addresses=addresses,
        initial=initial,
        threads=threads,
        flags=table.flags,
        coherency=table.coherency,
        mmu_off=frozenset(table.mmu_off),
        instructions=instructions,
    )
    refuse_impossible(protocol, file, place)
    return protocol
