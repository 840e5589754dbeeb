"""Reading, checking and deriving host profiles."""

from __future__ import annotations

import difflib
import importlib.resources
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from bench.errors import InputError
from bench.hosts.profile import Host, Isa

_MAX_BYTES = 1 << 20
_SUFFIX = ".toml"
_SHOWN = 60

_WORDS = {
    "object": "a table", "array": "an array", "str": "text", "int": "an integer", "float": "a number",
    "bool": "true or false",
}  # fmt: skip

# What a profile says about its facts, or is called, is not something to vary.
_DESCRIPTION = re.compile(r"(.*_)?(tag|source)|note|name|title|how|derived|file")
_TAGGED_APART = {
    "replacement": "replacement_", "write": "write_", "write_allocate": "write_", "clock_ghz": "clock_",
}  # fmt: skip


def host_names() -> tuple[str, ...]:
    """The names of the profiles that come with the project, sorted."""
    files = importlib.resources.files(__package__).iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX)))


def load_host(name_or_path: str, settings: Sequence[str] = ()) -> Host:
    """The profile of that name, or in that file, changed by ``settings``.

    What ends in ``.toml``, holds a path separator or is a file is a path,
    unless it is the name of a shipped profile.  A setting is ``key=value``: the
    key is a dotted path into the profile (``dcache.write_allocate``) or as much
    of its end as is unambiguous (``write_allocate``); a feature or a figure is
    set by its own name (``coherence.fill=coherent``, ``costs.cpi=1.2``) and then
    has no range.  What is set is tagged ``assumed``, and the profile lists it in
    ``derived``.

    Raises ``InputError`` for an unknown name, a file that cannot be read, a
    profile that is not valid and a setting that does not fit.
    """
    shipped = host_names()
    if name_or_path in shipped:
        file = name_or_path + _SUFFIX
        data = importlib.resources.files(__package__).joinpath(file).read_bytes()
    elif _is_path(name_or_path):
        file = name_or_path
        data = _read(name_or_path)
    else:
        raise InputError(
            f"unknown host {_show(name_or_path)}{_closest(name_or_path, shipped)}",
            expected=f"a file ending in {_SUFFIX} or one of {', '.join(shipped)}",
        )
    tree = _parse(data, file)
    for path, key, known in _unknown_keys(tree, inspect.type_info(Host), ()):
        near = difflib.get_close_matches(key, known, 1)
        expected = near[0] if near else "one of " + ", ".join(known)
        raise InputError("unknown key", file=file, place=_dotted((*path, key)), expected=expected)
    if name_or_path not in shipped:
        tree["file"] = name_or_path
    host = _convert(tree, file)
    return _derive(host, settings) if settings else host


def _is_path(text: str) -> bool:
    if text.endswith(_SUFFIX) or os.sep in text or (os.altsep and os.altsep in text):
        return True
    return "\0" not in text and os.path.isfile(text)


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", file=path, expected="a host profile") from None
    if len(data) > _MAX_BYTES:
        raise InputError(f"found more than {_MAX_BYTES} bytes", file=path, expected="a host profile")
    return data


def _parse(data: bytes, file: str) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        found = f"found the byte 0x{data[error.start]:02x}"
        raise InputError(found, file=file, place=f"line {line}, column {column}", expected="UTF-8 text") from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError("found values nested too deeply", file=file, expected="a host profile in TOML") from None
    except ValueError as error:  # TOMLDecodeError, or an integer of too many digits
        match = re.fullmatch(r"(.*) \(at (.*)\)", str(error), re.DOTALL)
        message, place = match.groups() if match else (str(error), "")
        raise InputError(message, file=file, place=place, expected="TOML") from None


def _convert(tree: dict[str, Any], file: str, strict: bool = True) -> Host:
    """The profile that ``tree`` holds; ``file`` is named in errors."""
    # One by one first: of a table of tables msgspec does not say in which the error is.
    sets = tree.get("isa")
    for name, table in sets.items() if isinstance(sets, dict) else ():
        _checked(table, Isa, file, ("isa", name), strict)
    host: Host = _checked(tree, Host, file, (), strict)
    return host


def _checked(tree: Any, kind: type, file: str, prefix: tuple[str, ...], strict: bool) -> Any:
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
            raise InputError(f"found {_show(value)}", file=file, place=place, expected=expected) from None
        if message.startswith("Expected "):
            expected = re.sub(r"`(.*?)( \| null)?`", _in_words, message.removeprefix("Expected ").partition(", got")[0])
            raise InputError(f"found {_show(value)}", file=file, place=place, expected=expected) from None
        if message.startswith("found "):  # the profile's own checks say both
            raise InputError(message, file=file, place=place) from None
        found = f"found {_show(value)} ({message.lower()})"
        raise InputError(found, file=file, place=place, expected="another value") from None


