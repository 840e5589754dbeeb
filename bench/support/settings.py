"""What a project always asks for: ``[tool.staleline]`` of its ``pyproject.toml``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bench.support.files import read_bytes
from bench.support.toml import Source, checked, parse

FILE = "pyproject.toml"

_REPOSITORY = (".git", ".hg", ".jj", ".svn")
"""What is in the folder that a project begins at."""

_Names = tuple[Annotated[str, Meta(min_length=1)], ...]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each is the default of the option of that name; what is not said is as without a file."""

    host: _Names | None = None
    """The hosts, by name or file."""
    translator: _Names | None = None
    """The translators."""
    strategy: _Names | None = None
    """The strategies."""
    scenario: _Names | None = None
    """The scenarios."""
    format: Annotated[str, Meta(min_length=1)] | None = None
    """The format of output."""
    max_states: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    """The states of a search, at most."""
    tolerance: Annotated[float, Meta(ge=1, le=1e6)] | None = None
    """How many times dearer something may become before ``compare --against`` takes it for worse."""


def nearest(folder: Path) -> dict[str, Any]:
    """The settings of the project that ``folder`` is in, by the name of the option; paths as from the working folder.

    They are those of the first ``pyproject.toml`` upwards that has any, no further than the folder of a repository
    and, where there is none, than the first ``pyproject.toml``.  One that belongs to another user is not read.
    Raises ``InputError`` for a bad one.
    """
    above = (folder, *folder.parents)
    root = next((at for at in above if any((at / name).exists() for name in _REPOSITORY)), None)
    for here in above:
        file = here / FILE
        if file.is_file():
            if _is_strangers(file):
                return {}
            found = _settings(read_bytes(str(file), f"a {FILE}"), file)
            if found is not None or root is None:
                return found or {}
        if here == root:
            break
    return {}


def _is_strangers(file: Path) -> bool:
    return hasattr(os, "getuid") and file.stat().st_uid not in (os.getuid(), 0)


def _settings(data: bytes, file: Path) -> dict[str, Any] | None:
    """The settings in a file; None if it has none."""
    if b"staleline" not in data:
        return None
    tree, source = parse(data, str(file), f"a {FILE}")
    tool = tree.get("tool")
    if not isinstance(tool, dict) or "staleline" not in tool:
        return None
    place = ("tool", "staleline")
    found: Settings = checked(tool["staleline"], Settings, source, place)
    values = {key: value for key, value in msgspec.to_builtins(found).items() if value is not None}
    for key, resolved in (("host", _host), ("strategy", _strategy)):
        if key in values:
            values[key] = [resolved(name, file, source, (*place, key)) for name in values[key]]
    return values


def _host(name: str, file: Path, source: Source, place: tuple[str, ...]) -> str:
    """A profile in a file is named from the folder of the ``pyproject.toml``."""
    return os.path.relpath(file.parent / name) if name.endswith(".toml") or os.sep in name else name


def _strategy(name: str, file: Path, source: Source, place: tuple[str, ...]) -> str:
    """The same; what is executed lies below that folder."""
    path, parted, of = name.rpartition(".py:")
    if not parted:
        return name
    where = (file.parent / f"{path}.py").resolve()
    if not where.is_relative_to(file.parent.resolve()):
        raise source.refuse(
            f"found {name!r}", place, f"a file below {file.parent}: others are named on the command line"
        )
    return f"{os.path.relpath(where)}:{of}"
