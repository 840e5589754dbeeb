"""What a project always asks for: ``[tool.staleline]`` of the nearest ``pyproject.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from bench.support.toml import checked, read, refuse_unknown_keys

_FILE = "pyproject.toml"
_WHAT = "a pyproject.toml"


class Settings(msgspec.Struct, frozen=True):
    """Each is the default of the option of that name; what is not said is as without a file.

    ``tolerance``: how many times dearer something may become before ``compare --against`` takes it for worse.
    """

    host: tuple[str, ...] = ()
    translator: tuple[str, ...] = ()
    strategy: tuple[str, ...] = ()
    scenario: tuple[str, ...] = ()
    format: str | None = None
    max_states: int | None = None
    tolerance: float | None = None


def nearest(folder: Path) -> Settings:
    """Those of the first ``pyproject.toml`` upwards that has any.  Raises ``InputError`` for a bad one."""
    for here in (folder, *folder.parents):
        file = here / _FILE
        if file.is_file():
            tree = read(str(file), _WHAT).get("tool", {})
            if isinstance(tree, dict) and "staleline" in tree:
                return _settings(tree["staleline"], str(file))
    return Settings()


def _settings(tree: Any, file: str) -> Settings:
    if isinstance(tree, dict):
        refuse_unknown_keys(tree, Settings, file)
    found: Settings = checked(tree, Settings, file, ("tool", "staleline"))
    return found


def defaults(settings: Settings) -> dict[str, Any]:
    """Those that are set, by the name of the option."""
    found = msgspec.to_builtins(settings)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value}
