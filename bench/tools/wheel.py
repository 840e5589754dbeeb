"""What a wheel holds: one package, ``staleline``, with ``bench`` and ``strategies`` inside it.

The folders of the project stay where they are; the lines that import them are written anew for the wheel, so that a
user's path gets no package named ``bench`` or ``strategies``.  hatchling calls it (``[tool.hatch.build]``).
"""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSIDE = "staleline/_internal"
"""Where the folders lie in the wheel."""

_MOVED = ("bench", "strategies")
_LEFT_OUT = ("bench/__main__.py", "bench/suite/", "bench/tools/")
"""What only a checkout has: its way to start, benchmarks of the program itself, and what makes files of the project."""

_NAME = re.compile(rf"(?:{'|'.join(_MOVED)})(?:\.\w+)*")
_PREFIX = INSIDE.replace("/", ".").encode() + b"."


class WheelHook(BuildHookInterface[Any]):
    """Lays the files of a wheel; one that is only a link to the checkout (``--editable``) is left as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        self._laid = tempfile.TemporaryDirectory()
        for name, content in contents(root):
            file = Path(self._laid.name, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            build_data["force_include"][str(file)] = name

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._laid.cleanup()


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the wheel for the checkout at ``root``: its path there, and what it holds."""
    for package in ("staleline", *_MOVED):
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and not name.startswith(_LEFT_OUT):
                content = path.read_bytes()
                place = name if package == "staleline" else f"{INSIDE}/{name}"
                yield place, renamed(content, name) if path.suffix == ".py" else content


def renamed(source: bytes, file: str) -> bytes:
    """A module's source with the names of ``bench`` and ``strategies`` as they are inside the wheel.

    These are what is imported, and texts that are a dotted name and nothing else.

    Raises:
        ValueError: a name that works in a checkout alone (``import bench.hosts`` without ``as``), with file and line.
    """
    lines = source.splitlines(keepends=True)
    places = list(_places(ast.parse(source), file))
    for line, column in sorted(places, reverse=True):
        head, tail = lines[line - 1][:column], lines[line - 1][column:]
        lines[line - 1] = head + re.sub(rb"bench|strategies", lambda found: _PREFIX + found[0], tail, count=1)
    return b"".join(lines)


def _places(tree: ast.AST, file: str) -> Iterator[tuple[int, int]]:
    """Line and column from which the first ``bench`` or ``strategies`` is a name to be changed."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), level=0) if _NAME.fullmatch(module):
                yield node.lineno, node.col_offset
            case ast.Import(names=names):
                for name in names:
                    if _NAME.fullmatch(name.name):
                        if name.asname is None:
                            raise ValueError(f"{file}:{node.lineno}: import {name.name} without `as`")
                        yield name.lineno, name.col_offset
            case ast.Constant(value=str(text)) if "." in text and _NAME.fullmatch(text):
                yield node.lineno, node.col_offset
