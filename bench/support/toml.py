"""Reading TOML files that people write: an error is one line with file, key, what was found and what was expected."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Container, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from bench.support.errors import InputError
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


def read(path: str, what: str) -> dict[str, Any]:
    """The tree of the TOML file at ``path``, which is ``what`` (as "a host profile")."""
    return parse(read_bytes(path, what), path, what)


def parse(data: bytes, file: str, what: str) -> dict[str, Any]:
    """The tree of the text of such a file; ``file`` is named in errors."""
    text = decoded(data, file)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError("found values nested too deeply", file=file, expected=f"{what} in TOML") from None
    except ValueError as error:  # TOMLDecodeError, or an integer of too many digits
        match = re.fullmatch(r"(.*) \(at (.*)\)", str(error), re.DOTALL)
        message, place = match.groups() if match else (str(error), "")
        raise InputError(message, file=file, place=place, expected="TOML") from None


def checked(tree: Any, kind: type, file: str, prefix: tuple[str, ...] = (), strict: bool = True) -> Any:
    """``tree`` as a ``kind``; errors name ``file`` and the key path, which starts with ``prefix``."""
    try:
        return msgspec.convert(tree, kind, strict=strict)
    except msgspec.ValidationError as error:
        message, _, where = str(error).rpartition(" - at `$")
        if not message:
            message, where = where, ""
        steps = tuple(re.findall(r"[^.\[\]`]+", where))
        value, info = _at(tree, inspect.type_info(kind), steps)
        place = _dotted((*prefix, *steps))
        if message.startswith("Object missing required field"):
            field = message.split("`")[1]
            raise InputError("missing", file=file, place=f"{place}.{field}".lstrip("."), expected="this key") from None
        if message.startswith("Invalid enum value") and isinstance(info, inspect.LiteralType):
            expected = ", ".join(str(choice) for choice in info.values)
            raise InputError(f"found {show(value)}", file=file, place=place, expected=expected) from None
        if message.startswith("Expected "):
            expected = re.sub(r"`(.*?)( \| null)?`", _in_words, message.removeprefix("Expected ").partition(", got")[0])
            raise InputError(f"found {show(value)}", file=file, place=place, expected=expected) from None
        if message.startswith("found "):  # the profile's own checks say both
            raise InputError(message, file=file, place=place) from None
        found = f"found {show(value)} ({message.lower()})"
        raise InputError(found, file=file, place=place, expected="another value") from None


def refuse_unknown_keys(tree: Any, kind: type, file: str, hidden: Container[str] = ()) -> None:
    """Raise ``InputError`` for the first key that a ``kind`` does not have, or that is ``hidden``: set by no file."""
    for path, key, known in _unknown(tree, inspect.type_info(kind), (), hidden):
        near = difflib.get_close_matches(key, known, 1)
        expected = near[0] if near else "one of " + ", ".join(known)
        raise InputError("unknown key", file=file, place=_dotted((*path, key)), expected=expected)


def _unknown(
    tree: Any, info: inspect.Type, path: tuple[str, ...], hidden: Container[str]
) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """Each key that its table does not have, in file order: the path to the table, the key, the keys that it has."""
    if not isinstance(tree, dict):
        return
    info = _plain(info)
    if isinstance(info, inspect.DictType):
        for key, value in tree.items():
            yield from _unknown(value, info.value_type, (*path, key), hidden)
    elif isinstance(info, inspect.StructType):
        fields = {field.name: field.type for field in info.fields if field.name not in hidden}
        for key, value in tree.items():
            if key not in fields:
                yield path, key, list(fields)
            else:
                yield from _unknown(value, fields[key], (*path, key), hidden)


def _at(tree: Any, info: inspect.Type, steps: Sequence[str]) -> tuple[Any, inspect.Type]:
    """The value and the type at the end of ``steps``; where they lead nowhere, the last that there are."""
    for step in steps:
        info = _plain(info)
        if isinstance(tree, dict) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list | tuple) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        if isinstance(info, inspect.StructType):
            info = next((field.type for field in info.fields if field.name == step), info)
        elif isinstance(info, inspect.VarTupleType):
            info = info.item_type
    return tree, _plain(info)


def _plain(info: inspect.Type) -> inspect.Type:
    """``info`` without metadata, and without the ``None`` of an optional field."""
    while isinstance(info, inspect.Metadata):  # what Annotated adds
        info = info.type
    if isinstance(info, inspect.UnionType):
        others = [option for option in info.types if not isinstance(option, inspect.NoneType)]
        return _plain(others[0]) if len(others) == 1 else info
    return info


def _dotted(steps: Sequence[str]) -> str:
    """A key path as TOML writes it, safe to print."""
    return ".".join(step if re.fullmatch(r"[A-Za-z0-9_+-]+", step) else repr(step) for step in steps)


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