def _unknown_keys(
    tree: Any, info: inspect.Type, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """Each key that its table does not have, in file order: the path to the table, the key, the keys that it has."""
    if not isinstance(tree, dict):
        return
    info = _plain(info)
    if isinstance(info, inspect.DictType):
        for key, value in tree.items():
            yield from _unknown_keys(value, info.value_type, (*path, key))
    elif isinstance(info, inspect.StructType):
        fields = {field.name: field.type for field in info.fields if field.name not in ("derived", "file")}
        for key, value in tree.items():
            if key not in fields:
                yield path, key, list(fields)
            else:
                yield from _unknown_keys(value, fields[key], (*path, key))


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


def _derive(host: Host, settings: Sequence[str]) -> Host:
    """``host`` with every ``key=value`` applied, then checked: only together do they have to make sense."""
    tree: dict[str, Any] = msgspec.to_builtins(host)
    derived: list[str] = []
    for setting in settings:
        key, _, text = (part.strip() for part in setting.partition("="))
        if not (key and text):
            raise InputError(f"found {_show(setting)}", file="--set", expected="key=value")
        path = _resolve(key, list(_settable(tree, ())), f"--set {setting}")
        _set(tree, path.split("."), text)
        derived.append(f"{path}={text}")
    tree["derived"] = derived
    # Not strict: the strings that were set are read as what their places hold.
    return _convert(tree, " ".join(f"--set {setting}" for setting in settings), strict=False)


def _set(tree: dict[str, Any], path: Sequence[str], text: str) -> None:
    """Put ``text`` where ``path`` leads, and say of that table that it is assumed now."""
    *outer, last = path
    for step in outer:
        tree = tree[step]
    prefix = ""
    if isinstance(tree[last], dict):
        tree = tree[last]
        tree.update({part: text for part in ("value", "low", "high") if part in tree})
    else:
        tree[last] = text
        prefix = _TAGGED_APART.get(last, "")
    tree[f"{prefix}tag"] = "assumed"
    tree[f"{prefix}source"] = ["--set"]


def _settable(tree: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The dotted paths of what a setting may change."""
    for key, value in tree.items():
        if _DESCRIPTION.fullmatch(key) or value is None:
            continue
        here = (*path, key)
        if not isinstance(value, dict):
            if key != "value":  # a feature or a figure is set by its own name
                yield ".".join(here)
        else:
            if "value" in value:
                yield ".".join(here)
            yield from _settable(value, here)


def _resolve(key: str, paths: Sequence[str], origin: str) -> str:
    """The one path that ``key`` is, or is the end of."""
    wanted = key.removesuffix(".value")
    if wanted in paths:
        return wanted
    ends = [path for path in paths if path.endswith("." + wanted)]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise InputError(f"ambiguous key {_show(key)}", file=origin, expected=_listed(ends, "or"))
    ending = {path.split(".", depth)[-1]: path for path in reversed(paths) for depth in range(path.count(".") + 1)}
    near = [ending[end] for end in difflib.get_close_matches(wanted, list(ending), 3)]
    raise InputError(
        f"unknown key {_show(key)}",
        file=origin,
        expected=_listed(list(dict.fromkeys(near)), "or") if near else "a key of the profile",
    )


def _dotted(steps: Sequence[str]) -> str:
    """A key path as TOML writes it, safe to print."""
    return ".".join(step if re.fullmatch(r"[A-Za-z0-9_+-]+", step) else repr(step) for step in steps)


def _listed(items: Sequence[str], word: str, limit: int = 8) -> str:
    """``items`` in a sentence, the first ``limit`` of them."""
    if len(items) > limit:
        return f"{', '.join(items[:limit])} {word} {len(items) - limit} more"
    return f" {word} ".join(items) if len(items) < 3 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def _in_words(match: re.Match[str]) -> str:
    """A type as msgspec names it, as a reader of TOML does."""
    return _WORDS.get(match[1], match[1])


def _closest(text: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, names, 1)
    return f" (closest: {near[0]})" if near else ""


def _show(value: Any) -> str:
    """``value`` as found, short."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 3 * _SHOWN:  # repr refuses very long ones
        return f"an integer of {value.bit_length()} bits"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
