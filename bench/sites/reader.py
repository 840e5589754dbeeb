"""Reading site files: TOML, in the style of protocols (``docs/sites.md``)."""

from __future__ import annotations

import difflib
import importlib.resources
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bench.protocols.operations import FORMS, WORD, parsed
from bench.sites.instructions import INSTRUCTION_SETS
from bench.sites.paths import at_rest
from bench.sites.scenarios import SCENARIOS
from bench.sites.site import CODE, STATES, STUB, TARGETS, Executor, Site, SiteLine, SiteOperations, SiteWord
from bench.sites.wording import way
from bench.support.errors import InputError, nearest
from bench.support.toml import Source, checked, parse, read
from strategies import linking

_WHAT = "a site"
_SUFFIX = ".toml"
ALWAYS = "always"
"""In place of the states of a word: its value in all of them."""
_INSTRUCTION = 4
_MOST = 1 << 16
"""Addresses of words are below it."""


class _Does(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    link: str
    """The operations that lead the site to a target."""
    unlink: str
    """Those that lead it back to its stub."""
    publish: str = f"flush {CODE}"
    """Those that make a new target fetchable."""
    retire: str | None = None
    """Those before its memory is used again."""
    by: Literal["others", "handler"] = "others"
    """Who does it: other threads, or a handler of the thread that runs the site."""


class _Executor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    before: str = ""
    """What a thread does before it executes the site."""
    between: str = ""
    """What it does between two words."""
    after: str = ""
    """What it does behind the site."""
    pays: str | None = None
    """What all of these cost: other operations, where they stand for something cheaper."""


class _SiteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site file holds; the values of words are read by ``_word``."""

    isa: str
    """The instruction set of the encodings."""
    targets: dict[str, int]
    """The address of each target."""
    words: dict[str, dict[str, int | str]]
    """The words of the site: where each lies, and its value in each state."""
    does: _Does
    """What the patching threads do."""
    summary: str = ""
    """What is patched, in a sentence."""
    form: str = ""
    """The kind of site."""
    project: str = ""
    """Where it comes from."""
    year: int = 0
    """When it was published."""
    links: tuple[str, ...] = ()
    """Where it was published."""
    note: str = ""
    """What a reader should know."""
    slots: dict[str, int | dict[str, int | str]] = {}
    """Data that the site loads."""
    registers: dict[str, int] = {}
    """The contents of registers at its start."""
    reach: Annotated[int, msgspec.Meta(ge=0)] = 0
    """The bytes from which on a target is far; for its price."""
    relies: tuple[str, ...] = ()
    """Registers that must hold the address of the target."""
    executor: _Executor = _Executor()
    """What executing threads do."""
    expect: dict[str, Literal["holds", "fails"]] = {}
    """The verdict of each scenario."""


def is_site(tree: Mapping[str, Any]) -> bool:
    """Whether the tree of a TOML file is that of a site, and not of a protocol."""
    return "words" in tree or "targets" in tree


LIBRARY = "linking"
"""The name that stands for all sites of the library."""


def library() -> tuple[str, ...]:
    """The names of the sites that come with the project, sorted."""
    files = importlib.resources.files(linking).iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX)))


def families() -> tuple[str, ...]:
    """The names that stand for several sites of the library: all of them, and one for each instruction set."""
    return (LIBRARY, *dict.fromkeys(map(_family, library())))


def named(name: str) -> tuple[str, ...]:
    """The sites of the library that a name stands for: one, those of a family, or all."""
    known = library()
    if name in (LIBRARY, *known):
        return known if name == LIBRARY else (name,)
    return tuple(one for one in known if _family(one) == name)


def _family(name: str) -> str:
    """``slot`` of ``slot-aarch64``."""
    return name.rpartition("-")[0]


def load_sites(name: str) -> list[Site]:
    """The sites of the library that a name stands for, or the one in a file.  Raises ``InputError``."""
    return [load_site(one) for one in named(name) or (name,)]


def load_site(name: str) -> Site:
    """A site of the library by its name, or one in a file by its path.  Raises ``InputError``."""
    known = library()
    if name in known:
        file = name + _SUFFIX
        return parsed_site(*parse(importlib.resources.files(linking).joinpath(file).read_bytes(), file, _WHAT))
    if not name.endswith(_SUFFIX):
        near = difflib.get_close_matches(name, (*families(), *known), 1)
        expected = near[0] if near else f"a {_SUFFIX} file or one of {', '.join(known)}"
        raise InputError(f"no site {name!r}", expected=expected)
    return parsed_site(*read(name, _WHAT))


def parsed_site(tree: dict[str, Any], source: Source) -> Site:
    """The site in the tree of a file.  Raises ``InputError``."""
    _refuse_keys(tree.get("does"), source)
    table: _SiteFile = checked(tree, _SiteFile, source)
    alias = next((name for name, known in INSTRUCTION_SETS.items() if table.isa in known.hosts), table.isa)
    table = table if table.isa in INSTRUCTION_SETS else msgspec.structs.replace(table, isa=alias)
    if table.isa not in INSTRUCTION_SETS:
        raise source.refuse(repr(table.isa), ("isa",), nearest(table.isa, INSTRUCTION_SETS))
    for name in table.targets:
        if name not in TARGETS:
            raise source.refuse(repr(name), ("targets", name), nearest(name, TARGETS))
    if STUB not in table.targets or len(table.targets) < 2:
        found = ", ".join(table.targets) or "no target"
        raise source.refuse(found, ("targets",), f"{STUB}, and at least one other")
    reading = _Reading(table, source)
    words = sorted(
        (*map(reading.word, table.words), *map(reading.slot, table.slots)), key=lambda word: (word.at, word.name)
    )
    for one, other in itertools.pairwise(words):
        if one.at + one.size > other.at:
            raise source.refuse(f"{one.name} and {other.name} overlap", reading.place(other), "each byte in one word")
    if all(word.is_data for word in words):
        raise source.refuse("no word of code", ("words",), "at least one instruction")
    for scenario in table.expect:
        if scenario not in SCENARIOS:
            raise source.refuse(repr(scenario), ("expect", scenario), nearest(scenario, SCENARIOS))
    by_name = {word.name: word for word in words}
    does, around = (
        [reading.lines(getattr(said, key) or "", (of, key), by_name) for key in said.__struct_fields__ if key != "by"]
        for of, said in (("does", table.does), ("executor", table.executor))
    )
    before, between, after, pays = around
    site = Site(
        name=Path(source.file).name.removesuffix(_SUFFIX),
        file=source.file,
        summary=table.summary,
        isa=table.isa,
        form=table.form,
        project=table.project,
        year=table.year,
        links=table.links,
        note=table.note,
        targets=table.targets,
        words=tuple(words),
        does=SiteOperations(*does),
        executor=Executor(before, between, after, None if table.executor.pays is None else pays),
        registers=table.registers,
        relies=table.relies,
        expect=table.expect,
        reuses=table.does.retire is not None,
        in_handler=table.does.by == "handler",
        reach=table.reach,
        lines=tuple(reading.numbered),
    )
    for state in site.states:
        path = at_rest(site, state)
        if path.arrives not in (state, STUB):
            expected = f"{state}, {site.targets[state]:#x}"
            raise source.refuse(f"in state {state}, {way(site, path)}", ("words",), expected)
    return site


def _refuse_keys(does: object, source: Source) -> None:
    """What somebody would look for, or leave out, in ``[does]``."""
    if not isinstance(does, dict):
        return
    if "relink" in does:
        expected = 'none: a relink is unlink, then link; with unlink = "" it is direct'
        raise source.refuse("unknown key", ("does", "relink"), expected)
    for key in ("link", "unlink"):
        if key not in does:
            raise source.refuse("missing", ("does", key), 'its operations, or "" for none')


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a file holds, as it becomes words and operations."""

    table: _SiteFile
    source: Source
    numbered: list[int] = field(default_factory=list)
    """The lines of the file that words and operations stand in, in the order of their numbers."""

    def number(self, line: int) -> int:
        """The next number, which is that of a line."""
        self.numbered.append(line)
        return len(self.numbered)

    def number_of(self, word: tuple[str, str]) -> int:
        """The number of a word or a slot."""
        lines = self.source.lines(word)
        return self.number(lines[0] if lines is not None else 0)

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(name for name in STATES if name in self.table.targets)

    def place(self, word: SiteWord) -> tuple[str, str]:
        return ("slots" if word.is_data else "words"), word.name

    def word(self, name: str) -> SiteWord:
        """Code: its bytes in each state."""
        place = ("words", name)
        at, values = self._placed(name, self.table.words[name], place)
        held = {state: self._bytes(value, (*place, state)) for state, value in values.items()}
        if ALWAYS in held:
            if len(held) > 1:
                raise self.source.refuse(f"{ALWAYS} beside others", place, f"{ALWAYS} alone, or each state")
            held = dict.fromkeys(self.states, held[ALWAYS])
        for state in self.states:
            if state not in held:
                raise self.source.refuse("missing", (*place, state), f"its value in each state, or {ALWAYS}")
        sizes = sorted({*map(len, held.values())})
        if len(sizes) > 1 or 0 in sizes:
            raise self.source.refuse(f"{' and '.join(map(str, sizes))} bytes", place, "one size")
        ordered = {state: held[state] for state in (*self.states, *(key for key in held if key not in self.states))}
        return SiteWord(name, at, sizes[0], ordered, number=self.number_of(place))

    def slot(self, name: str) -> SiteWord:
        """Data that hold an address: of the state's target, if nothing else is said."""
        place, said = ("slots", name), self.table.slots[name]
        at, values = self._placed(name, {"at": said} if isinstance(said, int) else said, place)
        targets, pointer = self.table.targets, INSTRUCTION_SETS[self.table.isa].pointer
        held = {}
        for state in (*self.states, *(key for key in values if key not in self.states)):
            value = values.get(state, state)
            number = targets.get(value) if isinstance(value, str) else value
            if number is None or not 0 <= number < 1 << 8 * pointer:
                expected = f"an address of {pointer} bytes, or one of {', '.join(targets)}"
                raise self.source.refuse(repr(value), (*place, state), expected)
            held[state] = number.to_bytes(pointer, INSTRUCTION_SETS[self.table.isa].byteorder)
        return SiteWord(name, at, pointer, held, is_data=True, number=self.number_of(place))

    def lines(self, text: str, place: tuple[str, str], words: Mapping[str, SiteWord]) -> tuple[SiteLine, ...]:
        """Operations, one on a line or with semicolons between; the rest of what they are a protocol's reader knows."""
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            for part in line.partition("#")[0].split(";"):
                if said := " ".join(part.split()):
                    at = self.source.line_of_text(place, number)
                    self._refuse_unknown(said, place, at, words)
                    found.append(SiteLine(said, self.number(at)))
        return tuple(found)

    def _bytes(self, value: int | str, place: tuple[str, ...]) -> bytes:
        if isinstance(value, int):
            if not 0 <= value < 1 << 8 * _INSTRUCTION:
                raise self.source.refuse(f"{value:#x}", place, "a word of 32 bits")
            return value.to_bytes(_INSTRUCTION, INSTRUCTION_SETS[self.table.isa].byteorder)
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise self.source.refuse(repr(value), place, 'bytes, as "e9 fb 0f 00 00"') from None

    def _placed(
        self, name: str, said: Mapping[str, int | str], place: tuple[str, ...]
    ) -> tuple[int, dict[str, int | str]]:
        at = said.get("at")
        if not WORD.fullmatch(name) or "." in name or name == CODE:
            raise self.source.refuse(f"the name {name!r}", place, f"a word without a dot, but {CODE}")
        if not isinstance(at, int) or not 0 <= at < _MOST:
            raise self.source.refuse(
                "missing" if at is None else repr(at), (*place, "at"), f"an address, 0 .. {_MOST - 1}"
            )
        return at, {key: value for key, value in said.items() if key != "at"}

    def _refuse_unknown(self, text: str, place: tuple[str, str], line: int, words: Mapping[str, SiteWord]) -> None:
        verb, *rest = text.replace(",", " , ").split()

        def check(names: Iterable[str], known: Iterable[str]) -> None:
            known = tuple(known)
            for name in names:
                if name not in known:
                    raise self.source.refuse(repr(name), place, nearest(name, known), line=line)

        if verb == "flush":
            check([" ".join(rest)], (*words, CODE))
        elif verb == "store":
            for part in " ".join(rest).split(" , "):
                name, *value = part.split() or [""]
                check([name], (name for name, word in words.items() if not word.is_constant))
                check(value, words[name].values)
        elif difflib.get_close_matches(verb, (*FORMS, "flush"), 1) == ["flush"]:
            raise self.source.refuse(f"no operation {verb!r}", place, "flush", line=line)
        else:
            parsed(
                text, lambda _: line, lambda found, at, expected: self.source.refuse(found, place, expected, line=at)
            )
