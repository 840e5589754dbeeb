"""Reading TOML files that people write: an error is one line with file, key, what was found and what was expected."""

from __future__ import annotations

import contextlib
import functools
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from bench.support.errors import InputError, nearest
from bench.support.files import decoded, read_bytes

_SHOWN = 60

_WORDS = {
    "object": "a table",
    "array": "an array",
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a tree came from: the ``file`` named in errors, and its ``text``, in which lines are found (or empty)."""

    file: str
    text: str = ""

    def lines(self, steps: Sequence[str]) -> tuple[int, int] | None:
        """The first and the last line of the value at the end of ``steps``, or of what is nearest to it."""
        known = _extents(self.text)
        for length in range(len(steps), 0, -1):
            if (found := known.get(tuple(steps[:length]))) is not None:
                return found
        return None

    def line_of_text(self, steps: Sequence[str], number: int) -> int:
        """The line of the file that has line ``number``, from 1, of the text at the end of ``steps``; 0 if unknown."""
        found = self.lines(steps)
        if found is None:
            return 0
        first, last = found
        opening = self.text.split("\n")[first - 1].rstrip()
        below = opening.endswith(("""\"\"\"""", "'''"))  # a new line right behind them is no part of the text
        return min(first + number - (not below), last)

    def refuse(self, found: str, steps: Sequence[str], expected: str, *, line: int = 0, called: str = "") -> InputError:
        """The error at the end of ``steps``, or in that ``line``; ``called``: what the place is called instead."""
        at = self.lines(steps)
        number = line or (at[0] if at is not None else 0)
        place = ": ".join(part for part in (f"line {number}" if number else "", called or dotted(steps)) if part)
        return InputError(found, file=self.file, place=place, expected=expected)


def read(path: str, what: str) -> tuple[dict[str, Any], Source]:
    """The tree of the TOML file at ``path``, which is ``what`` (as "a host profile")."""
    return parse(read_bytes(path, what), path, what)


def parse(data: bytes, file: str, what: str) -> tuple[dict[str, Any], Source]:
    """The tree of the text of such a file; ``file`` is named in errors."""
    text = decoded(data, file)
    try:
        return tomllib.loads(text), Source(file, text)
    except RecursionError:
        raise InputError("found values nested too deeply", file=file, expected=f"{what} in TOML") from None
    except ValueError as error:  # TOMLDecodeError, or an integer of too many digits
        match = re.fullmatch(r"(.*) \(at (.*)\)", str(error), re.DOTALL)
        message, place = match.groups() if match else (str(error), "")
        raise InputError(message, file=file, place=place, expected="TOML") from None


def checked(tree: Any, kind: Any, source: Source, prefix: tuple[str, ...] = (), strict: bool = True) -> Any:
    """``tree`` as a ``kind``; errors name the file, the line, and the key path, which starts with ``prefix``."""
    try:
        return msgspec.convert(tree, kind, strict=strict)
    except msgspec.ValidationError as error:
        message, _, where = str(error).rpartition(" - at `$")
        if not message:
            message, where = where, ""
        steps, value, kind = _narrowed(tree, kind, re.findall(r"\.\.\.|[^.\[\]`]+", where), strict)
        place = (*prefix, *steps)
        if message.startswith("Object contains unknown field"):
            key, known = message.split("`")[1], [field.name for field in msgspec.structs.fields(kind)]
            raise source.refuse("unknown key", (*place, key), nearest(key, known)) from None
        if message.startswith("Object missing required field"):
            field = message.split("`")[1]
            raise source.refuse("missing", (*place, field), "this key") from None
        if message.startswith("Invalid enum value") and get_origin(kind) is Literal:
            expected = ", ".join(sorted(map(str, get_args(kind))))
            raise source.refuse(f"found {show(value)}", place, expected) from None
        if message.startswith("Expected "):
            expected = re.sub(r"`(.*?)( \| null)?`", _in_words, message.removeprefix("Expected ").partition(", got")[0])
            raise source.refuse(f"found {show(value)}", place, expected) from None
        if message.startswith("found "):  # the profile's own checks say both
            raise source.refuse(message, place, "") from None
        found = f"found {show(value)} ({message.lower()})"
        raise source.refuse(found, place, "another value") from None


def _narrowed(tree: Any, kind: Any, steps: Iterable[str], strict: bool) -> tuple[list[str], Any, Any]:
    """Where an error is: its key path, the value there and the type that was wanted; where unknown, the last that is.

    msgspec's path has ``...`` for a key of a table of like tables: it is the first whose value is refused.
    """
    path: list[str] = []
    for step in steps:
        kind = _plain(kind)
        if isinstance(tree, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct) and step in tree:
            kind, tree = get_type_hints(kind, include_extras=True)[step], tree[step]
        elif isinstance(tree, dict) and step == "...":
            _, inner = get_args(kind)
            step = next((key for key, value in tree.items() if not _converts(value, inner, strict)), step)
            kind, tree = inner, tree.get(step)
        elif isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            kind, tree = get_args(kind)[0], tree[int(step)]
        path.append(step)
    return path, tree, _plain(kind)


def _converts(value: Any, kind: Any, strict: bool) -> bool:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _plain(kind: Any) -> Any:
    """``kind`` without metadata and without the ``None`` of an optional field; of a union, its table."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        tables = [one for one in others if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        return _plain(others[0]) if len(others) == 1 else tables[0] if len(tables) == 1 else kind
    return kind


@functools.cache
def _extents(text: str) -> dict[tuple[str, ...], tuple[int, int]]:
    """The first and last line of every key and table in a TOML text, by key path.

    Each statement is parsed by itself, with as many lines as it takes.  Inside an inline table all is where it begins.
    """
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    arrays: dict[tuple[str, ...], int] = {}
    lines = text.replace("\r\n", "\n").split("\n")
    table: tuple[str, ...] = ()
    first = 0
    while first < len(lines):
        for last in range(first + 1, len(lines) + 1):
            with contextlib.suppress(ValueError, RecursionError):
                tree = tomllib.loads("\n".join(lines[first:last]))
                break
        else:
            return found
        said, header = lines[first].lstrip(), lines[first].lstrip().startswith("[")
        path: tuple[str, ...] = () if header else table
        while isinstance(tree, dict) and len(tree) == 1:
            ((key, tree),) = tree.items()
            path = (*path, key)
            if path in arrays and not (header and tree == [{}]):
                path = (*path, str(arrays[path]))
            found.setdefault(path, (first + 1, last))
        if header:
            if said.startswith("[["):
                arrays[path] = arrays.get(path, -1) + 1
                path = (*path, str(arrays[path]))
            table = path
            found.setdefault(path, (first + 1, last))
        first = last
    return found


def dotted(steps: Sequence[str]) -> str:
    """A key path as TOML writes it, with indices in brackets, safe to print."""
    shown = (
        f"[{step}]" if step.isdecimal() else step if re.fullmatch(r"[A-Za-z0-9_+-]+", step) else repr(step)
        for step in steps
    )
    return ".".join(shown).replace(".[", "[")


def _in_words(match: re.Match[str]) -> str:
    """A type as msgspec names it, as a reader of TOML does."""
    return _WORDS.get(match[1], match[1])


def show(value: Any) -> str:
    """``value`` as found, short."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 3 * _SHOWN:  # repr refuses very long ones
        return f"an integer of {value.bit_length()} bits"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
