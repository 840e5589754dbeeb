"""Which sources a module of the project depends on, as a hash; and where what is made by them is kept."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
"""The folder in which the project's packages lie side by side."""

# Two patterns that begin with letters, which Python finds several times as fast as lines that begin with either.
_WITHIN = re.escape(__name__.rpartition("bench.")[0].encode())
_IMPORTS = [re.compile(word + _WITHIN + rb"((?:bench|strategies)\b[\w.]*)") for word in (rb"from ", rb"import ")]


def user_cache() -> Path:
    """The folder of the project among this user's caches."""
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / "Caches"
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return parent / "staleline"


def sources(*files: str) -> list[str]:
    """The paths of all sources that these files can depend on: themselves, and what they import of the project."""
    found = {*files}
    waiting = [*files]
    while waiting:
        for name in _read(waiting.pop())[1]:
            new = {path for path in _files(name) if path not in found}
            found |= new
            waiting += new
    return sorted(found)


@cache
def version(*files: str) -> str:
    """A hash of the sources that these files can depend on, and of what runs and compiles them."""
    known = hashlib.sha256(f"{sys.version} numba {installed('numba')}".encode())
    for path in sources(*files):
        known.update(_read(path)[0])
    return known.hexdigest()[:20]


def kernels_of(file: str, parent: str) -> Path:
    """The folder for what numba compiles of a source file, in ``parent`` if that is not empty."""
    place = Path(parent) if parent else user_cache()
    return place / f"{Path(file).parent.name}.{Path(file).stem}-{version(file)}"


@cache
def _read(path: str) -> tuple[bytes, set[bytes]]:
    """A source's hash, and the modules and packages of the project that it imports, inside functions too."""
    text = Path(path).read_bytes()
    names = {name for pattern in _IMPORTS for name in pattern.findall(text)}
    return hashlib.sha256(text).digest(), names


@cache
def _files(name: bytes) -> list[str]:
    """The sources that importing a name may execute: of a package all its modules, which may be taken from it."""
    parts = name.decode().split(".")
    place = os.path.join(_ROOT, *parts)
    files = [os.path.join(_ROOT, *parts[:length], "__init__.py") for length in range(1, len(parts))]
    if os.path.isdir(place):
        files += [os.path.join(place, file) for file in os.listdir(place) if file.endswith(".py")]
    else:
        files.append(f"{place}.py")
    return [file for file in files if os.path.isfile(file)]
